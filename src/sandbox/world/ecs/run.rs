//! Between the world and whoever runs its tasks: what is to be done, and what has come of it.

use serde_json::Value;

use super::super::{Hidden, Millis, World};
use super::input::{list, text};
use super::secrets::Stores;
use super::task::{Binding, ContainerHealth, Handed, Phase, Stop, StopCode, Task};

/// What is to be done, by task id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Start(String),
    /// Signal, wait the containers' stop timeouts, kill.
    Stop(String),
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    PullStarted,
    PullStopped,
    Started(Vec<Started>),
    Health {
        container: String,
        health: ContainerHealth,
    },
    Exited {
        container: String,
        code: i64,
        reason: Option<String>,
    },
    /// It did not come up, and nothing of it is left.
    FailedToStart {
        container: Option<String>,
        reason: String,
    },
    /// Nothing of it is left.
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub container: String,
    pub runtime_id: String,
    pub bindings: Vec<Binding>,
}

/// A task ready to be started.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    pub task: String,
    pub cluster: String,
    pub service: Option<String>,
    /// The task definition as `DescribeTaskDefinition` shows it.
    pub definition: Value,
    pub parts: Vec<Part>,
}

/// A container of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub name: String,
    /// One of the task definition's `containerDefinitions`, with the overrides of `RunTask` applied.
    pub definition: Value,
    pub image: Image,
    /// Environment variables whose values came from Parameter Store and Secrets Manager.
    pub secrets: Vec<(String, Hidden)>,
    /// `awslogs` group and stream.
    pub log: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// In the sandbox's own registry, by digest: `127.0.0.1:4517/jobs/api@sha256:…`.
    Own { reference: String },
    /// Anywhere else: run only if the engine has it.
    Foreign { reference: String },
}

impl Image {
    #[must_use]
    pub fn reference(&self) -> &str {
        match self {
            Self::Own { reference } | Self::Foreign { reference } => reference,
        }
    }
}

/// The commands that have not been given yet.
pub fn orders(world: &mut World, now: Millis) -> Vec<Order> {
    let mut orders = Vec::new();
    for task in world.ecs.tasks.values_mut() {
        match (task.phase, task.handed) {
            (Phase::Provisioning, Handed::Nothing) => {
                task.phase = Phase::Pending;
                task.handed = Handed::Start;
                orders.push(Order::Start(task.id.clone()));
            }
            (Phase::Stopping, Handed::Nothing) => end(task, now),
            (Phase::Stopping, Handed::Start) => {
                task.handed = Handed::Stop;
                orders.push(Order::Stop(task.id.clone()));
            }
            _ => continue,
        }
        world.ecs.revision += 1;
    }
    orders
}

fn end(task: &mut Task, now: Millis) {
    task.phase = Phase::Stopped;
    task.execution_stopped_at.get_or_insert(now);
    task.stopping_at.get_or_insert(now);
    task.stopped_at = Some(now);
}

/// Looks up all a task needs before its first container can be created. What is missing ends the task here,
/// as the container agent would, and gives nothing.
pub fn launch(world: &mut World, id: &str, now: Millis) -> Option<Launch> {
    match prepare(world, id) {
        Ok(launch) => Some(launch),
        Err(Missing { container, reason }) => {
            report(world, id, Report::FailedToStart { container, reason }, now);
            None
        }
    }
}

struct Missing {
    container: Option<String>,
    reason: String,
}

fn prepare(world: &mut World, id: &str) -> Result<Launch, Missing> {
    let gone = || Missing { container: None, reason: "InternalError: the task is no longer known".to_owned() };
    let World { place, ecs, ecr, logs, ssm: parameters, secrets, .. } = world;
    let stores = Stores { parameters, secrets };
    let task = ecs.tasks.get_mut(id).ok_or_else(gone)?;
    let definition = ecs.definitions.find(&task.definition).ok_or_else(gone)?.shown.clone();
    let number = task.started_by.as_deref().and_then(|by| by.strip_prefix("ecs-svc/"));
    let mut revision = match (&task.service, number) {
        (Some(service), Some(number)) => ecs
            .clusters
            .get_mut(&task.cluster)
            .and_then(|cluster| cluster.services.get_mut(service))
            .and_then(|service| service.revisions.get_mut(number)),
        (Some(_), None) | (None, _) => None,
    };
    let own = format!("{}/", place.authority);
    let mut parts = Vec::new();
    for container in list(&definition, "containerDefinitions") {
        let name = text(container, "name").unwrap_or_default().to_owned();
        let fail = |reason: String| Missing { container: Some(name.clone()), reason };
        let secrets = stores.fetch(container).map_err(fail)?;
        let log = log_of(container, &name, id);
        if let Some((group, _)) = &log
            && !logs.has_group(group)
        {
            if text(&container["logConfiguration"]["options"], "awslogs-create-group") != Some("true") {
                return Err(fail(
                    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: \
                     failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not \
                     exist. : exit status 1"
                        .to_owned(),
                ));
            }
            logs.create_group(group);
        }
        let reference = text(container, "image").unwrap_or_default();
        let image = match reference.strip_prefix(&own) {
            None => Image::Foreign { reference: reference.to_owned() },
            Some(path) => {
                let (repository, version) = parted(path);
                let pinned = revision.as_ref().and_then(|revision| revision.images.get(&name).cloned());
                // "The first task of a deployment resolves tag→digest; all later tasks of that deployment use it."
                let digest = pinned.or_else(|| ecr.resolve(repository, version)).ok_or_else(|| {
                    fail(format!(
                        "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref \
                         {reference}: {reference}: not found"
                    ))
                })?;
                if text(container, "versionConsistency") != Some("disabled")
                    && let Some(revision) = &mut revision
                {
                    revision.images.insert(name.clone(), digest.clone());
                }
                if let Some(shown) = task.containers.iter_mut().find(|shown| shown.name == name) {
                    shown.digest = Some(digest.clone());
                }
                Image::Own { reference: format!("{own}{repository}@{digest}") }
            }
        };
        let definition = overridden(container, &task.overrides, &name);
        parts.push(Part { name, definition, image, secrets, log });
    }
    let (task, cluster, service) = (task.id.clone(), task.cluster.clone(), task.service.clone());
    Ok(Launch { task, cluster, service, definition, parts })
}

/// Group and stream, where the log driver is awslogs: `prefix/container/task`.
fn log_of(container: &Value, name: &str, task: &str) -> Option<(String, String)> {
    let configuration = container.get("logConfiguration")?;
    if text(configuration, "logDriver") != Some("awslogs") {
        return None;
    }
    let options = &configuration["options"];
    let group = text(options, "awslogs-group")?.to_owned();
    let stream = match text(options, "awslogs-stream-prefix") {
        Some(prefix) => format!("{prefix}/{name}/{task}"),
        None => format!("{task}/{name}"),
    };
    Some((group, stream))
}

/// Repository, and tag or digest; `latest` where neither is named.
fn parted(path: &str) -> (&str, &str) {
    if let Some((repository, digest)) = path.split_once('@') {
        return (repository.rsplit_once(':').map_or(repository, |(repository, _)| repository), digest);
    }
    path.rsplit_once(':').unwrap_or((path, "latest"))
}

/// A container definition with `containerOverrides` of the same name laid over it.
fn overridden(container: &Value, overrides: &Value, name: &str) -> Value {
    let mut container = container.clone();
    let Some(over) = list(overrides, "containerOverrides").iter().find(|over| text(over, "name") == Some(name)) else {
        return container;
    };
    for member in ["command", "cpu", "memory", "memoryReservation"] {
        if let Some(value) = over.get(member) {
            container[member] = value.clone();
        }
    }
    let mut environment = list(&container, "environment").to_vec();
    for pair in list(over, "environment") {
        environment.retain(|known| known.get("name") != pair.get("name"));
        environment.push(pair.clone());
    }
    container["environment"] = Value::Array(environment);
    container
}

/// Takes in what has come of a task. Reports about a task that has ended, or is not known, are late and change nothing.
pub fn report(world: &mut World, id: &str, report: Report, now: Millis) {
    let Some(task) = world.ecs.tasks.get_mut(id).filter(|task| task.phase != Phase::Stopped) else { return };
    match report {
        Report::PullStarted => task.pull_started_at = Some(now),
        Report::PullStopped => task.pull_stopped_at = Some(now),
        Report::Started(started) => {
            for Started { container, runtime_id, bindings } in started {
                if let Some(known) = task.containers.iter_mut().find(|known| known.name == container) {
                    known.runtime_id = Some(runtime_id);
                    known.bindings = bindings;
                }
            }
            // One that was told to stop meanwhile has never been RUNNING.
            if task.phase == Phase::Pending {
                task.started_at.get_or_insert(now);
                task.phase = Phase::Running;
            }
        }
        Report::Health { container, health } => {
            if let Some(known) = task.containers.iter_mut().find(|known| known.name == container) {
                known.health = health;
            }
        }
        Report::Exited { container, code, reason } => {
            let handed = task.handed;
            let Some(known) = task.containers.iter_mut().find(|known| known.name == container) else { return };
            if known.exit_code.is_some() {
                return;
            }
            known.exit_code = Some(code);
            known.by_itself = handed != Handed::Stop;
            known.reason = reason;
            if known.essential {
                // A container that ends while its task is still draining ends the task, but not by itself.
                let reason = "Essential container in task exited".to_owned();
                task.execution_stopped_at.get_or_insert(now);
                task.interrupt(Stop { code: StopCode::EssentialContainerExited, reason }, now);
            }
        }
        Report::FailedToStart { container, reason } => {
            if let Some(known) =
                container.and_then(|container| task.containers.iter_mut().find(|known| known.name == container))
            {
                known.reason = Some(reason.clone());
            }
            task.stop.get_or_insert(Stop { code: StopCode::TaskFailedToStart, reason });
            end(task, now);
        }
        Report::Gone => {
            task.stop.get_or_insert_with(|| Stop {
                code: StopCode::EssentialContainerExited,
                reason: "Essential container in task exited".to_owned(),
            });
            end(task, now);
        }
    }
    world.ecs.revision += 1;
}

/// Takes a task's Spot capacity away.
pub fn reclaim(world: &mut World, id: &str, now: Millis) {
    let Some(task) = world.ecs.tasks.get_mut(id) else { return };
    task.interrupt(
        Stop { code: StopCode::SpotInterruption, reason: "Your Spot Task was interrupted.".to_owned() },
        now,
    );
    world.ecs.revision += 1;
}

/// What the sandbox, started again, should make of a task it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// Its containers are all there.
    Whole,
    /// At least one is not.
    Broken,
}

/// Tasks that were alive when the sandbox was last heard of.
#[must_use]
pub fn living(world: &World) -> Vec<String> {
    world.ecs.tasks.values().filter(|task| task.phase != Phase::Stopped).map(|task| task.id.clone()).collect()
}

/// Whether the world remembers the task as up: started and reported so.
#[must_use]
pub fn was_up(world: &World, id: &str) -> bool {
    world.ecs.tasks.get(id).is_some_and(|task| task.phase > Phase::Pending && task.started_at.is_some())
}

/// Takes up a task after a restart of the sandbox.
pub fn resume(world: &mut World, id: &str, remains: Remains, now: Millis) {
    let Some(task) = world.ecs.tasks.get_mut(id) else { return };
    match (task.phase, remains) {
        // Half-started ones begin anew.
        (Phase::Provisioning | Phase::Pending, _) => {
            task.phase = Phase::Provisioning;
            task.handed = Handed::Nothing;
        }
        (Phase::Stopping, Remains::Whole) => task.handed = Handed::Start,
        (Phase::Running | Phase::Deactivating, Remains::Whole) | (Phase::Stopped, _) => {}
        (Phase::Running | Phase::Deactivating | Phase::Stopping, Remains::Broken) => {
            task.stop.get_or_insert_with(|| Stop {
                code: StopCode::UserInitiated,
                reason: "Task stopped with the sandbox".to_owned(),
            });
            end(task, now);
        }
    }
    world.ecs.revision += 1;
}

/// How long the containers of a task may take to stop: `stopTimeout`, by default 30 seconds.
#[must_use]
pub fn stop_timeout(container: &Value) -> u64 {
    container.get("stopTimeout").and_then(Value::as_u64).unwrap_or(30)
}

/// Containers of a task by name, with their definitions: for whoever takes it up again.
#[must_use]
pub fn definition_of(world: &World, id: &str) -> Option<Value> {
    let task = world.ecs.tasks.get(id)?;
    world.ecs.definitions.find(&task.definition).map(|definition| definition.shown.clone())
}

/// Host ports that tasks still alive are bound to.
pub fn ports_in_use(world: &World) -> impl Iterator<Item = u16> {
    world
        .ecs
        .tasks
        .values()
        .filter(|task| task.phase != Phase::Stopped)
        .flat_map(|task| &task.containers)
        .flat_map(|container| &container.bindings)
        .map(|binding| binding.host_port)
}

#[must_use]
pub fn container_names(world: &World, id: &str) -> Vec<String> {
    let task = world.ecs.tasks.get(id);
    task.into_iter().flat_map(|task| &task.containers).map(|container| container.name.clone()).collect()
}

/// Container ports with their protocols.
#[must_use]
pub fn port_mappings(container: &Value) -> Vec<(u16, String)> {
    list(container, "portMappings")
        .iter()
        .filter_map(|mapping| {
            let port =
                mapping.get("containerPort").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())?;
            Some((port, text(mapping, "protocol").unwrap_or("tcp").to_owned()))
        })
        .collect()
}

/// The parts of a task that runs already: what is needed to attend it, not to create it.
#[must_use]
pub fn parts_of(id: &str, definition: &Value) -> Vec<Part> {
    list(definition, "containerDefinitions")
        .iter()
        .map(|container| {
            let name = text(container, "name").unwrap_or_default().to_owned();
            let reference = text(container, "image").unwrap_or_default().to_owned();
            let log = log_of(container, &name, id);
            Part { name, definition: container.clone(), image: Image::Foreign { reference }, secrets: Vec::new(), log }
        })
        .collect()
}
