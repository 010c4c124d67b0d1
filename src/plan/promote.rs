//! What of an environment may go to the next one: the image that a service runs there now, steadily. Everything else
//! says why not.

use serde_json::Value;

use super::{
    diff::TAG_IMAGE,
    drift,
    make::{containers, primary, rollout_of},
    observed::{Candidate, ServiceActive, ServiceObserved},
    step::RolloutObserved,
};
use crate::{
    config::spec::PromotionSource,
    id::{Cluster, Key, ServiceName, TaskDefArn},
    image::{Digest, ImageName, Reference, Tag},
    rollout::past::{Past, Stage},
};

/// Why what runs there may not come here. `Display` says what is wrong, [`Unpromotable::hint`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpromotable {
    #[error("has no service {name} in cluster {cluster}")]
    ServiceMissing { name: ServiceName, cluster: Cluster },
    #[error("has a service {name} that another deployment controller rolls out, {controller}")]
    OtherController { name: ServiceName, controller: String },
    #[error("is in the middle of a deployment of service {name}, to {revision}")]
    Going { name: ServiceName, revision: TaskDefArn },
    #[error("did not get service {name} to {revision}: its last deployment failed")]
    Failed { name: ServiceName, revision: TaskDefArn },
    #[error("took its last deployment of service {name} back{}, and runs {revision} again", failed.as_ref().map(|failed| format!(", to {failed}")).unwrap_or_default())]
    RolledBack { name: ServiceName, failed: Option<TaskDefArn>, revision: TaskDefArn },
    #[error("runs no task of service {name}: nothing is proven about {revision}")]
    NothingRuns { name: ServiceName, revision: TaskDefArn },
    #[error("has no container {wanted} in {revision}; it has {}", containers.join(", "))]
    ContainerNotFound { revision: TaskDefArn, wanted: String, containers: Vec<String> },
    #[error("does not say which container of {revision} has the image: {} are essential", containers.join(", "))]
    ContainerUnclear { revision: TaskDefArn, containers: Vec<String> },
    #[error("runs {image}, which is not in ECR")]
    NotEcr { image: String },
    #[error("runs more than one image under {image}: {}", digests.iter().map(Digest::short).collect::<Vec<_>>().join(", "))]
    SeveralDigests { image: String, digests: Vec<Digest> },
    #[error("does not say which image runs under {image}: no task tells its digest")]
    NoDigest { image: String },
    #[error("runs {name}@{}, which is not in ECR any more", digest.short())]
    ImageGone { name: ImageName, digest: Digest },
    #[error("is read with credentials of account {actual}, and may only be {expected}")]
    WrongAccount { expected: String, actual: String },
    #[error("cannot be read: {action} is not allowed{}", resource.as_ref().map(|on| format!(" on {on}")).unwrap_or_default())]
    Unread { action: String, resource: Option<String> },
}

impl Unpromotable {
    /// Stable, for machines and for looking it up.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ServiceMissing { .. } => "plan::promote_service_missing",
            Self::OtherController { .. } => "plan::promote_other_controller",
            Self::Going { .. } => "plan::promote_deployment_going",
            Self::Failed { .. } => "plan::promote_failed",
            Self::RolledBack { .. } => "plan::promote_rolled_back",
            Self::NothingRuns { .. } => "plan::promote_nothing_runs",
            Self::ContainerNotFound { .. } => "plan::promote_container_not_found",
            Self::ContainerUnclear { .. } => "plan::promote_container_unclear",
            Self::NotEcr { .. } => "plan::promote_not_ecr",
            Self::SeveralDigests { .. } => "plan::promote_several_digests",
            Self::NoDigest { .. } => "plan::promote_no_digest",
            Self::ImageGone { .. } => "plan::promote_image_gone",
            Self::WrongAccount { .. } => "plan::promote_wrong_account",
            Self::Unread { .. } => "plan::promote_unread",
        }
    }

    /// What to do, in one or two sentences.
    #[must_use]
    pub fn hint(&self, service: &Key, from: &str) -> String {
        let deploy = format!("`docker-ecs-ship deploy --environment {from} {service}`");
        match self {
            Self::ServiceMissing { .. } => format!(
                "if it is new, create it there and ship it there first, with {deploy}; otherwise check `service` and \
                 `cluster` of [services.{service}] and [environments.{from}.services.{service}]"
            ),
            Self::OtherController { .. } => {
                "only what ECS itself rolls out has a state that can be promoted: build here, without `promote_from`"
                    .to_owned()
            }
            Self::Going { .. } => format!(
                "wait for its end: `docker-ecs-ship watch --environment {from} {service}`, then run the same command again"
            ),
            Self::Failed { .. } | Self::RolledBack { .. } => {
                format!(
                    "mend it and ship it there first, with {deploy}; what did not get through there does not come here"
                )
            }
            Self::NothingRuns { .. } => {
                format!("let at least one task of it run in {from}, and run the same command again")
            }
            Self::ContainerNotFound { .. } => format!(
                "change `container` of [services.{service}], or of [environments.{from}.services.{service}] where it is \
                 called otherwise"
            ),
            Self::ContainerUnclear { containers, .. } => {
                let first = containers.first().map_or("…", String::as_str);
                format!("say which in [services.{service}], as in `container = \"{first}\"`")
            }
            Self::NotEcr { .. } => format!("only images in ECR are promoted: ship it to {from} with {deploy}"),
            Self::SeveralDigests { .. } | Self::NoDigest { .. } => {
                format!("ship it there once with {deploy}, which pins the image by its digest")
            }
            Self::ImageGone { .. } => format!(
                "a lifecycle policy may have removed it: ship it there again with {deploy}, and keep what runs, as with a \
                 policy that counts tagged images"
            ),
            Self::WrongAccount { .. } => {
                format!("change `profile` or `role_arn` of [environments.{from}], or its `account`")
            }
            Self::Unread { action, resource } => {
                let on = resource.as_ref().map(|on| format!(" on {on}")).unwrap_or_default();
                format!(
                    "allow the IAM action {action}{on} for the credentials of [environments.{from}]: its `profile` and \
                     `role_arn` say whose they are"
                )
            }
        }
    }
}

/// What a service runs, steadily, as far as its definition says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steady {
    pub revision: TaskDefArn,
    pub container: String,
    pub image: Reference,
    /// The tag it was shipped under, where this program has shipped it and nobody has changed it since.
    pub shipped: Option<Tag>,
}

/// What the service runs, or why that is nothing to go by. `history` is newest first; `None` where it may not be read,
/// and then a deployment that was taken back cannot be told from one that went well.
pub fn steady(
    source: &PromotionSource,
    observed: &ServiceObserved,
    history: Option<&[Past]>,
) -> Result<Steady, Unpromotable> {
    let PromotionSource { cluster, service: name, container } = source;
    let live = match observed {
        ServiceObserved::Active(live) => live,
        ServiceObserved::Missing | ServiceObserved::Inactive { .. } => {
            return Err(Unpromotable::ServiceMissing { name: name.clone(), cluster: cluster.clone() });
        }
    };
    if live.controller != "ECS" {
        return Err(Unpromotable::OtherController { name: name.clone(), controller: live.controller.clone() });
    }
    let revision = primary(live).map_or(&live.task_definition, |primary| &primary.task_definition);
    refuse_unsteady(name, revision, live, history)?;
    let (container, image) = image_of(&live.definition, container.as_deref(), revision)?;
    let image: Reference = image.parse().map_err(|_| Unpromotable::NotEcr { image })?;
    let shipped = live.tags.iter().find(|(key, _)| key == TAG_IMAGE).and_then(|(_, tag)| tag.parse().ok());
    let shipped = shipped.filter(|_| drift::is_ours(&live.definition, &live.tags, cluster, name));
    Ok(Steady { revision: revision.clone(), container, image, shipped })
}

fn refuse_unsteady(
    name: &ServiceName,
    revision: &TaskDefArn,
    live: &ServiceActive,
    history: Option<&[Past]>,
) -> Result<(), Unpromotable> {
    let (named, running) = (|| name.clone(), || revision.clone());
    let last = history.and_then(<[Past]>::first);
    let is_going = last.is_some_and(|last| last.stage() != Stage::Ended);
    match rollout_of(live) {
        RolloutObserved::Failed => return Err(Unpromotable::Failed { name: named(), revision: running() }),
        // An older deployment in the list has tasks that still serve.
        RolloutObserved::Complete if live.deployments.len() <= 1 && !is_going => {}
        RolloutObserved::Complete | RolloutObserved::Going => {
            return Err(Unpromotable::Going { name: named(), revision: running() });
        }
    }
    // Its circuit breaker, an alarm or somebody had it taken back: what runs is what ran before.
    if let Some(last) = last.filter(|last| last.status.starts_with("ROLLBACK")) {
        let failed = last.target.as_ref().and_then(|target| target.task_definition.clone());
        return Err(Unpromotable::RolledBack { name: named(), failed, revision: running() });
    }
    if primary(live).is_none_or(|primary| primary.running == 0) {
        return Err(Unpromotable::NothingRuns { name: named(), revision: running() });
    }
    Ok(())
}

/// The container that is shipped, and its image.
fn image_of(definition: &Value, wanted: Option<&str>, revision: &TaskDefArn) -> Result<(String, String), Unpromotable> {
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    let all = containers(definition);
    let is_essential = |container: &&Value| container["essential"].as_bool().unwrap_or(true);
    let found = match wanted {
        Some(wanted) => all.iter().find(|container| name(container) == wanted).ok_or_else(|| {
            let containers = all.iter().map(name).collect();
            Unpromotable::ContainerNotFound { revision: revision.clone(), wanted: wanted.to_owned(), containers }
        })?,
        None => match all.iter().filter(is_essential).collect::<Vec<_>>().as_slice() {
            [only] => *only,
            several => {
                let containers = several.iter().map(|container| name(container)).collect();
                return Err(Unpromotable::ContainerUnclear { revision: revision.clone(), containers });
            }
        },
    };
    Ok((name(found), found["image"].as_str().unwrap_or_default().to_owned()))
}

/// The one digest that all tasks run; `None` is a task that does not tell.
pub fn one_digest(image: &Reference, told: &[Option<Digest>]) -> Result<Digest, Unpromotable> {
    let mut digests: Vec<Digest> = told.iter().flatten().cloned().collect();
    digests.sort_unstable();
    digests.dedup();
    match digests.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Unpromotable::NoDigest { image: image.to_string() }),
        _ => Err(Unpromotable::SeveralDigests { image: image.to_string(), digests }),
    }
}

/// The tag that the image gets here: the one it was shipped under there, which was unique to its build. Another one
/// would be no name for it: what stands in a task definition as `latest` may be something else a minute later.
#[must_use]
pub fn tag(from: &str, steady: &Steady, digest: &Digest) -> Tag {
    steady.shipped.clone().unwrap_or_else(|| tag_by_digest(from, digest))
}

/// `staging-3f2a4c5d6e7f`: a name that nothing else can have.
#[must_use]
pub fn tag_by_digest(from: &str, digest: &Digest) -> Tag {
    let name = from.trim_start_matches('-');
    let name = if name.is_empty() { "promoted" } else { name };
    let name: String = name.chars().take(100).collect();
    format!("{name}-{}", digest.short()).parse().expect("the name of an environment is letters, digits, - and _")
}

/// The tag that the image is to have here. One that stands for another image is left where it is.
pub(super) fn tag_here(from: &str, candidate: &Candidate) -> Tag {
    match taken(candidate) {
        Some(_) => tag_by_digest(from, &candidate.digest),
        None => candidate.tag.clone(),
    }
}

/// What the repository here has under its tag, if that is another image.
pub(super) fn taken(candidate: &Candidate) -> Option<&Digest> {
    candidate.tagged.as_ref().filter(|tagged| **tagged != candidate.digest)
}

/// Whether two names are of one repository: its registry has more than one host name.
#[must_use]
pub fn is_same_repository(one: &ImageName, other: &ImageName) -> bool {
    one.repository == other.repository
        && match (one.ecr(), other.ecr()) {
            (Some(one), Some(other)) => one.account == other.account && one.region == other.region,
            (None, None) => one.registry == other.registry,
            (Some(_), None) | (None, Some(_)) => false,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Steady, Unpromotable, is_same_repository, one_digest, steady, tag};
    use crate::{
        config::spec::PromotionSource,
        id::{Cluster, ServiceName},
        plan::{
            diff::{TAG_FINGERPRINT, TAG_IMAGE, TAG_TARGET},
            drift,
            observed::{ServiceActive, ServiceObserved},
            testing::{active, arn, deployment, digest},
        },
        rollout::past::{Past, RevisionOfService},
    };

    fn source(container: Option<&str>) -> PromotionSource {
        PromotionSource {
            cluster: Cluster::new("shop"),
            service: ServiceName::new("web"),
            container: container.map(str::to_owned),
        }
    }

    fn past(status: &str) -> Past {
        let target = RevisionOfService { task_definition: Some(arn("web:42")), ..RevisionOfService::default() };
        Past { status: status.to_owned(), target: Some(target), ..Past::default() }
    }

    /// What is found in a service that `change` made unusual.
    fn found(change: impl FnOnce(&mut ServiceActive), history: Option<&[Past]>) -> Result<Steady, Unpromotable> {
        let mut live = active("web", &["web"]);
        change(&mut live);
        steady(&source(None), &ServiceObserved::Active(Box::new(live)), history)
    }

    #[test]
    fn what_a_service_runs_steadily_is_told_with_its_container() {
        let steady = found(|_| (), Some(&[past("SUCCESSFUL")])).expect("it is steady");
        assert_eq!((steady.revision, steady.container.as_str()), (arn("web:41"), "web"));
        assert_eq!((steady.image.digest, steady.shipped), (Some(digest('a')), None));
        assert!(found(|_| (), None).is_ok(), "what may not be asked is no reason");
    }

    #[test]
    fn what_is_not_steady_is_nothing_to_go_by() {
        let going = |live: &mut ServiceActive| {
            live.deployments[0].rollout_state = Some("IN_PROGRESS".to_owned());
        };
        assert!(matches!(found(going, None), Err(Unpromotable::Going { .. })));
        let draining = |live: &mut ServiceActive| {
            live.deployments.push(deployment("ecs-svc/0", "ACTIVE", "COMPLETED", &arn("web:40")));
        };
        assert!(matches!(found(draining, None), Err(Unpromotable::Going { .. })));
        assert!(matches!(found(|_| (), Some(&[past("IN_PROGRESS")])), Err(Unpromotable::Going { .. })));
        let failed = |live: &mut ServiceActive| live.deployments[0].rollout_state = Some("FAILED".to_owned());
        assert!(matches!(found(failed, None), Err(Unpromotable::Failed { .. })));
        let back = found(|_| (), Some(&[past("ROLLBACK_SUCCESSFUL"), past("SUCCESSFUL")]));
        let expected = Unpromotable::RolledBack {
            name: ServiceName::new("web"),
            failed: Some(arn("web:42")),
            revision: arn("web:41"),
        };
        assert_eq!(back, Err(expected));
        let none = |live: &mut ServiceActive| live.deployments[0].running = 0;
        assert!(matches!(found(none, None), Err(Unpromotable::NothingRuns { .. })));
        let other = |live: &mut ServiceActive| live.controller = "CODE_DEPLOY".to_owned();
        assert!(matches!(found(other, None), Err(Unpromotable::OtherController { .. })));
        let missing = steady(&source(None), &ServiceObserved::Missing, None);
        assert!(matches!(missing, Err(Unpromotable::ServiceMissing { .. })));
    }

    #[test]
    fn the_container_that_is_shipped_has_the_image() {
        let two = |essential: bool| {
            move |live: &mut ServiceActive| {
                let log = json!({ "name": "log", "image": "log:1", "essential": essential });
                live.definition["containerDefinitions"].as_array_mut().expect("containers").push(log);
            }
        };
        assert_eq!(found(two(false), None).expect("one is essential").container, "web");
        assert!(matches!(found(two(true), None), Err(Unpromotable::ContainerUnclear { .. })));
        let live = ServiceObserved::Active(Box::new(active("web", &["web"])));
        assert!(matches!(steady(&source(Some("api")), &live, None), Err(Unpromotable::ContainerNotFound { .. })));
    }

    /// The tag of a ship is its own; one that somebody else has put there may be anything a minute later.
    #[test]
    fn the_tag_is_that_of_the_ship_or_made_of_the_digest() {
        let (cluster, service) = (Cluster::new("shop"), ServiceName::new("web"));
        let shipped = |live: &mut ServiceActive| {
            live.tags = vec![
                (TAG_IMAGE.to_owned(), "v7".to_owned()),
                (TAG_TARGET.to_owned(), drift::target(&cluster, &service)),
                (TAG_FINGERPRINT.to_owned(), drift::fingerprint(&live.definition)),
            ];
        };
        let ours = found(shipped, None).expect("steady");
        assert_eq!(tag("staging", &ours, &digest('a')).as_str(), "v7");
        let by_hand = found(|live| live.tags = vec![(TAG_IMAGE.to_owned(), "v7".to_owned())], None).expect("steady");
        assert_eq!(tag("staging", &by_hand, &digest('a')).as_str(), "staging-aaaaaaaaaaaa");
        assert_eq!(tag("-odd", &by_hand, &digest('a')).as_str(), "odd-aaaaaaaaaaaa");
    }

    #[test]
    fn a_tag_is_what_all_tasks_run() {
        let image = "r.example/web:latest".parse().expect("a reference");
        let told = |digests: &[Option<char>]| {
            let digests: Vec<_> = digests.iter().map(|one| one.map(digest)).collect();
            one_digest(&image, &digests)
        };
        assert_eq!(told(&[Some('a'), None, Some('a')]), Ok(digest('a')));
        assert!(matches!(told(&[Some('a'), Some('b')]), Err(Unpromotable::SeveralDigests { .. })));
        assert!(matches!(told(&[None]), Err(Unpromotable::NoDigest { .. })));
    }

    #[test]
    fn a_registry_has_more_than_one_name() {
        let same =
            |one: &str, other: &str| is_same_repository(&one.parse().expect("a name"), &other.parse().expect("a name"));
        let standard = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/shop/web";
        assert!(same(standard, "111111111111.dkr-ecr.eu-west-1.on.aws/shop/web"));
        assert!(same(standard, "111111111111.dkr.ecr-fips.eu-west-1.amazonaws.com/shop/web"));
        assert!(!same(standard, "111111111111.dkr.ecr.eu-west-2.amazonaws.com/shop/web"));
        assert!(!same(standard, "222222222222.dkr.ecr.eu-west-1.amazonaws.com/shop/web"));
        assert!(!same(standard, "111111111111.dkr.ecr.eu-west-1.amazonaws.com/shop/api"));
        assert!(same("127.0.0.1:4510/shop/web", "127.0.0.1:4510/shop/web"));
    }
}
