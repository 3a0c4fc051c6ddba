//! Values and closures to bytes.
//!
//! A walk over the graph with its own stack of frames instead of recursion: depth is bounded by
//! `MAX_DEPTH`, not by the machine stack, no frame of ours owns anything when Lua raises, and the frames
//! are the path for error messages. While a message is being written nothing collects garbage or runs user
//! code: reading the stack and raw access do neither (see `stack`), and the one rare path that makes Lua
//! strings stops the collector first.

use std::ffi::c_int;

use super::format::{self as tag, put_bytes, put_uint};
use super::frames::{Buffers, Frame, FunctionFrame, Root, Stage, TableFrame, Variable};
use super::known::{Known, Name};
use super::path;
use super::plain;
use super::stack::{Kind, REGISTRY, Stack};
use super::standard::NAMES;

/// Tables and closures nested deeper than this are refused: each level takes up to three of the million
/// places that a Lua stack has.
pub const MAX_DEPTH: usize = 200_000;
/// Leading floats of a table travel packed from this many on.
const MIN_PACKED: i64 = 8;

/// Encoding failed; why is in `Encoder::failure`.
#[derive(Debug)]
pub struct Failed;

/// One message in the making.
pub struct Encoder<'s> {
    pub(super) known: &'s mut Known,
    pub(super) out: &'s mut Buffers,
    /// What the values are called in error messages.
    label: &'static str,
    root: Root,
    /// Frames below this one belong to the value whose hook needs what is being written.
    base: usize,
    /// Why encoding failed.
    pub failure: Option<String>,
}

impl<'s> Encoder<'s> {
    pub fn new(known: &'s mut Known, out: &'s mut Buffers, label: &'static str) -> Self {
        out.clear();
        known.message += 1;
        Self { known, out, label, root: Root::Value(1), base: 0, failure: None }
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
        self.globals(stack)?;
        self.out.body.push(tag::END);
        if !self.out.environments.is_empty() {
            stack.raw_get_i(REGISTRY, self.known.kept.environments.into());
            for i in 1..=self.out.environments.len() as i64 {
                stack.push_nil();
                stack.raw_set_i_raises(count + 1, i);
            }
        }
        Ok(())
    }

    /// Writes the globals that are read by what was written.
    pub(super) fn globals(&mut self, stack: Stack) -> Result<(), Failed> {
        while let Some((code, environment)) = self.out.pending.pop() {
            for i in 0..self.known.codes[code as usize].globals.len() {
                self.global(stack, code, i, environment)?;
            }
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
            let root = std::mem::replace(&mut self.root, Root::Global { code, name });
            let begin = self.out.body.len();
            self.out.body.push(tag::GLOBAL);
            put_uint(&mut self.out.body, self.out.environments[environment].1.into());
            put_bytes(&mut self.out.body, text);
            stack.push_copy(stack.top());
            self.graph(stack)?;
            self.root = root;
            if self.out.rebuilding.is_empty() {
                self.weigh(begin, Variable::Global { code, name });
            }
        }
        stack.set_top(base);
        Ok(())
    }

    /// Writes the value at the top and all that hangs on it; pops it.
    fn graph(&mut self, stack: Stack) -> Result<(), Failed> {
        let base = std::mem::replace(&mut self.base, self.out.frames.len());
        self.value(stack)?;
        while self.out.frames.len() > self.base
            && let Some(frame) = self.out.frames.last()
        {
            match *frame {
                Frame::Table(table) => self.table_step(stack, table)?,
                Frame::Function(function) => self.function_step(stack, function)?,
                Frame::Rebuilt(rebuilt) => self.rebuilt_step(stack, rebuilt)?,
            }
        }
        self.base = base;
        Ok(())
    }

    /// Writes the value at the top: a leaf is written and popped, of others a frame is begun.
    pub(super) fn value(&mut self, stack: Stack) -> Result<(), Failed> {
        let at = stack.top();
        match stack.kind(at) {
            Kind::Table => return self.table(stack, at),
            Kind::Function => return self.function(stack, at),
            Kind::Userdata if self.has_hook(stack, at) => {
                if !self.mentioned(stack.pointer(at)) {
                    return self.rebuilt(stack, at);
                }
            }
            kind => self.leaf(stack, at, kind)?,
        }
        stack.set_top(at - 1);
        Ok(())
    }

    fn leaf(&mut self, stack: Stack, at: c_int, kind: Kind) -> Result<(), Failed> {
        match kind {
            Kind::Nil | Kind::Boolean | Kind::Integer | Kind::Float => {
                plain::put(stack, at, kind, &mut self.out.body)
            }
            Kind::String => {
                let bytes = stack.bytes(at);
                if bytes.len() < 2 {
                    self.out.body.push(tag::BYTES);
                    put_bytes(&mut self.out.body, bytes);
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
                if !self.out.modules.contains(&member.module) {
                    self.out.modules.insert(member.module.clone());
                }
            }
        }
        true
    }

    /// Writes a mention of the value at this address, if it belongs to a module that was loaded meanwhile.
    fn mentioned_module(&mut self, stack: Stack, address: usize) -> bool {
        self.known.read_modules(stack);
        self.known.name(address).is_some() && self.mentioned(address)
    }

    /// Gives the value at this address the next number.
    pub(super) fn number(&mut self, address: usize) -> u32 {
        let number = self.out.references;
        self.out.seen.insert(address, number);
        self.out.references += 1;
        number
    }

    pub(super) fn begin(&mut self, stack: Stack, frame: Frame) -> Result<(), Failed> {
        if self.out.frames.len() >= MAX_DEPTH || !stack.reserve(10) {
            return Err(self.fail(stack, &format!("value nested deeper than {MAX_DEPTH} levels")));
        }
        self.out.frames.push(frame);
        Ok(())
    }

    pub(super) fn end(&mut self, stack: Stack, at: c_int) {
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
        if metatable != 0 && metatable == self.known.share_meta {
            return self.shared(stack, at);
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
        if metatable != 0 && self.has_hook(stack, at) {
            return self.rebuilt(stack, at);
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
        let body = &mut self.out.body;
        let start = body.len();
        let mut count = 0;
        while count < length {
            stack.raw_get_i(at, count + 1);
            let is_float = stack.kind(-1) == Kind::Float;
            if is_float {
                body.extend_from_slice(&stack.float(-1).to_le_bytes());
                count += 1;
            }
            stack.set_top(-2);
            if !is_float {
                break;
            }
        }
        if count < MIN_PACKED {
            count = 0;
            body.truncate(start);
        }
        // How many there are is known only now: the count goes in front.
        let end = body.len();
        put_uint(body, count as u64);
        let digits = body.len() - end;
        body[start..].rotate_right(digits);
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
            if frame == 0 {
                if i > 1 {
                    self.weigh(self.out.mark, Variable::Upvalue { code, upvalue: i - 1 });
                }
                self.out.mark = self.out.body.len();
            }
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

    /// What was written since `begin` is what this variable holds.
    fn weigh(&mut self, begin: usize, variable: Variable) {
        let bytes = self.out.body.len() - begin;
        let heavy = &mut self.out.heavy;
        heavy.captured += bytes;
        if bytes > heavy.bytes {
            (heavy.bytes, heavy.variable) = (bytes, Some(variable));
        }
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

    #[cold]
    pub(super) fn fail(&mut self, stack: Stack, what: &str) -> Failed {
        // The path may need a slot or two; a full stack gives a message without one.
        let frames: &[Frame] = if stack.reserve(4) { &self.out.frames[self.base..] } else { &[] };
        self.failure = Some(path::explain(stack, self.known, self.label, self.root, frames, what));
        Failed
    }
}
