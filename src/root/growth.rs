//! `pool:grow{…}`: further workers for a pool that is open. What it has goes on meanwhile.

use std::time::Instant;

use super::driver::Driver;
use super::pools::Phase;
use super::port::{Growth, PoolError, PoolSpec};
use crate::allocation::Start;
use crate::core::Event;
use crate::model::{PoolId, WorkerId};

impl Driver {
    /// The script waits for the answer.
    pub(super) fn grow_pool(&mut self, id: PoolId, growth: Growth) {
        self.handle(Event::PoolOpened { pool: id });
        match self.begin_growth(id, growth) {
            Ok(()) => self.welcome_parked(id),
            Err(reason) => {
                self.handle(Event::PoolSettled { pool: id });
                self.port.spawned(Err(PoolError(reason)));
            }
        }
    }

    fn begin_growth(&mut self, id: PoolId, growth: Growth) -> Result<(), String> {
        let there = self.workers_of(id);
        let Some(pool) = self.pools.pools.get(&id).filter(|pool| matches!(pool.phase, Phase::Open)) else {
            return Err(format!("pool {id} is closed"));
        };
        let Growth { workers, per_node, hosts } = growth;
        let of_ranks = there.iter().any(|id| self.workers[id].start == Start::Static);
        let start = if of_ranks { Some(Start::Static) } else { pool.spec.start };
        let hosts = if hosts.is_empty() { pool.spec.hosts.clone() } else { hosts };
        let spec = PoolSpec { workers, per_node, hosts, start, ..pool.spec.clone() };
        let new = self.start_workers(id, &spec, &there)?;
        let until = Instant::now() + self.limits().start;
        if let Some(pool) = self.pools.pools.get_mut(&id) {
            pool.workers = there.into_iter().chain(new.iter().copied()).collect();
            pool.phase = Phase::Growing { until, new };
        }
        Ok(())
    }

    /// Those of a pool that are not gone.
    fn workers_of(&self, id: PoolId) -> Vec<WorkerId> {
        let Some(pool) = self.pools.pools.get(&id) else { return Vec::new() };
        let lives = |id: &WorkerId| self.workers.get(id).is_some_and(|worker| !worker.is_gone());
        pool.workers.iter().copied().filter(lives).collect()
    }
}
