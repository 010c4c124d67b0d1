//! A task definition of AWS as the sandbox can run it: without what only AWS has.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Members of a task definition that mean something here.
const KEPT: &[&str] = &["family", "networkMode", "cpu", "memory", "containerDefinitions", "volumes"];

/// Members of a container that need AWS.
const NEEDS_AWS: &[&str] = &[
    "secrets",
    "environmentFiles",
    "repositoryCredentials",
    "firelensConfiguration",
    "credentialSpecs",
    "resourceRequirements",
];

/// What was made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapted {
    pub definition: Value,
    /// What was left out, in words.
    pub notes: Vec<String>,
    /// Secrets nobody gave a value.
    pub missing_secrets: Vec<String>,
}

/// The definition without some of its containers, and without the others' waiting for them.
#[must_use]
pub fn without(definition: &Value, names: &[&str]) -> Value {
    let is_left_out = |name: &Value| name.as_str().is_some_and(|name| names.contains(&name));
    let mut definition = definition.clone();
    if let Some(containers) = definition["containerDefinitions"].as_array_mut() {
        containers.retain(|container| !is_left_out(&container["name"]));
        for container in containers {
            let Some(container) = container.as_object_mut() else { continue };
            for (list, name) in [("dependsOn", "containerName"), ("volumesFrom", "sourceContainer")] {
                if let Some(others) = container.get_mut(list).and_then(Value::as_array_mut) {
                    others.retain(|other| !is_left_out(&other[name]));
                }
            }
            if let Some(links) = container.get_mut("links").and_then(Value::as_array_mut) {
                let target = |link: &Value| json!(link.as_str().and_then(|link| link.split(':').next()));
                links.retain(|link| !is_left_out(&target(link)));
            }
        }
    }
    definition
}

/// Takes out what the sandbox has no counterpart of. Values for secrets come from `environment`, which also overrides.
#[must_use]
pub fn adapt(definition: &Value, environment: &BTreeMap<String, String>) -> Adapted {
    let mut notes = Vec::new();
    let mut missing = Vec::new();
    let members = definition.as_object().cloned().unwrap_or_default();
    let mut kept: Map<String, Value> = members.into_iter().filter(|(name, _)| KEPT.contains(&name.as_str())).collect();
    if kept.get("networkMode").and_then(Value::as_str) == Some("host") {
        kept.insert("networkMode".to_owned(), json!("bridge"));
    }
    let shared = kept.get("networkMode").and_then(Value::as_str) == Some("awsvpc");
    for volume in kept.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = volume["name"].clone();
        let is_plain = volume.as_object().is_some_and(|volume| volume.keys().all(|key| key == "name"));
        if !is_plain {
            notes.push(format!("volume {} is an empty one here", name.as_str().unwrap_or_default()));
            *volume = json!({ "name": name });
        }
    }
    for container in kept.get_mut("containerDefinitions").and_then(Value::as_array_mut).into_iter().flatten() {
        missing.extend(adapt_container(container, environment, &mut notes));
        for mapping in container["portMappings"].as_array_mut().into_iter().flatten() {
            if !shared && let Some(mapping) = mapping.as_object_mut() {
                // On one host two tasks cannot have the same.
                mapping.insert("hostPort".to_owned(), json!(0));
            }
        }
    }
    Adapted { definition: Value::Object(kept), notes, missing_secrets: missing }
}

fn adapt_container(container: &mut Value, given: &BTreeMap<String, String>, notes: &mut Vec<String>) -> Vec<String> {
    let Some(members) = container.as_object_mut() else { return Vec::new() };
    let name = members.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let secrets: Vec<String> = members
        .get("secrets")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|secret| Some(secret["name"].as_str()?.to_owned()))
        .collect();
    for member in NEEDS_AWS {
        if members.remove(*member).is_some() && *member != "secrets" {
            notes.push(format!("`{member}` of {name} is left out"));
        }
    }
    let mut environment = members.get("environment").and_then(Value::as_array).cloned().unwrap_or_default();
    environment.retain(|pair| !pair["name"].as_str().is_some_and(|name| given.contains_key(name)));
    environment.extend(given.iter().map(|(name, value)| json!({ "name": name, "value": value })));
    members.insert("environment".to_owned(), Value::Array(environment));
    match members.get_mut("logConfiguration") {
        Some(logs) if logs["logDriver"] == "awslogs" => {
            if !logs["options"].is_object() {
                logs["options"] = json!({});
            }
            // The group is there on AWS; here it is made.
            logs["options"]["awslogs-create-group"] = json!("true");
        }
        Some(logs) => {
            notes.push(format!("log driver {} of {name} is not run", logs["logDriver"].as_str().unwrap_or_default()));
            members.remove("logConfiguration");
        }
        None => {}
    }
    secrets.into_iter().filter(|secret| !given.contains_key(secret)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_aws_has_is_left_out_and_said() {
        let definition = json!({
            "taskDefinitionArn": "arn", "family": "api", "revision": 7, "status": "ACTIVE", "networkMode": "host",
            "executionRoleArn": "arn:role", "cpu": "256", "memory": "512",
            "volumes": [{ "name": "data", "efsVolumeConfiguration": { "fileSystemId": "fs-1" } }, { "name": "tmp" }],
            "containerDefinitions": [{
                "name": "app", "image": "api:7", "portMappings": [{ "containerPort": 80, "hostPort": 80 }],
                "environment": [{ "name": "LEVEL", "value": "info" }],
                "secrets": [{ "name": "KEY", "valueFrom": "arn:key" }, { "name": "PASSWORD", "valueFrom": "arn:pw" }],
                "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/api" } },
                "environmentFiles": [{ "value": "arn:s3", "type": "s3" }]
            }]
        });
        let given = BTreeMap::from([("KEY".to_owned(), "k".to_owned()), ("LEVEL".to_owned(), "debug".to_owned())]);
        let adapted = adapt(&definition, &given);
        assert_eq!(
            adapted.definition,
            json!({
                "family": "api", "networkMode": "bridge", "cpu": "256", "memory": "512",
                "volumes": [{ "name": "data" }, { "name": "tmp" }],
                "containerDefinitions": [{
                    "name": "app", "image": "api:7", "portMappings": [{ "containerPort": 80, "hostPort": 0 }],
                    "environment": [{ "name": "KEY", "value": "k" }, { "name": "LEVEL", "value": "debug" }],
                    "logConfiguration": {
                        "logDriver": "awslogs", "options": { "awslogs-group": "/api", "awslogs-create-group": "true" }
                    }
                }]
            })
        );
        assert_eq!(adapted.missing_secrets, ["PASSWORD"]);
        assert_eq!(adapted.notes, ["volume data is an empty one here", "`environmentFiles` of app is left out"]);
    }

    #[test]
    fn nobody_waits_for_a_container_that_is_left_out() {
        let definition = json!({ "containerDefinitions": [
            { "name": "app", "dependsOn": [{ "containerName": "agent", "condition": "START" },
              { "containerName": "init", "condition": "SUCCESS" }], "links": ["agent:a", "init"],
              "volumesFrom": [{ "sourceContainer": "agent" }] },
            { "name": "agent" }, { "name": "init" }
        ] });
        let left = without(&definition, &["agent"]);
        assert_eq!(
            left,
            json!({ "containerDefinitions": [
                { "name": "app", "dependsOn": [{ "containerName": "init", "condition": "SUCCESS" }],
                  "links": ["init"], "volumesFrom": [] },
                { "name": "init" }
            ] })
        );
    }

    #[test]
    fn another_log_driver_is_not_run() {
        let container = json!({ "name": "app", "logConfiguration": { "logDriver": "awsfirelens" } });
        let definition = json!({ "networkMode": "awsvpc", "containerDefinitions": [container] });
        let adapted = adapt(&definition, &BTreeMap::new());
        assert_eq!(adapted.notes, ["log driver awsfirelens of app is not run"]);
        assert!(adapted.definition["containerDefinitions"][0].get("logConfiguration").is_none());
    }
}
