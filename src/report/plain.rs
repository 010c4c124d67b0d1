//! The face for logs: a line per change, nothing ever redrawn, made to be read in Jenkins afterwards.
//!
//! Every line begins with the time since the start and with its step, so that steps that run side by side
//! can be told apart, and searched for. A step that is over at once is one line.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use super::{
    Report,
    fold::{self, Fold, News, StepState},
    style::{Meaning, Style},
    words,
};
use crate::{
    event::{Board, Event, FailedKind, FailedTask, Progress, Record, ToldError, Vertex, VertexState},
    id::StepId,
};

/// Between two lines about the same push: a console log wants a sign of life, not a film.
const PUSH_LINES_EVERY_MS: u64 = 5_000;
/// Between two lines about a drain in which nothing but the time changes.
const DRAIN_LINES_EVERY_MS: u64 = 15_000;
/// A step that is over before this, and said nothing, is told in one line.
const PATIENCE_MS: u64 = 1_000;
/// Titles longer than this push their text to the right instead of everybody's.
const TITLE: usize = 24;

pub struct Plain<W> {
    out: W,
    style: Style,
    fold: Fold,
    /// Steps whose start was told.
    announced: BTreeSet<StepId>,
    /// Per step: when its last periodic line was printed, and what it said.
    said: BTreeMap<StepId, (u64, String)>,
    /// Vertices whose end was told: BuildKit ends some twice, once done and once cached.
    ended: BTreeSet<(StepId, String)>,
    /// Per step: the vertex whose log lines are being printed.
    speaking: BTreeMap<StepId, String>,
    /// Hooks and missing permissions that were told.
    beside: BTreeSet<(StepId, String)>,
}

impl<W: Write + Send> Plain<W> {
    #[must_use]
    pub fn new(out: W, style: Style) -> Self {
        Self {
            out,
            style,
            fold: Fold::default(),
            announced: BTreeSet::new(),
            said: BTreeMap::new(),
            ended: BTreeSet::new(),
            speaking: BTreeMap::new(),
            beside: BTreeSet::new(),
        }
    }

    /// One write a line: what other programs write to the same log must not get between its parts.
    fn print(&mut self, line: &str) -> io::Result<()> {
        self.out.write_all(format!("{}\n", self.style.spell(line)).as_bytes())
    }

    /// A line of a step whose start need not have been told.
    fn bare_line(&mut self, step: StepId, at_ms: u64, text: &str) -> io::Result<()> {
        let Some(view) = self.fold.step(step) else { return Ok(()) };
        let at = format!("{:>6}", words::duration(at_ms.saturating_sub(self.fold.begun_ms)));
        let title = fold::title(&view.outline);
        let title = format!("{title:<width$}", width = self.fold.title_columns(TITLE));
        let line = format!("{}  {title}  {text}", self.style.paint(Meaning::Aside, at));
        self.print(line.trim_end())
    }

    fn line(&mut self, step: StepId, at_ms: u64, text: &str) -> io::Result<()> {
        self.announce(step)?;
        self.bare_line(step, at_ms, text)
    }

    fn announce(&mut self, step: StepId) -> io::Result<()> {
        if !self.announced.insert(step) {
            return Ok(());
        }
        let Some(view) = self.fold.step(step) else { return Ok(()) };
        let (at_ms, cause) = (view.started_ms, format!("begins ({})", view.outline.cause));
        let text = self.style.paint(Meaning::Strong, cause);
        self.bare_line(step, at_ms, &text)
    }

    /// Tells the start of what has been running for a while without a word.
    fn announce_slow(&mut self, now_ms: u64) -> io::Result<()> {
        let slow: Vec<_> = self
            .fold
            .steps
            .iter()
            .filter(|view| view.state == StepState::Running && view.elapsed_ms(now_ms) >= PATIENCE_MS)
            .map(|view| view.outline.id)
            .collect();
        slow.into_iter().try_for_each(|step| self.announce(step))
    }

    fn told(&mut self, step: StepId, progress: &Progress, now_ms: u64) -> io::Result<()> {
        match progress {
            Progress::Vertex(vertex) => self.vertex(step, vertex, now_ms),
            Progress::BuildLog { vertex, line } => {
                self.speaker(step, vertex, now_ms)?;
                self.line(step, now_ms, &format!("  | {}", words::clean(line)))
            }
            Progress::BuildWarning { message } | Progress::Warning { message } => {
                let text = self.style.paint(Meaning::Caution, format!("warning: {}", words::clean(message)));
                self.line(step, now_ms, &text)
            }
            Progress::Layers { layers, last } => {
                let text = fold::layers_line(layers);
                let since = self.fold.step(step).map_or(0, |view| view.elapsed_ms(now_ms));
                let due = match self.said.get(&step) {
                    Some((then, said)) => {
                        *said != text && (*last || now_ms.saturating_sub(*then) >= PUSH_LINES_EVERY_MS)
                    }
                    None => *last || since >= PUSH_LINES_EVERY_MS,
                };
                if !due {
                    return Ok(());
                }
                self.said.insert(step, (now_ms, text.clone()));
                self.line(step, now_ms, &text)
            }
            Progress::Board(board) => {
                self.beside(step, board, now_ms)?;
                let text = fold::board_line(board);
                let left = fold::drain_left(board, now_ms, now_ms);
                let due = self.said.get(&step).is_none_or(|(then, said)| {
                    *said != text || (left.is_some() && now_ms.saturating_sub(*then) >= DRAIN_LINES_EVERY_MS)
                });
                if !due {
                    return Ok(());
                }
                self.said.insert(step, (now_ms, text.clone()));
                let left = left.map(|left| format!(", {} left", words::countdown(left))).unwrap_or_default();
                self.line(step, now_ms, &format!("{text}{left}"))
            }
            Progress::ServiceEvent { text, meaning, .. } => {
                let text = words::brief(fold::without_prefix(&words::clean(text)));
                self.line(step, now_ms, &format!("ecs: {text}"))?;
                match meaning {
                    Some(meaning) => {
                        let meaning = self.style.paint(Meaning::Caution, format!("     {meaning}"));
                        self.line(step, now_ms, &meaning)
                    }
                    None => Ok(()),
                }
            }
            Progress::TaskFailed { task, .. } => {
                match self.fold.step(step).map(|view| view.news(task)) {
                    Some(News::New) => {}
                    Some(News::Again) | None => return Ok(()),
                }
                for line in failed_task(task) {
                    let text = self.style.paint(Meaning::Bad, line);
                    self.line(step, now_ms, &text)?;
                }
                Ok(())
            }
            Progress::TaskStatus { task, status, note } => {
                self.line(step, now_ms, &fold::task_line(task, status, note.as_deref()))
            }
            Progress::TaskLog { line, .. } => self.line(step, now_ms, &format!("  | {}", words::clean(line))),
            Progress::Retrying { operation, code, attempt, delay_ms } => {
                let again = words::duration(*delay_ms);
                let text = format!("{operation} answered {code}, attempt {attempt}; again in {again}");
                self.line(step, now_ms, &text)
            }
            Progress::TakingBack { why, .. } => {
                let text = self.style.paint(Meaning::Caution, format!("taking it back: {}", words::clean(why)));
                self.line(step, now_ms, &text)
            }
            Progress::Queued { operation, wait_ms } => self.line(step, now_ms, &fold::queued_line(operation, *wait_ms)),
            Progress::WaitingForOthers { others, .. } => self.line(step, now_ms, &fold::others_line(others)),
            // The board line that follows says more.
            Progress::Phase { .. } | Progress::Context { .. } | Progress::VertexStatus { .. } | Progress::Unknown => {
                Ok(())
            }
        }
    }

    /// What a board tells beside its tasks, each thing once.
    fn beside(&mut self, step: StepId, board: &Board, now_ms: u64) -> io::Result<()> {
        if let Some(hook) = &board.hook
            && self.beside.insert((step, hook.id.clone()))
        {
            for line in fold::hook_lines(hook, now_ms) {
                let text = self.style.paint(Meaning::Caution, line);
                self.line(step, now_ms, &text)?;
            }
        }
        for denied in &board.denied {
            if self.beside.insert((step, denied.clone())) {
                let text = format!("not shown: {} is not allowed", words::clean(denied));
                let text = self.style.paint(Meaning::Caution, text);
                self.line(step, now_ms, &text)?;
            }
        }
        Ok(())
    }

    fn vertex(&mut self, step: StepId, vertex: &Vertex, now_ms: u64) -> io::Result<()> {
        let name = words::clean(&vertex.name);
        let text = match vertex.state {
            VertexState::Started | VertexState::Unknown => return Ok(()),
            VertexState::Cached => format!("{name}  CACHED"),
            VertexState::Done => {
                format!("{name}  {}", vertex.duration_ms.map(words::duration).unwrap_or_default())
            }
            VertexState::Failed => {
                let error = words::clean(vertex.error.as_deref().unwrap_or("failed"));
                self.style.paint(Meaning::Bad, format!("{name}  ERROR: {error}"))
            }
        };
        if !self.ended.insert((step, vertex.id.clone())) && vertex.state != VertexState::Failed {
            return Ok(());
        }
        self.line(step, now_ms, &text)
    }

    /// Names the vertex that speaks, when it was another that spoke last.
    fn speaker(&mut self, step: StepId, vertex: &str, now_ms: u64) -> io::Result<()> {
        if self.speaking.get(&step).is_some_and(|last| last == vertex) {
            return Ok(());
        }
        self.speaking.insert(step, vertex.to_owned());
        let name = self
            .fold
            .step(step)
            .and_then(|view| view.vertices.iter().find(|known| known.vertex.id == vertex))
            .map(|known| words::clean(&known.vertex.name));
        match name {
            Some(name) => self.line(step, now_ms, &name),
            None => Ok(()),
        }
    }

    fn end(&mut self, step: StepId, state: StepState, note: &str, now_ms: u64) -> io::Result<()> {
        let Some(view) = self.fold.step(step) else { return Ok(()) };
        let (took, how) = (view.elapsed_ms(now_ms), fold::failed_word(view.how));
        let (meaning, word) = match state {
            StepState::Skipped => (Meaning::Aside, "skipped".to_owned()),
            StepState::Failed => (Meaning::Bad, format!("{how} after {}", words::duration(took))),
            StepState::Done | StepState::Pending | StepState::Running => {
                (Meaning::Good, format!("done in {}", words::duration(took)))
            }
        };
        let note = words::clean(note);
        let text = match (note.is_empty(), state) {
            (true, _) => self.style.paint(meaning, word),
            (false, StepState::Failed) => self.style.paint(meaning, format!("{word}: {note}")),
            (false, _) => format!("{}: {note}", self.style.paint(meaning, word)),
        };
        self.bare_line(step, now_ms, &text)
    }
}

impl<W: Write + Send> Report for Plain<W> {
    fn hear(&mut self, record: &Record) -> io::Result<()> {
        let now_ms = record.time_ms;
        self.announce_slow(now_ms)?;
        self.fold.apply(record);
        match &record.event {
            Event::Begun { steps, .. } => {
                let steps = words::count(steps.len(), "step");
                let text = format!("{}: {steps}", self.fold.headline());
                self.print(&self.style.paint(Meaning::Strong, text))?;
            }
            // Told with the first thing the step says, or after a while.
            Event::Started { .. } | Event::Unknown => {}
            Event::Done { step, note } => self.end(*step, StepState::Done, note, now_ms)?,
            Event::Skipped { step, cause } => self.end(*step, StepState::Skipped, cause, now_ms)?,
            Event::Failed { step, note, how: _ } => self.end(*step, StepState::Failed, note, now_ms)?,
            Event::Warned { step, message } => {
                let text = self.style.paint(Meaning::Caution, format!("warning: {}", words::clean(message)));
                match step {
                    Some(step) => self.line(*step, now_ms, &text)?,
                    None => self.print(&text)?,
                }
            }
            Event::Told { step, progress } => self.told(*step, progress, now_ms)?,
            Event::Ended { .. } => {
                for (meaning, line) in ending(&self.fold) {
                    self.print(&self.style.paint(meaning, line))?;
                }
            }
        }
        self.out.flush()
    }

    fn tick(&mut self, now_ms: u64) -> io::Result<()> {
        self.announce_slow(now_ms)
    }

    fn close(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A failed task as a paragraph: what happened, in words, and the last lines its containers wrote.
#[must_use]
pub fn failed_task(task: &FailedTask) -> Vec<String> {
    let short = task.id.get(..8).unwrap_or(&task.id);
    let explanation = words::brief(&words::clean(&task.explanation));
    let word = match task.kind {
        FailedKind::Failed | FailedKind::Unknown => "failed",
        FailedKind::Lost => "was lost",
    };
    let mut lines = vec![format!("task {short} of {} {word}: {explanation}", task.revision)];
    for container in task.containers.iter().filter(|container| !container.log.is_empty()) {
        lines.push(format!("  last lines of {}:", container.name));
        lines.extend(container.log.iter().map(|line| format!("  | {}", words::clean(line))));
    }
    lines
}

/// The last lines of a run: what went wrong and what to do, if it is not told yet; what serves; and as the
/// very last line the verdict.
#[must_use]
pub fn ending(fold: &Fold) -> Vec<(Meaning, String)> {
    let Some(ended) = &fold.ended else { return Vec::new() };
    let meaning = match ended.exit {
        0 => Meaning::Good,
        22 | 23 | 130 => Meaning::Caution,
        _ => Meaning::Bad,
    };
    let mut lines = Vec::new();
    if let Some(ToldError { code: _, message, causes, hints }) = &ended.error {
        lines.push((meaning, format!("{}: {message}", if meaning == Meaning::Bad { "error" } else { "notice" })));
        // What a step gave as its reason when it failed is not said again.
        let noted =
            |cause: &&String| fold.steps.iter().any(|view| view.state == StepState::Failed && view.note == **cause);
        lines.extend(
            causes.iter().filter(|cause| !noted(cause)).map(|cause| (Meaning::Plain, format!("  cause: {cause}"))),
        );
        lines.extend(hints.iter().map(|hint| (Meaning::Plain, format!("  hint:  {hint}"))));
    }
    let word = if ended.exit == 0 { "in" } else { "after" };
    let took = words::duration(ended.elapsed_ms);
    let verdict = format!("{}: {} {word} {took}", fold.headline(), ended.summary);
    match ended.live.as_slice() {
        [] => lines.push((meaning, verdict)),
        [only] => lines.push((meaning, format!("{verdict}; {}", only.words))),
        several => {
            lines
                .extend(several.iter().map(|one| (Meaning::Plain, format!("  live:  {}: {}", one.service, one.words))));
            let new = several.iter().filter(|one| one.live == crate::event::Live::New).count();
            let services = words::count(several.len(), "service");
            lines.push((meaning, format!("{verdict}; {new} of {services} on the new revision")));
        }
    }
    lines
}
