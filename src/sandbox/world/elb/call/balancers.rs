//! Load balancers and their attributes.

use super::super::attributes::{self, LOAD_BALANCER};
use super::super::listener::{LoadBalancer, Scheme};
use super::super::resource_id;
use super::{Elb, Fault, Form, Millis, Xml, arn, attribute_changes, fault, name, page, required, tags};
use crate::sandbox::world::{Pace, Place};

fn load_balancer_arn(form: &Form) -> Result<&str, Fault> {
    arn(form, "LoadBalancerArn", "loadbalancer", "load balancer")
}

pub(super) fn create(
    elb: &mut Elb,
    here: &Place,
    pace: Pace,
    form: &Form,
    now: Millis,
    xml: &mut Xml,
) -> Result<(), Fault> {
    let name = name(form, "Load balancer")?.to_owned();
    if name.starts_with("internal-") {
        return Err(fault::validation(format!("Load balancer name '{name}' cannot begin with 'internal-'")));
    }
    match form.get("Type") {
        None | Some("application") => {}
        Some(other) => return Err(fault::not_emulated(format_args!("load balancers of type '{other}'"))),
    }
    let scheme = match form.get("Scheme") {
        None | Some("internet-facing") => Scheme::InternetFacing,
        Some("internal") => Scheme::Internal,
        Some(other) => return Err(fault::validation(format!("'{other}' is not a valid load balancer scheme"))),
    };
    let subnets = subnets(form);
    let security_groups = form.strings("SecurityGroups");
    let tags = tags::given(form)?;
    if let Some(found) = elb.load_balancers.iter().find(|balancer| balancer.name == name) {
        if (found.scheme, &found.subnets, &found.security_groups) != (scheme, &subnets, &security_groups) {
            return Err(fault::duplicate_load_balancer(&name));
        }
        xml.list("LoadBalancers", [found], |xml, one| write(here, one, xml));
        return Ok(());
    }
    let id = resource_id(&["loadbalancer", &name], elb.revision, now);
    let arn = Elb::arn(here, "loadbalancer", &format!("app/{name}/{id}"));
    if !tags.is_empty() {
        elb.tags.insert(arn.clone(), tags);
    }
    let created = LoadBalancer {
        arn,
        name,
        created_at: now,
        scheme,
        subnets,
        security_groups,
        attributes: std::collections::BTreeMap::new(),
    };
    xml.list("LoadBalancers", [&created], |xml, one| write(here, one, xml));
    elb.load_balancers.push(created);
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn describe(elb: &Elb, here: &Place, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let (arns, names) = (form.strings("LoadBalancerArns"), form.strings("Names"));
    if !arns.is_empty() && !names.is_empty() {
        return Err(fault::validation(
            "Load balancer names and load balancer ARNs cannot be specified at the same time",
        ));
    }
    let mut found: Vec<&LoadBalancer> = Vec::new();
    for arn in &arns {
        found.push(elb.load_balancer(arn).ok_or_else(fault::load_balancer_not_found)?);
    }
    for name in &names {
        let by_name = elb.load_balancers.iter().find(|balancer| balancer.name == *name);
        found.push(by_name.ok_or_else(|| fault::load_balancer_name_not_found(name))?);
    }
    if arns.is_empty() && names.is_empty() {
        found.extend(&elb.load_balancers);
    }
    let (found, next) = page(form, &found)?;
    xml.list("LoadBalancers", found, |xml, one| write(here, one, xml)).optional("NextMarker", next);
    Ok(())
}

/// Takes its listeners along. "If the load balancer does not exist or has already been deleted, the call succeeds."
pub(super) fn delete(elb: &mut Elb, pace: Pace, form: &Form, now: Millis) -> Result<(), Fault> {
    let arn = load_balancer_arn(form)?;
    let Some(balancer) = elb.load_balancer(arn) else { return Ok(()) };
    if balancer.attribute("deletion_protection.enabled") == "true" {
        return Err(fault::not_permitted(format!(
            "Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        )));
    }
    elb.load_balancers.retain(|one| one.arn != arn);
    elb.listeners.retain(|listener| listener.load_balancer != arn);
    // Its listeners' and rules' ARNs have the same path behind another kind.
    let path = arn.rsplit("loadbalancer/").next().unwrap_or(arn).to_owned();
    elb.tags.retain(|tagged, _| tagged != arn && !tagged.contains(&format!("/{path}/")));
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn describe_attributes(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let found = elb.load_balancer(load_balancer_arn(form)?).ok_or_else(fault::load_balancer_not_found)?;
    attributes::write(LOAD_BALANCER, &found.attributes, xml);
    Ok(())
}

pub(super) fn modify_attributes(
    elb: &mut Elb,
    pace: Pace,
    form: &Form,
    now: Millis,
    xml: &mut Xml,
) -> Result<(), Fault> {
    let arn = load_balancer_arn(form)?;
    let changes = attribute_changes(form, LOAD_BALANCER, "Load balancer")?;
    let found = elb.load_balancers.iter_mut().find(|balancer| balancer.arn == arn);
    found.ok_or_else(fault::load_balancer_not_found)?.attributes.extend(changes);
    elb.changed(pace, now);
    describe_attributes(elb, form, xml)
}

fn existing<'a>(elb: &'a mut Elb, form: &Form) -> Result<&'a mut LoadBalancer, Fault> {
    let arn = load_balancer_arn(form)?;
    elb.load_balancers.iter_mut().find(|balancer| balancer.arn == arn).ok_or_else(fault::load_balancer_not_found)
}

/// Capacity is reserved for nobody, which is an empty answer.
pub(super) fn describe_capacity(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    elb.load_balancer(load_balancer_arn(form)?).ok_or_else(fault::load_balancer_not_found)?;
    xml.list("CapacityReservationState", [(); 0], |_, ()| {});
    Ok(())
}

pub(super) fn set_address_type(elb: &mut Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    existing(elb, form)?;
    match required(form, "IpAddressType")? {
        "ipv4" => xml.text("IpAddressType", "ipv4"),
        other => return Err(fault::not_emulated(format_args!("load balancers of the address type '{other}'"))),
    };
    Ok(())
}

pub(super) fn set_security_groups(
    elb: &mut Elb,
    pace: Pace,
    form: &Form,
    now: Millis,
    xml: &mut Xml,
) -> Result<(), Fault> {
    let groups = form.strings("SecurityGroups");
    existing(elb, form)?.security_groups.clone_from(&groups);
    xml.list("SecurityGroupIds", &groups, |xml, group| {
        xml.bare(group);
    });
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn set_subnets(
    elb: &mut Elb,
    here: &Place,
    pace: Pace,
    form: &Form,
    now: Millis,
    xml: &mut Xml,
) -> Result<(), Fault> {
    let subnets = subnets(form);
    if subnets.is_empty() {
        return Err(fault::validation("At least two subnets in two different Availability Zones must be specified"));
    }
    existing(elb, form)?.subnets.clone_from(&subnets);
    xml.list("AvailabilityZones", &subnets, |xml, subnet| write_subnet(here, subnet, xml))
        .text("IpAddressType", "ipv4");
    elb.changed(pace, now);
    Ok(())
}

fn subnets(form: &Form) -> Vec<String> {
    let mut subnets = form.strings("Subnets");
    subnets.extend(form.members("SubnetMappings").iter().filter_map(|one| one.get("SubnetId")).map(ToOwned::to_owned));
    subnets
}

fn write_subnet(here: &Place, subnet: &str, xml: &mut Xml) {
    xml.text("ZoneName", format_args!("{}a", here.region)).text("SubnetId", subnet);
}

/// `DNSName` is the address the listeners really have: `curl http://$DNSName:$Port` works here too.
fn write(here: &Place, balancer: &LoadBalancer, xml: &mut Xml) {
    let LoadBalancer { arn, name, created_at, scheme, subnets, security_groups, attributes: _ } = balancer;
    let created = i64::try_from(*created_at).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    xml.text("LoadBalancerArn", arn)
        .text("DNSName", "127.0.0.1")
        .text("CanonicalHostedZoneId", "Z35SXDOTRQ7X7K")
        .optional("CreatedTime", created)
        .text("LoadBalancerName", name)
        .text("Scheme", scheme.as_str())
        .text("VpcId", super::super::super::ec2::VPC)
        .nest("State", |xml| {
            xml.text("Code", "active");
        })
        .text("Type", "application")
        .list("AvailabilityZones", subnets, |xml, subnet| write_subnet(here, subnet, xml))
        .list("SecurityGroups", security_groups, |xml, group| {
            xml.bare(group);
        })
        .text("IpAddressType", "ipv4");
}
