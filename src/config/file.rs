//! `ship.toml` as written: which keys stand where, of which type, and at which place. Nothing here
//! knows what a key means; `resolve` does.
//!
//! The format itself is the `table!` declarations below: one line for each key, with its
//! documentation and an example, from which reading, overriding, suggestions, the reference page and
//! the schema all come.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Component, Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub use super::read::{Field, Key, KeyOutline, Kind, Outline, Reader, Scalar, Shape, Table, Written};
use super::{
    error::{ConfigError, Mistake, Place},
    read::integer,
    sources::{Language, Sources},
    syntax::{Ruin, same_line, syntax_mistakes},
};

/// The format this version reads.
pub const FORMAT: i64 = 1;

/// The name that is looked for.
pub const FILE_NAME: &str = "ship.toml";

/// The words of `builder`.
pub const BUILDERS: [&str; 4] = ["auto", "engine", "buildx", "classic"];
/// The words of `on_failure`.
pub const ON_FAILURE: [&str; 3] = ["rollback", "leave", "wait"];

const DURATION: &str = "([0-9]+h)?([0-9]+m)?([0-9]+s)?";
const REGION: &str = "[a-z]+(-[a-z]+)+-[0-9]+";
const ACCOUNT: &str = "[0-9]{12}";
const ROLE_ARN: &str = "arn:aws[a-z-]*:iam::[0-9]{12}:role/.+";
const PLATFORM: &str = "(linux|windows)/[a-z0-9]+(/v[0-9]+)?";

macro_rules! table {
    ($(#[doc = $about:literal])* $type:ident $(($whole:ident))? {
        $($(#[doc = $doc:literal])* $key:ident : $field:ty = $example:literal $(in $shape:expr)?,)*
    }) => {
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
                    kind: <$field as Field>::KIND,
                    shape: [$($shape,)? Shape::Any][0],
                },)*
            ];
            const OUTLINE: Outline = Outline {
                name: stringify!($type),
                documentation: concat!($($about),*),
                keys: <$type as Table>::KEYS,
            };

            fn read(reader: &mut Reader<'_>, path: &str, header: Range<usize>, table: &DeTable<'_>) -> Self {
                let mut read = Self { header: reader.at(header), ..Self::default() };
                for (key, value) in table {
                    match key.get_ref().as_ref() {
                        $(stringify!($key) => {
                            let at = Key {
                                name: stringify!($key),
                                table: path,
                                span: key.span(),
                                example: $example,
                                shape: [$($shape,)? Shape::Any][0],
                            };
                            read.$key = Field::read(reader, &at, value);
                        })*
                        unknown => reader.unknown_key(path, unknown, key.span(), value.get_ref(), Self::KEYS),
                    }
                }
                read
            }

            fn over(&self, base: &Self) -> Self {
                $(
                    // Half of the one and half of the other would be neither.
                    let $whole = Self { header: self.header.clone(), ..Self::default() };
                    if *self != $whole {
                        return self.clone();
                    }
                )?
                Self {
                    header: if self.header.is_empty() { base.header.clone() } else { self.header.clone() },
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

            fn places(&self, path: &str, places: &mut Vec<(String, Range<usize>)>) {
                let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
                $(Field::places(&self.$key, &format!("{prefix}{}", stringify!($key)), places);)*
            }
        }

        /// As a table in a table.
        impl Field for $type {
            const KIND: Kind = Kind::Table(&<$type as Table>::OUTLINE);

            fn read(reader: &mut Reader<'_>, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Self {
                if let Some(table) = value.get_ref().as_table() {
                    return Table::read(reader, &key.path(), key.span.clone(), table);
                }
                let write = format!("{} = {}", key.name, key.example);
                reader.wrong_type(key, "a table", value, &write);
                Self::default()
            }

            fn over(&self, base: &Self) -> Self {
                Table::over(self, base)
            }

            fn places(&self, path: &str, places: &mut Vec<(String, Range<usize>)>) {
                Table::places(self, path, places);
            }
        }
    };
}

table! {
    /// The whole file.
    File {
        /// The version of this format. A newer file on an older program gets one clear sentence.
        format: Option<Written<i64>> = "1" in Shape::Range(FORMAT, FORMAT),
        /// Another file to take everything from that this one does not say, relative to this one. Paths in it are
        /// relative to it.
        extends: Option<Written<String>> = "\"../ship.base.toml\"",
        /// The environment that is taken when none is named.
        default_environment: Option<Written<String>> = "\"staging\"",
        /// What the failure of one rollout means for the other services of the run: `independent`, or
        /// `all-or-nothing` to take all of them back.
        release: Option<Written<String>> = "\"independent\"" in Shape::OneOf(&["independent", "all-or-nothing"]),
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
        /// Build arguments. They can be read in the image's history: for what is secret there is `secrets`.
        args: BTreeMap<String, Written<String>> = "{ COMMIT = \"${git.commit}\" }",
        /// Secrets for `RUN --mount=type=secret,id=…`: from a variable of the environment or from a file. They are in no
        /// layer of the image and in no log.
        secrets: BTreeMap<String, SecretTable> = "{ nuget = { env = \"NUGET_TOKEN\" }, npmrc = { file = \"~/.npmrc\" } }",
        /// SSH agents for `RUN --mount=type=ssh`, as in `docker build --ssh`: `default` is the agent of `SSH_AUTH_SOCK`,
        /// `id=path` the socket of another. A key in a file goes into an agent first, with `ssh-add`.
        ssh: Option<Written<Vec<Written<String>>>> = "[\"default\"]",
        /// Images to take build cache from. A name without a registry is a repository of the environment's own registry.
        cache_from: Option<Written<Vec<Written<String>>>> = "[\"${repository}:cache\"]",
        /// Where the build leaves its cache for later ones: images, as in `cache_from`, or buildx's own words,
        /// `type=registry,ref=…`, which need buildx; `type=inline` puts it into the image itself.
        cache_to: Option<Written<Vec<Written<String>>>> = "[\"${repository}:cache\"]",
        /// The platform to build for. Default: the engine's own.
        platform: Option<Written<String>> = "\"linux/arm64\"" in Shape::Pattern(PLATFORM),
        /// Which builder: `auto`, `engine`, `buildx` or `classic`. `auto` is the engine's own BuildKit, buildx where
        /// `cache_to` needs it, and the classic builder where the engine has no BuildKit.
        builder: Option<Written<String>> = "\"auto\"" in Shape::OneOf(&BUILDERS),
        /// Tags; the first must be unique to the build, the others may move. Default: `["${build}"]`.
        tags: Option<Written<Vec<Written<String>>>> = "[\"v1-${build}\", \"latest\"]",
        /// What must succeed before anything is pushed.
        checks: Option<Written<Vec<CheckTable>>> = "[{ target = \"test\" }, { run = [\"/app/selftest\"] }]",
    }
}

table! {
    /// `[images.X.secrets]`: where one secret comes from; either of the two.
    SecretTable (whole) {
        /// The environment variable that holds it.
        env: Option<Written<String>> = "\"NUGET_TOKEN\"",
        /// The file that holds it; `~/` is the home folder.
        file: Option<Written<String>> = "\"~/.npmrc\"",
    }
}

table! {
    /// `[[images.X.checks]]`: build a stage, or run a command in the built image.
    CheckTable {
        /// Build this stage.
        target: Option<Written<String>> = "\"test\"",
        /// Run this in the built image, in place of its `ENTRYPOINT` and `CMD`: the program and its arguments. It must end
        /// with 0.
        run: Option<Written<Vec<Written<String>>>> = "[\"/app/selftest\"]",
        /// Give up after this long. Default: 15 minutes.
        timeout: Option<Written<String>> = "\"2m\"" in Shape::Pattern(DURATION),
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
        /// CPU units of the task, 1024 for one core, whatever the task definition says.
        cpu: Option<Written<String>> = "\"512\"",
        /// Memory of the task in MiB, whatever the task definition says.
        memory: Option<Written<String>> = "\"1024\"",
        /// Environment variables of the container, laid over those of the task definition.
        environment: BTreeMap<String, Written<String>> = "{ LOG_LEVEL = \"info\" }",
        /// Files with `KEY=value` lines that become environment variables, in order; `environment` goes before them.
        environment_files: Option<Written<Vec<Written<String>>>> = "[\"deploy/common.env\"]",
        /// Secrets of the container: by name, the parameter of SSM or the ARN that ECS reads the value from.
        ssm_secrets: BTreeMap<String, Written<String>> = "{ DATABASE_URL = \"/jobs/db-url\" }",
        /// A task that must succeed before the service is updated.
        before: BeforeTable = "{ command = [\"rake\", \"db:migrate\"] }",
        /// How the rollout is watched.
        rollout: RolloutTable = "{ timeouts = { total = \"30m\" } }",
        /// How the sandbox makes this service.
        sandbox: SandboxTable = "{ desired_count = 2 }",
    }
}

table! {
    /// `[services.X.before]`: a task of the new revision, run where the service runs, before anything is rolled out.
    BeforeTable {
        /// What runs in place of the container's command: the program and its arguments. It must end with 0.
        command: Option<Written<Vec<Written<String>>>> = "[\"rake\", \"db:migrate\"]",
        /// Stop it, and roll nothing out, after this long. Default: 15 minutes.
        timeout: Option<Written<String>> = "\"15m\"" in Shape::Pattern(DURATION),
        /// The container whose command it is. Default: the one that gets the image.
        container: Option<Written<String>> = "\"api\"",
    }
}

table! {
    /// `[services.X.rollout]`.
    RolloutTable {
        /// When to give up.
        timeouts: TimeoutsTable = "{ no_progress = \"5m\", total = \"30m\" }",
        /// What to do once it is clear that a rollout will fail: `rollback`, `leave` it as it is, or
        /// `wait` for ECS's circuit breaker.
        on_failure: Option<Written<String>> = "\"rollback\"" in Shape::OneOf(&ON_FAILURE),
        /// What becomes of a rollout when the command is interrupted: `leave` it to ECS, or `rollback`.
        on_interrupt: Option<Written<String>> = "\"leave\"" in Shape::OneOf(&["leave", "rollback"]),
        /// What ends the command when all goes well: the new tasks are `live`, the old ones are `drained`
        /// too, or ECS says that the service is `steady`.
        done_when: Option<Written<String>> = "\"drained\"" in Shape::OneOf(&["live", "drained", "steady"]),
        /// `minimumHealthyPercent` of the service. Default: what the service has.
        minimum_healthy_percent: Option<Written<i64>> = "100" in Shape::Range(0, 100),
        /// `maximumPercent` of the service. Default: what the service has.
        maximum_percent: Option<Written<i64>> = "200" in Shape::Range(100, 1000),
    }
}

table! {
    /// `timeouts` of a rollout; draining has a budget of its own, worked out from the target groups.
    TimeoutsTable {
        /// Give up when nothing has moved for this long.
        no_progress: Option<Written<String>> = "\"5m\"" in Shape::Pattern(DURATION),
        /// Give up after this long, whatever moves.
        total: Option<Written<String>> = "\"30m\"" in Shape::Pattern(DURATION),
    }
}

table! {
    /// `[sandbox]` and `[services.X.sandbox]`: what the sandbox creates when it has no such service yet.
    SandboxTable {
        /// How many tasks run.
        desired_count: Option<Written<i64>> = "2" in Shape::Range(0, 5000),
        /// The port the container listens on.
        container_port: Option<Written<i64>> = "8080" in Shape::Range(1, 65_535),
        /// The port of the load balancer's listener. Default: a free one.
        listener_port: Option<Written<i64>> = "8000" in Shape::Range(1, 65_535),
        /// What the target group asks for.
        health_check_path: Option<Written<String>> = "\"/health\"",
        /// The time between two health checks of a target.
        health_check_interval: Option<Written<String>> = "\"5s\"" in Shape::Pattern(DURATION),
        /// How long a target that is taken out may finish its requests.
        deregistration_delay: Option<Written<String>> = "\"10s\"" in Shape::Pattern(DURATION),
        /// How long a container has between SIGTERM and SIGKILL.
        stop_timeout: Option<Written<String>> = "\"10s\"" in Shape::Pattern(DURATION),
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
        region: Option<Written<String>> = "\"eu-west-1\"" in Shape::Pattern(REGION),
        /// The profile in `~/.aws/config` whose credentials are taken.
        profile: Option<Written<String>> = "\"jobs-staging\"",
        /// The role to act as; the profile's credentials, or those found otherwise, are only used to assume it.
        role_arn: Option<Written<String>> = "\"arn:aws:iam::111111111111:role/ship\"" in Shape::Pattern(ROLE_ARN),
        /// The only account this environment may touch; refused if the credentials belong to another.
        account: Option<Written<String>> = "\"111111111111\"" in Shape::Pattern(ACCOUNT),
        /// Ship to the embedded stand-in on this machine; no account is needed.
        sandbox: Option<Written<bool>> = "true",
        /// Show the plan and ask before acting; `--yes` answers for CI.
        confirm: Option<Written<bool>> = "true",
        /// The environment whose images are taken here. Nothing is built: each service gets the image that the service of
        /// the same key runs there now, by its digest, copied into the repository of this environment.
        promote_from: Option<Written<String>> = "\"staging\"",
        /// Keys of services that are different here.
        services: BTreeMap<String, ServiceTable> = "{ api = { cluster = \"jobs-production\" } }",
        /// Keys of images that are different here.
        images: BTreeMap<String, ImageTable> = "{ api = { target = \"debug\" } }",
    }
}

/// A file that was read, with what is wrong in its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// With everything that it extends laid under it.
    pub file: File,
    pub sources: Sources,
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
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(ConfigError::new(Mistake::Utf16, Place::Nowhere));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| ConfigError::new(Mistake::NotText { line: first_bad_line(bytes, error) }, Place::Nowhere))
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

/// How files beside `ship.toml` are read.
pub type ReadFile = fn(&Path) -> io::Result<Vec<u8>>;

/// Reads one file alone and collects every mistake of form: syntax, unknown keys, wrong types.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let (file, errors, form) = parse_at(text, 0);
    Parsed { file, sources: Sources::of(FILE_NAME, text), errors, form }
}

/// Reads `ship.toml`, called `name`, and all that it extends; `root` is the folder it lies in.
#[must_use]
pub fn parse_all(name: &str, text: &str, root: &Path, read: ReadFile) -> Parsed {
    let (mut file, mut errors, mut form) = parse_at(text, 0);
    let mut sources = Sources::of(name, text);
    let mut extended: Vec<PathBuf> = vec![PathBuf::from(Path::new(name).file_name().unwrap_or_default())];
    let mut next = file.extends.take();
    while let Some(extends) = next.take() {
        let path = tidy(&sources.folder(&extends.span).join(&extends.value));
        let told = Place::File(extends.span.clone());
        if extended.contains(&path) {
            let chain = extended.iter().chain([&path]).map(|path| path.display().to_string()).collect();
            errors.push(ConfigError::new(Mistake::ExtendsCircle { chain }, told));
            break;
        }
        let base = match read(&root.join(&path)) {
            Ok(bytes) => match text_of(bytes) {
                Ok(text) => text,
                Err(line) => {
                    errors.push(ConfigError::new(Mistake::ExtendsNotText { path: extends.value, line }, told));
                    break;
                }
            },
            Err(error) => {
                let mistake = Mistake::ExtendsUnread { path: extends.value, why: error.kind() };
                errors.push(ConfigError::new(mistake, told));
                break;
            }
        };
        let (below, wrong, readable) = parse_at(&base, sources.end());
        let shown = Path::new(name).parent().unwrap_or(Path::new("")).join(&path);
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let begin = sources.add(tidy(&shown).display().to_string(), folder, base, Language::Toml);
        errors.extend(wrong.into_iter().map(|mut error| {
            // What is missing is missing in that file.
            if error.place == Place::Nowhere {
                error.place = Place::File(begin..begin);
            }
            error
        }));
        if readable == Form::Broken {
            form = Form::Broken;
        }
        next.clone_from(&below.extends);
        file = Table::over(&file, &below);
        file.extends = None;
        extended.push(path);
    }
    Parsed { file, sources, errors, form }
}

fn text_of(bytes: Vec<u8>) -> Result<String, usize> {
    String::from_utf8(bytes).map_err(|error| first_bad_line(error.as_bytes(), error.utf8_error()))
}

fn first_bad_line(bytes: &[u8], error: std::str::Utf8Error) -> usize {
    bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count()
}

/// Without `.` and with no more `..` than it needs, as far as that can be told without looking.
#[must_use]
pub fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match (component, tidy.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                tidy.pop();
            }
            (other, _) => tidy.push(other),
        }
    }
    tidy
}

/// Reads a text that begins at `begin` in the row of all texts.
fn parse_at(text: &str, begin: usize) -> (File, Vec<ConfigError>, Form) {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, begin, errors: Vec::new() };
    let moved = |mut errors: Vec<ConfigError>| {
        for error in &mut errors {
            if let Place::File(span) = &mut error.place {
                *span = begin + span.start..begin + span.end;
            }
        }
        errors
    };
    let (mistakes, ruin) = syntax_mistakes(text, &syntax);
    if ruin == Ruin::Rest {
        return (File::default(), moved(mistakes), Form::Broken);
    }

    // Judged first: a newer file has keys that we cannot know.
    if let Some(written) = table.get_ref().get("format").and_then(|value| integer(value.get_ref()))
        && written > FORMAT
    {
        let span = table.get_ref().get("format").map_or(0..0, Spanned::span);
        let error = ConfigError::new(Mistake::NewerFormat { written }, Place::File(span));
        return (File::default(), moved(vec![error]), Form::Broken);
    }

    let file = <File as Table>::read(&mut reader, "", 0..0, table.get_ref());
    if let Some(written) = table.get_ref().get("format") {
        if let Some(format) = integer(written.get_ref())
            && format != FORMAT
        {
            reader.mistake(Mistake::UnknownFormat { written: format }, written.span());
        }
    } else {
        // One that is nearly there is told as what it is.
        let is_meant = reader.errors.iter().any(|error| error.mistake.is_about_key("format"));
        if mistakes.is_empty() && !is_meant {
            reader.errors.push(ConfigError::new(Mistake::NoFormat, Place::Nowhere));
        }
    }

    let form = if mistakes.is_empty() { Form::Readable } else { Form::Broken };
    let mut errors = reader.errors;
    // A value that could not be read has no type worth a second complaint.
    errors.retain(|error| !mistakes.iter().any(|mistake| same_line(text, &error.place, &mistake.place)));
    // What the parser puts in its place stands nowhere.
    errors.retain(|error| mistakes.is_empty() || error.place.span().is_none_or(|span| !span.is_empty()));
    errors.extend(mistakes);
    (file, moved(errors), form)
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
    fn the_guide_has_a_file_with_every_key() {
        fn written<T: Table>(header: &str, page: &str, missing: &mut Vec<String>) {
            for key in T::KEYS {
                let starts = |line: &str| {
                    let line = line.trim();
                    line.strip_prefix(key.name).is_some_and(|rest| rest.trim_start().starts_with('='))
                        || line.starts_with(&format!("[{header}{}", key.name))
                        || line.starts_with(&format!("[[{header}{}", key.name))
                        || line.contains(&format!("{{ {} =", key.name))
                        || line.contains(&format!(", {} =", key.name))
                };
                if !page.lines().any(starts) {
                    missing.push(format!("{header}{}", key.name));
                }
            }
        }
        let page = include_str!("../../docs/guide/ship-toml.md");
        let mut missing = Vec::new();
        written::<File>("", page, &mut missing);
        written::<SandboxTable>("sandbox.", page, &mut missing);
        written::<ImageTable>("images.api.", page, &mut missing);
        written::<ServiceTable>("services.api.", page, &mut missing);
        written::<BeforeTable>("services.api.before.", page, &mut missing);
        written::<RolloutTable>("services.api.rollout.", page, &mut missing);
        written::<TimeoutsTable>("services.api.rollout.timeouts.", page, &mut missing);
        written::<EnvironmentTable>("environments.production.", page, &mut missing);
        written::<SecretTable>("images.api.secrets.", page, &mut missing);
        written::<CheckTable>("images.api.checks.", page, &mut missing);
        assert_eq!(missing, Vec::<String>::new(), "the guide's file lacks them");
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
                let errors = parse(&text).errors;
                assert!(errors.is_empty(), "{text}: {errors:?}");
                assert!(!key.documentation.trim().is_empty(), "{header}.{} says nothing", key.name);
            }
        }
        check::<File>("");
        check::<ImageTable>("images.api");
        check::<ServiceTable>("services.api");
        check::<SecretTable>("images.api.secrets.nuget");
        check::<BeforeTable>("services.api.before");
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
            let drawn = crate::config::error::render(&parsed.errors, &parsed.sources, look);
            prop_assert_eq!(drawn.is_empty(), parsed.errors.is_empty());
            let Names { environments: _, services: _, images } = names(&text);
            prop_assert!(parsed.file.images.keys().all(|key| images.contains(key)));
        }
    }
}
