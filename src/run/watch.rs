//! Drives one rollout's state machine: polls what it asks for, feeds it, sleeps for as long as it says,
//! and hears cancellation. The only loop in the program that sleeps.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    cancel::Cancel,
    error::{Left, RunError, WayBack, words},
    release::{Member, Others, Together},
};
use crate::{
    aws::{self, Aws, AwsError, error::Kind, logs},
    docker::tell,
    event::{Board, FailedTask, Live, Progress, Side},
    exit::Exit,
    id::{Cluster, ServiceName, TaskDefArn},
    plan::step::Percentages,
    rollout::{
        goal::{Goal, OnFailure, OnInterrupt, Started, Terms},
        machine::{Asked, Machine, Next, Verdict},
        reason,
        schedule::{Ask, Part},
        view::View,
    },
};

/// Enough to see a stack trace's head and the message before it, and still one screen with the rest.
const LOG_LINES: u16 = 15;

/// Which rollout, seen from the outside.
pub(crate) struct Watched<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) name: &'a ServiceName,
    pub(crate) goal: Goal,
}

/// Where the parts of a look are found.
#[derive(Clone, Copy)]
struct Place<'a> {
    cluster: &'a Cluster,
    name: &'a ServiceName,
}

/// A rollout that went well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finished {
    pub(crate) verdict: Verdict,
    /// The last picture of it.
    pub(crate) board: Option<Box<Board>>,
}

impl Finished {
    /// What happened to the tasks: `2 tasks of hello:1 replaced`, `2 tasks started`.
    #[must_use]
    pub(crate) fn replaced(&self) -> String {
        let Some(board) = &self.board else { return words(&self.verdict) };
        let count = |side| match board.tasks.iter().filter(|task| task.side == side).count() {
            1 => "1 task".to_owned(),
            number => format!("{number} tasks"),
        };
        if self.verdict == Verdict::NothingProven {
            words(&self.verdict)
        } else if board.tasks.iter().any(|task| task.side == Side::Old) {
            format!("{} of {} replaced", count(Side::Old), board.old_revisions.join(", "))
        } else {
            format!("{} started", count(Side::New))
        }
    }
}

/// Watches until the machine knows how it ended, or until somebody asks to stop.
///
/// When one of the others fails and all are to stand or fall together, this one is
/// taken back too, also when it has ended well already.
pub(crate) async fn watch(
    aws: &Aws,
    watched: Watched<'_>,
    progress: &mpsc::Sender<Progress>,
    clock: fn() -> u64,
    cancel: &Cancel,
    member: Member<'_>,
) -> Result<Finished, RunError> {
    let Member { together, step } = member;
    let looker = Looker { aws: aws.telling(progress.clone()), watched, progress, clock, cancel };
    let finished = looker.watch(together).await?;
    together.well(step);
    let others = together.open();
    if !others.is_empty() {
        let service = looker.watched.goal.service.clone();
        tell(progress, Progress::WaitingForOthers { service, others }).await;
    }
    let failed = tokio::select! {
        ended = together.end() => match ended {
            Others::AllWell => return Ok(finished),
            Others::Failed(what) => what,
        },
        () = cancel.once() => return Err(looker.interrupted_after().await),
    };
    looker.undo(finished, &failed).await
}

/// One rollout, and all that is needed to look at it.
struct Looker<'a> {
    aws: Aws,
    watched: Watched<'a>,
    progress: &'a mpsc::Sender<Progress>,
    clock: fn() -> u64,
    cancel: &'a Cancel,
}

impl Looker<'_> {
    async fn watch(&self, together: &Together) -> Result<Finished, RunError> {
        let Self { aws, watched: Watched { cluster, name, goal }, progress, clock, cancel } = self;
        let place = Place { cluster, name };
        let service = &goal.service;
        let mut logs = Logs::new(aws);
        let mut failed = Vec::new();
        let mut machine = Machine::new(goal.clone(), clock());
        let mut ask = Ask::all();
        let mut board = None;
        loop {
            let view = tokio::select! {
                view = look(aws, &place, &machine, &ask) => view,
                () = cancel.once() => return Err(interrupted(aws, &place, &machine, cancel).await),
            };
            let heard = machine.see(&view, clock());
            let mut logs_left_ms = goal.pace.log_ms();
            for mut message in heard.progress {
                if let Progress::TaskFailed { task, .. } = &mut message {
                    let began_ms = clock();
                    if let Some(found) = logs.fill_within(logs_left_ms, task).await {
                        machine.learn(&task.id, found);
                    }
                    logs_left_ms = logs_left_ms.saturating_sub(clock().saturating_sub(began_ms));
                    failed.push(task.clone());
                }
                if let Progress::Board(picture) = &message {
                    board = Some(Box::new(picture.clone()));
                }
                tell(progress, message).await;
            }
            if let Some(why) = heard.take_back {
                self.take_back(&place, &mut machine, why).await;
            }
            match heard.next {
                Next::Look { after_ms, ask: next } => {
                    ask = next;
                    tokio::select! {
                        () = pause(goal.pace.sleep_ms(clock(), after_ms)) => {}
                        what = together.failure(), if machine.may_be_taken_back() => {
                            let why = others_failed(&what);
                            if machine.take_back_for(&why) == Asked::Now {
                                self.take_back(&place, &mut machine, why).await;
                            }
                            ask = Ask::all();
                        }
                        () = cancel.once() => return Err(interrupted(aws, &place, &machine, cancel).await),
                    }
                }
                Next::Ended(verdict) => {
                    let live = machine.live();
                    return match verdict.exit(live) {
                        Exit::Done => Ok(Finished { verdict, board }),
                        exit => {
                            let (service, way_back) = (service.clone(), WayBack::to(goal.started.previous.as_ref()));
                            Err(RunError::Rollout { service, verdict, live, exit, failed, way_back })
                        }
                    };
                }
            }
        }
    }

    async fn take_back(&self, place: &Place<'_>, machine: &mut Machine, why: String) {
        let service = &self.watched.goal.service;
        tell(self.progress, Progress::TakingBack { service: service.clone(), why }).await;
        match take_back(&self.aws, place, machine).await {
            Ok(Some(replacement)) => machine.taken_back_by(&replacement),
            Ok(None) => {}
            // ECS may still do it by itself; the watch tells how it ends.
            Err(error) => {
                let why = format!("ECS could not be asked to ({error}); watching on");
                tell(self.progress, Progress::TakingBack { service: service.clone(), why }).await;
            }
        }
    }

    /// Rolls out what ran before a rollout that had ended well.
    async fn undo(&self, finished: Finished, failed: &str) -> Result<Finished, RunError> {
        let Self { aws, watched: Watched { cluster, name, goal }, progress, clock, cancel } = self;
        let service = &goal.service;
        let why = others_failed(failed);
        let Some(previous) = &goal.started.previous else {
            let why = format!("{why}, but nothing ran before it: it stays");
            tell(progress, Progress::TakingBack { service: service.clone(), why }).await;
            return Ok(finished);
        };
        tell(progress, Progress::TakingBack { service: service.clone(), why: why.clone() }).await;
        let rollout = |verdict: Verdict, live| {
            let exit = verdict.exit(live);
            let service = service.clone();
            RunError::Rollout { service, verdict, live, exit, failed: Vec::new(), way_back: WayBack::Open }
        };
        let started =
            match aws::ecs::update_service(aws, cluster, name, previous, aws::ecs::Force::No, Percentages::default())
                .await
            {
                Ok(started) => Started { previous: Some(goal.started.task_definition.clone()), ..started },
                Err(error) => {
                    let why = format!("{why}; it could not be taken back: {error}");
                    return Err(rollout(Verdict::Failed { why }, Live::New));
                }
            };
        let terms = Terms { on_failure: OnFailure::Wait, expected_ms: None, ..goal.terms };
        let goal = Goal { started, terms, ..goal.clone() };
        let watched = Watched { cluster, name, goal };
        let back = Looker { aws: aws.clone(), watched, progress, clock: *clock, cancel };
        match Box::pin(back.watch(Member::ALONE.together)).await {
            Ok(_) => Err(rollout(Verdict::RolledBack { why }, Live::Unchanged)),
            Err(RunError::Rollout { verdict: Verdict::DrainUnfinished, .. }) => {
                Err(rollout(Verdict::RolledBack { why }, Live::Unchanged))
            }
            Err(RunError::Rollout { verdict, live, .. }) => {
                let why = format!("{why}; taking it back did not end well: {}", words(&verdict));
                // What is new to that rollout is what ran before.
                let live = match live {
                    Live::New => Live::Unchanged,
                    Live::Unchanged => Live::New,
                    Live::Mixed | Live::Unknown => live,
                };
                Err(rollout(Verdict::Failed { why }, live))
            }
            Err(error) => Err(error),
        }
    }

    /// Somebody asked to stop while a rollout that had ended well waited for the others: one that has completed can no
    /// longer be stopped, so it is taken back by rolling out what ran before.
    async fn interrupted_after(&self) -> RunError {
        let Self { aws, watched: Watched { cluster, name, goal }, progress: _, clock: _, cancel } = self;
        let left = left_behind(goal, cancel, async |previous| {
            aws::ecs::update_service(aws, cluster, name, previous, aws::ecs::Force::No, Percentages::default())
                .await
                .map(drop)
        });
        RunError::StoppedWatching {
            service: goal.service.clone(),
            task_definition: goal.started.task_definition.clone(),
            left: left.await,
            live: Live::New,
        }
    }
}

fn others_failed(what: &str) -> String {
    format!("{what}, and the release is all or nothing")
}

/// Somebody asked to stop: ECS goes on, or is asked once to take the rollout back.
///
/// Only a wish to stop leads here, never a request that took too long: a time-out of one call is the
/// view's loss and no reason to take anything back.
async fn interrupted(aws: &Aws, place: &Place<'_>, machine: &Machine, cancel: &Cancel) -> RunError {
    let goal = machine.goal();
    let left = left_behind(goal, cancel, async |_| take_back(aws, place, machine).await.map(drop)).await;
    RunError::StoppedWatching {
        service: goal.service.clone(),
        task_definition: goal.started.task_definition.clone(),
        live: machine.live(),
        left,
    }
}

/// What becomes of a rollout when somebody asks to stop. `take_back` is told what ran before it.
async fn left_behind(
    goal: &Goal,
    cancel: &Cancel,
    take_back: impl AsyncFnOnce(&TaskDefArn) -> Result<(), AwsError>,
) -> Left {
    match (goal.terms.on_interrupt, &goal.started.previous) {
        (OnInterrupt::Leave, _) => Left::Going,
        (OnInterrupt::TakeBack, None) => Left::NotTakenBack { why: "nothing ran before it".to_owned() },
        (OnInterrupt::TakeBack, Some(previous)) => tokio::select! {
            asked = take_back(previous) => match asked {
                Ok(()) => Left::TakenBack,
                Err(error) => Left::NotTakenBack { why: error.to_string() },
            },
            // The second wish leaves at once, whatever becomes of the first.
            () = cancel.again() => Left::NotTakenBack { why: "its answer was not waited for".to_owned() },
        },
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the program waits for the world")]
pub async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Asks ECS to take the rollout back; where it will not, the revision that ran before is rolled out. Gives
/// the deployment that does that, if it is one of its own.
///
/// The revision that failed stays registered: somebody will want to look at it.
async fn take_back(aws: &Aws, place: &Place<'_>, machine: &Machine) -> Result<Option<String>, AwsError> {
    if let Some(arn) = machine.service_deployment()
        && aws::ecs::stop_deployment(aws, arn).await.is_ok()
    {
        return Ok(None);
    }
    let Some(previous) = &machine.goal().started.previous else { return Ok(None) };
    let started =
        aws::ecs::update_service(aws, place.cluster, place.name, previous, aws::ecs::Force::No, Percentages::default())
            .await?;
    Ok(Some(started.deployment_id))
}

/// One look: the parts that were asked for, side by side. A part that AWS does not give (throttled, not
/// allowed, a network that blinked) is `None`, and the machine looks again later.
async fn look(aws: &Aws, place: &Place<'_>, machine: &Machine, ask: &Ask) -> View {
    let Place { cluster, name } = *place;
    let service = async {
        if !ask.wants(Part::Service) {
            return (None, None);
        }
        match aws::ecs::view_service(aws, cluster, name).await {
            Ok(view) => (view, None),
            Err(error) => (None, denied(&error)),
        }
    };
    // Tasks are known to their targets by the ports of the target groups, so at the first look those come first.
    let (early, service) = match machine.groups() {
        Some(_) => (None, Some(service)),
        None => (Some(service.await), None),
    };
    let told = early.as_ref().and_then(|(view, _)| view.as_ref()).map(|view| view.groups.as_slice());
    let groups = machine.groups().or(told);
    let later = async {
        match service {
            Some(service) => service.await,
            None => (None, None),
        }
    };
    let deployment = async {
        match machine.service_deployment() {
            Some(arn) if ask.wants(Part::Deployment) => match aws::ecs::view_deployment(aws, arn).await {
                Ok(view) => (view, None),
                Err(error) => (None, denied(&error)),
            },
            Some(_) | None => (None, None),
        }
    };
    let tasks = async {
        let ports: Vec<_> = groups.unwrap_or_default().iter().map(|group| group.container_port).collect();
        if !ask.wants(Part::Tasks) {
            return (None, None);
        }
        match aws::ecs::view_tasks(aws, cluster, name, &ports).await {
            Ok(tasks) => (Some(tasks), None),
            Err(error) => (None, denied(&error)),
        }
    };
    let targets = async {
        let Some(groups) = groups.filter(|_| ask.wants(Part::Targets)) else { return (None, None) };
        let asked = groups.iter().map(|group| aws::elb::target_health(aws, &group.arn));
        let answered: Result<Vec<_>, _> = futures_util::future::join_all(asked).await.into_iter().collect();
        match answered {
            Ok(groups) => (Some(groups.into_iter().flatten().collect()), None),
            Err(error) => (None, denied(&error)),
        }
    };
    let (later, deployment, tasks, targets) = tokio::join!(later, deployment, tasks, targets);
    let service = early.unwrap_or(later);
    let denied = [
        (Part::Service, service.1),
        (Part::Deployment, deployment.1),
        (Part::Tasks, tasks.1),
        (Part::Targets, targets.1),
    ];
    let denied = denied.into_iter().filter_map(|(part, action)| Some((part, action?))).collect();
    View { service: service.0, deployment: deployment.0, tasks: tasks.0, targets: targets.0, denied }
}

/// The IAM action that is missing, if that is why.
fn denied(error: &AwsError) -> Option<String> {
    match error.kind() {
        Kind::AccessDenied { action, .. } => Some(action.clone()),
        _ => None,
    }
}

/// The last log lines of failed containers, read once per task while they are there.
struct Logs<'a> {
    aws: &'a Aws,
    definitions: BTreeMap<String, Option<Value>>,
    /// What was already read: a task is told once, but its containers may share a stream.
    read: BTreeSet<(String, String)>,
}

impl<'a> Logs<'a> {
    const fn new(aws: &'a Aws) -> Self {
        Self { aws, definitions: BTreeMap::new(), read: BTreeSet::new() }
    }

    /// [`Logs::fill`] that does not keep the watch waiting for longer than this: what ECS says of the rollout is worth
    /// more than a log.
    async fn fill_within(&mut self, limit_ms: u64, task: &mut FailedTask) -> Option<reason::Reason> {
        if limit_ms > 0 {
            tokio::select! {
                learned = self.fill(task) => return learned,
                () = pause(limit_ms) => {}
            }
        }
        for container in task.containers.iter_mut().filter(|container| container.log.is_empty()) {
            container.log = vec!["(its log could not be read in time)".to_owned()];
        }
        None
    }

    /// Yields what the log tells of why the task failed, where ECS does not know.
    async fn fill(&mut self, task: &mut FailedTask) -> Option<reason::Reason> {
        let definition = if let Some(known) = self.definitions.get(&task.revision) {
            known.clone()
        } else {
            let asked = aws::ecs::definition(self.aws, Some(&task.revision)).await.ok().map(|(found, _)| found);
            self.definitions.insert(task.revision.clone(), asked.clone());
            asked
        };
        let definition = definition?;
        let mut learned = None;
        if task.explanation.contains(reason::OUT_OF_MEMORY)
            && let Some(limit) = task.containers.iter().find_map(|one| reason::memory_limit(&definition, &one.name))
        {
            task.explanation = format!("{} (its limit is {limit} MiB)", task.explanation);
        }
        for container in &mut task.containers {
            let Some(source) = logs::log_source(&definition, &container.name, &task.id) else { continue };
            if !self.read.insert((source.group.clone(), source.stream.clone())) {
                continue;
            }
            match logs::last_lines(self.aws, &source, LOG_LINES).await {
                Ok(lines) => {
                    // A binary for another processor ends with exit code 1 or 255; only its last words tell.
                    if let Some(line) = lines.iter().find(|line| line.contains("exec format error"))
                        && let Some(found) = reason::of_text(line)
                    {
                        task.explanation.clone_from(&found.words);
                        learned = Some(found);
                    }
                    container.log = lines;
                }
                Err(error) if error.is_not_found() => container.log = vec!["(it wrote nothing)".to_owned()],
                // What may not be read is said, not hidden.
                Err(error) => container.log = vec![format!("(its log could not be read: {error})")],
            }
        }
        learned
    }
}
