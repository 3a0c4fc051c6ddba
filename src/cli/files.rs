//! Files that are there whole or not at all: whoever looks at one meanwhile has the old one.
//!
//! A file is made beside its place, as `.NAME.harness-…`, and moved there at once. A signal that ends the process takes it
//! away; what a SIGKILL or a lost node leaves has that name, and may be removed.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::fstat;
use rustix::process::Signal;
use tempfile::NamedTempFile;

use crate::journal::is_journal;
use crate::process::{Signals, end_by, unblock_signals};
use crate::transport::wait::wait;

/// Writes it in the place of what is there, but never of a journal or a script. A link stays one; what is no file (a pipe)
/// takes it as it comes, and so does what this process prints to, whatever that is.
pub(super) fn write(to: &Path, content: &[u8]) -> io::Result<()> {
    match Target::of(to)? {
        Target::Stdout => io::stdout().write_all(content).and_then(|()| io::stdout().flush()),
        Target::Stderr => io::stderr().write_all(content),
        Target::NoFile => fs::write(to, content),
        Target::File(to) => {
            let mut new = NewFile::beside(&to)?;
            new.write(content)?;
            new.put(true)
        }
    }
}

/// What nobody means to write over, in a word: what a mistyped line would lose.
pub(super) fn precious(path: &Path) -> Option<&'static str> {
    if is_journal(path) {
        return Some("a journal");
    }
    let is_script = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("lua")) && path.is_file();
    is_script.then_some("a script")
}

/// What is wrong where two options, each with its file if it was given, would write into one.
pub(super) fn named_twice(one: (&str, Option<&Path>), other: (&str, Option<&Path>)) -> Option<String> {
    let is_stream = |path: &Path| path.metadata().is_ok_and(|there| !there.is_file());
    let path = one.1.filter(|path| other.1 == Some(*path) && !is_stream(path))?.display();
    Some(format!("{} and {} both name {path}: one would be lost; give each its own", one.0, other.0))
}

/// Whether [`write()`] could, before there is anything to write.
pub(super) fn can_write(to: &Path) -> io::Result<()> {
    match Target::of(to)? {
        Target::File(to) => NewFile::beside(&to).map(drop),
        _ => Ok(()),
    }
}

/// What is behind a path.
enum Target {
    /// Replaced while it is printed to, it would lose what is printed later.
    Stdout,
    Stderr,
    NoFile,
    /// Where it really is, or is to be.
    File(PathBuf),
}

impl Target {
    fn of(to: &Path) -> io::Result<Self> {
        let there = fs::metadata(to).ok();
        let is = |fd: BorrowedFd<'_>| {
            let open = fstat(fd).ok().map(|open| (open.st_dev, open.st_ino));
            open.is_some() && open == there.as_ref().map(|there| (there.dev(), there.ino()))
        };
        match &there {
            _ if is(io::stdout().as_fd()) => Ok(Self::Stdout),
            _ if is(io::stderr().as_fd()) => Ok(Self::Stderr),
            Some(there) if !there.is_file() => Ok(Self::NoFile),
            _ => match precious(to) {
                Some(what) => Err(io::Error::other(format!("it is {what}, and would be lost"))),
                None => Ok(Self::File(to.canonicalize().unwrap_or_else(|_| to.to_path_buf()))),
            },
        }
    }
}

/// A file that is being made.
pub(super) struct NewFile {
    file: NamedTempFile,
    to: PathBuf,
    /// None where signals cannot be heard.
    guard: Option<Guard>,
}

impl NewFile {
    /// An empty one, in the folder where it is to be.
    pub(super) fn beside(to: &Path) -> io::Result<Self> {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::metadata(folder)?;
        let mut prefix = OsString::from(".");
        prefix.push(to.file_name().unwrap_or_default());
        prefix.push(".harness-");
        let mut new = tempfile::Builder::new();
        new.permissions(Permissions::from_mode(0o666)); // less what the umask takes
        // Before the file: a signal may come as soon as it can be seen.
        let signals = Signals::open();
        let file = new.prefix(&prefix).tempfile_in(folder);
        let guard = match (signals, &file) {
            (Ok(signals), Ok(file)) => Guard::of(signals, file.path().to_path_buf()).ok(),
            _ => None,
        };
        if guard.is_none() {
            let _ = unblock_signals();
        }
        Ok(Self { file: file?, to: to.to_path_buf(), guard })
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Adds to it.
    pub(super) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)
    }

    /// Moves it into its place, on the disk already; if something is there, only to `replace` it.
    pub(super) fn put(self, replace: bool) -> io::Result<()> {
        let Self { file, to, guard } = self;
        file.as_file().sync_all()?;
        let put = |file: NamedTempFile| file.persist(&to).map(drop).map_err(|failed| failed.error);
        let done = match replace {
            true => put(file),
            false => match file.persist_noclobber(&to) {
                Ok(_) => Ok(()),
                // Where a file system cannot do both at once: it was free a moment ago.
                Err(failed) if failed.error.kind() != io::ErrorKind::AlreadyExists => put(failed.file),
                Err(failed) => Err(failed.error),
            },
        };
        drop(guard);
        done
    }
}

/// A thread that takes a file away when a signal ends the process.
struct Guard {
    thread: Option<JoinHandle<()>>,
    /// Closed: nobody needs it any more.
    over: Option<io::PipeWriter>,
}

impl Guard {
    fn of(mut signals: Signals, file: PathBuf) -> io::Result<Self> {
        let (until, over) = io::pipe()?;
        let watch = move || {
            loop {
                let mut fds = [PollFd::new(&signals, PollFlags::IN), PollFd::new(&until, PollFlags::IN)];
                let waited = wait(&mut fds, None);
                let is_over = !fds[1].revents().is_empty();
                let signal = signals.take().and_then(Signal::from_named_raw);
                if let Some(signal) = signal {
                    let _ = fs::remove_file(&file);
                    end_by(signal);
                }
                if is_over || waited.is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("files".into()).spawn(watch)?;
        Ok(Self { thread: Some(thread), over: Some(over) })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.over = None;
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = unblock_signals();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        fs::write(&file, "old").unwrap();
        let mut old = File::open(&file).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(io::read_to_string(&mut old).unwrap(), "old");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_file_takes_it_as_it_comes_and_a_journal_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let reader = thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, b"page").unwrap();
        assert_eq!(reader.join().unwrap(), b"page");
        let journal = dir.path().join("c.lua.journal");
        fs::write(&journal, include_str!("../../tests/cli/asked.jsonl")).unwrap();
        assert!(write(&journal, b"page").unwrap_err().to_string().contains("would be lost"));
        let script = dir.path().join("c.lua");
        write(&script, b"page").unwrap();
        assert_eq!(write(&script, b"page").unwrap_err().to_string(), "it is a script, and would be lost");
    }

    #[test]
    fn nothing_is_replaced_unasked_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let made = |text: &[u8]| {
            let mut new = NewFile::beside(&file).unwrap();
            new.write(text).unwrap();
            new
        };
        made(b"one").put(false).unwrap();
        assert_eq!(made(b"two").put(false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(made(b"three"));
        assert_eq!(fs::read(&file).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
