//! One task from its start to its end: its states and its lines as they come, and how it ended.
//!
//! Asked to stop, it is told to end (the stop signal, and a kill when its stop timeout is over) and followed until it
//! has: a migration that nobody looks at any more is worse than one that was interrupted.

use std::fmt;

use tokio::sync::mpsc;

use super::{
    cancel::Cancel,
    logs::{Line, Logs},
    watch::pause,
};
use crate::{
    aws::{Aws, AwsError, logs::From, tasks},
    docker::tell,
    event::Progress,
    id::{Cluster, TaskDefArn},
    rollout::{reason, view::TaskView},
};

/// A task just started is not known everywhere at once; after so many looks in vain it is not there.
const UNKNOWN: u32 = 15;

/// Looks that may fail in a row, for whatever reason, before the task is given up.
const BLIND: u32 = 5;

/// Looks for lines after the end: what the log driver still holds arrives within seconds.
const LAST_LOOKS: u32 = 3;

/// A task to follow.
#[derive(Debug, Clone, Copy)]
pub struct Followed<'a> {
    pub cluster: &'a Cluster,
    pub task: &'a str,
    pub revision: &'a TaskDefArn,
    /// The one whose exit code counts.
    pub container: &'a str,
    /// It is stopped when it takes longer.
    pub timeout_ms: Option<u64>,
    /// Between two looks.
    pub pace_ms: u64,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub task: String,
    /// `None` when the container never ran.
    pub exit_code: Option<i64>,
    /// In words, when it did not end well.
    pub why: String,
    pub stopped: Stopped,
}

/// Whether we have told it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    No,
    /// Somebody asked to stop.
    OnRequest,
    TimedOut,
    /// Its command had ended, and other containers ran on.
    CommandEnded,
}

/// `task 0c3b1c5e ended with 1: container web ended by itself with exit code 1`.
impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, exit_code, why, stopped } = self;
        let task = task.get(..8).unwrap_or(task);
        match (stopped, exit_code) {
            (Stopped::TimedOut, _) => write!(formatter, "task {task} took longer than it may and was stopped"),
            (Stopped::OnRequest, _) => write!(formatter, "task {task} was stopped on request"),
            (Stopped::No | Stopped::CommandEnded, Some(code)) => {
                write!(formatter, "task {task} ended with {code}: {why}")
            }
            (Stopped::No | Stopped::CommandEnded, None) => write!(formatter, "task {task} did not run: {why}"),
        }
    }
}

impl Ended {
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.exit_code == Some(0) && matches!(self.stopped, Stopped::No | Stopped::CommandEnded)
    }
}

/// Follows it to its end.
pub async fn follow(
    aws: &Aws,
    followed: Followed<'_>,
    progress: &mpsc::Sender<Progress>,
    clock: fn() -> u64,
    cancel: &Cancel,
) -> Result<Ended, AwsError> {
    let Followed { cluster, task, revision, container, timeout_ms, pace_ms } = followed;
    let begun_ms = clock();
    let mut speaking = Speaking { logs: Logs::new(aws), silent: Silence::No, progress };
    match speaking.logs.add(task, revision.as_str(), Some(container), &From::Head { since_ms: None }).await {
        Ok(reasons) => speaking.excuse(reasons.first()).await,
        Err(error) => speaking.excuse(Some(&error)).await,
    }
    let (mut status, mut stopped) = (String::new(), Stopped::No);
    let (mut unknown, mut blind) = (0, 0);
    loop {
        let view = match tasks::view(aws, cluster, task).await {
            Ok(Some(view)) => {
                (unknown, blind) = (0, 0);
                Some(view)
            }
            Ok(None) if unknown < UNKNOWN => {
                unknown += 1;
                None
            }
            Ok(None) => {
                let why = "ECS does not know it any more".to_owned();
                return Ok(Ended { task: task.to_owned(), exit_code: None, why, stopped });
            }
            Err(error) if blind < BLIND && !error.is_access_denied() => {
                blind += 1;
                None
            }
            Err(error) => return Err(error),
        };
        speaking.say().await;
        if let Some(view) = view {
            if view.last_status != status {
                status.clone_from(&view.last_status);
                tell(progress, Progress::TaskStatus { task: task.to_owned(), status: status.clone(), note: None })
                    .await;
            }
            if status == "STOPPED" || status == "DELETED" {
                for _ in 0..LAST_LOOKS {
                    pause(pace_ms).await;
                    speaking.say().await;
                }
                return Ok(ended(&view, container, stopped));
            }
            if stopped == Stopped::No
                && view.containers.iter().any(|found| found.name == container && found.exit_code.is_some())
            {
                stopped = Stopped::CommandEnded;
                stop(aws, cluster, task, "its command has ended").await;
            }
        }
        if stopped == Stopped::No && timeout_ms.is_some_and(|most| clock().saturating_sub(begun_ms) >= most) {
            stopped = Stopped::TimedOut;
            stop(aws, cluster, task, "it took longer than it may").await;
        }
        tokio::select! {
            () = pause(pace_ms) => {}
            () = cancel.once(), if stopped == Stopped::No => {
                stopped = Stopped::OnRequest;
                stop(aws, cluster, task, "stopped on request").await;
                let note = Some("told to stop".to_owned());
                tell(progress, Progress::TaskStatus { task: task.to_owned(), status: status.clone(), note }).await;
            }
        }
    }
}

/// What cannot be stopped now may end by itself; the next looks tell.
async fn stop(aws: &Aws, cluster: &Cluster, task: &str, reason: &str) {
    drop(tasks::stop(aws, cluster, task, reason).await);
}

fn ended(view: &TaskView, container: &str, stopped: Stopped) -> Ended {
    let found = view.containers.iter().find(|found| found.name == container);
    let exit_code = found.and_then(|found| found.exit_code);
    Ended { task: view.id.clone(), exit_code, why: reason::explain(view), stopped }
}

/// The lines of the task, as long as they may be read.
struct Speaking<'a> {
    logs: Logs<'a>,
    silent: Silence,
    progress: &'a mpsc::Sender<Progress>,
}

#[derive(PartialEq, Eq)]
enum Silence {
    No,
    /// It was said why nothing is heard.
    Excused,
}

impl Speaking<'_> {
    async fn say(&mut self) {
        if self.silent == Silence::Excused {
            return;
        }
        match self.logs.read().await {
            Ok(lines) => {
                for Line { task, container, time_ms, text } in lines {
                    tell(self.progress, Progress::TaskLog { task, container, time_ms, line: text }).await;
                }
            }
            // A network that blinked: the place to go on is kept.
            Err(error) if error.is_passing() => {}
            Err(error) => self.excuse(Some(&error)).await,
        }
    }

    /// What may not be read is said once, not hidden.
    async fn excuse(&mut self, why: Option<&impl std::fmt::Display>) {
        if let Some(why) = why {
            self.silent = Silence::Excused;
            let message = format!("its log cannot be shown: {why}");
            tell(self.progress, Progress::BuildWarning { message }).await;
        }
    }
}
