//! How a rollout is watched: the terms, the budgets, and how long it takes as a rule.

use serde_json::Value;

use super::{Resolved, service::containers};
use crate::{
    config::spec::{self, Place},
    plan::step::{DoneWhen, OnFailure, OnInterrupt, Percentages, Release, Terms, WatchBudget},
};

/// The `stopTimeout` of a container that names none: 30 s on Fargate and in the EC2 agent alike.
const STOP_TIMEOUT_S: u64 = 30;

/// What the scheduler itself takes around a drain, from the moment that all new tasks are healthy. It moves about every
/// 10 s; recordings show 10 to 51 s until old tasks are chosen to stop, 10 s until their targets are deregistered, 10 s
/// from the end of the delay to the signal, and 12 s from there to `deployment completed`.
const SCHEDULER_TICKS_S: u64 = 90;

/// How a service is watched.
pub(in crate::plan) const fn terms(rollout: &spec::Rollout, budget: WatchBudget, release: Release) -> Terms {
    let spec::Rollout { no_progress: _, total: _, done_when, on_failure, on_interrupt, percentages: _ } = *rollout;
    Terms {
        budget,
        expected_ms: None,
        began_ms: None,
        done_when: match done_when {
            spec::DoneWhen::Live => DoneWhen::Live,
            spec::DoneWhen::Drained => DoneWhen::Drained,
            spec::DoneWhen::Steady => DoneWhen::Steady,
        },
        on_failure: match on_failure {
            spec::OnFailure::Rollback => OnFailure::TakeBack,
            // What failed cannot stay where all that went well is taken back for it.
            spec::OnFailure::Leave if matches!(release, Release::AllOrNothing) => OnFailure::TakeBack,
            spec::OnFailure::Leave => OnFailure::Leave,
            spec::OnFailure::Wait => OnFailure::Wait,
        },
        on_interrupt: match on_interrupt {
            spec::OnInterrupt::Leave => OnInterrupt::Leave,
            spec::OnInterrupt::Rollback => OnInterrupt::TakeBack,
        },
    }
}

/// How long a rollout of this service takes as a rule, for the eyes of those who wait.
///
/// ECS starts as many new tasks at once as `maximumPercent` leaves room for, or as `minimumHealthyPercent` lets it stop
/// old ones; each such wave is a move of the scheduler, the start of a task, and the first health check (a target is
/// healthy after one that it passes; without a balancer a task counts after 40 s). Then the last old tasks drain for
/// the deregistration delay and get their signal, which takes two more moves. Measured on one-task Fargate services
/// with a delay of 30 s: 152 to 173 s; by this rule 160 s.
pub(super) fn expected_ms(service: &Resolved, place: &Place) -> u64 {
    /// "40–60 s" from the start of a Fargate task to its registration; a container of this machine is there at once.
    const FARGATE_START_S: u64 = 50;
    const LOCAL_START_S: u64 = 2;
    const TICK_S: u64 = 10;
    /// "no load balancer and no health check: 40 s after RUNNING".
    const COUNTED_AFTER_S: u64 = 40;
    let (desired, check_s, delay_s, start_s) = match service.live {
        Some(live) => {
            let checks = live.target_groups.iter().map(|group| group.health_check_interval_s);
            let start_s = match place {
                Place::Aws => FARGATE_START_S,
                Place::Sandbox => LOCAL_START_S,
            };
            let delay_s = live.target_groups.iter().map(|group| group.deregistration_delay_s).max().unwrap_or(0);
            (live.desired_count, checks.max().unwrap_or(COUNTED_AFTER_S), delay_s, start_s)
        }
        // The first rollout has nothing to drain.
        None => (0, service.spec.sandbox.health_check_interval.as_secs(), 0, LOCAL_START_S),
    };
    let Percentages { minimum_healthy, maximum } = service.spec.rollout.percentages;
    let (minimum, maximum) = service.live.map_or((100, 200), |live| {
        (minimum_healthy.unwrap_or(live.minimum_healthy_percent), maximum.unwrap_or(live.maximum_percent))
    });
    let (desired, minimum, maximum) = (u64::from(desired), u64::from(minimum), u64::from(maximum));
    let above = (maximum * desired / 100).saturating_sub(desired);
    let below = desired.saturating_sub((minimum * desired).div_ceil(100));
    let waves = desired.div_ceil(above.max(below).max(1)).max(1);
    let drain_s = if service.live.is_some() { 3 * TICK_S + delay_s } else { TICK_S };
    (waves * (TICK_S + start_s + check_s) + drain_s) * 1000
}

/// How long the watch of this service may take.
pub(super) fn budget(service: &Resolved) -> WatchBudget {
    let delay_s = match service.live {
        Some(live) => live.target_groups.iter().map(|group| group.deregistration_delay_s).max().unwrap_or(0),
        None => service.spec.sandbox.deregistration_delay.as_secs(),
    };
    let live = service.live.map(|live| &live.definition);
    budget_of(&service.spec.rollout, delay_s, [Some(&service.base), live].into_iter().flatten())
}

/// The same for any rollout: how its service is watched, the longest deregistration delay, and the task definitions
/// between which it goes.
pub(in crate::plan) fn budget_of<'a>(
    rollout: &spec::Rollout,
    delay_s: u64,
    definitions: impl Iterator<Item = &'a Value>,
) -> WatchBudget {
    let stop_s = definitions
        .flat_map(containers)
        .map(|container| container.get("stopTimeout").and_then(Value::as_u64).unwrap_or(STOP_TIMEOUT_S))
        .max()
        .unwrap_or(STOP_TIMEOUT_S);
    let milliseconds = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    WatchBudget {
        no_progress_ms: milliseconds(rollout.no_progress),
        total_ms: milliseconds(rollout.total),
        drain_ms: delay_s.saturating_add(stop_s).saturating_add(SCHEDULER_TICKS_S).saturating_mul(1000),
        deregistration_delay_ms: delay_s.saturating_mul(1000),
    }
}
