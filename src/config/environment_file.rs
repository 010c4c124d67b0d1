//! `KEY=value` lines, as `docker run --env-file` and ECS's own `environmentFiles` take them: nothing is expanded,
//! quotes are part of the value, `#` begins a comment at the start of a line alone.

use std::ops::Range;

use super::{error::Mistake, file::Written};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub value: Written<String>,
}

/// Whether an environment variable can be called this: what every shell can read.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && name.chars().all(good)
}

/// Reads the lines of a text that begins at `begin` in the row of all texts, and tells those that are none.
#[must_use]
pub fn parse(text: &str, begin: usize) -> (Vec<Line>, Vec<(Mistake, Range<usize>)>) {
    let mut lines = Vec::new();
    let mut mistakes = Vec::new();
    let mut at = begin;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\n', '\r']);
        let start = at;
        at += whole.len();
        // Editors of Windows put it in front of the first line.
        let bare = line.trim_start_matches('\u{feff}').trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let offset = start + (line.len() - bare.len());
        let mut wrong =
            |write: String| mistakes.push((Mistake::EnvironmentFileLine { write }, offset..start + line.len()));
        let Some((name, value)) = bare.split_once('=') else {
            // docker would take the value from its own environment, which is another one on every machine.
            let name = bare.trim();
            wrong(if is_name(name) {
                format!("write `{name}=…`; nothing is taken from the environment of the deploy here")
            } else {
                "a line is `KEY=value`, or a comment that begins with `#`".to_owned()
            });
            continue;
        };
        if let Some(name) = name.strip_prefix("export ") {
            wrong(format!("this is no shell script: write `{}=…` without `export`", name.trim()));
        } else if !is_name(name) {
            let plain = name.trim();
            wrong(if is_name(plain) {
                format!("write `{plain}=…` without blanks around the `=`")
            } else {
                "a name has letters, digits and `_`, and does not begin with a digit".to_owned()
            });
        } else {
            let from = offset + name.len() + 1;
            let value = Written { value: value.to_owned(), span: from..from + value.len() };
            lines.push(Line { name: name.to_owned(), value });
        }
    }
    (lines, mistakes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_docker_reads_them() {
        let text = "\u{feff}# a comment\n\nA=1\r\n  B= two \nC=\nD=a=b # no comment\nE='q'\n";
        let (lines, mistakes) = parse(text, 100);
        assert_eq!(mistakes, []);
        let read: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.value.value.as_str())).collect();
        assert_eq!(read, [("A", "1"), ("B", " two "), ("C", ""), ("D", "a=b # no comment"), ("E", "'q'")]);
        for line in lines {
            assert_eq!(&text[line.value.span.start - 100..line.value.span.end - 100], line.value.value);
        }
    }

    #[test]
    fn what_is_no_line_is_told() {
        let (lines, mistakes) = parse("PATH\nexport A=1\nB = 2\n9=x\nC: d\n", 0);
        assert_eq!(lines, []);
        let told: Vec<_> = mistakes
            .iter()
            .map(|(mistake, span)| match mistake {
                Mistake::EnvironmentFileLine { write } => (span.clone(), write.split(':').next_back().unwrap_or(write)),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!(told[0].0, 0..4);
        assert_eq!(told[4].0, 26..30);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart(text in "(A|=|é| |\n|\r|#|export |\"){0,30}") {
            let (lines, mistakes) = parse(&text, 0);
            for span in lines.iter().map(|line| &line.value.span).chain(mistakes.iter().map(|(_, span)| span)) {
                prop_assert!(text.get(span.clone()).is_some());
            }
        }
    }
}
