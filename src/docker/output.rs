//! What a command printed: cut into lines whatever the pieces were, and its last lines kept.

use std::collections::VecDeque;

/// Lines kept for a failure.
const KEPT: usize = 20;
/// A line without an end (a progress bar) is cut here.
const LONGEST: usize = 16 * 1024;

/// One output of a command; a line whose end has not come yet waits.
#[derive(Debug, Default)]
pub(crate) struct Output {
    unfinished: Vec<u8>,
}

impl Output {
    /// The lines that are whole now; of one redrawn with carriage returns the last state counts.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        self.unfinished.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            lines.push(last_drawn(&line));
        }
        if self.unfinished.len() > LONGEST {
            lines.extend(self.end());
        }
        lines
    }

    /// The last words of one that ended without a line end.
    pub(crate) fn end(&mut self) -> Option<String> {
        if self.unfinished.is_empty() {
            return None;
        }
        Some(last_drawn(&std::mem::take(&mut self.unfinished)))
    }
}

fn last_drawn(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\n', '\r']);
    line.rsplit('\r').next().unwrap_or(line).to_owned()
}

/// The last lines, for the words about a failure.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<String>);

impl Tail {
    pub(crate) fn keep(&mut self, line: &str) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Output, Tail};

    #[test]
    fn letters_that_come_in_pieces_stay_whole() {
        let mut output = Output::default();
        let text = "grüß\nzwei";
        let cut = text.find('ü').expect("it is there") + 1;
        assert_eq!(output.feed(&text.as_bytes()[..cut]), Vec::<String>::new());
        assert_eq!(output.feed(&text.as_bytes()[cut..]), ["grüß"]);
        assert_eq!((output.end().as_deref(), output.end()), (Some("zwei"), None));
    }

    #[test]
    fn a_line_that_never_ends_is_told_all_the_same() {
        assert_eq!(Output::default().feed(&vec![b'.'; 20_000]).len(), 1);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut tail = Tail::default();
        (0..40).for_each(|number| tail.keep(&number.to_string()));
        let lines = tail.lines();
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (KEPT, Some("39")));
    }
}
