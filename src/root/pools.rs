//! Pools: from `spawn{…}` to workers that take work, and when a pool is to close. How workers go is in
//! `departures`.

use std::collections::BTreeMap;
use std::time::Instant;

use super::departures::GivenUp;
use super::driver::Driver;
use super::gpus::GpuNames;
use super::handed_on::handed_on;
use super::port::{Misplaced, PoolError, PoolInfo, PoolSpec, RootNode, WorkerInfo};
use super::spawn::Launcher;
use super::workers::{Stage, Worker};
use crate::allocation::other::OtherJob;
use crate::allocation::{Plan, Start, same_host};
use crate::core::Event;
use crate::machine;
use crate::model::{Gpus, Hash, Hello, PROTOCOL, PoolId, ToWorker, Welcome, WorkerId};
use crate::process::Environment;
use crate::transport::wait::earlier;

/// How far a pool has come.
pub(super) enum Phase {
    /// Its workers are starting; the script waits for it, or (`false`) tasks do.
    Opening { until: Instant, asked: bool },
    /// Takes tasks; the script waits for these further workers.
    Growing { until: Instant, new: Vec<WorkerId> },
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
    pub(super) spec: PoolSpec,
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
    /// Other jobs whose nodes joined, in the order they did: the first is allocation 1.
    pub(super) jobs: Vec<String>,
    /// GPUs of the nodes.
    pub(super) gpu_names: GpuNames,
    /// What workers on other nodes are given of our environment.
    handed_on: Vec<(String, String)>,
    /// A pool the script waits for, until ranks are free and have said where they are, but not longer than that.
    postponed: Option<(PoolSpec, Instant)>,
    /// When workers that were told to retire are ended by force.
    pub(super) retire_by: Option<Instant>,
}

impl Phase {
    /// Does the script wait, so that it is told how it ends?
    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Phase::Opening { asked: true, .. } | Phase::Growing { .. })
    }
}

impl Pool {
    /// Those that somebody waits for.
    pub(super) fn arriving(&self) -> &[WorkerId] {
        match &self.phase {
            Phase::Opening { .. } => &self.workers,
            Phase::Growing { new, .. } => new,
            Phase::Open | Phase::Emptying | Phase::Closed | Phase::Failed { .. } => &[],
        }
    }
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
            jobs: Vec::new(),
            gpu_names: GpuNames::default(),
            handed_on: handed_on(&Environment::scrubbed(std::env::vars_os())),
            postponed: None,
            retire_by: None,
        }
    }

    /// The pools that a script means.
    fn of_script(&self) -> impl DoubleEndedIterator<Item = (&PoolId, &Pool)> {
        self.pools.iter().filter(|(_, pool)| !pool.spec.aside)
    }

    /// The pool opened last, of those that take tasks.
    pub(super) fn newest(&self) -> Option<PoolId> {
        let takes_tasks =
            |pool: &Pool| matches!(pool.phase, Phase::Opening { .. } | Phase::Open | Phase::Growing { .. });
        self.of_script().rev().find(|(_, pool)| takes_tasks(pool)).map(|(id, _)| *id)
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
        let mut pools = self.of_script().peekable();
        pools.peek().is_some() && pools.all(|(_, pool)| matches!(pool.phase, Phase::Failed { .. }))
    }

    /// What its slots need on their node before they begin.
    pub(super) fn artefacts(&self, pool: PoolId) -> &[Hash] {
        self.pools.get(&pool).map_or(&[], |pool| &pool.spec.artefacts)
    }

    /// Names of the variables its tasks get.
    pub(super) fn variables(&self, pool: PoolId) -> Vec<String> {
        self.pools.get(&pool).map(|pool| pool.spec.env.keys().cloned().collect()).unwrap_or_default()
    }

    /// What the Lua values of its slots may take (B), where that was said.
    pub(super) fn memory(&self, pool: PoolId) -> Option<u64> {
        self.pools.get(&pool)?.spec.setup.memory
    }

    /// Closes a pool once its tasks are done.
    pub(super) fn close_when_idle(&mut self, id: PoolId) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        match pool.phase {
            Phase::Opening { .. } | Phase::Open => pool.phase = Phase::Emptying,
            // While it grows the script waits, and closes nothing; the others are on their way or over.
            Phase::Growing { .. } | Phase::Emptying | Phase::Closed | Phase::Failed { .. } => {}
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let postponed = self.postponed.as_ref().map(|(_, until)| *until);
        self.pools.values().fold(earlier(self.retire_by, postponed), |deadline, pool| match pool.phase {
            Phase::Opening { until, .. } | Phase::Growing { until, .. } => earlier(deadline, Some(until)),
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
        if spec.any
            && let Some(id) = self.pools.newest().or_else(|| self.pools.failed_default())
        {
            return self.tell_of_pool(id);
        }
        if self.ranks_are_closing() || self.ranks_are_silent(&spec) {
            self.pools.postponed = Some((spec, Instant::now() + self.limits().start));
            return;
        }
        self.open_pool_now(spec);
    }

    /// The script waits for a pool that tasks opened: it hears of it at once, or as soon as its workers are ready.
    fn tell_of_pool(&mut self, id: PoolId) {
        let Some(pool) = self.pools.pools.get_mut(&id) else { return };
        let answer = match &mut pool.phase {
            Phase::Opening { asked, .. } => {
                *asked = true;
                return;
            }
            Phase::Failed { reason, .. } => Err(PoolError(reason.clone())),
            _ => Ok(PoolInfo { id, workers: self.info(id, &self.pools.pools[&id]) }),
        };
        self.port.spawned(answer);
    }

    fn open_pool_now(&mut self, spec: PoolSpec) {
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
        if self.pools.of_script().next().is_none()
            && spec.start != Some(Start::Local)
            && let Some(note) = self.pools.launcher.outside_of_jobs()
        {
            self.progress.note(&note);
        }
        self.handle(Event::PoolQuarantine { pool: id, after: spec.quarantine.0 });
        if !spec.resources.is_empty() {
            self.handle(Event::PoolCounters { pool: id, capacities: spec.resources.clone() });
        }
        let (workers, phase) = match self.start_workers(id, &spec, &[], None) {
            Ok(workers) => (workers, Phase::Opening { until: Instant::now() + self.limits().start, asked }),
            Err(reason) => (Vec::new(), Phase::Failed { reason, asked }),
        };
        self.pools.pools.insert(id, Pool { workers, spec, phase });
        self.welcome_parked(id);
        id
    }

    /// Static workers have said hello long ago.
    pub(super) fn welcome_parked(&mut self, id: PoolId) {
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
    }

    /// Starts workers for a pool that has those already, in another job if there is one.
    pub(super) fn start_workers(
        &mut self,
        pool: PoolId,
        spec: &PoolSpec,
        there: &[WorkerId],
        job: Option<&OtherJob>,
    ) -> Result<Vec<WorkerId>, String> {
        let ranks = self.free_ranks();
        let start = spec.start.unwrap_or_default();
        if start == Start::Static || start == Start::Auto && !ranks.is_empty() {
            return self.take_ranks(pool, spec, ranks);
        }
        let there: Vec<String> = there.iter().map(|id| self.workers[id].host().to_string()).collect();
        let shunned = self.core.quarantined(pool).map(String::from).collect();
        let Plan { workers: planned } = self.pools.launcher.plan(spec, &there, shunned, job)?;
        let allocation = self.pools.allocation(job);
        let mut started = Vec::new();
        for place in planned {
            let id = self.pools.new_worker();
            let worker = match self.pools.launcher.guard.has_heard() {
                true => Err("the campaign is being stopped".into()),
                false => {
                    let started = self.pools.launcher.start(id, &place, job);
                    started.inspect_err(|reason| self.node_failed(&place.host, reason))
                }
            };
            match worker {
                Ok(mut worker) => {
                    worker.pool = Some(pool);
                    worker.allocation = allocation;
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

    /// A worker has said who it is.
    pub(super) fn welcome(&mut self, id: WorkerId, hello: Hello) {
        self.introduce_node(&hello.host);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if let Some(said) = &mut worker.said {
            said.worker_speaks();
        }
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
            let wrong = self.pools.launcher.wrong_place(worker, &hello.host);
            if pool.spec.misplaced == Misplaced::Refused {
                let reason = wrong.to_string();
                worker.peer.queue(&ToWorker::Refused(wrong.fact));
                return self.lose(id, &reason);
            }
            // Launchers are to find it, too.
            worker.planned_host.clone_from(&hello.host);
            self.progress.problem(&wrong.to_string());
        } else if planned.is_empty() {
            worker.planned_host.clone_from(&hello.host); // who tells of it once it has gone asks here
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
        let arriving = || pool.arriving().iter().filter_map(|id| self.workers.get(id));
        let is_introduced = |worker: &Worker| matches!(worker.stage, Stage::Introduced(_));
        // Those that were started last come last: of thousands mostly one is looked at.
        if !arriving().rev().all(is_introduced) {
            return;
        }
        let hello_of = |worker: &Worker| Some((worker.id, worker.hello()?.clone()));
        let introduced: Vec<(WorkerId, Hello)> = arriving().filter_map(hello_of).collect();
        // Those that have work already keep their slots.
        let mut on_host: BTreeMap<String, u32> = BTreeMap::new();
        for hello in pool.workers.iter().filter_map(|id| self.workers.get(id)?.hello()) {
            *on_host.entry(hello.host.clone()).or_default() += 1;
        }
        for (worker, hello) in introduced {
            let share = (hello.cores / on_host[&hello.host]).max(1);
            let slots = pool.spec.slots.unwrap_or(share).clamp(1, u32::from(u16::MAX)) as u16;
            let Some(worker) = self.workers.get_mut(&worker) else { continue };
            worker.slots = slots;
            worker.gpus = Gpus::of_pool(hello.gpus.as_ref(), pool.spec.gpus);
            worker.gpu_set = self.pools.gpu_names.number(&hello.host, &mut worker.gpus);
            let handed_on = if worker.start == Start::Local { &[][..] } else { &self.pools.handed_on };
            let own = pool.spec.env.iter().map(|(name, value)| (name.clone(), value.clone()));
            worker.peer.set_limit(self.pools.launcher.limits.message_bytes);
            worker.peer.queue(&ToWorker::Welcome(Box::new(Welcome {
                worker: worker.id,
                slots,
                joined: worker.allocation > 0,
                campaign_dir: self.pools.campaign_dir.clone(),
                limits: Box::new(self.pools.launcher.limits),
                seed: self.pools.seed,
                env: handed_on.iter().cloned().chain(own).collect(),
                setup: pool.spec.setup.clone(),
            })));
            worker.last_heard = Instant::now();
            worker.stage = Stage::Welcomed(hello);
        }
        self.silent_at = None;
    }

    /// A worker could take work. Those by which a pool grows begin together: if one of them does not come, none of the
    /// others is to have any.
    pub(super) fn ready(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Stage::Welcomed(hello) = &worker.stage else { return };
        worker.stage = Stage::Ready(hello.clone());
        worker.keeper_is_up();
        self.forsaken = 0;
        let Some(pool) = worker.pool else { return };
        let phase = self.pools.pools.get(&pool).map(|pool| &pool.phase);
        if !matches!(phase, Some(Phase::Growing { .. })) {
            self.put_to_work(id, pool);
        }
        self.announce(pool);
    }

    fn put_to_work(&mut self, id: WorkerId, pool: PoolId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let (host, slots, gpus, allocation) =
            (worker.host().to_string(), worker.slots, worker.gpu_set, worker.allocation);
        let sockets = worker.hello().map(|hello| hello.sockets.clone().into()).unwrap_or_default();
        let measures = self.measures(pool, &host);
        self.handle(Event::WorkerReady {
            worker: id,
            pool,
            host,
            allocation,
            slots,
            sockets,
            gpus,
            measures,
        });
    }

    /// Does a worker there measure although others would do?
    fn measures(&self, pool: PoolId, host: &str) -> bool {
        let spared = self.pools.pools.get(&pool).is_some_and(|pool| pool.spec.root_node == RootNode::Auto);
        !(spared && same_host(host, &self.pools.launcher.allocation.root_host))
    }

    /// Tells the script when the last worker that it waits for is ready.
    fn announce(&mut self, id: PoolId) {
        let Some(pool) = self.pools.pools.get(&id) else { return };
        let ready = |id: &WorkerId| {
            self.workers.get(id).is_some_and(|worker| matches!(worker.stage, Stage::Ready(_)))
        };
        if pool.arriving().is_empty() || !pool.arriving().iter().rev().all(ready) {
            return;
        }
        let workers = self.info(id, pool);
        let new: Vec<&WorkerInfo> =
            workers.iter().filter(|info| pool.arriving().contains(&WorkerId(info.id))).collect();
        self.progress.pool_open(id, &new);
        let asked = !matches!(pool.phase, Phase::Opening { asked: false, .. });
        let grown = match self.pools.pools.get_mut(&id) {
            Some(pool) => std::mem::replace(&mut pool.phase, Phase::Open),
            None => return,
        };
        if let Phase::Growing { new, .. } = grown {
            new.into_iter().for_each(|worker| self.put_to_work(worker, id));
        }
        if asked {
            self.port.spawned(Ok(PoolInfo { id, workers }));
        }
        self.handle(Event::PoolSettled { pool: id });
    }

    /// The workers of a pool that are ready, for people.
    fn info(&self, id: PoolId, pool: &Pool) -> Vec<WorkerInfo> {
        let ready = |worker: &WorkerId| match self.workers.get(worker).map(|worker| (worker, &worker.stage)) {
            Some((worker, Stage::Ready(hello))) if worker.quarantine.is_none() => Some((worker, hello)),
            _ => None,
        };
        let ready: Vec<(&Worker, &Hello)> = pool.workers.iter().filter_map(ready).collect();
        let several = ready.iter().any(|(_, hello)| !same_host(&hello.host, &ready[0].1.host));
        let info = |(worker, hello): &(&Worker, &Hello)| WorkerInfo {
            id: worker.id.0,
            host: hello.host.clone(),
            slots: u32::from(worker.slots),
            cores: hello.cores,
            gpus: worker.gpus.ids.len() as u32,
            start: worker.start.word().into(),
            measures: !several || self.measures(id, &hello.host),
        };
        ready.iter().map(info).collect()
    }

    /// Is it on the root's own node, however it was started?
    pub(super) fn is_here(&self, worker: &Worker) -> bool {
        worker.start == Start::Local || same_host(worker.host(), &self.pools.launcher.allocation.root_host)
    }

    /// Did a measurement run beside the root although the pool has other nodes?
    pub(super) fn shares_root(&self, pool: PoolId, ran_on: &[WorkerId]) -> bool {
        let root = &self.pools.launcher.allocation.root_host;
        let here = |id: &WorkerId| self.workers.get(id).is_some_and(|worker| same_host(worker.host(), root));
        let elsewhere = |worker: &Worker| {
            worker.pool == Some(pool) && worker.takes_tasks() && !same_host(worker.host(), root)
        };
        ran_on.iter().any(here) && self.workers.values().any(elsewhere)
    }

    /// The nodes of those that had their time and said nothing failed us.
    fn blame_for_silence(&mut self, arriving: &[WorkerId]) {
        let silent = |id: &WorkerId| {
            let worker = self.workers.get(id)?;
            worker.hello().is_none().then(|| (worker.planned_host.clone(), *id))
        };
        for (host, id) in arriving.iter().filter_map(silent).collect::<Vec<_>>() {
            self.node_failed(&host, &format!("worker {id} said nothing when it was started"));
        }
    }

    /// Closes what is to be closed, and gives up on what does not come.
    pub(super) fn tend_pools(&mut self, now: Instant) {
        let ids: Vec<PoolId> = self.pools.pools.keys().copied().collect();
        for id in ids {
            let Some(pool) = self.pools.pools.get_mut(&id) else { continue };
            match pool.phase {
                Phase::Opening { until, .. } | Phase::Growing { until, .. } if until <= now => {
                    let arriving = pool.arriving().to_vec();
                    let reason = self.no_word_from(&arriving);
                    self.blame_for_silence(&arriving);
                    self.fail_opening(id, &reason);
                }
                Phase::Emptying if self.tasks.live_in(id) == 0 => {
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
        if let Some((spec, until)) = self.pools.postponed.take() {
            if self.ranks_are_closing() {
                self.pools.postponed = Some((spec, now + self.limits().start));
            } else if until > now && self.ranks_are_silent(&spec) {
                self.pools.postponed = Some((spec, until));
            } else {
                self.open_pool_now(spec);
            }
        }
        if self.pools.retire_by.is_some_and(|by| by <= now) {
            self.pools.retire_by = None;
            self.end_retiring(GivenUp::Late);
        }
    }
}
