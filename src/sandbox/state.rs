//! The sandbox's memory: the whole world as one JSON file, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::world::{FORMAT, World};

const WORLD: &str = "world.json";
pub(super) const LOCK: &str = "lock";
const IDENTITY: &str = "id";

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot use the state folder {folder}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("a sandbox is running on the state folder {folder} already")]
    Taken { folder: PathBuf },
    #[error(
        "the state file {file} is not one this version can read; it is left as it is: move it away to begin anew, or start the \
         version that wrote it"
    )]
    Unreadable { file: PathBuf, source: serde_json::Error },
    #[error(
        "the state file {file} was written by a later version (format {format}, this one knows {FORMAT}); it is left as it is: \
         start that version, or move the file away to begin anew"
    )]
    Newer { file: PathBuf, format: u32 },
}

/// What every form of the file has had, or had not yet.
#[derive(serde::Deserialize)]
struct Written {
    #[serde(default)]
    format: u32,
}

/// A state folder, held by this process alone until dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// A word of its own, so that what belongs to this sandbox can be told from what belongs to another.
    pub(super) identity: String,
    /// The lock goes with the file, and with the process, however that ends.
    held: File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Folder { folder: path.to_owned(), source };
        create(path).map_err(failed)?;
        let held = lock_file(path, LOCK).map_err(failed)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StateError::Taken { folder: path.to_owned() }),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let identity = identity(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), identity, held })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The world as it was last written, if it ever was.
    pub(super) fn load(&self) -> Result<Option<World>, StateError> {
        Self::read(&self.path)
    }

    /// The same for a folder that somebody else may hold.
    pub(super) fn read(path: &Path) -> Result<Option<World>, StateError> {
        let file = path.join(WORLD);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Folder { folder: path.to_owned(), source }),
        };
        // First the format alone: a later one may be another shape altogether.
        match serde_json::from_slice::<Written>(&bytes) {
            Ok(Written { format }) if format > FORMAT => return Err(StateError::Newer { file, format }),
            Ok(Written { .. }) | Err(_) => {}
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|source| StateError::Unreadable { file, source })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Said, not left to the closing: a child that is just being started may hold a copy of the descriptor.
        let _closing = self.held.unlock();
    }
}

/// Makes the folder, readable by nobody else: tokens and environments of containers lie in it. One that somebody has
/// made before, with the rights that folders usually have, is closed to others too.
pub(super) fn create(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode == mode & 0o700 { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700)) }
}

pub(super) fn lock_file(folder: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(name))
}

/// The sandbox's identity, made on first use.
pub(super) fn identity(folder: &Path) -> io::Result<String> {
    let file = folder.join(IDENTITY);
    match fs::read_to_string(&file) {
        Ok(known) if !known.trim().is_empty() => return Ok(known.trim().to_owned()),
        Ok(_) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(source),
    }
    let mut bytes = [0_u8; 6];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let made = hex::encode(bytes);
    replace(&file, made.as_bytes())?;
    Ok(made)
}

/// The log of one in the background, which holds what its containers' engine said.
pub(super) fn log_file(log: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(log)
}

/// Writes a file whole: readers see the old one or the new one.
pub(super) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let aside = file.with_extension("new");
    let mut new = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    let written = new.write_all(content);
    drop(new);
    match written.and_then(|()| fs::rename(&aside, file)) {
        Ok(()) => Ok(()),
        Err(source) => {
            // On a full disk half a file would take the room that the next try needs.
            let _gone = fs::remove_file(&aside);
            Err(source)
        }
    }
}

/// Writes the world down when told to. Clones share the work.
#[derive(Clone)]
pub(super) struct Keeper(Arc<Desk>);

struct Desk {
    world: Arc<Mutex<World>>,
    file: PathBuf,
    /// How many times it was asked to write, and up to which of them it has.
    asked: AtomicU64,
    written: tokio::sync::Mutex<u64>,
    due: tokio::sync::Notify,
}

impl Keeper {
    pub(super) fn new(folder: &Folder, world: Arc<Mutex<World>>) -> Self {
        Self(Arc::new(Desk {
            world,
            file: folder.path.join(WORLD),
            asked: AtomicU64::new(0),
            written: tokio::sync::Mutex::new(0),
            due: tokio::sync::Notify::new(),
        }))
    }

    /// Returns when everything that was so before the call is on disk. Several callers share one writing.
    pub(super) async fn keep(&self) -> io::Result<()> {
        let desk = &self.0;
        let mine = desk.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut written = desk.written.lock().await;
        if *written >= mine {
            return Ok(());
        }
        let covered = desk.asked.load(Ordering::SeqCst);
        let inner = Arc::clone(desk);
        let done = tokio::task::spawn_blocking(move || {
            let bytes = {
                let world = inner.world.lock().expect("nobody panics while holding the world");
                serde_json::to_vec(&*world)?
            };
            replace(&inner.file, &bytes)
        });
        done.await.map_err(io::Error::other)??;
        *written = covered;
        Ok(())
    }

    /// Asks for a writing soon, by whoever [waits for it](Self::due).
    pub(super) fn changed(&self) {
        self.0.due.notify_one();
    }

    pub(super) async fn due(&self) {
        self.0.due.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::{Pace, Place};
    use super::*;

    fn world() -> World {
        let place = Place { account: "0".into(), region: "r".into(), authority: "127.0.0.1:1".into() };
        World::new(place, Pace::new(2.0), 5)
    }

    #[tokio::test]
    async fn a_kept_world_is_found_again_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let held = Folder::open(&path).unwrap();
        assert!(held.load().unwrap().is_none());
        let world = Arc::new(Mutex::new(world()));
        let keeper = Keeper::new(&held, Arc::clone(&world));
        world.lock().unwrap().place.region = "eu-west-1".into();
        let (one, two) = tokio::join!(keeper.keep(), keeper.keep());
        one.unwrap();
        two.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(WORLD))), (0o700, 0o600));
        let identity = held.identity.clone();
        drop(held);
        let again = Folder::open(&path).unwrap();
        assert_eq!(again.load().unwrap().unwrap().place.region, "eu-west-1");
        assert_eq!(again.identity, identity);
    }

    #[test]
    fn a_folder_that_others_could_read_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let _held = Folder::open(folder.path()).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_is_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path()).unwrap();
        assert!(matches!(Folder::open(folder.path()), Err(StateError::Taken { .. })));
        drop(first);
        Folder::open(folder.path()).unwrap();
    }

    /// Written by the program as it was before its files had a format, with two services, a rollout behind it, an image, a
    /// listener with a rule, and lines of a container.
    #[test]
    fn a_world_of_before_there_were_formats_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let held = Folder::open(folder.path()).unwrap();
        fs::write(folder.path().join(WORLD), include_bytes!("state/format-0.json")).unwrap();
        let world = held.load().unwrap().unwrap();
        assert_eq!(world.format, 0);
        let overview = super::super::world::ecs::overview(&world);
        assert_eq!(overview["clusters"][0]["services"][0]["service"], "api", "{overview}");
        assert!(world.ecr.has_repository("jobs/api") && world.logs.has_group("/jobs/api"));
        assert_eq!(super::super::world::elb::Routes::of(&world.elb).listeners[0].rules.len(), 2);
        // Nothing of it is lost when it is written down again.
        let (before, after): (serde_json::Value, serde_json::Value) = (
            serde_json::from_slice(include_bytes!("state/format-0.json")).unwrap(),
            serde_json::to_value(&world).unwrap(),
        );
        for (member, value) in before.as_object().unwrap() {
            assert_eq!(&after[member], value, "{member}");
        }
    }

    #[test]
    fn a_state_of_a_later_version_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let held = Folder::open(folder.path()).unwrap();
        let later = br#"{"format":99,"place":"another shape"}"#;
        fs::write(folder.path().join(WORLD), later).unwrap();
        let refused = held.load().err().unwrap();
        assert!(matches!(refused, StateError::Newer { format: 99, .. }), "{refused:?}");
        assert!(refused.to_string().contains("a later version (format 99"), "{refused}");
        assert_eq!(fs::read(folder.path().join(WORLD)).unwrap(), later);
    }

    #[test]
    fn a_broken_state_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let held = Folder::open(folder.path()).unwrap();
        fs::write(folder.path().join(WORLD), b"{\"half\":").unwrap();
        assert!(matches!(held.load(), Err(StateError::Unreadable { .. })));
        assert!(folder.path().join(WORLD).exists());
    }
}
