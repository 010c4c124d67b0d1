//! Reading of tables: what each kind of value may look like in TOML, what is told when it is something else,
//! and how one table is laid over another. The tables themselves are in `file`.

use std::{collections::BTreeMap, ops::Range};

use toml::{Spanned, de::DeTable, de::DeValue};

use super::{
    duration,
    error::{ConfigError, Mistake, Place, nearest},
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
    ("aws_account", "account"),
    ("aws_profile", "profile"),
    ("aws_region", "region"),
    ("build_args", "args"),
    ("cluster_name", "cluster"),
    ("container_name", "container"),
    ("assume_role", "role_arn"),
    ("base", "extends"),
    ("buildargs", "args"),
    ("cache", "cache_from"),
    ("command", "run"),
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

    pub(super) fn unknown_key(&mut self, table: &str, key: &str, span: Range<usize>, keys: &[KeyOutline]) {
        let names = || keys.iter().map(|key| key.name);
        let plain = key.to_lowercase().replace('-', "_");
        let habits = || HABITS.iter().filter(|(habit, _)| *habit == plain);
        let habit = habits().next();
        let nearest = habits()
            .map(|(_, meant)| *meant)
            .find(|meant| names().any(|name| name == *meant))
            .or_else(|| nearest(key, names()));
        let belongs = match nearest {
            Some(_) => None,
            None => rollout_home_of(table, key)
                .or_else(|| sandbox_home_of(table, habit.map_or(key, |(_, meant)| meant)))
                .or_else(|| home_of(table, key)),
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
            found: found(value.get_ref()),
            write: write.to_owned(),
        };
        self.mistake(mistake, value.span());
    }
}

/// Settings of a rollout have a table of their own, and its times one more.
fn rollout_home_of(table: &str, key: &str) -> Option<String> {
    let (section, _) = table.rsplit_once('.')?;
    if section != "services" && !section.ends_with(".services") {
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
        let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
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
                other => T::rewrite(reader.source(value.span()), other),
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
            let table = named_texts(value.get_ref()).unwrap_or_else(|| key.example.to_owned());
            reader.wrong_type(key, "a table of names and texts", value, &format!("{} = {table}", key.name));
            return Self::new();
        };
        let mut entries = Self::new();
        for (name, value) in table {
            if let Some(text) = value.get_ref().as_str() {
                let written = Written { value: text.to_owned(), span: reader.at(value.span()) };
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

    fn places(&self, path: &str, places: &mut Vec<(String, Range<usize>)>) {
        places.extend(self.iter().map(|(name, written)| (format!("{path}.{name}"), written.span.clone())));
    }
}

/// `["A=1", "B=2"]`, as compose takes it, the way it is written here.
fn named_texts(value: &DeValue<'_>) -> Option<String> {
    let mut entries = Vec::new();
    for entry in value.as_array()? {
        let (name, text) = entry.get_ref().as_str()?.split_once('=')?;
        let shown = if looks_secret(name, text) { "…" } else { text };
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
                DeValue::Array(_) if key.table.is_empty() || key.table.starts_with("environments.") => {
                    format!("[{section}.api]")
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
                reader.mistake(Mistake::Nameless { section: section.clone(), key }, name.span());
                continue;
            };
            let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
            if key.is_empty() || !key.chars().all(good) {
                let plain: String = key.chars().map(|letter| if good(letter) { letter } else { '-' }).collect();
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
