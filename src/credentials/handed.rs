//! What was handed to docker's own credential store, so that `logout` can take it back: which registry in
//! which configuration folder. No login is in it.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::folder::{Folder, FolderError, Read};

/// A login that docker keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    pub registry: String,
    /// Docker's configuration folder.
    pub docker_config: PathBuf,
}

/// The list, in the folder of the tokens.
#[derive(Debug)]
pub struct HandedList(Folder);

const NAME: &str = "handed-to-docker.json";

impl HandedList {
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        Folder::open(folder).map(Self)
    }

    /// All of them; a list that cannot be understood is an empty one.
    #[must_use]
    pub fn read(&self) -> Vec<Handed> {
        match self.0.read(NAME) {
            Ok(Read::Bytes(bytes)) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Ok(Read::Missing | Read::NotOurs) | Err(_) => Vec::new(),
        }
    }

    /// Changes the list while nobody else does.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Handed>)) -> io::Result<()> {
        let _lock = self.0.lock("handed-to-docker.lock")?;
        let before = self.read();
        let mut all = before.clone();
        change(&mut all);
        if all == before {
            return Ok(());
        }
        if all.is_empty() {
            return self.0.remove(NAME);
        }
        self.0.write(NAME, &serde_json::to_vec(&all).expect("texts always serialise"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_is_remembered_until_it_is_taken_back() {
        let root = tempfile::tempdir().unwrap();
        let open = || HandedList::open(&root.path().join("tokens")).unwrap();
        let handed = |registry: &str| Handed { registry: registry.to_owned(), docker_config: "/home/a/.docker".into() };
        open().change(|all| all.push(handed("a"))).unwrap();
        open().change(|all| all.push(handed("b"))).unwrap();
        assert_eq!(open().read(), [handed("a"), handed("b")]);
        open().change(Vec::clear).unwrap();
        assert_eq!(open().read(), []);
        assert!(!root.path().join("tokens").join(NAME).exists());
    }
}
