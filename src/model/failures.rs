//! Why tasks failed, grouped: one line for each way to fail, however many failed so. The table at the end and `harness
//! status` say the same. Pure text.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::human::{shortened, status_in_short, subject, visible};
use super::{Detail, Hash, Kind, Outcome, Status};

/// Longer commands and names are cut here (characters).
const SUBJECT_CHARS: usize = 60;
/// So many of those that failed alike are named.
const NAMED: usize = 3;

/// One task of the campaign.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Kind of task.
    pub kind: Kind,
    /// `name` of the task.
    pub name: Option<&'a str>,
    /// The search point.
    pub params: Option<&'a Value>,
    /// What it ran, where it has neither name nor search point and that is known.
    pub what: Option<&'a str>,
    /// How it ended.
    pub outcome: &'a Outcome,
}

/// Those of these tasks that did not end well, a line for each way to fail and how many tasks it stands for. What followed
/// from another failure (`skipped`, `cancelled`) comes after what failed by itself.
pub fn failures(rows: &[Row<'_>]) -> Vec<(String, usize)> {
    let failed = rows.iter().filter(|row| !row.outcome.ok());
    let (consequences, failed): (Vec<&Row<'_>>, Vec<_>) =
        failed.partition(|row| matches!(row.outcome.status, Status::Skipped | Status::Cancelled));
    let mut failures = grouped(&failed);
    failures.extend(grouped(&consequences));
    failures
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
pub fn alike(outcome: &Outcome) -> String {
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
