//! The engine's JSON streams: one value after another, usually a line each.
//!
//! Values end with CRLF, LF or nothing at all, and a chunk of the response may end anywhere, also
//! between CR and LF. bollard's own decoder fails there with "bytes remaining on stream".

use serde_json::Value;

/// Collects chunks and hands out whole values.
#[derive(Debug, Default)]
pub(crate) struct JsonLines {
    buffer: Vec<u8>,
}

/// What the engine sent is not JSON: a proxy in between, or a stream that broke off.
#[derive(Debug, thiserror::Error)]
#[error("the engine's answer is not a JSON stream: `{excerpt}`")]
pub struct JsonLinesError {
    /// The first letters of what could not be read.
    pub excerpt: String,
    #[source]
    source: serde_json::Error,
}

impl JsonLines {
    /// Takes a chunk and returns the values that are complete now.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<Vec<Value>, JsonLinesError> {
        self.buffer.extend_from_slice(chunk);
        let mut values = Vec::new();
        let mut stream = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>();
        let mut taken = 0;
        let failure = loop {
            match stream.next() {
                Some(Ok(value)) => {
                    taken = stream.byte_offset();
                    values.push(value);
                }
                // The rest of the value is still on its way.
                Some(Err(error)) if error.is_eof() => break None,
                Some(Err(error)) => break Some(error),
                None => {
                    taken = self.buffer.len();
                    break None;
                }
            }
        };
        if let Some(source) = failure {
            return Err(JsonLinesError { excerpt: excerpt(&self.buffer[taken..]), source });
        }
        self.buffer.drain(..taken);
        Ok(values)
    }

    /// The stream ended; half a value means that it was cut.
    pub(crate) fn finish(self) -> Result<(), JsonLinesError> {
        match serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>().next() {
            Some(Err(source)) => Err(JsonLinesError { excerpt: excerpt(&self.buffer), source }),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn line_ends_may_be_anything_and_split_anywhere() {
        let mut lines = JsonLines::default();
        assert_eq!(lines.feed(b"{\"a\":1}\r").unwrap(), [json!({"a": 1})]);
        assert_eq!(lines.feed(b"\n{\"b\":").unwrap(), Vec::<Value>::new());
        assert_eq!(lines.feed(b"\"x\\r\\ny\"}{\"c\":3}\n\n").unwrap(), [json!({"b": "x\r\ny"}), json!({"c": 3})]);
        assert_eq!(lines.feed(b"\r\n").unwrap(), Vec::<Value>::new());
        lines.finish().unwrap();
    }

    #[test]
    fn a_page_of_html_is_told_from_a_stream() {
        let error = JsonLines::default().feed(b"<html>bad gateway</html>").unwrap_err();
        assert_eq!(error.excerpt, "<html>bad gateway</html>");
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        let mut lines = JsonLines::default();
        assert!(lines.feed(b"{\"a\":1}\r\n{\"sta").unwrap().len() == 1);
        assert_eq!(lines.finish().unwrap_err().excerpt, "{\"sta");
    }

    proptest! {
        #[test]
        fn where_chunks_are_cut_does_not_matter(
            texts in proptest::collection::vec("[ -~\\r\\n\u{e4}]{0,20}", 1..6),
            cuts in proptest::collection::vec(0usize..400, 0..12),
        ) {
            let values: Vec<Value> = texts.iter().map(|text| json!({ "status": text })).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|value| format!("{value}\r\n").into_bytes()).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut lines = JsonLines::default();
            let mut seen = Vec::new();
            for pair in cuts.windows(2) {
                seen.extend(lines.feed(&bytes[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(seen, values);
            prop_assert!(lines.finish().is_ok());
        }
    }
}
