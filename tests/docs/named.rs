//! What a page promises is shown by a test: the last cell of each row under a heading `test` names tests that exist, or
//! says that there is none.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use super::root;

const PAGES: [&str; 2] = ["docs/faults.md", "docs/security.md"];
const NONE: &str = "not tested";

/// The names of all functions below `folder` that are tests.
fn tests_below(folder: &Path, of_a_test: &Regex, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, of_a_test, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(of_a_test.captures_iter(&text).map(|test| test[1].to_owned()));
        }
    }
}

fn tests() -> BTreeSet<String> {
    let of_a_test = Regex::new(r"#\[test\]\s+(?:#\[[^\n]*\]\s+)*fn (\w+)\(\)").unwrap();
    let mut found = BTreeSet::new();
    ["src", "tests"].iter().for_each(|folder| tests_below(&root().join(folder), &of_a_test, &mut found));
    found
}

/// First and last cell of the rows of all tables with a last column `test`.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix('|')) else {
            inside &= line.starts_with("|-");
            continue;
        };
        let first = row.split(" | ").next().unwrap_or_default();
        let ends = (first, row.rsplit('|').next().unwrap_or_default().trim());
        if inside {
            rows.push(ends);
        }
        inside |= ends.1 == "test";
    }
    rows
}

/// What is wrong with a row's last cell.
fn wrong(cell: &str, tests: &BTreeSet<String>) -> Option<String> {
    let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    if names.is_empty() && !cell.contains(NONE) {
        return Some(format!("names no test and does not say \"{NONE}\""));
    }
    names.into_iter().find(|name| !tests.contains(*name)).map(|name| format!("there is no test `{name}`"))
}

#[test]
fn each_promise_names_its_test() {
    let tests = tests();
    for name in PAGES {
        let Ok(page) = fs::read_to_string(root().join(name)) else { panic!("{name} is not there") };
        let rows = rows(&page);
        assert!(rows.len() > 8, "{name}: {} rows", rows.len());
        let wrong: Vec<String> =
            rows.iter().filter_map(|(row, cell)| Some(format!("{row}: {}", wrong(cell, &tests)?))).collect();
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn a_promise_without_a_test_is_found() {
    let page = "| what | test |\n|---|---|\n| a | `there` |\n| b | `gone` |\n| c | |\n| d | not tested |\n\n| e | `x` |\n";
    let tests = BTreeSet::from(["there".to_owned()]);
    let found: Vec<&str> = rows(page)
        .into_iter()
        .filter(|(_, cell)| wrong(cell, &tests).is_some())
        .map(|(row, _)| row)
        .collect();
    assert_eq!(found, ["b", "c"]);
}
