//! The slots of one worker: which calls wait, which are in a slot's pipe, and what becomes of them when a
//! slot ends.
//!
//! A pipe holds several calls so that short ones need no round trip each. The gate (one shared word) says
//! how many of them have begun; the others can be taken back, and go back to the root, which alone decides
//! where they run next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::machine;
use crate::model::{
    Attempt, CallTask, FromSlot, FromWorker, Hash, Module, Outcome, SlotId, SlotInit, Status, TaskId,
    ToKeeper, ToSlot, ToWorker, Welcome, human,
};
use crate::process::{Gate, signal_name, with_advice};
use crate::transport::Peer;
use crate::transport::wait::earlier;
use crate::wire::{Stream, socket_pair};

/// A call that runs longer than this is announced, and those behind it go back to the root.
const LONG_CALL: Duration = Duration::from_millis(20);

type Root = Peer<FromWorker, ToWorker>;

pub(super) struct Slots {
    init: SlotInit,
    /// From the start of a slot to its first call.
    start_limit: Duration,
    slots: Vec<Slot>,
    /// Calls for which no slot may be used now.
    waiting: VecDeque<CallTask>,
    /// Slots' worth of cores taken by what runs in the keeper.
    taken: u32,
    /// Bytecode in the order it came.
    codes: Vec<(Hash, Vec<u8>)>,
    modules: BTreeMap<String, Module>,
    /// Modules asked for, and by which slots.
    wanted_modules: BTreeMap<String, BTreeSet<SlotId>>,
}

struct Slot {
    id: SlotId,
    state: State,
}

enum State {
    /// No process yet, or not any more.
    Absent,
    /// A process that takes calls.
    Serving(Box<Process>),
    /// A process of which only the end is awaited. The call that was running, if the reason is ours.
    Ending(VecDeque<Piped>, Option<(Status, String)>),
}

struct Process {
    stream: Stream,
    gate: Gate,
    /// Calls put into the pipe so far; positions count from 0 and wrap.
    sent: u32,
    /// Calls in the pipe without an answer, in order.
    pipe: VecDeque<Piped>,
    started: Instant,
    /// Since when the first of them runs, as far as known.
    head_since: Instant,
    /// How much of the bytecode it was sent.
    known: usize,
}

struct Piped {
    task: TaskId,
    attempt: Attempt,
    timeout: Option<f64>,
    position: u32,
    announced: bool,
}

impl Slots {
    pub(super) fn new(welcome: &Welcome, store: &Path) -> Self {
        let init = SlotInit {
            worker: welcome.worker,
            slot: SlotId(0),
            host: machine::hostname(),
            campaign_dir: welcome.campaign_dir.clone(),
            store_dir: store.display().to_string(),
            seed: welcome.seed,
        };
        Self {
            init,
            start_limit: welcome.limits.slot_start,
            slots: (0..welcome.slots.max(1))
                .map(|id| Slot { id: SlotId(id), state: State::Absent })
                .collect(),
            waiting: VecDeque::new(),
            taken: 0,
            codes: Vec::new(),
            modules: BTreeMap::new(),
            wanted_modules: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Is something due that only the keeper can bring about: the start of a slot, or the end of one?
    pub(super) fn wait_for_keeper(&self) -> bool {
        self.slots.iter().any(|slot| match &slot.state {
            State::Absent => false,
            State::Serving(process) => !process.pipe.is_empty(),
            State::Ending(..) => true,
        })
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.slots.iter().filter_map(|slot| match &slot.state {
            State::Serving(process) => Some(&process.stream),
            _ => None,
        })
    }

    /// So many slots' worth of cores are in use by commands.
    pub(super) fn set_taken(&mut self, cores: u32) {
        self.taken = cores;
    }

    /// Bytecode for calls that follow.
    pub(super) fn learn(&mut self, hash: Hash, bytes: Vec<u8>) {
        self.codes.push((hash, bytes));
    }

    /// A call from the root.
    pub(super) fn call(&mut self, call: CallTask) {
        self.waiting.push_back(call);
    }

    /// Slots need not keep this shared value.
    pub(super) fn forget(&mut self, share: Hash) {
        for slot in &mut self.slots {
            if let State::Serving(process) = &mut slot.state {
                process.stream.queue(&ToSlot::Forget(share));
            }
        }
    }

    /// The root's answer about a module.
    pub(super) fn module(&mut self, name: String, source: Module) {
        for id in self.wanted_modules.remove(&name).unwrap_or_default() {
            if let State::Serving(process) = &mut self.slots[usize::from(id.0)].state {
                process.stream.queue(&ToSlot::Module(name.clone(), source.clone()));
            }
        }
        self.modules.insert(name, source);
    }

    /// Gives a call back that has not begun.
    pub(super) fn recall(&mut self, task: TaskId, attempt: Attempt, root: &mut Root) {
        if let Some(at) = self.waiting.iter().position(|call| (call.task, call.attempt) == (task, attempt)) {
            self.waiting.remove(at);
            root.queue(&FromWorker::Recalled(task, attempt));
        } else if let Some(process) = self.process_with(task, attempt) {
            process.take_back(root);
        }
    }

    /// Ends a call: takes it back if it has not begun, else kills its slot.
    pub(super) fn kill(&mut self, task: TaskId, attempt: Attempt, root: &mut Root, keeper: &mut Stream) {
        self.recall(task, attempt, root);
        for slot in &mut self.slots {
            if matches!(&slot.state, State::Serving(process) if process.holds(task, attempt)) {
                slot.kill(
                    (Status::Cancelled, "cancelled while it ran; its slot was killed".into()),
                    root,
                    keeper,
                );
            }
        }
    }

    /// A slot process ended; what was running in it ends with it.
    pub(super) fn ended(&mut self, id: SlotId, code: Option<i32>, signal: Option<i32>, root: &mut Root) {
        let Some(slot) = self.slots.get_mut(usize::from(id.0)) else { return };
        let (mut pipe, why) = match std::mem::replace(&mut slot.state, State::Absent) {
            State::Absent => return,
            State::Ending(pipe, why) => (pipe, why),
            State::Serving(mut process) => {
                // Results it sent before its end still count.
                let _ = process.stream.fill();
                let _ = process.answers(root);
                process.give_up(root);
                (process.pipe, None)
            }
        };
        // The last call that began is the one that ran. Those before it had ended, but their results went
        // down with the process: they are done again.
        let running = pipe.pop_back();
        for lost in pipe {
            root.queue(&FromWorker::Recalled(lost.task, lost.attempt));
        }
        if let Some(running) = running {
            let (status, reason) = why.unwrap_or_else(|| explain_end(code, signal));
            let mut outcome = Outcome::failed(status, reason);
            outcome.host = self.init.host.clone();
            root.queue(&FromWorker::Done(running.task, running.attempt, Box::new(outcome)));
        }
    }

    /// Lets slots work: answers, time limits, waiting calls.
    pub(super) fn progress(&mut self, root: &mut Root, keeper: &mut Stream) {
        let now = Instant::now();
        for slot in 0..self.slots.len() {
            self.read(slot, root);
            self.slots[slot].watch(now, self.start_limit, root, keeper);
        }
        self.place(now, root, keeper);
        for slot in &mut self.slots {
            if let State::Serving(process) = &mut slot.state {
                // A write that fails means the slot ended: the keeper tells.
                let _ = process.stream.flush();
            }
        }
    }

    /// When something is due without a message.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.slots.iter().filter_map(Slot::next_deadline).fold(None, |a, b| earlier(a, Some(b)))
    }

    fn process_with(&mut self, task: TaskId, attempt: Attempt) -> Option<&mut Process> {
        self.slots.iter_mut().find_map(|slot| match &mut slot.state {
            State::Serving(process) if process.holds(task, attempt) => Some(&mut **process),
            _ => None,
        })
    }

    fn read(&mut self, index: usize, root: &mut Root) {
        let slot = &mut self.slots[index];
        let State::Serving(process) = &mut slot.state else { return };
        let read = process.stream.fill();
        for name in process.answers(root) {
            match self.modules.get(&name) {
                Some(source) => process.stream.queue(&ToSlot::Module(name, source.clone())),
                None => {
                    let first = !self.wanted_modules.contains_key(&name);
                    self.wanted_modules.entry(name.clone()).or_default().insert(slot.id);
                    if first {
                        root.queue(&FromWorker::NeedModule(name));
                    }
                }
            }
        }
        if read.is_err() {
            // The process ended or is about to: no more calls for it, the keeper tells how it ended.
            process.give_up(root);
            slot.state = State::Ending(std::mem::take(&mut process.pipe), None);
        }
    }

    /// Puts waiting calls into the pipes of the least loaded slots that may be used.
    fn place(&mut self, now: Instant, root: &mut Root, keeper: &mut Stream) {
        let usable = self.slots.len().saturating_sub(self.taken as usize).max(1);
        while let Some(call) = self.waiting.pop_front() {
            let free = self.slots.iter().enumerate().filter_map(|(i, slot)| Some((slot.load()?, i)));
            let busy = self.slots.iter().filter(|slot| slot.load() != Some(0)).count();
            // Commands hold some cores: no idle slot joins in once as many are busy as may be.
            let best = free.filter(|(load, _)| *load > 0 || busy < usable).min();
            let Some((_, index)) = best else {
                self.waiting.push_front(call);
                return;
            };
            let init = SlotInit { slot: self.slots[index].id, ..self.init.clone() };
            match self.slots[index].serve(init, now, keeper) {
                Ok(process) => process.put(&call, &self.codes, now),
                Err(error) => {
                    let reason = format!("cannot start a slot on {}: {error}", self.init.host);
                    let outcome = Outcome::failed(Status::SetupFailed, reason);
                    root.queue(&FromWorker::Done(call.task, call.attempt, Box::new(outcome)));
                }
            }
        }
    }
}

impl Slot {
    /// Calls in its pipe; `None` while it cannot take any.
    fn load(&self) -> Option<usize> {
        match &self.state {
            State::Absent => Some(0),
            // Nothing waits behind a long call: it may be endless.
            State::Serving(process) if process.pipe.front().is_some_and(|head| head.announced) => None,
            State::Serving(process) => Some(process.pipe.len()),
            State::Ending(..) => None,
        }
    }

    /// Its process, started if there is none.
    fn serve(&mut self, init: SlotInit, now: Instant, keeper: &mut Stream) -> std::io::Result<&mut Process> {
        if let State::Absent = self.state {
            let (ours, slots) = socket_pair().map_err(with_advice)?;
            let (gate, gate_fd) = Gate::create().map_err(with_advice)?;
            let mut stream = Stream::new(ours)?;
            stream.queue(&ToSlot::Init(init));
            keeper.queue_with_fds(&ToKeeper::StartSlot(self.id), vec![slots, gate_fd]);
            self.state = State::Serving(Box::new(Process {
                stream,
                gate,
                sent: 0,
                pipe: VecDeque::new(),
                started: now,
                head_since: now,
                known: 0,
            }));
        }
        match &mut self.state {
            State::Serving(process) => Ok(process),
            _ => Err(std::io::Error::other("the slot is just ending")),
        }
    }

    /// Announces a long call, and ends one that ran into its limit.
    fn watch(&mut self, now: Instant, start_limit: Duration, root: &mut Root, keeper: &mut Stream) {
        let State::Serving(process) = &mut self.state else { return };
        let Some(head) = process.pipe.front_mut() else { return };
        let begun = process.gate.begun();
        // Positions wrap: those not begun are less than half the numbers ahead.
        if head.position.wrapping_sub(begun) < u32::MAX / 2 {
            // It has not begun, and so has its time not. A slot that never began anything is still starting, and
            // that is limited.
            process.head_since = now;
            if begun == 0 && now.saturating_duration_since(process.started) > start_limit {
                let limit = human::duration(start_limit.as_secs_f64());
                let reason = format!("its slot did not start within {limit}");
                self.kill((Status::SetupFailed, reason), root, keeper);
            }
            return;
        }
        let ran = now.saturating_duration_since(process.head_since);
        if ran >= LONG_CALL && !head.announced {
            head.announced = true;
            root.queue(&FromWorker::Started(head.task, head.attempt));
            process.take_back(root);
        }
        let Some(head) = process.pipe.front() else { return };
        if let Some(limit) = head.timeout
            && ran.as_secs_f64() >= limit
        {
            let reason = format!("ran into its timeout of {limit} s; its slot was killed");
            self.kill((Status::Timeout, reason), root, keeper);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let State::Serving(process) = &self.state else { return None };
        let head = process.pipe.front()?;
        let announce = (!head.announced).then_some(LONG_CALL);
        let limit = head.timeout.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        let due = announce.into_iter().chain(limit).min()?;
        process.head_since.checked_add(due)
    }

    fn kill(&mut self, why: (Status, String), root: &mut Root, keeper: &mut Stream) {
        if let State::Serving(process) = &mut self.state {
            process.give_up(root);
            keeper.queue(&ToKeeper::KillSlot(self.id));
            self.state = State::Ending(std::mem::take(&mut process.pipe), Some(why));
        }
    }
}

impl Process {
    fn holds(&self, task: TaskId, attempt: Attempt) -> bool {
        self.pipe.iter().any(|piped| (piped.task, piped.attempt) == (task, attempt))
    }

    fn put(&mut self, call: &CallTask, codes: &[(Hash, Vec<u8>)], now: Instant) {
        for (hash, bytes) in &codes[self.known..] {
            self.stream.queue(&ToSlot::Code(*hash, bytes.clone()));
        }
        self.known = codes.len();
        if self.pipe.is_empty() {
            self.head_since = now;
        }
        self.pipe.push_back(Piped {
            task: call.task,
            attempt: call.attempt,
            timeout: call.timeout,
            position: self.sent,
            announced: false,
        });
        self.sent = self.sent.wrapping_add(1);
        self.stream.queue(&ToSlot::Call(call.clone()));
    }

    /// Passes results on; returns the modules it asks for.
    fn answers(&mut self, root: &mut Root) -> Vec<String> {
        let mut modules = Vec::new();
        while let Ok(Some(message)) = self.stream.take() {
            match message {
                FromSlot::Done(task, attempt, outcome) => {
                    self.pipe.retain(|piped| (piped.task, piped.attempt) != (task, attempt));
                    self.head_since = Instant::now();
                    root.queue(&FromWorker::Done(task, attempt, outcome));
                }
                FromSlot::NeedModule(name) => modules.push(name),
            }
        }
        modules
    }

    /// The process has ended or will: takes back what has not begun. A slot that never began anything keeps
    /// its first call, which ends with it: sent elsewhere it would only meet the same fate again.
    fn give_up(&mut self, root: &mut Root) {
        let first = if self.gate.begun() == 0 { self.pipe.pop_front() } else { None };
        self.take_back(root);
        if let Some(first) = first {
            self.pipe.push_front(first);
        }
    }

    /// Takes back the calls that have not begun and returns them to the root.
    fn take_back(&mut self, root: &mut Root) {
        let begun = self.gate.recall(self.sent);
        let sent = self.sent;
        // Positions wrap: compare distances to the end of the pipe.
        let left = sent.wrapping_sub(begun);
        self.pipe.retain(|piped| {
            let begun = sent.wrapping_sub(piped.position) > left;
            if !begun {
                root.queue(&FromWorker::Recalled(piped.task, piped.attempt));
            }
            begun
        });
    }
}

fn explain_end(code: Option<i32>, signal: Option<i32>) -> (Status, String) {
    match (code, signal) {
        (_, Some(signal)) => {
            let name = signal_name(signal);
            (Status::Signal, format!("its slot was killed by signal {signal} ({name}) while it ran"))
        }
        (Some(code), None) => {
            (Status::NonzeroExit, format!("its slot ended with exit code {code} while it ran (os.exit?)"))
        }
        (None, None) => (Status::LostWorker, "its slot could not be started".into()),
    }
}
