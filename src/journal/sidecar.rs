//! The index beside a journal (`….journal.index`), with which a long one opens without being read.
//!
//! Only a cache: deleting it loses nothing. Who has the journal locked adds a piece when a further stretch of it is on
//! the disk; a piece has a hash of itself and one of the last bytes of its stretch. From the first that is torn or does
//! not fit the journal on, the journal is read instead, and the pieces are written anew. Whatever goes wrong here costs
//! time at most, so nothing here is an error.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::piece::Piece;
use crate::model::Hash;

/// How the file begins. A change of what pieces look like is another number.
pub const PREFACE: &[u8] = b"harness.journal.index/5\n";
/// What all versions of it have in common.
const OURS: &[u8] = b"harness.journal.index/";
/// A stretch of so many bytes is worth a piece; less is read in a moment.
pub(super) const STRETCH_BYTES: u64 = 8 << 20;
/// So many bytes at the end of a stretch are compared, and all of its last line: records have ids of their own.
const LAST_BYTES: u64 = 4 << 10;

/// What may be done to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The journal is locked: what is wrong is removed, and what is missing added.
    Writer,
    /// Somebody may be writing to both: it is read.
    Reader,
}

/// The file, to be added to.
pub(super) struct Sidecar {
    path: PathBuf,
    file: Option<File>,
    /// How much of it is right; none: it is somebody else's, or is not to be written, or cannot be.
    right: Option<u64>,
}

/// A piece as it is written, behind its length and its hash.
#[derive(Serialize, Deserialize)]
struct Written<P> {
    /// Of the last bytes of its stretch.
    last: Hash,
    piece: P,
}

impl Sidecar {
    /// Reads what there is of the first `length` bytes of the journal at `path`, piece by piece.
    pub(super) fn read(
        path: &Path,
        journal: &File,
        length: u64,
        access: Access,
        mut each: impl FnMut(Piece),
    ) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".index");
        let path = PathBuf::from(name);
        let mut right = match std::fs::metadata(&path) {
            Ok(there) if there.is_file() => {
                File::open(&path).and_then(|file| right(&file, journal, length, &mut each)).unwrap_or(None)
            }
            Ok(_) => None,
            Err(error) => (error.kind() == io::ErrorKind::NotFound).then_some(0),
        };
        if access == Access::Reader {
            right = None;
        }
        if right.is_some_and(|right| right <= PREFACE.len() as u64) {
            // Of another journal, or of another version: gone, it cannot grow old.
            let _ = std::fs::remove_file(&path);
            right = Some(0);
        }
        Self { path, file: None, right }
    }

    /// Adds nothing any more: what comes may not be on the disk.
    pub(super) fn give_up(&mut self) {
        self.right = None;
    }

    /// Adds what is known of a further stretch of the journal, which is on the disk.
    pub(super) fn add(&mut self, piece: &Piece, journal: &File) {
        let Some(right) = self.right else { return };
        self.right = self.written(piece, journal, right).ok();
    }

    /// Writes behind what is right; how much is right then.
    fn written(&mut self, piece: &Piece, journal: &File, mut right: u64) -> io::Result<u64> {
        let whole = Written { last: last_of(piece, journal)?, piece };
        let body = postcard::to_allocvec(&whole).map_err(io::Error::other)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut new = File::options();
                // Who may read the journal may read this.
                new.write(true).create(true).truncate(false).mode(journal.metadata()?.mode() & 0o777);
                none.insert(new.open(&self.path)?)
            }
        };
        let mut text = Vec::with_capacity(body.len() + 64);
        if right == 0 {
            text.extend(PREFACE);
        }
        text.extend((body.len() as u64).to_le_bytes());
        text.extend(Hash::of(&body).0);
        text.extend(body);
        file.set_len(right)?;
        file.seek(SeekFrom::Start(right))?;
        file.write_all(&text)?;
        right += text.len() as u64;
        Ok(right)
    }
}

/// Reads the pieces that fit; how much of the file they are. None if it is no file of ours.
fn right(file: &File, journal: &File, length: u64, each: &mut impl FnMut(Piece)) -> io::Result<Option<u64>> {
    let size = file.metadata()?.len();
    let mut pieces = BufReader::with_capacity(1 << 18, file);
    let mut preface = Vec::new();
    pieces.by_ref().take(PREFACE.len() as u64).read_to_end(&mut preface)?;
    if preface != PREFACE {
        let common = preface.len().min(OURS.len());
        return Ok((preface[..common] == OURS[..common]).then_some(0));
    }
    let (mut right, mut end) = (PREFACE.len() as u64, 0);
    while let Some((piece, bytes)) = next(&mut pieces, size.saturating_sub(right), journal, end, length) {
        right += bytes;
        end = piece.end;
        each(piece);
    }
    Ok(Some(right))
}

/// The next piece and its length in the file, of which `left` bytes are left; none if it is not whole, or not of this
/// journal, of which `begin..end` is left.
fn next(pieces: &mut impl Read, left: u64, journal: &File, begin: u64, end: u64) -> Option<(Piece, u64)> {
    let (mut length, mut hash) = ([0; 8], [0; 16]);
    pieces.read_exact(&mut length).ok()?;
    pieces.read_exact(&mut hash).ok()?;
    let length = u64::from_le_bytes(length);
    if length > left {
        return None;
    }
    let mut body = vec![0; usize::try_from(length).ok()?];
    pieces.read_exact(&mut body).ok()?;
    if Hash::of(&body) != Hash(hash) {
        return None;
    }
    let Written { last, piece } = postcard::from_bytes::<Written<Piece>>(&body).ok()?;
    if piece.begin != begin || piece.end > end || !piece.is_sound() {
        return None;
    }
    (last_of(&piece, journal).ok()? == last).then_some((piece, 24 + length))
}

/// The hash of the last bytes of a stretch.
fn last_of(piece: &Piece, journal: &File) -> io::Result<Hash> {
    let begin = piece.begin.max(piece.end.saturating_sub(LAST_BYTES.max(piece.last)));
    let mut bytes = vec![0; piece.end.saturating_sub(begin) as usize];
    journal.read_exact_at(&mut bytes, begin)?;
    Ok(Hash::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::piece::Kept;
    use crate::journal::read::Place;
    use crate::journal::runs::Turn;
    use crate::model::{
        BatchJob, Env, Kind, Outcome, RecipeParts, Record, Retry, Session, State, Status, TaskFacts,
    };

    /// What is written differs: then it is another version, and `PREFACE` says so.
    #[test]
    fn pieces_look_as_the_number_of_their_version_says() {
        let facts = TaskFacts {
            kind: Kind::Measure,
            key: Hash::of(b"key"),
            name: Some("gemm".into()),
            params: Some(serde_json::json!({ "tile": 8 })),
            parts: Some(RecipeParts { command: 1, env: 2, inputs: 3, program: 4, ..RecipeParts::default() }),
            ..TaskFacts::default()
        };
        let env = Env { id: Some(Hash::of(b"env")), ..Env::default() };
        let session = Session {
            version: "0.1.0".into(),
            protocol: 7,
            script_hash: Some(Hash::of(b"script")),
            started_unix_s: 1.0,
            pid: 7,
            host: "node1".into(),
            job: Some(BatchJob { scheduler: "Slurm".into(), id: "17".into() }),
            script: None,
            args: None,
            retry: Retry::default(),
            repeats: false,
        };
        let state = State { name: "s".into(), value: 1.into(), saved_unix_s: 1.0 };
        let task = Record::of_task(facts, None, &Outcome::failed(Status::Timeout, "too long"));
        let mut piece = Piece::at(1 << 40);
        for record in [Record::Session(session), task, Record::Env(Box::new(env)), Record::State(state)] {
            piece.add(Kept::of(&record), 1000);
        }
        let body = postcard::to_allocvec(&Written { last: Hash::of(b"last"), piece: &piece }).unwrap();
        assert_eq!(Hash::of(&body).to_string(), "5fb67d9dff39a29e209d273c172f56a5");
        let read: Written<Piece> = postcard::from_bytes(&body).unwrap();
        assert_eq!((read.piece.entries, read.piece.end), (piece.entries, piece.end));
    }

    /// Its hash may be right all the same: nothing is taken of it.
    #[test]
    fn a_piece_that_points_elsewhere_is_not_read() {
        let mut journal = tempfile::tempfile().unwrap();
        journal.write_all(&[b' '; 1000]).unwrap();
        let good = Piece { end: 1000, lines: 1, last: 1000, ..Piece::default() };
        let read = |piece: Piece| {
            let last = last_of(&Piece { end: 1000, ..Piece::default() }, &journal).unwrap();
            let body = postcard::to_allocvec(&Written { last, piece }).unwrap();
            let length = (body.len() as u64).to_le_bytes();
            let text = [&length[..], &Hash::of(&body).0, &body].concat();
            next(&mut &text[..], 1 << 20, &journal, 0, 1000).map(|(piece, _)| piece.end)
        };
        assert_eq!(read(good.clone()), Some(1000));
        for place in [Place { offset: 0, length: u64::MAX }, Place { offset: u64::MAX, length: 1 }] {
            let states = [("s".to_owned(), place)].into();
            assert_eq!(read(Piece { states, ..good.clone() }), None);
        }
        for wrong in [
            Piece { end: u64::MAX, last: u64::MAX, ..good.clone() },
            Piece { begin: 1, ..good.clone() },
            Piece { lines: u64::MAX, ..good.clone() },
            Piece { turns: vec![(u64::MAX, Turn::Answered(Vec::new()))], ..good.clone() },
        ] {
            assert_eq!(read(wrong), None);
        }
    }
}
