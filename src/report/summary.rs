//! The table at the end of a campaign: how many tasks ended how, what was measured, why the rest failed.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::model::human::{comparison_lines, count, measurement_line, status_text, subject, tally};
use crate::model::{Detail, Kind, Outcome, Status};

/// Longer lists say how many more there are.
const MEASUREMENTS_SHOWN: usize = 40;
const FAILURES_SHOWN: usize = 20;
/// Longer commands are cut here (characters).
const COMMAND_CHARS: usize = 60;

/// One task of the campaign.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Kind of task.
    pub kind: Kind,
    /// `name` of the task.
    pub name: Option<&'a str>,
    /// The search point.
    pub params: Option<&'a Value>,
    /// How it ended.
    pub outcome: &'a Outcome,
}

/// The table, lines ended by newlines: `ended` counts all tasks, `replays` those that the journal answered, `rows` are those to list (measurements and
/// failures, in the order they ended). What followed from another failure (`skipped`, `cancelled`) is listed
/// after what failed by itself.
pub fn summary(ended: &BTreeMap<Status, usize>, replays: usize, rows: &[Row<'_>]) -> String {
    if ended.is_empty() {
        return "harness: no tasks\n".into();
    }
    let tasks = count(ended.values().sum(), "task");
    let replayed = if replays > 0 { format!(" ({replays} from the journal)") } else { String::new() };
    let mut text = format!("harness: {tasks}{replayed}: {}\n", tally(ended));
    let measured: Vec<String> = rows.iter().flat_map(measured).collect();
    list(&mut text, &measured, MEASUREMENTS_SHOWN, "measurement");
    let failed = |consequence: bool| {
        let rows = rows.iter().filter(move |row| is_consequence(row.outcome.status) == consequence);
        rows.filter(|row| !row.outcome.ok()).map(failure)
    };
    let failures: Vec<String> = failed(false).chain(failed(true)).collect();
    list(&mut text, &failures, FAILURES_SHOWN, "failure");
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

fn failure(row: &Row<'_>) -> String {
    let mut line = row.kind.word().to_owned();
    let mut subject = subject(row.name, row.params);
    if subject.is_empty() {
        subject = command(&row.outcome.detail);
    }
    if !subject.is_empty() {
        let _ = write!(line, " {subject}");
    }
    if !row.outcome.host.is_empty() {
        let _ = write!(line, " on {}", row.outcome.host);
    }
    let _ = write!(line, ": {}", status_text(row.outcome));
    line
}

/// What was run: all there is to tell one task without a name from another.
fn command(detail: &Detail) -> String {
    let argv = match detail {
        Detail::Exec(run) => &run.argv,
        Detail::Compile(build) => &build.argv,
        Detail::Measure(result) => &result.argv,
        Detail::Compare(result) => match result.variants.first() {
            Some(base) => &base.result.argv,
            None => return String::new(),
        },
        Detail::None | Detail::Call(_) | Detail::CallError(_) => return String::new(),
    };
    let words = argv.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(COMMAND_CHARS) {
        Some((cut, _)) => format!("`{}…`", &words[..cut]),
        None if words.is_empty() => words,
        None => format!("`{words}`"),
    }
}

fn is_consequence(status: Status) -> bool {
    matches!(status, Status::Skipped | Status::Cancelled)
}

fn list(text: &mut String, lines: &[String], shown: usize, thing: &str) {
    for line in lines.iter().take(shown) {
        let _ = writeln!(text, "  {line}");
    }
    if lines.len() > shown {
        let _ = writeln!(text, "  … and {}", count(lines.len() - shown, &format!("more {thing}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MeasureResult, StopReason, Summary};
    use serde_json::json;

    fn ended(status: Status, reason: &str, detail: Detail) -> Outcome {
        let reason = (!reason.is_empty()).then(|| reason.into());
        Outcome { status, reason, host: "node1".into(), detail, elapsed_s: 1.0 }
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
        let row = |kind, outcome| Row { kind, name: Some("gemm"), params: Some(&params), outcome };
        let rows = [
            Row { kind: Kind::Compile, name: None, params: None, outcome: &build },
            row(Kind::Measure, &skipped),
            Row { kind: Kind::Compile, name: None, params: None, outcome: &broken },
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
    fn long_lists_say_how_many_more() {
        let failed = ended(Status::NonzeroExit, "exit code 3", Detail::None);
        let row = Row { kind: Kind::Exec, name: Some("x"), params: None, outcome: &failed };
        let text = table(&[row; 22]);
        assert_eq!(text.lines().count(), 1 + FAILURES_SHOWN + 1);
        assert!(
            text.ends_with("  exec x on node1: nonzero_exit: exit code 3\n  … and 2 more failures\n"),
            "{text}"
        );
        let good = measured(1.0);
        let row = Row { kind: Kind::Measure, name: None, params: None, outcome: &good };
        assert!(table(&[row; 41]).ends_with("  … and 1 more measurement\n"));
    }
}
