//! Reading a journal, line by line, whether or not somebody is writing to it.
//!
//! Lines are parsed on all cores: that is what takes the time. This is also the one place that knows of versions of the
//! format: what an older one says becomes a record of ours as its line is parsed, and nobody else hears of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::panic::resume_unwind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::JournalError;
use crate::model::{Header, JOURNAL_SCHEMA, MEASUREMENT_SCHEMA, Record};

/// How every journal begins: what is torn off inside it is still known to be ours.
const FIRST_BYTES: &[u8] = br#"{"type":"header","schema":"harness.journal/"#;

/// A version of the format that can be read.
#[derive(Debug)]
pub(super) struct Format {
    schema: &'static str,
    /// What a line of it says, as a record of the present version.
    pub(super) parse: fn(&[u8]) -> serde_json::Result<Record>,
}

/// The present one first; behind it stands the one before, once there is one (docs/journal.md, Versions).
static FORMATS: [Format; 1] = [Format { schema: JOURNAL_SCHEMA, parse: Record::parse }];

/// Is there a journal at `path`, by how it begins? For those who are about to write there.
pub fn is_journal(path: &Path) -> bool {
    let mut first = [0; FIRST_BYTES.len()];
    std::fs::metadata(path).is_ok_and(|data| data.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok()
        && first == FIRST_BYTES
}

/// A whole journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// The first line; none if the file is empty or torn within it.
    pub header: Option<Header>,
    /// The other lines, in order.
    pub records: Vec<Record>,
    /// Length of the whole lines, B.
    pub length: u64,
    /// Bytes after them: a line that is being written, or was when its writer was killed.
    pub torn: u64,
}

/// Reads a journal for queries. Takes no lock: a line that is being written is left out.
pub fn read(path: &Path) -> Result<Contents, JournalError> {
    let file = open(path)?;
    let mut lines = reader(&file, 0).map_err(|source| unreadable(path, source))?;
    let mut contents = Contents { header: None, records: Vec::new(), length: 0, torn: 0 };
    let head = match head(path, &mut lines)? {
        Ok(head) => head,
        Err(torn) => return Ok(Contents { torn, ..contents }),
    };
    let begin = Begin { offset: head.length, lines: 1 };
    contents.length = head.length;
    scan(
        path,
        &mut lines,
        begin,
        head.format,
        |record| record,
        |line| {
            let length = line.place.length;
            match line.whole(path)? {
                Some(record) => {
                    contents.records.push(record);
                    contents.length += length;
                }
                None => contents.torn = length,
            }
            Ok(())
        },
    )?;
    contents.header = Some(head.header);
    Ok(contents)
}

/// Opens a journal to be read.
pub(super) fn open(path: &Path) -> Result<File, JournalError> {
    let failed = |source| unreadable(path, source);
    // Looked at first: opening a device or a pipe can have effects.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(JournalError::NotRegular { path: path.to_owned() });
    }
    File::open(path).map_err(failed)
}

/// Reads `file` from there to where it ends now: what is appended meanwhile would be half of it before a line that was
/// being written, and the other half behind it.
pub(super) fn reader(mut file: &File, from: u64) -> io::Result<Take<BufReader<&File>>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from))?;
    Ok(BufReader::with_capacity(1 << 18, file).take(length.saturating_sub(from)))
}

/// Where a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// With its end.
    pub(super) length: u64,
}

/// The first line.
pub(super) struct Head {
    pub(super) header: Header,
    pub(super) format: &'static Format,
    pub(super) length: u64,
}

/// Reads it; the length of what there is, if that is not the whole line. A stranger's file is an error, so that it is
/// not cut.
pub(super) fn head(path: &Path, lines: &mut impl BufRead) -> Result<Result<Head, u64>, JournalError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }

    let stranger = || JournalError::NotAJournal { path: path.to_owned() };
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line).map_err(|source| unreadable(path, source))?;
    let common = line.len().min(FIRST_BYTES.len());
    if line[..common] != FIRST_BYTES[..common] {
        return Err(stranger());
    }
    let Some(text) = line.strip_suffix(b"\n") else { return Ok(Err(line.len() as u64)) };
    let Schema { schema } = serde_json::from_slice(text).map_err(|_| stranger())?;
    let Some(format) = FORMATS.iter().find(|format| format.schema == schema) else {
        return Err(JournalError::OtherVersion { path: path.to_owned(), found: schema });
    };
    match (format.parse)(text) {
        Ok(Record::Header(header)) => Ok(Ok(Head { header, format, length: line.len() as u64 })),
        Ok(_) => Err(stranger()),
        Err(error) => {
            let reason = error.to_string();
            Err(JournalError::Damaged { path: path.to_owned(), line: 1, reason })
        }
    }
}

/// Where reading begins: behind so many bytes and lines.
#[derive(Clone, Copy)]
pub(super) struct Begin {
    pub(super) offset: u64,
    pub(super) lines: u64,
}

/// A line that was read.
pub(super) struct Scanned<T> {
    /// From 1.
    pub(super) number: u64,
    pub(super) place: Place,
    /// What was taken of its record.
    pub(super) found: Result<T, Unfit>,
    /// None is behind it.
    pub(super) is_last: bool,
}

/// Why a line is no record.
pub(super) enum Unfit {
    /// Torn, if it is the last line; damaged otherwise.
    Incomplete(String),
    /// Whole, and wrong.
    NoRecord(String),
    /// Whole, and of a format that this harness does not know.
    OtherVersion(String),
}

impl Unfit {
    /// What is said of a journal whose line of this number is so, where that is no torn end.
    pub(super) fn told(self, path: &Path, line: u64) -> JournalError {
        match self {
            Unfit::Incomplete(reason) | Unfit::NoRecord(reason) => {
                JournalError::Damaged { path: path.to_owned(), line, reason }
            }
            Unfit::OtherVersion(found) => JournalError::OtherVersion { path: path.to_owned(), found },
        }
    }
}

impl<T> Scanned<T> {
    /// What was taken of it; none if it is the torn last line.
    pub(super) fn whole(self, path: &Path) -> Result<Option<T>, JournalError> {
        match self.found {
            Ok(found) => Ok(Some(found)),
            Err(Unfit::Incomplete(_)) if self.is_last => Ok(None),
            Err(unfit) => Err(unfit.told(path, self.number)),
        }
    }
}

/// Reads all lines from `begin` on, where `lines` stands. `take` is called on several threads, `each` in order on this one.
pub(super) fn scan<T: Send>(
    path: &Path,
    lines: &mut impl BufRead,
    begin: Begin,
    format: &Format,
    take: impl Fn(Record) -> T + Sync,
    mut each: impl FnMut(Scanned<T>) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let failed = |source| unreadable(path, source);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parse = |line: &[u8]| parse_line(line, format).map(&take);
    let Begin { mut offset, lines: mut number } = begin;
    loop {
        let blocks: Vec<Vec<u8>> =
            (0..threads).map(|_| block(lines)).collect::<io::Result<_>>().map_err(failed)?;
        let parsed = parse_all(&blocks, &parse);
        let mut parsed = parsed.into_iter().flatten().peekable();
        if parsed.peek().is_none() {
            return Ok(());
        }
        while let Some((length, found)) = parsed.next() {
            number += 1;
            let is_last = parsed.peek().is_none() && lines.fill_buf().map_err(failed)?.is_empty();
            each(Scanned { number, place: Place { offset, length }, found, is_last })?;
            offset += length;
        }
    }
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), doing: "read it", source }
}

/// Bytes parsed together by one thread.
const BLOCK_BYTES: u64 = 1 << 20;

/// The next lines, whole ones but for the very last of the file; empty at its end.
fn block(lines: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    lines.by_ref().take(BLOCK_BYTES).read_to_end(&mut text)?;
    if text.last().is_some_and(|byte| *byte != b'\n') {
        lines.read_until(b'\n', &mut text)?;
    }
    Ok(text)
}

/// The lines of one block: the length of each and what it is.
type Parsed<T> = Vec<(u64, Result<T, Unfit>)>;

fn parse_all<T: Send>(
    blocks: &[Vec<u8>],
    parse: &(impl Fn(&[u8]) -> Result<T, Unfit> + Sync),
) -> Vec<Parsed<T>> {
    let parse = |block: &[u8]| -> Parsed<T> {
        let lines = block.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| (line.len() as u64, parse(line))).collect()
    };
    let Some((first, others)) = blocks.split_first() else { return Vec::new() };
    if others.iter().all(Vec::is_empty) {
        return vec![parse(first)];
    }
    std::thread::scope(|scope| {
        let threads = others.iter().map(|block| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, || parse(block));
            thread.map_err(|_| block)
        });
        let others: Vec<_> = threads.collect();
        let mut all = vec![parse(first)];
        all.extend(others.into_iter().map(|there| match there {
            // A panic there is a panic here.
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(block) => parse(block), // no thread can be started
        }));
        all
    })
}

fn parse_line(line: &[u8], format: &Format) -> Result<Record, Unfit> {
    let Some(text) = line.strip_suffix(b"\n") else { return Err(Unfit::Incomplete("it has no end".into())) };
    match (format.parse)(text) {
        Ok(Record::Header(_)) => Err(Unfit::NoRecord(
            "another journal begins there; of two in files of their own `harness journal merge` makes one"
                .into(),
        )),
        Ok(Record::Measurement(measurement)) if measurement.schema != MEASUREMENT_SCHEMA => {
            Err(Unfit::OtherVersion(measurement.schema))
        }
        Ok(record) if record.is_sound() => Ok(record),
        Ok(_) => Err(Unfit::NoRecord("its columns differ in length".into())),
        // Where the machine went down, what had not reached the disk is zeros.
        Err(error) if error.is_data() || !text.contains(&0) => Err(Unfit::NoRecord(error.to_string())),
        Err(error) => Err(Unfit::Incomplete(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_written_meanwhile_damages_nothing() {
        let journal = tempfile::NamedTempFile::new().unwrap();
        let mut writer = std::fs::OpenOptions::new().append(true).open(journal.path()).unwrap();
        let line = |name: &str| {
            format!("{{\"type\":\"state\",\"name\":\"{name}\",\"value\":1,\"saved_unix_s\":1}}\n")
        };
        let (whole, other) = (line("a"), line("b"));
        let (begun, rest) = other.split_at(20);
        write!(writer, "{whole}{begun}").unwrap();
        let mut lines = reader(journal.as_file(), 0).unwrap();
        write!(writer, "{rest}{other}").unwrap();
        let (path, begin) = (Path::new("c.journal"), Begin { offset: 0, lines: 0 });
        let mut found = Vec::new();
        let each = |line: Scanned<Record>| {
            found.push((line.place.length, line.whole(path)?.is_some()));
            Ok(())
        };
        scan(path, &mut lines, begin, &FORMATS[0], |record| record, each).unwrap();
        assert_eq!(found, [(whole.len() as u64, true), (20, false)]);
    }
}
