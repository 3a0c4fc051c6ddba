//! A program that is timed: what it costs to start one, what of a run becomes a sample, and what a run must have done
//! for that.
//!
//! One process is one sample. Knows a specification and how runs ended; when to run, how often and what for is the
//! affair of `measure` and `compare`.

mod result;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::capture::end_of;
use super::files::Files;
use super::floor::{Floor, FloorRuns, Next};
use super::hooks::{Hook, Hooks};
use super::inspection::{self, Asked};
use super::job::{Learned, Step};
use super::launching::Prefixed;
use super::metric::Reader;
use super::run::{Ended, Finished, Keep};
use super::scratch::Scratch;
use super::site::{Command, Failure, Site};
use super::verdict::{Failed, judge_command};
use super::verify::Verify;
use crate::machine::counters::Count;
use crate::model::{Cwd, Launched, MeasureSpec, Phase, Sample, Seen, Status, Usage, VerifyResult};

/// Kept of standard output where metrics or `verify` read it (B).
const OUTPUT_LIMIT: usize = 16 << 20;
/// Kept of standard error, for the reason of a failure (B).
const STDERR_LIMIT: usize = 4096;
/// The same where functions look at it (B).
const SHOWN_STDERR_LIMIT: usize = 1 << 20;

/// How far a program is after a run.
pub enum Turn {
    /// This belongs to it.
    Run(Step),
    /// What was asked of it is done.
    Over(Result<(), Failed>),
}

/// What of it runs.
enum At {
    Nothing,
    Setup,
    /// Null commands.
    Floor(FloorRuns),
    Prepare,
    Program,
    /// Functions look at a run, before it becomes a sample.
    Functions(Box<Shown>),
    /// After the run of this name, which ended so.
    Conclude(String, Result<(), Failed>),
}

/// A run that functions look at.
struct Shown {
    asked: Asked,
    ended: Ended,
    /// What it becomes.
    sample: Sample,
}

/// A program and its runs so far.
pub struct Subject {
    spec: MeasureSpec,
    command: Rc<Command>,
    metrics: BTreeMap<String, Reader>,
    verify: Verify,
    samples: Vec<Sample>,
    /// What was counted in each of the runs after them.
    counts: Vec<Vec<(String, Count)>>,
    /// The next run is one of these.
    counting: bool,
    verified: VerifyResult,
    floor: Option<Floor>,
    /// The largest we were when we started one of its runs, B.
    footprint_bytes: u64,
    hooks: Hooks,
    at: At,
    /// What it has begun it has to clean up.
    begun: bool,
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
        if spec.command.cwd != Cwd::Scratch && !spec.verify.files.is_empty() {
            return Err(Failure::refused(
                "files are verified in the scratch folder: they need cwd=\"scratch\"",
            ));
        }
        let hooks = Hooks::new(&spec.hooks, &command, site)?;
        let files = Files::new(&spec.verify.files, site)?;
        let launched = prefixed.map(|prefixed| command.launch(prefixed)).transpose()?;
        let reference = match &spec.verify.reference {
            Some(arg) => Some(site.content_of(arg)?),
            None => None,
        };
        let subject = Self::with_command(spec, command, hooks, reference, files)?;
        Ok(Self { launched, _scratch: scratch, ..subject })
    }

    pub(super) fn with_command(
        spec: MeasureSpec,
        command: Command,
        hooks: Hooks,
        reference: Option<Vec<u8>>,
        files: Files,
    ) -> Result<Self, Failure> {
        let readers = spec.metrics.iter().filter_map(|(name, metric)| {
            let reader = Reader::new(name, metric).transpose()?;
            Some(reader.map(|reader| (name.clone(), reader)))
        });
        let metrics: BTreeMap<String, Reader> = readers.collect::<Result<_, Failure>>()?;
        let is_metric = spec.metrics.contains_key(&spec.objective);
        if !Usage::OBJECTIVES.contains(&spec.objective.as_str()) && !is_metric {
            let names = Usage::OBJECTIVES.join(", ");
            let reason = format!("objective `{}` is neither one of {names} nor a metric", spec.objective);
            return Err(Failure::refused(reason));
        }
        let verify = Verify::new(&spec.verify, reference, metrics.values().cloned().collect(), files)?;
        Ok(Self {
            verified: VerifyResult { status: "none".into(), method: verify.method(), max_abs_err: None },
            spec,
            command: Rc::new(command),
            metrics,
            verify,
            samples: Vec::new(),
            counts: Vec::new(),
            counting: false,
            floor: None,
            footprint_bytes: 0,
            hooks,
            at: At::Nothing,
            begun: false,
            launched: None,
            _scratch: None,
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

    /// What is to run before everything else: what its author wants, then null commands unless their cost is known.
    pub fn begin(&mut self, learned: &Learned) -> Turn {
        self.begun = true;
        match self.hooks.step(Hook::Setup) {
            Some(step) => {
                self.at = At::Setup;
                Turn::Run(step)
            }
            None => self.find_floor(FloorRuns::of(self), None, learned),
        }
    }

    fn find_floor(&mut self, mut runs: FloorRuns, last: Option<Finished>, learned: &Learned) -> Turn {
        match runs.next(last, learned) {
            Next::Run(step) => {
                self.at = At::Floor(runs);
                Turn::Run(step)
            }
            Next::Forced(failed) => Turn::Over(Err(failed.of(&self.next_run()))),
            Next::Known(floor) => {
                self.floor = floor;
                Turn::Over(Ok(()))
            }
        }
    }

    /// Its next run, with what is to run before it.
    pub fn run(&mut self) -> Step {
        if self.verifies() && !self.samples.is_empty() {
            self.verify.files().remove(&self.command.cwd);
        }
        self.prepare()
    }

    /// Its next run in which events are counted, until there were so many. Samples are slowed down by counting, or at
    /// least nobody could say that they are not.
    pub fn count(&mut self, runs: usize) -> Option<Step> {
        if self.spec.counters.is_empty() || self.counts.len() >= runs {
            return None;
        }
        self.counting = true;
        Some(self.prepare())
    }

    fn prepare(&mut self) -> Step {
        match self.hooks.step(Hook::Prepare) {
            Some(step) => {
                self.at = At::Prepare;
                step
            }
            None => self.program(),
        }
    }

    /// What comes after a run of its own that ended so.
    pub fn after(&mut self, last: Finished, learned: &Learned) -> Turn {
        match std::mem::replace(&mut self.at, At::Nothing) {
            At::Nothing => Turn::Over(Ok(())),
            At::Setup => match self.hooks.take(Hook::Setup, "setup", last) {
                Ok(()) => self.find_floor(FloorRuns::of(self), None, learned),
                failed => Turn::Over(failed),
            },
            At::Floor(runs) => self.find_floor(runs, Some(last), learned),
            At::Prepare => {
                let name = format!("prepare before {}", self.next_run());
                match self.hooks.take(Hook::Prepare, &name, last) {
                    Ok(()) => Turn::Run(self.program()),
                    failed => Turn::Over(failed),
                }
            }
            At::Program => {
                let name = self.next_run();
                match self.take(last) {
                    Ok(Some(step)) => Turn::Run(step),
                    Ok(None) => self.conclude(name, Ok(())),
                    Err(failed) => self.conclude(name, Err(failed)),
                }
            }
            At::Functions(shown) => {
                let name = self.next_run();
                let taken = self.looked_at(*shown, last);
                self.conclude(name, taken)
            }
            At::Conclude(run, taken) => {
                let concluded = self.hooks.take(Hook::Conclude, &format!("conclude after {run}"), last);
                Turn::Over(taken.and(concluded))
            }
        }
    }

    /// What comes after the run of this name, of which so much came.
    fn conclude(&mut self, name: String, taken: Result<(), Failed>) -> Turn {
        let taken = taken.map_err(|failed| failed.of(&name));
        let is_last = taken.as_ref().is_err_and(Failed::is_last);
        match self.hooks.step(Hook::Conclude).filter(|_| !is_last) {
            Some(step) => {
                self.at = At::Conclude(name, taken);
                Turn::Run(step)
            }
            None => Turn::Over(taken),
        }
    }

    /// What is to run at the end, whatever that was. Once, and only if anything of it was to run before.
    pub fn clean_up(&mut self) -> Option<Step> {
        if std::mem::take(&mut self.begun) { self.hooks.step(Hook::Cleanup) } else { None }
    }

    /// That ended so. It cannot fail what was measured.
    pub fn cleaned_up(&mut self, last: Finished) {
        let _ = self.hooks.take(Hook::Cleanup, "cleanup", last);
    }

    fn program(&mut self) -> Step {
        self.at = At::Program;
        if self.counting {
            // What it prints says nothing new.
            let keep = Keep { stdout: 0, stderr: STDERR_LIMIT };
            return Step::Count(self.command.clone(), keep, self.spec.counters.as_slice().into());
        }
        let shown = inspection::is_due(&self.spec, self.verifies());
        let read = shown || !self.metrics.is_empty() || self.verify.reads_output() && self.verifies();
        let keep = Keep {
            stdout: if read { OUTPUT_LIMIT } else { 0 },
            stderr: if shown { SHOWN_STDERR_LIMIT } else { STDERR_LIMIT },
        };
        Step::Run(self.command.clone(), keep)
    }

    /// Is the run that comes next, or has just ended, one that is verified?
    fn verifies(&self) -> bool {
        self.samples.is_empty() || self.spec.verify.every
    }

    /// Did it end as it should?
    fn judge(&self, ended: &Ended) -> Result<(), Failure> {
        let ok_codes = match self.spec.verify.exit_code {
            Some(code) => &[code][..],
            None => &self.spec.ok_codes,
        };
        judge_command(&self.command, self.is_launched(), ended, ok_codes)
    }

    /// Of the run that comes next, or has just ended.
    pub fn phase(&self) -> Phase {
        if self.samples.len() < self.spec.warmup as usize { Phase::Warmup } else { Phase::Sample }
    }

    /// Takes what came of a run. It may be that functions have to look at it first.
    fn take(&mut self, last: Finished) -> Result<Option<Step>, Failed> {
        let mut ended = last.map_err(|error| Failed::to_start(&error))?;
        self.footprint_bytes = self.footprint_bytes.max(ended.footprint_bytes);
        let taken = match self.counting {
            true => self.take_counts(&mut ended).map(|()| None),
            false => self.sample_of(&ended).map(Some),
        };
        match taken {
            Err(failure) => Err(Failed { failure, ended: Some(Box::new(ended)) }),
            Ok(None) => Ok(None),
            Ok(Some(sample)) if inspection::is_due(&self.spec, self.verifies()) => {
                Ok(Some(self.show(ended, sample)))
            }
            Ok(Some(sample)) => {
                self.samples.push(sample);
                Ok(None)
            }
        }
    }

    /// Has functions look at a run.
    fn show(&mut self, mut ended: Ended, sample: Sample) -> Step {
        let seen = Seen {
            phase: sample.phase,
            dir: self.command.cwd.to_string_lossy().into_owned(),
            exit_code: ended.exit.code(),
            usage: sample.usage,
            launched: self.launched.is_some(),
            stdout_bytes: ended.stdout.total,
            stderr_bytes: ended.stderr.total,
            metrics: sample.metrics.clone(),
        };
        // Of standard error its end may yet be the reason of a failure.
        let wrote = [std::mem::take(&mut ended.stdout.bytes), ended.stderr.bytes.clone()];
        let (asked, step) = inspection::ask(&self.spec, self.verifies(), seen, wrote);
        self.at = At::Functions(Box::new(Shown { asked, ended, sample }));
        step
    }

    /// They have looked at it: it becomes a sample, with the figures they found.
    fn looked_at(&mut self, shown: Shown, last: Finished) -> Result<(), Failed> {
        let Shown { asked, ended, mut sample } = shown;
        match asked.figures(last) {
            Ok(figures) => {
                sample.metrics.extend(figures);
                self.samples.push(sample);
                Ok(())
            }
            Err(failure) => {
                if failure.status != Status::MetricMissing && self.verify.has_function() && self.verifies() {
                    self.verified.status = "failed".into();
                }
                Err(Failed { failure, ended: Some(Box::new(ended)) })
            }
        }
    }

    fn take_counts(&mut self, ended: &mut Ended) -> Result<(), Failure> {
        self.judge(ended)?;
        self.counts.push(std::mem::take(&mut ended.counts));
        Ok(())
    }

    /// A run becomes a sample only if all that is demanded of it holds.
    fn sample_of(&mut self, ended: &Ended) -> Result<Sample, Failure> {
        self.judge(ended)?;
        let mut output_hash = None;
        if self.verifies() {
            let found = self.verify.check(&ended.stdout, &self.command.cwd);
            self.verified = found.result;
            output_hash = found.output_hash;
            if let Some(reason) = found.failure {
                return Err(Failure { status: Status::VerifyFailed, reason });
            }
        }
        let metrics =
            self.metrics.iter().map(|(name, reader)| Ok((name.clone(), metric_in(ended, name, reader)?)));
        let metrics = metrics.collect::<Result<_, Failure>>()?;
        Ok(Sample {
            phase: self.phase(),
            t_start_s: ended.t_start_s,
            usage: match self.launched {
                Some(_) => Usage { wall_s: ended.usage.wall_s, ..Usage::default() },
                None => ended.usage,
            },
            metrics,
            output_hash,
            energy: ended.energy,
        })
    }

    /// How many samples count.
    pub fn counted(&self) -> usize {
        self.counting_samples().len()
    }

    /// The objective's figures, of the samples that count.
    pub fn objective(&self) -> Vec<f64> {
        self.counting_samples().iter().filter_map(|sample| sample.figure(&self.spec.objective)).collect()
    }

    /// Those after the warm-up.
    fn counting_samples(&self) -> &[Sample] {
        self.samples.get(self.spec.warmup as usize..).unwrap_or_default()
    }

    /// What people call the run that comes next, or has just ended.
    pub fn next_run(&self) -> String {
        let warmups = self.spec.warmup as usize;
        match self.samples.len() {
            _ if self.counting => format!("run {} for counters", self.counts.len() + 1),
            n if n < warmups => format!("warm-up run {}", n + 1),
            n => format!("sample {}", n + 1 - warmups),
        }
    }
}

fn metric_in(ended: &Ended, name: &str, reader: &Reader) -> Result<f64, Failure> {
    let output = &ended.stdout.bytes;
    if let Some(cut) = ended.stdout.cut.as_ref().filter(|cut| !reader.is_beside(output, cut)) {
        let (total, kept) = (ended.stdout.total, cut.start);
        let reason = format!(
            "metric `{name}`: of its output of {total} B only the first and last {kept} B are kept, and what is missing may have the \
             figure: print less, or that last"
        );
        return Err(Failure { status: Status::MetricMissing, reason });
    }
    reader.figure(output).map_err(|what| {
        let shown = match end_of(output) {
            _ if reader.figure(&ended.stderr.bytes).is_ok() => {
                "it is in standard error: redirect that, shell = \"… 2>&1\"".into()
            }
            lines if lines.is_empty() => "its standard output is empty".into(),
            lines => format!("its standard output ends with:\n{lines}"),
        };
        Failure { status: Status::MetricMissing, reason: format!("metric `{name}`: {what}; {shown}") }
    })
}
