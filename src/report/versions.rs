//! Which records nobody means any more: a later version of the script, or of its sources, recorded something else under
//! their name and parameters.
//!
//! A journal says what was recorded, not what was asked for: what it answered leaves no line. So this is inferred, task by
//! task of one kind, name and search point, from the runs of the script that recorded them and from what differs between
//! their recipes. Two of one run are both meant. What has no later version stays, whether or not it is still asked for.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::runs::{Runs, named};
use crate::model::{Hash, HowEnded, Kind, RecipeParts, Record, TaskFacts};

/// What makes records versions of one thing. What has no name is known by its command.
type Which = (Kind, Option<String>, Option<String>, Option<u32>);

/// One of several of one kind, name and search point.
struct Version {
    id: Hash,
    parts: Option<RecipeParts>,
    /// By which run all was asked for: the first with the same script, from the one that recorded it on, that came to its
    /// end. None has a number yet where the script was cut off each time.
    whole: usize,
    /// The last run with the script as it was then: what was undone is later than what it had replaced.
    script: usize,
}

impl Version {
    fn command(&self) -> Option<u32> {
        self.parts.map(|parts| parts.command)
    }
}

/// What is outdated in a journal.
#[derive(Clone, Debug, Default)]
pub struct Outdated {
    ids: FxHashSet<Hash>,
}

impl Outdated {
    /// Of all its records, and the runs of its script.
    pub fn of(records: &[Record], runs: &Runs) -> Self {
        Self { ids: ids(records, runs) }
    }

    /// Is this record? A repetition is as current as what it repeats.
    pub fn has(&self, facts: &TaskFacts) -> bool {
        self.ids.contains(&facts.parent.as_ref().map_or_else(|| named(facts), |id| Hash::of(id.as_bytes())))
    }
}

fn ids(records: &[Record], runs: &Runs) -> FxHashSet<Hash> {
    let (scripts, whole) = (last_runs(runs), whole_runs(runs));
    let mut alike: FxHashMap<Which, Vec<Version>> = FxHashMap::default();
    for facts in records.iter().filter_map(Record::facts) {
        let Some(which) = which(facts) else { continue };
        let run = runs.numbers.of(facts);
        let of = |runs: &[usize]| run.checked_sub(1).and_then(|at| runs.get(at)).copied().unwrap_or(run);
        let (script, whole) = (of(&scripts), of(&whole));
        alike.entry(which).or_default().push(Version { id: named(facts), parts: facts.parts, whole, script });
    }
    let mut outdated = FxHashSet::default();
    for versions in alike.into_values().filter(|versions| versions.len() > 1) {
        by_scripts(&versions, &mut outdated);
        by_files(&versions, &mut outdated);
    }
    outdated
}

/// None of what nothing is known by, and of repetitions.
fn which(facts: &TaskFacts) -> Option<Which> {
    let command = facts.parts.map(|parts| parts.command).filter(|_| facts.name.is_none());
    let is_known = facts.parent.is_none() && (facts.name.is_some() || command.is_some());
    let params = facts.params.as_ref().map(ToString::to_string);
    is_known.then(|| (facts.kind, facts.name.clone(), params, command))
}

/// Of each run the last one that had the same script; itself where that is not known.
fn last_runs(runs: &Runs) -> Vec<usize> {
    let numbers = || 1..=runs.sessions.len();
    let last: FxHashMap<Hash, usize> =
        numbers().filter_map(|number| Some((runs.script(number)?, number))).collect();
    let of = |number| runs.script(number).and_then(|script| last.get(&script).copied()).unwrap_or(number);
    numbers().map(of).collect()
}

/// Of each run the first one from there on that had the same script and came to its end.
fn whole_runs(runs: &Runs) -> Vec<usize> {
    let mut next: FxHashMap<Option<Hash>, usize> = FxHashMap::default();
    let mut whole = vec![usize::MAX; runs.sessions.len()];
    for number in (1..=runs.sessions.len()).rev() {
        let script = runs.script(number);
        if runs.ends[number - 1].as_ref().is_some_and(|end| end.how == HowEnded::Finished) {
            next.insert(script, number);
        }
        whole[number - 1] = next.get(&script).copied().unwrap_or(usize::MAX);
    }
    whole
}

/// What a later version of the script recorded anew: the same command (with other sources, measured otherwise), or, where
/// it has a command that was not there before, that instead of all others.
fn by_scripts(versions: &[Version], outdated: &mut FxHashSet<Hash>) {
    let mut scripts: BTreeMap<usize, Vec<&Version>> = BTreeMap::new();
    for version in versions {
        scripts.entry(version.script).or_default().push(version);
    }
    let mut meant: Vec<&Version> = Vec::new();
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
                outdated.insert(old.id);
            }
            stays
        });
        meant.extend(now);
    }
}

/// What was done anew under the same script, because files were others: sources, inputs, the program, or builds of those.
/// Not so what a run recorded that only went on where one was cut off: that may ask for two of one name, with other files.
fn by_files(versions: &[Version], outdated: &mut FxHashSet<Hash>) {
    /// What the script says.
    type Said = (usize, RecipeParts);
    let mut said: FxHashMap<Said, Vec<(&Version, [u32; 3])>> = FxHashMap::default();
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
        outdated.extend(old.map(|(version, _)| version.id));
    }
}

#[cfg(test)]
mod tests {
    use super::super::runs::tests::{end, session, task};
    use super::*;

    const PLAIN: RecipeParts = RecipeParts {
        command: 1,
        env: 0,
        inputs: 0,
        program: 0,
        depends: 0,
        protocol: 0,
        verify: 0,
        place: 0,
    };

    /// A record of this id; `name` is the name of the task, if it has one.
    fn of(id: &str, name: &str, parts: Option<RecipeParts>) -> Record {
        let name = (!name.is_empty()).then(|| name.to_owned());
        task(TaskFacts { id: id.into(), kind: Kind::Measure, name, parts, ..TaskFacts::default() })
    }

    /// Ids of what is outdated, in recorded order.
    fn found(records: &[Record]) -> Vec<&str> {
        let outdated = Outdated::of(records, &Runs::of(records));
        let facts = records.iter().filter_map(Record::facts);
        facts.filter(|facts| outdated.has(facts)).map(|facts| facts.id.as_str()).collect()
    }

    fn command(command: u32) -> Option<RecipeParts> {
        Some(RecipeParts { command, ..PLAIN })
    }

    fn inputs(inputs: u32) -> Option<RecipeParts> {
        Some(RecipeParts { inputs, ..PLAIN })
    }

    #[test]
    fn an_edited_script_or_source_outdates_what_it_measures_anew() {
        let script = [
            session("v1", 1.0),
            of("A", "m", command(1)),
            of("B", "other", command(1)),
            session("v2", 2.0),
            of("C", "m", command(2)),
        ];
        assert_eq!(found(&script), ["A"], "what is not asked for any more has no later version");
        let undone = [&script[..], &[session("v1", 3.0)]].concat();
        assert_eq!(found(&undone), ["C"], "the old script is the last one");
        let anew = |name: &str| {
            let (old, new) = (of("A", name, inputs(1)), of("B", name, inputs(2)));
            [session("v1", 1.0), old, end("finished"), session("v1", 2.0), new]
        };
        assert_eq!(found(&anew("m")), ["A"]);
        assert_eq!(found(&anew("")), ["A"]);
        let old = [session("v1", 1.0), of("A", "m", None), session("v2", 2.0), of("B", "m", None)];
        assert_eq!(found(&old), ["A"], "records of earlier versions of harness");
        let thrice = [&script[..], &[session("v3", 3.0), of("D", "m", inputs(7))]].concat();
        assert_eq!(found(&thrice), ["A", "C"], "back to the first command, with another source");
    }

    #[test]
    fn what_a_script_asks_for_side_by_side_is_all_current() {
        let at_once = [session("v1", 1.0), of("A", "m", command(1)), of("B", "m", command(2))];
        assert!(found(&at_once).is_empty());
        let killed =
            [session("v1", 1.0), of("A", "m", command(1)), session("v1", 2.0), of("B", "m", command(2))];
        assert!(found(&killed).is_empty(), "the same script went on");
        // So it did where it asks for one name with two builds, or with two inputs.
        let built = |depends| Some(RecipeParts { depends, ..PLAIN });
        for (one, other) in [(built(1), built(2)), (inputs(1), inputs(2))] {
            let (one, other, now) = (of("A", "m", one), of("B", "m", other), of("C", "m", inputs(3)));
            for cut in [vec![], vec![end("stopped")]] {
                let first = [vec![session("v1", 1.0), one.clone()], cut].concat();
                let went_on = [first, vec![session("v1", 2.0), other.clone()]].concat();
                assert!(found(&went_on).is_empty());
                // Once it is whole, later sources outdate what each of its runs recorded.
                let later = [end("finished"), session("v1", 3.0), now.clone()];
                assert_eq!(found(&[&went_on[..], &later].concat()), ["A", "B"]);
            }
        }
        let more =
            [session("v1", 1.0), of("A", "m", command(1)), session("v1", 2.0), of("B", "m", command(1))];
        assert!(found(&more).is_empty(), "the same for the second time");
        // The source of one of two changed, and then that of the other.
        let one = [&at_once[..], &[session("v2", 2.0), of("C", "m", inputs(1))]].concat();
        assert_eq!(found(&one), ["A"]);
        let both = Some(RecipeParts { command: 2, inputs: 1, ..PLAIN });
        let other = [&one[..], &[session("v3", 3.0), of("D", "m", both)]].concat();
        assert_eq!(found(&other), ["A", "B"]);
        let unknown = [session("v1", 1.0), of("A", "", None), session("v2", 2.0), of("B", "", None)];
        assert!(found(&unknown).is_empty(), "nothing is known by which they would be one");
    }
}
