//! What is wrong with `ship.toml`, where, and what to write instead; and how it is drawn.
//!
//! A [`ConfigError`] is one mistake. All of a file are collected and drawn in one report by [`render`].

use std::{fmt, io, ops::Range, path::PathBuf};

pub use self::draw::{Drawn, Look, render, render_drawn, render_warnings};
use super::{settings, sources::Sources, spec::NoGit};
use crate::image::ReferenceError;
pub(super) use crate::prose::{nearest, snake};

mod advice;
mod cut;
mod draw;

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
    /// Bytes of `ship.toml`, or of another text in its [`Sources`].
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
    /// Of `settings.toml`.
    #[error(transparent)]
    BadSetting(settings::Choice),
    #[error("no ship.toml was found")]
    NoFile { looked: Vec<PathBuf> },
    #[error("`{}` does not exist", path.display())]
    FileMissing { path: PathBuf },
    #[error("`{path}` {}", cannot_be_read(*why))]
    ExtendsUnread { path: String, why: io::ErrorKind },
    #[error("`{path}` is not UTF-8 text; line {line} is the first that is not")]
    ExtendsNotText { path: String, line: usize },
    #[error("{}", circle(chain))]
    ExtendsCircle { chain: Vec<String> },
    #[error("an environment cannot be promoted from itself")]
    PromoteFromItself { name: String },
    #[error("environments are promoted in a circle: {}", chain.join(" → "))]
    PromoteCircle { chain: Vec<String> },
    #[error("`{from}` is the sandbox, and `{to}` is not")]
    PromoteFromSandbox { from: String, to: String },
    #[error("the file is not UTF-8 text; line {line} is the first that is not")]
    NotText { line: usize },
    #[error("the file is UTF-16 text")]
    Utf16,
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
    /// `[environments] production = "eu-west-1"`.
    #[error("`{key}` must be a table of its own, and this is {found}")]
    NamedText { section: String, key: String, found: &'static str, write: String },
    #[error("`{}` holds {}", path.escape_debug(), unseen_name(*letter))]
    ControlInPath { path: String, letter: char },
    #[error("`{key}` must be {expected}, and this is {found}")]
    WrongType { key: String, table: String, expected: &'static str, found: &'static str, write: String },
    #[error("`{key}` cannot be the name of {} {}", article(singular(section)), singular(section))]
    BadName { section: String, key: String, write: String },
    #[error("the file has no services: there is no `[services.…]` table")]
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
    #[error("`{written}` is not the ARN of a role")]
    BadRole { written: String, write: String },
    #[error("the role belongs to account {of_role}, and this environment is for {account}")]
    RoleOfOtherAccount { of_role: String, account: String },
    #[error("secret `{name}` {} where it comes from", match found { Found::None => "does not say", Found::Both => "says twice" })]
    SecretSource { name: String, found: Found },
    #[error("`{written}` is not an SSH agent")]
    BadSsh { written: String },
    #[error("`ssh` names `{id}` twice")]
    SshTwice { id: String },
    #[error("`env` of secret `{name}` is not the name of a variable")]
    SecretVariable { name: String, write: Option<String> },
    #[error("`{key}` is one word with blanks in it, which no program is called")]
    CommandInOneWord { key: &'static str, write: String },
    #[error("`{written}` is not the name of an image")]
    BadCacheFrom { written: String, problem: ReferenceError },
    #[error("`{written}` is no place for a cache")]
    BadCacheTo { written: String, why: BadCacheTo },
    #[error("{}", match builder { CacheLess::Engine => "the engine's own BuildKit writes a cache into the image and nowhere else", CacheLess::Classic => "the classic builder writes its cache nowhere" })]
    CacheToOfBuilder { builder: CacheLess },
    #[error("a check {}", match found { Found::None => "does not say what it does", Found::Both => "does one thing, and this one names two" })]
    CheckWork { found: Found },
    #[error("`{written}` cannot be the name of an environment variable")]
    BadVariableName { written: String },
    #[error("`{written}` is no place that ECS reads a secret from")]
    BadValueFrom { key: String, written: String, write: Option<String> },
    #[error("`{name}` is given as plain text in `environment` and as a secret in `ssm_secrets`")]
    PlainAndSecret { name: String },
    #[error("`{path}` {}", cannot_be_read(*why))]
    EnvironmentFileUnread { path: String, why: io::ErrorKind },
    #[error("`{path}` is not UTF-8 text; line {line} is the first that is not")]
    EnvironmentFileNotText { path: String, line: usize },
    #[error("this line is not `KEY=value`")]
    EnvironmentFileLine { write: String },
    #[error("`{written}` cannot be the name of an ECS {kind}")]
    BadEcsName { kind: &'static str, written: String },
    #[error("`{written}` cannot be the name of a container")]
    BadContainer { written: String },
    #[error("`{written}` is not a source of a task definition")]
    BadTaskDefinition { written: String },
    #[error("there is no builder `{written}`")]
    BadBuilder { written: String, nearest: Option<&'static str> },
    #[error("`on_failure` cannot be `{written}`")]
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

/// How much was said where one of two is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    None,
    Both,
}

/// What is wrong with an entry of `cache_to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadCacheTo {
    /// Its image has no possible name.
    Name(ReferenceError),
    /// A `type` of buildx that is neither `registry` nor `inline`, or none.
    Type(String),
    /// `type=registry` without a `ref`.
    NoRef,
    /// `type=inline` goes to where the image goes.
    RefOfInline,
    /// Something without a `=`.
    Field(String),
}

/// A builder that cannot do what `cache_to` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheLess {
    Engine,
    Classic,
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
    #[error("no service of environment `{environment}` uses image `{image}`")]
    UnusedOverride { image: String, environment: String },
    #[error("`[environments.{environment}.{kind}.{key}]` changes nothing: it is empty")]
    EmptyOverride { kind: &'static str, key: String, environment: String },
    #[error("`{key}` changes nothing in `{environment}`, which builds no image")]
    NotBuilt { key: String, environment: String },
    #[error("tag `{tag}` is the same for every build")]
    FixedTag { tag: String },
    #[error("tag `{tag}` names a commit, but the work tree has changes that are not in it")]
    DirtyTag { tag: String },
    #[error("`{key}` looks like a secret, and its value stands {}", match seen { Seen::InTheFile => "in the file", Seen::InTheTask => "in the task definition", Seen::InTheImage => "in the history of the image" })]
    LooksSecret { key: String, seen: Seen, home: Home },
    #[error("`${{{variable}}}` is not set here")]
    Unset { variable: String, why: Unset },
    #[error("the quotes are part of the value of `{key}`")]
    QuotedValue { key: String },
}

/// Who can see a value that should be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Everybody who can read the repository.
    InTheFile,
    /// Everybody who may describe task definitions: it came from a variable, and goes on as plain text.
    InTheTask,
    /// Everybody who can pull the image.
    InTheImage,
}

/// What the value is for, and so what there is instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    Service,
    Build,
    Sandbox,
}

impl Mistake {
    /// Whether it is a key that should have been called this, or this one in a table where it does not belong.
    pub(super) fn is_about_key(&self, key: &str) -> bool {
        matches!(self, Self::UnknownKey { key: written, nearest, .. } if written == key || nearest.as_deref() == Some(key))
    }

    /// A stable name for tools.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoFile { .. } => "config::no_file",
            Self::FileMissing { .. } => "config::file_missing",
            Self::NotText { .. } | Self::Utf16 => "config::not_text",
            Self::ExtendsUnread { .. } => "config::extends_unread",
            Self::ExtendsNotText { .. } => "config::extends_not_text",
            Self::ExtendsCircle { .. } => "config::extends_circle",
            Self::PromoteFromItself { .. } => "config::promote_from_itself",
            Self::PromoteCircle { .. } => "config::promote_circle",
            Self::PromoteFromSandbox { .. } => "config::promote_from_sandbox",
            Self::BadRole { .. } => "config::bad_role",
            Self::RoleOfOtherAccount { .. } => "config::role_of_other_account",
            Self::SecretSource { .. } => "config::secret_source",
            Self::BadSsh { .. } => "config::bad_ssh",
            Self::SshTwice { .. } => "config::ssh_twice",
            Self::SecretVariable { .. } => "config::secret_variable",
            Self::CommandInOneWord { .. } => "config::command_in_one_word",
            Self::BadCacheFrom { .. } => "config::bad_cache_from",
            Self::BadCacheTo { .. } => "config::bad_cache_to",
            Self::CacheToOfBuilder { .. } => "config::cache_to_of_builder",
            Self::CheckWork { .. } => "config::check_work",
            Self::BadVariableName { .. } => "config::bad_variable_name",
            Self::BadValueFrom { .. } => "config::bad_value_from",
            Self::PlainAndSecret { .. } => "config::plain_and_secret",
            Self::EnvironmentFileUnread { .. } => "config::environment_file_unread",
            Self::EnvironmentFileNotText { .. } => "config::environment_file_not_text",
            Self::EnvironmentFileLine { .. } => "config::environment_file_line",
            Self::Syntax { .. } => "config::syntax",
            Self::NoFormat => "config::no_format",
            Self::NewerFormat { .. } => "config::newer_format",
            Self::UnknownFormat { .. } => "config::unknown_format",
            Self::UnknownKey { .. } => "config::unknown_key",
            Self::Nameless { .. } => "config::nameless",
            Self::NamedText { .. } => "config::named_text",
            Self::ControlInPath { .. } => "config::control_in_path",
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
            Self::BadSetting(_) => "config::bad_setting",
        }
    }
}

impl Doubt {
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnusedImage { .. } => "config::unused_image",
            Self::UnusedOverride { .. } => "config::unused_override",
            Self::EmptyOverride { .. } => "config::empty_override",
            Self::NotBuilt { .. } => "config::not_built",
            Self::FixedTag { .. } => "config::fixed_tag",
            Self::DirtyTag { .. } => "config::dirty_tag",
            Self::LooksSecret { .. } => "config::looks_secret",
            Self::Unset { .. } => "config::unset_variable",
            Self::QuotedValue { .. } => "config::quoted_value",
        }
    }
}

fn circle(chain: &[String]) -> String {
    match chain {
        [first, second] if first == second => format!("`{first}` extends itself"),
        _ => format!("these files extend each other: {}", chain.join(" → ")),
    }
}

fn unseen_name(letter: char) -> &'static str {
    match letter {
        '\t' => "a tab",
        '\n' | '\r' => "a line end",
        _ => "a control character",
    }
}

/// Why a file beside `ship.toml` could not be had.
fn cannot_be_read(why: io::ErrorKind) -> &'static str {
    match why {
        io::ErrorKind::NotFound => "does not exist",
        io::ErrorKind::PermissionDenied => "may not be read by you",
        io::ErrorKind::IsADirectory => "is a folder",
        _ => "cannot be read",
    }
}

fn in_table(table: &str) -> String {
    if table.is_empty() { "at the top of the file".to_owned() } else { format!("in [{table}]") }
}

/// `services` and `environments.production.services` alike hold services.
fn singular(section: &str) -> &str {
    let section = section.rsplit('.').next().unwrap_or(section);
    section.strip_suffix('s').unwrap_or(section)
}

pub(super) fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
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
        self.span().map(|span| span.start)
    }

    #[must_use]
    pub fn span(&self) -> Option<&Range<usize>> {
        match self {
            Self::File(span) => Some(span),
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

/// All mistakes of one file, with the texts they are in, ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    pub sources: Sources,
    pub errors: Vec<ConfigError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unreadable = |error: &ConfigError| {
            matches!(
                *error.mistake,
                Mistake::NoFile { .. } | Mistake::FileMissing { .. } | Mistake::NotText { .. } | Mistake::Utf16
            )
        };
        match self.errors.iter().filter(|error| error.is_in_the_file()).count() {
            _ if self.errors.iter().any(unreadable) => write!(formatter, "{} cannot be read", self.sources.name()),
            // What was typed does not fit it.
            0 => write!(formatter, "{} cannot be used like this", self.sources.name()),
            1 => write!(formatter, "{} has a mistake", self.sources.name()),
            count => write!(formatter, "{} has {count} mistakes", self.sources.name()),
        }
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    #[must_use]
    pub fn render(&self, look: Look) -> String {
        render(&self.errors, &self.sources, look)
    }
}

/// Line and column of a place in a text, both from 1, for tools.
#[must_use]
pub fn line_and_column(text: &str, at: usize) -> Option<(usize, usize)> {
    let before = text.get(..at)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
}
