//! The one place of the sandbox that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use super::world::Millis;

/// The time of day, as the world is told it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the sandbox's only look at a clock")]
pub fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(Millis::MAX))
}
