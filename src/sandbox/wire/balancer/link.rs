//! The way to one target: its connections, and who is on them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::super::super::world::elb::Target;
use super::body::Upload;
use super::{Traffic, address, lock};

/// "The load balancer failed to establish a connection to the target before the connection timeout expired (10
/// seconds)", says the troubleshooting page of 504.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection idle for longer is not used again.
const MAX_IDLE: Duration = Duration::from_mins(1);

/// A request that cannot be sent twice takes only a connection idle for less: servers close idle ones after seconds
/// (gunicorn 2, Node 5, nginx 75), and one that is being closed right now swallows the request.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// More idle connections than this to one target are not kept.
const MAX_KEPT: usize = 512;

pub(super) struct Link {
    group: String,
    target: Target,
    cookie: String,
    /// Whether new requests may take this way.
    open: AtomicBool,
    /// Most recently used last.
    idle: Mutex<VecDeque<Idle>>,
    /// True when the target is gone: every connection to it ends.
    severed: watch::Sender<bool>,
    requests: AtomicU64,
    in_flight: AtomicUsize,
}

struct Idle {
    sender: SendRequest<Upload>,
    since: Instant,
}

/// What a request may ride on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// Any idle connection: it can be sent again if that turns out to be closed.
    Any,
    /// One used a moment ago.
    Recent,
    /// A new one only.
    New,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreachable {
    Refused,
    TimedOut,
}

impl Link {
    pub(super) fn new(group: &str, target: &Target) -> Self {
        let cookie = hex::encode(Sha256::digest(format!("{group} {target}")));
        Self {
            group: group.to_owned(),
            target: target.clone(),
            cookie,
            open: AtomicBool::new(false),
            idle: Mutex::default(),
            severed: watch::Sender::new(false),
            requests: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// The value of the `AWSALB` cookie that leads here.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            target_group: self.group.clone(),
            target: self.target.clone(),
            requests: self.requests.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::SeqCst),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// No new requests; idle connections are closed, busy ones finish.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        // After the flag: whoever gives a connection back looks at the flag with the pool locked.
        lock(&self.idle).clear();
    }

    /// The target is gone: cuts what is left. "502: the deregistration delay period elapsed for a request being handled
    /// by a target that was deregistered".
    pub(super) fn retire(&self) {
        self.close();
        self.severed.send_replace(true);
    }

    pub(super) fn is_gone(&self) -> bool {
        *self.severed.borrow()
    }

    /// Ends when the target is gone.
    pub(super) async fn gone(&self) {
        // The sender is ours, so there is no other way to end than the value.
        let _ = self.severed.subscribe().wait_for(|severed| *severed).await;
    }

    /// An idle connection, newest first: the oldest are the likeliest to be closed by the other side.
    pub(super) fn reuse(&self, fit: Fit) -> Option<SendRequest<Upload>> {
        let limit = match fit {
            Fit::Any => MAX_IDLE,
            Fit::Recent => FRESH,
            Fit::New => return None,
        };
        let mut idle = lock(&self.idle);
        while let Some(Idle { sender, since }) = idle.pop_back() {
            if sender.is_closed() {
                continue;
            }
            if since.elapsed() > limit {
                // All others are older still; for a request that is less particular they may do.
                if fit == Fit::Any {
                    idle.clear();
                } else {
                    idle.push_back(Idle { sender, since });
                }
                return None;
            }
            return Some(sender);
        }
        None
    }

    /// A new connection. It lives in a task of its own until either side closes it or the target is gone.
    pub(super) async fn connect(&self) -> Result<SendRequest<Upload>, Unreachable> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address(&self.target, self.target.port)));
        let stream = stream.await.map_err(|_| Unreachable::TimedOut)?.map_err(|_| Unreachable::Refused)?;
        let _ = stream.set_nodelay(true);
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| Unreachable::Refused)?;
        let mut severed = self.severed.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                // Its error has reached the request that was on it; idle, it is no error.
                _ = connection.with_upgrades() => {}
                _ = severed.wait_for(|severed| *severed) => {}
            }
        });
        Ok(sender)
    }

    fn keep(&self, sender: SendRequest<Upload>) {
        let mut idle = lock(&self.idle);
        if !self.is_open() || sender.is_closed() {
            return;
        }
        while idle.len() >= MAX_KEPT || idle.front().is_some_and(|oldest| oldest.since.elapsed() > MAX_IDLE) {
            idle.pop_front();
        }
        idle.push_back(Idle { sender, since: Instant::now() });
    }
}

/// A request on its way to a target, from the choice of the target to the end of the answer.
pub(super) struct Flight {
    link: Arc<Link>,
}

impl Flight {
    pub(super) fn begin(link: Arc<Link>) -> Self {
        link.in_flight.fetch_add(1, Ordering::SeqCst);
        Self { link }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Counts the request as sent to the target.
    pub(super) fn sent(&self) {
        self.link.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer is complete; its connection is kept for another one.
    pub(super) fn land(self, mut sender: SendRequest<Upload>) {
        if sender.is_ready() {
            self.link.keep(sender);
            return;
        }
        // The connection's task has not noticed the end yet, or the request's body is still on its way.
        let link = Arc::clone(&self.link);
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                link.keep(sender);
            }
        });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.link.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
