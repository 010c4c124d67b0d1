//! The build context as a tar stream: read on a thread of its own, sent as it is read, never held.
//!
//! As docker sends it: owner 0:0, mode and time kept, links as links, sockets left out, sorted. The
//! engine does not filter a tar for BuildKit, so `.dockerignore` is applied here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use tokio::sync::{mpsc, oneshot};

use super::ignore::{Below, Ignore, IgnoreError, Verdict};

/// What the pieces handed to the connection are long.
const PIECE: usize = 64 * 1024;
/// How many pieces may wait: 512 KiB are enough to keep a socket busy.
const PIECES_AHEAD: usize = 8;
/// A context above this is nearly always a forgotten `.dockerignore`.
pub(crate) const LARGE: u64 = 500 * 1000 * 1000;
/// How many folders a warning names.
const NAMED: usize = 3;

/// Why a context could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("the context folder `{path}` does not exist", path = path.display())]
    Missing { path: PathBuf },
    #[error("the context `{path}` is not a folder", path = path.display())]
    NotAFolder { path: PathBuf },
    #[error("the Dockerfile `{path}` does not exist", path = path.display())]
    DockerfileMissing { path: PathBuf },
    #[error("`{path}` cannot be read", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{path}` is not valid", path = path.display())]
    Ignore { path: PathBuf, source: IgnoreError },
    #[error("`{path}` became shorter while it was being sent", path = path.display())]
    Shrank { path: PathBuf },
    /// A name no tar can hold.
    #[error("`{path}` cannot be put into a tar", path = path.display())]
    Entry { path: PathBuf, source: io::Error },
}

/// Who will read the context: they differ in which ignore file counts and what must be in the tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Knows `<Dockerfile>.dockerignore`; does not read an ignore file out of a tar.
    BuildKit,
    /// Reads `.dockerignore` out of the tar once more, to take it and the Dockerfile away again.
    Classic,
}

/// A context that is known to exist, with its ignore rules read.
#[derive(Debug)]
pub(crate) struct BuildContext {
    root: PathBuf,
    ignore: Ignore,
    /// Where the Dockerfile is in the tar.
    pub(crate) dockerfile: String,
    /// Sent whatever the ignore rules say.
    always: BTreeSet<String>,
    /// Made up here: a Dockerfile from outside, and the ignore file that hides it.
    injected: BTreeMap<String, Vec<u8>>,
}

/// How much was sent, and where most of it lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    by_entry: BTreeMap<String, u64>,
}

impl Sent {
    /// A warning when this was too much, with the largest folders.
    pub(crate) fn warning(&self) -> Option<String> {
        if self.bytes <= LARGE {
            return None;
        }
        let mut entries: Vec<_> = self.by_entry.iter().collect();
        entries.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
        let largest: Vec<_> =
            entries.iter().take(NAMED).map(|(name, bytes)| format!("{name} ({} MB)", *bytes / 1_000_000)).collect();
        Some(format!(
            "the build context is {} MB; the largest parts are {}: list in .dockerignore what the build does not need",
            self.bytes / 1_000_000,
            largest.join(", "),
        ))
    }
}

/// The running stream: its pieces, how far it is, how it ended.
pub(crate) struct ContextStream<S> {
    pub(crate) pieces: S,
    pub(crate) progress: Arc<AtomicU64>,
    /// Answers before the last piece is sent, so that a broken request can be told by its reason.
    pub(crate) outcome: oneshot::Receiver<Result<Sent, ContextError>>,
}

impl BuildContext {
    /// Reads what must be known before the first byte goes out.
    pub(crate) fn open(context: &Path, dockerfile: &Path, reader: Reader) -> Result<Self, ContextError> {
        let root = match fs::canonicalize(context) {
            Ok(root) if root.is_dir() => root,
            Ok(_) => return Err(ContextError::NotAFolder { path: context.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ContextError::Missing { path: context.to_owned() });
            }
            Err(source) => return Err(ContextError::Read { path: context.to_owned(), source }),
        };
        let real = match fs::canonicalize(dockerfile) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ContextError::DockerfileMissing { path: dockerfile.to_owned() });
            }
            Err(source) => return Err(ContextError::Read { path: dockerfile.to_owned(), source }),
        };
        let own_ignore = match reader {
            Reader::BuildKit => {
                let mut name = dockerfile.as_os_str().to_owned();
                name.push(".dockerignore");
                read_if_present(Path::new(&name))?.map(|text| (PathBuf::from(name), text))
            }
            Reader::Classic => None,
        };
        let root_ignore = root.join(".dockerignore");
        let root_text = read_if_present(&root_ignore)?;
        let chosen = own_ignore.or_else(|| root_text.clone().map(|text| (root_ignore, text)));
        let ignore = match chosen {
            None => Ignore::default(),
            Some((path, text)) => Ignore::parse(&String::from_utf8_lossy(&text))
                .map_err(|source| ContextError::Ignore { path, source })?,
        };
        let mut opened = Self {
            ignore,
            dockerfile: String::new(),
            always: BTreeSet::new(),
            injected: BTreeMap::new(),
            root: root.clone(),
        };
        match real.strip_prefix(&root) {
            Ok(inside) => {
                opened.dockerfile = inside.to_string_lossy().into_owned();
                opened.always.insert(opened.dockerfile.clone());
            }
            Err(_) => opened.inject(dockerfile, root_text.clone(), reader)?,
        }
        if reader == Reader::Classic && root_text.is_some() {
            opened.always.insert(".dockerignore".to_owned());
        }
        Ok(opened)
    }

    /// Docker sends a Dockerfile from outside under a random name. Ours is made from its content,
    /// because a random one in a tar for `BuildKit` would spoil the cache of every `COPY .`.
    fn inject(&mut self, dockerfile: &Path, ignore: Option<Vec<u8>>, reader: Reader) -> Result<(), ContextError> {
        let content =
            fs::read(dockerfile).map_err(|source| ContextError::Read { path: dockerfile.to_owned(), source })?;
        let name = format!(".dockerfile.{}", &hex::encode(Sha256::digest(&content))[..20]);
        if reader == Reader::Classic {
            // The classic builder removes from the context what this file names.
            let mut text = ignore.unwrap_or_else(|| b".dockerignore".to_vec());
            text.extend_from_slice(format!("\n{name}\n").as_bytes());
            self.injected.insert(".dockerignore".to_owned(), text);
        }
        self.injected.insert(name.clone(), content);
        self.dockerfile = name;
        Ok(())
    }

    /// Starts reading. Dropping the pieces ends the thread.
    pub(crate) fn stream(self) -> ContextStream<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        let (pieces, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES_AHEAD);
        let (told, outcome) = oneshot::channel();
        let progress = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&progress);
        tokio::task::spawn_blocking(move || {
            let output = Pieces { output: pieces.clone(), buffer: Vec::with_capacity(PIECE), sent: counter };
            match self.write(output) {
                Ok(sent) => drop(told.send(Ok(sent))),
                Err(error) => {
                    drop(told.send(Err(error)));
                    // Breaks the request off; without it the engine would take half a context for a whole one.
                    drop(pieces.blocking_send(Err(io::Error::other("the context could not be read"))));
                }
            }
        });
        let pieces = stream::unfold(receiver, |mut receiver| async move {
            let piece = receiver.recv().await?;
            Some((piece, receiver))
        });
        ContextStream { pieces, progress, outcome }
    }

    fn write<W: Write>(self, output: W) -> Result<Sent, ContextError> {
        let Self { root, ignore, dockerfile: _, always, injected } = self;
        let mut walk = Walk {
            archive: tar::Builder::new(output),
            ignore,
            always,
            hidden: injected.keys().cloned().collect(),
            parents: Vec::new(),
            sent: Sent::default(),
        };
        walk.folder(&root, Path::new(""))?;
        for (name, content) in injected {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o600);
            header.set_size(content.len() as u64);
            walk.append(header, Path::new(&name), content.as_slice())?;
        }
        let Walk { archive, sent, .. } = walk;
        archive
            .into_inner()
            .and_then(|mut output| output.flush())
            .map_err(|source| ContextError::Entry { path: root, source })?;
        Ok(sent)
    }
}

fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, ContextError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ContextError::Read { path: path.to_owned(), source }),
    }
}

struct Walk<W: Write> {
    archive: tar::Builder<W>,
    ignore: Ignore,
    always: BTreeSet<String>,
    /// Replaced by something injected.
    hidden: BTreeSet<String>,
    /// The folders above the current one; an excluded folder is sent only if something in it is.
    parents: Vec<Parent>,
    sent: Sent,
}

struct Parent {
    path: PathBuf,
    metadata: Metadata,
    state: ParentState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ParentState {
    Pending,
    Sent,
}

impl<W: Write> Walk<W> {
    fn folder(&mut self, folder: &Path, relative: &Path) -> Result<(), ContextError> {
        let read = |source| ContextError::Read { path: folder.to_owned(), source };
        let mut names = fs::read_dir(folder)
            .map_err(read)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(read)?;
        names.sort_unstable();
        for name in names {
            let path = relative.join(&name);
            self.entry(&folder.join(&name), &path)?;
        }
        Ok(())
    }

    fn entry(&mut self, full: &Path, path: &Path) -> Result<(), ContextError> {
        // Only for matching: the tar has the name as it is.
        let text = path.to_string_lossy().into_owned();
        if self.hidden.contains(&text) {
            return Ok(());
        }
        let metadata = match fs::symlink_metadata(full) {
            Ok(metadata) => metadata,
            // Gone since the folder was listed: editors and compilers do that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(ContextError::Read { path: full.to_owned(), source }),
        };
        let verdict = if self.always.contains(&text) { Verdict::Keep } else { self.ignore.verdict(&text) };
        if metadata.is_dir() {
            return self.subfolder(full, path, &text, metadata, verdict);
        }
        match verdict {
            Verdict::Exclude => Ok(()),
            Verdict::Keep => {
                self.send_parents()?;
                self.leaf(full, path, &metadata)
            }
        }
    }

    fn subfolder(
        &mut self,
        full: &Path,
        path: &Path,
        text: &str,
        metadata: Metadata,
        verdict: Verdict,
    ) -> Result<(), ContextError> {
        let below = format!("{text}/");
        let wanted_below =
            self.ignore.below(text) == Below::Walk || self.always.iter().any(|always| always.starts_with(&below));
        if verdict == Verdict::Exclude && !wanted_below {
            return Ok(());
        }
        self.parents.push(Parent { path: path.to_owned(), metadata, state: ParentState::Pending });
        if verdict == Verdict::Keep {
            self.send_parents()?;
        }
        self.folder(full, path)?;
        self.parents.pop();
        Ok(())
    }

    fn send_parents(&mut self) -> Result<(), ContextError> {
        for index in 0..self.parents.len() {
            let parent = &mut self.parents[index];
            if parent.state == ParentState::Sent {
                continue;
            }
            parent.state = ParentState::Sent;
            let mut header = header(&parent.metadata);
            header.set_entry_type(EntryType::Directory);
            let path = parent.path.clone();
            self.append(header, &path, io::empty())?;
        }
        Ok(())
    }

    fn leaf(&mut self, full: &Path, path: &Path, metadata: &Metadata) -> Result<(), ContextError> {
        let read = |source| ContextError::Read { path: full.to_owned(), source };
        let kind = metadata.file_type();
        let mut header = header(metadata);
        if kind.is_symlink() {
            let target = fs::read_link(full).map_err(read)?;
            header.set_entry_type(EntryType::Symlink);
            return self
                .archive
                .append_link(&mut header, path, target)
                .map_err(|source| ContextError::Entry { path: path.to_owned(), source });
        }
        if kind.is_file() {
            let file = File::open(full).map_err(read)?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            self.append(header, path, Exactly { file, left: metadata.len() })?;
            let top = path.iter().next().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            *self.sent.by_entry.entry(top).or_default() += metadata.len();
            return Ok(());
        }
        let device = if kind.is_fifo() {
            EntryType::Fifo
        } else if kind.is_char_device() {
            EntryType::Char
        } else if kind.is_block_device() {
            EntryType::Block
        } else {
            // A socket means nothing without its server.
            return Ok(());
        };
        header.set_entry_type(device);
        let number = metadata.rdev();
        // Apple's device numbers have 32 bits with a sign, which the standard library has extended.
        #[cfg(target_vendor = "apple")]
        let number = rustix::fs::Dev::try_from(number.cast_signed()).unwrap_or_default();
        let numbers = header
            .set_device_major(rustix::fs::major(number))
            .and_then(|()| header.set_device_minor(rustix::fs::minor(number)));
        numbers.map_err(|source| ContextError::Entry { path: path.to_owned(), source })?;
        self.append(header, path, io::empty())
    }

    fn append(&mut self, mut header: Header, path: &Path, content: impl Read) -> Result<(), ContextError> {
        let size = header.size().unwrap_or_default();
        self.archive.append_data(&mut header, path, content).map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::UnexpectedEof => ContextError::Shrank { path },
                _ => ContextError::Entry { path, source },
            }
        })?;
        self.sent.bytes += size;
        Ok(())
    }
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    // Before 1970 there is nothing a tar can say.
    header.set_mtime(metadata.mtime().try_into().unwrap_or_default());
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

/// As many bytes as the header promised: a log file that grows meanwhile must not shift the archive.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read(&mut buffer[..most])?;
        if length == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// Cuts the archive into pieces and waits when the connection does not keep up.
struct Pieces {
    output: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
    sent: Arc<AtomicU64>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        let length = piece.len() as u64;
        self.output
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the build was given up"))?;
        self.sent.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
