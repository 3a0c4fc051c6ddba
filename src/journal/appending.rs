//! The file of a journal that grows: whole lines, and a path that leads to it.
//!
//! What somebody else does to it meanwhile (removes it, replaces it, cuts it down) is noticed and told, and what can be saved
//! is. Knows bytes and lines; nothing of records.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::open::{Locked, free_name};
use super::{JournalError, Lost};

/// So much at a time is written back.
const PIECE_BYTES: usize = 1 << 20;

/// The end of the file. It always ends with a whole line, or takes nothing any more.
pub(super) struct Appending {
    pub(super) file: Locked,
    path: PathBuf,
    length: u64,
    state: Standing,
}

/// What there was before a run began to write.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    /// Bytes in the file; 0 of a new one.
    pub(super) length: u64,
    /// Where an older one was moved for it.
    pub(super) aside: Option<PathBuf>,
}

/// What has become of the file.
enum Standing {
    /// It takes lines.
    Takes,
    /// It ends with a piece of a line that could not be cut off, and takes nothing any more: why.
    Torn(io::ErrorKind),
    /// Its path leads elsewhere, and it takes nothing any more: what came would be in a file without a name. What it
    /// held is there, if that could be written.
    Gone(Option<PathBuf>),
}

impl Appending {
    /// Behind the `length` bytes of `file`.
    pub(super) fn to(file: Locked, path: &Path, length: u64) -> Self {
        Self { file, path: path.to_owned(), length, state: Standing::Takes }
    }

    /// Makes the file what it was: a new one is gone. Not if somebody else did something to it.
    pub(super) fn take_back(&mut self, before: &Before) -> io::Result<()> {
        if self.gone().is_some() || !matches!(self.state, Standing::Takes) {
            return Ok(());
        }
        if before.length > 0 {
            return self.file.set_len(before.length);
        }
        match &before.aside {
            Some(aside) => fs::rename(aside, &self.path),
            None => fs::remove_file(&self.path),
        }
    }

    /// Appends `text`; how much of it is in the file afterwards, a number of whole lines, and what went wrong.
    pub(super) fn append(&mut self, text: &[u8]) -> (usize, Option<io::Error>) {
        match self.state {
            Standing::Takes => {}
            Standing::Torn(kind) => return (0, Some(kind.into())),
            Standing::Gone(_) => return (0, Some(io::ErrorKind::NotFound.into())),
        }
        let (mut written, mut error) = (0, None);
        while written < text.len() && error.is_none() {
            match (&*self.file).write(&text[written..]) {
                Ok(0) => error = Some(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                Err(failure) => error = Some(failure),
            }
        }
        let whole = text[..written].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if whole < written
            && let Err(failure) = self.file.set_len(self.length + whole as u64)
        {
            self.state = Standing::Torn(failure.kind());
        }
        self.length += whole as u64;
        (whole, error)
    }

    pub(super) fn lost(&self, token: Option<u64>, reason: String) -> Lost {
        let place = match &self.state {
            Standing::Takes | Standing::Torn(_) => Some(self.path.clone()),
            Standing::Gone(place) => place.clone(),
        };
        Lost { token, reason, place }
    }

    /// What has become of the file, if its path leads to it no more or it has lost some of what it held; once. What it
    /// holds is written back to the path, or beside it where somebody else put something there, which is left alone.
    pub(super) fn gone(&mut self) -> Option<String> {
        if matches!(self.state, Standing::Gone(_)) {
            return None;
        }
        let ours = self.file.metadata().ok().filter(|ours| ours.is_file())?;
        let replaced = match std::fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                return self.cut(ours.len());
            }
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // A file system that does not answer now may do so later.
            Err(_) => return None,
        };
        let aside = if replaced { free_name(&self.path) } else { self.path.clone() };
        let written = self.write_back(&aside);
        self.state = Standing::Gone(written.is_ok().then(|| aside.clone()));
        let path = self.path.display();
        Some(match written {
            Ok(()) if replaced => format!(
                "journal {path}: something else was put in its place while harness wrote to it; that was left alone, \
                 and all the journal holds was written to {}",
                aside.display()
            ),
            Ok(()) => format!(
                "journal {path}: it was removed or moved while harness wrote to it; all it holds was written back there"
            ),
            Err(error) => format!(
                "journal {path}: it was removed, moved or replaced while harness wrote to it, and what it holds \
                 could not be written to {} ({error})",
                aside.display()
            ),
        })
    }

    /// What was cut off of it in its place, which nobody can bring back.
    fn cut(&mut self, length: u64) -> Option<String> {
        if length >= self.length {
            return None;
        }
        self.state = Standing::Gone(None);
        Some(format!(
            "journal {}: something else cut it down while harness wrote to it ({length} of {} bytes are there), and what \
             was cut off is lost; move it away to begin anew",
            self.path.display(),
            self.length
        ))
    }

    fn write_back(&self, to: &Path) -> io::Result<()> {
        // Who may not read the journal may not read its copy.
        let mode = self.file.metadata()?.mode() & 0o777;
        let mut copy = File::options().write(true).create_new(true).mode(mode).open(to)?;
        // Read by offset: the descriptor's own place is the end.
        let mut piece = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < self.length {
            let most = piece.len().min(usize::try_from(self.length - at).unwrap_or(usize::MAX));
            match self.file.read_at(&mut piece[..most], at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    copy.write_all(&piece[..count])?;
                    at += count as u64;
                }
            }
        }
        copy.sync_all()
    }

    pub(super) fn explain(&self, doing: &'static str, source: io::Error) -> String {
        JournalError::Io { path: self.path.clone(), doing, source }.to_string()
    }
}
