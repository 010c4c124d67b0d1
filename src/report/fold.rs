//! Events folded into the state that the faces show. Shared by `tty` and `plain`, so that both say
//! the same about the same run.

use std::collections::VecDeque;

use super::words;
use crate::{
    event::{
        Board, Event, Layer, LayerState, Progress, Record, ServiceLive, Side, StepOutline, TaskState, Vertex,
        VertexState,
    },
    id::StepId,
};

/// As many lines of a running build step as BuildKit itself shows.
const LOG_TAIL: usize = 6;

#[derive(Debug, Default)]
pub struct Fold {
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
}

#[derive(Debug)]
pub struct StepView {
    pub outline: StepOutline,
    pub state: StepState,
    pub started_ms: u64,
    pub ended_ms: u64,
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
            note: String::new(),
            context_sent: 0,
            vertices: Vec::new(),
            layers: Vec::new(),
            board: None,
            board_ms: 0,
            last_event: None,
            retrying: None,
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
            Progress::ServiceEvent { text, .. } => self.last_event = Some(without_prefix(text).to_owned()),
            Progress::Retrying { operation, code, delay_ms, .. } => {
                self.retrying =
                    Some(format!("{operation} answered {code}, trying again in {}", words::duration(*delay_ms)));
            }
            Progress::BuildWarning { .. }
            | Progress::Phase { .. }
            | Progress::TaskFailed { .. }
            | Progress::TakingBack { .. }
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
            Event::Begun { verb, environment, steps, .. } => {
                self.begun_ms = now;
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
            Event::Failed { step, note } => {
                if let Some(step) = self.step_mut(*step) {
                    step.end(StepState::Failed, note, now);
                }
            }
            Event::Told { step, progress } => {
                if let Some(step) = self.step_mut(*step) {
                    step.told(progress, now);
                }
            }
            Event::Ended { summary, exit, live, elapsed_ms } => {
                self.ended =
                    Some(Ended { summary: summary.clone(), exit: *exit, live: live.clone(), elapsed_ms: *elapsed_ms });
            }
            Event::Warned { .. } | Event::Unknown => {}
        }
    }

    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&StepView> {
        self.steps.iter().find(|step| step.outline.id == id)
    }

    fn step_mut(&mut self, id: StepId) -> Option<&mut StepView> {
        self.steps.iter_mut().find(|step| step.outline.id == id)
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
        TaskState::Stopping => "stopping",
        TaskState::Gone => "gone",
        TaskState::Unknown => "unknown",
    }
}

/// `new 1 of 2 healthy, 1 starting; old 2 draining, 12s left`.
#[must_use]
pub fn board_line(board: &Board) -> String {
    const ORDER: [TaskState; 7] = [
        TaskState::Healthy,
        TaskState::Registering,
        TaskState::Starting,
        TaskState::Unhealthy,
        TaskState::Draining,
        TaskState::Stopping,
        TaskState::Unknown,
    ];
    let side = |side: Side| {
        let counted =
            |state: TaskState| board.tasks.iter().filter(|task| task.side == side && task.state == state).count();
        ORDER
            .iter()
            .filter_map(|&state| match (counted(state), state, side) {
                (0, ..) => None,
                (number, TaskState::Healthy, Side::New) => Some(format!("{number} of {} healthy", board.desired)),
                (number, state, _) => Some(format!("{number} {}", state_word(state))),
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut line = match side(Side::New) {
        new if new.is_empty() => format!("new {}: no task yet", board.new_revision),
        new => format!("new {}: {new}", board.new_revision),
    };
    let old = side(Side::Old);
    if !old.is_empty() {
        line.push_str("; old ");
        line.push_str(&old);
    }
    if let Some(breaker) = board.breaker.filter(|breaker| breaker.failures > 0) {
        line = format!("{line}; circuit breaker {} of {}", breaker.failures, breaker.threshold);
    }
    line
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
