//! The texts that a configuration is made of (`ship.toml`, what it extends, environment files), laid in one
//! row: a place is a range of that row, whichever file it was written in.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// One text with its place in the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the user would write it.
    pub name: String,
    /// Its folder, seen from that of `ship.toml`; empty for `ship.toml` itself.
    pub folder: PathBuf,
    pub text: String,
    /// Where it begins in the row.
    pub begin: usize,
    pub language: Language,
}

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Toml,
    /// `KEY=value` lines.
    Lines,
}

/// All of them; `ship.toml` is the first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    row: Vec<Source>,
}

impl Sources {
    /// One file alone.
    #[must_use]
    pub fn of(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut sources = Self::default();
        sources.add(name.into(), PathBuf::new(), text.into(), Language::Toml);
        sources
    }

    /// Lays another text behind the last one and says where it begins.
    pub fn add(&mut self, name: String, folder: PathBuf, text: String, language: Language) -> usize {
        let begin = self.end();
        self.row.push(Source { name, folder, text, begin, language });
        begin
    }

    /// Where the next text would begin: a place just behind a text still belongs to it.
    #[must_use]
    pub fn end(&self) -> usize {
        self.row.last().map_or(0, |last| last.begin + last.text.len() + 1)
    }

    #[must_use]
    pub fn all(&self) -> &[Source] {
        &self.row
    }

    /// `ship.toml`, by which all of them are known together.
    #[must_use]
    pub fn name(&self) -> &str {
        self.row.first().map_or("", |first| first.name.as_str())
    }

    /// The text that a place lies in, and the place in that text.
    #[must_use]
    pub fn locate(&self, span: &Range<usize>) -> Option<(&Source, Range<usize>)> {
        let source = self.row.iter().rev().find(|source| source.begin <= span.start)?;
        Some((source, span.start - source.begin..span.end.checked_sub(source.begin)?))
    }

    /// What is written at a place.
    #[must_use]
    pub fn get(&self, span: &Range<usize>) -> &str {
        self.locate(span).and_then(|(source, span)| source.text.get(span)).unwrap_or_default()
    }

    /// The folder that a relative path written at this place starts from, seen from that of `ship.toml`.
    #[must_use]
    pub fn folder(&self, span: &Range<usize>) -> &Path {
        self.locate(span).map_or(Path::new(""), |(source, _)| &source.folder)
    }
}

impl Source {
    /// Line and column, both from 1, of a place in this text.
    #[must_use]
    pub fn line_and_column(&self, at: usize) -> Option<(usize, usize)> {
        let before = self.text.get(..at)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_in_its_own_text() {
        let mut sources = Sources::of("ship.toml", "ab\n");
        let begin = sources.add("../base.toml".to_owned(), PathBuf::from(".."), "one\ntwo".to_owned(), Language::Toml);
        let (source, span) = sources.locate(&(begin + 4..begin + 7)).expect("it is there");
        assert_eq!((source.name.as_str(), &source.text[span.clone()]), ("../base.toml", "two"));
        assert_eq!(source.line_and_column(span.start), Some((2, 1)));
        assert_eq!(sources.get(&(begin + 4..begin + 7)), "two");
        assert_eq!(sources.folder(&(begin..begin)), Path::new(".."));
        // The end of a text is its own, not the beginning of the next.
        assert_eq!(
            sources.locate(&(3..3)).map(|(source, span)| (source.name.as_str(), span)),
            Some(("ship.toml", 3..3))
        );
        assert_eq!(sources.folder(&(3..3)), Path::new(""));
    }
}
