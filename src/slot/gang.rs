//! What a call that has several nodes finds in its environment: their names, and the lines that start programs on them.
//!
//! The variables are there while the call runs, for `os.getenv` and for what it starts; then they are as before. Which
//! line starts ranks, `launch` knows; here the launcher is found and asked whose it is, once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::launch::{Around, Family, Line, MPIEXECS, Mpiexec, hostfile, line};
use crate::model::{CallTask, Gang, LaunchSpec, Launcher, Outcome, Status};
use crate::process::{DEFAULT_PATH, MARK_VARIABLE, NoAnswer, Variables, ask, find_program};

/// How long `mpiexec --version` may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// Launchers this slot has asked, by path.
#[derive(Default)]
pub(super) struct Launchers(BTreeMap<PathBuf, Option<Family>>);

/// As long as it is held, the environment speaks of the gang.
pub(super) struct Told {
    _variables: Variables,
    /// The host file has no name in any folder: it is gone with this, however the slot ends.
    _hosts: File,
}

impl Launchers {
    /// Tells the process of the nodes of the call.
    pub(super) fn tell(&mut self, call: &CallTask, gang: &Gang) -> Result<Told, Box<Outcome>> {
        let failed = |why: &dyn std::fmt::Display| {
            let reason = format!("cannot tell the call of its nodes: {why}");
            Box::new(Outcome::failed(Status::SetupFailed, reason))
        };
        let nodes = gang.hosts.len() as u32;
        let spec = LaunchSpec { launcher: Launcher::None, ranks: nodes, ..LaunchSpec::default() };
        let hosts = file_of(&hostfile(&spec, gang)).map_err(|error| failed(&error))?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), hosts.as_raw_fd());
        let search = variable("PATH").unwrap_or(DEFAULT_PATH.into());
        let find = |name: &str| find_program(name, search.as_bytes(), Path::new("/")).ok();
        let mpiexec = MPIEXECS.into_iter().find_map(find).map(|path| self.asked(path));
        let forward: Vec<String> = gang.variables.iter().cloned().chain([MARK_VARIABLE.into()]).collect();
        let around = Around {
            mpiexec: mpiexec.as_ref(),
            has: &|name| find(name).is_some(),
            env: &variable,
            forward: &forward,
            hostfile: Path::new(&path),
        };
        let Line { set, slurm, .. } = line(&spec, gang, &around).map_err(|error| failed(&error))?;
        let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        let dropped = names.filter(|name| !slurm.keeps(name.as_bytes())).map(|name| (name, None));
        let mark = (MARK_VARIABLE.to_string(), Some(format!("{}.{}", call.task, call.attempt)));
        let set = set.into_iter().map(|(name, value)| (name, Some(value)));
        let variables = Variables::put(dropped.chain(set).chain([mark]).collect());
        Ok(Told { _variables: variables, _hosts: hosts })
    }

    fn asked(&mut self, path: PathBuf) -> Mpiexec {
        let name = path.display().to_string();
        if let Some(family) = self.0.get(&path) {
            return Mpiexec { path: name, family: *family };
        }
        let said = ask(&[name.clone(), "--version".into()], ASK_LIMIT);
        let family = said.as_deref().ok().and_then(Family::of);
        // On a busy node it may be late: the next call asks again.
        if matches!(said, Ok(_) | Err(NoAnswer::Failed { .. })) {
            self.0.insert(path, family);
        }
        Mpiexec { path: name, family }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn file_of(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("hosts", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file)
}
