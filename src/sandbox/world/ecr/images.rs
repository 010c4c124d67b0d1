//! Images: putting, finding, listing and removing them, and the layers they stand on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::manifest::{Content, Manifest, digest_of, is_digest, is_tag};
use super::repositories::Repository;
use super::{Ecr, Fault, Millis, Pace, Page, Paging, Place, fault, invalid, timestamp, with_next};

/// "Amazon ECR refreshes the last image pull timestamp at least once every 24 hours" — API reference, `ImageDetail`.
const PULL_TIME_REFRESH: Millis = 24 * 60 * 60 * 1000;

/// How long the address of a layer is good: "a pre-signed Amazon S3 download URL", one hour on the real service.
const DOWNLOAD_LIFETIME: Millis = 60 * 60 * 1000;

/// An image as it was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub manifest: String,
    pub media_type: String,
    artifact_type: Option<String>,
    pub(super) pushed_at: Millis,
    pub(super) pulled_at: Option<Millis>,
    /// When its last scan began.
    #[serde(default)]
    pub(super) scanned_at: Option<Millis>,
    size: u64,
}

impl Image {
    /// What the stored manifest says. It was parsed before it was stored.
    #[must_use]
    pub fn parsed(&self) -> Manifest {
        Manifest::parse(&self.manifest, Some(&self.media_type)).expect("only manifests that parse are stored")
    }
}

/// A manifest on its way into a repository.
#[derive(Debug, Clone, Copy)]
pub struct ImageToPut<'a> {
    pub manifest: &'a str,
    pub media_type: Option<&'a str>,
    pub tag: Option<&'a str>,
    /// The digest that the sender computed.
    pub digest: Option<&'a str>,
}

/// What putting an image changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// A new image, or a tag that is new or moved.
    Changed,
    /// The repository had exactly this.
    AsBefore,
}

/// Why an image was not put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutRefusal {
    RepositoryNotFound,
    NotAManifest,
    NotATag { tag: String },
    DigestDoesNotMatch { stated: String },
    LayersNotFound { digests: Vec<String> },
    ReferencedImagesNotFound { digests: Vec<String> },
    TagIsImmutable { tag: String },
}

impl PutRefusal {
    /// The refusal as ECR's API words it; the registry uses the same sentences under other codes.
    #[must_use]
    pub fn fault(&self, place: &Place, repository: &str) -> Fault {
        let account = &place.account;
        match self {
            Self::RepositoryNotFound => super::repository_not_found(repository, account),
            Self::NotAManifest => invalid("ImageManifest", "Invalid JSON syntax"),
            Self::NotATag { tag } => fault(
                "InvalidParameterException",
                format!("Invalid parameter at 'imageTag' failed to satisfy constraint: '{tag}' is not a valid tag"),
            ),
            Self::DigestDoesNotMatch { stated } => fault(
                "ImageDigestDoesNotMatchException",
                format!(
                    "The image with digest '{stated}' in repository '{repository}' and registry ID '{account}' does not match the image digest that Amazon ECR has calculated."
                ),
            ),
            Self::LayersNotFound { digests } => fault(
                "LayersNotFoundException",
                format!("Layers with digests '[{}]' {}", digests.join(", "), required(repository, account)),
            ),
            Self::ReferencedImagesNotFound { digests } => fault(
                "ReferencedImagesNotFoundException",
                format!("Images with digests '[{}]' {}", digests.join(", "), required(repository, account)),
            ),
            Self::TagIsImmutable { tag } => fault(
                "ImageTagAlreadyExistsException",
                format!(
                    "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten because the tag is immutable."
                ),
            ),
        }
    }
}

fn required(repository: &str, account: &str) -> String {
    format!(
        "required for pushing image into repository with name '{repository}' in the registry with id '{account}' do not exist"
    )
}

/// Why one of several images was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    NoDigestAndNoTag,
    InvalidDigest,
    InvalidTag,
    NotFound,
    TagDoesNotMatchDigest,
    ReferencedByManifestList { lists: Vec<String> },
}

impl Failure {
    fn answer(&self, id: &ImageId) -> Value {
        let (code, reason) = match self {
            Self::NoDigestAndNoTag => {
                ("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null".to_owned())
            }
            Self::InvalidDigest => (
                "InvalidImageDigest",
                "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
                    .to_owned(),
            ),
            Self::InvalidTag => (
                "InvalidImageTag",
                "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'"
                    .to_owned(),
            ),
            Self::NotFound => ("ImageNotFound", "Requested image not found".to_owned()),
            Self::TagDoesNotMatchDigest => {
                ("ImageTagDoesNotMatchDigest", "Requested image tag does not match requested image digest".to_owned())
            }
            Self::ReferencedByManifestList { lists } => (
                "ImageReferencedByManifestList",
                format!("Requested image referenced by manifest list: [{}]", lists.join(", ")),
            ),
        };
        json!({ "imageId": id, "failureCode": code, "failureReason": reason })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageId {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image_tag: Option<String>,
}

impl ImageId {
    /// AWS writes the member that was not given as the word `null`.
    pub(super) fn words(&self) -> String {
        let digest = self.image_digest.as_deref().unwrap_or("null");
        let tag = self.image_tag.as_deref().unwrap_or("null");
        format!("{{imageDigest:'{digest}', imageTag:'{tag}'}}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum TagStatus {
    Tagged,
    Untagged,
    Any,
}

impl TagStatus {
    fn lets_through(self, tags: usize) -> bool {
        match self {
            Self::Tagged => tags > 0,
            Self::Untagged => tags == 0,
            Self::Any => true,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    tag_status: Option<TagStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeImages {
    repository_name: String,
    image_ids: Option<Vec<ImageId>>,
    filter: Option<Filter>,
    #[serde(flatten)]
    paging: Paging,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListReferrers {
    repository_name: String,
    subject_id: Subject,
    filter: Option<ReferrerFilter>,
    #[serde(flatten)]
    paging: Paging,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subject {
    image_digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerFilter {
    artifact_types: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListImages {
    repository_name: String,
    filter: Option<Filter>,
    #[serde(flatten)]
    paging: Paging,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchOfImages {
    repository_name: String,
    image_ids: Vec<ImageId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutImage {
    repository_name: String,
    image_manifest: String,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchOfLayers {
    repository_name: String,
    layer_digests: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OneLayer {
    repository_name: String,
    layer_digest: String,
}

impl Repository {
    pub(super) fn tags_of(&self, digest: &str) -> Vec<&str> {
        self.image_tags.iter().filter(|(_, at)| *at == digest).map(|(tag, _)| tag.as_str()).collect()
    }

    fn find(&self, id: &ImageId) -> Result<String, Failure> {
        let found = match (id.image_digest.as_deref(), id.image_tag.as_deref()) {
            (None, None) => return Err(Failure::NoDigestAndNoTag),
            (Some(digest), _) if !is_digest(digest) => return Err(Failure::InvalidDigest),
            (_, Some(tag)) if !is_tag(tag) => return Err(Failure::InvalidTag),
            (Some(digest), Some(tag)) => match self.image_tags.get(tag) {
                Some(at) if at == digest => Some(digest),
                Some(_) => return Err(Failure::TagDoesNotMatchDigest),
                None => None,
            },
            (Some(digest), None) => self.images.contains_key(digest).then_some(digest),
            (None, Some(tag)) => self.image_tags.get(tag).map(String::as_str),
        };
        found.map(str::to_owned).ok_or(Failure::NotFound)
    }

    /// The digest of an image that must be here.
    pub(super) fn named(&self, place: &Place, name: &str, id: &ImageId) -> Result<String, Fault> {
        self.find(id).map_err(|_| image_not_found(place, name, id))
    }

    /// The images that refer to this one, whether it is here or not.
    pub fn referrers(&self, subject: &str) -> impl Iterator<Item = (&str, &Image, Manifest)> {
        let parsed = self.images.iter().map(|(digest, image)| (digest.as_str(), image, image.parsed()));
        parsed.filter(move |(_, _, manifest)| manifest.subject.as_deref() == Some(subject))
    }

    /// Removes an image with all its tags; `false` where something stands on it.
    pub(super) fn remove_image(&mut self, digest: &str) -> bool {
        self.remove(&ImageId { image_digest: Some(digest.to_owned()), image_tag: None }).is_ok()
    }

    fn put(&mut self, image: ImageToPut<'_>, now: Millis) -> Result<(String, Stored), PutRefusal> {
        let manifest = Manifest::parse(image.manifest, image.media_type).map_err(|_| PutRefusal::NotAManifest)?;
        let digest = digest_of(image.manifest.as_bytes());
        if let Some(stated) = image.digest.filter(|stated| *stated != digest) {
            return Err(PutRefusal::DigestDoesNotMatch { stated: stated.to_owned() });
        }
        if let Some(tag) = image.tag.filter(|tag| !is_tag(tag)) {
            return Err(PutRefusal::NotATag { tag: tag.to_owned() });
        }
        // A repeated layer is named once in the refusal.
        let absent = |wanted: Vec<&str>, has: &dyn Fn(&str) -> bool| -> Vec<String> {
            wanted
                .into_iter()
                .filter(|digest| !has(digest))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        let layers = absent(manifest.layers(), &|digest| self.layers.contains_key(digest));
        if !layers.is_empty() {
            return Err(PutRefusal::LayersNotFound { digests: layers });
        }
        let children = absent(manifest.children(), &|digest| self.images.contains_key(digest));
        if !children.is_empty() {
            return Err(PutRefusal::ReferencedImagesNotFound { digests: children });
        }
        let mut stored = if self.images.contains_key(&digest) { Stored::AsBefore } else { Stored::Changed };
        if let Some(tag) = image.tag {
            match self.image_tags.get(tag) {
                Some(at) if *at == digest => {}
                Some(_) if self.is_immutable(tag) => return Err(PutRefusal::TagIsImmutable { tag: tag.to_owned() }),
                Some(_) | None => stored = Stored::Changed,
            }
        }
        // Only now that nothing can refuse is anything changed.
        if let Some(tag) = image.tag {
            self.image_tags.insert(tag.to_owned(), digest.clone());
        }
        if !self.images.contains_key(&digest) {
            let size = self.size_of(&manifest);
            let put = Image {
                manifest: image.manifest.to_owned(),
                media_type: manifest.media_type,
                artifact_type: manifest.artifact_type,
                pushed_at: now,
                pulled_at: None,
                scanned_at: None,
                size,
            };
            self.images.insert(digest.clone(), put);
        }
        Ok((digest, stored))
    }

    /// "If the image is a manifest list, this will be the max size of all manifests in the list" — API reference,
    /// `ImageDetail`.
    fn size_of(&self, manifest: &Manifest) -> u64 {
        match &manifest.content {
            Content::Image { config, layers } => {
                std::iter::once(config).chain(layers).filter_map(|piece| self.layers.get(&piece.digest)).sum()
            }
            Content::Index { manifests } => manifests
                .iter()
                .filter_map(|piece| self.images.get(&piece.digest))
                .map(|image| image.size)
                .max()
                .unwrap_or(0),
        }
    }

    /// Removes one tag, and with the last tag the image; or by digest the image with all its tags.
    fn remove(&mut self, id: &ImageId) -> Result<Vec<ImageId>, Failure> {
        let digest = self.find(id)?;
        let of = |tag: Option<&str>| ImageId { image_digest: Some(digest.clone()), image_tag: tag.map(str::to_owned) };
        if let Some(tag) = &id.image_tag
            && self.tags_of(&digest).len() > 1
        {
            self.image_tags.remove(tag);
            return Ok(vec![of(Some(tag))]);
        }
        let lists: Vec<String> = self
            .images
            .iter()
            .filter(|(_, image)| image.parsed().children().contains(&digest.as_str()))
            .map(|(list, _)| list.clone())
            .collect();
        if !lists.is_empty() {
            return Err(Failure::ReferencedByManifestList { lists });
        }
        let mut removed: Vec<ImageId> = self.tags_of(&digest).into_iter().map(|tag| of(Some(tag))).collect();
        if removed.is_empty() {
            removed.push(of(None));
        }
        self.image_tags.retain(|_, at| *at != digest);
        if let Some(image) = self.images.remove(&digest) {
            self.forget_layers_of(&image.parsed());
        }
        Ok(removed)
    }

    /// Layers that only this image stood on go with it. Layers that no image stands on yet stay: a push is on its way.
    fn forget_layers_of(&mut self, manifest: &Manifest) {
        let others: Vec<Manifest> = self.images.values().map(Image::parsed).collect();
        let used: BTreeSet<&str> = others.iter().flat_map(Manifest::layers).collect();
        for digest in manifest.layers() {
            if !used.contains(digest) {
                self.layers.remove(digest);
            }
        }
    }
}

impl Ecr {
    /// Puts an image, for both faces of the registry.
    pub fn put(
        &mut self,
        repository: &str,
        image: ImageToPut<'_>,
        now: Millis,
    ) -> Result<(String, Stored), PutRefusal> {
        let found = self.repositories.get_mut(repository).ok_or(PutRefusal::RepositoryNotFound)?;
        let put = found.put(image, now)?;
        let scans = found.scans_on_push() || self.scanning.on_push(repository);
        if let Some(image) = found.images.get_mut(&put.0).filter(|image| scans && image.scanned_at.is_none())
            && matches!(image.parsed().content, Content::Image { .. })
        {
            image.scanned_at = Some(now);
        }
        if put.1 == Stored::Changed {
            self.changed();
        }
        Ok(put)
    }

    /// Removes what the registry's `DELETE` names; `false` when it was not there.
    ///
    /// A manifest that a list stands on is not removed either: OCI leaves that open, ECR refuses it.
    pub fn remove(&mut self, repository: &str, tag_or_digest: &str) -> bool {
        let id = if is_digest(tag_or_digest) {
            ImageId { image_digest: Some(tag_or_digest.to_owned()), image_tag: None }
        } else {
            ImageId { image_digest: None, image_tag: Some(tag_or_digest.to_owned()) }
        };
        let removed = self.repositories.get_mut(repository).is_some_and(|found| found.remove(&id).is_ok());
        if removed {
            self.changed();
        }
        removed
    }

    /// Notes that somebody pulled the image.
    pub fn pulled(&mut self, repository: &str, digest: &str, now: Millis) {
        let image = self.repositories.get_mut(repository).and_then(|found| found.images.get_mut(digest));
        if let Some(image) = image
            && image.pulled_at.is_none_or(|at| now >= at + PULL_TIME_REFRESH)
        {
            image.pulled_at = Some(now);
            self.changed();
        }
    }

    pub(super) fn put_image(&mut self, place: &Place, input: PutImage, now: Millis) -> Result<Value, Fault> {
        let PutImage { repository_name: name, image_manifest, image_manifest_media_type, image_tag, image_digest } =
            input;
        let image = ImageToPut {
            manifest: &image_manifest,
            media_type: image_manifest_media_type.as_deref(),
            tag: image_tag.as_deref(),
            digest: image_digest.as_deref(),
        };
        match self.put(&name, image, now).map_err(|refusal| refusal.fault(place, &name))? {
            (digest, Stored::Changed) => {
                let id = ImageId { image_digest: Some(digest), image_tag };
                Ok(json!({ "image": self.image_answer(place, &name, &id)? }))
            }
            (digest, Stored::AsBefore) => {
                let tag = image_tag.as_deref().unwrap_or("null");
                let account = &place.account;
                Err(fault(
                    "ImageAlreadyExistsException",
                    format!(
                        "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{name}' in registry with id '{account}'"
                    ),
                ))
            }
        }
    }

    fn image_answer(&self, place: &Place, name: &str, id: &ImageId) -> Result<Value, Fault> {
        let found = id.image_digest.as_deref().and_then(|digest| self.repositories.get(name)?.images.get(digest));
        let image = found.ok_or_else(|| image_not_found(place, name, id))?;
        Ok(json!({
            "registryId": place.account,
            "repositoryName": name,
            "imageId": id,
            "imageManifest": image.manifest,
            "imageManifestMediaType": image.media_type,
        }))
    }

    pub(super) fn list_image_referrers(&self, place: &Place, input: ListReferrers) -> Result<Value, Fault> {
        let ListReferrers { repository_name: name, subject_id, filter, paging } = input;
        let repository = self.existing(place, &name)?;
        let wanted = filter.and_then(|filter| filter.artifact_types).unwrap_or_default();
        let referrers = repository.referrers(&subject_id.image_digest).filter_map(|(digest, image, manifest)| {
            let kind = manifest.artifact_type.unwrap_or_default();
            if !wanted.is_empty() && !wanted.contains(&kind) {
                return None;
            }
            let mut referrer = json!({
                "digest": digest,
                "mediaType": manifest.media_type,
                "size": image.manifest.len(),
                "artifactStatus": "ACTIVE",
            });
            if !kind.is_empty() {
                referrer["artifactType"] = json!(kind);
            }
            if !manifest.annotations.is_empty() {
                referrer["annotations"] = Value::Object(manifest.annotations);
            }
            Some((digest.to_owned(), referrer))
        });
        let page = Page::cut(referrers, paging.next_token.as_deref(), paging.max_results)?;
        Ok(with_next(json!({ "referrers": page.items }), page.next))
    }

    pub(super) fn describe_images(
        &self,
        place: &Place,
        input: DescribeImages,
        speed: Pace,
        now: Millis,
    ) -> Result<Value, Fault> {
        let name = input.repository_name;
        let repository = self.existing(place, &name)?;
        let detail = |digest: &str, image: &Image| {
            let mut detail = json!({
                "registryId": place.account,
                "repositoryName": name,
                "imageDigest": digest,
                "imageSizeInBytes": image.size,
                "imagePushedAt": timestamp(image.pushed_at),
                "imageManifestMediaType": image.media_type,
                "imageStatus": "ACTIVE",
            });
            let tags = repository.tags_of(digest);
            if !tags.is_empty() {
                detail["imageTags"] = json!(tags);
            }
            if let Some(kind) = &image.artifact_type {
                detail["artifactMediaType"] = json!(kind);
            }
            if let Some(at) = image.pulled_at {
                detail["lastRecordedPullTime"] = timestamp(at);
            }
            if let Some((status, summary)) = self.scan_summary(repository, &name, digest, speed, now) {
                detail["imageScanStatus"] = status;
                if let Some(summary) = summary {
                    detail["imageScanFindingsSummary"] = summary;
                }
            }
            if let Some(subject) = image.parsed().subject {
                detail["subjectManifestDigest"] = json!(subject);
            }
            detail
        };
        if let Some(ids) = input.image_ids {
            if input.paging.next_token.is_some() || input.paging.max_results.is_some() {
                return Err(fault(
                    "InvalidParameterException",
                    "nextToken and maxResults cannot be used together with imageIds",
                ));
            }
            // Several names of one image describe it once.
            let mut digests = Vec::new();
            for id in &ids {
                let digest = repository.named(place, &name, id)?;
                if !digests.contains(&digest) {
                    digests.push(digest);
                }
            }
            let details: Vec<Value> = digests
                .iter()
                .filter_map(|digest| Some((digest, repository.images.get(digest)?)))
                .map(|(digest, image)| detail(digest, image))
                .collect();
            return Ok(json!({ "imageDetails": details }));
        }
        let status = input.filter.and_then(|filter| filter.tag_status).unwrap_or(TagStatus::Any);
        let wanted = repository
            .images
            .iter()
            .filter(|(digest, _)| status.lets_through(repository.tags_of(digest).len()))
            .map(|(digest, image)| (digest.clone(), detail(digest, image)));
        let page = Page::cut(wanted, input.paging.next_token.as_deref(), input.paging.max_results)?;
        Ok(with_next(json!({ "imageDetails": page.items }), page.next))
    }

    pub(super) fn list_images(&self, place: &Place, input: ListImages) -> Result<Value, Fault> {
        let repository = self.existing(place, &input.repository_name)?;
        let status = input.filter.and_then(|filter| filter.tag_status).unwrap_or(TagStatus::Any);
        let ids = repository.images.keys().flat_map(|digest| {
            let tags = repository.tags_of(digest);
            let names: Vec<Option<&str>> =
                if tags.is_empty() { vec![None] } else { tags.iter().map(|tag| Some(*tag)).collect() };
            let wanted = status.lets_through(tags.len());
            names.into_iter().filter(move |_| wanted).map(move |tag| {
                let id = ImageId { image_digest: Some(digest.clone()), image_tag: tag.map(str::to_owned) };
                (format!("{digest} {}", tag.unwrap_or_default()), id)
            })
        });
        let page = Page::cut(ids, input.paging.next_token.as_deref(), input.paging.max_results)?;
        Ok(with_next(json!({ "imageIds": page.items }), page.next))
    }

    pub(super) fn batch_get_image(&mut self, place: &Place, input: BatchOfImages, now: Millis) -> Result<Value, Fault> {
        let name = input.repository_name;
        let (mut images, mut failures) = (Vec::new(), Vec::new());
        for id in input.image_ids {
            match self.existing(place, &name)?.find(&id) {
                Ok(digest) => {
                    self.pulled(&name, &digest, now);
                    let id = ImageId { image_digest: Some(digest), image_tag: id.image_tag };
                    images.push(self.image_answer(place, &name, &id)?);
                }
                Err(failure) => failures.push(failure.answer(&id)),
            }
        }
        Ok(json!({ "images": images, "failures": failures }))
    }

    pub(super) fn batch_delete_image(&mut self, place: &Place, input: BatchOfImages) -> Result<Value, Fault> {
        let repository = self.existing_mut(place, &input.repository_name)?;
        let (mut removed, mut failures) = (Vec::new(), Vec::new());
        for id in input.image_ids {
            match repository.remove(&id) {
                Ok(ids) => removed.extend(ids),
                Err(failure) => failures.push(failure.answer(&id)),
            }
        }
        Ok(json!({ "imageIds": removed, "failures": failures }))
    }

    pub(super) fn batch_check_layer_availability(&self, place: &Place, input: BatchOfLayers) -> Result<Value, Fault> {
        let repository = self.existing(place, &input.repository_name)?;
        if !(1..=100).contains(&input.layer_digests.len()) {
            return Err(invalid("layerDigests", "Member must have length between 1 and 100"));
        }
        let (mut layers, mut failures) = (Vec::new(), Vec::new());
        for digest in input.layer_digests {
            if !is_digest(&digest) {
                failures.push(json!({
                    "layerDigest": digest,
                    "failureCode": "InvalidLayerDigest",
                    "failureReason": "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
                }));
                continue;
            }
            layers.push(match repository.layers.get(&digest) {
                Some(size) => {
                    json!({ "layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": size })
                }
                None => json!({ "layerDigest": digest, "layerAvailability": "UNAVAILABLE" }),
            });
        }
        Ok(json!({ "layers": layers, "failures": failures }))
    }

    pub(super) fn get_download_url_for_layer(
        &mut self,
        place: &Place,
        input: OneLayer,
        now: Millis,
    ) -> Result<Value, Fault> {
        let OneLayer { repository_name: name, layer_digest: digest } = input;
        if self.existing(place, &name)?.layer_size(&digest).is_none() {
            return Err(fault(
                "LayersNotFoundException",
                format!(
                    "The layer with digest '{digest}' does not exist in the repository with name '{name}' in the registry with id '{}'",
                    place.account
                ),
            ));
        }
        let password = self.issue_token_for(now, DOWNLOAD_LIFETIME);
        let token: String = form_urlencoded::byte_serialize(password.as_bytes()).collect();
        let address = format!("http://{}/v2/{name}/blobs/{digest}?X-Amz-Security-Token={token}", place.authority);
        Ok(json!({ "downloadUrl": address, "layerDigest": digest }))
    }
}

fn image_not_found(place: &Place, name: &str, id: &ImageId) -> Fault {
    let account = &place.account;
    let id = id.words();
    fault(
        "ImageNotFoundException",
        format!(
            "The image with imageId {id} does not exist within the repository with name '{name}' in the registry with id '{account}'"
        ),
    )
}
