//! From what was written and typed to what is meant: the only place where precedence is decided.
//!
//! A flag goes before an `ECS_SHIP_*` variable, that before the environment's table, that before the
//! table of the service or image, that before the default. The variables of the AWS tools
//! (`AWS_REGION`, `AWS_PROFILE`) come after the file: they are set for other purposes too, and must
//! not send a deploy somewhere else than the file says. The test `precedence` is the table of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use self::{
    choose::{Chosen, choose_environment, overrides_of_unknown, select_services},
    told::{in_order, is_explained},
    unused::unused,
};
use super::{
    environment_file::Line,
    error::{ConfigError, ConfigErrors, ConfigWarning, Doubt, Mistake, Place, Unset},
    file::{EnvironmentTable, File, Form, Parsed, Table, Written, tidy},
    sources::Sources,
    spec::{DoneWhen, GitFacts, NoGit, Rollout, Service, Spec, WorkTree},
};
use crate::id::Key;

mod choose;
mod environment;
mod expand;
mod image;
mod overlays;
mod promotion;
mod rollout;
mod sandbox;
mod service;
mod told;
mod unused;
mod value;

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
    pub images: Images,
}

/// Where the images come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Images {
    /// Built, or promoted where the environment says so.
    #[default]
    AsWritten,
    /// Built in any case: a rehearsal ships nothing to the environment that it is about.
    Built,
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

/// What the answer is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A run: where values came from matters.
    Use,
    /// Only what is wrong.
    Judge,
    /// The same, for one environment after the other: each needs to look at itself alone.
    JudgeEach,
}

/// What the judging of all environments shares.
struct Shared {
    purpose: Purpose,
    sources: Sources,
    /// The lines of the environment files read so far; `None` for one that cannot be read.
    environment_files: BTreeMap<PathBuf, Option<Vec<Line>>>,
}

impl Shared {
    fn of(parsed: &Parsed, purpose: Purpose) -> Self {
        Self { purpose, sources: parsed.sources.clone(), environment_files: BTreeMap::new() }
    }
}

/// Turns a file, the command line and the surroundings into a [`Spec`], or into every mistake there is.
///
/// Tables of services that are not selected and of other environments are judged too, but for what
/// only matters where they are used: keys that are missing, variables that are not set.
pub fn resolve(parsed: &Parsed, typed: &Typed, facts: &Facts) -> Result<Resolved, ConfigErrors> {
    let mut shared = Shared::of(parsed, Purpose::Use);
    match resolve_in(&mut shared, parsed, typed, facts) {
        Ok((spec, more, origins)) => {
            let mut warnings = unused(&parsed.file);
            warnings.extend(more);
            warnings.sort_by_key(|warning| warning.place.order());
            Ok(Resolved { spec, warnings, sources: shared.sources, origins })
        }
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
    let mut warnings = Vec::new();

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
    let promote_from = match typed.images {
        Images::AsWritten => resolver.table.promote_from.clone(),
        Images::Built => None,
    };
    let (mut images, mut destinations) = (BTreeMap::new(), BTreeMap::new());
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
        if wanted && promote_from.is_some() {
            if let Some(destination) = resolver.destination(key) {
                destinations.insert(Key::new(key), destination);
            }
            continue;
        }
        resolver.scope = if wanted { Scope::Here } else { Scope::Elsewhere };
        if let Some(image) = resolver.image(key)
            && wanted
        {
            images.insert(Key::new(key), image);
        }
    }
    errors.append(&mut resolver.errors);
    warnings.append(&mut resolver.warnings);
    let mut origins = std::mem::take(&mut resolver.origins);
    let from = promote_from.and_then(|written| file.environments.get_key_value(&written.value));
    let promotion = from.and_then(|(from, _)| {
        let mut source = Resolver::new(file, facts, Some(from), shared);
        source.scope = Scope::Source;
        let promotion = source.promotion(from, services.keys(), destinations);
        errors.append(&mut source.errors);
        origins.extend(
            std::mem::take(&mut source.origins)
                .into_iter()
                .map(|(name, place)| (format!("environments.{from}.{name}"), place)),
        );
        promotion
    });

    if shared.purpose != Purpose::JudgeEach {
        for other in file.environments.keys().filter(|other| name != Some(other.as_str())) {
            let mut elsewhere = Resolver::new(file, facts, Some(other), shared);
            elsewhere.judge_elsewhere();
            errors.append(&mut elsewhere.errors);
            warnings.append(&mut elsewhere.warnings);
        }
    }

    match environment {
        Some(environment) if errors.is_empty() => {
            warnings.sort_by_key(|warning| warning.place.order());
            warnings.dedup();
            let spec = Spec { root: tidy(&facts.root), environment, images, services, release, promotion };
            Ok((spec, warnings, origins))
        }
        _ => {
            errors.retain(|error| !is_explained(error, &parsed.errors));
            Err(in_order(errors))
        }
    }
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
    let purpose = if environment.is_some() { Purpose::Judge } else { Purpose::JudgeEach };
    let mut shared = Shared::of(parsed, purpose);
    let names: Vec<Option<String>> = match environment {
        Some(name) => vec![Some(name.to_owned())],
        None if file.environments.is_empty() => vec![None],
        None => file.environments.keys().cloned().map(Some).collect(),
    };
    // The same for every environment.
    let (mut errors, mut warnings) = (Vec::new(), unused(file));
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
    /// The environment that images are promoted from: read in this run, and steered by no flag or variable of it.
    Source,
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

    /// Judges an environment that is not the one of the run. What is not different there was judged already.
    fn judge_elsewhere(&mut self) {
        self.scope = Scope::Elsewhere;
        self.environment(&Typed::default());
        for key in self.table.services.clone().keys() {
            self.service(key);
        }
        for key in self.table.images.clone().keys() {
            self.image(key);
        }
    }

    /// Keeps where the values of a table were written, if this run uses them.
    fn note_origins<T: Table>(&mut self, path: &str, table: &T) {
        if self.scope != Scope::Elsewhere && self.shared.purpose == Purpose::Use {
            let mut places = Vec::new();
            table.places(path, &mut places);
            self.origins.extend(places.into_iter().map(|(name, span)| (name, Place::File(span))));
        }
    }

    /// A path that is relative to the file it is written in; `~/` is the home folder.
    fn path(&mut self, written: &Written<String>, path: &str) -> PathBuf {
        // `src\new` in double quotes has a line end in it.
        if let Some(letter) = path.chars().find(|letter| letter.is_control()) {
            let mistake = Mistake::ControlInPath { path: path.to_owned(), letter };
            self.mistake(mistake, Place::File(written.span.clone()));
        }
        match (path.strip_prefix("~/"), &self.facts.home) {
            (Some(below), Some(home)) => tidy(&home.join(below)),
            _ => tidy(&self.facts.root.join(self.shared.sources.folder(&written.span)).join(path)),
        }
    }

    fn mistake(&mut self, mistake: Mistake, place: Place) {
        let circumstance = matches!(mistake, Mistake::Missing { .. } | Mistake::NoImage { .. } | Mistake::Unset { .. });
        if self.scope != Scope::Elsewhere || !circumstance {
            self.errors.push(ConfigError::new(mistake, place));
        }
    }

    fn doubt(&mut self, doubt: Doubt, span: Range<usize>) {
        self.warnings.push(ConfigWarning { doubt, place: Place::File(span) });
    }
}

#[cfg(test)]
mod tests;
