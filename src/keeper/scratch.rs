//! Fresh folders for tasks, removed afterwards: also after a keeper that was killed.
//!
//! A keeper's folders stand in one of its own, which goes with it (`process::OwnFolder`).

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::process::{self, OwnFolder};

/// Where the scratch folders of this keeper stand: `$TMPDIR` or `/tmp`.
#[derive(Default)]
pub struct ScratchRoot(OnceLock<OwnFolder>);

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        process::remove_tree(&self.0);
    }
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl ScratchRoot {
    /// A new empty folder.
    pub fn folder(&self) -> Result<Scratch, String> {
        let parent = process::temporary();
        let said = |e: io::Error| {
            format!(
                "cannot make a scratch folder in {}: {e} (set TMPDIR to another folder)",
                parent.display()
            )
        };
        if self.0.get().is_none() {
            // Where two lanes come at once, the one that is late removes its own again.
            let _ = self.0.set(OwnFolder::make(&parent, &prefix()).map_err(said)?);
        }
        let root = self.0.get().ok_or_else(|| said(io::ErrorKind::NotFound.into()))?;
        let folder = match process::private("task-", root.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A task, or who cleans up, has removed ours.
                DirBuilder::new().mode(0o700).create(root.path()).map_err(said)?;
                process::private("task-", root.path())
            }
            made => made,
        };
        Ok(Scratch(folder.map_err(said)?.keep()))
    }
}

/// Is, or was, this a folder that was made here?
pub fn is_ours(folder: &Path) -> bool {
    folder.components().any(|part| part.as_os_str().to_string_lossy().starts_with(&prefix()))
}

fn prefix() -> String {
    process::folder_prefix("scratch")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_are_fresh_and_go_away() {
        let root = ScratchRoot::default();
        let (a, b) = (root.folder().unwrap(), root.folder().unwrap());
        assert_ne!(a.path(), b.path());
        let path = a.path().to_path_buf();
        fs::write(path.join("file"), "x").unwrap();
        drop(a);
        assert!(!path.exists() && b.path().exists());
        fs::remove_dir_all(b.path().parent().unwrap()).unwrap();
        assert!(root.folder().unwrap().path().exists(), "somebody has removed them all");
    }
}
