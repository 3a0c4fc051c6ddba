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
                    change this.\ncd DIR || exit\nexec HARNESS --deadline \"$((5400 - SECONDS)) s\" c.lua --n=1\n";
    assert_eq!((ran.code, text.as_str(), ran.stderr.as_str()), (Some(0), expected, ""));
    assert!(!folder.path("c.lua.job").exists());
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
    ] {
        let ran = batch(&folder, &args);
        assert!(ran.code == Some(2) && ran.stderr.contains(text), "{args:?}: {ran:#?}");
    }
}

#[test]
fn what_the_batch_system_says_against_a_job_is_shown() {
    let folder = Folder::with("");
    program(&folder, "sbatch", "echo 'sbatch: error: invalid partition' >&2; exit 1");
    let ran = batch(&folder, &["c.lua"]);
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert!(ran.stderr.ends_with("refused the job:\nsbatch: error: invalid partition\n"), "{ran:#?}");
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
