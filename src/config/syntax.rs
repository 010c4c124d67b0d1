//! What is no TOML at all, in our words: the parser's messages put into sentences that say what to write.

use std::ops::Range;

use super::{
    error::{ConfigError, Mistake, Place},
    secrets::{is_in_secret, looks_secret},
};

/// What a syntax mistake does to the lines after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruin {
    Line,
    Rest,
}

/// The syntax mistakes in our words, at most one for each line, and how far the worst one reaches.
pub(super) fn syntax_mistakes(text: &str, errors: &[toml::de::Error]) -> (Vec<ConfigError>, Ruin) {
    let mut errors: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let unclosed = errors.iter().find_map(|(_, message)| {
        let closing = [("unclosed array", ']'), ("unclosed inline table", '}')];
        closing.into_iter().find(|(start, _)| message.starts_with(start)).map(|(_, bracket)| bracket)
    });
    let mut mistakes: Vec<ConfigError> = Vec::new();
    let mut ruin = Ruin::Line;
    for (span, message) in errors {
        // What is opened and never closed swallows what follows: the other messages would be about our
        // own confusion. The first of them is behind the place where it was opened.
        if let Some(closing) = unclosed
            && let Some(opening) = opening_before(text, span.start, closing)
        {
            let (message, write) = match closing {
                ']' => ("the list that begins here does not end", "is a `]` missing?"),
                _ => (
                    "the table in braces that begins here does not end",
                    "is a `}` missing? All of it stands in one line",
                ),
            };
            let mistake = Mistake::Syntax { message: message.to_owned(), write: Some(write.to_owned()) };
            mistakes.push(ConfigError::new(mistake, Place::File(opening..opening + 1)));
            return (mistakes, Ruin::Rest);
        }
        let (mistake, reach) = syntax_mistake(text, &span, message);
        let error = ConfigError::new(mistake, Place::File(visible(text, span.clone())));
        let in_a_table_written_twice = message.starts_with("duplicate key")
            && header_before(text, span.start).is_some_and(|header| {
                mistakes.iter().any(|earlier| earlier.place.order().is_some_and(|at| header.contains(&at)))
            });
        if in_a_table_written_twice || mistakes.iter().any(|earlier| same_line(text, &earlier.place, &error.place)) {
            continue;
        }
        mistakes.push(error);
        if reach == Ruin::Rest {
            ruin = Ruin::Rest;
            if !message.starts_with("unclosed table") {
                break;
            }
        }
    }
    (mistakes, ruin)
}

/// The bracket behind the last `=` before `at` that opens what `closing` should close.
fn opening_before(text: &str, at: usize, closing: char) -> Option<usize> {
    let open = if closing == ']' { '[' } else { '{' };
    let line_end = text.get(at..)?.find('\n').map_or(text.len(), |newline| at + newline);
    let mut end = line_end;
    while let Some(equals) = text.get(..end)?.rfind('=') {
        let value = &text[equals + 1..line_end];
        let start = equals + 1 + (value.len() - value.trim_start().len());
        if text[start..].starts_with(open) && start < at && !text[start..at].contains(closing) {
            return Some(start);
        }
        end = equals;
    }
    None
}

/// The line of the table header that `at` stands under.
fn header_before(text: &str, at: usize) -> Option<Range<usize>> {
    let line_start = text.get(..at)?.rfind('\n')? + 1;
    let start = if text[..line_start].starts_with('[') && !text[..line_start].contains("\n[") {
        0
    } else {
        text[..line_start].rfind("\n[")? + 1
    };
    Some(start..start + text[start..].lines().next().map_or(0, str::len))
}

/// `NPM_TOKEN` of `args = { A = "1", NPM_TOKEN`.
fn last_key(before: &str) -> &str {
    before.rsplit(['{', ',', '.']).next().unwrap_or(before).trim()
}

/// Puts the parser's words (`toml` 1.2) into ours; what is not known here is told as it is.
fn syntax_mistake(text: &str, span: &Range<usize>, message: &str) -> (Mistake, Ruin) {
    let line = line_of(text, span.start);
    let source = text.get(span.clone()).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    let say = |message: &str, write: Option<String>| Mistake::Syntax { message: message.to_owned(), write };
    // What is not shown in its place is not shown in the advice either; and a text has quotes.
    let shown = |key: &str, value: &str| {
        let bare = value.trim_matches(['"', '\'']);
        let is_value = matches!(bare, "true" | "false") || bare.parse::<i64>().is_ok() || bare.starts_with(['[', '{']);
        match () {
            () if is_in_secret(text, span.start) || looks_secret(last_key(key), bare) => "\"…\"".to_owned(),
            () if is_value || value != bare => value.to_owned(),
            () => format!("\"{bare}\""),
        }
    };

    // The parser takes whatever begins with `t` or `f` for one.
    if message.starts_with("invalid boolean") && matches!(source.to_lowercase().as_str(), "true" | "false") {
        return (say("this is not true or false", Some(format!("write `{}`", source.to_lowercase()))), Ruin::Line);
    }
    if message.starts_with("string values must be quoted") || message.starts_with("invalid boolean") {
        let mistake = match source.to_ascii_lowercase().as_str() {
            "" => say(&format!("`{key}` has no value"), Some(format!("write `{key} = \"…\"`, or leave the key out"))),
            "yes" | "on" => say("this is not true or false", Some("write `true`".to_owned())),
            "no" | "off" => say("this is not true or false", Some("write `false`".to_owned())),
            _ => say("a text stands in quotes", Some(format!("write `{}`", shown(last_key(key), source)))),
        };
        return (mistake, Ruin::Line);
    }
    if message.starts_with("unclosed table") {
        return (say("a `]` is missing", Some(format!("write `{}]`", line.trim_end()))), Ruin::Rest);
    }
    if message.starts_with("invalid basic string") || message.starts_with("invalid literal string") {
        return (say("the text does not end in this line", Some("is a quote missing?".to_owned())), Ruin::Line);
    }
    if message.starts_with("key with no value") {
        let write = match line.split_once(':') {
            Some((key, value)) if value.trim().is_empty() => {
                format!("this is TOML, not YAML: write `[{}]`, or `{} = …`", key.trim(), key.trim())
            }
            Some((key, value)) => format!("write `{} = {}`", key.trim(), shown(key.trim(), value.trim())),
            None => format!("write `{} = …`, or put `#` in front of a comment", line.trim()),
        };
        return (say("there is no `=` in this line", Some(write)), Ruin::Line);
    }
    if message.starts_with("invalid unquoted key") && source == ":" {
        let value = line.split_once(':').map_or("", |(_, value)| value);
        let value = if line.contains('{') { value.split(['}', ',']).next().unwrap_or(value) } else { value }.trim();
        let key = line.split(':').next().unwrap_or_default().rsplit(['{', ',']).next().unwrap_or_default().trim();
        return (
            say("there is no `=` in this line", Some(format!("write `{key} = {}`", shown(key, value)))),
            Ruin::Line,
        );
    }
    if message.starts_with("duplicate key") {
        let what = if line.trim_start().starts_with('[') { line.trim() } else { source };
        return (say(&format!("`{what}` is written twice"), Some("keep one of them".to_owned())), Ruin::Line);
    }
    if message.starts_with("unexpected leading zero") {
        let value = line.split_once('=').map_or("", |(_, value)| value).trim();
        let value = if looks_secret(last_key(key), value) { "…" } else { value };
        return (say("a number does not begin with 0", Some(format!("write `{key} = \"{value}\"`"))), Ruin::Line);
    }
    if message.starts_with("unexpected key or value, expected newline") {
        let write = "one value for each line; what follows it may be a comment behind `#`";
        return (say("the value ends before this", Some(write.to_owned())), Ruin::Line);
    }
    if message.contains("array") {
        let write = "between `[` and `]` stand texts in quotes, divided by commas; is a `]` or a comma missing?";
        return (say("the list is broken here", Some(write.to_owned())), Ruin::Rest);
    }
    if message.contains("inline table") || message.contains("key-value pairs") {
        let write = "between `{` and `}` stand `NAME = \"value\"`, divided by commas; is a `}` or a comma missing?";
        return (say("the table in braces is broken here", Some(write.to_owned())), Ruin::Rest);
    }
    (say(message, None), Ruin::Line)
}

/// A place that can be underlined: an empty one takes the letter before it, a line end the last letter.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    if !span.is_empty() {
        return span;
    }
    let before = text.get(..span.start).unwrap_or(text).trim_end();
    let start = before.char_indices().next_back().map_or(0, |(at, _)| at);
    start..before.len().max(start)
}

fn line_of(text: &str, at: usize) -> &str {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
}

pub(super) fn same_line(text: &str, one: &Place, other: &Place) -> bool {
    match (one.line_and_column(text), other.line_and_column(text)) {
        (Some((one, _)), Some((other, _))) => one == other,
        _ => false,
    }
}
