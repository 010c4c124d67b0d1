//! `version`: which build this is.

use super::{
    Door,
    args::{self, VersionFormat},
};
use crate::{exit::Exit, failure::Failure};

pub fn run(args: &args::Version, door: &Door) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    door.print(&match (args.short, args.format) {
        // As compose does: the short form is the number without the letter, whatever the format.
        (true, VersionFormat::Pretty | VersionFormat::Json) => format!("{version}\n"),
        (false, VersionFormat::Pretty) => format!("docker-ecs-ship version v{version}\n"),
        (false, VersionFormat::Json) => format!("{}\n", serde_json::json!({ "version": format!("v{version}") })),
    })?;
    Ok(Exit::Done)
}
