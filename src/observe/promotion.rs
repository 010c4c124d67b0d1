//! What the environment that images are promoted from runs, and whether it is here already. Nothing is decided: what
//! counts as steady is said by `plan::promote`.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::ObserveError;
use crate::{
    aws::{
        Aws, AwsError,
        copy::{self, CopyError, There},
        deployments, ecr, ecs,
        error::Kind,
        sts,
    },
    config::spec::{Place, Promotion, PromotionSource, Spec},
    id::Key,
    image::ImageName,
    plan::{
        observed::{Candidate, Here, RepositoryObserved, ServiceObserved},
        promote::{self, Unpromotable},
    },
};

/// Why there is nothing to promote: a reason to refuse, or a call that failed.
enum Stop {
    No(Unpromotable),
    Failed(ObserveError),
}

impl From<Unpromotable> for Stop {
    fn from(why: Unpromotable) -> Self {
        Self::No(why)
    }
}

impl From<AwsError> for Stop {
    fn from(error: AwsError) -> Self {
        match error.kind() {
            Kind::AccessDenied { action, resource, .. } => {
                Self::No(Unpromotable::Unread { action: action.clone(), resource: resource.clone() })
            }
            _ => Self::Failed(error.into()),
        }
    }
}

/// What may come here, service by service; all are asked for at once.
pub(super) async fn candidates(
    spec: &Spec,
    promotion: &Promotion,
    source: &Aws,
    aws: &Aws,
) -> Result<BTreeMap<Key, Result<Candidate, Unpromotable>>, ObserveError> {
    let wrong = wrong_account(promotion, source).await?;
    let asked = spec.services.iter().map(|(key, service)| {
        let wrong = wrong.clone();
        async move {
            if let Some(why) = wrong {
                return Ok((key.clone(), Err(why)));
            }
            let repository = &promotion.destinations[&service.image].repository;
            match candidate(promotion, &promotion.sources[key], repository, source, aws).await {
                Ok(candidate) => Ok((key.clone(), Ok(candidate))),
                Err(Stop::No(why)) => Ok((key.clone(), Err(why))),
                Err(Stop::Failed(error)) => Err(error),
            }
        }
    });
    join_all(asked).await.into_iter().collect()
}

/// The guard that the other environment has for itself holds for reading as well: what is in another account is not
/// what was meant.
async fn wrong_account(promotion: &Promotion, source: &Aws) -> Result<Option<Unpromotable>, AwsError> {
    let (Place::Aws, Some(expected)) = (&promotion.environment.place, &promotion.environment.account) else {
        return Ok(None);
    };
    let actual = sts::caller(source).await?.account;
    let is_wrong = actual != *expected;
    Ok(is_wrong.then(|| Unpromotable::WrongAccount { expected: expected.clone(), actual }))
}

async fn candidate(
    promotion: &Promotion,
    wanted: &PromotionSource,
    repository: &str,
    source: &Aws,
    aws: &Aws,
) -> Result<Candidate, Stop> {
    let PromotionSource { cluster, service, container: _ } = wanted;
    let (observed, history) =
        tokio::join!(ecs::service(source, cluster, service), deployments::history(source, cluster, service, 1));
    let observed = observed?;
    let history = match (history, &observed) {
        (Ok(history), _) => Some(history),
        (Err(_), ServiceObserved::Missing | ServiceObserved::Inactive { .. }) => None,
        (Err(error), ServiceObserved::Active(_)) if error.is_out_of_reach() => None,
        (Err(error), ServiceObserved::Active(_)) => return Err(error.into()),
    };
    let steady = promote::steady(wanted, &observed, history.as_deref())?;
    let name = steady.image.name.clone();
    if !is_in_ecr(source, &name).await? {
        return Err(Unpromotable::NotEcr { image: steady.image.to_string() }.into());
    }
    let digest = if let Some(digest) = &steady.image.digest {
        digest.clone()
    } else {
        // A tag says what was meant; the tasks say what it was when they were started.
        let told = ecs::running_digests(source, cluster, service, &steady.container).await?;
        promote::one_digest(&steady.image, &told)?
    };
    let platforms = match copy::platforms(source, &name, &digest).await {
        Ok(Some(platforms)) => platforms,
        Ok(None) => return Err(Unpromotable::ImageGone { name, digest }.into()),
        Err(CopyError::Aws(error)) => return Err(error.into()),
        Err(source) => {
            return Err(Stop::Failed(ObserveError::Image { from: promotion.from.clone(), source: Box::new(source) }));
        }
    };
    let tag = promote::tag(&promotion.from, &steady, &digest);
    let there = copy::there(aws, repository, &digest, &tag).await.map_err(|error| Stop::Failed(error.into()))?;
    // What nobody may ask is found out by the copy, which sends nothing that is there.
    let There { image, tagged } = there.unwrap_or(There { image: false, tagged: None });
    let here = if image { Here::Present } else { Here::Absent };
    Ok(Candidate { revision: steady.revision, name, digest, tag, platforms, here, tagged })
}

/// ECR's own host names say it; of any other (the sandbox has one) it is ECR's if ECR calls a repository so.
async fn is_in_ecr(source: &Aws, name: &ImageName) -> Result<bool, AwsError> {
    if name.ecr().is_some() {
        return Ok(true);
    }
    match ecr::repository_alone(source, &name.repository).await {
        Ok(RepositoryObserved::Present { uri, .. }) => Ok(uri == name.to_string()),
        Ok(RepositoryObserved::Missing) => Ok(false),
        Err(error) if error.is_out_of_reach() => Ok(false),
        Err(error) => Err(error),
    }
}
