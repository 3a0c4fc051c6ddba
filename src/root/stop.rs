//! When a campaign ends, and how it is stopped: by a signal, once in an orderly way and twice at once, or because
//! its time is nearly over.

use std::time::Instant;

use super::driver::Driver;
use super::explain::called_in_full;
use super::port::Submission;
use super::tasks::Live;
use crate::core::Event;
use crate::journal::Lost;
use crate::model::human::{count, duration};
use crate::transport::wait::earlier;

/// Signals that stop the campaign in an orderly way.
pub(super) const STOPPING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

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
}

impl CutShort {
    /// None for what its worker had not begun.
    pub(super) fn of(ended: &Live) -> Option<Self> {
        ended.outcome.as_ref()?;
        let Submission { options, .. } = &ended.submission;
        let bound = if options.timeout.is_none() { " without a `timeout`" } else { "" };
        let since = ended.started?;
        let ran = duration(since.elapsed().as_secs_f64());
        let what = format!("{}, running for {ran}{bound}", called_in_full(&ended.submission));
        Some(Self { since, what })
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
        while let Some(signal) = self.signals.take() {
            match signal {
                signal if STOPPING.contains(&signal) => self.stop(signal),
                // Ambiguous (walltime near, or "a worker died" from Hydra) and harmless to ignore: lost
                // workers are noticed by their links, and the end of the walltime comes as SIGTERM.
                _ => {}
            }
        }
    }

    /// The first signal stops the campaign in an orderly way, the second at once. At a terminal where one line after the
    /// other is run, Ctrl-C ends the line, unless it takes no notice.
    fn stop(&mut self, signal: i32) {
        if self.interactive && signal == libc::SIGINT && self.draining.is_none() && self.port.interrupt() {
            return;
        }
        if self.draining.is_some() {
            self.ending = Some(Ending::Interrupted);
            return;
        }
        self.drain(format!("by {}", crate::process::signal_name(signal)));
    }

    pub(super) fn drain(&mut self, why: String) {
        self.draining = Some((Instant::now(), why));
        self.port.drain();
        self.handle(Event::Drain);
    }

    /// Stops the campaign when its time is nearly over.
    pub(super) fn watch_deadline(&mut self, now: Instant) {
        if let Some(deadline) = self.deadline.take_if(|deadline| deadline.drains <= now)
            && self.draining.is_none()
        {
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
    pub(super) fn unfinished(&mut self) -> String {
        let all = self.progress.unfinished();
        self.cut_short.sort_by_key(|task| task.since);
        let mut words: Vec<&str> = self.cut_short.iter().take(NAMED).map(|task| task.what.as_str()).collect();
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
