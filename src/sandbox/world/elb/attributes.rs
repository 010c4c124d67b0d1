//! Attributes of load balancers, listeners and target groups: names, defaults, and what values they take.

use std::collections::BTreeMap;

use super::super::super::wire::query::Xml;
use super::super::Fault;
use super::fault;

/// What values an attribute takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Seconds {
        from: u32,
        to: u32,
    },
    /// 0, which is never, or within a range.
    SecondsOrNever {
        from: u32,
        to: u32,
    },
    /// 1 or more.
    Count,
    /// `off`, or from 1 to 100.
    Percentage,
    Switch,
    OneOf(&'static [&'static str]),
    /// The name of a cookie that is not one of the balancer's own.
    Cookie,
    /// Kept and told back; the sandbox does nothing with it.
    Text,
}

pub(super) struct Attribute {
    pub(super) key: &'static str,
    default: &'static str,
    kind: Kind,
}

const fn attribute(key: &'static str, default: &'static str, kind: Kind) -> Attribute {
    Attribute { key, default, kind }
}

const fn seconds(from: u32, to: u32) -> Kind {
    Kind::Seconds { from, to }
}

/// Of a target group of an Application Load Balancer, with the defaults of the API reference (`TargetGroupAttribute`).
pub(super) const GROUP: &[Attribute] = &[
    attribute("deregistration_delay.timeout_seconds", "300", seconds(0, 3600)),
    attribute("stickiness.enabled", "false", Kind::Switch),
    attribute("stickiness.type", "lb_cookie", Kind::OneOf(&["lb_cookie", "app_cookie"])),
    attribute("stickiness.lb_cookie.duration_seconds", "86400", seconds(1, 604_800)),
    attribute("stickiness.app_cookie.cookie_name", "", Kind::Cookie),
    attribute("stickiness.app_cookie.duration_seconds", "86400", seconds(1, 604_800)),
    attribute("slow_start.duration_seconds", "0", Kind::SecondsOrNever { from: 30, to: 900 }),
    attribute(
        "load_balancing.algorithm.type",
        "round_robin",
        Kind::OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
    ),
    attribute("load_balancing.algorithm.anomaly_mitigation", "off", Kind::OneOf(&["off"])),
    attribute("load_balancing.cross_zone.enabled", "use_load_balancer_configuration", Kind::Text),
    attribute("target_group_health.dns_failover.minimum_healthy_targets.count", "1", Kind::Text),
    attribute("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", Kind::Text),
    attribute("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Kind::Count),
    attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        Kind::Percentage,
    ),
];

/// Of an Application Load Balancer (`LoadBalancerAttribute`).
pub(super) const LOAD_BALANCER: &[Attribute] = &[
    attribute("access_logs.s3.enabled", "false", Kind::Text),
    attribute("access_logs.s3.bucket", "", Kind::Text),
    attribute("access_logs.s3.prefix", "", Kind::Text),
    attribute("client_keep_alive.seconds", "3600", seconds(60, 604_800)),
    attribute("connection_logs.s3.enabled", "false", Kind::Text),
    attribute("connection_logs.s3.bucket", "", Kind::Text),
    attribute("connection_logs.s3.prefix", "", Kind::Text),
    attribute("deletion_protection.enabled", "false", Kind::Switch),
    attribute("health_check_logs.s3.bucket", "", Kind::Text),
    attribute("health_check_logs.s3.enabled", "false", Kind::Text),
    attribute("health_check_logs.s3.prefix", "", Kind::Text),
    attribute("idle_timeout.timeout_seconds", "60", seconds(1, 4000)),
    attribute("ipv6.deny_all_igw_traffic", "false", Kind::Switch),
    attribute("load_balancing.cross_zone.enabled", "true", Kind::OneOf(&["true"])),
    attribute("routing.http.desync_mitigation_mode", "defensive", Kind::OneOf(&["defensive", "monitor", "strictest"])),
    attribute("routing.http.drop_invalid_header_fields.enabled", "false", Kind::Switch),
    attribute("routing.http.preserve_host_header.enabled", "false", Kind::Switch),
    attribute("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Kind::Switch),
    attribute("routing.http.xff_client_port.enabled", "false", Kind::Switch),
    attribute("routing.http.xff_header_processing.mode", "append", Kind::OneOf(&["append", "preserve", "remove"])),
    attribute("routing.http2.enabled", "true", Kind::Switch),
    attribute("waf.fail_open.enabled", "false", Kind::Switch),
    attribute("zonal_shift.config.enabled", "false", Kind::Switch),
];

/// Of an HTTP listener of an Application Load Balancer (`ListenerAttribute`). An empty header is not added.
pub(super) const LISTENER: &[Attribute] = &[
    attribute("routing.http.response.server.enabled", "true", Kind::Switch),
    attribute("routing.http.response.strict_transport_security.header_value", "", Kind::Text),
    attribute("routing.http.response.access_control_allow_origin.header_value", "", Kind::Text),
    attribute("routing.http.response.access_control_allow_methods.header_value", "", Kind::Text),
    attribute("routing.http.response.access_control_allow_headers.header_value", "", Kind::Text),
    attribute("routing.http.response.access_control_allow_credentials.header_value", "", Kind::Text),
    attribute("routing.http.response.access_control_expose_headers.header_value", "", Kind::Text),
    attribute("routing.http.response.access_control_max_age.header_value", "", Kind::Text),
    attribute("routing.http.response.content_security_policy.header_value", "", Kind::Text),
    attribute("routing.http.response.x_content_type_options.header_value", "", Kind::Text),
    attribute("routing.http.response.x_frame_options.header_value", "", Kind::Text),
];

/// The headers that a listener adds to all its answers.
pub(super) fn added_headers(set: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let header = |(key, value): (&str, &str)| {
        let name = key.strip_prefix("routing.http.response.")?.strip_suffix(".header_value")?.replace('_', "-");
        (!value.is_empty()).then(|| (name, value.to_owned()))
    };
    all(LISTENER, set).filter_map(header).collect()
}

/// The value of `key`: set, or the default; nothing for a name that does not exist.
pub(super) fn value<'a>(known: &'a [Attribute], set: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    set.get(key)
        .map(String::as_str)
        .or_else(|| known.iter().find(|attribute| attribute.key == key).map(|attribute| attribute.default))
        .unwrap_or_default()
}

/// All attributes with their values, in the order of the table, as an answer's `Attributes`.
pub(super) fn write(known: &[Attribute], set: &BTreeMap<String, String>, xml: &mut Xml) {
    xml.list("Attributes", all(known, set), |xml, (key, value)| {
        xml.text("Key", key).text("Value", value);
    });
}

fn all<'a>(known: &'a [Attribute], set: &'a BTreeMap<String, String>) -> impl Iterator<Item = (&'a str, &'a str)> {
    known.iter().map(|attribute| (attribute.key, set.get(attribute.key).map_or(attribute.default, String::as_str)))
}

/// Whether `key` may be set to `value`.
pub(super) fn check(known: &[Attribute], owner: &str, key: &str, value: &str) -> Result<(), Fault> {
    let Some(attribute) = known.iter().find(|attribute| attribute.key == key) else {
        return Err(fault::validation(format!("{owner} attribute key '{key}' is not recognized")));
    };
    match attribute.kind {
        Kind::SecondsOrNever { from, to }
            if !value.parse().is_ok_and(|value| value == 0 || (from..=to).contains(&value)) =>
        {
            Err(fault::validation(format!(
                "{owner} attribute '{key}' must be 0 or between {from} and {to}; '{value}' is not"
            )))
        }
        Kind::Count if !value.parse::<u32>().is_ok_and(|value| value > 0) => {
            Err(fault::validation(format!("{owner} attribute '{key}' must be a number from 1 on; '{value}' is not")))
        }
        Kind::Percentage if value != "off" && !value.parse().is_ok_and(|value| (1..=100).contains(&value)) => Err(
            fault::validation(format!("{owner} attribute '{key}' must be 'off' or from 1 to 100; '{value}' is not")),
        ),
        Kind::Seconds { from, to } if !value.parse().is_ok_and(|value| (from..=to).contains(&value)) => Err(
            fault::validation(format!("{owner} attribute '{key}' must be between {from} and {to}; '{value}' is not")),
        ),
        Kind::Switch if !["true", "false"].contains(&value) => {
            Err(fault::validation(format!("{owner} attribute '{key}' must be 'true' or 'false'; '{value}' is not")))
        }
        Kind::Cookie if ["AWSALB", "AWSALBAPP", "AWSALBTG"].contains(&value) => Err(fault::validation(format!(
            "{owner} attribute '{key}' must not be 'AWSALB', 'AWSALBAPP' or 'AWSALBTG': the load balancer uses them"
        ))),
        Kind::OneOf(allowed) if !allowed.contains(&value) => {
            Err(fault::not_emulated(format_args!("'{value}' for attribute '{key}', only {}", allowed.join(", "))))
        }
        Kind::Seconds { .. }
        | Kind::SecondsOrNever { .. }
        | Kind::Count
        | Kind::Percentage
        | Kind::Switch
        | Kind::OneOf(_)
        | Kind::Cookie
        | Kind::Text => Ok(()),
    }
}
