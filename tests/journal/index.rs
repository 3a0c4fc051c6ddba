//! The index beside a long journal: used where it is right, noticed where it is not, and never missed.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use harness::journal::{Answers, Mode, read};
use harness::model::{Env, Kind, Outcome, Record, State, Status};

use crate::{answered, append, facts, open, refused};

/// Longer than what is read rather than indexed (8 MiB).
const RECORDS: u64 = 120;

fn long_record(number: u64, status: Status) -> Record {
    let reason = "x".repeat(100_000);
    Record::of_task(facts(number, Kind::Exec), None, &Outcome::failed(status, reason))
}

fn state(value: u64) -> Record {
    Record::State(State { name: "s".into(), value: value.into(), saved_unix_s: 1.0 })
}

/// A journal with an index.
fn long(path: &Path) -> PathBuf {
    let records = (0..RECORDS).map(|number| (number, long_record(number, Status::Ok)));
    append(open(path, Mode::Resume).unwrap().writer, records);
    let index = index_of(path);
    assert!(index.is_file());
    index
}

fn index_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".index");
    name.into()
}

fn all() -> Vec<u64> {
    (0..RECORDS).collect()
}

/// Overwrites a byte of the line with this number, from 1.
fn damage(path: &Path, line: usize) {
    let text = fs::read(path).unwrap();
    let begins = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let begin = begins.take(line - 1).last().unwrap();
    File::options().write(true).open(path).unwrap().write_all_at(b"}", begin as u64).unwrap();
}

#[test]
fn a_long_journal_opens_by_its_index_and_what_is_damaged_meanwhile_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let index = long(&path);
    // Header, session, then the records: line 10 is number 7.
    damage(&path, 10);
    let opened = open(&path, Mode::Resume).unwrap();
    let there: Vec<bool> =
        (0..opened.answers.len()).map(|number| opened.answers.read(number).is_some()).collect();
    assert_eq!((there.len(), there.iter().filter(|there| !**there).count()), (RECORDS as usize, 1));
    let seventh = opened.answers.find(&crate::key(7)).unwrap();
    assert!(!there[seventh]);
    drop(opened);
    // Without it everything is read.
    fs::remove_file(&index).unwrap();
    assert!(refused(&path).contains("line 10 is damaged"), "{}", refused(&path));
}

#[test]
fn who_may_read_the_journal_may_read_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    let index = long(&path);
    assert_eq!((mode(&path), mode(&index)), (0o600, 0o600));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    fs::remove_file(&index).unwrap();
    drop(open(&path, Mode::Resume).unwrap());
    assert_eq!(mode(&index), 0o640);
}

#[test]
fn an_index_that_is_wrong_in_any_way_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("j"), folder.path().join("other"));
    let index = long(&path);
    let whole = fs::read(&index).unwrap();
    append(open(&other, Mode::Resume).unwrap().writer, [(0, crate::record(5, Status::Ok))]);
    long(&other);
    let of_other = fs::read(index_of(&other)).unwrap();
    let flipped = |at: usize| {
        let mut text = whole.clone();
        text[at] ^= 1;
        text
    };
    let mut wrong: Vec<Vec<u8>> = [0, 5, 24, 30, 60, whole.len() - 1].map(|at| whole[..at].to_vec()).into();
    wrong.extend([22, 24, 32, 50, whole.len() / 2, whole.len() - 1].map(flipped));
    wrong.push(of_other);
    wrong.push([&whole[..], b"more"].concat());
    for (number, text) in wrong.iter().enumerate() {
        fs::write(&index, text).unwrap();
        let opened = open(&path, Mode::Resume).unwrap();
        assert_eq!(opened.notes, [""; 0], "{number}");
        assert_eq!(answered(opened.answers), all(), "{number}");
        drop(opened.writer);
        let mended = fs::read(&index).unwrap();
        assert!(mended.starts_with(b"harness.journal.index/5\n") && mended.len() > 1000, "{number}");
        // And it is right: what is damaged behind its back is not seen.
        let before = fs::read(&path).unwrap();
        damage(&path, 10);
        drop(open(&path, Mode::Resume).unwrap());
        fs::write(&path, before).unwrap();
    }
}

#[test]
fn a_journal_that_was_changed_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let index = long(&path);
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for gone in [2, 60, lines.len() - 1] {
        let rest: String =
            lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| *line).collect();
        fs::write(&path, rest).unwrap();
        let left: Vec<u64> = all().into_iter().filter(|number| *number + 2 != gone as u64).collect();
        assert_eq!(answered(open(&path, Mode::Resume).unwrap().answers), left, "without line {gone}");
    }
    // Cut down to what needs none.
    fs::write(&path, lines[..5].concat()).unwrap();
    assert_eq!(answered(open(&path, Mode::Resume).unwrap().answers), [0, 1, 2]);
    assert!(!index.exists());
}

#[test]
fn the_last_record_counts_in_the_index_and_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let env = Env { cpu_model: Some("x".into()), ..Env::default() }.named();
    let first = [(500, Record::Env(Box::new(env.clone()))), (501, state(1)), (502, state(2))];
    append(open(&path, Mode::Resume).unwrap().writer, first);
    long(&path);
    let opened = open(&path, Mode::Resume).unwrap();
    assert_eq!(opened.answers.states().get("s"), Some(&2.into()));
    assert_eq!(opened.answers.envs().get(&env.id.unwrap()), Some(&env));
    let later =
        [(600, long_record(3, Status::LostWorker)), (601, long_record(4, Status::Timeout)), (602, state(3))];
    append(opened.writer, later);
    let opened = open(&path, Mode::Resume).unwrap();
    let expected: Vec<u64> = all().into_iter().filter(|number| ![3, 4].contains(number)).chain([4]).collect();
    assert_eq!(answered(opened.answers), expected);
    append(opened.writer, (0..RECORDS).map(|number| (number, long_record(number, Status::Ok))));
    let opened = open(&path, Mode::Resume).unwrap();
    assert_eq!(opened.answers.states().get("s"), Some(&3.into()));
    assert_eq!(answered(opened.answers), all());
    // The numbers of lines are those of the file, read or not.
    drop(opened.writer);
    let text = fs::read(&path).unwrap();
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    fs::write(&path, [&text[..], b"{}\n{}\n"].concat()).unwrap();
    assert!(refused(&path).contains(&format!("line {} is damaged", lines + 1)), "{}", refused(&path));
}

#[test]
fn short_journals_have_no_index_and_what_is_somebody_elses_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    append(open(&path, Mode::Resume).unwrap().writer, [(0, crate::record(0, Status::Ok))]);
    assert!(!index_of(&path).exists());
    fs::write(index_of(&path), "mine").unwrap();
    let records = (0..RECORDS).map(|number| (number, long_record(number, Status::Ok)));
    append(open(&path, Mode::Resume).unwrap().writer, records);
    assert_eq!(answered(open(&path, Mode::Resume).unwrap().answers), all());
    assert_eq!(fs::read_to_string(index_of(&path)).unwrap(), "mine");
}

/// Somebody may be writing to both: then a piece would be torn, or belong to another journal.
#[test]
fn who_only_looks_neither_removes_an_index_nor_makes_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let index = long(&path);
    fs::remove_file(&index).unwrap();
    assert_eq!(answered(Answers::of(&path).unwrap()), all());
    assert!(!index.exists());
    fs::write(&index, "harness.journal.index/1\n").unwrap();
    assert_eq!(answered(Answers::of(&path).unwrap()), all());
    assert_eq!(fs::read_to_string(&index).unwrap(), "harness.journal.index/1\n");
}

#[test]
fn a_fresh_journal_has_nothing_of_the_index_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let index = long(&path);
    let opened = open(&path, Mode::Fresh).unwrap();
    assert!(opened.answers.is_empty() && !index.exists());
    drop(opened);
    assert_eq!(read(&path).unwrap().records.len(), 1);
}
