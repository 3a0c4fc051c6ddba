//! Started in an allocation of several nodes but not by an MPI launcher: become that launcher, which starts
//! this executable again as the root.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::allocation::Start;
use crate::allocation::ladder::{Family, LAUNCHED, find_launcher, start_line};
use crate::machine;
use crate::process;
use crate::root::find_allocation;
use crate::say::say;
use crate::transport::mpi::{start, sys};

/// Returns if this process is to be the root itself: with or without MPI, or because there is no launcher.
pub(super) fn through_mpi(
    wish: Option<Start>,
    host_file: Option<&Path>,
    verbose: bool,
) -> Result<(), String> {
    let env = |name: &str| std::env::var(name).ok();
    if wish == Some(Start::Local) {
        return Ok(());
    }
    if start::is_launched(&env) {
        return Ok(());
    }
    if let Some(launcher) = env(LAUNCHED) {
        return Err(format!(
            "harness was started by {launcher}, and finds none of the variables an MPI sets: is that the launcher of \
             {}? `harness --start local FILE.lua` runs on this node alone",
            sys::library_version()
        ));
    }
    start::single(&env).map_err(|error| error.to_string())?;
    let library = sys::library_description();
    let Some(family) = Family::of(&library) else { return Ok(()) };
    // What is wrong with the allocation is said where the root reads it.
    let Ok(allocation) = find_allocation(host_file) else { return Ok(()) };
    let Some(launcher) = launcher_of(family) else { return Ok(()) };
    let Some(line) = start_line(family, &library, &allocation, &launcher, &env) else { return Ok(()) };
    let program = std::env::current_exe().map_err(|error| format!("where is harness? {error}"))?;
    if verbose {
        say(format_args!("harness: starting through `{} harness …`", line.argv.join(" ")));
    }
    let words = line.argv.into_iter().map(OsString::from);
    let again = [PathBuf::into_os_string(program)].into_iter().chain(std::env::args_os().skip(1));
    let error = process::become_program(words.chain(again), line.env);
    Err(format!("cannot start {}: {error}", Path::new(&launcher).display()))
}

/// The launcher that belongs to the MPI library this process has loaded.
pub(super) fn launcher_of(family: Family) -> Option<PathBuf> {
    let search = std::env::var("PATH").unwrap_or_default();
    let loaded = machine::loaded_library("libmpi");
    find_launcher(family, loaded.as_deref(), &search, &process::is_program)
}
