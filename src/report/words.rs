//! Plurals, durations and sizes as people read them.

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

/// Cuts a text to so many columns, with an ellipsis where something is missing. Control characters
/// (a build log may carry any) are dropped so that they cannot move the cursor.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    let mut fitted = String::with_capacity(text.len().min(columns * 4));
    let mut letters = text.chars().filter(|letter| !letter.is_control());
    for _ in 0..columns {
        match letters.next() {
            Some(letter) => fitted.push(letter),
            None => return fitted,
        }
    }
    if letters.next().is_some() {
        fitted.pop();
        fitted.push('…');
    }
    fitted
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
    use super::{bytes, clean, count, countdown, duration, fit};

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
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("a\u{1b}[2Jb\n", 20), "a[2Jb");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\tx\r\u{7}"), "red    x");
    }
}
