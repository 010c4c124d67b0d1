//! All reads before planning: fills `plan::observed::Observed`.
//!
//! Everything that does not need another answer is asked at once, so the time to a plan is two round
//! trips: the services, then their task definitions and target groups.

pub mod services;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    aws::{
        Aws, AwsError, Endpoint, ecr, ecs,
        sts::{self, Caller},
    },
    config::spec::{Spec, TaskDefinitionSource},
    id::Cluster,
    plan::observed::{ClusterObserved, EngineObserved, Mutability, Observed, RepositoryObserved},
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
}

/// Reads the world for `spec`. Of several failures the one told is the one that explains the others:
/// who we are, then files, then the rest.
pub async fn observe(spec: &Spec, aws: &Aws, engine: &EngineObserved) -> Result<Observed, ObserveError> {
    let clusters: Vec<Cluster> = distinct(spec.services.values().map(|service| service.cluster.clone()));
    let files = distinct(spec.services.values().filter_map(|service| match &service.task_definition {
        TaskDefinitionSource::Live => None,
        TaskDefinitionSource::File(path) => Some(path.clone()),
    }));
    let services =
        join_all(spec.services.values().map(|service| ecs::service(aws, &service.cluster, &service.service)));
    let repositories = join_all(spec.images.values().map(|image| ecr::repository(aws, &image.repository, &image.tag)));
    let (caller, told, clusters, services, repositories, files) = tokio::join!(
        sts::caller(aws),
        told_registry(aws),
        known_clusters(aws, &clusters),
        services,
        repositories,
        join_all(files.iter().map(|path| read(path))),
    );
    let caller = caller?;
    let task_definition_files: Vec<(PathBuf, Value)> = files.into_iter().collect::<Result<_, _>>()?;
    let clusters = clusters?;
    let services: Vec<_> = services.into_iter().collect::<Result<_, _>>()?;
    let registry = match told? {
        Some(registry) => registry,
        None => registry(&caller, aws.region(), &repositories),
    };
    let repositories = spec
        .images
        .iter()
        .zip(repositories)
        .map(|((key, image), observed)| match observed {
            Ok(observed) => Ok((key.clone(), observed)),
            // Many roles may push but not describe: then the push itself will tell.
            Err(error) if error.is_out_of_reach() => {
                let uri = format!("{registry}/{}", image.repository);
                let observed = RepositoryObserved::Present { uri, immutable_tags: Mutability::Mutable, tagged: None };
                Ok((key.clone(), observed))
            }
            Err(error) => Err(error),
        })
        .collect::<Result<_, _>>()?;
    Ok(Observed {
        account: caller.account,
        region: aws.region().to_owned(),
        registry,
        engine: engine.clone(),
        repositories,
        services: spec.services.keys().cloned().zip(services).collect(),
        clusters,
        task_definition_files: task_definition_files.into_iter().collect(),
    })
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
/// that is found says as much.
async fn known_clusters(aws: &Aws, names: &[Cluster]) -> Result<BTreeMap<Cluster, ClusterObserved>, AwsError> {
    match ecs::clusters(aws, names).await {
        Err(error) if error.is_out_of_reach() => {
            Ok(names.iter().map(|name| (name.clone(), ClusterObserved::Active)).collect())
        }
        answered => answered,
    }
}

/// The host of a repository that is there, which is right also for dual-stack and FIPS names; else
/// `<account>.dkr.ecr.<region>.<suffix of the partition>`.
fn registry(caller: &Caller, region: &str, repositories: &[Result<RepositoryObserved, AwsError>]) -> String {
    let present = repositories.iter().find_map(|observed| match observed {
        Ok(RepositoryObserved::Present { uri, .. }) => uri.split('/').next(),
        Ok(RepositoryObserved::Missing) | Err(_) => None,
    });
    present.map_or_else(|| format!("{}.dkr.ecr.{region}.{}", caller.account, suffix(caller.partition())), str::to_owned)
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

    use super::{ObserveError, observe, suffix};
    use crate::{
        aws::recorded::{Answer, Server, answer},
        config::spec::{
            Builder, Environment, Image, MissingRepository, Place, Rollout, SandboxService, Service, Spec,
            TaskDefinitionSource,
        },
        id::{Cluster, Key, ServiceName},
        image::Tag,
        plan::observed::{
            BuildKit, ClusterObserved, EngineObserved, Mutability, Observed, RepositoryObserved, ServiceObserved,
        },
    };

    const SERVICE: &str = include_str!("../tests/recorded/aws/describe-services.json");
    const DEFINITION: &str = include_str!("../tests/recorded/aws/describe-task-definition.json");
    const CALLER: &str = include_str!("../tests/recorded/aws/get-caller-identity.xml");
    const ATTRIBUTES: &str = include_str!("../tests/recorded/aws/describe-target-group-attributes.xml");
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
            ("DescribeRepositories", answer(200, REPOSITORIES)),
            ("DescribeImages", refused("ImageNotFoundException")),
        ])
    }

    async fn seen(world: BTreeMap<&'static str, Answer>) -> (Result<Observed, ObserveError>, Server) {
        let server = Server::start(world).await;
        let observed = observe(&spec(TaskDefinitionSource::Live), &server.aws().await, &engine()).await;
        (observed, server)
    }

    #[tokio::test]
    async fn the_world_is_read_with_one_call_for_each_thing() {
        let (observed, server) = seen(world()).await;
        let observed = observed.unwrap();
        assert!(server.counts().values().all(|count| *count == 1), "{:?}", server.counts());
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
        let observed = seen(world).await.0.unwrap();
        assert_eq!(observed.clusters[&Cluster::new("jobs")], ClusterObserved::Active);
        let uri = "127.0.0.1:4510/jobs/api".to_owned();
        let present = RepositoryObserved::Present { uri, immutable_tags: Mutability::Mutable, tagged: None };
        assert_eq!(observed.repositories[&Key::new("api")], present);
        let ServiceObserved::Active(service) = &observed.services[&Key::new("api")] else { panic!("{observed:?}") };
        assert_eq!(service.target_groups[0].deregistration_delay_s, 300);
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
        let error = observe(&spec, &aws, &engine()).await.unwrap_err();
        assert!(matches!(error, ObserveError::ReadFile { .. }), "{error:?}");
        std::fs::write(&path, "{\n  \"family\": }").unwrap();
        let error = observe(&spec, &aws, &engine()).await.unwrap_err();
        assert!(matches!(error, ObserveError::ParseFile { line: 2, column: 13, .. }), "{error:?}");
        std::fs::write(&path, "[]").unwrap();
        let error = observe(&spec, &aws, &engine()).await.unwrap_err();
        assert!(matches!(error, ObserveError::NotAnObject { .. }), "{error:?}");
        std::fs::write(&path, r#"{"family": "api"}"#).unwrap();
        let observed = observe(&spec, &aws, &engine()).await.unwrap();
        assert_eq!(observed.task_definition_files[&path], json!({"family": "api"}));
    }

    #[test]
    fn every_partition_has_its_registry_name() {
        assert_eq!(suffix("aws"), "amazonaws.com");
        assert_eq!(suffix("aws-us-gov"), "amazonaws.com");
        assert_eq!(suffix("aws-cn"), "amazonaws.com.cn");
    }
}
