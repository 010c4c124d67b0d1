//! Target groups, their attributes, and their targets.

use super::super::attributes::{self, GROUP};
use super::super::group::{HealthCheck, HealthPort, Matcher, Target, TargetGroup, TargetHealth, TargetType};
use super::super::resource_id;
use super::{Elb, Fault, Form, Millis, Xml, arn, attribute_changes, fault, name, number, page, port, required, tags};
use crate::sandbox::world::{Pace, Place};

fn target_group_arn(form: &Form) -> Result<&str, Fault> {
    arn(form, "TargetGroupArn", "targetgroup", "target group")
}

fn find<'a>(elb: &'a Elb, form: &Form) -> Result<&'a TargetGroup, Fault> {
    elb.target_group(target_group_arn(form)?).ok_or_else(fault::target_group_not_found)
}

fn only_http(form: &Form, member: &str) -> Result<(), Fault> {
    match form.get(member) {
        None | Some("HTTP") => Ok(()),
        Some(other) => Err(fault::unsupported_protocol(other)),
    }
}

/// `check` with what the form says of it.
fn health_check(form: &Form, check: &HealthCheck) -> Result<HealthCheck, Fault> {
    only_http(form, "HealthCheckProtocol")?;
    if form.get("HealthCheckEnabled") == Some("false") {
        return Err(fault::validation(
            "Health checks must be enabled for target groups with target type 'instance' or 'ip'",
        ));
    }
    if form.get("Matcher.GrpcCode").is_some() {
        return Err(fault::not_emulated("gRPC health checks"));
    }
    let mut check = check.clone();
    if let Some(port) = form.get("HealthCheckPort") {
        check.port = HealthPort::parse(port)?;
    }
    if let Some(path) = form.get("HealthCheckPath") {
        path.clone_into(&mut check.path);
    }
    if let Some(codes) = form.get("Matcher.HttpCode") {
        check.matcher = Matcher::parse(codes)?;
    }
    check.interval_seconds = number(form, "HealthCheckIntervalSeconds")?.unwrap_or(check.interval_seconds);
    check.timeout_seconds = number(form, "HealthCheckTimeoutSeconds")?.unwrap_or(check.timeout_seconds);
    check.healthy_threshold = number(form, "HealthyThresholdCount")?.unwrap_or(check.healthy_threshold);
    check.unhealthy_threshold = number(form, "UnhealthyThresholdCount")?.unwrap_or(check.unhealthy_threshold);
    check.validate()?;
    Ok(check)
}

pub(super) fn create(
    elb: &mut Elb,
    here: &Place,
    pace: Pace,
    form: &Form,
    now: Millis,
    xml: &mut Xml,
) -> Result<(), Fault> {
    let name = name(form, "Target group")?.to_owned();
    let target_type = TargetType::parse(form.get("TargetType").unwrap_or("instance"))?;
    if form.get("Protocol").is_none() {
        return Err(fault::validation("A protocol must be specified"));
    }
    only_http(form, "Protocol")?;
    if let Some(version) = form.get("ProtocolVersion").filter(|version| *version != "HTTP1") {
        return Err(fault::not_emulated(format_args!("target groups of protocol version '{version}'")));
    }
    let port = port(form, "Port")?.ok_or_else(|| fault::validation("A port must be specified"))?;
    let vpc_id = form.get("VpcId").map(ToOwned::to_owned);
    let health_check = health_check(form, &HealthCheck::default())?;
    let tags = tags::given(form)?;
    if let Some(found) = elb.target_groups.iter().find(|group| group.name == name) {
        let same = (found.port, &found.vpc_id, found.target_type, &found.health_check)
            == (port, &vpc_id, target_type, &health_check);
        if !same {
            return Err(fault::duplicate_target_group(&name));
        }
        xml.list("TargetGroups", [found], |xml, one| write(one, xml));
        return Ok(());
    }
    let id = resource_id(&["targetgroup", &name], elb.revision, now);
    let arn = Elb::arn(here, "targetgroup", &format!("{name}/{id}"));
    if !tags.is_empty() {
        elb.tags.insert(arn.clone(), tags);
    }
    let created = TargetGroup {
        arn,
        name,
        port,
        vpc_id,
        target_type,
        health_check,
        attributes: std::collections::BTreeMap::new(),
        registrations: Vec::new(),
        load_balancers: Vec::new(),
    };
    xml.list("TargetGroups", [&created], |xml, one| write(one, xml));
    elb.target_groups.push(created);
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn describe(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let (arns, names) = (form.strings("TargetGroupArns"), form.strings("Names"));
    let balancer = form.get("LoadBalancerArn");
    if [!arns.is_empty(), !names.is_empty(), balancer.is_some()].iter().filter(|given| **given).count() > 1 {
        return Err(fault::validation(
            "Only one of target group ARNs, target group names and load balancer ARN can be specified",
        ));
    }
    let mut found: Vec<&TargetGroup> = Vec::new();
    for arn in &arns {
        found.push(elb.target_group(arn).ok_or_else(fault::target_group_not_found)?);
    }
    for name in &names {
        let by_name = elb.target_groups.iter().find(|group| group.name == *name);
        found.push(by_name.ok_or_else(fault::target_group_not_found)?);
    }
    if let Some(balancer) = balancer {
        elb.load_balancer(balancer).ok_or_else(fault::load_balancer_not_found)?;
        found.extend(elb.target_groups.iter().filter(|group| group.load_balancers.iter().any(|arn| arn == balancer)));
    } else if arns.is_empty() && names.is_empty() {
        found.extend(&elb.target_groups);
    }
    let (found, next) = page(form, &found)?;
    xml.list("TargetGroups", found, |xml, one| write(one, xml)).optional("NextMarker", next);
    Ok(())
}

pub(super) fn modify(elb: &mut Elb, pace: Pace, form: &Form, now: Millis, xml: &mut Xml) -> Result<(), Fault> {
    let check = health_check(form, &find(elb, form)?.health_check)?;
    let group = elb.group_mut(target_group_arn(form)?)?;
    group.health_check = check;
    xml.list("TargetGroups", [&*group], |xml, one| write(one, xml));
    elb.changed(pace, now);
    Ok(())
}

/// "If the target group is in use by a listener or rule, it cannot be deleted"; one that is gone is no mistake.
pub(super) fn delete(elb: &mut Elb, pace: Pace, form: &Form, now: Millis) -> Result<(), Fault> {
    let arn = target_group_arn(form)?;
    let Some(group) = elb.target_group(arn) else { return Ok(()) };
    if group.is_attached() {
        return Err(fault::target_group_in_use(arn));
    }
    elb.target_groups.retain(|one| one.arn != arn);
    elb.tags.remove(arn);
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn describe_attributes(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    attributes::write(GROUP, &find(elb, form)?.attributes, xml);
    Ok(())
}

pub(super) fn modify_attributes(
    elb: &mut Elb,
    pace: Pace,
    form: &Form,
    now: Millis,
    xml: &mut Xml,
) -> Result<(), Fault> {
    let changes = attribute_changes(form, GROUP, "Target group")?;
    let group = elb.group_mut(target_group_arn(form)?)?;
    let mut attributes = group.attributes.clone();
    attributes.extend(changes);
    let value = |key: &str| attributes::value(GROUP, &attributes, key);
    if value("slow_start.duration_seconds") != "0" && value("load_balancing.algorithm.type") != "round_robin" {
        return Err(fault::invalid_configuration(
            "Slow start mode can only be used with the round robin load balancing algorithm",
        ));
    }
    group.attributes = attributes;
    elb.changed(pace, now);
    describe_attributes(elb, form, xml)
}

/// `Targets`, with the group's port where none is given.
fn targets(group: &TargetGroup, form: &Form) -> Result<Vec<Target>, Fault> {
    form.members("Targets")
        .iter()
        .map(|one| {
            let address = required(one, "Id")?.to_owned();
            Ok(Target { address, port: port(one, "Port")?.unwrap_or(group.port) })
        })
        .collect()
}

pub(super) fn register(elb: &mut Elb, pace: Pace, form: &Form, now: Millis) -> Result<(), Fault> {
    let group = find(elb, form)?;
    let targets = targets(group, form)?;
    if targets.is_empty() {
        return Err(fault::missing("Targets"));
    }
    for target in &targets {
        group.target_type.accept(&target.address)?;
    }
    let arn = group.arn.clone();
    targets.iter().try_for_each(|target| elb.register(pace, &arn, target, now))
}

pub(super) fn deregister(elb: &mut Elb, pace: Pace, form: &Form, now: Millis) -> Result<(), Fault> {
    let group = find(elb, form)?;
    let targets = targets(group, form)?;
    if targets.is_empty() {
        return Err(fault::missing("Targets"));
    }
    let arn = group.arn.clone();
    targets.iter().try_for_each(|target| elb.deregister(pace, &arn, target, now))
}

pub(super) fn describe_health(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let group = find(elb, form)?;
    let mut targets = targets(group, form)?;
    if targets.is_empty() {
        targets.extend(group.registrations.iter().map(|registration| registration.target.clone()));
    }
    xml.list("TargetHealthDescriptions", &targets, |xml, target| {
        let TargetHealth { state, reason, description } = group.health(target);
        xml.nest("Target", |xml| {
            xml.text("Id", &target.address).text("Port", target.port);
        });
        // A target that is not there has no port to ask.
        let registered = group.registration(target).is_some();
        xml.optional("HealthCheckPort", registered.then(|| group.health_check.port.of(target)));
        xml.nest("TargetHealth", |xml| {
            xml.text("State", state.as_str()).optional("Reason", reason).optional("Description", description);
        });
    });
    Ok(())
}

fn write(group: &TargetGroup, xml: &mut Xml) {
    let TargetGroup {
        arn,
        name,
        port,
        vpc_id,
        target_type,
        health_check,
        attributes: _,
        registrations: _,
        load_balancers,
    } = group;
    let HealthCheck {
        port: health_port,
        path,
        interval_seconds,
        timeout_seconds,
        healthy_threshold,
        unhealthy_threshold,
        matcher,
    } = health_check;
    xml.text("TargetGroupArn", arn)
        .text("TargetGroupName", name)
        .text("Protocol", "HTTP")
        .text("Port", port)
        .optional("VpcId", vpc_id.as_ref())
        .text("HealthCheckProtocol", "HTTP")
        .text("HealthCheckPort", health_port)
        .text("HealthCheckEnabled", true)
        .text("HealthCheckIntervalSeconds", interval_seconds)
        .text("HealthCheckTimeoutSeconds", timeout_seconds)
        .text("HealthyThresholdCount", healthy_threshold)
        .text("UnhealthyThresholdCount", unhealthy_threshold)
        .text("HealthCheckPath", path)
        .nest("Matcher", |xml| {
            xml.text("HttpCode", matcher.as_str());
        })
        .list("LoadBalancerArns", load_balancers, |xml, arn| {
            xml.bare(arn);
        })
        .text("TargetType", target_type.as_str())
        .text("ProtocolVersion", "HTTP1")
        .text("IpAddressType", "ipv4");
}
