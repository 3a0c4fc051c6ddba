//! Memory that is lent to a library: numbers of one type in a row, beginning at a multiple of 64 bytes.
//!
//! Elements are counted from 0. Knows sizes and values, nothing of Lua. What a library does with the address, and
//! whether it stays within the length, is its author's business.

use super::native::Word;
use super::signature::Scalar;

/// A cache line: no element of at most 8 bytes straddles two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;

/// See the module.
pub struct Memory {
    of: Scalar,
    length: usize,
    lines: Vec<Line>,
}

/// A number as Lua knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Truth.
    Bool(bool),
    /// Whole. An unsigned one of 8 bytes from 2^63 on is negative, as in Lua itself.
    Int(i64),
    /// Any.
    Float(f64),
}

impl Memory {
    /// All zero; none if the system has not so much.
    pub fn new(of: Scalar, length: usize) -> Option<Self> {
        let count = length.checked_mul(of.size())?.div_ceil(LINE);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).ok()?;
        lines.resize(count, Line([0; LINE]));
        Some(Self { of, length, lines })
    }

    /// Of what its elements are.
    pub fn of(&self) -> Scalar {
        self.of
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Where it begins, for the library.
    pub fn address(&mut self) -> Word {
        self.lines.as_mut_ptr() as usize as Word
    }

    /// The element at this place, which is below `len`.
    pub fn get(&self, at: usize) -> Number {
        let (line, within) = self.place(at);
        let mut word = [0; 8];
        word[..self.of.size()].copy_from_slice(&self.lines[line].0[within..][..self.of.size()]);
        value(self.of, word)
    }

    /// Sets it; or what it has to be.
    pub fn set(&mut self, at: usize, number: Number) -> Result<(), String> {
        let (line, within) = self.place(at);
        let word = pack(self.of, number)?.to_ne_bytes();
        self.lines[line].0[within..][..self.of.size()].copy_from_slice(&word[..self.of.size()]);
        Ok(())
    }

    /// Sets all of them; or what it has to be.
    pub fn fill(&mut self, number: Number) -> Result<(), String> {
        let size = self.of.size();
        let word = pack(self.of, number)?.to_ne_bytes();
        let mut line = Line([0; LINE]);
        line.0.chunks_exact_mut(size).for_each(|element| element.copy_from_slice(&word[..size]));
        self.lines.fill(line);
        Ok(())
    }

    /// Its bytes up to the first that is zero.
    pub fn text(&self) -> Vec<u8> {
        let bytes = self.lines.iter().flat_map(|line| line.0).take(self.length);
        bytes.take_while(|byte| *byte != 0).collect()
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let byte = at * self.of.size();
        (byte / LINE, byte % LINE)
    }
}

/// The number whose bytes are at the beginning of a word.
fn value(of: Scalar, w: [u8; 8]) -> Number {
    match of {
        Scalar::Bool => Number::Bool(w[0] != 0),
        Scalar::Int(1) => Number::Int(i64::from(w[0] as i8)),
        Scalar::Uint(1) => Number::Int(i64::from(w[0])),
        Scalar::Int(2) => Number::Int(i64::from(i16::from_ne_bytes([w[0], w[1]]))),
        Scalar::Uint(2) => Number::Int(i64::from(u16::from_ne_bytes([w[0], w[1]]))),
        Scalar::Int(4) => Number::Int(i64::from(i32::from_ne_bytes([w[0], w[1], w[2], w[3]]))),
        Scalar::Uint(4) => Number::Int(i64::from(u32::from_ne_bytes([w[0], w[1], w[2], w[3]]))),
        Scalar::Int(_) | Scalar::Uint(_) => Number::Int(i64::from_ne_bytes(w)),
        Scalar::Float => Number::Float(f64::from(f32::from_ne_bytes([w[0], w[1], w[2], w[3]]))),
        Scalar::Double => Number::Float(f64::from_ne_bytes(w)),
    }
}

/// The number that a function returned: integers are as wide as a word.
pub fn returned(of: Scalar, word: Word) -> Number {
    match of {
        Scalar::Bool => Number::Bool(word as u8 != 0),
        Scalar::Int(1) => Number::Int(i64::from(word as i8)),
        Scalar::Uint(1) => Number::Int(i64::from(word as u8)),
        Scalar::Int(2) => Number::Int(i64::from(word as i16)),
        Scalar::Uint(2) => Number::Int(i64::from(word as u16)),
        Scalar::Int(4) => Number::Int(i64::from(word as i32)),
        Scalar::Uint(4) => Number::Int(i64::from(word as u32)),
        Scalar::Int(_) | Scalar::Uint(_) => Number::Int(word as i64),
        Scalar::Float | Scalar::Double => value(of, word.to_ne_bytes()),
    }
}

/// The word of a number; or what it has to be.
pub fn pack(of: Scalar, number: Number) -> Result<Word, String> {
    let whole = match number {
        Number::Int(whole) => Some(whole),
        // Both bounds are exact; 2^63 itself does not fit.
        Number::Float(any) if any.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(&any) => {
            Some(any as i64)
        }
        _ => None,
    };
    let bytes = match (of, number) {
        (Scalar::Bool, Number::Bool(truth)) => word(&[u8::from(truth)]),
        (Scalar::Bool, _) => return Err("expected true or false".into()),
        (Scalar::Float | Scalar::Double, Number::Bool(_)) => return Err("expected a number".into()),
        (Scalar::Float, _) => word(&(float(number) as f32).to_ne_bytes()),
        (Scalar::Double, _) => word(&float(number).to_ne_bytes()),
        (Scalar::Int(size) | Scalar::Uint(size), _) => {
            let bits = u32::from(size) * 8;
            let is_signed = matches!(of, Scalar::Int(_));
            let (low, high) = match (is_signed, bits) {
                (true, _) => (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)),
                (false, 64) => (0, i64::MAX),
                (false, _) => (0, (1 << bits) - 1),
            };
            let whole = whole.filter(|whole| (low..=high).contains(whole));
            let whole = whole.ok_or_else(|| format!("expected a whole number from {low} to {high}"))?;
            match size {
                1 => word(&(whole as u8).to_ne_bytes()),
                2 => word(&(whole as u16).to_ne_bytes()),
                4 => word(&(whole as u32).to_ne_bytes()),
                _ => word(&whole.to_ne_bytes()),
            }
        }
    };
    Ok(bytes)
}

fn float(number: Number) -> f64 {
    match number {
        Number::Int(whole) => whole as f64,
        Number::Float(any) => any,
        Number::Bool(truth) => f64::from(u8::from(truth)),
    }
}

fn word(bytes: &[u8]) -> Word {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    Word::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Scalar; 11] = [
        Scalar::Bool,
        Scalar::Int(1),
        Scalar::Int(2),
        Scalar::Int(4),
        Scalar::Int(8),
        Scalar::Uint(1),
        Scalar::Uint(2),
        Scalar::Uint(4),
        Scalar::Uint(8),
        Scalar::Float,
        Scalar::Double,
    ];

    #[test]
    fn what_is_put_in_comes_out_and_neighbours_stay() {
        for of in ALL {
            let mut memory = Memory::new(of, 100).unwrap();
            assert_eq!(memory.address() % 64, 0);
            let number = match of {
                Scalar::Bool => Number::Bool(true),
                Scalar::Int(size) => Number::Int(i64::MIN >> (64 - u32::from(size) * 8)),
                Scalar::Uint(8) => Number::Int(i64::MAX),
                Scalar::Uint(size) => Number::Int((1 << (u32::from(size) * 8)) - 1),
                _ => Number::Float(-0.5),
            };
            let zero = memory.get(42);
            memory.set(42, number).unwrap();
            memory.set(99, number).unwrap();
            assert_eq!((memory.get(41), memory.get(42), memory.get(43)), (zero, number, zero), "{of:?}");
            assert_eq!(memory.get(99), number);
            memory.fill(number).unwrap();
            assert_eq!((memory.get(0), memory.get(98)), (number, number));
        }
        assert!(Memory::new(Scalar::Double, usize::MAX).is_none());
        assert!(Memory::new(Scalar::Bool, 1 << 60).is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |of, number| pack(of, number).unwrap_err();
        assert_eq!(refused(Scalar::Int(1), Number::Int(128)), "expected a whole number from -128 to 127");
        assert_eq!(refused(Scalar::Uint(4), Number::Int(-1)), "expected a whole number from 0 to 4294967295");
        assert!(refused(Scalar::Int(4), Number::Float(0.5)).contains("whole number"));
        assert!(refused(Scalar::Int(8), Number::Float(2f64.powi(63))).contains("whole number"));
        assert!(refused(Scalar::Int(8), Number::Float(f64::NAN)).contains("whole number"));
        assert_eq!(refused(Scalar::Bool, Number::Int(1)), "expected true or false");
        assert_eq!(refused(Scalar::Double, Number::Bool(true)), "expected a number");
        assert_eq!(pack(Scalar::Int(4), Number::Float(3.0)), Ok(word(&3i32.to_ne_bytes())));
    }

    #[test]
    fn integers_come_back_as_wide_as_a_word() {
        assert_eq!(returned(Scalar::Int(4), -7i32 as u32 as Word), Number::Int(-7));
        assert_eq!(returned(Scalar::Int(1), Word::MAX), Number::Int(-1));
        assert_eq!(returned(Scalar::Uint(2), 0xffff), Number::Int(65535));
        assert_eq!(returned(Scalar::Float, word(&1.5f32.to_ne_bytes())), Number::Float(1.5));
    }
}
