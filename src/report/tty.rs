//! The face for a person at a terminal: finished steps stay as lines, what goes on is redrawn below
//! them in at most 24 lines. indicatif moves the cursor; what is drawn is worked out by [`frame`],
//! which is pure.

use std::io;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Report,
    fold::{self, Fold, StepState, StepView},
    plain,
    style::{Meaning, Sign, Style},
    words,
};
use crate::event::{Event, LayerState, Progress, Record, Side, StepKind, TaskState, VertexState};

/// However tall the terminal is: more than this is not read, it flickers.
const MOST_LINES: usize = 24;
/// Progress that is over before this is not worth a flash on the screen.
const PATIENCE_MS: u64 = 250;
/// Columns of the bar of a layer.
const BAR: usize = 24;

pub struct Tty {
    style: Style,
    width: usize,
    height: usize,
    fold: Fold,
    screen: MultiProgress,
    lines: Vec<ProgressBar>,
    now_ms: u64,
}

impl Tty {
    #[must_use]
    pub fn on_stderr(style: Style, width: u16, height: u16) -> Self {
        Self::new(ProgressDrawTarget::stderr_with_hz(20), style, width, height)
    }

    #[must_use]
    pub fn new(target: ProgressDrawTarget, style: Style, width: u16, height: u16) -> Self {
        let screen = MultiProgress::with_draw_target(target);
        screen.set_move_cursor(false);
        // A narrower terminal than 40 columns is not drawn for; a line may wrap there.
        let (width, height) = (usize::from(width).max(40), usize::from(height).max(8));
        Self { style, width, height, fold: Fold::default(), screen, lines: Vec::new(), now_ms: 0 }
    }

    fn print(&self, text: &str) -> io::Result<()> {
        self.screen.println(text)
    }

    fn draw(&mut self) {
        let lines = frame(&self.fold, self.now_ms, self.style, self.width, MOST_LINES.min(self.height - 1));
        while self.lines.len() > lines.len() {
            if let Some(bar) = self.lines.pop() {
                bar.finish_and_clear();
                self.screen.remove(&bar);
            }
        }
        while self.lines.len() < lines.len() {
            let style = ProgressStyle::with_template("{msg}").expect("the template is a constant that parses");
            let bar = ProgressBar::no_length().with_style(style);
            self.lines.push(self.screen.add(bar));
        }
        for (bar, line) in self.lines.iter().zip(lines) {
            bar.set_message(line);
            bar.tick();
        }
    }
}

impl Report for Tty {
    fn hear(&mut self, record: &Record) -> io::Result<()> {
        self.now_ms = self.now_ms.max(record.time_ms);
        self.fold.apply(record);
        let style = self.style;
        match &record.event {
            Event::Begun { verb, environment, .. } => {
                let to = environment.as_ref().map(|name| format!(" to {name}")).unwrap_or_default();
                self.print(&style.paint(Meaning::Strong, format!("{verb}{to}")))?;
            }
            Event::Done { step, .. } | Event::Skipped { step, .. } | Event::Failed { step, .. } => {
                if let Some(view) = self.fold.step(*step) {
                    let line = head(view, self.now_ms, style).draw(style, self.width);
                    self.print(&line)?;
                }
            }
            Event::Warned { message, .. } => {
                self.print(&style.paint(Meaning::Caution, format!("warning: {message}")))?;
            }
            Event::Told { progress: Progress::TaskFailed { task, .. }, .. } => {
                for line in plain::failed_task(task) {
                    self.print(&style.paint(Meaning::Bad, format!("  {line}")))?;
                }
            }
            Event::Told { progress: Progress::TakingBack { why, .. }, .. } => {
                self.print(&style.paint(Meaning::Caution, format!("  taking it back: {}", words::clean(why))))?;
            }
            Event::Told { progress: Progress::BuildWarning { message }, .. } => {
                self.print(&style.paint(Meaning::Caution, format!("  warning: {}", words::clean(message))))?;
            }
            Event::Told { progress: Progress::Vertex(vertex), step } if vertex.state == VertexState::Failed => {
                // The log of the failing step is the reason; it must outlive the redrawn part.
                let log = self
                    .fold
                    .step(*step)
                    .and_then(|view| view.vertices.iter().find(|known| known.vertex.id == vertex.id))
                    .map(|known| known.log.iter().cloned().collect::<Vec<_>>())
                    .unwrap_or_default();
                self.print(&style.paint(Meaning::Bad, format!("  {}", words::clean(&vertex.name))))?;
                for line in log {
                    self.print(&format!("  | {line}"))?;
                }
            }
            Event::Ended { .. } => {
                self.draw();
                if let Some(ended) = &self.fold.ended {
                    self.print(&plain::ending(ended, style))?;
                }
            }
            Event::Started { .. } | Event::Told { .. } | Event::Unknown => {}
        }
        self.draw();
        Ok(())
    }

    fn tick(&mut self, now_ms: u64) -> io::Result<()> {
        self.now_ms = self.now_ms.max(now_ms);
        self.draw();
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        for bar in self.lines.drain(..) {
            bar.finish_and_clear();
        }
        self.screen.clear()
    }
}

/// A line as pieces, so that cutting it to the width does not count colour codes.
#[derive(Default)]
struct Line {
    pieces: Vec<(Option<Meaning>, String)>,
}

impl Line {
    fn new() -> Self {
        Self::default()
    }

    fn text(mut self, text: impl Into<String>) -> Self {
        self.pieces.push((None, text.into()));
        self
    }

    fn meant(mut self, meaning: Meaning, text: impl Into<String>) -> Self {
        self.pieces.push((Some(meaning), text.into()));
        self
    }

    fn draw(&self, style: Style, width: usize) -> String {
        let mut left = width.saturating_sub(1);
        let mut drawn = String::new();
        for (meaning, text) in &self.pieces {
            let fitted = words::fit(text, left);
            left -= fitted.chars().count();
            match meaning {
                Some(meaning) => drawn.push_str(&style.paint(*meaning, fitted)),
                None => drawn.push_str(&fitted),
            }
            if left == 0 {
                break;
            }
        }
        drawn
    }
}

/// The first line of a step: sign, number, title, note and time.
fn head(view: &StepView, now_ms: u64, style: Style) -> Line {
    let (sign, meaning) = match view.state {
        StepState::Pending => (style.sign(Sign::Waiting), Meaning::Aside),
        StepState::Running => (style.spinner(now_ms), Meaning::Active),
        StepState::Done => (style.sign(Sign::Done), Meaning::Good),
        StepState::Skipped => (style.sign(Sign::Skipped), Meaning::Aside),
        StepState::Failed => (style.sign(Sign::Failed), Meaning::Bad),
    };
    let line = Line::new().meant(meaning, sign).text(format!(" {:<28} ", view.outline.title));
    let took = words::duration(view.elapsed_ms(now_ms));
    match view.state {
        StepState::Pending => line.meant(Meaning::Aside, view.outline.cause.clone()),
        StepState::Skipped => line.meant(Meaning::Aside, view.note.clone()),
        StepState::Failed => line.text(format!("{took:>6}  ")).meant(Meaning::Bad, view.note.clone()),
        StepState::Done => line.text(format!("{took:>6}  ")).meant(Meaning::Aside, view.note.clone()),
        StepState::Running => line.text(format!("{took:>6}  ")).text(running_note(view, now_ms)),
    }
}

fn running_note(view: &StepView, now_ms: u64) -> String {
    if let Some(retrying) = &view.retrying {
        return retrying.clone();
    }
    match view.outline.kind {
        StepKind::Build => fold::build_line(view),
        StepKind::Push if !view.layers.is_empty() => fold::layers_line(&view.layers),
        StepKind::Watch => match &view.board {
            Some(board) => match fold::drain_left(board, view.board_ms, now_ms) {
                Some(left) => format!("live, draining: {} left", words::countdown(left)),
                None => fold::board_line(board),
            },
            None => String::new(),
        },
        StepKind::Push
        | StepKind::SetUp
        | StepKind::Login
        | StepKind::Register
        | StepKind::Update
        | StepKind::Unknown => String::new(),
    }
}

/// The part of the screen that is redrawn: running steps with what goes on inside them, then those
/// that wait; cut to `most` lines with a word about what is missing.
#[must_use]
pub fn frame(fold: &Fold, now_ms: u64, style: Style, width: usize, most: usize) -> Vec<String> {
    if fold.ended.is_some() {
        return Vec::new();
    }
    let running: Vec<_> = fold
        .steps
        .iter()
        .filter(|view| view.state == StepState::Running && view.elapsed_ms(now_ms) >= PATIENCE_MS)
        .collect();
    let waiting: Vec<_> = fold.steps.iter().filter(|view| view.state == StepState::Pending).collect();
    // What waits gets at most four lines; what runs shares the rest evenly.
    let waiting_lines = waiting.len().min(4);
    let inside = if running.is_empty() {
        0
    } else {
        (most.saturating_sub(waiting_lines + running.len()) / running.len()).min(14)
    };
    let mut lines = Vec::new();
    for view in running {
        lines.push(head(view, now_ms, style).draw(style, width));
        lines.extend(detail(view, now_ms, style, inside).iter().map(|line| line.draw(style, width)));
    }
    if lines.is_empty() {
        // Between two steps there is nothing to see; a list of what waits would only flicker.
        return lines;
    }
    for (number, view) in waiting.iter().enumerate() {
        if number + 1 == waiting_lines && waiting.len() > waiting_lines {
            let more = words::count(waiting.len() - number, "more step");
            lines.push(Line::new().meant(Meaning::Aside, format!("  … {more}")).draw(style, width));
            break;
        }
        lines.push(head(view, now_ms, style).draw(style, width));
    }
    lines.truncate(most);
    lines
}

/// What goes on inside a running step, in at most `most` lines.
fn detail(view: &StepView, now_ms: u64, style: Style, most: usize) -> Vec<Line> {
    let lines = match view.outline.kind {
        StepKind::Build => build_detail(view, now_ms),
        StepKind::Push => push_detail(view, style),
        StepKind::Watch => watch_detail(view, now_ms, style),
        StepKind::SetUp | StepKind::Login | StepKind::Register | StepKind::Update | StepKind::Unknown => Vec::new(),
    };
    if lines.len() <= most {
        return lines;
    }
    let kept = most.saturating_sub(1);
    let more = lines.len() - kept;
    let mut cut: Vec<_> = lines.into_iter().take(kept).collect();
    if most > 0 {
        cut.push(Line::new().meant(Meaning::Aside, format!("    … {more} more")));
    }
    cut
}

fn build_detail(view: &StepView, _now_ms: u64) -> Vec<Line> {
    let mut lines = Vec::new();
    for known in view.vertices.iter().filter(|known| known.vertex.state == VertexState::Started) {
        let mut line = Line::new().text("    ").meant(Meaning::Active, words::clean(&known.vertex.name));
        if let Some((name, current, total)) = &known.status {
            let of = if *total > 0 { format!(" of {}", words::bytes(*total)) } else { String::new() };
            line = line.meant(Meaning::Aside, format!("  {name} {}{of}", words::bytes(*current)));
        }
        lines.push(line);
        lines.extend(known.log.iter().map(|log| Line::new().meant(Meaning::Aside, format!("      {log}"))));
    }
    lines
}

fn push_detail(view: &StepView, style: Style) -> Vec<Line> {
    let settled = |state: &LayerState| matches!(state, LayerState::Pushed | LayerState::Exists | LayerState::Mounted);
    // Moving layers first: they are what one looks at.
    let (done, moving): (Vec<_>, Vec<_>) = view.layers.iter().partition(|layer| settled(&layer.state));
    moving
        .into_iter()
        .chain(done)
        .map(|layer| {
            let line = Line::new().text("    ").meant(Meaning::Aside, layer.id.clone()).text(" ");
            match (&layer.state, layer.total) {
                (LayerState::Pushing, Some(total)) => line
                    .meant(Meaning::Active, style.bar(layer.current, total, BAR))
                    .text(format!(" {} of {}", words::bytes(layer.current.min(total)), words::bytes(total))),
                (LayerState::Pushing, None) => {
                    line.meant(Meaning::Active, format!("pushing {}", words::bytes(layer.current)))
                }
                (LayerState::Retrying { seconds }, _) => {
                    line.meant(Meaning::Caution, format!("retrying in {seconds}s"))
                }
                (LayerState::Pushed, _) => line
                    .meant(Meaning::Good, style.bar(1, 1, BAR))
                    .text(layer.total.map(|total| format!(" {}", words::bytes(total))).unwrap_or_default()),
                (
                    state @ (LayerState::Preparing
                    | LayerState::Waiting
                    | LayerState::Exists
                    | LayerState::Mounted
                    | LayerState::Unknown),
                    _,
                ) => line.meant(Meaning::Aside, fold::layer_word(state)),
            }
        })
        .collect()
}

fn watch_detail(view: &StepView, now_ms: u64, style: Style) -> Vec<Line> {
    let Some(board) = &view.board else { return Vec::new() };
    let mut lines = Vec::new();
    for side in [Side::New, Side::Old] {
        let mut label = match side {
            Side::New => "new",
            Side::Old => "old",
        };
        for task in board.tasks.iter().filter(|task| task.side == side && task.state != TaskState::Gone) {
            let (sign, meaning) = match task.state {
                TaskState::Healthy => (Sign::Full, Meaning::Good),
                TaskState::Starting | TaskState::Registering => (Sign::Half, Meaning::Active),
                TaskState::Draining | TaskState::Stopping => (Sign::Half, Meaning::Caution),
                TaskState::Unhealthy => (Sign::Full, Meaning::Bad),
                TaskState::Gone | TaskState::Unknown => (Sign::Empty, Meaning::Aside),
            };
            let short = task.id.get(..8).unwrap_or(&task.id);
            let mut line = Line::new()
                .meant(Meaning::Strong, format!("    {label:<4}"))
                .meant(Meaning::Aside, format!("{:<16} {short}  ", task.revision))
                .meant(meaning, format!("{} {:<12}", style.sign(sign), fold::state_word(task.state)));
            if let Some(left) = task.drain_left_ms {
                let left = left.saturating_sub(now_ms.saturating_sub(view.board_ms));
                line = line.text(format!("{} left", words::countdown(left)));
            } else if let Some(detail) = &task.detail {
                line = line.meant(Meaning::Aside, words::clean(detail));
            }
            lines.push(line);
            label = "";
        }
    }
    if let Some(breaker) = board.breaker.filter(|breaker| breaker.failures > 0) {
        let text = format!("    circuit breaker: {} of {} failures", breaker.failures, breaker.threshold);
        lines.push(Line::new().meant(Meaning::Bad, text));
    }
    if let Some(event) = &view.last_event {
        lines.push(Line::new().meant(Meaning::Aside, format!("    ecs: {}", words::clean(event))));
    }
    lines
}
