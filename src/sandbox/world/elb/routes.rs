//! What the data plane needs to know, as a copy that needs no lock on the world.

use super::attributes;
use super::group::{Algorithm, HealthCheck, Process, Registration, Standing, Stickiness, Target, Warming};
use super::listener::{Action, Asked, Condition, Listener, Rule, Transform};
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
    pub client_keep_alive_seconds: u64,
    pub forwarded_for: ForwardedFor,
    /// Whether the client's port is added to its address in `X-Forwarded-For`.
    pub with_client_port: bool,
    /// Whether headers whose names are not letters, digits and hyphens only are taken away.
    pub drops_invalid_headers: bool,
    /// In the order to try them; the default comes last and has no conditions.
    pub rules: Vec<RuleRoute>,
    /// What every answer is given, whatever the target said of it.
    pub added_headers: Vec<(String, String)>,
    /// Whether the balancer's own answers have the header `Server`.
    pub names_itself: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRoute {
    pub conditions: Vec<Condition>,
    pub transforms: Vec<Transform>,
    pub action: Action,
}

/// What becomes of a request's `X-Forwarded-For`: `routing.http.xff_header_processing.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedFor {
    Append,
    Preserve,
    Remove,
}

impl ListenerRoute {
    fn of(elb: &Elb, listener: &Listener) -> Self {
        let Listener {
            arn: _,
            load_balancer,
            port,
            default_rule: _,
            default_action,
            default_order: _,
            rules,
            attributes: set,
        } = listener;
        let balancer = elb.load_balancer(load_balancer);
        let attribute = |key: &str| balancer.map(|found| found.attribute(key)).unwrap_or_default();
        let rules = rules.iter().map(|Rule { conditions, transforms, action, .. }| RuleRoute {
            conditions: conditions.clone(),
            transforms: transforms.clone(),
            action: action.clone(),
        });
        let default = RuleRoute { conditions: Vec::new(), transforms: Vec::new(), action: default_action.clone() };
        Self {
            port: *port,
            idle_timeout_seconds: attribute("idle_timeout.timeout_seconds").parse().unwrap_or(60),
            client_keep_alive_seconds: attribute("client_keep_alive.seconds").parse().unwrap_or(3600),
            forwarded_for: match attribute("routing.http.xff_header_processing.mode") {
                "preserve" => ForwardedFor::Preserve,
                "remove" => ForwardedFor::Remove,
                _ => ForwardedFor::Append,
            },
            with_client_port: attribute("routing.http.xff_client_port.enabled") == "true",
            drops_invalid_headers: attribute("routing.http.drop_invalid_header_fields.enabled") == "true",
            rules: rules.chain([default]).collect(),
            added_headers: attributes::added_headers(set),
            names_itself: attributes::value(attributes::LISTENER, set, "routing.http.response.server.enabled")
                == "true",
        }
    }

    /// The first rule that the request meets.
    #[must_use]
    pub fn rule(&self, asked: &Asked<'_>) -> Option<&RuleRoute> {
        self.rules.iter().find(|rule| rule.conditions.iter().all(|condition| condition.meets(asked)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRoute {
    pub arn: String,
    pub check: HealthCheck,
    pub stickiness: Option<Stickiness>,
    pub algorithm: Algorithm,
    pub targets: Vec<TargetRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRoute {
    pub target: Target,
    pub duty: Duty,
    pub probing: Probing,
    pub warming: Option<Warming>,
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
    /// | healthy targets                                 | requests go to                                             |
    /// |-------------------------------------------------|------------------------------------------------------------|
    /// | as many as the group wants, by default one      | the healthy ones                                           |
    /// | fewer, and there are unhealthy ones             | healthy and unhealthy ones: the balancer "fails open"      |
    /// | none, and the others are initial or draining    | none, 503                                                  |
    fn of(group: &TargetGroup) -> Self {
        let count =
            |wanted: fn(&Standing) -> bool| group.registrations.iter().filter(|one| wanted(&one.standing)).count();
        let healthy = count(|standing| matches!(standing, Standing::Healthy));
        let all = count(|standing| !matches!(standing, Standing::Draining { .. }));
        let open = group.fails_open(healthy, all);
        let duty = |standing| match standing {
            Standing::Healthy => Duty::Serving,
            Standing::Unhealthy(_) if open => Duty::Serving,
            Standing::Unhealthy(_) | Standing::Registering { .. } | Standing::Checking => Duty::Waiting,
            Standing::Draining { .. } => Duty::Draining,
        };
        let route = |registration: &Registration| {
            let probing = match registration.process {
                Process::Real if group.is_attached() && !registration.is_draining() => Probing::On,
                Process::Real | Process::Paper => Probing::Off,
            };
            TargetRoute {
                target: registration.target.clone(),
                duty: duty(registration.standing),
                probing,
                warming: registration.warming,
            }
        };
        Self {
            arn: group.arn.clone(),
            check: group.health_check.clone(),
            stickiness: group.stickiness(),
            algorithm: group.algorithm(),
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
