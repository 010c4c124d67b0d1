//! `rehearse`: the live image and then the new one as a real rollout in a sandbox of its own, under load.

use std::{fs, time::Duration};

use tokio::sync::watch;

use super::{
    Door,
    args::{self, TableFormat},
    prepare::{self, Connected, Sleeping, Understood},
    show, walk,
};
use crate::{
    aws::{Aws, ecs, elb},
    config::spec::{self, Spec, TaskDefinitionSource},
    docker::{self, Engine},
    exit::Exit,
    failure::{Failure, render},
    id::Key,
    observe,
    plan::{make, observed::ServiceObserved, refusal::Refusal, step::Plan},
    rehearsal::{
        RehearsalError,
        baseline::{self, Baseline},
        definition::{self, Adapted},
        findings::{self, Sighting},
        image::{self, Sources},
        production::{Further, Production, ReadError},
        report::{self, Played, Rehearsal},
        stage::{self, Stage},
        tap::{self, Moments},
    },
    report::Report,
    run::{act::Hands, cancel::Cancel, login::Logins},
    sandbox::{
        forecast::{self, Gate, Outlook},
        load::{self, Load, Phase, Tally},
        scenario::Scenario,
        witness::{HealthQuestion, Seen, Side},
    },
    secret,
};

/// How long the load goes on once the old tasks are gone.
const AFTERWARDS: Duration = Duration::from_secs(1);

pub async fn run(args: &args::Rehearse, door: &Door) -> Result<Exit, Failure> {
    let cancel = walk::hear(door)?;
    let begun = show::now_ms();
    let scenario = scenario(args, door)?;
    let understood = prepare::understand_built(&args.selection, door).await?;
    show::warnings(&understood, door)?;
    let key = the_service(&understood.spec)?;
    let engine = prepare::engine(door).await?;
    let root = super::sandbox::root(door)?;
    let (left, _checks) =
        tokio::join!(stage::sweep(&root, &engine), docker::check::sweep(&engine, show::now_ms() / 1000));
    if left > 0 {
        door.tell("what an earlier rehearsal left behind when it was killed is removed\n")?;
    }
    let live = tokio::select! {
        live = Live::look(args, &understood, &key, &engine, door) => live?,
        () = cancel.once() => return Err(Failure::CancelledEarly),
    };
    let stage = Stage::open(&root, &engine, args.speed, scenario.clone()).await?;
    let company = Company { args, door, understood: &understood, key: &key, engine: &engine, cancel: &cancel, begun };
    // Whatever happens in between, the stage is cleared.
    let played = tokio::select! {
        played = company.play(&stage, live, &scenario) => played,
        () = cancel.again() => Err(Failure::CancelledEarly),
    };
    tokio::select! {
        () = stage.close(&engine) => {}
        () = cancel.again() => {}
    }
    if played.as_ref().is_err_and(|failure| failure.exit() == Exit::Cancelled) {
        door.tell(
            "The rehearsal was stopped: its sandbox, tasks and images are gone, and nothing on AWS was changed.\n",
        )?;
    }
    let rehearsal = played?;
    match args.format {
        TableFormat::Json => door.print(&rehearsal.json())?,
        TableFormat::Table => door.print(&rehearsal.text(show::data_style(door), show::width(door)))?,
    }
    Ok(rehearsal.exit)
}

fn scenario(args: &args::Rehearse, door: &Door) -> Result<Scenario, Failure> {
    match &args.scenario {
        None => Ok(Scenario::default()),
        Some(path) => super::sandbox::scenario(path, door),
    }
}

fn the_service(spec: &Spec) -> Result<Key, Failure> {
    let mut keys = spec.services.keys().cloned();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(RehearsalError::ChooseService { known: spec.services.keys().cloned().collect() }.into()),
    }
}

/// What is live, and how production is set up.
struct Live {
    production: Production,
    baseline: Baseline,
    /// What the baseline is called: a revision, or an image.
    name: String,
    /// The definition the baseline runs; `None`: the sandbox's own.
    definition: Option<serde_json::Value>,
    notes: Vec<String>,
}

impl Live {
    async fn look(
        args: &args::Rehearse,
        understood: &Understood,
        key: &Key,
        engine: &Engine,
        door: &Door,
    ) -> Result<Self, Failure> {
        let service = &understood.spec.services[key];
        let mut notes = Vec::new();
        let (aws, production) = match read(understood, key, door).await? {
            Ok((aws, production)) => (Some(aws), production),
            Err(why) => {
                notes.push(why);
                (None, None)
            }
        };
        if production.is_none() && aws.is_some() {
            notes.push("the service is not there yet: the settings are those of ship.toml".to_owned());
        }
        let production = production.unwrap_or_else(|| Production::of_file(service));
        let (image, name, definition) = match &args.from {
            Some(from) => image::named(from, &production, service, aws.as_ref(), engine).await?,
            None => (production.image.clone(), production.revision.clone(), production.definition.clone()),
        };
        notes.extend(production.notes.iter().cloned());
        let Some(image) = image else {
            notes.push("nothing is live: the new image replaces itself".to_owned());
            let baseline = Baseline::Itself;
            return Ok(Self { production, baseline, name: "the new image".to_owned(), definition: None, notes });
        };
        let mut live =
            Self { production, baseline: Baseline::Image(image.clone()), name: String::new(), definition, notes };
        live.name = name.unwrap_or_else(|| image.clone());
        live.fetch(&image, understood, aws.as_ref(), engine, door).await?;
        Ok(live)
    }
}

impl Live {
    /// Sees to it that the engine has every image that is going to run and is not built. A container that the program can
    /// do without is left out where that cannot be.
    async fn fetch(
        &mut self,
        image: &str,
        understood: &Understood,
        aws: Option<&Aws>,
        engine: &Engine,
        door: &Door,
    ) -> Result<(), Failure> {
        let mut mentioned = vec![image.to_owned()];
        let definitions = [&self.definition, &self.production.definition];
        for container in definitions.into_iter().flatten().filter_map(|one| one["containerDefinitions"].as_array()) {
            mentioned.extend(container.iter().filter_map(|container| container["image"].as_str().map(str::to_owned)));
        }
        let (docker, _) = prepare::logins_for(&mentioned.join("\n"), door).await;
        let ecr = prepare::ecr_logins(&understood.spec, door)?;
        let sources = Sources { engine, aws, ecr: &ecr, docker: &docker, clock: show::now_ms };
        sources.see_to(image).await?;
        let main = self.production.container.clone();
        for definition in [&mut self.definition, &mut self.production.definition].into_iter().flatten() {
            let left_out = sources.see_to_others(definition, main.as_deref()).await?;
            let names: Vec<&str> = left_out.iter().map(|(name, _)| name.as_str()).collect();
            *definition = definition::without(definition, &names);
            for (_, note) in left_out {
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
        }
        Ok(())
    }
}

/// Reads production, or says in words why it cannot be read.
async fn read(
    understood: &Understood,
    key: &Key,
    door: &Door,
) -> Result<Result<(Aws, Option<Production>), String>, Failure> {
    let spec = &understood.spec;
    let place = match prepare::connect(spec, door, Sleeping::Refuse).await {
        Ok(place) => place,
        Err(Failure::SandboxSleeps) => return Ok(Err("the settings are those of ship.toml".to_owned())),
        Err(Failure::Aws(error)) => return Ok(Err(unread(&error))),
        Err(other) => return Err(other),
    };
    match Production::read(&place.aws, key, &spec.services[key]).await {
        Ok(production) => Ok(Ok((place.aws, production))),
        Err(ReadError::NoLoadBalancer(service)) => Err(RehearsalError::NoLoadBalancer { service }.into()),
        Err(ReadError::Aws(error)) => Ok(Err(unread(&error))),
    }
}

fn unread(error: &crate::aws::AwsError) -> String {
    format!("the live service could not be read ({error}): the settings are those of ship.toml")
}

/// Those who play.
struct Company<'a> {
    args: &'a args::Rehearse,
    door: &'a Door,
    understood: &'a Understood,
    key: &'a Key,
    engine: &'a Engine,
    cancel: &'a Cancel,
    begun: u64,
}

impl Company<'_> {
    async fn play(&self, stage: &Stage, live: Live, scenario: &Scenario) -> Result<Rehearsal, Failure> {
        let Self { args, understood, key, .. } = *self;
        let Live { mut production, baseline, name, definition, mut notes } = live;
        let service = &understood.spec.services[key];
        let own = own_definition(service)?;
        let old = own.as_ref().filter(|_| definition.is_none()).or(definition.as_ref()).cloned();
        let new = own.or_else(|| production.definition.clone());
        notes.extend(
            production.keep_groups_of(&[&old, &new].map(Option::as_ref).into_iter().flatten().collect::<Vec<_>>()),
        );
        for other in scenario.services().into_iter().filter(|named| *named != service.service.as_str()) {
            notes.push(format!("the scenario names service {other}, which is not rehearsed: nothing comes of that"));
        }
        let (settings, drain_s) = stage::settings(&service.sandbox, &production, args.speed);
        let place = Connected {
            aws: crate::aws::connect(
                &crate::aws::Endpoint::At { url: stage.handle().endpoint().to_owned() },
                &crate::aws::Identity::default(),
            )
            .await?,
            sandbox: Some(stage.handle().running()),
        };
        let source = |content: Option<&serde_json::Value>, file: &str, notes: &mut Vec<String>| match content {
            None => Ok::<_, Failure>(TaskDefinitionSource::Live),
            Some(content) => {
                let Adapted { definition, notes: left_out, missing_secrets } =
                    definition::adapt(content, &service.sandbox.environment);
                if !missing_secrets.is_empty() {
                    return Err(RehearsalError::Secrets { service: key.clone(), names: missing_secrets }.into());
                }
                for note in left_out {
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                }
                Ok(TaskDefinitionSource::File(stage.write(file, &definition.to_string())?))
            }
        };
        let before = source(old.as_ref(), "before.json", &mut notes)?;
        let after = source(new.as_ref(), "after.json", &mut notes)?;

        let spec = stage::spec(&understood.spec, key, &production, settings.clone(), before);
        let plan = baseline::of(self.plan(&spec, &place).await?, &baseline);
        self.say(&format!("Bringing up what is replaced: {name}"))?;
        let hands = self.hands(&spec, &place).await?;
        self.walk(&plan, &hands, None).await?;

        let load = self.load(&place.aws, service, scenario).await?;
        let spec = stage::spec(&understood.spec, key, &production, settings, after);
        let plan = self.plan(&spec, &place).await?;
        let image = &spec.images[&service.image];
        let to = format!("{}:{}", image.repository, image.tag);
        self.say(&format!("Rolling out {to} over it, under {} requests a second", load.rate))?;
        let rehearsed = stage::rehearsed(args.speed, load.rate, drain_s);
        let (ended, moments, seen, tally) = self.roll_out(stage, &plan, &hands, load, &production).await;
        let (exit, error) = match ended {
            Ok(exit) => (exit, None),
            Err(failure @ Failure::Run(_)) if failure.exit() != Exit::Cancelled => {
                (failure.exit(), Some(render::told(&failure)))
            }
            Err(other) => return Err(other),
        };
        let forecast = outlook(&production, &seen).and_then(|outlook| forecast::forecast(&outlook).ok());
        let sighting = Sighting {
            production: &production,
            rehearsed,
            exit,
            seen: &seen,
            tally: &tally,
            forecast: forecast.as_ref(),
        };
        let findings = findings::findings(&sighting);
        let lost = tally.failed + tally.websockets.cut;
        let scenario = self.args.scenario.as_ref().map(|path| Played::of(path, scenario, &stage.handle().struck()));
        let exit = if exit == Exit::Done && lost > 0 { Exit::RequestsLost } else { exit };
        Ok(Rehearsal {
            service: key.to_string(),
            from: name,
            to,
            exit,
            error,
            production,
            rehearsed,
            updated_at: moments.updated_at,
            seen,
            tally,
            forecast,
            notes,
            findings,
            scenario,
            before: service
                .before
                .as_ref()
                .zip(moments.before)
                .map(|(before, run)| report::Before { command: secret::shown_command(&before.command), run }),
        })
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        self.door.tell(&format!("{text}\n"))
    }

    async fn plan(&self, spec: &Spec, place: &Connected) -> Result<Plan, Failure> {
        let described = self.engine.describe().await?;
        let variables = prepare::build_variables(spec, self.door);
        let observed = observe::observe(spec, &place.aws, None, &described.observed, &variables).await?;
        let plan = make::plan(spec, &observed).map_err(|refusals: Vec<Refusal>| Failure::Refused(refusals))?;
        Ok(plan.at_speed(place.speed()))
    }

    async fn hands(&self, spec: &Spec, place: &Connected) -> Result<Hands, Failure> {
        let (auth, _) = prepare::logins(spec, self.door).await;
        let sandbox = place.sandbox.as_ref();
        Ok(Hands {
            pace: place.pace(spec.services.len()),
            registry: sandbox.map(|running| running.registry.clone()).unwrap_or_default(),
            logins: Logins::of_this_run(),
            guests: prepare::guests(spec, self.door),
            registry_auth: auth,
            build_variables: prepare::build_variables(spec, self.door),
            aws: place.aws.clone(),
            engine: Some(self.engine.clone()),
            source: None,
        })
    }

    async fn walk(&self, plan: &Plan, hands: &Hands, tap: Option<tap::Tap>) -> Result<Exit, Failure> {
        let Self { args, door, understood, cancel, begun, .. } = *self;
        // What is recorded is the rollout itself.
        let record = args.display.record.clone().filter(|_| tap.is_some());
        let display = args::Display { record, ..args.display.clone() };
        let more = tap.map(|tap| Box::new(tap) as Box<dyn Report>);
        let run = walk::begin_again(begun, cancel.clone(), more, &display, door)?;
        let environment = understood.spec.environment.name.clone();
        run.walk("rehearse", plan, hands, environment, &display, door).await
    }

    async fn load(&self, aws: &Aws, service: &spec::Service, scenario: &Scenario) -> Result<Load, Failure> {
        let urls = match ecs::service(aws, &service.cluster, &service.service).await? {
            ServiceObserved::Active(active) => match active.target_groups.first() {
                Some(group) => elb::serving_urls(aws, &group.arn).await?,
                None => Vec::new(),
            },
            ServiceObserved::Missing | ServiceObserved::Inactive { .. } => Vec::new(),
        };
        let url = urls.into_iter().next().ok_or(RehearsalError::NoAddress)?;
        let authority = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let (args, script) = (self.args, &scenario.load);
        let usual = Load::default();
        Ok(Load {
            authority,
            rate: args.load.or(script.rate).unwrap_or(200).max(1),
            path: args.path.clone().or_else(|| script.path.clone()).unwrap_or(usual.path),
            slow_every: args.slow_every.or(script.slow_every).unwrap_or(usual.slow_every),
            slow_path: args.slow_path.clone().or_else(|| script.slow_path.clone()).unwrap_or(usual.slow_path),
            websockets: script.websockets.unwrap_or(0),
            websocket_path: script.websocket_path.clone().unwrap_or(usual.websocket_path),
            count_by: script.count_by.clone(),
            ..Load::default()
        })
    }

    /// The rollout itself, with the load on it and the witness beside it.
    async fn roll_out(
        &self,
        stage: &Stage,
        plan: &Plan,
        hands: &Hands,
        load: Load,
        production: &Production,
    ) -> (Result<Exit, Failure>, Moments, Seen, Tally) {
        let service = &self.understood.spec.services[self.key];
        let (phases, phase) = watch::channel(Phase::Before);
        let first = HealthQuestion {
            container: None,
            container_port: production.container_port,
            path: production.health_check.path.clone(),
        };
        let further = production.further_groups.iter().map(|group| HealthQuestion {
            container: Some(group.container.clone()),
            container_port: group.container_port,
            path: group.health_check.path.clone(),
        });
        let questions = [first].into_iter().chain(further).collect();
        let witness = stage.handle().witness(service.service.as_str(), questions, phases);
        let (tap, moments) = tap::tap();
        let (stop, stopped) = watch::channel(());
        let mut cue = moments.clone();
        // Not while the image is built: that would only show how busy this machine is.
        let driving = tokio::spawn(async move {
            // What it gives borrows the value, which must not be held while the load is driven.
            let began = cue.wait_for(|moments| moments.registering).await.is_ok();
            if began { load::drive_through(load, phase, stopped).await } else { Tally::default() }
        });
        let ended = self.walk(plan, hands, Some(tap)).await;
        let moments = *moments.borrow();
        if matches!(&ended, Err(failure) if failure.exit() == Exit::Superseded) {
            // What the other deployment does to the requests is part of it.
            let limit = settles_within(production, self.args.speed);
            tokio::select! {
                () = stage.handle().settled(service.service.as_str(), limit) => {}
                () = self.cancel.once() => {}
            }
        }
        if ended.is_ok() {
            // A wish to stop cuts this short, too.
            let _over = tokio::time::timeout(AFTERWARDS, self.cancel.once()).await;
        }
        // The driver ends by itself where the load never began.
        let _stopped = stop.send(());
        let tally = driving.await.unwrap_or_default();
        (ended, moments, witness.tell().await, tally)
    }
}

/// A rollout that takes longer than that is not waited for: it is somebody else's.
fn settles_within(production: &Production, speed: f64) -> Duration {
    let (_, drain_s) = stage::drain(production.longest_delay_s(), speed);
    Duration::from_secs(drain_s + production.stop_timeout_s + 60)
}

/// The definition of ship.toml, where it names a file.
fn own_definition(service: &spec::Service) -> Result<Option<serde_json::Value>, Failure> {
    let TaskDefinitionSource::File(path) = &service.task_definition else { return Ok(None) };
    let text = fs::read_to_string(path).map_err(|source| Failure::read(path.clone(), source))?;
    // What is wrong with it is the plan's to say, with its place.
    let content: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    Ok(content.map(|content| match content.get("taskDefinition") {
        Some(inner) if inner.is_object() => inner.clone(),
        _ => content,
    }))
}

fn gate(group: &Further) -> Gate {
    let check = &group.health_check;
    Gate {
        health_check_interval_seconds: check.interval_s,
        health_check_timeout_seconds: check.timeout_s,
        healthy_threshold: check.healthy_threshold.into(),
        unhealthy_threshold: check.unhealthy_threshold.into(),
        deregistration_delay_seconds: group.deregistration_delay_s,
    }
}

/// Production with the program as it was measured here; `None` when nothing of it was seen.
fn outlook(production: &Production, seen: &Seen) -> Option<Outlook> {
    // One that ends before it answers takes for ever.
    let boot_ms = findings::slowest_boot_ms(seen).or_else(|| findings::crash_ms(seen))?;
    let starts = seen.side(Side::New).filter_map(|life| Some(life.started_at?.saturating_sub(life.created_at)));
    let check = &production.health_check;
    Some(Outlook {
        desired_count: production.desired_count,
        minimum_healthy_percent: production.minimum_healthy_percent,
        maximum_percent: production.maximum_percent,
        grace_seconds: production.grace_period_s,
        health_check_interval_seconds: check.interval_s,
        health_check_timeout_seconds: check.timeout_s,
        healthy_threshold: check.healthy_threshold.into(),
        unhealthy_threshold: check.unhealthy_threshold.into(),
        deregistration_delay_seconds: production.deregistration_delay_s,
        further_groups: production.further_groups.iter().map(gate).collect(),
        start_ms: starts.max().unwrap_or_default(),
        boot_ms,
        stop_ms: findings::slowest_stop_ms(seen).unwrap_or_default(),
        crash_ms: findings::crash_ms(seen),
    })
}
