//! Task definitions: raw JSON values, filled in as AWS fills them in, never known field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::{Fault, Millis, Place};
use super::input::{client, flag, includes, list, page, put, seconds, strings, text};

/// All revisions of one family. Revisions are never used again, so `latest` outlives them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Family {
    latest: u32,
    revisions: BTreeMap<u32, Definition>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// What `DescribeTaskDefinition` shows.
    pub(crate) shown: Value,
    tags: Vec<Value>,
}

impl Definition {
    pub(super) fn arn(&self) -> &str {
        text(&self.shown, "taskDefinitionArn").unwrap_or_default()
    }

    pub(super) fn tags(&self) -> &[Value] {
        &self.tags
    }

    pub(super) fn is_active(&self) -> bool {
        text(&self.shown, "status") == Some("ACTIVE")
    }

    pub(crate) fn containers(&self) -> &[Value] {
        list(&self.shown, "containerDefinitions")
    }

    /// The role that ECS assumes for the task: to start it, else the task's own.
    pub(super) fn role(&self) -> &str {
        let role = text(&self.shown, "executionRoleArn").or_else(|| text(&self.shown, "taskRoleArn"));
        // A definition without any has none to be refused; where a scenario wants it all the same, that of the tutorials.
        role.unwrap_or("arn:aws:iam::000000000000:role/ecsTaskExecutionRole")
    }

    /// Whether an essential container brings a health check of its own.
    pub(super) fn has_health_check(&self) -> bool {
        self.containers().iter().any(|container| is_essential(container) && container.get("healthCheck").is_some())
    }
}

pub(crate) fn is_essential(container: &Value) -> bool {
    flag(container, "essential").unwrap_or(true)
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Definitions(BTreeMap<String, Family>);

impl Definitions {
    /// By ARN, `family:revision`, or `family` for its latest active revision.
    pub(super) fn find(&self, reference: &str) -> Option<&Definition> {
        let name = match reference.split_once(":task-definition/") {
            Some((_, name)) => name,
            None => reference,
        };
        match name.split_once(':') {
            Some((family, revision)) => self.0.get(family)?.revisions.get(&revision.parse().ok()?),
            None => self.0.get(name)?.revisions.values().rev().find(|definition| definition.is_active()),
        }
    }

    fn find_mut(&mut self, reference: &str) -> Option<&mut Definition> {
        let arn = self.find(reference)?.arn().to_owned();
        let (family, revision) = arn.rsplit_once('/')?.1.split_once(':')?;
        self.0.get_mut(family)?.revisions.get_mut(&revision.parse().ok()?)
    }

    pub(super) fn tags_mut(&mut self, arn: &str) -> Option<&mut Vec<Value>> {
        self.find_mut(arn).map(|definition| &mut definition.tags)
    }

    pub(super) fn register(&mut self, place: &Place, input: &Value, now: Millis) -> Result<Value, Fault> {
        let Place { account, region, authority: _ } = place;
        let family = text(input, "family").ok_or_else(|| client("Family should not be null or empty."))?;
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if family.len() > 255 || !family.chars().all(legal) {
            return Err(client("Family contains invalid characters."));
        }
        let mut shown = filled(input)?;
        let entry = self.0.entry(family.to_owned()).or_default();
        let revision = entry.latest + 1;
        let tags = list(input, "tags").to_vec();
        shown.insert(
            "taskDefinitionArn".to_owned(),
            json!(format!("arn:aws:ecs:{region}:{account}:task-definition/{family}:{revision}")),
        );
        shown.insert("revision".to_owned(), json!(revision));
        shown.insert("status".to_owned(), json!("ACTIVE"));
        shown.insert("registeredAt".to_owned(), seconds(now));
        shown.insert("registeredBy".to_owned(), json!(format!("arn:aws:iam::{account}:root")));
        let definition = Definition { shown: Value::Object(shown), tags };
        let mut answer = Map::new();
        answer.insert("taskDefinition".to_owned(), definition.shown.clone());
        put(&mut answer, "tags", (!definition.tags.is_empty()).then(|| definition.tags.clone()));
        entry.latest = revision;
        entry.revisions.insert(revision, definition);
        Ok(Value::Object(answer))
    }

    pub(super) fn describe(&self, input: &Value) -> Result<Value, Fault> {
        let reference =
            text(input, "taskDefinition").ok_or_else(|| client("TaskDefinition should not be null or empty."))?;
        check_revision(reference)?;
        let definition = self.find(reference).ok_or_else(|| client("Unable to describe task definition."))?;
        let mut answer = Map::new();
        answer.insert("taskDefinition".to_owned(), definition.shown.clone());
        if includes(input, "TAGS") {
            answer.insert("tags".to_owned(), Value::Array(definition.tags.clone()));
        }
        Ok(Value::Object(answer))
    }

    pub(super) fn deregister(&mut self, input: &Value, now: Millis) -> Result<Value, Fault> {
        let reference =
            text(input, "taskDefinition").ok_or_else(|| client("TaskDefinition should not be null or empty."))?;
        check_revision(reference)?;
        // "You must specify a revision": the service says so for a bare family.
        if !reference.rsplit('/').next().unwrap_or(reference).contains(':') {
            return Err(client("Revision is missing."));
        }
        let definition =
            self.find_mut(reference).ok_or_else(|| client("The specified task definition does not exist."))?;
        if let Some(shown) = definition.shown.as_object_mut() {
            shown.insert("status".to_owned(), json!("INACTIVE"));
            shown.insert("deregisteredAt".to_owned(), seconds(now));
        }
        Ok(json!({ "taskDefinition": definition.shown }))
    }

    /// INACTIVE revisions become `DELETE_IN_PROGRESS`; active ones are a failure each.
    pub(super) fn delete(&mut self, input: &Value, now: Millis) -> Result<Value, Fault> {
        let references = strings(input, "taskDefinitions");
        if references.is_empty() || references.len() > 10 {
            return Err(invalid_delete(references.len()));
        }
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        for reference in references {
            match self.find_mut(reference) {
                None => failures.push(json!({
                    "arn": reference, "reason": "TASK_DEFINITION_NOT_FOUND",
                    "detail": "The specified task definition was not found."
                })),
                Some(definition) if definition.is_active() => failures.push(json!({
                    "arn": definition.arn(), "reason": "TASK_DEFINITION_IS_ACTIVE",
                    "detail": "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
                })),
                Some(definition) => {
                    if let Some(shown) = definition.shown.as_object_mut() {
                        shown.insert("status".to_owned(), json!("DELETE_IN_PROGRESS"));
                        shown.insert("deleteRequestedAt".to_owned(), seconds(now));
                    }
                    deleted.push(definition.shown.clone());
                }
            }
        }
        Ok(json!({ "taskDefinitions": deleted, "failures": failures }))
    }

    pub(super) fn list(&self, input: &Value) -> Result<Value, Fault> {
        let status = text(input, "status").unwrap_or("ACTIVE");
        let mut arns: Vec<Value> = self
            .0
            .iter()
            .filter(|(family, _)| text(input, "familyPrefix").is_none_or(|asked| *family == asked))
            .flat_map(|(_, family)| family.revisions.values())
            .filter(|definition| text(&definition.shown, "status") == Some(status))
            .map(|definition| json!(definition.arn()))
            .collect();
        if text(input, "sort") == Some("DESC") {
            arns.reverse();
        }
        page(input, arns, 100, "taskDefinitionArns")
    }

    pub(super) fn families(&self, input: &Value) -> Result<Value, Fault> {
        let status = text(input, "status").unwrap_or("ALL");
        let families = self
            .0
            .iter()
            .filter(|(name, _)| text(input, "familyPrefix").is_none_or(|prefix| name.starts_with(prefix)))
            .filter(|(_, family)| match status {
                "ACTIVE" => family.revisions.values().any(Definition::is_active),
                "INACTIVE" => !family.revisions.values().any(Definition::is_active),
                _ => true,
            })
            .map(|(name, _)| json!(name))
            .collect();
        page(input, families, 100, "families")
    }
}

fn invalid_delete(count: usize) -> Fault {
    if count == 0 {
        client("Task definitions should not be null or empty.")
    } else {
        client("The number of task definitions to delete cannot exceed 10.")
    }
}

/// The real refusal: `Invalid revision number. Number: abc`.
fn check_revision(reference: &str) -> Result<(), Fault> {
    let name = reference.split_once(":task-definition/").map_or(reference, |(_, name)| name);
    match name.split_once(':') {
        Some((_, revision)) if revision.parse::<u32>().is_err() => {
            Err(client(format!("Invalid revision number. Number: {revision}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// What AWS adds to a definition; what it does not know it keeps.
fn filled(input: &Value) -> Result<Map<String, Value>, Fault> {
    let containers = list(input, "containerDefinitions");
    if containers.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    let mut shown = input.as_object().cloned().unwrap_or_default();
    shown.remove("tags");
    shown.retain(|_, value| !value.is_null());
    for (size, unit) in [("cpu", "vcpu"), ("memory", "gb")] {
        if let Some(value) = text(input, size) {
            shown.insert(size.to_owned(), json!(units(value, unit)));
        }
    }
    let fargate = strings(input, "requiresCompatibilities").contains(&"FARGATE");
    let awsvpc = text(input, "networkMode") == Some("awsvpc");
    if fargate {
        for size in ["cpu", "memory"] {
            if text(input, size).is_none() {
                return Err(client(format!("Fargate requires that '{size}' be defined at the task level.")));
            }
        }
        if !awsvpc {
            return Err(client("Fargate only supports network mode ‘awsvpc’."));
        }
    }
    let mut seen = Vec::new();
    let mut out = Vec::new();
    for container in containers {
        let name = text(container, "name").ok_or_else(|| client("Container.name should not be null or empty."))?;
        text(container, "image").ok_or_else(|| client("Container.image should not be null or empty."))?;
        let sized = container.get("memory").is_some() || container.get("memoryReservation").is_some();
        if !sized && text(input, "memory").is_none() {
            return Err(client(format!(
                "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
            )));
        }
        if seen.contains(&name) {
            return Err(client(format!("Duplicate container name '{name}' in the task definition.")));
        }
        seen.push(name);
        out.push(filled_container(container, awsvpc));
    }
    if !containers.iter().any(is_essential) {
        return Err(client("A task definition must have at least one essential container."));
    }
    check_dependencies(containers)?;
    check_secrets(containers, text(input, "executionRoleArn"))?;
    shown.insert("containerDefinitions".to_owned(), Value::Array(out));
    for empty in ["volumes", "placementConstraints", "requiresAttributes"] {
        shown.entry(empty).or_insert_with(|| json!([]));
    }
    let sized = text(input, "cpu").is_some() && text(input, "memory").is_some();
    let compatibilities = if fargate || (awsvpc && sized) { json!(["EC2", "FARGATE"]) } else { json!(["EC2"]) };
    shown.insert("compatibilities".to_owned(), compatibilities);
    Ok(shown)
}

/// `secrets` are read with the execution role, and share their names with no other variable. The refusals are the real ones.
fn check_secrets(containers: &[Value], execution_role: Option<&str>) -> Result<(), Fault> {
    for container in containers {
        let mut names: Vec<&str> =
            list(container, "environment").iter().filter_map(|pair| text(pair, "name")).collect();
        for secret in list(container, "secrets") {
            let name = text(secret, "name").ok_or_else(|| client("Secret name should not be null or empty."))?;
            text(secret, "valueFrom").ok_or_else(|| client("Secret valueFrom should not be null or empty."))?;
            if names.contains(&name) {
                return Err(client(format!(
                    "The secret name must be unique and not shared with any new or existing environment variables set on the \
                     container, such as '{name}'."
                )));
            }
            names.push(name);
            if execution_role.is_none() {
                return Err(client(
                    "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
                ));
            }
        }
    }
    Ok(())
}

/// `dependsOn` must lead somewhere, and not back.
fn check_dependencies(containers: &[Value]) -> Result<(), Fault> {
    let name = |container: &Value| text(container, "name").unwrap_or_default().to_owned();
    let mut left: Vec<&Value> = containers.iter().collect();
    for container in containers {
        for dependency in list(container, "dependsOn") {
            let on = text(dependency, "containerName").unwrap_or_default();
            let Some(other) = containers.iter().find(|other| name(other) == on) else {
                return Err(client(format!(
                    "The container '{}' depends on the container '{on}', which the task definition does not have.",
                    name(container)
                )));
            };
            match text(dependency, "condition") {
                // The real refusal, word for word.
                Some("COMPLETE" | "SUCCESS") if is_essential(other) => {
                    return Err(client(
                        "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
                    ));
                }
                Some("HEALTHY") if other.get("healthCheck").is_none_or(Value::is_null) => {
                    return Err(client(format!(
                        "The container '{on}' has no healthCheck, which the dependency condition HEALTHY needs."
                    )));
                }
                Some("START" | "COMPLETE" | "SUCCESS" | "HEALTHY") => {}
                other => {
                    return Err(client(format!("Invalid dependency condition {}.", other.unwrap_or_default())));
                }
            }
        }
    }
    // Whoever depends on nobody that is left can go; if nobody can, it is a circle.
    loop {
        let waits = |container: &Value| {
            let mut on = list(container, "dependsOn").iter().filter_map(|one| text(one, "containerName"));
            on.any(|on| left.iter().any(|other| name(other) == on))
        };
        let still: Vec<&Value> = left.iter().copied().filter(|container| waits(container)).collect();
        if still.is_empty() {
            return Ok(());
        }
        if still.len() == left.len() {
            return Err(client("The dependencies of the containers form a circle."));
        }
        left = still;
    }
}

fn filled_container(container: &Value, awsvpc: bool) -> Value {
    let mut filled = container.as_object().cloned().unwrap_or_default();
    filled.retain(|_, value| !value.is_null());
    filled.entry("cpu").or_insert_with(|| json!(0));
    filled.entry("essential").or_insert_with(|| json!(true));
    for empty in ["portMappings", "environment", "mountPoints", "volumesFrom", "systemControls"] {
        filled.entry(empty).or_insert_with(|| json!([]));
    }
    for mapping in filled.get_mut("portMappings").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(mapping) = mapping.as_object_mut() {
            let port = mapping.get("containerPort").cloned().unwrap_or_else(|| json!(0));
            let host = if awsvpc { port } else { json!(0) };
            mapping.entry("hostPort").or_insert(host);
            mapping.entry("protocol").or_insert_with(|| json!("tcp"));
        }
    }
    // The ranges' defaults: interval 30, timeout 5, retries 3 (botocore `HealthCheck`).
    if let Some(check) = filled.get_mut("healthCheck").and_then(Value::as_object_mut) {
        for (member, default) in [("interval", 30), ("timeout", 5), ("retries", 3)] {
            check.entry(member).or_insert_with(|| json!(default));
        }
    }
    Value::Object(filled)
}

/// `"1 vCPU"` is `"1024"`, `".5 GB"` is `"512"`, `"256"` is itself.
fn units(value: &str, unit: &str) -> String {
    let lower = value.trim().to_ascii_lowercase();
    let Some(number) = lower.strip_suffix(unit) else { return value.trim().to_owned() };
    number.trim().parse::<f64>().map_or_else(|_| value.to_owned(), |number| (number * 1024.0).round().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:4517".into() }
    }

    fn minimal() -> Value {
        json!({ "family": "web", "containerDefinitions": [{ "name": "app", "image": "a", "memory": 64, "portMappings": [{ "containerPort": 80 }] }] })
    }

    #[test]
    fn aws_fills_in_and_keeps_what_it_does_not_know() {
        let mut input = minimal();
        input["newerThanUs"] = json!({ "weight": 1.50 });
        input["containerDefinitions"][0]["alsoNew"] = json!([1, 2]);
        let mut all = Definitions::default();
        let answer = all.register(&place(), &input, 1_790_000_000_125).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&answer).unwrap(), @r#"
        {
          "taskDefinition": {
            "family": "web",
            "containerDefinitions": [
              {
                "name": "app",
                "image": "a",
                "memory": 64,
                "portMappings": [
                  {
                    "containerPort": 80,
                    "hostPort": 0,
                    "protocol": "tcp"
                  }
                ],
                "alsoNew": [
                  1,
                  2
                ],
                "cpu": 0,
                "essential": true,
                "environment": [],
                "mountPoints": [],
                "volumesFrom": [],
                "systemControls": []
              }
            ],
            "newerThanUs": {
              "weight": 1.5
            },
            "volumes": [],
            "placementConstraints": [],
            "requiresAttributes": [],
            "compatibilities": [
              "EC2"
            ],
            "taskDefinitionArn": "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1",
            "revision": 1,
            "status": "ACTIVE",
            "registeredAt": 1790000000.125,
            "registeredBy": "arn:aws:iam::000000000000:root"
          }
        }
        "#);
    }

    #[test]
    fn references_find_the_revision_they_name() {
        let mut all = Definitions::default();
        for _ in 0..3 {
            all.register(&place(), &minimal(), 0).unwrap();
        }
        all.deregister(&json!({ "taskDefinition": "web:3" }), 5).unwrap();
        let revision = |reference: &str| all.find(reference).map(|d| d.shown["revision"].clone());
        assert_eq!(revision("web"), Some(json!(2)));
        assert_eq!(revision("web:3"), Some(json!(3)));
        assert_eq!(revision("arn:aws:ecs:us-east-1:000000000000:task-definition/web:1"), Some(json!(1)));
        assert_eq!(revision("web:9"), None);
        assert_eq!(revision("other"), None);
        // Revisions are never used again.
        let fourth = all.register(&place(), &minimal(), 0).unwrap();
        assert_eq!(fourth["taskDefinition"]["revision"], json!(4));
    }

    /// A container `x` that depends on another, and a container `y`.
    fn depending(dependency: &Value, more: &Value) -> Value {
        let mut second = json!({ "name": "y", "image": "i", "memory": 4 });
        second.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "family": "a", "containerDefinitions": [
            { "name": "x", "image": "i", "memory": 4, "dependsOn": [dependency] }, second
        ] })
    }

    #[test]
    fn refusals_are_the_services_own() {
        let mut all = Definitions::default();
        for (input, message) in [
            (json!({}), "Family should not be null or empty."),
            (json!({ "family": "a b" }), "Family contains invalid characters."),
            (json!({ "family": "a" }), "Container list cannot be empty."),
            (
                json!({ "family": "a", "containerDefinitions": [{ "name": "x", "image": "i" }] }),
                "Invalid setting for container 'x'. At least one of 'memory' or 'memoryReservation' must be specified.",
            ),
            (
                json!({ "family": "a", "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [{ "name": "x", "image": "i" }] }),
                "Fargate requires that 'cpu' be defined at the task level.",
            ),
            (
                depending(&json!({ "containerName": "y", "condition": "SUCCESS" }), &json!({})),
                "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
            ),
            (
                depending(&json!({ "containerName": "y", "condition": "HEALTHY" }), &json!({})),
                "The container 'y' has no healthCheck, which the dependency condition HEALTHY needs.",
            ),
            (
                depending(
                    &json!({ "containerName": "y", "condition": "START" }),
                    &json!({ "dependsOn": [{ "containerName": "x", "condition": "START" }] }),
                ),
                "The dependencies of the containers form a circle.",
            ),
            (
                depending(&json!({ "containerName": "z", "condition": "START" }), &json!({})),
                "The container 'x' depends on the container 'z', which the task definition does not have.",
            ),
            (
                json!({ "family": "a", "executionRoleArn": "r", "containerDefinitions": [{ "name": "x", "image": "i", "memory": 4,
                    "environment": [{ "name": "A", "value": "1" }], "secrets": [{ "name": "A", "valueFrom": "/a" }] }] }),
                "The secret name must be unique and not shared with any new or existing environment variables set on the \
                 container, such as 'A'.",
            ),
            (
                json!({ "family": "a", "containerDefinitions": [{ "name": "x", "image": "i", "memory": 4,
                    "secrets": [{ "name": "A", "valueFrom": "/a" }] }] }),
                "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
            ),
        ] {
            let fault = all.register(&place(), &input, 0).unwrap_err();
            assert_eq!((fault.code.as_str(), fault.message.as_str()), ("ClientException", message));
        }
        let fault = all.describe(&json!({ "taskDefinition": "web:x" })).unwrap_err();
        assert_eq!(fault.message, "Invalid revision number. Number: x");
        let fault = all.describe(&json!({ "taskDefinition": "web" })).unwrap_err();
        assert_eq!(fault.message, "Unable to describe task definition.");
    }

    #[test]
    fn sizes_become_units() {
        for (value, unit, expected) in
            [("1 vCPU", "vcpu", "1024"), (".25 vcpu", "vcpu", "256"), ("0.5GB", "gb", "512"), ("256", "vcpu", "256")]
        {
            assert_eq!(units(value, unit), expected);
        }
    }
}
