//! `harness repl`: a script that is typed, one chunk after the other, in the state of a campaign.
//!
//! At a terminal with line editing, history and completion from what the state has; from a pipe line by line. While a chunk
//! is typed nothing of the script runs; what it has submitted does.

use std::cell::RefCell;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use mlua::{Function, HookTriggers, Lua, Table, Value, VmState, WeakLua};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::state::{Ended, ScriptError, ScriptState, private_globals};
use crate::model::human::count;
use crate::say::say;

const REPL: &str = include_str!("../../lua/repl.lua");
const PROMPT: &str = "> ";
/// Lua looks so often whether it is told to stop: a few milliseconds.
const INSTRUCTIONS: u32 = 100_000;
/// Words of Lua itself that somebody may want to have completed.
const KEYWORDS: [&str; 8] = ["break", "function", "local", "nil", "repeat", "return", "true", "while"];

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

impl ScriptState {
    /// Runs what is typed until its end.
    pub fn converse(&self, typed: &Typed) -> Result<Ended, ScriptError> {
        self.heed_interrupts()?;
        let read = match typed {
            Typed::Terminal { history } => self.edited(history.as_deref())?,
            Typed::Lines => self.plain()?,
        };
        let read = self.each_a_new_line(read)?;
        let failure = self.library("failure")?;
        let (describe, sorted_keys): (Function, Function) =
            (failure.get("describe")?, failure.get("sorted_keys")?);
        self.set_arg(Path::new("repl"), &[])?;
        let main = self.lua().load(REPL).set_name("@[harness]/repl.lua");
        let main = main.set_environment(private_globals(self.lua())?).into_function()?;
        self.play(main, (read, describe, sorted_keys, self.public()))
    }

    /// What was told to end the line before, too late, does not end the next one; and who leaves while tasks run is told
    /// what is waited for.
    fn each_a_new_line(&self, read: Function) -> mlua::Result<Function> {
        let forget: Function = self.library("flow")?.get("forget_interrupt")?;
        let bridge = self.bridge().clone();
        self.lua().create_function(move |_, ()| {
            let text: Option<mlua::LuaString> = read.call(())?;
            bridge.port.borrow().forget_interrupts();
            forget.call::<()>(())?;
            let left = bridge.port.borrow().in_flight();
            if text.is_none() && left > 0 {
                say(format_args!("harness: waiting for {}; Ctrl-C ends it", count(left as usize, "task")));
            }
            Ok(text)
        })
    }

    /// What computes instead of waiting is ended by Ctrl-C too, where it is the author's.
    fn heed_interrupts(&self) -> mlua::Result<()> {
        let bridge = self.bridge().clone();
        let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS);
        self.lua().set_global_hook(triggers, move |_, debug| {
            let ours = debug.source().source.is_some_and(|source| source.starts_with("@[harness]"));
            let interrupted = !ours && bridge.port.try_borrow().is_ok_and(|port| port.take_interrupt());
            if interrupted { Err(mlua::Error::runtime("interrupted")) } else { Ok(VmState::Continue) }
        })
    }

    /// Reads from a terminal.
    fn edited(&self, history: Option<&Path>) -> Result<Function, ScriptError> {
        let failed = |error: ReadlineError| ScriptError::Internal(format!("the terminal: {error}"));
        let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
        let mut editor: Editor<Words, FileHistory> = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Words { lua: self.lua().weak() }));
        if let Some(file) = history {
            let _ = editor.load_history(file); // there is none the first time
        }
        let (editor, history) = (RefCell::new(editor), history.map(Path::to_path_buf));
        let read = move |_: &Lua, ()| {
            let mut editor = editor.borrow_mut();
            loop {
                match editor.readline(PROMPT) {
                    Ok(text) => {
                        if let Some(file) = &history {
                            let _ = editor.append_history(file); // a disk that is full is no reason to stop
                        }
                        return Ok(Some(text));
                    }
                    Err(ReadlineError::Interrupted) => {} // what was typed is taken back
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => return Err(mlua::Error::runtime(format!("the terminal: {error}"))),
                }
            }
        };
        Ok(self.lua().create_function(read)?)
    }

    /// Reads whole chunks from standard input.
    fn plain(&self) -> mlua::Result<Function> {
        self.lua().create_function(|lua, ()| {
            let mut text = Vec::new();
            let mut input = std::io::stdin().lock();
            loop {
                let at_end = input.read_until(b'\n', &mut text)? == 0;
                if text.trim_ascii().is_empty() {
                    text.clear();
                } else if at_end || !is_begun(lua, &text) {
                    return Ok(Some(lua.create_string(&text)?));
                }
                if at_end {
                    return Ok(None);
                }
            }
        })
    }
}

/// Is this the beginning of a chunk, and not yet all of it?
fn is_begun(lua: &Lua, text: &[u8]) -> bool {
    let begun = |text: Vec<u8>| {
        let chunk = lua.load(text).set_name("=repl").set_mode(mlua::chunk::ChunkMode::Text);
        match chunk.into_function() {
            Ok(_) => Some(false),
            Err(mlua::Error::SyntaxError { incomplete_input, .. }) => incomplete_input.then_some(true),
            Err(_) => None,
        }
    };
    let text = text.strip_prefix(b"=").unwrap_or(text);
    // `f(` is no statement yet, and no expression: what it may become decides.
    begun([b"return ", text].concat()).or_else(|| begun(text.into())).unwrap_or(false)
}

/// What the editor asks the state.
struct Words {
    /// Which holds the editor, that holds this.
    lua: WeakLua,
}

impl Words {
    /// Names in the table that `path` leads to, `a.b`; of all tables, without running anything.
    fn names_in(&self, path: &str) -> Vec<String> {
        let Some(lua) = self.lua.try_upgrade() else { return Vec::new() };
        let mut at = Value::Table(lua.globals());
        for name in path.split(['.', ':']).filter(|name| !name.is_empty()) {
            at = tables_of(at).iter().find_map(|table| found(table, name)).unwrap_or(Value::Nil);
        }
        let tables = tables_of(at);
        let names = tables.iter().flat_map(|table| table.pairs::<Value, Value>().flatten());
        let mut names: Vec<String> = names
            .filter_map(|(name, _)| Some(name.as_string()?.to_str().ok()?.to_owned()))
            .filter(|name| !name.starts_with("__"))
            .collect();
        if path.is_empty() {
            names.extend(KEYWORDS.map(str::to_owned));
        }
        names.sort();
        names.dedup();
        names
    }
}

fn found(table: &Table, name: &str) -> Option<Value> {
    table.raw_get::<Value>(name).ok().filter(|value| !value.is_nil())
}

/// Where the fields of a value are: itself, and the table its metatable names.
fn tables_of(value: Value) -> Vec<Table> {
    let Value::Table(table) = value else { return Vec::new() };
    let index = table.metatable().and_then(|meta| meta.raw_get::<Option<Table>>("__index").ok().flatten());
    [Some(table), index].into_iter().flatten().collect()
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..at];
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_.:".contains(c);
        let word = typed.rfind(|c| !is_word(c)).map_or(typed, |last| &typed[last + 1..]);
        let (path, name) = word.rfind(['.', ':']).map_or(("", word), |dot| (&word[..dot], &word[dot + 1..]));
        let names = self.names_in(path).into_iter().filter(|candidate| candidate.starts_with(name)).collect();
        Ok((at - name.len(), names))
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let begun = |lua: Lua| is_begun(&lua, context.input().as_bytes());
        Ok(match self.lua.try_upgrade().is_some_and(begun) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_whole_when_nothing_is_missing() {
        let lua = Lua::new();
        for (text, begun) in [
            ("1 + 1", false),
            ("x = 3", false),
            ("f(", true),
            ("=f(1)", false),
            ("{ 1,", true),
            ("for i = 1, 3 do", true),
            ("for i = 1, 3 do\nprint(i)\nend", false),
            ("function f()\n", true),
            ("print [[\nlong", true),
            ("x = = 3", false),
            ("", false),
        ] {
            assert_eq!(is_begun(&lua, text.as_bytes()), begun, "{text}");
        }
    }

    #[test]
    fn names_are_those_of_the_state_and_nothing_runs_to_find_them() {
        let lua = Lua::new();
        lua.load("box = setmetatable({ lid = { colour = 1 } }, { __index = { open = print, __gc = 1 } })")
            .exec()
            .unwrap();
        lua.load("trap = setmetatable({}, { __index = function() error 'it ran' end })").exec().unwrap();
        let words = Words { lua: lua.weak() };
        assert_eq!(words.names_in("box"), ["lid", "open"]);
        assert_eq!(words.names_in("box.lid"), ["colour"]);
        assert!(words.names_in("trap.x").is_empty());
        assert!(words.names_in("string").contains(&"format".to_owned()));
        assert!(words.names_in("").iter().any(|name| name == "while"));
    }
}
