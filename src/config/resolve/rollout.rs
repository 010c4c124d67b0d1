//! `release` and `[services.….rollout]`: how a rollout is watched, and what its failure means.

use super::{Own, Resolver};
use crate::config::{
    duration,
    error::{Mistake, Place, nearest},
    file::{ON_FAILURE, RolloutTable, Written},
    spec::{DoneWhen, OnFailure, OnInterrupt, Percentages, Release, Rollout},
};

impl Resolver<'_> {
    /// `release`, which stands outside of any table.
    pub(super) fn release(&mut self) -> Release {
        let own = Own::of(String::new(), self.file);
        let words = [("independent", Release::Independent), ("all-or-nothing", Release::AllOrNothing)];
        self.word("release", self.file.release.as_ref(), &own, &words, &["independent", "all-or-nothing"])
    }

    /// `minimum_healthy_percent` and `maximum_percent`.
    fn percentages(&mut self, table: &RolloutTable) -> Percentages {
        // "minimumHealthyPercent … 0 to 100" and "maximumPercent … 100 to 200" as the console has them; the API takes
        // more for a maximum, and a service of a few tasks may want it.
        let minimum = self.number("minimum_healthy_percent", table.minimum_healthy_percent.as_ref(), (0, 100, "ECS"));
        let maximum = self.number("maximum_percent", table.maximum_percent.as_ref(), (100, 1000, "ECS"));
        Percentages { minimum_healthy: minimum, maximum }
    }

    pub(super) fn rollout(&mut self, table: &RolloutTable, own: &Own) -> Rollout {
        let on_failure =
            table.on_failure.as_ref().and_then(|written| self.on_failure(written, own)).unwrap_or_default();
        let on_interrupt = self.word(
            "on_interrupt",
            table.on_interrupt.as_ref(),
            own,
            &[("leave", OnInterrupt::Leave), ("rollback", OnInterrupt::Rollback)],
            &["leave", "rollback"],
        );
        let done_when = self.word(
            "done_when",
            table.done_when.as_ref(),
            own,
            &[("live", DoneWhen::Live), ("drained", DoneWhen::Drained), ("steady", DoneWhen::Steady)],
            &["live", "drained", "steady"],
        );
        let percentages = self.percentages(table);
        let own = own.inner("timeouts", &table.timeouts);
        let table = &table.timeouts;
        let default = Rollout::default();
        // A day is no rule of ECS: a watch that long is a mistake in the unit.
        let limits = (1, 86_400, "a rollout that is watched");
        let no_progress = self.duration("no_progress", table.no_progress.as_ref(), &own, limits);
        let total = self.duration("total", table.total.as_ref(), &own, limits);
        let total_or_default = total.unwrap_or(default.total);
        // Who only shortens the total means the whole rollout: the default must not stand in the way.
        let no_progress_or_default = no_progress.unwrap_or_else(|| default.no_progress.min(total_or_default));
        if no_progress_or_default > total_or_default
            && let Some(written) = &table.no_progress
        {
            let mistake = Mistake::CrossedTimeouts {
                no_progress: duration::print(no_progress_or_default),
                total: duration::print(total_or_default),
            };
            self.mistake(mistake, Place::File(written.span.clone()));
        }
        Rollout {
            no_progress: no_progress_or_default,
            total: total_or_default,
            done_when,
            on_failure,
            on_interrupt,
            percentages,
        }
    }

    fn on_failure(&mut self, written: &Written<String>, own: &Own) -> Option<OnFailure> {
        let word = self.expand(written, own)?;
        match word.as_str() {
            "rollback" => Some(OnFailure::Rollback),
            "leave" => Some(OnFailure::Leave),
            "wait" => Some(OnFailure::Wait),
            _ => {
                let nearest = nearest(&word, ON_FAILURE);
                let mistake = Mistake::BadOnFailure { written: word, nearest };
                self.mistake(mistake, Place::File(written.span.clone()));
                None
            }
        }
    }
}
