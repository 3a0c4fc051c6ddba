//! Under which conditions programs ran: what of the node moved meanwhile, which cores they were given, and what the
//! kernel and the processor counted.
//!
//! Figures of a moment stand as a pair, before and after; counts and seconds as what was added between the two. What
//! cannot be had is none, never 0. Pure: who reads them is `machine`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TaskId;

/// The conditions of one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// What moved while it was measured.
    pub moving: Moving,
    /// The cores it was kept on; none if it could use all of its worker.
    pub placed: Option<Placed>,
}

impl Conditions {
    /// These, unless they say nothing.
    pub fn told(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// What of a node moved during a measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moving {
    /// Mean frequency of its CPUs before and after, Hz.
    pub freq_hz: Option<[f64; 2]>,
    /// The hottest of its sensors before and after, °C.
    pub temp_c: Option<[f64; 2]>,
    /// Load average over a minute before and after.
    pub load1: Option<[f64; 2]>,
    /// How often it was throttled meanwhile.
    pub throttle_count: Option<u64>,
    /// Time in which something waited for a CPU, s.
    pub psi_cpu_some_s: Option<f64>,
    /// Time in which something waited for memory, s.
    pub psi_mem_some_s: Option<f64>,
    /// Time in which something waited for I/O, s.
    pub psi_io_some_s: Option<f64>,
    /// CPU time of processes that are not ours, s.
    pub others_cpu_s: Option<f64>,
    /// CPU time that the hypervisor gave to somebody else, s.
    pub steal_s: Option<f64>,
    /// Why there is no energy, if it was asked for.
    pub energy_note: Option<String>,
}

/// The cores of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// CPUs, as the kernel lists them: `0-3,8`.
    pub cpus: String,
    /// NUMA nodes its memory comes from, likewise; none if from anywhere.
    pub mems: Option<String>,
    /// `one-per-core` or `all`: which threads of its cores it uses.
    pub smt: String,
    /// Measurements that ran on its node meanwhile, each on cores of its own.
    #[serde(default)]
    pub neighbours: Vec<TaskId>,
}

/// Which cores a task wants to be kept on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// So many; 0: all of its socket.
    pub cores: u32,
    /// All in one NUMA node, with its memory.
    pub local: bool,
    /// May it have both threads of a core? None: where cores do not suffice.
    pub smt: Option<bool>,
    /// What nobody else gets.
    pub own: Own,
}

/// What of a node a task that is kept on some cores has to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Own {
    /// The threads it runs on; with one thread a core the others too, if it was said that they are not to be used.
    #[default]
    Threads,
    /// Its cores, with all their threads.
    Cores,
    /// The socket they are of.
    Socket,
}

/// What was counted in runs of their own, by event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// `separate`: in runs that are no samples.
    pub pass: String,
    /// By name.
    pub events: BTreeMap<String, CounterValues>,
}

/// One event, one entry a run of the pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CounterValues {
    /// How often it happened, scaled to the whole run; `task-clock` and `cpu-clock` in ns. None: not counted.
    pub value: Vec<Option<f64>>,
    /// Part of the run in which it was counted, %.
    pub pcnt_running: Vec<Option<f64>>,
    /// Why it could not be counted, or what of it was not.
    pub note: Option<String>,
}

/// An event of a program, by the name perf gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerfEvent {
    /// What the author says.
    pub name: &'static str,
    /// Its type for `perf_event_open`: 0 of the processor, 1 of the kernel, 3 of a cache.
    pub kind: u32,
    /// Its number among those of its type.
    pub config: u64,
}

const fn event(name: &'static str, kind: u32, config: u64) -> PerfEvent {
    PerfEvent { name, kind, config }
}

/// Told like an event: the most memory that a program and all it started had at one time, B (a control group).
pub const MEMORY_PEAK: &str = "memory-peak";

/// All that the kernel counts.
pub const EVENTS: [PerfEvent; 22] = [
    event("cycles", 0, 0),
    event("instructions", 0, 1),
    event("cache-references", 0, 2),
    event("cache-misses", 0, 3),
    event("branches", 0, 4),
    event("branch-misses", 0, 5),
    event("bus-cycles", 0, 6),
    event("stalled-cycles-frontend", 0, 7),
    event("stalled-cycles-backend", 0, 8),
    event("ref-cycles", 0, 9),
    event("L1-dcache-loads", 3, 0),
    event("L1-dcache-load-misses", 3, 1 << 16),
    event("LLC-loads", 3, 2),
    event("LLC-load-misses", 3, 2 | 1 << 16),
    event("dTLB-load-misses", 3, 3 | 1 << 16),
    event("cpu-clock", 1, 0),
    event("task-clock", 1, 1),
    event("page-faults", 1, 2),
    event("context-switches", 1, 3),
    event("cpu-migrations", 1, 4),
    event("minor-faults", 1, 5),
    event("major-faults", 1, 6),
];
