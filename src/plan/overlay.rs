//! What `ship.toml` lays over a task definition, whatever that comes from: the words are ECS's own, and what is not
//! named stays as it is, with every member that nobody here knows.

use serde_json::{Map, Value, json};

use super::observed::Observed;
use crate::config::spec::Overlays;

/// Lays the overlays over `base`; environment and secrets over the container that is shipped.
///
/// A name is either a plain value or a secret:
///
/// > The secret name must be unique and not shared with any new or existing environment variables set on the container
///
/// so one takes the place of the other.
pub(super) fn lay(base: &mut Value, container: &str, overlays: &Overlays, observed: &Observed) {
    let Overlays { cpu, memory, environment, secrets } = overlays;
    for (name, amount) in [("cpu", cpu), ("memory", memory)] {
        if let Some(amount) = amount {
            base[name] = Value::String(amount.clone());
        }
    }
    let containers = base.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    let own = containers.into_iter().flatten().find(|found| found["name"].as_str() == Some(container));
    let Some(own) = own.and_then(Value::as_object_mut) else { return };
    for (name, value) in environment {
        remove(own, "secrets", name);
        set(own, "environment", name, "value", value);
    }
    for (name, value_from) in secrets {
        remove(own, "environment", name);
        let before = value_of(own, "secrets", name, "valueFrom");
        let value_from = match before {
            // The same parameter in another spelling is no change.
            Some(before) if parameter_arn(&before, observed) == parameter_arn(value_from, observed) => before,
            Some(_) | None => parameter_arn(value_from, observed),
        };
        set(own, "secrets", name, "valueFrom", &value_from);
    }
}

/// Sets a member of the entry of that name in place, so that the rest of it stays; a new entry goes last.
fn set(container: &mut Map<String, Value>, list: &str, name: &str, member: &str, value: &str) {
    let entries = container.entry(list.to_owned()).or_insert_with(|| json!([]));
    if !entries.is_array() {
        *entries = json!([]);
    }
    let Some(entries) = entries.as_array_mut() else { return };
    match entries.iter_mut().find(|entry| entry["name"].as_str() == Some(name)) {
        Some(entry) => entry[member] = Value::String(value.to_owned()),
        None => entries.push(json!({ "name": name, member: value })),
    }
}

fn remove(container: &mut Map<String, Value>, list: &str, name: &str) {
    if let Some(entries) = container.get_mut(list).and_then(Value::as_array_mut) {
        entries.retain(|entry| entry["name"].as_str() != Some(name));
    }
}

fn value_of(container: &Map<String, Value>, list: &str, name: &str, member: &str) -> Option<String> {
    let entries = container.get(list)?.as_array()?;
    let entry = entries.iter().find(|entry| entry["name"].as_str() == Some(name))?;
    entry[member].as_str().map(str::to_owned)
}

/// The name of a parameter in full, so that a definition says which one it means wherever it is read; an ARN of
/// whatever service is one already.
///
/// `/jobs/db-url` is `arn:aws:ssm:eu-west-1:111111111111:parameter/jobs/db-url`, and `db-url` is `…:parameter/db-url`.
fn parameter_arn(value_from: &str, observed: &Observed) -> String {
    if value_from.starts_with("arn:") {
        return value_from.to_owned();
    }
    let Observed { partition, region, account, .. } = observed;
    format!("arn:{partition}:ssm:{region}:{account}:parameter/{}", value_from.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{lay, parameter_arn};
    use crate::{config::spec::Overlays, plan::testing::observed};

    fn laid(base: &Value, overlays: &Overlays) -> Value {
        let mut base = base.clone();
        lay(&mut base, "web", overlays, &observed());
        base
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let text = r#"{"family":"web","brandNew":1.50,"cpu":"256","memory":"512","containerDefinitions":[{"name":"log","image":"l"},{"name":"web","odd":1e400,"environment":[{"name":"B","value":"1","fresh":true},{"name":"A","value":"2"}],"last":null}]}"#;
        let base: Value = serde_json::from_str(text).expect("valid");
        assert_eq!(laid(&base, &Overlays::default()), base);
        let overlays = Overlays {
            cpu: Some("1024".to_owned()),
            memory: None,
            environment: texts(&[("B", "3"), ("C", "4")]),
            secrets: BTreeMap::new(),
        };
        let expected = text
            .replace(r#""cpu":"256""#, r#""cpu":"1024""#)
            .replace(r#""name":"B","value":"1""#, r#""name":"B","value":"3""#)
            .replace(r#""value":"2"}]"#, r#""value":"2"},{"name":"C","value":"4"}]"#)
            .replace("1e400", "1e+400");
        assert_eq!(laid(&base, &overlays).to_string(), expected);
    }

    #[test]
    fn a_name_is_either_a_value_or_a_secret() {
        let base = json!({ "containerDefinitions": [{
            "name": "web", "environment": [{ "name": "TOKEN", "value": "plain" }, { "name": "KEEP", "value": "1" }],
            "secrets": [{ "name": "LEVEL", "valueFrom": "/level" }],
        }] });
        let overlays = Overlays {
            environment: texts(&[("LEVEL", "info")]),
            secrets: texts(&[("TOKEN", "/jobs/token")]),
            ..Overlays::default()
        };
        assert_eq!(
            laid(&base, &overlays)["containerDefinitions"][0],
            json!({
                "name": "web",
                "environment": [{ "name": "KEEP", "value": "1" }, { "name": "LEVEL", "value": "info" }],
                "secrets": [{ "name": "TOKEN", "valueFrom": "arn:aws:ssm:eu-west-1:111111111111:parameter/jobs/token" }],
            })
        );
    }

    #[test]
    fn a_parameter_is_named_in_full_in_its_own_partition() {
        let mut observed = observed();
        observed.partition = "aws-cn".to_owned();
        observed.region = "cn-north-1".to_owned();
        for (written, arn) in [
            ("/jobs/db-url", "arn:aws-cn:ssm:cn-north-1:111111111111:parameter/jobs/db-url"),
            ("db-url", "arn:aws-cn:ssm:cn-north-1:111111111111:parameter/db-url"),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:a:key::", "arn:aws:secretsmanager:eu-west-1:1:secret:a:key::"),
        ] {
            assert_eq!(parameter_arn(written, &observed), arn);
        }
    }

    #[test]
    fn another_spelling_of_the_same_parameter_is_no_change() {
        for before in ["/jobs/db", "arn:aws:ssm:eu-west-1:111111111111:parameter/jobs/db"] {
            let base = json!({ "containerDefinitions": [{ "name": "web", "secrets": [{ "name": "DB", "valueFrom": before }] }] });
            for written in ["/jobs/db", "arn:aws:ssm:eu-west-1:111111111111:parameter/jobs/db"] {
                let overlays = Overlays { secrets: texts(&[("DB", written)]), ..Overlays::default() };
                assert_eq!(laid(&base, &overlays), base, "{before} {written}");
            }
        }
    }
}
