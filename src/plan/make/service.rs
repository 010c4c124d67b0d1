//! A service as it is to be, against the service as it is: what can be said without changing anything.

use serde_json::Value;

use super::{
    Resolved,
    definition::{base_definition, container_for, is_to_make_up},
    is_missing,
};
use crate::{
    config::spec::{Overlays, Place, Service, Spec},
    id::Key,
    image::{Digest, ImageName, Reference, Tag},
    plan::{
        diff::TAG_IMAGE,
        observed::{Candidate, DeploymentObserved, Observed, RepositoryObserved, ServiceActive, ServiceObserved},
        overlay, preflight, promote,
        refusal::{Refusal, is_deadlock},
        step::{Percentages, RolloutObserved, Running},
    },
};

pub(super) fn resolve<'a>(
    spec: &'a Spec,
    observed: &'a Observed,
    key: &'a Key,
    service: &'a Service,
    refusals: &mut Vec<Refusal>,
) -> Option<Resolved<'a>> {
    let place = &spec.environment.place;
    let before = refusals.len();
    let supply = supply(spec, observed, key, service, refusals);
    let live = live_service(place, observed, key, service, refusals)?;
    if let Some(live) = live {
        refuse_live(observed, key, service, supply.as_ref(), live, refusals);
    }
    let Supply { name, tag, candidate } = supply?;
    let image = Reference::tagged(name.clone(), tag.clone());
    let (mut base, tags) = base_definition(place, observed, key, service, &image, live, refusals)?;
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
    Some(Resolved { key, spec: service, name, tag, candidate, base, tags, container: container?, live })
}

/// What a service gets, as far as its name goes.
struct Supply<'a> {
    name: ImageName,
    tag: Tag,
    candidate: Option<&'a Candidate>,
}

fn supply<'a>(
    spec: &Spec,
    observed: &'a Observed,
    key: &Key,
    service: &Service,
    refusals: &mut Vec<Refusal>,
) -> Option<Supply<'a>> {
    let name = |repository: &str| ImageName { registry: observed.registry.clone(), repository: repository.to_owned() };
    let Some(promotion) = &spec.promotion else {
        let image = spec.images.get(&service.image).expect("a Spec holds every image its services use");
        return Some(Supply { name: name(&image.repository), tag: image.tag.clone(), candidate: None });
    };
    let destination = promotion.destinations.get(&service.image).expect("a Spec knows where every image goes");
    let name = name(&destination.repository);
    match observed.promoted.get(key).expect("every service was looked for") {
        Ok(candidate) => {
            let tag = promote::tag_here(&promotion.from, candidate);
            Some(Supply { name, tag, candidate: Some(candidate) })
        }
        Err(why) => {
            let (service, from) = (key.clone(), promotion.from.clone());
            refusals.push(Refusal::NotPromotable { service, from, why: why.clone() });
            None
        }
    }
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
    supply: Option<&Supply<'_>>,
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
        && !(live.deployments.len() == 1 && serves_nobody(primary))
        && !supply.is_some_and(|supply| runs_build(observed, service, supply, live))
    {
        refusals.push(Refusal::DeploymentGoing {
            service: key.clone(),
            name: service.service.clone(),
            deployment: primary.id.clone(),
            revision: primary.task_definition.clone(),
        });
    }
}

pub(in crate::plan) fn primary(live: &ServiceActive) -> Option<&DeploymentObserved> {
    live.deployments.iter().find(|deployment| deployment.status == "PRIMARY")
}

/// What the service runs at planning time.
pub(in crate::plan) fn running(live: &ServiceActive) -> Running {
    let primary = primary(live);
    Running {
        task_definition: primary.map_or(&live.task_definition, |primary| &primary.task_definition).clone(),
        rollout: match primary {
            // To go on watching it would be to count the failures that this deploy is to end.
            Some(primary) if is_failing(primary) => RolloutObserved::Failed,
            _ => rollout_of(live),
        },
        deployment: primary.map(|primary| primary.id.clone()),
        previous: live
            .deployments
            .iter()
            .find(|deployment| deployment.status == "ACTIVE")
            .map(|deployment| deployment.task_definition.clone()),
        desired: live.desired_count,
        minimum_healthy_percent: live.minimum_healthy_percent,
        maximum_percent: live.maximum_percent,
    }
}

/// Of a service's only deployment: nothing is taken from anybody when another one takes its place, and a first deploy that
/// failed is mended by the next. ECS counts the failures at its own pace, so their number alone does not tell it.
fn serves_nobody(deployment: &DeploymentObserved) -> bool {
    deployment.running == 0 || is_failing(deployment)
}

/// Whether a rollout has failed though ECS tries it for ever, as it does without a circuit breaker: as many tasks have failed
/// as are wanted.
fn is_failing(deployment: &DeploymentObserved) -> bool {
    deployment.rollout_state.as_deref() == Some("IN_PROGRESS") && deployment.failed >= deployment.desired.max(1)
}

/// Where the rollout of what is live stands, by ECS's own word where it gives one.
pub(in crate::plan) fn rollout_of(live: &ServiceActive) -> RolloutObserved {
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
fn runs_build(observed: &Observed, service: &Service, supply: &Supply<'_>, live: &ServiceActive) -> bool {
    if let Some(candidate) = supply.candidate {
        return runs_digest(live, &candidate.digest);
    }
    let tagged = live.tags.iter().any(|(key, value)| key == TAG_IMAGE && value == supply.tag.as_str());
    let digest = match observed.repositories.get(&service.image) {
        Some(RepositoryObserved::Present { tagged: Some(digest), .. }) => Some(digest),
        Some(RepositoryObserved::Present { tagged: None, .. } | RepositoryObserved::Missing) | None => None,
    };
    tagged || digest.is_some_and(|digest| runs_digest(live, digest))
}

pub(super) fn runs_digest(live: &ServiceActive, digest: &Digest) -> bool {
    containers(&live.definition)
        .iter()
        .filter_map(|container| container["image"].as_str())
        .any(|image| image.ends_with(digest.as_str()))
}

pub(in crate::plan) fn containers(definition: &Value) -> &[Value] {
    definition["containerDefinitions"].as_array().map_or(&[], Vec::as_slice)
}
