//! What the data plane needs to know, as a copy that needs no lock on the world.

use super::group::{HealthCheck, Process, Registration, Standing, Target};
use super::listener::{Action, Condition, Listener, Rule};
use super::{Elb, TargetGroup};

/// Whatever really listens, forwards and probes. The world tells it every change *before* the call that made the
/// change returns: after `deregister` has returned, no table in use routes to the target any more.
pub trait DataPlane: Send + Sync {
    /// Starts to listen on the port of a listener about to be recorded; port 0 means any free one.
    fn reserve(&self, port: u16) -> std::io::Result<u16>;

    /// Takes over a new table. Called with the world locked: must not wait, and must not lock the world.
    fn publish(&self, routes: Routes);
}

/// All listeners and all target groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    pub listeners: Vec<ListenerRoute>,
    pub groups: Vec<GroupRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerRoute {
    pub port: u16,
    pub idle_timeout_seconds: u64,
    /// Conditions and action, in the order to try them; the default comes last and has no conditions.
    pub rules: Vec<(Vec<Condition>, Action)>,
}

impl ListenerRoute {
    fn of(elb: &Elb, listener: &Listener) -> Self {
        let Listener { arn: _, load_balancer, port, default_rule: _, default_action, rules } = listener;
        let idle =
            elb.load_balancer(load_balancer).map(|found| found.attribute("idle_timeout.timeout_seconds").parse());
        let rules = rules.iter().map(|Rule { conditions, action, .. }| (conditions.clone(), action.clone()));
        Self {
            port: *port,
            idle_timeout_seconds: idle.and_then(Result::ok).unwrap_or(60),
            rules: rules.chain([(Vec::new(), default_action.clone())]).collect(),
        }
    }

    /// The action of the first rule that the request meets.
    #[must_use]
    pub fn action(&self, host: &str, path: &str) -> Option<&Action> {
        let meets = |conditions: &[Condition]| conditions.iter().all(|condition| condition.meets(host, path));
        self.rules.iter().find(|(conditions, _)| meets(conditions)).map(|(_, action)| action)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRoute {
    pub arn: String,
    pub check: HealthCheck,
    pub stickiness_seconds: Option<u64>,
    pub targets: Vec<TargetRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRoute {
    pub target: Target,
    pub duty: Duty,
    pub probing: Probing,
}

/// What a target gets of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Takes its turn.
    Serving,
    /// Gets nothing now.
    Waiting,
    /// Gets nothing new, and finishes what it has.
    Draining,
}

/// Whether a target is to be probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probing {
    On,
    Off,
}

impl GroupRoute {
    /// Who takes requests:
    ///
    /// | the group has             | requests go to                                                        |
    /// |---------------------------|------------------------------------------------------------------------|
    /// | a healthy target          | the healthy ones                                                       |
    /// | none, but an unhealthy one | all unhealthy ones: the balancer "fails open"                           |
    /// | only initial or draining  | none, 503                                                              |
    ///
    /// `target_group_health.unhealthy_state_routing.minimum_healthy_targets.count` is 1, the default.
    fn of(group: &TargetGroup) -> Self {
        let any = |wanted: fn(&Standing) -> bool| group.registrations.iter().any(|one| wanted(&one.standing));
        let healthy = any(|standing| matches!(standing, Standing::Healthy));
        let duty = |standing| match standing {
            Standing::Healthy => Duty::Serving,
            Standing::Unhealthy(_) if !healthy => Duty::Serving,
            Standing::Unhealthy(_) | Standing::Registering { .. } | Standing::Checking => Duty::Waiting,
            Standing::Draining { .. } => Duty::Draining,
        };
        let route = |registration: &Registration| {
            let probing = match registration.process {
                Process::Real if group.is_attached() && !registration.is_draining() => Probing::On,
                Process::Real | Process::Paper => Probing::Off,
            };
            TargetRoute { target: registration.target.clone(), duty: duty(registration.standing), probing }
        };
        Self {
            arn: group.arn.clone(),
            check: group.health_check.clone(),
            stickiness_seconds: group.stickiness_seconds(),
            targets: group.registrations.iter().map(route).collect(),
        }
    }
}

impl Routes {
    #[must_use]
    pub fn of(elb: &Elb) -> Self {
        Self {
            listeners: elb.listeners.iter().map(|listener| ListenerRoute::of(elb, listener)).collect(),
            groups: elb.target_groups.iter().map(GroupRoute::of).collect(),
        }
    }
}
