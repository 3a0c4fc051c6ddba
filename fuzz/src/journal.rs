//! Any bytes as a journal: as a whole, as somebody looks on while it is written, and for who continues it.

use std::fs::File;
use std::io::Write;

use harness::journal::{Answers, Tail, check, is_journal, read, tries};

/// Files in memory have no name of their own in any folder.
const FOLDER: &str = "/dev/shm";

pub fn target(data: &[u8]) {
    let folder = tempfile::tempdir_in(FOLDER).expect("a folder");
    let path = folder.path().join("c.journal");
    let half = data.len() / 2;
    let mut file = File::create(&path).expect("a file");
    file.write_all(&data[..half]).expect("there is room");
    let mut tail = Tail::of(&path).expect("it is there");
    let _ = tail.more();
    file.write_all(&data[half..]).expect("there is room");
    let _ = (tail.more(), is_journal(&path), check(&path));
    let Ok(contents) = read(&path) else { return };
    assert_eq!(contents.length + contents.torn, data.len() as u64);
    if let Ok(answers) = Answers::of(&path) {
        for number in 0..answers.len() {
            answers.read(number);
            answers.took(number);
            assert!(answers.find(&answers.key(number)).is_some());
        }
    }
    tries(contents.records);
}
