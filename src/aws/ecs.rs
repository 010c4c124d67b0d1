//! ECS: services and their task definitions as they stand, the changes a deploy makes, and one look
//! at a rollout.
//!
//! Words ECS may add to (statuses, stages, stop codes) stay text: a new one is never an error.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs as sdk;
use aws_sdk_ecs::types::{
    Deployment, DeploymentCircuitBreaker, DeploymentConfiguration, DesiredStatus, LoadBalancer, ServiceRevisionSummary,
    StopServiceDeploymentStopType, Task, TaskDefinitionField,
};
use futures_util::future::{join_all, try_join_all};
use serde_json::Value;

use super::{
    call::{KeepBody, ReplaceBody, lock, send},
    connect::Aws,
    elb,
    error::{AwsError, Service},
    tasks,
};
use crate::{
    config::spec::{Percentages, SandboxService},
    id::{Cluster, ServiceName, TaskDefArn},
    image::Digest,
    plan::{
        observed::{
            Attached, ClusterObserved, DeploymentObserved, ServiceActive, ServiceObserved, Shipped,
            TargetGroupObserved, Unread,
        },
        step::{BehindGroup, Started},
    },
    rollout::view::{
        BreakerView, ContainerView, DeploymentView, EventView, GroupView, HookView, ServiceDeploymentView, ServiceView,
        ShiftView, TaskView,
    },
};

const SERVICE: Service = Service::Ecs;

/// Whether a rollout starts although nothing in the service changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

// ---- before planning --------------------------------------------------------------------------

/// Which of these clusters are there, in one call.
pub async fn clusters(aws: &Aws, names: &[Cluster]) -> Result<BTreeMap<Cluster, ClusterObserved>, AwsError> {
    let mut observed: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), ClusterObserved::Missing)).collect();
    // "A list of up to 100 cluster names or full cluster ARN entries."
    for some in names.chunks(100) {
        let request = aws.ecs.describe_clusters().set_clusters(Some(some.iter().map(ToString::to_string).collect()));
        let answer = send!(aws, "DescribeClusters", request)?;
        for found in answer.clusters() {
            // An INACTIVE cluster is a deleted one that is still remembered.
            if found.status() != Some("ACTIVE") {
                continue;
            }
            for (name, state) in &mut observed {
                if [found.cluster_name(), found.cluster_arn()].contains(&Some(name.as_str())) {
                    *state = ClusterObserved::Active;
                }
            }
        }
    }
    Ok(observed)
}

/// Names of the clusters that these credentials may list.
pub async fn cluster_names(aws: &Aws) -> Result<Vec<String>, AwsError> {
    let mut names = Vec::new();
    let mut token = None;
    loop {
        let answer = send!(aws, "ListClusters", aws.ecs.list_clusters().set_next_token(token))?;
        names.extend(answer.cluster_arns().iter().map(|arn| last_part(arn)));
        token = answer.next_token;
        if token.is_none() {
            names.sort_unstable();
            return Ok(names);
        }
    }
}

/// Names of the services in a cluster.
pub async fn service_names(aws: &Aws, cluster: &Cluster) -> Result<Vec<String>, AwsError> {
    let mut names = Vec::new();
    let mut token = None;
    loop {
        // "The maximum number of services returned is 100 in one call", 10 where nothing is said.
        let request = aws.ecs.list_services().cluster(cluster.as_str()).max_results(100).set_next_token(token);
        let answer = send!(aws, "ListServices", request)?;
        names.extend(answer.service_arns().iter().map(|arn| last_part(arn)));
        token = answer.next_token;
        if token.is_none() {
            names.sort_unstable();
            return Ok(names);
        }
    }
}

fn last_part(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or(arn).to_owned()
}

/// The service with its task definition and target groups: two round trips.
pub async fn service(aws: &Aws, cluster: &Cluster, name: &ServiceName) -> Result<ServiceObserved, AwsError> {
    let Some(found) = describe(aws, cluster, name).await? else { return Ok(ServiceObserved::Missing) };
    let status = found.status().unwrap_or("ACTIVE");
    if status != "ACTIVE" {
        return Ok(ServiceObserved::Inactive { status: status.to_owned() });
    }
    let (definition, target_groups) =
        tokio::join!(definition(aws, found.task_definition()), target_groups(aws, found.load_balancers()));
    let (definition, tags) = definition?;
    let (target_groups, unread) = target_groups?;
    let percentages = found.deployment_configuration();
    // REPLICA's defaults, 100 and 200: DeploymentConfiguration in the ECS API reference.
    let minimum = percentages.and_then(DeploymentConfiguration::minimum_healthy_percent).unwrap_or(100);
    let maximum = percentages.and_then(DeploymentConfiguration::maximum_percent).unwrap_or(200);
    let controller = found.deployment_controller().map_or("ECS", |controller| controller.r#type().as_str());
    Ok(ServiceObserved::Active(Box::new(ServiceActive {
        arn: found.service_arn().unwrap_or_default().to_owned(),
        desired_count: count(found.desired_count()),
        task_definition: TaskDefArn::new(found.task_definition().unwrap_or_default()),
        definition,
        tags,
        deployments: found.deployments().iter().map(deployment_observed).collect(),
        minimum_healthy_percent: count(minimum),
        maximum_percent: count(maximum),
        controller: controller.to_owned(),
        target_groups,
        launch: tasks::launch(&found),
        // Only planning wants to know, and looks for itself.
        shipped: Shipped::NotFound,
        unread,
    })))
}

/// Seconds for which health checks are not held against a new task: what a plan does not need to know. 0 where the
/// service is not there.
pub async fn grace_period(aws: &Aws, cluster: &Cluster, name: &ServiceName) -> Result<u64, AwsError> {
    let found = describe(aws, cluster, name).await?;
    let seconds = found.and_then(|found| found.health_check_grace_period_seconds());
    Ok(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0))
}

/// `DescribeServices`; `None` when the service or its cluster is not there.
async fn describe(aws: &Aws, cluster: &Cluster, name: &ServiceName) -> Result<Option<sdk::types::Service>, AwsError> {
    let key = (cluster.clone(), name.clone());
    // "A list of services to describe. You may specify up to 10 services to describe in a single operation."
    let ask = aws.batches.services.ask(
        aws,
        (SERVICE, "DescribeServices"),
        key,
        10,
        |(cluster, _)| cluster.clone(),
        |keys: Vec<(Cluster, ServiceName)>| async move {
            let names = keys.iter().map(|(_, name)| name.to_string()).collect();
            let cluster = keys[0].0.as_str();
            let request = aws.ecs.describe_services().cluster(cluster).set_services(Some(names));
            let answer = match send!(aws, "DescribeServices", request) {
                Ok(answer) => answer,
                Err(error) if error.code() == Some("ClusterNotFoundException") => return Ok(BTreeMap::new()),
                Err(error) => return Err(error),
            };
            let refused = answer.failures().iter().find(|failure| failure.reason() != Some("MISSING"));
            if let Some(failure) = refused {
                let reason = failure.reason().unwrap_or("failure without a reason");
                return Err(AwsError::refused(aws, "DescribeServices", reason, failure.detail()));
            }
            let services = answer.services.unwrap_or_default();
            let key_of = |service: &sdk::types::Service| {
                let is =
                    |name: &ServiceName| [service.service_name(), service.service_arn()].contains(&Some(name.as_str()));
                // Asked for alone it can only be that one, whatever it is called.
                keys.iter().find(|(_, name)| is(name)).or_else(|| keys.first().filter(|_| keys.len() == 1)).cloned()
            };
            Ok(services.into_iter().filter_map(|service| Some((key_of(&service)?, service))).collect())
        },
    );
    ask.await
}

/// The task definition as ECS sent it, and its tags; `family:revision` will do for an ARN. Null for a
/// service that has none of its own (task sets of another deployment controller).
pub async fn definition(aws: &Aws, arn: Option<&str>) -> Result<(Value, Vec<(String, String)>), AwsError> {
    let Some(arn) = arn else { return Ok((Value::Null, Vec::new())) };
    let body = KeepBody::default();
    let request = aws.ecs.describe_task_definition().task_definition(arn).include(TaskDefinitionField::Tags);
    let answer = send!(aws, "DescribeTaskDefinition", request, body.clone())?;
    let pair = |tag: &sdk::types::Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    let tags = answer.tags().iter().filter_map(pair).collect();
    let mut raw: Value = serde_json::from_slice(&body.take())
        .map_err(|_| AwsError::unreadable(aws, SERVICE, "DescribeTaskDefinition", "it is not JSON"))?;
    match raw.get_mut("taskDefinition") {
        Some(definition) if definition.is_object() => Ok((definition.take(), tags)),
        _ => Err(AwsError::unreadable(aws, SERVICE, "DescribeTaskDefinition", "it holds no task definition")),
    }
}

/// The target groups, and what of them may not be read.
async fn target_groups(
    aws: &Aws,
    balancers: &[LoadBalancer],
) -> Result<(Vec<TargetGroupObserved>, BTreeSet<Unread>), AwsError> {
    let read = try_join_all(balancers.iter().filter_map(|balancer| {
        let arn = balancer.target_group_arn()?;
        Some(async move {
            let (delay, described) = tokio::join!(elb::deregistration_delay(aws, arn), elb::described(aws, arn));
            let mut group = TargetGroupObserved {
                arn: arn.to_owned(),
                container: balancer.container_name().unwrap_or_default().to_owned(),
                container_port: count(balancer.container_port().unwrap_or_default()),
                deregistration_delay_s: elb::DEFAULT_DEREGISTRATION_DELAY_S,
                health_check_interval_s: elb::DEFAULT_HEALTH_CHECK_INTERVAL_S,
                attached: Attached::NotSaid,
            };
            let mut unread = BTreeSet::new();
            match delay {
                Ok(delay) => group.deregistration_delay_s = delay,
                // Not essential: it makes the countdown and the drain budget exact.
                Err(error) if error.is_out_of_reach() => {
                    unread.insert(Unread::DeregistrationDelay(group.name().to_owned()));
                }
                Err(error) => return Err(error),
            }
            match described {
                Ok(described) => {
                    group.attached = described.attached;
                    group.health_check_interval_s = described.health_check_interval_s;
                }
                // Never essential: without it a rollout that cannot end is not refused, and how long one takes as a
                // rule is not exact.
                Err(_) => {
                    unread.insert(Unread::Attached(group.name().to_owned()));
                }
            }
            Ok((group, unread))
        })
    }))
    .await?;
    let (groups, unread): (_, Vec<_>) = read.into_iter().unzip();
    Ok((groups, unread.into_iter().flatten().collect()))
}

fn deployment_observed(deployment: &Deployment) -> DeploymentObserved {
    DeploymentObserved {
        id: deployment.id().unwrap_or_default().to_owned(),
        status: deployment.status().unwrap_or_default().to_owned(),
        rollout_state: deployment.rollout_state().map(|state| state.as_str().to_owned()),
        task_definition: TaskDefArn::new(deployment.task_definition().unwrap_or_default()),
        running: count(deployment.running_count()),
        desired: count(deployment.desired_count()),
        failed: count(deployment.failed_tasks()),
        created_ms: milliseconds(deployment.created_at()),
    }
}

// ---- changes ----------------------------------------------------------------------------------

/// Creates it; `CreateCluster` for a cluster that exists changes nothing. Yields the ARN.
pub async fn create_cluster(aws: &Aws, cluster: &Cluster) -> Result<String, AwsError> {
    let name = cluster.as_str().rsplit('/').next().unwrap_or_default();
    let answer = send!(aws, "CreateCluster", aws.ecs.create_cluster().cluster_name(name))?;
    let arn = answer.cluster.and_then(|cluster| cluster.cluster_arn);
    arn.ok_or_else(|| AwsError::unreadable(aws, SERVICE, "CreateCluster", "it names no ARN"))
}

/// Registers `body`, the whole request, exactly as it is: a typed input would drop the fields this
/// version of the SDK does not know.
pub async fn register(aws: &Aws, body: &Value) -> Result<TaskDefArn, AwsError> {
    // `Value` prints without spaces and with its numbers as they were read.
    let body = ReplaceBody::new(body.to_string().into_bytes());
    let answer = send!(aws, "RegisterTaskDefinition", aws.ecs.register_task_definition(), body)?;
    let arn = answer.task_definition.and_then(|definition| definition.task_definition_arn);
    arn.map(TaskDefArn::new)
        .ok_or_else(|| AwsError::unreadable(aws, SERVICE, "RegisterTaskDefinition", "it names no ARN"))
}

/// Sets the service to the revision, and its percentages where they are given. Nothing else of it changes.
pub async fn update_service(
    aws: &Aws,
    cluster: &Cluster,
    name: &ServiceName,
    task_definition: &TaskDefArn,
    force: Force,
    percentages: Percentages,
) -> Result<Started, AwsError> {
    let configuration = (percentages != Percentages::default()).then(|| configuration(percentages));
    let request = aws
        .ecs
        .update_service()
        .cluster(cluster.as_str())
        .service(name.as_str())
        .task_definition(task_definition.as_str())
        .set_deployment_configuration(configuration)
        .set_force_new_deployment(match force {
            Force::No => None,
            Force::Yes => Some(true),
        });
    let answer = send!(aws, "UpdateService", request)?;
    let service = answer.service.as_ref();
    service
        .and_then(|service| started(service, task_definition))
        .ok_or_else(|| AwsError::unreadable(aws, SERVICE, "UpdateService", "it names no primary deployment"))
}

/// Sets the percentages alone: "This parameter doesn't trigger a new service deployment" (`deploymentConfiguration` of
/// `UpdateService`).
pub async fn configure_service(
    aws: &Aws,
    cluster: &Cluster,
    name: &ServiceName,
    percentages: Percentages,
) -> Result<(), AwsError> {
    let request = aws.ecs.update_service().cluster(cluster.as_str()).service(name.as_str());
    send!(aws, "UpdateService", request.deployment_configuration(configuration(percentages))).map(drop)
}

/// What is left out of a `deploymentConfiguration` stays as it is, the circuit breaker too.
fn configuration(percentages: Percentages) -> DeploymentConfiguration {
    let Percentages { minimum_healthy, maximum } = percentages;
    DeploymentConfiguration::builder()
        .set_minimum_healthy_percent(minimum_healthy.map(whole))
        .set_maximum_percent(maximum.map(whole))
        .build()
}

fn whole(percent: u32) -> i32 {
    i32::try_from(percent).unwrap_or(i32::MAX)
}

/// What `CreateService` needs; used for the sandbox alone.
#[derive(Debug, Clone, Copy)]
pub struct NewService<'a> {
    pub cluster: &'a Cluster,
    pub name: &'a ServiceName,
    pub task_definition: &'a TaskDefArn,
    pub target_groups: &'a [BehindGroup],
    pub settings: &'a SandboxService,
    pub percentages: Percentages,
}

/// Creates the service behind its target groups, with the circuit breaker on.
pub async fn create_service(aws: &Aws, new: NewService<'_>) -> Result<Started, AwsError> {
    let NewService { cluster, name, task_definition, target_groups, settings, percentages } = new;
    let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(true).build();
    let configuration = DeploymentConfiguration::builder()
        .deployment_circuit_breaker(breaker)
        .minimum_healthy_percent(whole(percentages.minimum_healthy.unwrap_or(100)))
        .maximum_percent(whole(percentages.maximum.unwrap_or(200)))
        .build();
    let balancer = |group: &BehindGroup| {
        LoadBalancer::builder()
            .target_group_arn(&group.target_group)
            .container_name(&group.container)
            .container_port(i32::from(group.container_port))
            .build()
    };
    let grace = i32::try_from(settings.grace_period().as_secs()).unwrap_or(i32::MAX);
    let request = aws
        .ecs
        .create_service()
        .cluster(cluster.as_str())
        .service_name(name.as_str())
        .task_definition(task_definition.as_str())
        .desired_count(i32::try_from(settings.desired_count).unwrap_or(i32::MAX))
        .deployment_configuration(configuration)
        .health_check_grace_period_seconds(grace)
        .set_load_balancers(Some(target_groups.iter().map(balancer).collect()));
    let answer = send!(aws, "CreateService", request)?;
    let service = answer.service.as_ref();
    service
        .and_then(|service| started(service, task_definition))
        .ok_or_else(|| AwsError::unreadable(aws, SERVICE, "CreateService", "it names no primary deployment"))
}

fn started(service: &sdk::types::Service, asked: &TaskDefArn) -> Option<Started> {
    let deployments = service.deployments();
    let primary = deployments.iter().find(|deployment| deployment.status() == Some("PRIMARY"))?;
    // Several old ones when a rollout is replaced in the middle: what serves is what runs most.
    let previous = deployments
        .iter()
        .filter(|deployment| deployment.id() != primary.id())
        .max_by_key(|deployment| deployment.running_count())
        .and_then(Deployment::task_definition);
    let task_definition = primary.task_definition().map_or_else(|| asked.clone(), TaskDefArn::new);
    Some(Started {
        deployment_id: primary.id()?.to_owned(),
        service_deployment: service.current_service_deployment().map(str::to_owned),
        task_definition,
        previous: previous.map(TaskDefArn::new),
        // Not the deployment's: right after UpdateService that is 0.
        desired: count(service.desired_count()),
    })
}

/// Asks ECS to take a rollout back, whether or not the service has automatic rollback.
pub async fn stop_deployment(aws: &Aws, service_deployment: &str) -> Result<(), AwsError> {
    let request = aws
        .ecs
        .stop_service_deployment()
        .service_deployment_arn(service_deployment)
        .stop_type(StopServiceDeploymentStopType::Rollback);
    send!(aws, "StopServiceDeployment", request).map(drop)
}

// ---- one look at a rollout --------------------------------------------------------------------

/// `None` when the service is gone.
pub async fn view_service(aws: &Aws, cluster: &Cluster, name: &ServiceName) -> Result<Option<ServiceView>, AwsError> {
    Ok(describe(aws, cluster, name).await?.as_ref().map(service_view))
}

fn service_view(service: &sdk::types::Service) -> ServiceView {
    let event = |event: &sdk::types::ServiceEvent| {
        Some(EventView {
            id: event.id()?.to_owned(),
            time_ms: milliseconds(event.created_at()).unwrap_or_default(),
            text: event.message().unwrap_or_default().to_owned(),
        })
    };
    let deployment = |deployment: &Deployment| {
        Some(DeploymentView {
            id: deployment.id()?.to_owned(),
            status: deployment.status().unwrap_or_default().to_owned(),
            task_definition: TaskDefArn::new(deployment.task_definition().unwrap_or_default()),
            desired: count(deployment.desired_count()),
            pending: count(deployment.pending_count()),
            running: count(deployment.running_count()),
            failed: count(deployment.failed_tasks()),
            rollout_state: deployment.rollout_state().map(|state| state.as_str().to_owned()),
            rollout_reason: deployment.rollout_state_reason().map(str::to_owned),
        })
    };
    ServiceView {
        status: service.status().unwrap_or_default().to_owned(),
        desired: count(service.desired_count()),
        running: count(service.running_count()),
        pending: count(service.pending_count()),
        deployments: service.deployments().iter().filter_map(deployment).collect(),
        events: service.events().iter().filter_map(event).collect(),
        current_service_deployment: service.current_service_deployment().map(str::to_owned),
        groups: service.load_balancers().iter().flat_map(groups).collect(),
    }
}

fn groups(balancer: &LoadBalancer) -> Vec<GroupView> {
    let alternate = balancer.advanced_configuration().and_then(|advanced| advanced.alternate_target_group_arn());
    let container_port = count(balancer.container_port().unwrap_or_default());
    let group = |arn: &str| GroupView { arn: arn.to_owned(), container_port };
    balancer.target_group_arn().into_iter().chain(alternate).map(group).collect()
}

/// `None` when ECS does not know the service deployment (or not yet).
pub async fn view_deployment(aws: &Aws, service_deployment: &str) -> Result<Option<ServiceDeploymentView>, AwsError> {
    // "A list of up to 20 service deployment ARNs"; the input has no cluster and no service.
    let ask = aws.batches.deployments.ask(
        aws,
        (SERVICE, "DescribeServiceDeployments"),
        service_deployment.to_owned(),
        20,
        |_| (),
        |arns: Vec<String>| async move {
            let request = aws.ecs.describe_service_deployments().set_service_deployment_arns(Some(arns.clone()));
            let answer = send!(aws, "DescribeServiceDeployments", request)?;
            let found = answer.service_deployments.unwrap_or_default();
            let arn_of = |found: &sdk::types::ServiceDeployment| match arns.as_slice() {
                [only] => Some(only.clone()),
                _ => found.service_deployment_arn().map(str::to_owned),
            };
            Ok(found.into_iter().filter_map(|found| Some((arn_of(&found)?, found))).collect())
        },
    );
    Ok(ask.await?.map(|found| deployment_view(&found, service_deployment)))
}

fn deployment_view(found: &sdk::types::ServiceDeployment, asked: &str) -> ServiceDeploymentView {
    let configuration = found.deployment_configuration();
    let hook = |hook: &sdk::types::DeploymentLifecycleHookDetail| HookView {
        id: hook.hook_id().unwrap_or_default().to_owned(),
        kind: hook.target_type().map_or("", |kind| kind.as_str()).to_owned(),
        status: hook.status().map_or("", |status| status.as_str()).to_owned(),
        expires_ms: milliseconds(hook.expires_at()),
        timeout_action: hook.timeout_action().map(|action| action.as_str().to_owned()),
    };
    ServiceDeploymentView {
        arn: found.service_deployment_arn().unwrap_or(asked).to_owned(),
        status: found.status().map_or("", |status| status.as_str()).to_owned(),
        reason: found.status_reason().map(str::to_owned),
        stage: found.lifecycle_stage().map(|stage| stage.as_str().to_owned()),
        breaker: found.deployment_circuit_breaker().map(|breaker| BreakerView {
            status: breaker.status().map_or("", |status| status.as_str()).to_owned(),
            failures: count(breaker.failure_count()),
            threshold: count(breaker.threshold()),
        }),
        rollback_reason: found.rollback().and_then(|rollback| rollback.reason()).map(str::to_owned),
        alarms: found.alarms().map(|alarms| alarms.triggered_alarm_names().to_vec()).unwrap_or_default(),
        shift: configuration.and_then(|configuration| shift_view(configuration, found.target_service_revision())),
        hooks: found.lifecycle_hook_details().iter().map(hook).collect(),
        bake_ms: minutes(configuration.and_then(DeploymentConfiguration::bake_time_in_minutes)),
    }
}

fn shift_view(configuration: &DeploymentConfiguration, target: Option<&ServiceRevisionSummary>) -> Option<ShiftView> {
    let strategy =
        configuration.strategy().map(sdk::types::DeploymentStrategy::as_str).filter(|word| *word != "ROLLING")?;
    let linear = configuration.linear_configuration();
    let canary = configuration.canary_configuration();
    let step_bake = linear
        .and_then(sdk::types::LinearConfiguration::step_bake_time_in_minutes)
        .or_else(|| canary.and_then(sdk::types::CanaryConfiguration::canary_bake_time_in_minutes));
    let steps = match (linear.and_then(sdk::types::LinearConfiguration::step_percent), canary) {
        // "stepPercent … 3.0 to 100.0", so that there are at most 34.
        (Some(percent), _) => permille(100.0 / percent.clamp(3.0, 100.0)).div_ceil(10),
        (None, Some(_)) => 2,
        (None, None) => 1,
    };
    Some(ShiftView {
        strategy: strategy.to_owned(),
        production_permille: target.and_then(ServiceRevisionSummary::requested_production_traffic_weight).map(permille),
        test_permille: target.and_then(ServiceRevisionSummary::requested_test_traffic_weight).map(permille),
        step_bake_ms: minutes(step_bake),
        steps,
    })
}

/// Tenths of a percent: "canaryPercent … 0.1 to 100.0".
fn permille(percent: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was brought into these bounds")]
    let permille = (percent * 10.0).round().clamp(0.0, 1000.0) as u32;
    permille
}

fn minutes(number: Option<i32>) -> u64 {
    u64::from(count(number.unwrap_or_default())).saturating_mul(60_000)
}

/// Every task of the service that runs, starts, stops or has stopped within the hour ECS remembers.
///
/// `ports` are the container ports its target groups use: a task with a network interface of its own
/// is registered under them, and ECS lists no bindings for it.
pub async fn view_tasks(
    aws: &Aws,
    cluster: &Cluster,
    service: &ServiceName,
    ports: &[u32],
) -> Result<Vec<TaskView>, AwsError> {
    let (wanted, stopping) = tokio::join!(
        task_arns(aws, cluster, service, DesiredStatus::Running),
        task_arns(aws, cluster, service, DesiredStatus::Stopped),
    );
    let mut arns = wanted?;
    arns.extend(stopping?);
    arns.sort_unstable();
    arns.dedup();
    let tasks = try_join_all(arns.into_iter().map(|arn| describe_task(aws, cluster, arn))).await?;
    let tasks: Vec<Task> = tasks.into_iter().flatten().collect();
    let hosts = instances(aws, cluster, &tasks).await;
    Ok(tasks.iter().filter_map(|task| task_view(task, ports, &hosts)).collect())
}

/// The digest of the image that each running task of a service has in a container, where ECS tells it.
pub async fn running_digests(
    aws: &Aws,
    cluster: &Cluster,
    service: &ServiceName,
    container: &str,
) -> Result<Vec<Option<Digest>>, AwsError> {
    let arns = task_arns(aws, cluster, service, DesiredStatus::Running).await?;
    let tasks = try_join_all(arns.into_iter().map(|arn| describe_task(aws, cluster, arn))).await?;
    let running = tasks.into_iter().flatten().filter(|task| task.last_status() == Some("RUNNING"));
    let digest = |task: Task| {
        let container = task.containers().iter().find(|one| one.name() == Some(container))?;
        container.image_digest()?.parse().ok()
    };
    Ok(running.map(digest).collect())
}

async fn describe_task(aws: &Aws, cluster: &Cluster, arn: String) -> Result<Option<Task>, AwsError> {
    // "A list of up to 100 task IDs or full ARN entries."
    let ask = aws.batches.tasks.ask(
        aws,
        (SERVICE, "DescribeTasks"),
        (cluster.clone(), arn),
        100,
        |(cluster, _)| cluster.clone(),
        |keys: Vec<(Cluster, String)>| async move {
            let cluster = &keys[0].0;
            let arns = keys.iter().map(|(_, arn)| arn.clone()).collect();
            let request = aws.ecs.describe_tasks().cluster(cluster.as_str()).set_tasks(Some(arns));
            let tasks = send!(aws, "DescribeTasks", request)?.tasks.unwrap_or_default();
            let key = |task: &Task| Some((cluster.clone(), task.task_arn()?.to_owned()));
            Ok(tasks.into_iter().filter_map(|task| Some((key(&task)?, task))).collect())
        },
    );
    ask.await
}

/// `ListTasks` takes `startedBy` only as its sole filter, so old and new tasks come together.
async fn task_arns(
    aws: &Aws,
    cluster: &Cluster,
    service: &ServiceName,
    status: DesiredStatus,
) -> Result<Vec<String>, AwsError> {
    let mut arns = Vec::new();
    let mut next = None;
    // Ten pages of 100: a service that crashes all the time keeps an hour of stopped tasks.
    for _ in 0..10 {
        let request = aws
            .ecs
            .list_tasks()
            .cluster(cluster.as_str())
            .service_name(service.as_str())
            .desired_status(status.clone())
            .set_next_token(next.take());
        let answer = send!(aws, "ListTasks", request)?;
        arns.extend(answer.task_arns.unwrap_or_default());
        next = answer.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(arns)
}

/// Container instance ARN → EC2 instance id, for the tasks whose ports are bound on their host: that
/// is what an `instance` target group knows them by. Without the permission there are just none.
async fn instances(aws: &Aws, cluster: &Cluster, tasks: &[Task]) -> BTreeMap<String, String> {
    let on_host =
        tasks.iter().filter(|task| task.containers().iter().any(|container| !container.network_bindings().is_empty()));
    let arns: std::collections::BTreeSet<&str> = on_host.filter_map(Task::container_instance_arn).collect();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut asked: Vec<String> = Vec::new();
    {
        let cache = lock(&aws.instances);
        for arn in arns {
            match cache.get(arn) {
                Some(id) => drop(known.insert(arn.to_owned(), id.clone())),
                None => asked.push(arn.to_owned()),
            }
        }
    }
    // "A list of up to 100 container instance IDs or full ARN entries."
    let answers = join_all(asked.chunks(100).map(|some| async move {
        let request = aws
            .ecs
            .describe_container_instances()
            .cluster(cluster.as_str())
            .set_container_instances(Some(some.to_vec()));
        send!(aws, "DescribeContainerInstances", request)
    }))
    .await;
    let mut cache = lock(&aws.instances);
    for (some, answer) in asked.chunks(100).zip(answers) {
        let found = match answer {
            Ok(answer) => answer.container_instances.unwrap_or_default(),
            Err(error) if error.is_out_of_reach() => Vec::new(),
            // The next look asks again.
            Err(_) => continue,
        };
        for instance in &found {
            if let (Some(arn), Some(id)) = (instance.container_instance_arn(), instance.ec2_instance_id()) {
                known.insert(arn.to_owned(), id.to_owned());
            }
        }
        // Also what may not be read: asking at every look would only be refused at every look.
        for arn in some {
            cache.insert(arn.clone(), known.get(arn).cloned().unwrap_or_default());
        }
    }
    known
}

pub(super) fn task_view(task: &Task, ports: &[u32], hosts: &BTreeMap<String, String>) -> Option<TaskView> {
    let container = |container: &sdk::types::Container| ContainerView {
        name: container.name().unwrap_or_default().to_owned(),
        last_status: container.last_status().unwrap_or_default().to_owned(),
        exit_code: container.exit_code().map(i64::from),
        reason: container.reason().map(str::to_owned),
        health: container.health_status().map(|health| health.as_str().to_owned()),
    };
    Some(TaskView {
        id: task.task_arn()?.rsplit('/').next()?.to_owned(),
        task_definition: TaskDefArn::new(task.task_definition_arn().unwrap_or_default()),
        started_by: task.started_by().map(str::to_owned),
        last_status: task.last_status().unwrap_or_default().to_owned(),
        desired_status: task.desired_status().unwrap_or_default().to_owned(),
        health: task.health_status().map(|health| health.as_str().to_owned()),
        stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
        stopped_reason: task.stopped_reason().map(str::to_owned),
        created_ms: milliseconds(task.created_at()),
        started_ms: milliseconds(task.started_at()),
        stopping_ms: milliseconds(task.stopping_at()),
        stopped_ms: milliseconds(task.stopped_at()),
        containers: task.containers().iter().map(container).collect(),
        addresses: addresses(task, ports, hosts),
    })
}

/// Every `address:port` the task may be registered under.
fn addresses(task: &Task, ports: &[u32], hosts: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    // awsvpc: the address of the task's own interface with the ports of the target groups.
    let details = task.attachments().iter().flat_map(sdk::types::Attachment::details);
    let attached =
        details.filter(|detail| detail.name() == Some("privateIPv4Address")).filter_map(|detail| detail.value());
    let interfaces = task.containers().iter().flat_map(sdk::types::Container::network_interfaces);
    for address in attached.chain(interfaces.filter_map(|interface| interface.private_ipv4_address())) {
        found.extend(ports.iter().map(|port| format!("{address}:{port}")));
    }
    // bridge and host: the port on the host, under the instance's id, or under the address it is bound
    // to where that is a single one.
    let host = task.container_instance_arn().and_then(|arn| hosts.get(arn)).filter(|id| !id.is_empty());
    for binding in task.containers().iter().flat_map(sdk::types::Container::network_bindings) {
        let Some(port) = binding.host_port() else { continue };
        let bound = binding.bind_ip().filter(|address| !matches!(*address, "0.0.0.0" | "::"));
        found.extend(host.map(|id| format!("{id}:{port}")));
        found.extend(bound.map(|address| format!("{address}:{port}")));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// ECS counts are never negative.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

pub(super) fn milliseconds(time: Option<&sdk::primitives::DateTime>) -> Option<u64> {
    time.and_then(|time| time.to_millis().ok()).and_then(|time| u64::try_from(time).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        Force, NewService, configure_service, create_service, update_service, view_deployment, view_service, view_tasks,
    };
    use crate::{
        aws::recorded::{Server, answer},
        config::spec::{Percentages, SandboxService},
        id::{Cluster, ServiceName, TaskDefArn},
        plan::step::BehindGroup,
    };

    const SERVICES: &str = include_str!("../../tests/recorded/aws/describe-services.json");
    const TASKS: &str = include_str!("../../tests/recorded/aws/describe-tasks.json");
    const DEPLOYMENT: &str = include_str!("../../tests/recorded/aws/describe-service-deployments.json");

    fn names() -> (Cluster, ServiceName) {
        (Cluster::new("jobs"), ServiceName::new("api"))
    }

    /// `UpdateService` and `CreateService` answer with the service alone.
    fn changed() -> Value {
        let described: Value = serde_json::from_str(SERVICES).unwrap();
        json!({"service": described["services"][0]})
    }

    #[tokio::test]
    async fn an_update_sends_what_changes_and_nothing_else() {
        let server = Server::start([("UpdateService", answer(200, changed()))]).await;
        let (cluster, service) = names();
        let arn = TaskDefArn::new("arn:aws:ecs:eu-west-1:111111111111:task-definition/api:42");
        let aws = server.aws().await;
        let started = update_service(&aws, &cluster, &service, &arn, Force::No, Percentages::default()).await.unwrap();
        insta::assert_debug_snapshot!(started, @r#"
        Started {
            deployment_id: "ecs-svc/7383640180127437285",
            service_deployment: Some(
                "arn:aws:ecs:eu-west-1:111111111111:service-deployment/jobs/api/Zt8vQ0pJ3kXc1LwYb5NdR",
            ),
            task_definition: TaskDefArn(
                "arn:aws:ecs:eu-west-1:111111111111:task-definition/api:42",
            ),
            previous: Some(
                TaskDefArn(
                    "arn:aws:ecs:eu-west-1:111111111111:task-definition/api:41",
                ),
            ),
            desired: 2,
        }
        "#);
        let percentages = Percentages { minimum_healthy: None, maximum: Some(150) };
        update_service(&aws, &cluster, &service, &arn, Force::Yes, percentages).await.unwrap();
        configure_service(&aws, &cluster, &service, percentages).await.unwrap();
        let sent: Vec<Value> = server.asked().iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect();
        let alone = json!({"cluster": "jobs", "service": "api", "deploymentConfiguration": {"maximumPercent": 150}});
        let plain = json!({"cluster": "jobs", "service": "api", "taskDefinition": arn.as_str()});
        let mut forced = plain.clone();
        forced["forceNewDeployment"] = json!(true);
        forced["deploymentConfiguration"] = json!({"maximumPercent": 150});
        assert_eq!(sent, [plain, forced, alone]);
    }

    #[tokio::test]
    async fn a_new_service_has_a_balancer_and_a_circuit_breaker() {
        let server = Server::start([("CreateService", answer(200, changed()))]).await;
        let (cluster, service) = names();
        let group = |arn: &str, container: &str, container_port| BehindGroup {
            target_group: arn.to_owned(),
            container: container.to_owned(),
            container_port,
        };
        let new = NewService {
            cluster: &cluster,
            name: &service,
            task_definition: &TaskDefArn::new("api:1"),
            target_groups: &[group("arn:tg", "app", 8080), group("arn:internal", "proxy", 8081)],
            settings: &SandboxService::default(),
            percentages: Percentages::default(),
        };
        create_service(&server.aws().await, new).await.unwrap();
        let sent: Value = serde_json::from_str(&server.asked()[0].body).unwrap();
        let expected = json!({
            "cluster": "jobs",
            "serviceName": "api",
            "taskDefinition": "api:1",
            "loadBalancers": [
                {"targetGroupArn": "arn:tg", "containerName": "app", "containerPort": 8080},
                {"targetGroupArn": "arn:internal", "containerName": "proxy", "containerPort": 8081},
            ],
            "desiredCount": 2,
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": true, "rollback": true},
                "maximumPercent": 200,
                "minimumHealthyPercent": 100,
            },
            "healthCheckGracePeriodSeconds": 30,
        });
        assert_eq!(sent, expected);
    }

    #[tokio::test]
    async fn one_look_at_a_rollout() {
        let server = Server::start([
            ("DescribeServices", answer(200, SERVICES)),
            ("DescribeServiceDeployments", answer(200, DEPLOYMENT)),
        ])
        .await;
        let (aws, (cluster, service)) = (server.aws().await, names());
        let view = view_service(&aws, &cluster, &service).await.unwrap().unwrap();
        let deployment = view_deployment(&aws, view.current_service_deployment.as_deref().unwrap()).await.unwrap();
        insta::assert_debug_snapshot!((&view.deployments[1], &view.events[0], deployment), @r#"
        (
            DeploymentView {
                id: "ecs-svc/4310457120563712091",
                status: "ACTIVE",
                task_definition: TaskDefArn(
                    "arn:aws:ecs:eu-west-1:111111111111:task-definition/api:41",
                ),
                desired: 0,
                pending: 0,
                running: 2,
                failed: 0,
                rollout_state: Some(
                    "UPPER_CASE_FROM_THE_FUTURE",
                ),
                rollout_reason: Some(
                    "ECS deployment ecs-svc/4310457120563712091 completed.",
                ),
            },
            EventView {
                id: "7f1f4b6c-8e56-4b0a-9f5a-2f5b1b6f7a10",
                time_ms: 1790000040250,
                text: "(service api) has started 1 tasks: (task 0c3b1c5e0d9b4f0f8a7d6e5c4b3a2f1e).",
            },
            Some(
                ServiceDeploymentView {
                    arn: "arn:aws:ecs:eu-west-1:111111111111:service-deployment/jobs/api/Zt8vQ0pJ3kXc1LwYb5NdR",
                    status: "ROLLBACK_IN_PROGRESS",
                    reason: Some(
                        "Service deployment rolled back because the circuit breaker threshold was exceeded.",
                    ),
                    stage: Some(
                        "STAGE_FROM_THE_FUTURE",
                    ),
                    breaker: Some(
                        BreakerView {
                            status: "TRIGGERED",
                            failures: 3,
                            threshold: 3,
                        },
                    ),
                    rollback_reason: Some(
                        "Service deployment circuit breaker triggered",
                    ),
                    alarms: [],
                    shift: None,
                    hooks: [],
                    bake_ms: 0,
                },
            ),
        )
        "#);
    }

    #[tokio::test]
    async fn a_deployment_nobody_knows_is_none() {
        let failure = json!({"serviceDeployments": [], "failures": [{"arn": "arn", "reason": "MISSING"}]});
        let server = Server::start([("DescribeServiceDeployments", answer(200, failure))]).await;
        assert_eq!(view_deployment(&server.aws().await, "arn").await.unwrap(), None);
    }

    #[tokio::test]
    async fn tasks_have_every_address_they_may_be_registered_under() {
        let instances = json!({"containerInstances": [{
            "containerInstanceArn": "arn:aws:ecs:eu-west-1:111111111111:container-instance/jobs/5b7f",
            "ec2InstanceId": "i-0f76f4a2b9c8d7e6f",
        }]});
        let [one, two, three] = [
            "arn:aws:ecs:eu-west-1:111111111111:task/jobs/0c3b1c5e0d9b4f0f8a7d6e5c4b3a2f1e",
            "arn:aws:ecs:eu-west-1:111111111111:task/jobs/1d4c2d6f1e0c5a1a9b8e7f6d5c4b3a2e",
            "arn:aws:ecs:us-east-1:000000000000:task/jobs/2e5d3e702f1d6b2bac9f807e6d5c4b3f",
        ];
        let server = Server::start([
            // Two pages of running tasks or of stopped ones, whichever list comes first.
            ("ListTasks", answer(200, json!({"taskArns": [one, two], "nextToken": "more"}))),
            ("ListTasks", answer(200, json!({"taskArns": [two, three]}))),
            ("DescribeTasks", answer(200, TASKS)),
            ("DescribeContainerInstances", answer(200, instances)),
        ])
        .await;
        let (aws, (cluster, service)) = (server.aws().await, names());
        let tasks = view_tasks(&aws, &cluster, &service, &[8080]).await.unwrap();
        let addresses: Vec<_> = tasks.iter().map(|task| (task.id[..4].to_owned(), task.addresses.clone())).collect();
        insta::assert_debug_snapshot!((addresses, &tasks[1]), @r#"
        (
            [
                (
                    "0c3b",
                    [
                        "10.0.1.27:8080",
                    ],
                ),
                (
                    "1d4c",
                    [
                        "i-0f76f4a2b9c8d7e6f:32768",
                    ],
                ),
                (
                    "2e5d",
                    [
                        "127.0.0.1:49153",
                    ],
                ),
            ],
            TaskView {
                id: "1d4c2d6f1e0c5a1a9b8e7f6d5c4b3a2e",
                task_definition: TaskDefArn(
                    "arn:aws:ecs:eu-west-1:111111111111:task-definition/api:42",
                ),
                started_by: Some(
                    "ecs-svc/7383640180127437285",
                ),
                last_status: "STOPPED",
                desired_status: "STOPPED",
                health: None,
                stop_code: Some(
                    "STOP_CODE_FROM_THE_FUTURE",
                ),
                stopped_reason: Some(
                    "Essential container in task exited",
                ),
                created_ms: Some(
                    1790000001500,
                ),
                started_ms: Some(
                    1790000010000,
                ),
                stopping_ms: Some(
                    1790000011000,
                ),
                stopped_ms: Some(
                    1790000012250,
                ),
                containers: [
                    ContainerView {
                        name: "app",
                        last_status: "STOPPED",
                        exit_code: Some(
                            137,
                        ),
                        reason: Some(
                            "OutOfMemoryError: Container killed due to memory usage",
                        ),
                        health: None,
                    },
                ],
                addresses: [
                    "i-0f76f4a2b9c8d7e6f:32768",
                ],
            },
        )
        "#);
        let asked = server.asked();
        let described = asked.iter().find(|asked| asked.operation == "DescribeTasks").unwrap();
        let described: Value = serde_json::from_str(&described.body).unwrap();
        assert_eq!(described["tasks"], json!([one, two, three]));
        // Instances never change: the next look does not ask again.
        view_tasks(&aws, &cluster, &service, &[8080]).await.unwrap();
        assert_eq!(server.counts()["DescribeContainerInstances"], 1);
    }
}
