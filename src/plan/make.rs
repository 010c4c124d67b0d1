//! From what is wanted and what is there to a plan, or to every reason why there is none.
//!
//! One plan covers all selected services. Everything is built and pushed before anything is registered,
//! and everything is registered before a service is updated: what can fail early fails while nothing
//! that runs has changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    diff::{self, Change, Difference, ORIGIN_SANDBOX, TAG_IMAGE, TAG_ORIGIN, TAG_SERVICE, TAG_TARGET},
    drift,
    observed::{
        ClusterObserved, DeploymentObserved, Mutability, Observed, RepositoryObserved, ServiceActive, ServiceObserved,
    },
    overlay, preflight,
    refusal::{Refusal, is_deadlock},
    step::{
        Action, BuildAction, DoneWhen, ImagePatch, Later, LiveDefinition, OnFailure, OnInterrupt, OneOff, Percentages,
        Plan, RegisterAction, Release, RolloutObserved, Running, Step, Terms, Toward, WatchBudget,
    },
};
use crate::{
    config::spec::{
        self, CacheFrom, Image, MissingRepository, Overlays, Place, SandboxService, Service, Spec, TaskDefinitionSource,
    },
    id::{Cluster, Key, StepId},
    image::{Digest, ImageName, Reference},
};

/// The `stopTimeout` of a container that names none: 30 s on Fargate and in the EC2 agent alike.
const STOP_TIMEOUT_S: u64 = 30;

/// What the scheduler itself takes between the moves of a drain. It moves about every 10 s; from the
/// end of a deregistration delay to `deployment completed` recordings show up to three such ticks, and
/// as many again are allowed for a slow day.
const SCHEDULER_TICKS_S: u64 = 60;

/// Plans a deploy.
///
/// # Errors
///
/// Every reason not to start, not only the first. With credentials of the wrong account that is the
/// only one told, because all else was read from the wrong place.
pub fn plan(spec: &Spec, observed: &Observed) -> Result<Plan, Vec<Refusal>> {
    if let (Place::Aws, Some(expected)) = (&spec.environment.place, &spec.environment.account)
        && *expected != observed.account
    {
        return Err(vec![Refusal::WrongAccount { expected: expected.clone(), actual: observed.account.clone() }]);
    }
    let mut refusals = Vec::new();
    refuse_missing_clusters(spec, observed, &mut refusals);
    refuse_same_service(spec, &mut refusals);
    let services: Vec<_> = spec
        .services
        .iter()
        .filter_map(|(key, service)| resolve(spec, observed, key, service, &mut refusals))
        .collect();
    let images: Vec<_> = spec
        .images
        .iter()
        .filter_map(|(key, image)| resolve_image(spec, observed, key, image, &services, &mut refusals))
        .collect();
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut steps = Steps::default();
    let clusters = steps.clusters(&services, observed);
    let digests = steps.images(&images, observed);
    let registered: Vec<_> = services.iter().map(|service| steps.register(service, &digests)).collect();
    let before: Vec<_> = services
        .iter()
        .zip(&registered)
        .map(|(service, register)| steps.before(service, *register, &clusters))
        .collect();
    let started: Vec<_> = services
        .iter()
        .zip(registered.iter().zip(&before))
        .map(|(service, (register, own))| {
            // Of a release that is all or nothing, nothing is rolled out before all of it could be registered, and
            // all that is to run before has run.
            let needs: Vec<StepId> = match spec.release {
                Release::Independent => [*register].into_iter().chain(*own).collect(),
                Release::AllOrNothing => registered.iter().chain(before.iter().flatten()).copied().collect(),
            };
            steps.roll_out(service, *register, &needs, &clusters)
        })
        .collect();
    for (service, started) in services.iter().zip(started) {
        steps.watch(service, started, spec);
    }
    Ok(Plan { steps: steps.steps, release: spec.release })
}

/// A service with everything that could be said without changing anything.
struct Resolved<'a> {
    key: &'a Key,
    spec: &'a Service,
    image: &'a Image,
    name: ImageName,
    /// What will be registered, but for the image.
    base: Value,
    tags: Vec<(String, String)>,
    /// The container that gets the image.
    container: String,
    /// `None`: the sandbox creates it.
    live: Option<&'a ServiceActive>,
}

/// An image that is either made or known.
struct Wanted<'a> {
    key: &'a Key,
    image: &'a Image,
    name: ImageName,
    services: Vec<&'a Key>,
    source: Source,
    platform: Option<String>,
}

/// Where the digest of an image comes from.
enum Source {
    Build {
        repository: RepositoryStep,
    },
    /// The tag cannot be written again and a service runs what it points at.
    Pushed(Digest),
}

#[derive(Clone, Copy)]
enum RepositoryStep {
    Create,
    Keep,
}

fn refuse_missing_clusters(spec: &Spec, observed: &Observed, refusals: &mut Vec<Refusal>) {
    if spec.environment.place == Place::Sandbox {
        return;
    }
    let clusters: BTreeSet<_> = spec.services.values().map(|service| &service.cluster).collect();
    for cluster in clusters {
        if is_missing(observed, cluster) {
            refusals.push(Refusal::ClusterMissing { cluster: cluster.clone(), region: observed.region.clone() });
        }
    }
}

fn is_missing(observed: &Observed, cluster: &Cluster) -> bool {
    match observed.clusters.get(cluster) {
        Some(ClusterObserved::Active) => false,
        Some(ClusterObserved::Missing) | None => true,
    }
}

/// Two updates of one service in one run: the second would supersede the first.
fn refuse_same_service(spec: &Spec, refusals: &mut Vec<Refusal>) {
    let mut by_service: BTreeMap<_, Vec<Key>> = BTreeMap::new();
    for (key, service) in &spec.services {
        by_service.entry((&service.cluster, &service.service)).or_default().push(key.clone());
    }
    for ((cluster, name), services) in by_service {
        if services.len() > 1 {
            refusals.push(Refusal::SameService { services, name: name.clone(), cluster: cluster.clone() });
        }
    }
}

fn resolve<'a>(
    spec: &'a Spec,
    observed: &'a Observed,
    key: &'a Key,
    service: &'a Service,
    refusals: &mut Vec<Refusal>,
) -> Option<Resolved<'a>> {
    let place = &spec.environment.place;
    let image = spec.images.get(&service.image).expect("a Spec holds every image its services use");
    let live = live_service(place, observed, key, service, refusals)?;
    let before = refusals.len();
    if let Some(live) = live {
        refuse_live(observed, key, service, image, live, refusals);
    }
    let (mut base, tags) = base_definition(place, observed, key, service, image, live, refusals)?;
    let container = container_for(key, service, &base, refusals);
    if let Some(container) = &container {
        overlay::lay(&mut base, container, &service.overlays, observed);
        if is_to_make_up(place, service, live) {
            // What is said for the sandbox goes before what is said for all places, also in the place of a secret
            // that the sandbox does not have.
            let of_sandbox = Overlays { environment: service.sandbox.environment.clone(), ..Overlays::default() };
            overlay::lay(&mut base, container, &of_sandbox, observed);
        }
    }
    preflight::refuse(place, key, service, live, &base, refusals);
    if refusals.len() > before {
        return None;
    }
    let name = ImageName { registry: observed.registry.clone(), repository: image.repository.clone() };
    Some(Resolved { key, spec: service, image, name, base, tags, container: container?, live })
}

/// `Some(None)` where the sandbox is to create it.
#[expect(clippy::option_option, reason = "refused, to be created, or there: three answers, used in one place")]
fn live_service<'a>(
    place: &Place,
    observed: &'a Observed,
    key: &Key,
    service: &Service,
    refusals: &mut Vec<Refusal>,
) -> Option<Option<&'a ServiceActive>> {
    let gone = |status: &str| Refusal::ServiceGone {
        service: key.clone(),
        name: service.service.clone(),
        cluster: service.cluster.clone(),
        status: status.to_owned(),
    };
    match (place, observed.services.get(key)) {
        (_, Some(ServiceObserved::Active(live))) => Some(Some(live)),
        // ECS creates a service again over an INACTIVE one, and refuses to over one that still drains.
        (Place::Sandbox, Some(ServiceObserved::Inactive { status })) if status == "INACTIVE" => Some(None),
        (_, Some(ServiceObserved::Inactive { status })) => {
            refusals.push(gone(status));
            None
        }
        (Place::Sandbox, Some(ServiceObserved::Missing) | None) => Some(None),
        (Place::Aws, Some(ServiceObserved::Missing) | None) => {
            // Without its cluster the service cannot be there; that was said already.
            if !is_missing(observed, &service.cluster) {
                refusals.push(Refusal::ServiceMissing {
                    service: key.clone(),
                    name: service.service.clone(),
                    cluster: service.cluster.clone(),
                    region: observed.region.clone(),
                });
            }
            None
        }
    }
}

fn refuse_live(
    observed: &Observed,
    key: &Key,
    service: &Service,
    image: &Image,
    live: &ServiceActive,
    refusals: &mut Vec<Refusal>,
) {
    if live.controller != "ECS" {
        refusals.push(Refusal::OtherController {
            service: key.clone(),
            name: service.service.clone(),
            controller: live.controller.clone(),
        });
        // Percentages and deployments mean nothing there.
        return;
    }
    let Percentages { minimum_healthy, maximum } = service.rollout.percentages;
    let minimum_healthy_percent = minimum_healthy.unwrap_or(live.minimum_healthy_percent);
    let maximum_percent = maximum.unwrap_or(live.maximum_percent);
    if is_deadlock(live.desired_count, minimum_healthy_percent, maximum_percent) {
        refusals.push(Refusal::Deadlock {
            service: key.clone(),
            name: service.service.clone(),
            cluster: service.cluster.clone(),
            desired: live.desired_count,
            minimum_healthy_percent,
            maximum_percent,
        });
    }
    if let Some(primary) = primary(live)
        && rollout_of(live) == RolloutObserved::Going
        && !runs_build(observed, service, image, live)
    {
        refusals.push(Refusal::DeploymentGoing {
            service: key.clone(),
            name: service.service.clone(),
            deployment: primary.id.clone(),
            revision: primary.task_definition.clone(),
        });
    }
}

pub(super) fn primary(live: &ServiceActive) -> Option<&DeploymentObserved> {
    live.deployments.iter().find(|deployment| deployment.status == "PRIMARY")
}

/// What the service runs at planning time.
pub(super) fn running(live: &ServiceActive) -> Running {
    let primary = primary(live);
    Running {
        task_definition: primary.map_or(&live.task_definition, |primary| &primary.task_definition).clone(),
        rollout: rollout_of(live),
        deployment: primary.map(|primary| primary.id.clone()),
        previous: live
            .deployments
            .iter()
            .find(|deployment| deployment.status == "ACTIVE")
            .map(|deployment| deployment.task_definition.clone()),
        desired: live.desired_count,
    }
}

/// Where the rollout of what is live stands, by ECS's own word where it gives one.
pub(super) fn rollout_of(live: &ServiceActive) -> RolloutObserved {
    let Some(primary) = primary(live) else { return RolloutObserved::Complete };
    match primary.rollout_state.as_deref() {
        Some("COMPLETED") => RolloutObserved::Complete,
        Some("FAILED") => RolloutObserved::Failed,
        Some("IN_PROGRESS") => RolloutObserved::Going,
        // None is said behind a Classic Load Balancer; then only the counts are left to go by.
        Some(_) | None => {
            let alone = live.deployments.len() == 1;
            if alone && primary.running == primary.desired { RolloutObserved::Complete } else { RolloutObserved::Going }
        }
    }
}

/// Whether what is live was registered for the very build this deploy makes: the second deploy of a
/// commit picks up the rollout of the first.
fn runs_build(observed: &Observed, service: &Service, image: &Image, live: &ServiceActive) -> bool {
    let tagged = live.tags.iter().any(|(key, value)| key == TAG_IMAGE && value == image.tag.as_str());
    let digest = match observed.repositories.get(&service.image) {
        Some(RepositoryObserved::Present { tagged: Some(digest), .. }) => Some(digest),
        Some(RepositoryObserved::Present { tagged: None, .. } | RepositoryObserved::Missing) | None => None,
    };
    tagged || digest.is_some_and(|digest| runs_digest(live, digest))
}

fn runs_digest(live: &ServiceActive, digest: &Digest) -> bool {
    containers(&live.definition)
        .iter()
        .filter_map(|container| container["image"].as_str())
        .any(|image| image.ends_with(digest.as_str()))
}

pub(super) fn containers(definition: &Value) -> &[Value] {
    definition["containerDefinitions"].as_array().map_or(&[], Vec::as_slice)
}

/// What will be registered but for its images, and the tags beside it.
fn base_definition(
    place: &Place,
    observed: &Observed,
    key: &Key,
    service: &Service,
    image: &Image,
    live: Option<&ServiceActive>,
    refusals: &mut Vec<Refusal>,
) -> Option<(Value, Vec<(String, String)>)> {
    let live_tags = || live.map(|live| live.tags.clone()).unwrap_or_default();
    let (base, tags, file) = match (&service.task_definition, live) {
        (TaskDefinitionSource::File(path), _) => {
            let Some(content) = observed.task_definition_files.get(path) else {
                refusals.push(Refusal::FileUnread { service: key.clone(), file: path.clone() });
                return None;
            };
            let (mut base, tags) = from_file(content);
            if let Value::Object(members) = &mut base
                && !members.contains_key("family")
            {
                let family = live.map_or_else(|| family_name(key), |live| live.task_definition.family().to_owned());
                members.insert("family".to_owned(), Value::String(family));
            }
            (base, tags.unwrap_or_else(live_tags), Some(path.clone()))
        }
        // What was made up here is made up again, so that a change of `[sandbox]` arrives; what somebody
        // registered by hand in the sandbox is cloned, as on AWS.
        (TaskDefinitionSource::Live, Some(live)) if *place == Place::Aws || !is_made_up(live) => {
            (live.definition.clone(), live.tags.clone(), None)
        }
        (TaskDefinitionSource::Live, _) => (made_up(observed, key, service, image), live_tags(), None),
    };
    let made_up = is_to_make_up(place, service, live);
    if containers(&base).is_empty() {
        refusals.push(Refusal::NoContainers { service: key.clone(), file });
        return None;
    }
    let target = drift::target(&service.cluster, &service.service);
    let mut ours = vec![(TAG_IMAGE, image.tag.as_str()), (TAG_SERVICE, key.as_str()), (TAG_TARGET, target.as_str())];
    if made_up {
        ours.push((TAG_ORIGIN, ORIGIN_SANDBOX));
    }
    Some((diff::register_input(&base, &[]), diff::tags_with_ours(&tags, &ours)))
}

/// Whether the definition is one that only the sandbox knows.
fn is_to_make_up(place: &Place, service: &Service, live: Option<&ServiceActive>) -> bool {
    *place == Place::Sandbox && service.task_definition == TaskDefinitionSource::Live && live.is_none_or(is_made_up)
}

fn is_made_up(live: &ServiceActive) -> bool {
    live.tags.iter().any(|(key, value)| key == TAG_ORIGIN && value == ORIGIN_SANDBOX)
}

/// A file holds what `register-task-definition` takes, or what `describe-task-definition` printed.
fn from_file(content: &Value) -> (Value, Option<Vec<(String, String)>>) {
    let base = match content.get("taskDefinition") {
        Some(inner @ Value::Object(_)) => inner.clone(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | None => {
            content.clone()
        }
    };
    let tags = content.get("tags").and_then(Value::as_array).map(|tags| {
        let text = |tag: &Value, name: &str| tag.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        tags.iter().map(|tag| (text(tag, "key"), text(tag, "value"))).collect()
    });
    (base, tags)
}

/// The task definition of a service that only the sandbox knows.
fn made_up(observed: &Observed, key: &Key, service: &Service, image: &Image) -> Value {
    let settings = &service.sandbox;
    let container = service.container.as_deref().map_or_else(|| family_name(key), str::to_owned);
    let name = ImageName { registry: observed.registry.clone(), repository: image.repository.clone() };
    let environment: Vec<_> =
        settings.environment.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "family": family_name(key),
        "networkMode": "bridge",
        "requiresCompatibilities": ["EC2"],
        "cpu": settings.cpu,
        "memory": settings.memory,
        "containerDefinitions": [{
            "name": container,
            "image": Reference::tagged(name, image.tag.clone()).to_string(),
            "essential": true,
            "portMappings": [{ "containerPort": settings.container_port, "hostPort": 0, "protocol": "tcp" }],
            "environment": environment,
            // Whole seconds; the agent's minimum is 1.
            "stopTimeout": ceil_seconds(settings).max(1),
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": format!("/ecs/{}", service.service),
                    "awslogs-create-group": "true",
                    "awslogs-region": observed.region,
                    "awslogs-stream-prefix": "ship",
                },
            },
        }],
    })
}

fn ceil_seconds(settings: &SandboxService) -> u64 {
    settings.stop_timeout.as_secs() + u64::from(settings.stop_timeout.subsec_nanos() > 0)
}

/// Letters, digits, `-` and `_`: what a family and a container may be called.
fn family_name(key: &Key) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    key.as_str().chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect()
}

fn container_for(key: &Key, service: &Service, base: &Value, refusals: &mut Vec<Refusal>) -> Option<String> {
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    let all: Vec<_> = containers(base).iter().map(name).collect();
    if let Some(wanted) = &service.container {
        if all.contains(wanted) {
            return Some(wanted.clone());
        }
        refusals.push(Refusal::ContainerNotFound { service: key.clone(), wanted: wanted.clone(), containers: all });
        return None;
    }
    // A container that does not say is essential.
    let is_essential = |container: &&Value| container.get("essential").and_then(Value::as_bool).unwrap_or(true);
    let mut essential: Vec<_> = containers(base).iter().filter(is_essential).map(name).collect();
    if essential.len() == 1 {
        return essential.pop();
    }
    refusals.push(Refusal::ContainerUnclear { service: key.clone(), containers: essential });
    None
}

/// What the tasks of a definition run on, where it says: `linux/arm64`.
fn runtime_platform(base: &Value) -> Option<Platform> {
    let runtime = &base["runtimePlatform"];
    let architecture = runtime["cpuArchitecture"].as_str().map(str::to_ascii_lowercase).map(architecture);
    // `WINDOWS_SERVER_2022_CORE` and its kin differ in versions that an image's platform does not name.
    let system = runtime["operatingSystemFamily"]
        .as_str()
        .map(|family| if family.starts_with("WINDOWS") { "windows" } else { "linux" }.to_owned());
    (architecture.is_some() || system.is_some()).then_some(Platform { system, architecture })
}

/// A platform of which a part may be left open.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Platform {
    system: Option<String>,
    architecture: Option<String>,
}

impl Platform {
    /// `linux/arm64`, `linux/arm64/v8`.
    fn of_image(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let mut parts = text.split('/');
        Self { system: parts.next().map(str::to_owned), architecture: Some(architecture_of(parts.next())) }
    }

    /// What is left open, as `other` has it.
    fn or(&self, other: &Self) -> String {
        let part =
            |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone()).unwrap_or_default();
        format!("{}/{}", part(&self.system, &other.system), part(&self.architecture, &other.architecture))
    }

    fn fits(&self, image: &Self) -> bool {
        let fits = |wanted: &Option<String>, built: &Option<String>| wanted.is_none() || wanted == built;
        fits(&self.system, &image.system) && fits(&self.architecture, &image.architecture)
    }
}

/// What to build an image for: what ship.toml says, else what the task definitions of its services run on, else what
/// the engine is. `None` is the engine's own. Services that want different things cannot have one image.
fn platform_of(
    observed: &Observed,
    key: &Key,
    image: &Image,
    users: &[&Resolved],
    refusals: &mut Vec<Refusal>,
) -> Option<String> {
    let engine = Platform::of_image(&observed.engine.platform);
    let wanted = users.iter().find_map(|user| runtime_platform(&user.base));
    let built = match (&image.platform, &wanted) {
        (Some(written), _) => Platform::of_image(written),
        (None, Some(wanted)) => Platform::of_image(&wanted.or(&engine)),
        (None, None) => engine.clone(),
    };
    for user in users {
        if let Some(wanted) = runtime_platform(&user.base)
            && !wanted.fits(&built)
        {
            refusals.push(Refusal::OtherPlatform {
                image: key.clone(),
                service: user.key.clone(),
                built: built.or(&engine),
                wanted: wanted.or(&built),
            });
        }
    }
    match &image.platform {
        Some(written) => Some(written.clone()),
        None => (built != engine).then(|| built.or(&engine)),
    }
}

fn architecture_of(part: Option<&str>) -> String {
    part.map(str::to_owned).map(architecture).unwrap_or_default()
}

/// ECS says `X86_64` and `ARM64`, the engine may say `aarch64`; images say `amd64` and `arm64`.
fn architecture(word: String) -> String {
    match word.as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        _ => word,
    }
}

fn resolve_image<'a>(
    spec: &Spec,
    observed: &Observed,
    key: &'a Key,
    image: &'a Image,
    services: &[Resolved<'a>],
    refusals: &mut Vec<Refusal>,
) -> Option<Wanted<'a>> {
    let users: Vec<_> = services.iter().filter(|service| service.spec.image == *key).collect();
    let platform = match spec.environment.place {
        Place::Aws => platform_of(observed, key, image, &users, refusals),
        // Tasks of the sandbox run on the engine that builds.
        Place::Sandbox => image.platform.clone(),
    };
    let source = match observed.repositories.get(key) {
        Some(RepositoryObserved::Missing) | None => match (&spec.environment.place, image.missing_repository) {
            (Place::Sandbox, MissingRepository::Refuse | MissingRepository::Create)
            | (Place::Aws, MissingRepository::Create) => Source::Build { repository: RepositoryStep::Create },
            (Place::Aws, MissingRepository::Refuse) => {
                refusals.push(Refusal::RepositoryMissing {
                    image: key.clone(),
                    repository: image.repository.clone(),
                    region: observed.region.clone(),
                });
                return None;
            }
        },
        Some(RepositoryObserved::Present { immutable_tags: Mutability::Immutable, tagged: Some(digest), .. }) => {
            // Pushing the same manifest again would be taken, another one refused after a whole build;
            // which it would be is not known before it. What a service runs under that tag is this build.
            if users.iter().any(|user| user.live.is_some_and(|live| runs_digest(live, digest))) {
                Source::Pushed(digest.clone())
            } else {
                // A service that was refused may be the one that runs it: one cause is enough.
                if refusals.is_empty() {
                    refusals.push(Refusal::TagTaken {
                        image: key.clone(),
                        repository: image.repository.clone(),
                        tag: image.tag.clone(),
                        digest: digest.clone(),
                    });
                }
                return None;
            }
        }
        Some(
            RepositoryObserved::Present { immutable_tags: Mutability::Immutable, tagged: None, .. }
            | RepositoryObserved::Present { immutable_tags: Mutability::Mutable, .. },
        ) => Source::Build { repository: RepositoryStep::Keep },
    };
    let name = ImageName { registry: observed.registry.clone(), repository: image.repository.clone() };
    Some(Wanted { key, image, name, services: users.iter().map(|user| user.key).collect(), source, platform })
}

/// The steps so far; ids are dense because only [`Steps::add`] gives them.
#[derive(Default)]
struct Steps {
    steps: Vec<Step>,
}

impl Steps {
    fn add(&mut self, action: Action, cause: impl Into<String>, needs: &[StepId]) -> StepId {
        let id = StepId(u32::try_from(self.steps.len() + 1).expect("a plan of four thousand million steps"));
        let mut needs = needs.to_vec();
        needs.sort_unstable();
        needs.dedup();
        self.steps.push(Step { id, action, cause: cause.into(), needs });
        id
    }

    /// The clusters the sandbox lacks, with the step that creates each.
    fn clusters(&mut self, services: &[Resolved], observed: &Observed) -> BTreeMap<Cluster, StepId> {
        let wanted: BTreeSet<_> = services.iter().map(|service| &service.spec.cluster).collect();
        wanted
            .into_iter()
            .filter(|cluster| is_missing(observed, cluster))
            .map(|cluster| {
                let action = Action::CreateCluster { cluster: cluster.clone() };
                (cluster.clone(), self.add(action, "the sandbox has none of that name", &[]))
            })
            .collect()
    }

    /// Every image once, however many services run it.
    fn images(&mut self, images: &[Wanted], observed: &Observed) -> BTreeMap<Key, Later<Digest>> {
        let mut repositories = BTreeMap::new();
        for wanted in images {
            if let Source::Build { repository: RepositoryStep::Create } = wanted.source {
                // Two images may share one repository.
                repositories.entry(&wanted.image.repository).or_insert_with(|| {
                    let repository = wanted.image.repository.clone();
                    let cause = format!("{repository} does not exist in {}", observed.region);
                    self.add(Action::CreateRepository { repository }, cause, &[])
                });
            }
        }
        let mut login = None;
        let mut built = Vec::new();
        for wanted in images {
            if let Source::Build { .. } = wanted.source {
                // Before the build: a base image may be in the same registry, and credentials that have
                // run out are better found now than after ten minutes of compiling.
                let login = *login.get_or_insert_with(|| {
                    let registry = observed.registry.clone();
                    self.add(Action::Login { registry }, pushes(images), &[])
                });
                built.push((wanted, login, self.build(wanted, login)));
            }
        }
        let mut digests: BTreeMap<_, _> = images
            .iter()
            .filter_map(|wanted| match &wanted.source {
                Source::Pushed(digest) => Some((wanted.key.clone(), Later::Known(digest.clone()))),
                Source::Build { .. } => None,
            })
            .collect();
        for (wanted, login, build) in built {
            let reference = Reference::tagged(wanted.name.clone(), wanted.image.tag.clone());
            let cause = format!("{}:{} for {}", wanted.image.repository, wanted.image.tag, words(&wanted.services));
            let mut needs = vec![login, build];
            needs.extend(repositories.get(&wanted.image.repository));
            let push = self.add(Action::Push { image: wanted.key.clone(), reference, login }, cause, &needs);
            for tag in &wanted.image.further_tags {
                let reference = Reference::tagged(wanted.name.clone(), tag.clone());
                let cause = format!("the same image as {}:{}", wanted.image.repository, wanted.image.tag);
                self.add(Action::PushTag { image: wanted.key.clone(), reference, login }, cause, &[push]);
            }
            digests.insert(wanted.key.clone(), Later::From(push));
        }
        digests
    }

    fn build(&mut self, wanted: &Wanted, login: StepId) -> StepId {
        // Fully taken apart, so that a new key of an image cannot be forgotten here.
        let Image {
            repository: _,
            missing_repository: _,
            context,
            dockerfile,
            target,
            args,
            secrets: _,
            ssh: _,
            cache_from,
            platform: _,
            tag,
            further_tags,
            builder,
            checks: _,
        } = wanted.image;
        let tags = std::iter::once(tag).chain(further_tags);
        let action = Action::Build(Box::new(BuildAction {
            image: wanted.key.clone(),
            context: context.clone(),
            dockerfile: dockerfile.clone(),
            target: target.clone(),
            args: args.clone(),
            cache_from: cache_from
                .iter()
                .map(|from| match from {
                    CacheFrom::Ecr { repository, tag } => {
                        let name = ImageName { repository: repository.clone(), ..wanted.name.clone() };
                        Reference::tagged(name, tag.clone())
                    }
                    CacheFrom::Elsewhere(reference) => reference.clone(),
                })
                .collect(),
            // Which may be what the task definition wants.
            platform: wanted.platform.clone(),
            tags: tags.map(|tag| Reference::tagged(wanted.name.clone(), tag.clone())).collect(),
            builder: *builder,
        }));
        self.add(action, format!("tag {tag}"), &[login])
    }

    fn register(&mut self, service: &Resolved, digests: &BTreeMap<Key, Later<Digest>>) -> StepId {
        let digest = digests.get(&service.spec.image).expect("every image of a service was planned").clone();
        let mut needs = Vec::new();
        let mut causes = Vec::new();
        match &digest {
            Later::From(push) => {
                needs.push(*push);
                causes.push("new image".to_owned());
            }
            Later::Known(digest) => causes.push(format!("image {}", digest.short())),
        }
        if let Some(live) = service.live {
            causes.extend(changes(&live.definition, &service.base, &service.container));
        }
        let action = Action::Register(Box::new(RegisterAction {
            service: service.key.clone(),
            base: service.base.clone(),
            tags: service.tags.clone(),
            images: vec![ImagePatch {
                container: service.container.clone(),
                name: service.name.clone(),
                tag: service.image.tag.clone(),
                digest,
            }],
            compare_to: service
                .live
                .map(|live| LiveDefinition { arn: live.task_definition.clone(), definition: live.definition.clone() }),
        }));
        self.add(action, causes.join(", "), &needs)
    }

    /// The task that must succeed before the service is updated, if there is one.
    fn before(&mut self, service: &Resolved, register: StepId, clusters: &BTreeMap<Cluster, StepId>) -> Option<StepId> {
        let spec::Before { command, timeout, container } = service.spec.before.as_ref()?;
        let one_off = OneOff {
            cluster: service.spec.cluster.clone(),
            container: container.clone().unwrap_or_else(|| service.container.clone()),
            command: command.clone(),
            launch: service.live.map(|live| live.launch.clone()).unwrap_or_default(),
        };
        let action = Action::Before {
            service: service.key.clone(),
            task_definition: Later::From(register),
            one_off,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            running: service.live.map(|live| running(live).task_definition),
        };
        let needs: Vec<StepId> = [register].into_iter().chain(clusters.get(&service.spec.cluster).copied()).collect();
        Some(self.add(action, command.join(" "), &needs))
    }

    /// The step that starts the rollout.
    fn roll_out(
        &mut self,
        service: &Resolved,
        register: StepId,
        needs: &[StepId],
        clusters: &BTreeMap<Cluster, StepId>,
    ) -> StepId {
        let Some(live) = service.live else { return self.create_service(service, register, needs, clusters) };
        let running = running(live);
        let cause = match running.rollout {
            RolloutObserved::Complete => format!("it runs {}", running.task_definition),
            RolloutObserved::Going => format!("its rollout to {} is still going", running.task_definition),
            RolloutObserved::Failed => format!("its rollout to {} failed", running.task_definition),
        };
        let action = Action::Update {
            service: service.key.clone(),
            cluster: service.spec.cluster.clone(),
            name: service.spec.service.clone(),
            task_definition: Later::From(register),
            running,
            percentages: service.spec.rollout.percentages,
        };
        self.add(action, cause, needs)
    }

    fn create_service(
        &mut self,
        service: &Resolved,
        register: StepId,
        needs: &[StepId],
        clusters: &BTreeMap<Cluster, StepId>,
    ) -> StepId {
        let key = service.key;
        let settings = Box::new(service.spec.sandbox.clone());
        let name = balancer_name(service.spec);
        let cause = format!("the sandbox has no service {}", service.spec.service);
        let group = self.add(
            Action::CreateTargetGroup { service: key.clone(), name: name.clone(), settings: settings.clone() },
            cause.as_str(),
            &[],
        );
        let balancer = self.add(Action::CreateLoadBalancer { service: key.clone(), name }, cause.as_str(), &[]);
        let listener = self.add(
            Action::CreateListener {
                service: key.clone(),
                load_balancer: Later::From(balancer),
                target_group: Later::From(group),
                port: settings.listener_port,
            },
            cause.as_str(),
            &[group, balancer],
        );
        let mut needs = needs.to_vec();
        needs.extend([group, listener]);
        needs.extend(clusters.get(&service.spec.cluster));
        let action = Action::CreateService {
            service: key.clone(),
            cluster: service.spec.cluster.clone(),
            name: service.spec.service.clone(),
            task_definition: Later::From(register),
            target_group: Later::From(group),
            container: service.container.clone(),
            settings,
            percentages: service.spec.rollout.percentages,
            listener,
        };
        self.add(action, cause, &needs)
    }

    fn watch(&mut self, service: &Resolved, started: StepId, whole: &Spec) {
        let cause = match service.live {
            None => "until its first tasks are healthy".to_owned(),
            Some(live) => match service.spec.rollout.done_when {
                spec::DoneWhen::Live => "until its new tasks are healthy".to_owned(),
                spec::DoneWhen::Drained if rollout_of(live) == RolloutObserved::Going => {
                    "until every older task has drained".to_owned()
                }
                spec::DoneWhen::Drained => format!("until the tasks of {} have drained", live.task_definition),
                spec::DoneWhen::Steady => "until ECS says that it is steady".to_owned(),
            },
        };
        let action = Action::Watch {
            service: service.key.clone(),
            cluster: service.spec.cluster.clone(),
            name: service.spec.service.clone(),
            deployment: Later::From(started),
            terms: Terms {
                expected_ms: Some(expected_ms(service, &whole.environment.place)),
                ..terms(&service.spec.rollout, budget(service), whole.release)
            },
            toward: Toward::New,
        };
        self.add(action, cause, &[started]);
    }
}

/// How a service is watched.
pub(super) const fn terms(rollout: &spec::Rollout, budget: WatchBudget, release: Release) -> Terms {
    let spec::Rollout { no_progress: _, total: _, done_when, on_failure, on_interrupt, percentages: _ } = *rollout;
    Terms {
        budget,
        expected_ms: None,
        done_when: match done_when {
            spec::DoneWhen::Live => DoneWhen::Live,
            spec::DoneWhen::Drained => DoneWhen::Drained,
            spec::DoneWhen::Steady => DoneWhen::Steady,
        },
        on_failure: match on_failure {
            spec::OnFailure::Rollback => OnFailure::TakeBack,
            // What failed cannot stay where all that went well is taken back for it.
            spec::OnFailure::Leave if matches!(release, Release::AllOrNothing) => OnFailure::TakeBack,
            spec::OnFailure::Leave => OnFailure::Leave,
            spec::OnFailure::Wait => OnFailure::Wait,
        },
        on_interrupt: match on_interrupt {
            spec::OnInterrupt::Leave => OnInterrupt::Leave,
            spec::OnInterrupt::Rollback => OnInterrupt::TakeBack,
        },
    }
}

/// How long a rollout of this service takes as a rule, for the eyes of those who wait.
///
/// ECS starts as many new tasks at once as `maximumPercent` leaves room for, or as `minimumHealthyPercent` lets it stop
/// old ones; each such wave is a move of the scheduler, the start of a task, and the first health check (a target is
/// healthy after one that it passes; without a balancer a task counts after 40 s). Then the last old tasks drain for
/// the deregistration delay and get their signal, which takes two more moves. Measured on one-task Fargate services
/// with a delay of 30 s: 152 to 173 s; by this rule 160 s.
fn expected_ms(service: &Resolved, place: &Place) -> u64 {
    /// "40–60 s" from the start of a Fargate task to its registration; a container of this machine is there at once.
    const FARGATE_START_S: u64 = 50;
    const LOCAL_START_S: u64 = 2;
    const TICK_S: u64 = 10;
    /// "no load balancer and no health check: 40 s after RUNNING".
    const COUNTED_AFTER_S: u64 = 40;
    let (desired, check_s, delay_s, start_s) = match service.live {
        Some(live) => {
            let checks = live.target_groups.iter().map(|group| group.health_check_interval_s);
            let start_s = match place {
                Place::Aws => FARGATE_START_S,
                Place::Sandbox => LOCAL_START_S,
            };
            let delay_s = live.target_groups.iter().map(|group| group.deregistration_delay_s).max().unwrap_or(0);
            (live.desired_count, checks.max().unwrap_or(COUNTED_AFTER_S), delay_s, start_s)
        }
        // The first rollout has nothing to drain.
        None => (0, service.spec.sandbox.health_check_interval.as_secs(), 0, LOCAL_START_S),
    };
    let Percentages { minimum_healthy, maximum } = service.spec.rollout.percentages;
    let (minimum, maximum) = service.live.map_or((100, 200), |live| {
        (minimum_healthy.unwrap_or(live.minimum_healthy_percent), maximum.unwrap_or(live.maximum_percent))
    });
    let (desired, minimum, maximum) = (u64::from(desired), u64::from(minimum), u64::from(maximum));
    let above = (maximum * desired / 100).saturating_sub(desired);
    let below = desired.saturating_sub((minimum * desired).div_ceil(100));
    let waves = desired.div_ceil(above.max(below).max(1)).max(1);
    let drain_s = if service.live.is_some() { 3 * TICK_S + delay_s } else { TICK_S };
    (waves * (TICK_S + start_s + check_s) + drain_s) * 1000
}

/// How long the watch of this service may take.
fn budget(service: &Resolved) -> WatchBudget {
    let delay_s = match service.live {
        Some(live) => live.target_groups.iter().map(|group| group.deregistration_delay_s).max().unwrap_or(0),
        None => service.spec.sandbox.deregistration_delay.as_secs(),
    };
    let live = service.live.map(|live| &live.definition);
    budget_of(&service.spec.rollout, delay_s, [Some(&service.base), live].into_iter().flatten())
}

/// The same for any rollout: how its service is watched, the longest deregistration delay, and the task definitions
/// between which it goes.
pub(super) fn budget_of<'a>(
    rollout: &spec::Rollout,
    delay_s: u64,
    definitions: impl Iterator<Item = &'a Value>,
) -> WatchBudget {
    let stop_s = definitions
        .flat_map(containers)
        .map(|container| container.get("stopTimeout").and_then(Value::as_u64).unwrap_or(STOP_TIMEOUT_S))
        .max()
        .unwrap_or(STOP_TIMEOUT_S);
    let milliseconds = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    WatchBudget {
        no_progress_ms: milliseconds(rollout.no_progress),
        total_ms: milliseconds(rollout.total),
        drain_ms: delay_s.saturating_add(stop_s).saturating_add(SCHEDULER_TICKS_S).saturating_mul(1000),
        deregistration_delay_ms: delay_s.saturating_mul(1000),
    }
}

/// What registering `base` changes beside the image of `container`, `cpu 256 → 512`.
fn changes(live: &Value, base: &Value, container: &str) -> Vec<String> {
    let image = format!("containerDefinitions[{container}].image");
    diff::differences(live, base)
        .into_iter()
        .filter(|difference| difference.path != image)
        .map(|Difference { path, change }| match change {
            Change::Changed { from, to } => format!("{path} {from} → {to}"),
            // The whole of what comes or goes may be pages long; its name says enough here.
            Change::Added(_) => format!("{path} added"),
            Change::Removed(_) => format!("{path} removed"),
        })
        .collect()
}

fn pushes(images: &[Wanted]) -> String {
    let keys: Vec<_> = images.iter().filter(|wanted| matches!(wanted.source, Source::Build { .. })).collect();
    format!("to push {}", words(&keys.iter().map(|wanted| wanted.key).collect::<Vec<_>>()))
}

fn words(keys: &[&Key]) -> String {
    keys.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ")
}

/// ELB takes up to 32 letters, digits and hyphens, none of them at the ends, and load balancers not
/// `internal-` in front. The hash keeps services of one name in two clusters apart.
fn balancer_name(service: &Service) -> String {
    let hash = hex::encode(Sha256::digest(format!("{}/{}", service.cluster, service.service)));
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let readable: String = service.service.as_str().chars().map(allowed).take(20).collect();
    format!("ship-{}-{}", readable.trim_matches('-'), &hash[..6])
}

#[cfg(test)]
mod tests;
