//! From what is wanted and what is there to a plan, or to every reason why there is none.
//!
//! One plan covers all selected services. Everything is built and pushed before anything is registered,
//! and everything is registered before a service is updated: what can fail early fails while nothing
//! that runs has changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use self::{
    image::{resolve_image, to_compare},
    promotion::refuse_promotion,
    service::resolve,
    steps::Steps,
};
pub(super) use self::{
    service::{containers, primary, rollout_of, running},
    watch::{budget_of, terms},
};
use super::{
    observed::{Candidate, ClusterObserved, Observed, ServiceActive},
    refusal::Refusal,
    step::{Later, Plan, Release},
};
use crate::{
    config::spec::{Image, Place, Service, Spec},
    id::{Cluster, Key, StepId},
    image::{Digest, ImageName, Tag},
};

mod definition;
mod image;
mod promotion;
mod service;
mod steps;
mod watch;

/// Plans a deploy.
///
/// # Errors
///
/// Every reason not to start, not only the first. With credentials of the wrong account that is the
/// only one told, because all else was read from the wrong place.
pub fn plan(spec: &Spec, observed: &Observed) -> Result<Plan, Vec<Refusal>> {
    if let Some(refusal) = wrong_account(spec, observed) {
        return Err(vec![refusal]);
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
    if let Some(promotion) = &spec.promotion {
        refuse_promotion(promotion, &services, spec, observed, &mut refusals);
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut steps = Steps::default();
    let clusters = steps.clusters(&services, observed);
    let given: Vec<_> = match &spec.promotion {
        None => {
            let digests = steps.images(&images, observed);
            services.iter().map(|service| built(service, &digests)).collect()
        }
        Some(promotion) => steps.copies(&services, promotion, observed),
    };
    let registered: Vec<_> =
        services.iter().zip(given).map(|(service, given)| steps.register(service, given)).collect();
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

/// The images that are not built and that a service may not be able to run, by their keys: [`plan`] compares what they
/// are for with what the service runs on, so that has to be observed of these, and of these alone.
#[must_use]
pub fn pushed_to_compare(spec: &Spec, observed: &Observed) -> Vec<(Key, ImageName, Digest)> {
    // Tasks of the sandbox run on the engine of this machine, whatever their definition says.
    if spec.environment.place == Place::Sandbox || wrong_account(spec, observed).is_some() {
        return Vec::new();
    }
    // Told by `plan`.
    let mut refusals = Vec::new();
    let services: Vec<_> = spec
        .services
        .iter()
        .filter_map(|(key, service)| resolve(spec, observed, key, service, &mut refusals))
        .collect();
    let images = spec.images.iter().filter_map(|(key, image)| {
        let (name, digest) = to_compare(observed, key, image, &services)?;
        Some((key.clone(), name, digest))
    });
    images.collect()
}

/// All else was read from the wrong place then.
fn wrong_account(spec: &Spec, observed: &Observed) -> Option<Refusal> {
    let (Place::Aws, Some(expected)) = (&spec.environment.place, &spec.environment.account) else { return None };
    let is_wrong = *expected != observed.account;
    is_wrong.then(|| Refusal::WrongAccount { expected: expected.clone(), actual: observed.account.clone() })
}

/// A service with everything that could be said without changing anything.
struct Resolved<'a> {
    key: &'a Key,
    spec: &'a Service,
    name: ImageName,
    /// The tag of the image that it gets.
    tag: Tag,
    /// What it gets where images are promoted.
    candidate: Option<&'a Candidate>,
    /// What will be registered, but for the image.
    base: Value,
    tags: Vec<(String, String)>,
    /// The container that gets the image.
    container: String,
    /// `None`: the sandbox creates it.
    live: Option<&'a ServiceActive>,
}

/// The image that a service gets.
struct Given {
    digest: Later<Digest>,
    /// What brings a digest that is known already.
    after: Option<StepId>,
}

fn built(service: &Resolved, digests: &BTreeMap<Key, Later<Digest>>) -> Given {
    let digest = digests.get(&service.spec.image).expect("every image of a service was planned").clone();
    Given { digest, after: None }
}

/// An image that is either made or known.
struct Wanted<'a> {
    key: &'a Key,
    image: &'a Image,
    name: ImageName,
    services: Vec<&'a Key>,
    source: Source,
    platform: Option<String>,
    /// What the containers that get it may use, MiB.
    memory_mib: Option<u64>,
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

#[cfg(test)]
mod tests;
