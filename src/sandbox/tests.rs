//! A started sandbox, spoken to by the real AWS SDK.

use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use aws_sdk_ecs::types::{
    ContainerCondition, ContainerDefinition, ContainerDependency, ContainerOverride, ContainerRestartPolicy,
    DesiredStatus, HealthCheck, HealthStatus, KeyValuePair, LogConfiguration, LogDriver, PortMapping,
    ServiceDeploymentStatus, Task, TaskField, TaskOverride, TaskStopCode,
};
use bollard::Docker;

use super::*;

mod containers;
mod scenarios;

fn ecs(handle: &Handle) -> Client {
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(handle.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "test"))
        .build();
    Client::from_conf(config)
}

/// Waits for a state, with a limit.
async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    let found = tokio::time::timeout(limit, async {
        loop {
            beat.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("not {what} within {limit:?}"))
}

const LIMIT: Duration = Duration::from_secs(30);

async fn register(client: &Client, container: ContainerDefinition) -> String {
    let answer = client.register_task_definition().family("web").container_definitions(container).send().await.unwrap();
    answer.task_definition.unwrap().task_definition_arn.unwrap()
}

fn paper_container(image: &str) -> ContainerDefinition {
    ContainerDefinition::builder().name("app").image(image).memory(64).build()
}

async fn status(client: &Client, arn: &str) -> ServiceDeploymentStatus {
    let answer = client.describe_service_deployments().service_deployment_arns(arn).send().await.unwrap();
    answer.service_deployments()[0].status().unwrap().clone()
}

async fn tasks(client: &Client, status: DesiredStatus) -> Vec<Task> {
    let arns =
        client.list_tasks().cluster("jobs").desired_status(status).send().await.unwrap().task_arns.unwrap_or_default();
    if arns.is_empty() {
        return Vec::new();
    }
    let answer = client.describe_tasks().cluster("jobs").set_tasks(Some(arns)).include(TaskField::Tags).send().await;
    answer.unwrap().tasks.unwrap_or_default()
}

#[tokio::test]
async fn the_sdk_sees_a_rollout_through() {
    let folder = tempfile::tempdir().unwrap();
    let handle = Sandbox::start(Settings { speed: 100.0, ..Settings::new(folder.path().to_owned()) }).await.unwrap();
    let client = ecs(&handle);
    let refused = client.describe_services().cluster("jobs").services("web").send().await.unwrap_err();
    assert!(refused.into_service_error().is_cluster_not_found_exception());
    client.create_cluster().cluster_name("jobs").send().await.unwrap();
    let first = register(&client, paper_container("app:1")).await;
    let created = client
        .create_service()
        .cluster("jobs")
        .service_name("web")
        .task_definition(&first)
        .desired_count(2)
        .send()
        .await
        .unwrap();
    let service = created.service.unwrap();
    assert_eq!(service.deployments()[0].desired_count(), 0);
    let arn = service.current_service_deployment().unwrap().to_owned();
    until("deployed", LIMIT, async || {
        (status(&client, &arn).await == ServiceDeploymentStatus::Successful).then_some(())
    })
    .await;
    let second = register(&client, paper_container("app:2")).await;
    let updated = client.update_service().cluster("jobs").service("web").task_definition(&second).send().await.unwrap();
    let arn = updated.service.unwrap().current_service_deployment.unwrap();
    until("rolled out", LIMIT, async || {
        (status(&client, &arn).await == ServiceDeploymentStatus::Successful).then_some(())
    })
    .await;
    let running = tasks(&client, DesiredStatus::Running).await;
    assert!(running.len() == 2 && running.iter().all(|task| task.task_definition_arn() == Some(second.as_str())));
    let described = client.describe_services().cluster("jobs").services("web").services("nope").send().await.unwrap();
    assert_eq!(described.services()[0].events()[0].message(), Some("(service web) has reached a steady state."));
    assert_eq!(described.failures()[0].reason(), Some("MISSING"));
    let refused = client.update_service().cluster("jobs").service("nope").send().await.unwrap_err();
    let request_id = aws_sdk_ecs::operation::RequestId::request_id(&refused).map(str::len);
    let refused = refused.into_service_error();
    assert!(refused.is_service_not_found_exception());
    assert_eq!((refused.message(), request_id), (Some("Service not found."), Some(36)));
    let refused = client.discover_poll_endpoint().send().await.unwrap_err();
    assert_eq!(refused.code(), Some("UnknownOperationException"));
    handle.stop().await;
}

#[test]
fn a_killed_sandbox_is_picked_up_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let settings = || Settings { speed: 100.0, ..Settings::new(folder.path().to_owned()) };
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = runtime();
    let handle = first.block_on(async {
        let handle = Sandbox::start(settings()).await.unwrap();
        let client = ecs(&handle);
        client.create_cluster().cluster_name("jobs").send().await.unwrap();
        register(&client, paper_container("app:1")).await;
        let create = client.create_service().cluster("jobs").service_name("web").task_definition("web");
        create.desired_count(1).send().await.unwrap();
        handle
    });
    let endpoint = handle.endpoint().to_owned();
    // Nothing is told to end: everything stops where it is, and the lock goes.
    first.shutdown_timeout(Duration::from_secs(5));
    drop(handle);
    runtime().block_on(async {
        let handle = Sandbox::start(settings()).await.unwrap();
        assert_eq!(handle.endpoint(), endpoint);
        let client = ecs(&handle);
        until("running", LIMIT, async || {
            let running = tasks(&client, DesiredStatus::Running).await;
            running.iter().any(|task| task.last_status() == Some("RUNNING")).then_some(())
        })
        .await;
        handle.stop().await;
    });
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_refusal_or_a_second_choice() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let settings = |port| Settings { port, ..Settings::new(folder.path().to_owned()) };
    let refused = Sandbox::start(settings(Port::Fixed(port))).await.err().unwrap();
    assert!(matches!(refused, StartError::Listen { address, .. } if address.port() == port));
    let handle = Sandbox::start(settings(Port::Preferred(port))).await.unwrap();
    assert_ne!(handle.endpoint(), format!("http://127.0.0.1:{port}"));
    let second = Sandbox::start(settings(Port::Any)).await.err().unwrap();
    assert!(matches!(second, StartError::State(StateError::Taken { .. })));
    handle.stop().await;
}

/// Environments of containers, logs and the key of the registry are nobody else's business.
#[tokio::test]
async fn nobody_else_can_read_what_it_writes() {
    use std::os::unix::fs::PermissionsExt as _;

    fn open_to_others(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.metadata().unwrap().permissions().mode() & 0o077 != 0 {
                found.push(entry.path());
            }
            if entry.path().is_dir() {
                open_to_others(&entry.path(), found);
            }
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let handle = Sandbox::start(Settings::new(folder.path().to_owned())).await.unwrap();
    ecs(&handle).create_cluster().send().await.unwrap();
    drop(state::log_file(&folder.path().join("sandbox.log")).unwrap());
    let mut found = Vec::new();
    open_to_others(folder.path(), &mut found);
    assert_eq!(found, Vec::<PathBuf>::new());
    handle.stop().await;
}

#[tokio::test]
async fn blobs_that_no_repository_has_are_gone_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let settings = || Settings::new(folder.path().to_owned());
    Sandbox::start(settings()).await.unwrap().stop().await;
    let orphan = folder.path().join("registry/blobs/sha256").join("0".repeat(64));
    std::fs::write(&orphan, b"layer").unwrap();
    Sandbox::start(settings()).await.unwrap().stop().await;
    assert!(!orphan.exists());
}

#[tokio::test]
async fn a_further_address_is_listened_on_beside_loopback() {
    let folder = tempfile::tempdir().unwrap();
    // Not the usual loopback address, and still nobody else's.
    let bind = std::net::Ipv4Addr::new(127, 0, 0, 2);
    let handle =
        Sandbox::start(Settings { bind: bind.into(), ..Settings::new(folder.path().to_owned()) }).await.unwrap();
    let port = handle.authority().rsplit_once(':').unwrap().1.to_owned();
    assert!(handle.authority().starts_with("127.0.0.1:"), "{}", handle.authority());
    let elsewhere = format!("{bind}:{port}");
    for address in [handle.authority(), &elsewhere] {
        tokio::net::TcpStream::connect(address).await.unwrap();
    }
    handle.stop().await;
    let handle = Sandbox::start(Settings::new(folder.path().to_owned())).await.unwrap();
    assert!(handle.authority().ends_with(&format!(":{port}")));
    assert!(tokio::net::TcpStream::connect(elsewhere).await.is_err(), "only where it was asked to");
    handle.stop().await;
}
