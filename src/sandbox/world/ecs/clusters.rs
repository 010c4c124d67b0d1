//! The calls about clusters, their capacity providers and their (absent) container instances.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::{Fault, Place};
use super::Ecs;
use super::input::{includes, invalid, list, page, put, short, strings, text};
use super::service::{Service, Status};
use super::task::Phase;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Cluster {
    /// Deleted ones can still be described.
    pub(super) inactive: bool,
    settings: Vec<Value>,
    capacity_providers: Vec<Value>,
    strategy: Vec<Value>,
    #[serde(default)]
    configuration: Option<Value>,
    #[serde(default)]
    service_connect: Option<Value>,
    pub(super) tags: Vec<Value>,
    pub(super) services: BTreeMap<String, Service>,
}

/// What AWS has by itself; those of one's own stand for groups of EC2 instances, which the sandbox has not.
const PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

pub(super) fn cluster_arn(place: &Place, name: &str) -> String {
    format!("arn:aws:ecs:{}:{}:cluster/{name}", place.region, place.account)
}

pub(super) fn create(ecs: &mut Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let name = text(input, "clusterName").unwrap_or("default");
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 255 || !name.chars().all(legal) {
        return Err(invalid("Cluster name contains invalid characters."));
    }
    // The call is idempotent: an existing cluster is answered as it is.
    if ecs.clusters.get(name).is_none_or(|cluster| cluster.inactive) {
        let insights = ecs.settings.effective("containerInsights").unwrap_or("disabled").to_owned();
        let mut cluster = Cluster {
            settings: vec![json!({ "name": "containerInsights", "value": insights })],
            tags: list(input, "tags").to_vec(),
            ..Cluster::default()
        };
        take_settings(&mut cluster, input)?;
        take_configuration(&mut cluster, input);
        if !list(input, "capacityProviders").is_empty() {
            take_providers(&mut cluster, input)?;
        }
        ecs.clusters.insert(name.to_owned(), cluster);
    }
    Ok(json!({ "cluster": show(ecs, place, name, &all_parts()) }))
}

/// All that `include` can ask for.
fn all_parts() -> Value {
    json!({ "include": ["CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"] })
}

fn take_settings(cluster: &mut Cluster, input: &Value) -> Result<(), Fault> {
    for setting in list(input, "settings") {
        if text(setting, "name") != Some("containerInsights") {
            return Err(invalid("Invalid cluster setting name. Valid setting names are: containerInsights."));
        }
        if !matches!(text(setting, "value"), Some("enabled" | "enhanced" | "disabled")) {
            return Err(invalid("Invalid value for the cluster setting containerInsights."));
        }
        cluster.settings = vec![setting.clone()];
    }
    Ok(())
}

fn take_configuration(cluster: &mut Cluster, input: &Value) {
    let sent = |member: &str| input.get(member).filter(|value| value.is_object()).cloned();
    cluster.configuration = sent("configuration").or(cluster.configuration.take());
    cluster.service_connect = sent("serviceConnectDefaults").or(cluster.service_connect.take());
}

fn take_providers(cluster: &mut Cluster, input: &Value) -> Result<(), Fault> {
    let (providers, strategy) = (list(input, "capacityProviders"), list(input, "defaultCapacityProviderStrategy"));
    for name in providers.iter().filter_map(Value::as_str) {
        if !PROVIDERS.contains(&name) {
            return Err(invalid(format!(
                "The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try again."
            )));
        }
    }
    for item in strategy {
        if !providers.contains(&item["capacityProvider"]) {
            return Err(invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that is not \
                 associated with the cluster. Associate the capacity provider with the cluster and try again.",
            ));
        }
    }
    cluster.capacity_providers = providers.to_vec();
    cluster.strategy = strategy
        .iter()
        .map(|item| {
            let mut item = item.clone();
            for member in ["weight", "base"] {
                if item[member].is_null() {
                    item[member] = json!(0);
                }
            }
            item
        })
        .collect();
    Ok(())
}

fn show(ecs: &Ecs, place: &Place, name: &str, input: &Value) -> Option<Value> {
    let cluster = ecs.clusters.get(name)?;
    let tasks = || ecs.tasks.values().filter(|task| task.cluster == name);
    let running = tasks().filter(|task| task.counts_running()).count();
    let pending = tasks().filter(|task| task.is_starting()).count();
    let active = cluster.services.values().filter(|service| service.status == Status::Active).count();
    let draining = cluster.services.values().filter(|service| service.status == Status::Draining).count();
    let mut shown = Map::new();
    put(&mut shown, "clusterArn", Some(cluster_arn(place, name)));
    put(&mut shown, "clusterName", Some(name));
    put(&mut shown, "status", Some(if cluster.inactive { "INACTIVE" } else { "ACTIVE" }));
    put(&mut shown, "registeredContainerInstancesCount", Some(0));
    put(&mut shown, "runningTasksCount", Some(running));
    put(&mut shown, "pendingTasksCount", Some(pending));
    put(&mut shown, "activeServicesCount", Some(active + draining));
    put(&mut shown, "statistics", Some(json!([])));
    if includes(input, "STATISTICS") {
        let on_fargate = |starting: bool| {
            tasks().filter(|task| task.is_on_fargate() && starting == task.is_starting() && !task.is_over()).count()
        };
        let statistics: Vec<Value> = [
            ("runningEC2TasksCount", running.saturating_sub(on_fargate(false))),
            ("runningFargateTasksCount", on_fargate(false)),
            ("pendingEC2TasksCount", pending.saturating_sub(on_fargate(true))),
            ("pendingFargateTasksCount", on_fargate(true)),
            ("activeServiceCount", active),
            ("drainingServiceCount", draining),
        ]
        .into_iter()
        .map(|(name, value)| json!({ "name": name, "value": value.to_string() }))
        .collect();
        put(&mut shown, "statistics", Some(statistics));
    }
    put(&mut shown, "tags", Some(if includes(input, "TAGS") { cluster.tags.clone() } else { Vec::new() }));
    put(&mut shown, "settings", Some(if includes(input, "SETTINGS") { cluster.settings.clone() } else { Vec::new() }));
    if includes(input, "CONFIGURATIONS") {
        put(&mut shown, "configuration", cluster.configuration.clone());
    }
    put(&mut shown, "serviceConnectDefaults", cluster.service_connect.clone());
    put(&mut shown, "capacityProviders", Some(cluster.capacity_providers.clone()));
    put(&mut shown, "defaultCapacityProviderStrategy", Some(cluster.strategy.clone()));
    Some(Value::Object(shown))
}

pub(super) fn describe(ecs: &Ecs, place: &Place, input: &Value) -> Value {
    let asked = strings(input, "clusters");
    let asked = if asked.is_empty() { vec!["default"] } else { asked };
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for reference in asked {
        let name = short(reference);
        match show(ecs, place, name, input) {
            Some(shown) => clusters.push(shown),
            None => failures.push(json!({ "arn": cluster_arn(place, name), "reason": "MISSING" })),
        }
    }
    json!({ "clusters": clusters, "failures": failures })
}

pub(super) fn list_all(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let arns = ecs.clusters.iter().filter(|(_, cluster)| !cluster.inactive);
    page(input, arns.map(|(name, _)| json!(cluster_arn(place, name))).collect(), 100, "clusterArns")
}

pub(super) fn update(ecs: &mut Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let name = changed(ecs, input, |cluster| {
        take_settings(cluster, input)?;
        take_configuration(cluster, input);
        Ok(())
    })?;
    Ok(json!({ "cluster": show(ecs, place, &name, &all_parts()) }))
}

pub(super) fn update_settings(ecs: &mut Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    if list(input, "settings").is_empty() {
        return Err(invalid("Settings cannot be empty."));
    }
    let name = changed(ecs, input, |cluster| take_settings(cluster, input))?;
    Ok(json!({ "cluster": show(ecs, place, &name, &all_parts()) }))
}

pub(super) fn put_capacity_providers(ecs: &mut Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let name = changed(ecs, input, |cluster| take_providers(cluster, input))?;
    Ok(json!({ "cluster": show(ecs, place, &name, &all_parts()) }))
}

/// Changes an active cluster as a whole or not at all; gives back its name.
fn changed(
    ecs: &mut Ecs,
    input: &Value,
    change: impl FnOnce(&mut Cluster) -> Result<(), Fault>,
) -> Result<String, Fault> {
    let name = ecs.cluster(input)?.0.to_owned();
    if let Some(cluster) = ecs.clusters.get_mut(&name) {
        let mut next = cluster.clone();
        change(&mut next)?;
        *cluster = next;
    }
    Ok(name)
}

pub(super) fn delete(ecs: &mut Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let (name, cluster) = ecs.cluster(input)?;
    let name = name.to_owned();
    if cluster.services.values().any(|service| service.status == Status::Active) {
        return Err(Fault::new(
            "ClusterContainsServicesException",
            "The Cluster cannot be deleted while Services are active.",
        ));
    }
    if ecs.tasks.values().any(|task| task.cluster == name && task.phase != Phase::Stopped) {
        return Err(Fault::new(
            "ClusterContainsTasksException",
            "The Cluster cannot be deleted while Tasks are active.",
        ));
    }
    if let Some(cluster) = ecs.clusters.get_mut(&name) {
        cluster.inactive = true;
        cluster.services.clear();
    }
    Ok(json!({ "cluster": show(ecs, place, &name, input) }))
}

// ── what clusters run on ─────────────────────────────────────────────────────────

pub(super) fn describe_capacity_providers(place: &Place, input: &Value) -> Result<Value, Fault> {
    let asked = strings(input, "capacityProviders");
    let arn = |name: &str| format!("arn:aws:ecs:{}:{}:capacity-provider/{name}", place.region, place.account);
    let failures: Vec<Value> = asked
        .iter()
        .map(|asked| short(asked))
        .filter(|asked| !PROVIDERS.contains(asked))
        .map(|asked| json!({ "arn": arn(asked), "reason": "MISSING" }))
        .collect();
    let found = PROVIDERS
        .into_iter()
        .filter(|name| asked.is_empty() || asked.iter().any(|asked| short(asked) == *name))
        .map(|name| json!({ "capacityProviderArn": arn(name), "name": name, "status": "ACTIVE", "tags": [] }))
        .collect();
    let mut answer = page(input, found, 10, "capacityProviders")?;
    answer["failures"] = Value::Array(failures);
    Ok(answer)
}

pub(super) fn list_container_instances(ecs: &Ecs, input: &Value) -> Result<Value, Fault> {
    ecs.cluster(input)?;
    page(input, Vec::new(), 100, "containerInstanceArns")
}

pub(super) fn describe_container_instances(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let (cluster, _) = ecs.cluster(input)?;
    let asked = strings(input, "containerInstances");
    if asked.is_empty() {
        return Err(invalid("Container instances cannot be empty."));
    }
    let arn =
        |id: &str| format!("arn:aws:ecs:{}:{}:container-instance/{cluster}/{}", place.region, place.account, short(id));
    let failures: Vec<Value> =
        asked.into_iter().map(|asked| json!({ "arn": arn(asked), "reason": "MISSING" })).collect();
    Ok(json!({ "containerInstances": [], "failures": failures }))
}
