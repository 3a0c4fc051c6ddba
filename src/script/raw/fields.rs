//! Tables of named fields, all of whose fields are set in one protected call: mlua makes one for each, and another for each name.
//!
//! What is to be in them is gathered first, in Rust, and then made without a step that could fail but for want of memory. Knows
//! nothing of records and of whose fields they are.

use std::borrow::Cow;
use std::ffi::c_int;

use mlua::{Lua, MultiValue, Table, Value};

use super::stack::Stack;

/// On the stack at a time, for each table that lies in another: the table, a name, what is said of it.
const ROOM: c_int = 3;

/// What a field is.
pub enum Field<'a> {
    /// Not set.
    Nil,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// It stays one in Lua, also where it is whole.
    Float(f64),
    /// A string of any bytes.
    Text(Cow<'a, [u8]>),
    /// A table of values in order.
    List(Vec<Field<'a>>),
    /// A table with names.
    Table(Fields<'a>),
    /// What Lua has already.
    Value(Value),
}

/// A table to be; what has no value is left out. The last of two fields of one name counts.
#[derive(Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Field<'a>)>);

impl<'a> Fields<'a> {
    /// With room for so many.
    pub fn with_capacity(fields: usize) -> Self {
        Self(Vec::with_capacity(fields))
    }

    /// One more.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Field<'a>>) {
        let value = value.into();
        if !matches!(value, Field::Nil) {
            self.0.push((name.into(), value));
        }
    }

    /// The table.
    pub fn table(&self, lua: &Lua) -> mlua::Result<Table> {
        let mut there = MultiValue::new();
        let depth = gather(self, &mut there);
        // SAFETY: mlua calls the closure protected, with a stack of its own that holds the values gathered; its frames own
        // nothing, so that an error (out of memory) may jump over them.
        let table = unsafe {
            lua.exec_raw::<Value>(there, |state| {
                let stack = Stack::new(state);
                if stack.reserve(depth.saturating_mul(ROOM)) {
                    push_fields(stack, self, &mut 0);
                    stack.keep_top();
                } else {
                    stack.set_top(0);
                }
            })
        }?;
        match table {
            Value::Table(table) => Ok(table),
            _ => Err(mlua::Error::runtime("the Lua stack is full")),
        }
    }
}

/// The values of Lua's own, in the order in which `push` comes by them; how many tables lie in each other.
fn gather(fields: &Fields<'_>, there: &mut MultiValue) -> c_int {
    let deepest = fields.0.iter().map(|(_, field)| gather_from(field, there)).max();
    1 + deepest.unwrap_or_default()
}

fn gather_from(field: &Field<'_>, there: &mut MultiValue) -> c_int {
    match field {
        Field::Value(value) => there.push_back(value.clone()),
        Field::List(list) => {
            return 1 + list.iter().map(|field| gather_from(field, there)).max().unwrap_or_default();
        }
        Field::Table(fields) => return gather(fields, there),
        _ => {}
    }
    0
}

fn push_fields(stack: Stack, fields: &Fields<'_>, taken: &mut c_int) {
    stack.push_table_raises(0, count(fields.0.len()));
    let table = stack.top();
    for (name, field) in &fields.0 {
        stack.push_bytes_raises(name.as_bytes());
        push(stack, field, taken);
        stack.raw_set_raises(table);
    }
}

fn push(stack: Stack, field: &Field<'_>, taken: &mut c_int) {
    match field {
        Field::Nil => stack.push_nil(),
        Field::Boolean(value) => stack.push_boolean(*value),
        Field::Integer(value) => stack.push_integer(*value),
        Field::Float(value) => stack.push_float(*value),
        Field::Text(bytes) => stack.push_bytes_raises(bytes),
        Field::List(list) => {
            stack.push_table_raises(count(list.len()), 0);
            let table = stack.top();
            for (field, i) in list.iter().zip(1..) {
                push(stack, field, taken);
                stack.raw_set_i_raises(table, i);
            }
        }
        Field::Table(fields) => push_fields(stack, fields, taken),
        Field::Value(_) => {
            *taken += 1;
            stack.push_copy(*taken);
        }
    }
}

/// Only a hint: the table grows where it is wrong.
fn count(places: usize) -> c_int {
    c_int::try_from(places).unwrap_or(c_int::MAX)
}

impl From<bool> for Field<'_> {
    fn from(value: bool) -> Self {
        Field::Boolean(value)
    }
}

impl From<f64> for Field<'_> {
    fn from(value: f64) -> Self {
        Field::Float(value)
    }
}

impl From<i32> for Field<'_> {
    fn from(value: i32) -> Self {
        Field::Integer(value.into())
    }
}

impl From<u32> for Field<'_> {
    fn from(value: u32) -> Self {
        Field::Integer(value.into())
    }
}

/// Beyond what Lua counts, a float.
impl From<u64> for Field<'_> {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Field::Float(value as f64), Field::Integer)
    }
}

impl From<usize> for Field<'_> {
    fn from(value: usize) -> Self {
        Field::from(value as u64)
    }
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Field::Text(text.as_bytes().into())
    }
}

impl From<String> for Field<'_> {
    fn from(text: String) -> Self {
        Field::Text(text.into_bytes().into())
    }
}

impl<'a> From<&'a [u8]> for Field<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Field::Text(bytes.into())
    }
}

impl<'a> From<Fields<'a>> for Field<'a> {
    fn from(fields: Fields<'a>) -> Self {
        Field::Table(fields)
    }
}

impl From<Table> for Field<'_> {
    fn from(table: Table) -> Self {
        Field::Value(Value::Table(table))
    }
}

impl From<Value> for Field<'_> {
    fn from(value: Value) -> Self {
        if value.is_nil() { Field::Nil } else { Field::Value(value) }
    }
}

impl<'a, T: Into<Field<'a>>> From<Option<T>> for Field<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Field::Nil, Into::into)
    }
}

impl<'a> From<&'a [String]> for Field<'a> {
    fn from(list: &'a [String]) -> Self {
        list.iter().map(String::as_str).collect()
    }
}

impl From<&[f64]> for Field<'_> {
    fn from(list: &[f64]) -> Self {
        list.iter().copied().collect()
    }
}

impl<'a, T: Into<Field<'a>>> FromIterator<T> for Field<'a> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Field::List(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_fields_and_what_lies_in_them() {
        let lua = Lua::new();
        let given: Table = lua.load("return { 'theirs' }").eval().unwrap();
        let mut inner = Fields::default();
        inner.set("list", ["a", "b"].into_iter().collect::<Field<'_>>());
        inner.set("given", given.clone());
        let mut fields = Fields::with_capacity(2);
        fields.set("none", None::<f64>);
        fields.set("yes", true);
        fields.set("whole", 2.0);
        fields.set("count", 7_u64);
        fields.set("large", u64::MAX);
        fields.set("bytes", &b"\xff\0"[..]);
        fields.set("own", Value::Table(given));
        fields.set("inner", inner);
        fields.set("none_of_lua", Value::Nil);
        fields.set("twice", 1_u32);
        fields.set("twice", "last");
        lua.globals().set("t", fields.table(&lua).unwrap()).unwrap();
        let holds = "assert(t.none == nil and t.yes == true and t.none_of_lua == nil) \
             assert(math.type(t.whole) == 'float' and math.type(t.count) == 'integer' and t.large == 2.0^64) \
             assert(t.bytes == '\\xff\\0' and t.own[1] == 'theirs' and t.inner.given == t.own) \
             assert(#t.inner.list == 2 and t.inner.list[2] == 'b' and t.twice == 'last')";
        lua.load(holds).exec().unwrap();
    }

    #[test]
    fn tables_may_lie_in_each_other_as_deep_as_there_is_room() {
        let lua = Lua::new();
        let within = |depth: u32| {
            let mut fields = Fields::default();
            for level in 0..depth {
                let mut around = Fields::default();
                around.set("level", level);
                around.set("inner", fields);
                fields = around;
            }
            fields.table(&lua)
        };
        lua.globals().set("t", within(100).unwrap()).unwrap();
        let depth = lua.load("local n = 0 while t.inner do t, n = t.inner, n + 1 end return n");
        assert_eq!(depth.eval::<u32>().unwrap(), 100);
    }

    #[test]
    fn without_memory_there_is_an_error_and_no_table() {
        let lua = Lua::new();
        let mut fields = Fields::default();
        let large = vec![b'x'; 1 << 20];
        fields.set("large", &large[..]);
        lua.set_memory_limit(lua.used_memory() + (64 << 10)).unwrap();
        assert!(matches!(fields.table(&lua), Err(mlua::Error::MemoryError(_))));
        lua.set_memory_limit(0).unwrap();
        assert!(fields.table(&lua).is_ok());
    }
}
