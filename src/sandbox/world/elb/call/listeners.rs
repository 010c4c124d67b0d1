//! Listeners and their rules.

use std::collections::BTreeMap;

use super::super::attributes::{self, LISTENER};
use super::super::listener::{Action, Condition, Forward, Listener, Parameter, Part, Redirect, Rule, Weighted, block};
use super::super::regular::Regular;
use super::super::resource_id;
use super::{Elb, Fault, Form, Millis, Xml, arn, attribute_changes, fault, number, page, required, tags, transforms};
use crate::sandbox::world::{Pace, Place};

fn listener_arn(form: &Form) -> Result<&str, Fault> {
    arn(form, "ListenerArn", "listener", "listener")
}

fn rule_arn(form: &Form) -> Result<&str, Fault> {
    arn(form, "RuleArn", "listener-rule", "rule")
}

fn find_mut<'a>(elb: &'a mut Elb, arn: &str) -> Result<&'a mut Listener, Fault> {
    elb.listeners.iter_mut().find(|listener| listener.arn == arn).ok_or_else(fault::listener_not_found)
}

/// The listener that has the rule; its default rule counts.
fn owner<'a>(elb: &'a Elb, rule: &str) -> Result<&'a Listener, Fault> {
    let has = |one: &&Listener| one.default_rule == rule || one.rules.iter().any(|other| other.arn == rule);
    elb.listeners.iter().find(has).ok_or_else(fault::rule_not_found)
}

/// The one action of a request. A listener may also have an authenticating action before it, which is not emulated.
fn action(elb: &Elb, form: &Form, member: &str, balancer: &str) -> Result<Action, Fault> {
    let actions = form.members(member);
    let [action] = actions.as_slice() else {
        return Err(if actions.is_empty() {
            fault::missing(member)
        } else {
            fault::not_emulated("more than one action in a rule")
        });
    };
    match required(action, "Type")? {
        "forward" => forward(elb, action, balancer),
        "fixed-response" => fixed(&action.group("FixedResponseConfig")),
        "redirect" => redirect(&action.group("RedirectConfig")),
        other => Err(fault::not_emulated(format_args!("actions of type '{other}'"))),
    }
}

/// `Order` of the one action, which is told back where it was said and only there: Ansible's modules compare it.
fn order(form: &Form, member: &str) -> Result<Option<u32>, Fault> {
    form.members(member).first().map_or(Ok(None), |action| number(action, "Order"))
}

fn forward(elb: &Elb, action: &Form, balancer: &str) -> Result<Action, Fault> {
    let config = action.group("ForwardConfig");
    let sticky = config.group("TargetGroupStickinessConfig");
    let sticky_seconds = match (sticky.get("Enabled"), number(&sticky, "DurationSeconds")?) {
        (Some("true"), Some(seconds @ 1..=604_800)) => Some(seconds),
        (Some("true"), _) => {
            return Err(fault::validation("Target group stickiness duration must be between 1 and 604800 seconds"));
        }
        _ => None,
    };
    let mut groups = Vec::new();
    for group in config.members("TargetGroups") {
        let weight = number(&group, "Weight")?.unwrap_or(1);
        if weight > 999 {
            return Err(fault::validation(format!("Target group weight '{weight}' must be between 0 and 999")));
        }
        groups.push(Weighted { arn: required(&group, "TargetGroupArn")?.to_owned(), weight });
    }
    match action.get("TargetGroupArn") {
        Some(arn) if groups.is_empty() => groups.push(Weighted { arn: arn.to_owned(), weight: 1 }),
        Some(arn) if groups.len() != 1 || groups[0].arn != arn => {
            return Err(fault::invalid_configuration(
                "You can specify both a target group ARN and a forward config only if the config has just this target group",
            ));
        }
        Some(_) | None => {}
    }
    if groups.is_empty() {
        return Err(fault::validation("A target group ARN must be specified"));
    }
    if groups.len() > 5 {
        return Err(fault::validation("A forward action can have at most 5 target groups"));
    }
    for group in &groups {
        let found = elb.target_group(&group.arn).ok_or_else(fault::target_group_not_found)?;
        if found.load_balancers.iter().any(|other| other != balancer) {
            return Err(fault::target_group_association_limit(&group.arn));
        }
    }
    Ok(Action::Forward(Forward { groups, sticky_seconds }))
}

fn fixed(config: &Form) -> Result<Action, Fault> {
    let status = required(config, "StatusCode")?;
    let code = status.parse().ok().filter(|code| matches!(code, 200..=299 | 400..=599));
    let code = code
        .ok_or_else(|| fault::validation(format!("Fixed response status code '{status}' must be 2XX, 4XX or 5XX")))?;
    let body = config.get("MessageBody").unwrap_or_default().to_owned();
    if body.len() > 1024 {
        return Err(fault::validation("A fixed response message body can have at most 1024 characters"));
    }
    let content_type = config.get("ContentType").map(ToOwned::to_owned);
    let allowed = ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];
    if let Some(other) = content_type.as_deref().filter(|one| !allowed.contains(one)) {
        return Err(fault::validation(format!(
            "Fixed response content type '{other}' is not one of {}",
            allowed.join(", ")
        )));
    }
    Ok(Action::Fixed { status: code, content_type, body })
}

fn redirect(config: &Form) -> Result<Action, Fault> {
    let status = match required(config, "StatusCode")? {
        "HTTP_301" => 301,
        "HTTP_302" => 302,
        other => return Err(fault::validation(format!("'{other}' is not a valid redirect status code"))),
    };
    let part = |name: &str, default: &str| config.get(name).unwrap_or(default).to_owned();
    let redirect = Redirect {
        protocol: part("Protocol", "#{protocol}"),
        host: part("Host", "#{host}"),
        port: part("Port", "#{port}"),
        path: part("Path", "/#{path}"),
        query: part("Query", "#{query}"),
        status,
    };
    if !["HTTP", "HTTPS", "#{protocol}"].contains(&redirect.protocol.as_str()) {
        return Err(fault::unsupported_protocol(&redirect.protocol));
    }
    if !redirect.path.starts_with('/') {
        return Err(fault::validation("A redirect path must begin with '/'"));
    }
    // "You must modify at least one of the following components to avoid a redirect loop".
    let same = (redirect.protocol.as_str(), redirect.host.as_str(), redirect.port.as_str(), redirect.path.as_str());
    if same == ("#{protocol}", "#{host}", "#{port}", "/#{path}") {
        return Err(fault::invalid_configuration("The redirect configuration is not valid because it creates a loop"));
    }
    Ok(Action::Redirect(redirect))
}

fn conditions(form: &Form) -> Result<Vec<Condition>, Fault> {
    let mut conditions = Vec::<Condition>::new();
    for one in form.members("Conditions") {
        let field = required(&one, "Field")?;
        let condition = match (field, regular(&one, field)?) {
            (_, Some(regular)) => regular,
            (field, None) => plain(&one, field)?,
        };
        // "Each rule can include up to one of each of host-header, http-request-method, path-pattern, and source-ip.
        // Each rule can also optionally include one or more of http-header and query-string."
        let several = matches!(field, "http-header" | "query-string");
        if !several && conditions.iter().any(|other: &Condition| other.field() == field) {
            return Err(fault::invalid_configuration(format!("A rule can only have one '{field}' condition")));
        }
        conditions.push(condition);
    }
    Ok(conditions)
}

/// A condition with values, and wildcards where the field knows them.
fn plain(one: &Form, field: &str) -> Result<Condition, Fault> {
    let values = |config: &str| {
        let mut values = one.strings("Values");
        values.extend(one.group(config).strings("Values"));
        if values.is_empty() {
            return Err(fault::validation("A condition value must be specified"));
        }
        Ok(values)
    };
    Ok(match field {
        "host-header" => Condition::Host(values("HostHeaderConfig")?),
        "path-pattern" => Condition::Path(values("PathPatternConfig")?),
        "http-header" => Condition::Header {
            name: required(&one.group("HttpHeaderConfig"), "HttpHeaderName")?.to_owned(),
            values: values("HttpHeaderConfig")?,
        },
        "http-request-method" => Condition::Method(values("HttpRequestMethodConfig")?),
        "query-string" => Condition::Query(parameters(&one.group("QueryStringConfig"))?),
        "source-ip" => {
            let blocks = values("SourceIpConfig")?;
            if let Some(wrong) = blocks.iter().find(|text| block(text).is_none()) {
                return Err(fault::validation(format!("'{wrong}' is not a valid CIDR block")));
            }
            Condition::Source(blocks)
        }
        other => return Err(fault::not_emulated(format_args!("conditions on '{other}'"))),
    })
}

/// A condition whose values are regular expressions.
fn regular(one: &Form, field: &str) -> Result<Option<Condition>, Fault> {
    let (config, of) = match field {
        "host-header" => ("HostHeaderConfig", Part::Host),
        "path-pattern" => ("PathPatternConfig", Part::Path),
        "http-header" => (
            "HttpHeaderConfig",
            Part::Header(one.group("HttpHeaderConfig").get("HttpHeaderName").unwrap_or_default().to_owned()),
        ),
        _ => return Ok(None),
    };
    let mut written = one.strings("RegexValues");
    written.extend(one.group(config).strings("RegexValues"));
    if written.is_empty() {
        return Ok(None);
    }
    if one.contains("Values") || one.group(config).contains("Values") {
        return Err(fault::validation(format!(
            "A '{field}' condition can have values or regular expressions, not both"
        )));
    }
    if of == Part::Header(String::new()) {
        return Err(fault::missing("HttpHeaderName"));
    }
    let read = |text: &String| match Regular::parse(text) {
        Some(expression) if text.len() <= 128 => Ok(expression),
        _ => Err(fault::validation(format!("'{text}' is not a regular expression of at most 128 characters"))),
    };
    Ok(Some(Condition::Regular { of, expressions: written.iter().map(read).collect::<Result<_, _>>()? }))
}

fn parameters(config: &Form) -> Result<Vec<Parameter>, Fault> {
    let pairs = config.members("Values");
    if pairs.is_empty() {
        return Err(fault::validation("A condition value must be specified"));
    }
    let read = |pair: &Form| {
        Ok(Parameter {
            key: pair.get("Key").filter(|key| !key.is_empty()).map(ToOwned::to_owned),
            value: required(pair, "Value")?.to_owned(),
        })
    };
    pairs.iter().map(read).collect()
}

/// Asks the data plane to listen, before anything is recorded. Without one, a port must be given and is believed.
fn reserve(elb: &Elb, port: u16) -> Result<u16, Fault> {
    let Some(data_plane) = &elb.data_plane else {
        return if port == 0 { Err(fault::validation("A listener port must be specified")) } else { Ok(port) };
    };
    data_plane.reserve(port).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => "something else listens there".to_owned(),
            std::io::ErrorKind::PermissionDenied => "this user may not".to_owned(),
            _ => error.to_string(),
        };
        fault::port_unavailable(port, &why)
    })
}

/// The port is free on this load balancer, and on this host: here all load balancers have one address.
fn free(elb: &Elb, balancer: &str, port: u16) -> Result<(), Fault> {
    match elb.listeners.iter().find(|listener| listener.port == port) {
        Some(listener) if listener.load_balancer == balancer => Err(fault::duplicate_listener(balancer)),
        Some(listener) => {
            Err(fault::port_unavailable(port, &format!("load balancer '{}' listens there", listener.load_balancer)))
        }
        None => Ok(()),
    }
}

fn only_http(form: &Form) -> Result<(), Fault> {
    match form.get("Protocol") {
        None | Some("HTTP") => Ok(()),
        Some(other) => Err(fault::unsupported_protocol(other)),
    }
}

pub(super) fn create(
    elb: &mut Elb,
    here: &Place,
    pace: Pace,
    form: &Form,
    now: Millis,
    xml: &mut Xml,
) -> Result<(), Fault> {
    let balancer = arn(form, "LoadBalancerArn", "loadbalancer", "load balancer")?.to_owned();
    let name = elb.load_balancer(&balancer).ok_or_else(fault::load_balancer_not_found)?.name.clone();
    only_http(form)?;
    let port: u16 = number(form, "Port")?.unwrap_or(0);
    free(elb, &balancer, port)?;
    let default_action = action(elb, form, "DefaultActions", &balancer)?;
    let tags = tags::given(form)?;
    // Last, so that a refused call leaves no open port behind.
    let port = reserve(elb, port)?;
    let id = resource_id(&["listener", &balancer, &port.to_string()], elb.revision, now);
    let rule = resource_id(&["listener-rule", &id], elb.revision, now);
    let balancer_id = balancer.rsplit('/').next().unwrap_or_default();
    let path = format!("app/{name}/{balancer_id}/{id}");
    let created = Listener {
        arn: Elb::arn(here, "listener", &path),
        load_balancer: balancer,
        port,
        default_rule: Elb::arn(here, "listener-rule", &format!("{path}/{rule}")),
        default_action,
        default_order: order(form, "DefaultActions")?,
        rules: Vec::new(),
        attributes: BTreeMap::new(),
    };
    if !tags.is_empty() {
        elb.tags.insert(created.arn.clone(), tags);
    }
    xml.list("Listeners", [&created], |xml, one| write(one, xml));
    elb.listeners.push(created);
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn describe(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let arns = form.strings("ListenerArns");
    let mut found: Vec<&Listener> = Vec::new();
    if let Some(balancer) = form.get("LoadBalancerArn") {
        elb.load_balancer(balancer).ok_or_else(fault::load_balancer_not_found)?;
        found.extend(elb.listeners.iter().filter(|listener| listener.load_balancer == balancer));
    } else if arns.is_empty() {
        return Err(fault::validation("You must specify either listener ARNs or a load balancer ARN"));
    }
    for arn in &arns {
        let by_arn = elb.listeners.iter().find(|listener| listener.arn == *arn);
        found.push(by_arn.ok_or_else(fault::listener_not_found)?);
    }
    let (found, next) = page(form, &found)?;
    xml.list("Listeners", found, |xml, one| write(one, xml)).optional("NextMarker", next);
    Ok(())
}

/// The one attribute that says something about a listener without a certificate, as it is.
pub(super) fn describe_attributes(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let arn = listener_arn(form)?;
    let listener = elb.listeners.iter().find(|listener| listener.arn == arn).ok_or_else(fault::listener_not_found)?;
    attributes::write(LISTENER, &listener.attributes, xml);
    Ok(())
}

pub(super) fn modify_attributes(
    elb: &mut Elb,
    pace: Pace,
    form: &Form,
    now: Millis,
    xml: &mut Xml,
) -> Result<(), Fault> {
    let arn = listener_arn(form)?;
    let changes = attribute_changes(form, LISTENER, "Listener")?;
    for (key, value) in &changes {
        if value.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(fault::validation(format!("Listener attribute '{key}' has a value that is no header's")));
        }
    }
    find_mut(elb, arn)?.attributes.extend(changes);
    elb.changed(pace, now);
    describe_attributes(elb, form, xml)
}

pub(super) fn modify(elb: &mut Elb, pace: Pace, form: &Form, now: Millis, xml: &mut Xml) -> Result<(), Fault> {
    let arn = listener_arn(form)?;
    let Listener { load_balancer: balancer, port: old_port, .. } = find_mut(elb, arn)?.clone();
    only_http(form)?;
    let default_action =
        if form.contains("DefaultActions") { Some(action(elb, form, "DefaultActions", &balancer)?) } else { None };
    let port = match super::port(form, "Port")? {
        Some(port) if port != old_port => {
            free(elb, &balancer, port)?;
            Some(reserve(elb, port)?)
        }
        Some(_) | None => None,
    };
    let listener = find_mut(elb, arn)?;
    listener.port = port.unwrap_or(old_port);
    if let Some(action) = default_action {
        listener.default_action = action;
        listener.default_order = order(form, "DefaultActions")?;
    }
    xml.list("Listeners", [&*listener], |xml, one| write(one, xml));
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn delete(elb: &mut Elb, pace: Pace, form: &Form, now: Millis) -> Result<(), Fault> {
    let arn = listener_arn(form)?;
    let Listener { rules, default_rule, .. } = find_mut(elb, arn)?.clone();
    elb.listeners.retain(|listener| listener.arn != arn);
    for gone in rules.iter().map(|rule| rule.arn.as_str()).chain([default_rule.as_str(), arn]) {
        elb.tags.remove(gone);
    }
    elb.changed(pace, now);
    Ok(())
}

fn priority(text: &str) -> Result<u32, Fault> {
    let valid = text.parse().ok().filter(|priority| (1..=50_000).contains(priority));
    valid.ok_or_else(|| fault::validation(format!("Rule priority '{text}' must be between 1 and 50000")))
}

pub(super) fn create_rule(elb: &mut Elb, pace: Pace, form: &Form, now: Millis, xml: &mut Xml) -> Result<(), Fault> {
    let arn = listener_arn(form)?;
    let listener = find_mut(elb, arn)?.clone();
    let priority = priority(required(form, "Priority")?)?;
    let transforms = transforms::asked(form)?.unwrap_or_default();
    let conditions = conditions(form)?;
    if conditions.is_empty() {
        return Err(fault::missing("Conditions"));
    }
    let action = action(elb, form, "Actions", &listener.load_balancer)?;
    let tags = tags::given(form)?;
    if listener.rules.iter().any(|rule| rule.priority == priority) {
        return Err(fault::priority_in_use(priority));
    }
    let id = resource_id(&["listener-rule", arn, &priority.to_string()], elb.revision, now);
    let created = Rule {
        arn: format!("{}/{id}", arn.replacen(":listener/", ":listener-rule/", 1)),
        priority,
        conditions,
        action,
        order: order(form, "Actions")?,
        transforms,
    };
    if !tags.is_empty() {
        elb.tags.insert(created.arn.clone(), tags);
    }
    xml.list("Rules", [&created], |xml, one| write_rule(one, xml));
    let rules = &mut find_mut(elb, arn)?.rules;
    rules.push(created);
    rules.sort_by_key(|rule| rule.priority);
    elb.changed(pace, now);
    Ok(())
}

/// A rule to describe; the default one exists only as a part of its listener.
enum Described<'a> {
    Written(&'a Rule),
    Default(&'a Listener),
}

fn write_described(described: &Described<'_>, xml: &mut Xml) {
    match described {
        Described::Written(rule) => write_rule(rule, xml),
        Described::Default(listener) => {
            xml.text("RuleArn", &listener.default_rule)
                .text("Priority", "default")
                .list("Conditions", [(); 0], |_, ()| {})
                .list("Actions", [&listener.default_action], |xml, one| write_action(one, listener.default_order, xml))
                .text("IsDefault", true);
        }
    }
}

pub(super) fn describe_rules(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let arns = form.strings("RuleArns");
    let mut found = Vec::new();
    if form.contains("ListenerArn") {
        let arn = listener_arn(form)?;
        let listener =
            elb.listeners.iter().find(|listener| listener.arn == arn).ok_or_else(fault::listener_not_found)?;
        found.extend(listener.rules.iter().map(Described::Written));
        found.push(Described::Default(listener));
    } else if arns.is_empty() {
        return Err(fault::validation("You must specify either listener rule ARNs or a listener ARN"));
    }
    for arn in &arns {
        let listener = owner(elb, arn)?;
        let written = listener.rules.iter().find(|rule| rule.arn == *arn);
        found.push(written.map_or(Described::Default(listener), Described::Written));
    }
    let (found, next) = page(form, &found)?;
    xml.list("Rules", found, |xml, one| write_described(one, xml)).optional("NextMarker", next);
    Ok(())
}

pub(super) fn modify_rule(elb: &mut Elb, pace: Pace, form: &Form, now: Millis, xml: &mut Xml) -> Result<(), Fault> {
    let arn = rule_arn(form)?;
    let Listener { arn: listener, load_balancer, default_rule, .. } = owner(elb, arn)?.clone();
    if default_rule == arn {
        return Err(fault::not_permitted(format!("Default rule '{arn}' cannot be modified")));
    }
    let transforms = transforms::asked(form)?;
    let conditions = conditions(form)?;
    let action = if form.contains("Actions") { Some(action(elb, form, "Actions", &load_balancer)?) } else { None };
    let rules = &mut find_mut(elb, &listener)?.rules;
    let rule = rules.iter_mut().find(|rule| rule.arn == arn).ok_or_else(fault::rule_not_found)?;
    if !conditions.is_empty() {
        rule.conditions = conditions;
    }
    if let Some(action) = action {
        rule.action = action;
        rule.order = order(form, "Actions")?;
    }
    if let Some(transforms) = transforms {
        rule.transforms = transforms;
    }
    xml.list("Rules", [&*rule], |xml, one| write_rule(one, xml));
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn delete_rule(elb: &mut Elb, pace: Pace, form: &Form, now: Millis) -> Result<(), Fault> {
    let arn = rule_arn(form)?;
    let Listener { arn: listener, default_rule, .. } = owner(elb, arn)?.clone();
    if default_rule == arn {
        return Err(fault::not_permitted(format!("Default rule '{arn}' cannot be deleted")));
    }
    find_mut(elb, &listener)?.rules.retain(|rule| rule.arn != arn);
    elb.tags.remove(arn);
    elb.changed(pace, now);
    Ok(())
}

/// All of them or none: priorities may be swapped, so only the outcome must be free of doubles.
pub(super) fn set_priorities(elb: &mut Elb, pace: Pace, form: &Form, now: Millis, xml: &mut Xml) -> Result<(), Fault> {
    let mut listeners = elb.listeners.clone();
    let mut moved = Vec::new();
    for pair in form.members("RulePriorities") {
        let arn = rule_arn(&pair)?;
        let wanted = priority(required(&pair, "Priority")?)?;
        if owner(elb, arn)?.default_rule == arn {
            return Err(fault::not_permitted(format!("Default rule '{arn}' cannot be modified")));
        }
        let rule = listeners.iter_mut().flat_map(|listener| &mut listener.rules).find(|rule| rule.arn == arn);
        rule.ok_or_else(fault::rule_not_found)?.priority = wanted;
        moved.push(arn.to_owned());
    }
    if moved.is_empty() {
        return Err(fault::missing("RulePriorities"));
    }
    for listener in &mut listeners {
        listener.rules.sort_by_key(|rule| rule.priority);
        if let Some(two) = listener.rules.windows(2).find(|two| two[0].priority == two[1].priority) {
            return Err(fault::priority_in_use(two[0].priority));
        }
    }
    elb.listeners = listeners;
    let rules = elb.listeners.iter().flat_map(|listener| &listener.rules).filter(|rule| moved.contains(&rule.arn));
    xml.list("Rules", rules, |xml, rule| write_rule(rule, xml));
    elb.changed(pace, now);
    Ok(())
}

fn write(listener: &Listener, xml: &mut Xml) {
    let Listener { arn, load_balancer, port, default_rule: _, default_action, default_order, rules: _, attributes: _ } =
        listener;
    xml.text("ListenerArn", arn)
        .text("LoadBalancerArn", load_balancer)
        .text("Port", port)
        .text("Protocol", "HTTP")
        .list("DefaultActions", [default_action], |xml, one| write_action(one, *default_order, xml));
}

fn write_rule(rule: &Rule, xml: &mut Xml) {
    let Rule { arn, priority, conditions, action, order, transforms } = rule;
    xml.text("RuleArn", arn)
        .text("Priority", priority)
        .list("Conditions", conditions, |xml, condition| write_condition(condition, xml))
        .list("Actions", [action], |xml, one| write_action(one, *order, xml))
        .text("IsDefault", false);
    transforms::write(transforms, xml);
}

fn write_condition(condition: &Condition, xml: &mut Xml) {
    let list = |xml: &mut Xml, values: &[String]| {
        xml.list("Values", values, |xml, value| {
            xml.bare(value);
        });
    };
    xml.text("Field", condition.field());
    match condition {
        // These two have had their values beside the field before there were others.
        Condition::Host(values) => {
            list(xml, values);
            xml.nest("HostHeaderConfig", |xml| list(xml, values));
        }
        Condition::Path(values) => {
            list(xml, values);
            xml.nest("PathPatternConfig", |xml| list(xml, values));
        }
        Condition::Header { name, values } => {
            xml.nest("HttpHeaderConfig", |xml| {
                xml.text("HttpHeaderName", name);
                list(xml, values);
            });
        }
        Condition::Method(values) => {
            xml.nest("HttpRequestMethodConfig", |xml| list(xml, values));
        }
        Condition::Query(parameters) => {
            xml.nest("QueryStringConfig", |xml| {
                xml.list("Values", parameters, |xml, Parameter { key, value }| {
                    xml.optional("Key", key.as_ref()).text("Value", value);
                });
            });
        }
        Condition::Source(values) => {
            xml.nest("SourceIpConfig", |xml| list(xml, values));
        }
        Condition::Regular { of, expressions } => {
            let (config, name) = match of {
                Part::Host => ("HostHeaderConfig", None),
                Part::Path => ("PathPatternConfig", None),
                Part::Header(name) => ("HttpHeaderConfig", Some(name)),
            };
            xml.nest(config, |xml| {
                xml.optional("HttpHeaderName", name).list("RegexValues", expressions, |xml, expression| {
                    xml.bare(expression.as_str());
                });
            });
        }
    }
}

fn write_action(action: &Action, order: Option<u32>, xml: &mut Xml) {
    match action {
        Action::Forward(Forward { groups, sticky_seconds }) => {
            // The plain member is only there when it says everything.
            let only = if let [only] = groups.as_slice() { Some(&only.arn) } else { None };
            xml.text("Type", "forward").optional("TargetGroupArn", only).optional("Order", order).nest(
                "ForwardConfig",
                |xml| {
                    xml.list("TargetGroups", groups, |xml, Weighted { arn, weight }| {
                        xml.text("TargetGroupArn", arn).text("Weight", weight);
                    })
                    .nest("TargetGroupStickinessConfig", |xml| {
                        xml.text("Enabled", sticky_seconds.is_some()).optional("DurationSeconds", *sticky_seconds);
                    });
                },
            );
        }
        Action::Fixed { status, content_type, body } => {
            xml.text("Type", "fixed-response").optional("Order", order).nest("FixedResponseConfig", |xml| {
                let message = (!body.is_empty()).then_some(body);
                xml.text("StatusCode", status)
                    .optional("ContentType", content_type.as_ref())
                    .optional("MessageBody", message);
            });
        }
        Action::Redirect(Redirect { protocol, host, port, path, query, status }) => {
            xml.text("Type", "redirect").optional("Order", order).nest("RedirectConfig", |xml| {
                xml.text("Protocol", protocol)
                    .text("Host", host)
                    .text("Port", port)
                    .text("Path", path)
                    .text("Query", query)
                    .text("StatusCode", format_args!("HTTP_{status}"));
            });
        }
    }
}
