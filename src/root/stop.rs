//! When a campaign ends, and how it is stopped: by a signal, once in an orderly way and twice at once, or because
//! its time is nearly over.

use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::driver::Driver;
use super::explain::called_in_full;
use super::port::Submission;
use super::spawn::Mpi;
use super::tasks::Live;
use crate::core::Event;
use crate::journal::Lost;
use crate::model::Hash;
use crate::model::human::{count, duration};
use crate::transport::wait::earlier;

/// Signals that stop the campaign in an orderly way.
pub(super) const STOPPING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Launchers deliver one signal several times (MPICH's: once for each spawn): the same one within so long is no second.
pub(super) const ONE_SIGNAL: Duration = Duration::from_millis(200);

/// So many of the tasks that were running are named.
const NAMED: usize = 3;

/// Why the driver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The script is over and nothing is left to do.
    Finished,
    /// Stopped in an orderly way; the text says why: `by SIGTERM`.
    Drained(String),
    /// A second signal: at once.
    Interrupted,
    /// The journal cannot be written any more.
    JournalFailed(Lost),
}

/// A task that was running when the campaign was stopped.
pub(super) struct CutShort {
    since: Instant,
    what: String,
    /// How long it may take, if it has a limit.
    timeout: Option<f64>,
    /// What the journal would have found it by, and whether it was in vain before, too.
    recipe: Option<(Hash, bool)>,
}

/// What a stop leaves undone.
#[derive(Default)]
pub(super) struct Postponed {
    /// What was running.
    cut_short: Vec<CutShort>,
    /// Something that would have been recorded could have run, if there had been room, and had no turn.
    has_others: bool,
    /// The time that was over, if that is why.
    time: Option<Deadline>,
}

/// What runs and for how long, for people; none if it was not sent anywhere yet.
pub(super) fn still_running(live: &Live) -> Option<String> {
    let bound = if live.submission.options.timeout.is_none() { " without a `timeout`" } else { "" };
    let ran = duration(live.rare.started?.ago_s());
    Some(format!("{}, running for {ran}{bound}", called_in_full(&live.submission)))
}

impl CutShort {
    /// None for what was not sent anywhere.
    fn of(live: &Live) -> Option<Self> {
        let Submission { options, extra, .. } = &live.submission;
        let (since, what) = (live.rare.started?, still_running(live)?);
        let recipe = extra.recipe.as_ref().map(|recipe| (recipe.key, recipe.had_its_turn));
        Some(Self { since: since.into(), what, timeout: options.timeout, recipe })
    }
}

impl Postponed {
    /// Not an end but a postponement: the next run does it.
    pub(super) fn add(&mut self, ended: &Live) {
        // Of what its worker had not begun there is no outcome.
        match CutShort::of(ended).filter(|_| ended.rare.outcome.is_some()) {
            Some(cut) => self.cut_short.push(cut),
            None => {
                let waits = !ended.submission.extra.deps.is_empty() || ended.rare.unmet.is_some();
                let recipe =
                    ended.submission.extra.recipe.as_ref().filter(|recipe| !recipe.had_its_turn && !waits);
                self.has_others |= recipe.is_some();
            }
        }
    }

    pub(super) fn for_want_of(&mut self, time: Deadline) {
        self.time = Some(time);
    }

    pub(super) fn is_out_of_time(&self) -> bool {
        self.time.is_some()
    }

    /// Of a run that recorded no end that answers: what had all of its time and needs more, by what the journal would have
    /// found it by. The next run begins with others.
    pub(super) fn in_vain(&self) -> Vec<Hash> {
        let keys = self.cut_short.iter().filter_map(|cut| cut.recipe.map(|(key, _)| key));
        if self.is_out_of_time() { keys.collect() } else { Vec::new() }
    }

    /// Are there others, and is that new? If nothing but the same was in vain, they had no room because of something else.
    pub(super) fn gives_way(&self) -> bool {
        let is_new = |cut: &CutShort| cut.recipe.is_some_and(|(_, was_in_vain)| !was_in_vain);
        self.is_out_of_time() && self.has_others && self.cut_short.iter().any(is_new)
    }

    /// What to do about it, if such a run was in vain.
    fn advice(&self) -> Option<String> {
        let time = self.time.as_ref().filter(|_| !self.in_vain().is_empty())?;
        if self.gives_way() {
            return Some(
                "Nothing that ran has ended, so the next run begins with what did not run in this one."
                    .into(),
            );
        }
        let longest = self.cut_short.iter().filter(|cut| cut.recipe.is_some()).min_by_key(|cut| cut.since)?;
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        let ran = seconds(longest.since, time.drains);
        let around = seconds(time.began, longest.since) + seconds(time.drains, time.ends);
        let least = match longest.timeout {
            Some(limit) => format!("at least {}", duration(around + limit)),
            None => format!("more than {}", duration(around + ran)),
        };
        Some(format!(
            "Nothing that ran has ended, and the next run would be the same: what is left needs longer than the {} that it \
             had; give it {least} (`--deadline`, or `--time` of the job).",
            duration(ran)
        ))
    }
}

/// What runs after the end of the script.
pub(super) struct Leaving {
    what: String,
    since: Instant,
    told: bool,
}

impl Leaving {
    pub(super) fn new(what: String) -> Self {
        Self { what, since: Instant::now(), told: false }
    }
}

impl Driver {
    pub(super) fn read_signals(&mut self) {
        let heard = |driver: &mut Self| driver.pools.launcher.guard.heard().or_else(|| driver.signals.take());
        while let Some(signal) = heard(self) {
            match signal {
                signal if STOPPING.contains(&signal) => self.stop(signal),
                // Ambiguous (walltime near, or "a worker died" from Hydra) and harmless to ignore: lost
                // workers are noticed by their links, and the end of the walltime comes as SIGTERM.
                _ => {}
            }
        }
    }

    /// The first signal stops the campaign in an orderly way, the second at once. At a terminal where one line after the
    /// other is run, Ctrl-C ends the line, unless it takes no notice. TERM is how a job ends whose end was not known.
    fn stop(&mut self, signal: i32) {
        if self.interactive && signal == libc::SIGINT && self.draining.is_none() && self.port.interrupt() {
            return;
        }
        if self.is_copy(signal) {
            return;
        }
        if self.draining.is_some() {
            self.ending = Some(Ending::Interrupted);
            return;
        }
        let why = format!("by {}", crate::process::signal_name(signal));
        let is_end_of_job = signal == libc::SIGTERM && self.pools.launcher.allocation.job.is_some();
        if is_end_of_job && self.deadline.is_none() {
            let now = Instant::now();
            let (began, why) = (self.counter.began, why.clone());
            self.postponed.for_want_of(Deadline { began, ends: now, drains: now, why });
        }
        if matches!(self.pools.launcher.mpi, Mpi::Ready(_)) {
            // A launcher that was signalled too may kill all of it before the last words.
            self.progress.problem(&format!("stopping {why}: what runs is ended"));
        }
        self.drain(why);
        // Only now: what may have taken long has the copies wait.
        self.heeded = Some((Instant::now(), signal));
    }

    /// Is it the signal that was heeded last, delivered once more?
    pub(super) fn is_copy(&self, signal: i32) -> bool {
        self.heeded.is_some_and(|(at, heeded)| heeded == signal && at.elapsed() < ONE_SIGNAL)
    }

    pub(super) fn drain(&mut self, why: String) {
        self.draining = Some((Instant::now(), why));
        self.unsent = self.port.to_come() as usize; // the script is about to take that back
        self.port.drain();
        self.handle(Event::Drain);
    }

    /// Stops the campaign when its time is nearly over.
    pub(super) fn watch_deadline(&mut self, now: Instant) {
        if let Some(deadline) = self.deadline.take_if(|deadline| deadline.drains <= now)
            && self.draining.is_none()
        {
            self.postponed.for_want_of(deadline.clone());
            self.drain(deadline.why);
        }
    }

    /// When [`watch_deadline`](Self::watch_deadline) has something to do.
    pub(super) fn next_drain(&self) -> Option<Instant> {
        self.deadline.as_ref().map(|deadline| deadline.drains)
    }

    /// Says what keeps the script from being over, if that takes long.
    pub(super) fn watch_end(&mut self, now: Instant) {
        let patience = self.limits().leave;
        let Some(leaving) = &mut self.leaving else { return };
        if !leaving.told && now >= leaving.since + patience {
            leaving.told = true;
            let (what, time) = (&leaving.what, duration(patience.as_secs_f64()));
            self.progress.problem(&format!(
                "the script has ended, but {what} has been running for {time}; Ctrl-C ends it"
            ));
        }
    }

    /// When [`watch_end`](Self::watch_end) or [`ending`](Self::ending) has something to do.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let limits = self.limits();
        let Some((since, _)) = &self.draining else {
            return self
                .leaving
                .as_ref()
                .filter(|leaving| !leaving.told)
                .map(|leaving| leaving.since + limits.leave);
        };
        earlier(self.cut_off(*since), Some(*since + limits.drain))
    }

    /// When the end of the script is waited for no longer, once nothing else is.
    fn cut_off(&self, draining_since: Instant) -> Option<Instant> {
        let leaving = self.leaving.as_ref().filter(|_| self.is_idle())?;
        Some(draining_since.max(leaving.since) + self.limits().unwind)
    }

    /// What a stop left undone: those that ran longest by name, the others counted.
    pub(super) fn unfinished(&self) -> String {
        let all = self.left_undone();
        // Told to end, and not yet known to have: whoever does not heed that is killed after we are gone.
        let stubborn: Vec<CutShort> = self.tasks.begun().filter_map(CutShort::of).collect();
        let mut cut_short: Vec<&CutShort> = self.postponed.cut_short.iter().chain(&stubborn).collect();
        cut_short.sort_by_key(|task| task.since);
        let mut words: Vec<&str> = cut_short.iter().take(NAMED).map(|task| task.what.as_str()).collect();
        let more = format!("{} more", all.saturating_sub(words.len()));
        let held = match self.held {
            0 => String::new(),
            held => format!(" ({held} of them not started, because they would not have ended in time)"),
        };
        if words.is_empty() {
            return format!("{} unfinished{held}", count(all, "task"));
        }
        if all > words.len() {
            words.push(&more);
        }
        format!("{} unfinished{held}: {}", count(all, "task"), words.join("; "))
    }

    /// How many tasks that was.
    pub(super) fn left_undone(&self) -> usize {
        self.progress.unfinished() + self.unsent
    }

    /// How to go on after a stop.
    pub(super) fn next_step(&self) -> String {
        let is_vain = !self.has_recorded_for_good() && (self.states.saved == 0 || self.postponed.gives_way());
        let advice = self.postponed.advice().filter(|_| is_vain);
        let again = "Run the same command again to go on.";
        match advice {
            Some(advice) if self.postponed.gives_way() => format!("{again} {advice}"),
            Some(advice) => advice,
            None => again.into(),
        }
    }

    fn is_idle(&self) -> bool {
        self.tasks.live_count() == 0 && self.recording.is_empty()
    }

    pub(super) fn ending(&mut self) -> Option<Ending> {
        if let Some(ending) = self.ending.take() {
            return Some(ending);
        }
        let Some((since, why)) = &self.draining else {
            return (self.script_over && self.is_idle()).then_some(Ending::Finished);
        };
        let over = self.script_over && self.is_idle()
            || since.elapsed() > self.limits().drain
            || self.cut_off(*since).is_some_and(|at| at <= Instant::now());
        over.then(|| Ending::Drained(why.clone()))
    }
}
