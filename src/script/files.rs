//! `harness.fs`: the few things scripts do with files that `io` and `os` do badly: whole files, written so that nobody
//! ever sees half of one, and folders.
//!
//! What the system refuses is nil and why. Knows nothing of the campaign but its folder.

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mlua::{IntoLuaMulti, Lua, LuaString, Table, Value};

use crate::model::SLOT_SCRATCH;
use crate::process::folders::{OwnFolder, folder_prefix, private, temporary};

/// `fs`: relative paths begin at `base`. What `tempdir` made goes with the state, or with the folder of the slot.
pub fn register(lua: &Lua, host: &Table, base: PathBuf) -> mlua::Result<()> {
    let fs = lua.create_table()?;
    let at = move |path: &LuaString| base.join(Path::new(std::ffi::OsStr::from_bytes(&path.as_bytes())));
    let path_of = at.clone();
    let read = move |lua: &Lua, path: LuaString| {
        let path = path_of(&path);
        let text = fs::read(&path).map(mlua::BString::from);
        answer(lua, "read", &path, text)
    };
    fs.raw_set("read", lua.create_function(read)?)?;
    let path_of = at.clone();
    let write = move |lua: &Lua, (path, text): (LuaString, LuaString)| {
        let path = path_of(&path);
        let written = write_whole(&path, &text.as_bytes());
        answer(lua, "write", &path, written.map(|()| true))
    };
    fs.raw_set("write", lua.create_function(write)?)?;
    let path_of = at.clone();
    fs.raw_set("exists", lua.create_function(move |_, path: LuaString| Ok(path_of(&path).exists()))?)?;
    let path_of = at.clone();
    let mkdir = move |lua: &Lua, path: LuaString| {
        let path = path_of(&path);
        answer(lua, "make the folder", &path, fs::create_dir_all(&path).map(|()| true))
    };
    fs.raw_set("mkdir", lua.create_function(mkdir)?)?;
    let list = move |lua: &Lua, path: LuaString| {
        let path = at(&path);
        let names = names_in(&path);
        answer(lua, "list", &path, names)
    };
    fs.raw_set("list", lua.create_function(list)?)?;
    let (slot, own) = (std::env::var_os(SLOT_SCRATCH).map(PathBuf::from), RefCell::new(None));
    let tempdir = move |lua: &Lua, ()| {
        let parent = slot.clone().unwrap_or_else(temporary);
        let path = match &slot {
            Some(slot) => fresh_in(slot),
            None => fresh_in_own(&parent, &mut own.borrow_mut()),
        };
        answer(lua, "make a folder in", &parent, path)
    };
    fs.raw_set("tempdir", lua.create_function(tempdir)?)?;
    host.raw_set("fs", fs)
}

/// A new folder that goes with the one it is in.
fn fresh_in(parent: &Path) -> io::Result<mlua::BString> {
    Ok(private("", parent)?.keep().into_os_string().into_vec().into())
}

/// In one of this process, which somebody removes also after it was killed.
fn fresh_in_own(parent: &Path, own: &mut Option<OwnFolder>) -> io::Result<mlua::BString> {
    let own = match own {
        Some(own) => own,
        None => own.insert(OwnFolder::make(parent, &folder_prefix("script"))?),
    };
    fresh_in(own.path())
}

/// `nil, "cannot read /x: No such file or directory"` for what was refused.
fn answer(
    lua: &Lua,
    what: &str,
    path: &Path,
    result: io::Result<impl IntoLuaMulti>,
) -> mlua::Result<mlua::MultiValue> {
    match result {
        Ok(value) => value.into_lua_multi(lua),
        Err(why) => (Value::Nil, format!("cannot {what} {}: {why}", path.display())).into_lua_multi(lua),
    }
}

/// Into a file beside it that then takes its name. Permissions are those of the file that was there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let permissions = fs::metadata(path).map(|there| there.permissions());
    let mut file = tempfile::Builder::new()
        .prefix(".harness-")
        .permissions(Permissions::from_mode(0o666)) // less what the umask takes
        .tempfile_in(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    file.write_all(bytes)?;
    if let Ok(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// In alphabetical order, not that of the file system.
fn names_in(path: &Path) -> io::Result<Vec<mlua::BString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(mlua::BString::from(entry?.file_name().as_bytes()));
    }
    names.sort_unstable();
    Ok(names)
}
