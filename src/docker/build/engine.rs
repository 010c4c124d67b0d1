//! The engine's own `BuildKit`: the context in the request, the status graph in the answer, and all that the build asks
//! for meanwhile over a session beside them.

use bollard::{moby::buildkit::v1::StatusResponse, models::BuildInfoAux, query_parameters::RemoveImageOptions};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use super::{BuildRequest, Lent, failure, graph::Graph, session::Session, veil::Veil};
use crate::{
    docker::{engine::refusal, error::DockerError, lines::JsonLines},
    event::Progress,
    image::Digest,
};

/// "cacheonly is a special type for triggering skipping all exporters" (moby, builder-next).
const CACHE_ONLY: &str = r#"[{"Type":"cacheonly"}]"#;

pub(super) async fn build(
    request: &BuildRequest<'_>,
    pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    updates: &Sender<Progress>,
) -> Result<Option<Digest>, DockerError> {
    let Lent { registries, inputs, .. } = request.lent;
    // Open for as long as the build goes on.
    let session = Session::open(request.engine, registries, inputs).await?;
    let mut more = vec![("version", "2"), ("session", session.id()), ("rm", "1")];
    // Only to be tried: what it gives is in the cache, and a name that is taken away again leaves no image behind.
    let passing = request.action.tags.is_empty().then(|| format!("{PASSING}:{}", session.id()));
    match &passing {
        Some(_) if request.engine.takes_cache_only() => more.push(("outputs", CACHE_ONLY)),
        Some(name) => more.push(("t", name)),
        None => {}
    }
    let path = format!("/build?{}", request.query(&more));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    let response = request.engine.request(Method::POST, &path, headers, bollard::body_try_stream(pieces)).await?;
    if !response.status().is_success() {
        return Err(failure::refused(refusal("build", response).await));
    }
    let mut body = response.into_body();
    let mut lines = JsonLines::default();
    let mut graph = Graph::veiled(Veil::over(inputs));
    let mut image_id = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| DockerError::Broken { operation: "build", source: Box::new(source) })?;
        let Ok(chunk) = frame.into_data() else { continue };
        for value in lines.feed(&chunk).map_err(DockerError::Answer)? {
            match Answer::of(value) {
                Answer::Status(status) => graph.apply(status, updates).await,
                Answer::Image(id) => image_id = Some(id),
                Answer::Failed(message) => {
                    graph.flush(updates).await;
                    return Err(DockerError::Build(Box::new(graph.failure(message))));
                }
                Answer::Other => {}
            }
        }
    }
    lines.finish().map_err(DockerError::Answer)?;
    graph.flush(updates).await;
    let Some(passing) = passing else {
        return image_id.map(Some).ok_or(DockerError::NoResult { operation: "build" });
    };
    if image_id.is_some() {
        // By its name: under the id there may be an image of somebody else's by now.
        drop(request.engine.docker().remove_image(&passing, None::<RemoveImageOptions>, None).await);
    }
    Ok(None)
}

/// The name of what is built only to see whether it builds.
const PASSING: &str = "docker-ecs-ship/check";

/// One value of the answer.
enum Answer {
    /// `{"id":"moby.buildkit.trace","aux":"<protobuf>"}`: a piece of the status graph.
    Status(StatusResponse),
    /// `{"id":"moby.image.id","aux":{"ID":"sha256:…"}}`.
    Image(Digest),
    /// `{"errorDetail":{"message":"…"},"error":"…"}`: the end.
    Failed(String),
    Other,
}

impl Answer {
    fn of(mut value: Value) -> Self {
        let message = value.pointer("/errorDetail/message").or_else(|| value.get("error")).and_then(Value::as_str);
        if let Some(message) = message {
            return Self::Failed(message.trim().to_owned());
        }
        let aux = value.get_mut("aux").map(Value::take);
        match aux.and_then(|aux| serde_json::from_value(aux).ok()) {
            Some(BuildInfoAux::BuildKit(status)) => Self::Status(status),
            Some(BuildInfoAux::Default(id)) => id.id.and_then(|id| id.parse().ok()).map_or(Self::Other, Self::Image),
            None => Self::Other,
        }
    }
}
