//! `harness export`: journals as files for other programs, read back by other means than they were written with.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use rustix::process::Signal;
use serde_json::Value;

use crate::query::asked;
use crate::said;
use crate::support::Folder;

/// Into a file; what is said of it.
#[track_caller]
fn export(folder: &Folder, args: &[&str]) -> String {
    let ran = folder.run(&[&["export"], args].concat());
    let said = ran.stderr.strip_prefix("harness: export: wrote ").and_then(|rest| rest.strip_suffix('\n'));
    let said = said.filter(|said| !said.contains('\n') && ran.code == Some(0) && ran.stdout.is_empty());
    said.unwrap_or_else(|| panic!("{ran:#?}")).to_owned()
}

#[track_caller]
fn exported(folder: &Folder, args: &[&str]) -> String {
    let ran = folder.run(&[&["export", "-o", "-"], args].concat());
    let is_silent = ran.stderr.is_empty() || args.contains(&"hyperfine");
    assert!(ran.code == Some(0) && is_silent, "{ran:?}");
    ran.stdout
}

#[test]
fn rows_are_those_that_a_script_writes() {
    let folder = Folder::with(
        "local harness = require 'harness'
        local all = {}
        for _, n in ipairs { 10, 9, 'many', true } do
          all[#all + 1] = submit(measure {
            name = n == 9 and 'b, \"c\"' or 'a', params = { n = n, host = 0.1 }, runs = 3, warmup = 1, exclusive = false,
            cmd = { 'sh', '-c', 'echo x: 1.5' }, metrics = { x = 'x: ([%d.]+)', n = 'x: (%d+)%.' }, objective = 'x',
          })
        end
        all[#all + 1] = submit(measure { name = 'none', cmd = { 'false' }, runs = 3 })
        wait(all)
        local list = harness.results {}
        list:csv 'measurements.csv'
        list:csv('samples.csv', { rows = 'samples' })",
    );
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    for rows in ["measurements", "samples"] {
        let file = format!("out-{rows}.csv");
        let said = export(&folder, &["c.lua", "--rows", rows, "-o", &file]);
        let number = if rows == "samples" { 4 * 3 } else { 5 };
        assert_eq!(said, format!("{file}: {number} rows"));
        let script = folder.read(&format!("{rows}.csv"));
        assert!(script.starts_with("name,param.host,"), "{script}");
        assert_eq!(folder.read(&file), script);
    }
    assert_eq!(folder.read("samples.csv").lines().count(), 1 + 4 * 3);
}

#[test]
fn each_text_has_its_form() {
    let folder = asked();
    let csv = exported(&folder, &["--format", "csv"]);
    assert!(csv.starts_with("name,fast,param.flags,ms,tile,status,host,objective,unit,n,"), "{csv}");
    assert!(csv.contains(",ok,node1,rate,GB/s,8,") && csv.contains(",wall_s,s,3,"), "{csv}");
    assert_eq!(exported(&folder, &["--format", "tsv"]).lines().count(), csv.lines().count());
    let json: Value = serde_json::from_str(&exported(&folder, &["--format", "json"])).unwrap();
    let lines = exported(&folder, &["--format", "jsonl"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json.as_array().unwrap(), &lines);
    assert_eq!(
        (&lines[1]["tile"], &lines[1]["median"], &lines[1]["ms"]),
        (&16.into(), &8.56.into(), &Value::Null)
    );
    assert_eq!((&lines[1]["unit"], &lines[1]["same_as"]), (&"GB/s".into(), &Value::Null));
    assert_eq!((&lines[1]["fast"], &lines[2]["fast"]), (&false.into(), &true.into()), "as in `params`");
    let tasks: Value =
        serde_json::from_str(&exported(&folder, &["--format", "json", "--rows", "tasks"])).unwrap();
    assert_eq!((tasks.as_array().unwrap().len(), &tasks[4]["params"]["tile"]), (13, &8.into()));
    assert_eq!(
        exported(&folder, &["--format", "markdown"]),
        "\
| name | fast | param.flags | ms | tile | median | 95 % CI | n | unit | flags |
| --- | --- | --- | --: | --: | --: | --: | --: | --- | --- |
| copy | false | -O2 -g |  | 8 | 4.445 | \\[4.290, 4.740\\] | 8 | GB/s | off\\_cpu noisy\\_env:load noisy\\_env:psi\\_cpu |
| copy | false | -O2 -g |  | 16 | 8.560 | \\[8.030, 8.960\\] | 8 | GB/s | off\\_cpu |
| copy | true | -O2 -g |  | 32 | 16.15 | \\[16.06, 16.83\\] | 8 | GB/s |  |
| nap, \"short\" |  |  | 2.5 |  | 3.502 |  | 3 | ms | near\\_floor off\\_cpu noisy\\_env:load noisy\\_env:psi\\_cpu |
| slow\\_\\|\\_50% |  |  |  |  | timeout |  |  |  |  |
| unbuilt |  |  |  |  | skipped |  |  |  |  |
| wrong |  |  |  | 8 | verify\\_failed |  |  |  |  |
"
    );
    assert_eq!(
        exported(&folder, &["--format", "latex"]),
        "\
% \\usepackage{array,booktabs}
\\begin{tabular}{lllrrrrrl>{\\raggedright\\arraybackslash}p{0.3\\linewidth}}
\\toprule
name & fast & param.flags & ms & tile & median & 95 \\% CI & n & unit & flags \\\\
\\midrule
copy & false & -{}O2 -{}g &  & 8 & 4.445 & {[}4.290, 4.740] & 8 & GB/s & off\\_cpu noisy\\_env:load noisy\\_env:psi\\_cpu \\\\
copy & false & -{}O2 -{}g &  & 16 & 8.560 & {[}8.030, 8.960] & 8 & GB/s & off\\_cpu \\\\
copy & true & -{}O2 -{}g &  & 32 & 16.15 & {[}16.06, 16.83] & 8 & GB/s &  \\\\
nap, \\char34{}short\\char34{} &  &  & 2.5 &  & 3.502 &  & 3 & ms & near\\_floor off\\_cpu noisy\\_env:load noisy\\_env:psi\\_cpu \\\\
slow\\_\\textbar{}\\_50\\% &  &  &  &  & timeout &  &  &  &  \\\\
unbuilt &  &  &  &  & skipped &  &  &  &  \\\\
wrong &  &  &  & 8 & verify\\_failed &  &  &  &  \\\\
\\bottomrule
\\end{tabular}
"
    );
}

#[test]
fn parquet_is_read_back_with_its_types() {
    let folder = asked();
    export(&folder, &["-o", "rows.parquet"]);
    let file = SerializedFileReader::new(File::open(folder.path("rows.parquet")).unwrap()).unwrap();
    let rows: Vec<BTreeMap<String, Field>> = file
        .get_row_iter(None)
        .unwrap()
        .map(|row| {
            row.unwrap().get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
        })
        .collect();
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[1]["name"], Field::Str("copy".into()));
    assert_eq!(rows[1]["tile"], Field::Long(16));
    assert_eq!(rows[1]["median"], Field::Double(8.56));
    assert_eq!((&rows[1]["unit"], &rows[1]["same_as"]), (&Field::Str("GB/s".into()), &Field::Null));
    assert_eq!(rows[1]["ms"], Field::Null);
    assert_eq!(rows[3]["ms"], Field::Double(2.5));
    export(&folder, &["--rows", "samples", "-o", "samples.parquet"]);
    let file = SerializedFileReader::new(File::open(folder.path("samples.parquet")).unwrap()).unwrap();
    assert_eq!(file.metadata().file_metadata().num_rows(), 27);
}

#[test]
fn a_file_of_sqlite_has_all_tables() {
    let folder = asked();
    folder.write("d.lua.journal", folder.read("c.lua.journal"));
    export(&folder, &["c.lua", "d.lua", "-o", "all.sqlite"]);
    let database = rusqlite::Connection::open(folder.path("all.sqlite")).unwrap();
    let number = |sql: &str| database.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    for (table, rows) in
        [("measurements", 7), ("samples", 43), ("tasks", 13), ("comparisons", 2), ("repeats", 1)]
    {
        assert_eq!(number(&format!("select count(*) from {table}")), 2 * rows, "{table}");
        assert_eq!(
            number(&format!("select count(*) from {table} where journal = 'd.lua.journal'")),
            rows,
            "{table}"
        );
    }
    assert_eq!(number("select count(*) from samples where name = 'copy' and params->>'tile' = 8"), 16);
}

#[test]
fn timings_have_hyperfines_form() {
    let folder = asked();
    let document: Value = serde_json::from_str(&exported(&folder, &["--format", "hyperfine"])).unwrap();
    let results = document["results"].as_array().unwrap();
    let commands: Vec<&str> = results.iter().map(|result| result["command"].as_str().unwrap()).collect();
    assert_eq!(
        commands,
        [
            "nap, \"short\" ms=2.5",
            "copy fast=false flags=\"-O2 -g\" tile=8",
            "copy fast=true flags=\"-O2 -g\" tile=32",
            "copy fast=false flags=\"-O2 -g\" tile=16",
            "naps base",
            "naps long"
        ]
    );
    let nap = &results[0];
    let times: Vec<f64> =
        nap["times"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
    assert_eq!((times.len(), &nap["parameters"]["ms"]), (3, &"2.5".into()));
    assert!((nap["mean"].as_f64().unwrap() - times.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    assert_eq!(nap["exit_codes"], serde_json::json!([0, 0, 0]));
    // A comparison does not say which exit codes were let through.
    assert_eq!(
        (&results[4]["exit_codes"][0], results[4]["times"].as_array().unwrap().len()),
        (&Value::Null, 8)
    );
}

#[test]
fn what_failed_has_no_place_in_hyperfines_form_and_that_is_said() {
    let folder = asked();
    let args = ["export", "-o", "h.json", "--format", "hyperfine"];
    let note = "harness: export: 3 measurements that failed are not in it: hyperfine's form has no place for what has no \
                figures\nharness: export: wrote h.json: 6 timings\n";
    said(&folder, folder.run(&args), 0, "", note);
}

/// A signal while the file is made: SQLite fills it for long enough.
#[test]
fn nothing_is_left_of_a_file_whose_writer_was_ended() {
    let folder = asked();
    let journal = folder.read("c.lua.journal");
    let line = journal
        .lines()
        .find(|line| line.starts_with(r#"{"type":"measurement""#) && line.contains(r#""tile":8"#))
        .unwrap();
    let head: Vec<&str> = journal.lines().take(2).collect();
    let (before, rest) = line.split_once(r#""key":""#).unwrap();
    let many: String = (0..20_000).map(|n| format!("{before}\"key\":\"{n:032x}{}\n", &rest[32..])).collect();
    folder.write("big.journal", head.join("\n") + "\n" + &many);
    let making = folder.start(&["export", "big.journal", "-o", "big.sqlite"]);
    let names = || -> Vec<String> {
        let names = fs::read_dir(folder.path("")).unwrap().flatten();
        names
            .map(|it| it.file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains(".sqlite"))
            .collect()
    };
    crate::support::await_that("the file is begun", || {
        names().iter().any(|name| name.starts_with(".big.sqlite.harness-"))
    });
    making.signal(Signal::TERM);
    let ran = making.end(crate::support::LIMIT);
    assert_eq!(ran.signal, Some(Signal::TERM.as_raw()), "{ran:#?}");
    assert_eq!(names(), Vec::<String>::new());
}

#[test]
fn a_trace_has_a_lane_for_whatever_ran_at_a_time_and_all_that_waited() {
    let folder = asked();
    export(&folder, &["-o", "c.trace"]);
    let trace: Value = serde_json::from_str(&folder.read("c.trace")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<&Value>>();
    let number =
        |event: &Value, field: &str| event[field].as_i64().unwrap_or_else(|| panic!("{field}: {event}"));
    // What was skipped never ran; a try that failed and a repetition did.
    let ran = of("X");
    assert_eq!(ran.len(), 13 - 1 + 1 + 1);
    let standing = |word: &str| ran.iter().filter(|event| event["args"]["standing"] == word).count();
    assert_eq!((standing("tried again later"), standing("harness rerun")), (1, 1));
    let mut lanes: BTreeMap<(i64, i64), Vec<(i64, i64)>> = BTreeMap::new();
    for event in &ran {
        assert!(number(event, "ts") >= 0 && number(event, "dur") >= 0);
        let lane = (number(event, "pid"), number(event, "tid"));
        lanes
            .entry(lane)
            .or_default()
            .push((number(event, "ts"), number(event, "ts") + number(event, "dur")));
    }
    for (lane, mut spans) in lanes {
        spans.sort();
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{lane:?} overlaps: {spans:?}");
        let named = |name: &str, tid: i64| {
            of("M")
                .iter()
                .any(|it| it["name"] == name && (number(it, "pid"), number(it, "tid")) == (lane.0, tid))
        };
        assert!(named("process_name", 0) && named("thread_name", lane.1), "{lane:?}");
    }
    let copy = ran.iter().find(|event| event["args"]["params"]["tile"] == 32).unwrap();
    assert_eq!(copy["name"], "copy fast=true flags=\"-O2 -g\" tile=32");
    assert_eq!((&copy["cat"], &copy["args"]["status"]), (&"measure".into(), &"ok".into()));
    // What waits begins and ends, and in the end nothing does.
    let ids = |phase: &str| of(phase).iter().map(|event| event["id"].to_string()).collect::<Vec<_>>();
    assert!(!ids("b").is_empty() && ids("b") == ids("e"));
    assert_eq!(of("C").last().unwrap()["args"]["tasks"], 0);
    assert_eq!(of("i").len(), 3);
}

#[test]
fn a_file_is_whole_and_none_is_replaced_by_accident() {
    let folder = asked();
    export(&folder, &["c.lua", "-o", "rows.csv"]);
    let mode = fs::metadata(folder.path("rows.csv")).unwrap().permissions().mode() & 0o777;
    folder.write("plain", "");
    assert_eq!(mode, fs::metadata(folder.path("plain")).unwrap().permissions().mode() & 0o777);
    let whole = folder.read("rows.csv");
    folder.write("rows.csv", "name,of an earlier one\n");
    let refuses = |args: &[&str], code: i32, text: &str| {
        let ran = folder.run(&[&["export"], args].concat());
        said(&folder, ran, code, "", &format!("harness: export: {text}\n"));
    };
    refuses(&["-o", "rows.csv"], 2, "rows.csv is there already: --force replaces it");
    assert_eq!(folder.read("rows.csv"), "name,of an earlier one\n");
    export(&folder, &["-o", "rows.csv", "--force"]);
    assert_eq!(folder.read("rows.csv"), whole);
    for (name, theirs) in [("c.lua", "print 'mine'"), ("rows.csv", "mine"), ("mine.db", "SQLite format 3\0")]
    {
        folder.write(name, theirs);
        let text = match name {
            "c.lua" => "c.lua is a script, and would be lost: name another file after -o".into(),
            _ => format!(
                "{name} is no export of harness, and --force replaces nothing else: remove it, or name another file after -o"
            ),
        };
        refuses(&["c.lua", "-o", name, "--format", "csv", "--force"], 2, &text);
        assert_eq!(folder.read(name), theirs);
        fs::remove_file(folder.path(name)).unwrap();
    }
    let forms = ["csv", "tsv", "json", "jsonl", "parquet", "sqlite", "markdown", "latex", "trace"];
    for format in forms {
        for force in [&[][..], &["--force"]] {
            export(&folder, &[&["-o", "again", "--format", format], force].concat());
        }
        fs::remove_file(folder.path("again")).unwrap();
    }
    export(&folder, &["c.lua", "-o", "rows.csv"]);
    let lost = "c.lua.journal is a journal, and would be lost: name another file after -o";
    let journal = folder.read("c.lua.journal");
    refuses(&["-o", "c.lua.journal", "--format", "csv", "--force"], 2, lost);
    assert_eq!(folder.read("c.lua.journal"), journal);
    let device = "/dev/null is no regular file: name another one after -o, or `-` for the standard output";
    refuses(&["-o", "/dev/null", "--format", "csv", "--force"], 2, device);
    refuses(
        &["-o", "rows.xyz"],
        2,
        "rows.xyz does not say what it is to be: csv, tsv, json, jsonl, parquet, sqlite, markdown, latex, hyperfine or trace, \
         with --format",
    );
    refuses(
        &["-o", "t.trace", "--rows", "tasks"],
        2,
        "--rows is for csv, tsv, json, jsonl, parquet, markdown and latex",
    );
    refuses(&["-o", "-", "--format", "sqlite"], 2, "parquet and sqlite are no text, and go to a file only");
    refuses(
        &["-o", "nowhere/rows.csv"],
        73,
        "cannot write nowhere/rows.csv: No such file or directory (os error 2)",
    );
    folder.write("d.lua.journal", "something else\n");
    let strange = "journal d.lua.journal: this is no journal of harness (its first line is not a header)";
    refuses(&["d.lua.journal", "-o", "d.sqlite"], 4, strange);
    let mut names: Vec<_> =
        fs::read_dir(folder.path("")).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["c.lua.journal", "d.lua.journal", "plain", "rows.csv"]);
}

#[test]
fn a_journal_of_comparisons_alone_says_what_to_ask_for() {
    let folder = Folder::with(
        "submit(compare { name = 'pair', max_rounds = 3, base = { cmd = { 'true' } }, other = { cmd = { 'true' } } })",
    );
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    let text = "harness: export: there is no measurement in it: the table is empty; --rows comparisons exports 2 rows\n";
    for format in ["csv", "markdown"] {
        let ran = folder.run(&["export", "c.lua", "-o", "-", "--format", format]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), text), "{ran:#?}");
        let ran = folder.run(&["export", "c.lua", "-o", "-", "--format", format, "--rows", "comparisons"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
        assert!(ran.stdout.contains("pair") && ran.stdout.contains("other"), "{ran:#?}");
    }
}
