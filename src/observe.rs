//! All reads before planning: fills `plan::observed::Observed`.
//!
//! Everything that does not need another answer is asked at once, so the time to a plan is two round
//! trips: the services, then their task definitions and target groups.
//! What an image is for that is in ECR already is a third, where `plan::make` has to know it.

mod promotion;
pub mod services;
pub mod standing;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    aws::{
        Aws, AwsError, Endpoint,
        copy::{self, CopyError},
        ecr, ecs,
        error::Kind,
        sts::{self, Caller},
    },
    config::spec::{Spec, TaskDefinitionSource},
    docker::build::inputs::{self, BuildVariables},
    id::{Cluster, Key, ServiceName},
    image::Tag,
    plan::{
        drift, make,
        observed::{
            ClusterObserved, EngineObserved, Mutability, Observed, RepositoryObserved, ServiceActive, ServiceObserved,
            Shipped, Unread,
        },
    },
};

#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("cannot read the task definition `{}`", path.display())]
    ReadFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the task definition `{}` is not JSON", path.display())]
    ParseFile {
        path: PathBuf,
        line: usize,
        column: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("the task definition `{}` is JSON, but not an object", path.display())]
    NotAnObject { path: PathBuf },
    #[error("the image that {from} runs cannot be read")]
    Image {
        from: String,
        #[source]
        source: Box<CopyError>,
    },
}

/// Reads the world for `spec`. Of several failures the one told is the one that explains the others:
/// who we are, then files, then the rest. `source` is where images are promoted from.
pub async fn observe(
    spec: &Spec,
    aws: &Aws,
    source: Option<&Aws>,
    engine: &EngineObserved,
    variables: &BuildVariables,
) -> Result<Observed, ObserveError> {
    let wanted_clusters: Vec<Cluster> = distinct(spec.services.values().map(|service| service.cluster.clone()));
    let files = distinct(spec.services.values().filter_map(|service| match &service.task_definition {
        TaskDefinitionSource::Live => None,
        TaskDefinitionSource::File(path) => Some(path.clone()),
    }));
    let services =
        join_all(spec.services.values().map(|service| ecs::service(aws, &service.cluster, &service.service)));
    let repositories = join_all(repositories_of(spec).into_iter().map(async |(key, repository, tag)| {
        let observed = match tag {
            Some(tag) => ecr::repository(aws, repository, tag).await,
            None => ecr::repository_alone(aws, repository).await.map(|observed| (observed, None)),
        };
        (key.clone(), repository, observed)
    }));
    let promoted = async {
        match (&spec.promotion, source) {
            (Some(promotion), Some(source)) => promotion::candidates(spec, promotion, source, aws).await,
            (Some(_) | None, _) => Ok(BTreeMap::new()),
        }
    };
    let (caller, told, clusters, services, repositories, files, promoted) = tokio::join!(
        sts::caller(aws),
        told_registry(aws),
        known_clusters(aws, &wanted_clusters),
        services,
        repositories,
        join_all(files.iter().map(|path| read(path))),
        promoted,
    );
    let caller = caller?;
    let task_definition_files: Vec<(PathBuf, Value)> = files.into_iter().collect::<Result<_, _>>()?;
    let mut unread = BTreeSet::new();
    let clusters = clusters?.unwrap_or_else(|| {
        unread.insert(Unread::Clusters);
        wanted_clusters.iter().map(|name| (name.clone(), ClusterObserved::Active)).collect()
    });
    let services: Vec<_> = services.into_iter().collect::<Result<_, _>>()?;
    let look_back = look_back(spec.services.len());
    let services = join_all(spec.services.values().zip(services).map(async |(wanted, mut seen)| {
        if let ServiceObserved::Active(live) = &mut seen {
            live.shipped = last_shipped(aws, live, &wanted.cluster, &wanted.service, look_back).await;
        }
        seen
    }))
    .await;
    for service in &services {
        if let ServiceObserved::Active(live) = service {
            unread.extend(live.unread.iter().cloned());
        }
    }
    let registry = match told? {
        Some(registry) => registry,
        None => registry(&caller, aws.region(), &repositories),
    };
    let repositories = repositories
        .into_iter()
        .map(|(key, repository, observed)| match observed {
            Ok((observed, denied)) => {
                unread.extend(denied);
                Ok((key, observed))
            }
            // Many roles may push but not describe: then the push itself will tell.
            Err(error) if error.is_out_of_reach() => {
                unread.insert(Unread::Repository(repository.to_owned()));
                let uri = format!("{registry}/{repository}");
                let observed = RepositoryObserved::Present { uri, immutable_tags: Mutability::Mutable, tagged: None };
                Ok((key, observed))
            }
            Err(error) => Err(error),
        })
        .collect::<Result<_, _>>()?;
    let mut observed = Observed {
        partition: caller.partition().to_owned(),
        account: caller.account,
        region: aws.region().to_owned(),
        registry,
        engine: engine.clone(),
        repositories,
        services: spec.services.keys().cloned().zip(services).collect(),
        clusters,
        task_definition_files: task_definition_files.into_iter().collect(),
        missing_inputs: spec
            .images
            .iter()
            .map(|(key, image)| (key.clone(), inputs::missing(image, variables)))
            .filter(|(_, missing)| !missing.is_empty())
            .collect(),
        promoted: promoted?,
        pushed: BTreeMap::new(),
        unread,
    };
    look_at_pushed(spec, aws, &mut observed).await;
    Ok(observed)
}

/// An answer that takes longer is not waited for: layers come from elsewhere than the rest, and a proxy may swallow them.
const LOOK: Duration = Duration::from_secs(10);

/// What the images are for that are not built. That they fit is worth knowing and never worth failing for.
async fn look_at_pushed(spec: &Spec, aws: &Aws, observed: &mut Observed) {
    let wanted = make::pushed_to_compare(spec, observed);
    let read = join_all(wanted.iter().map(|(_, name, digest)| timeout(LOOK, copy::platforms(aws, name, digest)))).await;
    for ((key, name, _), read) in wanted.iter().zip(read) {
        match read {
            Ok(Ok(Some(platforms))) => {
                observed.pushed.insert(key.clone(), platforms);
            }
            Ok(Err(CopyError::Aws(error))) => {
                if let Kind::AccessDenied { action, .. } = error.kind() {
                    let image = format!("{}:{}", name.repository, spec.images[key].tag);
                    observed.unread.insert(Unread::Platform { image, action: action.clone() });
                }
            }
            // It is gone, or cannot be read: its tasks will tell.
            Ok(Ok(None) | Err(_)) | Err(_) => {}
        }
    }
}

/// Where images go, by their keys, and the tag of this build where there is one.
fn repositories_of(spec: &Spec) -> Vec<(&Key, &str, Option<&Tag>)> {
    let built = spec.images.iter().map(|(key, image)| (key, image.repository.as_str(), Some(&image.tag)));
    let destinations = spec.promotion.iter().flat_map(|promotion| &promotion.destinations);
    built.chain(destinations.map(|(key, destination)| (key, destination.repository.as_str(), None))).collect()
}

/// How many revisions before the live one are looked at. They are asked for at once, and only where the live one is
/// not ours; somebody who registers more than this between two ships is not surprised by drift.
const LOOK_BACK: u64 = 5;

/// How many for each of so many services: a hundred reads in all are what is left of a quarter of what AWS gives in a
/// minute when everything else has been read.
fn look_back(services: usize) -> u64 {
    let services = u64::try_from(services.max(1)).unwrap_or(u64::MAX);
    (100 / services).clamp(1, LOOK_BACK)
}

/// Which revision this program registered last for the service. A revision that cannot be read (it was deleted, or
/// AWS is busy) is passed over: drift is worth knowing and never worth failing for.
pub async fn last_shipped(
    aws: &Aws,
    live: &ServiceActive,
    cluster: &Cluster,
    service: &ServiceName,
    look_back: u64,
) -> Shipped {
    if drift::is_ours(&live.definition, &live.tags, cluster, service) {
        return Shipped::ThisRevision;
    }
    let Some(revision) = live.task_definition.revision() else { return Shipped::NotFound };
    // A revision's number is one more than that of the one before, and never used again.
    let names: Vec<_> = (revision.saturating_sub(look_back).max(1)..revision)
        .rev()
        .map(|number| live.task_definition.at_revision(number))
        .collect();
    let read = join_all(names.iter().map(|name| ecs::definition(aws, Some(name.as_str())))).await;
    names
        .into_iter()
        .zip(read)
        .find_map(|(arn, read)| {
            let (definition, tags) = read.ok()?;
            drift::is_ours(&definition, &tags, cluster, service).then_some(Shipped::Earlier { arn, definition })
        })
        .unwrap_or(Shipped::NotFound)
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect::<BTreeSet<T>>().into_iter().collect()
}

/// The sandbox's registry has a port of its own, which only its token says; on AWS the name follows
/// from account and region, and a token now would be one call too many for a mere plan.
async fn told_registry(aws: &Aws) -> Result<Option<String>, AwsError> {
    match aws.endpoint() {
        Endpoint::Aws => Ok(None),
        Endpoint::At { .. } => ecr::token(aws).await.map(|token| Some(token.registry)),
    }
}

/// Not essential: a role that may only deploy need not be able to describe clusters, and a service
/// that is found says as much. `None` where it may not.
async fn known_clusters(aws: &Aws, names: &[Cluster]) -> Result<Option<BTreeMap<Cluster, ClusterObserved>>, AwsError> {
    match ecs::clusters(aws, names).await {
        Err(error) if error.is_out_of_reach() => Ok(None),
        answered => answered.map(Some),
    }
}

/// A repository, and what of it may not be asked.
type LookedAt = Result<(RepositoryObserved, Option<Unread>), AwsError>;

/// The host of a repository that is there, which is right also for dual-stack and FIPS names; else
/// `<account>.dkr.ecr.<region>.<suffix of the partition>`.
fn registry(caller: &Caller, region: &str, repositories: &[(Key, &str, LookedAt)]) -> String {
    let present = repositories.iter().find_map(|(_, _, observed)| match observed {
        Ok((RepositoryObserved::Present { uri, .. }, _)) => uri.split('/').next(),
        Ok((RepositoryObserved::Missing, _)) | Err(_) => None,
    });
    present.map_or_else(|| own_registry(caller, region), str::to_owned)
}

/// The caller's own registry in a region.
#[must_use]
pub fn own_registry(caller: &Caller, region: &str) -> String {
    format!("{}.dkr.ecr.{region}.{}", caller.account, suffix(caller.partition()))
}

/// The host names the ECR credential helper knows, by partition.
fn suffix(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "amazonaws.com.cn",
        "aws-eusc" => "amazonaws.eu",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

async fn read(path: &Path) -> Result<(PathBuf, Value), ObserveError> {
    let bytes =
        tokio::fs::read(path).await.map_err(|source| ObserveError::ReadFile { path: path.to_owned(), source })?;
    let definition: Value = serde_json::from_slice(&bytes).map_err(|source| ObserveError::ParseFile {
        path: path.to_owned(),
        line: source.line(),
        column: source.column(),
        source,
    })?;
    if definition.is_object() {
        Ok((path.to_owned(), definition))
    } else {
        Err(ObserveError::NotAnObject { path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

    use serde_json::{Value, json};

    use super::{BuildVariables, ObserveError, observe, suffix};
    use crate::{
        aws::recorded::{Answer, Server, answer},
        config::spec::{
            Builder, Environment, Image, MissingRepository, Place, Rollout, SandboxService, Service, Spec,
            TaskDefinitionSource,
        },
        id::{Cluster, Key, ServiceName},
        image::Tag,
        plan::{
            diff::{TAG_FINGERPRINT, TAG_TARGET},
            drift,
            observed::{
                BuildKit, ClusterObserved, EngineObserved, Mutability, Observed, RepositoryObserved, ServiceObserved,
                Shipped,
            },
        },
    };

    const SERVICE: &str = include_str!("../tests/recorded/aws/describe-services.json");
    const DEFINITION: &str = include_str!("../tests/recorded/aws/describe-task-definition.json");
    const CALLER: &str = include_str!("../tests/recorded/aws/get-caller-identity.xml");
    const ATTRIBUTES: &str = include_str!("../tests/recorded/aws/describe-target-group-attributes.xml");
    const GROUPS: &str = "<DescribeTargetGroupsResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
        <DescribeTargetGroupsResult><TargetGroups><member><LoadBalancerArns><member>arn:lb</member></LoadBalancerArns>\
        </member></TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>";
    const REPOSITORIES: &str = include_str!("../tests/recorded/aws/describe-repositories.json");

    fn spec(source: TaskDefinitionSource) -> Spec {
        let key = Key::new("api");
        let image = Image {
            repository: "jobs/api".to_owned(),
            missing_repository: MissingRepository::Refuse,
            context: PathBuf::from("."),
            dockerfile: PathBuf::from("Dockerfile"),
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            platform: None,
            further_tags: Vec::new(),
            checks: Vec::new(),
            tag: Tag::from_str("v2").unwrap(),
            builder: Builder::Auto,
        };
        let service = Service {
            image: key.clone(),
            container: None,
            cluster: Cluster::new("jobs"),
            service: ServiceName::new("api"),
            task_definition: source,
            overlays: crate::config::spec::Overlays::default(),
            before: None,
            rollout: Rollout::default(),
            sandbox: SandboxService::default(),
        };
        Spec {
            root: PathBuf::from("."),
            environment: Environment {
                name: None,
                place: Place::Sandbox,
                region: None,
                profile: None,
                role_arn: None,
                account: None,
                confirm: crate::config::spec::Confirm::Never,
            },
            images: BTreeMap::from([(key.clone(), image)]),
            services: BTreeMap::from([(key, service)]),
            release: crate::config::spec::Release::Independent,
            promotion: None,
        }
    }

    const fn engine() -> EngineObserved {
        EngineObserved { platform: String::new(), buildkit: BuildKit::Present }
    }

    fn refused(code: &str) -> Answer {
        answer(400, json!({"__type": code, "message": "as the test wants it"}))
    }

    /// Everything there; a test takes away what it is about.
    fn world() -> BTreeMap<&'static str, Answer> {
        let token = json!({"authorizationData": [{
            "authorizationToken": "QVdTOnNlY3JldA==",
            "expiresAt": 1_790_043_200.5,
            "proxyEndpoint": "http://127.0.0.1:4510",
        }]});
        let clusters = json!({"clusters": [{"clusterName": "jobs", "status": "ACTIVE"}], "failures": []});
        BTreeMap::from([
            ("GetCallerIdentity", answer(200, CALLER)),
            ("GetAuthorizationToken", answer(200, token)),
            ("DescribeClusters", answer(200, clusters)),
            ("DescribeServices", answer(200, SERVICE)),
            ("DescribeTaskDefinition", answer(200, DEFINITION)),
            ("DescribeTargetGroupAttributes", answer(200, ATTRIBUTES)),
            ("DescribeTargetGroups", answer(200, GROUPS)),
            ("DescribeRepositories", answer(200, REPOSITORIES)),
            ("DescribeImages", refused("ImageNotFoundException")),
        ])
    }

    async fn seen(world: BTreeMap<&'static str, Answer>) -> (Result<Observed, ObserveError>, Server) {
        let server = Server::start(world).await;
        let observed = observe(
            &spec(TaskDefinitionSource::Live),
            &server.aws().await,
            None,
            &engine(),
            &BuildVariables::default(),
        )
        .await;
        (observed, server)
    }

    #[tokio::test]
    async fn the_world_is_read_with_one_call_for_each_thing() {
        let (observed, server) = seen(world()).await;
        let observed = observed.unwrap();
        let mut counts = server.counts();
        // The live revision is not ours, so those before it are looked at as well.
        assert_eq!(counts.remove("DescribeTaskDefinition"), Some(1 + 5));
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        assert_eq!((observed.account.as_str(), observed.registry.as_str()), ("111111111111", "127.0.0.1:4510"));
        assert_eq!(observed.clusters[&Cluster::new("jobs")], ClusterObserved::Active);
        let ServiceObserved::Active(service) = &observed.services[&Key::new("api")] else { panic!("{observed:?}") };
        // As ECS sent it: order, numbers and the fields the SDK does not know.
        let sent: Value = serde_json::from_str(DEFINITION).unwrap();
        assert_eq!(service.definition, sent["taskDefinition"]);
        assert_eq!(service.definition.to_string(), sent["taskDefinition"].to_string());
        insta::assert_debug_snapshot!(
            (&service.tags, &service.deployments, &service.target_groups, &service.controller, &observed.repositories),
            @r#"
        (
            [
                (
                    "team",
                    "jobs",
                ),
                (
                    "empty",
                    "",
                ),
            ],
            [
                DeploymentObserved {
                    id: "ecs-svc/7383640180127437285",
                    status: "PRIMARY",
                    rollout_state: Some(
                        "IN_PROGRESS",
                    ),
                    task_definition: TaskDefArn(
                        "arn:aws:ecs:eu-west-1:111111111111:task-definition/api:42",
                    ),
                    running: 1,
                    desired: 2,
                    failed: 0,
                    created_ms: Some(
                        1790000000125,
                    ),
                },
                DeploymentObserved {
                    id: "ecs-svc/4310457120563712091",
                    status: "ACTIVE",
                    rollout_state: Some(
                        "UPPER_CASE_FROM_THE_FUTURE",
                    ),
                    task_definition: TaskDefArn(
                        "arn:aws:ecs:eu-west-1:111111111111:task-definition/api:41",
                    ),
                    running: 2,
                    desired: 0,
                    failed: 0,
                    created_ms: Some(
                        1789900000000,
                    ),
                },
            ],
            [
                TargetGroupObserved {
                    arn: "arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/api/73e2d6bc24d8a067",
                    container: "app",
                    container_port: 8080,
                    deregistration_delay_s: 30,
                    health_check_interval_s: 30,
                    attached: ToBalancer,
                },
            ],
            "ECS",
            {
                Key(
                    "api",
                ): Present {
                    uri: "111111111111.dkr.ecr.eu-west-1.amazonaws.com/jobs/api",
                    immutable_tags: Immutable,
                    tagged: None,
                },
            },
        )
        "#);
    }

    /// As ECS answers for a revision that this program registered for service `api` of cluster `jobs`.
    fn ours(definition: &Value) -> Value {
        let tag = |key: &str, value: &str| json!({ "key": key, "value": value });
        let tags = [tag(TAG_TARGET, "jobs/api"), tag(TAG_FINGERPRINT, &drift::fingerprint(definition))];
        json!({ "taskDefinition": definition, "tags": tags })
    }

    #[tokio::test]
    async fn what_was_shipped_last_is_found_by_its_tags() {
        let sent: Value = serde_json::from_str(DEFINITION).unwrap();
        let live = &sent["taskDefinition"];
        let mut before = live.clone();
        before["cpu"] = json!("128");
        let shipped_of = async |definitions: Vec<Answer>| {
            let others = world().into_iter().filter(|(operation, _)| *operation != "DescribeTaskDefinition");
            let definitions = definitions.into_iter().map(|answer| ("DescribeTaskDefinition", answer));
            let server = Server::start(others.chain(definitions)).await;
            let observed = observe(
                &spec(TaskDefinitionSource::Live),
                &server.aws().await,
                None,
                &engine(),
                &BuildVariables::default(),
            )
            .await
            .unwrap();
            let ServiceObserved::Active(service) = &observed.services[&Key::new("api")] else { panic!("{observed:?}") };
            (service.shipped.clone(), server.counts()["DescribeTaskDefinition"])
        };
        assert_eq!(shipped_of(vec![answer(200, ours(live))]).await, (Shipped::ThisRevision, 1));
        // The last answer is given again and again: which of the revisions asks first does not matter.
        let found = shipped_of(vec![answer(200, DEFINITION), answer(200, ours(&before))]).await;
        let (Shipped::Earlier { arn, definition }, 6) = found else { panic!("{found:?}") };
        assert_eq!((arn.short(), definition), ("api:41", before));
        // Deleted revisions, or throttling: nothing to say, and nothing to fail for.
        let found = shipped_of(vec![answer(200, DEFINITION), refused("ClientException")]).await;
        assert_eq!(found.0, Shipped::NotFound);
    }

    #[tokio::test]
    async fn what_is_missing_is_said_to_be_missing() {
        let missing = json!({"services": [], "failures": [{"arn": "arn:aws:ecs:eu-west-1:111111111111:service/jobs/api", "reason": "MISSING"}]});
        let inactive = json!({"services": [{"serviceName": "api", "status": "INACTIVE"}], "failures": []});
        let gone = ServiceObserved::Inactive { status: "INACTIVE".to_owned() };
        let cases = [
            (answer(200, missing), ServiceObserved::Missing),
            (refused("ClusterNotFoundException"), ServiceObserved::Missing),
            (answer(200, inactive), gone),
        ];
        for (services, expected) in cases {
            let mut world = world();
            world.insert("DescribeServices", services);
            world.insert("DescribeClusters", answer(200, json!({"clusters": [], "failures": []})));
            world.insert("DescribeRepositories", refused("RepositoryNotFoundException"));
            world.insert("DescribeImages", refused("RepositoryNotFoundException"));
            let observed = seen(world).await.0.unwrap();
            assert_eq!(observed.services[&Key::new("api")], expected);
            assert_eq!(observed.clusters[&Cluster::new("jobs")], ClusterObserved::Missing);
            assert_eq!(observed.repositories[&Key::new("api")], RepositoryObserved::Missing);
        }
    }

    #[tokio::test]
    async fn calls_that_are_not_essential_may_be_denied() {
        let mut world = world();
        for operation in ["DescribeClusters", "DescribeRepositories", "DescribeImages"] {
            world.insert(operation, refused("AccessDeniedException"));
        }
        let denied = r"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
        world.insert("DescribeTargetGroupAttributes", answer(403, denied));
        world.insert("DescribeTargetGroups", answer(403, denied));
        let observed = seen(world).await.0.unwrap();
        assert_eq!(observed.clusters[&Cluster::new("jobs")], ClusterObserved::Active);
        let uri = "127.0.0.1:4510/jobs/api".to_owned();
        let present = RepositoryObserved::Present { uri, immutable_tags: Mutability::Mutable, tagged: None };
        assert_eq!(observed.repositories[&Key::new("api")], present);
        let ServiceObserved::Active(service) = &observed.services[&Key::new("api")] else { panic!("{observed:?}") };
        assert_eq!(service.target_groups[0].deregistration_delay_s, 300);
        let told: Vec<_> = observed.unread.iter().map(|unread| format!("{}: {unread}", unread.action())).collect();
        insta::assert_snapshot!(told.join("\n"), @"
        ecs:DescribeClusters: whether the clusters exist is not known
        ecr:DescribeRepositories: whether repository jobs/api exists, and what its tags are, is not known until the push
        elasticloadbalancing:DescribeTargetGroupAttributes: how long targets of api drain is not known: 300 s, AWS's default, is assumed
        elasticloadbalancing:DescribeTargetGroups: whether a load balancer forwards to api is not known
        ");
    }

    #[tokio::test]
    async fn an_essential_call_that_is_denied_is_told() {
        let mut world = world();
        world.insert("DescribeServices", refused("AccessDeniedException"));
        let error = seen(world).await.0.unwrap_err();
        assert!(matches!(&error, ObserveError::Aws(error) if error.is_access_denied()), "{error:?}");
    }

    #[tokio::test]
    async fn a_broken_task_definition_file_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.json");
        let server = Server::start(world()).await;
        let aws = server.aws().await;
        let spec = spec(TaskDefinitionSource::File(path.clone()));
        let error = observe(&spec, &aws, None, &engine(), &BuildVariables::default()).await.unwrap_err();
        assert!(matches!(error, ObserveError::ReadFile { .. }), "{error:?}");
        std::fs::write(&path, "{\n  \"family\": }").unwrap();
        let error = observe(&spec, &aws, None, &engine(), &BuildVariables::default()).await.unwrap_err();
        assert!(matches!(error, ObserveError::ParseFile { line: 2, column: 13, .. }), "{error:?}");
        std::fs::write(&path, "[]").unwrap();
        let error = observe(&spec, &aws, None, &engine(), &BuildVariables::default()).await.unwrap_err();
        assert!(matches!(error, ObserveError::NotAnObject { .. }), "{error:?}");
        std::fs::write(&path, r#"{"family": "api"}"#).unwrap();
        let observed = observe(&spec, &aws, None, &engine(), &BuildVariables::default()).await.unwrap();
        assert_eq!(observed.task_definition_files[&path], json!({"family": "api"}));
    }

    #[test]
    fn every_partition_has_its_registry_name() {
        assert_eq!(suffix("aws"), "amazonaws.com");
        assert_eq!(suffix("aws-us-gov"), "amazonaws.com");
        assert_eq!(suffix("aws-cn"), "amazonaws.com.cn");
    }
}
