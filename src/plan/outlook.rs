//! What a plan will change, service by service, as far as that is known before anything is built: for people, for
//! scripts that ask whether there is anything to do, and for tools.
//!
//! It decides nothing: the plan is what will be done, this is how it is told.

use serde_json::{Value, json};

use super::{
    diff::{self, Change, Difference, TAG_IMAGE},
    drift::{self, Drift, Fate},
    observed::{Observed, RepositoryObserved, ServiceActive, ServiceObserved, Unread},
    preflight::{self, Warning},
    refusal::Refusal,
    step::{Action, Later, Percentages, Plan, RegisterAction, RolloutObserved, Running, Step},
};
use crate::{
    config::spec::{Place, Spec},
    id::{Cluster, Key, ServiceName, TaskDefArn},
    image::Digest,
};

/// The version of the JSON that `plan --format json` prints. Members are added, never renamed or removed.
pub const SCHEMA: u32 = 1;

#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// In the order of `ship.toml`'s keys.
    pub services: Vec<ServiceOutlook>,
    pub warnings: Vec<Warning>,
    /// What could not be read, and therefore is not known.
    pub unread: Vec<Unread>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceOutlook {
    pub service: Key,
    pub cluster: Cluster,
    pub name: ServiceName,
    /// `None`: the sandbox creates it.
    pub runs: Option<Runs>,
    pub image: ImageOutlook,
    /// What registering changes beside the image of [`ImageOutlook::container`].
    pub changes: Vec<Difference>,
    /// What becomes different of the service itself, without a rollout of its own.
    pub settings: Vec<Difference>,
    pub drift: Option<Drift>,
    pub expected: Expected,
    /// How long old tasks may take to be gone.
    pub drain_ms: u64,
}

/// What a service is set to run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    pub task_definition: TaskDefArn,
    pub desired: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOutlook {
    pub image: Key,
    pub container: String,
    /// What people call what runs now: the tag it was shipped under, else what its reference ends in.
    pub from: Option<String>,
    /// The tag of this build.
    pub to: String,
    /// Known where the registry has this build already.
    pub digest: Option<Digest>,
}

/// What a ship of the service comes to, judged from what is known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The service is created.
    Create,
    /// A new revision is registered and rolled out.
    Change,
    /// The rollout of this very build is going on and is watched to its end.
    PickUp,
    /// The same revision once more, since its rollout failed.
    Retry,
    /// Nothing is rolled out; the service gets other settings.
    Configure,
    /// It runs what would be shipped. A tag that can be written again is built again all the same: only the digest
    /// that comes out of it is proof.
    Nothing,
}

impl Outlook {
    #[must_use]
    pub fn of(plan: &Plan, spec: &Spec, observed: &Observed) -> Self {
        let services = plan.steps.iter().filter_map(|step| {
            let Action::Register(register) = &step.action else { return None };
            service(register, plan, spec, observed)
        });
        Self {
            services: services.collect(),
            warnings: preflight::warnings(plan, spec, observed),
            unread: observed.unread.iter().cloned().collect(),
        }
    }

    /// Whether a deploy would do anything that can be seen from outside.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.services.iter().any(|service| service.expected != Expected::Nothing)
    }
}

fn service(register: &RegisterAction, plan: &Plan, spec: &Spec, observed: &Observed) -> Option<ServiceOutlook> {
    let key = &register.service;
    let wanted = spec.services.get(key)?;
    let image = register.images.first()?;
    let live = match observed.services.get(key) {
        Some(ServiceObserved::Active(live)) => Some(&**live),
        Some(ServiceObserved::Missing | ServiceObserved::Inactive { .. }) | None => None,
    };
    let known = match &image.digest {
        Later::Known(digest) => Some(digest.clone()),
        Later::From(_) => match observed.repositories.get(&wanted.image) {
            Some(RepositoryObserved::Present { tagged, .. }) => tagged.clone(),
            Some(RepositoryObserved::Missing) | None => None,
        },
    };
    let image_path = format!("containerDefinitions[{}].image", image.container);
    let changes = match &register.compare_to {
        Some(live) => diff::differences(&live.definition, &register.base)
            .into_iter()
            .filter(|difference| difference.path != image_path)
            .collect(),
        None => Vec::new(),
    };
    let runs_it = live.zip(known.as_ref()).is_some_and(|(live, digest)| {
        image_of(&live.definition, &image.container).is_some_and(|image| image.ends_with(digest.as_str()))
    });
    // A revision that was deregistered cannot be updated to, not even if it is the same.
    let is_registered = live.is_some_and(|live| live.definition["status"].as_str() != Some("INACTIVE"));
    let update = plan.steps.iter().find_map(|step| {
        let Action::Update { service, running, percentages, .. } = &step.action else { return None };
        (service == key).then_some((running, *percentages))
    });
    let settings = update.map(|(running, wanted)| percentages(running, wanted)).unwrap_or_default();
    let expected = match update.map(|(running, _)| running.rollout) {
        None => Expected::Create,
        Some(rollout) if runs_it && changes.is_empty() && is_registered => match rollout {
            RolloutObserved::Complete if settings.is_empty() => Expected::Nothing,
            RolloutObserved::Complete => Expected::Configure,
            RolloutObserved::Going => Expected::PickUp,
            RolloutObserved::Failed => Expected::Retry,
        },
        Some(_) => Expected::Change,
    };
    Some(ServiceOutlook {
        service: key.clone(),
        cluster: wanted.cluster.clone(),
        name: wanted.service.clone(),
        runs: live.map(|live| Runs { task_definition: live.task_definition.clone(), desired: live.desired_count }),
        image: ImageOutlook {
            image: wanted.image.clone(),
            container: image.container.clone(),
            from: live.and_then(|live| version(live, &image.container)),
            to: image.tag.to_string(),
            digest: known,
        },
        changes,
        settings,
        drift: live.and_then(drift::drift),
        expected,
        drain_ms: drain_ms(plan, key),
    })
}

/// The percentages that change, in ECS's words.
pub(super) fn percentages(running: &Running, wanted: Percentages) -> Vec<Difference> {
    let Percentages { minimum_healthy, maximum } = running.unlike(wanted);
    let change = |name: &str, from: u32, to: Option<u32>| {
        let change = Change::Changed { from: from.to_string(), to: to?.to_string() };
        Some(Difference { path: format!("deploymentConfiguration.{name}"), change })
    };
    [
        change("minimumHealthyPercent", running.minimum_healthy_percent, minimum_healthy),
        change("maximumPercent", running.maximum_percent, maximum),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn drain_ms(plan: &Plan, key: &Key) -> u64 {
    let watch = plan.steps.iter().find_map(|step| {
        let Action::Watch { service, terms, .. } = &step.action else { return None };
        (service == key).then_some(terms.budget.drain_ms)
    });
    watch.unwrap_or_default()
}

fn image_of<'a>(definition: &'a Value, container: &str) -> Option<&'a str> {
    let containers = definition["containerDefinitions"].as_array()?;
    containers.iter().find(|found| found["name"].as_str() == Some(container))?["image"].as_str()
}

/// `4f2c1d`: the tag it was shipped under by us, the tag in its reference, or the head of its digest.
fn version(live: &ServiceActive, container: &str) -> Option<String> {
    let image = image_of(&live.definition, container)?;
    let shipped = live.tags.iter().find(|(key, _)| key == TAG_IMAGE).map(|(_, tag)| tag.clone());
    // A tag of ours on a revision that somebody else has given another image says nothing about it.
    let is_shipped = live.shipped == super::observed::Shipped::ThisRevision;
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    shipped
        .filter(|_| is_shipped)
        .or_else(|| last.split_once(':').map(|(_, tag)| tag.to_owned()))
        .or_else(|| digest.and_then(|digest| digest.parse::<Digest>().ok()).map(|digest| digest.short().to_owned()))
        .or_else(|| Some(last.to_owned()))
}

// ---- for tools --------------------------------------------------------------------------------

/// The plan as JSON.
#[must_use]
pub fn json(spec: &Spec, observed: &Observed, plan: &Result<Plan, Vec<Refusal>>) -> Value {
    let (outlook, steps, refusals) = match plan {
        Ok(plan) => (Some(Outlook::of(plan, spec, observed)), plan.steps.as_slice(), &[][..]),
        Err(refusals) => (None, &[][..], refusals.as_slice()),
    };
    let outcome = match &outlook {
        None => "refused",
        Some(outlook) if outlook.changes() => "changes",
        Some(_) => "nothing_to_do",
    };
    json!({
        "schema": SCHEMA,
        "outcome": outcome,
        "environment": spec.environment.name,
        "sandbox": spec.environment.place == Place::Sandbox,
        "account": observed.account,
        "region": observed.region,
        "services": outlook.iter().flat_map(|outlook| &outlook.services).map(service_json).collect::<Vec<_>>(),
        "steps": steps.iter().map(step_json).collect::<Vec<_>>(),
        "warnings": outlook.iter().flat_map(|outlook| &outlook.warnings).map(warning_json).collect::<Vec<_>>(),
        "unread": observed.unread.iter().map(unread_json).collect::<Vec<_>>(),
        "refusals": refusals.iter().map(refusal_json).collect::<Vec<_>>(),
    })
}

fn service_json(service: &ServiceOutlook) -> Value {
    let ServiceOutlook { service, cluster, name, runs, image, changes, settings, drift, expected, drain_ms } = service;
    let ImageOutlook { image, container, from, to, digest } = image;
    json!({
        "service": service.as_str(),
        "cluster": cluster.as_str(),
        "name": name.as_str(),
        "expected": match expected {
            Expected::Create => "create",
            Expected::Change => "change",
            Expected::PickUp => "pick_up",
            Expected::Retry => "retry",
            Expected::Configure => "configure",
            Expected::Nothing => "nothing",
        },
        "task_definition": runs.as_ref().map(|runs| runs.task_definition.as_str()),
        "desired_count": runs.as_ref().map(|runs| runs.desired),
        "image": {
            "image": image.as_str(), "container": container, "from": from, "to": to,
            "digest": digest.as_ref().map(Digest::as_str),
        },
        "changes": changes.iter().map(difference_json).collect::<Vec<_>>(),
        "settings": settings.iter().map(difference_json).collect::<Vec<_>>(),
        "drift": drift.as_ref().map(|drift| drift_json(drift, changes, container)),
        "drain_ms": drain_ms,
    })
}

/// One field that differs.
pub(crate) fn difference_json(difference: &Difference) -> Value {
    let Difference { path, change } = difference;
    match change {
        Change::Added(to) => json!({ "path": path, "change": "added", "to": to }),
        Change::Removed(from) => json!({ "path": path, "change": "removed", "from": from }),
        Change::Changed { from, to } => json!({ "path": path, "change": "changed", "from": from, "to": to }),
    }
}

fn drift_json(drift: &Drift, changes: &[Difference], container: &str) -> Value {
    let made = with_image(changes, container);
    let fields = drift.fates(&made).into_iter().map(|(field, fate)| {
        let mut field = difference_json(field);
        field["fate"] = json!(match fate {
            Fate::Kept => "kept",
            Fate::Overwritten(_) => "overwritten",
        });
        field
    });
    json!({ "shipped": drift.shipped.as_str(), "live": drift.live.as_str(), "fields": fields.collect::<Vec<_>>() })
}

/// What registering changes, with the image that it sets: what the fate of a field is judged by.
#[must_use]
pub fn with_image(changes: &[Difference], container: &str) -> Vec<Difference> {
    let image = Difference {
        path: format!("containerDefinitions[{container}].image"),
        // Which image is told elsewhere.
        change: Change::Removed(String::new()),
    };
    changes.iter().cloned().chain([image]).collect()
}

fn step_json(step: &Step) -> Value {
    let outline = step.outline();
    json!({
        "id": outline.id,
        "kind": outline.kind,
        "title": outline.title,
        "subject": step.action.subject().map(Key::as_str),
        "cause": outline.cause,
        "needs": outline.needs,
    })
}

fn warning_json(warning: &Warning) -> Value {
    json!({
        "code": warning.code(), "service": warning.service().as_str(), "message": warning.to_string(),
        "hint": warning.hint(),
    })
}

fn unread_json(unread: &Unread) -> Value {
    json!({ "action": unread.action(), "message": unread.to_string() })
}

fn refusal_json(refusal: &Refusal) -> Value {
    json!({ "code": refusal.code(), "message": refusal.to_string(), "hint": refusal.hint() })
}
