//! The sandbox: an embedded stand-in for ECR, ECS, ELBv2, CloudWatch Logs, Parameter Store, Secrets Manager and STS on
//! loopback.
//!
//! It imports nothing of the rest of the program: to it the sandbox is one more AWS endpoint, and if they
//! shared types they would share mistakes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub mod clock;
pub mod daemon;
pub mod differences;
mod emulated;
mod fault;
pub mod forecast;
pub mod load;
pub mod scenario;
mod script;
mod state;
pub mod tasks;
pub mod wire;
pub mod witness;
pub mod world;

pub use state::StateError;
pub use tasks::{Tasks, Timeouts};
pub use wire::signature::Signatures;
pub use world::ecs::StopTask;

use fault::Faults;
use load::Phase;
use scenario::Scenario;
use script::Script;
use state::{Folder, Keeper};
use wire::balancer::Balancer;
use wire::registry::Store;
use witness::{HealthQuestion, Witness};
use world::ecs::sight;
use world::{FORMAT, Pace, Place, World};

/// The port that the sandbox listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The one of the last time, since image references hold it, else any that is free.
    Any,
    /// This one or none.
    Fixed(u16),
    /// This one if it is free, else as [`Port::Any`].
    Preferred(u16),
}

/// The file in the state folder that says what image scans find.
const FINDINGS: &str = "findings.json";

/// The port a sandbox has unless told otherwise: one that no service is known to use.
pub const PORT: u16 = 4517;

#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that holds the world, and the blobs of its registry.
    pub state: PathBuf,
    pub port: Port,
    /// How many times faster than AWS: durations are divided by it.
    pub speed: f64,
    pub tasks: Tasks,
    /// How long the limits on a program's own time last.
    pub timeouts: Timeouts,
    /// What is to go wrong.
    pub scenario: Scenario,
    /// Twelve digits.
    pub account: String,
    pub region: String,
    pub signatures: Signatures,
    /// What a `StopTask` does to a task behind a target.
    pub stop_task: StopTask,
    /// Where the APIs, the registry and the listeners of load balancers can be reached: on loopback, and here.
    pub bind: IpAddr,
}

impl Settings {
    /// An account of zeros in us-east-1, in real time, on paper.
    #[must_use]
    pub fn new(state: PathBuf) -> Self {
        Self {
            state,
            port: Port::Any,
            speed: 1.0,
            tasks: Tasks::Paper,
            timeouts: Timeouts::Scaled,
            scenario: Scenario::default(),
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            signatures: Signatures::Verified,
            stop_task: StopTask::SignalsAtOnce,
            bind: Ipv4Addr::LOCALHOST.into(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot use the blobs of the sandbox's registry")]
    Store { source: io::Error },
    #[error("cannot write the state of the sandbox")]
    Keep { source: io::Error },
    #[error("cannot see to the containers of an earlier run")]
    Engine { source: Box<bollard::errors::Error> },
}

/// The sandbox itself; [`Sandbox::start`] gives the handle of a running one.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox;

impl Sandbox {
    /// Starts a sandbox, or picks up where the one before it on the same state was stopped or killed.
    #[expect(clippy::similar_names, reason = "the world's own names, of types that cannot be mixed up")]
    pub async fn start(settings: Settings) -> Result<Handle, StartError> {
        let Settings { state, port, speed, tasks, timeouts, scenario, account, region, signatures, stop_task, bind } =
            settings;
        let substance = tasks.substance();
        let folder = Folder::open(&state)?;
        let earlier = folder.load()?;
        let before = earlier.as_ref().and_then(|world| world.place.authority.rsplit_once(':')?.1.parse().ok());
        let (listeners, port) = listen(bind, port, before).await?;
        let place = Place { account, region, authority: format!("127.0.0.1:{port}") };
        let pace = Pace::new(speed);
        let world = match earlier {
            Some(world) => World { format: FORMAT, place, pace, ..world },
            None => World::new(place, pace, seed()),
        };
        let mut world = world;
        world::ecs::stop_task_does(&mut world, stop_task);
        let script = Arc::new(Script::new(&scenario));
        world::ecs::hindered_by(&mut world, script.hindrances());
        let authority = world.place.authority.clone();
        let store = Store::open(&folder.path().join("registry")).map_err(|source| StartError::Store { source })?;
        store.sweep(world.ecr.blobs()).map_err(|source| StartError::Store { source })?;
        let world = Arc::new(Mutex::new(world));
        let keeper = Keeper::new(&folder, Arc::clone(&world));
        let manner = tasks::Manner { timeouts, script };
        let crew = tasks::Crew::muster(tasks, manner, &folder.identity, Arc::clone(&world), keeper.clone())
            .await
            .map_err(|source| StartError::Engine { source: Box::new(source) })?;
        keeper.keep().await.map_err(|source| StartError::Keep { source })?;
        let endpoint = format!("http://{authority}");
        let card = json!({
            "sandbox": folder.identity, "pid": std::process::id(), "endpoint": endpoint, "registry": authority,
            "speed": pace.speed(), "tasks": substance, "started": clock::now()
        });
        let balancer = Balancer::start(Arc::clone(&world), addresses(bind));
        let faults = Arc::new(Faults::new(scenario.faults));
        let (stop, stopped) = watch::channel(false);
        let desk = wire::Desk {
            world: Arc::clone(&world),
            keeper: keeper.clone(),
            store,
            signatures,
            findings: folder.path().join(FINDINGS),
            faults: Arc::clone(&faults),
            card: card.clone(),
        };
        let server = tokio::spawn(wire::serve(listeners, Arc::new(desk), stopped.clone()));
        let crew = tokio::spawn(crew.work(stopped.clone()));
        let writer = tokio::spawn(write(keeper.clone(), stopped));
        Ok(Handle {
            endpoint,
            authority,
            card,
            world,
            faults,
            keeper,
            balancer,
            stop,
            server,
            crew,
            writer,
            _folder: folder,
        })
    }
}

/// The addresses to listen on so that what is wanted and loopback can both be reached: clients, the engine and our own probes
/// come by loopback, whoever else is let in.
fn addresses(bind: IpAddr) -> Vec<IpAddr> {
    match bind {
        IpAddr::V4(bind) if bind.is_unspecified() || bind == Ipv4Addr::LOCALHOST => vec![bind.into()],
        other => vec![Ipv4Addr::LOCALHOST.into(), other],
    }
}

/// Binds the port that is asked for, or the next best.
async fn listen(bind: IpAddr, port: Port, before: Option<u16>) -> Result<(Vec<TcpListener>, u16), StartError> {
    let tries: Vec<u16> = match port {
        Port::Any => before.into_iter().chain([0]).collect(),
        Port::Fixed(port) => vec![port],
        Port::Preferred(port) => [port].into_iter().chain(before).chain([0]).collect(),
    };
    let mut failure = None;
    for port in tries {
        match listen_on(&addresses(bind), port).await {
            Ok(listening) => return Ok(listening),
            Err(failed) => failure = Some(failed),
        }
    }
    Err(failure.expect("there is always a port to try"))
}

/// The same port on all addresses; where any will do, the first one's.
async fn listen_on(addresses: &[IpAddr], mut port: u16) -> Result<(Vec<TcpListener>, u16), StartError> {
    let mut listeners = Vec::new();
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        let bound = TcpListener::bind(address).await.and_then(|bound| Ok((bound.local_addr()?.port(), bound)));
        let (taken, listener) = bound.map_err(|source| StartError::Listen { address, source })?;
        port = taken;
        listeners.push(listener);
    }
    Ok((listeners, port))
}

/// Without randomness ids begin where the clock is.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| clock::now())
}

/// Writes the world down whenever it has changed, at most a few times a second.
async fn write(keeper: Keeper, mut stop: watch::Receiver<bool>) {
    let mut pause = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            () = keeper.due() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        // A disk that is full now may not be later; calls that must be kept answer with the failure themselves.
        let _later = keeper.keep().await;
        pause.tick().await;
    }
}

/// A running sandbox. Dropped without [`Handle::stop`], it ends with its runtime, as if it were killed.
pub struct Handle {
    endpoint: String,
    authority: String,
    card: serde_json::Value,
    world: Arc<Mutex<World>>,
    faults: Arc<Faults>,
    keeper: Keeper,
    balancer: Balancer,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    crew: JoinHandle<()>,
    writer: JoinHandle<()>,
    /// Held until everything else has ended.
    _folder: Folder,
}

impl Handle {
    /// `http://127.0.0.1:4517`
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// `127.0.0.1:4517`, the registry's host in image references.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The world, for tests that look at what no call shows. Never hold it across an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics while holding the world")
    }

    /// Begins to watch a rollout of a service, and tells its phase as it changes.
    #[must_use]
    pub fn witness(&self, service: &str, questions: Vec<HealthQuestion>, phase: watch::Sender<Phase>) -> Witness {
        Witness::begin(Arc::clone(&self.world), service, questions, phase)
    }

    /// How many calls each fault of the scenario has struck, in their order.
    #[must_use]
    pub fn struck(&self) -> Vec<u64> {
        self.faults.struck()
    }

    /// Waits until nothing of a service is being rolled out, but no longer than `limit`.
    pub async fn settled(&self, service: &str, limit: Duration) {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        let settling = async {
            while sight::rolls_out(&self.world(), service) {
                beat.tick().await;
            }
        };
        // What has not settled by then is reported as it stands.
        let _over = tokio::time::timeout(limit, settling).await;
    }

    /// Who it is, as it answers to whoever asks over HTTP.
    #[must_use]
    pub fn running(&self) -> daemon::Running {
        serde_json::from_value(self.card.clone()).expect("the card is made of the same members")
    }

    pub(super) fn card(&self) -> &serde_json::Value {
        &self.card
    }

    /// Stops answering, removes every container it started, and writes the world down.
    pub async fn stop(self) {
        let Self { balancer, stop, server, crew, writer, keeper, .. } = self;
        // Requests that are being answered by a task come before the task.
        balancer.stop().await;
        // All receivers gone means that everything has ended by itself.
        let _ended = stop.send(true);
        let _server = server.await;
        let _crew = crew.await;
        let _writer = writer.await;
        // The state of the last call is on disk already; what is lost here is what a kill would lose.
        let _kept = keeper.keep().await;
    }
}

#[cfg(test)]
mod tests;
