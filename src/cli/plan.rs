//! `plan`: what `deploy` would do, printed.

use super::{Door, args};
use crate::{exit::Exit, failure::Failure};

#[expect(clippy::unused_async, reason = "the verb talks to the engine and to AWS")]
pub async fn run(_args: &args::Plan, _door: &Door) -> Result<Exit, Failure> {
    Err(Failure::NotLinked { part: "plan" })
}
