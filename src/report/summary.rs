//! The table at the end of a campaign: how many tasks ended how, what was measured, why the rest failed.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::model::human::{comparison_lines, count, measurement_line, subject, tally};
use crate::model::{Detail, Row, Status, failures};

/// Longer lists say how many more there are.
const MEASUREMENTS_SHOWN: usize = 40;
const FAILURES_SHOWN: usize = 20;

/// The table, lines ended by newlines: `ended` counts all tasks, `replays` those that the journal answered, `rows` are
/// those to list (measurements and failures, in the order they ended). After the measurements stands which nodes are slow.
/// What failed for one reason is one line. What followed from another failure (`skipped`, `cancelled`) is listed after
/// what failed by itself.
pub fn summary(ended: &BTreeMap<Status, usize>, replays: usize, rows: &[Row<'_>]) -> String {
    if ended.is_empty() {
        return "harness: no tasks\n".into();
    }
    let tasks = count(ended.values().sum(), "task");
    let replayed = if replays > 0 { format!(" ({replays} from the journal)") } else { String::new() };
    let mut text = format!("harness: {tasks}{replayed}: {}\n", tally(ended));
    let measured: Vec<(String, usize)> = rows.iter().flat_map(measured).map(|line| (line, 1)).collect();
    list(&mut text, &measured, MEASUREMENTS_SHOWN, "measurement");
    for line in super::blocks::slow_nodes(rows) {
        let _ = writeln!(text, "  {line}");
    }
    list(&mut text, &failures(rows), FAILURES_SHOWN, "failure");
    text
}

fn measured(row: &Row<'_>) -> Vec<String> {
    let name = row.name.unwrap_or(row.kind.word());
    match &row.outcome.detail {
        _ if !row.outcome.ok() => Vec::new(),
        Detail::Measure(_) => {
            vec![measurement_line(name, row.params.unwrap_or(&Value::Null), row.outcome)]
        }
        Detail::Compare(result) => comparison_lines(&subject(Some(name), row.params), result),
        _ => Vec::new(),
    }
}

/// One line for each way to fail, in the order they occurred, and how many tasks it stands for.
fn grouped(failed: &[&Row<'_>]) -> Vec<(String, usize)> {
    let mut ways: Vec<(String, Vec<&Row<'_>>)> = Vec::new();
    let mut known: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    for row in failed {
        let (status, alike) = (status_in_short(row.outcome), alike(row.outcome));
        let way = *known.entry((row.kind, alike.clone())).or_insert(ways.len());
        if way == ways.len() {
            ways.push((status, Vec::new()));
        } else if ways[way].0 != status {
            ways[way].0 = alike;
        }
        ways[way].1.push(row);
    }
    ways.into_iter().map(|(status, rows)| (failure(&status, &rows), rows.len())).collect()
}

/// What is said of all that failed so: those skipped over tasks that ended for one reason are alike, whichever the
/// task was.
pub(super) fn alike(outcome: &Outcome) -> String {
    if outcome.status != Status::Skipped {
        return status_in_short(outcome);
    }
    let reason = outcome.reason.as_deref().unwrap_or_default();
    let mut parts = reason.split("task ");
    let mut general = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_numbered = rest.len() < part.len() && rest.starts_with(',');
        general.push_str(if is_numbered { "a task" } else { "task " });
        general.push_str(if is_numbered { rest } else { part });
    }
    status_in_short(&Outcome::failed(Status::Skipped, general))
}

/// `3 x compile gemm tile=8, gemm tile=16, gemm tile=32 on node1: compile_failed: gemm.c:3: …`.
fn failure(status: &str, alike: &[&Row<'_>]) -> String {
    let mut line = if alike.len() > 1 { format!("{} x ", alike.len()) } else { String::new() };
    line.push_str(alike.first().map_or("", |row| row.kind.word()));
    let subjects = distinct(alike.iter().map(|row| called(row)));
    if !subjects.is_empty() {
        let _ = write!(line, " {subjects}");
    }
    let hosts = distinct(alike.iter().map(|row| visible(&row.outcome.host)));
    if !hosts.is_empty() {
        let _ = write!(line, " on {hosts}");
    }
    let _ = write!(line, ": {status}");
    line
}

/// The first few of them, each once.
fn distinct(words: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for word in words.filter(|word| !word.is_empty()) {
        if seen.contains(&word) {
            continue;
        }
        if seen.len() == NAMED {
            seen.push("…".into());
            break;
        }
        seen.push(word);
    }
    seen.join(", ")
}

/// What tells the task from others.
fn called(row: &Row<'_>) -> String {
    let subject = subject(row.name, row.params);
    if !subject.is_empty() {
        return shortened(&subject, SUBJECT_CHARS);
    }
    let ran = command(&row.outcome.detail);
    if ran.is_empty() { row.what.map(code).unwrap_or_default() } else { ran }
}

/// What was run.
fn command(detail: &Detail) -> String {
    match detail {
        Detail::Exec(run) => code(&line(&run.argv)),
        Detail::Compile(build) => code(&line(&build.argv)),
        Detail::Measure(result) => code(&line(&result.argv)),
        Detail::Compare(result) => {
            result.variants.first().map(|base| code(&line(&base.result.argv))).unwrap_or_default()
        }
        Detail::None | Detail::Call(_) | Detail::CallError(_) => String::new(),
    }
}

/// The words, a build's path in the store as its author gave it: by its future.
fn line(argv: &[String]) -> String {
    let is_build = |word: &str| {
        let mut parts = word.rsplit('/');
        let hash = parts.next().map(|end| parts.next().unwrap_or_default().to_owned() + end);
        parts.next() == Some("objects") && hash.is_some_and(|hash| hash.parse::<Hash>().is_ok())
    };
    let words = argv.iter().map(|word| if is_build(word) { "(a build)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn code(text: &str) -> String {
    let words = visible(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if words.is_empty() { words } else { format!("`{}`", shortened(&words, SUBJECT_CHARS)) }
}

/// Lines, and for how many tasks each stands.
fn list(text: &mut String, lines: &[(String, usize)], shown: usize, thing: &str) {
    for (line, _) in lines.iter().take(shown) {
        let _ = writeln!(text, "  {line}");
    }
    let more = lines.iter().skip(shown).map(|(_, tasks)| tasks).sum();
    if more > 0 {
        let _ = writeln!(text, "  … and {}", count(more, &format!("more {thing}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Hash, Kind, MeasureResult, Outcome, StopReason, Summary};
    use serde_json::json;

    fn ended(status: Status, reason: &str, detail: Detail) -> Outcome {
        let reason = (!reason.is_empty()).then(|| reason.into());
        Outcome { status, reason, host: "node1".into(), detail, elapsed_s: 1.0, conditions: None }
    }

    fn measured(median: f64) -> Outcome {
        let stats = Summary { n: 3, min: median, median, max: median, ..Summary::default() };
        let result = MeasureResult::sample(stats, StopReason::Fixed);
        ended(Status::Ok, "", Detail::Measure(Box::new(result)))
    }

    fn table(rows: &[Row<'_>]) -> String {
        let mut counts = BTreeMap::new();
        for row in rows {
            *counts.entry(row.outcome.status).or_default() += 1;
        }
        summary(&counts, 0, rows)
    }

    #[test]
    fn a_campaign_at_a_glance() {
        let params = json!({"tile": 32});
        let build = ended(Status::Ok, "", Detail::Compile(Box::default()));
        let broken = ended(
            Status::CompileFailed,
            "gemm.c:3: error: unknown type `flaot`\ngemm.c:4: …",
            Detail::Compile(Box::default()),
        );
        let skipped = Outcome::failed(Status::Skipped, "its build failed");
        let slow = ended(Status::Timeout, "ran into its limit of 60 s", Detail::None);
        let good = measured(0.5);
        let row =
            |kind, outcome| Row { kind, name: Some("gemm"), params: Some(&params), what: None, outcome };
        let rows = [
            Row { kind: Kind::Compile, name: None, params: None, what: None, outcome: &build },
            row(Kind::Measure, &skipped),
            Row { kind: Kind::Compile, name: None, params: None, what: None, outcome: &broken },
            row(Kind::Measure, &good),
            row(Kind::Measure, &slow),
        ];
        assert_eq!(
            table(&rows),
            "harness: 5 tasks: 2 ok, 1 timeout, 1 compile_failed, 1 skipped\n  \
             gemm tile=32: median 500.0 ms, min 500.0, max 500.0, n = 3 (n < 7, no interval), fixed\n  \
             compile on node1: compile_failed: gemm.c:3: error: unknown type `flaot`\n  \
             measure gemm tile=32 on node1: timeout: ran into its limit of 60 s\n  \
             measure gemm tile=32: skipped: its build failed\n"
        );
        assert_eq!(table(&[]), "harness: no tasks\n");
        assert_eq!(table(&rows[..1]), "harness: 1 task: 1 ok\n");
    }

    #[test]
    fn what_failed_alike_is_one_line() {
        let broken = ended(Status::CompileFailed, "gemm.c:3: no `flaot`\nmore", Detail::None);
        let elsewhere = Outcome { host: "node2".into(), ..broken.clone() };
        let skipped = Outcome::failed(Status::Skipped, "task 3, which it depends on, ended compile_failed");
        let other = Outcome::failed(Status::Skipped, "task 4, which it depends on, ended compile_failed");
        let points: Vec<Value> = [8, 16, 32, 64].map(|tile| json!({ "tile": tile })).into();
        let row =
            |kind, at: usize, outcome| Row { kind, name: None, params: points.get(at), what: None, outcome };
        let mut rows: Vec<Row<'_>> = (0..4).map(|at| row(Kind::Measure, at, &skipped)).collect();
        rows.extend((0..2).map(|at| row(Kind::Compile, at, &broken)));
        rows.extend([row(Kind::Compile, 0, &elsewhere), row(Kind::Measure, 1, &other)]);
        assert!(
            table(&rows[..4]).ends_with(": skipped: task 3, which it depends on, ended compile_failed\n")
        );
        let lost = Outcome::failed(Status::LostWorker, "lost\nwith all");
        rows.extend([Row { what: Some("c.lua:3"), ..row(Kind::Call, 9, &lost) }; 2]);
        assert_eq!(
            table(&rows),
            "harness: 10 tasks: 3 compile_failed, 2 lost_worker, 5 skipped\n  \
             3 x compile tile=8, tile=16 on node1, node2: compile_failed: gemm.c:3: no `flaot`\n  \
             2 x call `c.lua:3`: lost_worker: lost\n  \
             5 x measure tile=8, tile=16, tile=32, …: skipped: a task, which it depends on, ended compile_failed\n"
        );
    }

    #[test]
    fn neither_the_store_nor_the_search_path_is_shown() {
        let argv = vec![format!("/home/me/.cache/harness/{}", Hash::of(b"x").object_path()), "128".into()];
        let detail = Detail::Measure(Box::new(MeasureResult {
            argv,
            ..MeasureResult::sample(Summary::default(), StopReason::Fixed)
        }));
        let failed = ended(Status::SpawnFailed, "program `x` not found: load it (PATH is /a:/b)", detail);
        let row = Row { kind: Kind::Measure, name: None, params: None, what: None, outcome: &failed };
        let line = "  measure `(a build) 128` on node1: spawn_failed: program `x` not found: load it";
        assert_eq!(table(&[row]).lines().nth(1), Some(line));
    }

    #[test]
    fn one_task_is_one_line() {
        let params = json!({ "a\nb": "c\nd" });
        let failed =
            Outcome { host: "n\x1b1".into(), ..Outcome::failed(Status::Error, "c.lua:1: a\rb\nmore") };
        let name = format!("x\ny{}", "z".repeat(99));
        let named = Row { kind: Kind::Call, name: Some(&name), params: None, what: None, outcome: &failed };
        let text = table(&[named]);
        let cut = format!("x\\x0ay{}…", "z".repeat(54));
        let line = format!("  call {cut} on n\\x1b1: error: c.lua:1: a\\x0db");
        assert_eq!(text.lines().nth(1), Some(line.as_str()));
        let text = table(&[Row { name: None, params: Some(&params), ..named }]);
        assert_eq!(text.lines().count(), 2, "{text}");
        let good = measured(1.0);
        let text = table(&[Row { kind: Kind::Measure, name: Some("a\nb"), outcome: &good, ..named }]);
        assert!(text.contains("\n  a\\x0ab: median") && text.lines().count() == 2, "{text}");
    }

    #[test]
    fn long_lists_say_how_many_more() {
        let way = |code| ended(Status::NonzeroExit, &format!("exit code {code}"), Detail::None);
        let ways: Vec<Outcome> = (0..22).map(way).collect();
        let row = |outcome| Row { kind: Kind::Exec, name: Some("x"), params: None, what: None, outcome };
        let mut rows: Vec<Row<'_>> = ways.iter().map(row).collect();
        rows.push(row(&ways[21]));
        let text = table(&rows);
        assert_eq!(text.lines().count(), 1 + FAILURES_SHOWN + 1);
        assert!(
            text.ends_with("  exec x on node1: nonzero_exit: exit code 19\n  … and 3 more failures\n"),
            "{text}"
        );
        let good = measured(1.0);
        let row = Row { kind: Kind::Measure, name: None, params: None, what: None, outcome: &good };
        assert!(table(&[row; 41]).ends_with("  … and 1 more measurement\n"));
    }
}
