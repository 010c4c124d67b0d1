//! What the registry answers when it does not do as asked, in the codes of the OCI distribution spec and ECR's words.

use std::io;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RANGE, WWW_AUTHENTICATE};
use http::{Method, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use serde_json::json;

use super::super::super::world::Place;
use super::super::super::world::ecr::{PutRefusal, repository_not_found};

/// A refusal, and how HTTP says it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Empty,
    Plain(&'static str),
    Error { code: &'static str, message: String },
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: Body::Error { code, message: message.into() } }
    }

    fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> Option<&'static str> {
        match self.body {
            Body::Empty | Body::Plain(_) => None,
            Body::Error { code, .. } => Some(code),
        }
    }

    /// ECR's own challenge; docker, seeing "Basic", sends the stored password with everything that follows.
    pub(super) fn unauthorized(place: &Place) -> Self {
        let challenge = format!("Basic realm=\"http://{}/\",service=\"ecr.amazonaws.com\"", place.authority);
        Self { status: StatusCode::UNAUTHORIZED, headers: Vec::new(), body: Body::Plain("Not Authorized\n") }
            .with(WWW_AUTHENTICATE, challenge)
    }

    pub(super) fn token_expired() -> Self {
        let message = "Your authorization token has expired. Reauthenticate and try again.";
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// Behind docker's "login attempt to https://…/v2/ failed with status: 400 Bad Request".
    pub(super) fn token_invalid() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DENIED", "Your Authorization Token is invalid.")
    }

    pub(super) fn denied(message: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    pub(super) fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, headers: Vec::new(), body: Body::Empty }
    }

    pub(super) fn method_not_allowed(allowed: &[Method]) -> Self {
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "The operation is unsupported.")
            .with(ALLOW, allowed.join(", "))
    }

    pub(super) fn name_invalid(name: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", format!("invalid repository name '{name}'"))
    }

    pub(super) fn name_unknown(place: &Place, name: &str) -> Self {
        let message = repository_not_found(name, &place.account).message;
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
    }

    pub(super) fn digest_invalid(digest: &str) -> Self {
        let message = format!("'{digest}' is not a digest that Amazon ECR computes (sha256:<64 hexadecimal digits>)");
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(super) fn digest_does_not_match(stated: &str, computed: &str) -> Self {
        let message = format!("Layer digest '{stated}' does not match computed layer digest '{computed}'");
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(super) fn tag_invalid(tag: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "TAG_INVALID", format!("'{tag}' is not a valid tag"))
    }

    pub(super) fn blob_unknown(digest: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("blob '{digest}' unknown to registry"))
    }

    pub(super) fn manifest_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found")
    }

    pub(super) fn manifest_too_large(most: usize) -> Self {
        let message = format!("the manifest is larger than {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
    }

    pub(super) fn upload_unknown(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", format!("The upload '{id}' does not exist"))
    }

    /// OCI: "If a chunk is uploaded out of order, the registry MUST respond with a `416 Requested Range Not Satisfiable`".
    pub(super) fn chunk_out_of_order(location: &str, range: &str) -> Self {
        Self { status: StatusCode::RANGE_NOT_SATISFIABLE, headers: Vec::new(), body: Body::Empty }
            .with(LOCATION, location)
            .with(RANGE, range)
    }

    pub(super) fn range_invalid(size: u64) -> Self {
        Self { status: StatusCode::RANGE_NOT_SATISFIABLE, headers: Vec::new(), body: Body::Empty }
            .with(http::header::CONTENT_RANGE, format!("bytes */{size}"))
    }

    pub(super) fn number_invalid(text: &str) -> Self {
        let message = format!("invalid number of results requested: '{text}'");
        Self::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
    }

    /// The client went away or sent nonsense: it will hardly read this.
    pub(super) fn body_cut(reason: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", format!("the request ended early: {reason}"))
    }

    /// ECR's codes: the missing layers come as an upload unknown, a manifest it cannot read as a 405.
    pub(super) fn of_put(refusal: &PutRefusal, place: &Place, name: &str) -> Self {
        let (status, code) = match refusal {
            PutRefusal::RepositoryNotFound => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            PutRefusal::NotAManifest => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            PutRefusal::DigestDoesNotMatch { .. } => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            PutRefusal::LayersNotFound { .. } => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            PutRefusal::ReferencedImagesNotFound { .. } => (StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN"),
            PutRefusal::NotATag { .. } | PutRefusal::TagIsImmutable { .. } => (StatusCode::BAD_REQUEST, "TAG_INVALID"),
        };
        Self::new(status, code, refusal.fault(place, name).message)
    }

    pub(super) fn response(self) -> Response<BoxBody<Bytes, io::Error>> {
        let (kind, bytes) = match self.body {
            Body::Empty => (None, Bytes::new()),
            Body::Plain(text) => (Some("text/plain; charset=utf-8"), Bytes::from_static(text.as_bytes())),
            Body::Error { code, message } => (
                Some("application/json; charset=utf-8"),
                Bytes::from(json!({ "errors": [{ "code": code, "message": message }] }).to_string()),
            ),
        };
        let mut response = Response::new(super::full(bytes));
        *response.status_mut() = self.status;
        let kind = kind.map(|kind| (CONTENT_TYPE, kind.to_owned()));
        for (name, value) in kind.into_iter().chain(self.headers) {
            // Values with a client's own words in them might not fit into a header: then the header is left out.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// The disk failed: "500" makes docker try the layer again.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", format!("the sandbox could not store this: {error}"))
    }
}
