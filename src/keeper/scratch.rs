//! Fresh folders for tasks, removed afterwards: also after a keeper that was killed.
//!
//! A keeper's folders stand in one of its own, which holds a lock file it keeps locked. The kernel
//! drops the lock when the keeper dies however it dies, so the next one knows what is abandoned. (A
//! process id would not do: containers that share /tmp do not share ids.) /tmp is everybody's: only folders of
//! this user are looked at, and what cannot be removed is left without a word.

use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use tempfile::TempDir;

const LOCK_NAME: &str = "lock";
/// Removing what others left takes so long at most, for a worker waits for this keeper. The next one goes on.
const SWEEP_TIME: Duration = Duration::from_secs(2);

/// Where the scratch folders of this keeper stand: `$TMPDIR` or `/tmp`.
#[derive(Default)]
pub struct ScratchRoot(OnceLock<(TempDir, File)>);

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl ScratchRoot {
    /// A new empty folder.
    pub fn folder(&self) -> Result<Scratch, String> {
        let parent = std::env::temp_dir();
        let said = |e: io::Error| {
            format!(
                "cannot make a scratch folder in {}: {e} (set TMPDIR to another folder)",
                parent.display()
            )
        };
        if self.0.get().is_none() {
            // Where two lanes come at once, the one that is late removes its own again.
            let _ = self.0.set(claim(&parent).map_err(said)?);
        }
        let (root, _) = self.0.get().ok_or_else(|| said(io::ErrorKind::NotFound.into()))?;
        tempfile::Builder::new().prefix("task-").tempdir_in(root.path()).map(Scratch).map_err(said)
    }
}

/// Is, or was, this a folder that was made here?
pub fn is_ours(folder: &Path) -> bool {
    folder.components().any(|part| part.as_os_str().to_string_lossy().starts_with(&prefix()))
}

/// Removes the folders of keepers that are gone.
pub fn sweep() {
    sweep_in(&std::env::temp_dir(), Instant::now() + SWEEP_TIME);
}

fn sweep_in(parent: &Path, until: Instant) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let prefix = prefix();
    let named_so = |entry: &DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
    for entry in entries.flatten().filter(named_so) {
        if Instant::now() >= until {
            return;
        }
        // As long as the lock is held nobody else begins to remove it.
        if let Some(_lock) = abandoned(&entry) {
            remove(&entry.path(), until);
        }
    }
}

/// The lock of a folder of ours that no keeper holds.
fn abandoned(entry: &DirEntry) -> Option<File> {
    let folder = entry.metadata().ok()?; // of a link its own
    if !folder.is_dir() || folder.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let lock =
        File::options().read(true).custom_flags(careful.bits() as i32).open(entry.path().join(LOCK_NAME));
    let lock = lock.ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(lock)
}

/// Removes a folder task by task. Its lock goes last: what is left when the time is over is still known to be
/// abandoned.
fn remove(folder: &Path, until: Instant) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name() != LOCK_NAME) {
        if Instant::now() >= until {
            return;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
    }
    // Fails where something could not be removed: then the lock stays too.
    let empty = fs::read_dir(folder).is_ok_and(|left| left.count() == 1);
    if empty && fs::remove_file(folder.join(LOCK_NAME)).is_ok() {
        let _ = fs::remove_dir(folder);
    }
}

fn prefix() -> String {
    format!("harness-scratch-{}-", rustix::process::geteuid().as_raw())
}

/// Makes this keeper's folder in `parent`.
fn claim(parent: &Path) -> io::Result<(TempDir, File)> {
    let root = tempfile::Builder::new().prefix(&prefix()).tempdir_in(parent)?;
    // Locked before it has its name: nobody finds it unlocked.
    let aside = root.path().join("lock.new");
    let lock = File::create(&aside)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    fs::rename(&aside, root.path().join(LOCK_NAME))?;
    Ok((root, lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn left_behind(parent: &Path) -> std::path::PathBuf {
        let (killed, _lock) = claim(parent).unwrap();
        let killed = killed.keep();
        fs::create_dir(killed.join("task-1")).unwrap();
        fs::write(killed.join("task-1/file"), "x").unwrap();
        killed
    }

    #[test]
    fn what_killed_keepers_left_is_removed_and_what_a_living_one_has_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let (living, _lock) = claim(parent.path()).unwrap();
        let living_task = living.path().join("task-1");
        fs::create_dir(&living_task).unwrap();
        for _ in 0..1000 {
            left_behind(parent.path());
        }
        // Somebody else's, and one that is just being made.
        fs::create_dir(parent.path().join("other")).unwrap();
        fs::create_dir(parent.path().join(prefix() + "new")).unwrap();
        sweep_in(parent.path(), later());
        assert!(living_task.exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_there_was_no_time_for_is_removed_by_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let killed = left_behind(parent.path());
        sweep_in(parent.path(), Instant::now());
        assert!(killed.join("task-1/file").exists());
        // Stopped in the middle of it.
        remove(&killed, Instant::now());
        assert!(killed.join(LOCK_NAME).exists());
        sweep_in(parent.path(), later());
        assert!(!killed.exists());
    }

    /// In /tmp anybody may make something of such a name.
    #[test]
    fn traps_are_not_walked_into() {
        let parent = tempfile::tempdir().unwrap();
        let mine = parent.path().join("mine");
        fs::create_dir(&mine).unwrap();
        fs::write(mine.join(LOCK_NAME), "").unwrap();
        std::os::unix::fs::symlink(&mine, parent.path().join(prefix() + "link")).unwrap();
        let fifo = parent.path().join(prefix() + "fifo");
        fs::create_dir(&fifo).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, fifo.join(LOCK_NAME), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
        let linked = left_behind(parent.path());
        fs::remove_file(linked.join("task-1/file")).unwrap();
        std::os::unix::fs::symlink(&mine, linked.join("task-1/out")).unwrap();
        std::os::unix::fs::symlink(&mine, linked.join("out")).unwrap();
        sweep_in(parent.path(), later());
        assert!(mine.join(LOCK_NAME).exists() && !linked.exists());
        if rustix::process::geteuid().is_root() {
            let theirs = left_behind(parent.path());
            std::os::unix::fs::chown(&theirs, Some(65534), None).unwrap();
            sweep_in(parent.path(), later());
            assert!(theirs.join("task-1/file").exists());
        }
    }

    #[test]
    fn folders_are_fresh_and_go_away() {
        let root = ScratchRoot::default();
        let (a, b) = (root.folder().unwrap(), root.folder().unwrap());
        assert_ne!(a.path(), b.path());
        let path = a.path().to_path_buf();
        fs::write(path.join("file"), "x").unwrap();
        drop(a);
        assert!(!path.exists() && b.path().exists());
    }
}
