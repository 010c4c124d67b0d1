//! What sentences for people need: lines that are not wider than the room, and the word that was probably meant.

use unicode_width::UnicodeWidthStr;

/// How many columns a text takes; letters of two columns count as two.
#[must_use]
pub fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Breaks a line at spaces into lines of at most so many columns, each as far from the left as the whole was.
///
/// What stands in backquotes is one word: a command in two lines cannot be copied. A word that is longer than a line,
/// such as an address, keeps its line to itself.
#[must_use]
pub fn wrap(text: &str, most: usize) -> Vec<String> {
    let words = text.trim_start_matches(' ');
    let indent = &text[..text.len() - words.len()];
    let mut lines = vec![indent.to_owned()];
    for word in unbroken(words) {
        let last = lines.last_mut().expect("there is always a last line");
        if last.len() == indent.len() {
            last.push_str(word);
        } else if columns(last) + 1 + columns(word) <= most {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines
}

/// Where there are several lines, each of them.
#[must_use]
pub fn wrap_all(text: &str, most: usize) -> Vec<String> {
    text.lines().flat_map(|line| wrap(line, most)).collect()
}

/// Divided at the spaces outside of backquotes.
fn unbroken(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut is_quoted = false;
    for (at, letter) in text.char_indices() {
        match letter {
            // One that is never closed quotes nothing.
            '`' => is_quoted = !is_quoted && text[at + 1..].contains('`'),
            ' ' if !is_quoted => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words
}

/// The candidate that somebody who wrote `written` most probably meant.
#[must_use]
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = snake(written);
    let candidates: Vec<&str> = candidates.into_iter().collect();
    // `prod` for `production`, unless it may be short for two.
    let mut long = candidates.iter().filter(|candidate| plain.len() >= 3 && snake(candidate).starts_with(&plain));
    if let (Some(only), None) = (long.next(), long.next()) {
        return Some(only);
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, &snake(candidate)), candidate))
        // A third of the letters may be wrong; short words get one.
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `healthCheckPath`, `health-check-path` and `health_check_path` are one word.
#[must_use]
pub fn snake(text: &str) -> String {
    let mut snake = String::with_capacity(text.len() + 4);
    let mut after_lower = false;
    for letter in text.chars() {
        if letter.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = letter.is_lowercase();
        if letter == '-' {
            snake.push('_');
        } else {
            snake.extend(letter.to_lowercase());
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{columns, nearest, wrap, wrap_all};

    #[test]
    fn a_text_is_broken_at_spaces_only() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a https://example.com/long b", 8), ["a", "https://example.com/long", "b"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("  one two", 6), ["  one", "  two"]);
        assert_eq!(wrap_all("one two\n  three four\n\nfive", 8), ["one two", "  three", "  four", "", "five"]);
    }

    #[test]
    fn a_command_stays_whole() {
        assert_eq!(wrap("see `aws ecs list-clusters` first", 12), ["see", "`aws ecs list-clusters`", "first"]);
        assert_eq!(wrap("(`a b`, `c d`)", 7), ["(`a b`,", "`c d`)"]);
        assert_eq!(wrap("a ` is one letter", 8), ["a ` is", "one", "letter"]);
    }

    #[test]
    fn the_word_that_was_meant() {
        for (written, meant) in [
            ("migrat", Some("migrate")),
            ("webb", Some("web")),
            ("Web", Some("web")),
            ("wbe", Some("web")),
            ("cache", None),
        ] {
            assert_eq!(nearest(written, ["web", "migrate"]), meant, "{written}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_lines_have_room(text in "[a-c` 東]{0,60}", most in 1_usize..30) {
            let lines = wrap(&text, most);
            let indent = text.len() - text.trim_start_matches(' ').len();
            let joined: Vec<_> = lines.iter().map(|line| &line[indent..]).collect();
            prop_assert_eq!(joined.join(" ").replace(' ', ""), text.replace(' ', ""));
            for line in lines {
                prop_assert!(columns(&line) <= most || !line[indent..].contains(' ') || line.contains('`'), "{:?}", line);
            }
        }
    }
}
