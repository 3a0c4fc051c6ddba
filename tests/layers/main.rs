//! The house rules that a machine can judge: who imports whom (the table of docs/architecture.md), who
//! alone may name Lua and MPI, what stays pure, where `unsafe` is allowed, how files begin and how long they get.
//!
//! It reads text, not types; code that macros make is invisible to it.

mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use scan::{paths, tokens, without_tests};

/// The page whose table is the law.
const PAGE: &str = include_str!("../../docs/architecture.md");

/// Files or folders under `src` that alone may contain `unsafe` or allow it.
const UNSAFE: &[&str] =
    &["machine/counters.rs", "process/", "script/library/native.rs", "script/raw", "transport/mpi/sys.rs"];
/// The only room that names mlua.
const LUA: &[&str] = &["script/"];
/// The only file that names MPI.
const MPI: &[&str] = &["transport/mpi/sys.rs"];
/// The rooms whose results follow from their arguments alone, and what of `std` they do without.
const PURE: &[&str] = &["core", "model", "stats"];
const IMPURE: &[&str] = &[
    "collections::HashMap",
    "collections::HashSet",
    "env",
    "fs",
    "net",
    "process",
    "thread",
    "time::Instant",
    "time::SystemTime",
];

/// Macros that panic where a stream cannot be written to.
const LOUD: &[&str] = &["dbg", "eprint", "eprintln", "print", "println"];

/// Said aloud above the first, refused above the second.
const LONG_LINES: usize = 500;
const TOO_MANY_LINES: usize = 600;
/// The types of all that a script sees are one list in one file, which editors are given: no length is too long.
const LIST_OF_TYPES: &str = "lua/meta/harness.lua";

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let walls = Walls::of_page(PAGE);
    let mut complaints = Vec::new();
    let mut judged = 0;
    for folder in ["src", "lua", "campaigns", "benches"] {
        for path in files_below(&root.join(folder)) {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let is_rust = name.ends_with(".rs");
            if !is_rust && !name.ends_with(".lua") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            complaints.extend(judge_text(&name, &text));
            if let Some(inside) = name.strip_prefix("src/").filter(|_| is_rust) {
                complaints.extend(judge_code(&walls, inside, &text));
            }
            judged += 1;
        }
    }
    assert!(judged > 5, "only {judged} files found below {}: is this the project's folder?", root.display());
    assert!(complaints.is_empty(), "{} house rules broken:\n{}", complaints.len(), complaints.join("\n"));
}

/// What can be said without understanding the code: length, first line, marks left behind.
fn judge_text(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > TOO_MANY_LINES && name != LIST_OF_TYPES {
        complaints.push(format!(
            "{name}: {lines} lines, at most {TOO_MANY_LINES}: does it have one responsibility?"
        ));
    } else if lines > LONG_LINES && name != LIST_OF_TYPES {
        eprintln!("warning: {name}: {lines} lines, aim at {LONG_LINES}");
    }
    let header = if name.ends_with(".rs") { "//!" } else { "--" };
    let first = text.lines().position(|line| !line.starts_with("#![")).unwrap_or(0);
    if !text.lines().nth(first).is_some_and(|line| line.starts_with(header)) {
        complaints
            .push(format!("{name}:1: begin with `{header}`: what it is for and what it must never know"));
    }
    for (at, line) in text.lines().enumerate() {
        let mark = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("]
            .into_iter()
            .find(|mark| line.contains(mark));
        let numbered = line.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(mark) = mark.filter(|_| !numbered) {
            complaints.push(format!("{name}:{}: `{mark}` without the number of its issue (`#12`)", at + 1));
        }
    }
    complaints
}

/// Imports and forbidden names of one file; `inside` is its path under `src`.
fn judge_code(walls: &Walls, inside: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |line: usize, what: String| complaints.push(format!("src/{inside}:{line}: {what}"));
    let module = module_of(inside);
    let room = module.first().map_or_else(|| inside.trim_end_matches(".rs").to_owned(), Clone::clone);
    if !walls.allowed.contains_key(&room) {
        complain(1, format!("`{room}` is not in the table of docs/architecture.md: who may import whom?"));
        return complaints;
    }
    let is_test_file = module.iter().any(|name| name == "tests" || name.ends_with("_tests"));
    let tokens = tokens(text);
    let code = if is_test_file { Vec::new() } else { without_tests(&tokens) };

    for (line, path) in paths(&code, module.len()) {
        if path[0] == "std" && PURE.contains(&room.as_str()) && begins_with_one_of(&path[1..], IMPURE) {
            complain(line, format!("`{room}` is pure and may not use `{}`", path.join("::")));
        } else if path[0] == "crate" && !walls.permit(&room, &path[1..]) {
            complain(
                line,
                format!("`{room}` may not import `{}` (docs/architecture.md)", path[1..].join("::")),
            );
        }
    }
    for pair in code.windows(2).filter(|pair| pair[1].text == "!" && LOUD.contains(&pair[0].text.as_str())) {
        let name = &pair[0].text;
        complain(pair[0].line, format!("`{name}!` panics when its stream is full or closed: `say::say`"));
    }
    // Tests may import anything, but names that have one home have it in tests too.
    for (at, token) in tokens.iter().enumerate() {
        let is_path = tokens.get(at + 1).is_some_and(|next| next.text == "::");
        let is_first = at == 0 || tokens[at - 1].text != "::";
        let (what, home) = match token.text.as_str() {
            "unsafe" | "unsafe_code" => ("unsafe code", UNSAFE),
            "mlua" | "mlua_sys" => ("mlua", LUA),
            "mpi_sys" => ("MPI", MPI),
            "mpi" if is_path && is_first => ("MPI (for our own module write `self::mpi`)", MPI),
            name if name.starts_with("MPI_") || name.starts_with("RSMPI_") => ("MPI", MPI),
            _ => continue,
        };
        if !home.iter().any(|home| inside.starts_with(home)) {
            complain(token.line, format!("{what} only in {}", home.join(", ")));
        }
    }
    complaints
}

/// `worker/slots.rs` is `[worker, slots]`, `worker/mod.rs` is `[worker]`, `main.rs` and `lib.rs` are the root: `[]`.
fn module_of(inside: &str) -> Vec<String> {
    let parts = inside.trim_end_matches(".rs").split('/').map(str::to_owned);
    let mut module: Vec<String> = parts.collect();
    if module.last().is_some_and(|last| last == "mod") || matches!(inside, "main.rs" | "lib.rs") {
        module.pop();
    }
    module
}

/// Who may import whom.
struct Walls {
    /// Room to the paths it may begin with; `None` for everything.
    allowed: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl Walls {
    /// Reads the rows `| rooms | may import |`: names stand in backquotes.
    fn of_page(page: &str) -> Self {
        let section = page.split("### Who may import whom").nth(1).expect("the page has the section");
        let rows = section.lines().skip_while(|line| !line.starts_with("|--")).skip(1);
        let mut allowed = BTreeMap::new();
        for row in rows.take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let [rooms, imports] = cells[..] else { panic!("not two cells: {row}") };
            let imports = match imports.trim() {
                "everything" => None,
                "nothing of ours" => Some(BTreeSet::new()),
                names => Some(quoted(names)),
            };
            assert!(
                imports.as_ref().is_none_or(|names| !names.is_empty() || row.contains("nothing of ours")),
                "{row}"
            );
            allowed.extend(quoted(rooms).into_iter().map(|room| (room, imports.clone())));
        }
        assert!(!allowed.is_empty(), "the table of who may import whom is empty");
        Self { allowed }
    }

    /// May `room` name this path, which begins at the crate's root?
    fn permit(&self, room: &str, path: &[String]) -> bool {
        let Some(target) = path.first() else { return true };
        if target == room || !self.allowed.contains_key(target) {
            return true; // Its own things, or a name of the crate's root that is no room.
        }
        let Some(Some(allowed)) = self.allowed.get(room) else { return true };
        begins_with_one_of(path, allowed)
    }
}

/// Is one of `prefixes`, written with `::`, the beginning of `path`?
fn begins_with_one_of<S: AsRef<str>>(path: &[String], prefixes: impl IntoIterator<Item = S>) -> bool {
    prefixes.into_iter().any(|prefix| {
        let prefix: Vec<&str> = prefix.as_ref().split("::").collect();
        path.len() >= prefix.len() && prefix.iter().zip(path).all(|(a, b)| a == b)
    })
}

/// The names between backquotes.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// All files below `folder`, in a fixed order; none if it is not there.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

mod the_judge {
    use super::*;

    fn verdict(inside: &str, code: &str) -> Vec<String> {
        judge_code(&Walls::of_page(PAGE), inside, code)
    }

    #[track_caller]
    fn refuses(inside: &str, code: &str, because: &str) {
        let complaints = verdict(inside, code);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains(because), "{complaints:?}");
    }

    #[track_caller]
    fn accepts(inside: &str, code: &str) {
        assert_eq!(verdict(inside, code), [""; 0]);
    }

    #[test]
    fn refuses_a_forbidden_import_in_every_spelling() {
        refuses(
            "core/mod.rs",
            "//!\nuse crate::journal::Writer;",
            "src/core/mod.rs:2: `core` may not import `journal::Writer`",
        );
        refuses("core/mod.rs", "use crate::{model::TaskId, process::{self}};", "`process`");
        refuses("core/mod.rs", "fn f() { crate::transport::wait::wait() }", "`transport::wait::wait`");
        refuses("core/a.rs", "use super::super::machine as m;", "`machine`");
        refuses("core/a/b.rs", "use super::super::super::keeper::*;", "`keeper`");
        refuses("model/id.rs", "pub use crate ::\n  wire :: Stream ;", "`wire::Stream`");
        refuses("core/mod.rs", "#[cfg(test)]\nuse crate::{wire, journal};\nuse crate::journal;", ":3:");
        refuses("core/mod.rs", "#[cfg(not(test))]\nuse crate::journal;", ":2:");
    }

    #[test]
    fn lets_the_script_reach_the_port_only() {
        accepts("script/host.rs", "use crate::root::port::Port; use crate::{model, root::{port}};");
        refuses("script/host.rs", "use crate::root::driver;", "`root::driver`");
        refuses("script/host.rs", "use crate::root::{port, driver::Driver};", "`root::driver::Driver`");
        refuses("script/host.rs", "use crate::root;", "`root`");
    }

    #[test]
    fn accepts_what_is_allowed_and_what_is_no_import() {
        accepts("core/mod.rs", "use crate::model::{Attempt, TaskId as Id};");
        accepts("core/a.rs", "use super::super::core::b; use super::model; use crate::core::c;");
        accepts("cli/run.rs", "use crate::{root, keeper, script};");
        accepts("main.rs", "//!\nuse harness::cli;");
        accepts(
            "core/a.rs",
            "//! [`crate::journal`]\n/* crate::journal /* */ crate::wire */ const A: &str = \"crate::root\";",
        );
        accepts(
            "core/a.rs",
            "const A: &str = r#\"crate::\"root\"#; const B: char = '\"'; const C: &[u8] = b\"crate::root\";",
        );
        accepts("core/a.rs", "#[cfg(test)]\nmod tests { use crate::journal; fn f() { if true {} } }");
        for file in ["core/tests.rs", "core/tests/holds.rs", "core/pool_tests.rs"] {
            accepts(file, "use crate::journal;");
        }
    }

    #[test]
    fn a_lifetime_does_not_hide_what_follows() {
        refuses("core/a.rs", "fn f<'a>(x: &'a str) { crate::journal::g('\\'') }", "`journal::g`");
    }

    #[test]
    fn refuses_names_outside_their_home() {
        refuses("root/driver.rs", "use mlua::Lua;", "mlua only in script/");
        refuses("root/driver.rs", "use mpi::traits::*;", "MPI");
        refuses("transport/mpi/mod.rs", "fn f(c: ffi::MPI_Comm) {}", "MPI only in transport/mpi/sys.rs");
        refuses("core/mod.rs", "fn f() { unsafe { g() } }", "unsafe code only in");
        refuses("core/mod.rs", "#![allow(unsafe_code)]", "unsafe code only in");
        accepts(
            "transport/mpi/sys.rs",
            "#![allow(unsafe_code)] use mpi::ffi::MPI_Comm; fn f() { unsafe {} }",
        );
        accepts("root/spawn.rs", "use crate::transport::mpi::MpiLink;");
        accepts("script/state.rs", "use mlua::Lua;");
    }

    #[test]
    fn keeps_the_scheduler_pure() {
        refuses("core/mod.rs", "use std::time::{Duration, Instant};", "may not use `std::time::Instant`");
        refuses("stats/mod.rs", "fn f() { std::fs::read(p) }", "`std::fs::read`");
        refuses("core/mod.rs", "use std::{fmt, collections::{BTreeMap, HashMap}};", "HashMap");
        accepts("core/mod.rs", "use std::time::Duration; use std::collections::BTreeMap;");
        accepts("root/driver.rs", "use std::time::Instant;");
    }

    #[test]
    fn refuses_macros_that_panic_on_a_full_stream() {
        refuses("root/driver.rs", "fn f() { eprintln!(\"x\") }", "`eprintln!` panics");
        refuses("cli/mod.rs", "fn f() { std::print!(\"x\") }", "`print!` panics");
        accepts("root/driver.rs", "fn f() { self.print(1); writeln!(out, \"x\") }");
        accepts("root/driver.rs", "#[cfg(test)]\nmod tests { fn f() { println!() } }");
    }

    #[test]
    fn refuses_a_room_nobody_decided_on() {
        refuses("utils/mod.rs", "", "`utils` is not in the table");
        refuses("helpers.rs", "", "`helpers` is not in the table");
    }

    #[test]
    fn refuses_long_files_missing_headers_and_marks_without_a_number() {
        let long = format!("//! x\n{}", "\n".repeat(TOO_MANY_LINES));
        for (name, text, because) in [
            ("src/a.rs", long.as_str(), "lines, at most"),
            ("src/a.rs", "use std::fs;", "begin with `//!`"),
            ("lua/a.lua", "local a = 1", "begin with `--`"),
            ("lua/a.lua", "-- x\n-- TODO: more", "a.lua:2: `TODO`"),
            ("src/a.rs", "//! x\nfn f() { todo!() }", "`todo!(`"),
            ("src/a.rs", "//! x\n// FIXME #see below", "`FIXME`"),
        ] {
            let complaints = judge_text(name, text);
            assert!(complaints.len() == 1 && complaints[0].contains(because), "{complaints:?}");
        }
        assert_eq!(judge_text("src/a.rs", "//! x\n// TODO #12: faster"), [""; 0]);
    }
}
