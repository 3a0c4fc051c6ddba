//! What this process is to MPI: nothing, the root of a job, or one of its workers.

use std::os::fd::OwnedFd;

use super::{MpiLink, sys};

/// What this process is.
pub enum Role {
    /// Not started by an MPI launcher: MPI is left alone.
    Alone,
    /// The root: rank 0 of the job. MPI is initialised.
    Root {
        /// What the library calls itself.
        library: String,
        /// Links to the other ranks of `mpirun -n N`.
        ranks: Vec<MpiLink>,
    },
    /// A worker, as a further rank of the job. MPI is initialised.
    Worker(Box<MpiLink>),
}

/// Why this process can be neither.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Several roots.
    #[error(
        "this is one of {count} separate harness roots that {launcher} started: they do not know each other. {advice}"
    )]
    SeveralRoots {
        /// How many.
        count: String,
        /// Who started them.
        launcher: &'static str,
        /// What to type instead.
        advice: String,
    },
    /// MPI failed.
    #[error("MPI cannot be used: {0}")]
    Mpi(#[from] sys::MpiError),
    /// Its launcher's connection was closed.
    #[error(
        "the connection to the MPI launcher (PMI_FD={0}) was closed by whatever started harness below it, as Python's subprocess does: \
         start harness itself by mpirun, or by plain `env -u PMI_FD -u PMI_RANK -u PMI_SIZE harness …`"
    )]
    CutOff(String),
    /// A worker without a root.
    #[error("this worker was not started by a root's spawn")]
    Orphan,
}

/// What launchers set, with the number of processes they started.
const LAUNCHERS: [(&str, &str); 3] = [
    ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"),
    ("PMI_SIZE", "an MPICH launcher"),
    ("PMIX_RANK", "a PMIx launcher"),
];

/// Who started this process, by which variable, and how many of its kind.
fn launched_by(env: &dyn Fn(&str) -> Option<String>) -> Option<(&'static str, &'static str, String)> {
    LAUNCHERS.iter().find_map(|(name, what)| Some((*what, *name, env(name)?)))
}

/// Did an MPI launcher start this process?
pub fn is_launched(env: &dyn Fn(&str) -> Option<String>) -> bool {
    launched_by(env).is_some()
}

/// Is this the only process of its job step? Under `srun --pty` the others have no terminal and end at once.
pub fn single(env: &dyn Fn(&str) -> Option<String>) -> Result<(), StartError> {
    let first = env("SLURM_PROCID").is_none_or(|number| number == "0");
    let count = env("SLURM_STEP_NUM_TASKS").unwrap_or("several".into());
    let terminal = env("SLURM_PTY_PORT").is_some();
    let several = env("SLURM_STEP_NUM_TASKS").is_some_and(|count| count != "1") && !terminal;
    if first && !several { Ok(()) } else { Err(several_roots(count, "srun")) }
}

/// MPI_Init ends the process where what connects it with its launcher is gone: a program in between has closed that, as Python does.
fn has_its_launcher(env: &dyn Fn(&str) -> Option<String>) -> Result<(), StartError> {
    let Some(fd) = env("PMI_FD").filter(|fd| fd.parse::<u32>().is_ok()) else { return Ok(()) };
    match std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")) {
        Err(_) => Err(StartError::CutOff(fd)),
        Ok(_) => Ok(()),
    }
}

/// Is this a further rank of `mpirun -n N`, by what its launcher says?
pub fn is_further_rank(env: &dyn Fn(&str) -> Option<String>) -> bool {
    let rank = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"].iter().find_map(|name| env(name));
    rank.is_some_and(|rank| rank != "0")
}

/// Initialises MPI if a launcher started this process, and finds out what it is. `host` is this one's name; `told`:
/// who stands in for it hears there how the root is called.
pub fn join(
    env: &dyn Fn(&str) -> Option<String>,
    host: &str,
    told: Option<OwnedFd>,
) -> Result<Role, StartError> {
    let Some((launcher, variable, value)) = launched_by(env) else {
        single(env)?;
        return Ok(Role::Alone);
    };
    if variable == "PMI_SIZE" {
        has_its_launcher(env)?;
    }
    sys::init()?;
    let world = sys::Comm::world();
    if world.size() == 1 && variable != "PMIX_RANK" && value != "1" {
        return Err(several_roots(value, launcher));
    }
    if world.rank() == 0 {
        let ranks = (1..world.size()).map(|rank| MpiLink::to_worker(world, rank, false, host)).collect();
        Ok(Role::Root { library: sys::library_version(), ranks })
    } else {
        Ok(Role::Worker(Box::new(MpiLink::to_root(world, false, told))))
    }
}

/// Initialises MPI in a worker that the root's spawn started; `told` as in [`join`].
pub fn join_root(told: OwnedFd) -> Result<MpiLink, StartError> {
    if !is_launched(&|name| std::env::var(name).ok()) {
        return Err(StartError::Orphan);
    }
    sys::init()?;
    let parent = sys::Comm::parent().ok_or(StartError::Orphan)?;
    Ok(MpiLink::to_root(parent, true, Some(told)))
}

fn several_roots(count: String, launcher: &'static str) -> StartError {
    let advice = if launcher == "srun" {
        "Start one, without srun: plain `harness …` in the batch script".to_string()
    } else {
        format!(
            "Its mpirun belongs to another MPI than the one harness was built for ({}): use that one's, or \
             start one root with `mpirun -n 1 harness …`",
            sys::library_version()
        )
    };
    StartError::SeveralRoots { count, launcher, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_cut_off_from_its_launcher_is_told_before_mpi_ends_the_process() {
        let with = |fd: &'static str| has_its_launcher(&|name| (name == "PMI_FD").then(|| fd.to_string()));
        assert!(with("0").is_ok() && with("nonsense").is_ok() && has_its_launcher(&|_| None).is_ok());
        let told = with("999999").unwrap_err().to_string();
        assert!(told.contains("PMI_FD=999999") && told.contains("env -u PMI_FD"), "{told}");
    }
}
