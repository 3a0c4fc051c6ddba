//! The tutorial works, step by step: its blocks are taken in their order, as somebody who types them does.
//!
//! A block of Lua begins with the name of its file, and is written there. A block of shell is run, in the folder where the
//! one before it ended. A block of text after one is what it prints: each of its lines has to be there, but for figures,
//! warnings, and what varies from machine to machine. `⋮` is lines that were left out, `…` the end of a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;

use super::{Block, blocks, root};

pub const PAGE: &str = "first-campaign.md";
/// What builds harness itself: it is there.
const BUILDS: &str = "make demo";

/// What a newcomer has: a home, and `harness` in PATH.
struct Newcomer {
    home: tempfile::TempDir,
    folder: PathBuf,
    printed: String,
}

impl Newcomer {
    fn types(&mut self, lines: &str) {
        let (bin, path) = (env!("CARGO_BIN_EXE_harness"), std::env::var("PATH").unwrap());
        let bin = Path::new(bin).parent().unwrap().display();
        let script = format!("exec 2>&1\n{lines}\nended=$?\npwd > \"$HOME/.where\"\nexit $ended\n");
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&self.folder)
            .env("HOME", self.home.path())
            .env("PATH", format!("{bin}:{path}"))
            .env("HARNESS_CACHE", self.home.path().join("cache"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        self.printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "`{}`: {}\n{}", lines.trim(), output.status, self.printed);
        self.folder = fs::read_to_string(self.home.path().join(".where")).unwrap().trim().into();
    }
}

/// A line without what differs from run to run: figures and their units, warnings, folders, host.
fn normal(line: &str) -> String {
    let host = regex::escape(rustix::system::uname().nodename().to_str().unwrap());
    let mut text = line.split("; ").next().unwrap_or_default().trim_end_matches(['…', ' ']).to_owned();
    for (pattern, word) in [
        (format!(r"\b(vm|{host})\b"), "HOST"),
        (r"/\S*/tune\.lua".into(), "tune.lua"),
        (r"^[0-9a-f]{8}\b".into(), "KEY"),
        (r"\d+(\.\d+)?(e[-+]?\d+)?".into(), "N"),
        (r"\bN (s|ms|µs)\b".into(), "TIME"),
        (r"\b(precise|max_runs|max_time)\b".into(), "STOPPED"),
        (r"\s+".into(), " "),
    ] {
        text = Regex::new(&pattern).unwrap().replace_all(&text, word).into_owned();
    }
    text.trim().to_owned()
}

/// The lines of a block of text that the last command did not print.
fn missing<'a>(expected: &'a Block<'_>, printed: &str) -> Vec<&'a str> {
    let printed: Vec<String> = printed.lines().map(normal).collect();
    let there = |line: &&str| {
        let normal = normal(line);
        match line.ends_with('…') {
            true => printed.iter().any(|printed| printed.starts_with(&normal)),
            false => printed.contains(&normal),
        }
    };
    expected
        .text
        .lines()
        .filter(|line| !line.is_empty() && *line != "⋮")
        .filter(|line| !there(line))
        .collect()
}

#[test]
fn the_tutorial_works_step_by_step() {
    let page = fs::read_to_string(root().join("docs").join(PAGE)).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut newcomer = Newcomer { home, folder: root().into(), printed: String::new() };
    let (mut typed, mut compared) = (0, 0);
    for block in blocks(&page) {
        match block.language {
            "sh" if block.text.trim() == BUILDS => {}
            "sh" => {
                newcomer.types(&block.text);
                typed += 1;
            }
            "text" => {
                let missing = missing(&block, &newcomer.printed);
                let place = format!("{PAGE}:{}", block.line);
                assert!(missing.is_empty(), "{place}: not printed: {missing:#?}\n{}", newcomer.printed);
                compared += 1;
            }
            _ => {
                let name = block.text.lines().next().and_then(|line| line.strip_prefix("-- "));
                let name = name.unwrap_or_else(|| panic!("{PAGE}:{}: which file is it?", block.line));
                fs::write(newcomer.folder.join(name), &block.text).unwrap();
            }
        }
    }
    assert!(typed > 10 && compared > 10, "only {typed} blocks typed, {compared} compared");
    for file in ["gemm.csv", "samples.csv", "tune.md", "tune.lua.html"] {
        assert!(newcomer.folder.join(file).is_file(), "the tutorial left no {file}");
    }
}

#[test]
fn a_line_that_is_not_printed_is_told() {
    let block =
        Block { line: 1, language: "text", text: "n = 3, precise; quiet\n⋮\ngone …\nleft\n".into() };
    assert_eq!(missing(&block, "n = 12, max_runs; noisy\ngone for good\n"), ["left"]);
}
