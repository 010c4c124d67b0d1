//! Pushing through the engine, read from its raw stream: layer by layer, the digest at the end.
//!
//! bollard's own call drops the layer ids and the final digest, so this makes the request itself.

mod silence;

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use regex::Regex;
use serde_json::Value;
use tokio::{sync::mpsc::Sender, time::MissedTickBehavior};

use self::silence::{Patience, Silence};
use super::{
    engine::{Engine, refusal},
    error::{DockerError, PushCause, PushFailure},
    lines::JsonLines,
    registry::RegistryCredentials,
    tell,
};
use crate::{
    event::{Layer, LayerState, Progress},
    image::{Digest, Reference},
};

/// How often the layers are told: what an eye can follow.
const TICK: Duration = Duration::from_millis(100);

/// `v1: digest: sha256:… size: 739`: all a push with the containerd store says about its result.
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\S+): digest: (sha256:[0-9a-f]{64}) size: (\d+)$").expect("a constant that a test compiles")
});
static RETRYING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Retrying in (\d+) seconds?$").expect("a constant that a test compiles"));

/// Pushes one tag and returns the digest the registry knows the image by.
pub async fn push(
    engine: &Engine,
    reference: &Reference,
    credentials: &RegistryCredentials,
    updates: &Sender<Progress>,
) -> Result<Digest, DockerError> {
    push_with(engine, reference, credentials, Patience::USUAL, updates).await
}

async fn push_with(
    engine: &Engine,
    reference: &Reference,
    credentials: &RegistryCredentials,
    patience: Patience,
    updates: &Sender<Progress>,
) -> Result<Digest, DockerError> {
    // Without a tag the engine would push every tag of that name.
    let tag = reference.tag.as_ref().map_or("latest", |tag| tag.as_str());
    let path = format!("/images/{}/push?tag={tag}", reference.name);
    let mut headers = HeaderMap::new();
    let auth =
        HeaderValue::try_from(credentials.header()).map_err(|error| DockerError::Request { source: error.into() })?;
    headers.insert(HeaderName::from_static("x-registry-auth"), auth);
    let mut silence = Silence::of(patience);
    let mut stream = PushStream::default();
    let mut ticker = tokio::time::interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asked = engine.request(Method::POST, &path, headers, bollard::body_full(Bytes::new()));
    tokio::pin!(asked);
    // The engine speaks to the registry before it begins to answer.
    let response = loop {
        tokio::select! {
            response = &mut asked => break response?,
            _ = ticker.tick() => silence.look(&stream, reference, updates).await?,
        }
    };
    if response.status() != StatusCode::OK {
        return Err(match refusal("push", response).await {
            // An image the engine does not have, or podman, which has a status of its own for a failed push.
            DockerError::Refused { message, .. } => failed(reference, message),
            other => other,
        });
    }

    let mut body = response.into_body();
    let mut lines = JsonLines::default();
    loop {
        tokio::select! {
            frame = body.frame() => {
                let Some(frame) = frame else { break };
                let frame =
                    frame.map_err(|source| DockerError::Broken { operation: "push", source: Box::new(source) })?;
                let Ok(chunk) = frame.into_data() else { continue };
                for value in lines.feed(&chunk).map_err(DockerError::Answer)? {
                    if let Err(message) = stream.apply(&value) {
                        tell(updates, stream.snapshot(Last::Yes)).await;
                        return Err(failed(reference, message));
                    }
                }
                if stream.moved == Moved::Yes {
                    stream.moved = Moved::No;
                    silence.broken();
                }
            }
            _ = ticker.tick() => {
                silence.look(&stream, reference, updates).await?;
                if stream.news == News::Yes {
                    let snapshot = stream.snapshot(Last::No);
                    tell(updates, snapshot).await;
                }
            }
        }
    }
    lines.finish().map_err(DockerError::Answer)?;
    tell(updates, stream.snapshot(Last::Yes)).await;
    stream.digest.ok_or(DockerError::NoResult { operation: "push" })
}

fn failed(reference: &Reference, message: String) -> DockerError {
    let cause = cause(&message);
    DockerError::Push(Box::new(PushFailure { reference: reference.to_string(), message, cause }))
}

/// What the stream has told so far.
#[derive(Debug, Default)]
struct PushStream {
    /// In the order the engine named them.
    layers: Vec<Layer>,
    index: HashMap<String, usize>,
    digest: Option<Digest>,
    news: News,
    moved: Moved,
}

/// Whether anything has changed: the containerd store tells every layer ten times a second, come what may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Moved {
    Yes,
    #[default]
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum News {
    Yes,
    #[default]
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

impl PushStream {
    /// Takes one value; an error in it ends the push and comes with HTTP 200.
    fn apply(&mut self, value: &Value) -> Result<(), String> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        if let Some(message) = text("/errorDetail/message").or_else(|| text("/error")) {
            return Err(message.trim().to_owned());
        }
        // The graphdriver's word comes twice, here and in the status; the containerd store has the status only.
        if let Some(digest) = text("/aux/Digest") {
            self.digest = digest.parse().ok();
            self.moved = Moved::Yes;
        }
        let Some(status) = text("/status") else { return Ok(()) };
        if let Some(id) = text("/id") {
            if let Some(state) = layer_state(status) {
                let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64);
                self.layer(id, state, number("/progressDetail/current"), number("/progressDetail/total"));
            }
        } else {
            self.moved = Moved::Yes;
            if let Some(result) = RESULT.captures(status) {
                self.digest = result[2].parse().ok();
            }
        }
        Ok(())
    }

    fn layer(&mut self, id: &str, state: LayerState, current: Option<u64>, total: Option<u64>) {
        self.news = News::Yes;
        let index = *self.index.entry(id.to_owned()).or_insert_with(|| {
            self.moved = Moved::Yes;
            self.layers.push(Layer { id: id.to_owned(), state: state.clone(), current: 0, total: None });
            self.layers.len() - 1
        });
        let layer = &mut self.layers[index];
        let before = layer.clone();
        // A retry begins the layer anew.
        if matches!(state, LayerState::Retrying { .. }) {
            layer.current = 0;
        }
        layer.total = total.filter(|total| *total > 0).or(layer.total);
        layer.current = current.unwrap_or(layer.current);
        // The engine counts uncompressed bytes with the padding of the tar: more than it announced.
        if let Some(total) = layer.total {
            layer.current = layer.current.min(total);
            if state == LayerState::Pushed {
                layer.current = total;
            }
        }
        layer.state = state;
        if *layer != before {
            self.moved = Moved::Yes;
        }
    }

    fn snapshot(&mut self, last: Last) -> Progress {
        self.news = News::No;
        Progress::Layers { layers: self.layers.clone(), last: last == Last::Yes }
    }
}

/// The words of moby's `distribution/push_v2.go` and `daemon/containerd/progress.go`.
fn layer_state(status: &str) -> Option<LayerState> {
    if let Some(seconds) = RETRYING.captures(status) {
        return Some(LayerState::Retrying { seconds: seconds[1].parse().unwrap_or_default() });
    }
    match status {
        "Preparing" => Some(LayerState::Preparing),
        "Waiting" => Some(LayerState::Waiting),
        "Pushing" => Some(LayerState::Pushing),
        "Pushed" => Some(LayerState::Pushed),
        "Layer already exists" | "Already exists" => Some(LayerState::Exists),
        _ if status.starts_with("Mounted from ") => Some(LayerState::Mounted),
        _ => None,
    }
}

/// What the engine's words mean. Order matters: ECR says `denied:` to an expired token, too.
fn cause(message: &str) -> PushCause {
    static DENIED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"not authorized to perform: ([\w-]+:\w+)").expect("a constant that a test compiles")
    });
    static MISSING: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"repository with name '([^']+)' does not exist").expect("a constant that a test compiles")
    });
    static IMMUTABLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"image tag '([^']+)' already exists").expect("a constant that a test compiles"));
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if let Some(tag) = IMMUTABLE.captures(message) {
        return PushCause::TagImmutable { tag: tag[1].to_owned() };
    }
    if let Some(repository) = MISSING.captures(message) {
        return PushCause::RepositoryMissing { repository: Some(repository[1].to_owned()) };
    }
    if let Some(action) = DENIED.captures(message) {
        let action = action[1].to_owned();
        if has(&["explicit deny"]) {
            return PushCause::Forbidden { action };
        }
        return PushCause::Denied { action: Some(action) };
    }
    if has(&["no basic auth credentials"]) {
        PushCause::NoBasicAuth
    } else if has(&[
        "authorization token has expired",
        // Of another region, or of a registry that has forgotten it.
        "Authorization Token is invalid",
        "authentication required",
        "unauthorized:",
        "401 Unauthorized",
        "StatusCode: 401",
    ]) {
        PushCause::TokenExpired
    } else if has(&["name unknown:", "404 Not Found"]) {
        PushCause::RepositoryMissing { repository: None }
    } else if has(&["denied:", "403 Forbidden", "StatusCode: 403"]) {
        PushCause::Denied { action: None }
    } else if has(&["tag does not exist", "does not exist locally", "No such image", "image not known"]) {
        PushCause::TagMissing
    } else if has(&[
        "connection refused",
        "dial tcp",
        "no such host",
        "i/o timeout",
        "TLS handshake timeout",
        "connection reset",
        "x509:",
        "tls:",
        "HTTP response to HTTPS client",
        "EOF",
    ]) {
        PushCause::Unreachable
    } else {
        PushCause::Unclassified
    }
}

#[cfg(test)]
mod tests;
