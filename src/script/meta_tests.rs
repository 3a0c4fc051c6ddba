//! What is registered is what lua/meta/harness.lua documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mlua::{ObjectLike, Table, Value};

use super::ScriptState;
use crate::root::port::{Campaign, Index, Setup, port};
use crate::script::modules::Modules;

const META: &str = include_str!("../../lua/meta/harness.lua");

type Names = BTreeSet<String>;

/// The functions of each table, and the fields of each class, of the meta file.
fn documented() -> (BTreeMap<String, Names>, BTreeMap<String, Names>) {
    let (mut functions, mut fields) = (BTreeMap::<_, Names>::new(), BTreeMap::<_, Names>::new());
    let (mut class, mut parents) = (String::new(), BTreeMap::new());
    for line in META.lines() {
        if let Some(rest) = line.strip_prefix("---@class ") {
            let (name, parent) = rest.split_once(" : ").unwrap_or((rest, ""));
            class = name.to_owned();
            parents.insert(class.clone(), parent.to_owned());
            fields.entry(class.clone()).or_default();
        } else if let Some(rest) = line.strip_prefix("---@field ") {
            let name = rest.split_whitespace().next().unwrap().trim_end_matches('?');
            if !name.starts_with('[') {
                fields.get_mut(&class).unwrap().insert(name.to_owned());
            }
        } else if let Some(rest) = line.strip_prefix("function ") {
            let (table, name) = rest.split_once('(').unwrap().0.split_once(['.', ':']).unwrap();
            functions.entry(table.to_owned()).or_default().insert(name.to_owned());
        }
    }
    for class in parents.keys() {
        let above = std::iter::successors(parents.get(class), |parent| parents.get(*parent));
        let inherited: Names = above.filter_map(|parent| fields.get(parent)).flatten().cloned().collect();
        fields.get_mut(class).unwrap().extend(inherited);
    }
    (functions, fields)
}

fn state() -> ScriptState {
    let (port, _) = port(Setup {
        campaign: Campaign::default(),
        index: Index::default(),
        retrying: Default::default(),
        notices: Default::default(),
        kept: Default::default(),
        artefact_present: Box::new(|_| true),
        wake: Box::new(|| {}),
    });
    let modules = Modules::new(Path::new("."), "", false).into();
    ScriptState::new(port, Box::new(|_| Err("no inputs".into())), modules).unwrap()
}

fn functions_of(table: &Table) -> Names {
    let named = |(name, value): (String, Value)| value.is_function().then_some(name);
    table
        .pairs::<String, Value>()
        .flatten()
        .filter_map(named)
        .filter(|name| !name.starts_with("__"))
        .collect()
}

#[test]
fn every_public_function_is_documented() {
    let (documented, _) = documented();
    let state = state();
    let class = |file: &str, name: &str| {
        functions_of(&state.library.get::<Table>(file).unwrap().get::<Table>(name).unwrap())
    };
    assert_eq!(functions_of(&state.public), documented["harness"]);
    assert_eq!(class("ends", "Future"), documented["Future"]);
    assert_eq!(class("pools", "Pool"), documented["Pool"]);
    assert_eq!(class("results", "Results"), documented["Results"]);
    assert_eq!(class("budget", "Budget"), documented["Budget"]);
    assert_eq!(class("random", "Random"), documented["Random"]);
    assert_eq!(functions_of(&state.public.get("json").unwrap()), documented["json"]);
    assert_eq!(functions_of(&state.public.get("fs").unwrap()), documented["fs"]);
    assert_eq!(functions_of(&state.public.get("dl").unwrap()), documented["dl"]);
    assert_eq!(functions_of(&state.public.get("sweep").unwrap()), documented["sweep"]);
    assert_eq!(functions_of(&state.public.get("recipes").unwrap()), documented["recipes"]);
    assert_eq!(class("sweep", "Sweep"), documented["Sweep"]);
    assert_eq!(functions_of(&state.public.get("search").unwrap()), documented["search"]);
    assert_eq!(class("search/study", "Study"), documented["Search"]);
    assert_eq!(class("search/study", "Trial"), documented["Trial"]);
}

#[test]
fn every_option_is_documented() {
    let (_, documented) = documented();
    let state = state();
    let options: Table = state.library.get("options").unwrap();
    let kinds: Vec<String> = options.call_function("kinds", ()).unwrap();
    assert_eq!(kinds.len(), 38);
    for kind in kinds {
        let names: Vec<String> = options.call_function("names", kind.as_str()).unwrap();
        let class = format!("harness.{}{}Options", kind[..1].to_uppercase(), &kind[1..]);
        assert_eq!(names.into_iter().collect::<Names>(), documented[&class], "{class}");
    }
}

/// The globals of the meta file are those that are set.
#[test]
fn every_global_is_documented() {
    let state = state();
    let documented: Names = META
        .lines()
        .filter(|line| line.contains(" = harness."))
        .flat_map(|line| line.split(" = ").next().unwrap().split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let fresh = crate::script::raw::new_state();
    let before = functions_of(&fresh.globals());
    let set: Names = functions_of(&state.lua.globals()).difference(&before).cloned().collect();
    assert_eq!(set, documented);
}

/// `("x"):format()` finds what the script put into `string`; `string.format()` finds the library's own.
#[test]
fn the_library_calls_no_methods_of_strings() {
    let fresh = crate::script::raw::new_state();
    let methods = functions_of(&fresh.globals().get("string").unwrap());
    for (file, source) in super::LIBRARY.into_iter().chain([("harness", super::PUBLIC)]) {
        let used: Vec<_> = methods.iter().filter(|name| source.contains(&format!(":{name}("))).collect();
        assert!(used.is_empty(), "{file}.lua: string.{used:?} as a method");
    }
}

/// So are the classes that `require "harness"` gives; `worker` is there in tasks only.
#[test]
fn every_public_field_is_documented() {
    let (_, mut fields) = documented();
    let documented = fields.remove("harness").unwrap();
    let state = state();
    let (functions, all) = (functions_of(&state.public), state.public.pairs::<String, Value>().flatten());
    let there: Names = all.map(|(name, _)| name).filter(|name| !functions.contains(name)).collect();
    assert_eq!(there, documented.into_iter().filter(|name| name != "worker").collect::<Names>());
}
