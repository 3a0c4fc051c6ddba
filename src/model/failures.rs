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

/// Behind what the first of several says that differ in figures alone.
const OF_THE_FIRST: &str = " (the first of them)";

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

/// One way to fail, and those that failed so as `T` keeps them.
#[derive(Debug)]
pub struct Way<T> {
    /// Of all of them.
    pub kind: Kind,
    /// What all of them say.
    pub text: String,
    /// It followed from another failure (`skipped`, `cancelled`).
    pub followed: bool,
    /// Those that failed so, in the order they ended; at least one.
    pub tasks: T,
}

/// The ways to fail, as tasks end.
#[derive(Debug)]
struct Ways<T> {
    /// In the order they occurred.
    ways: Vec<Way<T>>,
    /// Where each is, by what those have in common.
    known: BTreeMap<(Kind, String), usize>,
}

impl<T> Default for Ways<T> {
    fn default() -> Self {
        Self { ways: Vec::new(), known: BTreeMap::new() }
    }
}

impl<T: Default> Ways<T> {
    /// Where a task belongs; one that ended well to none.
    fn of(&mut self, row: &Row<'_>) -> Option<&mut T> {
        let Row { kind, outcome, .. } = *row;
        if outcome.ok() {
            return None;
        }
        let (text, alike) = (status_in_short(outcome), alike(outcome));
        let at = *self.known.entry((kind, alike.clone())).or_insert(self.ways.len());
        if at == self.ways.len() {
            let followed = matches!(outcome.status, Status::Skipped | Status::Cancelled);
            self.ways.push(Way { kind, text, followed, tasks: T::default() });
        } else if self.ways[at].text != text {
            let way = &mut self.ways[at].text;
            match outcome.status {
                Status::Skipped => *way = alike,
                _ if way.ends_with(OF_THE_FIRST) => {}
                _ => way.push_str(OF_THE_FIRST),
            }
        }
        Some(&mut self.ways[at].tasks)
    }
}

/// The ways in which these tasks failed, in the order they occurred; what followed from another failure comes after what
/// failed by itself.
pub fn ways<'a>(rows: &'a [Row<'a>]) -> Vec<Way<Vec<&'a Row<'a>>>> {
    let mut found: Ways<Vec<&Row<'_>>> = Ways::default();
    for row in rows {
        if let Some(tasks) = found.of(row) {
            tasks.push(row);
        }
    }
    found.ways.sort_by_key(|way| way.followed);
    found.ways
}

/// The same in text, a line for each way and how many tasks it stands for.
pub fn failures(rows: &[Row<'_>]) -> Vec<(String, usize)> {
    let mut failures = Failures::default();
    rows.iter().for_each(|row| failures.add(row, 1));
    failures.lines().collect()
}

/// The ways to fail, as tasks end: what is kept of each is as much as is said of it, however many failed so.
#[derive(Debug, Default)]
pub struct Failures(Ways<Named>);

/// So much of those that failed alike.
#[derive(Debug, Default)]
struct Named {
    tasks: usize,
    subjects: Vec<String>,
    hosts: Vec<String>,
    /// Why the first was refused, if it was.
    refusal: Option<String>,
}

impl Failures {
    /// So many tasks ended like this; those that ended well are none of these.
    pub fn add(&mut self, row: &Row<'_>, count: usize) {
        let Some(those) = self.0.of(row) else { return };
        if row.outcome.status == Status::Refused && those.tasks == 0 {
            those.refusal = row.outcome.reason.as_deref().map(str::to_owned);
        }
        those.tasks += count;
        name(&mut those.subjects, || called(row));
        name(&mut those.hosts, || visible(&row.outcome.host));
    }

    /// A line for each way to fail, and how many tasks it stands for. What followed from another failure (`skipped`,
    /// `cancelled`) comes after what failed by itself.
    pub fn lines(&self) -> impl Iterator<Item = (String, usize)> {
        self.ways().map(|way| (way.line(), way.tasks.tasks))
    }

    /// The same without refusals that are told by this text.
    pub fn unsaid(&self, text: &str) -> impl Iterator<Item = (String, usize)> {
        let is_said = |way: &Way<Named>| way.tasks.refusal.as_deref().is_some_and(|why| text.contains(why));
        self.ways().filter(move |way| !is_said(way)).map(|way| (way.line(), way.tasks.tasks))
    }

    fn ways(&self) -> impl Iterator<Item = &Way<Named>> {
        let those = |followed| self.0.ways.iter().filter(move |way| way.followed == followed);
        those(false).chain(those(true))
    }
}

impl Way<Named> {
    /// `3 x compile gemm tile=8, gemm tile=16, gemm tile=32 on node1: compile_failed: gemm.c:3: …`.
    fn line(&self) -> String {
        let Self { kind, text, tasks: Named { tasks, subjects, hosts, .. }, .. } = self;
        let mut line = if *tasks > 1 { format!("{tasks} x ") } else { String::new() };
        line.push_str(kind.word());
        if !subjects.is_empty() {
            let _ = write!(line, " {}", subjects.join(", "));
        }
        if !hosts.is_empty() {
            let _ = write!(line, " on {}", hosts.join(", "));
        }
        let _ = write!(line, ": {text}");
        line
    }
}

/// The first few are kept, each once; `…` stands for others.
fn name(seen: &mut Vec<String>, word: impl FnOnce() -> String) {
    if seen.len() > NAMED {
        return;
    }
    let word = word();
    if !word.is_empty() && !seen.contains(&word) {
        seen.push(if seen.len() == NAMED { "…".into() } else { word });
    }
}

/// What is said of all that failed so: those skipped over tasks that ended for one reason are alike, whichever the
/// task was, and those whose output was not as demanded, whatever the figures in it.
fn alike(outcome: &Outcome) -> String {
    match outcome.status {
        Status::Skipped => {}
        Status::VerifyFailed | Status::MetricMissing => return without_figures(&status_in_short(outcome)),
        _ => return status_in_short(outcome),
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

/// With a `#` for each number, with its sign and exponent.
fn without_figures(text: &str) -> String {
    let mut general = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let of_number = |c: char| !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
        let end = rest[begin..].find(of_number).map_or(rest.len(), |end| begin + end);
        general.push_str(rest[..begin].trim_end_matches(['-', '+']));
        general.push('#');
        rest = &rest[end..];
    }
    general + rest
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
        Detail::None | Detail::Call(_) | Detail::Calls(_) | Detail::CallError(_) => String::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_figures_alone_is_one_way_to_fail() {
        let ended =
            |status, reason: &str| Outcome { host: "node1".into(), ..Outcome::failed(status, reason) };
        let outcomes = [
            ended(Status::VerifyFailed, "sample 1: expected `1.5 s`, got `-2e-3 s`"),
            ended(Status::VerifyFailed, "sample 2: expected `1.5 s`, got `7 s`"),
            ended(Status::VerifyFailed, "sample 12: expected `1.5 s`, got `8.25 s`"),
            ended(Status::VerifyFailed, "file `out` is missing"),
            ended(Status::Timeout, "ran into its timeout of 1 s"),
            ended(Status::Timeout, "ran into its timeout of 2 s"),
        ];
        let row = |outcome| Row { kind: Kind::Measure, name: Some("jac"), params: None, what: None, outcome };
        let rows: Vec<_> = outcomes.iter().map(row).collect();
        let lines: Vec<String> = failures(&rows).into_iter().map(|(line, _)| line).collect();
        assert_eq!(
            lines,
            [
                "3 x measure jac on node1: verify_failed: sample 1: expected `1.5 s`, got `-2e-3 s` (the first of them)",
                "measure jac on node1: verify_failed: file `out` is missing",
                "measure jac on node1: timeout: ran into its timeout of 1 s",
                "measure jac on node1: timeout: ran into its timeout of 2 s",
            ]
        );
        assert_eq!(without_figures("a-1.5e-3b 7"), "a#b #");
    }
}
