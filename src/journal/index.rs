//! What is there already: finished tasks by recipe key, in the order they were recorded.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::model::{Env, Hash, Outcome, Record, Status};

/// The finished tasks of a journal.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// By recipe key: where the last record of that key stands in `records`.
    by_key: FxHashMap<Hash, usize>,
    records: Vec<Record>,
}

impl Index {
    /// Of all records of a journal, in order. The last one of a key counts.
    pub fn new(records: Vec<Record>) -> Self {
        let keyed = records.iter().enumerate().filter_map(|(at, record)| Some((record.key()?, at)));
        Self { by_key: keyed.collect(), records }
    }

    /// The finished task of this recipe: its sequence number (later recorded, larger) and its record.
    pub fn get(&self, key: &Hash) -> Option<(u64, &Record)> {
        let at = *self.by_key.get(key)?;
        let record = &self.records[at];
        record.status().is_some_and(Status::lasting).then_some((at as u64, record))
    }

    /// The finished task of this recipe: its sequence number and its outcome, as it was recorded.
    pub fn outcome(&self, key: &Hash) -> Option<(u64, Outcome)> {
        let (sequence, record) = self.get(key)?;
        Some((sequence, record.outcome()?))
    }

    /// Of each recipe the last record, however it ended, in recorded order.
    pub fn last_of_each(&self) -> impl Iterator<Item = &Record> {
        let records = self.records.iter().enumerate();
        let last =
            records.filter(|(at, record)| record.key().is_some_and(|key| self.by_key.get(&key) == Some(at)));
        last.map(|(_, record)| record)
    }

    /// All finished tasks, in recorded order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Record)> {
        let finished = |(at, record): (usize, &Record)| {
            record.key().is_some_and(|key| self.get(&key).is_some_and(|(last, _)| last == at as u64))
        };
        let records = self.records.iter().enumerate();
        records.filter(move |&entry| finished(entry)).map(|(at, record)| (at as u64, record))
    }

    /// The surroundings that records refer to.
    pub fn envs(&self) -> BTreeMap<Hash, Env> {
        let env = |record: &Record| match record {
            Record::Env(env) => Some((env.id?, (**env).clone())),
            _ => None,
        };
        self.records.iter().filter_map(env).collect()
    }

    /// What the script kept last, by name.
    pub fn states(&self) -> BTreeMap<String, serde_json::Value> {
        let state = |record: &Record| match record {
            Record::State(state) => Some((state.name.clone(), state.value.clone())),
            _ => None,
        };
        self.records.iter().filter_map(state).collect()
    }

    /// The same, and nothing else is kept.
    pub fn into_finished(self) -> impl Iterator<Item = (u64, Record)> {
        let last = self.by_key;
        let entries = (0u64..).zip(self.records);
        entries.filter(move |(at, record)| {
            record.key().is_some_and(|key| last.get(&key) == Some(&(*at as usize)))
                && record.status().is_some_and(Status::lasting)
        })
    }

    /// Every record, in order, of finished tasks or not.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}
