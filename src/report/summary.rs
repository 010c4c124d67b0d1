//! The face for afterwards: one table of what a run did, how long each step took and which tasks were
//! replaced. Fed from a recorded stream by `replay --summary`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use super::{
    Report,
    fold::{self, Fold, StepState},
    plain,
    style::{Meaning, Sign, Style},
    words,
};
use crate::event::{Event, Phase, Progress, Record, Side, TaskState};

/// Titles longer than this push their line to the right instead of everybody's.
const TITLE: usize = 28;

pub struct Summary<W> {
    out: W,
    style: Style,
    fold: Fold,
    /// Ids of the tasks seen on each side, by service.
    tasks: BTreeMap<String, Sides>,
    /// When each service first reached a phase, in milliseconds since its rollout began.
    phases: BTreeMap<String, Vec<(Phase, u64)>>,
}

#[derive(Default)]
struct Sides {
    new: BTreeSet<String>,
    /// With the state each was last seen in.
    old: BTreeMap<String, TaskState>,
    new_revision: String,
    old_revisions: BTreeSet<String>,
}

impl<W: Write + Send> Summary<W> {
    #[must_use]
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style, fold: Fold::default(), tasks: BTreeMap::new(), phases: BTreeMap::new() }
    }

    fn print(&mut self, line: &str) -> io::Result<()> {
        self.out.write_all(format!("{}\n", self.style.spell(line.trim_end())).as_bytes())
    }
}

impl<W: Write + Send> Report for Summary<W> {
    fn hear(&mut self, record: &Record) -> io::Result<()> {
        self.fold.apply(record);
        match &record.event {
            Event::Told { progress: Progress::Board(board), .. } => {
                let sides = self.tasks.entry(board.service.to_string()).or_default();
                sides.new_revision.clone_from(&board.new_revision);
                for task in &board.tasks {
                    match task.side {
                        Side::New => {
                            sides.new.insert(task.id.clone());
                        }
                        Side::Old => {
                            sides.old_revisions.insert(task.revision.clone());
                            sides.old.insert(task.id.clone(), task.state);
                        }
                    }
                }
            }
            Event::Told { step, progress: Progress::Phase { service, to, .. } } => {
                let since = self.fold.step(*step).map_or(0, |view| view.elapsed_ms(record.time_ms));
                self.phases.entry(service.to_string()).or_default().push((*to, since));
            }
            Event::Begun { .. }
            | Event::Started { .. }
            | Event::Done { .. }
            | Event::Skipped { .. }
            | Event::Failed { .. }
            | Event::Warned { .. }
            | Event::Told { .. }
            | Event::Ended { .. }
            | Event::Unknown => {}
        }
        Ok(())
    }

    fn tick(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        for line in self.lines() {
            self.print(&line)?;
        }
        self.out.flush()
    }
}

impl<W: Write + Send> Summary<W> {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let style = self.style;
        let columns = self.fold.title_columns(TITLE);
        for view in &self.fold.steps {
            let (sign, meaning) = match view.state {
                StepState::Done => (Sign::Done, Meaning::Good),
                StepState::Skipped => (Sign::Skipped, Meaning::Aside),
                StepState::Failed => (Sign::Failed, Meaning::Bad),
                StepState::Pending | StepState::Running => (Sign::Waiting, Meaning::Aside),
            };
            let took = match view.state {
                StepState::Done | StepState::Failed => words::duration(view.elapsed_ms(view.ended_ms)),
                StepState::Pending | StepState::Skipped | StepState::Running => "-".to_owned(),
            };
            let sign = style.paint(meaning, style.sign(sign));
            let title = format!("{:<columns$}", fold::title(&view.outline));
            let note = style.paint(Meaning::Aside, &view.note);
            lines.push(format!("  {sign} {title}  {took:>7}  {note}"));
        }
        for (service, sides) in &self.tasks {
            let old: Vec<_> = sides.old_revisions.iter().map(String::as_str).collect();
            let (old, replaced) = (old.join(", "), words::count(sides.old.len(), "task"));
            let (new, by) = (&sides.new_revision, words::count(sides.new.len(), "task"));
            let left = sides.old.values().filter(|state| **state != TaskState::Gone).count();
            let line = match (left, sides.old.is_empty()) {
                (_, true) => format!("{by} of {new} started"),
                (0, false) => format!("{replaced} of {old} replaced by {by} of {new}"),
                (left, false) => format!("{by} of {new} started, {left} of {replaced} of {old} left"),
            };
            lines.push(format!("  {service}: {line}"));
            if let Some(phases) = self.phases.get(service) {
                let phases: Vec<_> = phases
                    .iter()
                    .map(|(phase, since)| format!("{} +{}", fold::phase_word(*phase), words::duration(*since)))
                    .collect();
                lines.push(format!("  {service}: {}", phases.join(", ")));
            }
        }
        for group in self.fold.steps.iter().flat_map(|view| &view.failures) {
            lines.push(format!("  {} failed of one cause:", words::count(group.tasks.len(), "task")));
            for line in plain::failed_task(&group.shown) {
                lines.push(format!("    {line}"));
            }
        }
        for (meaning, line) in plain::ending(&self.fold) {
            lines.push(style.paint(meaning, line));
        }
        lines
    }
}
