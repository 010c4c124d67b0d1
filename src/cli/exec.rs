//! `exec`: a command in a running container, through ECS Exec and the session-manager-plugin. A task of the sandbox is a
//! container of this machine, and gone into as such.

use super::{
    Door, args,
    prepare::{self, Connected, Sleeping},
    surroundings::Stream,
    walk,
};
use crate::{
    aws::{ecs, tasks},
    config::spec::{Place, Service},
    exit::Exit,
    failure::{Failure, verb::VerbError},
    id::Key,
    plan::observed::ServiceActive,
    rollout::view::TaskView,
    run::session::{self, Plugin, Terminal},
    sandbox::daemon::Substance,
};

pub async fn run(args: &args::Exec, door: &Door) -> Result<Exit, Failure> {
    // Ctrl-C belongs to the session: this process hears it and does nothing.
    let _cancel = walk::hear(door)?;
    let understood = prepare::understand(&args.selection, door).await?;
    let spec = &understood.spec;
    let (key, service) = walk::only_service(spec, "exec")?;
    // Before anything is asked: without it a session would be opened that nobody can use.
    let plugin = match spec.environment.place {
        Place::Aws => Some(session::find().await.map_err(VerbError::Plugin)?),
        Place::Sandbox => None,
    };
    let place = prepare::connect(spec, door, Sleeping::Refuse).await?;
    let aws = &place.aws;
    let live = walk::live(spec, key, service, aws).await?;
    let running = ecs::view_tasks(aws, &service.cluster, &service.service, &[]).await?;
    let wanted = args.task.as_deref().unwrap_or_default();
    let is_wanted = |task: &&TaskView| task.last_status == "RUNNING" && task.id.starts_with(wanted);
    // The newest: it runs what was shipped last.
    let task = running.iter().filter(is_wanted).max_by_key(|task| task.started_ms).ok_or_else(|| {
        let wanted =
            args.task.as_ref().map_or_else(|| "no task that runs".to_owned(), |id| format!("no running task {id}"));
        VerbError::NoTask { service: key.clone(), wanted }
    })?;
    let container = walk::container(args.container.as_ref(), key, service, &live)?;
    let target = Target { key, service, live: &live, task: &task.id, container: &container };
    let code = match &plugin {
        Some(plugin) => target.through_session(plugin, &args.command, &place).await?,
        None => target.through_engine(&args.command, &place, door).await?,
    };
    match code {
        0 => Ok(Exit::Done),
        code => Err(VerbError::Session { code }.into()),
    }
}

/// The container that is gone into.
struct Target<'a> {
    key: &'a Key,
    service: &'a Service,
    live: &'a ServiceActive,
    task: &'a str,
    container: &'a str,
}

impl Target<'_> {
    async fn through_session(&self, plugin: &Plugin, command: &[String], place: &Connected) -> Result<i32, Failure> {
        let Self { key, service, live, task, container } = self;
        let command = session::line(command);
        let session = match tasks::execute(&place.aws, &service.cluster, task, container, &command).await {
            Ok(session) => session,
            Err(error) if error.code() == Some("InvalidParameterException") && !live.launch.execute_command => {
                return Err(VerbError::ExecOff { service: (*key).clone(), source: error }.into());
            }
            Err(error) => return Err(error.into()),
        };
        Ok(session::hold(plugin, &session).await.map_err(VerbError::Plugin)?)
    }

    async fn through_engine(&self, command: &[String], place: &Connected, door: &Door) -> Result<i32, Failure> {
        let Self { key, service, live: _, task, container } = self;
        if place.sandbox.as_ref().is_some_and(|running| running.tasks == Substance::Paper) {
            return Err(VerbError::OnPaper { service: (*key).clone() }.into());
        }
        let id = tasks::runtime_id(&place.aws, &service.cluster, task, container).await?;
        let terminal = match door.surroundings.stdin {
            Stream::Terminal => Terminal::Present,
            Stream::Redirected => Terminal::Absent,
        };
        let entered = session::enter(&door.globals.to_words(), &id, command, terminal).await;
        Ok(entered.map_err(VerbError::Plugin)?)
    }
}
