//! The campaigns beside the kernels run, quickly, in the real binary, those of the cook book too (`cookbook`); and searches
//! by flows take the same way again.
//!
//! What they print of figures is not judged, only that they come to their end and say what they are there to show.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // starts the real binary

#[path = "campaigns/cookbook.rs"]
mod cookbook;
#[path = "campaigns/searchers.rs"]
mod searchers;
#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(folder: &Path, script: &str, args: &[&str], home: &Path) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_harness"))
        .args(["--start", "local", "--slots", "2", "--seed", "7", "--journal"])
        .arg(home.join("journal"))
        .arg(script)
        .args(args)
        .current_dir(folder)
        .env("HARNESS_CACHE", home.join("cache"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// What `harness check` finds: nothing wrong. So many tasks it says would run, unless that depends on figures.
fn planned(folder: &Path, script: &str, args: &[&str]) -> Option<usize> {
    let output = Command::new(env!("CARGO_BIN_EXE_harness"))
        .args(["check", script, "--"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    // One looks at what failed, where nothing fails that does not run.
    let warnings = if script == "lib_check.lua" { "1 warning" } else { "0 warnings" };
    let is_good = said.lines().any(|line| line == format!("{script}: 0 errors, {warnings}"));
    assert!(output.status.success() && is_good, "{said}{}", String::from_utf8_lossy(&output.stderr));
    let is_one_way = ["depends on figures", "it may go on"].iter().any(|text| said.contains(text));
    let count = said.lines().find_map(|line| line.trim().strip_prefix("would run "))?.split(' ').next()?;
    (!is_one_way).then(|| if count == "no" { Some(0) } else { count.parse().ok() }).flatten()
}

#[test]
fn nothing_is_wrong_with_any_campaign() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("campaigns");
    for below in ["", "cookbook", "lib", "polybench", "tadashi"] {
        let entries = std::fs::read_dir(folder.join(below)).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| path.extension().is_some_and(|end| end == "lua")) {
            planned(&folder, path.strip_prefix(&folder).unwrap().to_str().unwrap(), &[]);
        }
    }
}

/// Runs it with `--help` and with these arguments; it has to print all of `expected`.
fn campaign(script: &str, args: &[&str], expected: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("campaigns");
    let home = tempfile::tempdir().unwrap();
    let help = run(&folder, script, &["--help"], home.path());
    let usage = format!("usage: harness {script} [OPTION]...");
    assert!(help.code == Some(0) && help.stdout.starts_with(&usage), "{}{}", help.stdout, help.stderr);
    let planned = planned(&folder, script, args);
    let ended = run(&folder, script, args, home.path());
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    if let Some(planned) = planned {
        // Of none nothing is said.
        let tasks = if planned == 0 { String::new() } else { format!("harness: {planned} task") };
        let said = ended.stderr.lines().find(|line| line.starts_with("harness: ") && line.contains(" task"));
        assert!(
            said.unwrap_or_default().starts_with(&tasks) && said.is_some() == (planned > 0),
            "not the {planned} tasks of the plan: {}",
            ended.stderr
        );
    }
    for text in expected {
        assert!(ended.stdout.contains(text), "no `{text}` in\n{}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn flags() {
    let args = ["--size=64", "--compilers=gcc,no-such-compiler", "--near=1000", "--rounds=8"];
    let expected = [
        "no-such-compiler is left out: program `no-such-compiler` not found",
        "<- best",
        "-Ofast",
        "final, ",
    ];
    campaign("flags.lua", &args, &expected);
}

#[test]
fn closures() {
    let expected = ["recursion: ", "state: ", "module: ", "closures as results: "];
    campaign("closures.lua", &["--limit=20000", "--panels=8", "--samples=20000"], &expected);
}

#[test]
fn pipeline() {
    let expected = [
        "2 of 5 variants have a figure",
        "does not compile   skipped: ",
        "computes nonsense  verify_failed: ",
        "is given nonsense  nonzero_exit: ",
        "the first failure: ",
    ];
    campaign("pipeline.lua", &["--size=64", "--runs=1"], &expected);
}

/// A short search: most of what is tried computes something else, and the winner is measured afresh beside the baseline.
#[test]
fn polybench_tune() {
    let args = ["--kernel=seidel-2d", "--budget=8", "--rounds=7", "--runs=2"];
    let expected = ["search of 8 trials (", " failed, ", "measured afresh: ", "  beside the baseline: "];
    campaign("polybench/tune.lua", &args, &expected);
}

/// In recorded tables of eight kernels: 20 searches of each strategy in each. Nothing is measured.
#[test]
fn polybench_regret() {
    campaign("polybench/regret.lua", &["--check"], &["| `random` | ", "| `bandit` | "]);
}

/// The Python that has TADASHI.
fn tadashi() -> Option<String> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/tadashi");
    let asked = Command::new(fetched).arg("--there").stderr(Stdio::inherit()).output().unwrap();
    if !asked.status.success() {
        support::skip("there is no TADASHI: tools/tadashi fetches it");
        return None;
    }
    Some(format!("--python={}", String::from_utf8(asked.stdout).unwrap().trim()))
}

/// State in somebody's shared library, and what goes wrong there, by its name.
#[test]
fn tadashi_failures() {
    let Some(python) = tadashi() else { return };
    let expected = [
        "original   ok ",
        "swapped    ok ",
        "refused    illegal        interchange 1.1",
        "forced     verify_failed  warm-up run 1: output differs in line 1: expected `checksum ",
        "crashing   signal         warm-up run 1: killed by signal 11 (SIGSEGV)",
        "hanging    timeout        warm-up run 1: ran into its timeout of 1 s",
        "session    signal         ",
        "killed by signal 11 (SIGSEGV); after it 12 steps can be tried",
        "session    timeout        ",
        "no answer within 0.5 s; it was ended; after it 12 steps can be tried",
        "session    error          ",
        "ValueError: Not valid args=(0, 0), for tr_name='tile_2d'; after it 12 steps can be tried",
    ];
    campaign("tadashi/failures.lua", &[&python, "--size=96"], &expected);
}

/// Each strategy, on kernels that are searched side by side; what is illegal is counted by its name.
#[test]
fn tadashi_search() {
    let Some(python) = tadashi() else { return };
    let head = "beside the baseline  ";
    for (strategy, kernels, expected) in [
        ("mcts", "gemm,jacobi-2d", ["\ngemm ", "\njacobi-2d "]),
        ("climb", "lu,atax", ["\nlu ", "\natax "]),
        ("ga", "2mm,seidel-2d", ["\n2mm ", " illegal"]),
    ] {
        let (strategy, kernels) = (format!("--strategy={strategy}"), format!("--kernels={kernels}"));
        let small = ["--budget=10", "--depth=2", "--size=48", "--runs=2", "--rounds=7"];
        let args = [&[python.as_str(), &strategy, &kernels], &small[..]].concat();
        campaign("tadashi/search.lua", &args, &[&[head], &expected[..]].concat());
    }
}

#[test]
fn scaling() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("scaling.csv");
    let csv = format!("--csv={}", file.display());
    let args = ["--threads=1,2", "--size=64", "--runs=2", "--repetitions=2", &csv];
    campaign("scaling.lua", &args, &["strong         2", "weak           2", "16 rows in "]);
    let rows = std::fs::read_to_string(file).unwrap();
    assert_eq!(rows.lines().count(), 17, "{rows}");
}

/// The same over the ranks of an MPI application, with the MPI of this build.
#[cfg(feature = "mpi")]
#[test]
fn scaling_over_ranks() {
    let (Ok(mpicc), Ok(mpirun)) = (std::env::var("MPICC"), std::env::var("HARNESS_MPIRUN")) else {
        assert!(std::env::var_os("HARNESS_CI").is_none(), "tools/with-mpi names the MPI");
        return println!("skipped: MPICC and HARNESS_MPIRUN are not set");
    };
    let (mpicc, launcher) = (format!("--mpicc={mpicc}"), format!("--launcher={mpirun} -n {{ranks}}"));
    let args = ["--ranks=1,2", "--size=64", "--runs=2", "--repetitions=1", &mpicc, &launcher];
    campaign("scaling.lua", &args, &["ranks", "strong         2", "weak           2"]);
}

#[test]
fn flows_take_the_same_way_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("campaigns");
    let home = tempfile::tempdir().unwrap();
    campaign("flows.lua", &["--small", "--runs=1"], &["gemm      best tile", "measurements by 2 searches"]);
    let args = ["--small", "--runs=2"];
    let first = run(&folder, "flows.lua", &args, home.path());
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let second = run(&folder, "flows.lua", &args, home.path());
    assert_eq!(second.stdout, first.stdout, "{}", second.stderr);
    assert!(!second.stderr.contains(" 0 from the journal") && second.stderr.contains("from the journal"));
}

/// Three flows whose tasks end in an order nobody knows before: the second run resumes them in that of the first.
#[test]
fn a_second_run_resumes_flows_in_the_same_order() {
    const SCRIPT: &str = "
        local order = {}
        local function nap(name, n, ms)
          return submit(measure { name = name, params = { n = n }, cmd = { 'sleep', ms / 1000 }, runs = 1,
            warmup = 0, exclusive = false })
        end
        local function flow(name, factor)
          for n = 1, 6 do
            local a, b = nap(name, n, (n * factor) % 17), nap(name, -n, (n * factor * 5) % 13)
            for _, record in as_completed { a, b } do order[#order + 1] = name .. record.params.n end
          end
        end
        local flows = { go(flow, 'a', 7), go(flow, 'b', 11), go(flow, 'c', 3) }
        for i, f in ipairs(flows) do f:on_done(function() order[#order + 1] = 'end of ' .. i end) end
        wait(flows)
        print(table.concat(order, ' '))";
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("order.lua"), SCRIPT).unwrap();
    let first = run(home.path(), "order.lua", &[], home.path());
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(first.stdout.split("end of").count(), 4, "{}", first.stdout);
    let second = run(home.path(), "order.lua", &[], home.path());
    assert_eq!(second.stdout, first.stdout);
    assert!(second.stderr.contains("36 tasks (36 from the journal): 36 ok"), "{}", second.stderr);
}
