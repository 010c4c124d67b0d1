//! Services: what is asked of them, their deployments, and how `DescribeServices` shows them.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::{Fault, Millis, Place};
use super::course::{self, Course, DeploymentStrategy};
use super::deployment::{Deployment, RecordStatus, Revision, Role, Rollout, ServiceDeployment};
use super::ids::Dice;
use super::input::{flag, invalid, put, seconds, strings, text};
use super::task::Task;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    Active,
    Draining,
    Inactive,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Strategy {
    Replica,
    /// One task per host, and the sandbox is one host.
    Daemon,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LoadBalancer {
    pub(super) group: String,
    pub(super) container: String,
    pub(super) port: u16,
    #[serde(default)]
    pub(super) advanced: Option<Advanced>,
}

/// `advancedConfiguration`: a second target group, and the rules by which traffic goes to the one or the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Advanced {
    pub(super) alternate: String,
    pub(super) production: String,
    pub(super) test: Option<String>,
    pub(super) role: Option<String>,
}

impl LoadBalancer {
    /// Of its two target groups, the one that is not this.
    pub(super) fn other_than(&self, group: &str) -> &str {
        match &self.advanced {
            Some(advanced) if group == self.group => &advanced.alternate,
            Some(_) | None => &self.group,
        }
    }

    pub(super) fn describe(&self) -> Value {
        let Self { group, container, port, advanced } = self;
        let mut shown = json!({ "targetGroupArn": group, "containerName": container, "containerPort": port });
        if let Some(Advanced { alternate, production, test, role }) = advanced {
            let mut told = Map::new();
            put(&mut told, "alternateTargetGroupArn", Some(alternate.as_str()));
            put(&mut told, "productionListenerRule", Some(production.as_str()));
            put(&mut told, "testListenerRule", test.as_deref());
            put(&mut told, "roleArn", role.as_deref());
            shown["advancedConfiguration"] = Value::Object(told);
        }
        shown
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Event {
    id: String,
    at: Millis,
    message: String,
}

/// Whether the breaker watches, and what it does when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Breaker {
    Off,
    Stops,
    RollsBack,
}

/// The parts of `deploymentConfiguration` the scheduler goes by; the whole is kept raw beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// `ceil(minimumHealthyPercent × desired)`.
    pub(super) minimum: usize,
    /// `floor(maximumPercent × desired)`.
    pub(super) maximum: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(super) name: String,
    pub(super) cluster: String,
    pub(super) status: Status,
    pub(super) strategy: Strategy,
    pub(super) desired: u32,
    pub(super) load_balancers: Vec<LoadBalancer>,
    /// `deploymentConfiguration`, with its defaults.
    pub(super) configuration: Value,
    pub(super) grace_seconds: u64,
    /// Members that are kept and shown, but not acted on: network, placement, capacity providers, ….
    pub(super) kept: Map<String, Value>,
    pub(super) tags: Vec<Value>,
    pub(super) created_at: Millis,
    /// Newest first; the first is PRIMARY.
    pub(super) deployments: Vec<Deployment>,
    /// Newest first.
    pub(super) history: Vec<ServiceDeployment>,
    pub(super) revisions: BTreeMap<String, Revision>,
    /// Newest first, at most [`EVENTS`].
    pub(super) events: VecDeque<Event>,
    /// Whether "has reached a steady state" still holds.
    pub(super) steady: bool,
    /// Tasks in a row that never reached RUNNING.
    pub(super) start_failures: u32,
    pub(super) no_start_before: Millis,
    /// How many protected tasks stood in the way when that was last said.
    #[serde(default)]
    pub(super) protected: usize,
}

/// `events`: "The maximum number of events shown is the latest 100."
const EVENTS: usize = 100;

impl Service {
    /// Adds an event; `text` is what follows the prefix `(service NAME) `.
    pub(super) fn say(&mut self, dice: &mut Dice, at: Millis, text: &str) {
        let message = format!("(service {}) {text}", self.name);
        self.events.push_front(Event { id: dice.uuid(), at, message });
        self.events.truncate(EVENTS);
    }

    /// The id of the newest event: changes whenever something was said.
    pub(super) fn latest_event(&self) -> Option<String> {
        self.events.front().map(|event| event.id.clone())
    }

    /// `Availability Zone Rebalancing does not support maximumPercent <= 100 %` is refused where it was asked for;
    /// by default it is simply off for such a service.
    pub(super) fn check_zones(&self) -> Result<(), Fault> {
        let asked = self.kept.get("availabilityZoneRebalancing").is_some_and(|asked| asked == "ENABLED");
        if asked && self.percent("maximumPercent", 200) <= 100 {
            return Err(invalid(
                "Availability Zone Rebalancing does not support maximumPercent <= 100 % as deployment configuration.",
            ));
        }
        Ok(())
    }

    pub(super) fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.role == Role::Primary)
    }

    pub(super) fn wanted(&self) -> usize {
        match (self.status, self.strategy) {
            (Status::Active, Strategy::Replica) => usize::try_from(self.desired).unwrap_or(usize::MAX),
            (Status::Active, Strategy::Daemon) => 1,
            (Status::Draining | Status::Inactive, Strategy::Replica | Strategy::Daemon) => 0,
        }
    }

    fn percent(&self, member: &str, default: u64) -> u64 {
        self.configuration.get(member).and_then(Value::as_u64).unwrap_or(default)
    }

    pub(super) fn bounds(&self) -> Bounds {
        let (minimum, maximum) = match self.strategy {
            Strategy::Replica => (100, 200),
            Strategy::Daemon => (0, 100),
        };
        let wanted = u64::try_from(self.wanted()).unwrap_or(u64::MAX);
        let minimum = (self.percent("minimumHealthyPercent", minimum) * wanted).div_ceil(100);
        let maximum = self.percent("maximumPercent", maximum) * wanted / 100;
        Bounds {
            minimum: usize::try_from(minimum).unwrap_or(usize::MAX),
            maximum: usize::try_from(maximum).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn breaker(&self) -> Breaker {
        let breaker = &self.configuration["deploymentCircuitBreaker"];
        match (flag(breaker, "enable"), flag(breaker, "rollback")) {
            (Some(true), Some(true)) => Breaker::RollsBack,
            (Some(true), Some(false) | None) => Breaker::Stops,
            (Some(false) | None, _) => Breaker::Off,
        }
    }

    /// Whether one healthy task sets the count of failures back.
    pub(super) fn forgives(&self) -> bool {
        flag(&self.configuration["deploymentCircuitBreaker"], "resetOnHealthyTask").unwrap_or(true)
    }

    /// The default is `clamp(ceil(0.5 × desired), 3, 200)`.
    pub(super) fn threshold(&self) -> u32 {
        let configured = &self.configuration["deploymentCircuitBreaker"]["thresholdConfiguration"];
        let value = configured["value"].as_u64().unwrap_or(50);
        let wanted = u64::try_from(self.wanted()).unwrap_or(u64::MAX);
        let share = (value * wanted).div_ceil(100);
        let threshold = match text(configured, "type") {
            Some("COUNT") => value,
            Some("UNBOUNDED_PERCENT") => share.max(1),
            _ => share.clamp(3, 200),
        };
        u32::try_from(threshold).unwrap_or(u32::MAX)
    }

    pub(super) fn arn(&self, place: &Place) -> String {
        format!("arn:aws:ecs:{}:{}:service/{}/{}", place.region, place.account, self.cluster, self.name)
    }

    pub(super) fn cluster_arn(&self, place: &Place) -> String {
        format!("arn:aws:ecs:{}:{}:cluster/{}", place.region, place.account, self.cluster)
    }

    pub(super) fn deployment_arn(&self, place: &Place, id: &str) -> String {
        format!("arn:aws:ecs:{}:{}:service-deployment/{}/{}/{id}", place.region, place.account, self.cluster, self.name)
    }

    pub(super) fn revision_arn(&self, place: &Place, number: &str) -> String {
        format!(
            "arn:aws:ecs:{}:{}:service-revision/{}/{}/{number}",
            place.region, place.account, self.cluster, self.name
        )
    }

    pub(super) fn describe(&self, place: &Place, tasks: &[&Task], include_tags: bool) -> Value {
        let running = tasks.iter().filter(|task| task.counts_running()).count();
        let pending = tasks.iter().filter(|task| task.is_starting()).count();
        let mut shown = Map::new();
        put(&mut shown, "serviceArn", Some(self.arn(place)));
        put(&mut shown, "serviceName", Some(self.name.clone()));
        put(&mut shown, "clusterArn", Some(self.cluster_arn(place)));
        let shown_load_balancers: Vec<Value> = self.load_balancers.iter().map(LoadBalancer::describe).collect();
        put(&mut shown, "loadBalancers", Some(shown_load_balancers));
        put(&mut shown, "serviceRegistries", Some(json!([])));
        put(&mut shown, "status", Some(self.status.word()));
        put(&mut shown, "desiredCount", Some(self.desired));
        put(&mut shown, "runningCount", Some(running));
        put(&mut shown, "pendingCount", Some(pending));
        if let Some(primary) = self.primary() {
            put(&mut shown, "taskDefinition", Some(primary.definition.clone()));
        }
        put(&mut shown, "deploymentConfiguration", Some(self.configuration.clone()));
        let deployments: Vec<Value> =
            self.deployments.iter().map(|deployment| deployment.describe(self, tasks)).collect();
        put(&mut shown, "deployments", Some(deployments));
        let events: Vec<Value> = self
            .events
            .iter()
            .map(|Event { id, at, message }| json!({ "id": id, "createdAt": seconds(*at), "message": message }))
            .collect();
        put(&mut shown, "events", Some(events));
        put(&mut shown, "createdAt", Some(seconds(self.created_at)));
        put(&mut shown, "createdBy", Some(format!("arn:aws:iam::{}:root", place.account)));
        put(&mut shown, "placementConstraints", Some(json!([])));
        put(&mut shown, "placementStrategy", Some(json!([])));
        put(&mut shown, "healthCheckGracePeriodSeconds", Some(self.grace_seconds));
        let strategy = match self.strategy {
            Strategy::Replica => "REPLICA",
            Strategy::Daemon => "DAEMON",
        };
        put(&mut shown, "schedulingStrategy", Some(strategy));
        put(&mut shown, "deploymentController", Some(json!({ "type": "ECS" })));
        put(&mut shown, "enableECSManagedTags", Some(false));
        put(&mut shown, "propagateTags", Some("NONE"));
        put(&mut shown, "enableExecuteCommand", Some(false));
        let zones = if self.percent("maximumPercent", 200) > 100 { "ENABLED" } else { "DISABLED" };
        put(&mut shown, "availabilityZoneRebalancing", Some(zones));
        put(&mut shown, "resourceManagementType", Some("CUSTOMER"));
        if let Some(latest) = self.history.first() {
            put(&mut shown, "currentServiceDeployment", Some(self.deployment_arn(place, &latest.id)));
        }
        let revisions: Vec<Value> = self
            .deployments
            .iter()
            .filter(|deployment| deployment.role == Role::Primary || tasks.iter().any(|task| deployment.owns(task)))
            .map(|deployment| deployment.summary(self, place, tasks))
            .collect();
        put(&mut shown, "currentServiceRevisions", Some(revisions));
        for (name, value) in &self.kept {
            shown.insert(name.clone(), value.clone());
        }
        if include_tags {
            put(&mut shown, "tags", Some(self.tags.clone()));
        }
        Value::Object(shown)
    }

    /// Begins a deployment of `definition`: the new PRIMARY stands before the older ones.
    pub(super) fn deploy(&mut self, dice: &mut Dice, definition: &str, now: Millis) {
        let number = dice.digits();
        // The one in service first: it is the one that has the traffic, also where no task is wanted.
        let in_service = self.in_service().map(|known| known.number.clone());
        let is_source = |known: &&Deployment| known.kept > 0 || Some(&known.number) == in_service.as_ref();
        let mut sources: Vec<String> =
            self.deployments.iter().filter(is_source).map(|known| known.number.clone()).collect();
        sources.sort_by_key(|number| Some(number) != in_service.as_ref());
        let groups = self.groups_of_the_next();
        for older in &mut self.history {
            older.supersede(now);
        }
        let shifted: Vec<&String> =
            self.history.iter().filter(|record| record.shifts()).map(|record| &record.target).collect();
        for older in &mut self.deployments {
            older.role = Role::Active;
            older.set_aside |= !older.completed && shifted.contains(&&older.number);
            older.updated_at = now;
        }
        self.revisions.insert(
            number.clone(),
            Revision {
                definition: definition.to_owned(),
                created_at: now,
                load_balancers: self.load_balancers.clone(),
                groups,
                kept: self.kept.clone(),
                images: BTreeMap::new(),
            },
        );
        self.history.insert(
            0,
            ServiceDeployment::new(dice.letters(), number.clone(), sources, self.configuration.clone(), now),
        );
        self.deployments.insert(0, Deployment::new(number, definition, now));
        self.steady = false;
        // "A new task definition resets it": the throttle on failing starts begins anew.
        self.start_failures = 0;
        self.no_start_before = 0;
    }

    pub(super) fn deployment_strategy(&self) -> DeploymentStrategy {
        DeploymentStrategy::of(&self.configuration)
    }

    /// How far the service deployment is that is on its way, if it is one that shifts traffic.
    pub(super) fn shifting(&self) -> Option<&Course> {
        let latest = self.history.first().filter(|latest| latest.is_underway() && latest.shifts())?;
        Some(&latest.course)
    }

    /// Whether traffic that was shifted, or was to be, has been given back, and the tasks follow.
    pub(super) fn is_returning(&self) -> bool {
        let returns =
            |latest: &ServiceDeployment| latest.progress == RecordStatus::RollbackInProgress && latest.shifts();
        self.history.first().is_some_and(returns)
    }

    /// Whether the latest attempt to shift traffic was given up with no way back: everything stays where it is.
    pub(super) fn is_stalled_midway(&self) -> bool {
        let ended = |latest: &ServiceDeployment| latest.progress == RecordStatus::Stopped && latest.shifts();
        let failed = |primary: &Deployment| primary.rollout == Rollout::Failed && !primary.completed;
        self.history.first().is_some_and(ended) && self.primary().is_some_and(failed)
    }

    /// The latest deployment that was completed. It goes on having the traffic when a rollback to it has failed.
    fn in_service(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|known| known.completed)
    }

    /// The same beside a primary one that is not there yet: the one from which traffic is shifted.
    pub(super) fn shifted_from(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|known| known.role == Role::Active && known.completed)
    }

    /// The target groups that the tasks of the next revision join: those of the revision in service, or, where traffic
    /// is to be shifted from the one to the other, the ones beside them.
    fn groups_of_the_next(&self) -> Vec<String> {
        let revision = self.in_service().and_then(|known| self.revisions.get(&known.number));
        let shifts = self.deployment_strategy().shifts();
        let group_of = |balancer: &LoadBalancer| {
            let used = revision.and_then(|revision| {
                let own = [Some(balancer.group.as_str()), balancer.advanced.as_ref().map(|it| it.alternate.as_str())];
                revision.groups().find(|group| own.contains(&Some(group)))
            });
            match used {
                Some(used) if shifts => balancer.other_than(used).to_owned(),
                Some(used) => used.to_owned(),
                None => balancer.group.clone(),
            }
        };
        self.load_balancers.iter().map(group_of).collect()
    }

    /// Where the tasks of a deployment stand: container, port, target group.
    pub(super) fn places_of(&self, number: &str) -> Vec<(String, u16, String)> {
        let Some(revision) = self.revisions.get(number) else { return Vec::new() };
        let balancers = revision.load_balancers.iter().zip(revision.groups());
        balancers.map(|(balancer, group)| (balancer.container.clone(), balancer.port, group.to_owned())).collect()
    }

    /// The service deployment that is on its way, if one is.
    pub(super) fn underway(&mut self) -> Option<&mut ServiceDeployment> {
        self.history.first_mut().filter(|latest| latest.is_underway())
    }

    /// Where a rollback would go: the latest completed deployment that is not the primary itself.
    pub(super) fn way_back(&self) -> Option<usize> {
        self.deployments
            .iter()
            .position(|known| known.role == Role::Active && known.completed && known.rollout != Rollout::Failed)
    }
}

/// `deploymentConfiguration` over an earlier one, or over the defaults of a new service.
pub(super) fn configured(earlier: Option<&Value>, asked: Option<&Value>, strategy: Strategy) -> Result<Value, Fault> {
    let (minimum, maximum) = match strategy {
        Strategy::Replica => (100, 200),
        Strategy::Daemon => (0, 100),
    };
    let mut configuration = earlier.cloned().unwrap_or_else(|| {
        json!({
            "deploymentCircuitBreaker": {
                "enable": false, "rollback": false, "resetOnHealthyTask": true,
                "thresholdConfiguration": { "type": "BOUNDED_PERCENT", "value": 50 }
            },
            "maximumPercent": maximum, "minimumHealthyPercent": minimum, "strategy": "ROLLING", "bakeTimeInMinutes": 0
        })
    });
    let Some(asked) = asked.and_then(Value::as_object) else { return Ok(configuration) };
    for (member, value) in asked {
        // Members omitted from the breaker keep their value; the other members are replaced whole.
        let known = configuration.get_mut(member).and_then(Value::as_object_mut);
        match (member.as_str(), known, value.as_object()) {
            ("deploymentCircuitBreaker", Some(known), Some(value)) => {
                known.extend(value.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            _ => configuration[member] = value.clone(),
        }
    }
    course::check(&mut configuration)?;
    check_early_success(&configuration)?;
    check_alarms(&configuration)?;
    let number = |member: &str| configuration[member].as_u64();
    let (Some(minimum), Some(maximum)) = (number("minimumHealthyPercent"), number("maximumPercent")) else {
        return Err(invalid("minimumHealthyPercent and maximumPercent must be non-negative integers."));
    };
    if maximum < minimum || (maximum == 0 && minimum == 0) {
        return Err(invalid("maximumPercent cannot be less than or equal to minimumHealthyPercent."));
    }
    if maximum == 100 && minimum == 100 {
        return Err(invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ));
    }
    Ok(configuration)
}

/// `alarms`: "enable" without a name would watch nothing.
fn check_alarms(configuration: &Value) -> Result<(), Fault> {
    let alarms = &configuration["alarms"];
    if flag(alarms, "enable") == Some(true) && strings(alarms, "alarmNames").is_empty() {
        return Err(invalid("alarmNames cannot be empty when deployment alarms are enabled."));
    }
    Ok(())
}

/// `earlySuccessCriteria`: rolling only, and no less than `minimumHealthyPercent`.
fn check_early_success(configuration: &Value) -> Result<(), Fault> {
    let criteria = &configuration["earlySuccessCriteria"];
    if flag(criteria, "enable") != Some(true) {
        return Ok(());
    }
    if DeploymentStrategy::of(configuration).shifts() {
        return Err(invalid("earlySuccessCriteria is only supported for the deployment strategy ROLLING."));
    }
    let minimum = configuration["minimumHealthyPercent"].as_u64().unwrap_or(0);
    let healthy = criteria["healthyPercent"].as_u64();
    if healthy.is_none_or(|healthy| healthy > 100 || healthy < minimum) {
        return Err(invalid("healthyPercent must be between minimumHealthyPercent and 100."));
    }
    match text(criteria, "sourceServiceRevisionCleanup") {
        Some("BLOCKING" | "DEFERRED") => Ok(()),
        _ => Err(invalid("sourceServiceRevisionCleanup must be BLOCKING or DEFERRED.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(desired: u32, configuration: &Value) -> Service {
        Service {
            name: "web".into(),
            cluster: "jobs".into(),
            status: Status::Active,
            strategy: Strategy::Replica,
            desired,
            load_balancers: Vec::new(),
            configuration: configured(None, Some(configuration), Strategy::Replica).unwrap(),
            grace_seconds: 0,
            kept: Map::new(),
            tags: Vec::new(),
            created_at: 0,
            deployments: Vec::new(),
            history: Vec::new(),
            revisions: BTreeMap::new(),
            events: VecDeque::new(),
            steady: false,
            start_failures: 0,
            no_start_before: 0,
            protected: 0,
        }
    }

    #[test]
    fn minimum_rounds_up_and_maximum_down() {
        for (desired, minimum, maximum, bounds) in [
            (4, 100, 200, (4, 8)),
            (2, 75, 100, (2, 2)),
            (3, 100, 125, (3, 3)),
            (3, 50, 150, (2, 4)),
            (1, 0, 100, (0, 1)),
            (0, 100, 200, (0, 0)),
        ] {
            let service = service(desired, &json!({ "minimumHealthyPercent": minimum, "maximumPercent": maximum }));
            let Bounds { minimum, maximum } = service.bounds();
            assert_eq!((minimum, maximum), bounds, "{desired}");
        }
    }

    #[test]
    fn the_breaker_s_threshold_is_bounded_unless_asked_otherwise() {
        for (desired, threshold) in [(0, 3), (1, 3), (6, 3), (7, 4), (25, 13), (400, 200), (1000, 200)] {
            assert_eq!(service(desired, &json!({})).threshold(), threshold, "{desired}");
        }
        let with = |kind: &str, value: u32| {
            let breaker = json!({ "enable": true, "thresholdConfiguration": { "type": kind, "value": value } });
            service(10, &json!({ "deploymentCircuitBreaker": breaker })).threshold()
        };
        assert_eq!((with("COUNT", 1), with("UNBOUNDED_PERCENT", 10), with("BOUNDED_PERCENT", 90)), (1, 1, 9));
    }

    #[test]
    fn a_breaker_updated_in_part_keeps_the_rest() {
        let first = configured(
            None,
            Some(&json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": true, "resetOnHealthyTask": false } })),
            Strategy::Replica,
        )
        .unwrap();
        let second = configured(
            Some(&first),
            Some(&json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": false } })),
            Strategy::Replica,
        )
        .unwrap();
        assert_eq!(second["deploymentCircuitBreaker"]["resetOnHealthyTask"], json!(false));
        assert_eq!(second["deploymentCircuitBreaker"]["rollback"], json!(false));
        assert_eq!(second["maximumPercent"], json!(200));
    }

    #[test]
    fn events_are_the_latest_hundred_newest_first() {
        let (mut service, mut dice) = (service(1, &json!({})), Dice::seeded(1));
        for at in 0..150 {
            service.say(&mut dice, at, "has reached a steady state.");
        }
        assert_eq!(service.events.len(), 100);
        assert_eq!(service.events[0].at, 149);
        let mut ids: Vec<_> = service.events.iter().map(|event| &event.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 100);
    }
}
