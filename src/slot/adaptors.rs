//! What helper processes in other languages import, put into the node's cache from the text in this executable.
//!
//! So it is there on every node, whatever file systems are shared, and in the version this slot speaks. Knows where
//! files go; what they say is theirs.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::Hash;
use crate::process::Environment;

const SESSION: &str = include_str!("../../lua/harness/adaptors/session.py");

/// Puts `harness.session` on the search path of Python, before what is there.
pub fn add_python(environment: &mut Environment, cache: &Path) -> Result<(), String> {
    let folder = python(cache).map_err(|error| format!("cannot write to {}: {error}", cache.display()))?;
    let folders = match environment.get("PYTHONPATH") {
        Some(others) if !others.is_empty() => [folder.as_os_str().as_bytes(), b":", others].concat(),
        _ => folder.as_os_str().as_bytes().to_vec(),
    };
    environment.set(b"PYTHONPATH", &folders).map_err(|error| error.to_string())
}

/// The folder that has it, by its content: nobody ever finds another version or half of it.
fn python(cache: &Path) -> io::Result<PathBuf> {
    let folder = cache.join("python").join(Hash::of(SESSION.as_bytes()).to_string());
    let package = folder.join("harness");
    let module = package.join("session.py");
    if !module.exists() {
        fs::create_dir_all(&package)?;
        let mut file = tempfile::NamedTempFile::new_in(&package)?;
        file.write_all(SESSION.as_bytes())?;
        file.persist(&module)?;
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
        let module = Path::new(&folder).join("harness/session.py");
        assert_eq!(fs::read_to_string(&module).unwrap(), SESSION);
        environment.set(b"PYTHONPATH", b"/mine").unwrap();
        add_python(&mut environment, cache.path()).unwrap();
        assert_eq!(environment.get("PYTHONPATH"), Some(format!("{folder}:/mine").as_bytes()));
        let told = add_python(&mut environment, Path::new("/dev/null")).unwrap_err();
        assert!(told.starts_with("cannot write to /dev/null: "), "{told}");
    }
}
