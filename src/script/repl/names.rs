//! Which names there are to complete: of globals, and of what a path such as `pool.workers` leads to.
//!
//! Looks into tables, classes and what else has methods, and runs nothing to find them: a metamethod that is a function is
//! never asked.

use mlua::{Function, Lua, Table, Value};

/// Words of Lua itself that somebody may want to have completed.
const KEYWORDS: [&str; 8] = ["break", "function", "local", "nil", "repeat", "return", "true", "while"];
/// Where a class says which of its names are an author's.
const OWN_NAMES: &str = "__names";

/// See the module.
pub(super) struct Names {
    getmetatable: Function,
}

impl Names {
    /// As the state is now, before anybody changes what is standard.
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self { getmetatable: lua.globals().get::<Table>("debug")?.get("getmetatable")? })
    }

    /// Names in what `path` leads to, `a.b`; of everything, if it is empty.
    pub(super) fn at(&self, lua: &Lua, path: &str) -> Vec<String> {
        let mut at = Value::Table(lua.globals());
        for name in path.split(['.', ':']).filter(|name| !name.is_empty()) {
            at = self.tables_of(at).iter().find_map(|table| found(table, name)).unwrap_or(Value::Nil);
        }
        let tables = self.tables_of(at);
        let said = tables.iter().find_map(|table| table.raw_get::<Option<String>>(OWN_NAMES).ok().flatten());
        let mut names: Vec<String> = match said {
            Some(names) => names.split_whitespace().map(str::to_owned).collect(),
            None => tables.iter().flat_map(names_of).collect(),
        };
        if path.is_empty() {
            names.extend(KEYWORDS.map(str::to_owned));
        }
        names.sort();
        names.dedup();
        names
    }

    /// Where the fields of a value are: itself, and its class.
    fn tables_of(&self, value: Value) -> Vec<Table> {
        let meta = self.getmetatable.call::<Value>(&value).ok();
        let meta = meta.as_ref().and_then(Value::as_table);
        let class = meta.and_then(|meta| match meta.raw_get("__index").ok()? {
            Value::Table(class) => Some(class),
            Value::Function(_) => Some(meta.clone()), // methods lie beside it
            _ => None,
        });
        value.as_table().cloned().into_iter().chain(class).collect()
    }
}

fn found(table: &Table, name: &str) -> Option<Value> {
    table.raw_get::<Value>(name).ok().filter(|value| !value.is_nil())
}

fn names_of(table: &Table) -> Vec<String> {
    let names = table.pairs::<Value, Value>().flatten();
    let names = names.filter_map(|(name, _)| Some(name.as_string()?.to_str().ok()?.to_owned()));
    names.filter(|name| !name.starts_with("__")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_state_and_nothing_runs_to_find_them() {
        let lua = crate::script::raw::new_state();
        lua.load("box = setmetatable({ lid = { colour = 1 } }, { __index = { open = print, __gc = 1 } })")
            .exec()
            .unwrap();
        lua.load("trap = setmetatable({}, { open = print, __index = function() error 'it ran' end })")
            .exec()
            .unwrap();
        lua.load("future = setmetatable({ ended = 1 }, { __index = { ended = 2, wait = 3, __names = 'wait id' } })")
            .exec()
            .unwrap();
        lua.load("text, file = 'abc', io.stdout").exec().unwrap();
        let names = Names::new(&lua).unwrap();
        assert_eq!(names.at(&lua, "box"), ["lid", "open"]);
        assert_eq!(names.at(&lua, "box.lid"), ["colour"]);
        assert_eq!(names.at(&lua, "trap"), ["open"]);
        assert!(names.at(&lua, "trap.x").is_empty());
        assert_eq!(names.at(&lua, "future"), ["id", "wait"]);
        assert!(names.at(&lua, "file").contains(&"write".to_owned()));
        assert!(names.at(&lua, "text").contains(&"gsub".to_owned()));
        assert!(names.at(&lua, "string").contains(&"format".to_owned()));
        assert!(names.at(&lua, "").iter().any(|name| name == "while"));
    }
}
