//! ECS: clusters, task definitions, services and their deployments, tasks, tags.

use aws_sdk_ecs::types::{
    AdvancedConfiguration, CapacityProviderField, CapacityProviderStrategyItem, ClusterField, ClusterSetting,
    ClusterSettingName, Compatibility, ContainerDefinition, ContainerOverride, CreatedAt, DeploymentAlarms,
    DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentLifecycleHook, DeploymentLifecycleHookAction,
    DeploymentLifecycleHookStage, DeploymentLifecycleHookStatus, DeploymentLifecycleHookTargetType,
    DeploymentRolloutState, DeploymentStrategy, DesiredStatus, HealthStatus, KeyValuePair, LoadBalancer, PortMapping,
    ServiceDeployment, ServiceDeploymentLifecycleStage, ServiceDeploymentRollbackMonitorsStatus,
    ServiceDeploymentStatus, ServiceField, SettingName, SortOrder, StopServiceDeploymentStopType, Tag, TaskDefinition,
    TaskDefinitionFamilyStatus, TaskDefinitionField, TaskDefinitionStatus, TaskField, TaskOverride, TaskStopCode,
    TransportProtocol,
};

use crate::clients::{Place, refusal, until};

fn container(image: &str) -> ContainerDefinition {
    ContainerDefinition::builder()
        .name("app")
        .image(image)
        .memory(64)
        .port_mappings(PortMapping::builder().container_port(80).build())
        .build()
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

async fn define(place: &Place, family: &str, image: &str) -> TaskDefinition {
    let answer =
        place.ecs.register_task_definition().family(family).container_definitions(container(image)).send().await;
    answer.unwrap().task_definition.unwrap()
}

fn arn_of(definition: &TaskDefinition) -> String {
    definition.task_definition_arn().unwrap().to_owned()
}

/// A cluster with a service of this many tasks, which has come to rest; gives back its service deployment.
async fn serve(place: &Place, name: &str, count: i32) -> String {
    place.ecs.create_cluster().cluster_name("jobs").send().await.unwrap();
    let definition = arn_of(&define(place, name, "app:1").await);
    let create = place.ecs.create_service().cluster("jobs").service_name(name).task_definition(definition);
    let service = create.desired_count(count).send().await.unwrap().service.unwrap();
    let deployment = service.current_service_deployment().unwrap().to_owned();
    ended(place, &deployment, &ServiceDeploymentStatus::Successful).await;
    deployment
}

async fn ended(place: &Place, deployment: &str, wanted: &ServiceDeploymentStatus) {
    until("deployed", async || {
        let answer = place.ecs.describe_service_deployments().service_deployment_arns(deployment).send().await.unwrap();
        (answer.service_deployments()[0].status() == Some(wanted)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn clusters() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    let made =
        ecs.create_cluster().cluster_name("jobs").tags(tag("team", "jobs")).send().await.unwrap().cluster.unwrap();
    let arn = made.cluster_arn().unwrap().to_owned();
    assert_eq!(arn, "arn:aws:ecs:us-east-1:000000000000:cluster/jobs");
    assert_eq!((made.status(), made.tags()[0].value()), (Some("ACTIVE"), Some("jobs")));
    // A second time is the first time once more.
    assert_eq!(ecs.create_cluster().cluster_name("jobs").send().await.unwrap().cluster.unwrap().cluster_arn, Some(arn));
    ecs.create_cluster().send().await.unwrap();
    for name in ["b", "c"] {
        ecs.create_cluster().cluster_name(name).send().await.unwrap();
    }
    let described = ecs
        .describe_clusters()
        .clusters("jobs")
        .clusters("nope")
        .include(ClusterField::Tags)
        .include(ClusterField::Settings)
        .send()
        .await
        .unwrap();
    let jobs = &described.clusters()[0];
    assert_eq!((jobs.running_tasks_count(), jobs.active_services_count(), jobs.tags().len()), (0, 0, 1));
    assert_eq!(jobs.settings()[0].value(), Some("disabled"));
    let missing = &described.failures()[0];
    assert_eq!(missing.arn(), Some("arn:aws:ecs:us-east-1:000000000000:cluster/nope"));
    assert_eq!(missing.reason(), Some("MISSING"));
    // No name at all is the cluster called "default".
    let default = ecs.describe_clusters().send().await.unwrap();
    assert_eq!(default.clusters()[0].cluster_name(), Some("default"));

    let pages: Vec<_> = ecs.list_clusters().into_paginator().page_size(3).send().collect().await;
    let sizes: Vec<usize> = pages.into_iter().map(|page| page.unwrap().cluster_arns().len()).collect();
    assert_eq!(sizes, [3, 1]);

    let refused = refusal!(ecs.create_cluster().cluster_name("no spaces"));
    assert_eq!(refused.0, "InvalidParameterException");
    assert_eq!(ecs.delete_cluster().cluster("jobs").send().await.unwrap().cluster.unwrap().status(), Some("INACTIVE"));
    let refused = refusal!(ecs.delete_cluster().cluster("jobs"));
    assert_eq!(refused, ("ClusterNotFoundException".to_owned(), "Cluster not found.".to_owned()));
    // A deleted cluster can still be looked at, but is listed no more.
    assert_eq!(ecs.describe_clusters().clusters("jobs").send().await.unwrap().clusters()[0].status(), Some("INACTIVE"));
    assert_eq!(ecs.list_clusters().send().await.unwrap().cluster_arns().len(), 3);
    place.stop().await;
}

#[tokio::test]
async fn task_definitions() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    let register = ecs.register_task_definition().family("web").requires_compatibilities(Compatibility::Ec2);
    let made = register.container_definitions(container("a:1")).tags(tag("team", "jobs")).send().await.unwrap();
    assert_eq!(made.tags()[0].key(), Some("team"));
    let first = made.task_definition.unwrap();
    assert_eq!(arn_of(&first), "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1");
    let mapping = &first.container_definitions()[0].port_mappings()[0];
    assert_eq!((mapping.host_port(), mapping.protocol()), (Some(0), Some(&TransportProtocol::Tcp)));
    assert_eq!(first.container_definitions()[0].essential(), Some(true));
    assert!(first.registered_at().is_some_and(|at| at.secs() > 1_700_000_000));
    let second = define(&place, "web", "a:2").await;
    define(&place, "work", "a:1").await;

    let newest = ecs.describe_task_definition().task_definition("web").include(TaskDefinitionField::Tags).send().await;
    let newest = newest.unwrap();
    assert_eq!((newest.task_definition().unwrap().revision(), newest.tags().len()), (2, 0));
    let by_arn = ecs.describe_task_definition().task_definition(arn_of(&first)).send().await.unwrap();
    assert_eq!(by_arn.task_definition().unwrap().container_definitions()[0].image(), Some("a:1"));
    let refused = refusal!(ecs.describe_task_definition().task_definition("web:7"));
    assert_eq!(refused, ("ClientException".to_owned(), "Unable to describe task definition.".to_owned()));
    let refused = refusal!(ecs.register_task_definition().family("web"));
    assert_eq!(refused, ("ClientException".to_owned(), "Container list cannot be empty.".to_owned()));

    let list = ecs.list_task_definitions().family_prefix("web").sort(SortOrder::Desc);
    let pages: Vec<_> = list.into_paginator().page_size(1).items().send().collect().await;
    let arns: Vec<String> = pages.into_iter().map(Result::unwrap).collect();
    assert_eq!(arns, [arn_of(&second), arn_of(&first)]);
    let families: Vec<_> =
        ecs.list_task_definition_families().into_paginator().page_size(1).items().send().collect().await;
    let families: Vec<String> = families.into_iter().map(Result::unwrap).collect();
    assert_eq!(families, ["web", "work"]);

    let refused = refusal!(ecs.deregister_task_definition().task_definition("web"));
    assert_eq!(refused, ("ClientException".to_owned(), "Revision is missing.".to_owned()));
    let gone =
        ecs.deregister_task_definition().task_definition("work:1").send().await.unwrap().task_definition.unwrap();
    assert_eq!(gone.status(), Some(&TaskDefinitionStatus::Inactive));
    let active = ecs.list_task_definition_families().status(TaskDefinitionFamilyStatus::Active).send().await.unwrap();
    assert_eq!(active.families(), ["web"]);
    let inactive = ecs.list_task_definitions().status(TaskDefinitionStatus::Inactive).send().await.unwrap();
    assert_eq!(inactive.task_definition_arns(), [arn_of(&gone)]);
    let deleted =
        ecs.delete_task_definitions().task_definitions("work:1").task_definitions("web:1").send().await.unwrap();
    assert_eq!(deleted.task_definitions()[0].status(), Some(&TaskDefinitionStatus::DeleteInProgress));
    assert_eq!(deleted.failures()[0].reason(), Some("TASK_DEFINITION_IS_ACTIVE"));
    place.stop().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one life, in its order")]
async fn a_service_from_its_creation_to_its_end() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    let refused = refusal!(ecs.create_service().cluster("jobs").service_name("web").task_definition("web"));
    assert_eq!(refused, ("ClusterNotFoundException".to_owned(), "Cluster not found.".to_owned()));
    let first = serve(&place, "web", 2).await;
    let create = || ecs.create_service().cluster("jobs").service_name("web").desired_count(2);
    assert_eq!(refusal!(create().task_definition("nope")).0, "InvalidParameterException");
    assert_eq!(
        refusal!(create().task_definition("web:1").desired_count(3)),
        ("InvalidParameterException".to_owned(), "Creation of service was not idempotent.".to_owned())
    );

    let described = ecs
        .describe_services()
        .cluster("jobs")
        .services("web")
        .services("nope")
        .include(ServiceField::Tags)
        .send()
        .await
        .unwrap();
    assert_eq!(described.failures()[0].reason(), Some("MISSING"));
    let service = &described.services()[0];
    assert_eq!((service.status(), service.desired_count(), service.running_count()), (Some("ACTIVE"), 2, 2));
    assert_eq!(service.current_service_deployment(), Some(first.as_str()));
    assert_eq!(service.events()[0].message(), Some("(service web) has reached a steady state."));
    let [deployment] = service.deployments() else { panic!("{:?}", service.deployments()) };
    assert_eq!(deployment.status(), Some("PRIMARY"));
    assert_eq!(deployment.rollout_state(), Some(&DeploymentRolloutState::Completed));
    let id = deployment.id().unwrap();
    assert_eq!(deployment.rollout_state_reason(), Some(format!("ECS deployment {id} completed.").as_str()));

    // One after another: page by page, by status, by time.
    let second = arn_of(&define(&place, "web", "app:2").await);
    let update = || ecs.update_service().cluster("jobs").service("web");
    let updated = update().task_definition(&second).send().await.unwrap().service.unwrap();
    assert_eq!(updated.deployments()[0].desired_count(), 0, "the new one has nothing yet");
    let rollout = updated.current_service_deployment().unwrap().to_owned();
    ended(&place, &rollout, &ServiceDeploymentStatus::Successful).await;
    let list = || ecs.list_service_deployments().cluster("jobs").service("web");
    let page = list().max_results(1).send().await.unwrap();
    assert_eq!(page.service_deployments()[0].service_deployment_arn(), Some(rollout.as_str()));
    let page = list().max_results(1).next_token(page.next_token().unwrap()).send().await.unwrap();
    assert_eq!(page.service_deployments()[0].service_deployment_arn(), Some(first.as_str()));
    assert_eq!(page.next_token(), None);
    let none = list().status(ServiceDeploymentStatus::InProgress).send().await.unwrap();
    assert!(none.service_deployments().is_empty());
    let before = CreatedAt::builder().before(aws_sdk_ecs::primitives::DateTime::from_secs(1)).build();
    assert!(list().created_at(before).send().await.unwrap().service_deployments().is_empty());
    assert_eq!(refusal!(ecs.list_service_deployments().cluster("jobs").service("nope")).0, "ServiceNotFoundException");

    let answer = ecs
        .describe_service_deployments()
        .service_deployment_arns(&rollout)
        .service_deployment_arns(rollout.replace("web", "nope"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.failures()[0].reason(), Some("MISSING"));
    let record = &answer.service_deployments()[0];
    assert!(record.started_at().unwrap() <= record.finished_at().unwrap());
    let target = record.target_service_revision().unwrap();
    assert_eq!((target.requested_task_count(), target.running_task_count()), (2, 2));
    assert_eq!(record.source_service_revisions().len(), 1);
    let revision = target.arn().unwrap();
    let answer = ecs.describe_service_revisions().service_revision_arns(revision).send().await.unwrap();
    assert_eq!(answer.service_revisions()[0].task_definition(), Some(second.as_str()));
    assert_eq!(answer.service_revisions()[0].container_images()[0].image(), Some("app:2"));
    let missing = ecs.describe_service_revisions().service_revision_arns(format!("{revision}9")).send().await.unwrap();
    assert_eq!(missing.failures()[0].reason(), Some("MISSING"));

    // More of the same is not another deployment; a forced one is.
    let scaled = update().desired_count(3).send().await.unwrap().service.unwrap();
    assert_eq!((scaled.deployments().len(), scaled.current_service_deployment()), (1, Some(rollout.as_str())));
    let forced = update().force_new_deployment(true).send().await.unwrap().service.unwrap();
    let forced = forced.current_service_deployment().unwrap().to_owned();
    assert_ne!(forced, rollout);
    // Overtaken at once: STOPPED.
    let third = update().force_new_deployment(true).send().await.unwrap().service.unwrap();
    ended(&place, &forced, &ServiceDeploymentStatus::Stopped).await;
    let third = third.current_service_deployment().unwrap().to_owned();
    ended(&place, &third, &ServiceDeploymentStatus::Successful).await;

    let names = ["a", "b"];
    for name in names {
        create().service_name(name).task_definition("web").desired_count(0).send().await.unwrap();
    }
    let pages: Vec<_> = ecs.list_services().cluster("jobs").into_paginator().page_size(2).send().collect().await;
    let sizes: Vec<usize> = pages.into_iter().map(|page| page.unwrap().service_arns().len()).collect();
    assert_eq!(sizes, [2, 1]);

    let delete = || ecs.delete_service().cluster("jobs").service("web");
    assert_eq!(
        refusal!(delete()),
        (
            "InvalidParameterException".to_owned(),
            "The service cannot be stopped while it is scaled above 0.".to_owned()
        )
    );
    assert_eq!(
        refusal!(ecs.delete_cluster().cluster("jobs")),
        (
            "ClusterContainsServicesException".to_owned(),
            "The Cluster cannot be deleted while Services are active.".to_owned()
        )
    );
    let leaving = delete().force(true).send().await.unwrap().service.unwrap();
    assert_eq!((leaving.status(), leaving.deployments()[0].status()), (Some("DRAINING"), Some("DRAINING")));
    until("inactive", async || {
        let answer = ecs.describe_services().cluster("jobs").services("web").send().await.unwrap();
        (answer.services()[0].status() == Some("INACTIVE")).then_some(())
    })
    .await;
    assert_eq!(
        refusal!(update().desired_count(1)),
        ("ServiceNotActiveException".to_owned(), "Service was not ACTIVE.".to_owned())
    );
    assert_eq!(
        refusal!(ecs.update_service().cluster("jobs").service("nope")),
        ("ServiceNotFoundException".to_owned(), "Service not found.".to_owned())
    );
    assert_eq!(refusal!(delete()).0, "ServiceNotFoundException");
    for name in names {
        ecs.delete_service().cluster("jobs").service(name).send().await.unwrap();
    }
    until("empty", async || ecs.delete_cluster().cluster("jobs").send().await.ok()).await;
    place.stop().await;
}

/// The percentages allow no step: it waits until it is rolled back on request.
#[tokio::test]
async fn a_deployment_is_stopped_on_request() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    let first = serve(&place, "web", 1).await;
    assert_eq!(
        refusal!(ecs.stop_service_deployment().service_deployment_arn(&first)),
        ("ConflictException".to_owned(), "Service deployment in status SUCCESSFUL cannot be stopped.".to_owned())
    );
    assert_eq!(
        refusal!(ecs.stop_service_deployment().service_deployment_arn(format!("{first}x"))).0,
        "ServiceDeploymentNotFoundException"
    );
    let second = arn_of(&define(&place, "web", "app:2").await);
    let configuration = DeploymentConfiguration::builder()
        .minimum_healthy_percent(100)
        .maximum_percent(150)
        .deployment_circuit_breaker(DeploymentCircuitBreaker::builder().enable(true).rollback(true).build())
        .build();
    let update = ecs.update_service().cluster("jobs").service("web").task_definition(&second);
    let service = update.deployment_configuration(configuration).send().await.unwrap().service.unwrap();
    let rollout = service.current_service_deployment().unwrap().to_owned();
    until("stuck", async || {
        let answer = ecs.describe_services().cluster("jobs").services("web").send().await.unwrap();
        let said =
            |text: &str| answer.services()[0].events().iter().any(|event| event.message().unwrap().contains(text));
        said("was unable to stop or start tasks during a deployment").then_some(())
    })
    .await;
    let stop = ecs.stop_service_deployment().service_deployment_arn(&rollout);
    let stopped = stop.stop_type(StopServiceDeploymentStopType::Rollback).send().await.unwrap();
    assert_eq!(stopped.service_deployment_arn(), Some(rollout.as_str()));
    ended(&place, &rollout, &ServiceDeploymentStatus::RollbackSuccessful).await;
    let answer = ecs.describe_service_deployments().service_deployment_arns(&rollout).send().await.unwrap();
    let rollback = answer.service_deployments()[0].rollback().unwrap();
    let back = ecs.describe_services().cluster("jobs").services("web").send().await.unwrap();
    assert!(back.services()[0].task_definition().unwrap().ends_with("/web:1"));
    assert_eq!(
        rollback.service_revision_arn(),
        back.services()[0].current_service_revisions()[0].arn(),
        "it went where it is now"
    );
    place.stop().await;
}

#[tokio::test]
async fn tasks() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    serve(&place, "web", 3).await;
    let pages: Vec<_> = ecs
        .list_tasks()
        .cluster("jobs")
        .service_name("web")
        .into_paginator()
        .page_size(2)
        .items()
        .send()
        .collect()
        .await;
    let arns: Vec<String> = pages.into_iter().map(Result::unwrap).collect();
    assert_eq!(arns.len(), 3);
    let all = ecs
        .describe_tasks()
        .cluster("jobs")
        .set_tasks(Some(arns.clone()))
        .tasks("0123456789abcdef0123456789abcdef")
        .include(TaskField::Tags)
        .send()
        .await
        .unwrap();
    assert_eq!((all.tasks().len(), all.failures()[0].reason()), (3, Some("MISSING")));
    let one = &all.tasks()[0];
    assert_eq!((one.last_status(), one.desired_status()), (Some("RUNNING"), Some("RUNNING")));
    assert_eq!((one.group(), one.health_status().map(HealthStatus::as_str)), (Some("service:web"), Some("UNKNOWN")));
    assert!(one.started_by().unwrap().starts_with("ecs-svc/"));
    assert!(one.created_at().unwrap() <= one.started_at().unwrap());
    let binding = &one.containers()[0].network_bindings()[0];
    assert_eq!((binding.bind_ip(), binding.container_port()), (Some("127.0.0.1"), Some(80)));

    let overrides = TaskOverride::builder()
        .container_overrides(
            ContainerOverride::builder()
                .name("app")
                .command("migrate")
                .environment(KeyValuePair::builder().name("A").value("1").build())
                .build(),
        )
        .build();
    let run = ecs.run_task().cluster("jobs").task_definition("web").count(2).started_by("me").overrides(overrides);
    let started = run.send().await.unwrap();
    assert_eq!((started.tasks().len(), started.failures().len()), (2, 0));
    assert_eq!(started.tasks()[0].overrides().unwrap().container_overrides()[0].command(), ["migrate"]);
    let open = ecs.run_task().cluster("jobs").task_definition("web").enable_execute_command(true);
    let open = open.send().await.unwrap().tasks()[0].clone();
    let agent = open.containers()[0].managed_agents()[0].clone();
    assert_eq!((open.enable_execute_command(), agent.last_status()), (true, Some("STOPPED")));
    assert_eq!(
        (started.tasks()[0].enable_execute_command(), started.tasks()[0].containers()[0].managed_agents().len()),
        (false, 0)
    );
    assert_eq!(refusal!(ecs.run_task().cluster("jobs").task_definition("nope")).0, "InvalidParameterException");
    assert_eq!(refusal!(ecs.run_task().cluster("nope").task_definition("web")).0, "ClusterNotFoundException");
    let mine = ecs.list_tasks().cluster("jobs").started_by("me").send().await.unwrap();
    assert_eq!(mine.task_arns().len(), 2);
    let stop = ecs.stop_task().cluster("jobs").task(&mine.task_arns()[0]).reason("enough");
    let stopped = stop.send().await.unwrap().task.unwrap();
    assert_eq!((stopped.desired_status(), stopped.stop_code()), (Some("STOPPED"), Some(&TaskStopCode::UserInitiated)));
    assert_eq!(
        refusal!(ecs.stop_task().cluster("jobs").task("nope")),
        ("InvalidParameterException".to_owned(), "The referenced task was not found.".to_owned())
    );
    let gone = until("stopped", async || {
        let list = ecs.list_tasks().cluster("jobs").desired_status(DesiredStatus::Stopped).send().await.unwrap();
        let arn = list.task_arns().first()?.clone();
        let answer = ecs.describe_tasks().cluster("jobs").tasks(arn).send().await.unwrap();
        let task = answer.tasks()[0].clone();
        (task.last_status() == Some("STOPPED")).then_some(task)
    })
    .await;
    assert_eq!(gone.stopped_reason(), Some("enough"));
    assert!(gone.stopping_at().unwrap() <= gone.stopped_at().unwrap());
    assert_eq!(
        refusal!(ecs.list_tasks().cluster("jobs").service_name("nope")),
        ("ServiceNotFoundException".to_owned(), "Service not found.".to_owned())
    );
    place.stop().await;
}

#[tokio::test]
async fn tags() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    serve(&place, "web", 1).await;
    let task = ecs.list_tasks().cluster("jobs").send().await.unwrap().task_arns()[0].clone();
    let prefix = "arn:aws:ecs:us-east-1:000000000000";
    for arn in [
        format!("{prefix}:cluster/jobs"),
        format!("{prefix}:service/jobs/web"),
        format!("{prefix}:task-definition/web:1"),
        task,
    ] {
        ecs.tag_resource().resource_arn(&arn).tags(tag("a", "1")).tags(tag("b", "2")).send().await.unwrap();
        ecs.tag_resource().resource_arn(&arn).tags(tag("a", "3")).send().await.unwrap();
        ecs.untag_resource().resource_arn(&arn).tag_keys("b").send().await.unwrap();
        let answer = ecs.list_tags_for_resource().resource_arn(&arn).send().await.unwrap();
        let [only] = answer.tags() else { panic!("{arn}: {:?}", answer.tags()) };
        assert_eq!((only.key(), only.value()), (Some("a"), Some("3")), "{arn}");
    }
    let nowhere = format!("{prefix}:cluster/nope");
    assert_eq!(refusal!(ecs.tag_resource().resource_arn(&nowhere).tags(tag("a", "1"))).0, "InvalidParameterException");
    place.stop().await;
}

#[tokio::test]
async fn a_service_stands_behind_a_target_group_only_if_it_gets_requests() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    ecs.create_cluster().cluster_name("jobs").send().await.unwrap();
    define(&place, "web", "app:1").await;
    let (_, group) = crate::elb::balanced(&place, "web").await;
    let create = |group: &str, container: &str, port: i32| {
        let balancer = LoadBalancer::builder().target_group_arn(group).container_name(container).container_port(port);
        let create = ecs.create_service().cluster("jobs").service_name("web").task_definition("web").desired_count(1);
        create.load_balancers(balancer.build())
    };
    for (group, container, port, words) in [
        (group.as_str(), "nope", 80, "The container nope does not exist in the task definition."),
        (group.as_str(), "app", 81, "The container app did not have a container port 81 defined."),
    ] {
        assert_eq!(
            refusal!(create(group, container, port)),
            ("InvalidParameterException".to_owned(), words.to_owned())
        );
    }
    let nowhere = format!("{group}0");
    assert_eq!(refusal!(create(&nowhere, "app", 80)).0, "InvalidParameterException");
    let made = create(&group, "app", 80).send().await.unwrap().service.unwrap();
    ended(&place, made.current_service_deployment().unwrap(), &ServiceDeploymentStatus::Successful).await;
    let health = place.elb.describe_target_health().target_group_arn(&group).send().await.unwrap();
    assert_eq!(health.target_health_descriptions().len(), 1);
    let service = ecs.describe_services().cluster("jobs").services("web").send().await.unwrap().services()[0].clone();
    // The order of a real rollout, newest first.
    let said: Vec<&str> = service.events().iter().map(|event| event.message().unwrap()).collect();
    let order =
        ["has reached a steady state.", "deployment completed.", "registered 1 targets in", "has started 1 tasks"];
    for (event, words) in said.iter().zip(order) {
        assert!(event.contains(words), "{said:#?}");
    }
    place.stop().await;
}

#[tokio::test]
async fn settings_of_clusters_and_of_the_account() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    ecs.create_cluster().cluster_name("jobs").send().await.unwrap();
    let insights =
        |value: &str| ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value(value).build();
    let updated = ecs.update_cluster_settings().cluster("jobs").settings(insights("enabled")).send().await.unwrap();
    assert_eq!(updated.cluster().unwrap().settings()[0].value(), Some("enabled"));
    let updated = ecs.update_cluster().cluster("jobs").settings(insights("enhanced")).send().await.unwrap();
    assert_eq!(updated.cluster().unwrap().settings()[0].value(), Some("enhanced"));
    assert_eq!(refusal!(ecs.update_cluster().cluster("nope")).0, "ClusterNotFoundException");
    let spot = CapacityProviderStrategyItem::builder().capacity_provider("FARGATE_SPOT").weight(1).build().unwrap();
    let put =
        || ecs.put_cluster_capacity_providers().cluster("jobs").set_default_capacity_provider_strategy(Some(vec![]));
    let with = put().capacity_providers("FARGATE").capacity_providers("FARGATE_SPOT");
    let with = with.default_capacity_provider_strategy(spot).send().await.unwrap().cluster.unwrap();
    assert_eq!(with.capacity_providers(), ["FARGATE", "FARGATE_SPOT"]);
    assert_eq!(with.default_capacity_provider_strategy()[0].weight(), 1);
    assert_eq!(refusal!(put().capacity_providers("mine")).0, "InvalidParameterException");
    let providers = ecs.describe_capacity_providers().include(CapacityProviderField::Tags).send().await.unwrap();
    assert_eq!(providers.capacity_providers()[1].name(), Some("FARGATE_SPOT"));
    let include = ecs.describe_clusters().clusters("jobs").include(ClusterField::Statistics).send().await.unwrap();
    assert_eq!(include.clusters()[0].statistics().len(), 6);

    let none = ecs.list_container_instances().cluster("jobs").send().await.unwrap();
    assert!(none.container_instance_arns().is_empty());
    let missing = ecs.describe_container_instances().cluster("jobs").container_instances("i-1").send().await.unwrap();
    assert_eq!(missing.failures()[0].reason(), Some("MISSING"));
    let none = ecs.list_services_by_namespace().namespace("local").send().await.unwrap();
    assert!(none.service_arns().is_empty());

    let name = SettingName::ContainerInsights;
    ecs.put_account_setting_default().name(name.clone()).value("enabled").send().await.unwrap();
    let effective = || ecs.list_account_settings().name(name.clone()).effective_settings(true);
    assert_eq!(effective().send().await.unwrap().settings()[0].value(), Some("enabled"));
    ecs.put_account_setting().name(name.clone()).value("disabled").send().await.unwrap();
    assert_eq!(effective().send().await.unwrap().settings()[0].value(), Some("disabled"));
    ecs.delete_account_setting().name(name.clone()).send().await.unwrap();
    assert_eq!(effective().send().await.unwrap().settings()[0].value(), Some("enabled"));
    assert!(ecs.list_account_settings().name(name).send().await.unwrap().settings().is_empty(), "none of one's own");
    place.stop().await;
}

#[tokio::test]
async fn protected_tasks() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    serve(&place, "web", 1).await;
    let task = ecs.list_tasks().cluster("jobs").send().await.unwrap().task_arns()[0].clone();
    let update = || ecs.update_task_protection().cluster("jobs").tasks(&task);
    let answer = update().protection_enabled(true).expires_in_minutes(2880).send().await.unwrap();
    assert!(answer.protected_tasks()[0].protection_enabled());
    assert!(answer.protected_tasks()[0].expiration_date().is_some());
    let get = || ecs.get_task_protection().cluster("jobs").tasks(&task);
    assert!(get().send().await.unwrap().protected_tasks()[0].protection_enabled());
    let failed = get().tasks("nope").send().await.unwrap();
    assert_eq!(failed.failures()[0].reason(), Some("MISSING"));
    update().protection_enabled(false).send().await.unwrap();
    assert!(!get().send().await.unwrap().protected_tasks()[0].protection_enabled());
    assert_eq!(
        refusal!(update().protection_enabled(true).expires_in_minutes(2881)),
        ("InvalidParameterException".to_owned(), "expiresInMinutes must be between 1 and 2880.".to_owned())
    );
    place.stop().await;
}

async fn record(place: &Place, deployment: &str) -> ServiceDeployment {
    let answer = place.ecs.describe_service_deployments().service_deployment_arns(deployment).send().await.unwrap();
    answer.service_deployments()[0].clone()
}

/// Traffic moves from one target group to the other, and stands still while a pause waits for an answer.
#[tokio::test]
async fn a_blue_green_deployment_waits_for_its_pause() {
    let place = Place::start().await;
    let ecs = &place.ecs;
    ecs.create_cluster().cluster_name("jobs").send().await.unwrap();
    define(&place, "web", "app:1").await;
    let (balancer, blue) = crate::elb::balanced(&place, "blue").await;
    let green = crate::elb::group(&place, "green").await;
    let listeners = place.elb.describe_listeners().load_balancer_arn(balancer).send().await.unwrap();
    let rules = place.elb.describe_rules().listener_arn(listeners.listeners()[0].listener_arn().unwrap());
    let rule = rules.send().await.unwrap().rules()[0].rule_arn().unwrap().to_owned();
    let pause = DeploymentLifecycleHook::builder()
        .target_type(DeploymentLifecycleHookTargetType::Pause)
        .lifecycle_stages(DeploymentLifecycleHookStage::PostProductionTrafficShift)
        .build();
    let alarms = DeploymentAlarms::builder().alarm_names("errors").enable(true).rollback(true).build().unwrap();
    let shifting =
        || DeploymentConfiguration::builder().strategy(DeploymentStrategy::BlueGreen).bake_time_in_minutes(1);
    let advanced = AdvancedConfiguration::builder()
        .alternate_target_group_arn(&green)
        .production_listener_rule(&rule)
        .role_arn("arn:aws:iam::000000000000:role/ecs");
    let balancer = LoadBalancer::builder().target_group_arn(&blue).container_name("app").container_port(80);
    let create = ecs.create_service().cluster("jobs").service_name("web").task_definition("web").desired_count(1);
    let made = create
        .load_balancers(balancer.advanced_configuration(advanced.build()).build())
        .deployment_configuration(shifting().alarms(alarms).build())
        .send()
        .await
        .unwrap()
        .service
        .unwrap();
    ended(&place, made.current_service_deployment().unwrap(), &ServiceDeploymentStatus::Successful).await;

    let update = ecs.update_service().cluster("jobs").service("web").force_new_deployment(true);
    let update = update.deployment_configuration(shifting().lifecycle_hooks(pause).build());
    let rollout = update.send().await.unwrap().service.unwrap().current_service_deployment.unwrap();
    let waiting = until("paused", async || {
        let record = record(&place, &rollout).await;
        (!record.lifecycle_hook_details().is_empty()).then_some(record)
    })
    .await;
    assert_eq!(waiting.status(), Some(&ServiceDeploymentStatus::InProgress));
    assert_eq!(waiting.lifecycle_stage(), Some(&ServiceDeploymentLifecycleStage::PostProductionTrafficShift));
    assert_eq!(waiting.alarms().unwrap().status(), Some(&ServiceDeploymentRollbackMonitorsStatus::Monitoring));
    let target = waiting.target_service_revision().unwrap();
    assert_eq!(target.requested_production_traffic_weight(), Some(100.0));
    let hook = &waiting.lifecycle_hook_details()[0];
    assert_eq!(hook.status(), Some(&DeploymentLifecycleHookStatus::AwaitingAction));
    assert_eq!(hook.timeout_action(), Some(&DeploymentLifecycleHookAction::Rollback));
    let shown = place.elb.describe_rules().rule_arns(&rule).send().await.unwrap();
    let groups = shown.rules()[0].actions()[0].forward_config().unwrap().target_groups();
    let weight = |arn: &str| groups.iter().find(|group| group.target_group_arn() == Some(arn)).unwrap().weight();
    assert_eq!((weight(&blue), weight(&green)), (Some(0), Some(100)));

    let go_on = |id: &str| ecs.continue_service_deployment().service_deployment_arn(&rollout).hook_id(id);
    assert_eq!(refusal!(go_on("nope")).0, "InvalidParameterException");
    let id = hook.hook_id().unwrap();
    go_on(id).action(DeploymentLifecycleHookAction::Continue).send().await.unwrap();
    assert_eq!(refusal!(go_on(id)).0, "ConflictException");
    ended(&place, &rollout, &ServiceDeploymentStatus::Successful).await;
    place.stop().await;
}
