//! `harness types`: what an editor needs to complete and check campaigns, put where language servers look.
//!
//! The types travel inside the executable, so they are those of this very version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::exit;

const TYPES: &str = include_str!("../../lua/meta/harness.lua");
/// Below the folder of the campaigns.
const TYPES_PATH: &str = ".harness/types/harness.lua";
/// What each language server reads: the Lua Language Server and EmmyLua.
const SETTINGS: [(&str, &str); 2] = [
    (
        ".luarc.json",
        "{\n  \"runtime.version\": \"Lua 5.4\",\n  \"workspace.library\": [\".harness/types\"]\n}\n",
    ),
    (
        ".emmyrc.json",
        "{\n  \"runtime\": { \"version\": \"Lua5.4\" },\n  \"workspace\": { \"library\": [\".harness/types\"] }\n}\n",
    ),
];

/// Why the files could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum TypesError {
    /// There is nothing to put them into.
    #[error("there is no folder {}: name the one your campaigns are in", .0.display())]
    NoFolder(PathBuf),
    /// The file system does not let us.
    #[error("cannot write {}: {why}; name a folder that you may write to", .path.display())]
    Write { path: PathBuf, why: io::Error },
}

impl TypesError {
    pub(super) fn code(&self) -> u8 {
        match self {
            TypesError::NoFolder(_) => exit::USAGE,
            TypesError::Write { .. } => exit::CANNOT_WRITE,
        }
    }

    /// As the subcommand says it that was asked.
    pub(super) fn of(&self, subcommand: &str) -> String {
        format!("{subcommand}: {self}: `harness {subcommand} FOLDER`")
    }
}

/// Writes them below `folder`; what was done, a line for each file. Settings that are there are the author's: they
/// stay as they are.
pub(super) fn write(folder: &Path) -> Result<Vec<String>, TypesError> {
    // A mistyped folder is not made: nothing would be found there.
    if !folder.exists() {
        return Err(TypesError::NoFolder(folder.to_owned()));
    }
    let types = folder.join(TYPES_PATH);
    put(&types, TYPES)?;
    let mut done = vec![format!("wrote {}", types.display())];
    for (name, text) in SETTINGS {
        let path = folder.join(name);
        if !path.exists() {
            put(&path, text)?;
            done.push(format!("wrote {}", path.display()));
        } else if fs::read_to_string(&path).is_ok_and(|there| there.contains(".harness/types")) {
            done.push(format!("kept {}", path.display()));
        } else {
            done.push(format!(
                "kept {}: add \".harness/types\" to the workspace's \"library\" in it",
                path.display()
            ));
        }
    }
    Ok(done)
}

fn put(path: &Path, text: &str) -> Result<(), TypesError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|why| TypesError::Write { path: path.to_owned(), why })
}
