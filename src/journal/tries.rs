//! What readers of a whole journal need beside its lines: which of the tries of a task is the last, and the surroundings that
//! records refer to. (Who goes on from a journal has `answers`.)

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::model::{Env, Hash, Record};

/// Of all records of a journal, in order: the last one of each task, however it ended, and those before it, both in recorded
/// order; what is no task's is left out.
pub fn tries(records: Vec<Record>) -> (Vec<Record>, Vec<Record>) {
    let last: FxHashMap<Hash, usize> =
        records.iter().enumerate().filter_map(|(at, record)| Some((record.key()?, at))).collect();
    let tasks = records.into_iter().enumerate().filter(|(_, record)| record.key().is_some());
    let (last, earlier): (Vec<_>, Vec<_>) =
        tasks.partition(|(at, record)| record.key().and_then(|key| last.get(&key)) == Some(at));
    let records = |tries: Vec<(usize, Record)>| tries.into_iter().map(|(_, record)| record).collect();
    (records(last), records(earlier))
}

/// The surroundings that records refer to.
pub fn envs(records: &[Record]) -> BTreeMap<Hash, Env> {
    let env = |record: &Record| match record {
        Record::Env(env) => Some((env.id?, (**env).clone())),
        _ => None,
    };
    records.iter().filter_map(env).collect()
}
