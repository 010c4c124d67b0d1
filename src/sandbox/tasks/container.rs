//! One task as real containers: pull, create, start, attend until they end, remove.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HealthConfig, HealthStatusEnum, HostConfig, PortBinding,
    ResourcesUlimits,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions, StopContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::clock;
use super::super::world::Pace;
use super::super::world::ecs::run::{self, Image, Launch, Part, Report, Started};
use super::super::world::ecs::{Binding, ContainerHealth};
use super::Yard;

/// Labels every container of a sandbox carries.
const SANDBOX: &str = "ecs-ship.sandbox";
const TASK: &str = "ecs-ship.task";
const CONTAINER: &str = "ecs-ship.container";

/// How often a container's health is asked for; the engine itself checks at the container's own interval.
const HEALTH_LOOK: Duration = Duration::from_millis(500);

/// How often an engine that has gone is asked whether it is back.
const ENGINE_LOOK: Duration = Duration::from_millis(500);

/// How long the last lines of an ended container may take to come out of the engine.
const LAST_LINES: Duration = Duration::from_secs(2);

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
            Some(Live { id: container.id.clone(), part, read_from })
        })
        .collect()
}

/// Removes containers that nobody attends, and with them the volumes of their tasks.
pub(super) async fn clear(docker: &Docker, found: impl IntoIterator<Item = Found>) {
    let found: Vec<Found> = found.into_iter().collect();
    future::join_all(found.iter().map(|found| remove(docker, &found.id))).await;
    for volume in found.iter().flat_map(|found| &found.volumes) {
        // Two containers of a task may share it: then it is gone the second time.
        let _gone = docker.remove_volume(volume, None::<RemoveVolumeOptions>).await;
    }
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
pub(super) async fn run(docker: Docker, yard: Arc<Yard>, task: String, mut stop: watch::Receiver<bool>) {
    yard.report(&task, Report::PullStarted);
    let Some(launch) = run::launch(&mut yard.world(), &task, clock::now()) else { return };
    let mut created = Vec::new();
    match bring_up(&docker, &yard, &launch, &mut created, &mut stop).await {
        Ok(started) => {
            yard.report(&task, Report::Started(started));
            attend(docker, yard, task, created, stop).await;
        }
        Err(Setback::Failed { container, reason }) => {
            remove_all(&docker, &created).await;
            yard.report(&task, Report::FailedToStart { container, reason });
        }
        Err(Setback::CutShort) => {
            remove_all(&docker, &created).await;
            yard.report(&task, Report::Gone);
        }
    }
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

async fn bring_up(
    docker: &Docker,
    yard: &Yard,
    launch: &Launch,
    created: &mut Vec<Live>,
    stop: &mut watch::Receiver<bool>,
) -> Result<Vec<Started>, Setback> {
    let pace = yard.world().pace;
    for part in &launch.parts {
        unless_stopped(yard, stop, pull(docker, yard, part))
            .await?
            .map_err(|reason| Setback::Failed { container: Some(part.name.clone()), reason })?;
    }
    yard.report(&launch.task, Report::PullStopped);
    let mut started = Vec::new();
    for part in in_order(&launch.parts) {
        let fail = |kind: &str, error: &Error| Setback::Failed {
            container: Some(part.name.clone()),
            reason: format!("{kind}: Error response from daemon: {}", said(error)),
        };
        unless_stopped(yard, stop, wait_for_dependencies(docker, part, created))
            .await?
            .map_err(|reason| Setback::Failed { container: Some(part.name.clone()), reason })?;
        // In awsvpc mode the containers of a task share one network: the first one's.
        let shares = launch.definition["networkMode"] == "awsvpc";
        let host = created.first().filter(|_| shares).map(|first: &Live| first.id.clone());
        let body = body(&yard.identity, launch, part, host.as_deref(), pace);
        let name = format!("ecs-sandbox-{}-{}-{}", yard.identity, &launch.task[..12.min(launch.task.len())], part.name);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let made = docker.create_container(Some(options), body).await;
        let id = made.map_err(|error| fail("CannotCreateContainerError", &error))?.id;
        created.push(Live { id: id.clone(), part: part.clone(), read_from: 0 });
        docker.start_container(&id, None).await.map_err(|error| fail("CannotStartContainerError", &error))?;
        started.push(Started { container: part.name.clone(), runtime_id: id, bindings: Vec::new() });
    }
    // All ports of a shared network are published by the container that brought it.
    let mut published = Vec::new();
    for live in created.iter() {
        let seen = docker.inspect_container(&live.id, None::<InspectContainerOptions>).await;
        published.extend(seen.map(|seen| bindings(&seen)).unwrap_or_default());
    }
    for (one, live) in started.iter_mut().zip(created.iter()) {
        let own = run::port_mappings(&live.part.definition);
        one.bindings = published
            .iter()
            .filter(|binding: &&Binding| {
                own.iter().any(|(port, protocol)| *port == binding.container_port && *protocol == binding.protocol)
            })
            .cloned()
            .collect();
    }
    Ok(started)
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

/// Containers behind those they depend on. A circle keeps the order it was written in.
fn in_order(parts: &[Part]) -> Vec<&Part> {
    let mut ordered: Vec<&Part> = Vec::new();
    while ordered.len() < parts.len() {
        let ready = |part: &&Part| {
            !ordered.iter().any(|done| done.name == part.name)
                && depends_on(part).iter().all(|(name, _)| {
                    ordered.iter().any(|done| done.name == *name) || !parts.iter().any(|part| part.name == *name)
                })
        };
        let next = parts.iter().find(ready);
        let next = next.or_else(|| parts.iter().find(|part| !ordered.iter().any(|done| done.name == part.name)));
        ordered.extend(next);
    }
    ordered
}

/// `dependsOn`: container and condition.
fn depends_on(part: &Part) -> Vec<(&str, &str)> {
    part.definition["dependsOn"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| Some((one["containerName"].as_str()?, one["condition"].as_str().unwrap_or("START"))))
        .collect()
}

async fn wait_for_dependencies(docker: &Docker, part: &Part, created: &[Live]) -> Result<(), String> {
    for (name, condition) in depends_on(part) {
        let Some(live) = created.iter().find(|live| live.part.name == name) else { continue };
        let mut look = tokio::time::interval(HEALTH_LOOK);
        loop {
            // Order is one thing, having started another: all earlier ones have.
            if condition == "START" {
                break;
            }
            look.tick().await;
            let seen = docker.inspect_container(&live.id, None::<InspectContainerOptions>).await;
            let Some(state) = seen.ok().and_then(|seen| seen.state) else { break };
            let ended = state.running == Some(false);
            let healthy = state.health.and_then(|health| health.status) == Some(HealthStatusEnum::HEALTHY);
            match condition {
                "COMPLETE" if ended => break,
                "SUCCESS" if ended && state.exit_code == Some(0) => break,
                "HEALTHY" if healthy => break,
                "SUCCESS" | "HEALTHY" if ended => {
                    return Err(format!("dependency container {name} did not reach the condition {condition}"));
                }
                _ => {}
            }
        }
    }
    Ok(())
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

fn body(identity: &str, launch: &Launch, part: &Part, network_of: Option<&str>, pace: Pace) -> ContainerCreateBody {
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
    let env: Vec<String> = definition["environment"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some(format!("{}={}", pair["name"].as_str()?, pair["value"].as_str().unwrap_or_default())))
        .collect();
    // The container that brings a shared network publishes the ports of all that share it.
    let shared = launch.definition["networkMode"] == "awsvpc";
    let ports: Vec<(u16, String)> = match (network_of, shared) {
        (Some(_), _) => Vec::new(),
        (None, true) => launch.parts.iter().flat_map(|part| run::port_mappings(&part.definition)).collect(),
        (None, false) => run::port_mappings(definition),
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

/// Stays with a task's containers until all have ended: passes on logs, health and exits, and stops them when told to.
pub(super) async fn attend(
    docker: Docker,
    yard: Arc<Yard>,
    task: String,
    containers: Vec<Live>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut ends, mut sides) = (JoinSet::new(), JoinSet::new());
    for live in &containers {
        ends.spawn(see_end(docker.clone(), Arc::clone(&yard), task.clone(), live.clone()));
        sides.spawn(see_health(docker.clone(), Arc::clone(&yard), task.clone(), live.clone()));
    }
    let mut stopping = std::pin::pin!(async {
        // The sender is dropped only when the whole sandbox is.
        if stop.wait_for(|stop| *stop).await.is_ok() {
            stop_all(&docker, &yard, &containers).await;
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
    remove_all(&docker, &containers).await;
    for volume in volumes(&task, &containers) {
        // Shared with nobody, so in use by nobody now.
        let _gone = docker.remove_volume(&volume, None::<RemoveVolumeOptions>).await;
    }
    yard.report(&task, Report::Gone);
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

/// Signal, wait, kill: in reverse `dependsOn` order where there is one, else all at once.
async fn stop_all(docker: &Docker, yard: &Yard, containers: &[Live]) {
    let pace = yard.world().pace;
    let stop = |live: &Live| {
        let seconds = run::stop_timeout(&live.part.definition);
        let scaled = pace.scaled(Duration::from_secs(seconds)).as_secs_f64().ceil();
        let scaled = Duration::try_from_secs_f64(scaled).map_or(seconds, |scaled| scaled.as_secs());
        let seconds = scaled.max(SHORTEST_STOP.min(seconds));
        let options = StopContainerOptionsBuilder::new().t(i32::try_from(seconds).unwrap_or(i32::MAX)).build();
        let (docker, id) = (docker.clone(), live.id.clone());
        async move {
            // One that has ended by itself needs no stopping.
            let _ended = ask(|| docker.stop_container(&id, Some(options.clone()))).await;
        }
    };
    if containers.iter().any(|live| !depends_on(&live.part).is_empty()) {
        for live in containers.iter().rev() {
            stop(live).await;
        }
    } else {
        future::join_all(containers.iter().map(stop)).await;
    }
}

async fn see_end(docker: Docker, yard: Arc<Yard>, task: String, live: Live) {
    let log = tokio::spawn(follow(docker.clone(), Arc::clone(&yard), live.clone()));
    let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
    let mut look = tokio::time::interval(ENGINE_LOOK);
    let state = loop {
        look.tick().await;
        {
            let mut wait = std::pin::pin!(docker.wait_container(&live.id, Some(options.clone())));
            // A code other than 0 comes as an error; what it was is asked for below either way.
            while wait.next().await.is_some_and(|waited| waited.is_ok()) {}
        }
        let seen = ask(|| docker.inspect_container(&live.id, None::<InspectContainerOptions>)).await;
        match seen.ok().and_then(|seen| seen.state) {
            // The engine went and came back, and the container has seen nothing of it.
            Some(state) if state.running == Some(true) => {}
            ended => break ended,
        }
    };
    let mut log = log;
    if tokio::time::timeout(LAST_LINES, &mut log).await.is_err() {
        log.abort();
    }
    let code = state.as_ref().and_then(|state| state.exit_code).unwrap_or(137);
    let out_of_memory = state.as_ref().and_then(|state| state.oom_killed) == Some(true);
    let reason = match state {
        None => Some("ContainerVanishedError: the container is no longer known to the engine".to_owned()),
        Some(_) if out_of_memory => Some("OutOfMemoryError: Container killed due to memory usage".to_owned()),
        Some(state) => state.error.filter(|error| !error.is_empty()),
    };
    yard.report(&task, Report::Exited { container: live.part.name, code, reason });
}

/// Passes the container's lines on to its log stream.
async fn follow(docker: Docker, yard: Arc<Yard>, live: Live) {
    let Some((group, stream)) = live.part.log.clone() else { return };
    let options =
        LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).since(live.read_from).tail("all").build();
    let mut chunks = std::pin::pin!(docker.logs(&live.id, Some(options)));
    // Lines of the two outputs may come in pieces, and must not be mixed.
    let mut halves: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    while let Some(Ok(chunk)) = chunks.next().await {
        let (half, message) = match chunk {
            LogOutput::StdErr { message } => (&mut halves[1], message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (&mut halves[0], message)
            }
        };
        half.extend_from_slice(&message);
        while let Some(end) = half.iter().position(|byte| *byte == b'\n') {
            let bytes: Vec<u8> = half.drain(..=end).collect();
            let text = String::from_utf8_lossy(&bytes);
            yard.world().logs.append(&group, &stream, clock::now(), text.trim_end_matches(['\r', '\n']));
        }
    }
    for half in halves.iter().filter(|half| !half.is_empty()) {
        yard.world().logs.append(&group, &stream, clock::now(), &String::from_utf8_lossy(half));
    }
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
