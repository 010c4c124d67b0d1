//! A value that must never be shown: it prints as `****` and is read only through [`Secret::expose`].

use std::fmt;

/// Wraps a token or password. There is deliberately no `Display`, no `Serialize` and no `Deref`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Hands out the value; every call is a place to look at when auditing where secrets go.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

/// Whether a value looks like a secret, whatever it is called: tokens by the prefixes that their issuers document, keys
/// in PEM, URLs and connection strings that carry a password.
#[must_use]
pub fn looks_secret(value: &str) -> bool {
    const PREFIXES: [&str; 16] = [
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "ghs_",
        "ghu_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "sk_live_",
        "sk-",
        "npm_",
        "dckr_pat_",
        "eyJ",
    ];
    let words = || value.split(|letter: char| letter.is_whitespace() || matches!(letter, '=' | ',' | '"' | '\''));
    let token = |word: &str| word.len() >= 16 && PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    let pair = |word: &str| {
        let name = word.to_ascii_lowercase();
        // `Server=db;Password=hunter2`.
        name.contains("password=") || name.contains("pwd=") || name.contains("accountkey=")
    };
    value.contains("-----BEGIN") || words().any(token) || pair(value) || value.split_whitespace().any(url_with_password)
}

/// `postgres://user:password@host/db`.
fn url_with_password(word: &str) -> bool {
    word.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .and_then(|(user, _)| user.split_once(':'))
            .is_some_and(|(_, password)| !password.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::{Secret, looks_secret};

    #[test]
    fn values_tell_that_they_are_secret() {
        for secret in [
            "AKIAIOSFODNN7EXAMPLE",
            "postgres://user:pw@db/x",
            "Server=db;Password=a",
            "-----BEGIN RSA PRIVATE KEY-----",
            "eyJhbGciOiJIUzI1NiJ9.e30.x",
        ] {
            assert!(looks_secret(secret), "{secret}");
        }
        for plain in ["", "info", "https://example.com/a@b", "postgres://db/x", "postgres://user:@db/x", "sk-1"] {
            assert!(!looks_secret(plain), "{plain}");
        }
    }

    #[test]
    fn debug_output_hides_the_value() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "****");
        assert_eq!(*secret.expose(), "hunter2");
    }
}
