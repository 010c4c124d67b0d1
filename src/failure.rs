//! Every error of every floor, with its code, exit, hints and what is live.
//!
//! One variant per module error. The questions below are exhaustive matches without `_`, so that a new
//! variant cannot be forgotten in any of them.

pub mod render;

use std::{io, path::PathBuf};

use crate::{
    cli::usage::{Mistake, UsageError},
    event::ServiceLive,
    exit::Exit,
    plugin::{install::InstallError, shim::ShimError},
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
    #[error("`{part}` is not linked into this build")]
    NotLinked { part: &'static str },
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

impl Failure {
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
            Self::Install(error) => match error {
                InstallError::NoHome => "install::no_home",
                InstallError::Own(_) => "install::own_program",
                InstallError::Foreign { .. } => "install::foreign_file",
                InstallError::PluginFolder { .. } => "install::plugin_folder",
                InstallError::NotInstalled { .. } => "install::not_installed",
                InstallError::Record { .. } => "install::record",
                InstallError::Io { .. } => "install::io",
            },
            Self::Shim(error) => match error {
                ShimError::NoDocker { .. } => "shim::no_docker",
                ShimError::Start { .. } => "shim::start",
                ShimError::Own(_) => "shim::own_program",
            },
            Self::Io { .. } => "io",
            Self::Output(_) => "output",
            Self::Runtime(_) => "runtime",
            Self::NotLinked { .. } => "not_linked",
        }
    }

    /// How the program ends with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Variable(_) => Exit::Usage,
            Self::Install(error) => match error {
                InstallError::Foreign { .. }
                | InstallError::PluginFolder { .. }
                | InstallError::NotInstalled { .. } => Exit::Refused,
                InstallError::NoHome | InstallError::Own(_) | InstallError::Record { .. } | InstallError::Io { .. } => {
                    Exit::Environment
                }
            },
            Self::Shim(_) | Self::Io { .. } | Self::Output(_) | Self::Runtime(_) => Exit::Environment,
            Self::NotLinked { .. } => Exit::Bug,
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
            Self::NotLinked { .. } => vec!["build docker-ecs-ship from a released version".to_owned()],
        }
    }

    /// What serves now; empty where nothing outside was touched.
    #[must_use]
    pub const fn live(&self) -> &[ServiceLive] {
        match self {
            Self::Usage(_)
            | Self::Variable(_)
            | Self::Install(_)
            | Self::Shim(_)
            | Self::Io { .. }
            | Self::Output(_)
            | Self::Runtime(_)
            | Self::NotLinked { .. } => &[],
        }
    }

    /// One of each kind, for the tests of this module and of its rendering.
    #[cfg(test)]
    pub(crate) fn examples() -> Vec<Self> {
        use crate::plugin::globals::GlobalsError;

        let io = || io::Error::from(io::ErrorKind::PermissionDenied);
        let usage = |mistake| {
            Self::from(UsageError {
                mistake,
                command: "docker ecs-ship deploy".to_owned(),
                usage: "docker ecs-ship deploy [OPTIONS] [SERVICE...]".to_owned(),
            })
        };
        let command = || "docker ecs-ship deploy".to_owned();
        vec![
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
            Self::Install(InstallError::NoHome),
            Self::Install(InstallError::Own(io())),
            Self::Install(InstallError::Foreign { paths: vec!["/a/docker".into(), "/b/docker-ecsship".into()] }),
            Self::Install(InstallError::PluginFolder { path: "/root/.docker/cli-plugins".into() }),
            Self::Install(InstallError::NotInstalled { record: "/a/install.json".into() }),
            Self::Install(InstallError::Record {
                path: "/a/install.json".into(),
                source: serde_json::from_str::<u8>("x").expect_err("this is no number"),
            }),
            Self::Install(InstallError::Io { action: "write", path: "/a".into(), source: io() }),
            Self::Shim(ShimError::NoDocker { shim: "/a/docker".into() }),
            Self::Shim(ShimError::Start { program: "/a/docker".into(), source: io() }),
            Self::Shim(ShimError::Own(io())),
            Self::Io { action: "read", path: "/a/ship.toml".into(), source: io() },
            Self::Output(io()),
            Self::Runtime(io()),
            Self::NotLinked { part: "deploy" },
        ]
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
