//! Which files a build needs: the sources and the headers of the campaign they include.
//!
//! Headers belong to what was asked for (an edited header is another build) and must be in the scratch
//! folder where the compiler runs, so they are found here, before the task is submitted. This reads
//! `#include` lines and no more: a name made by a macro, or a header of the system, is the compiler's affair.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The files to put into the scratch folder, relative to `dir`, or what is missing.
pub fn closure(dir: &Path, sources: &[String], includes: &[String]) -> Result<Vec<String>, String> {
    let mut found = BTreeSet::new();
    let mut todo = Vec::new();
    for source in sources {
        if !dir.join(source).exists() {
            return Err(missing(dir, source));
        }
        todo.push(normal(source));
    }
    while let Some(file) = todo.pop() {
        if !found.insert(file.clone()) {
            continue;
        }
        let path = dir.join(&file);
        // Reading a named pipe may take for ever; the store says that it is none of its files.
        let Some(text) = path.is_file().then(|| std::fs::read(path).ok()).flatten() else { continue };
        for (name, quoted) in text.split(|byte| *byte == b'\n').filter_map(included) {
            let beside = Path::new(&file).parent().map(|folder| folder.join(&name));
            let candidates = beside.filter(|_| quoted).into_iter().chain(
                includes.iter().filter(|i| Path::new(i).is_relative()).map(|i| Path::new(i).join(&name)),
            );
            let header = candidates
                .map(|path| normal(&path.to_string_lossy()))
                .find(|path| Path::new(path).is_relative() && dir.join(path).is_file());
            todo.extend(header);
        }
    }
    Ok(found.into_iter().collect())
}

/// The text for a file that is not there.
pub fn missing(dir: &Path, file: &str) -> String {
    format!("`{file}` not found in {}", dir.display())
}

/// Where a file stands in the scratch folder: relative, without `..`.
pub fn scratch_name(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => parts.push("__"),
            part => parts.push(part),
        }
    }
    if parts.is_empty() { ".".into() } else { parts.join("/") }
}

/// `a/./b/../c` as `a/c`; leading `..` stay.
fn normal(path: &str) -> String {
    let mut parts = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(parts.components().next_back(), Some(Component::Normal(_))) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.to_string_lossy().into_owned()
}

/// The name in an `#include` line (or a Fortran `include`), and whether it is in quotes.
fn included(line: &[u8]) -> Option<(String, bool)> {
    let line = line.trim_ascii_start();
    let rest = match line.strip_prefix(b"#") {
        Some(rest) => rest.trim_ascii_start().strip_prefix(b"include")?,
        None => line.strip_prefix(b"include").or_else(|| line.strip_prefix(b"INCLUDE"))?,
    };
    let rest = rest.trim_ascii_start();
    let close = match rest.first()? {
        b'"' => b'"',
        b'<' => b'>',
        b'\'' => b'\'',
        _ => return None,
    };
    let end = rest[1..].iter().position(|byte| *byte == close)?;
    let name = std::str::from_utf8(&rest[1..=end]).ok()?;
    Some((name.to_owned(), close != b'>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, file: &str, text: &str) {
        let path = dir.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn headers_are_found_beside_their_file_and_in_the_include_folders() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        write(dir, "k/gemm.c", "#include <stdio.h>\n#include \"near.h\"\n  # include <far.h>\n");
        write(dir, "k/near.h", "#include \"../k/./deep/deepest.h\"\n#include \"near.h\"\n");
        write(dir, "k/deep/deepest.h", "#include NAME\n");
        write(dir, "inc/far.h", "");
        write(dir, "other.h", "");
        let files = closure(dir, &["k/gemm.c".into()], &["inc".into(), "/usr/include".into()]).unwrap();
        assert_eq!(files, ["inc/far.h", "k/deep/deepest.h", "k/gemm.c", "k/near.h"]);
    }

    #[test]
    fn a_missing_source_is_named_with_the_folder() {
        let problem = closure(Path::new("/nowhere"), &["x.c".into()], &[]).unwrap_err();
        assert_eq!(problem, "`x.c` not found in /nowhere");
    }

    #[test]
    fn names_in_the_scratch_folder_stay_inside_it() {
        for (path, name) in
            [("a/b.c", "a/b.c"), ("./a.c", "a.c"), ("../c/x.c", "__/c/x.c"), ("/abs/x.c", "abs/x.c")]
        {
            assert_eq!(scratch_name(path), name);
        }
    }
}
