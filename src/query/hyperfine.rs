//! Timings in the form of hyperfine's `--export-json` and `--export-csv`: seconds and bytes, of the runs that count.
//!
//! One writer for `harness export` and `harness bench`. Whatever the objective was: these are wall times.

use serde::Serialize;
use serde::ser::Serializer;

use super::cell::{Cell, Head, Rows};
use super::journal::{Ended, Journal, What};
use crate::model::human::subject;
use crate::model::{Compared, Detail, Kind, MeasureResult, Outcome, Phase, Status, Usage};
use crate::stats;

/// One command.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    command: String,
    mean: f64,
    stddev: Option<f64>,
    median: f64,
    user: Option<f64>,
    system: Option<f64>,
    min: f64,
    max: f64,
    times: Vec<f64>,
    memory_usage_byte: Vec<u64>,
    exit_codes: Vec<Option<i32>>,
    #[serde(serialize_with = "as_object", skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<(String, String)>,
}

fn as_object<S: Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

impl Timing {
    /// What a command took; none without runs. `exit_code` is that of all of them, if it is known.
    pub fn new(
        command: String,
        parameters: Vec<(String, String)>,
        exit_code: Option<i32>,
        result: &MeasureResult,
    ) -> Option<Self> {
        let counted: Vec<&Usage> = result
            .samples
            .iter()
            .filter(|sample| sample.phase == Phase::Sample)
            .map(|sample| &sample.usage)
            .collect();
        let times: Vec<f64> = counted.iter().map(|usage| usage.wall_s).collect();
        if times.is_empty() {
            return None;
        }
        // Of a launcher only the wall time says something.
        let own: &[&Usage] = if result.launched.is_some() { &[] } else { &counted };
        let mean = |of: fn(&Usage) -> f64| {
            (!own.is_empty()).then(|| own.iter().map(|usage| of(usage)).sum::<f64>() / own.len() as f64)
        };
        let summary = stats::summary(&times);
        Some(Self {
            command,
            mean: summary.mean,
            stddev: (summary.n > 1).then_some(summary.sd),
            median: summary.median,
            user: mean(|usage| usage.user_s),
            system: mean(|usage| usage.sys_s),
            min: summary.min,
            max: summary.max,
            memory_usage_byte: own.iter().map(|usage| usage.maxrss_bytes).collect(),
            exit_codes: vec![exit_code; times.len()],
            times,
            parameters,
        })
    }
}

/// All of them, as hyperfine's JSON.
pub fn hyperfine_json(results: &[Timing]) -> String {
    serde_json::to_string_pretty(&Document { results }).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct Document<'a> {
    results: &'a [Timing],
}

/// The same as its CSV: a column for each of `parameters`.
pub fn hyperfine_rows(results: &[Timing], parameters: &[String]) -> Rows {
    let columns = ["command", "mean", "stddev", "median", "user", "system", "min", "max"];
    let names = columns.iter().map(|name| (*name).to_owned());
    let names = names.chain(parameters.iter().map(|name| format!("parameter_{name}")));
    let row = |it: &Timing| {
        let own = [
            Cell::from(&it.command),
            it.mean.into(),
            it.stddev.into(),
            it.median.into(),
            it.user.into(),
            it.system.into(),
            it.min.into(),
            it.max.into(),
        ];
        let value =
            |name: &String| it.parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        own.into_iter().chain(parameters.iter().map(|name| value(name).into())).collect()
    };
    Rows {
        heads: names.map(|name| Head { name, kind: None }).collect(),
        rows: results.iter().map(row).collect(),
    }
}

/// Everything of these journals that has figures, and how many measurements and sides of comparisons have none.
pub(super) fn timings(journals: &[Journal]) -> (Vec<Timing>, usize) {
    let (mut timings, mut failed) = (Vec::new(), 0);
    for timing in journals.iter().flat_map(Journal::counted).flat_map(of_task) {
        match timing {
            Some(timing) => timings.push(timing),
            None => failed += 1,
        }
    }
    (timings, failed)
}

/// A timing for each program that was to be timed for itself; none of one that failed.
fn of_task(ended: &Ended) -> Vec<Option<Timing>> {
    match &ended.what {
        What::Measurement(it) if it.same_as.is_some() => Vec::new(),
        What::Measurement(it) => {
            let outcome = it.outcome().filter(Outcome::ok);
            let Some(Detail::Measure(result)) = outcome.map(|outcome| outcome.detail) else {
                return vec![None];
            };
            let asked = it.facts.asked.as_ref().and_then(|asked| asked.read().ok()?.measure);
            let exit_code = asked.filter(|spec| spec.ok_codes.is_empty()).map(|_| 0);
            vec![Timing::new(command(ended, &result.argv), parameters(ended), exit_code, &result)]
        }
        What::Task(it) => match &it.outcome.detail {
            Detail::Compare(result) if it.outcome.ok() => {
                result.variants.iter().map(|variant| side(ended, variant)).collect()
            }
            _ if it.facts.kind == Kind::Compare => vec![None],
            _ => Vec::new(),
        },
    }
}

fn side(ended: &Ended, side: &Compared) -> Option<Timing> {
    if side.status != Status::Ok {
        return None;
    }
    let command = match ended.facts().name {
        Some(_) => format!("{} {}", command(ended, &[]), side.name),
        None => side.name.clone(),
    };
    Timing::new(command, parameters(ended), None, &side.result)
}

/// Its name and search point; what has none is called by what was run.
fn command(ended: &Ended, argv: &[String]) -> String {
    let facts = ended.facts();
    if facts.name.is_none() && facts.params.is_none() {
        return shell_words::join(argv);
    }
    subject(facts.name.as_deref(), facts.params.as_ref())
}

fn parameters(ended: &Ended) -> Vec<(String, String)> {
    let params = ended.facts().params.as_ref().and_then(serde_json::Value::as_object);
    let text = |(name, value): (&String, &serde_json::Value)| (name.clone(), Cell::of_value(value).text());
    params.into_iter().flatten().map(text).collect()
}
