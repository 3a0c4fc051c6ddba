//! What the primitives of the script state share: the port, the shipper, and what lies between two calls.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use super::raw::{Shipped, Shipper};
use crate::model::{Detail, Hash, Outcome, PoolId, TaskId, TaskOptions};
use crate::root::port::{CallJob, Job, Order, Port, Taken, Wait};

/// Puts the content of a file into the root's store and names it; or says why not.
pub type AddInput = Box<dyn FnMut(&Path) -> Result<Hash, String>>;

/// See the module.
pub struct Bridge {
    pub port: RefCell<Port>,
    pub shipper: RefCell<Shipper>,
    pub add_input: RefCell<AddInput>,
    /// When the clock of the script began.
    pub began: Instant,
    /// Options for the next call to be submitted.
    pub options: Cell<Option<TaskOptions>>,
    /// The end taken last.
    pub outcome: RefCell<Option<Arc<Outcome>>>,
    /// What the call submitted last waits for.
    pub deps: RefCell<Vec<TaskId>>,
    /// Why the last submit of a call failed.
    pub problem: RefCell<String>,
    /// Bytecode the driver has.
    issued: RefCell<FxHashSet<Hash>>,
}

/// What `take` found.
pub enum Next {
    Nothing,
    Draining,
    /// A task ended; its outcome lies in the bridge.
    Outcome(TaskId),
    /// A call returned values; they lie in the bridge.
    Values(TaskId),
}

impl Bridge {
    pub fn new(port: Port, shipper: Shipper, add_input: AddInput) -> Self {
        Self {
            port: RefCell::new(port),
            shipper: RefCell::new(shipper),
            add_input: RefCell::new(add_input),
            began: Instant::now(),
            options: Cell::new(None),
            outcome: RefCell::new(None),
            deps: RefCell::default(),
            problem: RefCell::default(),
            issued: RefCell::default(),
        }
    }

    /// Sends an encoded call on its way.
    pub fn submit_call(&self, shipped: Shipped, options: TaskOptions, pool: Option<PoolId>) -> TaskId {
        // The function is the first value, so its code is the first of the manifest.
        let class = shipped.codes.first().map_or(0, |hash| u64::from_le_bytes(first_half(hash)));
        let identity = identity(&shipped);
        let codes = self.not_issued(&shipped.codes);
        let Shipped { bytes: payload, deps, artefacts, .. } = shipped;
        let job = CallJob { payload, identity, codes, class, artefacts, ..CallJob::default() };
        self.port.borrow_mut().submit(Order {
            pool,
            options,
            job: Job::Call(job),
            deps,
            known: Vec::new(),
            deferred: false,
        })
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
            Taken::Nothing => return Next::Nothing,
            Taken::Draining => return Next::Draining,
        };
        let is_values = completion.outcome.ok() && matches!(completion.outcome.detail, Detail::Call(_));
        *self.outcome.borrow_mut() = Some(completion.outcome);
        if is_values { Next::Values(completion.task) } else { Next::Outcome(completion.task) }
    }

    /// Seconds on the script's clock.
    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The moment at which the script's clock shows `seconds`.
    pub fn moment(&self, seconds: f64) -> Wait {
        // A time no clock will show is for ever.
        let offset = Duration::try_from_secs_f64(seconds.max(0.0)).ok();
        match offset.and_then(|offset| self.began.checked_add(offset)) {
            Some(moment) => Wait::Until(moment),
            None => Wait::Forever,
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

fn first_half(hash: &Hash) -> [u8; 8] {
    let mut half = [0; 8];
    half.copy_from_slice(&hash.0[..8]);
    half
}
