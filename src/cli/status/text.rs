//! What `harness status` prints for people.

use std::fmt::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Recorded;
use crate::model::human::{count, duration, tally};
use crate::model::{CampaignStatus, KindStatus, WaitingStatus, WorkerStatus};
use crate::root::default_journal;

/// Of a reason so many tasks are named.
const MOST_NAMED: usize = 4;
/// So many workers have a line each; further ones only if something runs there.
const MOST_WORKERS: usize = 64;

/// A campaign at work.
pub(super) fn of_campaign(status: &CampaignStatus) -> String {
    let mut text = String::new();
    let mut line = |part: String| writeln!(text, "{part}").unwrap_or_default();
    let job = status.job.as_ref().map(|job| format!(", {} job {}", job.scheduler, job.id));
    let left = status.left_s.map(|left| format!(", about {} left", duration(left)));
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
    if worker.ahead > 0 {
        let comma = if text.ends_with(": ") { "" } else { ", " };
        let _ = write!(text, "{comma}{} sent ahead", worker.ahead);
    }
    for task in &worker.tasks {
        let _ = write!(text, "\n  {}, for {}", task.name, duration(task.since_s));
    }
    text
}

fn of_waiting(group: &WaitingStatus) -> String {
    let WaitingStatus { reason, count: all, why, first } = group;
    let for_what = match reason.as_str() {
        "room" => "for room",
        "resources" => "for resources",
        "dependencies" => "for what they depend on",
        "files" => "for files",
        "draining" => "for their node to be cleared",
        "group" => "for the first of their group",
        "workers" => "for workers",
        other => other,
    };
    let named: Vec<&str> = first.iter().map(String::as_str).take(MOST_NAMED).collect();
    let more = all.saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let whose = if *all > 1 { "the first: " } else { "" };
    format!("{} waiting {for_what}: {}{more}\n  {whose}{why}", count(*all, "task"), named.join(", "))
}

/// What is recorded of one that does not run.
pub(super) fn of_journal(recorded: &Recorded) -> String {
    let mut text =
        format!("{}: not running; {} in {}", recorded.script, sessions(recorded.sessions), recorded.journal);
    let tasks = recorded.ended.values().sum::<usize>();
    if tasks == 0 {
        text.push_str("\n  nothing is recorded");
    } else {
        let kinds = recorded.kinds.iter().map(|(kind, number)| count(*number, kind.word()));
        let kinds: Vec<String> = kinds.collect();
        let _ = write!(text, "\n  recorded: {} ({})", tally(&recorded.ended), kinds.join(", "));
    }
    if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
        let ago = (now.as_secs_f64() - recorded.written_unix_s).max(0.0);
        let _ = write!(text, "\n  last written {} ago", duration(ago));
        if let Some(session) = &recorded.last_session {
            let _ = write!(text, ", by pid {} on {}", session.pid, session.host);
        }
    }
    text + &format!(
        "\n  `{}` goes on from there (whether it came to its end no journal says: then it ends at once); why tasks of it \
         wait can be said while it runs",
        line(recorded)
    )
}

/// What to type to go on.
fn line(recorded: &Recorded) -> String {
    let Recorded { script, journal, .. } = recorded;
    if script == journal {
        return "harness FILE.lua".into(); // one that was only begun names no script
    }
    match default_journal(Path::new(script)) == Path::new(journal) {
        true => format!("harness {script}"),
        false => format!("harness --journal {journal} {script}"),
    }
}

fn sessions(number: usize) -> String {
    count(number, "run")
}
