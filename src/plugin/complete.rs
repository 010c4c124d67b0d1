//! Shell completion as docker's scripts ask for it: cobra's protocol over our clap commands.
//!
//! The tree is walked here rather than by clap's own completer, whose candidates follow other rules
//! than the shells' scripts expect from cobra: flags only after a dash, the bare value after
//! `--flag=`, nothing after `--help`, and a directive for what the shell should add.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, Command, ValueHint};

use super::globals::{FLAGS, Field, GlobalFlag};

/// The names in `ship.toml` that can be completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub environments: Vec<String>,
    pub services: Vec<String>,
}

/// Reads the names from the file given by `--file`, or from the nearest one.
pub type NameSource<'a> = dyn Fn(Option<&Path>) -> Names + 'a;

/// Something that only the running service knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveQuestion {
    pub what: LiveNames,
    /// What was typed before: `--file`, `--environment` and the services.
    pub file: Option<PathBuf>,
    pub environment: Option<String>,
    pub services: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveNames {
    /// Numbers of revisions.
    Revisions,
    /// Beginnings of task ids.
    Tasks,
}

/// Asks for them, each with what it means. Nobody waits long for a TAB, so there may be none.
pub type LiveSource<'a> = dyn Fn(&LiveQuestion) -> Vec<(String, String)> + 'a;

/// Where names come from.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub names: &'a NameSource<'a>,
    pub live: &'a LiveSource<'a>,
}

/// The argument whose values are the services of `ship.toml`.
pub const SERVICES: &str = "services";
/// The argument whose values are the environments of `ship.toml`.
pub const ENVIRONMENT: &str = "environment";
/// The argument that names the file to read them from.
pub const FILE: &str = "file";
/// The arguments whose values are numbers of revisions.
pub const REVISIONS: [&str; 2] = ["to", "revision"];
/// The argument whose value is the beginning of a task's id.
pub const TASK: &str = "task";

/// What the shell may add to the candidates: the sum of cobra's bits (spf13/cobra completions.go).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// 0: the shell completes files when there is no candidate.
    Files,
    /// 4: nothing but the candidates.
    Only,
    /// 8: files whose extension is a candidate.
    FilesEnding,
    /// 16: folders.
    Folders,
}

impl Directive {
    const fn number(self) -> u8 {
        match self {
            Self::Files => 0,
            Self::Only => 4,
            Self::FilesEnding => 8,
            Self::Folders => 16,
        }
    }

    /// The name cobra tells on stderr, where people debug their completion.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "ShellCompDirectiveDefault",
            Self::Only => "ShellCompDirectiveNoFileComp",
            Self::FilesEnding => "ShellCompDirectiveFilterFileExt",
            Self::Folders => "ShellCompDirectiveFilterDirs",
        }
    }
}

/// Whether the shell wants to hear what a candidate means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptions {
    Shown,
    Hidden,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    value: String,
    description: String,
}

/// The answer to one TAB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    candidates: Vec<Candidate>,
    pub directive: Directive,
}

impl Answer {
    const fn nothing(directive: Directive) -> Self {
        Self { candidates: Vec::new(), directive }
    }

    /// The candidates that begin with what was typed; cobra sifts, although shells do it again.
    fn of(typed: &str, candidates: impl IntoIterator<Item = (String, String)>) -> Self {
        let candidates = candidates
            .into_iter()
            .filter(|(value, _)| value.starts_with(typed))
            .map(|(value, description)| Candidate { value, description })
            .collect();
        Self { candidates, directive: Directive::Only }
    }

    /// The lines for stdout.
    #[must_use]
    pub fn text(&self, descriptions: Descriptions) -> String {
        let mut text = String::new();
        for Candidate { value, description } in &self.candidates {
            // A tab or a second line would be read as part of the protocol.
            let description = description.lines().next().unwrap_or_default().replace('\t', " ");
            let written = match descriptions {
                Descriptions::Shown if !description.is_empty() => writeln!(text, "{value}\t{}", description.trim()),
                Descriptions::Shown | Descriptions::Hidden => writeln!(text, "{value}"),
            };
            written.expect("writing to a string cannot fail");
        }
        writeln!(text, ":{}", self.directive.number()).expect("writing to a string cannot fail");
        text
    }
}

/// A flag whose value is the next word.
enum Awaiting<'a> {
    Nothing,
    Value(&'a Arg),
    Global(&'static GlobalFlag),
}

/// Where the walk over the words has come to.
struct Walk<'a> {
    root: &'a Command,
    command: &'a Command,
    awaiting: Awaiting<'a>,
    given: BTreeSet<&'a str>,
    positionals: Vec<&'a str>,
    file: Option<PathBuf>,
    environment: Option<String>,
    /// `--` was seen: no flags any more.
    only_words: Flags,
    help: Help,
}

#[derive(PartialEq, Eq)]
enum Flags {
    Possible,
    Over,
}

#[derive(PartialEq, Eq)]
enum Help {
    Asked,
    NotAsked,
}

/// Answers for `words` by a tree that clap need not have gone through. The last of the words is being typed.
/// What is known elsewhere is asked for only when it is wanted.
#[must_use]
pub fn complete(root: &Command, words: &[String], known: Known<'_>) -> Answer {
    let (typed, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let mut walk = Walk {
        root,
        command: root,
        awaiting: Awaiting::Nothing,
        given: BTreeSet::new(),
        positionals: Vec::new(),
        file: None,
        environment: None,
        only_words: Flags::Possible,
        help: Help::NotAsked,
    };
    for word in before {
        walk.step(word);
    }
    walk.answer(typed, known)
}

impl<'a> Walk<'a> {
    fn step(&mut self, word: &'a str) {
        match std::mem::replace(&mut self.awaiting, Awaiting::Nothing) {
            Awaiting::Value(arg) => return self.value(arg, word),
            Awaiting::Global(_) => return,
            Awaiting::Nothing => {}
        }
        if self.only_words == Flags::Possible && word == "--" {
            self.only_words = Flags::Over;
        } else if self.only_words == Flags::Possible && word.len() > 1 && word.starts_with('-') {
            self.flag(word);
        } else if let Some(command) = self.subcommand(word) {
            self.command = command;
        } else {
            self.positionals.push(word);
        }
    }

    fn subcommand(&self, word: &str) -> Option<&'a Command> {
        self.positionals.is_empty().then(|| self.command.find_subcommand(word)).flatten()
    }

    fn flag(&mut self, word: &'a str) {
        let (name, joined) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        if matches!(name, "--help" | "-h") {
            self.help = Help::Asked;
            return;
        }
        if let Some(arg) = self.arg(name) {
            self.given.insert(arg.get_id().as_str());
            if takes_value(arg) {
                match joined {
                    Some(value) => self.value(arg, value),
                    None => self.awaiting = Awaiting::Value(arg),
                }
            }
        } else if let Some(flag) = self.global(name)
            && flag.value.is_some()
            && joined.is_none()
        {
            self.awaiting = Awaiting::Global(flag);
        }
    }

    fn value(&mut self, arg: &Arg, value: &str) {
        if arg.get_id() == FILE {
            self.file = Some(value.into());
        } else if arg.get_id() == ENVIRONMENT {
            self.environment = Some(value.to_owned());
        }
    }

    /// The arguments of the command, then those of the root that count everywhere.
    fn arguments(&self) -> impl Iterator<Item = &'a Arg> + use<'a> {
        let everywhere = if std::ptr::eq(self.command, self.root) { None } else { Some(self.root) };
        let everywhere = everywhere.into_iter().flat_map(Command::get_arguments).filter(|arg| arg.is_global_set());
        self.command.get_arguments().chain(everywhere)
    }

    fn arg(&self, name: &str) -> Option<&'a Arg> {
        let letter = name.strip_prefix('-').and_then(|letters| letters.chars().next());
        self.arguments().find(|arg| match name.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => letter.is_some() && arg.get_short() == letter,
        })
    }

    /// Docker's flags stand before the first verb; where we have one of the same name, ours is meant.
    fn global(&self, name: &str) -> Option<&'static GlobalFlag> {
        let before_the_verb = std::ptr::eq(self.command, self.root) && self.arg(name).is_none();
        FLAGS.iter().filter(|_| before_the_verb).find(|flag| match name.strip_prefix("--") {
            Some(long) => flag.long == long,
            None => flag.short.is_some() && name.strip_prefix('-').and_then(|name| name.chars().next()) == flag.short,
        })
    }

    fn answer(self, typed: &str, known: Known<'_>) -> Answer {
        if self.help == Help::Asked {
            return Answer::nothing(Directive::Only);
        }
        match self.awaiting {
            Awaiting::Value(arg) => return self.values(arg, typed, known),
            Awaiting::Global(flag) => return global_values(flag, typed),
            Awaiting::Nothing => {}
        }
        if self.only_words == Flags::Possible && typed.starts_with('-') {
            if let Some((name, value)) = typed.split_once('=').filter(|(name, _)| name.starts_with("--")) {
                return match (self.arg(name), self.global(name)) {
                    (Some(arg), _) => self.values(arg, value, known),
                    (None, Some(flag)) => global_values(flag, value),
                    (None, None) => Answer::nothing(Directive::Only),
                };
            }
            return Answer::of(typed, self.flags());
        }
        if self.command.has_subcommands() && self.positionals.is_empty() {
            let verbs = self.command.get_subcommands().filter(|verb| !verb.is_hide_set());
            return Answer::of(typed, verbs.map(|verb| (verb.get_name().to_owned(), text(verb.get_about()))));
        }
        // The last positional takes whatever the earlier ones have left.
        let positionals: Vec<_> = self.command.get_positionals().collect();
        let at = self.positionals.len().min(positionals.len().saturating_sub(1));
        match positionals.get(at) {
            Some(arg) if self.positionals.len() <= at || is_many(arg) => self.values(arg, typed, known),
            Some(_) | None => Answer::nothing(Directive::Only),
        }
    }

    fn flags(&self) -> Vec<(String, String)> {
        let ours = self
            .arguments()
            .filter(|arg| !arg.is_positional() && !arg.is_hide_set())
            .filter(|arg| is_many(arg) || !self.given.contains(arg.get_id().as_str()))
            .map(|arg| (arg.get_long(), arg.get_short(), text(arg.get_help())));
        let of_docker = FLAGS
            .iter()
            .filter(|flag| self.global(&format!("--{}", flag.long)).is_some())
            .map(|flag| (Some(flag.long), flag.short, flag.help.to_owned()));
        ours.chain(of_docker)
            .flat_map(|(long, short, help)| {
                let long = long.map(|long| (format!("--{long}"), help.clone()));
                let short = short.map(|short| (format!("-{short}"), help));
                long.into_iter().chain(short)
            })
            .collect()
    }

    fn values(&self, arg: &Arg, typed: &str, known: Known<'_>) -> Answer {
        let Known { names, live } = known;
        let id = arg.get_id().as_str();
        let what =
            if REVISIONS.contains(&id) { Some(LiveNames::Revisions) } else { (id == TASK).then_some(LiveNames::Tasks) };
        if let Some(what) = what {
            let services = self.positionals.iter().map(|word| (*word).to_owned()).collect();
            let (file, environment) = (self.file.clone(), self.environment.clone());
            return Answer::of(typed, live(&LiveQuestion { what, file, environment, services }));
        }
        let words = |words: Vec<String>| words.into_iter().map(|word| (word, String::new()));
        match id {
            SERVICES => {
                let services = words(names(self.file.as_deref()).services);
                let mut services: Vec<_> = services.collect();
                services.retain(|(service, _)| !self.positionals.contains(&service.as_str()));
                return Answer::of(typed, services);
            }
            ENVIRONMENT => return Answer::of(typed, words(names(self.file.as_deref()).environments)),
            FILE => {
                let toml = Candidate { value: "toml".to_owned(), description: String::new() };
                return Answer { candidates: vec![toml], directive: Directive::FilesEnding };
            }
            _ => {}
        }
        let possible = arg.get_possible_values();
        if !possible.is_empty() && takes_value(arg) {
            let shown = possible.iter().filter(|value| !value.is_hide_set());
            return Answer::of(typed, shown.map(|value| (value.get_name().to_owned(), text(value.get_help()))));
        }
        match arg.get_value_hint() {
            ValueHint::FilePath | ValueHint::AnyPath => Answer::nothing(Directive::Files),
            ValueHint::DirPath => Answer::nothing(Directive::Folders),
            _ => Answer::nothing(Directive::Only),
        }
    }
}

fn global_values(flag: &GlobalFlag, typed: &str) -> Answer {
    match flag.field {
        Field::Config => Answer::nothing(Directive::Folders),
        Field::LogLevel => {
            let levels = ["debug", "info", "warn", "error", "fatal"];
            Answer::of(typed, levels.map(|level| (level.to_owned(), String::new())))
        }
        Field::TlsCaCert | Field::TlsCert | Field::TlsKey => Answer::nothing(Directive::Files),
        Field::Context | Field::Debug | Field::Host | Field::Tls | Field::TlsVerify => Answer::nothing(Directive::Only),
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn is_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;

    fn answer(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(|word| if word == "''" { "" } else { word }.to_owned()).collect();
        let names = |file: Option<&Path>| match file {
            None => Names {
                environments: vec!["production".to_owned(), "sandbox".to_owned()],
                services: vec!["api".to_owned(), "web".to_owned()],
            },
            Some(file) => Names { environments: Vec::new(), services: vec![file.display().to_string()] },
        };
        let running = |question: &LiveQuestion| {
            let LiveQuestion { what, file, environment, services } = question;
            assert_eq!(*file, None);
            let of = format!("{}-{}", environment.as_deref().unwrap_or("none"), services.join("+"));
            match what {
                LiveNames::Revisions => vec![("42".to_owned(), of)],
                LiveNames::Tasks => vec![("0c3b1c5e".to_owned(), of)],
            }
        };
        let known = Known { names: &names, live: &running };
        complete(&args::sketch("docker ecs-ship"), &words, known).text(Descriptions::Hidden).replace('\n', " ")
    }

    #[test]
    fn every_place_has_its_candidates() {
        for (line, expected) in [
            ("de", "deploy :4 "),
            ("comp", ":4 "),
            ("nonsense ''", ":4 "),
            ("sandbox ''", "up down status :4 "),
            ("deploy ''", "api web :4 "),
            ("deploy api ''", "web :4 "),
            ("deploy w", "web :4 "),
            ("deploy -- ''", "api web :4 "),
            ("deploy --file x.toml ''", "x.toml :4 "),
            ("deploy --file=x.toml ''", "x.toml :4 "),
            ("deploy -f x.toml ''", "x.toml :4 "),
            ("deploy --environment ''", "production sandbox :4 "),
            ("deploy --environment=s", "sandbox :4 "),
            ("deploy -e p", "production :4 "),
            ("deploy -e production ''", "api web :4 "),
            ("deploy --progress ''", "auto tty plain json quiet :4 "),
            ("deploy --progress=t", "tty :4 "),
            ("deploy --file ''", "toml :8 "),
            ("deploy --file=", "toml :8 "),
            ("deploy --record ''", ":0 "),
            ("deploy --help ''", ":4 "),
            ("deploy --envi", "--environment :4 "),
            ("deploy --environment x --envi", ":4 "),
            ("deploy --nonsense=x", ":4 "),
            ("install --bin ''", ":16 "),
            ("rollback api --to ''", "42 :4 "),
            ("rollback --to 5", ":4 "),
            ("logs --revision=", "42 :4 "),
            ("logs -e production --task ''", "0c3b1c5e :4 "),
            ("version --format ''", "pretty json :4 "),
            ("version extra", ":4 "),
            ("completion ''", "bash zsh fish powershell :4 "),
            ("--context x de", "deploy :4 "),
            ("--log-level d", "debug :4 "),
            ("--config ''", ":16 "),
            ("--cont", "--context :4 "),
            ("deploy --cont", ":4 "),
        ] {
            assert_eq!(answer(line), expected, "{line}");
        }
    }

    #[test]
    fn flags_are_offered_after_a_dash_only() {
        assert!(!answer("deploy ''").contains('-'));
        let flags = answer("deploy -");
        assert!(flags.contains("--yes -y "), "{flags}");
        assert!(flags.contains("--help -h "), "{flags}");
    }

    #[test]
    fn a_description_stays_on_its_line() {
        let candidates = [("a".to_owned(), "one\ttwo\nthree".to_owned()), ("b".to_owned(), String::new())];
        let answer = Answer::of("", candidates);
        assert_eq!(answer.text(Descriptions::Shown), "a\tone two\nb\n:4\n");
        assert_eq!(answer.text(Descriptions::Hidden), "a\nb\n:4\n");
    }
}
