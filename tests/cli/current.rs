//! What is current is what was asked for last: an edit that is undone makes the old records current again, for everybody.

use serde_json::Value;

use crate::support::Folder;

/// Measures what `in.txt` says, which is an input of it.
const OF_INPUT: &str = "
local pool <close> = spawn { slots = 1 }
await(submit(measure { name = 'm', cmd = { 'cat', 'in.txt' }, inputs = { 'in.txt' }, cwd = 'scratch', runs = 8, warmup = 0,
  metrics = { x = 'x: (%d+)' }, objective = 'x' }))
";

fn run(folder: &Folder, journal: &str, figure: u32) {
    folder.write("in.txt", format!("x: {figure}\n"));
    let ran = folder.run(&["-q", "--start", "local", "--journal", journal, "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
}

fn of_type(folder: &Folder, journal: &str, what: &str) -> Vec<Value> {
    folder.journal(journal).into_iter().filter(|line| line["type"] == what).collect()
}

/// Which figures are current.
fn current(folder: &Folder, journal: &str) -> String {
    let ran =
        folder.run(&["query", journal, "select median, current from measurements order by started_unix_s"]);
    ran.stdout.lines().skip(1).collect::<Vec<_>>().join(" ")
}

/// Measured with 10, edited, measured with 20; and the edit undone.
fn undone() -> Folder {
    let folder = Folder::with(OF_INPUT);
    run(&folder, "base", 10);
    run(&folder, "j", 10);
    run(&folder, "j", 20);
    assert_eq!((current(&folder, "j").as_str(), of_type(&folder, "j", "answered").len()), ("10,0 20,1", 0));
    assert_eq!(folder.run(&["compare", "base", "j"]).code, Some(1));
    run(&folder, "j", 10);
    folder
}

#[test]
fn an_answer_that_seemed_outdated_is_said_once() {
    let folder = undone();
    let key = of_type(&folder, "j", "measurement")[0]["key"].clone();
    let answered = of_type(&folder, "j", "answered");
    assert_eq!((answered.len(), &answered[0]["keys"]), (1, &Value::from(vec![key])));
    assert_eq!(current(&folder, "j"), "10,1 20,0");
    run(&folder, "j", 10);
    assert_eq!(of_type(&folder, "j", "answered").len(), 1, "ordinary answers leave no line");
    run(&folder, "j", 20);
    assert_eq!(current(&folder, "j"), "10,0 20,1");
    assert_eq!((of_type(&folder, "j", "answered").len(), of_type(&folder, "j", "measurement").len()), (2, 2));
}

#[test]
fn every_reader_takes_what_was_asked_for_last() {
    let folder = undone();
    let stdout = |args: &[&str]| {
        let ran = folder.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:#?}");
        ran.stdout
    };
    let exported = stdout(&["export", "j", "-o", "-", "--rows", "samples", "--format", "jsonl"]);
    assert!(
        exported.lines().count() == 8 && exported.contains("\"x\":10.0") && !exported.contains("\"x\":20.0"),
        "{exported}"
    );
    let one = stdout(&["show", "j", "m"]);
    assert!(one.contains("median 10") && one.contains(" of run 1\n") && !one.contains("outdated"), "{one}");
    let table = stdout(&["show", "j"]);
    assert!(table.contains("; 1 outdated task left out (--all)\n"), "{table}");
    let status = stdout(&["status", "j"]);
    assert!(status.contains("\n  recorded: 1 ok (1 measure); and 1 outdated task\n"), "{status}");
    stdout(&["report", "j"]);
    let page = folder.read("j.html");
    assert!(
        page.contains(r#""ended":{"ok":1},"outdated":1}"#) && page.contains("median\":10"),
        "{}",
        page.len()
    );
    stdout(&["compare", "base", "j"]);
    let history: Value = serde_json::from_str(&stdout(&["history", "j", "--json"])).unwrap();
    let points: Vec<&Value> =
        history["rows"][0]["points"].as_array().unwrap().iter().map(|point| &point["median"]).collect();
    assert_eq!(points, [&Value::from(10.0)], "{history}");
    let rerun: Value = serde_json::from_str(&stdout(&["rerun", "m", "j", "--json"])).unwrap();
    assert_eq!(rerun["then"]["id"], of_type(&folder, "j", "measurement")[0]["id"], "{rerun}");
}

#[test]
fn compacted_and_merged_journals_know_it_too() {
    let folder = undone();
    let merged = folder.run(&["journal", "merge", "base", "j", "-o", "both"]);
    assert_eq!(merged.code, Some(0), "{merged:#?}");
    assert_eq!(
        current(&folder, "both").split(' ').filter(|row| row.ends_with(",1")).collect::<Vec<_>>(),
        ["10,1"]
    );
    // Something superseded, so that there is something to leave out.
    run(&folder, "j", 10);
    let again = folder.run(&["-q", "--start", "local", "--retry", "ok", "--journal", "j", "c.lua"]);
    assert_eq!(again.code, Some(0), "{again:#?}");
    run(&folder, "j", 20);
    run(&folder, "j", 10);
    let compacted = folder.run(&["journal", "compact", "j"]);
    assert!(compacted.code == Some(0) && compacted.stdout.contains("1 line left out"), "{compacted:#?}");
    assert_eq!(current(&folder, "j"), "20,0 10,1");
    run(&folder, "j", 10);
    assert_eq!(current(&folder, "j"), "20,0 10,1");
}

/// What a run is compared with changes with the sources, as the program does: both were edited, not the script.
#[test]
fn what_it_is_verified_with_is_content_too() {
    for reference in ["{ 'sh', build }", "submit(exec { cmd = { 'sh', build } })", "'expected.txt'"] {
        let folder = Folder::with(&format!(
            "
            local pool <close> = spawn {{ slots = 1 }}
            local build = submit(compile {{ cmd = {{ 'cp', 'source', 'out' }}, inputs = {{ 'source' }}, output = 'out' }})
            assert(await(submit(measure {{ name = 'm', cmd = {{ 'sh', build }}, runs = 2, warmup = 0, verify = {{ reference = {reference} }},
              metrics = {{ x = 'x: (%d+)' }}, objective = 'x' }})).ok)
            "
        ));
        let run = |figure: u32| {
            folder.write("source", format!("echo sum {figure}\necho x: {figure}\n"));
            folder.write("expected.txt", format!("sum {figure}\nx: 5\n"));
            let ran = folder.run(&["-q", "--start", "local", "--journal", "j", "c.lua"]);
            assert_eq!(ran.code, Some(0), "{ran:#?}");
            ran.stderr
        };
        assert_eq!(run(10), "");
        run(20);
        assert_eq!(current(&folder, "j"), "10,0 20,1", "{reference}");
        run(10);
        assert_eq!(current(&folder, "j"), "10,1 20,0", "{reference}");
    }
}

/// The commands of one name, without parameters that tell them apart.
fn of_commands(figures: &str) -> String {
    format!(
        "local pool <close> = spawn {{ slots = 1 }}
        for figure in ('{figures}'):gmatch('%d+') do
          await(submit(measure {{ name = 'm', cmd = {{ 'echo', 'x: ' .. figure }}, runs = 1, warmup = 0,
            metrics = {{ x = 'x: (%d+)' }}, objective = 'x' }}))
        end"
    )
}

#[test]
fn something_new_outdates_nothing_that_is_asked_for_beside_it() {
    let folder = Folder::new();
    let run = |figures: &str, now: &str| {
        folder.write("c.lua", of_commands(figures));
        let ran = folder.run(&["-q", "--start", "local", "--journal", "j", "c.lua"]);
        assert_eq!((ran.code, current(&folder, "j").as_str()), (Some(0), now), "{ran:#?}");
        of_type(&folder, "j", "answered").len()
    };
    assert_eq!(run("1 2", "1,1 2,1"), 0);
    assert_eq!(run("1 2 3", "1,1 2,1 3,1"), 1);
    assert_eq!(run("1 2 3", "1,1 2,1 3,1"), 1);
    assert_eq!(run("4 3", "1,0 2,0 3,1 4,1"), 2);
    // Another script is another version, and so is that of before.
    assert_eq!(run("1 2", "1,1 2,1 3,0 4,0"), 3);
}
