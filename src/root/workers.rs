//! The root's view of its workers: their links, how far each has come, and what it has been sent.
//!
//! It turns bytes into messages and keeps no opinion on scheduling: that is the core's.

use std::time::{Duration, Instant};

use super::remote::Said;
use crate::allocation::Start;
use crate::artefact::{Piece, Store, StoreError, Transfers};
use crate::core::GpuSet;
use crate::model::{FromWorker, Gpus, Hash, Hello, Limits, PoolId, ToWorker, WorkerId};
use crate::process::{Child, Unwatched, children_of, kill_from_below, try_wait};
use crate::transport::{LinkError, Peer};

/// How far a worker has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Started; not heard of.
    Starting,
    /// A static rank that no pool wants now.
    Parked(Hello),
    /// Has said where it is; the others of its pool may not have yet.
    Introduced(Hello),
    /// Welcomed; its keeper is starting.
    Welcomed(Hello),
    /// Takes work.
    Ready(Hello),
    /// Told to end its pool's work.
    Retiring {
        /// When.
        since: Instant,
    },
    /// Gone; for people: who, where and why.
    Gone(String),
}

/// One worker.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) pool: Option<PoolId>,
    /// Where it was to be; empty for static ranks, which mpirun placed.
    pub(super) planned_host: String,
    pub(super) start: Start,
    /// Which allocation its node is of: 0 is that of the root, others are jobs that joined.
    pub(super) allocation: u16,
    /// Its place among the ranks of mpirun, in whose order pools get them.
    pub(super) rank: Option<u32>,
    pub(super) stage: Stage,
    pub(super) slots: u16,
    /// GPUs of its node that its pool uses.
    pub(super) gpus: Gpus,
    /// Their numbers.
    pub(super) gpu_set: GpuSet,
    pub(super) peer: Peer<ToWorker, FromWorker>,
    /// What is said on standard error there, where it does not go to ours.
    pub(super) said: Option<Said>,
    /// The process, where it is our child, or that of the srun or ssh that started it.
    child: Option<Unwatched>,
    /// Its keeper, where it is on our node: whoever loses the worker ends that too.
    keeper: Option<Child>,
    /// Why its pool starts nothing there any more, if it does not.
    pub(super) quarantine: Option<String>,
    /// A measurement has its node: silence says nothing.
    pub(super) quiet: bool,
    pub(super) last_heard: Instant,
    /// How much of all issued bytecode it was sent.
    pub(super) known_code: usize,
    /// Artefacts on their way to it and from it.
    transfers: Transfers,
}

impl Worker {
    pub(super) fn new(
        id: WorkerId,
        planned_host: String,
        start: Start,
        peer: Peer<ToWorker, FromWorker>,
        child: Option<Child>,
    ) -> Self {
        Self {
            id,
            pool: None,
            planned_host,
            start,
            allocation: 0,
            rank: None,
            stage: Stage::Starting,
            slots: 0,
            gpus: Gpus::default(),
            gpu_set: GpuSet::default(),
            peer,
            said: None,
            child: child.map(Child::unwatched),
            keeper: None,
            quarantine: None,
            quiet: false,
            last_heard: Instant::now(),
            known_code: 0,
            transfers: Transfers::default(),
        }
    }

    /// What it said of itself, once it has.
    pub(super) fn hello(&self) -> Option<&Hello> {
        match &self.stage {
            Stage::Parked(hello)
            | Stage::Introduced(hello)
            | Stage::Welcomed(hello)
            | Stage::Ready(hello) => Some(hello),
            _ => None,
        }
    }

    /// Its host as far as known.
    pub(super) fn host(&self) -> &str {
        self.hello().map_or(&self.planned_host, |hello| &hello.host)
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Gone(_))
    }

    pub(super) fn takes_tasks(&self) -> bool {
        matches!(self.stage, Stage::Ready(_)) && self.quarantine.is_none()
    }

    pub(super) fn is_retiring(&self) -> bool {
        matches!(self.stage, Stage::Retiring { .. })
    }

    /// Its keeper is there: remembered, because once the worker is gone nobody can tell whose it was.
    pub(super) fn keeper_is_up(&mut self) {
        let here = self.child.as_ref().filter(|_| self.start == Start::Local);
        let keeper = here.and_then(|child| children_of(child.pid()).first().copied());
        self.keeper = keeper.and_then(|pid| Child::of_another(pid).ok());
    }

    fn take_child(&mut self) -> Option<Child> {
        let child = self.child.take()?;
        child.watched().map_err(|_| child.kill()).ok()
    }

    /// Waits for its process, which is to end; ends it if that takes too long.
    pub(super) fn await_end(&mut self, patience: Duration) {
        if let Some(child) = self.take_child() {
            child.wait_or_kill(patience);
        }
    }

    /// Ends its process, its keeper and all they started, where they are ours to end; `patience` for each.
    pub(super) fn sweep(&mut self, patience: Duration) {
        let child = self.take_child();
        for process in child.iter().chain(self.keeper.take().as_ref()) {
            kill_from_below(process, patience);
        }
        if let Some(child) = child {
            child.wait_or_kill(Duration::ZERO);
        }
        if let Some(said) = &mut self.said {
            said.listen();
        }
    }

    /// Why its link was closed, as far as is known; who was to start it may take so long to end.
    pub(super) fn why_it_ended(&mut self, patience: Duration) -> String {
        let Some(said) = self.said.as_mut().filter(|_| matches!(self.stage, Stage::Starting)) else {
            return "its process ended".into();
        };
        let child = self.child.as_ref().and_then(|child| child.watched().ok());
        let exit = child.filter(|child| child.ends_within(patience)).and_then(|child| {
            self.child = None; // waited for, its number is nobody's
            try_wait(child.pid).ok().flatten()
        });
        said.listen();
        said.why_not(exit.map(|(exit, _)| exit))
    }

    /// For how long it may be silent now.
    pub(super) fn patience(&self, limits: &Limits) -> Duration {
        if self.quiet { limits.quiet_silence } else { limits.worker_silence }
    }

    /// When its silence, should it last, means that it is lost, if it has to give signs of life now.
    pub(super) fn silent_at(&self, limits: &Limits) -> Option<Instant> {
        let watched = matches!(self.stage, Stage::Welcomed(_) | Stage::Ready(_));
        watched.then(|| self.last_heard + self.patience(limits))
    }

    /// Everything that came since the last time.
    pub(super) fn read(&mut self) -> (Vec<FromWorker>, Option<LinkError>) {
        let mut messages = Vec::new();
        let before = self.peer.received();
        let mut ended = self.peer.progress().err();
        if let Some(said) = &mut self.said {
            said.listen();
            if said.is_in_vain() {
                ended.get_or_insert(LinkError::Closed);
            }
        }
        loop {
            match self.peer.take() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    ended = Some(error);
                    break;
                }
            }
        }
        // A piece of a large message is as good a sign of life as a whole one.
        if self.peer.received() > before {
            self.last_heard = Instant::now();
        }
        (messages, ended)
    }

    /// Begins to send an artefact it asked for.
    pub(super) fn send_artefact(&mut self, hash: Hash) {
        self.transfers.send(hash);
    }

    /// Sends no more of an artefact: it is not what its name says.
    pub(super) fn withhold(&mut self, hash: Hash) {
        self.transfers.unsend(hash);
    }

    /// Is there a piece to send at once?
    pub(super) fn is_to_be_pumped(&self) -> bool {
        self.transfers.is_due(|| self.peer.backlog())
    }

    /// Sends pieces of artefacts while nothing more urgent waits. `Err` names the artefact and why it
    /// cannot be read.
    pub(super) fn pump(&mut self, store: &Store) -> Result<(), (Hash, StoreError)> {
        while let Some(piece) = self.transfers.next_piece(store, || self.peer.backlog()) {
            let Piece { hash, offset, bytes, last } = piece?;
            self.peer.queue(&ToWorker::Chunk(hash, offset, bytes, last));
        }
        Ok(())
    }

    /// Asks for an artefact it made.
    pub(super) fn fetch(&mut self, hash: Hash, store: &Store) -> Result<(), StoreError> {
        if self.transfers.expect(hash, store)? {
            self.peer.queue(&ToWorker::Want(hash));
        }
        Ok(())
    }

    /// A piece of an artefact it made; true once it is complete in the root's store.
    pub(super) fn chunk(
        &mut self,
        hash: Hash,
        offset: u64,
        bytes: &[u8],
        last: bool,
    ) -> Result<bool, StoreError> {
        self.transfers.take(hash, offset, bytes, last)
    }

    /// All transfers are off.
    pub(super) fn break_off(&mut self) {
        self.transfers = Transfers::default();
    }

    /// It is not to deliver this artefact. Was it being fetched?
    pub(super) fn give_up_fetch(&mut self, hash: Hash) -> bool {
        self.transfers.give_up(hash)
    }
}
