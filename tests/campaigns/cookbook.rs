//! The cook book: each of its campaigns runs and says what it is there to show, and its page names all of them.
//!
//! Figures are never judged. What a campaign is expected to print is on the page, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Ended, run, support};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join("campaigns/cookbook")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/cookbook.md")).unwrap()
}

/// Runs it; it has to print all of `expected`, which the page shows.
fn recipe_in(home: &Path, script: &str, args: &[&str], expected: &[&str]) -> Ended {
    let ended = run(&folder(), script, args, home);
    assert_eq!(ended.code, Some(0), "{script}: {}{}", ended.stdout, ended.stderr);
    for text in expected {
        assert!(ended.stdout.contains(text), "{script}: no `{text}` in\n{}{}", ended.stdout, ended.stderr);
        assert!(page().contains(text), "docs/cookbook.md does not show `{text}` of {script}");
    }
    ended
}

fn recipe(script: &str, args: &[&str], expected: &[&str]) {
    if !support::no_compiler() {
        recipe_in(tempfile::tempdir().unwrap().path(), script, args, expected);
    }
}

/// `harness ARGS` in the folder of a run's journal: its exit code and what it printed.
fn harness(home: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    let output = command.args(args).current_dir(home).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_page_names_all_of_them() {
    let page = page();
    let mut found = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".lua") {
            let (heading, link) =
                (format!("\n## {}. ", &name[..2]), format!("](../campaigns/cookbook/{name})"));
            assert!(
                page.contains(&heading) && page.contains(&link),
                "docs/cookbook.md has nothing of {name}"
            );
            found += 1;
        }
    }
    assert!(found >= 12, "only {found} campaigns in {}", folder().display());
}

#[test]
fn two_commands() {
    recipe("01-two-commands.lua", &[], &["gzip base: median ", "gzip fast: ", " rounds"]);
}

#[test]
fn matrix() {
    recipe("02-matrix.lua", &[], &["gcc      -O1 ", "-O2 -fomit-frame-pointer the program of gcc -O2"]);
}

#[test]
fn verify() {
    let expected = [
        "-O3       ok             ",
        "careless  verify_failed  warm-up run 1: output differs in line 2: expected `checksum: ",
        "crashing  signal         warm-up run 1: killed by signal 11 (SIGSEGV)",
    ];
    recipe("03-verify.lua", &[], &expected);
}

#[test]
fn scaling() {
    let expected =
        ["strong         1 ", "strong         2 ", "weak           2 ", "with 2 threads: serial part "];
    recipe("04-scaling.lua", &["--size=64"], &expected);
}

#[test]
fn counters() {
    recipe("05-counters.lua", &[], &["gemm base: median ", "gemm large: ", "page-faults\t", "task-clock\t"]);
}

/// A second run goes on from the journal, in the same order.
#[test]
fn sweep() {
    if support::no_compiler() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    recipe_in(
        home.path(),
        "06-sweep.lua",
        &["--measurements=3"],
        &[" of 20 settings measured", "best so far: gemm "],
    );
    let again = recipe_in(home.path(), "06-sweep.lua", &["--measurements=4"], &[" of 20 settings measured"]);
    assert!(again.stdout.starts_with("4 of 20 "), "{}", again.stdout);
    assert!(again.stderr.contains("8 tasks (6 from the journal): 8 ok"), "{}", again.stderr);
}

#[test]
fn stop() {
    recipe("07-stop.lua", &[], &["tile   4: stopped: ", "best: gemm tile="]);
}

#[test]
fn metrics() {
    let expected = [
        "iterations 3.0",
        "residual   0.001 1",
        "solve      1.5 s",
        "rate       3.0",
        "worst      0.5 m",
        "silent: metric_missing: warm-up run 1: metric `rate`: pattern 'rate: (%d+)' is not in the output",
    ];
    recipe("08-metrics.lua", &[], &expected);
}

#[test]
fn library() {
    recipe(
        "09-library.lua",
        &[],
        &["dot   = 8192, median of 7 processes ", "dot4  = 8192, median of 7 processes "],
    );
}

#[test]
fn python() {
    if Command::new("python3").arg("--version").output().is_err() {
        return support::skip("there is no python3");
    }
    recipe("10-python.lua", &[], &["14 measurements; cost x=37: median 0.000, min 0.000, max 0.000, n = 3"]);
}

#[test]
fn mpi_where_there_is_none() {
    let text = "skipped: no program: program `no-such-mpicc` not found";
    recipe("11-mpi.lua", &["--mpicc=no-such-mpicc"], &[text]);
}

/// With the MPI of this build, as the tests of campaigns/scaling.lua start it.
#[cfg(feature = "mpi")]
#[test]
fn mpi() {
    let (Ok(mpicc), Ok(mpirun)) = (std::env::var("MPICC"), std::env::var("HARNESS_MPIRUN")) else {
        assert!(std::env::var_os("HARNESS_CI").is_none(), "tools/with-mpi names the MPI");
        return println!("skipped: MPICC and HARNESS_MPIRUN are not set");
    };
    let (mpicc, launcher) = (format!("--mpicc={mpicc}"), format!("--launcher={mpirun} -n {{ranks}}"));
    let expected = ["nbody ranks=1: median ", "nbody ranks=2: median "];
    recipe("11-mpi.lua", &["--size=64", &mpicc, &launcher], &expected);
    let none = ["--size=64", &mpicc, "--launcher=no-such-launcher {ranks}"];
    recipe("11-mpi.lua", &none, &["skipped: no launcher: "]);
}

/// Two versions, two journals, and the exit code of a regression.
#[test]
fn gate() {
    if support::no_compiler() {
        return;
    }
    let [old, new, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    recipe_in(
        old.path(),
        "12-gate.lua",
        &[],
        &["sort size=100: median 2556, ", "sort size=1000: median 235566, "],
    );
    recipe_in(new.path(), "12-gate.lua", &["--version=2"], &[]);
    recipe_in(other.path(), "12-gate.lua", &[], &[]);
    let judge = |new: &Path| {
        let new = new.join("journal");
        harness(old.path(), &["compare", "journal", new.to_str().unwrap()])
    };
    let (code, said) = judge(new.path());
    let last = "2 rows: 2 slower: regression";
    assert!(code == Some(1) && said.contains(last) && page().contains(last), "{code:?} {said}");
    let (code, said) = judge(other.path());
    assert!(code == Some(0) && said.contains("2 rows: 2 same"), "{code:?} {said}");
}

#[test]
fn export() {
    if support::no_compiler() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let csv = format!("--csv={}", home.path().join("triad.csv").display());
    recipe_in(home.path(), "13-export.lua", &[&csv], &["3 rows in ", "24 rows in "]);
    let question = "select count(*) as n from measurements where unit = 'GB/s'";
    let (code, said) = harness(home.path(), &["query", "journal", question, "--format", "csv"]);
    assert!(code == Some(0) && said == "n\n3\n", "{code:?} {said}");
    let (code, _) = harness(home.path(), &["export", "journal", "-o", "triad.parquet"]);
    assert!(
        code == Some(0) && std::fs::read(home.path().join("triad.parquet")).unwrap().starts_with(b"PAR1")
    );
}

#[test]
fn roofline() {
    let expected = [
        "peak: ",
        "memory limits below ",
        "gemm       16.00 operations a byte: ",
        "jacobi2d    0.21 operations a byte: ",
    ];
    recipe("14-roofline.lua", &["--size=100"], &expected);
}

/// `campaigns/lib`, by its own tests.
#[test]
fn the_library() {
    if support::no_compiler() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let ended = run(&root().join("campaigns"), "lib_check.lua", &[], home.path());
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout, "the library does what it says\n");
}
