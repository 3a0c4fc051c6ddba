//! The columns of the tables that can be asked.
//!
//! A column is a name, a type and a function of the row; the SQL and the list that `harness query` shows follow from
//! that. Figures are SI with the unit in the name, those of an objective in its `unit`. Knows no SQL.

use serde_json::{Map, Value};

use super::cell::{Cell, Type};
use super::journal::{Ended, What};
use super::run::Run;
use crate::model::diagnostics::{Severity, messages};
use crate::model::{
    CompareResult, Compared, CompileResult, Counters, Detail, Kind, Measurement, MetricColumn, Phase,
    RunResult, Status, Summary,
};
use crate::stats;

/// A column of rows of `T`.
pub(super) struct Column<T> {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) of: fn(&T) -> Cell,
}

pub(super) fn text<T>(name: &'static str, of: fn(&T) -> Cell) -> Column<T> {
    Column { name, kind: Type::Text, of }
}

pub(super) fn integer<T>(name: &'static str, of: fn(&T) -> Cell) -> Column<T> {
    Column { name, kind: Type::Integer, of }
}

pub(super) fn real<T>(name: &'static str, of: fn(&T) -> Cell) -> Column<T> {
    Column { name, kind: Type::Real, of }
}

pub(super) fn json<T>(name: &'static str, of: fn(&T) -> Cell) -> Column<T> {
    Column { name, kind: Type::Json, of }
}

fn joined<T, const N: usize>(parts: [Vec<Column<T>>; N]) -> Vec<Column<T>> {
    parts.into_iter().flatten().collect()
}

/// Rows that are about a task.
pub(super) trait OfTask {
    fn ended(&self) -> &Ended;

    /// Its search point.
    fn params(&self) -> Option<&Value> {
        self.ended().facts().params.as_ref()
    }
}

/// Rows with a summary of samples.
trait Summarised {
    /// None where there is no valid figure.
    fn stats(&self) -> Option<&Summary>;
}

fn subject<T: OfTask>() -> Vec<Column<T>> {
    vec![
        text("id", |row| (&row.ended().facts().id).into()),
        integer("session", |row| row.ended().session.into()),
        integer("current", |row| row.ended().current.into()),
        integer("number", |row| row.ended().facts().trial.into()),
        text("search", |row| row.ended().facts().search.as_ref().map(|search| &search.name).into()),
        integer("trial", |row| row.ended().facts().search.as_ref().and_then(|search| search.trial).into()),
        text("name", |row| row.ended().facts().name.as_ref().into()),
        json("params", |row| row.params().map(Cell::json).into()),
    ]
}

fn ending<T: OfTask>() -> Vec<Column<T>> {
    vec![
        text("status", |row| row.ended().status().word().into()),
        text("reason", |row| row.ended().reason().into()),
        text("host", |row| row.ended().host().into()),
    ]
}

/// Where it ran when, and what it is found by.
fn circumstances<T: OfTask>() -> Vec<Column<T>> {
    vec![
        integer("worker", |row| row.ended().facts().worker.map(|worker| worker.0).into()),
        real("queue_s", |row| row.ended().facts().queue_s.into()),
        real("started_unix_s", |row| row.ended().facts().started_unix_s.into()),
        real("ended_unix_s", |row| row.ended().facts().ended_unix_s.into()),
        real("elapsed_s", |row| row.ended().elapsed_s().into()),
        real("limit_s", |row| row.ended().facts().limit_s.into()),
        json("placement", |row| row.ended().facts().placement.as_ref().map(Cell::json).into()),
        text("env", |row| row.ended().facts().env.into()),
        text("artefact", |row| row.ended().facts().artefact.into()),
        text("key", |row| row.ended().facts().key.into()),
        text("content_key", |row| row.ended().facts().content_key.into()),
        json("argv", |row| (!row.ended().argv().is_empty()).then(|| Cell::json(row.ended().argv())).into()),
    ]
}

fn summary<T: Summarised>() -> Vec<Column<T>> {
    vec![
        integer("n", |row| row.stats().map(|stats| stats.n).into()),
        real("median", |row| row.stats().map(|stats| stats.median).into()),
        real("ci_lo", |row| row.stats().and_then(|stats| stats.ci).map(|ci| ci.lo).into()),
        real("ci_hi", |row| row.stats().and_then(|stats| stats.ci).map(|ci| ci.hi).into()),
        real("ci_level", |row| row.stats().and_then(|stats| stats.ci).map(|ci| ci.level).into()),
        real("rel_half_width", |row| row.stats().and_then(|stats| stats.rel_half_width).into()),
        real("min", |row| row.stats().map(|stats| stats.min).into()),
        real("p05", |row| row.stats().map(|stats| stats.p05).into()),
        real("q1", |row| row.stats().map(|stats| stats.q1).into()),
        real("q3", |row| row.stats().map(|stats| stats.q3).into()),
        real("p95", |row| row.stats().map(|stats| stats.p95).into()),
        real("max", |row| row.stats().map(|stats| stats.max).into()),
        real("mean", |row| row.stats().map(|stats| stats.mean).into()),
        real("sd", |row| row.stats().filter(|stats| stats.n > 1).map(|stats| stats.sd).into()),
        real("mad", |row| row.stats().map(|stats| stats.mad).into()),
    ]
}

impl OfTask for &Ended {
    fn ended(&self) -> &Ended {
        self
    }
}

fn executed<'a>(row: &'a &Ended) -> Option<&'a RunResult> {
    match &row.what {
        What::Task(task) => match &task.outcome.detail {
            Detail::Exec(run) => Some(run),
            _ => None,
        },
        What::Measurement(_) => None,
    }
}

/// Of a launcher only the wall time says something.
fn own_usage<'a>(row: &'a &Ended) -> Option<&'a RunResult> {
    executed(row).filter(|run| run.launched.is_none())
}

fn printed(text: &[u8]) -> Cell {
    Cell::Text(String::from_utf8_lossy(text).into_owned())
}

/// Everything that ended.
pub(super) fn tasks<'a>() -> Vec<Column<&'a Ended>> {
    let what = vec![text("kind", |row: &&Ended| row.facts().kind.word().into())];
    let run = vec![
        integer("exit_code", |row: &&'a Ended| match &row.what {
            What::Measurement(measurement) => measurement.exit_code.into(),
            What::Task(task) => match &task.outcome.detail {
                Detail::Exec(run) => run.exit_code.into(),
                Detail::Compile(build) => build.exit_code.into(),
                _ => Cell::Null,
            },
        }),
        real("wall_s", |row| executed(row).map(|run| run.usage.wall_s).into()),
        real("user_s", |row| own_usage(row).map(|run| run.usage.user_s).into()),
        real("sys_s", |row| own_usage(row).map(|run| run.usage.sys_s).into()),
        integer("maxrss_bytes", |row| own_usage(row).map(|run| run.usage.maxrss_bytes).into()),
        text("stdout", |row| executed(row).map(|run| printed(&run.stdout)).into()),
        text("stderr", |row| executed(row).map(|run| printed(&run.stderr)).into()),
        text("value", |row| match &row.what {
            What::Task(task) => match &task.outcome.detail {
                Detail::Call(result) => result.text.as_ref().map(|text| printed(text)).into(),
                _ => Cell::Null,
            },
            What::Measurement(_) => Cell::Null,
        }),
    ];
    joined([subject(), what, ending(), circumstances(), run])
}

/// A measurement.
pub(super) struct Measured<'a> {
    pub(super) ended: &'a Ended,
    pub(super) it: &'a Measurement,
}

impl OfTask for Measured<'_> {
    fn ended(&self) -> &Ended {
        self.ended
    }
}

impl Summarised for Measured<'_> {
    fn stats(&self) -> Option<&Summary> {
        self.it.stats.as_ref().filter(|_| self.it.status == Status::Ok)
    }
}

impl Measured<'_> {
    /// The median of a column over the counted runs; a crash is never a number.
    fn median(&self, value: impl Fn(usize) -> Option<f64>) -> Cell {
        if self.it.status != Status::Ok {
            return Cell::Null;
        }
        let counted = self.it.runs.phase.iter().enumerate().filter(|(_, phase)| **phase == Phase::Sample);
        let values: Vec<f64> = counted.filter_map(|(run, _)| value(run)).collect();
        (!values.is_empty()).then(|| stats::summary(&values).median).into()
    }

    /// The median of a figure the program printed.
    pub(super) fn metric(&self, name: &str) -> Option<f64> {
        let metric = self.it.metrics.get(name).filter(|_| self.it.status == Status::Ok)?;
        metric.stats.as_ref().map(|stats| stats.median)
    }

    fn metrics(&self) -> Cell {
        let of = |(name, _): (&String, &MetricColumn)| Some((name.clone(), Value::from(self.metric(name)?)));
        let medians: Map<String, Value> = self.it.metrics.iter().filter_map(of).collect();
        if medians.is_empty() { Cell::Null } else { Cell::json(&medians) }
    }
}

/// Medians of what was counted, by event.
fn counted(counters: Option<&Counters>) -> Cell {
    let of = |values: &[Option<f64>]| {
        let values: Vec<f64> = values.iter().flatten().copied().collect();
        (!values.is_empty()).then(|| stats::summary(&values).median)
    };
    let Some(counters) = counters else { return Cell::Null };
    let events = counters.events.iter();
    let medians: Map<String, Value> =
        events.map(|(name, event)| (name.clone(), of(&event.value).into())).collect();
    Cell::json(&medians)
}

/// A field of `code` or `harness`.
fn of_version(object: &Option<Value>, field: &str) -> Cell {
    object.as_ref().and_then(|object| object.get(field)).map_or(Cell::Null, |value| match value {
        Value::Bool(yes) => Cell::from(*yes),
        other => Cell::of_value(other),
    })
}

fn nth(column: &Option<Vec<Option<f64>>>, run: usize) -> Option<f64> {
    column.as_ref()?.get(run).copied().flatten()
}

/// Every measurement.
pub(super) fn measurements<'a>() -> Vec<Column<Measured<'a>>> {
    let aim: Vec<Column<Measured<'a>>> = vec![
        text("objective", |row| (&row.it.objective.metric).into()),
        text("unit", |row| row.it.unit().into()),
        text("better", |row| Cell::word(&row.it.objective.better)),
    ];
    let found = vec![
        text("stop_reason", |row: &Measured<'a>| row.it.stop_reason.map(|reason| reason.word()).into()),
        text("flags", |row| row.it.flags.join(" ").into()),
        json("metrics", Measured::metrics),
        real("wall_s", |row| row.median(|run| row.it.runs.wall_s.get(run).copied())),
        real("user_s", |row| row.median(|run| row.it.runs.user_s.get(run).copied())),
        real("sys_s", |row| row.median(|run| row.it.runs.sys_s.get(run).copied())),
        real("maxrss_bytes", |row| row.median(|run| row.it.runs.maxrss_bytes.get(run).map(|b| *b as f64))),
        real("energy_pkg_j", |row| row.median(|run| nth(&row.it.energy_pkg_j, run))),
        real("energy_dram_j", |row| row.median(|run| nth(&row.it.energy_dram_j, run))),
        json("counters", |row| counted(row.it.counters.as_ref())),
        integer("mem_peak_cgroup_bytes", |row| {
            row.it.reserved.mem_peak_cgroup_bytes.as_ref().map(Cell::of_value).into()
        }),
    ];
    joined([subject(), ending(), aim, summary(), found, circumstances(), protocol(), around()])
}

/// How it was measured, and what went wrong.
fn protocol<'a>() -> Vec<Column<Measured<'a>>> {
    vec![
        integer("censored", |row| row.it.censored.into()),
        integer("exit_code", |row| row.it.exit_code.into()),
        integer("signal", |row| row.it.signal.into()),
        text("stderr_tail", |row| (&row.it.stderr_tail).into()),
        json("env_delta", |row| Cell::json(&row.it.env_delta)),
        text("verify_status", |row| (&row.it.verify.status).into()),
        text("verify_method", |row| (&row.it.verify.method).into()),
        real("verify_max_abs_err", |row| row.it.verify.max_abs_err.into()),
        integer("nodes", |row| row.it.nodes.into()),
        integer("ranks", |row| row.it.ranks.into()),
        json("hosts", |row| row.it.hosts.as_ref().map(Cell::json).into()),
        text("same_as", |row| row.it.same_as.as_ref().map(|same| &same.id).into()),
        real("setup_s", |row| row.it.hooks.as_ref().and_then(|hooks| hooks.setup_s).into()),
        real("cleanup_s", |row| row.it.hooks.as_ref().and_then(|hooks| hooks.cleanup_s).into()),
        text("git_commit", |row| of_version(&row.it.reserved.code, "git_commit")),
        integer("dirty", |row| of_version(&row.it.reserved.code, "dirty")),
        text("version", |row| of_version(&row.it.reserved.harness, "version")),
    ]
}

/// What moved meanwhile.
fn around<'a>() -> Vec<Column<Measured<'a>>> {
    vec![
        real("floor_s", |row| row.it.floor_s.into()),
        integer("maxrss_floor_bytes", |row| row.it.maxrss_floor_bytes.into()),
        real("freq_before_hz", |row| row.it.moving.freq_hz.map(|pair| pair[0]).into()),
        real("freq_after_hz", |row| row.it.moving.freq_hz.map(|pair| pair[1]).into()),
        real("temp_before_c", |row| row.it.moving.temp_c.map(|pair| pair[0]).into()),
        real("temp_after_c", |row| row.it.moving.temp_c.map(|pair| pair[1]).into()),
        real("load1_before", |row| row.it.moving.load1.map(|pair| pair[0]).into()),
        real("load1_after", |row| row.it.moving.load1.map(|pair| pair[1]).into()),
        integer("throttle_count", |row| row.it.moving.throttle_count.into()),
        real("psi_cpu_some_s", |row| row.it.moving.psi_cpu_some_s.into()),
        real("psi_mem_some_s", |row| row.it.moving.psi_mem_some_s.into()),
        real("psi_io_some_s", |row| row.it.moving.psi_io_some_s.into()),
        real("others_cpu_s", |row| row.it.moving.others_cpu_s.into()),
        real("steal_s", |row| row.it.moving.steal_s.into()),
    ]
}

/// What `harness rerun` repeated, as a measurement.
pub(super) fn repeats<'a>() -> Vec<Column<Measured<'a>>> {
    let whose = vec![text("parent", |row: &Measured<'a>| row.ended.facts().parent.as_ref().into())];
    joined([whose, measurements()])
}

/// One run of a measurement or of one side of a comparison.
pub(super) fn runs<'a>() -> Vec<Column<Run<'a>>> {
    vec![
        integer("task", |run| run.task.into()),
        text("variant", |run| run.variant.into()),
        integer("run", |run| run.number.into()),
        integer("sample", |run| run.sample.into()),
        text("phase", |run| Cell::word(&run.phase)),
        real("t_start_s", |run| run.t_start_s.into()),
        real("wall_s", |run| run.usage.wall_s.into()),
        real("user_s", |run| run.own().map(|usage| usage.user_s).into()),
        real("sys_s", |run| run.own().map(|usage| usage.sys_s).into()),
        integer("maxrss_bytes", |run| run.own().map(|usage| usage.maxrss_bytes).into()),
        integer("minflt", |run| run.own().map(|usage| usage.minflt).into()),
        integer("majflt", |run| run.own().map(|usage| usage.majflt).into()),
        integer("nvcsw", |run| run.own().map(|usage| usage.nvcsw).into()),
        integer("nivcsw", |run| run.own().map(|usage| usage.nivcsw).into()),
        integer("inblock", |run| run.own().map(|usage| usage.inblock).into()),
        integer("oublock", |run| run.own().map(|usage| usage.oublock).into()),
        real("energy_pkg_j", |run| run.energy.pkg_j.into()),
        real("energy_dram_j", |run| run.energy.dram_j.into()),
        json("metrics", |run| {
            let of = |(name, value): &(&str, f64)| ((*name).to_owned(), Value::from(*value));
            let values: Map<String, Value> = run.metrics.iter().map(of).collect();
            if values.is_empty() { Cell::Null } else { Cell::json(&values) }
        }),
        text("output_hash", |run| run.output_hash.into()),
    ]
}

/// A build; without a result if it never began.
pub(super) struct Built<'a> {
    pub(super) ended: &'a Ended,
    pub(super) result: Option<&'a CompileResult>,
}

impl OfTask for Built<'_> {
    fn ended(&self) -> &Ended {
        self.ended
    }
}

impl Built<'_> {
    fn said(&self, severity: Severity) -> Cell {
        let said = |build: &CompileResult| {
            messages(&build.diagnostics).iter().filter(|message| message.severity == severity).count()
        };
        self.result.map(said).into()
    }
}

/// Every build.
pub(super) fn compiles<'a>() -> Vec<Column<Built<'a>>> {
    let result: Vec<Column<Built<'a>>> = vec![
        text("cache", |row| row.result.map(|build| Cell::word(&build.cache)).into()),
        real("wall_s", |row| row.result.map(|build| build.wall_s).into()),
        integer("artefact_bytes", |row| {
            row.result.filter(|build| build.artefact.is_some()).map(|build| build.artefact_bytes).into()
        }),
        text("text_hash", |row| row.result.and_then(|build| build.text_hash).into()),
        text("compiler", |row| row.result.map(|build| &build.compiler).into()),
        integer("exit_code", |row| row.result.and_then(|build| build.exit_code).into()),
        integer("errors", |row| row.said(Severity::Error)),
        integer("warnings", |row| row.said(Severity::Warning)),
        text("diagnostics", |row| row.result.map(|build| &build.diagnostics).into()),
    ];
    // The artefact of a build is what it made.
    let other = circumstances().into_iter().filter(|column: &Column<Built<'a>>| column.name != "artefact");
    let made = text("artefact", |row: &Built<'a>| row.result.and_then(|build| build.artefact).into());
    joined([subject(), ending(), vec![made], result, other.collect()])
}

/// One side of a comparison.
pub(super) struct Side<'a> {
    pub(super) ended: &'a Ended,
    pub(super) of: &'a CompareResult,
    pub(super) it: &'a Compared,
    pub(super) is_base: bool,
}

impl OfTask for Side<'_> {
    fn ended(&self) -> &Ended {
        self.ended
    }

    fn params(&self) -> Option<&Value> {
        self.it.params.as_ref().or(self.ended.facts().params.as_ref())
    }
}

impl Summarised for Side<'_> {
    fn stats(&self) -> Option<&Summary> {
        self.it.result.stats.as_ref().filter(|_| self.it.status == Status::Ok)
    }
}

/// Every side of every comparison.
pub(super) fn comparisons<'a>() -> Vec<Column<Side<'a>>> {
    let side = vec![
        text("variant", |row: &Side<'a>| (&row.it.name).into()),
        integer("is_base", |row| row.is_base.into()),
        text("status", |row| row.it.status.word().into()),
        text("reason", |row| row.it.reason.as_ref().into()),
        text("host", |row| row.ended.host().into()),
        text("verdict", |row| row.it.comparison.map(|found| found.verdict.word()).into()),
        real("ratio", |row| row.it.comparison.map(|found| found.ratio).into()),
        real("ratio_lo", |row| row.it.comparison.and_then(|found| found.ci).map(|ci| ci.lo).into()),
        real("ratio_hi", |row| row.it.comparison.and_then(|found| found.ci).map(|ci| ci.hi).into()),
        integer("rounds", |row| row.of.rounds.into()),
        real("min_effect", |row| row.of.min_effect.into()),
        text("objective", |row| (&row.it.result.objective).into()),
        text("unit", |row| row.it.result.unit().into()),
        text("better", |row| Cell::word(&row.it.result.better)),
    ];
    let found = vec![
        text("stop_reason", |row: &Side<'a>| row.of.stop_reason.word().into()),
        text("flags", |row| row.it.result.flags.join(" ").into()),
        json("counters", |row| counted(row.it.result.counters.as_ref())),
    ];
    // What was run differs from side to side.
    let other = circumstances().into_iter().filter(|column: &Column<Side<'a>>| column.name != "argv");
    let argv = json("argv", |row: &Side<'a>| Cell::json(&row.it.result.argv));
    joined([subject(), side, summary(), found, other.collect(), vec![argv]])
}

/// Is it a build?
pub(super) fn is_build(ended: &Ended) -> bool {
    ended.facts().kind == Kind::Compile
}
