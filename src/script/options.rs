//! Normal forms of option tables (lua/harness/options.lua checked them) as specifications of the model.

use mlua::{Lua, Table, Value};
use serde::de::DeserializeOwned;

use super::raw;
use crate::model::{Arg, Kind, SlotSetup, TaskId, TaskOptions};
use crate::root::port::{Growth, Job, Misplaced, Order, PoolSpec, Quarantine, RootNode, Start};

/// The job of an exec, a compile, a measure or a compare.
pub fn job(lua: &Lua, kind: Kind, spec: &Value) -> Result<Job, String> {
    Ok(match kind {
        Kind::Exec => Job::Exec(Box::new(read(lua, spec)?)),
        Kind::Compile => Job::Compile(Box::new(read(lua, spec)?)),
        Kind::Measure => Job::Measure(Box::new(read(lua, spec)?)),
        Kind::Compare => Job::Compare(Box::new(read(lua, spec)?)),
        Kind::Call => return Err("internal: a call is encoded, not specified".into()),
    })
}

/// The options every task takes.
pub fn task_options(lua: &Lua, options: &Value) -> Result<TaskOptions, String> {
    read(lua, options)
}

/// A whole order. `references` is what `specs.lua` gathered: `deps` and `known`.
pub fn order(
    lua: &Lua,
    kind: Kind,
    options: &Value,
    spec: &Value,
    references: &Table,
) -> Result<Order, String> {
    let internal = |error: mlua::Error| format!("internal: what a task refers to: {error}");
    let (mut deps, known) = refers_to(lua, references).map_err(internal)?;
    deps.sort_unstable();
    deps.dedup();
    let (options, mut job) = (task_options(lua, options)?, job(lua, kind, spec)?);
    // Functions that look at a run see what it is for.
    let params = options.params.as_ref().map(ToString::to_string);
    job.functions_mut().for_each(|function| function.params.clone_from(&params));
    if let Job::Compare(spec) = &mut job {
        for variant in spec.variants.iter_mut().filter(|variant| variant.params.is_some()) {
            let own = variant.params.as_ref().map(ToString::to_string);
            variant.spec.functions_mut().for_each(|function| function.params.clone_from(&own));
        }
    }
    Ok(Order { pool: None, options: options.into(), job, deps, known, deferred: false })
}

/// Tasks it waits for, and what is known of them.
type Refers = (Vec<TaskId>, Vec<(TaskId, Arg)>);

fn refers_to(lua: &Lua, references: &Table) -> mlua::Result<Refers> {
    let deps: Vec<u64> = references.raw_get::<Option<_>>("deps")?.unwrap_or_default();
    let mut known = Vec::new();
    for pair in references.raw_get::<Option<Vec<Table>>>("known")?.unwrap_or_default() {
        let arg = raw::read(lua, &pair.raw_get(2)?).map_err(mlua::Error::external)?;
        known.push((TaskId(pair.raw_get(1)?), arg));
    }
    Ok((deps.into_iter().map(TaskId).collect(), known))
}

/// What `spawn` asks for.
pub fn pool_spec(lua: &Lua, given: &Table) -> mlua::Result<PoolSpec> {
    let start = given.raw_get::<Option<String>>("start")?.and_then(|word| Start::of_word(&word));
    Ok(PoolSpec {
        workers: given.raw_get("workers")?,
        per_node: given.raw_get("per_node")?,
        slots: given.raw_get("slots")?,
        gpus: given.raw_get("gpus")?,
        resources: given.raw_get::<Option<_>>("resources")?.unwrap_or_default(),
        hosts: given.raw_get::<Option<_>>("hosts")?.unwrap_or_default(),
        start,
        root_node: match given.raw_get::<Option<String>>("root_node")?.as_deref() {
            Some("measure") => RootNode::Measure,
            Some("spare") => RootNode::Spare,
            _ => RootNode::Auto,
        },
        misplaced: match given.raw_get::<Option<String>>("placement")?.as_deref() {
            Some("warn") => Misplaced::Told,
            _ => Misplaced::Refused,
        },
        quarantine: match given.raw_get::<Value>("quarantine")? {
            Value::Nil => Quarantine::default(),
            Value::Boolean(_) => Quarantine(None),
            after => Quarantine(Some(raw::read(lua, &after).map_err(mlua::Error::external)?)),
        },
        env: match given.raw_get::<Value>("env")? {
            Value::Nil => Default::default(),
            env => read(lua, &env).map_err(mlua::Error::runtime)?,
        },
        setup: SlotSetup { init: None, cwd: given.raw_get("cwd")?, memory: given.raw_get("memory")? },
        artefacts: Vec::new(),
        aside: given.raw_get::<Option<bool>>("aside")?.unwrap_or_default(),
        any: given.raw_get::<Option<bool>>("any")?.unwrap_or_default(),
    })
}

/// What `pool:grow` asks for.
pub fn growth(given: &Table) -> mlua::Result<Growth> {
    Ok(Growth {
        workers: given.raw_get("workers")?,
        per_node: given.raw_get("per_node")?,
        hosts: given.raw_get::<Option<_>>("hosts")?.unwrap_or_default(),
        job: given.raw_get("job")?,
    })
}

/// Everything was checked in Lua: what does not fit here is a defect of ours. It is told with the option's
/// name, which is of use to the author, and without the words of the decoder, which are not.
fn read<T: DeserializeOwned>(lua: &Lua, value: &Value) -> Result<T, String> {
    let good = |value: &Value| raw::read::<T>(lua, value);
    good(value).map_err(|_| match culprit(value, value, &|root| good(root).is_ok()) {
        Some(path) => format!("internal: option '{path}' came out wrong; please report it with this line"),
        None => "internal: the options came out wrong; please report it with this line".into(),
    })
}

/// The innermost field without which the rest is good: `command.stdin`.
fn culprit(root: &Value, within: &Value, good: &dyn Fn(&Value) -> bool) -> Option<String> {
    let fields = within.as_table()?;
    let names: Vec<String> = fields.pairs::<String, Value>().filter_map(|pair| Some(pair.ok()?.0)).collect();
    names.into_iter().find_map(|name| {
        let value: Value = fields.raw_get(name.as_str()).ok()?;
        fields.raw_set(name.as_str(), Value::Nil).ok()?;
        let is_it = good(root);
        fields.raw_set(name.as_str(), &value).ok()?;
        let deeper = || culprit(root, &value, good).map(|path| format!("{name}.{path}"));
        is_it.then(|| deeper().unwrap_or_else(|| name.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: Kind, spec: &str) -> String {
        let lua = Lua::new();
        job(&lua, kind, &lua.load(spec).eval().unwrap()).unwrap_err()
    }

    #[test]
    fn what_slips_through_is_named_without_the_decoders_words() {
        let text =
            |path: &str| format!("internal: option '{path}' came out wrong; please report it with this line");
        assert_eq!(problem(Kind::Exec, "{ ok_codes = { 'x' }, outputs = {} }"), text("ok_codes"));
        assert_eq!(
            problem(Kind::Exec, "{ command = { shell = 'x', stdin = { bytes = 5 } } }"),
            text("command.stdin")
        );
        assert_eq!(problem(Kind::Measure, "{ runs = -1, warmup = 2 }"), text("runs"));
        let several = problem(Kind::Measure, "{ runs = -1, warmup = -2 }");
        assert_eq!(several, "internal: the options came out wrong; please report it with this line");
    }

    #[test]
    fn what_a_program_reads_may_be_any_bytes() {
        let lua = Lua::new();
        let spec = r#"{ command = { argv = { { text = "\xff" } }, stdin = { bytes = "\xfe" } } }"#;
        let Ok(Job::Exec(spec)) = job(&lua, Kind::Exec, &lua.load(spec).eval().unwrap()) else { panic!() };
        assert_eq!(spec.command.argv, [Arg::Text(vec![0xff])]);
    }
}
