//! Reading a journal from its beginning, line by line, whether or not somebody is writing to it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::panic::resume_unwind;
use std::path::Path;

use serde::Deserialize;

use super::JournalError;
use crate::model::{Header, JOURNAL_SCHEMA, Record};

/// How every journal begins: what is torn off inside it is still known to be ours.
const FIRST_BYTES: &[u8] = br#"{"type":"header","schema":"harness.journal/"#;

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
    let failed = |doing| move |source| JournalError::Io { path: path.to_owned(), doing, source };
    let is_file = std::fs::metadata(path).map_err(failed("read it"))?.is_file();
    if !is_file {
        return Err(JournalError::NotRegular { path: path.to_owned() });
    }
    scan(path, &File::open(path).map_err(failed("read it"))?)
}

/// Reads `file` from where it stands. Lines are parsed on all cores: that is what takes the time.
pub(super) fn scan(path: &Path, file: &File) -> Result<Contents, JournalError> {
    let failed = |source| JournalError::Io { path: path.to_owned(), doing: "read it", source };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut lines = BufReader::with_capacity(1 << 18, file);
    let mut contents = Contents { header: None, records: Vec::new(), length: 0, torn: 0 };
    let mut line = Vec::new();
    let bytes = lines.read_until(b'\n', &mut line).map_err(failed)? as u64;
    if bytes == 0 {
        return Ok(contents);
    }
    contents.header = first_line(path, &line)?;
    if contents.header.is_none() {
        contents.torn = bytes;
        return Ok(contents);
    }
    contents.length = bytes;
    let mut number = 1;
    loop {
        let blocks: Vec<Vec<u8>> =
            (0..threads).map(|_| block(&mut lines)).collect::<io::Result<_>>().map_err(failed)?;
        let parsed = parse_all(&blocks);
        let mut parsed = parsed.into_iter().flatten().peekable();
        if parsed.peek().is_none() {
            return Ok(contents);
        }
        while let Some((bytes, result)) = parsed.next() {
            number += 1;
            match result {
                Ok(record) => contents.records.push(record),
                Err(Unfit::NoJson(reason)) => {
                    if parsed.peek().is_none() && lines.fill_buf().map_err(failed)?.is_empty() {
                        contents.torn = bytes;
                        return Ok(contents);
                    }
                    return Err(JournalError::Damaged { path: path.to_owned(), line: number, reason });
                }
                Err(Unfit::NoRecord(reason)) => {
                    return Err(JournalError::Damaged { path: path.to_owned(), line: number, reason });
                }
            }
            contents.length += bytes;
        }
    }
}

/// Bytes parsed together by one thread.
const BLOCK_BYTES: u64 = 1 << 20;

/// Why a line is no record.
enum Unfit {
    /// Torn, if it is the last line; damaged otherwise.
    NoJson(String),
    /// Whole, and wrong.
    NoRecord(String),
}

/// The next lines, whole ones but for the very last of the file; empty at its end.
fn block(lines: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    lines.by_ref().take(BLOCK_BYTES).read_to_end(&mut text)?;
    if text.last().is_some_and(|byte| *byte != b'\n') {
        lines.read_until(b'\n', &mut text)?;
    }
    Ok(text)
}

/// For each block, for each line of it: its length and what it is.
fn parse_all(blocks: &[Vec<u8>]) -> Vec<Vec<(u64, Result<Record, Unfit>)>> {
    let parse = |block: &[u8]| -> Vec<_> {
        let lines = block.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| (line.len() as u64, parse_line(line))).collect()
    };
    let Some((first, others)) = blocks.split_first() else { return Vec::new() };
    if others.iter().all(Vec::is_empty) {
        return vec![parse(first)];
    }
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|block| scope.spawn(|| parse(block))).collect();
        let mut all = vec![parse(first)];
        // A panic there is a panic here.
        all.extend(
            others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))),
        );
        all
    })
}

fn parse_line(line: &[u8]) -> Result<Record, Unfit> {
    let Some(text) = line.strip_suffix(b"\n") else { return Err(Unfit::NoJson("it has no end".into())) };
    match Record::parse(text) {
        Ok(record) if record.is_sound() => Ok(record),
        Ok(_) => Err(Unfit::NoRecord("its columns differ in length".into())),
        Err(error) if error.is_data() => Err(Unfit::NoRecord(error.to_string())),
        Err(error) => Err(Unfit::NoJson(error.to_string())),
    }
}

/// The header; none if the line is torn within it. A stranger's file is an error, so that it is not cut.
fn first_line(path: &Path, line: &[u8]) -> Result<Option<Header>, JournalError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }

    let stranger = || JournalError::NotAJournal { path: path.to_owned() };
    let common = line.len().min(FIRST_BYTES.len());
    if line[..common] != FIRST_BYTES[..common] {
        return Err(stranger());
    }
    let Some(text) = line.strip_suffix(b"\n") else { return Ok(None) };
    let Schema { schema } = serde_json::from_slice(text).map_err(|_| stranger())?;
    if schema != JOURNAL_SCHEMA {
        return Err(JournalError::OtherVersion { path: path.to_owned(), found: schema });
    }
    match Record::parse(text) {
        Ok(Record::Header(header)) => Ok(Some(header)),
        Ok(_) => Err(stranger()),
        Err(error) => {
            let reason = error.to_string();
            Err(JournalError::Damaged { path: path.to_owned(), line: 1, reason })
        }
    }
}
