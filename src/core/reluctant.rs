//! Workers that measure only where no others can: the one that shares its node with the root.
//!
//! Measurements keep off them as long as the pool has others that would do, and so do tasks of a group, whose
//! measurements would follow them. While a pool grows, others may still come. A task that names its host goes there.

use std::collections::BTreeMap;

use super::Core;
use super::pool::Stage;
use super::task::{NodeIx, TaskIx};

/// How many nodes measure, for tasks that want so many cores and GPUs and keep off one of them. True until a worker
/// comes or goes.
pub(super) type Counted = BTreeMap<(u16, u16, Option<NodeIx>), usize>;

impl Core {
    /// Must it keep off reluctant workers now? The same for all tasks of a shape.
    pub(super) fn avoids(&self, ix: TaskIx) -> bool {
        let nodes = usize::from(self.tasks[ix].need.nodes());
        self.may_avoid(ix) && (self.is_growing(ix) || self.measuring(ix, nodes) >= nodes)
    }

    /// The same where many ask in a row, between whom no worker comes or goes.
    pub(super) fn avoids_by_count(&self, ix: TaskIx, counted: &mut Counted) -> bool {
        let task = &self.tasks[ix];
        let kind = (task.need.cores(), task.gpus(), task.not_on());
        self.may_avoid(ix)
            && (self.is_growing(ix)
                || *counted.entry(kind).or_insert_with(|| self.measuring(ix, usize::MAX))
                    >= usize::from(task.need.nodes()))
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

    /// The nodes of one allocation with a worker that measures and, if it were idle, would do; no more than `enough` need be counted.
    fn measuring(&self, ix: TaskIx, enough: usize) -> usize {
        let task = &self.tasks[ix];
        let (gpus, not_on) = (task.gpus(), task.not_on());
        self.most_together(task.pool, enough, |node, id| {
            let worker = &self.fleet[id];
            let is_able = worker.suffices(task.need) && worker.gpus.len() >= gpus;
            not_on != Some(node) && worker.serves(task.pool) && worker.measures && is_able
        })
    }
}
