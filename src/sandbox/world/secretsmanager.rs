//! Secrets Manager: secrets with their versions and staging labels, as `secrets` of a task definition name them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::hidden::Hidden;
use super::input::decode;
use super::{Fault, Millis, Pace, Place, World};

mod changing;
mod reading;

/// The labels that Secrets Manager itself moves.
const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// The secrets of one account in one region, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretsManager {
    secrets: BTreeMap<String, Secret>,
    revision: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Secret {
    /// "Secrets Manager automatically adds a hyphen and six random characters after the secret name at the end of the ARN."
    suffix: String,
    description: Option<String>,
    key: Option<String>,
    created_at: Millis,
    changed_at: Millis,
    /// When it goes for good, once it is marked for deletion, and since when it is.
    deletion: Option<Deletion>,
    tags: BTreeMap<String, String>,
    /// By id. None for a secret that was made without a value.
    versions: BTreeMap<String, Version>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Deletion {
    asked_at: Millis,
    at: Millis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    content: Content,
    created_at: Millis,
    stages: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Content {
    Text(Hidden),
    /// Base64, as it was sent.
    Binary(Hidden),
}

/// Answers one call of the `secretsmanager` service.
pub fn call(world: &mut World, operation: &str, input: &Value, now: Millis) -> Result<Value, Fault> {
    let World { place, pace: speed, secrets, .. } = world;
    secrets.forget(now);
    secrets.answer(place, *speed, operation, input, now)
}

impl SecretsManager {
    /// Counts changes.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn answer(
        &mut self,
        place: &Place,
        speed: Pace,
        operation: &str,
        input: &Value,
        now: Millis,
    ) -> Result<Value, Fault> {
        let code = "InvalidParameterException";
        match operation {
            "CreateSecret" => self.create(place, decode(input, code)?, now),
            "DeleteSecret" => self.delete(place, speed, &decode(input, code)?, now),
            "DescribeSecret" => self.describe(place, &decode(input, code)?),
            "GetResourcePolicy" => self.get_policy(place, &decode(input, code)?),
            "GetSecretValue" => self.get_value(place, &decode(input, code)?),
            "ListSecretVersionIds" => self.list_versions(place, &decode(input, code)?),
            "ListSecrets" => self.list(place, &decode(input, code)?),
            "PutSecretValue" => self.put_value(place, decode(input, code)?, now),
            "RestoreSecret" => self.restore(place, &decode(input, code)?, now),
            "TagResource" => self.tag(decode(input, code)?, now),
            "UntagResource" => self.untag(&decode(input, code)?, now),
            "UpdateSecret" => self.update(place, decode(input, code)?, now),
            "UpdateSecretVersionStage" => self.move_stage(place, &decode(input, code)?, now),
            _ => Err(Fault::new(
                "UnknownOperationException",
                format!("The sandbox does not emulate the Secrets Manager operation {operation}."),
            )),
        }
    }

    /// Drops what was marked for deletion and has had its time.
    fn forget(&mut self, now: Millis) {
        let known = self.secrets.len();
        self.secrets.retain(|_, secret| secret.deletion.is_none_or(|deletion| now < deletion.at));
        if self.secrets.len() != known {
            self.revision += 1;
        }
    }

    /// The secret of a name, of a whole ARN, or of an ARN without the six characters at its end.
    fn find(&self, id: &str) -> Option<(&str, &Secret)> {
        let asked = id.split_once(":secret:").map(|(_, asked)| asked).filter(|_| id.starts_with("arn:"));
        let whole = |asked: &str| {
            let (name, suffix) = asked.rsplit_once('-')?;
            self.secrets.get_key_value(name).filter(|(_, secret)| secret.suffix == suffix)
        };
        let found = match asked {
            None => self.secrets.get_key_value(id),
            Some(asked) => whole(asked).or_else(|| self.secrets.get_key_value(asked)),
        };
        found.map(|(name, secret)| (name.as_str(), secret))
    }

    /// The same, for a call; `usable` ones only are not marked for deletion.
    fn named(&self, id: &str) -> Result<(&str, &Secret), Fault> {
        self.find(id).ok_or_else(not_found)
    }

    fn usable(&self, id: &str) -> Result<(&str, &Secret), Fault> {
        let (name, secret) = self.named(id)?;
        if secret.deletion.is_some() {
            return Err(marked());
        }
        Ok((name, secret))
    }

    /// The secret to be changed, and its name; the change is counted.
    fn changing(&mut self, id: &str, now: Millis) -> Result<(String, &mut Secret), Fault> {
        let name = self.usable(id)?.0.to_owned();
        self.revision += 1;
        let secret = self.secrets.get_mut(&name).ok_or_else(not_found)?;
        secret.changed_at = now;
        Ok((name, secret))
    }

    /// The text that a container of ECS is given.
    pub(super) fn text(&self, id: &str, version: Option<&str>, stage: Option<&str>) -> Result<&Hidden, Fault> {
        let (_, secret) = self.usable(id)?;
        match &secret.version(version, stage)?.1.content {
            Content::Text(text) => Ok(text),
            Content::Binary(bytes) => Ok(bytes),
        }
    }
}

impl Secret {
    /// By id, by label, by both, or the current one.
    fn version(&self, id: Option<&str>, stage: Option<&str>) -> Result<(&str, &Version), Fault> {
        let found = if let Some(id) = id {
            self.versions.get_key_value(id)
        } else {
            let wanted = stage.unwrap_or(CURRENT);
            self.versions.iter().find(|(_, version)| version.stages.contains(wanted))
        };
        let missing = match id {
            Some(id) => format!("VersionId: {id}"),
            None => format!("staging label: {}", stage.unwrap_or(CURRENT)),
        };
        let (found_id, version) = found.ok_or_else(|| {
            fault(
                "ResourceNotFoundException",
                format!("Secrets Manager can't find the specified secret value for {missing}"),
            )
        })?;
        match stage.filter(|stage| !version.stages.contains(*stage)) {
            Some(_) => Err(fault(
                "InvalidRequestException",
                "You provided a VersionStage that is not associated to the provided VersionId.",
            )),
            None => Ok((found_id, version)),
        }
    }

    /// Gives a label to one version and takes it from all others; what was current before is the previous one.
    fn label(&mut self, id: &str, stage: &str) {
        let before = self.versions.iter().find(|(_, version)| version.stages.contains(stage)).map(|(id, _)| id.clone());
        if before.as_deref() == Some(id) {
            return;
        }
        for version in self.versions.values_mut() {
            version.stages.remove(stage);
        }
        if let Some(version) = self.versions.get_mut(id) {
            version.stages.insert(stage.to_owned());
        }
        if let Some(before) = before.filter(|_| stage == CURRENT) {
            self.label(&before, PREVIOUS);
        }
    }

    /// "Secrets Manager … deletes versions without staging labels" sooner or later; here they go as soon as there are more
    /// than it keeps at least.
    fn prune(&mut self) {
        const KEPT: usize = 100;
        while self.versions.len() > KEPT {
            let unlabelled = self.versions.iter().filter(|(_, version)| version.stages.is_empty());
            let oldest = unlabelled.min_by_key(|(_, version)| version.created_at).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { return };
            self.versions.remove(&oldest);
        }
    }

    fn stages(&self) -> Option<Value> {
        let labelled = self.versions.iter().filter(|(_, version)| !version.stages.is_empty());
        let stages: serde_json::Map<_, _> = labelled.map(|(id, version)| (id.clone(), json!(version.stages))).collect();
        (!stages.is_empty()).then(|| Value::Object(stages))
    }
}

fn arn(place: &Place, name: &str, secret: &Secret) -> String {
    format!("arn:aws:secretsmanager:{}:{}:secret:{name}-{}", place.region, place.account, secret.suffix)
}

/// Six characters that look random, and are the same for nothing else.
fn suffix(name: &str, revision: u64, now: Millis) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let hash = Sha256::digest(format!("{name}\0{revision}\0{now}"));
    hash.iter().take(6).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

fn fault(code: &str, message: impl Into<String>) -> Fault {
    Fault::new(code, message)
}

fn not_found() -> Fault {
    fault("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

fn marked() -> Fault {
    fault(
        "InvalidRequestException",
        "You can't perform this operation on the secret because it was marked for deletion.",
    )
}

fn invalid(message: impl Into<String>) -> Fault {
    fault("InvalidParameterException", message)
}

#[cfg(test)]
mod tests;
