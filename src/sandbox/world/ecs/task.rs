//! Tasks: one life each, from `PROVISIONING` to `STOPPED`, and how `DescribeTasks` shows it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::elb::{Elb, Target, TargetState};
use super::super::{Millis, Place};
use super::definition::{Definition, is_essential};
use super::ids::Dice;
use super::input::{put, seconds, short, text};

/// How far a task is. AWS's ACTIVATING is not told apart from RUNNING: a target is registered on the
/// scheduler's next look at a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Phase {
    Provisioning,
    Pending,
    Running,
    /// Chosen to stop; its targets are being deregistered and drained, its process still serves.
    Deactivating,
    /// The stop signal is out.
    Stopping,
    Stopped,
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// `stopCode` and `stoppedReason`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stop {
    pub(super) code: StopCode,
    pub(super) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    UserInitiated,
    ServiceSchedulerInitiated,
    SpotInterruption,
}

impl StopCode {
    fn word(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::SpotInterruption => "SpotInterruption",
        }
    }
}

impl Stop {
    pub(super) fn code_word(&self) -> &'static str {
        self.code.word()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerHealth {
    Unknown,
    Healthy,
    Unhealthy,
}

impl ContainerHealth {
    fn word(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

/// `networkBindings[]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub container_port: u16,
    pub host_port: u16,
    pub protocol: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) name: String,
    id: String,
    image: String,
    pub(super) essential: bool,
    pub(super) digest: Option<String>,
    pub(super) runtime_id: Option<String>,
    pub(super) bindings: Vec<Binding>,
    pub(super) exit_code: Option<i64>,
    /// It ended before anybody was sent to end it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) by_itself: bool,
    pub(super) reason: Option<String>,
    pub(super) health: ContainerHealth,
    /// Whether somebody looks at its health at all.
    checked: bool,
    cpu: Option<Value>,
    memory: Option<Value>,
    memory_reservation: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Membership {
    Registered,
    Deregistered,
}

/// A target this task stands behind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seat {
    pub(super) group: String,
    pub(super) target: Target,
    pub(super) membership: Membership,
}

/// Which commands about a task have been handed to whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Handed {
    Nothing,
    Start,
    Stop,
}

/// How the scheduler sees a service's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// Not yet counted healthy.
    Fresh,
    /// Was counted healthy at least once.
    Proven,
    /// Found unhealthy: to be replaced, and then stopped.
    Condemned,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(super) id: String,
    pub(super) cluster: String,
    /// `service:NAME` or `family:NAME`.
    group: String,
    pub(super) service: Option<String>,
    pub(super) started_by: Option<String>,
    pub(super) definition: String,
    pub(super) phase: Phase,
    pub(super) handed: Handed,
    pub(super) standing: Standing,
    /// `UpdateTaskProtection`: until then neither a scale-in nor a deployment may stop it.
    #[serde(default)]
    pub(super) protected_until: Option<Millis>,
    /// Whether its end has been counted for its deployment.
    pub(super) counted: bool,
    pub(super) containers: Vec<Container>,
    pub(super) seats: Vec<Seat>,
    pub(super) stop: Option<Stop>,
    cpu: Option<String>,
    memory: Option<String>,
    launch_type: String,
    pub(super) overrides: Value,
    /// `enableExecuteCommand`, as the service or `RunTask` had it when the task was started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    exec: bool,
    pub(super) tags: Vec<Value>,
    created_at: Millis,
    pub(super) pull_started_at: Option<Millis>,
    pub(super) pull_stopped_at: Option<Millis>,
    pub(super) started_at: Option<Millis>,
    pub(super) stopping_at: Option<Millis>,
    pub(super) execution_stopped_at: Option<Millis>,
    pub(super) stopped_at: Option<Millis>,
}

/// What a task is started for.
pub(super) struct Birth<'a> {
    pub(super) cluster: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) started_by: Option<&'a str>,
    pub(super) launch_type: &'a str,
    pub(super) overrides: Value,
    /// `enableExecuteCommand`.
    pub(super) exec: bool,
    pub(super) tags: Vec<Value>,
}

impl Task {
    pub(super) fn new(dice: &mut Dice, definition: &Definition, birth: Birth<'_>, now: Millis) -> Self {
        let Birth { cluster, service, started_by, launch_type, overrides, exec, tags } = birth;
        let shown = &definition.shown;
        let family = text(shown, "family").unwrap_or_default();
        let containers = definition
            .containers()
            .iter()
            .map(|container| Container {
                name: text(container, "name").unwrap_or_default().to_owned(),
                id: dice.uuid(),
                image: text(container, "image").unwrap_or_default().to_owned(),
                essential: is_essential(container),
                digest: None,
                runtime_id: None,
                bindings: Vec::new(),
                exit_code: None,
                by_itself: false,
                reason: None,
                health: ContainerHealth::Unknown,
                checked: container.get("healthCheck").is_some(),
                cpu: container.get("cpu").cloned(),
                memory: container.get("memory").cloned(),
                memory_reservation: container.get("memoryReservation").cloned(),
            })
            .collect();
        Self {
            id: dice.hex(),
            cluster: cluster.to_owned(),
            group: service.map_or_else(|| format!("family:{family}"), |name| format!("service:{name}")),
            service: service.map(ToOwned::to_owned),
            started_by: started_by.map(ToOwned::to_owned),
            definition: definition.arn().to_owned(),
            phase: Phase::Provisioning,
            handed: Handed::Nothing,
            standing: Standing::Fresh,
            protected_until: None,
            counted: false,
            containers,
            seats: Vec::new(),
            stop: None,
            cpu: text(shown, "cpu").map(ToOwned::to_owned),
            memory: text(shown, "memory").map(ToOwned::to_owned),
            launch_type: launch_type.to_owned(),
            overrides,
            exec,
            tags,
            created_at: now,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            stopped_at: None,
        }
    }

    pub(super) fn arn(&self, place: &Place) -> String {
        format!("arn:aws:ecs:{}:{}:task/{}/{}", place.region, place.account, self.cluster, self.id)
    }

    pub(super) fn created_at(&self) -> Millis {
        self.created_at
    }

    /// The number of the deployment that started it.
    pub(super) fn deployment(&self) -> Option<&str> {
        self.started_by.as_deref().and_then(|by| by.strip_prefix("ecs-svc/"))
    }

    pub(super) fn is_protected(&self, now: Millis) -> bool {
        self.protected_until.is_some_and(|until| now < until)
    }

    pub(super) fn family(&self) -> &str {
        short(&self.definition).split(':').next().unwrap_or_default()
    }

    /// Whether the scheduler means it to go on running.
    pub(super) fn is_kept(&self) -> bool {
        self.phase <= Phase::Running
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Stopped
    }

    pub(super) fn is_on_fargate(&self) -> bool {
        self.launch_type == "FARGATE"
    }

    /// On its way to RUNNING.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Provisioning | Phase::Pending)
    }

    /// In `runningCount`: a task behind a load balancer leaves the tally once STOPPING, not while it drains.
    pub(super) fn counts_running(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Deactivating)
    }

    /// Against `maximumPercent`: RUNNING or PENDING.
    pub(super) fn counts_for_maximum(&self) -> bool {
        self.phase < Phase::Stopping
    }

    pub(super) fn health(&self) -> ContainerHealth {
        let essential = || self.containers.iter().filter(|container| container.essential && container.checked);
        if essential().next().is_none() {
            ContainerHealth::Unknown
        } else if essential().any(|container| container.health == ContainerHealth::Unhealthy) {
            ContainerHealth::Unhealthy
        } else if essential().any(|container| container.health == ContainerHealth::Unknown) {
            ContainerHealth::Unknown
        } else {
            ContainerHealth::Healthy
        }
    }

    /// Chosen to stop: drains first if it stands behind a target, else is signalled now.
    pub(super) fn dismiss(&mut self, stop: Stop, now: Millis) {
        if !self.is_kept() {
            return;
        }
        self.stop = Some(stop);
        self.stopping_at = Some(now);
        self.counted = true;
        let behind_target = self.seats.iter().any(|seat| seat.membership == Membership::Registered);
        self.phase = if self.phase == Phase::Running && behind_target { Phase::Deactivating } else { Phase::Stopping };
    }

    /// Told to stop from outside, or by the end of an essential container: no drain comes first.
    pub(super) fn interrupt(&mut self, stop: Stop, now: Millis) {
        if self.phase < Phase::Stopping {
            self.stop.get_or_insert(stop);
            self.stopping_at.get_or_insert(now);
            self.phase = Phase::Stopping;
        }
    }

    /// Whether every target it stood behind has been deregistered and is drained.
    pub(super) fn is_drained(&self, elb: &Elb) -> bool {
        self.seats.iter().all(|seat| {
            seat.membership == Membership::Deregistered
                && elb.health(&seat.group, &seat.target).state == TargetState::Unused
        })
    }

    pub(super) fn describe(&self, place: &Place, include_tags: bool) -> Value {
        let arn = self.arn(place);
        let Place { account, region, authority: _ } = place;
        let mut shown = Map::new();
        put(&mut shown, "attachments", Some(json!([])));
        put(&mut shown, "attributes", Some(json!([])));
        put(&mut shown, "availabilityZone", Some(format!("{region}a")));
        put(&mut shown, "clusterArn", Some(format!("arn:aws:ecs:{region}:{account}:cluster/{}", self.cluster)));
        if let Some(at) = self.started_at.or(self.pull_started_at) {
            put(&mut shown, "connectivity", Some("CONNECTED"));
            put(&mut shown, "connectivityAt", Some(seconds(at)));
        }
        let containers: Vec<Value> = self.containers.iter().map(|container| self.show(container, place)).collect();
        put(&mut shown, "containers", Some(containers));
        put(&mut shown, "cpu", self.cpu.clone());
        put(&mut shown, "createdAt", Some(seconds(self.created_at)));
        put(&mut shown, "desiredStatus", Some(if self.is_kept() { "RUNNING" } else { "STOPPED" }));
        put(&mut shown, "enableExecuteCommand", Some(self.exec));
        put(&mut shown, "group", Some(self.group.clone()));
        put(&mut shown, "healthStatus", Some(self.health().word()));
        put(&mut shown, "lastStatus", Some(self.phase.word()));
        put(&mut shown, "launchType", Some(self.launch_type.clone()));
        put(&mut shown, "memory", self.memory.clone());
        put(&mut shown, "overrides", Some(self.overrides.clone()));
        if self.launch_type == "FARGATE" {
            put(&mut shown, "platformVersion", Some("1.4.0"));
            put(&mut shown, "platformFamily", Some("Linux"));
        }
        for (name, at) in [
            ("pullStartedAt", self.pull_started_at),
            ("pullStoppedAt", self.pull_stopped_at),
            ("startedAt", self.started_at),
            ("stoppingAt", self.stopping_at),
            ("executionStoppedAt", self.execution_stopped_at),
            ("stoppedAt", self.stopped_at),
        ] {
            put(&mut shown, name, at.map(seconds));
        }
        put(&mut shown, "startedBy", self.started_by.clone());
        put(&mut shown, "stopCode", self.stop.as_ref().map(|stop| stop.code.word()));
        put(&mut shown, "stoppedReason", self.stop.as_ref().map(|stop| stop.reason.clone()));
        put(&mut shown, "tags", Some(if include_tags { self.tags.clone() } else { Vec::new() }));
        put(&mut shown, "taskArn", Some(arn));
        put(&mut shown, "taskDefinitionArn", Some(self.definition.clone()));
        // One more with every status it has been through, as AWS counts it for its event stream.
        put(
            &mut shown,
            "version",
            Some(
                1 + u64::from(self.pull_started_at.is_some())
                    + u64::from(self.started_at.is_some())
                    + u64::from(self.stopping_at.is_some())
                    + u64::from(self.stopped_at.is_some()),
            ),
        );
        Value::Object(shown)
    }

    fn show(&self, container: &Container, place: &Place) -> Value {
        let Container {
            name,
            id,
            image,
            essential: _,
            digest,
            runtime_id,
            bindings,
            exit_code,
            by_itself: _,
            reason,
            health,
            checked: _,
            cpu,
            memory,
            memory_reservation,
        } = container;
        let Place { account, region, authority: _ } = place;
        let mut shown = Map::new();
        put(
            &mut shown,
            "containerArn",
            Some(format!("arn:aws:ecs:{region}:{account}:container/{}/{}/{id}", self.cluster, self.id)),
        );
        put(&mut shown, "taskArn", Some(self.arn(place)));
        put(&mut shown, "name", Some(name.as_str()));
        put(&mut shown, "image", Some(image.as_str()));
        put(&mut shown, "imageDigest", digest.clone());
        put(&mut shown, "runtimeId", runtime_id.clone());
        let status = match (exit_code, self.phase) {
            (Some(_), _) | (None, Phase::Stopped) => "STOPPED",
            (None, Phase::Provisioning | Phase::Pending) => "PENDING",
            (None, Phase::Running | Phase::Deactivating | Phase::Stopping) => "RUNNING",
        };
        put(&mut shown, "lastStatus", Some(status));
        put(&mut shown, "exitCode", *exit_code);
        put(&mut shown, "reason", reason.clone());
        let bindings: Vec<Value> = bindings
            .iter()
            .map(|Binding { container_port, host_port, protocol }| {
                json!({ "bindIP": "127.0.0.1", "containerPort": container_port, "hostPort": host_port, "protocol": protocol })
            })
            .collect();
        put(&mut shown, "networkBindings", Some(bindings));
        put(&mut shown, "networkInterfaces", Some(json!([])));
        put(&mut shown, "healthStatus", Some(health.word()));
        if self.exec {
            // What `aws ecs execute-command` needs is not there, and whoever looks first is told so.
            let agent = json!({ "name": "ExecuteCommandAgent", "lastStatus": "STOPPED",
                "reason": "There is no SSM agent in the sandbox's containers; docker exec goes into them" });
            put(&mut shown, "managedAgents", Some(json!([agent])));
        }
        // Sizes are strings here, though numbers in the task definition.
        put(&mut shown, "cpu", Some(cpu.as_ref().map_or_else(|| "0".to_owned(), ToString::to_string)));
        put(&mut shown, "memory", memory.as_ref().map(ToString::to_string));
        put(&mut shown, "memoryReservation", memory_reservation.as_ref().map(ToString::to_string));
        Value::Object(shown)
    }
}
