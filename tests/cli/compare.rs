//! `harness compare` and `harness history`, on journals whose records are made here, and on real ones. What programs print
//! is what counts there, so that nothing depends on how fast this machine is. Measuring once more is `confirm`'s.

use std::fs;
use std::process::Stdio;

use harness::model::{MeasureResult, Outcome, Status};
use serde_json::{Value, json};

use crate::said;
use crate::support::measured::{about, ill, record, timed, well};
use crate::support::{self, Folder, Ran};

/// 2026-11-20 03:00 UTC.
const FRIDAY: f64 = 1_795_143_600.0;
const DAY: f64 = 86_400.0;

/// Writes a journal of a session that began then: a row for each tile of a kernel.
fn journal(folder: &Folder, name: &str, unix_s: f64, rows: &[(&str, i64, Outcome)]) {
    let of = |(name, tile, outcome): &(&str, i64, Outcome)| {
        record(name, Some(json!({ "tile": tile })), unix_s, outcome)
    };
    let records = rows.iter().map(of).collect();
    folder.write(name, support::measured::journal("c.lua", unix_s, records));
}

fn runs(median: f64) -> Outcome {
    well(about(median))
}

pub(super) fn compare(folder: &Folder, args: &[&str]) -> Ran {
    folder.run(&[&["compare"], args].concat())
}

/// Journals of three days, on the last of which one is slower and one fails.
fn three_days() -> Folder {
    let folder = Folder::new();
    let rows = |slower: f64, fails: Outcome| {
        [
            ("gemm", 8, runs(1.0)),
            ("gemm", 16, runs(slower)),
            ("gemm", 32, fails),
            ("gemm", 64, well(MeasureResult { flags: vec!["unstable".into()], ..timed(&[1.0; 3]) })),
        ]
    };
    journal(&folder, "fri.journal", FRIDAY, &rows(0.5, runs(0.3)));
    journal(&folder, "sat.journal", FRIDAY + DAY, &rows(0.501, runs(0.3)));
    journal(&folder, "sun.journal", FRIDAY + 2.0 * DAY, &rows(0.54, ill(Status::VerifyFailed, "as it says")));
    folder
}

const TWO: &str = "note: 2 sessions before it: what differs from day to day or from node to node counts as a change; from 3 \
                   earlier sessions on it does not\n";

#[test]
fn what_is_worse_stands_first_and_ends_it_with_1() {
    let folder = three_days();
    let text = "\
sun.journal, before it fri.journal, sat.journal
NOTE\
slower       gemm tile=16: 1.079x slower, 95 % CI [1.075, 1.083]; 540.0 ms, before 500.5 ms; n = 10, before 10 in each of 2 sessions
failed       gemm tile=32: now verify_failed: as it says
unresolved   gemm tile=64: n = 3: with fewer than 7 runs there is no interval (`runs = 7`, better more); flags unstable, before the same
same         gemm tile=8: 1.000x, 95 % CI [0.997, 1.003]; 1.000 s, before 1.000 s; n = 10, before 10 in each of 2 sessions
4 rows: 1 slower, 1 failed, 1 unresolved, 1 same: regression
"
    .replace("NOTE", TWO);
    let ran = compare(&folder, &["fri.journal", "sat.journal", "sun.journal"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(1), text.as_str(), ""));
    let json = compare(&folder, &["--json", "fri.journal", "sat.journal", "sun.journal"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["schema"], &json["conclusion"]), (&json!("harness.compare/1"), &json!("regression")));
    let row = &json["rows"][0];
    assert_eq!((&row["name"], &row["verdict"]), (&json!("gemm tile=16"), &json!("slower")));
    let ratio = row["ratio"].as_f64().unwrap();
    assert!((0.92..0.94).contains(&ratio), "as in `compare`: above 1 is better now: {row:#}");
    assert_eq!((row["before"].as_array().unwrap().len(), &row["now"]["n"]), (2, &json!(10)));
}

#[test]
fn every_answer_has_its_exit_code_and_no_error_has_one_of_theirs() {
    let folder = three_days();
    journal(&folder, "good.journal", FRIDAY + 3.0 * DAY, &[("gemm", 8, runs(1.0))]);
    journal(&folder, "fast.journal", FRIDAY + 4.0 * DAY, &[("gemm", 8, runs(0.9))]);
    journal(&folder, "empty.journal", FRIDAY, &[]);
    folder.write("no.journal", "no journal\n");
    for (args, code, says) in [
        (&["good.journal", "fast.journal"][..], 0, "1 row: 1 faster: no regression\n"),
        (&["fast.journal", "good.journal"], 1, "1 row: 1 slower: regression\n"),
        (&["fri.journal", "good.journal"], 2, "4 rows: 3 missing, 1 same: inconclusive\n"),
        (&["empty.journal", "good.journal"], 2, "1 row: 1 new: inconclusive\n"),
        (
            &["--tolerance", "0.001", "fri.journal", "good.journal"],
            2,
            "1 unresolved, 3 missing: inconclusive\n",
        ),
        (&["--min-effect", "0.2", "fast.journal", "good.journal"], 2, "1 row: 1 unresolved: inconclusive\n"),
    ] {
        let ran = compare(&folder, args);
        assert!(ran.code == Some(code) && ran.stdout.ends_with(says), "{args:?}: {ran:#?}");
    }
    for (args, code, says) in [
        (&[][..], 64, "error: the following required arguments were not provided"),
        (&["good.journal"], 64, "error: the following required arguments were not provided"),
        (&["--frobnicate", "good.journal", "fast.journal"], 64, "error: unexpected argument '--frobnicate'"),
        (
            &["--tolerance", "5", "good.journal", "fast.journal"],
            64,
            "harness: --tolerance: expected a part between 0 and 1, such as 0.01 for 1 %, got '5'",
        ),
        (&["no.journal", "good.journal"], 65, "no.journal: this is no journal of harness"),
        (
            &["empty.journal", "empty.journal"],
            65,
            "harness: compare: there is no measurement in any of the journals",
        ),
        (&["none.journal", "good.journal"], 66, "harness: compare: there is no none.journal; a campaign has"),
        (
            &["--junit", "good.journal", "good.journal", "fast.journal"],
            64,
            "harness: compare: good.journal is a journal, and would be lost: --junit and --markdown are followed by",
        ),
        (
            &["--junit", "no/x.xml", "good.journal", "fast.journal"],
            73,
            "harness: compare: cannot write no/x.xml: ",
        ),
    ] {
        let ran = compare(&folder, args);
        assert!(ran.code == Some(code) && ran.stderr.contains(says), "{args:?}: {ran:#?}");
        assert_eq!(ran.stdout, "", "{args:?}");
    }
    let before = folder.run(&["--json", "compare", "good.journal"]);
    assert!(before.code == Some(64) && before.stderr.contains("they go after its name"), "{before:#?}");
    let help = compare(&folder, &["--help"]);
    assert!(help.code == Some(0) && help.stdout.contains("the function `compare` of a script"), "{help:#?}");
}

#[test]
fn files_and_annotations_say_the_same() {
    let folder = three_days();
    let args =
        ["--github", "--junit", "x.xml", "--markdown", "x.md", "fri.journal", "sat.journal", "sun.journal"];
    let ran = compare(&folder, &args);
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(lines.len(), 3, "{ran:#?}");
    assert!(
        lines[0].starts_with("::error title=slower gemm tile=16::gemm tile=16: 1.079x slower, 95 %25 CI [")
    );
    assert_eq!(lines[1], "::error title=failed gemm tile=32::gemm tile=32: now verify_failed: as it says");
    assert!(lines[2].starts_with("::warning title=unresolved gemm tile=64::"), "{lines:#?}");

    let xml = folder.read("x.xml");
    let tree = roxmltree::Document::parse(&xml).unwrap();
    let suite = tree.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let counts =
        ["tests", "failures", "errors", "skipped"].map(|name| suite.attribute(name).unwrap_or_default());
    assert_eq!(counts, ["4", "2", "0", "1"]);
    let tests = suite.children().filter(|node| node.has_tag_name("testcase"));
    let tests: Vec<(&str, &str)> = tests
        .map(|test| (test.attribute("name").unwrap(), test.first_element_child().unwrap().tag_name().name()))
        .collect();
    let expected = [
        ("gemm tile=16", "failure"),
        ("gemm tile=32", "failure"),
        ("gemm tile=64", "skipped"),
        ("gemm tile=8", "system-out"),
    ];
    assert_eq!(tests, expected);

    let markdown = folder.read("x.md");
    assert!(
        markdown.starts_with("**4 rows: 1 slower, 1 failed, 1 unresolved, 1 same: regression**\n"),
        "{markdown}"
    );
    assert!(markdown.contains(
        "| slower | gemm tile=16 | 1.079x slower, 95 % CI \\[1.075, 1.083\\] | 540.0 ms | 500.5 ms |"
    ));
    assert!(markdown.contains("<details><summary>1 the same</summary>"), "{markdown}");
}

/// What it measures is in the file `value`.
pub(super) const PRINTS: &str = "
local pool <close> = spawn { slots = 1 }
for tile = 1, 2 do
  submit(measure { name = 'm', params = { tile = tile }, cmd = { 'sh', '-c', 'echo \"x: $(cat value)\"' }, runs = 8,
    metrics = { x = { 'x: ([%d.]+)', unit = 'ms' } }, objective = 'x' })
end
";

pub(super) fn measured(folder: &Folder, value: &str, journal: &str) {
    folder.write("value", value);
    let ran = folder.run(&["-q", "--journal", journal, "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// A suspect whose runs wait while there is a file `hold`, which there is.
pub(super) fn held() -> Folder {
    let script = "submit(measure { name = 'm', runs = 8, metrics = { x = 'x: ([%d.]+)' }, objective = 'x',
      shell = 'echo >> log; while [ -e hold ]; do sleep 0.01; done; echo \"x: $(cat value)\"' })";
    let folder = Folder::with(script);
    measured(&folder, "10\n", "base.journal");
    measured(&folder, "12\n", "new.journal");
    folder.write("hold", "");
    folder
}

#[test]
fn what_is_empty_or_no_file_is_no_answer() {
    let folder = held();
    folder.write("empty.journal", "");
    let ran = compare(&folder, &["base.journal", "empty.journal"]);
    assert!(
        ran.code == Some(65) && ran.stderr.contains("is empty: no campaign has written to it yet"),
        "{ran:#?}"
    );
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for line in [&["compare", "base.journal", "pipe"][..], &["show", "pipe"], &["journal", "check", "pipe"]] {
        let ran = folder.run(line);
        assert!(ran.code.is_some_and(|code| code != 0) && ran.stderr.contains("pipe"), "{ran:#?}");
    }
}

#[test]
fn machine_code_that_is_the_same_has_not_become_slower() {
    let script = "submit(measure { name = 'm', runs = 8, cmd = { './prog', 'value' }, metrics = { x = '([%d.]+)' }, objective = 'x' })";
    let folder = Folder::with(script);
    fs::copy("/bin/cat", folder.path("prog")).unwrap();
    measured(&folder, "10\n", "base.journal");
    measured(&folder, "12\n", "new.journal");
    let ran = compare(&folder, &["--confirm", "base.journal", "new.journal"]);
    let why = "its code and data are those of an earlier session, and it was measured in the same way: what differs is the machine \
               or its state, or what the program reads and loads";
    assert!(ran.code == Some(2) && ran.stdout.contains(why), "{ran:#?}");
    assert!(
        ran.stdout.ends_with("1 row: 1 same_program: inconclusive\n") && ran.stderr.is_empty(),
        "{ran:#?}"
    );
    // With other arguments it is another measurement.
    folder.write("c.lua", script.replace("'value'", "'-u', 'value'"));
    measured(&folder, "12\n", "other.journal");
    assert_eq!(compare(&folder, &["base.journal", "other.journal"]).code, Some(1));
}

#[test]
fn machine_code_that_is_made_on_the_way_is_not_what_lay_there_before() {
    let measure =
        "name = 'm', runs = 8, cmd = { './prog', 'value' }, metrics = { x = '([%d.]+)' }, objective = 'x'";
    // Its program is named before it is made anew.
    let make = "shell = 'until [ -e go ]; do sleep 0.01; done; sh make.sh'";
    let by_setup = format!("submit(measure {{ setup = {{ 'sh', 'make.sh' }}, {measure} }})");
    let by_a_task = format!(
        "os.remove 'go'; submit(exec {{ {make} }}); submit(measure {{ {measure} }}); io.open('go', 'w'):close()"
    );
    for script in [by_setup, by_a_task] {
        let folder = Folder::with(&script);
        fs::copy("/bin/cat", folder.path("prog")).unwrap();
        folder.write("make.sh", "cp /bin/cat new && mv new prog\n");
        measured(&folder, "10\n", "base.journal");
        folder.write("make.sh", "cp /bin/head new && mv new prog\n");
        measured(&folder, "12\n", "new.journal");
        assert_eq!(compare(&folder, &["base.journal", "new.journal"]).code, Some(1), "{script}");
        let ran = compare(&folder, &["--confirm", "base.journal", "new.journal"]);
        assert!(ran.code == Some(1) && !ran.stdout.contains("was not measured"), "{script}: {ran:#?}");
    }
}

#[test]
fn a_build_that_fails_now_is_a_regression() {
    let folder = Folder::with(
        "local build = submit(compile { name = 'b', cmd = { 'sh', '-c', 'cat src > prog; chmod +x prog; sh -n prog' }, \
           inputs = { 'src' }, output = 'prog' })
         submit(measure { name = 'm', runs = 8, cmd = { build }, metrics = { x = 'x: (%d+)' }, objective = 'x' })",
    );
    for (source, journal) in [("#!/bin/sh\necho x: 1\n", "base.journal"), ("if\n", "new.journal")] {
        folder.write("src", source);
        folder.run(&["-q", "--journal", journal, "c.lua"]);
    }
    let ran = compare(&folder, &["base.journal", "new.journal"]);
    let line = "failed       m: now skipped: task 0, which it depends on, ended compile_failed: ";
    assert!(ran.code == Some(1) && ran.stdout.contains(line), "{ran:#?}");
}

#[test]
fn an_answer_that_cannot_be_written_is_none() {
    let folder = three_days();
    for args in [&["compare", "fri.journal", "sat.journal"][..], &["history", "fri.journal"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = folder.harness(args);
        let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let says = format!("harness: {}: cannot write to standard output: No space left on device", args[0]);
        assert!(output.status.code() == Some(73) && said.starts_with(&says), "{output:?}");
    }
}

#[test]
fn a_journal_that_only_answered_is_no_new_session() {
    let folder = Folder::with(PRINTS);
    measured(&folder, "10\n", "base.journal");
    std::fs::copy(folder.path("base.journal"), folder.path("new.journal")).unwrap();
    measured(&folder, "12\n", "new.journal");
    let ran = compare(&folder, &["base.journal", "new.journal"]);
    let why = "unresolved   m tile=1: it is the record of an earlier journal, answered from there: measure it anew, with \
               --fresh or in a new journal";
    assert!(ran.code == Some(2) && ran.stdout.contains(why), "{ran:#?}");
}

#[test]
fn the_history_says_since_when() {
    let folder = Folder::new();
    for (day, median) in [1.0, 1.002, 1.0, 1.1, 1.101].into_iter().enumerate() {
        let rows = [("gemm", 8, runs(median)), ("gemm", 16, runs(1.0))];
        journal(&folder, &format!("{day}.journal"), FRIDAY + DAY * day as f64, &rows);
    }
    journal(&folder, "5.journal", FRIDAY + DAY * 5.0, &[("gemm", 8, ill(Status::Timeout, "as it says"))]);
    let names = ["5.journal", "3.journal", "0.journal", "1.journal", "2.journal", "4.journal"];
    let ran = folder.run(&[&["history"], &names[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "gemm tile=16 (wall_s): 5 measurements ▁▁▁▁▁");
    assert_eq!(lines[6], "gemm tile=8 (wall_s): 6 measurements ▁▁▁██✗");
    assert_eq!(
        lines[7],
        "  2026-11-20T03:00Z  0.journal: median 1.000 s, 95 % CI [0.997, 1.004], n = 10, fixed"
    );
    assert_eq!(lines[11], "    since 2026-11-23T03:00Z, 3.journal: 1.101x slower (1.101 s, before 1.000 s)");
    assert_eq!(lines[13], "  2026-11-25T03:00Z  5.journal: timeout: as it says");
    assert_eq!(lines.len(), 14, "{ran:#?}");
    let json = folder.run(&[&["history", "--json"], &names[..]].concat());
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let row = &json["rows"][1];
    assert_eq!((&row["name"], row["points"].as_array().unwrap().len()), (&json!("gemm tile=8"), 6));
    assert_eq!((&row["points"][5]["status"], &row["points"][5]["median"]), (&json!("timeout"), &Value::Null));
    assert_eq!(row["steps"][0]["journal"], "3.journal");
    said(
        &folder,
        folder.run(&["history", "none.journal"]),
        2,
        "",
        "harness: history: there is no none.journal; a campaign has a journal once it was started\n",
    );
}

#[test]
fn what_was_measured_again_is_a_point_of_its_own() {
    let folder = Folder::with(PRINTS);
    measured(&folder, "10\n", "c.journal");
    assert_eq!(folder.run(&["rerun", "m tile=1", "c.journal"]).code, Some(0));
    let ran = folder.run(&["history", "c.journal"]);
    assert!(ran.stdout.starts_with("m tile=1 (x): 2 measurements ▁▁\n"), "{ran:#?}");
    assert_eq!(ran.stdout.matches("  c.journal (again): median 10.00 ms, 95 % CI").count(), 1, "{ran:#?}");
}

/// `--markdown /dev/stdout >> log` replaces nothing.
#[test]
fn a_file_that_is_printed_to_has_both() {
    let folder = held();
    let mut command = folder.harness_after(
        "exec > out.md",
        &["compare", "base.journal", "new.journal", "--markdown", "/dev/stdout"],
    );
    assert_eq!(command.status().unwrap().code(), Some(1));
    let out = folder.read("out.md");
    assert!(out.contains("| --- |") || out.contains("|---"), "{out}");
    assert!(out.ends_with("1 row: 1 slower: regression\n"), "{out}");
}
