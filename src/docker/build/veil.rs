//! What must not be told although a build prints it: the values of its secrets.
//!
//! A seat belt and no lock. A build can print a secret in pieces, or in another spelling; one that echoes a variable or
//! prints a file, as most that leak do, is caught.

use std::borrow::Cow;

use super::inputs::BuildInputs;
use crate::secret::Secret;

/// What stands in the place of a secret.
const VEIL: &str = "****";
/// Shorter texts stand in half of all lines by chance.
const SHORTEST: usize = 6;

/// The texts to hide, the longest first: a part must not break up the whole.
#[derive(Debug, Default)]
pub(super) struct Veil(Vec<Secret<String>>);

impl Veil {
    pub(super) fn over(inputs: &BuildInputs) -> Self {
        let mut texts: Vec<String> = inputs
            .secrets
            .values()
            .flat_map(|value| {
                let text = String::from_utf8_lossy(value.expose()).into_owned();
                text.lines().flat_map(parts).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts.dedup();
        Self(texts.into_iter().map(Secret::new).collect())
    }

    pub(super) fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| match hidden(&text, secret.expose()) {
            Cow::Owned(hidden) => hidden,
            Cow::Borrowed(_) => text,
        })
    }
}

/// A line of a secret, and what stands behind the first `=` of one such as `//registry.npmjs.org/:_authToken=npm_…`.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    let value = line.split_once('=').map(|(_, value)| value.trim().trim_matches(['"', '\'']));
    [Some(line.trim()), value].into_iter().flatten().filter(|part| part.len() >= SHORTEST)
}

fn hidden<'a>(text: &'a str, secret: &str) -> Cow<'a, str> {
    if text.contains(secret) { Cow::Owned(text.replace(secret, VEIL)) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn veil(secret: &str) -> Veil {
        let secrets = BTreeMap::from([("x".to_owned(), Secret::new(secret.as_bytes().to_vec()))]);
        Veil::over(&BuildInputs { secrets, ..BuildInputs::default() })
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand_in_a_line() {
        let npmrc = veil("registry=https://npm.example.com\n//npm.example.com/:_authToken=\"npm_0123456789\"\n\n");
        for (said, told) in [
            ("GET with npm_0123456789!", "GET with ****!"),
            ("//npm.example.com/:_authToken=\"npm_0123456789\"", "****"),
            ("nothing of the kind", "nothing of the kind"),
        ] {
            assert_eq!(npmrc.hide(said.to_owned()), told);
        }
    }

    #[test]
    fn what_is_too_short_to_be_told_from_chance_stays() {
        assert_eq!(veil("ab\n1\n").hide("cab 1".to_owned()), "cab 1");
        assert_eq!(Veil::default().hide("x".to_owned()), "x");
    }
}
