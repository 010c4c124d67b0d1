//! The world the sandbox emulates: state machines with a clock handed in, no HTTP, no tokio.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub mod cloudwatch;
pub mod ec2;
pub mod ecr;
pub mod ecs;
pub mod elb;
mod hidden;
mod input;
pub mod logs;
pub mod secretsmanager;
pub mod ssm;
pub mod sts;

pub use hidden::Hidden;

/// Milliseconds since the Unix epoch, real wall time.
pub type Millis = u64;

/// How fast time runs: durations are divided by it, timestamps stay real.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace(f64);

impl Pace {
    /// Slower than this a default drain would take more than eight hours; faster than the other
    /// end a scheduler tick would last less than the sandbox's own loop.
    pub const RANGE: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

    /// A speed outside [`Pace::RANGE`] is moved to its nearest end; what is no number is real time.
    #[must_use]
    pub fn new(speed: f64) -> Self {
        if speed.is_nan() { Self(1.0) } else { Self(speed.clamp(*Self::RANGE.start(), *Self::RANGE.end())) }
    }

    #[must_use]
    pub fn speed(self) -> f64 {
        self.0
    }

    #[must_use]
    pub fn scaled(self, duration: Duration) -> Duration {
        duration.div_f64(self.0)
    }

    /// So many of AWS's seconds, in our milliseconds.
    #[must_use]
    pub fn millis(self, seconds: u64) -> u64 {
        u64::try_from(self.scaled(Duration::from_secs(seconds)).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self(1.0)
    }
}

/// Who the sandbox says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `000000000000`
    pub account: String,
    /// `us-east-1`
    pub region: String,
    /// `127.0.0.1:4517`
    pub authority: String,
}

/// An AWS-shaped refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Fault {
    /// A refusal the caller can do something about: HTTP 400, as AWS answers nearly all of them.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }
}

/// The form in which a world is written down. A world of an earlier one is read with the defaults of what it lacks; one of a
/// later one is left alone.
pub const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
pub struct World {
    /// Of the file it came from; 0 before there were any.
    #[serde(default)]
    pub format: u32,
    pub place: Place,
    pub pace: Pace,
    pub ecs: ecs::Ecs,
    pub elb: elb::Elb,
    pub ecr: ecr::Ecr,
    pub logs: logs::Logs,
    #[serde(default)]
    pub sts: sts::Sts,
    #[serde(default)]
    pub alarms: cloudwatch::Alarms,
    #[serde(default)]
    pub ssm: ssm::Ssm,
    #[serde(default)]
    pub secrets: secretsmanager::SecretsManager,
}

impl World {
    /// An empty account. `seed` is where its ids come from.
    #[must_use]
    #[expect(clippy::similar_names, reason = "the contract's own names, of types that cannot be mixed up")]
    pub fn new(place: Place, pace: Pace, seed: u64) -> Self {
        Self {
            format: FORMAT,
            place,
            pace,
            ecs: ecs::Ecs::seeded(seed),
            elb: elb::Elb::default(),
            ecr: ecr::Ecr::default(),
            logs: logs::Logs::default(),
            sts: sts::Sts::default(),
            alarms: cloudwatch::Alarms::default(),
            ssm: ssm::Ssm::default(),
            secrets: secretsmanager::SecretsManager::default(),
        }
    }

    /// Different after every change.
    #[must_use]
    pub fn revision(&self) -> [u64; 8] {
        let Self { format: _, place: _, pace: _, ecs, elb, ecr, logs, sts, alarms, ssm, secrets } = self;
        let [ecs, elb, ecr, logs] = [ecs.revision(), elb.revision(), ecr.revision(), logs.revision()];
        [ecs, elb, ecr, logs, sts.revision(), alarms.revision(), ssm.revision(), secrets.revision()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_divides_durations() {
        assert_eq!(Pace::new(10.0).millis(10), 1000);
        assert_eq!(Pace::new(1.0).scaled(Duration::from_secs(40)), Duration::from_secs(40));
        assert_eq!(Pace::new(0.5).millis(1), 2000);
    }

    #[test]
    fn pace_holds_no_speed_that_stops_or_breaks_time() {
        for (asked, held) in [(0.0, 0.01), (-3.0, 0.01), (f64::NAN, 1.0), (f64::INFINITY, 1000.0), (1e9, 1000.0)] {
            assert!((Pace::new(asked).speed() - held).abs() < f64::EPSILON, "{asked}");
        }
    }
}
