//! How the service is really set up: read from AWS where that can be done, else what ship.toml says.

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
    #[serde(skip)]
    pub definition: Option<Value>,
    /// What could not be read or is not rehearsed, in words.
    #[serde(skip)]
    pub notes: Vec<String>,
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
        let (check, grace) = tokio::join!(
            elb::health_check(aws, &group.arn),
            ecs::grace_period(aws, &service.cluster, &service.service)
        );
        let mut notes = Vec::new();
        let deregistration_delay_s = if active.unread.iter().any(|unread| is_drain_of(unread, group)) {
            notes.push(
                "the deregistration delay may not be read (elasticloadbalancing:DescribeTargetGroupAttributes): it is that of \
                 ship.toml"
                    .to_owned(),
            );
            Self::of_file(service).deregistration_delay_s
        } else {
            group.deregistration_delay_s
        };
        let check = match check {
            Ok(check) => check,
            // The rest is worth having without it.
            Err(error) if error.is_out_of_reach() => {
                notes.push(
                    "the health check may not be read (elasticloadbalancing:DescribeTargetGroups): it is that of ship.toml"
                        .to_owned(),
                );
                Self::of_file(service).health_check
            }
            Err(error) => return Err(error.into()),
        };
        notes.extend(others(&active.target_groups, group));
        let grace = grace?;
        let ServiceActive { desired_count, minimum_healthy_percent, maximum_percent, .. } = *active;
        // What the deploy would set with its update.
        let Percentages { minimum_healthy, maximum } = service.rollout.percentages;
        let minimum_healthy_percent = minimum_healthy.unwrap_or(minimum_healthy_percent);
        let maximum_percent = maximum.unwrap_or(maximum_percent);
        let container = service.container.clone().unwrap_or_else(|| group.container.clone());
        let container_port = u16::try_from(group.container_port).unwrap_or_default();
        Ok(Some(Self {
            read_from: ReadFrom::Service,
            revision: Some(active.task_definition.to_string()),
            image: image_of(&active.definition, &container),
            desired_count,
            minimum_healthy_percent,
            maximum_percent,
            grace_period_s: grace,
            health_check: check,
            deregistration_delay_s,
            stop_timeout_s: stop_timeout(&active.definition),
            container: Some(container),
            container_port,
            definition: Some(active.definition),
            notes,
        }))
    }

    /// How long a new task may take before AWS holds it against it that it does not answer: until so many health
    /// checks in a row have failed, and the grace period is over.
    #[must_use]
    pub fn tolerance_s(&self) -> u64 {
        let failing = self.health_check.interval_s.saturating_mul(self.health_check.unhealthy_threshold.into());
        self.grace_period_s.max(failing)
    }

    /// How long a task that has died without a word goes on being sent requests.
    #[must_use]
    pub fn notices_after_s(&self) -> u64 {
        self.health_check.interval_s.saturating_mul(self.health_check.unhealthy_threshold.into())
    }
}

fn is_drain_of(unread: &Unread, group: &TargetGroupObserved) -> bool {
    matches!(unread, Unread::DeregistrationDelay(name) if name == group.name())
}

/// What is said where a service has more target groups than the one that is rehearsed.
fn others(all: &[TargetGroupObserved], chosen: &TargetGroupObserved) -> Option<String> {
    let others: Vec<&str> = all.iter().filter(|group| group.arn != chosen.arn).map(TargetGroupObserved::name).collect();
    (!others.is_empty()).then(|| {
        format!(
            "only target group {} (port {}) is rehearsed: {} {} left out, with whatever its health checks would say",
            chosen.name(),
            chosen.container_port,
            others.join(", "),
            if others.len() == 1 { "is" } else { "are" }
        )
    })
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
