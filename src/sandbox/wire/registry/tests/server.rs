//! A real server on a free port, and a client that hides nothing of HTTP.

use std::path::PathBuf;
use std::sync::MutexGuard;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::super::super::super::world::{Fault, World, ecr};
use super::super::super::super::{Handle, Sandbox, Settings, clock};

/// A whole sandbox, of which the tests here use the registry and what belongs to it.
pub(super) struct Server {
    pub(super) authority: String,
    handle: Handle,
    folder: tempfile::TempDir,
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
        let folder = tempfile::tempdir().unwrap();
        let handle = Sandbox::start(Settings::new(folder.path().to_owned())).await.unwrap();
        Self { authority: handle.authority().to_owned(), handle, folder }
    }

    /// Where layers and manifests lie.
    pub(super) fn store(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.handle.world()
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
