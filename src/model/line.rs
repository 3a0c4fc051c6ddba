//! A line of JSON, taken apart once, so that each part of a record can pick its own fields out of it.
//!
//! With `#[serde(flatten)]` and `#[serde(tag)]` serde copies the whole line first, and what is flattened once more:
//! opening a long journal would take several times as long. Knows no record; a value is parsed once, by who wants it.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Error;
use serde_json::value::RawValue;

/// The fields of an object, in the order of the line.
pub(super) struct Line<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'a> Line<'a> {
    /// Takes it apart; all of it is JSON then.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice(text)
    }

    /// What has these fields; the others are somebody else's.
    pub(super) fn part<T: Deserialize<'a>>(&self) -> Result<T, Error> {
        T::deserialize(Part(self))
    }
}

impl<'a> Deserialize<'a> for Line<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'a> Visitor<'a> for Fields {
            type Value = Line<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Line<'a>, A::Error> {
                let mut fields = Vec::with_capacity(96);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Line(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// The line as one part sees it.
struct Part<'l, 'a>(&'l Line<'a>);

impl<'a> Deserializer<'a> for Part<'_, 'a> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        wanted: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { line: &self.0.0, wanted: wanted.iter(), next: 0, value: None })
    }

    fn deserialize_any<V: Visitor<'a>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a part of a record is a struct"))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The fields of the line that are wanted.
struct Fields<'l, 'a> {
    line: &'l [(&'a str, &'a RawValue)],
    wanted: std::slice::Iter<'static, &'static str>,
    /// Fields stand in the order they are written in: the next one is mostly here.
    next: usize,
    value: Option<(&'static str, &'a RawValue)>,
}

impl<'a> MapAccess<'a> for Fields<'_, 'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        for name in self.wanted.by_ref() {
            let (before, after) = self.line.split_at(self.next);
            let here = after.iter().chain(before).position(|(key, _)| key == name);
            let Some(ahead) = here else { continue };
            let at = (self.next + ahead) % self.line.len();
            self.next = at + 1;
            self.value = Some((name, self.line[at].1));
            return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((name, value)) = self.value.take() else {
            return Err(Error::custom("a value without a key"));
        };
        seed.deserialize(value).map_err(|error| match error.is_data() {
            true => Error::custom(format!("{error} (`{name}`)")),
            false => error,
        })
    }
}
