//! The lines of shell in the pages that start `harness` are ones it takes. (Those of the tutorial are run for good.)

use std::fs;
use std::process::Command;

use super::{blocks, pages, tutorial};

/// A script that does nothing, wherever a line names one.
fn stand_in(folder: &std::path::Path, words: &[&str]) {
    for word in words.iter().filter(|word| word.ends_with(".lua")) {
        let path = folder.join(word);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "-- a stand-in\n").unwrap();
    }
}

#[test]
fn harness_takes_what_the_pages_tell_to_type() {
    let mut ran = 0;
    for (path, text) in pages().into_iter().filter(|(path, _)| !path.ends_with(tutorial::PAGE)) {
        for block in blocks(&text).iter().filter(|block| ["sh", "shell", "bash"].contains(&block.language)) {
            for (number, line) in block.text.lines().enumerate() {
                let line = line.split(" #").next().unwrap_or_default();
                let words: Vec<&str> = line.split_whitespace().collect();
                // Behind a launcher too: `mpirun -n 1 harness …`.
                let Some(at) = words.iter().position(|word| *word == "harness" || word.ends_with("/harness"))
                else {
                    continue;
                };
                if at > 0 && !words.iter().any(|word| ["mpirun", "srun", "exec"].contains(word)) {
                    continue; // `cd harness`
                }
                let arguments: Vec<&str> =
                    words[at + 1..].iter().copied().take_while(|word| !"|>;&".contains(&word[..1])).collect();
                assert!(
                    !line.contains('…'),
                    "{}:{}: a line to copy",
                    path.display(),
                    block.line + number + 1
                );
                let folder = tempfile::tempdir().unwrap();
                stand_in(folder.path(), &arguments);
                let output = Command::new(env!("CARGO_BIN_EXE_harness"))
                    .args(&arguments)
                    .current_dir(folder.path())
                    .env("HARNESS_CACHE", folder.path().join("cache"))
                    .output()
                    .unwrap();
                ran += 1;
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let place = format!("{}:{}: {line}", path.display(), block.line + number + 1);
                assert!(output.status.success(), "{place}: {}\n{said}", output.status);
            }
        }
    }
    assert!(ran > 5, "only {ran} lines found: is this the project's folder?");
}
