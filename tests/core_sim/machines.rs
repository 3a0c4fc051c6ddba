//! What the simulated workers do with what they are told, and what must hold on them: nothing runs twice, in too
//! little room, or beside a measurement.

use harness::core::{Action, Event};
use harness::model::{Attempt, Exclusive, Hash, Kind, Placement, TaskId, WorkerId};

use super::{Machine, Msg, World};

/// Of what sort the part of its node is that a task has to itself, if it is one.
fn part(wish: &Placement) -> Option<Exclusive> {
    let is_gang = wish.nodes.unwrap_or(1) > 1 || wish.gpus.is_some() || !wish.needs.is_empty();
    wish.exclusive.filter(|sort| matches!(sort, Exclusive::Socket | Exclusive::Cores) && !is_gang)
}

impl Machine {
    /// Could the task have its part of it, were it empty?
    pub(super) fn has_part(&self, wish: &Placement) -> bool {
        let (cores, sockets) = (wish.cores.unwrap_or(1) as u16, self.sockets());
        match part(wish) {
            Some(Exclusive::Socket) => sockets.iter().any(|socket| *socket >= cores),
            Some(_) => sockets.iter().sum::<u16>() >= cores,
            None => true,
        }
    }
}

impl World {
    pub(super) fn obey(&mut self, worker: WorkerId, action: Action) {
        let at = worker.0 as usize;
        match action {
            Action::Start { task, attempt, .. } => {
                let request = &self.tasks[task.0 as usize].request;
                let wish = &request.placement;
                // Calls wait in the pipe; a keeper lets one-core programs wait for a free slot.
                let may_wait = matches!(request.kind, Kind::Call | Kind::Exec)
                    && wish.cores.unwrap_or(1) == 1
                    && wish.nodes.unwrap_or(1) == 1
                    && !wish.exclusive.is_some_and(Exclusive::is_asked)
                    && wish.gpus.is_none()
                    && wish.needs.is_empty();
                let busy: u16 = self.machines[at].running.values().map(|(_, units, _)| units).sum();
                // Where programs have all slots, and prove long, the keeper gives back what waits.
                let is_program = |task: &TaskId| self.tasks[task.0 as usize].request.kind != Kind::Call;
                let programs = self.machines[at].running.iter().filter(|(task, _)| is_program(task));
                let held: u16 = programs.map(|(_, (_, units, _))| units).sum();
                let waits_for_programs = request.kind == Kind::Exec && held >= self.machines[at].slots;
                if may_wait && waits_for_programs && self.rng.permille(200) {
                    self.machines[at].pipe.push_back((task, attempt));
                    for (task, attempt) in std::mem::take(&mut self.machines[at].pipe) {
                        self.given_back += 1;
                        self.answer(worker, Event::Recalled { worker, task, attempt });
                    }
                } else if may_wait && busy >= self.machines[at].slots {
                    self.machines[at].pipe.push_back((task, attempt));
                } else {
                    self.begin(worker, task, attempt);
                }
            }
            Action::Recall { task, attempt, .. } => {
                if let Some(place) = self.machines[at].pipe.iter().position(|call| *call == (task, attempt)) {
                    self.machines[at].pipe.remove(place);
                    self.answer(worker, Event::Recalled { worker, task, attempt });
                }
            }
            Action::Kill { task, attempt, .. } => {
                if let Some(place) = self.machines[at].pipe.iter().position(|call| *call == (task, attempt)) {
                    self.machines[at].pipe.remove(place);
                    self.answer(worker, Event::Recalled { worker, task, attempt });
                } else if let Some((running, _, stubborn)) = self.machines[at].running.get(&task)
                    && *running == attempt
                    && !stubborn
                {
                    self.end(worker, task, attempt, false);
                }
            }
            Action::Offer { artefact, .. } => {
                assert!(!self.is_measured(at), "something is brought beside a measurement");
                let held = self.machines.iter().any(|machine| machine.store.contains(&artefact));
                let event = if held || self.root_store.contains(&artefact) {
                    self.machines[at].store.insert(artefact);
                    Event::Have { worker, artefact }
                } else {
                    self.judge_asking(worker, artefact);
                    Event::Gone { artefact }
                };
                self.answer(worker, event);
            }
            Action::Quiet { on, .. } => self.machines[at].quiet = on,
            _ => {}
        }
    }

    pub(super) fn begin(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let at = worker.0 as usize;
        if self.rng.permille(self.weather.crashes) {
            self.tasks[task.0 as usize].killed += 1;
            return self.crash(worker);
        }
        let is_bad = self.machines[at].host.bytes().last().is_some_and(|last| last % 2 == 1);
        if is_bad && self.weather.unfit > 0 && self.rng.permille(self.weather.unfit) {
            let (ok, unfit, artefact, elapsed_us) = (false, true, None, 1);
            return self
                .answer(worker, Event::Finished { worker, task, attempt, ok, unfit, artefact, elapsed_us });
        }
        let stubborn = self.rng.permille(self.weather.mute);
        let track = &mut self.tasks[task.0 as usize];
        assert!(!track.running, "task {task} runs twice at once");
        track.running = true;
        let placement = &track.request.placement;
        let shares = placement.exclusive == Some(Exclusive::No);
        if let Some(sort) = part(placement) {
            return self.begin_part(worker, task, attempt, sort, stubborn);
        }
        let whole = placement.exclusive.is_some_and(Exclusive::is_asked)
            || (placement.nodes.unwrap_or(1) > 1 && !shares);
        let machine = &mut self.machines[at];
        let units = if whole { machine.slots } else { placement.cores.unwrap_or(1) as u16 };
        let guests: u16 = machine.guests.values().sum();
        let busy: u16 = guests + machine.running.values().map(|(_, units, _)| units).sum::<u16>();
        assert!(
            busy + units <= machine.slots,
            "worker {worker} is overcommitted by task {task}: {:?} in {} slots",
            machine.running,
            machine.slots
        );
        if whole {
            assert!(machine.quiet, "an exclusive task on a worker that was not told");
            let host = machine.host.clone();
            for other in &self.hosts[&host] {
                let other = &self.machines[*other];
                assert!(
                    other.running.is_empty() && other.pipe.is_empty() && other.guests.is_empty(),
                    "exclusive task {task} is not alone"
                );
            }
        } else {
            assert!(!machine.quiet, "task {task} begins beside a measurement");
        }
        self.machines[at].running.insert(task, (attempt, units, stubborn));
        self.occupy(task, if whole { None } else { Some(units) });
        self.has_begun(worker, task, attempt, stubborn);
    }

    /// The same for one that has a part of its node to itself: it is beside its like only, of one machine, and they
    /// have no more than that has.
    fn begin_part(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        sort: Exclusive,
        stubborn: bool,
    ) {
        let at = worker.0 as usize;
        let machine = &self.machines[at];
        assert!(machine.quiet, "a measurement on a worker that was not told");
        let cores = self.tasks[task.0 as usize].request.placement.cores.unwrap_or(1) as u16;
        let (units, all) = match sort {
            Exclusive::Socket => (1, machine.sockets().len() as u16),
            _ => (cores, machine.sockets().iter().sum()),
        };
        assert!(machine.has_part(&self.tasks[task.0 as usize].request.placement));
        for other in &self.hosts[&machine.host] {
            let beside = &self.machines[*other];
            assert!(beside.pipe.is_empty() && beside.guests.is_empty(), "{task} is not alone");
            assert!(*other == at || beside.running.is_empty(), "{task} and others of another worker");
            let like = |id: &TaskId| part(&self.tasks[id.0 as usize].request.placement) == Some(sort);
            assert!(beside.running.keys().all(like), "{task} beside {:?}", beside.running);
        }
        let used: u16 = machine.running.values().map(|(_, units, _)| units).sum();
        assert!(
            used + units <= all.min(machine.slots),
            "{task} has no cores of its own: {:?}",
            machine.running
        );
        self.machines[at].running.insert(task, (attempt, units, stubborn));
        self.has_begun(worker, task, attempt, stubborn);
    }

    fn has_begun(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, stubborn: bool) {
        if !self.rng.permille(self.weather.lost_starts) {
            self.answer(worker, Event::Started { worker, task, attempt });
        }
        let ends = self.now + self.tasks[task.0 as usize].duration.max(1);
        if stubborn {
            self.post(ends + 60_000_000, Msg::ToRoot(Event::WorkerLost { worker }.into()));
        } else {
            self.post(ends, Msg::Ends(worker, task, attempt));
        }
    }

    /// Does anybody have its node to themselves?
    fn is_measured(&self, at: usize) -> bool {
        let placement = |id: &TaskId| &self.tasks[id.0 as usize].request.placement;
        let alone = |id: &TaskId| placement(id).exclusive.is_some_and(Exclusive::is_asked);
        let here = self.hosts[&self.machines[at].host].iter().map(|other| &self.machines[*other]);
        here.flat_map(|machine| machine.running.keys().chain(machine.guests.keys())).any(alone)
    }

    pub(super) fn leave(&mut self, task: TaskId) {
        let track = &mut self.tasks[task.0 as usize];
        track.running = false;
        for id in &track.gang {
            self.machines[id.0 as usize].guests.remove(&task);
        }
        if !track.gpus.is_empty() {
            self.gpus.retain(|_, user| *user != task);
        }
        for (name, amount) in &track.request.placement.needs {
            if let Some((_, used)) = self.counters.get_mut(&(track.request.pool.0, name.clone())) {
                *used -= amount;
            }
        }
    }

    /// The other machines of its gang, its GPUs and counters are in use from now on.
    fn occupy(&mut self, task: TaskId, units: Option<u16>) {
        let track = &self.tasks[task.0 as usize];
        for (at, id) in track.gang.iter().enumerate() {
            let machine = &mut self.machines[id.0 as usize];
            if at > 0 && machine.alive {
                let busy: u16 = machine.running.values().map(|(_, units, _)| units).sum();
                let busy = busy + machine.guests.values().sum::<u16>();
                let units = units.unwrap_or(machine.slots);
                assert!(busy + units <= machine.slots, "gang {task} overcommits {id}");
                machine.guests.insert(task, units);
            }
            for gpu in track.gpus.get(at).iter().flat_map(|gpus| gpus.iter()) {
                assert!(gpu < self.machines[id.0 as usize].gpus);
                let host = self.machines[id.0 as usize].host.clone();
                assert_eq!(self.gpus.insert((host, gpu), task), None, "GPU {gpu} twice");
            }
        }
        for (name, amount) in track.request.placement.needs.clone() {
            let key = (track.request.pool.0, name);
            let Some((capacity, used)) = self.counters.get_mut(&key) else { panic!("no counter {key:?}") };
            *used += amount;
            assert!(used <= capacity, "{key:?} is overdrawn");
        }
    }

    pub(super) fn end(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, ok: bool) {
        let at = worker.0 as usize;
        self.machines[at].running.remove(&task);
        self.leave(task);
        let track = &mut self.tasks[task.0 as usize];
        let elapsed_us = track.duration;
        let artefact = (ok && track.request.kind == Kind::Compile).then(|| Hash::of(&task.0.to_le_bytes()));
        if let Some(artefact) = artefact {
            self.machines[at].store.insert(artefact);
            if !self.rng.permille(self.weather.gone) {
                self.root_store.insert(artefact);
            }
        }
        self.answer(
            worker,
            Event::Finished { worker, task, attempt, ok, unfit: false, artefact, elapsed_us },
        );
        while self.machines[at].running.values().map(|(_, units, _)| units).sum::<u16>()
            < self.machines[at].slots
        {
            let Some((task, attempt)) = self.machines[at].pipe.pop_front() else { return };
            self.begin(worker, task, attempt);
        }
    }
}
