//! Two task definitions compared: what is only AWS's book-keeping is put aside, what AWS fills in is
//! filled in on both sides, and what is left is told in ECS's own words.
//!
//! Everything here works on JSON values with a deny-list. A typed struct would drop the members it does
//! not know, and with them a setting that somebody relies on.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};

use crate::secret::{self, MASK};

/// What only `DescribeTaskDefinition` answers and `RegisterTaskDefinition` does not take.
const ONLY_ANSWERED: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// ECS takes at most 50 tags on a resource.
const MOST_TAGS: usize = 50;

/// The tag that says which build a revision was registered for.
pub const TAG_IMAGE: &str = "docker-ecs-ship:image-tag";
/// The tag that says which service of `ship.toml` a revision was registered for.
pub const TAG_SERVICE: &str = "docker-ecs-ship:service";
/// The tag that says which service of which cluster a revision was registered for, `jobs/jobs-api`.
pub const TAG_TARGET: &str = "docker-ecs-ship:target";
/// The tag that says what a revision was when it was registered: see [`super::drift`].
pub const TAG_FINGERPRINT: &str = "docker-ecs-ship:fingerprint";
/// What every tag of ours begins with.
const OURS: &str = "docker-ecs-ship:";
/// The tag on definitions that were made up for the sandbox, so that the next deploy makes them up
/// again instead of cloning them.
pub const TAG_ORIGIN: &str = "docker-ecs-ship:definition";
/// The value of [`TAG_ORIGIN`].
pub const ORIGIN_SANDBOX: &str = "sandbox";

/// The body of `RegisterTaskDefinition` that registers `base` again, with its tags.
#[must_use]
pub fn register_input(base: &Value, tags: &[(String, String)]) -> Value {
    let mut input = base.clone();
    if let Value::Object(members) = &mut input {
        for name in ONLY_ANSWERED {
            // `remove` would move the last member into the gap; order is part of what is preserved.
            members.shift_remove(name);
        }
        // `tags` stand beside the definition in AWS's answer and inside it in a file.
        members.shift_remove("tags");
        if !tags.is_empty() {
            let tags = tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
            members.insert("tags".to_owned(), Value::Array(tags));
        }
    }
    input
}

/// The tags of the revision before, without those nobody may set, and with ours.
///
/// ECS's rules: at most 50; the prefix `aws:` is reserved, and a request that carries one (a definition
/// that `CloudFormation` made has three) is refused. Where there is no room for ours, theirs stay.
#[must_use]
pub fn tags_with_ours(before: &[(String, String)], ours: &[(&str, &str)]) -> Vec<(String, String)> {
    let reserved = |key: &str| key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"));
    // Of all ours, also those that are not written again: what was true of another revision is not of this one.
    let is_ours = |key: &str| key.starts_with(OURS);
    let mut tags: Vec<_> =
        before.iter().filter(|(key, _)| !reserved(key) && !is_ours(key)).take(MOST_TAGS).cloned().collect();
    for (key, value) in ours {
        tags = with_tag(tags, key, value);
    }
    tags
}

/// With one tag more, where there is room for it.
#[must_use]
pub fn with_tag(mut tags: Vec<(String, String)>, key: &str, value: &str) -> Vec<(String, String)> {
    if tags.len() < MOST_TAGS {
        tags.push((key.to_owned(), tag_value(value)));
    }
    tags
}

/// The tags that belong to a task definition whoever registers it, without ours and AWS's.
#[must_use]
pub fn tags_of_others(tags: &[(String, String)]) -> Vec<(String, String)> {
    tags_with_ours(tags, &[])
}

/// Letters, digits, spaces and `+ - = . _ : / @`, at most 256 of them: what a tag's value may hold.
#[must_use]
pub fn tag_value(text: &str) -> String {
    let allowed = |letter: char| letter.is_alphanumeric() || " +-=._:/@".contains(letter);
    text.chars().map(|letter| if allowed(letter) { letter } else { '_' }).take(256).collect()
}

/// Whether registering `b` where `a` is live would change nothing but the revision's number.
///
/// ECS itself never compares: registering the same again makes a new revision, and updating to it
/// replaces every task.
#[must_use]
pub fn equal(a: &Value, b: &Value) -> bool {
    normalise(a) == normalise(b)
}

/// A task definition in the one form in which equal ones are the same value.
#[must_use]
pub fn normalise(definition: &Value) -> Value {
    let mut definition = definition.clone();
    let Value::Object(members) = &mut definition else { return definition };
    for name in ONLY_ANSWERED.iter().chain(&["tags"]) {
        members.shift_remove(*name);
    }
    units(members, "cpu", "vcpu");
    units(members, "memory", "gb");
    // Not echoed by ECS when it was not given; `bridge` is what that means on Linux.
    default(members, "networkMode", &json!("bridge"));
    drop_if(members, "enableFaultInjection", &json!(false));
    let network_mode = members.get("networkMode").and_then(Value::as_str).unwrap_or_default().to_owned();
    for container in objects(members, "containerDefinitions") {
        normalise_container(container, &network_mode);
    }
    for volume in objects(members, "volumes") {
        if let Some(Value::Object(efs)) = volume.get_mut("efsVolumeConfiguration") {
            default(efs, "rootDirectory", &json!("/"));
        }
    }
    prune(&mut definition);
    sort(&mut definition, "");
    definition
}

/// Fills in what recordings of real answers show that AWS fills in.
fn normalise_container(container: &mut Map<String, Value>, network_mode: &str) {
    default(container, "cpu", &json!(0));
    default(container, "essential", &json!(true));
    for name in ["readonlyRootFilesystem", "privileged", "interactive", "pseudoTerminal", "disableNetworking"] {
        drop_if(container, name, &json!(false));
    }
    for port in objects(container, "portMappings") {
        default(port, "protocol", &json!("tcp"));
        if let Some(container_port) = port.get("containerPort").cloned() {
            // `awsvpc` and `host` have no port but the container's own; in `bridge` 0 asks for any.
            let own = matches!(network_mode, "awsvpc" | "host");
            default(port, "hostPort", &if own { container_port } else { Value::from(0) });
        }
    }
    for name in ["mountPoints", "volumesFrom"] {
        for mount in objects(container, name) {
            drop_if(mount, "readOnly", &json!(false));
        }
    }
    if let Some(Value::Object(check)) = container.get_mut("healthCheck") {
        default(check, "interval", &json!(30));
        default(check, "timeout", &json!(5));
        default(check, "retries", &json!(3));
    }
}

/// The objects in the list `name`.
fn objects<'a>(members: &'a mut Map<String, Value>, name: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    members.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn default(members: &mut Map<String, Value>, name: &str, value: &Value) {
    if members.get(name).is_none_or(Value::is_null) {
        members.insert(name.to_owned(), value.clone());
    }
}

fn drop_if(members: &mut Map<String, Value>, name: &str, value: &Value) {
    if members.get(name) == Some(value) {
        members.shift_remove(name);
    }
}

/// `"1 vCPU"`, `"0.5 vCPU"` and `"1 GB"` become `"1024"`, `"512"` and `"1024"`, as AWS answers them.
fn units(members: &mut Map<String, Value>, name: &str, unit: &str) {
    let Some(value) = members.get_mut(name) else { return };
    let text = match value {
        Value::String(text) => text.trim().to_ascii_lowercase(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return,
    };
    let text = match text.strip_suffix(unit).map(str::trim).and_then(thousandths) {
        // 1,024 CPU units or mebibytes to one; thousandths are enough for the smallest, `.25 vCPU`.
        Some(thousandths) => (thousandths.saturating_mul(1024) / 1000).to_string(),
        None => text,
    };
    *value = Value::String(text);
}

/// `1.5` as 1500, without going through a float.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = if fraction.is_empty() { 0 } else { format!("{fraction:0<3}").parse().ok()? };
    whole.checked_mul(1000)?.checked_add(fraction)
}

/// Drops members that are null or empty: AWS answers `[]` where nothing was given.
fn prune(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(prune);
            members.retain(|_, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What tells the entries of a list apart whose order means nothing; `None` where order matters
/// (`command`, `environmentFiles`, where the first wins) or is not known to mean nothing.
fn names_of(list: &str) -> Option<&'static [&'static str]> {
    Some(match list {
        "containerDefinitions" | "volumes" | "environment" | "secrets" | "ulimits" | "secretOptions" | "properties" => {
            &["name"]
        }
        "mountPoints" => &["containerPath"],
        "portMappings" => &["containerPort", "containerPortRange", "protocol"],
        "volumesFrom" => &["sourceContainer"],
        "dependsOn" => &["containerName"],
        "systemControls" => &["namespace"],
        "resourceRequirements" => &["type"],
        "placementConstraints" => &["type", "expression"],
        "inferenceAccelerators" => &["deviceName"],
        // Plain words.
        "requiresCompatibilities" => &[],
        _ => return None,
    })
}

/// `LOG_LEVEL`, `8080/tcp`: what an entry of the list `list` is called, if its entries have names.
fn name_in(list: &str, entry: &Value) -> Option<String> {
    let keys = names_of(list)?;
    match entry {
        Value::String(word) if keys.is_empty() => Some(word.clone()),
        Value::Object(members) => {
            let parts: Vec<_> = keys.iter().filter_map(|key| members.get(*key)).map(text_of).collect();
            (!parts.is_empty()).then(|| parts.join("/"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

fn sort(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                sort(member, name);
            }
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                sort(item, "");
            }
            if names_of(name).is_some() {
                items.sort_by_cached_key(|item| (name_in(name, item), item.to_string()));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// One thing that differs, `containerDefinitions[web].image: a → b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In ECS's words, with the name of an entry in brackets where it has one.
    pub path: String,
    pub change: Change,
}

/// Values are ready to be shown: what looks like a secret is `****` already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Added(String),
    Removed(String),
    Changed { from: String, to: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.change {
            Change::Added(value) => write!(formatter, "{path}: added {value}"),
            Change::Removed(value) => write!(formatter, "{path}: removed {value}"),
            Change::Changed { from, to } => write!(formatter, "{path}: {from} → {to}"),
        }
    }
}

/// What `new` would change of `live`, in the order of `live`.
#[must_use]
pub fn differences(live: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&Place::default(), Some(&normalise(live)), Some(&normalise(new)), &mut found);
    found
}

/// Where in the definition a value stands.
#[derive(Debug, Clone, Default)]
struct Place {
    path: String,
    /// The member's name, or the entry's where it has one: what tells whether a secret is near.
    name: String,
    /// The list or object around it.
    around: String,
}

impl Place {
    fn member(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { path, name: name.to_owned(), around: self.name.clone() }
    }

    fn entry(&self, name: &str) -> Self {
        Self { path: format!("{}[{name}]", self.path), name: name.to_owned(), around: self.name.clone() }
    }

    /// `environment[A]` stands for the value of A.
    fn is_named_value(&self, value: &Value) -> bool {
        self.around == "environment"
            && value.as_object().is_some_and(|members| members.keys().all(|key| key == "name" || key == "value"))
    }

    fn shown(&self, value: &Value) -> String {
        if self.is_named_value(value) {
            return match value.get("value") {
                Some(text) if looks_secret(&self.name, text.as_str().unwrap_or_default()) => MASK.to_owned(),
                Some(text) => text_of(text),
                None => String::new(),
            };
        }
        // A place where a secret is kept is not the secret.
        let mut value = value.clone();
        mask(&mut value, if self.around == "secrets" { "" } else { &self.name });
        text_of(&value)
    }
}

fn compare(place: &Place, live: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    let change = match (live, new) {
        (None, None) => return,
        (Some(live), Some(new)) if live == new => return,
        (Some(Value::Object(a)), Some(Value::Object(b))) if !place.is_named_value(&Value::Object(a.clone())) => {
            for name in union(a.keys(), b.keys()) {
                compare(&place.member(name), a.get(name), b.get(name), found);
            }
            return;
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => return compare_lists(place, a, b, found),
        (Some(live), Some(new)) => Change::Changed { from: place.shown(live), to: place.shown(new) },
        // A list that is there on one side only is told entry by entry as well: it was pruned when empty.
        (Some(Value::Array(items)), None) => return compare_lists(place, items, &[], found),
        (None, Some(Value::Array(items))) => return compare_lists(place, &[], items, found),
        (Some(live), None) => Change::Removed(place.shown(live)),
        (None, Some(new)) => Change::Added(place.shown(new)),
    };
    found.push(Difference { path: place.path.clone(), change });
}

fn compare_lists(place: &Place, live: &[Value], new: &[Value], found: &mut Vec<Difference>) {
    let named = |items: &[Value]| -> Option<BTreeMap<String, Value>> {
        let entries: Option<BTreeMap<_, _>> =
            items.iter().map(|item| name_in(&place.name, item).map(|name| (name, item.clone()))).collect();
        // Two of one name cannot be told apart by it.
        entries.filter(|entries| entries.len() == items.len())
    };
    if let (Some(a), Some(b)) = (named(live), named(new)) {
        for name in union(a.keys(), b.keys()) {
            compare(&place.entry(name), a.get(name), b.get(name), found);
        }
        return;
    }
    // `command`, `entryPoint`: the order is the meaning, so the whole is what changed.
    let [from, to] = [live, new].map(|items| place.shown(&Value::Array(items.to_vec())));
    let change = match (live.is_empty(), new.is_empty()) {
        (true, _) => Change::Added(to),
        (_, true) => Change::Removed(from),
        (false, false) => Change::Changed { from, to },
    };
    found.push(Difference { path: place.path.clone(), change });
}

/// All of `a`, then what only `b` has.
fn union<'a>(a: impl Iterator<Item = &'a String>, b: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut all: Vec<_> = a.collect();
    for name in b {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

/// Hides, at every depth, what looks like a secret.
fn mask(value: &mut Value, name: &str) {
    match value {
        Value::String(text) => {
            if looks_secret(name, text) {
                MASK.clone_into(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, name)),
        Value::Object(members) => {
            // `{"name": "API_TOKEN", "value": "…"}`: the name is beside the value, not above it.
            let beside = members.get("name").and_then(Value::as_str).map(str::to_owned);
            for (key, member) in members.iter_mut() {
                let name = if key == "value" { beside.as_deref().unwrap_or(key) } else { key };
                mask(member, name);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a value should not be shown, by what it is called or by what it looks like. It errs towards
/// hiding: a hidden value costs a look into the console, a shown one a new password.
#[must_use]
pub fn looks_secret(name: &str, value: &str) -> bool {
    // A name of a place where a secret is kept, and a switch, are not secrets.
    if value.starts_with("arn:") || matches!(value, "" | "true" | "false") {
        return false;
    }
    secret::is_secret_name(name) || secret::looks_secret(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Difference, differences, equal, looks_secret, normalise, register_input, tags_with_ours};

    fn told(live: &Value, new: &Value) -> String {
        differences(live, new).iter().map(Difference::to_string).collect::<Vec<_>>().join("\n")
    }

    /// What was sent, and what the real service answered for it (recorded, shortened).
    fn sent_and_answered() -> (Value, Value) {
        (
            json!({
                "family": "web", "networkMode": "awsvpc", "cpu": "1 vCPU", "memory": "2 GB",
                "requiresCompatibilities": ["FARGATE"],
                "containerDefinitions": [
                    { "name": "web", "image": "a", "portMappings": [{ "containerPort": 8080 }],
                      "environment": [{ "name": "B", "value": "2" }, { "name": "A", "value": "1" }],
                      "healthCheck": { "command": ["CMD", "/ok"] } },
                ],
            }),
            json!({
                "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111111111111:task-definition/web:41",
                "containerDefinitions": [
                    { "name": "web", "image": "a", "cpu": 0,
                      "portMappings": [{ "containerPort": 8080, "hostPort": 8080, "protocol": "tcp" }],
                      "essential": true, "mountPoints": [], "volumesFrom": [], "systemControls": [],
                      "environment": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }],
                      "healthCheck": { "command": ["CMD", "/ok"], "interval": 30, "timeout": 5, "retries": 3 } },
                ],
                "family": "web", "networkMode": "awsvpc", "revision": 41, "volumes": [], "status": "ACTIVE",
                "requiresAttributes": [{ "name": "ecs.capability.task-eni" }], "placementConstraints": [],
                "compatibilities": ["EC2", "FARGATE"], "requiresCompatibilities": ["FARGATE"],
                "cpu": "1024", "memory": "2048", "registeredAt": 1_700_000_000.123,
                "registeredBy": "arn:aws:iam::111111111111:user/a",
            }),
        )
    }

    #[test]
    fn what_aws_fills_in_is_no_difference() {
        let (sent, answered) = sent_and_answered();
        assert_eq!(told(&answered, &sent), "");
        assert!(equal(&answered, &sent));
    }

    #[test]
    fn differences_are_told_in_words_of_ecs() {
        let live = json!({
            "family": "web", "cpu": "256", "requiresCompatibilities": ["EC2"],
            "containerDefinitions": [
                { "name": "web", "image": "a", "command": ["serve", "--fast"], "secrets": [{ "name": "KEY", "valueFrom": "/a/key" }],
                  "environment": [{ "name": "LOG_LEVEL", "value": "info" }, { "name": "DB_PASSWORD", "value": "one" }, { "name": "GONE", "value": "1" }] },
                { "name": "proxy", "image": "p" },
            ],
        });
        let new = json!({
            "family": "web", "cpu": ".5 vCPU", "requiresCompatibilities": ["EC2", "FARGATE"],
            "containerDefinitions": [
                { "name": "web", "image": "b", "command": ["serve"], "secrets": [{ "name": "KEY", "valueFrom": "/b/key" }],
                  "portMappings": [{ "containerPort": 80 }],
                  "environment": [{ "name": "LOG_LEVEL", "value": "debug" }, { "name": "DB_PASSWORD", "value": "two" },
                                  { "name": "DATABASE_URL", "value": "postgres://a:b@c/d" }] },
                { "name": "log", "image": "l", "environment": [{ "name": "API_TOKEN", "value": "t" }] },
            ],
        });
        insta::assert_snapshot!(told(&live, &new), @r#"
        cpu: 256 → 512
        requiresCompatibilities[FARGATE]: added FARGATE
        containerDefinitions[proxy]: removed {"name":"proxy","image":"p","cpu":0,"essential":true}
        containerDefinitions[web].image: a → b
        containerDefinitions[web].command: ["serve","--fast"] → ["serve"]
        containerDefinitions[web].secrets[KEY].valueFrom: /a/key → /b/key
        containerDefinitions[web].environment[DB_PASSWORD]: **** → ****
        containerDefinitions[web].environment[GONE]: removed 1
        containerDefinitions[web].environment[LOG_LEVEL]: info → debug
        containerDefinitions[web].environment[DATABASE_URL]: added ****
        containerDefinitions[web].portMappings[80/tcp]: added {"containerPort":80,"protocol":"tcp","hostPort":0}
        containerDefinitions[log]: added {"name":"log","image":"l","environment":[{"name":"API_TOKEN","value":"****"}],"cpu":0,"essential":true}
        "#);
    }

    #[test]
    fn a_container_that_goes_on_its_own_is_told() {
        let (sent, answered) = sent_and_answered();
        let mut other = sent.clone();
        other["containerDefinitions"][0]["linuxParameters"] = json!({ "initProcessEnabled": true });
        assert_eq!(
            told(&answered, &other),
            r#"containerDefinitions[web].linuxParameters: added {"initProcessEnabled":true}"#
        );
    }

    #[test]
    fn order_counts_where_it_means_something() {
        let with = |member: &str, value: Value| json!({ "containerDefinitions": [{ "name": "a", member: value }] });
        for member in ["command", "entryPoint", "environmentFiles", "links", "unheardOf"] {
            assert!(!equal(&with(member, json!(["a", "b"])), &with(member, json!(["b", "a"]))), "{member}");
        }
        let depends = |a: &str, b: &str| with("dependsOn", json!([{ "containerName": a }, { "containerName": b }]));
        assert!(equal(&depends("x", "y"), &depends("y", "x")));
    }

    #[test]
    fn members_unknown_to_this_program_survive_at_every_level() {
        let text = r#"{"family":"web","brandNew":{"of":[1,{"deep":12345678901234567890123.4500}]},"revision":7,"containerDefinitions":[{"name":"web","image":"a","newer":"x","portMappings":[{"containerPort":1,"fresh":1e400}]}],"volumes":[{"name":"v","odd":null}]}"#;
        let definition: Value = serde_json::from_str(text).expect("valid");
        let sent = register_input(&definition, &[]);
        assert_eq!(sent.to_string(), text.replace(r#""revision":7,"#, "").replace("1e400", "1e+400"));
        let mut other = sent.clone();
        other["containerDefinitions"][0]["portMappings"][0]["fresh"] = json!(2);
        assert_eq!(told(&definition, &other), "containerDefinitions[web].portMappings[1/tcp].fresh: 1e+400 → 2");
    }

    #[test]
    fn the_body_of_a_registration_has_no_book_keeping_and_all_tags() {
        let (_, answered) = sent_and_answered();
        let tags = [("team".to_owned(), "a".to_owned())];
        let input = register_input(&answered, &tags);
        let names: Vec<_> = input.as_object().expect("object").keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "containerDefinitions",
                "family",
                "networkMode",
                "volumes",
                "placementConstraints",
                "requiresCompatibilities",
                "cpu",
                "memory",
                "tags"
            ]
        );
        assert_eq!(input["tags"], json!([{ "key": "team", "value": "a" }]));
        assert!(equal(&answered, &input));
    }

    #[test]
    fn tags_keep_the_rules_of_ecs() {
        let before = |tags: &[(&str, &str)]| -> Vec<(String, String)> {
            tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let ours = [(super::TAG_IMAGE, "4f2c"), (super::TAG_SERVICE, "a,b")];
        assert_eq!(
            tags_with_ours(
                &before(&[("team", "x"), ("aws:cloudformation:stack-name", "s"), (super::TAG_IMAGE, "old")]),
                &ours
            ),
            before(&[("team", "x"), (super::TAG_IMAGE, "4f2c"), (super::TAG_SERVICE, "a_b")])
        );
        let many: Vec<_> = (0..49).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(tags_with_ours(&many, &ours).len(), 50);
    }

    #[test]
    fn secrets_are_known_by_name_or_by_look() {
        for (name, value) in [
            ("DB_PASSWORD", "a"),
            ("apiToken", "a"),
            ("SIGNING_KEY", "a"),
            ("X", "AKIAIOSFODNN7EXAMPLE"),
            ("X", "postgres://user:pw@db/x"),
            ("X", "Server=db;Password=a"),
            ("X", "-----BEGIN RSA PRIVATE KEY-----"),
            ("X", "eyJhbGciOiJIUzI1NiJ9.e30.x"),
        ] {
            assert!(looks_secret(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("LOG_LEVEL", "info"),
            ("MONKEY", "banana"),
            ("URL", "https://example.com/a@b"),
            ("SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:1:secret:x"),
            ("USE_TOKEN", "true"),
        ] {
            assert!(!looks_secret(name, value), "{name}={value}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z]{0,4}".prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("containerDefinitions".to_owned()),
            Just("environment".to_owned()),
            Just("portMappings".to_owned()),
            Just("name".to_owned()),
            Just("cpu".to_owned()),
            "[a-z]{1,3}",
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(definition in any_json()) {
            let once = normalise(&definition);
            prop_assert_eq!(normalise(&once), once);
        }

        #[test]
        fn equal_means_no_difference(a in any_json(), b in any_json()) {
            prop_assert_eq!(equal(&a, &b), differences(&a, &b).is_empty());
            prop_assert!(differences(&a, &a).is_empty());
        }
    }
}
