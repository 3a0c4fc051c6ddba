//! What workers say: their messages become events for the core, and artefacts find their way.

use std::time::Instant;

use super::driver::Driver;
use super::workers::Stage;
use crate::artefact::Stored;
use crate::core::Event;
use crate::model::{FromWorker, Hash, ToWorker, WorkerId};
use crate::transport::LinkError;

/// What follows from so many messages of one worker leaves before more of it are heard: those who wait for it work meanwhile.
const TOGETHER: usize = 256;

impl Driver {
    pub(super) fn read_workers(&mut self) {
        for id in std::mem::take(&mut self.heard) {
            let Some(worker) = self.workers.get_mut(&id).filter(|worker| !worker.is_gone()) else { continue };
            let (messages, mut ended) = worker.read();
            self.now = Instant::now();
            for (n, message) in messages.into_iter().enumerate() {
                if n > 0 && n % TOGETHER == 0 {
                    ended = ended.or(self.answer_so_far(id).err());
                }
                self.hear(id, message);
            }
            if let Some(error) = ended {
                self.link_ended(id, &error);
            }
        }
    }

    /// The script gets what has ended and need not be written down first, the worker what it is to do next.
    fn answer_so_far(&mut self, id: WorkerId) -> Result<(), LinkError> {
        self.port.flush();
        let worker = self.workers.get_mut(&id).filter(|worker| !worker.is_gone());
        worker.map_or(Ok(()), |worker| worker.peer.flush())
    }

    fn hear(&mut self, id: WorkerId, message: FromWorker) {
        let ready = self.workers.get(&id).is_some_and(|worker| matches!(worker.stage, Stage::Ready(_)));
        let of_task = !matches!(
            message,
            FromWorker::Hello(_) | FromWorker::Ready | FromWorker::Dying(_) | FromWorker::Bye
        );
        if of_task && !ready {
            return; // about a pool it has left
        }
        match message {
            FromWorker::Hello(hello) => self.welcome(id, *hello),
            FromWorker::Ready => self.ready(id),
            FromWorker::Started(task, attempt) => {
                if let Some(live) = self.tasks.live(task).filter(|live| live.attempt == attempt) {
                    live.began();
                }
                self.handle(Event::Started { worker: id, task, attempt });
            }
            FromWorker::Done(task, attempt, outcome) => {
                let Some(live) = self.tasks.live(task) else {
                    // It was given up long ago, and the core still keeps its cores for it.
                    let late = Event::Finished {
                        worker: id,
                        task,
                        attempt,
                        ok: false,
                        unfit: false,
                        artefact: None,
                        elapsed_us: 0,
                    };
                    return self.handle(late);
                };
                if live.attempt == attempt && live.rare.worker == Some(id) {
                    live.rare.outcome = Some(outcome);
                    if !self.comes_home(id, task, attempt) && !self.sweep_gang(task) {
                        self.finished(id, task, attempt);
                    }
                }
            }
            FromWorker::Swept(task, attempt) => self.swept(id, task, attempt),
            FromWorker::Recalled(task, attempt) => self.handle(Event::Recalled { worker: id, task, attempt }),
            FromWorker::Have(artefact) => self.handle(Event::Have { worker: id, artefact }),
            FromWorker::Want(hash) => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.send_artefact(hash);
                }
            }
            // Nothing, if it is not fetched any more: the two words crossed.
            FromWorker::Gone(hash, reason) => self.give_up_homing(id, hash, &reason),
            // Nothing that needs artefacts can run there.
            FromWorker::Unkept(_, reason) => self.lose(id, &reason),
            FromWorker::Damaged(hash, reason) => self.arrived_damaged(id, hash, &reason),
            FromWorker::Chunk(hash, offset, bytes, last) => self.piece_came(id, hash, offset, &bytes, last),
            FromWorker::NeedModule(name) => self.modules.want(id, name),
            FromWorker::Alive => {}
            FromWorker::Dying(reason) => self.lose(id, &reason),
            FromWorker::Bye => self.part(id),
        }
    }

    /// Hands on the modules that were read.
    pub(super) fn pass_modules(&mut self) {
        while let Some(found) = self.modules.found() {
            self.tell(found.worker, &ToWorker::Module(found.name, found.module));
        }
    }

    pub(super) fn offer(&mut self, id: WorkerId, hash: Hash) {
        if self.store.contains(hash) {
            self.tell(id, &ToWorker::Offer(hash));
        } else {
            self.give_up_artefact(hash);
        }
    }

    /// What a worker got of an artefact is something else: is it so in our store, or did it become so on its way?
    fn arrived_damaged(&mut self, id: WorkerId, hash: Hash, reason: &str) {
        match self.store.check(hash) {
            Ok(Stored::Whole) => return self.lose(id, reason),
            Ok(Stored::Damaged) => {
                let folder = self.store.folder().display();
                self.progress.problem(&match self.store.remove(hash) {
                    Ok(()) => format!(
                        "artefact {hash} was damaged in the store {folder}, and is removed there: run again what builds it"
                    ),
                    Err(error) => format!("artefact {hash} is damaged in the store {folder}: {error}"),
                });
            }
            Ok(Stored::Missing) => {} // another worker said it before
            Err(error) => self.progress.problem(&error.to_string()),
        }
        // The rest of it need not reach others.
        self.workers.values_mut().for_each(|worker| worker.withhold(hash));
        self.give_up_artefact(hash);
    }

    pub(super) fn give_up_artefact(&mut self, hash: Hash) {
        self.handle(Event::Gone { artefact: hash });
    }
}
