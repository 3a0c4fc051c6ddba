//! Where `require` finds the source of a module. Needs no Lua state: the driver serves workers with it too.

use std::path::{Path, PathBuf};

/// The places to look in, in order.
#[derive(Clone, Debug, Default)]
pub struct SearchPath {
    /// Folder of the campaign script; chunk names below it are relative to it.
    dir: PathBuf,
    /// Templates with `?` for the module's name.
    templates: Vec<String>,
}

impl SearchPath {
    /// The search path of a campaign in `dir`: its folder, `./lua`, `$HARNESS_PATH`, then `$LUA_PATH`.
    pub fn of_campaign(dir: &Path) -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self::new(dir, &variable("HARNESS_PATH"), &variable("LUA_PATH"))
    }

    /// `harness_path`: folders separated by `:`. `lua_path`: templates separated by `;`, as Lua's own.
    pub fn new(dir: &Path, harness_path: &str, lua_path: &str) -> Self {
        let in_folder = |folder: &Path| {
            let folder = folder.display();
            [format!("{folder}/?.lua"), format!("{folder}/?/init.lua")]
        };
        let mut templates = Vec::new();
        templates.extend(in_folder(dir));
        templates.extend(in_folder(&dir.join("lua")));
        for folder in harness_path.split(':').filter(|folder| !folder.is_empty()) {
            templates.extend(in_folder(&dir.join(folder)));
        }
        let others = lua_path.split(';').filter(|template| template.contains('?'));
        templates.extend(others.map(str::to_owned));
        Self { dir: dir.to_owned(), templates }
    }
}

/// Chunk name and source of a module, or what was tried.
pub fn module_source(path: &SearchPath, name: &str) -> Result<(String, Vec<u8>), String> {
    let file = name.replace('.', "/");
    let mut tried = format!("module '{name}' not found:");
    for template in &path.templates {
        let candidate = PathBuf::from(template.replace('?', &file));
        match std::fs::read(&candidate) {
            Ok(source) => return Ok((chunk_name(&path.dir, &candidate), source)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tried.push_str(&format!("\n\tno file '{}'", candidate.display()));
            }
            Err(error) => tried.push_str(&format!("\n\tcannot read '{}': {error}", candidate.display())),
        }
    }
    Err(tried)
}

/// Files of the campaign's folder are named relative to it: messages are the same wherever it lies.
pub fn chunk_name(dir: &Path, file: &Path) -> String {
    format!("@{}", file.strip_prefix(dir).unwrap_or(file).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_campaigns_folder_comes_first_and_names_are_relative_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("lua/deep")).unwrap();
        std::fs::write(dir.path().join("lua/deep/init.lua"), "return 1").unwrap();
        std::fs::write(other.path().join("deep.lua"), "return 2").unwrap();
        std::fs::write(other.path().join("far.lua"), "return 3").unwrap();
        let path = SearchPath::new(dir.path(), &other.path().display().to_string(), "");
        assert_eq!(module_source(&path, "deep"), Ok(("@lua/deep/init.lua".into(), b"return 1".to_vec())));
        let far = format!("@{}", other.path().join("far.lua").display());
        assert_eq!(module_source(&path, "far"), Ok((far, b"return 3".to_vec())));
    }

    #[test]
    fn what_was_tried_is_said() {
        let path = SearchPath::new(Path::new("/nowhere"), "", "/there/?.lua");
        assert_eq!(
            module_source(&path, "a.b").unwrap_err(),
            "module 'a.b' not found:\n\tno file '/nowhere/a/b.lua'\n\tno file '/nowhere/a/b/init.lua'\
             \n\tno file '/nowhere/lua/a/b.lua'\n\tno file '/nowhere/lua/a/b/init.lua'\n\tno file '/there/a/b.lua'"
        );
    }
}
