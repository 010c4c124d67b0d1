//! Regular expressions of listener rules.

use std::sync::OnceLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// An expression as it was written; taken apart when it is first asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Regular {
    text: String,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

impl Regular {
    /// Nothing for a text that is no regular expression.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let compiled = Regex::new(text).ok()?;
        Some(Self { text: text.to_owned(), compiled: OnceLock::from(Some(compiled)) })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Anywhere in the text: who means all of it writes `^` and `$`.
    #[must_use]
    pub fn finds(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        compiled.as_ref().is_some_and(|compiled| compiled.is_match(text))
    }

    /// The text with the first place it is found in replaced, `$1` to `$9` being what its groups have found; nothing if it is
    /// not found.
    #[must_use]
    pub fn replaced(&self, text: &str, replacement: &str) -> Option<String> {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        let found = compiled.as_ref()?.captures(text)?;
        let whole = found.get(0)?;
        let mut new = text[..whole.start()].to_owned();
        let mut rest = replacement;
        while let Some((before, after)) = rest.split_once('$') {
            new.push_str(before);
            let digit = after.chars().next().and_then(|digit| digit.to_digit(10));
            if let Some(group) = digit.and_then(|digit| usize::try_from(digit).ok()) {
                new.push_str(found.get(group).map_or("", |group| group.as_str()));
                rest = &after[1..];
            } else {
                new.push('$');
                rest = after;
            }
        }
        new.push_str(rest);
        new.push_str(&text[whole.end()..]);
        Some(new)
    }
}

impl PartialEq for Regular {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Regular {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_the_same_after_it_was_written_down() {
        let written = Regular::parse("^/v[0-9]+/").unwrap();
        let read: Regular = serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
        assert_eq!(read, written);
        assert!(read.finds("/v12/a") && !read.finds("/a/v12/"));
        assert!(Regular::parse("(").is_none());
    }

    #[test]
    fn what_is_found_is_replaced_with_what_its_groups_have_found() {
        let replaced = |pattern: &str, text: &str, with: &str| Regular::parse(pattern).unwrap().replaced(text, with);
        assert_eq!(replaced("^/api/(.*)$", "/api/a?b=1", "/$1"), Some("/a?b=1".to_owned()));
        assert_eq!(replaced("^(.+)-(.+)[.]com$", "a-b.com", "$2.$1x.$9$a$"), Some("b.ax.$a$".to_owned()));
        assert_eq!(replaced("b", "abcb", "-"), Some("a-cb".to_owned()));
        assert_eq!(replaced("^x", "abc", "-"), None);
    }
}
