//! Long lines around a mistake, cut to what the terminal has room for: wrapped, the line under the place would point at
//! something else.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::Look;

/// What stands around a number and before a line: ` 5 │ `.
const FRAME: usize = 4;
/// As miette draws a tab.
const TAB: usize = 4;
/// `╰── ` before the label.
const BRANCH: usize = 4;
/// Less is not worth cutting for.
const LEAST: usize = 24;

/// A text of which the lines that are drawn have room, and where the place of the mistake is in it.
#[derive(Debug)]
pub(super) struct Cut {
    name: String,
    text: String,
    pub(super) span: Range<usize>,
    /// Where the place is in the line as it was written.
    column: usize,
}

impl Cut {
    /// `None` where everything has room as it is. `label` is what is said under the place.
    pub(super) fn of(name: &str, text: &str, span: &Range<usize>, label: &str, look: Look) -> Option<Self> {
        let first = text[..span.start].bytes().filter(|byte| *byte == b'\n').count();
        let last = first + text[span.clone()].bytes().filter(|byte| *byte == b'\n').count();
        let digits = (last + 2).to_string().len();
        let room = look.width.saturating_sub(FRAME + digits).max(LEAST);
        let mark = if look.unicode { "…" } else { "..." };
        let mut cut = String::with_capacity(text.len());
        let (mut start, mut end) = (span.start, span.end);
        let mut at = 0;
        let mut changed = false;
        for (number, whole) in text.split_inclusive('\n').enumerate() {
            let line = whole.trim_end_matches(['\n', '\r']);
            // One line before and one behind are drawn as well.
            let drawn = number + 1 >= first && number <= last + 1;
            let focus = if number == first {
                // Of more than one line, each is drawn from its beginning.
                Some(span.start - at..span.end.min(at + line.len()).max(span.start) - at)
            } else {
                None
            };
            let kept = if drawn { kept(line, focus, label.width(), room) } else { Kept::All };
            let begin = cut.len();
            match kept {
                Kept::All => cut.push_str(whole),
                Kept::Part(part) => {
                    changed = true;
                    let left = if part.start > 0 { mark } else { "" };
                    let right = if part.end < line.len() { mark } else { "" };
                    cut.push_str(left);
                    cut.push_str(&line[part.clone()]);
                    cut.push_str(right);
                    cut.push_str(&whole[line.len()..]);
                    let moved = |place: usize, over: usize| {
                        let place = place - at;
                        if place > line.len() {
                            // Between the letters of a line end.
                            cut.len() - (whole.len() - place)
                        } else if place <= part.start {
                            begin + if place < part.start { 0 } else { left.len() }
                        } else if place > part.end {
                            begin + left.len() + part.len() + over
                        } else {
                            begin + left.len() + place - part.start
                        }
                    };
                    let inside = at..at + whole.len();
                    if inside.contains(&span.start) {
                        start = moved(span.start, 0);
                    }
                    if inside.contains(&span.end) {
                        end = moved(span.end, right.len());
                    }
                    at += whole.len();
                    continue;
                }
            }
            let inside = at..at + whole.len();
            if inside.contains(&span.start) {
                start = begin + span.start - at;
            }
            if inside.contains(&span.end) {
                end = begin + span.end - at;
            }
            at += whole.len();
        }
        if !changed {
            return None;
        }
        // Behind the last line.
        if span.start == text.len() {
            start = cut.len();
        }
        if span.end == text.len() {
            end = cut.len();
        }
        let column =
            SourceCode::read_span(&text, &SourceSpan::from(span.clone()), 0, 0).map_or(0, |read| read.column());
        Some(Self { name: name.to_owned(), text: cut, span: start..end.max(start), column })
    }
}

/// What is drawn of a line.
enum Kept {
    All,
    Part(Range<usize>),
}

/// As much of a line as there is room for, with the place of the mistake in it and room for what is said under it.
fn kept(line: &str, focus: Option<Range<usize>>, label: usize, room: usize) -> Kept {
    let columns = |part: &str| part.chars().map(width).sum::<usize>();
    let (before, place) = match &focus {
        Some(focus) => (columns(&line[..focus.start]), columns(&line[focus.clone()])),
        None => (0, 0),
    };
    // The label begins under the middle of the place.
    let under = if label == 0 { 0 } else { place / 2 + BRANCH + label };
    let wanted = before + place.min(room / 2).max(under);
    if columns(line) <= room && wanted <= room {
        return Kept::All;
    }
    let focus = focus.unwrap_or(0..0);
    // A quarter of the room for what is in front, and none of it where the label takes all.
    let lead = (room / 4).min(room.saturating_sub(under + 2));
    let from = if wanted < room { 0 } else { back(line, focus.start, lead) };
    let mut left = room - usize::from(from > 0) - 1;
    let mut to = from;
    for (at, letter) in line[from..].char_indices() {
        let Some(less) = left.checked_sub(width(letter)) else { break };
        left = less;
        to = from + at + letter.len_utf8();
    }
    if from == 0 && to == line.len() { Kept::All } else { Kept::Part(from..to) }
}

/// The place up to so many columns before another one.
fn back(line: &str, from: usize, columns: usize) -> usize {
    let mut left = columns;
    let mut place = from;
    for (at, letter) in line[..from].char_indices().rev() {
        let Some(less) = left.checked_sub(width(letter)) else { break };
        left = less;
        place = at;
    }
    place
}

fn width(letter: char) -> usize {
    if letter == '\t' { TAB } else { letter.width().unwrap_or(0) }
}

impl SourceCode for Cut {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let read = self.text.read_span(span, before, after)?;
        // Asked for alone, it is for the words above the drawing.
        let column = if (before, after) == (0, 0) { self.column } else { read.column() };
        let contents = MietteSpanContents::new_named(
            self.name.clone(),
            read.data(),
            *read.span(),
            read.line(),
            column,
            read.line_count(),
        );
        Ok(Box::new(contents))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOOK: Look = Look { colour: false, unicode: true, width: 60 };

    #[test]
    fn the_place_stays_in_sight() {
        let long = format!("a = [{}\"wrong\", {}]\n", "\"x\", ".repeat(30), "\"y\", ".repeat(30));
        let text = format!("before\n{long}after {}\n", "z".repeat(80));
        let at = text.find("\"wrong\"").expect("there");
        let cut = Cut::of("f", &text, &(at..at + 7), "did you mean `right`?", LOOK).expect("it is long");
        assert_eq!(&cut.text[cut.span.clone()], "\"wrong\"");
        assert_eq!(cut.text.lines().map(unicode_width::UnicodeWidthStr::width).max(), Some(55));
        assert_eq!(cut.column, at - 7);
        assert!(Cut::of("f", "short = 1\n", &(0..5), "label", LOOK).is_none());
    }

    #[test]
    fn a_label_that_has_no_room_moves_the_line() {
        let text = "name = \"0123456789 0123456789 0123456789\", x\n";
        let at = text.find(", x").expect("there");
        let cut = Cut::of("f", text, &(at..at + 1), "must be something else", LOOK).expect("no room");
        assert!(cut.text.starts_with('…') && cut.text[cut.span.clone()] == *",", "{cut:?}");
    }

    #[test]
    fn a_place_that_reaches_over_the_line_end_stays_in_the_text() {
        for line_end in ["\n", "\r\n"] {
            let text = format!("\n{}{line_end}", "z".repeat(90));
            for end in text.len() - line_end.len()..=text.len() {
                let cut = Cut::of("f", &text, &(0..end), "label", LOOK).expect("it is long");
                assert_eq!(cut.text.len() - cut.span.end, text.len() - end, "{cut:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_line_that_is_drawn_is_too_long(text in "[a-z\u{4e2d}\u{e9} \t]{0,200}\n[a-z\u{4e2d} ]{0,200}\n?[a-z]{0,90}", from in 0usize..400, length in 0usize..200) {
            let boundary = |mut at: usize| { at = at.min(text.len()); while !text.is_char_boundary(at) { at -= 1; } at };
            let start = boundary(from);
            let span = start..boundary(start + length);
            if let Some(cut) = Cut::of("f", &text, &span, "label", LOOK) {
                prop_assert!(cut.text.get(cut.span.clone()).is_some(), "{:?}", cut);
                prop_assert_eq!(cut.text.lines().count(), text.lines().count());
                let lines = |part: &str| part.bytes().filter(|byte| *byte == b'\n').count();
                let first = lines(&text[..span.start]);
                let last = first + lines(&text[span]);
                let drawn = cut.text.split('\n').skip(first.saturating_sub(1)).take(last + 2 - first.saturating_sub(1));
                for line in drawn {
                    prop_assert!(line.chars().map(width).sum::<usize>() <= 55, "{:?}", line);
                }
            }
        }
    }
}
