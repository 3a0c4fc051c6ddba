//! Values with a `__ship` hook, and values that were shared: what travels is not the value but how to get it.
//!
//! `__ship(self)` gives a function and its arguments; the other side calls that function, and what it returns
//! takes the value's place. The hook is the user's code and runs in the middle of a message, so the collector
//! rests until the message is written: what was numbered by its address must not be replaced by something else.
//! The function may read globals, so those come before it is called.

use std::ffi::c_int;

use super::ShipError;
use super::decode::{self, Decoder};
use super::encode::{Encoder, Failed};
use super::format::{self as tag, put_uint};
use super::frames::{Frame, RebuiltFrame};
use super::stack::{Kind, REGISTRY, Stack};

/// Hooks within the globals of hooks, this many times.
const MAX_NESTING: usize = 50;

impl Encoder<'_> {
    /// Has the value a hook?
    pub(super) fn has_hook(&self, stack: Stack, at: c_int) -> bool {
        let top = stack.top();
        let mut found = false;
        if stack.push_metatable(at) {
            self.known.push_name(stack, self.known.fields.ship);
            stack.raw_get(top + 1);
            found = stack.kind(-1) != Kind::Nil;
        }
        stack.set_top(top);
        found
    }

    /// Asks the hook of the value at the top and begins to write what it gives.
    pub(super) fn rebuilt(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        let address = stack.pointer(at);
        if self.out.rebuilding.contains(&address) {
            return Err(self.fail(stack, "value whose `__ship` leads back to itself"));
        }
        if self.out.rebuilding.len() >= MAX_NESTING {
            return Err(self.fail(stack, "value whose `__ship` needs too many others"));
        }
        self.known.rest_collector(stack);
        stack.push_metatable(at);
        self.known.push_name(stack, self.known.fields.ship);
        stack.raw_get(at + 1);
        stack.remove(at + 1);
        stack.push_copy(at);
        if !stack.call_protected_all(1) {
            let why = stack.error_text(-1);
            stack.set_top(at);
            return Err(self.fail(stack, &format!("value whose `__ship` failed: {why}")));
        }
        let count = stack.top() - at;
        if count == 0 || !matches!(stack.kind(at + 1), Kind::Function | Kind::CFunction) {
            stack.set_top(at);
            let what =
                "value whose `__ship` returned no function: return one that makes it anew, and its arguments";
            return Err(self.fail(stack, what));
        }
        self.begin(stack, Frame::Rebuilt(RebuiltFrame { at, address, next: 1, count }))?;
        self.out.rebuilding.push(address);
        self.out.body.push(tag::REBUILT);
        put_uint(&mut self.out.body, count as u64);
        Ok(())
    }

    /// Goes on with what a hook gave until something below it has to be written first.
    pub(super) fn rebuilt_step(&mut self, stack: Stack, mut rebuilt: RebuiltFrame) -> Result<(), Failed> {
        let frame = self.out.frames.len() - 1;
        while self.out.frames.len() == frame + 1 {
            if rebuilt.next > rebuilt.count {
                self.globals(stack)?;
                self.out.body.push(tag::END);
                self.out.rebuilding.pop();
                self.number(rebuilt.address);
                self.end(stack, rebuilt.at);
                return Ok(());
            }
            stack.push_copy(rebuilt.at + rebuilt.next);
            rebuilt.next += 1;
            self.out.frames[frame] = Frame::Rebuilt(rebuilt);
            self.value(stack)?;
        }
        Ok(())
    }

    /// Writes the name of a shared value, whose handle is at the top; pops it.
    pub(super) fn shared(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        self.known.push_name(stack, self.known.fields.hash);
        stack.raw_get(at);
        let text = if stack.kind(-1) == Kind::String { stack.bytes(-1) } else { &[] };
        let hash = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        let known = &mut *self.known;
        let Some((hash, share)) = hash.and_then(|hash| Some((hash, known.shares.get(&hash)?))) else {
            return Err(self.fail(stack, "damaged handle of a shared value"));
        };
        for code in &share.codes {
            let code = &mut known.codes[*code as usize];
            if code.used.0 != known.message {
                code.used = (known.message, self.out.codes.len() as u32);
                self.out.codes.push(code.hash);
            }
        }
        for artefact in &share.artefacts {
            self.out.needed.number(*artefact);
        }
        let index = self.out.shares.number(hash);
        self.out.body.push(tag::SHARED);
        put_uint(&mut self.out.body, index as u64);
        stack.set_top(at - 1);
        Ok(())
    }
}

impl Decoder<'_, '_> {
    /// Begins to read a function that makes a value anew, and its arguments.
    pub(super) fn rebuilt(&mut self, stack: Stack) -> Result<(), Failed> {
        let count = self.count(1)?;
        match c_int::try_from(count) {
            Ok(room) if count > 0 && stack.reserve(room.saturating_add(16)) => {}
            _ => return Err(self.corrupt("no function that makes a value, or too many arguments of it")),
        }
        let at = stack.top() + 1;
        self.begin(stack, decode::Frame::Rebuilt { at, left: count })
    }

    /// Calls the function at `at` with what lies above it; its result takes their place.
    pub(super) fn rebuild(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        if self.nesting >= MAX_NESTING {
            return Err(self.corrupt("values nested too deeply"));
        }
        self.nesting += 1;
        self.globals(stack)?;
        self.nesting -= 1;
        if !self.reader.accept(tag::END) || !matches!(stack.kind(at), Kind::Function | Kind::CFunction) {
            return Err(self.corrupt("no function that makes a value"));
        }
        let called = stack.call_protected(stack.top() - at);
        if !called || stack.kind(at) == Kind::Nil {
            let why = if called { "it returned nothing".into() } else { stack.error_text(at) };
            self.failure = Some(ShipError::Rebuild(why));
            return Err(Failed);
        }
        self.number(stack).map(|_| ())
    }

    /// Pushes a shared value.
    pub(super) fn shared(&mut self, stack: Stack) -> Result<(), Failed> {
        let index = self.uint()?;
        let share = self.manifest.shares.get(index as usize).and_then(|hash| self.known.shares.get(hash));
        let Some(value) = share.and_then(|share| share.value) else {
            return Err(self.corrupt("a shared value that is not in its list"));
        };
        stack.raw_get_i(REGISTRY, value.into());
        Ok(())
    }
}
