//! What earlier builds gave: one JSON file for each question, in `compiles/`.
//!
//! A question (compiler, arguments, sources) has several answers, one for each state of the headers it
//! read; an answer counts while these still have the content they had. Successes and refusals alike.

use std::io::{Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, open};
use crate::model::{CompileResult, Hash};

/// Answers kept for one question; the oldest goes first.
const MAX_BUILDS: usize = 16;

/// The answer an earlier build gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CachedBuild {
    /// Files it read beside its inputs, with their content.
    pub headers: Vec<(String, Hash)>,
    /// Why it failed; none if it gave an artefact.
    pub failure: Option<String>,
    /// What it gave.
    pub result: CompileResult,
}

impl Store {
    /// Earlier answers to this question, the newest first. What cannot be read is not there.
    pub fn builds(&self, question: Hash) -> Vec<CachedBuild> {
        let mut text = Vec::new();
        let _ = open(&self.builds_path(question)).and_then(|mut file| file.read_to_end(&mut text));
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Remembers an answer. Two at the same moment: one may be forgotten, and is then built again.
    pub fn remember_build(&self, question: Hash, build: CachedBuild) -> Result<(), StoreError> {
        let mut builds = self.builds(question);
        builds.retain(|known| known.headers != build.headers);
        builds.insert(0, build);
        builds.truncate(MAX_BUILDS);
        let text = serde_json::to_vec(&builds).map_err(|e| self.failed(e.into()))?;
        let mut file = self.aside()?;
        file.write_all(&text).map_err(|e| self.failed(e))?;
        file.persist(self.builds_path(question)).map_err(|e| self.failed(e.error))?;
        Ok(())
    }

    fn builds_path(&self, question: Hash) -> PathBuf {
        self.folder().join("compiles").join(format!("{question}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_newest_first_and_one_for_each_state_of_the_headers() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let question = Hash::of(b"question");
        let build = |header: &[u8], failure: Option<&str>| CachedBuild {
            headers: vec![("a.h".into(), Hash::of(header))],
            failure: failure.map(String::from),
            result: CompileResult { content_key: Some(Hash::of(header)), ..CompileResult::default() },
        };
        assert_eq!(store.builds(question), []);
        store.remember_build(question, build(b"1", None)).unwrap();
        store.remember_build(question, build(b"2", Some("exit code 1"))).unwrap();
        store.remember_build(question, build(b"1", None)).unwrap();
        assert_eq!(store.builds(question), [build(b"1", None), build(b"2", Some("exit code 1"))]);
        for n in 0..2 * MAX_BUILDS {
            store.remember_build(question, build(&n.to_le_bytes(), None)).unwrap();
        }
        assert_eq!(store.builds(question).len(), MAX_BUILDS);
        std::fs::write(store.builds_path(question), "{torn").unwrap();
        assert_eq!(store.builds(question), []);
    }
}
