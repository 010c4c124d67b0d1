//! Tables for people: columns as wide as their widest cell, the last one as long as it is.

/// Rows under their heads.
#[must_use]
pub(crate) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let lines: Vec<&[String; N]> = std::iter::once(&heads).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
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

/// Nothing to say is a dash, so that the columns stay readable.
#[must_use]
pub(crate) fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{age, or_dash, table};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "one two".to_owned()], ["longer".to_owned(), or_dash(None)]];
        assert_eq!(table(["NAME", "TEXT"], &rows), "NAME     TEXT\na        one two\nlonger   -\n");
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
