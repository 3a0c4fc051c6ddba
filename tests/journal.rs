//! The journal against what happens to files: kills at any moment, torn tails, strangers, a full disk.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // starts itself anew, to be killed

#[path = "journal/draw.rs"]
mod draw;
#[path = "journal/index.rs"]
mod index;
#[path = "../src/stats/random.rs"]
#[allow(dead_code, reason = "no target draws all of it")]
mod random;
mod support;
#[path = "journal/upkeep.rs"]
mod upkeep;
#[path = "journal/versions.rs"]
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use draw::Random;
use harness::journal::{Answers, Journal, JournalError, JournalWriter, Mode, Opened, is_held, read};
use harness::model::{
    Hash, Header, JOURNAL_SCHEMA, Kind, MeasureSpec, Outcome, Record, Session, Status, TaskFacts,
};
use rustix::fs::{FlockOperation, flock};
use support::skip;

fn header() -> Header {
    Header {
        schema: JOURNAL_SCHEMA.into(),
        version: "0.1.0".into(),
        protocol: 1,
        campaign: "01ARYZ6S400000000000000000".into(),
        script: "tiles.lua".into(),
        script_hash: None,
        seed: u64::MAX,
        started_unix_s: 1.7e9,
    }
}

fn key(number: u64) -> Hash {
    Hash::of(&number.to_le_bytes())
}

fn facts(number: u64, kind: Kind) -> TaskFacts {
    TaskFacts {
        id: number.to_string(),
        campaign: header().campaign,
        trial: number,
        parent: None,
        kind,
        key: key(number),
        parts: None,
        program_at_end: None,
        content_key: None,
        name: None,
        params: None,
        search: None,
        limit_s: None,
        worker: None,
        slot: None,
        env: None,
        artefact: None,
        placement: None,
        cost: None,
        queue_s: None,
        started_unix_s: None,
        ended_unix_s: None,
        asked: None,
    }
}

fn record(number: u64, status: Status) -> Record {
    Record::of_task(facts(number, Kind::Exec), None, &Outcome::failed(status, "because"))
}

fn open(path: &Path, mode: Mode) -> Result<Opened, JournalError> {
    Journal::create_or_open(path, header(), Default::default(), mode)
}

/// Appends and closes; every token must have been reported.
fn append(mut writer: JournalWriter, records: impl IntoIterator<Item = (u64, Record)>) {
    let mut expected = Vec::new();
    for (token, record) in records {
        expected.push(token);
        writer.append(token, record);
    }
    let written: Vec<u64> = writer.close().into_iter().map(Result::unwrap).collect();
    assert_eq!(written, expected);
}

/// What is answered from it, in recorded order.
fn answers(answers: Answers) -> Vec<(TaskFacts, Outcome)> {
    let read = (0..answers.len()).map(|number| answers.read(number).unwrap());
    let in_order: BTreeMap<u64, Record> = read.collect();
    in_order.into_values().map(|record| record.into_task().unwrap()).collect()
}

/// The numbers of those.
fn answered(of: Answers) -> Vec<u64> {
    answers(of).into_iter().map(|(facts, _)| facts.trial).collect()
}

fn refused(path: &Path) -> String {
    match open(path, Mode::Resume) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string().replace(&*path.to_string_lossy(), "PATH"),
    }
}

#[test]
fn every_outcome_comes_back_as_it_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let mut random = Random(7);
    let outcomes: Vec<(Kind, Outcome)> = (0..500).map(|_| random.outcome()).collect();
    let spec = MeasureSpec::default();
    let records = outcomes.iter().zip(0..).map(|((kind, outcome), number)| {
        (number, Record::of_task(facts(number, *kind), Some(&spec), outcome))
    });
    append(open(&path, Mode::Resume).unwrap().writer, records);
    let opened = open(&path, Mode::Resume).unwrap();
    assert_eq!((opened.header, opened.notes.len()), (header(), 0));
    // Calls that gave functions among them, which answer nobody.
    let answers: Vec<_> = read(&path).unwrap().records.into_iter().filter_map(Record::into_task).collect();
    assert_eq!(answers.len(), 500);
    for (((_, outcome), (facts, answer)), number) in outcomes.iter().zip(&answers).zip(0..) {
        assert_eq!((facts.key, answer), (key(number), outcome), "outcome {number}");
    }
}

#[test]
fn only_finished_work_is_replayed_and_the_last_record_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let statuses = [
        Status::Ok,
        Status::NonzeroExit,
        Status::CompileFailed,
        Status::LostWorker,
        Status::Cancelled,
        Status::Skipped,
        Status::Refused,
        Status::SetupFailed,
    ];
    let mut records: Vec<_> =
        statuses.into_iter().zip(0..).map(|(status, n)| (n, record(n, status))).collect();
    // Recorded again: 3 succeeded at last, 0 was run once more and timed out.
    records.push((8, record(3, Status::Ok)));
    records.push((9, record(0, Status::Timeout)));
    append(open(&path, Mode::Resume).unwrap().writer, records);
    let answers = answers(open(&path, Mode::Resume).unwrap().answers);
    let answered: Vec<(u64, Status)> =
        answers.iter().map(|(facts, outcome)| (facts.trial, outcome.status)).collect();
    assert_eq!(
        answered,
        [(1, Status::NonzeroExit), (2, Status::CompileFailed), (3, Status::Ok), (0, Status::Timeout)],
        "recorded order, of the records that count"
    );
}

#[test]
fn a_tail_torn_anywhere_is_cut_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole");
    append(open(&path, Mode::Resume).unwrap().writer, (0..2).map(|n| (n, record(n, Status::Ok))));
    let whole = std::fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] == b'\n').map(|at| at + 1).collect();
    assert_eq!(ends.len(), 4, "header, session, two tasks");
    let torn = folder.path().join("torn");
    for length in 0..=whole.len() {
        std::fs::write(&torn, &whole[..length]).unwrap();
        let kept = ends.iter().copied().rfind(|&end| end <= length).unwrap_or(0);
        let live = read(&torn).unwrap();
        assert_eq!((live.length, live.torn), (kept as u64, (length - kept) as u64), "at {length}");
        let opened = open(&torn, Mode::Resume).unwrap();
        assert_eq!(opened.notes.len(), usize::from(kept != length), "at {length}: {:?}", opened.notes);
        if kept != length {
            let note = format!("cut off {} bytes of a last line", length - kept);
            assert!(opened.notes[0].contains(&note), "{}", opened.notes[0]);
        }
        let tasks = ends[2..].iter().filter(|&&end| end <= length).count();
        let Opened { writer, answers, .. } = opened;
        assert_eq!(answered(answers).len(), tasks, "at {length}");
        drop(writer);
        let mended = std::fs::read(&torn).unwrap();
        assert!(mended.starts_with(&whole[..kept]) && mended.ends_with(b"\n"), "at {length}");
        assert_eq!(read(&torn).unwrap().torn, 0, "at {length}");
    }
}

#[test]
fn what_comes_after_a_cut_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    append(open(&path, Mode::Resume).unwrap().writer, [(0, record(0, Status::Ok))]);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(b"{\"type\":\"task\",\"id\":\"to", length).unwrap();
    append(open(&path, Mode::Resume).unwrap().writer, [(1, record(1, Status::Ok))]);
    let opened = open(&path, Mode::Resume).unwrap();
    assert!(opened.notes.is_empty());
    assert_eq!(answered(opened.answers), [0, 1]);
}

#[test]
fn a_last_line_that_is_not_all_there_is_torn_and_all_else_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    append(open(&path, Mode::Resume).unwrap().writer, [(0, record(0, Status::Ok))]);
    let whole = std::fs::read(&path).unwrap();
    // What a power cut leaves on some file systems.
    std::fs::write(&path, [&whole[..], &[0; 100], b"\n"].concat()).unwrap();
    let opened = open(&path, Mode::Resume).unwrap();
    assert!(opened.notes[0].contains("cut off 101 bytes"), "{:?}", opened.notes);
    drop(opened);

    std::fs::write(&path, [&whole[..], b"{\"type\":\n", &whole[whole.len() / 2..]].concat()).unwrap();
    let before = std::fs::read(&path).unwrap();
    let text = refused(&path);
    assert!(text.starts_with("journal PATH: line 4 is damaged (EOF while parsing"), "{text}");
    assert!(text.contains("`harness journal check PATH` names all such lines"), "{text}");
    assert!(text.ends_with("begin anew with --fresh (the old journal is kept under another name)"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "what is damaged is left alone");

    // What has its end and no zeros is somebody's work, not a torn write, even at the end.
    std::fs::write(&path, [&whole[..], b"{\"typ\":\"end\"\n"].concat()).unwrap();
    assert!(refused(&path).contains("line 4 is damaged (EOF while parsing"), "{}", refused(&path));
    std::fs::write(&path, [&whole[..], b"{\"type\":\"note\"}\n"].concat()).unwrap();
    assert!(refused(&path).contains("line 4 is damaged (unknown variant `note`"), "{}", refused(&path));
}

#[test]
fn files_that_are_no_journal_of_this_version_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    for stranger in ["name,median\n", "a note without an end", "\n", "{\"type\":\"session\"}\n"] {
        std::fs::write(&path, stranger).unwrap();
        let text = refused(&path);
        assert!(text.contains("is no journal of harness"), "{stranger:?}: {text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), stranger);
    }
    std::fs::write(&path, "{\"type\":\"header\",\"schema\":\"harness.journal/2\",\"new\":1}\n").unwrap();
    let text = refused(&path);
    assert!(text.starts_with("journal PATH: its format is harness.journal/2, this harness"), "{text}");
    assert!(text.contains("uses harness.journal/1") && text.contains("--fresh"), "{text}");

    assert!(refused(folder.path()).contains("not a regular file"));
    assert!(refused(Path::new("/dev/null")).contains("not a regular file"));
    let text = refused(&folder.path().join("no/folder"));
    assert_eq!(
        text,
        "journal PATH: cannot create it: No such file or directory (os error 2); \
         create its folder, or name a file elsewhere with --journal"
    );
    let text = refused(&path.join("below-a-file"));
    assert!(text.contains("Not a directory") && text.contains("--journal"), "{text}");
}

#[test]
fn a_fresh_journal_keeps_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    for number in 0..3 {
        let opened = open(&path, Mode::Fresh).unwrap();
        assert_eq!(answered(opened.answers), [0; 0]);
        assert_eq!(opened.notes.len(), usize::from(number > 0));
        append(opened.writer, [(0, record(number, Status::Ok))]);
    }
    let trial = |name: &str| read(&folder.path().join(name)).unwrap().records[1].facts().unwrap().trial;
    assert_eq!([trial("j.1"), trial("j.2"), trial("j")], [0, 1, 2]);

    // Also the way out when the old one cannot be read.
    std::fs::write(&path, "garbage\n").unwrap();
    drop(open(&path, Mode::Fresh).unwrap());
    assert_eq!(std::fs::read_to_string(folder.path().join("j.3")).unwrap(), "garbage\n");
}

#[test]
fn a_second_writer_is_refused_and_told_who_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let first = open(&path, Mode::Resume).unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let expected = format!(
        "journal PATH: harness with pid {} on {host} is writing to it; \
         wait until it ends, or name another file with --journal",
        std::process::id()
    );
    assert_eq!(refused(&path), expected);
    assert!(matches!(open(&path, Mode::Fresh), Err(JournalError::Held { .. })), "moves nothing away either");
    assert_eq!(read(&path).unwrap().records.len(), 1, "readers are welcome");
    drop(first);
    drop(open(&path, Mode::Resume).unwrap());
    let sessions = read(&path).unwrap().records;
    assert!(sessions.iter().all(|record| matches!(record, Record::Session(Session { .. }))));
    assert_eq!(sessions.len(), 2);
}

/// `harness status` looks by a lock of its own, which is no reason to refuse who begins in that moment.
#[test]
fn who_only_looks_whether_it_is_written_to_refuses_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    drop(open(&path, Mode::Resume).unwrap());
    assert!(!is_held(&path).unwrap());
    let looker = std::fs::File::open(&path).unwrap();
    flock(&looker, FlockOperation::NonBlockingLockShared).unwrap();
    let writer = std::thread::scope(|scope| {
        let writer = scope.spawn(|| open(&path, Mode::Resume).map(|opened| opened.writer));
        std::thread::sleep(std::time::Duration::from_millis(50)); // it has tried by then, mostly
        drop(looker);
        writer.join().unwrap()
    });
    assert!(is_held(&path).unwrap());
    drop(writer.unwrap());
    assert!(!is_held(&path).unwrap());
}

#[test]
fn a_full_disk_is_said_and_the_file_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "harness-test"])
        .arg(folder.path())
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        return skip("mounting a small file system needs root");
    }
    let _unmount = Unmount(folder.path());
    let path = folder.path().join("j");
    let mut writer = open(&path, Mode::Resume).unwrap().writer;
    for token in 0..500 {
        writer.append(token, record(token, Status::Ok));
    }
    let news = writer.close();
    let written: Vec<u64> = news.iter().filter_map(|news| news.as_ref().ok().copied()).collect();
    let lost: Vec<_> = news.iter().filter_map(|news| news.as_ref().err()).collect();
    assert!(!written.is_empty() && !lost.is_empty(), "{} written, {} lost", written.len(), lost.len());
    assert_eq!(written.len() + lost.len(), 500);
    assert!(lost[0].reason.contains("No space left on device"), "{}", lost[0]);
    assert!(lost[0].reason.contains("free some space and run the script again"), "{}", lost[0]);

    let contents = read(&path).unwrap();
    assert_eq!(contents.torn, 0, "the partial line was cut off");
    let there: Vec<u64> =
        contents.records.iter().filter_map(Record::facts).map(|facts| facts.trial).collect();
    assert_eq!(there, written, "reported is what is there, neither more nor less");

    // A journal that cannot even be begun leaves nothing that looks like one.
    let rest = std::fs::File::create(folder.path().join("rest")).unwrap();
    while (&rest).write(&[0; 4096]).is_ok_and(|bytes| bytes > 0) {}
    let second = folder.path().join("second");
    let text = refused(&second);
    assert!(text.contains("cannot write to it: No space left on device"), "{text}");
    assert_eq!(std::fs::metadata(&second).unwrap().len(), 0);

    // Once room is made it goes on from what is there.
    let more = Command::new("mount").args(["-o", "remount,size=1m"]).arg(folder.path()).status();
    assert!(more.unwrap().success());
    let opened = open(&path, Mode::Resume).unwrap();
    assert_eq!((answered(opened.answers), opened.notes.len()), (written.clone(), 0));
    append(opened.writer, [(600, record(600, Status::Ok))]);
    let all: Vec<u64> = written.into_iter().chain([600]).collect();
    assert_eq!(answered(open(&path, Mode::Resume).unwrap().answers), all);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

const CHILD: &str = "HARNESS_TEST_JOURNAL";

/// The process the next test kills; does nothing by itself. Prints each token once it is reported as written.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut writer = open(Path::new(&path), Mode::Resume).unwrap().writer;
    let stdout = std::io::stdout();
    let mut tokens = 0u64..;
    loop {
        for token in tokens.by_ref().take(7) {
            writer.append(token, record(u64::from(std::process::id()) << 32 | token, Status::Ok));
        }
        let mut fds = [rustix::event::PollFd::new(&writer, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
        for token in writer.written() {
            // A closed pipe: the parent is gone, and so are we.
            if writeln!(stdout.lock(), "token {}", token.unwrap()).is_err() {
                return;
            }
        }
    }
}

#[test]
fn a_kill_loses_nothing_that_was_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let mut random = Random(3);
    let mut reported: Vec<u64> = Vec::new();
    for _ in 0..25 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let pid = u64::from(child.id());
        let mut enough = 1 + random.below(400);
        let mut line = String::new();
        while enough > 0 {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the child ended by itself");
            enough -= u64::from(note(&line, pid, &mut reported));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had printed before the kill counts too; a torn last line does not.
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        for line in rest.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            note(line, pid, &mut reported);
        }
    }
    let answered: BTreeSet<u64> = answered(open(&path, Mode::Resume).unwrap().answers).into_iter().collect();
    for number in &reported {
        assert!(answered.contains(number), "{number} was reported as written");
    }
    assert!(reported.len() > 25, "{} reported", reported.len());
}

fn note(line: &str, pid: u64, reported: &mut Vec<u64>) -> bool {
    let token = line.strip_prefix("token ").and_then(|token| token.trim_end().parse::<u64>().ok());
    reported.extend(token.map(|token| pid << 32 | token));
    token.is_some()
}
