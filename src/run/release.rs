//! What several rollouts of one run mean to each other: nothing, or that one which fails takes all back.
//!
//! With `release = "all-or-nothing"` a rollout that went well does not end before the others have, so that it can
//! still be taken back. Nobody waits for ever: each of the others ends within its own budget, and a step that will
//! never begin, because an earlier one failed, is such a failure.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::{
    id::{Key, StepId},
    plan::step::{Action, Plan, Release},
};

#[derive(Debug, Clone)]
pub(crate) struct Together {
    /// `None`: every service is on its own.
    state: Option<watch::Sender<State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// Rollouts whose end is not known, and the services they are of.
    open: BTreeSet<(StepId, Key)>,
    failed: Option<String>,
}

/// One of several rollouts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) together: &'a Together,
    pub(crate) step: StepId,
}

static ALONE: Together = Together { state: None };

impl Member<'static> {
    /// A rollout that is on its own.
    pub(crate) const ALONE: Self = Self { together: &ALONE, step: StepId(0) };
}

/// How the others ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Others {
    AllWell,
    /// What failed: `roll out worker failed`.
    Failed(String),
}

impl Together {
    pub(crate) fn of(plan: &Plan) -> Self {
        let open: BTreeSet<_> = plan
            .steps
            .iter()
            .filter(|step| matches!(step.action, Action::Watch { .. }))
            .filter_map(|step| Some((step.id, step.action.subject()?.clone())))
            .collect();
        let state = match plan.release {
            // One service alone has no others.
            Release::AllOrNothing if open.len() > 1 => Some(watch::channel(State { open, failed: None }).0),
            Release::AllOrNothing | Release::Independent => None,
        };
        Self { state }
    }

    /// A step that ended well, or had nothing to do.
    pub(crate) fn well(&self, step: StepId) {
        if let Some(state) = &self.state {
            state.send_modify(|state| state.open.retain(|(open, _)| *open != step));
        }
    }

    /// A step that failed. The first one is the reason that is told.
    pub(crate) fn failed(&self, what: &str) {
        if let Some(state) = &self.state {
            state.send_modify(|state| {
                state.failed.get_or_insert_with(|| what.to_owned());
            });
        }
    }

    /// The services that are waited for by one that went well.
    pub(crate) fn open(&self) -> Vec<Key> {
        let state = self.state.as_ref().map(|state| state.borrow().open.clone()).unwrap_or_default();
        state.into_iter().map(|(_, service)| service).collect()
    }

    /// Waits until another one has failed; for ever if none does.
    pub(crate) async fn failure(&self) -> String {
        let Some(state) = &self.state else { return std::future::pending().await };
        let failed = state.subscribe().wait_for(|state| state.failed.is_some()).await.map(|state| state.failed.clone());
        match failed {
            Ok(failed) => failed.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until all have ended well, or one has failed.
    pub(crate) async fn end(&self) -> Others {
        let Some(state) = &self.state else { return Others::AllWell };
        match state.subscribe().wait_for(|state| state.failed.is_some() || state.open.is_empty()).await {
            Ok(state) => state.failed.clone().map_or(Others::AllWell, Others::Failed),
            Err(_) => Others::AllWell,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Others, State, Together};
    use crate::id::{Key, StepId};

    fn two() -> Together {
        let open = [(StepId(1), Key::new("api")), (StepId(2), Key::new("worker"))].into();
        Together { state: Some(tokio::sync::watch::channel(State { open, failed: None }).0) }
    }

    #[tokio::test]
    async fn all_end_well_or_one_failure_is_everybodys() {
        let together = two();
        together.well(StepId(1));
        assert_eq!(together.open(), [Key::new("worker")]);
        together.well(StepId(2));
        assert_eq!(together.end().await, Others::AllWell);

        let together = two();
        together.well(StepId(1));
        together.failed("roll out worker failed");
        together.failed("what follows from it");
        assert_eq!(together.end().await, Others::Failed("roll out worker failed".to_owned()));
        assert_eq!(together.failure().await, "roll out worker failed");
    }

    #[tokio::test]
    async fn alone_nobody_is_waited_for() {
        let alone = super::Member::ALONE.together;
        assert_eq!(alone.end().await, Others::AllWell);
        assert!(alone.open().is_empty());
    }
}
