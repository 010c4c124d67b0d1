//! Secrets that are asked for.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::input::{part, present, seconds};
use super::super::{Fault, Place};
use super::{Content, Secret, SecretsManager, Version, arn, fault, invalid};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    secret_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetValue {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    include_planned_deletion: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
    sort_order: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListVersions {
    secret_id: String,
    #[serde(default)]
    include_deprecated: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
}

impl SecretsManager {
    pub(super) fn get_value(&self, place: &Place, input: &GetValue) -> Result<Value, Fault> {
        let GetValue { secret_id, version_id, version_stage } = input;
        let (name, secret) = self.usable(secret_id)?;
        let (id, Version { content, created_at, stages }) =
            secret.version(version_id.as_deref(), version_stage.as_deref())?;
        let (text, binary) = match content {
            Content::Text(text) => (Some(text.expose()), None),
            Content::Binary(bytes) => (None, Some(bytes.expose())),
        };
        Ok(present(json!({
            "ARN": arn(place, name, secret), "Name": name, "VersionId": id, "SecretString": text, "SecretBinary": binary,
            "VersionStages": stages, "CreatedDate": seconds(*created_at)
        })))
    }

    pub(super) fn describe(&self, place: &Place, input: &Named) -> Result<Value, Fault> {
        let (name, secret) = self.named(&input.secret_id)?;
        let mut shown = show(place, name, secret);
        shown["VersionIdsToStages"] = json!(secret.stages());
        Ok(present(shown))
    }

    /// There is none, as there is no IAM.
    pub(super) fn get_policy(&self, place: &Place, input: &Named) -> Result<Value, Fault> {
        let (name, secret) = self.named(&input.secret_id)?;
        Ok(json!({ "ARN": arn(place, name, secret), "Name": name }))
    }

    pub(super) fn list(&self, place: &Place, input: &List) -> Result<Value, Fault> {
        let List { filters, include_planned_deletion, max_results, next_token, sort_order } = input;
        let mut all: Vec<(&String, &Secret)> = self.secrets.iter().collect();
        if sort_order.as_deref() != Some("asc") {
            // Newest first unless asked otherwise; of one moment in the order of their names.
            all.sort_by_key(|(_, secret)| std::cmp::Reverse(secret.created_at));
        }
        let mut found = Vec::new();
        for (name, secret) in all {
            if secret.deletion.is_some() && !include_planned_deletion {
                continue;
            }
            let mut meets = true;
            for filter in filters {
                meets &= filter.meets(name, secret)?;
            }
            if meets {
                let mut shown = show(place, name, secret);
                shown["SecretVersionsToStages"] = json!(secret.stages());
                found.push(present(shown));
            }
        }
        page("SecretList", found, next_token.as_deref(), *max_results)
    }

    pub(super) fn list_versions(&self, place: &Place, input: &ListVersions) -> Result<Value, Fault> {
        let ListVersions { secret_id, include_deprecated, max_results, next_token } = input;
        let (name, secret) = self.named(secret_id)?;
        let versions = secret.versions.iter().filter(|(_, version)| *include_deprecated || !version.stages.is_empty());
        let shown = versions.map(|(id, Version { content: _, created_at, stages })| {
            json!({ "VersionId": id, "VersionStages": stages, "CreatedDate": seconds(*created_at) })
        });
        let mut answer = page("Versions", shown.collect(), next_token.as_deref(), *max_results)?;
        answer["ARN"] = json!(arn(place, name, secret));
        answer["Name"] = json!(name);
        Ok(answer)
    }
}

impl Filter {
    fn meets(&self, name: &str, secret: &Secret) -> Result<bool, Fault> {
        let Self { key, values } = self;
        let begins = |text: &str| values.iter().any(|value| text.starts_with(value.as_str()));
        // Descriptions are searched without regard to case, names and tags with it.
        let description = || {
            secret
                .description
                .as_ref()
                .is_some_and(|text| values.iter().any(|value| text.to_lowercase().contains(&value.to_lowercase())))
        };
        let (keys, tagged) =
            (|| secret.tags.keys().any(|key| begins(key)), || secret.tags.values().any(|value| begins(value)));
        match key.as_str() {
            "name" => Ok(match values.iter().find_map(|value| value.strip_prefix('!')) {
                Some(not) => !name.starts_with(not),
                None => begins(name),
            }),
            "description" => Ok(description()),
            "tag-key" => Ok(keys()),
            "tag-value" => Ok(tagged()),
            "all" => Ok(begins(name) || description() || keys() || tagged()),
            other => Err(invalid(format!("The sandbox does not emulate the filter key {other}."))),
        }
    }
}

fn show(place: &Place, name: &str, secret: &Secret) -> Value {
    let Secret { suffix: _, description, key, created_at, changed_at, deletion, tags, versions: _ } = secret;
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    json!({
        "ARN": arn(place, name, secret), "Name": name, "Description": description, "KmsKeyId": key,
        "CreatedDate": seconds(*created_at), "LastChangedDate": seconds(*changed_at),
        "DeletedDate": deletion.map(|deletion| seconds(deletion.asked_at)), "Tags": tags
    })
}

fn page(under: &str, all: Vec<Value>, token: Option<&str>, size: Option<usize>) -> Result<Value, Fault> {
    let size = size.unwrap_or(100);
    if !(1..=100).contains(&size) {
        return Err(invalid("MaxResults must be between 1 and 100."));
    }
    let next = || fault("InvalidNextTokenException", "The NextToken value is invalid.");
    let (found, next) = part(all, token, size).ok_or_else(next)?;
    Ok(present(json!({ under: found, "NextToken": next })))
}
