//! Values that look like secrets: found, so that they can be warned about, and hidden wherever the
//! file is drawn.

use std::ops::Range;

use super::sources::Language;
use crate::secret::{self, is_secret_name};

/// Whether `name = "value"` puts a secret into the file. What comes from a variable does not, and
/// neither does a value as short as a setting.
#[must_use]
pub fn looks_secret(name: &str, value: &str) -> bool {
    let literal = literal_part(value);
    let setting = literal.len() < 4 || matches!(literal.as_str(), "true" | "false" | "none" | "null");
    // Where ECS or a program finds it, as in `ssm_secrets`.
    let place = literal.starts_with("arn:") || literal.strip_prefix('/').is_some_and(|rest| rest.contains('/'));
    (is_secret_name(name) && !setting && !place) || has_access_key_id(value) || secret::looks_secret(&literal)
}

/// What stands in the file itself: all but the names of variables. Their defaults stand there too.
fn literal_part(value: &str) -> String {
    let mut literal = String::new();
    let mut rest = value;
    while let Some((before, inside)) = rest.split_once("${") {
        literal.push_str(before);
        let Some((variable, after)) = inside.split_once('}') else {
            rest = inside;
            break;
        };
        literal.push_str(variable.split_once(":-").map_or("", |(_, default)| default));
        rest = after;
    }
    literal.push_str(rest);
    literal
}

/// An access key id of AWS: `AKIA` (a user's) or `ASIA` (a session's) and 16 more letters or digits.
fn has_access_key_id(value: &str) -> bool {
    value.as_bytes().windows(20).any(|window| {
        (window.starts_with(b"AKIA") || window.starts_with(b"ASIA"))
            && window.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

/// The text with every value that looks like a secret turned into stars of the same length, so that
/// spans stay where they are. Works on broken files too, hence without the parser.
#[must_use]
pub fn masked(text: &str, language: Language) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    let values = match language {
        Language::Toml => values(text),
        Language::Lines => rests(text),
    };
    for range in values {
        let value = &text[range.clone()];
        let name = name_before(&text[..range.start]);
        if looks_secret(name, value) {
            masked.push_str(&text[done..range.start]);
            masked.extend(std::iter::repeat_n('*', range.len()));
            done = range.end;
        }
    }
    masked.push_str(&text[done..]);
    masked
}

/// The value that the key before `at` has, if one follows.
#[must_use]
pub fn value_behind(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    if !rest.trim_start_matches(['"', '\'', ' ', '\t']).starts_with('=') {
        return None;
    }
    values(rest).first().map(|range| at + range.start..at + range.end)
}

/// Whether what stands at `at` belongs to a key that is called like a secret.
#[must_use]
pub fn is_in_secret(text: &str, at: usize) -> bool {
    text.get(..at).is_some_and(|before| is_secret_name(name_before(before)))
}

/// In lines of `KEY=value`, all that is behind the `=`.
fn rests(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut ranges = Vec::new();
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\n', '\r']);
        ranges.extend(line.find('=').map(|equals| at + equals + 1..at + line.len()));
        at += whole.len();
    }
    ranges
}

/// The end of a basic text, which a quote behind a backslash does not end.
fn end_of_text(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in inside.char_indices() {
        match letter {
            '\n' => return at,
            letter if letter == quote && !escaped => return at,
            _ => escaped = quote == '"' && letter == '\\' && !escaped,
        }
    }
    inside.len()
}

/// Where the next value may begin: behind `=`, or behind the `:` that people of YAML write for it.
fn next_equals(text: &str, at: usize) -> Option<usize> {
    let mut from = at;
    loop {
        let found = from + text[from..].find(['=', ':'])?;
        let start = text[..found].rfind(['\n', '{', ',']).map_or(0, |before| before + 1);
        let key = text[start..found].trim().trim_matches(['"', '\'']);
        let bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        if text[found..].starts_with('=') || (!key.is_empty() && key.chars().all(bare)) {
            return Some(found);
        }
        from = found + 1;
    }
}

/// What stands behind each `=`: inside the quotes, or up to the next blank, comma or brace.
fn values(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(found) = next_equals(text, at) {
        let behind = found + 1;
        let start = behind + text[behind..].len() - text[behind..].trim_start_matches([' ', '\t']).len();
        let rest = &text[start..];
        let (start, end) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let triple = if quote == '"' { "\"\"\"" } else { "'''" };
                if let Some(inside) = rest.strip_prefix(triple) {
                    (start + 3, start + 3 + inside.find(triple).unwrap_or(inside.len()))
                } else {
                    let inside = &rest[1..];
                    (start + 1, start + 1 + end_of_text(inside, quote))
                }
            }
            _ => (start, start + rest.find([' ', '\t', ',', '}', '\r', '\n', '{', '[']).unwrap_or(rest.len())),
        };
        ranges.push(start..end);
        at = end.max(behind);
    }
    ranges
}

/// The key in front of a value.
fn name_before(before: &str) -> &str {
    let before = before.trim_end_matches(['"', '\'', ' ', '\t']);
    let before = before.strip_suffix(['=', ':']).unwrap_or(before).trim_end_matches([' ', '\t', '"', '\'']);
    let start = before.rfind(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '-' | '.'));
    start.map_or(before, |at| before[at..].trim_start_matches(|letter: char| !letter.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_told_by_name_or_value() {
        for (name, value, secret) in [
            ("DB_PASSWORD", "hunter2", true),
            ("npm-token", "npm_abcdef", true),
            ("STRIPE_API_KEY", "sk_live_1", true),
            ("ANYTHING", "xAKIAIOSFODNN7EXAMPLEx", true),
            ("DB_PASSWORD", "${env.DB_PASSWORD}", false),
            ("DB_PASSWORD", "${env.DB_PASSWORD:-hunter2}", true),
            ("DB_PASSWORD", "hunter2${", true),
            ("BASIC_TOKEN", "${env.A}:${env.B:-}", false),
            ("DB_PASSWORD", "", false),
            ("TOKEN_TTL", "3600", false),
            ("PASSWORD_FILE", "/run/secrets/db", false),
            ("DB_PASSWORD", "/jobs/db-password", false),
            ("DB_PASSWORD", "arn:aws:ssm:eu-west-1:111111111111:parameter/x", false),
            ("DB_PASSWORD", "/hunter2", true),
            ("LOG_LEVEL", "info", false),
            ("MAX_TOKENS", "100", false),
        ] {
            assert_eq!(looks_secret(name, value), secret, "{name} = {value}");
        }
    }

    #[test]
    fn secrets_are_masked_in_place() {
        for (text, expected) in [
            ("DB_PASSWORD = \"hunter2\"\nA = \"b\"", "DB_PASSWORD = \"*******\"\nA = \"b\""),
            ("args = { \"NPM_TOKEN\" = 'npm_1' , A = \"b\" }", "args = { \"NPM_TOKEN\" = '*****' , A = \"b\" }"),
            ("TOKEN = broken", "TOKEN = ******"),
            ("TOKEN = \"unclosed\nA = \"b\"", "TOKEN = \"********\nA = \"b\""),
            ("TOKEN = \"\"\"long\nlines\"\"\"", "TOKEN = \"\"\"**********\"\"\""),
            ("environment.API_KEY=\"abcd\"", "environment.API_KEY=\"****\""),
            ("A = \"${env.TOKEN}\"", "A = \"${env.TOKEN}\""),
            ("TOKEN = \"a\\\"bcd\"", "TOKEN = \"******\""),
            ("TOKEN: abcdef", "TOKEN: ******"),
            ("a = { TOKEN: 'abcdef' }", "a = { TOKEN: '******' }"),
            ("A = \"b:c\"\nURL = \"postgres://a:bcd@e\"", "A = \"b:c\"\nURL = \"******************\""),
        ] {
            assert_eq!(masked(text, Language::Toml), expected);
        }
        let lines = "DB_PASSWORD=correct horse battery\n# a=b\nA=b c\n";
        assert_eq!(masked(lines, Language::Lines), "DB_PASSWORD=*********************\n# a=b\nA=b c\n");
    }

    proptest! {
        #[test]
        fn masking_keeps_every_byte_in_its_place(text in "(TOKEN|a|é|=|:|\\\\| |\"|'|\n|\\{|\\}|secret){0,30}") {
            prop_assert_eq!(masked(&text, Language::Toml).len(), text.len());
        }
    }
}
