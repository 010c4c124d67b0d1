//! The real load balancer: listens, forwards and probes as the world's ELBv2 says.
//!
//! No request takes the world's lock. The world hands over a new table with every change ([`DataPlane::publish`], called
//! before the changing call returns), and every request reads the table that is current when its head has arrived.
//!
//! Why a target that drains gets nothing new: `publish` (1) replaces the table, then (2) closes the links of targets that
//! no longer serve. A request (a) takes a target from the table, (b) counts itself in flight there, (c) looks whether the
//! link is still open, and only then sends. Whoever read the old table either counts as in flight before `publish` is
//! through, or sees the closed link and chooses again from the new table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::super::clock;
use super::super::world::elb::{DataPlane, HealthCheck, ListenerRoute, Probing, Routes, Target};
use super::super::world::{Pace, World};
use link::Link;
use table::Table;

mod body;
mod link;
mod page;
mod probe;
mod relay;
mod table;
#[cfg(test)]
mod tests;

pub(in super::super) use relay::{ASKS_TARGET, TARGET};

/// How often time passes for drains and registrations, and how often a port that was busy is tried again.
const PULSE: Duration = Duration::from_millis(50);

/// The same for a world in real time, whose shortest drain is a second.
const SLOW_PULSE: Duration = Duration::from_millis(250);

/// How long the requests in flight may take once their listener is deleted or the balancer stops.
const GRACE: Duration = Duration::from_secs(5);

/// The balancer of a world.
pub struct Balancer {
    world: Arc<Mutex<World>>,
    plane: Arc<Plane>,
    pulse: AbortHandle,
}

impl std::fmt::Debug for Balancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Balancer").field("traffic", &self.traffic()).finish_non_exhaustive()
    }
}

/// What one target has had to do since it was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    pub target_group: String,
    pub target: Target,
    /// Requests sent to it.
    pub requests: u64,
    /// Requests whose answer is not complete yet, tunnels included.
    pub in_flight: usize,
}

impl Balancer {
    /// Listens on the ports of all listeners and begins to probe. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(world: Arc<Mutex<World>>, addresses: Vec<IpAddr>) -> Self {
        let mut locked = lock(&world);
        let plane = Arc::new(Plane {
            handle: Handle::current(),
            world: Arc::downgrade(&world),
            pace: locked.pace,
            addresses,
            table: RwLock::default(),
            sockets: Mutex::default(),
            probes: Mutex::default(),
            connections: watch::Sender::new(()),
            trace: relay::Trace::new(),
        });
        // A method of the `Arc` is needed inside the plane, hence the two steps.
        locked.elb.connect(Arc::new(Connected(Arc::clone(&plane))));
        drop(locked);
        let pulse = tokio::spawn(pulse(Arc::clone(&plane))).abort_handle();
        Self { world, plane, pulse }
    }

    /// Stops listening, lets the requests in flight finish for a while, and cuts what is left.
    pub async fn stop(&self) {
        lock(&self.world).elb.disconnect();
        self.pulse.abort();
        lock(&self.plane.probes).clear();
        lock(&self.plane.sockets).clear();
        // The tasks give up by themselves after GRACE; the margin is for them to notice.
        let _ = timeout(GRACE + PULSE, self.plane.connections.closed()).await;
        for link in self.plane.table().links() {
            link.retire();
        }
    }

    /// Each target's counters, as of now.
    #[must_use]
    pub fn traffic(&self) -> Vec<Traffic> {
        self.plane.table().links().map(|link| link.traffic()).collect()
    }

    /// Ports of listeners that could not be bound (after a restart, when something else has taken one meanwhile), and
    /// why. They are tried again all the time.
    #[must_use]
    pub fn unbound(&self) -> Vec<(u16, String)> {
        lock(&self.plane.sockets).refused.clone().into_iter().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves a value half changed when it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pulse(plane: Arc<Plane>) {
    let mut pulse = interval(plane.pace.scaled(SLOW_PULSE).clamp(PULSE, SLOW_PULSE));
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        let Some(world) = plane.world.upgrade() else { return };
        lock(&world).elb.tick(plane.pace, clock::now());
        plane.open_refused();
    }
}

/// What the world is connected to: the plane's own `Arc`, so that it can give itself to the tasks it starts.
struct Connected(Arc<Plane>);

struct Plane {
    handle: Handle,
    /// Weak: the world holds the plane.
    world: Weak<Mutex<World>>,
    pace: Pace,
    /// What every listener listens on.
    addresses: Vec<IpAddr>,
    table: RwLock<Arc<Table>>,
    sockets: Mutex<Sockets>,
    probes: Mutex<HashMap<(String, Target), Probe>>,
    /// Every task of a client's connection holds a receiver; `closed()` waits until there is none.
    connections: watch::Sender<()>,
    trace: relay::Trace,
}

/// The listening ports.
#[derive(Default)]
struct Sockets {
    open: BTreeMap<u16, Socket>,
    /// Already listening for a listener that is about to be recorded; clients wait in the backlog.
    reserved: BTreeMap<u16, Vec<TcpListener>>,
    /// Recorded, but not to be had.
    refused: BTreeMap<u16, String>,
}

impl Sockets {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A port with its accepting tasks, one for each address. Dropping it closes the port at once, not when the task is next run: `CreateListener`
/// right after `DeleteListener` must find it free. Dropping `closing` tells the clients' connections to finish.
struct Socket {
    _listeners: Vec<Arc<TcpListener>>,
    accepting: Vec<AbortHandle>,
    _closing: watch::Sender<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.accepting.iter().for_each(AbortHandle::abort);
    }
}

/// A running health check; dropping it ends it.
struct Probe {
    check: HealthCheck,
    task: AbortHandle,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DataPlane for Connected {
    fn reserve(&self, port: u16) -> std::io::Result<u16> {
        let Self(plane) = self;
        let (listeners, port) = plane.listen(port)?;
        lock(&plane.sockets).reserved.insert(port, listeners);
        Ok(port)
    }

    fn publish(&self, routes: Routes) {
        let Self(plane) = self;
        plane.route(&routes);
        plane.open(&routes);
        plane.probe(&routes);
    }
}

impl Plane {
    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the table, then closes the links that no longer serve. In this order: see the module's head.
    fn route(&self, routes: &Routes) {
        let old = self.table();
        let new = Arc::new(Table::new(routes, &old));
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        new.settle(&old);
    }

    /// Listens on the port at every address; any free one for 0.
    fn listen(&self, mut port: u16) -> std::io::Result<(Vec<TcpListener>, u16)> {
        let _runtime = self.handle.enter();
        let mut listeners = Vec::new();
        for ip in &self.addresses {
            let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // So that a restart can have the port while old connections are in TIME_WAIT.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(*ip, port))?;
            let listener = socket.listen(1024)?;
            port = listener.local_addr()?.port();
            listeners.push(listener);
        }
        Ok((listeners, port))
    }

    fn open(self: &Arc<Self>, routes: &Routes) {
        let wanted: BTreeSet<u16> = routes.listeners.iter().map(|listener| listener.port).collect();
        let mut sockets = lock(&self.sockets);
        sockets.open.retain(|port, _| wanted.contains(port));
        sockets.refused.retain(|port, _| wanted.contains(port));
        for port in wanted {
            self.open_one(&mut sockets, port);
        }
    }

    fn open_refused(self: &Arc<Self>) {
        let mut sockets = lock(&self.sockets);
        for port in sockets.refused.keys().copied().collect::<Vec<_>>() {
            self.open_one(&mut sockets, port);
        }
    }

    fn open_one(self: &Arc<Self>, sockets: &mut Sockets, port: u16) {
        if sockets.open.contains_key(&port) {
            return;
        }
        let reserved = sockets.reserved.remove(&port);
        let listeners: Vec<_> = match reserved.map_or_else(|| self.listen(port).map(|(listeners, _)| listeners), Ok) {
            Ok(listeners) => listeners.into_iter().map(Arc::new).collect(),
            Err(error) => {
                sockets.refused.insert(port, error.to_string());
                return;
            }
        };
        sockets.refused.remove(&port);
        let closing = watch::Sender::new(());
        let accepting = |listener| {
            let accepting = accept(Arc::downgrade(listener), Arc::clone(self), port, closing.subscribe());
            self.handle.spawn(accepting).abort_handle()
        };
        let accepting = listeners.iter().map(accepting).collect();
        sockets.open.insert(port, Socket { _listeners: listeners, accepting, _closing: closing });
    }

    fn probe(self: &Arc<Self>, routes: &Routes) {
        let mut probes = lock(&self.probes);
        let mut old = std::mem::take(&mut *probes);
        for group in &routes.groups {
            for route in group.targets.iter().filter(|route| route.probing == Probing::On) {
                let key = (group.arn.clone(), route.target.clone());
                let running = old.remove(&key).filter(|probe| probe.check == group.check);
                let probe = running.unwrap_or_else(|| {
                    let repeat = probe::repeat(
                        self.world.clone(),
                        self.pace,
                        group.arn.clone(),
                        route.target.clone(),
                        group.check.clone(),
                    );
                    Probe { check: group.check.clone(), task: self.handle.spawn(repeat).abort_handle() }
                });
                probes.insert(key, probe);
            }
        }
    }
}

async fn accept(listener: Weak<TcpListener>, plane: Arc<Plane>, port: u16, closing: watch::Receiver<()>) {
    loop {
        // The listener is borrowed for the moment of asking only: whoever drops the `Socket` closes the port.
        let accepted = std::future::poll_fn(|context| match listener.upgrade() {
            Some(listener) => listener.poll_accept(context).map(Some),
            None => std::task::Poll::Ready(None),
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, client))) => {
                let alive = plane.connections.subscribe();
                tokio::spawn(attend(stream, client, Arc::clone(&plane), port, closing.clone(), alive));
            }
            // The client went away in the backlog, or there are no file descriptors left, which takes a while to pass.
            Some(Err(_)) => {
                let _ = timeout(PULSE, std::future::pending::<()>()).await;
            }
        }
    }
}

/// One client's connection.
async fn attend(
    stream: TcpStream,
    client: SocketAddr,
    plane: Arc<Plane>,
    port: u16,
    mut closing: watch::Receiver<()>,
    _alive: watch::Receiver<()>,
) {
    let _ = stream.set_nodelay(true);
    let begun = Instant::now();
    let seconds = |listener: &ListenerRoute| (listener.idle_timeout_seconds, listener.client_keep_alive_seconds);
    let (idle, keep_alive) = plane.table().listener(port).map_or((60, 3600), seconds);
    let until = closing.clone();
    let service = hyper::service::service_fn(move |request| {
        let (plane, until) = (Arc::clone(&plane), until.clone());
        async move {
            let mut answer = relay::serve(&plane, port, client, until, request).await?;
            if let Some(listener) = plane.table().listener(port) {
                relay::dress(listener, &mut answer);
            }
            if begun.elapsed() >= Duration::from_secs(keep_alive) && answer.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, relay::ListenerGone>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(Duration::from_secs(idle))
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // An error is the client's affair: it is gone, or did not speak HTTP and has had its 400.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = closing.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(GRACE, connection).await;
        }
    }
}

/// Where a target listens. What is no address is an instance, and there is one host here.
fn address(target: &Target, port: u16) -> SocketAddr {
    SocketAddr::new(target.address.parse().unwrap_or(Ipv4Addr::LOCALHOST.into()), port)
}
