//! The tasks of a journal that was read whole, by recipe key: for who looks at it (`answers` is for who goes on from it).

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::model::{Env, Hash, Record};

/// See the module.
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
        let last = self.by_key;
        let is_last =
            move |(at, record): &(usize, Record)| record.key().is_some_and(|key| last.get(&key) == Some(at));
        self.records.into_iter().enumerate().filter(is_last).map(|(_, record)| record)
    }

    /// The surroundings that records refer to.
    pub fn envs(&self) -> BTreeMap<Hash, Env> {
        let env = |record: &Record| match record {
            Record::Env(env) => Some((env.id?, (**env).clone())),
            _ => None,
        };
        self.records.iter().filter_map(env).collect()
    }
}
