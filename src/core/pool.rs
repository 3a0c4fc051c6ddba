//! A pool: its workers by load, and its queued tasks by shape.
//!
//! Tasks that ask for the same stand in one queue, so a dispatch looks at one head per shape, never at the
//! whole queue. Tasks that may run on one worker only do not stand here but with that worker.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::api::Tick;
use super::task::{NEVER, Need, NodeIx, Rank, TaskIx};
use super::tree::{Offer, Tree};
use crate::model::{PoolId, WorkerId};

/// A pool.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub id: PoolId,
    pub stage: Stage,
    /// Open workers by what they can take.
    pub tree: Tree,
    /// The worker at each place of the tree.
    pub places: Vec<Option<WorkerId>>,
    vacant: Vec<usize>,
    /// How many live workers have so many slots.
    sizes: BTreeMap<u16, u32>,
    /// How many live workers are on each node.
    hosts: BTreeMap<NodeIx, u32>,
    pub alive: u32,
    /// Those of them that measure only where no others can.
    pub reluctant: u32,
    pub shapes: Vec<Shape>,
    by_shape: FxHashMap<(Need, Option<NodeIx>, bool), u32>,
    /// Queued tasks that need several things at once.
    pub gangs: BTreeMap<Rank, TaskIx>,
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
    /// When to ask for calls that wait behind others while units are idle.
    pub steal: Tick,
    /// It keeps off nodes of so many faults, if off any.
    pub quarantine: Option<u32>,
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

/// Queued tasks that ask for the same.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub need: Need,
    pub not_on: Option<NodeIx>,
    /// Do they keep off reluctant workers where others would do?
    pub choosy: bool,
    pub queue: BTreeMap<Rank, TaskIx>,
    /// Its head found nothing in this round.
    pub stuck: bool,
    /// There was no node for its head in this epoch.
    pub hopeless: Option<u64>,
}

impl Pool {
    pub fn new(id: PoolId) -> Self {
        Self {
            id,
            stage: Stage::Growing,
            tree: Tree::default(),
            places: Vec::new(),
            vacant: Vec::new(),
            sizes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            alive: 0,
            reluctant: 0,
            shapes: Vec::new(),
            by_shape: FxHashMap::default(),
            gangs: BTreeMap::new(),
            sharing: 0,
            look: false,
            reservation: None,
            counters: Vec::new(),
            deferred: BTreeMap::new(),
            sides: BTreeSet::new(),
            reserved: None,
            epoch: 0,
            surplus: 0,
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

    /// A worker has come; its place in the tree.
    pub fn add(&mut self, worker: WorkerId, slots: u16, node: NodeIx) -> usize {
        let place = self.vacant.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(worker);
        *self.sizes.entry(slots).or_default() += 1;
        *self.hosts.entry(node).or_default() += 1;
        self.alive += 1;
        self.changed();
        place
    }

    /// A worker is lost.
    pub fn lose(&mut self, place: usize, slots: u16, node: NodeIx) {
        self.places[place] = None;
        self.vacant.push(place);
        self.tree.set(place, Offer::default());
        discount(&mut self.sizes, slots);
        discount(&mut self.hosts, node);
        self.alive -= 1;
        self.changed();
    }

    /// A node or a worker became available, or went.
    pub fn changed(&mut self) {
        self.epoch += 1;
        self.look = true;
    }

    /// Slots of its largest worker.
    pub fn largest(&self) -> u16 {
        self.sizes.last_key_value().map_or(0, |(slots, _)| *slots)
    }

    /// The nodes its workers are on.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = NodeIx> {
        self.hosts.keys().copied()
    }

    /// Is one of its workers on this node?
    pub fn is_on(&self, node: NodeIx) -> bool {
        self.hosts.contains_key(&node)
    }

    /// The queue for this shape.
    pub fn shape(&mut self, need: Need, not_on: Option<NodeIx>, choosy: bool) -> u32 {
        if let Some(shape) = self.by_shape.get(&(need, not_on, choosy)) {
            return *shape;
        }
        let new = Shape { need, not_on, choosy, queue: BTreeMap::new(), stuck: false, hopeless: None };
        // Nodes to keep off come and go: their queues do not pile up, for each dispatch looks at all.
        let spent = |shape: &Shape| shape.queue.is_empty() && shape.not_on.is_some();
        let at = not_on.and_then(|_| self.shapes.iter().position(spent)).unwrap_or(self.shapes.len());
        if at == self.shapes.len() {
            self.shapes.push(new);
        } else {
            let old = std::mem::replace(&mut self.shapes[at], new);
            self.by_shape.remove(&(old.need, old.not_on, old.choosy));
        }
        self.by_shape.insert((need, not_on, choosy), at as u32);
        at as u32
    }

    /// The first task of all its queues.
    pub fn head(&self) -> Option<Rank> {
        self.shapes.iter().filter_map(|shape| shape.queue.first_key_value()).map(|(rank, _)| *rank).min()
    }

    /// The first task of the queues that `ask`s for.
    pub fn first(&self, mut ask: impl FnMut(&Shape) -> bool) -> Option<(usize, Rank, TaskIx)> {
        let heads = self.shapes.iter().enumerate().filter(|(_, shape)| ask(shape));
        let heads =
            heads.filter_map(|(at, shape)| shape.queue.first_key_value().map(|(rank, ix)| (at, *rank, *ix)));
        heads.min_by_key(|(_, rank, _)| *rank)
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
