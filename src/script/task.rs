//! The Lua state of a slot: runs calls, one after another, each with globals of its own.
//!
//! What stays from call to call is what is meant to stay: loaded modules and `harness.worker.state`. Knows
//! nothing of sockets: modules come from the function it is given, outcomes are returned.

use std::time::Instant;

use mlua::{Function, IntoLuaMulti, Lua, LuaSerdeExt, MultiValue, Table, Value};
use rustc_hash::FxHashMap;

use super::raw::{self, Around, Called, Manifest, ShipError, Shipped, Shipper};
use super::results::{self, Label};
use crate::model::human::{MESSAGE_BYTES, bounded};
use crate::model::{
    CallError, CallReturn, CallTask, DepRecord, DepValue, Detail, Hash, Kind, Module, Outcome, SlotInit,
    Status, TaskId,
};

/// Asks for a module by its name; or says why it could not ask.
pub type Require = Box<dyn FnMut(&str) -> Result<Module, String>>;

/// See the module.
pub struct TaskState {
    lua: Lua,
    shipper: Shipper,
    around: Around,
    /// Metatables of errors and records.
    error_class: Table,
    record_class: Table,
    host: String,
    store_dir: String,
    seed: u64,
}

impl TaskState {
    /// A fresh state. `require` is asked for modules that are not loaded.
    pub fn new(init: &SlotInit, mut require: Require) -> mlua::Result<Self> {
        let lua = raw::new_state();
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
        let failure =
            lua.load(include_str!("../../lua/harness/failure.lua")).set_name("@[harness]/failure.lua");
        let failure: Table = failure.call(&host)?;
        let (error_class, record_class): (Table, Table) =
            (failure.raw_get("Error")?, failure.raw_get("Record")?);
        host.raw_set("Error", &error_class)?;
        host.raw_set("Record", &record_class)?;
        host.raw_set("describe", failure.raw_get::<Function>("describe")?)?;
        host.raw_set("loaded_from", raw::loaded_from(&lua)?)?;
        let modules = lua.load(include_str!("../../lua/harness/modules.lua"));
        modules.set_name("@[harness]/modules.lua").call::<()>(&host)?;
        let library = lua.load(include_str!("slot.lua")).set_name("@[harness]/slot.lua");
        let (before, handler): (Function, Function) = library.call(host)?;

        let mut shipper = Shipper::new(&lua)?;
        shipper.set_store_dir(&init.store_dir);
        shipper.set_label("result");
        Ok(Self {
            lua,
            shipper,
            around: Around { before, handler },
            error_class,
            record_class,
            host: init.host.clone(),
            store_dir: init.store_dir.clone(),
            seed: init.seed,
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
        let start = Instant::now();
        let (status, reason, detail) = match self.call(call) {
            Ok(Called::Returned { values, text }) => {
                let mut values = self.with_code(values);
                values.text = text.map(Into::into);
                (Status::Ok, None, Detail::Call(values))
            }
            Ok(Called::Raised { message, traceback, value }) => {
                // A message too long to be kept is mostly the value itself.
                let value = value.filter(|_| message.len() <= MESSAGE_BYTES);
                let value = value.map(|value| self.with_code(value));
                let (message, traceback) = (bounded(message), bounded(traceback));
                let error = CallError { message: message.clone(), traceback, value };
                (Status::Error, Some(message), Detail::CallError(Box::new(error)))
            }
            Err(error) => {
                let message = bounded(error.to_string());
                let error = CallError { message: message.clone(), ..CallError::default() };
                (Status::Error, Some(message), Detail::CallError(Box::new(error)))
            }
        };
        Outcome { status, reason, host: self.host.clone(), detail, elapsed_s: start.elapsed().as_secs_f64() }
    }

    fn call(&mut self, call: &CallTask) -> Result<Called, ShipError> {
        let deps = if call.deps.is_empty() { Value::Nil } else { self.results(call)? };
        // The same numbers in every run, whichever slot the task lands on.
        let seeds = (self.seed as i64, call.task.0 as i64);
        self.shipper.call(&self.lua, &self.around, seeds, &call.payload, deps)
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

    /// Adds the bytecode that did not come from the root.
    fn with_code(&self, shipped: Shipped) -> CallReturn {
        let own = shipped.codes.iter().filter(|hash| !self.shipper.learned(**hash));
        let codes = own.filter_map(|hash| Some((*hash, self.shipper.bytecode(*hash)?.to_vec().into())));
        CallReturn { codes: codes.collect(), values: shipped.bytes, text: None }
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

fn no_result(task: TaskId) -> Result<Value, String> {
    Err(format!("a result refers to task {task}, which has none"))
}
