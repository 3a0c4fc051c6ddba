//! Tasks that are not started because they would not end in time: told once, and no reason to sit an allocation out.
//!
//! What is too late is the core's to say. Here it learns when the time is over and how long things took, and people hear
//! of what is held back. Where nothing else is left the campaign stops, to be run again.

use std::time::{Duration, Instant};

use super::driver::Driver;
use super::forecast::Forecast;
use crate::core::{Event, Tick};
use crate::model::TaskId;

/// While only such tasks are left, the script is looked at so often: it may ask for shorter ones.
const LOOK: Duration = Duration::from_millis(100);

impl Driver {
    /// Tells the core when the campaign drains, and how long tasks took in earlier runs.
    pub(super) fn look_ahead(&mut self, forecast: &Forecast) {
        let Some(deadline) = &self.deadline else { return };
        let left = deadline.drains.saturating_duration_since(Instant::now());
        let at = self.clock.now().plus(u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
        for (like, us) in forecast.seen() {
            self.handle(Event::Took { like, us });
        }
        if at != Tick(u64::MAX) {
            self.handle(Event::Deadline { at });
        }
    }

    /// The core does not start it. The first is told.
    pub(super) fn hold(&mut self, task: TaskId) {
        self.held += 1;
        if self.held == 1 {
            let why = self.in_words(&self.core.explain(task));
            self.progress.note(&format!(
                "{}: {why}; tasks like that are left to the next run (`harness status` counts them)",
                self.called(task)
            ));
        }
    }

    /// Stops the campaign where all that is left would not end in time, and the script waits for it or is over. But where no
    /// task of this run answers the next one, that would come no further: then what is held back is tried.
    pub(super) fn watch_held(&mut self) {
        let Some(deadline) = self.deadline.as_ref().filter(|_| self.draining.is_none()) else { return };
        let wants_no_more = || self.script_over || self.port.script_waits();
        if !self.core.is_held_up() || !self.recording.is_empty() || !wants_no_more() {
            return;
        }
        if self.has_gained {
            self.drain(format!("for want of time (it would be stopped {} anyhow)", deadline.why));
            return;
        }
        self.progress.note(
            "nothing that is left would end in time, and this run has recorded no end that spares the next one anything: so \
             that it is not the same again, what was held back starts all the same",
        );
        self.held = 0;
        self.handle(Event::LetGo);
    }

    /// When [`watch_held`](Self::watch_held) has something to do.
    pub(super) fn next_look_at_held(&self, now: Instant) -> Option<Instant> {
        (self.draining.is_none() && self.core.is_held_up()).then(|| now + LOOK)
    }
}
