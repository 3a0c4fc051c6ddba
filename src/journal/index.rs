//! What is there already: finished tasks by recipe key, in the order they were recorded.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::model::{Env, Hash, Record, Status};

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

    /// Of each recipe the last record, however it ended, in recorded order; nothing else is kept.
    pub fn into_last_of_each(self) -> impl Iterator<Item = Record> {
        self.into_numbered().map(|(_, record)| record)
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

    /// All finished tasks with their sequence numbers (later recorded, larger), in recorded order; nothing else is kept.
    pub fn into_finished(self) -> impl Iterator<Item = (u64, Record)> {
        self.into_numbered().filter(|(_, record)| record.status().is_some_and(Status::lasting))
    }

    fn into_numbered(self) -> impl Iterator<Item = (u64, Record)> {
        let last = self.by_key;
        let is_last = move |record: &Record, at: u64| {
            record.key().is_some_and(|key| last.get(&key) == Some(&(at as usize)))
        };
        (0u64..).zip(self.records).filter(move |(at, record)| is_last(record, *at))
    }
}
