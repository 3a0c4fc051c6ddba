//! `measure`: null commands once for a keeper, warm-up, then samples until the stop rule ends it.
//!
//! A failing run ends the measurement with its status, and the samples before it stay. Whatever ends it, what its
//! author wants to have cleaned up is cleaned up. Pure: sees how runs ended, decides what comes next; statistics are
//! `stats`'.

use std::ops::ControlFlow::{self, Break, Continue};

use super::job::{Learned, Step};
use super::launching::Prefixed;
use super::run::Finished;
use super::site::{Failure, Site};
use super::subject::{Subject, Turn};
use super::verdict::Failed;
use crate::model::{Detail, MeasureSpec, Outcome, Phase, StopReason};
use crate::stats;

/// Samples between two looks at the stop rule.
const STOP_STEP: u32 = 5;
/// `max_time` does not end a measurement with fewer.
const LEAST_SAMPLES: u32 = 3;
/// Runs in which events are counted, if there were as many samples: one would not show how much they vary.
pub(super) const COUNTED_RUNS: usize = 3;

/// A measurement under way.
pub struct Measure {
    subject: Subject,
    /// It is over but for what is to be cleaned up.
    over: Option<End>,
    /// When the first counted sample began, s.
    sampling_since: Option<f64>,
}

/// Why nothing more is run.
type End = Result<StopReason, Failed>;

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

    pub(super) fn of(subject: Subject) -> Self {
        Self { subject, over: None, sampling_since: None }
    }

    /// The next run, or the end.
    pub fn next(&mut self, last: Option<Finished>, now_s: f64, learned: &Learned) -> Step {
        if let Some(end) = self.over.take() {
            last.into_iter().for_each(|last| self.subject.cleaned_up(last));
            return self.done(end);
        }
        match self.proceed(last, now_s, learned) {
            Continue(step) => step,
            Break(end) => match self.subject.clean_up() {
                Some(step) => {
                    self.over = Some(end);
                    step
                }
                None => self.done(end),
            },
        }
    }

    fn proceed(&mut self, last: Option<Finished>, now_s: f64, learned: &Learned) -> ControlFlow<End, Step> {
        let turn = match last {
            Some(last) => self.subject.after(last, learned),
            None => self.subject.begin(learned),
        };
        match turn {
            Turn::Run(step) => return Continue(step),
            Turn::Over(Err(failed)) => return Break(Err(failed)),
            Turn::Over(Ok(())) => {}
        }
        if let Some(reason) = self.stop_reason(now_s) {
            let runs = COUNTED_RUNS.min(self.subject.counted());
            return self.subject.count(runs).map_or(Break(Ok(reason)), Continue);
        }
        if self.subject.phase() == Phase::Sample {
            self.sampling_since.get_or_insert(now_s);
        }
        Continue(self.subject.run())
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

    fn done(&self, end: End) -> Step {
        let (result, outcome) = match end {
            Ok(reason) => (self.subject.summarised(reason), super::exec::succeeded()),
            Err(Failed { failure, ended }) => (self.subject.failed(ended.as_deref()), failure.into()),
        };
        Step::Done(Box::new(Outcome { detail: Detail::Measure(Box::new(result)), ..outcome }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::keeper::fake::{self, took};
    use crate::keeper::files::Files;
    use crate::keeper::hooks::{Hook, Hooks};
    use crate::keeper::run::{Ended, Forced, StartError};
    use crate::machine::counters::Count;
    use crate::model::{Found, Function, MeasureResult, MetricSource, MetricSpec, Status};
    use crate::process::{Exit, SpawnError};

    fn subject(spec: MeasureSpec, reference: Option<&str>) -> Result<Subject, Failure> {
        let (command, reference) = (fake::command("prog"), reference.map(Vec::from));
        Subject::with_command(spec, command, Hooks::default(), reference, Files::default())
    }

    fn measure(spec: MeasureSpec, reference: Option<&str>) -> Measure {
        Measure::of(subject(spec, reference).unwrap())
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
                Step::Run(..) | Step::Count(..) | Step::RunLast(..) | Step::Inspect(_) => {
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
        let (outcome, result) = drive(measure(spec, None), |i| {
            Ok(if i == 7 { fake::ended(Exit::Code(3), "") } else { took(1.0) })
        });
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
        let output = |i: usize| Ok(fake::ended(Exit::Code(0), if i == 2 { "sum 2" } else { "sum 1" }));
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
        let (_, result) =
            drive(measure(spec.clone(), None), |i| Ok(fake::ended(Exit::Code(0), &format!("t={i}"))));
        assert_eq!(result.metrics["t"].value, [0.0, 1.0]);
        assert_eq!(result.stats.unwrap().median, 0.5);
        let (outcome, _) = drive(measure(spec, None), |_| Ok(fake::ended(Exit::Code(0), "t=nan")));
        assert_eq!(outcome.status, Status::MetricMissing);
        assert!(outcome.reason.unwrap().contains("gives 'nan', which is not a finite number"));
    }

    #[test]
    fn a_run_is_a_sample_only_once_functions_have_looked_at_it() {
        let source = MetricSource::Function(Function { place: "c.lua:1".into(), ..Function::default() });
        let spec = MeasureSpec {
            metrics: BTreeMap::from([("x".into(), MetricSpec { source, ..MetricSpec::default() })]),
            objective: "x".into(),
            runs: Some(2),
            warmup: 0,
            ..MeasureSpec::default()
        };
        // Every second of what runs is the process they run in.
        let found = |i: usize| Ok(Ended { found: vec![Found::Figure(i as f64); i % 2], ..took(1.0) });
        let (outcome, result) = drive(measure(spec.clone(), None), found);
        assert!(outcome.ok());
        assert_eq!((result.metrics["x"].value.as_slice(), result.stats.unwrap().max), (&[1.0, 3.0][..], 3.0));
        let (outcome, result) = drive(measure(spec, None), |i| if i < 3 { found(i) } else { Ok(took(1.0)) });
        assert_eq!((outcome.status, result.samples.len()), (Status::MetricMissing, 1));
        let reason =
            "sample 2: metric `x`: its function at c.lua:1 ended its process: exit code 0 (os.exit?)";
        assert_eq!(outcome.reason.as_deref(), Some(reason));
    }

    #[test]
    fn no_run_that_was_forced_or_never_began_is_a_number() {
        let spec = MeasureSpec { runs: Some(3), ..MeasureSpec::default() };
        let (outcome, result) = drive(measure(spec.clone(), None), |i| {
            Ok(Ended { forced: (i == 3).then_some(Forced::Timeout(7.0)), ..took(1.0) })
        });
        assert_eq!(outcome.status, Status::Timeout);
        assert_eq!((result.samples.len(), result.stats, result.stop_reason), (3, None, StopReason::Failed));
        let none = || StartError::Spawn(SpawnError::Empty);
        let (outcome, result) = drive(measure(spec, None), |_| Err(none()));
        assert_eq!((outcome.status, result.samples.len()), (Status::SpawnFailed, 0));
    }

    #[test]
    fn an_objective_nobody_knows_is_refused() {
        let spec = MeasureSpec { objective: "speed".into(), ..MeasureSpec::default() };
        let refused = subject(spec, None).err().unwrap();
        assert_eq!(refused.status, Status::Refused);
        assert!(refused.reason.starts_with("objective `speed` is neither"), "{}", refused.reason);
    }

    /// Drives a measurement with all that can run around its runs. Gives also what ran, null commands left out.
    fn drive_around(
        hooks: &[Hook],
        run: impl Fn(&str, usize) -> Finished,
    ) -> (Outcome, MeasureResult, Vec<String>) {
        drive_counting(&[], hooks, run)
    }

    /// The same, with events to be counted.
    fn drive_counting(
        counters: &[&str],
        hooks: &[Hook],
        run: impl Fn(&str, usize) -> Finished,
    ) -> (Outcome, MeasureResult, Vec<String>) {
        let counters = counters.iter().map(|event| (*event).to_owned()).collect();
        let spec = MeasureSpec { runs: Some(2), counters, ..MeasureSpec::default() };
        let (mut measure, learned) = (Measure::of(fake::subject("prog", spec, hooks)), Learned::default());
        let (mut last, mut ran) = (None, Vec::<String>::new());
        loop {
            let (command, is_last) = match measure.next(last.take(), 0.0, &learned) {
                Step::Done(outcome) => {
                    let Detail::Measure(result) = outcome.detail.clone() else { panic!("{outcome:?}") };
                    return (*outcome, *result, ran);
                }
                Step::Run(command, _) => (command, false),
                Step::Count(command, ..) => (command, false),
                Step::RunLast(command, _) => (command, true),
                Step::Inspect(_) => panic!("no function looks at these runs"),
            };
            let name = command.argv_text().remove(0);
            assert_eq!(is_last, name == "cleanup");
            if name == "true" {
                assert!(hooks_before_floor(&ran), "{ran:?}");
                last = Some(Ok(took(0.001)));
                continue;
            }
            let before = ran.iter().filter(|other| **other == name).count();
            ran.push(name);
            last = Some(run(&ran[ran.len() - 1], before));
        }
    }

    fn hooks_before_floor(ran: &[String]) -> bool {
        ran.iter().all(|name| name == "setup")
    }

    const ALL: [Hook; 4] = [Hook::Setup, Hook::Prepare, Hook::Conclude, Hook::Cleanup];

    #[test]
    fn what_runs_around_the_runs_is_timed_apart() {
        let seconds = |name: &str| match name {
            "prog" => 1.0,
            "setup" => 30.0,
            "prepare" => 7.0,
            "conclude" => 8.0,
            _ => 40.0,
        };
        let (outcome, result, ran) = drive_around(&ALL, |name, _| Ok(took(seconds(name))));
        assert!(outcome.ok());
        let turn = ["prepare", "prog", "conclude"];
        assert_eq!(ran, [&["setup"][..], &turn, &turn, &turn, &["cleanup"]].concat());
        assert_eq!((result.samples.len(), result.stats.unwrap().max), (3, 1.0));
        let hooks = result.hooks.unwrap();
        assert_eq!((hooks.setup_s, hooks.cleanup_s), (Some(30.0), Some(40.0)));
        assert_eq!((hooks.prepare_s, hooks.conclude_s), (vec![7.0; 3], vec![8.0; 3]));
        assert_eq!((result.flags, hooks.cleanup_failure), (Vec::<String>::new(), None));
        let (_, result, ran) = drive_around(&[], |_, _| Ok(took(1.0)));
        assert_eq!((result.hooks, ran.len()), (None, 3));
    }

    #[test]
    fn what_runs_around_the_runs_also_runs_around_those_for_counters() {
        let fails = |who: &'static str| {
            move |name: &str, i: usize| {
                let mut ended = took(1.0);
                ended.exit = Exit::Code(i32::from(name == who && i == 4));
                Ok(ended)
            }
        };
        let (outcome, result, ran) = drive_counting(&["cycles"], &ALL, fails("nobody"));
        assert!(outcome.ok());
        assert_eq!(
            ran,
            [&["setup"][..], &["prepare", "prog", "conclude"].repeat(3 + 2), &["cleanup"]].concat()
        );
        assert_eq!((result.samples.len(), result.hooks.unwrap().prepare_s.len()), (3, 5));
        assert!(result.counters.is_some());
        for (who, status, reason) in [
            ("prepare", Status::SetupFailed, "prepare before run 2 for counters: exit code 1"),
            ("prog", Status::NonzeroExit, "run 2 for counters: exit code 1"),
            ("conclude", Status::SetupFailed, "conclude after run 2 for counters: exit code 1"),
        ] {
            let (outcome, result, ran) = drive_counting(&["cycles"], &ALL, fails(who));
            assert_eq!((outcome.status, outcome.reason.as_deref()), (status, Some(reason)));
            assert_eq!((result.samples.len(), result.stats, result.counters), (3, None, None));
            assert_eq!(ran.last().map(String::as_str), Some("cleanup"));
        }
    }

    #[test]
    fn a_failure_around_a_run_says_where_and_cleanup_runs_all_the_same() {
        let fails = |who: &'static str, at: usize| {
            move |name: &str, i: usize| {
                let mut ended = took(1.0);
                if name == who && i == at {
                    ended.exit = Exit::Code(3);
                    ended.stderr.bytes = b"no disk".to_vec();
                }
                Ok(ended)
            }
        };
        for (who, at, reason, samples) in [
            ("setup", 0, "setup", 0),
            ("prepare", 0, "prepare before warm-up run 1", 0),
            ("prepare", 2, "prepare before sample 2", 2),
            ("conclude", 1, "conclude after sample 1", 2),
        ] {
            let (outcome, result, ran) = drive_around(&ALL, fails(who, at));
            assert_eq!(outcome.status, Status::SetupFailed);
            let expected = format!("{reason}: exit code 3; the end of its standard error:\nno disk");
            assert_eq!(outcome.reason, Some(expected));
            assert_eq!(
                (result.samples.len(), result.stats, result.stderr_tail.as_str()),
                (samples, None, "no disk")
            );
            assert_eq!(ran.last().map(String::as_str), Some("cleanup"));
            assert!(result.hooks.unwrap().cleanup_s.is_some());
        }
        // The program's own failure is told before that of what follows it.
        let (outcome, _, ran) = drive_around(&ALL, |name, i| fails(name_of(i, name), i)(name, i));
        assert_eq!(outcome.status, Status::NonzeroExit);
        assert_eq!(&ran[2..], ["prog", "conclude", "cleanup"]);
    }

    /// The first of the program and of what follows it.
    fn name_of(i: usize, name: &str) -> &'static str {
        match (i, name) {
            (0, "prog") => "prog",
            (0, "conclude") => "conclude",
            _ => "nobody",
        }
    }

    #[test]
    fn a_cleanup_that_fails_is_a_flag_and_no_forced_end_is_without_one() {
        let (outcome, result, _) = drive_around(&ALL, |name, _| {
            let mut ended = took(1.0);
            ended.exit = Exit::Code(i32::from(name == "cleanup"));
            Ok(ended)
        });
        assert!(outcome.ok() && result.stats.is_some());
        assert_eq!(result.flags, ["cleanup_failed"]);
        assert_eq!(result.hooks.unwrap().cleanup_failure.as_deref(), Some("cleanup: exit code 1"));
        for who in ["setup", "prepare", "prog", "conclude"] {
            let forced = |name: &str, _: usize| {
                Ok(Ended { forced: (name == who).then_some(Forced::Timeout(7.0)), ..took(1.0) })
            };
            let (outcome, _, ran) = drive_around(&ALL, forced);
            assert_eq!(outcome.status, Status::Timeout, "{:?}", outcome.reason);
            assert_eq!(&ran[ran.len() - 2..], [who, "cleanup"]);
            let cancelled = |name: &str, _: usize| match name == who {
                true => Err(StartError::Forced(Forced::Cancelled)),
                false => Ok(took(1.0)),
            };
            let (outcome, _, ran) = drive_around(&ALL, cancelled);
            assert_eq!(outcome.status, Status::Cancelled);
            assert_eq!(&ran[ran.len() - 2..], [who, "cleanup"]);
        }
    }
}
