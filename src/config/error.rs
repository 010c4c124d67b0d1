//! What is wrong with `ship.toml`, where, and what to write instead; and how it is drawn.
//!
//! A [`ConfigError`] is one mistake. All of a file are collected and drawn in one report by [`render`].

use std::{fmt, ops::Range, path::PathBuf};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity, SourceCode};

use super::{secrets::masked, spec::NoGit};
use crate::image::ReferenceError;

/// One mistake and where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Boxed, because the widest one is many times as wide as most results.
    pub mistake: Box<Mistake>,
    pub place: Place,
}

/// Something that stops nothing and that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    pub doubt: Doubt,
    pub place: Place,
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Bytes of `ship.toml`.
    File(Range<usize>),
    /// `--environment`, or the service names behind a verb.
    Flag(&'static str),
    /// An environment variable, `ECS_SHIP_REGION`.
    Variable(&'static str),
    /// It is missing altogether.
    Nowhere,
}

/// What is wrong. Fields hold values; the sentences are in [`fmt::Display`], [`Mistake::label`] and
/// [`Mistake::help`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    #[error("no ship.toml was found")]
    NoFile { looked: Vec<PathBuf> },
    #[error("`{}` does not exist", path.display())]
    FileMissing { path: PathBuf },
    #[error("the file is not UTF-8 text; line {line} is the first that is not")]
    NotText { line: usize },
    #[error("{message}")]
    Syntax { message: String, write: Option<String> },
    #[error("the file does not say which format it is written in")]
    NoFormat,
    #[error(
        "this file is written in format {written}, and docker-ecs-ship {} reads format {}: a newer version is needed",
        env!("CARGO_PKG_VERSION"),
        super::file::FORMAT
    )]
    NewerFormat { written: i64 },
    #[error("there is no format {written}")]
    UnknownFormat { written: i64 },
    #[error("unknown key `{key}` {}", in_table(table))]
    UnknownKey {
        key: String,
        table: String,
        nearest: Option<String>,
        belongs: Option<String>,
        known: Vec<&'static str>,
    },
    #[error("`{key}` stands directly in [{section}], which holds one table for each {}", singular(section))]
    Nameless { section: String, key: String },
    #[error("`{key}` must be {expected}, and this is {found}")]
    WrongType { key: String, table: String, expected: &'static str, found: &'static str, write: String },
    #[error("`{key}` cannot be the name of {} {}", article(singular(section)), singular(section))]
    BadName { section: String, key: String, write: String },
    #[error("no services are written")]
    NoServices,
    #[error("`{key}` is missing in [{table}]")]
    Missing { key: &'static str, table: String, example: &'static str },
    #[error("service `{service}` has no image")]
    NoImage { service: String, known: Vec<String> },
    #[error("there is no image `{image}`")]
    UnknownImage { image: String, nearest: Option<String>, known: Vec<String> },
    #[error("there is no {kind} `{key}` to override")]
    OverrideOfUnknown { kind: &'static str, key: String, nearest: Option<String>, known: Vec<String> },
    #[error("there is no environment `{name}`")]
    UnknownEnvironment { name: String, nearest: Option<String>, known: Vec<String> },
    #[error("which environment? There are {}", list(known))]
    ChooseEnvironment { known: Vec<String> },
    #[error("there is no service `{name}`")]
    UnknownService { name: String, nearest: Option<String>, known: Vec<String> },
    #[error("`${{{variable}}}` is not set")]
    Unset { variable: String, why: Unset },
    #[error("there is no variable `${{{variable}}}`")]
    UnknownVariable { variable: String, nearest: Option<String> },
    #[error("`{text}` is not a variable")]
    BrokenVariable { text: String, write: String },
    #[error("`${{{variable}}}` refers to itself: {}", chain.join(" → "))]
    Circle { variable: String, chain: Vec<String> },
    #[error("`{key}` is empty")]
    Empty { key: String, example: String },
    #[error("`{written}` is not the name of an ECR repository")]
    BadRepository { written: String, why: BadRepository },
    #[error("`{written}` is not a platform")]
    BadPlatform { written: String, write: String },
    #[error("`{written}` is not an AWS account id")]
    BadAccount { written: String },
    #[error("`{written}` is not an AWS region")]
    BadRegion { written: String, write: String },
    #[error("`{written}` cannot be the name of an ECS {kind}")]
    BadEcsName { kind: &'static str, written: String },
    #[error("`{written}` cannot be the name of a container")]
    BadContainer { written: String },
    #[error("`{written}` is not a source of a task definition")]
    BadTaskDefinition { written: String },
    #[error("there is no builder `{written}`")]
    BadBuilder { written: String, nearest: Option<&'static str> },
    #[error("`{written}` is nothing that can be done about a failed rollout")]
    BadOnFailure { written: String, nearest: Option<&'static str> },
    /// A word of a short list.
    #[error("`{key}` cannot be `{written}`")]
    BadWord { key: &'static str, written: String, words: &'static [&'static str] },
    #[error("{problem}")]
    BadTag { problem: ReferenceError },
    #[error("`{written}` is not a duration")]
    BadDuration { written: String, write: String },
    #[error("`{key}` is {written}, and it must be {least} to {most}")]
    OutOfRange { key: &'static str, written: String, least: String, most: String, source_of_limits: &'static str },
    #[error("`no_progress` ({no_progress}) is longer than `total` ({total})")]
    CrossedTimeouts { no_progress: String, total: String },
    #[error("`{written}` is not the path of a health check")]
    BadHealthCheckPath { written: String },
    #[error("`{written}` is not an amount of {key}")]
    BadAmount { key: &'static str, written: String },
}

/// Why a variable has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unset {
    /// Not in the environment of the process.
    Environment,
    NoGit(NoGit),
    DetachedHead,
    NoTag,
    /// No environment is chosen, because the file has none.
    NoEnvironment,
    /// The environment table does not say it.
    NotInEnvironment,
    /// The table does not have this key, and the key has no default that is known here.
    NotInTable {
        table: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRepository {
    /// With the name alone.
    Registry {
        repository: String,
    },
    Tag {
        repository: String,
    },
    UpperCase {
        repository: String,
    },
    Letters,
    Length,
}

/// What is doubtful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    #[error("no service uses image `{image}`")]
    UnusedImage { image: String },
    #[error("only the first of `tags` is pushed")]
    FurtherTags { count: usize },
    #[error("tag `{tag}` is the same for every build")]
    FixedTag { tag: String },
    #[error("tag `{tag}` names a commit, but the work tree has changes that are not in it")]
    DirtyTag { tag: String },
    #[error("`{key}` looks like a secret, and its value stands in the file")]
    LooksSecret { key: String },
}

impl Mistake {
    /// A stable name for tools.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoFile { .. } => "config::no_file",
            Self::FileMissing { .. } => "config::file_missing",
            Self::NotText { .. } => "config::not_text",
            Self::Syntax { .. } => "config::syntax",
            Self::NoFormat => "config::no_format",
            Self::NewerFormat { .. } => "config::newer_format",
            Self::UnknownFormat { .. } => "config::unknown_format",
            Self::UnknownKey { .. } => "config::unknown_key",
            Self::Nameless { .. } => "config::nameless",
            Self::WrongType { .. } => "config::wrong_type",
            Self::BadName { .. } => "config::bad_name",
            Self::NoServices => "config::no_services",
            Self::Missing { .. } => "config::missing_key",
            Self::NoImage { .. } => "config::no_image",
            Self::UnknownImage { .. } => "config::unknown_image",
            Self::OverrideOfUnknown { .. } => "config::override_of_unknown",
            Self::UnknownEnvironment { .. } => "config::unknown_environment",
            Self::ChooseEnvironment { .. } => "config::choose_environment",
            Self::UnknownService { .. } => "config::unknown_service",
            Self::Unset { .. } => "config::unset_variable",
            Self::UnknownVariable { .. } => "config::unknown_variable",
            Self::BrokenVariable { .. } => "config::broken_variable",
            Self::Circle { .. } => "config::circle",
            Self::Empty { .. } => "config::empty",
            Self::BadRepository { .. } => "config::bad_repository",
            Self::BadPlatform { .. } => "config::bad_platform",
            Self::BadAccount { .. } => "config::bad_account",
            Self::BadRegion { .. } => "config::bad_region",
            Self::BadEcsName { .. } => "config::bad_ecs_name",
            Self::BadContainer { .. } => "config::bad_container",
            Self::BadTaskDefinition { .. } => "config::bad_task_definition",
            Self::BadBuilder { .. } => "config::bad_builder",
            Self::BadOnFailure { .. } => "config::bad_on_failure",
            Self::BadWord { .. } => "config::bad_word",
            Self::BadTag { .. } => "config::bad_tag",
            Self::BadDuration { .. } => "config::bad_duration",
            Self::OutOfRange { .. } => "config::out_of_range",
            Self::CrossedTimeouts { .. } => "config::crossed_timeouts",
            Self::BadHealthCheckPath { .. } => "config::bad_health_check_path",
            Self::BadAmount { .. } => "config::bad_amount",
        }
    }

    /// The few words drawn under the place.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey { nearest: None, .. } => "not known here".to_owned(),
            Self::UnknownKey { nearest: Some(nearest), .. }
            | Self::UnknownImage { nearest: Some(nearest), .. }
            | Self::OverrideOfUnknown { nearest: Some(nearest), .. }
            | Self::UnknownEnvironment { nearest: Some(nearest), .. }
            | Self::UnknownService { nearest: Some(nearest), .. }
            | Self::UnknownVariable { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::BadBuilder { nearest: Some(nearest), .. } | Self::BadOnFailure { nearest: Some(nearest), .. } => {
                format!("did you mean `{nearest}`?")
            }
            Self::BadWord { written, words, .. } => match nearest(written, words.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => NOT_KNOWN.to_owned(),
            },
            Self::UnknownImage { .. }
            | Self::OverrideOfUnknown { .. }
            | Self::UnknownEnvironment { .. }
            | Self::UnknownService { .. }
            | Self::UnknownVariable { .. }
            | Self::BadBuilder { .. }
            | Self::BadOnFailure { .. } => NOT_KNOWN.to_owned(),
            Self::WrongType { expected, .. } => format!("expected {expected}"),
            Self::Missing { key, .. } => format!("`{key}` belongs into this table"),
            Self::NoImage { .. } => "which image?".to_owned(),
            Self::Unset { why: Unset::Environment, .. } => "not in the environment".to_owned(),
            Self::Unset { why: Unset::NoGit(reason), .. } => reason.to_string(),
            Self::Unset { why: Unset::DetachedHead, .. } => "HEAD is on no branch".to_owned(),
            Self::Unset { why: Unset::NoTag, .. } => "no tag points at this commit".to_owned(),
            Self::Unset { why: Unset::NoEnvironment, .. } => "the file has no environments".to_owned(),
            Self::Unset { why: Unset::NotInEnvironment, .. } => "the environment does not say it".to_owned(),
            Self::Unset { why: Unset::NotInTable { table }, .. } => format!("not written in [{table}]"),
            Self::NoFile { .. }
            | Self::FileMissing { .. }
            | Self::NotText { .. }
            | Self::NoFormat
            | Self::NoServices
            | Self::ChooseEnvironment { .. }
            | Self::Syntax { .. }
            | Self::NewerFormat { .. }
            | Self::UnknownFormat { .. }
            | Self::Nameless { .. }
            | Self::BadName { .. }
            | Self::BrokenVariable { .. }
            | Self::Circle { .. }
            | Self::Empty { .. }
            | Self::BadRepository { .. }
            | Self::BadPlatform { .. }
            | Self::BadAccount { .. }
            | Self::BadRegion { .. }
            | Self::BadEcsName { .. }
            | Self::BadContainer { .. }
            | Self::BadTaskDefinition { .. }
            | Self::BadTag { .. }
            | Self::BadDuration { .. }
            | Self::OutOfRange { .. }
            | Self::CrossedTimeouts { .. }
            | Self::BadHealthCheckPath { .. }
            | Self::BadAmount { .. } => return None,
        })
    }

    /// What to do, or to write instead.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one sentence for each mistake, side by side")]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoFile { looked } => {
                let mut help = "looked in this folder and in those above it:".to_owned();
                for path in looked {
                    help.push_str("\n  ");
                    help.push_str(&path.display().to_string());
                }
                help.push_str("\nname another one with --file, or write the smallest one:\n");
                help.push_str(SMALLEST);
                help
            }
            Self::FileMissing { .. } => "--file (or ECS_SHIP_FILE) names the file itself, not its folder".to_owned(),
            Self::NotText { .. } => "save the file as UTF-8".to_owned(),
            Self::Syntax { write, .. } => return write.clone(),
            Self::NoFormat => "write `format = 1` as the first line: it lets later versions read this file as \
                               it is meant today"
                .to_owned(),
            Self::NewerFormat { .. } => "update docker-ecs-ship; the rest of the file was not looked at".to_owned(),
            Self::UnknownFormat { .. } => "write `format = 1`".to_owned(),
            Self::UnknownKey { belongs: Some(belongs), .. } => belongs.clone(),
            // The label says it.
            Self::UnknownKey { nearest: Some(_), .. } => return None,
            Self::UnknownKey { known, table, .. } => {
                format!("keys {}: {}", in_table(table), known.join(", "))
            }
            Self::Nameless { section, key } if section == "environments" => {
                format!("name the environment: write `[environments.production]` above `{key}`")
            }
            Self::Nameless { section, key } => {
                format!("name the {}: write `[{section}.api]` above `{key}`", singular(section))
            }
            Self::WrongType { write, .. } | Self::BadName { write, .. } | Self::BadRegion { write, .. } => {
                format!("write `{write}`")
            }
            Self::NoServices => format!("the smallest file that ships a service:\n{SMALLEST}"),
            Self::Missing { key, example, .. } => format!("write `{key} = {example}`"),
            Self::NoImage { service, known } => match known.as_slice() {
                [] => format!("write an `[images.{service}]` table with its `repository`"),
                [only] => format!("write `image = \"{only}\"`, or an `[images.{service}]` table"),
                _ => format!("write `image = …` with one of {}, or an `[images.{service}]` table", list(known)),
            },
            Self::UnknownImage { known, .. } => known_or(known, "images", "write an `[images.…]` table"),
            Self::OverrideOfUnknown { kind, known, .. } => known_or(
                known,
                &format!("{kind}s"),
                &format!("an environment overrides what a `[{kind}s.…]` table says; write that first"),
            ),
            Self::UnknownEnvironment { known, .. } => {
                known_or(known, "environments", "the file has none: write an `[environments.…]` table")
            }
            Self::ChooseEnvironment { .. } => {
                "name it with --environment, ECS_SHIP_ENVIRONMENT, or `default_environment` in the file".to_owned()
            }
            Self::UnknownService { known, .. } => known_or(known, "services", "write a `[services.…]` table"),
            Self::Unset { variable, why } => unset_help(variable, why),
            Self::UnknownVariable { .. } => {
                "there are git.commit, git.branch, git.tag, build, environment, account, region, env.NAME and \
                 the keys of the table itself"
                    .to_owned()
            }
            Self::BrokenVariable { write, .. } => write.clone(),
            Self::Circle { .. } => "write one of them out".to_owned(),
            Self::Empty { key, example } if matches!(key.as_str(), "repository" | "cluster") => {
                format!("write `{key} = {example}`")
            }
            Self::Empty { key, example } => format!("write `{key} = {example}`, or leave the key out"),
            Self::BadRepository { why, .. } => repository_help(why),
            Self::BadPlatform { write, .. } => {
                format!("write `platform = \"{write}\"`, in docker's words")
            }
            Self::BadAccount { .. } => "an account id has 12 digits: `account = \"111111111111\"`".to_owned(),
            Self::BadEcsName { kind, .. } => {
                let arn = if *kind == "cluster" { "; the ARN of the cluster will do too" } else { "" };
                format!("ECS takes up to 255 letters, digits, `-` and `_`{arn}")
            }
            Self::BadContainer { .. } => "ECS takes up to 255 letters, digits, `-` and `_`".to_owned(),
            Self::BadTaskDefinition { .. } => {
                "write \"live\" to clone what the service runs now, or the path of a JSON file such as \
                 \"deploy/api.json\", as `aws ecs register-task-definition --cli-input-json` takes it"
                    .to_owned()
            }
            Self::BadOnFailure { .. } => {
                "write `\"rollback\"` (the default), `\"leave\"`, or `\"wait\"` to let ECS's circuit breaker decide"
                    .to_owned()
            }
            Self::BadWord { words, .. } => {
                let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                format!("write {}", words.join(" or "))
            }
            Self::BadBuilder { .. } => {
                "builders: auto (the engine's own choice), engine (its BuildKit), classic (its builder of before)"
                    .to_owned()
            }
            Self::BadTag { .. } => {
                "leave `tags` out to get a tag from the commit, or write one such as \"v1-${build}\"".to_owned()
            }
            Self::BadDuration { write, .. } => {
                format!("write `\"{write}\"`: hours, minutes and seconds as in \"1h30m\", \"5m\" or \"90s\"")
            }
            Self::OutOfRange { source_of_limits, .. } => format!("these are the limits of {source_of_limits}"),
            Self::CrossedTimeouts { .. } => {
                "the total ends first, so no_progress could never be reached: make it the shorter one".to_owned()
            }
            Self::BadHealthCheckPath { .. } => "a path starts with `/`: `health_check_path = \"/health\"`".to_owned(),
            Self::BadAmount { key: "cpu", .. } => {
                "CPU units in quotes: `cpu = \"256\"` is a quarter of a core".to_owned()
            }
            Self::BadAmount { key, .. } => format!("MiB in quotes: `{key} = \"512\"`"),
        })
    }
}

impl Doubt {
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnusedImage { .. } => "config::unused_image",
            Self::FurtherTags { .. } => "config::further_tags",
            Self::FixedTag { .. } => "config::fixed_tag",
            Self::DirtyTag { .. } => "config::dirty_tag",
            Self::LooksSecret { .. } => "config::looks_secret",
        }
    }

    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::UnusedImage { image } => {
                format!("take the table out, or name it in a service: `image = \"{image}\"`")
            }
            Self::FurtherTags { count } => {
                format!("this version gives an image one tag; of these {count} the first")
            }
            Self::FixedTag { .. } => {
                "the tag of an older build is lost with each push, and a rollback by tag finds the wrong \
                                      image; write something unique into it, such as \"${build}\""
                    .to_owned()
            }
            Self::DirtyTag { .. } => {
                "commit first, or write \"${build}\", which carries the time as long as there are changes".to_owned()
            }
            Self::LooksSecret { key } => format!(
                "everybody who can read the repository can read it; take it from the environment of the deploy: \
                 `{key} = \"${{env.{key}}}\"`"
            ),
        }
    }
}

/// The label of a name without a neighbour.
const NOT_KNOWN: &str = "not known";

/// The smallest file that ships a service which runs already.
const SMALLEST: &str = "  format = 1

  [images.api]
  repository = \"jobs/api\"

  [services.api]
  cluster = \"jobs\"

  [environments.production]
  region = \"eu-west-1\"";

fn unset_help(variable: &str, why: &Unset) -> String {
    let or_default = format!("or write `${{{variable}:-…}}` with what to take instead");
    match why {
        Unset::Environment => {
            let name = variable.strip_prefix("env.").unwrap_or(variable);
            format!("set {name} before you start, {or_default}")
        }
        Unset::NoGit(_) => or_default.replacen("or w", "w", 1),
        Unset::DetachedHead => format!(
            "CI checkouts are often like that, but the CI knows the branch: Jenkins has ${{env.BRANCH_NAME}}, GitLab \
             ${{env.CI_COMMIT_REF_NAME}}, GitHub ${{env.GITHUB_REF_NAME}}; {or_default}"
        ),
        Unset::NoTag => format!("tag the commit, {or_default}"),
        Unset::NoEnvironment => format!("write an `[environments.…]` table, {or_default}"),
        Unset::NotInEnvironment => format!("write `{variable} = …` into the environment's table, {or_default}"),
        Unset::NotInTable { table } => format!("write `{variable} = …` into [{table}], {or_default}"),
    }
}

fn repository_help(why: &BadRepository) -> String {
    match why {
        BadRepository::Registry { repository } => format!(
            "account and region come from the environment, so that one file serves them all: write `repository = \
             \"{repository}\"`"
        ),
        BadRepository::Tag { repository } => {
            format!("write `repository = \"{repository}\"`; the tag comes from `tags` or from the commit")
        }
        BadRepository::UpperCase { repository } => {
            format!("ECR takes lower case only: write `repository = \"{repository}\"`")
        }
        BadRepository::Letters => {
            "ECR takes lower-case letters and digits, single `.`, `_` and `-` between them, and `/` \
                                   between the parts: `repository = \"jobs/api\"`"
                .to_owned()
        }
        BadRepository::Length => "ECR takes 2 to 256 letters".to_owned(),
    }
}

fn in_table(table: &str) -> String {
    if table.is_empty() { "at the top of the file".to_owned() } else { format!("in [{table}]") }
}

fn singular(section: &str) -> &str {
    section.strip_suffix('s').unwrap_or(section)
}

pub(super) fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn known_or(known: &[String], what: &str, otherwise: &str) -> String {
    if known.is_empty() { otherwise.to_owned() } else { format!("known {what}: {}", list(known)) }
}

/// The candidate that somebody who wrote `written` most probably meant.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = snake(written);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, &snake(candidate)), candidate))
        // A third of the letters may be wrong; short words get one.
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `healthCheckPath`, `health-check-path` and `health_check_path` are one word.
fn snake(text: &str) -> String {
    let mut snake = String::with_capacity(text.len() + 4);
    let mut after_lower = false;
    for letter in text.chars() {
        if letter.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = letter.is_lowercase();
        if letter == '-' {
            snake.push('_');
        } else {
            snake.extend(letter.to_lowercase());
        }
    }
    snake
}

impl ConfigError {
    #[must_use]
    pub fn new(mistake: Mistake, place: Place) -> Self {
        Self { mistake: Box::new(mistake), place }
    }

    /// Whether the file is to be changed, and not the command line.
    fn is_in_the_file(&self) -> bool {
        match &self.place {
            Place::File(_) => true,
            Place::Flag(_) | Place::Variable(_) => false,
            Place::Nowhere => {
                !matches!(*self.mistake, Mistake::ChooseEnvironment { .. } | Mistake::UnknownService { .. })
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(formatter, &self.place)?;
        self.mistake.fmt(formatter)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(formatter, &self.place)?;
        self.doubt.fmt(formatter)
    }
}

/// A place outside the file cannot be drawn, so it is named.
fn write_at(formatter: &mut fmt::Formatter<'_>, place: &Place) -> fmt::Result {
    match place {
        Place::Flag(name) | Place::Variable(name) => write!(formatter, "{name}: "),
        Place::File(_) | Place::Nowhere => Ok(()),
    }
}

impl Place {
    /// For sorting: what was typed first, then the file from its top.
    pub(super) fn order(&self) -> Option<usize> {
        match self {
            Self::File(span) => Some(span.start),
            Self::Flag(_) | Self::Variable(_) | Self::Nowhere => None,
        }
    }

    /// Line and column in the file, both from 1, for tools.
    #[must_use]
    pub fn line_and_column(&self, text: &str) -> Option<(usize, usize)> {
        match self {
            Self::File(span) => {
                let before = text.get(..span.start)?;
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
            }
            Self::Flag(_) | Self::Variable(_) | Self::Nowhere => None,
        }
    }
}

/// All mistakes of one file, with the file, ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The path as the user would write it.
    pub name: String,
    pub text: String,
    pub errors: Vec<ConfigError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unreadable = |error: &ConfigError| {
            matches!(*error.mistake, Mistake::NoFile { .. } | Mistake::FileMissing { .. } | Mistake::NotText { .. })
        };
        match self.errors.iter().filter(|error| error.is_in_the_file()).count() {
            _ if self.errors.iter().any(unreadable) => write!(formatter, "{} cannot be read", self.name),
            // What was typed does not fit it.
            0 => write!(formatter, "{} cannot be used like this", self.name),
            1 => write!(formatter, "{} has a mistake", self.name),
            count => write!(formatter, "{} has {count} mistakes", self.name),
        }
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    #[must_use]
    pub fn render(&self, look: Look) -> String {
        render(&self.errors, &self.name, &self.text, look)
    }
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub colour: bool,
    pub unicode: bool,
    /// Columns.
    pub width: usize,
}

/// Draws all mistakes, each in its place, in the order of the file.
#[must_use]
pub fn render(errors: &[ConfigError], name: &str, text: &str, look: Look) -> String {
    let text = masked(text);
    let drawings = errors.iter().map(|error| Drawing {
        severity: Severity::Error,
        message: error.to_string(),
        label: error.mistake.label(),
        help: help_of(error),
        span: span_of(&error.place),
        source: NamedSource::new(name, text.clone()),
    });
    draw(drawings, look)
}

/// Draws warnings the same way.
#[must_use]
pub fn render_warnings(warnings: &[ConfigWarning], name: &str, text: &str, look: Look) -> String {
    let text = masked(text);
    let drawings = warnings.iter().map(|warning| Drawing {
        severity: Severity::Warning,
        message: warning.to_string(),
        label: None,
        help: Some(warning.doubt.help()),
        span: span_of(&warning.place),
        source: NamedSource::new(name, text.clone()),
    });
    draw(drawings, look)
}

/// Where nothing can be underlined, the label would be lost.
fn help_of(error: &ConfigError) -> Option<String> {
    let label = error.mistake.label().filter(|label| span_of(&error.place).is_none() && label != NOT_KNOWN);
    match (label, error.mistake.help()) {
        (Some(label), Some(help)) => Some(format!("{label} {help}")),
        (label, help) => label.or(help),
    }
}

fn span_of(place: &Place) -> Option<Range<usize>> {
    match place {
        Place::File(span) => Some(span.clone()),
        Place::Flag(_) | Place::Variable(_) | Place::Nowhere => None,
    }
}

fn draw(drawings: impl Iterator<Item = Drawing>, look: Look) -> String {
    let mut theme = if look.unicode { GraphicalTheme::unicode() } else { GraphicalTheme::ascii() };
    if !look.colour {
        theme.styles = miette::ThemeStyles::none();
    }
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(look.width)
        .with_links(false)
        .without_syntax_highlighting();
    let mut report = String::new();
    for drawing in drawings {
        if !report.is_empty() {
            report.push('\n');
        }
        handler.render_report(&mut report, &drawing).expect("a String takes everything, and spans lie in the text");
    }
    report
}

/// A mistake or a warning as miette wants it.
#[derive(Debug)]
struct Drawing {
    severity: Severity,
    message: String,
    label: Option<String>,
    help: Option<String>,
    span: Option<Range<usize>>,
    source: NamedSource<String>,
}

impl fmt::Display for Drawing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Drawing {}

impl Diagnostic for Drawing {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.span.as_ref().map(|_| &self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.span.clone()?;
        let label = LabeledSpan::new(self.label.clone(), span.start, span.len());
        Some(Box::new(std::iter::once(label)))
    }
}
