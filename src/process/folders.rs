//! Folders that go with the process that made them, also after it was killed.
//!
//! Each holds a lock file that its process keeps locked. The kernel drops the lock when the process ends however it ends, so
//! the next one knows what is abandoned. (A process id would not do: containers that share /tmp do not share ids.) Nodes that
//! share a folder may not share its locks: names say on which node they were made, and others' are left alone. /tmp is
//! everybody's: only folders of this user are looked at, and what cannot be removed is left without a word.
//!
//! A process may also be killed before there is a lock, or after it removed it: so an empty folder is abandoned too, and who
//! finds that his new one was taken for such makes another.

use std::fs::{self, DirEntry, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::system::uname;
use tempfile::TempDir;

const LOCK_NAME: &str = "lock";
/// The lock before it is locked.
const NEW_LOCK_NAME: &str = "lock.new";
/// So often a new folder may be taken for an abandoned one before that is an error.
const TRIES: usize = 10;
/// After so long nothing further of what others left is begun to be removed, for somebody waits for this process. The next one
/// goes on.
const SWEEP_TIME: Duration = Duration::from_secs(2);
/// How long the end of a root is waited for, and how often it is looked.
const ROOT_PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What the names of such folders begin with that this user made on this node.
fn ours() -> String {
    let (user, node) = (rustix::process::geteuid().as_raw(), uname());
    // Nothing of `node1` begins like something of `node1-a`.
    format!("harness-{user}-{}+", node.nodename().to_string_lossy())
}

/// The same of one kind of them. [`sweep`] knows all kinds.
pub fn folder_prefix(kind: &str) -> String {
    format!("{}{kind}-", ours())
}

/// A folder of this process, removed with all that is in it.
#[derive(Debug)]
pub struct OwnFolder {
    folder: Removed,
    _lock: File, // let go of last
}

/// Goes with its value, in an order that leaves a killed process's half of it to others.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove(&self.0, None);
    }
}

impl OwnFolder {
    /// A new empty one in `parent`, whose name begins so.
    pub fn make(parent: &Path, prefix: &str) -> io::Result<Self> {
        for _ in 1..TRIES {
            match Self::try_make(parent, prefix) {
                // A sweep was between two steps of this.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::WouldBlock) => {}
                made => return made,
            }
        }
        Self::try_make(parent, prefix)
    }

    fn try_make(parent: &Path, prefix: &str) -> io::Result<Self> {
        let folder = private(prefix, parent)?;
        // Locked before it has its name: nobody finds it unlocked.
        let aside = folder.path().join(NEW_LOCK_NAME);
        let lock = File::create(&aside)?;
        // Where there are no locks nobody takes it for abandoned.
        if let Err(Errno::WOULDBLOCK) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            return Err(Errno::WOULDBLOCK.into());
        }
        fs::rename(&aside, folder.path().join(LOCK_NAME))?;
        Ok(Self { folder: Removed(folder.keep()), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder.0
    }
}

/// Where folders for a while go: `$TMPDIR`, or `/tmp` where that is not set. An empty one would be the current folder.
pub fn temporary() -> PathBuf {
    std::env::var_os("TMPDIR")
        .filter(|folder| !folder.is_empty())
        .map_or_else(|| "/tmp".into(), PathBuf::from)
}

/// A new folder in `parent` whose name begins so, for nobody but this user: what runs in it is what was put there.
pub fn private(prefix: &str, parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

/// Removes a folder with all that is in it, also where a program left folders in which nobody may write. What cannot be removed
/// stays.
pub fn remove_tree(folder: &Path) {
    if fs::remove_dir_all(folder).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        open_up(folder);
        let _ = fs::remove_dir_all(folder);
    }
}

/// Lets its owner into all folders below.
fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Removes the folders of this user on this node, in `$TMPDIR` or `/tmp`, whose processes are gone. Are others left, whose
/// processes may live?
pub fn sweep() -> bool {
    sweep_until(&temporary(), &ours(), Instant::now() + SWEEP_TIME)
}

/// The same where the root may be ending: what it had here nobody else removes where it was killed, and whoever kills all processes
/// of a job may come to it last. Looks again while `waits` and others are left, for a while.
pub fn sweep_behind(waits: impl Fn() -> bool) {
    let until = Instant::now() + ROOT_PATIENCE;
    while sweep() && waits() && Instant::now() < until {
        let _ = poll(&mut [], Some(&LOOK_AGAIN)); // a signal only ends the wait
    }
}

fn sweep_until(parent: &Path, prefix: &str, until: Instant) -> bool {
    let Ok(entries) = fs::read_dir(parent) else { return false };
    let mut others = false;
    let named_so = |entry: &DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
    for entry in entries.flatten().filter(named_so) {
        if Instant::now() >= until {
            return true;
        }
        // As long as the lock is held nobody else begins to remove it.
        match abandoned(&entry) {
            Some(_lock) => remove(&entry.path(), Some(until)),
            None => others |= !removed_empty(&entry),
        }
    }
    others
}

/// The lock of a folder of ours that nobody holds.
fn abandoned(entry: &DirEntry) -> Option<File> {
    if !is_own_folder(entry) {
        return None;
    }
    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let open =
        |name| File::options().read(true).custom_flags(careful.bits() as i32).open(entry.path().join(name));
    let lock = open(LOCK_NAME).or_else(|_| open(NEW_LOCK_NAME)).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(lock)
}

/// Was it a folder of ours with nothing in it, and is it gone?
fn removed_empty(entry: &DirEntry) -> bool {
    is_own_folder(entry) && fs::remove_dir(entry.path()).is_ok()
}

/// Is it a folder, and no link to one, of this user?
fn is_own_folder(entry: &DirEntry) -> bool {
    let own = rustix::process::geteuid().as_raw();
    entry.metadata().is_ok_and(|folder| folder.is_dir() && folder.uid() == own)
}

/// Removes a folder entry by entry. Its lock goes last: what is left when the time is over is still known to be
/// abandoned.
fn remove(folder: &Path, until: Option<Instant>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| !is_lock(entry)) {
        if until.is_some_and(|until| Instant::now() >= until) {
            return;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            remove_tree(&entry.path());
        } else {
            let _ = fs::remove_file(entry.path());
        }
    }
    // Fails where something could not be removed: then the lock stays too.
    let only_lock = fs::read_dir(folder).is_ok_and(|mut left| left.all(|it| it.is_ok_and(|it| is_lock(&it))));
    if only_lock {
        let _ = fs::remove_file(folder.join(LOCK_NAME));
        let _ = fs::remove_dir(folder);
    }
}

fn is_lock(entry: &DirEntry) -> bool {
    entry.file_name() == LOCK_NAME
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    const PREFIX: &str = "harness-test-";

    fn left_behind(parent: &Path) -> std::path::PathBuf {
        left_behind_as(parent, PREFIX)
    }

    fn left_behind_as(parent: &Path, prefix: &str) -> std::path::PathBuf {
        let OwnFolder { folder, _lock } = OwnFolder::make(parent, prefix).unwrap();
        let killed = folder.0.clone();
        std::mem::forget(folder);
        fs::create_dir(killed.join("task-1")).unwrap();
        fs::write(killed.join("task-1/file"), "x").unwrap();
        killed
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_what_a_living_one_has_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = OwnFolder::make(parent.path(), PREFIX).unwrap();
        let living_task = living.path().join("task-1");
        fs::create_dir(&living_task).unwrap();
        for _ in 0..1000 {
            left_behind(parent.path());
        }
        fs::create_dir(parent.path().join("other")).unwrap();
        sweep_until(parent.path(), PREFIX, later());
        assert!(living_task.exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
        drop(living);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    /// Whoever may write everywhere is not stopped by them: as another user the tests show it too.
    #[test]
    fn a_folder_in_which_nobody_may_write_goes_too() {
        let parent = tempfile::tempdir().unwrap();
        let own = OwnFolder::make(parent.path(), PREFIX).unwrap();
        let mode = fs::metadata(own.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let inner = own.path().join("task-1/mod/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        for folder in [&inner, &own.path().join("task-1/mod")] {
            fs::set_permissions(folder, Permissions::from_mode(0o500)).unwrap();
        }
        drop(own);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    /// Killed at each step of making one, and at the last of removing it.
    #[test]
    fn what_was_half_made_or_half_removed_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let half = |name: &str| {
            let folder = parent.path().join(PREFIX.to_owned() + name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        half("empty");
        fs::write(half("unlocked").join(NEW_LOCK_NAME), "").unwrap();
        let (being_made, no_lock) = (half("being-made"), half("no-lock"));
        let held = File::create(being_made.join(NEW_LOCK_NAME)).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        fs::write(no_lock.join("file"), "x").unwrap();
        assert!(sweep_until(parent.path(), PREFIX, later()));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
        assert!(being_made.join(NEW_LOCK_NAME).exists() && no_lock.join("file").exists());
    }

    #[test]
    fn who_makes_one_while_others_sweep_has_it() {
        let parent = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            let maker = scope.spawn(|| {
                let made = (0..300).map(|_| OwnFolder::make(parent.path(), PREFIX).unwrap());
                made.collect::<Vec<_>>()
            });
            while !maker.is_finished() {
                sweep_until(parent.path(), PREFIX, later());
            }
            let made = maker.join().unwrap();
            assert!(made.iter().all(|folder| folder.path().join(LOCK_NAME).exists()));
        });
    }

    #[test]
    fn what_there_was_no_time_for_is_removed_by_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let killed = left_behind(parent.path());
        sweep_until(parent.path(), PREFIX, Instant::now());
        assert!(killed.join("task-1/file").exists());
        // Stopped in the middle of it.
        remove(&killed, Some(Instant::now()));
        assert!(killed.join(LOCK_NAME).exists());
        sweep_until(parent.path(), PREFIX, later());
        assert!(!killed.exists());
    }

    #[test]
    fn what_was_made_on_another_node_is_not_looked_at() {
        let parent = tempfile::tempdir().unwrap();
        let ours = ours();
        let here = left_behind_as(parent.path(), &folder_prefix("test"));
        let elsewhere = left_behind_as(parent.path(), &ours.replace('+', "-a+"));
        sweep_until(parent.path(), &ours, later());
        assert!(!here.exists() && elsewhere.exists());
    }

    /// In /tmp anybody may make something of such a name.
    #[test]
    fn traps_are_not_walked_into() {
        let parent = tempfile::tempdir().unwrap();
        let mine = parent.path().join("mine");
        fs::create_dir(&mine).unwrap();
        fs::write(mine.join(LOCK_NAME), "").unwrap();
        std::os::unix::fs::symlink(&mine, parent.path().join(PREFIX.to_owned() + "link")).unwrap();
        let fifo = parent.path().join(PREFIX.to_owned() + "fifo");
        fs::create_dir(&fifo).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, fifo.join(LOCK_NAME), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
        let linked = left_behind(parent.path());
        fs::remove_file(linked.join("task-1/file")).unwrap();
        std::os::unix::fs::symlink(&mine, linked.join("task-1/out")).unwrap();
        std::os::unix::fs::symlink(&mine, linked.join("out")).unwrap();
        sweep_until(parent.path(), PREFIX, later());
        assert!(mine.join(LOCK_NAME).exists() && !linked.exists());
        if rustix::process::geteuid().is_root() {
            let theirs = left_behind(parent.path());
            std::os::unix::fs::chown(&theirs, Some(65534), None).unwrap();
            sweep_until(parent.path(), PREFIX, later());
            assert!(theirs.join("task-1/file").exists());
        }
    }
}
