//! What the keeper's loop and its lanes share: work that waits, what runs, and word of both for the worker.
//!
//! The loop brings work and takes word away, a lane takes work and leaves word. Work begins in its order as soon as
//! the slots it occupies are free: where one program ends the next one starts, and only then is anybody told. Who
//! sends more than there are slots for thus keeps the cores busy while word travels to the root and back, which for
//! a program of a millisecond is much of its time. Behind long ones nothing is left to wait: it goes back. The desk never
//! knows what work is about.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use crate::machine::{Cores, Topology};
use crate::model::{Attempt, FromKeeper, LONG_PROGRAM, Outcome, Pin, Run as Order, TaskId, Work};
use crate::process::{self, Pid, Wake};

/// An attempt at a task.
pub type TaskKey = (TaskId, Attempt);

/// See the module.
pub struct Desk {
    books: Mutex<Books>,
    /// Something changed that a lane may wait for, or who waits for the lanes.
    changed: Condvar,
    /// Wakes the loop when there is word.
    word: Wake,
}

#[derive(Default)]
struct Books {
    slots: u32,
    /// The node's cores, once something asks for some.
    topology: Option<Topology>,
    /// CPUs that were given to somebody.
    taken: BTreeSet<u32>,
    /// Who stands aside while a task has the node alone or a part of it.
    household: Vec<Pid>,
    waiting: VecDeque<Order>,
    /// Their keys: there may be thousands.
    waits: FxHashSet<TaskKey>,
    running: BTreeMap<TaskKey, Running>,
    /// Slots that those occupy.
    busy: u32,
    lanes: u32,
    /// Lanes that are just starting a program.
    starting: u32,
    word: Vec<FromKeeper>,
    /// When the first of `word` came.
    oldest: Option<Instant>,
    /// Has the loop been woken for it?
    rung: bool,
    closed: bool,
}

struct Running {
    cores: u32,
    /// The cores it is kept on, or why it cannot be.
    given: Option<Result<Cores, String>>,
    /// Its lane, while that stands aside.
    aside: Option<Pid>,
    /// Nothing else runs on the node but its neighbours.
    alone: bool,
    neighbours: Vec<TaskId>,
    start_told: bool,
    /// Nothing sent ahead is to wait for its end.
    is_long: bool,
    cancelled: bool,
    /// A module that something it runs waits for.
    wants: Option<String>,
    /// Wakes its lane.
    bell: Arc<Wake>,
}

impl Desk {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let word = Wake::new()?;
        Ok(Self { books: Mutex::default(), changed: Condvar::new(), word })
    }

    /// So many slots may be occupied.
    pub fn set_slots(&self, slots: u32) {
        self.books().slots = slots.max(1);
    }

    /// From now on cores can be given to who asks for them.
    pub fn learn_cores(&self, read: impl FnOnce() -> Topology) {
        self.books().topology.get_or_insert_with(read);
    }

    /// All CPUs there are, once cores can be given.
    pub fn cpus(&self) -> Option<BTreeSet<u32>> {
        self.books().topology.as_ref().map(Topology::cpus)
    }

    /// The calling thread may run wherever we may.
    pub fn go_anywhere(&self) {
        let _ = self.cpus().map(|cpus| process::run_on(&cpus, None));
    }

    /// These stand aside too while something has cores and is measured alone or with others like it.
    pub fn set_household(&self, processes: impl IntoIterator<Item = Pid>) {
        self.books().household = processes.into_iter().collect();
    }

    /// For a lane: from now on it stands where nobody was given cores, wherever that is; where there is no such place, on
    /// its own task's.
    pub fn stand_aside(&self, key: TaskKey) {
        let mut books = self.books();
        let free = books.free();
        let Some(running) = books.running.get_mut(&key) else { return };
        running.aside = Some(process::own_thread());
        running.stand(&free);
    }

    /// For a lane: from now on nobody moves it.
    pub fn stand_still(&self, key: TaskKey) {
        self.books().running.get_mut(&key).into_iter().for_each(|running| running.aside = None);
    }

    /// For a lane: those that ran beside the task although it has the node alone, each with cores of its own.
    pub fn neighbours_of(&self, key: TaskKey) -> Vec<TaskId> {
        self.books().running.get(&key).map(|running| running.neighbours.clone()).unwrap_or_default()
    }

    /// For a lane: the cores that a task is kept on, or why it cannot be; none if it did not ask.
    pub fn cores_of(&self, key: TaskKey) -> Option<Result<Cores, String>> {
        self.books().running.get(&key)?.given.clone()
    }

    /// Is this attempt here already?
    pub fn has(&self, key: TaskKey) -> bool {
        let books = self.books();
        books.running.contains_key(&key) || books.waits.contains(&key)
    }

    /// Takes work in. True: it needs one lane more, which is counted in already.
    pub fn add(&self, order: Order) -> bool {
        let mut books = self.books();
        books.waits.insert(key_of(&order));
        books.waiting.push_back(order);
        self.give_back(&mut books);
        let tasks = books.running.len() + books.waiting.len();
        let more = books.lanes < books.slots && (books.lanes as usize) < tasks;
        books.lanes += u32::from(more);
        self.changed.notify_one();
        more
    }

    /// The lane that `add` asked for could not be had. What must be given up if there is no lane at all.
    pub fn lane_failed(&self) -> Option<Order> {
        let mut books = self.books();
        books.lanes -= 1;
        if books.lanes > 0 {
            return None;
        }
        let given_up = books.waiting.pop_back()?;
        books.waits.remove(&key_of(&given_up));
        Some(given_up)
    }

    /// Asks for the end of an attempt. True: it had not begun and will not.
    pub fn cancel(&self, key: TaskKey) -> bool {
        let mut books = self.books();
        if books.waits.remove(&key) {
            books.waiting.retain(|order| key_of(order) != key);
            self.changed.notify_one();
            return true;
        }
        // Unknown: it ended by itself or was given back, and word of it is on its way.
        if let Some(running) = books.running.get_mut(&key) {
            running.cancelled = true;
            running.bell.signal();
        }
        false
    }

    /// Becomes readable when there is word.
    pub fn bell(&self) -> &Wake {
        &self.word
    }

    /// Takes all word there is.
    pub fn take_word(&self) -> Vec<FromKeeper> {
        let mut books = self.books();
        books.rung = false;
        books.oldest = None;
        self.word.clear();
        std::mem::take(&mut books.word)
    }

    /// From now on nothing begins. When this returns nothing is just being started either, or is stuck in that.
    pub fn close(&self, patience: Duration) {
        let mut books = self.books();
        books.closed = true;
        books.waiting.clear();
        books.waits.clear();
        drop(books);
        self.changed.notify_all();
        let _ = self.changed.wait_timeout_while(self.books(), patience, |books| books.starting > 0);
    }

    /// Waits for the end of all lanes of a closed desk, but not for ever.
    pub fn await_lanes(&self, patience: Duration) {
        let _ = self.changed.wait_timeout_while(self.books(), patience, |books| books.lanes > 0);
    }

    /// For a lane: how its last task ended, and the next one. Waits for it; none if the desk is closed.
    pub fn next(&self, done: Option<(TaskKey, Outcome)>, bell: &Arc<Wake>) -> Option<Order> {
        let mut books = self.books();
        if let Some((key, outcome)) = done {
            books.done(key, outcome);
        }
        loop {
            if books.closed {
                return None;
            }
            let next = books.begin(bell);
            if !next.as_ref().is_some_and(is_short) || books.is_overdue() {
                self.ring(&mut books);
            }
            if next.is_some() {
                if books.fits() {
                    self.changed.notify_one();
                }
                self.give_back(&mut books);
                return next;
            }
            books = self.changed.wait(books).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// For a lane: it holds nothing any more.
    pub fn leave(&self) {
        self.books().lanes -= 1;
        self.changed.notify_all();
    }

    /// For a lane: the task is a long one ([`LONG_PROGRAM`]). Its start is told, with all that waits to be told.
    pub fn proves_long(&self, key: TaskKey) {
        let mut books = self.books();
        books.start(key);
        books.running.get_mut(&key).into_iter().for_each(|running| running.is_long = true);
        self.give_back(&mut books);
        self.ring(&mut books);
    }

    /// For a lane: something it runs requires this module.
    pub fn want_module(&self, key: TaskKey, name: String) {
        let mut books = self.books();
        if let Some(running) = books.running.get_mut(&key) {
            running.wants = Some(name.clone());
        }
        books.word.push(FromKeeper::NeedModule(name));
        self.ring(&mut books);
    }

    /// A module came: wakes the lanes that wait for it.
    pub fn module_came(&self, name: &str) {
        for running in self.books().running.values_mut() {
            if running.wants.take_if(|wanted| wanted == name).is_some() {
                running.bell.signal();
            }
        }
    }

    /// For a lane whose bell rang: is this task to end?
    pub fn is_cancelled(&self, key: TaskKey) -> bool {
        self.books().running.get(&key).is_some_and(|running| running.cancelled)
    }

    /// For a lane: held while it starts a program. None if nothing may be started any more.
    pub fn starting(&self) -> Option<Starting<'_>> {
        let mut books = self.books();
        if books.closed {
            return None;
        }
        books.starting += 1;
        Some(Starting(self))
    }

    /// Where all slots have long work, what waits does not wait for its end: other nodes may be idle. It was sent ahead, or others passed
    /// it while it waited for cores of its own.
    fn give_back(&self, books: &mut Books) {
        let Books { waiting, waits, running, word, .. } = books;
        if waiting.is_empty() || books.busy < books.slots || !running.values().all(|running| running.is_long)
        {
            return;
        }
        waits.clear();
        word.extend(waiting.drain(..).map(|order| FromKeeper::Recalled(order.task, order.attempt)));
        self.ring(books);
    }

    fn ring(&self, books: &mut Books) {
        if !books.word.is_empty() && !std::mem::replace(&mut books.rung, true) {
            self.word.signal();
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane is just starting a program.
pub struct Starting<'a>(&'a Desk);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let mut books = self.0.books();
        books.starting -= 1;
        if books.closed {
            self.0.changed.notify_all();
        }
    }
}

impl Running {
    fn has_cores(&self) -> bool {
        matches!(self.given, Some(Ok(_)))
    }

    /// Moves its lane, if that stands aside.
    fn stand(&self, free: &BTreeSet<u32>) {
        if let (Some(lane), Some(Ok(cores))) = (self.aside, &self.given) {
            let _ = process::run_on(if free.is_empty() { &cores.taken } else { free }, Some(lane));
        }
    }
}

impl Books {
    /// May anything begin?
    fn fits(&self) -> bool {
        self.first_that_fits().is_some()
    }

    /// The first of the waiting, if the slots are free that it occupies; one that wants more than there are runs alone. While it waits
    /// for cores, who asks for none does not wait behind it.
    fn first_that_fits(&self) -> Option<usize> {
        let has_slots = |order: &Order| self.busy == 0 || self.busy + order.cores <= self.slots;
        let first = self.waiting.front().filter(|first| has_slots(first))?;
        if self.busy == 0 || self.has_cores(first) {
            return Some(0);
        }
        self.waiting.iter().position(|order| order.pin.is_none() && has_slots(order))
    }

    /// Are its cores free, or such that no waiting will make them?
    fn has_cores(&self, next: &Order) -> bool {
        let Some((pin, topology)) = next.pin.zip(self.topology.as_ref()) else { return true };
        topology.take(pin, &self.taken).is_some() || topology.take(pin, &BTreeSet::new()).is_none()
    }

    /// CPUs that nobody was given.
    fn free(&self) -> BTreeSet<u32> {
        let all = self.topology.as_ref().map(Topology::cpus).unwrap_or_default();
        all.difference(&self.taken).copied().collect()
    }

    /// Cores were given or came back: whoever stands aside stands elsewhere. What the system refuses in that is no harm.
    fn move_aside(&self) {
        let Some(all) = self.topology.as_ref().map(Topology::cpus) else { return };
        let free = self.free();
        self.running.values().for_each(|running| running.stand(&free));
        let disturbs = self.running.values().any(|running| running.alone && running.has_cores());
        let room = if disturbs && !free.is_empty() { &free } else { &all };
        for process in &self.household {
            let _ = process::run_on(room, Some(*process));
        }
    }

    fn give_cores(&mut self, pin: Pin) -> Option<Result<Cores, String>> {
        let topology = self.topology.as_ref()?;
        let Some(cores) = topology.take(pin, &self.taken) else { return Some(Err(topology.lacks(pin))) };
        self.taken.extend(&cores.taken);
        Some(Ok(cores))
    }

    fn begin(&mut self, bell: &Arc<Wake>) -> Option<Order> {
        let order = self.waiting.remove(self.first_that_fits()?)?;
        let key = key_of(&order);
        self.waits.remove(&key);
        let given = order.pin.and_then(|pin| self.give_cores(pin));
        let (cores, alone, bell) = (order.cores, order.alone, bell.clone());
        let neighbours = if alone { self.meet(key.0) } else { Vec::new() };
        let (aside, wants) = (None, None);
        let running = Running {
            cores,
            given,
            aside,
            alone,
            neighbours,
            start_told: false,
            is_long: !is_program(&order),
            cancelled: false,
            wants,
            bell,
        };
        let moves = running.has_cores();
        self.running.insert(key, running);
        self.busy += cores;
        if moves {
            self.move_aside();
        }
        if !is_short(&order) {
            self.start(key);
        }
        Some(order)
    }

    /// It begins beside these.
    fn meet(&mut self, new: TaskId) -> Vec<TaskId> {
        let mut there = Vec::new();
        for ((task, _), running) in self.running.iter_mut().filter(|(_, running)| running.alone) {
            there.push(*task);
            running.neighbours.push(new);
        }
        there
    }

    fn start(&mut self, key: TaskKey) {
        if let Some(running) = self.running.get_mut(&key)
            && !std::mem::replace(&mut running.start_told, true)
        {
            self.word.push(FromKeeper::Started(key.0, key.1));
        }
    }

    fn done(&mut self, key: TaskKey, outcome: Outcome) {
        self.start(key);
        let ended = self.running.remove(&key);
        self.busy -= ended.as_ref().map_or(0, |running| running.cores);
        if let Some(Running { given: Some(Ok(cores)), .. }) = ended {
            self.taken.retain(|cpu| !cores.taken.contains(cpu));
            self.move_aside();
        }
        self.word.push(FromKeeper::Done(key.0, key.1, Arc::new(outcome)));
        self.oldest.get_or_insert_with(Instant::now);
    }

    fn is_overdue(&self) -> bool {
        self.oldest.is_some_and(|since| since.elapsed() >= LONG_PROGRAM)
    }
}

/// The attempt it is.
pub fn key_of(order: &Order) -> TaskKey {
    (order.task, order.attempt)
}

/// Is it one program, which may be short or long? All else is long.
pub fn is_program(order: &Order) -> bool {
    matches!(order.work, Work::Exec(_))
}

/// May it be over before anybody needs to know that it began? Not a measurement: nothing is to be told beside it.
/// Nor what is long in the making.
pub fn is_short(order: &Order) -> bool {
    matches!(&order.work, Work::Exec(spec) if spec.command.inputs.is_empty())
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
