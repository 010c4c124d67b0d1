//! Where the key lies that the cached tokens are encrypted with: the system's keyrings, asked without a
//! prompt and with an end.
//!
//! Only a key of 32 bytes is kept there. A token is 2 to 4 KB: it does not fit the Windows Credential
//! Manager (2,560 bytes), and eats the kernel's 20,000 bytes for all keys of a user.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use keyring_core::{CredentialStore, Entry, Error};

#[cfg(target_os = "linux")]
use super::secret_service;
use super::session::DesktopSession;
use crate::secret::Secret;

/// The key that encrypts tokens.
pub type Key = Secret<[u8; 32]>;

/// What keeps a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// GNOME Keyring, `KWallet`, `KeePassXC`: the desktop's keyring on Linux.
    SecretService,
    /// The kernel's keyring of the user: until the next start, and three days after the last use.
    Keyutils,
    Keychain,
    CredentialManager,
    /// No key at all: a file in plain text that its owner alone may read.
    File,
}

impl Kind {
    const ALL: [Self; 5] = [Self::SecretService, Self::Keyutils, Self::Keychain, Self::CredentialManager, Self::File];

    /// As in the settings, and in the names of files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecretService => "secret-service",
            Self::Keyutils => "keyutils",
            Self::Keychain => "keychain",
            Self::CredentialManager => "credential-manager",
            Self::File => "file",
        }
    }

    /// What a person calls it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::SecretService => "the desktop's keyring (Secret Service)",
            Self::Keyutils => "the kernel's keyring (keyutils)",
            Self::Keychain => "the macOS Keychain",
            Self::CredentialManager => "the Windows Credential Manager",
            Self::File => "a plain file",
        }
    }

    /// How long a process waits for it, in all.
    const fn limit(self) -> Duration {
        match self {
            Self::SecretService | Self::Keychain | Self::CredentialManager => Duration::from_millis(1900),
            // Never waited for, see `Reach::AtOnce`.
            Self::Keyutils | Self::File => Duration::MAX,
        }
    }

    const fn reach(self) -> Reach {
        match self {
            Self::SecretService | Self::Keychain | Self::CredentialManager => Reach::MayHang,
            Self::Keyutils | Self::File => Reach::AtOnce,
        }
    }

    /// Those of this system that `auto` takes, the best first.
    const fn of_this_system() -> &'static [Self] {
        if cfg!(target_os = "linux") {
            &[Self::SecretService, Self::Keyutils]
        } else if cfg!(target_os = "macos") {
            &[Self::Keychain]
        } else if cfg!(windows) {
            &[Self::CredentialManager]
        } else {
            &[]
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(())
    }
}

/// Which store the user wants: `credentials.store`, or `ECS_SHIP_CREDENTIAL_STORE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The best keyring that is there and unlocked; never a file in plain text.
    #[default]
    Auto,
    Only(Kind),
    /// Memory of this process only.
    Nothing,
}

impl Choice {
    /// As in the settings, for messages.
    pub const NAMES: [&'static str; 7] =
        ["auto", "secret-service", "keyutils", "keychain", "credential-manager", "file", "none"];

    /// What to try, the best first.
    #[must_use]
    pub fn candidates(self) -> Vec<Kind> {
        match self {
            Self::Auto => Kind::of_this_system().to_vec(),
            Self::Only(kind) => vec![kind],
            Self::Nothing => Vec::new(),
        }
    }
}

impl FromStr for Choice {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::Nothing),
            other => other.parse().map(Self::Only),
        }
    }
}

/// Why a keyring is of no use now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("not there: {0}")]
    Absent(String),
    #[error("locked, and nobody is asked to unlock it")]
    Locked,
    /// The thread that asks is left behind and may hold the store's lock: it is not asked again.
    #[error("no answer in time")]
    TimedOut,
    #[error("it gave back something else than it was given")]
    Lied,
    #[error("{0}")]
    Failed(String),
}

/// The keyrings of this process. What one has answered is remembered, and so is why it did not.
#[derive(Debug, Default)]
pub struct Keyrings {
    /// Under which the key is found, by us and by a person who looks into the keyring. Each folder of
    /// tokens has a key of its own.
    user: String,
    session: DesktopSession,
    asked: AllAsked,
}

/// What this process knows, by the name of the entry: whoever opens the same folder once more must not wait once
/// more.
static ASKED: Mutex<BTreeMap<String, AllAsked>> = Mutex::new(BTreeMap::new());

/// What is known of each keyring, for all who have opened the same folder.
type AllAsked = Arc<Mutex<BTreeMap<Kind, Asked>>>;

/// What is known of one keyring.
#[derive(Debug)]
struct Asked {
    reach: Reach,
    known: Known,
    /// Of the time that it may take of this process.
    left: Duration,
}

/// What asking a keyring is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// System calls, which have an answer at once. A thread for them would be a fifth of what a warm `get` of the
    /// credential helper takes.
    AtOnce,
    /// Another program, which may prompt or hang.
    MayHang,
}

#[derive(Debug)]
enum Known {
    Nothing,
    /// Given once.
    Key(Key),
    /// Given twice, the same: tokens may be encrypted with it.
    Proven(Key),
    Useless(Problem),
}

const SERVICE: &str = "docker-ecs-ship";

impl Keyrings {
    #[must_use]
    pub fn of_folder(folder: &Path) -> Self {
        let user = format!("ECR tokens in {}", folder.display());
        let mut all = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Arc::clone(all.entry(user.clone()).or_default());
        Self { user, session: DesktopSession::default(), asked }
    }

    /// The same, with a desktop's keyring in reach.
    #[must_use]
    pub fn in_session(self, session: DesktopSession) -> Self {
        Self { session, ..self }
    }

    /// The key to open tokens with; `None` where there is none.
    pub fn key(&self, kind: Kind) -> Result<Option<Key>, Problem> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked::of(&mut asked, kind);
        match &asked.known {
            Known::Key(key) | Known::Proven(key) => return Ok(Some(key.clone())),
            Known::Useless(problem) => return Err(problem.clone()),
            Known::Nothing => {}
        }
        let open = self.way_to(kind);
        let found = asked.ask(move |limit| key_of(&open(limit)?))?;
        if let Some(key) = &found {
            asked.known = Known::Key(key.clone());
        }
        Ok(found)
    }

    /// The key to encrypt tokens with, made where there is none while `lock` is held: two processes that begin
    /// at the same time must not make two. One that was given before must be given again, or everything that is
    /// encrypted now would be unreadable tomorrow.
    pub fn key_to_seal<L>(&self, kind: Kind, lock: impl FnOnce() -> L + Send + 'static) -> Result<Key, Problem> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked::of(&mut asked, kind);
        let given = match &asked.known {
            Known::Proven(key) => return Ok(key.clone()),
            Known::Useless(problem) => return Err(problem.clone()),
            Known::Key(key) => Some(key.clone()),
            Known::Nothing => None,
        };
        let open = self.way_to(kind);
        let key = asked.ask(move |limit| {
            let entry = open(limit)?;
            let found = if let Some(found) = key_of(&entry)? {
                found
            } else {
                let _lock = lock();
                // Whoever had the lock before has made one for us, too.
                match key_of(&entry)? {
                    Some(found) => found,
                    None => make(&entry)?,
                }
            };
            if given.is_some_and(|given| given != found) { Err(Problem::Lied) } else { Ok(found) }
        })?;
        asked.known = Known::Proven(key.clone());
        Ok(key)
    }

    /// Takes the key out of this keyring: what was encrypted with it cannot be read any more.
    pub fn forget(&self, kind: Kind) -> Result<(), Problem> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked::of(&mut asked, kind);
        if let Known::Useless(problem) = &asked.known {
            return Err(problem.clone());
        }
        asked.known = Known::Nothing;
        let open = self.way_to(kind);
        asked.ask(move |limit| match open(limit)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(failed(error)),
        })
    }

    /// Each keyring that was asked in vain, with the reason.
    #[must_use]
    pub fn problems(&self) -> Vec<(Kind, Problem)> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let useless = asked.iter().filter_map(|(kind, asked)| match &asked.known {
            Known::Useless(problem) => Some((*kind, problem.clone())),
            Known::Nothing | Known::Key(_) | Known::Proven(_) => None,
        });
        useless.collect()
    }

    /// How our entry in a keyring is reached, for a thread of its own.
    fn way_to(&self, kind: Kind) -> impl FnOnce(Duration) -> Result<Entry, Problem> + Send + 'static {
        let (user, session) = (self.user.clone(), self.session.clone());
        move |limit| open(kind, &user, &session, limit)?.build(SERVICE, &user, None).map_err(failed)
    }
}

impl Asked {
    fn of(all: &mut BTreeMap<Kind, Self>, kind: Kind) -> &mut Self {
        all.entry(kind).or_insert_with(|| Self { reach: kind.reach(), known: Known::Nothing, left: kind.limit() })
    }

    /// Asks within the time that is left; a keyring that failed once is not asked again.
    fn ask<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Duration) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (left, begun) = (self.left, now());
        let answer = match self.reach {
            Reach::AtOnce => work(left),
            Reach::MayHang => bounded(left, move || work(left)),
        };
        self.left = left.saturating_sub(begun.elapsed());
        if let Err(problem) = &answer {
            self.known = Known::Useless(problem.clone());
        }
        answer
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a keyring took is a matter of the real clock")]
fn now() -> Instant {
    Instant::now()
}

/// A plain thread and not `spawn_blocking`: the shutdown of a runtime waits for those, and a prompt of
/// the Secret Service has no end. A thread that is left behind ends with the process.
fn bounded<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let worker = thread::Builder::new().name("keyring".to_owned());
    worker.spawn(move || sender.send(work())).map_err(failed)?;
    receiver.recv_timeout(limit).unwrap_or_else(|error| match error {
        mpsc::RecvTimeoutError::Timeout => Err(Problem::TimedOut),
        mpsc::RecvTimeoutError::Disconnected => Err(Problem::Failed("its library failed".to_owned())),
    })
}

/// The stores' own errors quote no secret in their text, unlike in their `Debug`.
pub(super) fn failed(error: impl fmt::Display) -> Problem {
    Problem::Failed(error.to_string())
}

fn key_of(entry: &Entry) -> Result<Option<Key>, Problem> {
    match entry.get_secret() {
        // Of another length: not ours, or spoilt. Without it the old tokens are lost, and fetched anew.
        Ok(secret) => Ok(secret.try_into().ok().map(Secret::new)),
        Err(Error::NoEntry) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn make(entry: &Entry) -> Result<Key, Problem> {
    let mut fresh = [0; 32];
    rand::fill(&mut fresh).map_err(failed)?;
    entry.set_secret(&fresh).map_err(failed)?;
    // A keyring that takes and does not keep would make every token unreadable the moment it is written.
    match entry.get_secret() {
        Ok(kept) if kept == fresh => Ok(Secret::new(fresh)),
        Ok(_) | Err(Error::NoEntry) => Err(Problem::Lied),
        Err(error) => Err(failed(error)),
    }
}

fn open(kind: Kind, user: &str, session: &DesktopSession, limit: Duration) -> Result<Arc<CredentialStore>, Problem> {
    // Only the bus of the desktop is asked with them.
    let _ = (user, session, limit);
    match kind {
        #[cfg(target_os = "linux")]
        Kind::SecretService => {
            let address = session.address().ok_or_else(|| Problem::Absent("no D-Bus session".to_owned()))?;
            secret_service::open(&address, SERVICE, user, limit)
        }
        #[cfg(target_os = "linux")]
        Kind::Keyutils => {
            use linux_keyutils::{KeyRing, KeyRingIdentifier::Session};

            // Without pam_keyinit (containers, cron, services) the session keyring is one that this
            // process does not possess, and reads are refused: join a fresh one. It belongs to this
            // thread and its children; the store links the user's persistent keyring into it. Docker's default seccomp
            // profile answers EPERM, others ENOSYS.
            KeyRing::from_special_id(Session, true).map_err(|error| Problem::Absent(format!("{error:?}")))?;
            Ok(linux_keyutils_keyring_store::Store::new().map_err(failed)?)
        }
        #[cfg(target_os = "macos")]
        Kind::Keychain => Ok(apple_native_keyring_store::keychain::Store::new().map_err(failed)?),
        #[cfg(windows)]
        Kind::CredentialManager => Ok(windows_native_keyring_store::Store::new().map_err(failed)?),
        other => Err(Problem::Absent(format!("this system has no {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_goes_by_one_name() {
        for name in Choice::NAMES {
            let choice: Choice = name.parse().expect("a name from the list");
            match choice {
                Choice::Auto => assert_eq!(name, "auto"),
                Choice::Nothing => assert_eq!(name, "none"),
                Choice::Only(kind) => assert_eq!(kind.to_string(), name),
            }
        }
        assert_eq!("keyring".parse::<Choice>(), Err(()));
        assert!(!Choice::Auto.candidates().contains(&Kind::File), "plain text only by name");
    }

    /// A keyring that takes everything and gives back what it likes.
    #[derive(Debug)]
    struct Liar(Option<&'static [u8]>);

    impl keyring_core::api::CredentialApi for Liar {
        fn set_secret(&self, _: &[u8]) -> keyring_core::Result<()> {
            Ok(())
        }

        fn get_secret(&self) -> keyring_core::Result<Vec<u8>> {
            self.0.map(<[u8]>::to_vec).ok_or(Error::NoEntry)
        }

        fn delete_credential(&self) -> keyring_core::Result<()> {
            Ok(())
        }

        fn get_credential(&self) -> keyring_core::Result<Option<Arc<keyring_core::Credential>>> {
            Ok(None)
        }

        fn get_specifiers(&self) -> Option<(String, String)> {
            None
        }

        fn as_any(&self) -> &dyn std::any::Any {
            self
        }

        fn debug_fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Debug::fmt(self, formatter)
        }
    }

    #[test]
    fn a_keyring_that_does_not_keep_what_it_takes_is_not_believed() {
        for keeps in [None, Some(b"something else".as_slice())] {
            let entry = Entry::new_with_credential(Arc::new(Liar(keeps)));
            assert_eq!(key_of(&entry).unwrap(), None, "{keeps:?}");
            assert_eq!(make(&entry).unwrap_err(), Problem::Lied, "{keeps:?}");
        }
        let honest = Entry::new_with_credential(Arc::new(Liar(Some(&[7; 32]))));
        assert_eq!(key_of(&honest).unwrap(), Some(Secret::new([7; 32])));
    }

    #[test]
    fn work_without_an_end_is_left_behind() {
        let (hold, never) = mpsc::channel::<()>();
        let answer = bounded(Duration::from_millis(10), move || {
            never.recv().ok();
            Ok(())
        });
        assert_eq!(answer, Err(Problem::TimedOut));
        drop(hold);
        assert_eq!(bounded(Duration::from_secs(10), || Ok(7)), Ok(7));
        let panicked: Result<(), Problem> = bounded(Duration::from_secs(10), || panic!("of the test, on purpose"));
        assert_eq!(panicked, Err(Problem::Failed("its library failed".to_owned())));
    }

    #[test]
    fn a_keyring_that_is_not_of_this_system_is_absent_and_asked_once() {
        let elsewhere = if cfg!(target_os = "macos") { Kind::CredentialManager } else { Kind::Keychain };
        let keyrings = Keyrings::default();
        let problem = keyrings.key_to_seal(elsewhere, || ()).unwrap_err();
        assert!(matches!(problem, Problem::Absent(_)), "{problem}");
        assert_eq!(keyrings.problems(), [(elsewhere, problem)]);
    }

    #[test]
    fn what_a_keyring_takes_is_taken_from_one_purse() {
        let (hold, never) = mpsc::channel::<()>();
        let mut asked = Asked { reach: Reach::MayHang, known: Known::Nothing, left: Duration::from_secs(100) };
        let slow = Duration::from_millis(30);
        let first = asked.ask(move |_| Ok(never.recv_timeout(slow).is_err()));
        assert!(first == Ok(true) && asked.left + slow <= Duration::from_secs(100), "{first:?} {asked:?}");
        drop(hold);
        asked.left = Duration::from_millis(10);
        let (hold, never) = mpsc::channel::<()>();
        let second = asked.ask(move |left| Ok((left, never.recv())));
        assert_eq!(second.map(|_| ()), Err(Problem::TimedOut));
        drop(hold);
        assert!(matches!(asked.known, Known::Useless(Problem::TimedOut)), "{asked:?}");
    }
}
