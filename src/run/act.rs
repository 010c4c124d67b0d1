//! One settled step becomes one call on a hand. No decisions: what to do was decided by the plan, and
//! with which values by `plan::settle`.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use super::{
    cancel::Cancel,
    check::{self, Judged},
    error::{RunError, WayBack},
    guests::{Guest, Guests, Otherwise},
    login::{Caller, Logins, registries_in},
    release::Member,
    task::{self, Followed, Stopped},
    watch::{self, Finished, Watched},
};
use crate::{
    aws::{
        self, Aws, Endpoint,
        copy::{self, Copied},
        ecr, ecs, elb, tasks,
    },
    credentials::{Had, How, Login, Want},
    docker::{
        self, BuildInputs, BuildVariables, DockerError, Engine, Lent, RegistryAuth, RegistryCredentials,
        error::PushCause,
    },
    event::{Live, Progress},
    exit::Exit,
    id::{Key, TaskDefArn},
    image::{Digest, EcrHost, Reference},
    plan::{
        settle::{NewDeployment, Ready},
        step::{BuildAction, CopyAction, Going, OneOff, Produced, Started, Toward},
    },
    rollout::{
        goal::{Goal, Pace},
        machine::Verdict,
    },
};

/// What acts on the world.
pub struct Hands {
    pub aws: Aws,
    /// `None` in a run that builds and pushes nothing: a rollback needs no engine.
    pub engine: Option<Engine>,
    /// For private base images outside of ECR.
    pub registry_auth: RegistryAuth,
    /// What of the environment builds may be given.
    pub build_variables: BuildVariables,
    pub logins: Logins,
    /// Who logs in to the registries of other accounts.
    pub guests: Guests,
    /// The environment that images are promoted from; `None` in a run that copies nothing.
    pub source: Option<Aws>,
    /// The ECR registry of this run, as in an image reference.
    pub registry: String,
    /// How often a rollout is looked at.
    pub pace: Pace,
}

impl Hands {
    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("a plan that builds or pushes is walked with an engine")
    }
}

/// What a step gave, and the note that goes with it.
pub(crate) struct Acted {
    pub(crate) produced: Produced,
    pub(crate) note: String,
    /// How a watch ended.
    pub(crate) finished: Option<Finished>,
}

impl Acted {
    pub(crate) fn new(produced: Produced, note: impl Into<String>) -> Self {
        Self { produced, note: note.into(), finished: None }
    }
}

/// What a step hears while it is done.
pub(crate) struct Around<'a> {
    pub(crate) clock: fn() -> u64,
    pub(crate) cancel: &'a Cancel,
    /// Which of the rollouts of this run it is, if it is one.
    pub(crate) member: Member<'a>,
}

/// Does it. Building, pushing and watching stop when cancelling is asked for; a call that changes
/// something is let finish, so that what is live stays known.
pub(crate) async fn act(
    ready: Ready,
    hands: &Hands,
    progress: mpsc::Sender<Progress>,
    around: Around<'_>,
) -> Result<Acted, RunError> {
    let Around { clock, cancel, member } = around;
    let aws = &hands.aws.telling(progress.clone());
    let acted = match ready {
        Ready::CreateCluster { cluster } => Acted::new(Produced::Arn(ecs::create_cluster(aws, &cluster).await?), ""),
        Ready::CreateRepository { repository } => {
            let uri = ecr::create_repository(aws, &repository).await?;
            Acted::new(Produced::Nothing, uri)
        }
        Ready::CreateTargetGroup { service: _, name, settings } => {
            Acted::new(Produced::Arn(elb::create_target_group(aws, &name, &settings).await?), "")
        }
        Ready::CreateLoadBalancer { service: _, name } => {
            Acted::new(Produced::Arn(elb::create_load_balancer(aws, &name).await?), "")
        }
        Ready::CreateListener { service: _, load_balancer, target_group, port } => {
            let listener = elb::create_listener(aws, &load_balancer, &target_group, port).await?;
            // The address is worth a note; that it cannot be read is no failure of the step.
            let urls = elb::listener_urls(aws, &load_balancer).await.unwrap_or_default();
            Acted::new(Produced::Arn(listener), urls.join(", "))
        }
        Ready::Login { registry } => until_cancelled(cancel, log_in(&registry, hands, aws, clock)).await?,
        Ready::Build(build) => {
            Box::pin(until_cancelled(cancel, build_image(&build, hands, aws, &progress, clock))).await?
        }
        Ready::CheckStage { stage, build, timeout_ms } => {
            let building = Box::pin(until_cancelled(cancel, build_image(&build, hands, aws, &progress, clock)));
            check::stage(&build.image, &stage, timeout_ms, building).await?
        }
        Ready::CheckRun { image, built, run, timeout_ms } => {
            let judged = Judged { image: &image, built: &built, run: &run, timeout_ms };
            check::command(hands.engine(), judged, &progress, cancel).await?
        }
        Ready::PushTag { image: _, reference, login: _ } => {
            let digest = until_cancelled(cancel, push_image(&reference, hands, aws, &progress, clock)).await?;
            Acted::new(Produced::Nothing, digest.to_string())
        }
        Ready::Push { image: _, reference, login: _ } => {
            let digest = until_cancelled(cancel, push_image(&reference, hands, aws, &progress, clock)).await?;
            let note = digest.to_string();
            Acted::new(Produced::Digest(digest), note)
        }
        Ready::Copy(copy) => until_cancelled(cancel, copy_image(&copy, hands, aws, &progress)).await?,
        Ready::Register { service: _, json } => {
            let arn = ecs::register(aws, &json).await?;
            let note = arn.to_string();
            Acted::new(Produced::TaskDefinition(arn), note)
        }
        Ready::CreateService { service: _, cluster, name, task_definition, target_groups, settings, percentages } => {
            let new = ecs::NewService {
                cluster: &cluster,
                name: &name,
                task_definition: &task_definition,
                target_groups: &target_groups,
                settings: &settings,
                percentages,
            };
            created(ecs::create_service(aws, new).await?, &task_definition)
        }
        Ready::Update { service: _, cluster, name, task_definition, deployment, percentages, previous } => {
            let force = match deployment {
                NewDeployment::ByRevision => ecs::Force::No,
                NewDeployment::Forced => ecs::Force::Yes,
            };
            let started = ecs::update_service(aws, &cluster, &name, &task_definition, force, percentages).await?;
            // What ran at planning time is what a person means by "before"; the answer may already
            // list a deployment that replaced it in between.
            let started = Started { previous: Some(previous), ..started };
            let note = format!("deployment {}", started.deployment_id);
            Acted::new(Produced::Deployment(started), note)
        }
        Ready::Configure { service: _, cluster, name, percentages, gives } => {
            ecs::configure_service(aws, &cluster, &name, percentages).await?;
            Acted::new(gives, percentages.to_string())
        }
        Ready::Before { service, task_definition, one_off, timeout_ms } => {
            before(&service, &task_definition, &one_off, timeout_ms, aws, hands.pace, &progress, clock, cancel).await?
        }
        Ready::StopDeployment { service: _, going } => stop_deployment(aws, going).await?,
        Ready::Watch { service, cluster, name, started, terms, toward } => {
            let task_definition = started.task_definition.clone();
            let previous = started.previous.clone();
            let goal = Goal { service: service.clone(), started, terms, pace: hands.pace };
            let watched = Watched { cluster: &cluster, name: &name, goal };
            let ended = watch::watch(aws, watched, &progress, clock, cancel, member).await;
            let (finished, note) = ended_toward(toward, &service, &task_definition, previous.as_ref(), ended)?;
            Acted { finished: Some(finished), ..Acted::new(Produced::Nothing, note) }
        }
    };
    Ok(acted)
}

async fn log_in(registry: &str, hands: &Hands, aws: &Aws, clock: fn() -> u64) -> Result<Acted, RunError> {
    let had = token(hands, aws, registry, clock).await?;
    let left = had.entry.about.expires_ms.saturating_sub(clock()) / 3_600_000;
    let how = match had.how {
        How::Found if had.kept.is_some() => ", and was kept from before".to_owned(),
        How::Found | How::Fetched => String::new(),
        How::Kept(error) => format!("; a new one could not be had: {error}"),
    };
    Ok(Acted::new(Produced::Nothing, format!("token for {registry} is valid for {left}h{how}")))
}

fn created(started: Started, task_definition: &TaskDefArn) -> Acted {
    let tasks = if started.desired == 1 { "task" } else { "tasks" };
    let note = format!("{} {tasks} of {task_definition} wanted", started.desired);
    Acted::new(Produced::Deployment(started), note)
}

async fn stop_deployment(aws: &Aws, going: Going) -> Result<Acted, RunError> {
    ecs::stop_deployment(aws, &going.service_deployment).await?;
    let note = format!("ECS takes {} back", going.started.task_definition);
    Ok(Acted::new(Produced::Deployment(going.started), note))
}

/// Runs the task and follows it; anything but a good end ends the run.
#[expect(clippy::too_many_arguments, reason = "what a step is told, and what it is done with")]
async fn before(
    service: &Key,
    task_definition: &TaskDefArn,
    one_off: &OneOff,
    timeout_ms: u64,
    aws: &Aws,
    pace: Pace,
    progress: &mpsc::Sender<Progress>,
    clock: fn() -> u64,
    cancel: &Cancel,
) -> Result<Acted, RunError> {
    let task = tasks::run(aws, task_definition, one_off).await?;
    let followed = Followed {
        cluster: &one_off.cluster,
        task: &task,
        revision: task_definition,
        container: &one_off.container,
        timeout_ms: Some(timeout_ms),
        pace_ms: pace.service_ms,
    };
    let ended = task::follow(aws, followed, progress, clock, cancel).await?;
    match ended.stopped {
        _ if ended.is_good() => {
            Ok(Acted::new(Produced::Nothing, format!("task {} ended with 0", task.get(..8).unwrap_or(&task))))
        }
        Stopped::OnRequest => Err(RunError::Cancelled),
        Stopped::No | Stopped::TimedOut | Stopped::CommandEnded => {
            Err(RunError::Task { service: service.clone(), ended })
        }
    }
}

/// How a watch ended, and what to say of it, by what was wanted.
fn ended_toward(
    toward: Toward,
    service: &Key,
    new: &TaskDefArn,
    before: Option<&TaskDefArn>,
    ended: Result<Finished, RunError>,
) -> Result<(Finished, String), RunError> {
    match toward {
        Toward::New => {
            let finished = ended?;
            let note = format!("{new} is live, {}", finished.replaced());
            Ok((finished, note))
        }
        Toward::Before => {
            let serves = |before: &TaskDefArn| format!("{before} serves again");
            Ok((taken_back(service, before, ended)?, before.map_or_else(|| format!("{new} was taken back"), serves)))
        }
    }
}

/// The end of a rollout that ECS was asked to take back: that it did is what was wanted.
fn taken_back(
    service: &Key,
    before: Option<&TaskDefArn>,
    ended: Result<Finished, RunError>,
) -> Result<Finished, RunError> {
    match ended {
        Err(RunError::Rollout { verdict: verdict @ Verdict::RolledBack { .. }, .. }) => {
            Ok(Finished { verdict, board: None })
        }
        Ok(Finished { .. }) => {
            let verdict = Verdict::Failed { why: "it had completed before ECS could take it back".to_owned() };
            let (service, live, exit) = (service.clone(), Live::New, Exit::RolloutUnknown);
            Err(RunError::Rollout { service, verdict, live, exit, failed: Vec::new(), way_back: WayBack::to(before) })
        }
        Err(error) => Err(error),
    }
}

/// Drops the work when cancelling is asked for: the engine ends a build or a push whose connection is gone.
async fn until_cancelled<T>(cancel: &Cancel, work: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
    tokio::select! {
        done = work => done,
        () = cancel.once() => Err(RunError::Cancelled),
    }
}

async fn token(hands: &Hands, aws: &Aws, registry: &str, clock: fn() -> u64) -> Result<Had<RunError>, RunError> {
    hands.logins.get(registry, Want::Fresh, Caller::Leave, clock, async || Ok(aws.clone())).await
}

/// The token for a registry that a build takes an image from; `None` where the build may try without.
async fn token_to_pull(
    hands: &Hands,
    aws: &Aws,
    registry: &str,
    clock: fn() -> u64,
) -> Result<Option<Had<RunError>>, RunError> {
    let own = async || match hands.aws.endpoint() {
        // The sandbox gives tokens for itself alone.
        Endpoint::At { .. } if registry != hands.registry => Ok(None),
        Endpoint::At { .. } | Endpoint::Aws => token(hands, aws, registry, clock).await.map(Some),
    };
    let Some(Guest { identity, logins, otherwise }) = guest(hands, registry) else { return own().await };
    let connect = async || Ok(aws::connect(&Endpoint::Aws, &identity).await?);
    let had: Result<_, RunError> = logins.get(registry, Want::Fresh, Caller::Leave, clock, connect).await;
    match (had, otherwise) {
        (Ok(had), _) => Ok(Some(had)),
        (Err(error), Otherwise::Fail) => Err(error),
        (Err(_), Otherwise::Own) => own().await,
        (Err(_), Otherwise::Without) => Ok(None),
    }
}

/// Who logs in to a registry, if that is somebody else than who does everything else. In the account of the environment it
/// is not.
fn guest(hands: &Hands, registry: &str) -> Option<Guest> {
    let account = |host: &str| host.parse::<EcrHost>().ok().map(|host| host.account);
    let other = registry != hands.registry && account(registry) != account(&hands.registry);
    hands.guests.of(registry).filter(|_| other)
}

async fn build_image(
    build: &BuildAction,
    hands: &Hands,
    aws: &Aws,
    progress: &mpsc::Sender<Progress>,
    clock: fn() -> u64,
) -> Result<Acted, RunError> {
    let mut auth = hands.registry_auth.clone();
    for registry in base_registries(build, hands).await {
        match token_to_pull(hands, aws, &registry, clock).await {
            Ok(Some(had)) => auth = auth.with(credentials(&registry, &had.entry.login)),
            Ok(None) => {}
            // The user has logged in there in another way.
            Err(_) if auth.of(&registry).is_some() => {}
            Err(error) => return Err(error),
        }
    }
    for registry in cache_registries(build, hands) {
        // A cache that cannot be had is no reason to fail: the build goes on without it.
        if auth.of(&registry).is_none()
            && let Ok(Some(had)) = token_to_pull(hands, aws, &registry, clock).await
        {
            auth = auth.with(credentials(&registry, &had.entry.login));
        }
    }
    let inputs = BuildInputs::read(&build.secrets, &build.ssh, &hands.build_variables)?;
    let BuildVariables { docker_config, scratch, .. } = &hands.build_variables;
    let lent = Lent { registries: auth, inputs, docker_config: docker_config.clone(), scratch: scratch.clone() };
    let image = docker::build(hands.engine(), build, &lent, progress).await?;
    let (produced, what) = match image.image_id {
        Some(id) => {
            let what = format!("image {}", id.short());
            (Produced::Image(id), what)
        }
        None => (Produced::Nothing, "nothing but its cache".to_owned()),
    };
    Ok(Acted::new(produced, format!("{what} by {}", image.builder)))
}

/// The ECR registries that the Dockerfile or its arguments name. Only then is a token worth waiting for
/// before the build; a Dockerfile that cannot be read is the build's to complain about.
async fn base_registries(build: &BuildAction, hands: &Hands) -> Vec<String> {
    let mut text = tokio::fs::read_to_string(&build.dockerfile).await.unwrap_or_default();
    for value in build.args.values() {
        text.push('\n');
        text.push_str(value);
    }
    let mut all = registries_in(&text);
    if matches!(hands.aws.endpoint(), Endpoint::At { .. }) && text.contains(&hands.registry) {
        all.push(hands.registry.clone());
    }
    all
}

/// The ECR registries that the build takes its cache from, and leaves it in.
fn cache_registries(build: &BuildAction, hands: &Hands) -> BTreeSet<String> {
    let is_ours = |registry: &String| match hands.aws.endpoint() {
        Endpoint::Aws => !registries_in(registry).is_empty(),
        Endpoint::At { .. } => *registry == hands.registry || !registries_in(registry).is_empty(),
    };
    build
        .cache_from
        .iter()
        .chain(build.cache_images())
        .map(|image| image.name.registry.clone())
        .filter(is_ours)
        .collect()
}

async fn push_image(
    reference: &Reference,
    hands: &Hands,
    aws: &Aws,
    progress: &mpsc::Sender<Progress>,
    clock: fn() -> u64,
) -> Result<Digest, RunError> {
    let registry = &reference.name.registry;
    let first = token(hands, aws, registry, clock).await?.entry.login;
    match docker::push(hands.engine(), reference, &credentials(registry, &first), progress).await {
        // A token can expire under a long push. Layers that are up already are found there again. ECR says so with the status
        // of a denial, and some engines pass on nothing else of what it says.
        Err(DockerError::Push(failure))
            if matches!(failure.cause, PushCause::TokenExpired | PushCause::Denied { action: None }) =>
        {
            hands.logins.forget(registry).await;
            let fresh = token(hands, aws, registry, clock).await?.entry.login;
            Ok(docker::push(hands.engine(), reference, &credentials(registry, &fresh), progress).await?)
        }
        pushed => Ok(pushed?),
    }
}

async fn copy_image(
    action: &CopyAction,
    hands: &Hands,
    aws: &Aws,
    progress: &mpsc::Sender<Progress>,
) -> Result<Acted, RunError> {
    let CopyAction { image: _, from, digest, to, tag } = action;
    let source = hands.source.as_ref().expect("a plan that copies is walked with both ends");
    let source = source.telling(progress.clone());
    let Copied { layers, bytes, attached } =
        copy::copy(&source, aws, copy::Wanted { from, digest, to, tag }, progress).await?;
    let attached = match attached {
        0 => String::new(),
        1 => ", with one artifact that is attached to it".to_owned(),
        count => format!(", with {count} artifacts that are attached to it"),
    };
    let sent = match layers {
        0 => "all layers were there".to_owned(),
        1 => format!("1 layer, {bytes} bytes"),
        _ => format!("{layers} layers, {bytes} bytes"),
    };
    Ok(Acted::new(Produced::Digest(digest.clone()), format!("{digest} as {tag}, {sent}{attached}")))
}

fn credentials(registry: &str, login: &Login) -> RegistryCredentials {
    RegistryCredentials {
        username: login.username.clone(),
        password: login.password.clone(),
        server: registry.to_owned(),
    }
}
