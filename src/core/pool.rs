//! A pool: its workers by load, and its queued tasks by what they ask for. Tasks that may run on one worker only do not stand
//! here but with that worker.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::api::Tick;
use super::queues::Queues;
use super::reluctant::{Counted, Shyness};
use super::task::{Claim, GroupIx, NEVER, Need, NodeIx, Rank, TaskIx};
use super::tree::{Offer, Tree};
use crate::model::{PoolId, WorkerId};

/// A pool.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub id: PoolId,
    pub stage: Stage,
    /// Open workers by what they can take, but for reluctant ones.
    tree: Tree,
    /// Reluctant ones: who keeps off them sees at once that there is nothing else.
    reluctant_tree: Tree,
    /// The worker at each place of the trees.
    pub places: Vec<Option<WorkerId>>,
    vacant: Vec<usize>,
    /// How many live workers are of each size.
    sizes: BTreeMap<Size, u32>,
    /// How many live workers are on each node.
    hosts: BTreeMap<NodeIx, u32>,
    pub alive: u32,
    /// Workers it had.
    pub gone: u32,
    /// Those of them that measure only where no others can.
    pub reluctant: u32,
    /// How many nodes measure, as far as somebody asked since a worker came or went.
    pub counted: RefCell<Counted>,
    /// Likewise whether all that queue in `shapes` keep off reluctant workers.
    pub shyness: Cell<Option<Shyness>>,
    pub shapes: Queues<Shape>,
    /// Queued tasks that need several things at once.
    pub gangs: Queues<GangShape>,
    /// How many of those share their nodes.
    pub sharing: usize,
    /// Something changed that a gang may wait for.
    pub look: bool,
    /// What the first gang that waits has been promised.
    pub reservation: Option<Reservation>,
    pub counters: Vec<Counter>,
    /// Workers whose own first task, of this rank, waits because the pool's go before it; some may wait no more.
    pub deferred: BTreeMap<Rank, WorkerId>,
    /// Its workers that have or had a lease that measurements share.
    pub sides: BTreeSet<WorkerId>,
    /// A task of several cores has reserved a worker.
    pub reserved: Option<TaskIx>,
    /// Grows when a node or a worker becomes available: what found no node before looks again.
    pub epoch: u64,
    /// Calls waiting in pipes of its workers.
    pub surplus: u64,
    /// Calls that were asked back and have neither come nor begun.
    pub recalled: u64,
    /// When to ask for calls that wait behind others while units are idle.
    pub steal: Tick,
    /// It keeps off nodes of so many faults, if off any.
    pub quarantine: Option<u32>,
}

/// What a worker has, and whether it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size {
    pub slots: u16,
    pub gpus: u16,
    pub measures: bool,
}

/// Nodes kept for a gang.
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    pub ix: TaskIx,
    /// One worker on each node.
    pub workers: Vec<WorkerId>,
    /// When it starts at the latest, as it was first told; not known if something without a timeout runs there.
    pub until: Option<Tick>,
}

/// Something tasks use up by name while they run.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    pub name: String,
    pub capacity: u32,
    pub used: u32,
}

impl Counter {
    pub fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.used)
    }
}

/// Will more workers come?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Perhaps.
    Growing,
    /// No.
    Settled,
    /// All its tasks are cancelled.
    Closed,
}

/// What a task that takes room on one worker asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub need: Need,
    pub not_on: Option<NodeIx>,
    /// Does it keep off reluctant workers where others would do?
    pub choosy: bool,
}

/// What a gang asks for: where one finds no room, no other does that asks for the same and comes later. But for what they need
/// of artefacts: where the first fills no gap because its own are not there yet, those behind it wait with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GangShape {
    pub shape: Shape,
    pub gpus: u16,
    pub needs: Box<[Claim]>,
    pub host: Option<NodeIx>,
    pub group: Option<GroupIx>,
    /// One that ends in time may pass others.
    pub timeout_us: Option<u64>,
    /// It needs artefacts.
    pub brings: bool,
}

impl Pool {
    pub fn new(id: PoolId) -> Self {
        Self {
            id,
            stage: Stage::Growing,
            tree: Tree::default(),
            reluctant_tree: Tree::default(),
            places: Vec::new(),
            vacant: Vec::new(),
            sizes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            alive: 0,
            gone: 0,
            reluctant: 0,
            counted: RefCell::default(),
            shyness: Cell::default(),
            shapes: Queues::default(),
            gangs: Queues::default(),
            sharing: 0,
            look: false,
            reservation: None,
            counters: Vec::new(),
            deferred: BTreeMap::new(),
            sides: BTreeSet::new(),
            reserved: None,
            epoch: 0,
            surplus: 0,
            recalled: 0,
            steal: NEVER,
            quarantine: None,
        }
    }

    /// It has no worker and none will come.
    pub fn is_dead(&self) -> bool {
        self.alive == 0 && self.stage != Stage::Growing
    }

    /// Does it keep off a node of so many faults, if it can?
    pub fn is_wary_of(&self, faults: u32) -> bool {
        self.quarantine.is_some_and(|most| faults >= most)
    }

    /// A worker has come; its place in the trees.
    pub fn add(&mut self, worker: WorkerId, size: Size, node: NodeIx) -> usize {
        let place = self.vacant.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(worker);
        *self.sizes.entry(size).or_default() += 1;
        *self.hosts.entry(node).or_default() += 1;
        self.alive += 1;
        self.staff_changed();
        place
    }

    /// A worker is lost.
    pub fn lose(&mut self, place: usize, size: Size, node: NodeIx) {
        self.places[place] = None;
        self.vacant.push(place);
        self.tree.close(place);
        self.reluctant_tree.close(place);
        discount(&mut self.sizes, size);
        discount(&mut self.hosts, node);
        self.alive -= 1;
        self.staff_changed();
    }

    /// What the worker at this place can take.
    pub fn offer(&mut self, place: usize, measures: bool, offer: Offer) {
        if measures { self.tree.set(place, offer) } else { self.reluctant_tree.set(place, offer) }
    }

    /// What is offered at this place.
    pub fn offered(&self, place: usize, measures: bool) -> Offer {
        if measures { self.tree.get(place) } else { self.reluctant_tree.get(place) }
    }

    /// The best of all offers, and the most units, for one that `avoids` reluctant workers or does not.
    pub fn top(&self, avoids: bool) -> Offer {
        let top = self.tree.top();
        if avoids { top } else { top.join(self.reluctant_tree.top()) }
    }

    /// The best open place with at least `idle` free units that `fits`; the first one of equals.
    pub fn best(&self, idle: u16, avoids: bool, mut fits: impl FnMut(WorkerId) -> bool) -> Option<WorkerId> {
        let mut fits = |place: usize| self.places[place].is_some_and(&mut fits);
        let found = self.tree.best(idle, &mut fits);
        let other = if avoids { None } else { self.reluctant_tree.best(idle, &mut fits) };
        let best = found.into_iter().chain(other).min_by_key(|(key, place)| (Reverse(*key), *place));
        best.and_then(|(_, place)| self.places[place])
    }

    /// The open workers with idle units that are not reluctant, from this place on, each with the place behind it.
    pub fn willing(&self, from: usize) -> impl Iterator<Item = (WorkerId, usize)> {
        self.tree.idle(from).filter_map(|place| Some((self.places[place]?, place + 1)))
    }

    /// The open workers with idle units that are reluctant.
    pub fn unwilling(&self) -> impl Iterator<Item = WorkerId> {
        self.reluctant_tree.idle(0).filter_map(|place| self.places[place])
    }

    fn staff_changed(&mut self) {
        self.counted.get_mut().clear();
        self.shyness.take();
        self.changed();
    }

    /// A node or a worker became available, or went.
    pub fn changed(&mut self) {
        self.epoch += 1;
        self.look = true;
    }

    /// Slots of its largest worker.
    pub fn largest(&self) -> u16 {
        self.sizes.last_key_value().map_or(0, |(size, _)| size.slots)
    }

    /// Are all of its workers of one size? Those that are reluctant may be left out.
    pub fn is_uniform(&self, but_for_reluctant: bool) -> bool {
        self.sizes.keys().filter(|size| size.measures || !but_for_reluctant).nth(1).is_none()
    }

    /// The nodes its workers are on.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = NodeIx> {
        self.hosts.keys().copied()
    }

    /// Is one of its workers on this node?
    pub fn is_on(&self, node: NodeIx) -> bool {
        self.hosts.contains_key(&node)
    }
}

fn discount<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
