//! The figures of one measured program: statistics, histogram, order of the runs, other metrics, what was counted.

use super::super::chart::{histogram, strip, together};
use super::super::flags;
use super::super::sheet::Sheet;
use crate::model::human::{bytes, count, duration};
use crate::model::units::Unit;
use crate::model::{Better, Counters, MEMORY_PEAK, MeasureResult, Phase, Sample, Summary, median};

/// All of it.
pub(super) fn of(sheet: &mut Sheet, result: &MeasureResult) {
    let counted = values(result, Phase::Sample);
    let figure = result.stats.as_ref().map(|stats| stats.median).or_else(|| median(&counted));
    let Some(figure) = figure else { return };
    let unit = Unit::of(result, figure);
    if let Some(stats) = &result.stats {
        statistics(sheet, result, stats, &unit);
    }
    order(sheet, result, &counted, &unit);
    others(sheet, result);
    around(sheet, result);
    if let Some(counters) = &result.counters {
        events(sheet, counters);
    }
    beware(sheet, &result.flags);
}

fn statistics(sheet: &mut Sheet, result: &MeasureResult, stats: &Summary, unit: &Unit) {
    let better = if result.better == Better::More { "more" } else { "less" };
    sheet.heading("statistics");
    let of = if unit.name().is_empty() { String::new() } else { format!(" in {}", unit.name()) };
    sheet.row("of", &format!("{}{of}; {better} is better", result.objective));
    sheet.row("n", &format!("{}, {}", stats.n, result.stop_reason.word()));
    let interval = match &stats.ci {
        Some(ci) => format!(
            "{} % CI [{}, {}] (of its ranks: {:.1} %)",
            (ci.level * 100.0).round(),
            unit.digits(ci.lo),
            unit.digits(ci.hi),
            ci.exact_level * 100.0
        ),
        None => "no interval below 7 samples".into(),
    };
    sheet.row("median", &format!("{}, {interval}", unit.digits(stats.median)));
    let both = |one: f64, other: f64| format!("{}, {}", unit.digits(one), unit.digits(other));
    sheet.row("min, max", &both(stats.min, stats.max));
    sheet.row("quartiles", &both(stats.q1, stats.q3));
    sheet.row("p05, p95", &both(stats.p05, stats.p95));
    let (mean, sd, mad) = (unit.digits(stats.mean), unit.digits(stats.sd), unit.digits(stats.mad));
    sheet.row("mean", &format!("{mean}, sd {sd}, mad {mad}"));
}

/// How they are spread, and in which order they came.
fn order(sheet: &mut Sheet, result: &MeasureResult, counted: &[f64], unit: &Unit) {
    if counted.is_empty() {
        return;
    }
    sheet.heading("histogram (bins of Freedman & Diaconis, at most 16)");
    for line in histogram(counted, unit) {
        sheet.line(&format!("  {line}"));
    }
    let low = counted.iter().copied().fold(f64::INFINITY, f64::min);
    let high = counted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let each = match together(counted) {
        1 => "a character each".into(),
        several => format!("medians of {several} runs"),
    };
    sheet.heading("in their order");
    sheet.row("warm-up", &strip(&values(result, Phase::Warmup), (low, high)));
    let from_to = format!("{} … {}", unit.digits(low), unit.digits(high));
    sheet.row("samples", &format!("{}  {from_to}, {each}", strip(counted, (low, high))));
}

/// The objective's figures of the runs of one phase.
fn values(result: &MeasureResult, phase: Phase) -> Vec<f64> {
    let of_phase = result.samples.iter().filter(|sample| sample.phase == phase);
    of_phase.filter_map(|sample| sample.figure(&result.objective)).collect()
}

/// Medians of what else is known of the counted runs.
fn others(sheet: &mut Sheet, result: &MeasureResult) {
    sheet.heading("other figures (medians)");
    for (name, metric) in result.metrics.iter().filter(|(name, _)| **name != result.objective) {
        let figure = metric.stats.as_ref().map(|stats| stats.median).or_else(|| median(&metric.value));
        sheet.known(
            name,
            figure.map(|figure| Unit::of_metric(metric.unit.as_deref(), figure).with_name(figure)),
        );
    }
    let counted: Vec<&Sample> =
        result.samples.iter().filter(|sample| sample.phase == Phase::Sample).collect();
    let of = |name: &str| {
        let values: Vec<f64> = counted.iter().filter_map(|sample| sample.cost(name)).collect();
        median(&values)
    };
    // What a launcher used says nothing of what it launched.
    let columns: &[&str] =
        if result.launched.is_some() { &["wall_s"] } else { &["wall_s", "user_s", "sys_s"] };
    for name in columns.iter().filter(|name| **name != result.objective) {
        sheet.known(name, of(name).map(duration));
    }
    if result.launched.is_none() && result.objective != "maxrss_bytes" {
        let memory = |bytes| Unit::of_memory(bytes, result.maxrss_floor_bytes).with_name(bytes);
        sheet.known("memory", of("maxrss_bytes").map(memory));
    }
    for name in ["energy_pkg_j", "energy_dram_j"].iter().filter(|name| **name != result.objective) {
        sheet.known(name, of(name).map(|joule| Unit::of_metric(Some("J"), joule).with_name(joule)));
    }
    sheet.known("null command", result.floor_s.map(duration));
    let verified = result.verify.status.as_str();
    let method =
        if result.verify.method.is_empty() { String::new() } else { format!(" ({})", result.verify.method) };
    sheet.row("verified", &if verified == "none" { String::new() } else { format!("{verified}{method}") });
    sheet.known("max. error", result.verify.max_abs_err);
}

/// What ran around the runs.
fn around(sheet: &mut Sheet, result: &MeasureResult) {
    let Some(hooks) = &result.hooks else { return };
    sheet.heading("around the runs");
    sheet.known("setup", hooks.setup_s.map(duration));
    sheet.known("prepare", median(&hooks.prepare_s).map(duration));
    sheet.known("conclude", median(&hooks.conclude_s).map(duration));
    sheet.known("cleanup", hooks.cleanup_s.map(duration));
    sheet.known("it failed", hooks.cleanup_failure.as_deref());
}

fn events(sheet: &mut Sheet, counters: &Counters) {
    sheet.heading("counted in runs of their own (medians)");
    for (name, event) in &counters.events {
        let values: Vec<f64> = event.value.iter().copied().flatten().collect();
        let shown = |figure: f64| match name.as_str() {
            "task-clock" | "cpu-clock" => duration(figure * 1e-9),
            MEMORY_PEAK => bytes(figure as u64),
            _ => figure.to_string(),
        };
        let figure =
            median(&values).map(|figure| format!("{} in {}", shown(figure), count(values.len(), "run")));
        let note = event.note.as_deref().map(|note| format!("({note})"));
        let said: Vec<String> = [figure, note].into_iter().flatten().collect();
        sheet.row(name, &said.join(" "));
    }
}

/// What each flag means, and what to do.
fn beware(sheet: &mut Sheet, all: &[String]) {
    sheet.heading("beware");
    for flag in all {
        let Some(said) = flags::of(flag) else {
            sheet.line(&format!("  {flag}"));
            continue;
        };
        sheet.line(&format!("  {flag}: {}", said.means));
        sheet.line(&format!("    → {}", said.advice));
    }
}
