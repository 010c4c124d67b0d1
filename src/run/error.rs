//! Why a step ended badly.

use super::{check::CheckFailure, task::Ended};
use crate::{
    aws::{AwsError, copy::CopyError},
    docker::DockerError,
    event::{FailedHow, FailedTask, Live},
    exit::Exit,
    id::{Key, TaskDefArn},
    rollout::{budget::Clock, machine::Verdict},
};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// An image did not get from one repository to the other.
    #[error(transparent)]
    Copy(Box<CopyError>),
    /// The rollout ended, and not well; or it went well and its drain did not end in time.
    #[error("{}", words(verdict))]
    Rollout { service: Key, verdict: Verdict, live: Live, exit: Exit, failed: Vec<FailedTask>, way_back: WayBack },
    /// What must succeed before a push did not.
    #[error(transparent)]
    Check(Box<CheckFailure>),
    /// The task that must succeed before a rollout did not.
    #[error("{ended}")]
    Task { service: Key, ended: Ended },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// Somebody asked to stop while ECS was rolling out; ECS goes on.
    #[error("{}", stopped_words(task_definition, left))]
    StoppedWatching { service: Key, task_definition: TaskDefArn, live: Live, left: Left },
}

/// What ECS does with a rollout that nobody watches any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It goes on.
    Going,
    /// It was asked, once, to take it back, and does.
    TakenBack,
    /// It was asked to, and would not.
    NotTakenBack { why: String },
}

fn stopped_words(task_definition: &TaskDefArn, left: &Left) -> String {
    match left {
        Left::Going => format!("stopped watching; ECS goes on with {task_definition}"),
        Left::TakenBack => format!("stopped watching; ECS was asked to take {task_definition} back, and does"),
        Left::NotTakenBack { why } => {
            format!(
                "stopped watching; ECS was asked to take {task_definition} back and would not ({why}), so it goes on"
            )
        }
    }
}

/// Whether there is a revision to take a rollout back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    Open,
    /// Nothing ran before.
    None,
}

impl WayBack {
    #[must_use]
    pub const fn to(previous: Option<&TaskDefArn>) -> Self {
        if previous.is_some() { Self::Open } else { Self::None }
    }
}

impl From<CopyError> for RunError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Aws(error) => Self::Aws(error),
            other => Self::Copy(Box::new(other)),
        }
    }
}

impl RunError {
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled | Self::StoppedWatching { .. } => true,
            Self::Aws(_)
            | Self::Docker(_)
            | Self::Copy(_)
            | Self::Check(_)
            | Self::Rollout { .. }
            | Self::Task { .. } => false,
        }
    }

    /// What kind of bad end this is to those who watch.
    #[must_use]
    pub const fn how(&self) -> FailedHow {
        match self {
            Self::Cancelled | Self::StoppedWatching { .. } => FailedHow::Cancelled,
            Self::Rollout { verdict: Verdict::DrainUnfinished, .. } => FailedHow::Unfinished,
            Self::Rollout {
                verdict:
                    Verdict::Live
                    | Verdict::Drained
                    | Verdict::Steady
                    | Verdict::NothingProven
                    | Verdict::RolledBack { .. }
                    | Verdict::Failed { .. }
                    | Verdict::Superseded { .. }
                    | Verdict::Stopped
                    | Verdict::TimedOut { .. },
                ..
            }
            | Self::Aws(_)
            | Self::Docker(_)
            | Self::Copy(_)
            | Self::Check(_)
            | Self::Task { .. } => FailedHow::Failed,
        }
    }
}

/// How a rollout ended, without its subject: the step that says it has the service in its title.
#[must_use]
pub fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Live => "live".to_owned(),
        Verdict::Drained => "live, the old tasks are gone".to_owned(),
        Verdict::Steady => "live and steady, the old tasks are gone".to_owned(),
        Verdict::NothingProven => "no task is wanted: nothing ran, so nothing is proven".to_owned(),
        Verdict::DrainUnfinished => "live, but the old tasks were not gone in time".to_owned(),
        Verdict::RolledBack { why } => format!("rolled back by ECS: {why}"),
        Verdict::Failed { why } => why.clone(),
        Verdict::Superseded { by } => format!("replaced by another deployment, {by}"),
        Verdict::Stopped => "somebody stopped it, and nothing replaced it".to_owned(),
        Verdict::TimedOut { clock } => match clock {
            Clock::Total => "it did not finish in the total time it may take".to_owned(),
            Clock::NoProgress => "nothing moved for longer than it may".to_owned(),
            Clock::Somebody => "it waits for somebody to let it go on, and nobody did".to_owned(),
            Clock::Drain => "the old tasks were not gone in time".to_owned(),
            Clock::Rollback => "ECS began to roll it back, and that did not finish in time".to_owned(),
        },
    }
}
