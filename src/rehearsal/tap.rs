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
    /// When the service was updated, in milliseconds since the epoch.
    pub updated_at: Option<u64>,
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

impl Report for Tap {
    fn hear(&mut self, record: &Record) -> io::Result<()> {
        match &record.event {
            Event::Begun { steps, .. } => self.kinds = steps.iter().map(|step| (step.id, step.kind)).collect(),
            Event::Started { step } | Event::Skipped { step, .. } => match self.kinds.get(step) {
                Some(StepKind::Register) => self.moments.send_modify(|moments| moments.registering = true),
                Some(StepKind::Update) => {
                    self.moments.send_modify(|moments| moments.updated_at = Some(record.time_ms));
                }
                Some(_) | None => {}
            },
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
