//! Queued tasks by what they ask for.
//!
//! Tasks that ask for the same stand in one queue, and the first of each queue is known in the order of their ranks: who
//! looks for one that can start asks one of each kind, the first first, never all that wait.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::ops::{Bound, Index, IndexMut};

use rustc_hash::FxHashMap;

use super::task::{Rank, TaskIx};

/// Queues, one for each `K` that somebody asks for.
#[derive(Clone, Debug)]
pub(super) struct Queues<K> {
    queues: Vec<Queue<K>>,
    by_key: FxHashMap<K, u32>,
    /// The first task of each queue that has any.
    heads: BTreeMap<Rank, (u32, TaskIx)>,
    /// Empty queues of which nobody asked for what they are for any more.
    vacant: Vec<u32>,
}

/// So many queues stay for what was asked for and may be asked for again, though they are empty.
const KEPT: usize = 64;

/// Tasks that ask for the same.
#[derive(Clone, Debug)]
pub(super) struct Queue<K> {
    pub key: K,
    tasks: BTreeMap<Rank, TaskIx>,
    /// There was no node for its first in this epoch.
    pub hopeless: Option<u64>,
}

/// The first task of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub queue: u32,
    pub rank: Rank,
    pub ix: TaskIx,
}

fn head((rank, (queue, ix)): (&Rank, &(u32, TaskIx))) -> Head {
    Head { queue: *queue, rank: *rank, ix: *ix }
}

impl<K> Default for Queues<K> {
    fn default() -> Self {
        let (queues, heads, vacant) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { queues, by_key: FxHashMap::default(), heads, vacant }
    }
}

impl<K> Queue<K> {
    /// In the order of their ranks.
    pub fn tasks(&self) -> &BTreeMap<Rank, TaskIx> {
        &self.tasks
    }
}

impl<K: Clone + Eq + Hash> Queues<K> {
    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The task queues with those that ask for the same: in which queue.
    pub fn insert(&mut self, key: K, rank: Rank, ix: TaskIx) -> u32 {
        let at = match self.by_key.get(&key) {
            Some(at) => *at,
            None => self.open(key),
        };
        let queue = &mut self.queues[at as usize];
        let first = queue.tasks.first_key_value().map(|(rank, _)| *rank);
        queue.tasks.insert(rank, ix);
        if first.is_none_or(|first| rank < first) {
            if let Some(first) = first {
                self.heads.remove(&first);
            }
            self.heads.insert(rank, (at, ix));
        }
        at
    }

    /// And leaves it.
    pub fn remove(&mut self, at: u32, rank: Rank) {
        let queue = &mut self.queues[at as usize];
        if queue.tasks.remove(&rank).is_none() || self.heads.remove(&rank).is_none() {
            return;
        }
        if let Some((rank, ix)) = queue.tasks.first_key_value() {
            self.heads.insert(*rank, (at, *ix));
        } else if self.by_key.len() > KEPT {
            // What is asked for comes and goes (nodes to keep off, groups): queues do not pile up.
            self.by_key.remove(&queue.key);
            self.vacant.push(at);
        }
    }

    /// The first of each queue, in the order of their ranks.
    pub fn heads(&self) -> impl Iterator<Item = Head> {
        self.heads.iter().map(head)
    }

    /// The first of all.
    pub fn first(&self) -> Option<Head> {
        self.heads().next()
    }

    /// The first of the heads that go behind `after`.
    pub fn first_after(&self, after: Option<Rank>) -> Option<Head> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.heads.range((from, Bound::Unbounded)).next().map(head)
    }

    /// Is this the first of its queue?
    pub fn leads(&self, rank: Rank) -> bool {
        self.heads.contains_key(&rank)
    }

    /// All queues that have tasks, by the ranks of their first ones.
    pub fn queues(&self) -> impl Iterator<Item = (u32, &Queue<K>)> {
        self.heads.values().map(|(at, _)| (*at, &self[*at]))
    }

    /// All tasks, queue by queue.
    pub fn tasks(&self) -> impl Iterator<Item = TaskIx> {
        self.queues().flat_map(|(_, queue)| queue.tasks.values().copied())
    }

    /// A queue for what nobody asked for yet.
    fn open(&mut self, key: K) -> u32 {
        let new = Queue { key: key.clone(), tasks: BTreeMap::new(), hopeless: None };
        let at = match self.vacant.pop() {
            Some(at) => {
                self[at] = new;
                at
            }
            None => {
                self.queues.push(new);
                self.queues.len() as u32 - 1
            }
        };
        self.by_key.insert(key, at);
        at
    }
}

impl<K> Index<u32> for Queues<K> {
    type Output = Queue<K>;

    fn index(&self, at: u32) -> &Queue<K> {
        &self.queues[at as usize]
    }
}

impl<K> IndexMut<u32> for Queues<K> {
    fn index_mut(&mut self, at: u32) -> &mut Queue<K> {
        &mut self.queues[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(n: u64) -> Rank {
        Rank::new(0, n, None)
    }

    #[test]
    fn heads_are_what_a_look_at_all_finds() {
        let mut queues: Queues<u64> = Queues::default();
        let mut plain: BTreeMap<Rank, (u64, u32)> = BTreeMap::new();
        let mut x = 88172645463325252u64;
        for step in 0..20_000u64 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            // Keys wander off, so that some are never asked for again.
            let (key, turn) = (step / 50 + x % 8, rank(x >> 8 & 0xfff));
            let grows = x >> 40 & 0x3ff < 512 + 400 * u64::from(step < 10_000);
            if grows && !plain.contains_key(&turn) {
                let at = queues.insert(key, turn, TaskIx(step as u32));
                assert_eq!(queues[at].key, key);
                plain.insert(turn, (key, at));
            } else if let Some((turn, (_, at))) = plain.iter().nth((x >> 20) as usize % plain.len().max(1)) {
                let (turn, at) = (*turn, *at);
                plain.remove(&turn);
                queues.remove(at, turn);
                queues.remove(at, turn); // it is not there any more: nothing changes
            }
            let mut seen = Vec::new();
            let mut heads = Vec::new();
            for (turn, (key, at)) in &plain {
                if !seen.contains(key) {
                    seen.push(*key);
                    heads.push((*turn, *at));
                }
            }
            assert!(queues.heads().map(|head| (head.rank, head.queue)).eq(heads.iter().copied()));
            assert!(heads.iter().all(|(turn, _)| queues.leads(*turn)));
            let beyond = queues.first_after(Some(turn)).map(|head| head.rank);
            assert_eq!(beyond, heads.iter().map(|(rank, _)| *rank).find(|rank| *rank > turn));
            assert_eq!(queues.tasks().count(), plain.len());
            assert_eq!(queues.is_empty(), plain.is_empty());
        }
    }

    #[test]
    fn queues_of_what_nobody_asks_for_any_more_do_not_pile_up() {
        let mut queues: Queues<u64> = Queues::default();
        for n in 0..1000 {
            let often = queues.insert(0, rank(3 * n), TaskIx(0));
            let once = queues.insert(1 + n, rank(3 * n + 1), TaskIx(1));
            queues.remove(often, rank(3 * n));
            queues.remove(once, rank(3 * n + 1));
        }
        assert!(
            queues.queues.len() <= KEPT + 2 && queues.by_key.len() <= KEPT,
            "{} queues",
            queues.queues.len()
        );
    }
}
