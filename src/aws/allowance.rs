//! How many calls of each kind may be made: a program that watches must never be why somebody else is throttled.
//!
//! ECS and ELB count calls per account and region in token buckets ("request throttling", ECS developer guide). What
//! watches gets at most a quarter of what flows into each; what changes something is queued here instead of being
//! refused there.
//!
//! | bucket | AWS: burst and refill a second | here |
//! |---|---|---|
//! | `DescribeServices`, `ListServices` | 100, 20 | 25, 4.5 |
//! | `Describe`/`ListServiceDeployments` | 50, 20 | 12, 4.5 |
//! | `DescribeServiceRevisions` | 50, 20 | 12, 4.5 |
//! | `ListTasks`, `DescribeTasks`, `DescribeContainerInstances` | 100, 20 | 25, 4.5 |
//! | `DescribeTaskDefinition` | 50, 20 | 25, 4.5 |
//! | all that reads at ELB together, `DescribeTargetHealth` above all | 40, 10 | 20, 2.1 |
//! | `RegisterTaskDefinition` | 20, 1 | 20, 1 |
//! | `UpdateService`, `CreateService` | 50, 5 | 5, 5 |
//!
//! The rates are a little below a quarter, so that a first minute with its burst is not above it either.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use super::call::lock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bucket {
    ServiceRead,
    ServiceDeployment,
    ServiceRevision,
    ResourceRead,
    BalancerRead,
    DefinitionRead,
    DefinitionModify,
    ServiceModify,
}

impl Bucket {
    fn of(operation: &str) -> Option<Self> {
        Some(match operation {
            "DescribeServices" | "ListServices" => Self::ServiceRead,
            "DescribeServiceDeployments" | "ListServiceDeployments" => Self::ServiceDeployment,
            "DescribeServiceRevisions" => Self::ServiceRevision,
            "ListTasks" | "DescribeTasks" | "DescribeContainerInstances" => Self::ResourceRead,
            // "A bucket over all actions" of ELB beside the ones for each kind: none is outside of it.
            "DescribeTargetHealth"
            | "DescribeTargetGroups"
            | "DescribeTargetGroupAttributes"
            | "DescribeLoadBalancers"
            | "DescribeListeners" => Self::BalancerRead,
            "DescribeTaskDefinition" => Self::DefinitionRead,
            "RegisterTaskDefinition" => Self::DefinitionModify,
            "UpdateService" | "CreateService" => Self::ServiceModify,
            // Asked once or twice in a run.
            _ => return None,
        })
    }

    /// Burst, and how many flow in a second.
    const fn size(self) -> (f64, f64) {
        match self {
            Self::ServiceRead | Self::ResourceRead | Self::DefinitionRead => (25.0, 4.5),
            Self::ServiceDeployment | Self::ServiceRevision => (12.0, 4.5),
            Self::BalancerRead => (20.0, 2.1),
            Self::DefinitionModify => (20.0, 1.0),
            Self::ServiceModify => (5.0, 5.0),
        }
    }
}

#[derive(Debug)]
pub(super) struct Allowance {
    /// How many times faster than real the other side's clock runs.
    speed: f64,
    levels: Mutex<BTreeMap<Bucket, (f64, Instant)>>,
}

impl Allowance {
    pub(super) fn at_speed(speed: f64) -> Self {
        Self { speed: speed.max(0.01), levels: Mutex::default() }
    }

    /// Takes one call of `operation` out of its bucket, and says how long to wait for it.
    pub(super) fn take(&self, operation: &str, now: Instant) -> Duration {
        let Some(bucket) = Bucket::of(operation) else { return Duration::ZERO };
        let (burst, rate) = bucket.size();
        let rate = rate * self.speed;
        let mut levels = lock(&self.levels);
        let (level, at) = levels.entry(bucket).or_insert((burst, now));
        *level = (*level + now.saturating_duration_since(*at).as_secs_f64() * rate).min(burst) - 1.0;
        *at = now;
        // Below nothing it is the place in the queue.
        if *level >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-*level / rate) }
    }

    /// How long it takes to read so many services before a plan is made: the attributes of their target groups, one call
    /// each, are what takes longest.
    pub(super) fn to_read(&self, services: usize) -> Duration {
        let (burst, rate) = Bucket::BalancerRead.size();
        let calls = u32::try_from(services.saturating_add(services.div_ceil(20))).unwrap_or(u32::MAX);
        Duration::from_secs_f64((f64::from(calls) - burst).max(0.0) / (rate * self.speed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Allowance;

    /// When each of `calls` calls that are all wanted at once is made, in milliseconds.
    fn made(operation: &str, calls: usize) -> Vec<u128> {
        let (allowance, now) = (Allowance::at_speed(1.0), Instant::now());
        (0..calls).map(|_| allowance.take(operation, now).as_millis()).collect()
    }

    #[test]
    fn a_hundred_registrations_take_eighty_seconds_and_as_many_updates_nineteen() {
        let registered = made("RegisterTaskDefinition", 100);
        assert_eq!((registered[19], registered[20], registered[99]), (0, 1_000, 80_000));
        let updated = made("UpdateService", 100);
        assert_eq!((updated[4], updated[99]), (0, 19_000));
        assert_eq!(made("GetLogEvents", 1_000).last(), Some(&0));
    }

    /// Whatever is wanted: no minute has more than a quarter of what flows into AWS's bucket in it.
    #[test]
    fn what_watches_never_takes_more_than_a_quarter() {
        for (operation, refill) in [
            ("DescribeServices", 20),
            ("DescribeServiceDeployments", 20),
            ("DescribeServiceRevisions", 20),
            ("ListTasks", 20),
            ("DescribeTaskDefinition", 20),
            ("DescribeTargetHealth", 10),
            ("DescribeTargetGroups", 10),
            ("DescribeTargetGroupAttributes", 10),
        ] {
            let made = made(operation, 2_000);
            for minute in (0..made.len()).map(|first| made[first]) {
                let calls = made.iter().filter(|at| (minute..minute + 60_000).contains(at)).count();
                assert!(calls <= refill * 60 / 4, "{operation}: {calls} calls in a minute");
            }
        }
    }

    /// What is read of so many services before a plan is made: a call for ten of them, for each its definition and the
    /// attributes of its target group, and a call for twenty groups.
    #[test]
    fn reading_a_hundred_services_stays_below_a_quarter_and_ten_wait_for_nothing() {
        for (services, seconds) in [(1, 0), (10, 0), (100, 40)] {
            let (allowance, now) = (Allowance::at_speed(1.0), Instant::now());
            let mut elb = Vec::new();
            for _ in 0..services {
                elb.push(allowance.take("DescribeTargetGroupAttributes", now).as_millis());
            }
            for _ in 0..usize::div_ceil(services, 20) {
                elb.push(allowance.take("DescribeTargetGroups", now).as_millis());
            }
            let definitions: Vec<_> =
                (0..services).map(|_| allowance.take("DescribeTaskDefinition", now).as_millis()).collect();
            for (made, refill) in [(&elb, 10), (&definitions, 20)] {
                let first_minute = made.iter().filter(|at| **at < 60_000).count();
                assert!(first_minute <= refill * 60 / 4, "{services} services: {first_minute} calls");
            }
            let last = elb.into_iter().chain(definitions).max().unwrap_or_default();
            assert_eq!(last / 1000, seconds, "{services} services");
            assert_eq!(u128::from(Allowance::at_speed(1.0).to_read(services).as_secs()), seconds, "and that is said");
        }
    }

    #[test]
    fn what_was_not_taken_is_kept_up_to_the_burst() {
        let (allowance, start) = (Allowance::at_speed(1.0), Instant::now());
        for _ in 0..20 {
            allowance.take("RegisterTaskDefinition", start);
        }
        let later = start + Duration::from_hours(1);
        let waits: Vec<_> = (0..21).map(|_| allowance.take("RegisterTaskDefinition", later).as_millis()).collect();
        assert_eq!((waits[19], waits[20]), (0, 1_000));
    }
}
