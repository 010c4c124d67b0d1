//! The face for a person at a terminal: finished steps stay as lines, what goes on is redrawn below
//! them in at most 24 lines. What is drawn is worked out by [`frame`], which is pure.
//!
//! Each picture is one write, so that nobody sees halves of two, and every line ends with a line feed of
//! its own: a terminal that is made wider or narrower breaks no line that was not broken before.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{
    Report, Size,
    fold::{self, Fold, News, StepState, StepView},
    plain,
    style::{Meaning, Sign, Style},
    words,
};
use crate::event::{
    Board, BoardTask, Event, FailedKind, LayerState, Phase, Progress, Record, Side, StepKind, TaskState, VertexState,
};

/// However tall the terminal is: more than this is not read, it flickers.
const MOST_LINES: usize = 24;
/// Progress that is over before this is not worth a flash on the screen.
const PATIENCE_MS: u64 = 250;
/// Columns of the bar of a layer.
const BAR: usize = 24;
/// Titles longer than this, or than a third of the line, push their text to the right instead of everybody's.
const TITLE: usize = 28;

pub struct Tty<W> {
    out: W,
    style: Style,
    /// Asked before every picture: a window can be resized.
    size: fn() -> Size,
    fold: Fold,
    now_ms: u64,
    /// The picture on the screen now.
    drawn: Vec<Row>,
}

/// A line as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// With its colours.
    pub text: String,
    /// Without.
    pub columns: usize,
}

impl<W: Write + Send> Tty<W> {
    #[must_use]
    pub fn new(out: W, style: Style, size: fn() -> Size) -> Self {
        Self { out, style, size, fold: Fold::default(), now_ms: 0, drawn: Vec::new() }
    }

    /// Puts `above` where it stays, and the picture of now below it.
    fn draw(&mut self, above: &[String]) -> io::Result<()> {
        let Size { width, height } = (self.size)();
        // The last row is left free: a terminal that scrolls a picture cannot take it back.
        let most = MOST_LINES.min(usize::from(height).saturating_sub(1));
        let width = usize::from(width).max(1);
        let rows = frame(&self.fold, self.now_ms, self.style, width, most);
        if above.is_empty() && rows == self.drawn {
            return Ok(());
        }
        // `CSI ? 2026` asks a terminal to show it all at once; one that does not know it ignores it.
        let mut bytes = String::from("\u{1b}[?2026h\r");
        // In a window that was made narrower, a row of the old picture takes several.
        let old: usize = self.drawn.iter().map(|row| row.columns.div_ceil(width).max(1)).sum();
        if old > 1 {
            write!(bytes, "\u{1b}[{}A", old - 1).expect("writing to a string cannot fail");
        }
        bytes.push_str("\u{1b}[J");
        for line in above {
            bytes.push_str(&self.style.spell(line));
            bytes.push_str("\r\n");
        }
        for (number, row) in rows.iter().enumerate() {
            if number > 0 {
                bytes.push_str("\r\n");
            }
            bytes.push_str(&row.text);
        }
        bytes.push_str("\u{1b}[?2026l");
        self.drawn = rows;
        self.out.write_all(bytes.as_bytes())?;
        self.out.flush()
    }

    /// A sentence of ours, broken at spaces; what follows its first line is indented by `indent`.
    fn sentence(&self, meaning: Meaning, text: &str, indent: usize) -> Vec<String> {
        let width = usize::from((self.size)().width).saturating_sub(indent + 1).max(20);
        let lead = text.len() - text.trim_start().len();
        words::wrap(text.trim_start(), width.saturating_sub(lead))
            .into_iter()
            .enumerate()
            .map(|(number, line)| {
                let indent = if number == 0 { lead } else { lead + indent };
                format!("{}{}", " ".repeat(indent), self.style.paint(meaning, line))
            })
            .collect()
    }

    /// What an event leaves on the screen for good.
    fn leaves(&self, event: &Event) -> Vec<String> {
        let style = self.style;
        match event {
            Event::Begun { .. } => vec![style.paint(Meaning::Strong, self.fold.headline())],
            Event::Done { step, .. } | Event::Skipped { step, .. } | Event::Failed { step, .. } => {
                let Some(view) = self.fold.step(*step) else { return Vec::new() };
                let width = usize::from((self.size)().width);
                let line = head(view, self.now_ms, title_columns(&self.fold, width));
                let mut lines = vec![line.draw(style, width).text];
                if view.state == StepState::Failed && !view.note.is_empty() {
                    lines.extend(self.sentence(Meaning::Bad, &format!("    {}", words::clean(&view.note)), 0));
                }
                lines
            }
            Event::Warned { message, .. } => {
                self.sentence(Meaning::Caution, &format!("warning: {}", words::clean(message)), 9)
            }
            Event::Told { progress: Progress::TaskFailed { task, .. }, step } => {
                match self.fold.step(*step).map(|view| view.news(task)) {
                    Some(News::New) => {}
                    Some(News::Again) | None => return Vec::new(),
                }
                let mut lines = plain::failed_task(task).into_iter();
                let first = lines.next().map(|line| self.sentence(Meaning::Bad, &format!("  {line}"), 2));
                // Log lines are evidence: they are not broken by us.
                let log = lines.map(|line| format!("  {line}"));
                first.into_iter().flatten().chain(log).collect()
            }
            Event::Told { progress: Progress::TakingBack { why, .. }, .. } => {
                self.sentence(Meaning::Caution, &format!("  taking it back: {}", words::clean(why)), 2)
            }
            // What a migration says is kept: it is the only record of what it did.
            Event::Told { progress: Progress::TaskLog { line, .. }, .. } => {
                vec![format!("  | {}", words::clean(line))]
            }
            Event::Told { progress: Progress::BuildWarning { message }, .. } => {
                self.sentence(Meaning::Caution, &format!("  warning: {}", words::clean(message)), 9)
            }
            Event::Told { progress: Progress::Vertex(vertex), step } if vertex.state == VertexState::Failed => {
                // The log of the failing step is the reason; it must outlive the redrawn part.
                let log = self
                    .fold
                    .step(*step)
                    .and_then(|view| view.vertices.iter().find(|known| known.vertex.id == vertex.id))
                    .map(|known| known.log.iter().map(|line| format!("    | {line}")).collect::<Vec<_>>())
                    .unwrap_or_default();
                let mut lines = vec![style.paint(Meaning::Bad, format!("  {}", words::clean(&vertex.name)))];
                lines.extend(log);
                if let Some(error) = &vertex.error {
                    lines.extend(self.sentence(Meaning::Bad, &format!("    {}", words::clean(error)), 2));
                }
                lines
            }
            Event::Ended { .. } => {
                let lines = plain::ending(&self.fold);
                // Further lines of what has a label, `  hint:  `, stand under its text.
                let drawn = lines
                    .iter()
                    .map(|(meaning, line)| self.sentence(*meaning, line, if line.starts_with(' ') { 7 } else { 2 }));
                drawn.flatten().collect()
            }
            Event::Started { .. } | Event::Told { .. } | Event::Unknown => Vec::new(),
        }
    }
}

impl<W: Write + Send> Report for Tty<W> {
    fn hear(&mut self, record: &Record) -> io::Result<()> {
        self.now_ms = self.now_ms.max(record.time_ms);
        self.fold.apply(record);
        let above = self.leaves(&record.event);
        // What only changes the picture waits for the next tick: a build may print a thousand lines a second.
        if above.is_empty() { Ok(()) } else { self.draw(&above) }
    }

    fn tick(&mut self, now_ms: u64) -> io::Result<()> {
        self.now_ms = self.now_ms.max(now_ms);
        self.draw(&[])
    }

    fn close(&mut self) -> io::Result<()> {
        // A run that was cut off leaves its picture; what comes next begins on a line of its own.
        if !self.drawn.is_empty() {
            self.out.write_all(b"\r\n")?;
        }
        self.out.flush()
    }
}

/// A line as pieces, so that cutting it to the width does not count colour codes.
#[derive(Default)]
struct Line {
    pieces: Vec<(Meaning, String)>,
}

impl Line {
    fn new() -> Self {
        Self::default()
    }

    fn text(self, text: impl Into<String>) -> Self {
        self.meant(Meaning::Plain, text)
    }

    fn meant(mut self, meaning: Meaning, text: impl Into<String>) -> Self {
        self.pieces.push((meaning, text.into()));
        self
    }

    /// One column stays free: a line that fills the last one makes some terminals begin another.
    fn draw(&self, style: Style, width: usize) -> Row {
        let room = width.saturating_sub(1);
        let (mut text, mut columns) = (String::new(), 0);
        for (meaning, piece) in &self.pieces {
            let spelled = style.spell(piece);
            let fitted = words::fit(&spelled, room - columns, style.ellipsis());
            let is_cut = fitted.len() < spelled.len();
            columns += words::columns(&fitted);
            text.push_str(&style.paint(*meaning, fitted));
            if is_cut || columns >= room {
                break;
            }
        }
        Row { text, columns }
    }
}

fn title_columns(fold: &Fold, width: usize) -> usize {
    fold.title_columns(TITLE.min(width / 3))
}

/// The first line of a step: sign, title, time and what came of it.
fn head(view: &StepView, now_ms: u64, columns: usize) -> Head<'_> {
    Head { view, now_ms, columns }
}

struct Head<'a> {
    view: &'a StepView,
    now_ms: u64,
    columns: usize,
}

impl Head<'_> {
    fn draw(&self, style: Style, width: usize) -> Row {
        let Self { view, now_ms, columns } = *self;
        let (sign, meaning) = match view.state {
            StepState::Pending => (style.sign(Sign::Waiting), Meaning::Aside),
            StepState::Running => (style.spinner(now_ms), Meaning::Active),
            StepState::Done => (style.sign(Sign::Done), Meaning::Good),
            StepState::Skipped => (style.sign(Sign::Skipped), Meaning::Aside),
            StepState::Failed => (style.sign(Sign::Failed), Meaning::Bad),
        };
        let line = Line::new().meant(meaning, sign).text(format!(" {:<columns$} ", fold::title(&view.outline)));
        let took = format!("{:>6}  ", words::duration(view.elapsed_ms(now_ms)));
        let note = || words::brief_digests(&words::brief(&words::clean(&view.note)));
        match view.state {
            StepState::Pending => line.meant(Meaning::Aside, format!("        {}", view.outline.cause)),
            StepState::Skipped => line.meant(Meaning::Aside, format!("        {}", note())),
            StepState::Failed => line.text(took).meant(Meaning::Bad, fold::failed_word(view.how)),
            StepState::Done => line.text(took).meant(Meaning::Aside, note()),
            StepState::Running => line.text(took).text(running_note(view, now_ms)),
        }
        .draw(style, width)
    }
}

fn running_note(view: &StepView, now_ms: u64) -> String {
    if let Some(retrying) = &view.retrying {
        return retrying.clone();
    }
    if let Some(waiting) = &view.waiting {
        return waiting.clone();
    }
    match view.outline.kind {
        StepKind::Build | StepKind::Check => fold::build_line(view),
        StepKind::Push | StepKind::Copy if !view.layers.is_empty() => fold::layers_line(&view.layers),
        StepKind::Watch => {
            view.board.as_ref().map(|board| fold::phase_line(board, view.board_ms, now_ms)).unwrap_or_default()
        }
        StepKind::Before => view.task.clone().unwrap_or_default(),
        StepKind::Push
        | StepKind::Copy
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
pub fn frame(fold: &Fold, now_ms: u64, style: Style, width: usize, most: usize) -> Vec<Row> {
    if fold.ended.is_some() || most == 0 {
        return Vec::new();
    }
    let running: Vec<_> = fold
        .steps
        .iter()
        .filter(|view| view.state == StepState::Running && view.elapsed_ms(now_ms) >= PATIENCE_MS)
        .collect();
    if running.is_empty() {
        // Between two steps there is nothing to see; a list of what waits would only flicker.
        return Vec::new();
    }
    let columns = title_columns(fold, width);
    let waiting: Vec<_> = fold.steps.iter().filter(|view| view.state == StepState::Pending).collect();
    if running.len() >= most {
        return crowd(running, waiting.len(), now_ms, style, width, columns, most);
    }
    // What waits gets at most four lines; what runs shares the rest evenly.
    let waiting_lines = waiting.len().min(4).min(most.saturating_sub(running.len()));
    let inside = most.saturating_sub(waiting_lines + running.len()) / running.len();
    let mut rows = Vec::new();
    for view in running {
        rows.push(head(view, now_ms, columns).draw(style, width));
        rows.extend(detail(view, now_ms, style, inside).iter().map(|line| line.draw(style, width)));
    }
    for (number, view) in waiting.iter().take(waiting_lines).enumerate() {
        if number + 1 == waiting_lines && waiting.len() > waiting_lines {
            let more = words::count(waiting.len() - number, "more step");
            rows.push(Line::new().meant(Meaning::Aside, format!("  … {more}")).draw(style, width));
            break;
        }
        rows.push(head(view, now_ms, columns).draw(style, width));
    }
    rows.truncate(most);
    rows
}

/// More steps than lines, as when a hundred services roll out at once: those that are in trouble, then those that have
/// farthest to go, and the rest in numbers.
fn crowd(
    mut running: Vec<&StepView>,
    waiting: usize,
    now_ms: u64,
    style: Style,
    width: usize,
    columns: usize,
    most: usize,
) -> Vec<Row> {
    let phase = |view: &StepView| view.board.as_ref().map(|board| board.phase);
    let is_troubled = |view: &StepView| {
        let is_held = view.board.as_ref().is_some_and(|board| board.hook.is_some() || board.failed > 0);
        is_held || !view.failures.is_empty() || view.trouble.is_some() || phase(view) == Some(Phase::RollingBack)
    };
    running.sort_by_key(|view| (!is_troubled(view), phase(view)));
    let lines_below = 1 + usize::from(waiting > 0);
    let hidden = running.split_off(most.saturating_sub(lines_below).min(running.len()));
    let mut rows: Vec<_> = running.into_iter().map(|view| head(view, now_ms, columns).draw(style, width)).collect();
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for view in &hidden {
        let word = phase(view).map_or("running", fold::phase_word);
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    let counted: Vec<_> = counts.into_iter().map(|(word, count)| format!("{count} {word}")).collect();
    let more = format!("  … {} more: {}", hidden.len(), counted.join(", "));
    rows.push(Line::new().meant(Meaning::Aside, more).draw(style, width));
    if waiting > 0 {
        let more = words::count(waiting, "step");
        rows.push(Line::new().meant(Meaning::Aside, format!("  … {more} to come")).draw(style, width));
    }
    rows.truncate(most);
    rows
}

/// What goes on inside a running step, in at most `most` lines.
fn detail(view: &StepView, now_ms: u64, style: Style, most: usize) -> Vec<Line> {
    let lines = match view.outline.kind {
        StepKind::Build | StepKind::Check => build_detail(view),
        StepKind::Push | StepKind::Copy => push_detail(view, style),
        StepKind::Watch => watch_detail(view, now_ms, style, most),
        StepKind::SetUp
        | StepKind::Login
        | StepKind::Register
        | StepKind::Before
        | StepKind::Update
        | StepKind::Unknown => Vec::new(),
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

fn build_detail(view: &StepView) -> Vec<Line> {
    let mut lines = Vec::new();
    for known in view.vertices.iter().filter(|known| known.vertex.state == VertexState::Started) {
        let mut line = Line::new().text("    ").meant(Meaning::Active, words::clean(&known.vertex.name));
        if let Some((name, current, total)) = &known.status {
            let name = words::brief_digests(&words::clean(name));
            let numbers = match (*current, *total) {
                (0, 0) => String::new(),
                (current, 0) => format!(" {}", words::bytes(current)),
                (current, total) => format!(" {} of {}", words::bytes(current), words::bytes(total)),
            };
            line = line.meant(Meaning::Aside, format!("  {name}{numbers}"));
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

/// The board: new tasks, old tasks, what failed, the circuit breaker and ECS's last word.
fn watch_detail(view: &StepView, now_ms: u64, style: Style, most: usize) -> Vec<Line> {
    let Some(board) = &view.board else { return Vec::new() };
    let mut below = Vec::new();
    let label = |text: &str| Line::new().meant(Meaning::Strong, format!("    {text:<8}"));
    if let Some(hook) = &board.hook {
        let [waiting, command] = fold::hook_lines(hook, now_ms);
        below.push(label("hook").meant(Meaning::Caution, waiting));
        below.push(label("").text(command));
    }
    if let Some(shift) = &board.shift {
        below.push(label("traffic").text(fold::shift_line(shift, view.board_ms, now_ms)));
    }
    for group in &view.failures {
        let tasks = words::count(group.tasks.len(), "task");
        let explanation = words::brief(&words::clean(&group.shown.explanation));
        let (word, meaning) = match group.shown.kind {
            FailedKind::Failed | FailedKind::Unknown => ("failed", Meaning::Bad),
            FailedKind::Lost => ("lost", Meaning::Caution),
        };
        below.push(label(word).meant(meaning, format!("{tasks}: {explanation}")));
    }
    if let Some(breaker) = fold::breaker_line(board) {
        below.push(label("breaker").meant(Meaning::Bad, breaker));
    }
    if let Some(event) = &view.last_event {
        below.push(label("ecs").meant(Meaning::Aside, event.clone()));
    }
    if let Some(trouble) = &view.trouble {
        below.push(label("").meant(Meaning::Caution, trouble.clone()));
    }
    for denied in &board.denied {
        below.push(label("unread").meant(Meaning::Caution, format!("{} is not allowed", words::clean(denied))));
    }
    let mut lines = tasks_detail(board, view.board_ms, now_ms, style, most.saturating_sub(below.len()));
    lines.append(&mut below);
    lines
}

/// That an old task ends because it is replaced need not be said.
fn is_asked_to_end(task: &BoardTask) -> bool {
    task.side == Side::Old && matches!(task.state, TaskState::Draining | TaskState::Stopping)
}

/// A line for each task; a line for all tasks that read the same, where there is no room for each.
fn tasks_detail(board: &Board, board_ms: u64, now_ms: u64, style: Style, most: usize) -> Vec<Line> {
    let mut tasks: Vec<(&BoardTask, usize)> =
        board.tasks.iter().filter(|task| task.state != TaskState::Gone).map(|task| (task, 1)).collect();
    let is_crowded = tasks.len() > most;
    if is_crowded {
        let mut groups: Vec<(&BoardTask, usize)> = Vec::new();
        for (task, _) in tasks {
            let same = |other: &&mut (&BoardTask, usize)| {
                let (one, other) = (task, other.0);
                (one.side, &one.revision, one.state, &one.detail)
                    == (other.side, &other.revision, other.state, &other.detail)
            };
            match groups.iter_mut().find(same) {
                Some((shown, count)) => {
                    *count += 1;
                    if task.drain_left_ms > shown.drain_left_ms {
                        *shown = task;
                    }
                }
                None => groups.push((task, 1)),
            }
        }
        tasks = groups;
    }
    let columns = tasks.iter().map(|(task, _)| words::columns(&task.revision)).max().unwrap_or(0);
    let mut before = None;
    let mut lines = Vec::new();
    for (task, count) in tasks {
        let (sign, meaning) = match task.state {
            TaskState::Healthy => (Sign::Full, Meaning::Good),
            TaskState::Starting | TaskState::Registering => (Sign::Half, Meaning::Active),
            TaskState::Draining | TaskState::Stopping => (Sign::Half, Meaning::Caution),
            TaskState::Unhealthy => (Sign::Full, Meaning::Bad),
            TaskState::Gone | TaskState::Unknown => (Sign::Empty, Meaning::Aside),
        };
        // Said where it changes.
        let is_same = before.replace((task.side, &task.revision)) == Some((task.side, &task.revision));
        let (side, revision) = match (is_same, task.side) {
            (true, _) => ("", ""),
            (false, Side::New) => ("new", task.revision.as_str()),
            (false, Side::Old) => ("old", task.revision.as_str()),
        };
        let who =
            if is_crowded { words::count(count, "task") } else { task.id.get(..8).unwrap_or(&task.id).to_owned() };
        let mut line = Line::new()
            .meant(Meaning::Strong, format!("    {side:<8}"))
            .text(format!("{revision:<columns$}  "))
            .meant(Meaning::Aside, format!("{who:<9} "))
            .meant(meaning, format!("{} {:<11}", style.sign(sign), fold::state_word(task.state)));
        if let Some(left) = task.drain_left_ms {
            let left = left.saturating_sub(now_ms.saturating_sub(board_ms));
            line = line.text(format!(" {} left", words::countdown(left)));
        } else if let Some(detail) = task.detail.as_ref().filter(|_| !is_asked_to_end(task)) {
            line = line.meant(Meaning::Aside, format!(" {}", words::brief(&words::clean(detail))));
        }
        lines.push(line);
    }
    lines
}
