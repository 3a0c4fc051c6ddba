//! Workers that measure only where no others can: the one that shares its node with the root.
//!
//! Measurements keep off them as long as the pool has others that would do, and so do tasks of a group, whose
//! measurements would follow them. While a pool grows, others may still come. A task that names its host goes there.

use rustc_hash::FxHashMap;

use super::Core;
use super::pool::Stage;
use super::task::{Need, NodeIx, Part, PoolIx, TaskIx};

/// On how many nodes such tasks could be measured. True until a worker comes or goes.
pub(super) type Counted = FxHashMap<Kind, usize>;

/// Tasks for which the same nodes would do: they want so many cores, of what sort, and GPUs, and keep off one node.
type Kind = (u16, Option<Part>, u16, Option<NodeIx>);

/// Do all that queue for room on one worker keep off reluctant workers? While the same queues have tasks, and the pool is at the
/// same stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shyness {
    turnover: u64,
    stage: Stage,
    pub all: bool,
}

impl Core {
    /// Must all that queue for room on one worker keep off reluctant workers now? What only these have is nothing to them then,
    /// and nobody need ask one after the other.
    pub(super) fn all_avoid(&self, pool: PoolIx) -> bool {
        let books = &self.pools[pool.at()];
        if books.reluctant == 0 {
            return false;
        }
        let (turnover, stage) = (books.shapes.turnover(), books.stage);
        let known = books.shyness.get().filter(|known| (known.turnover, known.stage) == (turnover, stage));
        let shyness = known.unwrap_or_else(|| Shyness { turnover, stage, all: self.asked_all_avoid(pool) });
        books.shyness.set(Some(shyness));
        shyness.all
    }

    /// The same, one after the other.
    pub(super) fn asked_all_avoid(&self, pool: PoolIx) -> bool {
        self.pools[pool.at()].shapes.heads().all(|head| self.avoids(head.ix))
    }

    /// Must it keep off reluctant workers now? The same for all tasks of a shape.
    pub(super) fn avoids(&self, ix: TaskIx) -> bool {
        self.may_avoid(ix)
            && (self.is_growing(ix) || self.measuring(ix) >= usize::from(self.tasks[ix].need.nodes()))
    }

    /// Has it a choice, and are there any?
    fn may_avoid(&self, ix: TaskIx) -> bool {
        let task = &self.tasks[ix];
        let settled = || task.group().is_some_and(|group| self.groups[group.at()].home.is_some());
        self.pools[task.pool.at()].reluctant > 0 && task.is_choosy() && task.host().is_none() && !settled()
    }

    fn is_growing(&self, ix: TaskIx) -> bool {
        self.pools[self.tasks[ix].pool.at()].stage == Stage::Growing
    }

    /// On how many nodes of one allocation, the one with the most, it could be measured if they were idle.
    fn measuring(&self, ix: TaskIx) -> usize {
        let task = &self.tasks[ix];
        let part = if let Need::Part(part) = task.need { Some(part) } else { None };
        let kind = (task.need.cores(), part, task.gpus(), task.not_on());
        let counted = &self.pools[task.pool.at()].counted;
        *counted.borrow_mut().entry(kind).or_insert_with(|| self.count_measuring(task.pool, kind))
    }

    pub(super) fn count_measuring(&self, pool: PoolIx, (cores, part, gpus, not_on): Kind) -> usize {
        let need = part.map_or(Need::Cores(cores), Need::Part);
        self.most_together(pool, usize::MAX, |node, id| {
            let worker = &self.fleet[id];
            let is_able = worker.suffices(need) && worker.gpus.len() >= gpus;
            not_on != Some(node) && worker.serves(pool) && worker.measures && is_able
        })
    }
}
