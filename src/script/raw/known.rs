//! What a state knows by name or number and need not copy: standard values, modules, members of the
//! library, bytecode, names of globals, and how to recognise environments and futures.
//!
//! Identity is an address, so whatever is remembered here longer than one message is also kept alive here.
//! Knows nothing of messages.

use std::ffi::c_int;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::luac::{self, Chunk, ChunkError};
use super::stack::{Kind, REGISTRY, Stack};
use super::standard::NAMES;
use crate::model::Hash;

/// How a value is called on both ends.
#[derive(Clone, Copy)]
pub enum Name {
    /// Index in `standard::NAMES`.
    Standard(u32),
    /// Index in `Known::members`.
    Member(u32),
}

/// A value of a module of the library.
pub struct Member {
    pub module: Box<[u8]>,
    /// `Future` or `Future.wait`; empty for the module itself.
    pub path: Box<[u8]>,
}

/// Bytecode of one function.
pub struct Code {
    pub hash: Hash,
    pub bytes: Rc<[u8]>,
    pub chunk: Chunk,
    /// Numbers of the names of the globals it reads.
    pub globals: Vec<u32>,
    /// Registry number of the function that makes closures of it, once one was needed.
    pub factory: Option<c_int>,
    /// The message that used it last, and its index there.
    pub used: (u64, u32),
    /// Came from the other end (so it need not be sent there).
    pub learned: bool,
}

/// Numbers (in `Known::names`) of the fields of futures and records.
#[derive(Clone, Copy, Default)]
pub struct Fields {
    pub id: u32,
    pub ended: u32,
    pub ok: u32,
    pub value: u32,
    pub kind: u32,
    pub artefact: u32,
}

/// See the module.
pub struct Known {
    pub codes: Vec<Code>,
    by_hash: FxHashMap<Hash, u32>,
    pub members: Vec<Member>,
    by_address: FxHashMap<usize, Name>,
    /// User modules: name and the message in which they were seen last.
    modules: FxHashMap<usize, (Box<[u8]>, u64)>,
    /// Names of globals and fields, each also kept as a Lua string.
    pub names: Vec<Box<[u8]>>,
    name_numbers: FxHashMap<Box<[u8]>, u32>,
    pub fields: Fields,
    /// Number of the current message; 0 before the first.
    pub message: u64,
    /// The message for which `modules` is up to date.
    modules_read: u64,
    /// Stopped on a rare path; whoever called us starts it again.
    pub collector_stopped: bool,
    dump: Vec<u8>,
    /// Address of the table of globals.
    pub globals: usize,
    /// Address of the metatable of task environments.
    pub environment_meta: usize,
    /// Address of the metatable of futures; 0 if there are none.
    pub future_meta: usize,
    /// Folder of the artefacts.
    pub store_dir: String,
    pub kept: Kept,
}

/// Registry numbers.
#[derive(Clone, Copy, Default)]
pub struct Kept {
    /// Sequence of the standard values.
    pub standard: c_int,
    /// Weak: function -> number of its code.
    pub memo: c_int,
    /// Sequence of `Known::names` as Lua strings.
    pub names: c_int,
    /// Metatable of task environments.
    pub environment_meta: c_int,
    /// Sequence of the environments of the current message.
    pub environments: c_int,
    /// `package.loaded`.
    pub loaded: c_int,
    /// `require`.
    pub require: c_int,
}

impl Known {
    pub fn new() -> Self {
        Self {
            codes: Vec::new(),
            by_hash: FxHashMap::default(),
            members: Vec::new(),
            by_address: FxHashMap::default(),
            modules: FxHashMap::default(),
            names: Vec::new(),
            name_numbers: FxHashMap::default(),
            fields: Fields::default(),
            message: 0,
            modules_read: 0,
            collector_stopped: false,
            dump: Vec::new(),
            globals: 0,
            environment_meta: 0,
            future_meta: 0,
            store_dir: String::new(),
            kept: Kept::default(),
        }
    }

    /// Makes the tables of this state. Runs in a protected call.
    pub fn set_up(&mut self, stack: Stack) {
        stack.push_globals();
        let globals = stack.top();
        self.globals = stack.pointer(globals);
        let new_table = |kept: &mut c_int| {
            stack.push_table_raises(0, 0);
            *kept = stack.keep_raises();
        };
        new_table(&mut self.kept.standard);
        new_table(&mut self.kept.names);
        new_table(&mut self.kept.environments);

        let table_with = |key: &[u8], push_value: &dyn Fn()| {
            stack.push_table_raises(0, 2);
            stack.push_bytes_raises(key);
            push_value();
            stack.raw_set_raises(stack.top() - 2);
        };
        stack.push_table_raises(0, 0);
        table_with(b"__mode", &|| stack.push_bytes_raises(b"k"));
        stack.set_metatable(stack.top() - 1);
        self.kept.memo = stack.keep_raises();

        // A task sees the globals of its side through its environment; with the metatable hidden it cannot
        // redirect the environments of other tasks.
        table_with(b"__index", &|| stack.push_copy(globals));
        stack.push_bytes_raises(b"__metatable");
        stack.push_boolean(false);
        stack.raw_set_raises(stack.top() - 2);
        self.environment_meta = stack.pointer(-1);
        self.kept.environment_meta = stack.keep_raises();

        if walk(stack, globals, b"package.loaded") {
            self.kept.loaded = stack.keep_raises();
        }
        if walk(stack, globals, b"require") {
            self.kept.require = stack.keep_raises();
        }
        self.fields = Fields {
            id: self.add_name(stack, |_| b"id"),
            ended: self.add_name(stack, |_| b"ended"),
            ok: self.add_name(stack, |_| b"ok"),
            value: self.add_name(stack, |_| b"value"),
            kind: self.add_name(stack, |_| b"kind"),
            artefact: self.add_name(stack, |_| b"artefact"),
        };
        self.read_standard(stack);
        stack.set_top(globals - 1);
    }

    /// Notes the present values of the standard names, besides earlier ones. Runs in a protected call.
    pub fn read_standard(&mut self, stack: Stack) {
        stack.push_globals();
        let globals = stack.top();
        stack.raw_get_i(REGISTRY, self.kept.standard.into());
        for (number, name) in (0u32..).zip(NAMES) {
            if walk(stack, globals, name.as_bytes()) {
                if self.by_address.insert(stack.pointer(-1), Name::Standard(number)).is_none() {
                    stack.push_copy(-1);
                    stack.keep_raises(); // also after it is replaced: its address is remembered
                }
                stack.raw_set_i_raises(globals + 1, i64::from(number) + 1);
            }
        }
        stack.set_top(globals - 1);
    }

    /// The name of the value at this address, if it goes by name.
    pub fn name(&self, address: usize) -> Option<Name> {
        self.by_address.get(&address).copied()
    }

    /// The name of the module at this address. Call `read_modules` first.
    pub fn module(&self, address: usize) -> Option<&[u8]> {
        let (name, message) = self.modules.get(&address)?;
        (*message == self.message).then_some(name)
    }

    /// Is the value at this address, with this metatable, a table of globals?
    pub fn is_environment(&self, address: usize, metatable: usize) -> bool {
        address == self.globals || metatable == self.environment_meta
    }

    /// Reads `package.loaded`, at most once a message. Runs in a protected call.
    pub fn read_modules(&mut self, stack: Stack) {
        if std::mem::replace(&mut self.modules_read, self.message) == self.message {
            return;
        }
        stack.raw_get_i(REGISTRY, self.kept.loaded.into());
        let loaded = stack.top();
        stack.push_nil();
        while stack.next(loaded) {
            let address = stack.pointer(-1);
            let shippable = matches!(stack.kind(-1), Kind::Table | Kind::Function);
            if shippable
                && stack.kind(-2) == Kind::String
                && address != self.globals
                && self.name(address).is_none()
            {
                let name = stack.bytes(-2);
                if name == b"harness" || name.starts_with(b"harness.") {
                    self.read_library_module(stack, name);
                } else {
                    match self.modules.get_mut(&address) {
                        Some((known, message)) if **known == *name => *message = self.message,
                        _ => _ = self.modules.insert(address, (name.into(), self.message)),
                    }
                }
            }
            stack.set_top(loaded + 1);
        }
        stack.set_top(loaded - 1);
    }

    /// Names the module at the top, its members, and the functions of its classes.
    fn read_library_module(&mut self, stack: Stack, module: &[u8]) {
        let at = stack.top();
        stack.push_copy(at);
        self.add_member(stack, module, &[], &[]);
        if stack.kind(at) != Kind::Table || !stack.reserve(8) {
            return;
        }
        stack.push_nil();
        while stack.next(at) {
            if stack.kind(at + 1) == Kind::String {
                let field = stack.bytes(at + 1);
                if stack.kind(at + 2) == Kind::Table {
                    stack.push_nil();
                    while stack.next(at + 2) {
                        let function = matches!(stack.kind(-1), Kind::Function | Kind::CFunction);
                        if function && stack.kind(at + 3) == Kind::String {
                            self.add_member(stack, module, field, stack.bytes(at + 3));
                        }
                        stack.set_top(at + 3);
                    }
                }
                if matches!(stack.kind(at + 2), Kind::Table | Kind::Function | Kind::CFunction) {
                    self.add_member(stack, module, field, &[]);
                }
            }
            stack.set_top(at + 1);
        }
    }

    /// Names and keeps the value at the top, which is popped.
    fn add_member(&mut self, stack: Stack, module: &[u8], field: &[u8], inner: &[u8]) {
        let address = stack.pointer(-1);
        stack.keep_raises();
        self.by_address.entry(address).or_insert_with(|| {
            let path = if inner.is_empty() { field.into() } else { [field, b".", inner].concat().into() };
            self.members.push(Member { module: module.into(), path });
            Name::Member(self.members.len() as u32 - 1)
        });
    }

    /// The code of the function at `index`, if this very closure was met before.
    pub fn code_memo(&self, stack: Stack, index: c_int) -> Option<u32> {
        stack.raw_get_i(REGISTRY, self.kept.memo.into());
        stack.push_copy(index);
        stack.raw_get(stack.top() - 1);
        let code = (stack.kind(-1) == Kind::Integer).then(|| stack.integer(-1) as u32);
        stack.set_top(-3);
        code
    }

    /// The code of the function at `index`. Runs in a protected call.
    pub fn code_of(&mut self, stack: Stack, index: c_int) -> Result<u32, ChunkError> {
        self.dump.clear();
        stack.push_copy(index);
        stack.dump(&mut self.dump);
        stack.set_top(-2);
        luac::canonicalise(&mut self.dump)?;
        let hash = Hash::of(&self.dump);
        let code = match self.by_hash.get(&hash) {
            Some(code) => *code,
            None => {
                let code = self.add_code(hash, self.dump.as_slice().into(), luac::read(&self.dump)?, false);
                self.name_globals(stack, code);
                code
            }
        };
        stack.raw_get_i(REGISTRY, self.kept.memo.into());
        stack.push_copy(index);
        stack.push_integer(code.into());
        stack.raw_set_raises(stack.top() - 2);
        stack.set_top(-2);
        Ok(code)
    }

    pub fn find_code(&self, hash: Hash) -> Option<u32> {
        self.by_hash.get(&hash).copied()
    }

    pub fn add_code(&mut self, hash: Hash, bytes: Rc<[u8]>, chunk: Chunk, learned: bool) -> u32 {
        let number = self.codes.len() as u32;
        self.codes.push(Code {
            hash,
            bytes,
            chunk,
            globals: Vec::new(),
            factory: None,
            used: (0, 0),
            learned,
        });
        self.by_hash.insert(hash, number);
        number
    }

    /// Numbers the names of the globals that a code reads, when it is sent first. Runs in a protected call.
    pub fn name_globals(&mut self, stack: Stack, code: u32) {
        let code = code as usize;
        for i in self.codes[code].globals.len()..self.codes[code].chunk.globals.len() {
            let known = self.name_numbers.get(&self.codes[code].chunk.globals[i]).copied();
            let number = match known {
                Some(number) => number,
                None => self.add_name(stack, |known| &known.codes[code].chunk.globals[i]),
            };
            self.codes[code].globals.push(number);
        }
    }

    /// Numbers a name. The collector rests until the message is written, for it may be under way.
    pub fn add_name(&mut self, stack: Stack, name: impl Fn(&Self) -> &[u8]) -> u32 {
        if !self.collector_stopped {
            self.collector_stopped = stack.stop_collector();
        }
        let number = self.names.len() as u32;
        stack.raw_get_i(REGISTRY, self.kept.names.into());
        stack.push_bytes_raises(name(self));
        stack.raw_set_i_raises(stack.top() - 1, i64::from(number) + 1);
        stack.set_top(-2);
        let name: Box<[u8]> = name(self).into();
        self.names.push(name.clone());
        self.name_numbers.insert(name, number);
        number
    }

    /// Pushes a name as a Lua string.
    pub fn push_name(&self, stack: Stack, number: u32) {
        stack.raw_get_i(REGISTRY, self.kept.names.into());
        stack.raw_get_i(stack.top(), i64::from(number) + 1);
        stack.remove(-2);
    }
}

/// Pushes the value at a dotted path below a table, raw; nothing (and false) if there is none.
pub fn walk(stack: Stack, table: c_int, path: &[u8]) -> bool {
    stack.push_copy(table);
    for part in path.split(|byte| *byte == b'.') {
        if stack.kind(-1) != Kind::Table {
            stack.set_top(-2);
            return false;
        }
        stack.push_bytes_raises(part);
        stack.raw_get(stack.top() - 1);
        stack.remove(-2);
    }
    if stack.kind(-1) == Kind::Nil {
        stack.set_top(-2);
        return false;
    }
    true
}
