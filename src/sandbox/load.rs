//! Steady HTTP load on a balancer, with every lost request counted and none retried: the instrument
//! that shows whether a rollout dropped anything.
//!
//! Requests are due at fixed times. Each worker waits for its answer before it sends the next, so there
//! must be more workers than answers that are slow at one time. It keeps one connection alive, as
//! browsers and proxies do, and opens a new one only when the server closed the old one *between*
//! requests; a connection that ends under a request is a failure.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{net::TcpStream, sync::watch, time::Instant};

/// What to send, how fast.
#[derive(Debug, Clone)]
pub struct Load {
    /// `host:port` of the balancer.
    pub authority: String,
    pub path: String,
    /// Requests a second over all workers.
    pub rate: u32,
    pub workers: u32,
    /// Every so many requests one goes to `slow_path`, so that some are in flight whenever a drain begins.
    pub slow_every: u32,
    pub slow_path: String,
    /// Answers are counted by the value of this header, `x-hello-version`.
    pub count_by: Option<String>,
    /// An answer later than this is a failure.
    pub limit: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tally {
    pub requests: u64,
    pub failed: u64,
    /// Milliseconds.
    pub slowest_ms: u64,
    /// Good answers by the value of the header they are counted by.
    pub answers: BTreeMap<String, u64>,
    /// How many failures of each kind.
    pub failures: BTreeMap<String, u64>,
    /// When the first failures happened, in milliseconds since the load began, with their kind.
    pub first_failures: Vec<(u64, String)>,
}

/// So many failures are kept with their time; the rest are only counted.
const KEPT_FAILURES: usize = 20;

impl Tally {
    fn failure(&mut self, at_ms: u64, kind: &str) {
        self.failed += 1;
        *self.failures.entry(kind.to_owned()).or_default() += 1;
        if self.first_failures.len() < KEPT_FAILURES {
            self.first_failures.push((at_ms, kind.to_owned()));
        }
    }
}

/// Drives the load until `stop` changes, lets the requests that are out finish, and counts.
pub async fn drive(load: Load, stop: watch::Receiver<()>) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let load = Arc::new(load);
    let begun = Instant::now();
    let workers: Vec<_> = (0..load.workers.max(1))
        .map(|number| tokio::spawn(work(Arc::clone(&load), number, begun, Arc::clone(&tally), stop.clone())))
        .collect();
    for worker in workers {
        // A worker that panicked has lost its count; that must not look like a clean run.
        if worker.await.is_err() {
            lock(&tally).failure(0, "the load generator itself failed");
        }
    }
    lock(&tally).clone()
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn work(load: Arc<Load>, number: u32, begun: Instant, tally: Arc<Mutex<Tally>>, mut stop: watch::Receiver<()>) {
    let workers = load.workers.max(1);
    let between = Duration::from_secs(1) * workers / load.rate.max(1);
    // Workers start evenly spread over the first interval.
    let mut due = begun + between * number / workers;
    let mut connection = None;
    let mut sent = number;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            _ = stop.changed() => return,
        }
        sent = sent.wrapping_add(1);
        let slow = load.slow_every > 0 && sent.is_multiple_of(load.slow_every);
        let path = if slow { &load.slow_path } else { &load.path };
        let at_ms = millis(begun.elapsed());
        let asked = Instant::now();
        let answer = tokio::time::timeout(load.limit, ask(&load, path, &mut connection)).await;
        let took = millis(asked.elapsed());
        let mut tally = lock(&tally);
        tally.requests += 1;
        match answer {
            Ok(Ok((status, value))) => {
                if status < 400 {
                    *tally.answers.entry(value).or_default() += 1;
                } else {
                    tally.failure(at_ms, &format!("status {status}"));
                }
                // A request that was asked to be slow says nothing about the rollout.
                if !slow {
                    tally.slowest_ms = tally.slowest_ms.max(took);
                }
            }
            Ok(Err(kind)) => {
                tally.failure(at_ms, kind);
                connection = None;
            }
            Err(_) => {
                tally.failure(at_ms, "no answer in time");
                connection = None;
            }
        }
        drop(tally);
        due += between;
        // A worker that a slow answer held up takes up the beat again; it does not send a burst.
        if due < Instant::now() {
            due = Instant::now();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

type Connection = SendRequest<Empty<Bytes>>;

async fn ask(load: &Load, path: &str, connection: &mut Option<Connection>) -> Result<(u16, String), &'static str> {
    let mut kept = connection.take();
    if let Some(sender) = &mut kept
        && sender.ready().await.is_err()
    {
        kept = None;
    }
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(&load.authority).await?,
    };
    let request = Request::get(path)
        .header("host", &load.authority)
        .header("user-agent", "docker-ecs-ship-load")
        .body(Empty::new())
        .map_err(|_| "the path is not one")?;
    let answer = sender.send_request(request).await.map_err(|_| "connection ended under the request")?;
    let status = answer.status().as_u16();
    let value = load.count_by.as_ref().and_then(|name| answer.headers().get(name)?.to_str().ok());
    let value = value.unwrap_or("-").to_owned();
    answer.into_body().collect().await.map_err(|_| "answer cut short")?;
    *connection = Some(sender);
    Ok((status, value))
}

async fn connect(authority: &str) -> Result<Connection, &'static str> {
    let stream = TcpStream::connect(authority).await.map_err(|_| "connection refused")?;
    // Small requests must not wait for each other (Nagle).
    stream.set_nodelay(true).map_err(|_| "connection lost")?;
    let (sender, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| "connection lost")?;
    tokio::spawn(driver);
    Ok(sender)
}
