//! Fresh folders for tasks, removed afterwards: also after a keeper that was killed.
//!
//! A keeper's folders stand in one of its own, which holds a lock file it keeps locked. The kernel
//! drops the lock when the keeper dies however it dies, so the next one knows what is abandoned. (A
//! process id would not do: containers that share /tmp do not share ids.)

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const LOCK_NAME: &str = "lock";

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

/// Removes the folders of keepers that are gone.
pub fn sweep() {
    sweep_in(&std::env::temp_dir());
}

fn sweep_in(parent: &Path) {
    for abandoned in unlocked(parent, &prefix()) {
        let _ = fs::remove_dir_all(abandoned);
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

fn unlocked(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let ours = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    ours.map(|entry| entry.path())
        .filter(|path| {
            File::open(path.join(LOCK_NAME))
                .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_keeper_left_is_removed_and_what_a_living_one_has_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let (living, _lock) = claim(parent.path()).unwrap();
        let (killed, lock) = claim(parent.path()).unwrap();
        let killed = killed.keep();
        fs::create_dir(killed.join("task-1")).unwrap();
        drop(lock);
        sweep_in(parent.path());
        assert!(living.path().exists());
        assert!(!killed.exists());
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
