//! The machine against a model of ECS: a rollout as a pure function of time, from which any look can be
//! answered late, in part, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Heard, Machine, Next, Verdict};
use crate::{
    event::{Live, Phase, Progress, Side, TaskState},
    exit::Exit,
    id::{Key, TaskDefArn},
    rollout::{
        budget::{Clock, longest_ms},
        goal::{DoneWhen, Goal, OnFailure, Pace, Started, Terms, WatchBudget},
        schedule::{Ask, Part},
        view::{
            BreakerView, ContainerView, DeploymentView, EventView, GroupView, HookView, ServiceDeploymentView,
            ServiceView, ShiftView, TargetView, TaskView, View,
        },
    },
};

mod acts;
mod any_order;
mod attached;
mod one_word;
mod proven;
mod waiting;

const START: u64 = 1_800_000_000_000;
const OURS: &str = "ecs-svc/2";
const OLD: &str = "ecs-svc/1";
const THEIRS: &str = "ecs-svc/9";
const ARN: &str = "arn:aws:ecs:eu-west-1:111111111111:service-deployment/shop/web/ours";

/// How the rollout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Success,
    /// SUCCESSFUL when the new tasks are healthy, long before the old ones have drained
    /// (`earlySuccessCriteria`).
    EarlySuccess,
    /// New tasks exit until the breaker takes the change back.
    RolledBack,
    /// The breaker has no rollback: ours stays PRIMARY and FAILED.
    Stalled,
    Superseded,
    /// Nothing ever starts.
    Stuck,
    /// The service was deleted.
    Deleted,
}

#[derive(Debug, Clone)]
struct Model {
    course: Course,
    desired: u32,
    /// All in milliseconds.
    boot: u64,
    register: u64,
    drain: u64,
    stop: u64,
    balancer: Balancer,
    api: Api,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Balancer {
    Attached,
    None,
}

/// Whether the service-deployments API answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Present,
    Absent,
}

/// The moves of the scheduler.
const TICK: u64 = 10_000;

/// When the breaker fires, or somebody else deploys or deletes; and when ECS has dealt with it.
const TURN: u64 = 3 * TICK;
const TURNED: u64 = 5 * TICK;

fn task(id: &str, side: Side, last: &str, desired: &str) -> TaskView {
    let (revision, by) = match side {
        Side::New => ("web:42", OURS),
        Side::Old => ("web:41", OLD),
    };
    TaskView {
        id: id.to_owned(),
        task_definition: TaskDefArn::new(revision),
        started_by: Some(by.to_owned()),
        last_status: last.to_owned(),
        desired_status: desired.to_owned(),
        health: Some("UNKNOWN".to_owned()),
        stop_code: None,
        stopped_reason: None,
        created_ms: Some(START),
        started_ms: None,
        stopping_ms: None,
        stopped_ms: None,
        containers: vec![ContainerView {
            name: "web".to_owned(),
            last_status: last.to_owned(),
            exit_code: None,
            reason: None,
            health: None,
        }],
        addresses: if last == "PENDING" { Vec::new() } else { vec![format!("10.0.0.1:{id}")] },
    }
}

impl Model {
    fn usual() -> Self {
        Self {
            course: Course::Success,
            desired: 2,
            boot: 8_000,
            register: 5_000,
            drain: 30_000,
            stop: 4_000,
            balancer: Balancer::Attached,
            api: Api::Present,
        }
    }

    fn healthy_at(&self) -> u64 {
        TICK + self.boot + if self.balancer == Balancer::Attached { self.register } else { 0 }
    }

    fn drains_at(&self) -> u64 {
        self.healthy_at() + TICK
    }

    fn signalled_at(&self) -> u64 {
        self.drains_at() + if self.balancer == Balancer::Attached { self.drain } else { 0 }
    }

    /// The last old task is gone.
    fn gone_at(&self) -> u64 {
        self.signalled_at() + self.stop
    }

    /// ECS says so.
    fn success_at(&self) -> u64 {
        match self.course {
            Course::EarlySuccess => self.healthy_at() + 1_000,
            _ => self.gone_at() + 2_000,
        }
    }

    /// All that `Drained` means is true.
    fn drained_at(&self) -> u64 {
        self.gone_at().max(self.success_at())
    }

    fn new_starts(&self) -> bool {
        self.course != Course::Stuck
    }

    fn new_crashes(&self) -> bool {
        matches!(self.course, Course::RolledBack | Course::Stalled)
    }

    /// The truth at `t` milliseconds after the update; before 0 it is the world before it.
    fn at(&self, t: i64) -> View {
        let (before, t) = (t < 0, u64::try_from(t).unwrap_or(0));
        let mut tasks = Vec::new();
        let mut targets = Vec::new();
        let target = |id: &str, state: &str, reason: Option<&str>| TargetView {
            target_group: "tg".to_owned(),
            address: format!("10.0.0.1:{id}"),
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            description: None,
        };
        let rolls = matches!(self.course, Course::Success | Course::EarlySuccess) && !before;
        for index in 0..self.desired {
            let id = format!("1{index}");
            if rolls && t >= self.gone_at() {
                let mut task = task(&id, Side::Old, "STOPPED", "STOPPED");
                task.stop_code = Some("ServiceSchedulerInitiated".to_owned());
                task.stopped_reason = Some(format!("Scaling activity initiated by (deployment {OURS})"));
                tasks.push(task);
            } else if rolls && t >= self.signalled_at() {
                tasks.push(task(&id, Side::Old, "STOPPING", "STOPPED"));
            } else if rolls && t >= self.drains_at() {
                tasks.push(task(&id, Side::Old, "DEACTIVATING", "STOPPED"));
                targets.push(target(&id, "draining", Some("Target.DeregistrationInProgress")));
            } else {
                tasks.push(task(&id, Side::Old, "RUNNING", "RUNNING"));
                targets.push(target(&id, "healthy", None));
            }
            let id = format!("2{index}");
            if before || !self.new_starts() || t < TICK {
                continue;
            }
            if self.new_crashes() && t >= TICK + self.boot {
                let mut task = task(&id, Side::New, "STOPPED", "STOPPED");
                task.stop_code = Some("EssentialContainerExited".to_owned());
                task.stopped_reason = Some("Essential container in task exited".to_owned());
                task.containers[0].exit_code = Some(1);
                tasks.push(task);
            } else if t < TICK + self.boot {
                tasks.push(task(&id, Side::New, "PENDING", "RUNNING"));
            } else {
                tasks.push(task(&id, Side::New, "RUNNING", "RUNNING"));
                let healthy = t >= self.healthy_at();
                let (state, reason) =
                    if healthy { ("healthy", None) } else { ("initial", Some("Elb.InitialHealthChecking")) };
                targets.push(target(&id, state, reason));
            }
        }
        if self.balancer == Balancer::None {
            targets.clear();
        }
        let present = self.api == Api::Present;
        View {
            service: Some(self.service_at(before, t)),
            deployment: present.then(|| self.deployment_at(before, t)),
            tasks: Some(tasks),
            targets: Some(targets),
            denied: BTreeMap::new(),
        }
    }

    fn service_at(&self, before: bool, t: u64) -> ServiceView {
        let deployment =
            |id: &str, status: &str, revision: &str, running: u32, state: &str, reason: &str| DeploymentView {
                id: id.to_owned(),
                status: status.to_owned(),
                task_definition: TaskDefArn::new(revision),
                desired: running,
                pending: 0,
                running,
                failed: 0,
                rollout_state: Some(state.to_owned()),
                rollout_reason: Some(reason.to_owned()),
            };
        let n = self.desired;
        let rolls = matches!(self.course, Course::Success | Course::EarlySuccess);
        let new_running = if self.new_starts() && !self.new_crashes() && t >= TICK + self.boot { n } else { 0 };
        // Told to stop, they no longer count as running.
        let old_running = if rolls && t >= self.drains_at() { 0 } else { n };
        let turned = t >= TURN;
        let mut deployments = Vec::new();
        if before {
            deployments.push(deployment(OLD, "PRIMARY", "web:41", n, "COMPLETED", ""));
        } else if self.course == Course::Superseded && turned {
            deployments.push(deployment(THEIRS, "PRIMARY", "web:43", 0, "IN_PROGRESS", ""));
            deployments.push(deployment(OURS, "ACTIVE", "web:42", new_running, "IN_PROGRESS", ""));
            deployments.push(deployment(OLD, "ACTIVE", "web:41", n, "COMPLETED", ""));
        } else if self.course == Course::RolledBack && turned {
            let state = if t >= TURNED { "COMPLETED" } else { "IN_PROGRESS" };
            let reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {OLD}.");
            deployments.push(deployment("ecs-svc/3", "PRIMARY", "web:41", n, state, &reason));
            if t < TURNED {
                let reason = "ECS deployment circuit breaker: tasks failed to start.";
                deployments.push(deployment(OURS, "ACTIVE", "web:42", 0, "FAILED", reason));
            }
        } else {
            let (state, reason) = if self.course == Course::Stalled && turned {
                ("FAILED", "ECS deployment circuit breaker: tasks failed to start.")
            } else if rolls && t >= self.success_at() {
                ("COMPLETED", "ECS deployment ecs-svc/2 completed.")
            } else {
                ("IN_PROGRESS", "ECS deployment ecs-svc/2 in progress.")
            };
            deployments.push(deployment(OURS, "PRIMARY", "web:42", new_running, state, reason));
            if !rolls || t < self.gone_at() {
                deployments.push(deployment(OLD, "ACTIVE", "web:41", old_running, "COMPLETED", ""));
            }
        }
        let mut events = vec![EventView {
            id: "e0".to_owned(),
            time_ms: START - 3_600_000,
            text: "(service web) has reached a steady state.".to_owned(),
        }];
        if !before && self.new_starts() && t >= TICK {
            events.insert(
                0,
                EventView {
                    id: "e1".to_owned(),
                    time_ms: START + TICK,
                    text: "(service web) has started 2 tasks: (task 20) (task 21).".to_owned(),
                },
            );
        }
        if !before && rolls && t > self.drained_at() {
            events.insert(
                0,
                EventView {
                    id: "e2".to_owned(),
                    time_ms: START + self.drained_at(),
                    text: "(service web) has reached a steady state.".to_owned(),
                },
            );
        }
        ServiceView {
            status: if self.course == Course::Deleted && turned { "DRAINING" } else { "ACTIVE" }.to_owned(),
            desired: n,
            running: new_running + old_running,
            pending: 0,
            deployments,
            events,
            current_service_deployment: (self.api == Api::Present)
                .then(|| if before { "arn:before" } else { ARN }.to_owned()),
            groups: match self.balancer {
                Balancer::Attached => vec![GroupView { arn: "tg".to_owned(), container_port: 80 }],
                Balancer::None => Vec::new(),
            },
        }
    }

    fn deployment_at(&self, before: bool, t: u64) -> ServiceDeploymentView {
        let turned = t >= TURN;
        let done = t >= TURNED;
        let status = match self.course {
            // The one before ours, which `UpdateService` may still name.
            _ if before => "SUCCESSFUL",
            Course::Success | Course::EarlySuccess if t >= self.success_at() => "SUCCESSFUL",
            Course::RolledBack if done => "ROLLBACK_SUCCESSFUL",
            Course::RolledBack if turned => "ROLLBACK_IN_PROGRESS",
            Course::Superseded if done => "STOPPED",
            Course::Superseded if turned => "STOP_REQUESTED",
            _ => "IN_PROGRESS",
        };
        ServiceDeploymentView {
            arn: if before { "arn:before" } else { ARN }.to_owned(),
            status: status.to_owned(),
            reason: None,
            stage: None,
            breaker: Some(BreakerView { status: "MONITORING".to_owned(), failures: 0, threshold: 3 }),
            rollback_reason: None,
            alarms: Vec::new(),
            shift: None,
            hooks: Vec::new(),
            bake_ms: 0,
        }
    }

    fn budget(&self) -> WatchBudget {
        WatchBudget {
            no_progress_ms: 120_000,
            total_ms: 600_000,
            drain_ms: self.drain + self.stop + 60_000,
            deregistration_delay_ms: self.drain,
        }
    }

    fn goal(&self, done_when: DoneWhen) -> Goal {
        Goal {
            service: Key::new("web"),
            started: Started {
                deployment_id: OURS.to_owned(),
                service_deployment: (self.api == Api::Present).then(|| ARN.to_owned()),
                task_definition: TaskDefArn::new("web:42"),
                previous: Some(TaskDefArn::new("web:41")),
                desired: self.desired,
            },
            terms: Terms { done_when, on_failure: OnFailure::Wait, ..Terms::within(self.budget()) },
            pace: Pace::for_services(1),
        }
    }

    /// What a look at `t` gets, when everything answers at once and truly.
    fn answer(&self, ask: &Ask, t: u64) -> View {
        let truth = self.at(i64::try_from(t).expect("small"));
        View {
            service: truth.service.filter(|_| ask.wants(Part::Service)),
            deployment: truth.deployment.filter(|_| ask.wants(Part::Deployment)),
            tasks: truth.tasks.filter(|_| ask.wants(Part::Tasks)),
            targets: truth.targets.filter(|_| ask.wants(Part::Targets)),
            denied: BTreeMap::new(),
        }
    }
}

/// A watch to its end: how, when, what was told, and how often each part was asked for.
struct Watched {
    verdict: Verdict,
    end: u64,
    live: Live,
    progress: Vec<Progress>,
    looks: usize,
}

fn watch(goal: Goal, mut answer: impl FnMut(&Ask, u64) -> View) -> Watched {
    let limit = longest_ms(&goal.terms.budget) + 600_000;
    let mut machine = Machine::new(goal, START);
    let (mut t, mut ask, mut progress, mut looks) = (0, Ask::all(), Vec::new(), 0);
    loop {
        let heard = machine.see(&answer(&ask, t), START + t);
        looks += 1;
        progress.extend(heard.progress);
        match heard.next {
            Next::Ended(verdict) => {
                let again = machine.see(&View::default(), START + t + 1);
                assert_eq!(again, Heard { next: Next::Ended(verdict.clone()), progress: Vec::new(), take_back: None });
                return Watched { verdict, end: t, live: machine.live(), progress, looks };
            }
            Next::Look { after_ms, ask: next } => {
                assert!(after_ms > 0 && !next.parts.is_empty(), "a busy loop at {t}");
                t += after_ms;
                ask = next;
                assert!(t < limit, "no end after {t} ms");
            }
        }
    }
}

fn clear(model: &Model, done_when: DoneWhen) -> Watched {
    watch(model.goal(done_when), |ask, t| model.answer(ask, t))
}

fn phases(progress: &[Progress]) -> Vec<Phase> {
    progress
        .iter()
        .filter_map(|progress| match progress {
            Progress::Phase { to, .. } => Some(*to),
            _ => None,
        })
        .collect()
}

#[test]
fn a_rollout_goes_through_its_phases_to_drained() {
    let model = Model::usual();
    let watched = clear(&model, DoneWhen::Drained);
    assert_eq!(watched.verdict, Verdict::Drained);
    assert_eq!(watched.live, Live::New);
    assert_eq!(phases(&watched.progress), [Phase::Starting, Phase::Healthy, Phase::Draining, Phase::Drained]);
    assert!(watched.end - model.drained_at() < 3_000, "seen {} ms late", watched.end - model.drained_at());
    // About 70 s of rollout: never more often than every two seconds, but for the looks that a change asks for.
    assert!(watched.looks < 60, "{} looks in {} ms", watched.looks, watched.end);
}

#[test]
fn each_course_has_its_own_end() {
    let why = "2 tasks failed: web exited (1): its last log lines say why".to_owned();
    for api in [Api::Present, Api::Absent] {
        for (course, verdict, live, exit) in [
            (Course::Success, Verdict::Drained, Live::New, Exit::Done),
            (Course::EarlySuccess, Verdict::Drained, Live::New, Exit::Done),
            (Course::RolledBack, Verdict::RolledBack { why: why.clone() }, Live::Unchanged, Exit::RolloutFailed),
            (Course::Stalled, Verdict::Failed { why: why.clone() }, Live::Unchanged, Exit::RolloutFailed),
            (Course::Superseded, Verdict::Superseded { by: THEIRS.to_owned() }, Live::Unknown, Exit::Superseded),
            (Course::Stuck, Verdict::TimedOut { clock: Clock::NoProgress }, Live::Unchanged, Exit::RolloutFailed),
            (
                Course::Deleted,
                Verdict::Failed { why: "the service was deleted while it was rolled out (DRAINING)".to_owned() },
                Live::Unknown,
                Exit::RolloutUnknown,
            ),
        ] {
            let watched = clear(&Model { course, api, ..Model::usual() }, DoneWhen::Drained);
            assert_eq!((&watched.verdict, watched.live), (&verdict, live), "{course:?} {api:?}");
            assert_eq!(watched.verdict.exit(watched.live), exit, "{course:?}");
        }
    }
}

#[test]
fn done_when_decides_when_it_is_done() {
    for balancer in [Balancer::Attached, Balancer::None] {
        let model = Model { balancer, ..Model::usual() };
        let live = clear(&model, DoneWhen::Live);
        assert_eq!(live.verdict, Verdict::Live);
        assert!(live.end >= model.healthy_at() && live.end < model.drains_at(), "live at {}", live.end);
        assert_eq!(live.live, Live::Mixed);
        assert_eq!(clear(&model, DoneWhen::Drained).verdict, Verdict::Drained);
        assert_eq!(clear(&model, DoneWhen::Steady).verdict, Verdict::Steady);
    }
}

#[test]
fn a_drain_that_does_not_end_is_no_failed_deploy() {
    let model = Model { drain: 500_000, ..Model::usual() };
    let mut goal = model.goal(DoneWhen::Drained);
    goal.terms.budget.drain_ms = 60_000;
    let watched = watch(goal, |ask, t| model.answer(ask, t));
    assert_eq!(watched.verdict, Verdict::DrainUnfinished);
    assert_eq!(watched.live, Live::New);
    assert_eq!(watched.verdict.exit(watched.live), Exit::DrainUnfinished);
}

#[test]
fn nothing_is_proven_with_a_desired_count_of_zero() {
    let model = Model { desired: 0, ..Model::usual() };
    assert_eq!(clear(&model, DoneWhen::Drained).verdict, Verdict::NothingProven);
}

#[test]
fn zero_of_zero_is_not_live() {
    // As recorded right after `UpdateService`: the new PRIMARY has a desired count of 0.
    let model = Model::usual();
    let mut machine = Machine::new(model.goal(DoneWhen::Live), START);
    for t in [0, 2_000, 4_000] {
        assert!(matches!(machine.see(&model.answer(&Ask::all(), t), START + t).next, Next::Look { .. }));
    }
    assert_eq!((machine.phase(), machine.live()), (Phase::Asked, Live::Unchanged));
}

#[test]
fn a_stale_answer_right_after_the_update_is_no_verdict() {
    // The answers of the first seconds are from before the update: the old deployment, complete.
    let model = Model::usual();
    let mut goal = model.goal(DoneWhen::Drained);
    goal.started.service_deployment = Some("arn:before".to_owned());
    let watched = watch(goal, |ask, t| {
        let truth = model.at(if t < 6_000 { -1 } else { i64::try_from(t).expect("small") });
        View { deployment: truth.deployment.filter(|_| ask.wants(Part::Deployment)), ..truth }
    });
    assert_eq!(watched.verdict, Verdict::Drained);
    assert!(watched.end >= model.drained_at());
}

#[test]
fn the_end_of_the_rollout_before_is_not_ours() {
    // `currentServiceDeployment` lags: it names one that was rolled back, long into our rollout.
    let model = Model::usual();
    let mut goal = model.goal(DoneWhen::Drained);
    goal.started.service_deployment = Some("arn:before".to_owned());
    for status in ["ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOPPED", "SUCCESSFUL"] {
        let watched = watch(goal.clone(), |ask, t| {
            let mut view = model.answer(ask, t);
            if t < 15_000 {
                if let Some(service) = &mut view.service {
                    service.current_service_deployment = Some("arn:before".to_owned());
                }
                if let Some(deployment) = &mut view.deployment {
                    deployment.arn = "arn:before".to_owned();
                    deployment.status = status.to_owned();
                }
            }
            view
        });
        assert_eq!(watched.verdict, Verdict::Drained, "{status}");
    }
}

#[test]
fn silence_after_a_stale_answer_is_no_other_deployment() {
    // One answer from before the update, then none about the service for a long while.
    let model = Model { course: Course::RolledBack, api: Api::Absent, ..Model::usual() };
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let view = model.answer(ask, t);
        match t {
            0 => model.at(-1),
            1..100_000 => View { service: None, ..view },
            _ => view,
        }
    });
    assert!(matches!(watched.verdict, Verdict::RolledBack { .. } | Verdict::TimedOut { .. }), "{:?}", watched.verdict);
}

#[test]
fn a_deployment_that_was_stopped_for_another_is_superseded_even_if_that_shows_late() {
    let model = Model { course: Course::Superseded, ..Model::usual() };
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| View {
        service: model.at(i64::try_from(t).expect("small") - 25_000).service.filter(|_| ask.wants(Part::Service)),
        ..model.answer(ask, t)
    });
    assert_eq!(watched.verdict, Verdict::Superseded { by: THEIRS.to_owned() });
}

#[test]
fn the_success_of_the_rollout_before_does_not_cut_ours_short() {
    // The old tasks are gone, but ECS still watches alarms; the stale pin says SUCCESSFUL all along.
    let model = Model::usual();
    let completed = model.gone_at() + 30_000;
    let mut goal = model.goal(DoneWhen::Drained);
    goal.started.service_deployment = Some("arn:before".to_owned());
    let watched = watch(goal, |ask, t| {
        let mut view = model.answer(ask, t);
        if let Some(service) = &mut view.service {
            service.current_service_deployment = None;
            for deployment in service.deployments.iter_mut().filter(|_| t < completed) {
                deployment.rollout_state = Some("IN_PROGRESS".to_owned());
            }
        }
        if let Some(deployment) = &mut view.deployment {
            deployment.arn = "arn:before".to_owned();
            deployment.status = "SUCCESSFUL".to_owned();
        }
        view
    });
    assert_eq!(watched.verdict, Verdict::Drained);
    assert!(watched.end >= completed, "done at {} of {completed}", watched.end);
}

#[test]
fn a_task_does_not_come_back_from_the_dead() {
    let model = Model::usual();
    let mut machine = Machine::new(model.goal(DoneWhen::Drained), START);
    let old_states = |heard: &Heard| -> Vec<TaskState> {
        let Some(Progress::Board(board)) = heard.progress.last() else { panic!("no board") };
        board.tasks.iter().filter(|task| task.side == Side::Old).map(|task| task.state).collect()
    };
    for t in [0, model.drains_at(), model.gone_at()] {
        machine.see(&model.answer(&Ask::all(), t), START + t);
    }
    // An answer that was on its way for a while.
    let late = View { tasks: model.at(0).tasks, ..View::default() };
    let heard = machine.see(&late, START + model.gone_at() + 1_000);
    assert_eq!(old_states(&heard), [TaskState::Gone, TaskState::Gone]);
}

#[test]
fn a_target_of_a_new_task_that_drains_holds_nothing_back() {
    // One new task failed on the way and was replaced; its target drains for long.
    let model = Model::usual();
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let mut view = model.answer(ask, t);
        if let Some(tasks) = &mut view.tasks {
            tasks.push(task("29", Side::New, "STOPPED", "STOPPED"));
        }
        if let Some(targets) = &mut view.targets {
            targets.push(TargetView {
                target_group: "tg".to_owned(),
                address: "10.0.0.1:29".to_owned(),
                state: "draining".to_owned(),
                reason: None,
                description: None,
            });
        }
        view
    });
    assert_eq!(watched.verdict, Verdict::Drained);
    assert!(watched.end - model.drained_at() < 3_000);
}

#[test]
fn a_deployment_that_somebody_stopped_is_stopped() {
    let model = Model { course: Course::Stuck, ..Model::usual() };
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let mut view = model.answer(ask, t);
        if t > 10_000
            && let Some(deployment) = &mut view.deployment
        {
            deployment.status = "STOPPED".to_owned();
        }
        view
    });
    assert_eq!(watched.verdict, Verdict::Stopped);
}

#[test]
fn words_nobody_knows_are_not_fatal() {
    let model = Model::usual();
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let mut view = model.answer(ask, t);
        if t < model.gone_at() {
            if let Some(deployment) = &mut view.deployment {
                deployment.status = "LEVITATING".to_owned();
                deployment.stage = Some("PRE_LEVITATION".to_owned());
            }
            if let Some(service) = &mut view.service {
                service.status = "GLOWING".to_owned();
                for deployment in &mut service.deployments {
                    deployment.rollout_state = Some("HOVERING".to_owned());
                }
            }
            for target in view.targets.iter_mut().flatten() {
                target.state = "humming".to_owned();
            }
            for task in view.tasks.iter_mut().flatten().filter(|task| task.last_status == "PENDING") {
                task.last_status = "DREAMING".to_owned();
            }
        }
        view
    });
    assert_eq!(watched.verdict, Verdict::Drained);
}

#[test]
fn a_bake_is_waited_for() {
    let model = Model::usual();
    let baked = model.gone_at() + 200_000;
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let mut view = model.answer(ask, t);
        if (model.gone_at()..baked).contains(&t) {
            if let Some(deployment) = &mut view.deployment {
                deployment.status = "IN_PROGRESS".to_owned();
                deployment.stage = Some("BAKE_TIME".to_owned());
            }
            for deployment in view.service.iter_mut().flat_map(|service| &mut service.deployments) {
                deployment.rollout_state = Some("IN_PROGRESS".to_owned());
            }
        }
        view
    });
    assert_eq!(watched.verdict, Verdict::Drained);
    assert!((baked..baked + 3_000).contains(&watched.end), "{}", watched.end);
}

#[test]
fn without_leave_to_read_tasks_ecs_is_believed() {
    let model = Model::usual();
    let watched =
        watch(model.goal(DoneWhen::Drained), |ask, t| View { tasks: None, targets: None, ..model.answer(ask, t) });
    assert_eq!(watched.verdict, Verdict::Drained);
    assert!(watched.end >= model.drained_at());
}

/// A task of ours that ended, as `DescribeTasks` shows it.
fn ended(id: &str, stop_code: &str, reason: &str, exit_code: Option<i64>) -> TaskView {
    let mut task = task(id, Side::New, "STOPPED", "STOPPED");
    task.stop_code = Some(stop_code.to_owned());
    task.stopped_reason = Some(reason.to_owned());
    for container in &mut task.containers {
        container.exit_code = exit_code;
    }
    task
}

#[test]
fn a_rollout_that_will_fail_is_taken_back_before_ecs_gives_up_on_it() {
    let missing = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref x";
    let pull = |id| ended(id, "TaskFailedToStart", missing, None);
    let crash = |id| ended(id, "EssentialContainerExited", "Essential container in task exited", Some(1));
    let spot = |id| ended(id, "SpotInterruption", "Your Spot Task was interrupted.", None);
    let first = |tasks: Vec<TaskView>, on_failure, previous: Option<&str>| {
        let model = Model { course: Course::RolledBack, ..Model::usual() };
        let mut goal = model.goal(DoneWhen::Drained);
        goal.terms.on_failure = on_failure;
        goal.started.previous = previous.map(TaskDefArn::new);
        let mut machine = Machine::new(goal, START);
        let view = View { tasks: Some(tasks), ..model.answer(&Ask::all(), START) };
        let heard = machine.see(&view, START + 1);
        let again = machine.see(&view, START + 2);
        assert_eq!(again.take_back, None, "it is asked for once");
        let failed = matches!(heard.next, Next::Ended(Verdict::Failed { .. }));
        (heard.take_back.is_some(), failed)
    };
    let before = Some("web:41");
    let (nothing, taken_back, given_up) = ((false, false), (true, false), (false, true));
    for (tasks, on_failure, previous, expected) in [
        (vec![pull("a")], OnFailure::TakeBack, before, taken_back),
        (vec![crash("a")], OnFailure::TakeBack, before, nothing),
        (vec![crash("a"), crash("b")], OnFailure::TakeBack, before, taken_back),
        (vec![spot("a"), spot("b"), spot("c")], OnFailure::TakeBack, before, nothing),
        (vec![pull("a")], OnFailure::Leave, before, given_up),
        (vec![pull("a")], OnFailure::Wait, before, nothing),
        (vec![pull("a")], OnFailure::TakeBack, None, given_up),
    ] {
        let shown: Vec<_> = tasks.iter().map(|task| task.stop_code.clone().unwrap_or_default()).collect();
        assert_eq!(first(tasks, on_failure, previous), expected, "{shown:?} {on_failure:?} {previous:?}");
    }
}

#[test]
fn a_deployment_of_our_own_that_takes_it_back_is_a_rollback() {
    let model = Model { course: Course::Superseded, ..Model::usual() };
    let mut goal = model.goal(DoneWhen::Drained);
    goal.started.service_deployment = None;
    let mut machine = Machine::new(goal, START);
    machine.taken_back_by(THEIRS);
    let mut now = START;
    let verdict = loop {
        let mut view = model.answer(&Ask::all(), now);
        view.deployment = None;
        for deployment in view.service.iter_mut().flat_map(|service| &mut service.deployments) {
            if deployment.id == THEIRS {
                deployment.rollout_state = Some("COMPLETED".to_owned());
            }
        }
        match machine.see(&view, now).next {
            Next::Ended(verdict) => break verdict,
            Next::Look { after_ms, .. } => now += after_ms,
        }
    };
    assert!(matches!(verdict, Verdict::RolledBack { .. }), "{verdict:?}");
}

#[test]
fn failed_tasks_are_told_once_with_their_reason() {
    let watched = clear(&Model { course: Course::RolledBack, ..Model::usual() }, DoneWhen::Drained);
    let told: Vec<_> = watched
        .progress
        .iter()
        .filter_map(|progress| match progress {
            Progress::TaskFailed { task, .. } => {
                Some((task.id.as_str(), task.explanation.as_str(), task.containers[0].exit_code))
            }
            _ => None,
        })
        .collect();
    let why = "web exited (1): its last log lines say why";
    assert_eq!(told, [("20", why, Some(1)), ("21", why, Some(1))]);
    assert_eq!(phases(&watched.progress), [Phase::Starting, Phase::RollingBack]);
}

#[test]
fn events_of_before_are_not_told_and_none_twice() {
    let told = |skew: i64| -> Vec<String> {
        let model = Model::usual();
        let mut machine = Machine::new(model.goal(DoneWhen::Steady), START.saturating_add_signed(skew));
        let mut ids = Vec::new();
        for t in (0..80_000).step_by(2_000) {
            for progress in machine.see(&model.answer(&Ask::all(), t), START.saturating_add_signed(skew) + t).progress {
                if let Progress::ServiceEvent { id, .. } = progress {
                    ids.push(id);
                }
            }
        }
        ids
    };
    assert_eq!(told(0), ["e1", "e2"]);
    // A clock ten minutes ahead of ECS's loses nothing.
    assert_eq!(told(600_000), ["e1", "e2"]);
}

#[test]
fn the_board_shows_both_sides() {
    let model = Model::usual();
    let mut machine = Machine::new(model.goal(DoneWhen::Drained), START);
    let mut boards = Vec::new();
    for t in [0, 12_000, 20_000, 24_000, 34_000, 44_000, 64_000] {
        let heard = machine.see(&model.answer(&Ask::all(), t), START + t);
        let Some(Progress::Board(board)) = heard.progress.last() else { panic!("no board") };
        let tasks: Vec<_> = board
            .tasks
            .iter()
            .map(|task| {
                let left = task.drain_left_ms.map(|left| format!(" {left}")).unwrap_or_default();
                let detail = task.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
                format!("{} {:?}{left}{detail}", task.id, task.state)
            })
            .collect();
        boards.push(format!("{:>5} {:?}: {}", board.elapsed_ms, board.phase, tasks.join(", ")));
    }
    insta::assert_snapshot!(boards.join("\n"), @"
        0 Asked: 10 Healthy, 11 Healthy
    12000 Starting: 20 Starting, 21 Starting, 10 Healthy, 11 Healthy
    20000 Starting: 20 Registering (Elb.InitialHealthChecking), 21 Registering (Elb.InitialHealthChecking), 10 Healthy, 11 Healthy
    24000 Healthy: 20 Healthy, 21 Healthy, 10 Healthy, 11 Healthy
    34000 Draining: 20 Healthy, 21 Healthy, 10 Draining 30000, 11 Draining 30000
    44000 Draining: 20 Healthy, 21 Healthy, 10 Draining 20000, 11 Draining 20000
    64000 Draining: 20 Healthy, 21 Healthy, 10 Stopping, 11 Stopping
    ");
}

#[test]
fn a_task_is_a_side_by_what_started_it() {
    // A forced new deployment runs the same revision on both sides.
    let model = Model { course: Course::Success, ..Model::usual() };
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let mut view = model.answer(ask, t);
        for task in view.tasks.iter_mut().flatten() {
            task.task_definition = TaskDefArn::new("web:42");
        }
        view
    });
    assert_eq!(watched.verdict, Verdict::Drained);
    assert!(watched.end >= model.drained_at());
}

#[test]
fn an_unhealthy_target_is_said_with_its_reason() {
    let model = Model::usual();
    let mut view = model.answer(&Ask::all(), 24_000);
    for target in view.targets.iter_mut().flatten().filter(|target| target.address.contains(":2")) {
        target.state = "unhealthy".to_owned();
        target.reason = Some("Target.ResponseCodeMismatch".to_owned());
        target.description = Some("Health checks failed with these codes: [500]".to_owned());
    }
    let heard = Machine::new(model.goal(DoneWhen::Drained), START).see(&view, START + 24_000);
    let Some(Progress::Board(board)) = heard.progress.last() else { panic!("no board") };
    let task = board.tasks.iter().find(|task| task.side == Side::New).expect("a new task");
    assert_eq!(task.state, TaskState::Unhealthy);
    assert_eq!(
        task.detail.as_deref(),
        Some("Target.ResponseCodeMismatch: Health checks failed with these codes: [500]")
    );
}
