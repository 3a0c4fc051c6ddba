//! Reads a trace a piece at a time: what was asked for between two answers, and the answer.
//!
//! A trace that was cut off ends with its last whole line. What the scheduler did is passed over. Knows nothing of who reads.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::super::trace::{Header, Said, TRACE_SCHEMA};
use crate::model::{Outcome, PROTOCOL, TaskId};

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The system says no.
    #[error("replay: cannot read {path}: {why}", path = .0.display(), why = .1)]
    Unreadable(PathBuf, io::Error),
    /// Something else.
    #[error("replay: {} is no trace: `harness --trace FILE campaign.lua` writes one", .0.display())]
    NoTrace(PathBuf),
    /// Calls are encoded otherwise.
    #[error(
        "replay: {path} was written by harness {version}, which this one does not understand: replay it with that version",
        path = .0.display(), version = .1
    )]
    Version(PathBuf, String),
    /// No memory, or no thread.
    #[error("replay: cannot start the script: {0}")]
    System(#[from] io::Error),
}

/// What was asked for between two answers, in order, and what the answer was.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) asked: VecDeque<Said>,
    pub(super) now: VecDeque<f64>,
    pub(super) left: VecDeque<Option<f64>>,
    pub(super) explained: Vec<(TaskId, String)>,
    /// When the answer came (s), and in which line.
    pub(super) t: f64,
    pub(super) line: u64,
    pub(super) then: Then,
}

#[derive(Debug)]
pub(super) enum Then {
    Took {
        task: TaskId,
        outcome: Arc<Outcome>,
    },
    Nothing(u64),
    Draining,
    End,
    /// The trace was cut off.
    Torn,
    /// This line of the file is none of a trace.
    Damaged(u64),
}

#[derive(Deserialize)]
struct Line {
    t: f64,
    /// None: it is of the scheduler.
    script: Option<Said>,
}

/// See the module.
pub struct Reader {
    pub(super) header: Header,
    lines: BufReader<File>,
    /// Lines read.
    number: u64,
}

impl Reader {
    /// Opens a trace.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let unreadable = |error| ReplayError::Unreadable(path.into(), error);
        let file = File::open(path).map_err(unreadable)?;
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(ReplayError::NoTrace(path.into()));
        }
        let mut lines = BufReader::new(file);
        let mut first = Vec::new();
        lines.read_until(b'\n', &mut first).map_err(unreadable)?;
        let header: Header = serde_json::from_slice(&first).map_err(|_| ReplayError::NoTrace(path.into()))?;
        if header.schema != TRACE_SCHEMA || header.protocol != PROTOCOL {
            return Err(ReplayError::Version(path.into(), header.version));
        }
        Ok(Self { header, lines, number: 1 })
    }

    /// What the trace begins with.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next piece.
    pub(super) fn next(&mut self) -> Piece {
        let (asked, now, left) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        let mut piece = Piece { asked, now, left, explained: Vec::new(), t: 0.0, line: 0, then: Then::Torn };
        loop {
            let Line { t, script } = match self.line() {
                Ok(Some(line)) => line,
                Ok(None) => return piece,
                Err(()) => return Piece { then: Then::Damaged(self.number), ..piece },
            };
            (piece.t, piece.line) = (t, self.number);
            piece.then = match script {
                None | Some(Said::Keep { .. }) => continue,
                Some(Said::Now(seconds)) => {
                    piece.now.push_back(seconds);
                    continue;
                }
                Some(Said::Left(seconds)) => {
                    piece.left.push_back(seconds);
                    continue;
                }
                Some(Said::Explain { task, answer }) => {
                    piece.explained.push((task, answer));
                    continue;
                }
                Some(Said::Took { task, outcome }) => Then::Took { task, outcome },
                Some(Said::Nothing(times)) => Then::Nothing(times),
                Some(Said::Draining) => Then::Draining,
                Some(Said::End) => Then::End,
                Some(asked) => {
                    piece.asked.push_back(asked);
                    continue;
                }
            };
            return piece;
        }
    }

    /// The next line; none at the end, be it cut off.
    fn line(&mut self) -> Result<Option<Line>, ()> {
        let mut text = Vec::new();
        self.number += 1;
        self.lines.read_until(b'\n', &mut text).map_err(drop)?;
        if text.last() != Some(&b'\n') {
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).map_err(drop)
    }
}
