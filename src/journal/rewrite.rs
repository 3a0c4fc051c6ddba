//! Which lines of journals stay when they are written anew, and in which order: of one (`compact`) or of several (`merge`).
//!
//! Of a task and of a state the last record stays, and whatever a record that stays names by its id (what it repeats, or
//! whose figures it has). Runs of the script stay together, in the order in which they began. Lines are copied as they
//! are.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use super::JournalError;
use super::open::folder_of;
use super::read::{Begin, Head, Place, Scanned, Unfit, head, reader, scan, unreadable};
use crate::model::{Hash, Record, Session};

/// A journal that was read for this.
pub(super) struct Survey {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) head: Head,
    pub(super) items: Vec<Item>,
    /// Bytes behind the whole lines.
    pub(super) torn: u64,
}

/// A line behind the first.
pub(super) struct Item {
    place: Place,
    what: What,
}

enum What {
    /// A run began: of the script, unless it only repeated something.
    Session { began: f64, id: Hash, repeats: bool },
    /// Surroundings, a built file.
    Once(Hash),
    /// A task or a state.
    Last(Last),
}

/// What stays as it was last.
#[derive(Clone)]
struct Last {
    key: Hash,
    id: Hash,
    /// Ids of other records.
    names: [Option<Hash>; 2],
    /// It answers, and when it ended.
    rank: (bool, f64),
}

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// From 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl Survey {
    /// Reads `file`, the journal at `path`; `damaged` hears of each line that is no record, which is left out then.
    pub(super) fn of(
        path: &Path,
        file: File,
        mut damaged: impl FnMut(Damage) -> Result<(), JournalError>,
    ) -> Result<Self, JournalError> {
        let failed = |source| unreadable(path, source);
        let mut lines = reader(&file, 0).map_err(failed)?;
        let Ok(head) = head(path, &mut lines)? else {
            return Err(JournalError::NotAJournal { path: path.to_owned() });
        };
        let (mut items, mut torn) = (Vec::new(), 0);
        let begin = Begin { offset: head.length, lines: 1 };
        scan(
            path,
            &mut lines,
            begin,
            head.format,
            |record| What::of(&record),
            |line| {
                let Scanned { number, place, found, is_last } = line;
                match found {
                    Ok(what) => items.push(Item { place, what }),
                    Err(Unfit::Incomplete(_)) if is_last => torn = place.length,
                    Err(Unfit::Incomplete(reason) | Unfit::NoRecord(reason)) => {
                        damaged(Damage { line: number, reason })?;
                    }
                    Err(unfit) => return Err(unfit.told(path, number)),
                }
                Ok(())
            },
        )?;
        drop(lines);
        Ok(Self { path: path.to_owned(), file, head, items, torn })
    }

    /// The same of a journal that has to be whole.
    pub(super) fn whole(path: &Path, file: File) -> Result<Self, JournalError> {
        Self::of(path, file, |Damage { line, reason }| {
            Err(JournalError::Damaged { path: path.to_owned(), line, reason })
        })
    }

    /// Records of tasks and states, and runs of the script.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |is: fn(&What) -> bool| self.items.iter().filter(|item| is(&item.what)).count() as u64;
        (count(|what| matches!(what, What::Last(_))), count(What::is_run))
    }
}

impl What {
    /// Did a run of the script begin?
    fn is_run(&self) -> bool {
        matches!(self, What::Session { repeats: false, .. })
    }

    fn of(record: &Record) -> Self {
        let id_of = |text: &String| Hash::of(text.as_bytes());
        let whole = || Hash::of(&serde_json::to_vec(record).unwrap_or_default());
        match record {
            Record::Session(Session { started_unix_s, repeats, .. }) => {
                What::Session { began: *started_unix_s, id: whole(), repeats: *repeats }
            }
            Record::State(state) => What::Last(Last {
                key: Hash::of(format!("state {}", state.name).as_bytes()),
                id: whole(),
                names: [None, None],
                rank: (true, state.saved_unix_s),
            }),
            Record::Measurement(_) | Record::Task(_) => {
                let same_as = match record {
                    Record::Measurement(measurement) => measurement.same_as.as_ref(),
                    _ => None,
                };
                let Some(facts) = record.facts() else { return What::Once(whole()) };
                What::Last(Last {
                    key: facts.key,
                    id: id_of(&facts.id),
                    names: [facts.parent.as_ref().map(id_of), same_as.map(|other| id_of(&other.id))],
                    rank: (record.answers(), facts.ended_unix_s.unwrap_or(0.0)),
                })
            }
            Record::Env(env) => What::Once(env.id.unwrap_or_else(whole)),
            Record::Header(_) | Record::End(_) | Record::Answered(_) | Record::Artefact(_) => {
                What::Once(whole())
            }
        }
    }
}

/// Where a line is: in which journal, and which of its items.
type At = (usize, usize);

/// The lines that stay.
pub(super) struct Plan {
    stay: Vec<At>,
    /// How many do not.
    pub(super) dropped: u64,
    /// Tasks and states that several journals have, as different records.
    pub(super) conflicts: u64,
}

impl Plan {
    pub(super) fn of(journals: &[Survey]) -> Self {
        let order = in_order(journals);
        let (last, conflicts) = last_of_each(journals);
        let mut stays: Vec<bool> = vec![false; order.len()];
        // Who is named stands before who names it.
        let (mut named, mut kept) = (FxHashSet::<Hash>::default(), FxHashSet::default());
        let mut behind = FxHashSet::default();
        for (at, stay) in order.iter().zip(&mut stays).rev() {
            let What::Last(Last { key, id, names, .. }) = &journals[at.0].items[at.1].what else { continue };
            let is_last = last.get(key) == Some(at);
            // One that came after the last of its key would count in its stead.
            *stay = (is_last || named.contains(id) && behind.contains(key)) && kept.insert(*id);
            if *stay {
                named.extend(names.iter().flatten());
            }
            if is_last {
                behind.insert(*key);
            }
        }
        // What several journals have stays where it is first.
        let mut first = FxHashMap::default();
        for (at, stay) in order.iter().zip(&mut stays) {
            if let What::Once(id) | What::Session { id, .. } = &journals[at.0].items[at.1].what {
                *stay = *first.entry(*id).or_insert(at.0) == at.0;
            }
        }
        let all = order.len();
        let stay: Vec<At> =
            order.into_iter().zip(stays).filter(|(_, stays)| *stays).map(|(at, _)| at).collect();
        Self { dropped: (all - stay.len()) as u64, stay, conflicts }
    }

    /// How many lines stay.
    pub(super) fn kept(&self) -> u64 {
        self.stay.len() as u64
    }

    /// How many runs of the script they are of.
    pub(super) fn sessions(&self, journals: &[Survey]) -> u64 {
        self.stay.iter().filter(|at| journals[at.0].items[at.1].what.is_run()).count() as u64
    }

    /// Writes them behind the first line of `journals[first]` into a file that lies beside `path` and has no name yet.
    pub(super) fn write(
        &self,
        journals: &[Survey],
        first: usize,
        path: &Path,
    ) -> Result<(NamedTempFile, u64), JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), doing: "write it anew", source };
        let written = || {
            let file = tempfile::Builder::new().prefix(&beginning(path)).tempfile_in(folder_of(path))?;
            // Whoever finds it locked leaves it alone. Where there are no locks nobody can tell, and does.
            let _ = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
            let journal = &journals[first];
            let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
            let header = (first, Place { offset: 0, length: journal.head.length });
            let lines = self.stay.iter().map(|at| (at.0, journals[at.0].items[at.1].place));
            let mut length = 0;
            for (journal, place) in joined([header].into_iter().chain(lines)) {
                copy(&journals[journal].file, place, &mut out)?;
                length += place.length;
            }
            out.into_inner().map_err(io::IntoInnerError::into_error)?;
            let permissions: Permissions = journal.file.metadata()?.permissions();
            file.as_file().set_permissions(permissions)?;
            file.as_file().sync_all()?;
            Ok((file, length))
        };
        written().map_err(failed)
    }
}

/// How the names of files begin that are to take the place of `path`.
fn beginning(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new.");
    name
}

/// Removes what somebody left behind who was killed while he wrote a journal anew; how many files that were.
pub(super) fn clear(path: &Path) -> usize {
    let beginning = beginning(path);
    let is_one = |name: &OsStr| {
        let rest = name.as_encoded_bytes().strip_prefix(beginning.as_encoded_bytes());
        rest.is_some_and(|rest| rest.len() == 6 && rest.iter().all(u8::is_ascii_alphanumeric))
    };
    let entries = fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    let left = entries.filter(|entry| is_one(&entry.file_name())).map(|entry| entry.path());
    let is_nobodys = |path: &PathBuf| {
        let file = fs::symlink_metadata(path).is_ok_and(|data| data.is_file()).then(|| File::open(path));
        file.and_then(Result::ok)
            .is_some_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok())
    };
    left.filter(|path| is_nobodys(path) && fs::remove_file(path).is_ok()).count()
}

/// All lines, run by run of the script in the order in which those began.
fn in_order(journals: &[Survey]) -> Vec<At> {
    let mut runs: Vec<(f64, usize, std::ops::Range<usize>)> = Vec::new();
    for (journal, Survey { head, items, .. }) in journals.iter().enumerate() {
        let mut began = head.header.started_unix_s;
        let mut from = 0;
        for (at, item) in items.iter().enumerate() {
            if let What::Session { began: next, .. } = &item.what {
                runs.push((began, journal, from..at));
                // The runs of one journal stay in their order, whatever the clock did.
                began = began.max(*next);
                from = at;
            }
        }
        runs.push((began, journal, from..items.len()));
    }
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    runs.into_iter().flat_map(|(_, journal, range)| range.map(move |at| (journal, at))).collect()
}

/// Of each task and state the record that stays: the last of its journal; of several journals' one that answers, and of
/// those the one that ended last. And how many they disagree about.
fn last_of_each(journals: &[Survey]) -> (FxHashMap<Hash, At>, u64) {
    let mut best: FxHashMap<Hash, (At, &Last)> = FxHashMap::default();
    let mut disputed = FxHashSet::default();
    for (journal, Survey { items, .. }) in journals.iter().enumerate() {
        let mut here: FxHashMap<Hash, (At, &Last)> = FxHashMap::default();
        for (at, item) in items.iter().enumerate() {
            if let What::Last(last) = &item.what {
                here.insert(last.key, ((journal, at), last));
            }
        }
        for (key, ours) in here {
            let Some(theirs) = best.get(&key) else {
                best.insert(key, ours);
                continue;
            };
            if theirs.1.id != ours.1.id {
                disputed.insert(key);
                if theirs.1.rank < ours.1.rank {
                    best.insert(key, ours);
                }
            }
        }
    }
    (best.into_iter().map(|(key, (at, _))| (key, at)).collect(), disputed.len() as u64)
}

/// The same with neighbours in one.
fn joined(lines: impl Iterator<Item = (usize, Place)>) -> impl Iterator<Item = (usize, Place)> {
    let mut lines = lines.peekable();
    std::iter::from_fn(move || {
        let (journal, mut place) = lines.next()?;
        let end = |place: Place| place.offset + place.length;
        while let Some((_, next)) =
            lines.next_if(|(other, next)| *other == journal && next.offset == end(place))
        {
            place.length += next.length;
        }
        Some((journal, place))
    })
}

fn copy(from: &File, place: Place, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; 1 << 20];
    let (mut at, end) = (place.offset, place.offset + place.length);
    while at < end {
        let most = piece.len().min((end - at) as usize);
        from.read_exact_at(&mut piece[..most], at)?;
        to.write_all(&piece[..most])?;
        at += most as u64;
    }
    Ok(())
}
