//! `run`: a one-off task of a service by hand.

use tokio::sync::mpsc;

use super::{
    Door, args,
    prepare::{self, Sleeping},
    show, walk,
};
use crate::{
    aws::tasks,
    config::duration,
    event::Progress,
    exit::Exit,
    failure::{Failure, verb::VerbError},
    plan::{rollback, step::OneOff},
    report::words,
    run::task::{self, Followed, Stopped},
};

/// How many lines may wait to be printed before the reading of more waits.
const CHANNEL: usize = 64;

pub async fn run(args: &args::Run, door: &Door) -> Result<Exit, Failure> {
    let cancel = walk::hear(door)?;
    let understood = prepare::understand(&args.selection, door).await?;
    let spec = &understood.spec;
    let (key, service) = walk::only_service(spec, "run")?;
    let timeout_ms = match &args.timeout {
        None => None,
        Some(text) => {
            let limit = duration::parse(text).ok_or_else(|| VerbError::Since { written: text.clone() })?;
            Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
        }
    };
    let place = prepare::connect(spec, door, Sleeping::Refuse).await?;
    let aws = &place.aws;
    let live = walk::live(spec, key, service, aws).await?;
    let revision = match args.revision {
        Some(number) => rollback::named(&number.to_string(), &live.task_definition),
        None => live.task_definition.clone(),
    };
    let container = walk::container(args.container.as_ref(), key, service, &live)?;
    let one_off = OneOff {
        cluster: service.cluster.clone(),
        container: container.clone(),
        command: args.command.clone(),
        launch: live.launch.clone(),
    };
    let id = tasks::run(aws, &revision, &one_off).await?;
    door.tell(&format!("task {id} of {revision}: starting\n"))?;
    if args.detach {
        // For `logs --task` in a script.
        door.print(&format!("{id}\n"))?;
        return Ok(Exit::Done);
    }
    let (sender, receiver) = mpsc::channel(CHANNEL);
    let followed = Followed {
        cluster: &service.cluster,
        task: &id,
        revision: &revision,
        container: &container,
        timeout_ms,
        pace_ms: place.pace(1).service_ms,
    };
    let following = async move { task::follow(aws, followed, &sender, show::now_ms, &cancel).await };
    let begun = show::now_ms();
    let (ended, told) = tokio::join!(Box::pin(following), tell(receiver, door));
    told?;
    let ended = ended?;
    let took = words::duration(show::now_ms().saturating_sub(begun));
    if ended.is_good() {
        door.tell(&format!("task {}: ended with 0 after {took}\n", short(&id)))?;
        return Ok(Exit::Done);
    }
    match ended.stopped {
        Stopped::OnRequest => {
            door.tell(&format!("task {}: stopped on request after {took}\n", short(&id)))?;
            Ok(Exit::Cancelled)
        }
        Stopped::No | Stopped::TimedOut | Stopped::CommandEnded => {
            Err(VerbError::TaskFailed { service: key.clone(), ended }.into())
        }
    }
}

/// As docker shortens the ids of its containers; the whole one was told at the beginning.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Lines of the task are data, its states are talk.
async fn tell(mut progress: mpsc::Receiver<Progress>, door: &Door) -> Result<(), Failure> {
    while let Some(progress) = progress.recv().await {
        match progress {
            Progress::TaskLog { line, .. } => door.print(&format!("{}\n", words::clean(&line)))?,
            Progress::TaskStatus { task, status, note } => {
                let word = note.unwrap_or_else(|| status.to_lowercase());
                door.tell(&format!("task {}: {word}\n", short(&task)))?;
            }
            Progress::BuildWarning { message } => door.tell(&format!("warning: {message}\n"))?,
            _ => {}
        }
    }
    Ok(())
}
