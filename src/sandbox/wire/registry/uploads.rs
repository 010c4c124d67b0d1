//! Uploading blobs: in one request, in chunks, or streamed with no length; and mounting them from another repository.

use std::sync::Arc;

use http::header::{CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Mutex;

use super::super::super::world::ecr::BlobMounting;
use super::super::super::world::ecr::manifest::is_digest;
use super::refusal::Refusal;
use super::store::Upload;
use super::{Answer, Call, empty};

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Call<'_> {
    /// Begins an upload; with `digest` the body is the whole blob, with `mount` and `from` there may be nothing to upload.
    pub(super) async fn begin_upload(&self, name: &str, body: &mut Incoming) -> Result<Answer, Refusal> {
        if let (Some(digest), Some(from)) = (self.query.get("mount"), self.query.get("from"))
            && self.mount(name, digest, from).await?
        {
            return Ok(created(name, digest));
        }
        self.with_repository(name, |_, _| Ok(()))?;
        let id = self.store.begin(name, self.now).await?;
        if self.query.get("digest").is_some() {
            return self.finish_upload(name, &id, body).await;
        }
        Ok(accepted(StatusCode::ACCEPTED, name, &id, 0))
    }

    /// "If successful, the response MUST be `201 Created`"; if not, "the registry SHOULD fall back to the standard upload
    /// method and return a `202 Accepted`". ECR mounts only where the account has switched it on.
    async fn mount(&self, name: &str, digest: &str, from: &str) -> Result<bool, Refusal> {
        let size = self.with_repository(name, |_, ecr| {
            Ok(match ecr.blob_mounting() {
                BlobMounting::Disabled => None,
                BlobMounting::Enabled => ecr.repository(from).and_then(|source| source.layer_size(digest)),
            })
        })?;
        match size {
            Some(size) if self.store.blob(digest).await?.is_some() => {
                self.with_repository(name, |_, ecr| Ok(ecr.add_layer(name, digest, size)))
            }
            Some(_) | None => Ok(false),
        }
    }

    /// A chunk, which must begin where the last one ended, or a stream that says nothing about where it is.
    pub(super) async fn append_to_upload(&self, name: &str, id: &str, body: &mut Incoming) -> Result<Answer, Refusal> {
        let upload = self.open_upload(name, id)?;
        let mut upload = upload.lock().await;
        self.receive(&mut upload, name, id, body).await?;
        Ok(accepted(StatusCode::ACCEPTED, name, id, upload.size()))
    }

    /// The last chunk, if there is one more, and the digest of everything.
    pub(super) async fn finish_upload(&self, name: &str, id: &str, body: &mut Incoming) -> Result<Answer, Refusal> {
        let digest = self.query.get("digest").unwrap_or_default();
        if !is_digest(digest) {
            return Err(Refusal::digest_invalid(digest));
        }
        let upload = self.open_upload(name, id)?;
        let mut upload = upload.lock().await;
        self.receive(&mut upload, name, id, body).await?;
        let computed = upload.digest();
        // Right or wrong, the upload is over.
        self.store.forget(id);
        if computed != digest {
            return Err(Refusal::digest_does_not_match(digest, &computed));
        }
        self.store.keep(&mut upload, digest).await?;
        // The repository may have been deleted while the bytes came in.
        self.with_repository(name, |_, ecr| Ok(ecr.add_layer(name, digest, upload.size())))?;
        Ok(created(name, digest))
    }

    pub(super) async fn upload_status(&self, name: &str, id: &str) -> Result<Answer, Refusal> {
        let upload = self.open_upload(name, id)?;
        let size = upload.lock().await.size();
        Ok(accepted(StatusCode::NO_CONTENT, name, id, size))
    }

    pub(super) fn cancel_upload(&self, name: &str, id: &str) -> Result<Answer, Refusal> {
        self.open_upload(name, id)?;
        self.store.forget(id);
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    fn open_upload(&self, name: &str, id: &str) -> Result<Arc<Mutex<Upload>>, Refusal> {
        self.with_repository(name, |_, _| Ok(()))?;
        self.store.upload(name, id, self.now).ok_or_else(|| Refusal::upload_unknown(id))
    }

    async fn receive(&self, upload: &mut Upload, name: &str, id: &str, body: &mut Incoming) -> Result<(), Refusal> {
        let start = self.headers.get(CONTENT_RANGE).and_then(|range| start_of(range.to_str().ok()?));
        if start.is_some_and(|start| start != upload.size()) {
            return Err(Refusal::chunk_out_of_order(&location(name, id), &so_far(upload.size())));
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::body_cut(&error.to_string()))?;
            if let Some(bytes) = frame.data_ref()
                && let Err(error) = upload.write(bytes).await
            {
                // What is on disk is no longer what was counted.
                self.store.forget(id);
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// `Content-Range` of a chunk is `<start>-<end>`; some clients write it as HTTP does, `bytes <start>-<end>/*`.
fn start_of(range: &str) -> Option<u64> {
    let range = range.trim().strip_prefix("bytes").unwrap_or(range).trim_start_matches(['=', ' ']);
    range.split_once('-')?.0.trim().parse().ok()
}

/// `Range` of what has come in; both ends are inclusive, and an empty upload is written like one of a single byte.
fn so_far(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

/// Without a host: the engine may reach us under another name than the one we know.
fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

fn accepted(status: StatusCode, name: &str, id: &str, size: u64) -> Answer {
    Response::builder()
        .status(status)
        .header(LOCATION, location(name, id))
        .header(RANGE, so_far(size))
        .header(UPLOAD_ID, id)
        .body(empty())
        .expect("a checked name, an id of our own and digits are good header values")
}

fn created(name: &str, digest: &str) -> Answer {
    Response::builder()
        .status(StatusCode::CREATED)
        .header(LOCATION, format!("/v2/{name}/blobs/{digest}"))
        .header(CONTENT_DIGEST, digest)
        .body(empty())
        .expect("a checked name and a checked digest are good header values")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ranges() {
        for (range, start) in
            [("0-99", Some(0)), ("100-199", Some(100)), ("bytes 5-9/*", Some(5)), ("bytes=5-9", Some(5)), ("x", None)]
        {
            assert_eq!(start_of(range), start, "{range}");
        }
        assert_eq!([so_far(0), so_far(1), so_far(10)], ["0-0", "0-0", "0-9"]);
    }
}
