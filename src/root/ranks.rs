//! Ranks of `mpirun -n N` as workers: which of them a pool gets, and when those of an earlier one are free again.
//!
//! mpirun has placed them; a pool that names its nodes takes those that are there, which they must have said first.

use std::collections::BTreeMap;

use super::driver::Driver;
use super::pools::Phase;
use super::port::PoolSpec;
use super::workers::{Stage, Worker};
use crate::allocation::{RootNode, Start, same_host};
use crate::model::human::count;
use crate::model::{PoolId, WorkerId};

impl Driver {
    /// Are ranks with a pool that closes? They will be free in a moment.
    pub(super) fn ranks_are_closing(&self) -> bool {
        let closing = |pool: &PoolId| {
            self.pools.pools.get(pool).is_some_and(|pool| matches!(pool.phase, Phase::Emptying))
        };
        let closes = |worker: &Worker| worker.pool.as_ref().is_some_and(closing);
        self.workers.values().any(|worker| worker.start == Start::Static && closes(worker))
    }

    /// Does the pool choose among ranks of which some have not said yet where they are?
    pub(super) fn ranks_are_silent(&self, spec: &PoolSpec) -> bool {
        let silent = |id: &WorkerId| {
            self.workers.get(id).is_some_and(|worker| matches!(worker.stage, Stage::Starting))
        };
        chooses(spec) && self.free_ranks().iter().any(silent)
    }

    /// Those no pool has, in mpirun's order: they have other ids after each pool they were with, by when it ended.
    pub(super) fn free_ranks(&self) -> Vec<WorkerId> {
        let free =
            |worker: &&Worker| worker.start == Start::Static && worker.pool.is_none() && !worker.is_gone();
        let mut ranks: Vec<&Worker> = self.workers.values().filter(free).collect();
        ranks.sort_by_key(|worker| worker.rank);
        ranks.iter().map(|worker| worker.id).collect()
    }

    pub(super) fn take_ranks(
        &mut self,
        pool: PoolId,
        spec: &PoolSpec,
        free: Vec<WorkerId>,
    ) -> Result<Vec<WorkerId>, String> {
        let mut ranks = self.in_place(spec, free)?;
        let wanted = spec.workers.map_or(ranks.len(), |workers| workers as usize);
        if ranks.is_empty() || wanted > ranks.len() {
            return Err(self.too_few_ranks(spec, wanted.max(1), ranks.len()));
        }
        ranks.truncate(wanted);
        for id in &ranks {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.pool = Some(pool);
            }
        }
        Ok(ranks)
    }

    /// Those of the free ones that are where the pool wants its workers.
    fn in_place(&self, spec: &PoolSpec, free: Vec<WorkerId>) -> Result<Vec<WorkerId>, String> {
        if !chooses(spec) {
            return Ok(free);
        }
        let host = |id: &WorkerId| self.workers.get(id).and_then(Worker::hello).map(|hello| &*hello.host);
        let hosts: Vec<&str> = free.iter().filter_map(host).collect();
        let has = |wanted: &&String| !hosts.iter().any(|host| same_host(host, wanted));
        if let Some(absent) = spec.hosts.iter().find(has) {
            let there = if hosts.is_empty() { "no node".into() } else { hosts.join(", ") };
            return Err(format!(
                "no free rank of mpirun is on host `{absent}`; they are on {there}: mpirun's own options say where \
                 its ranks go"
            ));
        }
        let root = &self.pools.launcher.allocation.root_host;
        let mut taken: BTreeMap<&str, u32> = BTreeMap::new();
        let mut in_place = Vec::new();
        for id in &free {
            let Some(host) = host(id) else { continue };
            let meant = spec.hosts.is_empty() || spec.hosts.iter().any(|wanted| same_host(host, wanted));
            let spared = spec.root_node == RootNode::Spare && same_host(host, root);
            let here = taken.entry(host).or_default();
            if meant && !spared && spec.per_node.is_none_or(|most| *here < most) {
                *here += 1;
                in_place.push(*id);
            }
        }
        Ok(in_place)
    }

    /// How many are gone.
    pub(super) fn lost_ranks(&self) -> usize {
        self.workers.values().filter(|worker| worker.start == Start::Static && worker.is_gone()).count()
    }

    fn too_few_ranks(&self, spec: &PoolSpec, wanted: usize, free: usize) -> String {
        let ranks = self.workers.values().filter(|worker| worker.start == Start::Static).count();
        // They are started again with the others, and may be lost again.
        let lost = self.lost_ranks();
        let lost = if lost > 0 { format!(" ({} lost)", count(lost, "rank")) } else { String::new() };
        let free_ones = match free {
            0 => "none is".into(),
            1 => "1 is".into(),
            n => format!("{n} are"),
        };
        let there = if chooses(spec) { " on its nodes" } else { "" };
        format!(
            "{} wanted and {free_ones} free{there}{lost}: start the campaign with `mpirun -n {} harness {}` (rank 0 is the \
             root, every further rank a worker), or use start=\"local\" for workers on this node alone",
            count(wanted, "static worker"),
            ranks + 1 + wanted - free,
            self.pools.launcher.script,
        )
    }
}

/// Does it matter to the pool where its workers are?
fn chooses(spec: &PoolSpec) -> bool {
    !spec.hosts.is_empty() || spec.per_node.is_some() || spec.root_node == RootNode::Spare
}
