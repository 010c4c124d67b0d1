//! Walking a plan with its faces: what `deploy`, `rollback` and `watch` do once they have one.

use tokio::sync::mpsc;

use super::{
    Door,
    args::Display,
    prepare::Connected,
    show::{self, Faces},
};
use crate::{
    aws::{Aws, tasks},
    config::spec::{Service, Spec},
    docker::{BuildVariables, RegistryAuth},
    env,
    event::{Event, Live, ServiceLive},
    exit::Exit,
    failure::{Failure, Shown, Traces, render, verb::VerbError},
    id::{Key, RunId},
    observe::services,
    plan::{observed::ServiceActive, pick_up, step::Plan},
    plugin::signals,
    report::{self, Report},
    run::{
        act::Hands,
        cancel::{self, Cancel, Source},
        guests::Guests,
        login::Logins,
        runner::{self, Opening},
        teller::{self, Teller},
    },
};

/// A run that hears wishes to stop and has chosen its faces, but has done nothing yet.
pub(crate) struct Begun {
    at_ms: u64,
    reports: Vec<Box<dyn Report>>,
    shown: Shown,
    traces: Traces,
    pub(crate) cancel: Cancel,
    /// Services that the plan has no step for, and what they run.
    idle: Vec<ServiceLive>,
}

/// Begins to listen.
pub(crate) fn begin(display: &Display, door: &Door) -> Result<Begun, Failure> {
    let at_ms = show::now_ms();
    let Faces { reports, shown } = show::faces(display, door)?;
    Ok(Begun { at_ms, reports, shown, traces: Traces::Stay, cancel: hear(door)?, idle: Vec::new() })
}

/// A run of a rehearsal, which listens already: with one more face, and with nothing left of it at the end.
pub(crate) fn begin_again(
    at_ms: u64,
    cancel: Cancel,
    more: Option<Box<dyn Report>>,
    display: &Display,
    door: &Door,
) -> Result<Begun, Failure> {
    let Faces { mut reports, shown } = show::faces(display, door)?;
    reports.extend(more);
    Ok(Begun { at_ms, reports, shown, traces: Traces::AreGone, cancel, idle: Vec::new() })
}

/// A token that the signals of the process and docker's plugin socket ask for.
pub(crate) fn hear(door: &Door) -> Result<Cancel, Failure> {
    let (canceller, cancel) = cancel::token();
    canceller.hear_signals().map_err(Failure::Signals)?;
    let socket = door.surroundings.variables.get(env::DOCKER_CLI_PLUGIN_SOCKET);
    signals::on_docker_gone(socket, move || canceller.ask(Source::DockerSocket));
    Ok(cancel)
}

impl Begun {
    /// With services that are told at the end, although nothing is done for them.
    pub(crate) fn with_idle(self, idle: &[(Key, String)]) -> Self {
        let idle = idle.iter().map(|(service, revision)| ServiceLive {
            service: service.clone(),
            live: Live::Unchanged,
            words: format!("{revision} runs, and nothing is going on"),
        });
        Self { idle: idle.collect(), ..self }
    }

    /// Until the first step begins nothing has changed, and a wish to stop simply stops.
    pub(crate) fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> impl Future<Output = Result<T, Failure>> {
        // All of connecting, observing and planning is in it: tens of kilobytes that need not be moved about.
        let work = Box::pin(work);
        async move {
            tokio::select! {
                done = work => done,
                () = self.cancel.once() => Err(Failure::CancelledEarly),
            }
        }
    }

    /// Walks the plan, shows it, and says how it ended.
    pub(crate) async fn walk(
        self,
        verb: &str,
        plan: &Plan,
        hands: &Hands,
        environment: Option<String>,
        display: &Display,
        door: &Door,
    ) -> Result<Exit, Failure> {
        let Self { at_ms, reports, shown, traces, cancel, idle } = self;
        let recording = match &display.record {
            Some(path) => Some(teller::recording(path).map_err(|source| Failure::write(path.clone(), source))?),
            None => None,
        };
        let (records, heard) = mpsc::channel(teller::CHANNEL);
        let teller = Teller::new(records, recording, show::now_ms);
        let showing = tokio::spawn(report::drive(heard, reports, show::now_ms));
        let since = || show::now_ms().saturating_sub(at_ms);
        let opening = Opening {
            run: RunId::new(format!("{at_ms:x}")),
            verb: verb.to_owned(),
            environment: environment.clone(),
            prepared_ms: since(),
        };
        let outcome = runner::run(plan, opening, hands, &teller, &cancel).await;
        let mut outcome = match traces {
            Traces::Stay => outcome,
            Traces::AreGone => outcome.in_a_rehearsal(),
        };
        outcome.live.extend(idle);
        let (summary, exit, live) = (outcome.summary.clone(), outcome.exit.code(), outcome.live.clone());
        let ended = Failure::of_run(outcome, &door.name, environment, shown).map_err(|failure| match traces {
            Traces::Stay => failure,
            Traces::AreGone => failure.without_traces(),
        });
        let error = ended.as_ref().err().map(render::told);
        teller.tell(Event::Ended { summary, exit, live, elapsed_ms: since(), error }).await;
        let lost = teller.close();
        // The faces have drawn their last when this returns; a face that panicked has drawn what it could.
        drop(showing.await);
        if let (Some(path), Some(error)) = (&display.record, lost) {
            let told = door.tell(&format!("warning: the recording {} ends before the run: {error}\n", path.display()));
            // How the run ended counts for more than whether this could be said.
            drop(told);
        }
        ended
    }
}

/// Hands for a run that builds and pushes nothing, and so needs no engine and no login.
pub(crate) fn hands(place: Connected, spec: &Spec) -> Hands {
    Hands {
        pace: place.pace(spec.services.len()),
        registry: String::new(),
        logins: Logins::of_this_run(),
        guests: Guests::none(),
        registry_auth: RegistryAuth::default(),
        build_variables: BuildVariables::default(),
        aws: place.aws,
        engine: None,
        source: None,
    }
}

/// The service that a verb about a single one is about.
pub(crate) fn only_service<'a>(spec: &'a Spec, verb: &'static str) -> Result<(&'a Key, &'a Service), Failure> {
    let mut services = spec.services.iter();
    match (services.next(), services.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(VerbError::WhichService { verb, services: spec.services.keys().cloned().collect() }.into()),
    }
}

/// What such a service is now, which must be there, in the account that is meant.
pub(crate) async fn live(spec: &Spec, key: &Key, service: &Service, aws: &Aws) -> Result<ServiceActive, Failure> {
    let (account, known) = tokio::join!(services::account(spec, aws), services::observed(spec, aws));
    if let Some(refusal) = pick_up::wrong_account(spec, account?.as_deref()) {
        return Err(Failure::Refused(vec![refusal]));
    }
    match pick_up::live(key, service, known?.get(key), aws.region()) {
        Ok(live) => Ok(live.clone()),
        Err(refusal) => Err(Failure::Refused(vec![refusal])),
    }
}

/// The container that is meant: the one that is named, the one of ship.toml, or the only one it can be.
pub(crate) fn container(
    named: Option<&String>,
    key: &Key,
    service: &Service,
    live: &ServiceActive,
) -> Result<String, Failure> {
    let main = || tasks::main_container(&live.definition).map(str::to_owned);
    let container = named.or(service.container.as_ref()).cloned().or_else(main);
    Ok(container.ok_or_else(|| VerbError::WhichContainer { service: key.clone() })?)
}
