//! Which globals a function uses, in which line, and how, and what it changes of the locals that it captures: for people who are told
//! what is wrong with it.
//!
//! `globals_read` must miss none, for what is missing does not travel. Here it is the other way round: nobody is accused
//! of what he did not write. Where a name is in a register, as in functions of very many constants, it is followed from
//! instruction to instruction, and forgotten where that register may be something else.

use super::{ChunkError, Function, Reader};

mod op {
    pub const LOADK: u32 = 3;
    pub const GETUPVAL: u32 = 9;
    pub const SETUPVAL: u32 = 10;
    pub const GETTABUP: u32 = 11;
    pub const GETTABLE: u32 = 12;
    pub const GETFIELD: u32 = 14;
    pub const SETTABUP: u32 = 15;
    pub const SETTABLE: u32 = 16;
    pub const SETI: u32 = 17;
    pub const SETFIELD: u32 = 18;
    pub const CALL: u32 = 68;
    pub const TAILCALL: u32 = 69;
}

/// An instruction whose line is not told by a step.
const FAR: u8 = 0x80;

/// Functions of `table` that change the table they are given first.
const CHANGES: [&[u8]; 3] = [b"insert", b"remove", b"sort"];

/// A global, or a captured local, where it is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The file, as people read it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Of the global or local.
    pub name: String,
    /// What is done with it.
    pub how: How,
}

/// What is done with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// Its value is wanted.
    Read,
    /// It gets one.
    Written,
    /// The same, as a field of `_G`.
    WrittenInG,
    /// It is called with this text and nothing else.
    Called(String),
    /// It is a local of the function around this one, and gets another value.
    Replaced,
    /// The same, and the table in it is changed.
    Changed,
}

/// What a register has.
#[derive(Clone, Copy, PartialEq)]
enum Held<'a> {
    Nothing,
    Env,
    /// `_G`.
    Globals,
    Text(&'a [u8]),
    /// Of a local that the function captures, this one.
    Captured(&'a [u8]),
    /// The library of that name.
    Table,
    /// A function that changes its first argument.
    Changing,
}

impl<'a> Held<'a> {
    /// What it means that a table in there is changed.
    fn changed(&self) -> Option<(&'a [u8], How)> {
        match self {
            Held::Captured(name) => Some((name, How::Changed)),
            _ => None,
        }
    }
}

/// The uses in a whole chunk, by line.
pub fn uses(bytes: &[u8]) -> Result<Vec<Use>, ChunkError> {
    let mut reader = Reader::after_header(bytes)?;
    let function = reader.function(0)?;
    let mut found = Vec::new();
    let file = function.source.unwrap_or(b"=?");
    let file = String::from_utf8_lossy(file.strip_prefix(b"@").unwrap_or(file));
    let env = function.names.iter().position(|name| *name == Some(b"_ENV"));
    let captured: Vec<_> = function.names.iter().map(|name| name.filter(|name| *name != b"_ENV")).collect();
    function.uses(&file, env, &captured, &mut found);
    found.sort();
    Ok(found)
}

impl<'a> Function<'a> {
    /// `captured`: which of its upvalues are locals from outside of the whole chunk, and their names.
    fn uses(&self, file: &str, env: Option<usize>, captured: &[Option<&'a [u8]>], found: &mut Vec<Use>) {
        let of_outside = |upvalue: usize| captured.get(upvalue).copied().flatten();
        let lines = self.lines();
        let words: Vec<u32> =
            self.code.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
        let mut held = [Held::Nothing; 256];
        for (at, &word) in words.iter().enumerate() {
            let [a, b, c] = [word >> 7, word >> 16, word >> 24].map(|part| (part & 0xff) as usize);
            let (mut now, mut used) = (Held::Nothing, None);
            match word & 0x7f {
                op::LOADK => now = self.text((word >> 15) as usize).map_or(now, Held::Text),
                op::GETUPVAL if Some(b) == env => now = Held::Env,
                op::GETUPVAL => now = of_outside(b).map_or(now, Held::Captured),
                op::SETUPVAL => used = of_outside(b).map(|name| (name, How::Replaced)),
                op::SETTABUP if Some(a) != env => used = of_outside(a).map(|name| (name, How::Changed)),
                op::GETFIELD if held[b] == Held::Table => {
                    let changes = self.text(c).is_some_and(|name| CHANGES.contains(&name));
                    now = if changes { Held::Changing } else { now };
                }
                op::CALL | op::TAILCALL if held[a] == Held::Changing => {
                    used = held.get(a + 1).and_then(Held::changed);
                }
                op::GETTABUP if Some(b) == env => used = self.text(c).map(|name| (name, How::Read)),
                op::SETTABUP if Some(a) == env => used = self.text(b).map(|name| (name, How::Written)),
                op::GETTABLE => {
                    if let (Held::Env, Held::Text(name)) = (held[b], held[c]) {
                        used = Some((name, How::Read));
                    }
                }
                op::SETTABLE => {
                    used = match (held[a], held[b]) {
                        (Held::Env, Held::Text(name)) => Some((name, How::Written)),
                        (table, _) => table.changed(),
                    };
                }
                op::SETFIELD if held[a] == Held::Globals => {
                    used = self.text(b).map(|name| (name, How::WrittenInG));
                }
                op::SETI | op::SETFIELD => used = held[a].changed(),
                _ => {}
            }
            if let Some((name, mut how)) = used {
                match (&how, name) {
                    (How::Read, b"_G") => now = Held::Globals,
                    (How::Read, b"table") => now = Held::Table,
                    _ => {}
                }
                if let Some(text) = self.argument(&words[at + 1..], a).filter(|_| how == How::Read) {
                    how = How::Called(String::from_utf8_lossy(text).into_owned());
                }
                let name = String::from_utf8_lossy(name).into_owned();
                found.push(Use { file: file.into(), line: lines[at], name, how });
            }
            // What only stores leaves the register as it is.
            if ![op::SETUPVAL, op::SETTABUP, op::SETTABLE, op::SETI, op::SETFIELD].contains(&(word & 0x7f)) {
                let last = if [op::CALL, op::TAILCALL].contains(&(word & 0x7f)) { 255 } else { a };
                held[a..=last].fill(Held::Nothing);
                held[a] = now;
            }
        }
        for inner in &self.inner {
            // Each of its upvalues is one of ours, if it is no local of ours.
            let ours: Vec<_> =
                inner.upvalues.chunks_exact(3).map(|its| (its[0] == 0).then_some(its[1].into())).collect();
            let captured: Vec<_> = ours.iter().map(|its| of_outside((*its)?)).collect();
            inner.uses(file, ours.iter().position(|its| its.is_some() && *its == env), &captured, found);
        }
    }

    /// The text that the function in this register is called with, if these instructions do that and nothing else.
    fn argument(&self, next: &[u32], register: usize) -> Option<&'a [u8]> {
        let [load, call, ..] = *next else { return None };
        let a = |word: u32| (word >> 7 & 0xff) as usize;
        let is_call = [op::CALL, op::TAILCALL].contains(&(call & 0x7f)) && a(call) == register;
        let is_text = load & 0x7f == op::LOADK && a(load) == register + 1;
        let with_one = call >> 16 & 0xff == 2;
        if is_call && is_text && with_one { self.text((load >> 15) as usize) } else { None }
    }

    fn text(&self, constant: usize) -> Option<&'a [u8]> {
        self.constants.get(constant).copied().flatten()
    }

    /// The line of each instruction.
    fn lines(&self) -> Vec<usize> {
        let mut line = self.line;
        let far = |at: usize| self.lines.iter().find(|(of, _)| *of == at).map(|(_, line)| *line);
        let step = |(at, step): (usize, &u8)| {
            line = match *step {
                FAR => far(at).unwrap_or(line),
                step => line.saturating_add_signed((step as i8).into()),
            };
            line
        };
        let mut lines: Vec<usize> = self.steps.iter().enumerate().map(step).collect();
        lines.resize(self.code.len() / 4, self.line);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        let lua = mlua::Lua::new();
        let chunk = lua.load(source).set_name("@c.lua").into_function().unwrap().dump(false);
        uses(&chunk)
            .unwrap()
            .iter()
            .map(|it| format!("{}:{} {} {:?}", it.file, it.line, it.name, it.how))
            .collect()
    }

    #[test]
    fn uses_have_their_lines_and_locals_are_none() {
        let source = "local a = b\nfunction c(d)\n  return function() e = d + a.x; return f end\nend\nlocal function g() return g end\n_G.h = _G.i";
        let expected = [
            "c.lua:1 b Read",
            "c.lua:2 c Written",
            "c.lua:3 e Written",
            "c.lua:3 f Read",
            "c.lua:6 _G Read",
            "c.lua:6 _G Read",
            "c.lua:6 h WrittenInG",
        ];
        assert_eq!(found(source), expected);
        assert!(found("local _ENV = { x = 1 }\nreturn function() y = x end").is_empty());
    }

    /// Of the function that travels: its own locals, and those of functions within it, are its own.
    #[test]
    fn what_becomes_of_captured_locals_is_seen() {
        let of_function = |source: &str| {
            let lua = mlua::Lua::new();
            let function = lua.load(source).set_name("@c.lua").eval::<mlua::Function>().unwrap();
            let changes = uses(&function.dump(false)).unwrap().into_iter();
            let changes = changes.filter(|it| matches!(it.how, How::Replaced | How::Changed));
            changes.map(|it| format!("{} {} {:?}", it.line, it.name, it.how)).collect::<Vec<_>>()
        };
        assert_eq!(of_function("local n = 0 return function() n = n + 1 end"), ["1 n Replaced"]);
        let filled = "local best, names = {}, {} return function(x)\n best[#best + 1] = x\n best.x = x\n best[1] = x\n best[x] = x\n \
                      table.insert(names, x)\n table.sort(best) end";
        let expected =
            ["2 best", "3 best", "4 best", "5 best", "6 names", "7 best"].map(|it| format!("{it} Changed"));
        assert_eq!(of_function(filled), expected);
        let inner = "local n, t = 0, {} return function() local own = {} own[1] = t[1] return function() n = own.x own.y = 1 end end";
        assert_eq!(of_function(inner), ["1 n Replaced"]);
        let harmless = "local t = {} return function(x) local own = t own = {} own[1] = x table.insert(own, t) t.f(x) return own end";
        assert!(of_function(harmless).is_empty());
    }

    #[test]
    fn names_given_to_a_function_are_seen() {
        let source =
            "local m = require 'm'\nlocal o = pcall(require, 'n')\nreturn require('a' .. m), require(\"b\")";
        let calls: Vec<String> = found(source).into_iter().filter(|it| it.contains("Called")).collect();
        assert_eq!(calls, ["c.lua:1 require Called(\"m\")", "c.lua:3 require Called(\"b\")"]);
    }

    #[test]
    fn among_very_many_constants_and_far_apart_lines_they_are_found_and_texts_are_none() {
        let many: String = (0..400).map(|i| format!("t[{i}.5] = 'k{i}'\n")).collect();
        let gap = "\n".repeat(300);
        let source =
            format!("local t = {{}}\n{many}{gap}late_one(t)\nother = 'late_text'\nreturn t[late_two]");
        let expected = ["c.lua:702 late_one Read", "c.lua:703 other Written", "c.lua:704 late_two Read"];
        assert_eq!(found(&source), expected);
    }

    #[test]
    fn no_corruption_panics() {
        let lua = mlua::Lua::new();
        let source = "a = b; return function(...) c = d; return require 'e', _G.f end";
        let good = lua.load(source).into_function().unwrap().dump(false);
        for at in 0..good.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = uses(&bad);
            }
            let _ = uses(&good[..at]);
        }
    }
}
