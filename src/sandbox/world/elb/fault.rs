//! ELBv2's refusals, in its own words.

use std::fmt::Display;

use super::super::Fault;

fn fault(code: &str, message: impl Into<String>) -> Fault {
    Fault { status: 400, code: code.to_owned(), message: message.into() }
}

pub(super) fn validation(message: impl Into<String>) -> Fault {
    fault("ValidationError", message)
}

/// `1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null`.
pub(super) fn missing(member: &str) -> Fault {
    let mut characters = member.chars();
    let member: String =
        characters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(characters).collect();
    validation(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

/// Names what the sandbox leaves out instead of pretending to have done it.
pub(super) fn not_emulated(what: impl Display) -> Fault {
    validation(format!("The sandbox does not emulate {what}"))
}

pub(super) fn unknown_action(action: &str) -> Fault {
    fault(
        "InvalidAction",
        format!("Could not find operation {action} for version 2015-12-01: the sandbox does not emulate it"),
    )
}

pub(super) fn load_balancer_not_found() -> Fault {
    fault("LoadBalancerNotFound", "One or more load balancers not found")
}

pub(super) fn load_balancer_name_not_found(name: &str) -> Fault {
    fault("LoadBalancerNotFound", format!("Load balancers '[{name}]' not found"))
}

pub(super) fn target_group_not_found() -> Fault {
    fault("TargetGroupNotFound", "One or more target groups not found")
}

pub(super) fn listener_not_found() -> Fault {
    fault("ListenerNotFound", "One or more listeners not found")
}

pub(super) fn rule_not_found() -> Fault {
    fault("RuleNotFound", "One or more rules not found")
}

pub(super) fn duplicate_load_balancer(name: &str) -> Fault {
    fault(
        "DuplicateLoadBalancerName",
        format!("A load balancer with the same name '{name}' exists, but with different settings"),
    )
}

pub(super) fn duplicate_target_group(name: &str) -> Fault {
    fault(
        "DuplicateTargetGroupName",
        format!("A target group with the same name '{name}' exists, but with different settings"),
    )
}

pub(super) fn duplicate_listener(load_balancer: &str) -> Fault {
    fault(
        "DuplicateListener",
        format!("A listener already exists on this port for this load balancer '{load_balancer}'"),
    )
}

pub(super) fn target_group_in_use(arn: &str) -> Fault {
    fault("ResourceInUse", format!("Target group '{arn}' is currently in use by a listener or a rule"))
}

pub(super) fn port_unavailable(port: u16, why: &str) -> Fault {
    fault(
        "ResourceInUse",
        format!(
            "The sandbox's load balancer cannot listen on 127.0.0.1:{port}: {why}. Choose another Port, or leave it out \
             to get a free one"
        ),
    )
}

pub(super) fn target_group_association_limit(arn: &str) -> Fault {
    fault(
        "TargetGroupAssociationLimit",
        format!("The following target groups cannot be associated with more than one load balancer: {arn}"),
    )
}

pub(super) fn priority_in_use(priority: u32) -> Fault {
    fault("PriorityInUse", format!("Priority '{priority}' is currently in use"))
}

pub(super) fn not_permitted(message: impl Into<String>) -> Fault {
    fault("OperationNotPermitted", message)
}

pub(super) fn unsupported_protocol(protocol: &str) -> Fault {
    fault(
        "UnsupportedProtocol",
        format!("The sandbox's load balancer speaks HTTP only; protocol '{protocol}' is not supported"),
    )
}

pub(super) fn invalid_target(message: impl Into<String>) -> Fault {
    fault("InvalidTarget", message)
}

pub(super) fn invalid_configuration(message: impl Into<String>) -> Fault {
    fault("InvalidConfigurationRequest", message)
}

pub(super) fn duplicate_tag_keys() -> Fault {
    fault("DuplicateTagKeys", "Duplicate keys have been provided in tags")
}

pub(super) fn too_many_tags() -> Fault {
    fault("TooManyTags", "The maximum number of tags of a resource is 50")
}
