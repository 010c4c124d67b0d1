//! Mistakes on the command line, told in Docker's words.

use std::ffi::OsString;

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::help;
use crate::plugin::globals::GlobalsError;

/// A command line that could not be understood.
#[derive(Debug, thiserror::Error)]
#[error("{mistake}")]
pub struct UsageError {
    pub mistake: Mistake,
    /// `docker ecs-ship deploy`.
    pub command: String,
    /// `docker ecs-ship deploy [OPTIONS] [SERVICE...]`.
    pub usage: String,
}

/// What is wrong with it. The texts are those of docker and of pflag, which it reads flags with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    #[error("unknown flag: {flag}")]
    UnknownFlag { flag: String, nearest: Option<String> },
    #[error("unknown shorthand flag: '{letter}' in {word}")]
    UnknownLetter { letter: char, word: String },
    #[error("unknown command: {command} {word}")]
    UnknownCommand { command: String, word: String, nearest: Option<String> },
    #[error("'{command}' accepts no more arguments, but got \"{word}\"")]
    UnexpectedArgument { command: String, word: String },
    #[error("flag needs an argument: {flag}")]
    NeedsArgument { flag: String },
    #[error("invalid argument \"{value}\" for \"{flag}\": {expected}")]
    InvalidValue { flag: String, value: String, expected: String },
    #[error("'{command}' requires {missing}")]
    MissingArgument { command: String, missing: String },
    #[error("conflicting options: cannot specify both {one} and {other}")]
    Conflict { one: String, other: String },
    #[error("{flag} was given more than once")]
    Repeated { flag: String },
    #[error(transparent)]
    Globals(GlobalsError),
    /// What clap may yet come up with.
    #[error("{text}")]
    Other { text: String },
}

impl UsageError {
    /// Puts clap's error about `words` into Docker's words.
    #[must_use]
    pub fn from_clap(error: &clap::Error, root: &Command, words: &[OsString]) -> Self {
        let (command, path) = deepest(root, words);
        let of = |kind| error.get(kind).map(first).unwrap_or_default();
        let flag = of(ContextKind::InvalidArg);
        let flag = flag.split(' ').next().unwrap_or_default().to_owned();
        let value = of(ContextKind::InvalidValue);
        let mistake = match error.kind() {
            ErrorKind::UnknownArgument if is_letters(&flag) => unknown_letter(flag, words),
            ErrorKind::UnknownArgument if flag.starts_with('-') => {
                Mistake::UnknownFlag { flag, nearest: error.get(ContextKind::SuggestedArg).map(first) }
            }
            ErrorKind::UnknownArgument if command.has_subcommands() => unknown_command(command, &path, flag),
            ErrorKind::UnknownArgument => Mistake::UnexpectedArgument { command: path.clone(), word: flag },
            ErrorKind::InvalidSubcommand => unknown_command(command, &path, of(ContextKind::InvalidSubcommand)),
            ErrorKind::InvalidValue if value.is_empty() => Mistake::NeedsArgument { flag },
            ErrorKind::InvalidValue => {
                let possible = error.get(ContextKind::ValidValue).map(all).unwrap_or_default();
                Mistake::InvalidValue { flag, value, expected: format!("must be one of {possible}") }
            }
            ErrorKind::ValueValidation => {
                let expected = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
                Mistake::InvalidValue { flag, value, expected }
            }
            ErrorKind::MissingRequiredArgument => {
                let missing = flag.trim_matches(['<', '>', '.']).to_owned();
                Mistake::MissingArgument { command: path.clone(), missing }
            }
            ErrorKind::ArgumentConflict => {
                let other = of(ContextKind::PriorArg);
                let other = other.split(' ').next().unwrap_or_default().to_owned();
                if other == flag { Mistake::Repeated { flag } } else { Mistake::Conflict { one: flag, other } }
            }
            // Kinds we do not provoke, or that a newer clap brings.
            _ => Mistake::Other { text: first_line(&error.to_string()) },
        };
        Self { mistake, usage: help::usage(command, &path), command: path }
    }

    /// A mistake in docker's own flags.
    #[must_use]
    pub fn from_globals(error: GlobalsError, root: &Command) -> Self {
        let command = root.get_name().to_owned();
        Self { mistake: Mistake::Globals(error), usage: help::usage(root, &command), command }
    }

    /// The name that was probably meant.
    #[must_use]
    pub fn nearest(&self) -> Option<&str> {
        match &self.mistake {
            Mistake::UnknownFlag { nearest, .. } | Mistake::UnknownCommand { nearest, .. } => nearest.as_deref(),
            Mistake::UnknownLetter { .. }
            | Mistake::UnexpectedArgument { .. }
            | Mistake::NeedsArgument { .. }
            | Mistake::InvalidValue { .. }
            | Mistake::MissingArgument { .. }
            | Mistake::Conflict { .. }
            | Mistake::Repeated { .. }
            | Mistake::Globals(_)
            | Mistake::Other { .. } => None,
        }
    }
}

/// Searches for itself: clap suggests only what is very near, and hidden verbs too.
fn unknown_command(command: &Command, path: &str, word: String) -> Mistake {
    let nearest = command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| (strsim::damerau_levenshtein(&word, verb.get_name()), verb.get_name()))
        .filter(|(distance, name)| *distance <= name.len().max(3) / 3 || name.starts_with(&word))
        .min()
        .map(|(_, name)| name.to_owned());
    Mistake::UnknownCommand { command: path.to_owned(), word, nearest }
}

/// `-x`, but not `--x`.
fn is_letters(flag: &str) -> bool {
    flag.starts_with('-') && !flag.starts_with("--") && flag.len() > 1
}

/// clap says which letter; the word it stood in is the last that has it.
fn unknown_letter(flag: String, words: &[OsString]) -> Mistake {
    let letter = flag.chars().nth(1).unwrap_or('-');
    let mut texts = words.iter().rev().filter_map(|word| word.to_str());
    let word = texts.find(|word| is_letters(word) && word.contains(letter)).map_or(flag, ToOwned::to_owned);
    Mistake::UnknownLetter { letter, word }
}

/// The command the words lead to, and how it is spelled.
fn deepest<'a>(root: &'a Command, words: &[OsString]) -> (&'a Command, String) {
    let (mut command, mut path) = (root, root.get_name().to_owned());
    for word in words.iter().filter_map(|word| word.to_str()).filter(|word| !word.starts_with('-')) {
        let Some(next) = command.find_subcommand(word) else { break };
        command = next;
        path = format!("{path} {}", next.get_name());
    }
    (command, path)
}

fn first(value: &ContextValue) -> String {
    match value {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.first().cloned().unwrap_or_default(),
        ContextValue::StyledStr(text) => text.to_string(),
        other => other.to_string(),
    }
}

fn all(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(texts) => texts.join(", "),
        other => other.to_string(),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;

    #[test]
    fn mistakes_are_told_in_dockers_words() {
        for (line, text, nearest) in [
            ("deploy --enviroment x", "unknown flag: --enviroment", Some("--environment")),
            ("deploy -Z", "unknown shorthand flag: 'Z' in -Z", None),
            ("deploy -yZ", "unknown shorthand flag: 'Z' in -yZ", None),
            ("depoly", "unknown command: docker ecs-ship depoly", Some("deploy")),
            ("dep", "unknown command: docker ecs-ship dep", Some("deploy")),
            ("frobnicate", "unknown command: docker ecs-ship frobnicate", None),
            ("sandbox dwon", "unknown command: docker ecs-ship sandbox dwon", Some("down")),
            ("version extra", "'docker ecs-ship version' accepts no more arguments, but got \"extra\"", None),
            ("deploy --file", "flag needs an argument: --file", None),
            (
                "deploy --progress fancy",
                "invalid argument \"fancy\" for \"--progress\": must be one of auto, tty, plain, json, quiet",
                None,
            ),
            (
                "sandbox up --speed 0",
                "invalid argument \"0\" for \"--speed\": must be a number from 0.01 to 1000",
                None,
            ),
            ("completion", "'docker ecs-ship completion' requires SHELL", None),
            ("deploy --yes --yes", "--yes was given more than once", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let root = args::command("docker ecs-ship");
            let error = args::parse(root.clone(), &words).expect_err(line);
            let error = UsageError::from_clap(&error, &root, &words);
            assert_eq!(error.to_string(), text, "{line}");
            assert_eq!(error.nearest(), nearest, "{line}");
        }
    }
}
