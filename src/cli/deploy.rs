//! `deploy`: build, push, register, roll out.

use super::{Door, args};
use crate::{exit::Exit, failure::Failure};

#[expect(clippy::unused_async, reason = "the verb talks to the engine and to AWS")]
pub async fn run(_args: &args::Deploy, _door: &Door) -> Result<Exit, Failure> {
    Err(Failure::NotLinked { part: "deploy" })
}
