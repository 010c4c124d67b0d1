//! Faults on the wire at every call of a rollout: between the real clients and the sandbox stands a small proxy
//! that refuses, throttles, cuts, stalls, truncates or lies about the time. The verdict is right or honestly not
//! known, and the same again converges.

use std::{
    io,
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};

use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    client,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Notify};

use super::*;
use crate::rollout::goal::OnInterrupt;

mod back;
mod copy;
mod push;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Pass,
    /// A 500 without a body, as a balancer in front of AWS gives it.
    Broken,
    Throttled,
    /// The connection ends before the call got there.
    Cut,
    /// The call gets there, and its answer does not come back.
    AnswerLost,
    /// Half of the answer.
    Truncated,
    /// An answer of the same length, with something else in it.
    OtherBytes,
    /// Nothing, for ever.
    Stalled,
    /// The signature is of another hour, which AWS says together with its own time.
    WrongClock,
}

type Rule = dyn Fn(&str, usize) -> Fault + Send + Sync;
type Answer = Response<BoxBody<Bytes, io::Error>>;

pub(super) struct Wire {
    pub(super) url: String,
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Ends what stalls.
    over: Arc<Notify>,
}

impl Wire {
    /// `rule` is asked with the operation and which of its calls it is, from 1.
    async fn to(upstream: &str, rule: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let upstream: Arc<str> = upstream.trim_start_matches("http://").into();
        let (rule, counted): (Arc<Rule>, _) = (Arc::new(rule), Arc::clone(&seen));
        let over = Arc::new(Notify::new());
        let until = Arc::clone(&over);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, rule, seen) = (Arc::clone(&upstream), Arc::clone(&rule), Arc::clone(&counted));
                let until = Arc::clone(&until);
                let service = service_fn(move |request| {
                    let over = Arc::clone(&until);
                    pass(request, Arc::clone(&upstream), Arc::clone(&rule), Arc::clone(&seen), over)
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, seen, over }
    }

    /// Nothing happens to any call; they are counted.
    pub(super) async fn counting(upstream: &str) -> Self {
        Self::to(upstream, |_, _| Fault::Pass).await
    }

    /// The connections that stall break, as they do in the end.
    fn let_go(&self) {
        self.over.notify_waiters();
    }

    pub(super) fn calls(&self, operation: &str) -> usize {
        self.seen.lock().unwrap().get(operation).copied().unwrap_or(0)
    }
}

async fn pass(
    request: Request<Incoming>,
    upstream: Arc<str>,
    rule: Arc<Rule>,
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
    over: Arc<Notify>,
) -> io::Result<Answer> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = match target {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        None if head.uri.path().starts_with("/v2/") => registry_call(&head.method, head.uri.path()),
        None => url::form_urlencoded::parse(&body)
            .find(|(name, _)| name == "Action")
            .map(|(_, action)| action.into_owned())
            .unwrap_or_default(),
    };
    let number = {
        let mut seen = seen.lock().unwrap();
        let number = seen.entry(operation.clone()).or_default();
        *number += 1;
        *number
    };
    let is_registry = head.uri.path().starts_with("/v2/");
    let is_query = target.is_none() && !is_registry;
    let called = operation.clone();
    let own = head.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let forward = async {
        let stream = TcpStream::connect(&*upstream).await?;
        let (mut sender, connection) =
            client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await.map_err(io::Error::other)?;
        let (mut head, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let body = through_here(&called, &mut head, body, &upstream, &own);
        Ok::<_, io::Error>((head, body))
    };
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    match rule(&operation, number) {
        Fault::Pass => {
            let (head, body) = forward.await?;
            Ok(Response::from_parts(head, whole(body)))
        }
        Fault::Broken => Ok(refused(500, String::new(), is_query)),
        // "toomanyrequests: Rate exceeded" is how ECR's registry says it.
        Fault::Throttled if is_registry => {
            let body = json!({"errors": [{"code": "TOOMANYREQUESTS", "message": "Rate exceeded"}]});
            Ok(refused(429, body.to_string(), is_query))
        }
        Fault::Throttled => Ok(refused(400, said("ThrottlingException", "Rate exceeded", is_query), is_query)),
        Fault::Cut => Err(reset()),
        Fault::AnswerLost => {
            forward.await?;
            Err(reset())
        }
        Fault::Truncated => {
            let (head, body) = forward.await?;
            // The head tells the whole length, and the connection ends before.
            let half = body.slice(..body.len() / 2);
            let frames = futures_util::stream::iter([Ok(Frame::data(half)), Err(reset())]);
            Ok(Response::from_parts(head, StreamBody::new(frames).boxed()))
        }
        Fault::OtherBytes => {
            let (head, body) = forward.await?;
            Ok(Response::from_parts(head, whole(body.iter().map(|byte| byte ^ 1).collect())))
        }
        Fault::Stalled => {
            over.notified().await;
            Err(reset())
        }
        Fault::WrongClock => {
            let text =
                "Signature expired: 20261125T100000Z is now earlier than 20261125T105500Z (20261125T110000Z - 5 min.)";
            let mut answer = refused(403, said("InvalidSignatureException", text, is_query), is_query);
            answer.headers_mut().insert("date", "Wed, 25 Nov 2026 11:00:00 GMT".parse().unwrap());
            Ok(answer)
        }
    }
}

/// The address of a layer leads here as well.
fn through_here(operation: &str, head: &mut http::response::Parts, body: Bytes, upstream: &str, own: &str) -> Bytes {
    if operation != "GetDownloadUrlForLayer" {
        return body;
    }
    let text = String::from_utf8_lossy(&body).replace(upstream, own);
    head.headers.insert("content-length", text.len().into());
    text.into_bytes().into()
}

/// `PUT manifest`: the calls of a push by method and kind.
fn registry_call(method: &hyper::Method, path: &str) -> String {
    let kind = [("/blobs/uploads/", "upload"), ("/blobs/", "blob"), ("/manifests/", "manifest")]
        .into_iter()
        .find_map(|(part, kind)| path.contains(part).then_some(kind))
        .unwrap_or("ping");
    format!("{method} {kind}")
}

fn whole(body: Bytes) -> BoxBody<Bytes, io::Error> {
    Full::new(body).map_err(|never| match never {}).boxed()
}

fn refused(status: u16, body: String, is_query: bool) -> Answer {
    let content = if is_query { "text/xml" } else { "application/x-amz-json-1.1" };
    Response::builder().status(status).header("content-type", content).body(whole(body.into())).unwrap()
}

fn said(code: &str, message: &str, is_query: bool) -> String {
    if is_query {
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        )
    } else {
        json!({"__type": code, "message": message}).to_string()
    }
}

/// What changes something; the rest only looks.
fn changes(operation: &str) -> bool {
    matches!(operation, "RegisterTaskDefinition" | "UpdateService" | "StopServiceDeployment")
}

/// A shipped service behind a wire with faults on it.
async fn behind(rule: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> (Lab, Hands, Wire) {
    let lab = Lab::shipped(SHORT).await;
    let wire = Wire::to(lab.sandbox.endpoint(), rule).await;
    let hands = hands(&wire.url).await;
    (lab, hands, wire)
}

async fn walked(lab: &Lab, hands: &Hands, budget: WatchBudget) -> Walked {
    let plan = next_plan(lab.live_of_service().await, definition("256"), budget);
    let (_canceller, cancel) = cancel::token();
    walk(&plan, hands, &cancel, |_| {}).await
}

impl Lab {
    /// What the service is set to run, which need not be the newest revision.
    async fn live_of_service(&self) -> (TaskDefArn, Value) {
        let view = ecs::view_service(&self.hands.aws, &cluster(), &service()).await.unwrap().unwrap();
        let primary = view.deployments.iter().find(|deployment| deployment.status == "PRIMARY").unwrap();
        let (definition, _) = ecs::definition(&self.hands.aws, Some(primary.task_definition.as_str())).await.unwrap();
        (primary.task_definition.clone(), definition)
    }

    /// Waits until ECS has done what it was told, and says what runs: the cpu of the revision.
    pub(super) async fn settled(&self) -> String {
        let settled = async {
            loop {
                let view = ecs::view_service(&self.hands.aws, &cluster(), &service()).await.unwrap().unwrap();
                if view.deployments.len() == 1 && view.deployments[0].rollout_state.as_deref() == Some("COMPLETED") {
                    return;
                }
                beat().await;
            }
        };
        timeout(LIMIT, settled).await.expect("ECS ends what it began");
        self.live_of_service().await.1["cpu"].as_str().unwrap_or_default().to_owned()
    }
}

/// Each operation's first call meets the fault, and a later one does again.
async fn a_passing_fault_is_no_failure(fault: Fault) {
    let (lab, hands, wire) = behind(move |_, number| if matches!(number, 1 | 4) { fault } else { Fault::Pass }).await;
    let walked = walked(&lab, &hands, BUDGET).await;
    let why = walked.outcome.failure.as_ref().map(|(title, error)| format!("{title}: {error}"));
    assert_eq!((walked.outcome.exit, walked.outcome.live[0].live), (Exit::Done, Live::New), "{fault:?}: {why:?}");
    assert_eq!(lab.settled().await, "256");
    for operation in ["RegisterTaskDefinition", "UpdateService", "DescribeServices", "DescribeServiceDeployments"] {
        assert!(wire.calls(operation) >= 2, "{operation} was tried again");
    }
    for operation in ["ListTasks", "DescribeTasks", "DescribeTargetHealth"] {
        assert!(wire.calls(operation) >= 1, "{operation} was called");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_5xx_at_every_call_is_no_failure() {
    Box::pin(a_passing_fault_is_no_failure(Fault::Broken)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_at_every_call_is_no_failure() {
    Box::pin(a_passing_fault_is_no_failure(Fault::Throttled)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_at_every_call_is_no_failure() {
    Box::pin(a_passing_fault_is_no_failure(Fault::Cut)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_at_every_call_is_no_failure() {
    Box::pin(a_passing_fault_is_no_failure(Fault::AnswerLost)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_at_every_call_is_no_failure() {
    Box::pin(a_passing_fault_is_no_failure(Fault::Truncated)).await;
}

/// A clock that AWS does not accept is a refusal: nothing was done, and that is what is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_changes_nothing_and_says_so() {
    for operation in ["RegisterTaskDefinition", "UpdateService"] {
        let (lab, hands, _wire) =
            behind(move |called, _| if called == operation { Fault::WrongClock } else { Fault::Pass }).await;
        let walked = walked(&lab, &hands, BUDGET).await;
        let live = &walked.outcome.live[0];
        assert_eq!((walked.outcome.exit, live.live), (Exit::Register, Live::Unchanged), "{operation}");
        assert_eq!(live.words, "unchanged, app:1 still serves all traffic", "{operation}");
        assert_eq!(lab.settled().await, "128", "{operation}");
    }
}

/// The clock of this machine was set in the middle of the watch, and set back: looks are lost, and no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_for_a_while_is_no_failure() {
    let wrong = |operation: &str, number| {
        if !changes(operation) && matches!(number, 1 | 4 | 5) { Fault::WrongClock } else { Fault::Pass }
    };
    let (lab, hands, _wire) = behind(wrong).await;
    let walked = walked(&lab, &hands, BUDGET).await;
    assert_eq!((walked.outcome.exit, walked.outcome.live[0].live), (Exit::Done, Live::New));
    assert_eq!(lab.settled().await, "256");
}

/// A clock that stays wrong shows nothing of the rollout any more: what serves is not known, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stays_wrong_leaves_the_end_unknown() {
    let wrong = |operation: &str, _| if changes(operation) { Fault::Pass } else { Fault::WrongClock };
    let (lab, hands, _wire) = behind(wrong).await;
    let budget = WatchBudget { no_progress_ms: 2_000, total_ms: 3_000, ..BUDGET };
    let walked = walked(&lab, &hands, budget).await;
    let live = &walked.outcome.live[0];
    assert_eq!((walked.outcome.exit, live.live), (Exit::RolloutUnknown, Live::Unknown), "{}", live.words);
    assert!(live.words.contains("ECS may still go on"), "{}", live.words);
    assert_eq!(lab.settled().await, "256");
    let again = lab.walk(&next_plan(lab.live_of_service().await, definition("256"), BUDGET)).await;
    assert_eq!(again.outcome.exit, Exit::Done);
}

/// A look that never answers is given up after a while (20 s, here 4) and costs nothing else. It is no interrupt either: with
/// `on_interrupt = rollback` the rollout would be taken back by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_stalls_is_neither_a_failure_nor_an_interrupt() {
    let stalled = |operation: &str, number| match (operation, number) {
        ("DescribeServices" | "ListTasks" | "DescribeTargetHealth", 2) => Fault::Stalled,
        _ => Fault::Pass,
    };
    let (lab, hands, wire) = behind(stalled).await;
    let terms = Terms { on_interrupt: OnInterrupt::TakeBack, ..terms(BUDGET) };
    let steps = next_steps(0, lab.live_of_service().await, definition("256"), terms);
    let (_canceller, cancel) = cancel::token();
    let walked = walk(&Plan { steps, release: Release::Independent }, &hands, &cancel, |_| {}).await;
    assert_eq!((walked.outcome.exit, walked.outcome.live[0].live), (Exit::Done, Live::New));
    assert_eq!((lab.settled().await.as_str(), wire.calls("StopServiceDeployment")), ("256", 0));
}

/// One operation that only looks fails for ever: what the others say is enough, or the end is honest.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_is_never_answered_is_made_up_for_or_admitted() {
    let cases = [
        ("DescribeServiceDeployments", Exit::Done),
        ("ListTasks", Exit::Done),
        ("DescribeTasks", Exit::Done),
        ("DescribeTargetHealth", Exit::Done),
        // ECS's own word on the rollout is not heard then.
        ("DescribeServices", Exit::RolloutUnknown),
    ];
    let walks = cases.map(|(operation, expected)| {
        Box::pin(async move {
            let (lab, hands, _wire) =
                behind(move |called, _| if called == operation { Fault::Throttled } else { Fault::Pass }).await;
            let budget = WatchBudget { no_progress_ms: 5_000, total_ms: 8_000, ..BUDGET };
            let walked = walked(&lab, &hands, budget).await;
            assert_eq!(walked.outcome.exit, expected, "{operation}: {:?}", walked.outcome.live);
            // Never that the old one serves, which would be wrong in each case.
            assert_eq!(walked.outcome.live[0].live, Live::New, "{operation}");
            if expected != Exit::Done {
                let words = &walked.outcome.live[0].words;
                assert!(words.contains("ECS may still go on"), "{words}");
            }
            assert_eq!(lab.settled().await, "256", "{operation}");
        })
    });
    futures_util::future::join_all(walks).await;
}

/// An update whose answers never come back may have been done; that is what is said, and the same again converges.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_an_answer_is_not_known_and_the_same_again_converges() {
    for (fault, done) in [(Fault::AnswerLost, true), (Fault::Cut, false), (Fault::Broken, false)] {
        let (lab, hands, _wire) =
            behind(move |operation, _| if operation == "UpdateService" { fault } else { Fault::Pass }).await;
        let walked = walked(&lab, &hands, BUDGET).await;
        assert_eq!(walked.outcome.exit, Exit::Register, "{fault:?}");
        let live = &walked.outcome.live[0];
        assert_eq!((live.live, live.words.as_str()), (Live::Unknown, "unknown: updating app failed half-way"));
        assert_eq!(lab.settled().await, if done { "256" } else { "128" }, "{fault:?}");
        let again = next_plan(lab.live_of_service().await, definition("256"), BUDGET);
        let again = lab.walk(&again).await;
        assert_eq!(again.outcome.exit, Exit::Done, "{fault:?}");
        assert_eq!(lab.settled().await, "256", "{fault:?}");
    }
}

/// The process is gone from one moment to the next, at any of its calls: what it was, is dropped. ECS goes on with
/// what it was told, and the same again converges.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_the_same_again_converges() {
    let calls = ["RegisterTaskDefinition", "UpdateService", "DescribeServices", "DescribeTargetHealth"];
    for (operation, fault) in calls.into_iter().flat_map(|call| [(call, Fault::Cut), (call, Fault::AnswerLost)]) {
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        let (lab, hands, _wire) = behind(move |called, _| {
            if called == operation {
                count.fetch_add(1, Ordering::SeqCst);
                return if changes(called) { fault } else { Fault::Stalled };
            }
            Fault::Pass
        })
        .await;
        let plan = next_plan(lab.live_of_service().await, definition("256"), BUDGET);
        let (_canceller, cancel) = cancel::token();
        let killed = async {
            while reached.load(Ordering::SeqCst) == 0 {
                beat().await;
            }
        };
        tokio::select! {
            _ = walk(&plan, &hands, &cancel, |_| {}) => panic!("{operation} was never called"),
            () = killed => {}
        }
        let again = next_plan(lab.live_of_service().await, definition("256"), BUDGET);
        let again = lab.walk(&again).await;
        let why = again.outcome.failure.as_ref().map(|(title, error)| format!("{title}: {error}"));
        assert_eq!(again.outcome.exit, Exit::Done, "{operation} {fault:?}: {why:?}");
        assert_eq!(lab.settled().await, "256", "{operation} {fault:?}");
    }
}
