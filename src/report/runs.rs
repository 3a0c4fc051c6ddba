//! The runs of the script in a journal: which there were, how each ended, and what it recorded.
//!
//! A record is of the run it stands under. Not by time: runs of several jobs overlap once their journals are merged, and
//! clocks are set. What `harness rerun` did is no run of the script.

use rustc_hash::FxHashMap;

use crate::journal::Said;
use crate::model::{Hash, HowEnded, Record, Session, SessionEnd, TaskFacts};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// In order.
    pub sessions: Vec<Session>,
    /// How each of them ended; none if it was killed.
    pub ends: Vec<Option<SessionEnd>>,
    /// Which of them recorded what.
    pub numbers: Numbers,
    /// The last of them that said that it answered a task from the journal, by its key.
    answered: FxHashMap<Hash, usize>,
}

/// By record the number of the run of the script that recorded it.
#[derive(Clone, Debug, Default)]
pub struct Numbers(FxHashMap<Hash, usize>);

impl Numbers {
    /// From 1; of what `harness rerun` recorded the one before it.
    pub fn of(&self, facts: &TaskFacts) -> usize {
        self.0.get(&named(facts)).copied().unwrap_or_default()
    }
}

impl Runs {
    /// Those of these records, all of a journal.
    pub fn of(records: &[Record]) -> Self {
        let mut runs = Self::default();
        // What was recorded since the last one began.
        let mut own = Vec::new();
        // Is it `harness rerun` that recorded it?
        let mut repeats = false;
        for record in records {
            match record {
                Record::Session(session) if session.repeats => repeats = true,
                Record::Session(session) => {
                    repeats = false;
                    runs.sessions.push(session.clone());
                    runs.ends.push(None);
                    own.clear();
                }
                Record::End(_) if repeats => {}
                // Older ones do not say so when they begin.
                Record::End(end) if end.how == HowEnded::Repeated => {
                    runs.sessions.pop();
                    runs.ends.pop();
                    let before = runs.sessions.len();
                    runs.numbers.0.extend(own.drain(..).map(|id| (id, before)));
                }
                Record::End(end) => {
                    if let Some(last) = runs.ends.last_mut() {
                        *last = Some(end.clone());
                    }
                }
                Record::Answered(answered) => {
                    let number = runs.sessions.len();
                    runs.answered.extend(answered.keys.iter().map(|key| (*key, number)));
                }
                _ => {
                    if let Some(facts) = record.facts() {
                        let id = named(facts);
                        runs.numbers.0.insert(id, runs.sessions.len());
                        own.push(id);
                    }
                }
            }
        }
        runs
    }

    /// What versions are judged by.
    pub(super) fn said(&self) -> Vec<Said> {
        let is_whole =
            |end: &Option<SessionEnd>| end.as_ref().is_some_and(|end| end.how == HowEnded::Finished);
        let runs = self.sessions.iter().zip(&self.ends);
        runs.map(|(run, end)| Said { script: run.script_hash, is_whole: is_whole(end) }).collect()
    }

    /// The last run that recorded a task or said that it answered it, from 1.
    pub(super) fn asked_last(&self, facts: &TaskFacts) -> usize {
        self.numbers.of(facts).max(self.answered.get(&facts.key).copied().unwrap_or_default())
    }
}

/// The content of the script in the run that recorded it; none where that is not known. A name may be of something else under
/// another: what an edit took out of a script stays current. So there is no speed-up from one to the other.
pub(super) fn script_of(sessions: &[Session], numbers: &Numbers, facts: &TaskFacts) -> Option<Hash> {
    sessions.get(numbers.of(facts).checked_sub(1)?)?.script_hash
}

/// An id in less room than it takes as text.
pub(super) fn named(facts: &TaskFacts) -> Hash {
    Hash::of(facts.id.as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Kind, Outcome, Status};
    use serde_json::json;

    /// A run of a script that began then.
    pub fn session(script: &str, started_unix_s: f64) -> Record {
        let session = json!({
            "version": "", "protocol": 1, "script_hash": Hash::of(script.as_bytes()), "started_unix_s": started_unix_s,
            "pid": 1, "host": "node1",
        });
        Record::Session(serde_json::from_value(session).unwrap())
    }

    pub fn task(facts: TaskFacts) -> Record {
        Record::of_task(facts, None, &Outcome::failed(Status::Ok, ""))
    }

    fn repetition(started_unix_s: f64) -> Record {
        let Record::Session(run) = session("", started_unix_s) else { unreachable!() };
        Record::Session(Session { repeats: true, ..run })
    }

    pub fn end(how: &str) -> Record {
        let end = json!({
            "ended_unix_s": 1.0, "how": how, "exit_code": 0, "why": null, "recorded": 1, "ended": {}, "replayed": 0,
            "unfinished": 0,
        });
        Record::End(serde_json::from_value(end).unwrap())
    }

    /// Jobs that ran at the same time, merged; a repetition among them; a clock that was set back.
    #[test]
    fn a_record_is_of_the_run_it_stands_under() {
        // Ids whose times say nothing.
        let facts = |id: &str| TaskFacts { id: id.into(), kind: Kind::Exec, ..TaskFacts::default() };
        let records = [
            session("a", 1.0),
            task(facts("7ZZZZZZZZZ1")),
            end("finished"),
            session("b", 4e9),
            task(facts("00000000002")),
            session("b", 3.0),
            task(facts("again")),
            end("repeated"),
            repetition(2.0),
            task(facts("again too")),
            end("repeated"),
            repetition(2.0), // killed
            session("a", 2.0),
            task(facts("00000000003")),
        ];
        let runs = Runs::of(&records);
        let ids = ["7ZZZZZZZZZ1", "00000000002", "again", "again too", "00000000003"];
        assert_eq!((runs.sessions.len(), ids.map(|id| runs.numbers.of(&facts(id)))), (3, [1, 2, 2, 2, 3]));
        let ended: Vec<bool> = runs.ends.iter().map(Option::is_some).collect();
        assert_eq!(ended, [true, false, false]);
        let said = runs.said();
        assert_eq!((said[2].script, said[0].is_whole, said[2].is_whole), (said[0].script, true, false));
    }
}
