//! How long a rollout may take, as clocks of their own, so that a time-out can say which ran out.
//!
//! | clock | runs | limit |
//! |---|---|---|
//! | total | until the new revision is live | `total` |
//! | no progress | since something moved, until the new revision is live | `no_progress`, and `drain` on top while old tasks drain |
//! | drain | since the new revision was live for the first time | `drain`, and `total` on top where ECS bakes |
//! | rollback | since ECS began to take the change back | `no_progress` and `drain` |
//!
//! Checked by `each_clock_runs_out_by_itself`.

use super::goal::WatchBudget;

/// Which budget ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Total,
    NoProgress,
    Drain,
    Rollback,
    /// A hook waited for somebody until the time was over.
    Somebody,
}

/// What the rollout is doing, as far as time is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// The new revision is not live yet.
    Starting {
        moved_ms: u64,
        draining: Draining,
    },
    /// It has been live since; what is left is the old tasks and ECS's own word.
    Live {
        since_ms: u64,
        bake: Bake,
    },
    RollingBack {
        since_ms: u64,
    },
}

/// Whether old tasks are on their way out. Where the percentages let ECS start nothing before an old
/// task is gone, a whole drain passes in which nothing else can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draining {
    Some,
    None,
}

/// Whether ECS waits on purpose (`BAKE_TIME`), or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bake {
    Seen,
    None,
}

/// The clock that ends the stretch and the moment it does.
pub(super) fn deadline(budget: &WatchBudget, start_ms: u64, stretch: Stretch) -> (Clock, u64) {
    let WatchBudget { no_progress_ms, total_ms, drain_ms, deregistration_delay_ms: _ } = *budget;
    match stretch {
        Stretch::Starting { moved_ms, draining } => {
            let patience = match draining {
                Draining::Some => no_progress_ms.saturating_add(drain_ms),
                Draining::None => no_progress_ms,
            };
            let total = start_ms.saturating_add(total_ms);
            let still = moved_ms.saturating_add(patience);
            if still < total { (Clock::NoProgress, still) } else { (Clock::Total, total) }
        }
        Stretch::Live { since_ms, bake } => {
            let limit = match bake {
                Bake::Seen => drain_ms.saturating_add(total_ms),
                Bake::None => drain_ms,
            };
            (Clock::Drain, since_ms.saturating_add(limit))
        }
        Stretch::RollingBack { since_ms } => {
            (Clock::Rollback, since_ms.saturating_add(no_progress_ms).saturating_add(drain_ms))
        }
    }
}

/// The longest any watch may take, whatever it sees: total, then drain with a bake, or a rollback at the
/// last moment.
#[must_use]
pub fn longest_ms(budget: &WatchBudget) -> u64 {
    let WatchBudget { no_progress_ms, total_ms, drain_ms, deregistration_delay_ms: _ } = *budget;
    [total_ms, total_ms, drain_ms, no_progress_ms, drain_ms].into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::{Bake, Clock, Draining, Stretch, deadline};
    use crate::rollout::goal::WatchBudget;

    #[test]
    fn each_clock_runs_out_by_itself() {
        let budget = WatchBudget { no_progress_ms: 10, total_ms: 100, drain_ms: 40, deregistration_delay_ms: 30 };
        for (stretch, expected) in [
            (Stretch::Starting { moved_ms: 5, draining: Draining::None }, (Clock::NoProgress, 15)),
            (Stretch::Starting { moved_ms: 5, draining: Draining::Some }, (Clock::NoProgress, 55)),
            (Stretch::Starting { moved_ms: 95, draining: Draining::None }, (Clock::Total, 100)),
            (Stretch::Live { since_ms: 90, bake: Bake::None }, (Clock::Drain, 130)),
            (Stretch::Live { since_ms: 90, bake: Bake::Seen }, (Clock::Drain, 230)),
            (Stretch::RollingBack { since_ms: 90 }, (Clock::Rollback, 140)),
        ] {
            assert_eq!(deadline(&budget, 0, stretch), expected, "{stretch:?}");
        }
    }
}
