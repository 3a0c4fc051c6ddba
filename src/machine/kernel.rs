//! The kernel's files below a root folder: `/` on a node, a recorded tree in tests.
//!
//! What is not there, or cannot be read, is none. Knows how these files are written (lists of CPUs, `key: value`
//! lines) and never what they mean for a measurement.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// See the module.
#[derive(Clone, Debug)]
pub struct Kernel {
    root: PathBuf,
}

impl Kernel {
    /// That of this node.
    pub fn here() -> Self {
        Self::at("/")
    }

    /// The tree below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a file of the kernel's is.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// A file's text, without blanks around it.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(String::from_utf8_lossy(&self.bytes(path)?).trim().to_owned())
    }

    /// A file as it is.
    pub fn bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        fs::read(self.root.join(path)).ok()
    }

    /// A file that holds one word or figure.
    pub fn value<T: FromStr>(&self, path: impl AsRef<Path>) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// A file that lists CPUs or NUMA nodes.
    pub fn list(&self, path: impl AsRef<Path>) -> Option<BTreeSet<u32>> {
        parse_list(&self.text(path)?)
    }

    /// Is it there?
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.root.join(path).exists()
    }

    /// The entries of a folder whose names begin so and go on with a number, by that number.
    pub fn numbered(&self, folder: &str, prefix: &str) -> Vec<(u32, String)> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let mut found: Vec<(u32, String)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some((name.strip_prefix(prefix)?.parse().ok()?, format!("{folder}/{name}")))
            })
            .collect();
        found.sort();
        found
    }

    /// The names in a folder, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Who owns a file.
    pub fn owner(&self, path: &str) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(self.root.join(path)).ok().map(|file| file.uid())
    }
}

/// What stands after `name` and a colon in the first line that begins so.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// `0-3,8` as the kernel writes it.
pub fn parse_list(text: &str) -> Option<BTreeSet<u32>> {
    let mut set = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high): (u32, u32) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        set.extend(low..=high.min(low.saturating_add(1 << 16)));
    }
    Some(set)
}

/// The same the other way.
pub fn show_list(set: &BTreeSet<u32>) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &at in set {
        match parts.last_mut() {
            Some((_, high)) if *high + 1 == at => *high = at,
            _ => parts.push((at, at)),
        }
    }
    let shown = parts.iter().map(|(low, high)| match low == high {
        true => low.to_string(),
        false => format!("{low}-{high}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// A tree of these files, for tests; removed with what is returned.
#[cfg(test)]
pub fn recorded<S: AsRef<str>>(files: &[(S, &str)]) -> (tempfile::TempDir, Kernel) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let file = folder.path().join(path.as_ref());
        fs::create_dir_all(file.parent().expect("a folder above")).expect("folders");
        fs::write(file, text).expect("a file");
    }
    let kernel = Kernel::at(folder.path());
    (folder, kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_and_write_as_the_kernel_does() {
        for text in ["0-3,8", "0", "1,3,5-6", ""] {
            assert_eq!(show_list(&parse_list(text).unwrap()), text);
        }
        assert_eq!(parse_list("0-1\n").unwrap().len(), 2);
        assert_eq!(parse_list("a-b"), None);
    }

    #[test]
    fn what_is_not_there_is_none() {
        let (_folder, kernel) =
            recorded(&[("proc/x", " 7 \n"), ("sys/cpu/cpu10/a", ""), ("sys/cpu/cpu2/a", "")]);
        assert_eq!(kernel.value::<u32>("proc/x"), Some(7));
        assert_eq!(kernel.value::<u32>("proc/y"), None);
        let found: Vec<u32> = kernel.numbered("sys/cpu", "cpu").iter().map(|(n, _)| *n).collect();
        assert_eq!(found, [2, 10]);
        assert_eq!(field("a b\t: 1: 2\nc: 3", "a b"), Some("1: 2"));
    }
}
