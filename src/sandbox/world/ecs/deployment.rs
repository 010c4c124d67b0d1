//! Deployments of a service, and the service deployments and revisions that record them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::{Millis, Place};
use super::alarms::Watch;
use super::course::{self, Course, DeploymentStrategy, Stage};
use super::input::{put, seconds};
use super::service::{Breaker, LoadBalancer, Service, Status};
use super::task::Task;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    Primary,
    Active,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Rollout {
    InProgress,
    Completed,
    Failed,
}

/// One of `deployments[]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Deployment {
    /// The numeric part of `ecs-svc/N`, and the last part of its revision's ARN.
    pub(super) number: String,
    pub(super) role: Role,
    pub(super) definition: String,
    /// `desiredCount`: 0 until the scheduler's first look.
    pub(super) kept: u32,
    /// `failedTasks`.
    pub(super) failed: u32,
    pub(super) rollout: Rollout,
    pub(super) reason: String,
    /// Whether it was completed once, or has all of the traffic: only such a deployment can be rolled back to.
    pub(super) completed: bool,
    /// Of an attempt to shift traffic that was given up or overtaken: it starts nothing more, its tasks are stopped, and they
    /// do not count, because the traffic goes elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) set_aside: bool,
    /// Whether the event of a deadlock has been given.
    pub(super) stuck: bool,
    pub(super) created_at: Millis,
    pub(super) updated_at: Millis,
}

impl Deployment {
    pub(super) fn new(number: String, definition: &str, now: Millis) -> Self {
        let reason = format!("ECS deployment ecs-svc/{number} in progress.");
        Self {
            number,
            role: Role::Primary,
            definition: definition.to_owned(),
            kept: 0,
            failed: 0,
            rollout: Rollout::InProgress,
            reason,
            completed: false,
            set_aside: false,
            stuck: false,
            created_at: now,
            updated_at: now,
        }
    }

    pub(super) fn id(&self) -> String {
        format!("ecs-svc/{}", self.number)
    }

    pub(super) fn owns(&self, task: &Task) -> bool {
        task.deployment() == Some(self.number.as_str())
    }

    fn counts(&self, tasks: &[&Task]) -> (usize, usize) {
        let own = || tasks.iter().filter(|task| self.owns(task));
        (own().filter(|task| task.counts_running()).count(), own().filter(|task| task.is_starting()).count())
    }

    pub(super) fn describe(&self, service: &Service, tasks: &[&Task]) -> Value {
        let (running, pending) = self.counts(tasks);
        let mut shown = Map::new();
        put(&mut shown, "id", Some(self.id()));
        let status = match (service.status, self.role) {
            (Status::Active, Role::Primary) => "PRIMARY",
            (Status::Active, Role::Active) => "ACTIVE",
            (Status::Draining, Role::Primary | Role::Active) => "DRAINING",
            (Status::Inactive, Role::Primary | Role::Active) => "INACTIVE",
        };
        put(&mut shown, "status", Some(status));
        put(&mut shown, "taskDefinition", Some(self.definition.clone()));
        put(&mut shown, "desiredCount", Some(self.kept));
        put(&mut shown, "pendingCount", Some(pending));
        put(&mut shown, "runningCount", Some(running));
        put(&mut shown, "failedTasks", Some(self.failed));
        put(&mut shown, "createdAt", Some(seconds(self.created_at)));
        put(&mut shown, "updatedAt", Some(seconds(self.updated_at)));
        for member in
            ["launchType", "platformVersion", "platformFamily", "networkConfiguration", "capacityProviderStrategy"]
        {
            put(&mut shown, member, service.kept.get(member).cloned());
        }
        let rollout = match self.rollout {
            Rollout::InProgress => "IN_PROGRESS",
            Rollout::Completed => "COMPLETED",
            Rollout::Failed => "FAILED",
        };
        put(&mut shown, "rolloutState", Some(rollout));
        put(&mut shown, "rolloutStateReason", Some(self.reason.clone()));
        Value::Object(shown)
    }

    pub(super) fn tally(&self, tasks: &[&Task]) -> Tally {
        let (running, pending) = self.counts(tasks);
        Tally { requested: self.kept, running, pending }
    }

    /// `ServiceCurrentRevisionSummary`, which has no weights; those are told of the service deployment.
    pub(super) fn summary(&self, service: &Service, place: &Place, tasks: &[&Task]) -> Value {
        summary(&service.revision_arn(place, &self.number), self.tally(tasks), None)
    }
}

/// The counts of `ServiceRevisionSummary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    requested: u32,
    running: usize,
    pending: usize,
}

/// `ServiceRevisionSummary`; weights are of production and test traffic, in percent.
fn summary(arn: &str, tally: Tally, weights: Option<(f64, f64)>) -> Value {
    let Tally { requested, running, pending } = tally;
    let mut shown = json!({
        "arn": arn, "requestedTaskCount": requested, "runningTaskCount": running, "pendingTaskCount": pending
    });
    if let Some((production, test)) = weights {
        shown["requestedProductionTrafficWeight"] = json!(production);
        shown["requestedTestTrafficWeight"] = json!(test);
    }
    shown
}

/// What a deployment deploys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Revision {
    pub(super) definition: String,
    pub(super) created_at: Millis,
    pub(super) load_balancers: Vec<LoadBalancer>,
    /// For each of them, the target group its tasks join: its own, or the alternate one.
    #[serde(default)]
    pub(super) groups: Vec<String>,
    pub(super) kept: Map<String, Value>,
    /// Container → digest: resolved by the deployment's first task, used by all later ones.
    pub(super) images: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RecordStatus {
    Pending,
    InProgress,
    Successful,
    StopRequested,
    Stopped,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
}

impl RecordStatus {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rollback {
    pub(super) reason: String,
    pub(super) started_at: Millis,
    /// The number of the revision it goes back to.
    pub(super) to: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ServiceDeployment {
    pub(super) id: String,
    pub(super) target: String,
    /// Revisions that had tasks when it began, with their counts then.
    pub(super) sources: Vec<String>,
    pub(super) configuration: Value,
    pub(super) progress: RecordStatus,
    pub(super) reason: Option<String>,
    pub(super) rollback: Option<Rollback>,
    /// Whether the breaker has fired.
    pub(super) triggered: bool,
    /// `failureCount` and `threshold` as they stood when it ended.
    pub(super) tally: Option<(u32, u32)>,
    #[serde(default)]
    pub(super) course: Course,
    #[serde(default)]
    pub(super) watch: Option<Watch>,
    /// The counts of its revisions when it ended: what happens afterwards is not its doing.
    #[serde(default)]
    pub(super) counts: Option<BTreeMap<String, Tally>>,
    pub(super) created_at: Millis,
    pub(super) started_at: Option<Millis>,
    pub(super) finished_at: Option<Millis>,
    pub(super) stopped_at: Option<Millis>,
    pub(super) updated_at: Millis,
}

impl ServiceDeployment {
    pub(super) fn new(id: String, target: String, sources: Vec<String>, configuration: Value, now: Millis) -> Self {
        Self {
            id,
            target,
            sources,
            configuration,
            progress: RecordStatus::Pending,
            reason: None,
            rollback: None,
            triggered: false,
            tally: None,
            course: Course::default(),
            watch: None,
            counts: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            stopped_at: None,
            updated_at: now,
        }
    }

    pub(super) fn is_underway(&self) -> bool {
        match self.progress {
            RecordStatus::Pending
            | RecordStatus::InProgress
            | RecordStatus::StopRequested
            | RecordStatus::RollbackRequested
            | RecordStatus::RollbackInProgress => true,
            RecordStatus::Successful
            | RecordStatus::Stopped
            | RecordStatus::RollbackSuccessful
            | RecordStatus::RollbackFailed => false,
        }
    }

    /// A newer deployment takes its place: `STOP_REQUESTED` now, `STOPPED` on the scheduler's next look.
    pub(super) fn supersede(&mut self, now: Millis) {
        if self.is_underway() && self.progress != RecordStatus::StopRequested {
            self.progress = RecordStatus::StopRequested;
            self.updated_at = now;
        }
    }

    pub(super) fn end(&mut self, progress: RecordStatus, reason: Option<&str>, now: Millis) {
        self.progress = progress;
        if let Some(reason) = reason {
            self.reason = Some(reason.to_owned());
        }
        self.finished_at = Some(now);
        self.updated_at = now;
    }

    pub(super) fn brief(&self, service: &Service, place: &Place) -> Value {
        let mut shown = Map::new();
        put(&mut shown, "serviceDeploymentArn", Some(service.deployment_arn(place, &self.id)));
        put(&mut shown, "serviceArn", Some(service.arn(place)));
        put(&mut shown, "clusterArn", Some(service.cluster_arn(place)));
        put(&mut shown, "targetServiceRevisionArn", Some(service.revision_arn(place, &self.target)));
        put(&mut shown, "createdAt", Some(seconds(self.created_at)));
        put(&mut shown, "startedAt", self.started_at.map(seconds));
        put(&mut shown, "finishedAt", self.finished_at.map(seconds));
        put(&mut shown, "status", Some(self.progress.word()));
        put(&mut shown, "statusReason", self.reason.clone());
        Value::Object(shown)
    }

    pub(super) fn describe(&self, service: &Service, place: &Place, tasks: &[&Task]) -> Value {
        let summary = |number: &String| {
            let live = || service.deployments.iter().find(|known| known.number == *number);
            let tally = match &self.counts {
                Some(counts) => counts.get(number).copied(),
                None => live().map(|deployment| deployment.tally(tasks)),
            };
            summary(&service.revision_arn(place, number), tally.unwrap_or_default(), self.weights(number))
        };
        let mut shown = Map::new();
        put(&mut shown, "serviceDeploymentArn", Some(service.deployment_arn(place, &self.id)));
        put(&mut shown, "serviceArn", Some(service.arn(place)));
        put(&mut shown, "clusterArn", Some(service.cluster_arn(place)));
        put(&mut shown, "createdAt", Some(seconds(self.created_at)));
        put(&mut shown, "startedAt", self.started_at.map(seconds));
        put(&mut shown, "finishedAt", self.finished_at.map(seconds));
        put(&mut shown, "stoppedAt", self.stopped_at.map(seconds));
        put(&mut shown, "updatedAt", Some(seconds(self.updated_at)));
        put(&mut shown, "sourceServiceRevisions", Some(self.sources.iter().map(summary).collect::<Vec<_>>()));
        put(&mut shown, "targetServiceRevision", Some(summary(&self.target)));
        put(&mut shown, "status", Some(self.progress.word()));
        put(&mut shown, "statusReason", self.reason.clone());
        match self.progress {
            RecordStatus::InProgress | RecordStatus::RollbackRequested => course::show(&self.course, &mut shown),
            RecordStatus::RollbackInProgress if self.shifts() => course::show(&self.course, &mut shown),
            RecordStatus::Pending
            | RecordStatus::Successful
            | RecordStatus::StopRequested
            | RecordStatus::Stopped
            | RecordStatus::RollbackInProgress
            | RecordStatus::RollbackSuccessful
            | RecordStatus::RollbackFailed => {}
        }
        put(&mut shown, "deploymentConfiguration", Some(self.configuration.clone()));
        if let Some(Rollback { reason, started_at, to }) = &self.rollback {
            put(
                &mut shown,
                "rollback",
                Some(json!({
                    "reason": reason, "startedAt": seconds(*started_at), "serviceRevisionArn": service.revision_arn(place, to)
                })),
            );
        }
        put(&mut shown, "deploymentCircuitBreaker", Some(self.shown_breaker(service)));
        put(&mut shown, "alarms", Some(Watch::describe(self.watch.as_ref(), self.is_underway())));
        Value::Object(shown)
    }

    /// Whether it has shifted all of the traffic for good, and takes the old revision away.
    pub(super) fn is_cleaning_up(&self) -> bool {
        self.progress == RecordStatus::InProgress && self.shifts() && self.course.stage == Stage::CleanUp
    }

    pub(super) fn shifts(&self) -> bool {
        DeploymentStrategy::of(&self.configuration).shifts()
    }

    /// A revision's share of production and test traffic, where traffic is shifted: what the target has not got, the
    /// newest of the sources has.
    pub(super) fn weights(&self, number: &str) -> Option<(f64, f64)> {
        let Course { production, test, .. } = self.course;
        if !self.shifts() {
            None
        } else if number == self.target {
            Some((production, test))
        } else if self.sources.first().is_some_and(|source| source == number) {
            Some((100.0 - production, 100.0 - test))
        } else {
            Some((0.0, 0.0))
        }
    }

    fn shown_breaker(&self, service: &Service) -> Value {
        let status = match (service.breaker(), self.triggered, self.is_underway()) {
            (_, true, _) => "TRIGGERED",
            (Breaker::Off, false, _) => "DISABLED",
            (Breaker::Stops | Breaker::RollsBack, false, true) => "MONITORING",
            (Breaker::Stops | Breaker::RollsBack, false, false) => "MONITORING_COMPLETE",
        };
        let (failures, threshold) = self.tally.unwrap_or_else(|| {
            let live = service.deployments.iter().find(|known| known.number == self.target);
            (live.map_or(0, |deployment| deployment.failed), service.threshold())
        });
        json!({ "status": status, "failureCount": failures, "threshold": threshold })
    }
}

impl Revision {
    /// The target groups its tasks join, one for each load balancer.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        let own = self.load_balancers.iter().map(|balancer| balancer.group.as_str());
        own.enumerate().map(|(index, own)| self.groups.get(index).map_or(own, String::as_str))
    }

    pub(super) fn describe(
        &self,
        service: &Service,
        place: &Place,
        number: &str,
        containers: &[(String, String)],
    ) -> Value {
        let Self { definition, created_at, load_balancers, groups: _, kept, images } = self;
        let mut shown = Map::new();
        put(&mut shown, "serviceRevisionArn", Some(service.revision_arn(place, number)));
        put(&mut shown, "serviceArn", Some(service.arn(place)));
        put(&mut shown, "clusterArn", Some(service.cluster_arn(place)));
        put(&mut shown, "taskDefinition", Some(definition.clone()));
        let shown_load_balancers: Vec<Value> = load_balancers.iter().map(LoadBalancer::describe).collect();
        put(&mut shown, "loadBalancers", Some(shown_load_balancers));
        // Which of its two groups a revision got is told nowhere else.
        let resolved: Vec<Value> = load_balancers
            .iter()
            .zip(self.groups())
            .filter_map(|(balancer, group)| {
                let rule = &balancer.advanced.as_ref()?.production;
                Some(json!({ "targetGroupArn": group, "productionListenerRule": rule }))
            })
            .collect();
        if !resolved.is_empty() {
            put(&mut shown, "resolvedConfiguration", Some(json!({ "loadBalancers": resolved })));
        }
        for member in
            ["launchType", "platformVersion", "platformFamily", "networkConfiguration", "capacityProviderStrategy"]
        {
            put(&mut shown, member, kept.get(member).cloned());
        }
        let images: Vec<Value> = containers
            .iter()
            .map(|(name, image)| {
                let mut shown = Map::new();
                put(&mut shown, "containerName", Some(name.as_str()));
                put(&mut shown, "image", Some(image.as_str()));
                put(&mut shown, "imageDigest", images.get(name).cloned());
                Value::Object(shown)
            })
            .collect();
        put(&mut shown, "containerImages", Some(images));
        put(&mut shown, "guardDutyEnabled", Some(false));
        put(&mut shown, "createdAt", Some(seconds(*created_at)));
        Value::Object(shown)
    }
}
