//! Events folded into the state that the faces show. Shared by `tty` and `plain`, so that both say
//! the same about the same run.

use std::collections::VecDeque;

use super::words;
use crate::{
    event::{
        Board, Event, FailedContainer, FailedHow, FailedKind, FailedTask, Hook, Layer, LayerState, Phase, Progress,
        Record, ServiceLive, Shift, Side, StepKind, StepOutline, TaskState, ToldError, Vertex, VertexState,
    },
    id::{Key, StepId},
};

/// As many lines of a running build step as BuildKit itself shows.
const LOG_TAIL: usize = 6;

#[derive(Debug, Default)]
pub struct Fold {
    /// When the user began to wait.
    pub begun_ms: u64,
    pub verb: String,
    pub environment: Option<String>,
    pub steps: Vec<StepView>,
    pub ended: Option<Ended>,
}

#[derive(Debug, Clone)]
pub struct Ended {
    pub summary: String,
    pub exit: u8,
    pub live: Vec<ServiceLive>,
    pub elapsed_ms: u64,
    pub error: Option<ToldError>,
}

#[derive(Debug)]
pub struct StepView {
    pub outline: StepOutline,
    pub state: StepState,
    pub started_ms: u64,
    pub ended_ms: u64,
    /// What kind of bad end it had, if it had one.
    pub how: FailedHow,
    /// The note of the end, the cause of the skip.
    pub note: String,
    pub context_sent: u64,
    pub vertices: Vec<VertexView>,
    pub layers: Vec<Layer>,
    pub board: Option<Board>,
    /// When the board was drawn, for countdowns between two polls.
    pub board_ms: u64,
    /// The newest of ECS's own events, without the `(service NAME)` before it.
    pub last_event: Option<String>,
    /// A call that is being tried again, until the next sign of life.
    pub retrying: Option<String>,
    /// What the last event that told of trouble means.
    pub trouble: Option<String>,
    /// A one-off task and the state it is in.
    pub task: Option<String>,
    /// What it waits for although it is done.
    pub waiting: Option<String>,
    /// Failed tasks, by cause, in the order in which the causes were first seen.
    pub failures: Vec<FailureGroup>,
}

/// Tasks that failed of one cause: ten that die of the same missing variable are one thing to read.
#[derive(Debug, Clone)]
pub struct FailureGroup {
    cause: Cause,
    pub tasks: Vec<String>,
    /// The task to show: the first one, or the first whose log could be read.
    pub shown: FailedTask,
}

/// What makes two failures the same to a reader: not the second after which it happened, nor the log,
/// whose lines carry times and ids.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    revision: String,
    stop_code: Option<String>,
    kind: FailedKind,
    containers: Vec<(String, Option<i64>, Option<String>)>,
    /// Where no container says anything.
    explanation: Option<String>,
}

impl Cause {
    fn of(task: &FailedTask) -> Self {
        let containers: Vec<_> = task
            .containers
            .iter()
            .map(|FailedContainer { name, exit_code, reason, log: _ }| (name.clone(), *exit_code, reason.clone()))
            .collect();
        let is_silent = containers.iter().all(|(_, exit_code, reason)| exit_code.is_none() && reason.is_none());
        Self {
            revision: task.revision.clone(),
            stop_code: task.stop_code.clone(),
            kind: task.kind,
            containers,
            explanation: is_silent.then(|| task.explanation.clone()),
        }
    }
}

/// Whether a failed task tells a reader anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A cause not seen before, or the first log of one.
    New,
    /// One more of the same.
    Again,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    Pending,
    Running,
    Done,
    Skipped,
    Failed,
}

#[derive(Debug)]
pub struct VertexView {
    pub vertex: Vertex,
    /// The newest numbers inside it: name, current, total.
    pub status: Option<(String, u64, u64)>,
    pub log: VecDeque<String>,
}

impl StepView {
    fn new(outline: StepOutline) -> Self {
        Self {
            outline,
            state: StepState::Pending,
            started_ms: 0,
            ended_ms: 0,
            how: FailedHow::Failed,
            note: String::new(),
            context_sent: 0,
            vertices: Vec::new(),
            layers: Vec::new(),
            board: None,
            board_ms: 0,
            last_event: None,
            retrying: None,
            trouble: None,
            task: None,
            waiting: None,
            failures: Vec::new(),
        }
    }

    /// Whether `task`, the newest that failed, tells anything new.
    #[must_use]
    pub fn news(&self, task: &FailedTask) -> News {
        if self.failures.iter().any(|group| group.shown.id == task.id) { News::New } else { News::Again }
    }

    fn task_failed(&mut self, task: &FailedTask) {
        let cause = Cause::of(task);
        let has_log = |task: &FailedTask| task.containers.iter().any(|container| !container.log.is_empty());
        match self.failures.iter_mut().find(|group| group.cause == cause) {
            Some(group) => {
                group.tasks.push(task.id.clone());
                if !has_log(&group.shown) && has_log(task) {
                    group.shown = task.clone();
                }
            }
            None => {
                self.failures.push(FailureGroup { cause, tasks: vec![task.id.clone()], shown: task.clone() });
            }
        }
    }

    #[must_use]
    pub const fn elapsed_ms(&self, now_ms: u64) -> u64 {
        let end = match self.state {
            StepState::Pending | StepState::Running => now_ms,
            StepState::Done | StepState::Skipped | StepState::Failed => self.ended_ms,
        };
        end.saturating_sub(self.started_ms)
    }

    fn end(&mut self, state: StepState, note: &str, now_ms: u64) {
        if self.state == StepState::Pending {
            self.started_ms = now_ms;
        }
        self.state = state;
        note.clone_into(&mut self.note);
        self.ended_ms = now_ms;
    }

    fn told(&mut self, progress: &Progress, now_ms: u64) {
        self.retrying = None;
        match progress {
            Progress::Context { sent } => self.context_sent = *sent,
            Progress::Vertex(vertex) => match self.vertices.iter_mut().find(|known| known.vertex.id == vertex.id) {
                Some(known) => known.vertex = vertex.clone(),
                None => {
                    self.vertices.push(VertexView { vertex: vertex.clone(), status: None, log: VecDeque::new() });
                }
            },
            Progress::VertexStatus { vertex, name, current, total } => {
                if let Some(known) = self.vertices.iter_mut().find(|known| known.vertex.id == *vertex) {
                    known.status = Some((name.clone(), *current, *total));
                }
            }
            Progress::BuildLog { vertex, line } => {
                if let Some(known) = self.vertices.iter_mut().find(|known| known.vertex.id == *vertex) {
                    if known.log.len() == LOG_TAIL {
                        known.log.pop_front();
                    }
                    known.log.push_back(words::clean(line));
                }
            }
            Progress::Layers { layers, .. } => self.layers.clone_from(layers),
            Progress::Board(board) => {
                self.board = Some(board.clone());
                self.board_ms = now_ms;
            }
            Progress::ServiceEvent { text, meaning, .. } => {
                self.last_event = Some(words::brief(without_prefix(&words::clean(text))));
                if let Some(meaning) = meaning {
                    self.trouble = Some(meaning.clone());
                }
            }
            Progress::TaskFailed { task, .. } => self.task_failed(task),
            Progress::Retrying { operation, code, delay_ms, .. } => {
                self.retrying =
                    Some(format!("{operation} answered {code}, trying again in {}", words::duration(*delay_ms)));
            }
            Progress::Queued { operation, wait_ms } => self.retrying = Some(queued_line(operation, *wait_ms)),
            Progress::WaitingForOthers { others, .. } => self.waiting = Some(others_line(others)),
            Progress::TakingBack { .. } => self.waiting = None,
            Progress::TaskStatus { task, status, note } => self.task = Some(task_line(task, status, note.as_deref())),
            Progress::TaskLog { .. }
            | Progress::BuildWarning { .. }
            | Progress::Warning { .. }
            | Progress::Phase { .. }
            | Progress::Unknown => {}
        }
    }
}

impl Fold {
    /// Takes one event into the picture. Events about a step that was never announced are ignored: a
    /// newer program may have written the stream.
    pub fn apply(&mut self, record: &Record) {
        let now = record.time_ms;
        match &record.event {
            Event::Begun { run: _, verb, environment, steps, prepared_ms } => {
                self.begun_ms = now.saturating_sub(*prepared_ms);
                self.verb.clone_from(verb);
                self.environment.clone_from(environment);
                self.steps = steps.iter().cloned().map(StepView::new).collect();
            }
            Event::Started { step } => {
                if let Some(step) = self.step_mut(*step) {
                    step.state = StepState::Running;
                    step.started_ms = now;
                }
            }
            Event::Done { step, note } => {
                if let Some(step) = self.step_mut(*step) {
                    step.end(StepState::Done, note, now);
                }
            }
            Event::Skipped { step, cause } => {
                if let Some(step) = self.step_mut(*step) {
                    step.end(StepState::Skipped, cause, now);
                }
            }
            Event::Failed { step, note, how } => {
                if let Some(step) = self.step_mut(*step) {
                    step.how = *how;
                    step.end(StepState::Failed, note, now);
                }
            }
            Event::Told { step, progress } => {
                if let Some(step) = self.step_mut(*step) {
                    step.told(progress, now);
                }
            }
            Event::Ended { summary, exit, live, elapsed_ms, error } => {
                self.ended = Some(Ended {
                    summary: summary.clone(),
                    exit: *exit,
                    live: live.clone(),
                    elapsed_ms: *elapsed_ms,
                    error: error.clone(),
                });
            }
            Event::Warned { .. } | Event::Unknown => {}
        }
    }

    /// `deploy to production`.
    #[must_use]
    pub fn headline(&self) -> String {
        let to = self.environment.as_ref().map(|name| format!(" to {name}")).unwrap_or_default();
        format!("{}{to}", self.verb)
    }

    /// As many columns as the titles of all steps take, but not more than `most`.
    #[must_use]
    pub fn title_columns(&self, most: usize) -> usize {
        self.steps
            .iter()
            .map(|step| words::columns(title(&step.outline)))
            .filter(|columns| *columns <= most)
            .max()
            .unwrap_or(0)
    }

    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&StepView> {
        self.steps.iter().find(|step| step.outline.id == id)
    }

    fn step_mut(&mut self, id: StepId) -> Option<&mut StepView> {
        self.steps.iter_mut().find(|step| step.outline.id == id)
    }
}

/// `task 0c3b1c5e: running`.
#[must_use]
pub fn task_line(task: &str, status: &str, note: Option<&str>) -> String {
    let short = task.get(..8).unwrap_or(task);
    let word = note.map_or_else(|| status.to_lowercase(), words::clean);
    format!("task {short}: {word}")
}

/// A step in two or three words. The registry's address is in what a login says, and as long as the rest of the line.
#[must_use]
pub fn title(outline: &StepOutline) -> &str {
    match outline.kind {
        StepKind::Login => "log in",
        StepKind::SetUp
        | StepKind::Build
        | StepKind::Check
        | StepKind::Push
        | StepKind::Copy
        | StepKind::Register
        | StepKind::Before
        | StepKind::Update
        | StepKind::Watch
        | StepKind::Unknown => &outline.title,
    }
}

/// The word for a bad end.
#[must_use]
pub const fn failed_word(how: FailedHow) -> &'static str {
    match how {
        FailedHow::Failed | FailedHow::Unknown => "failed",
        FailedHow::Cancelled => "cancelled",
        FailedHow::Unfinished => "unfinished",
    }
}

/// ECS starts every event with `(service NAME) `; the step's title says that already.
#[must_use]
pub fn without_prefix(event: &str) -> &str {
    event.strip_prefix("(service ").and_then(|rest| rest.split_once(") ")).map_or(event, |(_, rest)| rest)
}

/// The name of a task's state in the words that ECS and ELB use.
#[must_use]
pub const fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Starting => "starting",
        TaskState::Registering => "registering",
        TaskState::Healthy => "healthy",
        TaskState::Unhealthy => "unhealthy",
        TaskState::Draining => "draining",
        TaskState::Stopping => "signalled",
        TaskState::Gone => "gone",
        TaskState::Unknown => "unknown",
    }
}

/// One side of a rollout in numbers: `1 of 2 healthy, 1 starting, 2 failed`.
#[must_use]
pub fn side_line(board: &Board, side: Side) -> String {
    const ORDER: [TaskState; 7] = [
        TaskState::Healthy,
        TaskState::Registering,
        TaskState::Starting,
        TaskState::Unhealthy,
        TaskState::Draining,
        TaskState::Stopping,
        TaskState::Unknown,
    ];
    let counted = |state: TaskState| board.tasks.iter().filter(|task| task.side == side && task.state == state).count();
    let desired = usize::try_from(board.desired).unwrap_or(usize::MAX);
    let mut parts: Vec<_> = ORDER
        .iter()
        .filter_map(|&state| match (counted(state), state, side) {
            (0, ..) => None,
            // While unhealthy tasks are replaced there may be more than are wanted.
            (number, TaskState::Healthy, Side::New) if number <= desired => {
                Some(format!("{number} of {desired} healthy"))
            }
            (number, state, _) => Some(format!("{number} {}", state_word(state))),
        })
        .collect();
    match (side, board.failed) {
        (Side::New, failed) if failed > 0 => parts.push(format!("{failed} failed")),
        (Side::New | Side::Old, _) => {}
    }
    match (parts.is_empty(), side) {
        (true, Side::New) => "no task yet".to_owned(),
        (true, Side::Old) => "gone".to_owned(),
        (false, _) => parts.join(", "),
    }
}

/// `new hello:2: 1 of 2 healthy, 1 starting; old hello:1: 2 draining; circuit breaker 2 of 3`.
#[must_use]
pub fn board_line(board: &Board) -> String {
    let mut line = format!("new {}: {}", board.new_revision, side_line(board, Side::New));
    if board.tasks.iter().any(|task| task.side == Side::Old) {
        line = format!("{line}; old {}: {}", board.old_revisions.join(", "), side_line(board, Side::Old));
    }
    if let Some(breaker) = breaker_line(board) {
        line = format!("{line}; circuit breaker {breaker}");
    }
    // Without the bake time, which ticks by itself.
    if let Some(shift) = &board.shift {
        line = format!("{line}; {}", shift_line(&Shift { bake_left_ms: None, ..(**shift).clone() }, 0, 0));
    }
    line
}

/// How near the circuit breaker is to taking the rollout back, once anything has failed. Tasks that were under
/// way when it tripped are counted by ECS as well.
#[must_use]
pub fn breaker_line(board: &Board) -> Option<String> {
    let breaker = board.breaker.filter(|breaker| breaker.failures > 0)?;
    Some(if breaker.failures < breaker.threshold {
        format!("{} of {}", breaker.failures, breaker.threshold)
    } else {
        format!("tripped at {} of {}", breaker.failures.min(breaker.threshold), breaker.threshold)
    })
}

/// Where a rollout stands, in a word.
#[must_use]
pub const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Asked => "asked",
        Phase::Starting => "starting",
        Phase::Healthy => "live",
        Phase::Draining => "draining",
        Phase::Drained => "drained",
        Phase::RollingBack => "rolling back",
        Phase::Unknown => "unknown",
    }
}

/// What a rollout is at, for the line above its board.
#[must_use]
pub fn phase_line(board: &Board, board_ms: u64, now_ms: u64) -> String {
    let revision = &board.new_revision;
    match board.phase {
        Phase::Asked => format!("{revision}: waiting for ECS to start it"),
        Phase::Starting | Phase::Unknown => match to_go(board, board_ms, now_ms) {
            Some(left) => format!("{revision}: {}, about {} to go", side_line(board, Side::New), words::about(left)),
            None => format!("{revision}: {}", side_line(board, Side::New)),
        },
        Phase::Healthy => format!("{revision} is live"),
        Phase::Draining => {
            let old = board.tasks.iter().filter(|task| task.side == Side::Old);
            let left = old.clone().filter(|task| task.state != TaskState::Gone).count();
            let draining = format!("{revision} is live, draining {left} of {}", old.count());
            match drain_left(board, board_ms, now_ms) {
                Some(left) => format!("{draining}: {} left", words::countdown(left)),
                None => draining,
            }
        }
        Phase::Drained => format!("{revision} is live, the old tasks are gone"),
        Phase::RollingBack => format!("ECS takes {revision} back"),
    }
}

/// `RegisterTaskDefinition waits its turn: about 20s`.
#[must_use]
pub fn queued_line(operation: &str, wait_ms: u64) -> String {
    format!("{operation} waits its turn: about {}", words::about(wait_ms))
}

/// `done, waits for worker and web: the release is all or nothing`.
#[must_use]
pub fn others_line(others: &[Key]) -> String {
    let whom = match others {
        [one] => one.to_string(),
        [one, other] => format!("{one} and {other}"),
        several => words::count(several.len(), "other service"),
    };
    format!("done, waits for {whom}: the release is all or nothing")
}

/// What is left of the time that a rollout of this service takes as a rule; nothing where it takes longer.
#[must_use]
pub fn to_go(board: &Board, board_ms: u64, now_ms: u64) -> Option<u64> {
    let elapsed_ms = board.elapsed_ms.saturating_add(now_ms.saturating_sub(board_ms));
    board.expected_ms?.checked_sub(elapsed_ms).filter(|left| *left > 0)
}

/// `CANARY: PRODUCTION_TRAFFIC_SHIFT, 5% of the traffic on the new revision, bakes for 4m10s more`.
#[must_use]
pub fn shift_line(shift: &Shift, board_ms: u64, now_ms: u64) -> String {
    let Shift { strategy, stage, production_permille, test_permille, bake_left_ms } = shift;
    let percent = |permille: u32| match (permille / 10, permille % 10) {
        (whole, 0) => format!("{whole}%"),
        (whole, tenth) => format!("{whole}.{tenth}%"),
    };
    let mut parts = vec![match stage {
        Some(stage) => format!("{strategy}: {stage}"),
        None => strategy.clone(),
    }];
    match (production_permille, test_permille) {
        (Some(production), Some(test)) if test != production => {
            parts.push(format!(
                "{} of the traffic and {} of the test traffic is new",
                percent(*production),
                percent(*test)
            ));
        }
        (Some(production), _) => parts.push(format!("{} of the traffic is new", percent(*production))),
        (None, _) => {}
    }
    if let Some(left) = bake_left_ms {
        let left = left.saturating_sub(now_ms.saturating_sub(board_ms));
        parts.push(format!("bakes for {} more", words::countdown(left)));
    }
    parts.join(", ")
}

/// `waiting for somebody at POST_TEST_TRAFFIC_SHIFT, ROLLBACK in 23h59m; go on with: aws ecs …`, in two parts.
#[must_use]
pub fn hook_lines(hook: &Hook, now_ms: u64) -> [String; 2] {
    let Hook { id: _, stage, expires_ms, timeout_action, command } = hook;
    let at = stage.as_ref().map(|stage| format!(" at {stage}")).unwrap_or_default();
    let then = match (timeout_action, expires_ms) {
        (Some(action), Some(expires)) => {
            format!(", {action} in {}", words::about(expires.saturating_sub(now_ms)))
        }
        (Some(action), None) => format!(", {action} if nobody answers"),
        (None, _) => String::new(),
    };
    [format!("waiting for somebody{at}{then}"), command.clone()]
}

/// What is left of the longest drain at `now_ms`, counted down between two polls.
#[must_use]
pub fn drain_left(board: &Board, board_ms: u64, now_ms: u64) -> Option<u64> {
    let longest = board.tasks.iter().filter_map(|task| task.drain_left_ms).max()?;
    Some(longest.saturating_sub(now_ms.saturating_sub(board_ms)))
}

/// How a layer stands, in the words docker prints.
#[must_use]
pub const fn layer_word(state: &LayerState) -> &'static str {
    match state {
        LayerState::Preparing => "preparing",
        LayerState::Waiting => "waiting",
        LayerState::Pushing => "pushing",
        LayerState::Pushed => "pushed",
        LayerState::Exists => "already there",
        LayerState::Mounted => "mounted",
        LayerState::Retrying { .. } => "retrying",
        LayerState::Unknown => "unknown",
    }
}

/// `3 of 5 layers, 12.0 MB of 34.5 MB`: what of a push is done.
#[must_use]
pub fn layers_line(layers: &[Layer]) -> String {
    let finished =
        |layer: &&Layer| matches!(layer.state, LayerState::Pushed | LayerState::Exists | LayerState::Mounted);
    let done = layers.iter().filter(finished).count();
    let moved = |layer: &&Layer| matches!(layer.state, LayerState::Pushing | LayerState::Pushed);
    let total: u64 = layers.iter().filter(moved).filter_map(|layer| layer.total).sum();
    let current: u64 = layers
        .iter()
        .filter(moved)
        .map(|layer| match (&layer.state, layer.total) {
            (LayerState::Pushed, Some(total)) => total,
            (_, Some(total)) => layer.current.min(total),
            (_, None) => 0,
        })
        .sum();
    let counted = format!("{done} of {}", words::count(layers.len(), "layer"));
    if total == 0 { counted } else { format!("{counted}, {} of {}", words::bytes(current), words::bytes(total)) }
}

/// Done, cached and running vertices of a build.
#[must_use]
pub fn build_line(step: &StepView) -> String {
    let counted = |state: VertexState| step.vertices.iter().filter(|known| known.vertex.state == state).count();
    let (done, cached, running) =
        (counted(VertexState::Done), counted(VertexState::Cached), counted(VertexState::Started));
    let mut parts = Vec::new();
    if step.vertices.is_empty() && step.context_sent > 0 {
        parts.push(format!("context {}", words::bytes(step.context_sent)));
    }
    for (number, word) in [(done, "done"), (cached, "cached"), (running, "running")] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    parts.join(", ")
}
