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
}
