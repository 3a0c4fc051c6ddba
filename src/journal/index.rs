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

    /// Of each recipe the last record, however it ended, and those before it, in recorded order; nothing else is kept.
    pub fn into_tries(self) -> (Vec<Record>, Vec<Record>) {
        let Self { by_key, records } = self;
        let keyed = records.into_iter().enumerate().filter_map(|(at, record)| {
            let last = *by_key.get(&record.key()?)?;
            Some((at == last, record))
        });
        let (last, earlier): (Vec<_>, Vec<_>) = keyed.partition(|(is_last, _)| *is_last);
        let records = |tries: Vec<(bool, Record)>| tries.into_iter().map(|(_, record)| record).collect();
        (records(last), records(earlier))
    }
}

/// The surroundings that records refer to.
pub fn envs(records: &[Record]) -> BTreeMap<Hash, Env> {
    let env = |record: &Record| match record {
        Record::Env(env) => Some((env.id?, (**env).clone())),
        _ => None,
    };
    records.iter().filter_map(env).collect()
}
