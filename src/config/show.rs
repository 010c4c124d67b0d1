//! What a file means for one environment, value by value, and where each came from: as TOML that can be read again, or
//! as JSON.

use std::{collections::BTreeMap, fmt::Write as _, ops::Range, path::Path, time::Duration};

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use super::{
    duration,
    error::Place,
    file::FORMAT,
    resolve::Resolved,
    secrets::looks_secret,
    sources::{Language, Sources},
    spec::{
        self, Before, BuildSecret, BuildSsh, Builder, CacheImage, CacheTo, Check, CheckWork, Confirm, Destination,
        DoneWhen, Environment, Image, MissingRepository, OnFailure, OnInterrupt, Overlays, Percentages, Promotion,
        PromotionSource, Release, Rollout, SandboxService, Service, Spec, TaskDefinitionSource,
    },
};
use crate::secret;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    Written {
        file: String,
        line: usize,
        /// `environments.production.services.api`; `None` in an environment file.
        table: Option<String>,
    },
    /// Not said anywhere.
    Default,
}

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    /// `None`: what `ship.toml` leaves to others, told by `left`.
    pub value: Option<Value>,
    /// Who decides instead: `as the service has it`.
    pub left: &'static str,
    pub origin: Origin,
}

/// One table with all of its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// `services.api.rollout`; empty for the keys outside of any table.
    pub table: String,
    pub entries: Vec<Entry>,
}

/// All that was resolved, in the order of a file.
#[must_use]
pub fn show(resolved: &Resolved) -> Vec<Shown> {
    let Resolved { spec, warnings: _, sources, origins } = resolved;
    let Spec { root, environment, images, services, release, promotion } = spec;
    let mut page = Page { root, origins, homes: Homes::of(sources), sources, tables: Vec::new() };
    page.begin("");
    let origin = page.origin("format");
    page.push("format", Some(json!(FORMAT)), "", origin);
    if let Some(name) = &environment.name {
        let origin = page.origin("environment");
        page.push("default_environment", Some(json!(name)), "", origin);
    }
    let origin = page.origin("release");
    let word = match release {
        Release::Independent => "independent",
        Release::AllOrNothing => "all-or-nothing",
    };
    page.push("release", Some(json!(word)), "", origin);
    for (key, image) in images {
        page.image(key.as_str(), image);
    }
    for (key, Destination { repository, missing_repository }) in promotion.iter().flat_map(|one| &one.destinations) {
        page.begin(format!("images.{key}"));
        page.set("repository", repository.as_str());
        page.set("create_repository", *missing_repository == MissingRepository::Create);
    }
    for (key, service) in services {
        page.service(key.as_str(), service, &environment.place);
    }
    page.environment(environment, "");
    if let Some(promotion) = promotion {
        page.promotion(promotion);
    }
    page.tables
}

/// As TOML, with the origin of each value behind it. Read again, it means the same.
#[must_use]
pub fn to_toml(tables: &[Shown]) -> String {
    let mut text = String::new();
    for Shown { table, entries } in tables {
        if entries.is_empty() {
            continue;
        }
        if !table.is_empty() {
            let _ = writeln!(text, "\n[{table}]");
        }
        let line = |entry: &Entry| match &entry.value {
            Some(value) => format!("{} = {}", bare_or_quoted(&entry.key), as_toml(value)),
            None => format!("# {}: {}", entry.key, entry.left),
        };
        // Comments stand in a column where lines are short enough for one.
        let widths = entries.iter().filter(|entry| entry.value.is_some()).map(|entry| line(entry).chars().count());
        let column = widths.filter(|width| *width <= 60).max().unwrap_or(0);
        for entry in entries {
            if entry.value.is_none() {
                let _ = writeln!(text, "{}", line(entry));
            } else {
                let _ = writeln!(text, "{:column$}  # {}", line(entry), entry.origin.seen_from(table));
            }
        }
    }
    text
}

/// As JSON: table by table, each value with its origin.
#[must_use]
pub fn to_json(tables: &[Shown]) -> Value {
    let mut root = Map::new();
    for Shown { table, entries } in tables {
        let mut home = &mut root;
        for part in table.split('.').filter(|part| !part.is_empty()) {
            let inner = home.entry(part).or_insert_with(|| json!({}));
            home = inner.as_object_mut().expect("a name is of a table or of a value, never of both");
        }
        for Entry { key, value, left, origin } in entries {
            let mut entry = Map::new();
            entry.insert("value".to_owned(), value.clone().unwrap_or(Value::Null));
            match origin {
                Origin::Flag(name) => entry.insert("from".to_owned(), json!({ "flag": name })),
                Origin::Variable(name) => entry.insert("from".to_owned(), json!({ "variable": name })),
                Origin::Written { file, line, table } => {
                    entry.insert("from".to_owned(), json!({ "file": file, "line": line, "table": table }))
                }
                Origin::Default => entry.insert("from".to_owned(), json!("default")),
            };
            if value.is_none() {
                entry.insert("left_to".to_owned(), json!(left));
            }
            home.insert(key.clone(), Value::Object(entry));
        }
    }
    Value::Object(root)
}

impl Origin {
    /// In a few words; the table is only said where it is another than the one shown.
    fn seen_from(&self, shown: &str) -> String {
        match self {
            Self::Flag(name) => (*name).to_owned(),
            Self::Variable(name) => format!("${name}"),
            Self::Written { file, line, table: Some(table) } if table != shown && !table.is_empty() => {
                format!("{file}:{line} [{table}]")
            }
            Self::Written { file, line, table: _ } => format!("{file}:{line}"),
            Self::Default => "default".to_owned(),
        }
    }
}

struct Page<'a> {
    root: &'a Path,
    origins: &'a BTreeMap<String, Place>,
    homes: Homes,
    sources: &'a Sources,
    tables: Vec<Shown>,
}

impl Page<'_> {
    fn begin(&mut self, table: impl Into<String>) {
        self.tables.push(Shown { table: table.into(), entries: Vec::new() });
    }

    fn origin(&self, name: &str) -> Origin {
        match self.origins.get(name) {
            Some(Place::File(span)) => self.written(span),
            Some(Place::Flag(name)) => Origin::Flag(name),
            Some(Place::Variable(name)) => Origin::Variable(name),
            Some(Place::Nowhere) | None => Origin::Default,
        }
    }

    fn written(&self, span: &Range<usize>) -> Origin {
        let Some((source, local)) = self.sources.locate(span) else { return Origin::Default };
        let (line, _) = source.line_and_column(local.start).unwrap_or((1, 1));
        Origin::Written { file: source.name.clone(), line, table: self.homes.0.get(&span.start).cloned() }
    }

    /// Where a key of the table begun last came from.
    fn here(&self, key: &str) -> Origin {
        let table = self.tables.last().map_or("", |shown| shown.table.as_str());
        self.origin(&if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") })
    }

    fn push(&mut self, key: &str, value: Option<Value>, left: &'static str, origin: Origin) {
        let entry = Entry { key: key.to_owned(), value, left, origin };
        self.tables.last_mut().expect("a table was begun").entries.push(entry);
    }

    /// A value whose origin is known by another name than that of its place.
    fn set_from(&mut self, key: &str, value: impl Into<Value>, name: &str) {
        let origin = self.origin(name);
        self.push(key, Some(value.into()), "", origin);
    }

    /// A value that is there in any case.
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        let origin = self.here(key);
        self.push(key, Some(value.into()), "", origin);
    }

    /// A value that is left to others where it is not said.
    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>, left: &'static str) {
        let origin = self.here(key);
        self.push(key, value.map(Into::into), left, origin);
    }

    fn span(&mut self, key: &str, value: Duration) {
        self.set(key, duration::print(value));
    }

    /// Names and texts, in a table of their own, so that each has its origin.
    fn named(&mut self, table: &str, texts: &BTreeMap<String, String>) {
        if texts.is_empty() {
            return;
        }
        self.begin(table);
        for (name, text) in texts {
            let hidden = secret::is_secret_name(name) || looks_secret(name, text);
            self.set(name, if hidden && !table.ends_with("ssm_secrets") { "****" } else { text.as_str() });
        }
    }

    /// A path as it could stand in the file.
    fn path(&self, path: &Path) -> String {
        match path.strip_prefix(self.root) {
            Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
            Ok(below) => below.display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }

    fn image(&mut self, key: &str, image: &Image) {
        // Fully taken apart, here as below, so that a new key cannot be forgotten.
        let Image {
            repository,
            missing_repository,
            context,
            dockerfile,
            target,
            args,
            secrets,
            ssh,
            cache_from,
            cache_to,
            platform,
            tag,
            further_tags,
            builder,
            checks,
        } = image;
        let table = format!("images.{key}");
        self.begin(&table);
        self.set("repository", repository.as_str());
        self.set("create_repository", *missing_repository == MissingRepository::Create);
        self.set("context", self.path(context));
        self.set("dockerfile", self.path(dockerfile));
        self.maybe("target", target.clone(), "the last stage");
        self.maybe("platform", platform.clone(), "the engine's own");
        self.set(
            "builder",
            match builder {
                Builder::Auto => "auto",
                Builder::Engine => "engine",
                Builder::Buildx => "buildx",
                Builder::Classic => "classic",
            },
        );
        let tags: Vec<Value> = std::iter::once(tag).chain(further_tags).map(|tag| json!(tag.as_str())).collect();
        self.set("tags", tags);
        if !ssh.is_empty() {
            let ssh: Vec<Value> = ssh
                .iter()
                .map(|BuildSsh { id, path }| match path {
                    Some(path) => json!(format!("{id}={}", self.path(path))),
                    None => json!(id),
                })
                .collect();
            self.set("ssh", ssh);
        }
        if !cache_from.is_empty() {
            let images: Vec<Value> = cache_from.iter().map(|image| json!(cache_image(image))).collect();
            self.set("cache_from", images);
        }
        if !cache_to.is_empty() {
            let places: Vec<Value> = cache_to.iter().map(|to| json!(cache_place(to))).collect();
            self.set("cache_to", places);
        }
        if !checks.is_empty() {
            let checks: Vec<Value> = checks
                .iter()
                .map(|Check { work, timeout }| {
                    let timeout = duration::print(*timeout);
                    match work {
                        CheckWork::Stage(target) => json!({ "target": target, "timeout": timeout }),
                        CheckWork::Run(command) => json!({ "run": secret::shown_words(command), "timeout": timeout }),
                    }
                })
                .collect();
            self.set("checks", checks);
        }
        self.named(&format!("{table}.args"), args);
        if !secrets.is_empty() {
            for (name, secret) in secrets {
                self.begin(format!("{table}.secrets.{name}"));
                match secret {
                    BuildSecret::Variable(variable) => self.set("env", variable.as_str()),
                    BuildSecret::File(path) => self.set("file", self.path(path)),
                }
            }
        }
    }

    fn service(&mut self, key: &str, service: &Service, place: &spec::Place) {
        let Service { image, container, cluster, service, task_definition, overlays, before, rollout, sandbox } =
            service;
        let Overlays { cpu, memory, environment, secrets } = overlays;
        let table = format!("services.{key}");
        self.begin(&table);
        self.set("image", image.as_str());
        self.maybe("container", container.clone(), "the only essential one");
        self.set("cluster", cluster.as_str());
        self.set("service", service.as_str());
        self.set(
            "task_definition",
            match task_definition {
                TaskDefinitionSource::Live => "live".to_owned(),
                // A path without a folder and without `.json` would not be known as one.
                TaskDefinitionSource::File(path) => self.path(path),
            },
        );
        let left = "as the task definition has it";
        self.maybe("cpu", cpu.clone(), left);
        self.maybe("memory", memory.clone(), left);
        self.named(&format!("{table}.environment"), environment);
        self.named(&format!("{table}.ssm_secrets"), secrets);
        if let Some(before) = before {
            self.before(&format!("{table}.before"), before);
        }
        self.rollout(&format!("{table}.rollout"), rollout);
        if *place == spec::Place::Sandbox {
            self.sandbox(&format!("{table}.sandbox"), sandbox);
        }
    }

    fn before(&mut self, table: &str, before: &Before) {
        let Before { command, timeout, container } = before;
        self.begin(table);
        self.set("command", secret::shown_words(command));
        self.span("timeout", *timeout);
        self.maybe("container", container.clone(), "the one that gets the image");
    }

    fn rollout(&mut self, table: &str, rollout: &Rollout) {
        let Rollout { no_progress, total, done_when, on_failure, on_interrupt, percentages } = rollout;
        let Percentages { minimum_healthy, maximum } = percentages;
        self.begin(table);
        self.set(
            "on_failure",
            match on_failure {
                OnFailure::Rollback => "rollback",
                OnFailure::Leave => "leave",
                OnFailure::Wait => "wait",
            },
        );
        self.set(
            "on_interrupt",
            match on_interrupt {
                OnInterrupt::Leave => "leave",
                OnInterrupt::Rollback => "rollback",
            },
        );
        self.set(
            "done_when",
            match done_when {
                DoneWhen::Live => "live",
                DoneWhen::Drained => "drained",
                DoneWhen::Steady => "steady",
            },
        );
        let left = "as the service has it";
        self.maybe("minimum_healthy_percent", *minimum_healthy, left);
        self.maybe("maximum_percent", *maximum, left);
        self.begin(format!("{table}.timeouts"));
        self.span("no_progress", *no_progress);
        self.span("total", *total);
    }

    fn sandbox(&mut self, table: &str, sandbox: &SandboxService) {
        let SandboxService {
            desired_count,
            container_port,
            listener_port,
            health_check_path,
            health_check_interval,
            deregistration_delay,
            stop_timeout,
            cpu,
            memory,
            environment,
            // Never written: what a rehearsal takes over from the live service.
            shape: _,
        } = sandbox;
        self.begin(table);
        self.set("desired_count", *desired_count);
        self.set("container_port", *container_port);
        self.maybe("listener_port", *listener_port, "a free one");
        self.set("health_check_path", health_check_path.as_str());
        self.span("health_check_interval", *health_check_interval);
        self.span("deregistration_delay", *deregistration_delay);
        self.span("stop_timeout", *stop_timeout);
        self.set("cpu", cpu.as_str());
        self.set("memory", memory.as_str());
        self.named(&format!("{table}.environment"), environment);
    }

    /// What goes before the name of a value in [`Resolved::origins`]: nothing for the environment of the run.
    fn environment(&mut self, environment: &Environment, before: &str) {
        let Environment { name, place, region, profile, role_arn, account, confirm } = environment;
        // Without one there is no table these could stand in.
        let Some(name) = name else { return };
        self.begin(format!("environments.{name}"));
        let left = match place {
            spec::Place::Sandbox => "the sandbox's own",
            spec::Place::Aws => "as the profile has it",
        };
        let text = |text: &Option<String>| text.clone().map(Value::String);
        for (key, value, left) in [
            ("sandbox", Some(json!(*place == spec::Place::Sandbox)), ""),
            ("region", text(region), left),
            ("profile", text(profile), "whatever credentials the SDK finds"),
            ("role_arn", text(role_arn), "the credentials as they are"),
            ("account", text(account), "any"),
            ("confirm", Some(json!(*confirm == Confirm::Ask)), ""),
        ] {
            let origin = self.origin(&format!("{before}{key}"));
            self.push(key, value, left, origin);
        }
    }

    /// Where images come from: after the table of the environment that they go to.
    fn promotion(&mut self, promotion: &Promotion) {
        let Promotion { from, environment, sources, destinations: _ } = promotion;
        self.set_from("promote_from", from.as_str(), "promote_from");
        let table = format!("environments.{from}");
        self.environment(environment, &format!("{table}."));
        for (key, PromotionSource { cluster, service, container }) in sources {
            self.begin(format!("{table}.services.{key}"));
            self.set("cluster", cluster.as_str());
            self.set("service", service.as_str());
            self.maybe("container", container.clone(), "the only essential one");
        }
    }
}

/// The table that a value stands in, by the place of the value.
struct Homes(BTreeMap<usize, String>);

impl Homes {
    fn of(sources: &Sources) -> Self {
        let mut homes = BTreeMap::new();
        for source in sources.all().iter().filter(|source| source.language == Language::Toml) {
            let (table, _) = DeTable::parse_recoverable(&source.text);
            note(table.get_ref(), "", source.begin, &mut homes);
        }
        Self(homes)
    }
}

fn note(table: &DeTable<'_>, path: &str, begin: usize, homes: &mut BTreeMap<usize, String>) {
    for (key, value) in table {
        let below = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
        homes.entry(begin + value.span().start).or_insert_with(|| path.to_owned());
        match value.get_ref() {
            DeValue::Table(inner) => note(inner, &below, begin, homes),
            DeValue::Array(entries) => {
                for inner in entries.iter().filter_map(|entry| entry.get_ref().as_table()) {
                    note(inner, &below, begin, homes);
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}

/// A value as it stands in TOML; a dollar is doubled, so that it stays one.
fn as_toml(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::String(text.replace('$', "$$")).to_string(),
        Value::Array(values) => format!("[{}]", values.iter().map(as_toml).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{} = {}", bare_or_quoted(key), as_toml(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Bool(_) | Value::Number(_) | Value::Null => value.to_string(),
    }
}

fn bare_or_quoted(key: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        toml::Value::String(key.to_owned()).to_string()
    }
}

fn cache_image(image: &CacheImage) -> String {
    match image {
        CacheImage::Ecr { repository, tag } => format!("{repository}:{tag}"),
        CacheImage::Elsewhere(reference) => reference.to_string(),
    }
}

/// In buildx's words, with all that a plain name stands for.
fn cache_place(to: &CacheTo) -> String {
    match to {
        CacheTo::Inline => "type=inline".to_owned(),
        CacheTo::Registry { image, options } => {
            let mut place = format!("type=registry,ref={}", cache_image(image));
            for (name, value) in options {
                place.extend([",", name, "=", value]);
            }
            place
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use super::*;
    use crate::config::{
        error::Mistake,
        file,
        resolve::{Facts, Typed, resolve},
        spec::{GitFacts, WorkTree},
    };

    const BASE: &str = r#"
format = 1

[services.api.rollout]
on_failure = "leave"
minimum_healthy_percent = 50
"#;

    const WHOLE: &str = r#"
format = 1
extends = "base.toml"
default_environment = "local"
release = "all-or-nothing"

[sandbox]
desired_count = 3

[images.api]
repository = "jobs/api"
context = "src"
target = "runtime"
args = { PRICE = "5$$", COMMIT = "${git.commit}" }
secrets = { npmrc = { file = "~/.npmrc" }, token = { env = "NPM_TOKEN" } }
ssh = ["default"]
cache_from = ["${repository}:cache"]
cache_to = ["${repository}:cache", "type=inline"]
checks = [{ target = "test" }, { run = ["/app/selftest", "-v"], timeout = "2m" }]
tags = ["v${env.NUMBER}", "latest"]

[services.api]
cluster = "jobs"
task_definition = "deploy/api.json"
cpu = "1 vCPU"
environment = { LEVEL = "info", "odd name" = "\"x\"", API_KEY = "${env.KEY}" }
environment_files = ["common.env"]
ssm_secrets = { DATABASE_URL = "/jobs/db" }
rollout.timeouts.total = "10m"

[environments.local]
sandbox = true
services.api.cluster = "jobs-local"
"#;

    fn read(path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/repo/base.toml") => Ok(BASE.into()),
            Some("/repo/common.env") => Ok(b"# all of them\nREGION=here\nLEVEL=debug\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn meant(text: &str) -> Resolved {
        let mut parsed = file::parse_all("ship.toml", text, Path::new("/repo"), read);
        parsed.errors.retain(|error| !matches!(*error.mistake, Mistake::BadVariableName { .. }));
        let facts = Facts {
            root: PathBuf::from("/repo"),
            home: Some(PathBuf::from("/home/ann")),
            variables: [("NUMBER", "7"), ("KEY", "k-123456"), ("ECS_SHIP_REGION", "eu-west-1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            git: Ok(GitFacts {
                commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                short: "0123456789ab".to_owned(),
                branch: None,
                tag: None,
                work_tree: WorkTree::Clean,
            }),
            now_ms: 0,
            read,
        };
        resolve(&parsed, &Typed { region: None, ..Typed::default() }, &facts).unwrap_or_else(|errors| {
            panic!("{}", errors.render(crate::config::error::Look { colour: false, unicode: true, width: 100 }))
        })
    }

    fn whole() -> String {
        WHOLE.replace("\"odd name\"", "odd_name")
    }

    #[test]
    fn each_value_has_its_origin() {
        insta::assert_snapshot!(to_toml(&show(&meant(&whole()))));
        insta::assert_snapshot!("as_json", format!("{:#}", to_json(&show(&meant(&whole())))));
    }

    #[test]
    fn read_again_it_means_the_same() {
        let first = meant(&whole().replace("API_KEY = \"${env.KEY}\"", "API_KIND = \"a$$b\""));
        let shown = to_toml(&show(&first));
        assert_eq!(meant(&shown).spec, first.spec, "{shown}");
    }

    #[test]
    fn where_images_come_from_is_shown_and_read_again() {
        let text = "format = 1\ndefault_environment = \"production\"\n\n[images.api]\nrepository = \"jobs/api\"\n\n\
                    [services.api]\ncluster = \"jobs\"\n\n[environments.staging]\nprofile = \"staging\"\n\n\
                    [environments.staging.services.api]\ncluster = \"jobs-staging\"\n\n\
                    [environments.production]\npromote_from = \"staging\"\n";
        let first = meant(text);
        let shown = to_toml(&show(&first));
        assert_eq!(meant(&shown).spec, first.spec, "{shown}");
        let (_, environments) = shown.split_once("[environments.production]").expect("its table");
        insta::assert_snapshot!(environments.trim());
    }

    #[test]
    fn no_secret_is_shown() {
        let resolved = meant(&whole());
        for shown in [to_toml(&show(&resolved)), to_json(&show(&resolved)).to_string()] {
            assert!(!shown.contains("k-123456") && shown.contains("****"), "{shown}");
        }
    }

    #[test]
    fn a_line_of_toml_is_read_as_it_was_meant() {
        for (value, line) in [
            (json!("plain"), "\"plain\""),
            (json!("5$ \"quoted\""), "'5$$ \"quoted\"'"),
            (json!(["a", 1]), "[\"a\", 1]"),
            (json!({ "a b": true }), "{ \"a b\" = true }"),
        ] {
            assert_eq!(as_toml(&value), line);
        }
    }
}
