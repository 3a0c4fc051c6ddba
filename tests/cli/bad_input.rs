//! What can be wrong before the first task runs: the command line, the script, the journal, the workers.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use harness::model::human;

use crate::support::{Folder, skip};
use crate::{said, says};

#[test]
fn a_missing_script_is_named_with_the_folder() {
    let folder = Folder::new();
    says(&folder, &["gone.lua"], 2, "", "harness: there is no script gone.lua (looked in DIR)\n");
    let nearly = "harness: there is no script statu (looked in DIR); did you mean `harness status`?\n";
    says(&folder, &["statu", "c.lua"], 2, "", nearly);
    folder.write("m8.lua", "");
    let without_its_end = "harness: there is no script m8 (looked in DIR); did you mean `harness m8.lua`?\n";
    says(&folder, &["m8"], 2, "", without_its_end);
    says(&folder, &["/nowhere/x.lua"], 2, "", "harness: there is no script /nowhere/x.lua\n");
    says(&folder, &[], 2, "", "harness: which script? `harness FILE.lua`, or `harness --help`\n");
    let text = "harness: /tmp is a folder: name the script in it, `harness /tmp/FILE.lua`\n";
    says(&folder, &["/tmp"], 2, "", text);
}

#[test]
fn what_is_no_script_says_what_to_type() {
    let folder = Folder::with("print 'ran'");
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    let journal =
        "harness: c.lua.journal is no script: if it is a journal, `harness show c.lua.journal` tells of it\n";
    says(&folder, &["c.lua.journal"], 2, "", journal);
    folder.write("study.py", "import harness_futures");
    let python = "harness: study.py is no script: scripts are in Lua; `python3 study.py` runs it, and a HarnessExecutor in it \
                  starts harness (export PYTHONPATH=\"$(harness python-path)\")\n";
    says(&folder, &["study.py"], 2, "", python);
    let program = "harness: /bin/true is no script: it is a program, which a script runs: `exec { cmd = { … } }`, \
                   `measure { cmd = { … } }`\n";
    says(&folder, &["/bin/true"], 2, "", program);
}

#[test]
fn a_script_from_stdin_is_refused_with_the_reason() {
    let text = "harness: a campaign cannot come from stdin: its journal lies beside its file, and a second run goes \
                on from there; write it to a file, `harness FILE.lua`\n";
    says(&Folder::new(), &["-"], 2, "", text);
    let folder = Folder::new();
    assert!(Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap().success());
    for command in [&["pipe"][..], &["check", "pipe"]] {
        let ran = folder.run(command);
        let told = "a campaign cannot come from pipe, which is no file: its journal lies beside its file";
        assert!(ran.code == Some(2) && ran.stderr.contains(told), "{ran:#?}");
    }
}

#[test]
fn a_syntax_error_is_named_with_file_and_line_and_nothing_runs() {
    let folder = Folder::with("print 'no'\nlocal x =\nprint('a'\n");
    says(&folder, &["c.lua"], 1, "", "harness: c.lua:4: ')' expected (to close '(' at line 3) near <eof>\n");
}

#[test]
fn an_unknown_option_is_not_taken_for_the_script() {
    let folder = Folder::with("");
    let rest = "; `harness --help` lists them, and options of the script go after its name\n";
    for (word, hint) in
        [("--sed", " (did you mean '--seed'?)"), ("--quite", " (did you mean '--quiet'?)"), ("-z", "")]
    {
        says(&folder, &[word, "c.lua"], 2, "", &format!("harness: unknown option '{word}'{hint}{rest}"));
    }
    folder.write("-x.lua", "print 'x'\n");
    let named = "harness: '-x.lua' is taken for an option: the script of that name is `harness ./-x.lua`\n";
    for words in [&["-x.lua"][..], &["-q", "--", "-x.lua"], &["run", "--", "-x.lua"]] {
        says(&folder, words, 2, "", named);
    }
    says(&folder, &["./-x.lua"], 0, "x\n", "");
    for (option, value, expected) in [
        ("--start", "somehow", "one of auto, local, spawn, static, srun, ssh"),
        ("--workers", "0", "a whole number from 1"),
        ("--slots", "9999", "a whole number from 1 to 4096"),
        ("--seed", "x", "a whole number from 0 to 18446744073709551615"),
        ("--margin", "soon", "a duration such as \"TIME\" or \"5 min\""),
    ] {
        let text = format!("harness: {option}: expected {expected}, got '{value}'\n");
        says(&folder, &[option, value, "c.lua"], 2, "", &text);
    }
    assert!(!folder.path("c.lua.journal").exists(), "nothing was begun");
}

#[test]
fn options_before_a_subcommand_are_its_own_or_refused() {
    let folder = Folder::with("");
    folder.write("a.journal", "");
    folder.write("hosts", "elsewhere\n");
    let json = folder.run(&["--json", "status", "a.journal"]);
    assert!(json.code == Some(0) && json.stdout.starts_with("{\"schema\":"), "{json:#?}");
    let nodes = folder.run(&["--hostfile", "hosts", "doctor", "--no-spawn"]);
    assert!(nodes.stdout.contains("\nnodes     1: elsewhere\n"), "{nodes:#?}");
    let text = "harness: what stands before `status` are options of a campaign, and not all are its own: they go after its \
                name, and `harness status --help` lists them\n";
    says(&folder, &["--slots", "2", "status"], 2, "", text);
    let unknown = folder.run(&["--jason", "status"]);
    assert!(
        unknown.code == Some(2) && unknown.stderr.starts_with("harness: unknown option '--jason'"),
        "{unknown:#?}"
    );
}

#[test]
fn options_of_harness_behind_the_script_are_the_script_s_and_that_is_said() {
    let folder = Folder::with("print(table.unpack(arg))");
    let text = "harness: `--retry`, `--slots` after the script are the script's; harness's own go before it: `harness --retry … \
                c.lua` (if the script's are meant: `harness c.lua -- --retry …`)\n";
    says(
        &folder,
        &["c.lua", "--retry", "failed", "--slots=7", "--size"],
        0,
        "--retry\tfailed\t--slots=7\t--size\n",
        text,
    );
    let text = "harness: `--fresh` after the script is the script's; harness's own go before it: `harness --fresh … c.lua` (if \
                the script's are meant: `harness c.lua -- --fresh …`)\n";
    says(&folder, &["c.lua", "--fresh"], 0, "--fresh\n", text);
    // What is meant so is not mentioned, nor what many scripts have, nor what is no option.
    says(&folder, &["c.lua", "--", "--fresh", "7", "--"], 0, "--fresh\t7\t--\n", "");
    says(&folder, &["c.lua", "x", "--", "--fresh"], 0, "x\t--\t--fresh\n", "");
    says(&folder, &["c.lua", "-q", "--seed", "7"], 0, "-q\t--seed\t7\n", "");
    says(&folder, &["c.lua", "fresh", "--depth"], 0, "fresh\t--depth\n", "");
}

#[test]
fn no_deadline_at_all_is_none() {
    let folder = Folder::with("");
    let text = "harness: --deadline '' is neither a duration (\"90 min\", \"2 h\") nor a time that `date -d` reads (\"17:30\", \
                \"2027-01-31 17:30\")\n";
    says(&folder, &["--deadline", "", "c.lua"], 2, "", text);
}

#[test]
fn an_unknown_option_of_the_script_is_named_with_the_nearest() {
    let folder = Folder::with("local args = require 'harness'.args { size = { 512, 'matrix size' } }\n");
    let text = "harness: c.lua:1: args: unknown argument '--sizes' (did you mean '--size'?); --help lists them\nstack \
                traceback:\n\tc.lua:1: in main chunk\n";
    says(&folder, &["c.lua", "--sizes=3"], 1, "", text);
}

#[test]
fn an_unknown_option_of_a_task_is_named_at_its_line() {
    let folder = Folder::with("\nsubmit(measure { cmd = { 'true' }, warmpu = 2 })\n");
    let text = "harness: c.lua:2: measure: unknown option 'warmpu' (did you mean 'warmup'?)\nstack traceback:\n\t\
                c.lua:2: in main chunk\n";
    says(&folder, &["c.lua"], 1, "", text);
}

#[test]
fn a_journal_that_cannot_be_made_says_where_and_what_else_to_try() {
    let folder = Folder::with("print 'no'");
    let text = "harness: journal DIR/none/j: cannot create it: No such file or directory (os error 2); create its \
                folder, or name a file elsewhere with --journal\n";
    says(&folder, &["--journal", folder.path("none/j").to_str().unwrap(), "c.lua"], 4, "", text);
    let text = "harness: journal DIR: this is not a regular file; name another one with --journal\n";
    says(
        &folder,
        &["--journal", folder.path(".").canonicalize().unwrap().to_str().unwrap(), "c.lua"],
        4,
        "",
        text,
    );
}

#[test]
fn a_journal_without_the_right_to_write_it_says_so() {
    let folder = Folder::with("print 'no'");
    folder.write("ro/j", "");
    fs::set_permissions(folder.path("ro/j"), fs::Permissions::from_mode(0o444)).unwrap();
    let text = "harness: journal ro/j: cannot open it for writing: Permission denied (os error 13); name a file in a \
                folder you can write to with --journal\n";
    let mut command = folder.harness(&["--journal", "ro/j", "c.lua"]);
    if rustix::process::geteuid().is_root() {
        // Root may write everything: somebody else runs it then, with a cache of their own.
        const NOBODY: u32 = 65534;
        command.uid(NOBODY).gid(NOBODY);
        fs::create_dir(folder.path("cache")).unwrap();
        for path in [folder.path("."), folder.path("cache")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    said(&folder, folder.finish(command), 4, "", text);
}

#[test]
fn a_read_only_file_system_says_so() {
    let folder = Folder::with("print 'no'");
    let Some(_mount) = Mount::tmpfs(&folder, "ro", "ro") else { return };
    let text = "harness: journal ro/j: cannot create it: Read-only file system (os error 30); name a file in a folder \
                you can write to with --journal\n";
    says(&folder, &["--journal", "ro/j", "c.lua"], 4, "", text);
}

#[test]
fn a_full_disk_stops_the_campaign_with_what_is_recorded() {
    let script = "for i = 1, 200 do\n  local r = await(submit(exec { key = i, shell = 'head -c 20000 /dev/zero | tr \
                  \"\\\\0\" x' }))\n  print(i)\nend\n";
    let folder = Folder::with(script);
    let Some(_mount) = Mount::tmpfs(&folder, "small", "size=256k") else { return };
    let ran = folder.run(&["--quiet", "--journal", "small/j", "c.lua"]);
    let text = "harness: stopped, because records cannot be written: journal small/j: cannot write to it: No space \
                left on device (os error 28); free some space and run the script again (it goes on from what is \
                recorded), or name a file elsewhere with --journal\n  What was reported before is in small/j; once that is mended, the same command goes on from there\n";
    assert_eq!((ran.code, folder.normal(&ran.stderr).as_str()), (Some(4), text));
    let printed = ran.stdout.lines().count();
    assert!(printed > 0, "{ran:?}");
    let recorded = || folder.journal("small/j").iter().filter(|record| record["type"] == "task").count();
    assert!(recorded() >= printed, "{printed} were reported, {} are recorded", recorded());
    // The table counts what is recorded, neither more nor less: here many end at once.
    folder.write("c.lua", script.replace("local r = await(", "local r = (").replace("print(i)", ""));
    fs::remove_file(folder.path("small/j")).unwrap();
    let ran = folder.run(&["--journal", "small/j", "c.lua"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let table = format!("harness: {}: {} ok\n", human::count(recorded(), "task"), recorded());
    assert!(ran.stderr.contains(&table), "{} are recorded: {}", recorded(), ran.stderr);
}

#[test]
fn a_journal_of_another_version_is_left_alone() {
    let folder = Folder::with("print 'no'");
    let theirs = "{\"type\":\"header\",\"schema\":\"harness.journal/99\",\"seed\":1}\n";
    folder.write("j", theirs);
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "harness: journal j: its format is harness.journal/99, this harness (version {version}) uses \
         harness.journal/1 and harness.measurement/1; continue with the harness that wrote it, or begin anew with --fresh (the old journal is \
         kept under another name)\n"
    );
    says(&folder, &["--journal", "j", "c.lua"], 4, "", &text);
    assert_eq!(folder.read("j"), theirs);
}

#[test]
fn a_file_that_is_no_journal_is_left_alone() {
    let folder = Folder::with("print 'no'");
    folder.write("notes", "buy milk\n");
    let text = "harness: journal notes: this is no journal of harness (its first line is not a header) and was left \
                as it is; name another file with --journal\n";
    says(&folder, &["--journal", "notes", "c.lua"], 4, "", text);
    assert_eq!(folder.read("notes"), "buy milk\n");
}

#[test]
fn a_second_process_on_the_journal_is_told_who_has_it() {
    let folder = Folder::with("print 'ready'\nawait(submit(exec { cmd = { 'sleep', '60' } }))\n");
    let mut first = folder.start(&["c.lua"]);
    first.await_line("ready");
    let text = "harness: journal DIR/c.lua.journal: harness with pid N on HOST is writing to it; wait until it ends, \
                or name another file with --journal\n";
    let second = says(&folder, &["c.lua"], 4, "", text);
    assert!(second.stderr.contains(&format!("pid {} ", first.pid.as_raw_nonzero())), "{}", second.stderr);
}

/// Only the first process of a job step may be a root. The text depends on whether harness knows MPI.
#[test]
fn a_second_root_in_a_job_step_ends_before_it_begins() {
    let folder = Folder::with("print 'no'");
    let mut command = folder.harness(&["c.lua"]);
    command.env("SLURM_PROCID", "1").env("SLURM_STEP_NUM_TASKS", "4");
    let text = if cfg!(feature = "mpi") {
        "harness: this is one of 4 separate harness roots that srun started: they do not know each other. Start one, \
         without srun: plain `harness …` in the batch script\n"
    } else {
        "harness: this is process 1 of those that srun started, and each would be a root of its own (SLURM_PROCID=1). \
         This harness was built without MPI: start it once, as plain `harness …` in the batch script\n"
    };
    said(&folder, folder.finish(command), 3, "", text);
    assert!(!folder.path("c.lua.journal").exists(), "nothing was begun");
}

#[test]
fn static_workers_without_ranks_say_how_to_start() {
    let folder = Folder::with("spawn {}\n");
    let text = "harness: c.lua:1: spawn: 1 static worker wanted and none is free: start the campaign with `mpirun -n \
                2 harness c.lua` (rank 0 is the root, every further rank a worker), or use start=\"local\" for \
                workers on this node alone\nstack traceback:\n\tc.lua:1: in main chunk\n";
    says(&folder, &["--start", "static", "c.lua"], 3, "", text);
}

const NO_MPIRUN: &str = if cfg!(feature = "mpi") {
    "1 worker to be started by MPI, and harness was not started by mpirun: start it with `mpirun -n 1 harness \
     c.lua`, or use start=\"ssh\" (\"srun\" in a job of Slurm), or start=\"local\" for workers on this node alone"
} else {
    "1 worker to be started by MPI, and this harness was built without it: build with `cargo build --release` \
     where an MPI is installed, or use start=\"ssh\" (\"srun\" in a job of Slurm), or start=\"local\" for workers on this node alone"
};

#[test]
fn spawned_workers_without_mpirun_say_how_to_start() {
    let folder = Folder::with("spawn {}\n");
    let text = format!("harness: c.lua:1: spawn: {NO_MPIRUN}\nstack traceback:\n\tc.lua:1: in main chunk\n");
    says(&folder, &["--start", "spawn", "c.lua"], 3, "", &text);
}

/// A script without `spawn` gets its pool with its first task; that it cannot be had is said once.
#[test]
fn a_default_pool_that_cannot_be_had_is_reported_once_and_is_no_success() {
    let script = "for i = 1, 3 do submit(exec { name = 'e' .. i, cmd = { 'true' } }) end\n";
    let folder = Folder::with(script);
    let ran = folder.run(&["--start", "spawn", "c.lua"]);
    let mut lines = ran.stderr.lines();
    assert_eq!(lines.next(), Some(format!("harness: no workers: {NO_MPIRUN}").as_str()));
    assert_eq!(lines.next(), Some("harness: 3 tasks: 3 refused"));
    // The table cuts long reasons, and has one line for what failed alike.
    let start = format!("  3 x exec e1, e2, e3: refused: {}", &NO_MPIRUN[..100]);
    let line = lines.next().unwrap_or_default();
    assert!(line.starts_with(&start) && lines.next().is_none(), "{}", ran.stderr);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
}

/// Nothing is bad in it: it is what people write first.
#[test]
fn localhost_in_a_host_file_is_this_node() {
    let folder = Folder::with("print(await(submit(function() return 'ran' end)))\n");
    folder.write("hosts", "localhost\n127.0.0.1\n");
    says(&folder, &["--hostfile", "hosts", "c.lua"], 0, "ran\n", "harness: 1 task: 1 ok\n");
}

/// When it is found, and where the script fails of it.
#[test]
fn why_there_are_no_workers_is_said_no_third_time() {
    let folder = Folder::with("await(submit(function() end))\n");
    let text = format!(
        "harness: no workers: {NO_MPIRUN}\nharness: 1 task: 1 refused\nharness: {NO_MPIRUN}\nstack traceback:\n\t\
         c.lua:1: in main chunk\n"
    );
    says(&folder, &["--start", "spawn", "c.lua"], 3, "", &text);
}

#[test]
fn more_workers_than_fit_name_the_nodes_there_are() {
    let folder = Folder::with("spawn { workers = 3, per_node = 1 }\n");
    let text = "harness: c.lua:1: spawn: workers=3 with per_node=1 needs 3 nodes, the allocation has 1: HOST\nstack \
                traceback:\n\tc.lua:1: in main chunk\n";
    says(&folder, &["c.lua"], 3, "", text);
    folder.write("c.lua", "spawn { hosts = { 'n7' } }\n");
    let text = "harness: c.lua:1: spawn: host `n7` is not in the allocation, which has HOST\nstack traceback:\n\t\
                c.lua:1: in main chunk\n";
    says(&folder, &["c.lua"], 3, "", text);
}

/// A slip of the keyboard is named with the number and the limit, and nothing is started.
#[test]
fn absurd_counts_are_refused_at_once() {
    let most = "and 1024 is the most: a worker has slots, one for each core";
    let script = "for _, o in ipairs { { workers = 1e6 }, { per_node = 1e5 }, { slots = 1e9 }, { workers = 2^40 } } do\n  \
                  print(select(2, pcall(spawn, o)))\nend\nprint(select(2, pcall(map, print, { 1 }, { in_flight = 2^40 })))\n";
    let stdout = format!(
        "c.lua:2: spawn: workers=1000000 on 1 node is 1000000 on a node, {most}\n\
         c.lua:2: spawn: option 'per_node': expected a whole number from 1 to 1024, got 100000.0\n\
         c.lua:2: spawn: option 'slots': expected a whole number from 1 to 4096 or \"cores\", got 1000000000.0\n\
         c.lua:2: spawn: option 'workers': expected a whole number from 1 to 2147483647 or \"auto\", got \
         1099511627776.0\n\
         c.lua:4: map: option 'in_flight': expected a whole number from 1 to 1000000, got 1099511627776.0\n"
    );
    says(&Folder::with(script), &["c.lua"], 0, &stdout, "");
    let folder = Folder::with("print(await(submit(exec { cmd = { 'true' } })).reason)\n");
    let ran = folder.run(&["-q", "--workers", "1000000", "c.lua"]);
    assert_eq!(
        (ran.code, ran.stdout),
        (Some(3), format!("workers=1000000 on 1 node is 1000000 on a node, {most}\n"))
    );
    let ran = folder.run(&["--slots", "1000000000", "c.lua"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("a whole number from 1 to 4096, got '1000000000'"),
        "{ran:?}"
    );
}

#[test]
fn an_artefact_store_that_cannot_be_used_names_the_variable() {
    let folder = Folder::with("print 'no'");
    folder.write("file", "");
    let mut command = folder.harness(&["c.lua"]);
    command.env("HARNESS_CACHE", folder.path("file/cache"));
    let text = "harness: cannot write to the artefact store DIR/file/cache: Not a directory (os error 20) (set \
                HARNESS_CACHE to another folder)\n";
    said(&folder, folder.finish(command), 4, "", text);
}

/// A small file system, for as long as this lives.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(folder: &Folder, name: &str, options: &str) -> Option<Self> {
        let path = folder.path(name);
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            skip("mounting a tmpfs needs root");
            return None;
        }
        Some(Self(path))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Nodes are told of folders in text: one that is none must not become another one on the way.
#[test]
fn a_folder_whose_name_is_no_text_is_said_at_once() {
    let folder = Folder::new();
    let odd = folder.path("").join(OsStr::from_bytes(b"dir\xff"));
    fs::create_dir(&odd).unwrap();
    let script = "local dir = require('harness').fs.tempdir()\n\
                  print(dir, require('harness').fs.exists(dir), await(submit(exec { cmd = { 'true' }, cwd = 'scratch' })).status)\n";
    fs::write(odd.join("c.lua"), script).unwrap();
    let mut command = folder.harness(&["c.lua"]);
    command.current_dir(&odd);
    let ran = folder.finish(command);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:#?}");
    assert!(ran.stderr.contains("dir\\xFF\", whose name is no UTF-8"), "{ran:#?}");
    // Its own folder for temporary files may have any name, or none.
    folder.write("c.lua", script);
    for (temporary, beginning) in
        [(odd.as_os_str(), folder.path("dir")), (OsStr::new(""), "/tmp/harness-".into())]
    {
        let mut command = folder.harness(&["-q", "--fresh", "c.lua"]);
        command.env("TMPDIR", temporary);
        let ran = folder.finish(command);
        assert!(ran.stdout.starts_with(&beginning.display().to_string()), "{ran:#?}");
        assert!(ran.stdout.ends_with("\ttrue\tok\n") && ran.code == Some(0), "{ran:#?}");
    }
    assert_eq!(fs::read_dir(&odd).unwrap().count(), 1, "scratch folders are left");
    let here = fs::read_dir(folder.path("")).unwrap().flatten().map(|entry| entry.file_name());
    assert!(
        here.into_iter().all(|name| !name.to_string_lossy().starts_with("harness-")),
        "scratch folders are left"
    );
}
