//! `deploy`: build, push, register, roll out.

use std::io::Write as _;

use super::{
    Door, args, credentials, outlook,
    prepare::{self, Others, Prepared},
    show, walk,
};
use crate::{config::spec::Confirm, docker::check, exit::Exit, failure::Failure, run::act::Hands};

pub async fn run(args: &args::Deploy, door: &Door) -> Result<Exit, Failure> {
    let begun = walk::begin(&args.display, door)?;
    let selection = args::Selection { done_when: args.done_when, ..args.selection.clone() };
    let prepared =
        begun.unless_cancelled(prepare::patiently(&selection, door, Others::of(args.wait_for_other))).await?;
    let Prepared { understood, place, engine, source, observed, plan } = prepared;
    show::warnings(&understood, door)?;
    let plan = plan.map_err(Failure::Refused)?;

    let (auth, complaints) = prepare::logins(&understood.spec, door).await;
    for complaint in complaints {
        writeln!(door.stderr(), "warning: {complaint}").map_err(Failure::Output)?;
    }
    if let Some(engine) = &engine {
        let _checks = check::sweep(engine, show::now_ms() / 1000).await;
    }
    let environment = understood.spec.environment.name.clone();
    let paper = show::paper(door.surroundings.stderr, door);
    if understood.spec.environment.confirm == Confirm::Ask && !door.agreed(args.yes) {
        let to = environment.as_ref().map(|name| format!(" to {name}")).unwrap_or_default();
        let text = outlook::text(&plan, &understood.spec, &observed, paper);
        begun.unless_cancelled(show::confirm(&format!("{text}\nDeploy{to}? [y/N] "), door)).await?;
    } else {
        door.tell(&outlook::asides(&plan, &understood.spec, &observed, paper))?;
    }
    let hands = Hands {
        pace: place.pace(understood.spec.services.len()),
        registry: observed.registry.clone(),
        logins: prepare::ecr_logins(&understood.spec, door)?,
        guests: prepare::guests(&understood.spec, door),
        registry_auth: auth,
        build_variables: prepare::build_variables(&understood.spec, door),
        aws: place.aws,
        engine,
        source,
    };
    let ended = begun.walk("deploy", &plan, &hands, environment, &args.display, door).await;
    if door.progress(args.display.progress)? != args::Progress::Quiet {
        credentials::tell_of_keeping(hands.logins.cache(), door)?;
    }
    ended
}
