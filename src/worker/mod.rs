//! The worker: one process per node that passes work from the root to the keeper and the slots, and
//! results back. An event loop over one link and some sockets; it never runs user code and has one child,
//! its keeper.
//!
//! It must never know what a task computes, nor decide where a task runs: that is the root's core.

mod guest;
mod lone;
mod pipe;
mod slot;
mod slots;
mod transfers;
mod turns;
mod watch;

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use self::guest::Guest;
use self::slots::Slots;
use self::transfers::Transfers;
use self::watch::{Watch, stood_still};
use crate::artefact::{Store, StoreError};
use crate::machine::{self, Topology};
use crate::model::{
    Attempt, FromKeeper, FromWorker, Hello, Limits, Outcome, PROTOCOL, SlotId, SlotSetup, TaskId, ToKeeper,
    ToWorker, Welcome, human,
};
use crate::process::{self, Environment, FIRST_FD, SpawnError};
use crate::say::say;
use crate::transport::stream::StreamLink;
use crate::transport::wait::{earlier, wait};
use crate::transport::{Link, LinkError, Peer};
use crate::wire::{Stream, TooLarge, WireError, socket_pair};

/// A worker that is cut off knows it after this part of the silence for which the root gives it up: before that, so that what ran here
/// has ended when somebody else begins it.
const CUT_OFF: f64 = 0.75;
/// But not sooner than this: what is sent once more comes through.
const SHORTEST: Duration = Duration::from_secs(1);

/// What the root wants next of a worker process whose pool was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Another pool may follow.
    Retired,
    /// Nothing more: end.
    Exit,
    /// The same, without leaving MPI in order.
    Quit,
}

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    /// The root is gone.
    #[error("lost the root: {0}")]
    Root(#[from] LinkError),
    /// The keeper is gone.
    #[error("the keeper of this node ended: {0}")]
    Keeper(WireError),
    /// The keeper is there, but does nothing.
    #[error("the keeper of this node has not answered for {0} (hung or stopped)")]
    KeeperSilent(String),
    /// The system refused.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// The artefact store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no keeper.
    #[error("cannot start the keeper: {0}")]
    Start(#[from] SpawnError),
    /// The batch system ends the job of its node, which is not the root's.
    #[error("the job of its node is being ended (SIGTERM)")]
    Dismissed,
    /// The root is another build.
    #[error("{0}")]
    Protocol(String),
}

/// The worker on the root's own node: `socket` leads to the root.
pub fn main(socket: OwnedFd) -> ExitCode {
    match StreamLink::new(socket) {
        Ok(link) => main_over(Box::new(link)),
        Err(error) => complain(&WorkerError::System { what: "open the socket to the root", error }),
    }
}

/// A worker that serves one pool and ends.
pub fn main_over(link: Box<dyn Link>) -> ExitCode {
    serve_one(link).map_or_else(|code| code, |_| ExitCode::SUCCESS)
}

/// The same, started by MPI_Comm_spawn. Is it to leave MPI in order? One that gives up is.
pub fn main_spawned(link: Box<dyn Link>) -> bool {
    serve_one(link) != Ok(Ended::Quit)
}

fn serve_one(link: Box<dyn Link>) -> Result<Ended, ExitCode> {
    let mut root = Peer::new(link);
    match serve(&mut root) {
        Ok(ended) => {
            say_goodbye(root);
            Ok(ended)
        }
        // The root closed the socket without a word: it was killed, and all of ours here has been ended.
        Err(WorkerError::Root(LinkError::Closed)) => Err(ExitCode::FAILURE),
        Err(error) => Err(complain(&error)),
    }
}

/// A rank of `mpirun -n N`: serves one pool after another. Is it to leave MPI in order?
pub fn main_static(link: Box<dyn Link>) -> bool {
    let mut root = Peer::new(link);
    loop {
        match serve(&mut root) {
            Ok(Ended::Retired) => {}
            Ok(ended) => {
                say_goodbye(root);
                return ended == Ended::Exit;
            }
            Err(error) => {
                complain(&error);
                return false;
            }
        }
    }
}

fn complain(error: &WorkerError) -> ExitCode {
    say(format_args!("harness worker on {}: {error}", machine::hostname()));
    ExitCode::FAILURE
}

/// The last word, and the end of the connection.
fn say_goodbye(mut root: Peer<FromWorker, ToWorker>) {
    root.queue(&FromWorker::Bye);
    let limit = Instant::now() + Limits::default().goodbye;
    while root.flush().and_then(|()| root.progress()).is_ok() && root.backlog() > 0 && Instant::now() < limit
    {
        if wait_for(&root, Some(limit)).is_err() {
            break;
        }
    }
    root.into_link().close();
}

/// Serves one pool, until the root retires this worker. On return no process started on behalf of the pool
/// is left on this node.
fn serve(root: &mut Peer<FromWorker, ToWorker>) -> Result<Ended, WorkerError> {
    process::adopt_orphans().map_err(|error| WorkerError::System { what: "become a subreaper", error })?;
    let welcome = match introduce(root)? {
        Ok(welcome) => welcome,
        Err(ended) => return Ok(ended),
    };
    let limits = *welcome.limits;
    root.set_limit(limits.message_bytes);
    let (ours, keepers) =
        socket_pair().map_err(|error| WorkerError::System { what: "make a socket", error })?;
    let environment = Environment::scrubbed(std::env::vars_os());
    let child = process::start_self("__keeper", vec![(keepers, FIRST_FD)], &environment)?;
    let keeper = Stream::new(ours).map_err(|error| WorkerError::System { what: "open a socket", error })?;
    let mut worker = Worker::new(root, keeper, welcome)?;
    let result = worker.run();
    if let Err(error) = &result {
        // Best effort: where the root still listens it learns why.
        worker.root.queue(&FromWorker::Dying(error.to_string()));
        let _ = worker.root.flush();
    }
    let silent = matches!(result, Err(WorkerError::KeeperSilent(_)));
    // Closes the sockets of keeper and slots: the keeper kills what it started and ends.
    drop(worker);
    child.wait_or_kill(if silent { Duration::ZERO } else { limits.keeper_end });
    // What a killed keeper left is ours now, processes and folders, as we are the next subreaper.
    process::kill_descendants(&[], limits.keeper_end);
    let root_is_gone = matches!(result, Err(WorkerError::Root(_)));
    process::sweep_behind(|| root_is_gone);
    result
}

/// Says hello and waits for the root's welcome, or its word that there is no pool for this worker any more.
fn introduce(root: &mut Peer<FromWorker, ToWorker>) -> Result<Result<Welcome, Ended>, WorkerError> {
    root.queue(&FromWorker::Hello(Box::new(Hello {
        protocol: PROTOCOL,
        build: machine::build_id(),
        host: machine::hostname(),
        pid: std::process::id(),
        env: Box::new(machine::environment()),
        cores: machine::cores(),
        sockets: Topology::here().by_socket(),
        memory_bytes: machine::memory_bytes(),
        gpus: machine::gpus(),
    })));
    // Its own limits come with the answer.
    let patience = Limits::default().welcome;
    let mut limit = Some(Instant::now() + patience);
    loop {
        root.flush()?;
        root.progress()?;
        match root.take()? {
            Some(ToWorker::Welcome(welcome)) => return Ok(Ok(*welcome)),
            Some(ToWorker::Exit) => return Ok(Err(Ended::Exit)),
            Some(ToWorker::Quit) => return Ok(Err(Ended::Quit)),
            Some(ToWorker::Refused(reason)) => return Err(WorkerError::Protocol(reason)),
            // A static worker may idle for a whole campaign before its first pool.
            Some(ToWorker::Parked) => limit = None,
            Some(_) => {}
            None if limit.is_some_and(|limit| Instant::now() > limit) => {
                let reason = format!("no answer to hello within {} s", patience.as_secs());
                return Err(WorkerError::Root(LinkError::Failed(reason)));
            }
            None => wait_for(root, limit)?,
        }
    }
}

fn wait_for(root: &Peer<FromWorker, ToWorker>, limit: Option<Instant>) -> Result<(), WorkerError> {
    let link = root.link_ref();
    let mut fds: Vec<PollFd<'_>> =
        link.poll_fds().into_iter().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
    let deadline = earlier(link.next_poll(Instant::now(), false), limit);
    wait(&mut fds, deadline).map_err(|error| WorkerError::System { what: "wait for the root", error })
}

struct Worker<'a> {
    root: &'a mut Peer<FromWorker, ToWorker>,
    keeper: Stream,
    slots: Slots,
    transfers: Transfers,
    watch: Watch,
    limits: Limits,
    last_heartbeat: Instant,
    quiet: bool,
    /// Its job is not the root's.
    guest: Option<Guest>,
    /// The process that started this one; another parent means it is gone.
    parent: Option<rustix::process::Pid>,
    ended: Option<Ended>,
}

impl<'a> Worker<'a> {
    fn new(
        root: &'a mut Peer<FromWorker, ToWorker>,
        mut keeper: Stream,
        welcome: Welcome,
    ) -> Result<Self, WorkerError> {
        let store = Store::open(Store::default_folder())?;
        // Of how slots begin it needs only what they may take: those it has look at runs begin by themselves.
        let setup = SlotSetup { memory: welcome.setup.memory, ..SlotSetup::default() };
        keeper.queue(&ToKeeper::Setup(Box::new(Welcome { setup, ..welcome.clone() })));
        let limits = *welcome.limits;
        let guest = welcome.joined.then(Guest::open).transpose();
        let guest = guest.map_err(|error| WorkerError::System { what: "receive signals", error })?;
        let mut worker = Self {
            root,
            keeper,
            slots: Slots::new(&welcome, store.folder()),
            transfers: Transfers::new(store),
            watch: Watch::default(),
            limits,
            last_heartbeat: Instant::now(),
            quiet: false,
            guest,
            parent: process::parent_pid(),
            ended: None,
        };
        worker.be_quiet(false);
        Ok(worker)
    }

    fn run(&mut self) -> Result<Ended, WorkerError> {
        let mut spoke = Vec::new();
        loop {
            self.read_root()?;
            if self.guest.as_mut().is_some_and(Guest::is_dismissed) {
                return Err(WorkerError::Dismissed);
            }
            self.read_keeper()?;
            self.slots.progress(&spoke, self.root, &mut self.keeper);
            self.transfers.pump(self.root);
            self.sign_of_life()?;
            if let Some(ended) = self.ended {
                return Ok(ended);
            }
            self.root.flush()?;
            self.keeper.flush().map_err(WorkerError::Keeper)?;
            spoke = self.sleep()?;
        }
    }

    /// Sleeps until there is something to do; slots from which something has come.
    fn sleep(&mut self) -> Result<Vec<SlotId>, WorkerError> {
        let now = Instant::now();
        let next_look = self.slots.next_look(now);
        let link = self.root.link_ref();
        let mut deadline =
            earlier(link.next_poll(now, self.slots.is_backed_up()), self.slots.next_deadline());
        deadline = earlier(deadline, next_look);
        deadline = earlier(deadline, Some(self.next_heartbeat()));
        if self.transfers.is_due(self.root) {
            deadline = Some(now);
        }
        let mut fds = Vec::with_capacity(3 + self.slots.len());
        fds.extend(self.guest.as_ref().map(Guest::poll));
        fds.extend(link.poll_fds().into_iter().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        fds.push(poll_stream(&self.keeper));
        let others = fds.len();
        fds.extend(self.slots.streams().map(|(_, stream)| poll_stream(stream)));
        wait(&mut fds, deadline).map_err(|error| WorkerError::System { what: "wait for events", error })?;
        let slots = fds[others..].iter().zip(self.slots.streams());
        let spoke = slots.filter(|(fd, _)| !fd.revents().is_empty()).map(|(_, (id, _))| id).collect();
        if let Some(stood) = stood_still(now, deadline, Instant::now()) {
            self.slots.forgive(stood);
        }
        Ok(spoke)
    }

    fn read_root(&mut self) -> Result<(), WorkerError> {
        self.root.progress()?;
        while let Some(message) = self.root.take()? {
            self.handle(message);
        }
        Ok(())
    }

    fn handle(&mut self, message: ToWorker) {
        match message {
            ToWorker::Run(run) => {
                self.watch.sent(&run, Instant::now(), self.limits.overdue);
                self.slots.set_taken(self.watch.cores());
                self.keeper.queue(&ToKeeper::Run(run));
            }
            ToWorker::Call(call) => self.slots.call(call),
            ToWorker::Code(hash, bytes) => self.slots.learn(hash, bytes),
            ToWorker::Forget(share) => self.slots.forget(share),
            ToWorker::Module(name, source) => self.slots.module(name, source, &mut self.keeper),
            ToWorker::Recall(task, attempt) => self.slots.recall(task, attempt, self.root),
            ToWorker::Kill(task, attempt) => {
                if self.watch.runs(task, attempt) {
                    self.keeper.queue(&ToKeeper::Kill(task, attempt));
                } else {
                    self.slots.kill(task, attempt, self.root, &mut self.keeper);
                }
            }
            ToWorker::Sweep(task, attempt, mark) => {
                self.keeper.queue(&ToKeeper::Sweep(task, attempt, mark));
            }
            ToWorker::Offer(hash) => self.transfers.offered(hash, self.root),
            ToWorker::Want(hash) => self.transfers.wanted(hash),
            ToWorker::Unwanted(hash) => self.transfers.unwanted(hash),
            ToWorker::Chunk(hash, offset, bytes, last) => {
                self.transfers.chunk(hash, offset, &bytes, last, self.root);
            }
            ToWorker::Quiet(quiet) => self.be_quiet(quiet),
            ToWorker::Retire => self.ended = Some(Ended::Retired),
            ToWorker::Exit => self.ended = Some(Ended::Exit),
            ToWorker::Quit => self.ended = Some(Ended::Quit),
            ToWorker::Welcome(_) | ToWorker::Refused(_) | ToWorker::Parked => {}
        }
    }

    fn read_keeper(&mut self) -> Result<(), WorkerError> {
        self.keeper.fill().map_err(WorkerError::Keeper)?;
        while let Some(message) = self.keeper.take().map_err(WorkerError::Keeper)? {
            self.watch.heard();
            match message {
                FromKeeper::Ready => self.root.queue(&FromWorker::Ready),
                FromKeeper::Alive => {}
                FromKeeper::Started(task, attempt) => self.root.queue(&FromWorker::Started(task, attempt)),
                FromKeeper::Done(task, attempt, outcome) => {
                    self.has_left(task, attempt);
                    report(self.root, task, attempt, outcome);
                }
                FromKeeper::Recalled(task, attempt) => {
                    self.has_left(task, attempt);
                    self.root.queue(&FromWorker::Recalled(task, attempt));
                }
                FromKeeper::Swept(task, attempt) => self.root.queue(&FromWorker::Swept(task, attempt)),
                FromKeeper::NeedModule(name) => {
                    self.slots.module_for_keeper(name, self.root, &mut self.keeper);
                }
                FromKeeper::SlotEnded(slot, end) => {
                    self.slots.ended(slot, end, self.root);
                }
            }
        }
        Ok(())
    }

    /// The keeper has this no more: its cores are free for slots.
    fn has_left(&mut self, task: TaskId, attempt: Attempt) {
        self.watch.ended(task, attempt);
        self.slots.set_taken(self.watch.cores());
    }

    /// While its node measures it gives a sign of life a minute, and the connection is given up the later.
    fn be_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
        if quiet {
            self.slots.be_quiet();
        }
        self.last_heartbeat = Instant::now();
        let Limits { worker_silence, quiet_silence, .. } = self.limits;
        let silence = if quiet { quiet_silence } else { worker_silence };
        let cut_off = silence.mul_f64(CUT_OFF).saturating_sub(self.heartbeat()).max(SHORTEST);
        let link = self.root.link();
        link.set_quiet(quiet);
        link.give_up_after(cut_off);
    }

    /// Between two signs of life.
    fn heartbeat(&self) -> Duration {
        if self.quiet { self.limits.quiet_heartbeat } else { self.limits.heartbeat }
    }

    /// When the next one is due; sooner while a task is overdue, for then the keeper is asked too.
    fn next_heartbeat(&self) -> Instant {
        let next = self.last_heartbeat + self.heartbeat();
        let overdue = self.watch.next_overdue();
        overdue.map_or(next, |at| next.min(at.max(self.last_heartbeat + self.limits.heartbeat)))
    }

    /// Tells the root that this worker lives, and notices when whoever started it does not.
    fn sign_of_life(&mut self) -> Result<(), WorkerError> {
        let now = Instant::now();
        if now < self.next_heartbeat() {
            return Ok(());
        }
        self.last_heartbeat = now;
        if process::parent_pid() != self.parent {
            let reason = "the process that started this worker is gone (mpirun or the root was killed)";
            return Err(WorkerError::Root(LinkError::Failed(reason.into())));
        }
        self.root.queue(&FromWorker::Alive);
        self.watch_keeper(now)
    }

    /// Asks the keeper whether it lives while something depends on it. Beside a measurement nothing is asked
    /// before a task is overdue.
    fn watch_keeper(&mut self, now: Instant) -> Result<(), WorkerError> {
        let depends = !self.quiet && (self.watch.waits() || self.slots.wait_for_keeper());
        if !depends && self.watch.next_overdue().is_none_or(|at| at > now) {
            self.watch.rest();
            return Ok(());
        }
        let patience = self.limits.keeper_silence;
        match self.watch.look(self.limits.heartbeat) {
            silence if silence > patience => {
                Err(WorkerError::KeeperSilent(human::duration(patience.as_secs_f64())))
            }
            Duration::ZERO => {
                self.keeper.queue(&ToKeeper::Ping);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Tells the root how an attempt ended; of what is too large only that.
fn report(root: &mut Peer<FromWorker, ToWorker>, task: TaskId, attempt: Attempt, outcome: Arc<Outcome>) {
    let done = FromWorker::Done(task, attempt, outcome);
    if let Err(TooLarge { bytes, limit }) = root.try_queue(&done) {
        root.queue(&done.shortened(bytes, limit));
    }
}

fn poll_stream(stream: &Stream) -> PollFd<'_> {
    let write = if stream.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
    PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN | write)
}
