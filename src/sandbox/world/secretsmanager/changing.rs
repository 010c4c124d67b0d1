//! Secrets that are made, changed and deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::hidden::Hidden;
use super::super::input::{present, seconds};
use super::super::{Fault, Millis, Pace, Place};
use super::{
    CURRENT, Content, Deletion, Secret, SecretsManager, Version, arn, fault, invalid, marked, not_found, suffix,
};

/// "If you don't specify a value, Secrets Manager defaults to 30 days."
const RECOVERY_DAYS: u64 = 30;
const DAY: u64 = 24 * 60 * 60;

/// The most bytes of a secret.
const LONGEST: usize = 65_536;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    #[serde(flatten)]
    given: Given,
    description: Option<String>,
    kms_key_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    secret_id: String,
    #[serde(flatten)]
    given: Given,
    version_stages: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    secret_id: String,
    #[serde(flatten)]
    given: Given,
    description: Option<String>,
    kms_key_id: Option<String>,
}

/// A value, and the id of the version that it becomes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    client_request_token: Option<String>,
    secret_string: Option<Hidden>,
    secret_binary: Option<Hidden>,
}

impl Given {
    fn content(&self) -> Result<Option<Content>, Fault> {
        let content = match (&self.secret_string, &self.secret_binary) {
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "You can't specify both a binary secret value and a string secret value in the same secret.",
                ));
            }
            (Some(text), None) => Content::Text(text.clone()),
            (None, Some(bytes)) => Content::Binary(bytes.clone()),
            (None, None) => return Ok(None),
        };
        let (Content::Text(value) | Content::Binary(value)) = &content;
        if value.expose().len() > LONGEST {
            return Err(invalid(format!("The secret value is larger than {LONGEST} bytes.")));
        }
        Ok(Some(content))
    }

    /// "If you generate a raw HTTP request to the Secrets Manager service endpoint, then you must generate a
    /// `ClientRequestToken` and include it in the request."
    fn token(&self) -> Result<&str, Fault> {
        let token = self.client_request_token.as_deref().unwrap_or_default();
        match token.len() {
            32..=64 => Ok(token),
            0 => Err(fault(
                "InvalidRequestException",
                "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
            )),
            _ => Err(invalid("ClientRequestToken must be 32-64 characters long.")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    secret_id: String,
    recovery_window_in_days: Option<u64>,
    #[serde(default)]
    force_delete_without_recovery: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Restore {
    secret_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MoveStage {
    secret_id: String,
    version_stage: String,
    remove_from_version_id: Option<String>,
    move_to_version_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tagging {
    secret_id: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Untagging {
    secret_id: String,
    tag_keys: Vec<String>,
}

impl SecretsManager {
    pub(super) fn create(&mut self, place: &Place, input: Create, now: Millis) -> Result<Value, Fault> {
        let Create { name, given, description, kms_key_id, tags } = input;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
        if name.is_empty() || name.len() > 512 || !name.bytes().all(legal) {
            return Err(fault(
                "ValidationException",
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
            ));
        }
        let content = given.content()?;
        let token = given.token()?.to_owned();
        if let Some(known) = self.secrets.get(&name) {
            if known.deletion.is_some() {
                return Err(fault(
                    "InvalidRequestException",
                    "You can't create this secret because a secret with this name is already scheduled for deletion.",
                ));
            }
            // The same call twice: a client that has not heard the first answer.
            let same = known.versions.get(&token).map(|version| &version.content) == content.as_ref();
            if !same || content.is_none() {
                return Err(fault(
                    "ResourceExistsException",
                    format!("The operation failed because the secret {name} already exists."),
                ));
            }
            return Ok(json!({ "ARN": arn(place, &name, known), "Name": name, "VersionId": token }));
        }
        let mut made = Secret {
            suffix: suffix(&name, self.revision, now),
            description,
            key: kms_key_id,
            created_at: now,
            changed_at: now,
            deletion: None,
            tags: tagged(BTreeMap::new(), tags)?,
            versions: BTreeMap::new(),
        };
        let version = content.map(|content| made.take(token, content, &[CURRENT.to_owned()], now)).transpose()?;
        let answer = present(json!({ "ARN": arn(place, &name, &made), "Name": name, "VersionId": version }));
        self.secrets.insert(name, made);
        self.revision += 1;
        Ok(answer)
    }

    pub(super) fn put_value(&mut self, place: &Place, input: Put, now: Millis) -> Result<Value, Fault> {
        let Put { secret_id, given, version_stages } = input;
        let content =
            given.content()?.ok_or_else(|| invalid("You must provide either SecretString or SecretBinary."))?;
        let token = given.token()?.to_owned();
        let stages = version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
        let (name, secret) = self.changing(&secret_id, now)?;
        let id = secret.take(token, content, &stages, now)?;
        let stages = secret.versions.get(&id).map(|version| &version.stages);
        Ok(json!({ "ARN": arn(place, &name, secret), "Name": name, "VersionId": id, "VersionStages": stages }))
    }

    pub(super) fn update(&mut self, place: &Place, input: Update, now: Millis) -> Result<Value, Fault> {
        let Update { secret_id, given, description, kms_key_id } = input;
        let content = given.content()?;
        let token = content.is_some().then(|| given.token().map(str::to_owned)).transpose()?;
        let (name, secret) = self.changing(&secret_id, now)?;
        secret.description = description.or(secret.description.take());
        secret.key = kms_key_id.or(secret.key.take());
        let version = match (content, token) {
            (Some(content), Some(token)) => Some(secret.take(token, content, &[CURRENT.to_owned()], now)?),
            _ => None,
        };
        Ok(present(json!({ "ARN": arn(place, &name, secret), "Name": name, "VersionId": version })))
    }

    pub(super) fn delete(&mut self, place: &Place, speed: Pace, input: &Delete, now: Millis) -> Result<Value, Fault> {
        let Delete { secret_id, recovery_window_in_days: days, force_delete_without_recovery: force } = input;
        if *force && days.is_some() {
            return Err(invalid("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."));
        }
        if days.is_some_and(|days| !(7..=30).contains(&days)) {
            return Err(invalid("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."));
        }
        let name = self.usable(secret_id)?.0.to_owned();
        let secret = self.secrets.get_mut(&name).ok_or_else(not_found)?;
        let at = if *force { now } else { now + speed.millis(days.unwrap_or(RECOVERY_DAYS) * DAY) };
        secret.deletion = Some(Deletion { asked_at: now, at });
        let answer = json!({ "ARN": arn(place, &name, secret), "Name": name, "DeletionDate": seconds(at) });
        self.revision += 1;
        self.forget(now);
        Ok(answer)
    }

    pub(super) fn restore(&mut self, place: &Place, input: &Restore, now: Millis) -> Result<Value, Fault> {
        let name = self.named(&input.secret_id)?.0.to_owned();
        let secret = self.secrets.get_mut(&name).ok_or_else(not_found)?;
        (secret.deletion, secret.changed_at) = (None, now);
        self.revision += 1;
        Ok(json!({ "ARN": arn(place, &name, secret), "Name": name }))
    }

    /// As somebody who rotates by hand moves a label.
    pub(super) fn move_stage(&mut self, place: &Place, input: &MoveStage, now: Millis) -> Result<Value, Fault> {
        let MoveStage { secret_id, version_stage: stage, remove_from_version_id: from, move_to_version_id: to } = input;
        let (_, secret) = self.usable(secret_id)?;
        let holder =
            secret.versions.iter().find(|(_, version)| version.stages.contains(stage)).map(|(id, _)| id.as_str());
        if let Some(id) = [from, to].into_iter().flatten().find(|id| !secret.versions.contains_key(*id)) {
            return Err(fault(
                "ResourceNotFoundException",
                format!("Secrets Manager can't find the specified secret value for VersionId: {id}"),
            ));
        }
        if holder.is_some() && holder != from.as_deref() && holder != to.as_deref() {
            return Err(invalid(format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {}, so \
                 you must explicitly reference that version in RemoveFromVersionId.",
                holder.unwrap_or_default()
            )));
        }
        let (name, secret) = self.changing(secret_id, now)?;
        match to {
            Some(to) => secret.label(to, stage),
            None => secret.versions.values_mut().for_each(|version| {
                version.stages.remove(stage);
            }),
        }
        Ok(json!({ "ARN": arn(place, &name, secret), "Name": name }))
    }

    pub(super) fn tag(&mut self, input: Tagging, now: Millis) -> Result<Value, Fault> {
        let Tagging { secret_id, tags } = input;
        let (_, secret) = self.changing(&secret_id, now)?;
        secret.tags = tagged(secret.tags.clone(), tags)?;
        Ok(json!({}))
    }

    pub(super) fn untag(&mut self, input: &Untagging, now: Millis) -> Result<Value, Fault> {
        let (_, secret) = self.changing(&input.secret_id, now)?;
        secret.tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(json!({}))
    }
}

impl Secret {
    /// Takes in a version; the same one twice is one.
    fn take(&mut self, id: String, content: Content, stages: &[String], now: Millis) -> Result<String, Fault> {
        if self.deletion.is_some() {
            return Err(marked());
        }
        match self.versions.get(&id) {
            Some(known) if known.content == content => return Ok(id),
            Some(_) => {
                return Err(fault("ResourceExistsException", "A resource with the ID you requested already exists."));
            }
            None => {}
        }
        self.versions.insert(id.clone(), Version { content, created_at: now, stages: BTreeSet::new() });
        for stage in stages {
            self.label(&id, stage);
        }
        self.prune();
        Ok(id)
    }
}

fn tagged(mut known: BTreeMap<String, String>, tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Fault> {
    known.extend(tags.into_iter().map(|Tag { key, value }| (key, value)));
    if known.len() > 50 {
        return Err(invalid("You can't have more than 50 tags on a secret."));
    }
    Ok(known)
}
