//! The table at the end of a campaign: how many tasks ended how, what was measured, why the rest failed.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::model::human::{comparison_lines, count, measurement_line, subject, tally};
use crate::model::{Detail, Row, Status};

/// Longer lists say how many more there are.
const MEASUREMENTS_SHOWN: usize = 40;
const FAILURES_SHOWN: usize = 20;

/// The table, lines ended by newlines: `ended` counts all tasks, `replays` those that the journal answered, `rows` are
/// the measurements and comparisons in the order they ended, `failures` why tasks failed and for how many each stands. After the
/// measurements stands which nodes are slow.
pub fn summary(
    ended: &BTreeMap<Status, usize>,
    replays: usize,
    rows: &[Row<'_>],
    failures: &[(String, usize)],
) -> String {
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
    list(&mut text, failures, FAILURES_SHOWN, "failure");
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
    use crate::model::{Hash, Kind, MeasureResult, Outcome, StopReason, Summary, failures};
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
        summary(&counts, 0, rows, &failures(rows))
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
