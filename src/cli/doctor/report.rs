//! What the doctor found, as data; how it is shown, and what of it is a problem.
//!
//! Pure: from figures to sentences. Each problem ends with the line that mends it.

use std::fmt::{self, Display};

use serde::Serialize;

use super::probe::{Node, Space};
use crate::model::human::{bytes, count, duration};

/// Less than this in the artefact store's folder, and builds fail soon.
const STORE: u64 = 1 << 30;
/// Less than this where scratch folders are, likewise.
const SCRATCH: u64 = 256 << 20;
/// Clocks that differ by more, beyond what was needed to find out, confuse builds that look at file times (s).
const CLOCK_S: f64 = 1.0;

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) surroundings: Surroundings,
    /// What was found by starting workers; none with `--no-spawn`.
    pub(super) workers: Vec<Worker>,
    /// Why there are none, or fewer than planned.
    pub(super) failure: Option<String>,
    pub(super) problems: Vec<String>,
}

/// What is known without starting anything.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Surroundings {
    /// `Slurm`, `host file`, `none`.
    pub(super) scheduler: String,
    pub(super) job: Option<String>,
    /// Until the job ends, s.
    pub(super) left_s: Option<f64>,
    pub(super) host: String,
    pub(super) nodes: Vec<Place>,
    pub(super) mpi: Mpi,
    pub(super) launcher: Option<String>,
    /// What `spawn {}` would do; none where it cannot be planned.
    pub(super) plan: Vec<Planned>,
    /// What is worth a word, and no problem.
    pub(super) notes: Vec<String>,
    /// What is wrong already.
    #[serde(skip)]
    pub(super) problems: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) cores: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Planned {
    pub(super) host: String,
    pub(super) start: &'static str,
}

/// The MPI this harness runs on.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Mpi {
    /// What the library calls itself; none where harness was built without.
    pub(super) library: Option<String>,
    /// What it was built for.
    pub(super) built_for: Option<&'static str>,
    /// None unless a launcher started harness.
    pub(super) thread_level: Option<&'static str>,
    /// Processes that may run, where the launcher says it.
    pub(super) universe: Option<u32>,
    /// None where it is not known before it is tried.
    pub(super) can_spawn: Option<bool>,
    /// Ranks beside the root.
    pub(super) ranks: usize,
}

/// One node, as seen by its worker and from the root.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Worker {
    pub(super) host: String,
    pub(super) start: String,
    pub(super) slots: u32,
    pub(super) cores: u32,
    pub(super) gpus: u32,
    /// Of a call that does nothing, there and back, s.
    pub(super) latency_s: f64,
    /// Of a call with 16 MiB of text.
    pub(super) there_bytes_per_s: f64,
    pub(super) back_bytes_per_s: f64,
    /// Against the first worker's clock.
    pub(super) clock_offset_s: f64,
    /// It may be wrong by so much.
    pub(super) clock_error_s: f64,
    /// The folder doctor was started in is the same there.
    pub(super) same_folder: bool,
    pub(super) node: Node,
}

impl Worker {
    /// The campaign's lines, and why it could not look at a node.
    pub(super) fn all(lines: &str, token: &str) -> (Vec<Self>, Vec<String>) {
        let (mut workers, mut failures, mut first) = (Vec::new(), Vec::new(), None);
        for line in lines.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            match words.as_slice() {
                ["worker", words @ ..] => {
                    let Some((worker, base)) = Self::of(words, token) else { continue };
                    let (first_base, first_error) = *first.get_or_insert((base, worker.clock_error_s));
                    let is_first = workers.is_empty();
                    workers.push(Self {
                        clock_offset_s: base - first_base,
                        clock_error_s: if is_first { 0.0 } else { worker.clock_error_s + first_error },
                        ..worker
                    });
                }
                ["failed", host, reason] => failures.push(format!("{host}: {reason}")),
                _ => {}
            }
        }
        (workers, failures)
    }

    /// One line; and what its clock showed when the root's watch stood at 0.
    fn of(words: &[&str], token: &str) -> Option<(Self, f64)> {
        let [host, start, slots, cores, gpus, latency, there, back, middle, between, node] = words else {
            return None;
        };
        let node: Node = serde_json::from_str(node).ok()?;
        let base = node.unix_s - middle.parse::<f64>().ok()?;
        let worker = Self {
            host: host.to_string(),
            start: start.to_string(),
            slots: slots.parse().ok()?,
            cores: cores.parse().ok()?,
            gpus: gpus.parse().ok()?,
            latency_s: latency.parse().ok()?,
            there_bytes_per_s: there.parse().ok()?,
            back_bytes_per_s: back.parse().ok()?,
            clock_offset_s: 0.0,
            clock_error_s: between.parse::<f64>().ok()? / 2.0,
            same_folder: node.token.as_deref() == Some(token),
            node,
        };
        Some((worker, base))
    }
}

impl Report {
    /// Judges; `folder` is where doctor was started.
    pub(super) fn judged(mut self, folder: &str) -> Self {
        let mut problems = std::mem::take(&mut self.surroundings.problems);
        problems.extend(self.failure.clone());
        let strangers: Vec<&str> = self
            .workers
            .iter()
            .filter(|worker| !worker.same_folder)
            .map(|worker| worker.host.as_str())
            .collect();
        if !strangers.is_empty() {
            problems.push(format!(
                "{folder} is another folder, or none, on {}: start campaigns in a folder that all nodes share, or \
                 give tasks `cwd = \"scratch\"`",
                strangers.join(", ")
            ));
        }
        for worker in &self.workers {
            problems.extend(node_problems(worker));
        }
        self.problems = problems;
        self
    }
}

fn node_problems(worker: &Worker) -> Vec<String> {
    let (host, node) = (&worker.host, &worker.node);
    let mut problems = Vec::new();
    let offset = worker.clock_offset_s;
    if offset.abs() - worker.clock_error_s > CLOCK_S {
        problems.push(format!(
            "the clock of {host} is {} off: have it set (`chronyc tracking` there says why), and trust no times of \
             files until then",
            duration(offset.abs())
        ));
    }
    if !node.leftovers.is_empty() {
        let pids: Vec<_> = node.leftovers.iter().map(u32::to_string).collect();
        problems.push(format!(
            "{} of harness left behind on {host}: `ssh {host} kill -9 {}`",
            count(pids.len(), "process").replace("processs", "processes"),
            pids.join(" ")
        ));
    }
    let low = |space: &Space, least: u64, what: &str, mend: &str| {
        let free = space.free.filter(|free| *free < least)?;
        let folder = space.folder.display();
        Some(format!(
            "{} free for {what} in {folder} on {host}: free some, or set {mend} to another folder",
            bytes(free)
        ))
    };
    problems.extend(low(&node.store, STORE, "built programs", "HARNESS_CACHE"));
    problems.extend(low(&node.scratch, SCRATCH, "scratch folders", "TMPDIR"));
    problems
}

impl Surroundings {
    fn job_text(&self) -> String {
        match (&self.job, self.scheduler.as_str()) {
            (Some(job), _) => job.clone(),
            (None, "none" | "") => "none, this machine alone".into(),
            (None, scheduler) => scheduler.into(),
        }
    }
}

impl Display for Surroundings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.left_s.map(|left| format!(", ends in {}", duration(left))).unwrap_or_default();
        writeln!(out, "job       {}{end}", self.job_text())?;
        let nodes: Vec<_> = self.nodes.iter().map(Place::to_string).collect();
        writeln!(out, "nodes     {}: {}", nodes.len(), nodes.join(", "))?;
        writeln!(out, "here      {}", self.host)?;
        writeln!(out, "MPI       {}", self.mpi)?;
        writeln!(out, "launcher  {}", self.launcher.as_deref().unwrap_or("none found"))?;
        let plan: Vec<_> =
            self.plan.iter().map(|worker| format!("{} {}", worker.host, worker.start)).collect();
        writeln!(out, "spawn {{}}  {}", if plan.is_empty() { "nothing".into() } else { plan.join(", ") })?;
        self.notes.iter().try_for_each(|note| writeln!(out, "note      {note}"))
    }
}

impl Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cores {
            Some(cores) => write!(out, "{} ({})", self.host, count(cores as usize, "core")),
            None => write!(out, "{}", self.host),
        }
    }
}

impl Display for Mpi {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(library) = &self.library else {
            return write!(
                out,
                "none: this harness was built without, srun or ssh start workers on other nodes"
            );
        };
        write!(out, "{library}")?;
        if let Some(level) = self.thread_level {
            write!(out, "; threads: {level}")?;
        }
        if let Some(universe) = self.universe {
            write!(
                out,
                "; room for {}",
                count(universe as usize, "process").replace("processs", "processes")
            )?;
        }
        match (self.can_spawn, self.ranks) {
            (_, ranks) if ranks > 0 => write!(out, "; {} as workers", count(ranks, "rank")),
            (Some(false), _) => write!(out, "; cannot spawn"),
            (Some(true), _) => write!(out, "; spawned workers"),
            (None, _) => Ok(()),
        }
    }
}

impl Display for Report {
    /// What starting workers has shown, and the verdict.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.workers.is_empty() {
            writeln!(
                out,
                "\n{:<16} {:<7} {:>5} {:>4} {:>10} {:>12} {:>12} {:>12} {:>11} {:>10} {:>10}",
                "worker on",
                "start",
                "slots",
                "GPUs",
                "a call",
                "16 MiB to",
                "and from",
                "clock",
                "same folder",
                "store",
                "scratch"
            )?;
        }
        for worker in &self.workers {
            let free = |space: &Space| space.free.map_or("?".into(), bytes);
            let rate = |rate: f64| format!("{}/s", bytes(rate as u64));
            let sign = if worker.clock_offset_s < 0.0 { "-" } else { "+" };
            let clock = if worker.clock_error_s == 0.0 {
                "reference".into()
            } else {
                format!("{sign}{}", duration(worker.clock_offset_s.abs()))
            };
            writeln!(
                out,
                "{:<16} {:<7} {:>5} {:>4} {:>10} {:>12} {:>12} {:>12} {:>11} {:>10} {:>10}",
                worker.host,
                worker.start,
                worker.slots,
                worker.gpus,
                duration(worker.latency_s),
                rate(worker.there_bytes_per_s),
                rate(worker.back_bytes_per_s),
                clock,
                if worker.same_folder { "yes" } else { "NO" },
                free(&worker.node.store),
                free(&worker.node.scratch),
            )?;
        }
        writeln!(out)?;
        for Worker { host, node, .. } in &self.workers {
            node.noise.iter().try_for_each(|noise| writeln!(out, "figures of {host} move: {noise}"))?;
        }
        if self.problems.is_empty() {
            return writeln!(out, "ok");
        }
        for (at, problem) in self.problems.iter().enumerate() {
            writeln!(out, "{}. {problem}", at + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(host: &str, clock: f64, token: &str) -> String {
        let space = |free| Space { folder: "/cache".into(), free: Some(free) };
        let node = Node {
            host: host.into(),
            unix_s: clock,
            token: Some(token.into()),
            store: space(2 << 30),
            scratch: space(1 << 30),
            leftovers: Vec::new(),
            noise: vec!["the governor".into()],
        };
        let node = serde_json::to_string(&node).unwrap();
        format!("worker\t{host}\tspawn\t4\t4\t2\t0.0001\t1e9\t5e8\t10\t0.002\t{node}\n")
    }

    fn judged(lines: &str) -> Report {
        let (workers, _) = Worker::all(lines, "T");
        Report { workers, ..Report::default() }.judged("/home/me")
    }

    #[test]
    fn a_healthy_pool_is_ok() {
        let report = judged(&(line("node1", 1000.0, "T") + &line("node2", 1000.5, "T")));
        assert_eq!(report.problems, Vec::<String>::new());
        let clocks: Vec<f64> = report.workers.iter().map(|worker| worker.clock_offset_s).collect();
        assert_eq!(clocks, [0.0, 0.5]);
        let text = report.to_string();
        assert!(
            text.ends_with("\nok\n")
                && text.contains(" 4    2 ")
                && text.contains("reference")
                && text.contains("+500 ms"),
            "{text}"
        );
    }

    #[test]
    fn every_problem_names_the_node_and_what_mends_it() {
        let report = judged(&(line("node1", 1000.0, "T") + &line("node2", 990.0, "another")));
        assert_eq!(
            report.problems,
            [
                "/home/me is another folder, or none, on node2: start campaigns in a folder that all nodes share, or \
                 give tasks `cwd = \"scratch\"`",
                "the clock of node2 is 10 s off: have it set (`chronyc tracking` there says why), and trust no times \
                 of files until then",
            ]
        );
        let mut report = judged(&line("node1", 1000.0, "T"));
        report.workers[0].node.leftovers = vec![17, 18];
        report.workers[0].node.store.free = Some(1 << 20);
        report.workers[0].node.scratch.free = Some(1 << 20);
        assert_eq!(
            report.judged("/home/me").problems,
            [
                "2 processes of harness left behind on node1: `ssh node1 kill -9 17 18`",
                "1 MiB free for built programs in /cache on node1: free some, or set HARNESS_CACHE to another folder",
                "1 MiB free for scratch folders in /cache on node1: free some, or set TMPDIR to another folder",
            ]
        );
    }

    #[test]
    fn what_could_not_be_looked_at_is_told_apart() {
        let (workers, failures) = Worker::all("failed\tnode3\tspawn_failed: no such file\nend\n", "T");
        assert!(workers.is_empty());
        assert_eq!(failures, ["node3: spawn_failed: no such file"]);
    }
}
