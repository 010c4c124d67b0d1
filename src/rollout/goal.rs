//! What a watch is told before it looks for the first time: which rollout, for how long, until when,
//! and how often to look.

use crate::id::{Key, TaskDefArn};

/// One rollout to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// The service's key in `ship.toml`, for the events.
    pub service: Key,
    pub started: Started,
    pub terms: Terms,
    pub pace: Pace,
}

/// What was agreed on before a rollout began: how long it may take, what ends it, and what to do when it
/// does not go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub budget: WatchBudget,
    /// How long it takes as a rule, where that could be worked out: for the eyes only.
    pub expected_ms: Option<u64>,
    /// When it began, by ECS's clock, where that was before anybody watched: for the eyes only. The budgets count from
    /// the first look.
    pub began_ms: Option<u64>,
    pub done_when: DoneWhen,
    pub on_failure: OnFailure,
    pub on_interrupt: OnInterrupt,
}

impl Terms {
    /// The usual ones: until the old tasks are gone, taken back when it fails, left alone when interrupted.
    #[must_use]
    pub const fn within(budget: WatchBudget) -> Self {
        Self {
            budget,
            expected_ms: None,
            began_ms: None,
            done_when: DoneWhen::Drained,
            on_failure: OnFailure::TakeBack,
            on_interrupt: OnInterrupt::Leave,
        }
    }
}

/// What becomes of a rollout that nobody wants to watch any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInterrupt {
    /// ECS goes on with it.
    #[default]
    Leave,
    /// ECS is asked, once, to take it back.
    TakeBack,
}

/// What to do as soon as the tasks show that the rollout will not succeed: after the first one that
/// ended for a cause every further one will end for, after the second that crashed or was unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Ask for it to be taken back, if there is something to go back to.
    TakeBack,
    /// End the watch with the verdict.
    Leave,
    /// Watch on: ECS and its circuit breaker decide.
    Wait,
}

/// A rollout as `UpdateService` or `CreateService` answered it: what the watch is pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// `ecs-svc/123` of the PRIMARY deployment.
    pub deployment_id: String,
    /// `currentServiceDeployment`, where the answer has one. It may lag behind and still name the
    /// deployment before ours (ecspresso #945), so the machine never trusts it alone.
    pub service_deployment: Option<String>,
    pub task_definition: TaskDefArn,
    /// What ran before, to tell old from new.
    pub previous: Option<TaskDefArn>,
    pub desired: u32,
}

/// How long the parts of the watch may take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchBudget {
    pub no_progress_ms: u64,
    pub total_ms: u64,
    /// The longest deregistration delay plus the longest stop timeout plus scheduler ticks.
    pub drain_ms: u64,
    /// The longest deregistration delay alone, for the countdown.
    pub deregistration_delay_ms: u64,
}

/// What ends the watch of a rollout that goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DoneWhen {
    /// All new tasks run and are healthy; the old ones may still drain.
    Live,
    /// The old tasks are gone too.
    #[default]
    Drained,
    /// ECS has also said `has reached a steady state` after that.
    Steady,
}

/// How often each part is looked at, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// `DescribeServices`.
    pub service_ms: u64,
    /// `DescribeServiceDeployments`.
    pub deployment_ms: u64,
    /// `ListTasks` and `DescribeTasks`, when nothing changed that asks for them earlier.
    pub tasks_ms: u64,
    /// `DescribeTargetHealth`, while something registers or drains.
    pub targets_ms: u64,
    /// Everything, once the end may come at any moment: what decides how soon after the last old task
    /// the command returns.
    pub ending_ms: u64,
    /// On which beat those look that look together, so that their questions can be put into one call; 0 for one alone.
    pub beat_ms: u64,
}

impl Pace {
    /// For one rollout among `services` that are watched at once in one account and region.
    ///
    /// A shared account gets at most a quarter of each bucket's refill, and `aws` makes sure of that; this is so that
    /// nothing has to queue there. ECS describes ten services in a call and twenty service deployments, and takes 20
    /// of these calls a second; tasks are two lists for each service, of the same number; the tightest is ELB's
    /// `DescribeTargetHealth`, one target group a call and 10 a second. The ECS scheduler itself moves about every 10 s,
    /// so that looking more often than every 2 s buys nothing.
    #[must_use]
    pub fn for_services(services: usize) -> Self {
        let services = u64::try_from(services).unwrap_or(u64::MAX);
        match services {
            0 | 1 => Self {
                service_ms: 2_000,
                deployment_ms: 4_000,
                tasks_ms: 5_000,
                targets_ms: 4_000,
                ending_ms: 2_000,
                beat_ms: 0,
            },
            2..=10 => Self {
                service_ms: 2_500,
                deployment_ms: 5_000,
                tasks_ms: 10_000,
                targets_ms: 7_500,
                ending_ms: 2_500,
                beat_ms: 2_500,
            },
            // Two calls a second for the services, and what is left of a quarter for the rest.
            _ => Self {
                service_ms: services.saturating_mul(50).max(5_000),
                deployment_ms: services.saturating_mul(50).max(15_000),
                tasks_ms: services.saturating_mul(600).max(30_000),
                targets_ms: services.saturating_mul(500).max(30_000),
                ending_ms: services.saturating_mul(50).max(5_000),
                beat_ms: services.saturating_mul(50).max(5_000),
            },
        }
    }

    /// For a sandbox whose clock runs so many times faster; no more often than `quickest_ms`, which costs
    /// nothing there but the processor's time.
    #[must_use]
    pub fn quicker(self, speed: f64, quickest_ms: u64) -> Self {
        let Self { service_ms, deployment_ms, tasks_ms, targets_ms, ending_ms, beat_ms } = self;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "seconds, in milliseconds"
        )]
        let scaled = |milliseconds: u64| ((milliseconds as f64 / speed.max(1.0)) as u64).max(quickest_ms);
        Self {
            service_ms: scaled(service_ms),
            deployment_ms: scaled(deployment_ms),
            tasks_ms: scaled(tasks_ms),
            targets_ms: scaled(targets_ms),
            ending_ms: scaled(ending_ms),
            beat_ms: if beat_ms == 0 { 0 } else { scaled(beat_ms) },
        }
    }

    /// How long a look may be kept waiting by the logs of tasks that failed.
    #[must_use]
    pub fn log_ms(&self) -> u64 {
        (self.service_ms * 5 / 2).max(1_000)
    }

    /// How long to sleep at `now_ms` to look in about `after_ms`: to the nearest beat, where that is not now.
    #[must_use]
    pub const fn sleep_ms(&self, now_ms: u64, after_ms: u64) -> u64 {
        // What is urgent does not wait for a beat.
        if self.beat_ms == 0 || after_ms * 2 < self.beat_ms {
            return after_ms;
        }
        let at = now_ms.saturating_add(after_ms);
        let beat = (at + self.beat_ms / 2) / self.beat_ms * self.beat_ms;
        if beat > now_ms { beat - now_ms } else { after_ms }
    }

    /// The same pattern with `interval_ms` between two looks at the service: for a sandbox whose time
    /// runs faster.
    #[must_use]
    pub fn every(interval_ms: u64) -> Self {
        let interval_ms = interval_ms.max(1);
        Self {
            service_ms: interval_ms,
            deployment_ms: interval_ms.saturating_mul(2),
            tasks_ms: interval_ms.saturating_mul(5) / 2,
            targets_ms: interval_ms.saturating_mul(2),
            ending_ms: interval_ms,
            beat_ms: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    /// Calls a minute of a whole fleet that looks at its own pace, by bucket, against a quarter of AWS's refill.
    #[test]
    fn a_fleet_stays_below_a_quarter_of_what_aws_gives() {
        for services in [1_u64, 2, 10, 11, 50, 100, 500, 5_000] {
            let pace = Pace::for_services(usize::try_from(services).unwrap());
            let a_minute = |calls: u64, every_ms: u64| calls * 60_000 / every_ms;
            assert!(a_minute(services.div_ceil(10), pace.service_ms) <= 300, "{services} services");
            assert!(a_minute(services.div_ceil(20), pace.deployment_ms) <= 300, "{services} deployments");
            // Two lists each, and the tasks of all: four each while they are replaced, a hundred a call.
            let tasks = services * 2 + (services * 4).div_ceil(100);
            assert!(a_minute(tasks, pace.tasks_ms) <= 300, "{services} tasks");
            assert!(a_minute(services, pace.targets_ms) <= 150, "{services} targets");
        }
    }

    #[test]
    fn those_who_look_together_wake_up_together() {
        let pace = Pace::for_services(10);
        let wakes = |now: u64, after: u64| now + pace.sleep_ms(now, after);
        assert_eq!((wakes(10_040, 2_500), wakes(9_990, 2_500)), (12_500, 12_500));
        assert_eq!(wakes(10_040, 200), 10_240, "what is urgent is not put off");
        assert_eq!(Pace::for_services(1).sleep_ms(10_040, 2_000), 2_000);
    }
}
