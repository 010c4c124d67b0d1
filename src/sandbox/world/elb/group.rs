//! A target group, its health check, and the state of each registered target.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::super::{Fault, Millis, Pace};
use super::attributes::{self, GROUP};
use super::fault;

/// Where a target listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    pub address: String,
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// What a target's `Id` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetType {
    Instance,
    Ip,
}

impl TargetType {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "instance" => Ok(Self::Instance),
            "ip" => Ok(Self::Ip),
            other => Err(fault::not_emulated(format_args!("target groups of type '{other}'"))),
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Ip => "ip",
        }
    }

    /// Whether `id` may be registered. The real service refuses loopback addresses; here every target is on loopback.
    pub(super) fn accept(self, id: &str) -> Result<(), Fault> {
        match self {
            Self::Ip if id.parse::<IpAddr>().is_err() => {
                Err(fault::validation(format!("The IP address '{id}' is not a valid IPv4 or IPv6 address")))
            }
            Self::Instance if !id.starts_with("i-") && id.parse::<IpAddr>().is_err() => {
                Err(fault::invalid_target(format!("The following targets are not valid instance ids: '{id}'")))
            }
            Self::Ip | Self::Instance => Ok(()),
        }
    }
}

/// The port a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthPort {
    /// `traffic-port`: where the target gets its requests.
    Traffic,
    Fixed(u16),
}

impl HealthPort {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text == "traffic-port" {
            return Ok(Self::Traffic);
        }
        match text.parse() {
            Ok(port) if port > 0 => Ok(Self::Fixed(port)),
            _ => {
                Err(fault::validation(format!("Health check port '{text}' must be 'traffic-port' or from 1 to 65535")))
            }
        }
    }

    #[must_use]
    pub fn of(self, target: &Target) -> u16 {
        match self {
            Self::Traffic => target.port,
            Self::Fixed(port) => port,
        }
    }
}

impl fmt::Display for HealthPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Traffic => f.write_str("traffic-port"),
            Self::Fixed(port) => port.fmt(f),
        }
    }
}

/// The codes that pass a health check, as written: `200`, `200,202` or `200-299`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher(String);

impl Matcher {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        // An Application Load Balancer takes codes from 200 to 499.
        let valid = |code: u16| (200..=499).contains(&code);
        let all = text
            .split(',')
            .all(|part| Self::range(part).is_some_and(|(from, to)| valid(from) && valid(to) && from <= to));
        if all {
            Ok(Self(text.to_owned()))
        } else {
            Err(fault::validation(format!("Health check matcher HTTP code '{text}' must be within 200-499 inclusive")))
        }
    }

    fn range(part: &str) -> Option<(u16, u16)> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
    }

    #[must_use]
    pub fn matches(&self, code: u16) -> bool {
        self.0.split(',').filter_map(Self::range).any(|(from, to)| (from..=to).contains(&code))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a group asks its targets how they are. The defaults are ELBv2's for HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub port: HealthPort,
    pub path: String,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    pub matcher: Matcher,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            port: HealthPort::Traffic,
            path: "/".to_owned(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: Matcher("200".to_owned()),
        }
    }
}

impl HealthCheck {
    /// The ranges of `CreateTargetGroup`.
    pub(super) fn validate(&self) -> Result<(), Fault> {
        let Self {
            port: _,
            path,
            interval_seconds,
            timeout_seconds,
            healthy_threshold,
            unhealthy_threshold,
            matcher: _,
        } = self;
        let within = |name: &str, value: u32, from: u32, to: u32| {
            if (from..=to).contains(&value) {
                Ok(())
            } else {
                Err(fault::validation(format!("{name} '{value}' must be between {from} and {to}")))
            }
        };
        within("Health check interval", *interval_seconds, 5, 300)?;
        within("Health check timeout", *timeout_seconds, 2, 120)?;
        within("Healthy threshold count", *healthy_threshold, 2, 10)?;
        within("Unhealthy threshold count", *unhealthy_threshold, 2, 10)?;
        if timeout_seconds >= interval_seconds {
            return Err(fault::validation(format!(
                "Health check timeout '{timeout_seconds}' must be smaller than the interval '{interval_seconds}'"
            )));
        }
        if !path.starts_with('/') || path.len() > 1024 {
            return Err(fault::validation(format!(
                "Health check path '{path}' must begin with '/' and be at most 1024 long"
            )));
        }
        Ok(())
    }
}

/// What a health check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    Passed,
    Failed(Failing),
}

/// Why a health check did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failing {
    /// An answer with a code the matcher does not hold.
    Code(u16),
    /// No answer in time.
    TimedOut,
    /// Refused, reset, or not HTTP.
    Broken,
}

/// Whether there is a process behind a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Process {
    Real,
    /// None: it is never probed and counts as healthy as soon as it is registered.
    Paper,
}

/// Where a registered target is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Being registered; the first probe has not gone out.
    Registering {
        until: Millis,
    },
    /// Probed, and not decided yet.
    Checking,
    Healthy,
    Unhealthy(Failing),
    /// Gets no new requests, and is gone at `until`.
    Draining {
        until: Millis,
    },
}

/// A target of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub target: Target,
    pub process: Process,
    pub standing: Standing,
    /// Passed probes in a row; what did not change the standing is not worth writing down.
    #[serde(skip)]
    passes: u32,
    /// Failed probes in a row.
    #[serde(skip)]
    failures: u32,
    /// Of a target in slow start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warming: Option<Warming>,
}

/// The time in which a target's share of the requests grows from nothing to that of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warming {
    pub from: Millis,
    pub until: Millis,
}

impl Warming {
    /// A target's share in thousandths.
    #[must_use]
    pub fn share(self, now: Millis) -> u64 {
        let Self { from, until } = self;
        if now >= until { 1000 } else { now.saturating_sub(from) * 1000 / (until - from).max(1) }
    }
}

/// Whose cookie it is that keeps a client with its target: `stickiness.type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stickiness {
    /// `lb_cookie`: the balancer's alone, given with every answer.
    ByBalancer { seconds: u64 },
    /// `app_cookie`: as long as the client has the program's cookie of this name.
    ByProgram { cookie: String, seconds: u64 },
}

/// How the next target is chosen: `load_balancing.algorithm.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    RoundRobin,
    LeastOutstandingRequests,
    WeightedRandom,
}

/// Whether something that may be seen from outside is different now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Visible,
}

/// How long a new target stays `Elb.RegistrationInProgress` before its first probe. Published deployments show
/// initial → healthy in 1–3 s where the interval is short.
pub const REGISTRATION_SECONDS: u64 = 1;

impl Registration {
    pub(super) fn new(target: Target, process: Process, until: Millis) -> Self {
        Self { target, process, standing: Standing::Registering { until }, passes: 0, failures: 0, warming: None }
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(self.standing, Standing::Draining { .. })
    }

    /// Back to the beginning: registered again while draining, or the group has just been given traffic.
    pub(super) fn restart(&mut self, until: Millis) {
        (self.standing, self.passes, self.failures) = (Standing::Registering { until }, 0, 0);
        self.warming = None;
    }

    /// Counts one probe.
    ///
    /// | from      | to healthy                          | to unhealthy             |
    /// |-----------|-------------------------------------|--------------------------|
    /// | initial   | one pass: "each target must pass one health check to be considered healthy" | `UnhealthyThresholdCount` |
    /// | healthy   | –                                   | `UnhealthyThresholdCount` |
    /// | unhealthy | `HealthyThresholdCount`              | –                        |
    ///
    /// A draining target is not probed; a result that arrives late is dropped.
    pub(super) fn probed(&mut self, check: &HealthCheck, outcome: ProbeOutcome) -> Change {
        let before = self.standing;
        match outcome {
            ProbeOutcome::Passed => (self.passes, self.failures) = (self.passes.saturating_add(1), 0),
            ProbeOutcome::Failed(_) => (self.passes, self.failures) = (0, self.failures.saturating_add(1)),
        }
        self.standing = match (before, outcome) {
            (Standing::Draining { .. }, _) => return Change::None,
            (Standing::Unhealthy(_), ProbeOutcome::Failed(why)) => Standing::Unhealthy(why),
            (_, ProbeOutcome::Failed(why)) if self.failures >= check.unhealthy_threshold => Standing::Unhealthy(why),
            (Standing::Registering { .. } | Standing::Checking, ProbeOutcome::Failed(_)) => Standing::Checking,
            (Standing::Unhealthy(_), ProbeOutcome::Passed) if self.passes < check.healthy_threshold => before,
            (Standing::Healthy, ProbeOutcome::Failed(_)) | (_, ProbeOutcome::Passed) => Standing::Healthy,
        };
        if self.standing == before { Change::None } else { Change::Visible }
    }

    /// Lets time pass; an ended drain is the group's to remove.
    pub(super) fn tick(&mut self, now: Millis) -> Change {
        match (self.standing, self.process) {
            (Standing::Registering { .. } | Standing::Checking, Process::Paper) => self.standing = Standing::Healthy,
            (Standing::Registering { until }, Process::Real) if until <= now => self.standing = Standing::Checking,
            (
                Standing::Registering { .. }
                | Standing::Checking
                | Standing::Healthy
                | Standing::Unhealthy(_)
                | Standing::Draining { .. },
                _,
            ) => return Change::None,
        }
        Change::Visible
    }
}

/// `DescribeTargetHealth`'s states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetState {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    Unused,
    Unavailable,
}

impl TargetState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Unused => "unused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// `DescribeTargetHealth`'s word on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHealth {
    pub state: TargetState,
    pub reason: Option<String>,
    pub description: Option<String>,
}

impl TargetHealth {
    fn new(state: TargetState, reason: &str, description: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.to_owned()), description: Some(description.into()) }
    }

    pub(super) fn not_registered() -> Self {
        Self::new(TargetState::Unused, "Target.NotRegistered", "Target is not registered to the target group")
    }

    pub(super) fn not_in_use() -> Self {
        Self::new(
            TargetState::Unused,
            "Target.NotInUse",
            "Target group is not configured to receive traffic from the load balancer",
        )
    }

    pub(super) fn of(standing: Standing) -> Self {
        match standing {
            Standing::Registering { .. } => {
                Self::new(TargetState::Initial, "Elb.RegistrationInProgress", "Target registration is in progress")
            }
            Standing::Checking => {
                Self::new(TargetState::Initial, "Elb.InitialHealthChecking", "Initial health checks in progress")
            }
            Standing::Healthy => Self { state: TargetState::Healthy, reason: None, description: None },
            Standing::Unhealthy(Failing::Code(code)) => Self::new(
                TargetState::Unhealthy,
                "Target.ResponseCodeMismatch",
                format!("Health checks failed with these codes: [{code}]"),
            ),
            Standing::Unhealthy(Failing::TimedOut) => {
                Self::new(TargetState::Unhealthy, "Target.Timeout", "Request timed out")
            }
            Standing::Unhealthy(Failing::Broken) => {
                Self::new(TargetState::Unhealthy, "Target.FailedHealthChecks", "Health checks failed")
            }
            Standing::Draining { .. } => Self::new(
                TargetState::Draining,
                "Target.DeregistrationInProgress",
                "Target deregistration is in progress",
            ),
        }
    }
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub arn: String,
    pub name: String,
    pub port: u16,
    pub vpc_id: Option<String>,
    pub target_type: TargetType,
    pub health_check: HealthCheck,
    /// Attributes that were set; the others have their default.
    pub(super) attributes: BTreeMap<String, String>,
    /// In the order of registration.
    pub registrations: Vec<Registration>,
    /// The load balancers whose listeners or rules forward here. Derived, and kept so as to see it change.
    pub load_balancers: Vec<String>,
}

impl TargetGroup {
    /// An attribute's value, set or default.
    #[must_use]
    pub fn attribute(&self, key: &str) -> &str {
        attributes::value(GROUP, &self.attributes, key)
    }

    /// `deregistration_delay.timeout_seconds`.
    #[must_use]
    pub fn deregistration_delay_seconds(&self) -> u64 {
        self.attribute("deregistration_delay.timeout_seconds").parse().unwrap_or(300)
    }

    /// What keeps a client with its target, if anything does.
    #[must_use]
    pub fn stickiness(&self) -> Option<Stickiness> {
        let seconds =
            |kind: &str| self.attribute(&format!("stickiness.{kind}.duration_seconds")).parse().unwrap_or(86_400);
        match (self.attribute("stickiness.enabled"), self.attribute("stickiness.type")) {
            ("true", "app_cookie") => Some(Stickiness::ByProgram {
                cookie: self.attribute("stickiness.app_cookie.cookie_name").to_owned(),
                seconds: seconds("app_cookie"),
            }),
            ("true", _) => Some(Stickiness::ByBalancer { seconds: seconds("lb_cookie") }),
            _ => None,
        }
    }

    /// Whether so many healthy targets of all are too few, so that the unhealthy ones get requests too:
    /// `target_group_health.unhealthy_state_routing.minimum_healthy_targets`, as a count or a percentage, whichever is more.
    #[must_use]
    pub fn fails_open(&self, healthy: usize, all: usize) -> bool {
        let minimum = |kind: &str| {
            let key = format!("target_group_health.unhealthy_state_routing.minimum_healthy_targets.{kind}");
            self.attribute(&key).parse::<usize>().ok()
        };
        let percentage = minimum("percentage").map_or(0, |percentage| (all * percentage).div_ceil(100));
        healthy < minimum("count").unwrap_or(1).max(percentage)
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.attribute("load_balancing.algorithm.type") {
            "least_outstanding_requests" => Algorithm::LeastOutstandingRequests,
            "weighted_random" => Algorithm::WeightedRandom,
            _ => Algorithm::RoundRobin,
        }
    }

    /// Begins the slow start of a target that has just become healthy. "Newly registered targets enter slow start mode only
    /// when there is at least one healthy target that isn't in slow start mode."
    pub(super) fn warm_up(&mut self, target: &Target, pace: Pace, now: Millis) {
        let seconds: u64 = self.attribute("slow_start.duration_seconds").parse().unwrap_or(0);
        let is_warm = |one: &Registration| {
            one.standing == Standing::Healthy && one.warming.is_none_or(|warming| warming.until <= now)
        };
        let others = self.registrations.iter().any(|one| one.target != *target && is_warm(one));
        let Some(registration) = self.registrations.iter_mut().find(|one| one.target == *target) else { return };
        let begins = seconds > 0 && others && registration.standing == Standing::Healthy;
        registration.warming = begins.then(|| Warming { from: now, until: now.saturating_add(pace.millis(seconds)) });
    }

    #[must_use]
    pub fn is_attached(&self) -> bool {
        !self.load_balancers.is_empty()
    }

    #[must_use]
    pub fn registration(&self, target: &Target) -> Option<&Registration> {
        self.registrations.iter().find(|registration| registration.target == *target)
    }

    /// `DescribeTargetHealth`'s word on `target`. A group without traffic is not probed, whatever it last knew.
    #[must_use]
    pub fn health(&self, target: &Target) -> TargetHealth {
        match self.registration(target) {
            None => TargetHealth::not_registered(),
            Some(registration) if registration.is_draining() || self.is_attached() => {
                TargetHealth::of(registration.standing)
            }
            Some(_) => TargetHealth::not_in_use(),
        }
    }
}
