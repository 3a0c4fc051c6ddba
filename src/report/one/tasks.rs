//! What is known of what was built, run once, called or compared.

use super::super::sheet::Sheet;
use super::{command, exit, samples, tail};
use crate::model::human::{bytes, comparison_lines, count, duration, subject, visible};
use crate::model::{CacheUse, CompareResult, CompileResult, Detail, RunResult};

/// Each variant in a line, the base first.
pub(super) fn compared(sheet: &mut Sheet, result: &CompareResult) {
    for line in comparison_lines("", result) {
        sheet.line(&format!("  {line}"));
    }
}

/// What was run.
pub(super) fn detail(sheet: &mut Sheet, detail: &Detail) {
    sheet.heading("what was run");
    match detail {
        Detail::Exec(run) => {
            command(sheet, &run.argv, run.launched.as_ref());
            sheet.row("took", &format!("{} wall time", duration(run.usage.wall_s)));
            cost(sheet, run);
        }
        Detail::Compile(build) => built(sheet, build),
        Detail::Compare(result) => {
            let why = result.stop_reason.word();
            sheet.row(
                "rounds",
                &format!("{}, {why}; seed of their orders {}", result.rounds, result.order_seed),
            );
            sheet.row("min effect", &format!("{} %", result.min_effect * 100.0));
        }
        Detail::Call(_) | Detail::Calls(_) | Detail::CallError(_) | Detail::Measure(_) | Detail::None => {}
    }
}

/// What it said, and its figures.
pub(super) fn said(sheet: &mut Sheet, detail: &Detail) {
    match detail {
        Detail::Exec(run) => {
            sheet.heading("what it said");
            exit(sheet, run.exit_code, run.signal);
            sheet.row("stdout", &stream(&run.stdout, run.stdout_bytes));
            sheet.row("stderr", &stream(&run.stderr, run.stderr_bytes));
            let outputs: Vec<String> =
                run.outputs.iter().map(|(path, hash)| format!("{} ({hash})", visible(path))).collect();
            sheet.row("outputs", &outputs.join("\n"));
            let left = (run.leftovers > 0).then(|| count(run.leftovers as usize, "process"));
            sheet.known("left behind", left.map(|left| format!("{left}, killed")));
        }
        Detail::Compile(build) => {
            sheet.heading("what the compiler said");
            exit(sheet, build.exit_code, build.signal);
            sheet.row("diagnostics", &tail(&build.diagnostics));
        }
        Detail::Call(values) => {
            sheet.heading("what it returned");
            let text = values.first_as_text().map(|text| tail(&String::from_utf8_lossy(text)));
            sheet.row("value", &text.unwrap_or_else(|| "no text or number comes first".into()));
        }
        Detail::CallError(error) => {
            sheet.heading("what it raised");
            sheet.row("message", &tail(&error.message));
            sheet.row("traceback", &tail(&error.traceback));
        }
        Detail::Compare(result) => {
            for variant in &result.variants {
                sheet.line("");
                sheet.line(&format!("variant {}", subject(Some(&variant.name), variant.params.as_ref())));
                command(sheet, &variant.result.argv, variant.result.launched.as_ref());
                sheet.known("status", variant.reason.as_ref().map(|_| variant.status.word()));
                sheet.known("reason", variant.reason.as_deref().map(tail));
                samples::of(sheet, &variant.result);
            }
        }
        Detail::Calls(_) | Detail::Measure(_) | Detail::None => {}
    }
}

fn built(sheet: &mut Sheet, build: &CompileResult) {
    command(sheet, &build.argv, None);
    sheet.row("compiler", &visible(&build.compiler));
    let from = match build.cache {
        CacheUse::Off | CacheUse::Miss => "",
        CacheUse::Hit => ", taken from an earlier build",
        CacheUse::Negative => ", as an earlier build failed",
    };
    sheet.row("took", &format!("{}{from}", duration(build.wall_s)));
    let made = build.artefact.map(|hash| format!("artefact {hash}, {}", bytes(build.artefact_bytes)));
    sheet.known("made", made);
}

/// What a launcher used says nothing of what it launched.
fn cost(sheet: &mut Sheet, run: &RunResult) {
    if run.launched.is_none() {
        let (user, sys) = (duration(run.usage.user_s), duration(run.usage.sys_s));
        sheet.row("CPU", &format!("{user} user, {sys} system"));
        sheet.row("memory", &bytes(run.usage.maxrss_bytes));
    }
}

fn stream(kept: &[u8], written: u64) -> String {
    let text = tail(&String::from_utf8_lossy(kept));
    let cut = written.saturating_sub(kept.len() as u64);
    if cut > 0 {
        format!("{text}\n({} of {} were kept)", bytes(kept.len() as u64), bytes(written))
    } else {
        text
    }
}
