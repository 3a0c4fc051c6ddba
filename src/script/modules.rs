//! What `require` finds: one version of each module for the whole run.
//!
//! The script's `require` and the driver, which answers slots, ask the same [`Modules`]: what one of them read
//! first is what both give from then on, whatever becomes of the file. Needs no Lua state and knows no workers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use serde_bytes::ByteBuf;

use crate::model::{Hash, Module};
use crate::say::say;

/// See the module.
pub struct Modules {
    /// Folder of the campaign script; chunk names below it are relative to it.
    dir: PathBuf,
    /// Our own templates, with `?` for the module's name; they come first.
    templates: Vec<String>,
    /// Is it said when one module hides another?
    notices: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `package.path` and `package.cpath` as the script last had them.
    path: String,
    cpath: String,
    found: FxHashMap<String, Module>,
    contents: FxHashMap<String, Content>,
}

/// What a module is, whatever it is called: its file, and the names of those that it requires.
type Content = (Hash, Vec<String>);

impl Modules {
    /// The modules of a campaign in `dir`: its folder, its `lua/`, `$HARNESS_PATH`, then `package.path`.
    pub fn of_campaign(dir: &Path, notices: bool) -> Self {
        Self::new(dir, &std::env::var("HARNESS_PATH").unwrap_or_default(), notices)
    }

    /// `harness_path`: folders separated by `:`, relative ones below `dir`.
    pub fn new(dir: &Path, harness_path: &str, notices: bool) -> Self {
        let folders = harness_path.split(':').filter(|folder| !folder.is_empty());
        let folders = [dir.to_owned(), dir.join("lua")].into_iter().chain(folders.map(|f| dir.join(f)));
        let templates = folders.flat_map(|folder| {
            let folder = folder.display();
            [format!("{folder}/?.lua"), format!("{folder}/?/init.lua")]
        });
        Self { dir: dir.to_owned(), templates: templates.collect(), notices, state: Mutex::default() }
    }

    /// `package.path` and `package.cpath` of the script, which begin as `LUA_PATH` and `LUA_CPATH` say.
    pub fn set_paths(&self, path: &str, cpath: &str) {
        let mut state = self.lock();
        if state.path != path || state.cpath != cpath {
            (state.path, state.cpath) = (path.to_owned(), cpath.to_owned());
        }
    }

    /// A module by its name. What was found once stays as it was.
    pub fn find(&self, name: &str) -> Module {
        let mut state = self.lock();
        if let Some(module) = state.found.get(name) {
            return module.clone();
        }
        let module = self.search(&state, name);
        if !matches!(module, Module::Missing(_)) {
            state.found.insert(name.to_owned(), module.clone());
        }
        module
    }

    /// The content of these modules and of those that they require by a name in their text, by name.
    pub fn contents(&self, names: Vec<String>) -> BTreeMap<String, Hash> {
        let (mut contents, mut open) = (BTreeMap::new(), names);
        while let Some(name) = open.pop() {
            if !contents.contains_key(&name)
                && let Some((content, required)) = self.content(&name)
            {
                contents.insert(name, content);
                open.extend(required);
            }
        }
        contents
    }

    fn content(&self, name: &str) -> Option<Content> {
        if let Some(content) = self.lock().contents.get(name) {
            return Some(content.clone());
        }
        let content = match self.find(name) {
            Module::Lua(_, source) => (Hash::of(&source), required_in(&String::from_utf8_lossy(&source))),
            Module::C(path) => (Hash::of(&std::fs::read(path).ok()?), Vec::new()),
            Module::Missing(_) => return None,
        };
        self.lock().contents.insert(name.to_owned(), content.clone());
        Some(content)
    }

    fn search(&self, state: &State, name: &str) -> Module {
        let file = name.replace('.', "/");
        let mut candidates = self
            .templates
            .iter()
            .map(String::as_str)
            .chain(templates(&state.path))
            .map(|template| PathBuf::from(template.replace('?', &file)));
        let mut tried = Vec::new();
        while let Some(candidate) = candidates.next() {
            match std::fs::read(&candidate) {
                Ok(source) => {
                    if self.notices {
                        tell_of_hidden(name, &candidate, &source, candidates);
                    }
                    return Module::Lua(chunk_name(&self.dir, &candidate), ByteBuf::from(source));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    tried.push(format!("no file '{}'", candidate.display()));
                }
                Err(error) => tried.push(format!("cannot read '{}': {error}", candidate.display())),
            }
        }
        let in_c = templates(&state.cpath).map(|template| template.replace('?', &file));
        match in_c.into_iter().find(|path| Path::new(path).is_file()) {
            Some(path) => Module::C(path),
            None => Module::Missing(tried.join("\n\t")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn templates(path: &str) -> impl Iterator<Item = &str> {
    path.split(';').filter(|template| template.contains('?'))
}

/// Names after `require`: in `require "a"`, `require("a")` and `pcall(require, "a")`. One in a comment does no harm.
fn required_in(source: &str) -> Vec<String> {
    let name = |rest: &str| {
        let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(' || c == ',');
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (name, _) = rest[1..].split_once(quote)?;
        (!name.contains(char::is_whitespace)).then(|| name.to_owned())
    };
    source.split("require").skip(1).filter_map(name).collect()
}

/// Two modules of one name are a trap: says once which one it is.
fn tell_of_hidden(name: &str, used: &Path, source: &[u8], mut others: impl Iterator<Item = PathBuf>) {
    let differs = |other: &PathBuf| std::fs::read(other).is_ok_and(|text| text != source);
    if let Some(hidden) = others.find(differs) {
        let (used, hidden) = (used.display(), hidden.display());
        say(format_args!(
            "harness: there are two modules '{name}': {used} is used, {hidden} is not (the campaign's folder comes first)"
        ));
    }
}

/// Files of the campaign's folder are named relative to it: messages are the same wherever it lies.
pub fn chunk_name(dir: &Path, file: &Path) -> String {
    format!("@{}", file.strip_prefix(dir).unwrap_or(file).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, file: &str, text: &str) -> String {
        let path = dir.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn lua(chunk: &str, source: &str) -> Module {
        Module::Lua(chunk.into(), ByteBuf::from(source))
    }

    #[test]
    fn what_a_module_is_follows_what_it_requires_and_stays_as_it_was_found() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.lua", "local b, c = require 'b', require (\"c.d\") pcall(require, 'gone')");
        write(dir.path(), "b.lua", "return function() return require'a' end -- requires little");
        write(dir.path(), "c/d.lua", "return 1");
        write(dir.path(), "e.lua", "return 2");
        let contents = || Modules::new(dir.path(), "", false);
        let asked = vec!["a".to_owned()];
        let first = contents();
        let found = first.contents(asked.clone());
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b", "c.d"]);
        assert_eq!(first.contents(vec!["e".into()])["e"], Hash::of(b"return 2"));
        write(dir.path(), "c/d.lua", "return 3");
        assert_eq!(first.contents(asked.clone()), found);
        let again = contents().contents(asked);
        assert!(again["c.d"] != found["c.d"] && again["a"] == found["a"]);
    }

    #[test]
    fn the_campaigns_folder_comes_first_and_names_are_relative_to_it() {
        let (dir, other, rocks) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(dir.path(), "lua/deep/init.lua", "return 1");
        write(other.path(), "deep.lua", "return 2");
        let far = write(other.path(), "far.lua", "return 3");
        let rock = write(rocks.path(), "a/rock.lua", "return 4");
        let in_c = write(rocks.path(), "c/mod.so", "");
        let modules = Modules::new(dir.path(), &other.path().display().to_string(), false);
        let rocks = rocks.path().display();
        modules.set_paths(&format!(";;{rocks}/?.lua"), &format!("{rocks}/?.so"));
        assert_eq!(modules.find("deep"), lua("@lua/deep/init.lua", "return 1"));
        assert_eq!(modules.find("far"), lua(&format!("@{far}"), "return 3"));
        assert_eq!(modules.find("a.rock"), lua(&format!("@{rock}"), "return 4"));
        assert_eq!(modules.find("c.mod"), Module::C(in_c));
    }

    #[test]
    fn an_edited_module_stays_what_it_was_and_a_missing_one_may_come() {
        let dir = tempfile::tempdir().unwrap();
        let modules = Modules::new(dir.path(), "", false);
        assert!(matches!(modules.find("m"), Module::Missing(_)));
        write(dir.path(), "m.lua", "return 1");
        assert_eq!(modules.find("m"), lua("@m.lua", "return 1"));
        write(dir.path(), "m.lua", "return 2");
        assert_eq!(modules.find("m"), lua("@m.lua", "return 1"));
    }

    #[test]
    fn what_was_tried_is_said() {
        let modules = Modules::new(Path::new("/nowhere"), "", false);
        modules.set_paths("/there/?.lua", "");
        let tried = "no file '/nowhere/a/b.lua'\n\tno file '/nowhere/a/b/init.lua'\
             \n\tno file '/nowhere/lua/a/b.lua'\n\tno file '/nowhere/lua/a/b/init.lua'\n\tno file '/there/a/b.lua'";
        assert_eq!(modules.find("a.b"), Module::Missing(tried.into()));
    }
}
