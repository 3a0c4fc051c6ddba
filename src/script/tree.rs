//! The files and empty folders of a source tree, which a build by somebody else's build tool needs all of:
//! nobody can tell which it reads.
//!
//! Left out is what changes without the source: what version control keeps, and journals.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::sources::{missing, scratch_name};

/// More files and folders are hardly the source of a program; links that lead across make any number of them.
const MOST_ENTRIES: usize = 20_000;
/// Folders of version control.
const OF_OTHERS: [&str; 3] = [".git", ".hg", ".svn"];

/// What a copy of a source tree is made of, relative to the folder that its name is relative to, in alphabetical order.
#[derive(Debug, Default, PartialEq)]
pub struct Tree {
    /// Its files.
    pub files: Vec<String>,
    /// Its folders that have neither files nor folders in them: builds write into such.
    pub folders: Vec<String>,
}

/// All below `folder`, which is relative to `dir`, without that whose path below `folder`, or that of a folder it is in,
/// is among `except`. Where a link leads to a folder, that one's files are there once more.
pub fn read(dir: &Path, folder: &str, except: &[String]) -> Result<Tree, String> {
    let top = dir.join(folder);
    match fs::metadata(&top) {
        Ok(data) if data.is_dir() => {}
        Ok(_) => return Err(format!("source tree `{folder}` is not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("source tree {}", missing(dir, folder)));
        }
        Err(error) => return Err(format!("source tree `{folder}`: cannot read {}: {error}", top.display())),
    }
    let except = except.iter().map(|path| scratch_name(path)).collect();
    let mut walk = Walk { folder, except, within: Vec::new(), entries: 0, tree: Tree::default() };
    walk.enter(&top, "")?;
    let Tree { mut files, mut folders } = walk.tree;
    files.sort();
    folders.sort();
    Ok(Tree { files, folders })
}

/// The text for a file of the tree that could not be had for this reason.
pub fn unread(dir: &Path, folder: &str, file: &str, why: &str) -> String {
    match dir.join(file).try_exists() {
        Ok(false) => changes(folder, file),
        _ => format!("source {why}"),
    }
}

fn changes(folder: &str, what: &str) -> String {
    format!(
        "source tree `{folder}` changes while it is read: `{what}` was there when the task was submitted, and is gone; \
         submit it when nothing else writes there"
    )
}

struct Walk<'a> {
    folder: &'a str,
    except: BTreeSet<String>,
    /// The folders above, as they really are: a link may lead to one of them.
    within: Vec<PathBuf>,
    entries: usize,
    tree: Tree,
}

impl Walk<'_> {
    fn enter(&mut self, path: &Path, below: &str) -> Result<(), String> {
        let folder = self.folder;
        let unreadable = |path: &Path, error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => changes(folder, &path.to_string_lossy()),
            _ => format!("source tree `{folder}`: cannot read {}: {error}", path.display()),
        };
        let real = path.canonicalize().map_err(|error| unreadable(path, error))?;
        if self.within.contains(&real) {
            return Ok(());
        }
        let before = self.kept();
        // Read where it really is: the way here may lead over more links than the system follows.
        for entry in fs::read_dir(&real).map_err(|error| unreadable(&real, error))? {
            let path = entry.map_err(|error| unreadable(&real, error))?.path();
            let name = path.file_name().unwrap_or_default();
            let name = name
                .to_str()
                .ok_or_else(|| format!("source tree `{folder}`: {} is no text in UTF-8", path.display()))?;
            let below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            if self.except.contains(&below) || OF_OTHERS.contains(&name) || is_journal(name) {
                continue;
            }
            self.count()?;
            match fs::metadata(&path) {
                Ok(data) if data.is_dir() => {
                    self.within.push(real.clone());
                    self.enter(&path, &below)?;
                    self.within.pop();
                }
                Ok(data) if data.is_file() => self.tree.files.push(self.named(&below)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(unreadable(&path, error));
                }
                Ok(_) | Err(_) => {} // a socket, a link that leads nowhere
            }
        }
        if self.kept() == before {
            self.tree.folders.push(self.named(below));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), String> {
        self.entries += 1;
        if self.entries <= MOST_ENTRIES {
            return Ok(());
        }
        Err(format!(
            "source tree `{}` has more than {MOST_ENTRIES} files and folders, which all would be copied (where a link leads \
             to a folder, all of that too): leave out what is no source, except = {{ \"data\" }}",
            self.folder
        ))
    }

    fn kept(&self) -> usize {
        self.tree.files.len() + self.tree.folders.len()
    }

    /// What is `below` the folder, as the folder itself is named.
    fn named(&self, below: &str) -> String {
        match (self.folder.trim_end_matches('/'), below) {
            (".", below) => below.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, below) => format!("{prefix}/{below}"),
        }
    }
}

/// `c.lua.journal`, an old one that was set aside, and what lies beside it.
fn is_journal(name: &str) -> bool {
    name.ends_with(".journal")
        || name.match_indices(".journal.").any(|(at, word)| {
            let rest = &name[at + word.len()..];
            let is_number = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
            is_number || ["index", "damaged"].contains(&rest) || rest.starts_with("new.")
        })
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
            "app/c.lua.journal.index",
            "app/c.lua.journal.damaged",
            "app/c.lua.journal.new.x1",
            "app/my.journal.h",
        ] {
            fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
            fs::write(dir.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("..", dir.join("app/src/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.join("app/src/broken")).unwrap();
        std::os::unix::fs::symlink("a.c", dir.join("app/z.c")).unwrap();
        let files =
            |dir: &Path, folder: &str, except: &[String]| read(dir, folder, except).map(|tree| tree.files);
        let found = files(dir, "app", &["./data".into(), "src/b.c".into()]).unwrap();
        assert_eq!(
            found,
            ["app/.cargo/config.toml", "app/a.c", "app/my.journal.h", "app/src/data/1", "app/z.c"]
        );
        let here = files(&dir.join("app/src"), ".", &[]).unwrap();
        assert!(here.contains(&"b.c".to_owned()), "{here:?}");
        let above = files(&dir.join("app/src"), "../data/", &[]).unwrap();
        assert_eq!(above, ["../data/2"]);
        assert_eq!(files(dir, "app/a.c", &[]), Err("source tree `app/a.c` is not a folder".into()));
        assert!(files(dir, "none", &[]).unwrap_err().starts_with("source tree `none` not found in /"));
    }

    #[test]
    fn folders_without_files_come_along() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for folder in ["app/obj/deep", "app/data", "app/out", "app/up"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        fs::write(dir.join("app/out/old"), "").unwrap();
        std::os::unix::fs::symlink("..", dir.join("app/up/again")).unwrap();
        let read = |folder: &str| read(&dir.join("app"), folder, &["data".into(), "out/old".into()]).unwrap();
        assert_eq!(read(".").folders, ["obj/deep", "out", "up"]);
        assert_eq!(read("../app/obj/").folders, ["../app/obj/deep"]);
        assert_eq!(read("obj/deep"), Tree { files: Vec::new(), folders: vec!["obj/deep".into()] });
    }

    #[test]
    fn a_file_that_is_gone_again_is_no_file_that_never_was() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir(dir.join("ch")).unwrap();
        fs::write(dir.join("ch/g1"), "").unwrap();
        assert_eq!(unread(dir, "ch", "ch/g1", "`ch/g1`: why"), "source `ch/g1`: why");
        assert_eq!(
            unread(dir, "ch", "ch/g37", "`ch/g37` not found"),
            "source tree `ch` changes while it is read: `ch/g37` was there when the task was submitted, and is gone; submit it \
             when nothing else writes there"
        );
    }

    /// Each of `levels` folders has two links to the next.
    fn crosswise(levels: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for level in 0..=levels {
            let folder = dir.path().join(format!("lat/l{level}"));
            fs::create_dir_all(&folder).unwrap();
            for name in ["a", "b"].iter().filter(|_| level < levels) {
                std::os::unix::fs::symlink(format!("../l{}", level + 1), folder.join(name)).unwrap();
            }
        }
        fs::write(dir.path().join(format!("lat/l{levels}/x.c")), "").unwrap();
        dir
    }

    #[test]
    fn links_make_a_tree_larger_but_not_without_end() {
        let dir = crosswise(2);
        let found = read(dir.path(), "lat", &[]).unwrap().files;
        let all = ["l0/a/a", "l0/a/b", "l0/b/a", "l0/b/b", "l1/a", "l1/b", "l2"];
        assert_eq!(found, all.map(|folder| format!("lat/{folder}/x.c")));
        // More than the system follows links in one path.
        for levels in [18, 60] {
            let dir = crosswise(levels);
            let why = read(dir.path(), "lat", &[]).unwrap_err();
            let says = "source tree `lat` has more than 20000 files and folders, which all would be copied (where a link";
            assert!(why.starts_with(says), "{why}");
        }
    }
}
