//! Reading a journal from its beginning, line by line, whether or not somebody is writing to it.

use std::fs::File;
use std::io::{BufRead, BufReader};
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

/// Reads `file` from where it stands.
pub(super) fn scan(path: &Path, file: &File) -> Result<Contents, JournalError> {
    let mut lines = BufReader::with_capacity(1 << 18, file);
    let mut contents = Contents { header: None, records: Vec::new(), length: 0, torn: 0 };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let bytes = lines.read_until(b'\n', &mut line).map_err(|source| JournalError::Io {
            path: path.to_owned(),
            doing: "read it",
            source,
        })? as u64;
        if bytes == 0 {
            break;
        }
        if number == 1 {
            match first_line(path, &line)? {
                Some(header) => contents.header = Some(header),
                None => {
                    contents.torn = bytes;
                    break;
                }
            }
        } else if let Some(text) = line.strip_suffix(b"\n") {
            match serde_json::from_slice::<Record>(text) {
                Ok(record) if record.key().is_some() && record.outcome().is_none() => {
                    let reason = "its columns differ in length".into();
                    return Err(JournalError::Damaged { path: path.to_owned(), line: number, reason });
                }
                Ok(record) => contents.records.push(record),
                // A line that is no JSON is torn if it is the last one, damaged otherwise.
                Err(error) if !error.is_data() && at_end(path, &mut lines)? => {
                    contents.torn = bytes;
                    break;
                }
                Err(error) => {
                    let reason = error.to_string();
                    return Err(JournalError::Damaged { path: path.to_owned(), line: number, reason });
                }
            }
        } else {
            contents.torn = bytes;
            break;
        }
        contents.length += bytes;
    }
    Ok(contents)
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
    match serde_json::from_slice(text) {
        Ok(Record::Header(header)) => Ok(Some(header)),
        Ok(_) => Err(stranger()),
        Err(error) => {
            let reason = error.to_string();
            Err(JournalError::Damaged { path: path.to_owned(), line: 1, reason })
        }
    }
}

fn at_end(path: &Path, lines: &mut impl BufRead) -> Result<bool, JournalError> {
    match lines.fill_buf() {
        Ok(rest) => Ok(rest.is_empty()),
        Err(source) => Err(JournalError::Io { path: path.to_owned(), doing: "read it", source }),
    }
}
