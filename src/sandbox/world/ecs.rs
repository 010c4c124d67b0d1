//! ECS: clusters, task definitions, services, deployments and tasks. Calls change what is wanted;
//! [`tick`] moves what is towards it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::elb::Elb;
use super::{Fault, Millis, Place, World};
use clusters::{Cluster, cluster_arn};
use definition::Definitions;
use ids::Dice;
use input::{client, count, flag, includes, invalid, list, merge_tags, page, put, short, strings, text};
use schedule::Scene;
use service::{Advanced, LoadBalancer, Service, Status, Strategy};
use settings::Settings;
use task::{Birth, Stop, StopCode, Task};

mod alarms;
mod clusters;
mod course;
mod definition;
mod deployment;
mod hindrance;
mod ids;
mod input;
mod protection;
mod records;
pub mod run;
mod schedule;
mod secrets;
mod service;
mod settings;
pub mod sight;
mod task;

pub use hindrance::{Hindrance, Obstacle};
pub use task::{Binding, ContainerHealth};

/// The scheduler's own rhythm (see `schedule`), and how long STOPPED tasks can be described.
const TICK: u64 = 10;
const REMEMBERED: Millis = 60 * 60 * 1000;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ecs {
    revision: u64,
    dice: Dice,
    next_look: Millis,
    clusters: BTreeMap<String, Cluster>,
    definitions: Definitions,
    tasks: BTreeMap<String, Task>,
    substance: Substance,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    on_stop: StopTask,
    /// Not written down: a scenario is that of one run.
    #[serde(skip)]
    hindrances: Vec<Hindrance>,
}

/// Whether there are processes behind the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Substance {
    #[default]
    Containers,
    /// There are none: their targets cannot be probed.
    Paper,
}

/// What a `StopTask` does to a task behind a target. Sources differ: in the one log of it SIGTERM came 31 s before the
/// deregistration, other emulators drain first, and AWS promises neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StopTask {
    #[default]
    SignalsAtOnce,
    DrainsFirst,
}

/// Says what a `StopTask` does from now on.
pub fn stop_task_does(world: &mut World, what: StopTask) {
    world.ecs.on_stop = what;
}

/// Says what keeps tasks from being started from now on.
pub fn hindered_by(world: &mut World, hindrances: Vec<Hindrance>) {
    world.ecs.hindrances = hindrances;
}

/// Says what tasks are made of from now on.
pub fn made_of(world: &mut World, substance: Substance) {
    world.ecs.substance = substance;
}

/// What tasks were made of when this was last said.
#[must_use]
pub fn substance(world: &World) -> Substance {
    world.ecs.substance
}

/// How many tasks all services together are to have.
#[must_use]
pub fn wanted(world: &World) -> usize {
    world.ecs.clusters.values().flat_map(|cluster| cluster.services.values()).map(Service::wanted).sum()
}

impl Ecs {
    /// An empty ECS whose ids come from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { dice: Dice::seeded(seed), ..Self::default() }
    }

    /// Counts changes.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn cluster(&self, input: &Value) -> Result<(&str, &Cluster), Fault> {
        let name = short(text(input, "cluster").unwrap_or("default"));
        match self.clusters.get_key_value(name) {
            Some((name, cluster)) if !cluster.inactive => Ok((name, cluster)),
            Some(_) | None => Err(Fault::new("ClusterNotFoundException", "Cluster not found.")),
        }
    }

    fn service_mut(&mut self, input: &Value) -> Result<&mut Service, Fault> {
        let cluster = self.cluster(input)?.0.to_owned();
        let name = text(input, "service").ok_or_else(|| invalid("Service cannot be empty."))?;
        self.clusters
            .get_mut(&cluster)
            .and_then(|cluster| cluster.services.get_mut(short(name)))
            .ok_or_else(|| Fault::new("ServiceNotFoundException", "Service not found."))
    }

    fn tasks_of(&self, service: &Service) -> Vec<&Task> {
        self.tasks
            .values()
            .filter(|task| task.cluster == service.cluster && task.service.as_deref() == Some(&service.name))
            .collect()
    }
}

/// Takes one call.
pub fn call(world: &mut World, operation: &str, input: &Value, now: Millis) -> Result<Value, Fault> {
    let World { place, pace, ecs, elb, .. } = world;
    let answer = match operation {
        "CreateCluster" => clusters::create(ecs, place, input),
        "DeleteCluster" => clusters::delete(ecs, place, input),
        "DescribeClusters" => Ok(clusters::describe(ecs, place, input)),
        "ListClusters" => clusters::list_all(ecs, place, input),
        "UpdateCluster" => clusters::update(ecs, place, input),
        "UpdateClusterSettings" => clusters::update_settings(ecs, place, input),
        "PutClusterCapacityProviders" => clusters::put_capacity_providers(ecs, place, input),
        "DescribeCapacityProviders" => clusters::describe_capacity_providers(place, input),
        "DescribeContainerInstances" => clusters::describe_container_instances(ecs, place, input),
        "ListContainerInstances" => clusters::list_container_instances(ecs, input),
        "DeleteAccountSetting" => ecs.settings.delete(place, input),
        "ListAccountSettings" => ecs.settings.list(place, input),
        "PutAccountSetting" => ecs.settings.put(place, input),
        "PutAccountSettingDefault" => ecs.settings.put_default(place, input),
        "RegisterTaskDefinition" => ecs.definitions.register(place, input, now),
        "DescribeTaskDefinition" => ecs.definitions.describe(input),
        "DeregisterTaskDefinition" => ecs.definitions.deregister(input, now),
        "DeleteTaskDefinitions" => ecs.definitions.delete(input, now),
        "ListTaskDefinitions" => ecs.definitions.list(input),
        "ListTaskDefinitionFamilies" => ecs.definitions.families(input),
        "CreateService" => create_service(ecs, elb, place, input, now),
        "UpdateService" => update_service(ecs, elb, place, input, now),
        "DeleteService" => delete_service(ecs, place, input, now),
        "DescribeServices" => describe_services(ecs, place, input),
        "ListServices" => list_services(ecs, place, input),
        "ListServicesByNamespace" => list_services_by_namespace(input),
        "ContinueServiceDeployment" => records::go_on(ecs, input, now),
        "ListServiceDeployments" => records::list_all(ecs, place, input),
        "DescribeServiceDeployments" => records::describe(ecs, place, input),
        "DescribeServiceRevisions" => records::describe_revisions(ecs, place, input),
        "StopServiceDeployment" => records::stop(ecs, input, now),
        "ListTasks" => list_tasks(ecs, place, input),
        "DescribeTasks" => describe_tasks(ecs, place, input),
        "RunTask" => run_task(ecs, place, input, now),
        "StopTask" => stop_task(ecs, place, input, now),
        "GetTaskProtection" => protection::get(ecs, place, input, now),
        "UpdateTaskProtection" => protection::update(ecs, place, *pace, input, now),
        "TagResource" => tag_resource(ecs, input),
        "UntagResource" => untag_resource(ecs, input),
        "ListTagsForResource" => {
            let arn = text(input, "resourceArn").unwrap_or_default().to_owned();
            tags_of(ecs, &arn).map(|tags| json!({ "tags": tags }))
        }
        _ => Err(not_emulated(operation)),
    };
    if answer.is_ok() && !is_read(operation) {
        ecs.revision += 1;
    }
    answer
}

/// What the sandbox does not do; and of what people miss, how it is done here.
fn not_emulated(operation: &str) -> Fault {
    let mut message = format!("The sandbox does not emulate the ECS operation {operation}.");
    if operation == "ExecuteCommand" {
        message.push_str(
            " There is no SSM agent in its containers: go into one with `docker exec -it`, and the runtimeId that DescribeTasks shows.",
        );
    }
    Fault::new("UnknownOperationException", message)
}

/// Whether an operation only looks.
#[must_use]
pub fn is_read(operation: &str) -> bool {
    ["Describe", "List", "GetTaskProtection"].iter().any(|verb| operation.starts_with(verb))
}

/// Lets time pass: the scheduler looks at every service when its time has come.
pub fn tick(world: &mut World, now: Millis) {
    let World { pace, ecs, elb, alarms, .. } = world;
    if now < ecs.next_look {
        return;
    }
    ecs.next_look = now + pace.millis(TICK);
    let Ecs { revision, dice, clusters, definitions, tasks, substance, hindrances, .. } = ecs;
    let substance = *substance;
    for cluster in clusters.values_mut() {
        for service in cluster.services.values_mut().filter(|service| service.status != Status::Inactive) {
            let (events, steady) = (service.latest_event(), service.steady);
            let mut scene = Scene { pace: *pace, now, elb, alarms, definitions, tasks, dice, substance, hindrances };
            schedule::look(service, &mut scene);
            // A look at a service that has been steady and still is changes nothing.
            if !(steady && service.steady && events == service.latest_event()) {
                *revision += 1;
            }
        }
    }
    let known = tasks.len();
    tasks.retain(|_, task| task.stopped_at.is_none_or(|at| now < at + REMEMBERED));
    if tasks.len() != known {
        *revision += 1;
    }
}

/// What stands where, for people: clusters, their services, and how many tasks run.
#[must_use]
pub fn overview(world: &World) -> Value {
    let World { place, ecs, .. } = world;
    let services = |cluster: &Cluster| -> Vec<Value> {
        cluster
            .services
            .values()
            .filter(|service| service.status != Status::Inactive)
            .map(|service| {
                let running = ecs.tasks_of(service).iter().filter(|task| task.counts_running()).count();
                json!({
                    "service": service.name, "status": service.status.word(), "desired": service.desired,
                    "running": running, "taskDefinition": service.primary().map(|primary| short(&primary.definition))
                })
            })
            .collect()
    };
    let clusters: Vec<Value> = ecs
        .clusters
        .iter()
        .filter(|(_, cluster)| !cluster.inactive)
        .map(|(name, cluster)| json!({ "cluster": name, "arn": cluster_arn(place, name), "services": services(cluster) }))
        .collect();
    json!({ "clusters": clusters })
}

// ── services ─────────────────────────────────────────────────────────────────────

/// Members kept as they came and shown again.
const KEPT: [&str; 13] = [
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "networkConfiguration",
    "placementConstraints",
    "placementStrategy",
    "serviceRegistries",
    "enableECSManagedTags",
    "propagateTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
    "role",
    "volumeConfigurations",
];

/// The kept ones among "which `UpdateService` members start a deployment".
const DEPLOYING: [&str; 4] = ["networkConfiguration", "platformVersion", "serviceRegistries", "volumeConfigurations"];

/// Members that ask for what the sandbox has not got; silently dropping them would be a lie.
const REFUSED: [&str; 2] = ["serviceConnectConfiguration", "vpcLatticeConfigurations"];

fn refuse_unknown_parts(input: &Value) -> Result<(), Fault> {
    let enabled = |member: &&str| {
        let value = &input[*member];
        value.as_array().is_some_and(|list| !list.is_empty()) || flag(value, "enabled") == Some(true)
    };
    if let Some(member) = REFUSED.iter().find(|member| enabled(member)) {
        return Err(unsupported(&format!("The sandbox does not emulate {member}.")));
    }
    match text(&input["deploymentController"], "type") {
        None | Some("ECS") => Ok(()),
        Some(other) => Err(unsupported(&format!("The sandbox does not emulate the deployment controller {other}."))),
    }
}

fn unsupported(message: &str) -> Fault {
    Fault::new("UnsupportedFeatureException", message)
}

fn load_balancers(elb: &Elb, definition: &definition::Definition, input: &Value) -> Result<Vec<LoadBalancer>, Fault> {
    let mut all = Vec::new();
    for asked in list(input, "loadBalancers") {
        let group = text(asked, "targetGroupArn")
            .ok_or_else(|| unsupported("The sandbox does not emulate Classic Load Balancers; name a target group."))?;
        if elb.target_group(group).is_none() {
            return Err(invalid(format!("The target group {group} does not exist.")));
        }
        if !elb.is_attached(group) {
            return Err(invalid(format!(
                "The target group with targetGroupArn {group} does not have an associated load balancer."
            )));
        }
        let container = text(asked, "containerName").ok_or_else(|| invalid("Container name cannot be empty."))?;
        let port = count(asked, "containerPort")?.and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| invalid("Container port cannot be empty."))?;
        let defined = definition
            .containers()
            .iter()
            .find(|known| text(known, "name") == Some(container))
            .ok_or_else(|| invalid(format!("The container {container} does not exist in the task definition.")))?;
        let mapped = list(defined, "portMappings").iter().any(|mapping| mapping["containerPort"] == u64::from(port));
        if !mapped {
            return Err(invalid(format!("The container {container} did not have a container port {port} defined.")));
        }
        let advanced = advanced(elb, &asked["advancedConfiguration"])?;
        all.push(LoadBalancer { group: group.to_owned(), container: container.to_owned(), port, advanced });
    }
    Ok(all)
}

/// `advancedConfiguration`: its groups and rules must be there, because traffic will be shifted with them.
fn advanced(elb: &Elb, asked: &Value) -> Result<Option<Advanced>, Fault> {
    if asked.is_null() {
        return Ok(None);
    }
    let alternate = text(asked, "alternateTargetGroupArn")
        .ok_or_else(|| invalid("alternateTargetGroupArn in advancedConfiguration cannot be empty."))?;
    if elb.target_group(alternate).is_none() {
        return Err(invalid(format!("The target group {alternate} does not exist.")));
    }
    let production = text(asked, "productionListenerRule")
        .ok_or_else(|| invalid("productionListenerRule in advancedConfiguration cannot be empty."))?;
    let test = text(asked, "testListenerRule");
    if let Some(rule) = [Some(production), test].into_iter().flatten().find(|rule| elb.action_of(rule).is_none()) {
        return Err(invalid(format!("The listener rule {rule} does not exist.")));
    }
    Ok(Some(Advanced {
        alternate: alternate.to_owned(),
        production: production.to_owned(),
        test: test.map(ToOwned::to_owned),
        role: text(asked, "roleArn").map(ToOwned::to_owned),
    }))
}

/// A deployment that shifts traffic needs to know from where to where.
fn check_ways(service: &Service) -> Result<(), Fault> {
    let shifts = service.deployment_strategy().shifts();
    if shifts && service.load_balancers.iter().any(|balancer| balancer.advanced.is_none()) {
        let strategy = text(&service.configuration, "strategy").unwrap_or_default();
        return Err(invalid(format!(
            "advancedConfiguration is required for the load balancers of a service with the deployment strategy {strategy}."
        )));
    }
    if shifts && service.strategy == Strategy::Daemon {
        return Err(invalid("The daemon scheduling strategy supports the deployment strategy ROLLING only."));
    }
    Ok(())
}

fn usable<'a>(ecs: &'a Ecs, reference: &str) -> Result<&'a definition::Definition, Fault> {
    let definition = ecs.definitions.find(reference).ok_or_else(|| invalid("TaskDefinition not found."))?;
    if definition.is_active() { Ok(definition) } else { Err(invalid("TaskDefinition is inactive")) }
}

fn create_service(ecs: &mut Ecs, elb: &Elb, place: &Place, input: &Value, now: Millis) -> Result<Value, Fault> {
    let cluster = ecs.cluster(input)?.0.to_owned();
    let name = text(input, "serviceName").ok_or_else(|| invalid("Service name cannot be empty."))?;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 255 || !name.chars().all(legal) {
        return Err(invalid("Service name contains invalid characters."));
    }
    refuse_unknown_parts(input)?;
    match ecs.clusters.get(&cluster).and_then(|known| known.services.get(name)).map(|service| service.status) {
        Some(Status::Active) => return Err(invalid("Creation of service was not idempotent.")),
        Some(Status::Draining) => return Err(invalid("Unable to Start a service that is still Draining.")),
        Some(Status::Inactive) | None => {}
    }
    let reference = text(input, "taskDefinition").ok_or_else(|| invalid("TaskDefinition cannot be empty."))?;
    let definition = usable(ecs, reference)?;
    let strategy = match text(input, "schedulingStrategy") {
        Some("DAEMON") => Strategy::Daemon,
        None | Some("REPLICA") => Strategy::Replica,
        Some(other) => return Err(invalid(format!("Invalid scheduling strategy {other}."))),
    };
    let desired = match strategy {
        Strategy::Replica => count(input, "desiredCount")?.unwrap_or(0),
        Strategy::Daemon => 1,
    };
    let load_balancers = load_balancers(elb, definition, input)?;
    let arn = definition.arn().to_owned();
    let mut kept = Map::new();
    for member in KEPT {
        put(&mut kept, member, input.get(member).filter(|value| !value.is_null()).cloned());
    }
    if !kept.contains_key("capacityProviderStrategy") {
        kept.entry("launchType").or_insert_with(|| json!("EC2"));
    }
    if kept.get("launchType").is_some_and(|launch| launch == "FARGATE") {
        kept.entry("platformVersion").or_insert_with(|| json!("LATEST"));
        kept.entry("platformFamily").or_insert_with(|| json!("Linux"));
    }
    let mut service = Service {
        name: name.to_owned(),
        cluster: cluster.clone(),
        status: Status::Active,
        strategy,
        desired,
        load_balancers,
        configuration: service::configured(None, input.get("deploymentConfiguration"), strategy)?,
        grace_seconds: count(input, "healthCheckGracePeriodSeconds")?.map_or(0, u64::from),
        kept,
        tags: list(input, "tags").to_vec(),
        created_at: now,
        deployments: Vec::new(),
        history: Vec::new(),
        revisions: BTreeMap::new(),
        events: VecDeque::new(),
        steady: false,
        start_failures: 0,
        no_start_before: 0,
        protected: 0,
    };
    service.check_zones()?;
    check_ways(&service)?;
    service.deploy(&mut ecs.dice, &arn, now);
    let shown = service.describe(place, &[], true);
    if let Some(cluster) = ecs.clusters.get_mut(&cluster) {
        cluster.services.insert(name.to_owned(), service);
    }
    Ok(json!({ "service": shown }))
}

fn update_service(ecs: &mut Ecs, elb: &Elb, place: &Place, input: &Value, now: Millis) -> Result<Value, Fault> {
    refuse_unknown_parts(input)?;
    let mut service = ecs.service_mut(input)?.clone();
    if service.status != Status::Active {
        return Err(Fault::new("ServiceNotActiveException", "Service was not ACTIVE."));
    }
    let current = service.primary().map(|primary| primary.definition.clone()).unwrap_or_default();
    let wanted = match text(input, "taskDefinition") {
        Some(reference) => usable(ecs, reference)?.arn().to_owned(),
        None => current.clone(),
    };
    let mut deploys = wanted != current || flag(input, "forceNewDeployment") == Some(true);
    if input.get("loadBalancers").is_some_and(Value::is_array) {
        let definition = ecs.definitions.find(&wanted).ok_or_else(|| invalid("TaskDefinition not found."))?;
        let asked = load_balancers(elb, definition, input)?;
        deploys |= asked != service.load_balancers;
        service.load_balancers = asked;
    }
    if let Some(desired) = count(input, "desiredCount")? {
        if service.strategy == Strategy::Daemon {
            return Err(invalid("The daemon scheduling strategy does not support a desired count for services."));
        }
        service.steady &= service.desired == desired;
        service.desired = desired;
    }
    if let Some(seconds) = count(input, "healthCheckGracePeriodSeconds")? {
        service.grace_seconds = u64::from(seconds);
    }
    service.configuration =
        service::configured(Some(&service.configuration), input.get("deploymentConfiguration"), service.strategy)?;
    for member in KEPT {
        let Some(value) = input.get(member).filter(|value| !value.is_null()) else { continue };
        deploys |= DEPLOYING.contains(&member) && service.kept.get(member) != Some(value);
        service.kept.insert(member.to_owned(), value.clone());
    }
    service.check_zones()?;
    check_ways(&service)?;
    if deploys {
        service.deploy(&mut ecs.dice, &wanted, now);
    }
    let shown = service.describe(place, &ecs.tasks_of(&service), false);
    *ecs.service_mut(input)? = service;
    Ok(json!({ "service": shown }))
}

fn delete_service(ecs: &mut Ecs, place: &Place, input: &Value, now: Millis) -> Result<Value, Fault> {
    let service = ecs.service_mut(input)?;
    match service.status {
        Status::Inactive => return Err(Fault::new("ServiceNotFoundException", "Service not found.")),
        Status::Draining => {}
        Status::Active => {
            let daemon = service.strategy == Strategy::Daemon;
            if service.desired > 0 && !daemon && flag(input, "force") != Some(true) {
                return Err(invalid("The service cannot be stopped while it is scaled above 0."));
            }
            service.status = Status::Draining;
            service.desired = 0;
            service.steady = false;
            for deployment in &mut service.deployments {
                deployment.kept = 0;
                deployment.updated_at = now;
            }
        }
    }
    let service = service.clone();
    Ok(json!({ "service": service.describe(place, &ecs.tasks_of(&service), false) }))
}

fn describe_services(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let (name, cluster) = ecs.cluster(input)?;
    let asked = strings(input, "services");
    if asked.is_empty() {
        return Err(invalid("Services cannot be empty."));
    }
    if asked.len() > 10 {
        return Err(invalid("Services cannot have more than 10 elements."));
    }
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for reference in asked {
        match cluster.services.get(short(reference)) {
            Some(service) => {
                services.push(service.describe(place, &ecs.tasks_of(service), includes(input, "TAGS")));
            }
            None => failures.push(json!({
                "arn": format!("arn:aws:ecs:{}:{}:service/{name}/{}", place.region, place.account, short(reference)),
                "reason": "MISSING"
            })),
        }
    }
    Ok(json!({ "services": services, "failures": failures }))
}

fn list_services(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let (_, cluster) = ecs.cluster(input)?;
    let launch_type = text(input, "launchType");
    let arns = cluster
        .services
        .values()
        .filter(|service| service.status != Status::Inactive)
        .filter(|service| {
            launch_type.is_none_or(|asked| service.kept.get("launchType").is_some_and(|has| has == asked))
        })
        .map(|service| json!(service.arn(place)))
        .collect();
    page(input, arns, 10, "serviceArns")
}

/// Namespaces belong to Service Connect, which no service here has.
fn list_services_by_namespace(input: &Value) -> Result<Value, Fault> {
    text(input, "namespace").ok_or_else(|| invalid("Namespace cannot be empty."))?;
    page(input, Vec::new(), 10, "serviceArns")
}

// ── tasks ────────────────────────────────────────────────────────────────────────

fn list_tasks(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let (name, cluster) = ecs.cluster(input)?;
    let service = text(input, "serviceName").map(short);
    if let Some(service) = service
        && !cluster.services.contains_key(service)
    {
        return Err(Fault::new("ServiceNotFoundException", "Service not found."));
    }
    let (started_by, family) = (text(input, "startedBy"), text(input, "family"));
    let stopped = text(input, "desiredStatus") == Some("STOPPED");
    let mut found: Vec<&Task> = ecs
        .tasks
        .values()
        .filter(|task| task.cluster == name && task.is_kept() != stopped)
        .filter(|task| service.is_none_or(|asked| task.service.as_deref() == Some(asked)))
        .filter(|task| started_by.is_none_or(|asked| task.started_by.as_deref() == Some(asked)))
        .filter(|task| family.is_none_or(|asked| task.family() == asked))
        .collect();
    found.sort_by_key(|task| &task.id);
    page(input, found.into_iter().map(|task| json!(task.arn(place))).collect(), 100, "taskArns")
}

fn describe_tasks(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let (name, _) = ecs.cluster(input)?;
    let asked = strings(input, "tasks");
    if asked.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if asked.len() > 100 {
        return Err(invalid("Tasks cannot have more than 100 elements."));
    }
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for reference in asked {
        match ecs.tasks.get(short(reference)).filter(|task| task.cluster == name) {
            Some(task) => tasks.push(task.describe(place, includes(input, "TAGS"))),
            None => failures.push(json!({
                "arn": format!("arn:aws:ecs:{}:{}:task/{name}/{}", place.region, place.account, short(reference)),
                "reason": "MISSING"
            })),
        }
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

fn run_task(ecs: &mut Ecs, place: &Place, input: &Value, now: Millis) -> Result<Value, Fault> {
    let cluster = ecs.cluster(input)?.0.to_owned();
    let reference = text(input, "taskDefinition").ok_or_else(|| invalid("TaskDefinition cannot be empty."))?;
    let definition = usable(ecs, reference)?.clone();
    let copies = count(input, "count")?.unwrap_or(1);
    if !(1..=10).contains(&copies) {
        return Err(invalid("Count must be between 1 and 10."));
    }
    let overrides = input.get("overrides").filter(|value| value.is_object()).cloned();
    let mut tags = match text(input, "propagateTags") {
        Some("TASK_DEFINITION") => definition.tags().to_vec(),
        _ => Vec::new(),
    };
    merge_tags(&mut tags, list(input, "tags"));
    let mut tasks = Vec::new();
    for _ in 0..copies {
        let birth = Birth {
            cluster: &cluster,
            service: None,
            started_by: text(input, "startedBy"),
            launch_type: text(input, "launchType").unwrap_or("EC2"),
            overrides: overrides.clone().unwrap_or_else(|| json!({ "containerOverrides": [] })),
            exec: flag(input, "enableExecuteCommand").unwrap_or(false),
            tags: tags.clone(),
        };
        let task = Task::new(&mut ecs.dice, &definition, birth, now);
        tasks.push(task.describe(place, true));
        ecs.tasks.insert(task.id.clone(), task);
    }
    Ok(json!({ "tasks": tasks, "failures": [] }))
}

fn stop_task(ecs: &mut Ecs, place: &Place, input: &Value, now: Millis) -> Result<Value, Fault> {
    let cluster = ecs.cluster(input)?.0.to_owned();
    let reference = text(input, "task").ok_or_else(|| invalid("Task cannot be empty."))?;
    let task = ecs
        .tasks
        .get_mut(short(reference))
        .filter(|task| task.cluster == cluster)
        .ok_or_else(|| invalid("The referenced task was not found."))?;
    let reason = text(input, "reason").unwrap_or("Task stopped by user").to_owned();
    let stop = Stop { code: StopCode::UserInitiated, reason };
    match ecs.on_stop {
        StopTask::SignalsAtOnce => task.interrupt(stop, now),
        StopTask::DrainsFirst => task.dismiss(stop, now),
    }
    Ok(json!({ "task": task.describe(place, false) }))
}

// ── tags ─────────────────────────────────────────────────────────────────────────

fn tags_of<'a>(ecs: &'a mut Ecs, arn: &str) -> Result<&'a mut Vec<Value>, Fault> {
    let not_found = || invalid("The specified resource was not found.");
    let (kind, path) = arn.splitn(6, ':').nth(5).and_then(|rest| rest.split_once('/')).ok_or_else(not_found)?;
    match kind {
        "cluster" => ecs.clusters.get_mut(path).map(|cluster| &mut cluster.tags),
        "service" => path
            .split_once('/')
            .and_then(|(cluster, service)| ecs.clusters.get_mut(cluster)?.services.get_mut(service))
            .map(|service| &mut service.tags),
        "task" => ecs.tasks.get_mut(short(path)).map(|task| &mut task.tags),
        "task-definition" => ecs.definitions.tags_mut(arn),
        _ => None,
    }
    .ok_or_else(not_found)
}

fn tag_resource(ecs: &mut Ecs, input: &Value) -> Result<Value, Fault> {
    let arn = text(input, "resourceArn").ok_or_else(|| client("Resource ARN cannot be empty."))?;
    merge_tags(tags_of(ecs, arn)?, list(input, "tags"));
    Ok(json!({}))
}

fn untag_resource(ecs: &mut Ecs, input: &Value) -> Result<Value, Fault> {
    let arn = text(input, "resourceArn").ok_or_else(|| client("Resource ARN cannot be empty."))?;
    let keys = strings(input, "tagKeys");
    tags_of(ecs, arn)?.retain(|tag| !text(tag, "key").is_some_and(|key| keys.contains(&key)));
    Ok(json!({}))
}

#[cfg(test)]
mod tests;
