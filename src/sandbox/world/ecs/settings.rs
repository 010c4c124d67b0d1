//! Account settings: kept, shown, and, but for `containerInsights` of new clusters, without effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::{Fault, Place};
use super::input::{flag, invalid, page, text};

/// Each setting with the value it has where nobody has set it.
const SETTINGS: [(&str, &str); 11] = [
    ("awsvpcTrunking", "disabled"),
    ("containerInsights", "disabled"),
    ("containerInstanceLongArnFormat", "enabled"),
    ("defaultLogDriverMode", "non-blocking"),
    ("dualStackIPv6", "enabled"),
    ("fargateFIPSMode", "disabled"),
    ("fargateTaskRetirementWaitPeriod", "7"),
    ("guardDutyActivate", "off"),
    ("serviceLongArnFormat", "enabled"),
    ("tagResourceAuthorization", "on"),
    ("taskLongArnFormat", "enabled"),
];

/// What was set: for the one user there is, and for the account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Settings {
    own: BTreeMap<String, String>,
    account: BTreeMap<String, String>,
}

impl Settings {
    /// The value that counts: one's own, the account's, or AWS's.
    pub(super) fn effective(&self, name: &str) -> Option<&str> {
        let set = self.own.get(name).or_else(|| self.account.get(name)).map(String::as_str);
        set.or_else(|| SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
    }

    pub(super) fn put(&mut self, place: &Place, input: &Value) -> Result<Value, Fault> {
        let (name, value) = asked(input)?;
        self.own.insert(name.to_owned(), value.to_owned());
        Ok(json!({ "setting": show(place, name, value) }))
    }

    pub(super) fn put_default(&mut self, place: &Place, input: &Value) -> Result<Value, Fault> {
        let (name, value) = asked(input)?;
        self.account.insert(name.to_owned(), value.to_owned());
        Ok(json!({ "setting": show(place, name, value) }))
    }

    pub(super) fn delete(&mut self, place: &Place, input: &Value) -> Result<Value, Fault> {
        let name = known(input)?;
        self.own.remove(name);
        Ok(json!({ "setting": show(place, name, self.effective(name).unwrap_or_default()) }))
    }

    pub(super) fn list(&self, place: &Place, input: &Value) -> Result<Value, Fault> {
        let name = if text(input, "name").is_some() { Some(known(input)?) } else { None };
        let value = text(input, "value");
        let effective = flag(input, "effectiveSettings") == Some(true);
        let found = SETTINGS
            .iter()
            .map(|(known, _)| *known)
            .filter(|known| name.is_none_or(|asked| asked == *known))
            .filter_map(|known| {
                let set = if effective { self.effective(known) } else { self.own.get(known).map(String::as_str) };
                set.filter(|set| value.is_none_or(|asked| asked == *set)).map(|set| show(place, known, set))
            })
            .collect();
        page(input, found, 10, "settings")
    }
}

fn known(input: &Value) -> Result<&str, Fault> {
    let name = text(input, "name").ok_or_else(|| invalid("Setting name cannot be empty."))?;
    if SETTINGS.iter().any(|(known, _)| *known == name) {
        Ok(name)
    } else {
        Err(invalid(format!("Invalid account setting name {name}.")))
    }
}

fn asked(input: &Value) -> Result<(&str, &str), Fault> {
    Ok((known(input)?, text(input, "value").ok_or_else(|| invalid("Setting value cannot be empty."))?))
}

fn show(place: &Place, name: &str, value: &str) -> Value {
    let principal = format!("arn:aws:iam::{}:root", place.account);
    json!({ "name": name, "value": value, "principalArn": principal, "type": "user" })
}
