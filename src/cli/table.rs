//! Tables for people: columns as wide as their widest cell. Where there is no room for all, those that say least are
//! left out and the last one is broken into lines; in a file or a pipe nothing is left out.

use serde_json::Value;

use super::{Door, args::TableFormat, show, surroundings::Stream};
use crate::{
    failure::Failure,
    report::{
        style::{Meaning, Style},
        words,
    },
};

/// Between two columns, as docker's own tables have it.
const GAP: usize = 3;
/// The last column is not broken into lines narrower than this.
const NARROWEST: usize = 24;

/// What stands over a column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    head: &'static str,
    leave: Option<u8>,
}

impl Column {
    /// One that is always there.
    pub(crate) const fn always(head: &'static str) -> Self {
        Self { head, leave: None }
    }

    /// One that is left out where there is no room: the one with the lowest number first.
    pub(crate) const fn with_room(head: &'static str, number: u8) -> Self {
        Self { head, leave: Some(number) }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    meaning: Meaning,
}

impl Cell {
    pub(crate) fn painted(text: impl Into<String>, meaning: Meaning) -> Self {
        Self { text: text.into(), meaning }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::painted(text, Meaning::Plain)
    }
}

/// Where a table is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) style: Style,
    /// `None`: as wide as it likes.
    pub(crate) width: Option<usize>,
}

impl Room {
    /// Standard output.
    pub(crate) fn of(door: &Door) -> Self {
        let size = door.surroundings.terminal_size.filter(|_| door.surroundings.stdout == Stream::Terminal);
        Self { style: show::data_style(door), width: size.map(|size| usize::from(size.columns)) }
    }
}

/// Prints rows as they are asked for: a table for people, or a line of JSON for each.
pub(crate) fn print<const N: usize, Row>(
    format: TableFormat,
    columns: [Column; N],
    rows: &[Row],
    cells: impl Fn(&Row) -> [Cell; N],
    as_json: impl Fn(&Row) -> Value,
    door: &Door,
) -> Result<(), Failure> {
    match format {
        TableFormat::Table => {
            let cells: Vec<_> = rows.iter().map(cells).collect();
            door.print(&table(columns, &cells, Room::of(door)))
        }
        TableFormat::Json => rows.iter().try_for_each(|row| door.print(&format!("{}\n", as_json(row)))),
    }
}

/// Rows under their heads.
#[must_use]
pub(crate) fn table<const N: usize>(columns: [Column; N], rows: &[[Cell; N]], room: Room) -> String {
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            let cells = rows.iter().map(|row| words::columns(&row[column].text));
            cells.chain([columns[column].head.len()]).max().unwrap_or(0)
        })
        .collect();
    let shown = shown(&columns, &widths, room);
    let Some((last, before)) = shown.split_last() else { return String::new() };
    let indent: usize = before.iter().map(|column| widths[*column] + GAP).sum();
    let most = room.width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(NARROWEST));
    let heads = columns.map(|column| Cell::from(column.head.to_owned()));
    let mut text = String::new();
    for line in std::iter::once(&heads).chain(rows) {
        let parts = if words::columns(&line[*last].text) <= most {
            vec![line[*last].text.clone()]
        } else {
            words::wrap(&line[*last].text, most)
        };
        for (number, part) in parts.iter().enumerate() {
            let mut drawn = String::new();
            for column in before {
                let Cell { text, meaning } = &line[*column];
                let gap = widths[*column] + GAP;
                if number == 0 {
                    let gap = " ".repeat(gap.saturating_sub(words::columns(text)));
                    drawn.push_str(&room.style.paint(*meaning, text));
                    drawn.push_str(&gap);
                } else {
                    drawn.push_str(&" ".repeat(gap));
                }
            }
            if !part.is_empty() {
                drawn.push_str(&room.style.paint(line[*last].meaning, part));
            }
            text.push_str(room.style.spell(drawn.trim_end()).as_ref());
            text.push('\n');
        }
    }
    text
}

/// The columns that there is room for.
fn shown<const N: usize>(columns: &[Column; N], widths: &[usize], room: Room) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..N).collect();
    let Some(most) = room.width else { return shown };
    loop {
        let last = shown.last().copied();
        let wide: usize = shown
            .iter()
            .map(|column| if Some(*column) == last { widths[*column].min(NARROWEST) } else { widths[*column] + GAP })
            .sum();
        let next = shown.iter().copied().filter(|column| columns[*column].leave.is_some());
        match next.min_by_key(|column| columns[*column].leave) {
            Some(next) if wide > most => shown.retain(|column| *column != next),
            Some(_) | None => return shown,
        }
    }
}

/// `4 minutes`, `2 hours`, `3 days`: how long something has been, as `docker ps` says it.
#[must_use]
pub(crate) fn age(since_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(since_ms) / 1000;
    let words = |number: u64, one: &str| match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    };
    match seconds {
        0..60 => words(seconds, "second"),
        60..3600 => words(seconds / 60, "minute"),
        3600..172_800 => words(seconds / 3600, "hour"),
        _ => words(seconds / 86_400, "day"),
    }
}

/// `4 minutes ago`.
#[must_use]
pub(crate) fn ago(since_ms: u64, now_ms: u64) -> String {
    format!("{} ago", age(since_ms, now_ms))
}

/// Nothing to say is a dash, so that the columns stay readable.
#[must_use]
pub(crate) fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Cell, Column, Room, age, or_dash, table};
    use crate::report::style::{Colour, Meaning, Style};

    const COLUMNS: [Column; 3] = [Column::always("NAME"), Column::with_room("SIZE", 1), Column::always("TEXT")];

    fn drawn(width: Option<usize>) -> String {
        let row = |name: &str, size: Option<&str>, text: &str| {
            [Cell::from(name.to_owned()), Cell::from(or_dash(size.map(str::to_owned))), Cell::from(text.to_owned())]
        };
        let rows = [row("a", Some("12 kB"), "one two three four five six"), row("longer", None, "")];
        table(COLUMNS, &rows, Room { style: Style::BARE, width })
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(drawn(None), "NAME     SIZE    TEXT\na        12 kB   one two three four five six\nlonger   -\n");
        assert_eq!(drawn(Some(80)), drawn(None));
    }

    #[test]
    fn without_room_the_last_is_broken_and_what_says_least_is_left_out() {
        assert_eq!(
            drawn(Some(42)),
            "NAME     SIZE    TEXT\na        12 kB   one two three four five\n                 six\nlonger   -\n"
        );
        assert_eq!(drawn(Some(36)), "NAME     TEXT\na        one two three four five six\nlonger\n");
        assert_eq!(drawn(Some(10)), "NAME     TEXT\na        one two three four five\n         six\nlonger\n");
    }

    #[test]
    fn colour_takes_no_room() {
        let style = Style { colour: Colour::On, ..Style::BARE };
        let row = [Cell::painted("up", Meaning::Good), Cell::from("b".to_owned())];
        let text = table([Column::always("STATE"), Column::always("B")], &[row], Room { style, width: None });
        assert_eq!(text, "STATE   B\n\u{1b}[32mup\u{1b}[0m      b\n");
    }

    #[test]
    fn an_age_is_a_number_of_the_largest_unit_that_says_something() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (61, "1 minute"),
            (7_199, "1 hour"),
            (90_000, "25 hours"),
            (200_000, "2 days"),
        ] {
            assert_eq!(age(1_000, 1_000 + seconds * 1000), expected);
        }
        assert_eq!(age(5_000, 1_000), "0 seconds", "a clock behind ECS's");
    }
}
