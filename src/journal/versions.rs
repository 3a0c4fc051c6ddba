//! Which records nobody means any more: a later version of the script, or of its sources, asked for something else under
//! their name and parameters.
//!
//! What is the same as before is answered and leaves no line, so this is inferred, task by task of one kind, name and search
//! point, from the runs of the script that recorded them and from what differs between their recipes. Two of one run are both
//! meant. What has no later version stays, whether or not it is still asked for. Where the inference would be wrong, because
//! something older was asked for again, the run that did so says it (`Answered`), and counts as the one that recorded it.
//! Readers of a whole journal and who goes on from it judge alike, for both ask here.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{Hash, RecipeParts};

/// A run of the script.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// What it said.
    pub script: Option<Hash>,
    /// It came to its end: all was asked for.
    pub is_whole: bool,
}

/// One of several of one kind, name and search point.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Of what its recipe consists.
    pub parts: Option<RecipeParts>,
    /// The last run that recorded it, or said that it is answered, from 1; 0: not known.
    pub run: usize,
}

/// What is outdated in a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// By number, sorted.
    pub outdated: Vec<usize>,
    /// Of those, what came after something that is meant again: an edit that was undone.
    pub undone: Vec<usize>,
}

/// Of versions that are numbered in the order of recording, `which` of what each is one (none: of nothing), those that are
/// outdated.
pub fn outdated(
    runs: &[Said],
    which: impl Iterator<Item = Option<u64>>,
    version: impl Fn(usize) -> Version,
) -> Found {
    let mut found = Found::default();
    if runs.len() < 2 {
        return found;
    }
    let mut sorted: Vec<(u64, usize)> =
        which.enumerate().filter_map(|(number, which)| Some((which?, number))).collect();
    sorted.sort_unstable();
    let times = Times::of(runs);
    for alike in sorted.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
        let numbers = alike.iter().map(|(_, number)| *number);
        let versions: Vec<Judged> = numbers.map(|number| times.judged(number, version(number))).collect();
        let mut outdated = FxHashSet::default();
        by_scripts(&versions, &mut outdated);
        by_files(&versions, &mut outdated);
        let first = versions.iter().map(|version| version.number).find(|number| !outdated.contains(number));
        found.undone.extend(outdated.iter().filter(|number| first.is_some_and(|first| first < **number)));
        found.outdated.extend(outdated);
    }
    found.outdated.sort_unstable();
    found.undone.sort_unstable();
    found
}

/// May a version that `run` asked for last be outdated by what a run that begins now asks for, if it has this script?
pub fn may_be_outdated(runs: &[Said], run: usize, script: Option<Hash>) -> bool {
    let known = run.checked_sub(1).and_then(|at| runs.get(at..));
    known.is_none_or(|since| {
        since.first().is_some_and(|run| run.script != script)
            || since.iter().any(|run| run.is_whole && run.script == script)
    })
}

/// When what a run asked for was asked for, so to speak.
struct Times {
    /// Of each run the last one that had the same script: what was undone is later than what it had replaced.
    scripts: Vec<usize>,
    /// Of each run the first one from there on that had the same script and came to its end.
    whole: Vec<usize>,
}

impl Times {
    fn of(runs: &[Said]) -> Self {
        let mut last: FxHashMap<Hash, usize> = FxHashMap::default();
        let mut next: FxHashMap<Option<Hash>, usize> = FxHashMap::default();
        let (mut scripts, mut whole) = (vec![0; runs.len()], vec![usize::MAX; runs.len()]);
        for (at, Said { script, is_whole }) in runs.iter().enumerate().rev() {
            scripts[at] = script.map_or(at + 1, |script| *last.entry(script).or_insert(at + 1));
            if *is_whole {
                next.insert(*script, at + 1);
            }
            whole[at] = next.get(script).copied().unwrap_or(usize::MAX);
        }
        Self { scripts, whole }
    }

    fn judged(&self, number: usize, Version { parts, run }: Version) -> Judged {
        let of = |times: &[usize]| run.checked_sub(1).and_then(|at| times.get(at)).copied().unwrap_or(run);
        Judged { number, parts, whole: of(&self.whole), script: of(&self.scripts) }
    }
}

struct Judged {
    number: usize,
    parts: Option<RecipeParts>,
    /// By which run all was asked for; none has a number yet where the script was cut off each time.
    whole: usize,
    /// The last run with the script as it was then.
    script: usize,
}

impl Judged {
    fn command(&self) -> Option<u32> {
        self.parts.map(|parts| parts.command)
    }
}

/// What a later version of the script recorded anew: the same command (with other sources, measured otherwise), or, where
/// it has a command that was not there before, that instead of all others.
fn by_scripts(versions: &[Judged], outdated: &mut FxHashSet<usize>) {
    let mut scripts: BTreeMap<usize, Vec<&Judged>> = BTreeMap::new();
    for version in versions {
        scripts.entry(version.script).or_default().push(version);
    }
    let mut meant: Vec<&Judged> = Vec::new();
    for now in scripts.into_values() {
        let before: FxHashSet<_> = meant.iter().map(|version| version.command()).collect();
        let commands: FxHashSet<_> = now.iter().map(|version| version.command()).collect();
        let parts: FxHashSet<_> = now.iter().filter_map(|version| version.parts).collect();
        let is_another = !commands.is_subset(&before);
        meant.retain(|old| {
            // What differs in nothing is one more of the same, and not in its place.
            let is_same = old.parts.is_some_and(|old| parts.contains(&old));
            let stays = is_same || !(is_another || commands.contains(&old.command()));
            if !stays {
                outdated.insert(old.number);
            }
            stays
        });
        meant.extend(now);
    }
}

/// What was done anew under the same script, because files were others: sources, inputs, the program, or builds of those.
/// Not so what a run recorded that only went on where one was cut off: that may ask for two of one name, with other files.
fn by_files(versions: &[Judged], outdated: &mut FxHashSet<usize>) {
    /// What the script says.
    type Same = (usize, RecipeParts);
    let mut said: FxHashMap<Same, Vec<(&Judged, [u32; 3])>> = FxHashMap::default();
    for version in versions {
        let Some(parts) = version.parts else { continue };
        let files = [parts.inputs, parts.program, parts.depends];
        let rest = RecipeParts { inputs: 0, program: 0, depends: 0, ..parts };
        said.entry((version.script, rest)).or_default().push((version, files));
    }
    for same in said.into_values() {
        let last = same.iter().map(|(version, _)| version.whole).max().unwrap_or_default();
        let of_last = same.iter().filter(|(version, _)| version.whole == last);
        let now: FxHashSet<[u32; 3]> = of_last.map(|(_, files)| *files).collect();
        let old = same.iter().filter(|(version, files)| version.whole < last && !now.contains(files));
        outdated.extend(old.map(|(version, _)| version.number));
    }
}
