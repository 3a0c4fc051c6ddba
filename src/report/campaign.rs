//! A campaign as its readers count it: of what was tried again the last try, and what `harness rerun` measured once more
//! beside it. What is outdated can be set aside.
//!
//! Everything that looks at a journal without going on from it (status, tables, queries, pages) begins here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::runs::{Numbers, Runs};
use super::versions::Outdated;
use crate::journal::{JournalError, envs, read, tries};
use crate::model::{Env, Hash, Header, Record, Session, SessionEnd, TaskFacts};

/// A journal, sorted by what its lines are.
#[derive(Clone, Debug, Default)]
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
    /// What [`Campaign::current`] took out of it.
    pub outdated: Vec<Record>,
    /// Of what was tried again the earlier tries.
    pub earlier: Vec<Record>,
    /// What `harness rerun` measured once more, likewise; each names its `parent`.
    pub repeats: Vec<Record>,
    /// Which run of the script recorded what.
    pub(super) numbers: Numbers,
    /// What is outdated.
    pub(super) versions: Outdated,
}

impl Campaign {
    /// Reads a journal, whether or not somebody is writing to it.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let contents = read(path)?;
        let runs = Runs::of(&contents.records);
        let versions = Outdated::of(&contents.records, &runs);
        let envs = envs(&contents.records);
        let is_repeat = |record: &Record| record.facts().is_some_and(|facts| facts.parent.is_some());
        let (last, earlier) = tries(contents.records);
        let (repeats, ended) = last.into_iter().partition(is_repeat);
        let Runs { sessions, ends, numbers, .. } = runs;
        Ok(Self {
            path: path.to_path_buf(),
            header: contents.header,
            sessions,
            ends,
            envs,
            ended,
            outdated: Vec::new(),
            earlier,
            repeats,
            numbers,
            versions,
        })
    }

    /// The file name of its script; its folder is another one in every checkout.
    pub fn script(&self) -> Option<String> {
        let header = self.header.as_ref()?;
        Path::new(&header.script).file_name().map(|name| name.to_string_lossy().into_owned())
    }

    /// What [`Campaign::read`] gives, with what is outdated set aside, and its repetitions left out.
    pub fn current(path: &Path) -> Result<Self, JournalError> {
        let mut campaign = Self::read(path)?;
        let versions = &campaign.versions;
        let is_current = |record: &Record| record.facts().is_none_or(|facts| !versions.has(facts));
        (campaign.ended, campaign.outdated) = campaign.ended.into_iter().partition(is_current);
        campaign.repeats.retain(is_current);
        Ok(campaign)
    }

    /// Did nothing take the place of this record? A repetition is as current as what it repeats.
    pub fn is_current(&self, facts: &TaskFacts) -> bool {
        !self.versions.has(facts)
    }

    /// Which run of the script recorded it, from 1; of what `harness rerun` recorded the one before it.
    pub fn session_of(&self, facts: &TaskFacts) -> usize {
        self.numbers.of(facts)
    }
}
