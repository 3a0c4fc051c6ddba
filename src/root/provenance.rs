//! Of what version a campaign is, for the records of its measurements: script, git commit, harness.
//!
//! Git is asked once, in a thread of its own: no record waits for a folder on a slow file system, and one written before
//! the answer says `null`. Knows nothing of what was measured.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{Hash, Record};
use crate::process::ask;

/// How long git may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Provenance {
    script_hash: Hash,
    seed: u64,
    git: Arc<OnceLock<Git>>,
}

/// What git says of the campaign's folder.
#[derive(Clone, Debug, PartialEq)]
struct Git {
    commit: String,
    /// Are files that it keeps changed?
    dirty: Option<bool>,
}

impl Provenance {
    /// That of a script of this text in this folder.
    pub(super) fn of(dir: &Path, script: &[u8], seed: u64) -> Self {
        let git = Arc::new(OnceLock::new());
        if dir.ancestors().any(|folder| folder.join(".git").exists()) {
            let (told, dir) = (git.clone(), dir.display().to_string());
            // Without the thread nobody knows the commit, and that is all.
            let _ = std::thread::Builder::new().name("git".into()).spawn(move || {
                if let Some(found) = look(&dir) {
                    let _ = told.set(found);
                }
            });
        }
        Self { script_hash: Hash::of(script), seed, git }
    }

    /// Adds it to the record of a measurement.
    pub(super) fn stamp(&self, record: &mut Record) {
        let Record::Measurement(measurement) = record else { return };
        let git = self.git.get();
        measurement.reserved.code = Some(json!({
            "script_hash": self.script_hash.to_string(),
            "git_commit": git.map(|git| git.commit.as_str()),
            "dirty": git.and_then(|git| git.dirty),
        }));
        measurement.reserved.harness =
            Some(json!({ "version": env!("CARGO_PKG_VERSION"), "seed": Value::from(self.seed) }));
    }
}

fn look(dir: &str) -> Option<Git> {
    // A look is to change nothing, and to wait for nobody's lock.
    let git = |words: &[&str]| {
        let argv = [&["git", "--no-optional-locks", "-C", dir], words].concat();
        ask(&argv.into_iter().map(str::to_owned).collect::<Vec<_>>(), PATIENCE).ok()
    };
    let commit = git(&["rev-parse", "HEAD"])?.trim().to_owned();
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]);
    Some(Git { commit, dirty: changes.map(|changes| !changes.trim().is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(dir: &Path, words: &[&str]) -> String {
        let place = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C"].map(str::to_owned);
        let words = words.iter().map(ToString::to_string);
        let argv: Vec<String> = place.into_iter().chain([dir.display().to_string()]).chain(words).collect();
        ask(&argv, PATIENCE).unwrap()
    }

    #[test]
    fn a_folder_says_its_commit_and_whether_something_was_changed_since() {
        if ask(&["git".into(), "--version".into()], PATIENCE).is_err() {
            eprintln!("no git here: not tested");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert_eq!(look(&dir.display().to_string()), None);
        git(dir, &["init", "-q"]);
        std::fs::write(dir.join("a.lua"), "return 1").unwrap();
        git(dir, &["add", "a.lua"]);
        git(dir, &["commit", "-q", "-m", "a"]);
        let clean = look(&dir.display().to_string()).unwrap();
        assert_eq!((clean.commit.len(), clean.dirty), (40, Some(false)));
        std::fs::write(dir.join("a.lua"), "return 2").unwrap();
        std::fs::write(dir.join("a.lua.journal"), "").unwrap();
        let dirty = look(&dir.display().to_string()).unwrap();
        assert_eq!((dirty.commit, dirty.dirty), (clean.commit, Some(true)));
    }
}
