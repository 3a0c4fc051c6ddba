//! `harness query`: SQL over journals. `asked.jsonl` is a real one: builds, measurements that ended in several ways, a
//! comparison, tasks with keys of which one was tried again, and a repetition by `harness rerun`.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};

use crate::support::Folder;
use crate::{said, says};

pub const ASKED: &str = include_str!("asked.jsonl");

pub fn asked() -> Folder {
    let folder = Folder::new();
    folder.write("c.lua.journal", ASKED);
    folder
}

#[track_caller]
fn answers(folder: &Folder, args: &[&str], stdout: &str) {
    said(folder, folder.run(&[&["query"], args].concat()), 0, stdout, "");
}

#[track_caller]
fn refuses(folder: &Folder, args: &[&str], code: i32, stderr: &str) {
    said(folder, folder.run(&[&["query"], args].concat()), code, "", &format!("harness: query: {stderr}\n"));
}

#[test]
fn each_format_says_the_same() {
    let folder = asked();
    let sql = "select name, params->>'tile' as tile, status, median, unit, params from measurements \
               where name in ('copy', 'slow_|_50%') and median is not 8.56 order by status desc, tile";
    for (format, text) in [
        (
            "table",
            "\
name        tile  status   median  unit  params
slow_|_50%        timeout          s
copy           8  ok        4.445  GB/s  {\"fast\":false,\"flags\":\"-O2 -g\",\"tile\":8}
copy          32  ok        16.15  GB/s  {\"fast\":true,\"flags\":\"-O2 -g\",\"tile\":32}
",
        ),
        (
            "csv",
            "\
name,tile,status,median,unit,params
slow_|_50%,,timeout,,s,
copy,8,ok,4.445,GB/s,\"{\"\"fast\"\":false,\"\"flags\"\":\"\"-O2 -g\"\",\"\"tile\"\":8}\"
copy,32,ok,16.15,GB/s,\"{\"\"fast\"\":true,\"\"flags\"\":\"\"-O2 -g\"\",\"\"tile\"\":32}\"
",
        ),
        (
            "json",
            "\
[
{\"name\":\"slow_|_50%\",\"tile\":null,\"status\":\"timeout\",\"median\":null,\"unit\":\"s\",\"params\":null},
{\"name\":\"copy\",\"tile\":8,\"status\":\"ok\",\"median\":4.445,\"unit\":\"GB/s\",\"params\":{\"fast\":false,\"flags\":\"-O2 -g\",\"tile\":8}},
{\"name\":\"copy\",\"tile\":32,\"status\":\"ok\",\"median\":16.15,\"unit\":\"GB/s\",\"params\":{\"fast\":true,\"flags\":\"-O2 -g\",\"tile\":32}}
]
",
        ),
        (
            "jsonl",
            "\
{\"name\":\"slow_|_50%\",\"tile\":null,\"status\":\"timeout\",\"median\":null,\"unit\":\"s\",\"params\":null}
{\"name\":\"copy\",\"tile\":8,\"status\":\"ok\",\"median\":4.445,\"unit\":\"GB/s\",\"params\":{\"fast\":false,\"flags\":\"-O2 -g\",\"tile\":8}}
{\"name\":\"copy\",\"tile\":32,\"status\":\"ok\",\"median\":16.15,\"unit\":\"GB/s\",\"params\":{\"fast\":true,\"flags\":\"-O2 -g\",\"tile\":32}}
",
        ),
        (
            "markdown",
            "\
| name | tile | status | median | unit | params |
| --- | --: | --- | --: | --- | --- |
| slow\\_\\|\\_50% |  | timeout |  | s |  |
| copy | 8 | ok | 4.445 | GB/s | {\"fast\":false,\"flags\":\"-O2 -g\",\"tile\":8} |
| copy | 32 | ok | 16.15 | GB/s | {\"fast\":true,\"flags\":\"-O2 -g\",\"tile\":32} |
",
        ),
        (
            "tsv",
            "\
name\ttile\tstatus\tmedian\tunit\tparams
slow_|_50%\t\ttimeout\t\ts\t
copy\t8\tok\t4.445\tGB/s\t{\"fast\":false,\"flags\":\"-O2 -g\",\"tile\":8}
copy\t32\tok\t16.15\tGB/s\t{\"fast\":true,\"flags\":\"-O2 -g\",\"tile\":32}
",
        ),
    ] {
        answers(&folder, &["c.lua", sql, "--format", format], text);
    }
    let latex = folder.run(&["query", sql, "--format", "latex"]).stdout;
    assert!(latex.contains("\nslow\\_\\textbar{}\\_50\\% &  & timeout &  & s &  \\\\\n"), "{latex}");
    // A pipe is read by programs.
    answers(&folder, &["select count(*) as n from measurements"], "n\n7\n");
}

#[test]
fn what_was_tried_again_or_repeated_is_not_counted_twice() {
    let folder = asked();
    let tasks =
        "select kind, name, status, session from tasks where name in ('late', 'hello', 'sum') order by name";
    answers(
        &folder,
        &[tasks, "--format", "table"],
        "\
kind  name   status  session
exec  hello  ok            1
exec  late   ok            2
call  sum    ok            1
",
    );
    answers(
        &folder,
        &[
            "select m.name, m.median, round(r.median, 9) as again from repeats r join measurements m on m.id = r.parent",
        ],
        "name,median,again\ncopy,8.56,8.28\n",
    );
    answers(
        &folder,
        &[
            "select name, variant, count(*) as n, min(sample) as first, max(sample) as last from samples group by 1, 2",
        ],
        "name,variant,n,first,last\ncopy,,24,1,8\n\"nap, \"\"short\"\"\",,3,1,3\nnaps,base,8,1,8\nnaps,long,8,1,8\n",
    );
    answers(&folder, &["select count(*) - sum(phase = 'sample') as warmup from runs"], "warmup\n6\n");
}

#[test]
fn every_table_has_what_its_columns_promise() {
    let folder = asked();
    for (sql, text) in [
        (
            "select name, status, errors, warnings, cache, artefact is null as none from compiles order by status desc",
            "name,status,errors,warnings,cache,none\ncopy,ok,0,1,hit,0\ncopy,compile_failed,1,0,miss,1\n",
        ),
        (
            "select variant, is_base, verdict, ratio < 0.5 as slower, ratio_lo < ratio and ratio < ratio_hi as inside, rounds \
             from comparisons",
            "variant,is_base,verdict,slower,inside,rounds\nbase,1,,,,8\nlong,0,slower,1,1,8\n",
        ),
        (
            "select name, exit_code, stdout, value from tasks where kind in ('exec', 'call') order by name",
            "name,exit_code,stdout,value\nhello,0,\"a\nb\",\nlate,0,\"late\n\",\nsum,,,42\n",
        ),
        (
            "select count(*) as n, count(distinct m.env) as envs, min(e.cores) as cores, count(e.governor) as governors \
             from measurements m join env e on e.id = m.env",
            "n,envs,cores,governors\n6,1,2,0\n",
        ),
        // A column may be named in `using` alone, or not at all.
        ("select count(*) as n from samples join measurements using (id)", "n\n27\n"),
        ("select count(*) as n from samples natural join (select id from measurements)", "n\n27\n"),
        (
            "select a.bytes = c.artefact_bytes as same from artefacts a join compiles c on c.artefact = a.hash",
            "same\n1\n",
        ),
        (
            "select session, script, host, job from sessions where session = 2",
            "session,script,host,job\n2,/campaigns/demo.lua,node1,\n",
        ),
        (
            "select metrics->>'rate' = median as same, wall_s > 0 as ran, flags like '%off_cpu%' as flagged from measurements \
             where params->>'tile' = 16",
            "same,ran,flagged\n1,1,1\n",
        ),
        (
            "select name, median(wall_s) is not null as m, ci_lo(wall_s) is null as few, geomean(wall_s) > 0 as g, sd(wall_s) > 0 as s \
             from samples where name like 'nap,%'",
            "name,m,few,g,s\n\"nap, \"\"short\"\"\",1,1,1,1\n",
        ),
    ] {
        answers(&folder, &[sql], text);
    }
}

#[test]
fn without_a_question_it_says_what_can_be_asked() {
    let folder = asked();
    let ran = folder.run(&["query", "c.lua"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    for line in [
        "measurements (7): each `measure`, with the summary of its objective",
        "samples (43): each run that counts, of measurements and comparisons",
        "runs (49): the same, and warm-up runs",
        "repeats (1): what `harness rerun` measured again; `parent` is the `id` of what it repeats",
        "  hash bytes text_hash compiler",
        "parameters, as `params->>'fast'`: fast, flags, ms, tile",
        "figures that programs printed, as `metrics->>'rate'`: rate",
    ] {
        assert!(ran.stdout.lines().any(|other| other == line), "{line} is not in\n{}", ran.stdout);
    }
    // Its examples are questions.
    let examples: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("  select ")).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let rows = folder.run(&["query", "c.lua", example]).stdout;
        assert!(rows.lines().count() > 2, "{example}: {rows}");
    }
    folder.write("d.lua.journal", ASKED);
    let two = folder.run(&["query", "c.lua", "d.lua"]).stdout;
    assert!(two.contains("measurements (14)") && two.contains("\n  journal id session current "), "{two}");
}

#[test]
fn what_is_no_question_is_said_with_what_could_be() {
    let folder = asked();
    let lists = "`harness query JOURNAL` lists all columns";
    let reads = "a journal is only read: a question begins with `select` or `with`";
    for (sql, says) in [
        ("select medain from measurements", "no such column: medain (did you mean `median`?)".to_owned()),
        (
            "select tile from measurements",
            format!(
                "no such column: tile; a parameter is `params->>'tile'`, a figure that the program printed \
                 `metrics->>'tile'`, and {lists}"
            ),
        ),
        (
            "select 1 from measurment",
            "no such table: measurment (did you mean `measurements`?); there are measurements samples runs compiles \
             comparisons tasks repeats env artefacts sessions"
                .into(),
        ),
        (
            "select \"copy\" from tasks",
            "no such column: \"copy\" - should this be a string literal in single-quotes?".into(),
        ),
        (
            "select stddev(wall_s) from samples",
            "no such function: stddev; beside those of SQLite there are median(x) ci_lo(x) ci_hi(x) sd(x) mad(x) geomean(x)".into(),
        ),
        (
            "select params.tile from measurements",
            "no such column: params.tile; what is in `params` is `params->>'tile'`".into(),
        ),
        (
            "select id from samples s join measurements m on m.id = s.id",
            "ambiguous column name: id; several of the tables have it: `m.id` where `m` stands for one of them (`from \
             measurements m`), or `join … using (id)`"
                .into(),
        ),
        ("select median(name) from samples", "median() is of numbers, and there is a text".into()),
        ("selct 1 from tasks", "near \"selct\": syntax error".into()),
        ("delete from tasks", reads.into()),
        ("attach 'x' as y", reads.into()),
        ("pragma table_list", reads.into()),
        ("select 1; select 2", "one question at a time: something stands behind the first `;`".into()),
        (
            "select ? from tasks",
            "a question has no `?` and no `:name`: write the value there, a text in single quotes".into(),
        ),
        ("/* nothing */ ;", "there is no question in it; one is `select name, median from measurements`".into()),
        ("vacuum into 'copy.db'", "there is no question in it; one is `select name, median from measurements`".into()),
    ] {
        refuses(&folder, &[sql], 2, &says);
    }
    assert!(!folder.path("copy.db").exists() && !folder.path("x").exists());
    assert_eq!(folder.read("c.lua.journal"), ASKED);
    let formats = folder.run(&["query", "select 1", "--format", "xml"]);
    assert!(
        formats.code == Some(2) && formats.stderr.contains("table, csv, json, jsonl, markdown, latex, tsv")
    );
}

#[test]
fn journals_are_named_as_elsewhere_and_several_are_told_apart() {
    let folder = asked();
    folder.write("old/c.lua.journal", ASKED);
    folder.write("d.lua.journal", ASKED.lines().take(3).map(|line| format!("{line}\n")).collect::<String>());
    let counts = "select journal, count(*) as n from tasks group by 1";
    answers(
        &folder,
        &["c.lua", "./old/c.lua.journal", "d.lua", counts],
        "journal,n\n./old/c.lua.journal,13\nc.lua.journal,13\n",
    );
    answers(
        &folder,
        &[
            "c.lua",
            "d.lua",
            "select a.journal, count(*) as n from samples a join sessions b using (journal) where b.session = 1 group by 1",
        ],
        "journal,n\nc.lua.journal,43\n",
    );
    let several = "which campaign? `harness query c.lua.journal`, `harness query d.lua.journal`";
    refuses(&folder, &["select 1"], 2, several);
    refuses(
        &folder,
        &["e.lua", "select 1"],
        2,
        "there is neither a script e.lua nor its journal e.lua.journal",
    );
    folder.write("f.journal", "something else\n");
    let strange = "journal f.journal: this is no journal of harness (its first line is not a header)";
    refuses(&folder, &["f.journal", "select 1 from tasks"], 4, strange);
}

#[test]
fn what_is_asked_in_vain_or_twice_is_said() {
    let folder = asked();
    let notes = |args: &[&str], stdout: &str, stderr: &str| {
        said(&folder, folder.run(&[&["query"], args].concat()), 0, stdout, stderr);
    };
    notes(
        &["select max(params->>'tiel') as t, max(metrics ->> 'rat') as r from measurements"],
        "t,r\n,\n",
        "harness: query: no record has a parameter `tiel` (did you mean `params->>'tile'`?)\n\
         harness: query: no record has a figure that a program printed `rat` (did you mean `metrics->>'rate'`?)\n",
    );
    notes(
        &["select max(params->>'compiler') as c from measurements"],
        "c\n\n",
        "harness: query: no record has a parameter `compiler`; there are fast, flags, ms, tile\n",
    );
    let twice = "harness: query: ./c.lua.journal is named twice, and counts once\n";
    notes(&["c.lua", "./c.lua.journal", "select count(*) as n from tasks"], "n\n13\n", twice);
    std::fs::hard_link(folder.path("c.lua.journal"), folder.path("d.journal")).unwrap();
    let one = "harness: query: ./c.lua.journal and d.journal are one file, which counts once\n";
    notes(&["./c.lua.journal", "d.journal", "select count(*) as n from tasks"], "n\n13\n", one);
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let folder = asked();
    let sql = "select a.name, b.name from tasks a join tasks b using (id) where a.name = 'sum'";
    answers(&folder, &[sql, "--format", "jsonl"], "{\"name\":\"sum\",\"name_2\":\"sum\"}\n");
    answers(&folder, &[sql], "name,name_2\nsum,sum\n");
}

#[test]
fn a_question_that_only_computes_ends_with_its_time() {
    let folder = asked();
    let late = "harness: query: there is no answer yet, and its time is over: does a recursive `with` have an end, and a join \
                its condition? Else `--timeout \"10 min\"` lets it take longer\n";
    for endless in [
        "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n where x < 0",
        "with recursive n(x) as (select 1 union all select x + 1 from n limit 100000) \
         select count(*) from n a, n b, n c where a.x + b.x + c.x < 0",
    ] {
        let ran = folder.run(&["query", endless, "--timeout", "100 ms"]);
        said(&folder, ran, 2, "", late);
    }
}

#[test]
fn an_answer_that_would_take_all_memory_is_refused() {
    let folder = asked();
    let endless = "with recursive n(x, t) as (select 1, hex(zeroblob(50000)) union select x + 1, t from n) select count(*) from n";
    let command = folder.harness_after("ulimit -v 6000000", &["query", endless]);
    let memory = "harness: query: the question takes more than 1 GiB of memory: does a recursive `with` have an end? Else ask \
                  for fewer rows, or ask the file that `harness export -o FILE.sqlite` writes\n";
    said(&folder, folder.finish(command), 2, "", memory);
}

#[test]
fn a_cell_may_be_as_wide_as_it_likes() {
    let folder = asked();
    let ran = folder.run(&["query", "--format", "table", "select hex(zeroblob(40000)) as wide, 1 as n"]);
    let widths: Vec<usize> = ran.stdout.lines().map(|line| line.trim_end().len()).collect();
    assert_eq!((ran.code, widths), (Some(0), vec![80_003, 80_003]), "{}", ran.stderr);
}

#[test]
fn a_parameter_called_journal_is_told_from_the_journal() {
    let folder = asked();
    folder.write("d.lua.journal", ASKED.replace("\"tile\":", "\"journal\":"));
    let csv = folder.run(&["export", "c.lua", "d.lua", "-o", "-", "--format", "csv"]).stdout;
    assert!(csv.starts_with("journal,name,fast,param.flags,param.journal,ms,tile,status,"), "{csv}");
    let json = folder.run(&["export", "c.lua", "d.lua", "-o", "-", "--format", "jsonl"]).stdout;
    let copy: serde_json::Value =
        serde_json::from_str(json.lines().find(|line| line.contains("param.journal\":8")).unwrap()).unwrap();
    assert_eq!((&copy["journal"], &copy["tile"]), (&"d.lua.journal".into(), &serde_json::Value::Null));
}

#[test]
fn what_cannot_be_printed_is_no_success_and_a_closed_pipe_is_none_of_ours() {
    let folder = asked();
    for args in [
        &["query", "select * from tasks"][..],
        &["query", "c.lua"],
        &["export", "-o", "-", "--format", "csv"],
        &["journal", "check"],
        &["show", "c.lua"],
        &["status", "c.lua"],
        &["report", "c.lua"],
    ] {
        let mut full = folder.harness(args);
        full.stdout(File::options().write(true).open("/dev/full").unwrap());
        let ran = full.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let why = format!("harness: {}: cannot write to standard output: No space left on device", args[0]);
        assert!(ran.status.code() == Some(73) && said.contains(&why), "{args:?}: {ran:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut closed = folder.harness(args);
        closed.stdout(writer);
        let ran = closed.output().unwrap();
        assert_eq!((ran.status.code(), ran.stderr), (Some(0), Vec::new()), "{args:?}");
    }
}

#[test]
fn a_journal_that_is_being_written_is_asked_all_the_same() {
    let folder = asked();
    let torn = format!("{ASKED}{{\"type\":\"measur");
    folder.write("c.lua.journal", &torn);
    let file = File::open(folder.path("c.lua.journal")).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    answers(&folder, &["c.lua", "select count(*) as n from tasks"], "n\n13\n");
    assert_eq!(folder.read("c.lua.journal"), torn);
    folder.write("c.lua.journal", "");
    says(&folder, &["query", "select count(*) as n from tasks"], 0, "n\n0\n", "");
}
