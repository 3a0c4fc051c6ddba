//! From submission to a queue: dependencies, what can never run, and which queue; and the way out, `resolve`.

use super::api::{Action, Dep, DepState, End, Gang, Request};
use super::pool::Stage;
use super::queues::Head;
use super::task::{
    Claim, GroupIx, Home, NEVER, Need, NodeIx, Part, Phase, PoolIx, Rank, State, Task, TaskIx,
};
use super::{Core, Group};
use crate::model::{Exclusive, Hash, Kind, Placement, TaskId, WorkerId};

impl Core {
    pub(super) fn submitted(&mut self, mut request: Request) {
        if self.tasks.find(request.task).is_some() {
            return;
        }
        let Some(pool) = self.pool_ix.get(&request.pool).copied() else {
            let reason = format!("pool {} is not open; submit to an open one", request.pool);
            self.counts[request.kind as usize].done += 1;
            self.out.push(Action::Resolve { task: request.task, end: End::Refused { reason } });
            return;
        };
        let (deps, accept_failed) = (std::mem::take(&mut request.deps), request.accept_failed);
        let needs =
            match countable(&request.placement).and_then(|()| self.claims(pool, &request.placement.needs)) {
                Ok(needs) => needs,
                Err(reason) => {
                    self.counts[request.kind as usize].done += 1;
                    self.out.push(Action::Resolve { task: request.task, end: End::Refused { reason } });
                    return;
                }
            };
        let ix = self.admit(request, pool, needs);
        match self.await_deps(ix, &deps, accept_failed) {
            Err(end) => self.resolve(ix, end, None),
            Ok(_) if self.draining || self.pools[pool.at()].stage == Stage::Closed => {
                self.resolve(ix, End::Cancelled, None)
            }
            Ok(0) => self.make_ready(ix),
            Ok(deps) => {
                self.enter(ix, State::Waiting { deps });
                if let Some(reason) = self.never(ix) {
                    self.resolve(ix, End::Refused { reason }, None);
                }
            }
        }
    }

    fn admit(&mut self, request: Request, pool: PoolIx, needs: Vec<Claim>) -> TaskIx {
        let Request { task: id, kind, placement, retries, accept_failed, inputs, class, .. } = request;
        let (timeout_us, like) = (request.timeout_us, request.like);
        // `countable`.
        let (cores, nodes) =
            (placement.cores.unwrap_or(1).max(1) as u16, placement.nodes.unwrap_or(1).max(1) as u16);
        let gpus = placement.gpus.unwrap_or(0) as u16;
        let is_gang = nodes > 1 || gpus > 0 || !needs.is_empty();
        let need = match (placement.exclusive, kind) {
            (Some(Exclusive::Cores), _) if !is_gang => Need::Part(Part::Cores(cores)),
            (Some(Exclusive::Socket), _) if !is_gang => Need::Part(Part::Socket(cores)),
            (Some(Exclusive::Node | Exclusive::Cores | Exclusive::Socket), _) => Need::Whole { nodes, cores },
            (Some(Exclusive::No), _) if nodes > 1 => Need::Share { nodes, cores },
            _ if nodes > 1 => Need::Whole { nodes, cores },
            (_, Kind::Call) if cores == 1 && !is_gang => Need::Call,
            _ => Need::Cores(cores),
        };
        self.submitted += 1;
        self.counts[kind as usize].waiting += 1;
        let mut task = Task {
            id,
            rank: Rank::new(placement.priority.unwrap_or(0), self.submitted, request.tried),
            class,
            alarm: NEVER,
            pool,
            retries,
            attempt: 0,
            need,
            charged: 0,
            kind,
            accept_failed,
            recorded: request.recorded,
            rare: None,
            state: State::Waiting { deps: 0 },
        };
        if let Some(host) = &placement.host {
            task.rare().host = Some(self.fleet.node(host));
        }
        if let Some(host) = &placement.not_on {
            task.rare().not_on = Some(self.fleet.node(host));
        }
        if let Some(name) = placement.group.clone() {
            let groups = &mut self.groups;
            let group = self.group_ix.entry((pool, name, nodes)).or_insert_with(|| {
                groups.push(Group::default());
                GroupIx::new(groups.len() - 1)
            });
            task.rare().group = Some(*group);
        }
        if gpus > 0 {
            task.rare().gpus = gpus;
        }
        if placement.numa_local || placement.smt.is_some() {
            task.rare(); // and so not sent ahead: its keeper may have to let it wait for such cores
        }
        if !needs.is_empty() {
            task.rare().needs = needs;
        }
        if timeout_us.is_some() {
            task.rare().timeout_us = timeout_us;
        }
        if like.is_some() {
            task.rare().like = like;
        }
        if !inputs.is_empty() {
            task.rare().inputs = inputs;
        }
        self.tasks.insert(task)
    }

    /// Registers with the dependencies that have not ended and counts them.
    fn await_deps(&mut self, ix: TaskIx, deps: &[Dep], accept_failed: bool) -> Result<u32, End> {
        let id = self.tasks[ix].id;
        let mut pending = 0;
        for dep in deps {
            match dep.state {
                DepState::Ok(Some(artefact)) => self.tasks[ix].rare().inputs.push(artefact),
                DepState::Ok(None) => {}
                DepState::Failed if accept_failed => {}
                DepState::Failed => return Err(End::Skipped { cause: dep.task }),
                DepState::Pending => {
                    match self.tasks.find(dep.task).filter(|dep| *dep != ix && !self.is_wedged(*dep)) {
                        Some(dep) => {
                            self.tasks[dep].rare().dependents.push(id);
                            pending += 1;
                        }
                        None => {
                            let reason = format!("it depends on task {}, which is not pending", dep.task);
                            return Err(End::Refused { reason });
                        }
                    }
                }
            }
        }
        Ok(pending)
    }

    fn is_wedged(&self, ix: TaskIx) -> bool {
        matches!(&self.tasks[ix].state, State::Flying(flight) if flight.phase == Phase::Wedged)
    }

    /// Finds the queue for a task that could run.
    pub(super) fn route(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix];
        if task.state != State::Queued(Home::Ready) {
            return; // it ended while it waited for this
        }
        self.shun_no_longer(ix);
        let task = &self.tasks[ix];
        let (host, group, gang) = (task.host(), task.group(), task.is_gang());
        let pool = &self.pools[task.pool.at()];
        let end = if self.draining || pool.stage == Stage::Closed {
            Some(End::Cancelled)
        } else if let Some(reason) = self.never(ix) {
            // It could run once: the worker that was lost with it is missing.
            let workers = task.taken_along();
            Some(if workers.is_empty() { End::Refused { reason } } else { End::LostWorker { workers } })
        } else {
            pool.is_dead().then(|| End::LostWorker { workers: task.taken_along() })
        };
        if let Some(end) = end {
            self.resolve(ix, end, None);
            group.into_iter().for_each(|group| self.promote(group));
        } else if self.hold_if_late(ix) {
            group.into_iter().for_each(|group| self.promote(group));
        } else if let Some(node) = host
            && !gang
        {
            self.route_to_host(ix, node, group);
        } else if let Some(node) = host
            && !self.fleet[node].workers.iter().any(|id| self.suits(ix, self.demand(ix), *id))
        {
            self.host_missing(ix, node);
        } else if let Some(group) = group {
            self.route_group(ix, group);
        } else {
            self.queue_in_pool(ix);
        }
    }

    fn route_to_host(&mut self, ix: TaskIx, node: NodeIx, group: Option<GroupIx>) {
        let task = &self.tasks[ix];
        let fit = |id: &&WorkerId| {
            let worker = &self.fleet[**id];
            worker.serves(task.pool) && worker.suffices(task.need)
        };
        let home = group.and_then(|group| self.groups[group.at()].home.as_ref()).map(Gang::leader);
        let workers =
            self.fleet[node].workers.iter().filter(fit).filter(|id| home.is_none_or(|home| home == **id));
        let load = |id: &WorkerId| self.fleet[*id].tasks.len() + self.fleet[*id].own.len();
        let chosen = workers.copied().min_by_key(load);
        match chosen {
            Some(worker) => {
                self.bind(group, &Gang::one(worker));
                self.queue_at_worker(ix, worker);
            }
            None if home.is_some() => self.refuse_group(ix, home),
            None => self.host_missing(ix, node),
        }
    }

    /// No worker on its host could take it.
    fn host_missing(&mut self, ix: TaskIx, node: NodeIx) {
        let task = &self.tasks[ix];
        let (rank, workers) = (task.rank, task.taken_along());
        if self.pools[task.pool.at()].stage == Stage::Growing {
            self.enter(ix, State::Queued(Home::Parked(node)));
            self.fleet[node].parked.insert(rank, ix);
        } else if !self.fleet.is_staffed(node) && self.fleet[node].seen {
            self.resolve(ix, End::LostWorker { workers }, None);
        } else {
            let reason = self.no_such_host(ix, node);
            self.resolve(ix, End::Refused { reason }, None);
        }
    }

    fn route_group(&mut self, ix: TaskIx, group: GroupIx) {
        let task = &self.tasks[ix];
        let (rank, demand, gang) = (task.rank, self.demand(ix), task.is_gang());
        if let Some(home) = &self.groups[group.at()].home {
            let worker = home.leader();
            if gang {
                let suitable = home.iter().copied().filter(|id| self.suits(ix, demand, *id));
                match self.distinct(ix, demand, suitable) {
                    Some(_) => self.queue_with_gangs(ix),
                    None => self.refuse_group(ix, Some(worker)),
                }
            } else if self.suits(ix, demand, worker) {
                self.queue_at_worker(ix, worker);
            } else {
                self.refuse_group(ix, Some(worker));
            }
            return;
        }
        let Group { leader, waiting, .. } = &mut self.groups[group.at()];
        match *leader {
            None => {
                *leader = Some(ix);
                self.queue_in_pool(ix);
            }
            Some(other) if self.tasks[other].rank > rank => {
                *leader = Some(ix);
                waiting.insert(self.tasks[other].rank, other);
                self.leave_pool(other);
                self.enter(other, State::Queued(Home::Group(group)));
                self.queue_in_pool(ix);
            }
            Some(_) => {
                waiting.insert(rank, ix);
                self.enter(ix, State::Queued(Home::Group(group)));
            }
        }
    }

    /// Takes it out of its pool's queue.
    fn leave_pool(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix];
        match task.state {
            State::Queued(Home::Shape(shape)) => {
                self.pools[task.pool.at()].shapes.remove(shape, task.rank);
            }
            State::Queued(Home::Gangs(shape)) => self.leave_gangs(ix, shape),
            _ => {}
        }
    }

    fn queue_in_pool(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix];
        if task.is_gang() {
            return self.queue_with_gangs(ix);
        }
        let (rank, pool) = (task.rank, task.pool);
        let shape = self.pools[pool.at()].shapes.insert(task.shape(), rank, ix);
        self.enter(ix, State::Queued(Home::Shape(shape)));
        let books = &self.pools[pool.at()];
        // Else one before it asks for the same in vain; and it could not fill a gap either.
        if books.shapes.leads(rank) || books.reservation.is_some() {
            self.mark_stale(pool);
        }
    }

    fn queue_at_worker(&mut self, ix: TaskIx, worker: WorkerId) {
        let rank = self.tasks[ix].rank;
        self.fleet[worker].own.insert(rank, ix);
        self.enter(ix, State::Queued(Home::Worker(worker)));
        self.touch(worker);
    }

    /// Takes a queued task out of its queue; the caller gives it its next state.
    pub(super) fn dequeue(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix];
        let (rank, group) = (task.rank, task.group());
        let State::Queued(home) = task.state else { return };
        match home {
            Home::Ready => {}
            Home::Shape(_) | Home::Gangs(_) => {
                self.leave_pool(ix);
                if let Some(group) = group {
                    if self.groups[group.at()].leader == Some(ix) {
                        self.groups[group.at()].leader = None;
                    }
                    self.promote(group);
                }
            }
            Home::Worker(worker) => {
                self.fleet[worker].own.remove(rank);
            }
            Home::Group(group) => {
                self.groups[group.at()].waiting.remove(&rank);
            }
            Home::Parked(node) => {
                self.fleet[node].parked.remove(&rank);
            }
            Home::Resting => self.clear_alarm(ix),
        }
        self.enter(ix, State::Queued(Home::Ready));
    }

    /// If the group has neither a node nor a task that looks for one, its next task does.
    pub(super) fn promote(&mut self, group: GroupIx) {
        let entry = &mut self.groups[group.at()];
        if entry.home.is_none()
            && entry.leader.is_none()
            && let Some((_, next)) = entry.waiting.pop_first()
        {
            self.make_ready(next);
        }
    }

    /// The group's tasks run on these workers from now on, unless they have a home already.
    pub(super) fn bind(&mut self, group: Option<GroupIx>, gang: &Gang) {
        let Some(group) = group else { return };
        let entry = &mut self.groups[group.at()];
        if entry.home.is_some() {
            return;
        }
        entry.home = Some(gang.clone());
        let mut followers = std::mem::take(&mut entry.waiting);
        let leader = entry.leader.take();
        gang.iter().for_each(|worker| self.fleet[*worker].groups.push(group));
        if let Some(leader) = leader {
            self.mark_stale(self.tasks[leader].pool);
            self.dequeue(leader); // it stands in the pool's queue, but its group has just found a node
            followers.insert(self.tasks[leader].rank, leader);
        }
        followers.into_values().for_each(|ix| self.make_ready(ix));
    }

    /// The group has lost its home: those of its tasks that wait for just that look for one again.
    pub(super) fn reroute_gangs(&mut self, pool: PoolIx, group: GroupIx) {
        let gangs = self.pools[pool.at()].gangs.tasks();
        let mut again: Vec<TaskIx> = gangs.filter(|ix| self.tasks[*ix].group() == Some(group)).collect();
        again.sort_unstable_by_key(|ix| self.tasks[*ix].rank);
        for ix in again {
            self.dequeue(ix);
            self.make_ready(ix);
        }
    }

    /// The pool's workers changed for the worse: whoever can never run now ends.
    pub(super) fn reconsider(&mut self, pool: PoolIx) {
        let dead = self.pools[pool.at()].is_dead();
        let mut again: Vec<TaskIx> = Vec::new();
        let books = &self.pools[pool.at()];
        let lost = |head: &Head| dead || self.never(head.ix).is_some();
        again.extend(
            books
                .shapes
                .heads()
                .filter(lost)
                .flat_map(|head| books.shapes[head.queue].tasks().map(|(_, ix)| ix)),
        );
        let gangs = books.gangs.tasks();
        again
            .extend(gangs.filter(|ix| dead || self.tasks[*ix].host().is_some() || self.never(*ix).is_some()));
        if dead {
            again.extend(self.resting_in(pool));
        }
        if self.pools[pool.at()].stage != Stage::Growing || dead {
            let parked = self.fleet.nodes().flat_map(|(_, node)| node.parked.values().copied());
            again.extend(parked.filter(|ix| self.tasks[*ix].pool == pool));
        }
        again.sort_unstable_by_key(|ix| self.tasks[*ix].rank);
        self.mark_stale(pool);
        for ix in again {
            self.dequeue(ix);
            self.make_ready(ix);
        }
    }

    fn refuse_group(&mut self, ix: TaskIx, home: Option<WorkerId>) {
        let home = home.map(|worker| &self.fleet[worker]);
        let place = home.map_or(String::new(), |worker| {
            format!(" on `{}`, a worker with {} slots", self.fleet[worker.node].host, worker.slots)
        });
        let reason = format!(
            "its group is{place}, which its `host`, `not_on` or {} core(s) exclude: take another group",
            self.tasks[ix].need.cores()
        );
        self.resolve(ix, End::Refused { reason }, None);
    }

    /// A dependency did not end well.
    pub(super) fn skip(&mut self, task: TaskId, cause: TaskId) {
        if let Some(ix) = self.tasks.find(task) {
            self.resolve(ix, End::Skipped { cause }, None);
        }
    }

    /// The task has ended, well if `good` (which may carry an artefact). It must hold nothing any more, or be wedged.
    pub(super) fn resolve(&mut self, ix: TaskIx, end: End, good: Option<Option<Hash>>) {
        let task = &mut self.tasks[ix];
        let id = task.id;
        let dependents =
            task.rare.as_mut().map(|rare| std::mem::take(&mut rare.dependents)).unwrap_or_default();
        self.out.push(Action::Resolve { task: id, end });
        if !self.is_wedged(ix) {
            self.enter(ix, State::Vacant);
            self.tasks.remove(ix);
        }
        for dependent in dependents {
            let Some(dependent) = self.tasks.find(dependent) else { continue };
            self.dep_ended(dependent, id, good);
        }
    }

    fn dep_ended(&mut self, ix: TaskIx, dep: TaskId, good: Option<Option<Hash>>) {
        let task = &mut self.tasks[ix];
        let State::Waiting { deps } = &mut task.state else { return };
        if good.is_none() && !task.accept_failed {
            self.agenda.doomed.push_back((task.id, dep));
            return;
        }
        *deps -= 1;
        let last = *deps == 0;
        if let Some(Some(artefact)) = good {
            task.rare().inputs.push(artefact);
        }
        if last {
            self.make_ready(ix);
        }
    }
}

/// More than the books can hold is more than there can be.
fn countable(placement: &Placement) -> Result<(), String> {
    let wishes = [("nodes", placement.nodes), ("cores", placement.cores), ("gpus", placement.gpus)];
    let most = u32::from(u16::MAX);
    match wishes.into_iter().find_map(|(name, wish)| Some((name, wish.filter(|wish| *wish > most)?))) {
        Some((name, wish)) => {
            Err(format!("it asks for {name} = {wish}, and no pool has more than {most}: ask for fewer"))
        }
        None => Ok(()),
    }
}
