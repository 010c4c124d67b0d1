//! What differs from AWS on purpose: the table of the guide, which is the only place where it is written down.

const GUIDE: &str = include_str!("../../docs/guide/sandbox.md");

/// One difference, in the guide's words without its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub here: String,
    pub on_aws: String,
}

/// All of them, in the order of the guide.
#[must_use]
pub fn all() -> Vec<Difference> {
    let (_, section) = GUIDE.split_once("\n## What differs from AWS, on purpose\n").unwrap_or_default();
    let rows = section.lines().take_while(|line| !line.starts_with("## ")).filter_map(cells);
    // The head and the line under it.
    rows.skip(2).map(|(here, on_aws)| Difference { here: plain(here), on_aws: plain(on_aws) }).collect()
}

/// `| here | on AWS |`
fn cells(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('|')?.strip_suffix('|')?.split_once('|')
}

fn plain(cell: &str) -> String {
    cell.trim().replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_guide_is_told() {
        let all = all();
        assert!(all.len() >= 10, "the guide's table has another shape now: {all:?}");
        for Difference { here, on_aws } in &all {
            assert!(!here.is_empty() && !on_aws.is_empty() && !on_aws.contains('|'), "{here} | {on_aws}");
        }
        let rows = GUIDE.split_once("## What differs").unwrap().1.split_once("\n## ").unwrap().0;
        assert_eq!(rows.lines().filter(|line| line.starts_with("| ")).count(), all.len() + 1);
    }
}
