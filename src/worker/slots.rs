//! The slots of one worker: which calls wait, which slot gets them, and what becomes of them when a slot ends.
//!
//! A pipe holds several calls so that short ones need no round trip each. The gate, memory they share, says
//! how many of them have begun; the others can be taken back, and go back to the root, which alone decides
//! where they run next. A slot whose `init` fails is started again a few times, then given up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lone::Lone;
use super::pipe::{Due, Process, explain_end};
use super::report;
use super::slot::{Ending, Slot, State};
use super::turns::Turns;
use crate::machine;
use crate::model::{
    Attempt, CallError, CallTask, Detail, FromWorker, Hash, Limits, Module, Outcome, SlotEnd, SlotId,
    SlotInit, Status, TaskId, ToKeeper, ToSlot, ToWorker, Welcome, human,
};
use crate::process::Vigil;
use crate::transport::Peer;
use crate::transport::wait::earlier;
use crate::wire::Stream;

/// How often in a row a slot may fail to start (and all slots of a worker together before the first success).
const TRIES: u32 = 3;
/// How long a slot may take to end that says no more.
const END_GRACE: Duration = Duration::from_secs(1);
/// Why one was killed that lived on.
const CUT_OFF: &str = "its slot closed the connection to its worker and lived on, so it was killed: does C code close descriptors that it \
                       did not open, or become another program?";

pub(super) type Root = Peer<FromWorker, ToWorker>;

pub(super) struct Slots {
    init: SlotInit,
    limits: Limits,
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
    /// Those among them that the keeper asked for.
    for_keeper: BTreeSet<String>,
    starts: Starts,
    /// So many calls came and ended since it was last seen to who stays awake.
    stirred: u32,
    lone: Lone,
    vigil: Vigil,
}

/// How starting slots went so far.
#[derive(Default)]
struct Starts {
    /// One succeeded: what fails now is a matter of its slot.
    proven: bool,
    /// Failures before the first success.
    failed: u32,
    /// The failure that came last.
    last: Option<Outcome>,
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
            setup: welcome.setup.clone(),
            node_memory: machine::memory_bytes(),
        };
        Self {
            init,
            limits: *welcome.limits,
            slots: (0..welcome.slots.max(1))
                .map(|id| Slot { id: SlotId(id), state: State::Absent, failed: 0 })
                .collect(),
            waiting: VecDeque::new(),
            taken: 0,
            codes: Vec::new(),
            modules: BTreeMap::new(),
            wanted_modules: BTreeMap::new(),
            for_keeper: BTreeSet::new(),
            starts: Starts::default(),
            stirred: 0,
            lone: Lone::default(),
            vigil: Vigil::default(),
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
            State::Ending(_) => true,
        })
    }

    /// Who may say something, and where.
    pub(super) fn streams(&self) -> impl Iterator<Item = (SlotId, &Stream)> {
        self.slots.iter().filter_map(|slot| match &slot.state {
            State::Serving(process) => Some((slot.id, &process.stream)),
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
        self.stirred += 1;
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

    /// The keeper needs this module, for what looks at a run.
    pub(super) fn module_for_keeper(&mut self, name: String, root: &mut Root, keeper: &mut Stream) {
        match self.modules.get(&name) {
            Some(source) => keeper.queue(&ToKeeper::Module(name, source.clone())),
            None => {
                self.for_keeper.insert(name.clone());
                self.want_module(name, None, root);
            }
        }
    }

    /// Asks the root for a module, once.
    fn want_module(&mut self, name: String, slot: Option<SlotId>, root: &mut Root) {
        let first = !self.wanted_modules.contains_key(&name);
        self.wanted_modules.entry(name.clone()).or_default().extend(slot);
        if first {
            root.queue(&FromWorker::NeedModule(name));
        }
    }

    /// The root's answer about a module.
    pub(super) fn module(&mut self, name: String, source: Module, keeper: &mut Stream) {
        if self.for_keeper.remove(&name) {
            keeper.queue(&ToKeeper::Module(name.clone(), source.clone()));
        }
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

    /// Ends a call: takes it back if it has not begun, else stops it.
    pub(super) fn kill(&mut self, task: TaskId, attempt: Attempt, root: &mut Root, keeper: &mut Stream) {
        self.recall(task, attempt, root);
        let holds =
            |slot: &Slot| matches!(&slot.state, State::Serving(process) if process.holds(task, attempt));
        let Some(index) = self.slots.iter().position(holds) else { return };
        // It may have ended: what comes after it is not to stop in its stead.
        self.read_all(index, root, keeper);
        let why = (Status::Cancelled, "cancelled while it ran".to_owned());
        let slot = &mut self.slots[index];
        if let State::Serving(process) = &mut slot.state
            && let Due::Stop = process.stop_call((task, attempt), why, Instant::now())
        {
            keeper.queue(&ToKeeper::StopSlot(slot.id));
        }
    }

    /// A slot process ended; what was running in it ends with it.
    pub(super) fn ended(&mut self, id: SlotId, end: SlotEnd, root: &mut Root) {
        let index = usize::from(id.0);
        let Some(slot) = self.slots.get_mut(index) else { return };
        if let State::Serving(process) = &mut slot.state {
            process.gather();
            let why = self.hear(index, root);
            self.end_process(index, why, None, root);
        }
        let state = std::mem::replace(&mut self.slots[index].state, State::Absent);
        let State::Ending(ending) = state else { return };
        let Ending { mut pipe, ready, ran_s, foreign, place, why, lived_on, kill_at: _ } = *ending;
        // Where the keeper only was late to tell, that says how it ended.
        let is_cut_off = lived_on && end == SlotEnd::Killed(libc::SIGKILL);
        let why = why.or_else(|| is_cut_off.then(|| Outcome::failed(Status::Signal, CUT_OFF)));
        let mut outcome = why.unwrap_or_else(|| {
            let was_killed = matches!(end, SlotEnd::Killed(_) | SlotEnd::KilledForMemory(_));
            let mut outcome = explain_end(end, ready);
            if let (Some(memory), true, Some(reason)) =
                (self.init.setup.memory, was_killed, &mut outcome.reason)
            {
                *reason += &format!("; spawn{{ memory = \"{}\" }} limits its memory", human::bytes(memory));
            }
            outcome
        });
        if let (Some(foreign), Some(reason)) = (foreign, &mut outcome.reason) {
            *reason += &format!("; it was in {foreign}, called by harness.dl");
        }
        // The last call that began is the one that ran. Those before it had ended, and nobody heard how, for what the process said made no
        // sense: they are done again.
        let running = pipe.pop_back();
        for lost in pipe {
            root.queue(&FromWorker::Recalled(lost.task, lost.attempt));
        }
        if let Some(running) = running {
            let mut outcome = Outcome { elapsed_s: ran_s, ..outcome };
            if let (Some(_), Some(reason)) = (place, &outcome.reason) {
                let error = CallError { message: reason.clone(), place, ..CallError::default() };
                outcome.detail = Detail::CallError(Box::new(error));
            }
            report(root, running.task, running.attempt, Arc::new(outcome));
        } else if !ready {
            self.slots[index].failed += 1;
            self.starts.failed += u32::from(!self.starts.proven);
            self.starts.last = Some(Outcome { status: Status::SetupFailed, ..outcome });
        }
    }

    /// The job stood still for so long, and its slots with it: no limit counts that.
    pub(super) fn forgive(&mut self, by: Duration) {
        for slot in &mut self.slots {
            match &mut slot.state {
                State::Serving(process) => process.forgive(by),
                State::Ending(ending) => ending.kill_at = ending.kill_at.map(|at| at + by),
                State::Absent => {}
            }
        }
    }

    /// Lets slots work: answers of those that `spoke`, time limits, waiting calls.
    pub(super) fn progress(&mut self, spoke: &[SlotId], root: &mut Root, keeper: &mut Stream) {
        for id in spoke {
            self.read(usize::from(id.0), root, keeper);
        }
        let now = Instant::now();
        for index in 0..self.slots.len() {
            if self.slots[index].is_due(now) {
                self.read_all(index, root, keeper);
            }
            self.watch(index, now, root, keeper);
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

    /// Does something wait behind what runs: a call in a pipe, or commands for more cores than there are?
    pub(super) fn is_backed_up(&self) -> bool {
        let in_pipe = |slot: &Slot| matches!(&slot.state, State::Serving(process) if process.pipe.len() > 1);
        !self.waiting.is_empty() || self.taken as usize > self.slots.len() || self.slots.iter().any(in_pipe)
    }

    /// When to look again because calls come one by one, and one has just come or ended; slots are told so, too.
    pub(super) fn next_look(&mut self, now: Instant) -> Option<Instant> {
        let news = std::mem::take(&mut self.stirred);
        if news > 0 {
            let calls: usize = self.slots.iter().filter_map(Slot::load).sum();
            let under_way = self.waiting.len() + calls + self.taken as usize;
            self.change_lone(|lone| lone.heed(news, under_way));
        }
        self.vigil.next_look(now)
    }

    /// Something is measured: nobody stays awake.
    pub(super) fn be_quiet(&mut self) {
        self.change_lone(Lone::forget);
    }

    /// Who stays awake follows from how calls come. Slots are told when that changes: their gates are theirs to write to.
    fn change_lone(&mut self, change: impl FnOnce(&mut Lone)) {
        let before = self.lone.is_often();
        change(&mut self.lone);
        let awake = self.lone.is_often();
        self.vigil = if awake { Vigil::begun() } else { Vigil::default() };
        if awake == before {
            return;
        }
        for slot in &self.slots {
            if let State::Serving(process) = &slot.state {
                process.set_awake(awake);
            }
        }
    }

    fn process_with(&mut self, task: TaskId, attempt: Attempt) -> Option<&mut Process> {
        self.slots.iter_mut().find_map(|slot| match &mut slot.state {
            State::Serving(process) if process.holds(task, attempt) => Some(&mut **process),
            _ => None,
        })
    }

    /// Hears what a slot has sent.
    fn read(&mut self, index: usize, root: &mut Root, keeper: &mut Stream) {
        let State::Serving(process) = &mut self.slots[index].state else { return };
        match process.stream.fill() {
            Ok(()) => self.heed(index, root, keeper),
            Err(_) => self.read_all(index, root, keeper),
        }
    }

    /// The same of what it has not sent yet. One that says no more ends by itself, if nobody has taken its socket from it.
    fn read_all(&mut self, index: usize, root: &mut Root, keeper: &mut Stream) {
        let State::Serving(process) = &mut self.slots[index].state else { return };
        let goes_on = process.gather();
        self.heed(index, root, keeper);
        if !goes_on {
            self.end_process(index, None, Some(Instant::now() + END_GRACE), root);
        }
    }

    fn heed(&mut self, index: usize, root: &mut Root, keeper: &mut Stream) {
        if let Some(outcome) = self.hear(index, root) {
            self.kill_process(index, Some(outcome), root, keeper);
        }
    }

    /// Answers what a slot said; why it cannot go on, if so.
    fn hear(&mut self, index: usize, root: &mut Root) -> Option<Outcome> {
        let slot = &mut self.slots[index];
        let State::Serving(process) = &mut slot.state else { return None };
        let said = process.answers(root);
        self.stirred += said.answered;
        if said.ready {
            slot.failed = 0;
            self.starts.proven = true;
        }
        let mut unknown = Vec::new();
        for name in said.modules {
            match self.modules.get(&name) {
                Some(source) => process.stream.queue(&ToSlot::Module(name, source.clone())),
                None => unknown.push(name),
            }
        }
        let id = slot.id;
        unknown.into_iter().for_each(|name| self.want_module(name, Some(id), root));
        said.failed
    }

    /// No more calls for this process; those that have not begun go back to the root. The keeper tells when it is
    /// gone. If it is not by `kill_at`, it is killed.
    fn end_process(&mut self, index: usize, why: Option<Outcome>, kill_at: Option<Instant>, root: &mut Root) {
        let slot = &mut self.slots[index];
        let State::Serving(process) = &mut slot.state else { return };
        let ran_s = process.ran_s();
        process.take_back(root);
        let (pipe, ready) = (std::mem::take(&mut process.pipe), process.is_ready());
        let (foreign, place) = (process.foreign(), process.place());
        let ending = Ending { pipe, ready, ran_s, foreign, place, why, kill_at, lived_on: false };
        slot.state = State::Ending(Box::new(ending));
    }

    fn kill_process(&mut self, index: usize, why: Option<Outcome>, root: &mut Root, keeper: &mut Stream) {
        keeper.queue(&ToKeeper::KillSlot(self.slots[index].id));
        self.end_process(index, why, None, root);
    }

    /// Announces a long call, and ends what ran into its limit.
    fn watch(&mut self, index: usize, now: Instant, root: &mut Root, keeper: &mut Stream) {
        let slot = &mut self.slots[index];
        let process = match &mut slot.state {
            State::Serving(process) => process,
            State::Ending(ending) => {
                if ending.kill_at.take_if(|at| *at <= now).is_some() {
                    ending.lived_on = true;
                    keeper.queue(&ToKeeper::KillSlot(slot.id));
                }
                return;
            }
            State::Absent => return,
        };
        match process.watch(now, root) {
            Due::Nothing => {}
            Due::Stop => keeper.queue(&ToKeeper::StopSlot(slot.id)),
            Due::Kill((status, reason)) => {
                self.kill_process(index, Some(Outcome::failed(status, reason)), root, keeper);
            }
            Due::Replace => self.kill_process(index, None, root, keeper),
        }
    }

    /// Was this slot given up?
    fn is_broken(&self, slot: &Slot) -> bool {
        slot.failed >= TRIES || !self.starts.proven && self.starts.failed >= TRIES
    }

    /// Where no slot can be started any more, every call ends with the reason of the last failure.
    fn refuse_waiting(&mut self, root: &mut Root) {
        let starts = |slot: &Slot| matches!(slot.state, State::Serving(_));
        if !self.slots.iter().all(|slot| self.is_broken(slot) && !starts(slot)) {
            return;
        }
        let Some(outcome) = self.starts.last.clone() else { return };
        for call in std::mem::take(&mut self.waiting) {
            report(root, call.task, call.attempt, Arc::new(outcome.clone()));
        }
    }

    /// Puts waiting calls into the pipes of slots that may be used.
    fn place(&mut self, now: Instant, root: &mut Root, keeper: &mut Stream) {
        self.refuse_waiting(root);
        let mut turns = None;
        while let Some(call) = self.waiting.pop_front() {
            let chosen = if call.fresh {
                turns = None; // they are others once this one has its slot
                self.for_fresh_call()
            } else {
                turns.get_or_insert_with(|| self.turns()).next()
            };
            let Some(id) = chosen else {
                self.waiting.push_front(call);
                return;
            };
            let index = usize::from(id.0);
            if call.fresh && self.slots[index].is_used() {
                // What earlier calls left behind goes with their process; the call waits for the next one.
                self.waiting.push_front(call);
                return self.kill_process(index, None, root, keeper);
            }
            match self.slots[index].serve(&self.init, &self.limits, now, keeper) {
                Ok(process) => {
                    if process.is_unused() {
                        process.set_awake(self.lone.is_often());
                    }
                    process.put(call, &self.codes, now);
                }
                Err(error) => {
                    let reason = format!("cannot start a slot on {}: {error}", self.init.host);
                    let outcome = Outcome::failed(Status::SetupFailed, reason);
                    report(root, call.task, call.attempt, Arc::new(outcome));
                }
            }
        }
    }

    fn turns(&self) -> Turns {
        Turns::new(self.whole().filter_map(Slot::turn), self.may_join())
    }

    /// An idle slot for a call that is to have a process of its own; rather one whose process has had none.
    fn for_fresh_call(&self) -> Option<SlotId> {
        if self.may_join() == 0 {
            return None;
        }
        let idle = self.whole().filter(|slot| slot.load() == Some(0));
        idle.min_by_key(|slot| (slot.taken_back(), slot.is_used(), slot.id)).map(|slot| slot.id)
    }

    /// So many idle slots may be given calls: commands hold some cores.
    fn may_join(&self) -> usize {
        let usable = self.slots.len().saturating_sub(self.taken as usize).max(1);
        let busy = self.whole().filter(|slot| slot.load() != Some(0)).count();
        usable.saturating_sub(busy)
    }

    /// Those that were not given up.
    fn whole(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| !self.is_broken(slot))
    }
}
