//! ECR tokens on this machine, for all processes of a user: a file for each, encrypted with the key of a
//! keyring, replaced as a whole, and fetched by one process at a time.
//!
//! A file begins with a line that says in plain text whose token it is and how long it lasts, so that a
//! list needs no keyring. The line is authenticated with the token: it is believed only when the token
//! opens. What does not open is a cache miss, never an error.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    folder::{Folder, Lock, NEW, Read},
    session::DesktopSession,
    store::{Choice, Key, Keyrings, Kind, Problem},
};
use crate::secret::Secret;

/// What opens a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: Secret<String>,
}

/// As whom, and by which endpoint, a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub region: String,
    /// What makes the API's address: `standard`, `fips`, or the URL set in its place.
    pub endpoint: String,
    /// Tells one caller from another by profile or role, for [`Scope::id`]; never shown.
    pub fingerprint: String,
    /// The same for people: `profile jobs`.
    pub identity: String,
}

impl Scope {
    /// Names the scope in files.
    fn id(&self) -> String {
        let Self { region, endpoint, fingerprint, identity: _ } = self;
        digest(&[region, endpoint, fingerprint])
    }
}

/// Which token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// The registry's host, which says account, region and partition.
    pub registry: String,
    pub scope: Scope,
}

impl TokenKey {
    pub(super) fn id(&self) -> String {
        digest(&[&self.registry, &self.scope.id()])
    }
}

/// 128 bits: enough that no two keys ever meet.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps `ab` + `c` apart from `a` + `bc`.
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// What is known of a token besides the token; in plain text in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub registry: String,
    /// The account whose credentials the token was given for.
    pub account: Option<String>,
    pub region: String,
    /// `profile jobs`.
    pub identity: String,
    /// The caller's ARN, where it was asked for.
    pub caller: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
    pub expires_ms: u64,
}

impl About {
    /// Used until half of its life is over, as the ECR credential helper does: a push that starts then
    /// still has six of twelve hours.
    #[must_use]
    pub const fn is_fresh(&self, now_ms: u64) -> bool {
        let half = self.expires_ms.saturating_sub(self.issued_ms) / 2;
        // A clock that was set back says nothing about how old a token is.
        now_ms >= self.issued_ms && now_ms < self.issued_ms.saturating_add(half)
    }

    /// Whether the registry still takes it, with a minute for the clocks.
    #[must_use]
    pub const fn is_valid(&self, now_ms: u64) -> bool {
        now_ms.saturating_add(60_000) < self.expires_ms
    }
}

/// A token and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub login: Login,
    pub about: About,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    scope: String,
    #[serde(flatten)]
    about: About,
}

const FORMAT: u32 = 1;

/// What is behind that line: sealed, or as it is in a plain file.
#[derive(Serialize, Deserialize)]
struct Pair {
    username: String,
    password: String,
}

/// How long another process may take to fetch the token that is wanted here, too; then it is fetched
/// here. Longer than a call to ECR that is tried again a few times.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Token,
    /// Credentials of a role, which are kept as a token is: their secrets are the password of the access key.
    Session,
}

impl What {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Token => TOKEN,
            Self::Session => SESSION,
        }
    }
}

/// Keeps tokens where the user wants them kept.
#[derive(Debug)]
pub struct Cache {
    folder: Option<Arc<Folder>>,
    choice: Choice,
    keyrings: Keyrings,
    notes: Mutex<Vec<String>>,
    /// Something was to be kept, and nothing could.
    lost: AtomicBool,
}

impl Cache {
    /// Keeps nothing.
    #[must_use]
    pub fn nowhere() -> Self {
        Self {
            folder: None,
            choice: Choice::Nothing,
            keyrings: Keyrings::default(),
            notes: Mutex::default(),
            lost: AtomicBool::new(false),
        }
    }

    /// Opens the folder at `path`. A folder that cannot be used is one note, and nothing is kept.
    #[must_use]
    pub fn open(path: &Path, choice: Choice) -> Self {
        if choice == Choice::Nothing {
            return Self::nowhere();
        }
        let mut notes = Vec::new();
        let folder = match Folder::open(path) {
            Ok(folder) => Some(Arc::new(folder)),
            Err(error) => {
                notes.push(format!("tokens are not kept: {error}"));
                None
            }
        };
        let (keyrings, notes) = (Keyrings::of_folder(path), Mutex::new(notes));
        Self { folder, choice, keyrings, notes, lost: AtomicBool::new(false) }
    }

    /// The same, with the keyring of a desktop in reach.
    #[must_use]
    pub fn in_session(self, session: DesktopSession) -> Self {
        Self { keyrings: self.keyrings.in_session(session), ..self }
    }

    /// The token, if it is here and can be opened; of two stores the one that was written last.
    #[must_use]
    pub fn find(&self, key: &TokenKey) -> Option<(Kind, Entry)> {
        self.find_as(What::Token, key)
    }

    /// The session in a role, which goes by the role's ARN in the place of a registry.
    #[must_use]
    pub fn find_session(&self, key: &TokenKey) -> Option<Entry> {
        self.find_as(What::Session, key).map(|(_, entry)| entry)
    }

    fn find_as(&self, what: What, key: &TokenKey) -> Option<(Kind, Entry)> {
        let id = key.id();
        let mut files: Vec<_> = self
            .choice
            .candidates()
            .into_iter()
            .filter_map(|kind| {
                let name = file_name(kind, &id, what);
                let file = self.header(&name)?;
                // Not what its name promises: somebody has moved files about.
                if file.header.about.registry != key.registry || file.header.scope != key.scope.id() {
                    self.set_aside(&name, "it is for another registry or caller");
                    return None;
                }
                Some((kind, name, file))
            })
            .collect();
        files.sort_by_key(|(_, _, file)| std::cmp::Reverse(file.header.about.issued_ms));
        files.into_iter().find_map(|(kind, name, file)| Some((kind, self.opened(kind, &name, file)?)))
    }

    /// The token of the caller's own registry, whichever account that is.
    #[must_use]
    pub fn find_own(&self, scope: &Scope, now_ms: u64) -> Option<(Kind, Entry)> {
        let id = scope.id();
        let mut own: Vec<About> = self
            .headers()
            .into_iter()
            .filter(|header| header.scope == id && header.about.is_valid(now_ms))
            .map(|header| header.about)
            .filter(|about| about.account.as_ref().is_some_and(|account| about.registry.starts_with(account.as_str())))
            .collect();
        own.sort_by_key(|about| std::cmp::Reverse(about.issued_ms));
        own.into_iter().find_map(|about| self.find(&TokenKey { registry: about.registry, scope: scope.clone() }))
    }

    /// What is kept, by what the files say of themselves: no keyring is asked.
    #[must_use]
    pub fn list(&self) -> Vec<About> {
        let mut all: Vec<About> = self.headers().into_iter().map(|header| header.about).collect();
        all.sort_by(|one, other| one.registry.cmp(&other.registry).then(other.issued_ms.cmp(&one.issued_ms)));
        all
    }

    fn headers(&self) -> Vec<Header> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let names = folder.names().unwrap_or_default();
        names
            .into_iter()
            .filter(|(name, _)| self.kind_of(name).is_some())
            .filter_map(|(name, _)| Some(self.header(&name)?.header))
            .collect()
    }

    /// The store of a token file that the user's choice lets us look at.
    fn kind_of(&self, name: &str) -> Option<Kind> {
        name.strip_suffix(TOKEN)?;
        self.choice.candidates().into_iter().find(|kind| name.starts_with(&format!("{kind}-")))
    }

    /// Reads a file as far as its first line; one that is not as we made it is set aside.
    fn header(&self, name: &str) -> Option<Sealed> {
        let folder = self.folder.as_ref()?;
        let bytes = match folder.read(name) {
            Ok(Read::Bytes(bytes)) => bytes,
            Ok(Read::Missing) => return None,
            Ok(Read::NotOurs) => {
                self.set_aside(name, "it is a link, or open to others, or of another user");
                return None;
            }
            Err(error) => {
                self.note(format!("{name} cannot be read: {error}"));
                return None;
            }
        };
        let line = bytes.iter().position(|byte| *byte == b'\n');
        let header = line.and_then(|end| serde_json::from_slice::<Header>(&bytes[..end]).ok());
        match (line, header) {
            // Another version of this program may read it.
            (Some(_), Some(header)) if header.format != FORMAT => None,
            (Some(end), Some(header)) => Some(Sealed { header, bytes, end }),
            (None, _) | (_, None) => {
                self.set_aside(name, "it is not what this program writes");
                None
            }
        }
    }

    /// Opens what is behind the first line.
    fn opened(&self, kind: Kind, name: &str, file: Sealed) -> Option<Entry> {
        let Sealed { header, mut bytes, end } = file;
        let mut body = bytes.split_off(end + 1);
        bytes.truncate(end);
        let pair = if kind == Kind::File {
            serde_json::from_slice::<Pair>(&body).ok()
        } else {
            let key = match self.keyrings.key(kind) {
                Ok(key) => key?,
                Err(problem) => {
                    self.note_problem(kind, &problem);
                    return None;
                }
            };
            unseal(&key, name, &bytes, &mut body).and_then(|pair| serde_json::from_slice(pair).ok())
        };
        let Some(Pair { username, password }) = pair else {
            self.set_aside(name, "it does not open with the key of the keyring");
            return None;
        };
        Some(Entry { login: Login { username, password: Secret::new(password) }, about: header.about })
    }

    /// Keeps the token in the first store that works; `None` where none does.
    pub fn keep(&self, key: &TokenKey, entry: &Entry) -> Option<Kind> {
        let kept = self.keep_as(What::Token, key, entry);
        if kept.is_none() {
            self.lost.store(true, Ordering::Relaxed);
        }
        kept
    }

    /// Keeps a session in a role. Where it cannot be kept, a person is asked for the next code.
    pub fn keep_session(&self, key: &TokenKey, entry: &Entry) {
        self.keep_as(What::Session, key, entry);
    }

    fn keep_as(&self, what: What, key: &TokenKey, entry: &Entry) -> Option<Kind> {
        let folder = self.folder.as_ref()?;
        let id = key.id();
        let header = Header { format: FORMAT, scope: key.scope.id(), about: entry.about.clone() };
        let header = serde_json::to_vec(&header).expect("texts and numbers always serialise");
        let pair = Pair { username: entry.login.username.clone(), password: entry.login.password.expose().clone() };
        let pair = serde_json::to_vec(&pair).expect("texts always serialise");
        for kind in self.choice.candidates() {
            let name = file_name(kind, &id, what);
            let body = if kind == Kind::File {
                pair.clone()
            } else {
                match self.key(kind).and_then(|key| {
                    seal(&key, &name, &header, &pair).ok_or_else(|| Problem::Failed("it cannot encrypt".to_owned()))
                }) {
                    Ok(body) => body,
                    Err(problem) => {
                        self.note_problem(kind, &problem);
                        continue;
                    }
                }
            };
            let bytes = [header.as_slice(), b"\n", &body].concat();
            if let Err(error) = folder.write(&name, &bytes) {
                self.note(format!("tokens are not kept: {name}: {error}"));
                return None;
            }
            self.prune(entry.about.issued_ms);
            return Some(kind);
        }
        None
    }

    /// The key to encrypt with, made where there is none.
    fn key(&self, kind: Kind) -> Result<Key, Problem> {
        // Where the lock cannot be had, a second key only costs a fetch.
        let folder = self.folder.clone();
        self.keyrings
            .key_to_seal(kind, move || folder.and_then(|folder| folder.lock(&format!("key-{kind}{LOCK}")).ok()))
    }

    /// Forgets this token, if it is still the one that is meant: another process may have fetched a new
    /// one meanwhile.
    pub fn forget(&self, key: &TokenKey, refused: &Login) {
        if let Some((kind, entry)) = self.find(key)
            && entry.login == *refused
            && let Some(folder) = &self.folder
        {
            folder.remove(&file_name(kind, &key.id(), What::Token)).ok();
        }
    }

    /// Forgets all tokens of a registry, or all there are, in every store; answers how many those were.
    pub fn forget_all(&self, registry: Option<&str>) -> std::io::Result<usize> {
        let Some(folder) = &self.folder else { return Ok(0) };
        let mut forgotten = 0;
        for (name, _) in folder.names()? {
            let token = name.ends_with(TOKEN);
            let meant = match registry {
                Some(registry) => {
                    token && self.header(&name).is_some_and(|file| file.header.about.registry == registry)
                }
                None => token || name.starts_with(ASIDE) || name.starts_with(NEW),
            };
            if meant {
                folder.remove(&name)?;
                forgotten += usize::from(token);
            }
        }
        if registry.is_none() {
            // Without the tokens the keys open nothing. A keyring that never had one is no problem.
            for kind in self.choice.candidates().into_iter().filter(|kind| *kind != Kind::File) {
                if let Err(problem) = self.keyrings.forget(kind) {
                    self.note_problem(kind, &problem);
                }
            }
        }
        Ok(forgotten)
    }

    /// Forgets the session in a role that AWS knows no more.
    pub fn forget_session(&self, key: &TokenKey) {
        let Some(folder) = &self.folder else { return };
        for kind in self.choice.candidates() {
            folder.remove(&file_name(kind, &key.id(), What::Session)).ok();
        }
    }

    /// Forgets all sessions in roles; answers how many those were.
    pub fn forget_sessions(&self) -> std::io::Result<usize> {
        let Some(folder) = &self.folder else { return Ok(0) };
        let mut forgotten = 0;
        for (name, _) in folder.names()?.into_iter().filter(|(name, _)| name.ends_with(SESSION)) {
            folder.remove(&name)?;
            forgotten += 1;
        }
        Ok(forgotten)
    }

    /// Takes the right to fetch this token, or waits for whoever has it. After [`PATIENCE`], and where
    /// there is nothing to lock, it is fetched without.
    pub async fn lock(&self, key: &TokenKey) -> Option<Held> {
        let folder = Arc::clone(self.folder.as_ref()?);
        let name = format!("{}{LOCK}", key.id());
        if let Ok(Some(lock)) = folder.try_lock(&name) {
            return Some(Held(lock));
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // A plain thread: nobody waits for it when the patience is over, and a lock that then comes is
        // dropped with the message nobody takes.
        let wait = std::thread::Builder::new().name("token lock".to_owned());
        wait.spawn(move || sender.send(folder.lock(&name))).ok()?;
        tokio::time::timeout(PATIENCE, receiver).await.ok()?.ok()?.ok().map(Held)
    }

    /// Takes away what nobody can use any more.
    fn prune(&self, now_ms: u64) {
        let Some(folder) = &self.folder else { return };
        let Ok(names) = folder.names() else { return };
        let now = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
        for (name, written) in names {
            let age = now.saturating_sub(written);
            let over = if name.ends_with(TOKEN) || name.ends_with(SESSION) {
                // By its own word; one whose word cannot be read is as old as a token can get.
                self.header(&name).map_or(age > DAY, |file| !file.header.about.is_valid(now_ms))
            } else if name.ends_with(LOCK) {
                // Whoever waits for a lock that is taken away here fetches once too often, no more.
                age > DAY && folder.try_lock(&name).is_ok_and(|lock| lock.is_some())
            } else if name.starts_with(NEW) {
                age > 60
            } else {
                name.starts_with(ASIDE) && age > DAY
            };
            if over {
                folder.remove(&name).ok();
            }
        }
    }

    fn set_aside(&self, name: &str, why: &str) {
        let Some(folder) = &self.folder else { return };
        let aside = format!("{ASIDE}{name}");
        // Where it cannot be moved it is taken away; where that fails, too, it is not believed all the same.
        if folder.rename(name, &aside).is_err() {
            folder.remove(name).ok();
        }
        self.note(format!("{name} in {} is not used: {why}", folder.path().display()));
    }

    fn note_problem(&self, kind: Kind, problem: &Problem) {
        self.note(format!("credential store {kind}: {problem}"));
    }

    fn note(&self, note: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// What was odd, each thing once, for `--debug`.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a token could not be kept although it should be; `None` where that is the user's wish.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.choice == Choice::Nothing || !self.lost.load(Ordering::Relaxed) {
            return None;
        }
        let problems = self.keyrings.problems();
        let told = problems.iter().map(|(kind, problem)| format!("{kind}: {problem}")).collect::<Vec<_>>().join("; ");
        Some(if told.is_empty() { self.notes().join("; ") } else { told })
    }
}

/// The right to fetch a token, until it is dropped.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "the lock is held by being there")] Lock);

/// A file whose first line was read.
struct Sealed {
    header: Header,
    bytes: Vec<u8>,
    /// Where the line ends.
    end: usize,
}

const TOKEN: &str = ".token";
const SESSION: &str = ".session";
const LOCK: &str = ".lock";
const ASIDE: &str = "set-aside-";
const DAY: i64 = 24 * 60 * 60;

/// The store is in the name: two stores with two keys would overwrite each other's.
fn file_name(kind: Kind, id: &str, what: What) -> String {
    format!("{kind}-{id}{}", what.suffix())
}

/// The name and the first line are bound to the token: one file's bytes do not open under another name,
/// nor with another date.
fn bound(name: &str, header: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\n", header].concat()
}

const NONCE: usize = 12;

fn seal(key: &Key, name: &str, header: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.expose()).ok()?;
    let mut sealed = secret.to_vec();
    let nonce = cipher.seal_in_place_append_tag(Aad::from(bound(name, header)), &mut sealed).ok()?;
    Some([nonce.as_ref().as_slice(), &sealed].concat())
}

fn unseal<'a>(key: &Key, name: &str, header: &[u8], body: &'a mut [u8]) -> Option<&'a [u8]> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.expose()).ok()?;
    let (nonce, sealed) = body.split_at_mut_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    cipher.open_in_place(nonce, Aad::from(bound(name, header)), sealed).ok().map(|secret| &*secret)
}

#[cfg(test)]
mod tests;
