//! Image manifests: what a manifest refers to, read without trusting it.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Docker image manifest v2 schema 2, what graph-driver engines push.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest of a kind that ECR stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    /// What this artefact is: its `artifactType`, else the media type of its config (OCI image spec, "Guidelines for Artifact Usage").
    pub artifact_type: Option<String>,
    pub content: Content,
    /// The manifest that this one is about: a signature, an SBOM. It need not exist.
    pub subject: Option<String>,
    pub annotations: serde_json::Map<String, serde_json::Value>,
}

/// What must be in the repository before this manifest may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One image: its config and its layers, in order.
    Image { config: Piece, layers: Vec<Piece> },
    /// Several images, one per platform, and what was attested about them.
    Index { manifests: Vec<Piece> },
}

/// A descriptor, as far as the registry needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub digest: String,
    pub size: u64,
    pub media_type: String,
}

impl Piece {
    /// Foreign layers stay where their `urls` point and are never pushed.
    fn is_foreign(&self) -> bool {
        self.media_type.contains(".foreign.") || self.media_type.contains(".nondistributable.")
    }
}

/// The manifest is not one that ECR would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAManifest;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

impl From<Descriptor> for Piece {
    fn from(Descriptor { media_type, digest, size }: Descriptor) -> Self {
        Self { digest, size, media_type }
    }
}

impl Manifest {
    /// Reads a manifest; `stated` is the media type it was sent under, which wins over silence but not over the text.
    pub fn parse(text: &str, stated: Option<&str>) -> Result<Self, NotAManifest> {
        let written: Written = serde_json::from_str(text).map_err(|_| NotAManifest)?;
        if written.schema_version != 2 {
            return Err(NotAManifest);
        }
        let media_type = match (stated, written.media_type) {
            (Some(stated), Some(inner)) if stated != inner => return Err(NotAManifest),
            (Some(stated), _) => stated.to_owned(),
            (None, Some(inner)) => inner,
            (None, None) => return Err(NotAManifest),
        };
        let mut artifact_type = written.artifact_type;
        let content = match (media_type.as_str(), written.config, written.layers, written.manifests) {
            (DOCKER_MANIFEST | OCI_MANIFEST, Some(config), Some(layers), None) => {
                artifact_type = artifact_type.or_else(|| Some(config.media_type.clone()));
                Content::Image { config: config.into(), layers: layers.into_iter().map(Piece::from).collect() }
            }
            (DOCKER_LIST | OCI_INDEX, None, None, Some(manifests)) => {
                Content::Index { manifests: manifests.into_iter().map(Piece::from).collect() }
            }
            _ => return Err(NotAManifest),
        };
        let manifest = Self {
            media_type,
            artifact_type,
            content,
            subject: written.subject.map(|subject| subject.digest),
            annotations: written.annotations,
        };
        let mut digests = manifest.layers().into_iter().chain(manifest.children()).chain(manifest.subject.as_deref());
        if digests.all(is_digest) { Ok(manifest) } else { Err(NotAManifest) }
    }

    /// The blobs that must have been uploaded: config first, then the layers in order.
    #[must_use]
    pub fn layers(&self) -> Vec<&str> {
        match &self.content {
            Content::Image { config, layers } => std::iter::once(config)
                .chain(layers.iter().filter(|layer| !layer.is_foreign()))
                .map(|piece| piece.digest.as_str())
                .collect(),
            Content::Index { .. } => Vec::new(),
        }
    }

    /// The manifests that must have been put.
    #[must_use]
    pub fn children(&self) -> Vec<&str> {
        match &self.content {
            Content::Image { .. } => Vec::new(),
            Content::Index { manifests } => manifests.iter().map(|piece| piece.digest.as_str()).collect(),
        }
    }
}

/// `sha256:` and the hexadecimal hash of the bytes.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Whether this is a digest that ECR computes; it knows no other algorithm than SHA-256.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// OCI distribution spec: "`<reference>` as a tag MUST be at most 128 characters in length and MUST match
/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`".
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().enumerate().all(|(at, byte)| word(byte) || (at > 0 && matches!(byte, b'.' | b'-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

    fn image(media_type: &str, layer_type: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":7,"digest":"{ONE}"}},"layers":[{{"mediaType":"{layer_type}","size":8,"digest":"{TWO}"}}]}}"#
        )
    }

    #[test]
    fn reads_what_engines_push() {
        let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        let docker = Manifest::parse(&image(DOCKER_MANIFEST, gzip), Some(DOCKER_MANIFEST)).unwrap();
        assert_eq!(docker.layers(), [ONE, TWO]);
        assert!(docker.children().is_empty());
        assert_eq!(docker.artifact_type.as_deref(), Some("application/vnd.docker.container.image.v1+json"));
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        assert_eq!(Manifest::parse(&image(DOCKER_MANIFEST, foreign), None).unwrap().layers(), [ONE]);
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_MANIFEST}","size":9,"digest":"{TWO}"}}],"subject":{{"mediaType":"x","size":1,"digest":"{ONE}"}}}}"#
        );
        let index = Manifest::parse(&index, Some(OCI_INDEX)).unwrap();
        assert_eq!(index.children(), [TWO]);
        assert_eq!(index.subject.as_deref(), Some(ONE));
    }

    #[test]
    fn refuses_what_is_not_a_manifest() {
        let good = image(OCI_MANIFEST, "application/vnd.oci.image.layer.v1.tar+gzip");
        for (why, text, stated) in [
            ("no JSON", "{", Some(OCI_MANIFEST)),
            ("another kind than it says", good.as_str(), Some(DOCKER_MANIFEST)),
            ("an image sent as an index", &good.replace(OCI_MANIFEST, OCI_INDEX), Some(OCI_INDEX)),
            ("schema 1", &good.replace("\"schemaVersion\":2", "\"schemaVersion\":1"), None),
            ("a digest cut short", &good.replace(TWO, "sha256:22"), None),
            ("no media type at all", r#"{"schemaVersion":2,"manifests":[]}"#, None),
        ] {
            assert_eq!(Manifest::parse(text, stated), Err(NotAManifest), "{why}");
        }
    }

    #[test]
    fn knows_tags_and_digests() {
        for (text, tag, digest) in [
            ("latest", true, false),
            ("v1.2-3_x", true, false),
            (".v1", false, false),
            ("-v1", false, false),
            ("", false, false),
            ("a b", false, false),
            (&"a".repeat(128), true, false),
            (&"a".repeat(129), false, false),
            (ONE, false, true),
            (&ONE.to_uppercase(), false, false),
        ] {
            assert_eq!((is_tag(text), is_digest(text)), (tag, digest), "{text}");
        }
    }
}
