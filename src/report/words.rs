//! Plurals, durations, sizes and names as people read them, and texts cut or broken to a width.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;
use unicode_width::UnicodeWidthChar;

pub use crate::prose::{columns, wrap};

/// `1 task`, `2 tasks`, `0 tasks`.
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// `0.4s`, `12.3s`, `2m05s`, `1h02m`.
#[must_use]
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time that nobody knows to the second: `40s`, `2m`, `1h30m`, `2 days`.
#[must_use]
pub fn about(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..60 => format!("{}s", seconds.next_multiple_of(5)),
        60..3600 => format!("{}m", seconds.div_ceil(60)),
        3600..172_800 => match (seconds / 3600, seconds % 3600 / 60) {
            (hours, 0) => format!("{hours}h"),
            (hours, minutes) => format!("{hours}h{minutes:02}m"),
        },
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Whole seconds, rounded up, for a countdown: it must not say 0 while something is left.
#[must_use]
pub fn countdown(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{:02}s", seconds / 60, seconds % 60) }
}

/// Docker's own units, powers of ten: `512 B`, `1.2 kB`, `34.5 MB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let (mut whole, mut tenths, mut unit) = (number / 1000, number % 1000 / 100, 0);
    while whole >= 1000 && unit + 1 < UNITS.len() {
        tenths = whole % 1000 / 100;
        whole /= 1000;
        unit += 1;
    }
    format!("{whole}.{tenths} {}", UNITS[unit])
}

/// Cuts a text to so many columns, with `ellipsis` where something is missing. Control characters
/// (a build log may carry any) are dropped so that they cannot move the cursor.
#[must_use]
pub fn fit(text: &str, most: usize, ellipsis: &str) -> String {
    let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
    if columns(&text) <= most {
        return text;
    }
    let room = most.saturating_sub(columns(ellipsis));
    let mut fitted = String::with_capacity(text.len());
    let mut taken = 0;
    for letter in text.chars() {
        let width = letter.width().unwrap_or(0);
        if taken + width > room {
            break;
        }
        taken += width;
        fitted.push(letter);
    }
    if columns(ellipsis) <= most {
        fitted.push_str(ellipsis);
    }
    fitted
}

/// Shortens what is made for machines to what people tell apart: a task by 8 digits, a deployment by 8, a
/// target group by its name. The events of `--progress json` keep them whole.
///
/// `registered 1 targets in (target-group arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/0123456789abcdef)`
/// becomes `registered 1 targets in target group web`.
#[must_use]
pub fn brief(text: &str) -> String {
    static RULES: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        [
            (r"\(target-group arn:[^\s)]*:targetgroup/([^/\s)]+)/[0-9a-f]+\)", "target group $1"),
            (r"arn:[^\s)]*:targetgroup/([^/\s)]+)/[0-9a-f]+", "$1"),
            (r"\(?\b(task )?([0-9a-f]{8})[0-9a-f]{24}\b\)?", "$1$2"),
            (r"\b(ecs-svc/[0-9]{8})[0-9]+", "$1"),
        ]
        .map(|(pattern, short)| (Regex::new(pattern).expect("the pattern is a constant that parses"), short))
    });
    let mut text = text.to_owned();
    for (pattern, short) in RULES.iter() {
        if let Cow::Owned(shorter) = pattern.replace_all(&text, *short) {
            text = shorter;
        }
    }
    text
}

/// `sha256:43208613c341` for a digest of 64 digits: as many as docker shows.
#[must_use]
pub fn brief_digests(text: &str) -> String {
    static DIGEST: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(sha256:[0-9a-f]{12})[0-9a-f]{52}\b").expect("the pattern is a constant that parses")
    });
    DIGEST.replace_all(text, "$1").into_owned()
}

/// A line of somebody else's output without escape sequences and control characters.
#[must_use]
pub fn clean(line: &str) -> String {
    let mut cleaned = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            // CSI: ESC [ parameters, ended by a letter between @ and ~.
            '\u{1b}' if letters.peek() == Some(&'[') => {
                letters.next();
                for end in letters.by_ref() {
                    if ('@'..='~').contains(&end) {
                        break;
                    }
                }
            }
            '\t' => cleaned.push_str("    "),
            letter if letter.is_control() => {}
            letter => cleaned.push(letter),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::{brief, brief_digests, bytes, clean, count, countdown, duration, fit};

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [count(0, "task"), count(1, "task"), count(2, "task")],
            ["0 tasks", "1 task", "2 tasks"].map(str::to_owned)
        );
        for (ms, text) in [(0, "0.0s"), (449, "0.4s"), (59_999, "59.9s"), (125_000, "2m05s"), (3_720_000, "1h02m")] {
            assert_eq!(duration(ms), text);
        }
        for (ms, text) in [(0, "0s"), (1, "1s"), (1000, "1s"), (61_000, "1m01s")] {
            assert_eq!(countdown(ms), text);
        }
        for (number, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_982_256, "1.9 MB"), (5_000_000_000_000_000, "5000.0 TB")]
        {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(fit("a\u{1b}[2Jb\n", 20, "…"), "a[2Jb");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\tx\r\u{7}"), "red    x");
    }

    #[test]
    fn a_text_is_cut_by_columns_and_not_by_letters() {
        for (text, most, cut) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcde…"),
            ("東京タワー", 10, "東京タワー"),
            ("東京タワー", 9, "東京タワ…"),
            ("東京タワー", 8, "東京タ…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(fit(text, most, "…"), cut, "{text} in {most}");
        }
        assert_eq!(fit("abcdefg", 6, ".."), "abcd..");
    }

    /// Texts as ECS writes them.
    #[test]
    fn ids_are_shortened_for_people() {
        for (said, short) in [
            (
                "has started 2 tasks: (task 69f2b2de077098bf1149a3c02577a10b) (task 9e4f8a95dd6b75c15df3e25185cd78ad).",
                "has started 2 tasks: task 69f2b2de task 9e4f8a95.",
            ),
            (
                "registered 2 targets in (target-group arn:aws-cn:elasticloadbalancing:cn-north-1:000000000000:targetgroup/ship-hello-29dae6/2bc5216dbba501d2)",
                "registered 2 targets in target group ship-hello-29dae6",
            ),
            (
                "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/0123456789abcdef)",
                "Task failed ELB health checks in target group web",
            ),
            (
                "(deployment ecs-svc/2883488195165043203) deployment completed.",
                "(deployment ecs-svc/28834881) deployment completed.",
            ),
            ("has reached a steady state.", "has reached a steady state."),
        ] {
            assert_eq!(brief(said), short);
        }
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(brief_digests(&format!("sha256:{digest}")), "sha256:0123456789ab");
    }
}
