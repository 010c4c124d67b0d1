//! Tasks as somebody sees them who stands beside the scheduler: what no call of the API tells in one piece.

use super::super::elb::TargetState;
use super::super::{Millis, World};
use super::deployment::ServiceDeployment;
use super::task::{Binding, Membership, Phase, Task};

/// One task at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    pub task: String,
    pub service: Option<String>,
    /// `ecs-svc/123`
    pub started_by: Option<String>,
    /// The ARN of its task definition.
    pub definition: String,
    pub stage: Stage,
    pub created_at: Millis,
    pub pull_stopped_at: Option<Millis>,
    pub started_at: Option<Millis>,
    pub execution_stopped_at: Option<Millis>,
    pub stopped_at: Option<Millis>,
    pub targets: Vec<TargetSight>,
    pub containers: Vec<ContainerSight>,
    /// `EssentialContainerExited`
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Starting,
    Running,
    /// Being taken out of its target groups; its process still serves.
    Draining,
    /// Told to end.
    Stopping,
    Stopped,
}

/// A target it stands behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSight {
    pub group: String,
    /// `127.0.0.1:49153`
    pub address: String,
    pub state: TargetState,
    /// Of `unhealthy`: `Target.Timeout: Request timed out`.
    pub why: Option<String>,
    /// Taken out by the scheduler.
    pub leaving: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSight {
    pub name: String,
    pub essential: bool,
    pub exit_code: Option<i64>,
    /// It ended before anybody was sent to end it.
    pub by_itself: bool,
    pub reason: Option<String>,
    pub bindings: Vec<Binding>,
}

/// All tasks the world remembers.
#[must_use]
pub fn sights(world: &World) -> Vec<Sight> {
    world.ecs.tasks.values().map(|task| sight(world, task)).collect()
}

/// Whether a task is of a service's first deployment or of one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rolling {
    First,
    Later,
}

/// The service of a task, and where in its history the task's deployment stands. `None` for tasks of no service.
#[must_use]
pub fn standing_of(world: &World, task: &str) -> Option<(String, Rolling)> {
    let task = world.ecs.tasks.get(task)?;
    let service = world.ecs.clusters.get(&task.cluster)?.services.get(task.service.as_ref()?)?;
    let number = task.started_by.as_deref()?.strip_prefix("ecs-svc/")?;
    let first = service.history.last().is_none_or(|first| first.target == number);
    Some((service.name.clone(), if first { Rolling::First } else { Rolling::Later }))
}

/// A rollout that is going on and replaces something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    pub cluster: String,
    pub service: String,
    pub deployment: String,
    pub began_at: Millis,
}

/// All of them.
#[must_use]
pub fn rollouts(world: &World) -> Vec<Rollout> {
    let services = world.ecs.clusters.values().flat_map(|cluster| cluster.services.values());
    let going = services.filter_map(|service| {
        let latest = service.history.first().filter(|latest| latest.is_underway())?;
        if service.history.len() < 2 {
            return None;
        }
        Some(Rollout {
            cluster: service.cluster.clone(),
            service: service.name.clone(),
            deployment: latest.id.clone(),
            began_at: latest.started_at?,
        })
    });
    going.collect()
}

/// Whether anything of a service is being rolled out, or waits to be.
#[must_use]
pub fn rolls_out(world: &World, service: &str) -> bool {
    let mut services = world.ecs.clusters.values().flat_map(|cluster| cluster.services.values());
    services.any(|known| known.name == service && known.history.first().is_some_and(ServiceDeployment::is_underway))
}

fn sight(world: &World, task: &Task) -> Sight {
    let targets = task.seats.iter().map(|seat| {
        let health = world.elb.health(&seat.group, &seat.target);
        let why = health.reason.map(|reason| match health.description {
            Some(description) => format!("{reason}: {description}"),
            None => reason,
        });
        TargetSight {
            group: seat.group.clone(),
            address: seat.target.to_string(),
            state: health.state,
            why,
            leaving: seat.membership == Membership::Deregistered,
        }
    });
    let containers = task.containers.iter().map(|container| ContainerSight {
        name: container.name.clone(),
        essential: container.essential,
        exit_code: container.exit_code,
        by_itself: container.by_itself,
        reason: container.reason.clone(),
        bindings: container.bindings.clone(),
    });
    Sight {
        task: task.id.clone(),
        service: task.service.clone(),
        started_by: task.started_by.clone(),
        definition: task.definition.clone(),
        stage: match task.phase {
            Phase::Provisioning | Phase::Pending => Stage::Starting,
            Phase::Running => Stage::Running,
            Phase::Deactivating => Stage::Draining,
            Phase::Stopping => Stage::Stopping,
            Phase::Stopped => Stage::Stopped,
        },
        created_at: task.created_at(),
        pull_stopped_at: task.pull_stopped_at,
        started_at: task.started_at,
        execution_stopped_at: task.execution_stopped_at,
        stopped_at: task.stopped_at,
        targets: targets.collect(),
        containers: containers.collect(),
        stop_code: task.stop.as_ref().map(|stop| stop.code_word().to_owned()),
        stopped_reason: task.stop.as_ref().map(|stop| stop.reason.clone()),
    }
}
