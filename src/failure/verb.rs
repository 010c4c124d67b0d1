//! Why a verb about running services ends without what it was asked for.

use crate::{
    aws::AwsError,
    exit::Exit,
    id::Key,
    run::{session::SessionError, task::Ended},
};

#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    #[error("`{verb}` is about one service, and ship.toml has {}", list(services))]
    WhichService { verb: &'static str, services: Vec<Key> },
    #[error("which container of {service} is meant is not clear")]
    WhichContainer { service: Key },
    #[error("{service} has {wanted}")]
    NoTask { service: Key, wanted: String },
    #[error("no log of {service} can be read")]
    NoLog { service: Key },
    #[error("`{written}` is not a time such as 90s, 10m or 1h30m")]
    Since { written: String },
    #[error("{ended}")]
    TaskFailed { service: Key, ended: Ended },
    #[error("ECS Exec is off for {service}")]
    ExecOff { service: Key, source: AwsError },
    #[error(transparent)]
    Plugin(#[from] SessionError),
    #[error("{service} runs on paper: its tasks have no containers")]
    OnPaper { service: Key },
    #[error("the session ended with {code}")]
    Session { code: i32 },
}

fn list(services: &[Key]) -> String {
    services.iter().map(Key::as_str).collect::<Vec<_>>().join(", ")
}

impl VerbError {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::WhichService { .. } => "usage::which_service",
            Self::WhichContainer { .. } => "usage::which_container",
            Self::NoTask { .. } => "task::none",
            Self::NoLog { .. } => "logs::none",
            Self::Since { .. } => "usage::time",
            Self::TaskFailed { .. } => "task::failed",
            Self::ExecOff { .. } => "exec::off",
            Self::Plugin(SessionError::NoPlugin) => "exec::no_plugin",
            Self::Plugin(SessionError::Start(_)) => "exec::plugin",
            Self::Plugin(SessionError::Docker(_)) => "exec::docker",
            Self::OnPaper { .. } => "exec::on_paper",
            Self::Session { .. } => "exec::session",
        }
    }

    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::WhichService { .. } | Self::WhichContainer { .. } | Self::Since { .. } => Exit::Usage,
            Self::NoTask { .. } | Self::NoLog { .. } | Self::ExecOff { .. } | Self::OnPaper { .. } => Exit::Refused,
            Self::TaskFailed { .. } | Self::Session { .. } => Exit::TaskFailed,
            Self::Plugin(_) => Exit::Environment,
        }
    }

    pub(super) fn hints(&self) -> Vec<String> {
        match self {
            Self::WhichService { verb, services } => {
                let first = services.first().map_or("SERVICE", Key::as_str);
                vec![format!("name one of them, as in `docker-ecs-ship {verb} {first}`")]
            }
            Self::WhichContainer { service } => {
                vec![format!("say which with --container, or with `container` of [services.{service}]")]
            }
            Self::NoTask { service, .. } => vec![format!(
                "`docker-ecs-ship tasks {service}` shows them all; ECS forgets a stopped task after about an hour"
            )],
            Self::NoLog { service } => vec![format!(
                "give the containers of {service} the log driver awslogs, with awslogs-group and awslogs-stream-prefix"
            )],
            Self::Since { .. } => vec!["write a number with s, m, h or d".to_owned()],
            Self::TaskFailed { service, ended } => vec![format!(
                "its lines stand above; `docker-ecs-ship logs {service} --task {}` shows them again",
                ended.task
            )],
            Self::ExecOff { service, .. } => vec![
                format!(
                    "set `enableExecuteCommand` of the service of [services.{service}] (`aws ecs update-service \
                     --enable-execute-command --force-new-deployment`): only tasks started after that can be gone into"
                ),
                "the task role needs ssmmessages:CreateControlChannel, CreateDataChannel, OpenControlChannel and \
                 OpenDataChannel"
                    .to_owned(),
            ],
            Self::Plugin(SessionError::NoPlugin) => vec![
                "install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
                    .to_owned(),
            ],
            Self::Plugin(SessionError::Start(_)) => vec!["run `session-manager-plugin --version` to see it happen".to_owned()],
            Self::Plugin(SessionError::Docker(_)) => {
                vec!["a task of the sandbox is gone into with `docker exec`: install the Docker CLI".to_owned()]
            }
            Self::OnPaper { .. } => {
                vec!["take the sandbox down and start it without --paper: `docker-ecs-ship sandbox up`".to_owned()]
            }
            Self::Session { .. } => vec!["what the command and the plugin said stands above".to_owned()],
        }
    }

    /// One of each kind.
    #[cfg(test)]
    pub(super) fn examples() -> Vec<Self> {
        use crate::run::task::Stopped;

        let service = || Key::new("web");
        vec![
            Self::WhichService { verb: "logs", services: vec![service(), Key::new("worker")] },
            Self::WhichContainer { service: service() },
            Self::NoTask { service: service(), wanted: "no task that runs".to_owned() },
            Self::NoLog { service: service() },
            Self::Since { written: "yesterday".to_owned() },
            Self::TaskFailed {
                service: service(),
                ended: Ended {
                    task: "0123456789abcdef0123456789abcdef".to_owned(),
                    exit_code: Some(3),
                    why: "container web ended by itself with exit code 3".to_owned(),
                    stopped: Stopped::No,
                },
            },
            Self::Plugin(SessionError::NoPlugin),
            Self::Plugin(SessionError::Start(std::io::Error::from(std::io::ErrorKind::PermissionDenied))),
            Self::Plugin(SessionError::Docker(std::io::Error::from(std::io::ErrorKind::NotFound))),
            Self::OnPaper { service: service() },
            Self::Session { code: 255 },
        ]
    }
}
