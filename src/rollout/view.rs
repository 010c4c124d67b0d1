//! What one look at a rollout saw. Any part may be missing, late or repeated: a call may have been
//! throttled, refused for lack of permission, or answered from an older state.

use crate::id::TaskDefArn;

use std::collections::BTreeMap;

use super::schedule::Part;

/// One look. `None` means "not asked or not answered", never "empty".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    pub service: Option<ServiceView>,
    pub deployment: Option<ServiceDeploymentView>,
    /// Tasks of the service, running and recently stopped.
    pub tasks: Option<Vec<TaskView>>,
    pub targets: Option<Vec<TargetView>>,
    /// What may not be read, with the IAM action that is missing: `ecs:ListTasks`.
    pub denied: BTreeMap<Part, String>,
}

/// From `DescribeServices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    pub status: String,
    pub desired: u32,
    pub running: u32,
    pub pending: u32,
    pub deployments: Vec<DeploymentView>,
    /// Newest first, at most 100, as ECS gives them.
    pub events: Vec<EventView>,
    /// `currentServiceDeployment`.
    pub current_service_deployment: Option<String>,
    /// From `loadBalancers[]`, with the alternate ones of a blue/green deployment.
    pub groups: Vec<GroupView>,
}

/// A target group that a service registers its tasks in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    pub arn: String,
    pub container_port: u32,
}

/// One of `deployments[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentView {
    pub id: String,
    /// `PRIMARY`, `ACTIVE`, `INACTIVE`, `DRAINING`.
    pub status: String,
    pub task_definition: TaskDefArn,
    pub desired: u32,
    pub pending: u32,
    pub running: u32,
    pub failed: u32,
    /// `IN_PROGRESS`, `COMPLETED`, `FAILED`; absent with other controllers.
    pub rollout_state: Option<String>,
    pub rollout_reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventView {
    pub id: String,
    pub time_ms: u64,
    pub text: String,
}

/// From `DescribeServiceDeployments`: the word that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDeploymentView {
    pub arn: String,
    /// `PENDING`, `IN_PROGRESS`, `SUCCESSFUL`, `STOP_REQUESTED`, `STOPPED`, `ROLLBACK_REQUESTED`,
    /// `ROLLBACK_IN_PROGRESS`, `ROLLBACK_SUCCESSFUL`, `ROLLBACK_FAILED`, or a word newer than this program.
    pub status: String,
    pub reason: Option<String>,
    /// `SCALE_UP`, `BAKE_TIME`, … where the strategy has stages.
    pub stage: Option<String>,
    pub breaker: Option<BreakerView>,
    pub rollback_reason: Option<String>,
    /// Alarms that have fired.
    pub alarms: Vec<String>,
    /// How traffic is shifted; `None` for a rolling update.
    pub shift: Option<ShiftView>,
    /// `lifecycleHookDetails`.
    pub hooks: Vec<HookView>,
    /// `bakeTimeInMinutes`, in milliseconds.
    pub bake_ms: u64,
}

/// A deployment whose strategy is `BLUE_GREEN`, `LINEAR` or `CANARY` (or a word newer than this program).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftView {
    pub strategy: String,
    /// What of the production traffic goes to the new revision, in tenths of a percent.
    pub production_permille: Option<u32>,
    /// The same of the test traffic.
    pub test_permille: Option<u32>,
    /// The pause after each step.
    pub step_bake_ms: u64,
    /// In how many steps the traffic is shifted.
    pub steps: u32,
}

/// One of `lifecycleHookDetails`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookView {
    pub id: String,
    /// `PAUSE`, `AWS_LAMBDA`.
    pub kind: String,
    /// `AWAITING_ACTION`, `IN_PROGRESS`, `SUCCEEDED`, `FAILED`, `TIMED_OUT`.
    pub status: String,
    pub expires_ms: Option<u64>,
    /// `ROLLBACK`, `CONTINUE`.
    pub timeout_action: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerView {
    /// `TRIGGERED`, `MONITORING`, `MONITORING_COMPLETE`, `DISABLED`.
    pub status: String,
    pub failures: u32,
    pub threshold: u32,
}

/// From `DescribeTasks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// The last part of the task's ARN.
    pub id: String,
    pub task_definition: TaskDefArn,
    /// The deployment id that started it, `ecs-svc/123`.
    pub started_by: Option<String>,
    /// `PROVISIONING` … `STOPPED`.
    pub last_status: String,
    pub desired_status: String,
    /// `HEALTHY`, `UNHEALTHY`, `UNKNOWN`.
    pub health: Option<String>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub created_ms: Option<u64>,
    pub started_ms: Option<u64>,
    pub stopping_ms: Option<u64>,
    pub stopped_ms: Option<u64>,
    pub containers: Vec<ContainerView>,
    /// `address:port` pairs under which it may be registered as a target: private IP or host, with
    /// every mapped port.
    pub addresses: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    pub name: String,
    pub last_status: String,
    pub exit_code: Option<i64>,
    pub reason: Option<String>,
    pub health: Option<String>,
}

/// From `DescribeTargetHealth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetView {
    pub target_group: String,
    /// `address:port`.
    pub address: String,
    /// `initial`, `healthy`, `unhealthy`, `unused`, `draining`, `unhealthy.draining`, `unavailable`.
    pub state: String,
    /// `Target.ResponseCodeMismatch`.
    pub reason: Option<String>,
    pub description: Option<String>,
}
