//! Going on from what somebody has started: a plan that only watches what goes on already.

use std::collections::BTreeMap;

use super::{
    make::{budget_of, primary, rollout_of, terms},
    observed::{DeploymentObserved, ServiceActive, ServiceKnown, ServiceObserved},
    refusal::Refusal,
    step::{
        Action, Going, Later, OnFailure, OnInterrupt, Plan, Release, RolloutObserved, Started, Step, Terms, Toward,
    },
};
use crate::{
    config::spec::{Place, Service, Spec},
    id::{Key, StepId},
    rollout::past::{self, Past},
};

/// What there is to watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Watching {
    /// One step for each service in which something goes on.
    pub plan: Plan,
    /// Services in which nothing does, and what they run.
    pub idle: Vec<(Key, String)>,
}

/// Plans to watch what goes on.
///
/// # Errors
///
/// Every service that is not there, or that ECS does not roll out.
pub fn watch(spec: &Spec, known: &BTreeMap<Key, ServiceKnown>, region: &str) -> Result<Watching, Vec<Refusal>> {
    let (mut steps, mut idle, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for (key, service) in &spec.services {
        let live = match live(key, service, known.get(key), region) {
            Ok(live) => live,
            Err(refusal) => {
                refusals.push(refusal);
                continue;
            }
        };
        let history = known.get(key).and_then(|known| known.history.as_deref());
        match going(live, history) {
            Some(going) => {
                let id = next(&steps);
                let revision = &going.started.task_definition;
                let cause = match going.stage {
                    past::Stage::GoingBack => format!("its rollout to {revision} is being taken back"),
                    past::Stage::Going | past::Stage::Ended => format!("its rollout to {revision} is going on"),
                };
                steps.push(Step {
                    id,
                    action: watch_step(key, service, live, going.started, going.began_ms),
                    cause,
                    needs: Vec::new(),
                });
            }
            None => idle.push((key.clone(), live.task_definition.to_string())),
        }
    }
    if refusals.is_empty() {
        Ok(Watching { plan: Plan { steps, release: Release::Independent }, idle })
    } else {
        Err(refusals)
    }
}

/// Refuses to touch the wrong account. `actual` is asked for only where the environment names one.
#[must_use]
pub fn wrong_account(spec: &Spec, actual: Option<&str>) -> Option<Refusal> {
    let (expected, actual) = (spec.environment.account.as_deref()?, actual?);
    let is_wrong = spec.environment.place == Place::Aws && expected != actual;
    is_wrong.then(|| Refusal::WrongAccount { expected: expected.to_owned(), actual: actual.to_owned() })
}

/// Something that goes on, with its service deployment where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoingOn {
    pub started: Started,
    /// By ECS's clock.
    pub began_ms: Option<u64>,
    pub stage: past::Stage,
    pub service_deployment: Option<String>,
}

impl GoingOn {
    /// As what can be stopped.
    #[must_use]
    pub fn stoppable(&self) -> Option<Going> {
        let service_deployment = self.service_deployment.clone()?;
        Some(Going { started: self.started.clone(), service_deployment })
    }
}

/// What goes on in a service, whoever has started it: by its service deployments, else by its `deployments`.
#[must_use]
pub fn going(live: &ServiceActive, history: Option<&[Past]>) -> Option<GoingOn> {
    let by_history = history.and_then(past::current).and_then(|current| {
        let deployment_id = current.deployment_id()?;
        let listed = live.deployments.iter().find(|deployment| deployment.id == deployment_id);
        let target = current.target.as_ref().and_then(|target| target.task_definition.clone());
        let before = current.before().and_then(|before| before.task_definition.clone());
        let other = || others(live, &deployment_id).max_by_key(|other| other.running);
        let started = Started {
            task_definition: target.or_else(|| listed.map(|listed| listed.task_definition.clone()))?,
            previous: before.or_else(|| other().map(|other| other.task_definition.clone())),
            service_deployment: Some(current.arn.clone()),
            desired: live.desired_count,
            deployment_id,
        };
        let began_ms = current.created_ms.or_else(|| listed.and_then(|listed| listed.created_ms));
        Some(GoingOn { started, began_ms, stage: current.stage(), service_deployment: Some(current.arn.clone()) })
    });
    by_history.or_else(|| {
        let primary = primary(live)?;
        let is_draining = others(live, &primary.id).any(|other| other.running > 0);
        if rollout_of(live) != RolloutObserved::Going && !is_draining {
            return None;
        }
        let previous = others(live, &primary.id).max_by_key(|other| other.running);
        let started = Started {
            deployment_id: primary.id.clone(),
            service_deployment: None,
            task_definition: primary.task_definition.clone(),
            previous: previous.map(|previous| previous.task_definition.clone()),
            desired: live.desired_count,
        };
        let began_ms = primary.created_ms;
        Some(GoingOn { started, began_ms, stage: past::Stage::Going, service_deployment: None })
    })
}

fn others<'a>(live: &'a ServiceActive, id: &'a str) -> impl Iterator<Item = &'a DeploymentObserved> {
    live.deployments.iter().filter(move |deployment| deployment.id != id)
}

fn watch_step(key: &Key, service: &Service, live: &ServiceActive, started: Started, began_ms: Option<u64>) -> Action {
    let budget = budget_of(&service.rollout, delay_s(live), std::iter::once(&live.definition));
    Action::Watch {
        service: key.clone(),
        cluster: service.cluster.clone(),
        name: service.service.clone(),
        deployment: Later::Known(started),
        // To watch is to change nothing, whatever its own deploy would do: that one may be watching too.
        terms: Terms {
            on_failure: OnFailure::Wait,
            on_interrupt: OnInterrupt::Leave,
            began_ms,
            ..terms(&service.rollout, budget, Release::Independent)
        },
        toward: Toward::New,
    }
}

/// The longest deregistration delay of its target groups, in seconds.
pub(super) fn delay_s(live: &ServiceActive) -> u64 {
    live.target_groups.iter().map(|group| group.deregistration_delay_s).max().unwrap_or(0)
}

pub(super) fn next(steps: &[Step]) -> StepId {
    StepId(u32::try_from(steps.len() + 1).expect("a plan of four thousand million steps"))
}

/// The service as it runs, or why nothing can be gone on with.
pub fn live<'a>(
    key: &Key,
    service: &Service,
    known: Option<&'a ServiceKnown>,
    region: &str,
) -> Result<&'a ServiceActive, Refusal> {
    let (cluster, name) = (service.cluster.clone(), service.service.clone());
    match known.map(|known| &known.observed) {
        Some(ServiceObserved::Active(live)) if live.controller == "ECS" => Ok(live),
        Some(ServiceObserved::Active(live)) => {
            Err(Refusal::OtherController { service: key.clone(), name, controller: live.controller.clone() })
        }
        Some(ServiceObserved::Inactive { status }) => {
            Err(Refusal::ServiceGone { service: key.clone(), name, cluster, status: status.clone() })
        }
        Some(ServiceObserved::Missing) | None => {
            Err(Refusal::ServiceMissing { service: key.clone(), name, cluster, region: region.to_owned() })
        }
    }
}
