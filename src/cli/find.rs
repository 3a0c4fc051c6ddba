//! Which record of a journal is meant: by its name, or by the beginning of its key or of its id. Pure.
//!
//! `harness rerun` wants a measurement that can be repeated, `harness show` any task.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::human::{count, measurement_line, shortened, status_in_short, subject};
use crate::model::{Detail, Hash, Kind, Measurement, Record, Status, TaskFacts, nearest};
use crate::report::{Outdated, Runs};

/// So many are listed where several could be meant.
const LISTED: usize = 20;
/// Of what is known of each, so many characters.
const LINE_CHARS: usize = 120;
/// Of a key so many digits are shown.
const KEY_DIGITS: usize = 8;

/// Why there is not one. Each lists what there is.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    #[error("nothing in the journal is a {0}")]
    Nothing(&'static str),
    #[error("KEY is empty: give the name of a {what}, or the beginning of its key; there are\n{list}")]
    Empty { what: &'static str, list: String },
    #[error("{name} was never measured: its record {id} says {status}{reason}; {instead}")]
    NeverMeasured { name: String, id: String, status: &'static str, reason: String, instead: String },
    #[error(
        "{name}: its record {id} says ok, but its figures cannot be (n, min, median, max, interval): the journal was changed, \
         or written by something else; run its campaign on a new journal"
    )]
    NoFigures { name: String, id: String },
    #[error("which `{wanted}`? {number} could be meant; give the beginning of a key:\n{list}")]
    Several { wanted: String, number: String, list: String },
    #[error(
        "`{wanted}` is a {kind}, and what `measure` made is what is repeated: to have it anew run the campaign on another \
         journal, `harness --journal again.journal FILE.lua`"
    )]
    OtherKind { wanted: String, kind: &'static str },
    #[error("there is no {what} `{wanted}`{hint}; there are\n{list}")]
    Unknown { what: &'static str, wanted: String, hint: String, list: String },
}

/// The measurement of this name, or whose key or id begins so; one that can be repeated.
pub(super) fn find<'a>(records: &'a [Record], wanted: &str) -> Result<&'a Measurement, FindError> {
    let every: Vec<&Record> = records.iter().filter(|record| measurement(record).is_some()).collect();
    let found = one_of(&every, records, "measurement", wanted).map_err(|error| match error {
        FindError::Unknown { .. } | FindError::Nothing(_) => {
            other_kind(records, wanted, is_meant).unwrap_or(error)
        }
        other => other,
    })?;
    // A name is meant rather than the beginning of the key of something else.
    if !found.facts().is_some_and(|facts| is_called(facts, wanted))
        && let Some(error) = other_kind(records, wanted, is_called)
    {
        return Err(error);
    }
    let one = measurement(found).ok_or(FindError::Nothing("measurement"))?;
    measured(one, records).map(|()| one)
}

/// The task of this name, or whose key or id begins so, however it ended.
pub(super) fn find_task<'a>(records: &'a [Record], wanted: &str) -> Result<&'a Record, FindError> {
    let every: Vec<&Record> = records.iter().filter(|record| record.facts().is_some()).collect();
    one_of(&every, records, "task", wanted)
}

fn one_of<'a>(
    every: &[&'a Record],
    records: &[Record],
    what: &'static str,
    wanted: &str,
) -> Result<&'a Record, FindError> {
    let all = last_of_each(every);
    if all.is_empty() {
        return Err(FindError::Nothing(what));
    }
    if wanted.is_empty() {
        return Err(FindError::Empty { what, list: list(&all) });
    }
    let is_of = |record: &&&Record, is: &dyn Fn(&TaskFacts) -> bool| record.facts().is_some_and(is);
    let is_called = |facts: &TaskFacts| is_called(facts, wanted);
    let mut found: Vec<&Record> = all.iter().filter(|record| is_of(record, &is_called)).copied().collect();
    prefer(&mut found, |facts| named_as(facts) == wanted);
    prefer_likely(&mut found, records);
    if found.is_empty() {
        found = all.iter().filter(|record| has_variant(record, wanted)).copied().collect();
    }
    if found.is_empty() {
        let words = sorted_words(wanted);
        let has_words = |facts: &TaskFacts| sorted_words(&named_as(facts)) == words;
        found = all.iter().filter(|record| is_of(record, &has_words)).copied().collect();
    }
    let begins = |facts: &TaskFacts| begins(facts, wanted);
    if found.is_empty() {
        found = all.iter().filter(|record| is_of(record, &begins)).copied().collect();
    }
    if found.is_empty() {
        // One that a later record of its key took the place of.
        found = every.iter().filter(|record| is_of(record, &begins)).copied().collect();
    }
    if found.is_empty() {
        // Some of its parameters.
        let wanted = sorted_words(wanted);
        let has_these = |facts: &TaskFacts| {
            let name = named_as(facts);
            let words = sorted_words(&name);
            wanted.iter().all(|word| words.contains(word))
        };
        found = all.iter().filter(|record| is_of(record, &has_these)).copied().collect();
        prefer_likely(&mut found, records);
    }
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(unknown(&all, what, wanted)),
        several => Err(FindError::Several {
            wanted: wanted.into(),
            number: count(several.len(), what),
            list: list(several),
        }),
    }
}

/// Is it a comparison with this variant, by its name or as its row is called?
fn has_variant(record: &Record, wanted: &str) -> bool {
    let Record::Task(task) = record else { return false };
    let Detail::Compare(result) = &task.outcome.detail else { return false };
    let row = |name: &str| format!("{} {name}", named_as(&task.facts));
    result.variants.iter().any(|variant| variant.name == wanted || row(&variant.name) == wanted)
}

/// One that was repeated is meant rather than what repeats it, what was measured rather than how it was built, and what is current.
fn prefer_likely(found: &mut Vec<&Record>, records: &[Record]) {
    prefer(found, |facts| facts.parent.is_none());
    prefer(found, |facts| matches!(facts.kind, Kind::Measure | Kind::Compare));
    if found.len() > 1 {
        let outdated = Outdated::of(records, &Runs::of(records));
        prefer(found, |facts| !outdated.has(facts));
    }
}

/// Those of which this is so, if there are any.
fn prefer(found: &mut Vec<&Record>, is: impl Fn(&TaskFacts) -> bool) {
    let is = |record: &&Record| record.facts().is_some_and(&is);
    if found.iter().any(is) {
        found.retain(is);
    }
}

/// What a person calls a key.
pub(super) fn short(key: Hash) -> String {
    key.to_string()[..KEY_DIGITS].into()
}

/// Name and search point.
pub(super) fn named(measurement: &Measurement) -> String {
    let TaskFacts { name, params, .. } = &measurement.facts;
    subject(Some(name.as_deref().unwrap_or("measure")), params.as_ref())
}

fn named_as(facts: &TaskFacts) -> String {
    subject(Some(facts.name.as_deref().unwrap_or(facts.kind.word())), facts.params.as_ref())
}

/// Is there anything in it that could be measured again, and compared?
fn measured(one: &Measurement, records: &[Record]) -> Result<(), FindError> {
    let (name, id) = (named(one), one.facts.id.clone());
    if one.status == Status::Ok && !has_figures(one) {
        return Err(FindError::NoFigures { name, id });
    }
    if one.status.lasting() {
        return Ok(());
    }
    let last = records.iter().filter_map(measurement).rfind(|m| m.facts.key == one.facts.key);
    let since = last.filter(|m| m.status.lasting());
    let instead = match since {
        Some(_) => format!("it was later, which `harness rerun {}` repeats", short(one.facts.key)),
        None => "run its campaign again, which measures it".into(),
    };
    let reason = one.reason.as_ref().map(|reason| format!(" ({})", shortened(reason, LINE_CHARS)));
    let (status, reason) = (one.status.word(), reason.unwrap_or_default());
    Err(FindError::NeverMeasured { name, id, status, reason, instead })
}

/// Are its figures such that one can compare others with them?
pub(super) fn has_figures(measurement: &Measurement) -> bool {
    let Some(stats) = &measurement.stats else { return false };
    let ordered =
        |lo: f64, hi: f64| lo.is_finite() && hi.is_finite() && lo <= stats.median && stats.median <= hi;
    stats.n > 0 && ordered(stats.min, stats.max) && stats.ci.as_ref().is_none_or(|ci| ordered(ci.lo, ci.hi))
}

fn measurement(record: &Record) -> Option<&Measurement> {
    match record {
        Record::Measurement(measurement) => Some(measurement),
        _ => None,
    }
}

/// Of each key the last one, in recorded order.
fn last_of_each<'a>(every: &[&'a Record]) -> Vec<&'a Record> {
    let last: BTreeMap<Hash, &str> = every.iter().copied().filter_map(id_of).collect();
    let is_last = |record: &&Record| id_of(record).is_some_and(|(key, id)| last.get(&key) == Some(&id));
    every.iter().copied().filter(is_last).collect()
}

fn id_of(record: &Record) -> Option<(Hash, &str)> {
    record.facts().map(|facts| (facts.key, facts.id.as_str()))
}

fn begins(facts: &TaskFacts, wanted: &str) -> bool {
    facts.key.to_string().starts_with(&wanted.to_ascii_lowercase())
        || facts.id.starts_with(&wanted.to_ascii_uppercase())
}

/// Parameters are printed in the order of their names, and typed in any.
fn sorted_words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    words.sort_unstable();
    words
}

fn is_called(facts: &TaskFacts, wanted: &str) -> bool {
    named_as(facts) == wanted || facts.name.as_deref() == Some(wanted)
}

fn is_meant(facts: &TaskFacts, wanted: &str) -> bool {
    is_called(facts, wanted) || begins(facts, wanted)
}

/// It is there, and no measurement.
fn other_kind(records: &[Record], wanted: &str, is: fn(&TaskFacts, &str) -> bool) -> Option<FindError> {
    let mut facts = records.iter().filter_map(Record::facts);
    let found = facts.find(|facts| facts.kind != Kind::Measure && !wanted.is_empty() && is(facts, wanted))?;
    Some(FindError::OtherKind { wanted: wanted.into(), kind: found.kind.word() })
}

fn unknown(all: &[&Record], what: &'static str, wanted: &str) -> FindError {
    let facts = || all.iter().filter_map(|record| record.facts());
    let names: Vec<String> =
        facts().filter_map(|facts| facts.name.clone()).chain(facts().map(named_as)).collect();
    let near = nearest(wanted, names.iter().map(String::as_str));
    let hint = near.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    FindError::Unknown { what, wanted: wanted.into(), hint, list: list(all) }
}

fn list(records: &[&Record]) -> String {
    let mut lines: Vec<String> = records.iter().take(LISTED).filter_map(|record| line(record)).collect();
    if records.len() > LISTED {
        lines.push(format!("  and {} more", records.len() - LISTED));
    }
    lines.join("\n")
}

fn line(record: &Record) -> Option<String> {
    let facts = record.facts()?;
    let said = match record {
        Record::Measurement(m) => {
            let name = facts.name.as_deref().unwrap_or("measure");
            let params = facts.params.as_ref().unwrap_or(&Value::Null);
            m.outcome().map(|outcome| measurement_line(name, params, &outcome)).unwrap_or_default()
        }
        Record::Task(task) => {
            let subject = subject(facts.name.as_deref(), facts.params.as_ref());
            let gap = if subject.is_empty() { "" } else { " " };
            format!("{}{gap}{subject}: {}", facts.kind.word(), status_in_short(&task.outcome))
        }
        _ => return None,
    };
    Some(format!("  {}  {}", short(facts.key), shortened(&said, LINE_CHARS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Interval, MeasureSpec, Outcome, Summary};
    use serde_json::json;

    fn record(key: &str, name: &str, params: Option<Value>, parent: Option<&str>) -> Record {
        let facts = TaskFacts {
            id: format!("01ARZ{}", key.to_uppercase()),
            parent: parent.map(str::to_owned),
            kind: Kind::Measure,
            key: format!("{key:0<32}").parse().unwrap(),
            name: Some(name.into()),
            params,
            ..TaskFacts::default()
        };
        Record::of_task(facts, Some(&MeasureSpec::default()), &Outcome::failed(Status::Timeout, "slow"))
    }

    fn journal() -> Vec<Record> {
        let build = TaskFacts { kind: Kind::Compile, name: Some("build".into()), ..TaskFacts::default() };
        vec![
            record("abc1", "gemm", Some(json!({"tile": 8})), None),
            record("abd2", "gemm", Some(json!({"tile": 16, "level": "-O2"})), None),
            record("0f00", "triad", None, None),
            record("0f11", "triad", None, Some("01ARZ0F00")),
            Record::of_task(build, None, &Outcome::failed(Status::Ok, "")),
        ]
    }

    fn found(wanted: &str) -> Result<String, String> {
        let journal = journal();
        find(&journal, wanted).map(|m| short(m.facts.key)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_a_search_point_or_the_beginning_of_a_key_will_do() {
        for (wanted, key) in [
            ("triad", "0f000000"),
            ("gemm level=-O2 tile=16", "abd20000"),
            ("tile=16 gemm level=-O2", "abd20000"),
            ("tile=16 gemm", "abd20000"),
            ("abc", "abc10000"),
            ("ABC1", "abc10000"),
            ("tile=16", "abd20000"),
            ("0f1", "0f110000"),
            ("01arzabd", "abd20000"),
        ] {
            assert_eq!(found(wanted).as_deref(), Ok(key), "{wanted}");
        }
    }

    #[test]
    fn what_is_not_clear_lists_what_there_is() {
        let both =
            "  abc10000  gemm tile=8: timeout: slow\n  abd20000  gemm level=-O2 tile=16: timeout: slow";
        for wanted in ["gemm", "ab"] {
            let says = format!(
                "which `{wanted}`? 2 measurements could be meant; give the beginning of a key:\n{both}"
            );
            assert_eq!(found(wanted), Err(says));
        }
        let says = found("gema").unwrap_err();
        assert!(
            says.starts_with("there is no measurement `gema` (did you mean `gemm`?); there are\n  abc1"),
            "{says}"
        );
        assert!(found("x").unwrap_err().starts_with("there is no measurement `x`; there are\n"));
        let says = "`build` is a compile, and what `measure` made is what is repeated: to have it anew run the campaign on \
                    another journal, `harness --journal again.journal FILE.lua`";
        assert_eq!(found("build"), Err(says.into()));
        // Even if a key begins so.
        let mut named = journal();
        named.push(Record::of_task(
            TaskFacts { kind: Kind::Compare, name: Some("ab".into()), ..TaskFacts::default() },
            None,
            &Outcome::failed(Status::Ok, ""),
        ));
        named.remove(1);
        assert!(matches!(find(&named, "ab"), Err(FindError::OtherKind { kind: "compare", .. })));
        let says = found("").unwrap_err();
        let empty =
            "KEY is empty: give the name of a measurement, or the beginning of its key; there are\n  abc1";
        assert!(says.starts_with(empty), "{says}");
        assert!(matches!(find(&[], "x"), Err(FindError::Nothing("measurement"))));
        let only_a_build = &journal()[4..];
        assert!(matches!(find(only_a_build, "build"), Err(FindError::OtherKind { kind: "compile", .. })));
        assert!(matches!(find(only_a_build, "x"), Err(FindError::Nothing(_))));
        // The one that it repeats is not in this journal.
        let alone = [record("0f11", "triad", None, Some("01ARZ0F00"))];
        assert!(find(&alone, "triad").is_ok());
    }

    fn ended(id: &str, key: &str, status: Status) -> Record {
        let facts = TaskFacts {
            id: id.into(),
            kind: Kind::Measure,
            key: format!("{key:0<32}").parse().unwrap(),
            name: Some("gemm".into()),
            ..TaskFacts::default()
        };
        Record::of_task(facts, Some(&MeasureSpec::default()), &Outcome::failed(status, "because"))
    }

    #[test]
    fn any_task_is_found_where_any_will_do() {
        let mut journal = journal();
        let build = TaskFacts {
            kind: Kind::Compile,
            key: Hash::of(b"x"),
            name: Some("triad".into()),
            ..TaskFacts::default()
        };
        journal.push(Record::of_task(build, None, &Outcome::failed(Status::CompileFailed, "no `flaot`")));
        let found = |wanted: &str| {
            let found = find_task(&journal, wanted).map_err(|error| error.to_string())?;
            Ok(found.facts().map(|facts| (facts.kind, short(facts.key))).unwrap())
        };
        assert_eq!(found("build"), Ok((Kind::Compile, "00000000".into())));
        assert_eq!(found("triad"), Ok((Kind::Measure, "0f000000".into())), "rather than its build");
        assert_eq!(found("0f11"), Ok((Kind::Measure, "0f110000".into())));
        let failed = short(Hash::of(b"x"));
        assert_eq!(found(&failed[..6]), Ok((Kind::Compile, failed.clone())));
        let says: String = found("gemm").unwrap_err();
        assert!(
            says.starts_with("which `gemm`? 2 tasks could be meant; give the beginning of a key:\n  abc1"),
            "{says}"
        );
        let says = found("trida").unwrap_err();
        assert!(says.starts_with("there is no task `trida` (did you mean `triad`?); there are\n"), "{says}");
        assert!(says.contains(&format!("  {failed}  compile triad: compile_failed: no `flaot`")), "{says}");
    }

    #[test]
    fn one_that_was_never_measured_says_so_and_what_to_do() {
        let said = |records: &[Record], wanted: &str| {
            find(records, wanted).map(|m| m.facts.id.clone()).map_err(|error| error.to_string())
        };
        let lost = ended("01OLD", "aa", Status::LostWorker);
        let records = [lost.clone(), ended("01NEW", "aa", Status::Timeout)];
        assert_eq!(said(&records, "gemm"), Ok("01NEW".into()));
        let says = "gemm was never measured: its record 01OLD says lost_worker (because); it was later, which \
                    `harness rerun aa000000` repeats";
        assert_eq!(said(&records, "01old"), Err(says.into()));
        let records = [ended("01OLD", "aa", Status::Timeout), ended("01NEW", "aa", Status::Cancelled)];
        assert_eq!(said(&records, "01OLD"), Ok("01OLD".into()));
        let says = "gemm was never measured: its record 01NEW says cancelled (because); run its campaign again, which \
                    measures it";
        assert_eq!(said(&records, "aa"), Err(says.into()));
    }

    #[test]
    fn figures_that_cannot_be_are_not_compared_with() {
        let Record::Measurement(mut ok) = ended("01OK", "aa", Status::Ok) else { panic!("no measurement") };
        let mut sound = |stats: Option<Summary>| {
            ok.stats = stats;
            find(&[Record::Measurement(ok.clone())], "gemm").map(|_| ()).map_err(|error| error.to_string())
        };
        let good = Summary { n: 3, min: 1.0, median: 2.0, max: 3.0, ..Summary::default() };
        assert_eq!(sound(Some(good.clone())), Ok(()));
        let interval = |lo, hi| Some(Interval { lo, hi, level: 0.95, exact_level: 0.97 });
        for bad in [
            None,
            Some(Summary::default()),
            Some(Summary { median: f64::NAN, ..good.clone() }),
            Some(Summary { median: 0.0, ..good.clone() }),
            Some(Summary { max: f64::INFINITY, ..good.clone() }),
            Some(Summary { ci: interval(1.0, f64::NAN), ..good.clone() }),
        ] {
            let why = sound(bad).unwrap_err();
            assert!(why.starts_with("gemm: its record 01OK says ok, but its figures cannot be"), "{why}");
        }
    }
}
