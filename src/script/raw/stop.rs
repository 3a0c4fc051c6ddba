//! Stops a Lua function from outside: a signal arms a hook, the hook raises at the next instruction.
//!
//! Nothing is paid until the signal comes, but for two stores at each switch of coroutines: hooks belong to
//! one coroutine, so the one that runs has to be known, and `coroutine.resume` and `coroutine.wrap` are
//! replaced by ones that note it. Whether what runs now is really meant is asked in the hook, where everything
//! is allowed. An error that a task catches is raised again one instruction later, until nothing of it is left.
//! C functions are not stopped; the hook fires when they return. Knows neither clocks nor tasks.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, compiler_fence};

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua};

use super::stack::{REGISTRY, Stack};

/// What a task that catches the error sees.
const MESSAGE: &[u8] = b"the task was told to stop";

/// Addresses that serve as keys of the registry: the function that describes where something was stopped, and
/// what it gave.
static DESCRIBE: u8 = 0;
static DESCRIPTION: u8 = 1;

thread_local! {
    /// The stopper of the call that this thread runs. Plain, so that a signal handler may read it.
    static CURRENT: Cell<*const Stopper> = const { Cell::new(ptr::null()) };
}

/// Is what runs now to stop?
pub type ToStop = Box<dyn Fn() -> bool>;

/// Stops the calls of one state.
pub struct Stopper {
    to_stop: ToStop,
    /// The coroutine that runs.
    running: AtomicPtr<lua_State>,
    /// A signal came.
    armed: AtomicBool,
    /// The hook has raised.
    stopped: Cell<bool>,
}

impl Stopper {
    /// For this state, whose `coroutine.resume` and `coroutine.wrap` it replaces. `describe` is called, without
    /// arguments, where something is stopped.
    pub fn new(lua: &Lua, describe: &Function, to_stop: ToStop) -> mlua::Result<Box<Self>> {
        // SAFETY: three values and a table lie on the stack, with room for more asked for by `exec_raw`, which
        // also catches what is raised.
        unsafe {
            lua.exec_raw::<()>((describe, lua.globals().get::<mlua::Table>("coroutine")?), |state| {
                for (name, function) in [(c"resume", resume as ffi::lua_CFunction), (c"wrap", wrap)] {
                    ffi::lua_pushcfunction(state, function);
                    ffi::lua_setfield(state, 2, name.as_ptr());
                }
                ffi::lua_settop(state, 1);
                ffi::lua_rawsetp(state, REGISTRY, key(&DESCRIBE));
                ffi::lua_pushboolean(state, 0); // so that setting it later needs no memory
                ffi::lua_rawsetp(state, REGISTRY, key(&DESCRIPTION));
            })?;
        }
        Ok(Box::new(Self {
            to_stop,
            running: AtomicPtr::new(ptr::null_mut()),
            armed: AtomicBool::new(false),
            stopped: Cell::new(false),
        }))
    }

    /// Runs `work` as a call that can be stopped; was it?
    ///
    /// # Safety
    /// `state` is the stopper's state, and `work` does not raise.
    pub(super) unsafe fn watch<R>(&self, state: *mut lua_State, work: impl FnOnce() -> R) -> (R, bool) {
        self.stopped.set(false);
        self.running.store(state, Ordering::Relaxed);
        CURRENT.set(self);
        let result = work();
        CURRENT.set(ptr::null());
        self.armed.store(false, Ordering::Relaxed);
        // SAFETY: the caller's promise. Also a hook that the task set ends with it.
        unsafe { ffi::lua_sethook(state, None, 0, 0) };
        (result, self.stopped.get())
    }

    /// Is the call under way to stop?
    pub(super) fn is_to_stop(&self) -> bool {
        (self.to_stop)()
    }

    /// Pushes what `describe` gave.
    pub(super) fn push_description(&self, state: *mut lua_State) {
        // SAFETY: the key was set in `new`; the caller of `watch` has room on the stack.
        unsafe { ffi::lua_rawgetp(state, REGISTRY, key(&DESCRIPTION)) };
    }

    /// From here on this coroutine runs.
    fn switch(&self, state: *mut lua_State) {
        self.running.store(state, Ordering::Relaxed);
        // A signal in between finds either the flag unset, and then the new coroutine, or leaves it set.
        compiler_fence(Ordering::SeqCst);
        if self.armed.load(Ordering::Relaxed) {
            arm(state);
        }
    }
}

/// For a signal handler: what this thread runs may have to stop.
pub fn look() {
    // SAFETY: set for the time of a call only, in which the stopper lives.
    let Some(stopper) = (unsafe { CURRENT.get().as_ref() }) else { return };
    stopper.armed.store(true, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    arm(stopper.running.load(Ordering::Relaxed));
}

/// A call that ended and one that begins have no stopper between them.
fn current<'a>() -> Option<&'a Stopper> {
    // SAFETY: as in `look`.
    unsafe { CURRENT.get().as_ref() }
}

fn key(of: &'static u8) -> *const c_void {
    ptr::from_ref(of).cast()
}

fn arm(state: *mut lua_State) {
    const EVERYTHING: c_int = ffi::LUA_MASKCALL | ffi::LUA_MASKRET | ffi::LUA_MASKLINE | ffi::LUA_MASKCOUNT;
    if !state.is_null() {
        // SAFETY: the coroutine runs or is about to, so it lives; this function alone may be called in a signal.
        unsafe { ffi::lua_sethook(state, Some(hook), EVERYTHING, 1) };
    }
}

unsafe extern "C-unwind" fn hook(state: *mut lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: Lua calls a hook with room for 20 values; nothing here owns memory when something is raised.
    unsafe {
        let Some(stopper) = current().filter(|stopper| (stopper.to_stop)()) else {
            // The signal was for a call that had just ended.
            if let Some(stopper) = current() {
                stopper.armed.store(false, Ordering::Relaxed);
            }
            return ffi::lua_sethook(state, None, 0, 0);
        };
        if !stopper.stopped.replace(true) {
            ffi::lua_rawgetp(state, REGISTRY, key(&DESCRIBE));
            if ffi::lua_pcall(state, 0, 1, 0) != ffi::LUA_OK {
                ffi::lua_settop(state, -2);
                ffi::lua_pushboolean(state, 0);
            }
            ffi::lua_rawsetp(state, REGISTRY, key(&DESCRIPTION));
        }
        Stack::new(state).push_bytes_raises(MESSAGE);
        ffi::lua_error(state);
    }
}

/// `coroutine.resume`.
unsafe extern "C-unwind" fn resume(state: *mut lua_State) -> c_int {
    // SAFETY: as Lua's own: arguments from 1, room for 20 values; nothing is owned when something is raised.
    unsafe {
        let coroutine = ffi::lua_tothread(state, 1);
        if coroutine.is_null() {
            let given = ffi::luaL_typename(state, 1);
            return ffi::luaL_error(
                state,
                c"bad argument #1 to 'resume' (coroutine expected, got %s)".as_ptr(),
                given,
            );
        }
        let (good, values) = run(state, coroutine, ffi::lua_gettop(state) - 1);
        ffi::lua_pushboolean(state, good.into());
        ffi::lua_rotate(state, -(values + 1), 1);
        values + 1
    }
}

/// `coroutine.wrap`.
unsafe extern "C-unwind" fn wrap(state: *mut lua_State) -> c_int {
    // SAFETY: as in `resume`.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
        let coroutine = ffi::lua_newthread(state);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_xmove(state, coroutine, 1);
        ffi::lua_pushcclosure(state, resume_wrapped, 1);
        1
    }
}

/// What `coroutine.wrap` gives: an error of the coroutine is an error of its caller.
unsafe extern "C-unwind" fn resume_wrapped(state: *mut lua_State) -> c_int {
    // SAFETY: as in `resume`; the first upvalue is the coroutine.
    unsafe {
        let coroutine = ffi::lua_tothread(state, ffi::lua_upvalueindex(1));
        let (good, values) = run(state, coroutine, ffi::lua_gettop(state));
        if good {
            return values;
        }
        let mut status = ffi::lua_status(coroutine);
        if status != ffi::LUA_OK && status != ffi::LUA_YIELD {
            status = ffi::lua_closethread(coroutine, state); // closes its variables; may change the error
            ffi::lua_xmove(coroutine, state, 1);
        }
        if status != ffi::LUA_ERRMEM && ffi::lua_type(state, -1) == ffi::LUA_TSTRING {
            ffi::luaL_where(state, 1);
            ffi::lua_rotate(state, -2, 1);
            ffi::lua_concat(state, 2);
        }
        ffi::lua_error(state)
    }
}

/// Resumes a coroutine with the topmost `arguments` values; its values, or its error if false, take their place.
///
/// # Safety
/// Both are live, and so many values are there.
unsafe fn run(state: *mut lua_State, coroutine: *mut lua_State, arguments: c_int) -> (bool, c_int) {
    // SAFETY: the caller's promise; room is asked for on either stack.
    unsafe {
        if ffi::lua_checkstack(coroutine, arguments) == 0 {
            ffi::lua_pushliteral(state, c"too many arguments to resume");
            return (false, 1);
        }
        ffi::lua_xmove(state, coroutine, arguments);
        let mut values = 0;
        if let Some(stopper) = current() {
            stopper.switch(coroutine);
        }
        let status = ffi::lua_resume(coroutine, state, arguments, &mut values);
        if let Some(stopper) = current() {
            stopper.switch(state);
        }
        if status != ffi::LUA_OK && status != ffi::LUA_YIELD {
            ffi::lua_xmove(coroutine, state, 1);
            return (false, 1);
        }
        if ffi::lua_checkstack(state, values + 1) == 0 {
            ffi::lua_settop(coroutine, -values - 1);
            ffi::lua_pushliteral(state, c"too many results to resume");
            return (false, 1);
        }
        ffi::lua_xmove(coroutine, state, values);
        (true, values)
    }
}
