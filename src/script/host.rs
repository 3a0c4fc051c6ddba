//! The primitives of the script state: the table `host` that every file of the library is given. All that
//! an author sees is Lua over these.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use mlua::debug::{Debug, DebugSource};
use mlua::{Function, IntoLuaMulti, Lua, LuaSerdeExt, MultiValue, Table, Value};

use super::blocks;
use super::bridge::{Bridge, Content};
use super::results::{self, Label};
use super::task::found_module;
use super::{data, files as fs, json, options, pattern, raw, sources, tree};
use crate::model::{self, EVENTS, Hash, InitCall, Input, Kind, MEMORY_PEAK, Outcome, PoolId, Status, TaskId};
use crate::root::port::{NEXT_LINE, PoolInfo, PoolSpec};
use crate::say::say;

/// Makes the table.
pub fn table(lua: &Lua, bridge: &Rc<Bridge>, hot: (Function, Function, Function)) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.raw_set("submit_call", hot.0)?;
    host.raw_set("submit_calls", hot.1)?;
    host.raw_set("take", hot.2)?;
    tasks(lua, &host, bridge)?;
    pools(lua, &host, bridge)?;
    ends(lua, &host, bridge)?;
    files(lua, &host, bridge)?;
    words(lua, &host)?;
    modules(lua, &host, bridge)?;
    running_again(lua, &host, bridge)?;
    json::register(lua, &host)?;
    blocks::register(lua, &host)?;
    let dir = bridge.port.borrow().campaign().dir.clone();
    fs::register(lua, &host, dir)?;
    host.raw_set("campaign", campaign(lua, bridge)?)?;
    if bridge.port.borrow().listens() {
        host.raw_set("await_line", await_line(lua, bridge)?)?;
    }
    host.raw_set("where", lua.create_function(|lua, ()| Ok(authors_line(lua)))?)?;
    let shared = bridge.clone();
    host.raw_set("now", lua.create_function(move |_, ()| Ok(shared.port.borrow_mut().now()))?)?;
    Ok(host)
}

/// The first line of the campaign on the stack, `campaign.lua:12`: what `where` of lua/harness/failure.lua finds, which also looks at other
/// threads and in slots. Each task that is described asks for it, so it makes no table for each level.
fn authors_line(lua: &Lua) -> Option<String> {
    (1..).map_while(|level| lua.inspect_stack(level, line_of)).flatten().next()
}

fn line_of(frame: &Debug) -> Option<String> {
    let line = frame.current_line().filter(|line| *line > 0)?;
    let source = frame.source();
    if is_ours(&source) { None } else { Some(format!("{}:{line}", source.short_src?)) }
}

/// Is it a function of the library, and not of the author?
pub(super) fn is_ours(source: &DebugSource) -> bool {
    source.source.as_ref().is_some_and(|source| source.starts_with("@[harness]"))
}

/// Lets the next line from outside come; the number that stands for it among those of tasks.
pub(super) fn await_line(lua: &Lua, bridge: &Rc<Bridge>) -> mlua::Result<Function> {
    let bridge = bridge.clone();
    lua.create_function(move |_, ()| {
        bridge.port.borrow_mut().await_line();
        Ok(NEXT_LINE.0 as i64)
    })
}

/// `nil, why` is how an expected failure is told to the library.
fn or_why(lua: &Lua, result: Result<impl IntoLuaMulti, String>) -> mlua::Result<MultiValue> {
    match result {
        Ok(values) => values.into_lua_multi(lua),
        Err(why) => (Value::Nil, why).into_lua_multi(lua),
    }
}

fn tasks(lua: &Lua, host: &Table, bridge: &Rc<Bridge>) -> mlua::Result<()> {
    let shared = bridge.clone();
    let submit = move |lua: &Lua, (kind, given, spec, refs, pool, deferred): Submit| {
        let mut order = match options::order(lua, kind_of(&kind)?, &given, &spec, &refs) {
            Ok(order) => order,
            Err(why) => return or_why(lua, Err::<Value, _>(why)),
        };
        order.pool = pool_of(&pool);
        order.deferred = deferred;
        or_why(lua, shared.submit(order).map(|task| task.0))
    };
    host.raw_set("submit", lua.create_function(submit)?)?;

    let shared = bridge.clone();
    let prepare = move |lua: &Lua, given: Value| {
        let options = options::task_options(lua, &given);
        or_why(lua, options.map(|options| shared.options.set(options.into())).map(|()| true))
    };
    host.raw_set("prepare", lua.create_function(prepare)?)?;

    let shared = bridge.clone();
    let pack = move |lua: &Lua, function: Function| match packed(lua, &shared, function) {
        Ok(packed) => or_why(lua, Ok(lua.to_value(&packed)?)),
        Err(why) => or_why(lua, Err::<Value, _>(why)),
    };
    host.raw_set("pack", lua.create_function(pack)?)?;

    let shared = bridge.clone();
    let dependencies =
        move |_: &Lua, ()| Ok(shared.deps.borrow().iter().map(|task| task.0).collect::<Vec<_>>());
    host.raw_set("dependencies", lua.create_function(dependencies)?)?;

    let shared = bridge.clone();
    host.raw_set("weight", lua.create_function(move |_, ()| Ok(shared.weight.get()))?)?;

    let shared = bridge.clone();
    let cancel = move |_: &Lua, task: u64| {
        shared.port.borrow_mut().cancel(TaskId(task));
        Ok(())
    };
    host.raw_set("cancel", lua.create_function(cancel)?)?;

    let shared = bridge.clone();
    let set_full = move |_: &Lua, full: bool| {
        shared.port.borrow().set_full(full);
        Ok(())
    };
    host.raw_set("set_full", lua.create_function(set_full)?)?;

    let shared = bridge.clone();
    let to_come = move |_: &Lua, more: i64| {
        shared.port.borrow().add_to_come(more);
        Ok(())
    };
    host.raw_set("to_come", lua.create_function(to_come)?)?;

    let shared = bridge.clone();
    let searches = move |_: &Lua, more: i64| {
        shared.port.borrow().add_searches(more);
        Ok(())
    };
    host.raw_set("searches", lua.create_function(searches)?)?;

    let shared = bridge.clone();
    let explain = move |_: &Lua, task: u64| Ok(shared.port.borrow_mut().explain(TaskId(task)));
    host.raw_set("explain", lua.create_function(explain)?)?;

    let shared = bridge.clone();
    let only_usage = move |_: &Lua, ()| {
        shared.port.borrow().only_usage();
        Ok(())
    };
    host.raw_set("only_usage", lua.create_function(only_usage)?)?;

    let shared = bridge.clone();
    let leave = move |_: &Lua, place: Option<String>| {
        let place = place.map(|place| format!(" of the flow at {place}")).unwrap_or_default();
        shared.port.borrow().leave(format!("a <close> variable{place}"));
        Ok(())
    };
    host.raw_set("leave", lua.create_function(leave)?)
}

fn pools(lua: &Lua, host: &Table, bridge: &Rc<Bridge>) -> mlua::Result<()> {
    let shared = bridge.clone();
    let spawn = move |lua: &Lua, given: Table| {
        let mut spec = options::pool_spec(lua, &given)?;
        if let Err(why) = add_init(lua, &shared, &given, &mut spec) {
            return or_why(lua, Err::<Value, _>(why));
        }
        let answer = shared.port.borrow_mut().spawn(spec);
        match answer {
            Ok(info) => or_why(lua, Ok(pool(lua, &info)?)),
            Err(error) => or_why(lua, Err::<Value, _>(error.to_string())),
        }
    };
    host.raw_set("spawn", lua.create_function(spawn)?)?;

    let shared = bridge.clone();
    let grow = move |lua: &Lua, (id, given): (u32, Table)| {
        let growth = options::growth(&given)?;
        let answer = shared.port.borrow_mut().grow(PoolId(id), growth);
        match answer {
            Ok(info) => or_why(lua, Ok(pool(lua, &info)?)),
            Err(error) => or_why(lua, Err::<Value, _>(error.to_string())),
        }
    };
    host.raw_set("grow", lua.create_function(grow)?)?;

    let shared = bridge.clone();
    let close = move |_: &Lua, pool: u32| {
        shared.port.borrow_mut().close(PoolId(pool));
        Ok(())
    };
    host.raw_set("close", lua.create_function(close)?)
}

/// How long `init` may take unless the script says (s).
const INIT_TIMEOUT_S: f64 = 60.0;

/// Puts the script's `init`, if there is one, into what every slot begins with.
fn add_init(lua: &Lua, bridge: &Bridge, given: &Table, spec: &mut PoolSpec) -> Result<(), String> {
    let get = |name| given.raw_get::<Value>(name).map_err(|error| error.to_string());
    let Value::Function(init) = get("init")? else { return Ok(()) };
    let model::Function { payload, codes, artefacts, .. } =
        packed(lua, bridge, init).map_err(|why| format!("init: {why}"))?;
    let timeout = get("init_timeout")?.as_f64().unwrap_or(INIT_TIMEOUT_S);
    spec.setup.init = Some(InitCall { payload, codes, timeout });
    spec.artefacts = artefacts;
    Ok(())
}

/// A function with all it needs, for who may know nothing of it.
fn packed(lua: &Lua, bridge: &Bridge, function: Function) -> Result<model::Function, String> {
    let mut shipper = bridge
        .shipper
        .try_borrow_mut()
        .map_err(|_| "not while a value is packed or unpacked, or a module loaded")?;
    let values = MultiValue::from_iter([Value::Function(function)]);
    let shipped = shipper.encode(lua, values).map_err(|error| error.to_string())?;
    if let Some(task) = shipped.deps.first() {
        return Err(format!("it needs the result of task {task}, which has not ended: await it first"));
    }
    // The function is the first value, so its code is the first of the manifest.
    let place = shipped.codes.first().and_then(|hash| shipper.location(*hash)).unwrap_or("[C]").to_owned();
    let code = |hash: &Hash| Some((*hash, shipper.bytecode(*hash)?.to_vec().into()));
    let codes = shipped.codes.iter().filter_map(code).collect();
    let modules = bridge.modules.contents(shipped.modules);
    let (payload, artefacts) = (shipped.bytes.into(), shipped.artefacts);
    Ok(model::Function { payload, codes, artefacts, modules, place, params: None })
}

type Submit = (String, Value, Value, Table, Value, bool);

fn kind_of(word: &str) -> mlua::Result<Kind> {
    [Kind::Call, Kind::Exec, Kind::Compile, Kind::Measure, Kind::Compare]
        .into_iter()
        .find(|kind| kind.word() == word)
        .ok_or_else(|| mlua::Error::runtime(format!("no kind of task is called '{word}'")))
}

fn pool_of(value: &Value) -> Option<PoolId> {
    value.as_integer().map(|pool| PoolId(pool as u32))
}

fn pool(lua: &Lua, info: &PoolInfo) -> mlua::Result<Table> {
    let pool = lua.create_table()?;
    pool.raw_set("id", info.id.0)?;
    let workers = lua.create_table()?;
    for worker in &info.workers {
        let w = lua.create_table()?;
        w.raw_set("id", worker.id)?;
        w.raw_set("host", worker.host.as_str())?;
        w.raw_set("slots", worker.slots)?;
        w.raw_set("cores", worker.cores)?;
        w.raw_set("gpus", worker.gpus)?;
        w.raw_set("start", worker.start.as_str())?;
        w.raw_set("measures", worker.measures)?;
        workers.raw_push(w)?;
    }
    pool.raw_set("workers", workers)?;
    Ok(pool)
}

/// `result(label)` turns what `take` left into a table; `record` ends a task that cannot run.
fn ends(lua: &Lua, host: &Table, bridge: &Rc<Bridge>) -> mlua::Result<()> {
    let shared = bridge.clone();
    let result = move |lua: &Lua, (kind, given): (String, Option<Table>)| {
        let outcome = shared.outcome.borrow_mut().take();
        let outcome = outcome.ok_or_else(|| mlua::Error::runtime("nothing was taken"))?;
        match kind_of(&kind)? {
            Kind::Call => {
                let mut shipper = shared.shipper.try_borrow_mut().ok();
                let value = shipper.as_mut().and_then(|s| results::error_value(lua, s, &outcome));
                results::failure(lua, &outcome, value)
            }
            kind => results::record(lua, kind, &label(given)?, &outcome),
        }
    };
    host.raw_set("result", lua.create_function(result)?)?;

    let shared = bridge.clone();
    let record = move |lua: &Lua, (kind, status, reason, given, options): Unrun| {
        let (kind, status) = (
            kind_of(&kind)?,
            if status == Status::Skipped.word() { Status::Skipped } else { Status::SetupFailed },
        );
        let outcome = Arc::new(Outcome::failed(status, reason));
        let options = options::task_options(lua, &options).map_err(mlua::Error::runtime)?;
        shared.port.borrow_mut().unrun(kind, options.into(), outcome.clone());
        results::record(lua, kind, &label(given)?, &outcome)
    };
    host.raw_set("record", lua.create_function(record)?)
}

/// Kind, status, reason, label, options.
type Unrun = (String, String, String, Option<Table>, Value);

fn label(given: Option<Table>) -> mlua::Result<Label> {
    let Some(given) = given else { return Ok(Label::default()) };
    Ok(Label { name: given.raw_get("name")?, params: given.raw_get("params")? })
}

fn files(lua: &Lua, host: &Table, bridge: &Rc<Bridge>) -> mlua::Result<()> {
    let shared = bridge.clone();
    let add_input = move |lua: &Lua, path: String| match add(&shared, &path) {
        Ok(input) => or_why(lua, Ok(lua.to_value(&input)?)),
        Err(why) => or_why(lua, Err::<Value, _>(why)),
    };
    host.raw_set("add_input", lua.create_function(add_input)?)?;

    let shared = bridge.clone();
    let sources = move |lua: &Lua, (files, includes): (Vec<String>, Vec<String>)| {
        let dir = shared.port.borrow().campaign().dir.clone();
        let inputs = sources::closure(&dir, &files, &includes)
            .and_then(|files| files.iter().map(|file| add(&shared, file)).collect::<Result<Vec<Input>, _>>());
        match inputs {
            Ok(inputs) => or_why(lua, Ok(lua.to_value(&inputs)?)),
            Err(why) => or_why(lua, Err::<Value, _>(why)),
        }
    };
    host.raw_set("sources", lua.create_function(sources)?)?;
    let shared = bridge.clone();
    let tree =
        move |lua: &Lua, (folder, except): (String, Vec<String>)| match copied(&shared, &folder, &except) {
            Ok((inputs, folders)) => or_why(lua, Ok((lua.to_value(&inputs)?, folders))),
            Err(why) => or_why(lua, Err::<Value, _>(why)),
        };
    host.raw_set("tree", lua.create_function(tree)?)?;
    let scratch_name = lua.create_function(|_, path: String| Ok(sources::scratch_name(&path)))?;
    host.raw_set("scratch_name", scratch_name)?;

    let shared = bridge.clone();
    let share = move |lua: &Lua, value: Value| match shared.share(lua, value) {
        Ok((hash, bytes, token)) => {
            (hash.to_string(), bytes, lua.create_any_userdata(token)?).into_lua_multi(lua)
        }
        Err(why) => or_why(lua, Err::<Value, _>(why)),
    };
    host.raw_set("share", lua.create_function(share)?)
}

/// Puts a file of the campaign into the store.
fn add(bridge: &Bridge, path: &str) -> Result<Input, String> {
    let dir = bridge.port.borrow().campaign().dir.clone();
    let file = dir.join(Path::new(path));
    let data = match std::fs::metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(sources::missing(&dir, path)),
        data => data.map_err(|error| format!("`{path}`: cannot read {}: {error}", file.display()))?,
    };
    let hash = (bridge.add_input.borrow_mut())(Content::File(&file))?;
    let executable = data.permissions().mode() & 0o111 != 0;
    Ok(Input { path: sources::scratch_name(path), hash, executable })
}

/// Puts the files of a source tree into the store; they, and the names of its empty folders.
fn copied(bridge: &Bridge, folder: &str, except: &[String]) -> Result<(Vec<Input>, Vec<String>), String> {
    let dir = bridge.port.borrow().campaign().dir.clone();
    let found = tree::read(&dir, folder, except)?;
    let add = |path: &String| add(bridge, path).map_err(|why| tree::unread(&dir, folder, path, &why));
    let inputs = found.files.iter().map(add).collect::<Result<_, _>>()?;
    Ok((inputs, found.folders.iter().map(|path| sources::scratch_name(path)).collect()))
}

/// `find` looks for modules where `package.path` and `package.cpath` say at that moment.
fn modules(lua: &Lua, host: &Table, bridge: &Rc<Bridge>) -> mlua::Result<()> {
    let package: Table = lua.globals().get("package")?;
    let shared = bridge.clone();
    let find = move |lua: &Lua, name: String| {
        let text = |field| {
            let path: Option<mlua::LuaString> = package.raw_get(field)?;
            Ok::<_, mlua::Error>(path.map(|path| path.to_string_lossy()).unwrap_or_default())
        };
        shared.modules.set_paths(&text("path")?, &text("cpath")?);
        found_module(lua, &shared.modules.find(&name))
    };
    host.raw_set("find", lua.create_function(find)?)?;
    host.raw_set("loaded_from", raw::loaded_from(lua)?)
}

/// What a run hands to the next one, and what it may still spend.
fn running_again(lua: &Lua, host: &Table, bridge: &Rc<Bridge>) -> mlua::Result<()> {
    let shared = bridge.clone();
    let kept = move |lua: &Lua, name: String| match shared.port.borrow().kept(&name) {
        Some(value) => data::from_json(lua, value),
        None => Ok(Value::Nil),
    };
    host.raw_set("kept", lua.create_function(kept)?)?;

    let shared = bridge.clone();
    let keep = move |lua: &Lua, (name, value): (String, Value)| {
        let kept = data::to_json(&value).map_err(|error| {
            let data::NoData { path, what } = error;
            let what = if path.is_empty() { format!("it {what}") } else { format!("{path} {what}") };
            format!("{what}; only strings, numbers, booleans and tables of those can be kept")
        });
        or_why(lua, kept.and_then(|kept| shared.port.borrow_mut().keep(&name, kept)).map(|()| true))
    };
    host.raw_set("keep", lua.create_function(keep)?)?;

    let shared = bridge.clone();
    let spent = move |_: &Lua, ()| {
        let spent = shared.port.borrow().spent();
        Ok((spent.trials, spent.measurements, spent.seconds, spent.node_seconds))
    };
    host.raw_set("spent", lua.create_function(spent)?)?;

    let shared = bridge.clone();
    let left = move |_: &Lua, ()| Ok(shared.port.borrow_mut().walltime_left());
    host.raw_set("walltime_left", lua.create_function(left)?)
}

fn words(lua: &Lua, host: &Table) -> mlua::Result<()> {
    host.raw_set("closest", lua.create_function(closest)?)?;
    let events = EVENTS.iter().map(|event| event.name).chain([MEMORY_PEAK]);
    host.raw_set("events", events.collect::<Vec<_>>())?;
    let pattern = |lua: &Lua, text: mlua::LuaString| {
        let translated = pattern::translate(&text.as_bytes());
        or_why(lua, translated.map(|translated| (translated.regex, translated.groups)))
    };
    host.raw_set("pattern", lua.create_function(pattern)?)?;
    let stderr = |_: &Lua, text: String| {
        say(text);
        Ok(())
    };
    host.raw_set("stderr", lua.create_function(stderr)?)
}

/// The known word that was probably meant: one that is near enough, else the only one that begins so (`retry`: `retries`).
/// Known may be names of the script's own, of any bytes.
pub fn closest(
    _: &Lua,
    (word, known): (mlua::LuaString, Vec<mlua::LuaString>),
) -> mlua::Result<Option<String>> {
    let word = word.to_string_lossy();
    let known: Vec<String> = known.iter().map(mlua::LuaString::to_string_lossy).collect();
    let length = word.chars().count();
    // Of a single letter any other one is as near.
    let limit = (length / 3).max(1).min(length.saturating_sub(1));
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    let begins = |stem: &str| {
        let mut longer = known.iter().filter(|candidate| stem.len() > 1 && candidate.starts_with(stem));
        longer.next().filter(|_| longer.next().is_none())
    };
    let stem = || word.strip_suffix(char::is_alphabetic).filter(|stem| stem.len() > 3);
    Ok(nearest.or_else(|| begins(&word)).or_else(|| begins(stem()?)).cloned())
}

fn campaign(lua: &Lua, bridge: &Bridge) -> mlua::Result<Table> {
    let port = bridge.port.borrow();
    let given = port.campaign();
    let campaign = lua.create_table()?;
    campaign.raw_set("script", given.script.display().to_string())?;
    campaign.raw_set("dir", given.dir.display().to_string())?;
    campaign.raw_set("args", given.args.as_slice())?;
    campaign.raw_set("seed", given.seed as i64)?;
    campaign.raw_set("verbosity", given.verbosity)?;
    campaign.raw_set("most_queued", given.most_queued.tasks)?;
    campaign.raw_set("cores", given.cores)?;
    Ok(campaign)
}
