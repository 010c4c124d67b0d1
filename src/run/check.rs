//! A check of an image: done in its time and passed, or why not.

use std::{fmt, time::Duration};

use tokio::sync::mpsc;

use super::{act::Acted, cancel::Cancel, error::RunError};
use crate::{
    config::duration,
    docker::{
        Engine,
        check::{self, Checked, Ending},
    },
    event::Progress,
    id::Key,
    image::Digest,
    plan::step::{CheckRun, Produced},
};

/// What a container that is killed ends with: 128 and SIGKILL.
const KILLED: i64 = 137;

/// A check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
pub struct CheckFailure {
    pub image: Key,
    /// `/app/selftest -v`, `stage test`.
    pub what: String,
    pub why: Why,
    /// The last lines of a command.
    pub log: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    Exited { code: i64, memory_mib: Option<u64> },
    NotStarted { message: String },
    TimedOut { limit_ms: u64 },
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code: KILLED, memory_mib: Some(memory) } => {
                write!(formatter, "was killed (exit code {KILLED}); it may use {memory} MiB, as in the task definition")
            }
            Self::Exited { code, .. } => write!(formatter, "ended with {code}, and not with 0"),
            Self::NotStarted { message } => write!(formatter, "could not be started: {message}"),
            Self::TimedOut { limit_ms } => {
                write!(formatter, "took longer than {}", duration::print(Duration::from_millis(*limit_ms)))
            }
        }
    }
}

impl CheckFailure {
    /// What to do, the best first.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let table = format!("[[images.{}.checks]]", self.image);
        let first = match &self.why {
            Why::Exited { code: KILLED, .. } => {
                "see whether it needs more memory than `memory` of the task definition gives it".to_owned()
            }
            Why::Exited { .. } => "its last lines say why".to_owned(),
            Why::NotStarted { .. } => format!(
                "`run` of {table} takes the place of ENTRYPOINT and CMD: give the path that the program has in the \
                 image, and a shell of its own for shell syntax"
            ),
            Why::TimedOut { .. } => format!("give it more time with `timeout` of {table}"),
        };
        vec![first, "nothing was pushed; what was built is in the engine's cache".to_owned()]
    }
}

/// A stage that is being built.
pub(crate) async fn stage(
    image: &Key,
    stage: &str,
    limit_ms: u64,
    building: impl Future<Output = Result<Acted, RunError>>,
) -> Result<Acted, RunError> {
    // Dropping the build is how the engine is told to end it.
    if let Ok(built) = tokio::time::timeout(Duration::from_millis(limit_ms), building).await {
        return built.map(|_| Acted::new(Produced::Nothing, "it builds"));
    }
    let (what, why) = (format!("stage {stage}"), Why::TimedOut { limit_ms });
    Err(CheckFailure { image: image.clone(), what, why, log: Vec::new() }.into())
}

/// A command in the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) image: &'a Key,
    pub(crate) built: &'a Digest,
    pub(crate) run: &'a CheckRun,
    pub(crate) timeout_ms: u64,
}

pub(crate) async fn command(
    engine: &Engine,
    judged: Judged<'_>,
    progress: &mpsc::Sender<Progress>,
    cancel: &Cancel,
) -> Result<Acted, RunError> {
    let Judged { image, built, run, timeout_ms } = judged;
    let limit = Duration::from_millis(timeout_ms);
    let Checked { ending, log } = check::run(engine, image, built, run, limit, progress, cancel.once()).await?;
    let why = match ending {
        Ending::Exited { code: 0 } => return Ok(Acted::new(Produced::Nothing, "it ended with 0")),
        Ending::Stopped => return Err(RunError::Cancelled),
        Ending::Exited { code } => Why::Exited { code, memory_mib: run.memory_mib },
        Ending::NotStarted { why } => Why::NotStarted { message: why },
        Ending::TimedOut => Why::TimedOut { limit_ms: timeout_ms },
    };
    Err(CheckFailure { image: image.clone(), what: format!("`{}`", run.brief()), why, log }.into())
}

impl From<CheckFailure> for RunError {
    fn from(failure: CheckFailure) -> Self {
        Self::Check(Box::new(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_end_says_what_to_do() {
        let told = |why| {
            let failure = CheckFailure {
                image: Key::new("web"),
                what: "`/app/selftest -v`".to_owned(),
                why,
                log: vec!["said so".to_owned()],
            };
            format!("{failure}\n  hint: {}", failure.hints()[0])
        };
        let told = [
            Why::Exited { code: 3, memory_mib: Some(512) },
            Why::Exited { code: 137, memory_mib: Some(512) },
            Why::Exited { code: 137, memory_mib: None },
            Why::NotStarted { message: "exec: \"/app/selftest\": no such file or directory".to_owned() },
            Why::TimedOut { limit_ms: 120_000 },
        ]
        .map(told);
        insta::assert_snapshot!(told.join("\n"), @r#"
        `/app/selftest -v` ended with 3, and not with 0
          hint: its last lines say why
        `/app/selftest -v` was killed (exit code 137); it may use 512 MiB, as in the task definition
          hint: see whether it needs more memory than `memory` of the task definition gives it
        `/app/selftest -v` ended with 137, and not with 0
          hint: see whether it needs more memory than `memory` of the task definition gives it
        `/app/selftest -v` could not be started: exec: "/app/selftest": no such file or directory
          hint: `run` of [[images.web.checks]] takes the place of ENTRYPOINT and CMD: give the path that the program has in the image, and a shell of its own for shell syntax
        `/app/selftest -v` took longer than 2m
          hint: give it more time with `timeout` of [[images.web.checks]]
        "#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_takes_too_long_is_given_up() {
        let (alive, dropped) = tokio::sync::oneshot::channel::<()>();
        let building = async move {
            let _alive = alive;
            std::future::pending::<Result<Acted, RunError>>().await
        };
        let ended = stage(&Key::new("web"), "test", 60_000, building).await;
        let Err(RunError::Check(failure)) = ended else { panic!("it was built") };
        assert_eq!(failure.to_string(), "stage test took longer than 1m");
        assert!(dropped.await.is_err(), "the build was dropped, which ends it");
    }
}
