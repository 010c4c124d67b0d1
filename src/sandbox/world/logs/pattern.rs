//! Filter patterns for unstructured lines: terms that must, may or must not occur.

use super::{Fault, invalid};

/// A filter pattern: "Filter pattern syntax for unstructured log events", CloudWatch Logs user guide.
///
/// JSON (`{ … }`), space-delimited (`[ … ]`) and regular (`%…%`) patterns are refused, not guessed at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut pattern = Self::default();
        let mut rest = text.trim();
        if rest.starts_with(['{', '[', '%']) {
            return Err(invalid("Invalid filter pattern: the sandbox knows patterns of plain and quoted terms only"));
        }
        while !rest.is_empty() {
            let (list, after) = match rest.as_bytes()[0] {
                b'?' => (&mut pattern.any, &rest[1..]),
                b'-' => (&mut pattern.none, &rest[1..]),
                _ => (&mut pattern.all, rest),
            };
            let (term, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or_else(|| invalid("Invalid filter pattern"))?,
                None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
            };
            if term.is_empty() {
                return Err(invalid("Invalid filter pattern"));
            }
            list.push(term.to_owned());
            rest = after.trim_start();
        }
        Ok(pattern)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let occurs = |term: &String| message.contains(term.as_str());
        self.all.iter().all(occurs)
            && !self.none.iter().any(occurs)
            && (self.any.is_empty() || self.any.iter().any(occurs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms() {
        let line = "[ERROR] 419 MISSING ARGUMENTS EXCEPTION";
        for (pattern, fits) in [
            ("", true),
            ("ERROR", true),
            ("error", false),
            ("ERROR ARGUMENTS", true),
            ("ERROR 418", false),
            ("?418 ?419", true),
            ("?417 ?418", false),
            ("ERROR -419", false),
            ("ERROR -418", true),
            ("\"MISSING ARGUMENTS\"", true),
            ("\"ERROR 419\"", false),
            ("  ERROR   \"419 M\" ", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(line), fits, "{pattern}");
        }
        for pattern in ["{ $.level = \"x\" }", "[a, b]", "%x%", "\"open", "? x", "\"\""] {
            assert_eq!(Pattern::parse(pattern).unwrap_err().code, "InvalidParameterException", "{pattern}");
        }
    }
}
