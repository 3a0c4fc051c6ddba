//! Values and closures to bytes.
//!
//! A walk over the graph with its own stack of frames instead of recursion: depth is bounded by
//! `MAX_DEPTH`, not by the machine stack, no frame of ours owns anything when Lua raises, and the frames
//! are the path for error messages. While a message is being written nothing collects garbage or runs user
//! code: reading the stack and raw access do neither (see `stack`), and the one rare path that makes Lua
//! strings stops the collector first.

use std::ffi::c_int;

use rustc_hash::{FxHashMap, FxHashSet};

use super::format::{self as tag, put_bytes, put_uint, zigzag};
use super::known::{Known, Name};
use super::path;
use super::stack::{Kind, REGISTRY, Stack};
use super::standard::NAMES;
use crate::model::{Hash, TaskId};

/// Tables and closures nested deeper than this are refused.
pub const MAX_DEPTH: usize = 10_000;
/// Leading floats of a table travel packed from this many on.
const MIN_PACKED: i64 = 8;
/// A future may be the result of another, this many times.
const MAX_FUTURE_HOPS: usize = 16;
/// Buffers above this many entries are given back after a message.
const KEPT_ENTRIES: usize = 1 << 14;

/// Encoding failed; why is in `Encoder::failure`.
#[derive(Debug)]
pub struct Failed;

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
}

#[derive(Clone, Copy)]
pub struct TableFrame {
    pub at: c_int,
    /// Next element of the array part.
    pub next: i64,
    /// Elements 1..=length are the array part.
    length: i64,
    meta: bool,
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

/// Buffers kept from message to message.
#[derive(Default)]
pub struct Buffers {
    pub body: Vec<u8>,
    pub codes: Vec<Hash>,
    pub deps: Vec<TaskId>,
    pub artefacts: Vec<Hash>,
    pub references: u32,
    frames: Vec<Frame>,
    /// Address -> number of what was written.
    seen: FxHashMap<usize, u32>,
    /// Identity of an upvalue's variable -> number.
    cells: FxHashMap<usize, u32>,
    /// Address and number of each table of globals met.
    environments: Vec<(usize, u32)>,
    /// Code whose globals are still to be written, and the environment it reads them from.
    pending: Vec<(u32, usize)>,
    /// What was ever in `pending`.
    queued: FxHashSet<(u32, usize)>,
    /// Environment and name of globals that were written or skipped.
    captured: FxHashSet<(usize, u32)>,
}

impl Buffers {
    fn clear(&mut self) {
        if self.seen.capacity() > KEPT_ENTRIES || self.body.capacity() > 64 * KEPT_ENTRIES {
            *self = Self::default();
            return;
        }
        self.body.clear();
        self.codes.clear();
        self.deps.clear();
        self.artefacts.clear();
        self.references = 0;
        self.frames.clear();
        self.seen.clear();
        self.cells.clear();
        self.environments.clear();
        self.pending.clear();
        self.queued.clear();
        self.captured.clear();
    }
}

/// One message in the making.
pub struct Encoder<'s> {
    known: &'s mut Known,
    out: &'s mut Buffers,
    /// What the values are called in error messages.
    label: &'static str,
    root: Root,
    /// Why encoding failed.
    pub failure: Option<String>,
}

impl<'s> Encoder<'s> {
    pub fn new(known: &'s mut Known, out: &'s mut Buffers, label: &'static str) -> Self {
        out.clear();
        known.message += 1;
        Self { known, out, label, root: Root::Value(1), failure: None }
    }

    /// Writes everything on the stack, and what it needs, into the buffers. Runs in a protected call.
    pub fn run(&mut self, stack: Stack) -> Result<(), Failed> {
        let count = stack.top();
        if !stack.reserve(8) {
            return Err(self.fail(stack, "value: the Lua stack is full"));
        }
        for i in 1..=count {
            self.root = Root::Value(i as usize);
            stack.push_copy(i);
            self.graph(stack)?;
        }
        while let Some((code, environment)) = self.out.pending.pop() {
            for i in 0..self.known.codes[code as usize].globals.len() {
                self.global(stack, code, i, environment)?;
            }
        }
        self.out.body.push(tag::END);
        stack.raw_get_i(REGISTRY, self.known.kept.environments.into());
        for i in 1..=self.out.environments.len() as i64 {
            stack.push_nil();
            stack.raw_set_i_raises(count + 1, i);
        }
        Ok(())
    }

    /// Writes the global number `i` of a code, unless it means the same on the other side anyway.
    fn global(&mut self, stack: Stack, code: u32, i: usize, environment: usize) -> Result<(), Failed> {
        let name = self.known.codes[code as usize].globals[i];
        if !self.out.captured.insert((environment, name)) {
            return Ok(());
        }
        let base = stack.top();
        stack.raw_get_i(REGISTRY, self.known.kept.environments.into());
        stack.raw_get_i(base + 1, environment as i64 + 1);
        stack.push_globals();
        for table in [base + 2, base + 3] {
            self.known.push_name(stack, name);
            stack.raw_get(table);
            if stack.kind(-1) != Kind::Nil {
                break;
            }
        }
        let text = &*self.known.names[name as usize];
        let address = stack.pointer(-1);
        let same_there = match self.known.name(address) {
            Some(Name::Standard(number)) => NAMES[number as usize].as_bytes() == text,
            _ => text == b"_G" && self.out.environments.iter().any(|(known, _)| *known == address),
        };
        if stack.kind(-1) != Kind::Nil && !same_there {
            self.root = Root::Global { code, name };
            self.out.body.push(tag::GLOBAL);
            put_uint(&mut self.out.body, self.out.environments[environment].1.into());
            put_bytes(&mut self.out.body, text);
            stack.push_copy(stack.top());
            self.graph(stack)?;
        }
        stack.set_top(base);
        Ok(())
    }

    /// Writes the value at the top and all that hangs on it; pops it.
    fn graph(&mut self, stack: Stack) -> Result<(), Failed> {
        self.value(stack)?;
        while let Some(frame) = self.out.frames.last() {
            match *frame {
                Frame::Table(table) => self.table_step(stack, table)?,
                Frame::Function(function) => self.function_step(stack, function)?,
            }
        }
        Ok(())
    }

    /// Writes the value at the top: a leaf is written and popped, of others a frame is begun.
    fn value(&mut self, stack: Stack) -> Result<(), Failed> {
        let at = stack.top();
        match stack.kind(at) {
            Kind::Table => return self.table(stack, at),
            Kind::Function => return self.function(stack, at),
            kind => self.leaf(stack, at, kind)?,
        }
        stack.set_top(at - 1);
        Ok(())
    }

    fn leaf(&mut self, stack: Stack, at: c_int, kind: Kind) -> Result<(), Failed> {
        let body = &mut self.out.body;
        match kind {
            Kind::Nil => body.push(tag::NIL),
            Kind::Boolean => body.push(if stack.boolean(at) { tag::TRUE } else { tag::FALSE }),
            Kind::Integer => {
                body.push(tag::INTEGER);
                put_uint(body, zigzag(stack.integer(at)));
            }
            Kind::Float => {
                body.push(tag::FLOAT);
                body.extend_from_slice(&stack.float(at).to_le_bytes());
            }
            Kind::String => {
                let bytes = stack.bytes(at);
                if bytes.len() < 2 {
                    body.push(tag::BYTES);
                    put_bytes(body, bytes);
                } else if !self.mentioned(stack.pointer(at)) {
                    self.number(stack.pointer(at));
                    self.out.body.push(tag::STRING);
                    put_bytes(&mut self.out.body, bytes);
                }
            }
            // Without a name there is no way to make another one.
            Kind::CFunction | Kind::Userdata
                if self.mentioned(stack.pointer(at)) || self.mentioned_module(stack, stack.pointer(at)) => {}
            kind => return Err(self.fail(stack, kind.name())),
        }
        Ok(())
    }

    /// Writes a mention of the value at this address, if both ends know it already.
    fn mentioned(&mut self, address: usize) -> bool {
        if let Some(number) = self.out.seen.get(&address) {
            self.out.body.push(tag::REF);
            put_uint(&mut self.out.body, (*number).into());
            return true;
        }
        match self.known.name(address) {
            None => return false,
            Some(Name::Standard(number)) => {
                self.out.body.push(tag::STANDARD);
                put_uint(&mut self.out.body, number.into());
            }
            Some(Name::Member(member)) => {
                self.number(address);
                let member = &self.known.members[member as usize];
                self.out.body.push(tag::NAMED);
                put_bytes(&mut self.out.body, &member.module);
                put_bytes(&mut self.out.body, &member.path);
            }
        }
        true
    }

    /// Writes a mention of the user's module at this address, if it is one.
    fn mentioned_module(&mut self, stack: Stack, address: usize) -> bool {
        self.known.read_modules(stack);
        if self.known.name(address).is_some() {
            return self.mentioned(address); // a module of the library that was loaded meanwhile
        }
        let Some(module) = self.known.module(address) else { return false };
        self.out.body.push(tag::NAMED);
        put_bytes(&mut self.out.body, module);
        put_bytes(&mut self.out.body, &[]);
        self.number(address);
        true
    }

    /// Gives the value at this address the next number.
    fn number(&mut self, address: usize) -> u32 {
        let number = self.out.references;
        self.out.seen.insert(address, number);
        self.out.references += 1;
        number
    }

    fn begin(&mut self, stack: Stack, frame: Frame) -> Result<(), Failed> {
        if self.out.frames.len() >= MAX_DEPTH || !stack.reserve(10) {
            return Err(self.fail(stack, "value nested deeper than 10000 levels"));
        }
        self.out.frames.push(frame);
        Ok(())
    }

    fn end(&mut self, stack: Stack, at: c_int) {
        self.out.frames.pop();
        stack.set_top(at - 1);
    }

    /// Writes the table at the top, or begins to.
    fn table(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        let address = stack.pointer(at);
        let mut metatable = 0;
        if stack.push_metatable(at) {
            metatable = stack.pointer(-1);
            stack.set_top(at);
        }
        if metatable != 0 && metatable == self.known.future_meta {
            return self.future(stack, at);
        }
        if self.mentioned(address) {
            stack.set_top(at - 1);
            return Ok(());
        }
        if self.known.is_environment(address, metatable) {
            self.environment(stack, address);
            return Ok(());
        }
        if self.mentioned_module(stack, address) {
            stack.set_top(at - 1);
            return Ok(());
        }
        let length = stack.raw_len(at);
        let frame = TableFrame { at, next: 1, length, meta: metatable != 0, stage: Stage::Array };
        self.begin(stack, Frame::Table(frame))?;
        self.number(address);
        self.out.body.push(if metatable == 0 { tag::TABLE } else { tag::TABLE_META });
        let packed = self.packed_floats(stack, at, length);
        put_uint(&mut self.out.body, (length - packed) as u64);
        if let Some(Frame::Table(frame)) = self.out.frames.last_mut() {
            frame.next = packed + 1;
        }
        Ok(())
    }

    /// Writes the number of leading floats that travel packed, and these.
    fn packed_floats(&mut self, stack: Stack, at: c_int, length: i64) -> i64 {
        let is_float = |i| {
            stack.raw_get_i(at, i);
            let yes = stack.kind(-1) == Kind::Float;
            stack.set_top(-2);
            yes
        };
        let mut count = 0;
        while count < length && is_float(count + 1) {
            count += 1;
        }
        if count < MIN_PACKED {
            count = 0;
        }
        put_uint(&mut self.out.body, count as u64);
        self.out.body.reserve(8 * count as usize);
        for i in 1..=count {
            stack.raw_get_i(at, i);
            self.out.body.extend_from_slice(&stack.float(-1).to_le_bytes());
            stack.set_top(-2);
        }
        count
    }

    /// Goes on with a table until something below it has to be written first.
    fn table_step(&mut self, stack: Stack, mut table: TableFrame) -> Result<(), Failed> {
        let frame = self.out.frames.len() - 1;
        let at = table.at;
        while self.out.frames.len() == frame + 1 {
            match table.stage {
                Stage::Array if table.next <= table.length => {
                    stack.raw_get_i(at, table.next);
                    table.next += 1;
                }
                Stage::Array => {
                    stack.push_nil();
                    table.stage = Stage::Pairs;
                    continue;
                }
                Stage::Key => table.stage = Stage::Pairs, // the key is written, its value is at the top
                Stage::Pairs => {
                    if !stack.next(at) {
                        self.out.body.push(tag::END);
                        if !table.meta || !stack.push_metatable(at) {
                            self.end(stack, at);
                            return Ok(());
                        }
                        table.stage = Stage::Meta;
                        table.meta = false;
                    } else {
                        match stack.kind(at + 1) {
                            Kind::Integer if (1..=table.length).contains(&stack.integer(at + 1)) => {
                                stack.set_top(at + 1);
                                continue;
                            }
                            Kind::Integer | Kind::Float | Kind::String | Kind::Boolean => {
                                self.leaf(stack, at + 1, stack.kind(at + 1))?;
                            }
                            _ => {
                                table.stage = Stage::Key;
                                stack.push_copy(at + 1);
                            }
                        }
                    }
                }
                Stage::Meta => {
                    self.end(stack, at);
                    return Ok(());
                }
            }
            self.out.frames[frame] = Frame::Table(table);
            self.value(stack)?;
        }
        Ok(())
    }

    /// Writes a table of globals: the other side makes its own. Pops it.
    fn environment(&mut self, stack: Stack, address: usize) {
        self.out.body.push(tag::ENVIRONMENT);
        let number = self.number(address);
        self.out.environments.push((address, number));
        // Kept at hand, for the globals are looked up when all else is written.
        let at = stack.top();
        stack.raw_get_i(REGISTRY, self.known.kept.environments.into());
        stack.push_copy(at);
        stack.raw_set_i_raises(at + 1, self.out.environments.len() as i64);
        stack.set_top(at - 1);
    }

    /// Writes the function at the top, or begins to.
    fn function(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        let address = stack.pointer(at);
        if self.mentioned(address) {
            stack.set_top(at - 1);
            return Ok(());
        }
        let code = match self.known.code_memo(stack, at) {
            Some(code) => code,
            None if self.mentioned_module(stack, address) => {
                stack.set_top(at - 1);
                return Ok(());
            }
            None => match self.known.code_of(stack, at) {
                Ok(code) => code,
                Err(_) => return Err(self.fail(stack, "function without readable bytecode")),
            },
        };
        self.known.name_globals(stack, code);
        self.begin(stack, Frame::Function(FunctionFrame { at, code, next: 1 }))?;
        self.number(address);
        let message = self.known.message;
        let used = &mut self.known.codes[code as usize];
        if used.used.0 != message {
            used.used = (message, self.out.codes.len() as u32);
            self.out.codes.push(used.hash);
        }
        self.out.body.push(tag::FUNCTION);
        put_uint(&mut self.out.body, used.used.1.into());
        Ok(())
    }

    /// Goes on with the upvalues of a function until something below it has to be written first.
    fn function_step(&mut self, stack: Stack, mut function: FunctionFrame) -> Result<(), Failed> {
        let frame = self.out.frames.len() - 1;
        let (at, code) = (function.at, function.code);
        let upvalues = self.known.codes[code as usize].chunk.upvalues;
        while self.out.frames.len() == frame + 1 {
            let i = function.next;
            if i as usize > upvalues {
                self.end(stack, at);
                return Ok(());
            }
            function.next += 1;
            self.out.frames[frame] = Frame::Function(function);
            stack.push_upvalue(at, i);
            let address = stack.pointer(-1);
            let next_cell = self.out.cells.len() as u32;
            let cell = *self.out.cells.entry(stack.upvalue_id(at, i)).or_insert(next_cell);
            if cell < next_cell {
                self.out.body.push(tag::CELL);
                put_uint(&mut self.out.body, cell.into());
                stack.set_top(-2);
            } else {
                self.out.body.push(tag::NEW);
                self.value(stack)?;
            }
            if self.known.codes[code as usize].chunk.env == Some(i as usize - 1) {
                self.queue_globals(code, address);
            }
        }
        Ok(())
    }

    /// The globals that a code reads from this environment are to be written too.
    fn queue_globals(&mut self, code: u32, address: usize) {
        let environment = self.out.environments.iter().position(|(known, _)| *known == address);
        if let Some(environment) = environment
            && !self.known.codes[code as usize].globals.is_empty()
            && self.out.queued.insert((code, environment))
        {
            self.out.pending.push((code, environment));
        }
    }

    /// Writes a future: its value if there is one, else a dependency. Pops it.
    fn future(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        let fields = self.known.fields;
        let field = |known: &Known, table: c_int, name| {
            known.push_name(stack, name);
            stack.raw_get(table);
        };
        for _hop in 0..MAX_FUTURE_HOPS {
            field(self.known, at, fields.ended);
            field(self.known, at, fields.ok);
            let (ended, ok) = (stack.boolean(at + 1), stack.boolean(at + 2));
            stack.set_top(at);
            if !ended {
                return self.pending_future(stack, at);
            }
            if !ok {
                return Err(self.fail(stack, "failed task's future"));
            }
            field(self.known, at, fields.value);
            if self.is_build(stack, at + 1) {
                return self.artefact(stack, at);
            }
            stack.replace(at);
            let is_future = stack.kind(at) == Kind::Table && stack.push_metatable(at) && {
                let metatable = stack.pointer(-1);
                stack.set_top(at);
                metatable == self.known.future_meta
            };
            if !is_future {
                return self.value(stack);
            }
        }
        Err(self.fail(stack, "future of futures without end"))
    }

    fn pending_future(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        self.known.push_name(stack, self.known.fields.id);
        stack.raw_get(at);
        if stack.kind(-1) != Kind::Integer {
            return Err(self.fail(stack, "future that is no task's and has no value yet: await it first"));
        }
        let task = TaskId(stack.integer(-1) as u64);
        let dep = position_or_push(&mut self.out.deps, task);
        self.out.body.push(tag::FUTURE);
        put_uint(&mut self.out.body, dep as u64);
        stack.set_top(at - 1);
        Ok(())
    }

    /// Is the value at `at` the record of a `compile`?
    fn is_build(&self, stack: Stack, at: c_int) -> bool {
        if stack.kind(at) != Kind::Table {
            return false;
        }
        self.known.push_name(stack, self.known.fields.kind);
        stack.raw_get(at);
        let is_build = stack.kind(-1) == Kind::String && stack.bytes(-1) == b"compile";
        stack.set_top(at);
        is_build
    }

    /// Writes the artefact of the record above the future at `at`.
    fn artefact(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        self.known.push_name(stack, self.known.fields.artefact);
        stack.raw_get(at + 1);
        let text = if stack.kind(-1) == Kind::String { stack.bytes(-1) } else { &[] };
        let Some(hash) = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) else {
            return Err(self.fail(stack, "failed task's future"));
        };
        let artefact = position_or_push(&mut self.out.artefacts, hash);
        self.out.body.push(tag::ARTEFACT);
        put_uint(&mut self.out.body, artefact as u64);
        stack.set_top(at - 1);
        Ok(())
    }

    #[cold]
    fn fail(&mut self, stack: Stack, what: &str) -> Failed {
        // The path may need a slot or two; a full stack gives a message without one.
        let frames: &[Frame] = if stack.reserve(4) { &self.out.frames } else { &[] };
        self.failure = Some(path::explain(stack, self.known, self.label, self.root, frames, what));
        Failed
    }
}

fn position_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}
