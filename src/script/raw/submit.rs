//! The functions of the script state that run for every call: `submit_call`, `submit_calls` and `take`, as plain C
//! functions. They raise nothing but "out of memory", and `take` where nothing can be awaited; what else went wrong is returned.

use std::ffi::{c_int, c_void};
use std::rc::Rc;
use std::sync::Arc;

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua};
use serde_bytes::ByteBuf;

use super::Shipper;
use super::stack::{Kind, Stack};
use crate::model::{Detail, Hash, Outcome, PoolId, Status, TaskId, batch};
use crate::root::port::{NEXT_LINE, Wait};
use crate::script::bridge::{Bridge, Next, Together};

/// `submit_call(pool or false, fn, ...)` -> id, does it wait for others or count for more (both lie in the bridge)? or nil, why not;
/// false if `fn` is no function.
/// `submit_calls(pool or false, fn, items, first, last, number or nil)` -> id, the place of the last one that went | nil: the first
/// cannot go with others, or nothing can. With a number, text or boolean only such ones go, with any other item whatever follows. Calls of `fn` with `items[first]` to `items[last]`; `number`: that of the first, if it has one already.
/// `take(wait)` -> nil | false | id | id, how many, values... (of a line: 1, and the line, or nil after the last; of several
/// calls seconds they took, and the first value of each)
///
/// The bridge has to outlive the state; `ScriptState` sees to it.
pub fn submit_functions(lua: &Lua, bridge: &Rc<Bridge>) -> mlua::Result<(Function, Function, Function)> {
    let shared = Rc::as_ptr(bridge).cast::<c_void>().cast_mut();
    // SAFETY: three closures are pushed, with room for them asked for by `exec_raw`.
    unsafe {
        lua.exec_raw((), |state| {
            for function in [submit_call as ffi::lua_CFunction, submit_calls, take] {
                ffi::lua_pushlightuserdata(state, shared);
                ffi::lua_pushcclosure(state, function, 1);
            }
        })
    }
}

/// SAFETY: the first upvalue is the bridge, which outlives the state.
unsafe fn bridge<'a>(state: *mut lua_State) -> &'a Bridge {
    // SAFETY: `submit_functions` put a pointer to the bridge there, and `ScriptState` lets go of it after the state.
    unsafe { &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Bridge>() }
}

unsafe extern "C-unwind" fn submit_call(state: *mut lua_State) -> c_int {
    // SAFETY: a C function is called with room for 20 values; nothing here raises but the last push.
    unsafe {
        let stack = Stack::new(state);
        if !matches!(stack.kind(2), Kind::Function | Kind::CFunction) {
            stack.push_boolean(false);
            return 1;
        }
        let bridge = bridge(state);
        match submit(bridge, state, stack) {
            Ok(pushed) => pushed,
            Err(()) => {
                stack.push_nil();
                // The text belongs to the bridge: a raise here frees nothing of ours and leaks nothing.
                stack.push_bytes_raises((*bridge.problem.as_ptr()).as_bytes());
                2
            }
        }
    }
}

/// SAFETY: as `submit_call`. Why it failed is left in the bridge.
unsafe fn submit(bridge: &Bridge, state: *mut lua_State, stack: Stack) -> Result<c_int, ()> {
    let options = bridge.options.take();
    let pool = (stack.kind(1) == Kind::Integer).then(|| PoolId(stack.integer(1) as u32));
    let failed = |text: String| {
        *bridge.problem.borrow_mut() = text;
        Err(())
    };
    let shipped = match bridge.shipper.try_borrow_mut() {
        // SAFETY: the shipper was made for this state.
        Ok(mut shipper) => match unsafe { shipper.encode_stack(state, 2) } {
            Ok(shipped) => shipped,
            Err(error) => return failed(error.to_string()),
        },
        Err(_) => {
            return failed(
                "nothing can be submitted while a value is packed or unpacked: \
                not in a __ship hook, nor while a module is loaded that a result needs"
                    .into(),
            );
        }
    };
    let deps = shipped.deps.clone();
    let task = match bridge.submit_call(shipped, options, pool) {
        Ok(task) => task,
        Err(why) => return failed(why),
    };
    let more = !deps.is_empty() || bridge.weight.get() > 0;
    if more {
        *bridge.deps.borrow_mut() = deps;
    }
    stack.push_integer(task.0 as i64);
    stack.push_boolean(more);
    Ok(2)
}

unsafe extern "C-unwind" fn submit_calls(state: *mut lua_State) -> c_int {
    // SAFETY: a C function is called with room for 20 values; nothing here raises.
    unsafe {
        let stack = Stack::new(state);
        match calls(bridge(state), state, stack) {
            Some((task, last)) => {
                stack.push_integer(task.0 as i64);
                stack.push_integer(last);
                2
            }
            None => {
                stack.push_nil();
                1
            }
        }
    }
}

/// SAFETY: as `submit_calls`.
unsafe fn calls(bridge: &Bridge, state: *mut lua_State, stack: Stack) -> Option<(TaskId, i64)> {
    const FUNCTION: c_int = 2;
    const ITEMS: c_int = 3;
    const VALUES: c_int = 7;
    let options = bridge.options.take();
    let pool = (stack.kind(1) == Kind::Integer).then(|| PoolId(stack.integer(1) as u32));
    let (first, last) = (stack.integer(4), stack.integer(5));
    debug_assert!(matches!(stack.kind(6), Kind::Integer | Kind::Nil));
    let number = (stack.kind(6) == Kind::Integer).then(|| TaskId(stack.integer(6) as u64));
    stack.set_top(VALUES - 1);
    let mut shipper = bridge.shipper.try_borrow_mut().ok()?;
    let mut encode = |pushed: &dyn Fn()| {
        pushed();
        // SAFETY: the shipper was made for this state.
        let shipped = unsafe { shipper.encode_stack(state, VALUES) };
        stack.set_top(VALUES - 1);
        // Whoever submits it alone hears why it cannot be, or waits for what it waits for.
        shipped.ok().filter(|shipped| shipped.deps.is_empty())
    };
    let is_plain = |at| {
        stack.raw_get_i(ITEMS, at);
        let is = matches!(stack.kind(VALUES), Kind::Boolean | Kind::Integer | Kind::Float | Kind::String);
        stack.set_top(VALUES - 1);
        is
    };
    // A table may be one that the function refers to as well: it has to be in one message with it.
    let function = if is_plain(first) { Some(encode(&|| stack.push_copy(FUNCTION))?) } else { None };
    let mut calls = Together::new(function.as_ref());
    let mut at = first;
    while at <= last && !calls.is_full() && (function.is_none() || is_plain(at)) {
        let call = encode(&|| {
            if function.is_none() {
                stack.push_copy(FUNCTION);
            }
            stack.raw_get_i(ITEMS, at);
        });
        let Some(call) = call else { break };
        calls.put(&call);
        at += 1;
    }
    drop(shipper);
    (at > first)
        .then(|| bridge.submit_calls(calls, options, pool, number).ok())
        .flatten()
        .map(|task| (task, at - 1))
}

unsafe extern "C-unwind" fn take(state: *mut lua_State) -> c_int {
    // SAFETY: as in `submit_call`, but that the refusal and the push of a line raise, too. Nothing of ours is held there that
    // would have to be dropped: the text of the one is static, and the other belongs to the bridge.
    unsafe {
        let stack = Stack::new(state);
        let bridge = bridge(state);
        if bridge.shipper.try_borrow_mut().is_err() {
            // Nobody could unpack what comes.
            stack.push_bytes_raises(
                b"nothing can be awaited while a value is packed or unpacked: \
                not in a __ship hook, nor while a module is loaded that a result needs",
            );
            ffi::lua_error(state);
        }
        let wait = match stack.kind(1) {
            Kind::Boolean if stack.boolean(1) => Wait::Forever,
            Kind::Integer | Kind::Float => bridge.port.borrow().moment(stack.float(1)),
            _ => Wait::No,
        };
        stack.set_top(0);
        match bridge.take(wait) {
            Next::Nothing => stack.push_nil(),
            Next::Draining => stack.push_boolean(false),
            Next::Interrupted => {
                stack.push_boolean(false);
                stack.push_boolean(true);
                return 2;
            }
            Next::Outcome(task) => stack.push_integer(task.0 as i64),
            Next::Line => {
                stack.push_integer(NEXT_LINE.0 as i64);
                stack.push_integer(1);
                // It belongs to the bridge, as in `submit_call`.
                match &*bridge.line.as_ptr() {
                    Some(line) => stack.push_bytes_raises(line),
                    None => stack.push_nil(),
                }
                drop(bridge.line.take());
                return 3;
            }
            Next::Values(task) => {
                stack.push_integer(task.0 as i64);
                stack.push_nil(); // the place of their number
                match unpack(bridge, state) {
                    Ok(values) if stack.reserve(1) => {
                        stack.push_integer(values.into());
                        stack.replace(2);
                        return 2 + values;
                    }
                    other => {
                        let text = other.err().unwrap_or_else(|| "the stack is full".into());
                        *bridge.outcome.borrow_mut() = Some(Arc::new(Outcome::failed(Status::Error, text)));
                        stack.set_top(1);
                    }
                }
            }
        }
        1
    }
}

/// Pushes what a call returned, or calls that travelled together. SAFETY: as `take`.
unsafe fn unpack(bridge: &Bridge, state: *mut lua_State) -> Result<c_int, String> {
    let Some(outcome) = bridge.outcome.borrow_mut().take() else {
        return Err("a call ended without an outcome".into());
    };
    let mut shipper =
        bridge.shipper.try_borrow_mut().map_err(|_| "it came while another result was unpacked")?;
    match &outcome.detail {
        Detail::Call(returned) => {
            learn(&mut shipper, &returned.codes)?;
            // SAFETY: the shipper was made for this state.
            unsafe { shipper.decode_stack(state, &returned.values, 0) }.map_err(|error| error.to_string())
        }
        Detail::Calls(returned) => {
            learn(&mut shipper, &returned.codes)?;
            // SAFETY: as above.
            unsafe { unpack_calls(&mut shipper, state, outcome.elapsed_s, &returned.values) }
        }
        _ => Err("a call ended without values".into()),
    }
}

/// Pushes the seconds that calls took together, and the first value of each. SAFETY: `state` is the shipper's.
unsafe fn unpack_calls(
    shipper: &mut Shipper,
    state: *mut lua_State,
    elapsed_s: f64,
    values: &[u8],
) -> Result<c_int, String> {
    // SAFETY: the caller's promise.
    let stack = unsafe { Stack::new(state) };
    let before = stack.top();
    stack.push_float(elapsed_s);
    for message in batch::messages(values) {
        let first = stack.top() + 1;
        if !stack.reserve(2) {
            return Err("too many calls travelled together".into());
        }
        let decoded = message.map_err(|error| error.to_string()).and_then(|bytes| {
            // SAFETY: as above.
            unsafe { shipper.decode_stack(state, bytes, 0) }.map_err(|error| error.to_string())
        });
        if decoded? == 0 {
            stack.push_nil();
        }
        stack.set_top(first);
    }
    Ok(stack.top() - before)
}

/// Takes the bytecode that came with returned values.
pub fn learn(shipper: &mut Shipper, codes: &[(Hash, ByteBuf)]) -> Result<(), String> {
    for (hash, code) in codes {
        shipper.learn(*hash, code.to_vec()).map_err(|error| error.to_string())?;
    }
    Ok(())
}
