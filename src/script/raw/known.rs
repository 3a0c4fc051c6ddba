//! What a state knows by name or number and need not copy: standard values, modules, members of the
//! library, bytecode, names of globals, and how to recognise environments and futures.
//!
//! Identity is an address, so whatever is remembered here longer than one message is also kept alive here.
//! Knows nothing of messages.

use std::ffi::c_int;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::luac::{self, Chunk, ChunkError};
use super::stack::{Kind, REGISTRY, Stack};
use super::standard::NAMES;
use crate::model::Hash;

/// Name in the registry of the table of where modules were loaded from.
pub const LOADED_FROM: &str = "harness.loaded_from";

/// How a value is called on both ends.
#[derive(Clone, Copy)]
pub enum Name {
    /// Index in `standard::NAMES`.
    Standard(u32),
    /// Index in `Known::members`.
    Member(u32),
}

/// Members of modules below this many tables are not looked for.
const MAX_MEMBER_DEPTH: usize = 6;

/// A value that a module holds.
pub struct Member {
    pub module: Box<[u8]>,
    /// `Point` or `Point.area`; empty for the module itself.
    pub path: Box<[u8]>,
}

/// A value that travels by the hash of its encoding.
#[derive(Default)]
pub struct Share {
    /// What the other end needs to unpack it: numbers of codes, artefacts.
    pub codes: Vec<u32>,
    pub artefacts: Vec<Hash>,
    /// Registry number of the value, where it was unpacked.
    pub value: Option<c_int>,
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
    pub well: u32,
    pub outcome: u32,
    pub kind: u32,
    pub artefact: u32,
    pub hash: u32,
    pub ship: u32,
    pub index: u32,
}

/// See the module.
pub struct Known {
    pub codes: Vec<Code>,
    by_hash: FxHashMap<Hash, u32>,
    pub members: Vec<Member>,
    by_address: FxHashMap<usize, Name>,
    /// Names of globals and fields, each also kept as a Lua string.
    pub names: Vec<Box<[u8]>>,
    name_numbers: FxHashMap<Box<[u8]>, u32>,
    pub fields: Fields,
    /// Number of the current message; 0 before the first.
    pub message: u64,
    /// The message for which the modules are up to date.
    modules_read: u64,
    /// Where the member is that is being named.
    member_path: Vec<u8>,
    /// Addresses of what was looked at below one module.
    visited: FxHashSet<usize>,
    /// What was shared here (without a value) or came from the other end.
    pub shares: FxHashMap<Hash, Share>,
    /// Address of the metatable of shared values; 0 if there are none.
    pub share_meta: usize,
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
    /// Module name -> chunk name or path it was loaded from.
    pub loaded_from: c_int,
}

impl Known {
    pub fn new() -> Self {
        Self {
            codes: Vec::new(),
            by_hash: FxHashMap::default(),
            members: Vec::new(),
            by_address: FxHashMap::default(),
            names: Vec::new(),
            name_numbers: FxHashMap::default(),
            fields: Fields::default(),
            message: 0,
            modules_read: 0,
            member_path: Vec::new(),
            visited: FxHashSet::default(),
            shares: FxHashMap::default(),
            share_meta: 0,
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
        stack.push_bytes_raises(LOADED_FROM.as_bytes());
        stack.raw_get(REGISTRY);
        self.kept.loaded_from = stack.keep_raises();
        self.fields = Fields {
            id: self.add_name(stack, |_| b"id"),
            ended: self.add_name(stack, |_| b"ended"),
            well: self.add_name(stack, |_| b"well"),
            outcome: self.add_name(stack, |_| b"outcome"),
            kind: self.add_name(stack, |_| b"kind"),
            artefact: self.add_name(stack, |_| b"artefact"),
            hash: self.add_name(stack, |_| b"hash"),
            ship: self.add_name(stack, |_| b"__ship"),
            index: self.add_name(stack, |_| b"__index"),
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

    /// Is the value at this address, with this metatable, a table of globals?
    pub fn is_environment(&self, address: usize, metatable: usize) -> bool {
        address == self.globals || metatable == self.environment_meta
    }

    /// Names the modules that were loaded meanwhile and what they hold, at most once a message. Runs in a
    /// protected call.
    ///
    /// The functions of a module go by name, and the tables that hold functions: classes, namespaces. Tables
    /// without are data, which the script may have changed: they go by value. So does what others put into
    /// a module's tables: the other side does not have it. Modules that did not come from a file are not there.
    pub fn read_modules(&mut self, stack: Stack) {
        if std::mem::replace(&mut self.modules_read, self.message) == self.message {
            return;
        }
        stack.raw_get_i(REGISTRY, self.kept.loaded.into());
        let loaded = stack.top();
        stack.raw_get_i(REGISTRY, self.kept.loaded_from.into());
        stack.push_nil();
        while stack.next(loaded) {
            let address = stack.pointer(-1);
            let is_new = matches!(stack.kind(-1), Kind::Table | Kind::Function | Kind::CFunction)
                && address != self.globals
                && self.name(address).is_none();
            if is_new && stack.kind(loaded + 2) == Kind::String {
                let name = stack.bytes(loaded + 2);
                stack.push_copy(loaded + 2);
                stack.raw_get(loaded + 1);
                let file = (stack.kind(-1) == Kind::String).then(|| stack.bytes(-1));
                if file.is_some() || is_library(name) {
                    stack.push_copy(loaded + 3);
                    self.member_path.clear();
                    self.visited.clear();
                    self.read_member(stack, name, file, 0);
                }
            }
            stack.set_top(loaded + 2);
        }
        stack.set_top(loaded - 1);
    }

    /// Names the value at the top, unless it is data, and what it holds; pops it. `file` is the chunk name of
    /// the functions that are the module's own; none for the library, all of whose functions are.
    fn read_member(&mut self, stack: Stack, module: &[u8], file: Option<&[u8]>, depth: usize) {
        let at = stack.top();
        let address = stack.pointer(at);
        let is_table = stack.kind(at) == Kind::Table;
        if !self.by_address.contains_key(&address) && self.visited.insert(address) {
            if depth == 0 || !is_table || self.holds_functions(stack, file) {
                let number = self.members.len() as u32;
                self.members.push(Member { module: module.into(), path: self.member_path.as_slice().into() });
                self.by_address.insert(address, Name::Member(number));
                stack.push_copy(at);
                stack.keep_raises(); // its address is remembered
            }
            if is_table && depth < MAX_MEMBER_DEPTH && stack.reserve(8) {
                self.read_fields(stack, module, file, depth);
            }
        }
        stack.set_top(at - 1);
    }

    fn read_fields(&mut self, stack: Stack, module: &[u8], file: Option<&[u8]>, depth: usize) {
        let at = stack.top();
        stack.push_nil();
        while stack.next(at) {
            let nameable = stack.kind(at + 1) == Kind::String && !stack.bytes(at + 1).contains(&b'.');
            if nameable && (stack.kind(at + 2) == Kind::Table || is_own_function(stack, file)) {
                let length = self.member_path.len();
                if length > 0 {
                    self.member_path.push(b'.');
                }
                self.member_path.extend_from_slice(stack.bytes(at + 1));
                stack.push_copy(at + 2);
                self.read_member(stack, module, file, depth + 1);
                self.member_path.truncate(length);
            }
            stack.set_top(at + 1);
        }
    }

    /// Has the table at the top functions of its module, or is it a class?
    fn holds_functions(&self, stack: Stack, file: Option<&[u8]>) -> bool {
        let at = stack.top();
        if !stack.reserve(8) {
            return false;
        }
        self.push_name(stack, self.fields.index);
        stack.raw_get(at);
        let mut found = stack.kind(-1) != Kind::Nil;
        stack.set_top(at);
        stack.push_nil();
        while !found && stack.next(at) {
            found = is_own_function(stack, file);
            stack.set_top(at + 1);
        }
        stack.set_top(at);
        found
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

    /// Stops the collector until the message is written.
    pub fn rest_collector(&mut self, stack: Stack) {
        if !self.collector_stopped {
            self.collector_stopped = stack.stop_collector();
        }
    }

    /// Numbers a name. The collector rests until the message is written, for it may be under way.
    fn add_name(&mut self, stack: Stack, name: impl Fn(&Self) -> &[u8]) -> u32 {
        self.rest_collector(stack);
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

/// Is this a module that harness brings along on both sides?
pub fn is_library(module: &[u8]) -> bool {
    module == b"harness" || module.starts_with(b"harness.")
}

/// Is the value at the top a function written in this file? Of those in C it cannot be told.
fn is_own_function(stack: Stack, file: Option<&[u8]>) -> bool {
    match (stack.kind(-1), file) {
        (Kind::CFunction, _) | (Kind::Function, None) => true,
        (Kind::Function, Some(file)) => stack.source_of_function() == file,
        _ => false,
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
