//! HTTP in and out: one server for the APIs, the registry and the sandbox's own health.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clock;
use super::fault::{Faults, Strike};
use super::state::Keeper;
use super::world::{Fault, World, ec2, ecr, elb, sts};

pub mod auth;
pub mod balancer;
pub mod form;
pub mod json11;
pub mod query;
pub mod registry;
pub mod signature;

use signature::{Protocol, Signature, Signatures};

type Body = BoxBody<Bytes, io::Error>;

/// The largest request the APIs take. A layer part is up to 20 MiB, a third more in base64.
const LONGEST: usize = 32 * 1024 * 1024;

/// How long requests under way may take once the sandbox is told to stop.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// What every request is answered from.
pub(super) struct Desk {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) keeper: Keeper,
    pub(super) store: registry::Store,
    pub(super) signatures: Signatures,
    /// The file that says what image scans find.
    pub(super) findings: PathBuf,
    pub(super) faults: Arc<Faults>,
    /// What `/_sandbox/health` says.
    pub(super) card: Value,
}

/// Answers until told to stop, then lets the requests under way finish.
pub(super) async fn serve(listeners: Vec<TcpListener>, desk: Arc<Desk>, stop: watch::Receiver<bool>) {
    let each = listeners.into_iter().map(|listener| serve_one(listener, Arc::clone(&desk), stop.clone()));
    futures_util::future::join_all(each).await;
}

async fn serve_one(listener: TcpListener, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        // A refused accept is the peer's trouble (it has gone) or a lack of descriptors, which passes.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let (desk, mut stop) = (Arc::clone(&desk), stop.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let desk = Arc::clone(&desk);
                async move { respond(&desk, request).await }
            });
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let finished = tokio::select! {
                _ = connection.as_mut() => true,
                _ = stop.wait_for(|stop| *stop) => false,
            };
            if !finished {
                connection.as_mut().graceful_shutdown();
                let _cut = tokio::time::timeout(LAST_CALLS, connection).await;
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A request id, in the shape AWS gives them.
pub(super) fn request_id() -> String {
    let mut bytes = [0_u8; 16];
    // Ids need not be secret: without randomness all requests share the nil id.
    let _unseeded = getrandom::fill(&mut bytes);
    let hex = hex::encode(bytes);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn full(response: Response<Full<Bytes>>) -> Response<Body> {
    response.map(|body| body.map_err(|never| match never {}).boxed())
}

/// A scenario wants no answer: the connection just ends.
#[derive(Debug, thiserror::Error)]
#[error("cut, as the scenario says")]
struct Cut;

/// What a fault leaves of a call: nothing to answer any more, or the call itself, late or at once.
async fn struck(strike: Option<Strike>, service: &str, operation: &str) -> Result<Option<Fault>, Cut> {
    match strike {
        None => Ok(None),
        Some(Strike::Cut) => Err(Cut),
        Some(Strike::Stalled(lasts)) => {
            let _over = tokio::time::timeout(lasts, std::future::pending::<()>()).await;
            Ok(None)
        }
        Some(strike @ (Strike::Throttled | Strike::Failed | Strike::Denied)) => Ok(strike.fault(service, operation)),
    }
}

/// Service and operation of a call to the APIs, as a scenario names them.
fn called(head: &Parts, body: &[u8]) -> (&'static str, String) {
    if let Some(target) = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        let (prefix, operation) = target.split_once('.').unwrap_or((target, ""));
        return (json11::Service::of_target(prefix).map_or("", json11::Service::name), operation.to_owned());
    }
    let members = if head.method == Method::GET { head.uri.query().unwrap_or_default().as_bytes() } else { body };
    let form = query::Form::parse(members);
    let service = form.get("Version").and_then(query::Service::of_version).unwrap_or(query::Service::Elb);
    (service.name(), form.get("Action").unwrap_or_default().to_owned())
}

async fn respond(desk: &Desk, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let path = request.uri().path();
    if path == "/v2" || path.starts_with("/v2/") {
        let method = request.method().as_str();
        if let Some(fault) = struck(desk.faults.strike("registry", method), "registry", method).await? {
            return Ok(full(registry_fault(&fault)));
        }
        return Ok(registry(desk, request).await);
    }
    if path.starts_with("/_sandbox/") {
        return Ok(full(status(desk, path)));
    }
    let id = request_id();
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LONGEST).collect().await else {
        let fault = Fault::new("RequestEntityTooLargeException", "The request is larger than the sandbox takes.");
        return Ok(full(json11::answer(&Err(fault), &id)));
    };
    let body = body.to_bytes();
    let (service, operation) = called(&head, &body);
    let fault = struck(desk.faults.strike(service, &operation), service, &operation).await?;
    Ok(full(match (head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()), fault) {
        (Some(_), Some(fault)) => json11::answer(&Err(fault), &id),
        (None, Some(fault)) => {
            let service = match service {
                "sts" => query::Service::Sts,
                "ec2" => query::Service::Ec2,
                _ => query::Service::Elb,
            };
            query::refuse(service, &fault, &id)
        }
        (Some(target), None) => json(desk, target, &head, &body, &id).await,
        (None, None) => form(desk, &head, &body, &id).await,
    }))
}

/// `TOOMANYREQUESTS`, `DENIED` and `UNKNOWN` are the words of the distribution specification.
fn registry_fault(fault: &Fault) -> Response<Full<Bytes>> {
    let (status, code) = match fault.status {
        400 => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
        403 => (StatusCode::FORBIDDEN, "DENIED"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
    };
    let body = json!({ "errors": [{ "code": code, "message": fault.message }] });
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn registry(desk: &Desk, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    // With the manifest a push is over, and must outlive a kill; a client whose layers are lost just pushes again.
    let concludes = *request.method() == Method::PUT && path.contains("/manifests/");
    let response = registry::serve(request, &desk.world, &desk.store, clock::now).await;
    if concludes && desk.keeper.keep().await.is_err() {
        let mut response = Response::new(Full::new(Bytes::from_static(
            b"{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"the sandbox could not write its state\"}]}",
        )));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return full(response);
    }
    if writes {
        desk.keeper.changed();
    }
    response
}

/// Whose call it is. One that is signed for another service or not at all is refused whatever else is said: a client that
/// would fail on AWS fails here too, and a web page in the user's browser, which cannot sign, can do nothing to what listens
/// on loopback.
fn caller(
    desk: &Desk,
    world: &World,
    head: &Parts,
    body: &[u8],
    service: &str,
    protocol: Protocol,
) -> Result<Signature, Fault> {
    let signature = Signature::of(head, protocol)?;
    signature.must_be_for(service, protocol)?;
    match desk.signatures {
        Signatures::Verified => signature.verify(head, body, &world.sts, protocol, clock::now())?,
        Signatures::Any => {}
    }
    Ok(signature)
}

async fn json(desk: &Desk, target: &str, head: &Parts, body: &[u8], id: &str) -> Response<Full<Bytes>> {
    let (outcome, reads) = match json11::Call::parse(target, body) {
        Err(fault) => (Err(fault), true),
        Ok(call) => match identified(desk, &call, head, body) {
            Err(fault) => (Err(fault), true),
            Ok(caller) => (perform(desk, &call, &caller).await, call.is_read()),
        },
    };
    let outcome = if outcome.is_ok() && !reads { kept(desk, outcome).await } else { outcome };
    json11::answer(&outcome, id)
}

/// The ARN of whoever calls.
fn identified(desk: &Desk, call: &json11::Call, head: &Parts, body: &[u8]) -> Result<String, Fault> {
    let world = desk.world.lock().expect("nobody panics while holding the world");
    let signature = caller(desk, &world, head, body, call.service.signing_name(), Protocol::Json)?;
    Ok(world.sts.arn(&world.place.account, &signature.access_key))
}

async fn perform(desk: &Desk, call: &json11::Call, caller: &str) -> Result<Value, Fault> {
    let json11::Call { service, operation, input } = call;
    if *service == json11::Service::Ecr {
        {
            let world = desk.world.lock().expect("nobody panics while holding the world");
            world.ecr.permit(&world.place, operation, input, caller)?;
        }
        if operation.contains("Scan") || operation == "DescribeImages" {
            read_findings(desk)?;
        }
        let layers = registry::layers::call(&desk.world, &desk.store, operation, input, clock::now()).await;
        if let Some(outcome) = layers {
            return outcome;
        }
    }
    call.apply(&mut desk.world.lock().expect("nobody panics while holding the world"), clock::now())
}

/// What scans find is in a file that its owner may change at any time.
fn read_findings(desk: &Desk) -> Result<(), Fault> {
    let failed = |why: String| Fault {
        status: 500,
        code: "ServerException".to_owned(),
        message: format!("The sandbox cannot read {}: {why}", desk.findings.display()),
    };
    let findings = match std::fs::read_to_string(&desk.findings) {
        Ok(text) => ecr::Findings::parse(&text).map_err(|error| failed(error.to_string()))?,
        Err(source) if source.kind() == io::ErrorKind::NotFound => ecr::Findings::default(),
        Err(source) => return Err(failed(source.to_string())),
    };
    desk.world.lock().expect("nobody panics while holding the world").ecr.set_findings(findings);
    Ok(())
}

/// What was answered must outlive a kill: the world is on disk before the answer leaves.
async fn kept<T>(desk: &Desk, outcome: Result<T, Fault>) -> Result<T, Fault> {
    match desk.keeper.keep().await {
        Ok(()) => outcome,
        Err(source) => Err(Fault {
            status: 500,
            code: "ServerException".to_owned(),
            message: format!("The sandbox could not write its state: {source}"),
        }),
    }
}

async fn form(desk: &Desk, head: &Parts, body: &[u8], id: &str) -> Response<Full<Bytes>> {
    let mut writes = false;
    // "Query requests are HTTP or HTTPS requests that use the HTTP verb GET or POST", the members where the verb has them.
    let members = if head.method == Method::GET { head.uri.query().unwrap_or_default().as_bytes() } else { body };
    let response = query::serve(members, id, |call| {
        let mut world = desk.world.lock().expect("nobody panics while holding the world");
        // "AssumeRoleWithSAML" and "AssumeRoleWithWebIdentity" are not signed, so it is not that they are refused for. A web
        // page could send them, too, but not without saying so.
        let access_key = if call.action.starts_with("AssumeRoleWith") && !is_of_a_page(head) {
            String::new()
        } else {
            caller(desk, &world, head, body, call.service.signing_name(), Protocol::Query)?.access_key
        };
        writes = !call.action.starts_with("Describe") && !call.action.starts_with("Get");
        match call.service {
            query::Service::Elb => elb::call(&mut world, &call.action, &call.form, clock::now()),
            query::Service::Sts => sts::call(&mut world, &call.action, &call.form, &access_key, clock::now()),
            query::Service::Ec2 => ec2::call(&world.place, &call.action, &call.form),
        }
    });
    if writes && response.status().is_success() && desk.keeper.keep().await.is_err() {
        let fault = Fault {
            status: 500,
            code: "InternalFailure".to_owned(),
            message: "The sandbox could not write its state.".to_owned(),
        };
        return query::refuse(query::Service::Elb, &fault, id);
    }
    response
}

/// "User agents must add `Origin` to every request that is neither GET nor HEAD" (Fetch standard, 3.2), and to those of
/// pages of another origin `Sec-Fetch-Site`.
fn is_of_a_page(head: &Parts) -> bool {
    head.headers.contains_key(http::header::ORIGIN) || head.headers.contains_key("sec-fetch-site")
}

fn status(desk: &Desk, path: &str) -> Response<Full<Bytes>> {
    let (status, body) = match path {
        "/_sandbox/health" => (StatusCode::OK, desk.card.clone()),
        "/_sandbox/status" => {
            let world = desk.world.lock().expect("nobody panics while holding the world");
            let mut card = desk.card.clone();
            card["world"] = super::world::ecs::overview(&world);
            (StatusCode::OK, card)
        }
        _ => (StatusCode::NOT_FOUND, json!({ "message": "The sandbox has /_sandbox/health and /_sandbox/status." })),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
