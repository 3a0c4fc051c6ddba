//! Any bytes as the index beside a journal: as they come, and as a piece whose length and hash are right.

use std::path::PathBuf;

use harness::journal::{Answers, INDEX_PREFACE};
use harness::model::Hash;

const JOURNAL: &[u8] = include_bytes!("../corpus/journal/tasks");

struct Place {
    _folder: tempfile::TempDir,
    journal: PathBuf,
    index: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
        let (journal, index) = (folder.path().join("c.journal"), folder.path().join("c.journal.index"));
        std::fs::write(&journal, JOURNAL).expect("there is room");
        Self { _folder: folder, journal, index }
    }

    fn read(&self, index: &[u8]) {
        std::fs::write(&self.index, index).expect("there is room");
        let answers = Answers::of(&self.journal).expect("an index breaks nothing");
        for number in 0..answers.len() {
            answers.read(number);
            answers.name(number);
        }
    }
}

thread_local! {
    static PLACE: Place = Place::new();
}

pub fn target(data: &[u8]) {
    PLACE.with(|place| {
        place.read(&[INDEX_PREFACE, data].concat());
        // Behind the hash of the last bytes of the stretch: the piece.
        let mut body = data.to_vec();
        if let Some(last) = body.first_chunk_mut::<16>() {
            *last = Hash::of(&JOURNAL[JOURNAL.len().saturating_sub(4096)..]).0;
        }
        let length = (body.len() as u64).to_le_bytes();
        place.read(&[INDEX_PREFACE, &length, &Hash::of(&body).0, &body].concat());
    });
}
