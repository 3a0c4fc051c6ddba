//! Why tasks failed, grouped by the way in which they did: the table at the end, `harness status`, `show` and the page of
//! `report` say the same, in one line for each way to fail, however many failed so. Pure text.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::human::{shortened, status_in_short, subject, visible};
use super::{Detail, Hash, Kind, Outcome, Status, TaskFacts};

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

impl<'a> Row<'a> {
    /// That of a record.
    pub fn of(facts: &'a TaskFacts, outcome: &'a Outcome) -> Self {
        let (name, params) = (facts.name.as_deref(), facts.params.as_ref());
        Self { kind: facts.kind, name, params, what: None, outcome }
    }
}

/// One way to fail.
pub struct Way<'a> {
    /// What all that failed so say.
    pub text: String,
    /// It followed from another failure (`skipped`, `cancelled`).
    pub followed: bool,
    /// Those that failed so, in the order they ended; at least one.
    pub rows: Vec<&'a Row<'a>>,
}

/// The ways in which these tasks failed, in the order they occurred; what followed from another failure comes after what
/// failed by itself.
pub fn ways<'a>(rows: &'a [Row<'a>]) -> Vec<Way<'a>> {
    let mut ways: Vec<Way<'a>> = Vec::new();
    let mut known: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.outcome.ok()) {
        let (text, alike) = (status_in_short(row.outcome), alike(row.outcome));
        let at = *known.entry((row.kind, alike.clone())).or_insert(ways.len());
        match ways.get_mut(at) {
            Some(way) => {
                if way.text != text {
                    way.text = alike;
                }
                way.rows.push(row);
            }
            None => {
                let followed = matches!(row.outcome.status, Status::Skipped | Status::Cancelled);
                ways.push(Way { text, followed, rows: vec![row] });
            }
        }
    }
    ways.sort_by_key(|way| way.followed);
    ways
}

/// The same, a line for each way and how many tasks it stands for.
pub fn failures(rows: &[Row<'_>]) -> Vec<(String, usize)> {
    ways(rows).iter().map(|way| (failure(&way.text, &way.rows), way.rows.len())).collect()
}

/// What is said of all that failed so: those skipped over tasks that ended for one reason are alike, whichever the
/// task was.
fn alike(outcome: &Outcome) -> String {
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
