//! Our credential helper in docker's configuration: put there for the registries that the user names, and
//! taken back to exactly what was there before.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::install::{self, Folders, InstallError};
use crate::credentials::{DockerFile, docker_file::Table, docker_login::OURSELVES};

/// One registry whose helper we have become, and what was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helped {
    /// Docker's configuration folder.
    docker_config: PathBuf,
    registry: String,
    before: Option<String>,
    /// Whether the table of helpers, and the file, are there because of us.
    made_table: bool,
    made_file: bool,
}

/// A change in docker's configuration, for showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperChange {
    pub config: PathBuf,
    pub registry: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// What is going to be changed, to be shown first.
#[derive(Debug)]
pub struct Change {
    file: DockerFile,
    helped: Vec<Helped>,
}

impl Change {
    /// Looks at docker's configuration and changes nothing.
    pub fn plan(docker_config: &Path, registries: &[String]) -> Result<Self, InstallError> {
        let mut file = DockerFile::read(docker_config)?;
        let (made_table, made_file) = (!file.has_helpers(), !file.exists());
        let mut helped = Vec::new();
        for registry in registries {
            let before = file.helper(registry).map(str::to_owned);
            if before.as_deref() != Some(OURSELVES) {
                file.set_helper(registry, OURSELVES);
                let (docker_config, registry) = (docker_config.to_owned(), registry.clone());
                helped.push(Helped { docker_config, registry, before, made_table, made_file });
            }
        }
        Ok(Self { file, helped })
    }

    #[must_use]
    pub fn shown(&self) -> Vec<HelperChange> {
        self.helped
            .iter()
            .map(|helped| HelperChange {
                config: self.file.path().to_owned(),
                registry: helped.registry.clone(),
                from: helped.before.clone(),
                to: Some(OURSELVES.to_owned()),
            })
            .collect()
    }

    /// Does it, written down first so that it can be undone whatever happens.
    pub fn apply(&self, folders: &Folders) -> Result<(), InstallError> {
        if self.helped.is_empty() {
            return Ok(());
        }
        install::note_helped(folders, &self.helped)?;
        self.file.save()?;
        Ok(())
    }
}

impl Helped {
    pub(super) fn is_for(&self, other: &Self) -> bool {
        self.docker_config == other.docker_config && self.registry == other.registry
    }

    /// Puts back what was there before, unless somebody has changed it since.
    pub(super) fn undo(&self) -> Result<install::Change, InstallError> {
        let mut file = DockerFile::read(&self.docker_config)?;
        if file.helper(&self.registry) != Some(OURSELVES) {
            return Ok(install::Change::Left(file.path().to_owned()));
        }
        if let Some(before) = &self.before {
            file.set_helper(&self.registry, before);
        } else {
            let table = if self.made_table { Table::Ours } else { Table::Theirs };
            file.remove_helper(&self.registry, table);
        }
        if self.made_file && file.is_empty() {
            file.remove()?;
        } else {
            file.save()?;
        }
        Ok(install::Change::Helper(HelperChange {
            config: file.path().to_owned(),
            registry: self.registry.clone(),
            from: Some(OURSELVES.to_owned()),
            to: self.before.clone(),
        }))
    }
}
