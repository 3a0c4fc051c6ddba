//! The books must agree: every task in exactly one place, units adding up, indexes telling the truth.
//!
//! Only assertions, no decisions. In debug builds `handle` runs it so often that it costs a bounded share of the work.

use std::collections::BTreeMap;

use super::Core;
use super::api::{Counts, Gang, GpuSet};
use super::bucket;
use super::fleet::{Lease, Node};
use super::lease::nodes_of;
use super::pool::{Reservation, Stage};
use super::queues::Head;
use super::task::{Claim, Flight, Home, NEVER, Need, NodeIx, Part, Phase, Rank, State, Task, TaskIx};
use crate::model::WorkerId;

impl Core {
    /// Checks once the events since the last time outweigh what checking costs.
    #[cfg(debug_assertions)]
    pub(super) fn check_sometimes(&mut self) {
        self.unchecked += 4;
        if self.unchecked > self.tasks.places() + self.fleet.known() {
            self.unchecked = 0;
            self.check();
        }
    }

    /// Proves that the books agree.
    ///
    /// # Panics
    /// If they do not: a defect of the scheduler.
    pub fn check(&self) {
        let agenda = &self.agenda;
        assert!(agenda.ready.is_empty() && agenda.doomed.is_empty() && agenda.touched.is_empty());
        assert!(
            agenda.stale.is_empty()
                && agenda.late.is_empty()
                && agenda.loud.is_empty()
                && self.out.is_empty()
        );
        self.check_quarantine();
        self.check_queues();
        self.check_units();
        self.check_leases();
        self.check_gangs();
        self.check_counts();
        self.check_room();
    }

    /// A pool has a node of too many faults only if it has no other, and has struck off none that has fewer.
    fn check_quarantine(&self) {
        for pool in self.pools.iter().filter(|pool| pool.stage != Stage::Closed && pool.hosts().len() > 1) {
            let faults = |node: NodeIx| self.fleet[node].faults;
            assert!(
                pool.hosts().all(|node| !pool.is_wary_of(faults(node))),
                "pool {} uses a bad node",
                pool.id
            );
        }
        for (id, worker) in self.fleet.iter().filter(|(_, worker)| worker.barred) {
            let (pool, node) = (&self.pools[worker.pool.at()], &self.fleet[worker.node]);
            assert!(pool.is_wary_of(node.faults) && !pool.places.contains(&Some(id)), "{id} is struck off");
            let may_be_empty = self.draining || pool.stage == Stage::Closed;
            assert!(pool.alive > 0 || may_be_empty, "pool {} has nobody, and {id} is struck off", pool.id);
        }
    }

    fn check_queues(&self) {
        let mut entries = 0;
        let mut agree = |home: Home, queue: &mut dyn Iterator<Item = (Rank, TaskIx)>| {
            let mut before = None;
            for (rank, ix) in queue {
                let task = &self.tasks[ix];
                assert_eq!((task.rank, &task.state), (rank, &State::Queued(home)), "{task:?}");
                assert!(before.replace(rank).is_none_or(|before| before < rank), "{home:?} is out of order");
                entries += 1;
            }
        };
        fn tree(queue: &BTreeMap<Rank, TaskIx>) -> impl Iterator<Item = (Rank, TaskIx)> {
            queue.iter().map(|(rank, ix)| (*rank, *ix))
        }
        for pool in &self.pools {
            for (kind, counted) in pool.counted.borrow().iter() {
                let ix = self.pool_ix[&pool.id];
                assert_eq!(
                    self.count_measuring(ix, *kind),
                    *counted,
                    "{kind:?} measured in pool {}",
                    pool.id
                );
            }
            if pool.reluctant > 0 {
                let ix = self.pool_ix[&pool.id];
                assert_eq!(self.all_avoid(ix), self.asked_all_avoid(ix), "shyness of pool {}", pool.id);
            }
            for (at, queue) in pool.shapes.queues() {
                agree(Home::Shape(at), &mut queue.tasks());
                assert!(queue.tasks().all(|(_, ix)| self.tasks[ix].shape() == queue.key), "{queue:?}");
            }
            for (at, queue) in pool.gangs.queues() {
                agree(Home::Gangs(at), &mut queue.tasks());
                assert!(queue.tasks().all(|(_, ix)| self.tasks[ix].gang_shape() == queue.key), "{queue:?}");
            }
        }
        self.fleet.iter().for_each(|(id, worker)| agree(Home::Worker(id), &mut worker.own.iter()));
        self.fleet.nodes().for_each(|(ix, node)| agree(Home::Parked(ix), &mut tree(&node.parked)));
        for (at, group) in self.groups.iter().enumerate() {
            agree(Home::Group(super::GroupIx::new(at)), &mut tree(&group.waiting));
            assert!(group.waiting.is_empty() || group.leader.is_some(), "a group without a leader waits");
            assert!(group.home.is_none() || group.leader.is_none(), "a group with a node waits");
            let alive = |home: &Gang| {
                home.iter().all(|worker| self.fleet.alive(*worker) && !self.fleet[*worker].barred)
            };
            assert!(group.home.as_ref().is_none_or(alive), "a group on a lost worker");
        }
        let rests = |task: &Task| task.state == State::Queued(Home::Resting);
        for (_, task) in self.tasks.iter().filter(|(_, task)| rests(task)) {
            let (strikes, retries) = (task.strikes().len(), task.retries as usize);
            assert!(task.alarm != NEVER && (1..=retries).contains(&strikes), "{task:?} rests for ever");
            assert!(!self.pools[task.pool.at()].is_dead(), "{task:?} rests in a dead pool");
            entries += 1;
        }
        let queued = self.tasks.iter().filter(|(_, task)| matches!(task.state, State::Queued(_))).count();
        assert_eq!(queued, entries, "each queued task stands in one queue");
    }

    fn check_units(&self) {
        let mut held: BTreeMap<WorkerId, (u32, u32, u32, u16, usize)> = BTreeMap::new();
        let (mut alarms, mut timed) = (0, 0);
        let mut recalled = vec![0; self.pools.len()];
        for (ix, task) in self.tasks.iter() {
            alarms += usize::from(task.alarm != NEVER);
            let State::Flying(Flight { gang, phase }) = &task.state else { continue };
            timed += usize::from(task.timeout_us().is_some());
            recalled[task.pool.at()] += u64::from(*phase == Phase::Recalling);
            assert!(self.fleet.alive(gang.leader()), "{task:?} on a lost worker");
            for id in gang.iter().filter(|id| self.fleet.alive(**id)) {
                let books = held.entry(*id).or_default();
                match task.need {
                    Need::Call => (books.1, books.2) = (books.1 + 1, books.2 + u32::from(task.charged)),
                    need => books.0 += u32::from(need.units(self.fleet[*id].slots)),
                }
                let leads = *id == gang.leader();
                let unseen = if leads { *phase == Phase::Staging } else { !task.need.is_quiet() };
                books.3 += u16::from(unseen && task.need != Need::Call);
                books.4 += 1;
                assert!(self.fleet[*id].tasks.contains(&ix));
            }
        }
        assert_eq!(alarms, self.alarms.len() - self.pools.iter().filter(|pool| pool.steal != NEVER).count());
        assert_eq!(timed, self.timed);
        let mut surplus = vec![0; self.pools.len()];
        for (id, worker) in self.fleet.iter() {
            let books = (
                u32::from(worker.held) + u32::from(worker.ahead),
                worker.calls,
                worker.load,
                worker.unseen,
                worker.tasks.len(),
            );
            assert_eq!(held.get(&id).copied().unwrap_or_default(), books, "units of worker {id}");
            assert!(worker.held == worker.slots || worker.held < worker.slots && worker.ahead == 0);
            if worker.barred {
                assert!(worker.counted == 0 && worker.own.is_empty() && worker.groups.is_empty());
                continue;
            }
            assert_eq!(worker.counted, worker.surplus());
            let pool = &self.pools[worker.pool.at()];
            assert_eq!(pool.places[worker.place], Some(id));
            let offer = worker.offer(self.fleet[worker.node].is_open());
            assert_eq!(pool.offered(worker.place, worker.measures), offer);
            surplus[worker.pool.at()] += u64::from(worker.counted);
        }
        assert!(self.pools.iter().map(|pool| pool.surplus).eq(surplus));
        assert!(self.pools.iter().map(|pool| pool.recalled).eq(recalled));
    }

    fn check_leases(&self) {
        for (ix, node) in self.fleet.nodes() {
            let is_quiet = matches!(node.lease, Lease::Quiet(_));
            assert_eq!(node.quiet, is_quiet, "`{}` was told", node.host);
            let holders: Vec<TaskIx> = node.holders().collect();
            for holder in &holders {
                let task = &self.tasks[*holder];
                let (gang, quiet) = match &task.state {
                    State::Leasing(gang) => (gang, false),
                    State::Flying(flight) => (&flight.gang, true),
                    _ => panic!("`{}` is leased to {task:?}", node.host),
                };
                assert_eq!(quiet, is_quiet);
                assert!(nodes_of(&self.fleet, gang).contains(&ix));
            }
            self.check_parts(node, &holders);
            if is_quiet {
                let mut others = node.workers.iter().flat_map(|worker| &self.fleet[*worker].tasks);
                assert!(others.all(|task| holders.contains(task)), "`{}` is not quiet", node.host);
            }
        }
        for (ix, task) in self.tasks.iter() {
            let gang = match &task.state {
                State::Leasing(gang) => gang,
                State::Flying(flight) if task.need.is_quiet() => &flight.gang,
                _ => continue,
            };
            for node in nodes_of(&self.fleet, gang) {
                let has = self.fleet[node].holders().filter(|holder| *holder == ix).count();
                assert_eq!(has, 1, "{task:?} without its lease");
            }
        }
    }

    /// Who shares a lease has a part of the same sort as the others, all of one worker, and together no more than it has.
    fn check_parts(&self, node: &Node, holders: &[TaskIx]) {
        if holders.len() < 2 {
            return;
        }
        let mut parts: Vec<(Part, WorkerId)> = Vec::new();
        for holder in holders.iter().map(|holder| &self.tasks[*holder]) {
            let (State::Leasing(gang) | State::Flying(Flight { gang, .. })) = &holder.state else { continue };
            let Need::Part(part) = holder.need else { panic!("{holder:?} shares `{}`", node.host) };
            parts.push((part, gang.leader()));
        }
        let (first, leader) = parts[0];
        assert!(parts.iter().all(|(part, worker)| part.is_like(first) && *worker == leader), "{parts:?}");
        let used: u16 = parts.iter().map(|(part, _)| part.units()).sum();
        let least = parts.iter().map(|(part, _)| self.fleet[leader].parts(*part)).max();
        assert!(Some(used) <= least, "{parts:?} on `{}`", node.host);
    }

    /// GPUs and counters add up; what is kept is kept for who waits for it.
    fn check_gangs(&self) {
        let mut gpus: BTreeMap<NodeIx, GpuSet> = BTreeMap::new();
        let mut used: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for (_, task) in self.tasks.iter() {
            let granted = task.rare.as_ref().map_or(&[][..], |rare| &rare.granted);
            let gang = match &task.state {
                State::Leasing(gang) | State::Flying(Flight { gang, .. }) => gang,
                _ => {
                    assert!(granted.is_empty(), "{task:?} has GPUs and does not run");
                    continue;
                }
            };
            let of = |id: &WorkerId| self.fleet[*id].allocation;
            assert!(gang.iter().all(|id| of(id) == of(&gang.leader())), "{task:?} is in two allocations");
            assert_eq!(granted.len(), if task.gpus() > 0 { gang.len() } else { 0 });
            for (id, set) in gang.iter().zip(granted) {
                let all = gpus.entry(self.fleet[*id].node).or_default();
                assert!(set.len() == task.gpus() && all.and(*set).is_empty(), "{task:?}: GPUs {set:?}");
                *all = all.with(*set);
            }
            for need in task.needs() {
                *used.entry((task.pool.at(), need.counter)).or_default() += need.amount;
            }
        }
        for (ix, node) in self.fleet.nodes() {
            assert_eq!(gpus.get(&ix).copied().unwrap_or_default(), node.gpus_used, "GPUs of `{}`", node.host);
        }
        let mut kept = 0;
        for (at, pool) in self.pools.iter().enumerate() {
            for (n, counter) in pool.counters.iter().enumerate() {
                assert_eq!(used.get(&(at, n)).copied().unwrap_or(0), counter.used, "{counter:?}");
            }
            let sharing = pool.gangs.tasks().filter(|ix| !self.tasks[*ix].need.is_quiet());
            assert_eq!(sharing.count(), pool.sharing);
            let Some(Reservation { ix, workers, .. }) = &pool.reservation else { continue };
            let task = &self.tasks[*ix];
            assert_eq!(task.pool.at(), at);
            assert!(matches!(task.state, State::Queued(Home::Gangs(_))), "{task:?}");
            let demand = self.demand(*ix);
            assert_eq!(workers.len(), usize::from(demand.nodes));
            let kept_for = |id: &WorkerId| self.fleet[self.fleet[*id].node].reserved;
            assert!(workers.iter().all(|id| self.fleet.alive(*id) && kept_for(id) == Some(*ix)));
            assert!(!workers.iter().all(|id| self.has_room(demand, *id)), "{task:?} has room and waits");
            kept += workers.len();
        }
        let marked = self.fleet.nodes().filter(|(_, node)| node.reserved.is_some()).count();
        assert_eq!(kept, marked, "a node is kept for nobody");
    }

    fn check_counts(&self) {
        let mut counts = [Counts::default(); 5];
        for (_, task) in self.tasks.iter() {
            *bucket(&mut counts[task.kind as usize], &task.state) += 1;
        }
        for (mine, theirs) in self.counts.iter().zip(counts) {
            let wedged = theirs.done;
            assert_eq!(*mine, Counts { done: mine.done, ..theirs });
            assert!(mine.done >= wedged);
        }
    }

    /// Nobody waits who could run, or prepare to: else he might wait for ever.
    fn check_room(&self) {
        for (id, worker) in self.fleet.iter() {
            let Some((rank, ix)) = worker.own.first() else { continue };
            let pool = &self.pools[worker.pool.at()];
            let first = pool.shapes.first().is_none_or(|head| rank < head.rank);
            let open = self.fleet[worker.node].lease == Lease::Open && self.outranks(ix, worker.node);
            let heeded = !first && pool.deferred.range(..=rank).any(|(_, waiting)| *waiting == id);
            assert!(heeded || !open, "{:?} is forgotten on open worker {id}", self.tasks[ix]);
        }
        for pool in &self.pools {
            if let Some(Head { ix, .. }) = pool.gangs.first() {
                let (task, demand) = (&self.tasks[ix], self.demand(ix));
                let lacks = |need: &Claim| pool.counters[need.counter].free() < need.amount;
                let has_room =
                    |id: &WorkerId| self.has_room(demand, *id) && self.outranks(ix, self.fleet[*id].node);
                let workers = pool.places.iter().flatten().copied().filter(self.suiting(ix, demand));
                let room: Vec<WorkerId> = workers.filter(has_room).collect();
                let found = self.distinct(ix, demand, room.into_iter());
                let waits = task.needs().iter().any(lacks) || self.is_late(ix);
                assert!(found.is_none() || waits, "{task:?} is the first gang, and {found:?} are free");
            }
            let plain = |need| matches!(need, Need::Call | Need::Cores(1));
            let Some(Head { queue, ix, .. }) = pool.shapes.first() else { continue };
            let shape = &pool.shapes[queue].key;
            let restricted = self.is_restricted(ix);
            if plain(shape.need) && !restricted {
                assert_eq!(pool.top(false).idle, 0, "idle units and a queue in pool {}", pool.id);
            }
            let drainable = |id: &WorkerId| {
                let worker = &self.fleet[*id];
                let node = worker.node;
                worker.suffices(shape.need)
                    && (worker.measures || !self.avoids(ix))
                    && self.fleet[node].lease == Lease::Open
                    && self.fleet[node].reserved.is_none()
                    && shape.not_on != Some(node)
            };
            let alone = match shape.need {
                need if need.is_quiet() => true,
                need => (need.cores() > 1 || restricted && need != Need::Call) && pool.reserved.is_none(),
            };
            let free = pool.places.iter().flatten().find(|id| alone && drainable(id));
            assert_eq!(free, None, "{shape:?} is first and drains nothing");
            // Of other pools' tasks that let it pass it is not told.
            let own = |id: &WorkerId| {
                self.fleet[self.fleet[*id].node]
                    .workers
                    .iter()
                    .all(|other| self.fleet[*other].pool == self.fleet[*id].pool)
            };
            let part = pool.places.iter().flatten().find(|id| own(id) && self.may_join(ix, **id));
            assert_eq!(part, None, "{shape:?} is first and does not take its part");
        }
    }
}
