//! What the pages say is true: every block of Lua in them runs in the real binary, which finds nothing wrong with it
//! before, every `harness …` line of a shell is one that it takes, every link leads somewhere, the tables of options and
//! fields are those of the types file, the reference is made from it (`api`), the texts in troubleshooting.md are ours
//! (`texts`), the tutorial works as it is typed (`tutorial`), what regressions.md shows happens (`regressions`), and what
//! faults.md and security.md promise has a test (`named`).
//!
//! A block marked `lua` runs to its end; `lua fragment` only has to be Lua. A table after `<!-- CLASS -->` names
//! exactly the fields of that class in `lua/meta/harness.lua`, which another test compares with the library.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod api;
mod commands;
#[path = "../support/measured.rs"]
mod measured;
mod named;
mod queries;
mod regressions;
mod texts;
mod tutorial;
mod types;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

const META: &str = include_str!("../../lua/meta/harness.lua");
const FRAGMENT: &str = "lua fragment";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, CHANGELOG and docs.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let own = ["README.md", "CHANGELOG.md"].map(|name| root().join(name));
    let mut pages: Vec<PathBuf> =
        own.into_iter().chain(docs.filter(|path| path.extension().is_some_and(|e| e == "md"))).collect();
    pages.sort();
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

struct Block<'a> {
    /// Line of its fence, from 1.
    line: usize,
    language: &'a str,
    text: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block { line: number + 1, language: language.trim(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// A folder as a campaign's: with the kernels beside the script.
fn campaign_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let kernels = folder.path().join("kernels");
    fs::create_dir(&kernels).unwrap();
    for entry in fs::read_dir(root().join("campaigns/kernels")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, kernels.join(path.file_name().unwrap())).unwrap();
    }
    folder
}

fn run(folder: &Path, source: &str) -> Output {
    fs::write(folder.join("block.lua"), source).unwrap();
    harness(folder, &["--start", "local", "--slots", "2", "--seed", "1", "block.lua"])
}

fn harness(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_harness"))
        .args(args)
        .current_dir(folder)
        .env("HARNESS_CACHE", folder.join("cache"))
        .output()
        .unwrap()
}

/// `harness check` finds no error in what runs.
fn check(folder: &Path) -> Result<(), String> {
    let output = harness(folder, &["check", "--timeout", "2 s", "block.lua"]);
    let said =
        || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said()) }
}

#[test]
fn every_block_of_lua_runs_and_nothing_is_wrong_with_it() {
    let mut scripts = Vec::new();
    for (path, text) in pages() {
        for block in blocks(&text).iter().filter(|block| block.language.starts_with("lua")) {
            let at = format!("{}:{}", path.display(), block.line);
            let source = match block.language {
                "lua" => block.text.clone(),
                FRAGMENT => format!("if false then\n{}end\n", block.text),
                other => panic!("{at}: ```{other}? lua or {FRAGMENT}"),
            };
            scripts.push((at, source));
        }
    }
    assert!(scripts.len() > 10, "only {} blocks found: is this the project's folder?", scripts.len());
    // Much of the time a campaign waits.
    let at_once = 3;
    let share =
        |nth: usize| scripts.iter().skip(nth).step_by(at_once).flat_map(|(at, source)| try_block(at, source));
    let problems: Vec<String> = thread::scope(|scope| {
        let all: Vec<_> =
            (0..at_once).map(|nth| scope.spawn(move || share(nth).collect::<Vec<_>>())).collect();
        all.into_iter().flat_map(|some| some.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Checks a script that stands `at` a place and runs it; what is wrong with it.
fn try_block(at: &str, source: &str) -> Vec<String> {
    let folder = campaign_folder();
    fs::write(folder.path().join("block.lua"), source).unwrap();
    let checked = check(folder.path()).err().map(|said| format!("{at}: harness check: {said}"));
    let output = run(folder.path(), source);
    let ended = (!output.status.success()).then(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{at}: {}\n{said}", output.status)
    });
    checked.into_iter().chain(ended).collect()
}

/// The names of a class's fields, without those it inherits.
fn fields_of(class: &str) -> BTreeSet<String> {
    let of_class = |line: &&str| {
        let name = line.strip_prefix("---@class ").and_then(|rest| rest.split([' ', ':']).next());
        name == Some(class)
    };
    let after = META.lines().skip_while(|line| !of_class(line)).skip(1);
    let fields = after.map_while(|line| line.strip_prefix("---@field "));
    let name = |field: &str| field.split([' ', '?']).next().unwrap_or_default().to_owned();
    fields.map(name).filter(|name| !name.starts_with('[')).collect()
}

/// The names in the first cells of the table that begins at `line` or after an empty line.
fn names_in_table<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let rows = lines.skip_while(|line| line.is_empty()).take_while(|line| line.starts_with('|')).skip(2);
    let first = rows.filter_map(|row| row.split('|').nth(1));
    let quoted = first.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.map(str::to_owned).collect()
}

#[test]
fn tables_name_what_is_there() {
    let mut compared = BTreeSet::new();
    for (path, text) in pages() {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(class) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
                continue;
            };
            let there = fields_of(class);
            let said = names_in_table(lines[number + 1..].iter().copied());
            assert!(!there.is_empty(), "{}:{}: no class {class}", path.display(), number + 1);
            assert_eq!(said, there, "{}:{}: {class}", path.display(), number + 1);
            compared.insert(class.to_owned());
        }
    }
    let options = META.lines().filter_map(|line| line.strip_prefix("---@class "));
    let options = options.filter_map(|rest| rest.split([' ', ':']).next());
    for class in options.filter(|class| class.ends_with("Options") && *class != "harness.CallOptions") {
        assert!(compared.contains(class), "no page has a table of {class}");
    }
}

/// What its headings are called by links: that of the second `## Examples` is `examples-1`.
fn places(page: &str) -> BTreeSet<String> {
    let (mut places, mut in_block) = (BTreeSet::new(), false);
    for line in page.lines() {
        in_block ^= line.starts_with("```");
        let Some((_, heading)) =
            line.split_once("# ").filter(|(level, _)| level.trim_matches('#').is_empty())
        else {
            continue;
        };
        let place = api::place(heading);
        let again = (1..).map(|n| format!("{place}-{n}"));
        if !in_block {
            let free = std::iter::once(place.clone()).chain(again).find(|place| !places.contains(place));
            places.extend(free);
        }
    }
    places
}

#[test]
fn links_lead_somewhere() {
    let mut problems = Vec::new();
    for (path, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let to = path.parent().unwrap().join(file);
            let gone = |to: &Path| {
                let page = fs::read_to_string(to).unwrap_or_default();
                !place.is_empty() && !places(&page).contains(place)
            };
            if target.contains("://") {
                continue;
            }
            if file.is_empty() && gone(&path) || !file.is_empty() && (!to.exists() || gone(&to)) {
                problems.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn places_are_those_of_a_page_of_markdown() {
    let page = "# One: `two` and 3\n```sh\n# no heading\n```\n## Again\ntext # 1\n## Again\n";
    assert_eq!(places(page), ["again", "again-1", "one-two-and-3"].map(str::to_owned).into());
}
