//! The end of the time there is: what would not end before it is not started.
//!
//! How long a task may take is its `timeout`, or, if that is less, a fifth more than the longest of the last of its like.
//! Of a task of which neither is known nothing is known: it starts. So does one that would not fit into a whole run as long
//! as this one: a later run would hold it back just the same, and nobody would ever do it. What is held back stands in no
//! queue, and stays held back: time does not come back. Where the driver knows that a later run would come no further,
//! it is let go all the same, until the end of a task was recorded: from then on a later run does come further.

use rustc_hash::FxHashMap;

use super::Core;
use super::api::{Action, Tick};
use super::task::{State, TaskIx};

/// So many of the last of its like tell how long a task may take: one that took unusually long is forgotten again.
pub const REMEMBERED: usize = 8;

/// The end, if one is known, and what is known of the way there.
#[derive(Clone, Debug, Default)]
pub(super) struct Horizon {
    end: Option<End>,
    /// What was seen last, by `like`.
    seen: FxHashMap<u64, Lately>,
    /// What is late starts all the same, until something was recorded.
    lenient: bool,
}

#[derive(Clone, Copy, Debug)]
struct End {
    at: Tick,
    /// From when it was first known.
    whole_us: u64,
}

/// What the last tasks took (µs), in a ring.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    took: [u64; REMEMBERED],
    next: usize,
}

impl Horizon {
    /// The end is at `at`: told again, it is one that the clock of `now` has lost time on the way to.
    pub fn ends(&mut self, now: Tick, at: Tick) {
        let whole_us = self.end.map_or(at.0.saturating_sub(now.0), |known| known.whole_us);
        self.end = Some(End { at, whole_us });
    }

    /// A task took so long.
    pub fn learn(&mut self, like: u64, us: u64) {
        let Lately { took, next } = self.seen.entry(like).or_default();
        took[*next] = us;
        *next = (*next + 1) % REMEMBERED;
    }

    /// A task has ended whose end is recorded. (One that is not leaves a later run where it was, whatever it taught: what was
    /// held back for it would only be let go again.)
    pub fn recorded_one(&mut self) {
        self.lenient = false;
    }

    fn longest_us(&self, like: u64) -> Option<u64> {
        self.seen.get(&like)?.took.iter().copied().max()
    }
}

impl Core {
    /// Too late to start the task?
    pub(super) fn is_late(&self, ix: TaskIx) -> bool {
        let Some(end) = self.horizon.end.filter(|_| !self.horizon.lenient) else { return false };
        let Some(takes) = self.may_take_us(ix) else { return false };
        takes <= end.whole_us && self.now.plus(takes) > end.at
    }

    /// How long the task may take.
    pub(super) fn may_take_us(&self, ix: TaskIx) -> Option<u64> {
        let rare = self.tasks[ix].rare.as_ref()?;
        let longest = rare.like.and_then(|like| self.horizon.longest_us(like));
        let seen = longest.map(|us| us.saturating_add(us / 5));
        [seen, rare.timeout_us].into_iter().flatten().min()
    }

    /// Time that is left.
    pub(super) fn left_us(&self) -> u64 {
        self.horizon.end.map_or(u64::MAX, |end| end.at.0.saturating_sub(self.now.0))
    }

    /// It is this queued task's turn. Is it too late for it? Then it leaves its queue and is held back.
    pub(super) fn hold_if_late(&mut self, ix: TaskIx) -> bool {
        if !self.is_late(ix) {
            return false;
        }
        self.dequeue(ix);
        self.enter(ix, State::Held);
        self.out.push(Action::Hold { task: self.tasks[ix].id });
        true
    }

    /// What is held back queues again, and starts when it is its turn.
    pub(super) fn let_go(&mut self) {
        self.horizon.lenient = true;
        let held = self.tasks.iter().filter(|(_, task)| task.state == State::Held).map(|(ix, _)| ix);
        for ix in held.collect::<Vec<_>>() {
            self.make_ready(ix);
        }
    }

    /// Is all that has not ended held back, or waits for what is?
    pub fn is_held_up(&self) -> bool {
        let moves = self.counts.iter().any(|counts| counts.queued + counts.running > 0);
        !moves && self.counts.iter().any(|counts| counts.held > 0)
    }
}
