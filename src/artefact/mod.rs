//! Files named by the hash of their content, one store a node (or one shared by many).
//!
//! A file appears under its name whole or not at all (written aside, synced, then renamed) and never changes, so
//! readers need no lock, also on a network file system. The folders are not synced: a name that a crash loses is made
//! again. The room knows bytes and hashes; it must never know who needs them.

mod code;
mod compiles;
mod incoming;
mod transfers;

use std::fs::{self, File, FileType, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::model::{CHUNK_BYTES, Hash};

pub use code::text_hash;
pub use compiles::CachedBuild;
pub use incoming::Incoming;
pub use transfers::{Piece, Transfers};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error(
        "no space left in the artefact store {folder}: free some, or set HARNESS_CACHE to another folder"
    )]
    Full {
        /// The store.
        folder: String,
    },
    /// The folder cannot be used.
    #[error("cannot write to the artefact store {folder}: {source} (set HARNESS_CACHE to another folder)")]
    Unwritable {
        /// The store.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// It is there, and cannot be where it was to be copied to.
    #[error("cannot copy it to {target}: {source} (TMPDIR names the disk that folders of tasks are on)")]
    Uncopied {
        /// The file to be.
        target: String,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else's.
    #[error(
        "the artefact store {folder} belongs to another user (uid {uid}): set HARNESS_CACHE to another folder"
    )]
    NotOurs {
        /// The store.
        folder: String,
        /// Its owner.
        uid: u32,
    },
    /// What should go in cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// A folder, a named pipe.
    #[error("{path} is {what}, not a file")]
    NotAFile {
        /// What was to go in.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// It is not there.
    #[error("artefact {0} is not in this node's store")]
    Missing(Hash),
    /// A piece came out of order.
    #[error("artefact {hash}: a piece at {got} where {expected} was due")]
    OutOfOrder {
        /// Which artefact.
        hash: Hash,
        /// Offset that was due, B.
        expected: u64,
        /// Offset that came, B.
        got: u64,
    },
    /// What came is not what was announced.
    #[error("artefact {expected} arrived damaged: its content hashes to {got}")]
    Damaged {
        /// What was announced.
        expected: Hash,
        /// What came.
        got: Hash,
    },
}

/// What has not changed for so long in `incoming` nobody is writing.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// What there is of an artefact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// All.
    Whole,
    /// Nothing.
    Missing,
    /// Something else under its name: somebody, or the disk, changed it.
    Damaged,
}

/// A content-addressed store in a folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the store in `folder`, which is made if need be.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self { folder: folder.into() };
        for part in ["objects", "incoming", "compiles"] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(store.folder.join(part));
            made.map_err(|e| store.failed(e))?;
        }
        // In /tmp anybody could have made it before us, and put any program under any name.
        let uid = fs::metadata(&store.folder).map_err(|e| store.failed(e))?.uid();
        if uid != rustix::process::geteuid().as_raw() {
            return Err(StoreError::NotOurs { folder: store.folder.display().to_string(), uid });
        }
        store.sweep();
        Ok(store)
    }

    /// Removes what processes that were killed left half written. What is being written changes all the time.
    fn sweep(&self) {
        let Ok(files) = fs::read_dir(self.folder.join("incoming")) else { return };
        for file in files.flatten() {
            let changed = file.metadata().and_then(|data| data.modified());
            // A clock that was set back makes it younger: then the next one removes it.
            if changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED)) {
                let _ = fs::remove_file(file.path());
            }
        }
    }

    /// `$HARNESS_CACHE`, else `$XDG_CACHE_HOME/harness`, else `~/.cache/harness`, else `/tmp/harness-UID`.
    pub fn default_folder() -> PathBuf {
        let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        folder("HARNESS_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("harness")))
            .or_else(|| folder("HOME").filter(|home| home.is_dir()).map(|home| home.join(".cache/harness")))
            .unwrap_or_else(|| format!("/tmp/harness-{}", rustix::process::geteuid().as_raw()).into())
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where this artefact is, or would be.
    pub fn path(&self, hash: Hash) -> PathBuf {
        let name = hash.to_string();
        self.folder.join("objects").join(&name[..2]).join(&name[2..])
    }

    /// Is it there?
    pub fn contains(&self, hash: Hash) -> bool {
        self.path(hash).is_file()
    }

    /// Is it there, with the content that its name says? Reads all of it.
    pub fn check(&self, hash: Hash) -> Result<Stored, StoreError> {
        let path = self.path(hash);
        let unreadable = |source| StoreError::Unreadable { path: path.display().to_string(), source };
        let mut file = match open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::Missing),
            file => file.map_err(unreadable)?,
        };
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut file, &mut hasher).map_err(unreadable)?;
        Ok(if Hash::finish(&hasher) == hash { Stored::Whole } else { Stored::Damaged })
    }

    /// Takes it out; what runs it goes on.
    pub fn remove(&self, hash: Hash) -> Result<(), StoreError> {
        fs::remove_file(self.path(hash)).map_err(|e| self.failed(e))
    }

    /// Its size, B; none if it is not there.
    pub fn size(&self, hash: Hash) -> Option<u64> {
        fs::metadata(self.path(hash)).ok().map(|data| data.len())
    }

    /// Copies a file into the store. Never a link: the original may be changed afterwards.
    pub fn put_file(&self, path: &Path) -> Result<Hash, StoreError> {
        let unreadable = |source| StoreError::Unreadable { path: path.display().to_string(), source };
        // Looked at first: to open a named pipe may take for ever.
        let data = fs::metadata(path).map_err(unreadable)?;
        if let Some(what) = not_a_file(data.file_type()) {
            return Err(StoreError::NotAFile { path: path.display().to_string(), what });
        }
        let mut source = File::open(path).map_err(unreadable)?;
        let mut copy = self.aside()?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let got = source.read(&mut buffer).map_err(unreadable)?;
            if got == 0 {
                break;
            }
            hasher.update(&buffer[..got]);
            copy.write_all(&buffer[..got]).map_err(|e| self.failed(e))?;
        }
        let hash = Hash::finish(&hasher);
        self.publish(copy, hash, data.permissions().mode() & 0o111 != 0)?;
        Ok(hash)
    }

    /// Puts these bytes into the store.
    pub fn put_bytes(&self, bytes: &[u8], executable: bool) -> Result<Hash, StoreError> {
        let hash = Hash::of(bytes);
        let mut copy = self.aside()?;
        copy.write_all(bytes).map_err(|e| self.failed(e))?;
        self.publish(copy, hash, executable)?;
        Ok(hash)
    }

    /// Begins to receive an artefact in pieces.
    pub fn receive(&self, hash: Hash) -> Result<Incoming, StoreError> {
        Ok(Incoming::new(self.clone(), hash, self.aside()?))
    }

    /// A piece of an artefact from `offset`, at most `CHUNK_BYTES`, and whether it is the last.
    pub fn read_chunk(&self, hash: Hash, offset: u64) -> Result<(Vec<u8>, bool), StoreError> {
        let path = self.path(hash);
        let file = open(&path).map_err(|_| StoreError::Missing(hash))?;
        let unreadable = |source| StoreError::Unreadable { path: path.display().to_string(), source };
        let size = file.metadata().map_err(unreadable)?.len();
        let length = size.saturating_sub(offset).min(CHUNK_BYTES as u64);
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, offset).map_err(unreadable)?;
        Ok((bytes, offset + length >= size))
    }

    /// Copies an artefact to `target`, where its user may change it, and run it if that is said: in the store anything
    /// may be that has been a program once.
    pub fn copy_out(&self, hash: Hash, target: &Path, executable: bool) -> Result<(), StoreError> {
        let path = self.path(hash);
        if !self.contains(hash) {
            return Err(StoreError::Missing(hash));
        }
        let mode = if executable { 0o755 } else { 0o644 };
        let copied =
            fs::copy(&path, target).and_then(|_| fs::set_permissions(target, Permissions::from_mode(mode)));
        let target = target.display().to_string();
        copied.map_err(|source| StoreError::Uncopied { target, source })
    }

    /// A file beside the store, to be published when it is whole.
    fn aside(&self) -> Result<NamedTempFile, StoreError> {
        NamedTempFile::new_in(self.folder.join("incoming")).map_err(|e| self.failed(e))
    }

    fn publish(&self, file: NamedTempFile, hash: Hash, executable: bool) -> Result<(), StoreError> {
        let path = self.path(hash);
        let present = fs::metadata(&path).map(|data| data.permissions().mode() & 0o111 != 0);
        // What is there may be damaged: then this replaces it, under those who run it.
        if let Ok(runs) = present
            && matches!(self.check(hash), Ok(Stored::Whole))
        {
            // The same content may come again as a program.
            if executable && !runs {
                fs::set_permissions(&path, Permissions::from_mode(0o555)).map_err(|e| self.failed(e))?;
            }
            return Ok(());
        }
        let mode = if executable || matches!(present, Ok(true)) { 0o555 } else { 0o444 };
        // A network file system says only now, or at the close, which nobody hears, that it has no room; and a name that
        // outlives a crash must have its content. It costs a build some milliseconds and a measurement nothing: what is
        // built beside one waits.
        let placed = file
            .as_file()
            .sync_data()
            .and_then(|()| fs::set_permissions(file.path(), Permissions::from_mode(mode)))
            .and_then(|()| path.parent().map_or(Ok(()), fs::create_dir_all))
            // The descriptor is closed before the name exists: else running it is "text file busy".
            .and_then(|()| file.into_temp_path().persist(&path).map_err(|e| e.error));
        placed.map_err(|e| self.failed(e))
    }

    fn failed(&self, source: io::Error) -> StoreError {
        let folder = self.folder.display().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { folder },
            _ => StoreError::Unwritable { folder, source },
        }
    }
}

/// Opens a file of the store. What somebody put in its place that is none is not opened: a named pipe would be waited for.
fn open(path: &Path) -> io::Result<File> {
    if path.is_file() { File::open(path) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn not_a_file(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_a_kill_left_half_written_goes_a_day_later() {
        let (_folder, store) = store();
        let incoming = |name: &str| store.folder().join("incoming").join(name);
        for (name, age) in [("old", ABANDONED + Duration::from_secs(60)), ("new", Duration::ZERO)] {
            let file = fs::File::create(incoming(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        Store::open(store.folder()).unwrap();
        assert_eq!((incoming("old").exists(), incoming("new").exists()), (false, true));
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        (folder, store)
    }

    #[test]
    fn a_file_is_found_by_its_content_and_keeps_its_executable_bit() {
        let (folder, store) = store();
        let file = folder.path().join("a.out");
        fs::write(&file, "program").unwrap();
        let hash = store.put_file(&file).unwrap();
        assert_eq!(hash, Hash::of(b"program"));
        let mode = |hash| fs::metadata(store.path(hash)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(hash), 0o444);
        assert_eq!(store.put_bytes(b"program", true).unwrap(), hash);
        assert_eq!(mode(hash), 0o555);
        assert!(store.contains(hash) && !store.contains(Hash::of(b"other")));
        assert_eq!(fs::read_dir(store.folder().join("incoming")).unwrap().count(), 0);
    }

    #[test]
    fn pieces_put_together_are_the_whole_and_damage_is_noticed() {
        let (_folder, here) = store();
        let (_other_folder, there) = store();
        let content: Vec<u8> = (0..CHUNK_BYTES * 2 + 100).map(|i| (i % 251) as u8).collect();
        let hash = here.put_bytes(&content, true).unwrap();
        let mut incoming = there.receive(hash).unwrap();
        let mut offset = 0;
        loop {
            let (bytes, last) = here.read_chunk(hash, offset).unwrap();
            incoming.write(offset, &bytes).unwrap();
            offset += bytes.len() as u64;
            if last {
                break;
            }
        }
        assert!(matches!(incoming.write(7, b"x"), Err(StoreError::OutOfOrder { got: 7, .. })));
        incoming.finish().unwrap();
        assert_eq!(fs::read(there.path(hash)).unwrap(), content);

        let mut incoming = there.receive(Hash::of(b"right")).unwrap();
        incoming.write(0, b"wrong").unwrap();
        assert!(matches!(incoming.finish(), Err(StoreError::Damaged { .. })));
        assert!(!there.contains(Hash::of(b"right")) && !there.contains(Hash::of(b"wrong")));
    }

    #[test]
    fn what_was_changed_in_the_store_is_noticed_and_can_be_put_there_again() {
        let (_folder, store) = store();
        let hash = store.put_bytes(b"data", false).unwrap();
        assert_eq!(store.check(hash).unwrap(), Stored::Whole);
        fs::set_permissions(store.path(hash), Permissions::from_mode(0o644)).unwrap();
        fs::write(store.path(hash), "dada").unwrap();
        assert_eq!(store.check(hash).unwrap(), Stored::Damaged);
        store.remove(hash).unwrap();
        assert_eq!(store.check(hash).unwrap(), Stored::Missing);
        store.put_bytes(b"data", false).unwrap();
        assert_eq!(store.check(hash).unwrap(), Stored::Whole);
    }

    #[test]
    fn what_comes_again_replaces_what_is_damaged() {
        let (_folder, store) = store();
        let hash = store.put_bytes(b"program", true).unwrap();
        for damaged in ["prog", "", "praline"] {
            fs::remove_file(store.path(hash)).unwrap();
            fs::write(store.path(hash), damaged).unwrap();
            fs::set_permissions(store.path(hash), Permissions::from_mode(0o555)).unwrap();
            store.put_bytes(b"program", false).unwrap();
            assert_eq!(store.check(hash).unwrap(), Stored::Whole, "{damaged:?}");
            let mode = fs::metadata(store.path(hash)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o555, "others run it");
        }
    }

    #[test]
    fn what_cannot_be_written_or_found_is_said_with_its_place() {
        let blocked = tempfile::NamedTempFile::new().unwrap();
        let error = Store::open(blocked.path().join("store")).unwrap_err().to_string();
        assert!(error.contains("HARNESS_CACHE"), "{error}");
        let (folder, store) = store();
        assert!(matches!(store.read_chunk(Hash::of(b"x"), 0), Err(StoreError::Missing(_))));
        let error = store.put_file(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read") && error.contains("none"), "{error}");
        // Writing to /dev/full is the disk that is full.
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = store.failed((&full).write_all(b"x").unwrap_err());
        assert!(matches!(error, StoreError::Full { .. }));
    }

    #[test]
    fn a_copy_may_be_changed_by_its_user() {
        let (folder, store) = store();
        let hash = store.put_bytes(b"data", false).unwrap();
        store.put_bytes(b"data", true).unwrap();
        for (executable, mode) in [(false, 0o644), (true, 0o755)] {
            let copy = folder.path().join("copy");
            store.copy_out(hash, &copy, executable).unwrap();
            assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, mode);
            fs::write(&copy, "changed").unwrap();
            assert_eq!(fs::read(store.path(hash)).unwrap(), b"data");
        }
    }
}
