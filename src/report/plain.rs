//! The face for logs: a line per change, nothing ever redrawn, made to be read in Jenkins afterwards.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use super::{
    Report,
    fold::{self, Fold},
    style::{Meaning, Style},
    words,
};
use crate::{
    event::{Event, FailedTask, Live, Progress, Record, VertexState},
    id::StepId,
};

/// Between two lines about the same push: a console log wants a sign of life, not a film.
const PUSH_LINES_EVERY_MS: u64 = 5_000;
/// Between two lines about a drain in which nothing but the time changes.
const DRAIN_LINES_EVERY_MS: u64 = 15_000;

pub struct Plain<W> {
    out: W,
    style: Style,
    fold: Fold,
    /// Per step: when its last periodic line was printed, and what it said.
    said: BTreeMap<StepId, (u64, String)>,
}

impl<W: Write + Send> Plain<W> {
    #[must_use]
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style, fold: Fold::default(), said: BTreeMap::new() }
    }

    fn line(&mut self, step: StepId, text: &str) -> io::Result<()> {
        writeln!(self.out, "{} {text}", self.style.paint(Meaning::Aside, step))
    }

    fn told(&mut self, step: StepId, progress: &Progress, now_ms: u64) -> io::Result<()> {
        let since = self.fold.step(step).map_or(0, |view| view.elapsed_ms(now_ms));
        let at = format!("+{}", words::duration(since));
        match progress {
            Progress::Vertex(vertex) => {
                let name = words::clean(&vertex.name);
                match vertex.state {
                    VertexState::Started | VertexState::Unknown => Ok(()),
                    VertexState::Cached => self.line(step, &format!("{name}  CACHED")),
                    VertexState::Done => {
                        let took = vertex.duration_ms.map(words::duration).unwrap_or_default();
                        self.line(step, &format!("{name}  {took}"))
                    }
                    VertexState::Failed => {
                        let error = words::clean(vertex.error.as_deref().unwrap_or("failed"));
                        let text = self.style.paint(Meaning::Bad, format!("{name}  ERROR: {error}"));
                        self.line(step, &text)
                    }
                }
            }
            Progress::BuildLog { line, .. } => self.line(step, &format!("  | {}", words::clean(line))),
            Progress::BuildWarning { message } => {
                let text = self.style.paint(Meaning::Caution, format!("warning: {}", words::clean(message)));
                self.line(step, &text)
            }
            Progress::Layers { layers, last } => {
                let text = fold::layers_line(layers);
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
                self.line(step, &format!("{at} {text}"))
            }
            Progress::Board(board) => {
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
                self.line(step, &format!("{at} {text}{left}"))
            }
            Progress::ServiceEvent { text, .. } => {
                self.line(step, &format!("{at} ecs: {}", words::clean(fold::without_prefix(text))))
            }
            Progress::TaskFailed { task, .. } => {
                for line in failed_task(task) {
                    let text = self.style.paint(Meaning::Bad, line);
                    self.line(step, &text)?;
                }
                Ok(())
            }
            Progress::Retrying { operation, code, attempt, delay_ms } => self.line(
                step,
                &format!(
                    "{at} {operation} answered {code}, attempt {attempt}; again in {}",
                    words::duration(*delay_ms)
                ),
            ),
            Progress::TakingBack { why, .. } => {
                let text = self.style.paint(Meaning::Caution, format!("{at} taking it back: {}", words::clean(why)));
                self.line(step, &text)
            }
            // The board line that follows says more.
            Progress::Phase { .. } | Progress::Context { .. } | Progress::VertexStatus { .. } | Progress::Unknown => {
                Ok(())
            }
        }
    }
}

impl<W: Write + Send> Report for Plain<W> {
    fn hear(&mut self, record: &Record) -> io::Result<()> {
        self.fold.apply(record);
        match &record.event {
            Event::Begun { verb, environment, steps, .. } => {
                let to = environment.as_ref().map(|name| format!(" to {name}")).unwrap_or_default();
                let steps = words::count(steps.len(), "step");
                writeln!(self.out, "{}", self.style.paint(Meaning::Strong, format!("{verb}{to}: {steps}")))?;
            }
            Event::Started { step } => {
                let outline =
                    self.fold.step(*step).map(|view| (view.outline.title.clone(), view.outline.cause.clone()));
                if let Some((title, cause)) = outline {
                    let title = self.style.paint(Meaning::Strong, title);
                    let cause = self.style.paint(Meaning::Aside, format!("({cause})"));
                    self.line(*step, &format!("{title} {cause}"))?;
                }
            }
            Event::Done { step, note } => {
                let took = self.fold.step(*step).map_or(0, |view| view.elapsed_ms(record.time_ms));
                let done = self.style.paint(Meaning::Good, format!("done in {}", words::duration(took)));
                let note = if note.is_empty() { String::new() } else { format!(": {note}") };
                self.line(*step, &format!("{done}{note}"))?;
            }
            Event::Skipped { step, cause } => {
                let title = self.fold.step(*step).map(|view| view.outline.title.clone()).unwrap_or_default();
                let text = self.style.paint(Meaning::Aside, format!("{title}: skipped, {cause}"));
                self.line(*step, &text)?;
            }
            Event::Failed { step, note } => {
                let text = self.style.paint(Meaning::Bad, format!("failed: {note}"));
                self.line(*step, &text)?;
            }
            Event::Warned { message, .. } => {
                writeln!(self.out, "{}", self.style.paint(Meaning::Caution, format!("warning: {message}")))?;
            }
            Event::Told { step, progress } => self.told(*step, progress, record.time_ms)?,
            Event::Ended { .. } => {
                if let Some(ended) = &self.fold.ended {
                    writeln!(self.out, "{}", ending(ended, self.style))?;
                }
            }
            Event::Unknown => {}
        }
        self.out.flush()
    }

    fn tick(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A failed task as a paragraph: what happened, in words, and the last lines its containers wrote.
#[must_use]
pub fn failed_task(task: &FailedTask) -> Vec<String> {
    let short = task.id.get(..8).unwrap_or(&task.id);
    let mut lines = vec![format!("task {short} of {} failed: {}", task.revision, words::clean(&task.explanation))];
    for container in task.containers.iter().filter(|container| !container.log.is_empty()) {
        lines.push(format!("  last lines of {}:", container.name));
        lines.extend(container.log.iter().map(|line| format!("  | {}", words::clean(line))));
    }
    lines
}

/// The last line of a run: the verdict, and what serves.
#[must_use]
pub fn ending(ended: &fold::Ended, style: Style) -> String {
    let meaning = match ended.exit {
        0 => Meaning::Good,
        22 | 23 | 130 => Meaning::Caution,
        _ => Meaning::Bad,
    };
    let verdict = style.paint(meaning, format!("{} in {}", ended.summary, words::duration(ended.elapsed_ms)));
    let live: Vec<_> = ended
        .live
        .iter()
        .map(|service| match service.live {
            Live::New | Live::Unchanged => service.words.clone(),
            Live::Mixed | Live::Unknown => style.paint(Meaning::Caution, &service.words),
        })
        .collect();
    if live.is_empty() { verdict } else { format!("{verdict}: {}", live.join("; ")) }
}
