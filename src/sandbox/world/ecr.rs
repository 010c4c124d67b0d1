//! ECR: repositories, their images and layers, and the passwords of the registry.
//!
//! The world knows which blobs a repository has and holds the manifests, which are small; the bytes of the blobs are the
//! business of `wire::registry::Store`. Policies of repositories and of the registry are kept and deny nobody, and a scan
//! finds what the sandbox was told that it finds.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Fault, Millis, Pace, Place, World};

mod images;
mod lifecycle;
pub mod manifest;
mod policies;
mod registry;
mod repositories;
mod scans;
mod token;

pub use images::{Image, ImageToPut, PutRefusal, Stored};
pub use repositories::{Repository, is_repository_name};
pub use scans::Findings;
pub use token::Standing;

/// The registry of one account in one region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ecr {
    repositories: BTreeMap<String, Repository>,
    mint: token::Mint,
    #[serde(default)]
    blob_mounting: BlobMounting,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    scanning: registry::Scanning,
    #[serde(skip)]
    findings: Findings,
    /// Counts changes, so that the world is written to disk only when there is something new.
    #[serde(default)]
    revision: u64,
}

/// The account setting `BLOB_MOUNTING`: whether a push may take a layer from another repository of the registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BlobMounting {
    #[default]
    Disabled,
    Enabled,
}

/// Answers one call of the `AmazonEC2ContainerRegistry_V20150921` service.
pub fn call(world: &mut World, operation: &str, input: &Value, now: Millis) -> Result<Value, Fault> {
    let World { place, pace: speed, ecr, .. } = world;
    ecr.expire(*speed, now);
    ecr.answer(place, *speed, operation, input, now)
}

impl Ecr {
    /// Changes whenever the registry does.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn changed(&mut self) {
        self.revision += 1;
    }

    /// A password for the user `AWS` of the registry, good for twelve hours.
    pub fn issue_token(&mut self, now: Millis) -> String {
        self.issue_token_for(now, token::LIFETIME)
    }

    /// A password that lives shorter or longer than AWS's.
    pub fn issue_token_for(&mut self, now: Millis, lifetime: Millis) -> String {
        // A password is not remembered; only the key behind all of them is, once.
        if !self.mint.has_key() {
            self.changed();
        }
        self.mint.issue(now, lifetime)
    }

    /// From now on every password issued so far counts as expired: what a long push meets in the middle.
    pub fn expire_tokens(&mut self, now: Millis) {
        self.mint.expire_all(now);
        self.changed();
    }

    #[must_use]
    pub fn token_standing(&self, password: &str, now: Millis) -> Standing {
        self.mint.standing(password, now)
    }

    #[must_use]
    pub fn has_repository(&self, name: &str) -> bool {
        self.repositories.contains_key(name)
    }

    #[must_use]
    pub fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// The names of all repositories, in order.
    pub fn repository_names(&self) -> impl Iterator<Item = &str> {
        self.repositories.keys().map(String::as_str)
    }

    #[must_use]
    pub fn blob_mounting(&self) -> BlobMounting {
        self.blob_mounting
    }

    /// The digest of the image with this tag or digest, if the repository has it.
    pub fn resolve(&self, repository: &str, tag_or_digest: &str) -> Option<String> {
        self.repositories.get(repository)?.resolve(tag_or_digest).map(str::to_owned)
    }

    /// Every blob that some repository has: what is worth keeping on disk.
    pub fn blobs(&self) -> impl Iterator<Item = &str> {
        self.repositories.values().flat_map(|repository| repository.layers.keys().map(String::as_str))
    }

    /// Writes down that the repository has this blob. Answers whether the repository (still) exists.
    pub fn add_layer(&mut self, repository: &str, digest: &str, size: u64) -> bool {
        let Some(found) = self.repositories.get_mut(repository) else {
            return false;
        };
        found.layers.insert(digest.to_owned(), size);
        self.changed();
        true
    }

    /// Answers one call, knowing nothing but the registry and where it is.
    pub(crate) fn answer(
        &mut self,
        place: &Place,
        speed: Pace,
        operation: &str,
        input: &Value,
        now: Millis,
    ) -> Result<Value, Fault> {
        // Another account's registry has nothing for us: AWS answers as if the repository were not there.
        if let (Some(registry), Some(name)) = (text(input, "registryId"), text(input, "repositoryName"))
            && registry != place.account
        {
            return Err(repository_not_found(name, registry));
        }
        match operation {
            "GetAuthorizationToken" => Ok(self.get_authorization_token(place, now)),
            "DescribeRegistry" => {
                Ok(json!({ "registryId": place.account, "replicationConfiguration": { "rules": [] } }))
            }
            "PutReplicationConfiguration" => Self::put_replication_configuration(&decode(input)?),
            "DescribeImageReplicationStatus" => self.describe_image_replication_status(place, decode(input)?),
            "PutRegistryPolicy" => self.put_registry_policy(place, decode(input)?),
            "GetRegistryPolicy" => self.get_registry_policy(place),
            "DeleteRegistryPolicy" => self.delete_registry_policy(place),
            "PutRegistryScanningConfiguration" => self.put_registry_scanning_configuration(input),
            "GetRegistryScanningConfiguration" => Ok(self.get_registry_scanning_configuration(place)),
            "BatchGetRepositoryScanningConfiguration" => {
                self.batch_get_repository_scanning_configuration(place, decode(input)?)
            }
            "GetAccountSetting" => self.get_account_setting(input),
            "PutAccountSetting" => self.put_account_setting(input),

            "CreateRepository" => self.create_repository(place, decode(input)?, now),
            "DescribeRepositories" => self.describe_repositories(place, decode(input)?),
            "DeleteRepository" => self.delete_repository(place, decode(input)?),
            "PutImageTagMutability" => self.put_image_tag_mutability(place, decode(input)?),
            "PutImageScanningConfiguration" => self.put_image_scanning_configuration(place, decode(input)?),
            "TagResource" => self.tag_resource(place, decode(input)?),
            "UntagResource" => self.untag_resource(place, &decode(input)?),
            "ListTagsForResource" => self.list_tags_for_resource(place, &decode(input)?),

            "SetRepositoryPolicy" => self.set_repository_policy(place, decode(input)?),
            "GetRepositoryPolicy" => self.get_repository_policy(place, decode(input)?),
            "DeleteRepositoryPolicy" => self.delete_repository_policy(place, decode(input)?),
            "PutLifecyclePolicy" => self.put_lifecycle_policy(place, decode(input)?, now),
            "GetLifecyclePolicy" => self.get_lifecycle_policy(place, decode(input)?),
            "DeleteLifecyclePolicy" => self.delete_lifecycle_policy(place, decode(input)?),

            "StartLifecyclePolicyPreview" => self.start_lifecycle_policy_preview(place, decode(input)?, speed, now),
            "GetLifecyclePolicyPreview" => self.get_lifecycle_policy_preview(place, decode(input)?),
            "StartImageScan" => self.start_image_scan(place, decode(input)?, speed, now),
            "DescribeImageScanFindings" => self.describe_image_scan_findings(place, decode(input)?, speed, now),

            "DescribeImages" => self.describe_images(place, decode(input)?, speed, now),
            "ListImageReferrers" => self.list_image_referrers(place, decode(input)?),
            "ListImages" => self.list_images(place, decode(input)?),
            "BatchGetImage" => self.batch_get_image(place, decode(input)?, now),
            "BatchDeleteImage" => self.batch_delete_image(place, decode(input)?),
            "PutImage" => self.put_image(place, decode(input)?, now),
            "BatchCheckLayerAvailability" => self.batch_check_layer_availability(place, decode(input)?),
            "GetDownloadUrlForLayer" => self.get_download_url_for_layer(place, decode(input)?, now),
            _ => Err(fault("UnknownOperationException", format!("the sandbox does not emulate ECR's {operation}"))),
        }
    }

    fn get_authorization_token(&mut self, place: &Place, now: Millis) -> Value {
        let password = self.issue_token(now);
        json!({ "authorizationData": [{
            "authorizationToken": STANDARD.encode(format!("AWS:{password}")),
            "expiresAt": timestamp(now + token::LIFETIME),
            "proxyEndpoint": format!("http://{}", place.authority),
        }] })
    }

    fn existing(&self, place: &Place, name: &str) -> Result<&Repository, Fault> {
        self.repositories.get(name).ok_or_else(|| repository_not_found(name, &place.account))
    }

    /// The repository, to be changed; the change is counted.
    fn existing_mut(&mut self, place: &Place, name: &str) -> Result<&mut Repository, Fault> {
        let found = self.repositories.get_mut(name).ok_or_else(|| repository_not_found(name, &place.account))?;
        self.revision += 1;
        Ok(found)
    }
}

/// "The repository with name 'x' does not exist in the registry with id '000000000000'", as AWS says it on both faces.
#[must_use]
pub fn repository_not_found(name: &str, account: &str) -> Fault {
    fault(
        "RepositoryNotFoundException",
        format!("The repository with name '{name}' does not exist in the registry with id '{account}'"),
    )
}

/// ECR answers every refusal with status 400.
fn fault(code: &str, message: impl Into<String>) -> Fault {
    Fault { status: 400, code: code.to_owned(), message: message.into() }
}

fn invalid(member: &str, constraint: &str) -> Fault {
    fault(
        "InvalidParameterException",
        format!("Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'"),
    )
}

fn missing(member: &str) -> Fault {
    invalid(member, "must not be null")
}

fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.get(member).and_then(Value::as_str)
}

/// The members of a call as its own type.
pub fn decode<T: DeserializeOwned>(input: &Value) -> Result<T, Fault> {
    serde_json::from_value(input.clone()).map_err(|error| {
        let words = error.to_string();
        match words.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
            Some((member, _)) => missing(member),
            None => fault("SerializationException", words),
        }
    })
}

/// AWS JSON 1.1 writes moments as seconds with a fraction.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are exact in 53 bits for the next 285,000 years"
)]
fn timestamp(at: Millis) -> Value {
    json!(at as f64 / 1000.0)
}

fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("every system we run on has a source of randomness");
    hex::encode(bytes)
}

/// One page of what is ordered by key. The token names the last key that was given, so that a page stays in its place when
/// something is added before it.
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paging {
    next_token: Option<String>,
    max_results: Option<usize>,
}

impl<T> Page<T> {
    /// ECR gives at most 1000 at once, and 100 when not told.
    fn cut(
        items: impl Iterator<Item = (String, T)>,
        token: Option<&str>,
        max_results: Option<usize>,
    ) -> Result<Self, Fault> {
        let most = max_results.unwrap_or(100);
        if !(1..=1000).contains(&most) {
            return Err(invalid("maxResults", "Member must be between 1 and 1000"));
        }
        let after = match token {
            None => None,
            Some(token) => Some(
                STANDARD
                    .decode(token)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| invalid("nextToken", "must be a token from an earlier answer"))?,
            ),
        };
        let mut rest = items.skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after)).peekable();
        let mut page = Self { items: Vec::new(), next: None };
        while let Some((key, item)) = rest.next() {
            page.items.push(item);
            if page.items.len() == most {
                page.next = rest.peek().map(|_| STANDARD.encode(key));
                break;
            }
        }
        Ok(page)
    }
}

/// Adds `nextToken` where there is one; AWS leaves the member out on the last page.
fn with_next(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = Value::String(next);
    }
    answer
}

#[cfg(test)]
mod tests;
