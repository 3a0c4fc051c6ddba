//! Which files a build read beside its inputs, and what was in them.
//!
//! The compiler tells the names in the syntax of make (`-MD`, `-M`). A file that would be found earlier
//! on the include path if it existed is not among them: no compiler tells that.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::job::Table;
use crate::model::Hash;

/// A file changed so recently may change again without its time telling.
const TOO_NEW: Duration = Duration::from_secs(2);

/// The time in which file systems reckon: only ever compared with times of files.
pub fn file_time() -> SystemTime {
    SystemTime::now()
}

/// Inode, size, seconds and nanoseconds of the last change: equal, and the content is taken to be.
type Look = (u64, u64, i64, i64);

/// Content of files, remembered while the file looks unchanged.
#[derive(Default)]
pub struct FileHashes(Table<PathBuf, (Look, Hash)>);

impl FileHashes {
    /// The hash of a file's content; none if it cannot be read.
    pub fn hash(&self, path: &Path) -> Option<Hash> {
        let data = fs::metadata(path).ok()?;
        let seen: Look = (data.ino(), data.len(), data.mtime(), data.mtime_nsec());
        if let Some((_, hash)) = self.0.get(path).filter(|(known, _)| *known == seen) {
            return Some(hash);
        }
        let hash = Hash::of(&fs::read(path).ok()?);
        if !changed_since(&data, file_time() - TOO_NEW) {
            self.0.insert(path.to_path_buf(), (seen, hash));
        }
        Some(hash)
    }

    /// Names and contents, sorted. None if one cannot be read or changed after `since`: then nobody
    /// knows what the compiler saw.
    pub fn snapshot(&self, paths: Vec<PathBuf>, since: SystemTime) -> Option<Vec<(String, Hash)>> {
        let mut snapshot = Vec::new();
        for path in paths {
            if changed_since(&fs::metadata(&path).ok()?, since) {
                return None;
            }
            let hash = self.hash(&path)?;
            snapshot.push((path.into_os_string().into_string().ok()?, hash));
        }
        snapshot.sort();
        snapshot.dedup();
        Some(snapshot)
    }
}

fn changed_since(data: &Metadata, since: SystemTime) -> bool {
    data.modified().map_or(true, |modified| modified > since)
}

/// The prerequisites in rules of make that are not inside `scratch`, where the build ran.
pub fn outside(rules: &str, scratch: &Path) -> Vec<PathBuf> {
    let paths = prerequisites(rules).into_iter().map(|path| scratch.join(path));
    paths.filter(|path| !path.starts_with(scratch)).collect()
}

fn prerequisites(rules: &str) -> Vec<String> {
    let joined = rules.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut found = Vec::new();
    for rule in joined.lines() {
        let Some((_, files)) = rule.split_once(": ") else { continue };
        let mut word = String::new();
        let mut letters = files.chars().peekable();
        while let Some(letter) = letters.next() {
            match (letter, letters.peek()) {
                ('\\', Some(' ' | '#')) | ('$', Some('$')) => word.extend(letters.next()),
                (' ', _) => found.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
                _ => word.push(letter),
            }
        }
        found.extend(Some(word).filter(|word| !word.is_empty()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_make_are_read_with_their_escapes_and_continued_lines() {
        let rules = "a.o: k/a.c /usr/include/a.h \\\n  /opt/my\\ lib/b.h\nb.o: k/b.c /x/$$c\\#d.h\n/usr/include/a.h:\n";
        let expected = ["k/a.c", "/usr/include/a.h", "/opt/my lib/b.h", "k/b.c", "/x/$c#d.h"];
        assert_eq!(prerequisites(rules), expected);
        assert_eq!(outside(rules, Path::new("/tmp/s")).len(), 3);
        assert_eq!(outside("a.o: /tmp/s/gen.h /tmp/t.h", Path::new("/tmp/s")), [Path::new("/tmp/t.h")]);
    }

    #[test]
    fn a_header_that_changed_during_the_build_makes_the_snapshot_useless() {
        let header = tempfile::NamedTempFile::new().unwrap();
        let hashes = FileHashes::default();
        let paths = || vec![header.path().to_path_buf()];
        let modified = fs::metadata(header.path()).unwrap().modified().unwrap();
        let tick = Duration::from_nanos(1);
        assert_eq!(hashes.snapshot(paths(), modified + tick).unwrap()[0].1, Hash::of(b""));
        assert_eq!(hashes.snapshot(paths(), modified - tick), None);
        // Just written: its next content is seen, whatever its time says.
        fs::write(header.path(), "x").unwrap();
        assert_eq!(hashes.hash(header.path()), Some(Hash::of(b"x")));
    }
}
