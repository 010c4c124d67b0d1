//! Pages of people's lines: a head for each service, and under it what is said of it, each part under its label.

use crate::{
    id::Key,
    plan::diff::{Change, Difference},
    report::{
        style::{Meaning, Style},
        words,
    },
};

/// Where what is said of a service begins; the longest label is `register`.
const LABEL: usize = 10;
/// Paths longer than this push their value to the right instead of everybody's.
const PATH: usize = 30;

/// How much room there is, and what may be used in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paper {
    pub(crate) style: Style,
    pub(crate) width: usize,
}

/// A page that is being written.
pub(crate) struct Page {
    pub(crate) paper: Paper,
    text: String,
}

impl Page {
    pub(crate) const fn new(paper: Paper) -> Self {
        Self { paper, text: String::new() }
    }

    pub(crate) fn text(self) -> String {
        self.text
    }

    pub(crate) fn paint(&self, meaning: Meaning, text: &str) -> String {
        self.paper.style.paint(meaning, text)
    }

    /// A service by its name, and what is to be said of it in one line.
    pub(crate) fn head(&mut self, name: &Key, text: &str) {
        let name = self.paint(Meaning::Strong, name.as_str());
        self.line(&format!("{name}  {text}"));
    }

    pub(crate) fn append(&mut self, lines: &str) {
        self.text.push_str(lines);
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(&self.paper.style.spell(line.trim_end()));
        self.text.push('\n');
    }

    pub(crate) fn fitted(&self, line: &str) -> String {
        words::fit(line, self.paper.width, self.paper.style.ellipsis())
    }

    /// A line of a service, under its label; further lines stand without one.
    pub(crate) fn item(&mut self, label: &str, text: &str) {
        self.said(label, Meaning::Active, text);
    }

    /// The same with a label that means something by its colour.
    pub(crate) fn said(&mut self, label: &str, meaning: Meaning, text: &str) {
        let room = self.paper.width.saturating_sub(2 + LABEL);
        for (number, part) in words::wrap(text, room).iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let label = self.paper.style.paint(meaning, format!("{label:<LABEL$}"));
            self.line(&format!("  {label}{part}"));
        }
    }

    pub(crate) fn labelled(&mut self, label: &str, meaning: Meaning, text: &str) {
        for (number, part) in words::wrap(text, self.paper.width.saturating_sub(label.len())).iter().enumerate() {
            let label = if number == 0 { label.to_owned() } else { " ".repeat(label.len()) };
            self.line(&format!("{}{part}", self.paper.style.paint(meaning, label)));
        }
    }

    /// Fields and their values in columns.
    pub(crate) fn rows(&mut self, label: &str, rows: &[Row]) {
        let width = rows.iter().map(|row| words::columns(&row.path)).filter(|width| *width <= PATH).max().unwrap_or(0);
        let style = self.paper.style;
        let asides = rows.iter().map(|row| row.aside.len()).max().filter(|most| *most > 0).map_or(0, |most| most + 2);
        let room = |path: usize| self.paper.width.saturating_sub(2 + LABEL + 2 + path + 2 + asides).max(12);
        let values: Vec<_> = rows
            .iter()
            .map(|row| words::fit(&row.value, room(words::columns(&row.path).max(width)), style.ellipsis()))
            .collect();
        let value_width = values.iter().map(|value| words::columns(value)).max().unwrap_or(0);
        for (number, row) in rows.iter().enumerate() {
            let Row { sign, meaning, path, value: _, aside } = row;
            let label = style.paint(Meaning::Active, format!("{:<LABEL$}", if number == 0 { label } else { "" }));
            let value = &values[number];
            let gap = " ".repeat(value_width.saturating_sub(words::columns(value)));
            let aside = if aside.is_empty() { String::new() } else { style.paint(Meaning::Aside, aside) };
            self.line(&format!("  {label}{} {path:<width$}  {value}{gap}  {aside}", style.paint(*meaning, sign)));
        }
    }
}

/// One field of a task definition and what becomes of it.
pub(crate) struct Row {
    pub(crate) sign: &'static str,
    pub(crate) meaning: Meaning,
    pub(crate) path: String,
    pub(crate) value: String,
    pub(crate) aside: &'static str,
}

impl Row {
    pub(crate) fn of(difference: &Difference, container: &str, aside: &'static str) -> Self {
        let Difference { path, change } = difference;
        // The container that is shipped is what is talked about; others are named.
        let own = format!("containerDefinitions[{container}].");
        let path = path.strip_prefix(&own).or_else(|| path.strip_prefix("deploymentConfiguration.")).unwrap_or(path);
        let path = path.to_owned();
        let (sign, meaning, value) = match change {
            Change::Added(value) => ("+", Meaning::Good, value.clone()),
            Change::Removed(value) => ("-", Meaning::Bad, value.clone()),
            Change::Changed { from, to } => ("~", Meaning::Caution, format!("{from} → {to}")),
        };
        Self { sign, meaning, path, value, aside }
    }
}
