//! Started in an allocation of several nodes but not by an MPI launcher, or told to go through one: become that launcher, which
//! starts this executable again as the root.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::allocation::Start;
use crate::allocation::ladder::{Family, LAUNCHED, find_launcher, start_line};
use crate::machine;
use crate::process;
use crate::root::find_allocation;
use crate::root::progress::Verbosity;
use crate::say::say;
use crate::transport::mpi::{start, sys};

/// Where the root finds its standard input, if the launcher does not hand it on.
const INPUT: &str = "HARNESS_INPUT";

/// `is_asked`: requests come on standard input. Returns if this process is to be the root itself: with or without MPI, or because there is no launcher.
pub(super) fn through_mpi(
    wish: Option<Start>,
    host_file: Option<&Path>,
    verbosity: Verbosity,
    is_asked: bool,
) -> Result<(), String> {
    let env = |name: &str| std::env::var(name).ok();
    if wish.is_some_and(Start::spares_mpi) {
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
    if let Some(refusal) = refuses_root(family, rustix::process::geteuid().is_root(), &env) {
        return Err(refusal);
    }
    // Whatever the launcher says from here on, it says of a line that the user did not type.
    match verbosity {
        Verbosity::Quiet => {}
        Verbosity::Normal => say(format_args!(
            "harness: started through {} for the other nodes (--start local for this node alone)",
            line.argv[0]
        )),
        Verbosity::Verbose => say(format_args!(
            "harness: started through `{} harness …` (--start local for this node alone)",
            line.argv.join(" ")
        )),
    }
    Err(become_launcher(line.argv, line.env, is_asked, std::env::args_os().skip(1)))
}

/// Becomes the launcher of these words, which starts this executable again with these arguments; returns only why it cannot.
pub(super) fn become_launcher(
    words: Vec<String>,
    mut variables: Vec<(String, String)>,
    is_asked: bool,
    arguments: impl IntoIterator<Item = OsString>,
) -> String {
    let shown = words.first().cloned().unwrap_or_default();
    let program = match std::env::current_exe() {
        Ok(program) => program.into_os_string(),
        Err(error) => return format!("where is harness? {error}"),
    };
    if is_asked && is_hydra(&shown) {
        match process::set_input_aside() {
            Ok(aside) => variables.extend(aside.map(|aside| (INPUT.into(), aside))),
            Err(error) => return format!("cannot set standard input aside: {error}"),
        }
    }
    let words = words.into_iter().map(OsString::from).chain([program]).chain(arguments);
    let error = process::become_program(words, variables);
    format!("cannot start {shown}: {error}")
}

/// MPICH's launcher does not hold back what is sent to the program: it ends when that has not read some ten KiB. That of a batch
/// system (srun) does.
fn is_hydra(launcher: &str) -> bool {
    let name = Path::new(launcher).file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("mpi") && Family::of(&sys::library_description()) == Some(Family::Mpich)
}

/// What was set aside by whoever became the launcher is the standard input of the root. Before there is any other thread.
pub(super) fn take_input() -> Result<(), String> {
    let Some(aside) = process::take_variable(INPUT) else { return Ok(()) };
    process::take_input_back(&aside.to_string_lossy()).map_err(|error| {
        format!(
            "cannot read standard input, which mpirun has: {error}; was this process, on {}, started on another node than mpirun, or in \
             a container of its own?",
            machine::hostname()
        )
    })
}

/// Open MPI's launcher does not run for root unless its environment says that this is meant.
fn is_refused(family: Family, is_root: bool, env: &dyn Fn(&str) -> Option<String>) -> bool {
    // The second name is PRRTE's, of Open MPI 5.
    let allows = |name: &str| env(name).is_some() && env(&format!("{name}_CONFIRM")).is_some();
    let allowed = ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"].into_iter().any(allows);
    family == Family::OpenMpi && is_root && !allowed
}

/// What MPI applications of this user would end in, if their launcher is that of the MPI harness runs on.
pub(super) fn refuses_applications() -> Option<String> {
    let family = Family::of(&sys::library_description())?;
    let env = |name: &str| std::env::var(name).ok();
    is_refused(family, rustix::process::geteuid().is_root(), &env).then(|| {
        "Open MPI's mpirun starts nothing for root: MPI applications (`ranks`, `nodes`) end spawn_failed until `export \
         OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1`"
            .into()
    })
}

/// Why harness cannot start itself through it.
fn refuses_root(family: Family, is_root: bool, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    is_refused(family, is_root, env).then(|| {
        "Open MPI's mpirun, which starts harness for the other nodes, does not run as root: `export \
         OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1` first, or `harness --start local FILE.lua` for this \
         node alone"
            .into()
    })
}

/// The launcher that belongs to the MPI library this process has loaded.
pub(super) fn launcher_of(family: Family) -> Option<PathBuf> {
    let search = std::env::var("PATH").unwrap_or_default();
    let loaded = machine::loaded_library("libmpi");
    find_launcher(family, loaded.as_deref(), &search, &process::is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_told_what_open_mpi_wants_before_it_refuses() {
        let names = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];
        let with = |set: usize| move |name: &str| names[..set].contains(&name).then(|| "1".to_string());
        let refusal = refuses_root(Family::OpenMpi, true, &with(1)).unwrap_or_default();
        assert!(
            refusal.contains("`export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1`"),
            "{refusal}"
        );
        assert_eq!(refuses_root(Family::OpenMpi, true, &with(2)), None);
        assert_eq!(refuses_root(Family::OpenMpi, false, &with(0)), None);
        assert_eq!(refuses_root(Family::Mpich, true, &with(0)), None);
    }
}
