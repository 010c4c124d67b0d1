//! CloudWatch alarms as switches: there are no metrics, so an alarm is in the state somebody puts it in.
//!
//! ECS asks for them when a deployment is to be watched by alarms (`deploymentConfiguration.alarms`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::input::seconds;
use super::{Fault, Millis, Place, World};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Alarms {
    revision: u64,
    alarms: BTreeMap<String, Alarm>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Alarm {
    /// `PutMetricAlarm` as it came: kept and shown, never evaluated.
    settings: Map<String, Value>,
    state: State,
    reason: String,
    configured_at: Millis,
    changed_at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Ok,
    Alarm,
    InsufficientData,
}

impl State {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "OK" => Some(Self::Ok),
            "ALARM" => Some(Self::Alarm),
            "INSUFFICIENT_DATA" => Some(Self::InsufficientData),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

impl Alarms {
    /// Counts changes.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the alarm is in the state ALARM; one that does not exist is not.
    #[must_use]
    pub fn is_alarming(&self, name: &str) -> bool {
        self.alarms.get(name).is_some_and(|alarm| alarm.state == State::Alarm)
    }
}

/// Takes one call.
pub fn call(world: &mut World, operation: &str, input: &Value, now: Millis) -> Result<Value, Fault> {
    let World { place, alarms, .. } = world;
    let answer = match operation {
        "PutMetricAlarm" => put(alarms, input, now),
        "SetAlarmState" => set_state(alarms, input, now),
        "DeleteAlarms" => delete(alarms, input),
        "DescribeAlarms" => return describe(alarms, place, input),
        _ => Err(Fault::new(
            "UnknownOperationException",
            format!("The sandbox does not emulate the CloudWatch operation {operation}."),
        )),
    };
    if answer.is_ok() {
        alarms.revision += 1;
    }
    answer
}

fn validation(message: impl Into<String>) -> Fault {
    Fault::new("ValidationError", message)
}

fn text<'a>(input: &'a Value, member: &str) -> Result<&'a str, Fault> {
    input[member]
        .as_str()
        .filter(|value| !value.is_empty())
        .ok_or_else(|| validation(format!("The parameter {member} is required.")))
}

fn put(alarms: &mut Alarms, input: &Value, now: Millis) -> Result<Value, Fault> {
    let name = text(input, "AlarmName")?.to_owned();
    text(input, "ComparisonOperator")?;
    if input["EvaluationPeriods"].as_u64().is_none() {
        return Err(validation("The parameter EvaluationPeriods is required."));
    }
    let mut settings = input.as_object().cloned().unwrap_or_default();
    settings.retain(|_, value| !value.is_null());
    settings.remove("Tags");
    // "When you update an existing alarm, its state is left unchanged" — API reference, `PutMetricAlarm`.
    let known = alarms.alarms.get(&name);
    let alarm = Alarm {
        settings,
        state: known.map_or(State::InsufficientData, |known| known.state),
        reason: known.map_or_else(|| "Unchecked: Initial alarm creation".to_owned(), |known| known.reason.clone()),
        configured_at: now,
        changed_at: known.map_or(now, |known| known.changed_at),
    };
    alarms.alarms.insert(name, alarm);
    Ok(json!({}))
}

fn set_state(alarms: &mut Alarms, input: &Value, now: Millis) -> Result<Value, Fault> {
    let (name, word, reason) = (text(input, "AlarmName")?, text(input, "StateValue")?, text(input, "StateReason")?);
    let state = State::parse(word).ok_or_else(|| {
        validation(format!(
            "1 validation error detected: Value '{word}' at 'stateValue' failed to satisfy constraint: \
             Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]"
        ))
    })?;
    let alarm = alarms.alarms.get_mut(name).ok_or_else(|| Fault {
        status: 404,
        code: "ResourceNotFound".to_owned(),
        message: format!("Alarm {name} does not exist"),
    })?;
    if alarm.state != state {
        alarm.changed_at = now;
    }
    alarm.state = state;
    reason.clone_into(&mut alarm.reason);
    Ok(json!({}))
}

fn names<'a>(input: &'a Value, member: &str) -> Vec<&'a str> {
    input[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn delete(alarms: &mut Alarms, input: &Value) -> Result<Value, Fault> {
    let asked = names(input, "AlarmNames");
    if let Some(name) = asked.iter().find(|name| !alarms.alarms.contains_key(**name)) {
        return Err(Fault {
            status: 404,
            code: "ResourceNotFound".to_owned(),
            message: format!("Alarm {name} does not exist"),
        });
    }
    alarms.alarms.retain(|name, _| !asked.contains(&name.as_str()));
    Ok(json!({}))
}

fn describe(alarms: &Alarms, place: &Place, input: &Value) -> Result<Value, Fault> {
    let asked = names(input, "AlarmNames");
    let (prefix, state) = (input["AlarmNamePrefix"].as_str().unwrap_or_default(), input["StateValue"].as_str());
    let size = match &input["MaxRecords"] {
        Value::Null => 50,
        value => value
            .as_u64()
            .filter(|size| (1..=100).contains(size))
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| validation("MaxRecords must be between 1 and 100."))?,
    };
    let from = match input["NextToken"].as_str() {
        None => 0,
        Some(token) => {
            token.parse::<usize>().map_err(|_| Fault::new("InvalidNextToken", "The next token is invalid."))?
        }
    };
    let found: Vec<Value> = alarms
        .alarms
        .iter()
        .filter(|(name, _)| asked.is_empty() || asked.contains(&name.as_str()))
        .filter(|(name, alarm)| name.starts_with(prefix) && state.is_none_or(|asked| asked == alarm.state.word()))
        .map(|(name, alarm)| show(name, alarm, place))
        .collect();
    let total = found.len();
    let page: Vec<Value> = found.into_iter().skip(from).take(size).collect();
    let mut answer = json!({ "CompositeAlarms": [] });
    if from + page.len() < total {
        answer["NextToken"] = json!((from + page.len()).to_string());
    }
    answer["MetricAlarms"] = Value::Array(page);
    Ok(answer)
}

fn show(name: &str, alarm: &Alarm, place: &Place) -> Value {
    let Alarm { settings, state, reason, configured_at, changed_at } = alarm;
    let mut shown = settings.clone();
    shown.entry("ActionsEnabled").or_insert(json!(true));
    for list in ["OKActions", "AlarmActions", "InsufficientDataActions", "Dimensions"] {
        shown.entry(list).or_insert_with(|| json!([]));
    }
    let arn = format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", place.region, place.account);
    for (member, value) in [
        ("AlarmName", json!(name)),
        ("AlarmArn", json!(arn)),
        ("StateValue", json!(state.word())),
        ("StateReason", json!(reason)),
        ("StateUpdatedTimestamp", seconds(*changed_at)),
        ("StateTransitionedTimestamp", seconds(*changed_at)),
        ("AlarmConfigurationUpdatedTimestamp", seconds(*configured_at)),
    ] {
        shown.insert(member.to_owned(), value);
    }
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::super::Pace;
    use super::*;

    #[test]
    fn an_alarm_is_in_the_state_somebody_puts_it_in() {
        let place = Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "x:1".into() };
        let mut world = World::new(place, Pace::new(1.0), 1);
        let mut does = |operation: &str, input: Value, now| call(&mut world, operation, &input, now);
        let put =
            json!({ "AlarmName": "errors", "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1 });
        let set = |state: &str| json!({ "AlarmName": "errors", "StateValue": state, "StateReason": "me" });
        assert_eq!(does("SetAlarmState", set("ALARM"), 1).unwrap_err().code, "ResourceNotFound");
        does("PutMetricAlarm", put.clone(), 1000).unwrap();
        assert_eq!(does("SetAlarmState", set("LOUD"), 1).unwrap_err().code, "ValidationError");
        does("SetAlarmState", set("ALARM"), 2000).unwrap();
        // Configured anew, it stays as it is.
        does("PutMetricAlarm", put, 3000).unwrap();
        let shown = does("DescribeAlarms", json!({ "AlarmNames": ["errors"] }), 0).unwrap();
        let alarm = &shown["MetricAlarms"][0];
        assert_eq!((&alarm["StateValue"], &alarm["StateReason"]), (&json!("ALARM"), &json!("me")));
        assert_eq!(alarm["StateTransitionedTimestamp"], json!(2.0));
        assert_eq!(alarm["AlarmArn"], "arn:aws:cloudwatch:us-east-1:000000000000:alarm:errors");
        let none = does("DescribeAlarms", json!({ "StateValue": "OK" }), 0).unwrap();
        assert_eq!(none["MetricAlarms"], json!([]));
        does("DeleteAlarms", json!({ "AlarmNames": ["errors"] }), 0).unwrap();
        assert_eq!(does("DeleteAlarms", json!({ "AlarmNames": ["errors"] }), 0).unwrap_err().status, 404);
        assert!(!world.alarms.is_alarming("errors"));
    }
}
