//! Docker's `config.json`, changed in one place: every letter that is not changed stays as it was written, and so do mode,
//! owner and links; the file is replaced as a whole.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::cache::Login;

mod members;

#[derive(Debug, thiserror::Error)]
pub enum DockerFileError {
    #[error("cannot {action} Docker's configuration `{}`", path.display())]
    Io {
        /// `read`, `write`.
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Nothing is changed in what is not understood. The parser's own words may quote a secret.
    #[error("Docker's configuration `{}` is not what docker writes (line {line})", path.display())]
    Parse { path: PathBuf, line: usize },
    #[error("Docker's configuration `{}` was changed by somebody else meanwhile", path.display())]
    Changed { path: PathBuf },
}

/// The file as it was read, and as it is to be.
pub struct DockerFile {
    path: PathBuf,
    /// Behind all links.
    target: PathBuf,
    before: Option<String>,
    /// As it is to be.
    text: String,
    /// What it says then.
    value: Map<String, Value>,
}

impl std::fmt::Debug for DockerFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold logins.
        formatter.debug_struct("DockerFile").field("path", &self.path).finish_non_exhaustive()
    }
}

const HELPERS: &str = "credHelpers";
const AUTHS: &str = "auths";

impl DockerFile {
    /// Reads `config.json` in docker's folder; none is an empty one.
    pub fn read(folder: &Path) -> Result<Self, DockerFileError> {
        let path = folder.join("config.json");
        let target = behind_links(&path);
        let before = match fs::read_to_string(&target) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(DockerFileError::Io { action: "read", path, source }),
        };
        let text = before.clone().unwrap_or_default();
        let value = match understood(&text) {
            Ok(value) => value,
            Err(line) => return Err(DockerFileError::Parse { path, line }),
        };
        Ok(Self { path, target, before, text, value })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is there.
    #[must_use]
    pub const fn exists(&self) -> bool {
        self.before.is_some()
    }

    /// The helper of a registry.
    #[must_use]
    pub fn helper(&self, registry: &str) -> Option<&str> {
        self.value.get(HELPERS)?.get(registry)?.as_str()
    }

    /// The helper of all registries that have none of their own.
    #[must_use]
    pub fn store(&self) -> Option<&str> {
        self.value.get("credsStore")?.as_str().filter(|store| !store.is_empty())
    }

    /// Whether there is a table of helpers.
    #[must_use]
    pub fn has_helpers(&self) -> bool {
        self.value.contains_key(HELPERS)
    }

    pub fn set_helper(&mut self, registry: &str, helper: &str) {
        self.set(HELPERS, registry, &helper.into());
    }

    /// Takes the helper of a registry away, and the table with it if it is `Ours` and empty by then.
    pub fn remove_helper(&mut self, registry: &str, table: Table) {
        if self.value.get(HELPERS).is_some_and(Value::is_object) {
            self.edit(members::without(&self.text, HELPERS, registry));
        }
        let is_empty = self.value.get(HELPERS).and_then(Value::as_object).is_some_and(Map::is_empty);
        if is_empty && table == Table::Ours {
            self.edit(members::without_table(&self.text, HELPERS));
        }
    }

    /// The login that stands in the file itself, which docker writes in plain text.
    pub fn set_login(&mut self, registry: &str, login: &Login) {
        let pair = format!("{}:{}", login.username, login.password.expose());
        self.set(AUTHS, registry, &json!({ "auth": STANDARD.encode(pair) }));
    }

    /// That somebody is logged in there, with the login in a store: what docker writes beside one.
    pub fn mark_login(&mut self, registry: &str) {
        self.set(AUTHS, registry, &json!({}));
    }

    pub fn remove_login(&mut self, registry: &str) {
        if self.value.get(AUTHS).is_some_and(Value::is_object) {
            self.edit(members::without(&self.text, AUTHS, registry));
        }
    }

    /// What is there and no table is not docker's, and stays.
    fn set(&mut self, table: &str, registry: &str, value: &Value) {
        if self.value.get(table).is_none_or(Value::is_object) {
            self.edit(members::with(&self.text, table, registry, value));
        }
    }

    fn edit(&mut self, text: String) {
        self.value = understood(&text).expect("JSON with a member more or less is JSON");
        self.text = text;
    }

    /// Whether nothing is left in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// Writes it as it is to be; `false` where that is how it was.
    pub fn save(&self) -> Result<bool, DockerFileError> {
        if self.before.as_deref().unwrap_or_default() == self.text {
            return Ok(false);
        }
        let now = fs::read_to_string(&self.target).ok();
        if now != self.before {
            return Err(DockerFileError::Changed { path: self.path.clone() });
        }
        replace(&self.target, self.text.as_bytes()).map_err(|source| DockerFileError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })?;
        Ok(true)
    }

    /// Takes the file away, which we had made.
    pub fn remove(&self) -> Result<(), DockerFileError> {
        fs::remove_file(&self.target).map_err(|source| DockerFileError::Io {
            action: "remove",
            path: self.path.clone(),
            source,
        })
    }
}

/// What a text says; an empty one says nothing. Else the line where it cannot be understood.
fn understood(text: &str) -> Result<Map<String, Value>, usize> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(value)) => Ok(value),
        Ok(_) => Err(1),
        Err(error) => Err(error.line()),
    }
}

/// Who has made the table of helpers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Ours,
    Theirs,
}

/// Where the file really is, also where it is not there yet.
fn behind_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // As many as the kernel follows.
    for _ in 0..40 {
        let Ok(to) = fs::read_link(&path) else { break };
        path = path.parent().map_or_else(|| to.clone(), |folder| folder.join(&to));
    }
    path
}

/// Writes a file beside it, as wide and for whom the old one was, and moves it there.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let fresh = folder.join(format!(".config.json.{}", hex::encode(random)));
    let old = fs::metadata(path).ok();
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        #[cfg(unix)]
        if let Some(old) = &old {
            use std::os::unix::fs::MetadataExt as _;

            // Only root may give a file away, and only root edits somebody else's.
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid())).ok();
            file.set_permissions(old.permissions())?;
        }
        #[cfg(not(unix))]
        let _ = &old;
        file.sync_all()?;
        fs::rename(&fresh, path)
    });
    if written.is_err() {
        fs::remove_file(&fresh).ok();
    }
    written
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::secret::Secret;

    const HOST: &str = "111111111111.dkr.ecr.eu-west-1.amazonaws.com";

    /// A file with this content, changed, and what it is then.
    fn changed(before: &str, change: impl FnOnce(&mut DockerFile)) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), before).unwrap();
        let mut file = DockerFile::read(folder.path()).unwrap();
        change(&mut file);
        file.save().unwrap();
        fs::read_to_string(folder.path().join("config.json")).unwrap()
    }

    #[test]
    fn everything_else_stays_to_the_letter() {
        let docker = "{\n\t\"auths\": {\n\t\t\"ghcr.io\": {}\n\t},\n\t\"zeta\": 1.10,\n\t\"alpha\": 123456789012345678901,\n\t\"psFormat\": \"a\\u0026b\"\n}";
        let with = changed(docker, |file| file.set_helper(HOST, "ecs-ship"));
        let table = format!("\",\n\t\"credHelpers\": {{\n\t\t\"{HOST}\": \"ecs-ship\"\n\t}}\n}}");
        assert_eq!(with, docker.replace("\"\n}", &table));
        let without = changed(&with, |file| file.remove_helper(HOST, Table::Ours));
        assert_eq!(without, docker);
    }

    #[test]
    fn the_style_of_the_file_stays() {
        for before in [
            "{\n  \"credHelpers\": {\n    \"a\": \"x\",\n    \"b\": \"y\"\n  }\n}\n",
            "{\"credHelpers\":{\"a\":\"x\",\"b\":\"y\"}}",
            "{\n\t\"credHelpers\": {\n\t\t\"a\": \"x\",\n\t\t\"b\": \"y\"\n\t}\n}",
        ] {
            let with = changed(before, |file| file.set_helper("c", "z"));
            assert_ne!(with, before);
            assert_eq!(changed(&with, |file| file.remove_helper("c", Table::Theirs)), before);
            assert_eq!(changed(before, |file| file.set_helper("a", "x")), before, "nothing to change");
        }
        // A table that was there stays, empty as it may be.
        let empty = "{\n\t\"credHelpers\": {}\n}";
        let with = changed(empty, |file| file.set_helper("c", "z"));
        assert_eq!(changed(&with, |file| file.remove_helper("c", Table::Theirs)), empty);
    }

    #[test]
    fn links_and_modes_stay_and_a_new_file_is_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("dotfiles/docker.json");
        fs::create_dir(elsewhere.parent().unwrap()).unwrap();
        fs::write(&elsewhere, "{}").unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("config.json");
        symlink("dotfiles/docker.json", &link).unwrap();
        let mut file = DockerFile::read(folder.path()).unwrap();
        file.set_helper("a", "x");
        assert!(file.save().unwrap());
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&elsewhere).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(elsewhere.parent().unwrap()).unwrap().count(), 1, "nothing is left of the writing");

        let fresh = folder.path().join("new/.docker");
        let mut file = DockerFile::read(&fresh).unwrap();
        assert!(!file.exists());
        file.set_login(HOST, &Login { username: "AWS".into(), password: Secret::new("pw".into()) });
        file.save().unwrap();
        let path = fresh.join("config.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{{\n\t\"auths\": {{\n\t\t\"{HOST}\": {{\n\t\t\t\"auth\": \"QVdTOnB3\"\n\t\t}}\n\t}}\n}}")
        );
    }

    #[test]
    fn what_is_not_understood_or_was_changed_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for broken in ["{\n\"auths\": \"s3cret", "[]"] {
            fs::write(&path, broken).unwrap();
            let error = DockerFile::read(folder.path()).unwrap_err();
            assert!(matches!(error, DockerFileError::Parse { .. }), "{error:?}");
            assert!(!format!("{error:?} {error}").contains("s3cret"));
        }
        fs::write(&path, "{}").unwrap();
        let mut file = DockerFile::read(folder.path()).unwrap();
        fs::write(&path, "{\"auths\":{}}").unwrap();
        file.set_helper("a", "x");
        assert!(matches!(file.save().unwrap_err(), DockerFileError::Changed { .. }));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"auths\":{}}");
    }
}
