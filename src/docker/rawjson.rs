//! `--progress rawjson` of buildx: `BuildKit`'s status graph in JSON on standard error, between lines that are words for
//! people.
//!
//! ```text
//! {"vertexes":[{"digest":"sha256:…","name":"[1/2] RUN make","started":"2026-11-25T23:45:07.516887963Z"}]}
//! {"logs":[{"vertex":"sha256:…","stream":1,"data":"aGVsbG8K","timestamp":"2026-11-25T23:45:07.6Z"}]}
//! ERROR: failed to build: failed to solve: …
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;

/// A piece of the status graph.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Piece {
    pub vertexes: Vec<Vertex>,
    pub statuses: Vec<Status>,
    pub logs: Vec<Log>,
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Vertex {
    pub digest: String,
    pub name: String,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub cached: bool,
    pub error: String,
}

/// How far something in a vertex is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub id: String,
    pub vertex: String,
    pub name: String,
    pub current: i64,
    pub total: i64,
}

/// What a vertex printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub vertex: String,
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub vertex: String,
    pub short: Vec<u8>,
}

/// Go leaves out what is empty, or writes `null`.
#[derive(Deserialize)]
struct Line {
    vertexes: Option<Vec<Vertex>>,
    statuses: Option<Vec<Status>>,
    logs: Option<Vec<EncodedLog>>,
    warnings: Option<Vec<EncodedWarning>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EncodedLog {
    vertex: String,
    data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EncodedWarning {
    vertex: String,
    short: Option<String>,
}

/// What a line gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Piece(Piece),
    /// Words for people: this line, and those before it that did not become a piece.
    Words(Vec<u8>),
    /// A piece that goes on in the next line: buildx 0.13 writes a value over many.
    More,
}

/// Puts lines together.
#[derive(Debug, Default)]
pub struct Reader {
    pending: Vec<u8>,
}

/// A piece is some kilobytes long. What is longer than this is none.
const LONGEST: usize = 16 * 1024 * 1024;

impl Reader {
    /// Takes a line with its end.
    pub fn feed(&mut self, line: &[u8]) -> Heard {
        let first = self.pending.is_empty();
        if first && !line.trim_ascii_start().starts_with(b"{") {
            return Heard::Words(line.to_vec());
        }
        self.pending.extend_from_slice(line);
        // Only then can it be whole; to try at each line would take as long as the square of their number.
        if !first && !line.starts_with(b"}") && self.pending.len() < LONGEST {
            return Heard::More;
        }
        match serde_json::from_slice(&self.pending) {
            Ok(told) => {
                let all = std::mem::take(&mut self.pending);
                piece(told).map_or(Heard::Words(all), Heard::Piece)
            }
            Err(error) if error.is_eof() && self.pending.len() < LONGEST => Heard::More,
            Err(_) => Heard::Words(std::mem::take(&mut self.pending)),
        }
    }

    /// What has not become a piece before the end.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.pending
    }
}

fn piece(told: Line) -> Option<Piece> {
    let Line { vertexes, statuses, logs, warnings } = told;
    if vertexes.is_none() && statuses.is_none() && logs.is_none() && warnings.is_none() {
        return None;
    }
    let bytes = |text: Option<String>| STANDARD.decode(text.unwrap_or_default()).ok();
    let logs = logs.unwrap_or_default().into_iter();
    let warnings = warnings.unwrap_or_default().into_iter();
    Some(Piece {
        vertexes: vertexes.unwrap_or_default(),
        statuses: statuses.unwrap_or_default(),
        logs: logs.map(|log| Some(Log { vertex: log.vertex, data: bytes(log.data)? })).collect::<Option<_>>()?,
        warnings: warnings
            .map(|warning| Some(Warning { vertex: warning.vertex, short: bytes(warning.short)? }))
            .collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_from_words() {
        // As buildx 0.29 wrote them.
        let line = br#"{"vertexes":[{"digest":"sha256:45","inputs":["sha256:4d"],"name":"[base 2/2] RUN make","started":"2026-11-25T23:45:24.1371309Z","completed":"2026-11-25T23:45:24.237133534Z","error":"exit code: 2"}],"statuses":[{"id":"transferring context:","vertex":"sha256:f6","name":"transferring","current":232,"timestamp":"2026-11-25T23:45:23.437856905Z"}],"logs":[{"vertex":"sha256:45","stream":1,"data":"aGVsbG8K","timestamp":"2026-11-25T23:45:24.2Z"}],"warnings":[{"vertex":"sha256:45","level":1,"short":"d2F0Y2ggb3V0","detail":["eA=="]}]}"#;
        let Heard::Piece(piece) = Reader::default().feed(line) else { panic!("a piece") };
        let [vertex] = piece.vertexes.as_slice() else { panic!("{piece:?}") };
        assert_eq!((vertex.name.as_str(), vertex.error.as_str()), ("[base 2/2] RUN make", "exit code: 2"));
        let spent = vertex.completed.expect("ended").as_millisecond() - vertex.started.expect("begun").as_millisecond();
        assert_eq!(spent, 100);
        assert_eq!(piece.statuses[0].current, 232);
        assert_eq!(
            (piece.logs[0].data.as_slice(), piece.warnings[0].short.as_slice()),
            (&b"hello\n"[..], &b"watch out"[..])
        );
        for words in [
            "ERROR: failed to solve",
            "",
            "{}",
            "{ x",
            "{\"level\":\"warning\"}",
            "{\"logs\":[{\"data\":\"?\"}]}",
            "[]",
        ] {
            assert_eq!(Reader::default().feed(words.as_bytes()), Heard::Words(words.into()), "{words}");
        }
        let empty = Reader::default().feed(b" {\"vertexes\":null,\"logs\":[]}\r\n");
        assert_eq!(empty, Heard::Piece(Piece::default()));
    }

    #[test]
    fn a_piece_may_take_many_lines() {
        // As buildx 0.13 wrote it.
        let text = "{\n  \"vertexes\": [\n    {\n      \"digest\": \"sha256:45\",\n      \"name\": \"[1/1] RUN\"\n    }\n  ]\n}\n\
                    ERROR: failed to solve\n{\n  \"logs\"";
        let mut reader = Reader::default();
        let mut heard = Vec::new();
        for line in text.split_inclusive('\n') {
            match reader.feed(line.as_bytes()) {
                Heard::More => {}
                Heard::Piece(piece) => heard.push(piece.vertexes[0].name.clone()),
                Heard::Words(words) => heard.push(String::from_utf8(words).expect("text")),
            }
        }
        assert_eq!(heard, ["[1/1] RUN", "ERROR: failed to solve\n"]);
        assert_eq!(reader.finish(), b"{\n  \"logs\"");
    }
}
