//! Fills in the `${…}` of a text, or tells at its own place why it cannot.

use std::ops::Range;

use super::{Own, Resolver};
use crate::config::{
    error::{Mistake, Place, Unset, nearest},
    file::Written,
    secrets::is_in_secret,
    variables::{self, Broken, Piece, Variable},
};

/// Variables that every table knows.
const VARIABLES: [&str; 7] = ["git.commit", "git.branch", "git.tag", "build", "environment", "account", "region"];

/// What other tools call them.
const HABITS: [(&str, &str); 19] = [
    ("account_id", "account"),
    ("aws.account", "account"),
    ("AWS::AccountId", "account"),
    ("aws.region", "region"),
    ("AWS::Region", "region"),
    ("branch", "git.branch"),
    ("commit", "git.commit"),
    ("commit_sha", "git.commit"),
    ("sha", "git.commit"),
    ("git.sha", "git.commit"),
    ("git.hash", "git.commit"),
    ("git.ref", "git.branch"),
    ("git.short", "build"),
    ("git.short_sha", "build"),
    ("short_sha", "build"),
    ("environment.name", "environment"),
    ("env", "env.NAME"),
    ("stage", "environment"),
    ("tag", "git.tag"),
];

/// `${{ github.sha }}`: what the workflow fills in nowhere but in its own file.
fn of_github(name: &str) -> String {
    let meant = name.trim_matches(['{', '}', ' ']);
    let variable = match meant.split_once('.') {
        Some(("github", name)) => format!("GITHUB_{}", name.to_ascii_uppercase()),
        Some(("env" | "secrets" | "vars", name)) => name.to_owned(),
        _ => "NAME".to_owned(),
    };
    format!(
        "GitHub fills it in in its own workflow files alone; here a variable of the environment is `${{env.{variable}}}`"
    )
}

impl Resolver<'_> {
    /// Fills in the variables of a text; tells what is wrong with them, at their own place.
    pub(super) fn expand(&mut self, written: &Written<String>, own: &Own) -> Option<String> {
        // Most texts: in a large file this is a tenth of the whole.
        if !written.value.contains('$') {
            return Some(written.value.clone());
        }
        match self.filled(written, own, &mut Vec::new()) {
            Ok(text) => Some(text),
            Err(mistakes) => {
                for (mistake, span) in mistakes {
                    self.mistake(mistake, Place::File(span));
                }
                None
            }
        }
    }

    fn filled(
        &self,
        written: &Written<String>,
        own: &Own,
        chain: &mut Vec<String>,
    ) -> Result<String, Vec<(Mistake, Range<usize>)>> {
        let pieces = match variables::pieces(&written.value) {
            Ok(pieces) => pieces,
            Err(broken) => return Err(vec![self.broken(written, &broken)]),
        };
        let mut filled = String::new();
        let mut mistakes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Literal(text) => filled.push_str(&text),
                Piece::Variable(variable) => match self.value(&variable, own, chain) {
                    Ok(value) => filled.push_str(&value),
                    Err(Valueless::Mistake(mistake)) => {
                        mistakes.push((mistake, self.span_in(written, &variable.range)));
                    }
                    Err(Valueless::Deeper(deeper)) => mistakes.extend(deeper),
                },
            }
        }
        if mistakes.is_empty() { Ok(filled) } else { Err(mistakes) }
    }

    fn value(&self, variable: &Variable, own: &Own, chain: &mut Vec<String>) -> Result<String, Valueless> {
        match (self.raw_value(&variable.name, own, chain), &variable.default) {
            (Ok(value), Some(default)) if value.is_empty() => Ok(default.clone()),
            (Err(Valueless::Mistake(Mistake::Unset { .. })), Some(default)) => Ok(default.clone()),
            (value, _) => value,
        }
    }

    fn raw_value(&self, name: &str, own: &Own, chain: &mut Vec<String>) -> Result<String, Valueless> {
        let unset = |why: Unset| Valueless::Mistake(Mistake::Unset { variable: name.to_owned(), why });
        let git = || self.facts.git.as_ref().map_err(|reason| unset(Unset::NoGit(reason.clone())));
        // While the environment's own table is read, `region` and `account` are keys like others.
        let in_environment = own.table.starts_with("environments.");
        match name {
            "git.commit" => Ok(git()?.commit.clone()),
            "git.branch" => git()?.branch.clone().ok_or_else(|| unset(Unset::DetachedHead)),
            "git.tag" => git()?.tag.clone().ok_or_else(|| unset(Unset::NoTag)),
            "build" => Ok(self.facts.build()),
            "environment" => self.name.map(ToOwned::to_owned).ok_or_else(|| unset(Unset::NoEnvironment)),
            "account" | "region" if !in_environment => {
                let value = if name == "region" { &self.region } else { &self.account };
                value.clone().ok_or_else(|| {
                    unset(if self.name.is_some() { Unset::NotInEnvironment } else { Unset::NoEnvironment })
                })
            }
            _ if name.starts_with('{') => Err(Valueless::Mistake(Mistake::BrokenVariable {
                text: format!("${{{name}}}}}"),
                write: of_github(name),
            })),
            "env." => Err(Valueless::Mistake(Mistake::BrokenVariable {
                text: format!("${{{name}}}"),
                write: "write the name of the variable behind the dot: `${env.NAME}`".to_owned(),
            })),
            _ => match name.strip_prefix("env.") {
                Some(variable) if variable.contains([':', '=', '?', '+', '-', ' ']) => {
                    let end = variable.find([':', '=', '?', '+', '-', ' ']).unwrap_or(variable.len());
                    let default = variable[end..].trim_start_matches([':', '=', '?', '+', '-', ' ', '|']);
                    let default = default.trim_matches(['"', '\'', ' ']);
                    let write = format!(
                        "a default is written `${{env.{}:-{default}}}`; there is nothing else",
                        &variable[..end]
                    );
                    Err(Valueless::Mistake(Mistake::BrokenVariable { text: format!("${{{name}}}"), write }))
                }
                Some(variable) => self.facts.variables.get(variable).cloned().ok_or_else(|| unset(Unset::Environment)),
                None => self.own_value(name, own, chain),
            },
        }
    }

    fn own_value(&self, name: &str, own: &Own, chain: &mut Vec<String>) -> Result<String, Valueless> {
        if let Some(begin) = chain.iter().position(|earlier| earlier == name) {
            let mut chain = chain[begin..].to_vec();
            chain.push(name.to_owned());
            return Err(Valueless::Mistake(Mistake::Circle { variable: name.to_owned(), chain }));
        }
        if let Some((_, written)) = own.written.iter().find(|(key, _)| *key == name) {
            chain.push(name.to_owned());
            let filled = self.filled(written, own, chain).map_err(Valueless::Deeper);
            chain.pop();
            return filled;
        }
        if let Some((_, default)) = own.defaults.iter().find(|(key, _)| *key == name) {
            return Ok(default.clone());
        }
        if own.keys.contains(&name) {
            let why = Unset::NotInTable { table: own.table.clone() };
            return Err(Valueless::Mistake(Mistake::Unset { variable: name.to_owned(), why }));
        }
        let shouted =
            name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_');
        let of_environment = ["env:", "ENV.", "ENV:", "Env."].iter().find_map(|start| name.strip_prefix(start));
        let nearest = if let Some(variable) = of_environment {
            Some(format!("env.{variable}"))
        } else if shouted {
            Some(format!("env.{name}"))
        } else if let Some((_, meant)) = HABITS.iter().find(|(habit, _)| *habit == name) {
            Some((*meant).to_owned())
        } else {
            nearest(name, VARIABLES.into_iter().chain(own.keys.iter().copied())).map(ToOwned::to_owned)
        };
        Err(Valueless::Mistake(Mistake::UnknownVariable { variable: name.to_owned(), nearest }))
    }

    fn broken(&self, written: &Written<String>, broken: &Broken) -> (Mistake, Range<usize>) {
        let (range, write) = match broken {
            Broken::LoneDollar { range } => {
                let word = written.value.get(range.start + 1..range.end).unwrap_or_default();
                let behind = written.value.get(range.end..).unwrap_or_default();
                let write = if word.is_empty() && behind.starts_with('(') {
                    let commit = if behind.starts_with("(git rev-parse") { "`${git.commit}`, or " } else { "" };
                    format!(
                        "no command is run here: write {commit}`${{env.NAME}}` for a variable that holds its output"
                    )
                } else if !word.starts_with(|letter: char| letter.is_alphabetic() || letter == '_') {
                    // All of them, or the next one is told after the first is mended.
                    let others = written.value.contains("${") || written.value.contains("$$");
                    let whole =
                        if others { String::new() } else { format!(": `\"{}\"`", written.value.replace('$', "$$")) };
                    format!("write `$$` for a dollar{whole}")
                } else {
                    format!("write `${{env.{word}}}` for a variable of the environment, `$$` for a dollar")
                };
                (range, write)
            }
            Broken::Unclosed { range } => (range, "a `}` is missing".to_owned()),
            Broken::Nested { range } => (range, "a default is plain text and holds no variable".to_owned()),
            Broken::Nameless { range } => (range, "write a name between `{` and `}`, or `$$` for a dollar".to_owned()),
        };
        // What is behind a `$` in a password is half of the password.
        let hidden = self
            .shared
            .sources
            .locate(&written.span)
            .is_some_and(|(source, span)| is_in_secret(&source.text, span.start));
        if hidden {
            let write = "write `$$` for a dollar, and keep the secret itself out of the file".to_owned();
            return (Mistake::BrokenVariable { text: "$…".to_owned(), write }, self.span_in(written, range));
        }
        let text = written.value.get(range.clone()).unwrap_or_default().to_owned();
        (Mistake::BrokenVariable { text, write }, self.span_in(written, range))
    }

    /// The place of a part of a text. A text with escapes is longer in the file than its value; then
    /// the part is looked for, and the whole text taken where it cannot be found.
    fn span_in(&self, written: &Written<String>, range: &Range<usize>) -> Range<usize> {
        let part = written.value.get(range.clone()).unwrap_or_default();
        let source = self.shared.sources.get(&written.span);
        // The quote in front.
        let exact = range.start + 1;
        let found = if source.get(exact..).is_some_and(|rest| rest.starts_with(part)) {
            Some(exact)
        } else {
            source.find(part)
        };
        match found {
            Some(at) if !part.is_empty() => written.span.start + at..written.span.start + at + part.len(),
            Some(_) | None => written.span.clone(),
        }
    }
}

/// Why a variable could not be filled in.
enum Valueless {
    Mistake(Mistake),
    /// The key it names has mistakes of its own, at their own places.
    Deeper(Vec<(Mistake, Range<usize>)>),
}
