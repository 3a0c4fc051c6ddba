//! Pools: from `spawn{…}` to workers that take work, and when a pool is to close. How workers go is in
//! `departures`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::driver::Driver;
use super::port::{PoolError, PoolInfo, PoolSpec, WorkerInfo};
use super::spawn::Launcher;
use super::workers::{Stage, Worker};
use crate::allocation::{Plan, Start, same_host};
use crate::core::Event;
use crate::machine;
use crate::model::human::{count, duration};
use crate::model::{Hash, Hello, PROTOCOL, PoolId, ToWorker, Welcome, WorkerId};
use crate::transport::wait::earlier;

/// How far a pool has come.
pub(super) enum Phase {
    /// Its workers are starting; the script waits for it, or (`false`) tasks do.
    Opening { until: Instant, asked: bool },
    /// Takes tasks.
    Open,
    /// Takes tasks, and closes when it has none.
    Emptying,
    /// Its workers were told to retire.
    Closed,
    /// It never came to be, and why.
    Failed { reason: String, asked: bool },
}

pub(super) struct Pool {
    pub(super) workers: Vec<WorkerId>,
    spec: PoolSpec,
    pub(super) phase: Phase,
}

/// All pools of the campaign.
pub(super) struct Pools {
    pub(super) pools: BTreeMap<PoolId, Pool>,
    next_pool: u32,
    next_worker: u32,
    /// What the command line says where the script does not.
    defaults: PoolSpec,
    pub(super) launcher: Launcher,
    campaign_dir: String,
    seed: u64,
    /// A pool the script waits for, until the ranks of an earlier one are free.
    postponed: Option<PoolSpec>,
    /// When workers that were told to retire are ended by force.
    pub(super) retire_by: Option<Instant>,
}

impl Pools {
    pub(super) fn new(
        launcher: Launcher,
        defaults: PoolSpec,
        campaign_dir: String,
        seed: u64,
        static_workers: usize,
    ) -> Self {
        Self {
            pools: BTreeMap::new(),
            next_pool: 0,
            next_worker: static_workers as u32,
            defaults,
            launcher,
            campaign_dir,
            seed,
            postponed: None,
            retire_by: None,
        }
    }

    /// The pool opened last, of those that take tasks.
    pub(super) fn newest(&self) -> Option<PoolId> {
        let takes_tasks = |pool: &Pool| matches!(pool.phase, Phase::Opening { .. } | Phase::Open);
        self.pools.iter().rev().find(|(_, pool)| takes_tasks(pool)).map(|(id, _)| *id)
    }

    /// Why a pool never came to be, if it did not.
    pub(super) fn failure(&self, pool: PoolId) -> Option<String> {
        match &self.pools.get(&pool)?.phase {
            Phase::Failed { reason, .. } => Some(reason.clone()),
            _ => None,
        }
    }

    /// The pool for tasks of a script that opened none, if it could not be opened: another try would end alike.
    pub(super) fn failed_default(&self) -> Option<PoolId> {
        let failed = |pool: &Pool| matches!(pool.phase, Phase::Failed { asked: false, .. });
        self.pools.iter().find(|(_, pool)| failed(pool)).map(|(id, _)| *id)
    }

    /// Were workers asked for, and never had?
    pub(super) fn none_came(&self) -> bool {
        !self.pools.is_empty() && self.pools.values().all(|pool| matches!(pool.phase, Phase::Failed { .. }))
    }

    /// What its slots need on their node before they begin.
    pub(super) fn artefacts(&self, pool: PoolId) -> &[Hash] {
        self.pools.get(&pool).map_or(&[], |pool| &pool.spec.artefacts)
    }

    /// Closes a pool once its tasks are done.
    pub(super) fn close_when_idle(&mut self, id: PoolId) {
        if let Some(pool) = self.pools.get_mut(&id)
            && matches!(pool.phase, Phase::Open | Phase::Opening { .. })
        {
            pool.phase = Phase::Emptying;
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.pools.values().fold(self.retire_by, |deadline, pool| match pool.phase {
            Phase::Opening { until, .. } => earlier(deadline, Some(until)),
            _ => deadline,
        })
    }

    pub(super) fn new_worker(&mut self) -> WorkerId {
        self.next_worker += 1;
        WorkerId(self.next_worker - 1)
    }
}

impl Driver {
    /// `spawn{…}`: the script waits for the answer.
    pub(super) fn open_pool(&mut self, spec: PoolSpec) {
        if self.ranks_are_closing() {
            // They will be free in a moment.
            self.pools.postponed = Some(spec);
            return;
        }
        let pool = self.begin_pool(spec, true);
        if let Some(reason) = self.pools.failure(pool) {
            self.port.spawned(Err(PoolError(reason)));
        }
    }

    /// A task was submitted and there is no pool.
    pub(super) fn open_default_pool(&mut self) -> PoolId {
        let pool = self.begin_pool(PoolSpec::default(), false);
        if let Some(reason) = self.pools.failure(pool) {
            self.progress.problem(&format!("no workers: {reason}"));
            self.handle(Event::PoolClosed { pool });
        }
        pool
    }

    fn begin_pool(&mut self, spec: PoolSpec, asked: bool) -> PoolId {
        let id = PoolId(self.pools.next_pool);
        self.pools.next_pool += 1;
        self.handle(Event::PoolOpened { pool: id });
        let spec = spec.or(&self.pools.defaults);
        if !spec.resources.is_empty() {
            self.handle(Event::PoolCounters { pool: id, capacities: spec.resources.clone() });
        }
        let (workers, phase) = match self.start_workers(id, &spec) {
            Ok(workers) => (workers, Phase::Opening { until: Instant::now() + self.limits().start, asked }),
            Err(reason) => (Vec::new(), Phase::Failed { reason, asked }),
        };
        self.pools.pools.insert(id, Pool { workers, spec, phase });
        // Static workers have said hello long ago.
        let parked: Vec<(WorkerId, Hello)> = self
            .workers
            .values()
            .filter(|worker| worker.pool == Some(id))
            .filter_map(|worker| match &worker.stage {
                Stage::Parked(hello) => Some((worker.id, hello.clone())),
                _ => None,
            })
            .collect();
        for (worker, hello) in parked {
            self.welcome(worker, hello);
        }
        id
    }

    fn start_workers(&mut self, pool: PoolId, spec: &PoolSpec) -> Result<Vec<WorkerId>, String> {
        let free =
            |worker: &&Worker| worker.start == Start::Static && worker.pool.is_none() && !worker.is_gone();
        let ranks: Vec<WorkerId> = self.workers.values().filter(free).map(|worker| worker.id).collect();
        let start = spec.start.unwrap_or_default();
        if start == Start::Static || start == Start::Auto && !ranks.is_empty() {
            return self.take_ranks(pool, spec, ranks);
        }
        let Plan { workers: planned } = self.pools.launcher.plan(spec)?;
        let mut started = Vec::new();
        for place in planned {
            let id = self.pools.new_worker();
            match self.pools.launcher.start(id, &place) {
                Ok(mut worker) => {
                    worker.pool = Some(pool);
                    self.workers.insert(id, worker);
                    started.push(id);
                }
                Err(reason) => {
                    for id in started {
                        self.retire(id);
                    }
                    return Err(reason);
                }
            }
        }
        Ok(started)
    }

    /// Are static workers with a pool that closes?
    fn ranks_are_closing(&self) -> bool {
        let closing = |pool: &PoolId| {
            self.pools.pools.get(pool).is_some_and(|pool| matches!(pool.phase, Phase::Emptying))
        };
        self.workers
            .values()
            .any(|worker| worker.start == Start::Static && worker.pool.as_ref().is_some_and(closing))
    }

    fn take_ranks(
        &mut self,
        pool: PoolId,
        spec: &PoolSpec,
        mut ranks: Vec<WorkerId>,
    ) -> Result<Vec<WorkerId>, String> {
        let wanted = spec.workers.map_or(ranks.len(), |workers| workers as usize);
        if ranks.is_empty() || wanted > ranks.len() {
            let free = match ranks.len() {
                0 => "none is".into(),
                1 => "1 is".into(),
                n => format!("{n} are"),
            };
            return Err(format!(
                "{} wanted and {free} free: start the campaign with `mpirun -n {} harness {}` (rank 0 is \
                 the root, every further rank a worker), or use start=\"local\" for workers on this node alone",
                count(wanted.max(1), "static worker"),
                wanted.max(1) + 1,
                self.pools.launcher.script,
            ));
        }
        ranks.truncate(wanted);
        for id in &ranks {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.pool = Some(pool);
            }
        }
        Ok(ranks)
    }

    /// A worker has said who it is.
    pub(super) fn welcome(&mut self, id: WorkerId, hello: Hello) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.is_retiring() {
            return; // it was between two pools when it was told to end
        }
        let Some(pool) = worker.pool.and_then(|pool| self.pools.pools.get(&pool)) else {
            worker.stage = Stage::Parked(hello);
            worker.peer.queue(&ToWorker::Parked);
            return;
        };
        let planned = worker.planned_host.clone();
        if hello.protocol != PROTOCOL || hello.build != machine::build_id() {
            let reason = format!(
                "the worker on {} runs another build of harness ({}) than the root ({}): install one build on \
                 all nodes",
                hello.host,
                hello.build,
                machine::build_id()
            );
            worker.peer.queue(&ToWorker::Refused(reason.clone()));
            return self.lose(id, &reason);
        }
        if !planned.is_empty() && !same_host(&planned, &hello.host) {
            let reason = format!(
                "wrong placement: worker {id} was to start on {planned} and came up on {}: {}MPI did not honour \
                 the host it was given; start the workers with `mpirun -n {} --map-by node harness …` instead",
                hello.host,
                // An address may be another name of the host it came up on.
                match planned.parse::<IpAddr>() {
                    Ok(_) =>
                        format!("if they are one host, write the host's own name ({}); else ", hello.host),
                    Err(_) => String::new(),
                },
                pool.workers.len() + 1
            );
            worker.peer.queue(&ToWorker::Refused(reason.clone()));
            return self.lose(id, &reason);
        }
        worker.stage = Stage::Introduced(hello);
        let pool = worker.pool;
        if let Some(pool) = pool {
            self.welcome_all(pool);
        }
    }

    /// Once all workers of a pool have said where they are, each learns its share of its node.
    fn welcome_all(&mut self, id: PoolId) {
        let Some(pool) = self.pools.pools.get(&id) else { return };
        let mut introduced: Vec<(WorkerId, Hello)> = Vec::with_capacity(pool.workers.len());
        for worker in pool.workers.iter().filter_map(|id| self.workers.get(id)) {
            let Stage::Introduced(hello) = &worker.stage else { return };
            introduced.push((worker.id, hello.clone()));
        }
        let mut on_host: BTreeMap<String, u32> = BTreeMap::new();
        for (_, hello) in &introduced {
            *on_host.entry(hello.host.clone()).or_default() += 1;
        }
        for (worker, hello) in introduced {
            let share = (hello.cores / on_host[&hello.host]).max(1);
            let slots = pool.spec.slots.unwrap_or(share).clamp(1, u32::from(u16::MAX)) as u16;
            let Some(worker) = self.workers.get_mut(&worker) else { continue };
            worker.slots = slots;
            worker.gpus = match pool.spec.gpus {
                Some(told) => hello.gpus.first(told as usize),
                None => hello.gpus.clone(),
            };
            worker.peer.queue(&ToWorker::Welcome(Welcome {
                worker: worker.id,
                slots,
                campaign_dir: self.pools.campaign_dir.clone(),
                limits: Box::new(self.pools.launcher.limits),
                seed: self.pools.seed,
                env: pool.spec.env.clone().into_iter().collect(),
                setup: pool.spec.setup.clone(),
            }));
            worker.last_heard = Instant::now();
            worker.stage = Stage::Welcomed(hello);
        }
    }

    /// A worker takes work.
    pub(super) fn ready(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Stage::Welcomed(hello) = &worker.stage else { return };
        let (hello, host, slots) = (hello.clone(), hello.host.clone(), worker.slots);
        let gpus = worker.gpus.ids.len() as u16;
        worker.stage = Stage::Ready(hello);
        worker.keeper_is_up();
        let Some(pool) = worker.pool else { return };
        self.handle(Event::WorkerReady { worker: id, pool, host, slots, gpus, measures: true });
        self.announce(pool);
    }

    /// Tells the script when the last worker of its pool is ready.
    fn announce(&mut self, id: PoolId) {
        let Some(pool) = self.pools.pools.get_mut(&id) else { return };
        let Phase::Opening { asked, .. } = pool.phase else { return };
        let mut infos = Vec::with_capacity(pool.workers.len());
        for worker in pool.workers.iter().filter_map(|id| self.workers.get(id)) {
            let Stage::Ready(hello) = &worker.stage else { return };
            infos.push(WorkerInfo {
                id: worker.id.0,
                host: hello.host.clone(),
                slots: u32::from(worker.slots),
                cores: hello.cores,
                gpus: worker.gpus.ids.len() as u32,
                start: worker.start.word().into(),
            });
        }
        pool.phase = Phase::Open;
        self.progress.pool_open(id, &infos);
        if asked {
            self.port.spawned(Ok(PoolInfo { id, workers: infos }));
        }
        self.handle(Event::PoolSettled { pool: id });
    }

    /// Closes what is to be closed, and gives up on what does not come.
    pub(super) fn tend_pools(&mut self, now: Instant) {
        let ids: Vec<PoolId> = self.pools.pools.keys().copied().collect();
        for id in ids {
            let Some(pool) = self.pools.pools.get_mut(&id) else { continue };
            match pool.phase {
                Phase::Opening { until, .. } if until <= now => {
                    let missing: Vec<String> = pool
                        .workers
                        .iter()
                        .filter_map(|id| self.workers.get(id))
                        .filter(|worker| !matches!(worker.stage, Stage::Ready(_)))
                        .map(|worker| format!("worker {} on {}", worker.id, worker.host()))
                        .collect();
                    let limit = duration(self.limits().start.as_secs_f64());
                    let reason = format!("no word within {limit} from {}", missing.join(", "));
                    self.fail_opening(id, &reason);
                }
                Phase::Emptying
                    if self.tasks.live_in(id) == 0
                        && !self
                            .workers
                            .values()
                            .any(|worker| worker.pool == Some(id) && worker.delivers_any()) =>
                {
                    pool.phase = Phase::Closed;
                    let workers = pool.workers.clone();
                    self.handle(Event::PoolClosed { pool: id });
                    for worker in workers {
                        self.retire(worker);
                    }
                }
                _ => {}
            }
        }
        if !self.ranks_are_closing()
            && let Some(spec) = self.pools.postponed.take()
        {
            self.open_pool(spec);
        }
        if self.pools.retire_by.is_some_and(|by| by <= now) {
            self.pools.retire_by = None;
            self.end_retiring();
        }
    }
}
