//! A command that must end with 0, in a container of the image that was built.
//!
//! The container takes itself away at its end. That of a check that is given up, for its time, for a wish to stop or
//! because nobody waits any more, is killed and taken away here. Who is killed can do nothing any more: the container of
//! such a check says whose it is, and the next run takes it away.

use std::{collections::HashMap, pin::Pin, time::Duration};

use bollard::{
    container::LogOutput,
    models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig},
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
        RemoveContainerOptionsBuilder, StartContainerOptions,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc::Sender;

use owner::Standing;

use super::{
    engine::{Engine, refusal},
    error::DockerError,
    output::{Output, Tail},
    tell,
};
use crate::{
    event::{Progress, Vertex, VertexState},
    id::Key,
    image::Digest,
    plan::step::CheckRun,
};

mod owner;

/// The label with the image's name, by which a container of ours can be told.
pub const LABEL: &str = "ecs-ship.check";
/// Labels by which it can be told that nobody waits for it any more: the process it belongs to, and the seconds that the
/// check may take.
const OWNER: &str = "ecs-ship.check.owner";
const LIMIT: &str = "ecs-ship.check.limit";
/// So much longer than it may take is left to a check whose owner cannot be asked for, because it runs elsewhere: its clock
/// may be another.
const OVERDUE: u64 = 600;
/// For an engine that is asked for what others have left, before anything else is done.
const SWEEPING: Duration = Duration::from_secs(5);

/// A fork bomb ends here, and no test suite that we know of does.
const MOST_PROCESSES: i64 = 4096;
/// For an engine that is to take a container away while the program leaves.
const PARTING: Duration = Duration::from_secs(5);
/// The id of the one vertex that a check tells.
const VERTEX: &str = "run";

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Exited {
        code: i64,
    },
    /// The engine could not start it: no such program, or one for another machine.
    NotStarted {
        why: String,
    },
    TimedOut,
    /// Somebody asked to stop.
    Stopped,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub ending: Ending,
    /// Its last lines.
    pub log: Vec<String>,
}

/// Runs the command, for so long at most, and not longer than until `stop`.
pub async fn run(
    engine: &Engine,
    image: &Key,
    built: &Digest,
    run: &CheckRun,
    limit: Duration,
    updates: &Sender<Progress>,
    stop: impl Future<Output = ()>,
) -> Result<Checked, DockerError> {
    let mut container = Container::create(engine, image, built, run, limit).await?;
    let (output, waiting) = match container.begin().await {
        Ok(begun) => begun,
        Err(error) => {
            container.remove().await;
            return match error {
                DockerError::Refused { message, .. } => {
                    let ending = Ending::NotStarted { why: message };
                    tell(updates, vertex(run, VertexState::Failed, Some(ending.words()))).await;
                    Ok(Checked { ending, log: Vec::new() })
                }
                other => Err(other),
            };
        }
    };
    tell(updates, vertex(run, VertexState::Started, None)).await;
    let mut tail = Tail::default();
    let work = async {
        listen(output, &mut tail, updates).await;
        exit_code(waiting).await
    };
    let ending = tokio::select! {
        ended = tokio::time::timeout(limit, work) => match ended {
            Ok(code) => Ending::Exited { code: code? },
            Err(_) => Ending::TimedOut,
        },
        () = stop => Ending::Stopped,
    };
    container.remove().await;
    let (state, error) = match &ending {
        Ending::Exited { code: 0 } => (VertexState::Done, None),
        ending => (VertexState::Failed, Some(ending.words())),
    };
    tell(updates, vertex(run, state, error)).await;
    Ok(Checked { ending, log: tail.lines() })
}

impl Ending {
    /// `ended with 3`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Exited { code } => format!("ended with {code}"),
            Self::NotStarted { why } => format!("could not be started: {why}"),
            Self::TimedOut => "took longer than it may and was stopped".to_owned(),
            Self::Stopped => "was stopped on request".to_owned(),
        }
    }
}

fn vertex(run: &CheckRun, state: VertexState, error: Option<String>) -> Progress {
    Progress::Vertex(Vertex { id: VERTEX.to_owned(), name: run.brief(), state, duration_ms: None, error })
}

/// Tells all that is printed, until both outputs are closed.
async fn listen(
    mut output: impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin,
    tail: &mut Tail,
    updates: &Sender<Progress>,
) {
    // Lines of the two may come in pieces, and must not be mixed.
    let mut outputs = [Output::default(), Output::default()];
    // A connection that breaks is no verdict: the exit code is asked for elsewhere.
    while let Some(Ok(chunk)) = output.next().await {
        let (which, bytes) = match chunk {
            LogOutput::StdErr { message } => (1, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (0, message)
            }
        };
        for line in outputs[which].feed(&bytes) {
            say(line, tail, updates).await;
        }
    }
    for line in outputs.iter_mut().filter_map(Output::end) {
        say(line, tail, updates).await;
    }
}

async fn say(line: String, tail: &mut Tail, updates: &Sender<Progress>) {
    tail.keep(&line);
    tell(updates, Progress::BuildLog { vertex: VERTEX.to_owned(), line }).await;
}

/// `{"StatusCode":3}`, once it has ended.
async fn exit_code(waiting: Response<Incoming>) -> Result<i64, DockerError> {
    let broken = |source: hyper::Error| DockerError::Broken { operation: WAIT, source: Box::new(source) };
    let body = waiting.into_body().collect().await.map_err(broken)?.to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    answer["StatusCode"].as_i64().ok_or(DockerError::NoResult { operation: WAIT })
}

const WAIT: &str = "wait for the check";

/// What a container prints.
type Printed = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// A container that does not outlive its owner.
struct Container {
    engine: Engine,
    id: String,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    There,
    Removed,
}

impl Container {
    async fn create(
        engine: &Engine,
        image: &Key,
        built: &Digest,
        run: &CheckRun,
        limit: Duration,
    ) -> Result<Self, DockerError> {
        let mut options = CreateContainerOptionsBuilder::new();
        if let Some(platform) = &run.platform {
            options = options.platform(platform);
        }
        let made = engine.docker().create_container(Some(options.build()), body(image, built, run, limit)).await;
        let id = made.map_err(|error| DockerError::api("make a container for the check", error))?.id;
        Ok(Self { engine: engine.clone(), id, state: State::There })
    }

    /// Starts it, and gives what it prints and how it ends. Both are asked for before the start: what ends at once has been
    /// heard and counted. Podman makes the process ready already to listen to it, and refuses then what it cannot start.
    async fn begin(&self) -> Result<(Printed, Response<Incoming>), DockerError> {
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        let attached = self.engine.unhurried().attach_container(&self.id, Some(options)).await;
        let output = attached.map_err(|error| DockerError::api("listen to the check", error))?.output;
        let waiting = self.end().await?;
        let begun = self.engine.docker().start_container(&self.id, None::<StartContainerOptions>).await;
        begun.map_err(|error| DockerError::api("start the check", error))?;
        Ok((output, waiting))
    }

    /// Begins to wait for its end. The engine answers with the head of its response as soon as it does.
    async fn end(&self) -> Result<Response<Incoming>, DockerError> {
        let path = format!("/containers/{}/wait?condition=next-exit", self.id);
        let body = bollard::body_full(Bytes::new());
        let response = self.engine.request(Method::POST, &path, HeaderMap::new(), body).await?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(WAIT, response).await) }
    }

    async fn remove(&mut self) {
        remove(&self.engine, &self.id).await;
        self.state = State::Removed;
    }
}

/// Kills it where it runs. That it is gone already, or going, is how it should be.
async fn remove(engine: &Engine, id: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    drop(engine.docker().remove_container(id, Some(options)).await);
}

/// Only when a check is left in the middle: a panic, or a second wish to stop.
impl Drop for Container {
    fn drop(&mut self) {
        if self.state == State::Removed {
            return;
        }
        let (engine, id) = (self.engine.clone(), std::mem::take(&mut self.id));
        // The runtime may be on its way out and would not get to it any more.
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                drop(runtime.block_on(async { tokio::time::timeout(PARTING, remove(&engine, &id)).await }));
            }
        });
        drop(removing.join());
    }
}

/// Takes away the checks that a killed run has left; gives back how many those were. An engine that does not answer is
/// asked by whoever needs it next.
pub async fn sweep(engine: &Engine, now_s: u64) -> usize {
    tokio::time::timeout(SWEEPING, sweep_all(engine, now_s)).await.unwrap_or_default()
}

async fn sweep_all(engine: &Engine, now_s: u64) -> usize {
    let filters = HashMap::from([("label", vec![LABEL.to_owned()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let mut swept = 0;
    for container in engine.docker().list_containers(Some(options)).await.unwrap_or_default() {
        let labels = container.labels.unwrap_or_default();
        let created = container.created.and_then(|created| u64::try_from(created).ok());
        let is_overdue = || {
            let limit: u64 = labels.get(LIMIT)?.parse().ok()?;
            Some(now_s > created?.saturating_add(limit).saturating_add(OVERDUE))
        };
        let is_left = match labels.get(OWNER).map(String::as_str).map(owner::standing) {
            Some(Standing::Gone) => true,
            Some(Standing::Alive) => false,
            Some(Standing::Unknown) | None => is_overdue().unwrap_or(false),
        };
        if let (true, Some(id)) = (is_left, container.id) {
            remove(engine, &id).await;
            swept += 1;
        }
    }
    swept
}

fn body(image: &Key, built: &Digest, run: &CheckRun, limit: Duration) -> ContainerCreateBody {
    let memory = run.memory_mib.map(|mib| i64::try_from(mib.saturating_mul(1 << 20)).unwrap_or(i64::MAX));
    let host_config = HostConfig {
        auto_remove: Some(true),
        memory,
        // Without swap of its own, as on Fargate: at the limit it is killed, and not slowed down.
        memory_swap: memory,
        pids_limit: Some(MOST_PROCESSES),
        // What it prints is heard as it comes; nobody asks for it again.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(built.to_string()),
        entrypoint: Some(run.command.clone()),
        labels: Some(labels(image, limit)),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        // Docker kills what is removed by force; podman waits for so long before.
        stop_timeout: Some(0),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

fn labels(image: &Key, limit: Duration) -> HashMap<String, String> {
    let limit = (LIMIT.to_owned(), limit.as_secs().to_string());
    let owner = owner::own().map(|owner| (OWNER.to_owned(), owner));
    [(LABEL.to_owned(), image.to_string()), limit].into_iter().chain(owner).collect()
}

#[cfg(test)]
mod tests;
