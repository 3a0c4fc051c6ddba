//! Python over harness: `HarnessExecutor` in scripts as people write them, through the real binary.
//!
//! What an executor of `concurrent.futures` promises is in `cases.py`, and is asked of the standard library's own, too.
//! Here is what takes somebody outside: interrupts, kills, an MPI's launcher, TADASHI.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests start things

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, kill_process, kill_process_group};
use support::{Folder, LIMIT, Role, Running};

/// The whole of `cases.py`, on a machine that has other things to do.
const CASES: Duration = Duration::from_secs(900);

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python")
}

/// `PYTHON WORDS`, in the folder's environment, where harness and its module are found; none without a Python.
fn python(folder: &Folder, python: &str, words: &[&str]) -> Option<Command> {
    if Command::new(python).arg("--version").output().is_err() {
        support::skip("no python3");
        return None;
    }
    let asked = folder.run(&["python-path"]);
    assert_eq!((asked.code, asked.stderr.as_str()), (Some(0), ""), "{asked:?}");
    let mut command = Command::new(python);
    command.args(words);
    folder.at_home(&mut command);
    let harness = Path::new(env!("CARGO_BIN_EXE_harness")).parent().unwrap();
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", harness.display()));
    command.env("PYTHONPATH", asked.stdout.trim());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// A script of `scripts`, copied into the folder.
fn script(folder: &Folder, name: &str) -> String {
    folder.write(name, fs::read(tests().join("scripts").join(name)).unwrap());
    name.into()
}

fn cases(class: &str, at_least: usize) {
    let folder = Folder::new();
    folder.write("cases.py", fs::read(tests().join("cases.py")).unwrap());
    let Some(command) = python(&folder, "python3", &["cases.py", class]) else { return };
    let ran = Running::start(command).end(CASES);
    let ok = ran.code == Some(0) && ran.stderr.trim_end().ends_with("OK");
    assert!(ok, "{}\n{}", ran.stdout, ran.stderr);
    let count =
        ran.stderr.split("Ran ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    assert!(count >= Some(at_least), "{}", ran.stderr);
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn the_cases_are_promises_of_the_standard_library() {
    cases("OfTheStandardLibrary", 20);
}

#[test]
fn harness_keeps_them_and_some_of_its_own() {
    cases("OfHarness", 30);
}

#[test]
fn whole_scripts() {
    cases("WholeScripts", 5);
}

/// A script whose tasks have begun, in a process group of its own.
fn endless(folder: &Folder) -> Option<Running> {
    let mut command = python(folder, "python3", &[&script(folder, "endless.py")])?;
    command.process_group(0);
    let mut running = Running::start(command);
    running.await_stderr("begun\nbegun\n");
    Some(running)
}

#[test]
fn ctrl_c_ends_the_script_and_all_it_started() {
    let folder = Folder::new();
    let Some(running) = endless(&folder) else { return };
    kill_process_group(running.pid, Signal::INT).unwrap();
    let ran = running.end(LIMIT);
    assert!(ran.stderr.contains("KeyboardInterrupt"), "{ran:#?}");
    assert_eq!((ran.code, ran.signal), (None, Some(2)), "{ran:#?}");
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn a_harness_that_is_killed_breaks_the_executor() {
    let folder = Folder::new();
    let Some(running) = endless(&folder) else { return };
    let [root] = folder.of(Role::Root).try_into().unwrap();
    support::signal(&root, Signal::KILL);
    let ran = running.end(LIMIT);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "broken: harness was killed by SIGKILL True\n"),
        "{ran:#?}"
    );
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn a_harness_that_is_stopped_says_so() {
    let folder = Folder::new();
    let Some(running) = endless(&folder) else { return };
    let [root] = folder.of(Role::Root).try_into().unwrap();
    support::signal(&root, Signal::TERM);
    let ran = running.end(LIMIT);
    assert!(
        ran.stdout.starts_with("broken: harness was stopped by a signal, or because the time"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("harness serve: stopped by SIGTERM"), "{ran:#?}");
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn a_script_that_is_killed_leaves_nothing() {
    let folder = Folder::new();
    let Some(running) = endless(&folder) else { return };
    kill_process(running.pid, Signal::KILL).unwrap();
    assert_eq!(running.end(LIMIT).signal, Some(9));
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn below_an_mpis_launcher() {
    let folder = Folder::new();
    let mpirun = std::env::var("HARNESS_MPIRUN").unwrap_or_else(|_| "mpirun".into());
    let Ok(said) = Command::new(&mpirun).arg("--version").output() else {
        return support::skip("no mpirun");
    };
    let name = script(&folder, "through_mpirun.py");
    let mut words = vec![name.as_str(), &mpirun];
    if String::from_utf8_lossy(&said.stdout).contains("Open MPI") {
        words.push("--oversubscribe");
    }
    words.extend(["-n", "1"]);
    let Some(mut command) = python(&folder, "python3", &words) else { return };
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    let ran = Running::start(command).end(LIMIT * 2);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "125250 no such luck\n"), "{ran:#?}");
    assert!(ran.stderr.contains("printed"), "{ran:#?}");
    folder.assert_nothing_left(LIMIT);
}

/// Runs a loop of TADASHI's own kind, with one import changed; what it printed.
fn tadashi(name: &str, theirs: &str, ours: &str) -> Option<String> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/tadashi");
    let asked = Command::new(fetched).arg("--there").output().unwrap();
    if !asked.status.success() {
        support::skip("there is no TADASHI: tools/tadashi fetches it");
        return None;
    }
    let folder = Folder::new();
    let demo = fs::read_to_string(tests().join("scripts").join(name)).unwrap();
    assert!(demo.contains(theirs));
    folder.write("demo.py", demo.replace(theirs, ours));
    let kernel = "#include <stdio.h>\ndouble a[64][64];\nint main() {\n#pragma scop\n  for (int i = 0; i < 64; i++)\n    \
                  for (int j = 0; j < 64; j++)\n      a[i][j] = i + j;\n#pragma endscop\n  \
                  printf(\"WALLTIME: %f\\n\", a[1][2]);\n}\n";
    folder.write("kernel.c", kernel);
    let with_tadashi = String::from_utf8(asked.stdout).unwrap();
    let ran = Running::start(python(&folder, with_tadashi.trim(), &["demo.py", "kernel.c"])?).end(LIMIT * 2);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    folder.assert_nothing_left(LIMIT);
    Some(ran.stdout)
}

fn host() -> String {
    rustix::system::uname().nodename().to_str().unwrap().to_owned()
}

#[test]
fn tadashis_loop_with_another_import() {
    let (theirs, ours) =
        ("from mpi4py.futures import MPIPoolExecutor as", "from harness_futures import HarnessExecutor as");
    let Some(said) = tadashi("tadashi_demo.py", theirs, ours) else { return };
    assert_eq!(said, format!("{} True\n", host()).repeat(3));
}

/// Its state is pickled with the application.
#[test]
fn tadashis_applications_travel() {
    let (theirs, ours) = (
        "from mpi4py.futures import MPIPoolExecutor, as_completed",
        "from harness_futures import HarnessExecutor as MPIPoolExecutor, as_completed",
    );
    let Some(said) = tadashi("tadashi_travels.py", theirs, ours) else { return };
    assert_eq!(said, [8, 16, 32].map(|size| format!("{size} {} True\n", host())).concat());
}

#[test]
fn the_scripts_on_the_page_run() {
    let page = include_str!("../../docs/python.md");
    let scripts: Vec<&str> =
        page.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(scripts.len(), 2);
    for text in scripts {
        let folder = Folder::new();
        folder.write("study.py", text);
        let Some(command) = python(&folder, "python3", &["study.py"]) else { return };
        let ran = Running::start(command).end(LIMIT);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
        folder.assert_nothing_left(LIMIT);
    }
}
