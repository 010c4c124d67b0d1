//! Which of the mistakes are told, and in which order: each once, and none that another explains.

use std::collections::BTreeSet;

use crate::config::error::{ConfigError, Found, Mistake};

/// Whether a key is only missing because it is misspelt or has the wrong type, which is told already.
pub(super) fn is_explained(error: &ConfigError, others: &[ConfigError]) -> bool {
    // Half a check or a secret that was misspelt is not empty.
    let in_table = |table: &str| {
        others.iter().any(|other| match &*other.mistake {
            Mistake::UnknownKey { table: home, .. } | Mistake::WrongType { table: home, .. } => home.ends_with(table),
            _ => false,
        })
    };
    let (missing, home) = match &*error.mistake {
        Mistake::CheckWork { found: Found::None } => return in_table(".checks"),
        Mistake::SecretSource { name, found: Found::None } => return in_table(&format!(".secrets.{name}")),
        Mistake::Missing { key, table, .. } => (*key, table.clone()),
        Mistake::NoImage { service, .. } => ("image", format!("services.{service}")),
        Mistake::NoServices => ("services", String::new()),
        _ => return false,
    };
    let broken_images = matches!(*error.mistake, Mistake::NoImage { .. });
    others.iter().any(|other| match &*other.mistake {
        Mistake::UnknownKey { nearest: Some(nearest), table, .. } => nearest == missing && *table == home,
        Mistake::WrongType { key, table, .. } => {
            (key == missing && *table == home) || (broken_images && key == "images" && table.is_empty())
        }
        Mistake::Nameless { section, .. } | Mistake::NamedText { section, .. } => {
            section == missing || (broken_images && section == "images")
        }
        Mistake::BadName { section, .. } => broken_images && section == "images",
        _ => false,
    })
}

/// In the order of the file; the same mistake, met through several environments, once.
pub(super) fn in_order(mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
    let mut seen: Vec<ConfigError> = Vec::new();
    errors.sort_by_key(|error| error.place.order());
    let circle = |error: &ConfigError| match &*error.mistake {
        Mistake::Circle { chain, .. } => Some(chain.iter().cloned().collect::<BTreeSet<_>>()),
        _ => None,
    };
    for error in errors {
        let seen_from_elsewhere =
            circle(&error).is_some_and(|members| seen.iter().any(|other| circle(other).as_ref() == Some(&members)));
        if !seen_from_elsewhere && !seen.contains(&error) {
            seen.push(error);
        }
    }
    seen
}
