//! Steady HTTP load on a balancer, with every lost request counted and none retried: the instrument
//! that shows whether a rollout dropped anything.
//!
//! The load is open: requests are due at fixed times and are sent then, however many answers are still
//! out, as people do not wait for each other either. The time of an answer counts from when its request
//! was due, so that a stall shows in every request that came to stand in it. Connections are kept alive,
//! as browsers and proxies keep them, and a new one is opened when none is idle; one that the server
//! closed *between* requests is nobody's loss, one that ends under a request is a failure.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};

use super::clock;
use super::wire::balancer::{ASKS_TARGET, TARGET};
use super::world::Millis;

mod socket;

/// What to send, how fast.
#[derive(Debug, Clone)]
pub struct Load {
    /// `host:port` of the balancer.
    pub authority: String,
    pub path: String,
    /// Requests a second.
    pub rate: u32,
    /// At most so many requests are out at a time; what is due beyond that waits, and its wait counts.
    pub connections: u32,
    /// Every so many requests one goes to `slow_path`, so that some are in flight whenever a drain begins.
    pub slow_every: u32,
    pub slow_path: String,
    /// `WebSockets` held open all the time, and where.
    pub websockets: u32,
    pub websocket_path: String,
    /// Answers are counted by the value of this header, `x-hello-version`.
    pub count_by: Option<String>,
    /// An answer later than this is a failure.
    pub limit: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            authority: String::new(),
            path: "/".to_owned(),
            rate: 100,
            connections: 1000,
            slow_every: 0,
            slow_path: "/".to_owned(),
            websockets: 0,
            websocket_path: "/".to_owned(),
            count_by: None,
            limit: Duration::from_secs(30),
        }
    }
}

/// Where a rollout stood when a request was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is going on.
    #[default]
    Before,
    /// New tasks start, and none of them serves.
    Start,
    /// New ones serve beside the old ones.
    Shift,
    /// Old ones are out of the balancer and finish what they have begun.
    Drain,
    /// Old ones were told to end.
    Stop,
    /// Old ones are gone.
    After,
}

impl Phase {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Start => "start",
            Self::Shift => "shift",
            Self::Drain => "drain",
            Self::Stop => "stop",
            Self::After => "after",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tally {
    pub requests: u64,
    pub failed: u64,
    /// Milliseconds; of requests that were not asked to be slow.
    pub slowest_ms: u64,
    /// Good answers by the value of the header they are counted by.
    pub answers: BTreeMap<String, u64>,
    /// All answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// How many failures of each kind.
    pub failures: BTreeMap<String, u64>,
    /// The first of them.
    pub lost: Vec<Lost>,
    /// How far the load was behind its own times.
    pub late: Late,
    /// How long it was driven, in milliseconds.
    pub lasted_ms: u64,
    pub phases: BTreeMap<Phase, Share>,
    /// By the target's address, where the balancer said so.
    pub targets: BTreeMap<String, Share>,
    pub websockets: Sockets,
}

/// Requests that were not sent when they were due: this machine was too busy, or as many requests as may be out were out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Late {
    /// Those that were more than [`LATE_MS`] behind.
    pub requests: u64,
    pub longest_ms: u64,
}

/// Behind its time by more than that, a request tells more of the load than of who answers it.
pub const LATE_MS: u64 = 100;

/// Whose fault it is, so far as the answer itself tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The program answered so.
    Program,
    /// The balancer answered in the place of a program that did not.
    Balancer,
    /// There was no answer, or half of one.
    Connection,
    /// It was never sent: this machine could not.
    Load,
}

/// One part of the requests.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Share {
    pub requests: u64,
    pub failed: u64,
    /// Of requests that were not asked to be slow, and of all.
    pub slowest_ms: u64,
    pub longest_ms: u64,
    /// When the first was sent and the last answer was complete, in milliseconds since the epoch.
    pub first: Millis,
    pub last: Millis,
    /// How many took so many milliseconds.
    #[serde(skip)]
    pub times: BTreeMap<u64, u64>,
}

impl Share {
    /// The time within which this part of the requests was answered: `quantile(0.99)`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
    pub fn quantile(&self, part: f64) -> u64 {
        let all: u64 = self.times.values().sum();
        let wanted = (all as f64 * part).ceil() as u64;
        let mut seen = 0;
        let within = self.times.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        within.map_or(0, |(milliseconds, _)| *milliseconds)
    }
}

/// A request that was not answered, or answered with an error of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// When it was due, in milliseconds since the load began.
    pub at_ms: u64,
    /// The same since the epoch.
    pub at: Millis,
    pub took_ms: u64,
    pub phase: Phase,
    /// `502 from the balancer`, `connection ended under the request`.
    pub kind: String,
    pub by: Blame,
    /// `127.0.0.1:49153`, where the balancer said so.
    pub target: Option<String>,
    pub path: String,
}

/// What became of the `WebSockets`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sockets {
    pub opened: u64,
    /// Closed by the server with a Close frame, as is its right; opened again.
    pub closed: u64,
    /// Ended without one.
    pub cut: u64,
    /// Could not be opened.
    pub refused: u64,
    /// How often for what reason: `404 from the program`.
    pub refusals: BTreeMap<String, u64>,
}

/// So many failures are kept whole; the rest are only counted.
const KEPT_FAILURES: usize = 5_000;

/// One request from its due time to its end.
struct Sent {
    slow: bool,
    at_ms: u64,
    at: Millis,
    took_ms: u64,
    /// How long after it was due it was really sent.
    late_ms: u64,
    phase: Phase,
}

impl Tally {
    fn book(&mut self, load: &Load, sent: &Sent, answer: Result<Answer, Broken>) {
        let &Sent { slow, at_ms, at, took_ms, late_ms, phase } = sent;
        let (target, status, failure) = match answer {
            Ok(Answer { status, counted, target, by: _ }) if status < 500 => {
                if status < 400 {
                    *self.answers.entry(counted).or_default() += 1;
                }
                (target, Some(status), None)
            }
            Ok(Answer { status, counted: _, target, by }) => (target, Some(status), Some((told(status, by), by))),
            Err(Broken { kind, target, by }) => (target, None, Some((kind.to_owned(), by))),
        };
        self.requests += 1;
        self.late.longest_ms = self.late.longest_ms.max(late_ms);
        self.late.requests += u64::from(late_ms > LATE_MS);
        if let Some(status) = status {
            *self.statuses.entry(status).or_default() += 1;
        }
        // A request that was asked to be slow says nothing about the rollout.
        if !slow {
            self.slowest_ms = self.slowest_ms.max(took_ms);
        }
        let shares = [
            Some(self.phases.entry(phase).or_default()),
            target.as_ref().map(|target| self.targets.entry(target.clone()).or_default()),
        ];
        for share in shares.into_iter().flatten() {
            share.requests += 1;
            share.failed += u64::from(failure.is_some());
            share.first = if share.first == 0 { at } else { share.first.min(at) };
            share.last = share.last.max(at + took_ms);
            share.longest_ms = share.longest_ms.max(took_ms);
            if !slow {
                share.slowest_ms = share.slowest_ms.max(took_ms);
                *share.times.entry(took_ms).or_default() += 1;
            }
        }
        if let Some((kind, by)) = failure {
            let path = if slow { &load.slow_path } else { &load.path }.clone();
            self.failed += 1;
            *self.failures.entry(kind.clone()).or_default() += 1;
            if self.lost.len() < KEPT_FAILURES {
                self.lost.push(Lost { at_ms, at, took_ms, phase, kind, by, target, path });
            }
        }
    }
}

/// Drives the load until `stop` changes, lets the requests that are out finish, and counts.
pub async fn drive(load: Load, stop: watch::Receiver<()>) -> Tally {
    // Nobody tells of phases: all of it is one.
    let (_phases, phase) = watch::channel(Phase::Before);
    drive_through(load, phase, stop).await
}

/// The same while a rollout goes through its phases: each request is counted in the one it was due in.
pub async fn drive_through(load: Load, phase: watch::Receiver<Phase>, mut stop: watch::Receiver<()>) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let places = Arc::new(Semaphore::new(usize::try_from(load.connections.max(1)).unwrap_or(1)));
    let idle = Arc::new(Mutex::new(Vec::new()));
    let load = Arc::new(load);
    let mut sockets = JoinSet::new();
    for _ in 0..load.websockets {
        sockets.spawn(socket::hold(Arc::clone(&load), Arc::clone(&tally), stop.clone()));
    }
    let begun = Instant::now();
    let mut out = JoinSet::new();
    let mut number = 0_u64;
    loop {
        // Counted from the beginning, so that no rounding adds up.
        let due = begun + Duration::from_secs(1).mul_f64(precise(number) / f64::from(load.rate.max(1)));
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            _ = stop.changed() => break,
        }
        while let Some(ended) = out.try_join_next() {
            book_panic(&tally, &load, &ended);
        }
        number += 1;
        let slow = is_slow(number, load.slow_every);
        let phase = *phase.borrow();
        let sent = Sent { slow, at_ms: millis(due - begun), at: clock::now(), took_ms: 0, late_ms: 0, phase };
        out.spawn(send(Arc::clone(&load), Arc::clone(&places), Arc::clone(&idle), Arc::clone(&tally), sent, due));
    }
    let lasted_ms = millis(begun.elapsed());
    while let Some(ended) = out.join_next().await {
        book_panic(&tally, &load, &ended);
    }
    // They end by themselves on the same word; one that panicked has lost its count only.
    while sockets.join_next().await.is_some() {}
    let mut tally = lock(&tally).clone();
    tally.lasted_ms = lasted_ms;
    tally
}

/// One in `every`, but not each `every`th: the balancer takes targets in turn, and all slow ones would come to the same.
fn is_slow(number: u64, every: u32) -> bool {
    // Fibonacci hashing spreads neighbours evenly.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    every > 0 && spread.is_multiple_of(u64::from(every))
}

#[expect(clippy::cast_precision_loss, reason = "thousands of requests a second for years lose nothing")]
fn precise(number: u64) -> f64 {
    number as f64
}

/// A request that panicked has lost its count; that must not look like a clean run.
fn book_panic(tally: &Mutex<Tally>, load: &Load, ended: &Result<(), tokio::task::JoinError>) {
    if ended.is_err() {
        let sent = Sent { slow: false, at_ms: 0, at: clock::now(), took_ms: 0, late_ms: 0, phase: Phase::Before };
        let broken = Broken { kind: "the load generator itself failed", target: None, by: Blame::Load };
        lock(tally).book(load, &sent, Err(broken));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

type Connection = SendRequest<Empty<Bytes>>;

/// An answer that is complete.
struct Answer {
    status: u16,
    /// The value of the header that answers are counted by.
    counted: String,
    target: Option<String>,
    by: Blame,
}

/// None, or half of one.
struct Broken {
    kind: &'static str,
    target: Option<String>,
    by: Blame,
}

impl From<&'static str> for Broken {
    fn from(kind: &'static str) -> Self {
        Self { kind, target: None, by: Blame::Connection }
    }
}

/// `502 from the balancer`
fn told(status: u16, by: Blame) -> String {
    match by {
        Blame::Balancer => format!("{status} from the balancer"),
        Blame::Program | Blame::Connection | Blame::Load => format!("{status} from the program"),
    }
}

/// The balancer signs the pages it makes itself: `server: awselb/2.0`, as on AWS.
fn answered_by(response: &Response<Incoming>) -> Blame {
    let server = response.headers().get(http::header::SERVER).and_then(|server| server.to_str().ok());
    if server.is_some_and(|server| server.starts_with("awselb/")) { Blame::Balancer } else { Blame::Program }
}

async fn send(
    load: Arc<Load>,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    tally: Arc<Mutex<Tally>>,
    mut sent: Sent,
    due: Instant,
) {
    let path = if sent.slow { &load.slow_path } else { &load.path };
    let limit = due + load.limit;
    let place = tokio::time::timeout_at(limit, places.acquire()).await;
    sent.late_ms = millis(due.elapsed());
    let answer = match place {
        // Never closed.
        Ok(_place) => tokio::time::timeout_at(limit, ask(&load, path, &idle)).await,
        Err(_) => Ok(Err("not sent in time: all others waited for their answers".into())),
    };
    let answer = answer.unwrap_or_else(|_| Err("no answer in time".into()));
    sent.took_ms = millis(due.elapsed());
    lock(&tally).book(&load, &sent, answer);
}

async fn ask(load: &Load, path: &str, idle: &Mutex<Vec<Connection>>) -> Result<Answer, Broken> {
    let mut sender = loop {
        let kept = lock(idle).pop();
        match kept {
            None => break connect(&load.authority).await?,
            // The server has closed it since its last request.
            Some(kept) if kept.is_closed() => {}
            Some(mut kept) => {
                if kept.ready().await.is_ok() {
                    break kept;
                }
            }
        }
    };
    let request = request(load, path).body(Empty::new()).map_err(|_| "the path is not one")?;
    let response = sender.send_request(request).await.map_err(|_| "connection ended under the request")?;
    let (status, target, by) = (response.status().as_u16(), target(&response), answered_by(&response));
    let counted = load.count_by.as_ref().and_then(|name| response.headers().get(name)?.to_str().ok());
    let counted = counted.unwrap_or("-").to_owned();
    if response.into_body().collect().await.is_err() {
        return Err(Broken { kind: "answer cut short", target, by: Blame::Connection });
    }
    lock(idle).push(sender);
    Ok(Answer { status, counted, target, by })
}

fn request(load: &Load, path: &str) -> http::request::Builder {
    Request::get(path)
        .header(http::header::HOST, &load.authority)
        .header(http::header::USER_AGENT, "docker-ecs-ship-load")
        .header(ASKS_TARGET, "1")
}

fn target(response: &Response<Incoming>) -> Option<String> {
    Some(response.headers().get(TARGET)?.to_str().ok()?.to_owned())
}

async fn connect(authority: &str) -> Result<Connection, Broken> {
    let stream = TcpStream::connect(authority).await.map_err(|error| unconnected(&error))?;
    // Small requests must not wait for each other (Nagle).
    stream.set_nodelay(true).map_err(|_| "connection lost")?;
    let (sender, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| "connection lost")?;
    tokio::spawn(driver.with_upgrades());
    Ok(sender)
}

/// What this machine lacks is nobody else's fault.
fn unconnected(error: &std::io::Error) -> Broken {
    let own = |kind| Broken { kind, target: None, by: Blame::Load };
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => own("no file handle left on this machine"),
        Some(rustix::io::Errno::ADDRNOTAVAIL) => own("no port left on this machine"),
        _ => "connection refused".into(),
    }
}

#[cfg(test)]
mod tests;
