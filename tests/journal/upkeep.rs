//! `check`, `compact` and `merge`: what stays, what goes, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use harness::journal::{Compacted, JournalError, Mode, check, compact, merge, read};
use harness::model::{Env, Header, Kind, MeasureSpec, Outcome, Record, SameAs, State, Status, TaskFacts};

use crate::{answered, append, facts, header, open, refused};

/// A record of the task `number` that ended then.
fn ended(id: &str, number: u64, status: Status, at: f64) -> Record {
    let facts = TaskFacts { id: id.into(), ended_unix_s: Some(at), ..facts(number, Kind::Exec) };
    Record::of_task(facts, None, &Outcome::failed(status, id))
}

/// A measurement that has the figures of another one, or repeats it.
fn measured(id: &str, number: u64, same_as: Option<&str>, parent: Option<&str>) -> Record {
    let facts = TaskFacts { id: id.into(), parent: parent.map(Into::into), ..facts(number, Kind::Measure) };
    let outcome = Outcome::failed(Status::Timeout, id);
    let Record::Measurement(mut record) = Record::of_task(facts, Some(&MeasureSpec::default()), &outcome)
    else {
        panic!("no measurement")
    };
    record.same_as = same_as.map(|id| SameAs { id: id.into(), what: "m".into() });
    Record::Measurement(record)
}

fn state(value: u64, at: f64) -> Record {
    Record::State(State { name: "s".into(), value: value.into(), saved_unix_s: at })
}

fn journal(path: &Path, records: Vec<Record>) {
    append(open(path, Mode::Resume).unwrap().writer, (0..).zip(records));
}

/// The ids of the records of tasks, in order, with `S` for each session and the values of states.
fn ids(path: &Path) -> Vec<String> {
    let shown = |record: &Record| match record {
        Record::Session(_) => "S".to_owned(),
        Record::State(state) => format!("={}", state.value),
        Record::Env(_) => "env".to_owned(),
        record => record.facts().unwrap().id.clone(),
    };
    read(path).unwrap().records.iter().map(shown).collect()
}

#[test]
fn compacting_leaves_out_what_a_later_record_has_superseded_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    journal(
        &path,
        vec![
            ended("a1", 1, Status::LostWorker, 1.0),
            state(1, 1.0),
            measured("m1", 2, None, None),
            measured("same", 3, Some("m1"), None),
            ended("b", 4, Status::Ok, 2.0),
        ],
    );
    journal(
        &path,
        vec![
            state(2, 2.0),
            measured("m2", 2, None, None),
            ended("a2", 1, Status::Ok, 0.5),
            measured("again", 5, None, Some("m2")),
            measured("m3", 2, None, None),
        ],
    );
    let before = fs::read(&path).unwrap();
    let answers = answered(open(&path, Mode::Resume).unwrap().answers);
    let whole = fs::read(&path).unwrap();
    assert_eq!(check(&path).unwrap().superseded, 2);
    let compacted = compact(&path).unwrap();
    let aside = folder.path().join("j.1");
    assert_eq!((compacted.dropped, compacted.kept, compacted.aside.as_ref()), (2, 11, Some(&aside)));
    assert_eq!(compacted.bytes, (whole.len() as u64, fs::metadata(&path).unwrap().len()));
    assert_eq!(fs::read(&aside).unwrap(), whole);
    assert!(whole.starts_with(&before));
    // What others name stays: figures that were shared, and what was repeated.
    let left = ["S", "m1", "same", "b", "S", "=2", "m2", "a2", "again", "m3", "S"];
    assert_eq!(ids(&path), left);
    assert_eq!(answered(open(&path, Mode::Resume).unwrap().answers), answers);
    let again = compact(&path).unwrap();
    assert_eq!((again.dropped, again.aside), (0, None));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn what_is_written_to_or_damaged_is_not_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let twice = || vec![ended("a", 1, Status::LostWorker, 1.0), ended("b", 1, Status::Ok, 2.0)];
    journal(&path, twice());
    let opened = open(&path, Mode::Resume).unwrap();
    assert!(matches!(compact(&path), Err(JournalError::Held { .. })));
    assert!(check(&path).unwrap().is_held);
    drop(opened);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replacen("{\"type\":\"task\"", "{\"type\":\"tusk\"", 1)).unwrap();
    assert!(matches!(compact(&path), Err(JournalError::Damaged { line: 3, .. })));
    // A torn last line is no damage.
    fs::write(&path, whole.clone() + "{\"type\":\"ta").unwrap();
    let Compacted { dropped, .. } = compact(&path).unwrap();
    assert_eq!((dropped, ids(&path)), (1, vec!["S".into(), "b".into(), "S".to_owned()]));
    let nowhere = folder.path().join("none");
    assert!(compact(&nowhere).is_err() && !nowhere.exists());
}

#[test]
fn a_check_names_every_damaged_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    journal(&path, (1..6).map(|number| ended(&number.to_string(), number, Status::Ok, 1.0)).collect());
    let whole = check(&path).unwrap();
    assert_eq!((whole.records, whole.sessions, whole.torn, whole.superseded), (5, 1, 0, 0));
    assert_eq!((whole.damaged.len(), whole.is_held), (0, false));
    let text = fs::read_to_string(&path).unwrap();
    let damaged: String = text
        .split_inclusive('\n')
        .enumerate()
        .map(|(at, line)| match at {
            3 => "{\"type\":\n".to_owned(),
            5 => line.replace("\"key\":\"", "\"key\":\"?"),
            _ => line.to_owned(),
        })
        .collect();
    fs::write(&path, damaged + "{\"type\"").unwrap();
    let checked = check(&path).unwrap();
    let lines: Vec<u64> = checked.damaged.iter().map(|damage| damage.line).collect();
    assert_eq!((lines, checked.records, checked.torn), (vec![4, 6], 3, 7));
    assert!(checked.damaged[1].reason.contains("is not a hash"), "{}", checked.damaged[1].reason);
}

/// A journal that was begun then, one run for each list.
fn begun(path: &Path, at: f64, seed: u64, runs: Vec<Vec<Record>>) -> PathBuf {
    for (records, later) in runs.into_iter().zip(0..) {
        let header = Header { started_unix_s: at + f64::from(later) * 100.0, seed, ..header() };
        let opened =
            harness::journal::Journal::create_or_open(path, header, Default::default(), Mode::Resume)
                .unwrap();
        append(opened.writer, (0..).zip(records));
    }
    path.to_owned()
}

#[test]
fn merging_keeps_the_runs_and_of_each_task_what_ended_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let env = || Record::Env(Box::new(Env { cpu_model: Some("x".into()), ..Env::default() }.named()));
    let first = begun(
        &path("a"),
        1000.0,
        7,
        vec![
            vec![env(), ended("a1", 1, Status::Ok, 1050.0), ended("a2", 2, Status::Ok, 1060.0)],
            vec![ended("a3", 3, Status::Ok, 1110.0), state(1, 1111.0)],
        ],
    );
    let second = begun(
        &path("b"),
        1050.0,
        8,
        vec![vec![
            env(),
            ended("b1", 1, Status::Ok, 1055.0),
            ended("b2", 2, Status::LostWorker, 1070.0),
            ended("b3", 3, Status::NonzeroExit, 1109.0),
            ended("b4", 4, Status::Ok, 1110.0),
            state(2, 1112.0),
        ]],
    );
    let to = path("all");
    let merged = merge(&[second.clone(), first.clone()], &to).unwrap();
    assert_eq!(ids(&to), ["S", "env", "a2", "S", "b1", "b4", "=2", "S", "a3"]);
    assert_eq!((merged.sessions, merged.kept, merged.dropped, merged.conflicts), (3, 9, 5, 4));
    assert_eq!(read(&to).unwrap().header.unwrap().started_unix_s, 1000.0);
    assert_eq!(merged.notes.len(), 1, "{:?}", merged.notes);
    assert!(merged.notes[0].contains("has another seed, 8"), "{:?}", merged.notes);
    assert_eq!(answered(open(&to, Mode::Resume).unwrap().answers), [2, 1, 4, 3]);
    assert_eq!(ids(&first), ["S", "env", "a1", "a2", "S", "a3", "=1"], "those stay");
    assert!(matches!(merge(&[first, second], &to), Err(JournalError::Exists { .. })));
}

#[test]
fn copies_of_one_journal_that_went_on_merge_into_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let start = begun(&path("a"), 1000.0, 7, vec![vec![ended("a", 1, Status::Ok, 1.0)]]);
    fs::copy(&start, path("b")).unwrap();
    journal(&start, vec![ended("b", 2, Status::Ok, 2.0)]);
    journal(&path("b"), vec![ended("c", 3, Status::Ok, 3.0)]);
    let merged = merge(&[start, path("b")], &path("all")).unwrap();
    assert_eq!((merged.conflicts, merged.notes.len()), (0, 0));
    let all = ids(&path("all"));
    assert_eq!(all.iter().filter(|id| *id != "S").collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(answered(open(&path("all"), Mode::Resume).unwrap().answers).len(), 3);
}

#[test]
fn other_formats_and_scripts_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ours = begun(&path("a"), 1000.0, 7, vec![vec![]]);
    let text = fs::read_to_string(&ours).unwrap();
    fs::write(path("b"), text.replace("harness.journal/1", "harness.journal/2")).unwrap();
    let refusal = merge(&[ours.clone(), path("b")], &path("all"));
    assert!(matches!(refusal, Err(JournalError::OtherVersion { .. })), "{refusal:?}");
    fs::write(path("c"), text.replace("tiles.lua", "other.lua")).unwrap();
    let notes = merge(&[ours, path("c")], &path("all")).unwrap().notes;
    assert!(notes[0].ends_with("is of another script: other.lua, not tiles.lua"), "{notes:?}");
    assert!(refused(&path("b")).contains("its format is harness.journal/2"));
}
