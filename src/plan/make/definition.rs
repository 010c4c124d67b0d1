//! What will be registered, but for its image: what runs now, a file's content, or what the sandbox makes up.

use serde_json::{Value, json};

use super::service::containers;
use crate::{
    config::spec::{Place, SandboxService, Service, TaskDefinitionSource},
    id::Key,
    image::Reference,
    plan::{
        diff::{self, ORIGIN_SANDBOX, TAG_IMAGE, TAG_ORIGIN, TAG_SERVICE, TAG_TARGET},
        drift,
        observed::{Observed, ServiceActive},
        refusal::Refusal,
    },
};

/// What will be registered but for its images, and the tags beside it.
pub(super) fn base_definition(
    place: &Place,
    observed: &Observed,
    key: &Key,
    service: &Service,
    image: &Reference,
    live: Option<&ServiceActive>,
    refusals: &mut Vec<Refusal>,
) -> Option<(Value, Vec<(String, String)>)> {
    let live_tags = || live.map(|live| live.tags.clone()).unwrap_or_default();
    let (base, tags, file) = match (&service.task_definition, live) {
        (TaskDefinitionSource::File(path), _) => {
            let Some(content) = observed.task_definition_files.get(path) else {
                refusals.push(Refusal::FileUnread { service: key.clone(), file: path.clone() });
                return None;
            };
            let (mut base, tags) = from_file(content);
            if let Value::Object(members) = &mut base
                && !members.contains_key("family")
            {
                let family = live.map_or_else(|| family_name(key), |live| live.task_definition.family().to_owned());
                members.insert("family".to_owned(), Value::String(family));
            }
            (base, tags.unwrap_or_else(live_tags), Some(path.clone()))
        }
        // What was made up here is made up again, so that a change of `[sandbox]` arrives; what somebody
        // registered by hand in the sandbox is cloned, as on AWS.
        (TaskDefinitionSource::Live, Some(live)) if *place == Place::Aws || !is_made_up(live) => {
            (live.definition.clone(), live.tags.clone(), None)
        }
        (TaskDefinitionSource::Live, _) => (made_up(observed, key, service, image), live_tags(), None),
    };
    let made_up = is_to_make_up(place, service, live);
    if containers(&base).is_empty() {
        refusals.push(Refusal::NoContainers { service: key.clone(), file });
        return None;
    }
    let target = drift::target(&service.cluster, &service.service);
    let tag = image.tag.as_ref().map_or("", |tag| tag.as_str());
    let mut ours = vec![(TAG_IMAGE, tag), (TAG_SERVICE, key.as_str()), (TAG_TARGET, target.as_str())];
    if made_up {
        ours.push((TAG_ORIGIN, ORIGIN_SANDBOX));
    }
    Some((diff::register_input(&base, &[]), diff::tags_with_ours(&tags, &ours)))
}

/// Whether the definition is one that only the sandbox knows.
pub(super) fn is_to_make_up(place: &Place, service: &Service, live: Option<&ServiceActive>) -> bool {
    *place == Place::Sandbox && service.task_definition == TaskDefinitionSource::Live && live.is_none_or(is_made_up)
}

fn is_made_up(live: &ServiceActive) -> bool {
    live.tags.iter().any(|(key, value)| key == TAG_ORIGIN && value == ORIGIN_SANDBOX)
}

/// A file holds what `register-task-definition` takes, or what `describe-task-definition` printed.
fn from_file(content: &Value) -> (Value, Option<Vec<(String, String)>>) {
    let base = match content.get("taskDefinition") {
        Some(inner @ Value::Object(_)) => inner.clone(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | None => {
            content.clone()
        }
    };
    let tags = content.get("tags").and_then(Value::as_array).map(|tags| {
        let text = |tag: &Value, name: &str| tag.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        tags.iter().map(|tag| (text(tag, "key"), text(tag, "value"))).collect()
    });
    (base, tags)
}

/// The task definition of a service that only the sandbox knows.
fn made_up(observed: &Observed, key: &Key, service: &Service, image: &Reference) -> Value {
    let settings = &service.sandbox;
    let container = service.container.as_deref().map_or_else(|| family_name(key), str::to_owned);
    let environment: Vec<_> =
        settings.environment.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let mut made = json!({
        "family": family_name(key),
        "networkMode": "bridge",
        "requiresCompatibilities": ["EC2"],
        "cpu": settings.cpu,
        "memory": settings.memory,
        "containerDefinitions": [{
            "name": container,
            "image": image.to_string(),
            "essential": true,
            "portMappings": [{ "containerPort": settings.container_port, "hostPort": 0, "protocol": "tcp" }],
            "environment": environment,
            // Whole seconds; the agent's minimum is 1.
            "stopTimeout": ceil_seconds(settings).max(1),
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": format!("/ecs/{}", service.service),
                    "awslogs-create-group": "true",
                    "awslogs-region": observed.region,
                    "awslogs-stream-prefix": "ship",
                },
            },
        }],
    });
    // Without one ECS takes no secrets; in the sandbox any will do.
    if !service.overlays.secrets.is_empty() {
        made["executionRoleArn"] = json!(format!("arn:aws:iam::{}:role/sandbox", observed.account));
    }
    made
}

fn ceil_seconds(settings: &SandboxService) -> u64 {
    settings.stop_timeout.as_secs() + u64::from(settings.stop_timeout.subsec_nanos() > 0)
}

/// Letters, digits, `-` and `_`: what a family and a container may be called.
fn family_name(key: &Key) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    key.as_str().chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect()
}

pub(super) fn container_for(key: &Key, service: &Service, base: &Value, refusals: &mut Vec<Refusal>) -> Option<String> {
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    let all: Vec<_> = containers(base).iter().map(name).collect();
    if let Some(wanted) = &service.container {
        if all.contains(wanted) {
            return Some(wanted.clone());
        }
        refusals.push(Refusal::ContainerNotFound { service: key.clone(), wanted: wanted.clone(), containers: all });
        return None;
    }
    // A container that does not say is essential.
    let is_essential = |container: &&Value| container.get("essential").and_then(Value::as_bool).unwrap_or(true);
    let mut essential: Vec<_> = containers(base).iter().filter(is_essential).map(name).collect();
    if essential.len() == 1 {
        return essential.pop();
    }
    refusals.push(Refusal::ContainerUnclear { service: key.clone(), containers: essential });
    None
}
