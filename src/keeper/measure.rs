//! `measure`: null commands once for a keeper, warm-up, then samples until the stop rule ends it.
//!
//! One process is one sample. A failing run ends the measurement with its status, and the samples
//! before it stay. Pure: sees how runs ended, decides what comes next; statistics are `stats`'.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::capture::last_lines;
use super::job::{Learned, Step};
use super::launching::Prefixed;
use super::metric::Reader;
use super::run::{Ended, Finished, Keep, StartError};
use super::scratch::Scratch;
use super::site::{Command, Failure, Site};
use super::verdict::{judge, not_started};
use super::verify::Verify;
use crate::model::{
    Detail, Launched, MeasureResult, MeasureSpec, Metric, Outcome, Phase, Sample, Status, StopReason, Usage,
    VerifyResult,
};
use crate::stats;

/// Null commands that make the floor.
const FLOOR_RUNS: usize = 20;
/// The same for null commands that a launcher starts: each may take a second.
const LAUNCHED_FLOOR_RUNS: usize = 3;
/// Samples between two looks at the stop rule.
const STOP_STEP: u32 = 5;
/// `max_time` does not end a measurement with fewer.
const LEAST_SAMPLES: u32 = 3;
/// Kept of standard output where metrics or `verify` read it (B).
const OUTPUT_LIMIT: usize = 16 << 20;
/// Kept of standard error, for the reason of a failure (B).
const STDERR_LIMIT: usize = 4096;

/// What a command costs that does nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// Median wall time, s.
    pub wall_s: f64,
    /// Largest resident set, B.
    pub maxrss_bytes: u64,
}

/// A measurement under way.
pub struct Measure {
    spec: MeasureSpec,
    command: Rc<Command>,
    null_command: Rc<Command>,
    metrics: BTreeMap<String, Reader>,
    verify: Verify,
    stage: Stage,
    floor: Option<Floor>,
    samples: Vec<Sample>,
    /// When the first counted sample began, s.
    sampling_since: Option<f64>,
    verified: VerifyResult,
    /// A launcher starts it: what the kernel accounts is the launcher's.
    launched: Option<Launched>,
    /// Removed when the job is dropped.
    _scratch: Option<Scratch>,
}

enum Stage {
    Floor(Vec<Usage>),
    Runs,
}

impl Measure {
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

    fn with_command(
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
        let prefix = launched.as_ref().map_or(0, |launched| launched.argv.len());
        let null_argv = [&command.argv[..prefix], &[c"true".to_owned()]].concat();
        let null_command = Rc::new(command.with_argv(null_argv));
        Ok(Self {
            verified: VerifyResult { status: "none".into(), method: verify.method(), max_abs_err: None },
            spec,
            command: Rc::new(command),
            null_command,
            metrics,
            verify,
            stage: Stage::Floor(Vec::new()),
            floor: None,
            samples: Vec::new(),
            sampling_since: None,
            launched,
            _scratch: scratch,
        })
    }

    /// The next run, or the end.
    pub fn next(&mut self, last: Option<Finished>, now_s: f64, learned: &Learned) -> Step {
        if let Stage::Floor(usages) = &mut self.stage {
            let found = match last {
                // Told to end meanwhile.
                Some(Ok(ended)) if ended.forced.is_some() => return self.fail_run(&ended),
                // A launcher that fails will say why when it starts the command.
                Some(Ok(ended)) if self.launched.is_some() && judge(&ended, &[]).is_err() => {
                    usages.clear();
                    true
                }
                Some(Ok(ended)) => {
                    usages.push(ended.usage);
                    let enough = if self.launched.is_some() { LAUNCHED_FLOOR_RUNS } else { FLOOR_RUNS };
                    usages.len() >= enough
                }
                Some(Err(StartError::Forced(why))) => {
                    return self.fail(not_started(&StartError::Forced(why)), None);
                }
                // A system without `true`: measured all the same, without a floor.
                Some(Err(_)) => true,
                None => learned.floors.get(&self.null_command.argv).is_some(),
            };
            if !found {
                return Step::Run(self.null_command.clone(), Keep { stdout: 0, stderr: 0 });
            }
            if let Some(floor) = floor_of(usages) {
                learned.floors.insert(self.null_command.argv.clone(), floor);
            }
            self.floor = learned.floors.get(&self.null_command.argv);
            self.stage = Stage::Runs;
            return self.run(now_s);
        }
        match last {
            Some(Ok(ended)) => match self.take(&ended) {
                Ok(sample) => self.samples.push(sample),
                Err(failure) => return self.fail(failure, Some(&ended)),
            },
            Some(Err(error)) => return self.fail(not_started(&error), None),
            None => {}
        }
        match self.stop_reason(now_s) {
            Some(reason) => self.done(reason),
            None => self.run(now_s),
        }
    }

    fn run(&mut self, now_s: f64) -> Step {
        if self.phase() == Phase::Sample {
            self.sampling_since.get_or_insert(now_s);
        }
        let stdout = if self.metrics.is_empty() && !self.verifies_next() { 0 } else { OUTPUT_LIMIT };
        Step::Run(self.command.clone(), Keep { stdout, stderr: STDERR_LIMIT })
    }

    /// Of the run that comes next, or has just ended.
    fn phase(&self) -> Phase {
        if self.samples.len() < self.spec.warmup as usize { Phase::Warmup } else { Phase::Sample }
    }

    fn verifies_next(&self) -> bool {
        self.verify.reads_output() && (self.samples.is_empty() || self.spec.verify.every)
    }

    /// A run becomes a sample only if all that is demanded of it holds.
    fn take(&mut self, ended: &Ended) -> Result<Sample, Failure> {
        let ok_codes = match self.spec.verify.exit_code {
            Some(code) => &[code][..],
            None => &self.spec.ok_codes,
        };
        judge(ended, ok_codes)?;
        let mut output_hash = None;
        if self.samples.is_empty() || self.spec.verify.every {
            let found = self.verify.check(&ended.stdout);
            self.verified = found.result;
            output_hash = found.output_hash;
            if let Some(reason) = found.failure {
                return Err(Failure { status: Status::VerifyFailed, reason });
            }
        }
        let metrics = self
            .metrics
            .iter()
            .map(|(name, reader)| Ok((name.clone(), metric_in(&ended.stdout.bytes, name, reader)?)));
        Ok(Sample {
            phase: self.phase(),
            t_start_s: ended.t_start_s,
            usage: match self.launched {
                Some(_) => Usage { wall_s: ended.usage.wall_s, ..Usage::default() },
                None => ended.usage,
            },
            metrics: metrics.collect::<Result<_, Failure>>()?,
            output_hash,
        })
    }

    fn counted(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.phase == Phase::Sample)
    }

    fn objective(&self) -> Vec<f64> {
        self.counted().filter_map(|sample| value(&self.spec.objective, sample)).collect()
    }

    fn stop_reason(&self, now_s: f64) -> Option<StopReason> {
        let n = self.counted().count() as u32;
        if let Some(runs) = self.spec.runs {
            return (n >= runs.max(1)).then_some(StopReason::Fixed);
        }
        let min = self.spec.min_runs;
        let due = n >= min && (n - min).is_multiple_of(STOP_STEP);
        let elapsed = now_s - self.sampling_since.unwrap_or(now_s);
        if due && n > 0 && stats::precise_enough(&self.objective(), self.spec.precision) {
            Some(StopReason::Precise)
        } else if n >= self.spec.max_runs.max(1) {
            Some(StopReason::MaxRuns)
        } else if n >= LEAST_SAMPLES && elapsed >= self.spec.max_time {
            Some(StopReason::MaxTime)
        } else {
            None
        }
    }

    fn done(&mut self, reason: StopReason) -> Step {
        let mut result = self.result(reason);
        let objective = self.objective();
        let wall_s: Vec<f64> = self.counted().map(|sample| sample.usage.wall_s).collect();
        let cpu_s = match self.launched {
            Some(_) => Vec::new(),
            None => self.counted().map(|s| s.usage.user_s + s.usage.sys_s).collect(),
        };
        result.stats = Some(stats::summary(&objective));
        result.flags = stats::flags(&stats::Series {
            objective: &objective,
            wall_s: &wall_s,
            cpu_s: &cpu_s,
            threads: 1,
            // What a program times itself does not contain its start.
            floor_s: self.floor.map(|floor| floor.wall_s).filter(|_| self.spec.objective == "wall_s"),
            epsilon: self.spec.precision,
        });
        Step::Done(Box::new(Outcome {
            detail: Detail::Measure(Box::new(result)),
            ..super::exec::succeeded()
        }))
    }

    fn fail_run(&mut self, ended: &Ended) -> Step {
        match judge(ended, &[]) {
            Err(failure) => self.fail(failure, Some(ended)),
            Ok(()) => Step::failed(Failure::setup("a null command ended in no known way")),
        }
    }

    fn fail(&mut self, failure: Failure, ended: Option<&Ended>) -> Step {
        let warmups = self.spec.warmup as usize;
        let which = match self.samples.len() {
            n if n < warmups => format!("warm-up run {}", n + 1),
            n => format!("sample {}", n + 1 - warmups),
        };
        let failure = Failure { reason: format!("{which}: {}", failure.reason), ..failure };
        let mut result = self.result(StopReason::Failed);
        if let Some(ended) = ended {
            result.exit_code = ended.exit.code();
            result.signal = ended.exit.signal();
            result.stderr_tail = last_lines(&ended.stderr.bytes, usize::MAX, STDERR_LIMIT);
        }
        Step::Done(Box::new(Outcome { detail: Detail::Measure(Box::new(result)), ..failure.into() }))
    }

    fn result(&mut self, stop_reason: StopReason) -> MeasureResult {
        let metrics = self.spec.metrics.iter().map(|(name, spec)| {
            let value: Vec<f64> = self.counted().filter_map(|s| s.metrics.get(name).copied()).collect();
            let stats = stats::summary(&value);
            (name.clone(), Metric { unit: spec.unit.clone(), better: spec.better, value, stats })
        });
        MeasureResult {
            metrics: metrics.collect(),
            samples: self.samples.clone(),
            stats: None,
            objective: self.spec.objective.clone(),
            better: self.spec.better,
            stop_reason,
            flags: Vec::new(),
            verify: self.verified.clone(),
            floor_s: self.floor.map(|floor| floor.wall_s),
            maxrss_floor_bytes: self
                .floor
                .filter(|_| self.launched.is_none())
                .map(|floor| floor.maxrss_bytes),
            exit_code: None,
            signal: None,
            stderr_tail: String::new(),
            argv: self.command.argv_text(),
            launched: self.launched.clone(),
        }
    }
}

fn floor_of(usages: &[Usage]) -> Option<Floor> {
    let wall: Vec<f64> = usages.iter().map(|usage| usage.wall_s).collect();
    let maxrss_bytes = usages.iter().map(|usage| usage.maxrss_bytes).max()?;
    Some(Floor { wall_s: stats::summary(&wall).median, maxrss_bytes })
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

fn metric_in(output: &[u8], name: &str, reader: &Reader) -> Result<f64, Failure> {
    reader.figure(output).map_err(|what| {
        let shown = match last_lines(output, 5, 600) {
            lines if lines.is_empty() => "its standard output is empty".into(),
            lines => format!("its standard output ends with:\n{lines}"),
        };
        Failure { status: Status::MetricMissing, reason: format!("metric `{name}`: {what}; {shown}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::run::{Forced, fake};
    use crate::model::{MetricSource, MetricSpec, Sink, Stdin};
    use crate::process::{Environment, Exit, SpawnError};

    fn measure(spec: MeasureSpec, reference: Option<&str>) -> Measure {
        let command = Command {
            argv: vec![c"prog".to_owned()],
            environment: Environment::default(),
            cwd: "/".into(),
            stdin: Stdin::Null,
            stdout: Sink::Capture,
            stderr: Sink::Capture,
        };
        Measure::with_command(spec, command, None, reference.map(Vec::from), None).unwrap()
    }

    /// Drives a measurement with runs that never happened: `run(i)` is the i-th after the null commands
    /// (each takes 1 ms), the clock goes on by the wall time of each.
    fn drive(mut measure: Measure, mut run: impl FnMut(usize) -> Finished) -> (Outcome, MeasureResult) {
        let (mut now_s, mut last, mut i) = (0.0, None, 0);
        let learned = Learned::default();
        loop {
            let step = measure.next(last.take(), now_s, &learned);
            let mut finished = match step {
                Step::Done(outcome) => {
                    let Detail::Measure(result) = outcome.detail.clone() else { panic!("{outcome:?}") };
                    return (*outcome, *result);
                }
                Step::Run(command, _) if command.argv[0].as_c_str() == c"true" => Ok(took(0.001)),
                Step::Run(..) => {
                    i += 1;
                    run(i - 1)
                }
            };
            if let Ok(ended) = &mut finished {
                ended.t_start_s = now_s;
                now_s += ended.usage.wall_s;
            }
            last = Some(finished);
        }
    }

    fn took(wall_s: f64) -> Ended {
        let mut ended = fake(Exit::Code(0), "");
        ended.usage = Usage { wall_s, user_s: wall_s, ..ended.usage };
        ended
    }

    #[test]
    fn quiet_samples_stop_at_the_first_look_and_the_floor_is_told() {
        let (outcome, result) = drive(measure(MeasureSpec::default(), None), |_| Ok(took(1.0)));
        assert!(outcome.ok());
        assert_eq!((result.stop_reason, result.samples.len()), (StopReason::Precise, 1 + 10));
        assert_eq!(result.floor_s, Some(0.001));
        assert_eq!(result.stats.unwrap().median, 1.0);
        assert_eq!(result.samples[2].t_start_s, 2.0 + 20.0 * 0.001);
    }

    #[test]
    fn noisy_samples_go_on_to_the_limits() {
        let noisy = |i: usize| Ok(took(if i.is_multiple_of(2) { 1.0 } else { 2.0 }));
        let spec = MeasureSpec { max_runs: 23, ..MeasureSpec::default() };
        let (_, result) = drive(measure(spec, None), noisy);
        assert_eq!((result.stop_reason, result.samples.len()), (StopReason::MaxRuns, 1 + 23));
        let spec = MeasureSpec { max_time: 9.0, warmup: 0, ..MeasureSpec::default() };
        let (_, result) = drive(measure(spec, None), noisy);
        assert_eq!((result.stop_reason, result.samples.len()), (StopReason::MaxTime, 6));
        let spec = MeasureSpec { max_time: 0.1, ..MeasureSpec::default() };
        let (_, result) = drive(measure(spec, None), noisy);
        assert_eq!((result.stop_reason, result.samples.len()), (StopReason::MaxTime, 1 + 3));
    }

    #[test]
    fn the_first_run_is_verified_or_every_one() {
        let output = |i: usize| Ok(fake(Exit::Code(0), if i == 2 { "sum 2" } else { "sum 1" }));
        let mut spec = MeasureSpec { runs: Some(4), ..MeasureSpec::default() };
        let (outcome, result) = drive(measure(spec.clone(), Some("sum 1")), output);
        assert!(outcome.ok());
        let hashed: Vec<bool> = result.samples.iter().map(|sample| sample.output_hash.is_some()).collect();
        assert_eq!(hashed, [true, false, false, false, false]);
        spec.verify.every = true;
        let (outcome, result) = drive(measure(spec, Some("sum 1")), output);
        assert_eq!(outcome.status, Status::VerifyFailed);
        assert!(outcome.reason.unwrap().starts_with("sample 2: output differs in line 1"));
        assert_eq!((result.samples.len(), result.verify.status.as_str()), (2, "failed"));
    }

    #[test]
    fn a_metric_can_be_the_objective_and_must_be_a_number() {
        let metric = MetricSource::Pattern { regex: "t=(\\S+)".into(), pattern: "t=(%S+)".into() };
        let metric = MetricSpec { source: metric, ..MetricSpec::default() };
        let spec = MeasureSpec {
            metrics: BTreeMap::from([("t".into(), metric)]),
            objective: "t".into(),
            runs: Some(2),
            warmup: 0,
            ..MeasureSpec::default()
        };
        let (_, result) = drive(measure(spec.clone(), None), |i| Ok(fake(Exit::Code(0), &format!("t={i}"))));
        assert_eq!(result.metrics["t"].value, [0.0, 1.0]);
        assert_eq!(result.stats.unwrap().median, 0.5);
        let (outcome, _) = drive(measure(spec, None), |_| Ok(fake(Exit::Code(0), "t=nan")));
        assert_eq!(outcome.status, Status::MetricMissing);
        assert!(outcome.reason.unwrap().contains("gives 'nan', which is not a finite number"));
    }

    #[test]
    fn no_run_that_was_forced_or_never_began_is_a_number() {
        let spec = MeasureSpec { runs: Some(3), ..MeasureSpec::default() };
        let (outcome, result) = drive(measure(spec.clone(), None), |i| {
            Ok(Ended { forced: (i == 3).then_some(Forced::Timeout(7.0)), ..took(1.0) })
        });
        assert_eq!(outcome.status, Status::Timeout);
        assert_eq!((result.samples.len(), result.stats, result.stop_reason), (3, None, StopReason::Failed));
        let none = || StartError::Spawn(SpawnError::NoSuchFile("prog".into()));
        let (outcome, result) = drive(measure(spec, None), |_| Err(none()));
        assert_eq!((outcome.status, result.samples.len()), (Status::SpawnFailed, 0));
    }

    #[test]
    fn an_objective_nobody_knows_is_refused() {
        let spec = MeasureSpec { objective: "speed".into(), ..MeasureSpec::default() };
        let command = measure(MeasureSpec::default(), None).command;
        let refused = Measure::with_command(spec, (*command).clone(), None, None, None).err().unwrap();
        assert_eq!(refused.status, Status::Refused);
        assert!(refused.reason.starts_with("objective `speed` is neither"), "{}", refused.reason);
    }
}
