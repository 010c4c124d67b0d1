//! Every error of every floor, with its code, exit, hints and what is live.
//!
//! One variant per module error. The questions below are exhaustive matches without `_`, so that a new
//! variant cannot be forgotten in any of them.

pub mod render;
pub mod spelling;
pub mod verb;

use std::{fmt, io, path::PathBuf};

use self::verb::VerbError;
use crate::{
    aws::{AwsError, hints},
    cli::{
        adopt::InitError,
        login::LoginError,
        usage::{Mistake, UsageError},
    },
    config::error::{ConfigErrors, Look},
    credentials::DockerLoginError,
    docker::DockerError,
    event::ServiceLive,
    exit::Exit,
    observe::ObserveError,
    plan::refusal::Refusal,
    plugin::{install::InstallError, shim::ShimError},
    rehearsal::RehearsalError,
    rollout::machine::Verdict,
    run::{
        error::{Left, RunError, WayBack},
        outcome::Outcome,
    },
    sandbox::{daemon::DaemonError, scenario},
};

/// Why the program ends before its work is done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Boxed: it carries the texts of a whole command and would make every result large.
    #[error(transparent)]
    Usage(Box<UsageError>),
    #[error(transparent)]
    Variable(#[from] VariableError),
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Shim(#[from] ShimError),
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// `read`, `write`.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A standard stream could not be written; a reader that went away is not that.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("cannot start the asynchronous runtime")]
    Runtime(#[source] io::Error),
    /// Mistakes in `ship.toml`, drawn in place by the renderer.
    #[error("{errors}")]
    Config { errors: ConfigErrors, look: Look },
    /// Mistakes in a scenario, drawn in place as well.
    #[error("{errors}")]
    Scenario { errors: ScenarioErrors, look: Look },
    #[error(transparent)]
    Rehearsal(#[from] RehearsalError),
    #[error("the working folder is gone")]
    FolderGone(#[source] io::Error),
    #[error("there is no home folder to keep the sandbox's state in")]
    NoHome,
    #[error("`--progress tty` needs a terminal on standard error, and there is none")]
    NoTerminal,
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Sandbox(#[from] DaemonError),
    #[error("the sandbox does not run")]
    SandboxSleeps,
    /// The plan was not made; nothing has changed.
    #[error("refused before anything was changed")]
    Refused(Vec<Refusal>),
    /// The user was asked and did not say yes.
    #[error("not confirmed; nothing was changed")]
    Declined,
    #[error("this asks before it acts, and there is nobody to ask")]
    NobodyToAsk,
    #[error("cancelled; nothing was changed")]
    CancelledEarly,
    #[error(transparent)]
    Verb(#[from] VerbError),
    /// A step of the run failed, or the run was cancelled.
    #[error("{}", .0.title)]
    Run(#[source] Box<RunFailure>),
    #[error("line {line} of {} is not an event", path.display())]
    Recording { path: PathBuf, line: usize, source: serde_json::Error },
}

/// All mistakes of one scenario, with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioErrors {
    /// The path as the user wrote it.
    pub name: String,
    pub text: String,
    pub mistakes: Vec<scenario::Mistake>,
}

impl fmt::Display for ScenarioErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => write!(formatter, "{} has a mistake", self.name),
            count => write!(formatter, "{} has {count} mistakes", self.name),
        }
    }
}

/// A run that did not end well.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RunFailure {
    /// What was being done: `push web failed`.
    pub title: String,
    #[source]
    pub error: RunError,
    pub live: Vec<ServiceLive>,
    pub exit: Exit,
    /// How the user spells us.
    pub name: String,
    /// `production`, when the run was for one.
    pub environment: Option<String>,
    pub shown: Shown,
    pub traces: Traces,
}

/// Whether what a failed run did can still be looked at, and changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traces {
    Stay,
    /// It was in a rehearsal. A command about the service would be one about production, where nothing has happened.
    AreGone,
}

/// Whether the user has read of a failed run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The face of the run told it with its last lines.
    ByFace,
    Nowhere,
}

/// An environment variable whose value is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} is \"{value}\", which is not one of {expected}")]
pub struct VariableError {
    pub name: &'static str,
    pub value: String,
    /// `auto, tty, plain, json, quiet`.
    pub expected: String,
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(Box::new(error))
    }
}

impl RunFailure {
    fn hints(&self) -> Vec<String> {
        match &self.error {
            RunError::Aws(error) => hints::hints(error),
            RunError::Docker(error) => vec![error.remedy()],
            RunError::Copy(error) => vec![error.hint()],
            RunError::Check(failure) => failure.hints(),
            _ if self.traces == Traces::AreGone => Vec::new(),
            RunError::Rollout { service, failed, verdict, way_back, .. } => {
                let mut hints = match verdict {
                    Verdict::DrainUnfinished => {
                        vec![format!("watch until the old tasks are gone: {}", self.command("watch", service.as_str()))]
                    }
                    Verdict::Failed { .. } | Verdict::TimedOut { .. } => vec![
                        format!("watch on: {}", self.command("watch", service.as_str())),
                        match way_back {
                            WayBack::Open => format!("take it back: {}", self.command("rollback", service.as_str())),
                            WayBack::None => {
                                "nothing ran before that it could be taken back to: mend it and deploy again".to_owned()
                            }
                        },
                    ],
                    Verdict::Superseded { .. } => {
                        vec![format!("watch what replaced it: {}", self.command("watch", service.as_str()))]
                    }
                    Verdict::Live
                    | Verdict::Drained
                    | Verdict::Steady
                    | Verdict::NothingProven
                    | Verdict::RolledBack { .. }
                    | Verdict::Stopped => Vec::new(),
                };
                hints.push(format!("look at what runs now: {}", self.command("status", service.as_str())));
                let is_about_tasks = matches!(verdict, Verdict::RolledBack { .. } | Verdict::Failed { .. });
                if failed.is_empty() && is_about_tasks {
                    hints
                        .push("ECS told no reason; the service's events in `aws ecs describe-services` may".to_owned());
                }
                hints
            }
            RunError::Task { service, ended } => vec![
                format!("see its lines again: {}", self.command("logs", &format!("{service} --task {}", ended.task))),
                "nothing was rolled out; the revision that was registered stays, and the next deploy makes another"
                    .to_owned(),
            ],
            RunError::Cancelled => {
                vec!["run the same command again; what was done already is found and skipped".to_owned()]
            }
            RunError::StoppedWatching { service, left, .. } => {
                let mut hints = vec![format!("watch on: {}", self.command("watch", service.as_str()))];
                match left {
                    Left::Going | Left::NotTakenBack { .. } => {
                        hints.push(format!("take it back: {}", self.command("rollback", service.as_str())));
                    }
                    Left::TakenBack => {}
                }
                hints
            }
        }
    }

    /// One of our own commands, ready to be copied. In backquotes no face breaks it.
    fn command(&self, verb: &str, rest: &str) -> String {
        let environment = self.environment.as_ref().map(|name| format!(" --environment {name}")).unwrap_or_default();
        format!("`{} {verb}{environment} {rest}`", self.name)
    }
}

fn sandbox_hint(error: &DaemonError) -> String {
    match error {
        DaemonError::Folder { folder, .. } => format!("see whether you may write {}", folder.display()),
        DaemonError::Log { log, .. } => format!("see whether you may write {}", log.display()),
        DaemonError::Spawn { .. } => "run the program by its full path".to_owned(),
        DaemonError::Ended { .. } | DaemonError::Silent { .. } => {
            "run `docker-ecs-ship sandbox up --foreground` to see it happen".to_owned()
        }
        DaemonError::Signal { pid, .. } => format!("the process {pid} may belong to another user"),
        DaemonError::Left { sandbox, .. } => format!(
            "run `docker-ecs-ship sandbox down` again when the engine answers, or \
             `docker rm -f $(docker ps -aq --filter label=ecs-ship.sandbox={sandbox})`"
        ),
        DaemonError::Stubborn { pid, .. } => {
            format!("end the process {pid} yourself; the next `sandbox up` clears up after it")
        }
        DaemonError::Signals { .. } => "the system refused a signal handler; see `ulimit -a`".to_owned(),
        DaemonError::Mute { lock } => {
            format!("end the process that holds {}, then run `docker-ecs-ship sandbox down` again", lock.display())
        }
        DaemonError::Start(_) => "choose another port with --port, or see `docker-ecs-ship sandbox status`".to_owned(),
    }
}

fn login_hints(error: &LoginError) -> Vec<String> {
    match error {
        LoginError::NotEcr { registry } => {
            vec![format!("log in there with `docker login {registry}`; builds take what docker knows")]
        }
        LoginError::WrongAccount { environment, wanted, .. } => vec![
            format!("name a profile of account {wanted} with --profile, or in [environments.{environment}]"),
            "see who you are with `aws sts get-caller-identity`".to_owned(),
        ],
        LoginError::Docker(DockerLoginError::File(_)) => {
            vec!["repair the file, or log in without --docker: this program needs nothing from docker".to_owned()]
        }
        LoginError::Docker(DockerLoginError::Helper(_)) => vec![
            "the words are the helper's own; it is named by `credHelpers` or `credsStore` in docker's config.json"
                .to_owned(),
        ],
        LoginError::Forget(_) => {
            vec!["see whether you may write to the folder `credentials` in the state folder".to_owned()]
        }
    }
}

impl Failure {
    /// A file that could not be read.
    #[must_use]
    pub const fn read(path: PathBuf, source: io::Error) -> Self {
        Self::Io { action: "read", path, source }
    }

    /// A file that could not be written.
    #[must_use]
    pub const fn write(path: PathBuf, source: io::Error) -> Self {
        Self::Io { action: "write", path, source }
    }

    /// The end of a run: its exit code, or why it failed. `name` is how the user spells us, `environment` where
    /// to, and `shown` whether somebody else tells it.
    pub fn of_run(outcome: Outcome, name: &str, environment: Option<String>, shown: Shown) -> Result<Exit, Self> {
        let Outcome { live, failure, summary: _, exit } = outcome;
        match failure {
            None => Ok(exit),
            Some((title, error)) => {
                let name = name.to_owned();
                let traces = Traces::Stay;
                Err(Self::Run(Box::new(RunFailure { title, error, live, exit, name, environment, shown, traces })))
            }
        }
    }

    /// Of a run whose traces are gone: no advice is given that is about them.
    #[must_use]
    pub fn without_traces(mut self) -> Self {
        if let Self::Run(run) = &mut self {
            run.traces = Traces::AreGone;
        }
        self
    }

    /// The name of this kind of failure; a promise to scripts, like the exit codes.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Usage(error) => match &error.mistake {
                Mistake::UnknownFlag { .. } => "usage::unknown_flag",
                Mistake::UnknownLetter { .. } => "usage::unknown_shorthand_flag",
                Mistake::UnknownCommand { .. } => "usage::unknown_command",
                Mistake::UnexpectedArgument { .. } => "usage::unexpected_argument",
                Mistake::NeedsArgument { .. } => "usage::needs_argument",
                Mistake::InvalidValue { .. } => "usage::invalid_value",
                Mistake::MissingArgument { .. } => "usage::missing_argument",
                Mistake::Conflict { .. } => "usage::conflict",
                Mistake::Repeated { .. } => "usage::repeated",
                Mistake::Globals(_) => "usage::docker_flags",
                Mistake::Other { .. } => "usage::other",
            },
            Self::Variable(_) => "usage::variable",
            Self::Init(error) => match error {
                InitError::Exists { .. } => "init::exists",
                InitError::NoDockerfile { .. } => "init::no_dockerfile",
                InitError::WhichService { .. } => "init::which_service",
                InitError::NoService { .. } => "init::no_service",
                InitError::ServiceGone { .. } => "init::service_gone",
            },
            Self::Install(error) => match error {
                InstallError::NoHome => "install::no_home",
                InstallError::Own(_) => "install::own_program",
                InstallError::Foreign { .. } => "install::foreign_file",
                InstallError::PluginFolder { .. } => "install::plugin_folder",
                InstallError::NotInstalled { .. } => "install::not_installed",
                InstallError::Record { .. } => "install::record",
                InstallError::Io { .. } => "install::io",
                InstallError::Docker(_) => "install::docker_config",
            },
            Self::Shim(error) => match error {
                ShimError::NoDocker { .. } => "shim::no_docker",
                ShimError::Start { .. } => "shim::start",
                ShimError::Own(_) => "shim::own_program",
            },
            Self::Io { .. } => "io",
            Self::Output(_) => "output",
            Self::Runtime(_) => "runtime",
            Self::Config { .. } => "config::mistakes",
            Self::Scenario { .. } => "scenario::mistakes",
            Self::Rehearsal(error) => error.code(),
            Self::FolderGone(_) => "environment::folder_gone",
            Self::NoHome => "environment::no_home",
            Self::NoTerminal => "usage::no_terminal",
            Self::Signals(_) => "environment::signals",
            Self::Aws(_) => "aws",
            Self::Docker(_) => "docker",
            Self::Observe(error) => match error {
                ObserveError::Aws(_) => "aws::observe",
                ObserveError::Image { .. } => "aws::observe_image",
                ObserveError::ReadFile { .. } => "task_definition::read",
                ObserveError::ParseFile { .. } => "task_definition::parse",
                ObserveError::NotAnObject { .. } => "task_definition::not_an_object",
            },
            Self::Login(error) => match error {
                LoginError::NotEcr { .. } => "login::not_ecr",
                LoginError::WrongAccount { .. } => "login::wrong_account",
                LoginError::Docker(DockerLoginError::File(_)) => "login::docker_config",
                LoginError::Docker(DockerLoginError::Helper(_)) => "login::docker_helper",
                LoginError::Forget(_) => "login::forget",
            },
            Self::Sandbox(_) => "sandbox",
            Self::SandboxSleeps => "sandbox::not_running",
            Self::Refused(_) => "plan::refused",
            Self::Declined => "deploy::declined",
            Self::NobodyToAsk => "deploy::nobody_to_ask",
            Self::CancelledEarly => "deploy::cancelled_early",
            Self::Verb(error) => error.code(),
            Self::Run(run) => match run.error {
                RunError::Aws(_) => "run::aws",
                RunError::Docker(_) => "run::docker",
                RunError::Copy(_) => "run::copy",
                RunError::Check(_) => "run::check",
                RunError::Rollout { .. } => "run::rollout",
                RunError::Task { .. } => "run::task",
                RunError::Cancelled => "run::cancelled",
                RunError::StoppedWatching { .. } => "run::stopped_watching",
            },
            Self::Recording { .. } => "replay::not_an_event",
        }
    }

    /// How the program ends with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Variable(_) | Self::NoTerminal => Exit::Usage,
            Self::Login(error) => match error {
                LoginError::NotEcr { .. } => Exit::Usage,
                LoginError::WrongAccount { .. } => Exit::Refused,
                LoginError::Docker(_) | LoginError::Forget(_) => Exit::Environment,
            },
            Self::Install(error) => match error {
                InstallError::Foreign { .. }
                | InstallError::PluginFolder { .. }
                | InstallError::NotInstalled { .. } => Exit::Refused,
                InstallError::NoHome
                | InstallError::Own(_)
                | InstallError::Record { .. }
                | InstallError::Io { .. }
                | InstallError::Docker(_) => Exit::Environment,
            },
            Self::Shim(_)
            | Self::Io { .. }
            | Self::Output(_)
            | Self::Runtime(_)
            | Self::FolderGone(_)
            | Self::NoHome
            | Self::Signals(_)
            | Self::Aws(_)
            | Self::Docker(_)
            | Self::Sandbox(_)
            | Self::SandboxSleeps
            | Self::Recording { .. } => Exit::Environment,
            Self::Config { .. } | Self::Scenario { .. } => Exit::Config,
            Self::Rehearsal(error) => match error {
                RehearsalError::ChooseService { .. } => Exit::Usage,
                RehearsalError::NoLoadBalancer { .. }
                | RehearsalError::Secrets { .. }
                | RehearsalError::NoContainer { .. } => Exit::Refused,
                RehearsalError::NoImage { .. }
                | RehearsalError::NoLogin { .. }
                | RehearsalError::NoRevision { .. }
                | RehearsalError::Lookup { .. }
                | RehearsalError::Folder { .. }
                | RehearsalError::NoAddress => Exit::Environment,
            },
            Self::Observe(error) => match error {
                ObserveError::Aws(_) | ObserveError::Image { .. } => Exit::Environment,
                ObserveError::ReadFile { .. } | ObserveError::ParseFile { .. } | ObserveError::NotAnObject { .. } => {
                    Exit::Config
                }
            },
            Self::Init(_) | Self::Refused(_) | Self::Declined | Self::NobodyToAsk => Exit::Refused,
            Self::CancelledEarly => Exit::Cancelled,
            Self::Verb(error) => error.exit(),
            Self::Run(run) => run.exit,
        }
    }

    /// What the user can do, the best first.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Usage(error) => {
                let meant = error.nearest().map(|nearest| format!("did you mean {nearest}?"));
                let help = format!("run '{} --help' for more information", error.command);
                meant.into_iter().chain([help]).collect()
            }
            Self::Variable(error) => vec![format!("set {} to one of them, or unset it", error.name)],
            Self::Init(error) => vec![match error {
                InitError::Exists { path } => {
                    let is_json = path.extension().is_some_and(|extension| extension == "json");
                    let flag = if is_json { "--task-definition" } else { "--file" };
                    format!("name another file with {flag}, or replace it with --force")
                }
                InitError::NoDockerfile { .. } => {
                    "run it in the folder of the repo; a Dockerfile is looked for three folders deep".to_owned()
                }
                InitError::WhichService { .. } => "name it with --cluster and --service".to_owned(),
                InitError::NoService { .. } => {
                    "check --cluster, --service, --region and --profile; `aws ecs list-services` shows what is there"
                        .to_owned()
                }
                InitError::ServiceGone { .. } => {
                    "check --cluster, --service and --region; a deploy updates services, it creates none".to_owned()
                }
            }],
            Self::Install(error) => match error {
                InstallError::NoHome => vec!["set HOME, or install for all users with --system".to_owned()],
                InstallError::Own(_) => vec!["run the program by its full path".to_owned()],
                InstallError::Foreign { .. } => {
                    vec!["remove them, or run install again with --force to replace them".to_owned()]
                }
                InstallError::PluginFolder { .. } => {
                    vec!["docker calls any program there whose name it does not accept an invalid plugin; choose another folder with --bin".to_owned()]
                }
                InstallError::NotInstalled { .. } => {
                    vec![
                        "an installation for all users is removed with --system; one by a package manager, by that"
                            .to_owned(),
                    ]
                }
                InstallError::Record { path, .. } => {
                    vec![format!("remove {} and run install again", path.display())]
                }
                InstallError::Docker(_) => vec![
                    "run it again; where the file is broken, repair it first: nothing in it was changed".to_owned(),
                ],
                InstallError::Io { path, .. } => {
                    vec![format!("see whether you may write {}; --system needs root", path.display())]
                }
            },
            Self::Shim(error) => match error {
                ShimError::NoDocker { .. } => {
                    vec!["install the Docker CLI, or use docker-ecs-ship without it".to_owned()]
                }
                ShimError::Start { program, .. } => {
                    vec![format!("see whether {} is a program for this machine", program.display())]
                }
                ShimError::Own(_) => vec!["run docker-ecs-ship install again".to_owned()],
            },
            Self::Io { path, .. } => vec![format!("see whether {} exists and who may use it", path.display())],
            Self::Output(_) => vec!["see whether there is room where stdout and stderr go".to_owned()],
            Self::Runtime(_) => vec!["the system refused a thread or a file descriptor; see `ulimit -a`".to_owned()],
            // Each mistake is drawn with its own help.
            Self::Config { .. } => vec!["every key is described in docs/reference/ship-toml.md".to_owned()],
            Self::Scenario { .. } => vec!["every key is described in docs/guide/scenarios.md".to_owned()],
            Self::Rehearsal(error) => vec![error.hint()],
            Self::FolderGone(_) => vec!["change to a folder that exists".to_owned()],
            Self::NoHome => vec!["set HOME, or ECS_SHIP_STATE_DIR".to_owned()],
            Self::NoTerminal => vec!["leave --progress out, or use --progress plain".to_owned()],
            Self::Signals(_) => vec!["the system refused a signal handler; see `ulimit -a`".to_owned()],
            Self::Aws(error) => hints::hints(error),
            Self::Docker(error) => vec![error.remedy()],
            Self::Observe(error) => match error {
                ObserveError::Aws(error) => hints::hints(error),
                ObserveError::Image { source, .. } => vec![source.hint()],
                ObserveError::ReadFile { path, .. } => {
                    vec![format!("`task_definition` in ship.toml names {}; paths are relative to ship.toml", path.display())]
                }
                ObserveError::ParseFile { path, line, column, .. } => {
                    vec![format!("look at {}:{line}:{column}", path.display())]
                }
                ObserveError::NotAnObject { .. } => vec![
                    "it should be what `aws ecs register-task-definition --cli-input-json` takes: an object with `family` and `containerDefinitions`"
                        .to_owned(),
                ],
            },
            Self::Login(error) => login_hints(error),
            Self::Sandbox(error) => vec![sandbox_hint(error)],
            Self::SandboxSleeps => {
                vec!["start it with `docker-ecs-ship sandbox up`; `deploy` starts it by itself".to_owned()]
            }
            Self::Refused(refusals) => refusals.iter().map(Refusal::hint).collect(),
            Self::Declined => vec!["answer y, or give --yes".to_owned()],
            Self::NobodyToAsk => vec!["give --yes, as in a CI job".to_owned()],
            Self::CancelledEarly => vec!["run the same command again".to_owned()],
            Self::Verb(error) => error.hints(),
            Self::Run(run) => run.hints(),
            Self::Recording { .. } => vec!["give a file that `--record` wrote".to_owned()],
        }
    }

    /// The last lines of what failed, where somebody else's program said why.
    #[must_use]
    pub fn log(&self) -> &[String] {
        match self {
            Self::Run(run) => match &run.error {
                RunError::Check(failure) => &failure.log,
                RunError::Docker(DockerError::Build(failure)) => &failure.log,
                RunError::Docker(_)
                | RunError::Copy(_)
                | RunError::Aws(_)
                | RunError::Rollout { .. }
                | RunError::Task { .. }
                | RunError::Cancelled
                | RunError::StoppedWatching { .. } => &[],
            },
            _ => &[],
        }
    }

    /// What serves now; empty where nothing outside was touched.
    #[must_use]
    pub fn live(&self) -> &[ServiceLive] {
        match self {
            Self::Usage(_)
            | Self::Variable(_)
            | Self::Install(_)
            | Self::Shim(_)
            | Self::Init(_)
            | Self::Io { .. }
            | Self::Output(_)
            | Self::Runtime(_)
            | Self::Config { .. }
            | Self::Scenario { .. }
            | Self::Rehearsal(_)
            | Self::FolderGone(_)
            | Self::NoHome
            | Self::NoTerminal
            | Self::Signals(_)
            | Self::Aws(_)
            | Self::Docker(_)
            | Self::Observe(_)
            | Self::Login(_)
            | Self::Sandbox(_)
            | Self::SandboxSleeps
            | Self::Refused(_)
            | Self::Declined
            | Self::NobodyToAsk
            | Self::CancelledEarly
            | Self::Verb(_)
            | Self::Recording { .. } => &[],
            Self::Run(run) => run.live.as_slice(),
        }
    }

    /// One of each kind, for the tests of this module and of its rendering.
    #[cfg(test)]
    #[expect(clippy::too_many_lines, reason = "one of each kind of failure")]
    pub(crate) fn examples() -> Vec<Self> {
        use crate::{
            id::{Key, TaskDefArn},
            plugin::globals::GlobalsError,
            run::check::{CheckFailure, Why},
        };

        let io = || io::Error::from(io::ErrorKind::PermissionDenied);
        let gone = || crate::aws::copy::CopyError::Gone {
            what: "image",
            digest: format!("sha256:{}", "3f".repeat(32)),
            repository: "jobs/api".to_owned(),
        };
        let usage = |mistake| {
            Self::from(UsageError {
                mistake,
                command: "docker ecs-ship deploy".to_owned(),
                usage: "docker ecs-ship deploy [OPTIONS] [SERVICE...]".to_owned(),
            })
        };
        let command = || "docker ecs-ship deploy".to_owned();
        let run = |error, exit| {
            let live = vec![ServiceLive {
                service: Key::new("web"),
                live: crate::event::Live::Unchanged,
                words: "web:41 is serving".to_owned(),
            }];
            let name = "docker ecs-ship".to_owned();
            let title = "roll out web failed".to_owned();
            let environment = Some("production".to_owned());
            let shown = Shown::Nowhere;
            let traces = Traces::Stay;
            Self::Run(Box::new(RunFailure { title, error, live, exit, name, environment, shown, traces }))
        };
        let check = |why, log: &[&str]| {
            let log = log.iter().map(|line| (*line).to_owned()).collect();
            let what = "`/app/selftest`".to_owned();
            run(CheckFailure { image: Key::new("web"), what, why, log }.into(), Exit::Build)
        };
        let mut examples: Vec<Self> = VerbError::examples().into_iter().map(Self::Verb).collect();
        examples.extend(vec![
            usage(Mistake::UnknownFlag { flag: "--enviroment".to_owned(), nearest: Some("--environment".to_owned()) }),
            usage(Mistake::UnknownLetter { letter: 'Z', word: "-yZ".to_owned() }),
            usage(Mistake::UnknownCommand { command: command(), word: "x".to_owned(), nearest: None }),
            usage(Mistake::UnexpectedArgument { command: command(), word: "x".to_owned() }),
            usage(Mistake::NeedsArgument { flag: "--file".to_owned() }),
            usage(Mistake::InvalidValue {
                flag: "--port".to_owned(),
                value: "x".to_owned(),
                expected: "invalid digit found in string".to_owned(),
            }),
            usage(Mistake::MissingArgument { command: command(), missing: "SHELL".to_owned() }),
            usage(Mistake::Conflict { one: "--a".to_owned(), other: "--b".to_owned() }),
            usage(Mistake::Repeated { flag: "--yes".to_owned() }),
            usage(Mistake::Globals(GlobalsError::HostAndContext)),
            usage(Mistake::Other { text: "something new".to_owned() }),
            Self::Variable(VariableError {
                name: crate::env::ECS_SHIP_PROGRESS,
                value: "fancy".to_owned(),
                expected: "auto, tty, plain, json, quiet".to_owned(),
            }),
            Self::Init(InitError::Exists { path: "/a/ship.toml".into() }),
            Self::Init(InitError::NoDockerfile { folder: "/a".into() }),
            Self::Init(InitError::WhichService { names: vec!["jobs/api".to_owned(), "jobs/web".to_owned()] }),
            Self::Init(InitError::NoService { name: Some("api".to_owned()) }),
            Self::Init(InitError::ServiceGone {
                name: "api".to_owned(),
                cluster: "jobs".to_owned(),
                status: "DRAINING".to_owned(),
            }),
            Self::Install(InstallError::NoHome),
            Self::Install(InstallError::Own(io())),
            Self::Install(InstallError::Foreign { paths: vec!["/a/docker".into(), "/b/docker-ecsship".into()] }),
            Self::Install(InstallError::PluginFolder { path: "/home/a/.docker/cli-plugins".into() }),
            Self::Install(InstallError::NotInstalled { record: "/a/install.json".into() }),
            Self::Install(InstallError::Record {
                path: "/a/install.json".into(),
                source: serde_json::from_str::<u8>("x").expect_err("this is no number"),
            }),
            Self::Install(InstallError::Io { action: "write", path: "/a".into(), source: io() }),
            Self::Install(InstallError::Docker(crate::credentials::DockerFileError::Changed {
                path: "/home/a/.docker/config.json".into(),
            })),
            Self::Shim(ShimError::NoDocker { shim: "/a/docker".into() }),
            Self::Shim(ShimError::Start { program: "/a/docker".into(), source: io() }),
            Self::Shim(ShimError::Own(io())),
            Self::Io { action: "read", path: "/a/ship.toml".into(), source: io() },
            Self::Output(io()),
            Self::Runtime(io()),
            Self::FolderGone(io()),
            Self::NoHome,
            Self::NoTerminal,
            Self::Signals(io()),
            Self::Docker(DockerError::NoBuildKit),
            Self::Observe(ObserveError::NotAnObject { path: "/a/task.json".into() }),
            Self::Login(LoginError::NotEcr { registry: "ghcr.io".to_owned() }),
            Self::Login(LoginError::WrongAccount {
                environment: "production".to_owned(),
                wanted: "222222222222".to_owned(),
                found: "111111111111".to_owned(),
                identity: "profile jobs".to_owned(),
            }),
            Self::Login(LoginError::Docker(DockerLoginError::File(crate::credentials::DockerFileError::Parse {
                path: "/home/a/.docker/config.json".into(),
                line: 3,
            }))),
            Self::Login(LoginError::Docker(DockerLoginError::Helper(crate::credentials::DockerConfigError::Helper {
                helper: "docker-credential-pass".to_owned(),
                registry: "111111111111.dkr.ecr.eu-west-1.amazonaws.com".to_owned(),
                words: "pass not initialized".to_owned(),
            }))),
            Self::Login(LoginError::Forget(io())),
            Self::Sandbox(DaemonError::Ended { last_lines: "address in use".to_owned() }),
            Self::SandboxSleeps,
            Self::Rehearsal(RehearsalError::ChooseService { known: vec![Key::new("api"), Key::new("web")] }),
            Self::Rehearsal(RehearsalError::NoLoadBalancer { service: Key::new("worker") }),
            Self::Rehearsal(RehearsalError::Secrets { service: Key::new("api"), names: vec!["KEY".to_owned()] }),
            Self::Rehearsal(RehearsalError::NoImage { image: "jobs/api:41".to_owned(), source: None }),
            Self::Rehearsal(RehearsalError::NoRevision { revision: "41".to_owned() }),
            Self::Rehearsal(RehearsalError::NoContainer { revision: "api:41".to_owned(), container: "app".to_owned() }),
            Self::Rehearsal(RehearsalError::Folder { path: "/a".into(), source: io() }),
            Self::Rehearsal(RehearsalError::NoAddress),
            Self::Refused(vec![Refusal::ClusterMissing {
                cluster: crate::id::Cluster::new("jobs"),
                region: "eu-west-1".to_owned(),
            }]),
            Self::Declined,
            Self::NobodyToAsk,
            Self::CancelledEarly,
            Self::Recording {
                path: "/a/run.jsonl".into(),
                line: 3,
                source: serde_json::from_str::<u8>("x").expect_err("this is no number"),
            },
            run(RunError::Docker(DockerError::NoBuildKit), Exit::Build),
            run(RunError::Copy(Box::new(gone())), Exit::Push),
            Self::Observe(ObserveError::Image { from: "staging".to_owned(), source: Box::new(gone()) }),
            check(Why::Exited { code: 3, memory_mib: None }, &["one", "two"]),
            run(
                RunError::Task {
                    service: Key::new("web"),
                    ended: crate::run::task::Ended {
                        task: "0123456789abcdef0123456789abcdef".to_owned(),
                        exit_code: Some(1),
                        why: "container web ended by itself with exit code 1".to_owned(),
                        stopped: crate::run::task::Stopped::No,
                    },
                },
                Exit::TaskFailed,
            ),
            run(RunError::Cancelled, Exit::Cancelled),
            run(
                RunError::StoppedWatching {
                    service: Key::new("web"),
                    task_definition: TaskDefArn::new("web:42"),
                    live: crate::event::Live::Unchanged,
                    left: Left::Going,
                },
                Exit::Cancelled,
            ),
            run(
                RunError::Rollout {
                    service: Key::new("web"),
                    verdict: crate::rollout::machine::Verdict::RolledBack { why: "tasks failed to start".to_owned() },
                    live: crate::event::Live::Unchanged,
                    exit: Exit::RolloutFailed,
                    failed: Vec::new(),
                    way_back: WayBack::Open,
                },
                Exit::RolloutFailed,
            ),
        ]);
        examples
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_an_exit_and_a_hint() {
        let examples = Failure::examples();
        let codes: BTreeSet<_> = examples.iter().map(Failure::code).collect();
        assert_eq!(codes.len(), examples.len());
        for failure in &examples {
            assert!(!failure.hints().is_empty(), "{} has no hint", failure.code());
            assert_ne!(failure.exit(), Exit::Done, "{}", failure.code());
        }
    }
}
