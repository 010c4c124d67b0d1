//! Blobs on disk, named by the hash of their bytes, and uploads on their way there.
//!
//! What is in the folder: `blobs/sha256/<hash>`, complete and never changed, and `uploads/<id>`, which a restart forgets.
//! Which repository has which blob, and the manifests, are the world's business.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File};
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::super::super::world::Millis;
use super::super::super::world::ecr::manifest::is_digest;

/// Bytes gathered before they are handed to the disk: each write is a trip to another thread.
const WRITE_BUFFER: usize = 512 * 1024;

/// An upload that nobody has touched for this long was given up by its client.
const ABANDONED: Millis = 60 * 60 * 1000;

/// The registry's disk.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    blobs: PathBuf,
    uploads: PathBuf,
    open: Mutex<HashMap<String, Slot>>,
}

#[derive(Debug, Clone)]
struct Slot {
    repository: String,
    touched: Millis,
    /// One request at a time may write.
    upload: Arc<tokio::sync::Mutex<Upload>>,
}

/// The bytes of an upload so far. The file goes when the upload is dropped without having become a blob.
#[derive(Debug)]
pub(super) struct Upload {
    path: Option<PathBuf>,
    file: BufWriter<File>,
    hash: Sha256,
    size: u64,
    /// Of ECR's API: the smallest of all parts but the last, and the last.
    smallest_part: Option<u64>,
    last_part: Option<u64>,
}

impl Upload {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Notes that a part of ECR's API has come to its end.
    pub(super) fn parted(&mut self, length: u64) {
        if let Some(before) = self.last_part.replace(length) {
            self.smallest_part = Some(self.smallest_part.map_or(before, |smallest| smallest.min(before)));
        }
    }

    /// The smallest part before the last.
    pub(super) fn smallest_part(&self) -> Option<u64> {
        self.smallest_part
    }

    /// The digest of all bytes so far.
    pub(super) fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(self.hash.clone().finalize()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // A file that stays behind is taken away at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Store {
    /// Opens the folder, making it if need be. Uploads of an earlier life are gone: their clients begin again.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let blobs = folder.join("blobs").join("sha256");
        let uploads = folder.join("uploads");
        let private = |path: &Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(&blobs)?;
        match std::fs::remove_dir_all(&uploads) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => private(&uploads)?,
        }
        Ok(Self { inner: Arc::new(Inner { blobs, uploads, open: Mutex::default() }) })
    }

    /// Takes away the blobs that no repository has, and answers how many those were.
    ///
    /// Only before the first request is served: a blob is on disk a moment before the world knows of it.
    pub fn sweep<'a>(&self, keep: impl Iterator<Item = &'a str>) -> io::Result<usize> {
        let keep: BTreeSet<&str> = keep.filter_map(|digest| digest.strip_prefix("sha256:")).collect();
        let mut swept = 0;
        for entry in std::fs::read_dir(&self.inner.blobs)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(|name| keep.contains(name)) {
                std::fs::remove_file(entry.path())?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Where the bytes of a blob are. The name comes from outside, so nothing but a digest is let near the disk.
    fn blob_path(&self, digest: &str) -> Option<PathBuf> {
        let hash = digest.strip_prefix("sha256:").filter(|_| is_digest(digest))?;
        Some(self.inner.blobs.join(hash))
    }

    /// A blob and its size, unless somebody has taken it from the disk.
    pub(super) async fn blob(&self, digest: &str) -> io::Result<Option<(File, u64)>> {
        let Some(path) = self.blob_path(digest) else {
            return Ok(None);
        };
        match File::open(path).await {
            Ok(file) => {
                let size = file.metadata().await?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins an upload and answers its id. Abandoned ones are given up on the way.
    pub(super) async fn begin(&self, repository: &str, now: Millis) -> io::Result<String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| io::Error::other("the system has no randomness"))?;
        // Shaped like a UUID, as ECR's upload ids are.
        let digits = hex::encode(bytes);
        let id = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
        let path = self.inner.uploads.join(&id);
        let file = BufWriter::with_capacity(
            WRITE_BUFFER,
            File::options().write(true).create_new(true).mode(0o600).open(&path).await?,
        );
        let upload =
            Upload { path: Some(path), file, hash: Sha256::new(), size: 0, smallest_part: None, last_part: None };
        let upload = Arc::new(tokio::sync::Mutex::new(upload));
        self.with_open(|open| {
            open.retain(|_, slot| now < slot.touched + ABANDONED || slot.upload.try_lock().is_err());
            open.insert(id.clone(), Slot { repository: repository.to_owned(), touched: now, upload });
        });
        Ok(id)
    }

    /// An upload of this repository.
    pub(super) fn upload(&self, repository: &str, id: &str, now: Millis) -> Option<Arc<tokio::sync::Mutex<Upload>>> {
        self.with_open(|open| {
            let slot = open.get_mut(id).filter(|slot| slot.repository == repository)?;
            slot.touched = now;
            Some(slot.upload.clone())
        })
    }

    /// Forgets an upload. Its file goes with the last request that holds it.
    pub(super) fn forget(&self, id: &str) {
        self.with_open(|open| open.remove(id));
    }

    /// Makes the upload the blob of this digest; the caller has compared the two.
    pub(super) async fn keep(&self, upload: &mut Upload, digest: &str) -> io::Result<()> {
        let Some(target) = self.blob_path(digest) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        upload.file.flush().await?;
        let Some(path) = upload.path.clone() else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        // The same bytes may be there already: replacing them changes nothing for those who read them.
        fs::rename(path, target).await?;
        upload.path = None;
        Ok(())
    }

    fn with_open<T>(&self, act: impl FnOnce(&mut HashMap<String, Slot>) -> T) -> T {
        act(&mut self.inner.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_what_is_complete_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let id = store.begin("a1", 0).await.unwrap();
        let upload = store.upload("a1", &id, 0).unwrap();
        assert!(store.upload("a2", &id, 0).is_none());
        let digest = {
            let mut upload = upload.lock().await;
            upload.write(b"hello ").await.unwrap();
            upload.write(b"world").await.unwrap();
            let digest = upload.digest();
            store.keep(&mut upload, &digest).await.unwrap();
            digest
        };
        store.forget(&id);
        drop(upload);
        assert_eq!(digest, "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
        let left = store.begin("a1", 0).await.unwrap();
        assert!(folder.path().join("uploads").join(&left).exists());

        let again = Store::open(folder.path()).unwrap();
        assert_eq!(again.blob(&digest).await.unwrap().unwrap().1, 11);
        assert!(again.upload("a1", &left, 0).is_none());
        assert!(!folder.path().join("uploads").join(&left).exists());
        assert_eq!(again.sweep([digest.as_str()].into_iter()).unwrap(), 0);
        assert_eq!(again.sweep(std::iter::empty()).unwrap(), 1);
        assert!(again.blob(&digest).await.unwrap().is_none());
        assert!(again.blob("sha256:../../uploads").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn gives_up_abandoned_uploads() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let old = store.begin("a1", 0).await.unwrap();
        let young = store.begin("a1", ABANDONED - 1).await.unwrap();
        let now = store.begin("a1", ABANDONED).await.unwrap();
        let known = |id: &str| store.upload("a1", id, ABANDONED).is_some();
        assert_eq!([known(&old), known(&young), known(&now)], [false, true, true]);
        assert!(!folder.path().join("uploads").join(&old).exists());
    }
}
