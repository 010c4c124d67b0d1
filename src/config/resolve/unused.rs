//! Tables that nothing uses: read, judged, and without any effect.
//!
//! `[sandbox]` tables are not among them where no environment is the sandbox: `rehearse` goes by them for every
//! environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::config::{
    error::{ConfigWarning, Doubt, Place},
    file::{EnvironmentTable, File, ServiceTable, Table},
};

pub(super) fn unused(file: &File) -> Vec<ConfigWarning> {
    let mut found = Vec::new();
    let mut warn = |doubt: Doubt, header: &Range<usize>| {
        found.push(ConfigWarning { doubt, place: Place::File(header.clone()) });
    };
    let base = images_of(&file.services, None);
    let mut anywhere = base.clone();
    for (name, environment) in &file.environments {
        let here = images_of(&file.services, Some(environment));
        for (key, table) in environment.images.iter().filter(|(key, _)| file.images.contains_key(*key)) {
            if !here.may_be(key) {
                let doubt = Doubt::UnusedOverride { image: key.clone(), environment: name.clone() };
                warn(doubt, &table.header);
            } else if is_empty(table) {
                warn(
                    Doubt::EmptyOverride { kind: "images", key: key.clone(), environment: name.clone() },
                    &table.header,
                );
            }
        }
        if environment.promote_from.is_some() {
            for (key, place) in built_here(environment) {
                warn(Doubt::NotBuilt { key, environment: name.clone() }, &place);
            }
        }
        for (key, table) in environment.services.iter().filter(|(key, _)| file.services.contains_key(*key)) {
            if is_empty(table) {
                warn(
                    Doubt::EmptyOverride { kind: "services", key: key.clone(), environment: name.clone() },
                    &table.header,
                );
            }
        }
        anywhere.add(here);
    }
    for (key, table) in file.images.iter().filter(|(key, _)| !anywhere.may_be(key)) {
        warn(Doubt::UnusedImage { image: key.clone() }, &table.header);
    }
    found
}

/// What an environment says of its own about building.
fn built_here(environment: &EnvironmentTable) -> Vec<(String, Range<usize>)> {
    let mut places = Vec::new();
    for table in environment.images.values() {
        table.places("", &mut places);
    }
    places.retain(|(key, _)| !matches!(key.as_str(), "repository" | "create_repository"));
    // A table of several keys is one thing.
    for (key, _) in &mut places {
        let end = key.find('.').unwrap_or(key.len());
        key.truncate(end);
    }
    places.dedup_by(|one, other| one.0 == other.0);
    places
}

/// Whether a table says nothing at all.
fn is_empty<T: Table + PartialEq>(table: &T) -> bool {
    let mut places = Vec::new();
    table.places("", &mut places);
    places.is_empty()
}

/// The images that services name.
#[derive(Clone, Default)]
struct Named<'a> {
    images: BTreeSet<&'a str>,
    /// `image = "${env.IMAGE}"` may mean any of them.
    any: bool,
}

impl Named<'_> {
    fn add(&mut self, other: Self) {
        self.images.extend(other.images);
        self.any |= other.any;
    }

    fn may_be(&self, image: &str) -> bool {
        self.any || self.images.contains(image)
    }
}

fn images_of<'a>(services: &'a BTreeMap<String, ServiceTable>, environment: Option<&'a EnvironmentTable>) -> Named<'a> {
    let mut named = Named::default();
    for (key, service) in services {
        let over = environment.and_then(|environment| environment.services.get(key)?.image.as_ref());
        let image = over.or(service.image.as_ref()).map_or(key.as_str(), |image| image.value.as_str());
        named.any |= image.contains("${");
        named.images.insert(image);
    }
    named
}
