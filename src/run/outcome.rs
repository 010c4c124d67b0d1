//! How a run ended, worked out from how its steps ended, whatever happened: what is live, whether
//! anything changed, and which failure is the one to tell.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cancel::Asked,
    error::{Left, RunError},
    watch::Finished,
};
use crate::{
    event::{Live, ServiceLive},
    exit::Exit,
    id::{Key, StepId, TaskDefArn},
    plan::{
        settle::NOTHING_TO_DO,
        step::{Action, Later, Plan, Produced, Started, Step},
    },
    rollout::machine::Verdict,
};

/// How a step that was begun ended. A step that was not begun has no end.
#[derive(Debug)]
pub(crate) enum StepEnd {
    Done {
        produced: Produced,
        finished: Option<Finished>,
    },
    Skipped {
        gives: Produced,
    },
    Failed(RunError),
    /// Left where it was by a second wish to stop.
    CutOff,
}

#[derive(Debug)]
pub struct Outcome {
    pub live: Vec<ServiceLive>,
    /// The first failure that was not a cancellation, else the cancellation; with what was being done.
    pub failure: Option<(String, RunError)>,
    /// What the last line says before the time.
    pub summary: String,
    pub exit: Exit,
}

impl Outcome {
    pub(crate) fn of(
        plan: &Plan,
        mut ends: BTreeMap<StepId, StepEnd>,
        first_failure: Option<StepId>,
        cancelled: Asked,
    ) -> Self {
        let services: BTreeSet<&Key> = plan
            .steps
            .iter()
            .filter(|step| matches!(step.action, Action::Watch { .. }))
            .filter_map(|step| step.action.subject())
            .collect();
        let live: Vec<_> = services.into_iter().map(|service| live(service, plan, &ends)).collect();
        let skipped =
            ends.iter().filter(|(_, end)| matches!(end, StepEnd::Skipped { .. })).map(|(step, _)| *step).collect();
        let nothing_done = plan.nothing_to_do(&skipped);

        // The first failure is the one to tell, what fails after it usually follows from it; but a real one
        // before a cancellation, which is no news to whoever asked for it.
        let told = first_failure
            .into_iter()
            .chain(ends.keys().copied())
            .filter(|step| matches!(ends.get(step), Some(StepEnd::Failed(_))))
            .min_by_key(|step| matches!(ends.get(step), Some(StepEnd::Failed(error)) if error.is_cancelled()));
        let is_complete = plan
            .steps
            .iter()
            .all(|step| matches!(ends.get(&step.id), Some(StepEnd::Done { .. } | StepEnd::Skipped { .. })));
        let failure = match told.and_then(|step| Some((step, ends.remove(&step)?))) {
            Some((step, StepEnd::Failed(error))) => Some((plan.step(step), error)),
            Some((_, StepEnd::Done { .. } | StepEnd::Skipped { .. } | StepEnd::CutOff)) | None => {
                // A wish to stop that came when all was done changes nothing any more.
                (cancelled != Asked::Never && !is_complete).then_some((None, RunError::Cancelled))
            }
        };
        let exit = failure.as_ref().map_or(Exit::Done, |(step, error)| exit(*step, error));
        let summary = match exit {
            Exit::Done if nothing_done => NOTHING_TO_DO.to_owned(),
            Exit::Done => "done".to_owned(),
            Exit::Cancelled => "cancelled".to_owned(),
            Exit::DrainUnfinished => "live, but not drained".to_owned(),
            Exit::Superseded => "superseded".to_owned(),
            Exit::Usage
            | Exit::Config
            | Exit::Environment
            | Exit::Refused
            | Exit::Changes
            | Exit::Build
            | Exit::Push
            | Exit::Register
            | Exit::RolloutFailed
            | Exit::RolloutUnknown
            | Exit::TaskFailed
            | Exit::RequestsLost
            | Exit::Bug => "failed".to_owned(),
        };
        let failure = failure.map(|(step, error)| (title(step, &error, exit), error));
        Self { live, failure, summary, exit }
    }

    /// The same in a rehearsal, whose sandbox is taken away at its end: where it was stopped, there is no ECS that goes on.
    #[must_use]
    pub(crate) fn in_a_rehearsal(mut self) -> Self {
        if self.exit == Exit::Cancelled {
            for live in &mut self.live {
                live.live = Live::Unchanged;
                "its sandbox is taken away, and production is as it was".clone_into(&mut live.words);
            }
            if let Some((_, error)) = &mut self.failure {
                *error = RunError::Cancelled;
            }
        }
        self
    }
}

/// `roll out api failed`.
fn title(step: Option<&Step>, error: &RunError, exit: Exit) -> String {
    let Some(step) = step else { return "cancelled between two steps".to_owned() };
    let title = step.action.title();
    if let RunError::StoppedWatching { .. } = error {
        return format!("{title}: not watched to its end");
    }
    match exit {
        Exit::Cancelled => format!("{title}: cancelled"),
        Exit::DrainUnfinished => format!("{title}: not drained in time"),
        Exit::Superseded => format!("{title}: superseded"),
        Exit::Done
        | Exit::Usage
        | Exit::Config
        | Exit::Environment
        | Exit::Refused
        | Exit::Changes
        | Exit::Build
        | Exit::Push
        | Exit::Register
        | Exit::RolloutFailed
        | Exit::RolloutUnknown
        | Exit::TaskFailed
        | Exit::RequestsLost
        | Exit::Bug => format!("{title} failed"),
    }
}

/// The exit code of a failed step.
fn exit(step: Option<&Step>, error: &RunError) -> Exit {
    match error {
        RunError::Cancelled | RunError::StoppedWatching { .. } => Exit::Cancelled,
        RunError::Rollout { exit, .. } => *exit,
        RunError::Task { .. } => Exit::TaskFailed,
        RunError::Check(_) => Exit::Build,
        RunError::Aws(_) | RunError::Docker(_) | RunError::Copy(_) => match step.map(|step| &step.action) {
            Some(Action::Build(_) | Action::Check(_)) => Exit::Build,
            Some(Action::Push { .. } | Action::PushTag { .. } | Action::Copy(_)) => Exit::Push,
            Some(
                Action::Register(_)
                | Action::Update { .. }
                | Action::StopDeployment { .. }
                | Action::CreateService { .. },
            ) => Exit::Register,
            // It could not be run or not be followed: whether it did its work is not known.
            Some(Action::Before { .. }) => Exit::TaskFailed,
            Some(Action::Watch { .. }) => Exit::RolloutUnknown,
            Some(
                Action::CreateCluster { .. }
                | Action::CreateRepository { .. }
                | Action::CreateTargetGroup { .. }
                | Action::CreateLoadBalancer { .. }
                | Action::CreateListener { .. }
                | Action::Login { .. },
            )
            | None => Exit::Environment,
        },
    }
}

/// The step that changes what a service runs, and what it ran when the plan was made.
fn change<'a>(service: &Key, plan: &'a Plan) -> Option<(StepId, Option<&'a TaskDefArn>)> {
    plan.steps.iter().filter(|step| step.action.subject() == Some(service)).find_map(|step| match &step.action {
        Action::Update { running, .. } => Some((step.id, Some(&running.task_definition))),
        Action::StopDeployment { going, .. } => Some((step.id, going.started.previous.as_ref())),
        Action::CreateService { .. } => Some((step.id, None)),
        Action::CreateCluster { .. }
        | Action::CreateRepository { .. }
        | Action::CreateTargetGroup { .. }
        | Action::CreateLoadBalancer { .. }
        | Action::CreateListener { .. }
        | Action::Login { .. }
        | Action::Build(_)
        | Action::Check(_)
        | Action::Push { .. }
        | Action::PushTag { .. }
        | Action::Copy(_)
        | Action::Register(_)
        | Action::Before { .. }
        | Action::Watch { .. } => None,
    })
}

/// The step that watches a service, and what it watches.
fn watch<'a>(service: &Key, plan: &'a Plan) -> Option<(StepId, &'a Later<Started>)> {
    plan.steps.iter().filter(|step| step.action.subject() == Some(service)).find_map(|step| {
        let Action::Watch { deployment, .. } = &step.action else { return None };
        Some((step.id, deployment))
    })
}

/// The tag of what this plan ships to a service: what people call a version.
fn version<'a>(service: &Key, plan: &'a Plan) -> Option<&'a str> {
    plan.steps.iter().find_map(|step| match &step.action {
        Action::Register(register) if register.service == *service => Some(register.images.first()?.tag.as_str()),
        _ => None,
    })
}

/// What serves, as far as this run knows.
fn live(service: &Key, plan: &Plan, ends: &BTreeMap<StepId, StepEnd>) -> ServiceLive {
    let told = |live: Live, words: String| ServiceLive { service: service.clone(), live, words };
    let tagged = |revision: &TaskDefArn| match version(service, plan) {
        Some(tag) => format!("{revision} ({tag})"),
        None => revision.to_string(),
    };
    let watch = watch(service, plan);
    let watched = watch.and_then(|(step, _)| ends.get(&step));
    let Some((change, before)) = change(service, plan) else {
        // Somebody else had started what was only watched.
        return match watch {
            Some((_, Later::Known(started))) => {
                let (live, words) = rolled_out(service, started, &tagged(&started.task_definition), watched);
                told(live, words)
            }
            Some((_, Later::From(_))) | None => told(Live::Unknown, format!("{service}: not known")),
        };
    };
    let started = match ends.get(&change) {
        Some(
            StepEnd::Done { produced: Produced::Deployment(started), .. }
            | StepEnd::Skipped { gives: Produced::Deployment(started) },
        ) => started,
        // What runs is what would be shipped.
        Some(StepEnd::Skipped { .. }) => {
            let words = before.map_or_else(
                || "the service does not exist".to_owned(),
                |before| format!("{} serves already", tagged(before)),
            );
            return told(Live::Unchanged, words);
        }
        // Left in the middle, or without an answer that says that nothing was done: it may have arrived.
        Some(StepEnd::CutOff) => {
            return told(Live::Unknown, format!("unknown: updating {service} was cut off"));
        }
        Some(StepEnd::Failed(error)) if !is_refusal(error) => {
            return told(Live::Unknown, format!("unknown: updating {service} failed half-way"));
        }
        Some(StepEnd::Failed(_) | StepEnd::Done { .. }) | None => {
            let words = before.map_or_else(
                || "the service was not created".to_owned(),
                |before| format!("unchanged, {before} still serves all traffic"),
            );
            return told(Live::Unchanged, words);
        }
    };
    let (live, words) = rolled_out(service, started, &tagged(&started.task_definition), watched);
    told(live, words)
}

/// What serves once a rollout of `new` has been started, by how its watch ended.
fn rolled_out(service: &Key, started: &Started, new: &str, watched: Option<&StepEnd>) -> (Live, String) {
    let told = |live: Live, words: String| (live, words);
    match watched {
        Some(StepEnd::Done { finished: Some(Finished { verdict: Verdict::RolledBack { .. }, .. }), .. }) => {
            let before = started.previous.as_ref().map_or_else(
                || "what was there before serves again".to_owned(),
                |before| format!("{before} serves all traffic"),
            );
            told(Live::Unchanged, format!("{before}, {new} was taken back"))
        }
        Some(StepEnd::Done { finished: Some(finished), .. }) if finished.verdict == Verdict::NothingProven => {
            told(Live::New, format!("{new}, and {}", finished.replaced()))
        }
        Some(StepEnd::Done { finished: Some(finished), .. }) => {
            told(Live::New, format!("{new} serves all traffic, {}", finished.replaced()))
        }
        Some(StepEnd::Done { finished: None, .. } | StepEnd::Skipped { .. }) => {
            told(Live::New, format!("{new} serves all traffic"))
        }
        Some(StepEnd::Failed(RunError::Rollout { live, verdict, .. })) => {
            told(*live, after(*live, verdict, started, new, service))
        }
        Some(StepEnd::Failed(RunError::StoppedWatching { left: Left::TakenBack, .. })) => match &started.previous {
            Some(before) => told(Live::Mixed, format!("ECS takes {new} back to {before}")),
            None => told(Live::Mixed, format!("ECS takes {new} back")),
        },
        Some(StepEnd::Failed(RunError::StoppedWatching { live: Live::New, .. })) => {
            told(Live::New, format!("{new} serves, ECS goes on draining the old tasks"))
        }
        // What serves at this moment is not what will serve in a minute.
        Some(StepEnd::Failed(RunError::StoppedWatching { live, .. })) => match (live, &started.previous) {
            (Live::Unchanged, Some(before)) => {
                told(Live::Mixed, format!("{before} serves, ECS goes on rolling out {new}"))
            }
            (Live::Mixed, Some(before)) => {
                told(Live::Mixed, format!("{before} and {new} serve, ECS goes on rolling out {new}"))
            }
            (Live::Unchanged | Live::Mixed | Live::Unknown | Live::New, _) => {
                told(Live::Mixed, format!("ECS goes on rolling out {new}"))
            }
        },
        Some(
            StepEnd::Failed(
                RunError::Aws(_)
                | RunError::Docker(_)
                | RunError::Copy(_)
                | RunError::Check(_)
                | RunError::Task { .. }
                | RunError::Cancelled,
            )
            | StepEnd::CutOff,
        )
        | None => told(Live::Mixed, format!("ECS goes on rolling out {new}, not watched to its end")),
    }
}

/// What serves after a rollout that did not end well.
fn after(live: Live, verdict: &Verdict, started: &Started, new: &str, service: &Key) -> String {
    let fate = match verdict {
        Verdict::RolledBack { .. } => format!("{new} was rolled back"),
        Verdict::Failed { .. } => format!("{new} failed and was not rolled back"),
        Verdict::Stopped => format!("the rollout of {new} was stopped"),
        Verdict::TimedOut { .. } => format!("ECS may still go on with {new}"),
        Verdict::Superseded { .. } => format!("{new} was replaced by another deployment"),
        Verdict::Live | Verdict::Drained | Verdict::Steady | Verdict::NothingProven | Verdict::DrainUnfinished => {
            return match live {
                Live::Unchanged | Live::Unknown => format!("unknown: look at {service} before you go on"),
                Live::New => format!("{new} serves, old tasks may still be draining"),
                Live::Mixed => format!("{new} serves, and so do old tasks"),
            };
        }
    };
    match (live, &started.previous) {
        (Live::Unchanged, Some(before)) => format!("{before} still serves all traffic, {fate}"),
        (Live::Unchanged, None) => format!("nothing serves, {fate}"),
        (Live::New, _) => format!("{new} serves, and {fate}"),
        (Live::Mixed, _) => format!("mixed: old and new tasks serve, {fate}"),
        (Live::Unknown, _) => format!("unknown what serves, {fate}"),
    }
}

/// Whether AWS answered that it did nothing: then what was live still is.
fn is_refusal(error: &RunError) -> bool {
    match error {
        RunError::Aws(error) => !error.is_passing() && error.code().is_some(),
        RunError::Docker(_) | RunError::Copy(_) | RunError::Check(_) | RunError::Task { .. } | RunError::Cancelled => {
            true
        }
        RunError::Rollout { .. } | RunError::StoppedWatching { .. } => false,
    }
}
