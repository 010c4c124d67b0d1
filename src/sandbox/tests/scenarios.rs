//! Scenarios played by tasks of paper, and faults met by the real SDK.

use aws_sdk_ecs::types::DesiredStatus;

use super::*;

/// A sandbox with a scenario, a service `web` that has settled on its first revision, and a second one registered.
async fn stage(scenario: &str) -> (Handle, Client, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let scenario = scenario::parse(&format!("format = 1\n{scenario}")).unwrap();
    let settings = Settings { speed: 100.0, scenario, ..Settings::new(folder.path().to_owned()) };
    let handle = Sandbox::start(settings).await.unwrap();
    let client = ecs(&handle);
    client.create_cluster().cluster_name("jobs").send().await.unwrap();
    let first = register(&client, paper_container("app:1")).await;
    let create = client.create_service().cluster("jobs").service_name("web").task_definition(&first).desired_count(2);
    let created = create.send().await.unwrap().service.unwrap();
    let arn = created.current_service_deployment.unwrap();
    until("deployed", LIMIT, async || {
        (status(&client, &arn).await == ServiceDeploymentStatus::Successful).then_some(())
    })
    .await;
    let second = register(&client, paper_container("app:2")).await;
    (handle, client, second, folder)
}

async fn roll_out(client: &Client, definition: &str) -> String {
    let updated = client.update_service().cluster("jobs").service("web").task_definition(definition).send().await;
    updated.unwrap().service.unwrap().current_service_deployment.unwrap()
}

/// The first task of the second revision that has stopped.
async fn first_stopped(client: &Client, definition: &str) -> Task {
    until("stopped", LIMIT, async || {
        let stopped = tasks(client, DesiredStatus::Stopped).await;
        stopped
            .into_iter()
            .find(|task| task.task_definition_arn() == Some(definition) && task.last_status() == Some("STOPPED"))
    })
    .await
}

#[tokio::test]
async fn new_tasks_crash_and_the_old_ones_go_on() {
    let (handle, client, second, _folder) =
        stage("[[tasks]]\nof = \"new\"\ncrash_after = \"20ms\"\nexit_code = 3").await;
    roll_out(&client, &second).await;
    let stopped = first_stopped(&client, &second).await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!(stopped.containers()[0].exit_code(), Some(3));
    let running = tasks(&client, DesiredStatus::Running).await;
    let old = running.iter().filter(|task| task.task_definition_arn() != Some(second.as_str())).count();
    assert_eq!(old, 2, "tasks of the first revision are not meant");
    handle.stop().await;
}

#[tokio::test]
async fn tasks_do_not_start_for_the_reason_that_is_written() {
    for (fails, words) in [
        ("image", "failed to resolve ref"),
        ("architecture", "descriptor matching platform"),
        ("secret", "unable to retrieve secret from asm"),
        ("log_group", "failed to validate logger args"),
    ] {
        let (handle, client, second, _folder) =
            stage(&format!("[[tasks]]\nof = \"new\"\nfirst = 1\nfails = \"{fails}\"")).await;
        let arn = roll_out(&client, &second).await;
        let stopped = first_stopped(&client, &second).await;
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
        assert!(stopped.stopped_reason().is_some_and(|why| why.contains(words)), "{fails}: {stopped:?}");
        // Only the first: the rollout gets over it.
        until("deployed all the same", LIMIT, async || {
            (status(&client, &arn).await == ServiceDeploymentStatus::Successful).then_some(())
        })
        .await;
        handle.stop().await;
    }
}

#[tokio::test]
async fn tasks_are_not_placed_for_so_many_tries_or_so_long() {
    let capacity = "(service web) was unable to place a task. Reason: Capacity is unavailable at this time. Please try \
                    again later or in a different availability zone.";
    for (fails, words) in [
        ("fails = \"capacity\"\nfirst = 3", capacity),
        ("fails = \"capacity\"\nfails_for = \"400ms\"", capacity),
        ("fails = \"placement\"\nfirst = 1", "because no container instance met all of its requirements."),
        ("fails = \"role\"\nfirst = 1", "ECS was unable to assume the role 'arn:aws:iam::000000000000:role/"),
    ] {
        let (handle, client, second, _folder) = stage(&format!("[[tasks]]\nof = \"new\"\n{fails}")).await;
        let arn = roll_out(&client, &second).await;
        until("deployed all the same", LIMIT, async || {
            (status(&client, &arn).await == ServiceDeploymentStatus::Successful).then_some(())
        })
        .await;
        let described = client.describe_services().cluster("jobs").services("web").send().await.unwrap();
        let events: Vec<&str> = described.services()[0].events().iter().filter_map(|event| event.message()).collect();
        assert!(events.iter().any(|event| event.contains(words)), "{fails}: {events:#?}");
        let stopped = tasks(&client, DesiredStatus::Stopped).await;
        let failed = stopped.iter().filter(|task| task.task_definition_arn() == Some(second.as_str())).count();
        assert_eq!(failed, 0, "there is no task of it: {stopped:?}");
        handle.stop().await;
    }
}

#[tokio::test]
async fn out_of_memory_and_a_lost_spot_are_told_in_the_words_of_ecs() {
    let (handle, client, second, _folder) = stage(
        "[[tasks]]\nof = \"new\"\nfirst = 1\ncrash_after = \"20ms\"\nout_of_memory = true\n[[tasks]]\nof = \"old\"\nspot_after = \"20s\"",
    )
    .await;
    roll_out(&client, &second).await;
    let stopped = first_stopped(&client, &second).await;
    let container = &stopped.containers()[0];
    assert_eq!(container.exit_code(), Some(137));
    assert_eq!(container.reason(), Some("OutOfMemoryError: Container killed due to memory usage"));
    handle.stop().await;

    let (handle, client, second, _folder) = stage("[[tasks]]\nof = \"new\"\nfirst = 1\nspot_after = \"20ms\"").await;
    roll_out(&client, &second).await;
    let stopped = first_stopped(&client, &second).await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::SpotInterruption));
    assert_eq!(stopped.stopped_reason(), Some("Your Spot Task was interrupted."));
    handle.stop().await;
}

#[tokio::test]
async fn an_autoscaler_and_a_second_deployer_come_once_in_a_rollout() {
    let (handle, client, second, _folder) = stage("[[scales]]\nat = \"0s\"\nto = 3").await;
    let arn = roll_out(&client, &second).await;
    until("deployed", LIMIT, async || {
        (status(&client, &arn).await == ServiceDeploymentStatus::Successful).then_some(())
    })
    .await;
    let described = client.describe_services().cluster("jobs").services("web").send().await.unwrap();
    assert_eq!((described.services()[0].desired_count(), described.services()[0].running_count()), (3, 3));
    handle.stop().await;

    let (handle, client, second, _folder) = stage("[[deploys]]\nat = \"0s\"").await;
    let arn = roll_out(&client, &second).await;
    until("superseded", LIMIT, async || {
        (status(&client, &arn).await == ServiceDeploymentStatus::Stopped).then_some(())
    })
    .await;
    let listed = client.list_service_deployments().cluster("jobs").service("web").send().await.unwrap();
    assert_eq!(listed.service_deployments().len(), 3, "it is not answered with another one");
    handle.stop().await;
}

#[tokio::test]
async fn old_tasks_that_ignore_sigterm_are_killed() {
    let (handle, client, second, _folder) = stage("[[tasks]]\nof = \"old\"\nignores_sigterm = true").await;
    roll_out(&client, &second).await;
    let killed = until("killed", LIMIT, async || {
        let stopped = tasks(&client, DesiredStatus::Stopped).await;
        stopped.into_iter().find(|task| task.last_status() == Some("STOPPED"))
    })
    .await;
    assert_eq!(killed.containers()[0].exit_code(), Some(137));
    handle.stop().await;
}

/// A client that tries once, so that every fault is seen.
fn impatient(handle: &Handle) -> Client {
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(handle.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "test"))
        .retry_config(aws_sdk_ecs::config::retry::RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn faults_are_met_on_the_wire_and_got_over_by_a_client_that_tries_again() {
    let folder = tempfile::tempdir().unwrap();
    let text = "format = 1\n\
        [[faults]]\nservice = \"ecs\"\noperation = \"ListClusters\"\nfault = \"throttle\"\nafter = 1\ntimes = 1\n\
        [[faults]]\nservice = \"ecs\"\noperation = \"ListClusters\"\nfault = \"error\"\nafter = 2\ntimes = 1\n\
        [[faults]]\nservice = \"ecs\"\noperation = \"ListClusters\"\nfault = \"cut\"\nafter = 3\ntimes = 1\n\
        [[faults]]\nservice = \"ecs\"\noperation = \"ListClusters\"\nfault = \"stall\"\nfor = \"300ms\"\nafter = 4\ntimes = 1\n\
        [[faults]]\nservice = \"ecs\"\noperation = \"ListServices\"\nfault = \"throttle\"\ntimes = 2\n";
    let scenario = scenario::parse(text).unwrap();
    let settings = Settings { scenario, ..Settings::new(folder.path().to_owned()) };
    let handle = Sandbox::start(settings).await.unwrap();
    let client = impatient(&handle);
    let call = || client.list_clusters().send();
    call().await.unwrap();
    let throttled = call().await.unwrap_err();
    assert_eq!(throttled.into_service_error().code(), Some("ThrottlingException"));
    let failed = call().await.unwrap_err();
    assert_eq!(failed.raw_response().map(|response| response.status().as_u16()), Some(500));
    let cut = call().await.unwrap_err();
    assert!(cut.raw_response().is_none(), "{cut:?}");
    let asked = tokio::time::Instant::now();
    call().await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(300));
    call().await.unwrap();
    // The usual client tries three times.
    let patient = ecs(&handle);
    patient.create_cluster().cluster_name("jobs").send().await.unwrap();
    patient.list_services().cluster("jobs").send().await.unwrap();
    handle.stop().await;
}
