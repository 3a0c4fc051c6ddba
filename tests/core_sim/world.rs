//! A cluster in virtual time: workers with latencies that crash, fall mute and repeat themselves, driven by nothing
//! but a seed. It carries the core's actions out, and asserts what must hold from the workers' side.

mod judge;
mod machines;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use harness::core::{Action, Core, Dep, DepState, End, Event, GpuSet, Request, Tick};
use harness::model::{Attempt, Hash, Kind, PoolId, Sparse, TaskId, WorkerId};

use crate::random::Random;

/// How unfriendly the cluster is, in events of 1000.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    /// An answer is delivered again later.
    pub repeats: u64,
    /// A `Started` is lost.
    pub lost_starts: u64,
    /// The end of a task is never told; its worker is declared lost a minute later.
    pub mute: u64,
    /// A worker dies when a task begins on it.
    pub crashes: u64,
    /// A lost worker is replaced.
    pub replaced: u64,
    /// A task fails.
    pub failures: u64,
    /// The only copy of an artefact is lost, or a file was never there.
    pub gone: u64,
    /// A bad host cannot run a task; every other one is bad.
    pub unfit: u64,
}

#[derive(Clone, Debug)]
enum Msg {
    ToWorker(WorkerId, Action),
    /// The attempt ends on the worker unless it was killed before.
    Ends(WorkerId, TaskId, Attempt),
    ToRoot(Box<Event>),
    Wake,
}

struct Entry(u64, u64, Msg);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

#[derive(Default)]
struct Machine {
    pool: u32,
    host: String,
    slots: u16,
    gpus: u16,
    measures: bool,
    /// So many tasks had been submitted when it came.
    since: u64,
    alive: bool,
    /// The core has been told of its loss.
    told: bool,
    /// The core has put it in quarantine.
    barred: bool,
    /// Running attempts, with units, and whether a kill is ignored.
    running: BTreeMap<TaskId, (Attempt, u16, bool)>,
    pipe: VecDeque<(TaskId, Attempt)>,
    /// Units of gangs that are led from another machine.
    guests: BTreeMap<TaskId, u16>,
    store: BTreeSet<Hash>,
    quiet: bool,
    /// FIFO of the link, both ways.
    down: u64,
    up: u64,
}

impl Machine {
    /// Its cores: two sockets, if the slots are even, and two slots to a core if there are many.
    fn sockets(&self) -> Vec<u16> {
        let cores = if self.slots > 4 { self.slots.div_ceil(2) } else { self.slots };
        if cores.is_multiple_of(2) { vec![cores / 2; 2] } else { vec![cores] }
    }
}

/// What the world knows of a task.
pub struct Track {
    pub request: Request,
    pub duration: u64,
    pub end: Option<End>,
    pub ok: bool,
    pub cancelled: bool,
    pub starts: u32,
    /// Where its last attempt was sent.
    pub placed: Option<WorkerId>,
    /// The gang of that attempt, and its GPUs.
    gang: Vec<WorkerId>,
    gpus: Box<[GpuSet]>,
    pub started_at: Option<u64>,
    running: bool,
    artefact: Option<Hash>,
    /// The core has sent it and heard of no end.
    flying: bool,
    /// Workers that died while it ran there.
    pub killed: u32,
    /// Hosts that could not run it.
    unfit: Vec<String>,
    /// The same, and those where a worker was lost with it.
    struck: BTreeSet<String>,
    /// It was struck, and rests until then at least.
    rests: u64,
}

pub struct World {
    pub core: Core,
    pub rng: Random,
    pub now: u64,
    pub tasks: Vec<Track>,
    pub weather: Weather,
    /// Check all books of the core after each event.
    pub thorough: bool,
    pub events: u64,
    /// Sum over all actions: equal runs have equal ones.
    pub digest: u64,
    pub recalls: u64,
    pub given_back: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    posted: u64,
    machines: Vec<Machine>,
    /// Alive machines of each host.
    hosts: BTreeMap<String, Vec<usize>>,
    /// Among how many allocations the hosts are dealt out.
    pub allocations: u16,
    wake: Option<u64>,
    /// GPUs in use, by host and number.
    gpus: BTreeMap<(String, u16), TaskId>,
    /// Capacity and use of the counters of each pool.
    counters: BTreeMap<(u32, String), (u32, u32)>,
    /// When gangs start at the latest, as the core promised; judged if `punctual`.
    pub promises: BTreeMap<TaskId, u64>,
    pub punctual: bool,
    groups: BTreeMap<(u32, String, u32), Vec<WorkerId>>,
    root_store: BTreeSet<Hash>,
    /// How often a worker was to get what nobody has.
    asked_in_vain: BTreeMap<(WorkerId, Hash), usize>,
    drained: bool,
    /// When time is over, and how long that was ahead when it was told (µs).
    deadline: Option<(u64, u64)>,
    held: BTreeSet<TaskId>,
    /// What may be held against each host, and of how much each pool keeps off.
    faults: BTreeMap<String, u32>,
    limits: BTreeMap<u32, u32>,
    /// Nodes put in quarantine, each time.
    pub quarantines: usize,
    /// Nodes let in again, each time.
    pub readmissions: usize,
    actions: Vec<Action>,
}

impl World {
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self {
            core: Core::new(),
            rng: Random(seed),
            now: 0,
            tasks: Vec::new(),
            weather,
            thorough: true,
            events: 0,
            digest: 0,
            recalls: 0,
            given_back: 0,
            queue: BinaryHeap::new(),
            posted: 0,
            machines: Vec::new(),
            hosts: BTreeMap::new(),
            allocations: 1,
            wake: None,
            gpus: BTreeMap::new(),
            counters: BTreeMap::new(),
            promises: BTreeMap::new(),
            punctual: false,
            groups: BTreeMap::new(),
            root_store: BTreeSet::new(),
            asked_in_vain: BTreeMap::new(),
            drained: false,
            deadline: None,
            held: BTreeSet::new(),
            faults: BTreeMap::new(),
            limits: BTreeMap::new(),
            quarantines: 0,
            readmissions: 0,
            actions: Vec::new(),
        }
    }

    pub fn open(&mut self, pool: u32, workers: u64, slots: u16) {
        self.feed(Event::PoolOpened { pool: PoolId(pool) });
        for _ in 0..workers {
            self.join(pool, slots);
        }
        self.feed(Event::PoolSettled { pool: PoolId(pool) });
    }

    pub fn join(&mut self, pool: u32, slots: u16) -> WorkerId {
        let at = self.machines.len();
        self.join_on(pool, slots, 2, true, format!("n{at}"))
    }

    pub fn join_on(&mut self, pool: u32, slots: u16, gpus: u16, measures: bool, host: String) -> WorkerId {
        let at = self.machines.len();
        let id = WorkerId(at as u32);
        self.machines.push(Machine {
            pool,
            host: host.clone(),
            slots,
            gpus,
            measures,
            since: self.tasks.len() as u64,
            alive: true,
            ..Machine::default()
        });
        self.hosts.entry(host.clone()).or_default().push(at);
        let gpus = (0..gpus).collect();
        let allocation = self.allocation(&host);
        let sockets = self.machines[at].sockets().into();
        self.feed(Event::WorkerReady {
            worker: id,
            pool: PoolId(pool),
            host,
            allocation,
            slots,
            sockets,
            gpus,
            measures,
        });
        id
    }

    /// Which allocation a host is of.
    pub fn allocation(&self, host: &str) -> u16 {
        host.bytes().fold(0, |sum: u16, byte| sum.wrapping_add(byte.into())) % self.allocations
    }

    /// So much of a counter for the tasks of a pool.
    pub fn counter(&mut self, pool: u32, name: &str, capacity: u32) {
        self.counters.insert((pool, name.to_owned()), (capacity, 0));
        let capacities = BTreeMap::from([(name.to_owned(), capacity)]);
        self.feed(Event::PoolCounters { pool: PoolId(pool), capacities });
    }

    /// The pool keeps off nodes of so many faults.
    pub fn quarantine(&mut self, pool: u32, after: u32) {
        self.limits.insert(pool, after);
        self.feed(Event::PoolQuarantine { pool: PoolId(pool), after: Some(after) });
    }

    /// A plain task; adjust it and `submit`.
    pub fn request(&self, kind: Kind) -> Request {
        Request {
            task: TaskId(self.tasks.len() as u64),
            kind,
            pool: PoolId(0),
            placement: Sparse::default(),
            timeout_us: None,
            retries: 2,
            deps: Vec::new(),
            accept_failed: false,
            inputs: Vec::new(),
            class: 0,
            like: None,
            recorded: false,
            tried: None,
        }
    }

    /// How a dependency on this task stands now.
    pub fn dep(&self, task: TaskId) -> Dep {
        let track = &self.tasks[task.0 as usize];
        let state = match &track.end {
            None => DepState::Pending,
            Some(End::Finished) if track.ok => DepState::Ok(track.artefact),
            Some(_) => DepState::Failed,
        };
        Dep { task, state }
    }

    pub fn submit(&mut self, request: Request, duration: u64) -> TaskId {
        let task = request.task;
        assert_eq!(task.0, self.tasks.len() as u64);
        for input in &request.inputs {
            if !self.rng.permille(self.weather.gone) {
                self.root_store.insert(*input);
            }
        }
        self.tasks.push(Track {
            request: request.clone(),
            duration,
            end: None,
            ok: false,
            cancelled: false,
            starts: 0,
            placed: None,
            gang: Vec::new(),
            gpus: Box::default(),
            started_at: None,
            running: false,
            artefact: None,
            flying: false,
            killed: 0,
            unfit: Vec::new(),
            struck: BTreeSet::new(),
            rests: 0,
        });
        self.feed(Event::Submitted(request));
        task
    }

    pub fn cancel(&mut self, task: TaskId) {
        self.tasks[task.0 as usize].cancelled = true;
        self.feed(Event::Cancel { task });
    }

    /// Time is over so much later: then everything is drained.
    pub fn ends_in(&mut self, us: u64) {
        let at = self.now + us;
        self.deadline = Some((at, us));
        self.feed(Event::Deadline { at: Tick(at) });
    }

    /// Tasks that were held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub fn drain(&mut self) {
        self.drained = true;
        self.feed(Event::Drain);
    }

    /// Lets everything happen that will by itself until `until` (µs).
    pub fn run_until(&mut self, until: u64) {
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.0 <= until) {
            let Some(Reverse(Entry(at, _, msg))) = self.queue.pop() else { return };
            self.now = at;
            self.happen(msg);
        }
        self.now = self.now.max(until.min(u64::MAX / 2));
    }

    /// Runs to the end of all things and asserts that every task has ended.
    pub fn finish(&mut self) {
        let horizon = self.now + 100_000_000_000;
        while let Some(Reverse(Entry(at, _, msg))) = self.queue.pop() {
            self.now = at;
            assert!(at < horizon, "the simulation does not come to an end");
            self.happen(msg);
        }
        self.core.check();
        for track in &self.tasks {
            let task = track.request.task;
            let why = || self.core.explain(task);
            assert!(track.end.is_some(), "task {task} never ended: {:?}, {:?}", why(), track.request);
        }
        assert_eq!(self.core.unresolved(), 0);
    }

    /// Running and piped attempts of each worker alive.
    pub fn loads(&self) -> Vec<usize> {
        self.machines.iter().filter(|m| m.alive).map(|m| m.running.len() + m.pipe.len()).collect()
    }

    pub fn crash(&mut self, worker: WorkerId) {
        let machine = &mut self.machines[worker.0 as usize];
        if !machine.alive {
            return;
        }
        machine.alive = false;
        let dead: Vec<TaskId> = machine.running.keys().copied().collect();
        machine.running.clear();
        machine.pipe.clear();
        machine.guests.clear();
        machine.store.clear();
        let (host, up) = (machine.host.clone(), machine.up);
        if let Some(list) = self.hosts.get_mut(&host) {
            list.retain(|at| *at != worker.0 as usize);
        }
        for task in dead {
            self.tasks[task.0 as usize].killed += 1;
            self.leave(task);
        }
        let at = up.max(self.now + 1 + self.rng.below(2_000_000));
        self.post(at, Msg::ToRoot(Event::WorkerLost { worker }.into()));
    }

    fn post(&mut self, at: u64, msg: Msg) {
        self.posted += 1;
        self.queue.push(Reverse(Entry(at, self.posted, msg)));
    }

    fn happen(&mut self, msg: Msg) {
        match msg {
            Msg::Wake => {
                if self.wake.is_some_and(|wake| wake <= self.now) {
                    self.wake = None;
                    self.feed(Event::Tick);
                }
            }
            Msg::ToRoot(event) => self.hear(*event),
            Msg::ToWorker(worker, action) => {
                if self.machines[worker.0 as usize].alive {
                    self.obey(worker, action);
                }
            }
            Msg::Ends(worker, task, attempt) => {
                let running = self.machines[worker.0 as usize].running.get(&task);
                if running.is_some_and(|(running, ..)| *running == attempt) {
                    let ok = !self.rng.permille(self.weather.failures);
                    self.end(worker, task, attempt, ok);
                }
            }
        }
    }

    fn hear(&mut self, event: Event) {
        if let Event::WorkerLost { worker } = event {
            let told = std::mem::replace(&mut self.machines[worker.0 as usize].told, true);
            if self.machines[worker.0 as usize].alive {
                self.crash(worker); // it was mute; the driver gave it up
            }
            if !told {
                self.judge_loss(worker); // one that was mute may have died of something else before: it is lost once
            }
            self.feed(event);
            if self.rng.permille(self.weather.replaced) {
                let Machine { pool, slots, gpus, measures, host, .. } = &self.machines[worker.0 as usize];
                let (pool, slots, gpus, measures, host) = (*pool, *slots, *gpus, *measures, host.clone());
                self.join_on(pool, slots, gpus, measures, host);
            }
            return;
        }
        self.feed(event);
    }

    /// Hands an event to the core and carries its actions out.
    pub fn feed(&mut self, event: Event) {
        self.events += 1;
        if let Event::Finished { worker, task, attempt, ok, unfit, artefact, .. } = &event {
            let host = self.machines[worker.0 as usize].host.clone();
            let track = &mut self.tasks[task.0 as usize];
            if track.placed == Some(*worker)
                && track.starts == attempt.0
                && track.end.is_none()
                && track.flying
            {
                (track.ok, track.artefact, track.flying) = (*ok, *artefact, false); // the driver keeps the outcome
                if *unfit {
                    track.struck.insert(host.clone());
                    track.unfit.push(host);
                    track.rests = self.now + 1_000_000;
                } else {
                    let unfit: BTreeSet<&String> = track.unfit.iter().collect();
                    for other in unfit.into_iter().filter(|other| **other != host) {
                        *self.faults.entry(other.clone()).or_default() += 1;
                    }
                }
            }
        }
        let mut actions = std::mem::take(&mut self.actions);
        self.core.handle(Tick(self.now), event, &mut actions);
        if self.thorough {
            self.core.check();
        }
        if self.punctual {
            for kept in self.core.reservations() {
                if let Some(Tick(until)) = kept.until {
                    let promise = self.promises.entry(kept.task).or_insert(until);
                    *promise = until.min(*promise);
                }
            }
        }
        for action in actions.drain(..) {
            self.carry_out(action);
        }
        self.actions = actions;
    }

    fn carry_out(&mut self, action: Action) {
        let tag = match &action {
            Action::Start { task, gang, .. } => task.0 * 31 + u64::from(gang.leader().0),
            Action::Resolve { task, end } => task.0 * 7 + matches!(end, End::Finished) as u64,
            Action::WakeAt(at) => at.0,
            _ => 5,
        };
        self.digest = (self.digest ^ tag).wrapping_mul(0x0100_0000_01b3).rotate_left(9);
        match action {
            Action::WakeAt(at) => {
                assert!(at.0 >= self.now);
                self.wake = Some(at.0);
                self.post(at.0, Msg::Wake);
            }
            Action::Resolve { task, end } => self.resolved(task, end),
            Action::Quarantine { pool, host } => self.judge_quarantine(pool.0, &host),
            Action::Readmit { pool, host } => self.judge_readmission(pool.0, &host),
            Action::Hold { task } => self.judge_hold(task),
            Action::Start { task, ref gang, attempt, ref gpus } => {
                let leader = gang.leader();
                self.judge_start(task, attempt, gang, gpus);
                self.send(leader, action);
            }
            Action::Recall { worker, .. } => {
                self.recalls += 1;
                self.send(worker, action);
            }
            Action::GiveUp { worker } => self.crash(worker),
            Action::Kill { worker, .. } | Action::Offer { worker, .. } | Action::Quiet { worker, .. } => {
                self.send(worker, action);
            }
        }
    }

    fn send(&mut self, worker: WorkerId, action: Action) {
        let machine = &mut self.machines[worker.0 as usize];
        assert!(!machine.told, "{action:?} for a lost worker");
        machine.down = machine.down.max(self.now + 20 + self.rng.below(200));
        let at = machine.down;
        self.post(at, Msg::ToWorker(worker, action));
    }

    fn answer(&mut self, worker: WorkerId, event: Event) {
        let machine = &mut self.machines[worker.0 as usize];
        machine.up = machine.up.max(self.now + 20 + self.rng.below(200));
        let at = machine.up;
        if self.rng.permille(self.weather.repeats) {
            let later = at + self.rng.below(3_000_000);
            self.post(later, Msg::ToRoot(event.clone().into()));
        }
        self.post(at, Msg::ToRoot(event.into()));
    }
}
