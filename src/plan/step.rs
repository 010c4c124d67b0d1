//! A plan: ordered steps, each one outside call (or one watch) with a cause a person can read.
//!
//! Values that exist only later (a digest after the push, an ARN after registering) are [`Later`].
//! Only data may be late, never a choice: what the data decides is said by `plan::settle`.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use crate::{
    config::spec::{Builder, SandboxService},
    id::{Cluster, Key, ServiceName, StepId, TaskDefArn},
    image::{Digest, ImageName, Reference, Tag},
};

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: StepId,
    pub action: Action,
    /// Why the step is there: `new image`, `repository jobs/api does not exist`.
    pub cause: String,
    pub needs: Vec<StepId>,
}

/// A value that is known now, or comes out of an earlier step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Later<T> {
    Known(T),
    From(StepId),
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
    /// The engine pushes; yields the digest.
    Push { image: Key, reference: Reference, login: StepId },
    /// ECS `RegisterTaskDefinition`, unless the result would equal what `compare_to` runs.
    Register(Box<RegisterAction>),
    /// ECS `CreateService`; sandbox only.
    CreateService {
        service: Key,
        cluster: Cluster,
        name: ServiceName,
        task_definition: Later<TaskDefArn>,
        target_group: Later<String>,
        container: String,
        settings: Box<SandboxService>,
        /// So that the target group is attached before ECS registers targets in it.
        listener: StepId,
    },
    /// ECS `UpdateService` to the new revision.
    Update { service: Key, cluster: Cluster, name: ServiceName, task_definition: Later<TaskDefArn>, running: Running },
    /// Watches the rollout that `deployment` started until the old tasks have drained.
    Watch { service: Key, cluster: Cluster, name: ServiceName, deployment: StepId, budget: WatchBudget },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildAction {
    pub image: Key,
    pub context: PathBuf,
    pub dockerfile: PathBuf,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    pub platform: Option<String>,
    /// Full names to give the result.
    pub tags: Vec<Reference>,
    pub builder: Builder,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutObserved {
    Complete,
    Going,
    Failed,
}

/// How long the parts of the watch may take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchBudget {
    pub no_progress_ms: u64,
    pub total_ms: u64,
    /// The longest deregistration delay plus the longest stop timeout plus scheduler ticks.
    pub drain_ms: u64,
    /// The longest deregistration delay alone, for the countdown.
    pub deregistration_delay_ms: u64,
}

/// What a finished step gave to those after it.
#[derive(Debug, Clone, PartialEq)]
pub enum Produced {
    Nothing,
    /// An ARN of ELB or ECS.
    Arn(String),
    /// The image as the registry knows it.
    Digest(Digest),
    TaskDefinition(TaskDefArn),
    /// A rollout that was started, or that is going already.
    Deployment(Started),
}

/// A rollout as `UpdateService` or `CreateService` answered it: what the watch is pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// `ecs-svc/123` of the PRIMARY deployment.
    pub deployment_id: String,
    /// `currentServiceDeployment`, where the answer has one.
    pub service_deployment: Option<String>,
    pub task_definition: TaskDefArn,
    /// What ran before, to tell old from new.
    pub previous: Option<TaskDefArn>,
    pub desired: u32,
}

impl Action {
    /// The key of the image or service this step is about, if it is about one.
    #[must_use]
    pub fn subject(&self) -> Option<&Key> {
        match self {
            Self::CreateCluster { .. } | Self::CreateRepository { .. } | Self::Login { .. } => None,
            Self::Build(build) => Some(&build.image),
            Self::Push { image, .. } => Some(image),
            Self::Register(register) => Some(&register.service),
            Self::CreateTargetGroup { service, .. }
            | Self::CreateLoadBalancer { service, .. }
            | Self::CreateListener { service, .. }
            | Self::CreateService { service, .. }
            | Self::Update { service, .. }
            | Self::Watch { service, .. } => Some(service),
        }
    }
}
