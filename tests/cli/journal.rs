//! `harness journal`: what is said of a journal, and what becomes of it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{FlockOperation, flock};

use crate::says;
use crate::support::{Folder, skip};

/// A journal in which a task was recorded twice: the first time its worker was lost.
fn twice() -> Folder {
    let folder = Folder::with(
        "local pool <close> = spawn { slots = 1 }
        for n = 1, 4 do await(submit(exec { name = 'e', key = tostring(n), cmd = { 'true' } })) end",
    );
    let ran = folder.run(&["-q", "--start", "local", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = folder.read("c.lua.journal");
    let lost = |line: &str| {
        line.replace("\"status\":\"ok\"", "\"status\":\"lost_worker\"").replace("\"id\":\"0", "\"id\":\"00")
    };
    let lines = text.split_inclusive('\n');
    let with_lost: String = lines
        .map(|line| match line.contains("\"trial\":1,") {
            true => lost(line) + line,
            false => line.to_owned(),
        })
        .collect();
    folder.write("c.lua.journal", with_lost);
    folder
}

#[test]
fn what_is_of_another_journal_or_format_is_no_record_of_this_one() {
    let folder =
        Folder::with("await(submit(measure { name = 'm', cmd = { 'true' }, runs = 1, exclusive = false }))");
    let ran = folder.run(&["-q", "--start", "local", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = folder.read("c.lua.journal");
    let lines = text.lines().count();
    folder.write("two.journal", text.repeat(2));
    folder.write("new.journal", text.replace("harness.measurement/1", "harness.measurement/2"));
    let second =
        "another journal begins there; of two in files of their own `harness journal merge` makes one";
    let later =
        "its format is harness.measurement/2, this harness uses harness.journal/1 and harness.measurement/1";
    for (journal, why, line) in
        [("two.journal", second, format!("line {}", lines + 1)), ("new.journal", later, String::new())]
    {
        let checked = folder.run(&["journal", "check", journal]);
        assert!(
            checked.code == Some(4) && format!("{}{}", checked.stdout, checked.stderr).contains(why),
            "{checked:#?}"
        );
        let shown = folder.run(&["show", journal]);
        assert!(
            shown.code == Some(4) && shown.stderr.contains(why) && shown.stderr.contains(&line),
            "{shown:#?}"
        );
    }
}

/// The link stays one, and leads to what took the journal's place.
#[test]
fn a_journal_behind_a_link_is_written_anew_where_it_is() {
    let folder = twice();
    fs::create_dir(folder.path("big")).unwrap();
    fs::rename(folder.path("c.lua.journal"), folder.path("big/real")).unwrap();
    std::os::unix::fs::symlink("big/real", folder.path("c.lua.journal")).unwrap();
    let is_link = || fs::symlink_metadata(folder.path("c.lua.journal")).unwrap().is_symlink();
    let compacted = folder.run(&["journal", "compact", "c.lua"]);
    assert!(compacted.code == Some(0) && is_link() && folder.path("big/real.1").exists(), "{compacted:#?}");
    let fresh = folder.run(&["-q", "--start", "local", "--fresh", "c.lua"]);
    assert!(fresh.code == Some(0) && is_link() && folder.path("big/real.2").exists(), "{fresh:#?}");
}

#[test]
fn a_journal_is_checked_and_compacted() {
    let folder = twice();
    let before = folder.read("c.lua.journal");
    let checked = "\
DIR/c.lua.journal: 5 records of 1 run, harness.journal/1: whole
  1 line is superseded; `harness journal compact DIR/c.lua.journal` leaves it out
";
    says(&folder, &["journal", "check", "c.lua"], 0, checked, "");
    let compacted = folder.run(&["journal", "compact"]);
    let said = folder.normal(&compacted.stdout);
    assert!(said.starts_with("DIR/c.lua.journal: 1 line left out, 7 kept; "), "{said}");
    assert!(said.ends_with("; the old one is DIR/c.lua.journal.1\n"), "{said}");
    assert_eq!(folder.read("c.lua.journal.1"), before);
    let nothing = "c.lua.journal: nothing is superseded in its 7 lines; it stays as it is\n";
    says(&folder, &["journal", "compact", "c.lua.journal"], 0, nothing, "");
    let again = folder.run(&["--start", "local", "c.lua"]);
    assert!(again.stderr.contains("4 tasks (4 from the journal): 4 ok"), "{again:?}");
}

fn mode(folder: &Folder, name: &str) -> u32 {
    fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn journals_and_traces_are_for_their_user_alone() {
    let folder = Folder::with("await(submit(exec { key = 'k', cmd = { 'true' } }))");
    let command = folder.harness_after("umask 000", &["-q", "--start", "local", "--trace", "t", "c.lua"]);
    let ran = folder.finish(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((mode(&folder, "c.lua.journal"), mode(&folder, "t")), (0o600, 0o600));
}

#[test]
fn a_journal_that_others_may_read_stays_so() {
    let folder = twice();
    fs::set_permissions(folder.path("c.lua.journal"), Permissions::from_mode(0o644)).unwrap();
    let ran = folder.run(&["-q", "--start", "local", "c.lua"]);
    assert_eq!((ran.code, mode(&folder, "c.lua.journal")), (Some(0), 0o644), "{ran:?}");
    let compacted = folder.run(&["journal", "compact", "c.lua.journal"]);
    assert_eq!((compacted.code, mode(&folder, "c.lua.journal")), (Some(0), 0o644), "{compacted:?}");
    let merged =
        folder.run(&["journal", "merge", "c.lua.journal", "c.lua.journal.1", "-o", "merged.journal"]);
    assert_eq!((merged.code, mode(&folder, "merged.journal")), (Some(0), 0o644), "{merged:?}");
}

#[test]
fn what_is_damaged_is_named_and_how_to_go_on_without_it() {
    let folder = twice();
    let text = folder.read("c.lua.journal");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let damaged: String = lines
        .iter()
        .enumerate()
        .map(|(at, line)| match at {
            4 | 5 => "{\"type\":\"tusk\"}\n",
            7 => "no JSON\n",
            _ => line,
        })
        .collect();
    folder.write("c.lua.journal", damaged.clone() + "{\"type\":\"task");
    let checked = "\
c.lua.journal: 2 records of 1 run, harness.journal/1: 3 damaged lines
  line 5: unknown variant `tusk`, expected one of `header`, `session`, `end`, `env`, `artefact`, `state`, `answered`, `measurement`, `task` \
at line 1 column 6 (`type`)
  line 6: unknown variant `tusk`, expected one of `header`, `session`, `end`, `env`, `artefact`, `state`, `answered`, `measurement`, `task` \
at line 1 column 6 (`type`)
  line 8: expected ident at line 1 column 2
  behind the last line 13 B that were not written completely: the next run cuts them off
mend them, or go on without them (what they recorded is done again; the old file stays as ….damaged):
  sed -i.damaged '5,6d;8d' c.lua.journal
";
    let ran = says(&folder, &["journal", "check", "c.lua.journal"], 4, checked, "");
    let refusal = "harness: journal: journal c.lua.journal: line 5 is damaged (unknown variant `tusk`, expected one of \
                   `header`, `session`, `end`, `env`, `artefact`, `state`, `answered`, `measurement`, `task` at line 1 column 6 (`type`)): mend or remove \
                   that line in a copy, and name the copy; `harness journal check c.lua.journal` names all such lines\n";
    says(&folder, &["journal", "compact", "c.lua.journal"], 4, "", refusal);
    // What it says works.
    let line = ran.stdout.lines().last().unwrap().trim();
    let sed = std::process::Command::new("sh").args(["-c", line]).current_dir(folder.path(".")).status();
    assert!(sed.unwrap().success());
    assert!(folder.read("c.lua.journal.damaged").starts_with(&damaged));
    let again = folder.run(&["--start", "local", "c.lua"]);
    assert!(again.stderr.contains("4 tasks (2 from the journal): 4 ok"), "{again:?}");
}

/// The index of a long journal is not asked whether the lines are good.
#[test]
fn a_record_that_is_damaged_behind_the_index_is_asked_for_anew_and_that_is_said() {
    let folder = twice();
    let padding = format!("{{\"padding\":\"{}\",\"type\":\"task\",", "x".repeat(3 << 20));
    folder.write("c.lua.journal", folder.read("c.lua.journal").replace("{\"type\":\"task\",", &padding));
    let all = folder.run(&["--start", "local", "c.lua"]);
    assert!(all.stderr.contains("4 tasks (4 from the journal): 4 ok"), "{all:?}");
    assert!(folder.path("c.lua.journal.index").exists());
    let damaged = folder.read("c.lua.journal").replacen("\"trial\":0", "\"trial\":O", 1);
    folder.write("c.lua.journal", damaged);
    let again = folder.run(&["--start", "local", "c.lua"]);
    assert!(again.stderr.contains("4 tasks (3 from the journal): 4 ok"), "{again:?}");
    let said = "harness: 1 record of the journal was damaged since it was written, asked anew; `harness journal check` \
                says which lines they are\n";
    assert!(again.stderr.contains(said), "{again:?}");
    let checked = folder.run(&["journal", "check"]);
    assert!(checked.code == Some(4) && checked.stdout.contains(": 1 damaged line\n"), "{checked:?}");
}

#[test]
fn a_journal_that_is_written_to_is_not_compacted() {
    let folder = twice();
    let journal = File::open(folder.path("c.lua.journal")).unwrap();
    flock(&journal, FlockOperation::NonBlockingLockExclusive).unwrap();
    let damaged = folder.read("c.lua.journal").replacen("{\"type\":\"task", "{\"type\":\"tusk", 1);
    let whole = folder.read("c.lua.journal");
    folder.write("c.lua.journal", damaged);
    let checked = folder.run(&["journal", "check"]);
    let text = "\nharness with pid N on HOST is writing to it: wait until it ends, and check again; what mends it would lose what \
                is recorded meanwhile\n";
    assert_eq!(checked.code, Some(4), "{checked:?}");
    assert!(folder.normal(&checked.stdout).ends_with(text) && !checked.stdout.contains("sed"), "{checked:?}");
    folder.write("c.lua.journal", whole);
    let held = "harness: journal: journal DIR/c.lua.journal: harness with pid N on HOST is writing to it: wait until it ends\n";
    says(&folder, &["journal", "compact", "c.lua"], 4, "", held);
    let none = "harness: journal: there is neither a script d.lua nor its journal d.lua.journal\n";
    says(&folder, &["journal", "check", "d.lua"], 2, "", none);
}

/// One that was killed half-way leaves a file that nobody has locked; one that is at work has.
#[test]
fn what_a_killed_compact_left_is_removed_by_the_next() {
    let folder = twice();
    for name in [
        "c.lua.journal.new.Ab3xYz",
        "c.lua.journal.new.inwork",
        "c.lua.journal.new.longer-name",
        "d.journal.new.Ab3xYz",
    ] {
        folder.write(name, "half");
    }
    let at_work = File::open(folder.path("c.lua.journal.new.inwork")).unwrap();
    flock(&at_work, FlockOperation::NonBlockingLockExclusive).unwrap();
    let left = || {
        let names = std::fs::read_dir(folder.path(".")).unwrap().flatten().map(|entry| entry.file_name());
        let mut left: Vec<_> =
            names.map(|name| name.into_string().unwrap()).filter(|name| name.contains(".new.")).collect();
        left.sort();
        left
    };
    let compacted = folder.run(&["journal", "compact"]);
    let text =
        "harness: removed 1 file that a `harness journal` left beside DIR/c.lua.journal when it was killed\n";
    assert_eq!((compacted.code, folder.normal(&compacted.stderr).as_str()), (Some(0), text), "{compacted:?}");
    assert_eq!(left(), ["c.lua.journal.new.inwork", "c.lua.journal.new.longer-name", "d.journal.new.Ab3xYz"]);
}

#[test]
fn journals_of_several_jobs_become_one_that_answers_for_all() {
    let folder = Folder::with(
        "local pool <close> = spawn { slots = 1 }
        for n = tonumber(arg[1]), tonumber(arg[2]) do await(submit(exec { key = tostring(n), cmd = { 'true' } })) end",
    );
    for (journal, from, to) in [("a", "1", "3"), ("b", "3", "5")] {
        let ran =
            folder.run(&["-q", "--seed", "1", "--start", "local", "--journal", journal, "c.lua", from, to]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let merged = "\
c.lua.journal: 10 lines of 2 runs; 2 left out: others have the same, or a later record of the task
1 task was in several journals, and not alike: what ended last counts, and what failed for reasons outside the program \
only if it never ended otherwise
";
    says(&folder, &["journal", "merge", "a", "b", "-o", "c.lua.journal"], 0, merged, "");
    let again = folder.run(&["--start", "local", "c.lua", "1", "5"]);
    assert!(again.stderr.contains("5 tasks (5 from the journal): 5 ok"), "{again:?}");
    let there =
        "harness: journal: journal c.lua.journal: there is something of this name already; name a new file\n";
    says(&folder, &["journal", "merge", "a", "b", "-o", "c.lua.journal"], 4, "", there);
}

/// Full while it runs: what was reported is there, and once there is room the same line goes on.
#[test]
fn a_campaign_on_a_full_disk_stops_in_order_and_goes_on_once_there_is_room() {
    let folder = Folder::with(
        "local pool <close> = spawn { slots = 1 }
        for n = 1, 40 do await(submit(exec { key = tostring(n), shell = 'head -c 4000 /dev/zero | tr \"\\\\0\" x' })) end",
    );
    std::fs::create_dir(folder.path("small")).unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "harness-test"])
        .arg(folder.path("small"))
        .stderr(std::process::Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        return skip("mounting a small file system needs root");
    }
    let _unmount = Unmount(folder.path("small"));
    let args = ["--start", "local", "--journal", "small/j", "c.lua"];
    let full = folder.run(&args);
    assert_eq!(full.code, Some(4), "{full:?}");
    assert!(full.stderr.contains("journal small/j: cannot write to it: No space left on device"), "{full:?}");
    assert!(full.stderr.contains("once that is mended, the same command goes on from there"), "{full:?}");
    let checked = folder.run(&["journal", "check", "small/j"]);
    assert!(checked.code == Some(0) && checked.stdout.contains(": whole"), "{checked:?}");
    let recorded = folder.journal("small/j").iter().filter(|line| line["type"] == "task").count();
    assert!((1..40).contains(&recorded), "{recorded}");
    let mut more = std::process::Command::new("mount");
    assert!(more.args(["-o", "remount,size=4m"]).arg(folder.path("small")).status().unwrap().success());
    let again = folder.run(&args);
    assert!(again.stderr.contains(&format!("40 tasks ({recorded} from the journal): 40 ok")), "{again:?}");
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn what_is_no_journal_is_not_set_aside_for_a_fresh_one() {
    let script = "print 'hello'\n";
    let folder = Folder::with(script);
    let ran = folder.run(&["--fresh", "--journal", "c.lua", "c.lua"]);
    assert_eq!(ran.code, Some(4), "{ran:#?}");
    assert!(ran.stderr.contains("this is no journal of harness"), "{ran:#?}");
    assert_eq!((folder.read("c.lua").as_str(), folder.path("c.lua.1").exists()), (script, false));
}
