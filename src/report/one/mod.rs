//! One task whole: what was run where and when, how it ended, its figures and what to know of them. Pure: a record and
//! those around it in the journal in, text out.

mod samples;
mod tasks;

use serde_json::Value;

use super::date::utc;
use super::sheet::Sheet;
use super::{Outdated, Runs};
use crate::model::human::{
    count, duration, measurement_line, shortened, status_in_short, subject, typed, visible,
};
use crate::model::{
    Cwd, Detail, Env, Launched, Measurement, Moving, OfSearch, Outcome, Placed, Record, Status, TaskFacts,
    TaskRecord,
};

/// Of what a program said so many lines are shown, the last ones.
const TAIL_LINES: usize = 20;
/// Of a program and its arguments so many characters.
const COMMAND_CHARS: usize = 2000;

/// All that is known of a task; `records` are those of its journal.
pub fn whole(record: &Record, records: &[Record]) -> String {
    let mut sheet = Sheet::default();
    match record {
        Record::Measurement(measurement) => of_measurement(&mut sheet, measurement, records),
        Record::Task(task) => of_task(&mut sheet, task, records),
        _ => {}
    }
    sheet.end()
}

fn of_measurement(sheet: &mut Sheet, record: &Measurement, records: &[Record]) {
    let outcome = record.outcome();
    title(sheet, &record.facts);
    if let Some(outcome) = &outcome {
        sheet.line(&format!("  {}", result_line(outcome)));
    }
    sheet.heading("what was run");
    command(sheet, &record.argv, record.launched().as_ref());
    sheet.row("folder", &folder(&record.cwd));
    let set: Vec<String> =
        record.env_delta.iter().map(|(name, value)| visible(&format!("{name}={value}"))).collect();
    sheet.row("environment", &set.join("\n"));
    sheet.known("stdin", record.stdin_hash.map(|hash| format!("content {hash}")));
    let inputs: Vec<String> =
        record.inputs.iter().map(|input| format!("{} ({})", visible(&input.path), input.hash)).collect();
    sheet.row("inputs", &inputs.join("\n"));
    program(sheet, &record.facts, records);
    sheet.known("campaign", record.reserved.code.as_ref().and_then(code));
    place(sheet, &record.facts, &record.host, record.elapsed_s, records);
    ended(sheet, record.status, record.reason.as_deref());
    exit(sheet, record.exit_code, record.signal);
    sheet.row("stderr", &tail(&record.stderr_tail));
    if let Some(Detail::Measure(result)) = outcome.map(|outcome| outcome.detail) {
        samples::of(sheet, &result);
    }
    surroundings(sheet, &record.facts, &record.moving, records);
    repeats(sheet, &record.facts, records);
}

fn of_task(sheet: &mut Sheet, task: &TaskRecord, records: &[Record]) {
    let TaskRecord { facts, outcome } = task;
    title(sheet, facts);
    match &outcome.detail {
        Detail::Compare(result) => tasks::compared(sheet, result),
        _ => sheet.line(&format!("  {}", status_in_short(outcome))),
    }
    tasks::detail(sheet, &outcome.detail);
    place(sheet, facts, &outcome.host, outcome.elapsed_s, records);
    ended(sheet, outcome.status, outcome.reason.as_deref());
    tasks::said(sheet, &outcome.detail);
    let moving = outcome.conditions.as_ref().map(|conditions| conditions.moving.clone()).unwrap_or_default();
    surroundings(sheet, facts, &moving, records);
}

fn title(sheet: &mut Sheet, facts: &TaskFacts) {
    let subject = subject(facts.name.as_deref(), facts.params.as_ref());
    sheet.line(&format!("{} {subject}", facts.kind.word()));
}

/// How it ended, or its figure, without its name.
fn result_line(outcome: &Outcome) -> String {
    measurement_line("", &Value::Null, outcome).trim_start_matches(": ").into()
}

fn command(sheet: &mut Sheet, argv: &[String], launched: Option<&Launched>) {
    sheet.row("command", &shortened(&typed(argv), COMMAND_CHARS));
    if let Some(Launched { hosts, ranks, argv }) = launched {
        let launcher = if argv.is_empty() { "itself".into() } else { typed(argv) };
        sheet.row("launched by", &launcher);
        let (ranks, nodes) = (count(*ranks as usize, "rank"), count(hosts.len(), "node"));
        sheet.row("ranks", &format!("{ranks} on {nodes}: {}", visible(&hosts.join(" "))));
    }
}

fn folder(cwd: &Cwd) -> String {
    match cwd {
        Cwd::Campaign => "the campaign's".into(),
        Cwd::Scratch => "a fresh one on the node".into(),
        Cwd::Path(path) => visible(path),
    }
}

/// The program that was built for it, and how. Several builds may have made the same one: then by the one of its parameters.
fn program(sheet: &mut Sheet, facts: &TaskFacts, records: &[Record]) {
    let Some(artefact) = facts.artefact else { return };
    sheet.row("program", &format!("artefact {artefact}"));
    let builds = || {
        records.iter().rev().filter_map(|record| match record {
            Record::Task(task) => match &task.outcome.detail {
                Detail::Compile(build) if build.artefact == Some(artefact) => Some((&task.facts, build)),
                _ => None,
            },
            _ => None,
        })
    };
    let its_own = builds().find(|(build, _)| says_no_other(build.params.as_ref(), facts.params.as_ref()));
    if let Some((_, build)) = its_own.or_else(|| builds().next()) {
        let same =
            if its_own.is_none() && builds().count() > 1 { " (others made the same program)" } else { "" };
        sheet.row("built by", &format!("{}{same}", shortened(&typed(&build.argv), COMMAND_CHARS)));
        sheet.row("compiler", &visible(&build.compiler));
    }
}

/// Has a build parameters, and the measurement all of them?
fn says_no_other(of_build: Option<&Value>, measured: Option<&Value>) -> bool {
    let (Some(Value::Object(of_build)), Some(Value::Object(measured))) = (of_build, measured) else {
        return false;
    };
    !of_build.is_empty() && of_build.iter().all(|(name, value)| measured.get(name) == Some(value))
}

/// `commit 1234abcd, with changes`.
fn code(code: &Value) -> Option<String> {
    let commit = visible(code.get("git_commit")?.as_str()?);
    let dirty = code.get("dirty").and_then(Value::as_bool) == Some(true);
    Some(format!("commit {commit}{}", if dirty { ", with changes" } else { "" }))
}

fn place(sheet: &mut Sheet, facts: &TaskFacts, host: &str, elapsed_s: f64, records: &[Record]) {
    sheet.heading("where and when");
    let worker = facts.worker.map(|worker| format!(", worker {}", worker.0)).unwrap_or_default();
    let node =
        if host.is_empty() { "none: it never ran".into() } else { format!("{}{worker}", visible(host)) };
    sheet.row("node", &node);
    if let Some(granted) = &facts.placement {
        if let Some(placed) = &granted.placed {
            cores(sheet, placed);
        }
        let gpus: Vec<String> =
            granted.gpus.iter().map(|(node, gpus)| format!("{} of {node}", gpus.join(" "))).collect();
        sheet.row("gpus", &visible(&gpus.join(", ")));
        let alone = if granted.exclusive { "nothing else of harness ran on the node" } else { "" };
        sheet.row("exclusive", alone);
    }
    let took = format!("for {}", duration(elapsed_s));
    let waited = facts.queue_s.map(|waited| format!(", after {} in the queue", duration(waited)));
    let started = facts.started_unix_s.map(|started| format!("{}, ", utc(started))).unwrap_or_default();
    sheet.row("ran", &format!("{started}{took}{}", waited.unwrap_or_default()));
    sheet.known("limit", facts.limit_s.map(duration));
    let runs = Runs::of(records);
    sheet.row("task", &format!("{} of run {}", facts.trial, runs.numbers.of(facts)));
    sheet.known("search", facts.search.as_ref().map(part_of));
    if Outdated::of(records, &runs).has(facts) {
        sheet.row("version", "outdated: a later one of the script or its sources is recorded under its name");
    }
    sheet.row("id", &facts.id);
    sheet.row("key", &facts.key.to_string());
    sheet.known("repeats", facts.parent.as_deref());
}

/// `trial 33 of jac`.
fn part_of(search: &OfSearch) -> String {
    let part = search.trial.map_or_else(|| "the end".into(), |trial| format!("trial {trial}"));
    format!("{part} of {}", visible(&search.name))
}

fn cores(sheet: &mut Sheet, placed: &Placed) {
    let Placed { cpus, mems, smt, neighbours } = placed;
    let mems = mems.as_ref().map(|mems| format!(", memory of NUMA node {mems}")).unwrap_or_default();
    sheet.row("cores", &format!("{cpus} ({smt}){mems}"));
    let beside: Vec<String> = neighbours.iter().map(|task| task.0.to_string()).collect();
    sheet.row(
        "beside it",
        &if beside.is_empty() { String::new() } else { format!("task {}", beside.join(", ")) },
    );
}

/// Only of what failed.
fn ended(sheet: &mut Sheet, status: Status, reason: Option<&str>) {
    if status == Status::Ok {
        return;
    }
    sheet.heading("how it ended");
    sheet.row("status", status.word());
    sheet.row("reason", &tail(reason.unwrap_or_default()));
}

fn exit(sheet: &mut Sheet, code: Option<i32>, signal: Option<i32>) {
    sheet.known("exit code", code.filter(|code| *code != 0));
    sheet.known("signal", signal);
}

/// The last lines of what a program said, as they may be shown.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    let shown = lines[skipped..].iter().map(|line| visible(line));
    let cut = (skipped > 0).then(|| format!("… ({} before)", count(skipped, "line")));
    cut.into_iter().chain(shown).collect::<Vec<_>>().join("\n")
}

/// What of the node may have moved the figures.
fn surroundings(sheet: &mut Sheet, facts: &TaskFacts, moving: &Moving, records: &[Record]) {
    sheet.heading("surroundings");
    let env = records.iter().find_map(|record| match record {
        Record::Env(env) if env.id.is_some() && env.id == facts.env => Some(env),
        _ => None,
    });
    if let Some(env) = env {
        of_node(sheet, env);
    }
    let pair = |pair: Option<[f64; 2]>, scale: f64, unit: &str| {
        pair.map(|[before, after]| {
            format!("{:.2}{unit} before, {:.2}{unit} after", before * scale, after * scale)
        })
    };
    sheet.known("clock", pair(moving.freq_hz, 1e-9, " GHz"));
    sheet.known("temperature", pair(moving.temp_c, 1.0, " °C"));
    sheet.known("load", pair(moving.load1, 1.0, ""));
    sheet.known("throttled", moving.throttle_count.map(|times| count(times as usize, "time")));
    let waits =
        [("a CPU", moving.psi_cpu_some_s), ("memory", moving.psi_mem_some_s), ("I/O", moving.psi_io_some_s)];
    let waits: Vec<String> =
        waits.iter().filter_map(|(what, time)| Some(format!("for {what} {}", duration((*time)?)))).collect();
    sheet.row("waited there", &waits.join(", "));
    sheet.known("others' CPU", moving.others_cpu_s.map(duration));
    sheet.known("stolen", moving.steal_s.map(duration));
    sheet.known("energy", moving.energy_note.as_deref());
}

fn of_node(sheet: &mut Sheet, env: &Env) {
    let words = |words: [Option<String>; 4]| words.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let cores = env.cores.map(|cores| count(cores as usize, "core"));
    let sockets = env.sockets.map(|sockets| count(sockets as usize, "socket"));
    let smt = env.smt.map(|smt| if smt { "SMT on" } else { "SMT off" }.to_string());
    sheet.row("processor", &words([env.cpu_model.clone(), sockets, cores, smt]));
    let boost = env.boost.map(|boost| if boost { "turbo on" } else { "turbo off" }.to_string());
    let governor = env.governor.as_ref().map(|governor| format!("governor {governor}"));
    let quota = env.cgroup_cpu_max.as_ref().map(|quota| format!("cpu.max {quota}"));
    sheet.row("clock", &words([governor, boost, quota, None]));
    sheet.row("system", &words([env.kernel.clone(), env.libc.clone(), None, None]));
    sheet.known("MPI", env.mpi.as_deref());
    sheet.row("modules", &env.modules.clone().unwrap_or_default().join(" "));
    let gpu = env.gpu.iter().flatten().map(|(name, value)| format!("{name} {value}"));
    sheet.row("GPU", &gpu.collect::<Vec<_>>().join(", "));
}

/// What `harness rerun` found since, and what it repeated.
fn repeats(sheet: &mut Sheet, facts: &TaskFacts, records: &[Record]) {
    sheet.heading("measured again by `harness rerun`");
    let repeat = |record: &Record| match record {
        Record::Measurement(other) if other.facts.parent.as_ref() == Some(&facts.id) => {
            let when = other.facts.started_unix_s.map(utc).unwrap_or_default();
            let line = other.outcome().map(|outcome| result_line(&outcome)).unwrap_or_default();
            Some(format!("{when} on {}: {line}", visible(&other.host)))
        }
        _ => None,
    };
    for line in records.iter().filter_map(repeat) {
        sheet.line(&format!("  {line}"));
    }
}

#[cfg(test)]
#[path = "../one_tests.rs"]
mod tests;
