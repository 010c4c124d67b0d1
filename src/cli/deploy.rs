//! `deploy`: build, push, register, roll out.

use std::io::Write as _;

use tokio::sync::mpsc;

use super::{
    Door, args,
    prepare::{self, Prepared, Sleeping},
    show::{self, Faces},
};
use crate::{
    config::spec::Confirm,
    credentials::Tokens,
    env,
    event::Event,
    exit::Exit,
    failure::{Failure, render},
    id::RunId,
    plugin::signals,
    report,
    run::{
        act::Hands,
        cancel::{self, Source},
        runner::{self, Opening},
        teller::{self, Teller},
    },
};

pub async fn run(args: &args::Deploy, door: &Door) -> Result<Exit, Failure> {
    let begun = show::now_ms();
    let Faces { reports, shown } = show::faces(&args.display, door)?;
    let (canceller, cancel) = cancel::token();
    canceller.hear_signals().map_err(Failure::Signals)?;
    let socket = door.surroundings.variables.get(env::DOCKER_CLI_PLUGIN_SOCKET);
    signals::on_docker_gone(socket, move || canceller.ask(Source::DockerSocket));

    let selection = args::Selection { done_when: args.done_when, ..args.selection.clone() };
    // Until the first step begins nothing has changed, and a wish to stop simply stops.
    let prepared = tokio::select! {
        prepared = prepare::prepare(&selection, door, Sleeping::Start) => prepared?,
        () = cancel.once() => return Err(Failure::CancelledEarly),
    };
    let Prepared { understood, place, engine, observed, plan } = prepared;
    show::warnings(&understood, door)?;
    let plan = plan.map_err(Failure::Refused)?;

    let (auth, complaints) = prepare::logins(door).await;
    for complaint in complaints {
        writeln!(door.stderr(), "warning: {complaint}").map_err(Failure::Output)?;
    }
    let environment = understood.spec.environment.name.clone();
    if understood.spec.environment.confirm == Confirm::Ask && !door.agreed(args.yes) {
        tokio::select! {
            confirmed = show::confirm(&plan, environment.as_deref(), door) => confirmed?,
            () = cancel.once() => return Err(Failure::CancelledEarly),
        }
    }
    let hands = Hands {
        pace: place.pace(understood.spec.services.len()),
        registry: observed.registry.clone(),
        tokens: Tokens::new(),
        registry_auth: auth,
        aws: place.aws,
        engine,
    };
    let recording = match &args.display.record {
        Some(path) => Some(teller::recording(path).map_err(|source| Failure::write(path.clone(), source))?),
        None => None,
    };
    let (records, heard) = mpsc::channel(teller::CHANNEL);
    let teller = Teller::new(records, recording, show::now_ms);
    let showing = tokio::spawn(report::drive(heard, reports, show::now_ms));
    let since = || show::now_ms().saturating_sub(begun);
    let opening = Opening {
        run: RunId::new(format!("{begun:x}")),
        verb: "deploy".to_owned(),
        environment: environment.clone(),
        prepared_ms: since(),
    };
    let outcome = runner::run(&plan, opening, &hands, &teller, &cancel).await;
    let (summary, exit, live) = (outcome.summary.clone(), outcome.exit.code(), outcome.live.clone());
    let ended = Failure::of_run(outcome, &door.name, environment, shown);
    let error = ended.as_ref().err().map(render::told);
    teller.tell(Event::Ended { summary, exit, live, elapsed_ms: since(), error }).await;
    drop(teller);
    // The faces have drawn their last when this returns; a face that panicked has drawn what it could.
    drop(showing.await);
    ended
}
