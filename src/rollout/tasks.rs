//! What is remembered of a service's tasks and targets over all looks, and how it reads on a board.
//!
//! Answers come late and in any order. A task only ever goes forward through its lifecycle, so an
//! answer that would take it back is an older one and is ignored.

use std::collections::BTreeMap;

use super::{
    goal::Started,
    reason,
    view::{ContainerView, TargetView, TaskView},
};
use crate::event::{BoardTask, FailedContainer, FailedKind, FailedTask, Side, TaskState};

/// The lifecycle as AWS documents it. `None` for a word newer than this program.
fn rank(last_status: &str) -> Option<u8> {
    const LIFECYCLE: [&str; 9] = [
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
        "DEACTIVATING",
        "STOPPING",
        "DEPROVISIONING",
        "STOPPED",
        "DELETED",
    ];
    LIFECYCLE.iter().position(|word| *word == last_status).and_then(|index| u8::try_from(index).ok())
}

/// A list may be older than the task it lacks; only two in a row mean that the task is gone.
const MISSES: u8 = 2;

#[derive(Debug, Clone)]
struct Known {
    view: TaskView,
    side: Side,
    state: TaskState,
    detail: Option<String>,
    draining_since_ms: Option<u64>,
    /// What its target said when it was last unhealthy: gone when the target is, and what the reader wants to know.
    unhealthy: Option<String>,
    /// What its log told that ECS does not.
    learned: Option<reason::Reason>,
    /// Lists in a row that lacked it.
    missed: u8,
    /// Whether it was ever seen other than stopped: what ended before the rollout is not shown.
    took_part: bool,
    told: bool,
}

/// Whether the service has a target group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Balancer {
    Attached,
    None,
}

/// All tasks and targets seen so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    known: BTreeMap<String, Known>,
    targets: Vec<TargetView>,
    listed_ms: Option<u64>,
    targets_ms: Option<u64>,
}

impl Tasks {
    pub(super) fn hear_tasks(&mut self, seen: &[TaskView], started: &Started, now_ms: u64) {
        self.listed_ms = Some(now_ms);
        for known in self.known.values_mut() {
            if !seen.iter().any(|task| task.id == known.view.id) {
                known.missed = known.missed.saturating_add(1);
            }
        }
        for task in seen {
            let stopped = is_stopped(task);
            let known = self.known.entry(task.id.clone()).or_insert_with(|| Known {
                view: task.clone(),
                side: side(task, started),
                state: TaskState::Starting,
                detail: None,
                draining_since_ms: None,
                unhealthy: None,
                learned: None,
                missed: 0,
                took_part: !stopped,
                told: false,
            });
            known.missed = 0;
            known.took_part |= !stopped;
            if is_older(task, &known.view) {
                continue;
            }
            let before = std::mem::replace(&mut known.view, task.clone());
            // Addresses go with the network interface; they still tell whose target drains.
            if known.view.addresses.is_empty() {
                known.view.addresses = before.addresses;
            }
            known.view.stopped_reason = known.view.stopped_reason.take().or(before.stopped_reason);
            known.view.stop_code = known.view.stop_code.take().or(before.stop_code);
        }
    }

    pub(super) fn hear_targets(&mut self, seen: &[TargetView], now_ms: u64) {
        self.targets_ms = Some(now_ms);
        seen.clone_into(&mut self.targets);
    }

    /// Works out every task's state from what is known now.
    ///
    /// Behind a load balancer a task is not healthy before its target is. A list without any target is what a service
    /// has whose first tasks are not registered yet; one whose targets belong to no task that is known cannot be read
    /// (targets that are registered under names nobody told us), and must hold nothing back.
    pub(super) fn settle(&mut self, behind_balancer: Balancer, now_ms: u64) {
        let Self { known, targets, .. } = self;
        let joins = |task: &Known| targets.iter().any(|target| task.view.addresses.contains(&target.address));
        let balanced = known.values().any(joins) || (behind_balancer == Balancer::Attached && targets.is_empty());
        for task in known.values_mut() {
            let own: Vec<_> = targets.iter().filter(|target| task.view.addresses.contains(&target.address)).collect();
            let (state, detail) =
                if task.missed >= MISSES { (TaskState::Gone, None) } else { state_of(&task.view, &own, balanced) };
            let sick = own.iter().find(|target| target.state == "unhealthy").and_then(|target| said(target));
            task.unhealthy = sick.or(task.unhealthy.take());
            task.state = state;
            task.detail = detail;
            // Between the scheduler's decision and the deregistration lies one of its moves, in which nothing drains yet.
            let drains = own.iter().any(|target| is_draining(&target.state));
            if state == TaskState::Draining && (drains || task.view.last_status == "DEACTIVATING") {
                task.draining_since_ms.get_or_insert(now_ms);
            }
        }
    }

    fn on(&self, side: Side) -> impl Iterator<Item = &Known> {
        self.known.values().filter(move |task| task.side == side)
    }

    pub(super) fn count(&self, side: Side, matches: impl Fn(TaskState) -> bool) -> usize {
        self.on(side).filter(|task| matches(task.state)).count()
    }

    /// Whether no old task is left in the last lists, and nothing drains that is not a new task's.
    ///
    /// A draining target whose task was never seen is taken for an old one: a watch may begin when the
    /// task has left the lists and its connections have not.
    pub(super) fn old_gone(&self) -> bool {
        self.count(Side::Old, |state| state != TaskState::Gone) == 0 && !self.old_target_drains()
    }

    pub(super) fn old_target_drains(&self) -> bool {
        self.targets.iter().any(|target| {
            is_draining(&target.state) && !self.on(Side::New).any(|task| task.view.addresses.contains(&target.address))
        })
    }

    /// New tasks that run and of which nothing known says that they are not healthy: ECS may have
    /// another idea of health than the parts this program could read.
    pub(super) fn new_running_unharmed(&self) -> usize {
        let harmed = |task: &&Known| {
            self.targets.iter().any(|target| target.state != "healthy" && task.view.addresses.contains(&target.address))
        };
        self.on(Side::New)
            .filter(|task| matches!(task.state, TaskState::Healthy | TaskState::Registering))
            .filter(|task| !harmed(task))
            .count()
    }

    /// Whether `DescribeTargetHealth` has something to say that may change soon.
    pub(super) fn targets_move(&self) -> bool {
        self.targets_ms.is_none()
            || self.targets.iter().any(|target| target.state != "healthy" && target.state != "unused")
            || self.known.values().any(|task| matches!(task.state, TaskState::Registering | TaskState::Draining))
    }

    /// The longest that a known drain still takes.
    pub(super) fn longest_drain_left_ms(&self, delay_ms: u64, now_ms: u64) -> Option<u64> {
        self.known.values().filter_map(|task| task.drain_left_ms(delay_ms, now_ms)).max()
    }

    pub(super) const fn listed_ms(&self) -> Option<u64> {
        self.listed_ms
    }

    pub(super) const fn targets_ms(&self) -> Option<u64> {
        self.targets_ms
    }

    /// What counts as movement: states, not numbers that tick by themselves.
    pub(super) fn fingerprint(&self) -> Vec<(String, TaskState, String)> {
        self.known.values().map(|task| (task.view.id.clone(), task.state, task.view.last_status.clone())).collect()
    }

    pub(super) fn board(&self, delay_ms: u64, now_ms: u64) -> Vec<BoardTask> {
        let mut tasks: Vec<_> = self.known.values().filter(|task| task.took_part || task.side == Side::New).collect();
        let order = |side: Side| side != Side::New;
        tasks.sort_by_key(|task| (order(task.side), task.view.created_ms, task.view.id.clone()));
        tasks
            .into_iter()
            .map(|task| BoardTask {
                id: task.view.id.clone(),
                side: task.side,
                revision: task.view.task_definition.short().to_owned(),
                state: task.state,
                detail: task.detail.clone(),
                drain_left_ms: task.drain_left_ms(delay_ms, now_ms),
            })
            .collect()
    }

    /// New tasks that ended by themselves and were not told yet.
    pub(super) fn newly_failed(&mut self) -> Vec<FailedTask> {
        self.known
            .values_mut()
            .filter(|task| task.side == Side::New && !task.told && has_failed(&task.view))
            .map(|task| {
                task.told = true;
                task.failed()
            })
            .collect()
    }

    /// A task that has failed turned out to have done so for this reason.
    pub(super) fn learn(&mut self, id: &str, reason: reason::Reason) {
        if let Some(task) = self.known.get_mut(id) {
            task.learned = Some(reason);
        }
    }

    fn failed_new(&self) -> impl Iterator<Item = &Known> {
        self.on(Side::New).filter(|task| has_failed(&task.view))
    }

    /// Why new tasks have failed: the surest reason, and of those the commonest, with how often.
    pub(super) fn why(&self) -> Option<String> {
        let mut reasons: Vec<(reason::Reason, usize, &Known)> = Vec::new();
        for task in self.failed_new() {
            let found = task.reason();
            match reasons.iter_mut().find(|(reason, ..)| *reason == found) {
                Some((_, times, _)) => *times += 1,
                None => reasons.push((found, 1, task)),
            }
        }
        let (_, times, task) = reasons.into_iter().max_by_key(|(reason, times, _)| (reason.class, *times))?;
        let tasks = if times == 1 { "task" } else { "tasks" };
        Some(format!("{times} {tasks} failed: {}", task.words()))
    }

    /// Whether the ends of new tasks prove that every further one will end so: one that is sure to be
    /// repeated, or two of a kind that may be bad luck once.
    pub(super) fn show_failure(&self) -> bool {
        let classes: Vec<_> = self.failed_new().map(|task| task.reason().class).collect();
        classes.contains(&reason::Class::Deterministic)
            || classes.iter().filter(|class| **class == reason::Class::NeedsTwo).count() >= 2
    }

    /// How many new tasks have failed, those aside that were lost for a reason of their host.
    pub(super) fn failures(&self) -> usize {
        self.failed_new().filter(|task| task.reason().class != reason::Class::Noise).count()
    }

    /// The revisions of the old tasks that took part, for the board.
    pub(super) fn old_revisions(&self) -> impl Iterator<Item = &str> {
        self.on(Side::Old).filter(|task| task.took_part).map(|task| task.view.task_definition.short())
    }
}

impl Known {
    fn reason(&self) -> reason::Reason {
        self.learned.clone().unwrap_or_else(|| reason::reason(&self.view))
    }

    /// The reason in words, with what the target said.
    fn words(&self) -> String {
        let words = self.reason().words;
        match (&self.unhealthy, words.strip_prefix(reason::UNHEALTHY_TARGET)) {
            (Some(said), Some(rest)) => format!("{} ({said}){rest}", reason::UNHEALTHY_TARGET),
            (Some(_) | None, _) => words,
        }
    }

    fn failed(&self) -> FailedTask {
        let task = &self.view;
        FailedTask {
            id: task.id.clone(),
            revision: task.task_definition.short().to_owned(),
            stop_code: task.stop_code.clone(),
            stopped_reason: task.stopped_reason.clone(),
            containers: task
                .containers
                .iter()
                .map(|ContainerView { name, last_status: _, exit_code, reason, health: _ }| FailedContainer {
                    name: name.clone(),
                    exit_code: *exit_code,
                    reason: reason.clone(),
                    log: Vec::new(),
                })
                .collect(),
            explanation: self.words(),
            kind: match self.reason().class {
                reason::Class::Noise => FailedKind::Lost,
                reason::Class::NeedsTwo | reason::Class::Deterministic => FailedKind::Failed,
            },
        }
    }

    fn drain_left_ms(&self, delay_ms: u64, now_ms: u64) -> Option<u64> {
        let since = self.draining_since_ms.filter(|_| self.state == TaskState::Draining)?;
        Some(since.saturating_add(delay_ms).saturating_sub(now_ms))
    }
}

/// A task belongs to the deployment that started it; a task of the old revision that died during the
/// rollout is replaced by one of the old revision.
fn side(task: &TaskView, started: &Started) -> Side {
    let is_new = match &task.started_by {
        Some(deployment) if deployment.starts_with("ecs-svc/") => *deployment == started.deployment_id,
        Some(_) | None => task.task_definition == started.task_definition,
    };
    if is_new { Side::New } else { Side::Old }
}

fn is_stopped(task: &TaskView) -> bool {
    matches!(task.last_status.as_str(), "STOPPED" | "DELETED")
}

fn is_older(task: &TaskView, known: &TaskView) -> bool {
    match (rank(&task.last_status), rank(&known.last_status)) {
        (Some(new), Some(old)) => new < old,
        // A word nobody knows: newer than anything but the end.
        (None, Some(_)) => is_stopped(known),
        (Some(_) | None, None) => false,
    }
}

fn is_draining(state: &str) -> bool {
    // `unhealthy.draining` is the balancer's own doing and ends the same way.
    state == "draining" || state == "unhealthy.draining"
}

/// A task's state and what is worth saying about it, from its own words and those of its targets.
fn state_of(task: &TaskView, targets: &[&TargetView], balanced: bool) -> (TaskState, Option<String>) {
    let worst = |state: fn(&str) -> bool| targets.iter().find(|target| state(&target.state)).map(|target| said(target));
    let drains = targets.iter().any(|target| is_draining(&target.state));
    match task.last_status.as_str() {
        "PROVISIONING" | "PENDING" | "ACTIVATING" => (TaskState::Starting, None),
        "DEACTIVATING" => (TaskState::Draining, task.stopped_reason.clone()),
        "STOPPING" | "DEPROVISIONING" => (TaskState::Stopping, task.stopped_reason.clone()),
        "STOPPED" | "DELETED" => (TaskState::Gone, task.stopped_reason.clone()),
        "RUNNING" if drains => (TaskState::Draining, None),
        // `has stopped 1 running tasks` is the scheduler's decision: the target is deregistered about 10 s later, and the
        // signal comes after the drain. Without a target it may be under way.
        "RUNNING" if task.desired_status == "STOPPED" && !targets.is_empty() => {
            (TaskState::Draining, task.stopped_reason.clone())
        }
        "RUNNING" if task.desired_status == "STOPPED" => (TaskState::Stopping, task.stopped_reason.clone()),
        "RUNNING" => {
            if let Some(detail) = worst(|state| state == "unhealthy") {
                (TaskState::Unhealthy, detail)
            } else if task.health.as_deref() == Some("UNHEALTHY") {
                (TaskState::Unhealthy, Some("its container health check fails".to_owned()))
            } else if let Some(detail) = worst(|state| state != "healthy") {
                (TaskState::Registering, detail)
            } else if targets.is_empty() && balanced {
                (TaskState::Registering, None)
            } else {
                (TaskState::Healthy, None)
            }
        }
        other => (TaskState::Unknown, Some(other.to_owned())),
    }
}

/// `Target.ResponseCodeMismatch: Health checks failed with these codes: [500]`.
fn said(target: &TargetView) -> Option<String> {
    match (&target.reason, &target.description) {
        (Some(reason), Some(description)) => Some(format!("{reason}: {description}")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    }
}

/// Whether a task ended although nobody asked it to. A failed health check is known before the task is
/// gone, minutes before where its target has to drain first.
fn has_failed(task: &TaskView) -> bool {
    let unhealthy = task.stopped_reason.as_deref().is_some_and(|reason| {
        reason.contains("failed ELB health checks") || reason.contains("failed container health checks")
    });
    let scheduler = task.stop_code.as_deref() == Some("ServiceSchedulerInitiated");
    let normal = task.stopped_reason.as_deref().is_some_and(|reason| reason.contains("Scaling activity initiated by"))
        || (scheduler && task.stopped_reason.is_none());
    unhealthy || (is_stopped(task) && !normal)
}
