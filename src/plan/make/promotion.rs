//! Images that come from another environment: where they go, and what brings them there.

use std::collections::BTreeMap;

use super::{
    Given, Resolved,
    image::{Platform, runtime_platform},
    steps::Steps,
};
use crate::{
    config::spec::{Destination, MissingRepository, Place, Promotion, Spec},
    id::StepId,
    image::{Digest, ImageName},
    plan::{
        observed::{Candidate, Here, Mutability, Observed, RepositoryObserved},
        promote,
        refusal::Refusal,
        step::{Action, CopyAction, Later},
    },
};

/// Why what runs there cannot run here.
pub(super) fn refuse_promotion(
    promotion: &Promotion,
    services: &[Resolved],
    spec: &Spec,
    observed: &Observed,
    refusals: &mut Vec<Refusal>,
) {
    for (key, Destination { repository, missing_repository }) in &promotion.destinations {
        let is_missing = matches!(observed.repositories.get(key), Some(RepositoryObserved::Missing) | None);
        let is_made = spec.environment.place == Place::Sandbox || *missing_repository == MissingRepository::Create;
        // What is shared lies in another registry, and this one is not needed.
        let is_needed = services
            .iter()
            .any(|service| service.spec.image == *key && service.candidate.is_none_or(|one| !is_here(one, service)));
        if is_missing && !is_made && is_needed {
            refusals.push(Refusal::RepositoryMissing {
                image: key.clone(),
                repository: repository.clone(),
                region: observed.region.clone(),
            });
        }
    }
    for service in services {
        let Some(candidate) = service.candidate else { continue };
        // Tasks of the sandbox run on the engine of this machine, whatever their definition says.
        if spec.environment.place == Place::Aws
            && let Some(wanted) = runtime_platform(&service.base)
            && !candidate.platforms.is_empty()
            && !candidate.platforms.iter().any(|one| wanted.fits(&Platform::of_image(one)))
        {
            refusals.push(Refusal::PromotedPlatform {
                service: service.key.clone(),
                from: promotion.from.clone(),
                platforms: candidate.platforms.clone(),
                wanted: wanted.or(&Platform::of_image(&candidate.platforms[0])),
            });
        }
        if needs_copy(candidate, service)
            && has_immutable_tags(service, observed)
            && let Some(digest) = promote::taken(candidate)
        {
            refusals.push(Refusal::PromotedTagTaken {
                service: service.key.clone(),
                from: promotion.from.clone(),
                repository: service.name.repository.clone(),
                tag: candidate.tag.clone(),
                digest: digest.clone(),
                promoted: candidate.digest.clone(),
            });
        }
    }
}

fn has_immutable_tags(service: &Resolved, observed: &Observed) -> bool {
    let repository = observed.repositories.get(&service.spec.image);
    matches!(repository, Some(RepositoryObserved::Present { immutable_tags: Mutability::Immutable, .. }))
}

/// Whether both environments share the repository.
fn is_here(candidate: &Candidate, service: &Resolved) -> bool {
    promote::is_same_repository(&candidate.name, &service.name)
}

fn needs_copy(candidate: &Candidate, service: &Resolved) -> bool {
    !is_here(candidate, service) && candidate.here == Here::Absent
}

impl Steps {
    /// What each service gets. An image that several services run is copied once.
    pub(super) fn copies(&mut self, services: &[Resolved], promotion: &Promotion, observed: &Observed) -> Vec<Given> {
        let mut repositories: BTreeMap<String, StepId> = BTreeMap::new();
        for service in services {
            let repository = &service.name.repository;
            let is_missing =
                matches!(observed.repositories.get(&service.spec.image), Some(RepositoryObserved::Missing) | None);
            let is_wanted = service.candidate.is_some_and(|candidate| needs_copy(candidate, service));
            if is_missing && is_wanted && !repositories.contains_key(repository) {
                let cause = format!("{repository} does not exist in {}", observed.region);
                let action = Action::CreateRepository { repository: repository.clone() };
                repositories.insert(repository.clone(), self.add(action, cause, &[]));
            }
        }
        let mut copies: BTreeMap<(&ImageName, &Digest), StepId> = BTreeMap::new();
        let mut given = Vec::new();
        for service in services {
            let candidate = service.candidate.expect("a service without one was refused");
            let digest = &candidate.digest;
            let after = needs_copy(candidate, service).then(|| {
                *copies.entry((&service.name, digest)).or_insert_with(|| {
                    let action = Action::Copy(Box::new(CopyAction {
                        image: service.spec.image.clone(),
                        from: candidate.name.clone(),
                        digest: digest.clone(),
                        to: service.name.clone(),
                        tag: service.tag.clone(),
                    }));
                    let cause = format!("{} runs {} with {}", promotion.from, candidate.revision, digest.short());
                    let needs: Vec<StepId> = repositories.get(&service.name.repository).copied().into_iter().collect();
                    self.add(action, cause, &needs)
                })
            });
            given.push(Given { digest: Later::Known(digest.clone()), after });
        }
        given
    }
}
