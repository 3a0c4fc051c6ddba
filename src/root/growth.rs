//! `pool:grow{…}`: further workers for a pool that is open, on nodes of this job or of another. What it has goes on meanwhile.

use std::time::Instant;

use super::driver::Driver;
use super::pools::{Phase, Pools};
use super::port::{Growth, PoolError, PoolSpec};
use crate::allocation::Start;
use crate::allocation::other::OtherJob;
use crate::core::Event;
use crate::model::human::duration;
use crate::model::{PoolId, WorkerId};

impl Pools {
    /// The number of the allocation a job is; 0 is that of the root.
    pub(super) fn allocation(&mut self, job: Option<&OtherJob>) -> u16 {
        let Some(job) = job else { return 0 };
        let at = self.jobs.iter().position(|known| *known == job.id).unwrap_or_else(|| {
            self.jobs.push(job.id.clone());
            self.jobs.len() - 1
        });
        u16::try_from(at + 1).unwrap_or(u16::MAX)
    }
}

impl Driver {
    /// The script waits for the answer.
    pub(super) fn grow_pool(&mut self, id: PoolId, growth: Growth, job: Option<OtherJob>) {
        self.handle(Event::PoolOpened { pool: id });
        match self.begin_growth(id, growth, job) {
            Ok(()) => self.welcome_parked(id),
            Err(reason) => {
                self.handle(Event::PoolSettled { pool: id });
                self.port.spawned(Err(PoolError(reason)));
            }
        }
    }

    fn begin_growth(&mut self, id: PoolId, growth: Growth, job: Option<OtherJob>) -> Result<(), String> {
        let there = self.workers_of(id);
        let Some(pool) = self.pools.pools.get(&id).filter(|pool| matches!(pool.phase, Phase::Open)) else {
            return Err(format!("pool {id} is closed"));
        };
        let own = &self.pools.launcher.allocation.job;
        let job = job.filter(|job| own.as_deref() != Some(&job.id));
        let Growth { workers, per_node, hosts, .. } = growth;
        let of_ranks = there.iter().any(|id| self.workers[id].start == Start::Static);
        let start = match &job {
            Some(_) => Some(Start::Srun),
            None if of_ranks => Some(Start::Static),
            None => pool.spec.start,
        };
        let hosts = if hosts.is_empty() && job.is_none() { pool.spec.hosts.clone() } else { hosts };
        let spec = PoolSpec { workers, per_node, hosts, start, ..pool.spec.clone() };
        let new = self.start_workers(id, &spec, &there, job.as_ref())?;
        job.iter().for_each(|job| self.tell_of_end(job));
        let until = Instant::now() + self.limits().start;
        if let Some(pool) = self.pools.pools.get_mut(&id) {
            pool.workers = there.into_iter().chain(new.iter().copied()).collect();
            pool.phase = Phase::Growing { until, new };
        }
        Ok(())
    }

    /// Its end is not the campaign's.
    fn tell_of_end(&self, job: &OtherJob) {
        let ends = self.deadline.as_ref().map(|deadline| deadline.drains);
        let left = ends.map(|ends| ends.saturating_duration_since(Instant::now()).as_secs_f64());
        if let Some(left_s) = job.left_s.filter(|left_s| left.is_none_or(|left| *left_s < left)) {
            self.progress.note(&format!(
                "Slurm job {} ends in {}: what runs on its nodes then is tried again on others",
                job.id,
                duration(left_s)
            ));
        }
    }

    /// Those of a pool that are not gone.
    fn workers_of(&self, id: PoolId) -> Vec<WorkerId> {
        let Some(pool) = self.pools.pools.get(&id) else { return Vec::new() };
        let lives = |id: &WorkerId| self.workers.get(id).is_some_and(|worker| !worker.is_gone());
        pool.workers.iter().copied().filter(lives).collect()
    }
}
