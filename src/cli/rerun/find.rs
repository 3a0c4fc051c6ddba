//! Which measurement of a journal is meant: by its name, or by the beginning of its key or of its id. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::human::{count, measurement_line, shortened, subject};
use crate::model::{Hash, Measurement, Record, TaskFacts};

/// So many are listed where several could be meant.
const LISTED: usize = 20;
/// Of what is known of each, so many characters.
const LINE_CHARS: usize = 120;
/// Of a key so many digits are shown.
const KEY_DIGITS: usize = 8;

/// Why there is not one. Each lists what there is.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    #[error("nothing in the journal is a measurement")]
    Nothing,
    #[error("which `{wanted}`? {number} could be meant; give the beginning of a key:\n{list}")]
    Several { wanted: String, number: String, list: String },
    #[error("`{wanted}` is a {kind}, and measurements are what is repeated")]
    OtherKind { wanted: String, kind: &'static str },
    #[error("there is no measurement `{wanted}`{hint}; there are\n{list}")]
    Unknown { wanted: String, hint: String, list: String },
}

/// The measurement of this name, or whose key or id begins so.
pub(super) fn find<'a>(records: &'a [Record], wanted: &str) -> Result<&'a Measurement, FindError> {
    let all = measurements(records);
    if all.is_empty() {
        return Err(FindError::Nothing);
    }
    let is_named = |m: &&Measurement| {
        m.facts.parent.is_none() && (named(m) == wanted || m.facts.name.as_deref() == Some(wanted))
    };
    let mut found: Vec<&Measurement> = all.iter().copied().filter(is_named).collect();
    if found.is_empty() && !wanted.is_empty() {
        found = all.iter().copied().filter(|m| begins(&m.facts, wanted)).collect();
    }
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(unknown(records, &all, wanted)),
        several => Err(FindError::Several {
            wanted: wanted.into(),
            number: count(several.len(), "measurement"),
            list: list(several),
        }),
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

/// Of each key the last one, in recorded order.
fn measurements(records: &[Record]) -> Vec<&Measurement> {
    let all = || {
        records.iter().filter_map(|record| match record {
            Record::Measurement(measurement) => Some(&**measurement),
            _ => None,
        })
    };
    let last: BTreeMap<Hash, &str> = all().map(|m| (m.facts.key, m.facts.id.as_str())).collect();
    all().filter(|m| last.get(&m.facts.key) == Some(&m.facts.id.as_str())).collect()
}

fn begins(facts: &TaskFacts, wanted: &str) -> bool {
    facts.key.to_string().starts_with(&wanted.to_ascii_lowercase())
        || facts.id.starts_with(&wanted.to_ascii_uppercase())
}

fn unknown(records: &[Record], all: &[&Measurement], wanted: &str) -> FindError {
    let is_it = |facts: &&TaskFacts| facts.name.as_deref() == Some(wanted) || begins(facts, wanted);
    if let Some(facts) = records.iter().filter_map(Record::facts).find(is_it) {
        return FindError::OtherKind { wanted: wanted.into(), kind: facts.kind.word() };
    }
    let names = all.iter().filter_map(|m| m.facts.name.clone()).chain(all.iter().map(|m| named(m)));
    let near = names
        .map(|name| (strsim::damerau_levenshtein(wanted, &name), name))
        .filter(|(distance, _)| *distance <= (wanted.chars().count() / 3).max(1))
        .min();
    let hint = near.map(|(_, name)| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    FindError::Unknown { wanted: wanted.into(), hint, list: list(all) }
}

fn list(measurements: &[&Measurement]) -> String {
    let line = |m: &&Measurement| {
        let name = m.facts.name.as_deref().unwrap_or("measure");
        let params = m.facts.params.as_ref().unwrap_or(&Value::Null);
        let said = m.outcome().map(|outcome| measurement_line(name, params, &outcome)).unwrap_or_default();
        format!("  {}  {}", short(m.facts.key), shortened(&said, LINE_CHARS))
    };
    let mut lines: Vec<String> = measurements.iter().take(LISTED).map(line).collect();
    if measurements.len() > LISTED {
        lines.push(format!("  and {} more", measurements.len() - LISTED));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, MeasureSpec, Outcome, Status};
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
            record("abd2", "gemm", Some(json!({"tile": 16})), None),
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
            ("gemm tile=16", "abd20000"),
            ("abc", "abc10000"),
            ("ABC1", "abc10000"),
            ("0f1", "0f110000"),
            ("01arzabd", "abd20000"),
        ] {
            assert_eq!(found(wanted).as_deref(), Ok(key), "{wanted}");
        }
    }

    #[test]
    fn what_is_not_clear_lists_what_there_is() {
        let both = "  abc10000  gemm tile=8: timeout: slow\n  abd20000  gemm tile=16: timeout: slow";
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
        let says = "`build` is a compile, and measurements are what is repeated";
        assert_eq!(found("build"), Err(says.into()));
        assert!(matches!(find(&[], "x"), Err(FindError::Nothing)));
    }
}
