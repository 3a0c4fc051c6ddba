//! `measure`: null commands once for a keeper, warm-up, then samples until the stop rule ends it.
//!
//! A failing run ends the measurement with its status, and the samples before it stay. Pure: sees how runs ended,
//! decides what comes next; statistics are `stats`'.

use std::collections::BTreeMap;

use super::floor::{Floor, FloorRuns, Next};
use super::job::{Learned, Step};
use super::launching::Prefixed;
use super::run::{Ended, Finished};
use super::site::{Failure, Site};
use super::subject::Subject;
use super::verdict::not_started;
use crate::machine::counters::Count;
use crate::model::{CounterValues, Counters, Detail, MeasureResult, MeasureSpec, Outcome, Phase, StopReason};
use crate::stats;

/// Samples between two looks at the stop rule.
const STOP_STEP: u32 = 5;
/// `max_time` does not end a measurement with fewer.
const LEAST_SAMPLES: u32 = 3;
/// Runs in which events are counted, if there were as many samples: one would not show how much they vary.
const COUNTED_RUNS: usize = 3;

/// A measurement under way.
pub struct Measure {
    subject: Subject,
    stage: Stage,
    /// When the first counted sample began, s.
    sampling_since: Option<f64>,
    /// The runs after the last sample, in which events are counted.
    counting: Option<Counting>,
}

/// Counting would slow samples down, or at least nobody could say that it does not.
struct Counting {
    /// Why sampling ended.
    stop_reason: StopReason,
    runs: Vec<Vec<(String, Count)>>,
}

enum Stage {
    Floor(FloorRuns),
    Runs(Option<Floor>),
}

impl Measure {
    /// Checks what was asked for and prepares folder, inputs and environment.
    pub fn new(
        spec: MeasureSpec,
        mark: &str,
        site: &Site,
        prefixed: Option<Prefixed>,
    ) -> Result<Self, Failure> {
        Ok(Self::of(Subject::new(spec, mark, site, prefixed)?))
    }

    fn of(subject: Subject) -> Self {
        let stage = Stage::Floor(FloorRuns::of(&subject));
        Self { stage, subject, sampling_since: None, counting: None }
    }

    /// The next run, or the end.
    pub fn next(&mut self, mut last: Option<Finished>, now_s: f64, learned: &Learned) -> Step {
        if let Stage::Floor(runs) = &mut self.stage {
            match runs.next(last.take(), learned) {
                Next::Run(step) => return step,
                Next::Forced(failure, ended) => return self.fail(failure, ended.as_deref()),
                Next::Known(floor) => self.stage = Stage::Runs(floor),
            }
        }
        if let Some(counting) = self.counting.take() {
            return self.count(counting, last);
        }
        match last {
            Some(Ok(ended)) => {
                if let Err(failure) = self.subject.take(&ended) {
                    return self.fail(failure, Some(&ended));
                }
            }
            Some(Err(error)) => return self.fail(not_started(&error), None),
            None => {}
        }
        match self.stop_reason(now_s) {
            Some(reason) if !self.subject.spec().counters.is_empty() => {
                self.count(Counting { stop_reason: reason, runs: Vec::new() }, None)
            }
            Some(reason) => done(self.subject.summarised(reason, self.floor())),
            None => {
                if self.subject.phase() == Phase::Sample {
                    self.sampling_since.get_or_insert(now_s);
                }
                self.subject.run()
            }
        }
    }

    /// The next run in which events are counted, or the end.
    fn count(&mut self, mut counting: Counting, last: Option<Finished>) -> Step {
        match last {
            Some(Ok(ended)) => {
                if let Err(failure) = self.subject.judge(&ended) {
                    return self.fail_counting(failure, Some(&ended), counting.runs.len());
                }
                counting.runs.push(ended.counts);
            }
            Some(Err(error)) => return self.fail_counting(not_started(&error), None, counting.runs.len()),
            None => {}
        }
        if counting.runs.len() < COUNTED_RUNS.min(self.subject.counted()) {
            let step = self.subject.count();
            self.counting = Some(counting);
            return step;
        }
        let mut result = self.subject.summarised(counting.stop_reason, self.floor());
        result.counters = Some(columns(counting.runs));
        done(result)
    }

    fn fail_counting(&self, failure: Failure, ended: Option<&Ended>, run: usize) -> Step {
        let result = self.subject.failed(ended, self.floor());
        let detail = Detail::Measure(Box::new(result));
        let reason = format!("run {} for counters: {}", run + 1, failure.reason);
        Step::Done(Box::new(Outcome { detail, ..Failure { reason, ..failure }.into() }))
    }

    fn floor(&self) -> Option<Floor> {
        match self.stage {
            Stage::Floor(_) => None,
            Stage::Runs(floor) => floor,
        }
    }

    fn stop_reason(&self, now_s: f64) -> Option<StopReason> {
        let (n, spec) = (self.subject.counted() as u32, self.subject.spec());
        if let Some(runs) = spec.runs {
            return (n >= runs.max(1)).then_some(StopReason::Fixed);
        }
        let due = n >= spec.min_runs && (n - spec.min_runs).is_multiple_of(STOP_STEP);
        let elapsed = now_s - self.sampling_since.unwrap_or(now_s);
        if due && n > 0 && stats::precise_enough(&self.subject.objective(), spec.precision) {
            Some(StopReason::Precise)
        } else if n >= spec.max_runs.max(1) {
            Some(StopReason::MaxRuns)
        } else if n >= LEAST_SAMPLES && elapsed >= spec.max_time {
            Some(StopReason::MaxTime)
        } else {
            None
        }
    }

    fn fail(&self, failure: Failure, ended: Option<&Ended>) -> Step {
        let result = self.subject.failed(ended, self.floor());
        let detail = Detail::Measure(Box::new(result));
        Step::Done(Box::new(Outcome { detail, ..self.subject.in_run(failure).into() }))
    }
}

/// From a list of runs to a column for each event.
fn columns(runs: Vec<Vec<(String, Count)>>) -> Counters {
    let mut events: BTreeMap<String, CounterValues> = BTreeMap::new();
    for (name, count) in runs.into_iter().flatten() {
        let column = events.entry(name).or_default();
        column.value.push(count.value);
        column.pcnt_running.push(count.pcnt_running);
        column.note = column.note.take().or(count.note);
    }
    Counters { pass: "separate".into(), events }
}

fn done(result: MeasureResult) -> Step {
    let detail = Detail::Measure(Box::new(result));
    Step::Done(Box::new(Outcome { detail, ..super::exec::succeeded() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::keeper::run::{Forced, StartError, fake};
    use crate::keeper::site::Command;
    use crate::model::{MetricSource, MetricSpec, Sink, Status, Stdin, Usage};
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
        let subject = Subject::with_command(spec, command, None, reference.map(Vec::from), None);
        Measure::of(subject.unwrap())
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
                Step::Run(..) | Step::Count(..) => {
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
    fn events_are_counted_in_runs_that_are_no_samples() {
        let counters = vec!["cycles".to_owned()];
        let spec = MeasureSpec { runs: Some(5), counters, ..MeasureSpec::default() };
        let count = |i: usize| Count { value: (i != 7).then_some(i as f64), ..Count::default() };
        let run = |i: usize| {
            let counts = if i > 5 { vec![("cycles".to_owned(), count(i))] } else { Vec::new() };
            Ok(Ended { counts, ..took(if i > 5 { 9.0 } else { 1.0 }) })
        };
        let (outcome, result) = drive(measure(spec.clone(), None), run);
        assert!(outcome.ok());
        assert_eq!((result.samples.len(), result.stats.unwrap().max), (1 + 5, 1.0));
        assert_eq!(result.stop_reason, StopReason::Fixed);
        let counters = result.counters.unwrap();
        assert_eq!(counters.pass, "separate");
        assert_eq!(counters.events["cycles"].value, [Some(6.0), None, Some(8.0)]);
        let (outcome, result) =
            drive(measure(spec, None), |i| Ok(if i == 7 { fake(Exit::Code(3), "") } else { took(1.0) }));
        assert_eq!((outcome.status, result.stats), (Status::NonzeroExit, None));
        assert!(outcome.reason.unwrap().starts_with("run 2 for counters: "));
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
        let command = measure(MeasureSpec::default(), None).subject.null_command();
        let refused = Subject::with_command(spec, command, None, None, None).err().unwrap();
        assert_eq!(refused.status, Status::Refused);
        assert!(refused.reason.starts_with("objective `speed` is neither"), "{}", refused.reason);
    }
}
