//! What a journal answers: of each recipe where its last record is, so that it is read when somebody asks for it.
//!
//! A million records take a hundred bytes each here; themselves they would take gigabytes. Comes from the index beside
//! the journal as far as that goes, and from the journal behind it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::JournalError;
use super::piece::{Entry, Kept, NO_NAME, Names, Piece};
use super::read::{Begin, Format, Head, Place, head, reader, scan};
use super::sidecar::{STRETCH_BYTES, Sidecar};
use crate::model::{Env, Hash, Header, Kind, RecipeParts, Record, Session, Status};

/// The finished tasks of a journal, each with a number of its own.
#[derive(Debug, Default)]
pub struct Answers {
    /// None if there are none.
    source: Option<Source>,
    /// Sorted by key.
    entries: Vec<Entry>,
    /// Those with a name, sorted by what they have in common and then as they were recorded.
    named: Vec<u32>,
    names: Vec<String>,
    envs: BTreeMap<Hash, Env>,
    states: BTreeMap<String, serde_json::Value>,
    /// Last ends that answer nobody.
    unanswered: BTreeMap<Status, usize>,
    /// Where those are, by key.
    lost: Vec<(Hash, u64)>,
    before: Option<Session>,
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
    /// Those of a journal, whether or not somebody is writing to it.
    pub fn of(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), doing: "open it", source };
        let file = File::open(path).map_err(failed)?;
        Ok(load(path, &file)?.answers)
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

    /// What it is called.
    pub fn name(&self, number: usize) -> Option<&str> {
        self.names.get(self.entries[number].name as usize).map(String::as_str)
    }

    /// Of what its recipe consists, if the record says so.
    pub fn parts(&self, number: usize) -> Option<RecipeParts> {
        self.entries[number].parts
    }

    /// All that have this in common ([`namesakes`](crate::model::namesakes)), as they were recorded.
    pub fn namesakes(&self, namesakes: u64) -> impl Iterator<Item = usize> {
        let of = |number: &u32| self.entries[*number as usize].namesakes;
        let begin = self.named.partition_point(|number| of(number) < namesakes);
        let from_there = self.named[begin..].iter();
        from_there.take_while(move |number| of(number) == namesakes).map(|number| *number as usize)
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

    /// Where the last record with this key is in the order of recording, whether or not it answers.
    pub fn tried(&self, key: &Hash) -> Option<NonZeroU64> {
        let lost = || self.lost.binary_search_by_key(key, |(lost, _)| *lost).ok().map(|at| self.lost[at].1);
        let place = self.find(key).map(|number| self.place(number)).or_else(lost);
        place.and_then(NonZeroU64::new) // the header is first
    }

    /// Tasks whose last end answers nobody, by how they ended.
    pub fn unanswered(&self) -> &BTreeMap<Status, usize> {
        &self.unanswered
    }

    /// The last run of the script there was.
    pub fn before(&self) -> Option<&Session> {
        self.before.as_ref()
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
pub(super) fn load(path: &Path, file: &File) -> Result<Loaded, JournalError> {
    let failed = |source| JournalError::Io { path: path.to_owned(), doing: "read it", source };
    let mut lines = reader(file, 0).map_err(failed)?;
    let head = match head(path, &mut lines)? {
        Ok(head) => head,
        Err(torn) => {
            let sidecar = Sidecar::read(path, file, 0, |_| {});
            let (answers, rest) = (Answers::default(), Piece::default());
            return Ok(Loaded { header: None, answers, rest, sidecar, torn });
        }
    };
    let length = file.metadata().map_err(failed)?.len();
    // An index whose lines are not there is wrong, and everything is read then.
    for length in [length, 0] {
        let mut gathered = Gathered::default();
        let sidecar = Sidecar::read(path, file, length, |piece| gathered.take(piece));
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
    let failed = |source| JournalError::Io { path: path.to_owned(), doing: "read it", source };
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
    session: Option<Session>,
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
        self.session = piece.session.or(self.session.take());
    }

    /// What answers; none if a line is not there that was to be read.
    fn answers(self, source: Source) -> Option<Answers> {
        let Self { mut entries, names, envs, states, session: before, .. } = self;
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
        let mut named: Vec<u32> = (0..entries.len() as u32).collect();
        named.retain(|number| entries[*number as usize].name != NO_NAME);
        named.shrink_to_fit();
        named.sort_unstable_by_key(|number| {
            let entry = &entries[*number as usize];
            (entry.namesakes, entry.place.offset)
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
            named,
            names: names.list,
            envs,
            states,
            unanswered,
            lost,
            before,
        })
    }
}
