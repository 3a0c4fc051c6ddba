//! What `harness status` prints for people.

use std::fmt::Write;

use super::Recorded;
use crate::cli::progress::full;
use crate::machine;
use crate::model::human::{count, duration, tally};
use crate::model::{
    CampaignStatus, FailureStatus, HowEnded, KindStatus, SessionEnd, WaitingStatus, WorkerStatus,
};
use crate::report::ONLY_WITH_KEY;

/// Of a reason so many tasks are named.
const MOST_NAMED: usize = 4;
/// So many ways to fail are told.
const MOST_FAILURES: usize = 20;
/// So many workers have a line each; further ones only if something runs there.
const MOST_WORKERS: usize = 64;

/// That less is left is not worth a word (s).
const LEAST_S: f64 = 1.0;
/// From here on a rate is of the last minutes (s).
const LONG_S: f64 = 300.0;

/// A campaign at work.
pub(super) fn of_campaign(status: &CampaignStatus) -> String {
    let mut text = String::new();
    let mut line = |part: String| writeln!(text, "{part}").unwrap_or_default();
    let job = status.job.as_ref().map(|job| format!(", {} job {}", job.scheduler, job.id));
    let left = status.left_s.filter(|left| *left >= LEAST_S);
    let left = left.map(|left| format!(", about {} left", duration(left)));
    line(format!(
        "{}: running for {} on {} (pid {}{}){}",
        status.script,
        duration(status.running_s),
        status.host,
        status.pid,
        job.unwrap_or_default(),
        left.unwrap_or_default()
    ));
    if let Some(why) = &status.stopping {
        line(format!("  stopping {why}: nothing starts any more"));
    }
    if let Some(full) = full(status.full) {
        line(format!("  {full}"));
    }
    for (kind, KindStatus { submitted, running, done, failed }) in &status.kinds {
        let waiting = submitted.saturating_sub(done + running);
        line(format!(
            "  {}: {submitted} submitted, {done} done ({failed} failed), {running} running, {waiting} waiting",
            kind.word()
        ));
    }
    if status.kinds.is_empty() {
        line("  no task was submitted yet".into());
    }
    if status.replayed > 0 {
        line(format!("  {} of those that are done answered from the journal", status.replayed));
    }
    if let Some(rate) = status.per_minute.filter(|_| status.ended.values().sum::<usize>() > status.replayed) {
        let digits = usize::from(rate < 10.0);
        let when = if status.running_s < LONG_S { "so far" } else { "over the last minutes" };
        line(format!("  {rate:.digits$} tasks a minute {when}"));
    }
    if !status.failures.is_empty() {
        line(failed(&status.failures));
    }
    let gone = status.workers.iter().filter(|worker| worker.stage == "gone").count();
    let (shown, hidden): (Vec<_>, Vec<_>) = status
        .workers
        .iter()
        .filter(|worker| worker.stage != "gone")
        .enumerate()
        .partition(|(at, worker)| *at < MOST_WORKERS || !worker.tasks.is_empty());
    for (_, worker) in shown {
        line(of_worker(worker));
    }
    if !hidden.is_empty() {
        line(format!("  and {} on which nothing runs", count(hidden.len(), "worker")));
    }
    if gone > 0 {
        line(format!("  {} gone", count(gone, "worker")));
    }
    for group in &status.waiting {
        line(of_waiting(group));
    }
    text
}

fn of_worker(worker: &WorkerStatus) -> String {
    let WorkerStatus { id, host, slots, gpus, .. } = worker;
    let gpus = if *gpus > 0 { format!(", {}", count(*gpus as usize, "GPU")) } else { String::new() };
    let mut text = format!("worker {id} on {host} ({}{gpus}): ", count(*slots as usize, "slot"));
    match worker.stage.as_str() {
        "ready" if worker.tasks.is_empty() && worker.ahead == 0 => text.push_str("nothing runs"),
        "ready" if worker.tasks.is_empty() => {}
        "ready" if worker.measured => text.push_str("a measurement has the node"),
        "ready" => {
            let _ = write!(text, "{} run", worker.tasks.len());
        }
        stage => text.push_str(stage),
    }
    if let Some(why) = &worker.why {
        let _ = write!(text, " ({why})");
    }
    if worker.ahead > 0 {
        let comma = if text.ends_with(": ") { "" } else { ", " };
        let _ = write!(text, "{comma}{} sent ahead", worker.ahead);
    }
    for task in &worker.tasks {
        let _ = write!(text, "\n  {}, for {}", task.name, duration(task.since_s));
    }
    text
}

pub(in crate::cli) fn of_waiting(group: &WaitingStatus) -> String {
    let WaitingStatus { reason, count: all, why, first } = group;
    let for_what = match reason.as_str() {
        "room" => "for room",
        "resources" => "for resources",
        "dependencies" => "for what they depend on",
        "files" => "for files",
        "draining" => "for their node to be cleared",
        "group" => "for the first of their group",
        "workers" => "for workers",
        "resting" => "before another try",
        "time" => "for the next run",
        "map" => "to be sent",
        other => other,
    };
    let named: Vec<&str> = first.iter().map(String::as_str).take(MOST_NAMED).collect();
    let more = all.saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let head = format!("{} waiting {for_what}", count(*all, "task"));
    if named.is_empty() {
        return format!("{head}\n  {why}");
    }
    let whose = if *all > 1 { "the first: " } else { "" };
    format!("{head}: {}{more}\n  {whose}{why}", named.join(", "))
}

/// What is recorded of one that does not run.
pub(super) fn of_journal(recorded: &Recorded) -> String {
    let mut text =
        format!("{}: not running; {} in {}", recorded.script, sessions(recorded.sessions), recorded.journal);
    let tasks = recorded.ended.values().sum::<usize>();
    if tasks == 0 {
        let _ = write!(text, "\n  nothing is recorded {ONLY_WITH_KEY}");
    } else {
        let kinds = recorded.kinds.iter().map(|(kind, number)| count(*number, kind.word()));
        let kinds: Vec<String> = kinds.collect();
        let _ = write!(text, "\n  recorded: {} ({})", tally(&recorded.ended), kinds.join(", "));
        if recorded.outdated > 0 {
            let _ = write!(text, "; and {}", count(recorded.outdated, "outdated task"));
        }
    }
    for line in failed(&recorded.failures).lines() {
        let _ = write!(text, "\n{line}");
    }
    let ago = (machine::unix_seconds() - recorded.written_unix_s).max(0.0);
    let _ = write!(text, "\n  last written {} ago", duration(ago));
    if let Some(session) = &recorded.last_session {
        let _ = write!(text, ", by pid {} on {}", session.pid, session.host);
    }
    let _ = write!(text, "\n  {}", how_it_ended(recorded.end.as_ref()));
    if let Some(again) = &recorded.again {
        let unknown = if again.has_args { "" } else { " (with its arguments, if it had any)" };
        let what = if tasks == 0 { "begins again" } else { "goes on from there" };
        let _ = write!(text, "\n  `{}` {what}{unknown}", again.command);
    }
    text
}

/// Did the script come to its end?
pub(in crate::cli) fn how_it_ended(end: Option<&SessionEnd>) -> String {
    let Some(SessionEnd { how, exit_code, why, unfinished, .. }) = end else {
        return "the script did not come to its end: its last run was killed, its node lost or its disk full (or it was \
                run by a harness that did not record ends)"
            .into();
    };
    let why = why.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
    match how {
        HowEnded::Finished | HowEnded::Repeated => {
            format!("the script came to its end (exit code {exit_code})")
        }
        HowEnded::Failed if why.is_empty() => {
            format!("the script did not come to its end (exit code {exit_code})")
        }
        HowEnded::Failed => format!("the script did not come to its end (exit code {exit_code}): {why}"),
        HowEnded::Stopped if why.is_empty() => {
            format!("the script did not come to its end: it asked to be run again (exit code {exit_code})")
        }
        HowEnded::Stopped => format!(
            "the script did not come to its end: stopped {why} with {} unfinished (exit code {exit_code})",
            count(*unfinished, "task")
        ),
        HowEnded::Interrupted => {
            format!("the script did not come to its end: interrupted (exit code {exit_code})")
        }
    }
}

/// The ways to fail, one a line.
fn failed(failures: &[FailureStatus]) -> String {
    let mut lines: Vec<String> =
        failures.iter().take(MOST_FAILURES).map(|failure| format!("  {}", failure.text)).collect();
    let more: usize = failures.iter().skip(MOST_FAILURES).map(|failure| failure.count).sum();
    if more > 0 {
        lines.push(format!("  … and {}", count(more, "more failure")));
    }
    lines.join("\n")
}

fn sessions(number: usize) -> String {
    count(number, "run")
}
