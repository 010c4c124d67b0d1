//! The world as read once before planning: plain data, possibly stale a moment later. No choice is
//! made here; choices are made in `plan::make`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::PathBuf,
};

use serde_json::Value;

use super::promote::Unpromotable;
use crate::{
    id::{Cluster, Key, TaskDefArn},
    image::{Digest, ImageName, Tag},
    rollout::past::Past,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// `aws`, `aws-cn`, `aws-us-gov`: the second part of every ARN.
    pub partition: String,
    /// From `GetCallerIdentity`.
    pub account: String,
    pub region: String,
    /// `111111111111.dkr.ecr.eu-west-1.amazonaws.com`, or the sandbox's loopback registry.
    pub registry: String,
    pub engine: EngineObserved,
    /// By the key of the image in `ship.toml`.
    pub repositories: BTreeMap<Key, RepositoryObserved>,
    /// By the key of the service in `ship.toml`.
    pub services: BTreeMap<Key, ServiceObserved>,
    /// Which clusters exist, of those the spec names.
    pub clusters: BTreeMap<Cluster, ClusterObserved>,
    /// The parsed content of every task definition file the spec names.
    pub task_definition_files: BTreeMap<PathBuf, Value>,
    /// What the builds of these images ask for and is not there.
    pub missing_inputs: BTreeMap<Key, Vec<MissingInput>>,
    /// What may come from the environment that is promoted from, by the key of the service; none where images are built.
    pub promoted: BTreeMap<Key, Result<Candidate, Unpromotable>>,
    /// What images are for that are not built, `linux/arm64`, by their keys: those of which that decides whether their
    /// services can run them, and which could be read.
    pub pushed: BTreeMap<Key, Vec<String>>,
    /// What these credentials may not read.
    pub unread: BTreeSet<Unread>,
}

/// An image that another environment runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What runs it there.
    pub revision: TaskDefArn,
    /// Where it is there.
    pub name: ImageName,
    pub digest: Digest,
    /// The tag that it is to have here.
    pub tag: Tag,
    /// `linux/arm64`; none where the image does not say.
    pub platforms: Vec<String>,
    pub here: Here,
    /// What the repository here has under that tag.
    pub tagged: Option<Digest>,
}

/// Whether the repository here has an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    Present,
    /// Not, or without a tag to keep it, or nobody may ask.
    Absent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineObserved {
    /// `linux/amd64`.
    pub platform: String,
    /// Whether the engine has a BuildKit of its own.
    pub buildkit: BuildKit,
}

impl EngineObserved {
    /// Nothing is built, so nobody has asked.
    #[must_use]
    pub const fn unasked() -> Self {
        Self { platform: String::new(), buildkit: BuildKit::Absent }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildKit {
    Present,
    Absent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterObserved {
    Active,
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryObserved {
    Missing,
    Present {
        /// `…/jobs/api` with its registry host.
        uri: String,
        immutable_tags: Mutability,
        /// What the tag of this build points at already.
        tagged: Option<Digest>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    Mutable,
    Immutable,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ServiceObserved {
    Missing,
    /// `status` is `INACTIVE` or `DRAINING`: it is gone or going.
    Inactive {
        status: String,
    },
    Active(Box<ServiceActive>),
}

/// A service and what it has been through: what is asked before a verb goes on from there.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceKnown {
    pub observed: ServiceObserved,
    /// Newest first; `None` where the service-deployments API may not be asked.
    pub history: Option<Vec<Past>>,
}

/// A task definition as it was found, to go back to.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinitionObserved {
    pub arn: TaskDefArn,
    /// The whole of `DescribeTaskDefinition`'s `taskDefinition`, with `status`.
    pub definition: Value,
    pub tags: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceActive {
    pub arn: String,
    pub desired_count: u32,
    /// What the service is set to run.
    pub task_definition: TaskDefArn,
    /// The whole answer of `DescribeTaskDefinition`'s `taskDefinition`, untouched.
    pub definition: Value,
    /// Tags stand beside the definition and are lost unless sent again.
    pub tags: Vec<(String, String)>,
    pub deployments: Vec<DeploymentObserved>,
    pub minimum_healthy_percent: u32,
    pub maximum_percent: u32,
    /// `ECS`, `CODE_DEPLOY`, `EXTERNAL`.
    pub controller: String,
    pub target_groups: Vec<TargetGroupObserved>,
    pub launch: LaunchObserved,
    pub shipped: Shipped,
    pub unread: BTreeSet<Unread>,
}

/// Which revision this program registered last for a service, as far as its tags say.
#[derive(Debug, Clone, PartialEq)]
pub enum Shipped {
    /// The one the service is set to, unchanged.
    ThisRevision,
    /// An earlier one: what runs was registered by somebody else.
    Earlier { arn: TaskDefArn, definition: Value },
    /// None of the latest revisions, or nobody has looked.
    NotFound,
}

/// How a service places its tasks: what a task that is to run beside them needs to reach what they reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaunchObserved {
    /// `FARGATE`; absent with a capacity provider strategy.
    pub launch_type: Option<String>,
    pub capacity_providers: Vec<CapacityProvider>,
    pub platform_version: Option<String>,
    /// `awsvpcConfiguration`.
    pub network: Option<NetworkObserved>,
    /// `enableExecuteCommand`.
    pub execute_command: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityProvider {
    pub name: String,
    pub weight: i32,
    pub base: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkObserved {
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// `ENABLED`, `DISABLED`.
    pub assign_public_ip: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentObserved {
    /// `ecs-svc/123`.
    pub id: String,
    /// `PRIMARY`, `ACTIVE`.
    pub status: String,
    /// `IN_PROGRESS`, `COMPLETED`, `FAILED`; absent with other controllers.
    pub rollout_state: Option<String>,
    pub task_definition: TaskDefArn,
    pub running: u32,
    pub desired: u32,
    /// Tasks that did not come up, counted by ECS since the deployment began.
    pub failed: u32,
    /// Milliseconds since the Unix epoch.
    pub created_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroupObserved {
    pub arn: String,
    pub container: String,
    pub container_port: u32,
    /// Seconds; AWS's default is 300.
    pub deregistration_delay_s: u64,
    /// Seconds between two health checks of a target; AWS's default is 30.
    pub health_check_interval_s: u64,
    pub attached: Attached,
}

/// Whether a target group gets any traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    ToBalancer,
    /// No load balancer forwards to it: its targets stay `unused`, which ECS never counts as healthy.
    ToNothing,
    /// It may not be read.
    NotSaid,
}

impl TargetGroupObserved {
    /// `jobs-api` of `arn:…:targetgroup/jobs-api/0123456789abcdef`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.arn.split(":targetgroup/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(&self.arn)
    }
}

/// Something that could not be read before planning: what it would have told is not known, and that is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unread {
    #[error("whether the clusters exist is not known")]
    Clusters,
    #[error("whether repository {0} exists, and what its tags are, is not known until the push")]
    Repository(String),
    #[error("what tag {tag} of repository {repository} is, is not known until the push")]
    Tag { repository: String, tag: String },
    #[error("what platform image {image} is for is not known until its tasks start")]
    Platform { image: String, action: String },
    #[error("how long targets of {0} drain is not known: 300 s, AWS's default, is assumed")]
    DeregistrationDelay(String),
    #[error("whether a load balancer forwards to {0} is not known")]
    Attached(String),
}

impl Unread {
    /// The IAM action that would tell.
    #[must_use]
    pub const fn action(&self) -> &str {
        match self {
            Self::Platform { action, .. } => action.as_str(),
            Self::Clusters => "ecs:DescribeClusters",
            Self::Repository(_) => "ecr:DescribeRepositories",
            Self::Tag { .. } => "ecr:DescribeImages",
            Self::DeregistrationDelay(_) => "elasticloadbalancing:DescribeTargetGroupAttributes",
            Self::Attached(_) => "elasticloadbalancing:DescribeTargetGroups",
        }
    }
}

/// Something that the build of an image asks for beside its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildInput {
    Secret {
        id: String,
    },
    Ssh {
        id: String,
    },
    /// A stage of its Dockerfile.
    Stage {
        name: String,
    },
    /// Docker's plugin.
    Buildx,
}

/// `secret nuget`, `ssh default`.
impl fmt::Display for BuildInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { id } => write!(formatter, "secret {id}"),
            Self::Ssh { id } => write!(formatter, "ssh {id}"),
            Self::Stage { name } => write!(formatter, "stage {name}"),
            Self::Buildx => formatter.write_str("buildx"),
        }
    }
}

/// One of them that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingInput {
    pub input: BuildInput,
    pub why: WhyMissing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyMissing {
    NotSet {
        variable: String,
    },
    Empty {
        variable: String,
    },
    Unread {
        path: PathBuf,
        why: io::ErrorKind,
    },
    /// More bytes than BuildKit takes.
    TooLarge {
        place: String,
        most: u64,
    },
    /// A file where the socket of an agent was expected: a key, as a rule.
    NoSocket {
        path: PathBuf,
    },
    /// Docker has no such plugin.
    NoPlugin {
        looked: Vec<PathBuf>,
    },
    OldPlugin {
        path: PathBuf,
        version: String,
        least: (u32, u32),
    },
    /// It cannot be asked what it is.
    BrokenPlugin {
        path: PathBuf,
        why: String,
    },
    /// The stages that the Dockerfile has, in order.
    NoStage {
        dockerfile: PathBuf,
        stages: Vec<String>,
    },
}

/// `variable NUGET_TOKEN is not set`.
impl fmt::Display for WhyMissing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { variable } => write!(formatter, "the environment variable {variable} is not set"),
            Self::Empty { variable } => write!(formatter, "the environment variable {variable} is empty"),
            Self::Unread { path, why: io::ErrorKind::NotFound } => {
                write!(formatter, "there is no {}", path.display())
            }
            Self::Unread { path, why } => write!(formatter, "{} cannot be read: {why}", path.display()),
            Self::TooLarge { place, most } => {
                write!(formatter, "{place} holds more than the {} kB that BuildKit takes", most / 1024)
            }
            Self::NoStage { dockerfile, .. } => write!(formatter, "{} has no such stage", dockerfile.display()),
            Self::NoPlugin { .. } => formatter.write_str("docker has no such plugin"),
            Self::OldPlugin { path, version, least: (major, minor) } => {
                write!(
                    formatter,
                    "{} is version {version}, and {major}.{minor} is the first that will do",
                    path.display()
                )
            }
            Self::BrokenPlugin { path, why } => write!(formatter, "{} does not work: {why}", path.display()),
            Self::NoSocket { path } => write!(formatter, "{} is not the socket of an ssh agent", path.display()),
        }
    }
}
