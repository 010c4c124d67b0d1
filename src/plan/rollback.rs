//! Back to what really ran before: which way, what that changes, and the plan that does it.
//!
//! Two ways: a rollout that is going on is taken back by ECS itself, and everything else is a rollout like any
//! other, to a revision that exists already. Nothing is ever deregistered.

use std::{collections::BTreeMap, fmt};

use super::{
    diff::{self, Difference, TAG_IMAGE},
    make::{budget_of, running, terms},
    observed::{DefinitionObserved, ServiceActive, ServiceKnown},
    pick_up::{self, delay_s, next},
    refusal::Refusal,
    standing,
    step::{Action, Going, Later, OnFailure, OnInterrupt, Plan, Release, Started, Step, Terms, Toward},
};
use crate::{
    config::spec::{Service, Spec},
    id::{Key, TaskDefArn},
    rollout::past::{self, Stage},
};

/// How one service goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// ECS takes what is going on back, and knows to what.
    Stop(Going),
    /// ECS has been asked already.
    Underway(Started),
    /// `UpdateService` to this revision; its definition has to be read first.
    To(TaskDefArn),
}

/// Finds the way back of a service. `to` is a revision that was asked for: a number, `family:number` or an ARN.
///
/// # Errors
///
/// Why there is none.
pub fn way(
    key: &Key,
    service: &Service,
    known: Option<&ServiceKnown>,
    to: Option<&str>,
    region: &str,
) -> Result<Way, Refusal> {
    let live = pick_up::live(key, service, known, region)?;
    let now = &running(live).task_definition;
    if let Some(to) = to {
        // A rollout that is going on is replaced by this one.
        return Ok(Way::To(named(to, now)));
    }
    let history = known.and_then(|known| known.history.as_deref());
    if let Some(going) = pick_up::going(live, history) {
        match (going.stage, going.stoppable(), &going.started.previous) {
            (Stage::GoingBack, _, _) => return Ok(Way::Underway(going.started)),
            (Stage::Going | Stage::Ended, Some(stoppable), _) => return Ok(Way::Stop(stoppable)),
            // Where ECS cannot be asked, the revision that still runs is rolled out again.
            (Stage::Going | Stage::Ended, None, Some(previous)) => return Ok(Way::To(previous.clone())),
            (Stage::Going | Stage::Ended, None, None) => {}
        }
    }
    let Some(history) = history else {
        return Err(Refusal::HistoryUnread { service: key.clone(), name: service.service.clone() });
    };
    past::before(history, now).and_then(|before| before.task_definition.clone()).map(Way::To).ok_or_else(|| {
        Refusal::NothingBefore {
            service: key.clone(),
            name: service.service.clone(),
            region: region.to_owned(),
            revision: now.clone(),
        }
    })
}

/// `42` is a revision of the family that runs; anything else is as ECS takes it.
#[must_use]
pub fn named(to: &str, now: &TaskDefArn) -> TaskDefArn {
    if to.bytes().all(|byte| byte.is_ascii_digit()) {
        let family = now.as_str().rsplit_once(':').map_or(now.as_str(), |(family, _)| family);
        TaskDefArn::new(format!("{family}:{to}"))
    } else {
        TaskDefArn::new(to)
    }
}

/// What going back changes in a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub service: Key,
    pub from: Version,
    /// `None`: ECS knows it, and we do not.
    pub to: Option<Version>,
    /// The one that is shipped, as far as that is known.
    pub container: Option<String>,
    /// What differs between the two task definitions.
    pub differences: Vec<Difference>,
    pub compared: Compared,
}

/// A revision with the image tag it was registered for, where it is known: what people call a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub revision: TaskDefArn,
    pub tag: Option<String>,
}

impl Version {
    fn new(revision: &TaskDefArn, tags: &[(String, String)]) -> Self {
        let tag = tags.iter().find(|(key, _)| key == TAG_IMAGE).map(|(_, value)| value.clone());
        Self { revision: revision.clone(), tag }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => write!(formatter, "{} ({tag})", self.revision),
            None => write!(formatter, "{}", self.revision),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    Yes,
    /// The other task definition is not known.
    No,
    /// It is being taken back already: which of the two the service is set to changes on the way.
    Underway,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.service, self.title())?;
        for difference in &self.differences {
            write!(formatter, "\n  {difference}")?;
        }
        self.aside().map_or(Ok(()), |aside| write!(formatter, "\n  {aside}"))
    }
}

impl Change {
    /// `web:42 (v2) → web:41 (v1)`.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.to {
            Some(to) => format!("{} → {to}", self.from),
            None => format!("{} → what ran before it", self.from),
        }
    }

    /// What there is to say where no differences are.
    #[must_use]
    pub const fn aside(&self) -> Option<&'static str> {
        match (self.differences.is_empty(), self.compared) {
            (true, Compared::Yes) => Some("nothing differs between the two task definitions"),
            (_, Compared::No) => Some("what differs is not known"),
            (_, Compared::Underway) => Some("it is being taken back already"),
            (false, Compared::Yes) => None,
        }
    }
}

/// Everything that is known before a rollback.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub services: &'a BTreeMap<Key, ServiceKnown>,
    pub ways: &'a BTreeMap<Key, Way>,
    /// What each service would go back to; none for a revision that is not there or may not be read.
    pub targets: &'a BTreeMap<Key, Option<DefinitionObserved>>,
    pub region: &'a str,
}

/// The plan, with what it changes, one for each service.
///
/// # Errors
///
/// Every reason why a service cannot go back.
pub fn plan(spec: &Spec, known: Known<'_>) -> Result<(Plan, Vec<Change>), Vec<Refusal>> {
    let (mut steps, mut changes, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    let (mut begun, mut watches) = (Vec::new(), Vec::new());
    for (key, service) in &spec.services {
        let live = match pick_up::live(key, service, known.services.get(key), known.region) {
            Ok(live) => live,
            Err(refusal) => {
                refusals.push(refusal);
                continue;
            }
        };
        let Some(way) = known.ways.get(key) else { continue };
        let target = known.targets.get(key).and_then(Option::as_ref);
        if let Way::To(revision) = way
            && let Some(refusal) = refusal(key, revision, target)
        {
            refusals.push(refusal);
            continue;
        }
        changes.push(change(key, service, live, way, target));
        begun.push((key, service, live, way, target));
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    for (key, service, live, way, target) in begun {
        let (deployment, toward, needs) = match way {
            Way::Underway(started) => (Later::Known(started.clone()), Toward::Before, Vec::new()),
            Way::Stop(going) => {
                let id = next(&steps);
                let cause = format!("its rollout to {} is going on", going.started.task_definition);
                let action = Action::StopDeployment { service: key.clone(), going: going.clone() };
                steps.push(Step { id, action, cause, needs: Vec::new() });
                (Later::From(id), Toward::Before, vec![id])
            }
            Way::To(revision) => {
                let id = next(&steps);
                let revision = target.map_or(revision, |target| &target.arn);
                let running = running(live);
                let cause = format!("back to {revision}, it runs {}", running.task_definition);
                let action = Action::Update {
                    service: key.clone(),
                    cluster: service.cluster.clone(),
                    name: service.service.clone(),
                    task_definition: Later::Known(revision.clone()),
                    running,
                    percentages: service.rollout.percentages,
                };
                steps.push(Step { id, action, cause, needs: Vec::new() });
                (Later::From(id), Toward::New, vec![id])
            }
        };
        watches.push((key, service, live, target, deployment, toward, needs));
    }
    for (key, service, live, target, deployment, toward, needs) in watches {
        let id = next(&steps);
        let definitions = std::iter::once(&live.definition).chain(target.map(|target| &target.definition));
        let budget = budget_of(&service.rollout, delay_s(live), definitions);
        let terms = terms(&service.rollout, budget, Release::Independent);
        let action = Action::Watch {
            service: key.clone(),
            cluster: service.cluster.clone(),
            name: service.service.clone(),
            deployment,
            terms: match toward {
                Toward::New => terms,
                // It is being taken back: neither tasks that fail on the way nor a wish to stop change that.
                Toward::Before => Terms { on_failure: OnFailure::Wait, on_interrupt: OnInterrupt::Leave, ..terms },
            },
            toward,
        };
        let cause = match toward {
            Toward::New => format!("until the tasks of {} have drained", live.task_definition),
            Toward::Before => "until what ran before it serves again".to_owned(),
        };
        steps.push(Step { id, action, cause, needs });
    }
    Ok((Plan { steps, release: Release::Independent }, changes))
}

fn refusal(key: &Key, revision: &TaskDefArn, target: Option<&DefinitionObserved>) -> Option<Refusal> {
    let Some(target) = target else {
        return Some(Refusal::RevisionMissing { service: key.clone(), revision: revision.clone() });
    };
    let status = target.definition.get("status").and_then(serde_json::Value::as_str);
    // `DELETE_IN_PROGRESS` as well: "INACTIVE → DELETE_IN_PROGRESS".
    status
        .is_some_and(|status| status != "ACTIVE")
        .then(|| Refusal::RevisionInactive { service: key.clone(), revision: target.arn.clone() })
}

fn change(
    key: &Key,
    service: &Service,
    live: &ServiceActive,
    way: &Way,
    target: Option<&DefinitionObserved>,
) -> Change {
    // What is being rolled out, and with it what the service is set to run.
    let (from, to) = match way {
        Way::Stop(Going { started, .. }) | Way::Underway(started) => {
            (started.task_definition.clone(), started.previous.as_ref())
        }
        Way::To(revision) => (running(live).task_definition, Some(target.map_or(revision, |target| &target.arn))),
    };
    let tags_of = |revision: &TaskDefArn| match target {
        _ if *revision == live.task_definition => live.tags.as_slice(),
        Some(target) if target.arn == *revision => target.tags.as_slice(),
        Some(_) | None => &[],
    };
    let from = Version::new(&from, tags_of(&from));
    let to = to.map(|to| Version::new(to, tags_of(to)));

    let (compared, differences) = match (way, target) {
        (Way::Underway(_), _) => (Compared::Underway, Vec::new()),
        (Way::Stop(_) | Way::To(_), Some(target)) if !live.definition.is_null() => {
            (Compared::Yes, diff::differences(&live.definition, &target.definition))
        }
        (Way::Stop(_) | Way::To(_), Some(_) | None) => (Compared::No, Vec::new()),
    };
    let container = standing::container(service, &live.definition).map(str::to_owned);
    Change { service: key.clone(), from, to, container, differences, compared }
}

#[cfg(test)]
mod tests;
