//! Why a step ended badly.

use crate::{
    aws::AwsError,
    docker::DockerError,
    event::{FailedTask, Live},
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
    /// The rollout ended, and not well; or it went well and its drain did not end in time.
    #[error("rollout of {service} {}", words(verdict))]
    Rollout { service: Key, verdict: Verdict, live: Live, exit: Exit, failed: Vec<FailedTask> },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// Somebody asked to stop while ECS was rolling out; ECS goes on.
    #[error("stopped watching; ECS goes on rolling out {task_definition}")]
    StoppedWatching { service: Key, task_definition: TaskDefArn },
}

impl RunError {
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled | Self::StoppedWatching { .. } => true,
            Self::Aws(_) | Self::Docker(_) | Self::Rollout { .. } => false,
        }
    }
}

/// How a rollout ended, as the end of a sentence about it.
#[must_use]
pub fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Live => "is live".to_owned(),
        Verdict::Drained => "is live, the old tasks are gone".to_owned(),
        Verdict::Steady => "is live and steady, the old tasks are gone".to_owned(),
        Verdict::NothingProven => "is done with no task wanted: nothing ran, so nothing is proven".to_owned(),
        Verdict::DrainUnfinished => "is live, but the old tasks were not gone in time".to_owned(),
        Verdict::RolledBack { why } => format!("was rolled back by ECS: {why}"),
        Verdict::Failed { why } => format!("failed: {why}"),
        Verdict::Superseded { by } => format!("was replaced by another deployment, {by}"),
        Verdict::Stopped => "was stopped by somebody".to_owned(),
        Verdict::TimedOut { clock } => match clock {
            Clock::Total => "did not finish in the total time it may take".to_owned(),
            Clock::NoProgress => "stopped moving for longer than it may".to_owned(),
            Clock::Drain => "did not drain in time".to_owned(),
            Clock::Rollback => "was being rolled back, and that did not finish in time".to_owned(),
        },
    }
}
