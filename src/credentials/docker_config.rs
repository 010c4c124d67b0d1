//! What the user's Docker configuration knows about a registry: `auths`, `credHelpers`, `credsStore`
//! and `DOCKER_AUTH_CONFIG`, looked up in docker's own order. Nothing is ever written there.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command, sync::Mutex};

use super::cache::Login;
use crate::secret::Secret;

/// The key under which docker keeps Docker Hub's login.
pub const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What a registry is told. An identity token stands alone; a user name comes with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryAuth {
    Password { username: String, password: Secret<String> },
    IdentityToken(Secret<String>),
    RegistryToken(Secret<String>),
}

#[derive(Debug, thiserror::Error)]
pub enum DockerConfigError {
    #[error("cannot read Docker's configuration `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("Docker's configuration {place} is not what docker writes (line {line})")]
    Parse { place: Place, line: usize },
    #[error("`{helper}`, which docker is told to use for {registry}, cannot be started")]
    Start {
        helper: String,
        registry: String,
        #[source]
        source: io::Error,
    },
    #[error("`{helper}` did not answer for {registry} within {} s", HELPER_LIMIT.as_secs())]
    Silent { helper: String, registry: String },
    #[error("`{helper}` refuses {registry}: {words}")]
    Helper { helper: String, registry: String, words: String },
    #[error("`{helper}` answered something that is not a credential")]
    Answer { helper: String },
}

/// Which of docker's two sources a text came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    /// `DOCKER_AUTH_CONFIG`.
    Variable,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "`{}`", path.display()),
            Self::Variable => formatter.write_str("in DOCKER_AUTH_CONFIG"),
        }
    }
}

/// A helper may wait for a person to unlock a keychain.
const HELPER_LIMIT: Duration = Duration::from_mins(1);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    creds_store: String,
}

#[derive(Default, Clone, Deserialize)]
#[serde(default)]
struct Entry {
    /// base64 of `user:password`.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Entry(****)")
    }
}

/// The configuration as it was read, with what helpers have answered so far.
#[derive(Debug, Clone, Default)]
pub struct DockerConfig {
    file: Arc<File>,
    variable: Arc<BTreeMap<String, Entry>>,
    /// Where helpers are looked for; `None` leaves it to the process's `PATH`.
    search: Option<PathBuf>,
    /// Held while a helper runs: osxkeychain hangs when it is asked twice at once.
    answered: Arc<Mutex<BTreeMap<String, Option<RegistryAuth>>>>,
}

impl DockerConfig {
    /// Reads `config.json` in docker's folder (`~/.docker` or `DOCKER_CONFIG`); none is an empty one.
    /// `variable` is the content of `DOCKER_AUTH_CONFIG`.
    pub async fn load(folder: &Path, variable: Option<&str>) -> Result<Self, DockerConfigError> {
        let path = folder.join("config.json");
        let file = match tokio::fs::read(&path).await {
            Ok(bytes) => parse(&bytes, Place::File(path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::default(),
            Err(source) => return Err(DockerConfigError::Read { path, source }),
        };
        let variable = match variable.filter(|text| !text.trim().is_empty()) {
            Some(text) => parse(text.as_bytes(), Place::Variable)?.auths,
            None => BTreeMap::new(),
        };
        Ok(Self { file: Arc::new(file), variable: Arc::new(variable), ..Self::default() })
    }

    /// The same configuration with helpers from one folder.
    #[must_use]
    pub fn with_helpers_in(self, folder: PathBuf) -> Self {
        Self { search: Some(folder), ..self }
    }

    /// The registries somebody has logged in to, without asking a store for its list, which may go to
    /// the network.
    #[must_use]
    pub fn registries(&self) -> Vec<String> {
        let File { auths, cred_helpers, creds_store: _ } = &*self.file;
        let mut hosts: Vec<String> = auths
            .keys()
            .chain(cred_helpers.keys())
            .chain(self.variable.keys())
            .map(|key| host_of(key).to_owned())
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Whether the helper of a registry is this one.
    #[must_use]
    pub fn is_helped_by(&self, registry: &str, helper: &str) -> bool {
        self.helper(key_of(registry)).is_some_and(|known| known == helper)
    }

    /// The helper of a registry, else the store of all.
    fn helper(&self, key: &str) -> Option<&str> {
        let File { auths: _, cred_helpers, creds_store } = &*self.file;
        let own = cred_helpers.iter().find(|(name, _)| host_of(name) == host_of(key)).map(|(_, helper)| helper);
        own.or(Some(creds_store)).map(String::as_str).filter(|helper| !helper.is_empty())
    }

    /// The login for a registry host; `None` is anonymous.
    ///
    /// Docker's order: `DOCKER_AUTH_CONFIG`, then the helper of the host, else the store of all, else
    /// the file.
    pub async fn lookup(&self, registry: &str) -> Result<Option<RegistryAuth>, DockerConfigError> {
        let key = key_of(registry);
        if let Some(auth) = entry(&self.variable, key) {
            return Ok(Some(auth));
        }
        let auths = &self.file.auths;
        let Some(helper) = self.helper(key) else { return Ok(entry(auths, key)) };
        let mut answered = self.answered.lock().await;
        if let Some(known) = answered.get(key) {
            return Ok(known.clone());
        }
        // The store knows the registry by the name under which it was stored.
        let stored = auths.keys().find(|name| host_of(name) == host_of(key)).map_or(key, String::as_str);
        let auth = self.ask(helper, stored).await?;
        answered.insert(key.to_owned(), auth.clone());
        Ok(auth)
    }

    /// `docker-credential-<helper> get`: the server on stdin, JSON or a reason on stdout.
    async fn ask(&self, helper: &str, server: &str) -> Result<Option<RegistryAuth>, DockerConfigError> {
        let answer = match self.call(helper, "get", server, server).await? {
            Ok(answer) => answer,
            // Texts of docker-credential-helpers, credentials/error.go: this one means "anonymous".
            Err(words) if words == "credentials not found in native keychain" => return Ok(None),
            Err(words) => return Err(refused(helper, server, words)),
        };
        let answer: Credential =
            serde_json::from_slice(&answer).map_err(|_| DockerConfigError::Answer { helper: program(helper) })?;
        let Credential { username, secret } = answer;
        Ok(match (username.as_str(), secret.as_str()) {
            (_, "") => None,
            ("<token>", _) => Some(RegistryAuth::IdentityToken(Secret::new(secret))),
            _ => Some(RegistryAuth::Password { username, password: Secret::new(secret) }),
        })
    }

    /// Gives a login to a helper of docker's for keeping.
    pub async fn store(&self, helper: &str, registry: &str, login: &Login) -> Result<(), DockerConfigError> {
        let credential =
            json!({ "ServerURL": registry, "Username": login.username, "Secret": login.password.expose() });
        let _one_at_a_time = self.answered.lock().await;
        let stored = self.call(helper, "store", &credential.to_string(), registry).await?;
        stored.map(drop).map_err(|words| refused(helper, registry, words))
    }

    /// Takes a login out of a helper of docker's; that it has none is what was wanted.
    pub async fn erase(&self, helper: &str, registry: &str) -> Result<(), DockerConfigError> {
        let _one_at_a_time = self.answered.lock().await;
        match self.call(helper, "erase", registry, registry).await? {
            Ok(_) => Ok(()),
            Err(words) if words.contains("not found") => Ok(()),
            Err(words) => Err(refused(helper, registry, words)),
        }
    }

    /// One action of the protocol: what the helper answers, or its words where it refuses.
    async fn call(
        &self,
        helper: &str,
        action: &str,
        input: &str,
        registry: &str,
    ) -> Result<Result<Vec<u8>, String>, DockerConfigError> {
        let name = program(helper);
        let program = self.search.as_ref().map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name));
        let start = |source| DockerConfigError::Start { helper: name.clone(), registry: registry.to_owned(), source };
        let mut child = Command::new(program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let mut stdin = child.stdin.take().expect("stdin was asked for");
        let talk = async move {
            // A helper that does not read its question may still answer it.
            stdin.write_all(input.as_bytes()).await.ok();
            drop(stdin);
            child.wait_with_output().await
        };
        let output = match tokio::time::timeout(HELPER_LIMIT, talk).await {
            Ok(output) => output.map_err(start)?,
            Err(_) => return Err(DockerConfigError::Silent { helper: name, registry: registry.to_owned() }),
        };
        if output.status.success() {
            return Ok(Ok(output.stdout));
        }
        // The protocol has the reason on stdout; a helper that fell over has it on stderr.
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().chars().take(300).collect::<String>();
        let told = Some(words(&output.stdout)).filter(|words| !words.is_empty());
        Ok(Err(told.unwrap_or_else(|| words(&output.stderr))))
    }
}

fn program(helper: &str) -> String {
    format!("docker-credential-{helper}")
}

fn refused(helper: &str, registry: &str, words: String) -> DockerConfigError {
    DockerConfigError::Helper { helper: program(helper), registry: registry.to_owned(), words }
}

/// What a helper prints; `ServerURL` is only an echo.
#[derive(Deserialize)]
struct Credential {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

fn parse(bytes: &[u8], place: Place) -> Result<File, DockerConfigError> {
    // The parser's own words may quote what is there, which may be a secret: only its line is told.
    serde_json::from_slice(bytes).map_err(|error| DockerConfigError::Parse { place, line: error.line() })
}

fn entry(auths: &BTreeMap<String, Entry>, key: &str) -> Option<RegistryAuth> {
    let exact = auths.get(key);
    let found =
        exact.or_else(|| auths.iter().find(|(name, _)| host_of(name) == host_of(key)).map(|(_, entry)| entry))?;
    let Entry { auth, username, password, identitytoken, registrytoken } = found.clone();
    if !identitytoken.is_empty() {
        return Some(RegistryAuth::IdentityToken(Secret::new(identitytoken)));
    }
    if !registrytoken.is_empty() {
        return Some(RegistryAuth::RegistryToken(Secret::new(registrytoken)));
    }
    if !username.is_empty() {
        return Some(RegistryAuth::Password { username, password: Secret::new(password) });
    }
    let pair = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = pair.split_once(':')?;
    // Docker's own files end in NUL where the password was padded.
    let password = Secret::new(password.trim_end_matches('\0').to_owned());
    Some(RegistryAuth::Password { username: username.to_owned(), password })
}

/// Docker Hub goes by several names and is stored under one.
fn key_of(registry: &str) -> &str {
    match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    }
}

/// `https://registry.example.com/v1/` → `registry.example.com`, as docker's `ConvertToHostname`.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

// The helpers of these tests are shell scripts.
#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use serde_json::json;

    use super::{DockerConfig, DockerConfigError, RegistryAuth, Secret};

    fn password(username: &str, password: &str) -> RegistryAuth {
        RegistryAuth::Password { username: username.to_owned(), password: Secret::new(password.to_owned()) }
    }

    async fn config(folder: &Path, content: &serde_json::Value, variable: Option<&str>) -> DockerConfig {
        fs::write(folder.join("config.json"), content.to_string()).unwrap();
        DockerConfig::load(folder, variable).await.unwrap().with_helpers_in(folder.to_owned())
    }

    fn helper(folder: &Path, name: &str, script: &str) {
        let path = folder.join(format!("docker-credential-{name}"));
        // Written under another name and moved: a program that is open for writing cannot be started.
        let new = path.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, path).unwrap();
    }

    #[tokio::test]
    async fn a_login_in_the_file_is_found_under_every_spelling_of_its_host() {
        let folder = tempfile::tempdir().unwrap();
        let content = json!({
            "auths": {
                "https://index.docker.io/v1/": {"auth": "dXNlcjpwYTpzcw=="},
                "https://old.example.com/v1/": {"auth": "dXNlcjpvbGQ="},
                "ghcr.io": {"identitytoken": "idt"},
                "empty.example.com": {},
            },
            "HttpHeaders": {"User-Agent": "x"},
        });
        let config =
            config(folder.path(), &content, Some(r#"{"auths":{"env.example.com":{"auth":"ZTpmCg=="}}}"#)).await;
        let cases = [
            ("docker.io", Some(password("user", "pa:ss"))),
            ("registry-1.docker.io", Some(password("user", "pa:ss"))),
            ("old.example.com", Some(password("user", "old"))),
            ("ghcr.io", Some(RegistryAuth::IdentityToken(Secret::new("idt".to_owned())))),
            ("env.example.com", Some(password("e", "f\n"))),
            ("empty.example.com", None),
            ("nobody.example.com", None),
        ];
        for (registry, expected) in cases {
            assert_eq!(config.lookup(registry).await.unwrap(), expected, "{registry}");
        }
        let known = ["empty.example.com", "env.example.com", "ghcr.io", "index.docker.io", "old.example.com"];
        assert_eq!(config.registries(), known);
    }

    #[tokio::test]
    async fn a_helper_is_asked_once_and_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("asked");
        let script = format!(
            r#"read server; echo "$1 $server" >> {}; echo '{{"ServerURL":"x","Username":"AWS","Secret":"s3cret"}}'"#,
            log.display()
        );
        helper(folder.path(), "special", &script);
        helper(folder.path(), "store", r#"echo "credentials not found in native keychain"; exit 1"#);
        helper(folder.path(), "token", r#"echo '{"Username":"<token>","Secret":"idt"}'"#);
        let content = json!({
            "auths": {"special.example.com": {"auth": "dXNlcjpvbGQ="}},
            "credHelpers": {"special.example.com": "special", "token.example.com": "token"},
            "credsStore": "store",
        });
        let config = config(folder.path(), &content, None).await;
        for _ in 0..3 {
            assert_eq!(config.lookup("special.example.com").await.unwrap(), Some(password("AWS", "s3cret")));
        }
        assert_eq!(fs::read_to_string(log).unwrap(), "get special.example.com\n");
        assert_eq!(config.lookup("other.example.com").await.unwrap(), None);
        let token = RegistryAuth::IdentityToken(Secret::new("idt".to_owned()));
        assert_eq!(config.lookup("token.example.com").await.unwrap(), Some(token));
    }

    #[tokio::test]
    async fn what_goes_wrong_names_the_helper_and_shows_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        helper(folder.path(), "locked", "echo 'keychain is locked'; exit 1");
        helper(folder.path(), "babble", "echo s3cret");
        let content =
            json!({"credHelpers": {"a.example.com": "locked", "b.example.com": "babble", "c.example.com": "absent"}});
        let config = config(folder.path(), &content, None).await;
        let said = async |registry: &str| config.lookup(registry).await.unwrap_err().to_string();
        assert_eq!(said("a.example.com").await, "`docker-credential-locked` refuses a.example.com: keychain is locked");
        assert_eq!(
            said("b.example.com").await,
            "`docker-credential-babble` answered something that is not a credential"
        );
        assert_eq!(
            said("c.example.com").await,
            "`docker-credential-absent`, which docker is told to use for c.example.com, cannot be started"
        );
        fs::write(folder.path().join("config.json"), "{\n \"auths\": {\"x\": \"s3cret\"}}").unwrap();
        let error = DockerConfig::load(folder.path(), None).await.unwrap_err();
        assert!(matches!(error, DockerConfigError::Parse { line: 2, .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }

    #[tokio::test]
    async fn no_configuration_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = DockerConfig::load(folder.path(), Some(" ")).await.unwrap();
        assert_eq!(config.lookup("ghcr.io").await.unwrap(), None);
    }
}
