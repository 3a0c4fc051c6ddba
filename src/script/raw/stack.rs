//! A thin view of the raw Lua stack, so that encoder and decoder read as what they do.
//!
//! The methods are the C API's with Rust types. Two kinds exist, and the names of the second say so:
//! reading and raw access can neither raise an error nor run user code nor collect garbage; methods that
//! end in `_raises` may raise (out of memory), so they are called only inside a protected call ([`protected`], or that of mlua's
//! `exec_raw`), from frames that own nothing. This module knows nothing of what is shipped.

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua::ffi::{self, lua_State};

/// A live state, seen from a C function.
///
/// Whoever makes one promises that the state outlives it, that the indexes handed to the methods are valid,
/// and that `reserve` was asked before pushing beyond `LUA_MINSTACK`.
#[derive(Clone, Copy)]
pub struct Stack(*mut lua_State);

/// What can lie at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nil,
    Boolean,
    LightUserdata,
    Integer,
    Float,
    String,
    Table,
    Function,
    CFunction,
    Userdata,
    Thread,
}

impl Kind {
    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::LightUserdata => "light userdata",
            Kind::Integer | Kind::Float => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::CFunction => "C function",
            Kind::Userdata => "userdata",
            Kind::Thread => "coroutine",
        }
    }
}

pub const REGISTRY: c_int = ffi::LUA_REGISTRYINDEX;

impl Stack {
    /// # Safety
    /// What the type promises, of it and of the indexes and values its methods are given.
    pub unsafe fn new(state: *mut lua_State) -> Self {
        Self(state)
    }

    pub fn top(self) -> c_int {
        // SAFETY: the state is live (`Stack::new`); this only reads.
        unsafe { ffi::lua_gettop(self.0) }
    }

    pub fn set_top(self, top: c_int) {
        // SAFETY: the state is live and the index valid (`Stack::new`); nothing on the stack is to be closed, so
        // no user code runs.
        unsafe { ffi::lua_settop(self.0, top) }
    }

    /// Makes room for `count` more values; false if the stack cannot grow.
    #[must_use]
    pub fn reserve(self, count: c_int) -> bool {
        // SAFETY: the state is live (`Stack::new`); it says so if there is no memory, and raises nothing.
        unsafe { ffi::lua_checkstack(self.0, count) != 0 }
    }

    pub fn kind(self, index: c_int) -> Kind {
        // SAFETY: the state is live and the index valid (`Stack::new`); this only reads.
        unsafe {
            match ffi::lua_type(self.0, index) {
                ffi::LUA_TBOOLEAN => Kind::Boolean,
                ffi::LUA_TLIGHTUSERDATA => Kind::LightUserdata,
                ffi::LUA_TNUMBER if ffi::lua_isinteger(self.0, index) != 0 => Kind::Integer,
                ffi::LUA_TNUMBER => Kind::Float,
                ffi::LUA_TSTRING => Kind::String,
                ffi::LUA_TTABLE => Kind::Table,
                ffi::LUA_TFUNCTION if ffi::lua_iscfunction(self.0, index) != 0 => Kind::CFunction,
                ffi::LUA_TFUNCTION => Kind::Function,
                ffi::LUA_TUSERDATA => Kind::Userdata,
                ffi::LUA_TTHREAD => Kind::Thread,
                _ => Kind::Nil,
            }
        }
    }

    /// Identity of a collectable value or C function; 0 for others.
    pub fn pointer(self, index: c_int) -> usize {
        // SAFETY: the state is live and the index valid (`Stack::new`); this only reads.
        unsafe { ffi::lua_topointer(self.0, index) as usize }
    }

    pub fn boolean(self, index: c_int) -> bool {
        // SAFETY: the state is live and the index valid (`Stack::new`); this only reads.
        unsafe { ffi::lua_toboolean(self.0, index) != 0 }
    }

    pub fn integer(self, index: c_int) -> i64 {
        // SAFETY: the state is live and the index valid (`Stack::new`); a null pointer means nobody asks whether
        // it was a number.
        unsafe { ffi::lua_tointegerx(self.0, index, std::ptr::null_mut()) }
    }

    pub fn float(self, index: c_int) -> f64 {
        // SAFETY: the state is live and the index valid (`Stack::new`); a null pointer means nobody asks whether
        // it was a number.
        unsafe { ffi::lua_tonumberx(self.0, index, std::ptr::null_mut()) }
    }

    /// The bytes of a string. Asked of a string only (a number would be converted in place); valid while
    /// the string is reachable.
    pub fn bytes<'a>(self, index: c_int) -> &'a [u8] {
        debug_assert_eq!(self.kind(index), Kind::String);
        let mut length = 0;
        // SAFETY: of a string Lua gives its own bytes, which stay where they are while it is reachable.
        unsafe {
            let start = ffi::lua_tolstring(self.0, index, &mut length);
            if start.is_null() { &[] } else { std::slice::from_raw_parts(start.cast(), length) }
        }
    }

    pub fn raw_len(self, index: c_int) -> i64 {
        // SAFETY: the state is live and the index valid (`Stack::new`); this only reads.
        unsafe { ffi::lua_rawlen(self.0, index) as i64 }
    }

    pub fn push_nil(self) {
        // SAFETY: the state is live, and room was asked for (`Stack::new`).
        unsafe { ffi::lua_pushnil(self.0) }
    }

    pub fn push_boolean(self, value: bool) {
        // SAFETY: the state is live, and room was asked for (`Stack::new`).
        unsafe { ffi::lua_pushboolean(self.0, value.into()) }
    }

    pub fn push_integer(self, value: i64) {
        // SAFETY: the state is live, and room was asked for (`Stack::new`).
        unsafe { ffi::lua_pushinteger(self.0, value) }
    }

    pub fn push_float(self, value: f64) {
        // SAFETY: the state is live, and room was asked for (`Stack::new`).
        unsafe { ffi::lua_pushnumber(self.0, value) }
    }

    pub fn push_copy(self, index: c_int) {
        // SAFETY: the state is live, the index valid, and room was asked for (`Stack::new`).
        unsafe { ffi::lua_pushvalue(self.0, index) }
    }

    pub fn push_globals(self) {
        self.raw_get_i(REGISTRY, ffi::LUA_RIDX_GLOBALS);
    }

    /// Replaces the value at `index` by the top, which is popped.
    pub fn replace(self, index: c_int) {
        // SAFETY: the state is live and the index valid (`Stack::new`), and so is there a value to pop.
        unsafe {
            ffi::lua_copy(self.0, -1, index);
            ffi::lua_settop(self.0, -2);
        }
    }

    /// Leaves the top alone on the stack.
    pub fn keep_top(self) {
        let top = self.top();
        if top > 1 {
            self.replace(1);
            self.set_top(1);
        }
    }

    pub fn remove(self, index: c_int) {
        // SAFETY: the state is live and the index valid (`Stack::new`), and so is there a value to pop.
        unsafe {
            ffi::lua_rotate(self.0, index, -1);
            ffi::lua_settop(self.0, -2);
        }
    }

    /// Pushes `table[i]`.
    pub fn raw_get_i(self, table: c_int, i: i64) {
        // SAFETY: a table is at this index, and room was asked for (`Stack::new`); raw access runs no user code.
        unsafe {
            ffi::lua_rawgeti(self.0, table, i);
        }
    }

    /// Replaces the key at the top by `table[key]`.
    pub fn raw_get(self, table: c_int) {
        // SAFETY: a table is at this index, and a key at the top (`Stack::new`); raw access runs no user code.
        unsafe {
            ffi::lua_rawget(self.0, table);
        }
    }

    /// Pops a key and pushes the next pair, or nothing at the end.
    pub fn next(self, table: c_int) -> bool {
        // SAFETY: a table is at this index, a key of it at the top, and room for the pair was asked for
        // (`Stack::new`).
        unsafe { ffi::lua_next(self.0, table) != 0 }
    }

    /// Pushes the metatable, or nothing.
    pub fn push_metatable(self, index: c_int) -> bool {
        // SAFETY: the state is live and the index valid (`Stack::new`), and room was asked for.
        unsafe { ffi::lua_getmetatable(self.0, index) != 0 }
    }

    /// Pushes upvalue `i` (from 1) and gives its name.
    pub fn push_upvalue<'a>(self, function: c_int, i: c_int) -> &'a CStr {
        // SAFETY: a function is at this index, and room was asked for (`Stack::new`); names end in NUL and live in
        // the function.
        unsafe {
            let name = ffi::lua_getupvalue(self.0, function, i);
            if name.is_null() {
                ffi::lua_pushnil(self.0);
                return c"?";
            }
            CStr::from_ptr(name)
        }
    }

    /// Identity of the variable behind upvalue `i` (from 1).
    pub fn upvalue_id(self, function: c_int, i: c_int) -> usize {
        // SAFETY: the state is live and the index valid (`Stack::new`); for an upvalue that is not there it gives
        // null.
        unsafe { ffi::lua_upvalueid(self.0, function, i) as usize }
    }

    /// Pops a value into upvalue `i` (from 1).
    pub fn set_upvalue(self, function: c_int, i: c_int) {
        // SAFETY: a function is at this index and a value at the top (`Stack::new`); an upvalue that is not there
        // takes none.
        unsafe {
            ffi::lua_setupvalue(self.0, function, i);
        }
    }

    /// Lets upvalue `i` of one function be upvalue `j` of another.
    pub fn join_upvalue(self, function: c_int, i: c_int, other: c_int, j: c_int) {
        // SAFETY: Lua functions with these upvalues are at the indexes (`Stack::new`).
        unsafe { ffi::lua_upvaluejoin(self.0, function, i, other, j) }
    }

    /// Appends the bytecode of the function at the top, debug information included, to `out`.
    pub fn dump(self, out: &mut Vec<u8>) {
        unsafe extern "C-unwind" fn write(
            _: *mut lua_State,
            bytes: *const c_void,
            length: usize,
            out: *mut c_void,
        ) -> c_int {
            // SAFETY: Lua hands back the pointer of `dump`, and a block of its own.
            unsafe {
                (*out.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(bytes.cast(), length))
            };
            0
        }
        // SAFETY: a Lua function is at the top (`Stack::new`); `out` outlives the call, and nobody else uses it
        // meanwhile.
        unsafe {
            ffi::lua_dump(self.0, write, (&raw mut *out).cast(), 0);
        }
    }

    /// The chunk name of the Lua function at the top. Pushes and pops a copy.
    pub fn source_of_function<'a>(self) -> &'a [u8] {
        // SAFETY: zeros are a valid `lua_Debug`; a function is at the top, and it keeps its source of that length
        // (`Stack::new`).
        unsafe {
            let mut info: ffi::lua_Debug = std::mem::zeroed();
            ffi::lua_pushvalue(self.0, -1);
            // With `>` the copy is popped; asking for the source needs no memory.
            if ffi::lua_getinfo(self.0, c">S".as_ptr(), &raw mut info) == 0 || info.source.is_null() {
                return &[];
            }
            std::slice::from_raw_parts(info.source.cast(), info.srclen)
        }
    }

    /// Pops a metatable and gives it to the table at `index`.
    pub fn set_metatable(self, index: c_int) {
        // SAFETY: the state is live and the index valid (`Stack::new`), with a table or nil at the top; the
        // collector is told, and runs later.
        unsafe {
            ffi::lua_setmetatable(self.0, index);
        }
    }

    /// Stops the collector; was it running? Starting it again costs it its pace: for rare paths only.
    pub fn stop_collector(self) -> bool {
        // SAFETY: the state is live (`Stack::new`); this changes numbers of the collector alone.
        unsafe {
            let running = ffi::lua_gc(self.0, ffi::LUA_GCISRUNNING) != 0;
            ffi::lua_gc(self.0, ffi::LUA_GCSTOP);
            running
        }
    }

    pub fn start_collector(self) {
        // SAFETY: the state is live (`Stack::new`); this changes numbers of the collector alone.
        unsafe {
            ffi::lua_gc(self.0, ffi::LUA_GCRESTART);
        }
    }

    pub fn push_bytes_raises(self, bytes: &[u8]) {
        // SAFETY: a live state with room, inside `protected` (`_raises`); the bytes are copied.
        unsafe {
            ffi::lua_pushlstring(self.0, bytes.as_ptr().cast::<c_char>(), bytes.len());
        }
    }

    pub fn push_table_raises(self, array: c_int, pairs: c_int) {
        // SAFETY: a live state with room, inside `protected` (`_raises`).
        unsafe { ffi::lua_createtable(self.0, array, pairs) }
    }

    /// Pops a value into `table[i]`.
    pub fn raw_set_i_raises(self, table: c_int, i: i64) {
        // SAFETY: a table at this index and a value at the top, inside `protected` (`_raises`).
        unsafe { ffi::lua_rawseti(self.0, table, i) }
    }

    /// Pops a value and a key into `table`. The key is neither nil nor NaN.
    pub fn raw_set_raises(self, table: c_int) {
        // SAFETY: a table at this index, a value and a good key at the top, inside `protected` (`_raises`).
        unsafe { ffi::lua_rawset(self.0, table) }
    }

    /// Pops a value and keeps it in the registry under the number returned.
    pub fn keep_raises(self) -> c_int {
        // SAFETY: a value at the top, inside `protected` (`_raises`); the registry is always there.
        unsafe { ffi::luaL_ref(self.0, REGISTRY) }
    }

    /// Lets go of what is kept in the registry under this number.
    pub fn release(self, number: c_int) {
        // SAFETY: the number is of `keep_raises`, so its place exists and is written without memory.
        unsafe { ffi::luaL_unref(self.0, REGISTRY, number) }
    }

    /// Loads bytecode and pushes its main function; false leaves a message instead.
    pub fn load_bytecode_raises(self, bytes: &[u8]) -> bool {
        unsafe extern "C-unwind" fn read(
            _: *mut lua_State,
            rest: *mut c_void,
            length: *mut usize,
        ) -> *const c_char {
            // SAFETY: Lua hands back the pointer to `rest` below, and a place for the length.
            unsafe {
                let bytes = std::mem::take(&mut *rest.cast::<&[u8]>());
                *length = bytes.len();
                bytes.as_ptr().cast()
            }
        }
        let mut rest = bytes;
        // SAFETY: `rest` and the bytes outlive the call, and `read` takes no more than these; inside `protected`
        // (`_raises`).
        unsafe {
            ffi::lua_load(self.0, read, (&raw mut rest).cast(), c"=code".as_ptr(), c"b".as_ptr())
                == ffi::LUA_OK
        }
    }

    /// Calls the function below `arguments` values; its one result, or its error if false, takes their place.
    pub fn call_protected(self, arguments: c_int) -> bool {
        // SAFETY: a function and its arguments are at the top (`Stack::new`); what it raises ends here.
        unsafe { ffi::lua_pcall(self.0, arguments, 1, 0) == ffi::LUA_OK }
    }

    /// As `call_protected`, with all results.
    pub fn call_protected_all(self, arguments: c_int) -> bool {
        // SAFETY: a function and its arguments are at the top (`Stack::new`); what it raises ends here.
        unsafe { ffi::lua_pcall(self.0, arguments, ffi::LUA_MULTRET, 0) == ffi::LUA_OK }
    }

    /// What an error says, if it is text.
    pub fn error_text(self, index: c_int) -> String {
        match self.kind(index) {
            Kind::String => String::from_utf8_lossy(self.bytes(index)).into_owned(),
            kind => format!("it raised a {}", kind.name()),
        }
    }

    /// Calls the function at the top, which runs only our own instructions; pushes one result.
    pub fn call_factory_raises(self) {
        // SAFETY: a function is at the top with room for its result, inside `protected` (`_raises`).
        unsafe { ffi::lua_call(self.0, 0, 1) }
    }
}

/// Runs `work` as a C function in a protected call, with the topmost `arguments` values as its stack from
/// index 1; these are consumed. The values on the stack when it returns are left instead; their number is
/// returned. An error raised within (out of memory) ends `work` by a long jump, undoes the stack and becomes
/// the message returned: what `work` owns must therefore live in `context`, which outlives the jump.
///
/// # Safety
/// `state` is live and `arguments` values are on it. `work` must not panic.
pub unsafe fn protected<C>(
    state: *mut lua_State,
    arguments: c_int,
    context: &mut C,
    work: fn(Stack, &mut C),
) -> Result<c_int, String> {
    struct Job<'a, C> {
        context: &'a mut C,
        work: fn(Stack, &mut C),
    }
    unsafe extern "C-unwind" fn run<C>(state: *mut lua_State) -> c_int {
        // SAFETY: the topmost argument is the job of `protected`, which waits for us.
        unsafe {
            let job = ffi::lua_touserdata(state, -1).cast::<Job<'_, C>>();
            ffi::lua_settop(state, -2);
            ((*job).work)(Stack::new(state), (*job).context);
            ffi::lua_gettop(state)
        }
    }
    let mut job = Job { context, work };
    // SAFETY: none of these raise: a C function without upvalues and a light userdata need no memory.
    unsafe {
        if ffi::lua_checkstack(state, 4) == 0 {
            ffi::lua_settop(state, -arguments - 1);
            return Err("the Lua stack is full".into());
        }
        let below = ffi::lua_gettop(state) - arguments;
        ffi::lua_pushcfunction(state, run::<C>);
        ffi::lua_rotate(state, below + 1, 1);
        ffi::lua_pushlightuserdata(state, (&raw mut job).cast());
        if ffi::lua_pcall(state, arguments + 1, ffi::LUA_MULTRET, 0) == ffi::LUA_OK {
            return Ok(ffi::lua_gettop(state) - below);
        }
        let stack = Stack::new(state);
        let message = match stack.kind(-1) {
            Kind::String => String::from_utf8_lossy(stack.bytes(-1)).into_owned(),
            kind => format!("a {} was raised", kind.name()),
        };
        ffi::lua_settop(state, below);
        Err(message)
    }
}
