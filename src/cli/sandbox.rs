//! `sandbox up|down|status`: the stand-in for AWS on this machine.

use super::{Door, args};
use crate::{exit::Exit, failure::Failure};

#[expect(clippy::unused_async, reason = "the verb starts servers")]
pub async fn up(_args: &args::SandboxUp, _door: &Door) -> Result<Exit, Failure> {
    Err(Failure::NotLinked { part: "sandbox up" })
}

#[expect(clippy::unused_async, reason = "the verb talks to the sandbox")]
pub async fn down(_door: &Door) -> Result<Exit, Failure> {
    Err(Failure::NotLinked { part: "sandbox down" })
}

#[expect(clippy::unused_async, reason = "the verb talks to the sandbox")]
pub async fn status(_door: &Door) -> Result<Exit, Failure> {
    Err(Failure::NotLinked { part: "sandbox status" })
}
