//! What a service lays over its task definition: sizes, environment variables with their files, and secrets by name.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
};

use super::{
    Own, Resolver, Scope,
    environment::{is_account, is_region},
};
use crate::{
    config::{
        environment_file::{self, Line},
        error::{Doubt, Home, Mistake, Place, Seen},
        file::{ServiceTable, Written, tidy},
        secrets::looks_secret,
        sources::Language,
        spec::Overlays,
    },
    id::Arn,
};

impl Resolver<'_> {
    pub(super) fn overlays(&mut self, table: &ServiceTable, own: &Own) -> Overlays {
        let mut environment = self.environment_files(table, own);
        environment.extend(self.texts(&table.environment, own, Home::Service));
        let mut secrets = BTreeMap::new();
        for (name, written) in &table.ssm_secrets {
            self.judge_variable_name(name, written);
            let Some(value_from) = self.expand(written, own) else { continue };
            if value_from.trim().is_empty() {
                let mistake = Mistake::Empty { key: name.clone(), example: "\"/jobs/db-url\"".to_owned() };
                self.mistake(mistake, Place::File(written.span.clone()));
            } else if is_value_from(&value_from) {
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
}

/// What ECS takes as `valueFrom`: the name of a parameter in the task's own region, or the ARN of a parameter or of a
/// secret of Secrets Manager.
fn is_value_from(text: &str) -> bool {
    if text.starts_with("arn:") {
        return text.parse::<Arn>().is_ok_and(|arn| {
            let kind = match arn.service.as_str() {
                "ssm" => "parameter/",
                "secretsmanager" => "secret:",
                _ => return false,
            };
            is_region(&arn.region) && is_account(&arn.account) && arn.resource.starts_with(kind)
        });
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
