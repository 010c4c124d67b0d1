//! A scenario: what is to go wrong, or slowly, in a sandbox, as TOML.
//!
//! Read here are the words; [`super::script`] acts them out on tasks, [`super::fault`] on the wire. All
//! mistakes of a file are found at once, each with its place and what to write instead.

use std::ops::Range;
use std::time::Duration;

use toml::de::DeTable;

mod reader;
mod words;

use reader::Reader;

/// What is to happen. The default is that nothing does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scenario {
    pub tasks: Vec<TaskScript>,
    pub faults: Vec<WireFault>,
    pub scales: Vec<Scale>,
    pub deploys: Vec<Deploy>,
    pub load: LoadScript,
}

/// Whose tasks are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Of a service's first deployment.
    Old,
    /// Of every deployment after it.
    New,
    All,
}

/// What happens to some tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskScript {
    pub of: Of,
    pub service: Option<String>,
    /// Only the first so many of them.
    pub first: Option<u64>,
    pub pull: Option<Duration>,
    pub boot: Option<Duration>,
    pub health: Vec<HealthStep>,
    pub crash: Option<Crash>,
    pub fails: Option<Fails>,
    pub unplaced: Option<Unplaced>,
    pub stop: Option<OnStop>,
    pub spot_after: Option<Duration>,
}

/// One part of how its health checks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthStep {
    /// `None`: from then on.
    pub lasts: Option<Duration>,
    pub answer: HealthAnswer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthAnswer {
    Status(u16),
    /// No answer in time.
    Timeout,
    /// Nobody listens.
    Refused,
    /// Whatever the program answers.
    Own,
}

/// It ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    pub after: Duration,
    pub exit_code: i64,
    pub memory: OutOfMemory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfMemory {
    Yes,
    No,
}

impl Crash {
    /// Exit code and reason, as ECS tells them.
    #[must_use]
    pub fn tells(self) -> (i64, Option<String>) {
        let reason = "OutOfMemoryError: Container killed due to memory usage".to_owned();
        (self.exit_code, Some(reason).filter(|_| self.memory == OutOfMemory::Yes))
    }
}

/// It does not even start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    Image,
    Architecture,
    Secret,
    LogGroup,
}

/// It is not even placed: there is an event and no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unplaced {
    pub obstacle: Obstacle,
    /// Only so long after its deployment began.
    pub lasts: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// AWS has no room for it.
    Capacity,
    /// No container instance of the cluster has.
    Placement,
    /// ECS may not assume its role.
    Role,
}

/// What it does when it is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// The signal reaches it only so much later.
    After(Duration),
    /// The signal never does: it is killed when its stop timeout is over.
    Never,
}

/// A fault on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFault {
    /// `ecs`, `ecr`, `elb`, `logs`, `sts`, `registry`; `None` is all of them.
    pub service: Option<String>,
    /// `UpdateService`; for the registry a method, `PUT`.
    pub operation: Option<String>,
    pub kind: FaultKind,
    /// So many such calls go well first.
    pub after: u64,
    /// So many have the fault; `None` is all.
    pub times: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    Throttle,
    Error,
    /// Whoever calls may not.
    Deny,
    /// The answer comes so much later.
    Stall(Duration),
    /// The connection ends instead of an answer.
    Cut,
}

/// An autoscaler changes the desired count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// After the rollout began.
    pub at: Duration,
    pub service: Option<String>,
    pub to: u32,
}

/// A second, impatient deployer deploys the service anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deploy {
    pub at: Duration,
    pub service: Option<String>,
}

/// What a rehearsal's load is to be like, where the command line does not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadScript {
    pub rate: Option<u32>,
    pub path: Option<String>,
    pub slow_every: Option<u32>,
    pub slow_path: Option<String>,
    pub websockets: Option<u32>,
    pub websocket_path: Option<String>,
    pub count_by: Option<String>,
}

/// Something wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// A promise to scripts.
    pub code: &'static str,
    pub message: String,
    /// Where, in bytes.
    pub span: Option<Range<usize>>,
    /// A few words to draw there.
    pub label: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
}

/// Reads a scenario, or all that is wrong with it, from the top.
pub fn parse(text: &str) -> Result<Scenario, Vec<Mistake>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::default();
    for error in errors {
        reader.mistakes.push(Mistake {
            code: "scenario::syntax",
            message: error.message().to_owned(),
            span: error.span(),
            label: None,
            help: None,
        });
    }
    let scenario = reader.scenario(table.get_ref());
    if reader.mistakes.is_empty() {
        Ok(scenario)
    } else {
        reader.mistakes.sort_by_key(|mistake| mistake.span.as_ref().map_or(0, |span| span.start));
        Err(reader.mistakes)
    }
}

#[cfg(test)]
mod tests;
