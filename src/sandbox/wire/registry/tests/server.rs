//! A real server on a free port, and a client that hides nothing of HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::super::super::clock;
use super::super::super::super::world::{Fault, Pace, Place, World, ecr, logs, sts};
use super::super::super::auth::{Protocol, Signature};
use super::super::super::query::Form;
use super::super::{Answer, Store, full, serve};

pub(super) struct Server {
    pub(super) authority: String,
    world: Arc<Mutex<World>>,
    pub(super) folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status, the code and the message of a refusal, in one line.
    pub(super) fn refusal(&self) -> String {
        let error = &self.json()["errors"][0];
        let word = |name: &str| error[name].as_str().unwrap().to_owned();
        format!("{} {}: {}", self.status.as_u16(), word("code"), word("message"))
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let place = Place { account: "000000000000".into(), region: "us-east-1".into(), authority: authority.clone() };
        let world = Arc::new(Mutex::new(World::new(place, Pace::new(1.0), 1)));
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let shared = world.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (world, store) = (shared.clone(), store.clone());
                let service = service_fn(move |request| {
                    let (world, store) = (world.clone(), store.clone());
                    async move { Ok::<_, Infallible>(answer(request, &world, &store).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { authority, world, folder, accepting }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Makes a repository as one with this mutability.
    pub(super) fn repository(&self, name: &str, mutability: &str) {
        let input = json!({ "repositoryName": name, "imageTagMutability": mutability });
        ecr::call(&mut self.world(), "CreateRepository", &input, clock::now()).unwrap();
    }

    pub(super) fn ecr(&self, operation: &str, input: &Value) -> Result<Value, Fault> {
        ecr::call(&mut self.world(), operation, input, clock::now())
    }

    pub(super) fn password(&self) -> String {
        self.world().ecr.issue_token(clock::now())
    }

    pub(super) fn credentials(&self) -> String {
        basic("AWS", &self.password())
    }

    pub(super) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path).header(HOST, &self.authority)
    }

    /// Sends with good credentials.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut request = self.request(method, path).header(AUTHORIZATION, self.credentials());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.send_as_is(request.body(Full::new(body.into())).unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub(super) async fn send_as_is<B>(&self, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    {
        let stream = TcpStream::connect(&self.authority).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: head.status, headers: head.headers, body }
    }
}

pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn answer(request: Request<Incoming>, world: &Arc<Mutex<World>>, store: &Store) -> Answer {
    if request.uri().path().starts_with("/v2") {
        return serve(request, world, store, clock::now).await;
    }
    let target = request.headers().get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
    let protocol = if target.is_some() { Protocol::Json } else { Protocol::Query };
    let signature = Signature::of(request.headers(), protocol);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut world = world.lock().unwrap();
    let now = clock::now();
    let (kind, result) = if let Some((prefix, operation)) = target.as_deref().and_then(|target| target.split_once('.'))
    {
        let input = serde_json::from_slice(&body).unwrap();
        let result = signature.and_then(|_| match prefix {
            "AmazonEC2ContainerRegistry_V20150921" => ecr::call(&mut world, operation, &input, now),
            "Logs_20140328" => logs::call(&mut world, operation, &input, now),
            _ => panic!("no such service: {prefix}"),
        });
        ("application/x-amz-json-1.1", result.map(|value| value.to_string()))
    } else {
        let form = Form::parse(&body);
        let action = form.get("Action").unwrap().to_owned();
        let result = signature.and_then(|_| sts::call(&mut world, &action, &form, now));
        let envelope = |inner: String| {
            format!(
                "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{inner}</{action}Result></{action}Response>"
            )
        };
        ("text/xml", result.map(envelope))
    };
    let (status, text) = match result {
        Ok(text) => (200, text),
        Err(fault) => (fault.status, json!({ "__type": fault.code, "message": fault.message }).to_string()),
    };
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(full(Bytes::from(text))).unwrap()
}
