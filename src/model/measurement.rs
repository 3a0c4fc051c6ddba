//! The record of one measurement: the runs as parallel columns, so that a reader needs no nesting.
//!
//! Every figure stands once. What a replay needs is rebuilt from the columns ([`Measurement::outcome`]);
//! there is no second copy of the outcome that could disagree. Fields no room fills yet are written as
//! `null` ([`Reserved`]), so that readers can rely on the names. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::{
    Better, Cwd, Detail, Hash, Launched, MeasureResult, MeasureSpec, Metric, Outcome, Phase, SameAs, Sample,
    Status, Stdin, StopReason, Summary, TaskFacts, Usage, VerifyResult,
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
        /// Names of the record that no room fills yet.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the names are those of the record's schema")]
        pub struct Reserved { $(pub $field: Option<serde_json::Value>,)* }
    };
}

reserved! {
    compile mem_peak_cgroup_bytes freq_hz temp_c throttle_count psi_cpu_some_s psi_mem_some_s psi_io_some_s
    energy_pkg_j energy_dram_j counters rounds order_seed block
    code harness cost clock_offset_s
}

impl Measurement {
    /// Puts the parts of a line together.
    pub(super) fn read(line: &Line<'_>) -> serde_json::Result<Self> {
        Ok(Self { facts: line.part()?, runs: line.part()?, reserved: line.part()?, ..line.part()? })
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
            host: outcome.host.clone(),
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
            host: self.host.clone(),
            detail,
            elapsed_s: self.elapsed_s,
        })
    }

    /// Do the columns fit each other?
    pub fn is_sound(&self) -> bool {
        let runs = self.runs.phase.len();
        self.stop_reason.is_none()
            || self.runs.are_of(runs)
                && self.verify.output_hash.len() == runs
                && self.metrics.values().all(|metric| metric.value.len() == runs)
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
        })
    }

    fn launched(&self) -> Option<Launched> {
        Some(Launched {
            hosts: self.hosts.clone()?,
            ranks: self.ranks?,
            argv: self.launcher_argv.clone().unwrap_or_default(),
        })
    }

    fn usage(&self, run: usize) -> Option<Usage> {
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
        })
    }

    fn counted(&self, column: &[Option<f64>]) -> Vec<f64> {
        let runs = self.runs.phase.iter().zip(column);
        runs.filter(|(phase, _)| **phase == Phase::Sample).filter_map(|(_, value)| *value).collect()
    }
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
mod tests {
    use super::*;
    use crate::model::{Kind, Record};

    fn facts() -> TaskFacts {
        TaskFacts {
            id: "01ARYZ6S410000000000000000".into(),
            campaign: "01ARYZ6S400000000000000000".into(),
            trial: 3,
            parent: None,
            kind: Kind::Measure,
            key: Hash::of(b"gemm"),
            parts: None,
            content_key: None,
            name: Some("gemm".into()),
            params: Some(serde_json::json!({"tile": 32})),
            limit_s: Some(60.0),
            worker: None,
            slot: None,
            env: None,
            artefact: None,
            placement: None,
            queue_s: None,
            started_unix_s: None,
            ended_unix_s: None,
        }
    }

    fn measured() -> Outcome {
        let sample = |phase, wall_s, gflops: Option<f64>| Sample {
            phase,
            t_start_s: 0.1 + wall_s,
            usage: Usage { wall_s, user_s: wall_s / 3.0, maxrss_bytes: 1 << 40, ..Usage::default() },
            metrics: gflops.map(|value| ("gflops".to_owned(), value)).into_iter().collect(),
            output_hash: (phase == Phase::Warmup).then(|| Hash::of(b"out")),
        };
        let metric = Metric {
            unit: Some("GFLOP/s".into()),
            better: Better::More,
            value: vec![0.1 + 0.2, 7.0],
            stats: Some(Summary { n: 2, mean: 3.65, ..Summary::default() }),
        };
        Outcome {
            status: Status::Ok,
            reason: None,
            host: "node1".into(),
            detail: Detail::Measure(Box::new(MeasureResult {
                samples: vec![
                    sample(Phase::Warmup, 1.0 / 3.0, None),
                    sample(Phase::Sample, 0.1, Some(0.1 + 0.2)),
                    sample(Phase::Sample, 5e-324, Some(7.0)),
                ],
                stats: Some(Summary { n: 2, median: 0.05, ..Summary::default() }),
                metrics: [("gflops".to_owned(), metric)].into(),
                objective: "wall_s".into(),
                better: Better::Less,
                stop_reason: StopReason::Fixed,
                flags: vec!["unstable".into()],
                verify: VerifyResult { status: "ok".into(), method: "stdout".into(), max_abs_err: None },
                floor_s: Some(0.001),
                maxrss_floor_bytes: None,
                exit_code: None,
                signal: None,
                stderr_tail: String::new(),
                argv: vec!["./gemm".into(), "512".into()],
                launched: None,
                same_as: Some(SameAs {
                    id: "01ARYZ6S410000000000000001".into(),
                    what: "gemm tile=16".into(),
                }),
            })),
            elapsed_s: 1.25,
        }
    }

    /// The same as an MPI application.
    fn launched() -> Outcome {
        let mut outcome = measured();
        let Detail::Measure(result) = &mut outcome.detail else { unreachable!() };
        for sample in &mut result.samples {
            sample.usage = Usage { wall_s: sample.usage.wall_s, ..Usage::default() };
        }
        let hosts = vec!["node1".to_owned(), "node2".to_owned()];
        result.launched = Some(Launched { hosts, ranks: 4, argv: vec!["mpiexec".into()] });
        outcome
    }

    #[test]
    fn of_an_mpi_application_only_the_wall_time_is_recorded() {
        let record = Record::of_task(facts(), Some(&MeasureSpec::default()), &launched());
        let line = serde_json::to_value(&record).unwrap();
        assert_eq!((&line["nodes"], &line["ranks"]), (&2.into(), &4.into()));
        assert_eq!(line["hosts"], serde_json::json!(["node1", "node2"]));
        assert_eq!(line["launcher_argv"], serde_json::json!(["mpiexec"]));
        assert_eq!(
            (line["wall_s"].as_array().map(Vec::len), &line["user_s"]),
            (Some(3), &serde_json::json!([]))
        );
    }

    #[test]
    fn a_replayed_outcome_is_the_recorded_one() {
        let failed = Outcome::failed(Status::SetupFailed, "no such folder");
        for outcome in [measured(), launched(), failed] {
            let record = Record::of_task(facts(), Some(&MeasureSpec::default()), &outcome);
            let line = serde_json::to_string(&record).unwrap();
            let back = Record::parse(line.as_bytes()).unwrap();
            assert_eq!(back, record);
            assert_eq!(back.outcome(), Some(outcome));
        }
    }

    #[test]
    fn the_line_has_every_name_of_the_schema_and_null_for_what_is_not_known() {
        let record = Record::of_task(facts(), Some(&MeasureSpec::default()), &measured());
        let line = serde_json::to_value(&record).unwrap();
        assert_eq!((&line["type"], &line["schema"]), (&"measurement".into(), &MEASUREMENT_SCHEMA.into()));
        assert_eq!(line["phase"], serde_json::json!(["warmup", "sample", "sample"]));
        assert_eq!(line["wall_s"].as_array().map(Vec::len), Some(3));
        assert_eq!(line["metrics"]["gflops"]["value"], serde_json::json!([null, 0.1 + 0.2, 7.0]));
        let names = "id campaign trial parent key content_key params name argv cwd env_delta stdin_hash artefact \
            compile inputs status exit_code signal reason stderr_tail censored limit_s limit_source phase \
            t_start_s wall_s user_s sys_s maxrss_bytes maxrss_floor_bytes mem_peak_cgroup_bytes minflt majflt \
            nvcsw nivcsw inblock oublock freq_hz temp_c throttle_count psi_cpu_some_s psi_mem_some_s \
            psi_io_some_s energy_pkg_j energy_dram_j counters metrics verify objective stats stop_reason rounds \
            order_seed block flags floor_s nodes ranks hosts launcher_argv placement env code harness cost \
            started_unix_s ended_unix_s clock_offset_s";
        for name in names.split_whitespace() {
            assert!(line.get(name).is_some(), "{name} is missing");
        }
        for name in ["parent", "energy_pkg_j", "nodes", "maxrss_floor_bytes"] {
            assert!(line[name].is_null(), "{name} is {}", line[name]);
        }
    }

    #[test]
    fn a_timeout_is_a_lower_bound_and_not_a_time() {
        let record = Measurement::from(
            facts(),
            &MeasureSpec::default(),
            &Outcome::failed(Status::Timeout, "ran into its limit of 60 s"),
        );
        assert!(record.censored && record.stats.is_none() && record.runs.wall_s.is_empty());
        assert_eq!(record.limit_source.as_deref(), Some("user"));
    }

    #[test]
    fn columns_that_do_not_fit_are_not_replayed() {
        let mut record = Measurement::from(facts(), &MeasureSpec::default(), &measured());
        assert!(record.outcome().is_some());
        record.runs.user_s.pop();
        assert_eq!(record.outcome(), None);
    }
}
