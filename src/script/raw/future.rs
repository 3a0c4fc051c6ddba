//! Futures among the values: their results where they are known, else dependencies of the task.
//!
//! A future is a table of the library's class with the fields `id`, `ended`, `well` (false, or what else it returned) and
//! `outcome`. Knows the fields and how a build's record looks; the rest of encoding is in `encode`.

use std::ffi::c_int;

use super::encode::{Encoder, Failed};
use super::format::{self as tag, put_uint};
use super::known::Known;
use super::stack::{Kind, Stack};
use crate::model::TaskId;

/// A future may be the result of another, this many times.
const MAX_HOPS: usize = 16;

impl Encoder<'_> {
    /// Writes a future: its value if there is one, else a dependency. Pops it.
    pub(super) fn future(&mut self, stack: Stack, at: c_int) -> Result<(), Failed> {
        let fields = self.known.fields;
        let field = |known: &Known, table: c_int, name| {
            known.push_name(stack, name);
            stack.raw_get(table);
        };
        for _hop in 0..MAX_HOPS {
            field(self.known, at, fields.ended);
            field(self.known, at, fields.well);
            let ended = stack.boolean(at + 1);
            let failed = stack.kind(at + 2) == Kind::Boolean && !stack.boolean(at + 2);
            stack.set_top(at);
            if !ended {
                return self.pending_future(stack, at);
            }
            if failed {
                return Err(self.fail(stack, "failed task's future"));
            }
            field(self.known, at, fields.outcome);
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
        let dep = self.out.deps.number(task);
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
        let artefact = self.out.artefacts.number(hash);
        self.out.body.push(tag::ARTEFACT);
        put_uint(&mut self.out.body, artefact as u64);
        stack.set_top(at - 1);
        Ok(())
    }
}
