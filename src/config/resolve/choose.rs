//! Which environment and which services are meant.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{Facts, Typed};
use crate::{
    config::{
        error::{ConfigError, Mistake, Place, nearest},
        file::File,
    },
    env,
};

/// An environment and what named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen<'a> {
    pub(super) name: &'a str,
    pub(super) by: Place,
}

/// `None` where the file has no environments and none was asked for.
pub(super) fn choose_environment<'a>(
    file: &'a File,
    typed: &Typed,
    facts: &Facts,
) -> Result<Option<Chosen<'a>>, ConfigError> {
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

pub(super) fn select_services(file: &File, typed: &Typed) -> Result<BTreeSet<String>, Vec<ConfigError>> {
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

pub(super) fn overrides_of_unknown(file: &File) -> Vec<ConfigError> {
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
