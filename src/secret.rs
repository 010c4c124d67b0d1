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

/// Whether what is called this holds a secret, by its name alone: the one list of such names. It errs towards yes, because what
/// is hidden costs a look elsewhere, and what is shown a new password.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 13] = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "token",
        "credential",
        "apikey",
        "privatekey",
        "accesskey",
        "accountkey",
        "connectionstring",
        "authorization",
    ];
    /// Words that are secrets at the end of a name: `SIGNING_KEY`, `DB_PASS`, `BASIC_AUTH`, `SENTRY_DSN`.
    const ENDS: [&str; 4] = ["key", "pass", "auth", "dsn"];
    /// Keys that open nothing: `PARTITION_KEY`.
    const KEYS: [&str; 9] =
        ["public", "partition", "sort", "primary", "foreign", "cache", "routing", "object", "idempotency"];
    /// What only points at a secret.
    const POINTERS: [&str; 6] = ["file", "path", "name", "arn", "url", "ttl"];

    let words = words_of(name);
    let Some(last) = words.last() else { return false };
    if words.len() > 1 && POINTERS.contains(&last.as_str()) {
        return false;
    }
    let before = words.len().checked_sub(2).map(|before| words[before].as_str());
    // `key` alone is the key of anything.
    let opens_nothing = last == "key" && before.is_none_or(|before| KEYS.contains(&before));
    let joined = words.concat();
    PARTS.iter().any(|part| joined.contains(part)) || (ENDS.contains(&last.as_str()) && !opens_nothing)
}

/// `apiToken`, `api-token` and `API_TOKEN` are the same two words.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        after_lower = letter.is_lowercase();
        if letter.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty() && !word.bytes().all(|byte| byte.is_ascii_digit()));
    words
}

/// What stands in the place of a secret.
pub const MASK: &str = "****";

/// The words of a command as they may be told: what looks like a secret is `****`, as does the value of `--password=…` and
/// `PASSWORD=…`, and what follows `--password`.
#[must_use]
pub fn shown_words(words: &[String]) -> Vec<String> {
    let mut shown = Vec::with_capacity(words.len());
    let mut before = "";
    for word in words {
        shown.push(shown_word(before, word));
        before = word;
    }
    shown
}

/// The same with a blank between them.
#[must_use]
pub fn shown_command(words: &[String]) -> String {
    shown_words(words).join(" ")
}

fn shown_word(before: &str, word: &str) -> String {
    // A script in one word.
    if word.contains(char::is_whitespace) && !word.contains("-----BEGIN") {
        let parts: Vec<&str> = word.split(' ').collect();
        let shown = parts.iter().enumerate().map(|(at, part)| {
            let before = at.checked_sub(1).map_or(before, |before| parts[before]);
            shown_word(before, part)
        });
        // A line end inside a part would be asked about again for ever.
        if parts.len() > 1 {
            return shown.collect::<Vec<_>>().join(" ");
        }
    }
    let flag = before.strip_prefix('-').filter(|flag| !flag.contains('='));
    if flag.is_some_and(is_secret_name) && !word.starts_with('-') {
        return MASK.to_owned();
    }
    if let Some((name, value)) = word.split_once('=')
        && is_secret_name(name)
    {
        let is_place = value.strip_prefix('$').is_some_and(|variable| {
            variable.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '{' | '}'))
        });
        return if value.is_empty() || is_place { word.to_owned() } else { format!("{name}={MASK}") };
    }
    if looks_secret(word) { MASK.to_owned() } else { word.to_owned() }
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
    use super::{Secret, is_secret_name, looks_secret, shown_command};

    #[test]
    fn names_tell_that_they_hold_a_secret() {
        for secret in [
            "DB_PASSWORD",
            "apiToken",
            "npm-token",
            "SIGNING_KEY",
            "API_KEY",
            "api_key_2",
            "STRIPE_APIKEY",
            "DB_PASS",
            "SENTRY_DSN",
            "BASIC_AUTH",
            "CONNECTION_STRING",
            "privateKey",
            "AWS_SECRET_ACCESS_KEY",
            "PGPASSWORD",
            "token",
        ] {
            assert!(is_secret_name(secret), "{secret}");
        }
        for plain in [
            "",
            "_",
            "LOG_LEVEL",
            "MONKEY",
            "AUTHOR",
            "AUTH_MODE",
            "PARTITION_KEY",
            "PUBLIC_KEY",
            "TOKEN_TTL",
            "PASSWORD_FILE",
            "SECRET_ARN",
            "KEY",
            "OAUTH_TOKEN_URL",
            "PASSENGERS",
            "PRIVATE_SUBNET",
            "KEYS",
        ] {
            assert!(!is_secret_name(plain), "{plain}");
        }
    }

    #[test]
    fn a_command_is_told_without_its_secrets() {
        for (words, shown) in [
            (&["rake", "db:migrate"][..], "rake db:migrate"),
            (&["migrate", "--password", "hunter2", "--verbose"], "migrate --password **** --verbose"),
            (&["migrate", "--db-password=hunter2"], "migrate --db-password=****"),
            (&["psql", "postgres://me:hunter2@db/jobs"], "psql ****"),
            (&["sh", "-c", "PGPASSWORD=hunter2 psql -c 'select 1'"], "sh -c PGPASSWORD=**** psql -c 'select 1'"),
            (&["sh", "-c", "psql --token $TOKEN"], "sh -c psql --token ****"),
            (&["sh", "-c", "PGPASSWORD=$DB_PASSWORD psql"], "sh -c PGPASSWORD=$DB_PASSWORD psql"),
            (&["tool", "--token", "--dry-run"], "tool --token --dry-run"),
            (&["tool", "AKIAIOSFODNN7EXAMPLE"], "tool ****"),
            (&["tool", "a\tb", "-----BEGIN RSA PRIVATE KEY-----\nx y"], "tool a\tb ****"),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(shown_command(&words), shown);
        }
    }

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
