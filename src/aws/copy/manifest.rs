//! What a manifest names: the layers and the configuration of an image, or the images of an index.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::CopyError;

/// A manifest as it is stored, which must not be changed by a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) digest: String,
    pub(super) text: String,
    pub(super) media_type: Option<String>,
    /// What is stored as layers: the configuration is one of them.
    pub(super) pieces: Vec<Piece>,
    pub(super) config: Option<Piece>,
    /// The digests of the manifests that it is an index of.
    pub(super) children: Vec<String>,
    /// What an index says of the platforms of those.
    pub(super) platforms: Vec<String>,
}

/// A layer or a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) digest: String,
    pub(super) size: u64,
}

impl Manifest {
    pub(super) fn read(digest: &str, text: &str, media_type: Option<&str>) -> Result<Self, CopyError> {
        let found = format!("sha256:{}", hex::encode(Sha256::digest(text)));
        if found != digest {
            return Err(CopyError::OtherBytes { what: "manifest", digest: digest.to_owned(), found });
        }
        let unclear = |why: String| CopyError::Manifest { digest: digest.to_owned(), why };
        let value: Value = serde_json::from_str(text).map_err(|error| unclear(error.to_string()))?;
        let piece = |value: &Value| {
            let digest = value["digest"].as_str()?.to_owned();
            Some(Piece { digest, size: value["size"].as_u64()? })
        };
        let list = |name: &str| value[name].as_array().map_or(&[][..], Vec::as_slice);
        let config = piece(&value["config"]);
        let layers = list("layers").iter().filter(|layer| !is_elsewhere(layer));
        let layers: Option<Vec<Piece>> = layers.map(piece).collect();
        let layers = layers.ok_or_else(|| unclear("a layer has no digest or no size".to_owned()))?;
        let children = list("manifests").iter().map(|child| child["digest"].as_str().map(str::to_owned));
        let children: Option<Vec<String>> = children.collect();
        let children = children.ok_or_else(|| unclear("it names an image without a digest".to_owned()))?;
        if config.is_none() && children.is_empty() && layers.is_empty() && value["manifests"].is_null() {
            return Err(unclear("it names neither layers nor images".to_owned()));
        }
        let platforms = list("manifests").iter().filter_map(|child| platform(&child["platform"])).collect();
        Ok(Self {
            digest: digest.to_owned(),
            text: text.to_owned(),
            media_type: media_type.or_else(|| value["mediaType"].as_str()).map(str::to_owned),
            pieces: config.iter().cloned().chain(layers).collect(),
            config,
            children,
            platforms,
        })
    }
}

/// Moves a manifest and all that it names to `ordered`, what is named before what names it: ECR takes them in no other
/// order.
pub(super) fn in_order(digest: &str, all: &mut BTreeMap<String, Manifest>, ordered: &mut Vec<Manifest>) {
    // One that two indexes name has its place already.
    let Some(manifest) = all.remove(digest) else { return };
    for child in &manifest.children {
        in_order(child, all, ordered);
    }
    ordered.push(manifest);
}

/// A layer that no registry may hand on, as those of Windows once were: it is read from its own place.
fn is_elsewhere(layer: &Value) -> bool {
    let media_type = layer["mediaType"].as_str().unwrap_or_default();
    media_type.contains("foreign") || media_type.contains("nondistributable")
}

/// `linux/arm64`. Attestations say `unknown/unknown`.
fn platform(value: &Value) -> Option<String> {
    let word = |name: &str| value[name].as_str().filter(|word| !word.is_empty() && *word != "unknown");
    Some(format!("{}/{}", word("os")?, word("architecture")?))
}

pub(super) fn platform_of_config(bytes: &[u8]) -> Option<String> {
    platform(&serde_json::from_slice::<Value>(bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use sha2::{Digest as _, Sha256};

    use super::{CopyError, Manifest, Piece, in_order, platform_of_config};

    fn read(value: &serde_json::Value) -> Result<Manifest, CopyError> {
        let text = value.to_string();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&text)));
        Manifest::read(&digest, &text, None)
    }

    #[test]
    fn an_image_names_its_configuration_and_its_layers() {
        let manifest = read(&json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "digest": "sha256:c", "size": 2 },
            "layers": [
                { "digest": "sha256:a", "size": 10 },
                { "digest": "sha256:w", "size": 99, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" },
            ],
        }))
        .unwrap();
        let piece = |digest: &str, size| Piece { digest: digest.to_owned(), size };
        assert_eq!(manifest.pieces, [piece("sha256:c", 2), piece("sha256:a", 10)]);
        assert_eq!(manifest.media_type.as_deref(), Some("application/vnd.oci.image.manifest.v1+json"));
    }

    #[test]
    fn an_index_names_its_images_and_their_platforms() {
        let manifest = read(&json!({ "manifests": [
            { "digest": "sha256:1", "platform": { "os": "linux", "architecture": "arm64" } },
            { "digest": "sha256:2", "platform": { "os": "unknown", "architecture": "unknown" } },
        ] }))
        .unwrap();
        assert_eq!(
            (manifest.children, manifest.platforms),
            (vec!["sha256:1".to_owned(), "sha256:2".to_owned()], vec!["linux/arm64".to_owned()])
        );
        assert_eq!(platform_of_config(br#"{"os":"linux","architecture":"amd64"}"#).as_deref(), Some("linux/amd64"));
    }

    /// By levels, an image that stands beside an index of it would come after that.
    #[test]
    fn what_an_index_names_comes_before_it_on_whatever_level() {
        let image = read(&json!({ "config": { "digest": "sha256:c", "size": 2 }, "layers": [] })).unwrap();
        let index = |children: &[&Manifest]| {
            let children: Vec<_> = children.iter().map(|child| json!({ "digest": child.digest })).collect();
            read(&json!({ "manifests": children })).unwrap()
        };
        let inner = index(&[&image]);
        let outer = index(&[&image, &inner]);
        let mut all: BTreeMap<_, _> =
            [&outer, &inner, &image].map(|manifest| (manifest.digest.clone(), manifest.clone())).into();
        let mut ordered = Vec::new();
        in_order(&outer.digest, &mut all, &mut ordered);
        assert_eq!(ordered, [image, inner, outer]);
    }

    #[test]
    fn what_is_no_manifest_is_not_copied() {
        let told = |value: serde_json::Value| read(&value).unwrap_err().to_string();
        assert!(told(json!({ "schemaVersion": 1, "fsLayers": [] })).ends_with("it names neither layers nor images"));
        assert!(told(json!({ "layers": [{ "size": 1 }] })).ends_with("a layer has no digest or no size"));
        let other = Manifest::read("sha256:00", "{}", None).unwrap_err();
        assert!(matches!(other, CopyError::OtherBytes { .. }), "{other}");
    }
}
