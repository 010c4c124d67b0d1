//! The registry: the OCI distribution API under `/v2/`, as ECR serves it.
//!
//! Clauses in quotation marks are of the OCI distribution spec 1.1. Bodies of blobs go from the socket to the disk and back
//! without being gathered in memory.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{HeaderValue, RANGE};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;

use super::super::world::ecr::{Ecr, Standing};
use super::super::world::{Millis, Place, World, sts};
use super::auth;

mod blobs;
pub(super) mod layers;
mod manifests;
mod refusal;
mod route;
mod store;
#[cfg(test)]
mod tests;
mod uploads;

use refusal::Refusal;
use route::{Query, Route};
pub use store::Store;

type Answer = Response<BoxBody<Bytes, io::Error>>;

/// Serves one request under `/v2`.
pub async fn serve(
    request: Request<Incoming>,
    world: &Arc<Mutex<World>>,
    store: &Store,
    now: impl Fn() -> Millis,
) -> Answer {
    let (head, mut body) = request.into_parts();
    let call = Call {
        method: head.method,
        query: Query::parse(head.uri.query()),
        headers: head.headers,
        world,
        store,
        now: now(),
    };
    let answer = match call.answer(head.uri.path(), &mut body).await {
        Ok(answer) => answer,
        Err(refusal) => {
            // A client that is still sending would find its connection reset before it could read the refusal.
            while let Some(Ok(_)) = body.frame().await {}
            refusal.response()
        }
    };
    let mut answer = if call.method == Method::HEAD { answer.map(|_| empty()) } else { answer };
    answer.headers_mut().insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    answer
}

/// One request, its body aside.
struct Call<'a> {
    method: Method,
    query: Query,
    headers: HeaderMap,
    world: &'a Mutex<World>,
    store: &'a Store,
    now: Millis,
}

impl Call<'_> {
    async fn answer(&self, path: &str, body: &mut Incoming) -> Result<Answer, Refusal> {
        self.authorize()?;
        let route = Route::parse(path)?;
        self.permit(&route)?;
        match (&route, &self.method) {
            (Route::Base, &Method::GET | &Method::HEAD) => Ok(Response::new(empty())),
            (Route::Catalog, &Method::GET | &Method::HEAD) => self.catalog(),
            (Route::Tags { name }, &Method::GET | &Method::HEAD) => self.tags(name),
            (Route::Referrers { name, digest }, &Method::GET | &Method::HEAD) => self.referrers(name, digest),
            (Route::Manifest { name, reference }, &Method::GET | &Method::HEAD) => self.manifest(name, reference),
            (Route::Manifest { name, reference }, &Method::PUT) => self.put_manifest(name, reference, body).await,
            (Route::Manifest { name, reference }, &Method::DELETE) => self.delete_manifest(name, reference),
            (Route::Blob { name, digest }, &Method::GET) => {
                let range = self.headers.get(RANGE).and_then(|range| range.to_str().ok());
                self.blob(name, digest, range).await
            }
            (Route::Blob { name, digest }, &Method::HEAD) => self.blob(name, digest, None).await,
            (Route::Uploads { name }, &Method::POST) => self.begin_upload(name, body).await,
            (Route::Upload { name, id }, &Method::PATCH) => self.append_to_upload(name, id, body).await,
            (Route::Upload { name, id }, &Method::PUT) => self.finish_upload(name, id, body).await,
            (Route::Upload { name, id }, &Method::GET) => self.upload_status(name, id).await,
            (Route::Upload { name, id }, &Method::DELETE) => self.cancel_upload(name, id),
            _ => Err(Refusal::method_not_allowed(route.methods())),
        }
    }

    /// What a repository's own policy denies is denied here. A password does not say whose it is: it is taken for the user's.
    fn permit(&self, route: &Route) -> Result<(), Refusal> {
        let Some((name, action)) = route.asks(&self.method) else { return Ok(()) };
        let denial =
            self.with_world(|World { place, ecr, .. }| ecr.denial(place, name, action, &sts::user(&place.account)));
        denial.map_or(Ok(()), |message| Err(Refusal::denied(message)))
    }

    /// Reads or changes the world; the lock is never held across an `await`.
    fn with_world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, for a repository that must exist.
    fn with_repository<T>(
        &self,
        name: &str,
        act: impl FnOnce(&Place, &mut Ecr) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.with_world(|World { place, ecr, .. }| {
            if ecr.has_repository(name) { act(place, ecr) } else { Err(Refusal::name_unknown(place, name)) }
        })
    }

    /// The user is always `AWS`. Addresses from `GetDownloadUrlForLayer` carry a password in the query instead.
    fn authorize(&self) -> Result<(), Refusal> {
        let basic = auth::basic(&self.headers);
        let password = match (&basic, self.query.get("X-Amz-Security-Token")) {
            (Some(basic), _) => Some(basic.password.as_str()).filter(|_| basic.user == "AWS"),
            (None, Some(token)) => Some(token).filter(|_| self.method == Method::GET),
            (None, None) => None,
        };
        self.with_world(|World { place, pace, ecr, .. }| {
            ecr.expire(*pace, self.now);
            let password = password.ok_or_else(|| Refusal::unauthorized(place))?;
            match ecr.token_standing(password, self.now) {
                Standing::Valid => Ok(()),
                Standing::Expired => Err(Refusal::token_expired()),
                Standing::Invalid => Err(Refusal::token_invalid()),
            }
        })
    }
}

fn empty() -> BoxBody<Bytes, io::Error> {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn full(bytes: Bytes) -> BoxBody<Bytes, io::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}
