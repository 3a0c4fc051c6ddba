//! The Lua state of a campaign: standard Lua 5.4, the library, and the script as its first flow.
//!
//! Knows the outside through the port alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, IntoLuaMulti, Lua, LuaString, Table, Value};

use super::bridge::Bridge;
pub use super::bridge::{AddInput, Content};
use super::check::MADE_UP;
use super::host;
use super::modules::Modules;
use super::raw::{self, Shipper};
use super::testing::{Step, Tell};
use crate::model::{Hash, human};
use crate::root::port::Port;

/// The library, in the order it is loaded. Each file gets `host` and the table of those before it.
const LIBRARY: [(&str, &str); 49] = [
    ("modules", include_str!("../../lua/harness/modules.lua")),
    ("failure", include_str!("../../lua/harness/failure.lua")),
    ("load", include_str!("../../lua/harness/load.lua")),
    ("blame", include_str!("../../lua/harness/blame.lua")),
    ("printed", include_str!("../../lua/harness/printed.lua")),
    ("timers", include_str!("../../lua/harness/timers.lua")),
    ("ends", include_str!("../../lua/harness/ends.lua")),
    ("flow", include_str!("../../lua/harness/flow.lua")),
    ("coroutines", include_str!("../../lua/harness/coroutines.lua")),
    ("futures", include_str!("../../lua/harness/futures.lua")),
    ("share", include_str!("../../lua/harness/share.lua")),
    ("types", include_str!("../../lua/harness/types.lua")),
    ("options", include_str!("../../lua/harness/options.lua")),
    ("results", include_str!("../../lua/harness/results.lua")),
    ("pools", include_str!("../../lua/harness/pools.lua")),
    ("specs", include_str!("../../lua/harness/specs.lua")),
    ("launch", include_str!("../../lua/harness/launch.lua")),
    ("tasks", include_str!("../../lua/harness/tasks.lua")),
    ("map", include_str!("../../lua/harness/map.lua")),
    ("blocks", include_str!("../../lua/harness/blocks.lua")),
    ("recipes", include_str!("../../lua/harness/recipes.lua")),
    ("state", include_str!("../../lua/harness/state.lua")),
    ("budget", include_str!("../../lua/harness/budget.lua")),
    ("json", include_str!("../../lua/harness/json.lua")),
    ("fs", include_str!("../../lua/harness/fs.lua")),
    ("random", include_str!("../../lua/harness/random.lua")),
    ("sweep/values", include_str!("../../lua/harness/sweep/values.lua")),
    ("sweep/told", include_str!("../../lua/harness/sweep/told.lua")),
    ("sweep", include_str!("../../lua/harness/sweep.lua")),
    ("search/quantiles", include_str!("../../lua/harness/search/quantiles.lua")),
    ("search/front", include_str!("../../lua/harness/search/front.lua")),
    ("search/space", include_str!("../../lua/harness/search/space.lua")),
    ("search/sequences", include_str!("../../lua/harness/search/sequences.lua")),
    ("search/study", include_str!("../../lua/harness/search/study.lua")),
    ("search/samplers", include_str!("../../lua/harness/search/samplers.lua")),
    ("search/climbing", include_str!("../../lua/harness/search/climbing.lua")),
    ("search/evolution", include_str!("../../lua/harness/search/evolution.lua")),
    ("search/bandit", include_str!("../../lua/harness/search/bandit.lua")),
    ("search/tree", include_str!("../../lua/harness/search/tree.lua")),
    ("search/racing", include_str!("../../lua/harness/search/racing.lua")),
    ("search/dialogue", include_str!("../../lua/harness/search/dialogue.lua")),
    ("search/external", include_str!("../../lua/harness/search/external.lua")),
    ("search/confirm", include_str!("../../lua/harness/search/confirm.lua")),
    ("search/table", include_str!("../../lua/harness/search/table.lua")),
    ("search/run", include_str!("../../lua/harness/search/run.lua")),
    ("search/init", include_str!("../../lua/harness/search/init.lua")),
    ("args", include_str!("../../lua/harness/args.lua")),
    ("testing", include_str!("../../lua/harness/testing.lua")),
    ("requests", include_str!("../../lua/harness/requests.lua")),
];
/// How Lua says that it is refused memory.
const OUT_OF_MEMORY: &str = "not enough memory";
/// Loaded before them, in a dry run only.
const DRY: &str = include_str!("../../lua/harness/dry.lua");
const PUBLIC: &str = include_str!("../../lua/harness.lua");

/// How a script ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It ran to its end.
    Finished,
    /// It called `os.exit` with this code.
    Exit(u8),
    /// The campaign was stopped; run it again to go on.
    Drained,
}

/// How a run is that only looks what a script would do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dry {
    /// Calls give numbers, instead of something that can stand for anything.
    pub numbers: bool,
    /// What is compared with made-up values comes out the other way.
    pub other: bool,
}

/// What is there when a dry run is over.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The globals there are.
    pub globals: BTreeSet<String>,
    /// Others may come when they are asked for: the table of globals has an `__index`.
    pub is_open: bool,
    /// Modules that are loaded, or at hand.
    pub modules: BTreeSet<String>,
    /// What was not done: `writing results.csv`.
    pub left_out: Vec<String>,
    /// Where an `assert` was taken for true that is not, of what was made up.
    pub taken_for_true: Vec<String>,
    /// What would have been said on stderr.
    pub said: Vec<String>,
}

/// Why a script failed.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is not there or cannot be read.
    #[error("cannot read the campaign `{}`: {why}", .script.display())]
    Unreadable {
        /// As named on the command line.
        script: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// It is not Lua; the text begins with file and line.
    #[error("{0}")]
    Syntax(String),
    /// It raised an error; message and traceback.
    #[error("{0}")]
    Raised(String),
    /// Its values took all they may.
    #[error(
        "the script's Lua ran out of memory: its values may take {}, three quarters of what the node has or `ulimit` leaves \
         this process: keep less of it in variables, or in files{trace}", human::bytes(*.limit)
    )]
    Memory {
        /// What they may take, B.
        limit: u64,
        /// The traceback, where there was still room for one.
        trace: String,
    },
    /// The system has no memory for the library, or for what it is just doing.
    #[error("the script's Lua gets no memory from the system: raise `ulimit -d` and `ulimit -v`")]
    Refused,
    /// The library failed: a fault of harness.
    #[error("internal error in the script library (please report it): {0}")]
    Internal(String),
}

impl From<mlua::Error> for ScriptError {
    fn from(error: mlua::Error) -> Self {
        let mut cause = &error;
        while let mlua::Error::CallbackError { cause: inner, .. }
        | mlua::Error::WithContext { cause: inner, .. } = cause
        {
            cause = inner;
        }
        match cause {
            mlua::Error::MemoryError(_) => ScriptError::Refused,
            _ => ScriptError::Internal(error.to_string()),
        }
    }
}

/// See the module.
pub struct ScriptState {
    // Before the bridge, which has to outlive it.
    lua: Lua,
    library: Table,
    public: Table,
    bridge: Rc<Bridge>,
    /// What Lua's values may take, B.
    memory: Option<u64>,
}

/// What is left of the script now goes away, and may have something to say about it.
impl Drop for ScriptState {
    fn drop(&mut self) {
        self.bridge.port.borrow().leave("a `__gc` metamethod");
    }
}

impl ScriptState {
    /// A state whose script has not begun. `add_input` puts content into the root's store; `modules` are those
    /// that slots get too.
    pub fn new(port: Port, add_input: AddInput, modules: Arc<Modules>) -> Result<Self, ScriptError> {
        Self::make(port, add_input, modules, None)
    }

    /// The same for a dry run: the script changes nothing outside, as far as that can be prevented.
    pub fn dry(
        port: Port,
        add_input: AddInput,
        modules: Arc<Modules>,
        how: Dry,
    ) -> Result<Self, ScriptError> {
        Self::make(port, add_input, modules, Some(how))
    }

    fn make(
        port: Port,
        add_input: AddInput,
        modules: Arc<Modules>,
        dry: Option<Dry>,
    ) -> Result<Self, ScriptError> {
        let lua = raw::new_state();
        let shipper = Shipper::new(&lua)?;
        let bridge = Rc::new(Bridge::new(port, shipper, add_input, modules));
        let (library, public) = load_library(&lua, &bridge, dry)?;
        let state = Self { lua, library, public, bridge, memory: None };
        let package: Table = state.lua.globals().get("package")?;
        package.get::<Table>("loaded")?.raw_set("harness", &state.public)?;
        state.set_up_random()?;
        Ok(state)
    }

    /// What the script's values may take (B): beyond that Lua is refused memory, which is an error of the script. Without
    /// a limit it would be the end of this process.
    pub fn limit_memory(&mut self, bytes: u64) -> Result<(), ScriptError> {
        self.lua.set_memory_limit(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        self.memory = Some(bytes);
        Ok(())
    }

    pub(super) fn lua(&self) -> &Lua {
        &self.lua
    }

    /// What a file of the library gives.
    pub(super) fn library(&self, name: &str) -> mlua::Result<Table> {
        self.library.get(name)
    }

    /// What `require "harness"` gives.
    pub(super) fn public(&self) -> &Table {
        &self.public
    }

    pub(super) fn bridge(&self) -> &Rc<Bridge> {
        &self.bridge
    }

    /// Runs the script to its end.
    pub fn run(&self) -> Result<Ended, ScriptError> {
        self.begin(Ok)
    }

    /// Runs a file of tests to its end: those of its tests whose name has `filter` in it.
    pub fn run_tests(&self, filter: &str, tell: Tell) -> Result<Ended, ScriptError> {
        let tell =
            self.lua.create_function(move |_, (step, name, text): (String, LuaString, LuaString)| {
                let step = Step::of_word(&step).ok_or_else(|| mlua::Error::runtime("no step of a test"))?;
                tell(step, &name.to_string_lossy(), &text.to_string_lossy());
                Ok(())
            })?;
        let wrap: Function = self.library.get::<Table>("testing")?.get("wrap")?;
        self.begin(|main| wrap.call((main, filter, tell)))
    }

    /// Runs what `begin` makes of the script's main function.
    fn begin(&self, begin: impl FnOnce(Function) -> mlua::Result<Function>) -> Result<Ended, ScriptError> {
        let (script, args) = {
            let port = self.bridge.port.borrow();
            let campaign = port.campaign();
            (campaign.script.clone(), campaign.args.clone())
        };
        let main = begin(self.load(&script)?)?;
        self.set_arg(&script, &args)?;
        self.play(main, mlua::Variadic::from_iter(args))
    }

    /// Runs `main` as the first flow, to its end and that of all it started.
    pub(super) fn play(&self, main: Function, args: impl IntoLuaMulti) -> Result<Ended, ScriptError> {
        let run: Function = self.library.get::<Table>("flow")?.get("main")?;
        let ended = run.call::<(String, Value)>((main, args.into_lua_multi(&self.lua)?));
        let (how, detail) = ended.map_err(|error| match error {
            // Not even its error could be told in order.
            mlua::Error::MemoryError(_) => self.raised(OUT_OF_MEMORY.into()),
            error => error.into(),
        })?;
        match (how.as_str(), detail) {
            ("finished", _) => {
                self.bridge.port.borrow_mut().came_to_its_end();
                Ok(Ended::Finished)
            }
            ("drain", _) => Ok(Ended::Drained),
            ("exit", Value::Integer(code)) => Ok(Ended::Exit(code as u8)),
            (_, Value::String(text)) => Err(self.raised(text.to_string_lossy())),
            (how, _) => Err(ScriptError::Internal(format!("the script ended as '{how}'"))),
        }
    }

    fn raised(&self, text: String) -> ScriptError {
        match (text.strip_prefix(OUT_OF_MEMORY), self.memory) {
            (Some(trace), Some(limit)) => ScriptError::Memory { limit, trace: trace.into() },
            _ => ScriptError::Raised(text),
        }
    }

    fn load(&self, script: &Path) -> Result<Function, ScriptError> {
        let source = std::fs::read(script)
            .map_err(|why| ScriptError::Unreadable { script: script.to_owned(), why })?;
        // Messages are the same wherever it lies.
        compile(&self.lua, source, &format!("@{}", script.file_name().unwrap_or_default().display()))
    }

    /// What is there now; of a dry run.
    pub fn seen(&self) -> Result<Seen, ScriptError> {
        let names = |table: Table| -> mlua::Result<Vec<String>> {
            let mut names = Vec::new();
            for pair in table.pairs::<Value, Value>() {
                if let Value::String(name) = pair?.0 {
                    names.push(name.to_string_lossy());
                }
            }
            Ok(names)
        };
        let globals = self.lua.globals();
        let index = globals.metatable().map(|meta| meta.raw_get::<Value>("__index")).transpose()?;
        let package: Table = globals.raw_get("package")?;
        let mut modules = names(package.raw_get("loaded")?)?;
        modules.extend(names(package.raw_get("preload")?)?);
        let dry: Table = self.library.raw_get("dry")?;
        Ok(Seen {
            is_open: index.is_some_and(|index| !index.is_nil()),
            globals: names(globals)?.into_iter().collect(),
            modules: modules.into_iter().collect(),
            left_out: dry.raw_get("left_out")?,
            taken_for_true: dry.raw_get("taken_for_true")?,
            said: dry.raw_get("said")?,
        })
    }

    /// `arg`, as Lua's own interpreter sets it.
    pub(super) fn set_arg(&self, script: &Path, args: &[String]) -> mlua::Result<()> {
        let arg = self.lua.create_sequence_from(args.iter().map(String::as_str))?;
        arg.raw_set(0, script.display().to_string())?;
        self.lua.globals().raw_set("arg", arg)
    }

    fn set_up_random(&self) -> mlua::Result<()> {
        let seed = self.bridge.port.borrow().campaign().seed;
        let math: Table = self.lua.globals().get("math")?;
        // Tasks have theirs with the campaign's seed and their number (`TaskState`); none has this one.
        math.get::<Function>("randomseed")?.call((seed as i64, -1))
    }
}

/// Text as a function that is called so in messages.
pub(super) fn compile(lua: &Lua, mut source: Vec<u8>, name: &str) -> Result<Function, ScriptError> {
    // Editors of Windows begin a text so.
    if source.starts_with("\u{feff}".as_bytes()) {
        source.drain(.."\u{feff}".len());
    }
    if source.starts_with(b"#") {
        // `#!` makes a script executable; to Lua it is a comment of the same length.
        let end = source.iter().position(|byte| *byte == b'\n').unwrap_or(source.len());
        source[..end].fill(b' ');
    }
    let chunk = lua.load(source).set_name(name).set_mode(mlua::chunk::ChunkMode::Text);
    let file = name.trim_start_matches(['@', '=']);
    chunk.into_function().map_err(|error| match error {
        // Of these two Lua names neither file nor line.
        mlua::Error::SyntaxError { message, .. } if message.contains("attempt to load a binary chunk") => {
            ScriptError::Syntax(format!("{file}: it is compiled; give the text it was made from"))
        }
        mlua::Error::RuntimeError(message) if message.contains("C stack overflow") => {
            ScriptError::Syntax(format!(
                "{file}: nested too deeply for Lua, which takes 200 levels of `..`, `(` and `{{` in each other: a long text is made \
                 by table.concat, a long table in steps"
            ))
        }
        mlua::Error::SyntaxError { message, .. } => ScriptError::Syntax(message),
        other => other.into(),
    })
}

/// The table of internal files and what `require "harness"` gives.
fn load_library(lua: &Lua, bridge: &Rc<Bridge>, dry: Option<Dry>) -> mlua::Result<(Table, Table)> {
    let hot = raw::submit_functions(lua, bridge)?;
    let host = host::table(lua, bridge, hot)?;
    let library = lua.create_table()?;
    if let Some(Dry { numbers, other }) = dry {
        let how = lua.create_table_from([("numbers", numbers), ("other", other)])?;
        how.raw_set("made_up", MADE_UP)?;
        let hash = |_: &Lua, text: LuaString| Ok(Hash::of(&text.as_bytes()).to_string());
        how.raw_set("hash", lua.create_function(hash)?)?;
        let exported: Value = lua.load(DRY).set_name("@[harness]/dry.lua").call((&host, how))?;
        library.raw_set("dry", exported)?;
    }
    let globals = private_globals(lua)?;
    for (name, source) in LIBRARY {
        let chunk =
            lua.load(source).set_name(format!("@[harness]/{name}.lua")).set_environment(globals.clone());
        let exported: Value = chunk.call((&host, &library))?;
        library.raw_set(name, exported)?;
    }
    let public = lua.load(PUBLIC).set_name("@[harness]/harness.lua").set_environment(globals);
    let public: Table = public.call((&host, &library))?;
    if dry.is_some() {
        library.get::<Table>("dry")?.get::<Function>("finish")?.call::<()>((&public, &library))?;
    }
    let future: Table = library.get::<Table>("ends")?.get("Future")?;
    let mut shipper = bridge.shipper.borrow_mut();
    shipper.set_future_metatable(lua, &future)?;
    shipper.set_share_metatable(lua, &library.get::<Table>("share")?.get("Shared")?)?;
    shipper.standard_changed(lua)?;
    Ok((library, public))
}

/// What the library sees as its globals: the standard ones as they are now, tables copied, so that nothing a
/// script does to its own can reach us. `_G` is still the script's.
pub(super) fn private_globals(lua: &Lua) -> mlua::Result<Table> {
    let globals = lua.globals();
    let copy = lua.create_table()?;
    for pair in globals.pairs::<Value, Value>() {
        match pair? {
            (name, Value::Table(module)) if module != globals => {
                let functions: Vec<(Value, Value)> = module.pairs().collect::<mlua::Result<_>>()?;
                copy.raw_set(name, lua.create_table_from(functions)?)?;
            }
            (name, value) => copy.raw_set(name, value)?,
        }
    }
    Ok(copy)
}

#[cfg(test)]
#[path = "meta_tests.rs"]
mod meta_tests;
