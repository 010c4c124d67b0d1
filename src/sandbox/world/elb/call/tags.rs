//! Tags of everything that has an ARN.

use super::{Elb, Fault, Form, Millis, Xml, fault, pairs};
use crate::sandbox::world::Pace;

/// Resources have at most so many tags.
const LIMIT: usize = 50;

/// The tags of a request that creates something.
pub(super) fn given(form: &Form) -> Result<Vec<(String, String)>, Fault> {
    let tags = pairs(form, "Tags")?;
    let mut keys: Vec<_> = tags.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|two| two[0] == two[1]) {
        return Err(fault::duplicate_tag_keys());
    }
    if tags.len() > LIMIT {
        return Err(fault::too_many_tags());
    }
    Ok(tags)
}

/// The ARNs of the request, all of which must exist.
fn resources(elb: &Elb, form: &Form) -> Result<Vec<String>, Fault> {
    let arns = form.strings("ResourceArns");
    if arns.is_empty() {
        return Err(fault::missing("ResourceArns"));
    }
    for arn in &arns {
        let kind = arn.splitn(6, ':').nth(5).and_then(|resource| resource.split('/').next());
        let (exists, refusal): (bool, fn() -> Fault) = match kind {
            Some("loadbalancer") => (elb.load_balancer(arn).is_some(), fault::load_balancer_not_found),
            Some("targetgroup") => (elb.target_group(arn).is_some(), fault::target_group_not_found),
            Some("listener") => (elb.listeners.iter().any(|one| one.arn == *arn), fault::listener_not_found),
            Some("listener-rule") => {
                let is_it = |rule: &str| rule == arn;
                let mut rules = elb
                    .listeners
                    .iter()
                    .flat_map(|one| one.rules.iter().map(|rule| rule.arn.as_str()).chain([one.default_rule.as_str()]));
                (rules.any(is_it), fault::rule_not_found)
            }
            _ => return Err(fault::validation(format!("'{arn}' is not a valid ARN"))),
        };
        if !exists {
            return Err(refusal());
        }
    }
    Ok(arns)
}

pub(super) fn add(elb: &mut Elb, form: &Form, pace: Pace, now: Millis) -> Result<(), Fault> {
    let arns = resources(elb, form)?;
    let given = given(form)?;
    if given.is_empty() {
        return Err(fault::missing("Tags"));
    }
    let mut tags = elb.tags.clone();
    for arn in arns {
        let mine = tags.entry(arn).or_default();
        for (key, value) in &given {
            match mine.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => old.clone_from(value),
                None => mine.push((key.clone(), value.clone())),
            }
        }
        if mine.len() > LIMIT {
            return Err(fault::too_many_tags());
        }
    }
    elb.tags = tags;
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn remove(elb: &mut Elb, form: &Form, pace: Pace, now: Millis) -> Result<(), Fault> {
    let keys = form.strings("TagKeys");
    for arn in resources(elb, form)? {
        if let Some(mine) = elb.tags.get_mut(&arn) {
            mine.retain(|(key, _)| !keys.contains(key));
        }
    }
    elb.changed(pace, now);
    Ok(())
}

pub(super) fn describe(elb: &Elb, form: &Form, xml: &mut Xml) -> Result<(), Fault> {
    let arns = resources(elb, form)?;
    xml.list("TagDescriptions", &arns, |xml, arn| {
        let mine = elb.tags.get(arn).map(Vec::as_slice).unwrap_or_default();
        xml.text("ResourceArn", arn).list("Tags", mine, |xml, (key, value)| {
            xml.text("Key", key).text("Value", value);
        });
    });
    Ok(())
}
