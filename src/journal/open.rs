//! Taking a journal into possession: lock, check, mend the torn tail, say who holds it now.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::ops::Deref;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::answers::{Loaded, load};
use super::appending::Before;
use super::piece::{Kept, Piece};
use super::sidecar::Access;
use super::writer::Indexing;
use super::{Answers, JournalError, JournalWriter};
use crate::model::{BatchJob, Header, Record, Retry, Session};

/// How long somebody looks whether a journal is written to (`harness status`), and how long all who do are waited for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// So often something else may stand at its path once it is open.
const MOST_REPLACED: usize = 100;

/// So much of a journal is looked at together, where one line of it is sought (B).
const BLOCK_BYTES: usize = 1 << 16;

/// The journal of a campaign.
pub struct Journal;

/// What to do with a journal that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Go on from it.
    Resume,
    /// The same, but no script runs: something that it has is repeated.
    Repeat,
    /// Keep it under another name and begin anew.
    Fresh,
}

/// A journal in our possession.
pub struct Opened {
    /// Appends to it.
    pub writer: JournalWriter,
    /// What was finished before.
    pub answers: Answers,
    /// Of the campaign as it was begun: the seed of an earlier run goes on.
    pub header: Header,
    /// The run of the script before this one.
    pub before: Option<Session>,
    /// What the user should hear, one line each.
    pub notes: Vec<String>,
}

/// What a run says of itself in its first line.
#[derive(Clone, Debug, Default)]
pub struct Started {
    /// The batch job it is in.
    pub job: Option<BatchJob>,
    /// The script; none if something is repeated.
    pub script: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Which recorded ends are tried again.
    pub retry: Retry,
}

impl Journal {
    /// Opens the journal at `path`, or begins one with `header`, and locks it for this process, which is `started` so.
    pub fn create_or_open(
        path: &Path,
        header: Header,
        started: Started,
        mode: Mode,
    ) -> Result<Opened, JournalError> {
        let mut notes = Vec::new();
        let (file, aside) = take(path, mode, &mut notes)?;
        let failed = |doing| move |source| JournalError::Io { path: path.to_owned(), doing, source };
        let Loaded { header: begun, answers, mut rest, sidecar, torn } = load(path, &file, Access::Writer)?;
        if torn > 0 {
            file.set_len(rest.end).map_err(failed("cut off its torn last line"))?;
            notes.push(format!(
                "journal {}: cut off {torn} bytes of a last line that was not written completely",
                path.display(),
            ));
        }
        let is_new = begun.is_none();
        let session = Record::Session(session(&header, started, mode == Mode::Repeat));
        let header = begun.unwrap_or(header);
        let first = if is_new { vec![Record::Header(header.clone()), session] } else { vec![session] };
        let was = Before { length: if is_new { 0 } else { rest.end }, aside };
        append(&file, &mut rest, &first).map_err(failed("write to it"))?;
        if is_new {
            sync_folder(path).map_err(failed("write to its folder"))?;
        }
        let before = answers.before().cloned();
        let (length, indexing) = (rest.end, Indexing { sidecar, rest });
        let writer =
            JournalWriter::start(file, path, length, indexing, was).map_err(failed("start its writer"))?;
        Ok(Opened { writer, answers, header, before, notes })
    }
}

/// A file that is locked as long as this lives.
pub(super) struct Locked(pub(super) File);

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing is not enough: a process being started at this moment still shares the open file until its exec.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// The locked file at `path`, empty if it is new; and where an older one was moved for it.
pub(super) fn take(
    path: &Path,
    mode: Mode,
    notes: &mut Vec<String>,
) -> Result<(Locked, Option<PathBuf>), JournalError> {
    let failed = |doing| move |source| JournalError::Io { path: path.to_owned(), doing, source };
    let until = Instant::now() + LOOK_PATIENCE;
    let (mut moved, mut replaced) = (None, 0);
    loop {
        let file = Locked(open(path)?);
        match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < until && is_looked_at(&file) => {
                poll(&mut [], Some(&LOOK)).map_err(|error| failed("wait for it")(error.into()))?;
                continue;
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(JournalError::Held { path: path.to_owned(), holder: holder(path) });
            }
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => notes.push(format!(
                "journal {}: this file system has no locks; make sure that no other harness writes to it",
                path.display()
            )),
            Err(error) => return Err(failed("lock it")(error.into())),
        }
        // Somebody may have moved it aside between our opening and our locking it.
        let ours = file.metadata().map_err(failed("look at it"))?;
        match std::fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
            _ if replaced < MOST_REPLACED => {
                replaced += 1;
                continue;
            }
            other => {
                let source =
                    other.err().unwrap_or_else(|| io::Error::other("something else is put there each time"));
                return Err(failed("open it")(source));
            }
        }
        if mode != Mode::Fresh || ours.len() == 0 {
            return Ok((file, moved));
        }
        let real = behind(path);
        let aside = free_name(&real);
        std::fs::rename(&real, &aside).map_err(failed("move the old journal aside"))?;
        notes.push(format!("journal {}: the old one is now {}", path.display(), aside.display()));
        moved = Some(aside);
    }
}

fn open(path: &Path) -> Result<File, JournalError> {
    // Looked at first: opening a device or a pipe can have effects.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(JournalError::NotRegular { path: path.to_owned() });
    }
    let flags = OFlags::NONBLOCK.bits() as i32;
    // Others need not read commands, environment and outputs. Who has made it readable keeps it so.
    let mut new = OpenOptions::new();
    new.read(true).append(true).create(true).mode(0o600).custom_flags(flags);
    let file = new.open(path);
    file.map_err(|source| {
        let doing = if path.exists() { "open it for writing" } else { "create it" };
        JournalError::Io { path: path.to_owned(), doing, source }
    })
}

/// Who wrote to it last, for people.
pub fn holder(path: &Path) -> String {
    match last_session(path) {
        Some(Session { pid, host, .. }) => format!("harness with pid {pid} on {host}"),
        None => "another harness".into(),
    }
}

/// Who wrote the last session line. The file is somebody else's: read what is there and judge nothing.
pub fn last_session(path: &Path) -> Option<Session> {
    // To open a pipe would be to wait for somebody who writes to it.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(last_session_line(&file)?)).ok()?;
    let mut line = Vec::new();
    BufReader::new(file).read_until(b'\n', &mut line).ok()?;
    match Record::parse(line.trim_ascii_end()).ok()? {
        Record::Session(session) => Some(session),
        _ => None,
    }
}

/// Where it begins. Sought from behind, a block at a time: a journal may have gigabytes, and lines of any length.
fn last_session_line(file: &File) -> Option<u64> {
    const BEGINS: &[u8] = b"\n{\"type\":\"session\"";
    let size = file.metadata().ok()?.len();
    let mut block = vec![0; BLOCK_BYTES + BEGINS.len() - 1];
    let mut begin = size;
    while begin > 0 {
        let end = begin;
        begin = begin.saturating_sub(BLOCK_BYTES as u64);
        // What lies across the end of the block is seen, too.
        let seen = usize::try_from(size.min(end + BEGINS.len() as u64 - 1) - begin).ok()?;
        file.read_exact_at(&mut block[..seen], begin).ok()?;
        if let Some(at) = block[..seen].windows(BEGINS.len()).rposition(|bytes| bytes == BEGINS) {
            return Some(begin + at as u64 + 1);
        }
    }
    None
}

/// Does somebody write to the journal at this moment? Asked by a lock that others can have too and that is given back
/// at once: who begins to write meanwhile waits for it.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = Locked(File::open(path)?);
    Ok(flock(&*file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
}

/// Does nobody write to it, of those who have it locked?
fn is_looked_at(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockShared).is_ok()
}

fn session(header: &Header, started: Started, repeats: bool) -> Session {
    Session {
        version: header.version.clone(),
        protocol: header.protocol,
        script_hash: header.script_hash,
        started_unix_s: header.started_unix_s,
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        job: started.job,
        script: started.script,
        args: Some(started.args),
        retry: started.retry,
        repeats,
    }
}

/// Appends lines behind what `rest` ends with, and waits until they are on the disk.
fn append(file: &File, rest: &mut Piece, records: &[Record]) -> io::Result<()> {
    let before = rest.end;
    let mut text = Vec::new();
    for record in records {
        let start = text.len();
        serde_json::to_writer(&mut text, record)?;
        text.push(b'\n');
        rest.add(Kept::of(record), (text.len() - start) as u64);
    }
    let written = (&*file).write_all(&text).and_then(|()| file.sync_data());
    if written.is_err() {
        // Leave no half header behind; if even that fails, the next start cuts it off.
        let _ = file.set_len(before);
    }
    written
}

/// Where a journal is that a link leads to: the link stays, whatever takes the journal's place.
pub(super) fn behind(path: &Path) -> PathBuf {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink());
    let real = is_link.then(|| path.canonicalize().ok()).flatten();
    real.unwrap_or_else(|| path.to_owned())
}

/// The first of `NAME.1`, `NAME.2` … that is free.
pub(super) fn free_name(path: &Path) -> PathBuf {
    let mut number = 1u64;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        if std::fs::symlink_metadata(&name).is_err() {
            return name.into();
        }
        number += 1;
    }
}

/// Without this a power cut can forget a new file's name.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_session_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let line = |pid: u32| {
            let rest =
                r#""version":"0.1.0","protocol":7,"script_hash":null,"started_unix_s":1.0,"host":"node1""#;
            format!("{{\"type\":\"session\",{rest},\"pid\":{pid}}}\n")
        };
        let before = format!("{{}}\n{}{}", line(1), line(2));
        assert_eq!(last_session(&path), None);
        for (behind, found) in [(0, Some(2)), (BLOCK_BYTES - 1, Some(2)), (3 * BLOCK_BYTES, Some(2))] {
            fs::write(&path, before.clone() + &"x".repeat(behind)).unwrap();
            assert_eq!(last_session(&path).map(|session| session.pid), found, "{behind}");
        }
        // Across the end of a block, at each place.
        for behind in BLOCK_BYTES - line(2).len() - 1..=BLOCK_BYTES {
            fs::write(&path, before.clone() + &"x".repeat(behind)).unwrap();
            assert_eq!(last_session(&path).map(|session| session.pid), Some(2), "{behind}");
        }
        for nothing in ["", "{}\n", "x", "\n{\"type\":\"session\""] {
            fs::write(&path, nothing).unwrap();
            assert_eq!(last_session(&path), None, "{nothing:?}");
        }
    }
}
