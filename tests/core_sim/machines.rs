//! What the simulated workers do with what they are told, and what must hold on them: nothing runs twice, in too
//! little room, or beside a measurement.

use harness::core::{Action, Event};
use harness::model::{Attempt, Exclusive, Hash, Kind, TaskId, WorkerId};

use super::{Msg, World};

impl World {
    pub(super) fn obey(&mut self, worker: WorkerId, action: Action) {
        let at = worker.0 as usize;
        match action {
            Action::Start { task, attempt, .. } => {
                let request = &self.tasks[task.0 as usize].request;
                let plain_call = request.kind == Kind::Call
                    && request.placement.cores.unwrap_or(1) == 1
                    && request.placement.nodes.unwrap_or(1) == 1
                    && request.placement.exclusive.is_none();
                let busy: u16 = self.machines[at].running.values().map(|(_, units, _)| units).sum();
                // A keeper lets one-core programs wait for a free slot.
                let program = request.kind == Kind::Exec
                    && request.placement.cores.unwrap_or(1) == 1
                    && request.placement.nodes.unwrap_or(1) == 1
                    && request.placement.exclusive.is_none();
                if (plain_call || program) && busy >= self.machines[at].slots {
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
                let held = self.machines.iter().any(|machine| machine.store.contains(&artefact));
                let event = if held || self.root_store.contains(&artefact) {
                    self.machines[at].store.insert(artefact);
                    Event::Have { worker, artefact }
                } else {
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
            return self.crash(worker);
        }
        let stubborn = self.rng.permille(self.weather.mute);
        let track = &mut self.tasks[task.0 as usize];
        assert!(!track.running, "task {task} runs twice at once");
        track.running = true;
        let placement = &track.request.placement;
        let whole = placement.exclusive == Some(Exclusive::Node) || placement.nodes.unwrap_or(1) > 1;
        let machine = &mut self.machines[at];
        let units = if whole { machine.slots } else { placement.cores.unwrap_or(1) as u16 };
        let busy: u16 = machine.running.values().map(|(_, units, _)| units).sum();
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
                    other.running.is_empty() && other.pipe.is_empty(),
                    "exclusive task {task} is not alone"
                );
            }
        } else {
            assert!(!machine.quiet, "task {task} begins beside a measurement");
        }
        self.machines[at].running.insert(task, (attempt, units, stubborn));
        if !self.rng.permille(self.weather.lost_starts) {
            self.answer(worker, Event::Started { worker, task, attempt });
        }
        let ends = self.now + self.tasks[task.0 as usize].duration.max(1);
        if stubborn {
            self.post(ends + 60_000_000, Msg::ToRoot(Event::WorkerLost { worker }));
        } else {
            self.post(ends, Msg::Ends(worker, task, attempt));
        }
    }

    pub(super) fn end(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, ok: bool) {
        let at = worker.0 as usize;
        self.machines[at].running.remove(&task);
        let track = &mut self.tasks[task.0 as usize];
        track.running = false;
        let elapsed_us = track.duration;
        let artefact = (ok && track.request.kind == Kind::Compile).then(|| Hash::of(&task.0.to_le_bytes()));
        if let Some(artefact) = artefact {
            self.machines[at].store.insert(artefact);
            if !self.rng.permille(self.weather.gone) {
                self.root_store.insert(artefact);
            }
        }
        self.answer(worker, Event::Finished { worker, task, attempt, ok, artefact, elapsed_us });
        while self.machines[at].running.values().map(|(_, units, _)| units).sum::<u16>()
            < self.machines[at].slots
        {
            let Some((task, attempt)) = self.machines[at].pipe.pop_front() else { return };
            self.begin(worker, task, attempt);
        }
    }
}
