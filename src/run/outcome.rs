//! How a run ended, worked out from the steps that completed, whatever happened: what is live, whether
//! anything changed, and which failure is the one to tell.

use std::collections::{BTreeMap, BTreeSet};

use super::{cancel::Asked, error::RunError};
use crate::{
    event::{Live, ServiceLive},
    exit::Exit,
    id::{Key, StepId, TaskDefArn},
    plan::{
        settle::NOTHING_TO_DO,
        step::{Action, Plan, Produced},
    },
};

/// How one step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    Skipped,
    Failed,
}

#[derive(Debug)]
pub struct Outcome {
    pub live: Vec<ServiceLive>,
    /// The first failure that was not a cancellation, else the cancellation; with what was being done.
    pub failure: Option<(String, RunError)>,
    pub cancelled: Asked,
    /// What the last line says before the time.
    pub summary: String,
    pub exit: Exit,
}

impl Outcome {
    pub(crate) fn of(
        plan: &Plan,
        produced: BTreeMap<StepId, Produced>,
        ended: BTreeMap<StepId, Ended>,
        failure: Option<(StepId, RunError)>,
        cancelled: Asked,
    ) -> Self {
        let services: BTreeSet<&Key> = plan
            .steps
            .iter()
            .filter(|step| matches!(step.action, Action::Watch { .. }))
            .filter_map(|step| step.action.subject())
            .collect();
        let live: Vec<_> = services
            .into_iter()
            .map(|service| live(service, plan, &produced, &ended, failure.as_ref().map(|(_, error)| error)))
            .collect();
        let skipped = ended.iter().filter(|(_, ended)| **ended == Ended::Skipped).map(|(step, _)| *step).collect();
        let exit = match &failure {
            Some((step, error)) => exit(plan, *step, error),
            None if cancelled != Asked::Never => Exit::Cancelled,
            None => Exit::Done,
        };
        let summary = match exit {
            Exit::Done if plan.nothing_to_do(&skipped) => NOTHING_TO_DO.to_owned(),
            Exit::Done => "done".to_owned(),
            Exit::Cancelled => "cancelled".to_owned(),
            Exit::DrainUnfinished => "live, but not drained".to_owned(),
            Exit::Superseded => "superseded".to_owned(),
            Exit::Usage
            | Exit::Config
            | Exit::Environment
            | Exit::Refused
            | Exit::Build
            | Exit::Push
            | Exit::Register
            | Exit::RolloutFailed
            | Exit::RolloutUnknown
            | Exit::TaskFailed
            | Exit::Bug => "failed".to_owned(),
        };
        let failure = failure.map(|(step, error)| {
            let title = plan.step(step).map(|step| step.action.title()).unwrap_or_default();
            let title = if error.is_cancelled() { format!("{title}: cancelled") } else { format!("{title} failed") };
            (title, error)
        });
        Self { live, failure, cancelled, summary, exit }
    }
}

/// The exit code of a failed step.
fn exit(plan: &Plan, step: StepId, error: &RunError) -> Exit {
    match error {
        RunError::Cancelled | RunError::StoppedWatching { .. } => Exit::Cancelled,
        RunError::Rollout { exit, .. } => *exit,
        RunError::Aws(_) | RunError::Docker(_) => match plan.step(step).map(|step| &step.action) {
            Some(Action::Build(_)) => Exit::Build,
            Some(Action::Push { .. }) => Exit::Push,
            Some(Action::Register(_) | Action::Update { .. } | Action::CreateService { .. }) => Exit::Register,
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

/// What serves, as far as this run knows.
fn live(
    service: &Key,
    plan: &Plan,
    produced: &BTreeMap<StepId, Produced>,
    ended: &BTreeMap<StepId, Ended>,
    failure: Option<&RunError>,
) -> ServiceLive {
    let of_service = |step: &&crate::plan::step::Step| step.action.subject() == Some(service);
    let change = plan.steps.iter().filter(of_service).find_map(|step| match &step.action {
        Action::Update { running, .. } => Some((step.id, Some(&running.task_definition))),
        Action::CreateService { .. } => Some((step.id, None)),
        Action::CreateCluster { .. }
        | Action::CreateRepository { .. }
        | Action::CreateTargetGroup { .. }
        | Action::CreateLoadBalancer { .. }
        | Action::CreateListener { .. }
        | Action::Login { .. }
        | Action::Build(_)
        | Action::Push { .. }
        | Action::Register(_)
        | Action::Watch { .. } => None,
    });
    let watch = plan.steps.iter().filter(of_service).find(|step| matches!(step.action, Action::Watch { .. }));
    let watched = watch.and_then(|step| ended.get(&step.id)).copied();
    let told = |live: Live, words: String| ServiceLive { service: service.clone(), live, words };

    let Some((change, before)) = change else {
        return told(Live::Unknown, format!("{service}: not known"));
    };
    let before_words = |before: Option<&TaskDefArn>| match before {
        Some(before) => format!("unchanged, {before} is serving"),
        None => "unchanged, the service does not exist".to_owned(),
    };
    let started = match produced.get(&change) {
        Some(Produced::Deployment(started)) => started,
        Some(Produced::Nothing | Produced::Arn(_) | Produced::Digest(_) | Produced::TaskDefinition(_)) | None => {
            return match ended.get(&change) {
                // The call itself failed: it may or may not have arrived.
                Some(Ended::Failed) if !failure.is_some_and(is_refusal) => {
                    told(Live::Unknown, format!("unknown, updating {service} failed half-way"))
                }
                Some(Ended::Done | Ended::Skipped | Ended::Failed) | None => {
                    told(Live::Unchanged, before_words(before))
                }
            };
        }
    };
    let new = &started.task_definition;
    match (watched, failure) {
        (Some(Ended::Done | Ended::Skipped), _) => told(Live::New, format!("{new} is serving all traffic")),
        (Some(Ended::Failed), Some(RunError::Rollout { live, service: failed, .. })) if failed == service => match live
        {
            Live::Unchanged => told(Live::Unchanged, before_words(before)),
            Live::New => told(Live::New, format!("{new} is serving; old tasks may still be draining")),
            Live::Mixed => told(Live::Mixed, format!("mixed, {new} and what ran before may both be serving")),
            Live::Unknown => told(Live::Unknown, format!("unknown, look at {service} before you go on")),
        },
        (Some(Ended::Failed) | None, _) => told(Live::Mixed, format!("ECS goes on rolling out {new}")),
    }
}

/// Whether AWS answered that it did nothing: then what was live still is.
fn is_refusal(error: &RunError) -> bool {
    match error {
        RunError::Aws(error) => !error.is_passing() && error.code().is_some(),
        RunError::Docker(_) | RunError::Cancelled => true,
        RunError::Rollout { .. } | RunError::StoppedWatching { .. } => false,
    }
}
