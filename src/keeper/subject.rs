//! A program that is timed: what of a run becomes a sample, and what a run must have done for that.
//!
//! One process is one sample. Knows a specification and how runs ended; when to run, how often and what for is the
//! affair of `measure` and `compare`.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::capture::last_lines;
use super::floor::Floor;
use super::job::Step;
use super::launching::Prefixed;
use super::metric::Reader;
use super::run::{Ended, Keep};
use super::scratch::Scratch;
use super::site::{Command, Failure, Site};
use super::verdict::judge;
use super::verify::Verify;
use crate::model::{
    Launched, MeasureResult, MeasureSpec, Metric, Phase, Sample, Status, StopReason, Usage, VerifyResult,
};
use crate::stats;

/// Kept of standard output where metrics or `verify` read it (B).
const OUTPUT_LIMIT: usize = 16 << 20;
/// Kept of standard error, for the reason of a failure (B).
const STDERR_LIMIT: usize = 4096;

/// A program and its runs so far.
pub struct Subject {
    spec: MeasureSpec,
    command: Rc<Command>,
    metrics: BTreeMap<String, Reader>,
    verify: Verify,
    samples: Vec<Sample>,
    verified: VerifyResult,
    /// A launcher starts it: what the kernel accounts is the launcher's.
    launched: Option<Launched>,
    /// Removed when the job is dropped.
    _scratch: Option<Scratch>,
}

impl Subject {
    /// Checks what was asked for and prepares folder, inputs and environment.
    pub fn new(
        spec: MeasureSpec,
        mark: &str,
        site: &Site,
        prefixed: Option<Prefixed>,
    ) -> Result<Self, Failure> {
        let (mut command, scratch) = site.command(&spec.command, mark)?;
        let launched = prefixed.map(|prefixed| command.launch(prefixed)).transpose()?;
        let reference = match &spec.verify.reference {
            Some(arg) => Some(site.content_of(arg)?),
            None => None,
        };
        Self::with_command(spec, command, launched, reference, scratch)
    }

    pub(super) fn with_command(
        spec: MeasureSpec,
        command: Command,
        launched: Option<Launched>,
        reference: Option<Vec<u8>>,
        scratch: Option<Scratch>,
    ) -> Result<Self, Failure> {
        let readers =
            spec.metrics.iter().map(|(name, metric)| Ok((name.clone(), Reader::new(name, metric)?)));
        let metrics: BTreeMap<String, Reader> = readers.collect::<Result<_, Failure>>()?;
        if value_of(&spec.objective, &Usage::default()).is_none() && !metrics.contains_key(&spec.objective) {
            let names = "wall_s, user_s, sys_s, maxrss_bytes";
            let reason = format!("objective `{}` is neither one of {names} nor a metric", spec.objective);
            return Err(Failure::refused(reason));
        }
        let verify = Verify::new(&spec.verify, reference, metrics.values().cloned().collect())?;
        Ok(Self {
            verified: VerifyResult { status: "none".into(), method: verify.method(), max_abs_err: None },
            spec,
            command: Rc::new(command),
            metrics,
            verify,
            samples: Vec::new(),
            launched,
            _scratch: scratch,
        })
    }

    /// What was asked for.
    pub fn spec(&self) -> &MeasureSpec {
        &self.spec
    }

    /// Does a launcher start it?
    pub fn is_launched(&self) -> bool {
        self.launched.is_some()
    }

    /// The command that does nothing, started the same way.
    pub fn null_command(&self) -> Command {
        let prefix = self.launched.as_ref().map_or(0, |launched| launched.argv.len());
        self.command.with_argv([&self.command.argv[..prefix], &[c"true".to_owned()]].concat())
    }

    /// Its next run.
    pub fn run(&self) -> Step {
        let verifies = self.verify.reads_output() && (self.samples.is_empty() || self.spec.verify.every);
        let stdout = if self.metrics.is_empty() && !verifies { 0 } else { OUTPUT_LIMIT };
        Step::Run(self.command.clone(), Keep { stdout, stderr: STDERR_LIMIT })
    }

    /// A run in which events are counted; what it prints says nothing new.
    pub fn count(&self) -> Step {
        let keep = Keep { stdout: 0, stderr: STDERR_LIMIT };
        Step::Count(self.command.clone(), keep, self.spec.counters.as_slice().into())
    }

    /// Did it end as it should?
    pub fn judge(&self, ended: &Ended) -> Result<(), Failure> {
        let ok_codes = match self.spec.verify.exit_code {
            Some(code) => &[code][..],
            None => &self.spec.ok_codes,
        };
        judge(ended, ok_codes)
    }

    /// Of the run that comes next, or has just ended.
    pub fn phase(&self) -> Phase {
        if self.samples.len() < self.spec.warmup as usize { Phase::Warmup } else { Phase::Sample }
    }

    /// A run becomes a sample only if all that is demanded of it holds.
    pub fn take(&mut self, ended: &Ended) -> Result<(), Failure> {
        self.judge(ended)?;
        let mut output_hash = None;
        if self.samples.is_empty() || self.spec.verify.every {
            let found = self.verify.check(&ended.stdout);
            self.verified = found.result;
            output_hash = found.output_hash;
            if let Some(reason) = found.failure {
                return Err(Failure { status: Status::VerifyFailed, reason });
            }
        }
        let metrics =
            self.metrics.iter().map(|(name, reader)| Ok((name.clone(), metric_in(ended, name, reader)?)));
        let metrics = metrics.collect::<Result<_, Failure>>()?;
        self.samples.push(Sample {
            phase: self.phase(),
            t_start_s: ended.t_start_s,
            usage: match self.launched {
                Some(_) => Usage { wall_s: ended.usage.wall_s, ..Usage::default() },
                None => ended.usage,
            },
            metrics,
            output_hash,
            energy: ended.energy,
        });
        Ok(())
    }

    /// How many samples count.
    pub fn counted(&self) -> usize {
        self.samples().count()
    }

    /// The objective's figures, of the samples that count.
    pub fn objective(&self) -> Vec<f64> {
        self.samples().filter_map(|sample| value(&self.spec.objective, sample)).collect()
    }

    fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.phase == Phase::Sample)
    }

    /// The same failure with the run it was in.
    pub fn in_run(&self, failure: Failure) -> Failure {
        let warmups = self.spec.warmup as usize;
        let which = match self.samples.len() {
            n if n < warmups => format!("warm-up run {}", n + 1),
            n => format!("sample {}", n + 1 - warmups),
        };
        Failure { reason: format!("{which}: {}", failure.reason), ..failure }
    }

    /// All its samples, summarised, with what is to be known before believing them.
    pub fn summarised(&self, reason: StopReason, floor: Option<Floor>) -> MeasureResult {
        let mut result = self.result(reason, floor);
        let objective = self.objective();
        let wall_s: Vec<f64> = self.samples().map(|sample| sample.usage.wall_s).collect();
        let cpu_s = match self.launched {
            Some(_) => Vec::new(),
            None => self.samples().map(|s| s.usage.user_s + s.usage.sys_s).collect(),
        };
        let summary = |values: &[f64]| (!values.is_empty()).then(|| stats::summary(values));
        result.stats = summary(&objective);
        for metric in result.metrics.values_mut() {
            metric.stats = summary(&metric.value);
        }
        result.flags = stats::flags(&stats::Series {
            objective: &objective,
            wall_s: &wall_s,
            cpu_s: &cpu_s,
            threads: 1,
            // What a program times itself does not contain its start.
            floor_s: floor.map(|floor| floor.wall_s).filter(|_| self.spec.objective == "wall_s"),
            epsilon: self.spec.precision,
        });
        result
    }

    /// The samples before it failed, and how the run ended that did.
    pub fn failed(&self, ended: Option<&Ended>, floor: Option<Floor>) -> MeasureResult {
        let mut result = self.result(StopReason::Failed, floor);
        if let Some(ended) = ended {
            result.exit_code = ended.exit.code();
            result.signal = ended.exit.signal();
            result.stderr_tail = last_lines(&ended.stderr.bytes, usize::MAX, STDERR_LIMIT);
        }
        result
    }

    fn result(&self, stop_reason: StopReason, floor: Option<Floor>) -> MeasureResult {
        let metrics = self.spec.metrics.iter().map(|(name, spec)| {
            let value: Vec<f64> = self.samples().filter_map(|s| s.metrics.get(name).copied()).collect();
            (name.clone(), Metric { unit: spec.unit.clone(), better: spec.better, value, stats: None })
        });
        MeasureResult {
            metrics: metrics.collect(),
            samples: self.samples.clone(),
            stats: None,
            objective: self.spec.objective.clone(),
            better: self.spec.better,
            stop_reason,
            flags: Vec::new(),
            counters: None,
            verify: self.verified.clone(),
            floor_s: floor.map(|floor| floor.wall_s),
            maxrss_floor_bytes: floor.filter(|_| self.launched.is_none()).map(|floor| floor.maxrss_bytes),
            exit_code: None,
            signal: None,
            stderr_tail: String::new(),
            argv: self.command.argv_text(),
            launched: self.launched.clone(),
            same_as: None,
        }
    }
}

fn value(objective: &str, sample: &Sample) -> Option<f64> {
    sample.metrics.get(objective).copied().or_else(|| value_of(objective, &sample.usage))
}

/// The figures of the kernel that can be an objective.
fn value_of(objective: &str, usage: &Usage) -> Option<f64> {
    match objective {
        "wall_s" => Some(usage.wall_s),
        "user_s" => Some(usage.user_s),
        "sys_s" => Some(usage.sys_s),
        "maxrss_bytes" => Some(usage.maxrss_bytes as f64),
        _ => None,
    }
}

fn metric_in(ended: &Ended, name: &str, reader: &Reader) -> Result<f64, Failure> {
    let output = &ended.stdout.bytes;
    reader.figure(output).map_err(|what| {
        let shown = match last_lines(output, 5, 600) {
            _ if reader.figure(&ended.stderr.bytes).is_ok() => {
                "it is in standard error: redirect that, shell = \"… 2>&1\"".into()
            }
            lines if lines.is_empty() => "its standard output is empty".into(),
            lines => format!("its standard output ends with:\n{lines}"),
        };
        Failure { status: Status::MetricMissing, reason: format!("metric `{name}`: {what}; {shown}") }
    })
}
