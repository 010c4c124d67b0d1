//! Faces: everything a person or a tool sees of a run, drawn from events and nothing else.
//!
//! [`fold`] turns events into the state a face needs, and each face shows it: [`tty`] redraws,
//! [`plain`] prints a line per change, [`json`] prints the event itself on standard output, [`quiet`]
//! says nothing. Because a face sees only events, a recorded stream can be replayed through any.

pub mod fold;
pub mod json;
pub mod plain;
pub mod quiet;
pub mod style;
pub mod summary;
pub mod tty;
pub mod words;

use std::{io, time::Duration};

use tokio::sync::mpsc;

use crate::event::Record;
use style::Style;

/// What a run is shown with.
pub trait Report: Send {
    /// Takes one event; called in order, with none missing but droppable progress.
    fn hear(&mut self, record: &Record) -> io::Result<()>;

    /// Called about ten times a second, for what moves by itself (spinner, elapsed time).
    fn tick(&mut self, now_ms: u64) -> io::Result<()>;

    /// Called once, after the last event.
    fn close(&mut self) -> io::Result<()>;
}

/// The face that the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `Tty` on a terminal, else `Plain`.
    Auto,
    Tty,
    Plain,
    Json,
    Quiet,
}

/// Whether standard error, where people read, is a terminal; how large it is now is asked again and again.
#[derive(Debug, Clone, Copy)]
pub enum Terminal {
    Present { size: fn() -> Size },
    Absent,
}

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

/// Where the faces write: talk for people, data for tools.
pub struct Outlets {
    /// Standard error.
    pub talk: Box<dyn io::Write + Send>,
    /// Standard output.
    pub data: Box<dyn io::Write + Send>,
}

/// Makes the face for a mode; `Auto` looks at the terminal.
#[must_use]
pub fn choose(mode: Mode, terminal: Terminal, style: Style, outlets: Outlets) -> Box<dyn Report> {
    match (mode, terminal) {
        (Mode::Auto | Mode::Tty, Terminal::Present { size }) => Box::new(tty::Tty::new(outlets.talk, style, size)),
        // A forced `tty` without a terminal is refused by `cli`; here it degrades to lines.
        (Mode::Auto | Mode::Tty, Terminal::Absent) | (Mode::Plain, _) => {
            Box::new(plain::Plain::new(outlets.talk, style))
        }
        (Mode::Json, _) => Box::new(json::Json::new(outlets.data)),
        (Mode::Quiet, _) => Box::new(quiet::Quiet),
    }
}

/// How often a face is given the time.
const TICK: Duration = Duration::from_millis(100);

/// Feeds the faces until the sender is gone. A face that cannot write (a closed pipe) is dropped and
/// the run goes on: a rollout must not end because somebody closed a pager.
pub async fn drive(
    mut records: mpsc::Receiver<Record>,
    mut faces: Vec<Box<dyn Report>>,
    clock: impl Fn() -> u64 + Send,
) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            record = records.recv() => match record {
                Some(record) => faces.retain_mut(|face| face.hear(&record).is_ok()),
                None => break,
            },
            _ = ticks.tick() => {
                let now = clock();
                faces.retain_mut(|face| face.tick(now).is_ok());
            }
        }
    }
    for face in &mut faces {
        // Nothing is left to tell to a writer that fails now.
        drop(face.close());
    }
}

#[cfg(test)]
mod tests;
