//! Numbers what a run tells and hands it to the faces: facts wait for room in the channel, progress that
//! a newer one replaces does not.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use tokio::sync::{Mutex, mpsc};

use crate::{
    event::{Event, Progress, Record, SCHEMA},
    id::StepId,
};

/// As in the plan-and-run designs this follows: large enough that a redraw never holds up the work, small
/// enough that memory stays flat when a build prints a million lines.
pub const CHANNEL: usize = 256;

pub struct Teller {
    told: Mutex<Told>,
    clock: fn() -> u64,
}

struct Told {
    sequence: u64,
    records: mpsc::Sender<Record>,
    recording: Option<File>,
    /// Why nothing more is recorded.
    lost: Option<io::Error>,
}

impl Teller {
    #[must_use]
    pub fn new(records: mpsc::Sender<Record>, recording: Option<File>, clock: fn() -> u64) -> Self {
        Self { told: Mutex::new(Told { sequence: 0, records, recording, lost: None }), clock }
    }

    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    #[must_use]
    pub const fn clock(&self) -> fn() -> u64 {
        self.clock
    }

    /// Tells an event. The lock is held while a fact waits for room, so that no later fact overtakes it.
    pub async fn tell(&self, event: Event) {
        let droppable = matches!(&event, Event::Told { progress, .. } if progress.is_droppable());
        let mut told = self.told.lock().await;
        if !droppable {
            told.sequence += 1;
        }
        let record = Record { schema: SCHEMA, sequence: told.sequence, time_ms: self.now_ms(), event };
        if let Some(file) = &mut told.recording
            && let Err(error) = write(file, &record)
        {
            // A full disk must not stop a rollout; the faces still hear everything, and in the end it is said.
            told.recording = None;
            told.lost = Some(error);
        }
        if droppable {
            // A full channel drops it, a closed one has nobody left to tell.
            drop(told.records.try_send(record));
        } else if told.records.send(record).await.is_err() {
            told.recording = None;
        }
    }

    /// Nothing more is told. Yields why the recording is shorter than the run, where it is.
    #[must_use]
    pub fn close(self) -> Option<io::Error> {
        self.told.into_inner().lost
    }

    /// Passes on what a step tells of itself until the step is over.
    pub async fn relay(&self, step: StepId, mut progress: mpsc::Receiver<Progress>) {
        while let Some(progress) = progress.recv().await {
            self.tell(match progress {
                Progress::Warning { message } => Event::Warned { step: Some(step), message },
                progress => Event::Told { step, progress },
            })
            .await;
        }
    }
}

fn write(file: &mut File, record: &Record) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Opens the file of `--record`, readable by its owner alone: log lines of failed containers may be in it.
pub fn recording(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::Teller;
    use crate::{
        event::{Event, Progress},
        id::StepId,
    };

    #[tokio::test]
    async fn facts_are_numbered_without_a_gap_and_progress_may_be_dropped() {
        let (sender, mut records) = mpsc::channel(2);
        let teller = Teller::new(sender, None, || 7);
        let step = StepId(1);
        teller.tell(Event::Started { step }).await;
        teller.tell(Event::Told { step, progress: Progress::Context { sent: 1 } }).await;
        teller.tell(Event::Told { step, progress: Progress::Context { sent: 2 } }).await;
        let first = records.recv().await.map(|record| (record.sequence, record.time_ms));
        let second = records.recv().await.map(|record| record.sequence);
        teller.tell(Event::Done { step, note: String::new() }).await;
        let third = records.recv().await.map(|record| (record.sequence, record.event));
        assert_eq!((first, second), (Some((1, 7)), Some(1)));
        assert_eq!(third, Some((2, Event::Done { step, note: String::new() })), "the second number was dropped");
    }
}
