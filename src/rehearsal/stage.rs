//! Where a rehearsal takes place: a sandbox of its own in a folder of its own, taken away at the end, and
//! the inputs of `deploy` as they are there.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    RehearsalError,
    findings::Rehearsed,
    production::{Further, Production},
};
use crate::{
    config::spec::{
        Confirm, DoneWhen, Environment, FurtherGroup, MissingRepository, OnInterrupt, Percentages, Place,
        SandboxService, Shape, Spec, TaskDefinitionSource,
    },
    docker::{Engine, images},
    failure::Failure,
    id::Key,
    sandbox::{Handle, Port, Sandbox, Settings, Tasks, Timeouts, daemon, scenario::Scenario},
};

/// The folder of all rehearsals, beside the sandbox's own state.
pub const FOLDER: &str = "rehearsals";

/// Old tasks get no longer than this to finish their requests when time runs faster than on AWS: waiting out a delay of
/// five minutes shows nothing that a minute does not.
const LONGEST_DRAIN: u64 = 60;

/// A new task gets at least so long to come up, whatever production would allow: how long it takes is what is to be
/// seen, and the verdict on production's setting is worked out from that.
const LEAST_TOLERANCE: u64 = 30;

/// ELB's and ECS's own limits.
const MOST_DELAY: u64 = 3600;

/// A sandbox in a folder that is gone when it is closed.
pub struct Stage {
    folder: PathBuf,
    handle: Handle,
}

impl Stage {
    /// Opens one below `root`.
    pub async fn open(root: &Path, engine: &Engine, speed: f64, scenario: Scenario) -> Result<Self, Failure> {
        let folder = root.join(FOLDER).join(name());
        let failed = |source: io::Error| RehearsalError::Folder { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let settings = Settings {
            port: Port::Any,
            speed,
            tasks: Tasks::Containers(engine.docker().clone()),
            timeouts: Timeouts::Real,
            scenario,
            ..Settings::new(folder.clone())
        };
        match Sandbox::start(settings).await {
            Ok(handle) => Ok(Self { folder, handle }),
            Err(error) => {
                // Nothing else is in it.
                let _gone = fs::remove_dir_all(&folder);
                Err(daemon::DaemonError::from(error).into())
            }
        }
    }

    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A file for the plan to read, gone with the stage.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, RehearsalError> {
        let path = self.folder.join(name);
        fs::write(&path, content).map_err(|source| RehearsalError::Folder { path: path.clone(), source })?;
        Ok(path)
    }

    /// Ends it and takes everything away: containers, the images that were made for it, its folder.
    pub async fn close(self, engine: &Engine) {
        let Self { folder, handle } = self;
        let registry = handle.authority().to_owned();
        handle.stop().await;
        // An engine that is gone now has its images swept by the next one.
        let _gone = images::forget_registry(engine, &registry).await;
        // What cannot be removed now is tried again by the next rehearsal.
        let _gone = fs::remove_dir_all(&folder);
    }
}

fn name() -> String {
    let mut bytes = [0_u8; 6];
    // Two rehearsals of one process do not happen; without randomness its number tells it from others.
    match getrandom::fill(&mut bytes) {
        Ok(()) => hex::encode(bytes),
        Err(_) => std::process::id().to_string(),
    }
}

/// Takes away what rehearsals left that were killed; gives back how many there were.
pub async fn sweep(root: &Path, engine: &Engine) -> usize {
    let Ok(entries) = fs::read_dir(root.join(FOLDER)) else { return 0 };
    let mut swept = 0;
    for folder in entries.flatten().map(|entry| entry.path()) {
        let registry = daemon::registry(&folder);
        // Refused where one runs: it takes its own things away.
        if daemon::sweep(&folder, engine.docker()).await.is_err() {
            continue;
        }
        if let Some(registry) = registry {
            let _gone = images::forget_registry(engine, &registry).await;
        }
        swept += usize::from(fs::remove_dir_all(&folder).is_ok());
    }
    swept
}

/// How the sandbox sets the service up so that the program meets what it would meet in production, while ECS's own
/// waits run faster: time that the program itself spends is real, and so are the limits on it.
#[must_use]
pub fn settings(file: &SandboxService, production: &Production, speed: f64) -> (SandboxService, u64) {
    let check = &production.health_check;
    let (delay, drain) = drain(production.deregistration_delay_s, speed);
    let settings = SandboxService {
        desired_count: production.desired_count.max(1),
        container_port: production.container_port,
        listener_port: None,
        health_check_path: check.path.clone(),
        health_check_interval: Duration::from_secs(check.interval_s.clamp(5, 300)),
        deregistration_delay: delay,
        stop_timeout: Duration::from_secs(production.stop_timeout_s),
        cpu: file.cpu.clone(),
        memory: file.memory.clone(),
        environment: file.environment.clone(),
        shape: Shape {
            grace_period: Some(stretched(production.tolerance_s().max(LEAST_TOLERANCE), speed)),
            health_check_timeout: Some(Duration::from_secs(check.timeout_s)),
            healthy_threshold: check.healthy_threshold,
            unhealthy_threshold: check.unhealthy_threshold,
            matcher: check.matcher.clone(),
            further_groups: production.further_groups.iter().map(|group| further(group, speed)).collect(),
        },
    };
    (settings, drain)
}

/// A further target group, whose time is bent as that of the first is.
fn further(group: &Further, speed: f64) -> FurtherGroup {
    let Further { target_group, container, container_port, health_check: check, deregistration_delay_s } = group;
    FurtherGroup {
        name: target_group.clone(),
        container: container.clone(),
        container_port: *container_port,
        health_check_path: check.path.clone(),
        health_check_interval: Duration::from_secs(check.interval_s.clamp(5, 300)),
        health_check_timeout: Duration::from_secs(check.timeout_s),
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
        matcher: check.matcher.clone(),
        deregistration_delay: drain(*deregistration_delay_s, speed).0,
    }
}

/// A deregistration delay here, and how many real seconds it lasts.
#[must_use]
pub fn drain(seconds: u64, speed: f64) -> (Duration, u64) {
    let seconds = if speed > 1.0 { seconds.min(LONGEST_DRAIN) } else { seconds };
    let delay = stretched(seconds, speed);
    let most = Duration::from_secs(MOST_DELAY);
    // ELB takes no longer one, however fast its clock runs.
    if delay > most { (most, most.div_f64(speed.max(1.0)).as_secs()) } else { (delay, seconds) }
}

/// So much of AWS's time that it lasts for real seconds here.
fn stretched(seconds: u64, speed: f64) -> Duration {
    let exactly = Duration::from_secs(seconds).mul_f64(speed);
    Duration::from_secs(exactly.as_secs() + u64::from(exactly.subsec_nanos() > 0))
}

/// The spec of one service for the stage.
#[must_use]
pub fn spec(
    spec: &Spec,
    key: &Key,
    production: &Production,
    settings: SandboxService,
    definition: TaskDefinitionSource,
) -> Spec {
    let mut service = spec.services[key].clone();
    service.sandbox = settings;
    service.task_definition = definition;
    // Of several containers in the definition it is the one that is behind the balancer.
    service.container = service.container.or_else(|| production.container.clone());
    service.rollout.percentages = Percentages {
        minimum_healthy: Some(production.minimum_healthy_percent),
        maximum: Some(production.maximum_percent),
    };
    // The end is what is to be seen, whatever a deploy waits for.
    service.rollout.done_when = DoneWhen::Drained;
    service.rollout.on_interrupt = OnInterrupt::Leave;
    let mut image = spec.images[&service.image].clone();
    image.missing_repository = MissingRepository::Create;
    // What is only rehearsed changes nothing that real builds take from.
    image.cache_to.clear();
    Spec {
        root: spec.root.clone(),
        environment: Environment {
            name: spec.environment.name.clone(),
            place: Place::Sandbox,
            region: None,
            profile: None,
            role_arn: None,
            account: None,
            confirm: Confirm::Never,
        },
        images: BTreeMap::from([(service.image.clone(), image)]),
        services: BTreeMap::from([(key.clone(), service)]),
        release: spec.release,
        promotion: None,
    }
}

/// What the findings need to know of it.
#[must_use]
pub const fn rehearsed(speed: f64, rate: u32, drain_s: u64) -> Rehearsed {
    Rehearsed { speed, rate, drain_s }
}
