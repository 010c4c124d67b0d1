//! What is no TOML at all, in our words: the parser's messages put into sentences that say what to write.

use std::ops::Range;

use super::{
    error::{ConfigError, Mistake, Place},
    secrets::{is_in_secret, looks_secret, masked},
    sources::Language,
};

/// What a syntax mistake does to the lines after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruin {
    Line,
    Rest,
}

/// The syntax mistakes in our words, at most one for each line, and how far the worst one reaches.
pub(super) fn syntax_mistakes(text: &str, errors: &[toml::de::Error]) -> (Vec<ConfigError>, Ruin) {
    if !errors.is_empty()
        && let Some(whole) = of_the_whole(text)
    {
        return (vec![whole], Ruin::Rest);
    }
    let mut errors: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let unclosed = errors.iter().find_map(|(_, message)| {
        let closing = [("unclosed array", ']'), ("unclosed inline table", '}')];
        closing.into_iter().find(|(start, _)| message.starts_with(start)).map(|(_, bracket)| bracket)
    });
    let mut mistakes: Vec<ConfigError> = Vec::new();
    let shown = if errors.is_empty() { String::new() } else { masked(text, Language::Toml) };
    let mut ruin = Ruin::Line;
    for (span, message) in errors {
        // What is opened and never closed swallows what follows: the other messages would be about our
        // own confusion. The first of them is behind the place where it was opened.
        if let Some(closing) = unclosed
            && let Some(opening) = opening_before(text, span.start, closing)
        {
            let (message, write) = match closing {
                ']' => ("the list that begins here does not end", "is a `]` missing?"),
                _ => ("the table in braces that begins here does not end", "is a `}` missing?"),
            };
            let mistake = Mistake::Syntax { message: message.to_owned(), write: Some(write.to_owned()) };
            mistakes.push(ConfigError::new(mistake, Place::File(opening..opening + 1)));
            return (mistakes, Ruin::Rest);
        }
        // The other half of a text whose first line was told already.
        if mistakes.last().is_some_and(|last| last.mistake.is_open_text() && is_line_before(text, last, span.start)) {
            continue;
        }
        if let Some(opening) = open_text(text, message) {
            mistakes.push(opening);
            return (mistakes, Ruin::Rest);
        }
        let line = line_of(text, span.start);
        let (mistake, reach) = if line.trim_start().starts_with('[') && !message.starts_with("duplicate key") {
            (header_mistake(line), Ruin::Rest)
        } else {
            syntax_mistake(text, &span, message)
        };
        let mistake = without_secrets(mistake, text, &shown, span.start);
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
            if !line.trim_start().starts_with('[') {
                break;
            }
        }
    }
    (mistakes, ruin)
}

/// What is wrong with the file as a whole: another language, or what another program has left in it. Every single line
/// would be a mistake then.
fn of_the_whole(text: &str) -> Option<ConfigError> {
    let say =
        |message: &str, write: &str| Mistake::Syntax { message: message.to_owned(), write: Some(write.to_owned()) };
    let at = |start: usize, length: usize| Place::File(start..start + length);
    if let Some(conflict) =
        text.starts_with("<<<<<<< ").then_some(0).or_else(|| text.find("\n<<<<<<< ").map(|at| at + 1))
    {
        let mistake = say(
            "git has left a conflict here",
            "choose one of the two sides, and take out the lines with `<<<<<<<`, `=======` and `>>>>>>>`",
        );
        return Some(ConfigError::new(mistake, at(conflict, line_of(text, conflict).len())));
    }
    let bare_return = text.match_indices('\r').any(|(at, _)| !text[at + 1..].starts_with('\n'));
    if bare_return && !text.contains('\n') {
        let mistake = say(
            "the lines end with a carriage return alone",
            "save the file with the line ends of Unix (LF) or Windows (CRLF)",
        );
        return Some(ConfigError::new(mistake, Place::Nowhere));
    }
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines().next()?;
    let start = text.find(first)?;
    if first.starts_with('{') {
        let mistake = say(
            "this is JSON, and ship.toml is written in TOML",
            "an object is a table there: `[images.api]` in a line of its own, and below it `repository = \"jobs/api\"`",
        );
        return Some(ConfigError::new(mistake, at(start, 1)));
    }
    let is_yaml = |line: &str| {
        let key = line.trim_start_matches("- ").split(':').next().unwrap_or_default();
        let bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        line == "---" || line.starts_with("- ") || (key.len() < line.len() && !key.is_empty() && key.chars().all(bare))
    };
    if lines().all(is_yaml) && lines().nth(1).is_some() {
        let mistake = say(
            "this is YAML, and ship.toml is written in TOML",
            "a mapping is a table there: `[images.api]` in a line of its own, and below it `repository = \"jobs/api\"`",
        );
        return Some(ConfigError::new(mistake, at(start, first.len())));
    }
    None
}

/// Three quotes that have no end swallow the rest of the file.
fn open_text(text: &str, message: &str) -> Option<ConfigError> {
    if !message.starts_with("invalid multi-line") {
        return None;
    }
    let quotes = if message.contains("literal") { "'''" } else { "\"\"\"" };
    let opening = text.rfind(quotes)?;
    let mistake = Mistake::Syntax {
        message: "the text that begins here does not end".to_owned(),
        write: Some(format!("write `{quotes}` behind its last line, or one quote on each side of a text of one line")),
    };
    Some(ConfigError::new(mistake, Place::File(opening..opening + quotes.len())))
}

/// Whether `at` is in the line after that of the mistake, and that line has the quote that was missing.
fn is_line_before(text: &str, mistake: &ConfigError, at: usize) -> bool {
    let line = |place: &Place| place.line_and_column(text).map(|(line, _)| line);
    let next = line(&Place::File(at..at));
    line(&mistake.place).zip(next).is_some_and(|(first, next)| first + 1 == next)
        && line_of(text, at).contains(['"', '\''])
}

/// What stars stand for in the drawing is not in the advice either.
fn without_secrets(mistake: Mistake, text: &str, shown: &str, at: usize) -> Mistake {
    let Mistake::Syntax { message, write: Some(mut write) } = mistake else { return mistake };
    let line = line_of(text, at);
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let Some(drawn) = shown.as_bytes().get(start..start + line.len()) else {
        return Mistake::Syntax { message, write: None };
    };
    let hidden: Vec<bool> = line.bytes().zip(drawn).map(|(byte, letter)| byte != *letter).collect();
    let mut from = 0;
    while let Some(begin) = hidden[from..].iter().position(|is_hidden| *is_hidden).map(|found| from + found) {
        let end = hidden[begin..].iter().position(|is_hidden| !is_hidden).map_or(hidden.len(), |found| begin + found);
        if let Some(secret) = line.get(begin..end).filter(|secret| secret.len() > 2) {
            write = write.replace(secret, "…");
        }
        from = end;
    }
    Mistake::Syntax { message, write: Some(write) }
}

fn is_quote(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with(['"', '\'']))
}

/// A line that begins with `[`.
fn header_mistake(line: &str) -> Mistake {
    let say = |message: &str, write: String| Mistake::Syntax { message: message.to_owned(), write: Some(write) };
    let line = line.trim();
    let (open, close) = if line.starts_with("[[") { ("[[", "]]") } else { ("[", "]") };
    let inside = &line[open.len()..];
    let (name, behind) = inside.split_once(']').unwrap_or((inside, ""));
    let behind = behind.trim_start_matches(']').trim_start();
    let header = |name: &str| format!("{open}{name}{close}");
    if name.trim().is_empty() {
        return say(
            "a table needs a name",
            "write `[images.api]`, `[services.api]` or `[environments.production]`".to_owned(),
        );
    }
    if name.contains("${") {
        return say(
            "the name of a table holds no variable",
            "the names of tables are fixed: what differs from place to place stands in `[environments.…]`".to_owned(),
        );
    }
    if !inside.contains(']') {
        return say("a `]` is missing", format!("write `{}`", header(name.split('#').next().unwrap_or(name).trim())));
    }
    if let Some(comment) = comment_of_others(behind) {
        return say("a comment begins with `#`", format!("write `{} # {comment}`", header(name)));
    }
    let tidy = tidy_name(name);
    if tidy != name {
        return say("this is not the name of a table", format!("write `{}`", header(&tidy)));
    }
    say(
        "nothing but a comment stands behind the name of a table",
        format!("write `{}` in a line of its own", header(name)),
    )
}

/// `images.api` of `images api`, `images:api` and `images.api.`: what divides the parts is a dot, and what is in a part
/// is a letter, a digit, `_` or `-`.
fn tidy_name(name: &str) -> String {
    let good = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '"' | '\'');
    let mut has_parts = name.trim().trim_matches('.').contains('.');
    let mut tidy = String::new();
    for letter in name.trim().chars() {
        if good(letter) {
            tidy.push(letter);
        } else if has_parts {
            tidy.push('-');
        } else {
            tidy.push('.');
            has_parts = true;
        }
    }
    let parts: Vec<_> = tidy.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty()).collect();
    parts.join(".")
}

/// What other languages begin a comment with.
fn comment_of_others(rest: &str) -> Option<&str> {
    let comment =
        rest.strip_prefix("//").or_else(|| rest.strip_prefix("--")).or_else(|| rest.strip_prefix(';'))?.trim();
    (!comment.is_empty()).then_some(comment)
}

/// Letters that look like a blank, or like nothing.
fn unseen(letter: char) -> Option<&'static str> {
    match letter {
        '\u{a0}' | '\u{202f}' => Some("a no-break space"),
        '\u{2000}'..='\u{200a}' | '\u{3000}' => Some("a blank that is none"),
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => Some("a character of no width"),
        letter if letter.is_control() && !matches!(letter, '\t' | '\r') => Some("a control character"),
        _ => None,
    }
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
#[expect(clippy::too_many_lines, reason = "one sentence for each of the parser's messages, side by side")]
fn syntax_mistake(text: &str, span: &Range<usize>, message: &str) -> (Mistake, Ruin) {
    let line = line_of(text, span.start);
    let source = text.get(span.clone()).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    let say = |message: &str, write: Option<String>| Mistake::Syntax { message: message.to_owned(), write };
    // What is not shown in its place is not shown in the advice either; and a text has quotes.
    let shown = |key: &str, value: &str| {
        let bare = value.trim_matches(QUOTES);
        let is_value = matches!(bare, "true" | "false") || bare.parse::<i64>().is_ok() || bare.starts_with(['[', '{']);
        match () {
            () if is_in_secret(text, span.start) || looks_secret(last_key(key), bare) => "\"…\"".to_owned(),
            () if is_value || (value != bare && is_quote(value, 0)) => value.to_owned(),
            () => format!("\"{bare}\""),
        }
    };
    let behind = text.get(span.start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());

    // Nobody finds what cannot be seen.
    if let Some((letter, what)) = behind.chars().next().and_then(|letter| Some((letter, unseen(letter)?))) {
        let found = format!("{what} stands here, U+{:04X}", u32::from(letter));
        return (say(&found, Some("delete it, or type a plain blank in its place".to_owned())), Ruin::Line);
    }
    if let Some(letter) = source.chars().chain(behind.chars()).find(|letter| letter.is_control() && *letter != '\t')
        && (message.starts_with("invalid basic string")
            || message.starts_with("invalid literal string")
            || message.starts_with("invalid comment"))
    {
        let found = format!("a control character stands in this line, U+{:04X}", u32::from(letter));
        return (
            say(&found, Some(format!("delete it; in a text it is written `\\u{:04X}`", u32::from(letter)))),
            Ruin::Line,
        );
    }
    if let Some(comment) = comment_of_others(line.trim_start()) {
        return (say("a comment begins with `#`", Some(format!("write `# {comment}`"))), Ruin::Line);
    }
    if value.starts_with(['>', '=']) || (source == ":" && line.contains(":=")) {
        let bare = value.trim_start_matches(['>', '=', ' ']);
        let write = format!("write `{} = {}`", key.trim_end_matches([':', ' ']), shown(last_key(key), bare));
        return (say("one `=` stands between a key and its value", Some(write)), Ruin::Line);
    }
    if ["null", "none", "nil", "undefined"].iter().any(|word| source.eq_ignore_ascii_case(word)) {
        return (say(&format!("there is no `{source}` in TOML"), Some("leave the key out".to_owned())), Ruin::Line);
    }
    if value.starts_with('(') {
        let list = value.trim_matches(['(', ')']);
        let list = if is_in_secret(text, span.start) { "…" } else { list };
        return (say("a list stands between `[` and `]`", Some(format!("write `{key} = [{list}]`"))), Ruin::Line);
    }
    if message.starts_with("too few unicode") || message.contains("escape") {
        let write = if is_in_secret(text, span.start) || !value.starts_with('"') {
            "write `\\\\` for one backslash".to_owned()
        } else {
            let inside = value.trim_start_matches('"');
            let inside = inside.rsplit_once('"').map_or(inside, |(inside, _)| inside);
            format!(
                "write `{key} = \"{}\"`; in single quotes a backslash is a letter: `\'{inside}\'`",
                inside.replace('\\', "/")
            )
        };
        return (say("a backslash begins an escape in a text in double quotes", Some(write)), Ruin::Line);
    }

    // The parser takes whatever begins with `t` or `f` for one.
    if message.starts_with("invalid boolean") && matches!(source.to_lowercase().as_str(), "true" | "false") {
        return (say("this is not true or false", Some(format!("write `{}`", source.to_lowercase()))), Ruin::Line);
    }
    if message.starts_with("string values must be quoted") || message.starts_with("invalid boolean") {
        let mistake = match source.to_ascii_lowercase().as_str() {
            "" => say(&format!("`{key}` has no value"), Some(format!("write `{key} = \"…\"`, or leave the key out"))),
            "yes" | "on" => say("this is not true or false", Some("write `true`".to_owned())),
            "no" | "off" => say("this is not true or false", Some("write `false`".to_owned())),
            _ => {
                // The parser stops at the brace of a variable.
                let whole = behind.find('}').filter(|_| behind.starts_with("${")).map(|end| &behind[..=end]);
                let bare = whole.unwrap_or(source);
                let bare = [" ;", " //"].iter().fold(bare, |bare, mark| bare.split(mark).next().unwrap_or(bare)).trim();
                let write = match bare.strip_suffix('%').filter(|number| number.parse::<u32>().is_ok()) {
                    Some(number) => number.to_owned(),
                    None => shown(last_key(key), bare),
                };
                let message = if is_quote(bare, 0) || !bare.starts_with(QUOTES) {
                    "a text needs quotes around it"
                } else {
                    "the quotes of TOML are straight"
                };
                say(message, Some(format!("write `{write}`")))
            }
        };
        return (mistake, Ruin::Line);
    }
    if message.starts_with("invalid basic string") || message.starts_with("invalid literal string") {
        return (say(OPEN_TEXT, Some("write the same quote at its end as at its beginning".to_owned())), Ruin::Line);
    }
    if message.starts_with("key with no value") && line.contains('=') {
        let words: Vec<_> = key.split_whitespace().collect();
        let write = format!("write `{} = {}`", words.join("_"), shown(last_key(key), value));
        return (say("a key has no blanks in it", Some(write)), Ruin::Line);
    }
    if message.starts_with("key with no value") && line.trim_start().starts_with("- ") {
        let write = "this is TOML, not YAML: a list stands between `[` and `]`, as in `[\"a\", \"b\"]`";
        return (say("there is no `=` in this line", Some(write.to_owned())), Ruin::Line);
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
        let header = line.trim();
        let (what, write) = if header.starts_with("[[") {
            (source, "keep one of the two: a list in one line, or `[[…]]` for each of its tables")
        } else if header.starts_with('[') {
            (header, "keep one of them, with the keys of both below it")
        } else {
            (source, "keep one of them")
        };
        return (say(&format!("`{what}` is written twice"), Some(write.to_owned())), Ruin::Line);
    }
    if message.starts_with("unexpected leading zero") {
        let value = line.split_once('=').map_or("", |(_, value)| value).trim();
        let value = if looks_secret(last_key(key), value) { "…" } else { value };
        return (say("a number does not begin with 0", Some(format!("write `{key} = \"{value}\"`"))), Ruin::Line);
    }
    if message.starts_with("unexpected key or value, expected newline") {
        let before = line.get(..line.len().saturating_sub(behind.len())).unwrap_or_default().trim();
        // The value may be a secret; its line is not shown then.
        let before = if is_in_secret(text, span.start) { "" } else { before };
        if matches!(behind.trim(), "," | ";") {
            let write = if before.is_empty() { "take it out".to_owned() } else { format!("write `{before}`") };
            return (say(&format!("no `{}` stands at the end of a line", behind.trim()), Some(write)), Ruin::Line);
        }
        if let Some(comment) = comment_of_others(behind.trim_start()) {
            return (say("a comment begins with `#`", Some(format!("write `# {comment}`"))), Ruin::Line);
        }
        let write = if behind.contains('=') {
            "each key has a line of its own"
        } else {
            "what follows a value may be a comment, behind `#`"
        };
        return (say("the value ends before this", Some(write.to_owned())), Ruin::Line);
    }
    if message.starts_with("unquoted keys cannot be empty") {
        return (
            say("there is no key in front of this `=`", Some("write the key, or take the line out".to_owned())),
            Ruin::Line,
        );
    }
    if ["date", "time", "float", "number", "integer", "digit"].iter().any(|word| message.contains(word)) {
        return (
            say("a text needs quotes around it", Some(format!("write `{}`", shown(last_key(key), source)))),
            Ruin::Line,
        );
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

/// Straight, and those of word processors and Markdown.
const QUOTES: [char; 9] = ['"', '\'', '`', '“', '”', '„', '‘', '’', '‚'];

const OPEN_TEXT: &str = "the text does not end in this line";

impl Mistake {
    fn is_open_text(&self) -> bool {
        matches!(self, Self::Syntax { message, .. } if message == OPEN_TEXT)
    }
}

/// A place that can be underlined: an empty one takes the letter before it, a line end the last letter.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    if !span.is_empty() {
        return span;
    }
    // In front of it nothing is in its line.
    let line = line_of(text, span.start);
    if text.get(span.start..).is_some_and(|rest| rest.starts_with('=')) && line.trim_start().starts_with('=') {
        return span.start..span.start + 1;
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
