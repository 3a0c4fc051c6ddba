//! Workers that measure only where no others can: the one that shares its node with the root.
//!
//! Measurements keep off them as long as the pool has others that would do, and so do tasks of a group, whose
//! measurements would follow them. While a pool grows, others may still come. A task that names its host goes there.

use std::collections::BTreeSet;

use super::Core;
use super::pool::Stage;
use super::task::{NodeIx, TaskIx};

impl Core {
    /// Must it keep off reluctant workers now? The same for all tasks of a shape.
    pub(super) fn avoids(&self, ix: TaskIx) -> bool {
        let task = &self.tasks[ix];
        let pool = &self.pools[task.pool.at()];
        if pool.reluctant == 0 || !task.is_choosy() || task.host().is_some() {
            return false;
        }
        let settled = task.group().is_some_and(|group| self.groups[group.at()].home.is_some());
        !settled && (pool.stage == Stage::Growing || self.others_do(ix))
    }

    /// Would the workers that measure be enough, if they were idle?
    fn others_do(&self, ix: TaskIx) -> bool {
        let task = &self.tasks[ix];
        let mut nodes: BTreeSet<NodeIx> = BTreeSet::new();
        for id in self.pools[task.pool.at()].places.iter().flatten() {
            let worker = &self.fleet[*id];
            let node = worker.node;
            if worker.measures
                && worker.slots >= task.need.cores()
                && task.not_on() != Some(node)
                && self.fleet.offers_gpus(node, task.gpus())
                && nodes.insert(node)
                && nodes.len() >= usize::from(task.need.nodes())
            {
                return true;
            }
        }
        false
    }
}
