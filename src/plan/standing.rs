//! How a service stands: what it runs and since when, whether that is well, what goes on in it, and whether it is still
//! what was shipped.
//!
//! What was read comes in, facts come out; nothing is planned by them. A part that could not be read is a fact too:
//! "not known" is told, and never taken for "well".

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    diff::TAG_IMAGE,
    drift::{self, Drift},
    observed::{ServiceActive, ServiceObserved, Shipped},
    pick_up::{self, GoingOn},
};
use crate::{
    config::spec::Service,
    id::{Cluster, Key, ServiceName, TaskDefArn},
    rollout::{
        past::{Past, Stage},
        reason::{self, Class},
        view::{BreakerView, ServiceDeploymentView, TargetView, TaskView},
    },
};

mod json;

/// A part of what there is to know, or why it is not known.
pub type Told<T> = Result<T, Untold>;

/// Why a part is not known: `ecs:ListTasks is not allowed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold(pub String);

/// A task definition with its tags.
pub type Definition = (Value, Vec<(String, String)>);

/// One service as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// With what was shipped last.
    pub observed: ServiceObserved,
    /// Newest first.
    pub history: Told<Vec<Past>>,
    pub tasks: Told<Vec<TaskView>>,
    /// Those of all target groups.
    pub targets: Told<Vec<TargetView>>,
    pub urls: Told<Vec<String>>,
    /// While another revision is being rolled out: the one that ran before, with its tags.
    pub before: Option<Told<Definition>>,
    /// The deployment that is going on, where there is one.
    pub deployment: Option<Told<ServiceDeploymentView>>,
}

impl Looked {
    /// Of a service that is not there nothing else can be asked.
    #[must_use]
    pub const fn absent(observed: ServiceObserved) -> Self {
        Self {
            observed,
            history: Ok(Vec::new()),
            tasks: Ok(Vec::new()),
            targets: Ok(Vec::new()),
            urls: Ok(Vec::new()),
            before: None,
            deployment: None,
        }
    }
}

/// One service as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub service: Key,
    pub cluster: Cluster,
    pub name: ServiceName,
    pub stands: Stands,
    /// What is not known, and why.
    pub gaps: Vec<Gap>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Stands {
    Missing,
    /// `INACTIVE`, `DRAINING`.
    Gone {
        status: String,
    },
    Active(Box<Active>),
}

/// `target health is not known: elasticloadbalancing:DescribeTargetHealth is not allowed`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} not known: {why}")]
pub struct Gap {
    /// With its verb: `target health is`.
    pub what: &'static str,
    pub why: String,
}

/// The [`Gap::what`] of a service whose address is not known.
pub const WHERE: &str = "where it answers is";

#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    pub state: State,
    pub runs: Runs,
    pub desired: u32,
    /// Of whatever revision.
    pub running: u32,
    /// Running tasks whose containers' own health check says no.
    pub unhealthy_tasks: u32,
    /// In the order of the service; `None` where target health is not known.
    pub groups: Option<Vec<Group>>,
    pub rollout: Option<Rolling>,
    /// The deployment that ended last.
    pub last: Option<Past>,
    /// Tasks that ended for a reason of their own within the hour for which ECS remembers them, the commonest first.
    pub deaths: Vec<Deaths>,
    pub changed: Changed,
    pub urls: Vec<String>,
}

/// In one word or two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// All tasks that are wanted run, and nobody says that one is unwell.
    Healthy,
    /// All tasks run, and whether they are well is not known.
    Running,
    /// Fewer tasks than wanted.
    Short,
    /// A target or a container says that it is unwell.
    Unhealthy,
    /// Targets are not healthy yet.
    Registering,
    RollingOut,
    /// What was rolled out is live, and old tasks still drain.
    Draining,
    GoingBack,
    /// ECS gave up the last rollout and took nothing back.
    Failed,
    /// No task is wanted.
    Empty,
    /// Somebody else than ECS rolls it out: `CODE_DEPLOY`, `EXTERNAL`.
    OtherController(String),
}

/// A revision and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    pub revision: TaskDefArn,
    /// The one that is shipped.
    pub container: Option<String>,
    /// As the task definition has it.
    pub image: Option<String>,
    /// What people call it: the tag it was shipped under, else its name with its tag.
    pub version: Option<String>,
    /// The tag it was built under, else the one it is referred to by.
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
    pub commit: Option<String>,
    /// Who registered it.
    pub by: Option<String>,
    /// When the deployment that brought it ended, or began where its end is not known.
    pub since_ms: Option<u64>,
}

/// A target group by the states of its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub healthy: u32,
    /// All but those that drain.
    pub registered: u32,
    pub draining: u32,
    /// The others: state, reason and how many.
    pub others: Vec<(String, Option<String>, u32)>,
}

/// A rollout that is going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolling {
    pub revision: TaskDefArn,
    pub previous: Option<TaskDefArn>,
    pub stage: Stage,
    pub started_ms: Option<u64>,
    /// Tasks of the new revision.
    pub running: u32,
    pub desired: u32,
    /// Where the strategy has stages.
    pub lifecycle: Option<String>,
    /// Where there is one and it has counted any.
    pub breaker: Option<BreakerView>,
    /// Tasks of other revisions.
    pub old_running: u32,
}

/// Tasks that ended for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deaths {
    pub count: usize,
    pub why: String,
}

/// Whether the service is still what this program has shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    No,
    /// Somebody has registered the same once more.
    NotInContent {
        shipped: TaskDefArn,
    },
    Drifted(Drift),
    /// None of the last revisions is ours.
    NotShipped,
}

impl Standing {
    #[must_use]
    pub fn of(key: &Key, wanted: &Service, looked: &Looked) -> Self {
        let mut gaps = Vec::new();
        let stands = match &looked.observed {
            ServiceObserved::Missing => Stands::Missing,
            ServiceObserved::Inactive { status } => Stands::Gone { status: status.clone() },
            ServiceObserved::Active(live) => Stands::Active(Box::new(active(wanted, live, looked, &mut gaps))),
        };
        Self { service: key.clone(), cluster: wanted.cluster.clone(), name: wanted.service.clone(), stands, gaps }
    }
}

/// The part, or nothing and a word about it.
fn known<'a, T>(part: &'a Told<T>, what: &'static str, gaps: &mut Vec<Gap>) -> Option<&'a T> {
    part.as_ref().map_err(|Untold(why)| gaps.push(Gap { what, why: why.clone() })).ok()
}

fn active(wanted: &Service, live: &ServiceActive, looked: &Looked, gaps: &mut Vec<Gap>) -> Active {
    let history = known(&looked.history, "its history is", gaps);
    let tasks = known(&looked.tasks, "how well its tasks are is", gaps);
    let targets = known(&looked.targets, "target health is", gaps);
    let urls = known(&looked.urls, WHERE, gaps).cloned().unwrap_or_default();
    let deployment = looked.deployment.as_ref().and_then(|told| known(told, "how far the rollout has come is", gaps));
    let going = pick_up::going(live, history.map(Vec::as_slice));
    let rollout = going.map(|going| rolling(going, live, deployment));
    let groups: Option<Vec<Group>> = targets
        .map(|targets| live.target_groups.iter().map(|group| Group::of(&group.arn, group.name(), targets)).collect());
    let running = live.deployments.iter().map(|deployment| deployment.running).sum();
    let unhealthy_tasks = tasks.into_iter().flatten().filter(|task| is_unwell(task)).count();
    let mut active = Active {
        state: State::Healthy,
        runs: runs(wanted, live, rollout.as_ref(), history.map(Vec::as_slice), looked.before.as_ref(), gaps),
        desired: live.desired_count,
        running,
        unhealthy_tasks: u32::try_from(unhealthy_tasks).unwrap_or(u32::MAX),
        groups,
        rollout,
        last: history.and_then(|history| history.iter().find(|past| past.stage() == Stage::Ended)).cloned(),
        deaths: deaths(tasks.map(Vec::as_slice).unwrap_or_default()),
        changed: changed(live),
        urls,
    };
    active.state = state(&active, live, tasks.is_some());
    active
}

fn is_unwell(task: &TaskView) -> bool {
    task.last_status == "RUNNING" && task.desired_status == "RUNNING" && task.health.as_deref() == Some("UNHEALTHY")
}

fn state(active: &Active, live: &ServiceActive, tasks_are_known: bool) -> State {
    let Active {
        state: _,
        runs: _,
        desired,
        running,
        unhealthy_tasks,
        groups,
        rollout,
        last: _,
        deaths: _,
        changed: _,
        urls: _,
    } = active;
    if live.controller != "ECS" {
        return State::OtherController(live.controller.clone());
    }
    match rollout {
        Some(Rolling { stage: Stage::GoingBack, .. }) => return State::GoingBack,
        Some(Rolling { stage: Stage::Going, .. }) => return State::RollingOut,
        Some(Rolling { stage: Stage::Ended, .. }) => return State::Draining,
        None => {}
    }
    let primary = live.deployments.iter().find(|deployment| deployment.status == "PRIMARY");
    let groups = groups.as_deref();
    let any = |wanted: fn(&str) -> bool| {
        groups.unwrap_or_default().iter().flat_map(|group| &group.others).any(|(state, ..)| wanted(state))
    };
    if primary.and_then(|primary| primary.rollout_state.as_deref()) == Some("FAILED") {
        State::Failed
    } else if *desired == 0 && *running == 0 {
        State::Empty
    } else if *unhealthy_tasks > 0 || any(|state| state.starts_with("unhealthy")) {
        State::Unhealthy
    } else if running < desired {
        State::Short
    } else if any(|state| state == "initial") {
        State::Registering
    } else if groups.is_some() && tasks_are_known {
        State::Healthy
    } else {
        State::Running
    }
}

impl State {
    /// `None` while that is not known, or nobody can say.
    #[must_use]
    pub const fn is_healthy(&self) -> Option<bool> {
        match self {
            Self::Healthy => Some(true),
            Self::Short | Self::Unhealthy | Self::Failed => Some(false),
            Self::Running
            | Self::Registering
            | Self::RollingOut
            | Self::Draining
            | Self::GoingBack
            | Self::Empty
            | Self::OtherController(_) => None,
        }
    }

    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Healthy => "healthy",
            Self::Running => "running",
            Self::Short => "short of tasks",
            Self::Unhealthy => "unhealthy",
            Self::Registering => "registering",
            Self::RollingOut => "rolling out",
            Self::Draining => "draining",
            Self::GoingBack => "rolling back",
            Self::Failed => "last rollout failed",
            Self::Empty => "no task wanted",
            // As ECS spells it.
            Self::OtherController(controller) => controller,
        }
    }
}

impl Group {
    fn of(arn: &str, name: &str, targets: &[TargetView]) -> Self {
        let (mut healthy, mut registered, mut draining) = (0, 0, 0);
        let mut others: BTreeMap<(String, Option<String>), u32> = BTreeMap::new();
        for target in targets.iter().filter(|target| target.target_group == arn) {
            if target.state.ends_with("draining") {
                draining += 1;
                continue;
            }
            registered += 1;
            if target.state == "healthy" {
                healthy += 1;
            } else {
                *others.entry((target.state.clone(), target.reason.clone())).or_default() += 1;
            }
        }
        let others = others.into_iter().map(|((state, reason), count)| (state, reason, count)).collect();
        Self { name: name.to_owned(), healthy, registered, draining, others }
    }
}

fn rolling(going: GoingOn, live: &ServiceActive, deployment: Option<&ServiceDeploymentView>) -> Rolling {
    let GoingOn { started, began_ms, stage, service_deployment: _ } = going;
    let listed = live.deployments.iter().find(|deployment| deployment.id == started.deployment_id);
    let completed = listed.and_then(|listed| listed.rollout_state.as_deref()) == Some("COMPLETED");
    let others = live.deployments.iter().filter(|deployment| deployment.id != started.deployment_id);
    Rolling {
        revision: started.task_definition,
        previous: started.previous,
        // ECS has ended it, and tasks of what it replaced still run.
        stage: if stage == Stage::Going && completed { Stage::Ended } else { stage },
        started_ms: began_ms,
        running: listed.map(|listed| listed.running).unwrap_or_default(),
        desired: live.desired_count,
        // A rolling update has stages too, which say nothing that its tasks do not say.
        lifecycle: deployment
            .filter(|deployment| deployment.shift.is_some())
            .and_then(|deployment| deployment.stage.clone()),
        breaker: deployment.and_then(|deployment| deployment.breaker.clone()).filter(|breaker| breaker.failures > 0),
        old_running: others.map(|other| other.running).sum(),
    }
}

/// What serves: while a rollout is under way that is what ran before it.
fn runs(
    wanted: &Service,
    live: &ServiceActive,
    rollout: Option<&Rolling>,
    history: Option<&[Past]>,
    before: Option<&Told<Definition>>,
    gaps: &mut Vec<Gap>,
) -> Runs {
    let previous =
        rollout.filter(|rolling| rolling.stage != Stage::Ended).and_then(|rolling| rolling.previous.as_ref());
    if let Some(previous) = previous
        && *previous != live.task_definition
    {
        let nothing = (Value::Null, Vec::new());
        let (definition, tags) = match before {
            Some(told) => known(told, "what ran before the rollout is", gaps).unwrap_or(&nothing),
            None => &nothing,
        };
        let is_ours = drift::is_ours(definition, tags, &wanted.cluster, &wanted.service);
        let tag = if is_ours { shipped_tag(tags) } else { None };
        return of_revision(wanted, previous, definition, tag, history);
    }
    let same_image = |shipped: &Value| image(wanted, shipped) == image(wanted, &live.definition);
    let tag = match &live.shipped {
        Shipped::ThisRevision => shipped_tag(&live.tags),
        // A tag of ours on a revision that somebody has given another image says nothing about it.
        Shipped::Earlier { definition, .. } if same_image(definition) => shipped_tag(&live.tags),
        Shipped::Earlier { .. } | Shipped::NotFound => None,
    };
    let mut runs = of_revision(wanted, &live.task_definition, &live.definition, tag, history);
    let primary = live.deployments.iter().find(|deployment| deployment.status == "PRIMARY");
    runs.since_ms = runs.since_ms.or_else(|| primary?.created_ms);
    runs
}

fn of_revision(
    wanted: &Service,
    revision: &TaskDefArn,
    definition: &Value,
    shipped_tag: Option<String>,
    history: Option<&[Past]>,
) -> Runs {
    let image = image(wanted, definition);
    let (name, pinned) = match image.and_then(|image| image.split_once('@')) {
        Some((name, digest)) => (Some(name), Some(digest.to_owned())),
        None => (image, None),
    };
    let referred = name.and_then(|name| name.rsplit('/').next()?.split_once(':')).map(|(_, tag)| tag.to_owned());
    let last = || name.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned());
    let version = shipped_tag.clone().or_else(last);
    let tag = shipped_tag.or(referred);
    let brought = brought(history.unwrap_or_default(), revision);
    let resolved = || {
        let images = &brought?.target.as_ref()?.images;
        let container = container(wanted, definition)?;
        images.iter().find(|image| image.container == container)?.digest.clone()
    };
    Runs {
        revision: revision.clone(),
        digest: pinned.or_else(resolved),
        version,
        commit: tag.as_deref().and_then(commit).map(str::to_owned),
        tag,
        container: container(wanted, definition).map(str::to_owned),
        image: image.map(str::to_owned),
        by: definition.get("registeredBy").and_then(Value::as_str).map(who),
        since_ms: brought.and_then(|past| past.finished_ms.or(past.created_ms)),
    }
}

/// The deployment that brought a revision: the same started anew later, or one that was taken back, changed nothing.
fn brought<'a>(history: &'a [Past], revision: &TaskDefArn) -> Option<&'a Past> {
    let is_it =
        |past: &&Past| past.target.as_ref().and_then(|target| target.task_definition.as_ref()) == Some(revision);
    history.iter().filter(|past| past.succeeded()).skip_while(|past| !is_it(past)).take_while(is_it).last()
}

fn shipped_tag(tags: &[(String, String)]) -> Option<String> {
    tags.iter().find(|(key, _)| key == TAG_IMAGE).map(|(_, value)| value.clone())
}

/// The container that is shipped: the one that `ship.toml` names, else the first essential one.
#[must_use]
pub fn container<'a>(wanted: &'a Service, definition: &'a Value) -> Option<&'a str> {
    if let Some(named) = &wanted.container {
        return Some(named);
    }
    first_essential(definition)?.get("name")?.as_str()
}

fn image<'a>(wanted: &Service, definition: &'a Value) -> Option<&'a str> {
    let found = match &wanted.container {
        Some(named) => definition
            .get("containerDefinitions")?
            .as_array()?
            .iter()
            .find(|container| container.get("name").and_then(Value::as_str) == Some(named)),
        None => first_essential(definition),
    };
    found?.get("image")?.as_str()
}

/// A container is essential unless it is said not to be.
#[must_use]
pub fn first_essential(definition: &Value) -> Option<&Value> {
    let containers = definition.get("containerDefinitions")?.as_array()?;
    containers.iter().find(|container| container.get("essential").and_then(Value::as_bool) != Some(false))
}

fn deaths(tasks: &[TaskView]) -> Vec<Deaths> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for task in tasks.iter().filter(|task| task.last_status == "STOPPED") {
        let found = reason::reason(task);
        if found.class != Class::Noise {
            *counts.entry(found.words).or_default() += 1;
        }
    }
    let mut deaths: Vec<_> = counts.into_iter().map(|(why, count)| Deaths { count, why }).collect();
    deaths.sort_by_key(|deaths| std::cmp::Reverse(deaths.count));
    deaths
}

fn changed(live: &ServiceActive) -> Changed {
    match (&live.shipped, drift::drift(live)) {
        (_, Some(drift)) => Changed::Drifted(drift),
        (Shipped::ThisRevision, None) => Changed::No,
        (Shipped::Earlier { arn, .. }, None) => Changed::NotInContent { shipped: arn.clone() },
        (Shipped::NotFound, None) => Changed::NotShipped,
    }
}

/// `deploy/jane` of `arn:aws:sts::111111111111:assumed-role/deploy/jane`, `jane` of a user.
#[must_use]
pub fn who(arn: &str) -> String {
    let name = arn.rsplit(':').next().unwrap_or(arn);
    ["assumed-role/", "user/", "role/"].iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(name).to_owned()
}

/// The commit in an image tag as `${build}` makes them: its last part of 7 to 64 hexadecimal digits. A short one of
/// nothing but decimals is a date or a build number.
#[must_use]
pub fn commit(tag: &str) -> Option<&str> {
    let is_commit = |part: &&str| {
        (7..=64).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
            && (part.len() >= 12 || part.bytes().any(|byte| byte.is_ascii_lowercase()))
    };
    tag.rsplit(['-', '_', '.']).find(is_commit)
}

#[cfg(test)]
mod tests {
    use super::{brought, commit, who};
    use crate::{
        plan::testing::arn,
        rollout::past::{Past, RevisionOfService},
    };

    #[test]
    fn a_commit_is_the_last_part_of_a_tag_that_looks_like_one() {
        assert_eq!(commit("v2-e693f2d3f768"), Some("e693f2d3f768"));
        assert_eq!(commit("4f2c1d9"), Some("4f2c1d9"));
        assert_eq!(commit("e693f2d3f768-dirty-20260101t000000z"), Some("e693f2d3f768"));
        for tag in ["v1.2.3", "latest", "build-123456", "20260101", "DEADBEEF"] {
            assert_eq!(commit(tag), None, "{tag}");
        }
    }

    #[test]
    fn who_registered_it_is_a_name() {
        assert_eq!(who("arn:aws:sts::111111111111:assumed-role/deploy/jane"), "deploy/jane");
        assert_eq!(who("arn:aws:iam::111111111111:user/jane"), "jane");
        assert_eq!(who("arn:aws:iam::111111111111:root"), "root");
    }

    #[test]
    fn a_revision_runs_since_it_was_brought_and_not_since_it_was_started_anew() {
        let past = |status: &str, short: &str, at: u64| Past {
            status: status.to_owned(),
            finished_ms: Some(at),
            target: Some(RevisionOfService { task_definition: Some(arn(short)), ..RevisionOfService::default() }),
            ..Past::default()
        };
        let history = [
            past("ROLLBACK_SUCCESSFUL", "web:3", 50),
            past("SUCCESSFUL", "web:2", 40),
            past("STOPPED", "web:9", 35),
            past("SUCCESSFUL", "web:2", 30),
            past("SUCCESSFUL", "web:1", 20),
            past("SUCCESSFUL", "web:2", 10),
        ];
        let since = |short: &str| brought(&history, &arn(short)).and_then(|past| past.finished_ms);
        assert_eq!(since("web:2"), Some(30));
        assert_eq!(since("web:1"), Some(20));
        assert_eq!(since("web:3"), None);
    }
}
