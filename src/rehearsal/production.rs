//! How the service is really set up: read from AWS where that can be done, else what ship.toml says.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::{
    aws::{Aws, AwsError, ecs, elb},
    config::spec::{Percentages, Service},
    id::Key,
    plan::observed::{ServiceActive, ServiceObserved, TargetGroupObserved, Unread},
};

/// ECS's own default of `stopTimeout`.
const STOP_TIMEOUT_S: u64 = 30;

/// ECS's own defaults of `minimumHealthyPercent` and `maximumPercent`.
const USUAL_PERCENTAGES: (u32, u32) = (100, 200);

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Production {
    pub read_from: ReadFrom,
    /// `hello:41`, of what is live.
    pub revision: Option<String>,
    /// The image that is live.
    pub image: Option<String>,
    pub desired_count: u32,
    pub minimum_healthy_percent: u32,
    pub maximum_percent: u32,
    pub grace_period_s: u64,
    pub health_check: HealthCheck,
    pub deregistration_delay_s: u64,
    pub stop_timeout_s: u64,
    pub container: Option<String>,
    pub container_port: u16,
    /// The target group that the load goes to; its settings are those above. `None`: nothing is live.
    pub target_group: Option<String>,
    /// The others, which decide with it whether a task is healthy.
    pub further_groups: Vec<Further>,
    #[serde(skip)]
    pub definition: Option<Value>,
    /// What could not be read or is not rehearsed, in words.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// A target group of the service beside the one that the load goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Further {
    pub target_group: String,
    pub container: String,
    pub container_port: u16,
    pub health_check: HealthCheck,
    pub deregistration_delay_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    /// The live service.
    Service,
    /// `[services.*.sandbox]` and the defaults.
    File,
}

pub use crate::aws::elb::HealthCheck;

impl Production {
    /// What the file says, as the sandbox would set it up.
    #[must_use]
    pub fn of_file(service: &Service) -> Self {
        let settings = &service.sandbox;
        let Percentages { minimum_healthy, maximum } = service.rollout.percentages;
        Self {
            read_from: ReadFrom::File,
            revision: None,
            image: None,
            desired_count: settings.desired_count,
            minimum_healthy_percent: minimum_healthy.unwrap_or(USUAL_PERCENTAGES.0),
            maximum_percent: maximum.unwrap_or(USUAL_PERCENTAGES.1),
            grace_period_s: settings.grace_period().as_secs(),
            health_check: HealthCheck {
                protocol: "HTTP".to_owned(),
                path: settings.health_check_path.clone(),
                interval_s: settings.health_check_interval.as_secs(),
                timeout_s: settings.health_check_timeout().as_secs(),
                healthy_threshold: settings.shape.healthy_threshold,
                unhealthy_threshold: settings.shape.unhealthy_threshold,
                matcher: settings.shape.matcher.clone(),
            },
            deregistration_delay_s: settings.deregistration_delay.as_secs(),
            stop_timeout_s: settings.stop_timeout.as_secs(),
            container: None,
            container_port: settings.container_port,
            target_group: None,
            further_groups: Vec::new(),
            definition: None,
            notes: Vec::new(),
        }
    }

    /// What is live. `None` where there is no such service.
    pub async fn read(aws: &Aws, key: &Key, service: &Service) -> Result<Option<Self>, ReadError> {
        let active = match ecs::service(aws, &service.cluster, &service.service).await? {
            ServiceObserved::Active(active) => active,
            ServiceObserved::Missing | ServiceObserved::Inactive { .. } => return Ok(None),
        };
        let wanted = service.container.as_deref();
        let own = active.target_groups.iter().find(|group| wanted == Some(group.container.as_str()));
        let Some(group) = own.or_else(|| active.target_groups.first()) else {
            return Err(ReadError::NoLoadBalancer(key.clone()));
        };
        let others: Vec<&TargetGroupObserved> =
            active.target_groups.iter().filter(|other| !std::ptr::eq(*other, group)).collect();
        let mut notes = BTreeSet::new();
        let (own, further, grace) = tokio::join!(
            Further::read(aws, group, &active, service),
            futures_util::future::try_join_all(others.iter().map(|one| Further::read(aws, one, &active, service))),
            ecs::grace_period(aws, &service.cluster, &service.service)
        );
        let (own, further, grace) = (own?, further?, grace?);
        let mut kept = |(further, unread): (Further, Vec<String>)| {
            notes.extend(unread);
            further
        };
        let own = kept(own);
        let (further_groups, strange): (Vec<Further>, Vec<Further>) =
            further.into_iter().map(kept).partition(|group: &Further| group.health_check.protocol == "HTTP");
        notes.extend(strange.iter().map(|group| {
            format!(
                "target group {} is left out: it speaks {}, and the balancer here HTTP",
                group.target_group, group.health_check.protocol
            )
        }));
        let ServiceActive { desired_count, minimum_healthy_percent, maximum_percent, .. } = *active;
        // What the deploy would set with its update.
        let Percentages { minimum_healthy, maximum } = service.rollout.percentages;
        let minimum_healthy_percent = minimum_healthy.unwrap_or(minimum_healthy_percent);
        let maximum_percent = maximum.unwrap_or(maximum_percent);
        let container = service.container.clone().unwrap_or_else(|| group.container.clone());
        Ok(Some(Self {
            read_from: ReadFrom::Service,
            revision: Some(active.task_definition.to_string()),
            image: image_of(&active.definition, &container),
            desired_count,
            minimum_healthy_percent,
            maximum_percent,
            grace_period_s: grace,
            health_check: own.health_check,
            deregistration_delay_s: own.deregistration_delay_s,
            stop_timeout_s: stop_timeout(&active.definition),
            container: Some(container),
            container_port: own.container_port,
            target_group: Some(own.target_group),
            further_groups,
            definition: Some(active.definition),
            notes: notes.into_iter().collect(),
        }))
    }

    /// How long a new task may take before AWS holds it against it that it does not answer: until so many health
    /// checks in a row of any target group have failed, and the grace period is over.
    #[must_use]
    pub fn tolerance_s(&self) -> u64 {
        let failing = self.health_checks().map(|(_, check)| failing_s(check)).min().unwrap_or_default();
        self.grace_period_s.max(failing)
    }

    /// How long a task is kept after it was taken out of its target groups: until the last of them lets it go.
    #[must_use]
    pub fn longest_delay_s(&self) -> u64 {
        let further = self.further_groups.iter().map(|group| group.deregistration_delay_s);
        further.fold(self.deregistration_delay_s, u64::max)
    }

    /// The health checks of all target groups, the first that of the one with the load. A group is named where there are
    /// several.
    pub fn health_checks(&self) -> impl Iterator<Item = (Option<&str>, &HealthCheck)> {
        let name = self.target_group.as_deref().filter(|_| !self.further_groups.is_empty());
        let further = self.further_groups.iter().map(|group| (Some(group.target_group.as_str()), &group.health_check));
        [(name, &self.health_check)].into_iter().chain(further)
    }

    /// How long a task that has died without a word goes on being sent requests.
    #[must_use]
    pub fn notices_after_s(&self) -> u64 {
        failing_s(&self.health_check)
    }

    /// Leaves out the target groups whose container or port one of the definitions that are to run lacks: ECS would not
    /// create such a service.
    ///
    /// What is said of them is given back.
    pub fn keep_groups_of(&mut self, definitions: &[&Value]) -> Vec<String> {
        let lacking = |group: &mut Further| definitions.iter().any(|definition| !maps(definition, group));
        let left_out = self.further_groups.extract_if(.., lacking).map(|group| {
            format!(
                "target group {} is left out: not everything that is run here maps port {} of container {}",
                group.target_group, group.container_port, group.container
            )
        });
        left_out.collect()
    }
}

/// Until a task that does not answer has failed.
fn failing_s(check: &HealthCheck) -> u64 {
    check.interval_s.saturating_mul(check.unhealthy_threshold.into())
}

/// Whether a definition has the container and the port of a target group.
fn maps(definition: &Value, group: &Further) -> bool {
    let mut containers = definition["containerDefinitions"].as_array().into_iter().flatten();
    let container = containers.find(|container| container["name"] == group.container.as_str());
    let mut mapped = container.and_then(|container| container["portMappings"].as_array()).into_iter().flatten();
    mapped.any(|mapping| mapping["containerPort"] == group.container_port)
}

impl Further {
    /// One target group with what cannot be read of it, in words; that is then taken from ship.toml.
    async fn read(
        aws: &Aws,
        group: &TargetGroupObserved,
        active: &ServiceActive,
        service: &Service,
    ) -> Result<(Self, Vec<String>), AwsError> {
        let mut notes = Vec::new();
        let deregistration_delay_s = if active.unread.iter().any(|unread| is_drain_of(unread, group)) {
            notes.push(
                "the deregistration delay may not be read (elasticloadbalancing:DescribeTargetGroupAttributes): it is that of \
                 ship.toml"
                    .to_owned(),
            );
            Production::of_file(service).deregistration_delay_s
        } else {
            group.deregistration_delay_s
        };
        let health_check = match elb::health_check(aws, &group.arn).await {
            Ok(check) => check,
            // The rest is worth having without it.
            Err(error) if error.is_out_of_reach() => {
                notes.push(
                    "the health check may not be read (elasticloadbalancing:DescribeTargetGroups): it is that of ship.toml"
                        .to_owned(),
                );
                Production::of_file(service).health_check
            }
            Err(error) => return Err(error),
        };
        let further = Self {
            target_group: group.name().to_owned(),
            container: group.container.clone(),
            container_port: u16::try_from(group.container_port).unwrap_or_default(),
            health_check,
            deregistration_delay_s,
        };
        Ok((further, notes))
    }
}

fn is_drain_of(unread: &Unread, group: &TargetGroupObserved) -> bool {
    matches!(unread, Unread::DeregistrationDelay(name) if name == group.name())
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("{0} has no load balancer")]
    NoLoadBalancer(Key),
}

/// The image of a container.
#[must_use]
pub fn image_of(definition: &Value, container: &str) -> Option<String> {
    let containers = definition["containerDefinitions"].as_array()?;
    let found = containers.iter().find(|one| one["name"] == container)?;
    Some(found["image"].as_str()?.to_owned())
}

/// The longest of its essential containers.
fn stop_timeout(definition: &Value) -> u64 {
    let containers = definition["containerDefinitions"].as_array().map_or(&[][..], Vec::as_slice);
    let essential = containers.iter().filter(|container| container["essential"].as_bool() != Some(false));
    essential
        .map(|container| container["stopTimeout"].as_u64().unwrap_or(STOP_TIMEOUT_S))
        .max()
        .unwrap_or(STOP_TIMEOUT_S)
}
