//! Tables of Lua as Rust's types, by serde, without a protected call for each field.
//!
//! Looking at what lies in a table can raise nothing, runs no code of the author, and needs no memory of Lua but for its stack, which
//! says whether it has some: a whole specification is read in one go. It reads what mlua's deserializer reads. Knows nothing of options
//! and what they mean.

use std::ffi::c_int;
use std::fmt;

use mlua::{Lua, Value};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::stack::{Kind, Stack};

/// Tables within tables: one that has itself in it ends here.
const DEEPEST: u32 = 128;
/// On the stack for each of them: a key and its value.
const ROOM: c_int = 2;

/// Why a value is not of the type.
#[derive(Debug)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

/// The value as this type.
pub fn read<T: DeserializeOwned>(lua: &Lua, value: &Value) -> Result<T, Unreadable> {
    let mut read = None;
    // SAFETY: mlua calls the closure with a stack of its own, the value alone on it; nothing here raises.
    let looked = unsafe {
        lua.exec_raw::<()>(value, |state| {
            let stack = Stack::new(state);
            read = Some(T::deserialize(At { stack, index: 1, depth: 0 }));
            stack.set_top(0);
        })
    };
    looked.map_err(|error| Unreadable(error.to_string()))?;
    read.unwrap_or_else(|| Err(Unreadable("it was not looked at".into())))
}

/// A value on the stack.
#[derive(Clone, Copy)]
struct At {
    stack: Stack,
    index: c_int,
    depth: u32,
}

impl At {
    fn kind(self) -> Kind {
        self.stack.kind(self.index)
    }

    fn unlike(self, expected: &str) -> Unreadable {
        Unreadable(format!("expected {expected}, got {}", self.kind().name()))
    }

    /// A look into this table: there is room for what lies in it.
    fn table(self) -> Result<Within, Unreadable> {
        if self.kind() != Kind::Table {
            return Err(self.unlike("table"));
        }
        if self.depth == DEEPEST || !self.stack.reserve(ROOM) {
            return Err(Unreadable("tables within tables, too deep".into()));
        }
        Ok(Within { table: self, top: self.stack.top(), at: 0 })
    }

    fn is_null(self) -> bool {
        match self.kind() {
            Kind::Nil => true,
            Kind::LightUserdata => self.stack.pointer(self.index) == 0,
            _ => false,
        }
    }
}

impl<'de> serde::Deserializer<'de> for At {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let (stack, index) = (self.stack, self.index);
        match self.kind() {
            Kind::Boolean => visitor.visit_bool(stack.boolean(index)),
            Kind::Integer => visitor.visit_i64(stack.integer(index)),
            Kind::Float => visitor.visit_f64(stack.float(index)),
            Kind::String => match std::str::from_utf8(stack.bytes(index)) {
                Ok(text) => visitor.visit_str(text),
                Err(_) => visitor.visit_bytes(stack.bytes(index)),
            },
            Kind::Table if stack.raw_len(index) > 0 => self.deserialize_seq(visitor),
            Kind::Table => self.deserialize_map(visitor),
            _ if self.is_null() => visitor.visit_unit(),
            _ => Err(self.unlike("plain data")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let mut within = self.table()?;
        let length = self.stack.raw_len(self.index);
        let read = visitor.visit_seq(Items { within: &mut within, length })?;
        self.stack.set_top(within.top);
        if within.at == length { Ok(read) } else { Err(Unreadable(format!("expected {} items", within.at))) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let mut within = self.table()?;
        self.stack.push_nil();
        let read = visitor.visit_map(Pairs(&mut within))?;
        let rest = within.next_pair();
        self.stack.set_top(within.top);
        if rest { Err(Unreadable(format!("expected {} fields", within.at))) } else { Ok(read) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    /// A word, or a table with a single field of that name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        if self.kind() == Kind::String {
            return visitor.visit_enum(Variant { name: self, value: None });
        }
        let not_single = || Unreadable("expected a table with a single field".into());
        let mut within = self.table()?;
        self.stack.push_nil();
        if !within.next_pair() {
            return Err(not_single());
        }
        let read = visitor.visit_enum(Variant { name: within.at_top(1), value: Some(within.at_top(0)) })?;
        let rest = within.next_pair();
        self.stack.set_top(within.top);
        if rest { Err(not_single()) } else { Ok(read) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

/// A table, and how far it was read.
struct Within {
    table: At,
    /// Of the stack, before.
    top: c_int,
    /// Items or pairs that were read.
    at: i64,
}

impl Within {
    /// The value so far below the top.
    fn at_top(&self, below: c_int) -> At {
        At { index: self.table.stack.top() - below, depth: self.table.depth + 1, ..self.table }
    }

    /// Replaces the key that lies lowest, and its value, by the next ones; at the end both only go.
    fn next_pair(&mut self) -> bool {
        let stack = self.table.stack;
        let is_one = stack.top() > self.top && {
            stack.set_top(self.top + 1);
            stack.next(self.table.index)
        };
        self.at += i64::from(is_one);
        is_one
    }
}

struct Items<'a> {
    within: &'a mut Within,
    length: i64,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Unreadable;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unreadable> {
        let within = &mut *self.within;
        if within.at == self.length {
            return Ok(None);
        }
        within.at += 1;
        let stack = within.table.stack;
        stack.set_top(within.top);
        stack.raw_get_i(within.table.index, within.at);
        seed.deserialize(within.at_top(0)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.length - self.within.at).ok()
    }
}

/// Above the table lie the key that was read last and its value; at the beginning nil.
struct Pairs<'a>(&'a mut Within);

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Unreadable;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unreadable> {
        if !self.0.next_pair() {
            return Ok(None);
        }
        seed.deserialize(self.0.at_top(1)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Unreadable> {
        seed.deserialize(self.0.at_top(0))
    }
}

struct Variant {
    name: At,
    value: Option<At>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Unreadable;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Unreadable> {
        Ok((seed.deserialize(self.name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Unreadable;

    fn unit_variant(self) -> Result<(), Unreadable> {
        self.value.map_or(Ok(()), |value| Err(value.unlike("nothing")))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Unreadable> {
        seed.deserialize(self.value.ok_or_else(bare)?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Unreadable> {
        serde::Deserializer::deserialize_tuple(self.value.ok_or_else(bare)?, length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        serde::Deserializer::deserialize_map(self.value.ok_or_else(bare)?, visitor)
    }
}

/// A variant that has something was named alone.
fn bare() -> Unreadable {
    Unreadable("expected a table, got a word".into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mlua::LuaSerdeExt;
    use serde::Deserialize;
    use serde_bytes::ByteBuf;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Everything {
        word: String,
        bytes: ByteBuf,
        whole: u32,
        half: f64,
        #[serde(default)]
        is_so: bool,
        none: Option<String>,
        one: Option<String>,
        list: Vec<Variety>,
        pair: (i8, f64),
        names: BTreeMap<String, i64>,
        inner: Option<Box<Everything>>,
        wrapped: Wrapped,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Variety {
        Bare,
        One(u8),
        Two(u8, u8),
        Named { a: u8 },
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Wrapped(i64);

    const GOOD: &str = r#"{ word = "é", bytes = "\xff\0", whole = 7, half = 2, is_so = true, one = "1", pair = { -1, 0.5 },
        list = { "bare", { one = 1 }, { two = { 1, 2 } }, { named = { a = 3 } } }, names = { x = 1, y = -1 }, wrapped = 4 }"#;

    fn both<T: DeserializeOwned>(lua: &Lua, value: &Value) -> (Option<T>, Option<T>) {
        (read(lua, value).ok(), lua.from_value(value.clone()).ok())
    }

    #[test]
    fn it_reads_what_mlua_reads_and_refuses_what_that_refuses() {
        let lua = Lua::new();
        let value = |text: &str| lua.load(format!("return {text}")).eval::<Value>().unwrap();
        let good = value(GOOD);
        let read: Everything = super::read(&lua, &good).unwrap();
        assert_eq!((read.word.as_str(), &read.bytes[..], read.pair), ("é", &[0xff, 0][..], (-1, 0.5)));
        assert_eq!(read.list, [Variety::Bare, Variety::One(1), Variety::Two(1, 2), Variety::Named { a: 3 }]);
        assert_eq!(
            (&read.none, read.one.as_deref(), read.names["y"], read.wrapped),
            (&None, Some("1"), -1, Wrapped(4))
        );
        let within = value(&format!("(function() local t, i = {GOOD}, {GOOD}; t.inner = i; return t end)()"));
        assert!(super::read::<Everything>(&lua, &within).unwrap().inner.is_some());
        for change in [
            "word = 5",
            "word = nil",
            "word = '\\xff'",
            "bytes = 5",
            "whole = -1",
            "whole = 1.5",
            "whole = 2^40",
            "half = '2'",
            "is_so = 1",
            "is_so = nil",
            "one = false",
            "list = {}",
            "list = { 'other' }",
            "list = { bare = 1 }",
            "list = { { one = 1, two = 2 } }",
            "list = { {} }",
            "list = { { bare = 1 } }",
            "list = { 'one' }",
            "list = { { two = { 1 } } }",
            "list = { { two = { 1, 2, 3 } } }",
            "pair = { 1 }",
            "pair = { 1, 2, 3 }",
            "names = {}",
            "names = { 'x' }",
            "names = 5",
            "names = { [1.5] = 1 }",
            "more = 1",
            "inner = print",
            "inner = coroutine.create(print)",
            "inner = io.stdout",
            "wrapped = {}",
            "[1] = 5",
        ] {
            let changed = value(
                &format!("(function() local t = {GOOD}; t.{change}; return t end)()").replace("t.[", "t["),
            );
            let (ours, mluas) = both::<Everything>(&lua, &changed);
            assert_eq!(ours, mluas, "{change}");
        }
        let null = Value::LightUserData(mlua::LightUserData(std::ptr::null_mut()));
        assert_eq!(both::<Option<u8>>(&lua, &null), (Some(None), Some(None)));
        for plain in [
            "nil",
            "5",
            "'x'",
            "{ 1, { a = 2.5, b = {} }, true }",
            "{ a = { 1, 2 }, b = false }",
            "{ 1, 2, x = 3 }",
            "{ [3] = 1 }",
        ] {
            let (ours, mluas) = both::<serde_json::Value>(&lua, &value(plain));
            assert_eq!(ours, mluas, "{plain}");
        }
    }

    #[test]
    fn a_table_that_has_itself_in_it_ends_and_the_next_one_is_read() {
        let lua = Lua::new();
        let value: Value = lua.load("local t = {}; t.inner = t; return t").eval().unwrap();
        let problem = read::<serde_json::Value>(&lua, &value).unwrap_err();
        assert_eq!(problem.to_string(), "tables within tables, too deep");
        for (depth, is_read) in [(128, true), (129, false)] {
            let make = "local t = {}; for _ = 2, ... do t = { inner = t } end; return t";
            let value: Value = lua.load(make).call(depth).unwrap();
            let (ours, mluas) = both::<serde_json::Value>(&lua, &value);
            assert_eq!((ours.is_some(), mluas.is_some()), (is_read, is_read), "{depth}");
        }
        assert_eq!(read::<Wrapped>(&lua, &Value::Integer(4)).unwrap(), Wrapped(4));
    }
}
