//! What regressions.md shows is what happens: its transcripts are compared with what the real binary says of journals made
//! for them, and the jobs it proposes for GitHub and GitLab are run as their runners would.
//!
//! In a transcript `⋮` stands for lines, and `…` at the end of a line for the rest of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::model::{Measurement, Outcome, Status};
use serde_json::json;

use super::measured::{about, ill, journal, record, well};
use super::{blocks, root};

const PAGE: &str = "docs/regressions.md";
/// 2026-11-20 03:00 UTC, a Friday.
const FRIDAY: f64 = 1_795_143_600.0;
const DAY: f64 = 86_400.0;

/// Writes the journal of that day: a row for each tile.
fn write(folder: &Path, name: &str, day: usize, rows: Vec<(i64, Outcome)>) {
    let unix_s = FRIDAY + DAY * day as f64;
    let of = |(tile, outcome): (i64, Outcome)| -> Measurement {
        record("gemm", Some(json!({ "tile": tile })), unix_s, &outcome)
    };
    let records = rows.into_iter().map(of).collect();
    fs::write(folder.join(name), journal("bench.lua", unix_s, records)).unwrap();
}

/// The journals of the transcripts.
fn journals() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let run = |median: f64| well(about(median));
    for (day, name, slower) in [(0, "fri", 0.5), (1, "sat", 0.501), (2, "sun", 0.54)] {
        let last = if day == 2 { ill(Status::VerifyFailed, "another result") } else { run(0.3) };
        let rows = vec![(8, run(1.0)), (16, run(slower)), (32, last)];
        write(folder.path(), &format!("{name}.journal"), day, rows);
    }
    fs::create_dir(folder.path().join("nightly")).unwrap();
    for (day, median) in [1.0, 1.002, 1.0, 1.1, 1.101].into_iter().enumerate() {
        write(folder.path(), &format!("nightly/{day}.journal"), day, vec![(8, run(median))]);
    }
    let timeout = ill(Status::Timeout, "ran into its limit of 60 s");
    write(folder.path(), "nightly/5.journal", 5, vec![(8, timeout)]);
    folder
}

/// A line, or several, of a shell that finds harness and keeps everything in `folder`.
fn bash(folder: &Path, text: &str) -> Output {
    let bin = Path::new(env!("CARGO_BIN_EXE_harness")).parent().unwrap();
    let path =
        std::env::join_paths([bin, Path::new("/usr/local/bin"), Path::new("/usr/bin"), Path::new("/bin")]);
    let mut command = Command::new("bash");
    command.args(["-e", "-o", "pipefail", "-c", text]).current_dir(folder).env_clear();
    command.env("PATH", path.unwrap()).env("HOME", folder).env("HARNESS_CACHE", folder.join("cache"));
    for (name, value) in [
        ("LC_ALL", "C"),
        ("GITHUB_REF", "refs/heads/main"),
        ("GITHUB_SHA", "c0ffee"),
        ("GITHUB_STEP_SUMMARY", "summary.md"),
        ("CI_COMMIT_BRANCH", "main"),
        ("CI_DEFAULT_BRANCH", "main"),
        ("CI_COMMIT_SHA", "c0ffee"),
    ] {
        command.env(name, value);
    }
    command.output().unwrap()
}

/// Is it what the page shows?
fn is_shown(shown: &[&str], said: &[&str]) -> bool {
    match shown.split_first() {
        None => said.is_empty(),
        Some((&"⋮", rest)) => (0..=said.len()).any(|passed| is_shown(rest, &said[passed..])),
        Some((line, rest)) => said.split_first().is_some_and(|(first, others)| {
            let fits = match line.strip_suffix('…') {
                Some(beginning) => first.starts_with(beginning),
                None => first == line,
            };
            fits && is_shown(rest, others)
        }),
    }
}

#[test]
fn transcripts_are_what_harness_says() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let folder = journals();
    let mut compared = 0;
    for block in blocks(&page).iter().filter(|block| block.language == "text") {
        let mut lines = block.text.lines();
        let Some(typed) = lines.next().and_then(|line| line.strip_prefix("$ ")) else { continue };
        let output = bash(folder.path(), typed);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let shown: Vec<&str> = lines.collect();
        let says: Vec<&str> = said.lines().collect();
        assert!(is_shown(&shown, &says), "{PAGE}:{}: `{typed}` says\n{said}", block.line);
        compared += 1;
    }
    assert_eq!(compared, 2);
}

/// Its figures are in files, so that nothing depends on how fast this machine is.
const BENCH: &str = "
local pool <close> = spawn { slots = 1 }
local runs = io.open('few') and 3 or 8
for tile = 1, 2 do
  submit(measure { name = 'gemm', params = { tile = tile }, shell = 'echo \"x: $(cat value)\"', runs = tile == 1 and runs or 8,
    metrics = { x = 'x: ([%d.]+)' }, objective = 'x' })
end
";

/// The shells of a job, one after another: GitHub's steps have one each, GitLab's script has one.
fn shells(block: &str, store: &Path) -> Vec<String> {
    let block = block.replace("/var/lib/harness", &store.display().to_string());
    let mut shells: Vec<String> = Vec::new();
    // The indentation of the key whose lines follow.
    let mut below = None;
    for line in block.lines() {
        let depth = line.len() - line.trim_start().len();
        let item = line.trim_start().trim_start_matches("- ");
        match (below, item.strip_prefix("run: ")) {
            (Some((key, _)), _) if depth > key => {
                let text = if below.is_some_and(|(_, is_list)| is_list) { item } else { line.trim_start() };
                shells.last_mut().unwrap().extend([text, "\n"]);
            }
            (_, Some("|")) => {
                shells.push(String::new());
                below = Some((depth, false));
            }
            (_, Some(line)) => shells.push(line.into()),
            _ if line == "  script:" => {
                shells.push(String::new());
                below = Some((depth, true));
            }
            _ => below = None,
        }
    }
    shells
}

#[test]
fn the_jobs_stop_at_a_regression_and_keep_what_is_none() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let jobs = blocks(&page);
    let jobs: Vec<_> = jobs.iter().filter(|block| block.language == "yaml").collect();
    assert_eq!(jobs.len(), 2);
    for (job, inconclusive) in jobs.into_iter().zip([0, 2]) {
        let folder = tempfile::tempdir().unwrap();
        let (here, store) = (folder.path(), folder.path().join("store"));
        fs::create_dir(&store).unwrap();
        fs::write(here.join("bench.lua"), BENCH).unwrap();
        fs::write(here.join("value"), "10\n").unwrap();
        assert!(bash(here, "harness -q --journal store/base.journal bench.lua").status.success());
        let shells = shells(&job.text, &store);
        let ends = |code: i32, kept: bool| {
            let _ = fs::remove_file(store.join("c0ffee.journal"));
            let mut last = None;
            for shell in &shells {
                let output = bash(here, shell);
                let is_over = !output.status.success();
                last = Some(output);
                if is_over {
                    break;
                }
            }
            let is_kept = store.join("c0ffee.journal").exists();
            let output = last.unwrap();
            let place = format!("{PAGE}:{}", job.line);
            assert_eq!(
                (output.status.code(), is_kept),
                (Some(code), kept),
                "{place}: {output:?}\n{shells:#?}"
            );
            assert!(fs::read_to_string(here.join("compare.xml")).unwrap().contains("<testsuite "));
        };
        ends(0, true);
        fs::write(here.join("value"), "12\n").unwrap();
        ends(1, false);
        fs::write(here.join("value"), "10\n").unwrap();
        fs::write(here.join("few"), "").unwrap();
        ends(inconclusive, true);
    }
}
