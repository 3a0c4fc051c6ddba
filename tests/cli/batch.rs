//! `harness batch` without a batch system, and with one that is a shell script.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::says;
use crate::support::{Folder, Ran};

/// With nothing on the PATH but what the test puts into `bin`.
fn batch(folder: &Folder, args: &[&str]) -> Ran {
    let mut command = folder.harness(&[&["batch"], args].concat());
    command.env("PATH", format!("{}:/nowhere", folder.path("bin").display()));
    folder.finish(command)
}

fn program(folder: &Folder, name: &str, text: &str) {
    folder.write(&format!("bin/{name}"), format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(folder.path(&format!("bin/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn without_a_batch_system_it_says_what_to_do() {
    let folder = Folder::with("");
    let ran = batch(&folder, &["c.lua"]);
    let text = "harness: which batch system? None of sbatch, pjsub, bsub and qsub is on the PATH: name it, \
                `--scheduler slurm|pbs|sge|lsf|pjm`\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), text));
    let ran = batch(&folder, &["c.lua", "--scheduler", "slurm"]);
    let text = "harness: there is no `sbatch` on the PATH, so nothing was submitted: do it where the batch system's \
                commands are, or print the script with --dry-run\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), text));
    assert!(!folder.path("c.lua.job").exists());
}

#[test]
fn dry_run_prints_the_script_and_leaves_nothing() {
    let folder = Folder::with("");
    let args = [
        "c.lua",
        "--nodes=2",
        "--time=90 min",
        "--scheduler=pjm",
        "--queue=small",
        "--dry-run",
        "--",
        "--n=1",
    ];
    let ran = batch(&folder, &args);
    let text = folder.normal(&ran.stdout).replace(env!("CARGO_BIN_EXE_harness"), "HARNESS");
    let expected = "#!/bin/bash\n#PJM -N c\n#PJM -L node=2\n#PJM --restart\n#PJM -j\n#PJM -o c.%j.out\n#PJM -L \
                    elapse=1:30:00\n#PJM -L rscgrp=small\n# Written by `harness batch`: run that again rather than \
                    change this.\ncd DIR || exit\nexec HARNESS --deadline \"$((5400 - SECONDS)) s\" c.lua -- --n=1\n";
    assert_eq!((ran.code, text.as_str(), ran.stderr.as_str()), (Some(0), expected, ""));
    assert!(!folder.path("c.lua.job").exists());
}

/// A slip shows now, and not after hours in a queue.
#[test]
fn a_script_with_errors_is_not_submitted() {
    let folder = Folder::with("await(submit(measure { cmdd = { 'true' }, runs = tonumber(arg[1]) }))");
    program(&folder, "sbatch", "echo 18");
    let ran = batch(&folder, &["c.lua", "--", "3"]);
    let text = "harness: batch: there are errors in the script, and nothing was submitted (--no-check submits it all the same):\n\
                c.lua:1: error: measure: unknown option 'cmdd' (did you mean 'cmd'?)\nc.lua: 1 error, 0 warnings\n";
    assert!(ran.stderr.starts_with(text), "{ran:#?}");
    assert_eq!((ran.code, folder.path("c.lua.job").exists()), (Some(1), false));
    assert_eq!(batch(&folder, &["c.lua", "--dry-run"]).code, Some(1));
    let ran = batch(&folder, &["c.lua", "--no-check", "--", "3"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    // What it is called with is looked at, too.
    folder.write("c.lua", "assert(arg[1] == '3', 'three are needed')");
    let ran = batch(&folder, &["c.lua", "--dry-run", "--", "4"]);
    assert!(ran.stderr.contains("c.lua:1: error: three are needed"), "{ran:#?}");
    assert_eq!(batch(&folder, &["c.lua", "--dry-run", "--", "3"]).code, Some(0));
}

#[test]
fn bad_words_are_refused_by_name() {
    let folder = Folder::with("");
    for (args, text) in [
        (vec!["c.lua", "--time", "90"], "what is shorter, batch systems read differently"),
        (vec!["c.lua", "--scheduler", "flurm"], "slurm, pbs, sge, lsf or pjm"),
        (vec!["c.lua", "--scheduler", "slurm", "--prologue", "none.sh"], "--prologue none.sh: No such file"),
        (vec!["none.lua", "--scheduler", "slurm"], "there is no script none.lua"),
        (
            vec!["c.lua", "--scheduler", "sge", "--nodes", "2"],
            "Grid Engine knows slots of a parallel environment",
        ),
        (
            vec!["c.lua", "--scheduler", "slurm", "--directive", "#PBS -l select=4"],
            "--directive '#PBS -l select=4' is no line for slurm, whose lines begin with #SBATCH",
        ),
        (vec!["c.lua", "--scheduler", "slurm", "--retry", "timeuot"], "(did you mean 'timeout'?)"),
    ] {
        let ran = batch(&folder, &args);
        assert!(ran.code == Some(2) && ran.stderr.contains(text), "{args:?}: {ran:#?}");
    }
}

/// What a campaign is told, it is told in the job too.
#[test]
fn options_of_the_campaign_are_handed_on() {
    let folder = Folder::with("");
    let options =
        ["--retry", "failed,oom", "--seed", "7", "--start=srun", "--slots", "2", "--journal", "other", "-v"];
    let args =
        [&options[..], &["c.lua", "--scheduler", "slurm", "--chain", "--dry-run", "--", "--seed=3"]].concat();
    let ran = batch(&folder, &args);
    let text = folder.normal(&ran.stdout).replace(env!("CARGO_BIN_EXE_harness"), "HARNESS");
    let line = "\nHARNESS --slots 2 --start srun --journal other --retry failed,oom --seed 7 --verbose c.lua -- --seed=3\n";
    assert!(ran.code == Some(0) && text.contains(line), "{ran:#?}");
    assert!(text.contains("\nif tail -n 1 DIR/other | grep -q "), "{text}");
}

/// The script of a chain, run as the job would run it, with a campaign whose time was too short.
#[test]
fn a_chain_goes_on_after_a_state_or_a_task_and_ends_where_neither_was_recorded() {
    let state = "local state = require('harness').state('s', { n = 0 })\nstate.n = state.n + 1\n";
    let task = "await(submit(exec { key = 'k', cmd = { 'true' } }))\n";
    for (progress, goes_on) in [(state, true), (task, true), ("", false)] {
        let folder = Folder::with(&format!("{progress}os.exit(75)"));
        program(&folder, "sbatch", "echo 18");
        let script = batch(&folder, &["c.lua", "--chain", "--dry-run", "--no-check"]); // it ends with 75
        folder.write("job", &script.stdout);
        let mut bash = std::process::Command::new("bash");
        bash.arg(folder.path("job"));
        folder.at_home(&mut bash);
        bash.env("PATH", format!("{}:/usr/bin:/bin", folder.path("bin").display()));
        let ran = folder.finish(bash);
        let text = if goes_on {
            "goes on as job 18"
        } else {
            "this job recorded nothing that spares the next one anything, so no other follows"
        };
        let code = if goes_on { 0 } else { 75 };
        assert!(ran.code == Some(code) && ran.stderr.contains(text), "{progress}: {ran:#?}");
    }
}

#[test]
fn what_is_no_option_of_batch_is_told_apart_from_the_script_s() {
    let folder = Folder::with("");
    for (word, hint) in [
        ("--partitoin", " (did you mean '--partition'?)"),
        ("--fresh", "; each further job would begin anew, too: move the journal away instead"),
        ("--depth", ""),
    ] {
        let ran = batch(&folder, &["c.lua", word, "--scheduler", "slurm", "--dry-run"]);
        let text = format!(
            "harness: batch: unknown option '{word}'{hint}. `harness batch --help` lists its options, --directive hands others \
             to the batch system, and what the script gets goes after `--`: `harness batch FILE.lua --nodes 2 -- {word}`\n"
        );
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr), (Some(2), "", text));
    }
}

#[test]
fn a_margin_that_leaves_no_time_is_refused() {
    let folder = Folder::with("");
    let lines = |margin: &str| {
        batch(
            &folder,
            &["c.lua", "--time", "10 min", "--margin", margin, "--scheduler", "slurm", "--dry-run"],
        )
    };
    let text = "harness: batch: --margin is 10 min 0 s of the 10 min 0 s that --time asks for: the job would stop before it began \
                anything; take a smaller margin, or ask for more time\n";
    let ran = lines("600 s");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(2), "", text));
    assert_eq!(lines("599 s").code, Some(0));
}

#[test]
fn what_the_batch_system_says_against_a_job_is_shown() {
    let folder = Folder::with("");
    program(&folder, "sbatch", "echo 'sbatch: error: invalid partition' >&2; exit 1");
    let ran = batch(&folder, &["c.lua"]);
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    let text = "harness: `sbatch --parsable DIR/c.lua.job` refused the job:\nsbatch: error: invalid partition\nNothing was submitted. \
                What it asked for is in DIR/c.lua.job: --nodes, --time, --queue, --account and --directive say it otherwise\n";
    assert_eq!(folder.normal(&ran.stderr), text);
}

#[test]
fn a_job_is_submitted_and_a_file_of_somebody_else_s_is_left_alone() {
    let folder = Folder::with("");
    program(&folder, "qsub", "echo 17.server");
    let submitted = |text: &str| folder.normal(text);
    let expected = "job 17.server submitted: c.lua on 1 node\nscript: DIR/c.lua.job\noutput: DIR/c.o17\nlook:   qstat \
                    17.server\nstop:   qdel 17.server\n";
    // The second time the file is there, and ours.
    for _ in 0..2 {
        let ran = batch(&folder, &["c.lua"]);
        assert_eq!((ran.code, submitted(&ran.stdout).as_str()), (Some(0), expected), "{ran:#?}");
    }
    assert!(folder.read("c.lua.job").starts_with("#!/bin/bash\n#PBS -N c\n"));
    folder.write("c.lua.job", "precious");
    let ran = batch(&folder, &["c.lua"]);
    assert!(ran.code == Some(3) && ran.stderr.contains("is there and not of harness"), "{ran:#?}");
    assert_eq!(folder.read("c.lua.job"), "precious");
}

#[test]
fn following_ends_with_the_job_and_shows_what_it_wrote() {
    let folder = Folder::with("");
    program(&folder, "sbatch", "echo 17");
    program(&folder, "squeue", "echo 'hello from the job' > c.17.out; echo 'FAILED NonZeroExitCode'");
    let ran = batch(&folder, &["c.lua", "--follow"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.stdout.ends_with("hello from the job\n"), "{ran:#?}");
    assert_eq!(ran.stderr, "harness: job 17: FAILED (NonZeroExitCode)\n");
}

#[test]
fn a_campaign_called_batch_is_still_a_file() {
    let folder = Folder::new();
    folder.write("batch.lua", "print 'hello'");
    says(&folder, &["batch.lua"], 0, "hello\n", "");
}

/// A campaign on a login node measures the login node.
#[test]
fn a_run_beside_a_batch_system_says_that_it_measures_here() {
    let folder = Folder::with("print(await(submit(exec { cmd = { 'echo' } })).ok)\n");
    program(&folder, "sbatch", "");
    let run = |args: &[&str]| {
        let mut command = folder.harness(args);
        command.env("PATH", format!("{}:/usr/bin:/bin", folder.path("bin").display()));
        let output = command.output().unwrap();
        assert_eq!(output.stdout, b"true\n");
        folder.normal(&String::from_utf8(output.stderr).unwrap())
    };
    let note = "harness: sbatch is here, and this is no job of it: tasks run, and are measured, on HOST itself; `harness \
                batch c.lua --nodes N` asks for nodes (--start local: here is meant)\n";
    let table = "harness: 1 task: 1 ok\n";
    assert_eq!(run(&["c.lua"]), format!("{note}{table}"));
    assert_eq!(run(&["--start", "local", "c.lua"]), table);
}

#[test]
fn a_trace_of_a_chain_would_be_that_of_its_last_job() {
    let folder = Folder::with("");
    let line = ["c.lua", "--scheduler", "slurm", "--dry-run", "--trace", "t.json"];
    assert_eq!(batch(&folder, &line).code, Some(0));
    let ran = batch(&folder, &[&line[..], &["--chain"]].concat());
    let text = "harness: batch: --trace with --chain: each further job would begin it anew, too: `harness export FILE.lua \
                --format trace -o trace.json` makes one of all of them\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(2), "", text));
}
