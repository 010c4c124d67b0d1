//! Image scans. Nothing is looked into here: what a scan finds is data that the sandbox is given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::images::ImageId;
use super::manifest::Content;
use super::repositories::Repository;
use super::{Ecr, Fault, Millis, Page, Paging, Place, fault, timestamp, with_next};
use crate::sandbox::world::Pace;

/// How long a scan takes; basic scanning of a small image takes about so long.
const SCAN_SECONDS: u64 = 10;

/// What scans find, by image: `hello` for all images of the repository, `hello:v1` and `hello@sha256:…` for one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Findings(BTreeMap<String, Found>);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Found {
    Findings(Vec<Finding>),
    /// The scan fails for this reason: `UnsupportedImageError: The operating system and/or package manager are not supported.`
    Failure {
        failed: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Finding {
    name: String,
    severity: Severity,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    uri: String,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

/// Worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Severity {
    Critical,
    High,
    Medium,
    Low,
    Informational,
    Undefined,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Attribute {
    key: String,
    value: String,
}

impl Findings {
    /// Reads what is found from JSON: an object of images, each with a list of findings or with why its scan fails.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    fn of(&self, name: &str, digest: &str, tags: &[&str]) -> Option<&Found> {
        let by_digest = self.0.get(&format!("{name}@{digest}"));
        let by_tag = || tags.iter().find_map(|tag| self.0.get(&format!("{name}:{tag}")));
        by_digest.or_else(by_tag).or_else(|| self.0.get(name))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartScan {
    repository_name: String,
    image_id: ImageId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeFindings {
    repository_name: String,
    image_id: ImageId,
    #[serde(flatten)]
    paging: Paging,
}

/// What is known of an image's scan at a moment.
enum Standing<'a> {
    Running,
    Over { at: Millis, found: Option<&'a Found> },
}

impl Ecr {
    /// What scans find from now on. Not part of the state: it is data of the sandbox's owner.
    pub fn set_findings(&mut self, findings: Findings) {
        self.findings = findings;
    }

    pub(super) fn start_image_scan(
        &mut self,
        place: &Place,
        input: StartScan,
        speed: Pace,
        now: Millis,
    ) -> Result<Value, Fault> {
        let StartScan { repository_name: name, image_id } = input;
        let repository = self.existing(place, &name)?;
        let digest = repository.named(place, &name, &image_id)?;
        let image = repository.images.get(&digest).expect("the digest was found in it");
        if matches!(image.parsed().content, Content::Index { .. }) {
            return Err(fault(
                "UnsupportedImageTypeException",
                format!(
                    "The image with {} in the repository with name '{name}' in the registry with id '{}' is an image index, which is not scanned",
                    image_id.words(),
                    place.account
                ),
            ));
        }
        // "The scan quota per image has been exceeded": each image once in 24 hours.
        if image.scanned_at.is_some_and(|at| now < at.saturating_add(speed.millis(24 * 60 * 60))) {
            return Err(fault(
                "LimitExceededException",
                "The scan quota per image has been exceeded. Wait and try again.",
            ));
        }
        let repository = self.existing_mut(place, &name)?;
        if let Some(image) = repository.images.get_mut(&digest) {
            image.scanned_at = Some(now);
        }
        Ok(json!({
            "registryId": place.account,
            "repositoryName": name,
            "imageId": ImageId { image_digest: Some(digest), image_tag: image_id.image_tag },
            "imageScanStatus": { "status": "IN_PROGRESS" },
        }))
    }

    pub(super) fn describe_image_scan_findings(
        &self,
        place: &Place,
        input: DescribeFindings,
        speed: Pace,
        now: Millis,
    ) -> Result<Value, Fault> {
        let DescribeFindings { repository_name: name, image_id, paging } = input;
        let repository = self.existing(place, &name)?;
        let digest = repository.named(place, &name, &image_id)?;
        let Some(standing) = self.scan(repository, &name, &digest, speed, now) else {
            return Err(fault(
                "ScanNotFoundException",
                format!(
                    "Image scan does not exist for the image with '{}' in the repository with name '{name}' in the registry with id '{}'",
                    image_id.words(),
                    place.account
                ),
            ));
        };
        let mut answer = json!({
            "registryId": place.account,
            "repositoryName": name,
            "imageId": ImageId { image_digest: Some(digest), image_tag: image_id.image_tag },
            "imageScanStatus": status(&standing),
        });
        let Standing::Over { at, found } = standing else { return Ok(answer) };
        let mut findings = match found {
            Some(Found::Failure { .. }) => return Ok(answer),
            Some(Found::Findings(findings)) => findings.clone(),
            None => Vec::new(),
        };
        findings.sort_by(|one, other| (one.severity, &one.name).cmp(&(other.severity, &other.name)));
        let keyed = findings.iter().enumerate().map(|(at, finding)| (format!("{at:06}"), json!(finding)));
        let page = Page::cut(keyed, paging.next_token.as_deref(), paging.max_results)?;
        answer["imageScanFindings"] = json!({
            "imageScanCompletedAt": timestamp(at),
            "vulnerabilitySourceUpdatedAt": timestamp(at),
            "findings": page.items,
            "findingSeverityCounts": counts(&findings),
        });
        Ok(with_next(answer, page.next))
    }

    /// The members of `DescribeImages` about the scan of an image that has had one.
    pub(super) fn scan_summary(
        &self,
        repository: &Repository,
        name: &str,
        digest: &str,
        speed: Pace,
        now: Millis,
    ) -> Option<(Value, Option<Value>)> {
        let standing = self.scan(repository, name, digest, speed, now)?;
        let summary = match &standing {
            Standing::Running | Standing::Over { found: Some(Found::Failure { .. }), .. } => None,
            Standing::Over { at, found } => {
                let findings = match found {
                    Some(Found::Findings(findings)) => findings.as_slice(),
                    _ => &[],
                };
                Some(json!({
                    "imageScanCompletedAt": timestamp(*at),
                    "vulnerabilitySourceUpdatedAt": timestamp(*at),
                    "findingSeverityCounts": counts(findings),
                }))
            }
        };
        Some((status(&standing), summary))
    }

    fn scan(
        &self,
        repository: &Repository,
        name: &str,
        digest: &str,
        speed: Pace,
        now: Millis,
    ) -> Option<Standing<'_>> {
        let begun = repository.images.get(digest)?.scanned_at?;
        let at = begun.saturating_add(speed.millis(SCAN_SECONDS));
        if now < at {
            return Some(Standing::Running);
        }
        Some(Standing::Over { at, found: self.findings.of(name, digest, &repository.tags_of(digest)) })
    }
}

fn status(standing: &Standing<'_>) -> Value {
    match standing {
        Standing::Running => json!({ "status": "IN_PROGRESS" }),
        Standing::Over { found: Some(Found::Failure { failed }), .. } => {
            json!({ "status": "FAILED", "description": failed })
        }
        Standing::Over { .. } => {
            json!({ "status": "COMPLETE", "description": "The scan was completed successfully." })
        }
    }
}

fn counts(findings: &[Finding]) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        let severity = json!(finding.severity).as_str().unwrap_or_default().to_owned();
        *counts.entry(severity).or_default() += 1;
    }
    counts
}
