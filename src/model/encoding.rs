//! How bytes and numbers look in JSON, which people read and which must give back exactly what went in.
//!
//! Bytes are a plain string where they are UTF-8 and `{"base64": "…"}` where they are not; a number JSON
//! cannot hold (an infinity, NaN) is `null` and comes back as NaN. In messages between processes, where
//! nobody reads, both keep their binary form. Used as `#[serde(with = "…")]`; knows nothing of the journal.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For anything that is bytes and can be made from a `Vec<u8>`.
pub mod bytes {
    use super::*;

    pub fn serialize<T: AsRef<[u8]>, S: Serializer>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
        Borrowed(bytes.as_ref()).serialize(serializer)
    }

    pub fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        Owned::deserialize(deserializer).map(|owned| owned.0.into())
    }
}

/// For `Arc`s of what is large: it is made where it stays. (Serde's own goes through a box.)
pub mod shared {
    use super::*;
    use std::sync::Arc;

    pub fn serialize<T: Serialize, S: Serializer>(
        content: &Arc<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (**content).serialize(serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

/// For `Option<ByteBuf>`.
pub mod optional_bytes {
    use super::*;
    use serde_bytes::ByteBuf;

    pub fn serialize<S: Serializer>(bytes: &Option<ByteBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(|bytes| Borrowed(bytes)).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteBuf>, D::Error> {
        Ok(Option::<Owned>::deserialize(deserializer)?.map(|owned| owned.0.into()))
    }
}

/// For named pieces of code.
pub mod codes {
    use super::*;
    use crate::model::Hash;
    use serde_bytes::ByteBuf;

    pub fn serialize<S: Serializer>(codes: &[(Hash, ByteBuf)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(codes.iter().map(|(hash, code)| (hash, Borrowed(code))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Hash, ByteBuf)>, D::Error> {
        let codes = Vec::<(Hash, Owned)>::deserialize(deserializer)?;
        Ok(codes.into_iter().map(|(hash, code)| (hash, code.0.into())).collect())
    }
}

/// For JSON that may be missing. Messages cannot carry it: there it is text.
pub mod json {
    use super::*;
    use serde_json::Value;

    pub fn serialize<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => value.serialize(serializer),
            false => value.as_ref().map(ToString::to_string).serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
        if deserializer.is_human_readable() {
            return Option::deserialize(deserializer);
        }
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(de::Error::custom)
    }
}

/// A number that may be missing in JSON (`deserialize_with`; serde_json already writes `null`).
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    if deserializer.is_human_readable() {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    } else {
        f64::deserialize(deserializer)
    }
}

struct Borrowed<'a>(&'a [u8]);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(self.0);
        }
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_map([("base64", STANDARD.encode(self.0))]),
        }
    }
}

struct Owned(Vec<u8>);

impl<'de> Deserialize<'de> for Owned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_any(Readable);
        }
        serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec()))
    }
}

/// Reads both forms, and bytes as they are from those who have them (Lua).
struct Readable;

impl<'de> Visitor<'de> for Readable {
    type Value = Owned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or { \"base64\": \"…\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Owned, E> {
        Ok(Owned(text.into()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Owned, E> {
        Ok(Owned(text.into_bytes()))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Owned, E> {
        Ok(Owned(bytes.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Owned, A::Error> {
        let (Some((Form::Base64, text)), None) =
            (map.next_entry::<Form, String>()?, map.next_entry::<Form, String>()?)
        else {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        STANDARD.decode(text).map(Owned).map_err(de::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Base64,
}

#[cfg(test)]
mod tests {
    use crate::model::{CallReturn, Hash, RunResult, Summary};

    #[test]
    fn text_stays_readable_and_other_bytes_are_lossless() {
        let run = RunResult { stdout: "ü\n".into(), stderr: vec![0xff, 0, 0xfe], ..RunResult::default() };
        let json = serde_json::to_string(&run).unwrap();
        assert!(json.contains(r#""stdout":"ü\n","stderr":{"base64":"/wD+"}"#), "{json}");
        assert_eq!(serde_json::from_str::<RunResult>(&json).unwrap(), run);
        for (good, bad) in
            [("/wD+", "not base64!"), ("base64", "base63"), (r#""ü\n""#, "7"), (r#""ü\n""#, "{}")]
        {
            assert!(serde_json::from_str::<RunResult>(&json.replace(good, bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_forms_give_back_what_went_in() {
        let value = CallReturn {
            values: vec![0x80, 1, 2].into(),
            codes: vec![(Hash::of(b"f"), vec![0x1b, b'L', 0xff].into()), (Hash::of(b"g"), vec![].into())],
            text: Some(b"42".to_vec().into()),
            text_at: None,
        };
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<CallReturn>(&json).unwrap(), value);
        let binary = postcard::to_allocvec(&value).unwrap();
        assert_eq!(postcard::from_bytes::<CallReturn>(&binary).unwrap(), value);
        assert!(binary.len() < 60, "binary form has {} bytes", binary.len());
    }

    #[test]
    fn a_number_json_cannot_hold_does_not_spoil_the_line() {
        let odd = Summary { mean: f64::INFINITY, ..Summary::default() };
        let json = serde_json::to_string(&odd).unwrap();
        let back: Summary = serde_json::from_str(&json).unwrap();
        assert!(back.mean.is_nan() && back.n == odd.n);
        let binary = postcard::to_allocvec(&odd).unwrap();
        assert_eq!(postcard::from_bytes::<Summary>(&binary).unwrap(), odd);
    }
}
