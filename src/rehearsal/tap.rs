//! A face that draws nothing: it tells a rehearsal when the rollout really begins.

use std::{collections::BTreeMap, io};

use tokio::sync::watch;

use crate::{
    event::{Event, Record, StepKind},
    id::StepId,
    report::Report,
};

/// What a rehearsal waits for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moments {
    /// All that has to be built is built.
    pub registering: bool,
    /// How far the task is that must succeed before the rollout; `None` where there is none, or it was not needed.
    pub before: Option<Run>,
    /// When the service was updated, in milliseconds since the epoch.
    pub updated_at: Option<u64>,
}

/// A task that runs once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    Begun,
    Succeeded,
    Failed,
}

pub struct Tap {
    kinds: BTreeMap<StepId, StepKind>,
    moments: watch::Sender<Moments>,
}

/// The face, and what it tells.
#[must_use]
pub fn tap() -> (Tap, watch::Receiver<Moments>) {
    let (moments, told) = watch::channel(Moments::default());
    (Tap { kinds: BTreeMap::new(), moments }, told)
}

impl Tap {
    fn is_before(&self, step: StepId) -> bool {
        self.kinds.get(&step) == Some(&StepKind::Before)
    }

    fn ran(&self, how: Run) {
        self.moments.send_modify(|moments| moments.before = Some(how));
    }
}

impl Report for Tap {
    fn hear(&mut self, record: &Record) -> io::Result<()> {
        match &record.event {
            Event::Begun { steps, .. } => self.kinds = steps.iter().map(|step| (step.id, step.kind)).collect(),
            Event::Started { step } | Event::Skipped { step, .. } => match self.kinds.get(step) {
                Some(StepKind::Register) => self.moments.send_modify(|moments| moments.registering = true),
                Some(StepKind::Before) if matches!(record.event, Event::Started { .. }) => self.ran(Run::Begun),
                Some(StepKind::Update) => {
                    self.moments.send_modify(|moments| moments.updated_at = Some(record.time_ms));
                }
                Some(_) | None => {}
            },
            Event::Done { step, .. } if self.is_before(*step) => self.ran(Run::Succeeded),
            Event::Failed { step, .. } if self.is_before(*step) => self.ran(Run::Failed),
            Event::Done { .. }
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
        Ok(())
    }
}
