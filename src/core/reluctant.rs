//! Workers that measure only where no others can: the one that shares its node with the root.
//!
//! Measurements keep off them as long as the pool has others that would do, and so do tasks of a group, whose
//! measurements would follow them. While a pool grows, others may still come. A task that names its host goes there.

use rustc_hash::FxHashMap;

use super::Core;
use super::pool::Stage;
use super::task::{Need, NodeIx, Part, TaskIx};

/// On how many nodes such tasks could be measured. True until a worker comes or goes.
pub(super) type Counted = FxHashMap<Kind, usize>;

/// Tasks for which the same nodes would do: they want so many cores, of what sort, and GPUs, and keep off one node.
type Kind = (u16, Option<Part>, u16, Option<NodeIx>);

impl Core {
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

    /// The nodes of one allocation, the one with the most, with a worker that measures and, if it were idle, would do.
    fn measuring(&self, ix: TaskIx) -> usize {
        let task = &self.tasks[ix];
        let (need, gpus, not_on) = (task.need, task.gpus(), task.not_on());
        let part = if let Need::Part(part) = need { Some(part) } else { None };
        let counted = &self.pools[task.pool.at()].counted;
        *counted.borrow_mut().entry((need.cores(), part, gpus, not_on)).or_insert_with(|| {
            self.most_together(task.pool, usize::MAX, |node, id| {
                let worker = &self.fleet[id];
                let is_able = worker.suffices(need) && worker.gpus.len() >= gpus;
                not_on != Some(node) && worker.serves(task.pool) && worker.measures && is_able
            })
        })
    }
}
