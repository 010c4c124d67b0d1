//! The sandbox's world: what the emulated services know.

use serde::{Deserialize, Serialize};

pub mod ecr;
pub mod logs;
pub mod sts;

/// Milliseconds since the Unix epoch, real wall time.
pub type Millis = u64;

/// How fast time runs: durations are divided by it, timestamps stay real.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace(f64);

impl Pace {
    pub fn new(speed: f64) -> Self {
        Self(speed)
    }
}

/// Who the sandbox says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub account: String,
    pub region: String,
    pub authority: String,
}

/// An AWS-shaped refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub status: u16,
    pub code: String,
    pub message: String,
}

/// Everything the sandbox remembers.
#[derive(Serialize, Deserialize)]
pub struct World {
    pub place: Place,
    pub pace: Pace,
    pub ecr: ecr::Ecr,
    pub logs: logs::Logs,
}

impl World {
    /// An empty account. `seed` is where its ids come from.
    #[must_use]
    pub fn new(place: Place, pace: Pace, _seed: u64) -> Self {
        Self { place, pace, ecr: ecr::Ecr::default(), logs: logs::Logs::default() }
    }
}
