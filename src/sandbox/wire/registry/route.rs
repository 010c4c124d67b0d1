//! Which end-point of the distribution API a path names.

use http::Method;
use url::form_urlencoded;

use super::super::super::world::ecr::is_repository_name;
use super::super::super::world::ecr::manifest::{is_digest, is_tag};
use super::refusal::Refusal;

/// An end-point, with what its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`: "check that the endpoint implements the distribution API".
    Base,
    Catalog,
    Tags {
        name: String,
    },
    Manifest {
        name: String,
        reference: String,
    },
    Blob {
        name: String,
        digest: String,
    },
    Uploads {
        name: String,
    },
    Upload {
        name: String,
        id: String,
    },
    Referrers {
        name: String,
        digest: String,
    },
}

impl Route {
    /// Reads a path. A repository's name has any number of segments, so a path is read from its end.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let path = decoded(path);
        let Some(rest) = path.strip_prefix("/v2").filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return Err(Refusal::not_found());
        };
        let segments: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
        let named = |segments: &[&str]| {
            let name = segments.join("/");
            if is_repository_name(&name) { Ok(name) } else { Err(Refusal::name_invalid(&name)) }
        };
        Ok(match segments.as_slice() {
            [""] => Self::Base,
            ["_catalog"] => Self::Catalog,
            [name @ .., "tags", "list"] if !name.is_empty() => Self::Tags { name: named(name)? },
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
                Self::Uploads { name: named(name)? }
            }
            [name @ .., "blobs", "uploads", id] => Self::Upload { name: named(name)?, id: (*id).to_owned() },
            [name @ .., "blobs", digest] => {
                Self::Blob { name: named(name)?, digest: checked(digest, is_digest, Refusal::digest_invalid)? }
            }
            [name @ .., "referrers", digest] => {
                Self::Referrers { name: named(name)?, digest: checked(digest, is_digest, Refusal::digest_invalid)? }
            }
            [name @ .., "manifests", reference] if reference.contains(':') => {
                let reference = checked(reference, is_digest, Refusal::digest_invalid)?;
                Self::Manifest { name: named(name)?, reference }
            }
            [name @ .., "manifests", reference] => {
                Self::Manifest { name: named(name)?, reference: checked(reference, is_tag, Refusal::tag_invalid)? }
            }
            _ => return Err(Refusal::not_found()),
        })
    }

    /// The repository, and the IAM action that docker's call to it wants ("Using Amazon ECR images", ECR user guide).
    pub(super) fn asks(&self, method: &Method) -> Option<(&str, &'static str)> {
        let (name, action) = match (self, method) {
            (Self::Uploads { name }, &Method::POST) => (name, "ecr:InitiateLayerUpload"),
            (Self::Upload { name, .. }, &Method::PATCH) => (name, "ecr:UploadLayerPart"),
            (Self::Upload { name, .. }, &Method::PUT) => (name, "ecr:CompleteLayerUpload"),
            (Self::Manifest { name, .. }, &Method::PUT) => (name, "ecr:PutImage"),
            (Self::Manifest { name, .. }, &Method::GET | &Method::HEAD) => (name, "ecr:BatchGetImage"),
            (Self::Manifest { name, .. }, &Method::DELETE) => (name, "ecr:BatchDeleteImage"),
            (Self::Blob { name, .. }, &Method::GET) => (name, "ecr:GetDownloadUrlForLayer"),
            (Self::Blob { name, .. }, &Method::HEAD) => (name, "ecr:BatchCheckLayerAvailability"),
            (Self::Tags { name }, &Method::GET | &Method::HEAD) => (name, "ecr:ListImages"),
            _ => return None,
        };
        Some((name, action))
    }

    /// The methods of the end-point, for the `Allow` header of a 405.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Base | Self::Catalog | Self::Tags { .. } | Self::Referrers { .. } | Self::Blob { .. } => {
                &[Method::GET, Method::HEAD]
            }
            Self::Manifest { .. } => &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE],
            Self::Uploads { .. } => &[Method::POST],
            Self::Upload { .. } => &[Method::GET, Method::PATCH, Method::PUT, Method::DELETE],
        }
    }
}

fn checked(text: &str, good: fn(&str) -> bool, refusal: fn(&str) -> Refusal) -> Result<String, Refusal> {
    if good(text) { Ok(text.to_owned()) } else { Err(refusal(text)) }
}

/// Undoes percent-encoding: some clients write the colon of a digest as `%3A`. What is not an escape stays as it is.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| byte == b'%').and_then(|digits| hex::decode(digits).ok());
        if let Some([decoded]) = escape.as_deref() {
            bytes.push(*decoded);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The parameters of a request's query.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths_from_their_end() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let name = || "jobs/api".to_owned();
        for (path, route) in [
            ("/v2", Route::Base),
            ("/v2/", Route::Base),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/jobs/api/tags/list", Route::Tags { name: name() }),
            ("/v2/jobs/api/blobs/uploads/", Route::Uploads { name: name() }),
            ("/v2/jobs/api/blobs/uploads", Route::Uploads { name: name() }),
            ("/v2/jobs/api/blobs/uploads/7f", Route::Upload { name: name(), id: "7f".into() }),
            ("/v2/jobs/api/manifests/v1", Route::Manifest { name: name(), reference: "v1".into() }),
            ("/v2/tags/manifests/list", Route::Manifest { name: "tags".into(), reference: "list".into() }),
            ("/v2/a1/manifests/tags/list", Route::Tags { name: "a1/manifests".into() }),
            ("/v2/a/b/c/d/manifests/v1", Route::Manifest { name: "a/b/c/d".into(), reference: "v1".into() }),
            (&format!("/v2/jobs/api/blobs/{digest}"), Route::Blob { name: name(), digest: digest.clone() }),
            (
                &format!("/v2/jobs/api/blobs/{}", digest.replace(':', "%3A")),
                Route::Blob { name: name(), digest: digest.clone() },
            ),
            (&format!("/v2/jobs/api/manifests/{digest}"), Route::Manifest { name: name(), reference: digest.clone() }),
            (&format!("/v2/jobs/api/referrers/{digest}"), Route::Referrers { name: name(), digest: digest.clone() }),
        ] {
            assert_eq!(Route::parse(path).ok(), Some(route), "{path}");
        }
    }

    #[test]
    fn refuses_other_paths() {
        for (path, code) in [
            ("/v2/jobs/api", None),
            ("/v1/", None),
            ("/v2x/", None),
            ("/v2/tags/list", None),
            ("/v2/Jobs/tags/list", Some("NAME_INVALID")),
            ("/v2/jobs//api/tags/list", Some("NAME_INVALID")),
            ("/v2/jobs/../api/manifests/v1", Some("NAME_INVALID")),
            ("/v2/jobs/%2e%2e/manifests/v1", Some("NAME_INVALID")),
            ("/v2/manifests/v1", Some("NAME_INVALID")),
            ("/v2/jobs/api/blobs/sha256:12", Some("DIGEST_INVALID")),
            ("/v2/jobs/api/blobs/..", Some("DIGEST_INVALID")),
            ("/v2/jobs/api/manifests/sha512:12", Some("DIGEST_INVALID")),
            ("/v2/jobs/api/manifests/-v1", Some("TAG_INVALID")),
        ] {
            assert_eq!(Route::parse(path).unwrap_err().code(), code, "{path}");
        }
    }
}
