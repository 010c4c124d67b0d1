//! `[services.…]`: the ECS service, the image it gets, and what runs before it.

use std::{path::Path, time::Duration};

use super::{Own, Resolver, Scope, value::is_ecs_name};
use crate::{
    config::{
        error::{Mistake, Place, nearest},
        file::{BeforeTable, ServiceTable, Table, Written},
        spec::{Before, Service, TaskDefinitionSource},
    },
    id::{Arn, Cluster, Key, ServiceName},
};

/// Long for a migration, and short enough that a deploy that hangs in one is seen the same morning.
const BEFORE_TIMEOUT: Duration = Duration::from_mins(15);

impl Resolver<'_> {
    pub(super) fn service(&mut self, key: &str) -> Option<Service> {
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
        let container = self.container(&written, &own);
        let cluster = self.cluster(key, &written, &own);
        let service = self.service_name(key, &written, &own);
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

    pub(super) fn container(&mut self, table: &ServiceTable, own: &Own) -> Option<String> {
        let written = table.container.as_ref()?;
        let container = self.not_empty("container", Some(written), own, "\"api\"")?;
        if is_ecs_name(&container) {
            return Some(container);
        }
        self.mistake(Mistake::BadContainer { written: container }, Place::File(written.span.clone()));
        None
    }

    pub(super) fn service_name(&mut self, key: &str, table: &ServiceTable, own: &Own) -> Option<String> {
        let Some(written) = &table.service else { return Some(key.to_owned()) };
        let name = self.not_empty("service", Some(written), own, "\"jobs-api\"")?;
        if is_ecs_name(&name) {
            return Some(name);
        }
        let mistake = Mistake::BadEcsName { kind: "service", written: name };
        self.mistake(mistake, Place::File(written.span.clone()));
        None
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
        if command.value.is_empty() && !self.is_empty_list(&command.span) {
            return None;
        }
        if command.value.is_empty() {
            let mistake = Mistake::Empty { key: "command".to_owned(), example: example.to_owned() };
            self.mistake(mistake, Place::File(command.span.clone()));
            return None;
        }
        let words = self.each(Some(command), |resolver, written| resolver.expand(written, &own));
        if self.is_one_word("command", &words, command) {
            return None;
        }
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

    pub(super) fn cluster(&mut self, key: &str, table: &ServiceTable, own: &Own) -> Option<String> {
        let Some(written) = &table.cluster else {
            // ECS itself would take the cluster `default`; nobody should ship there by forgetting a line.
            let mistake = Mistake::Missing { key: "cluster", table: format!("services.{key}"), example: "\"jobs\"" };
            self.mistake(mistake, Place::File(table.header.clone()));
            return None;
        };
        let cluster = self.not_empty("cluster", Some(written), own, "\"jobs\"")?;
        if is_ecs_name(&cluster)
            || cluster.parse::<Arn>().is_ok_and(|arn| arn.service == "ecs" && arn.resource.starts_with("cluster/"))
        {
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
}
