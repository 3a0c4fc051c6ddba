//! What the script keeps for its next run, on its way to the journal.
//!
//! Each change is a line with the whole table, so changes are gathered: they are written before the next record
//! of a task, a moment after the first of them, and at the end. What a kill can take is thus what no recorded
//! task has followed yet, and not more than half a second of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::driver::Driver;
use super::record;
use crate::machine;
use crate::model::{Record, State};

/// From a change to its line.
const SAVE_AFTER: Duration = Duration::from_millis(500);

/// Changes not yet written.
#[derive(Default)]
pub(super) struct States {
    changed: BTreeMap<String, Value>,
    since: Option<Instant>,
    /// Lines written.
    pub(super) saved: usize,
}

impl States {
    /// The state of this name is now so.
    pub(super) fn keep(&mut self, name: String, value: Value, now: Instant) {
        self.changed.insert(name, value);
        self.since.get_or_insert(now);
    }

    /// When [`Driver::save_states`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + SAVE_AFTER)
    }
}

impl Driver {
    /// Hands what changed to the journal.
    pub(super) fn save_states(&mut self) {
        if self.states.since.take().is_none() {
            return;
        }
        let saved_unix_s = machine::unix_seconds();
        for (name, value) in std::mem::take(&mut self.states.changed) {
            self.states.saved += 1;
            self.journal.append(record::NO_TASK, Record::State(State { name, value, saved_unix_s }));
        }
    }
}
