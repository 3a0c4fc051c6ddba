//! A campaign as its readers count it: of what was tried again the last try, and what `harness rerun` measured once more
//! beside it.
//!
//! Everything that looks at a journal without going on from it (status, tables, queries, pages) begins here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::journal::{Index, JournalError, envs, read};
use crate::model::{Env, Hash, Header, HowEnded, Record, Session, SessionEnd, TaskFacts, ulid_unix_ms};

/// A journal, sorted by what its lines are.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The journal.
    pub path: PathBuf,
    /// Its first line; none if it was only just begun.
    pub header: Option<Header>,
    /// The runs of the script, in order.
    pub sessions: Vec<Session>,
    /// How each of them ended; none if it was killed.
    pub ends: Vec<Option<SessionEnd>>,
    /// The surroundings that records refer to.
    pub envs: BTreeMap<Hash, Env>,
    /// Of each task that was asked for the last record, however it ended, in recorded order: measurements and tasks.
    pub ended: Vec<Record>,
    /// Of what was tried again the earlier tries.
    pub earlier: Vec<Record>,
    /// What `harness rerun` measured once more, likewise; each names its `parent`.
    pub repeats: Vec<Record>,
}

impl Campaign {
    /// Reads a journal, whether or not somebody is writing to it.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let contents = read(path)?;
        let (sessions, ends) = runs(&contents.records).into_iter().unzip();
        let envs = envs(&contents.records);
        let is_repeat = |record: &Record| record.facts().is_some_and(|facts| facts.parent.is_some());
        let (last, earlier) = Index::new(contents.records).into_tries();
        let (repeats, ended) = last.into_iter().partition(is_repeat);
        Ok(Self {
            path: path.to_path_buf(),
            header: contents.header,
            sessions,
            ends,
            envs,
            ended,
            earlier,
            repeats,
        })
    }

    /// The file name of its script; its folder is another one in every checkout.
    pub fn script(&self) -> Option<String> {
        let header = self.header.as_ref()?;
        Path::new(&header.script).file_name().map(|name| name.to_string_lossy().into_owned())
    }

    /// Which run of the script recorded it, from 1; by the time in its id.
    pub fn session_of(&self, facts: &TaskFacts) -> usize {
        let written = ulid_unix_ms(&facts.id).unwrap_or_default();
        self.sessions.partition_point(|session| (session.started_unix_s * 1e3).floor() as u64 <= written)
    }
}

/// The runs of the script, and how each ended. Those of `harness rerun` are none of its.
fn runs(records: &[Record]) -> Vec<(Session, Option<SessionEnd>)> {
    let mut runs: Vec<(Session, Option<SessionEnd>)> = Vec::new();
    for record in records {
        match record {
            Record::Session(session) => runs.push((session.clone(), None)),
            Record::End(end) if end.how == HowEnded::Repeated => {
                runs.pop();
            }
            Record::End(end) => {
                if let Some((_, unknown)) = runs.last_mut() {
                    *unknown = Some(end.clone());
                }
            }
            _ => {}
        }
    }
    runs
}
