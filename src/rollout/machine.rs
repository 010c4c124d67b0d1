//! The rollout as a state machine: Asked → Starting → Healthy → Draining → Drained, or an end of
//! another kind. It is fed what was seen and when, and answers when to look again or how it ended.
//!
//! The verdict is ECS's own: `ServiceDeployment.status`, or `rolloutState` of the pinned deployment
//! where the service-deployments API has no answer. Tasks and targets are never counted to find out
//! whether a rollout went well; they can only hold back a success until the last old one is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    budget::{Clock, Draining, Stretch, deadline, longest_ms},
    goal::{DoneWhen, Goal, OnFailure, Pace},
    reason,
    schedule::{Ask, Part, Schedule, Want},
    services::{self, Services},
    tasks::{Balancer, Tasks},
    view::{BreakerView, DeploymentView, EventView, GroupView, ServiceDeploymentView, View},
    wait::{self, Wait},
};
use crate::{
    event::{Board, Breaker, Live, Phase, Progress, Side, TaskState},
    exit::Exit,
};

/// How long two sources may contradict each other before the slower one is not waited for: the
/// scheduler moves every 10 s, so this is two of its moves.
const TWO_TICKS_MS: u64 = 20_000;

/// How long `DescribeServices` may not know the deployment that `UpdateService` answered. It is
/// consistent within seconds; a deployment that is not there after a minute was replaced and removed.
const UNKNOWN_FOR_MS: u64 = 60_000;

/// How old the last answer about the service deployment may be before `rolloutState` stands in for it.
const SILENT_FOR_MS: u64 = 30_000;

/// How old the answers may be from which somebody who ran out of time says what serves.
const STALE_AFTER_MS: u64 = 60_000;

/// After so many tries in vain a part is taken for unreadable (no permission, as a rule).
const UNREADABLE: u32 = 3;

/// How a watch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All that was asked for: the new revision serves, old tasks may still drain.
    Live,
    /// The new revision serves and no old task is left.
    Drained,
    /// That, and ECS has said `has reached a steady state`.
    Steady,
    /// Rolled out with a desired count of zero: nothing ran, so nothing is proven.
    NothingProven,
    /// The new revision serves; the old tasks were not gone in time.
    DrainUnfinished,
    /// ECS took the change back.
    RolledBack {
        why: String,
    },
    /// It failed and was not taken back.
    Failed {
        why: String,
    },
    /// Another deployment replaced ours.
    Superseded {
        by: String,
    },
    /// Somebody stopped it, and nothing replaced it.
    Stopped,
    TimedOut {
        clock: Clock,
    },
}

impl Verdict {
    /// The exit code, given what is live at the end.
    #[must_use]
    pub const fn exit(&self, live: Live) -> Exit {
        match self {
            Self::Live | Self::Drained | Self::Steady | Self::NothingProven => Exit::Done,
            Self::DrainUnfinished => Exit::DrainUnfinished,
            Self::Superseded { .. } => Exit::Superseded,
            Self::RolledBack { .. } | Self::Failed { .. } | Self::Stopped | Self::TimedOut { .. } => match live {
                Live::Unchanged => Exit::RolloutFailed,
                Live::New | Live::Mixed | Live::Unknown => Exit::RolloutUnknown,
            },
        }
    }
}

/// What one look led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub next: Next,
    pub progress: Vec<Progress>,
    /// At most once in a watch: the rollout is to be taken back, for this reason. The watch goes on.
    pub take_back: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Look { after_ms: u64, ask: Ask },
    Ended(Verdict),
}

/// ECS's own word on our rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Going,
    Success,
    RollingBack,
    Ended(Verdict),
}

#[derive(Debug, Clone)]
pub struct Machine {
    goal: Goal,
    start_ms: u64,
    now_ms: u64,
    schedule: Schedule,
    services: Services,
    tasks: Tasks,
    deployment: Pinned,
    events: Events,
    phase: Phase,
    moved_ms: u64,
    fingerprint: Option<Fingerprint>,
    live_since_ms: Option<u64>,
    success_since_ms: Option<u64>,
    rollback_since_ms: Option<u64>,
    wait: Wait,
    denied: BTreeMap<Part, String>,
    /// What an event of ECS says will never go well.
    event_failure: Option<String>,
    verdict: Option<Verdict>,
    /// Whether it was said already that the rollout will fail.
    doomed: bool,
    taken_back_by: Option<String>,
    /// Why it is taken back, where its own tasks are not the reason.
    outside: Option<String>,
}

/// Whether taking back is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Now,
    Already,
}

/// A rollout that will not succeed, by what its tasks have shown.
enum Doom {
    TakeBack { why: String },
    End { why: String },
}

/// What must change for the rollout to count as moving.
type Fingerprint =
    (Vec<(String, TaskState, String)>, Vec<(u32, u32, u32, u32)>, Option<String>, Option<String>, wait::Fingerprint);

/// The service deployment that is watched.
#[derive(Debug, Clone, Default)]
struct Pinned {
    arn: Option<String>,
    seen: Option<(ServiceDeploymentView, u64)>,
    /// Whether it was seen under way: an end seen without that may be that of the one before.
    was_going: bool,
    /// When its final status was first seen.
    ended_ms: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Events {
    told: BTreeSet<String>,
    /// Events before this are not about this rollout; set by the first answer.
    cutoff_ms: Option<u64>,
    steady: bool,
}

impl Machine {
    /// Begins to watch at `now_ms`. Look at [`Ask::all`] first.
    #[must_use]
    pub fn new(goal: Goal, now_ms: u64) -> Self {
        let arn = goal.started.service_deployment.clone();
        Self {
            goal,
            start_ms: now_ms,
            now_ms,
            schedule: Schedule::default(),
            services: Services::default(),
            tasks: Tasks::default(),
            deployment: Pinned { arn, ..Pinned::default() },
            events: Events::default(),
            phase: Phase::Asked,
            moved_ms: now_ms,
            fingerprint: None,
            live_since_ms: None,
            success_since_ms: None,
            rollback_since_ms: None,
            wait: Wait::default(),
            denied: BTreeMap::new(),
            event_failure: None,
            verdict: None,
            doomed: false,
            taken_back_by: None,
            outside: None,
        }
    }

    /// The target groups of the service, once they are known.
    #[must_use]
    pub fn groups(&self) -> Option<&[GroupView]> {
        self.services.any().map(|view| view.groups.as_slice())
    }

    /// The ARN to describe when [`Part::Deployment`] is asked for.
    #[must_use]
    pub fn service_deployment(&self) -> Option<&str> {
        self.deployment.arn.as_deref()
    }

    #[must_use]
    pub const fn goal(&self) -> &Goal {
        &self.goal
    }

    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes one look into account. After the end it only repeats the verdict.
    pub fn see(&mut self, view: &View, now_ms: u64) -> Heard {
        if let Some(verdict) = &self.verdict {
            return Heard { next: Next::Ended(verdict.clone()), progress: Vec::new(), take_back: None };
        }
        // A clock that is set back stands still here.
        self.now_ms = self.now_ms.max(now_ms);
        let mut progress = Vec::new();
        self.absorb(view, &mut progress);
        let word = self.word();
        let phase = self.phase_for(&word);
        let doom = self.doom(&word);
        let verdict = self.verdict_for(word);
        let (verdict, take_back) = match (verdict, doom) {
            (Some(verdict), _) => (Some(verdict), None),
            (None, Some(Doom::TakeBack { why })) => (None, Some(why)),
            (None, Some(Doom::End { why })) => (Some(Verdict::Failed { why }), None),
            (None, None) => (None, None),
        };
        let phase = match &verdict {
            Some(Verdict::Drained | Verdict::Steady) => Phase::Drained,
            Some(
                Verdict::Live
                | Verdict::NothingProven
                | Verdict::DrainUnfinished
                | Verdict::RolledBack { .. }
                | Verdict::Failed { .. }
                | Verdict::Superseded { .. }
                | Verdict::Stopped
                | Verdict::TimedOut { .. },
            )
            | None => phase,
        };
        if phase != self.phase {
            progress.push(Progress::Phase { service: self.goal.service.clone(), from: self.phase, to: phase });
            self.phase = phase;
        }
        progress.push(Progress::Board(self.board()));
        let next = match verdict {
            Some(verdict) => {
                self.verdict = Some(verdict.clone());
                Next::Ended(verdict)
            }
            None => self.look(),
        };
        Heard { next, progress, take_back }
    }

    /// What the tasks show before ECS has drawn its own conclusion, once.
    ///
    /// A rollout that is live is never called doomed: what dies after that is replaced by ECS.
    fn doom(&mut self, word: &Word) -> Option<Doom> {
        let is_shown = self.tasks.show_failure() || (self.event_failure.is_some() && !self.is_about_others());
        if *word != Word::Going || self.doomed || self.live_since_ms.is_some() || !is_shown {
            return None;
        }
        let doom = match (self.goal.terms.on_failure, &self.goal.started.previous) {
            (OnFailure::Wait, _) => return None,
            (OnFailure::TakeBack, Some(_)) => Doom::TakeBack { why: self.why(None) },
            // Nothing ran before, so there is nothing to go back to.
            (OnFailure::TakeBack, None) | (OnFailure::Leave, _) => Doom::End { why: self.why(None) },
        };
        self.doomed = true;
        Some(doom)
    }

    /// Whether what ECS says of tasks that cannot be started is about another deployment than ours: an old task that dies
    /// is replaced by one of its own revision, whose image or secret may be gone by now.
    fn is_about_others(&self) -> bool {
        let ours = &self.goal.started.deployment_id;
        let own = self.services.own(ours).map_or(0, |own| own.failed);
        own == 0 && self.services.others(ours).any(|other| other.failed > 0)
    }

    /// What the log of a task that has failed tells of why, where ECS does not know: a binary for another CPU ends with
    /// exit code 1 like any other. It counts from the next look on.
    pub fn learn(&mut self, task: &str, reason: reason::Reason) {
        self.tasks.learn(task, reason);
    }

    /// Whether it goes on and nobody has asked for it to be taken back.
    #[must_use]
    pub const fn may_be_taken_back(&self) -> bool {
        self.verdict.is_none() && !self.doomed
    }

    /// It is taken back for a reason that lies outside of it, which is the one to tell. Only where that has not
    /// been asked for already.
    pub fn take_back_for(&mut self, why: &str) -> Asked {
        if self.doomed {
            return Asked::Already;
        }
        self.doomed = true;
        self.outside = Some(why.to_owned());
        Asked::Now
    }

    /// The deployment that was started to take ours back, where ECS could not be asked to do it itself:
    /// that it replaces ours is a rollback, and nobody else's deployment.
    pub fn taken_back_by(&mut self, deployment_id: &str) {
        self.taken_back_by = Some(deployment_id.to_owned());
    }

    /// What serves traffic, as far as was seen.
    #[must_use]
    pub fn live(&self) -> Live {
        match &self.verdict {
            Some(Verdict::RolledBack { .. }) => return Live::Unchanged,
            // Who serves now is the other deployment's business.
            Some(Verdict::Superseded { .. }) => return Live::Unknown,
            Some(Verdict::Drained | Verdict::Steady) => return Live::New,
            Some(
                Verdict::Live
                | Verdict::NothingProven
                | Verdict::DrainUnfinished
                | Verdict::Failed { .. }
                | Verdict::Stopped
                | Verdict::TimedOut { .. },
            )
            | None => {}
        }
        // What still runs of a service that is deleted serves nobody for long.
        if self.services.deleted().is_some() {
            return Live::Unknown;
        }
        // Who ran out of time without having heard anything for a while does not know what ECS has done since.
        let is_old = |at_ms: u64| {
            matches!(self.verdict, Some(Verdict::TimedOut { .. }))
                && self.now_ms.saturating_sub(at_ms) > STALE_AFTER_MS.max(self.goal.pace.tasks_ms.saturating_mul(2))
        };
        let (new, old) = if let Some(listed_ms) = self.tasks.listed_ms() {
            if is_old(listed_ms) && is_old(self.services.view_ms()) {
                return Live::Unknown;
            }
            let serving = |state| state == TaskState::Healthy;
            let old = |state| {
                matches!(state, TaskState::Healthy | TaskState::Unhealthy | TaskState::Registering | TaskState::Unknown)
            };
            (self.tasks.count(Side::New, serving) > 0, self.tasks.count(Side::Old, old) > 0)
        } else if let Some(own) = self.services.own(&self.goal.started.deployment_id) {
            if is_old(self.services.view_ms()) {
                return Live::Unknown;
            }
            (own.running > 0, self.others_run())
        } else {
            return Live::Unknown;
        };
        match (new, old) {
            (false, true) => Live::Unchanged,
            (true, false) => Live::New,
            (true, true) => Live::Mixed,
            (false, false) if self.goal.started.previous.is_none() => Live::Unchanged,
            (false, false) => Live::Unknown,
        }
    }

    fn absorb(&mut self, view: &View, progress: &mut Vec<Progress>) {
        let now_ms = self.now_ms;
        let View { service, deployment, tasks, targets, denied: _ } = view;
        let answered = [
            service.as_ref().map(|_| Part::Service),
            deployment.as_ref().map(|_| Part::Deployment),
            tasks.as_ref().map(|_| Part::Tasks),
            targets.as_ref().map(|_| Part::Targets),
        ];
        self.schedule.heard(&answered.into_iter().flatten().collect::<Vec<_>>(), now_ms);
        if let Some(service) = service {
            let heard = self.services.hear(service, &self.goal.started.deployment_id, now_ms);
            if heard == services::Heard::Ours
                && self.services.replaced().is_none()
                && let Some(current) = &service.current_service_deployment
            {
                self.deployment.pin(current);
            }
            for event in self.events.fresh(&service.events, self.goal.terms.began_ms.unwrap_or(self.start_ms)) {
                progress.push(Progress::ServiceEvent {
                    service: self.goal.service.clone(),
                    id: event.id.clone(),
                    time_ms: event.time_ms,
                    text: event.text.clone(),
                    meaning: reason::of_event(&event.text).map(|reason| reason.words),
                });
                if let Some(found) = reason::of_event(&event.text)
                    && found.class == reason::Class::Deterministic
                {
                    self.event_failure.get_or_insert(found.words);
                }
            }
        }
        if let Some(deployment) = deployment {
            self.deployment.hear(deployment, now_ms);
            self.wait.hear(deployment, now_ms);
        }
        if let Some(tasks) = tasks {
            self.tasks.hear_tasks(tasks, &self.goal.started, now_ms);
        }
        if let Some(targets) = targets {
            self.tasks.hear_targets(targets, now_ms);
        }
        self.denied.extend(view.denied.clone());
        for part in answered.into_iter().flatten() {
            self.denied.remove(&part);
        }
        let has_groups = self.services.any().is_some_and(|view| !view.groups.is_empty());
        self.tasks.settle(if has_groups { Balancer::Attached } else { Balancer::None }, now_ms);
        for task in self.tasks.newly_failed() {
            progress.push(Progress::TaskFailed { service: self.goal.service.clone(), task });
        }
        let fingerprint = self.fingerprint();
        if self.fingerprint.as_ref() != Some(&fingerprint) {
            self.fingerprint = Some(fingerprint);
            self.moved_ms = now_ms;
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        let counts = self.services.view().map(|view| {
            view.deployments
                .iter()
                .map(|deployment| (deployment.desired, deployment.pending, deployment.running, deployment.failed))
                .collect()
        });
        let seen = self.deployment.seen.as_ref().map(|(seen, _)| seen);
        (
            self.tasks.fingerprint(),
            counts.unwrap_or_default(),
            seen.map(|seen| seen.status.clone()),
            seen.and_then(|seen| seen.stage.clone()),
            self.wait.fingerprint(),
        )
    }

    /// What ECS says about our rollout.
    fn word(&self) -> Word {
        if let Some(status) = self.services.deleted() {
            let why = format!("the service was deleted while it was rolled out ({status})");
            return Word::Ended(Verdict::Failed { why });
        }
        match &self.deployment.seen {
            Some((seen, at_ms))
                if self.now_ms.saturating_sub(*at_ms) < SILENT_FOR_MS || self.deployment.ended_ms.is_some() =>
            {
                self.word_of_deployment(seen)
            }
            // Not answered yet, which is no reason to listen to the second best.
            None if self.deployment.arn.is_some() && self.schedule.unanswered(Part::Deployment) < UNREADABLE => {
                Word::Going
            }
            Some(_) | None => self.word_of_service(),
        }
    }

    /// By `ServiceDeployment.status`.
    ///
    /// What `UpdateService` names as the current service deployment may be the one before ours, and its
    /// end is not ours. So an end counts where `DescribeServices` does not contradict it.
    fn word_of_deployment(&self, seen: &ServiceDeploymentView) -> Word {
        let reason = || {
            let said = seen.rollback_reason.clone().or_else(|| seen.reason.clone());
            let tripped = seen.breaker.as_ref().is_some_and(|breaker| breaker.status == "TRIGGERED");
            match seen.alarms.as_slice() {
                [] if tripped => said.or_else(|| Some("its circuit breaker tripped".to_owned())),
                [] => said,
                alarms => Some(format!("the alarm {} fired", alarms.join(", "))),
            }
        };
        match seen.status.as_str() {
            "SUCCESSFUL" => match self.services.replaced() {
                Some(_) => self.replaced(),
                None if self.services.view().is_none() => Word::Going,
                None if self.deployment.was_going || self.services.completed() => Word::Success,
                // An emulator or another controller that has no `rolloutState`.
                None if self
                    .services
                    .own(&self.goal.started.deployment_id)
                    .is_some_and(|own| own.rollout_state.is_none()) =>
                {
                    Word::Success
                }
                None => Word::Going,
            },
            status if status.starts_with("ROLLBACK_") && self.is_contradicted() => Word::Going,
            "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" => Word::RollingBack,
            "ROLLBACK_SUCCESSFUL" => Word::Ended(Verdict::RolledBack { why: self.why(reason()) }),
            "ROLLBACK_FAILED" => {
                Word::Ended(Verdict::Failed { why: format!("{}; the rollback failed too", self.why(reason())) })
            }
            // `A newer deployment moves the previous one to STOP_REQUESTED → STOPPED`.
            "STOP_REQUESTED" if self.services.replaced().is_some() => self.replaced(),
            "STOPPED" => self.stopped(reason()),
            // PENDING, IN_PROGRESS, STOP_REQUESTED, and words newer than this program: not an end.
            _ => match self.services.failed_since_ms() {
                // The breaker without rollback leaves the deployment standing; ECS has had two moves'
                // time to take it back.
                Some(since) if self.waited(since) && self.services.replaced().is_none() => {
                    Word::Ended(Verdict::Failed { why: self.why(reason()) })
                }
                Some(_) | None => Word::Going,
            },
        }
    }

    /// Whether the last word of `DescribeServices` is that ours is PRIMARY and has not failed.
    fn is_contradicted(&self) -> bool {
        let says_going = self.services.view().is_some()
            && self.services.replaced().is_none()
            && self.services.failed_since_ms().is_none()
            && !self.services.rolling_back();
        // Answers that know ours no longer: it was taken back and removed from the list.
        let is_forgotten = self.services.stranger().is_some_and(|(_, _, times)| times >= 2);
        let is_alone = self.services.view().is_none() && self.deployment.was_going;
        !is_alone && (says_going || self.services.view().is_none()) && !is_forgotten
    }

    fn stopped(&self, reason: Option<String>) -> Word {
        if self.services.replaced().is_some() {
            return self.replaced();
        }
        if self.services.failed_since_ms().is_some() {
            return Word::Ended(Verdict::Failed { why: self.why(reason) });
        }
        let confirmed = self.services.view().is_some_and(|view| {
            view.current_service_deployment.is_none() || view.current_service_deployment == self.deployment.arn
        });
        // Whoever replaced it shows up in an answer that is clearly newer than the end.
        let is_later = self
            .deployment
            .ended_ms
            .is_some_and(|ended_ms| self.services.view_ms().saturating_sub(ended_ms) >= SILENT_FOR_MS);
        if self.deployment.was_going && confirmed && is_later { Word::Ended(Verdict::Stopped) } else { Word::Going }
    }

    /// By `rolloutState` of our deployment, where the service-deployments API has no answer.
    fn word_of_service(&self) -> Word {
        if self.services.replaced().is_some() {
            return self.replaced();
        }
        if self.services.completed() {
            return Word::Success;
        }
        if self.services.failed_since_ms().is_some_and(|since| self.waited(since)) {
            return Word::Ended(Verdict::Failed { why: self.why(None) });
        }
        match self.services.stranger() {
            Some((stranger, for_ms, _)) if for_ms >= UNKNOWN_FOR_MS => {
                self.replaced_by(stranger, services::says_rollback(stranger))
            }
            Some(_) | None => Word::Going,
        }
    }

    fn replaced(&self) -> Word {
        match self.services.replaced() {
            Some(primary) => self.replaced_by(primary, self.services.rolling_back()),
            None => Word::Going,
        }
    }

    /// Another deployment is PRIMARY: a rollback of ours, or somebody else's.
    fn replaced_by(&self, primary: &DeploymentView, is_rollback: bool) -> Word {
        let is_rollback = is_rollback || self.taken_back_by.as_ref() == Some(&primary.id);
        if !is_rollback && self.services.failed_since_ms().is_none() {
            return Word::Ended(Verdict::Superseded { by: primary.id.clone() });
        }
        match primary.rollout_state.as_deref() {
            Some("COMPLETED") => Word::Ended(Verdict::RolledBack { why: self.why(None) }),
            Some("FAILED") => {
                Word::Ended(Verdict::Failed { why: format!("{}; the rollback failed too", self.why(None)) })
            }
            Some(_) | None => Word::RollingBack,
        }
    }

    fn waited(&self, since_ms: u64) -> bool {
        self.now_ms.saturating_sub(since_ms) >= TWO_TICKS_MS
    }

    /// What the tasks say before what ECS says: `tasks failed to start` is no reason.
    fn why(&self, said: Option<String>) -> String {
        self.outside
            .clone()
            .or_else(|| self.tasks.why())
            .or_else(|| self.event_failure.clone())
            .or(said)
            .or_else(|| self.services.reason().map(str::to_owned))
            .unwrap_or_else(|| "ECS gave no reason".to_owned())
    }

    fn verdict_for(&mut self, word: Word) -> Option<Verdict> {
        let is_live = self.is_live(&word);
        if is_live {
            self.live_since_ms.get_or_insert(self.now_ms);
        }
        match word {
            Word::Ended(verdict) => return Some(verdict),
            Word::RollingBack => {
                self.rollback_since_ms.get_or_insert(self.now_ms);
            }
            Word::Success => {
                self.success_since_ms.get_or_insert(self.now_ms);
                if let Some(verdict) = self.success(is_live) {
                    return Some(verdict);
                }
            }
            Word::Going => {
                self.rollback_since_ms = None;
                if is_live && self.goal.terms.done_when == DoneWhen::Live && self.is_proven_live() {
                    return Some(Verdict::Live);
                }
            }
        }
        self.time_out(is_live)
    }

    /// ECS says that the rollout succeeded; what holds the end back is only what is left of the old.
    fn success(&self, is_live: bool) -> Option<Verdict> {
        let view = self.services.view()?;
        if view.desired == 0 {
            return self.is_old_gone().then_some(Verdict::NothingProven);
        }
        if !is_live {
            return None;
        }
        match self.goal.terms.done_when {
            DoneWhen::Live => Some(Verdict::Live),
            DoneWhen::Drained => self.is_old_gone().then_some(Verdict::Drained),
            DoneWhen::Steady => (self.is_old_gone() && self.events.steady).then_some(Verdict::Steady),
        }
    }

    fn time_out(&self, is_live: bool) -> Option<Verdict> {
        let stretch = match (self.rollback_since_ms, self.live_since_ms) {
            (Some(since_ms), _) => Stretch::RollingBack { since_ms },
            (None, Some(since_ms)) => Stretch::Live { since_ms, bake: self.wait.bake() },
            (None, None) => {
                let leaving = |state| matches!(state, TaskState::Draining | TaskState::Stopping);
                let draining = if self.tasks.count(Side::Old, leaving) > 0 { Draining::Some } else { Draining::None };
                Stretch::Starting { moved_ms: self.moved_ms, draining }
            }
        };
        let mut budget = self.wait.stretched(self.goal.terms.budget);
        // After failed starts ECS waits longer and longer before the next one, 6 min before the third were measured, and
        // its breaker speaks in the end: that nothing moves until then says nothing.
        if self.is_counted_by_breaker() {
            budget.no_progress_ms = budget.total_ms;
        }
        let (clock, at_ms) = deadline(&budget, self.start_ms, stretch);
        let clock = if clock == Clock::NoProgress || clock == Clock::Total { self.wait.clock(clock) } else { clock };
        // A success that was only just heard of gets the looks that prove it.
        let at_ms =
            self.success_since_ms.map_or(at_ms, |success_ms| at_ms.max(success_ms.saturating_add(TWO_TICKS_MS)));
        // Whatever the answers flip between, there is an end.
        let last_ms = self.start_ms.saturating_add(longest_ms(&budget));
        if self.now_ms < at_ms.min(last_ms) {
            return None;
        }
        Some(if clock == Clock::Drain && is_live { Verdict::DrainUnfinished } else { Verdict::TimedOut { clock } })
    }

    /// Whether the circuit breaker has begun to count and has not made up its mind.
    fn is_counted_by_breaker(&self) -> bool {
        let breaker = self.deployment.seen.as_ref().and_then(|(seen, _)| seen.breaker.as_ref());
        breaker.is_some_and(|breaker| breaker.status == "MONITORING" && breaker.failures > 0)
    }

    /// Whether the new revision carries the whole desired count, by ECS's counts and unharmed by what is
    /// known of tasks and targets. Right after an update ours has a desired count of 0, and 0 of 0 is not live.
    fn is_live(&self, word: &Word) -> bool {
        let (Some(view), Some(own)) = (self.services.view(), self.services.own(&self.goal.started.deployment_id))
        else {
            return false;
        };
        if view.desired == 0 || own.running < view.desired || self.services.replaced().is_some() {
            return false;
        }
        // A blue/green deployment runs all its new tasks before any traffic goes to them.
        if *word != Word::Success && !self.wait.has_all_traffic() {
            return false;
        }
        if self.tasks.listed_ms().is_none() {
            return true;
        }
        let wanted = usize::try_from(view.desired).unwrap_or(usize::MAX);
        if *word == Word::Success {
            self.tasks.new_running_unharmed() >= wanted || self.is_unreadable(Part::Tasks)
        } else {
            self.tasks.count(Side::New, |state| state == TaskState::Healthy) >= wanted
        }
    }

    /// For `done_when = live` without ECS's success: either the targets were read, or ECS itself has begun
    /// to let the old tasks go.
    fn is_proven_live(&self) -> bool {
        let read = self.tasks.listed_ms().is_some() && self.tasks.targets_ms().is_some();
        read || self.services.others(&self.goal.started.deployment_id).all(|other| other.desired == 0)
    }

    fn is_unreadable(&self, part: Part) -> bool {
        self.denied.contains_key(&part) || self.schedule.unanswered(part) >= UNREADABLE
    }

    /// No old task is left and nothing drains, by answers that are not older than the success.
    fn is_old_gone(&self) -> bool {
        let Some(success_ms) = self.success_since_ms else { return false };
        let is_fresh = |at: Option<u64>| at.is_some_and(|at| at >= success_ms);
        if self.others_run() || self.tasks.old_target_drains() {
            return false;
        }
        let targets = is_fresh(self.tasks.targets_ms()) || self.is_unreadable(Part::Targets);
        // Where tasks may not be read (any more), ECS takes a deployment from the list when its last task is gone.
        let tasks = if is_fresh(self.tasks.listed_ms()) {
            self.tasks.old_gone()
        } else {
            self.is_unreadable(Part::Tasks) && self.services.others(&self.goal.started.deployment_id).next().is_none()
        };
        targets && tasks
    }

    fn others_run(&self) -> bool {
        self.services.others(&self.goal.started.deployment_id).any(|other| other.running + other.pending > 0)
    }

    /// Phases go forward; only a rollback, and only ECS's word for it, leaves that path.
    fn phase_for(&self, word: &Word) -> Phase {
        if *word == Word::RollingBack || matches!(word, Word::Ended(Verdict::RolledBack { .. })) {
            return Phase::RollingBack;
        }
        let own = self.services.own(&self.goal.started.deployment_id);
        let begun = own.is_some_and(|own| own.running + own.pending > 0) || self.tasks.count(Side::New, |_| true) > 0;
        let seen = if self.is_live(word) {
            let leaving = |state| matches!(state, TaskState::Draining | TaskState::Stopping);
            let is_leaving = self.tasks.count(Side::Old, leaving) > 0 || self.tasks.old_target_drains();
            if is_leaving { Phase::Draining } else { Phase::Healthy }
        } else if begun {
            Phase::Starting
        } else {
            Phase::Asked
        };
        if self.phase == Phase::RollingBack { seen } else { seen.max(self.phase) }
    }

    fn board(&self) -> Board {
        let started = &self.goal.started;
        let delay_ms = self.goal.terms.budget.deregistration_delay_ms;
        let mut old: Vec<_> = started.previous.iter().map(|previous| previous.short().to_owned()).collect();
        for revision in self.tasks.old_revisions() {
            if !old.iter().any(|known| known == revision) {
                old.push(revision.to_owned());
            }
        }
        let breaker = self.deployment.seen.as_ref().and_then(|(seen, _)| seen.breaker.as_ref());
        let own_failed = self.services.own(&started.deployment_id).map_or(0, |own| own.failed);
        Board {
            service: self.goal.service.clone(),
            phase: self.phase,
            elapsed_ms: self
                .now_ms
                .saturating_sub(self.goal.terms.began_ms.unwrap_or(self.start_ms).min(self.start_ms)),
            desired: self.services.view().map_or(started.desired, |view| view.desired),
            new_revision: started.task_definition.short().to_owned(),
            old_revisions: old,
            tasks: self.tasks.board(delay_ms, self.now_ms),
            breaker: breaker.filter(|breaker| breaker.status != "DISABLED" && breaker.threshold > 0).map(
                |BreakerView { status: _, failures, threshold }| Breaker { failures: *failures, threshold: *threshold },
            ),
            failed: own_failed.max(u32::try_from(self.tasks.failures()).unwrap_or(u32::MAX)),
            expected_ms: self.goal.terms.expected_ms,
            shift: self.wait.shift(self.now_ms).map(Box::new),
            hook: self.wait.hook().map(Box::new),
            denied: self.denied.iter().map(|(part, action)| format!("{}: {action}", part.words())).collect(),
        }
    }

    /// When to look again, and at what.
    fn look(&mut self) -> Next {
        let Pace { service_ms, deployment_ms, tasks_ms, targets_ms, ending_ms, beat_ms: _ } = self.goal.pace;
        let delay_ms = self.goal.terms.budget.deregistration_delay_ms;
        let drain_left_ms = self.tasks.longest_drain_left_ms(delay_ms, self.now_ms);
        // The last seconds of the last drain, and everything after it.
        let is_ending = matches!(self.phase, Phase::Draining | Phase::Healthy)
            && drain_left_ms.is_none_or(|left| left <= ending_ms.saturating_mul(2));
        let pace = |usual: u64| if is_ending { Want::Every(ending_ms.min(usual)) } else { Want::Every(usual) };
        let (tasks_at, targets_at) = (self.tasks.listed_ms(), self.tasks.targets_ms());
        let is_stale = |at: Option<u64>| self.success_since_ms.is_some_and(|success| at.is_none_or(|at| at < success));
        // Something moved that only the tasks can explain.
        let changed = self.moved_ms == self.now_ms && tasks_at != Some(self.now_ms);
        let mut wants = vec![(Part::Service, pace(service_ms))];
        if self.deployment.arn.is_some() {
            wants.push((Part::Deployment, pace(deployment_ms)));
        }
        wants.push((Part::Tasks, if changed || is_stale(tasks_at) { Want::Now } else { pace(tasks_ms) }));
        if is_stale(targets_at)
            || (self.tasks.old_target_drains() && self.tasks.count(Side::Old, |state| state != TaskState::Gone) == 0)
        {
            wants.push((Part::Targets, if is_stale(targets_at) { Want::Now } else { pace(targets_ms) }));
        } else if self.tasks.targets_move() {
            wants.push((Part::Targets, Want::Every(targets_ms)));
        }
        let (after_ms, ask) = self.schedule.next(self.now_ms, &wants);
        Next::Look { after_ms, ask }
    }
}

impl Pinned {
    /// Follows what `DescribeServices` calls current while ours is PRIMARY.
    fn pin(&mut self, current: &str) {
        if self.arn.as_deref() != Some(current) {
            *self = Self { arn: Some(current.to_owned()), ..Self::default() };
        }
    }

    fn hear(&mut self, seen: &ServiceDeploymentView, now_ms: u64) {
        // The answer to a question asked before the pin moved.
        if self.arn.as_ref().is_some_and(|arn| *arn != seen.arn) {
            return;
        }
        // An end is final: anything else after it is an older answer.
        let is_end =
            ["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"].contains(&seen.status.as_str());
        if is_end {
            self.ended_ms.get_or_insert(now_ms);
        } else if self.ended_ms.is_some() {
            return;
        } else {
            self.was_going = true;
        }
        self.arn = Some(seen.arn.clone());
        self.seen = Some((seen.clone(), now_ms));
    }
}

impl Events {
    /// What was not told yet, oldest first.
    ///
    /// The events carry ECS's clock and the start ours; where ours is ahead, everything would be too old.
    /// So nothing newer than the newest event of the first answer is ever taken for old.
    fn fresh<'a>(&mut self, seen: &'a [EventView], start_ms: u64) -> Vec<&'a EventView> {
        let newest = seen.iter().map(|event| event.time_ms).max();
        let cutoff =
            *self.cutoff_ms.get_or_insert_with(|| newest.map_or(0, |newest| start_ms.min(newest.saturating_add(1))));
        let mut fresh: Vec<_> = seen
            .iter()
            .filter(|event| event.time_ms >= cutoff)
            .filter(|event| self.told.insert(event.id.clone()))
            .collect();
        fresh.sort_by_key(|event| event.time_ms);
        self.steady |= fresh.iter().any(|event| event.text.contains("has reached a steady state"));
        fresh
    }
}

#[cfg(test)]
mod tests;
