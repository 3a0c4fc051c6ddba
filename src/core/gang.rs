//! Tasks that need several things at once: nodes, GPUs, counters of their pool. All of them or none.
//!
//! Those that ask for the same stand in one queue, and the first of each are walked through in the order of their ranks. The first
//! that does not find its nodes is promised some (`reserve`); those behind it start where they do not delay it. Counters are handed out in
//! order: while a task waits for one, later tasks do not get it. Which nodes: those with the least to spare, so that
//! others stay whole; where all are alike, the first. It never waits for a node that is not promised to it.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxBuildHasher, FxHashSet};

use super::Core;
use super::api::{Gang, GpuSet};
use super::fleet::Lease;
use super::queues::Head;
use super::task::{Claim, NodeIx, PoolIx, Rank, State, Task, TaskIx};
use crate::model::WorkerId;

/// So many kinds that wait are looked at for some that could start before their turn.
const MOST_LOOKED_AT: usize = 1000;
/// So many failures are remembered in a walk, to spare a search for those that ask for no less.
const MOST_FAILED: usize = 8;

/// What a gang needs of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub nodes: u16,
    pub cores: u16,
    pub gpus: u16,
    pub whole: bool,
    /// Not on reluctant workers.
    pub avoids: bool,
}

impl Demand {
    /// What it needs where any workers will do.
    pub fn of(task: &Task) -> Self {
        let (need, gpus) = (task.need, task.gpus());
        let (nodes, cores, whole) = (need.nodes(), need.cores(), need.is_quiet());
        Demand { nodes, cores, gpus, whole, avoids: false }
    }

    /// Where this fits the other does.
    fn covers(self, other: Self) -> bool {
        self.nodes >= other.nodes
            && self.cores >= other.cores
            && self.gpus >= other.gpus
            && self.whole >= other.whole
            && self.avoids >= other.avoids
    }
}

/// One walk through the gangs of a pool.
#[derive(Default)]
pub(super) struct Walk {
    begun: bool,
    /// The first of their kinds that go no later found nothing.
    passed: Option<Rank>,
    looked_at: usize,
    /// Workers that had something free when the walk came to them; once all were looked at, those on nodes that nobody has.
    free: Vec<WorkerId>,
    /// Of the pool's willing workers those from this place on were not looked at, nor any others. None: all were.
    unseen: Option<usize>,
    /// Counters for which an earlier one waits.
    wanted: BTreeSet<usize>,
    /// What found too few nodes, of those that may run anywhere: with the fewest nodes that are too many, and its timeout (µs).
    failed: Vec<(Demand, u64)>,
    /// One waits for nodes already.
    promised: bool,
}

/// How long it may take (µs).
fn patience(task: &Task) -> u64 {
    task.timeout_us().unwrap_or(u64::MAX)
}

/// Is the worker one of this gang, which is in the order of `distinct`?
pub(super) fn is_member(id: WorkerId, gang: &[WorkerId]) -> bool {
    gang.split_first().is_some_and(|(leader, others)| *leader == id || others.binary_search(&id).is_ok())
}

impl Walk {
    /// It was looked at, and waits on.
    fn pass(&mut self, head: Head) {
        self.passed = Some(head.rank);
        self.looked_at += 1;
    }

    /// All were looked at: is it known that this finds no room?
    fn rules_out(&self, demand: Demand, patience: u64) -> bool {
        self.free.len() < usize::from(demand.nodes)
            || self.failed.iter().any(|(other, than)| demand.covers(*other) && patience >= *than)
    }
}

impl Core {
    /// What it needs now.
    pub(super) fn demand(&self, ix: TaskIx) -> Demand {
        Demand { avoids: self.avoids(ix), ..Demand::of(&self.tasks[ix]) }
    }

    /// Starts the gangs that go before `before`. While `first`, nobody waits who goes before them.
    pub(super) fn serve_gangs(&mut self, pool: PoolIx, before: Option<Rank>, walk: &mut Walk, first: bool) {
        if !walk.begun {
            walk.begun = true;
            if std::mem::take(&mut self.pools[pool.at()].look) {
                walk.unseen = Some(0);
            } else {
                walk.looked_at = MOST_LOOKED_AT; // nothing has changed for them
            }
        }
        while let Some(head) = self.next_gang(pool, before, walk) {
            if !self.hold_if_late(head.ix) && !self.serve_gang(pool, head.ix, walk, first) {
                walk.pass(head);
            }
        }
    }

    /// The next of those that go before `before` for which there may be something to do.
    fn next_gang(&self, pool: PoolIx, before: Option<Rank>, walk: &mut Walk) -> Option<Head> {
        let heads = self.pools[pool.at()].gangs.heads_after(walk.passed);
        for head in heads.take_while(|head| before.is_none_or(|before| head.rank < before)) {
            if walk.looked_at >= MOST_LOOKED_AT {
                break;
            }
            let task = &self.tasks[head.ix];
            // Once somebody has been promised nodes all were looked at.
            let hopeless = walk.promised
                && (walk.free.len() < usize::from(task.need.nodes())
                    || walk.rules_out(self.demand(head.ix), patience(task)));
            if !hopeless || !task.needs().is_empty() || self.is_late(head.ix) {
                return Some(head);
            }
            walk.pass(head);
        }
        None
    }

    /// Starts it, or sees to it that it waits for what it lacks. Did it start?
    fn serve_gang(&mut self, pool: PoolIx, ix: TaskIx, walk: &mut Walk, first: bool) -> bool {
        let counters = &self.pools[pool.at()].counters;
        let needs = self.tasks[ix].needs();
        let lacking = needs
            .iter()
            .any(|need| walk.wanted.contains(&need.counter) || counters[need.counter].free() < need.amount);
        if !lacking && let Some(gang) = self.find_gang(pool, ix, walk) {
            self.start_gang(ix, gang);
            walk.free.retain(|id| self.fleet[self.fleet[*id].node].lease == Lease::Open);
            return true;
        }
        walk.wanted.extend(self.tasks[ix].needs().iter().map(|need| need.counter));
        if lacking {
            self.cease_reserving(ix); // nodes do not wait for a counter
        } else if !std::mem::replace(&mut walk.promised, true) {
            if first {
                self.reserve(pool, ix, &walk.free);
                if self.promise(ix).is_none() {
                    // Nobody behind it may use these in the meantime.
                    walk.free.retain(|id| self.fleet[self.fleet[*id].node].reserved != Some(ix));
                }
            } else {
                self.pools[pool.at()].look = true; // as soon as it is the first that waits
            }
        }
        false
    }

    /// From now on all workers of the pool with idle units are in `free` that are on nodes nobody has, though they may be kept
    /// for a gang.
    fn see_all(&self, pool: PoolIx, walk: &mut Walk) {
        if walk.unseen.take().is_none() {
            return;
        }
        // Those before it once more: who has started may have left what was kept for him.
        let books = &self.pools[pool.at()];
        walk.free.clear();
        walk.free.extend(books.willing(0).map(|(id, _)| id).chain(books.unwilling()));
        // Those that are kept are closed to others, and not among them.
        for kept in
            self.pools.iter().filter_map(|pool| pool.reservation.as_ref()).flat_map(|kept| &kept.workers)
        {
            let workers = self.fleet[self.fleet[*kept].node].workers.iter();
            walk.free
                .extend(workers.filter(|id| self.fleet[**id].serves(pool) && self.fleet[**id].idle() > 0));
        }
        walk.free.retain(|id| self.fleet[self.fleet[*id].node].lease == Lease::Open);
    }

    /// The nodes on which it could start now, if the first that are looked at do: where it has whole ones, and all are alike.
    fn find_alike(&self, pool: PoolIx, ix: TaskIx, demand: Demand, walk: &mut Walk) -> Option<Gang> {
        let books = &self.pools[pool.at()];
        let mut willing = books.willing(walk.unseen?);
        if !demand.whole || demand.gpus > 0 || !books.is_uniform(self.tasks[ix].is_choosy()) {
            return None;
        }
        let suits = self.suiting(ix, demand);
        let fits = |id: &WorkerId| suits(id) && self.has_room(demand, *id);
        let mut found: Vec<WorkerId> = walk.free.iter().copied().filter(&fits).collect();
        while found.len() < usize::from(demand.nodes) {
            let (id, behind) = willing.next()?;
            walk.unseen = Some(behind);
            walk.free.push(id);
            found.extend(Some(id).filter(&fits));
        }
        self.distinct(ix, demand, found.into_iter()).map(Gang::from)
    }

    /// The nodes on which it could start now.
    fn find_gang(&mut self, pool: PoolIx, ix: TaskIx, walk: &mut Walk) -> Option<Gang> {
        let demand = self.demand(ix);
        if let Some(gang) = self.find_alike(pool, ix, demand, walk) {
            return Some(gang);
        }
        self.see_all(pool, walk);
        let task = &self.tasks[ix];
        let patience = patience(task);
        if walk.rules_out(demand, patience) {
            return None;
        }
        let anywhere = !task.is_bound() && task.not_on().is_none();
        let mut found: Vec<((bool, bool, u16, u16), WorkerId)> = Vec::with_capacity(walk.free.len());
        for id in walk.free.iter().copied().filter(self.suiting(ix, demand)) {
            let worker = &self.fleet[id];
            if self.has_room(demand, id) && self.admits(worker.node, ix) {
                let spare = self.fleet.free_gpus(id).len();
                let (shunned, kept) =
                    (task.is_choosy() && !worker.measures, self.fleet[worker.node].reserved.is_some());
                found.push(((shunned, kept, spare, worker.idle()), id));
            }
        }
        let chosen = self.best_of(ix, demand, &mut found);
        if chosen.is_none() && anywhere && walk.failed.len() < MOST_FAILED {
            // There are no more for whoever asks for the same of each and goes later.
            let nodes = demand.nodes.min(u16::try_from(found.len() + 1).unwrap_or(u16::MAX));
            walk.failed.push((Demand { nodes, ..demand }, patience));
        }
        let mut gang = chosen?;
        // On somebody else's nodes it must be gone in time: it does not wait there for artefacts, but starts where it need not.
        let borrows = |core: &Self, id: WorkerId| core.borrows(core.fleet[id].node, ix);
        if gang.iter().any(|id| borrows(self, *id)) && self.lacks_any(ix, &gang) {
            found.retain(|(_, id)| !borrows(self, *id));
            gang = self.best_of(ix, demand, &mut found)?;
        }
        Some(Gang::from(gang))
    }

    /// Could it be a member, whoever is there now?
    pub(super) fn suits(&self, ix: TaskIx, demand: Demand, id: WorkerId) -> bool {
        self.suiting(ix, demand)(&id)
    }

    /// The same for many workers: what the task asks for is looked up once.
    pub(super) fn suiting(&self, ix: TaskIx, demand: Demand) -> impl Fn(&WorkerId) -> bool {
        let task = &self.tasks[ix];
        let (pool, need, not_on) = (task.pool, task.need, task.not_on());
        let host = task.host().filter(|_| demand.nodes <= 1);
        let home = task.group().and_then(|group| self.groups[group.at()].home.as_ref());
        move |id| {
            let worker = &self.fleet[*id];
            worker.serves(pool)
                && worker.suffices(need)
                && (worker.measures || !demand.avoids)
                && worker.gpus.len() >= demand.gpus
                && not_on != Some(worker.node)
                && host.is_none_or(|host| host == worker.node)
                && home.is_none_or(|home| home.contains(id))
        }
    }

    /// Is there room for it now?
    pub(super) fn has_room(&self, demand: Demand, id: WorkerId) -> bool {
        let worker = &self.fleet[id];
        let node = worker.node;
        let units = if demand.whole { self.fleet.is_empty(node) } else { worker.idle() >= demand.cores };
        units
            && self.fleet[node].lease == Lease::Open
            && (demand.gpus == 0 || self.fleet.free_gpus(id).len() >= demand.gpus)
    }

    /// Of these, the least first, as many as the gang has nodes. Of thousands it has few: nearly always all of the least are its, and
    /// none need be put in order.
    pub(super) fn best_of<K: Ord>(
        &self,
        ix: TaskIx,
        demand: Demand,
        candidates: &mut [(K, WorkerId)],
    ) -> Option<Vec<WorkerId>> {
        let size = usize::from(demand.nodes);
        if size < candidates.len() {
            candidates.select_nth_unstable(size);
        }
        let least = candidates.get(..size)?;
        self.distinct(ix, demand, least.iter().map(|(_, id)| *id)).or_else(|| {
            candidates.sort_unstable();
            self.distinct(ix, demand, candidates.iter().map(|(_, id)| *id))
        })
    }

    /// As many of these, the first ones, as the gang has nodes, each on a node of its own, all of one allocation: of the first
    /// that has enough. The leader, on its `host` if it has one, comes first, the others in the order of their numbers.
    pub(super) fn distinct(
        &self,
        ix: TaskIx,
        demand: Demand,
        candidates: impl Iterator<Item = WorkerId> + Clone,
    ) -> Option<Vec<WorkerId>> {
        let of = |id: WorkerId| self.fleet[id].allocation;
        let size = usize::from(demand.nodes);
        if let Some(host) = self.tasks[ix].host() {
            let leader = candidates.clone().find(|id| self.fleet[*id].node == host)?;
            return self.gang_of(size, Some(leader), candidates.filter(|id| of(*id) == of(leader)));
        }
        let mut tried = Vec::new();
        for id in candidates.clone() {
            if !tried.contains(&of(id)) {
                tried.push(of(id));
                let gang = self.gang_of(size, None, candidates.clone().filter(|other| of(*other) == of(id)));
                if gang.is_some() {
                    return gang;
                }
            }
        }
        None
    }

    /// The first ones, each on a node of its own, after the leader.
    fn gang_of(
        &self,
        size: usize,
        leader: Option<WorkerId>,
        candidates: impl Iterator<Item = WorkerId>,
    ) -> Option<Vec<WorkerId>> {
        let mut nodes = FxHashSet::with_capacity_and_hasher(size, FxBuildHasher);
        let mut gang = Vec::with_capacity(size);
        nodes.extend(leader.map(|id| self.fleet[id].node));
        gang.extend(leader);
        for id in candidates {
            if gang.len() == size {
                break;
            }
            if nodes.insert(self.fleet[id].node) {
                gang.push(id);
            }
        }
        gang[usize::from(leader.is_some())..].sort_unstable();
        (gang.len() == size).then_some(gang)
    }

    /// On how many nodes of one allocation there are such workers of the pool; counted no further than `enough`.
    pub(super) fn most_together(
        &self,
        pool: PoolIx,
        enough: usize,
        is_such: impl Fn(NodeIx, WorkerId) -> bool,
    ) -> usize {
        if enough <= 1 {
            let is_one = |node: NodeIx| self.fleet[node].workers.iter().any(|id| is_such(node, *id));
            return usize::from(self.pools[pool.at()].hosts().any(is_one));
        }
        // By allocation: how many, and the last of them.
        let mut counts: Vec<(usize, Option<NodeIx>)> = Vec::new();
        let mut most = 0;
        for node in self.pools[pool.at()].hosts() {
            for id in self.fleet[node].workers.iter().filter(|id| is_such(node, **id)) {
                let allocation = usize::from(self.fleet[*id].allocation);
                counts.resize(counts.len().max(allocation + 1), (0, None));
                let (count, last) = &mut counts[allocation];
                if last.replace(node) != Some(node) {
                    *count += 1;
                    most = most.max(*count);
                }
            }
            if most >= enough {
                break;
            }
        }
        most
    }

    /// Gives it everything and lets it start.
    fn start_gang(&mut self, ix: TaskIx, gang: Gang) {
        let pool = self.tasks[ix].pool.at();
        let look = self.pools[pool].look;
        self.dequeue(ix);
        self.pools[pool].look = look; // what it leaves to others the walk goes on to see
        for need in self.tasks[ix].needs() {
            self.pools[pool].counters[need.counter].used += need.amount;
        }
        self.grant_gpus(ix, &gang);
        if self.tasks[ix].need.is_quiet() { self.lease(ix, gang) } else { self.put(ix, gang) }
    }

    /// The same numbers on all nodes if they can be had: a launcher sets one environment for all ranks.
    fn grant_gpus(&mut self, ix: TaskIx, gang: &[WorkerId]) {
        let wanted = self.tasks[ix].gpus();
        if wanted == 0 {
            return;
        }
        let free = |id: &WorkerId| self.fleet.free_gpus(*id);
        let common = gang.iter().map(free).reduce(GpuSet::and).unwrap_or_default();
        let choose = |id| if common.len() >= wanted { common } else { free(id) }.lowest(wanted);
        let granted: Box<[GpuSet]> = gang.iter().map(choose).collect();
        for (id, gpus) in gang.iter().zip(&granted) {
            assert_eq!(gpus.len(), wanted, "{id} has fewer GPUs free than were found there");
            let node = self.fleet[*id].node;
            self.fleet[node].gpus_used = self.fleet[node].gpus_used.with(*gpus);
        }
        self.tasks[ix].rare().granted = granted;
    }

    /// Its attempt is over: GPUs and counters are free again.
    pub(super) fn give_back(&mut self, ix: TaskIx, gang: &[WorkerId]) {
        let task = &mut self.tasks[ix];
        let at = task.pool;
        let Some(rare) = &mut task.rare else { return };
        let granted = std::mem::take(&mut rare.granted);
        if !rare.needs.is_empty() {
            let pool = &mut self.pools[at.at()];
            rare.needs.iter().for_each(|need| pool.counters[need.counter].used -= need.amount);
            pool.look = true;
            self.mark_stale(at);
        }
        for (id, gpus) in gang.iter().zip(granted) {
            let node = self.fleet[*id].node;
            self.fleet[node].gpus_used = self.fleet[node].gpus_used.without(gpus);
            self.stir(node);
        }
    }

    /// The counters it needs, which the pool must have.
    pub(super) fn claims(&self, pool: PoolIx, needs: &BTreeMap<String, u32>) -> Result<Vec<Claim>, String> {
        let pool = &self.pools[pool.at()];
        let claim = |(name, amount): (&String, &u32)| {
            let found = pool.counters.iter().position(|counter| counter.name == *name);
            let capacity = found.map(|at| pool.counters[at].capacity);
            match (found, capacity) {
                (Some(counter), Some(capacity)) if *amount <= capacity => {
                    Ok(Claim { counter, amount: *amount })
                }
                (_, Some(capacity)) => Err(format!(
                    "it needs {name} = {amount}, pool {} has {capacity}: ask for less, or give the pool more",
                    pool.id
                )),
                _ => {
                    let names: Vec<&str> = pool.counters.iter().map(|counter| &*counter.name).collect();
                    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    Err(format!(
                        "it needs {name} = {amount}, which pool {} does not have (it has {there}): \
                         say how much there is when the pool is opened",
                        pool.id
                    ))
                }
            }
        };
        needs.iter().filter(|(_, amount)| **amount > 0).map(claim).collect()
    }

    /// Queues it with the other gangs of its pool.
    pub(super) fn queue_with_gangs(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix];
        let (rank, at) = (task.rank, task.pool);
        let pool = &mut self.pools[at.at()];
        let shape = pool.gangs.insert(task.gang_shape(), rank, ix);
        pool.sharing += usize::from(!task.need.is_quiet());
        pool.look |= pool.gangs.leads(rank); // else one before it asks for the same in vain
        self.enter(ix, State::Queued(super::task::Home::Gangs(shape)));
        self.mark_stale(at);
    }

    /// Takes it out again.
    pub(super) fn leave_gangs(&mut self, ix: TaskIx, shape: u32) {
        self.cease_reserving(ix);
        let task = &self.tasks[ix];
        let pool = &mut self.pools[task.pool.at()];
        pool.gangs.remove(shape, task.rank);
        pool.sharing -= usize::from(!task.need.is_quiet());
        pool.look = true;
    }

    /// Something ended on the worker: may a gang wait for it?
    pub(super) fn tell_gangs(&mut self, id: WorkerId) {
        let worker = &self.fleet[id];
        let node = &self.fleet[worker.node];
        let (kept, empty) = (node.reserved.is_some(), worker.tasks.is_empty());
        for other in &node.workers {
            let pool = &self.pools[self.fleet[*other].pool.at()];
            if !pool.gangs.is_empty() && (kept || pool.sharing > 0 || empty) {
                return self.stir(worker.node);
            }
        }
    }

    /// Gangs of all pools on this node look again.
    pub(super) fn stir(&mut self, node: NodeIx) {
        for at in 0..self.fleet[node].workers.len() {
            let pool = self.fleet[self.fleet[node].workers[at]].pool;
            self.pools[pool.at()].look = true;
            self.mark_stale(pool);
        }
    }
}
