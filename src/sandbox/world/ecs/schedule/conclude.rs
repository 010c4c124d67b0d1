//! How a deployment comes to its end: completed, baked, steady; or stuck for good.

use super::super::course::{DeploymentStrategy, Stage};
use super::super::deployment::{RecordStatus, Role, Rollout};
use super::super::input::{flag, text};
use super::super::service::Status;
use super::super::task::{Phase, Standing, Task};
use super::Step;

/// "Bake time (less than five minutes by default when alarms are set)": AWS computes it, and does not say how.
const BAKE_WITH_ALARMS: u64 = 3;

/// What of a deployment is in place.
struct Reached {
    /// Healthy tasks of the primary.
    healthy: usize,
    /// Whether they are all there, and no more.
    in_place: bool,
    /// Whether tasks of other deployments still run or end.
    others: bool,
}

impl Step<'_, '_> {
    /// Nothing may be started and nothing may be stopped, and waiting will not change it.
    pub(super) fn notice_deadlock(&mut self, unmet: usize, stopped: usize) {
        let moving = self.waiting > 0
            || stopped > 0
            || self.service.protected > 0
            || self.tasks().any(|task| {
                task.is_starting()
                    || task.phase == Phase::Deactivating
                    || (task.is_kept() && task.standing == Standing::Condemned)
            });
        if unmet == 0 || moving {
            return;
        }
        let Some(primary) = self.service.deployments.first_mut().filter(|primary| !primary.stuck) else { return };
        primary.stuck = true;
        self.say(
            "was unable to stop or start tasks during a deployment because of the service deployment configuration. \
             Update the minimumHealthyPercent or maximumPercent value and try again.",
        );
    }

    pub(super) fn conclude(&mut self) {
        let now = self.scene.now;
        if self.service.status == Status::Draining {
            if self.tasks().all(|task| task.phase == Phase::Stopped) {
                self.service.status = Status::Inactive;
                self.close(RecordStatus::Stopped, Some("Service was deleted."));
                self.service.deployments.clear();
            }
            return;
        }
        let wanted = self.service.wanted();
        let Some(primary) = self.primary() else { return };
        // Never in the look that made it the primary, or gave it its count: that much is left to be seen.
        let begun = self.service.history.first().and_then(|latest| latest.started_at);
        let seen = primary.updated_at < now && begun.is_none_or(|at| at < now);
        let (id, rollout) = (primary.id(), primary.rollout);
        let own: Vec<&Task> = self.owned(primary).collect();
        let healthy = own.iter().filter(|task| self.healthy.contains(&task.id)).count();
        let reached = Reached {
            healthy,
            in_place: own.iter().filter(|task| task.is_kept()).count() == wanted && healthy == wanted,
            // Measured twelve seconds after SIGTERM: "completed" is not said while an old process still ends.
            others: self.tasks().any(|task| task.phase != Phase::Stopped && !self.is_primary(task)),
        };
        let leaving = own.iter().any(|task| matches!(task.phase, Phase::Deactivating | Phase::Stopping));
        if rollout == Rollout::InProgress && seen && self.is_achieved(&reached) && self.has_baked() {
            self.complete();
            self.say(&format!("(deployment {id}) deployment completed."));
        }
        let completed = self.primary().is_some_and(|primary| primary.rollout == Rollout::Completed);
        if completed {
            self.forget_ended_deployments();
        }
        let Reached { healthy: _, in_place, others } = reached;
        let steady = completed && in_place && !others && !leaving;
        if steady && !self.service.steady {
            // Measured one millisecond after "deployment completed."
            self.service.say(self.scene.dice, now + 1, "has reached a steady state.");
        }
        self.service.steady = steady;
    }

    /// Whether all is there that the deployment was to bring about.
    fn is_achieved(&self, reached: &Reached) -> bool {
        let Reached { healthy, in_place, others } = *reached;
        let whole = in_place && !others;
        let Some(record) = self.service.history.first().filter(|latest| latest.is_underway()) else { return whole };
        if record.shifts() {
            return whole && record.course.stage == Stage::CleanUp;
        }
        let criteria = &record.configuration["earlySuccessCriteria"];
        if record.progress != RecordStatus::InProgress || flag(criteria, "enable") != Some(true) {
            return whole;
        }
        let percent = criteria["healthyPercent"].as_u64().unwrap_or(100);
        let share = (percent * u64::try_from(self.service.wanted()).unwrap_or(u64::MAX)).div_ceil(100);
        let enough = u64::try_from(healthy).unwrap_or(u64::MAX) >= share;
        enough && (!others || text(criteria, "sourceServiceRevisionCleanup") == Some("DEFERRED"))
    }

    /// Whether a rolling deployment that has achieved everything has stayed so for its bake time. One that shifts traffic
    /// has baked before its last stage, and a rollback needs no second thought.
    fn has_baked(&mut self) -> bool {
        let (now, pace) = (self.scene.now, self.scene.pace);
        let Some(record) = self.service.underway().filter(|record| record.progress == RecordStatus::InProgress) else {
            return true;
        };
        if DeploymentStrategy::of(&record.configuration).shifts() {
            return true;
        }
        let asked = record.configuration["bakeTimeInMinutes"].as_u64().unwrap_or(0);
        let minutes = if asked == 0 && record.watch.is_some() { BAKE_WITH_ALARMS } else { asked };
        if minutes > 0 && record.course.stage != Stage::BakeTime {
            (record.course.stage, record.course.since) = (Stage::BakeTime, now);
            record.updated_at = now;
        }
        now >= record.course.since + pace.millis(minutes * 60) || minutes == 0
    }

    fn complete(&mut self) {
        let (now, threshold) = (self.scene.now, self.service.threshold());
        let Some(primary) = self.service.deployments.first_mut() else { return };
        primary.rollout = Rollout::Completed;
        primary.reason = format!("ECS deployment {} completed.", primary.id());
        primary.completed = true;
        primary.updated_at = now;
        let failed = primary.failed;
        let Some(record) = self.service.underway() else { return };
        record.tally.get_or_insert((failed, threshold));
        match record.progress {
            RecordStatus::RollbackInProgress => self.close(RecordStatus::RollbackSuccessful, None),
            RecordStatus::Pending | RecordStatus::InProgress => self.close(RecordStatus::Successful, None),
            RecordStatus::StopRequested
            | RecordStatus::RollbackRequested
            | RecordStatus::Successful
            | RecordStatus::Stopped
            | RecordStatus::RollbackSuccessful
            | RecordStatus::RollbackFailed => {}
        }
    }

    /// Once the primary is completed, an older deployment is shown as long as it has tasks.
    fn forget_ended_deployments(&mut self) {
        let living: Vec<String> = self
            .tasks()
            .filter(|task| task.phase != Phase::Stopped)
            .filter_map(|task| task.deployment().map(ToOwned::to_owned))
            .collect();
        self.service.deployments.retain(|known| known.role == Role::Primary || living.contains(&known.number));
    }
}
