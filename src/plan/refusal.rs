//! Reasons not to start, found before anything was changed; each with what to do about it.
//!
//! A refusal is not an error of this program: it is what planning answers when the world and the spec
//! do not fit. All of them are told at once.

use std::path::PathBuf;

use super::{
    observed::{BuildInput, WhyMissing},
    promote::Unpromotable,
};
use crate::{
    config::spec::Builder,
    id::{Cluster, Key, ServiceName, TaskDefArn},
    image::{Digest, Tag},
    prose::nearest,
};

/// Why a deploy is not started. `Display` says what is wrong, [`Refusal::hint`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the credentials belong to account {actual}, but this environment may only touch {expected}")]
    WrongAccount { expected: String, actual: String },
    #[error("cluster {cluster} does not exist in {region}")]
    ClusterMissing { cluster: Cluster, region: String },
    #[error("service {name} does not exist in cluster {cluster}")]
    ServiceMissing { service: Key, name: ServiceName, cluster: Cluster, region: String },
    #[error("service {name} in cluster {cluster} is {status}: it was deleted")]
    ServiceGone { service: Key, name: ServiceName, cluster: Cluster, status: String },
    #[error("service {name} is rolled out by the {controller} deployment controller, not by ECS itself")]
    OtherController { service: Key, name: ServiceName, controller: String },
    #[error("another deployment of service {name} is going on: {deployment} to {revision}")]
    DeploymentGoing { service: Key, name: ServiceName, deployment: String, revision: TaskDefArn },
    #[error(
        "service {name} can neither start nor stop a task: of {desired} at least {} must run ({minimum_healthy_percent} %) and at most {} may ({maximum_percent} %)",
        at_least(*.desired, *.minimum_healthy_percent),
        at_most(*.desired, *.maximum_percent)
    )]
    Deadlock {
        service: Key,
        name: ServiceName,
        cluster: Cluster,
        desired: u32,
        minimum_healthy_percent: u32,
        maximum_percent: u32,
    },
    #[error("repository {repository} does not exist in {region}")]
    RepositoryMissing { image: Key, repository: String, region: String },
    #[error("tag {tag} of repository {repository} is immutable and points at {} already", digest.short())]
    TagTaken { image: Key, repository: String, tag: Tag, digest: Digest },
    #[error("the task definition of {service} has no container {wanted}; it has {}", list(containers))]
    ContainerNotFound { service: Key, wanted: String, containers: Vec<String> },
    #[error(
        "the task before the rollout of {service} is to run in container {wanted}, and its task definition has {}",
        list(containers)
    )]
    BeforeContainerNotFound { service: Key, wanted: String, containers: Vec<String> },
    #[error("which container of {service} gets the image is not clear: {}", candidates(containers))]
    ContainerUnclear { service: Key, containers: Vec<String> },
    #[error("{} is not a task definition: it has no containers", source(file.as_ref()))]
    NoContainers { service: Key, file: Option<PathBuf> },
    #[error("the task definition file {} was not read", file.display())]
    FileUnread { service: Key, file: PathBuf },
    #[error("image {image} is built for {built}, but the task definition of {service} runs {wanted}")]
    OtherPlatform { image: Key, service: Key, built: String, wanted: String },
    #[error(
        "tag {tag} of repository {repository} is immutable and is for {}, but the task definition of {service} runs {wanted}",
        list(platforms)
    )]
    PushedPlatform { image: Key, service: Key, repository: String, tag: Tag, platforms: Vec<String>, wanted: String },
    #[error("nothing ran before {revision} in service {name}, as far as ECS remembers")]
    NothingBefore { service: Key, name: ServiceName, region: String, revision: TaskDefArn },
    #[error("what ran before in service {name} may not be asked: its service deployments cannot be read")]
    HistoryUnread { service: Key, name: ServiceName },
    #[error("{revision} does not exist")]
    RevisionMissing { service: Key, revision: TaskDefArn },
    #[error("{revision} was deregistered (it is INACTIVE), and ECS updates no service to such a revision")]
    RevisionInactive { service: Key, revision: TaskDefArn },
    #[error(
        "no load balancer forwards to target group {target_group} of service {name}: its targets never get healthy"
    )]
    TargetGroupUnattached { service: Key, name: ServiceName, target_group: String, arn: String },
    #[error("target group {target_group} wants port {port} of container {container}, which maps {}", list(mapped))]
    PortNotMapped { service: Key, container: String, port: u32, target_group: String, mapped: Vec<String> },
    #[error(
        "target group {target_group} wants container {container}, and the task definition of {service} has {}",
        list(containers)
    )]
    BalancedContainerMissing { service: Key, container: String, target_group: String, containers: Vec<String> },
    #[error("the task definition of {service} has no execution role, which it needs for {}", list(needs))]
    NoExecutionRole { service: Key, needs: Vec<&'static str> },
    #[error("image {image} asks for {input}, and {why}")]
    InputMissing { image: Key, input: BuildInput, why: WhyMissing },
    #[error("image {image} asks for {}, and the classic builder has no such thing", list(keys))]
    NeedsBuildKit { image: Key, keys: Vec<&'static str>, wanted: Builder },
    #[error("{} are the same service {name} in cluster {cluster}", list(services))]
    SameService { services: Vec<Key>, name: ServiceName, cluster: Cluster },
    #[error("service {service} cannot be promoted: {from} {why}")]
    NotPromotable { service: Key, from: String, why: Unpromotable },
    #[error(
        "the image that {from} runs as {service} is for {}, but the task definition of {service} here runs {wanted}",
        list(platforms)
    )]
    PromotedPlatform { service: Key, from: String, platforms: Vec<String>, wanted: String },
    #[error(
        "tag {tag} of repository {repository} is immutable and points at {}, and {from} runs {} under it",
        digest.short(),
        promoted.short()
    )]
    PromotedTagTaken { service: Key, from: String, repository: String, tag: Tag, digest: Digest, promoted: Digest },
}

impl Refusal {
    /// Stable, for machines and for looking it up.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::WrongAccount { .. } => "plan::wrong_account",
            Self::ClusterMissing { .. } => "plan::cluster_missing",
            Self::ServiceMissing { .. } => "plan::service_missing",
            Self::ServiceGone { .. } => "plan::service_gone",
            Self::OtherController { .. } => "plan::other_controller",
            Self::DeploymentGoing { .. } => "plan::deployment_going",
            Self::Deadlock { .. } => "plan::deadlock",
            Self::RepositoryMissing { .. } => "plan::repository_missing",
            Self::TagTaken { .. } => "plan::tag_taken",
            Self::ContainerNotFound { .. } => "plan::container_not_found",
            Self::BeforeContainerNotFound { .. } => "plan::before_container_not_found",
            Self::ContainerUnclear { .. } => "plan::container_unclear",
            Self::NoContainers { .. } => "plan::no_containers",
            Self::FileUnread { .. } => "plan::file_unread",
            Self::OtherPlatform { .. } => "plan::other_platform",
            Self::PushedPlatform { .. } => "plan::pushed_platform",
            Self::NothingBefore { .. } => "plan::nothing_before",
            Self::HistoryUnread { .. } => "plan::history_unread",
            Self::RevisionMissing { .. } => "plan::revision_missing",
            Self::RevisionInactive { .. } => "plan::revision_inactive",
            Self::TargetGroupUnattached { .. } => "plan::target_group_unattached",
            Self::PortNotMapped { .. } => "plan::port_not_mapped",
            Self::BalancedContainerMissing { .. } => "plan::balanced_container_missing",
            Self::NoExecutionRole { .. } => "plan::no_execution_role",
            Self::InputMissing { input: BuildInput::Secret { .. }, .. } => "plan::secret_missing",
            Self::InputMissing { input: BuildInput::Ssh { .. }, .. } => "plan::ssh_missing",
            Self::InputMissing { input: BuildInput::Stage { .. }, .. } => "plan::stage_missing",
            Self::InputMissing { input: BuildInput::Buildx, .. } => "plan::buildx_missing",
            Self::NeedsBuildKit { .. } => "plan::needs_buildkit",
            Self::SameService { .. } => "plan::same_service",
            Self::NotPromotable { why, .. } => why.code(),
            Self::PromotedPlatform { .. } => "plan::promote_platform",
            Self::PromotedTagTaken { .. } => "plan::promote_tag_taken",
        }
    }

    /// What to do, in one or two sentences.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one sentence for each refusal, side by side")]
    pub fn hint(&self) -> String {
        match self {
            Self::WrongAccount { .. } => {
                "choose another profile or environment, or change `account` of the environment in ship.toml".to_owned()
            }
            Self::ClusterMissing { cluster, region } => format!(
                "check `cluster` and `region`; `aws ecs list-clusters --region {region}` shows what is there, \
                 `aws ecs create-cluster --cluster-name {cluster} --region {region}` creates it"
            ),
            Self::ServiceMissing { service, cluster, region, .. } => format!(
                "check `service` and `cluster` of [services.{service}]; \
                 `aws ecs list-services --cluster {cluster} --region {region}` shows what is there. \
                 A deploy updates services, it does not create them"
            ),
            Self::ServiceGone { service, name, cluster, .. } => {
                format!("create service {name} again in cluster {cluster}, or change `service` of [services.{service}]")
            }
            Self::OtherController { service, controller, .. } => {
                let with = if controller == "CODE_DEPLOY" { "CodeDeploy" } else { "the tool that owns its task sets" };
                format!(
                    "roll it out with {with}, or give [services.{service}] a service whose `deploymentController` is ECS"
                )
            }
            Self::DeploymentGoing { service, .. } => format!(
                "wait for its end with `docker-ecs-ship deploy --wait-for-other`, or see it with `docker-ecs-ship watch {service}`; \
                 `docker-ecs-ship rollback {service}` takes it back"
            ),
            Self::Deadlock { name, cluster, desired, minimum_healthy_percent, .. } => {
                let enough = enough_percent(*desired);
                format!(
                    "let ECS start one more task: `aws ecs update-service --cluster {cluster} --service {name} \
                     --deployment-configuration minimumHealthyPercent={minimum_healthy_percent},maximumPercent={enough}`"
                )
            }
            Self::RepositoryMissing { image, repository, region } => format!(
                "`aws ecr create-repository --repository-name {repository} --region {region}` creates it, \
                 or `create_repository = true` in [images.{image}] lets the deploy do so"
            ),
            Self::TagTaken { image, tag, .. } => format!(
                "an immutable tag is used once: commit what changed, or give [images.{image}] a tag other than {tag}"
            ),
            Self::ContainerNotFound { service, wanted, containers } => {
                container_hint(&format!("[services.{service}]"), wanted, containers)
            }
            Self::BeforeContainerNotFound { service, wanted, containers } => format!(
                "{}; without it the container that gets the image runs the command",
                container_hint(&format!("[services.{service}.before]"), wanted, containers)
            ),
            Self::ContainerUnclear { service, containers } => {
                let first = containers.first().map_or("…", String::as_str);
                format!("say which in [services.{service}], as in `container = \"{first}\"`")
            }
            Self::NoContainers { service, file: Some(file) } => format!(
                "{} must be what `aws ecs register-task-definition --cli-input-json` takes, with `containerDefinitions`; \
                 it is named by `task_definition` of [services.{service}]",
                file.display()
            ),
            Self::NoContainers { service, file: None } => format!(
                "register a revision with `containerDefinitions` for the service of [services.{service}], \
                 or name a file with `task_definition`"
            ),
            Self::FileUnread { service, .. } => format!("check `task_definition` of [services.{service}]"),
            Self::OtherPlatform { image, wanted, .. } => platform_hint(image, wanted),
            Self::PushedPlatform { image, service, tag, wanted, .. } => {
                pushed_platform_hint(image, service, tag, wanted)
            }
            Self::NothingBefore { service, region, revision, .. } => format!(
                "name a revision, as in `docker-ecs-ship rollback {service} --to {family}:1`; \
                 `aws ecs list-task-definitions --family-prefix {family} --region {region}` shows what there is",
                family = revision.family()
            ),
            Self::HistoryUnread { service, .. } => format!(
                "grant ecs:ListServiceDeployments, ecs:DescribeServiceDeployments and ecs:DescribeServiceRevisions, \
                 or name a revision: `docker-ecs-ship rollback {service} --to REVISION`"
            ),
            Self::RevisionMissing { service, .. } => {
                format!(
                    "`docker-ecs-ship history {service}` shows what ran; a number alone means a revision of the same family"
                )
            }
            Self::RevisionInactive { service, .. } => format!(
                "deploy the commit it was made of, or go back to another revision of `docker-ecs-ship history {service}` \
                 with --to; keep what you may want to go back to registered"
            ),
            Self::TargetGroupUnattached { arn, .. } => unattached_hint(arn),
            Self::PortNotMapped { service, container, port, .. } => format!(
                "add {{ \"containerPort\": {port} }} to `portMappings` of container {container} in the task definition of \
                 [services.{service}], or point the service at another port with `aws ecs update-service --load-balancers`"
            ),
            Self::BalancedContainerMissing { service, container, .. } => format!(
                "call the container {container} in the task definition of [services.{service}], \
                 or point the service at another one with `aws ecs update-service --load-balancers`"
            ),
            Self::NoExecutionRole { service, .. } => format!(
                "put `executionRoleArn` into the task definition of [services.{service}], with a role that trusts \
                 ecs-tasks.amazonaws.com and has the policy AmazonECSTaskExecutionRolePolicy"
            ),
            Self::InputMissing { image, input, why } => missing_hint(image, input, why),
            Self::NeedsBuildKit { image, keys, wanted } => buildkit_hint(image, keys, *wanted),
            Self::NotPromotable { service, from, why } => why.hint(service, from),
            Self::PromotedPlatform { service, from, wanted, .. } => promoted_platform_hint(service, from, wanted),
            Self::PromotedTagTaken { service, from, tag, .. } => promoted_tag_hint(service, from, tag),
            Self::SameService { services, .. } => format!(
                "give each its own `service`: {}",
                services.iter().map(|key| format!("[services.{key}]")).collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

/// Which one was meant, where that is easy to guess.
fn container_hint(table: &str, wanted: &str, containers: &[String]) -> String {
    let names = || containers.iter().map(String::as_str);
    match (nearest(wanted, names()), containers) {
        (Some(meant), _) => format!("did you mean {meant}? Write `container = \"{meant}\"` in {table}"),
        (None, [only]) => format!("write `container = \"{only}\"` in {table}"),
        (None, [first, ..]) => format!("name one of them in {table}, as in `container = \"{first}\"`"),
        (None, []) => format!("change `container` of {table}"),
    }
}

fn platform_hint(image: &Key, wanted: &str) -> String {
    format!(
        "`platform = \"{wanted}\"` in [images.{image}] builds for it; otherwise change `runtimePlatform` of the task definition"
    )
}

fn pushed_platform_hint(image: &Key, service: &Key, tag: &Tag, wanted: &str) -> String {
    format!(
        "`platform = \"{wanted}\"` in [images.{image}] builds for it, under a tag other than {tag}; \
         otherwise change `runtimePlatform` of the task definition of [services.{service}]"
    )
}

fn promoted_platform_hint(service: &Key, from: &str, wanted: &str) -> String {
    format!(
        "build it for {wanted} as well and ship it to {from} first, or change `runtimePlatform` in the task \
         definition of [services.{service}] here"
    )
}

fn promoted_tag_hint(service: &Key, from: &str, tag: &Tag) -> String {
    format!(
        "a tag is of one image: ship another build to {from} with `docker-ecs-ship deploy --environment {from} \
         {service}`, under another tag than {tag}, and promote that"
    )
}

fn unattached_hint(arn: &str) -> String {
    format!(
        "add a listener or a rule that forwards to it: `aws elbv2 create-listener --load-balancer-arn … --protocol HTTP \
         --port 80 --default-actions Type=forward,TargetGroupArn={arn}`; or take it out of the service"
    )
}

fn buildkit_hint(image: &Key, keys: &[&str], wanted: Builder) -> String {
    match wanted {
        Builder::Classic => format!("take `builder = \"classic\"` out of [images.{image}]"),
        Builder::Auto | Builder::Engine | Builder::Buildx => format!(
            "build on a Docker Engine that has BuildKit (this one says that it has none), or take {} out of \
             [images.{image}]",
            list(keys)
        ),
    }
}

/// Which packages have it.
const INSTALL_BUILDX: &str = "`sudo apt-get install docker-buildx` on Debian, docker-buildx-plugin from Docker's own packages, \
                              Docker Desktop has it";

fn missing_hint(image: &Key, input: &BuildInput, why: &WhyMissing) -> String {
    match why {
        WhyMissing::NotSet { variable } => match input {
            BuildInput::Secret { id } => format!("set {variable}, or change `env` of [images.{image}.secrets.{id}]"),
            BuildInput::Ssh { .. } | BuildInput::Stage { .. } | BuildInput::Buildx => {
                "start an agent with `eval $(ssh-agent)` and give it a key with `ssh-add`; sudo and CI do not pass the \
                 variable on by themselves"
                    .to_owned()
            }
        },
        WhyMissing::Empty { variable } => format!(
            "give {variable} a value; CI systems pass on an empty one for a credential that they do not have, or hide \
             from this branch"
        ),
        WhyMissing::Unread { path, .. } => match input {
            BuildInput::Secret { id } => format!(
                "see whether {} is there and who may read it, or change `file` of [images.{image}.secrets.{id}]",
                path.display()
            ),
            BuildInput::Ssh { .. } | BuildInput::Stage { .. } | BuildInput::Buildx => {
                format!("start an ssh agent that listens at {}, or change `ssh` of [images.{image}]", path.display())
            }
        },
        WhyMissing::TooLarge { .. } => format!("keep in {input} only what is secret, and COPY the rest"),
        WhyMissing::NoSocket { path } => {
            let write = match input {
                BuildInput::Ssh { id } if id != "default" => format!("{id}=${{env.SSH_AUTH_SOCK}}"),
                BuildInput::Ssh { .. } | BuildInput::Secret { .. } | BuildInput::Stage { .. } | BuildInput::Buildx => {
                    "default".to_owned()
                }
            };
            format!(
                "a key goes into an agent: `ssh-add {}`, and `ssh = [\"{write}\"]` in [images.{image}]",
                path.display()
            )
        }
        WhyMissing::NoPlugin { looked } => {
            let looked: Vec<_> = looked.iter().map(|folder| folder.display().to_string()).collect();
            format!(
                "{INSTALL_BUILDX}; docker looks for docker-buildx in {}. Or build without it: `builder = \"auto\"` and no \
                 image in `cache_to` of [images.{image}]",
                looked.join(", ")
            )
        }
        WhyMissing::OldPlugin { .. } | WhyMissing::BrokenPlugin { .. } => {
            format!(
                "install a newer one ({INSTALL_BUILDX}), or build without it: `builder = \"auto\"` in [images.{image}]"
            )
        }
        WhyMissing::NoStage { stages, .. } => match stages.as_slice() {
            [] => format!("call a stage so, with `FROM … AS NAME`, or take `target` out of [images.{image}]"),
            stages => format!("change `target` in [images.{image}], or call a stage so; there is {}", list(stages)),
        },
    }
}

/// `minimumHealthyPercent` of the desired count, which ECS rounds up.
#[must_use]
pub const fn at_least(desired: u32, percent: u32) -> u64 {
    (desired as u64 * percent as u64).div_ceil(100)
}

/// `maximumPercent` of the desired count, which ECS rounds down.
#[must_use]
pub const fn at_most(desired: u32, percent: u32) -> u64 {
    desired as u64 * percent as u64 / 100
}

/// Whether no task may be stopped and none started, so that a rollout would stand still for ever:
///
/// > unable to stop or start tasks during a deployment because of the service deployment configuration.
///
/// Examples of AWS's own: 75 % of 2 rounds up to 2, so nothing may be stopped; 125 % of 3 rounds down
/// to 3, so nothing may be started. Only both together are a deadlock.
#[must_use]
pub const fn is_deadlock(desired: u32, minimum_healthy_percent: u32, maximum_percent: u32) -> bool {
    let all = desired as u64;
    desired > 0 && at_least(desired, minimum_healthy_percent) >= all && at_most(desired, maximum_percent) <= all
}

/// The smallest maximum that lets one task more run.
const fn enough_percent(desired: u32) -> u64 {
    if desired == 0 { 200 } else { ((desired as u64 + 1) * 100).div_ceil(desired as u64) }
}

fn list(names: &[impl ToString]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => one.to_string(),
        [all @ .., last] => {
            format!("{} and {}", all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "), last.to_string())
        }
    }
}

fn candidates(containers: &[String]) -> String {
    match containers {
        [] => "none is essential".to_owned(),
        some => format!("{} are essential", list(some)),
    }
}

fn source(file: Option<&PathBuf>) -> String {
    file.map_or_else(|| "what the service runs".to_owned(), |file| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, io};

    use proptest::prelude::*;

    use super::{
        BuildInput, Builder, Refusal, Unpromotable, WhyMissing, at_least, at_most, enough_percent, is_deadlock,
    };
    use crate::{
        id::{Cluster, Key, ServiceName, TaskDefArn},
        image::{Digest, Tag},
    };

    fn one_of_each() -> Vec<Refusal> {
        of_services().into_iter().chain(of_images()).collect()
    }

    fn of_promotions() -> Vec<Refusal> {
        let name = || ServiceName::new("shop-web");
        let revision = || TaskDefArn::new("arn:aws:ecs:eu-west-1:222222222222:task-definition/web:57");
        let image = || "222222222222.dkr.ecr.eu-west-1.amazonaws.com/shop/web:latest".to_owned();
        let digest = |letter: &str| -> Digest { format!("sha256:{}", letter.repeat(64)).parse().expect("a digest") };
        let (service, from) = (|| Key::new("web"), || "staging".to_owned());
        let containers = || vec!["web".to_owned(), "log".to_owned()];
        let why = [
            Unpromotable::ServiceMissing { name: name(), cluster: Cluster::new("shop-staging") },
            Unpromotable::OtherController { name: name(), controller: "CODE_DEPLOY".to_owned() },
            Unpromotable::Going { name: name(), revision: revision() },
            Unpromotable::Failed { name: name(), revision: revision() },
            Unpromotable::RolledBack { name: name(), failed: Some(revision()), revision: revision() },
            Unpromotable::NothingRuns { name: name(), revision: revision() },
            Unpromotable::ContainerNotFound {
                revision: revision(),
                wanted: "api".to_owned(),
                containers: containers(),
            },
            Unpromotable::ContainerUnclear { revision: revision(), containers: containers() },
            Unpromotable::NotEcr { image: "docker.io/library/nginx:1".to_owned() },
            Unpromotable::SeveralDigests { image: image(), digests: vec![digest("a"), digest("b")] },
            Unpromotable::NoDigest { image: image() },
            Unpromotable::ImageGone {
                name: "222222222222.dkr.ecr.eu-west-1.amazonaws.com/shop/web".parse().expect("a name"),
                digest: digest("a"),
            },
            Unpromotable::WrongAccount { expected: "222222222222".to_owned(), actual: "111111111111".to_owned() },
            Unpromotable::Unread { action: "ecs:DescribeServices".to_owned(), resource: None },
        ];
        let not = why.into_iter().map(|why| Refusal::NotPromotable { service: service(), from: from(), why });
        not.chain([
            Refusal::PromotedPlatform {
                service: service(),
                from: from(),
                platforms: vec!["linux/amd64".to_owned()],
                wanted: "linux/arm64".to_owned(),
            },
            Refusal::PromotedTagTaken {
                service: service(),
                from: from(),
                repository: "shop/web".to_owned(),
                tag: "v7".parse().expect("a tag"),
                digest: digest("a"),
                promoted: digest("b"),
            },
        ])
        .collect()
    }

    fn of_services() -> Vec<Refusal> {
        let service = || Key::new("web");
        let name = || ServiceName::new("shop-web");
        let cluster = || Cluster::new("shop");
        let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().expect("a digest");
        let tag: Tag = "4f2c1d".parse().expect("a tag");
        vec![
            Refusal::WrongAccount { expected: "111111111111".to_owned(), actual: "222222222222".to_owned() },
            Refusal::ClusterMissing { cluster: cluster(), region: "eu-west-1".to_owned() },
            Refusal::ServiceMissing {
                service: service(),
                name: name(),
                cluster: cluster(),
                region: "eu-west-1".to_owned(),
            },
            Refusal::ServiceGone {
                service: service(),
                name: name(),
                cluster: cluster(),
                status: "INACTIVE".to_owned(),
            },
            Refusal::NothingBefore {
                service: service(),
                name: name(),
                region: "eu-west-1".to_owned(),
                revision: TaskDefArn::new("web:41"),
            },
            Refusal::HistoryUnread { service: service(), name: name() },
            Refusal::RevisionMissing { service: service(), revision: TaskDefArn::new("web:99") },
            Refusal::RevisionInactive { service: service(), revision: TaskDefArn::new("web:41") },
            Refusal::OtherController { service: service(), name: name(), controller: "CODE_DEPLOY".to_owned() },
            Refusal::DeploymentGoing {
                service: service(),
                name: name(),
                deployment: "ecs-svc/1".to_owned(),
                revision: TaskDefArn::new("arn:aws:ecs:eu-west-1:111111111111:task-definition/web:42"),
            },
            Refusal::Deadlock {
                service: service(),
                name: name(),
                cluster: cluster(),
                desired: 3,
                minimum_healthy_percent: 100,
                maximum_percent: 125,
            },
            Refusal::RepositoryMissing {
                image: service(),
                repository: "shop/web".to_owned(),
                region: "eu-west-1".to_owned(),
            },
            Refusal::TagTaken { image: service(), repository: "shop/web".to_owned(), tag, digest },
            Refusal::ContainerNotFound {
                service: service(),
                wanted: "api".to_owned(),
                containers: vec!["web".to_owned(), "log".to_owned()],
            },
            Refusal::BeforeContainerNotFound {
                service: service(),
                wanted: "migrations".to_owned(),
                containers: vec!["migration".to_owned(), "web".to_owned()],
            },
            Refusal::ContainerUnclear { service: service(), containers: vec!["web".to_owned(), "log".to_owned()] },
            Refusal::NoContainers { service: service(), file: Some("/src/task.json".into()) },
            Refusal::FileUnread { service: service(), file: "/src/task.json".into() },
            Refusal::OtherPlatform {
                image: service(),
                service: service(),
                built: "linux/amd64".to_owned(),
                wanted: "linux/arm64".to_owned(),
            },
            Refusal::PushedPlatform {
                image: Key::new("web"),
                service: Key::new("web"),
                repository: "shop/web".to_owned(),
                tag: "v7".parse().expect("a tag"),
                platforms: vec!["linux/amd64".to_owned()],
                wanted: "linux/arm64".to_owned(),
            },
            Refusal::TargetGroupUnattached {
                service: service(),
                name: name(),
                target_group: "shop-web".to_owned(),
                arn: "arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/shop-web/73e2d6bc24d8a067"
                    .to_owned(),
            },
            Refusal::PortNotMapped {
                service: service(),
                container: "web".to_owned(),
                port: 8080,
                target_group: "shop-web".to_owned(),
                mapped: vec!["80".to_owned(), "9000-9010".to_owned()],
            },
            Refusal::BalancedContainerMissing {
                service: service(),
                container: "web".to_owned(),
                target_group: "shop-web".to_owned(),
                containers: vec!["app".to_owned()],
            },
            Refusal::NoExecutionRole { service: service(), needs: vec!["`secrets`", "an image in ECR on Fargate"] },
            Refusal::SameService { services: vec![service(), Key::new("api")], name: name(), cluster: cluster() },
        ]
    }

    fn of_images() -> Vec<Refusal> {
        let image = || Key::new("web");
        vec![
            Refusal::InputMissing {
                image: image(),
                input: BuildInput::Secret { id: "nuget".to_owned() },
                why: WhyMissing::NotSet { variable: "NUGET_TOKEN".to_owned() },
            },
            Refusal::InputMissing {
                image: image(),
                input: BuildInput::Ssh { id: "default".to_owned() },
                why: WhyMissing::NotSet { variable: "SSH_AUTH_SOCK".to_owned() },
            },
            Refusal::InputMissing {
                image: image(),
                input: BuildInput::Stage { name: "tests".to_owned() },
                why: WhyMissing::NoStage { dockerfile: "/src/Dockerfile".into(), stages: vec!["test".to_owned()] },
            },
            Refusal::NeedsBuildKit { image: image(), keys: vec!["`secrets`", "`ssh`"], wanted: Builder::Classic },
        ]
    }

    fn told(refusals: &[Refusal]) -> String {
        let one = |refusal: &Refusal| format!("{}\n  {refusal}\n  hint: {}", refusal.code(), refusal.hint());
        refusals.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_refusal_of_a_promotion_says_what_to_do() {
        insta::assert_snapshot!(told(&of_promotions()));
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let text = told(&one_of_each());
        insta::assert_snapshot!(text, @r#"
        plan::wrong_account
          the credentials belong to account 222222222222, but this environment may only touch 111111111111
          hint: choose another profile or environment, or change `account` of the environment in ship.toml
        plan::cluster_missing
          cluster shop does not exist in eu-west-1
          hint: check `cluster` and `region`; `aws ecs list-clusters --region eu-west-1` shows what is there, `aws ecs create-cluster --cluster-name shop --region eu-west-1` creates it
        plan::service_missing
          service shop-web does not exist in cluster shop
          hint: check `service` and `cluster` of [services.web]; `aws ecs list-services --cluster shop --region eu-west-1` shows what is there. A deploy updates services, it does not create them
        plan::service_gone
          service shop-web in cluster shop is INACTIVE: it was deleted
          hint: create service shop-web again in cluster shop, or change `service` of [services.web]
        plan::nothing_before
          nothing ran before web:41 in service shop-web, as far as ECS remembers
          hint: name a revision, as in `docker-ecs-ship rollback web --to web:1`; `aws ecs list-task-definitions --family-prefix web --region eu-west-1` shows what there is
        plan::history_unread
          what ran before in service shop-web may not be asked: its service deployments cannot be read
          hint: grant ecs:ListServiceDeployments, ecs:DescribeServiceDeployments and ecs:DescribeServiceRevisions, or name a revision: `docker-ecs-ship rollback web --to REVISION`
        plan::revision_missing
          web:99 does not exist
          hint: `docker-ecs-ship history web` shows what ran; a number alone means a revision of the same family
        plan::revision_inactive
          web:41 was deregistered (it is INACTIVE), and ECS updates no service to such a revision
          hint: deploy the commit it was made of, or go back to another revision of `docker-ecs-ship history web` with --to; keep what you may want to go back to registered
        plan::other_controller
          service shop-web is rolled out by the CODE_DEPLOY deployment controller, not by ECS itself
          hint: roll it out with CodeDeploy, or give [services.web] a service whose `deploymentController` is ECS
        plan::deployment_going
          another deployment of service shop-web is going on: ecs-svc/1 to web:42
          hint: wait for its end with `docker-ecs-ship deploy --wait-for-other`, or see it with `docker-ecs-ship watch web`; `docker-ecs-ship rollback web` takes it back
        plan::deadlock
          service shop-web can neither start nor stop a task: of 3 at least 3 must run (100 %) and at most 3 may (125 %)
          hint: let ECS start one more task: `aws ecs update-service --cluster shop --service shop-web --deployment-configuration minimumHealthyPercent=100,maximumPercent=134`
        plan::repository_missing
          repository shop/web does not exist in eu-west-1
          hint: `aws ecr create-repository --repository-name shop/web --region eu-west-1` creates it, or `create_repository = true` in [images.web] lets the deploy do so
        plan::tag_taken
          tag 4f2c1d of repository shop/web is immutable and points at abababababab already
          hint: an immutable tag is used once: commit what changed, or give [images.web] a tag other than 4f2c1d
        plan::container_not_found
          the task definition of web has no container api; it has web and log
          hint: name one of them in [services.web], as in `container = "web"`
        plan::before_container_not_found
          the task before the rollout of web is to run in container migrations, and its task definition has migration and web
          hint: did you mean migration? Write `container = "migration"` in [services.web.before]; without it the container that gets the image runs the command
        plan::container_unclear
          which container of web gets the image is not clear: web and log are essential
          hint: say which in [services.web], as in `container = "web"`
        plan::no_containers
          /src/task.json is not a task definition: it has no containers
          hint: /src/task.json must be what `aws ecs register-task-definition --cli-input-json` takes, with `containerDefinitions`; it is named by `task_definition` of [services.web]
        plan::file_unread
          the task definition file /src/task.json was not read
          hint: check `task_definition` of [services.web]
        plan::other_platform
          image web is built for linux/amd64, but the task definition of web runs linux/arm64
          hint: `platform = "linux/arm64"` in [images.web] builds for it; otherwise change `runtimePlatform` of the task definition
        plan::pushed_platform
          tag v7 of repository shop/web is immutable and is for linux/amd64, but the task definition of web runs linux/arm64
          hint: `platform = "linux/arm64"` in [images.web] builds for it, under a tag other than v7; otherwise change `runtimePlatform` of the task definition of [services.web]
        plan::target_group_unattached
          no load balancer forwards to target group shop-web of service shop-web: its targets never get healthy
          hint: add a listener or a rule that forwards to it: `aws elbv2 create-listener --load-balancer-arn … --protocol HTTP --port 80 --default-actions Type=forward,TargetGroupArn=arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/shop-web/73e2d6bc24d8a067`; or take it out of the service
        plan::port_not_mapped
          target group shop-web wants port 8080 of container web, which maps 80 and 9000-9010
          hint: add { "containerPort": 8080 } to `portMappings` of container web in the task definition of [services.web], or point the service at another port with `aws ecs update-service --load-balancers`
        plan::balanced_container_missing
          target group shop-web wants container web, and the task definition of web has app
          hint: call the container web in the task definition of [services.web], or point the service at another one with `aws ecs update-service --load-balancers`
        plan::no_execution_role
          the task definition of web has no execution role, which it needs for `secrets` and an image in ECR on Fargate
          hint: put `executionRoleArn` into the task definition of [services.web], with a role that trusts ecs-tasks.amazonaws.com and has the policy AmazonECSTaskExecutionRolePolicy
        plan::same_service
          web and api are the same service shop-web in cluster shop
          hint: give each its own `service`: [services.web], [services.api]
        plan::secret_missing
          image web asks for secret nuget, and the environment variable NUGET_TOKEN is not set
          hint: set NUGET_TOKEN, or change `env` of [images.web.secrets.nuget]
        plan::ssh_missing
          image web asks for ssh default, and the environment variable SSH_AUTH_SOCK is not set
          hint: start an agent with `eval $(ssh-agent)` and give it a key with `ssh-add`; sudo and CI do not pass the variable on by themselves
        plan::stage_missing
          image web asks for stage tests, and /src/Dockerfile has no such stage
          hint: change `target` in [images.web], or call a stage so; there is test
        plan::needs_buildkit
          image web asks for `secrets` and `ssh`, and the classic builder has no such thing
          hint: take `builder = "classic"` out of [images.web]
        "#);
    }

    #[test]
    fn what_a_build_lacks_is_told_with_the_way_to_it() {
        let secret = || BuildInput::Secret { id: "npmrc".to_owned() };
        let ssh = |id: &str| BuildInput::Ssh { id: id.to_owned() };
        let stage = || BuildInput::Stage { name: "tests".to_owned() };
        let path = || std::path::PathBuf::from("/home/ann/.ssh/id_ed25519");
        let text: Vec<_> = [
            (secret(), WhyMissing::Empty { variable: "NPM_TOKEN".to_owned() }),
            (secret(), WhyMissing::Unread { path: "/home/ann/.npmrc".into(), why: io::ErrorKind::NotFound }),
            (secret(), WhyMissing::Unread { path: "/home/ann/.npmrc".into(), why: io::ErrorKind::PermissionDenied }),
            (secret(), WhyMissing::TooLarge { place: "/home/ann/all".to_owned(), most: 500 * 1024 }),
            (ssh("default"), WhyMissing::Unread { path: "/run/agent".into(), why: io::ErrorKind::NotFound }),
            (ssh("default"), WhyMissing::NoSocket { path: path() }),
            (ssh("deploy"), WhyMissing::NoSocket { path: path() }),
            (stage(), WhyMissing::NoStage { dockerfile: "/src/Dockerfile".into(), stages: Vec::new() }),
            (
                stage(),
                WhyMissing::NoStage {
                    dockerfile: "/src/Dockerfile".into(),
                    stages: ["base", "test"].map(str::to_owned).to_vec(),
                },
            ),
        ]
        .into_iter()
        .map(|(input, why)| Refusal::InputMissing { image: Key::new("web"), input, why })
        .chain([Refusal::NeedsBuildKit { image: Key::new("web"), keys: vec!["`secrets`"], wanted: Builder::Auto }])
        .map(|refusal| format!("{refusal}\n  hint: {}", refusal.hint()))
        .collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        image web asks for secret npmrc, and the environment variable NPM_TOKEN is empty
          hint: give NPM_TOKEN a value; CI systems pass on an empty one for a credential that they do not have, or hide from this branch
        image web asks for secret npmrc, and there is no /home/ann/.npmrc
          hint: see whether /home/ann/.npmrc is there and who may read it, or change `file` of [images.web.secrets.npmrc]
        image web asks for secret npmrc, and /home/ann/.npmrc cannot be read: permission denied
          hint: see whether /home/ann/.npmrc is there and who may read it, or change `file` of [images.web.secrets.npmrc]
        image web asks for secret npmrc, and /home/ann/all holds more than the 500 kB that BuildKit takes
          hint: keep in secret npmrc only what is secret, and COPY the rest
        image web asks for ssh default, and there is no /run/agent
          hint: start an ssh agent that listens at /run/agent, or change `ssh` of [images.web]
        image web asks for ssh default, and /home/ann/.ssh/id_ed25519 is not the socket of an ssh agent
          hint: a key goes into an agent: `ssh-add /home/ann/.ssh/id_ed25519`, and `ssh = ["default"]` in [images.web]
        image web asks for ssh deploy, and /home/ann/.ssh/id_ed25519 is not the socket of an ssh agent
          hint: a key goes into an agent: `ssh-add /home/ann/.ssh/id_ed25519`, and `ssh = ["deploy=${env.SSH_AUTH_SOCK}"]` in [images.web]
        image web asks for stage tests, and /src/Dockerfile has no such stage
          hint: call a stage so, with `FROM … AS NAME`, or take `target` out of [images.web]
        image web asks for stage tests, and /src/Dockerfile has no such stage
          hint: change `target` in [images.web], or call a stage so; there is base and test
        image web asks for `secrets`, and the classic builder has no such thing
          hint: build on a Docker Engine that has BuildKit (this one says that it has none), or take `secrets` out of [images.web]
        "#);
    }

    #[test]
    fn codes_are_unique() {
        let refusals: Vec<_> = one_of_each().into_iter().chain(of_promotions()).collect();
        let codes: BTreeSet<_> = refusals.iter().map(Refusal::code).collect();
        assert_eq!(codes.len(), refusals.len());
    }

    #[test]
    fn percentages_round_as_ecs_rounds() {
        // (desired, minimum, maximum, at least, at most, deadlock)
        for (desired, minimum, maximum, least, most, deadlock) in [
            (2, 75, 100, 2, 2, true),
            (3, 100, 125, 3, 3, true),
            (3, 50, 125, 2, 3, false),
            (1, 100, 100, 1, 1, true),
            (1, 0, 100, 0, 1, false),
            (1, 100, 200, 1, 2, false),
            (4, 100, 125, 4, 5, false),
            (0, 100, 100, 0, 0, false),
        ] {
            assert_eq!(at_least(desired, minimum), least, "{minimum} % of {desired}");
            assert_eq!(at_most(desired, maximum), most, "{maximum} % of {desired}");
            assert_eq!(is_deadlock(desired, minimum, maximum), deadlock, "{desired}: {minimum}/{maximum}");
        }
    }

    proptest! {
        #[test]
        fn the_hint_of_a_deadlock_ends_it(desired in 1_u32..5000, minimum in 0_u32..=100) {
            let enough = u32::try_from(enough_percent(desired)).expect("small");
            prop_assert!(!is_deadlock(desired, minimum, enough));
        }
    }
}
