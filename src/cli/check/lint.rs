//! What is wrong with the text of a script and of the modules it asks for, and where: syntax, globals that nobody sets, modules
//! that are not there, globals that are set where nobody sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::dry::Ran;
use crate::model::{Module, nearest};
use crate::script::check::{How, Use, globals, globals_of};
use crate::script::modules::{Modules, chunk_name};

/// Globals of other versions of Lua, which modules that run under all of them look for, and what is there instead.
const OTHER_LUA: [(&str, &str); 10] = [
    ("unpack", "table.unpack"),
    ("loadstring", "load"),
    ("setfenv", "the fourth argument of load"),
    ("getfenv", "_ENV"),
    ("module", "a table that the file returns"),
    ("gcinfo", "collectgarbage \"count\""),
    ("newproxy", "setmetatable({}, …)"),
    ("bit", "the operators & | ~ << >>"),
    ("bit32", "the operators & | ~ << >>"),
    ("jit", "nothing: this is no LuaJIT"),
];

/// What the names of our own modules begin with.
const LIBRARY: &str = "harness.";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Error,
    Warning,
}

/// Something to be said of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Remark {
    /// As in messages, below the campaign's folder; empty: of no file.
    pub(super) file: String,
    /// 0: of no line.
    pub(super) line: usize,
    pub(super) level: Level,
    pub(super) text: String,
    /// The file is no Lua.
    pub(super) is_syntax: bool,
}

impl Remark {
    fn new(level: Level, file: &str, line: usize, text: String) -> Self {
        Self { file: file.into(), line, level, text, is_syntax: false }
    }

    /// An error of no line.
    pub(super) fn of_text(text: &str) -> Self {
        Self::new(Level::Error, "", 0, text.into())
    }

    /// Of what Lua says: `campaign.lua:3: text`, and the traceback behind it, which has the line where the text has none.
    pub(super) fn at_its_line(said: &str) -> Self {
        let first = said.lines().next().unwrap_or_default();
        let place = |line: &str| {
            let (place, text) = line.trim_start().split_once(": ")?;
            let (file, line) = place.rsplit_once(':')?;
            Some((file.to_owned(), line.parse::<usize>().ok()?, text.to_owned()))
        };
        let own = place(first);
        let text = own.as_ref().map_or(first, |(_, _, text)| text).to_owned();
        let is_authors = |(file, _, _): &(String, usize, String)| !file.starts_with("[harness]");
        let place = own.filter(is_authors).or_else(|| said.lines().skip(1).find_map(place));
        let (file, line) = place.map_or((String::new(), 0), |(file, line, _)| (file, line));
        Self::new(Level::Error, &file, line, text)
    }

    /// Is it of the same line?
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (&self.file, self.line) == (&other.file, other.line)
    }
}

/// The globals of the script; or that it is no Lua.
pub(super) fn file(text: &[u8], dir: &Path, path: &Path) -> Result<Vec<Use>, Remark> {
    read(text.to_vec(), &chunk_name(dir, path))
}

fn read(text: Vec<u8>, chunk: &str) -> Result<Vec<Use>, Remark> {
    globals(text, chunk)
        .map_err(|error| Remark { is_syntax: true, ..Remark::at_its_line(&error.to_string()) })
}

/// What is wrong with a script, whose own globals are `main`, and with the modules of its folder, after a dry run of it.
pub(super) fn whole(main: Vec<Use>, ran: &Ran, modules: &Modules) -> Vec<Remark> {
    let mut remarks = BTreeSet::new();
    let (mut files, mut next) = (vec![main], 0);
    let mut asked = BTreeMap::<String, bool>::new();
    while let Some(uses) = files.get(next) {
        next += 1;
        let mut found = Vec::new();
        for it in uses.iter().filter(|it| it.name == "require") {
            let How::Called(name) = &it.how else { continue };
            if asked.contains_key(name) {
                if !asked[name] {
                    remarks.insert(missing(it, name, &ran.seen.modules));
                }
                continue;
            }
            let module = modules.find(name);
            let is_there = !matches!(module, Module::Missing(_)) || ran.seen.modules.contains(name);
            asked.insert(name.clone(), is_there);
            if !is_there {
                remarks.insert(missing(it, name, &ran.seen.modules));
            }
            // Those from elsewhere are somebody else's.
            if let Module::Lua(chunk, source) = module
                && !chunk.starts_with("@/")
            {
                match read(source.into_vec(), &chunk) {
                    Ok(uses) => found.push(uses),
                    Err(remark) => drop(remarks.insert(remark)),
                }
            }
        }
        files.extend(found);
    }
    remarks.extend(undefined(&files, ran));
    remarks.extend(ran.plan.functions.iter().flat_map(|code| set_in_vain(code)));
    remarks.into_iter().collect()
}

fn missing(it: &Use, name: &str, loaded: &BTreeSet<String>) -> Remark {
    let path = name.replace('.', "/");
    // What all names of the library begin with makes none of them like another.
    let (begin, rest) = name.split_at(if name.starts_with(LIBRARY) { LIBRARY.len() } else { 0 });
    let hint = nearest(rest, loaded.iter().filter_map(|known| known.strip_prefix(begin)));
    let hint = hint.map(|near| format!(" (did you mean '{begin}{near}'?)")).unwrap_or_default();
    let text = format!(
        "there is no module '{name}'{hint}: neither {path}.lua nor {path}/init.lua is in the folder of the script, in its lua/, or where \
         HARNESS_PATH and LUA_PATH say"
    );
    Remark::new(Level::Error, &it.file, it.line, text)
}

/// Globals that are read and that nobody sets.
fn undefined(files: &[Vec<Use>], ran: &Ran) -> Vec<Remark> {
    if ran.seen.is_open {
        return Vec::new();
    }
    let is_set = |it: &&Use| matches!(it.how, How::Written | How::WrittenInG);
    let set: BTreeSet<&str> = files.iter().flatten().filter(is_set).map(|it| it.name.as_str()).collect();
    let known: BTreeSet<&str> = ran.seen.globals.iter().map(String::as_str).chain(set).collect();
    let uses = files.iter().flatten().filter(|it| !is_set(it) && !known.contains(it.name.as_str()));
    let remark = |it: &Use| {
        let other = OTHER_LUA.iter().find(|(name, _)| *name == it.name);
        let (level, hint) = match other {
            Some((_, instead)) => (Level::Warning, format!(": Lua 5.4 has {instead}")),
            None => (Level::Error, near(&it.name, &known)),
        };
        Remark::new(level, &it.file, it.line, format!("there is no global '{}'{hint}", it.name))
    };
    uses.map(remark).collect()
}

fn near(name: &str, known: &BTreeSet<&str>) -> String {
    if name == "harness" {
        return ": write `local harness = require \"harness\"` before it".into();
    }
    let near = nearest(name, known.iter().copied());
    near.map(|near| format!(" (did you mean '{near}'?)")).unwrap_or_default()
}

/// What a function that runs on a worker sets, and nobody sees.
fn set_in_vain(code: &[u8]) -> Vec<Remark> {
    let uses = globals_of(code).unwrap_or_default();
    let remark = |it: &Use| {
        let (what, instead) = match it.how {
            How::Written => {
                ("a function that runs on a worker sets the global '", "make it `local`, or return it")
            }
            How::Replaced => ("a function that runs on a worker sets the captured local '", "return it"),
            How::Changed => {
                ("a function that runs on a worker changes the captured table '", "return what it found")
            }
            _ => return None,
        };
        let name = &it.name;
        let text = format!(
            "{what}{name}': it is gone when the task ends, and the script does not see it; {instead}"
        );
        Some(Remark::new(Level::Warning, &it.file, it.line, text))
    };
    uses.iter().filter(|it| !it.file.starts_with("[harness]")).filter_map(remark).collect()
}
