//! A campaign as a trace: which node did what when, and what waited meanwhile.
//!
//! Chrome's Trace Event Format (JSON object format), which ui.perfetto.dev and chrome://tracing open. A process is a node,
//! its threads are as many lanes as tasks ran there at a time; what waits has a process of its own, with a counter.
//! Times are the root's. Everything recorded is there, also what was tried again later.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::journal::{Ended, Journal, Standing};
use crate::model::human::{shortened, subject};

/// Commands are cut here (characters).
const COMMAND_CHARS: usize = 60;
/// The process of what waits.
const WAITING: u64 = 1;

/// What ran, and when it began: each task of it is in the document.
pub(super) fn started(journal: &Journal) -> impl Iterator<Item = (&Ended, f64)> {
    journal.ended.iter().filter_map(|ended| Some((ended, ended.facts().started_unix_s?)))
}

/// The document.
pub(super) fn trace(journals: &[Journal]) -> String {
    let zero = beginning(journals);
    let mut trace = Trace { zero, several: journals.len() > 1, nodes: BTreeMap::new(), events: Vec::new() };
    trace.name("process_name", WAITING, 0, "waiting");
    trace.sort(WAITING, 0);
    for journal in journals {
        trace.sessions(journal);
        let mut started: Vec<(&Ended, f64)> = started(journal).collect();
        started.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        started.iter().for_each(|(ended, at)| trace.task(journal, ended, *at));
    }
    trace.waiting(journals);
    let about: Vec<Value> = journals.iter().map(about).collect();
    format!(
        "{{\"displayTimeUnit\":\"ms\",\"otherData\":{},\"traceEvents\":[\n{}\n]}}\n",
        json!({ "zero_unix_s": zero, "journals": about }),
        trace.events.join(",\n")
    )
}

fn about(journal: &Journal) -> Value {
    let header = journal.header.as_ref();
    json!({
        "journal": journal.name,
        "script": header.map(|header| &header.script),
        "campaign": header.map(|header| &header.campaign),
        "version": header.map(|header| &header.version),
    })
}

/// When the first of all this began.
fn beginning(journals: &[Journal]) -> f64 {
    let sessions =
        journals.iter().flat_map(|journal| &journal.sessions).map(|session| session.started_unix_s);
    let submitted = journals.iter().flat_map(|journal| &journal.ended).filter_map(submitted);
    sessions.chain(submitted).reduce(f64::min).unwrap_or(0.0)
}

fn submitted(ended: &Ended) -> Option<f64> {
    let facts = ended.facts();
    Some(facts.started_unix_s? - facts.queue_s.unwrap_or(0.0))
}

struct Trace {
    zero: f64,
    several: bool,
    /// By name: its number and, of each of its lanes, when it is free again.
    nodes: BTreeMap<String, (u64, Vec<f64>)>,
    /// Each as JSON.
    events: Vec<String>,
}

impl Trace {
    /// Microseconds since the beginning.
    fn us(&self, unix_s: f64) -> i64 {
        ((unix_s - self.zero) * 1e6).round() as i64
    }

    fn push(&mut self, event: &Value) {
        self.events.push(event.to_string());
    }

    fn name(&mut self, what: &str, pid: u64, tid: u64, name: &str) {
        self.push(&json!({ "ph": "M", "name": what, "pid": pid, "tid": tid, "args": { "name": name } }));
    }

    fn sort(&mut self, pid: u64, index: u64) {
        let args = json!({ "sort_index": index });
        self.push(&json!({ "ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": args }));
    }

    fn sessions(&mut self, journal: &Journal) {
        for session in &journal.sessions {
            let ts = self.us(session.started_unix_s);
            let args = json!({ "journal": journal.name, "host": session.host, "pid": session.pid, "job": session.job });
            self.push(&json!({
                "ph": "i", "s": "g", "cat": "session", "name": "the script begins", "pid": WAITING, "tid": 0, "ts": ts,
                "args": args,
            }));
        }
    }

    fn task(&mut self, journal: &Journal, ended: &Ended, start: f64) {
        let end = ended.facts().ended_unix_s.unwrap_or(start + ended.elapsed_s()).max(start);
        let (name, args) = (title(ended), arguments(journal, ended));
        let (ts, kind) = (self.us(start), ended.facts().kind.word());
        for host in ended.hosts() {
            let (pid, tid) = self.lane(journal, host, start, end);
            self.push(&json!({
                "ph": "X", "cat": kind, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": self.us(end) - ts,
                "args": args,
            }));
        }
        let Some(submitted) = submitted(ended).filter(|at| *at < start) else { return };
        for (phase, at) in [("b", self.us(submitted)), ("e", ts)] {
            self.push(&json!({
                "ph": phase, "cat": "waiting", "name": name, "pid": WAITING, "tid": 0, "ts": at,
                "id": ended.facts().id, "args": args,
            }));
        }
    }

    /// The process of a node, and the first lane of it that is free.
    fn lane(&mut self, journal: &Journal, host: &str, start: f64, end: f64) -> (u64, u64) {
        let node = if self.several { format!("{host} ({})", journal.name) } else { host.to_owned() };
        let next = WAITING + 1 + self.nodes.len() as u64;
        let (pid, lanes) = self.nodes.entry(node.clone()).or_insert((next, Vec::new()));
        let pid = *pid;
        let free = lanes.iter().position(|until| *until <= start);
        let lane = free.unwrap_or(lanes.len());
        match free {
            Some(lane) => lanes[lane] = end,
            None => lanes.push(end),
        }
        let tid = lane as u64 + 1;
        if free.is_none() {
            if lane == 0 {
                self.name("process_name", pid, 0, &node);
                self.sort(pid, pid);
            }
            self.name("thread_name", pid, tid, &format!("lane {tid}"));
        }
        (pid, tid)
    }

    /// How many tasks wait.
    fn waiting(&mut self, journals: &[Journal]) {
        let all = journals.iter().flat_map(|journal| &journal.ended);
        let mut changes: BTreeMap<i64, i64> = BTreeMap::new();
        for ended in all {
            if let (Some(from), Some(to)) = (submitted(ended), ended.facts().started_unix_s) {
                *changes.entry(self.us(from)).or_default() += 1;
                *changes.entry(self.us(to)).or_default() -= 1;
            }
        }
        let mut tasks = 0;
        for (ts, change) in changes.into_iter().filter(|(_, change)| *change != 0) {
            tasks += change;
            let args = json!({ "tasks": tasks });
            self.push(
                &json!({ "ph": "C", "name": "waiting", "pid": WAITING, "tid": 0, "ts": ts, "args": args }),
            );
        }
    }
}

fn title(ended: &Ended) -> String {
    let facts = ended.facts();
    let subject = subject(facts.name.as_deref(), facts.params.as_ref());
    if !subject.is_empty() {
        return subject;
    }
    let words = [facts.kind.word().to_owned(), shell_words::join(ended.argv())];
    shortened(words.join(" ").trim_end(), COMMAND_CHARS)
}

fn arguments(journal: &Journal, ended: &Ended) -> Value {
    let facts = ended.facts();
    let standing = match ended.standing {
        Standing::Counts if ended.current => None,
        Standing::Counts => Some("outdated"),
        Standing::TriedAgain => Some("tried again later"),
        Standing::Repeat => Some("harness rerun"),
    };
    json!({
        "journal": journal.name, "id": facts.id, "session": ended.session, "number": facts.trial, "params": facts.params,
        "status": ended.status().word(), "reason": ended.reason(), "worker": facts.worker, "queue_s": facts.queue_s,
        "elapsed_s": ended.elapsed_s(), "standing": standing,
    })
}
