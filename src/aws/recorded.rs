//! A small HTTP server for tests: it answers the real SDK clients, over a real socket, with bodies in
//! the words AWS uses.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    fmt,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{
    Aws, Endpoint, Identity,
    call::lock,
    connect::{self, Patience},
};

/// One answer: HTTP status and body.
pub(crate) type Answer = (u16, String);

pub(crate) fn answer(status: u16, body: impl fmt::Display) -> Answer {
    (status, format!("{body}"))
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `UpdateService`.
    pub(crate) operation: String,
    pub(crate) body: String,
}

#[derive(Default)]
struct Script {
    /// By operation; the last answer of each stays.
    answers: BTreeMap<String, VecDeque<Answer>>,
    asked: Vec<Asked>,
}

pub(crate) struct Server {
    url: String,
    script: Arc<Mutex<Script>>,
}

impl Server {
    /// Answers each operation with the given answers in turn, the last one for ever; an operation
    /// without any is refused as AWS refuses an unknown one.
    pub(crate) async fn start(answers: impl IntoIterator<Item = (&'static str, Answer)>) -> Self {
        let mut script = Script::default();
        for (operation, answer) in answers {
            script.answers.entry(operation.to_owned()).or_default().push_back(answer);
        }
        let script = Arc::new(Mutex::new(script));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&shared);
                let service = service_fn(move |request| reply(Arc::clone(&script), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, script }
    }

    /// Clients for this server that wait a millisecond between attempts instead of seconds.
    pub(crate) async fn aws(&self) -> Aws {
        let endpoint = Endpoint::At { url: self.url.clone() };
        let identity = Identity { region: Some("eu-west-1".to_owned()), ..Identity::default() };
        let patience = Patience { first_delay: Duration::from_millis(1), ..Patience::USUAL };
        connect::open(&endpoint, &identity, patience).await.unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.script).asked.clone()
    }

    /// How often each operation was asked.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for asked in self.asked() {
            *counts.entry(asked.operation).or_default() += 1;
        }
        counts
    }
}

async fn reply(
    script: Arc<Mutex<Script>>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let (operation, content_type) = if let Some(target) = &target {
        (target.split('.').next_back().unwrap().to_owned(), "application/x-amz-json-1.1")
    } else {
        let action = url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "Action");
        (action.map(|(_, action)| action.into_owned()).unwrap_or_default(), "text/xml")
    };
    let (status, answer) = {
        let mut script = lock(&script);
        script.asked.push(Asked { operation: operation.clone(), body });
        let answers = script.answers.entry(operation).or_default();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        next.unwrap_or_else(|| answer(400, r#"{"__type":"UnknownOperationException"}"#))
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("x-amzn-requestid", "5e3f0c2a-0000-4000-8000-1d2c3b4a5f60")
        .body(Full::new(Bytes::from(answer)))
        .unwrap();
    Ok(response)
}
