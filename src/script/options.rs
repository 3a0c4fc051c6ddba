//! Normal forms of option tables (lua/harness/options.lua checked them) as specifications of the model.

use mlua::{Lua, LuaSerdeExt, Table, Value};
use serde::de::DeserializeOwned;

use crate::model::{Arg, Kind, TaskId, TaskOptions};
use crate::root::port::{Job, Order, PoolSpec, Start};

/// The job of an exec, a compile or a measure.
pub fn job(lua: &Lua, kind: Kind, spec: Value) -> mlua::Result<Job> {
    Ok(match kind {
        Kind::Exec => Job::Exec(Box::new(read(lua, spec)?)),
        Kind::Compile => Job::Compile(Box::new(read(lua, spec)?)),
        Kind::Measure => Job::Measure(Box::new(read(lua, spec)?)),
        Kind::Call => return Err(mlua::Error::runtime("a call is encoded, not specified")),
    })
}

/// The options every task takes.
pub fn task_options(lua: &Lua, options: Value) -> mlua::Result<TaskOptions> {
    read(lua, options)
}

/// A whole order. `references` is what `tasks.lua` gathered: `deps` and `known`.
pub fn order(lua: &Lua, kind: Kind, options: Value, spec: Value, references: &Table) -> mlua::Result<Order> {
    let deps: Vec<u64> = references.raw_get("deps")?;
    let mut known = Vec::new();
    for pair in references.raw_get::<Table>("known")?.sequence_values::<Table>() {
        let pair = pair?;
        let value: Arg = read(lua, pair.raw_get(2)?)?;
        known.push((TaskId(pair.raw_get(1)?), value));
    }
    let mut deps: Vec<TaskId> = deps.into_iter().map(TaskId).collect();
    deps.sort_unstable();
    deps.dedup();
    Ok(Order {
        pool: None,
        options: task_options(lua, options)?,
        job: job(lua, kind, spec)?,
        deps,
        known,
        deferred: false,
    })
}

/// What `spawn` asks for.
pub fn pool_spec(lua: &Lua, given: &Table) -> mlua::Result<PoolSpec> {
    let start = match given.raw_get::<Option<String>>("start")?.as_deref() {
        None => None,
        Some("local") => Some(Start::Local),
        Some("spawn") => Some(Start::Spawn),
        Some("static") => Some(Start::Static),
        Some(_) => Some(Start::Auto),
    };
    Ok(PoolSpec {
        workers: given.raw_get("workers")?,
        per_node: given.raw_get("per_node")?,
        slots: given.raw_get("slots")?,
        hosts: given.raw_get::<Option<_>>("hosts")?.unwrap_or_default(),
        start,
        env: match given.raw_get::<Value>("env")? {
            Value::Nil => Default::default(),
            env => read(lua, env)?,
        },
    })
}

fn read<T: DeserializeOwned>(lua: &Lua, value: Value) -> mlua::Result<T> {
    lua.from_value(value)
}
