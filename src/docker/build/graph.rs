//! `BuildKit`'s status graph: what every builder that has one tells of its work, turned into progress and, in the end, into
//! the words about a failure.

use std::collections::HashMap;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex as Node};
use tokio::sync::mpsc::Sender;

use super::{failure, veil::Veil};
use crate::{
    docker::{
        error::BuildFailure,
        output::{Output, Tail},
        tell,
    },
    event::{Progress, Vertex, VertexState},
};

/// What has been told of the build graph so far.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Seen>,
    veil: Veil,
    /// The first vertex that failed by itself; the others are cancelled because of it.
    failed: Option<String>,
}

#[derive(Debug, Default)]
struct Seen {
    name: String,
    state: Option<VertexState>,
    output: Output,
    log: Tail,
}

impl Graph {
    /// Of a build whose secrets are not to be told.
    pub(super) fn veiled(veil: Veil) -> Self {
        Self { veil, ..Self::default() }
    }

    /// A text about the build without its secrets.
    pub(super) fn hide(&self, text: String) -> String {
        self.veil.hide(text)
    }

    /// Tells what is new in one piece of the status graph.
    pub(super) async fn apply(&mut self, status: StatusResponse, updates: &Sender<Progress>) {
        let StatusResponse { vertexes, statuses, logs, warnings } = status;
        for node in vertexes {
            // Its last words before its end.
            if node.completed.is_some() {
                self.end_line(&node.digest, updates).await;
            }
            if let Some(vertex) = self.vertex(node) {
                tell(updates, Progress::Vertex(vertex)).await;
            }
        }
        for status in statuses {
            let name = if status.name.is_empty() { status.id } else { status.name };
            let progress = Progress::VertexStatus {
                vertex: status.vertex,
                name,
                current: status.current.try_into().unwrap_or_default(),
                total: status.total.try_into().unwrap_or_default(),
            };
            tell(updates, progress).await;
        }
        for log in logs {
            for line in self.lines(&log.vertex, &log.msg) {
                tell(updates, Progress::BuildLog { vertex: log.vertex.clone(), line }).await;
            }
        }
        for warning in warnings {
            let message = self.veil.hide(String::from_utf8_lossy(&warning.short).into_owned());
            tell(updates, Progress::BuildWarning { message }).await;
        }
    }

    /// A vertex comes again with every change of anything in it; only a new state is news.
    fn vertex(&mut self, node: Node) -> Option<Vertex> {
        let duration_ms = duration_ms(&node);
        let node = Node { name: self.veil.hide(node.name), error: self.veil.hide(node.error), ..node };
        let Node { digest, name, cached, started, completed, error, inputs: _, progress_group: _ } = node;
        let state = match (started, completed) {
            _ if !error.is_empty() => VertexState::Failed,
            (_, Some(_)) if cached => VertexState::Cached,
            (_, Some(_)) => VertexState::Done,
            (Some(_), None) => VertexState::Started,
            // Announced only.
            (None, None) => return None,
        };
        if state == VertexState::Failed && self.failed.is_none() && !error.contains("context canceled") {
            self.failed = Some(digest.clone());
        }
        let seen = self.nodes.entry(digest.clone()).or_default();
        seen.name.clone_from(&name);
        if seen.state == Some(state) {
            return None;
        }
        seen.state = Some(state);
        let error = (!error.is_empty()).then_some(error);
        Some(Vertex { id: digest, name, state, duration_ms, error })
    }

    /// What a step printed, in lines.
    fn lines(&mut self, vertex: &str, bytes: &[u8]) -> Vec<String> {
        let seen = self.nodes.entry(vertex.to_owned()).or_default();
        let lines: Vec<_> = seen.output.feed(bytes).into_iter().map(|line| self.veil.hide(line)).collect();
        for line in &lines {
            seen.log.keep(line);
        }
        lines
    }

    async fn end_line(&mut self, vertex: &str, updates: &Sender<Progress>) {
        let Some(seen) = self.nodes.get_mut(vertex) else { return };
        let Some(line) = seen.output.end().map(|line| self.veil.hide(line)) else { return };
        seen.log.keep(&line);
        tell(updates, Progress::BuildLog { vertex: vertex.to_owned(), line }).await;
    }

    pub(super) async fn flush(&mut self, updates: &Sender<Progress>) {
        let all: Vec<_> = self.nodes.keys().cloned().collect();
        for vertex in all {
            self.end_line(&vertex, updates).await;
        }
    }

    pub(super) fn failure(&self, message: String) -> BuildFailure {
        let failed = self.failed.as_ref().and_then(|digest| self.nodes.get(digest));
        let step = failed.map(|seen| seen.name.clone());
        let log = failed.map(|seen| seen.log.lines()).unwrap_or_default();
        failure::classified(step, log, self.veil.hide(message))
    }
}

fn duration_ms(node: &Node) -> Option<u64> {
    let (started, completed) = (node.started.as_ref()?, node.completed.as_ref()?);
    let nanos = |seconds: i64, nanos: i32| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let spent = nanos(completed.seconds, completed.nanos) - nanos(started.seconds, started.nanos);
    u64::try_from(spent / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::{VertexLog, VertexWarning};
    use tokio::sync::mpsc;

    use super::*;
    use crate::docker::error::BuildCause;

    /// `(digest, started in ms, completed in ms, error)`.
    fn node(digest: &str, started: Option<i64>, completed: Option<i64>, error: &str) -> Node {
        let mut node = Node { digest: digest.to_owned(), name: format!("[1/2] {digest}"), ..Node::default() };
        let stamp = |ms: i64| (ms / 1000, i32::try_from(ms % 1000).unwrap() * 1_000_000);
        if let Some((seconds, nanos)) = started.map(stamp) {
            let started = node.started.get_or_insert_default();
            (started.seconds, started.nanos) = (seconds, nanos);
        }
        if let Some((seconds, nanos)) = completed.map(stamp) {
            let completed = node.completed.get_or_insert_default();
            (completed.seconds, completed.nanos) = (seconds, nanos);
        }
        error.clone_into(&mut node.error);
        node
    }

    fn log(vertex: &str, text: &str) -> VertexLog {
        VertexLog { vertex: vertex.to_owned(), stream: 1, msg: text.into(), ..VertexLog::default() }
    }

    async fn told(graph: &mut Graph, status: StatusResponse) -> Vec<Progress> {
        let (sender, mut receiver) = mpsc::channel(64);
        graph.apply(status, &sender).await;
        drop(sender);
        let mut all = Vec::new();
        while let Some(progress) = receiver.recv().await {
            all.push(progress);
        }
        all
    }

    fn states(progress: &[Progress]) -> Vec<(String, VertexState, Option<u64>)> {
        progress
            .iter()
            .filter_map(|progress| match progress {
                Progress::Vertex(vertex) => Some((vertex.id.clone(), vertex.state, vertex.duration_ms)),
                _ => None,
            })
            .collect()
    }

    #[tokio::test]
    async fn a_vertex_is_told_once_per_state() {
        let mut graph = Graph::default();
        let status = |vertexes| StatusResponse { vertexes, ..StatusResponse::default() };
        let announced = told(&mut graph, status(vec![node("a", None, None, "")])).await;
        assert_eq!(announced, []);
        let begun =
            told(&mut graph, status(vec![node("a", Some(900), None, ""), node("a", Some(900), None, "")])).await;
        assert_eq!(states(&begun), [("a".to_owned(), VertexState::Started, None)]);
        let mut cached = node("b", Some(1000), Some(1000), "");
        cached.cached = true;
        let ended = told(&mut graph, status(vec![node("a", Some(900), Some(2150), ""), cached])).await;
        assert_eq!(
            states(&ended),
            [("a".to_owned(), VertexState::Done, Some(1250)), ("b".to_owned(), VertexState::Cached, Some(0))]
        );
    }

    #[tokio::test]
    async fn output_comes_in_lines_whatever_the_pieces_were() {
        let mut graph = Graph::default();
        let status = |logs| StatusResponse { logs, ..StatusResponse::default() };
        let told_first = told(&mut graph, status(vec![log("a", "one\ntw"), log("a", "o\n10%\r20%\r\nrest")])).await;
        let lines: Vec<_> = told_first
            .iter()
            .map(|progress| match progress {
                Progress::BuildLog { line, .. } => line.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lines, ["one", "two", "20%"]);
        let ended = StatusResponse { vertexes: vec![node("a", Some(0), Some(1), "")], ..StatusResponse::default() };
        let last = told(&mut graph, ended).await;
        assert_eq!(last[0], Progress::BuildLog { vertex: "a".to_owned(), line: "rest".to_owned() });
    }

    #[tokio::test]
    async fn the_step_that_failed_is_told_from_those_it_took_along() {
        let mut graph = Graph::default();
        let lines: Vec<_> = (0..40).map(|line| format!("line {line}\n")).collect();
        let status = StatusResponse {
            logs: vec![log("bad", &lines.concat())],
            vertexes: vec![
                node("other", Some(0), Some(1), "context canceled: context canceled"),
                node("bad", Some(0), Some(1), "executor failed running [/bin/sh -c make]: exit code: 2"),
            ],
            ..StatusResponse::default()
        };
        told(&mut graph, status).await;
        let failure = graph.failure("executor failed running [/bin/sh -c make]: exit code: 2".to_owned());
        assert_eq!(failure.step.as_deref(), Some("[1/2] bad"));
        assert_eq!(failure.cause, BuildCause::CommandFailed { exit_code: 2 });
        assert_eq!(failure.log.last().map(String::as_str), Some("line 39"));
    }

    #[tokio::test]
    async fn warnings_are_told() {
        let warning = VertexWarning { short: b"LegacyKeyValueFormat".to_vec(), ..VertexWarning::default() };
        let status = StatusResponse { warnings: vec![warning], ..StatusResponse::default() };
        assert_eq!(
            told(&mut Graph::default(), status).await,
            [Progress::BuildWarning { message: "LegacyKeyValueFormat".to_owned() }]
        );
    }
}
