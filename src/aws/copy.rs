//! An image from one ECR repository to another, through ECR's own API: manifests and layers as they are, byte by byte,
//! so that the digest stays what it was. Neither an engine nor a login is needed, and each end has credentials of its
//! own. Layers go through in parts; what the other end has already is not sent again.

mod attached;
mod layers;
mod manifest;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_config::timeout::TimeoutConfig;
use aws_sdk_ecr as sdk;
use aws_sdk_ecr::{
    config::{Builder, Region},
    types::{ImageIdentifier, LayerAvailability},
};
use tokio::sync::mpsc;

use self::{
    attached::Artifact,
    layers::Wire,
    manifest::{Manifest, Piece},
};
use super::{
    call::send,
    connect::Aws,
    error::{AwsError, ConnectCause, Service},
};
use crate::{
    event::Progress,
    image::{Digest, ImageName, Tag},
};

const SERVICE: Service = Service::Ecr;

/// All the kinds of manifest that ECR stores: without them it would translate one into another, which has another digest.
const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
];

/// "Array Members: Minimum number of 1 item. Maximum number of 100 items" (`BatchGetImage`,
/// `BatchCheckLayerAvailability`).
const BATCH: usize = 100;

/// An index of more images than this is not one that somebody deploys.
const MOST_MANIFESTS: usize = 500;

/// Why an image did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("{what} {digest} is not in {repository} any more")]
    Gone { what: &'static str, digest: String, repository: String },
    #[error("{what} {digest} came as {found}: the bytes that were read are not those that were pushed")]
    OtherBytes { what: &'static str, digest: String, found: String },
    #[error("manifest {digest} cannot be read: {why}")]
    Manifest { digest: String, why: String },
    #[error("layer {digest} could not be read to its end, {read} of {size} bytes came")]
    Download {
        digest: String,
        read: u64,
        size: u64,
        #[source]
        cause: ConnectCause,
    },
}

impl CopyError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Aws(_) => "see what AWS says".to_owned(),
            Self::Gone { .. } => {
                "a lifecycle policy may have removed it: build and deploy the environment it comes from again".to_owned()
            }
            Self::OtherBytes { .. } => {
                "run the same command again; if it stays so, something between here and ECR changes what is read, a proxy \
                 as a rule"
                    .to_owned()
            }
            Self::Manifest { .. } => "push the image again with a current Docker, and deploy it there first".to_owned(),
            Self::Download { .. } => {
                "run the same command again: the layers that have arrived are not sent twice. Layers are read from S3 \
                 (prod-<region>-starport-layer-bucket), which a proxy or a VPC endpoint policy must let through"
                    .to_owned()
            }
        }
    }

    /// Whether the same layer may go through when it is begun anew.
    fn is_passing(&self) -> bool {
        match self {
            Self::Aws(error) => {
                let begun_anew = ["InvalidLayerPartException", "UploadNotFoundException", "InvalidLayerException"];
                error.is_passing() || error.code().is_some_and(|code| begun_anew.contains(&code))
            }
            Self::OtherBytes { .. } | Self::Download { .. } => true,
            Self::Gone { .. } | Self::Manifest { .. } => false,
        }
    }
}

/// What is to be copied.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub from: &'a ImageName,
    pub digest: &'a Digest,
    pub to: &'a ImageName,
    pub tag: &'a Tag,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Layers that were sent, and their bytes.
    pub layers: usize,
    pub bytes: u64,
    /// Signatures, SBOMs and the like that came with it.
    pub attached: usize,
}

/// What a repository has under a tag.
struct Stored {
    tag: String,
    digest: String,
    text: String,
    media_type: Option<String>,
}

/// A repository at one end of a copy.
struct End<'a> {
    aws: &'a Aws,
    client: sdk::Client,
    /// `None`: the registry of the caller.
    registry: Option<String>,
    repository: &'a str,
}

impl<'a> End<'a> {
    fn of(aws: &'a Aws, name: &'a ImageName) -> Self {
        // A part of a layer is some megabytes: on a thin line it takes longer than any other call.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(4))
            .operation_attempt_timeout(Duration::from_mins(2))
            .operation_timeout(Duration::from_mins(10))
            .build();
        let config = Builder::from(&aws.config).timeout_config(timeouts);
        let host = name.ecr();
        let config = match &host {
            Some(host) => config.region(Region::new(host.region.clone())),
            None => config,
        };
        Self {
            aws,
            client: sdk::Client::from_conf(config.build()),
            registry: host.map(|host| host.account),
            repository: &name.repository,
        }
    }

    /// The manifests of these digests.
    async fn manifests(&self, digests: &[String]) -> Result<Vec<Manifest>, CopyError> {
        let mut found = Vec::new();
        for some in digests.chunks(BATCH) {
            let ids = some.iter().map(|digest| ImageIdentifier::builder().image_digest(digest).build()).collect();
            let request = self
                .client
                .batch_get_image()
                .set_registry_id(self.registry.clone())
                .repository_name(self.repository)
                .set_image_ids(Some(ids))
                .set_accepted_media_types(Some(MEDIA_TYPES.map(str::to_owned).to_vec()));
            let images = send!(self.aws, "BatchGetImage", request)?.images.unwrap_or_default();
            for digest in some {
                let image = images
                    .iter()
                    .find(|image| image.image_id().and_then(ImageIdentifier::image_digest) == Some(digest.as_str()));
                let text = image.and_then(|image| image.image_manifest());
                let text = text.ok_or_else(|| self.gone("image", digest))?;
                let media_type = image.and_then(|image| image.image_manifest_media_type());
                found.push(Manifest::read(digest, text, media_type)?);
            }
        }
        Ok(found)
    }

    /// What there is under these tags.
    async fn tagged(&self, tags: &[String]) -> Result<Vec<Stored>, AwsError> {
        let mut found = Vec::new();
        for some in tags.chunks(BATCH) {
            let ids = some.iter().map(|tag| ImageIdentifier::builder().image_tag(tag).build()).collect();
            let request = self
                .client
                .batch_get_image()
                .set_registry_id(self.registry.clone())
                .repository_name(self.repository)
                .set_image_ids(Some(ids))
                .set_accepted_media_types(Some(MEDIA_TYPES.map(str::to_owned).to_vec()));
            let answer = send!(self.aws, "BatchGetImage", request)?;
            found.extend(answer.images.into_iter().flatten().filter_map(|image| {
                let (tag, digest) = image.image_id.map(|id| (id.image_tag, id.image_digest))?;
                let media_type = image.image_manifest_media_type;
                Some(Stored { tag: tag?, digest: digest?, text: image.image_manifest?, media_type })
            }));
        }
        Ok(found)
    }

    /// An image and, where it is an index, all that it is an index of: what is named before what names it.
    async fn all_of(&self, digest: &str) -> Result<Vec<Manifest>, CopyError> {
        let root = self.manifests(&[digest.to_owned()]).await?.pop().ok_or_else(|| self.gone("image", digest))?;
        self.complete(root).await
    }

    async fn complete(&self, root: Manifest) -> Result<Vec<Manifest>, CopyError> {
        let digest = root.digest.clone();
        let mut all = BTreeMap::new();
        let mut found = vec![root];
        while !found.is_empty() {
            let children: BTreeSet<String> = found.iter().flat_map(|manifest| manifest.children.clone()).collect();
            all.extend(found.drain(..).map(|manifest| (manifest.digest.clone(), manifest)));
            let next: Vec<String> = children.into_iter().filter(|digest| !all.contains_key(digest)).collect();
            if all.len() + next.len() > MOST_MANIFESTS {
                let why = format!("it is an index of more than {MOST_MANIFESTS} images");
                return Err(CopyError::Manifest { digest, why });
            }
            found = self.manifests(&next).await?;
        }
        let mut ordered = Vec::new();
        manifest::in_order(&digest, &mut all, &mut ordered);
        Ok(ordered)
    }

    /// Of these layers those that are not there.
    async fn lacking(&self, pieces: Vec<Piece>) -> Result<Vec<Piece>, AwsError> {
        let mut lacking = Vec::new();
        for some in pieces.chunks(BATCH) {
            let digests = some.iter().map(|piece| piece.digest.clone()).collect();
            let request = self
                .client
                .batch_check_layer_availability()
                .set_registry_id(self.registry.clone())
                .repository_name(self.repository)
                .set_layer_digests(Some(digests));
            let answer = send!(self.aws, "BatchCheckLayerAvailability", request)?;
            let is_there = |piece: &Piece| {
                answer.layers().iter().any(|layer| {
                    layer.layer_digest() == Some(piece.digest.as_str())
                        && layer.layer_availability() == Some(&LayerAvailability::Available)
                })
            };
            lacking.extend(some.iter().filter(|piece| !is_there(piece)).cloned());
        }
        Ok(lacking)
    }

    /// Stores a manifest under its digest, and under a tag if there is one. One that is there is what was wanted.
    async fn put(&self, manifest: &Manifest, tag: Option<&str>) -> Result<(), AwsError> {
        let request = self
            .client
            .put_image()
            .set_registry_id(self.registry.clone())
            .repository_name(self.repository)
            .image_manifest(&manifest.text)
            .set_image_manifest_media_type(manifest.media_type.clone())
            .image_digest(&manifest.digest)
            .set_image_tag(tag.map(str::to_owned));
        match send!(self.aws, "PutImage", request) {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ImageAlreadyExistsException") => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn put_artifact(&self, artifact: &Artifact) -> Result<(), AwsError> {
        for manifest in &artifact.manifests {
            self.put(manifest, artifact.tag.as_deref().filter(|_| manifest.digest == artifact.digest)).await?;
        }
        Ok(())
    }

    fn gone(&self, what: &'static str, digest: &str) -> CopyError {
        CopyError::Gone { what, digest: digest.to_owned(), repository: self.repository.to_owned() }
    }
}

/// Copies an image with all that belongs to it. Nothing is tagged before all of it has arrived.
pub async fn copy(
    source: &Aws,
    target: &Aws,
    wanted: Wanted<'_>,
    progress: &mpsc::Sender<Progress>,
) -> Result<Copied, CopyError> {
    let Wanted { from, digest, to, tag } = wanted;
    let (from, to) = (End::of(source, from), End::of(target, to));
    let image = from.all_of(digest.as_str()).await?;
    let mut found = attached::find(&from, &image).await;
    attached::keep_tags(&mut found, &from, &to).await;
    let artifacts = std::mem::take(&mut found.artifacts);

    let needed: Vec<Piece> = image.iter().flat_map(|manifest| manifest.pieces.clone()).collect();
    let more = artifacts.iter().flat_map(|artifact| &artifact.manifests).flat_map(|manifest| manifest.pieces.clone());
    let mut pieces: Vec<Piece> = needed.iter().cloned().chain(more).collect();
    pieces.sort_unstable_by(|one, other| one.digest.cmp(&other.digest));
    pieces.dedup_by(|one, other| one.digest == other.digest);
    let lacking = to.lacking(pieces.clone()).await?;
    let wire = Wire { from: &from, to: &to, connector: source.connector()? };
    let lost = layers::send_all(&wire, &pieces, &lacking, &needed, progress).await?;

    for manifest in &image {
        to.put(manifest, Some(tag.as_str()).filter(|_| manifest.digest == digest.as_str())).await?;
    }
    // What is attached comes after what it is attached to.
    let mut attached = 0;
    for artifact in &artifacts {
        let mut parts = artifact.manifests.iter().flat_map(|manifest| &manifest.pieces);
        if let Some(error) = parts.find_map(|piece| lost.get(&piece.digest)) {
            found.stays(artifact.name(), &from, &attached::reason(error));
            continue;
        }
        match to.put_artifact(artifact).await {
            Ok(()) => attached += 1,
            // Somebody else was there since the look at it.
            Err(error) if error.code() == Some("ImageTagAlreadyExistsException") => found.taken(artifact, &from, &to),
            Err(error) => found.stays(artifact.name(), &from, &attached::why(&error)),
        }
    }
    for message in found.left {
        // A face that has gone away is no reason to stop.
        progress.send(Progress::Warning { message }).await.ok();
    }
    let sent = lacking.iter().filter(|piece| !lost.contains_key(&piece.digest));
    Ok(Copied { layers: sent.clone().count(), bytes: sent.map(|piece| piece.size).sum(), attached })
}

/// The platforms that an image is for, `linux/arm64`; none where it does not say. `None`: there is no such image.
pub async fn platforms(aws: &Aws, name: &ImageName, digest: &Digest) -> Result<Option<Vec<String>>, CopyError> {
    let end = End::of(aws, name);
    let manifest = match end.manifests(&[digest.to_string()]).await {
        Ok(mut found) => found.pop(),
        Err(CopyError::Gone { .. }) => None,
        // Its whole repository is gone.
        Err(CopyError::Aws(error)) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let Some(manifest) = manifest else { return Ok(None) };
    if let Some(config) = &manifest.config {
        let wire = Wire { from: &end, to: &end, connector: aws.connector()? };
        let bytes = wire.small(config).await?;
        return Ok(Some(manifest::platform_of_config(&bytes).into_iter().collect()));
    }
    Ok(Some(manifest.platforms))
}

/// Whether a repository has the image, and what it has under a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There {
    /// It has the image, under some tag: one without is what lifecycle policies remove first.
    pub image: bool,
    pub tagged: Option<Digest>,
}

/// `None` where that may not be asked.
pub async fn there(aws: &Aws, repository: &str, digest: &Digest, tag: &Tag) -> Result<Option<There>, AwsError> {
    let by_digest = async {
        let id = ImageIdentifier::builder().image_digest(digest.as_str()).build();
        let request = aws.ecr.describe_images().repository_name(repository).image_ids(id);
        match send!(aws, "DescribeImages", request) {
            Ok(answer) => Ok(answer.image_details().iter().any(|image| !image.image_tags().is_empty())),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    };
    let (image, tagged) = tokio::join!(by_digest, super::ecr::image_digest(aws, repository, tag));
    match (image, tagged) {
        (Ok(image), Ok(tagged)) => Ok(Some(There { image, tagged })),
        (Err(error), _) | (_, Err(error)) if error.is_out_of_reach() => Ok(None),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}
