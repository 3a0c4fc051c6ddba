//! The bytes of a message: a manifest anyone can read without Lua, then the values.
//!
//! ```text
//! message  := manifest value* (GLOBAL environment:ref name value)* END
//! manifest := codes{hash} deps{task id} artefacts{hash} shares{hash} references:uint values:uint
//! ```
//! Integers are LEB128. Strings, tables, functions and environments are numbered in the order they are met;
//! a later mention is `REF number`, so sharing and cycles survive. Knows nothing of Lua states.

use smallvec::SmallVec;

use super::ShipError;
use crate::model::{Hash, TaskId};

/// Bytecode that a message refers to: mostly that of one function.
pub type Codes = SmallVec<[Hash; 2]>;

pub const NIL: u8 = 0;
pub const FALSE: u8 = 1;
pub const TRUE: u8 = 2;
/// Zigzag uint.
pub const INTEGER: u8 = 3;
/// Eight bytes.
pub const FLOAT: u8 = 4;
/// Length, bytes; numbered.
pub const STRING: u8 = 5;
/// Length, bytes; too short to be worth a number.
pub const BYTES: u8 = 6;
/// Count and bytes of leading floats, count of further elements, these, pairs, END.
pub const TABLE: u8 = 7;
/// As `TABLE`, then the metatable.
pub const TABLE_META: u8 = 8;
/// Index among the manifest's codes, then for each upvalue CELL or NEW.
pub const FUNCTION: u8 = 9;
/// What was numbered.
pub const REF: u8 = 10;
/// Index in `standard::NAMES`.
pub const STANDARD: u8 = 11;
/// Module, and the path of one of its members (empty: the module itself); numbered.
pub const NAMED: u8 = 12;
/// The table of globals of the function's side; numbered.
pub const ENVIRONMENT: u8 = 13;
/// Index among the manifest's deps.
pub const FUTURE: u8 = 14;
/// Index among the manifest's artefacts.
pub const ARTEFACT: u8 = 15;
pub const END: u8 = 16;
/// Upvalue: a variable met before, by number.
pub const CELL: u8 = 17;
/// Upvalue: a new variable, its value follows.
pub const NEW: u8 = 18;
pub const GLOBAL: u8 = 19;
/// Count; a function and its arguments, then globals, END: the value is what the function returns; numbered.
pub const REBUILT: u8 = 20;
/// Index among the manifest's shares.
pub const SHARED: u8 = 21;

pub fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // What most often follows too: what is large is not to be moved for a byte behind it.
    out.reserve(bytes.len() + 32);
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// What a message needs, readable without decoding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Bytecode it refers to.
    pub codes: Codes,
    /// Tasks whose results it waits for.
    pub deps: Vec<TaskId>,
    /// Artefacts whose paths it holds.
    pub artefacts: Vec<Hash>,
    /// Shared values it refers to: artefacts that are messages themselves.
    pub shares: Vec<Hash>,
    /// How many things are numbered.
    pub(super) references: usize,
    /// How many values.
    pub(super) values: usize,
}

impl Manifest {
    /// Reads the manifest of a message of [`Shipper::encode`](super::Shipper::encode).
    pub fn of(message: &[u8]) -> Result<Self, ShipError> {
        Message::of(message).map(|message| message.manifest)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let codes = reader.hashes()?;
        let count = reader.count(1)?;
        let deps = (0..count).map(|_| reader.uint().map(TaskId)).collect::<Result<_, _>>()?;
        let artefacts = reader.hashes()?;
        let shares = reader.hashes()?;
        let references = reader.count(1)?;
        let values = reader.count(1)?;
        Ok(Self { codes, deps, artefacts, shares, references, values })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_hashes(out, &self.codes);
        put_uint(out, self.deps.len() as u64);
        self.deps.iter().for_each(|task| put_uint(out, task.0));
        put_hashes(out, &self.artefacts);
        put_hashes(out, &self.shares);
        put_uint(out, self.references as u64);
        put_uint(out, self.values as u64);
    }
}

/// A message whose manifest was read.
pub struct Message<'b> {
    pub manifest: Manifest,
    /// Stands behind it.
    pub reader: Reader<'b>,
}

impl<'b> Message<'b> {
    pub fn of(bytes: &'b [u8]) -> Result<Self, ShipError> {
        let mut reader = Reader::new(bytes);
        let manifest = Manifest::read(&mut reader)
            .map_err(|Truncated(what)| ShipError::Corrupt { at: reader.at, what })?;
        Ok(Self { manifest, reader })
    }
}

fn put_hashes(out: &mut Vec<u8>, hashes: &[Hash]) {
    put_uint(out, hashes.len() as u64);
    hashes.iter().for_each(|hash| out.extend_from_slice(&hash.0));
}

/// The message ended, or said something impossible.
#[derive(Clone, Copy, Debug)]
pub struct Truncated(pub &'static str);

/// Reads a message from the front. Owns nothing: a Lua error may jump over it.
#[derive(Clone, Copy)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    pub at: usize,
}

impl<'b> Reader<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn take(&mut self, count: usize) -> Result<&'b [u8], Truncated> {
        let slice = self.bytes[self.at..].get(..count).ok_or(Truncated("it ends too early"))?;
        self.at += count;
        Ok(slice)
    }

    pub fn byte(&mut self) -> Result<u8, Truncated> {
        Ok(self.take(1)?[0])
    }

    /// Consumes the next byte if it is `byte`.
    pub fn accept(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    pub fn uint(&mut self) -> Result<u64, Truncated> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Truncated("an integer of more than 64 bits"))
    }

    /// A count of items that take at least `item_bytes` bytes each: never more than can still come.
    pub fn count(&mut self, item_bytes: usize) -> Result<usize, Truncated> {
        let count = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
        match count.checked_mul(item_bytes) {
            Some(bytes) if bytes <= self.left() => Ok(count),
            _ => Err(Truncated("a count larger than the message")),
        }
    }

    /// Length and bytes.
    pub fn string(&mut self) -> Result<&'b [u8], Truncated> {
        let length = self.count(1)?;
        self.take(length)
    }

    fn hashes<All: FromIterator<Hash>>(&mut self) -> Result<All, Truncated> {
        const BYTES: usize = size_of::<Hash>();
        let count = self.count(BYTES)?;
        let (hashes, _) = self.take(count * BYTES)?.as_chunks::<BYTES>();
        Ok(hashes.iter().copied().map(Hash).collect())
    }
}
