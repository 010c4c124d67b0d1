//! What can be told about a run: facts that are numbered and never lost, and progress that may be.
//!
//! Events are a promise (`SCHEMA`): fields are added, never renamed; a reader meets an unknown kind
//! as [`Event::Unknown`]. Every face is fed from these and nothing else, so a saved stream can be
//! replayed through any of them.

use serde::{Deserialize, Serialize};

use crate::id::{Key, RunId, StepId};

/// The version of the event stream, on every line.
pub const SCHEMA: u32 = 1;

/// One line of the event stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub schema: u32,
    /// Facts are numbered from 1 without a gap; progress repeats the number of the last fact.
    pub sequence: u64,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The run began; carries all a face needs to lay itself out.
    Begun {
        run: RunId,
        verb: String,
        environment: Option<String>,
        steps: Vec<StepOutline>,
        /// How long reading, connecting and planning took before: a person's clock began there.
        #[serde(default)]
        prepared_ms: u64,
    },
    Started {
        step: StepId,
    },
    /// A step ended well; `note` says what came out of it.
    Done {
        step: StepId,
        note: String,
    },
    /// A step had nothing to do; `cause` says why.
    Skipped {
        step: StepId,
        cause: String,
    },
    Failed {
        step: StepId,
        note: String,
        #[serde(default)]
        how: FailedHow,
    },
    /// Something worth a word that stops nothing.
    Warned {
        step: Option<StepId>,
        message: String,
    },
    /// Told from inside a step, see [`Progress`].
    Told {
        step: StepId,
        progress: Progress,
    },
    /// The run ended; the last event of every stream.
    Ended {
        summary: String,
        exit: u8,
        live: Vec<ServiceLive>,
        elapsed_ms: u64,
        /// Why it did not end well, as it is told to the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ToldError>,
    },
    #[serde(other)]
    Unknown,
}

/// What kind of bad end a step had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedHow {
    #[default]
    Failed,
    /// Somebody asked to stop.
    Cancelled,
    /// What was asked for is live, and not all of the old is gone.
    Unfinished,
    #[serde(other)]
    Unknown,
}

/// A failure in the words for people, so that a recording tells all that its reader was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldError {
    /// `run::rollout`; a promise to scripts, like the exit codes.
    pub code: String,
    /// `roll out api failed`.
    pub message: String,
    /// From the outermost to the innermost, none said twice.
    pub causes: Vec<String>,
    /// What to do, the best first.
    pub hints: Vec<String>,
}

/// A step as the faces know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutline {
    pub id: StepId,
    pub kind: StepKind,
    /// `build api`, `roll out api`.
    pub title: String,
    /// Why the step is there, `new image`.
    pub cause: String,
    pub needs: Vec<StepId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Creating what the sandbox (or `create_repository`) needs.
    SetUp,
    Login,
    Build,
    /// What must succeed before anything is pushed: a stage that builds, or a command in the built image.
    Check,
    Push,
    /// An image that is brought from the repository of another environment.
    Copy,
    Register,
    /// A one-off task of the new revision, before anything is rolled out.
    Before,
    Update,
    Watch,
    #[serde(other)]
    Unknown,
}

/// What a step tells while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Progress {
    /// Bytes of the build context sent so far. Droppable.
    Context {
        sent: u64,
    },
    /// A BuildKit vertex (or a classic build step) changed its state.
    Vertex(Vertex),
    /// Numbers inside a vertex: `transferring context`, `exporting layers`. Droppable.
    VertexStatus {
        vertex: String,
        name: String,
        current: u64,
        total: u64,
    },
    /// One line a build step printed.
    BuildLog {
        vertex: String,
        line: String,
    },
    BuildWarning {
        message: String,
    },
    /// What a step itself has to say: every reader is told it as [`Event::Warned`].
    #[serde(skip)]
    Warning {
        message: String,
    },
    /// All layers of a push, with where each stands. Droppable, but for the last one of a push.
    Layers {
        layers: Vec<Layer>,
        last: bool,
    },
    /// The picture of a rollout at one poll. Droppable: the next one replaces it.
    Board(Board),
    /// The rollout went from one phase to the next.
    Phase {
        service: Key,
        from: Phase,
        to: Phase,
    },
    /// One line of the ECS service's own event list.
    ServiceEvent {
        service: Key,
        id: String,
        time_ms: u64,
        text: String,
        /// What it means and what to do, where it tells of trouble.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meaning: Option<String>,
    },
    /// A task ended although nobody asked it to.
    TaskFailed {
        service: Key,
        task: FailedTask,
    },
    /// The rollout is being taken back before ECS has given up on it, and why.
    TakingBack {
        service: Key,
        why: String,
    },
    /// A rollout that went well does not end yet: it may still be taken back when one of the others fails.
    WaitingForOthers {
        service: Key,
        others: Vec<Key>,
    },
    /// A call waits until AWS would take it: so many registrations or updates are allowed a second.
    Queued {
        operation: String,
        wait_ms: u64,
    },
    /// A one-off task went from one state to the next, in ECS's own words.
    TaskStatus {
        task: String,
        /// `PENDING`, `RUNNING`, `STOPPED`.
        status: String,
        /// `told to stop`, when that is what happened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// One line of a one-off task.
    TaskLog {
        task: String,
        container: String,
        time_ms: u64,
        line: String,
    },
    /// A call to AWS will be tried again.
    Retrying {
        operation: String,
        code: String,
        attempt: u32,
        delay_ms: u64,
    },
    #[serde(other)]
    Unknown,
}

impl Progress {
    /// Whether a newer one of its kind makes this one worthless, so that a full channel may drop it.
    #[must_use]
    pub const fn is_droppable(&self) -> bool {
        match self {
            Self::Context { .. } | Self::VertexStatus { .. } | Self::Board(_) => true,
            Self::Layers { last, .. } => !*last,
            Self::Vertex(_)
            | Self::BuildLog { .. }
            | Self::BuildWarning { .. }
            | Self::Warning { .. }
            | Self::Phase { .. }
            | Self::ServiceEvent { .. }
            | Self::TaskFailed { .. }
            | Self::TakingBack { .. }
            | Self::WaitingForOthers { .. }
            | Self::Queued { .. }
            | Self::TaskStatus { .. }
            | Self::TaskLog { .. }
            | Self::Retrying { .. }
            | Self::Unknown => false,
        }
    }
}

/// A node of the build graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vertex {
    /// The vertex digest of BuildKit, or `step-3` of a classic build.
    pub id: String,
    /// `[2/3] COPY app /app`.
    pub name: String,
    pub state: VertexState,
    /// From start to end, when both are known.
    pub duration_ms: Option<u64>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VertexState {
    Started,
    Done,
    Cached,
    Failed,
    #[serde(other)]
    Unknown,
}

/// A layer on its way to the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// 12 hexadecimal digits as the engine prints them.
    pub id: String,
    pub state: LayerState,
    /// Bytes; never above `total` where that is known.
    pub current: u64,
    pub total: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    Preparing,
    Waiting,
    Pushing,
    Pushed,
    Exists,
    Mounted,
    Retrying {
        seconds: u32,
    },
    #[serde(other)]
    Unknown,
}

/// The picture of one service's rollout at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Board {
    pub service: Key,
    pub phase: Phase,
    /// Since the service was updated.
    pub elapsed_ms: u64,
    pub desired: u32,
    /// `web:42`.
    pub new_revision: String,
    pub old_revisions: Vec<String>,
    pub tasks: Vec<BoardTask>,
    pub breaker: Option<Breaker>,
    /// Tasks of the new revision that have failed so far.
    pub failed: u32,
    /// How long a rollout of this service takes as a rule, where that could be worked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
    /// Where a blue/green, linear or canary deployment stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Box<Shift>>,
    /// A hook that waits for somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Box<Hook>>,
    /// What may not be read, with the IAM action that is missing: `tasks: ecs:ListTasks`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
}

/// Where a deployment stands that shifts traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// `BLUE_GREEN`, `LINEAR`, `CANARY`.
    pub strategy: String,
    /// `TEST_TRAFFIC_SHIFT`, `BAKE_TIME`, in ECS's own words.
    pub stage: Option<String>,
    /// What of the production traffic goes to the new revision, in tenths of a percent.
    pub production_permille: Option<u32>,
    /// The same of the test traffic.
    pub test_permille: Option<u32>,
    /// What is left of the bake time, in milliseconds.
    pub bake_left_ms: Option<u64>,
}

/// A lifecycle hook that stops a deployment until somebody says what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hook {
    pub id: String,
    pub stage: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub expires_ms: Option<u64>,
    /// What ECS does when nobody answers: `ROLLBACK`, `CONTINUE`.
    pub timeout_action: Option<String>,
    /// What lets it go on, ready to be copied.
    pub command: String,
}

/// Where a task belongs in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    New,
    Old,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardTask {
    /// The task id, without the ARN around it.
    pub id: String,
    pub side: Side,
    pub revision: String,
    pub state: TaskState,
    /// A reason worth showing: `Target.ResponseCodeMismatch: Health checks failed with these codes: [500]`.
    pub detail: Option<String>,
    /// What is left of the deregistration delay, in milliseconds, while draining.
    pub drain_left_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Being placed, pulled or started.
    Starting,
    /// Runs; its target is registered and has not answered its health checks yet.
    Registering,
    Healthy,
    Unhealthy,
    /// Taken out of the balancer; in-flight requests are finishing.
    Draining,
    /// Told to end (SIGTERM), not gone yet.
    Stopping,
    Gone,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    pub failures: u32,
    pub threshold: u32,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// ECS has the request; no new task has been seen.
    Asked,
    /// New tasks start and register.
    Starting,
    /// All new tasks are healthy: the new revision is live.
    Healthy,
    /// Live; old tasks are draining or stopping.
    Draining,
    /// The old tasks are gone.
    Drained,
    /// ECS takes the change back.
    RollingBack,
    #[serde(other)]
    Unknown,
}

/// A task that ended by itself, with all that is known of the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTask {
    pub id: String,
    pub revision: String,
    /// `EssentialContainerExited`, `TaskFailedToStart`.
    pub stop_code: Option<String>,
    /// ECS's own sentence.
    pub stopped_reason: Option<String>,
    pub containers: Vec<FailedContainer>,
    /// The same in words for people, with what to do.
    pub explanation: String,
    #[serde(default, skip_serializing_if = "FailedKind::is_failed")]
    pub kind: FailedKind,
}

/// Whether the end of a task says something about the revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedKind {
    #[default]
    Failed,
    /// Spot, a host, capacity, an operator: nothing that another revision would do better.
    Lost,
    #[serde(other)]
    Unknown,
}

impl FailedKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_failed(&self) -> bool {
        *self == Self::Failed
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedContainer {
    pub name: String,
    pub exit_code: Option<i64>,
    pub reason: Option<String>,
    /// The last lines of its log; empty where they could not be read.
    pub log: Vec<String>,
}

/// What serves traffic after a run: the first thing a person on call wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Live {
    /// What served before serves now.
    Unchanged,
    /// The new revision serves alone.
    New,
    /// Both revisions serve.
    Mixed,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLive {
    pub service: Key,
    pub live: Live,
    /// `web:42 (v7-4f2c1d) serves all traffic`.
    pub words: String,
}
