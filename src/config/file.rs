//! `ship.toml` as written: which keys stand where, of which type, and at which place. Nothing here
//! knows what a key means; `resolve` does.
//!
//! The format itself is the `table!` declarations below: one line for each key, with its
//! documentation and an example, from which reading, overriding and suggestions all come.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    duration,
    error::{ConfigError, Mistake, Place, nearest},
    secrets::looks_secret,
};

/// The format this version reads.
pub const FORMAT: i64 = 1;

/// The name that is looked for.
pub const FILE_NAME: &str = "ship.toml";

/// A value and the bytes it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// A key of a table, for suggestions, the reference and the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOutline {
    pub name: &'static str,
    pub documentation: &'static str,
    /// What could stand behind the `=`.
    pub example: &'static str,
}

/// A table with a fixed set of keys.
pub trait Table: Default + Clone {
    const KEYS: &'static [KeyOutline];

    fn read(reader: &mut Reader<'_>, path: &str, header: Range<usize>, table: &DeTable<'_>) -> Self;

    /// This table where it says something, `base` where it does not.
    #[must_use]
    fn over(&self, base: &Self) -> Self;

    /// The keys that are written here and have one text or number: what `${key}` may name.
    fn texts(&self) -> Vec<(&'static str, Written<String>)>;
}

/// What can stand behind a key.
pub trait Field: Default + Clone {
    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self;

    #[must_use]
    fn over(&self, base: &Self) -> Self;

    fn text(&self) -> Option<Written<String>> {
        None
    }
}

/// A single value.
pub trait Scalar: Clone {
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
}

macro_rules! table {
    ($(#[doc = $about:literal])* $type:ident { $($(#[doc = $doc:literal])* $key:ident : $field:ty = $example:literal,)* }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $type {
            /// The key in the table's header; empty for one that is not written.
            pub header: Range<usize>,
            $($(#[doc = $doc])* pub $key: $field,)*
        }

        impl Table for $type {
            const KEYS: &'static [KeyOutline] = &[
                $(KeyOutline {
                    name: stringify!($key),
                    documentation: concat!($($doc),*),
                    example: $example,
                },)*
            ];

            fn read(reader: &mut Reader<'_>, path: &str, header: Range<usize>, table: &DeTable<'_>) -> Self {
                let mut read = Self { header, ..Self::default() };
                for (key, value) in table {
                    match key.get_ref().as_ref() {
                        $(stringify!($key) => {
                            let at = Key {
                                name: stringify!($key),
                                table: path,
                                span: key.span(),
                                example: $example,
                            };
                            read.$key = Field::read(reader, &at, value);
                        })*
                        unknown => reader.unknown_key(path, unknown, key.span(), Self::KEYS),
                    }
                }
                read
            }

            fn over(&self, base: &Self) -> Self {
                Self {
                    header: base.header.clone(),
                    $($key: Field::over(&self.$key, &base.$key),)*
                }
            }

            fn texts(&self) -> Vec<(&'static str, Written<String>)> {
                let mut texts = Vec::new();
                $(if let Some(text) = self.$key.text() {
                    texts.push((stringify!($key), text));
                })*
                texts
            }
        }
    };
}

table! {
    /// The whole file.
    File {
        /// The version of this format. A newer file on an older program gets one clear sentence.
        format: Option<Written<i64>> = "1",
        /// The environment that is taken when none is named.
        default_environment: Option<Written<String>> = "\"staging\"",
        /// What the failure of one rollout means for the other services of the run: `independent`, or
        /// `all-or-nothing` to take all of them back.
        release: Option<Written<String>> = "\"independent\"",
        /// What the sandbox makes for every service; `[services.X.sandbox]` overrides it.
        sandbox: SandboxTable = "{ desired_count = 2 }",
        /// What is built, by a name of your choice.
        images: BTreeMap<String, ImageTable> = "{ api = { repository = \"jobs/api\" } }",
        /// What is shipped, by a name of your choice.
        services: BTreeMap<String, ServiceTable> = "{ api = { cluster = \"jobs\" } }",
        /// Where it is shipped to, by a name of your choice.
        environments: BTreeMap<String, EnvironmentTable> = "{ production = { region = \"eu-west-1\" } }",
    }
}

table! {
    /// `[images.X]`: what to build and where to push it.
    ImageTable {
        /// The name of the ECR repository; account and region come from the environment.
        repository: Option<Written<String>> = "\"jobs/api\"",
        /// Create the repository when it does not exist, instead of refusing.
        create_repository: Option<Written<bool>> = "true",
        /// The folder that is built, relative to ship.toml.
        context: Option<Written<String>> = "\".\"",
        /// The Dockerfile, relative to ship.toml. Default: `Dockerfile` in the context.
        dockerfile: Option<Written<String>> = "\"src/Api/Dockerfile\"",
        /// The stage to build. Default: the last one.
        target: Option<Written<String>> = "\"runtime\"",
        /// Build arguments.
        args: BTreeMap<String, Written<String>> = "{ COMMIT = \"${git.commit}\" }",
        /// The platform to build for. Default: the engine's own.
        platform: Option<Written<String>> = "\"linux/arm64\"",
        /// Which builder: `auto`, `engine` or `classic`.
        builder: Option<Written<String>> = "\"auto\"",
        /// Tags; the first must be unique to the build. Default: `["${build}"]`.
        tags: Option<Written<Vec<Written<String>>>> = "[\"v1-${build}\"]",
    }
}

table! {
    /// `[services.X]`: an ECS service and the image it gets.
    ServiceTable {
        /// Which image. Default: the one with the same name as the service table.
        image: Option<Written<String>> = "\"api\"",
        /// The container that gets the image. Default: the only essential one.
        container: Option<Written<String>> = "\"api\"",
        /// The ECS cluster: its name or its ARN.
        cluster: Option<Written<String>> = "\"jobs\"",
        /// The ECS service. Default: the table's name.
        service: Option<Written<String>> = "\"jobs-api\"",
        /// `live` clones what the service runs now; anything else is the path of a JSON file.
        task_definition: Option<Written<String>> = "\"live\"",
        /// How the rollout is watched.
        rollout: RolloutTable = "{ timeouts = { total = \"30m\" } }",
        /// How the sandbox makes this service.
        sandbox: SandboxTable = "{ desired_count = 2 }",
    }
}

table! {
    /// `[services.X.rollout]`.
    RolloutTable {
        /// When to give up.
        timeouts: TimeoutsTable = "{ no_progress = \"5m\", total = \"30m\" }",
        /// What to do once it is clear that a rollout will fail: `rollback`, `leave` it as it is, or
        /// `wait` for ECS's circuit breaker.
        on_failure: Option<Written<String>> = "\"rollback\"",
        /// What becomes of a rollout when the command is interrupted: `leave` it to ECS, or `rollback`.
        on_interrupt: Option<Written<String>> = "\"leave\"",
        /// What ends the command when all goes well: the new tasks are `live`, the old ones are `drained`
        /// too, or ECS says that the service is `steady`.
        done_when: Option<Written<String>> = "\"drained\"",
        /// `minimumHealthyPercent` of the service. Default: what the service has.
        minimum_healthy_percent: Option<Written<i64>> = "100",
        /// `maximumPercent` of the service. Default: what the service has.
        maximum_percent: Option<Written<i64>> = "200",
    }
}

table! {
    /// `timeouts` of a rollout; draining has a budget of its own, worked out from the target groups.
    TimeoutsTable {
        /// Give up when nothing has moved for this long.
        no_progress: Option<Written<String>> = "\"5m\"",
        /// Give up after this long, whatever moves.
        total: Option<Written<String>> = "\"30m\"",
    }
}

table! {
    /// `[sandbox]` and `[services.X.sandbox]`: what the sandbox creates when it has no such service yet.
    SandboxTable {
        /// How many tasks run.
        desired_count: Option<Written<i64>> = "2",
        /// The port the container listens on.
        container_port: Option<Written<i64>> = "8080",
        /// The port of the load balancer's listener. Default: a free one.
        listener_port: Option<Written<i64>> = "8000",
        /// What the target group asks for.
        health_check_path: Option<Written<String>> = "\"/health\"",
        /// The time between two health checks of a target.
        health_check_interval: Option<Written<String>> = "\"5s\"",
        /// How long a target that is taken out may finish its requests.
        deregistration_delay: Option<Written<String>> = "\"10s\"",
        /// How long a container has between SIGTERM and SIGKILL.
        stop_timeout: Option<Written<String>> = "\"10s\"",
        /// CPU units of a task; 1024 are one core.
        cpu: Option<Written<String>> = "\"256\"",
        /// Memory of a task in MiB.
        memory: Option<Written<String>> = "\"512\"",
        /// Environment variables of the container.
        environment: BTreeMap<String, Written<String>> = "{ LOG_LEVEL = \"info\" }",
    }
}

table! {
    /// `[environments.X]`: a place to ship to, and what is different there.
    EnvironmentTable {
        /// The AWS region.
        region: Option<Written<String>> = "\"eu-west-1\"",
        /// The profile in `~/.aws/config` whose credentials are taken.
        profile: Option<Written<String>> = "\"jobs-staging\"",
        /// The only account this environment may touch; refused if the credentials belong to another.
        account: Option<Written<String>> = "\"111111111111\"",
        /// Ship to the embedded stand-in on this machine; no account is needed.
        sandbox: Option<Written<bool>> = "true",
        /// Show the plan and ask before acting; `--yes` answers for CI.
        confirm: Option<Written<bool>> = "true",
        /// Keys of services that are different here.
        services: BTreeMap<String, ServiceTable> = "{ api = { cluster = \"jobs-production\" } }",
        /// Keys of images that are different here.
        images: BTreeMap<String, ImageTable> = "{ api = { target = \"debug\" } }",
    }
}

/// What other tools and habits call these keys.
const HABITS: [(&str, &str); 22] = [
    ("account_id", "account"),
    ("aws_account", "account"),
    ("aws_profile", "profile"),
    ("aws_region", "region"),
    ("build_args", "args"),
    ("cluster_name", "cluster"),
    ("container_name", "container"),
    ("default_env", "default_environment"),
    ("docker_file", "dockerfile"),
    ("env", "environment"),
    ("health_check", "health_check_path"),
    ("mem", "memory"),
    ("name", "service"),
    ("path", "context"),
    ("port", "container_port"),
    ("replicas", "desired_count"),
    ("repo", "repository"),
    ("service_name", "service"),
    ("tag", "tags"),
    ("task_def", "task_definition"),
    ("taskdef", "task_definition"),
    ("version", "format"),
];

/// A file that was read, with what is wrong in its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub file: File,
    pub text: String,
    pub errors: Vec<ConfigError>,
    pub form: Form,
}

/// How much of the file could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All of it; what it means can be judged, also where single keys are wrong.
    Readable,
    /// So little, or in such a new format, that judging the rest would only make noise.
    Broken,
}

/// Takes the bytes of a file as text.
pub fn text(bytes: &[u8]) -> Result<&str, ConfigError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        ConfigError::new(Mistake::NotText { line }, Place::Nowhere)
    })
}

/// Looks for `ship.toml` in `folders`, the working folder first, then those above it.
pub fn find<'a>(
    folders: impl IntoIterator<Item = &'a Path>,
    exists: impl Fn(&Path) -> bool,
) -> Result<PathBuf, ConfigError> {
    let mut looked = Vec::new();
    for folder in folders {
        let path = folder.join(FILE_NAME);
        if exists(&path) {
            return Ok(path);
        }
        looked.push(path);
    }
    Err(ConfigError::new(Mistake::NoFile { looked }, Place::Nowhere))
}

/// Reads the whole file and collects every mistake of form: syntax, unknown keys, wrong types.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, errors: Vec::new() };
    let (mistakes, ruin) = syntax_mistakes(text, &syntax);
    if ruin == Ruin::Rest {
        return Parsed { file: File::default(), text: text.to_owned(), errors: mistakes, form: Form::Broken };
    }

    // Judged first: a newer file has keys that we cannot know.
    if let Some(written) = table.get_ref().get("format").and_then(|value| integer(value.get_ref()))
        && written > FORMAT
    {
        let span = table.get_ref().get("format").map_or(0..0, Spanned::span);
        let error = ConfigError::new(Mistake::NewerFormat { written }, Place::File(span));
        return Parsed { file: File::default(), text: text.to_owned(), errors: vec![error], form: Form::Broken };
    }

    let file = File::read(&mut reader, "", 0..0, table.get_ref());
    match &file.format {
        Some(format) if format.value != FORMAT => {
            reader.mistake(Mistake::UnknownFormat { written: format.value }, format.span.clone());
        }
        None if !table.get_ref().contains_key("format") && mistakes.is_empty() => {
            reader.errors.push(ConfigError::new(Mistake::NoFormat, Place::Nowhere));
        }
        Some(_) | None => {}
    }

    let form = if mistakes.is_empty() { Form::Readable } else { Form::Broken };
    let mut errors = reader.errors;
    // A value that could not be read has no type worth a second complaint.
    errors.retain(|error| !mistakes.iter().any(|mistake| same_line(text, &error.place, &mistake.place)));
    errors.extend(mistakes);
    Parsed { file, text: text.to_owned(), errors, form }
}

/// The names that a shell may complete, read from any file, however broken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub environments: Vec<String>,
    pub services: Vec<String>,
    pub images: Vec<String>,
}

/// Reads the names of environments, services and images; what cannot be read is left out.
#[must_use]
pub fn names(text: &str) -> Names {
    let (table, _) = DeTable::parse_recoverable(text);
    let names = |section: &str| {
        let mut names: Vec<String> = table
            .get_ref()
            .get(section)
            .and_then(|value| value.get_ref().as_table())
            .into_iter()
            .flatten()
            // `[services] cluster = "x"` is a mistake, not a service.
            .filter(|(_, value)| value.get_ref().is_table())
            .map(|(key, _)| key.get_ref().to_string())
            .collect();
        // A mistake in one line can hide whole tables from the parser, but not their headers.
        for line in text.lines() {
            let Some(header) = line.trim_start().strip_prefix('[').filter(|header| !header.starts_with('[')) else {
                continue;
            };
            let header = header.split([']', '#']).next().unwrap_or_default();
            let mut parts = header.split('.').map(|part| part.trim().trim_matches(['"', '\'']));
            if parts.next() == Some(section)
                && let Some(name) = parts.next().filter(|name| !name.is_empty())
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names.dedup();
        names
    };
    Names { environments: names("environments"), services: names("services"), images: names("images") }
}

/// Collects what is wrong while tables are read.
pub struct Reader<'a> {
    text: &'a str,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn mistake(&mut self, mistake: Mistake, span: Range<usize>) {
        self.errors.push(ConfigError::new(mistake, Place::File(span)));
    }

    fn source(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    fn unknown_key(&mut self, table: &str, key: &str, span: Range<usize>, keys: &[KeyOutline]) {
        let names = || keys.iter().map(|key| key.name);
        let habit = HABITS.iter().find(|(habit, _)| *habit == key.to_lowercase().replace('-', "_"));
        let nearest = habit
            .map(|(_, meant)| *meant)
            .filter(|meant| names().any(|name| name == *meant))
            .or_else(|| nearest(key, names()));
        let belongs = match nearest {
            Some(_) => None,
            None => sandbox_home_of(table, habit.map_or(key, |(_, meant)| meant)).or_else(|| home_of(table, key)),
        };
        let mistake = Mistake::UnknownKey {
            key: key.to_owned(),
            table: table.to_owned(),
            nearest: nearest.map(ToOwned::to_owned),
            belongs,
            known: names().collect(),
        };
        self.mistake(mistake, span);
    }

    fn wrong_type(&mut self, key: &Key<'_>, expected: &'static str, value: &Spanned<DeValue<'_>>, write: &str) {
        let mistake = Mistake::WrongType {
            key: key.name.to_owned(),
            table: key.table.to_owned(),
            expected,
            found: found(value.get_ref()),
            write: write.to_owned(),
        };
        self.mistake(mistake, value.span());
    }
}

/// What only the sandbox makes of a service: on AWS its definition and its settings are its own.
fn sandbox_home_of(table: &str, key: &str) -> Option<String> {
    let (section, _) = table.rsplit_once('.')?;
    if section != "services" && !section.ends_with(".services") {
        return None;
    }
    let meant = nearest(key, SandboxTable::KEYS.iter().map(|outline| outline.name))?;
    Some(format!(
        "`{meant}` is a setting of the sandbox: write it under `[{table}.sandbox]`; on AWS the service and its task \
         definition keep their own"
    ))
}

/// Where a key that does not belong into `table` would belong.
fn home_of(table: &str, key: &str) -> Option<String> {
    let has = |keys: &[KeyOutline]| nearest(key, keys.iter().map(|outline| outline.name));
    let environment = table.strip_prefix("environments.").map(|rest| rest.split('.').next().unwrap_or(rest));
    let own = table.rsplit('.').next().filter(|_| table.contains('.') && environment.is_none()).unwrap_or("api");
    let homes = [
        (has(ServiceTable::KEYS), "services", "service"),
        (has(ImageTable::KEYS), "images", "image"),
        (has(EnvironmentTable::KEYS), "environments", "environment"),
    ];
    let (meant, section, noun) = homes
        .into_iter()
        .filter(|(_, section, _)| !table.starts_with(section))
        .find_map(|(meant, section, noun)| Some((meant?, section, noun)))?;
    let home = match environment {
        Some(environment) => format!("[environments.{environment}.{section}.{own}]"),
        None if section == "environments" => "[environments.production]".to_owned(),
        None => format!("[{section}.{own}]"),
    };
    Some(format!("`{meant}` is a key of {} {noun}: write it under `{home}`", super::error::article(noun)))
}

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

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

impl Scalar for String {
    const EXPECTED: &'static str = "a text in quotes";

    fn read(_: &mut Reader<'_>, _: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        value.get_ref().as_str().map(ToOwned::to_owned)
    }

    fn rewrite(source: &str, value: &DeValue<'_>) -> Option<String> {
        match value {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                Some(format!("\"{source}\""))
            }
            DeValue::Array(array) => {
                let only = array.iter().next().filter(|_| array.len() == 1)?;
                only.get_ref().as_str().map(|text| format!("\"{text}\""))
            }
            DeValue::String(_) | DeValue::Table(_) => None,
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Scalar for i64 {
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
    const EXPECTED: &'static str = "a list of texts";

    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        let mut texts = Self::new();
        for (index, entry) in value.get_ref().as_array()?.iter().enumerate() {
            if let Some(text) = entry.get_ref().as_str() {
                texts.push(Written { value: text.to_owned(), span: entry.span() });
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
        value.is_str().then(|| format!("[{source}]"))
    }

    fn text(&self) -> Option<String> {
        None
    }
}

impl<T: Scalar> Field for Option<Written<T>> {
    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self {
        let read = T::read(reader, key, value);
        if read.is_none() {
            let rewritten = match value.get_ref() {
                // A bare number where a time is meant is a number of seconds.
                DeValue::Integer(_) if duration::parse(key.example.trim_matches('"')).is_some() => {
                    duration::guess(reader.source(value.span())).map(|time| format!("\"{time}\""))
                }
                other => T::rewrite(reader.source(value.span()), other),
            };
            let write = format!("{} = {}", key.name, rewritten.as_deref().unwrap_or(key.example));
            reader.wrong_type(key, T::EXPECTED, value, &write);
        }
        Some(Written { value: read?, span: value.span() })
    }

    fn over(&self, base: &Self) -> Self {
        self.clone().or_else(|| base.clone())
    }

    fn text(&self) -> Option<Written<String>> {
        let written = self.as_ref()?;
        Some(Written { value: written.value.text()?, span: written.span.clone() })
    }
}

/// Names and texts of the user's choice: build arguments, environment variables. An override replaces
/// single entries.
impl Field for BTreeMap<String, Written<String>> {
    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self {
        let Some(table) = value.get_ref().as_table() else {
            reader.wrong_type(key, "a table of names and texts", value, &format!("{} = {}", key.name, key.example));
            return Self::new();
        };
        let mut entries = Self::new();
        for (name, value) in table {
            if let Some(text) = value.get_ref().as_str() {
                let written = Written { value: text.to_owned(), span: value.span() };
                entries.insert(name.get_ref().to_string(), written);
            } else {
                let at = Key { name: name.get_ref(), table: key.table, span: name.span(), example: "\"…\"" };
                let source = reader.source(value.span());
                // What is not shown in its place is not shown in the advice either.
                let rewritten =
                    String::rewrite(source, value.get_ref()).filter(|_| !looks_secret(name.get_ref(), source));
                let write = format!("{} = {}", at.name, rewritten.as_deref().unwrap_or(at.example));
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
}

/// Tables by a name of the user's choice.
impl<T: Table> Field for BTreeMap<String, T> {
    fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self {
        let section = if key.table.is_empty() { key.name.to_owned() } else { format!("{}.{}", key.table, key.name) };
        let Some(table) = value.get_ref().as_table() else {
            let write = match value.get_ref() {
                DeValue::Array(_) => format!("[{section}.api]"),
                _ => format!("{} = {}", key.name, key.example),
            };
            reader.wrong_type(key, "tables, each with a name", value, &write);
            return Self::new();
        };
        let mut tables = Self::new();
        for (name, value) in table {
            let key = name.get_ref().to_string();
            let Some(table) = value.get_ref().as_table() else {
                reader.mistake(Mistake::Nameless { section: section.clone(), key }, name.span());
                continue;
            };
            let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
            if key.is_empty() || !key.chars().all(good) {
                let plain: String = key.chars().map(|letter| if good(letter) { letter } else { '-' }).collect();
                let plain = if plain.is_empty() { "api" } else { &plain };
                let write = format!("[{section}.{plain}]");
                reader.mistake(Mistake::BadName { section: section.clone(), key: key.clone(), write }, name.span());
            }
            let path = format!("{section}.{key}");
            tables.insert(key, T::read(reader, &path, name.span(), table));
        }
        tables
    }

    /// Never called for what an environment overrides, which is done table by table.
    fn over(&self, base: &Self) -> Self {
        let mut tables = base.clone();
        tables.extend(self.clone());
        tables
    }
}

/// A table in a table.
macro_rules! nested {
    ($($type:ident)*) => {$(
        impl Field for $type {
            fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self {
                let path = if key.table.is_empty() { key.name.to_owned() } else { format!("{}.{}", key.table, key.name) };
                match value.get_ref().as_table() {
                    Some(table) => Table::read(reader, &path, key.span.clone(), table),
                    None => {
                        let write = format!("{} = {}", key.name, key.example);
                        reader.wrong_type(key, "a table", value, &write);
                        Self::default()
                    }
                }
            }

            fn over(&self, base: &Self) -> Self {
                Table::over(self, base)
            }
        }
    )*};
}

nested!(RolloutTable TimeoutsTable SandboxTable);

/// What a syntax mistake does to the lines after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ruin {
    Line,
    Rest,
}

/// The syntax mistakes in our words, at most one for each line, and how far the worst one reaches.
fn syntax_mistakes(text: &str, errors: &[toml::de::Error]) -> (Vec<ConfigError>, Ruin) {
    let mut errors: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let unclosed = errors.iter().find_map(|(_, message)| {
        let closing = [("unclosed array", ']'), ("unclosed inline table", '}')];
        closing.into_iter().find(|(start, _)| message.starts_with(start)).map(|(_, bracket)| bracket)
    });
    let mut mistakes: Vec<ConfigError> = Vec::new();
    let mut ruin = Ruin::Line;
    for (span, message) in errors {
        // What is opened and never closed swallows what follows: the other messages would be about our
        // own confusion. The first of them is behind the place where it was opened.
        if let Some(closing) = unclosed
            && let Some(opening) = opening_before(text, span.start, closing)
        {
            let (message, write) = match closing {
                ']' => ("the list that begins here does not end", "is a `]` missing?"),
                _ => (
                    "the table in braces that begins here does not end",
                    "is a `}` missing? All of it stands in one line",
                ),
            };
            let mistake = Mistake::Syntax { message: message.to_owned(), write: Some(write.to_owned()) };
            mistakes.push(ConfigError::new(mistake, Place::File(opening..opening + 1)));
            return (mistakes, Ruin::Rest);
        }
        let (mistake, reach) = syntax_mistake(text, &span, message);
        let error = ConfigError::new(mistake, Place::File(visible(text, span.clone())));
        let in_a_table_written_twice = message.starts_with("duplicate key")
            && header_before(text, span.start).is_some_and(|header| {
                mistakes.iter().any(|earlier| earlier.place.order().is_some_and(|at| header.contains(&at)))
            });
        if in_a_table_written_twice || mistakes.iter().any(|earlier| same_line(text, &earlier.place, &error.place)) {
            continue;
        }
        mistakes.push(error);
        if reach == Ruin::Rest {
            ruin = Ruin::Rest;
            if !message.starts_with("unclosed table") {
                break;
            }
        }
    }
    (mistakes, ruin)
}

/// The bracket behind the last `=` before `at` that opens what `closing` should close.
fn opening_before(text: &str, at: usize, closing: char) -> Option<usize> {
    let open = if closing == ']' { '[' } else { '{' };
    let line_end = text.get(at..)?.find('\n').map_or(text.len(), |newline| at + newline);
    let mut end = line_end;
    while let Some(equals) = text.get(..end)?.rfind('=') {
        let value = &text[equals + 1..line_end];
        let start = equals + 1 + (value.len() - value.trim_start().len());
        if text[start..].starts_with(open) && start < at && !text[start..at].contains(closing) {
            return Some(start);
        }
        end = equals;
    }
    None
}

/// The line of the table header that `at` stands under.
fn header_before(text: &str, at: usize) -> Option<Range<usize>> {
    let line_start = text.get(..at)?.rfind('\n')? + 1;
    let start = if text[..line_start].starts_with('[') && !text[..line_start].contains("\n[") {
        0
    } else {
        text[..line_start].rfind("\n[")? + 1
    };
    Some(start..start + text[start..].lines().next().map_or(0, str::len))
}

/// Puts the parser's words (`toml` 1.2) into ours; what is not known here is told as it is.
fn syntax_mistake(text: &str, span: &Range<usize>, message: &str) -> (Mistake, Ruin) {
    let line = line_of(text, span.start);
    let source = text.get(span.clone()).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    let say = |message: &str, write: Option<String>| Mistake::Syntax { message: message.to_owned(), write };

    if message.starts_with("string values must be quoted") {
        let mistake = match source.to_ascii_lowercase().as_str() {
            "" => say(&format!("`{key}` has no value"), Some(format!("write `{key} = \"…\"`, or leave the key out"))),
            "yes" | "on" => say("this is not true or false", Some("write `true`".to_owned())),
            "no" | "off" => say("this is not true or false", Some("write `false`".to_owned())),
            _ => say("a text stands in quotes", Some(format!("write `\"{source}\"`"))),
        };
        return (mistake, Ruin::Line);
    }
    if message.starts_with("invalid boolean") {
        return (say("this is not true or false", Some(format!("write `{}`", source.to_lowercase()))), Ruin::Line);
    }
    if message.starts_with("unclosed table") {
        return (say("a `]` is missing", Some(format!("write `{}]`", line.trim_end()))), Ruin::Rest);
    }
    if message.starts_with("invalid basic string") || message.starts_with("invalid literal string") {
        return (say("the text does not end in this line", Some("is a quote missing?".to_owned())), Ruin::Line);
    }
    if message.starts_with("key with no value") {
        let write = match line.split_once(':') {
            Some((key, value)) if value.trim().is_empty() => {
                format!("this is TOML, not YAML: write `[{}]`, or `{} = …`", key.trim(), key.trim())
            }
            Some((key, value)) => format!("write `{} = {}`", key.trim(), value.trim()),
            None => format!("write `{} = …`, or put `#` in front of a comment", line.trim()),
        };
        return (say("there is no `=` in this line", Some(write)), Ruin::Line);
    }
    if message.starts_with("invalid unquoted key") && source == ":" {
        let value = line.split_once(':').map_or("", |(_, value)| value).trim();
        let key = line.split(':').next().unwrap_or_default().trim();
        return (say("there is no `=` in this line", Some(format!("write `{key} = {value}`"))), Ruin::Line);
    }
    if message.starts_with("duplicate key") {
        let what = if line.trim_start().starts_with('[') { line.trim() } else { source };
        return (say(&format!("`{what}` is written twice"), Some("keep one of them".to_owned())), Ruin::Line);
    }
    if message.starts_with("unexpected leading zero") {
        let value = line.split_once('=').map_or("", |(_, value)| value).trim();
        return (say("a number does not begin with 0", Some(format!("write `{key} = \"{value}\"`"))), Ruin::Line);
    }
    if message.contains("array") {
        let write = "between `[` and `]` stand texts in quotes, divided by commas; is a `]` or a comma missing?";
        return (say("the list is broken here", Some(write.to_owned())), Ruin::Rest);
    }
    if message.contains("inline table") || message.contains("key-value pairs") {
        let write = "between `{` and `}` stand `NAME = \"value\"`, divided by commas; is a `}` or a comma missing?";
        return (say("the table in braces is broken here", Some(write.to_owned())), Ruin::Rest);
    }
    (say(message, None), Ruin::Line)
}

/// A place that can be underlined: an empty one takes the letter before it, a line end the last letter.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    if !span.is_empty() {
        return span;
    }
    let before = text.get(..span.start).unwrap_or(text).trim_end();
    let start = before.char_indices().next_back().map_or(0, |(at, _)| at);
    start..before.len().max(start)
}

fn line_of(text: &str, at: usize) -> &str {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
}

fn same_line(text: &str, one: &Place, other: &Place) -> bool {
    match (one.line_and_column(text), other.line_and_column(text)) {
        (Some((one, _)), Some((other, _))) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_from_any_file() {
        let whole = "format = 1\n[images.api]\n[services.api]\ncluster = \"x\"\n[services.worker.rollout]\n\
                     [environments]\nstaging = { region = \"eu-west-1\" }\nproduction.region = \"eu-west-1\"\n";
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            super::names(whole),
            Names {
                environments: names(&["production", "staging"]),
                services: names(&["api", "worker"]),
                images: names(&["api"]),
            }
        );
        let broken = "format = = 1\n[services.api\ncluster = \"x\ntags = [\n[ services . \"web\" ] # comment\n\
                      [environments.production]\n[[images]]\n[services]\ncluster = 1";
        let read = super::names(broken);
        assert_eq!(read.services, names(&["api", "web"]));
        assert_eq!(read.environments, names(&["production"]));
        assert_eq!(super::names(""), Names::default());
    }

    #[test]
    fn the_file_is_looked_for_upwards() {
        let here = Path::new("/repo/src/api");
        let found = find(here.ancestors(), |path| path == Path::new("/repo/ship.toml"));
        assert_eq!(found, Ok(PathBuf::from("/repo/ship.toml")));
        let error = find(here.ancestors(), |_| false).expect_err("nowhere");
        let looked =
            ["/repo/src/api/ship.toml", "/repo/src/ship.toml", "/repo/ship.toml", "/ship.toml"].map(PathBuf::from);
        assert_eq!(*error.mistake, Mistake::NoFile { looked: looked.to_vec() });
        insta::assert_snapshot!(error.mistake.help().expect("help"), @r#"
        looked in this folder and in those above it:
          /repo/src/api/ship.toml
          /repo/src/ship.toml
          /repo/ship.toml
          /ship.toml
        name another one with --file, or write the smallest one:
          format = 1

          [images.api]
          repository = "jobs/api"

          [services.api]
          cluster = "jobs"

          [environments.production]
          region = "eu-west-1"
        "#);
    }

    #[test]
    fn every_example_is_read_by_its_own_key() {
        fn check<T: Table>(header: &str) {
            for key in T::KEYS {
                let text = match (header, key.name) {
                    ("", "format") => "format = 1\n".to_owned(),
                    ("", _) => format!("format = 1\n{} = {}\n", key.name, key.example),
                    _ => format!("format = 1\n[{header}]\n{} = {}\n", key.name, key.example),
                };
                assert_eq!(parse(&text).errors, [], "{text}");
                assert!(!key.documentation.trim().is_empty(), "{header}.{} says nothing", key.name);
            }
        }
        check::<File>("");
        check::<ImageTable>("images.api");
        check::<ServiceTable>("services.api");
        check::<RolloutTable>("services.api.rollout");
        check::<TimeoutsTable>("services.api.rollout.timeouts");
        check::<SandboxTable>("sandbox");
        check::<EnvironmentTable>("environments.production");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reading(text in "(format = 1\n|\\[|\\]|services|images|environments|\\.|api|cluster|tags| = |\"|'|,|\\{|\\}|\n|\\$|1|é|#|true|:)*") {
            let parsed = parse(&text);
            for error in &parsed.errors {
                if let Place::File(span) = &error.place {
                    prop_assert!(text.get(span.clone()).is_some(), "{:?} lies not in the text", span);
                }
            }
            let look = crate::config::error::Look { colour: false, unicode: true, width: 80 };
            let drawn = crate::config::error::render(&parsed.errors, "ship.toml", &text, look);
            prop_assert_eq!(drawn.is_empty(), parsed.errors.is_empty());
            let Names { environments: _, services: _, images } = names(&text);
            prop_assert!(parsed.file.images.keys().all(|key| images.contains(key)));
        }
    }
}
