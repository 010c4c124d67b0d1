//! `stop-deployment`: ask ECS to take back what is going on, and do not wait for it.

use super::{
    Door, args,
    prepare::{self, Sleeping},
    show, walk,
};
use crate::{
    aws::ecs,
    exit::Exit,
    failure::Failure,
    observe::services,
    plan::{
        pick_up::{self, GoingOn},
        refusal::Refusal,
    },
    rollout::past::Stage,
};

/// What goes on is among the last few deployments.
const DEPLOYMENTS: usize = 5;

pub async fn run(args: &args::StopDeployment, door: &Door) -> Result<Exit, Failure> {
    let cancel = walk::hear(door)?;
    let understood = prepare::understand(&args.selection, door).await?;
    show::warnings(&understood, door)?;
    let spec = &understood.spec;
    let place = prepare::connect(spec, door, Sleeping::Refuse).await?;
    let (account, known) =
        tokio::join!(services::account(spec, &place.aws), services::known(spec, &place.aws, DEPLOYMENTS));
    let (account, known) = (account?, known?);
    let mut refusals: Vec<Refusal> = pick_up::wrong_account(spec, account.as_deref()).into_iter().collect();
    let mut stoppable = Vec::new();
    for (key, service) in &spec.services {
        let live = match pick_up::live(key, service, known.get(key), place.aws.region()) {
            Ok(live) => live,
            Err(refusal) => {
                refusals.push(refusal);
                continue;
            }
        };
        match pick_up::going(live, known.get(key).and_then(|known| known.history.as_deref())) {
            None => door.tell(&format!("{key}: nothing to stop, {} runs\n", live.task_definition))?,
            Some(GoingOn { stage: Stage::GoingBack, started, .. }) => {
                door.tell(&format!("{key}: ECS is taking {} back already\n", started.task_definition))?;
            }
            Some(going) => match going.stoppable() {
                Some(going) => stoppable.push((key, going)),
                None => refusals.push(Refusal::HistoryUnread { service: key.clone(), name: service.service.clone() }),
            },
        }
    }
    if !refusals.is_empty() {
        return Err(Failure::Refused(refusals));
    }
    for (key, going) in &stoppable {
        let started = &going.started;
        let back = started.previous.as_ref().map_or_else(|| "what ran before".to_owned(), ToString::to_string);
        door.tell(&format!(
            "{key}: ECS stops rolling out {}, starts tasks of {back} again and drains the new ones\n",
            started.task_definition
        ))?;
    }
    if !stoppable.is_empty() && !door.agreed(args.yes) {
        let question = format!("Stop and take back{}? [y/N] ", show::in_environment(spec));
        tokio::select! {
            confirmed = show::confirm(&question, door) => confirmed?,
            () = cancel.once() => return Err(Failure::CancelledEarly),
        }
    }
    for (key, going) in &stoppable {
        ecs::stop_deployment(&place.aws, &going.service_deployment).await?;
        let environment = show::environment_flag(spec);
        door.tell(&format!("{key}: asked; look on with {} watch{environment} {key}\n", door.name))?;
    }
    Ok(Exit::Done)
}
