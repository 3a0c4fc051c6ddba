//! Outcomes as the tables a script sees: exec, compile, measure and compare records, and errors of calls.
//!
//! Knows nothing of futures or of where an outcome came from.

use std::array::IntoIter;
use std::collections::BTreeMap;
use std::iter::Take;

use mlua::{Lua, LuaSerdeExt, Table, Value};

use super::raw::{Field, Fields, Shipper, learn};
use crate::model::{
    Better, CacheUse, CompareResult, Compared, Comparison, CompileResult, Conditions, CounterValues,
    Counters, Detail, HookTimes, Interval, Kind, Launched, MeasureResult, Outcome, Phase, Placed, RunResult,
    SameAs, Status, Summary, Usage, Verdict, diagnostics, human,
};

/// What the author called the task.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// `name`.
    pub name: Option<String>,
    /// `params`, as they were given.
    pub params: Option<Table>,
}

/// Room for the fields of a record.
const FIELDS: usize = 32;

/// The record of an exec, a compile or a measure.
pub fn record(lua: &Lua, kind: Kind, label: &Label, outcome: &Outcome) -> mlua::Result<Table> {
    let mut t = Fields::with_capacity(FIELDS);
    t.set("kind", kind.word());
    t.set("ok", outcome.ok());
    t.set("status", outcome.status.word());
    t.set("reason", outcome.reason.as_deref());
    t.set("host", host(outcome));
    t.set("elapsed_s", outcome.elapsed_s);
    t.set("name", label.name.as_deref());
    t.set("params", label.params.clone());
    match &outcome.detail {
        Detail::Exec(run) => exec(&mut t, run),
        Detail::Compile(build) => compile(&mut t, build),
        Detail::Measure(result) => measure(&mut t, result),
        Detail::Compare(result) => compare(lua, &mut t, result),
        Detail::None | Detail::Call(_) | Detail::Calls(_) | Detail::CallError(_) => empty(&mut t, kind),
    }
    t.set("conditions", outcome.conditions.as_deref().map(conditions));
    t.set("summary", summary(lua, kind, label, outcome));
    t.table(lua)
}

/// What `await` raises for a call that failed; `value` is what the call raised, if it came along.
pub fn failure(lua: &Lua, outcome: &Outcome, value: Option<Value>) -> mlua::Result<Table> {
    let mut error = Fields::default();
    error.set("kind", outcome.status.word());
    error.set("host", host(outcome));
    if let Detail::CallError(raised) = &outcome.detail {
        error.set("message", raised.message.as_str());
        error.set("traceback", raised.traceback.as_str());
        error.set("value", value);
        error.set("place", raised.place);
    } else {
        error.set("message", outcome.reason.as_deref().unwrap_or(outcome.status.word()));
    }
    error.table(lua)
}

/// Where it ran, if it did.
fn host(outcome: &Outcome) -> Option<&str> {
    (!outcome.host.is_empty()).then_some(&outcome.host)
}

/// The value that a call raised; none if it could not travel.
pub fn error_value(lua: &Lua, shipper: &mut Shipper, outcome: &Outcome) -> Option<Value> {
    let Detail::CallError(raised) = &outcome.detail else { return None };
    let value = raised.value.as_ref()?;
    learn(shipper, &value.codes).ok()?;
    let mut none = |task| Err(format!("an error value cannot wait for task {task}"));
    shipper.decode(lua, &value.values, &mut none).ok()?.into_iter().next()
}

/// A record one can look into without asking first whether the task ever ran.
fn empty(t: &mut Fields<'_>, kind: Kind) {
    let empty: &[&str] = match kind {
        Kind::Exec => {
            t.set("stdout", "");
            t.set("stderr", "");
            t.set("stdout_bytes", 0_u32);
            t.set("stderr_bytes", 0_u32);
            &["outputs"]
        }
        Kind::Compile => {
            t.set("diagnostics", "");
            &["messages"]
        }
        Kind::Measure => &["samples", "metrics", "flags"],
        Kind::Compare => &["verdicts", "variants"],
        Kind::Call => &[],
    };
    empty.iter().for_each(|name| t.set(*name, Fields::default()));
}

fn exec<'a>(t: &mut Fields<'a>, run: &'a RunResult) {
    t.set("exit_code", run.exit_code);
    t.set("signal", run.signal);
    t.set("stdout", &run.stdout[..]);
    t.set("stderr", &run.stderr[..]);
    t.set("stdout_bytes", run.stdout_bytes);
    t.set("stderr_bytes", run.stderr_bytes);
    known_figures(&run.usage, run.launched.is_some()).for_each(|(name, value)| t.set(name, value));
    launched(t, run.launched.as_ref());
    let mut outputs = Fields::default();
    run.outputs.iter().for_each(|(path, hash)| outputs.set(path.as_str(), hash.to_string()));
    t.set("outputs", outputs);
    t.set("argv", run.argv.as_slice());
    t.set("leftovers", run.leftovers);
}

fn compile<'a>(t: &mut Fields<'a>, build: &'a CompileResult) {
    t.set("artefact", build.artefact.map(|hash| hash.to_string()));
    t.set("artefact_bytes", build.artefact.map(|_| build.artefact_bytes));
    t.set("diagnostics", build.diagnostics.as_str());
    t.set("text_hash", build.text_hash.map(|hash| hash.to_string()));
    t.set("messages", messages(build));
    t.set("cache", cache_word(build.cache));
    t.set("wall_s", build.wall_s);
    t.set("argv", build.argv.as_slice());
    t.set("compiler", build.compiler.as_str());
    t.set("exit_code", build.exit_code);
    t.set("signal", build.signal);
}

/// What the compiler said, as a list.
fn messages(build: &CompileResult) -> Field<'_> {
    let messages = diagnostics::messages(&build.diagnostics).into_iter().map(|message| {
        let mut t = Fields::default();
        t.set("file", message.file);
        t.set("line", message.line);
        t.set("column", message.column);
        t.set("severity", message.severity.word());
        t.set("text", message.text);
        t
    });
    messages.collect()
}

fn measure<'a>(t: &mut Fields<'a>, result: &'a MeasureResult) {
    t.set("objective", result.objective.as_str());
    t.set("unit", result.unit());
    t.set("better", better_word(result.better));
    t.set("stats", result.stats.as_ref().map(summary_table));
    t.set("samples", samples(result, Phase::Sample));
    t.set("warmup", samples(result, Phase::Warmup));
    let mut metrics = Fields::default();
    for (name, metric) in &result.metrics {
        let mut m = Fields::default();
        m.set("unit", metric.unit.as_deref());
        m.set("better", better_word(metric.better));
        m.set("value", metric.value.as_slice());
        m.set("stats", metric.stats.as_ref().map(summary_table));
        metrics.set(name.as_str(), m);
    }
    t.set("metrics", metrics);
    t.set("counters", result.counters.as_ref().map(counters));
    t.set("flags", result.flags.as_slice());
    t.set("stop_reason", result.stop_reason.word());
    let mut verify = Fields::default();
    verify.set("status", result.verify.status.as_str());
    verify.set("method", result.verify.method.as_str());
    verify.set("max_abs_err", result.verify.max_abs_err);
    t.set("verify", verify);
    t.set("floor_s", result.floor_s);
    t.set("maxrss_floor_bytes", result.maxrss_floor_bytes);
    t.set("exit_code", result.exit_code);
    t.set("signal", result.signal);
    t.set("stderr_tail", result.stderr_tail.as_str());
    launched(t, result.launched.as_ref());
    if let Some(SameAs { id, what }) = &result.same_as {
        let mut same = Fields::default();
        same.set("id", id.as_str());
        same.set("what", what.as_str());
        t.set("same_as", same);
    }
    t.set("hooks", result.hooks.as_ref().map(hook_times));
    t.set("argv", result.argv.as_slice());
}

/// What ran around the runs took.
fn hook_times(hooks: &HookTimes) -> Fields<'_> {
    let mut t = Fields::default();
    t.set("setup_s", hooks.setup_s);
    t.set("prepare_s", hooks.prepare_s.as_slice());
    t.set("conclude_s", hooks.conclude_s.as_slice());
    t.set("cleanup_s", hooks.cleanup_s);
    t.set("cleanup_failure", hooks.cleanup_failure.as_deref());
    t
}

fn compare<'a>(lua: &Lua, t: &mut Fields<'a>, result: &'a CompareResult) {
    let (mut verdicts, mut variants) = (Fields::default(), Fields::default());
    for (at, variant) in result.variants.iter().enumerate() {
        let mut runs = Fields::default();
        runs.set("ok", variant.status == Status::Ok);
        runs.set("status", variant.status.word());
        runs.set("reason", variant.reason.as_deref());
        runs.set("params", variant.params.as_ref().and_then(|params| lua.to_value(params).ok()));
        measure(&mut runs, &variant.result);
        runs.set("summary", human::result_text(&variant.result));
        variants.set(variant.name.as_str(), runs);
        if at > 0 {
            verdicts.set(variant.name.as_str(), verdict(variant));
        }
    }
    t.set("verdicts", verdicts);
    t.set("variants", variants);
    t.set("rounds", result.rounds);
    t.set("order_seed", result.order_seed);
    t.set("min_effect", result.min_effect);
    t.set("stop_reason", result.stop_reason.word());
}

/// What may be said of a variant: where there is no verdict its status stands there, and the reason.
fn verdict(variant: &Compared) -> Fields<'_> {
    let mut t = Fields::default();
    let Some(found) = &variant.comparison else {
        let without_rounds = variant.status == Status::Ok;
        let word = if without_rounds { Verdict::Unresolved.word() } else { variant.status.word() };
        t.set("verdict", word);
        t.set("reason", variant.reason.as_deref());
        t.set("rounds", 0_u32);
        return t;
    };
    set_comparison(&mut t, found);
    t
}

/// What two sides, or a variant on several nodes, were found to be.
pub(super) fn set_comparison(t: &mut Fields<'_>, found: &Comparison) {
    t.set("verdict", found.verdict.word());
    t.set("ratio", found.ratio);
    t.set("lo", found.ci.map(|ci| ci.lo));
    t.set("hi", found.ci.map(|ci| ci.hi));
    t.set("rounds", found.rounds);
}

/// What was counted, by event: lists with an entry for each run that has one.
fn counters(found: &Counters) -> Fields<'_> {
    let mut t = Fields::default();
    for (name, CounterValues { value, pcnt_running, note }) in &found.events {
        let mut event = Fields::default();
        let known = |column: &[Option<f64>]| column.iter().copied().flatten().collect::<Field<'_>>();
        event.set("value", known(value));
        event.set("pcnt_running", known(pcnt_running));
        event.set("note", note.as_deref());
        t.set(name.as_str(), event);
    }
    t
}

/// What the node was like.
fn conditions(Conditions { moving, placed }: &Conditions) -> Fields<'_> {
    let mut t = Fields::default();
    if let Some(Placed { cpus, mems, smt, neighbours }) = placed {
        t.set("cpus", cpus.as_str());
        if !neighbours.is_empty() {
            t.set("neighbours", neighbours.iter().map(|task| task.0).collect::<Field<'_>>());
        }
        t.set("mems", mems.as_deref());
        t.set("smt", smt.as_str());
    }
    for (name, pair) in [("freq_hz", moving.freq_hz), ("temp_c", moving.temp_c), ("load1", moving.load1)] {
        t.set(name, pair.map(|pair| pair.into_iter().collect::<Field<'_>>()));
    }
    t.set("energy_note", moving.energy_note.as_deref());
    t.set("throttle_count", moving.throttle_count);
    for (name, value) in [
        ("psi_cpu_some_s", moving.psi_cpu_some_s),
        ("psi_mem_some_s", moving.psi_mem_some_s),
        ("psi_io_some_s", moving.psi_io_some_s),
        ("others_cpu_s", moving.others_cpu_s),
        ("steal_s", moving.steal_s),
    ] {
        t.set(name, value);
    }
    t
}

/// How an MPI application was started.
fn launched<'a>(t: &mut Fields<'a>, launched: Option<&'a Launched>) {
    let Some(Launched { hosts, ranks, argv }) = launched else { return };
    t.set("hosts", hosts.as_slice());
    t.set("ranks", *ranks);
    t.set("launcher_argv", argv.as_slice());
}

/// The figures of the runs of a phase, as lists by name.
fn samples(result: &MeasureResult, phase: Phase) -> Fields<'_> {
    let mut lists: BTreeMap<&str, Vec<Field<'_>>> = BTreeMap::new();
    for (at, sample) in result.samples.iter().filter(|sample| sample.phase == phase).enumerate() {
        let figures = known_figures(&sample.usage, result.launched.is_some());
        let own = figures.chain([("t_start_s", Figure::Float(sample.t_start_s))]);
        let consumed = [("energy_pkg_j", sample.energy.pkg_j), ("energy_dram_j", sample.energy.dram_j)];
        let own = own.chain(consumed.into_iter().filter_map(|(name, j)| Some((name, Figure::Float(j?)))));
        let printed = sample.metrics.iter().map(|(name, value)| (name.as_str(), Figure::Float(*value)));
        for (name, value) in own.chain(printed) {
            let list = lists.entry(name).or_default();
            list.resize_with(at, || Field::Nil); // a run may have none; the last of one name counts
            list.push(value.into());
        }
    }
    let mut t = Fields::with_capacity(lists.len());
    lists.into_iter().for_each(|(name, list)| t.set(name, Field::List(list)));
    t
}

/// A float stays a float in Lua, also where it is whole.
#[derive(Clone, Copy)]
pub(super) enum Figure {
    Float(f64),
    Count(u64),
}

impl From<Figure> for Field<'_> {
    fn from(figure: Figure) -> Self {
        match figure {
            Figure::Float(value) => value.into(),
            Figure::Count(value) => value.into(),
        }
    }
}

/// Of a launcher only the wall time says something.
pub(super) fn known_figures(usage: &Usage, launched: bool) -> Take<IntoIter<(&'static str, Figure), 10>> {
    figures(usage).into_iter().take(if launched { 1 } else { usize::MAX })
}

/// The wall time first.
fn figures(usage: &Usage) -> [(&'static str, Figure); 10] {
    [
        ("wall_s", Figure::Float(usage.wall_s)),
        ("user_s", Figure::Float(usage.user_s)),
        ("sys_s", Figure::Float(usage.sys_s)),
        ("maxrss_bytes", Figure::Count(usage.maxrss_bytes)),
        ("minflt", Figure::Count(usage.minflt)),
        ("majflt", Figure::Count(usage.majflt)),
        ("nvcsw", Figure::Count(usage.nvcsw)),
        ("nivcsw", Figure::Count(usage.nivcsw)),
        ("inblock", Figure::Count(usage.inblock)),
        ("oublock", Figure::Count(usage.oublock)),
    ]
}

fn summary_table(s: &Summary) -> Fields<'_> {
    let mut t = Fields::default();
    t.set("n", s.n);
    for (name, value) in [
        ("min", s.min),
        ("p05", s.p05),
        ("q1", s.q1),
        ("median", s.median),
        ("q3", s.q3),
        ("p95", s.p95),
        ("max", s.max),
        ("mean", s.mean),
        ("sd", s.sd),
        ("mad", s.mad),
    ] {
        t.set(name, value);
    }
    if let Some(Interval { lo, hi, level, exact_level }) = s.ci {
        let mut ci = Fields::default();
        for (name, value) in [("lo", lo), ("hi", hi), ("level", level), ("exact_level", exact_level)] {
            ci.set(name, value);
        }
        t.set("ci", ci);
    }
    t.set("rel_half_width", s.rel_half_width);
    t
}

/// A line for people, as the final table has it.
fn summary(lua: &Lua, kind: Kind, label: &Label, outcome: &Outcome) -> String {
    let name = label.name.as_deref().unwrap_or(kind.word());
    let params = label.params.as_ref().and_then(|params| lua.from_value(Value::Table(params.clone())).ok());
    let params: serde_json::Value = params.unwrap_or_default();
    let subject = human::subject(Some(name), Some(&params));
    match &outcome.detail {
        Detail::Exec(run) if outcome.ok() => {
            format!("{subject}: ok in {}", human::duration(run.usage.wall_s))
        }
        Detail::Compile(build) if outcome.ok() => {
            let cache = cache_word(build.cache);
            let said = said(build, ", ");
            format!("{subject}: ok in {} (cache: {cache}){said}", human::duration(build.wall_s))
        }
        Detail::Compile(build) => human::measurement_line(name, &params, outcome) + &said(build, "; "),
        Detail::Compare(result) if outcome.ok() => human::comparison_lines(&subject, result).join("\n"),
        _ => human::measurement_line(name, &params, outcome),
    }
}

/// How many errors and warnings there were, after `separator`; nothing where the line has quoted the only one.
fn said(build: &CompileResult, separator: &str) -> String {
    let messages = diagnostics::messages(&build.diagnostics);
    let counts = diagnostics::counts(&messages);
    let is_quoted = build.artefact.is_none() && counts == "1 error";
    if counts.is_empty() || is_quoted { String::new() } else { format!("{separator}{counts}") }
}

fn cache_word(cache: CacheUse) -> &'static str {
    match cache {
        CacheUse::Off => "off",
        CacheUse::Miss => "miss",
        CacheUse::Hit => "hit",
        CacheUse::Negative => "negative",
    }
}

fn better_word(better: Better) -> &'static str {
    match better {
        Better::Less => "less",
        Better::More => "more",
    }
}
