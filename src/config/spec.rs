//! A deploy that can be planned: everything a run needs to know from the user, with no impossible
//! state and nothing optional that is not optional in life.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::{
    id::{Cluster, Key, ServiceName},
    image::{Reference, Tag},
};

/// What `ship.toml`, flags and environment variables mean together, for one environment and the
/// selected services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The folder of `ship.toml`; all paths below are already joined to it.
    pub root: PathBuf,
    pub environment: Environment,
    /// What is built: only the images that a selected service uses, and none of them where images are promoted.
    pub images: BTreeMap<Key, Image>,
    pub services: BTreeMap<Key, Service>,
    pub release: Release,
    /// `None` where images are built.
    pub promotion: Option<Promotion>,
}

/// Where the images of an environment come from that builds none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// `staging`: the name of the environment whose images are taken.
    pub from: String,
    /// Where that is, and as whom it is read.
    pub environment: Environment,
    /// What runs the images there, by the keys of the selected services.
    pub sources: BTreeMap<Key, PromotionSource>,
    /// Where the images go, by their keys.
    pub destinations: BTreeMap<Key, Destination>,
}

/// The service of another environment that has the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotionSource {
    pub cluster: Cluster,
    pub service: ServiceName,
    /// The container whose image is taken; `None`: the only essential one.
    pub container: Option<String>,
}

/// The repository that a promoted image is copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The ECR repository's name, without a registry host.
    pub repository: String,
    pub missing_repository: MissingRepository,
}

/// What the failure of one rollout means for the others of the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// Nothing: every service is on its own.
    #[default]
    Independent,
    /// All of them are taken back.
    AllOrNothing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `None` when the file has no environments and none was named.
    pub name: Option<String>,
    pub place: Place,
    /// From the flag, the environment or the table; else the SDK looks in the profile.
    pub region: Option<String>,
    pub profile: Option<String>,
    /// The ARN of the role to act as, assumed with the credentials found otherwise.
    pub role_arn: Option<String>,
    /// The only account this environment may touch.
    pub account: Option<String>,
    pub confirm: Confirm,
}

/// Whether `deploy` shows the plan and asks before it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confirm {
    #[default]
    Never,
    /// Unless `--yes` is given.
    Ask,
}

/// Where the deploy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Aws,
    /// The embedded stand-in on this machine.
    Sandbox,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The ECR repository's name, without a registry host: `jobs/api`.
    pub repository: String,
    pub missing_repository: MissingRepository,
    pub context: PathBuf,
    pub dockerfile: PathBuf,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    /// For `RUN --mount=type=secret,id=…`, by id.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// For `RUN --mount=type=ssh`.
    pub ssh: Vec<BuildSsh>,
    pub cache_from: Vec<CacheImage>,
    pub cache_to: Vec<CacheTo>,
    /// `linux/arm64`; `None` builds for the engine's own platform.
    pub platform: Option<String>,
    /// Unique to this build; the pushed image keeps it.
    pub tag: Tag,
    /// More tags for the same image; they may move from build to build.
    pub further_tags: Vec<Tag>,
    pub builder: Builder,
    /// All must succeed before anything is pushed.
    pub checks: Vec<Check>,
}

impl Image {
    /// Whether it is built by buildx: by name, or because no other builder writes what `cache_to` asks for.
    #[must_use]
    pub fn wants_buildx(&self) -> bool {
        let goes_out = || self.cache_to.iter().any(|to| matches!(to, CacheTo::Registry { .. }));
        self.builder == Builder::Buildx || (self.builder == Builder::Auto && goes_out())
    }
}

/// Where the build gets a secret from. Its value is read when it is sent, and not before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildSecret {
    /// The name of an environment variable.
    Variable(String),
    File(PathBuf),
}

/// An SSH agent that the build may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSsh {
    /// `default`, unless a mount names another.
    pub id: String,
    /// The socket of an agent; `None`: the agent of `SSH_AUTH_SOCK`.
    pub path: Option<PathBuf>,
}

/// Where a build leaves its cache for later ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTo {
    /// In the image itself, for who names it in `cache_from`; of its last stage only.
    Inline,
    /// Beside the image, in a registry.
    Registry {
        image: CacheImage,
        /// What buildx takes behind `ref=`, in order: `mode=max`.
        options: Vec<(String, String)>,
    },
}

/// An image that holds build cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheImage {
    /// In the registry of the environment.
    Ecr { repository: String, tag: Tag },
    /// With its registry, as `docker build --cache-from` takes it.
    Elsewhere(Reference),
}

/// Something that must succeed before an image is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub work: CheckWork,
    /// Give up after this long.
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckWork {
    /// Builds this stage.
    Stage(String),
    /// Runs this in the built image; it must end with 0.
    Run(Vec<String>),
}

/// What to do when the ECR repository is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingRepository {
    Refuse,
    Create,
}

/// Which builder the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    Auto,
    /// The engine's own BuildKit.
    Engine,
    /// The builder that `docker buildx` uses.
    Buildx,
    /// The engine's builder of before BuildKit.
    Classic,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub image: Key,
    /// The container that gets the image; `None`: the only essential one.
    pub container: Option<String>,
    pub cluster: Cluster,
    pub service: ServiceName,
    pub task_definition: TaskDefinitionSource,
    /// What is different from that task definition.
    pub overlays: Overlays,
    /// What must succeed before it is rolled out.
    pub before: Option<Before>,
    pub rollout: Rollout,
    /// How the sandbox makes this service when it is not there yet.
    pub sandbox: SandboxService,
}

/// A task of the new revision that runs before it is rolled out: a migration, as a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Never empty.
    pub command: Vec<String>,
    pub timeout: Duration,
    /// `None`: the container that gets the image.
    pub container: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskDefinitionSource {
    /// Clone what the service runs now.
    Live,
    /// A JSON file, as `aws ecs register-task-definition --cli-input-json` takes it.
    File(PathBuf),
}

/// What `ship.toml` lays over a task definition, in ECS's own words. What is not named here stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlays {
    /// CPU units of the task, as a number in a text.
    pub cpu: Option<String>,
    /// MiB of the task, as a number in a text.
    pub memory: Option<String>,
    /// For the container that gets the image: the lines of `environment_files`, in order, and then `environment`.
    pub environment: BTreeMap<String, String>,
    /// For the same container: the `valueFrom` of each secret, by the name of its variable.
    pub secrets: BTreeMap<String, String>,
}

/// How a rollout goes and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// Give up when nothing has moved for this long.
    pub no_progress: Duration,
    /// Give up after this long, whatever moves; draining has a budget of its own.
    pub total: Duration,
    pub done_when: DoneWhen,
    pub on_failure: OnFailure,
    pub on_interrupt: OnInterrupt,
    pub percentages: Percentages,
}

/// What ends the command when all goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DoneWhen {
    /// The new tasks serve; old ones may still drain.
    Live,
    /// The old tasks are gone too.
    #[default]
    Drained,
    /// ECS has also said that the service has reached a steady state.
    Steady,
}

/// What becomes of a rollout when the command is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInterrupt {
    /// ECS goes on with it.
    #[default]
    Leave,
    /// ECS is asked once to take it back.
    Rollback,
}

/// `deploymentConfiguration` of the service; what is not set stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentages {
    pub minimum_healthy: Option<u32>,
    pub maximum: Option<u32>,
}

/// In ECS's own names; empty where nothing is set.
impl fmt::Display for Percentages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minimum_healthy, maximum } = self;
        let named = [("minimumHealthyPercent", minimum_healthy), ("maximumPercent", maximum)];
        let set = named.into_iter().filter_map(|(name, percent)| Some(format!("{name} {}", (*percent)?)));
        formatter.write_str(&set.collect::<Vec<_>>().join(", "))
    }
}

/// What to do as soon as it is clear that a rollout will not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Ask ECS to take it back, minutes before its circuit breaker would.
    #[default]
    Rollback,
    /// Report it and end; ECS goes on trying.
    Leave,
    /// Watch on: ECS and its circuit breaker decide.
    Wait,
}

impl Default for Rollout {
    fn default() -> Self {
        // A missing image reaches the third failed start, and with it the circuit breaker, after 8 to
        // 12 minutes: a shorter total would end before ECS has spoken.
        Self {
            no_progress: Duration::from_mins(5),
            total: Duration::from_mins(30),
            done_when: DoneWhen::Drained,
            on_failure: OnFailure::Rollback,
            on_interrupt: OnInterrupt::Leave,
            percentages: Percentages::default(),
        }
    }
}

/// The service as the sandbox creates it; on AWS none of this is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxService {
    pub desired_count: u32,
    pub container_port: u16,
    /// The port the balancer listens on; `None`: the sandbox picks a free one.
    pub listener_port: Option<u16>,
    pub health_check_path: String,
    pub health_check_interval: Duration,
    pub deregistration_delay: Duration,
    pub stop_timeout: Duration,
    pub cpu: String,
    pub memory: String,
    pub environment: BTreeMap<String, String>,
    pub shape: Shape,
}

/// How AWS would be set up beyond what most files say: what a rehearsal takes over from the live service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// `None`: as follows from the health check.
    pub grace_period: Option<Duration>,
    pub health_check_timeout: Option<Duration>,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    /// The statuses that pass a health check, `200-299`.
    pub matcher: String,
    /// The target groups behind which the service stands beside its first.
    pub further_groups: Vec<FurtherGroup>,
}

/// One more target group of a service, on a port of its own and with a health check of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherGroup {
    pub name: String,
    pub container: String,
    pub container_port: u16,
    pub health_check_path: String,
    pub health_check_interval: Duration,
    pub health_check_timeout: Duration,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    pub matcher: String,
    pub deregistration_delay: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            grace_period: None,
            health_check_timeout: None,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: "200".to_owned(),
            further_groups: Vec::new(),
        }
    }
}

impl SandboxService {
    /// `healthCheckGracePeriodSeconds`. Six probes where nobody says it: a process that needs a few seconds to listen
    /// is not replaced for it, one that never listens still meets the circuit breaker soon.
    #[must_use]
    pub fn grace_period(&self) -> Duration {
        self.shape.grace_period.unwrap_or_else(|| self.health_check_interval.saturating_mul(6))
    }

    /// The same service as one of its further target groups sees it.
    #[must_use]
    pub fn behind(&self, group: &FurtherGroup) -> Self {
        Self {
            container_port: group.container_port,
            listener_port: None,
            health_check_path: group.health_check_path.clone(),
            health_check_interval: group.health_check_interval,
            deregistration_delay: group.deregistration_delay,
            shape: Shape {
                health_check_timeout: Some(group.health_check_timeout),
                healthy_threshold: group.healthy_threshold,
                unhealthy_threshold: group.unhealthy_threshold,
                matcher: group.matcher.clone(),
                further_groups: Vec::new(),
                ..self.shape.clone()
            },
            ..self.clone()
        }
    }

    /// ELB wants it below the interval, and 5 s is its default.
    #[must_use]
    pub fn health_check_timeout(&self) -> Duration {
        let usual = self.health_check_interval.as_secs().saturating_sub(1).clamp(1, 5);
        self.shape.health_check_timeout.unwrap_or(Duration::from_secs(usual))
    }
}

impl Default for SandboxService {
    fn default() -> Self {
        Self {
            desired_count: 2,
            container_port: 8080,
            listener_port: None,
            health_check_path: "/health".to_owned(),
            health_check_interval: Duration::from_secs(5),
            deregistration_delay: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(10),
            cpu: "256".to_owned(),
            memory: "512".to_owned(),
            environment: BTreeMap::new(),
            shape: Shape::default(),
        }
    }
}

/// What git knows of the sources, as read once before the file is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitFacts {
    /// 40 hexadecimal digits (64 in a SHA-256 repository).
    pub commit: String,
    /// The first 12 of them.
    pub short: String,
    /// `None` when HEAD is detached, as it is in most CI checkouts.
    pub branch: Option<String>,
    /// A tag that points at the commit.
    pub tag: Option<String>,
    pub work_tree: WorkTree,
}

/// Whether the build context can be told from the commit. Untracked files count unless git ignores
/// them: they go into the build context like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkTree {
    Clean,
    Dirty,
}

/// Why there are no [`GitFacts`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGit {
    #[error("git is not installed")]
    NotInstalled,
    #[error("the folder is not in a git repository")]
    NotARepository,
    #[error("the repository has no commit yet")]
    NoCommit,
    /// With git's own words, `fatal: detected dubious ownership in repository at '/src'`.
    #[error("git failed: {message}")]
    Failed { message: String },
}
