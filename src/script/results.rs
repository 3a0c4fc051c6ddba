//! Outcomes as the tables a script sees: exec, compile and measure records, and errors of calls.
//!
//! Knows nothing of futures or of where an outcome came from.

use std::fmt::Write;

use mlua::{IntoLua, Lua, Table, Value};

use crate::model::{
    Better, CacheUse, CompileResult, Detail, Interval, Kind, MeasureResult, Outcome, Phase, RunResult,
    Sample, Summary, Usage,
};

/// What the author called the task.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// `name`.
    pub name: Option<String>,
    /// `params`, as they were given.
    pub params: Option<Table>,
}

impl Label {
    /// `gemm tile=32`; the kind where there is no name.
    fn text(&self, kind: Kind) -> String {
        let mut text = self.name.clone().unwrap_or_else(|| kind.word().to_owned());
        let mut params = Vec::new();
        for (key, value) in self.params.iter().flat_map(|params| params.pairs::<Value, Value>()).flatten() {
            if let (Ok(key), Ok(value)) = (key.to_string(), value.to_string()) {
                params.push(format!(" {key}={value}"));
            }
        }
        params.sort();
        text.extend(params);
        text
    }
}

/// The record of an exec, a compile or a measure.
pub fn record(lua: &Lua, kind: Kind, label: &Label, outcome: &Outcome) -> mlua::Result<Table> {
    let t = lua.create_table()?;
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
        Detail::None | Detail::Call(_) | Detail::CallError(_) => empty(lua, &t, kind)?,
    }
    t.raw_set("summary", summary(kind, label, outcome))?;
    Ok(t)
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
        Kind::Compile => t.raw_set("diagnostics", ""),
        Kind::Measure => {
            for field in ["samples", "metrics", "flags"] {
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
    for (name, value) in figures(&run.usage) {
        t.raw_set(name, value)?;
    }
    let outputs = run.outputs.iter().map(|(path, hash)| (path.as_str(), hash.to_string()));
    t.raw_set("outputs", lua.create_table_from(outputs)?)?;
    t.raw_set("argv", run.argv.as_slice())?;
    t.raw_set("leftovers", run.leftovers)
}

fn compile(_lua: &Lua, t: &Table, build: &CompileResult) -> mlua::Result<()> {
    t.raw_set("artefact", build.artefact.map(|hash| hash.to_string()))?;
    t.raw_set("artefact_bytes", build.artefact.map(|_| build.artefact_bytes))?;
    t.raw_set("diagnostics", build.diagnostics.as_str())?;
    t.raw_set("cache", cache_word(build.cache))?;
    t.raw_set("wall_s", build.wall_s)?;
    t.raw_set("argv", build.argv.as_slice())?;
    t.raw_set("compiler", build.compiler.as_str())?;
    t.raw_set("exit_code", build.exit_code)?;
    t.raw_set("signal", build.signal)
}

fn measure(lua: &Lua, t: &Table, result: &MeasureResult) -> mlua::Result<()> {
    t.raw_set("objective", result.objective.as_str())?;
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
        m.raw_set("stats", summary_table(lua, &metric.stats)?)?;
        metrics.raw_set(name.as_str(), m)?;
    }
    t.raw_set("metrics", metrics)?;
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
    t.raw_set("argv", result.argv.as_slice())
}

/// The figures of the runs of a phase, as lists by name.
fn samples(lua: &Lua, result: &MeasureResult, phase: Phase) -> mlua::Result<Table> {
    let of_phase: Vec<&Sample> = result.samples.iter().filter(|sample| sample.phase == phase).collect();
    let t = lua.create_table()?;
    for (i, sample) in of_phase.iter().enumerate() {
        let own = figures(&sample.usage).into_iter().chain([("t_start_s", Figure::Float(sample.t_start_s))]);
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
enum Figure {
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

/// A line for people.
fn summary(kind: Kind, label: &Label, outcome: &Outcome) -> String {
    let mut line = label.text(kind);
    line.push_str(": ");
    match &outcome.detail {
        Detail::Measure(result) if outcome.ok() => match &result.stats {
            Some(stats) => line.push_str(&measurement(result, stats)),
            None => line.push_str("ok, no sample"),
        },
        Detail::Exec(run) if outcome.ok() => {
            let _ = write!(line, "ok in {}", seconds(run.usage.wall_s));
        }
        Detail::Compile(build) if outcome.ok() => {
            let _ = write!(line, "ok in {} (cache: {})", seconds(build.wall_s), cache_word(build.cache));
        }
        _ => {
            line.push_str(outcome.status.word());
            if let Some(reason) = &outcome.reason {
                let _ = write!(line, ": {reason}");
            }
        }
    }
    line
}

/// `median 1.234 s, 95 % CI [1.221, 1.250], n = 15, precise`
fn measurement(result: &MeasureResult, stats: &Summary) -> String {
    let unit = match result.metrics.get(&result.objective) {
        Some(metric) => metric.unit.clone().unwrap_or_default(),
        None if result.objective.ends_with("_s") => "s".into(),
        None => "B".into(),
    };
    let (scale, unit) = match unit.as_str() {
        "s" => scale_of(stats.median),
        other => (1.0, other),
    };
    let figure = |value: f64| significant(value / scale);
    let mut text = format!("median {}", figure(stats.median));
    if !unit.is_empty() {
        let _ = write!(text, " {unit}");
    }
    match &stats.ci {
        Some(ci) => {
            let _ = write!(text, ", {:.0} % CI [{}, {}]", ci.level * 100.0, figure(ci.lo), figure(ci.hi));
        }
        None => {
            let _ =
                write!(text, ", min {}, max {}, n < 7: no interval", figure(stats.min), figure(stats.max));
        }
    }
    let _ = write!(text, ", n = {}, {}", stats.n, result.stop_reason.word());
    if !result.flags.is_empty() {
        let _ = write!(text, " [{}]", result.flags.join(", "));
    }
    text
}

fn seconds(value: f64) -> String {
    let (scale, unit) = scale_of(value);
    format!("{} {unit}", significant(value / scale))
}

fn scale_of(seconds: f64) -> (f64, &'static str) {
    match seconds.abs() {
        s if s >= 1.0 || s == 0.0 => (1.0, "s"),
        s if s >= 1e-3 => (1e-3, "ms"),
        s if s >= 1e-6 => (1e-6, "µs"),
        _ => (1e-9, "ns"),
    }
}

/// Four significant digits, without an exponent where that is readable.
fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e7).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let whole_digits = if magnitude < 1.0 { 1 } else { magnitude.log10() as usize + 1 };
    format!("{value:.*}", 4usize.saturating_sub(whole_digits))
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

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn figures_keep_four_digits() {
        for (value, text) in [
            (1.23449, "1.234"),
            (12.5, "12.50"),
            (999.96, "1000.0"),
            (1234.5, "1234"),
            (0.5, "0.500"),
            (0.0, "0.000"),
            (1.5e-5, "1.500e-5"),
            (2e9, "2.000e9"),
        ] {
            assert_eq!(significant(value), text);
        }
    }
}
