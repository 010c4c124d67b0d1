//! Reading the members of a JSON request, and cutting answers into pages.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Fault, Millis};

/// The members of a call as its own type. What is missing is refused with `code`, in AWS's words for it.
pub(super) fn decode<T: DeserializeOwned>(input: &Value, code: &str) -> Result<T, Fault> {
    serde_json::from_value(input.clone()).map_err(|error| {
        let words = error.to_string();
        match words.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
            Some((member, _)) => {
                let mut letters = member.chars();
                let first = letters.next().map(|letter| letter.to_ascii_lowercase());
                let member: String = first.into_iter().chain(letters).collect();
                Fault::new(
                    code,
                    format!(
                        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
                    ),
                )
            }
            None => Fault::new("SerializationException", words),
        }
    })
}

/// A part of all there is: `token` is the place where it begins, and what comes back beside it is where the next one does.
pub(super) fn part<T>(all: Vec<T>, token: Option<&str>, size: usize) -> Option<(Vec<T>, Option<String>)> {
    let from = token.map_or(Some(0), |token| token.parse::<usize>().ok())?;
    let until = from.saturating_add(size);
    let next = (until < all.len()).then(|| until.to_string());
    Some((all.into_iter().skip(from).take(size).collect(), next))
}

/// Epoch seconds with fraction, as AWS JSON 1.1 writes times.
pub(super) fn seconds(at: Millis) -> Value {
    json!(std::time::Duration::from_millis(at).as_secs_f64())
}

/// An answer without the members that are not there.
pub(super) fn present(answer: Value) -> Value {
    match answer {
        Value::Object(members) => Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_one_another() {
        let all = || vec![1, 2, 3, 4, 5];
        assert_eq!(part(all(), None, 2), Some((vec![1, 2], Some("2".to_owned()))));
        assert_eq!(part(all(), Some("4"), 2), Some((vec![5], None)));
        assert_eq!(part(all(), Some("9"), 2), Some((vec![], None)));
        assert_eq!(part(all(), Some("x"), 2), None);
    }
}
