//! The record of one measurement: the runs as parallel columns, so that a reader needs no nesting.
//!
//! Every figure stands once. What a replay needs is rebuilt from the columns ([`Measurement::outcome`]);
//! there is no second copy of the outcome that could disagree. Fields no room fills yet are written as
//! `null` ([`Reserved`]), so that readers can rely on the names. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::units::si_unit;
use super::{
    Better, Conditions, Counters, Cwd, Detail, Energy, Hash, HookTimes, Launched, MEMORY_PEAK, MeasureResult,
    MeasureSpec, Metric, Moving, Outcome, Phase, SameAs, Sample, Status, Stdin, StopReason, Summary,
    TaskFacts, Usage, VerifyResult,
};

/// Version of the record's format.
pub const MEASUREMENT_SCHEMA: &str = "harness.measurement/1";

/// One measurement. What is flattened is read by itself ([`Record::parse`](super::Record::parse)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// [`MEASUREMENT_SCHEMA`].
    pub schema: String,
    /// What was measured, when and where.
    #[serde(flatten, skip_deserializing)]
    pub facts: TaskFacts,
    /// How it ended.
    pub status: Status,
    /// Why; always there unless the status is `ok`.
    pub reason: Option<String>,
    /// The node; empty if it never ran.
    pub host: String,
    /// Seconds it occupied its slot.
    pub elapsed_s: f64,
    /// Its time is known only to be at least `limit_s`.
    pub censored: bool,
    /// Who set the limit: `user` or `incumbent`.
    pub limit_source: Option<String>,
    /// What was run.
    pub argv: Vec<String>,
    /// In which folder.
    pub cwd: Cwd,
    /// What was set on top of the scrubbed environment.
    pub env_delta: BTreeMap<String, String>,
    /// Content of standard input, if there was any.
    pub stdin_hash: Option<Hash>,
    /// Files put into the scratch folder: path and content.
    pub inputs: Vec<super::Input>,
    /// Exit code of the failing run, if it exited.
    pub exit_code: Option<i32>,
    /// Signal that ended the failing run, if one did.
    pub signal: Option<i32>,
    /// The end of its standard error, at most 4 KiB.
    pub stderr_tail: String,
    /// The runs, in order.
    #[serde(flatten, skip_deserializing)]
    pub runs: Columns,
    /// Figures the program printed, by name.
    pub metrics: BTreeMap<String, MetricColumn>,
    /// What was checked.
    pub verify: Verify,
    /// What is optimised.
    pub objective: Objective,
    /// Summary of the objective over the counted runs.
    pub stats: Option<Summary>,
    /// Why sampling ended; none if it never began.
    pub stop_reason: Option<StopReason>,
    /// What to know before believing the figure.
    pub flags: Vec<String>,
    /// Median wall time of a null command on the node, s.
    pub floor_s: Option<f64>,
    /// Largest resident set of a null command, B.
    pub maxrss_floor_bytes: Option<u64>,
    /// Nodes of an MPI application; its runs have no column but `wall_s`, as the launcher's own would mislead.
    pub nodes: Option<u32>,
    /// Its ranks.
    pub ranks: Option<u32>,
    /// Its nodes by name, the launcher's own first.
    pub hosts: Option<Vec<String>>,
    /// The launcher and its arguments, with which `argv` begins.
    pub launcher_argv: Option<Vec<String>>,
    /// Nothing was run for it: these are the figures of another record.
    #[serde(default)]
    pub same_as: Option<SameAs>,
    /// What of the node moved meanwhile.
    #[serde(flatten, skip_deserializing)]
    pub moving: Moving,
    /// What the processors consumed, J, one entry a run; none if it was not asked for.
    pub energy_pkg_j: Option<Vec<Option<f64>>>,
    /// What the memory consumed, likewise.
    pub energy_dram_j: Option<Vec<Option<f64>>>,
    /// What was counted in runs of their own.
    pub counters: Option<Counters>,
    /// What ran around the runs took; none if nothing did, and in records of earlier versions.
    #[serde(default)]
    pub hooks: Option<HookTimes>,
    /// Not measured yet.
    #[serde(flatten, skip_deserializing)]
    pub reserved: Reserved,
}

/// A figure the program printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricColumn {
    /// Unit, for people.
    pub unit: Option<String>,
    /// Which direction is an improvement.
    pub better: Better,
    /// One value a run; `null` where it printed none.
    pub value: Vec<Option<f64>>,
    /// Summary over the counted runs; none if it was not summarised.
    pub stats: Option<Summary>,
}

/// What was checked and found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verify {
    /// `ok`, `failed` or `none` (nothing was asked).
    pub status: String,
    /// What was compared.
    pub method: String,
    /// Relative tolerance of numbers.
    pub rtol: f64,
    /// Absolute tolerance of numbers.
    pub atol: f64,
    /// Largest absolute difference of two numbers, for a reference.
    pub max_abs_err: Option<f64>,
    /// Content of each run's standard output, where it was looked at.
    pub output_hash: Vec<Option<Hash>>,
}

/// What is optimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The metric.
    pub metric: String,
    /// Which direction of it is an improvement.
    pub better: Better,
    /// What of its distribution.
    pub stat: String,
}

macro_rules! columns {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// What each run cost, one column a figure, one entry a run.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct Columns {
            /// Is it counted?
            pub phase: Vec<Phase>,
            /// When it started, s since the measurement began.
            pub t_start_s: Vec<f64>,
            $($(#[$doc])* pub $field: Vec<$kind>,)*
        }

        impl Columns {
            fn push(&mut self, sample: &Sample) {
                self.phase.push(sample.phase);
                self.t_start_s.push(sample.t_start_s);
                $(self.$field.push(sample.usage.$field);)*
            }

            fn are_of(&self, runs: usize) -> bool {
                self.t_start_s.len() == runs $(&& self.$field.len() == runs)*
            }

            fn usage(&self, run: usize) -> Option<Usage> {
                Some(Usage { $($field: *self.$field.get(run)?,)* })
            }
        }
    };
}

columns! {
    /// CLOCK_MONOTONIC from just before the start to the end, s.
    wall_s: f64,
    /// CPU in user mode, s.
    user_s: f64,
    /// CPU in the kernel, s.
    sys_s: f64,
    /// Largest resident set, B.
    maxrss_bytes: u64,
    /// Page faults without I/O.
    minflt: u64,
    /// Page faults with I/O.
    majflt: u64,
    /// Voluntary context switches.
    nvcsw: u64,
    /// Involuntary context switches.
    nivcsw: u64,
    /// Blocks of 512 B read.
    inblock: u64,
    /// Blocks of 512 B written.
    oublock: u64,
}

macro_rules! reserved {
    ($($field:ident)*) => {
        /// What a task's end does not tell: `code` and `harness` are the root's to fill, the others nobody's yet.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the names are those of the record's schema")]
        pub struct Reserved { $(pub $field: Option<serde_json::Value>,)* }
    };
}

reserved! {
    compile mem_peak_cgroup_bytes rounds order_seed block code harness clock_offset_s
}

impl Measurement {
    /// Puts the parts of a line together.
    pub(super) fn read(line: &Line<'_>) -> serde_json::Result<Self> {
        let (facts, runs) = (line.part()?, line.part()?);
        Ok(Self { facts, runs, moving: line.part()?, reserved: line.part()?, ..line.part()? })
    }

    /// The record of a measurement that ended with `outcome`.
    pub fn from(facts: TaskFacts, spec: &MeasureSpec, outcome: &Outcome) -> Self {
        let command = &spec.command;
        let timed_out = outcome.status == Status::Timeout;
        let mut record = Self {
            schema: MEASUREMENT_SCHEMA.into(),
            facts,
            status: outcome.status,
            reason: outcome.reason.clone(),
            host: outcome.host.to_string(),
            elapsed_s: outcome.elapsed_s,
            censored: timed_out || outcome.status == Status::Pruned,
            limit_source: match outcome.status {
                Status::Timeout => Some("user".into()),
                Status::Pruned => Some("incumbent".into()),
                _ => None,
            },
            argv: Vec::new(),
            cwd: command.cwd.clone(),
            env_delta: command.env.clone(),
            stdin_hash: match &command.stdin {
                Stdin::Null => None,
                Stdin::Bytes(bytes) => Some(Hash::of(bytes)),
            },
            inputs: command.inputs.clone(),
            exit_code: None,
            signal: None,
            stderr_tail: String::new(),
            runs: Columns::default(),
            metrics: BTreeMap::new(),
            verify: Verify {
                status: "none".into(),
                rtol: spec.verify.rtol,
                atol: spec.verify.atol,
                ..Verify::default()
            },
            objective: Objective {
                metric: spec.objective.clone(),
                better: spec.better,
                stat: "median".into(),
            },
            stats: None,
            stop_reason: None,
            flags: Vec::new(),
            floor_s: None,
            maxrss_floor_bytes: None,
            nodes: None,
            ranks: None,
            hosts: None,
            launcher_argv: None,
            same_as: None,
            moving: outcome.conditions.as_ref().map(|around| around.moving.clone()).unwrap_or_default(),
            energy_pkg_j: None,
            energy_dram_j: None,
            counters: None,
            hooks: None,
            reserved: Reserved::default(),
        };
        if let Detail::Measure(result) = &outcome.detail {
            record.fill(result);
        }
        record
    }

    /// The outcome as it was recorded; none if the columns do not fit each other.
    pub fn outcome(&self) -> Option<Outcome> {
        let detail = match self.stop_reason {
            None => Detail::None,
            Some(stop_reason) => Detail::Measure(Box::new(self.result(stop_reason)?)),
        };
        Some(Outcome {
            status: self.status,
            reason: self.reason.clone(),
            host: (&self.host).into(),
            detail,
            elapsed_s: self.elapsed_s,
            conditions: Conditions {
                moving: self.moving.clone(),
                placed: self.facts.placement.as_ref().and_then(|granted| granted.placed.clone()),
            }
            .told(),
        })
    }

    /// Do the columns fit each other?
    pub fn is_sound(&self) -> bool {
        let runs = self.runs.phase.len();
        let columns_fit = match self.hosts {
            None => self.runs.are_of(runs),
            Some(_) => [self.runs.t_start_s.len(), self.runs.wall_s.len()] == [runs, runs],
        };
        self.stop_reason.is_none()
            || columns_fit
                && self.verify.output_hash.len() == runs
                && self.metrics.values().all(|metric| metric.value.len() == runs)
                && [&self.energy_pkg_j, &self.energy_dram_j]
                    .iter()
                    .all(|column| column.as_ref().is_none_or(|column| column.len() == runs))
    }

    fn fill(&mut self, result: &MeasureResult) {
        for sample in &result.samples {
            self.runs.push(sample);
            self.verify.output_hash.push(sample.output_hash);
        }
        let printed = result.samples.iter().flat_map(|sample| sample.metrics.keys());
        for name in printed.chain(result.metrics.keys()) {
            if !self.metrics.contains_key(name) {
                self.metrics.insert(name.clone(), metric_column(name, result));
            }
        }
        let energy = |of: fn(&Energy) -> Option<f64>| {
            let column: Vec<Option<f64>> = result.samples.iter().map(|sample| of(&sample.energy)).collect();
            column.iter().any(Option::is_some).then_some(column)
        };
        self.energy_pkg_j = energy(|energy| energy.pkg_j);
        self.energy_dram_j = energy(|energy| energy.dram_j);
        self.counters.clone_from(&result.counters);
        let peaks = result.counters.iter().filter_map(|counters| counters.events.get(MEMORY_PEAK));
        let peak = peaks.flat_map(|peaks| peaks.value.iter().flatten()).copied().reduce(f64::max);
        self.reserved.mem_peak_cgroup_bytes = peak.map(|bytes| serde_json::Value::from(bytes as u64));
        self.argv.clone_from(&result.argv);
        self.exit_code = result.exit_code;
        self.signal = result.signal;
        self.stderr_tail.clone_from(&result.stderr_tail);
        self.verify.status.clone_from(&result.verify.status);
        self.verify.method.clone_from(&result.verify.method);
        self.verify.max_abs_err = result.verify.max_abs_err;
        self.objective.metric.clone_from(&result.objective);
        self.objective.better = result.better;
        self.stats.clone_from(&result.stats);
        self.stop_reason = Some(result.stop_reason);
        self.flags.clone_from(&result.flags);
        self.floor_s = result.floor_s;
        self.maxrss_floor_bytes = result.maxrss_floor_bytes;
        self.same_as.clone_from(&result.same_as);
        self.hooks.clone_from(&result.hooks);
        if let Some(Launched { hosts, ranks, argv }) = &result.launched {
            let wall_s = std::mem::take(&mut self.runs.wall_s);
            let (phase, t_start_s) =
                (std::mem::take(&mut self.runs.phase), std::mem::take(&mut self.runs.t_start_s));
            self.runs = Columns { phase, t_start_s, wall_s, ..Columns::default() };
            self.nodes = Some(hosts.len() as u32);
            self.ranks = Some(*ranks);
            self.hosts = Some(hosts.clone());
            self.launcher_argv = Some(argv.clone());
        }
    }

    fn result(&self, stop_reason: StopReason) -> Option<MeasureResult> {
        let samples = (0..self.runs.phase.len()).map(|run| self.sample(run)).collect::<Option<_>>()?;
        let summarised = |(name, column): (&String, &MetricColumn)| {
            let metric = Metric {
                unit: column.unit.clone(),
                better: column.better,
                value: self.counted(&column.value),
                stats: column.stats.clone(),
            };
            Some((name.clone(), metric))
        };
        Some(MeasureResult {
            samples,
            stats: self.stats.clone(),
            metrics: self.metrics.iter().filter_map(summarised).collect(),
            objective: self.objective.metric.clone(),
            better: self.objective.better,
            stop_reason,
            flags: self.flags.clone(),
            counters: self.counters.clone(),
            verify: VerifyResult {
                status: self.verify.status.clone(),
                method: self.verify.method.clone(),
                max_abs_err: self.verify.max_abs_err,
            },
            floor_s: self.floor_s,
            maxrss_floor_bytes: self.maxrss_floor_bytes,
            exit_code: self.exit_code,
            signal: self.signal,
            stderr_tail: self.stderr_tail.clone(),
            argv: self.argv.clone(),
            launched: self.launched(),
            same_as: self.same_as.clone(),
            hooks: self.hooks.clone(),
        })
    }

    /// The objective's figures, of the runs that count.
    pub fn figures(&self) -> Vec<f64> {
        let name = self.objective.metric.as_str();
        match self.metrics.get(name) {
            Some(column) => self.counted(&column.value),
            None => {
                let runs = 0..self.runs.phase.len();
                self.counted(&runs.map(|run| self.usage(run)?.figure(name)).collect::<Vec<_>>())
            }
        }
    }

    /// The unit of the objective, if it has one.
    pub fn unit(&self) -> Option<&str> {
        match self.metrics.get(&self.objective.metric) {
            Some(column) => column.unit.as_deref(),
            None => si_unit(&self.objective.metric),
        }
    }

    /// How its ranks were started, if it is an MPI application.
    pub fn launched(&self) -> Option<Launched> {
        Some(Launched {
            hosts: self.hosts.clone()?,
            ranks: self.ranks?,
            argv: self.launcher_argv.clone().unwrap_or_default(),
        })
    }

    /// What a run cost; of a launcher only the wall time.
    pub fn usage(&self, run: usize) -> Option<Usage> {
        if self.hosts.is_none() {
            return self.runs.usage(run);
        }
        Some(Usage { wall_s: *self.runs.wall_s.get(run)?, ..Usage::default() })
    }

    fn sample(&self, run: usize) -> Option<Sample> {
        let mut metrics = BTreeMap::new();
        for (name, column) in &self.metrics {
            if let Some(value) = column.value.get(run)? {
                metrics.insert(name.clone(), *value);
            }
        }
        Some(Sample {
            phase: *self.runs.phase.get(run)?,
            t_start_s: *self.runs.t_start_s.get(run)?,
            usage: self.usage(run)?,
            metrics,
            output_hash: *self.verify.output_hash.get(run)?,
            energy: Energy {
                pkg_j: energy(&self.energy_pkg_j, run),
                dram_j: energy(&self.energy_dram_j, run),
            },
        })
    }

    fn counted(&self, column: &[Option<f64>]) -> Vec<f64> {
        let runs = self.runs.phase.iter().zip(column);
        runs.filter(|(phase, _)| **phase == Phase::Sample).filter_map(|(_, value)| *value).collect()
    }
}

fn energy(column: &Option<Vec<Option<f64>>>, run: usize) -> Option<f64> {
    column.as_ref()?.get(run).copied().flatten()
}

fn metric_column(name: &str, result: &MeasureResult) -> MetricColumn {
    let summarised = result.metrics.get(name);
    MetricColumn {
        unit: summarised.and_then(|metric| metric.unit.clone()),
        better: summarised.map_or_else(Better::default, |metric| metric.better),
        value: result.samples.iter().map(|sample| sample.metrics.get(name).copied()).collect(),
        stats: summarised.and_then(|metric| metric.stats.clone()),
    }
}

#[cfg(test)]
#[path = "measurement_tests.rs"]
mod tests;
