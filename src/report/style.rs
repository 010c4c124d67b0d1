//! The one palette, and the few signs, with an ASCII spelling for terminals that have no other.

use std::{borrow::Cow, fmt::Display};

/// Whether colours may be used: not with `NO_COLOR`, not without a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    On,
    Off,
}

/// Whether the terminal's encoding has more than ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    Unicode,
    Ascii,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub colour: Colour,
    pub letters: Letters,
}

/// What a piece of text means; the palette decides how that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Good,
    Bad,
    Caution,
    Active,
    Aside,
    Strong,
    /// Nothing in particular.
    Plain,
}

impl Style {
    /// For files and tests.
    pub const BARE: Self = Self { colour: Colour::Off, letters: Letters::Unicode };

    #[must_use]
    pub fn paint(self, meaning: Meaning, text: impl Display) -> String {
        if self.colour == Colour::Off {
            return text.to_string();
        }
        let code = match meaning {
            Meaning::Plain => return text.to_string(),
            Meaning::Good => "32",
            Meaning::Bad => "31",
            Meaning::Caution => "33",
            Meaning::Active => "36",
            Meaning::Aside => "2",
            Meaning::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// What stands for the part of a text that was cut off.
    #[must_use]
    pub const fn ellipsis(self) -> &'static str {
        match self.letters {
            Letters::Unicode => "…",
            Letters::Ascii => "..",
        }
    }

    /// The signs of our own sentences in ASCII where that is all there is. Letters of others stay as they
    /// are: a log line is evidence.
    #[must_use]
    pub fn spell(self, text: &str) -> Cow<'_, str> {
        const SIGNS: [(&str, &str); 5] = [("…", ".."), ("→", "->"), ("←", "<-"), ("—", "-"), ("–", "-")];
        match self.letters {
            Letters::Unicode => Cow::Borrowed(text),
            Letters::Ascii if text.is_ascii() => Cow::Borrowed(text),
            Letters::Ascii => {
                Cow::Owned(SIGNS.iter().fold(text.to_owned(), |text, (sign, ascii)| text.replace(sign, ascii)))
            }
        }
    }

    /// The sign at the head of a line.
    #[must_use]
    pub const fn sign(self, sign: Sign) -> &'static str {
        match (sign, self.letters) {
            (Sign::Done, Letters::Unicode) => "✔",
            (Sign::Done, Letters::Ascii) => "+",
            (Sign::Failed, Letters::Unicode) => "✘",
            (Sign::Failed, Letters::Ascii) => "x",
            (Sign::Skipped, Letters::Unicode) => "–",
            (Sign::Skipped, Letters::Ascii) => "-",
            (Sign::Waiting, Letters::Unicode) => "·",
            (Sign::Full, Letters::Unicode) => "●",
            (Sign::Full, Letters::Ascii) => "*",
            (Sign::Half, Letters::Unicode) => "◐",
            (Sign::Half, Letters::Ascii) => "o",
            (Sign::Empty, Letters::Unicode) => "○",
            (Sign::Waiting | Sign::Empty, Letters::Ascii) => ".",
        }
    }

    /// A bar of so many columns.
    #[must_use]
    pub fn bar(self, current: u64, total: u64, columns: usize) -> String {
        let (full, empty) = match self.letters {
            Letters::Unicode => ("━", "─"),
            Letters::Ascii => ("#", "-"),
        };
        let filled = if total == 0 {
            0
        } else {
            // In u128 the product cannot overflow, and the quotient is at most `columns`.
            usize::try_from(u128::from(current.min(total)) * columns as u128 / u128::from(total)).unwrap_or(columns)
        };
        format!("{}{}", full.repeat(filled), empty.repeat(columns - filled))
    }

    /// One frame of the spinner.
    #[must_use]
    pub fn spinner(self, now_ms: u64) -> &'static str {
        let frames: &[&'static str] = match self.letters {
            Letters::Unicode => &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
            Letters::Ascii => &["|", "/", "-", "\\"],
        };
        let frame = usize::try_from(now_ms / 100 % frames.len() as u64).unwrap_or(0);
        frames[frame]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Done,
    Failed,
    Skipped,
    Waiting,
    Full,
    Half,
    Empty,
}

#[cfg(test)]
mod tests {
    use super::{Colour, Letters, Meaning, Style};

    #[test]
    fn a_bar_fills_from_nothing_to_all_and_never_overflows() {
        let ascii = Style { colour: Colour::Off, letters: Letters::Ascii };
        let bars: Vec<_> =
            [(0, 10), (5, 10), (10, 10), (99, 10), (1, 0)].map(|(c, t)| ascii.bar(c, t, 4)).into_iter().collect();
        assert_eq!(bars, ["----", "##--", "####", "####", "----"]);
    }

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Style::BARE.paint(Meaning::Bad, "x"), "x");
        assert_eq!(Style { colour: Colour::On, ..Style::BARE }.paint(Meaning::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
