//! What is attached to an image, signatures, SBOMs and attestations: referrers as OCI 1.1 has them, and what other tools
//! keep under tags that are made from the digest. It goes along as far as it can, and is never why an image does not arrive.

use std::collections::BTreeSet;

use aws_sdk_ecr as sdk;
use aws_sdk_ecr::types::SubjectIdentifier;
use futures_util::{FutureExt as _, StreamExt as _, stream};

use super::{CopyError, End, SERVICE, Stored, manifest::Manifest};
use crate::aws::{
    call::send,
    error::{AwsError, Kind},
};

/// What follows `sha256-<hex>` in such a tag: nothing is the list of referrers that clients keep themselves where a
/// registry has none (OCI distribution spec, "Referrers Tag Schema"; ECR has had one since June 2024), the others are
/// cosign's (its `SIGNATURE_SPEC`, and `cosign triangulate --type`).
const SUFFIXES: [&str; 4] = ["", ".sig", ".att", ".sbom"];

/// More than this is not copied.
const MOST: usize = 500;

const AT_ONCE: usize = 8;

/// Something that is attached, with all that it consists of.
pub(super) struct Artifact {
    pub(super) digest: String,
    /// The tag that it must be found under.
    pub(super) tag: Option<String>,
    /// What it names before what names it.
    pub(super) manifests: Vec<Manifest>,
}

impl Artifact {
    /// What people know it by.
    pub(super) fn name(&self) -> &str {
        self.tag.as_deref().unwrap_or(&self.digest)
    }
}

/// What was found, and a sentence about each thing that stays where it is.
#[derive(Default)]
pub(super) struct Found {
    pub(super) artifacts: Vec<Artifact>,
    pub(super) left: BTreeSet<String>,
}

/// All that is attached to these manifests, to what is attached to them, and so on.
pub(super) async fn find(from: &End<'_>, image: &[Manifest]) -> Found {
    let mut found = Found::default();
    let mut asked: BTreeSet<String> = image.iter().map(|manifest| manifest.digest.clone()).collect();
    let mut subjects: Vec<String> = asked.iter().cloned().collect();
    let mut referrers_denied = false;
    while !subjects.is_empty() {
        let mut listed = Vec::new();
        if !referrers_denied {
            let lists: Vec<_> = subjects.iter().map(|subject| from.referrers(subject).boxed()).collect();
            for list in stream::iter(lists).buffered(AT_ONCE).collect::<Vec<_>>().await {
                match list {
                    Ok(digests) => listed.extend(digests),
                    Err(error) => {
                        referrers_denied |= error.is_out_of_reach();
                        found.stays("what is attached to the image by referrers", from, &why(&error));
                    }
                }
            }
        }
        let tags: Vec<String> = subjects
            .iter()
            .filter_map(|subject| subject.strip_prefix("sha256:"))
            .flat_map(|hex| SUFFIXES.map(|suffix| format!("sha256-{hex}{suffix}")))
            .collect();
        let tagged = from.tagged(&tags).await.unwrap_or_else(|error| {
            found.stays("what is attached to the image by tags", from, &why(&error));
            Vec::new()
        });
        listed.retain(|digest| !asked.contains(digest) && tagged.iter().all(|stored| stored.digest != *digest));
        listed.dedup();
        let room = MOST.saturating_sub(found.artifacts.len());
        if listed.len() + tagged.len() > room {
            found.stays(&format!("what is attached beyond {MOST} artifacts"), from, "that is more than is copied");
        }
        let wanted = tagged.into_iter().map(Root::Tagged).chain(listed.into_iter().map(Root::Listed)).take(room);
        let reads: Vec<_> = wanted.map(|root| from.artifact(root).boxed()).collect();
        subjects.clear();
        for artifact in stream::iter(reads).buffered(AT_ONCE).collect::<Vec<_>>().await {
            match artifact {
                Ok(artifact) => {
                    let new = artifact.manifests.iter().filter(|manifest| asked.insert(manifest.digest.clone()));
                    subjects.extend(new.map(|manifest| manifest.digest.clone()));
                    found.artifacts.push(artifact);
                }
                Err((name, error)) => found.stays(&name, from, &reason(&error)),
            }
        }
    }
    found
}

/// Leaves out what stands under a tag that is another image's at the other end: no tag that exists is moved.
pub(super) async fn keep_tags(found: &mut Found, from: &End<'_>, to: &End<'_>) {
    let tags: Vec<String> = found.artifacts.iter().filter_map(|artifact| artifact.tag.clone()).collect();
    let there = match to.tagged(&tags).await {
        Ok(there) => there,
        Err(error) => {
            found.artifacts.retain(|artifact| artifact.tag.is_none());
            let why = format!("{}, and a tag that may be there already is not moved", why(&error));
            found.stays("what is attached to the image by tags", from, &why);
            return;
        }
    };
    let is_another = |artifact: &Artifact| {
        let tag = artifact.tag.as_deref();
        there.iter().any(|stored| Some(stored.tag.as_str()) == tag && stored.digest != artifact.digest)
    };
    let all = std::mem::take(&mut found.artifacts);
    for artifact in all {
        if is_another(&artifact) {
            found.taken(&artifact, from, to);
        } else {
            found.artifacts.push(artifact);
        }
    }
}

impl Found {
    pub(super) fn stays(&mut self, what: &str, from: &End<'_>, why: &str) {
        self.left.insert(format!("{what} stays in {}: {why}", from.repository));
    }

    pub(super) fn taken(&mut self, artifact: &Artifact, from: &End<'_>, to: &End<'_>) {
        let why = format!("the tag stands for something else in {}, and is not moved", to.repository);
        self.stays(artifact.name(), from, &why);
    }
}

/// What is known of an artifact before it is read.
enum Root {
    Tagged(Stored),
    Listed(String),
}

impl End<'_> {
    async fn artifact(&self, root: Root) -> Result<Artifact, (String, CopyError)> {
        let (digest, tag, manifests) = match root {
            Root::Listed(digest) => {
                let all = self.all_of(&digest).await;
                (digest, None, all)
            }
            Root::Tagged(Stored { tag, digest, text, media_type }) => {
                let all = match Manifest::read(&digest, &text, media_type.as_deref()) {
                    Ok(manifest) => self.complete(manifest).await,
                    Err(error) => Err(error),
                };
                (digest, Some(tag), all)
            }
        };
        let artifact = |manifests| Artifact { digest: digest.clone(), tag: tag.clone(), manifests };
        manifests.map(artifact).map_err(|error| (tag.clone().unwrap_or_else(|| digest.clone()), error))
    }

    /// The digests of what refers to a manifest.
    async fn referrers(&self, digest: &str) -> Result<Vec<String>, AwsError> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let subject = SubjectIdentifier::builder().image_digest(digest).build();
            let subject = subject.expect("its one member is given");
            let request = self
                .client
                .list_image_referrers()
                .set_registry_id(self.registry.clone())
                .repository_name(self.repository)
                .subject_id(subject)
                .set_next_token(next.take());
            let answer = send!(self.aws, "ListImageReferrers", request)?;
            found.extend(answer.referrers.into_iter().flatten().map(|referrer| referrer.digest));
            next = answer.next_token;
            if next.is_none() || found.len() > MOST {
                return Ok(found);
            }
        }
    }
}

/// In the words of somebody who is to change it.
pub(super) fn why(error: &AwsError) -> String {
    match error.kind() {
        Kind::AccessDenied { action, .. } => format!("{action} is not allowed"),
        _ => error.to_string(),
    }
}

pub(super) fn reason(error: &CopyError) -> String {
    match error {
        CopyError::Aws(error) => why(error),
        CopyError::Gone { .. }
        | CopyError::OtherBytes { .. }
        | CopyError::Manifest { .. }
        | CopyError::Download { .. } => error.to_string(),
    }
}
