//! The Lua state of a slot: runs calls, one after another, each with globals of its own.
//!
//! What stays from call to call is what is meant to stay: loaded modules and `harness.worker.state`. The
//! script's `init` is a call too, the first, with `harness.worker` as its argument. Knows nothing of sockets and
//! clocks: modules, and whether to stop, come from the functions it is given, outcomes are returned.

mod inspect;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use mlua::{Function, IntoLuaMulti, Lua, LuaSerdeExt, MultiValue, Table, Value};
use rustc_hash::FxHashMap;
use serde_bytes::ByteBuf;

use super::library::Note;
use super::raw::{
    self, Around, Called, Gathered, Manifest, ShipError, Shipped, Shipper, Stopper, ToStop, Wanted,
};
use super::results::{self, Label};
use super::session::{self, StartSession};
use super::{files, host, json, library};
use crate::model::human::{MESSAGE_BYTES, bounded};
use crate::model::{
    Attempt, CallError, CallReturn, CallReturns, CallTask, DepRecord, DepValue, Detail, Hash, InitCall, Kind,
    Module, Outcome, SlotInit, Status, TaskId, batch, human,
};

pub use self::inspect::Wrote;

/// Asks for a module by its name; or says why it could not ask.
pub type Require = Box<dyn FnMut(&str) -> Result<Module, String>>;

/// Modules of the library that tasks have too, and one that they alone have.
const MODULES: [(&str, &str); 3] = [
    ("json", include_str!("../../lua/harness/json.lua")),
    ("fs", include_str!("../../lua/harness/fs.lua")),
    ("dl", include_str!("dl.lua")),
];

/// Status, reason and detail of how a call ended.
type Told = (Status, Option<String>, Detail);

/// What a state needs of the process around it.
pub struct Outside {
    /// Asked for modules that are neither loaded nor written in C.
    pub require: Require,
    /// Is the call under way to stop? Asked when a signal says that it may have to.
    pub to_stop: ToStop,
    /// Starts a helper process.
    pub start_session: StartSession,
    /// Told which function of a library is called.
    pub note: Note,
    /// Told which of calls that travel together begins, from 0, and that none of them runs any more.
    pub set_place: Box<dyn Fn(Option<u32>)>,
}

/// See the module.
pub struct TaskState {
    lua: Lua,
    shipper: Shipper,
    around: Around,
    /// Metatables of errors and records.
    error_class: Table,
    record_class: Table,
    /// `failure.strict` and `failure.a`.
    strict: Function,
    shown: Function,
    store_dir: String,
    seed: u64,
    /// How much memory Lua may take, for people.
    memory: String,
    /// Half of that (B): what a buffer becomes takes its size twice, so no function of Lua can ask for more at once.
    half: usize,
    /// What calls leave behind is looked through once more is in use (B): not all functions of Lua that find no memory do so themselves.
    full: usize,
    /// `harness.worker`.
    here: Table,
    /// See [`Outside`].
    set_place: Box<dyn Fn(Option<u32>)>,
    /// The call under way changed what belongs to the process, and what undoes it.
    changed: Rc<Cell<bool>>,
    undo: Function,
}

impl TaskState {
    /// A fresh state.
    pub fn new(init: &SlotInit, outside: Outside) -> mlua::Result<Self> {
        let Outside { require, to_stop, start_session, note, set_place } = outside;
        let lua = raw::new_state();
        let changed = Rc::new(Cell::new(false));
        let host = surroundings(&lua, init, require, changed.clone())?;
        host.raw_set("closest", lua.create_function(host::closest)?)?;
        let failure =
            lua.load(include_str!("../../lua/harness/failure.lua")).set_name("@[harness]/failure.lua");
        let failure: Table = failure.call(&host)?;
        let (error_class, record_class): (Table, Table) =
            (failure.raw_get("Error")?, failure.raw_get("Record")?);
        host.raw_set("Error", &error_class)?;
        host.raw_set("Record", &record_class)?;
        host.raw_set("describe", failure.raw_get::<Function>("describe")?)?;
        host.raw_set("advice", failure.raw_get::<Function>("advice")?)?;
        host.raw_set("loaded_from", raw::loaded_from(&lua)?)?;
        let modules = lua.load(include_str!("../../lua/harness/modules.lua"));
        modules.set_name("@[harness]/modules.lua").call::<()>(&host)?;
        host.raw_set("where", failure.raw_get::<Function>("where")?)?;
        host.raw_set("start_session", session::start_function(&lua, start_session)?)?;
        host.raw_set("options", options(&lua, &host, &failure)?)?;
        host.raw_set("session", session(&lua, &host, &failure)?)?;
        library::register(&lua, &host, note)?;
        json::register(&lua, &host)?;
        // Relative paths begin where the slot is.
        files::register(&lua, &host, PathBuf::new())?;
        let library = slot_library(&lua, &host, &failure)?;
        let stopper = Stopper::new(&lua, &library.raw_get("where_stopped")?, to_stop)?;

        let mut shipper = Shipper::new(&lua)?;
        shipper.set_store_dir(&init.store_dir);
        shipper.set_label("result");
        // Always: what the system refuses ends the process, what Lua refuses ends the call.
        let limit = init.setup.memory.unwrap_or(init.node_memory);
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        lua.set_memory_limit(most)?;
        Ok(Self {
            half: most / 2,
            full: most / 2,
            shipper,
            around: Around {
                stopper,
                before: library.raw_get("before")?,
                handler: library.raw_get("handler")?,
            },
            error_class,
            record_class,
            strict: failure.raw_get("strict")?,
            shown: failure.raw_get("a")?,
            store_dir: init.store_dir.clone(),
            seed: init.seed,
            memory: match init.setup.memory {
                Some(limit) => format!("its slot may take {} (spawn{{ memory = … }})", human::bytes(limit)),
                None => format!("the node has {}", human::bytes(limit)),
            },
            here: host.raw_get("here")?,
            set_place,
            changed,
            undo: library.raw_get("undo")?,
            lua,
        })
    }

    /// Takes bytecode that calls to come refer to.
    pub fn learn(&mut self, hash: Hash, bytes: Vec<u8>) -> Result<(), ShipError> {
        self.shipper.learn(hash, bytes)
    }

    /// This shared value need not be kept.
    pub fn forget(&mut self, share: Hash) {
        self.shipper.forget_share(&self.lua, share);
    }

    /// Runs a call to its end.
    pub fn run(&mut self, call: &CallTask) -> Outcome {
        if call.many { self.run_many(call) } else { self.run_with(call, Value::Nil) }
    }

    fn run_with(&mut self, call: &CallTask, argument: Value) -> Outcome {
        let start = Instant::now();
        let called = self.with_gpus(call, argument);
        let told = self.told(called, call.timeout);
        self.undo_changes();
        self.outcome(told, start)
    }

    /// Runs calls that travelled together, each as if it were alone, until one fails or they have taken long enough.
    fn run_many(&mut self, call: &CallTask) -> Outcome {
        let start = Instant::now();
        let (function, messages) = match batch::calls(&call.payload) {
            Ok((function, calls)) => (function, batch::messages(calls)),
            Err(error) => {
                let told = self.told(Err(ShipError::Lua(error.to_string())), None);
                return self.outcome(told, start);
            }
        };
        let campaign = self.seed as i64;
        let mut calls = messages.zip((call.seed..).map(|seed| (campaign, seed as i64))).peekable();
        let (changed, in_time) = (self.changed.clone(), || start.elapsed() < batch::LONGEST);
        let mut gathered = Gathered::default();
        let mut begun = 0;
        let ended = loop {
            // What one of them changed for the process is undone before the next.
            let go_on = || !changed.get() && in_time();
            let mut next = calls.by_ref().inspect(|_| {
                (self.set_place)(Some(begun));
                begun += 1;
            });
            let ended =
                self.shipper.call_each(&self.lua, &self.around, function, &mut next, &mut gathered, &go_on);
            self.undo_changes();
            if !matches!(ended, Ok(None)) || calls.peek().is_none() || !in_time() {
                break ended;
            }
        };
        (self.set_place)(None);
        let told = match ended.transpose() {
            Some(failed) => {
                let (status, reason, mut detail) = self.told(failed, call.timeout);
                if let Detail::CallError(error) = &mut detail {
                    error.place = begun.checked_sub(1);
                }
                (status, reason, detail)
            }
            None => {
                let codes = self.own_code(&gathered.codes.take());
                let returned = CallReturns { values: gathered.values.into(), codes };
                (Status::Ok, None, Detail::Calls(returned))
            }
        };
        self.outcome(told, start)
    }

    /// May what calls left behind be in the way of the next one?
    pub fn is_full(&self) -> bool {
        self.lua.used_memory() > self.full
    }

    /// Gives it back. What is kept on purpose is not looked through for each call.
    pub fn collect(&mut self) {
        let _ = self.lua.gc_collect();
        self.full = self.half + self.lua.used_memory() / 2;
    }

    fn undo_changes(&mut self) {
        if self.changed.take() {
            // What fails here failed for the task too, which asked for it.
            let _ = self.undo.call::<()>(());
        }
    }

    fn outcome(&self, (status, reason, detail): Told, start: Instant) -> Outcome {
        Outcome {
            status,
            reason,
            host: Default::default(),
            detail,
            elapsed_s: start.elapsed().as_secs_f64(),
            conditions: None,
        }
    }

    /// Runs the script's `init`, before all calls. What it returns is dropped.
    pub fn init(&mut self, init: &InitCall, slot: &SlotInit) -> Result<(), Box<Outcome>> {
        let failed = |error: ShipError| {
            Box::new(Outcome::failed(Status::SetupFailed, format!("init of its slot: {error}")))
        };
        for (hash, bytes) in &init.codes {
            self.learn(*hash, bytes.to_vec()).map_err(failed)?;
        }
        // Random numbers of its own for each slot: it may name a file with them.
        let place = u64::from(slot.worker.0) << 16 | u64::from(slot.slot.0);
        let here = Value::Table(self.here.clone());
        let call = CallTask {
            task: TaskId(u64::MAX - place),
            attempt: Attempt(0),
            seed: 0,
            timeout: Some(init.timeout),
            fresh: false,
            gpus: None,
            gang: None,
            many: false,
            payload: init.payload.clone().into(),
            deps: Vec::new(),
        };
        let outcome = self.run_with(&call, here);
        if outcome.ok() {
            return Ok(());
        }
        let mut outcome = Outcome { status: Status::SetupFailed, ..outcome };
        let told = |text: &str| format!("init of its slot: {text}");
        outcome.reason = outcome.reason.as_deref().map(told);
        if let Detail::CallError(error) = &mut outcome.detail {
            error.message = told(&error.message);
        }
        Err(Box::new(outcome))
    }

    fn told(&mut self, called: Result<Called, ShipError>, limit: Option<f64>) -> Told {
        let (status, error) = match called {
            Ok(Called::Returned { values, text }) => {
                let mut values = self.with_code(values);
                values.text = text.map(Into::into);
                return (Status::Ok, None, Detail::Call(values));
            }
            Ok(Called::Raised { message, traceback, value }) => {
                // A message too long to be kept is mostly the value itself.
                let value = value.filter(|_| message.len() <= MESSAGE_BYTES);
                let value = value.map(|value| self.with_code(value));
                let (message, traceback) = (bounded(message), bounded(traceback));
                (Status::Error, CallError { message, traceback, value, place: None })
            }
            Ok(Called::Stopped { at, traceback }) => {
                let limit = limit.map_or_else(String::new, |limit| format!(" of {limit} s"));
                let at = if at.is_empty() { at } else { format!(" at {at}") };
                let message = format!("ran into its timeout{limit}{at}");
                (Status::Timeout, CallError { message, traceback, ..CallError::default() })
            }
            Ok(Called::OutOfMemory) => (Status::Oom, self.out_of_memory()),
            Err(ShipError::Lua(text)) if text == "not enough memory" => (Status::Oom, self.out_of_memory()),
            Err(error) => {
                (Status::Error, CallError { message: bounded(error.to_string()), ..CallError::default() })
            }
        };
        (status, Some(error.message.clone()), Detail::CallError(Box::new(error)))
    }

    fn out_of_memory(&mut self) -> CallError {
        // What the call left behind is not to burden the next one.
        self.collect();
        let used = human::bytes(self.lua.used_memory() as u64);
        let message = format!("Lua ran out of memory: {}; {used} stay in use", self.memory);
        CallError { message, ..CallError::default() }
    }

    /// The call, with `harness.worker.gpus` naming those it was given.
    fn with_gpus(&mut self, call: &CallTask, argument: Value) -> Result<Called, ShipError> {
        let Some(gpus) = &call.gpus else { return self.call(call, argument) };
        let failed = |error: mlua::Error| ShipError::Lua(error.to_string());
        self.here.raw_set("gpus", gpus.ids.as_slice()).map_err(failed)?;
        let called = self.call(call, argument);
        self.here.raw_set("gpus", self.lua.create_table().map_err(failed)?).map_err(failed)?;
        called
    }

    fn call(&mut self, call: &CallTask, argument: Value) -> Result<Called, ShipError> {
        let deps = if call.deps.is_empty() { Value::Nil } else { self.results(call)? };
        // The same numbers in every run, whichever slot the task lands on.
        let seeds = (self.seed as i64, call.seed as i64);
        // Only `init` is given something, and what it returns is of no interest.
        let wanted = if argument.is_nil() { Wanted::Text } else { Wanted::Nothing };
        self.shipper.call(&self.lua, &self.around, seeds, &call.payload, (deps, argument, wanted))
    }

    /// The results a call waits for, in the order of its manifest.
    fn results(&mut self, call: &CallTask) -> Result<Value, ShipError> {
        let failed = |error: mlua::Error| ShipError::Lua(error.to_string());
        let list = self.lua.create_table().map_err(failed)?;
        let deps: FxHashMap<TaskId, &DepValue> =
            call.deps.iter().map(|(task, value)| (*task, value)).collect();
        for (i, task) in (1..).zip(Manifest::of(&call.payload)?.deps) {
            let value = match deps.get(&task) {
                Some(DepValue::Values(bytes)) => {
                    let values = self.shipper.decode(&self.lua, bytes, &mut no_result)?;
                    values.into_iter().next().unwrap_or(Value::Nil)
                }
                Some(DepValue::Artefact(hash)) => {
                    let path = format!("{}/{}", self.store_dir, hash.object_path());
                    Value::String(self.lua.create_string(path).map_err(failed)?)
                }
                Some(DepValue::Record(record)) => Value::Table(self.record(record).map_err(failed)?),
                None => return Err(ShipError::Dependency(format!("the result of task {task} did not come"))),
            };
            list.raw_set(i, value).map_err(failed)?;
        }
        Ok(Value::Table(list))
    }

    /// The record of a task, as the script would see it; of a call that failed, its error.
    fn record(&mut self, DepRecord { label, outcome }: &DepRecord) -> mlua::Result<Table> {
        let (record, class) = if label.kind == Kind::Call {
            let value = results::error_value(&self.lua, &mut self.shipper, outcome);
            (results::failure(&self.lua, outcome, value)?, &self.error_class)
        } else {
            let params = label.params.as_deref().and_then(|json| serde_json::from_str(json).ok());
            let params = params.map(|params: serde_json::Value| self.lua.to_value(&params)).transpose()?;
            let params = params.as_ref().and_then(Value::as_table).cloned();
            let label = (label.kind, Label { name: label.name.clone(), params });
            (results::record(&self.lua, label.0, &label.1, outcome)?, &self.record_class)
        };
        record.set_metatable(Some(class.clone()))?;
        Ok(record)
    }

    /// Of these the bytecode that did not come from the root.
    fn own_code(&self, codes: &[Hash]) -> Vec<(Hash, ByteBuf)> {
        let own = codes.iter().filter(|hash| !self.shipper.learned(**hash));
        own.filter_map(|hash| Some((*hash, self.shipper.bytecode(*hash)?.to_vec().into()))).collect()
    }

    /// Adds the bytecode that did not come from the root.
    fn with_code(&self, shipped: Shipped) -> CallReturn {
        let text_at = shipped.first_string();
        CallReturn { codes: self.own_code(&shipped.codes), values: shipped.bytes, text: None, text_at }
    }
}

/// What `host.find` gives: `"lua"`, chunk name and text; `"c"` and a path; or nil and what was tried.
pub(super) fn found_module(lua: &Lua, module: &Module) -> mlua::Result<MultiValue> {
    match module {
        Module::Lua(chunk, source) => ("lua", chunk.as_str(), lua.create_string(source)?).into_lua_multi(lua),
        Module::C(path) => ("c", path.as_str()).into_lua_multi(lua),
        Module::Missing(tried) => (Value::Nil, tried.as_str()).into_lua_multi(lua),
    }
}

/// The checks of tables of options, loaded when they are used first: most slots never do.
fn options(lua: &Lua, host: &Table, failure: &Table) -> mlua::Result<Function> {
    let (host, failure) = (host.clone(), failure.clone());
    let loaded: RefCell<Option<Table>> = RefCell::default();
    lua.create_function(move |lua, ()| {
        if let Some(options) = &*loaded.borrow() {
            return Ok(options.clone());
        }
        let library = lua.create_table_from([("failure", &failure)])?;
        // Neither futures nor tasks are here, but the checks ask for their classes.
        library.raw_set("ends", lua.create_table_from([("Future", lua.create_table()?)])?)?;
        library.raw_set("Task", lua.create_table()?)?;
        let types = lua.load(include_str!("../../lua/harness/types.lua")).set_name("@[harness]/types.lua");
        library.raw_set("types", types.call::<Table>((&host, &library))?)?;
        let options =
            lua.load(include_str!("../../lua/harness/options.lua")).set_name("@[harness]/options.lua");
        let options: Table = options.call((&host, library))?;
        *loaded.borrow_mut() = Some(options.clone());
        Ok(options)
    })
}

/// `harness.session`, likewise.
fn session(lua: &Lua, host: &Table, failure: &Table) -> mlua::Result<Function> {
    let (host, failure) = (host.clone(), failure.clone());
    lua.create_function(move |lua, ()| {
        let session = lua.load(include_str!("session.lua")).set_name("@[harness]/session.lua");
        session.call::<Function>((&host, &failure))
    })
}

/// The library of tasks, with the modules of the scripts' that they have too.
fn slot_library(lua: &Lua, host: &Table, failure: &Table) -> mlua::Result<Table> {
    let common = lua.create_table_from([("failure", failure)])?;
    for (name, source) in MODULES {
        let module = lua.load(source).set_name(format!("@[harness]/{name}.lua"));
        host.raw_set(name, module.call::<Table>((host, &common))?)?;
    }
    lua.load(include_str!("slot.lua")).set_name("@[harness]/slot.lua").call(host)
}

/// What `slot.lua` and `failure.lua` are given.
fn surroundings(
    lua: &Lua,
    init: &SlotInit,
    mut require: Require,
    changed: Rc<Cell<bool>>,
) -> mlua::Result<Table> {
    let find = lua.create_function_mut(move |lua, name: String| {
        found_module(lua, &require(&name).unwrap_or_else(Module::Missing))
    })?;
    let start = Instant::now();
    let host = lua.create_table()?;
    host.raw_set("worker", init.worker.0)?;
    host.raw_set("slot", init.slot.0)?;
    host.raw_set("host", init.host.as_str())?;
    host.raw_set("find", find)?;
    host.raw_set("now", lua.create_function(move |_, ()| Ok(start.elapsed().as_secs_f64()))?)?;
    let note = lua.create_function(move |_, is: bool| {
        changed.set(is);
        Ok(())
    })?;
    host.raw_set("changed", note)?;
    Ok(host)
}

fn no_result(task: TaskId) -> Result<Value, String> {
    Err(format!("a result refers to task {task}, which has none"))
}
