//! Worlds made up for tests: a spec with one service, and everything it needs in place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::observed::{
    Attached, BuildKit, ClusterObserved, DeploymentObserved, EngineObserved, Mutability, Observed, RepositoryObserved,
    ServiceActive, ServiceObserved, Shipped, TargetGroupObserved,
};
use crate::{
    config::spec::{
        Builder, Environment, Image, MissingRepository, Overlays, Place, Release, Rollout, SandboxService, Service,
        Spec, TaskDefinitionSource,
    },
    id::{Cluster, Key, ServiceName, TaskDefArn},
    image::Digest,
};

pub(crate) const REGISTRY: &str = "111111111111.dkr.ecr.eu-west-1.amazonaws.com";

pub(crate) fn arn(short: &str) -> TaskDefArn {
    TaskDefArn::new(format!("arn:aws:ecs:eu-west-1:111111111111:task-definition/{short}"))
}

pub(crate) fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64)).parse().expect("a digest")
}

pub(crate) fn image(repository: &str) -> Image {
    Image {
        repository: repository.to_owned(),
        missing_repository: MissingRepository::Refuse,
        context: "/src".into(),
        dockerfile: "/src/Dockerfile".into(),
        target: None,
        args: BTreeMap::new(),
        secrets: BTreeMap::new(),
        ssh: Vec::new(),
        cache_from: Vec::new(),
        cache_to: Vec::new(),
        platform: None,
        further_tags: Vec::new(),
        checks: Vec::new(),
        tag: "4f2c1d".parse().expect("a tag"),
        builder: Builder::Auto,
    }
}

pub(crate) fn service(image: &str, name: &str) -> Service {
    Service {
        image: Key::new(image),
        container: None,
        cluster: Cluster::new("shop"),
        service: ServiceName::new(name),
        task_definition: TaskDefinitionSource::Live,
        overlays: Overlays::default(),
        before: None,
        rollout: Rollout::default(),
        sandbox: SandboxService::default(),
    }
}

/// One service `web` that runs one image of the same name.
pub(crate) fn spec(place: Place) -> Spec {
    Spec {
        root: "/src".into(),
        environment: Environment {
            name: None,
            place,
            region: None,
            profile: None,
            role_arn: None,
            account: None,
            confirm: crate::config::spec::Confirm::Never,
        },
        images: BTreeMap::from([(Key::new("web"), image("shop/web"))]),
        services: BTreeMap::from([(Key::new("web"), service("web", "web"))]),
        release: Release::Independent,
        promotion: None,
    }
}

/// As `DescribeTaskDefinition` answers.
pub(crate) fn definition(family: &str, revision: u64, containers: &[&str]) -> Value {
    let containers: Vec<_> = containers
        .iter()
        .map(|name| json!({ "name": name, "image": format!("{REGISTRY}/shop/{name}@{}", digest('a')), "essential": true, "cpu": 0, "portMappings": [{ "containerPort": 8080 }] }))
        .collect();
    json!({
        "taskDefinitionArn": arn(&format!("{family}:{revision}")).as_str(), "family": family, "revision": revision,
        "status": "ACTIVE", "cpu": "256", "memory": "512", "containerDefinitions": containers,
        "requiresAttributes": [], "compatibilities": ["EC2"], "registeredAt": 1,
    })
}

pub(crate) fn deployment(id: &str, status: &str, state: &str, revision: &TaskDefArn) -> DeploymentObserved {
    DeploymentObserved {
        id: id.to_owned(),
        status: status.to_owned(),
        rollout_state: Some(state.to_owned()),
        task_definition: revision.clone(),
        running: 2,
        desired: 2,
        failed: 0,
        created_ms: None,
    }
}

pub(crate) fn active(family: &str, containers: &[&str]) -> ServiceActive {
    let revision = arn(&format!("{family}:41"));
    ServiceActive {
        arn: format!("arn:aws:ecs:eu-west-1:111111111111:service/shop/{family}"),
        desired_count: 2,
        definition: definition(family, 41, containers),
        tags: vec![("team".to_owned(), "shop".to_owned())],
        deployments: vec![deployment("ecs-svc/1", "PRIMARY", "COMPLETED", &revision)],
        task_definition: revision,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        controller: "ECS".to_owned(),
        launch: crate::plan::observed::LaunchObserved::default(),
        target_groups: vec![TargetGroupObserved {
            arn: format!("arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/{family}/73e2d6bc24d8a067"),
            container: family.to_owned(),
            container_port: 8080,
            deregistration_delay_s: 300,
            health_check_interval_s: 30,
            attached: Attached::ToBalancer,
        }],
        shipped: Shipped::NotFound,
        unread: BTreeSet::new(),
    }
}

pub(crate) fn present(mutability: Mutability, tagged: Option<Digest>) -> RepositoryObserved {
    RepositoryObserved::Present { uri: format!("{REGISTRY}/shop/web"), immutable_tags: mutability, tagged }
}

/// The world of [`spec`] with everything in place.
pub(crate) fn observed() -> Observed {
    Observed {
        partition: "aws".to_owned(),
        account: "111111111111".to_owned(),
        region: "eu-west-1".to_owned(),
        registry: REGISTRY.to_owned(),
        engine: EngineObserved { platform: "linux/amd64".to_owned(), buildkit: BuildKit::Present },
        repositories: BTreeMap::from([(Key::new("web"), present(Mutability::Mutable, None))]),
        services: BTreeMap::from([(Key::new("web"), ServiceObserved::Active(Box::new(active("web", &["web"]))))]),
        clusters: BTreeMap::from([(Cluster::new("shop"), ClusterObserved::Active)]),
        task_definition_files: BTreeMap::new(),
        missing_inputs: BTreeMap::new(),
        promoted: BTreeMap::new(),
        pushed: BTreeMap::new(),
        unread: BTreeSet::new(),
    }
}

/// The sandbox when it was just started.
pub(crate) fn empty_sandbox() -> Observed {
    Observed {
        registry: "127.0.0.1:4517".to_owned(),
        repositories: BTreeMap::new(),
        services: BTreeMap::new(),
        clusters: BTreeMap::new(),
        ..observed()
    }
}

pub(crate) fn live(observed: &mut Observed) -> &mut ServiceActive {
    match observed.services.get_mut(&Key::new("web")) {
        Some(ServiceObserved::Active(live)) => live,
        other => panic!("not active: {other:?}"),
    }
}
