//! The texts people look up in troubleshooting.md are ones that harness says.

use std::fs;
use std::path::Path;

use regex::Regex;

use super::root;

/// All sources, with what varies in a message as `…` and without the breaks inside Rust's strings.
fn sources() -> String {
    let mut text = String::new();
    for folder in ["src", "lua"] {
        read(&root().join(folder), &mut text);
    }
    let text = Regex::new(r"\\\n\s*").unwrap().replace_all(&text, "").into_owned();
    let text = text.replace("\\\"", "\"").replace("\\`", "`");
    Regex::new(r"\{[\w.:?]*\}|%[sdgq]|%\.\d+g").unwrap().replace_all(&text, "…").into_owned()
}

fn read(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, text);
        } else if path
            .extension()
            .is_some_and(|ending| ["rs", "lua", "py"].iter().any(|of_ours| ending == *of_ours))
        {
            *text += &fs::read_to_string(&path).unwrap();
        }
    }
}

/// The texts in the first cell of a row: those in backquotes, one pair or two.
fn quoted(cell: &str) -> Vec<String> {
    let spans = Regex::new(r"``\s?(.+?)\s?``|`([^`]+)`").unwrap();
    spans.captures_iter(cell).map(|c| c.get(1).or(c.get(2)).unwrap().as_str().to_owned()).collect()
}

#[test]
fn every_text_in_troubleshooting_is_said_by_harness() {
    let sources = sources();
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let number = Regex::new(r"\bN\b|\bPID\b|\d+").unwrap();
    let normal = |text: &str| number.replace_all(text, "…").into_owned();
    let said = normal(&sources);
    let (mut missing, mut looked_at) = (Vec::new(), 0);
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cell = row.trim_start_matches("| ").split(" | ").next().unwrap_or_default();
        // What another program says is marked.
        let ours = cell.rsplit_once("(from ").map_or(cell, |(_, rest)| rest);
        for text in quoted(ours) {
            looked_at += 1;
            let normal = normal(&text);
            let parts = normal.split('…').map(str::trim).filter(|part| part.len() > 3);
            missing.extend(parts.filter(|part| !said.contains(part)).map(|part| format!("{text}: `{part}`")));
        }
    }
    assert!(looked_at > 40, "only {looked_at} texts found");
    assert!(missing.is_empty(), "not said by harness any more:\n{}", missing.join("\n"));
}
