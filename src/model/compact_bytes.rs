//! Bytes that are mostly few: what a call is called with, and what it returns.
//!
//! They are made by one thread and dropped by another, in each process on their way: a piece of memory each would be half of all that
//! is asked for and given back for most calls. Knows nothing of what the bytes say.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::encoding;

/// As many bytes as this lie in place: a function without arguments or with a few numbers, and what it returns (B).
const SHORT: usize = 38;

/// Bytes of which few lie in place, and many are shared.
#[derive(Clone)]
pub struct CompactBytes(Form);

#[derive(Clone)]
enum Form {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Bytes),
}

impl CompactBytes {
    /// No bytes.
    pub const EMPTY: Self = Self(Form::Short { length: 0, bytes: [0; SHORT] });

    /// These bytes and those behind them, in no more memory than they take.
    pub fn joined(first: &[u8], second: &[u8]) -> Self {
        let whole = first.len() + second.len();
        if whole > SHORT {
            let mut bytes = Vec::with_capacity(whole);
            bytes.extend_from_slice(first);
            bytes.extend_from_slice(second);
            return Self(Form::Long(bytes.into()));
        }
        let mut bytes = [0; SHORT];
        bytes[..first.len()].copy_from_slice(first);
        bytes[first.len()..whole].copy_from_slice(second);
        Self(Form::Short { length: whole as u8, bytes })
    }

    /// The bytes that are shared, if there are many.
    pub fn shared(&self) -> Option<&Bytes> {
        match &self.0 {
            Form::Short { .. } => None,
            Form::Long(bytes) => Some(bytes),
        }
    }
}

impl Default for CompactBytes {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Deref for CompactBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Form::Short { length, bytes } => &bytes[..usize::from(*length)],
            Form::Long(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for CompactBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<&[u8]> for CompactBytes {
    fn from(bytes: &[u8]) -> Self {
        Self::joined(bytes, &[])
    }
}

impl From<Bytes> for CompactBytes {
    fn from(bytes: Bytes) -> Self {
        if bytes.len() <= SHORT { Self::from(&bytes[..]) } else { Self(Form::Long(bytes)) }
    }
}

impl From<Vec<u8>> for CompactBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<CompactBytes> for Vec<u8> {
    fn from(bytes: CompactBytes) -> Self {
        match bytes.0 {
            Form::Short { .. } => bytes.to_vec(),
            Form::Long(bytes) => bytes.into(),
        }
    }
}

impl PartialEq for CompactBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for CompactBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for CompactBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        encoding::bytes::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for CompactBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => encoding::bytes::deserialize(deserializer),
            false => deserializer.deserialize_bytes(Binary),
        }
    }
}

/// Reads the binary form, without a piece of memory for what is short.
struct Binary;

impl Visitor<'_> for Binary {
    type Value = CompactBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<CompactBytes, E> {
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_their_number_they_come_back_and_few_take_no_memory_of_their_own() {
        assert_eq!(size_of::<CompactBytes>(), 40);
        for count in [0, 1, SHORT - 1, SHORT, SHORT + 1, 1000] {
            let plain: Vec<u8> = (0..count).map(|i| i as u8 ^ 0x80).collect();
            let bytes = CompactBytes::from(plain.clone());
            assert_eq!(*bytes, plain[..]);
            assert_eq!(bytes.shared().is_none(), count <= SHORT, "{count}");
            let (first, second) = plain.split_at(count / 3);
            for other in
                [CompactBytes::joined(first, second), plain[..].into(), Bytes::from(plain.clone()).into()]
            {
                assert_eq!(other, bytes);
                assert_eq!(other.shared().is_none(), count <= SHORT, "{count}");
            }
            let binary = postcard::to_allocvec(&bytes).unwrap();
            assert_eq!(binary, postcard::to_allocvec(serde_bytes::Bytes::new(&plain)).unwrap());
            assert_eq!(postcard::from_bytes::<CompactBytes>(&binary).unwrap(), bytes);
            let text = CompactBytes::from(vec![b'x'; count]);
            for bytes in [&bytes, &text] {
                let json = serde_json::to_string(bytes).unwrap();
                assert_eq!(serde_json::from_str::<CompactBytes>(&json).unwrap(), *bytes);
            }
            assert_eq!(Vec::from(bytes), plain);
        }
    }
}
