//! Queued tasks by what they ask for.
//!
//! Tasks that ask for the same stand in one queue, and the first of each queue is known in the order of their ranks: who
//! looks for one that can start asks one of each kind, the first first, never all that wait.

use std::collections::{BTreeMap, VecDeque};
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
    /// Grows when a queue gets its first task or loses its last.
    turnover: u64,
}

/// So many queues stay for what was asked for and may be asked for again, though they are empty.
const KEPT: usize = 64;

/// Tasks that ask for the same.
#[derive(Clone, Debug)]
pub(super) struct Queue<K> {
    pub key: K,
    tasks: Line,
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
        Self { queues, by_key: FxHashMap::default(), heads, vacant, turnover: 0 }
    }
}

impl<K> Queue<K> {
    /// In the order of their ranks.
    pub fn tasks(&self) -> impl Iterator<Item = (Rank, TaskIx)> {
        self.tasks.iter()
    }
}

/// Tasks in the order of their ranks. Nearly all come behind those that wait, and leave as the first: these stand in a row, which
/// costs less than a tree does. What comes out of turn (a priority, a second attempt) has a tree beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// Ascending. A place in it whose task left out of turn is empty, never the first.
    row: VecDeque<Place>,
    /// Empty places in the row.
    gaps: usize,
    aside: BTreeMap<Rank, TaskIx>,
}

/// A place in a row. It is packed, for a million of them.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
struct Place {
    rank: Rank,
    ix: Option<TaskIx>,
}

impl Place {
    fn task(self) -> Option<(Rank, TaskIx)> {
        Some((self.rank, self.ix?))
    }
}

/// So many places an empty row keeps.
const PLACES_KEPT: usize = 1024;

impl Line {
    /// Nobody stands in it.
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// How many stand in it.
    pub fn len(&self) -> usize {
        self.row.len() - self.gaps + self.aside.len()
    }

    /// Who leaves next.
    pub fn first(&self) -> Option<(Rank, TaskIx)> {
        let aside = self.aside.first_key_value().map(|(rank, ix)| (*rank, *ix));
        let in_row = self.row.front().and_then(|place| place.task());
        match (in_row, aside) {
            (Some(in_row), Some(aside)) => Some(in_row.min(aside)),
            (in_row, aside) => in_row.or(aside),
        }
    }

    /// A task comes, of a rank that is not there.
    pub fn insert(&mut self, rank: Rank, ix: TaskIx) {
        if self.row.back().is_none_or(|last| { last.rank } < rank) {
            self.row.push_back(Place { rank, ix: Some(ix) });
        } else {
            self.aside.insert(rank, ix);
        }
    }

    /// The task of this rank leaves. Was it there?
    pub fn remove(&mut self, rank: Rank) -> bool {
        if self.aside.remove(&rank).is_some() {
            return true;
        }
        // Nearly always the first; a search would look at places all over a long row.
        let at = match self.row.front() {
            Some(first) if { first.rank } == rank => Ok(0),
            _ => self.row.binary_search_by_key(&rank, |place| place.rank),
        };
        let Ok(at) = at else { return false };
        if self.row[at].ix.take().is_none() {
            return false;
        }
        self.gaps += 1;
        while self.row.front().is_some_and(|place| place.ix.is_none()) {
            self.row.pop_front();
            self.gaps -= 1;
        }
        if 2 * self.gaps > self.row.len() {
            self.row.retain(|place| place.ix.is_some());
            self.gaps = 0;
        }
        if self.row.is_empty() && self.row.capacity() > PLACES_KEPT {
            self.row = VecDeque::new();
        }
        true
    }

    /// All, in the order of their ranks.
    pub fn iter(&self) -> impl Iterator<Item = (Rank, TaskIx)> {
        let mut row = self.row.iter().filter_map(|place| place.task()).peekable();
        let mut aside = self.aside.iter().map(|(rank, ix)| (*rank, *ix)).peekable();
        std::iter::from_fn(move || match (row.peek(), aside.peek()) {
            (Some(one), Some(other)) if one > other => aside.next(),
            (Some(_), _) => row.next(),
            (None, _) => aside.next(),
        })
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
        let first = queue.tasks.first().map(|(rank, _)| rank);
        queue.tasks.insert(rank, ix);
        if first.is_none_or(|first| rank < first) {
            if let Some(first) = first {
                self.heads.remove(&first);
            } else {
                self.turnover += 1;
            }
            self.heads.insert(rank, (at, ix));
        }
        at
    }

    /// And leaves it.
    pub fn remove(&mut self, at: u32, rank: Rank) {
        let queue = &mut self.queues[at as usize];
        let was_first = queue.tasks.first().is_some_and(|(first, _)| first == rank);
        if !queue.tasks.remove(rank) || !was_first {
            return;
        }
        let next = queue.tasks.first();
        if let Some((rank, ix)) = next {
            self.heads.insert(rank, (at, ix)); // before the other goes: a tree that was empty needs memory anew
        }
        self.heads.remove(&rank);
        if next.is_some() {
            return;
        }
        self.turnover += 1;
        if self.by_key.len() > KEPT {
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
        self.heads.first_key_value().map(head)
    }

    /// The first of the heads that go behind `after`.
    pub fn first_after(&self, after: Option<Rank>) -> Option<Head> {
        match after {
            None => self.first(), // for each event, and quicker than a range
            Some(_) => self.heads_after(after).next(),
        }
    }

    /// Those of the heads that go behind `after`, in the order of their ranks.
    pub fn heads_after(&self, after: Option<Rank>) -> impl Iterator<Item = Head> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.heads.range((from, Bound::Unbounded)).map(head)
    }

    /// The same queues have tasks as long as it is the same.
    pub fn turnover(&self) -> u64 {
        self.turnover
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
        self.queues().flat_map(|(_, queue)| queue.tasks().map(|(_, ix)| ix))
    }

    /// A queue for what nobody asked for yet.
    fn open(&mut self, key: K) -> u32 {
        let new = Queue { key: key.clone(), tasks: Line::default(), hopeless: None };
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
        let mut plain: BTreeMap<Rank, u32> = BTreeMap::new();
        let mut left: Vec<Rank> = Vec::new();
        let mut before = (0, Vec::new());
        let mut x = 88172645463325252u64;
        for step in 0..20_000u64 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            // Keys wander off, so that some are never asked for again. Most ranks are higher than all before, some are any,
            // some come back.
            let turn = match x >> 52 & 0xf {
                0 => rank(x >> 8 & 0xfff),
                1 if !left.is_empty() => left.swap_remove((x >> 8) as usize % left.len()),
                _ => rank(0x1000 + step),
            };
            let key = step / 50 + x % 8;
            let grows = plain.len() < 400 && x >> 40 & 0x3ff < 512 + 400 * u64::from(step < 10_000);
            if grows && !plain.contains_key(&turn) {
                let at = queues.insert(key, turn, TaskIx::new(step as usize));
                assert_eq!(queues[at].key, key);
                plain.insert(turn, at);
            } else if let Some((turn, at)) = plain.iter().nth((x >> 20) as usize % plain.len().max(1)) {
                let (turn, at) = (*turn, *at);
                plain.remove(&turn);
                left.push(turn);
                queues.remove(at, turn);
                queues.remove(at, turn); // it is not there any more: nothing changes
            }
            let mut rows: BTreeMap<u32, Vec<Rank>> = BTreeMap::new();
            let mut heads = Vec::new();
            for (turn, at) in &plain {
                let row = rows.entry(*at).or_default();
                if row.is_empty() {
                    heads.push((*turn, *at));
                }
                row.push(*turn);
            }
            assert!(queues.heads().map(|head| (head.rank, head.queue)).eq(heads.iter().copied()));
            let with_tasks = (queues.turnover(), rows.keys().copied().collect::<Vec<_>>());
            assert_eq!(
                with_tasks.0 == before.0,
                with_tasks.1 == before.1,
                "{with_tasks:?}, before {before:?}"
            );
            before = with_tasks;
            assert!(heads.iter().all(|(turn, _)| queues.leads(*turn)));
            let beyond = queues.first_after(Some(turn)).map(|head| head.rank);
            assert_eq!(beyond, heads.iter().map(|(rank, _)| *rank).find(|rank| *rank > turn));
            assert_eq!(queues.tasks().count(), plain.len());
            assert_eq!(queues.is_empty(), plain.is_empty());
            let row = |at: u32| rows.get(&at).into_iter().flatten().copied();
            assert!(queues.queues().all(|(at, queue)| queue.tasks().map(|(rank, _)| rank).eq(row(at))));
        }
    }

    #[test]
    fn a_line_is_as_long_as_what_stands_in_it() {
        assert_eq!(size_of::<Place>(), 12);
        let mut line = Line::default();
        let ranks = 0..10_000;
        ranks.clone().for_each(|n| line.insert(rank(n), TaskIx::new(n as usize)));
        assert_eq!((line.row.len(), line.aside.len()), (10_000, 0), "each came behind the others");
        // All but the first and the last leave out of turn, and one comes back.
        ranks.clone().skip(1).take(9_998).for_each(|n| assert!(line.remove(rank(n))));
        assert!(!line.remove(rank(5000)), "it is gone");
        line.insert(rank(5000), TaskIx::new(5000));
        assert!(line.row.len() <= 4, "{} places for two tasks", line.row.len());
        assert!(line.iter().map(|(_, ix)| ix.at()).eq([0, 5000, 9999]) && line.len() == 3);
        assert!([0, 5000, 9999].into_iter().all(|n| line.first().is_some() && line.remove(rank(n))));
        assert!(line.is_empty());
        assert_eq!(line.len(), 0);
        assert_eq!(line.row.capacity(), 0, "what a long row took is given back");
    }

    #[test]
    fn queues_of_what_nobody_asks_for_any_more_do_not_pile_up() {
        let mut queues: Queues<u64> = Queues::default();
        for n in 0..1000 {
            let often = queues.insert(0, rank(3 * n), TaskIx::new(0));
            let once = queues.insert(1 + n, rank(3 * n + 1), TaskIx::new(1));
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
