//! Reading of tables: what each kind of value may look like in TOML, what is told when it is something else,
//! and how one table is laid over another. The tables themselves are in `file`.

use std::{collections::BTreeMap, ops::Range};

use toml::{Spanned, de::DeTable, de::DeValue};

use super::{
    duration,
    error::{ConfigError, Mistake, Place, nearest, snake},
    file::{EnvironmentTable, ImageTable, RolloutTable, SandboxTable, ServiceTable, TimeoutsTable},
    secrets::looks_secret,
};

/// A value and the bytes it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// A key of a table, for suggestions, the reference and the schema.
#[derive(Debug, Clone, Copy)]
pub struct KeyOutline {
    pub name: &'static str,
    pub documentation: &'static str,
    /// What could stand behind the `=`.
    pub example: &'static str,
    /// What it is made of.
    pub kind: Kind,
    /// What it looks like beyond that.
    pub shape: Shape,
}

/// What stands behind a key, for the schema.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text,
    Number,
    Switch,
    Texts,
    /// Names of the user's choice with texts.
    NamedTexts,
    Table(&'static Outline),
    ListOfTables(&'static Outline),
    /// Names of the user's choice with tables.
    NamedTables(&'static Outline),
}

/// A table with a fixed set of keys, as the schema and the reference tell it.
#[derive(Debug)]
pub struct Outline {
    /// `ImageTable`.
    pub name: &'static str,
    pub documentation: &'static str,
    pub keys: &'static [KeyOutline],
}

/// What a text must look like where it holds no variable. `resolve` judges it; editors are told by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Any,
    OneOf(&'static [&'static str]),
    /// A regular expression that matches the whole text.
    Pattern(&'static str),
    /// From, to.
    Range(i64, i64),
}

/// A table with a fixed set of keys.
pub trait Table: Default + Clone + 'static {
    const KEYS: &'static [KeyOutline];
    const OUTLINE: Outline;

    fn read(reader: &mut Reader<'_>, path: &str, header: Range<usize>, table: &DeTable<'_>) -> Self;

    /// This table where it says something, `base` where it does not.
    #[must_use]
    fn over(&self, base: &Self) -> Self;

    /// The keys that are written here and have one text or number: what `${key}` may name.
    fn texts(&self) -> Vec<(&'static str, Written<String>)>;

    /// Where each value that is written here stands, by its whole name: `services.api.cluster`.
    fn places(&self, path: &str, places: &mut Vec<(String, Range<usize>)>);
}

/// What can stand behind a key.
pub trait Field: Default + Clone {
    const KIND: Kind;

    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self;

    #[must_use]
    fn over(&self, base: &Self) -> Self;

    fn text(&self) -> Option<Written<String>> {
        None
    }

    fn places(&self, path: &str, places: &mut Vec<(String, Range<usize>)>);
}

/// A single value.
pub trait Scalar: Clone {
    const KIND: Kind;
    /// As in "must be …".
    const EXPECTED: &'static str;

    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self>;

    /// The same value written as this type wants it, where that is easy to guess.
    fn rewrite(source: &str, value: &DeValue<'_>) -> Option<String>;

    fn text(&self) -> Option<String>;
}

/// Where a value is read.
pub struct Key<'a> {
    pub name: &'a str,
    /// `services.api`.
    pub table: &'a str,
    pub span: Range<usize>,
    pub example: &'a str,
    pub shape: Shape,
}

impl Key<'_> {
    /// `services.api.cluster`.
    pub(super) fn path(&self) -> String {
        if self.table.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.table, self.name) }
    }
}

/// What other tools and habits call these keys.
const HABITS: &[(&str, &str)] = &[
    ("account_id", "account"),
    ("assume_role_arn", "role_arn"),
    ("aws_account", "account"),
    ("aws_profile", "profile"),
    ("aws_region", "region"),
    ("build", "context"),
    ("build_args", "args"),
    ("cluster_name", "cluster"),
    ("container_name", "container"),
    ("assume_role", "role_arn"),
    ("base", "extends"),
    ("buildargs", "args"),
    ("cache", "cache_from"),
    ("command", "run"),
    ("count", "desired_count"),
    ("cpus", "cpu"),
    ("cmd", "run"),
    ("default_env", "default_environment"),
    ("docker_file", "dockerfile"),
    ("entry_point", "run"),
    ("entrypoint", "run"),
    ("env", "environment"),
    ("env", "environments"),
    ("env_file", "environment_files"),
    ("env_files", "environment_files"),
    ("environment_file", "environment_files"),
    ("health_check", "health_check_path"),
    ("mem_limit", "memory"),
    ("variables", "environment"),
    ("include", "extends"),
    ("max_percent", "maximum_percent"),
    ("mem", "memory"),
    ("min_healthy_percent", "minimum_healthy_percent"),
    ("name", "service"),
    ("name", "repository"),
    ("path", "context"),
    ("path", "file"),
    ("port", "container_port"),
    ("replicas", "desired_count"),
    ("repo", "repository"),
    ("role", "role_arn"),
    ("secrets", "ssm_secrets"),
    ("service_name", "service"),
    ("source", "file"),
    ("src", "file"),
    ("stage", "target"),
    ("tag", "tags"),
    ("task_def", "task_definition"),
    ("taskdef", "task_definition"),
    ("timeout_minutes", "timeout"),
    ("timeout_seconds", "timeout"),
    ("variable", "env"),
    ("version", "format"),
];

/// Keys of which the value is a path.
const PATHS: [&str; 5] = ["context", "dockerfile", "extends", "file", "task_definition"];

/// Collects what is wrong while tables are read.
pub struct Reader<'a> {
    pub(super) text: &'a str,
    /// Where the text begins in the row of all texts.
    pub(super) begin: usize,
    /// With places in this text alone.
    pub(super) errors: Vec<ConfigError>,
}

impl Reader<'_> {
    /// A place in this text as one of the row.
    pub(super) fn at(&self, span: Range<usize>) -> Range<usize> {
        self.begin + span.start..self.begin + span.end
    }

    pub(super) fn mistake(&mut self, mistake: Mistake, span: Range<usize>) {
        self.errors.push(ConfigError::new(mistake, Place::File(span)));
    }

    fn source(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    pub(super) fn unknown_key(
        &mut self,
        table: &str,
        key: &str,
        span: Range<usize>,
        value: &DeValue<'_>,
        keys: &[KeyOutline],
    ) {
        let is_table = value.is_table()
            || value.as_array().is_some_and(|list| list.iter().all(|entry| entry.get_ref().is_table()));
        let is_tables = |kind: Kind| matches!(kind, Kind::Table(_) | Kind::NamedTables(_) | Kind::ListOfTables(_));
        // What stands behind the key cannot be meant for a table of tables.
        let names = || keys.iter().filter(|key| is_table || !is_tables(key.kind)).map(|key| key.name);
        let plain = snake(key);
        let habits = || HABITS.iter().filter(|(habit, _)| *habit == plain);
        let habit = habits().next();
        let nearest = habits()
            .map(|(_, meant)| *meant)
            .find(|meant| names().any(|name| name == *meant))
            .or_else(|| nearest(key, names()));
        let own = habit.map_or(key, |(_, meant)| meant);
        let elsewhere = top_home_of(table, key).or_else(|| elsewhere(table, &plain));
        let nearest = nearest.filter(|_| elsewhere.is_none());
        let belongs = match nearest {
            Some(_) => None,
            None => elsewhere
                .or_else(|| rollout_home_of(table, key))
                .or_else(|| sandbox_home_of(table, own))
                .or_else(|| home_of(table, key, is_table)),
        };
        let mistake = Mistake::UnknownKey {
            key: key.to_owned(),
            table: table.to_owned(),
            nearest: nearest.map(ToOwned::to_owned),
            belongs,
            known: keys.iter().map(|key| key.name).collect(),
        };
        self.mistake(mistake, span);
    }

    pub(super) fn wrong_type(
        &mut self,
        key: &Key<'_>,
        expected: &'static str,
        value: &Spanned<DeValue<'_>>,
        write: &str,
    ) {
        let mistake = Mistake::WrongType {
            key: key.name.to_owned(),
            table: key.table.to_owned(),
            expected,
            found: match value.get_ref().as_str() {
                Some(text) if text.contains("${") && [i64::EXPECTED, bool::EXPECTED].contains(&expected) => {
                    TEXT_WITH_VARIABLE
                }
                _ => found(value.get_ref()),
            },
            write: write.to_owned(),
        };
        self.mistake(mistake, value.span());
    }
}

/// The table of a service, also that of an environment.
fn is_service(table: &str) -> bool {
    table.rsplit_once('.').is_some_and(|(section, _)| section == "services" || section.ends_with(".services"))
}

/// A key of the top of the file below some table: TOML takes what stands below a header as part of it.
fn top_home_of(table: &str, key: &str) -> Option<String> {
    if table.is_empty() {
        return None;
    }
    match key {
        "format" | "extends" | "default_environment" | "release" => {
            Some(format!("`{key}` is a key of the file: write it at the top, above the first table"))
        }
        // An environment has tables of the same names.
        "images" | "services" if !table.starts_with("environments.") || table.contains(".services.") => {
            Some(format!("below a table everything belongs to that table: write `[{key}.api]` in a line of its own"))
        }
        "environments" => Some(
            "below a table everything belongs to that table: write `[environments.production]` in a line of its own"
                .to_owned(),
        ),
        _ => None,
    }
}

/// What ECS, other tools, or nobody has to say: by the words of compose, Copilot, Terraform, GitHub's actions and ECS's own
/// JSON.
fn elsewhere(table: &str, key: &str) -> Option<String> {
    let in_definition = |word: &str| {
        Some(format!(
            "the task definition says it, as `{word}`: that of what the service runs now, or the file that \
             `task_definition` names"
        ))
    };
    if key.contains("access_key") || matches!(key, "secret_key" | "session_token" | "credentials") {
        return Some(
            "credentials have no place in this file: name a `profile` of `~/.aws/config`, or set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY"
                .to_owned(),
        );
    }
    if table.is_empty() && key == "aws" {
        return Some(
            "`region`, `account` and `profile` are keys of an environment: `[environments.production]`".to_owned(),
        );
    }
    let of_image = table.starts_with("images.") || table.contains(".images.");
    if !is_service(table) && !of_image {
        return match (key, table.ends_with(".rollout")) {
            ("timeout" | "timeout_minutes", true) => Some("write `timeouts = { total = \"30m\" }`".to_owned()),
            _ => None,
        };
    }
    match key {
        "ports" | "port_mappings" | "portmappings" => in_definition("portMappings"),
        "container_definitions" | "sidecars" => in_definition("containerDefinitions"),
        // A check has a command, and so has what runs before.
        "command" | "cmd" if !of_image => in_definition("command"),
        "entrypoint" | "entry_point" if !of_image => in_definition("entryPoint"),
        "execution_role_arn" | "task_execution_role" | "execution_role" => in_definition("executionRoleArn"),
        "task_role_arn" | "task_role" => in_definition("taskRoleArn"),
        "network_mode" | "ecs_network_mode" => in_definition("networkMode"),
        "requires_compatibilities" => in_definition("requiresCompatibilities"),
        "log_configuration" | "logging" | "log_driver" => in_definition("logConfiguration"),
        "runtime_platform" | "cpu_architecture" => in_definition("runtimePlatform"),
        "volumes" | "volume" | "mount_points" => in_definition("volumes` and `mountPoints"),
        "depends_on" => in_definition("dependsOn"),
        "healthcheck" | "health_check" => in_definition("healthCheck"),
        "restart" | "restart_policy" => in_definition("restartPolicy"),
        "working_dir" | "working_directory" => in_definition("workingDirectory"),
        "stop_grace_period" => in_definition("stopTimeout"),
        "mem_reservation" | "memory_reservation" => in_definition("memoryReservation"),
        "ulimits" | "user" | "privileged" | "family" | "essential" | "links" => in_definition(key),
        "ephemeral_storage" => in_definition("ephemeralStorage"),
        "docker_labels" => in_definition("dockerLabels"),
        "labels" if !of_image => in_definition("dockerLabels"),
        "labels" => Some("write `LABEL` into the Dockerfile".to_owned()),
        _ if of_image => None,
        "launch_type"
        | "capacity_provider_strategy"
        | "network_configuration"
        | "network"
        | "networks"
        | "load_balancer"
        | "load_balancers"
        | "http"
        | "alb"
        | "health_check_grace_period"
        | "health_check_grace_period_seconds"
        | "deployment_circuit_breaker"
        | "circuit_breaker"
        | "deployment_controller"
        | "scheduling_strategy"
        | "strategy"
        | "enable_execute_command"
        | "exec"
        | "type"
        | "service_definition"
        | "service_registries"
        | "service_connect_configuration"
        | "placement_constraints"
        | "autoscaling"
        | "propagate_tags" => Some(
            "the ECS service has such settings already, and a deploy leaves them as they are: change them where the \
             service is made, as in Terraform, CloudFormation or the console"
                .to_owned(),
        ),
        "deployment_configuration" => {
            Some(format!("write `minimum_healthy_percent` and `maximum_percent` under `[{table}.rollout]`"))
        }
        "deployment_minimum_healthy_percent" => {
            Some(format!("write `minimum_healthy_percent` under `[{table}.rollout]`"))
        }
        "deployment_maximum_percent" => Some(format!("write `maximum_percent` under `[{table}.rollout]`")),
        "rollback" => Some(format!("write `on_failure = \"rollback\"` under `[{table}.rollout]`; it is the default")),
        "wait_for_steady_state" | "wait_for_service_stability" => {
            Some(format!("write `done_when = \"steady\"` under `[{table}.rollout]`; a deploy waits in any case"))
        }
        "force_new_deployment" => {
            Some("take it out: a deploy registers a new revision, and ECS rolls it out".to_owned())
        }
        "timeout" | "timeout_minutes" => {
            Some(format!("write `timeouts = {{ total = \"30m\" }}` under `[{table}.rollout]`"))
        }
        "before_deploy" | "pre_deploy" | "predeploy" | "release_command" | "migrate" | "migration" | "migrations"
        | "hooks" | "run_before" => Some("write `before = { command = [\"rake\", \"db:migrate\"] }`".to_owned()),
        "build" => Some("what is built is an image: write `context` and `dockerfile` under `[images.api]`".to_owned()),
        _ => None,
    }
}

/// Settings of a rollout have a table of their own, and its times one more.
fn rollout_home_of(table: &str, key: &str) -> Option<String> {
    if !is_service(table) {
        return None;
    }
    let home = |keys: &[KeyOutline], below: &str| {
        let meant = nearest(key, keys.iter().map(|outline| outline.name))?;
        Some(format!("`{meant}` is about the rollout: write it under `[{table}.{below}]`"))
    };
    home(RolloutTable::KEYS, "rollout").or_else(|| home(TimeoutsTable::KEYS, "rollout.timeouts"))
}

/// What only the sandbox makes of a service: on AWS its definition and its settings are its own.
fn sandbox_home_of(table: &str, key: &str) -> Option<String> {
    if !is_service(table) {
        return None;
    }
    let meant = nearest(key, SandboxTable::KEYS.iter().map(|outline| outline.name))?;
    Some(format!(
        "`{meant}` is a setting of the sandbox: write it under `[{table}.sandbox]`; on AWS the service and its task \
         definition keep their own"
    ))
}

/// Where a key that does not belong into `table` would belong.
fn home_of(table: &str, key: &str, is_table: bool) -> Option<String> {
    let has = |keys: &'static [KeyOutline]| {
        let meant = nearest(key, keys.iter().map(|outline| outline.name))?;
        keys.iter().find(|outline| outline.name == meant)
    };
    let environment = table.strip_prefix("environments.").map(|rest| rest.split('.').next().unwrap_or(rest));
    // A service and its image are mostly called the same.
    let mut parts = table.split('.').skip_while(|part| !matches!(*part, "services" | "images"));
    let own = parts.nth(1).unwrap_or("api");
    let kind = if is_service(table) {
        "services"
    } else if table.starts_with("images.") || table.contains(".images.") {
        "images"
    } else if environment.is_some() {
        "environments"
    } else {
        ""
    };
    let homes = [
        (has(ServiceTable::KEYS), "services", "service"),
        (has(ImageTable::KEYS), "images", "image"),
        (has(EnvironmentTable::KEYS), "environments", "environment"),
    ];
    let (meant, section, noun) = homes
        .into_iter()
        .filter(|(_, section, _)| *section != kind)
        .find_map(|(meant, section, noun)| Some((meant?, section, noun)))?;
    let home = match environment {
        Some(environment) if section == "environments" => format!("environments.{environment}"),
        Some(environment) => format!("environments.{environment}.{section}.{own}"),
        None if section == "environments" => "environments.production".to_owned(),
        None => format!("{section}.{own}"),
    };
    let has_table = matches!(meant.kind, Kind::Table(_) | Kind::NamedTexts);
    let meant = meant.name;
    let home = if is_table && has_table { format!("{home}.{meant}") } else { home };
    Some(format!("`{meant}` is a key of {} {noun}: write it under `[{home}]`", super::error::article(noun)))
}

/// What else may stand where a text is wanted.
pub(super) const TEXT_WITH_VARIABLE: &str = "a text with a variable";

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

impl Scalar for String {
    const KIND: Kind = Kind::Text;
    const EXPECTED: &'static str = "a text in quotes";

    fn read(_: &mut Reader<'_>, _: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        value.get_ref().as_str().map(ToOwned::to_owned)
    }

    fn rewrite(source: &str, value: &DeValue<'_>) -> Option<String> {
        match value {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                Some(format!("\"{source}\""))
            }
            DeValue::Array(array) => array.iter().next()?.get_ref().as_str().map(|text| format!("\"{text}\"")),
            // `{ file = "deploy/api.json" }`.
            DeValue::Table(table) => {
                let (inner, only) = table.iter().next().filter(|_| table.len() == 1)?;
                let is_it = matches!(snake(inner.get_ref()).as_str(), "name" | "file" | "path" | "value" | "arn");
                let only = Some(only).filter(|_| is_it)?;
                only.get_ref().as_str().map(|text| format!("\"{text}\""))
            }
            DeValue::String(_) => None,
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Scalar for i64 {
    const KIND: Kind = Kind::Number;
    const EXPECTED: &'static str = "a whole number";

    fn read(_: &mut Reader<'_>, _: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        integer(value.get_ref())
    }

    fn rewrite(_: &str, value: &DeValue<'_>) -> Option<String> {
        let text = value.as_str()?.trim();
        text.parse::<Self>().is_ok().then(|| text.to_owned())
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Scalar for bool {
    const KIND: Kind = Kind::Switch;
    const EXPECTED: &'static str = "true or false, without quotes";

    fn read(_: &mut Reader<'_>, _: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        value.get_ref().as_bool()
    }

    fn rewrite(source: &str, _: &DeValue<'_>) -> Option<String> {
        let yes = match source.trim_matches(['"', '\'']).to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => return None,
        };
        Some(yes.to_string())
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Scalar for Vec<Written<String>> {
    const KIND: Kind = Kind::Texts;
    const EXPECTED: &'static str = "a list of texts";

    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let mut texts = Self::new();
        for (index, entry) in value.get_ref().as_array()?.iter().enumerate() {
            if let Some(text) = entry.get_ref().as_str() {
                texts.push(Written { value: text.to_owned(), span: reader.at(entry.span()) });
            } else {
                let write = String::rewrite(reader.source(entry.span()), entry.get_ref());
                let mistake = Mistake::WrongType {
                    key: format!("{}[{index}]", key.name),
                    table: key.table.to_owned(),
                    expected: String::EXPECTED,
                    found: found(entry.get_ref()),
                    write: write.unwrap_or_else(|| "\"…\"".to_owned()),
                };
                reader.mistake(mistake, entry.span());
            }
        }
        Some(texts)
    }

    fn rewrite(source: &str, value: &DeValue<'_>) -> Option<String> {
        let text = value.as_str()?;
        // Only a command has blanks in it, and its words stand alone.
        let words: Vec<String> =
            text.split_whitespace().map(|word| format!("{:?}", word.trim_end_matches(','))).collect();
        Some(if words.len() > 1 { format!("[{}]", words.join(", ")) } else { format!("[{source}]") })
    }

    fn text(&self) -> Option<String> {
        None
    }
}

/// `[[…]]`: one table after the other.
impl<T: Table> Scalar for Vec<T> {
    const KIND: Kind = Kind::ListOfTables(&T::OUTLINE);
    const EXPECTED: &'static str = "a list of tables";

    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let path = key.path();
        let mut tables = Self::new();
        for entry in value.get_ref().as_array()? {
            if let Some(table) = entry.get_ref().as_table() {
                // The span of a table under a `[[header]]` is that header.
                tables.push(T::read(reader, &path, entry.span(), table));
            } else {
                let write = format!("{} = {}", key.name, key.example);
                reader.wrong_type(key, "a list of tables", entry, &write);
            }
        }
        Some(tables)
    }

    fn rewrite(source: &str, value: &DeValue<'_>) -> Option<String> {
        // `[images.api.checks]` with one pair of brackets has no braces to be shown.
        (value.is_table() && source.starts_with('{')).then(|| format!("[{source}]"))
    }

    fn text(&self) -> Option<String> {
        None
    }
}

impl<T: Scalar> Field for Option<Written<T>> {
    const KIND: Kind = T::KIND;

    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self {
        let read = T::read(reader, key, value);
        if read.is_none() {
            let rewritten = match value.get_ref() {
                // A bare number where a time is meant is a number of seconds.
                DeValue::Integer(_) if duration::parse(key.example.trim_matches('"')).is_some() => {
                    duration::guess(reader.source(value.span())).map(|time| format!("\"{time}\""))
                }
                // Half a core or half a gigabyte, in the unit that makes it one.
                DeValue::Float(_) if key.name == "cpu" => Some(format!("\"{} vCPU\"", reader.source(value.span()))),
                DeValue::Float(_) if key.name == "memory" => Some(format!("\"{} GB\"", reader.source(value.span()))),
                // No number is the name of a file, and no text of a short list is one of those that were meant.
                DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_)
                    if matches!(T::KIND, Kind::Text)
                        && (matches!(key.shape, Shape::OneOf(_)) || PATHS.contains(&key.name)) =>
                {
                    None
                }
                other => T::rewrite(reader.source(value.span()), other).filter(|text| {
                    let is_inner = matches!(other, DeValue::Table(_) | DeValue::Array(_));
                    !is_inner || !looks_secret(key.name, text)
                }),
            };
            let write = format!("{} = {}", key.name, rewritten.as_deref().unwrap_or(key.example));
            reader.wrong_type(key, T::EXPECTED, value, &write);
        }
        Some(Written { value: read?, span: reader.at(value.span()) })
    }

    fn over(&self, base: &Self) -> Self {
        self.clone().or_else(|| base.clone())
    }

    fn text(&self) -> Option<Written<String>> {
        let written = self.as_ref()?;
        Some(Written { value: written.value.text()?, span: written.span.clone() })
    }

    fn places(&self, path: &str, places: &mut Vec<(String, Range<usize>)>) {
        places.extend(self.as_ref().map(|written| (path.to_owned(), written.span.clone())));
    }
}

/// Names and texts of the user's choice: build arguments, environment variables. An override replaces
/// single entries.
impl Field for BTreeMap<String, Written<String>> {
    const KIND: Kind = Kind::NamedTexts;

    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self {
        let Some(table) = value.get_ref().as_table() else {
            // A name alone is no place of a secret.
            let is_of_secrets = key.name == "ssm_secrets";
            let table = named_texts(value.get_ref())
                .filter(|table| !is_of_secrets || !table.contains("${env."))
                .unwrap_or_else(|| key.example.to_owned());
            reader.wrong_type(key, "a table of names and texts", value, &format!("{} = {table}", key.name));
            return Self::new();
        };
        let mut entries = Self::new();
        for (name, value) in table {
            if let Some(text) = value.get_ref().as_str() {
                let written = Written { value: text.to_owned(), span: reader.at(value.span()) };
                entries.insert(name.get_ref().to_string(), written);
            } else {
                let shape = Shape::Any;
                let at = Key { name: name.get_ref(), table: key.table, span: name.span(), example: "\"…\"", shape };
                let write = named_text(name.get_ref(), value.get_ref(), reader.source(value.span()));
                reader.wrong_type(&at, String::EXPECTED, value, &write);
            }
        }
        entries
    }

    fn over(&self, base: &Self) -> Self {
        let mut entries = base.clone();
        entries.extend(self.clone());
        entries
    }

    fn places(&self, path: &str, places: &mut Vec<(String, Range<usize>)>) {
        places.extend(self.iter().map(|(name, written)| (format!("{path}.{name}"), written.span.clone())));
    }
}

/// One entry of such a table, the way it is written here.
fn named_text(name: &str, value: &DeValue<'_>, source: &str) -> String {
    // What is not shown in its place is not shown in the advice either.
    let shown =
        |name: &str, text: &str| if looks_secret(name, text) { "\"…\"".to_owned() } else { format!("{text:?}") };
    match value {
        // Of several texts nobody knows which one is meant.
        DeValue::Array(list) if list.len() != 1 => format!("{name} = \"…\""),
        DeValue::Table(table) => match table.iter().next().filter(|_| table.len() == 1) {
            Some((inner, text)) if text.get_ref().is_str() => {
                let text = text.get_ref().as_str().unwrap_or_default();
                match snake(inner.get_ref()).as_str() {
                    "value" | "value_from" | "from" | "ssm" | "arn" => format!("{name} = {}", shown(name, text)),
                    // The parser takes a dot as the border of a table.
                    _ if name.chars().any(char::is_lowercase) => {
                        format!("\"{name}.{}\" = {}", inner.get_ref(), shown(inner.get_ref(), text))
                    }
                    _ => format!("{name}_{} = {}", inner.get_ref(), shown(inner.get_ref(), text)),
                }
            }
            Some(_) | None => format!("{name} = \"…\""),
        },
        other => {
            let rewritten = String::rewrite(source, other).filter(|_| !looks_secret(name, source));
            format!("{name} = {}", rewritten.as_deref().unwrap_or("\"…\""))
        }
    }
}

/// `["A=1", "B"]`, as compose takes it, and `[{ name = "A", value = "1" }]`, as ECS does, the way it is written here.
fn named_texts(value: &DeValue<'_>) -> Option<String> {
    let mut entries = Vec::new();
    for entry in value.as_array()? {
        let (name, text) = match entry.get_ref() {
            DeValue::Table(table) => {
                let member = |wanted: &[&str]| {
                    let found = table.iter().find(|(key, _)| wanted.contains(&snake(key.get_ref()).as_str()))?;
                    found.1.get_ref().as_str()
                };
                (member(&["name"])?, member(&["value", "value_from"])?.to_owned())
            }
            entry => match entry.as_str()?.split_once('=') {
                Some((name, text)) => (name, text.to_owned()),
                // Compose takes it from the environment then.
                None => (entry.as_str()?, format!("${{env.{}}}", entry.as_str()?)),
            },
        };
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            return None;
        }
        let shown = if looks_secret(name, &text) { "…" } else { &text };
        entries.push(format!("{name} = {shown:?}"));
    }
    (!entries.is_empty()).then(|| format!("{{ {} }}", entries.join(", ")))
}

/// Tables by a name of the user's choice.
impl<T: Table> Field for BTreeMap<String, T> {
    const KIND: Kind = Kind::NamedTables(&T::OUTLINE);

    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self {
        let section = key.path();
        let Some(table) = value.get_ref().as_table() else {
            let write = match value.get_ref() {
                // `[[services]]`; of an image's secrets nobody writes a list of tables.
                DeValue::Array(list) if key.table.is_empty() || key.table.starts_with("environments.") => {
                    let named = list.iter().next().and_then(|first| first.get_ref().as_table()?.get("name"));
                    let good = |name: &&str| !name.is_empty() && name.chars().all(is_of_name);
                    let example = if key.name == "environments" { "production" } else { "api" };
                    let name = named.and_then(|name| name.get_ref().as_str()).filter(good).unwrap_or(example);
                    format!("[{section}.{name}]")
                }
                _ => format!("{} = {}", key.name, key.example),
            };
            reader.wrong_type(key, "tables, each with a name", value, &write);
            return Self::new();
        };
        let mut tables = Self::new();
        for (name, value) in table {
            let key = name.get_ref().to_string();
            let Some(table) = value.get_ref().as_table() else {
                let is_key = nearest(&key, T::KEYS.iter().map(|outline| outline.name)).is_some();
                let mistake = if is_key || section.ends_with(".secrets") {
                    Mistake::Nameless { section: section.clone(), key }
                } else {
                    let write = shorthand(&section, &key, value.get_ref());
                    Mistake::NamedText { section: section.clone(), key, found: found(value.get_ref()), write }
                };
                reader.mistake(mistake, name.span());
                continue;
            };
            if key.is_empty() || !key.chars().all(is_of_name) {
                let plain: String = key.chars().map(|letter| if is_of_name(letter) { letter } else { '-' }).collect();
                let plain = plain.trim_matches('-');
                let plain = if plain.is_empty() { "api" } else { plain };
                let write = format!("[{section}.{plain}]");
                reader.mistake(Mistake::BadName { section: section.clone(), key: key.clone(), write }, name.span());
            }
            let path = format!("{section}.{key}");
            tables.insert(key, T::read(reader, &path, name.span(), table));
        }
        tables
    }

    /// Table by table, and in those key by key.
    fn over(&self, base: &Self) -> Self {
        let mut tables = base.clone();
        for (name, table) in self {
            let merged = base.get(name).map_or_else(|| table.clone(), |base| Table::over(table, base));
            tables.insert(name.clone(), merged);
        }
        tables
    }

    fn places(&self, path: &str, places: &mut Vec<(String, Range<usize>)>) {
        for (name, table) in self {
            Table::places(table, &format!("{path}.{name}"), places);
        }
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')
}

/// `production = "eu-west-1"` as the table that is meant: what its only text most probably is.
fn shorthand(section: &str, key: &str, value: &DeValue<'_>) -> String {
    let (inner, example) = match section.rsplit('.').next() {
        Some("images") => ("repository", "jobs/api"),
        Some("services") => ("cluster", "jobs"),
        _ => ("region", "eu-west-1"),
    };
    let text = value.as_str().filter(|text| !looks_secret(key, text)).unwrap_or(example);
    format!("{key} = {{ {inner} = {text:?} }}")
}
