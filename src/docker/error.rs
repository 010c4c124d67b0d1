//! What can go wrong with the engine, in types that failures and their hints are made from.

use super::{
    context::ContextError,
    endpoint::{DialError, EndpointError},
    lines::JsonLinesError,
};
use std::{fmt, io, path::PathBuf};

mod remedy;

/// Anything that kept the engine from doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Flags, environment and configuration name no engine.
    #[error("unable to resolve docker endpoint")]
    Endpoint(#[source] EndpointError),
    /// There is no socket: the engine is not installed, or has never run.
    #[error("there is no Docker engine at {host}")]
    NotInstalled { host: String, source: io::Error },
    /// The socket or port is there and nobody answers.
    #[error("cannot connect to the Docker daemon at {host}: it is not running")]
    NotRunning { host: String, source: io::Error },
    /// Not in the `docker` group, usually.
    #[error("permission denied while trying to connect to the Docker daemon at {host}")]
    PermissionDenied { host: String, source: io::Error },
    /// Certificates, keys or the handshake.
    #[error("no trusted connection to the Docker daemon at {host}")]
    Tls { host: String, source: DialError },
    /// Name resolution, routing, ssh: everything else on the way there.
    #[error("the Docker daemon at {host} cannot be reached")]
    Unreachable { host: String, source: DialError },
    /// Connected, but no answer.
    #[error("the Docker daemon at {host} has not answered within {seconds} seconds")]
    NotAnswering { host: String, seconds: u64 },
    /// Something that is not a Docker engine answers there.
    #[error("what answers at {host} is not a Docker engine: HTTP {status} to a ping")]
    NotAnEngine { host: String, status: u16 },
    #[error("the Docker engine at {host} speaks API {api}, and at least {least} is needed")]
    EngineTooOld { host: String, api: String, least: String },
    #[error("`DOCKER_API_VERSION` is `{value}`, which is not a version like `1.41`")]
    ApiVersion { value: String },
    /// The connection broke while a request was under way.
    #[error("the connection to the Docker daemon broke while it was to {operation}")]
    Broken { operation: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    /// A header from `config.json` or `DOCKER_CUSTOM_HEADERS`, or a name in a path, that HTTP cannot carry.
    #[error("a request to the Docker daemon cannot be made")]
    Request { source: http::Error },
    /// The engine said no to a whole request.
    #[error("the Docker daemon refused to {operation} (HTTP {status}): {message}")]
    Refused { operation: &'static str, status: u16, message: String },
    #[error("the Docker daemon's answer cannot be read")]
    Answer(#[source] JsonLinesError),
    /// bollard's own errors on calls that go through it.
    #[error("the Docker daemon could not {operation}")]
    Api { operation: &'static str, source: bollard::errors::Error },
    /// The build context, on this side. Its own words say all there is: those who show one line show these.
    #[error(transparent)]
    Context(ContextError),
    #[error("this engine has no BuildKit, and `builder = \"engine\"` asks for it")]
    NoBuildKit,
    #[error("docker has no buildx plugin, and this build needs it")]
    NoBuildx { looked: Vec<PathBuf> },
    #[error("{} could not be started", path.display())]
    BuildxNotStarted { path: PathBuf, source: io::Error },
    #[error("{} could not be made, the folder of logins that buildx is given", path.display())]
    BuildxFolder { path: PathBuf, source: io::Error },
    #[error("the classic builder has no secrets and no ssh")]
    ClassicHasNone,
    /// Neither there nor somewhere else: what replaces it has not been met yet.
    #[error("this engine takes no build session: it has no `POST /session`")]
    NoSession,
    /// It was there when the plan was made.
    #[error("`{id}` of the build could not be read from {place}")]
    InputGone { id: String, place: String, source: io::Error },
    #[error("{0}")]
    Build(Box<BuildFailure>),
    #[error("{0}")]
    Push(Box<PushFailure>),
    /// The engine ended its answer without naming what it made.
    #[error("the Docker daemon ended the {operation} without a result")]
    NoResult { operation: &'static str },
}

/// A build that failed on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFailure {
    /// The step as the builder names it: `[2/3] RUN make`.
    pub step: Option<String>,
    /// The last lines that step printed.
    pub log: Vec<String>,
    /// The engine's own words.
    pub message: String,
    pub cause: BuildCause,
}

/// What kind of failure it was, as far as the engine's words tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildCause {
    /// The Dockerfile itself is wrong.
    Dockerfile { line: Option<u32> },
    /// There is no such Dockerfile in what was sent.
    DockerfileMissing,
    /// `target` names no stage.
    TargetMissing { target: String },
    /// A `COPY` or `ADD` source is not in the context, or excluded by `.dockerignore`.
    SourceMissing { path: String },
    /// A `RUN` ended with another code than 0.
    CommandFailed { exit_code: i64 },
    /// A base image cannot be pulled.
    BaseImage { image: String },
    /// The builder that buildx uses writes no cache anywhere but into the image.
    CacheExport,
    /// The builder that buildx uses cannot be started, or does not answer.
    BuilderAway,
    /// The engine's disk is full.
    NoSpace,
    /// Words nobody has met yet; the message has them.
    Unclassified,
}

impl fmt::Display for BuildFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some(step) => write!(formatter, "build step `{step}` failed: {}", self.message),
            None => write!(formatter, "the build failed: {}", self.message),
        }
    }
}

/// A push that the registry or the engine refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushFailure {
    pub reference: String,
    /// The engine's own words, which mostly are the registry's.
    pub message: String,
    pub cause: PushCause,
}

/// What kind of refusal it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushCause {
    /// No credentials reached the registry.
    NoBasicAuth,
    /// The registry does not take these credentials (any more): get a new token and push again.
    TokenExpired,
    RepositoryMissing {
        repository: Option<String>,
    },
    /// IAM says no; `action` is what to allow.
    Denied {
        action: Option<String>,
    },
    /// A policy forbids it, that of the repository or one above the account: allowing it in IAM is of no use.
    Forbidden {
        action: String,
    },
    /// The tag exists and the repository does not let it move.
    TagImmutable {
        tag: String,
    },
    /// The engine has no such image.
    TagMissing,
    /// The engine cannot reach the registry.
    Unreachable,
    /// Nothing has moved for so long that nothing is expected any more.
    Stalled,
    /// Words nobody has met yet; the message has them.
    Unclassified,
}

impl fmt::Display for PushFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pushing {} failed: {}", self.reference, self.message)
    }
}

impl DockerError {
    /// bollard's error for a call; one of ours that went through its transport comes out as it was.
    pub(crate) fn api(operation: &'static str, error: bollard::errors::Error) -> Self {
        match error {
            bollard::errors::Error::DockerResponseServerError { status_code, message } => {
                Self::Refused { operation, status: status_code, message }
            }
            bollard::errors::Error::IOError { err } => err
                .downcast::<Self>()
                .unwrap_or_else(|err| Self::Api { operation, source: bollard::errors::Error::IOError { err } }),
            source => Self::Api { operation, source },
        }
    }

    /// Sorts what happened while dialing `host` into what people can do about it.
    pub(crate) fn dialing(host: &str, error: DialError) -> Self {
        let host = host.to_owned();
        match error {
            DialError::Connect { source } => match source.kind() {
                io::ErrorKind::NotFound if host.starts_with("unix://") => Self::NotInstalled { host, source },
                io::ErrorKind::ConnectionRefused => Self::NotRunning { host, source },
                io::ErrorKind::PermissionDenied => Self::PermissionDenied { host, source },
                _ => Self::Unreachable { host, source: DialError::Connect { source } },
            },
            error @ (DialError::Handshake { .. }
            | DialError::Material { .. }
            | DialError::EncryptedKey
            | DialError::ServerName { .. }) => Self::Tls { host, source: error },
            error @ (DialError::TimedOut | DialError::Spawn { .. } | DialError::Tunnel { .. }) => {
                Self::Unreachable { host, source: error }
            }
        }
    }
}
