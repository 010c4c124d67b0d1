//! What is wrong with `ship.toml`, where, and what to write instead; and how it is drawn.
//!
//! A [`ConfigError`] is one mistake. All of a file are collected and drawn in one report by [`render`].

use std::{collections::BTreeMap, fmt, io, ops::Range, path::PathBuf, sync::Arc};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity, SourceCode};

use super::{
    secrets::masked,
    settings,
    sources::{Source, Sources},
    spec::NoGit,
};
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
    #[error("`{key}` is not supported by docker-ecs-ship {}", env!("CARGO_PKG_VERSION"))]
    Later { key: String, instead: &'static str },
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
    #[error("`{written}` is not the ARN of a role")]
    BadRole { written: String, write: String },
    #[error("the role belongs to account {of_role}, and this environment is for {account}")]
    RoleOfOtherAccount { of_role: String, account: String },
    #[error("secret `{name}` {} where it comes from", match found { Found::None => "does not say", Found::Both => "says twice" })]
    SecretSource { name: String, found: Found },
    #[error("`{written}` is not an SSH agent or key")]
    BadSsh { written: String },
    #[error("`{written}` is not the name of an image")]
    BadCacheFrom { written: String, problem: ReferenceError },
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

/// How much was said where one of two is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    None,
    Both,
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
    /// A stable name for tools.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoFile { .. } => "config::no_file",
            Self::FileMissing { .. } => "config::file_missing",
            Self::NotText { .. } => "config::not_text",
            Self::ExtendsUnread { .. } => "config::extends_unread",
            Self::ExtendsNotText { .. } => "config::extends_not_text",
            Self::ExtendsCircle { .. } => "config::extends_circle",
            Self::Later { .. } => "config::not_supported",
            Self::BadRole { .. } => "config::bad_role",
            Self::RoleOfOtherAccount { .. } => "config::role_of_other_account",
            Self::SecretSource { .. } => "config::secret_source",
            Self::BadSsh { .. } => "config::bad_ssh",
            Self::BadCacheFrom { .. } => "config::bad_cache_from",
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
            Self::Later { .. } => "not supported yet".to_owned(),
            Self::SecretSource { found: Found::None, .. } => "from where?".to_owned(),
            Self::CheckWork { found: Found::None } => "what is to be done?".to_owned(),
            Self::NoFile { .. }
            | Self::FileMissing { .. }
            | Self::NotText { .. }
            | Self::ExtendsUnread { .. }
            | Self::ExtendsNotText { .. }
            | Self::ExtendsCircle { .. }
            | Self::BadRole { .. }
            | Self::RoleOfOtherAccount { .. }
            | Self::SecretSource { .. }
            | Self::BadSsh { .. }
            | Self::BadCacheFrom { .. }
            | Self::CheckWork { .. }
            | Self::BadVariableName { .. }
            | Self::BadValueFrom { .. }
            | Self::PlainAndSecret { .. }
            | Self::EnvironmentFileUnread { .. }
            | Self::EnvironmentFileNotText { .. }
            | Self::EnvironmentFileLine { .. }
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
            | Self::BadSetting(_)
            | Self::BadAmount { .. } => return None,
        })
    }

    /// What to do, or to write instead.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one sentence for each mistake, side by side")]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::BadSetting(choice) => choice.help(),
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
            Self::NotText { .. } | Self::ExtendsNotText { .. } | Self::EnvironmentFileNotText { .. } => {
                "save the file as UTF-8".to_owned()
            }
            Self::ExtendsUnread { why: io::ErrorKind::NotFound, .. }
            | Self::EnvironmentFileUnread { why: io::ErrorKind::NotFound, .. } => {
                "the path is relative to the file it is written in".to_owned()
            }
            Self::ExtendsUnread { .. } | Self::EnvironmentFileUnread { .. } => {
                "it must be a file that you may read".to_owned()
            }
            Self::ExtendsCircle { .. } => "take one of the `extends` out".to_owned(),
            Self::Later { instead: "", .. } => "take the key out, or update docker-ecs-ship".to_owned(),
            Self::Later { instead, .. } => (*instead).to_owned(),
            Self::BadRole { write, .. } => format!("write `role_arn = \"{write}\"`"),
            Self::RoleOfOtherAccount { .. } => {
                "one of the two is wrong: who acts as a role acts in its account".to_owned()
            }
            Self::SecretSource { name, .. } => format!(
                "write `{name} = {{ env = \"…\" }}` for a variable of the environment, or `{name} = {{ file = \"…\" }}`"
            ),
            Self::BadSsh { .. } => {
                "write `\"default\"` for the agent of SSH_AUTH_SOCK, or `\"id=path\"` with the path of a \
                                    key or of an agent's socket"
                    .to_owned()
            }
            Self::BadCacheFrom { problem, .. } => {
                format!("{problem}; write an image and its tag, such as `\"${{repository}}:cache\"`")
            }
            Self::CheckWork { .. } => {
                "write `target = \"test\"` to build a stage, or `run = [\"/app/selftest\"]` to run a \
                                       command in the built image; a second check is a second `[[…checks]]`"
                    .to_owned()
            }
            Self::BadVariableName { .. } => {
                "a name has letters, digits and `_`, and does not begin with a digit".to_owned()
            }
            Self::BadValueFrom { key, write: None, .. } => format!(
                "write the name of a parameter in SSM, `{key} = \"/jobs/db-url\"`, or the whole ARN of a parameter or of a \
                 secret in Secrets Manager; never the secret itself"
            ),
            Self::PlainAndSecret { name } => format!("ECS takes one of them: take `{name}` out of `environment`"),
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
            Self::Nameless { section, key } if section.ends_with(".secrets") => {
                format!(
                    "write `{key} = {{ env = \"…\" }}` for a variable of the environment, or `{key} = {{ file = \"…\" }}`"
                )
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
            Self::BrokenVariable { write, .. }
            | Self::EnvironmentFileLine { write }
            | Self::BadValueFrom { write: Some(write), .. } => write.clone(),
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
            Self::BadTag { problem } if problem.to_string().contains('/') => {
                "a branch with `/` in its name makes no tag: write \"v1-${build}\", or what your CI makes of the branch, such \
                 as GitLab's ${env.CI_COMMIT_REF_SLUG}"
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
            Self::FixedTag { .. } => "config::fixed_tag",
            Self::DirtyTag { .. } => "config::dirty_tag",
            Self::LooksSecret { .. } => "config::looks_secret",
            Self::Unset { .. } => "config::unset_variable",
            Self::QuotedValue { .. } => "config::quoted_value",
        }
    }

    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::UnusedImage { image } => {
                format!("take the table out, or name it in a service: `image = \"{image}\"`")
            }
            Self::FixedTag { .. } => {
                "the tag of an older build is lost with each push, and a rollback by tag finds the wrong \
                                      image; write something unique into it, such as \"${build}\""
                    .to_owned()
            }
            Self::DirtyTag { .. } => {
                "commit first, or write \"${build}\", which carries the time as long as there are changes".to_owned()
            }
            Self::LooksSecret { key, seen, home } => {
                let who = match seen {
                    Seen::InTheFile => "everybody who can read the repository can read it",
                    Seen::InTheTask => "everybody who may describe the task definition can read it",
                    Seen::InTheImage => "everybody who can pull the image can read it",
                };
                let instead = match home {
                    Home::Service => {
                        format!("put it into SSM or Secrets Manager and name it: `ssm_secrets = {{ {key} = \"/jobs/…\" }}`")
                    }
                    Home::Build => format!(
                        "give it to the build as a secret, `secrets = {{ {key} = {{ env = \"{key}\" }} }}`, and read it \
                         with `RUN --mount=type=secret,id={key}`"
                    ),
                    Home::Sandbox => format!("take it from the environment of the deploy: `{key} = \"${{env.{key}}}\"`"),
                };
                format!("{who}; {instead}")
            }
            Self::Unset { variable, why } => unset_help(variable, why),
            Self::QuotedValue { .. } => {
                "in such a file everything behind the `=` is taken as it is, by ECS and docker alike; leave the quotes out"
                    .to_owned()
            }
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

fn circle(chain: &[String]) -> String {
    match chain {
        [first, second] if first == second => format!("`{first}` extends itself"),
        _ => format!("these files extend each other: {}", chain.join(" → ")),
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
            matches!(*error.mistake, Mistake::NoFile { .. } | Mistake::FileMissing { .. } | Mistake::NotText { .. })
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
pub fn render(errors: &[ConfigError], sources: &Sources, look: Look) -> String {
    let mut canvases = Canvases::of(sources);
    // Whoever wrote the secret itself where its name belongs should not see it in a log as well.
    canvases.secret = errors
        .iter()
        .filter(|error| matches!(&*error.mistake, Mistake::BadValueFrom { written, .. } if written.ends_with('…')))
        .filter_map(|error| error.place.span())
        .map(|span| span.start + 1..span.end.saturating_sub(1))
        .collect();
    let drawings = errors.iter().map(|error| Drawing {
        severity: Severity::Error,
        message: error.to_string(),
        label: error.mistake.label(),
        help: help_of(error),
        place: canvases.place(&error.place),
    });
    draw(drawings, look)
}

/// Draws warnings the same way.
#[must_use]
pub fn render_warnings(warnings: &[ConfigWarning], sources: &Sources, look: Look) -> String {
    let mut canvases = Canvases::of(sources);
    let drawings = warnings.iter().map(|warning| Drawing {
        severity: Severity::Warning,
        message: warning.to_string(),
        label: None,
        help: Some(warning.doubt.help()),
        place: canvases.place(&warning.place),
    });
    draw(drawings, look)
}

/// The texts as they are drawn: with stars for what looks secret, made once for each text.
struct Canvases<'a> {
    sources: &'a Sources,
    /// More places of what may be a secret.
    secret: Vec<Range<usize>>,
    made: BTreeMap<usize, Arc<NamedSource<String>>>,
}

impl<'a> Canvases<'a> {
    fn of(sources: &'a Sources) -> Self {
        Self { sources, secret: Vec::new(), made: BTreeMap::new() }
    }

    fn draw(&self, source: &Source) -> String {
        let mut text = masked(&source.text);
        for span in &self.secret {
            if let Some((own, span)) = self.sources.locate(span)
                && own.begin == source.begin
                && text.get(span.clone()).is_some()
            {
                text.replace_range(span.clone(), &"*".repeat(span.len()));
            }
        }
        text
    }

    fn place(&mut self, place: &Place) -> Option<(Range<usize>, Arc<NamedSource<String>>)> {
        let (source, span) = self.sources.locate(&span_of(place)?)?;
        if let Some(made) = self.made.get(&source.begin) {
            return Some((span, Arc::clone(made)));
        }
        let canvas = Arc::new(NamedSource::new(source.name.clone(), self.draw(source)));
        self.made.insert(source.begin, Arc::clone(&canvas));
        Some((span, canvas))
    }
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

/// A mistake in some other file, in words already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    pub message: String,
    pub label: Option<String>,
    pub help: Option<String>,
    pub span: Option<Range<usize>>,
}

/// Draws mistakes of another file the way those of `ship.toml` are.
#[must_use]
pub fn render_drawn(mistakes: impl Iterator<Item = Drawn>, name: &str, text: &str, look: Look) -> String {
    let source = Arc::new(NamedSource::new(name, text.to_owned()));
    let drawings = mistakes.map(|Drawn { message, label, help, span }| Drawing {
        severity: Severity::Error,
        message,
        label,
        help,
        place: span.map(|span| (span, Arc::clone(&source))),
    });
    draw(drawings, look)
}

/// Line and column of a place in a text, both from 1, for tools.
#[must_use]
pub fn line_and_column(text: &str, at: usize) -> Option<(usize, usize)> {
    let before = text.get(..at)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
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
    place: Option<(Range<usize>, Arc<NamedSource<String>>)>,
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
        self.place.as_ref().map(|(_, source)| &**source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (span, _) = self.place.as_ref()?;
        let label = LabeledSpan::new(self.label.clone(), span.start, span.len());
        Some(Box::new(std::iter::once(label)))
    }
}
