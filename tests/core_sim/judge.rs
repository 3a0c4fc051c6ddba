//! What the core promises about every start and every end, judged when it decides.

use std::collections::BTreeSet;

use harness::core::{Dep, End, GpuSet};
use harness::model::{Attempt, Hash, Kind, Placement, TaskId, WorkerId};

use super::{Machine, Track, World};

impl World {
    /// What the core promises about every start, judged when it decides.
    pub(super) fn judge_start(&mut self, task: TaskId, attempt: Attempt, gang: &[WorkerId], gpus: &[GpuSet]) {
        assert!(!self.is_late(task) && !self.held.contains(&task), "task {task} would not end in time");
        let track = &mut self.tasks[task.0 as usize];
        assert_eq!(track.end, None, "task {task} started after its end");
        assert!(!self.drained, "task {task} started after the drain");
        assert_eq!(attempt.0, track.starts + 1);
        (track.starts, track.placed, track.flying) = (attempt.0, Some(gang[0]), true);
        assert!(self.now >= track.rests, "task {task} is tried again and has not rested");
        // Of calls the core may not have heard that they began.
        let is_call = track.request.kind == Kind::Call;
        assert!(
            is_call || track.killed <= track.request.retries,
            "task {task} ends one worker after the other"
        );
        (track.gang, track.gpus, track.started_at) = (gang.to_vec(), gpus.into(), Some(self.now));
        if let Some(promise) = self.promises.get(&task) {
            // Word of a start and of an end travels a little.
            assert!(self.now <= promise + 2_000, "task {task}: promised {promise}, started {}", self.now);
        }
        let track = &self.tasks[task.0 as usize];
        let request = &track.request;
        assert_eq!(gang.len(), request.placement.nodes.unwrap_or(1) as usize);
        let mut needed = request.inputs.clone();
        for dep in &request.deps {
            let dep = &self.tasks[dep.task.0 as usize];
            assert!(
                dep.end.is_some() && (dep.ok || request.accept_failed),
                "{request:?} started before {:?}",
                dep.request
            );
            needed.extend(dep.artefact.filter(|_| dep.ok && dep.end == Some(End::Finished)));
        }
        let wanted = request.placement.gpus.unwrap_or(0);
        assert_eq!(gpus.len(), if wanted > 0 { gang.len() } else { 0 });
        let hosts: BTreeSet<&str> = gang.iter().map(|id| &*self.machines[id.0 as usize].host).collect();
        assert_eq!(hosts.len(), gang.len(), "a gang has each node once");
        let allocations: BTreeSet<u16> = hosts.iter().map(|host| self.allocation(host)).collect();
        assert_eq!(allocations.len(), 1, "a gang stays inside one allocation");
        assert!(
            request
                .placement
                .host
                .as_ref()
                .is_none_or(|host| *host == self.machines[gang[0].0 as usize].host)
        );
        for worker in gang {
            let machine = &self.machines[worker.0 as usize];
            assert!(!machine.told && machine.pool == request.pool.0);
            assert!(!machine.barred, "task {task} starts on {worker}, in quarantine");
            assert!(request.placement.not_on.as_ref().is_none_or(|host| *host != machine.host));
            assert!(u32::from(machine.slots) >= request.placement.cores.unwrap_or(1));
            if machine.alive {
                assert!(
                    needed.iter().all(|hash| machine.store.contains(hash)),
                    "{request:?} lacks an artefact"
                );
            }
        }
        self.judge_reluctance(task, gang);
        let request = &self.tasks[task.0 as usize].request;
        if let Some(group) = &request.placement.group {
            let key = (request.pool.0, group.clone(), request.placement.nodes.unwrap_or(1));
            let mut sorted = gang.to_vec();
            sorted.sort_unstable();
            let home = self.groups.entry(key).or_insert(sorted.clone());
            let gone = |machine: &Machine| machine.told || machine.barred;
            let lost = home.iter().any(|id| gone(&self.machines[id.0 as usize]));
            assert!(*home == sorted || lost, "group `{group}` is split");
            *home = sorted;
        }
    }

    /// What nobody has is asked for once for each task that needs it: then that is refused, wherever it waits.
    pub(super) fn judge_asking(&mut self, worker: WorkerId, artefact: Hash) {
        let made = |dep: &Dep| self.tasks[dep.task.0 as usize].artefact == Some(artefact);
        let needs =
            |track: &&Track| track.request.inputs.contains(&artefact) || track.request.deps.iter().any(made);
        let needed = self.tasks.iter().filter(needs).count();
        let asked = self.asked_in_vain.entry((worker, artefact)).or_default();
        *asked += 1;
        assert!(*asked <= needed, "{worker} was to get {artefact} {asked} times, and {needed} need it");
    }

    /// Would it not end in time, but in a run as long as this one? Here only timeouts say so.
    fn is_late(&self, task: TaskId) -> bool {
        let timeout = self.tasks[task.0 as usize].request.timeout_us;
        let Some(((at, whole), takes)) = self.deadline.zip(timeout) else { return false };
        takes <= whole && self.now + takes > at
    }

    pub(super) fn judge_hold(&mut self, task: TaskId) {
        assert!(self.is_late(task), "task {task} is held back and would end in time");
        assert!(
            self.tasks[task.0 as usize].end.is_none() && self.held.insert(task),
            "{task} is held back twice"
        );
    }

    /// A measurement is on a reluctant worker only if it named its host, or the others were not enough.
    fn judge_reluctance(&self, task: TaskId, gang: &[WorkerId]) {
        let track = &self.tasks[task.0 as usize];
        let request = &track.request;
        let wish = &request.placement;
        let reluctant = gang.iter().any(|id| !self.machines[id.0 as usize].measures);
        let measures = matches!(request.kind, Kind::Measure | Kind::Compare);
        let free = measures && wish.host.is_none() && wish.group.is_none();
        if !reluctant || !free {
            return;
        }
        // Those that were there all the time: one may have come while a node was prepared.
        let would_do = |machine: &&Machine| {
            !machine.told
                && !machine.barred
                && machine.measures
                && machine.pool == request.pool.0
                && machine.has_part(wish)
                && u32::from(machine.slots) >= wish.cores.unwrap_or(1)
                && u32::from(machine.gpus) >= wish.gpus.unwrap_or(0)
                && wish.not_on.as_ref() != Some(&machine.host)
                && !track.struck.contains(&machine.host)
                && machine.since <= task.0
        };
        let hosts: BTreeSet<&str> =
            self.machines.iter().filter(would_do).map(|machine| &*machine.host).collect();
        let of = |allocation| hosts.iter().filter(|host| self.allocation(host) == allocation).count();
        assert!(
            (0..self.allocations).all(|one| of(one) < gang.len()),
            "{request:?} on a reluctant worker, and {hosts:?} would do"
        );
    }

    /// A worker is lost, and the core is about to hear of it.
    pub(super) fn judge_loss(&mut self, worker: WorkerId) {
        let host = self.machines[worker.0 as usize].host.clone();
        *self.faults.entry(host.clone()).or_default() += 1;
        if !self.thorough {
            return;
        }
        for track in &mut self.tasks {
            if track.flying && track.gang.contains(&worker) {
                track.struck.insert(host.clone());
            }
            if track.placed == Some(worker) && track.flying {
                track.flying = false;
                // A call that waits in a pipe moves at once.
                track.rests = if track.request.kind == Kind::Call { 0 } else { self.now + 1_000_000 };
            }
        }
    }

    /// Nothing of the pool starts there any more: there was cause enough, and there are others.
    pub(super) fn judge_quarantine(&mut self, pool: u32, host: &str) {
        self.quarantines += 1;
        let faults = self.faults.get(host).copied().unwrap_or(0);
        assert!(self.limits.get(&pool).is_some_and(|most| faults >= *most), "{host}: {faults} faults");
        let takes = |machine: &&mut Machine| machine.pool == pool && !machine.told && !machine.barred;
        for machine in self.machines.iter_mut().filter(takes).filter(|machine| machine.host == host) {
            machine.barred = true;
        }
        assert!(self.machines.iter_mut().any(|machine| takes(&machine)), "{host} is the last node");
        // Groups leave it, and need not come back with it.
        let machines = &self.machines;
        self.groups.retain(|_, home| home.iter().all(|id| !machines[id.0 as usize].barred));
    }

    /// The pool has nobody else, and no better one.
    pub(super) fn judge_readmission(&mut self, pool: u32, host: &str) {
        self.readmissions += 1;
        let left = || self.machines.iter().filter(|machine| machine.pool == pool && !machine.told);
        assert!(left().all(|machine| machine.barred), "{host} is let in and there are others");
        let faults = |host: &str| self.faults.get(host).copied().unwrap_or(0);
        assert!(left().any(|machine| machine.host == host), "nobody is on {host}");
        assert!(
            left().all(|machine| faults(host) <= faults(&machine.host)),
            "{host} is not the least faulty"
        );
        let barred = self.machines.iter_mut().filter(|machine| machine.pool == pool && machine.host == host);
        barred.for_each(|machine| machine.barred = false);
    }

    /// Could it run in the pool, were all idle that is left?
    fn has_nodes_for(&self, pool: u32, wish: &Placement) -> bool {
        let (cores, gpus) = (wish.cores.unwrap_or(1) as u16, wish.gpus.unwrap_or(0) as u16);
        let able = self.machines.iter().filter(|machine| {
            let is_there = machine.pool == pool && !machine.told && !machine.barred;
            let may = wish.not_on.as_ref() != Some(&machine.host) && machine.has_part(wish);
            is_there && may && machine.slots >= cores && machine.gpus >= gpus
        });
        let hosts: BTreeSet<&String> = able.map(|machine| &machine.host).collect();
        let of = |job: u16| hosts.iter().filter(|host| self.allocation(host) == job).count() as u32;
        (0..self.allocations).any(|job| of(job) >= wish.nodes.unwrap_or(1).max(1))
    }

    pub(super) fn resolved(&mut self, task: TaskId, end: End) {
        let track = &self.tasks[task.0 as usize];
        assert_eq!(track.end, None, "task {task} resolved twice, now {end:?}");
        let request = &track.request;
        let wish = &request.placement;
        match &end {
            End::Finished => {}
            End::Cancelled => assert!(track.cancelled || self.drained, "task {task} cancelled by nobody"),
            End::Skipped { cause } => {
                assert!(!request.accept_failed && request.deps.iter().any(|dep| dep.task == *cause));
                let cause = &self.tasks[cause.0 as usize];
                assert!(cause.end.is_some() && !(cause.ok && cause.end == Some(End::Finished)));
            }
            End::LostWorker { workers } => {
                let left = self.machines.iter().any(|m| m.pool == request.pool.0 && !m.told);
                let often = workers.len() + track.unfit.len() > request.retries as usize;
                assert!(workers.len() <= 1 + request.retries as usize);
                // A gang that lost a node and whose leader does not end it may run on: it never runs twice at once.
                let runs_on = track.running && track.gang.len() > 1;
                let short = !workers.is_empty() && !self.has_nodes_for(request.pool.0, wish);
                assert!(often || !left || runs_on || wish.host.is_some() || short, "{request:?} given up");
            }
            End::Overdue | End::CameBack => assert!(request.timeout_us.is_some()),
            End::Refused { reason } => {
                let plain = Placement { priority: wish.priority, ..Placement::default() };
                let plain = **wish == plain && request.inputs.is_empty() && request.deps.is_empty();
                assert!(!plain && !reason.is_empty(), "{request:?} refused: {reason}");
            }
        }
        self.tasks[task.0 as usize].end = Some(end);
    }
}
