//! `harness repl`: a script that is typed, one chunk after the other, in the state of a campaign.
//!
//! Chunks are lines from outside to it (`root/lines`), awaited like the end of a task: while one is typed, tasks and flows go
//! on. Who reads them is `editor`, on a thread of its own; what is typed runs, and is shown, in `lua/repl.lua`.

mod editor;
mod names;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use mlua::{Function, HookTriggers, LuaString, Table, VmState};

use self::names::Names;
use super::host::{await_line, is_ours};
use super::state::{Ended, ScriptError, ScriptState, private_globals};
use crate::model::human::count;
use crate::say::say;

const REPL: &str = include_str!("../../../lua/repl.lua");
/// Lua looks so often whether it is told to stop: a few milliseconds.
const INSTRUCTIONS: u32 = 100_000;
/// What a line begins with that is a chunk.
const CHUNK: u8 = b'>';
/// What a line begins with that asks for the names in what the rest leads to.
const QUESTION: u8 = b'?';
/// What the last line begins with where no more can be read: why.
const FAILURE: u8 = b'!';

/// Where chunks come from.
#[derive(Debug)]
pub enum Typed {
    /// A terminal; what was typed before is in this file, if it can be.
    Terminal {
        /// The file.
        history: Option<PathBuf>,
    },
    /// Anything else: standard input, line by line.
    Lines,
}

/// The answer to a question.
struct Named {
    path: String,
    names: Vec<String>,
}

impl ScriptState {
    /// Runs what is typed until its end.
    pub fn converse(&self, typed: Typed) -> Result<Ended, ScriptError> {
        self.heed_interrupts()?;
        let session = self.session(typed)?;
        self.set_arg(Path::new("repl"), &[])?;
        let main = self.lua().load(REPL).set_name("@[harness]/repl.lua");
        let main = main.set_environment(private_globals(self.lua())?).into_function()?;
        self.play(main, (session, self.public()))
    }

    /// What `lua/repl.lua` has besides.
    fn session(&self, typed: Typed) -> Result<Table, ScriptError> {
        let (want, wanted) = channel();
        let (name, named) = channel();
        let lines = self.bridge().port.borrow_mut().listen();
        let read = move || editor::read(&typed, &wanted, lines, named);
        let started = thread::Builder::new().name("typed".into()).spawn(read);
        started.map_err(|error| ScriptError::Internal(format!("cannot start a thread: {error}")))?;

        let session = self.lua().create_table()?;
        session.raw_set("await_line", await_line(self.lua(), self.bridge())?)?;
        session.raw_set("future", self.library("ends")?.get::<Function>("future")?)?;
        session.raw_set("want", self.lua().create_function(move |_, ()| Ok(want.send(()).is_ok()))?)?;
        session.raw_set("answer", self.answer(name)?)?;
        session.raw_set("begin", self.begin_line()?)?;
        let failure = self.library("failure")?;
        for name in ["describe", "sorted_keys", "forget_described"] {
            session.raw_set(name, failure.get::<Function>(name)?)?;
        }
        Ok(session)
    }

    /// Tells the editor the names it asks for.
    fn answer(&self, named: Sender<Named>) -> mlua::Result<Function> {
        let names = Names::new(self.lua())?;
        self.lua().create_function(move |lua, path: LuaString| {
            let path = path.to_string_lossy();
            let names = names.at(lua, &path);
            let _ = named.send(Named { path, names }); // who has left wants to know no more
            Ok(())
        })
    }

    /// What was told to end the line before, too late, does not end the next one; and who leaves while tasks run is told
    /// what is waited for.
    fn begin_line(&self) -> mlua::Result<Function> {
        let forget: Function = self.library("flow")?.get("forget_interrupt")?;
        let bridge = self.bridge().clone();
        self.lua().create_function(move |_, is_last: bool| {
            bridge.port.borrow().forget_interrupts();
            forget.call::<()>(())?;
            let left = bridge.port.borrow().in_flight();
            if is_last && left > 0 {
                say(format_args!("harness: waiting for {}; Ctrl-C ends it", count(left as usize, "task")));
            }
            Ok(())
        })
    }

    /// What computes instead of waiting is ended by Ctrl-C too, where it is the author's.
    fn heed_interrupts(&self) -> mlua::Result<()> {
        let bridge = self.bridge().clone();
        let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS);
        self.lua().set_global_hook(triggers, move |_, debug| {
            let interrupted =
                !is_ours(&debug.source()) && bridge.port.try_borrow().is_ok_and(|port| port.take_interrupt());
            if interrupted { Err(mlua::Error::runtime("interrupted")) } else { Ok(VmState::Continue) }
        })
    }
}
