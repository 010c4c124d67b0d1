//! Walks a plan: announces, settles, acts, records, and stops at the first failure. It decides nothing
//! about the deploy; what late data means is said by `plan::settle`.
//!
//! Steps whose needs are met run side by side: the token is fetched while the image builds, and
//! services roll out together. After a failure nothing new starts, and what has started may finish: an
//! `UpdateService` that was cut off half-way would leave nobody knowing what is live.

use std::{collections::BTreeMap, pin::Pin};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc;

use super::{
    act::{self, Around, Hands},
    cancel::Cancel,
    error::RunError,
    outcome::{Outcome, StepEnd},
    release::{Member, Together},
    teller::Teller,
};
use crate::{
    event::Event,
    exit::Exit,
    id::{RunId, StepId},
    plan::{
        settle::{Settled, settle},
        step::{Plan, Produced, Step},
    },
};

/// How many unread progress messages a step may have before it waits.
const STEP_CHANNEL: usize = 64;

/// A step on its way.
type Walk<'a> = Pin<Box<dyn Future<Output = (StepId, StepEnd)> + Send + 'a>>;

/// What the faces are told first.
#[derive(Debug, Clone)]
pub struct Opening {
    pub run: RunId,
    pub verb: String,
    pub environment: Option<String>,
    /// How long it took to get here, which the user has waited for already.
    pub prepared_ms: u64,
}

/// Walks `plan` to its end and says how it went. Never panics on a plan that `plan::make` made.
pub async fn run(plan: &Plan, opening: Opening, hands: &Hands, teller: &Teller, cancel: &Cancel) -> Outcome {
    let Opening { run, verb, environment, prepared_ms } = opening;
    teller.tell(Event::Begun { run, verb, environment, steps: plan.outline(), prepared_ms }).await;

    let mut waiting: Vec<&Step> = plan.steps.iter().collect();
    let mut produced: BTreeMap<StepId, Produced> = BTreeMap::new();
    let mut ends: BTreeMap<StepId, StepEnd> = BTreeMap::new();
    let mut first_failure: Option<StepId> = None;
    let together = Together::of(plan);
    let mut running: FuturesUnordered<Walk<'_>> = FuturesUnordered::new();
    loop {
        let may_start = first_failure.is_none() && cancel.asked() == super::cancel::Asked::Never;
        if may_start {
            let (ready, rest): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|step| step.needs.iter().all(|need| produced.contains_key(need)));
            waiting = rest;
            for step in ready {
                let settled = settle(step, &produced);
                ends.insert(step.id, StepEnd::CutOff);
                running.push(Box::pin(walk(step, settled, hands, teller, cancel, &together)));
            }
        }
        tokio::select! {
            // A second wish to stop leaves everything where it is.
            () = cancel.again() => break,
            ended = running.next() => match ended {
                None => break,
                Some((step, end)) => {
                    match &end {
                        StepEnd::Done { produced: result, .. } | StepEnd::Skipped { gives: result } => {
                            produced.insert(step, result.clone());
                            together.well(step);
                        }
                        StepEnd::Failed(error) => {
                            first_failure = first_failure.or(Some(step));
                            match meaning_for_others(error) {
                                ForOthers::Failed => together.failed(&plan.step(step).map_or_else(String::new, |step| {
                                    format!("{} failed", step.action.title())
                                })),
                                ForOthers::Well => together.well(step),
                                ForOthers::Nothing => {}
                            }
                        }
                        StepEnd::CutOff => {}
                    }
                    ends.insert(step, end);
                }
            },
        }
    }
    drop(running);
    Outcome::of(plan, ends, first_failure, cancel.asked())
}

/// What the bad end of a step means for the other rollouts of an all-or-nothing release.
enum ForOthers {
    Failed,
    /// Not a failure of what was shipped.
    Well,
    Nothing,
}

fn meaning_for_others(error: &RunError) -> ForOthers {
    match error {
        RunError::Aws(_) | RunError::Docker(_) | RunError::Copy(_) | RunError::Check(_) | RunError::Task { .. } => {
            ForOthers::Failed
        }
        RunError::Rollout { exit, .. } => match exit {
            Exit::RolloutFailed | Exit::RolloutUnknown => ForOthers::Failed,
            // It is live, or somebody has shipped something newer: taking the others back would only undo that.
            Exit::DrainUnfinished
            | Exit::Superseded
            | Exit::Done
            | Exit::Usage
            | Exit::Config
            | Exit::Environment
            | Exit::Refused
            | Exit::Changes
            | Exit::Build
            | Exit::Push
            | Exit::Register
            | Exit::RequestsLost
            | Exit::TaskFailed
            | Exit::Bug
            | Exit::Cancelled => ForOthers::Well,
        },
        // Everybody hears that by themselves.
        RunError::Cancelled | RunError::StoppedWatching { .. } => ForOthers::Nothing,
    }
}

async fn walk(
    step: &Step,
    settled: Settled,
    hands: &Hands,
    teller: &Teller,
    cancel: &Cancel,
    together: &Together,
) -> (StepId, StepEnd) {
    let id = step.id;
    let ready = match settled {
        Settled::Skip { cause, gives } => {
            teller.tell(Event::Skipped { step: id, cause }).await;
            return (id, StepEnd::Skipped { gives });
        }
        Settled::Do(ready) => ready,
    };
    teller.tell(Event::Started { step: id }).await;
    let (sender, receiver) = mpsc::channel(STEP_CHANNEL);
    let around = Around { clock: teller.clock(), cancel, member: Member { together, step: id } };
    let (acted, ()) = tokio::join!(act::act(ready, hands, sender, around), teller.relay(id, receiver));
    match acted {
        Ok(act::Acted { produced, note, finished }) => {
            teller.tell(Event::Done { step: id, note }).await;
            (id, StepEnd::Done { produced, finished })
        }
        Err(error) => {
            teller.tell(Event::Failed { step: id, note: error.to_string(), how: error.how() }).await;
            (id, StepEnd::Failed(error))
        }
    }
}
