//! What happens because time passes: answers that do not come, and calls that wait while units are idle.
//!
//! Keepers enforce timeouts; the core only guards that an answer comes at all. It never starts a task again while
//! an attempt of it may still run.

use super::Core;
use super::api::{Action, End, Tick};
use super::task::{Flight, Home, NEVER, Need, Phase, PoolIx, State, TaskIx, Why};
use crate::model::{Attempt, WorkerId};

/// After its timeout a task has so long to answer (µs).
pub(super) const ANSWER_US: u64 = 30_000_000;
/// After a kill a task has so long to answer (µs).
pub const GRACE_US: u64 = 10_000_000;
/// A call that has waited so long in a pipe is asked back when units are idle (µs).
const STALE_CALL_US: u64 = 5_000;

/// Whom an alarm is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// A task whose answer is overdue, one given up whose worker has not reported yet, or one that has rested.
    Answer(TaskIx),
    /// A pool in which calls wait while units are idle.
    Steal(PoolIx),
}

impl Core {
    /// Lets all alarms ring that are due.
    pub(super) fn ring(&mut self) {
        if self.announced.is_some_and(|at| at <= self.now) {
            self.announced = None;
        }
        while let Some((at, alarm)) = self.alarms.first().copied().filter(|(at, _)| *at <= self.now) {
            match alarm {
                Alarm::Answer(ix) => {
                    self.clear_alarm(ix);
                    self.overdue(ix);
                }
                Alarm::Steal(pool) => {
                    self.alarms.remove(&(at, alarm));
                    self.pools[pool.at()].steal = NEVER;
                    self.steal(pool);
                    self.mark_stale(pool);
                }
            }
        }
    }

    /// A task was sent that begins on arrival. Where others have parts of its node it may have to wait for the end of
    /// some of them: those that are free need not be of one NUMA node.
    pub(super) fn guard_start(&mut self, ix: TaskIx, leader: WorkerId) {
        let node = &self.fleet[self.fleet[leader].node];
        let others = node.holders().filter(|other| *other != ix).map(|other| self.tasks[other].alarm);
        match others.max() {
            Some(NEVER) => {}
            after => self.guard_answer_from(ix, after.map_or(self.now, |after| after.max(self.now))),
        }
    }

    /// From when it is known to run, a task with a timeout must answer in time.
    pub(super) fn guard_answer_from(&mut self, ix: TaskIx, begun: Tick) {
        if let Some(timeout) = self.tasks[ix].timeout_us() {
            self.set_alarm(ix, begun.plus(timeout).plus(ANSWER_US));
        }
    }

    /// Asks the driver to wake us in time.
    pub(super) fn announce(&mut self) {
        let Some((at, _)) = self.alarms.first().copied() else { return };
        if self.announced.is_none_or(|announced| at < announced) {
            self.announced = Some(at);
            self.out.push(Action::WakeAt(at));
        }
    }

    pub(super) fn set_alarm(&mut self, ix: TaskIx, at: Tick) {
        self.clear_alarm(ix);
        self.tasks[ix].alarm = at;
        self.alarms.insert((at, Alarm::Answer(ix)));
    }

    pub(super) fn clear_alarm(&mut self, ix: TaskIx) {
        let at = std::mem::replace(&mut self.tasks[ix].alarm, NEVER);
        if at != NEVER {
            self.alarms.remove(&(at, Alarm::Answer(ix)));
        }
    }

    /// No answer came in time, or the task has rested.
    fn overdue(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix];
        if task.state == State::Queued(Home::Resting) {
            return self.make_ready(ix);
        }
        let State::Flying(Flight { gang, phase, .. }) = &task.state else { return };
        let leader = gang.leader();
        let end = match phase {
            Phase::Wedged => return self.give_up_if_stuck(ix, leader),
            Phase::Killed(Why::Cancelled) => End::Cancelled,
            Phase::Killed(Why::Overdue) => End::Overdue,
            Phase::Killed(Why::MemberLost) => End::LostWorker { workers: task.taken_along() },
            _ => {
                let attempt = Attempt(task.attempt);
                self.out.push(Action::Kill { worker: gang.leader(), task: task.id, attempt });
                self.set_phase(ix, Phase::Killed(Why::Overdue));
                self.set_alarm(ix, self.now.plus(GRACE_US));
                return;
            }
        };
        let gang = gang.clone();
        self.enter(ix, State::Flying(Flight { gang, phase: Phase::Wedged }));
        self.resolve(ix, end, None);
        self.give_up_if_stuck(ix, leader);
    }

    /// Units of a wedged attempt stay occupied: what runs there may run on. A worker that could do something
    /// else meanwhile keeps doing it; one that never will again is given up, or its tasks would wait for ever.
    fn give_up_if_stuck(&mut self, ix: TaskIx, worker: WorkerId) {
        // What it holds on other nodes is free only when its leader is lost.
        let State::Flying(Flight { gang, .. }) = &self.tasks[ix].state else { return };
        if gang.iter().any(|member| self.fleet.alive(*member) && self.is_stuck(*member)) {
            self.out.push(Action::GiveUp { worker });
        }
        self.set_alarm(ix, self.now.plus(GRACE_US)); // others may end, or come to wait
    }

    /// Nothing moves here but wedged attempts, and they leave no room or keep a lease waiting.
    fn is_stuck(&self, id: WorkerId) -> bool {
        let worker = &self.fleet[id];
        let waits = |at: Tick| at.plus(GRACE_US) <= self.now;
        let moves = |ix: &TaskIx| match &self.tasks[*ix].state {
            State::Flying(Flight { phase: Phase::Wedged, .. }) => false,
            State::Flying(Flight { phase: Phase::Sent { at }, .. }) => !waits(*at),
            _ => true,
        };
        let node = &self.fleet[worker.node];
        let awaited = |gang| !self.has_room(self.demand(gang), id);
        let full = worker.idle() == 0 || !node.lease.is_open() || node.reserved.is_some_and(awaited);
        full && !worker.tasks.iter().any(moves)
    }

    /// Units are idle, nothing is queued and calls wait in pipes: have a look in a moment.
    pub(super) fn plan_steal(&mut self, ix: PoolIx) {
        let pool = &mut self.pools[ix.at()];
        let wanted = pool.surplus > 0 && pool.top(false).idle > 0 && pool.shapes.is_empty();
        if wanted && pool.steal == NEVER {
            pool.steal = self.now.plus(STALE_CALL_US);
            self.alarms.insert((pool.steal, Alarm::Steal(ix)));
        }
    }

    /// Asks for as many waiting calls as there are idle units, the last ones of each pipe first.
    fn steal(&mut self, ix: PoolIx) {
        let pool = &self.pools[ix.at()];
        if pool.surplus == 0 || !pool.shapes.is_empty() {
            return;
        }
        let with_idle = pool.willing(0).map(|(id, _)| id).chain(pool.unwilling());
        let idle: u64 = with_idle.map(|id| u64::from(self.fleet[id].idle())).sum();
        let mut wanted = idle.saturating_sub(pool.recalled);
        for place in 0..pool.places.len() {
            if wanted == 0 {
                return;
            }
            let Some(worker) = self.pools[ix.at()].places[place].map(|id| &self.fleet[id]) else { continue };
            let waiting = worker.tasks.len().saturating_sub(worker.counted as usize)..worker.tasks.len();
            // They were sent in this order.
            if worker.tasks.get(waiting.start).is_none_or(|oldest| self.was_just_sent(*oldest)) {
                continue;
            }
            for call in worker.tasks.range(waiting).rev().copied().collect::<Vec<_>>() {
                if wanted > 0 && self.waits_long(call) && self.recall(call) {
                    wanted -= 1;
                }
            }
        }
    }

    /// None for a call that has begun, or was asked back.
    fn sent_at(&self, ix: TaskIx) -> Option<Tick> {
        let State::Flying(Flight { phase: Phase::Sent { at }, .. }) = &self.tasks[ix].state else {
            return None;
        };
        Some(*at)
    }

    fn was_just_sent(&self, ix: TaskIx) -> bool {
        self.sent_at(ix).is_some_and(|at| at.plus(STALE_CALL_US) > self.now)
    }

    fn waits_long(&self, ix: TaskIx) -> bool {
        let task = &self.tasks[ix];
        let is_stale = self.sent_at(ix).is_some_and(|at| at.plus(STALE_CALL_US) <= self.now);
        is_stale && task.need == Need::Call && !task.is_bound()
    }
}
