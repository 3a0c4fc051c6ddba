//! What a journal answers: of each recipe where its last record is, so that it is read when somebody asks for it.
//!
//! What a later version has taken the place of (`versions`) is known too, for it may be asked for again. A million records
//! take a hundred bytes each here; themselves they would take gigabytes. Comes from the index beside the journal as far as
//! that goes, and from the journal behind it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use super::JournalError;
use super::piece::{Entry, Kept, NO_NAME, Names, Piece};
use super::read::{self, Begin, Format, Head, Place, head, reader, scan, unreadable};
use super::runs::{Runs, Turn};
use super::sidecar::{Access, STRETCH_BYTES, Sidecar};
use super::versions::{Said, Version, may_be_outdated, outdated};
use crate::model::{Env, Hash, Header, Kind, RecipeParts, Record, Retry, Session, Status};

/// The finished tasks of a journal, each with a number of its own.
#[derive(Debug, Default)]
pub struct Answers {
    /// None if there are none.
    source: Option<Source>,
    /// Sorted by key.
    entries: Vec<Entry>,
    /// Those that are versions of something, sorted by of what and then as they were recorded.
    versions: Vec<u32>,
    names: Vec<String>,
    envs: BTreeMap<Hash, Env>,
    states: BTreeMap<String, serde_json::Value>,
    /// Last ends that answer nobody.
    unanswered: BTreeMap<Status, usize>,
    /// Where those are, by key.
    lost: Vec<(Hash, u64)>,
    runs: Runs,
    said: Vec<Said>,
    /// Keys of what a later version has taken the place of.
    outdated: FxHashSet<Hash>,
    /// Where tasks ran last in vain, by their keys.
    in_vain: FxHashMap<Hash, u64>,
    /// What was in vain in each run since one came further.
    had_their_turn: FxHashSet<Hash>,
}

/// The file of a journal, to read a line of it.
#[derive(Debug)]
struct Source {
    file: File,
    format: &'static Format,
}

impl Source {
    /// The record there; none if there is none any more.
    fn record(&self, place: Place) -> Option<Record> {
        let mut line = vec![0; usize::try_from(place.length).ok()?];
        self.file.read_exact_at(&mut line, place.offset).ok()?;
        let record = (self.format.parse)(line.strip_suffix(b"\n")?).ok()?;
        record.is_sound().then_some(record)
    }
}

impl Answers {
    /// Those of a journal, whether or not somebody is writing to it. Journal and index stay as they are.
    pub fn of(path: &Path) -> Result<Self, JournalError> {
        Ok(load(path, &read::open(path)?, Access::Reader)?.answers)
    }

    /// How many there are; they are numbered from 0.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The one with this key.
    pub fn find(&self, key: &Hash) -> Option<usize> {
        self.entries.binary_search_by_key(key, |entry| entry.key).ok()
    }

    /// Its place in the order of recording, and the record; none if the file does not have it any more.
    pub fn read(&self, number: usize) -> Option<(u64, Record)> {
        let entry = &self.entries[number];
        let record = self.source.as_ref()?.record(entry.place)?;
        (record.key() == Some(entry.key)).then_some((entry.place.offset, record))
    }

    /// What it answers.
    pub fn key(&self, number: usize) -> Hash {
        self.entries[number].key
    }

    /// What it is called.
    pub fn name(&self, number: usize) -> Option<&str> {
        self.names.get(self.entries[number].name as usize).map(String::as_str)
    }

    /// Of what its recipe consists, if the record says so.
    pub fn parts(&self, number: usize) -> Option<RecipeParts> {
        self.entries[number].parts
    }

    /// All that are versions of this ([`versions`](crate::model::versions)), as they were recorded.
    pub fn versions(&self, which: u64) -> impl Iterator<Item = usize> {
        let of = |number: &u32| self.entries[*number as usize].versions;
        let begin = self.versions.partition_point(|number| of(number) < which);
        let from_there = self.versions[begin..].iter();
        from_there.take_while(move |number| of(number) == which).map(|number| *number as usize)
    }

    /// Of what it is a version; none of nothing.
    pub fn version_of(&self, number: usize) -> Option<u64> {
        Some(self.entries[number].versions).filter(|which| *which != 0)
    }

    /// Has a later version taken its place, as readers of the journal see it?
    pub fn is_outdated(&self, number: usize) -> bool {
        self.outdated.contains(&self.entries[number].key)
    }

    /// May it have after a run of this script that asks for another version of it?
    pub fn may_be_outdated(&self, number: usize, script: Option<Hash>) -> bool {
        let Entry { key, place, .. } = &self.entries[number];
        may_be_outdated(&self.said, self.runs.number(key, place.offset), script)
    }

    /// How it ended.
    pub fn status(&self, number: usize) -> Status {
        self.entries[number].status
    }

    /// What it was, and how long it took (s).
    pub fn took(&self, number: usize) -> (Kind, f64) {
        let entry = &self.entries[number];
        (entry.kind, f64::from(entry.elapsed_s))
    }

    /// Its place in the order of recording.
    pub fn place(&self, number: usize) -> u64 {
        self.entries[number].place.offset
    }

    /// Where the last try of this key is in the order of recording: its record, whether or not that answers, or the end of a
    /// run that had no time for anything else. No two are at one place.
    pub fn tried(&self, key: &Hash) -> Option<NonZeroU64> {
        let lost = || self.lost.binary_search_by_key(key, |(lost, _)| *lost).ok().map(|at| self.lost[at].1);
        let recorded = self.find(key).map(|number| self.place(number)).or_else(lost);
        recorded.max(self.in_vain.get(key).copied()).and_then(NonZeroU64::new) // the header is first
    }

    /// Was it in vain in a run since which none came further?
    pub fn had_its_turn(&self, key: &Hash) -> bool {
        self.had_their_turn.contains(key)
    }

    /// Of a run of this script that tries `retry` again, and goes on from others that did and wanted for time: from which place
    /// on in the order of recording those tried them again.
    pub fn tried_again_from(&self, retry: &Retry, script: Option<Hash>) -> Option<u64> {
        self.runs.tried_again_from(retry, script)
    }

    /// Tasks whose last end answers nobody, by how they ended.
    pub fn unanswered(&self) -> &BTreeMap<Status, usize> {
        &self.unanswered
    }

    /// The last run of the script there was.
    pub fn before(&self) -> Option<&Session> {
        self.runs.last()
    }

    /// The surroundings that records refer to.
    pub fn envs(&self) -> &BTreeMap<Hash, Env> {
        &self.envs
    }

    /// What the script kept last, by name.
    pub fn states(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.states
    }
}

/// A journal as it is opened.
pub(super) struct Loaded {
    /// None if the file is empty or torn within it.
    pub(super) header: Option<Header>,
    pub(super) answers: Answers,
    /// What is not in the side-car yet; its end is that of the whole lines.
    pub(super) rest: Piece,
    pub(super) sidecar: Sidecar,
    /// Bytes behind the whole lines.
    pub(super) torn: u64,
}

/// Reads `file`, by the side-car as far as that goes.
pub(super) fn load(path: &Path, file: &File, access: Access) -> Result<Loaded, JournalError> {
    let failed = |source| unreadable(path, source);
    let mut lines = reader(file, 0).map_err(failed)?;
    let head = match head(path, &mut lines)? {
        Ok(head) => head,
        Err(torn) => {
            let sidecar = Sidecar::read(path, file, 0, access, |_| {});
            let (answers, rest) = (Answers::default(), Piece::default());
            return Ok(Loaded { header: None, answers, rest, sidecar, torn });
        }
    };
    let length = file.metadata().map_err(failed)?.len();
    // An index whose lines are not there is wrong, and everything is read then.
    for length in [length, 0] {
        let mut gathered = Gathered::default();
        let sidecar = Sidecar::read(path, file, length, access, |piece| gathered.take(piece));
        if let Some(loaded) = behind(gathered, sidecar, path, file, &head)? {
            return Ok(loaded);
        }
    }
    Err(failed(io::Error::other("it changes while it is read")))
}

/// What is known from the pieces that were gathered, and from reading what is behind them; none if they do not agree with
/// the journal.
fn behind(
    mut gathered: Gathered,
    mut sidecar: Sidecar,
    path: &Path,
    file: &File,
    head: &Head,
) -> Result<Option<Loaded>, JournalError> {
    let failed = |source| unreadable(path, source);
    let mut rest = Piece::at(gathered.end);
    if gathered.end == 0 {
        rest.add(Kept::Nothing, head.length);
    }
    let begin = Begin { offset: rest.end, lines: gathered.lines + rest.lines };
    let mut lines = reader(file, begin.offset).map_err(failed)?;
    let mut torn = 0;
    let take = |record| Kept::of(&record);
    scan(path, &mut lines, begin, head.format, take, |line| {
        let length = line.place.length;
        match line.whole(path)? {
            Some(kept) => rest.add(kept, length),
            None => torn = length,
        }
        if rest.length() >= STRETCH_BYTES {
            let next = Piece::at(rest.end);
            let whole = std::mem::replace(&mut rest, next);
            sidecar.add(&whole, file);
            gathered.take(whole);
        }
        Ok(())
    })?;
    gathered.take(rest.clone());
    let source = Source { file: file.try_clone().map_err(failed)?, format: head.format };
    let header = Some(head.header.clone());
    Ok(gathered.answers(source).map(|answers| Loaded { header, answers, rest, sidecar, torn }))
}

/// The pieces so far, joined.
#[derive(Default)]
struct Gathered {
    /// Where they end, and how many lines they have.
    end: u64,
    lines: u64,
    entries: Vec<Entry>,
    names: Names,
    envs: BTreeMap<Hash, Place>,
    states: BTreeMap<String, Place>,
    turns: Vec<(u64, Turn)>,
}

impl Gathered {
    fn take(&mut self, piece: Piece) {
        let names: Vec<u32> = piece.names.list.into_iter().map(|name| self.names.number(name)).collect();
        self.entries.extend(piece.entries.into_iter().map(|entry| {
            let name = names.get(entry.name as usize).copied().unwrap_or(NO_NAME);
            Entry { name, ..entry }
        }));
        self.end = piece.end;
        self.lines += piece.lines;
        self.envs.extend(piece.envs);
        self.states.extend(piece.states);
        self.turns.extend(piece.turns);
    }

    /// What answers; none if a line is not there that was to be read.
    fn answers(self, source: Source) -> Option<Answers> {
        let Self { mut entries, names, envs, states, turns, .. } = self;
        let runs = Runs::of(turns);
        let said = runs.said();
        let outdated = outdated_keys(&entries, &runs, &said);
        // The last of a key counts.
        entries.sort_unstable_by_key(|entry| (entry.key, Reverse(entry.place.offset)));
        entries.dedup_by_key(|entry| entry.key);
        let mut unanswered = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.status.lasting()) {
            *unanswered.entry(entry.status).or_default() += 1;
        }
        let lost = entries.iter().filter(|entry| !entry.answers).map(|entry| (entry.key, entry.place.offset));
        let lost = lost.collect();
        entries.retain(|entry| entry.answers);
        entries.shrink_to_fit();
        let mut versions: Vec<u32> = (0..entries.len() as u32).collect();
        versions.retain(|number| entries[*number as usize].versions != 0);
        versions.shrink_to_fit();
        versions.sort_unstable_by_key(|number| {
            let entry = &entries[*number as usize];
            (entry.versions, entry.place.offset)
        });
        let env = |place| match source.record(place)? {
            Record::Env(env) => Some(*env),
            _ => None,
        };
        let state = |place| match source.record(place)? {
            Record::State(state) => Some(state.value),
            _ => None,
        };
        let envs = envs.into_iter().map(|(id, place)| Some((id, env(place)?))).collect::<Option<_>>()?;
        let states = states.into_iter().map(|(name, place)| Some((name, state(place)?)));
        let states = states.collect::<Option<_>>()?;
        Some(Answers {
            source: Some(source),
            entries,
            versions,
            names: names.list,
            envs,
            states,
            unanswered,
            lost,
            in_vain: runs.in_vain(),
            had_their_turn: runs.had_their_turn(),
            outdated,
            runs,
            said,
        })
    }
}

/// Keys of the tasks whose last record is outdated; `entries` are in the order of recording.
fn outdated_keys(entries: &[Entry], runs: &Runs, said: &[Said]) -> FxHashSet<Hash> {
    let which = entries.iter().map(|entry| Some(entry.versions).filter(|which| *which != 0));
    let version = |number: usize| {
        let Entry { key, place, parts, .. } = &entries[number];
        Version { parts: *parts, run: runs.number(key, place.offset) }
    };
    let outdated = outdated(said, which, version).outdated;
    let mut keys: FxHashSet<Hash> = outdated.iter().map(|number| entries[*number].key).collect();
    // Of what was tried again the last try counts.
    if !keys.is_empty() {
        let mut last: FxHashMap<Hash, usize> = FxHashMap::default();
        last.extend(
            entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| keys.contains(&entry.key))
                .map(|(at, entry)| (entry.key, at)),
        );
        keys.retain(|key| last.get(key).is_some_and(|at| outdated.binary_search(at).is_ok()));
    }
    keys
}
