//! An image from one ECR repository to another, through ECR's own API: manifests and layers as they are, byte by byte,
//! so that the digest stays what it was. Neither an engine nor a login is needed, and each end has credentials of its
//! own. Layers go through in parts; what the other end has already is not sent again.

mod layers;
mod manifest;

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_ecr as sdk;
use aws_sdk_ecr::{
    config::{Builder, Region},
    types::{ImageIdentifier, LayerAvailability, SubjectIdentifier},
};
use tokio::sync::mpsc;

use self::{
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
    pub attached: Attached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    Copied(usize),
    /// They may not be listed there.
    NotListed,
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

    /// An image and, where it is an index, all that it is an index of: the whole before its parts.
    async fn all_of(&self, digest: &str) -> Result<Vec<Manifest>, CopyError> {
        let mut all: Vec<Manifest> = Vec::new();
        let mut next = vec![digest.to_owned()];
        while !next.is_empty() {
            let found = self.manifests(&next).await?;
            next = found.iter().flat_map(|manifest| manifest.children.iter().cloned()).collect();
            next.sort_unstable();
            next.dedup();
            next.retain(|digest| all.iter().chain(&found).all(|known| known.digest != *digest));
            all.extend(found);
            if all.len() + next.len() > MOST_MANIFESTS {
                let why = format!("it is an index of more than {MOST_MANIFESTS} images");
                return Err(CopyError::Manifest { digest: digest.to_owned(), why });
            }
        }
        Ok(all)
    }

    /// The digests of what is attached to an image; `None` where that may not be asked.
    async fn attached(&self, digest: &Digest) -> Result<Option<Vec<String>>, AwsError> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let subject = SubjectIdentifier::builder().image_digest(digest.as_str()).build();
            let subject = subject.expect("its one member is given");
            let request = self
                .client
                .list_image_referrers()
                .set_registry_id(self.registry.clone())
                .repository_name(self.repository)
                .subject_id(subject)
                .set_next_token(next.take());
            let answer = match send!(self.aws, "ListImageReferrers", request) {
                Ok(answer) => answer,
                Err(error) if error.is_out_of_reach() => return Ok(None),
                Err(error) => return Err(error),
            };
            found.extend(answer.referrers.into_iter().flatten().map(|referrer| referrer.digest));
            next = answer.next_token;
            if next.is_none() {
                return Ok(Some(found));
            }
        }
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
    async fn put(&self, manifest: &Manifest, tag: Option<&Tag>) -> Result<(), AwsError> {
        let request = self
            .client
            .put_image()
            .set_registry_id(self.registry.clone())
            .repository_name(self.repository)
            .image_manifest(&manifest.text)
            .set_image_manifest_media_type(manifest.media_type.clone())
            .image_digest(&manifest.digest)
            .set_image_tag(tag.map(ToString::to_string));
        match send!(self.aws, "PutImage", request) {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ImageAlreadyExistsException") => Ok(()),
            Err(error) => Err(error),
        }
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
    let attached = from.attached(digest).await?;
    let mut artifacts: Vec<Manifest> = Vec::new();
    for digest in attached.iter().flatten() {
        artifacts.extend(from.all_of(digest).await?);
    }
    let mut pieces: Vec<Piece> = image.iter().chain(&artifacts).flat_map(|manifest| manifest.pieces.clone()).collect();
    pieces.sort_unstable_by(|one, other| one.digest.cmp(&other.digest));
    pieces.dedup_by(|one, other| one.digest == other.digest);
    let lacking = to.lacking(pieces.clone()).await?;
    let wire = Wire { from: &from, to: &to, connector: source.connector()? };
    layers::send_all(&wire, &pieces, &lacking, progress).await?;
    // What an index names must be there before it, and what is attached needs what it is attached to.
    for manifest in image.iter().rev() {
        to.put(manifest, Some(tag).filter(|_| manifest.digest == digest.as_str())).await?;
    }
    for manifest in artifacts.iter().rev() {
        to.put(manifest, None).await?;
    }
    Ok(Copied {
        layers: lacking.len(),
        bytes: lacking.iter().map(|piece| piece.size).sum(),
        attached: attached.map_or(Attached::NotListed, |found| Attached::Copied(found.len())),
    })
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
