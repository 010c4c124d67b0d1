//! A plan: ordered steps, each one outside call (or one watch) with a cause a person can read.
//!
//! Values that exist only later (a digest after the push, an ARN after registering) are [`Later`].
//! Only data may be late, never a choice: what the data decides is said by `plan::settle`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use serde_json::Value;

use super::observed::LaunchObserved;
use crate::{
    config::spec::{BuildSecret, BuildSsh, Builder, SandboxService},
    event::{StepKind, StepOutline},
    id::{Cluster, Key, ServiceName, StepId, TaskDefArn},
    image::{Digest, ImageName, Reference, Tag},
    secret,
};

/// Said once, in `rollout`, which never sees a plan; planned steps carry them.
pub use crate::rollout::goal::{DoneWhen, OnFailure, OnInterrupt, Started, Terms, WatchBudget};

pub use crate::config::spec::{Percentages, Release};

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub release: Release,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: StepId,
    pub action: Action,
    /// Why the step is there: `new image`, `repository jobs/api does not exist`.
    pub cause: String,
    pub needs: Vec<StepId>,
}

fn quicker(ms: u64, speed: f64) -> u64 {
    let quicker = std::time::Duration::from_millis(ms).div_f64(speed.max(1.0));
    u64::try_from(quicker.as_millis()).unwrap_or(u64::MAX)
}

/// A value that is known now, or comes out of an earlier step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Later<T> {
    Known(T),
    From(StepId),
}

impl Plan {
    /// The plan as the faces know it.
    #[must_use]
    pub fn outline(&self) -> Vec<StepOutline> {
        self.steps.iter().map(Step::outline).collect()
    }

    /// The same where ECS's own waits pass `speed` times faster, as in a sandbox: the time that is said to be left is
    /// time on the clock of whoever looks.
    #[must_use]
    pub fn at_speed(mut self, speed: f64) -> Self {
        for step in &mut self.steps {
            if let Action::Watch { terms, .. } = &mut step.action {
                terms.budget.deregistration_delay_ms = quicker(terms.budget.deregistration_delay_ms, speed);
                terms.expected_ms = terms.expected_ms.map(|ms| quicker(ms, speed));
            }
        }
        self
    }

    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Whether skipping `skipped` left the world as it was. Logging in, building and pushing what is
    /// there already change nothing that runs.
    #[must_use]
    pub fn nothing_to_do(&self, skipped: &BTreeSet<StepId>) -> bool {
        self.steps.iter().all(|step| match step.action.kind() {
            StepKind::Login | StepKind::Build | StepKind::Check | StepKind::Push | StepKind::Copy => true,
            StepKind::SetUp
            | StepKind::Register
            | StepKind::Before
            | StepKind::Update
            | StepKind::Watch
            | StepKind::Unknown => skipped.contains(&step.id),
        })
    }
}

impl Step {
    /// The step as the faces know it.
    #[must_use]
    pub fn outline(&self) -> StepOutline {
        StepOutline {
            id: self.id,
            kind: self.action.kind(),
            title: self.action.title(),
            cause: self.cause.clone(),
            needs: self.needs.clone(),
        }
    }
}

/// One step a line; nothing after the last.
impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{step}")?;
        }
        Ok(())
    }
}

/// `#4 register web  ← new image  (after #3)`.
impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}  ← {}", self.id, self.action.title(), self.cause)?;
        for (index, need) in self.needs.iter().enumerate() {
            write!(formatter, "{}{need}", if index == 0 { "  (after " } else { ", " })?;
        }
        if self.needs.is_empty() { Ok(()) } else { formatter.write_str(")") }
    }
}

/// A target group that a service is created behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Behind {
    pub target_group: Later<String>,
    pub container: String,
    pub container_port: u16,
    /// So that the target group is attached before ECS registers targets in it.
    pub listener: StepId,
}

/// The same once the target group is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BehindGroup {
    pub target_group: String,
    pub container: String,
    pub container_port: u16,
}

/// One outside call.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// ECS `CreateCluster`; sandbox only.
    CreateCluster { cluster: Cluster },
    /// ECR `CreateRepository`.
    CreateRepository { repository: String },
    /// ELB `CreateTargetGroup` with its attributes; sandbox only.
    CreateTargetGroup { service: Key, name: String, settings: Box<SandboxService> },
    /// ELB `CreateLoadBalancer`; sandbox only.
    CreateLoadBalancer { service: Key, name: String },
    /// ELB `CreateListener` from the one to the other; sandbox only.
    CreateListener { service: Key, load_balancer: Later<String>, target_group: Later<String>, port: Option<u16> },
    /// ECR `GetAuthorizationToken`.
    Login { registry: String },
    /// The engine builds and tags.
    Build(Box<BuildAction>),
    /// The engine builds a stage, or runs a command in what was built: it must succeed before anything is pushed.
    Check(Box<CheckAction>),
    /// The engine pushes; yields the digest.
    Push { image: Key, reference: Reference, login: StepId },
    /// The engine pushes the same image under one more tag.
    PushTag { image: Key, reference: Reference, login: StepId },
    /// ECR's own calls bring an image from the repository of another environment, byte by byte; yields its digest.
    Copy(Box<CopyAction>),
    /// ECS `RegisterTaskDefinition`, unless the result would equal what `compare_to` runs.
    Register(Box<RegisterAction>),
    /// ECS `CreateService`; sandbox only.
    CreateService {
        service: Key,
        cluster: Cluster,
        name: ServiceName,
        task_definition: Later<TaskDefArn>,
        /// In the order in which ECS is to list them; the first is the one that matters where only one can.
        target_groups: Vec<Behind>,
        settings: Box<SandboxService>,
        percentages: Percentages,
    },
    /// ECS `RunTask` of the new revision, followed to its end, which must be a good one.
    Before {
        service: Key,
        task_definition: Later<TaskDefArn>,
        one_off: OneOff,
        timeout_ms: u64,
        /// What runs already needs nothing before it.
        running: Option<TaskDefArn>,
    },
    /// ECS `UpdateService` to the new revision, with the percentages that ship.toml says. Where the revision runs already,
    /// only percentages that differ are sent, which starts no rollout.
    Update {
        service: Key,
        cluster: Cluster,
        name: ServiceName,
        task_definition: Later<TaskDefArn>,
        running: Running,
        percentages: Percentages,
    },
    /// ECS `StopServiceDeployment` with `ROLLBACK`: ECS takes a rollout that is going on back by itself.
    StopDeployment { service: Key, going: Going },
    /// Watches the rollout that `deployment` is, or the step that started it, until its terms are met.
    Watch {
        service: Key,
        cluster: Cluster,
        name: ServiceName,
        deployment: Later<Started>,
        terms: Terms,
        toward: Toward,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildAction {
    pub image: Key,
    pub context: PathBuf,
    pub dockerfile: PathBuf,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    /// Where its secrets come from, by their ids; never a value.
    pub secrets: BTreeMap<String, BuildSecret>,
    pub ssh: Vec<BuildSsh>,
    /// Images to take cache from, with their registry.
    pub cache_from: Vec<Reference>,
    /// Where to leave its cache. What is only built to see whether that can be done leaves none.
    pub cache_to: Vec<CacheExport>,
    pub platform: Option<String>,
    /// Full names to give the result; without one, it is built to see whether that can be done.
    pub tags: Vec<Reference>,
    pub builder: Builder,
}

impl BuildAction {
    /// Where cache is to go beside the image, which no builder of the engine does.
    pub fn cache_images(&self) -> impl Iterator<Item = &Reference> {
        self.cache_to.iter().filter_map(|to| match to {
            CacheExport::Registry { image, options: _ } => Some(image),
            CacheExport::Inline => None,
        })
    }
}

/// A place for the cache of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheExport {
    /// The image itself.
    Inline,
    Registry {
        image: Reference,
        /// What buildx takes behind `ref=`.
        options: Vec<(String, String)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckAction {
    pub image: Key,
    pub call: CheckCall,
    /// Give up after this long.
    pub timeout_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckCall {
    /// The engine builds this stage.
    Stage { stage: String, build: Box<BuildAction> },
    /// The engine runs a command in what the build gave: under its tag there may be another image by then.
    Run { built: Later<Digest>, run: CheckRun },
}

/// A command that must end with 0 in a container of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// In place of the image's `ENTRYPOINT` and `CMD`; never empty.
    pub command: Vec<String>,
    /// Where the image is not for the engine's own platform.
    pub platform: Option<String>,
    /// What the task definition gives the container, MiB.
    pub memory_mib: Option<u64>,
}

impl CheckRun {
    /// The words with a blank between them, without secrets.
    #[must_use]
    pub fn line(&self) -> String {
        secret::shown_command(&self.command)
    }

    /// The same for where it is said in passing: a script in one word may be pages long.
    #[must_use]
    pub fn brief(&self) -> String {
        const MOST: usize = 60;
        let line = self.line();
        match line.char_indices().nth(MOST) {
            Some((end, _)) => format!("{}…", line[..end].trim_end()),
            None => line,
        }
    }
}

impl CheckCall {
    /// What tells it from the other checks of its image, in a word: `test`, `selftest`.
    fn word(&self) -> &str {
        match self {
            Self::Stage { stage, .. } => stage,
            Self::Run { run, .. } => {
                let program = run.command.first().map_or("", String::as_str);
                program.rsplit('/').next().unwrap_or(program)
            }
        }
    }
}

/// An image that goes from one repository to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyAction {
    pub image: Key,
    pub from: ImageName,
    pub digest: Digest,
    pub to: ImageName,
    /// What it is called there.
    pub tag: Tag,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RegisterAction {
    pub service: Key,
    /// What is sent, but for the images: already without the fields that only AWS sets.
    pub base: Value,
    pub tags: Vec<(String, String)>,
    /// Which containers get which image.
    pub images: Vec<ImagePatch>,
    /// The live definition and its ARN, when a service runs.
    pub compare_to: Option<LiveDefinition>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LiveDefinition {
    pub arn: TaskDefArn,
    pub definition: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePatch {
    pub container: String,
    pub name: ImageName,
    pub tag: Tag,
    pub digest: Later<Digest>,
}

/// What the service runs at planning time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub task_definition: TaskDefArn,
    /// Whether its last rollout is complete: only then is "the same again" nothing to do.
    pub rollout: RolloutObserved,
    /// The id of the PRIMARY deployment, to pick up a rollout that is still going.
    pub deployment: Option<String>,
    /// What the rollout that is still going replaces.
    pub previous: Option<TaskDefArn>,
    pub desired: u32,
    pub minimum_healthy_percent: u32,
    pub maximum_percent: u32,
}

impl Running {
    /// Of the percentages that are wanted, those that the service does not have.
    #[must_use]
    pub fn unlike(&self, wanted: Percentages) -> Percentages {
        let Percentages { minimum_healthy, maximum } = wanted;
        Percentages {
            minimum_healthy: minimum_healthy.filter(|percent| *percent != self.minimum_healthy_percent),
            maximum: maximum.filter(|percent| *percent != self.maximum_percent),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutObserved {
    Complete,
    Going,
    Failed,
}

/// A task that runs once: where, in which container, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOff {
    pub cluster: Cluster,
    pub container: String,
    pub command: Vec<String>,
    pub launch: LaunchObserved,
}

/// A rollout that is going on, with the service deployment that can be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Going {
    pub started: Started,
    /// Its ARN.
    pub service_deployment: String,
}

/// Which end of a rollout is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// The new revision serves.
    New,
    /// What served before serves again: ECS has been asked to take the rollout back.
    Before,
}

/// What a finished step gave to those after it.
#[derive(Debug, Clone, PartialEq)]
pub enum Produced {
    Nothing,
    /// An ARN of ELB or ECS.
    Arn(String),
    /// The image as the engine knows it, by its id.
    Image(Digest),
    /// The image as the registry knows it.
    Digest(Digest),
    TaskDefinition(TaskDefArn),
    /// A rollout that was started, or that is going already.
    Deployment(Started),
}

impl Action {
    /// The key of the image or service this step is about, if it is about one.
    #[must_use]
    pub fn subject(&self) -> Option<&Key> {
        match self {
            Self::CreateCluster { .. } | Self::CreateRepository { .. } | Self::Login { .. } => None,
            Self::Build(build) => Some(&build.image),
            Self::Check(check) => Some(&check.image),
            Self::Push { image, .. } | Self::PushTag { image, .. } => Some(image),
            Self::Copy(copy) => Some(&copy.image),
            Self::Register(register) => Some(&register.service),
            Self::Before { service, .. }
            | Self::CreateTargetGroup { service, .. }
            | Self::CreateLoadBalancer { service, .. }
            | Self::CreateListener { service, .. }
            | Self::CreateService { service, .. }
            | Self::Update { service, .. }
            | Self::StopDeployment { service, .. }
            | Self::Watch { service, .. } => Some(service),
        }
    }

    /// What the step does, in two or three words: `build api`, `roll out api`.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::CreateCluster { cluster } => format!("create cluster {cluster}"),
            Self::CreateRepository { repository } => format!("create repository {repository}"),
            Self::CreateTargetGroup { name, .. } => format!("create target group {name}"),
            Self::CreateLoadBalancer { name, .. } => format!("create load balancer {name}"),
            Self::CreateListener { service, .. } => format!("create listener of {service}"),
            Self::Login { registry } => format!("log in to {registry}"),
            Self::Build(build) => format!("build {}", build.image),
            Self::Check(check) => format!("check {}: {}", check.image, check.call.word()),
            Self::Push { image, .. } => format!("push {image}"),
            Self::PushTag { image, reference, .. } => {
                format!("push {image} as {}", reference.tag.as_ref().map_or("latest", |tag| tag.as_str()))
            }
            Self::Copy(copy) => format!("copy {}", copy.image),
            Self::Register(register) => format!("register {}", register.service),
            Self::Before { service, .. } => format!("run before {service}"),
            Self::CreateService { service, .. } => format!("create service {service}"),
            Self::Update { service, .. } => format!("update {service}"),
            Self::StopDeployment { service, .. } => format!("stop the rollout of {service}"),
            Self::Watch { service, toward: Toward::New, .. } => format!("roll out {service}"),
            Self::Watch { service, toward: Toward::Before, .. } => format!("roll {service} back"),
        }
    }

    /// The kind of step the faces know.
    #[must_use]
    pub const fn kind(&self) -> StepKind {
        match self {
            Self::CreateCluster { .. }
            | Self::CreateRepository { .. }
            | Self::CreateTargetGroup { .. }
            | Self::CreateLoadBalancer { .. }
            | Self::CreateListener { .. } => StepKind::SetUp,
            Self::Login { .. } => StepKind::Login,
            Self::Build(_) => StepKind::Build,
            Self::Check(_) => StepKind::Check,
            Self::Push { .. } | Self::PushTag { .. } => StepKind::Push,
            Self::Copy(_) => StepKind::Copy,
            Self::Register(_) => StepKind::Register,
            Self::Before { .. } => StepKind::Before,
            // The first rollout of a service; it ends in a watch as every other does.
            Self::CreateService { .. } | Self::Update { .. } | Self::StopDeployment { .. } => StepKind::Update,
            Self::Watch { .. } => StepKind::Watch,
        }
    }
}
