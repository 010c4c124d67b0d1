//! Manifests, the lists of tags and repositories, and what refers to an image.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LINK, LOCATION};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::super::world::World;
use super::super::super::world::ecr::manifest::{Manifest, OCI_INDEX, is_digest};
use super::super::super::world::ecr::{ImageToPut, Repository};
use super::refusal::Refusal;
use super::{Answer, Call, empty, full};

/// "Maximum size of an image manifest: 4 MiB" — ECR service quotas, also the OCI spec's recommendation.
const MANIFEST_SIZE: usize = 4 * 1024 * 1024;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Call<'_> {
    pub(super) fn manifest(&self, name: &str, reference: &str) -> Result<Answer, Refusal> {
        self.with_repository(name, |_, ecr| {
            let repository = ecr.repository(name);
            let found = repository.and_then(|repository| repository.image(reference));
            let (digest, image) = found.ok_or_else(Refusal::manifest_unknown)?;
            let (digest, media_type, text) = (digest.to_owned(), image.media_type.clone(), image.manifest.clone());
            if self.method == Method::GET {
                ecr.pulled(name, &digest, self.now);
            }
            Ok(Response::builder()
                .header(CONTENT_TYPE, media_type)
                .header(CONTENT_LENGTH, text.len())
                .header(CONTENT_DIGEST, digest)
                .body(full(Bytes::from(text)))
                .expect("only media types of known manifests are stored"))
        })
    }

    pub(super) async fn put_manifest(
        &self,
        name: &str,
        reference: &str,
        body: &mut Incoming,
    ) -> Result<Answer, Refusal> {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::body_cut(&error.to_string()))?;
            if let Some(piece) = frame.data_ref() {
                if bytes.len() + piece.len() > MANIFEST_SIZE {
                    return Err(Refusal::manifest_too_large(MANIFEST_SIZE));
                }
                bytes.extend_from_slice(piece);
            }
        }
        // Bytes that are no text are no manifest either; the lossy text only has to fail to parse.
        let text = String::from_utf8_lossy(&bytes);
        let by_digest = is_digest(reference);
        let image = ImageToPut {
            manifest: &text,
            media_type: self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()),
            tag: Some(reference).filter(|_| !by_digest),
            digest: Some(reference).filter(|_| by_digest),
        };
        let (digest, subject) = self.with_world(|World { place, ecr, .. }| {
            let put = ecr.put(name, image, self.now);
            let (digest, _) = put.map_err(|refusal| Refusal::of_put(&refusal, place, name))?;
            let subject = Manifest::parse(&text, image.media_type).ok().and_then(|manifest| manifest.subject);
            Ok::<_, Refusal>((digest, subject))
        })?;
        let mut response = Response::builder()
            .status(StatusCode::CREATED)
            .header(LOCATION, format!("/v2/{name}/manifests/{digest}"))
            .header(CONTENT_DIGEST, &digest);
        if let Some(subject) = subject {
            // "the registry MUST set the response header `OCI-Subject: <subject digest>`"
            response = response.header("oci-subject", subject);
        }
        Ok(response.body(empty()).expect("a checked name and digests are good header values"))
    }

    /// "A successful delete MUST return a `202 Accepted`".
    pub(super) fn delete_manifest(&self, name: &str, reference: &str) -> Result<Answer, Refusal> {
        self.with_repository(name, |_, ecr| {
            if !ecr.remove(name, reference) {
                return Err(Refusal::manifest_unknown());
            }
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        })
    }

    pub(super) fn tags(&self, name: &str) -> Result<Answer, Refusal> {
        let tags: Vec<String> = self.with_repository(name, |_, ecr| {
            let tags = ecr.repository(name).into_iter().flat_map(Repository::image_tags);
            Ok(tags.map(str::to_owned).collect())
        })?;
        let (tags, next) = self.page(tags)?;
        let answer = json!({ "name": name, "tags": tags });
        Ok(listed("application/json", &answer, next.map(|next| format!("/v2/{name}/tags/list?{next}")), None))
    }

    pub(super) fn catalog(&self) -> Result<Answer, Refusal> {
        let names = self.with_world(|world| world.ecr.repository_names().map(str::to_owned).collect());
        let (names, next) = self.page(names)?;
        let answer = json!({ "repositories": names });
        Ok(listed("application/json", &answer, next.map(|next| format!("/v2/_catalog?{next}")), None))
    }

    /// What follows `last`, `n` at most, and the query of the next page.
    fn page(&self, mut names: Vec<String>) -> Result<(Vec<String>, Option<String>), Refusal> {
        if let Some(last) = self.query.get("last") {
            names.retain(|name| name.as_str() > last);
        }
        let Some(text) = self.query.get("n") else {
            return Ok((names, None));
        };
        let most: usize = text.parse().map_err(|_| Refusal::number_invalid(text))?;
        let more = names.len() > most;
        names.truncate(most);
        let next = names.last().filter(|_| more).map(|last| {
            form_urlencoded::Serializer::new(String::new()).append_pair("last", last).append_pair("n", text).finish()
        });
        Ok((names, next))
    }

    /// "the registry MUST respond with a `200 OK` and an image index", also when nothing refers to the digest.
    pub(super) fn referrers(&self, name: &str, digest: &str) -> Result<Answer, Refusal> {
        let wanted = self.query.get("artifactType");
        let referrers: Vec<Value> = self.with_repository(name, |_, ecr| {
            let all = ecr.repository(name).into_iter().flat_map(|repository| repository.referrers(digest));
            let referring = all.filter_map(|(referrer, image, manifest)| {
                let kind = manifest.artifact_type.clone().unwrap_or_default();
                if wanted.is_some_and(|wanted| wanted != kind) {
                    return None;
                }
                let mut descriptor = json!({
                    "mediaType": manifest.media_type,
                    "size": image.manifest.len(),
                    "digest": referrer,
                });
                if !kind.is_empty() {
                    descriptor["artifactType"] = Value::String(kind);
                }
                if !manifest.annotations.is_empty() {
                    descriptor["annotations"] = Value::Object(manifest.annotations);
                }
                Some(descriptor)
            });
            Ok(referring.collect())
        })?;
        let answer = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": referrers });
        Ok(listed(OCI_INDEX, &answer, None, wanted.map(|_| "artifactType")))
    }
}

fn listed(kind: &str, answer: &Value, next: Option<String>, filtered: Option<&str>) -> Answer {
    let bytes = Bytes::from(answer.to_string());
    let mut response = Response::builder().header(CONTENT_TYPE, kind).header(CONTENT_LENGTH, bytes.len());
    if let Some(next) = next {
        response = response.header(LINK, format!("<{next}>; rel=\"next\""));
    }
    if let Some(filtered) = filtered {
        response = response.header("oci-filters-applied", filtered);
    }
    response.body(full(bytes)).expect("names, tags and the encoded query are good header values")
}
