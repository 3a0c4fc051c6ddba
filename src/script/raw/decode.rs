//! Bytes to values and closures.
//!
//! The mirror of `encode`: a loop over frames, a stack that mirrors the nesting. The bytes may be damaged:
//! every index and size is checked before it is used, room is made in advance only for what can still come,
//! and bytecode is loaded only if it was learned under its hash. Stack: 1 the results of the tasks the
//! message waits for (a sequence, or nil), from 2 what was numbered (a place for each, or a sequence of many), then the values.

use std::ffi::c_int;
use std::fmt::Write;

use super::ShipError;
use super::encode::{Failed, MAX_DEPTH};
use super::format::{self as tag, Manifest, Reader, Truncated, unzigzag};
use super::known::{Known, is_library, walk};
use super::luac;
use super::stack::{Kind, REGISTRY, Stack};
use super::standard::NAMES;

const DEPS: c_int = 1;
const NUMBERED: c_int = 2;
/// So many that are numbered have places of their own: a call of a small function needs no table for them.
const FEW: usize = 8;

#[derive(Clone, Copy)]
pub(super) enum Frame {
    Table { at: c_int, next: i64, left: usize, meta: bool, stage: Stage },
    Function { at: c_int, number: u32, next: c_int, upvalues: c_int },
    Rebuilt { at: c_int, left: usize },
}

/// What of a table comes next.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Stage {
    Array,
    Key,
    Value,
    Meta,
    Done,
}

/// Buffers kept from message to message.
#[derive(Default)]
pub struct Buffers {
    frames: Vec<Frame>,
    /// The variables met: number of the function, and which of its upvalues.
    cells: Vec<(u32, c_int)>,
    /// Indexes in `Known::codes` of the message's codes.
    codes: Vec<u32>,
    scratch: Vec<u8>,
    path: String,
}

/// One message being read.
pub struct Decoder<'s, 'b> {
    pub(super) known: &'s mut Known,
    work: &'s mut Buffers,
    pub(super) manifest: &'s Manifest,
    pub(super) reader: Reader<'b>,
    /// How many things were numbered so far.
    numbered: u32,
    /// Elements for which room may still be made in advance.
    room: usize,
    /// Values being made anew whose globals are being read.
    pub(super) nesting: usize,
    /// Why decoding failed.
    pub failure: Option<ShipError>,
}

impl<'s, 'b> Decoder<'s, 'b> {
    /// `reader` stands behind the manifest.
    pub fn new(
        known: &'s mut Known,
        work: &'s mut Buffers,
        manifest: &'s Manifest,
        reader: Reader<'b>,
    ) -> Result<Self, ShipError> {
        work.frames.clear();
        work.cells.clear();
        work.codes.clear();
        for hash in &manifest.codes {
            work.codes.push(known.find_code(*hash).ok_or(ShipError::UnknownCode(*hash))?);
        }
        let room = reader.left();
        Ok(Self { known, work, manifest, reader, numbered: 0, room, nesting: 0, failure: None })
    }

    /// Pushes the values. Runs in a protected call that has the results of tasks on its stack.
    pub fn run(&mut self, stack: Stack) -> Result<(), Failed> {
        stack.set_top(DEPS);
        match i32::try_from(self.manifest.values) {
            Ok(values) if stack.reserve(values.saturating_add(16 + FEW as c_int)) => {}
            _ => return Err(self.corrupt("more values than fit on the stack")),
        }
        let references = self.manifest.references.min(c_int::MAX as usize) as c_int;
        if self.are_few() {
            stack.set_top(DEPS + references);
        } else {
            stack.push_table_raises(references, 0);
        }
        for _ in 0..self.manifest.values {
            self.graph(stack)?;
        }
        self.globals(stack)?;
        if !self.reader.accept(tag::END) || self.reader.left() > 0 {
            return Err(self.corrupt("it does not end where it should"));
        }
        Ok(())
    }

    /// Has each thing that is numbered a place on the stack?
    fn are_few(&self) -> bool {
        self.manifest.references <= FEW
    }

    /// What lies below the values when `run` is done.
    pub fn below(&self) -> c_int {
        DEPS + if self.are_few() { self.manifest.references as c_int } else { 1 }
    }

    /// Reads globals into their environments.
    pub(super) fn globals(&mut self, stack: Stack) -> Result<(), Failed> {
        while self.reader.accept(tag::GLOBAL) {
            let base = stack.top();
            let environment = self.uint()?;
            self.push_numbered(stack, environment)?;
            if stack.kind(-1) != Kind::Table {
                return Err(self.corrupt("a global of something that is no environment"));
            }
            let name = self.string()?;
            stack.push_bytes_raises(name);
            self.graph(stack)?;
            stack.raw_set_raises(base + 1);
            stack.set_top(base);
        }
        Ok(())
    }

    /// Reads one value and all that hangs on it; pushes it.
    fn graph(&mut self, stack: Stack) -> Result<(), Failed> {
        let base = self.work.frames.len();
        loop {
            let mut whole = self.value(stack)?; // it lies at the top
            loop {
                if self.work.frames.len() == base {
                    return Ok(());
                }
                if whole {
                    self.deliver(stack)?;
                }
                if self.wants_value(stack)? {
                    break;
                }
                self.work.frames.pop();
                whole = true;
            }
        }
    }

    /// Hands the value at the top to the innermost unfinished table or function.
    fn deliver(&mut self, stack: Stack) -> Result<(), Failed> {
        let kind = stack.kind(-1);
        let problem = match self.work.frames.last_mut() {
            None => None,
            Some(Frame::Function { at, next, .. }) => {
                stack.set_upvalue(*at, *next);
                *next += 1;
                None
            }
            Some(Frame::Rebuilt { left, .. }) => {
                *left -= 1;
                None
            }
            Some(Frame::Table { at, next, left, stage, .. }) => match stage {
                Stage::Array => {
                    *next += 1;
                    *left -= 1;
                    stack.raw_set_i_raises(*at, *next - 1);
                    None
                }
                Stage::Key if kind == Kind::Nil => Some("nil as a key"),
                Stage::Key if kind == Kind::Float && stack.float(-1).is_nan() => Some("NaN as a key"),
                Stage::Key => {
                    *stage = Stage::Value;
                    None
                }
                Stage::Value => {
                    *stage = Stage::Key;
                    stack.raw_set_raises(*at);
                    None
                }
                Stage::Meta | Stage::Done => {
                    *stage = Stage::Done;
                    match kind {
                        Kind::Table => stack.set_metatable(*at),
                        _ => stack.set_top(-2), // a class of the library that this side does not have
                    }
                    None
                }
            },
        };
        problem.map_or(Ok(()), |what| Err(self.corrupt(what)))
    }

    /// Does the innermost unfinished table or function want another value? If not it is complete, and so is
    /// the whole when there is none.
    fn wants_value(&mut self, stack: Stack) -> Result<bool, Failed> {
        match self.work.frames.last_mut() {
            None => Ok(false),
            Some(Frame::Table { left, meta, stage, .. }) => {
                if *stage == Stage::Array && *left == 0 {
                    *stage = Stage::Key;
                }
                if *stage == Stage::Key && self.reader.accept(tag::END) {
                    *stage = if *meta { Stage::Meta } else { Stage::Done };
                }
                Ok(*stage != Stage::Done)
            }
            Some(Frame::Function { .. }) => self.wants_upvalue(stack),
            Some(Frame::Rebuilt { at, left: 0 }) => {
                let at = *at;
                self.rebuild(stack, at).map(|()| false)
            }
            Some(Frame::Rebuilt { .. }) => Ok(true),
        }
    }

    /// Joins variables that were met before; true at a new one.
    fn wants_upvalue(&mut self, stack: Stack) -> Result<bool, Failed> {
        while let Some(Frame::Function { at, number, next, upvalues }) = self.work.frames.last().copied()
            && next <= upvalues
        {
            match self.byte()? {
                tag::NEW => {
                    self.work.cells.push((number, next));
                    return Ok(true);
                }
                tag::CELL => {
                    let cell = self.uint()?;
                    let Some(&(owner, upvalue)) = self.work.cells.get(cell as usize) else {
                        return Err(self.corrupt("a variable that was not met before"));
                    };
                    self.push_kept(stack, owner);
                    stack.join_upvalue(at, next, stack.top(), upvalue);
                    stack.set_top(-2);
                    self.work.frames.pop();
                    self.work.frames.push(Frame::Function { at, number, next: next + 1, upvalues });
                }
                _ => return Err(self.corrupt("an upvalue of unknown kind")),
            }
        }
        Ok(false)
    }

    /// Reads and pushes a value; false if it is a table or function that has only been begun.
    fn value(&mut self, stack: Stack) -> Result<bool, Failed> {
        match self.byte()? {
            tag::NIL => stack.push_nil(),
            tag::FALSE => stack.push_boolean(false),
            tag::TRUE => stack.push_boolean(true),
            tag::INTEGER => stack.push_integer(unzigzag(self.uint()?)),
            tag::FLOAT => {
                let bytes = self.take(8)?;
                stack.push_float(float(bytes));
            }
            tag::BYTES => {
                let bytes = self.string()?;
                stack.push_bytes_raises(bytes);
            }
            tag::STRING => {
                let bytes = self.string()?;
                stack.push_bytes_raises(bytes);
                self.number(stack)?;
            }
            tag::REF => {
                let number = self.uint()?;
                self.push_numbered(stack, number)?;
            }
            tag::STANDARD => self.standard(stack)?,
            tag::NAMED => self.named(stack)?,
            tag::ENVIRONMENT => self.environment(stack)?,
            tag::FUTURE => {
                let dep = self.uint()?;
                if dep >= self.manifest.deps.len() as u64 || stack.kind(DEPS) != Kind::Table {
                    return Err(self.corrupt("the result of a task that is not in its list"));
                }
                stack.raw_get_i(DEPS, dep as i64 + 1);
            }
            tag::ARTEFACT => self.artefact(stack)?,
            tag::TABLE => return self.table(stack, false).map(|()| false),
            tag::TABLE_META => return self.table(stack, true).map(|()| false),
            tag::FUNCTION => return self.function(stack).map(|()| false),
            tag::REBUILT => return self.rebuilt(stack).map(|()| false),
            tag::SHARED => self.shared(stack)?,
            _ => return Err(self.corrupt("a value of unknown kind")),
        }
        Ok(true)
    }

    /// Gives the value at the top the next number.
    pub(super) fn number(&mut self, stack: Stack) -> Result<u32, Failed> {
        let number = self.numbered;
        if number as usize >= self.manifest.references {
            return Err(self.corrupt("more references than announced"));
        }
        self.numbered += 1;
        stack.push_copy(-1);
        if self.are_few() {
            stack.replace(NUMBERED + number as c_int);
        } else {
            stack.raw_set_i_raises(NUMBERED, i64::from(number) + 1);
        }
        Ok(number)
    }

    fn push_numbered(&mut self, stack: Stack, number: u64) -> Result<(), Failed> {
        if number >= u64::from(self.numbered) {
            return Err(self.corrupt("a reference to what has not come yet"));
        }
        self.push_kept(stack, number as u32);
        Ok(())
    }

    /// Pushes what has this number.
    fn push_kept(&self, stack: Stack, number: u32) {
        if self.are_few() {
            stack.push_copy(NUMBERED + number as c_int);
        } else {
            stack.raw_get_i(NUMBERED, i64::from(number) + 1);
        }
    }

    fn standard(&mut self, stack: Stack) -> Result<(), Failed> {
        let number = self.uint()?;
        if number >= NAMES.len() as u64 {
            return Err(self.corrupt("an unknown standard value"));
        }
        stack.raw_get_i(REGISTRY, self.known.kept.standard.into());
        stack.raw_get_i(stack.top(), number as i64 + 1);
        stack.remove(-2);
        Ok(())
    }

    /// What a value refers to is not here.
    fn absent(&mut self, module: &[u8], path: &[u8], why: String) -> Failed {
        let name = String::from_utf8_lossy(module).into_owned();
        // What of the library is there and fails says why.
        let fails = path.is_empty() && !why.contains("not found:");
        self.failure = Some(match path {
            _ if !is_library(module) || fails => ShipError::Module { name, why },
            b"" => ShipError::ScriptOnly(name),
            path => ShipError::ScriptOnly(format!("{name}.{}", String::from_utf8_lossy(path))),
        });
        Failed
    }

    /// A module or a member of one. A metatable may be missing: records of the library are then plain tables.
    fn named(&mut self, stack: Stack) -> Result<(), Failed> {
        let (module, path) = (self.string()?, self.string()?);
        let base = stack.top();
        let is_metatable = matches!(self.work.frames.last(), Some(Frame::Table { stage: Stage::Meta, .. }));
        let may_be_missing = is_metatable && is_library(module);
        stack.raw_get_i(REGISTRY, self.known.kept.loaded.into());
        stack.push_bytes_raises(module);
        stack.raw_get(base + 1);
        if stack.kind(-1) == Kind::Nil {
            stack.raw_get_i(REGISTRY, self.known.kept.require.into());
            stack.push_bytes_raises(module);
            if !stack.call_protected(1) {
                let why =
                    if stack.kind(-1) == Kind::String { stack.bytes(-1) } else { b"it raised an error" };
                if !may_be_missing {
                    return Err(self.absent(module, path, String::from_utf8_lossy(why).into_owned()));
                }
                stack.set_top(base);
                stack.push_nil();
            }
        }
        if !path.is_empty() {
            let module_at = stack.top();
            if !walk(stack, module_at, path) {
                if !may_be_missing {
                    let why = format!("it has no member '{}' here", String::from_utf8_lossy(path));
                    return Err(self.absent(module, path, why));
                }
                stack.push_nil();
            }
        }
        stack.push_copy(-1);
        stack.replace(base + 1);
        stack.set_top(base + 1);
        self.number(stack).map(|_| ())
    }

    /// A new table of globals, through which those of this side are seen.
    fn environment(&mut self, stack: Stack) -> Result<(), Failed> {
        stack.push_table_raises(0, 2);
        let at = stack.top();
        stack.push_bytes_raises(b"_G");
        stack.push_copy(at);
        stack.raw_set_raises(at);
        stack.raw_get_i(REGISTRY, self.known.kept.environment_meta.into());
        stack.set_metatable(at);
        self.number(stack).map(|_| ())
    }

    fn artefact(&mut self, stack: Stack) -> Result<(), Failed> {
        let index = self.uint()?;
        let Some(hash) = self.manifest.artefacts.get(index as usize) else {
            return Err(self.corrupt("an artefact that is not in its list"));
        };
        self.work.path.clear();
        let _ = write!(self.work.path, "{}/{}", self.known.store_dir, hash.object_path());
        stack.push_bytes_raises(self.work.path.as_bytes());
        Ok(())
    }

    pub(super) fn begin(&mut self, stack: Stack, frame: Frame) -> Result<(), Failed> {
        if self.work.frames.len() >= MAX_DEPTH || !stack.reserve(10) {
            return Err(self.corrupt("values nested too deeply"));
        }
        self.work.frames.push(frame);
        Ok(())
    }

    fn table(&mut self, stack: Stack, meta: bool) -> Result<(), Failed> {
        let floats = self.count(8)?;
        let packed = self.take(8 * floats)?;
        let left = self.count(1)?;
        let room = left.min(self.room);
        self.room -= room;
        let at = stack.top() + 1;
        let next = floats as i64 + 1;
        self.begin(stack, Frame::Table { at, next, left, meta, stage: Stage::Array })?;
        stack.push_table_raises((floats + room).min(c_int::MAX as usize) as c_int, 0);
        self.number(stack)?;
        for (i, bytes) in (1..).zip(packed.chunks_exact(8)) {
            stack.push_float(float(bytes));
            stack.raw_set_i_raises(at, i);
        }
        Ok(())
    }

    fn function(&mut self, stack: Stack) -> Result<(), Failed> {
        let index = self.uint()?;
        let Some(&code) = self.work.codes.get(index as usize) else {
            return Err(self.corrupt("bytecode that is not in its list"));
        };
        let upvalues = self.known.codes[code as usize].chunk.upvalues as c_int;
        let at = stack.top() + 1;
        self.begin(stack, Frame::Function { at, number: self.numbered, next: 1, upvalues })?;
        match self.known.codes[code as usize].factory {
            Some(factory) => stack.raw_get_i(REGISTRY, factory.into()),
            None => self.load_factory(stack, code as usize)?,
        }
        stack.call_factory_raises();
        self.number(stack).map(|_| ())
    }

    /// Loads bytecode, which was learned under its hash, and pushes the function that makes closures of it.
    fn load_factory(&mut self, stack: Stack, code: usize) -> Result<(), Failed> {
        let learned = &self.known.codes[code];
        self.work.scratch = luac::factory(&learned.bytes, learned.chunk.upvalues);
        if !stack.load_bytecode_raises(&self.work.scratch) {
            self.failure = Some(ShipError::BadCode { hash: learned.hash, why: "Lua does not load it" });
            return Err(Failed);
        }
        self.work.scratch = Vec::new();
        stack.push_copy(-1);
        self.known.codes[code].factory = Some(stack.keep_raises());
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Failed> {
        self.reader.byte().map_err(|Truncated(what)| self.corrupt(what))
    }

    pub(super) fn uint(&mut self) -> Result<u64, Failed> {
        self.reader.uint().map_err(|Truncated(what)| self.corrupt(what))
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Failed> {
        self.reader.take(count).map_err(|Truncated(what)| self.corrupt(what))
    }

    pub(super) fn count(&mut self, item_bytes: usize) -> Result<usize, Failed> {
        self.reader.count(item_bytes).map_err(|Truncated(what)| self.corrupt(what))
    }

    fn string(&mut self) -> Result<&'b [u8], Failed> {
        self.reader.string().map_err(|Truncated(what)| self.corrupt(what))
    }

    #[cold]
    pub(super) fn corrupt(&mut self, what: &'static str) -> Failed {
        self.failure = Some(ShipError::Corrupt { at: self.reader.at, what });
        Failed
    }
}

fn float(bytes: &[u8]) -> f64 {
    bytes.try_into().map_or(f64::NAN, f64::from_le_bytes)
}
