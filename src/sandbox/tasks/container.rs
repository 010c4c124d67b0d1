//! One task as real containers: pull, create, start, attend until they end, remove.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerState, HealthConfig, HealthStatusEnum, HostConfig,
    PortBinding, ResourcesUlimits,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
    StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::clock;
use super::super::scenario::{Crash, OnStop};
use super::super::script::{Act, why_it_fails};
use super::super::world::ecs::run::{self, Image, Launch, Part, Report, Started};
use super::super::world::ecs::{Binding, ContainerHealth};
use super::super::world::elb::Process;
use super::super::world::{Millis, Pace};
use super::order::{self, Seen, Way};
use super::{Timeouts, Yard};

/// Labels every container of a sandbox carries.
const SANDBOX: &str = "ecs-ship.sandbox";
const TASK: &str = "ecs-ship.task";
const CONTAINER: &str = "ecs-ship.container";

/// How often a container's health is asked for; the engine itself checks at the container's own interval.
const HEALTH_LOOK: Duration = Duration::from_millis(500);

/// How often a container that others depend on is asked for.
const DEPENDENCY_LOOK: Duration = Duration::from_millis(200);

/// How often an engine that has gone is asked whether it is back.
const ENGINE_LOOK: Duration = Duration::from_millis(500);

/// How long the last lines of an ended container may take to come out of the engine.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How many containers are removed at once. The engine takes some 0.13 s over each, however many it is asked for (60 took
/// 8.1 s all at once, 9.0 s by eight, 9.6 s by four): more than this only has others wait for their answers.
pub(super) const AT_ONCE: usize = 16;

/// How long an engine that is to remove containers may be silent. What it has not removed by then is left to the next start.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The same for one that is only asked.
const COUNTING: Duration = Duration::from_secs(3);

/// Fargate's shortest `stopTimeout`. A process needs real time to stop, however fast the world runs.
const SHORTEST_STOP: u64 = 2;

/// A container there is.
#[derive(Debug, Clone)]
pub(super) struct Found {
    id: String,
    name: String,
    /// Volumes made for its task alone.
    volumes: Vec<String>,
}

/// One that is attended.
#[derive(Debug, Clone)]
pub(super) struct Live {
    id: String,
    part: Part,
    /// Seconds since the epoch: where its log begins that has not been read.
    read_from: i32,
    started_at: Millis,
}

/// What a scenario has in store for a task, and whether it has come to pass.
#[derive(Debug, Default)]
struct Play {
    act: Act,
    crashed: AtomicBool,
}

/// All containers of a sandbox, by task.
pub(super) async fn find(docker: &Docker, identity: &str) -> Result<HashMap<String, Vec<Found>>, Error> {
    let filters = HashMap::from([("label", vec![format!("{SANDBOX}={identity}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let mut tasks = HashMap::<String, Vec<Found>>::new();
    for container in docker.list_containers(Some(options)).await? {
        let mut labels = container.labels.unwrap_or_default();
        let Some(id) = container.id else { continue };
        let (name, task) = (labels.remove(CONTAINER).unwrap_or_default(), labels.remove(TASK).unwrap_or_default());
        let own = volume_of(&task, "");
        let mounts = container.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.name);
        let volumes = mounts.filter(|volume| volume.starts_with(&own)).collect();
        tasks.entry(task).or_default().push(Found { id, name, volumes });
    }
    Ok(tasks)
}

/// The containers of a task, if every one of its definition is there.
pub(super) fn match_up(task: &str, definition: &Value, found: &[Found]) -> Option<Vec<Live>> {
    let read_from = i32::try_from(clock::now() / 1000).unwrap_or(i32::MAX);
    run::parts_of(task, definition)
        .into_iter()
        .map(|part| {
            let container = found.iter().find(|found| found.name == part.name)?;
            Some(Live { id: container.id.clone(), part, read_from, started_at: clock::now() })
        })
        .collect()
}

/// Removes containers that nobody attends, and with them the volumes of their tasks: so many at once, for as long as the
/// engine still gets on with it. They are killed: whom they would still answer has gone with the balancer.
pub(super) async fn clear(docker: &Docker, found: impl IntoIterator<Item = Found>) {
    let found: Vec<Found> = found.into_iter().collect();
    let removals: Vec<_> = found.iter().map(|found| remove(docker, &found.id)).collect();
    let mut removing = futures_util::stream::iter(removals).buffer_unordered(AT_ONCE);
    while let Ok(Some(())) = tokio::time::timeout(PATIENCE, removing.next()).await {}
    let volumes = async {
        for volume in found.iter().flat_map(|found| &found.volumes) {
            // Two containers of a task may share it: then it is gone the second time.
            let _gone = docker.remove_volume(volume, None::<RemoveVolumeOptions>).await;
        }
    };
    let _all = tokio::time::timeout(PATIENCE, volumes).await;
}

/// How many containers of a sandbox there are. An engine that does not answer does not say.
pub(super) async fn count(docker: &Docker, identity: &str) -> Option<usize> {
    let found = tokio::time::timeout(COUNTING, find(docker, identity)).await.ok()?.ok()?;
    Some(found.values().map(Vec::len).sum())
}

async fn remove(docker: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    // Gone already, or an engine that is going: the next start looks again.
    let _gone = docker.remove_container(id, Some(options)).await;
}

/// Why a task did not come up.
enum Setback {
    Failed {
        container: Option<String>,
        reason: String,
    },
    /// It was told to stop meanwhile.
    CutShort,
}

/// The whole life of one task.
pub(super) async fn run(docker: Docker, yard: Arc<Yard>, task: String, stop: watch::Receiver<bool>) {
    yard.report(&task, Report::PullStarted);
    let Some(launch) = run::launch(&mut yard.world(), &task, clock::now()) else { return };
    let play = Play { act: yard.script.act(&yard.world(), &task), ..Play::default() };
    let mut attendance = Attendance::begin(docker, yard, task, stop, play);
    match attendance.bring_up(&launch).await {
        Ok(started) => {
            attendance.play_health(&started);
            attendance.yard.report(&launch.task, Report::Started(started));
            attendance.until_ended().await;
        }
        Err(Setback::Failed { container, reason }) => {
            let yard = Arc::clone(&attendance.yard);
            attendance.give_up().await;
            yard.report(&launch.task, Report::FailedToStart { container, reason });
        }
        // What stands already is stopped in its order.
        Err(Setback::CutShort) => attendance.until_ended().await,
    }
}

/// Takes up a task whose containers are all there.
pub(super) async fn attend(
    docker: Docker,
    yard: Arc<Yard>,
    task: String,
    containers: Vec<Live>,
    stop: watch::Receiver<bool>,
) {
    // A scenario is not played twice.
    let mut attendance = Attendance::begin(docker, yard, task, stop, Play::default());
    for live in containers {
        attendance.take(live);
    }
    attendance.until_ended().await;
}

async fn remove_all(docker: &Docker, containers: &[Live]) {
    future::join_all(containers.iter().map(|live| remove(docker, &live.id))).await;
}

/// Waits for what may take long, but not beyond the order to stop. Calls that make something are never cut short:
/// what they had made would be left behind.
async fn unless_stopped<T>(
    yard: &Yard,
    stop: &mut watch::Receiver<bool>,
    long: impl Future<Output = T>,
) -> Result<T, Setback> {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Err(Setback::CutShort),
        () = yard.left() => Err(Setback::CutShort),
        done = long => Ok(done),
    }
}

/// The containers of one task, as far as they have been started, and who looks after them.
struct Attendance {
    docker: Docker,
    yard: Arc<Yard>,
    task: String,
    stop: watch::Receiver<bool>,
    containers: Vec<Live>,
    ends: JoinSet<()>,
    sides: JoinSet<()>,
    play: Arc<Play>,
    /// Whether ends may be told. Not while containers are being started: one that ends at once has been RUNNING all the
    /// same, and that must be told first.
    open: watch::Sender<bool>,
}

impl Attendance {
    fn begin(docker: Docker, yard: Arc<Yard>, task: String, stop: watch::Receiver<bool>, play: Play) -> Self {
        let (ends, sides) = (JoinSet::new(), JoinSet::new());
        Self {
            docker,
            yard,
            task,
            stop,
            containers: Vec::new(),
            ends,
            sides,
            play: Arc::new(play),
            open: watch::Sender::new(false),
        }
    }

    /// Has the scenario tell the health of what has come up, and lets it do the rest.
    fn play_health(&mut self, started: &[Started]) {
        let Self { docker, yard, task, containers, sides, play, .. } = self;
        play.act.script_health(&mut yard.world(), started, Process::Real, clock::now());
        let ids = containers.iter().map(|live| live.id.clone()).collect();
        sides.spawn(play_out(docker.clone(), Arc::clone(yard), task.clone(), ids, Arc::clone(play)));
    }

    fn take(&mut self, live: Live) {
        let Self { docker, yard, task, stop, containers, ends, sides, play, open } = self;
        let eye = Eye {
            docker: docker.clone(),
            yard: Arc::clone(yard),
            task: task.clone(),
            play: Arc::clone(play),
            open: open.subscribe(),
        };
        ends.spawn(see_end(eye, live.clone(), stop.clone()));
        sides.spawn(see_health(docker.clone(), Arc::clone(yard), task.clone(), live.clone()));
        containers.push(live);
    }

    /// Pulls all images, then starts every container as soon as those it depends on let it. What has started is attended
    /// from then on: an essential one that ends ends the task, however many are still to come.
    async fn bring_up(&mut self, launch: &Launch) -> Result<Vec<Started>, Setback> {
        let act = &self.play.act;
        if let (Some(fails), Some(part)) = (act.fails, launch.parts.first()) {
            let reason = why_it_fails(fails, part.image.reference());
            return Err(Setback::Failed { container: Some(part.name.clone()), reason });
        }
        unless_stopped(&self.yard, &mut self.stop, lapse(act.pull)).await?;
        for part in &launch.parts {
            unless_stopped(&self.yard, &mut self.stop, pull(&self.docker, &self.yard, part))
                .await?
                .map_err(|reason| Setback::Failed { container: Some(part.name.clone()), reason })?;
        }
        self.yard.report(&launch.task, Report::PullStopped);
        let mut seen = HashMap::new();
        let mut waiting: Vec<&Part> = launch.parts.iter().collect();
        let mut look = tokio::time::interval(DEPENDENCY_LOOK);
        while !waiting.is_empty() {
            self.open.send_replace(false);
            self.see(&waiting, &mut seen).await;
            let mut still = Vec::new();
            for part in waiting {
                match order::way(part, &launch.parts, &seen) {
                    Way::Closed => still.push(part),
                    Way::Open => {
                        self.start(launch, part).await?;
                        seen.insert(part.name.clone(), Seen::Running { healthy: false, since: Duration::ZERO });
                    }
                    Way::Never(reason) => {
                        seen.insert(part.name.clone(), Seen::NeverStarted);
                        // "Containers that are forcefully stopped are marked with exitCode 143" — the agent's own.
                        let exited = Report::Exited { container: part.name.clone(), code: 143, reason: Some(reason) };
                        self.yard.report(&self.task, exited);
                        if part.definition["essential"] != false {
                            self.open.send_replace(true);
                            // The end of an essential container is the end of the task: the order to stop is on its way.
                            unless_stopped(&self.yard, &mut self.stop, future::pending::<()>()).await?;
                        }
                    }
                }
            }
            waiting = still;
            if !waiting.is_empty() {
                self.open.send_replace(true);
                unless_stopped(&self.yard, &mut self.stop, look.tick()).await?;
            }
        }
        Ok(self.told().await)
    }

    /// Looks at those that the waiting ones depend on.
    async fn see(&self, waiting: &[&Part], seen: &mut HashMap<String, Seen>) {
        let wanted =
            |live: &&Live| waiting.iter().any(|part| order::depends_on(part).any(|(name, _)| name == live.part.name));
        for live in self.containers.iter().filter(wanted) {
            let inspected = self.docker.inspect_container(&live.id, None::<InspectContainerOptions>).await;
            // An engine that does not answer changes nothing.
            let Some(state) = inspected.ok().and_then(|inspected| inspected.state) else { continue };
            let now = if state.running == Some(false) {
                Seen::Ended { code: state.exit_code.unwrap_or(137) }
            } else {
                let healthy = state.health.and_then(|health| health.status) == Some(HealthStatusEnum::HEALTHY);
                Seen::Running { healthy, since: Duration::from_millis(clock::now().saturating_sub(live.started_at)) }
            };
            seen.insert(live.part.name.clone(), now);
        }
    }

    async fn start(&mut self, launch: &Launch, part: &Part) -> Result<(), Setback> {
        let fail = |kind: &str, error: &Error| Setback::Failed {
            container: Some(part.name.clone()),
            reason: format!("{kind}: Error response from daemon: {}", said(error)),
        };
        let Self { docker, yard, .. } = &*self;
        let pace = yard.world().pace;
        let body = body(&yard.identity, launch, part, &self.network_of(launch, part), pace);
        let name = format!("ecs-sandbox-{}-{}-{}", yard.identity, &launch.task[..12.min(launch.task.len())], part.name);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let made = docker.create_container(Some(options), body).await;
        let id = made.map_err(|error| fail("CannotCreateContainerError", &error))?.id;
        if let Err(error) = docker.start_container(&id, None).await {
            remove(docker, &id).await;
            return Err(fail("CannotStartContainerError", &error));
        }
        self.take(Live { id, part: part.clone(), read_from: 0, started_at: clock::now() });
        Ok(())
    }

    /// In awsvpc mode the containers of a task share one network: that of the first one that stays. One whose end is
    /// awaited has its own, because a network ends with the container that brought it.
    fn network_of(&self, launch: &Launch, part: &Part) -> Network {
        let shared = launch.definition["networkMode"] == "awsvpc" && !order::is_awaited(part, &launch.parts);
        let host = self.containers.iter().find(|live| !order::is_awaited(&live.part, &launch.parts));
        match host {
            _ if !shared => Network::Own,
            None => Network::Brought,
            Some(host) => Network::Of(host.id.clone()),
        }
    }

    /// What there is now, with its ports.
    async fn told(&self) -> Vec<Started> {
        // All ports of a shared network are published by the container that brought it.
        let mut published = Vec::new();
        for live in &self.containers {
            let seen = self.docker.inspect_container(&live.id, None::<InspectContainerOptions>).await;
            published.extend(seen.map(|seen| bindings(&seen)).unwrap_or_default());
        }
        let told = |live: &Live| {
            let own = run::port_mappings(&live.part.definition);
            let is_own = |binding: &&Binding| {
                own.iter().any(|(port, protocol)| *port == binding.container_port && *protocol == binding.protocol)
            };
            Started {
                container: live.part.name.clone(),
                runtime_id: live.id.clone(),
                bindings: published.iter().filter(is_own).cloned().collect(),
            }
        };
        self.containers.iter().map(told).collect()
    }

    /// Stays with the containers until all have ended: passes on logs, health and exits, and stops them when told to.
    async fn until_ended(self) {
        let Self { docker, yard, task, mut stop, containers, mut ends, mut sides, play, open } = self;
        open.send_replace(true);
        let mut stopping = std::pin::pin!(async {
            // The sender is dropped only when the whole sandbox is.
            if stop.wait_for(|stop| *stop).await.is_ok() {
                stop_all(&docker, &yard, &containers, play.act.stop).await;
            }
            future::pending::<()>().await;
        });
        loop {
            tokio::select! {
                ended = ends.join_next() => if ended.is_none() { break },
                () = yard.left() => break,
                () = stopping.as_mut() => {}
            }
        }
        sides.shutdown().await;
        ends.shutdown().await;
        let _turn = yard.removals.acquire().await;
        take_away(&docker, &task, &containers).await;
        yard.report(&task, Report::Gone);
    }

    /// Removes what has been started of a task that does not come up.
    async fn give_up(mut self) {
        self.sides.shutdown().await;
        self.ends.shutdown().await;
        take_away(&self.docker, &self.task, &self.containers).await;
    }
}

/// Removes the containers of a task, and the volumes that only it had.
async fn take_away(docker: &Docker, task: &str, containers: &[Live]) {
    remove_all(docker, containers).await;
    for volume in volumes(task, containers) {
        // Shared with nobody, so in use by nobody now.
        let _gone = docker.remove_volume(&volume, None::<RemoveVolumeOptions>).await;
    }
}

/// Whose network a container is in.
enum Network {
    /// Its own, with its own ports.
    Own,
    /// Its own, which the other containers of the task join: all their ports are published here.
    Brought,
    /// That of the container with this id.
    Of(String),
}

/// Whether the engine itself refused. Anything else means that it could not be asked: it is being restarted, say, and
/// nothing is known of its containers until it is back.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { .. })
}

/// Asks until the engine has answered.
async fn ask<T, Asking: Future<Output = Result<T, Error>>>(mut call: impl FnMut() -> Asking) -> Result<T, Error> {
    let mut look = tokio::time::interval(ENGINE_LOOK);
    loop {
        look.tick().await;
        match call().await {
            Err(error) if !is_refusal(&error) => {}
            answered => return answered,
        }
    }
}

/// What the engine itself said.
fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        other => other.to_string(),
    }
}

/// Sees to it that the engine has the image.
async fn pull(docker: &Docker, yard: &Yard, part: &Part) -> Result<(), String> {
    let reference = part.image.reference();
    if ask(|| docker.inspect_image(reference)).await.is_ok() {
        return Ok(());
    }
    let not_found = || {
        format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {reference}: \
             {reference}: not found"
        )
    };
    match &part.image {
        // The sandbox reaches no other registry: what it would pull from there cannot be known to be right.
        Image::Foreign { .. } => Err(not_found()),
        Image::Own { .. } => {
            let authority = yard.world().place.authority.clone();
            let password = yard.world().ecr.issue_token(clock::now());
            let credentials = DockerCredentials {
                username: Some("AWS".to_owned()),
                password: Some(password),
                serveraddress: Some(authority),
                ..DockerCredentials::default()
            };
            let options = CreateImageOptionsBuilder::new().from_image(reference).build();
            docker
                .create_image(Some(options), None, Some(credentials))
                .try_for_each(|_| future::ready(Ok(())))
                .await
                .map_err(|error| format!("CannotPullContainerError: Error response from daemon: {}", said(&error)))
        }
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let all: Vec<String> = value.as_array()?.iter().filter_map(|one| one.as_str().map(ToOwned::to_owned)).collect();
    (!all.is_empty()).then_some(all)
}

/// MiB of the task definition, as the engine's bytes.
fn bytes(mebibytes: Option<i64>) -> Option<i64> {
    mebibytes.filter(|size| *size > 0).map(|size| size.saturating_mul(1024 * 1024))
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn body(identity: &str, launch: &Launch, part: &Part, network: &Network, pace: Pace) -> ContainerCreateBody {
    let definition = &part.definition;
    let mut labels: HashMap<String, String> = definition["dockerLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    labels.insert(SANDBOX.to_owned(), identity.to_owned());
    labels.insert(TASK.to_owned(), launch.task.clone());
    labels.insert(CONTAINER.to_owned(), part.name.clone());
    let plain = definition["environment"].as_array().into_iter().flatten();
    let plain = plain
        .filter_map(|pair| Some(format!("{}={}", pair["name"].as_str()?, pair["value"].as_str().unwrap_or_default())));
    let secret = part.secrets.iter().map(|(name, value)| format!("{name}={}", value.expose()));
    let env: Vec<String> = plain.chain(secret).collect();
    let ports: Vec<(u16, String)> = match network {
        Network::Own => run::port_mappings(definition),
        Network::Brought => launch.parts.iter().flat_map(|part| run::port_mappings(&part.definition)).collect(),
        Network::Of(_) => Vec::new(),
    };
    let network_of = match network {
        Network::Own | Network::Brought => None,
        Network::Of(id) => Some(id),
    };
    let ports: Vec<String> = ports.into_iter().map(|(port, protocol)| format!("{port}/{protocol}")).collect();
    let anywhere = || Some(vec![PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) }]);
    let task_memory = number(&launch.definition["memory"]);
    let memory = bytes(number(&definition["memory"]).or(task_memory));
    let cpu = number(&definition["cpu"]).filter(|cpu| *cpu > 0).or_else(|| number(&launch.definition["cpu"]));
    let host_config = HostConfig {
        port_bindings: Some(ports.iter().map(|port| (port.clone(), anywhere())).collect()),
        network_mode: network_of.map(|id| format!("container:{id}")),
        memory,
        // Without swap of its own, as on Fargate: at the limit it is killed, and not slowed down.
        memory_swap: memory,
        memory_reservation: bytes(number(&definition["memoryReservation"])),
        cpu_shares: cpu.map(|cpu| cpu.max(2)),
        readonly_rootfs: definition["readonlyRootFilesystem"].as_bool(),
        privileged: definition["privileged"].as_bool(),
        init: definition["linuxParameters"]["initProcessEnabled"].as_bool(),
        cap_add: texts(&definition["linuxParameters"]["capabilities"]["add"]),
        cap_drop: texts(&definition["linuxParameters"]["capabilities"]["drop"]),
        shm_size: bytes(number(&definition["linuxParameters"]["sharedMemorySize"])),
        tmpfs: Some(tmpfs(definition)),
        sysctls: network_of.is_none().then(|| sysctls(definition)),
        dns: texts(&definition["dnsServers"]).filter(|_| network_of.is_none()),
        dns_search: texts(&definition["dnsSearchDomains"]).filter(|_| network_of.is_none()),
        ulimits: Some(ulimits(definition)),
        extra_hosts: definition["extraHosts"].as_array().map(|hosts| {
            hosts
                .iter()
                .filter_map(|host| Some(format!("{}:{}", host["hostname"].as_str()?, host["ipAddress"].as_str()?)))
                .collect()
        }),
        binds: Some(binds(launch, definition)),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(part.image.reference().to_owned()),
        cmd: texts(&definition["command"]),
        entrypoint: texts(&definition["entryPoint"]),
        env: Some(env),
        user: definition["user"].as_str().map(ToOwned::to_owned),
        working_dir: definition["workingDirectory"].as_str().map(ToOwned::to_owned),
        hostname: definition["hostname"].as_str().filter(|_| network_of.is_none()).map(ToOwned::to_owned),
        exposed_ports: Some(ports),
        labels: Some(labels),
        tty: definition["pseudoTerminal"].as_bool(),
        open_stdin: definition["interactive"].as_bool(),
        healthcheck: Some(health_check(definition, pace)),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

fn ulimits(definition: &Value) -> Vec<ResourcesUlimits> {
    definition["ulimits"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|limit| ResourcesUlimits {
            name: limit["name"].as_str().map(ToOwned::to_owned),
            soft: number(&limit["softLimit"]),
            hard: number(&limit["hardLimit"]),
        })
        .collect()
}

/// `linuxParameters.tmpfs`: path, and size with options as the engine takes them.
fn tmpfs(definition: &Value) -> HashMap<String, String> {
    let mounts = definition["linuxParameters"]["tmpfs"].as_array().into_iter().flatten();
    let one = |mount: &Value| {
        let mut options = vec![format!("size={}m", number(&mount["size"])?)];
        options.extend(texts(&mount["mountOptions"]).unwrap_or_default());
        Some((mount["containerPath"].as_str()?.to_owned(), options.join(",")))
    };
    mounts.filter_map(one).collect()
}

/// `systemControls`; those of a shared network are its first container's.
fn sysctls(definition: &Value) -> HashMap<String, String> {
    let controls = definition["systemControls"].as_array().into_iter().flatten();
    let one =
        |control: &Value| Some((control["namespace"].as_str()?.to_owned(), control["value"].as_str()?.to_owned()));
    controls.filter_map(one).collect()
}

/// `mountPoints`: folders of the host, or volumes of the task's own that all its containers see.
fn binds(launch: &Launch, definition: &Value) -> Vec<String> {
    let volumes = launch.definition["volumes"].as_array();
    definition["mountPoints"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|mount| {
            let (name, path) = (mount["sourceVolume"].as_str()?, mount["containerPath"].as_str()?);
            let volume = volumes.into_iter().flatten().find(|volume| volume["name"] == name);
            let host = volume.and_then(|volume| volume["host"]["sourcePath"].as_str()).filter(|path| !path.is_empty());
            let source = host.map_or_else(|| volume_of(&launch.task, name), ToOwned::to_owned);
            let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
            Some(format!("{source}:{path}:{mode}"))
        })
        .collect()
}

/// "Only `containerDefinitions[].healthCheck` counts": the image's own is switched off, or the sandbox would be
/// more lenient than AWS.
fn health_check(definition: &Value, pace: Pace) -> HealthConfig {
    let check = &definition["healthCheck"];
    let Some(test) = texts(&check["command"]) else {
        return HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() };
    };
    let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let seconds = |member: &str, default: u64| Duration::from_secs(check[member].as_u64().unwrap_or(default));
    HealthConfig {
        test: Some(test),
        // The engine refuses intervals below a millisecond; a tenth of a second is a busy loop already.
        interval: Some(nanoseconds(pace.scaled(seconds("interval", 30)).max(Duration::from_millis(100)))),
        // A check takes the time it takes, however fast the world runs.
        timeout: Some(nanoseconds(seconds("timeout", 5))),
        retries: Some(number(&check["retries"]).unwrap_or(3)),
        start_period: Some(nanoseconds(pace.scaled(seconds("startPeriod", 0)))),
        start_interval: None,
    }
}

fn bindings(seen: &ContainerInspectResponse) -> Vec<Binding> {
    let ports = seen.network_settings.as_ref().and_then(|network| network.ports.as_ref());
    ports
        .into_iter()
        .flatten()
        .filter_map(|(port, bound)| {
            let (container_port, protocol) = port.split_once('/')?;
            let host_port = bound.as_ref()?.first()?.host_port.as_ref()?.parse().ok()?;
            Some(Binding { container_port: container_port.parse().ok()?, host_port, protocol: protocol.to_owned() })
        })
        .collect()
}

/// The engine's name of a volume that only this task has.
fn volume_of(task: &str, name: &str) -> String {
    format!("ecs-sandbox-{task}-{name}")
}

/// The volumes that were made for this task alone.
fn volumes(task: &str, containers: &[Live]) -> Vec<String> {
    let mounts =
        containers.iter().flat_map(|live| live.part.definition["mountPoints"].as_array().into_iter().flatten());
    mounts.filter_map(|mount| Some(volume_of(task, mount["sourceVolume"].as_str()?))).collect()
}

/// Lets time pass.
async fn lapse(duration: Duration) {
    let _over = tokio::time::timeout(duration, future::pending::<()>()).await;
}

async fn kill(docker: &Docker, id: &str) {
    let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
    // It may have ended by itself.
    let _ended = docker.kill_container(id, Some(options)).await;
}

/// Does to a running task what the scenario has in store for it.
async fn play_out(docker: Docker, yard: Arc<Yard>, task: String, containers: Vec<String>, play: Arc<Play>) {
    let crash = async {
        let Some(crash) = play.act.crash else { return };
        lapse(crash.after).await;
        play.crashed.store(true, Ordering::SeqCst);
        future::join_all(containers.iter().map(|id| kill(&docker, id))).await;
    };
    let reclaim = async {
        let Some(after) = play.act.spot_after else { return };
        lapse(after).await;
        run::reclaim(&mut yard.world(), &task, clock::now());
        yard.keeper.changed();
    };
    future::join(crash, reclaim).await;
}

/// Real seconds from the signal to the kill.
fn stop_seconds(seconds: u64, pace: Pace, timeouts: Timeouts) -> u64 {
    match timeouts {
        Timeouts::Real => seconds,
        Timeouts::Scaled => {
            let scaled = pace.scaled(Duration::from_secs(seconds)).as_secs_f64().ceil();
            let scaled = Duration::try_from_secs_f64(scaled).map_or(seconds, |scaled| scaled.as_secs());
            scaled.max(SHORTEST_STOP.min(seconds))
        }
    }
}

/// Signal, wait, kill: in reverse `dependsOn` order.
async fn stop_all(docker: &Docker, yard: &Yard, containers: &[Live], on_stop: Option<OnStop>) {
    let pace = yard.world().pace;
    let stop = |live: &Live| {
        let seconds = run::stop_timeout(&live.part.definition);
        let seconds = stop_seconds(seconds, pace, yard.timeouts);
        let (docker, id) = (docker.clone(), live.id.clone());
        async move {
            let limit = Duration::from_secs(seconds);
            let seconds = match on_stop {
                None => seconds,
                // The signal is held up on its way, and the time runs all the same.
                Some(OnStop::After(after)) => {
                    lapse(after.min(limit)).await;
                    limit.saturating_sub(after).as_secs()
                }
                Some(OnStop::Never) => {
                    lapse(limit).await;
                    kill(&docker, &id).await;
                    return;
                }
            };
            let options = StopContainerOptionsBuilder::new().t(i32::try_from(seconds).unwrap_or(i32::MAX)).build();
            // One that has ended by itself needs no stopping.
            let _ended = ask(|| docker.stop_container(&id, Some(options.clone()))).await;
        }
    };
    for round in order::rounds(containers, |live| &live.part) {
        future::join_all(round.into_iter().map(&stop)).await;
    }
}

/// What is needed to see a container's end.
struct Eye {
    docker: Docker,
    yard: Arc<Yard>,
    task: String,
    play: Arc<Play>,
    open: watch::Receiver<bool>,
}

/// Waits for the end of a container, and starts it once more where its restart policy says so.
async fn see_end(eye: Eye, mut live: Live, stop: watch::Receiver<bool>) {
    let Eye { docker, yard, task, play, mut open } = eye;
    let mut lines = [0, 0];
    loop {
        let mut log = tokio::spawn(follow(docker.clone(), Arc::clone(&yard), live.clone(), lines));
        let state = ended(&docker, &live.id).await;
        match tokio::time::timeout(LAST_LINES, &mut log).await {
            Ok(read) => lines = read.unwrap_or(lines),
            Err(_) => log.abort(),
        }
        let code = state.as_ref().and_then(|state| state.exit_code).unwrap_or(137);
        let out_of_memory = state.as_ref().and_then(|state| state.oom_killed) == Some(true);
        let (pace, ran) = (yard.world().pace, Duration::from_millis(clock::now().saturating_sub(live.started_at)));
        let restarts =
            state.is_some() && order::restarts(&live.part.definition, code, ran, |period| pace.scaled(period));
        if restarts && !*stop.borrow() && docker.start_container(&live.id, None).await.is_ok() {
            live.started_at = clock::now();
            continue;
        }
        let reason = match state {
            None => Some("ContainerVanishedError: the container is no longer known to the engine".to_owned()),
            Some(_) if out_of_memory => Some("OutOfMemoryError: Container killed due to memory usage".to_owned()),
            Some(state) => state.error.filter(|error| !error.is_empty()),
        };
        let crash = play.act.crash.filter(|_| play.crashed.load(Ordering::SeqCst));
        let (code, reason) = crash.map_or((code, reason), Crash::tells);
        // Nobody is left to open it only when the task itself is being given up.
        let _open = open.wait_for(|open| *open).await.is_ok();
        return yard.report(&task, Report::Exited { container: live.part.name, code, reason });
    }
}

/// Waits until a container does not run; nothing if it is no longer there.
async fn ended(docker: &Docker, id: &str) -> Option<ContainerState> {
    let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
    let mut look = tokio::time::interval(ENGINE_LOOK);
    loop {
        look.tick().await;
        {
            let mut wait = std::pin::pin!(docker.wait_container(id, Some(options.clone())));
            // A code other than 0 comes as an error; what it was is asked for below either way.
            while wait.next().await.is_some_and(|waited| waited.is_ok()) {}
        }
        let seen = ask(|| docker.inspect_container(id, None::<InspectContainerOptions>)).await;
        match seen.ok().and_then(|seen| seen.state) {
            // The engine went and came back, and the container has seen nothing of it.
            Some(state) if state.running == Some(true) => {}
            ended => return ended,
        }
    }
}

/// Passes the container's lines on to its log stream, but for so many of each output that were passed on before it was
/// started once more; gives back how many there are by now.
async fn follow(docker: Docker, yard: Arc<Yard>, live: Live, known: [usize; 2]) -> [usize; 2] {
    let mut read = [0, 0];
    let Some((group, stream)) = live.part.log.clone() else { return read };
    let options =
        LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).since(live.read_from).tail("all").build();
    let mut chunks = std::pin::pin!(docker.logs(&live.id, Some(options)));
    // Lines of the two outputs may come in pieces, and must not be mixed.
    let mut halves: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    while let Some(Ok(chunk)) = chunks.next().await {
        let (which, message) = match chunk {
            LogOutput::StdErr { message } => (1, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (0, message)
            }
        };
        let half = &mut halves[which];
        half.extend_from_slice(&message);
        while let Some(end) = half.iter().position(|byte| *byte == b'\n') {
            let bytes: Vec<u8> = half.drain(..=end).collect();
            read[which] += 1;
            if read[which] <= known[which] {
                continue;
            }
            let text = String::from_utf8_lossy(&bytes);
            yard.world().logs.append(&group, &stream, clock::now(), text.trim_end_matches(['\r', '\n']));
        }
    }
    for half in halves.iter().filter(|half| !half.is_empty()) {
        yard.world().logs.append(&group, &stream, clock::now(), &String::from_utf8_lossy(half));
    }
    read
}

async fn see_health(docker: Docker, yard: Arc<Yard>, task: String, live: Live) {
    if live.part.definition.get("healthCheck").is_none() {
        return;
    }
    let mut look = tokio::time::interval(HEALTH_LOOK);
    let mut known = ContainerHealth::Unknown;
    loop {
        look.tick().await;
        let seen = ask(|| docker.inspect_container(&live.id, None::<InspectContainerOptions>)).await;
        let Ok(seen) = seen else { return };
        let status = seen.state.and_then(|state| state.health).and_then(|health| health.status);
        let health = match status {
            Some(HealthStatusEnum::HEALTHY) => ContainerHealth::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => ContainerHealth::Unhealthy,
            Some(HealthStatusEnum::STARTING | HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => {
                ContainerHealth::Unknown
            }
        };
        if health != known {
            known = health;
            yard.report(&task, Report::Health { container: live.part.name.clone(), health });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// One that takes every call and answers none.
    async fn silent() -> (Docker, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let listening = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(stream);
            }
        });
        let docker = Docker::connect_with_http(&address, 600, bollard::API_DEFAULT_VERSION).unwrap();
        (docker, listening)
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_silent_is_not_waited_for() {
        let (docker, listening) = silent().await;
        let one = |number: u32| Found {
            id: format!("{number:064x}"),
            name: "app".to_owned(),
            volumes: vec![format!("ecs-sandbox-{number}")],
        };
        let begun = tokio::time::Instant::now();
        clear(&docker, (0..60).map(one)).await;
        assert!(begun.elapsed() <= PATIENCE * 2 + Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(count(&docker, "abc").await, None);
        listening.abort();
    }
}
