//! What workers report: begun, ended, recalled, artefacts, their own loss; and the script's cancellations.
//!
//! An answer counts only if it comes from the leader of the task's present attempt and carries its number; all
//! others are late and dropped.

use super::Core;
use super::api::{Action, End};
use super::guard::GRACE_US;
use super::lease::nodes_of;
use super::pool::Pool;
use super::reserve::MOST_ASKED;
use super::task::{Flight, Home, Need, Phase, State, Task, TaskIx, Why};
use crate::model::{Attempt, Hash, Kind, TaskId, WorkerId};

/// How an attempt ended, as its worker says.
pub(super) struct Report {
    pub ok: bool,
    pub unfit: bool,
    pub artefact: Option<Hash>,
    pub elapsed_us: u64,
}

impl Core {
    pub(super) fn started(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let Some((ix, phase)) = self.answered(worker, task, attempt) else { return };
        if matches!(phase, Phase::Sent { .. } | Phase::Recalling) {
            self.set_phase(ix, Phase::Running);
            self.guard_answer_from(ix, self.now);
        }
    }

    pub(super) fn delivers(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let Some((ix, phase)) = self.answered(worker, task, attempt) else { return };
        match phase {
            // Who was to be killed has nothing to deliver, and its kill may have crossed this.
            Phase::Killed(_) | Phase::Wedged => self.out.push(Action::Kill { worker, task, attempt }),
            _ => {
                self.set_phase(ix, Phase::Running);
                self.clear_alarm(ix);
            }
        }
    }

    pub(super) fn finished(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, report: Report) {
        let Some((ix, phase)) = self.answered(worker, task, attempt) else { return };
        if let Some(artefact) = report.artefact {
            self.have(worker, artefact);
        }
        self.land(ix);
        match phase {
            Phase::Killed(Why::Cancelled) => self.resolve(ix, End::Cancelled, None),
            Phase::Killed(Why::MemberLost) => self.again(ix),
            Phase::Wedged => self.forget(ix),
            _ if report.unfit && self.goes_elsewhere(ix, worker) => {}
            _ => {
                if !report.unfit && !self.tasks[ix].strikes().is_empty() {
                    self.acquit(ix, worker);
                }
                let task = &self.tasks[ix];
                if matches!(task.kind, Kind::Call | Kind::Exec) {
                    self.durations.learn(task.class, report.elapsed_us);
                }
                if task.recorded {
                    self.horizon.recorded_one();
                }
                if let Some(like) = self.tasks[ix].rare.as_ref().and_then(|rare| rare.like) {
                    self.horizon.learn(like, report.elapsed_us);
                }
                self.agenda.ahead.push_back(worker);
                self.resolve(ix, End::Finished, report.ok.then_some(report.artefact));
            }
        }
    }

    pub(super) fn recalled(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let Some((ix, phase)) = self.answered(worker, task, attempt) else { return };
        self.land(ix);
        match phase {
            Phase::Killed(Why::Cancelled) => self.resolve(ix, End::Cancelled, None),
            Phase::Killed(Why::Overdue) => self.resolve(ix, End::CameBack, None),
            Phase::Wedged => self.forget(ix),
            _ => self.agenda.ready.push_back(ix),
        }
    }

    pub(super) fn have(&mut self, worker: WorkerId, artefact: Hash) {
        if !self.fleet.alive(worker) || !self.artefacts.have(worker, artefact) {
            return;
        }
        for ix in self.staging_on(worker) {
            self.send_if_staged(ix);
        }
        self.touch(worker); // a lease may wait for it
        self.stir(self.fleet[worker].node); // and a gang that may fill a gap only with all it needs
    }

    pub(super) fn gone(&mut self, artefact: Hash) {
        let offered = self.artefacts.gone(&artefact);
        if offered.is_empty() {
            return; // nobody has asked for it since it was gone before
        }
        let mut refused = self.who_ask_in_queues(&offered);
        for worker in &offered {
            refused.extend(self.staging_on(*worker));
            refused.extend(self.leasing_on(self.fleet[*worker].node));
        }
        refused.retain(|ix| self.tasks[*ix].inputs().contains(&artefact));
        refused.sort_unstable_by_key(|ix| self.tasks[*ix].rank);
        refused.dedup();
        for ix in refused {
            let reason = format!("artefact {artefact} is on no worker any more; build it again");
            self.end_unsent(ix, End::Refused { reason });
        }
        offered.into_iter().for_each(|worker| self.touch(worker)); // a lease may have waited for it on behalf of others
    }

    /// Queued tasks that may have asked for an artefact to see whether they fill a gap, and would ask again and again. Not all
    /// that wait: those behind are asked in their turn.
    fn who_ask_in_queues(&self, offered: &[WorkerId]) -> Vec<TaskIx> {
        let of_pool = |pool: &Pool| -> Vec<TaskIx> {
            let of_shapes =
                pool.shapes.queues().flat_map(|(_, queue)| queue.tasks().take(MOST_ASKED)).map(|(_, ix)| ix);
            of_shapes.chain(pool.gangs.heads().map(|head| head.ix)).collect()
        };
        let own = offered.iter().filter_map(|worker| Some(self.fleet[*worker].own.first()?.1));
        own.chain(self.pools.iter().flat_map(of_pool)).collect()
    }

    /// Attempts that wait for artefacts on this worker.
    fn staging_on(&self, worker: WorkerId) -> Vec<TaskIx> {
        self.fleet[worker].tasks.iter().copied().filter(|ix| self.is_staging(*ix)).collect()
    }

    pub(super) fn worker_lost(&mut self, id: WorkerId) {
        if !self.fleet.alive(id) {
            return;
        }
        let (pool, node) = (self.fleet[id].pool, self.fleet[id].node);
        self.withdraw(id);
        let begun = self.may_have_begun(id);
        let flying = self.fleet.lose(id);
        self.pools[pool.at()].gone += 1;
        self.fault(node); // before it is asked which node is the least faulty
        self.readmit(pool); // before what it ran asks whether anybody is left
        self.artefacts.lose(id);
        flying.into_iter().for_each(|ix| self.lost_flight(ix, id, begun.contains(&ix)));
        // Others on the node may wait for what it ran.
        let others = self.fleet[node].workers.clone();
        others.into_iter().for_each(|worker| self.touch(worker));
        self.stir(node);
        self.reconsider(pool);
    }

    /// Of the calls there that have not said so, those that may have begun: the oldest, one in each unit that is left. A call that
    /// ends its worker is not heard of before.
    fn may_have_begun(&self, id: WorkerId) -> Vec<TaskIx> {
        let worker = &self.fleet[id];
        let calls = || worker.tasks.iter().copied().filter(|ix| self.tasks[*ix].need == Need::Call);
        let waits = |ix: &TaskIx| self.tasks[*ix].state.is_unsaid();
        let running = calls().filter(|ix| !waits(ix)).count();
        calls().filter(waits).take((worker.for_calls() as usize).saturating_sub(running)).collect()
    }

    fn lost_flight(&mut self, ix: TaskIx, worker: WorkerId, may_have_begun: bool) {
        let task = &self.tasks[ix];
        let State::Flying(flight) = &task.state else { return };
        let (phase, leader, attempt) = (flight.phase, flight.gang.leader(), task.attempt);
        if phase == Phase::Staging {
            self.land(ix);
            self.agenda.ready.push_back(ix);
            return;
        }
        if leader != worker && !matches!(phase, Phase::Killed(_) | Phase::Wedged) {
            // It may run on without that node: it is tried again only when its leader has said that it ended.
            self.out.push(Action::Kill { worker: leader, task: task.id, attempt: Attempt(attempt) });
            self.set_phase(ix, Phase::Killed(Why::MemberLost));
            self.set_alarm(ix, self.now.plus(GRACE_US));
            self.strike(ix, worker);
            return;
        }
        if leader != worker {
            return;
        }
        let begun = task.need != Need::Call || may_have_begun;
        self.land(ix);
        match phase {
            Phase::Sent { .. } | Phase::Recalling if !begun => self.agenda.ready.push_back(ix),
            Phase::Staging | Phase::Sent { .. } | Phase::Recalling | Phase::Running => {
                self.strike(ix, worker);
                self.again(ix);
            }
            Phase::Killed(Why::MemberLost) => self.again(ix),
            Phase::Killed(Why::Cancelled) => self.resolve(ix, End::Cancelled, None),
            Phase::Killed(Why::Overdue) => self.resolve(ix, End::Overdue, None),
            Phase::Wedged => self.forget(ix),
        }
    }

    /// Cancels all tasks that are `meant`.
    pub(super) fn cancel_all(&mut self, meant: impl Fn(&Task) -> bool) {
        let all: Vec<TaskIx> = self.tasks.iter().filter(|(_, task)| meant(task)).map(|(ix, _)| ix).collect();
        all.into_iter().for_each(|ix| self.cancel(ix));
    }

    pub(super) fn cancel(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix];
        match &task.state {
            State::Vacant => {}
            State::Waiting { .. } | State::Held => self.resolve(ix, End::Cancelled, None),
            State::Queued(_) | State::Leasing(_) | State::Flying(Flight { phase: Phase::Staging, .. }) => {
                self.end_unsent(ix, End::Cancelled);
            }
            State::Flying(Flight { phase: Phase::Wedged, .. }) => {}
            State::Flying(Flight { phase: Phase::Killed(_), .. }) => {
                self.set_phase(ix, Phase::Killed(Why::Cancelled))
            }
            State::Flying(flight) => {
                let attempt = Attempt(task.attempt);
                self.out.push(Action::Kill { worker: flight.gang.leader(), task: task.id, attempt });
                self.set_phase(ix, Phase::Killed(Why::Cancelled));
                self.set_alarm(ix, self.now.plus(GRACE_US));
            }
        }
    }

    /// Ends a task that stands in a queue, or has a place and was not sent there yet.
    fn end_unsent(&mut self, ix: TaskIx, end: End) {
        let task = &self.tasks[ix];
        let (pool, group) = (task.pool, task.group());
        if let State::Queued(home) = task.state {
            // Others may have waited behind it.
            if let Home::Worker(worker) = home {
                self.touch(worker)
            } else {
                self.mark_stale(pool)
            }
            self.dequeue(ix);
        } else {
            self.land(ix);
        }
        self.resolve(ix, end, None);
        group.into_iter().for_each(|group| self.promote(group)); // it may have been about to lead its group
    }

    /// The task such an answer is about, unless it is late.
    fn answered(&self, worker: WorkerId, task: TaskId, attempt: Attempt) -> Option<(TaskIx, Phase)> {
        let ix = self.tasks.find(task)?;
        let task = &self.tasks[ix];
        match &task.state {
            State::Flying(flight) if flight.phase != Phase::Staging => {
                (flight.gang.leader() == worker && task.attempt == attempt.0).then_some((ix, flight.phase))
            }
            _ => None,
        }
    }

    pub(super) fn set_phase(&mut self, ix: TaskIx, phase: Phase) {
        let task = &mut self.tasks[ix];
        if let State::Flying(flight) = &mut task.state {
            let recalled = &mut self.pools[task.pool.at()].recalled;
            *recalled = *recalled + u64::from(phase == Phase::Recalling)
                - u64::from(flight.phase == Phase::Recalling);
            flight.phase = phase;
        }
    }

    /// The attempt, or the preparation of one, is over: gives back what it holds. The task is left to be routed.
    pub(super) fn land(&mut self, ix: TaskIx) {
        self.clear_alarm(ix);
        let Task { need, charged, .. } = self.tasks[ix];
        match self.enter(ix, State::Queued(Home::Ready)) {
            State::Leasing(gang) => {
                self.give_back(ix, &gang);
                self.release(ix, &nodes_of(&self.fleet, &gang));
            }
            State::Flying(Flight { gang, phase }) => {
                self.pools[self.tasks[ix].pool.at()].recalled -= u64::from(phase == Phase::Recalling);
                if phase == Phase::Staging && self.fleet.alive(gang.leader()) {
                    self.count_unseen(ix, gang.leader(), -1);
                }
                self.give_back(ix, &gang);
                for worker in gang.iter().copied() {
                    if self.fleet.alive(worker) {
                        self.fleet[worker].release(ix, need, charged);
                        if matches!(need, Need::Share { .. }) && worker != gang.leader() {
                            self.count_unseen(ix, worker, -1);
                        }
                        self.tell_gangs(worker);
                        if !need.is_quiet() {
                            self.refresh(worker);
                            self.touch(worker);
                            self.touch_neighbours(worker);
                        }
                    }
                }
                if need.is_quiet() {
                    self.release(ix, &nodes_of(&self.fleet, &gang)); // and looks at all workers there
                }
            }
            _ => {}
        }
    }

    /// Other workers of the node may have waited for this one to become empty.
    fn touch_neighbours(&mut self, worker: WorkerId) {
        let node = self.fleet[worker].node;
        if self.fleet[node].workers.len() > 1 && self.fleet[worker].tasks.is_empty() {
            let others = self.fleet[node].workers.clone();
            others.into_iter().filter(|other| *other != worker).for_each(|other| self.touch(other));
        }
    }

    /// A wedged task has come to its end; it was resolved long ago.
    fn forget(&mut self, ix: TaskIx) {
        self.enter(ix, State::Vacant);
        self.tasks.remove(ix);
    }
}
