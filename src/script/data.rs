//! Data of Lua as JSON and back, exactly: what `harness.state` keeps in the journal.
//!
//! A list is an array, a table of names an object, for any tool to read. What JSON has no form for stands in an
//! object of one field: `{"pairs": [[key, value], …]}` for other tables, `{"number": "inf"}`, `{"base64": "…"}` for
//! strings that are not text. Functions and objects are no data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mlua::{Lua, Table, Value};
use serde_json::{Map, Value as Json, json};

/// Deeper tables are taken to contain themselves.
const DEEPEST: usize = 100;
/// Fields that have a meaning when they stand alone.
const SPECIAL: [&str; 3] = ["pairs", "number", "base64"];

/// What is no data: where it lies (`.best.fn`), and what it is.
#[derive(Debug, PartialEq)]
pub struct NoData {
    /// The path to it from the value given.
    pub path: String,
    /// What is wrong, to follow the path: `is a function`.
    pub what: String,
}

/// The value as JSON.
pub fn to_json(value: &Value) -> Result<Json, NoData> {
    encode(value, 0)
}

fn encode(value: &Value, depth: usize) -> Result<Json, NoData> {
    let no_data = |what: &str| NoData { path: String::new(), what: what.into() };
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Integer(number) => json!(number),
        Value::Number(number) if number.is_finite() => json!(number),
        Value::Number(number) => json!({ "number": number.to_string() }),
        Value::String(text) => match text.to_str() {
            Ok(text) => Json::String(text.to_owned()),
            Err(_) => json!({ "base64": BASE64.encode(text.as_bytes()) }),
        },
        Value::Table(_) if depth >= DEEPEST => {
            return Err(no_data(&format!("contains itself, or is deeper than {DEEPEST} tables")));
        }
        Value::Table(table) if is_object(table) => {
            return Err(no_data("has a metatable, which cannot be kept: copy the fields you need"));
        }
        Value::Table(table) if is_sweep(table) => return Err(no_data(IS_SWEEP)),
        Value::Table(table) => encode_table(table, depth)?,
        other => return Err(no_data(&format!("is a {}", other.type_name()))),
    })
}

/// As `failure.is_object`: fields that are merely watched (`failure.strict`) are as good as plain ones, and so are those of
/// a table that is marked. A metatable that is hidden is nobody's mark.
pub(super) fn is_object(table: &Table) -> bool {
    let behaves = |(event, what): (Value, Value)| {
        what.is_function()
            || event.as_string().is_some_and(|event| event == "__index" || event == "__metatable")
    };
    table.metatable().is_some_and(|class| {
        !class.raw_get::<bool>("__plain").unwrap_or(false) && class.pairs().flatten().any(behaves)
    })
}

/// What is wrong with a sweep, to follow its path.
pub(super) const IS_SWEEP: &str =
    "is a sweep: give the list of its points, table.move(points, 1, #points, 1, {})";

/// Of what is as good as plain only a sweep has its items elsewhere: as the table it is it would be empty.
pub(super) fn is_sweep(table: &Table) -> bool {
    table.metatable().is_some_and(|class| class.raw_get::<bool>("__pairs").unwrap_or(false))
}

fn encode_table(table: &Table, depth: usize) -> Result<Json, NoData> {
    let pairs: Vec<(Value, Value)> = table.pairs().flatten().collect();
    let inner = |key: &Value, value: &Value| {
        encode(value, depth + 1).map_err(|error| NoData { path: step(key) + &error.path, ..error })
    };
    let length = table.raw_len();
    let place = |key: &Value| key.as_integer().filter(|at| (1..=length as i64).contains(at));
    if length > 0 && pairs.len() == length && pairs.iter().all(|(key, _)| place(key).is_some()) {
        let mut list = vec![Json::Null; length];
        for (key, value) in &pairs {
            if let Some(at) = place(key) {
                list[at as usize - 1] = inner(key, value)?;
            }
        }
        return Ok(Json::Array(list));
    }
    let name = |key: &Value| key.as_string().and_then(|text| Some(text.to_str().ok()?.to_owned()));
    let names: Option<Vec<String>> = pairs.iter().map(|(key, _)| name(key)).collect();
    match names {
        Some(names) if !is_special(&names) => {
            let mut fields = Map::new();
            for (name, (key, value)) in names.into_iter().zip(&pairs) {
                fields.insert(name, inner(key, value)?);
            }
            Ok(Json::Object(fields))
        }
        _ => {
            let pair = |(key, value): &(Value, Value)| {
                let shown = encode(key, depth + 1).map_err(|error| NoData {
                    path: String::new(),
                    what: format!("has a key that {}", error.what),
                })?;
                Ok(json!([shown, inner(key, value)?]))
            };
            Ok(json!({ "pairs": pairs.iter().map(pair).collect::<Result<Vec<_>, NoData>>()? }))
        }
    }
}

fn is_special(names: &[String]) -> bool {
    matches!(names, [name] if SPECIAL.contains(&name.as_str()))
}

fn step(key: &Value) -> String {
    match key {
        Value::String(text) => format!(".{}", text.to_string_lossy()),
        Value::Integer(number) => format!("[{number}]"),
        Value::Number(number) => format!("[{number}]"),
        other => format!("[{}]", other.type_name()),
    }
}

/// The value again.
pub fn from_json(lua: &Lua, json: &Json) -> mlua::Result<Value> {
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let list = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                list.raw_push(from_json(lua, item)?)?;
            }
            Value::Table(list)
        }
        Json::Object(fields) => match special(lua, fields)? {
            Some(value) => value,
            None => {
                let table = lua.create_table_with_capacity(0, fields.len())?;
                for (name, value) in fields {
                    table.raw_set(name.as_str(), from_json(lua, value)?)?;
                }
                Value::Table(table)
            }
        },
    })
}

fn special(lua: &Lua, fields: &Map<String, Json>) -> mlua::Result<Option<Value>> {
    let mut all = fields.iter();
    let (Some((name, value)), None) = (all.next(), all.next()) else { return Ok(None) };
    Ok(match (name.as_str(), value) {
        ("number", Json::String(text)) => text.parse().ok().map(Value::Number),
        ("base64", Json::String(text)) => match BASE64.decode(text) {
            Ok(bytes) => Some(Value::String(lua.create_string(bytes)?)),
            Err(_) => None,
        },
        ("pairs", Json::Array(pairs)) => {
            let table = lua.create_table()?;
            for pair in pairs {
                if let Some([key, value]) = pair.as_array().map(Vec::as_slice) {
                    table.raw_set(from_json(lua, key)?, from_json(lua, value)?)?;
                }
            }
            Some(Value::Table(table))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(source: &str) -> Result<String, NoData> {
        let lua = Lua::new();
        let value: Value = lua.load(source).eval().unwrap();
        to_json(&value).map(|json| json.to_string())
    }

    #[test]
    fn plain_data_is_plain_json() {
        assert_eq!(
            json_of("{ runs = 3, best = 1.0, tags = { 'a', true }, none = {} }").unwrap(),
            r#"{"best":1.0,"none":{},"runs":3,"tags":["a",true]}"#
        );
        let marked = "{ list = setmetatable({ 1, 2 }, { __jsontype = 'array' }) }";
        assert_eq!(json_of(marked).unwrap(), r#"{"list":[1,2]}"#);
    }

    #[test]
    fn everything_comes_back_as_it_was() {
        let lua = Lua::new();
        let check = lua
            .load(
                r#"
                local before = {
                  inf = math.huge, less = -math.huge, whole = 1, part = 1.0, big = math.maxinteger, tiny = 5e-324,
                  minus = -0.0, bytes = "\xff\0", text = "\u{fc}\0\n", list = { { 1 }, { 2 } }, sparse = { [7] = true, [-1] = "x" },
                  mixed = { 1, 2, n = 2 }, holes = { 1, nil, 3 }, odd = { [1.5] = 1, [true] = 2 },
                  pairs = { pairs = { 1, 2 } }, number = { number = "inf" }, base64 = { base64 = "AA==" }, empty = {},
                }
                local function same(a, b)
                  if type(a) ~= "table" then
                    return math.type(a) == math.type(b) and a == b and (a ~= 0 or 1 / a == 1 / b)
                  end
                  for k, v in pairs(a) do if not same(v, b[k]) then error(tostring(k)) end end
                  for k in pairs(b) do if a[k] == nil then error("new " .. tostring(k)) end end
                  return true
                end
                return before, same"#,
            )
            .eval::<(Value, mlua::Function)>();
        let (before, same) = check.unwrap();
        let text = to_json(&before).unwrap().to_string();
        let after = from_json(&lua, &serde_json::from_str(&text).unwrap()).unwrap();
        same.call::<bool>((before, after)).unwrap();
        let nan = from_json(&lua, &to_json(&Value::Number(f64::NAN)).unwrap()).unwrap();
        assert!(matches!(nan, Value::Number(number) if number.is_nan()));
    }

    #[test]
    fn what_is_no_data_is_named_with_its_path() {
        let problem = |source: &str| {
            let NoData { path, what } = json_of(source).unwrap_err();
            format!("{path} {what}")
        };
        assert_eq!(problem("{ best = { { fn = print } } }"), ".best[1].fn is a function");
        assert_eq!(problem("{ [7] = coroutine.create(print) }"), "[7] is a thread");
        assert_eq!(
            problem("{ s = setmetatable({}, { __index = {} }) }"),
            ".s has a metatable, which cannot be kept: copy the fields you need"
        );
        for class in ["{ __tostring = print }", "{ __metatable = false }"] {
            let object = problem(&format!("{{ s = setmetatable({{}}, {class}) }}"));
            assert!(object.starts_with(".s has a metatable"), "{class}: {object}");
        }
        let sweep = problem("{ s = setmetatable({}, { __plain = true, __pairs = next }) }");
        assert_eq!(sweep, format!(".s {IS_SWEEP}"));
        assert_eq!(problem("{ [print] = 1 }"), " has a key that is a function");
        let cycle = problem("(function() local t = {} t.t = t return t end)()");
        assert!(cycle.ends_with(" contains itself, or is deeper than 100 tables"), "{cycle}");
    }
}
