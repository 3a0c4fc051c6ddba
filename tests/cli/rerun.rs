//! `harness rerun`: a measurement once more from its record alone. What programs print is what counts here, so that
//! nothing depends on how fast this machine is.

use std::os::unix::fs::PermissionsExt;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::said;
use crate::support::{Folder, Ran};

/// What it measures is in the file `value`.
const PRINTS: &str = "
local pool <close> = spawn { slots = 1, env = { PREFIX = 'x' } }
local function m(name, params, options)
  options.name, options.params, options.objective = name, params, 'x'
  options.cmd, options.metrics = { 'sh', '-c', 'echo \"$PREFIX$MIDDLE $(cat value)\"' }, { x = 'x: ([%d.]+)' }
  options.env = { MIDDLE = ':' }
  return submit(measure(options))
end
m('plain', nil, { runs = 8 })
m('tiled', { tile = 8 }, { runs = 3, warmup = 0, exclusive = false })
m('tiled', { tile = 16 }, { runs = 3, warmup = 0, verify = { stdout = 'x: 10\\n', every = true } })
";

fn measured(script: &str) -> Folder {
    let folder = Folder::with(script);
    folder.write("value", "10\n");
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    folder
}

fn rerun(folder: &Folder, args: &[&str]) -> Ran {
    folder.run(&[&["rerun"], args].concat())
}

fn measurements(folder: &Folder) -> Vec<Value> {
    let records = folder.journal("c.lua.journal").into_iter();
    records.filter(|record| record["type"] == "measurement").collect()
}

#[track_caller]
fn refused(folder: &Folder, args: &[&str], code: i32, stderr: &str) {
    let before = measurements(folder).len();
    said(folder, rerun(folder, args), code, "", stderr);
    assert_eq!(measurements(folder).len(), before, "nothing ran");
}

/// Changes the records of a journal.
fn edit(folder: &Folder, change: impl Fn(&mut Value)) {
    // The header's fields have an order.
    let mut text = folder.read("c.lua.journal").lines().next().unwrap().to_owned() + "\n";
    for mut record in folder.journal("c.lua.journal").into_iter().skip(1) {
        change(&mut record);
        text += &format!("{record}\n");
    }
    folder.write("c.lua.journal", text);
}

#[test]
fn what_is_measured_again_agrees_and_the_old_record_still_answers() {
    let folder = measured(PRINTS);
    let ran = rerun(&folder, &["plain"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(folder.normal(&ran.stderr), "harness: again: plain, measured TIME ago on HOST\n");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let figures = "median 10.00, 95 % CI [10.00, 10.00], n = 8, fixed";
    assert!(lines[1].starts_with(&format!("  then:   {figures}")), "{ran:#?}");
    assert!(lines[2].starts_with(&format!("  now:    {figures}")), "{ran:#?}");
    assert_eq!(lines[3], "  ratio:  1.000, between 1.000 and 1.000; above 1 is better now");
    assert_eq!(lines.last(), Some(&"agrees: the intervals overlap"));

    let records = measurements(&folder);
    let (then, now) = (&records[0], &records[3]);
    assert_eq!((records.len(), &now["parent"]), (4, &then["id"]));
    assert_ne!(then["key"], now["key"]);
    for field in ["name", "argv", "cwd", "env_delta", "objective", "phase", "host"] {
        assert_eq!(then[field], now[field], "{field}");
    }
    let sessions = folder.journal("c.lua.journal").into_iter().filter(|record| record["type"] == "session");
    assert_eq!(
        sessions.map(|session| session["repeats"].as_bool()).collect::<Vec<_>>(),
        [Some(false), Some(true)]
    );
    let again = folder.run(&["c.lua"]);
    assert!(again.stderr.starts_with("harness: 3 tasks (3 from the journal): 3 ok\n"), "{again:?}");
    let status = folder.run(&["status"]);
    assert!(status.stdout.contains("recorded: 3 ok (3 measures)"), "{status:?}");
    // By its own key it can be repeated too, as often as one likes.
    let key = now["key"].as_str().unwrap();
    for records in 5..7 {
        assert_eq!(rerun(&folder, &[key]).code, Some(0));
        assert_eq!(measurements(&folder).len(), records);
    }
}

#[test]
fn what_does_not_agree_has_an_exit_code_of_its_own() {
    let folder = measured(PRINTS);
    folder.write("value", "12.5\n");
    let ran = rerun(&folder, &["plain", "c.lua"]);
    let verdict = "does not agree: the intervals do not overlap; now 25 % higher, which is worse";
    assert_eq!((ran.code, ran.stdout.lines().last()), (Some(5), Some(verdict)), "{ran:#?}");
    let ran = rerun(&folder, &["tiled tile=8", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &report["agrees"]), (Some(6), &Value::Null), "{ran:#?}");
    assert_eq!(report["then"]["figures"]["is_interval"], false);
    assert_eq!(report["ratio"]["median"], 0.8, "above 1 it would be better");
    // The checks are those of the record.
    let ran = rerun(&folder, &["tiled tile=16"]);
    let verdict = "does not agree: it ended verify_failed, and ok then";
    assert_eq!((ran.code, ran.stdout.lines().last()), (Some(5), Some(verdict)), "{ran:#?}");
    // And what failed then fails again.
    let failed = measurements(&folder).last().unwrap()["key"].as_str().unwrap().to_owned();
    let ran = rerun(&folder, &[&failed[..12]]);
    assert_eq!(
        (ran.code, ran.stdout.lines().last()),
        (Some(0), Some("agrees: verify_failed again")),
        "{ran:#?}"
    );
    folder.write("value", "10.05\n");
    let ran = rerun(&folder, &["plain"]);
    let verdict = "agrees: the intervals do not overlap, but are less than 1 % apart";
    assert_eq!((ran.code, ran.stdout.lines().last()), (Some(0), Some(verdict)), "{ran:#?}");
    assert_eq!(rerun(&folder, &["--min-effect", "0.001", "plain"]).code, Some(5));
}

#[test]
fn ranks_and_what_runs_around_the_runs_are_those_of_the_record() {
    let folder = measured(
        "local pool <close> = spawn { slots = 4 }
        await(submit(measure { name = 'ranks', runs = 7, launcher = 'env R={ranks}', nodes = 1, ranks = 3,
          cmd = { 'sh', '-c', 'echo $R' }, metrics = { r = '(%d)' }, objective = 'r', timeout = 30 }))
        await(submit(measure { name = 'hooks', runs = 7, warmup = 0, cmd = { 'cat' }, stdin = 'x 4', metrics = { x = 'x (%d)' },
          objective = 'x', setup = 'echo s >> around', prepare = { 'sh', '-c', 'echo p >> around' } }))",
    );
    let around = folder.lines("around");
    for name in ["ranks", "hooks"] {
        let ran = rerun(&folder, &[name]);
        assert_eq!(
            (ran.code, ran.stdout.lines().last()),
            (Some(0), Some("agrees: the intervals overlap")),
            "{ran:#?}"
        );
    }
    assert_eq!((around, folder.lines("around")), (8, 16));
    let records = measurements(&folder);
    for field in ["ranks", "launcher_argv", "limit_s", "stdin_hash", "asked"] {
        assert_eq!(
            (&records[0][field], &records[1][field]),
            (&records[2][field], &records[3][field]),
            "{field}"
        );
    }
}

#[test]
fn one_that_is_not_clear_is_not_guessed() {
    let folder = measured(PRINTS);
    let ran = rerun(&folder, &["tiled"]);
    let says = "harness: rerun: which `tiled`? 2 measurements could be meant; give the beginning of a key:\n";
    assert!(ran.code == Some(2) && ran.stderr.starts_with(says), "{ran:#?}");
    let keys: Vec<&str> =
        ran.stderr.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(rerun(&folder, &[keys[1]]).code, Some(0));
    let ran = rerun(&folder, &["plian"]);
    let says = "harness: rerun: there is no measurement `plian` (did you mean `plain`?); there are\n";
    assert!(ran.code == Some(2) && ran.stderr.starts_with(says), "{ran:#?}");
    let turned = "harness: rerun: the measurement comes before its campaign: `harness rerun plain c.lua`\n";
    said(&folder, rerun(&folder, &["c.lua", "plain"]), 2, "", turned);
    let none =
        "harness: rerun: there is no DIR/d.lua.journal; a campaign has a journal once it was started\n";
    folder.write("d.lua", "");
    said(&folder, rerun(&folder, &["plain", "d.lua"]), 2, "", none);
    let journal = std::fs::File::open(folder.path("c.lua.journal")).unwrap();
    flock(&journal, FlockOperation::LockExclusive).unwrap();
    let held =
        "harness: rerun: harness with pid N on HOST is writing to DIR/c.lua.journal: wait until it ends\n";
    refused(&folder, &["plain", "c.lua"], 4, held);
}

#[test]
fn a_program_file_that_was_changed_is_told_and_with_same_program_not_measured() {
    let folder = Folder::with(
        "submit(measure { name = 'm', runs = 7, cmd = { './prog' }, metrics = { x = 'x: (%d+)' }, objective = 'x' })",
    );
    let program = |text: &str| {
        folder.write("prog", format!("#!/bin/sh\necho x: 10 {text}\n"));
        std::fs::set_permissions(folder.path("prog"), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("as it was");
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    assert_eq!(rerun(&folder, &["--same-program", "m"]).code, Some(0));
    program("another");
    let says = "harness: rerun: m: its program file was changed since, or removed: what is there now is not what was measured \
                (--same-program)\n";
    refused(&folder, &["--same-program", "m"], 2, says);
    let ran = rerun(&folder, &["m"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("\n  the program file: "), "{ran:#?}");
    std::fs::remove_file(folder.path("prog")).unwrap();
    refused(&folder, &["--same-program", "m"], 2, says);
}

const BUILT: &str = "
local build = submit(compile { name = 'prog', cmd = { 'sh', '-c', 'cat src.sh \"$SALT\" > prog && chmod +x prog' },
  inputs = { 'src.sh' }, output = 'prog', env = { SALT = SALTED } })
await(submit(measure { name = 'm', runs = 7, cmd = { build, 3 }, objective = 'x', metrics = { x = 'x: (%d+)' } }))
";

fn built() -> Folder {
    let folder = Folder::new();
    folder
        .write("c.lua", BUILT.replace("SALTED", &format!("{:?}", folder.path("salt").display().to_string())));
    folder.write("src.sh", "#!/bin/sh\necho \"x: $1\"\n");
    folder.write("salt", "# 1\n");
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    folder
}

#[test]
fn a_build_that_is_gone_is_built_again_and_says_whether_it_is_the_same() {
    let folder = built();
    let binary = |says: &str| {
        let ran = rerun(&folder, &["m"]);
        let line = ran.stdout.lines().find(|line| line.starts_with("  binary: ")).unwrap_or_default();
        assert_eq!((ran.code, line), (Some(0), says), "{ran:#?}");
    };
    binary("  binary: the same, from the store");
    std::fs::remove_dir_all(folder.path("cache")).unwrap();
    binary("  binary: was gone, built again, the same");
    std::fs::remove_dir_all(folder.path("cache")).unwrap();
    folder.write("salt", "# 2\n");
    let ran = rerun(&folder, &["--same-program", "m"]);
    let says = "harness: rerun: its program is not in the store any more, and built again (prog) it is another one\n";
    assert!(ran.code == Some(1) && ran.stderr.ends_with(says), "{ran:#?}");
    binary("  binary: was gone, built again, another one");
    let builds = folder.journal("c.lua.journal").into_iter().filter(|record| record["kind"] == "compile");
    let parents: Vec<bool> = builds.map(|build| build["parent"].is_string()).collect();
    assert_eq!(parents, [false, true, true, true]);
    // What cannot be had again is named before anything runs.
    std::fs::remove_dir_all(folder.path("cache")).unwrap();
    folder.write("src.sh", "#!/bin/sh\n");
    let gone = "harness: rerun: m: its input `src.sh` is not in the store any more, and DIR/src.sh has another content \
                now\n";
    refused(&folder, &["m"], 2, gone);
    std::fs::remove_file(folder.path("src.sh")).unwrap();
    let gone = "harness: rerun: m: its input `src.sh` is not in the store any more, and there is no such file in the \
                campaign's folder\n";
    refused(&folder, &["m"], 2, gone);
}

/// A file that a run must have written may be something that was built, too.
#[test]
fn what_was_built_again_is_also_what_files_are_compared_with() {
    let folder = Folder::new();
    let script = BUILT.replace("SALTED", &format!("{:?}", folder.path("salt").display().to_string()));
    let (build, _) = script.split_once("await(").unwrap();
    let measure = "await(submit(exec { cmd = { 'cp', build, 'right' } }))
        await(submit(measure { name = 'm', runs = 7, cmd = { 'sh', '-c', 'cp \"$1\" made; echo x: 3', 'sh', build }, cwd = 'scratch',
          objective = 'x', metrics = { x = 'x: (%d+)' }, verify = { files = { made = 'right' } } }))";
    folder.write("c.lua", format!("{build}{measure}"));
    folder.write("src.sh", "echo\n");
    folder.write("salt", "# 1\n");
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(measurements(&folder)[0]["status"], "ok");
    std::fs::remove_dir_all(folder.path("cache")).unwrap();
    folder.write("salt", "# 2\n");
    let ran = rerun(&folder, &["m"]);
    let verdict = Some("agrees: the intervals overlap");
    assert_eq!((ran.code, ran.stdout.lines().last()), (Some(0), verdict), "{ran:#?}");
}

#[test]
fn a_build_that_fails_now_says_so() {
    let folder = built();
    std::fs::remove_dir_all(folder.path("cache")).unwrap();
    std::fs::remove_file(folder.path("salt")).unwrap();
    let ran = rerun(&folder, &["m"]);
    let says = "harness: rerun: the artefact is not in the store any more, and its build prog failed: compile_failed: ";
    assert!(ran.code == Some(1) && ran.stderr.contains(says), "{ran:#?}");
}

#[test]
fn a_record_that_does_not_say_enough_is_not_repeated() {
    let folder = measured(PRINTS);
    edit(&folder, |record| drop(record.as_object_mut().unwrap().remove("asked")));
    let old = "harness: rerun: plain: its record does not say all that was asked (it is of an earlier version of harness): \
               measure it anew with its campaign, `harness --fresh`, and new records will\n";
    refused(&folder, &["plain"], 2, old);

    let folder =
        measured("await(submit(measure { name = 'm', cmd = { 'cat' }, runs = 1, stdin = ('x'):rep(5000) }))");
    let long =
        "harness: rerun: m: the journal does not keep its standard input (4.9 KiB): run its campaign\n";
    refused(&folder, &["m"], 2, long);

    let folder = measured(
        "await(submit(measure { name = 'm', cmd = { 'true' }, runs = 1, verify = { fn = function() return true end } }))",
    );
    let function =
        "harness: rerun: m: the journal does not keep functions that look at its runs: run its campaign\n";
    refused(&folder, &["m"], 2, function);

    let folder = measured(
        "local b = submit(compile { sources = { 'none.c' } })
        await(submit(measure { name = 'm', cmd = { b }, runs = 1 }))",
    );
    let ran = rerun(&folder, &["m"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("nothing in the journal is a measurement"),
        "{ran:#?}"
    );
}

#[test]
fn what_holds_no_measurement_is_not_compared_with() {
    let folder = measured("await(submit(measure { name = 'm', cmd = { 'true' }, runs = 7 }))");
    let id = measurements(&folder)[0]["id"].as_str().unwrap().to_owned();
    let ran = rerun(&folder, &[""]);
    let says = "harness: rerun: KEY is empty: give the name of a measurement, or the beginning of its key; there are\n";
    assert!(ran.code == Some(2) && ran.stderr.starts_with(says), "{ran:#?}");

    for median in [Value::Null, (-1.0).into(), 1e9.into()] {
        edit(&folder, |record| {
            if record["type"] == "measurement" {
                record["stats"]["median"] = median.clone();
            }
        });
        let cannot = format!(
            "harness: rerun: m: its record {id} says ok, but its figures cannot be (n, min, median, max, interval): the \
             journal was changed, or written by something else; run its campaign on a new journal\n"
        );
        let ran = rerun(&folder, &["m"]);
        assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (Some(2), cannot.as_str(), ""));
    }

    edit(&folder, |record| {
        if record["type"] == "measurement" {
            record["status"] = "cancelled".into();
            record["reason"] = "the script was interrupted".into();
        }
    });
    let never = |instead: &str| {
        format!(
            "harness: rerun: m was never measured: its record {id} says cancelled (the script was interrupted); {instead}\n"
        )
    };
    let ran = rerun(&folder, &["m"]);
    let again = never("run its campaign again, which measures it");
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (Some(2), again.as_str(), ""));
    // As it says: then the later record is meant, and the old one is told of by its id.
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    assert!(matches!(rerun(&folder, &["m"]).code, Some(0 | 5)));
    let key = measurements(&folder)[0]["key"].as_str().unwrap()[..8].to_owned();
    let ran = rerun(&folder, &[&id]);
    let later = never(&format!("it was later, which `harness rerun {key}` repeats"));
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (Some(2), later.as_str(), ""));
}

#[test]
fn what_is_damaged_in_the_store_is_built_again() {
    let folder = built();
    let damage = |content: &str| {
        let hash = blake3_name(content);
        let object = folder.path("cache/objects").join(&hash[..2]).join(&hash[2..]);
        std::fs::remove_file(&object).unwrap();
        std::fs::write(&object, "#!/bin/sh\necho 'x: 9'\n").unwrap();
        std::fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    };
    damage("#!/bin/sh\necho \"x: $1\"\n# 1\n");
    let ran = rerun(&folder, &["m"]);
    let line = ran.stdout.lines().find(|line| line.starts_with("  binary: ")).unwrap_or_default();
    assert_eq!(
        (ran.code, line),
        (Some(0), "  binary: was damaged in the store, built again, the same"),
        "{ran:#?}"
    );
    assert!(
        ran.stderr.contains(" is damaged: it had another content than its name says; it is built again\n"),
        "{ran:#?}"
    );
    let ran = rerun(&folder, &["m"]);
    assert!(ran.stdout.contains("  binary: the same, from the store\n"), "{ran:#?}");
    // An input of the build, too, comes from the campaign's folder again, if it is still there.
    damage("#!/bin/sh\necho \"x: $1\"\n# 1\n");
    damage("#!/bin/sh\necho \"x: $1\"\n");
    let ran = rerun(&folder, &["m"]);
    assert!(ran.stdout.contains("  binary: was damaged in the store, built again, the same\n"), "{ran:#?}");
    damage("#!/bin/sh\necho \"x: $1\"\n# 1\n");
    damage("#!/bin/sh\necho \"x: $1\"\n");
    folder.write("src.sh", "other");
    let gone = "harness: rerun: m: its input `src.sh` is damaged in the store, and DIR/src.sh has another content now\n";
    refused(&folder, &["m"], 2, gone);
}

/// As the store names content.
fn blake3_name(content: &str) -> String {
    blake3::hash(content.as_bytes()).to_hex()[..32].to_owned()
}

#[test]
fn what_cannot_be_read_is_not_called_absent() {
    let folder = measured(PRINTS);
    std::fs::remove_file(folder.path("c.lua")).unwrap();
    std::os::unix::fs::symlink("c.lua", folder.path("c.lua")).unwrap();
    let unread = "harness: rerun: plain: it ran in the folder of its script, and cannot read DIR/c.lua: Too many levels of \
                  symbolic links (os error 40)\n";
    refused(&folder, &["plain", "c.lua.journal"], 2, unread);
    folder.write("d.journal", "no journal\n");
    let none = "harness: rerun: journal DIR/d.journal: this is no journal of harness (its first line is not a header)\n";
    said(&folder, rerun(&folder, &["plain", folder.path("d.journal").to_str().unwrap()]), 4, "", none);
}

#[test]
fn a_script_that_is_gone_matters_only_where_its_folder_does() {
    let folder = measured(PRINTS);
    std::fs::rename(folder.path("c.lua"), folder.path("other.lua")).unwrap();
    let gone = "harness: rerun: plain: it ran in the folder of its script, and DIR/c.lua is gone, and not beside the journal \
                either\n";
    refused(&folder, &["plain"], 2, gone);

    let folder = Folder::new();
    folder.write("words", "x\n");
    let ran = folder.run(&["bench", "-r", "7", "--journal", "b.journal", "grep x words"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = rerun(&folder, &["grep x words"]);
    // Times, which may differ.
    assert!(matches!(ran.code, Some(0 | 5)) && ran.stdout.contains("n = 7, fixed"), "{ran:#?}");
}
