//! What holds for the registry as a whole: its policy, what it scans and replicates, its settings.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::images::ImageId;
use super::{BlobMounting, Ecr, Fault, Place, fault, invalid, missing, text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutRegistryPolicy {
    policy_text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfRepositories {
    repository_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutReplication {
    replication_configuration: Replication,
}

#[derive(Deserialize)]
struct Replication {
    rules: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OneImage {
    repository_name: String,
    image_id: ImageId,
}

/// Which repositories are scanned when something is pushed to them, besides those that say so themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scanning {
    #[serde(default)]
    rules: Vec<ScanningRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScanningRule {
    scan_frequency: Frequency,
    repository_filters: Vec<RepositoryFilter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Frequency {
    ScanOnPush,
    Manual,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryFilter {
    filter: String,
    filter_type: FilterType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum FilterType {
    Wildcard,
}

impl Scanning {
    pub(super) fn on_push(&self, repository: &str) -> bool {
        self.applied(repository).is_some()
    }

    fn applied(&self, repository: &str) -> Option<&RepositoryFilter> {
        let rules = self.rules.iter().filter(|rule| rule.scan_frequency == Frequency::ScanOnPush);
        let mut filters = rules.flat_map(|rule| &rule.repository_filters);
        filters.find(|filter| super::repositories::matches(&filter.filter, repository))
    }
}

impl Ecr {
    pub(super) fn put_registry_policy(&mut self, place: &Place, input: PutRegistryPolicy) -> Result<Value, Fault> {
        super::policies::must_be_an_object("PolicyText", &input.policy_text)?;
        self.policy = Some(input.policy_text);
        self.changed();
        self.get_registry_policy(place)
    }

    pub(super) fn get_registry_policy(&self, place: &Place) -> Result<Value, Fault> {
        let policy = self.policy.as_ref().ok_or_else(|| no_policy(place))?;
        Ok(json!({ "registryId": place.account, "policyText": policy }))
    }

    pub(super) fn delete_registry_policy(&mut self, place: &Place) -> Result<Value, Fault> {
        let policy = self.policy.take().ok_or_else(|| no_policy(place))?;
        self.changed();
        Ok(json!({ "registryId": place.account, "policyText": policy }))
    }

    pub(super) fn get_registry_scanning_configuration(&self, place: &Place) -> Value {
        json!({ "registryId": place.account, "scanningConfiguration": self.scanning_configuration() })
    }

    fn scanning_configuration(&self) -> Value {
        json!({ "scanType": "BASIC", "rules": self.scanning.rules })
    }

    pub(super) fn put_registry_scanning_configuration(&mut self, input: &Value) -> Result<Value, Fault> {
        match text(input, "scanType") {
            None | Some("BASIC") => {}
            Some(other) => {
                return Err(fault(
                    "ValidationException",
                    format!("the sandbox does not emulate scans of type {other}"),
                ));
            }
        }
        self.scanning = super::decode(input)?;
        self.changed();
        Ok(json!({ "registryScanningConfiguration": self.scanning_configuration() }))
    }

    pub(super) fn batch_get_repository_scanning_configuration(
        &self,
        place: &Place,
        input: OfRepositories,
    ) -> Result<Value, Fault> {
        if !(1..=25).contains(&input.repository_names.len()) {
            return Err(invalid("repositoryNames", "Member must have length between 1 and 25"));
        }
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for name in input.repository_names {
            let Some(repository) = self.repositories.get(&name) else {
                failures.push(json!({
                    "repositoryName": name,
                    "failureCode": "REPOSITORY_NOT_FOUND",
                    "failureReason": super::repository_not_found(&name, &place.account).message,
                }));
                continue;
            };
            let filter = self.scanning.applied(&name);
            let on_push = repository.scans_on_push() || filter.is_some();
            found.push(json!({
                "repositoryArn": super::repositories::arn(place, &name),
                "repositoryName": name,
                "scanOnPush": on_push,
                "scanFrequency": if on_push { Frequency::ScanOnPush } else { Frequency::Manual },
                "appliedScanFilters": filter.into_iter().collect::<Vec<_>>(),
            }));
        }
        Ok(json!({ "scanningConfigurations": found, "failures": failures }))
    }

    /// Nothing is replicated, so there can be no rule that says so.
    pub(super) fn put_replication_configuration(input: &PutReplication) -> Result<Value, Fault> {
        if !input.replication_configuration.rules.is_empty() {
            return Err(fault(
                "ValidationException",
                "the sandbox does not emulate replication: there is one registry",
            ));
        }
        Ok(json!({ "replicationConfiguration": { "rules": [] } }))
    }

    pub(super) fn describe_image_replication_status(&self, place: &Place, input: OneImage) -> Result<Value, Fault> {
        let OneImage { repository_name: name, image_id } = input;
        let digest = self.existing(place, &name)?.named(place, &name, &image_id)?;
        Ok(json!({
            "repositoryName": name,
            "imageId": ImageId { image_digest: Some(digest), image_tag: image_id.image_tag },
            "replicationStatuses": [],
        }))
    }

    pub(super) fn get_account_setting(&self, input: &Value) -> Result<Value, Fault> {
        known_setting(input)?;
        Ok(json!({ "name": "BLOB_MOUNTING", "value": self.blob_mounting }))
    }

    pub(super) fn put_account_setting(&mut self, input: &Value) -> Result<Value, Fault> {
        known_setting(input)?;
        self.blob_mounting = match text(input, "value") {
            Some("ENABLED") => BlobMounting::Enabled,
            Some("DISABLED") => BlobMounting::Disabled,
            _ => return Err(invalid("value", "must be one of [ENABLED, DISABLED]")),
        };
        self.changed();
        self.get_account_setting(input)
    }
}

/// Settings other than blob mounting (`BASIC_SCAN_TYPE_VERSION`, `REGISTRY_POLICY_SCOPE`) steer what is not emulated.
fn known_setting(input: &Value) -> Result<(), Fault> {
    match text(input, "name") {
        Some("BLOB_MOUNTING") => Ok(()),
        Some(other) => Err(fault("ValidationException", format!("the sandbox does not emulate ECR's setting {other}"))),
        None => Err(missing("name")),
    }
}

fn no_policy(place: &Place) -> Fault {
    fault(
        "RegistryPolicyNotFoundException",
        format!("Registry policy does not exist in the registry with id '{}'", place.account),
    )
}
