//! ECS: single tasks. Started by hand or before a rollout, looked at, stopped, and gone into.

use std::collections::BTreeMap;

use aws_sdk_ecs as sdk;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, LaunchType,
    NetworkConfiguration, TaskOverride,
};
use serde_json::{Value, json};

use super::{
    call::send,
    connect::Aws,
    ecs::task_view,
    error::{AwsError, Service},
};
use crate::{
    id::{Cluster, TaskDefArn},
    plan::{
        observed::{CapacityProvider, LaunchObserved, NetworkObserved},
        step::OneOff,
    },
    rollout::view::TaskView,
    secret::Secret,
};

const SERVICE: Service = Service::Ecs;

/// What a one-off task is known by to those who look at the cluster.
const STARTED_BY: &str = "docker-ecs-ship";

/// Runs one task of `task_definition` where the service runs its own, with the command in place of its container's.
/// Yields its id.
pub async fn run(aws: &Aws, task_definition: &TaskDefArn, one_off: &OneOff) -> Result<String, AwsError> {
    let OneOff { cluster, container, command, launch } = one_off;
    let LaunchObserved { launch_type, capacity_providers, platform_version, network, execute_command } = launch;
    let over = ContainerOverride::builder().name(container).set_command(Some(command.clone())).build();
    let request = aws
        .ecs
        .run_task()
        .cluster(cluster.as_str())
        .task_definition(task_definition.as_str())
        .count(1)
        .started_by(STARTED_BY)
        .overrides(TaskOverride::builder().container_overrides(over).build())
        .set_platform_version(platform_version.clone())
        .set_enable_execute_command(execute_command.then_some(true))
        .set_network_configuration(network.as_ref().map(network_configuration))
        // "If a capacityProviderStrategy is specified, the launchType parameter must be omitted."
        .set_launch_type(match capacity_providers.as_slice() {
            [] => launch_type.as_deref().map(LaunchType::from),
            [_, ..] => None,
        })
        .set_capacity_provider_strategy(match capacity_providers.as_slice() {
            [] => None,
            some => Some(some.iter().filter_map(strategy_item).collect()),
        });
    let answer = send!(aws, "RunTask", request)?;
    let started = answer.tasks().first().and_then(|task| task.task_arn()?.rsplit('/').next());
    if let Some(id) = started {
        return Ok(id.to_owned());
    }
    let failure = answer.failures().first();
    let reason = failure.and_then(|failure| failure.reason()).unwrap_or("failure without a reason");
    Err(AwsError::refused(aws, "RunTask", reason, failure.and_then(|failure| failure.detail())))
}

fn network_configuration(network: &NetworkObserved) -> NetworkConfiguration {
    let NetworkObserved { subnets, security_groups, assign_public_ip } = network;
    let configuration = AwsVpcConfiguration::builder()
        .set_subnets(Some(subnets.clone()))
        .set_security_groups(Some(security_groups.clone()))
        .set_assign_public_ip(assign_public_ip.as_deref().map(AssignPublicIp::from))
        .build();
    // Only without subnets it cannot be built, and no service with a network of its own has none.
    NetworkConfiguration::builder().set_awsvpc_configuration(configuration.ok()).build()
}

fn strategy_item(provider: &CapacityProvider) -> Option<CapacityProviderStrategyItem> {
    let CapacityProvider { name, weight, base } = provider;
    CapacityProviderStrategyItem::builder().capacity_provider(name).weight(*weight).base(*base).build().ok()
}

/// Tells a task to end: its containers get their stop signal, and are killed when their stop timeout is over.
pub async fn stop(aws: &Aws, cluster: &Cluster, task: &str, reason: &str) -> Result<(), AwsError> {
    let request = aws.ecs.stop_task().cluster(cluster.as_str()).task(task).reason(reason);
    send!(aws, "StopTask", request).map(drop)
}

/// One task as it is; `None` when ECS does not know it (any more).
pub async fn view(aws: &Aws, cluster: &Cluster, task: &str) -> Result<Option<TaskView>, AwsError> {
    let request = aws.ecs.describe_tasks().cluster(cluster.as_str()).tasks(task);
    let answer = send!(aws, "DescribeTasks", request)?;
    Ok(answer.tasks().first().and_then(|task| task_view(task, &[], &BTreeMap::new())))
}

/// A session into a container, as the session-manager-plugin takes it.
#[derive(Debug)]
pub struct Session {
    /// `{"sessionId": …, "streamUrl": …, "tokenValue": …}`: whoever has it is in.
    pub response: Secret<String>,
    /// `{"Target": "ecs:<cluster>_<task>_<runtime id>"}`.
    pub target: String,
    pub region: String,
    pub profile: String,
    /// The endpoint of ECS, which the AWS CLI hands on as well.
    pub endpoint: String,
}

/// Opens a session in which `command` runs on a terminal.
pub async fn execute(
    aws: &Aws,
    cluster: &Cluster,
    task: &str,
    container: &str,
    command: &str,
) -> Result<Session, AwsError> {
    let request = aws
        .ecs
        .execute_command()
        .cluster(cluster.as_str())
        .task(task)
        .container(container)
        .command(command)
        // "Amazon ECS only supports initiating interactive sessions."
        .interactive(true);
    let answer = send!(aws, "ExecuteCommand", request)?;
    let last = |arn: Option<&str>| arn.and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().to_owned();
    let (cluster_name, task_id) = (last(answer.cluster_arn()), last(answer.task_arn()));
    let name = answer.container_name().unwrap_or(container);
    let runtime = runtime_id(aws, cluster, &task_id, name).await?;
    let session = answer.session();
    let response = json!({
        "sessionId": session.and_then(|session| session.session_id()),
        "streamUrl": session.and_then(|session| session.stream_url()),
        "tokenValue": session.and_then(|session| session.token_value()),
    });
    Ok(Session {
        response: Secret::new(response.to_string()),
        target: json!({ "Target": format!("ecs:{cluster_name}_{task_id}_{runtime}") }).to_string(),
        region: aws.region().to_owned(),
        profile: aws.profile().unwrap_or_default().to_owned(),
        // `client.meta.endpoint_url` of ECS's own client, in the AWS CLI's `ecs execute-command`.
        endpoint: aws.config.endpoint_url().map_or_else(|| own_endpoint(aws.region()), str::to_owned),
    })
}

fn own_endpoint(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://ecs.{region}.{suffix}")
}

/// What the container is called by the runtime it runs in.
pub async fn runtime_id(aws: &Aws, cluster: &Cluster, task: &str, container: &str) -> Result<String, AwsError> {
    let request = aws.ecs.describe_tasks().cluster(cluster.as_str()).tasks(task);
    let answer = send!(aws, "DescribeTasks", request)?;
    let containers = answer.tasks().iter().flat_map(sdk::types::Task::containers);
    let runtime = containers.filter(|found| found.name() == Some(container)).find_map(|found| found.runtime_id());
    runtime
        .map(str::to_owned)
        .ok_or_else(|| AwsError::unreadable(aws, SERVICE, "DescribeTasks", "the container has no runtime id"))
}

/// How a service places its tasks, for tasks that are to run beside them.
pub(super) fn launch(service: &sdk::types::Service) -> LaunchObserved {
    let network = service.network_configuration().and_then(NetworkConfiguration::awsvpc_configuration);
    LaunchObserved {
        launch_type: service.launch_type().map(|launch| launch.as_str().to_owned()),
        capacity_providers: service
            .capacity_provider_strategy()
            .iter()
            .map(|item| CapacityProvider {
                name: item.capacity_provider().to_owned(),
                weight: item.weight(),
                base: item.base(),
            })
            .collect(),
        platform_version: service.platform_version().map(str::to_owned),
        network: network.map(|network| NetworkObserved {
            subnets: network.subnets().to_vec(),
            security_groups: network.security_groups().to_vec(),
            assign_public_ip: network.assign_public_ip().map(|assign| assign.as_str().to_owned()),
        }),
        execute_command: service.enable_execute_command(),
    }
}

/// The container a command runs in when none is named: the only one, or the only essential one.
#[must_use]
pub fn main_container(definition: &Value) -> Option<&str> {
    let containers = definition.get("containerDefinitions")?.as_array()?;
    let is_essential = |container: &&Value| container.get("essential").and_then(Value::as_bool) != Some(false);
    let mut essential = containers.iter().filter(is_essential);
    match (containers.as_slice(), essential.next(), essential.next()) {
        ([only], _, _) | (_, Some(only), None) => only.get("name")?.as_str(),
        _ => None,
    }
}
