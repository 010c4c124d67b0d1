//! `promote_from`: the environment that images are taken from, and the repositories they go to.

use std::collections::BTreeMap;

use super::{Own, Resolver, Scope, Typed};
use crate::{
    config::{
        error::{Mistake, Place, nearest},
        file::{EnvironmentTable, ImageTable, Table, Written},
        spec::{Destination, MissingRepository, Promotion, PromotionSource},
    },
    id::{Cluster, Key, ServiceName},
};

impl Resolver<'_> {
    /// Whether images can come from the environment that a table names.
    pub(super) fn judge_promotion(&mut self, table: &EnvironmentTable) {
        let (Some(written), Some(name)) = (&table.promote_from, self.name) else { return };
        let (from, at) = (written.value.as_str(), || Place::File(written.span.clone()));
        if from == name {
            return self.mistake(Mistake::PromoteFromItself { name: name.to_owned() }, at());
        }
        let environments = &self.file.environments;
        let Some(source) = environments.get(from) else {
            let others = || environments.keys().filter(|other| *other != name);
            let mistake = Mistake::UnknownEnvironment {
                name: from.to_owned(),
                nearest: nearest(from, others().map(String::as_str)).map(ToOwned::to_owned),
                known: environments.keys().cloned().collect(),
            };
            return self.mistake(mistake, at());
        };
        let is_sandbox = |table: &EnvironmentTable| table.sandbox.as_ref().is_some_and(|written| written.value);
        if is_sandbox(source) && !is_sandbox(table) {
            self.mistake(Mistake::PromoteFromSandbox { from: from.to_owned(), to: name.to_owned() }, at());
        }
        let mut chain = vec![name.to_owned(), from.to_owned()];
        let mut next = source.promote_from.as_ref();
        while let Some(Written { value, .. }) = next {
            let is_known = chain.contains(value);
            chain.push(value.clone());
            if is_known {
                break;
            }
            next = environments.get(value).and_then(|table| table.promote_from.as_ref());
        }
        // Every environment of a circle meets it; the first one tells.
        if chain.len() > 2 && chain.first() == chain.last() && chain.iter().all(|other| other.as_str() >= name) {
            self.mistake(Mistake::PromoteCircle { chain }, at());
        }
    }

    /// What of the environment that this resolver is for images are taken from.
    pub(super) fn promotion<'k>(
        &mut self,
        from: &str,
        services: impl Iterator<Item = &'k Key>,
        destinations: BTreeMap<Key, Destination>,
    ) -> Option<Promotion> {
        let environment = self.environment(&Typed::default());
        let mut sources = BTreeMap::new();
        for key in services {
            sources.insert(key.clone(), self.promotion_source(key.as_str())?);
        }
        Some(Promotion { from: from.to_owned(), environment: environment?, sources, destinations })
    }

    /// Where a service is, and no more: what is laid over its task definition there matters only there.
    fn promotion_source(&mut self, key: &str) -> Option<PromotionSource> {
        let base = self.file.services.get(key)?;
        let mut written = self.table.services.get(key).map_or_else(|| base.clone(), |table| Table::over(table, base));
        written.header = base.header.clone();
        let mut own = Own::of(format!("services.{key}"), &written);
        own.defaults = vec![("service", key.to_owned()), ("image", key.to_owned())];
        self.note_origins(&own.table, &written);
        let before = self.errors.len();
        let container = self.container(&written, &own);
        let cluster = self.cluster(key, &written, &own);
        let service = self.service_name(key, &written, &own);
        (self.errors.len() == before).then_some(())?;
        Some(PromotionSource { cluster: Cluster::new(cluster?), service: ServiceName::new(service?), container })
    }

    /// Of an image that is promoted only where it goes matters. What is written of its build is judged as it is where
    /// nobody uses it.
    pub(super) fn destination(&mut self, key: &str) -> Option<Destination> {
        self.scope = Scope::Elsewhere;
        let before = self.errors.len();
        self.image(key);
        self.scope = Scope::Here;
        (self.errors.len() == before).then_some(())?;
        let base = self.file.images.get(key)?;
        let mut written = self.table.images.get(key).map_or_else(|| base.clone(), |table| Table::over(table, base));
        written.header = base.header.clone();
        let own = Own::of(format!("images.{key}"), &written);
        self.note_origins(&own.table, &written);
        let (repository, missing_repository) = self.repository_of(key, &written, &own);
        Some(Destination { repository: repository?, missing_repository })
    }

    /// The repository of an image, and what to do where it does not exist.
    pub(super) fn repository_of(
        &mut self,
        key: &str,
        written: &ImageTable,
        own: &Own,
    ) -> (Option<String>, MissingRepository) {
        let repository = if let Some(written) = &written.repository {
            self.repository(written, own)
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
        (repository, missing_repository)
    }
}
