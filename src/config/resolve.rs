//! From what was written and typed to what is meant: the only place where precedence is decided.
//!
//! A flag goes before an `ECS_SHIP_*` variable, that before the environment's table, that before the
//! table of the service or image, that before the default. The variables of the AWS tools
//! (`AWS_REGION`, `AWS_PROFILE`) come after the file: they are set for other purposes too, and must
//! not send a deploy somewhere else than the file says. The test `precedence` is the table of it.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    duration,
    environment_file::{self, Line},
    error::{
        BadRepository, ConfigError, ConfigErrors, ConfigWarning, Doubt, Found, Home, Mistake, Place, Seen, Unset,
        nearest,
    },
    file::{
        BUILDERS, BeforeTable, CheckTable, EnvironmentTable, File, Form, ImageTable, ON_FAILURE, Parsed, RolloutTable,
        SandboxTable, SecretTable, ServiceTable, Table, Written, tidy,
    },
    secrets::{is_secret_name, looks_secret},
    sources::{Language, Sources},
    spec::{
        self, Before, BuildSecret, BuildSsh, Builder, CacheFrom, Check, CheckWork, Confirm, DoneWhen, Environment,
        GitFacts, Image, MissingRepository, NoGit, OnFailure, OnInterrupt, Overlays, Percentages, Release, Rollout,
        SandboxService, Service, Spec, TaskDefinitionSource, WorkTree,
    },
    variables::{self, Broken, Piece, Variable},
};
use crate::{
    env,
    id::{Cluster, Key, ServiceName},
    image::{Reference, Tag},
};

/// What was typed: flags and arguments, `None` where they were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typed {
    /// `--environment`.
    pub environment: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// Keys of `[services.…]` tables; empty means all.
    pub services: Vec<String>,
    /// `--done-when`.
    pub done_when: Option<DoneWhen>,
}

/// What the surroundings say, read once by the caller.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The folder of `ship.toml`.
    pub root: PathBuf,
    /// What `~/` stands for.
    pub home: Option<PathBuf>,
    /// The environment of the process.
    pub variables: BTreeMap<String, String>,
    pub git: Result<GitFacts, NoGit>,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Reads the environment files that the file names.
    pub read: fn(&Path) -> io::Result<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub spec: Spec,
    pub warnings: Vec<ConfigWarning>,
    /// All texts that were read.
    pub sources: Sources,
    /// Where each value came from, by its whole name (`services.api.cluster`); a default is not here.
    pub origins: BTreeMap<String, Place>,
}

/// What the judging of all environments shares.
struct Shared {
    sources: Sources,
    /// The lines of the environment files read so far; `None` for one that cannot be read.
    environment_files: BTreeMap<PathBuf, Option<Vec<Line>>>,
}

/// Turns a file, the command line and the surroundings into a [`Spec`], or into every mistake there is.
///
/// Tables of services that are not selected and of other environments are judged too, but for what
/// only matters where they are used: keys that are missing, variables that are not set.
pub fn resolve(parsed: &Parsed, typed: &Typed, facts: &Facts) -> Result<Resolved, ConfigErrors> {
    let mut shared = Shared { sources: parsed.sources.clone(), environment_files: BTreeMap::new() };
    match resolve_in(&mut shared, parsed, typed, facts) {
        Ok((spec, warnings, origins)) => Ok(Resolved { spec, warnings, sources: shared.sources, origins }),
        Err(errors) => Err(ConfigErrors { sources: shared.sources, errors }),
    }
}

type Meant = (Spec, Vec<ConfigWarning>, BTreeMap<String, Place>);

fn resolve_in(shared: &mut Shared, parsed: &Parsed, typed: &Typed, facts: &Facts) -> Result<Meant, Vec<ConfigError>> {
    if parsed.form == Form::Broken {
        return Err(in_order(parsed.errors.clone()));
    }
    let file = &parsed.file;
    let mut errors = parsed.errors.clone();
    let mut warnings = unused_images(file);

    let chosen = choose_environment(file, typed, facts).map_err(|error| errors.push(error));
    errors.extend(overrides_of_unknown(file));
    let selected = match select_services(file, typed) {
        Ok(selected) => selected,
        Err(unknown) => {
            errors.extend(unknown);
            BTreeSet::new()
        }
    };

    let name = chosen.as_ref().ok().and_then(|chosen| chosen.as_ref()).map(|chosen| chosen.name);
    let mut resolver = Resolver::new(file, facts, name, shared);
    if let Ok(Some(Chosen { name: _, by })) = &chosen {
        resolver.origins.insert("environment".to_owned(), by.clone());
    }
    let environment = resolver.environment(typed);
    let release = resolver.release();
    for (key, span) in [
        ("format", file.format.as_ref().map(|written| &written.span)),
        ("release", file.release.as_ref().map(|written| &written.span)),
    ] {
        resolver.origins.extend(span.map(|span| (key.to_owned(), Place::File(span.clone()))));
    }
    let mut images = BTreeMap::new();
    let mut services = BTreeMap::new();
    for key in file.services.keys() {
        let wanted = chosen.is_ok() && selected.contains(key);
        resolver.scope = if wanted { Scope::Here } else { Scope::Elsewhere };
        if let Some(service) = resolver.service(key)
            && wanted
        {
            let rollout =
                Rollout { done_when: typed.done_when.unwrap_or(service.rollout.done_when), ..service.rollout };
            let service = Service { rollout, ..service };
            services.insert(Key::new(key), service);
        }
    }
    for key in file.images.keys() {
        let wanted = resolver.used.contains(key);
        resolver.scope = if wanted { Scope::Here } else { Scope::Elsewhere };
        if let Some(image) = resolver.image(key)
            && wanted
        {
            images.insert(Key::new(key), image);
        }
    }
    errors.append(&mut resolver.errors);
    warnings.append(&mut resolver.warnings);
    let origins = std::mem::take(&mut resolver.origins);

    for other in file.environments.keys().filter(|other| name != Some(other.as_str())) {
        let mut elsewhere = Resolver::new(file, facts, Some(other), shared);
        elsewhere.scope = Scope::Elsewhere;
        elsewhere.environment(&Typed::default());
        // What is not different there was judged already.
        for key in elsewhere.table.services.clone().keys() {
            elsewhere.service(key);
        }
        for key in elsewhere.table.images.clone().keys() {
            elsewhere.image(key);
        }
        errors.append(&mut elsewhere.errors);
        warnings.append(&mut elsewhere.warnings);
    }

    match environment {
        Some(environment) if errors.is_empty() => {
            warnings.sort_by_key(|warning| warning.place.order());
            warnings.dedup();
            let spec = Spec { root: tidy(&facts.root), environment, images, services, release };
            Ok((spec, warnings, origins))
        }
        _ => {
            errors.retain(|error| !is_explained(error, &parsed.errors));
            Err(in_order(errors))
        }
    }
}

/// An environment and what named it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chosen<'a> {
    name: &'a str,
    by: Place,
}

/// A file that is right, whatever environment is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub warnings: Vec<ConfigWarning>,
    pub sources: Sources,
}

/// Judges a file for one environment, or for each of them as if it were the one. What is only not set here and now, on
/// the machine of a developer or of a linter, is a warning.
pub fn judge(parsed: &Parsed, environment: Option<&str>, facts: &Facts) -> Result<Judged, ConfigErrors> {
    let file = &parsed.file;
    let mut shared = Shared { sources: parsed.sources.clone(), environment_files: BTreeMap::new() };
    let names: Vec<Option<String>> = match environment {
        Some(name) => vec![Some(name.to_owned())],
        None if file.environments.is_empty() => vec![None],
        None => file.environments.keys().cloned().map(Some).collect(),
    };
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    // The rest of the judging names its environment and never comes to the default.
    if let Err(error) = choose_environment(file, &Typed::default(), facts)
        && parsed.form == Form::Readable
        && error.place.span().is_some()
    {
        errors.push(error);
    }
    for name in names {
        let typed = Typed { environment: name, ..Typed::default() };
        match resolve_in(&mut shared, parsed, &typed, facts) {
            Ok((_, more, _)) => warnings.extend(more),
            Err(more) => errors.extend(more),
        }
    }
    let here_and_now =
        |why: &Unset| matches!(why, Unset::Environment | Unset::NoGit(_) | Unset::DetachedHead | Unset::NoTag);
    let (unset, errors): (Vec<_>, Vec<_>) = in_order(errors)
        .into_iter()
        .partition(|error| matches!(&*error.mistake, Mistake::Unset { why, .. } if here_and_now(why)));
    if !errors.is_empty() {
        return Err(ConfigErrors { sources: shared.sources, errors });
    }
    warnings.extend(unset.into_iter().filter_map(|error| match *error.mistake {
        Mistake::Unset { variable, why } => {
            Some(ConfigWarning { doubt: Doubt::Unset { variable, why }, place: error.place })
        }
        _ => None,
    }));
    warnings.sort_by_key(|warning| warning.place.order());
    warnings.dedup();
    Ok(Judged { warnings, sources: shared.sources })
}

/// Whether a key is only missing because it is misspelt or has the wrong type, which is told already.
fn is_explained(error: &ConfigError, others: &[ConfigError]) -> bool {
    // Half a check or a secret that was misspelt is not empty.
    let in_table = |table: &str| {
        others.iter().any(|other| match &*other.mistake {
            Mistake::UnknownKey { table: home, .. } | Mistake::WrongType { table: home, .. } => home.ends_with(table),
            _ => false,
        })
    };
    let (missing, home) = match &*error.mistake {
        Mistake::CheckWork { found: Found::None } => return in_table(".checks"),
        Mistake::SecretSource { name, found: Found::None } => return in_table(&format!(".secrets.{name}")),
        Mistake::Missing { key, table, .. } => (*key, table.clone()),
        Mistake::NoImage { service, .. } => ("image", format!("services.{service}")),
        Mistake::NoServices => ("services", String::new()),
        _ => return false,
    };
    let broken_images = matches!(*error.mistake, Mistake::NoImage { .. });
    others.iter().any(|other| match &*other.mistake {
        Mistake::UnknownKey { nearest: Some(nearest), table, .. } => nearest == missing && *table == home,
        Mistake::WrongType { key, table, .. } => {
            (key == missing && *table == home) || (broken_images && key == "images" && table.is_empty())
        }
        Mistake::Nameless { section, .. } => section == missing || (broken_images && section == "images"),
        _ => false,
    })
}

/// In the order of the file; the same mistake, met through several environments, once.
fn in_order(mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
    let mut seen: Vec<ConfigError> = Vec::new();
    errors.sort_by_key(|error| error.place.order());
    let circle = |error: &ConfigError| match &*error.mistake {
        Mistake::Circle { chain, .. } => Some(chain.iter().cloned().collect::<BTreeSet<_>>()),
        _ => None,
    };
    for error in errors {
        let seen_from_elsewhere =
            circle(&error).is_some_and(|members| seen.iter().any(|other| circle(other).as_ref() == Some(&members)));
        if !seen_from_elsewhere && !seen.contains(&error) {
            seen.push(error);
        }
    }
    seen
}

/// `None` where the file has no environments and none was asked for.
fn choose_environment<'a>(file: &'a File, typed: &Typed, facts: &Facts) -> Result<Option<Chosen<'a>>, ConfigError> {
    let known = || file.environments.keys().cloned().collect::<Vec<_>>();
    let asked = typed
        .environment
        .as_ref()
        .map(|name| (name.as_str(), Place::Flag("--environment")))
        .or_else(|| {
            let variable = env::ECS_SHIP_ENVIRONMENT;
            facts.set(variable).map(|name| (name, Place::Variable(variable)))
        })
        .or_else(|| {
            let written = file.default_environment.as_ref()?;
            Some((written.value.as_str(), Place::File(written.span.clone())))
        });
    match asked {
        Some((name, place)) => match file.environments.get_key_value(name) {
            Some((name, _)) => Ok(Some(Chosen { name, by: place })),
            None => Err(ConfigError::new(
                Mistake::UnknownEnvironment {
                    name: name.to_owned(),
                    nearest: nearest(name, file.environments.keys().map(String::as_str)).map(ToOwned::to_owned),
                    known: known(),
                },
                place,
            )),
        },
        None if file.environments.len() > 1 => {
            Err(ConfigError::new(Mistake::ChooseEnvironment { known: known() }, Place::Nowhere))
        }
        None => Ok(file
            .environments
            .iter()
            .next()
            .map(|(name, table)| Chosen { name, by: Place::File(table.header.clone()) })),
    }
}

fn select_services(file: &File, typed: &Typed) -> Result<BTreeSet<String>, Vec<ConfigError>> {
    if file.services.is_empty() {
        return Err(vec![ConfigError::new(Mistake::NoServices, Place::Nowhere)]);
    }
    if typed.services.is_empty() {
        return Ok(file.services.keys().cloned().collect());
    }
    let unknown: Vec<ConfigError> = typed
        .services
        .iter()
        .filter(|name| !file.services.contains_key(*name))
        .map(|name| {
            ConfigError::new(
                Mistake::UnknownService {
                    name: name.clone(),
                    nearest: nearest(name, file.services.keys().map(String::as_str)).map(ToOwned::to_owned),
                    known: file.services.keys().cloned().collect(),
                },
                Place::Nowhere,
            )
        })
        .collect();
    if unknown.is_empty() { Ok(typed.services.iter().cloned().collect()) } else { Err(unknown) }
}

fn overrides_of_unknown(file: &File) -> Vec<ConfigError> {
    fn check<T, U>(
        kind: &'static str,
        written: &BTreeMap<String, T>,
        header: impl Fn(&T) -> Range<usize>,
        known: &BTreeMap<String, U>,
        errors: &mut Vec<ConfigError>,
    ) {
        for (key, table) in written.iter().filter(|(key, _)| !known.contains_key(*key)) {
            let mistake = Mistake::OverrideOfUnknown {
                kind,
                key: key.clone(),
                nearest: nearest(key, known.keys().map(String::as_str)).map(ToOwned::to_owned),
                known: known.keys().cloned().collect(),
            };
            errors.push(ConfigError::new(mistake, Place::File(header(table))));
        }
    }
    let mut errors = Vec::new();
    for environment in file.environments.values() {
        check("service", &environment.services, |table| table.header.clone(), &file.services, &mut errors);
        check("image", &environment.images, |table| table.header.clone(), &file.images, &mut errors);
    }
    errors
}

fn unused_images(file: &File) -> Vec<ConfigWarning> {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let overrides = file.environments.values().flat_map(|environment| &environment.services);
    for (key, service) in file.services.iter().chain(overrides) {
        used.insert(service.image.as_ref().map_or(key.as_str(), |image| image.value.as_str()));
    }
    // `image = "${env.IMAGE}"` may mean any of them.
    if used.iter().any(|name| name.contains("${")) {
        return Vec::new();
    }
    file.images
        .iter()
        .filter(|(key, _)| !used.contains(key.as_str()))
        .map(|(key, table)| ConfigWarning {
            doubt: Doubt::UnusedImage { image: key.clone() },
            place: Place::File(table.header.clone()),
        })
        .collect()
}

impl Facts {
    /// A variable that is set and not empty.
    fn set(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What names this build: the commit, with the time where the sources are not that commit; the
    /// time alone where there is no commit.
    fn build(&self) -> String {
        let milliseconds = i64::try_from(self.now_ms).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
        let now = now.strftime("%Y%m%dT%H%M%SZ");
        match &self.git {
            Ok(GitFacts { short, work_tree: WorkTree::Clean, .. }) => short.clone(),
            Ok(GitFacts { short, work_tree: WorkTree::Dirty, .. }) => format!("{short}-dirty-{now}"),
            Err(_) => format!("ship-{now}"),
        }
    }
}

/// Whether what is looked at will be used in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Here,
    Elsewhere,
}

/// The table a text stands in: what `${key}` means there.
struct Own {
    /// `services.api`.
    table: String,
    written: Vec<(&'static str, Written<String>)>,
    /// Keys that are not written and have a default worth naming.
    defaults: Vec<(&'static str, String)>,
    keys: Vec<&'static str>,
}

impl Own {
    fn of<T: Table>(table: String, written: &T) -> Self {
        Self {
            table,
            written: written.texts(),
            defaults: Vec::new(),
            keys: T::KEYS.iter().map(|key| key.name).collect(),
        }
    }

    /// A table in this one: its own keys first, then those around it.
    fn inner<T: Table>(&self, name: &str, written: &T) -> Self {
        let mut inner = Self::of(format!("{}.{name}", self.table), written);
        inner.written.extend(self.written.iter().cloned());
        inner.defaults.extend(self.defaults.iter().cloned());
        inner.keys.extend(&self.keys);
        inner
    }
}

/// A stage with the tests of a large program takes minutes; one that takes longer hangs more often than not.
const CHECK_TIMEOUT: Duration = Duration::from_mins(15);

/// Long for a migration, and short enough that a deploy that hangs in one is seen the same morning.
const BEFORE_TIMEOUT: Duration = Duration::from_mins(15);

/// Variables that every table knows.
const VARIABLES: [&str; 7] = ["git.commit", "git.branch", "git.tag", "build", "environment", "account", "region"];

struct Resolver<'a> {
    shared: &'a mut Shared,
    file: &'a File,
    facts: &'a Facts,
    name: Option<&'a str>,
    table: EnvironmentTable,
    region: Option<String>,
    account: Option<String>,
    scope: Scope,
    /// Images of the services in scope.
    used: BTreeSet<String>,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigWarning>,
    /// Where the values in scope came from.
    origins: BTreeMap<String, Place>,
}

impl<'a> Resolver<'a> {
    fn new(file: &'a File, facts: &'a Facts, name: Option<&'a str>, shared: &'a mut Shared) -> Self {
        let table = name.and_then(|name| file.environments.get(name)).cloned().unwrap_or_default();
        Self {
            shared,
            file,
            facts,
            name,
            table,
            region: None,
            account: None,
            scope: Scope::Here,
            used: BTreeSet::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Keeps where the values of a table were written, if this run uses them.
    fn note_origins<T: Table>(&mut self, path: &str, table: &T) {
        if self.scope == Scope::Here {
            let mut places = Vec::new();
            table.places(path, &mut places);
            self.origins.extend(places.into_iter().map(|(name, span)| (name, Place::File(span))));
        }
    }

    /// A path that is relative to the file it is written in; `~/` is the home folder.
    fn path(&self, written: &Written<String>, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), &self.facts.home) {
            (Some(below), Some(home)) => tidy(&home.join(below)),
            _ => tidy(&self.facts.root.join(self.shared.sources.folder(&written.span)).join(path)),
        }
    }

    fn mistake(&mut self, mistake: Mistake, place: Place) {
        let circumstance = matches!(mistake, Mistake::Missing { .. } | Mistake::NoImage { .. } | Mistake::Unset { .. });
        if self.scope == Scope::Here || !circumstance {
            self.errors.push(ConfigError::new(mistake, place));
        }
    }

    fn doubt(&mut self, doubt: Doubt, span: Range<usize>) {
        self.warnings.push(ConfigWarning { doubt, place: Place::File(span) });
    }

    fn environment(&mut self, typed: &Typed) -> Option<Environment> {
        let table = self.table.clone();
        let own = Own::of(format!("environments.{}", self.name.unwrap_or_default()), &table);
        for (key, span) in [
            ("confirm", table.confirm.as_ref().map(|written| &written.span)),
            ("sandbox", table.sandbox.as_ref().map(|written| &written.span)),
        ] {
            self.origins.extend(span.map(|span| (key.to_owned(), Place::File(span.clone()))));
        }
        let place = match &table.sandbox {
            Some(Written { value: true, .. }) => spec::Place::Sandbox,
            Some(Written { value: false, .. }) | None => spec::Place::Aws,
        };
        let before = self.errors.len();

        // Region and profile of the AWS tools say nothing about the sandbox, and with them its services
        // would lie in another region for each terminal.
        let fallbacks = |names: &'static [&'static str]| match (&place, self.scope) {
            (spec::Place::Aws, Scope::Here) => names,
            (spec::Place::Sandbox, _) | (spec::Place::Aws, Scope::Elsewhere) => &[],
        };
        let region_fallbacks = fallbacks(&[env::AWS_REGION, env::AWS_DEFAULT_REGION]);
        let profile_fallbacks = fallbacks(&[env::AWS_PROFILE]);

        let account = self.first(None, None, table.account.as_ref(), &[], &own);
        if let Some((account, at)) = &account
            && !is_account(account)
        {
            self.mistake(Mistake::BadAccount { written: account.clone() }, at.clone());
        }
        self.keep("account", account.as_ref());
        self.account = account.map(|(account, _)| account);

        let region = self.first(
            typed.region.as_deref().map(|region| (region, "--region")),
            Some(env::ECS_SHIP_REGION),
            table.region.as_ref(),
            region_fallbacks,
            &own,
        );
        if let Some((region, at)) = &region
            && !is_region(region)
        {
            let meant = guess_region(region);
            let write = match at {
                Place::File(_) | Place::Nowhere => format!("region = \"{meant}\""),
                Place::Flag(name) => format!("{name} {meant}"),
                Place::Variable(name) => format!("{name}={meant}"),
            };
            self.mistake(Mistake::BadRegion { written: region.clone(), write }, at.clone());
        }
        self.keep("region", region.as_ref());
        self.region = region.map(|(region, _)| region);

        let profile = self.first(
            typed.profile.as_deref().map(|profile| (profile, "--profile")),
            Some(env::ECS_SHIP_PROFILE),
            table.profile.as_ref(),
            profile_fallbacks,
            &own,
        );
        self.keep("profile", profile.as_ref());
        let profile = profile.map(|(profile, _)| profile);

        let role = self.first(None, None, table.role_arn.as_ref(), &[], &own);
        self.keep("role_arn", role.as_ref());
        if let Some((role, at)) = &role {
            self.judge_role(role, at);
        }

        (self.errors.len() == before).then(|| Environment {
            name: self.name.map(ToOwned::to_owned),
            place,
            region: self.region.clone(),
            profile,
            role_arn: role.map(|(role, _)| role),
            account: self.account.clone(),
            confirm: match &table.confirm {
                Some(Written { value: true, .. }) => Confirm::Ask,
                Some(Written { value: false, .. }) | None => Confirm::Never,
            },
        })
    }

    fn keep(&mut self, key: &str, found: Option<&(String, Place)>) {
        self.origins.extend(found.map(|(_, place)| (key.to_owned(), place.clone())));
    }

    fn judge_role(&mut self, role: &str, at: &Place) {
        let parts: Vec<&str> = role.splitn(6, ':').collect();
        let of_role = match parts.as_slice() {
            ["arn", partition, "iam", "", account, name]
                if partition.starts_with("aws")
                    && is_account(account)
                    && name.strip_prefix("role/").is_some_and(|name| !name.is_empty()) =>
            {
                *account
            }
            _ => {
                let name = role.rsplit('/').next().filter(|name| is_ecs_name(name)).unwrap_or("ship");
                let account = self.account.as_deref().filter(|account| is_account(account)).unwrap_or("111111111111");
                let write = format!("arn:aws:iam::{account}:role/{name}");
                self.mistake(Mistake::BadRole { written: role.to_owned(), write }, at.clone());
                return;
            }
        };
        if let Some(account) = self.account.clone().filter(|account| is_account(account) && account != of_role) {
            self.mistake(Mistake::RoleOfOtherAccount { of_role: of_role.to_owned(), account }, at.clone());
        }
    }

    /// The first of flag, our variable, the file and the variables of others that says something.
    fn first(
        &mut self,
        flag: Option<(&str, &'static str)>,
        ours: Option<&'static str>,
        written: Option<&Written<String>>,
        others: &[&'static str],
        own: &Own,
    ) -> Option<(String, Place)> {
        if let Some((value, name)) = flag {
            return Some((value.to_owned(), Place::Flag(name)));
        }
        let variable = |name: &'static str| {
            // Only this run's environment is steered by variables; the others are judged as written.
            (self.scope == Scope::Here).then_some(())?;
            self.facts.set(name).map(|value| (value.to_owned(), Place::Variable(name)))
        };
        if let Some(found) = ours.and_then(variable) {
            return Some(found);
        }
        match written {
            Some(written) => Some((self.expand(written, own)?, Place::File(written.span.clone()))),
            None => others.iter().find_map(|name| variable(name)),
        }
    }

    fn service(&mut self, key: &str) -> Option<Service> {
        let base = self.file.services.get(key)?;
        let mut written = self.table.services.get(key).map_or_else(|| base.clone(), |table| Table::over(table, base));
        // What is missing is missing there.
        written.header = base.header.clone();
        let mut own = Own::of(format!("services.{key}"), &written);
        self.note_origins(&own.table, &written);
        own.defaults = vec![("service", key.to_owned()), ("image", key.to_owned())];
        let before = self.errors.len();

        let image = self.image_of(key, &written, &own);
        if self.scope == Scope::Here {
            self.used.extend(image.clone());
        }
        let container = written.container.as_ref().and_then(|written| {
            let container = self.not_empty("container", Some(written), &own, "\"api\"")?;
            if is_ecs_name(&container) {
                return Some(container);
            }
            self.mistake(Mistake::BadContainer { written: container }, Place::File(written.span.clone()));
            None
        });
        let cluster = self.cluster(key, &written, &own);
        let service = match &written.service {
            Some(written) => self.not_empty("service", Some(written), &own, "\"jobs-api\"").and_then(|name| {
                if is_ecs_name(&name) {
                    return Some(name);
                }
                let mistake = Mistake::BadEcsName { kind: "service", written: name };
                self.mistake(mistake, Place::File(written.span.clone()));
                None
            }),
            None => Some(key.to_owned()),
        };
        let task_definition = match &written.task_definition {
            Some(written) => self.task_definition(written, &own),
            None => Some(TaskDefinitionSource::Live),
        };
        let overlays = self.overlays(&written, &own);
        let before_it = self.before(&written.before, &own);
        let rollout = self.rollout(&written.rollout, &own.inner("rollout", &written.rollout));
        let sandbox = Table::over(&written.sandbox, &self.file.sandbox);
        self.note_origins(&format!("{}.sandbox", own.table), &sandbox);
        let sandbox = self.sandbox(&sandbox, &own.inner("sandbox", &sandbox));

        if self.errors.len() > before {
            return None;
        }
        Some(Service {
            image: Key::new(image?),
            container,
            cluster: Cluster::new(cluster?),
            service: ServiceName::new(service?),
            task_definition: task_definition?,
            overlays,
            before: before_it,
            rollout,
            sandbox,
        })
    }

    fn before(&mut self, table: &BeforeTable, own: &Own) -> Option<Before> {
        let own = own.inner("before", table);
        let BeforeTable { header, command, timeout, container } = table;
        // As long as a rollout may be watched.
        let limits = (1, 86_400, "a task before a rollout");
        let timeout = self.duration("timeout", timeout.as_ref(), &own, limits).unwrap_or(BEFORE_TIMEOUT);
        let container = self.not_empty("container", container.as_ref(), &own, "\"api\"");
        let example = "[\"rake\", \"db:migrate\"]";
        let Some(command) = command else {
            if !header.is_empty() {
                let mistake = Mistake::Missing { key: "command", table: own.table.clone(), example };
                self.mistake(mistake, Place::File(header.clone()));
            }
            return None;
        };
        if command.value.is_empty() {
            let mistake = Mistake::Empty { key: "command".to_owned(), example: example.to_owned() };
            self.mistake(mistake, Place::File(command.span.clone()));
            return None;
        }
        let words = self.each(Some(command), |resolver, written| resolver.expand(written, &own));
        (words.len() == command.value.len()).then_some(Before { command: words, timeout, container })
    }

    fn image_of(&mut self, key: &str, table: &ServiceTable, own: &Own) -> Option<String> {
        let known = || self.file.images.keys().cloned().collect::<Vec<_>>();
        let Some(written) = &table.image else {
            if self.file.images.contains_key(key) {
                return Some(key.to_owned());
            }
            let mistake = Mistake::NoImage { service: key.to_owned(), known: known() };
            self.mistake(mistake, Place::File(table.header.clone()));
            return None;
        };
        let image = self.expand(written, own)?;
        if self.file.images.contains_key(&image) {
            return Some(image);
        }
        let mistake = Mistake::UnknownImage {
            nearest: nearest(&image, self.file.images.keys().map(String::as_str)).map(ToOwned::to_owned),
            image,
            known: self.file.images.keys().cloned().collect(),
        };
        self.mistake(mistake, Place::File(written.span.clone()));
        None
    }

    fn cluster(&mut self, key: &str, table: &ServiceTable, own: &Own) -> Option<String> {
        let Some(written) = &table.cluster else {
            // ECS itself would take the cluster `default`; nobody should ship there by forgetting a line.
            let mistake = Mistake::Missing { key: "cluster", table: format!("services.{key}"), example: "\"jobs\"" };
            self.mistake(mistake, Place::File(table.header.clone()));
            return None;
        };
        let cluster = self.not_empty("cluster", Some(written), own, "\"jobs\"")?;
        if is_ecs_name(&cluster) || (cluster.starts_with("arn:") && cluster.contains(":cluster/")) {
            return Some(cluster);
        }
        let mistake = Mistake::BadEcsName { kind: "cluster", written: cluster };
        self.mistake(mistake, Place::File(written.span.clone()));
        None
    }

    fn task_definition(&mut self, written: &Written<String>, own: &Own) -> Option<TaskDefinitionSource> {
        let text = self.expand(written, own)?;
        if text == "live" {
            return Some(TaskDefinitionSource::Live);
        }
        let is_json = Path::new(&text).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if is_json || (text.contains('/') && !text.starts_with("arn:")) {
            return Some(TaskDefinitionSource::File(self.path(written, &text)));
        }
        self.mistake(Mistake::BadTaskDefinition { written: text }, Place::File(written.span.clone()));
        None
    }

    /// `release`, which stands outside of any table.
    fn release(&mut self) -> Release {
        let own = Own::of(String::new(), self.file);
        let words = [("independent", Release::Independent), ("all-or-nothing", Release::AllOrNothing)];
        self.word("release", self.file.release.as_ref(), &own, &words, &["independent", "all-or-nothing"])
    }

    /// One of a few words; the default where nothing is written.
    fn word<T: Copy + Default>(
        &mut self,
        key: &'static str,
        written: Option<&Written<String>>,
        own: &Own,
        meanings: &[(&'static str, T)],
        words: &'static [&'static str],
    ) -> T {
        let Some(written) = written else { return T::default() };
        let Some(text) = self.expand(written, own) else { return T::default() };
        if let Some((_, meaning)) = meanings.iter().find(|(word, _)| *word == text) {
            return *meaning;
        }
        self.mistake(Mistake::BadWord { key, written: text, words }, Place::File(written.span.clone()));
        T::default()
    }

    /// `minimum_healthy_percent` and `maximum_percent`.
    fn percentages(&mut self, table: &RolloutTable) -> Percentages {
        // "minimumHealthyPercent … 0 to 100" and "maximumPercent … 100 to 200" as the console has them; the API takes
        // more for a maximum, and a service of a few tasks may want it.
        let minimum = self.number("minimum_healthy_percent", table.minimum_healthy_percent.as_ref(), (0, 100, "ECS"));
        let maximum = self.number("maximum_percent", table.maximum_percent.as_ref(), (100, 1000, "ECS"));
        Percentages { minimum_healthy: minimum, maximum }
    }

    fn overlays(&mut self, table: &ServiceTable, own: &Own) -> Overlays {
        let mut environment = self.environment_files(table, own);
        environment.extend(self.texts(&table.environment, own, Home::Service));
        let mut secrets = BTreeMap::new();
        for (name, written) in &table.ssm_secrets {
            self.judge_variable_name(name, written);
            let Some(value_from) = self.expand(written, own) else { continue };
            if is_value_from(&value_from) {
                secrets.insert(name.clone(), value_from);
            } else {
                let write = value_from.strip_prefix("ssm:").map(|name| format!("write `\"{name}\"`"));
                let mistake = Mistake::BadValueFrom { key: name.clone(), written: hidden(&value_from), write };
                self.mistake(mistake, Place::File(written.span.clone()));
            }
        }
        for (name, written) in &table.environment {
            self.judge_variable_name(name, written);
            // "Duplicate secret/environment name": ECS refuses a container that has both.
            if table.ssm_secrets.contains_key(name) {
                self.mistake(Mistake::PlainAndSecret { name: name.clone() }, Place::File(written.span.clone()));
            }
        }
        // One file serves many services: what a service has as a secret, it does not take from there.
        environment.retain(|name, _| !secrets.contains_key(name));
        Overlays {
            cpu: self.amount("cpu", table.cpu.as_ref(), own),
            memory: self.amount("memory", table.memory.as_ref(), own),
            environment,
            secrets,
        }
    }

    fn judge_variable_name(&mut self, name: &str, written: &Written<String>) {
        if !environment_file::is_name(name) {
            self.mistake(Mistake::BadVariableName { written: name.to_owned() }, Place::File(written.span.clone()));
        }
    }

    /// The lines of all environment files of a service; the last word on a name counts.
    fn environment_files(&mut self, table: &ServiceTable, own: &Own) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for written in table.environment_files.iter().flat_map(|files| &files.value) {
            let Some(name) = self.not_empty("environment_files", Some(written), own, "[\"deploy/common.env\"]") else {
                continue;
            };
            let path = self.path(written, &name);
            for line in self.environment_file(&path, &name, written) {
                if self.scope == Scope::Here {
                    let place = Place::File(line.value.span.clone());
                    self.origins.entry(format!("{}.environment.{}", own.table, line.name)).or_insert(place);
                }
                environment.insert(line.name, line.value.value);
            }
        }
        environment
    }

    fn environment_file(&mut self, path: &Path, name: &str, written: &Written<String>) -> Vec<Line> {
        let read = match self.shared.environment_files.entry(path.to_owned()) {
            Entry::Occupied(read) => return read.get().clone().unwrap_or_default(),
            Entry::Vacant(unread) => unread,
        };
        let told = Place::File(written.span.clone());
        let text = match (self.facts.read)(path).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                read.insert(None);
                let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
                self.mistake(Mistake::EnvironmentFileNotText { path: name.to_owned(), line }, told);
                return Vec::new();
            }
            Err(error) => {
                read.insert(None);
                self.mistake(Mistake::EnvironmentFileUnread { path: name.to_owned(), why: error.kind() }, told);
                return Vec::new();
            }
        };
        let shown = tidy(&self.shared.sources.folder(&written.span).join(name)).display().to_string();
        let begin = self.shared.sources.add(shown, PathBuf::new(), text.clone(), Language::Lines);
        let (lines, mistakes) = environment_file::parse(&text, begin);
        for (mistake, span) in mistakes {
            self.mistake(mistake, Place::File(span));
        }
        for line in &lines {
            let value = &line.value.value;
            if looks_secret(&line.name, &value.replace("${", "")) {
                let doubt = Doubt::LooksSecret { key: line.name.clone(), seen: Seen::InTheFile, home: Home::Service };
                self.doubt(doubt, line.value.span.clone());
            }
            if value.len() > 1 && ['"', '\''].iter().any(|quote| value.starts_with(*quote) && value.ends_with(*quote)) {
                self.doubt(Doubt::QuotedValue { key: line.name.clone() }, line.value.span.clone());
            }
        }
        self.shared.environment_files.insert(path.to_owned(), Some(lines.clone()));
        lines
    }

    fn rollout(&mut self, table: &RolloutTable, own: &Own) -> Rollout {
        let on_failure =
            table.on_failure.as_ref().and_then(|written| self.on_failure(written, own)).unwrap_or_default();
        let on_interrupt = self.word(
            "on_interrupt",
            table.on_interrupt.as_ref(),
            own,
            &[("leave", OnInterrupt::Leave), ("rollback", OnInterrupt::Rollback)],
            &["leave", "rollback"],
        );
        let done_when = self.word(
            "done_when",
            table.done_when.as_ref(),
            own,
            &[("live", DoneWhen::Live), ("drained", DoneWhen::Drained), ("steady", DoneWhen::Steady)],
            &["live", "drained", "steady"],
        );
        let percentages = self.percentages(table);
        let own = own.inner("timeouts", &table.timeouts);
        let table = &table.timeouts;
        let default = Rollout::default();
        // A day is no rule of ECS: a watch that long is a mistake in the unit.
        let limits = (1, 86_400, "a rollout that is watched");
        let no_progress = self.duration("no_progress", table.no_progress.as_ref(), &own, limits);
        let total = self.duration("total", table.total.as_ref(), &own, limits);
        let total_or_default = total.unwrap_or(default.total);
        // Who only shortens the total means the whole rollout: the default must not stand in the way.
        let no_progress_or_default = no_progress.unwrap_or_else(|| default.no_progress.min(total_or_default));
        if no_progress_or_default > total_or_default
            && let Some(written) = &table.no_progress
        {
            let mistake = Mistake::CrossedTimeouts {
                no_progress: duration::print(no_progress_or_default),
                total: duration::print(total_or_default),
            };
            self.mistake(mistake, Place::File(written.span.clone()));
        }
        Rollout {
            no_progress: no_progress_or_default,
            total: total_or_default,
            done_when,
            on_failure,
            on_interrupt,
            percentages,
        }
    }

    fn on_failure(&mut self, written: &Written<String>, own: &Own) -> Option<OnFailure> {
        let word = self.expand(written, own)?;
        match word.as_str() {
            "rollback" => Some(OnFailure::Rollback),
            "leave" => Some(OnFailure::Leave),
            "wait" => Some(OnFailure::Wait),
            _ => {
                let nearest = nearest(&word, ON_FAILURE);
                let mistake = Mistake::BadOnFailure { written: word, nearest };
                self.mistake(mistake, Place::File(written.span.clone()));
                None
            }
        }
    }

    fn sandbox(&mut self, table: &SandboxTable, own: &Own) -> SandboxService {
        let SandboxTable {
            header: _,
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
        } = table;
        let default = SandboxService::default();
        let health_check_path = health_check_path.as_ref().and_then(|written| {
            let path = self.expand(written, own)?;
            if path.starts_with('/') && !path.contains(char::is_whitespace) {
                return Some(path);
            }
            self.mistake(Mistake::BadHealthCheckPath { written: path }, Place::File(written.span.clone()));
            None
        });
        SandboxService {
            // "Tasks per service: 5,000" (ECS service quotas).
            desired_count: self
                .number("desired_count", desired_count.as_ref(), (0, 5000, "ECS"))
                .unwrap_or(default.desired_count),
            container_port: self
                .number("container_port", container_port.as_ref(), (1, 65_535, "TCP"))
                .unwrap_or(default.container_port),
            listener_port: self.number("listener_port", listener_port.as_ref(), (1, 65_535, "ELB")),
            health_check_path: health_check_path.unwrap_or(default.health_check_path),
            // "HealthCheckIntervalSeconds: … The range is 5-300" (ELBv2 CreateTargetGroup).
            health_check_interval: self
                .duration("health_check_interval", health_check_interval.as_ref(), own, (5, 300, "ELB"))
                .unwrap_or(default.health_check_interval),
            // "deregistration_delay.timeout_seconds … The range is 0-3600 seconds" (TargetGroupAttribute).
            deregistration_delay: self
                .duration("deregistration_delay", deregistration_delay.as_ref(), own, (0, 3600, "ELB"))
                .unwrap_or(default.deregistration_delay),
            // "The max stop timeout value is 120 seconds" (ContainerDefinition, on Fargate).
            stop_timeout: self
                .duration("stop_timeout", stop_timeout.as_ref(), own, (0, 120, "ECS"))
                .unwrap_or(default.stop_timeout),
            cpu: self.amount("cpu", cpu.as_ref(), own).unwrap_or(default.cpu),
            memory: self.amount("memory", memory.as_ref(), own).unwrap_or(default.memory),
            environment: self.texts(environment, own, Home::Sandbox),
            shape: default.shape,
        }
    }

    fn image(&mut self, key: &str) -> Option<Image> {
        let base = self.file.images.get(key)?;
        let mut written = self.table.images.get(key).map_or_else(|| base.clone(), |table| Table::over(table, base));
        written.header = base.header.clone();
        let mut own = Own::of(format!("images.{key}"), &written);
        self.note_origins(&own.table, &written);
        own.defaults = vec![("context", ".".to_owned())];
        let before = self.errors.len();

        let repository = if let Some(written) = &written.repository {
            self.repository(written, &own)
        } else {
            let mistake =
                Mistake::Missing { key: "repository", table: format!("images.{key}"), example: "\"jobs/api\"" };
            self.mistake(mistake, Place::File(written.header.clone()));
            None
        };
        let missing_repository = match written.create_repository {
            Some(Written { value: true, .. }) => MissingRepository::Create,
            Some(Written { value: false, .. }) | None => MissingRepository::Refuse,
        };
        let context = self.not_empty("context", written.context.as_ref(), &own, "\".\"");
        let context = match (&written.context, context) {
            (Some(written), Some(context)) => self.path(written, &context),
            _ => tidy(&self.facts.root),
        };
        let dockerfile = self
            .not_empty("dockerfile", written.dockerfile.as_ref(), &own, "\"Dockerfile\"")
            .and_then(|path| Some(self.path(written.dockerfile.as_ref()?, &path)))
            .unwrap_or_else(|| context.join("Dockerfile"));
        let target = self.not_empty("target", written.target.as_ref(), &own, "\"runtime\"");
        let args = self.texts(&written.args, &own, Home::Build);
        let secrets = self.build_secrets(&written.secrets, &own);
        let ssh = self.each(written.ssh.as_ref(), |resolver, written| resolver.ssh(written, &own));
        let cache_from = self.each(written.cache_from.as_ref(), |resolver, written| resolver.cache_from(written, &own));
        let platform = written.platform.as_ref().and_then(|written| self.platform(written, &own));
        let builder = match &written.builder {
            Some(written) => self.builder(written, &own),
            None => Some(Builder::Auto),
        };
        let tags = self.tags(&written, &own);
        let checks = written.checks.iter().flat_map(|checks| &checks.value);
        let checks: Vec<Check> = checks.filter_map(|check| self.check(check, &own)).collect();

        if self.errors.len() > before {
            return None;
        }
        Some(Image {
            repository: repository?,
            missing_repository,
            context,
            dockerfile,
            target,
            args,
            secrets,
            ssh,
            cache_from,
            platform,
            tag: tags.as_ref().map(|(first, _)| first.clone())?,
            further_tags: tags.map(|(_, further)| further).unwrap_or_default(),
            builder: builder?,
            checks,
        })
    }

    /// Every text of a list that can be read.
    fn each<T>(
        &mut self,
        list: Option<&Written<Vec<Written<String>>>>,
        mut read: impl FnMut(&mut Self, &Written<String>) -> Option<T>,
    ) -> Vec<T> {
        list.iter().flat_map(|list| &list.value).filter_map(|written| read(self, written)).collect()
    }

    fn build_secrets(&mut self, tables: &BTreeMap<String, SecretTable>, own: &Own) -> BTreeMap<String, BuildSecret> {
        let mut secrets = BTreeMap::new();
        for (name, table) in tables {
            let SecretTable { header, env, file } = table;
            let secret = match (env, file) {
                (Some(written), None) => {
                    self.not_empty("env", Some(written), own, "\"NUGET_TOKEN\"").map(BuildSecret::Variable)
                }
                (None, Some(written)) => {
                    let path = self.not_empty("file", Some(written), own, "\"~/.npmrc\"");
                    path.map(|path| BuildSecret::File(self.path(written, &path)))
                }
                (written, _) => {
                    let found = if written.is_some() { Found::Both } else { Found::None };
                    let mistake = Mistake::SecretSource { name: name.clone(), found };
                    self.mistake(mistake, Place::File(header.clone()));
                    None
                }
            };
            secrets.extend(secret.map(|secret| (name.clone(), secret)));
        }
        secrets
    }

    fn ssh(&mut self, written: &Written<String>, own: &Own) -> Option<BuildSsh> {
        let text = self.expand(written, own)?;
        let (id, path) = match text.split_once('=') {
            Some((id, path)) => (id, Some(path)),
            None => (text.as_str(), None),
        };
        // Only the default has a place to come from.
        if !is_ecs_name(id) || path == Some("") || (path.is_none() && id != "default") {
            self.mistake(Mistake::BadSsh { written: text }, Place::File(written.span.clone()));
            return None;
        }
        Some(BuildSsh { id: id.to_owned(), path: path.map(|path| self.path(written, path)) })
    }

    fn cache_from(&mut self, written: &Written<String>, own: &Own) -> Option<CacheFrom> {
        let text = self.not_empty("cache_from", Some(written), own, "[\"${repository}:cache\"]")?;
        let first = text.split('/').next().unwrap_or_default();
        let has_registry = text.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        let read = if has_registry {
            text.parse::<Reference>().map(CacheFrom::Elsewhere)
        } else {
            let (repository, tag) = text.split_once(':').unwrap_or((&text, "latest"));
            // Any registry will do to judge the name of a repository.
            crate::image::ImageName::new("localhost", repository)
                .and_then(|_| tag.parse())
                .map(|tag| CacheFrom::Ecr { repository: repository.to_owned(), tag })
        };
        read.map_err(|problem| {
            self.mistake(Mistake::BadCacheFrom { written: text, problem }, Place::File(written.span.clone()));
        })
        .ok()
    }

    fn check(&mut self, table: &CheckTable, own: &Own) -> Option<Check> {
        let own = own.inner("checks", table);
        let CheckTable { header, target, run, timeout } = table;
        // As long as a rollout may be watched.
        let limits = (1, 86_400, "a check");
        let timeout = self.duration("timeout", timeout.as_ref(), &own, limits).unwrap_or(CHECK_TIMEOUT);
        let work = match (target, run) {
            (Some(target), None) => self.not_empty("target", Some(target), &own, "\"test\"").map(CheckWork::Stage),
            (None, Some(run)) => {
                if run.value.is_empty() {
                    let mistake = Mistake::Empty { key: "run".to_owned(), example: "[\"/app/selftest\"]".to_owned() };
                    self.mistake(mistake, Place::File(run.span.clone()));
                    return None;
                }
                let words = self.each(Some(run), |resolver, written| resolver.expand(written, &own));
                (words.len() == run.value.len()).then_some(CheckWork::Run(words))
            }
            (target, _) => {
                let found = if target.is_some() { Found::Both } else { Found::None };
                self.mistake(Mistake::CheckWork { found }, Place::File(header.clone()));
                None
            }
        };
        Some(Check { work: work?, timeout })
    }

    fn repository(&mut self, written: &Written<String>, own: &Own) -> Option<String> {
        let repository = self.not_empty("repository", Some(written), own, "\"jobs/api\"")?;
        let Some(why) = repository_mistake(&repository) else {
            return Some(repository);
        };
        self.mistake(Mistake::BadRepository { written: repository, why }, Place::File(written.span.clone()));
        None
    }

    fn platform(&mut self, written: &Written<String>, own: &Own) -> Option<String> {
        let platform = self.expand(written, own)?;
        let parts: Vec<&str> = platform.split('/').collect();
        let good = match parts.as_slice() {
            ["linux" | "windows", "amd64" | "arm64"] => true,
            // A variant such as `linux/arm64/v8`.
            ["linux", "arm64" | "arm" | "amd64", variant] => variant.starts_with('v'),
            _ => false,
        };
        if good {
            return Some(platform);
        }
        let lower = platform.to_ascii_lowercase();
        let write = if lower.contains("arm") || lower.contains("aarch") { "linux/arm64" } else { "linux/amd64" };
        let mistake = Mistake::BadPlatform { written: platform, write: write.to_owned() };
        self.mistake(mistake, Place::File(written.span.clone()));
        None
    }

    fn builder(&mut self, written: &Written<String>, own: &Own) -> Option<Builder> {
        let builder = self.expand(written, own)?;
        match builder.as_str() {
            "auto" => Some(Builder::Auto),
            "engine" => Some(Builder::Engine),
            "classic" => Some(Builder::Classic),
            _ => {
                let nearest = nearest(&builder, BUILDERS);
                let mistake = Mistake::BadBuilder { written: builder, nearest };
                self.mistake(mistake, Place::File(written.span.clone()));
                None
            }
        }
    }

    /// The tag of this build, and the others.
    fn tags(&mut self, table: &ImageTable, own: &Own) -> Option<(Tag, Vec<Tag>)> {
        let Some(tags) = &table.tags else {
            let tag = self.facts.build().parse();
            return Some((tag.expect("hexadecimal digits, letters and a time make a tag"), Vec::new()));
        };
        let mut read = Vec::new();
        for written in &tags.value {
            let Some(tag) = self.not_empty("tags", Some(written), own, "[\"${build}\"]") else { continue };
            match tag.parse::<Tag>() {
                Ok(tag) => read.push((tag, written)),
                Err(problem) => self.mistake(Mistake::BadTag { problem }, Place::File(written.span.clone())),
            }
        }
        if tags.value.is_empty() {
            let mistake = Mistake::Empty { key: "tags".to_owned(), example: "[\"${build}\"]".to_owned() };
            self.mistake(mistake, Place::File(tags.span.clone()));
        }
        let mut read = read.into_iter();
        let (tag, written) = read.next()?;
        let mut further: Vec<Tag> = Vec::new();
        for (other, _) in read {
            if other != tag && !further.contains(&other) {
                further.push(other);
            }
        }
        if self.scope == Scope::Here {
            match uniqueness(&written.value, &self.facts.git) {
                Uniqueness::Unique => {}
                Uniqueness::Fixed => self.doubt(Doubt::FixedTag { tag: tag.to_string() }, written.span.clone()),
                Uniqueness::OfAnotherTree => {
                    self.doubt(Doubt::DirtyTag { tag: tag.to_string() }, written.span.clone());
                }
            }
        }
        Some((tag, further))
    }

    fn texts(
        &mut self,
        entries: &BTreeMap<String, Written<String>>,
        own: &Own,
        home: Home,
    ) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (name, written) in entries {
            let in_the_file = looks_secret(name, &written.value);
            if in_the_file {
                let doubt = Doubt::LooksSecret { key: name.clone(), seen: Seen::InTheFile, home };
                self.doubt(doubt, written.span.clone());
            }
            if let Some(text) = self.expand(written, own) {
                // It is no secret any more where it goes.
                let seen = match home {
                    Home::Service => Some(Seen::InTheTask),
                    Home::Build => Some(Seen::InTheImage),
                    Home::Sandbox => None,
                };
                if let Some(seen) = seen
                    && !in_the_file
                    && is_secret_name(name)
                    && looks_secret(name, &text.replace("${", ""))
                {
                    self.doubt(Doubt::LooksSecret { key: name.clone(), seen, home }, written.span.clone());
                }
                texts.insert(name.clone(), text);
            }
        }
        texts
    }

    fn not_empty(&mut self, key: &str, written: Option<&Written<String>>, own: &Own, example: &str) -> Option<String> {
        let written = written?;
        let text = self.expand(written, own)?;
        if text.trim().is_empty() {
            let mistake = Mistake::Empty { key: key.to_owned(), example: example.to_owned() };
            self.mistake(mistake, Place::File(written.span.clone()));
            return None;
        }
        Some(text)
    }

    fn duration(
        &mut self,
        key: &'static str,
        written: Option<&Written<String>>,
        own: &Own,
        (least, most, source_of_limits): (u64, u64, &'static str),
    ) -> Option<Duration> {
        let written = written?;
        let text = self.expand(written, own)?;
        let place = Place::File(written.span.clone());
        let Some(read) = duration::parse(&text) else {
            let write = duration::guess(&text).unwrap_or_else(|| "5m".to_owned());
            self.mistake(Mistake::BadDuration { written: text, write }, place);
            return None;
        };
        let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
        if read < least || read > most {
            let mistake = Mistake::OutOfRange {
                key,
                written: text,
                least: duration::print(least),
                most: duration::print(most),
                source_of_limits,
            };
            self.mistake(mistake, place);
            return None;
        }
        Some(read)
    }

    fn number<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        written: Option<&Written<i64>>,
        (least, most, source_of_limits): (i64, i64, &'static str),
    ) -> Option<T> {
        let written = written?;
        if let Ok(number) = T::try_from(written.value)
            && (least..=most).contains(&written.value)
        {
            return Some(number);
        }
        let mistake = Mistake::OutOfRange {
            key,
            written: written.value.to_string(),
            least: least.to_string(),
            most: most.to_string(),
            source_of_limits,
        };
        self.mistake(mistake, Place::File(written.span.clone()));
        None
    }

    /// CPU units or MiB, which ECS takes as a text; also in its larger units (`1 vCPU`, `2 GB`), but told in the smaller
    /// ones, as ECS itself does.
    fn amount(&mut self, key: &'static str, written: Option<&Written<String>>, own: &Own) -> Option<String> {
        let written = written?;
        let text = self.expand(written, own)?;
        if let Some(amount) = in_small_units(key, &text) {
            return Some(amount.to_string());
        }
        self.mistake(Mistake::BadAmount { key, written: text }, Place::File(written.span.clone()));
        None
    }

    /// Fills in the variables of a text; tells what is wrong with them, at their own place.
    fn expand(&mut self, written: &Written<String>, own: &Own) -> Option<String> {
        match self.filled(written, own, &mut Vec::new()) {
            Ok(text) => Some(text),
            Err(mistakes) => {
                for (mistake, span) in mistakes {
                    self.mistake(mistake, Place::File(span));
                }
                None
            }
        }
    }

    fn filled(
        &self,
        written: &Written<String>,
        own: &Own,
        chain: &mut Vec<String>,
    ) -> Result<String, Vec<(Mistake, Range<usize>)>> {
        let pieces = match variables::pieces(&written.value) {
            Ok(pieces) => pieces,
            Err(broken) => return Err(vec![self.broken(written, &broken)]),
        };
        let mut filled = String::new();
        let mut mistakes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Literal(text) => filled.push_str(&text),
                Piece::Variable(variable) => match self.value(&variable, own, chain) {
                    Ok(value) => filled.push_str(&value),
                    Err(Valueless::Mistake(mistake)) => {
                        mistakes.push((mistake, self.span_in(written, &variable.range)));
                    }
                    Err(Valueless::Deeper(deeper)) => mistakes.extend(deeper),
                },
            }
        }
        if mistakes.is_empty() { Ok(filled) } else { Err(mistakes) }
    }

    fn value(&self, variable: &Variable, own: &Own, chain: &mut Vec<String>) -> Result<String, Valueless> {
        match (self.raw_value(&variable.name, own, chain), &variable.default) {
            (Ok(value), Some(default)) if value.is_empty() => Ok(default.clone()),
            (Err(Valueless::Mistake(Mistake::Unset { .. })), Some(default)) => Ok(default.clone()),
            (value, _) => value,
        }
    }

    fn raw_value(&self, name: &str, own: &Own, chain: &mut Vec<String>) -> Result<String, Valueless> {
        let unset = |why: Unset| Valueless::Mistake(Mistake::Unset { variable: name.to_owned(), why });
        let git = || self.facts.git.as_ref().map_err(|reason| unset(Unset::NoGit(reason.clone())));
        // While the environment's own table is read, `region` and `account` are keys like others.
        let in_environment = own.table.starts_with("environments.");
        match name {
            "git.commit" => Ok(git()?.commit.clone()),
            "git.branch" => git()?.branch.clone().ok_or_else(|| unset(Unset::DetachedHead)),
            "git.tag" => git()?.tag.clone().ok_or_else(|| unset(Unset::NoTag)),
            "build" => Ok(self.facts.build()),
            "environment" => self.name.map(ToOwned::to_owned).ok_or_else(|| unset(Unset::NoEnvironment)),
            "account" | "region" if !in_environment => {
                let value = if name == "region" { &self.region } else { &self.account };
                value.clone().ok_or_else(|| {
                    unset(if self.name.is_some() { Unset::NotInEnvironment } else { Unset::NoEnvironment })
                })
            }
            _ => match name.strip_prefix("env.") {
                Some(variable) if variable.contains([':', '=', '?', '+', '-', ' ']) => {
                    let end = variable.find([':', '=', '?', '+', '-', ' ']).unwrap_or(variable.len());
                    let default = variable[end..].trim_start_matches([':', '=', '?', '+', '-', ' ']);
                    let write = format!(
                        "a default is written `${{env.{}:-{default}}}`; there is nothing else",
                        &variable[..end]
                    );
                    Err(Valueless::Mistake(Mistake::BrokenVariable { text: format!("${{{name}}}"), write }))
                }
                Some(variable) => self.facts.variables.get(variable).cloned().ok_or_else(|| unset(Unset::Environment)),
                None => self.own_value(name, own, chain),
            },
        }
    }

    fn own_value(&self, name: &str, own: &Own, chain: &mut Vec<String>) -> Result<String, Valueless> {
        if let Some(begin) = chain.iter().position(|earlier| earlier == name) {
            let mut chain = chain[begin..].to_vec();
            chain.push(name.to_owned());
            return Err(Valueless::Mistake(Mistake::Circle { variable: name.to_owned(), chain }));
        }
        if let Some((_, written)) = own.written.iter().find(|(key, _)| *key == name) {
            chain.push(name.to_owned());
            let filled = self.filled(written, own, chain).map_err(Valueless::Deeper);
            chain.pop();
            return filled;
        }
        if let Some((_, default)) = own.defaults.iter().find(|(key, _)| *key == name) {
            return Ok(default.clone());
        }
        if own.keys.contains(&name) {
            let why = Unset::NotInTable { table: own.table.clone() };
            return Err(Valueless::Mistake(Mistake::Unset { variable: name.to_owned(), why }));
        }
        let shouted =
            name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_');
        let nearest = if shouted {
            Some(format!("env.{name}"))
        } else {
            nearest(name, VARIABLES.into_iter().chain(own.keys.iter().copied())).map(ToOwned::to_owned)
        };
        Err(Valueless::Mistake(Mistake::UnknownVariable { variable: name.to_owned(), nearest }))
    }

    fn broken(&self, written: &Written<String>, broken: &Broken) -> (Mistake, Range<usize>) {
        let (range, write) = match broken {
            Broken::LoneDollar { range } => {
                let word = written.value.get(range.start + 1..range.end).unwrap_or_default();
                let write = if word.is_empty() {
                    "write `$$` for a dollar".to_owned()
                } else {
                    format!("write `${{env.{word}}}` for a variable of the environment, `$$` for a dollar")
                };
                (range, write)
            }
            Broken::Unclosed { range } => (range, "a `}` is missing".to_owned()),
            Broken::Nested { range } => (range, "a default is plain text and holds no variable".to_owned()),
            Broken::Nameless { range } => (range, "write a name between `{` and `}`, or `$$` for a dollar".to_owned()),
        };
        let text = written.value.get(range.clone()).unwrap_or_default().to_owned();
        (Mistake::BrokenVariable { text, write }, self.span_in(written, range))
    }

    /// The place of a part of a text. A text with escapes is longer in the file than its value; then
    /// the part is looked for, and the whole text taken where it cannot be found.
    fn span_in(&self, written: &Written<String>, range: &Range<usize>) -> Range<usize> {
        let part = written.value.get(range.clone()).unwrap_or_default();
        let source = self.shared.sources.get(&written.span);
        // The quote in front.
        let exact = range.start + 1;
        let found = if source.get(exact..).is_some_and(|rest| rest.starts_with(part)) {
            Some(exact)
        } else {
            source.find(part)
        };
        match found {
            Some(at) if !part.is_empty() => written.span.start + at..written.span.start + at + part.len(),
            Some(_) | None => written.span.clone(),
        }
    }
}

/// Why a variable could not be filled in.
enum Valueless {
    Mistake(Mistake),
    /// The key it names has mistakes of its own, at their own places.
    Deeper(Vec<(Mistake, Range<usize>)>),
}

enum Uniqueness {
    Unique,
    Fixed,
    /// It names a commit, and what is built is not that commit.
    OfAnotherTree,
}

/// Whether a tag tells this build from others. A variable of the environment is believed to: CI build
/// numbers are given that way.
fn uniqueness(tag: &str, git: &Result<GitFacts, NoGit>) -> Uniqueness {
    let names: Vec<String> = variables::pieces(tag)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable.name),
            Piece::Literal(_) => None,
        })
        .collect();
    let dirty = matches!(git, Ok(GitFacts { work_tree: WorkTree::Dirty, .. }));
    if names.iter().any(|name| name == "build" || name.starts_with("env.")) {
        Uniqueness::Unique
    } else if names.iter().any(|name| name == "git.commit" || name == "git.tag") {
        if dirty { Uniqueness::OfAnotherTree } else { Uniqueness::Unique }
    } else {
        Uniqueness::Fixed
    }
}

/// `512`, `.5 vCPU` and `1GB` (`RegisterTaskDefinition` takes them all) as a number of CPU units or MiB.
fn in_small_units(key: &str, text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    let unit = if key == "cpu" { "vcpu" } else { "gb" };
    let Some(number) = lower.strip_suffix(unit) else {
        return lower.parse().ok().filter(|amount| *amount > 0);
    };
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), "0"));
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = fraction.get(..3).unwrap_or(fraction);
    let thousandths = digits.parse::<u32>().ok()? * 10_u32.pow(3 - u32::try_from(digits.len()).ok()?);
    let amount = whole.checked_mul(1024)?.checked_add(thousandths * 1024 / 1000)?;
    (amount > 0).then_some(amount)
}

fn is_account(account: &str) -> bool {
    account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())
}

/// What ECS takes as `valueFrom`: the name of a parameter in the task's own region, or the ARN of a parameter or of a
/// secret of Secrets Manager.
fn is_value_from(text: &str) -> bool {
    if text.starts_with("arn:") {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        return matches!(
            parts.as_slice(),
            ["arn", partition, "ssm", region, account, name] if
                partition.starts_with("aws") && is_region(region) && is_account(account) && name.starts_with("parameter/")
        ) || matches!(
            parts.as_slice(),
            ["arn", partition, "secretsmanager", region, account, name] if
                partition.starts_with("aws") && is_region(region) && is_account(account) && name.starts_with("secret:")
        );
    }
    // "a-zA-Z0-9_.-" and "/" between the levels (PutParameter).
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/');
    !text.is_empty() && text.len() <= 1011 && !text.ends_with('/') && text.bytes().all(allowed)
}

/// Somebody may have written the secret itself where its name belongs.
fn hidden(text: &str) -> String {
    if text.starts_with("arn:") || text.starts_with('/') || text.starts_with("ssm:") {
        return text.to_owned();
    }
    let shown: String = text.chars().take(2).collect();
    format!("{shown}…")
}

fn is_ecs_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// `eu-west-1`, `us-gov-west-1`, `eusc-de-east-1`: words and a number.
fn is_region(region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    match parts.as_slice() {
        [words @ .., number] if words.len() >= 2 => {
            words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

fn guess_region(written: &str) -> String {
    let lower = written.trim().to_ascii_lowercase().replace('_', "-");
    // `eu-west-1a` is an availability zone of eu-west-1.
    let zone = lower.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    [lower.as_str(), zone].into_iter().find(|guess| is_region(guess)).unwrap_or("eu-west-1").to_owned()
}

fn repository_mistake(repository: &str) -> Option<BadRepository> {
    // ECR's own pattern: (?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*
    let good = |repository: &str| {
        repository.split('/').all(|part| {
            let word = |word: &str| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            };
            part.split(['.', '_', '-']).all(word)
        })
    };
    let (name, tail) = repository.split_at(repository.find('@').unwrap_or(repository.len()));
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (name, ""),
    };
    // ECR would take a host as the first part of a name, but nobody means that.
    if let Some((host, path)) = name.split_once('/')
        && host.contains(['.', ':'])
        && good(path)
        && (host.contains(':') || host.contains(".dkr") || matches!(host.rsplit('.').next(), Some("io" | "com")))
    {
        return Some(BadRepository::Registry { repository: path.to_owned() });
    }
    if good(repository) {
        return (!(2..=256).contains(&repository.len())).then_some(BadRepository::Length);
    }
    if (!tag.is_empty() || !tail.is_empty()) && good(name) {
        return Some(BadRepository::Tag { repository: name.to_owned() });
    }
    let lower = repository.to_ascii_lowercase();
    Some(if good(&lower) { BadRepository::UpperCase { repository: lower } } else { BadRepository::Letters })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{error, file::parse};

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn facts(variables: &[(&str, &str)]) -> Facts {
        Facts {
            root: PathBuf::from("/repo"),
            home: Some(PathBuf::from("/home/ann")),
            read: |path| match path.to_str() {
                Some("/repo/deploy/common.env") => Ok(b"LEVEL=info\nREGION=here\nTOKEN_TTL=5\n".to_vec()),
                _ => Err(io::ErrorKind::NotFound.into()),
            },
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            git: Ok(GitFacts {
                commit: COMMIT.to_owned(),
                short: COMMIT[..12].to_owned(),
                branch: Some("main".to_owned()),
                tag: None,
                work_tree: WorkTree::Clean,
            }),
            now_ms: 1_795_462_839_000,
        }
    }

    fn meant(text: &str, typed: &Typed, facts: &Facts) -> Resolved {
        let mut parsed = parse(text);
        // What nothing acts on yet is understood all the same.
        parsed.errors.retain(|error| !matches!(*error.mistake, Mistake::Later { .. }));
        resolve(&parsed, typed, facts).unwrap_or_else(|errors| {
            panic!("{}", errors.render(error::Look { colour: false, unicode: true, width: 100 }))
        })
    }

    fn mistakes(text: &str, typed: &Typed, facts: &Facts) -> Vec<&'static str> {
        resolve(&parse(text), typed, facts)
            .map(|resolved| resolved.spec)
            .expect_err("mistakes")
            .errors
            .iter()
            .map(|error| error.mistake.code())
            .collect()
    }

    const SMALLEST: &str = "format = 1\n[images.api]\nrepository = \"jobs/api\"\n[services.api]\ncluster = \"jobs\"\n";

    #[test]
    fn the_smallest_file_means_the_defaults() {
        let resolved = meant(SMALLEST, &Typed::default(), &facts(&[]));
        let key = Key::new("api");
        assert_eq!(resolved.warnings, []);
        assert_eq!(
            resolved.spec,
            Spec {
                root: PathBuf::from("/repo"),
                environment: Environment {
                    name: None,
                    place: spec::Place::Aws,
                    region: None,
                    profile: None,
                    role_arn: None,
                    account: None,
                    confirm: Confirm::Never,
                },
                images: BTreeMap::from([(
                    key.clone(),
                    Image {
                        repository: "jobs/api".to_owned(),
                        missing_repository: MissingRepository::Refuse,
                        context: PathBuf::from("/repo"),
                        dockerfile: PathBuf::from("/repo/Dockerfile"),
                        target: None,
                        args: BTreeMap::new(),
                        secrets: BTreeMap::new(),
                        ssh: Vec::new(),
                        cache_from: Vec::new(),
                        platform: None,
                        tag: "0123456789ab".parse().expect("a tag"),
                        further_tags: Vec::new(),
                        builder: Builder::Auto,
                        checks: Vec::new(),
                    }
                )]),
                services: BTreeMap::from([(
                    key.clone(),
                    Service {
                        image: key,
                        container: None,
                        cluster: Cluster::new("jobs"),
                        service: ServiceName::new("api"),
                        task_definition: TaskDefinitionSource::Live,
                        overlays: Overlays::default(),
                        before: None,
                        rollout: Rollout::default(),
                        sandbox: SandboxService::default(),
                    }
                )]),
                release: Release::Independent,
            }
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one long file and all that it means")]
    fn every_key_has_its_effect() {
        let text = r#"
format = 1
default_environment = "local"
release = "all-or-nothing"

[sandbox]
desired_count = 3
environment = { A = "top", B = "top" }

[images.web]
repository = "jobs/web"
create_repository = true
context = "./src"
dockerfile = "docker/${target}.Dockerfile"
target = "runtime"
args = { COMMIT = "${git.commit}", PRICE = "5$$", WHERE = "${environment}/${account}/${region}", T = "${git.tag:-none}" }
platform = "linux/arm64"
builder = "classic"
tags = ["v1-${build}", "latest", "${environment}", "latest"]
secrets = { nuget = { env = "NUGET_${environment}" }, npmrc = { file = "~/.npmrc" }, key = { file = "${target}.pem" } }
ssh = ["default", "deploy=~/.ssh/id_ed25519"]
cache_from = ["${repository}:cache", "ghcr.io/jobs/base:1", "jobs/other"]
checks = [{ target = "test", timeout = "2m" }, { run = ["/app/selftest", "--env=${environment}"] }]

[services.api]
image = "web"
container = "app"
cluster = "arn:aws:ecs:${region}:${account}:cluster/jobs"
service = "jobs-${image}"
task_definition = "deploy/api.json"
cpu = "512"
memory = "1 GB"
environment = { LEVEL = "debug", WHERE = "${environment}" }
environment_files = ["deploy/common.env"]
ssm_secrets = { DATABASE_URL = "/jobs/${environment}/db-url", TOKEN_TTL = "arn:aws:ssm:${region}:${account}:parameter/ttl" }

[services.api.rollout]
timeouts = { no_progress = "90s", total = "1h30m" }
on_failure = "leave"
on_interrupt = "rollback"
done_when = "steady"
minimum_healthy_percent = 50
maximum_percent = 150

[services.api.sandbox]
container_port = 80
listener_port = 8000
health_check_path = "/up"
health_check_interval = "10s"
deregistration_delay = "0s"
stop_timeout = "2m"
cpu = "1024"
memory = "2048"
environment = { B = "${service}", PORT = "${container_port}" }

[environments.local]
sandbox = true
account = "222222222222"
region = "${env.REGION:-eu-central-1}"
profile = "${environment}-${region}"
role_arn = "arn:aws:iam::${account}:role/ship"
services.api.sandbox.environment.C = "here"
images.web.args.T = "override"
"#;
        let resolved = meant(text, &Typed::default(), &facts(&[("REGION", ""), ("AWS_REGION", "us-east-1")]));
        assert_eq!(resolved.warnings, []);
        let Spec { root: _, environment, images, services, release } = resolved.spec;
        assert_eq!(release, Release::AllOrNothing);
        assert_eq!(
            environment,
            Environment {
                name: Some("local".to_owned()),
                place: spec::Place::Sandbox,
                region: Some("eu-central-1".to_owned()),
                profile: Some("local-eu-central-1".to_owned()),
                role_arn: Some("arn:aws:iam::222222222222:role/ship".to_owned()),
                account: Some("222222222222".to_owned()),
                confirm: Confirm::Never,
            }
        );
        let texts = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(
            images[&Key::new("web")],
            Image {
                repository: "jobs/web".to_owned(),
                missing_repository: MissingRepository::Create,
                context: PathBuf::from("/repo/src"),
                dockerfile: PathBuf::from("/repo/docker/runtime.Dockerfile"),
                target: Some("runtime".to_owned()),
                args: texts(&[
                    ("COMMIT", COMMIT),
                    ("PRICE", "5$"),
                    ("T", "override"),
                    ("WHERE", "local/222222222222/eu-central-1"),
                ]),
                secrets: BTreeMap::from([
                    ("key".to_owned(), BuildSecret::File(PathBuf::from("/repo/runtime.pem"))),
                    ("npmrc".to_owned(), BuildSecret::File(PathBuf::from("/home/ann/.npmrc"))),
                    ("nuget".to_owned(), BuildSecret::Variable("NUGET_local".to_owned())),
                ]),
                ssh: vec![
                    BuildSsh { id: "default".to_owned(), path: None },
                    BuildSsh { id: "deploy".to_owned(), path: Some(PathBuf::from("/home/ann/.ssh/id_ed25519")) },
                ],
                cache_from: vec![
                    CacheFrom::Ecr { repository: "jobs/web".to_owned(), tag: "cache".parse().expect("a tag") },
                    CacheFrom::Elsewhere("ghcr.io/jobs/base:1".parse().expect("a reference")),
                    CacheFrom::Ecr { repository: "jobs/other".to_owned(), tag: "latest".parse().expect("a tag") },
                ],
                platform: Some("linux/arm64".to_owned()),
                tag: "v1-0123456789ab".parse().expect("a tag"),
                further_tags: ["latest", "local"].map(|tag| tag.parse().expect("a tag")).to_vec(),
                builder: Builder::Classic,
                checks: vec![
                    Check { work: CheckWork::Stage("test".to_owned()), timeout: Duration::from_mins(2) },
                    Check {
                        work: CheckWork::Run(vec!["/app/selftest".to_owned(), "--env=local".to_owned()]),
                        timeout: CHECK_TIMEOUT,
                    },
                ],
            }
        );
        assert_eq!(
            services[&Key::new("api")],
            Service {
                image: Key::new("web"),
                container: Some("app".to_owned()),
                cluster: Cluster::new("arn:aws:ecs:eu-central-1:222222222222:cluster/jobs"),
                service: ServiceName::new("jobs-web"),
                task_definition: TaskDefinitionSource::File(PathBuf::from("/repo/deploy/api.json")),
                overlays: Overlays {
                    cpu: Some("512".to_owned()),
                    memory: Some("1024".to_owned()),
                    // The table goes before the file, and a secret before both.
                    environment: texts(&[("LEVEL", "debug"), ("REGION", "here"), ("WHERE", "local")]),
                    secrets: texts(&[
                        ("DATABASE_URL", "/jobs/local/db-url"),
                        ("TOKEN_TTL", "arn:aws:ssm:eu-central-1:222222222222:parameter/ttl"),
                    ]),
                },
                before: None,
                rollout: Rollout {
                    no_progress: Duration::from_secs(90),
                    total: Duration::from_mins(90),
                    done_when: DoneWhen::Steady,
                    on_failure: OnFailure::Leave,
                    on_interrupt: OnInterrupt::Rollback,
                    percentages: Percentages { minimum_healthy: Some(50), maximum: Some(150) },
                },
                sandbox: SandboxService {
                    desired_count: 3,
                    container_port: 80,
                    listener_port: Some(8000),
                    health_check_path: "/up".to_owned(),
                    health_check_interval: Duration::from_secs(10),
                    deregistration_delay: Duration::ZERO,
                    stop_timeout: Duration::from_mins(2),
                    cpu: "1024".to_owned(),
                    memory: "2048".to_owned(),
                    environment: texts(&[("A", "top"), ("B", "jobs-web"), ("C", "here"), ("PORT", "80")]),
                    shape: crate::config::spec::Shape::default(),
                },
            }
        );
    }

    /// Each row switches one more source off, from the strongest to the weakest.
    #[test]
    fn precedence() {
        let text = format!(
            "{SMALLEST}container = \"table\"\n\
             [environments.a]\nregion = \"eu-table-1\"\nprofile = \"table\"\nservices.api.container = \"environment\"\n\
             [environments.bare]\n[environments.flag]\n[environments.ours]\n"
        );
        let with_default = text.replacen("format = 1\n", "format = 1\ndefault_environment = \"a\"\n", 1);
        let all = [
            ("ECS_SHIP_ENVIRONMENT", "ours"),
            ("ECS_SHIP_REGION", "eu-ours-1"),
            ("ECS_SHIP_PROFILE", "ours"),
            ("AWS_REGION", "eu-aws-1"),
            ("AWS_DEFAULT_REGION", "eu-default-1"),
            ("AWS_PROFILE", "aws"),
        ];
        let flags = |environment: Option<&str>| Typed {
            environment: environment.map(ToOwned::to_owned),
            region: Some("eu-flag-1".to_owned()),
            profile: Some("flag".to_owned()),
            services: Vec::new(),
            done_when: None,
        };
        let only = |environment: &str| Typed { environment: Some(environment.to_owned()), ..Typed::default() };
        #[rustfmt::skip]
        let rows = [
            // typed, variables → environment, region, profile, container
            (flags(Some("flag")), &all[..],    "flag", Some("eu-flag-1"),    Some("flag"),  "table"),
            (flags(None),         &all[..],   "ours", Some("eu-flag-1"),    Some("flag"),  "table"),
            (Typed::default(),    &all[..],   "ours", Some("eu-ours-1"),    Some("ours"),  "table"),
            (only("a"),           &all[..],   "a",    Some("eu-ours-1"),    Some("ours"),  "environment"),
            (Typed::default(),    &all[3..],  "a",    Some("eu-table-1"),   Some("table"), "environment"),
            (only("bare"),        &all[3..],  "bare", Some("eu-aws-1"),     Some("aws"),   "table"),
            (only("bare"),        &all[4..5], "bare", Some("eu-default-1"), None,       "table"),
            (only("bare"),        &all[..0],  "bare", None,                 None,          "table"),
        ];
        for (typed, variables, name, region, profile, container) in rows {
            let spec = meant(&with_default, &typed, &facts(variables)).spec;
            let environment = &spec.environment;
            let service = &spec.services[&Key::new("api")];
            assert_eq!(
                (
                    environment.name.as_deref(),
                    environment.region.as_deref(),
                    environment.profile.as_deref(),
                    service.container.as_deref()
                ),
                (Some(name), region, profile, Some(container)),
                "{typed:?} {variables:?}"
            );
        }
        // Without a default: the only one, or a question.
        assert_eq!(mistakes(&text, &Typed::default(), &facts(&[])), ["config::choose_environment"]);
        let single = format!("{SMALLEST}[environments.a]\n");
        assert_eq!(meant(&single, &Typed::default(), &facts(&[])).spec.environment.name.as_deref(), Some("a"));
    }

    #[test]
    fn the_default_tag_names_the_build() {
        let tag = |git: Result<GitFacts, NoGit>| {
            let spec = meant(SMALLEST, &Typed::default(), &Facts { git, ..facts(&[]) }).spec;
            spec.images[&Key::new("api")].tag.to_string()
        };
        let clean = facts(&[]).git.expect("git facts");
        assert_eq!(tag(Ok(clean.clone())), "0123456789ab");
        assert_eq!(tag(Ok(GitFacts { work_tree: WorkTree::Dirty, ..clean })), "0123456789ab-dirty-20261123T194039Z");
        assert_eq!(tag(Err(NoGit::NotARepository)), "ship-20261123T194039Z");
    }

    #[test]
    fn services_are_selected_by_key() {
        let text = format!(
            "{SMALLEST}[images.worker]\nrepository = \"jobs/worker\"\ntags = [\"${{env.NOT_SET}}\"]\n\
             [services.worker]\n[services.cron]\nimage = \"api\"\ncluster = \"jobs\"\n"
        );
        let select = |names: &[&str]| Typed {
            services: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Typed::default()
        };
        // What only the worker lacks does not matter to the others.
        let spec = meant(&text, &select(&["api", "cron"]), &facts(&[])).spec;
        assert_eq!(spec.services.keys().map(Key::as_str).collect::<Vec<_>>(), ["api", "cron"]);
        assert_eq!(spec.images.keys().map(Key::as_str).collect::<Vec<_>>(), ["api"]);
        assert_eq!(mistakes(&text, &Typed::default(), &facts(&[])), ["config::unset_variable", "config::missing_key"]);
        assert_eq!(mistakes(&text, &select(&["nobody"]), &facts(&[])), ["config::unknown_service"]);
    }

    #[test]
    fn a_short_total_shortens_the_wait_for_progress() {
        let text = format!("{SMALLEST}rollout.timeouts.total = \"2m\"\n");
        let spec = meant(&text, &Typed::default(), &facts(&[])).spec;
        let two_minutes = Duration::from_mins(2);
        assert_eq!(
            spec.services[&Key::new("api")].rollout,
            Rollout { no_progress: two_minutes, total: two_minutes, ..Rollout::default() }
        );
    }

    #[test]
    fn the_example_is_understood() {
        let text = include_str!("../../examples/hello/ship.toml");
        let spec = meant(text, &Typed::default(), &facts(&[("HELLO_VERSION", "3"), ("HELLO_CRASH", "1")])).spec;
        assert_eq!(spec.environment.place, spec::Place::Sandbox);
        let image = &spec.images[&Key::new("hello")];
        assert_eq!(image.tag.as_str(), "v3-0123456789ab");
        assert_eq!(image.args["VERSION"], "3");
        assert_eq!(image.args["CRASH_AT_START"], "1");
        let spec = meant(text, &Typed::default(), &facts(&[])).spec;
        assert_eq!(spec.images[&Key::new("hello")].args["CRASH_AT_START"], "");
    }

    #[test]
    fn regions_are_known_by_their_form() {
        for region in ["eu-west-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-7"] {
            assert!(is_region(region), "{region}");
        }
        for (written, meant) in [("eu-west-1a", "eu-west-1"), ("EU-West-1", "eu-west-1"), ("ireland", "eu-west-1")] {
            assert!(!is_region(written), "{written}");
            assert_eq!(guess_region(written), meant);
        }
    }

    proptest! {
        #[test]
        fn no_value_breaks_the_resolving(value in "\\PC{0,20}|[a-z0-9:/@._${}-]{0,30}", key in 0_usize..12) {
            let lines = [
                "[images.api]\nrepository", "[images.api]\nplatform", "[images.api]\ntarget", "[images.api.args]\nA",
                "[services.api]\ncluster", "[services.api]\ntask_definition", "[services.api.rollout.timeouts]\ntotal",
                "[sandbox]\nhealth_check_path", "[sandbox]\ncpu", "[environments.a]\nregion", "[environments.a]\naccount",
                "[services.api]\nimage",
            ];
            let written = toml::Value::String(value).to_string();
            let text = format!("format = 1\n{} = {written}\n", lines[key]);
            if let Err(errors) = resolve(&parse(&text), &Typed::default(), &facts(&[])) {
                for error in &errors.errors {
                    if let Place::File(span) = &error.place {
                        prop_assert!(text.get(span.clone()).is_some());
                    }
                }
                let look = error::Look { colour: false, unicode: false, width: 80 };
                prop_assert!(!errors.render(look).is_empty());
            }
        }
    }
}
