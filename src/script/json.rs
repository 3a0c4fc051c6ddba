//! `harness.json`: Lua values as JSON and back, for other programs to read; strictly what JSON can say.
//!
//! What has no form in JSON is refused with its place. [`super::data`] is the other one: it keeps everything Lua
//! has, in a form of ours.

use mlua::{IntoLua, IntoLuaMulti, Lua, Table, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// Deeper tables are taken to contain themselves; what is read is not deeper either.
const DEEPEST: usize = 100;

/// `json_encode(value, null_class, list_class, indent)` and `json_decode(text, null, list_class)`: the result, or nil and
/// why; `json_id(text)`. A table of `null_class` stands for JSON's null, one of `list_class` is a list even when it is empty.
pub fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let encode = |lua: &Lua, (value, null_class, list_class, indent): (Value, Table, Table, bool)| {
        let text = Encoder { null_class, list_class }.encode(&value, 0).and_then(|json| {
            let text =
                if indent { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
            text.map_err(|error| Refused { path: String::new(), what: error.to_string() })
        });
        match text {
            Ok(text) => text.into_lua_multi(lua),
            Err(Refused { path, what }) if path.is_empty() => {
                (Value::Nil, format!("the value {what}")).into_lua_multi(lua)
            }
            Err(Refused { path, what }) => (Value::Nil, format!("{path} {what}")).into_lua_multi(lua),
        }
    };
    host.raw_set("json_encode", lua.create_function(encode)?)?;
    let decode = |lua: &Lua, (text, null, list_class): (mlua::LuaString, Table, Table)| {
        match serde_json::from_slice::<Json>(&text.as_bytes()) {
            Ok(json) => decoded(lua, &json, &Value::Table(null), &list_class)?.into_lua_multi(lua),
            Err(error) => (Value::Nil, error.to_string()).into_lua_multi(lua),
        }
    };
    host.raw_set("json_decode", lua.create_function(decode)?)?;
    let id = |_: &Lua, text: mlua::LuaString| Ok(id_of(&text.as_bytes()));
    host.raw_set("json_id", lua.create_function(id)?)
}

/// The field `id` of an object that cannot be decoded: what nobody can hold (a number that is too large, half of a pair of
/// surrogates) is passed over.
fn id_of(text: &[u8]) -> Option<Id> {
    #[derive(Deserialize)]
    struct Asked {
        id: Id,
    }
    serde_json::from_slice(text).ok().map(|Asked { id }| id)
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(String),
}

impl IntoLua for Id {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Id::Number(number) => number.into_lua(lua),
            Id::Text(text) => text.into_lua(lua),
        }
    }
}

struct Encoder {
    null_class: Table,
    list_class: Table,
}

/// What JSON cannot say: where it lies (`.best[1]`) and what it is, to follow the path.
struct Refused {
    path: String,
    what: String,
}

impl Encoder {
    fn encode(&self, value: &Value, depth: usize) -> Result<Json, Refused> {
        let refused = |what: String| Err(Refused { path: String::new(), what });
        Ok(match value {
            Value::Nil => return refused("is nil; json.null is JSON's null".into()),
            Value::Boolean(flag) => Json::Bool(*flag),
            Value::Integer(number) => Json::from(*number),
            Value::Number(number) if number.is_finite() => Json::from(*number),
            Value::Number(number) => return refused(format!("is {number}, which JSON has no form for")),
            Value::String(text) => match text.to_str() {
                Ok(text) => Json::String(text.to_owned()),
                Err(_) => return refused("is not text in UTF-8".into()),
            },
            Value::Table(table) if table.metatable().as_ref() == Some(&self.null_class) => Json::Null,
            Value::Table(_) if depth >= DEEPEST => {
                return refused(format!("contains itself, or is deeper than {DEEPEST} tables"));
            }
            Value::Table(table) => self.table(table, depth)?,
            other => return refused(format!("is a {}", other.type_name())),
        })
    }

    fn table(&self, table: &Table, depth: usize) -> Result<Json, Refused> {
        let is_list = table.metatable().is_some_and(|class| class == self.list_class);
        let refused = |what: &str| Refused { path: String::new(), what: what.into() };
        if !is_list && super::data::is_object(table) {
            return Err(refused("has a metatable: copy the fields you need"));
        }
        if super::data::is_sweep(table) {
            return Err(refused(super::data::IS_SWEEP));
        }
        let pairs: Vec<(Value, Value)> = table.pairs().flatten().collect();
        let length = table.raw_len();
        let inner = |step: String, value: &Value| {
            self.encode(value, depth + 1).map_err(|error| Refused { path: step + &error.path, ..error })
        };
        if is_list || length > 0 {
            if pairs.len() != length {
                return Err(refused("has names or gaps beside its list"));
            }
            let items = (1..=length).map(|at| {
                let item: Value = table.raw_get(at).unwrap_or(Value::Nil);
                inner(format!("[{at}]"), &item)
            });
            return Ok(Json::Array(items.collect::<Result<_, _>>()?));
        }
        let mut fields = Map::new();
        for (key, value) in &pairs {
            let name = key.as_string().and_then(|text| Some(text.to_str().ok()?.to_owned()));
            let name = name.ok_or_else(|| refused("has a key that is not text in UTF-8"))?;
            let value = inner(format!(".{name}"), value)?;
            fields.insert(name, value);
        }
        Ok(Json::Object(fields))
    }
}

fn decoded(lua: &Lua, json: &Json, null: &Value, list_class: &Table) -> mlua::Result<Value> {
    Ok(match json {
        Json::Null => null.clone(),
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let list = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                list.raw_push(decoded(lua, item, null, list_class)?)?;
            }
            if items.is_empty() {
                list.set_metatable(Some(list_class.clone()))?; // else it would be an object
            }
            Value::Table(list)
        }
        Json::Object(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (name, value) in fields {
                table.raw_set(name.as_str(), decoded(lua, value, null, list_class)?)?;
            }
            Value::Table(table)
        }
    })
}
