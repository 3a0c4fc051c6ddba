//! When a campaign ends, and how it is stopped: by a signal, once in an orderly way and twice at once, or because
//! its time is nearly over.

use std::time::Instant;

use super::driver::Driver;
use crate::core::Event;

/// Signals that stop the campaign in an orderly way.
pub(super) const STOPPING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

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
    JournalFailed(String),
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

    /// The first signal stops the campaign in an orderly way, the second at once.
    fn stop(&mut self, signal: i32) {
        if self.draining.is_some() {
            self.ending = Some(Ending::Interrupted);
            return;
        }
        self.drain(format!("by {}", crate::process::signal_name(signal)));
    }

    fn drain(&mut self, why: String) {
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

    pub(super) fn ending(&mut self) -> Option<Ending> {
        if let Some(ending) = self.ending.take() {
            return Some(ending);
        }
        let idle = self.tasks.live_count() == 0 && self.recording.is_empty();
        match &self.draining {
            Some((since, word)) if idle && self.script_over || since.elapsed() > self.limits().drain => {
                Some(Ending::Drained(word.clone()))
            }
            Some(_) => None,
            None => (self.script_over && idle).then_some(Ending::Finished),
        }
    }
}
