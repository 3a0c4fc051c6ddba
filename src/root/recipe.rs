//! The recipe of a task: what was asked, in a form that is the same in every run of the same script.
//!
//! Numbers of tasks differ between runs, so a dependency stands there as its own recipe key. Fields at their
//! empty value are left out: a new optional field does not make old journals worthless.

use std::num::NonZeroU64;

use serde_json::{Value, json};

use super::port::{Job, Order};
use crate::model::{Arg, Exclusive, Hash, MeasureSpec, Recipe, RecipeParts, TaskId};

/// What a task is found by in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeId {
    /// The recipe key.
    pub key: Hash,
    /// Of what it consists.
    pub parts: RecipeParts,
    /// Code and data of the program, if that is named by path and machine code.
    pub code: Option<Hash>,
    /// When it was tried last, in the order of recording, if it was.
    pub tried: Option<NonZeroU64>,
    /// It ran in vain for all of a run's time, and no run has come further since.
    pub had_its_turn: bool,
}

/// The recipe of an order, the first of its like, and its parts; `program` is the content of what it runs, where
/// that is known. `recipe_of` knows tasks that were asked for before, `first_of` the first one like each of them.
pub(super) fn of(
    order: &Order,
    program: Option<Hash>,
    recipe_of: impl Fn(TaskId) -> Hash + Copy,
    first_of: impl Fn(TaskId) -> Hash,
) -> (Recipe, RecipeParts) {
    let place = &order.options.placement;
    let mut spec = json!({ "job": job(&order.job, recipe_of), "cores": place.cores, "nodes": place.nodes,
        "gpus": place.gpus, "numa_local": place.numa_local, "smt": place.smt.map(|smt| if smt { "all" } else { "one" }),
        "exclusive": place.exclusive.filter(|exclusive| matches!(exclusive, Exclusive::Socket | Exclusive::Cores)) });
    if matches!(order.job, Job::Call(_)) {
        spec["deps"] = order.deps.iter().map(|dep| recipe_of(*dep).to_string()).collect();
    }
    if let Some(program) = program {
        spec["program"] = program.to_string().into();
    }
    prune(&mut spec);
    // A build that was asked for twice makes no difference here; in the key, which is that of every run before, it does.
    let depends: Vec<String> = order.deps.iter().map(|dep| first_of(*dep).to_string()).collect();
    let parts = RecipeParts { program: of_program(program), ..parts(&spec, &depends) };
    let recipe = Recipe {
        kind: order.job.kind(),
        name: order.options.name.clone(),
        params: order.options.params.clone(),
        key: order.options.key.clone(),
        spec,
        ordinal: 0,
    };
    (recipe, parts)
}

/// Fields of a measurement that say how, not what.
const PROTOCOL: [&str; 15] = [
    "runs",
    "precision",
    "min_runs",
    "max_runs",
    "max_time",
    "warmup",
    "metrics",
    "objective",
    "better",
    "max_rounds",
    "min_effect",
    "strict",
    "counters",
    "energy",
    "hooks",
];

/// Fingerprints of what an author changes at a time, from the recipe's specification.
fn parts(spec: &Value, depends: &[String]) -> RecipeParts {
    let mut rest = spec.clone();
    // Of a comparison, those of all variants.
    let variants = spec.pointer("/job/variants").and_then(Value::as_array).map_or(0, Vec::len);
    let mut jobs = vec!["/job".to_owned()];
    jobs.extend((0..variants).map(|at| format!("/job/variants/{at}/spec")));
    let commands: Vec<String> = jobs.iter().map(|job| format!("{job}/command")).collect();
    let here = [String::new()];
    let mut references = Vec::new();
    for job in &jobs {
        rest.pointer_mut(&format!("{job}/hooks")).into_iter().for_each(forget_results);
        let verify = rest.pointer_mut(&format!("{job}/verify"));
        references.extend(verify.into_iter().flat_map(forget_contents));
    }
    if !references.is_empty() {
        rest["references"] = references.into();
    }
    let mut print = |pointers: &[String], names: &[&str]| {
        let mut taken = Vec::new();
        for pointer in pointers {
            let Some(fields) = rest.pointer_mut(pointer).and_then(Value::as_object_mut) else { continue };
            taken.extend(names.iter().filter_map(|name| Some(json!([name, fields.remove(*name)?]))));
        }
        if taken.is_empty() { 0 } else { short(&Value::Array(taken)) }
    };
    let mut parts = RecipeParts {
        env: print(&commands, &["env"]),
        inputs: print(&[&commands[..], &jobs[..], &here].concat(), &["inputs", "folders", "references"]),
        program: 0,
        protocol: print(&jobs, &PROTOCOL),
        verify: print(&jobs, &["verify"]),
        place: print(&here, &["cores", "nodes", "gpus", "numa_local", "smt", "exclusive"]),
        depends: if depends.is_empty() { 0 } else { short(&json!(depends)) },
        command: 0,
    };
    print(&here, &["deps", "program"]);
    // What another build would change here is in `depends`.
    for command in &commands {
        if let Some(argv) = rest.pointer_mut(&format!("{command}/argv")).and_then(Value::as_array_mut) {
            argv.retain(|arg| arg["text"].as_str().is_none_or(|text| !text.starts_with(STAND_IN)));
        }
    }
    parts.command = short(&rest);
    parts
}

/// What a run is compared with is content, as inputs are: gives that of files.
fn forget_contents(verify: &mut Value) -> Vec<Value> {
    forget_results(verify);
    let mut contents: Vec<Value> =
        verify.pointer_mut("/reference/artefact").map(Value::take).into_iter().collect();
    let files = verify.get_mut("files").and_then(Value::as_object_mut);
    contents
        .extend(files.into_iter().flat_map(|files| files.values_mut()).map(|file| file["reference"].take()));
    contents
}

/// Which task results in it is in `depends`.
fn forget_results(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with(STAND_IN) => text.truncate(STAND_IN.len()),
        Value::Array(items) => items.iter_mut().for_each(forget_results),
        Value::Object(fields) => fields.values_mut().for_each(forget_results),
        _ => {}
    }
}

/// The part of a recipe that stands for the content of the program it names by path; 0 if it names none.
pub(super) fn of_program(content: Option<Hash>) -> u32 {
    content.map_or(0, |content| short(&json!([["program", content.to_string()]])))
}

fn short(value: &Value) -> u32 {
    let Hash(bytes) = Hash::of(value.to_string().as_bytes());
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// A stand-in for the recipe of what the journal does not keep and nothing needs in full: cheap, and the same in
/// every run. None if it refers to other tasks.
pub(super) fn fingerprint(order: &Order) -> Option<Hash> {
    match &order.job {
        Job::Exec(spec) if order.deps.is_empty() => Some(Hash::of(&postcard::to_allocvec(spec).ok()?)),
        _ => None,
    }
}

fn job(job: &Job, recipe_of: impl Fn(TaskId) -> Hash + Copy) -> Value {
    match job {
        Job::Call(call) => {
            Value::String(call.baggage.identity.unwrap_or_else(|| Hash::of(&call.payload)).to_string())
        }
        Job::Exec(spec) => {
            let mut spec = spec.clone();
            anonymise(&mut spec.command.argv, recipe_of);
            to_value(&spec)
        }
        Job::Compile(spec) => {
            let mut spec = spec.clone();
            anonymise(&mut spec.command.argv, recipe_of);
            // Where the campaign lies does not change what it asks for.
            spec.include_root.clear();
            to_value(&spec)
        }
        Job::Measure(spec) => {
            let mut spec = spec.clone();
            anonymise_timed(&mut spec, recipe_of);
            to_value(&spec)
        }
        Job::Compare(spec) => {
            let mut spec = spec.clone();
            spec.variants.iter_mut().for_each(|variant| anonymise_timed(&mut variant.spec, recipe_of));
            // It says in which order, not what.
            spec.seed = 0;
            to_value(&spec)
        }
    }
}

fn anonymise<'a>(args: impl IntoIterator<Item = &'a mut Arg>, recipe_of: impl Fn(TaskId) -> Hash) {
    for arg in args {
        if let Arg::Task(task) = *arg {
            *arg = stand_in(recipe_of(task));
        }
    }
}

fn anonymise_timed(spec: &mut MeasureSpec, recipe_of: impl Fn(TaskId) -> Hash + Copy) {
    anonymise(&mut spec.command.argv, recipe_of);
    anonymise(&mut spec.verify.reference, recipe_of);
    anonymise(spec.hooks.args_mut(), recipe_of);
    spec.functions_mut().for_each(|function| *function = function.identity());
}

const STAND_IN: &str = "result of recipe ";

fn stand_in(recipe: Hash) -> Arg {
    Arg::Text(format!("{STAND_IN}{recipe}").into_bytes())
}

fn to_value(spec: &impl serde::Serialize) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

/// Drops what is null, false or empty, inside out.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, field| !is_empty(field));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        CommandSpec, CompareSpec, ExecSpec, Function, LaunchSpec, TaskOptions, Ulimits, Variant, VerifySpec,
        recipe_key,
    };

    fn order(options: TaskOptions, job: Job) -> Order {
        Order { pool: None, options: options.into(), job, deps: vec![], known: vec![], deferred: false }
    }

    fn none(_: TaskId) -> Hash {
        Hash::of(b"")
    }

    fn key_of(launch: Option<LaunchSpec>, nodes: Option<u32>) -> Hash {
        let command = CommandSpec { launch, ..CommandSpec::default() };
        let job = Job::Measure(Box::new(MeasureSpec { command, ..MeasureSpec::default() }));
        let mut options = TaskOptions::default();
        options.placement.nodes = nodes;
        recipe_key(&of(&order(options, job), None, none, none).0)
    }

    #[test]
    fn what_changed_in_a_comparison_is_told_apart() {
        let parts_of = |env: &str, argument: &str, max_rounds: u32| {
            let command = CommandSpec {
                argv: vec![Arg::Text(argument.into())],
                env: [("A".into(), env.into())].into(),
                ..CommandSpec::default()
            };
            let spec = MeasureSpec { command, ..MeasureSpec::default() };
            let variant = Variant { name: "base".into(), spec, ..Variant::default() };
            let spec = CompareSpec { variants: vec![variant], max_rounds, ..CompareSpec::default() };
            let (options, job) = (TaskOptions::default(), Job::Compare(Box::new(spec)));
            of(&order(options, job), None, none, none).1
        };
        let before = parts_of("1", "x", 60);
        let env = parts_of("2", "x", 60);
        assert!(env.env != before.env && RecipeParts { env: before.env, ..env } == before);
        let command = parts_of("1", "y", 60);
        assert!(command.command != before.command);
        assert_eq!(RecipeParts { command: before.command, ..command }, before);
        let protocol = parts_of("1", "x", 30);
        assert!(protocol.protocol != before.protocol);
        assert_eq!(RecipeParts { protocol: before.protocol, ..protocol }, before);
    }

    #[test]
    fn one_program_with_other_ranks_is_another_measurement() {
        let ranks = |ranks, ranks_per_node, nodes| {
            key_of(Some(LaunchSpec { ranks, ranks_per_node, ..LaunchSpec::default() }), Some(nodes))
        };
        let keys = [key_of(None, None), ranks(2, 2, 1), ranks(2, 1, 2), ranks(4, 2, 2), ranks(8, 4, 2)];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
        assert_eq!(ranks(4, 2, 2), ranks(4, 2, 2));
    }

    #[test]
    fn limits_are_part_of_what_is_asked_and_none_are_as_before_there_were_any() {
        let asked = |limits: Option<Ulimits>| {
            let command = CommandSpec { limits: limits.map(Box::new), ..CommandSpec::default() };
            let job = Job::Exec(Box::new(ExecSpec { command, ..ExecSpec::default() }));
            of(&order(TaskOptions::default(), job), None, none, none).0
        };
        let (free, limited) = (asked(None), asked(Some(Ulimits { memory: Some(1), ..Ulimits::default() })));
        assert!(!free.spec.to_string().contains("limits"), "{}", free.spec);
        assert_eq!(limited.spec["job"]["command"]["limits"], json!({ "memory": 1 }));
        assert!(recipe_key(&free) != recipe_key(&limited));
        assert_eq!(recipe_key(&free), recipe_key(&asked(Some(Ulimits::default()))));
    }

    #[test]
    fn another_function_is_another_measurement_wherever_it_was_written() {
        let key_with = |payload: &str, place: &str, module: &[u8]| {
            let modules = [("m".to_owned(), Hash::of(module))].into();
            let (payload, place) = (payload.into(), place.into());
            let function = Function { payload, place, modules, ..Function::default() };
            let verify = VerifySpec { function: Some(function), ..VerifySpec::default() };
            let job = Job::Measure(Box::new(MeasureSpec { verify, ..MeasureSpec::default() }));
            let options = TaskOptions::default();
            of(&order(options, job), None, none, none)
        };
        let key = |payload, place| key_with(payload, place, b"return 1");
        let (one, parts) = key("one", "c.lua:1");
        assert!(recipe_key(&one) != recipe_key(&key_with("one", "c.lua:1", b"return 2").0));
        assert_eq!(recipe_key(&one), recipe_key(&key("one", "c.lua:9").0));
        let (two, other) = key("two", "c.lua:1");
        assert!(recipe_key(&one) != recipe_key(&two) && parts.verify != other.verify);
        assert_eq!(RecipeParts { verify: parts.verify, ..other }, parts);
    }
}
