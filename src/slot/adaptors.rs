//! What helper processes in other languages, and those who ask harness from there, import: put into the node's cache from the text in this executable.
//!
//! So it is there on every node, whatever file systems are shared, and in the version this slot speaks. Knows where
//! files go; what they say is theirs.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::Hash;
use crate::process::Environment;

/// By their place in the folder.
const MODULES: [(&str, &str); 3] = [
    ("harness/optuna.py", include_str!("../../lua/harness/adaptors/optuna.py")),
    ("harness/session.py", include_str!("../../lua/harness/adaptors/session.py")),
    ("harness_futures.py", include_str!("../../lua/harness/adaptors/harness_futures.py")),
];

/// Puts them on the search path of Python, before what is there.
pub fn add_python(environment: &mut Environment, cache: &Path) -> Result<(), String> {
    let folder = python(cache).map_err(|error| format!("cannot write to {}: {error}", cache.display()))?;
    let folders = match environment.get("PYTHONPATH") {
        Some(others) if !others.is_empty() => [folder.as_os_str().as_bytes(), b":", others].concat(),
        _ => folder.as_os_str().as_bytes().to_vec(),
    };
    environment.set(b"PYTHONPATH", &folders).map_err(|error| error.to_string())
}

/// The folder that has them, by their content: nobody ever finds another version or half of one.
pub fn python(cache: &Path) -> io::Result<PathBuf> {
    let folder =
        cache.join("python").join(Hash::of(MODULES.map(|(_, text)| text).concat().as_bytes()).to_string());
    for (name, text) in MODULES {
        let module = folder.join(name);
        if !module.exists() {
            let parent = module.parent().unwrap_or(&folder);
            fs::create_dir_all(parent)?;
            let mut file = tempfile::NamedTempFile::new_in(parent)?;
            file.write_all(text.as_bytes())?;
            file.persist(&module)?;
        }
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_once_and_comes_before_the_users_own() {
        let cache = tempfile::tempdir().unwrap();
        let mut environment = Environment::default();
        add_python(&mut environment, cache.path()).unwrap();
        let folder = String::from_utf8(environment.get("PYTHONPATH").unwrap().to_vec()).unwrap();
        for (name, text) in MODULES {
            assert_eq!(fs::read_to_string(Path::new(&folder).join(name)).unwrap(), text);
        }
        environment.set(b"PYTHONPATH", b"/mine").unwrap();
        add_python(&mut environment, cache.path()).unwrap();
        assert_eq!(environment.get("PYTHONPATH"), Some(format!("{folder}:/mine").as_bytes()));
        let told = add_python(&mut environment, Path::new("/dev/null")).unwrap_err();
        assert!(told.starts_with("cannot write to /dev/null: "), "{told}");
    }
}
