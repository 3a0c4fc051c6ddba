//! The files of a source tree, which a build by somebody else's build tool needs all of: nobody can tell which it reads.
//!
//! Left out is what changes without the source: what version control keeps, and journals.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::sources::{missing, scratch_name};

/// More are hardly the source of a program.
const MOST_FILES: usize = 20_000;
/// Folders of version control.
const OF_OTHERS: [&str; 3] = [".git", ".hg", ".svn"];

/// The files below `folder`, relative to `dir` as `folder` is, in alphabetical order; without those whose path below
/// `folder`, or that of a folder they are in, is among `except`.
pub fn files(dir: &Path, folder: &str, except: &[String]) -> Result<Vec<String>, String> {
    let top = dir.join(folder);
    if !top.exists() {
        return Err(missing(dir, folder));
    }
    if !top.is_dir() {
        return Err(format!("`{folder}` is not a folder"));
    }
    let except = except.iter().map(|path| scratch_name(path)).collect();
    let mut walk = Walk { except, within: Vec::new(), found: Vec::new() };
    walk.enter(&top, "", folder)?;
    walk.found.sort();
    let prefix = folder.trim_end_matches('/');
    let named = |file: String| if prefix == "." { file } else { format!("{prefix}/{file}") };
    Ok(walk.found.into_iter().map(named).collect())
}

struct Walk {
    except: BTreeSet<String>,
    /// The folders above, as they really are: a link may lead to one of them.
    within: Vec<PathBuf>,
    found: Vec<String>,
}

impl Walk {
    fn enter(&mut self, path: &Path, below: &str, folder: &str) -> Result<(), String> {
        let unreadable = |error| format!("cannot read {}: {error}", path.display());
        let real = path.canonicalize().map_err(unreadable)?;
        if self.within.contains(&real) {
            return Ok(());
        }
        self.within.push(real);
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().unwrap_or_default();
            let name = name.to_str().ok_or_else(|| format!("{} is no text in UTF-8", path.display()))?;
            let file = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            if self.except.contains(&file) || OF_OTHERS.contains(&name) || is_journal(name) {
                continue;
            }
            if path.is_dir() {
                self.enter(&path, &file, folder)?;
            } else if path.is_file() {
                self.found.push(file);
            }
            if self.found.len() > MOST_FILES {
                return Err(format!(
                    "`{folder}` has more than {MOST_FILES} files, which all would be copied: leave out what is no source, \
                     except = {{ \"data\" }}"
                ));
            }
        }
        self.within.pop();
        Ok(())
    }
}

/// `c.lua.journal`, and an old one that was set aside.
fn is_journal(name: &str) -> bool {
    name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.').ends_with(".journal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_come_but_those_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for file in [
            "app/a.c",
            "app/.cargo/config.toml",
            "app/src/b.c",
            "app/src/data/1",
            "app/data/2",
            "app/.git/HEAD",
            "app/c.lua.journal",
            "app/c.lua.journal.1",
        ] {
            fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
            fs::write(dir.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("..", dir.join("app/src/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.join("app/src/broken")).unwrap();
        std::os::unix::fs::symlink("a.c", dir.join("app/z.c")).unwrap();
        let found = files(dir, "app", &["./data".into(), "src/b.c".into()]).unwrap();
        assert_eq!(found, ["app/.cargo/config.toml", "app/a.c", "app/src/data/1", "app/z.c"]);
        let here = files(&dir.join("app/src"), ".", &[]).unwrap();
        assert!(here.contains(&"b.c".to_owned()), "{here:?}");
        let above = files(&dir.join("app/src"), "../data/", &[]).unwrap();
        assert_eq!(above, ["../data/2"]);
        assert_eq!(files(dir, "app/a.c", &[]), Err("`app/a.c` is not a folder".into()));
        assert!(files(dir, "none", &[]).unwrap_err().starts_with("`none` not found in /"));
    }
}
