//! ELBv2's API: reads a form, asks or changes the state, writes the elements of the answer.

use std::str::FromStr;

use super::super::super::wire::query::{Form, Xml};
use super::super::{Fault, Millis, World};
use super::{
    Elb,
    attributes::{self, Attribute},
    fault,
};

mod balancers;
mod groups;
mod listeners;
mod tags;
mod transforms;

/// Does one call. The answer is what goes inside `<ActionResult>`.
pub fn call(world: &mut World, action: &str, form: &Form, now: Millis) -> Result<String, Fault> {
    let World { place: here, pace, elb, .. } = world;
    let (here, pace) = (&*here, *pace);
    let mut xml = Xml::new();
    match action {
        "AddTags" => tags::add(elb, form, pace, now)?,
        "CreateListener" => listeners::create(elb, here, pace, form, now, &mut xml)?,
        "CreateLoadBalancer" => balancers::create(elb, here, pace, form, now, &mut xml)?,
        "CreateRule" => listeners::create_rule(elb, pace, form, now, &mut xml)?,
        "CreateTargetGroup" => groups::create(elb, here, pace, form, now, &mut xml)?,
        "DeleteListener" => listeners::delete(elb, pace, form, now)?,
        "DeleteLoadBalancer" => balancers::delete(elb, pace, form, now)?,
        "DeleteRule" => listeners::delete_rule(elb, pace, form, now)?,
        "DeleteTargetGroup" => groups::delete(elb, pace, form, now)?,
        "DeregisterTargets" => groups::deregister(elb, pace, form, now)?,
        "DescribeCapacityReservation" => balancers::describe_capacity(elb, form, &mut xml)?,
        "DescribeListenerAttributes" => listeners::describe_attributes(elb, form, &mut xml)?,
        "DescribeListeners" => listeners::describe(elb, form, &mut xml)?,
        "DescribeLoadBalancerAttributes" => balancers::describe_attributes(elb, form, &mut xml)?,
        "DescribeLoadBalancers" => balancers::describe(elb, here, form, &mut xml)?,
        "DescribeRules" => listeners::describe_rules(elb, form, &mut xml)?,
        "DescribeTags" => tags::describe(elb, form, &mut xml)?,
        "DescribeTargetGroupAttributes" => groups::describe_attributes(elb, form, &mut xml)?,
        "DescribeTargetGroups" => groups::describe(elb, form, &mut xml)?,
        "DescribeTargetHealth" => groups::describe_health(elb, form, &mut xml)?,
        "ModifyListener" => listeners::modify(elb, pace, form, now, &mut xml)?,
        "ModifyListenerAttributes" => listeners::modify_attributes(elb, pace, form, now, &mut xml)?,
        "ModifyLoadBalancerAttributes" => balancers::modify_attributes(elb, pace, form, now, &mut xml)?,
        "ModifyRule" => listeners::modify_rule(elb, pace, form, now, &mut xml)?,
        "ModifyTargetGroup" => groups::modify(elb, pace, form, now, &mut xml)?,
        "ModifyTargetGroupAttributes" => groups::modify_attributes(elb, pace, form, now, &mut xml)?,
        "RegisterTargets" => groups::register(elb, pace, form, now)?,
        "RemoveTags" => tags::remove(elb, form, pace, now)?,
        "SetIpAddressType" => balancers::set_address_type(elb, form, &mut xml)?,
        "SetSecurityGroups" => balancers::set_security_groups(elb, pace, form, now, &mut xml)?,
        "SetSubnets" => balancers::set_subnets(elb, here, pace, form, now, &mut xml)?,
        "SetRulePriorities" => listeners::set_priorities(elb, pace, form, now, &mut xml)?,
        unknown => return Err(fault::unknown_action(unknown)),
    }
    Ok(xml.finish())
}

/// A member that must be there.
fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, Fault> {
    form.get(name).filter(|value| !value.is_empty()).ok_or_else(|| fault::missing(name))
}

/// A number that may be there.
fn number<Number: FromStr>(form: &Form, name: &str) -> Result<Option<Number>, Fault> {
    let Some(text) = form.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| fault::validation(format!("'{text}' is not a valid value for {name}")))
}

/// A port that may be there.
fn port(form: &Form, name: &str) -> Result<Option<u16>, Fault> {
    match number(form, name)? {
        Some(0) => Err(fault::validation(format!("{name} '0' must be between 1 and 65535"))),
        other => Ok(other),
    }
}

/// Key–value pairs of attributes or tags.
fn pairs(form: &Form, name: &str) -> Result<Vec<(String, String)>, Fault> {
    form.members(name)
        .iter()
        .map(|one| Ok((required(one, "Key")?.to_owned(), one.get("Value").unwrap_or_default().to_owned())))
        .collect()
}

/// The attributes that a call sets, each with a value that it takes. `of` is what AWS calls their owner.
fn attribute_changes(form: &Form, table: &[Attribute], of: &str) -> Result<Vec<(String, String)>, Fault> {
    let changes = pairs(form, "Attributes")?;
    for (key, value) in &changes {
        attributes::check(table, of, key, value)?;
    }
    Ok(changes)
}

/// One page: at most `PageSize` (1–400) items from `Marker` on, and the marker of the next page. A marker is how many
/// items came before, which is nobody's business but ours.
fn page<'a, Item>(form: &Form, items: &'a [Item]) -> Result<(&'a [Item], Option<String>), Fault> {
    let size: usize = number(form, "PageSize")?.unwrap_or(400);
    if !(1..=400).contains(&size) {
        return Err(fault::validation(format!("Page size '{size}' must be between 1 and 400")));
    }
    let from: usize = match form.get("Marker") {
        None | Some("") => 0,
        Some(marker) => marker.parse().map_err(|_| fault::validation(format!("'{marker}' is not a valid marker")))?,
    };
    let rest = items.get(from..).unwrap_or_default();
    let next = (rest.len() > size).then(|| (from + size).to_string());
    Ok((&rest[..size.min(rest.len())], next))
}

/// The rules for names of load balancers and target groups.
fn name<'a>(form: &'a Form, of: &str) -> Result<&'a str, Fault> {
    let name = required(form, "Name")?;
    let refuse = |why: &str| Err(fault::validation(format!("{of} name '{name}' {why}")));
    if name.len() > 32 {
        return refuse("cannot be longer than '32' characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return refuse("can only contain characters that are alphanumeric characters and hyphens(-)");
    }
    if name.starts_with('-') || name.ends_with('-') {
        return refuse("cannot begin or end with '-'");
    }
    Ok(name)
}

/// An ARN must look like one before it can be missing: AWS tells a typing mistake from a stranger.
fn arn<'a>(form: &'a Form, member: &str, kind: &str, words: &str) -> Result<&'a str, Fault> {
    let arn = required(form, member)?;
    let resource = arn.strip_prefix("arn:").and_then(|rest| rest.splitn(5, ':').nth(4));
    if resource.is_some_and(|resource| resource.split('/').next() == Some(kind)) {
        Ok(arn)
    } else {
        Err(fault::validation(format!("'{arn}' is not a valid {words} ARN")))
    }
}
