//! Repositories: making, describing, tagging and removing them, and which of their tags may move.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::images::Image;
use super::lifecycle::Preview;
use super::{Ecr, Fault, Millis, Page, Paging, Place, fault, invalid, timestamp, with_next};

/// The pattern of ECR's API reference, `CreateRepository`.
const NAME: &str = "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*";

/// Whether ECR would take this as a repository's name.
pub fn is_repository_name(name: &str) -> bool {
    static PATTERN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(&format!("^{NAME}$")).expect("the pattern is ECR's own and compiles"));
    (2..=256).contains(&name.len()) && PATTERN.is_match(name)
}

/// A repository and all that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    created_at: Millis,
    mutability: Mutability,
    /// Wildcards of tags for which the opposite of `mutability` holds.
    exclusions: Vec<String>,
    scan_on_push: bool,
    tags: BTreeMap<String, String>,
    pub(super) policy: Option<String>,
    pub(super) lifecycle: Option<String>,
    /// When the lifecycle policy was last applied, or put.
    #[serde(default)]
    pub(super) evaluated_at: Millis,
    #[serde(default)]
    pub(super) preview: Option<Preview>,
    /// Blobs by digest, with their size.
    pub(super) layers: BTreeMap<String, u64>,
    /// Images by digest.
    pub(super) images: BTreeMap<String, Image>,
    /// Image tags, with the digest each points to.
    pub(super) image_tags: BTreeMap<String, String>,
}

/// `imageTagMutability`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Mutability {
    #[default]
    Mutable,
    Immutable,
    MutableWithExclusion,
    ImmutableWithExclusion,
}

impl Repository {
    /// The size of a blob that was pushed here.
    #[must_use]
    pub fn layer_size(&self, digest: &str) -> Option<u64> {
        self.layers.get(digest).copied()
    }

    pub fn resolve(&self, tag_or_digest: &str) -> Option<&str> {
        match self.images.get_key_value(tag_or_digest) {
            Some((digest, _)) => Some(digest),
            None => self.image_tags.get(tag_or_digest).map(String::as_str),
        }
    }

    /// The image with this tag or digest, and its digest.
    #[must_use]
    pub fn image(&self, tag_or_digest: &str) -> Option<(&str, &Image)> {
        let (digest, image) = self.images.get_key_value(self.resolve(tag_or_digest)?)?;
        Some((digest, image))
    }

    /// All images by digest, in order of the digest.
    pub fn images(&self) -> impl Iterator<Item = (&str, &Image)> {
        self.images.iter().map(|(digest, image)| (digest.as_str(), image))
    }

    /// The tags of all images, in order.
    pub fn image_tags(&self) -> impl Iterator<Item = &str> {
        self.image_tags.keys().map(String::as_str)
    }

    pub(super) fn scans_on_push(&self) -> bool {
        self.scan_on_push
    }

    pub(super) fn is_immutable(&self, tag: &str) -> bool {
        let excluded = || self.exclusions.iter().any(|wildcard| matches(wildcard, tag));
        match self.mutability {
            Mutability::Mutable => false,
            Mutability::Immutable => true,
            Mutability::MutableWithExclusion => excluded(),
            Mutability::ImmutableWithExclusion => !excluded(),
        }
    }

    fn describe(&self, place: &Place, name: &str) -> Value {
        let Place { account, region: _, authority } = place;
        let mut described = json!({
            "repositoryArn": arn(place, name),
            "registryId": account,
            "repositoryName": name,
            "repositoryUri": format!("{authority}/{name}"),
            "createdAt": timestamp(self.created_at),
            "imageTagMutability": self.mutability,
            "imageScanningConfiguration": { "scanOnPush": self.scan_on_push },
            "encryptionConfiguration": { "encryptionType": "AES256" },
        });
        if !self.exclusions.is_empty() {
            described["imageTagMutabilityExclusionFilters"] = filters(&self.exclusions);
        }
        described
    }
}

pub(super) fn arn(place: &Place, name: &str) -> String {
    let Place { account, region, authority: _ } = place;
    format!("arn:aws:ecr:{region}:{account}:repository/{name}")
}

fn filters(exclusions: &[String]) -> Value {
    exclusions.iter().map(|filter| json!({ "filterType": "WILDCARD", "filter": filter })).collect()
}

/// Whether a tag fits a wildcard in which `*` stands for any characters, also none.
pub(super) fn matches(wildcard: &str, tag: &str) -> bool {
    let Some((head, rest)) = wildcard.split_once('*') else {
        return wildcard == tag;
    };
    let Some(mut left) = tag.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = &left[at + part.len()..];
    }
    left.ends_with(tail)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateRepository {
    repository_name: String,
    #[serde(default)]
    image_tag_mutability: Mutability,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Vec<ExclusionFilter>,
    image_scanning_configuration: Option<ScanningConfiguration>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExclusionFilter {
    filter: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScanningConfiguration {
    #[serde(default)]
    scan_on_push: bool,
}

/// ECR spells the members of a tag with capitals.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeRepositories {
    repository_names: Option<Vec<String>>,
    #[serde(flatten)]
    paging: Paging,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeleteRepository {
    repository_name: String,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutImageTagMutability {
    repository_name: String,
    image_tag_mutability: Mutability,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Vec<ExclusionFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutImageScanningConfiguration {
    repository_name: String,
    image_scanning_configuration: ScanningConfiguration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TagResource {
    resource_arn: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTagsForResource {
    resource_arn: String,
}

impl Ecr {
    pub(super) fn create_repository(
        &mut self,
        place: &Place,
        input: CreateRepository,
        now: Millis,
    ) -> Result<Value, Fault> {
        let name = input.repository_name;
        if !is_repository_name(&name) {
            return Err(invalid("repositoryName", &format!("must satisfy regular expression '{NAME}'")));
        }
        if self.has_repository(&name) {
            let account = &place.account;
            return Err(fault(
                "RepositoryAlreadyExistsException",
                format!("The repository with name '{name}' already exists in the registry with id '{account}'"),
            ));
        }
        let repository = Repository {
            created_at: now,
            mutability: input.image_tag_mutability,
            exclusions: exclusions(input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?,
            scan_on_push: input.image_scanning_configuration.is_some_and(|scanning| scanning.scan_on_push),
            tags: input.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            policy: None,
            lifecycle: None,
            evaluated_at: 0,
            preview: None,
            layers: BTreeMap::new(),
            images: BTreeMap::new(),
            image_tags: BTreeMap::new(),
        };
        let answer = json!({ "repository": repository.describe(place, &name) });
        self.repositories.insert(name, repository);
        self.changed();
        Ok(answer)
    }

    pub(super) fn describe_repositories(&self, place: &Place, input: DescribeRepositories) -> Result<Value, Fault> {
        if let Some(names) = input.repository_names {
            let found: Result<Vec<Value>, Fault> =
                names.iter().map(|name| Ok(self.existing(place, name)?.describe(place, name))).collect();
            return Ok(json!({ "repositories": found? }));
        }
        let all = self.repositories.iter().map(|(name, repository)| (name.clone(), repository.describe(place, name)));
        let page = Page::cut(all, input.paging.next_token.as_deref(), input.paging.max_results)?;
        Ok(with_next(json!({ "repositories": page.items }), page.next))
    }

    pub(super) fn delete_repository(&mut self, place: &Place, input: DeleteRepository) -> Result<Value, Fault> {
        let name = input.repository_name;
        let repository = self.existing(place, &name)?;
        if !input.force && !repository.images.is_empty() {
            let account = &place.account;
            return Err(fault(
                "RepositoryNotEmptyException",
                format!(
                    "The repository with name '{name}' in registry with id '{account}' cannot be deleted because it still contains images"
                ),
            ));
        }
        let answer = json!({ "repository": repository.describe(place, &name) });
        self.repositories.remove(&name);
        self.changed();
        Ok(answer)
    }

    pub(super) fn put_image_tag_mutability(
        &mut self,
        place: &Place,
        input: PutImageTagMutability,
    ) -> Result<Value, Fault> {
        let name = input.repository_name;
        let exclusions = exclusions(input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?;
        let repository = self.existing_mut(place, &name)?;
        repository.mutability = input.image_tag_mutability;
        repository.exclusions = exclusions;
        let mut answer = json!({
            "registryId": place.account,
            "repositoryName": name,
            "imageTagMutability": repository.mutability,
        });
        if !repository.exclusions.is_empty() {
            answer["imageTagMutabilityExclusionFilters"] = filters(&repository.exclusions);
        }
        Ok(answer)
    }

    pub(super) fn put_image_scanning_configuration(
        &mut self,
        place: &Place,
        input: PutImageScanningConfiguration,
    ) -> Result<Value, Fault> {
        let name = input.repository_name;
        let repository = self.existing_mut(place, &name)?;
        repository.scan_on_push = input.image_scanning_configuration.scan_on_push;
        Ok(json!({
            "registryId": place.account,
            "repositoryName": name,
            "imageScanningConfiguration": { "scanOnPush": repository.scan_on_push },
        }))
    }

    pub(super) fn tag_resource(&mut self, place: &Place, input: TagResource) -> Result<Value, Fault> {
        let repository = self.existing_mut(place, name_in(place, &input.resource_arn)?)?;
        repository.tags.extend(input.tags.into_iter().map(|tag| (tag.key, tag.value)));
        Ok(json!({}))
    }

    pub(super) fn untag_resource(&mut self, place: &Place, input: &UntagResource) -> Result<Value, Fault> {
        let repository = self.existing_mut(place, name_in(place, &input.resource_arn)?)?;
        repository.tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(json!({}))
    }

    pub(super) fn list_tags_for_resource(&self, place: &Place, input: &ListTagsForResource) -> Result<Value, Fault> {
        let repository = self.existing(place, name_in(place, &input.resource_arn)?)?;
        let tags: Vec<Value> =
            repository.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        Ok(json!({ "tags": tags }))
    }
}

/// Filters without `…_WITH_EXCLUSION` mean nothing, and `…_WITH_EXCLUSION` needs them.
fn exclusions(mutability: Mutability, filters: Vec<ExclusionFilter>) -> Result<Vec<String>, Fault> {
    let wanted = match mutability {
        Mutability::Mutable | Mutability::Immutable => false,
        Mutability::MutableWithExclusion | Mutability::ImmutableWithExclusion => true,
    };
    if wanted == filters.is_empty() {
        let constraint = if wanted {
            "must not be empty for this imageTagMutability"
        } else {
            "must be empty for this imageTagMutability"
        };
        return Err(invalid("imageTagMutabilityExclusionFilters", constraint));
    }
    Ok(filters.into_iter().map(|filter| filter.filter).collect())
}

fn name_in<'a>(place: &Place, arn: &'a str) -> Result<&'a str, Fault> {
    let prefix = format!("arn:aws:ecr:{}:{}:repository/", place.region, place.account);
    arn.strip_prefix(&prefix).ok_or_else(|| invalid("resourceArn", &format!("must start with {prefix}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_ecr_takes_them() {
        for (name, good) in [
            ("jobs/api", true),
            ("a1", true),
            ("team/jobs-api/v2.web_x", true),
            ("a", false),
            ("Jobs", false),
            ("jobs/", false),
            ("/jobs", false),
            ("jobs//api", false),
            ("jobs..api", false),
            ("jobs-", false),
            (&"a".repeat(256), true),
            (&"a".repeat(257), false),
        ] {
            assert_eq!(is_repository_name(name), good, "{name}");
        }
    }

    #[test]
    fn wildcards() {
        for (wildcard, tag, fits) in [
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("latest*", "latest2", true),
            ("*-rc", "v1-rc", true),
            ("*-rc", "v1-rc1", false),
            ("v*.*.0", "v1.2.0", true),
            ("v*.*.0", "v1.2.1", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(wildcard, tag), fits, "{wildcard} {tag}");
        }
    }
}
