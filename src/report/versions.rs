//! What of a journal is outdated, and what is current: `journal/versions.rs` says when; here are records.

use rustc_hash::FxHashSet;

use super::runs::{Runs, named};
use crate::journal::{Found, Version, outdated};
use crate::model::{Hash, Record, TaskFacts, versions};

/// What is outdated in a journal.
#[derive(Clone, Debug, Default)]
pub struct Outdated {
    ids: FxHashSet<Hash>,
    /// Of those, what came after something that is current again.
    undone: FxHashSet<Hash>,
}

impl Outdated {
    /// Of all its records, and the runs of its script.
    pub fn of(records: &[Record], runs: &Runs) -> Self {
        // A repetition is no version of its own.
        let facts = records.iter().filter_map(Record::facts).filter(|facts| facts.parent.is_none());
        let facts: Vec<&TaskFacts> = facts.collect();
        let which = facts.iter().map(|facts| {
            versions(facts.kind, facts.name.as_deref(), facts.params.as_ref(), facts.parts.as_ref())
        });
        let version =
            |number: usize| Version { parts: facts[number].parts, run: runs.asked_last(facts[number]) };
        let Found { outdated, undone } = outdated(&runs.said(), which, version);
        let ids = |numbers: Vec<usize>| numbers.into_iter().map(|number| named(facts[number])).collect();
        Self { ids: ids(outdated), undone: ids(undone) }
    }

    /// Is this record? A repetition is as current as what it repeats.
    pub fn has(&self, facts: &TaskFacts) -> bool {
        self.ids.contains(&original(facts))
    }

    /// Is it of an edit that was undone? Then what is current was recorded before it.
    pub fn is_undone(&self, facts: &TaskFacts) -> bool {
        self.undone.contains(&original(facts))
    }
}

/// The id of it, or of what it repeats.
fn original(facts: &TaskFacts) -> Hash {
    facts.parent.as_ref().map_or_else(|| named(facts), |id| Hash::of(id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::runs::tests::{end, session, task};
    use super::*;
    use crate::model::{Answered, Kind, RecipeParts};

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
        let key = Hash::of(id.as_bytes());
        task(TaskFacts { id: id.into(), key, kind: Kind::Measure, name, parts, ..TaskFacts::default() })
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

    fn answered(ids: &[&str]) -> Record {
        let keys = ids.iter().map(|id| Hash::of(id.as_bytes())).collect();
        Record::Answered(Answered { keys, answered_unix_s: 1.0 })
    }

    #[test]
    fn what_was_asked_for_last_is_current() {
        let edited = [
            session("v1", 1.0),
            of("A", "m", inputs(1)),
            end("finished"),
            session("v1", 2.0),
            of("B", "m", inputs(2)),
            end("finished"),
        ];
        assert_eq!(found(&edited), ["A"]);
        for cut in [vec![], vec![end("finished")]] {
            let undone = [&edited[..], &[session("v1", 3.0), answered(&["A"])], &cut].concat();
            assert_eq!(found(&undone), ["B"], "the source was edited, and that undone");
            let outdated = Outdated::of(&undone, &Runs::of(&undone));
            let is_undone = |at: usize| outdated.is_undone(undone[at].facts().unwrap());
            assert!(!is_undone(1) && is_undone(4));
        }
        let undone = [session("v1", 3.0), answered(&["A"]), end("finished")];
        let redone =
            [&edited[..], &undone, &[session("v1", 4.0), answered(&["B"]), end("finished")]].concat();
        assert_eq!(found(&redone), ["A"]);
        assert!(!Outdated::of(&redone, &Runs::of(&redone)).is_undone(redone[1].facts().unwrap()));
        // The run that recorded something new says what else of that name it asked for.
        let one_of_two = [
            session("v1", 1.0),
            of("A", "m", command(1)),
            of("B", "m", command(2)),
            session("v2", 2.0),
            answered(&["B"]),
            of("C", "m", command(3)),
        ];
        assert_eq!(found(&one_of_two), ["A"]);
    }
}
