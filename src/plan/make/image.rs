//! Whether an image is to be made, and what for: the platform that the task definitions of its services run on.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    RepositoryStep, Resolved, Source, Wanted,
    service::{containers, rollout_of, runs_digest},
};
use crate::{
    config::spec::{Builder, Image, MissingRepository, Place, Spec},
    id::Key,
    image::{Digest, ImageName},
    plan::{
        observed::{BuildKit, LaunchObserved, MissingInput, Mutability, Observed, RepositoryObserved, ServiceActive},
        refusal::Refusal,
        step::RolloutObserved,
    },
};

pub(super) fn resolve_image<'a>(
    spec: &Spec,
    observed: &Observed,
    key: &'a Key,
    image: &'a Image,
    services: &[Resolved<'a>],
    refusals: &mut Vec<Refusal>,
) -> Option<Wanted<'a>> {
    let users: Vec<_> = services.iter().filter(|service| service.spec.image == *key).collect();
    let pushed = pushed(observed, key, &users);
    let platform = match (&spec.environment.place, pushed) {
        (Place::Aws, None) => platform_of(observed, key, image, &users, refusals),
        (Place::Aws, Some(digest)) => {
            refuse_pushed(observed, key, image, digest, &users, refusals);
            image.platform.clone()
        }
        // Tasks of the sandbox run on the engine that builds.
        (Place::Sandbox, _) => image.platform.clone(),
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
            // which it would be is not known before it.
            if pushed.is_some() {
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
    if let Source::Build { .. } = source {
        refuse_inputs(observed, key, image, refusals);
    }
    let memory_mib = users.iter().filter_map(|user| memory_mib(&user.base, &user.container)).max();
    let services = users.iter().map(|user| user.key).collect();
    Some(Wanted { key, image, name, services, source, platform, memory_mib })
}

/// What an immutable tag points at, where that is this build: what a service runs under it.
fn pushed<'a>(observed: &'a Observed, key: &Key, users: &[&Resolved]) -> Option<&'a Digest> {
    match observed.repositories.get(key) {
        Some(RepositoryObserved::Present { immutable_tags: Mutability::Immutable, tagged: Some(digest), .. }) => {
            let is_run = users.iter().any(|user| user.live.is_some_and(|live| runs_digest(live, digest)));
            is_run.then_some(digest)
        }
        Some(RepositoryObserved::Present { .. } | RepositoryObserved::Missing) | None => None,
    }
}

/// The image that is not built, where what it is for decides whether a service can run it.
pub(super) fn to_compare(
    observed: &Observed,
    key: &Key,
    image: &Image,
    services: &[Resolved],
) -> Option<(ImageName, Digest)> {
    let users: Vec<_> = services.iter().filter(|service| service.spec.image == *key).collect();
    let digest = pushed(observed, key, &users)?;
    let is_open = users.iter().any(|user| wanted_of_pushed(user, digest).is_some());
    let name = ImageName { registry: observed.registry.clone(), repository: image.repository.clone() };
    is_open.then(|| (name, digest.clone()))
}

/// What an image that is not built must be for, unless the service shows that it can run it.
fn wanted_of_pushed(user: &Resolved, digest: &Digest) -> Option<Platform> {
    let wanted = wanted(&user.base, user.live)?;
    let is_shown = user.live.is_some_and(|live| {
        runs_digest(live, digest)
            && rollout_of(live) == RolloutObserved::Complete
            && self::wanted(&live.definition, user.live).as_ref() == Some(&wanted)
    });
    (!is_shown).then_some(wanted)
}

/// What the tasks of a service run on. Fargate has a default for what the definition leaves open, EC2 does not.
fn wanted(definition: &Value, live: Option<&ServiceActive>) -> Option<Platform> {
    let named = runtime_platform(definition);
    if !live.is_some_and(is_on_fargate) {
        return named;
    }
    let Platform { system, architecture } = named.unwrap_or(Platform { system: None, architecture: None });
    Some(Platform {
        system: system.or_else(|| Some("linux".to_owned())),
        architecture: architecture.or_else(|| Some("amd64".to_owned())),
    })
}

fn is_on_fargate(live: &ServiceActive) -> bool {
    let LaunchObserved { launch_type, capacity_providers, .. } = &live.launch;
    launch_type.as_deref() == Some("FARGATE")
        || capacity_providers.iter().any(|provider| provider.name.starts_with("FARGATE"))
}

fn refuse_pushed(
    observed: &Observed,
    key: &Key,
    image: &Image,
    digest: &Digest,
    users: &[&Resolved],
    refusals: &mut Vec<Refusal>,
) {
    let platforms: BTreeSet<&String> = observed.pushed.get(key).into_iter().flatten().collect();
    // It does not say, or nobody may look.
    let Some(first) = platforms.first() else { return };
    for user in users {
        if let Some(wanted) = wanted_of_pushed(user, digest)
            && !platforms.iter().any(|one| wanted.fits(&Platform::of_image(one)))
        {
            refusals.push(Refusal::PushedPlatform {
                image: key.clone(),
                service: user.key.clone(),
                repository: image.repository.clone(),
                tag: image.tag.clone(),
                platforms: platforms.iter().map(|one| (*one).clone()).collect(),
                wanted: wanted.or(&Platform::of_image(first)),
            });
        }
    }
}

/// What the build would stop for, said before it begins.
fn refuse_inputs(observed: &Observed, key: &Key, image: &Image, refusals: &mut Vec<Refusal>) {
    let keys: Vec<_> = [
        ("`secrets`", image.secrets.is_empty()),
        ("`ssh`", image.ssh.is_empty()),
        ("`cache_to`", image.cache_to.is_empty()),
    ]
    .into_iter()
    .filter_map(|(name, is_empty)| (!is_empty).then_some(name))
    .collect();
    let is_classic =
        image.builder == Builder::Classic || (observed.engine.buildkit == BuildKit::Absent && !image.wants_buildx());
    if is_classic && !keys.is_empty() {
        refusals.push(Refusal::NeedsBuildKit { image: key.clone(), keys, wanted: image.builder });
    }
    for MissingInput { input, why } in observed.missing_inputs.get(key).into_iter().flatten() {
        refusals.push(Refusal::InputMissing { image: key.clone(), input: input.clone(), why: why.clone() });
    }
}

/// The limit of a container: its own, or that of the whole task.
fn memory_mib(base: &Value, container: &str) -> Option<u64> {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    let own =
        containers(base).iter().find(|found| found["name"] == container).and_then(|found| number(&found["memory"]));
    own.or_else(|| number(&base["memory"])).filter(|memory| *memory > 0)
}

/// What the tasks of a definition run on, where it says: `linux/arm64`.
pub(super) fn runtime_platform(base: &Value) -> Option<Platform> {
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
pub(super) struct Platform {
    system: Option<String>,
    architecture: Option<String>,
}

impl Platform {
    /// `linux/arm64`, `linux/arm64/v8`.
    pub(super) fn of_image(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let mut parts = text.split('/');
        Self { system: parts.next().map(str::to_owned), architecture: Some(architecture_of(parts.next())) }
    }

    /// What is left open, as `other` has it.
    pub(super) fn or(&self, other: &Self) -> String {
        let part =
            |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone()).unwrap_or_default();
        format!("{}/{}", part(&self.system, &other.system), part(&self.architecture, &other.architecture))
    }

    pub(super) fn fits(&self, image: &Self) -> bool {
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
