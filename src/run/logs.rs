//! The logs of several containers, read as one: page by page, merged by time.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::Value;

use crate::aws::{
    Aws, AwsError, ecs,
    logs::{self, From, LogLine, LogSource},
};

/// Pages that one stream may give at one look: at a megabyte each, more than anybody reads.
const PAGES: usize = 20;

/// A line with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub task: String,
    pub container: String,
    pub time_ms: u64,
    pub text: String,
}

struct Stream {
    task: String,
    container: String,
    source: LogSource,
    from: From,
}

/// Why the log of a container is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silent {
    /// It has no `logConfiguration`: what it writes goes to the host's engine.
    NoDriver { container: String },
    /// Its driver is another one than `awslogs`.
    Driver { container: String, driver: String },
    /// `awslogs` without a prefix: the stream has the name of the runtime's own id.
    NoPrefix { container: String },
    /// The task definition is not known any more.
    NoDefinition { revision: String },
}

impl std::fmt::Display for Silent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoDriver { container } => {
                write!(
                    formatter,
                    "container {container} has no logConfiguration: its lines stay on the host it runs on"
                )
            }
            Self::Driver { container, driver } => write!(
                formatter,
                "container {container} logs to {driver}: only the lines of awslogs can be read from CloudWatch"
            ),
            Self::NoPrefix { container } => write!(
                formatter,
                "container {container} has no awslogs-stream-prefix: set one, and its streams can be found"
            ),
            Self::NoDefinition { revision } => {
                write!(formatter, "{revision} cannot be read, and with it where it logs")
            }
        }
    }
}

/// Streams that are read together.
pub struct Logs<'a> {
    aws: &'a Aws,
    streams: Vec<Stream>,
    definitions: BTreeMap<String, Option<Value>>,
}

impl<'a> Logs<'a> {
    #[must_use]
    pub const fn new(aws: &'a Aws) -> Self {
        Self { aws, streams: Vec::new(), definitions: BTreeMap::new() }
    }

    /// Adds the containers of a task that runs `revision`, all or one of them, and says which have no log that can be
    /// read. A task that is known already changes nothing.
    pub async fn add(
        &mut self,
        task: &str,
        revision: &str,
        only: Option<&str>,
        from: &From,
    ) -> Result<Vec<Silent>, AwsError> {
        if self.streams.iter().any(|stream| stream.task == task) {
            return Ok(Vec::new());
        }
        if !self.definitions.contains_key(revision) {
            let found = match ecs::definition(self.aws, Some(revision)).await {
                Ok((found, _)) => Some(found),
                Err(error) if error.is_not_found() || error.is_out_of_reach() => None,
                Err(error) => return Err(error),
            };
            self.definitions.insert(revision.to_owned(), found);
        }
        let Some(Some(definition)) = self.definitions.get(revision) else {
            return Ok(vec![Silent::NoDefinition { revision: revision.to_owned() }]);
        };
        let mut silent = Vec::new();
        let containers = definition.get("containerDefinitions").and_then(Value::as_array);
        let names = containers.into_iter().flatten().filter_map(|container| container.get("name")?.as_str());
        for container in names.filter(|name| only.is_none_or(|only| only == *name)) {
            match (logs::log_source(definition, container, task), logs::log_driver(definition, container)) {
                (Some(source), _) => self.streams.push(Stream {
                    task: task.to_owned(),
                    container: container.to_owned(),
                    source,
                    from: from.clone(),
                }),
                (None, None) => silent.push(Silent::NoDriver { container: container.to_owned() }),
                (None, Some("awslogs")) => silent.push(Silent::NoPrefix { container: container.to_owned() }),
                (None, Some(driver)) => {
                    let driver = driver.to_owned();
                    silent.push(Silent::Driver { container: container.to_owned(), driver });
                }
            }
        }
        Ok(silent)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether lines of more than one container of a task are among these.
    #[must_use]
    pub fn has_several_containers(&self) -> bool {
        self.streams.iter().any(|stream| stream.container != self.streams[0].container)
    }

    /// Everything that is new, oldest first.
    pub async fn read(&mut self) -> Result<Vec<Line>, AwsError> {
        let aws = self.aws;
        let read = join_all(self.streams.iter_mut().map(|stream| stream.read(aws))).await;
        let mut lines = Vec::new();
        for read in read {
            lines.extend(read?);
        }
        // Stable: lines of one stream with the same time stay in their order.
        lines.sort_by_key(|line: &Line| line.time_ms);
        Ok(lines)
    }
}

impl Stream {
    async fn read(&mut self, aws: &Aws) -> Result<Vec<Line>, AwsError> {
        let mut lines = Vec::new();
        for _ in 0..PAGES {
            let (page, next) = logs::page(aws, &self.source, &self.from).await?;
            let ended = page.is_empty() || next == self.from;
            self.from = next;
            lines.extend(page.into_iter().map(|LogLine { time_ms, text }| Line {
                task: self.task.clone(),
                container: self.container.clone(),
                time_ms,
                text,
            }));
            if ended {
                break;
            }
        }
        Ok(lines)
    }
}
