//! What the primitives of the script state share: the port, the shipper, and what lies between two calls.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, MultiValue, Value};
use rustc_hash::{FxHashMap, FxHashSet};

use super::modules::Modules;
use super::raw::{Heavy, Numbered, Shipped, Shipper};
use crate::model::{Detail, Hash, Outcome, PoolId, Sparse, TaskId, TaskOptions, batch};
use crate::root::port::{Baggage, CallJob, Job, Many, Order, Port, Taken, Wait};
use crate::say::say;

/// What goes into the root's store.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// That of a file.
    File(&'a Path),
    /// These bytes.
    Bytes(&'a [u8]),
}

/// Puts content into the root's store and names it; or says why not.
pub type AddInput = Box<dyn FnMut(Content<'_>) -> Result<Hash, String>>;

/// See the module.
pub struct Bridge {
    pub port: RefCell<Port>,
    pub shipper: RefCell<Shipper>,
    pub add_input: RefCell<AddInput>,
    pub modules: Arc<Modules>,
    /// Options for the next call to be submitted.
    pub options: Cell<Sparse<TaskOptions>>,
    /// The end taken last.
    pub outcome: RefCell<Option<Arc<Outcome>>>,
    /// What the call submitted last waits for.
    pub deps: RefCell<Vec<TaskId>>,
    /// For how many more tasks the one submitted last counts.
    pub weight: Cell<u64>,
    /// The line taken last.
    pub line: RefCell<Option<Vec<u8>>>,
    /// Why the last submit of a call failed.
    pub problem: RefCell<String>,
    /// Bytecode the driver has.
    issued: RefCell<FxHashSet<Hash>>,
    /// How many handles there are of each shared value.
    shares: RefCell<FxHashMap<Hash, usize>>,
    /// Shared values whose handle the collector took.
    dropped: Rc<RefCell<Vec<Hash>>>,
    /// Variables that were told of because they are big.
    heavy: RefCell<FxHashSet<String>>,
}

/// Lies in the handle of a shared value, to notice its end.
pub struct ShareToken {
    hash: Hash,
    dropped: Rc<RefCell<Vec<Hash>>>,
}

impl Drop for ShareToken {
    fn drop(&mut self) {
        // The collector runs at any time: only note it.
        if let Ok(mut dropped) = self.dropped.try_borrow_mut() {
            dropped.push(self.hash);
        }
    }
}

/// What `take` found.
pub enum Next {
    Nothing,
    Draining,
    Interrupted,
    /// A task ended; its outcome lies in the bridge.
    Outcome(TaskId),
    /// A call, or several together, returned values; they lie in the bridge.
    Values(TaskId),
    /// A line came from outside, or their end; it lies in the bridge.
    Line,
}

impl Bridge {
    pub fn new(port: Port, shipper: Shipper, add_input: AddInput, modules: Arc<Modules>) -> Self {
        Self {
            port: RefCell::new(port),
            shipper: RefCell::new(shipper),
            add_input: RefCell::new(add_input),
            modules,
            options: Cell::default(),
            outcome: RefCell::new(None),
            deps: RefCell::default(),
            weight: Cell::default(),
            line: RefCell::default(),
            problem: RefCell::default(),
            issued: RefCell::default(),
            shares: RefCell::default(),
            dropped: Rc::default(),
            heavy: RefCell::default(),
        }
    }

    /// Sends an encoded call on its way.
    pub fn submit_call(
        &self,
        shipped: Shipped,
        options: Sparse<TaskOptions>,
        pool: Option<PoolId>,
    ) -> Result<TaskId, String> {
        let class = class(&shipped.codes);
        let identity = identity(&shipped);
        let codes = self.issue(&shipped.codes, shipped.heavy.as_deref());
        if !self.dropped.borrow().is_empty() {
            self.release_shares();
        }
        let Shipped { bytes: payload, deps, artefacts, .. } = shipped;
        let baggage = Baggage { identity, codes, artefacts, ..Baggage::default() };
        let job = CallJob { payload, class, baggage: baggage.into() };
        self.submit(Order { pool, options, job: Job::Call(job), deps, known: Vec::new(), deferred: false })
    }

    /// Sends several encoded calls of one function on their way as one task. `first` as in [`Many`].
    pub fn submit_calls(
        &self,
        calls: Together,
        options: Sparse<TaskOptions>,
        pool: Option<PoolId>,
        first: Option<TaskId>,
    ) -> Result<TaskId, String> {
        let Together { payload, calls, mut codes, mut artefacts, heavy, .. } = calls;
        let (codes, artefacts) = (codes.take(), artefacts.take());
        let class = class(&codes);
        let codes = self.issue(&codes, heavy.as_deref());
        let baggage = Baggage { codes, artefacts, many: Some(Many { calls, first }), ..Baggage::default() };
        let job = Job::Call(CallJob { payload: payload.into(), class, baggage: baggage.into() });
        self.submit(Order { pool, options, job, deps: Vec::new(), known: Vec::new(), deferred: false })
    }

    /// The bytecode of a call that the driver does not have yet; says where it was written, and what is heavy in it.
    fn issue(&self, codes: &[Hash], heavy: Option<&Heavy>) -> Vec<(Hash, Arc<[u8]>)> {
        let codes = self.not_issued(codes);
        for (hash, _) in &codes {
            if let Some(place) = self.shipper.borrow().location(*hash) {
                self.port.borrow_mut().place(hash.first_half(), place.into());
            }
        }
        if let Some(heavy) = heavy {
            self.warn_of(heavy);
        }
        codes
    }

    /// Sends a task on its way, unless it would never be answered.
    pub fn submit(&self, order: Order) -> Result<TaskId, String> {
        let mut port = self.port.borrow_mut();
        self.weight.set(port.campaign().most_queued.weight(order.job.argument_bytes()));
        let task = port.submit(order);
        port.objection().map_or(Ok(task), Err)
    }

    /// Packs a value into the root's store; its name, size (B), and what notices that the handle is gone.
    pub fn share(&self, lua: &Lua, value: Value) -> Result<(Hash, usize, ShareToken), String> {
        self.release_shares();
        let mut shipper =
            self.shipper.try_borrow_mut().map_err(|_| "not while a value is packed or unpacked")?;
        shipper.set_label("value");
        let shipped = shipper.encode(lua, MultiValue::from_iter([value]));
        shipper.set_label("arg");
        let shipped = shipped.map_err(|error| error.to_string())?;
        if !shipped.deps.is_empty() {
            return Err("it holds a future that is not done: await it first".into());
        }
        let hash = (self.add_input.borrow_mut())(Content::Bytes(&shipped.bytes))?;
        shipper.add_share(hash, &shipped);
        *self.shares.borrow_mut().entry(hash).or_default() += 1;
        Ok((hash, shipped.bytes.len(), ShareToken { hash, dropped: self.dropped.clone() }))
    }

    /// Slots need not keep what no handle is left of.
    fn release_shares(&self) {
        for hash in self.dropped.take() {
            let mut shares = self.shares.borrow_mut();
            let left = shares.get_mut(&hash).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if left == 0 {
                shares.remove(&hash);
                self.port.borrow_mut().forget(hash);
            }
        }
    }

    /// Says once of each variable that it is big.
    fn warn_of(&self, heavy: &Heavy) {
        let quiet = self.port.borrow().campaign().verbosity < 0;
        if quiet || !self.heavy.borrow_mut().insert(heavy.variable.clone()) {
            return;
        }
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        say(format_args!(
            "harness: {} takes {:.1} MiB, and a call that captures it sends {:.1} MiB every time: harness.share sends a value once",
            heavy.variable,
            mib(heavy.bytes),
            mib(heavy.captured)
        ));
    }

    fn not_issued(&self, codes: &[Hash]) -> Vec<(Hash, Arc<[u8]>)> {
        let mut issued = self.issued.borrow_mut();
        let mut new = Vec::new();
        for hash in codes {
            if issued.contains(hash) {
                continue;
            }
            if let Some(bytes) = self.shipper.borrow().bytecode(*hash) {
                issued.insert(*hash);
                new.push((*hash, Arc::from(&*bytes)));
            }
        }
        new
    }

    /// The next end of a task.
    pub fn take(&self, wait: Wait) -> Next {
        let completion = match self.port.borrow_mut().take(wait) {
            Taken::Completion(completion) => completion,
            Taken::Line(line) => {
                *self.line.borrow_mut() = line;
                return Next::Line;
            }
            Taken::Nothing => return Next::Nothing,
            Taken::Draining => return Next::Draining,
            Taken::Interrupted => return Next::Interrupted,
        };
        let is_values = completion.outcome.ok()
            && matches!(completion.outcome.detail, Detail::Call(_) | Detail::Calls(_));
        *self.outcome.borrow_mut() = Some(completion.outcome);
        if is_values { Next::Values(completion.task) } else { Next::Outcome(completion.task) }
    }
}

/// Calls of one function take similar time. It is the first value, so its code is the first one.
fn class(codes: &[Hash]) -> u64 {
    codes.first().map_or(0, |hash| hash.first_half())
}

/// Calls of one function that are to travel together.
pub struct Together {
    /// A batch of [`calls`](batch::calls).
    payload: Vec<u8>,
    /// Where in it the calls begin, behind the function.
    first: usize,
    calls: u32,
    codes: Numbered<Hash>,
    artefacts: Numbered<Hash>,
    heavy: Option<Box<Heavy>>,
}

impl Together {
    /// From so many bytes on they make a message of their own, beside the function (B).
    const FULL: usize = 256 * 1024;

    /// None yet. The function, where the calls do not have it with them.
    pub fn new(function: Option<&Shipped>) -> Self {
        let (codes, artefacts) = (Numbered::default(), Numbered::default());
        let mut together = Self { payload: Vec::new(), first: 0, calls: 0, codes, artefacts, heavy: None };
        match function {
            Some(function) => together.add(function),
            None => batch::put(&mut together.payload, &[]),
        }
        together.first = together.payload.len();
        together
    }

    /// One more.
    pub fn put(&mut self, call: &Shipped) {
        self.calls += 1;
        self.add(call);
    }

    /// Is it time to send them?
    pub fn is_full(&self) -> bool {
        self.payload.len() - self.first >= Self::FULL
    }

    fn add(&mut self, message: &Shipped) {
        batch::put(&mut self.payload, &message.bytes);
        message.codes.iter().for_each(|code| _ = self.codes.number(*code));
        message.artefacts.iter().for_each(|artefact| _ = self.artefacts.number(*artefact));
        if self.heavy.is_none() {
            self.heavy.clone_from(&message.heavy);
        }
    }
}

/// What is called with which values, leaving out the numbers of the tasks it waits for: they differ between
/// runs. Without such numbers the message itself says it.
fn identity(shipped: &Shipped) -> Option<Hash> {
    if shipped.deps.is_empty() {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    for hash in shipped.codes.iter().chain(&shipped.artefacts) {
        hasher.update(&hash.0);
    }
    hasher.update(&shipped.bytes[shipped.body..]);
    Some(Hash::finish(&hasher))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a campaign it depends on how long calls take whether any travel together.
    #[test]
    fn calls_travel_together_however_much_their_function_holds() {
        let message = |bytes| Shipped { bytes: vec![0; bytes].into(), ..Shipped::default() };
        let mut together = Together::new(Some(&message(2 * Together::FULL)));
        for _ in 0..4 {
            assert!(!together.is_full());
            together.put(&message(Together::FULL / 4));
        }
        assert!(together.is_full());
        assert_eq!(together.calls, 4);
    }
}
