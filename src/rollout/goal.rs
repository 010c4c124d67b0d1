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
}

impl Pace {
    /// For one rollout among `services` that are watched at once in one account and region.
    ///
    /// A shared account gets at most a quarter of each bucket's refill. The tightest is ELB's
    /// `DescribeTargetHealth` with 10 a second; the service and deployment buckets refill 20 a second.
    /// The ECS scheduler itself moves about every 10 s, so that looking more often than every 2 s buys
    /// nothing.
    #[must_use]
    pub fn for_services(services: usize) -> Self {
        match services {
            0 | 1 => {
                Self { service_ms: 2_000, deployment_ms: 4_000, tasks_ms: 5_000, targets_ms: 4_000, ending_ms: 2_000 }
            }
            2..=10 => {
                Self { service_ms: 2_500, deployment_ms: 5_000, tasks_ms: 10_000, targets_ms: 7_500, ending_ms: 2_500 }
            }
            _ => Self {
                service_ms: 5_000,
                deployment_ms: 15_000,
                tasks_ms: 30_000,
                targets_ms: 30_000,
                ending_ms: 5_000,
            },
        }
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
        }
    }
}
