//! The builder of before `BuildKit`: its text output read back into steps.
//!
//! ```text
//! Step 2/3 : COPY app /app        (podman: STEP 2/3: COPY app /app)
//!  ---> Using cache
//!  ---> 5d0c2f3a91aa
//! ```

use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::Stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_TYPE, HeaderValue as Value},
};
use http_body_util::BodyExt;
use regex::Regex;
use tokio::sync::mpsc::Sender;

use super::{BuildRequest, failure};
use crate::{
    docker::{
        engine::refusal,
        error::{BuildFailure, DockerError},
        lines::JsonLines,
        output::Tail,
        tell,
    },
    event::{Progress, Vertex, VertexState},
    image::Digest,
};

static STEP: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:Step|STEP) (\d+)/(\d+) ?: (.*)$").expect("a constant that a test compiles"));

pub(super) async fn build(
    request: &BuildRequest<'_>,
    pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    updates: &Sender<Progress>,
) -> Result<Option<Digest>, DockerError> {
    // Without `forcerm` a failed step leaves its container behind.
    let path = format!("/build?{}", request.query(&[("version", "1"), ("rm", "1"), ("forcerm", "1")]));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, Value::from_static("application/x-tar"));
    let auth = HeaderValue::try_from(request.lent.registries.header())
        .map_err(|error| DockerError::Request { source: error.into() })?;
    headers.insert(HeaderName::from_static("x-registry-config"), auth);
    let body = bollard::body_try_stream(pieces);
    let response = request.engine.request(Method::POST, &path, headers, body).await?;
    if !response.status().is_success() {
        return Err(failure::refused(refusal("build", response).await));
    }
    let mut body = response.into_body();
    let mut lines = JsonLines::default();
    let mut steps = Steps::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| DockerError::Broken { operation: "build", source: Box::new(source) })?;
        let Ok(chunk) = frame.into_data() else { continue };
        for value in lines.feed(&chunk).map_err(DockerError::Answer)? {
            match steps.apply(&value) {
                Ok(progress) => {
                    for progress in progress {
                        tell(updates, progress).await;
                    }
                }
                Err(failure) => {
                    if let Some(vertex) = steps.finish(VertexState::Failed, Some(failure.message.clone())) {
                        tell(updates, Progress::Vertex(vertex)).await;
                    }
                    return Err(DockerError::Build(Box::new(failure)));
                }
            }
        }
    }
    lines.finish().map_err(DockerError::Answer)?;
    if let Some(vertex) = steps.finish(VertexState::Done, None) {
        tell(updates, Progress::Vertex(vertex)).await;
    }
    // An image without a name is this builder's cache: taken away, the next build would begin anew.
    steps.image_id.map(Some).ok_or(DockerError::NoResult { operation: "build" })
}

/// What the builder says about itself, not what a step printed.
fn is_builders_own(text: &str) -> bool {
    const STARTS: [&str; 7] = [
        " ---> ",
        "--> ",
        "Removing intermediate container ",
        "Removed intermediate container ",
        "Successfully built ",
        "Successfully tagged ",
        "COMMIT ",
    ];
    text.trim_end() == " --->" || STARTS.iter().any(|start| text.starts_with(start))
}

/// The steps seen so far; the last one is running.
#[derive(Debug, Default)]
struct Steps {
    current: Option<Step>,
    image_id: Option<Digest>,
    log: Tail,
    /// Output whose line has not ended.
    unfinished: String,
}

#[derive(Debug)]
struct Step {
    id: String,
    name: String,
    cached: Cached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cached {
    Yes,
    No,
}

impl Steps {
    /// Takes one value of the stream; an error in it is the end of the build.
    fn apply(&mut self, value: &serde_json::Value) -> Result<Vec<Progress>, BuildFailure> {
        let text = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_str);
        if let Some(message) = text("/errorDetail/message").or_else(|| text("/error")) {
            let step = self.current.as_ref().map(|step| step.name.clone());
            return Err(failure::classified(step, self.log.lines(), message.trim().to_owned()));
        }
        if let Some(id) = text("/aux/ID") {
            self.image_id = id.parse().ok();
        }
        let mut progress = Vec::new();
        if let Some(stream) = text("/stream") {
            // A step that prints no last line end must not swallow what the builder says next.
            if !self.unfinished.is_empty() && is_builders_own(stream) {
                let line = std::mem::take(&mut self.unfinished);
                self.line(&line, &mut progress);
            }
            self.unfinished.push_str(stream);
            while let Some(end) = self.unfinished.find('\n') {
                let line: String = self.unfinished.drain(..=end).collect();
                self.line(line.trim_end(), &mut progress);
            }
        }
        if let (Some(status), Some(step)) = (text("/status"), &self.current) {
            let number = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default();
            progress.push(Progress::VertexStatus {
                vertex: step.id.clone(),
                name: text("/id").map_or_else(|| status.to_owned(), |id| format!("{status} {id}")),
                current: number("/progressDetail/current"),
                total: number("/progressDetail/total"),
            });
        }
        Ok(progress)
    }

    fn line(&mut self, line: &str, progress: &mut Vec<Progress>) {
        if let Some(step) = STEP.captures(line) {
            progress.extend(self.finish(VertexState::Done, None).map(Progress::Vertex));
            let (number, total, instruction) = (&step[1], &step[2], &step[3]);
            let step = Step {
                id: format!("step-{number}"),
                name: format!("[{number}/{total}] {instruction}"),
                cached: Cached::No,
            };
            progress.push(Progress::Vertex(step.vertex(VertexState::Started, None)));
            self.log.clear();
            self.current = Some(step);
            return;
        }
        let trimmed = line.trim_start();
        if trimmed == "---> Using cache" || trimmed.starts_with("--> Using cache") {
            if let Some(step) = &mut self.current {
                step.cached = Cached::Yes;
            }
            return;
        }
        if line.is_empty() || is_builders_own(line) {
            return;
        }
        self.log.keep(line);
        if let Some(step) = &self.current {
            progress.push(Progress::BuildLog { vertex: step.id.clone(), line: line.to_owned() });
        } else {
            progress.push(Progress::BuildWarning { message: line.to_owned() });
        }
    }

    fn finish(&mut self, state: VertexState, error: Option<String>) -> Option<Vertex> {
        self.current.take().map(|step| step.vertex(state, error))
    }
}

impl Step {
    /// The classic builder tells no times.
    fn vertex(&self, state: VertexState, error: Option<String>) -> Vertex {
        let state = match (state, self.cached) {
            (VertexState::Done, Cached::Yes) => VertexState::Cached,
            (state, Cached::Yes | Cached::No) => state,
        };
        Vertex { id: self.id.clone(), name: self.name.clone(), state, duration_ms: None, error }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::docker::error::BuildCause;

    fn words(steps: &mut Steps, values: &[serde_json::Value]) -> Vec<String> {
        let mut words = Vec::new();
        for value in values {
            for progress in steps.apply(value).unwrap() {
                words.push(match progress {
                    Progress::Vertex(vertex) => format!("{:?} {} {}", vertex.state, vertex.id, vertex.name),
                    Progress::BuildLog { vertex, line } => format!("{vertex} | {line}"),
                    Progress::VertexStatus { vertex, name, current, total } => {
                        format!("{vertex} {name} {current}/{total}")
                    }
                    other => format!("{other:?}"),
                });
            }
        }
        words
    }

    #[test]
    fn dockers_text_becomes_steps() {
        let mut steps = Steps::default();
        let stream = |text: &str| json!({ "stream": text });
        let seen = words(
            &mut steps,
            &[
                stream("Step 1/3 : FROM scratch"),
                stream("\n"),
                stream(" ---> \n"),
                stream("Step 2/3 : COPY busybox /bin/busybox"),
                stream("\n"),
                stream(" ---> Using cache\n"),
                stream(" ---> 5d0c2f3a91aa\n"),
                stream("Step 3/3 : RUN [\"/bin/busybox\",\"echo\",\"hello\"]"),
                stream("\n"),
                stream(" ---> Running in 0af42fe2c5f2\n"),
                stream("hel"),
                stream("lo\n"),
                stream("Removing intermediate container 0af42fe2c5f2\n"),
                json!({"aux": {"ID": format!("sha256:{}", "a".repeat(64))}}),
                stream("Successfully built aaaaaaaaaaaa\n"),
            ],
        );
        assert_eq!(
            seen,
            [
                "Started step-1 [1/3] FROM scratch",
                "Done step-1 [1/3] FROM scratch",
                "Started step-2 [2/3] COPY busybox /bin/busybox",
                "Cached step-2 [2/3] COPY busybox /bin/busybox",
                "Started step-3 [3/3] RUN [\"/bin/busybox\",\"echo\",\"hello\"]",
                "step-3 | hello",
            ]
        );
        assert!(steps.image_id.is_some());
        assert_eq!(steps.finish(VertexState::Done, None).unwrap().id, "step-3");
    }

    #[test]
    fn podmans_text_and_pulls_become_steps_too() {
        let mut steps = Steps::default();
        let seen = words(
            &mut steps,
            &[
                json!({"stream": "STEP 1/2: FROM alpine\n"}),
                json!({"status": "Downloading", "id": "aaa", "progressDetail": {"current": 1, "total": 2}}),
                json!({"stream": "STEP 2/2: RUN true\n--> Using cache abc\n--> abc\nCOMMIT x\n"}),
            ],
        );
        assert_eq!(
            seen,
            [
                "Started step-1 [1/2] FROM alpine",
                "step-1 Downloading aaa 1/2",
                "Done step-1 [1/2] FROM alpine",
                "Started step-2 [2/2] RUN true",
            ]
        );
        assert_eq!(steps.finish(VertexState::Done, None).unwrap().state, VertexState::Cached);
    }

    #[test]
    fn an_error_names_the_step_and_what_it_printed() {
        let mut steps = Steps::default();
        words(&mut steps, &[json!({"stream": "Step 1/1 : RUN make\n"}), json!({"stream": "no rule\n"})]);
        let failure = steps
            .apply(&json!({
                "errorDetail": {"code": 2, "message": "The command '/bin/sh -c make' returned a non-zero code: 2"},
                "error": "The command '/bin/sh -c make' returned a non-zero code: 2"
            }))
            .unwrap_err();
        assert_eq!(failure.step.as_deref(), Some("[1/1] RUN make"));
        assert_eq!(failure.log, ["no rule"]);
        assert_eq!(failure.cause, BuildCause::CommandFailed { exit_code: 2 });
    }
}
