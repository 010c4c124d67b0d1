//! `watch`: look at what goes on, whoever has started it.

use super::{
    Door, args,
    prepare::{self, Sleeping},
    show, walk,
};
use crate::{
    exit::Exit,
    failure::Failure,
    observe::services,
    plan::pick_up::{self, Watching},
};

/// What goes on is among the last few deployments.
const DEPLOYMENTS: usize = 5;

pub async fn run(args: &args::Watch, door: &Door) -> Result<Exit, Failure> {
    let begun = walk::begin(&args.display, door)?;
    let (understood, place, planned) = begun
        .unless_cancelled(async {
            let understood = prepare::understand(&args.selection, door).await?;
            let place = prepare::connect(&understood.spec, door, Sleeping::Refuse).await?;
            let known = services::known(&understood.spec, &place.aws, DEPLOYMENTS).await?;
            let planned = pick_up::watch(&understood.spec, &known, place.aws.region());
            Ok((understood, place, planned))
        })
        .await?;
    show::warnings(&understood, door)?;
    let Watching { plan, idle } = planned.map_err(Failure::Refused)?;
    let is_for_programs = door.progress(args.display.progress)? == args::Progress::Json;
    if !is_for_programs {
        for (service, revision) in &idle {
            door.tell(&format!("{service}: nothing is going on, {revision} runs\n"))?;
        }
    }
    // A program reads the end of every stream, and a recording is one.
    if plan.steps.is_empty() && !is_for_programs && args.display.record.is_none() {
        return Ok(Exit::Done);
    }
    let hands = walk::hands(place, &understood.spec);
    begun.with_idle(&idle).walk("watch", &plan, &hands, understood.spec.environment.name, &args.display, door).await
}
