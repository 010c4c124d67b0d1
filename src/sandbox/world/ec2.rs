//! What tools ask EC2 before they come to ECS and ELB: which VPCs, subnets and security groups there are. There are none
//! in the sandbox, where their names may be anything; so whatever is asked for by its id is there, in the one VPC.

use super::super::wire::query::{Form, Xml};
use super::{Fault, Place};

/// The VPC that load balancers are shown in.
pub(super) const VPC: &str = "vpc-sandbox";

/// What is there if nothing is asked for by name. Ansible takes only hexadecimal letters for an id.
const SECURITY_GROUP: &str = "sg-00000000";
const SUBNETS: [&str; 2] = ["subnet-00000001", "subnet-00000002"];

/// Answers one call with the inside of its `…Response` element.
pub fn call(place: &Place, action: &str, form: &Form) -> Result<String, Fault> {
    let mut xml = Xml::new();
    match action {
        "DescribeSecurityGroups" => security_groups(place, form, &mut xml)?,
        "DescribeSubnets" => subnets(place, form, &mut xml)?,
        "DescribeVpcs" => vpcs(place, form, &mut xml)?,
        _ => {
            return Err(fault(
                "InvalidAction",
                format!(
                    "The sandbox has no EC2 beyond VPCs, subnets and security groups; it does not emulate {action}."
                ),
            ));
        }
    }
    Ok(xml.finish())
}

fn security_groups(place: &Place, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let filters = Filters::of(form, &["group-id", "group-name", "vpc-id"])?;
    let names: Vec<String> = [form.numbered("GroupName"), filters.values("group-name")].concat();
    if let Some(name) = names.iter().find(|name| *name != "default") {
        return Err(fault(
            "InvalidGroup.NotFound",
            format!("The security group '{name}' does not exist in default VPC '{VPC}'"),
        ));
    }
    let asked = [form.numbered("GroupId"), filters.values("group-id")].concat();
    let all = if asked.is_empty() { vec![SECURITY_GROUP.to_owned()] } else { asked };
    items(xml, "securityGroupInfo", &all, |xml, id| {
        let name = if id == SECURITY_GROUP { "default" } else { id };
        xml.text("groupId", id)
            .text("groupName", name)
            .text("groupDescription", name)
            .text("ownerId", &place.account)
            .text("vpcId", filters.vpc())
            .text(
                "securityGroupArn",
                format_args!("arn:aws:ec2:{}:{}:security-group/{id}", place.region, place.account),
            );
    });
    Ok(())
}

fn subnets(place: &Place, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let filters = Filters::of(form, &["default-for-az", "state", "subnet-id", "vpc-id"])?;
    let asked = [form.numbered("SubnetId"), filters.values("subnet-id")].concat();
    let all = if asked.is_empty() { SUBNETS.map(ToOwned::to_owned).to_vec() } else { asked };
    items(xml, "subnetSet", &all, |xml, id| {
        xml.text("subnetId", id)
            .text("state", "available")
            .text("vpcId", filters.vpc())
            .text("cidrBlock", "127.0.0.0/8")
            .text("availableIpAddressCount", 250)
            .text("availabilityZone", format_args!("{}a", place.region))
            .text("defaultForAz", true)
            .text("mapPublicIpOnLaunch", true)
            .text("ownerId", &place.account)
            .text("subnetArn", format_args!("arn:aws:ec2:{}:{}:subnet/{id}", place.region, place.account));
    });
    Ok(())
}

fn vpcs(place: &Place, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let filters = Filters::of(form, &["is-default", "isDefault", "state", "vpc-id"])?;
    let asked = [form.numbered("VpcId"), filters.values("vpc-id")].concat();
    let all = if asked.is_empty() { vec![VPC.to_owned()] } else { asked };
    items(xml, "vpcSet", &all, |xml, id| {
        xml.text("vpcId", id)
            .text("state", "available")
            .text("cidrBlock", "127.0.0.0/8")
            .text("dhcpOptionsId", "default")
            .text("instanceTenancy", "default")
            .text("isDefault", true)
            .text("ownerId", &place.account);
    });
    Ok(())
}

/// Lists of EC2 have an `<item>` where those of the other services have a `<member>`.
fn items(xml: &mut Xml, name: &str, all: &[String], mut each: impl FnMut(&mut Xml, &str)) {
    xml.nest(name, |xml| {
        for id in all {
            xml.nest("item", |xml| each(xml, id));
        }
    });
}

/// The filters of a call.
struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// One that is not known would find what it was meant to leave out.
    fn of(form: &Form, known: &[&str]) -> Result<Self, Fault> {
        let mut filters = Vec::new();
        for filter in form.items("Filter") {
            let name = filter.get("Name").unwrap_or_default();
            let values = filter.numbered("Value");
            let names_what_is = !matches!(name, "default-for-az" | "is-default" | "isDefault") || values == ["true"];
            if !known.contains(&name) || !names_what_is {
                return Err(fault(
                    "InvalidParameterValue",
                    format!("The sandbox does not emulate the filter '{name}' = {} of EC2.", values.join(", ")),
                ));
            }
            filters.push((name.to_owned(), values));
        }
        Ok(Self(filters))
    }

    fn values(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).flat_map(|(_, values)| values.clone()).collect()
    }

    fn vpc(&self) -> String {
        self.values("vpc-id").into_iter().next().unwrap_or_else(|| VPC.to_owned())
    }
}

fn fault(code: &str, message: impl Into<String>) -> Fault {
    Fault { status: 400, code: code.to_owned(), message: message.into() }
}
