//! The one place of the sandbox that looks at a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use super::world::Millis;

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the sandbox's clock; everything else takes `now` as an argument")]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}
