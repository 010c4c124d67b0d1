//! The folder of the cached tokens: ours alone, opened once, and reached by its handle from then on, so
//! that nobody can put another in its place.
//!
//! What is not as we made it (a link, a file of somebody else, a file that others may read) is not read.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use rustix::{
    fd::OwnedFd,
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

/// Why the folder is not used; tokens are kept in memory then.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{} belongs to another user", path.display())]
    Foreign { path: PathBuf },
    #[error("others may write to {}", path.display())]
    Open { path: PathBuf },
    #[error("{} is a link or no folder", path.display())]
    NotAFolder { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Everybody but the owner.
#[cfg(unix)]
const OTHERS: Mode = Mode::RWXG.union(Mode::RWXO);

/// No cached token is as long.
const LONGEST: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    #[cfg(unix)]
    handle: OwnedFd,
}

/// What reading a file gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(Vec<u8>),
    Missing,
    /// A link, of another user, or open to others: not as we made it.
    NotOurs,
}

/// Held until it is dropped, or the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock is the open file")] File);

#[cfg(unix)]
impl Folder {
    /// Opens the folder, and makes it where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        use std::os::unix::fs::DirBuilderExt as _;

        let failed = |source: io::Error| FolderError::Io { path: path.to_owned(), source };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match fs::open(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
                fs::open(path, flags, Mode::empty())
            }
            other => other,
        };
        let handle = handle.map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => FolderError::NotAFolder { path: path.to_owned() },
            other => failed(other.into()),
        })?;
        let stat = fs::fstat(&handle).map_err(|error| failed(error.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(FolderError::Foreign { path: path.to_owned() });
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(FolderError::Open { path: path.to_owned() });
        }
        if stat.st_mode & 0o077 != 0 {
            // Somebody has let others look in, but nobody could have put anything here.
            fs::fchmod(&handle, Mode::RWXU).map_err(|error| failed(error.into()))?;
        }
        Ok(Self { path: path.to_owned(), handle })
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Read> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Read::Missing),
            // A link, or a socket: Linux says the second of it, the BSDs and macOS the third.
            Err(Errno::LOOP | Errno::NXIO | Errno::OPNOTSUPP) => return Ok(Read::NotOurs),
            Err(error) => return Err(error.into()),
        };
        let stat = fs::fstat(&file)?;
        let ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && !OTHERS.intersects(Mode::from_raw_mode(stat.st_mode))
            // A second name would be a way in.
            && stat.st_nlink == 1;
        if !ours {
            return Ok(Read::NotOurs);
        }
        // With room for the end, so that one read takes it all and the next says so.
        let size = u64::try_from(stat.st_size).unwrap_or_default().min(LONGEST) + 1;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        File::from(file).take(LONGEST).read_to_end(&mut bytes)?;
        Ok(Read::Bytes(bytes))
    }

    /// Writes beside the file and moves it there: who reads meanwhile reads the old one, whole.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let fresh = format!("{NEW}{}", hex::encode(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.handle, &fresh, flags, Mode::RUSR | Mode::WUSR)?;
        let written = File::from(file).write_all(bytes);
        let moved = written.and_then(|()| Ok(fs::renameat(&self.handle, &fresh, &self.handle, name)?));
        if moved.is_err() {
            self.remove(&fresh).ok();
        }
        moved
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// The names in it, and when each was written, in seconds since the Unix epoch.
    pub(super) fn names(&self) -> io::Result<Vec<(String, i64)>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.handle)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if let Ok(stat) = fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)
                && FileType::from_raw_mode(stat.st_mode) != FileType::Directory
            {
                names.push((name.to_owned(), stat.st_mtime));
            }
        }
        names.sort();
        Ok(names)
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(File::from(fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?))
    }
}

/// Windows: the folder is in the user's own profile, which its access list keeps to the user.
#[cfg(not(unix))]
impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        std::fs::create_dir_all(path).map_err(|source| FolderError::Io { path: path.to_owned(), source })?;
        if !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Err(FolderError::NotAFolder { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned() })
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Read> {
        let path = self.path.join(name);
        match path.symlink_metadata() {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(Read::NotOurs),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::Missing),
            Err(error) => return Err(error),
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(Read::Bytes(bytes))
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let fresh = self.path.join(format!("{NEW}{}", hex::encode(random)));
        let written =
            File::options().write(true).create_new(true).open(&fresh).and_then(|mut file| file.write_all(bytes));
        let moved = written.and_then(|()| std::fs::rename(&fresh, self.path.join(name)));
        if moved.is_err() {
            std::fs::remove_file(&fresh).ok();
        }
        moved
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    pub(super) fn names(&self) -> io::Result<Vec<(String, i64)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let written = entry.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH);
            let seconds = written.map_or(0, |written| i64::try_from(written.as_secs()).unwrap_or(i64::MAX));
            names.extend(entry.file_name().to_str().map(|name| (name.to_owned(), seconds)));
        }
        names.sort();
        Ok(names)
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        File::options().read(true).write(true).create(true).truncate(false).open(self.path.join(name))
    }
}

/// What the names of files begin with that are being written.
pub(super) const NEW: &str = "new-";

impl Folder {
    /// Takes the lock, however long that takes.
    pub(super) fn lock(&self, name: &str) -> io::Result<Lock> {
        let file = self.lock_file(name)?;
        file.lock()?;
        Ok(Lock(file))
    }

    /// Takes the lock if nobody holds it.
    pub(super) fn try_lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let file = self.lock_file(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::Path,
    };

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        folder.write("x.token", b"secret").unwrap();
        let _lock = folder.lock("x.lock").unwrap();
        assert_eq!((mode(&path), mode(&root.path().join("a"))), (0o700, 0o700));
        assert_eq!((mode(&path.join("x.token")), mode(&path.join("x.lock"))), (0o600, 0o600));
        assert_eq!(folder.read("x.token").unwrap(), Read::Bytes(b"secret".to_vec()));
        assert_eq!(folder.read("y.token").unwrap(), Read::Missing);
        let names: Vec<_> = folder.names().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x.lock", "x.token"], "nothing is left of the writing");
    }

    #[test]
    fn a_folder_that_others_could_fill_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("tokens");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Folder::open(&path), Err(FolderError::Open { .. })));
        // One that others could only look into is closed.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Folder::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        let link = root.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(Folder::open(&link), Err(FolderError::NotAFolder { .. })));
        fs::write(root.path().join("file"), "").unwrap();
        assert!(matches!(Folder::open(&root.path().join("file")), Err(FolderError::NotAFolder { .. })));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            assert!(matches!(Folder::open(&path), Err(FolderError::Foreign { .. })));
        }
    }

    #[test]
    fn a_file_that_is_not_as_we_made_it_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("tokens");
        let folder = Folder::open(&path).unwrap();
        let elsewhere = root.path().join("elsewhere");
        fs::write(&elsewhere, "planted").unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&elsewhere, path.join("link")).unwrap();
        fs::hard_link(&elsewhere, path.join("second-name")).unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        fs::write(path.join("open"), "x").unwrap();
        fs::set_permissions(path.join("open"), fs::Permissions::from_mode(0o640)).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for name in ["link", "second-name", "folder", "open", "pipe"] {
            assert_eq!(folder.read(name).unwrap(), Read::NotOurs, "{name}");
        }
        // Writing replaces a link and leaves alone what it points at; a lock is not taken through one.
        folder.write("link", b"ours").unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "planted");
        symlink(&elsewhere, path.join("lock")).unwrap();
        folder.lock("lock").unwrap_err();
        if rustix::process::geteuid().is_root() {
            folder.write("foreign", b"x").unwrap();
            std::os::unix::fs::chown(path.join("foreign"), Some(65_534), None).unwrap();
            assert_eq!(folder.read("foreign").unwrap(), Read::NotOurs);
        }
    }

    #[test]
    fn a_lock_has_one_holder() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(&root.path().join("tokens")).unwrap();
        let held = folder.try_lock("a.lock").unwrap().expect("nobody holds it");
        assert!(folder.try_lock("a.lock").unwrap().is_none());
        drop(held);
        assert!(folder.try_lock("a.lock").unwrap().is_some());
    }
}
