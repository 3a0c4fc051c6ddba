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

/// What people were told: each once in a run.
#[derive(Debug, Default)]
pub(super) struct Told {
    held: bool,
    let_go: bool,
}

impl Driver {
    /// Does the next run come further for this one? It need not repeat a task, or has another state to begin with.
    pub(super) fn has_gained(&self) -> bool {
        self.answers_next || self.states.saved > 0
    }

    /// Is an end recorded, or as good as, that the next run need not repeat?
    pub(super) fn has_recorded_for_good(&self) -> bool {
        self.answers_next || self.recording.values().any(|(_, outcome)| outcome.status.lasting())
    }

    /// Tells the core when the campaign drains, and how long tasks took in earlier runs.
    pub(super) fn look_ahead(&mut self, forecast: &Forecast) {
        if self.deadline.is_none() {
            return;
        }
        for (like, us) in forecast.seen() {
            self.handle(Event::Took { like, us });
        }
        self.tell_the_end();
    }

    /// Tells the core when the campaign drains. Its clock has stood still while the root was busy, and the time of day has not:
    /// then it is told again.
    pub(super) fn tell_the_end(&mut self) {
        let Some(deadline) = &self.deadline else { return };
        let left = deadline.drains.saturating_duration_since(Instant::now());
        let at = self.clock.now().plus(u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
        if at != Tick(u64::MAX) {
            self.handle(Event::Deadline { at });
        }
    }

    /// The core does not start it. The first is told.
    pub(super) fn hold(&mut self, task: TaskId) {
        self.held += 1;
        if !std::mem::replace(&mut self.told.held, true) {
            let why = self.in_words(&self.core.explain(task));
            self.progress.note(&format!(
                "{}: {why}; tasks like that are left to the next run (`harness status` counts them while this one works)",
                self.called(task)
            ));
        }
    }

    /// Stops the campaign where all that is left would not end in time, and the script waits for it or is over. But where the
    /// next one would come no further for this one, what is held back is tried.
    pub(super) fn watch_held(&mut self) {
        let wants_no_more = || self.script_over || self.port.script_waits();
        if self.draining.is_some()
            || !self.core.is_held_up()
            || !self.recording.is_empty()
            || !wants_no_more()
        {
            return;
        }
        let Some(why) = self.deadline.as_ref().map(|deadline| deadline.why.clone()) else { return };
        self.save_states();
        if self.has_gained() {
            self.deadline.iter().for_each(|deadline| self.postponed.for_want_of(deadline.clone()));
            self.drain(format!("for want of time (it would be stopped {why} anyhow)"));
            return;
        }
        if !std::mem::replace(&mut self.told.let_go, true) {
            self.progress.note(
                "nothing that is left would end in time, and this run has recorded no end that spares the next one \
                 anything and no changed state: so that it is not the same again, what was held back starts all the same",
            );
        }
        self.held = 0;
        self.handle(Event::LetGo);
    }

    /// When [`watch_held`](Self::watch_held) has something to do.
    pub(super) fn next_look_at_held(&self, now: Instant) -> Option<Instant> {
        (self.draining.is_none() && self.core.is_held_up()).then(|| now + LOOK)
    }
}
