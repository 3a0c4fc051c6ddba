//! Where an encoder is in the graph, and what it has met: the state behind `encode`.
//!
//! Kept from message to message, so that a small one needs no memory of its own; outside of every frame
//! that a Lua error can jump over. Knows nothing of how values are written.

use std::collections::BTreeSet;
use std::ffi::c_int;

use rustc_hash::{FxHashMap, FxHashSet};

use super::format::Codes;
use crate::model::{Hash, TaskId};

/// Buffers above this many entries are given back after a message.
const KEPT_ENTRIES: usize = 1 << 14;

/// Where a walk began.
#[derive(Clone, Copy, Debug)]
pub enum Root {
    /// One of the values, from 1.
    Value(usize),
    /// A global that a function reads: numbers of its code and of the name.
    Global { code: u32, name: u32 },
}

/// A table or function that is being written; it lies on the Lua stack at `at`.
#[derive(Clone, Copy)]
pub enum Frame {
    Table(TableFrame),
    Function(FunctionFrame),
    Rebuilt(RebuiltFrame),
}

#[derive(Clone, Copy)]
pub struct TableFrame {
    pub at: c_int,
    /// Next element of the array part.
    pub next: i64,
    /// Elements 1..=length are the array part.
    pub length: i64,
    pub meta: bool,
    pub stage: Stage,
}

/// What of a table is being written. From `Pairs` on, its current key lies above it.
#[derive(Clone, Copy, PartialEq)]
pub enum Stage {
    Array,
    /// A value, or between pairs.
    Pairs,
    /// A key that is a table or function; its value lies above the key.
    Key,
    Meta,
}

#[derive(Clone, Copy)]
pub struct FunctionFrame {
    pub at: c_int,
    pub code: u32,
    /// Next upvalue, from 1.
    pub next: c_int,
}

/// A value with a `__ship` hook; what the hook returned lies above it.
#[derive(Clone, Copy)]
pub struct RebuiltFrame {
    pub at: c_int,
    pub address: usize,
    /// Next of what it returned, from 1.
    pub next: c_int,
    pub count: c_int,
}

/// Which variable of a function holds most of a message.
#[derive(Clone, Copy, Default)]
pub struct Heavy {
    /// Bytes of all variables of functions that are shipped themselves.
    pub captured: usize,
    /// Bytes of the heaviest one.
    pub bytes: usize,
    pub variable: Option<Variable>,
}

#[derive(Clone, Copy)]
pub enum Variable {
    /// Numbers of the code and of its upvalue.
    Upvalue { code: u32, upvalue: c_int },
    /// Numbers of the code that reads it and of its name.
    Global { code: u32, name: u32 },
}

/// Things in the order in which they were met, each once. A message may have ten thousand: they are found by a hash.
pub struct Numbered<T> {
    list: Vec<T>,
    number: FxHashMap<T, usize>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { list: Vec::new(), number: FxHashMap::default() }
    }
}

impl<T: Copy + Eq + std::hash::Hash> Numbered<T> {
    /// The number of this one, which is the next if it was not met before.
    pub fn number(&mut self, item: T) -> usize {
        *self.number.entry(item).or_insert_with(|| {
            self.list.push(item);
            self.list.len() - 1
        })
    }

    /// All of them by their numbers; none is left.
    pub fn take(&mut self) -> Vec<T> {
        self.number.clear();
        std::mem::take(&mut self.list)
    }

    fn clear(&mut self) {
        self.number.clear();
        self.list.clear();
    }

    fn capacity(&self) -> usize {
        self.number.capacity()
    }
}

/// Room before a body, for a manifest that is no longer (B): then what is large need not be moved to make it a message.
pub const GAP: usize = 128;

/// Buffers kept from message to message.
#[derive(Default)]
pub struct Buffers {
    /// The manifest, in bytes.
    pub head: Vec<u8>,
    /// Begins with a gap.
    pub body: Vec<u8>,
    pub codes: Codes,
    pub deps: Numbered<TaskId>,
    pub artefacts: Numbered<Hash>,
    pub shares: Numbered<Hash>,
    /// Artefacts that shared values need.
    pub needed: Numbered<Hash>,
    /// Modules that are mentioned, the library's too.
    pub modules: BTreeSet<Box<[u8]>>,
    pub references: u32,
    pub heavy: Heavy,
    /// Where in the body the variable begins that is being written.
    pub mark: usize,
    /// Addresses of values whose hooks are under way.
    pub rebuilding: Vec<usize>,
    pub frames: Vec<Frame>,
    /// Address -> number of what was written.
    pub seen: FxHashMap<usize, u32>,
    /// Identity of an upvalue's variable -> number.
    pub cells: FxHashMap<usize, u32>,
    /// Address and number of each table of globals met.
    pub environments: Vec<(usize, u32)>,
    /// Code whose globals are still to be written, and the environment it reads them from.
    pub pending: Vec<(u32, usize)>,
    /// What was ever in `pending`.
    pub queued: FxHashSet<(u32, usize)>,
    /// Environment and name of globals that were written or skipped.
    pub captured: FxHashSet<(usize, u32)>,
}

impl Buffers {
    /// Ready for the next message.
    pub fn clear(&mut self) {
        let entries =
            [self.seen.capacity(), self.deps.capacity(), self.artefacts.capacity(), self.needed.capacity()];
        if entries.iter().any(|kept| *kept > KEPT_ENTRIES) || self.body.capacity() > 64 * KEPT_ENTRIES {
            *self = Self::default();
        }
        self.head.clear();
        self.body.clear();
        self.body.resize(GAP, 0);
        self.codes.clear();
        self.deps.clear();
        self.artefacts.clear();
        self.shares.clear();
        self.needed.clear();
        self.modules.clear();
        self.references = 0;
        self.heavy = Heavy::default();
        self.rebuilding.clear();
        self.frames.clear();
        self.seen.clear();
        self.cells.clear();
        self.environments.clear();
        self.pending.clear();
        self.queued.clear();
        self.captured.clear();
    }
}
