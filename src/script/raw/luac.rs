//! Reads what `lua_dump` writes (Lua 5.4 binary chunks): which globals a function reads, where it was
//! written, and a *factory* that makes fresh closures of it.
//!
//! Everything here is bounds-checked Rust over bytes: a truncated or garbled chunk is an error, never a
//! crash. It cannot tell malicious code from good code; that is what content hashes are for (see `mod.rs`).
//! Knows the chunk format and the handful of instructions it looks at; knows no Lua state.

mod uses;

pub use uses::{How, Use, uses};

/// Bytes before the first function: signature, version, format, check data, sizes, sample numbers.
const HEADER: usize = 4 + 1 + 1 + 6 + 3 + 8 + 8;
/// `\x1bLua`, version 5.4, official format.
const SIGNATURE: &[u8] = b"\x1bLua\x54\0";
/// Deeper nesting of functions cannot come from Lua's own compiler (its limit is 200 C levels).
const MAX_NESTING: usize = 200;
/// Constants beyond this index do not fit the operand of `GETTABUP` (`MAXARG_C`).
const MAX_SHORT_CONSTANT: usize = 255;

mod op {
    //! The instructions that matter here (lopcodes.h of Lua 5.4).
    pub const LOADK: u32 = 3;
    pub const LOADKX: u32 = 4;
    pub const GETUPVAL: u32 = 9;
    pub const GETTABUP: u32 = 11;
    pub const TAILCALL: u32 = 69;
    pub const RETURN: u32 = 70;
    pub const RETURN1: u32 = 72;
    pub const CLOSURE: u32 = 79;
}

/// Why bytes are not a chunk.
pub type ChunkError = &'static str;

/// What a dumped function tells of itself.
#[derive(Debug, Default, PartialEq)]
pub struct Chunk {
    /// Names of the globals it, or a function inside it, reads.
    pub globals: Vec<Box<[u8]>>,
    /// Which of its upvalues is `_ENV`.
    pub env: Option<usize>,
    /// How many upvalues it has.
    pub upvalues: usize,
    /// Where it was written, as people read it: `campaign.lua:3`.
    pub location: String,
}

/// Reads a whole chunk; anything missing or left over is an error.
pub fn read(bytes: &[u8]) -> Result<Chunk, ChunkError> {
    let mut reader = Reader::after_header(bytes)?;
    let function = reader.function(0)?;
    if reader.at != bytes.len() {
        return Err("bytes left over");
    }
    let env = function.names.iter().position(|name| *name == Some(b"_ENV"));
    let mut globals = Vec::new();
    if let Some(env) = env {
        function.globals_read(env, &mut globals);
    }
    let upvalues = function.upvalues.len() / 3;
    Ok(Chunk { globals, env, upvalues, location: location(function.source, function.line) })
}

/// How many values a dumped function gives at most. One for what another function gives: nobody knows how many that are.
pub fn returned(bytes: &[u8]) -> Result<usize, ChunkError> {
    let function = Reader::after_header(bytes)?.function(0)?;
    let words = function.code.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    let values = words.map(|word| match (word & 0x7f, (word >> 16 & 0xff) as usize) {
        (op::RETURN1 | op::TAILCALL, _) | (op::RETURN, 0) => 1,
        (op::RETURN, count) => count - 1,
        _ => 0,
    });
    Ok(values.max().unwrap_or(0))
}

/// The name of one of a dumped function's upvalues (from 0), if its names are in it.
pub fn upvalue_name(bytes: &[u8], upvalue: usize) -> Option<String> {
    let function = Reader::after_header(bytes).and_then(|mut reader| reader.function(0)).ok()?;
    let name = function.names.get(upvalue).copied().flatten()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Brings a dump into the form that does not depend on the function it was defined in: upvalue `i` is local
/// `i` of the enclosing function. Equal functions then have equal bytes on both ends, and [`factory`] needs
/// only to enclose them.
pub fn canonicalise(dump: &mut [u8]) -> Result<(), ChunkError> {
    let mut reader = Reader::after_header(dump)?;
    let (at, count) = reader.head()?.upvalues_at;
    for (i, upvalue) in dump[at..at + 3 * count].chunks_exact_mut(3).enumerate() {
        upvalue[0] = 1; // a local of the enclosing function …
        upvalue[1] = i as u8; // … in register i
    }
    Ok(())
}

/// Encloses a canonical dump in `local u1, …, un; return <function>`. Every call of that main function
/// gives a new closure with upvalues of its own.
///
/// The closure overwrites the register of its own first upvalue, so that 255 upvalues, Lua's limit, still
/// fit the 255 registers; all upvalues are set after the call anyway.
pub fn factory(dump: &[u8], upvalues: usize) -> Vec<u8> {
    let (header, rest) = dump.split_at(HEADER);
    let body = &rest[1..];
    let mut out = Vec::with_capacity(dump.len() + 64);
    out.extend_from_slice(header);
    out.push(0); // upvalues of main
    put_size(&mut out, 0); // no source: the function brings its own
    put_size(&mut out, 0); // first line
    put_size(&mut out, 0); // last line
    out.push(upvalues as u8); // as parameters the registers start as nil
    out.push(0); // not variadic
    out.push((upvalues + 1).clamp(2, 255) as u8); // registers
    put_size(&mut out, 2);
    out.extend_from_slice(&instruction(op::CLOSURE, 0, 0, 0).to_le_bytes());
    out.extend_from_slice(&instruction(op::RETURN, 0, 1, 2).to_le_bytes()); // closes the upvalues (k)
    put_size(&mut out, 0); // constants
    put_size(&mut out, 0); // upvalue descriptions
    put_size(&mut out, 1); // functions
    out.extend_from_slice(body);
    for _debug_part in 0..4 {
        put_size(&mut out, 0);
    }
    out
}

fn instruction(op: u32, a: u32, k: u32, b: u32) -> u32 {
    op | a << 7 | k << 15 | b << 16
}

/// Lua's own variable-length integer: most significant group first, the last byte is marked.
fn put_size(out: &mut Vec<u8>, size: u8) {
    debug_assert!(size < 0x80);
    out.push(size | 0x80);
}

/// `@campaign.lua` is a file, `=name` a given name, anything else the source text itself.
fn location(source: Option<&[u8]>, line: usize) -> String {
    let text = String::from_utf8_lossy(source.unwrap_or(b"=?"));
    match text.strip_prefix(['@', '=']) {
        Some(name) => format!("{name}:{line}"),
        None => {
            let first: String = text.lines().next().unwrap_or("").chars().take(40).collect();
            format!("[string \"{first}\"]:{line}")
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The part of a function up to its upvalues.
struct Head<'a> {
    source: Option<&'a [u8]>,
    line: usize,
    code: &'a [u8],
    /// String constants; other constants are `None`.
    constants: Vec<Option<&'a [u8]>>,
    /// Offset and number of the upvalue descriptions (three bytes each).
    upvalues_at: (usize, usize),
}

struct Function<'a> {
    source: Option<&'a [u8]>,
    line: usize,
    code: &'a [u8],
    constants: Vec<Option<&'a [u8]>>,
    upvalues: &'a [u8],
    names: Vec<Option<&'a [u8]>>,
    inner: Vec<Function<'a>>,
    /// Of each instruction how many lines it is behind the one before.
    steps: &'a [u8],
    /// Lines of instructions that are further behind.
    lines: Vec<(usize, usize)>,
}

impl<'a> Reader<'a> {
    fn after_header(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        if bytes.len() <= HEADER || !bytes.starts_with(SIGNATURE) {
            return Err("not a Lua 5.4 chunk");
        }
        Ok(Self { bytes, at: HEADER + 1 })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ChunkError> {
        let end = self.at.checked_add(count).ok_or("absurd size")?;
        let slice = self.bytes.get(self.at..end).ok_or("truncated")?;
        self.at = end;
        Ok(slice)
    }

    fn byte(&mut self) -> Result<u8, ChunkError> {
        Ok(self.take(1)?[0])
    }

    fn size(&mut self) -> Result<usize, ChunkError> {
        let mut size = 0usize;
        loop {
            let byte = self.byte()?;
            size = size << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 != 0 {
                return Ok(size);
            }
            if size > 1 << 40 {
                return Err("absurd size");
            }
        }
    }

    fn string(&mut self) -> Result<Option<&'a [u8]>, ChunkError> {
        match self.size()? {
            0 => Ok(None),
            size => self.take(size - 1).map(Some),
        }
    }

    fn vector(&mut self, item_bytes: usize) -> Result<&'a [u8], ChunkError> {
        let count = self.size()?;
        self.take(count.checked_mul(item_bytes).ok_or("absurd size")?)
    }

    fn constants(&mut self) -> Result<Vec<Option<&'a [u8]>>, ChunkError> {
        let mut constants = Vec::new();
        for _ in 0..self.size()? {
            constants.push(match self.byte()? {
                0x00 | 0x01 | 0x11 => None, // nil, false, true
                0x03 | 0x13 => {
                    self.take(8)?; // integer, float
                    None
                }
                0x04 | 0x14 => self.string()?, // short and long strings
                _ => return Err("unknown kind of constant"),
            });
        }
        Ok(constants)
    }

    fn head(&mut self) -> Result<Head<'a>, ChunkError> {
        let source = self.string()?;
        let line = self.size()?;
        self.size()?; // last line
        self.take(3)?; // parameters, variadic, registers
        let code = self.vector(4)?;
        let constants = self.constants()?;
        let count = self.size()?;
        let at = self.at;
        self.take(count.checked_mul(3).ok_or("absurd size")?)?;
        Ok(Head { source, line, code, constants, upvalues_at: (at, count) })
    }

    fn function(&mut self, nesting: usize) -> Result<Function<'a>, ChunkError> {
        if nesting > MAX_NESTING {
            return Err("functions nested too deeply");
        }
        let Head { source, line, code, constants, upvalues_at: (at, count) } = self.head()?;
        let upvalues = &self.bytes[at..at + 3 * count];
        let mut inner = Vec::new();
        for _ in 0..self.size()? {
            inner.push(self.function(nesting + 1)?);
        }
        let steps = self.vector(1)?;
        let mut lines = Vec::new();
        for _ in 0..self.size()? {
            lines.push((self.size()?, self.size()?));
        }
        for _ in 0..self.size()? {
            self.string()?; // local variables: name, from, to
            self.size()?;
            self.size()?;
        }
        let mut names = Vec::new();
        for _ in 0..self.size()? {
            names.push(self.string()?);
        }
        Ok(Function { source, line, code, constants, upvalues, names, inner, steps, lines })
    }
}

impl Function<'_> {
    /// Adds the globals read here and in inner functions, `env` being the upvalue that holds `_ENV`.
    fn globals_read(&self, env: usize, found: &mut Vec<Box<[u8]>>) {
        let words: Vec<u32> =
            self.code.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
        let (op, b, c) = (|w: u32| w & 0x7f, |w: u32| (w >> 16 & 0xff) as usize, |w: u32| (w >> 24) as usize);
        // In a function of more than 255 constants a global with a late name is read in three instructions:
        // _ENV to a register, the name to a register, GETTABLE.
        let env_in_register = words.iter().any(|&w| op(w) == op::GETUPVAL && b(w) == env);
        for (i, &word) in words.iter().enumerate() {
            let constant = match op(word) {
                op::GETTABUP if b(word) == env => c(word),
                op::LOADK if env_in_register => (word >> 15) as usize,
                op::LOADKX if env_in_register => words.get(i + 1).map_or(0, |next| (next >> 7) as usize),
                _ => continue,
            };
            if op(word) != op::GETTABUP && constant <= MAX_SHORT_CONSTANT {
                continue; // an ordinary string
            }
            if let Some(Some(name)) = self.constants.get(constant)
                && !found.iter().any(|known| **known == **name)
            {
                found.push((*name).into());
            }
        }
        for (inner, env) in self.heirs(env) {
            inner.globals_read(env, found);
        }
    }

    /// The inner functions that have `_ENV` from here, and which of their upvalues it is.
    fn heirs(&self, env: usize) -> impl Iterator<Item = (&Self, usize)> {
        let inherits = move |upvalue: &[u8]| upvalue[0] == 0 && usize::from(upvalue[1]) == env;
        let of = move |inner: &Self| inner.upvalues.chunks_exact(3).position(inherits);
        self.inner.iter().filter_map(move |inner| Some((inner, of(inner)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(source: &str) -> Vec<u8> {
        let lua = mlua::Lua::new();
        lua.load(source).set_name("@campaign.lua").eval::<mlua::Function>().unwrap().dump(false)
    }

    fn globals(source: &str) -> Vec<String> {
        let chunk = read(&dump(source)).unwrap();
        chunk.globals.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn globals_of_inner_functions_are_found_and_written_ones_are_not() {
        assert_eq!(globals("return function() w = a; return function() return b.c end end"), ["a", "b"]);
        assert_eq!(globals("local _ENV <const> = { x = 1 }; return function() return x end"), ["x"]);
        assert!(globals("local p = print; return function(x) return p(x.y) end").is_empty());
    }

    #[test]
    fn a_function_gives_as_many_values_as_its_longest_return() {
        for (source, values) in [
            ("return function() end", 0),
            ("return function(x) if x then return 1 end end", 1),
            ("return function(a, b) return a, b, 3 end", 3),
            ("return function(f) return f() end", 1),
            ("return function(f) return 1, f() end", 1),
            ("return function() local function inner() return 1, 2 end inner() end", 0),
        ] {
            assert_eq!(returned(&dump(source)), Ok(values), "{source}");
        }
    }

    #[test]
    fn globals_behind_more_than_255_constants_are_found() {
        let many: String = (0..400).map(|i| format!("t[{i}.5] = 'k{i}'\n")).collect();
        let found = globals(&format!("return function() local t = {{}}\n{many} return late_one(t) end"));
        assert!(found.contains(&"late_one".to_string()), "{found:?}");
    }

    #[test]
    fn location_names_file_and_line() {
        let chunk = read(&dump("\n\nreturn function() return 1 end")).unwrap();
        assert_eq!(chunk.location, "campaign.lua:3");
        assert_eq!((chunk.upvalues, chunk.env), (0, None));
    }

    #[test]
    fn every_truncation_is_an_error_and_no_corruption_panics() {
        let good =
            dump("local a, b = 1, 2; return function(...) return a, function() return b, c, 1.5, {} end end");
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "truncated to {length}");
        }
        for at in 0..good.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = read(&bad);
                let _ = canonicalise(&mut bad);
            }
        }
    }
}
