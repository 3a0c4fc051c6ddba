//! Outcomes as the tables a script sees: exec, compile, measure and compare records, and errors of calls.
//!
//! Knows nothing of futures or of where an outcome came from.

use std::array::IntoIter;
use std::iter::Take;

use mlua::{IntoLua, Lua, LuaSerdeExt, Table, Value};

use super::raw::{Shipper, learn};
use crate::model::{
    Better, CacheUse, CompareResult, Compared, Comparison, CompileResult, Conditions, CounterValues,
    Counters, Detail, HookTimes, Interval, Kind, Launched, MeasureResult, Outcome, Phase, Placed, RunResult,
    SameAs, Sample, Status, Summary, Usage, Verdict, diagnostics, human,
};

/// What the author called the task.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// `name`.
    pub name: Option<String>,
    /// `params`, as they were given.
    pub params: Option<Table>,
}

/// Room for the fields of a record: a table that grew to them would be made anew five times.
const FIELDS: usize = 32;

/// The record of an exec, a compile or a measure.
pub fn record(lua: &Lua, kind: Kind, label: &Label, outcome: &Outcome) -> mlua::Result<Table> {
    let t = lua.create_table_with_capacity(0, FIELDS)?;
    t.raw_set("kind", kind.word())?;
    t.raw_set("ok", outcome.ok())?;
    t.raw_set("status", outcome.status.word())?;
    t.raw_set("reason", outcome.reason.as_deref())?;
    if !outcome.host.is_empty() {
        t.raw_set("host", outcome.host.as_str())?;
    }
    t.raw_set("elapsed_s", outcome.elapsed_s)?;
    t.raw_set("name", label.name.as_deref())?;
    t.raw_set("params", label.params.clone())?;
    match &outcome.detail {
        Detail::Exec(run) => exec(lua, &t, run)?,
        Detail::Compile(build) => compile(lua, &t, build)?,
        Detail::Measure(result) => measure(lua, &t, result)?,
        Detail::Compare(result) => compare(lua, &t, result)?,
        Detail::None | Detail::Call(_) | Detail::Calls(_) | Detail::CallError(_) => empty(lua, &t, kind)?,
    }
    t.raw_set("conditions", outcome.conditions.as_deref().map(|c| conditions(lua, c)).transpose()?)?;
    t.raw_set("summary", summary(lua, kind, label, outcome))?;
    Ok(t)
}

/// What `await` raises for a call that failed; `value` is what the call raised, if it came along.
pub fn failure(lua: &Lua, outcome: &Outcome, value: Option<Value>) -> mlua::Result<Table> {
    let error = lua.create_table()?;
    error.raw_set("kind", outcome.status.word())?;
    if !outcome.host.is_empty() {
        error.raw_set("host", outcome.host.as_str())?;
    }
    let Detail::CallError(raised) = &outcome.detail else {
        error.raw_set("message", outcome.reason.as_deref().unwrap_or(outcome.status.word()))?;
        return Ok(error);
    };
    error.raw_set("message", raised.message.as_str())?;
    error.raw_set("traceback", raised.traceback.as_str())?;
    error.raw_set("value", value)?;
    Ok(error)
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
fn empty(lua: &Lua, t: &Table, kind: Kind) -> mlua::Result<()> {
    match kind {
        Kind::Exec => {
            t.raw_set("stdout", "")?;
            t.raw_set("stderr", "")?;
            t.raw_set("stdout_bytes", 0)?;
            t.raw_set("stderr_bytes", 0)?;
            t.raw_set("outputs", lua.create_table()?)
        }
        Kind::Compile => {
            t.raw_set("diagnostics", "")?;
            t.raw_set("messages", lua.create_table()?)
        }
        Kind::Measure => {
            for field in ["samples", "metrics", "flags"] {
                t.raw_set(field, lua.create_table()?)?;
            }
            Ok(())
        }
        Kind::Compare => {
            for field in ["verdicts", "variants"] {
                t.raw_set(field, lua.create_table()?)?;
            }
            Ok(())
        }
        Kind::Call => Ok(()),
    }
}

fn exec(lua: &Lua, t: &Table, run: &RunResult) -> mlua::Result<()> {
    t.raw_set("exit_code", run.exit_code)?;
    t.raw_set("signal", run.signal)?;
    t.raw_set("stdout", lua.create_string(&run.stdout)?)?;
    t.raw_set("stderr", lua.create_string(&run.stderr)?)?;
    t.raw_set("stdout_bytes", run.stdout_bytes)?;
    t.raw_set("stderr_bytes", run.stderr_bytes)?;
    for (name, value) in known_figures(&run.usage, run.launched.is_some()) {
        t.raw_set(name, value)?;
    }
    launched(t, run.launched.as_ref())?;
    let outputs = run.outputs.iter().map(|(path, hash)| (path.as_str(), hash.to_string()));
    t.raw_set("outputs", lua.create_table_from(outputs)?)?;
    t.raw_set("argv", run.argv.as_slice())?;
    t.raw_set("leftovers", run.leftovers)
}

fn compile(lua: &Lua, t: &Table, build: &CompileResult) -> mlua::Result<()> {
    t.raw_set("artefact", build.artefact.map(|hash| hash.to_string()))?;
    t.raw_set("artefact_bytes", build.artefact.map(|_| build.artefact_bytes))?;
    t.raw_set("diagnostics", build.diagnostics.as_str())?;
    t.raw_set("text_hash", build.text_hash.map(|hash| hash.to_string()))?;
    t.raw_set("messages", messages(lua, build)?)?;
    t.raw_set("cache", cache_word(build.cache))?;
    t.raw_set("wall_s", build.wall_s)?;
    t.raw_set("argv", build.argv.as_slice())?;
    t.raw_set("compiler", build.compiler.as_str())?;
    t.raw_set("exit_code", build.exit_code)?;
    t.raw_set("signal", build.signal)
}

/// What the compiler said, as a list.
fn messages(lua: &Lua, build: &CompileResult) -> mlua::Result<Table> {
    let list = lua.create_table()?;
    for message in diagnostics::messages(&build.diagnostics) {
        let t = lua.create_table()?;
        t.raw_set("file", message.file)?;
        t.raw_set("line", message.line)?;
        t.raw_set("column", message.column)?;
        t.raw_set("severity", message.severity.word())?;
        t.raw_set("text", message.text)?;
        list.raw_push(t)?;
    }
    Ok(list)
}

fn measure(lua: &Lua, t: &Table, result: &MeasureResult) -> mlua::Result<()> {
    t.raw_set("objective", result.objective.as_str())?;
    t.raw_set("unit", result.unit())?;
    t.raw_set("better", better_word(result.better))?;
    t.raw_set("stats", result.stats.as_ref().map(|stats| summary_table(lua, stats)).transpose()?)?;
    t.raw_set("samples", samples(lua, result, Phase::Sample)?)?;
    t.raw_set("warmup", samples(lua, result, Phase::Warmup)?)?;
    let metrics = lua.create_table()?;
    for (name, metric) in &result.metrics {
        let m = lua.create_table()?;
        m.raw_set("unit", metric.unit.as_deref())?;
        m.raw_set("better", better_word(metric.better))?;
        m.raw_set("value", metric.value.as_slice())?;
        m.raw_set("stats", metric.stats.as_ref().map(|stats| summary_table(lua, stats)).transpose()?)?;
        metrics.raw_set(name.as_str(), m)?;
    }
    t.raw_set("metrics", metrics)?;
    t.raw_set("counters", result.counters.as_ref().map(|found| counters(lua, found)).transpose()?)?;
    t.raw_set("flags", result.flags.as_slice())?;
    t.raw_set("stop_reason", result.stop_reason.word())?;
    let verify = lua.create_table()?;
    verify.raw_set("status", result.verify.status.as_str())?;
    verify.raw_set("method", result.verify.method.as_str())?;
    verify.raw_set("max_abs_err", result.verify.max_abs_err)?;
    t.raw_set("verify", verify)?;
    t.raw_set("floor_s", result.floor_s)?;
    t.raw_set("maxrss_floor_bytes", result.maxrss_floor_bytes)?;
    t.raw_set("exit_code", result.exit_code)?;
    t.raw_set("signal", result.signal)?;
    t.raw_set("stderr_tail", result.stderr_tail.as_str())?;
    launched(t, result.launched.as_ref())?;
    if let Some(SameAs { id, what }) = &result.same_as {
        t.raw_set("same_as", lua.create_table_from([("id", id.as_str()), ("what", what)])?)?;
    }
    t.raw_set("hooks", result.hooks.as_ref().map(|hooks| hook_times(lua, hooks)).transpose()?)?;
    t.raw_set("argv", result.argv.as_slice())
}

/// What ran around the runs took.
fn hook_times(lua: &Lua, hooks: &HookTimes) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    t.raw_set("setup_s", hooks.setup_s)?;
    t.raw_set("prepare_s", hooks.prepare_s.as_slice())?;
    t.raw_set("conclude_s", hooks.conclude_s.as_slice())?;
    t.raw_set("cleanup_s", hooks.cleanup_s)?;
    t.raw_set("cleanup_failure", hooks.cleanup_failure.as_deref())?;
    Ok(t)
}

fn compare(lua: &Lua, t: &Table, result: &CompareResult) -> mlua::Result<()> {
    let (verdicts, variants) = (lua.create_table()?, lua.create_table()?);
    for (at, variant) in result.variants.iter().enumerate() {
        let runs = lua.create_table()?;
        runs.raw_set("ok", variant.status == Status::Ok)?;
        runs.raw_set("status", variant.status.word())?;
        runs.raw_set("reason", variant.reason.as_deref())?;
        measure(lua, &runs, &variant.result)?;
        variants.raw_set(variant.name.as_str(), runs)?;
        if at > 0 {
            verdicts.raw_set(variant.name.as_str(), verdict(lua, variant)?)?;
        }
    }
    t.raw_set("verdicts", verdicts)?;
    t.raw_set("variants", variants)?;
    t.raw_set("rounds", result.rounds)?;
    t.raw_set("order_seed", result.order_seed)?;
    t.raw_set("min_effect", result.min_effect)?;
    t.raw_set("stop_reason", result.stop_reason.word())
}

/// What may be said of a variant: where there is no verdict its status stands there, and the reason.
fn verdict(lua: &Lua, variant: &Compared) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    let Some(found) = &variant.comparison else {
        let without_rounds = variant.status == Status::Ok;
        let word = if without_rounds { Verdict::Unresolved.word() } else { variant.status.word() };
        t.raw_set("verdict", word)?;
        t.raw_set("reason", variant.reason.as_deref())?;
        t.raw_set("rounds", 0)?;
        return Ok(t);
    };
    set_comparison(&t, found)?;
    Ok(t)
}

/// What two sides, or a variant on several nodes, were found to be.
pub(super) fn set_comparison(t: &Table, found: &Comparison) -> mlua::Result<()> {
    t.raw_set("verdict", found.verdict.word())?;
    t.raw_set("ratio", found.ratio)?;
    t.raw_set("lo", found.ci.map(|ci| ci.lo))?;
    t.raw_set("hi", found.ci.map(|ci| ci.hi))?;
    t.raw_set("rounds", found.rounds)
}

/// What was counted, by event: lists with an entry for each run that has one.
fn counters(lua: &Lua, found: &Counters) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    for (name, CounterValues { value, pcnt_running, note }) in &found.events {
        let event = lua.create_table()?;
        let known = |column: &[Option<f64>]| column.iter().copied().flatten().collect::<Vec<f64>>();
        event.raw_set("value", known(value))?;
        event.raw_set("pcnt_running", known(pcnt_running))?;
        event.raw_set("note", note.as_deref())?;
        t.raw_set(name.as_str(), event)?;
    }
    Ok(t)
}

/// What the node was like.
fn conditions(lua: &Lua, Conditions { moving, placed }: &Conditions) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    if let Some(Placed { cpus, mems, smt, neighbours }) = placed {
        t.raw_set("cpus", cpus.as_str())?;
        if !neighbours.is_empty() {
            t.raw_set("neighbours", neighbours.iter().map(|task| task.0).collect::<Vec<u64>>())?;
        }
        t.raw_set("mems", mems.as_deref())?;
        t.raw_set("smt", smt.as_str())?;
    }
    for (name, pair) in [("freq_hz", moving.freq_hz), ("temp_c", moving.temp_c), ("load1", moving.load1)] {
        t.raw_set(name, pair)?;
    }
    t.raw_set("energy_note", moving.energy_note.as_deref())?;
    t.raw_set("throttle_count", moving.throttle_count)?;
    for (name, value) in [
        ("psi_cpu_some_s", moving.psi_cpu_some_s),
        ("psi_mem_some_s", moving.psi_mem_some_s),
        ("psi_io_some_s", moving.psi_io_some_s),
        ("others_cpu_s", moving.others_cpu_s),
        ("steal_s", moving.steal_s),
    ] {
        t.raw_set(name, value)?;
    }
    Ok(t)
}

/// How an MPI application was started.
fn launched(t: &Table, launched: Option<&Launched>) -> mlua::Result<()> {
    let Some(Launched { hosts, ranks, argv }) = launched else { return Ok(()) };
    t.raw_set("hosts", hosts.as_slice())?;
    t.raw_set("ranks", *ranks)?;
    t.raw_set("launcher_argv", argv.as_slice())
}

/// The figures of the runs of a phase, as lists by name.
fn samples(lua: &Lua, result: &MeasureResult, phase: Phase) -> mlua::Result<Table> {
    let of_phase: Vec<&Sample> = result.samples.iter().filter(|sample| sample.phase == phase).collect();
    let t = lua.create_table()?;
    for (i, sample) in of_phase.iter().enumerate() {
        let figures = known_figures(&sample.usage, result.launched.is_some());
        let own = figures.chain([("t_start_s", Figure::Float(sample.t_start_s))]);
        let consumed = [("energy_pkg_j", sample.energy.pkg_j), ("energy_dram_j", sample.energy.dram_j)];
        let own = own.chain(consumed.into_iter().filter_map(|(name, j)| Some((name, Figure::Float(j?)))));
        let printed = sample.metrics.iter().map(|(name, value)| (name.as_str(), Figure::Float(*value)));
        for (name, value) in own.chain(printed) {
            let list = match t.raw_get::<Option<Table>>(name)? {
                Some(list) => list,
                None => {
                    let list = lua.create_table_with_capacity(of_phase.len(), 0)?;
                    t.raw_set(name, &list)?;
                    list
                }
            };
            list.raw_set(i + 1, value)?;
        }
    }
    Ok(t)
}

/// A float stays a float in Lua, also where it is whole.
#[derive(Clone, Copy)]
pub(super) enum Figure {
    Float(f64),
    Count(u64),
}

impl IntoLua for Figure {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Figure::Float(value) => Ok(Value::Number(value)),
            Figure::Count(value) => value.into_lua(lua),
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

fn summary_table(lua: &Lua, s: &Summary) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    t.raw_set("n", s.n)?;
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
        t.raw_set(name, value)?;
    }
    if let Some(Interval { lo, hi, level, exact_level }) = s.ci {
        let ci = lua.create_table()?;
        for (name, value) in [("lo", lo), ("hi", hi), ("level", level), ("exact_level", exact_level)] {
            ci.raw_set(name, value)?;
        }
        t.raw_set("ci", ci)?;
    }
    t.raw_set("rel_half_width", s.rel_half_width)?;
    Ok(t)
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
