//! The questions of query.md have answers: each block of SQL is asked of a real journal.

use std::fs;
use std::process::Command;

use super::{blocks, root};

#[test]
fn every_question_has_an_answer() {
    let page = fs::read_to_string(root().join("docs/query.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("tests/cli/asked.jsonl"), folder.path().join("c.lua.journal")).unwrap();
    let mut asked = 0;
    for block in blocks(&page).iter().filter(|block| block.language == "sql") {
        let output = Command::new(env!("CARGO_BIN_EXE_harness"))
            .args(["query", &block.text, "--format", "jsonl"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let (rows, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "query.md:{}: {said}", block.line);
        assert!(!rows.is_empty(), "query.md:{}: no rows", block.line);
        asked += 1;
    }
    assert!(asked >= 8, "only {asked} questions");
}
