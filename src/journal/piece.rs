//! What is kept in memory of a record so that it can be found: where it is, what it answers, what it is called.
//!
//! A piece has that of one stretch of the journal, in order; `answers` joins pieces, `sidecar` keeps them. The record
//! itself stays in the file until somebody asks for it. Knows nothing of files.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::read::Place;
use super::runs::{Ended, Turn};
use crate::model::{Hash, Kind, RecipeParts, Record, Status, versions};

/// Stands for the name of a task that has none.
pub(super) const NO_NAME: u32 = u32::MAX;

/// The record of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) key: Hash,
    pub(super) place: Place,
    /// Equal for versions of one thing ([`versions`]); 0: of nothing.
    pub(super) versions: u64,
    /// Its place among the names.
    pub(super) name: u32,
    pub(super) parts: Option<RecipeParts>,
    pub(super) answers: bool,
    pub(super) kind: Kind,
    pub(super) status: Status,
    pub(super) elapsed_s: f32,
}

/// What of a record is kept.
pub(super) enum Kept {
    Task(Box<Entry>, Option<String>),
    Env(Hash),
    State(String),
    Turn(Box<Turn>),
    Nothing,
}

impl Kept {
    pub(super) fn of(record: &Record) -> Self {
        match record {
            Record::Env(env) => env.id.map_or(Kept::Nothing, Kept::Env),
            Record::State(state) => Kept::State(state.name.clone()),
            Record::Session(session) => Kept::Turn(Box::new(Turn::Began(session.clone()))),
            Record::End(end) => Kept::Turn(Box::new(Turn::Ended(Ended::of(end)))),
            Record::Answered(answered) => Kept::Turn(Box::new(Turn::Answered(answered.keys.clone()))),
            // What `harness rerun` repeated is nobody's task.
            _ => record.facts().filter(|facts| facts.parent.is_none()).map_or(Kept::Nothing, |facts| {
                let (name, params, parts) =
                    (facts.name.as_deref(), facts.params.as_ref(), facts.parts.as_ref());
                let entry = Entry {
                    key: facts.key,
                    place: Place::default(),
                    versions: versions(facts.kind, name, params, parts).unwrap_or_default(),
                    name: NO_NAME,
                    parts: facts.parts,
                    answers: record.answers(),
                    kind: facts.kind,
                    status: record.status().unwrap_or(Status::Skipped),
                    elapsed_s: record.elapsed_s() as f32,
                };
                Kept::Task(Box::new(entry), facts.name.clone())
            }),
        }
    }
}

/// A stretch of the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) lines: u64,
    /// Length of the last of them.
    pub(super) last: u64,
    pub(super) names: Names,
    pub(super) entries: Vec<Entry>,
    pub(super) envs: BTreeMap<Hash, Place>,
    pub(super) states: BTreeMap<String, Place>,
    /// What is said of runs, each with where.
    pub(super) turns: Vec<(u64, Turn)>,
}

impl Piece {
    /// One that begins behind so many bytes.
    pub(super) fn at(begin: u64) -> Self {
        Self { begin, end: begin, ..Self::default() }
    }

    /// The next line has `length` bytes, and this is kept of it.
    pub(super) fn add(&mut self, kept: Kept, length: u64) {
        let place = Place { offset: self.end, length };
        match kept {
            Kept::Task(entry, name) => {
                let name = name.map_or(NO_NAME, |name| self.names.number(name));
                self.entries.push(Entry { place, name, ..*entry });
            }
            Kept::Env(id) => {
                self.envs.insert(id, place);
            }
            Kept::State(name) => {
                self.states.insert(name, place);
            }
            Kept::Turn(turn) => self.turns.push((place.offset, *turn)),
            Kept::Nothing => {}
        }
        self.lines += 1;
        self.last = length;
        self.end += length;
    }

    pub(super) fn length(&self) -> u64 {
        self.end - self.begin
    }

    /// Is all of it in its stretch?
    pub(super) fn is_sound(&self) -> bool {
        let is_in = |offset: u64, length: u64| {
            offset >= self.begin && offset.checked_add(length).is_some_and(|end| end <= self.end)
        };
        let tasks = self.entries.iter().map(|entry| &entry.place);
        let mut places = tasks.chain(self.envs.values()).chain(self.states.values());
        self.begin <= self.end
            && self.lines <= self.length()
            && places.all(|place| is_in(place.offset, place.length))
            && self.turns.iter().all(|(offset, _)| is_in(*offset, 0))
    }
}

/// Names, each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Names {
    pub(super) list: Vec<String>,
    #[serde(skip)]
    numbers: FxHashMap<String, u32>,
}

impl Names {
    pub(super) fn number(&mut self, name: String) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = self.list.len() as u32;
        self.list.push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}
