//! `exec`: a command in a running container, through ECS Exec and the session-manager-plugin.

use super::{
    Door, args,
    prepare::{self, Sleeping},
    walk,
};
use crate::{
    aws::{ecs, tasks},
    exit::Exit,
    failure::{Failure, verb::VerbError},
    observe::services,
    plan::pick_up,
    rollout::view::TaskView,
    run::session,
};

pub async fn run(args: &args::Exec, door: &Door) -> Result<Exit, Failure> {
    // Ctrl-C belongs to the session: this process hears it and does nothing.
    let _cancel = walk::hear(door)?;
    let understood = prepare::understand(&args.selection, door).await?;
    let spec = &understood.spec;
    let (key, service) = walk::only_service(spec)?;
    // Before anything is asked: without it a session would be opened that nobody can use.
    let plugin = session::find().await.map_err(VerbError::Plugin)?;
    let place = prepare::connect(spec, door, Sleeping::Refuse).await?;
    let aws = &place.aws;
    let (account, known) = tokio::join!(services::account(spec, aws), services::observed(spec, aws));
    if let Some(refusal) = pick_up::wrong_account(spec, account?.as_deref()) {
        return Err(Failure::Refused(vec![refusal]));
    }
    let known = known?;
    let live =
        pick_up::live(key, service, known.get(key), aws.region()).map_err(|refusal| Failure::Refused(vec![refusal]))?;
    let running = ecs::view_tasks(aws, &service.cluster, &service.service, &[]).await?;
    let wanted = args.task.as_deref().unwrap_or_default();
    let is_wanted = |task: &&TaskView| task.last_status == "RUNNING" && task.id.starts_with(wanted);
    // The newest: it runs what was shipped last.
    let task = running.iter().filter(is_wanted).max_by_key(|task| task.started_ms).ok_or_else(|| {
        let wanted =
            args.task.as_ref().map_or_else(|| "no task that runs".to_owned(), |id| format!("no running task {id}"));
        VerbError::NoTask { service: key.clone(), wanted }
    })?;
    let named = args.container.clone().or_else(|| service.container.clone());
    let container = named
        .or_else(|| tasks::main_container(&live.definition).map(str::to_owned))
        .ok_or_else(|| VerbError::WhichContainer { service: key.clone() })?;
    let command = session::line(&args.command);
    let session = match tasks::execute(aws, &service.cluster, &task.id, &container, &command).await {
        Ok(session) => session,
        Err(error) if error.code() == Some("InvalidParameterException") && !live.launch.execute_command => {
            return Err(VerbError::ExecOff { service: key.clone(), source: error }.into());
        }
        Err(error) => return Err(error.into()),
    };
    match session::hold(&plugin, &session).await.map_err(VerbError::Plugin)? {
        0 => Ok(Exit::Done),
        code => Err(VerbError::Session { code }.into()),
    }
}
