//! Durations as people write them: `5m`, `1m30s`, `2h`; whole seconds, because ECS and ELB count so.

use std::{fmt::Write as _, time::Duration};

/// The units, in the only order they may stand in.
const UNITS: [(char, u64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

/// Reads `1h30m`, `90s`; `None` for anything else, also for a bare number and for a sum that does not
/// fit.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut units = UNITS.into_iter();
    let mut rest = text;
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letter = tail.chars().next()?;
        let (_, factor) = units.find(|(unit, _)| *unit == letter)?;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = &tail[letter.len_utf8()..];
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// Writes a duration the way [`parse`] reads it; fractions of a second are left out.
#[must_use]
pub fn print(duration: Duration) -> String {
    let mut left = duration.as_secs();
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let number = left / factor;
        left %= factor;
        if number > 0 || (factor == 1 && text.is_empty()) {
            write!(text, "{number}{unit}").expect("a String takes everything");
        }
    }
    text
}

/// What somebody who wrote this probably meant: `300`, `5 min`, `1.5h`, `5M`.
#[must_use]
pub fn guess(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    // ISO 8601.
    if let Some(time) = text.strip_prefix("pt").and_then(parse) {
        return Some(print(time));
    }
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim() {
        // No clock here counts less.
        "ms" | "millis" | "milliseconds" => return Some("1s".to_owned()),
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let tenths = fraction.chars().next()?.to_digit(10)?;
    let seconds = whole.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(u64::from(tenths) * factor / 10)?;
    Some(print(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("5m", Some(300)),
            ("1m30s", Some(90)),
            ("90s", Some(90)),
            ("2h", Some(7200)),
            ("1h1m1s", Some(3661)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("m", None),
            ("5 m", None),
            ("30s5m", None),
            ("5m5m", None),
            ("-5m", None),
            ("1.5m", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(parse(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn what_was_probably_meant_is_guessed() {
        for (text, guessed) in [
            ("300", Some("5m")),
            ("5 min", Some("5m")),
            ("5M", Some("5m")),
            ("1.5h", Some("1h30m")),
            ("2 days", Some("48h")),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(guess(text).as_deref(), guessed, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_survives_printing(seconds in 0_u64..10_000_000) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&print(duration)), Some(duration));
        }

        #[test]
        fn nothing_that_is_written_breaks_the_reading(text in "\\PC*|[0-9]{1,25}[hms]?|[0-9hms. ]*") {
            if let Some(duration) = parse(&text) {
                prop_assert_eq!(parse(&print(duration)), Some(duration));
            }
            if let Some(guessed) = guess(&text) {
                prop_assert!(parse(&guessed).is_some());
            }
        }
    }
}
