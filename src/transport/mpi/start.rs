//! What this process is to MPI: nothing, the root of a job, or one of its workers.

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
    /// A worker started by mpirun or by the root's spawn. MPI is initialised.
    Worker(MpiLink),
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

/// Initialises MPI if a launcher started this process, and finds out what it is. `spawned`: started by a
/// root's MPI_Comm_spawn.
pub fn join(env: &dyn Fn(&str) -> Option<String>, spawned: bool) -> Result<Role, StartError> {
    let launcher = LAUNCHERS.iter().find_map(|(name, what)| Some((*what, *name, env(name)?)));
    let Some((launcher, variable, value)) = launcher else {
        if spawned {
            return Err(StartError::Orphan);
        }
        return match env("SLURM_PROCID").as_deref() {
            None | Some("0") => Ok(Role::Alone),
            Some(_) => Err(several_roots(env("SLURM_STEP_NUM_TASKS").unwrap_or("several".into()), "srun")),
        };
    };
    sys::init()?;
    if spawned {
        let parent = sys::Comm::parent().ok_or(StartError::Orphan)?;
        return Ok(Role::Worker(MpiLink::new(parent, 0, true)));
    }
    let world = sys::Comm::world();
    if world.size() == 1 && variable != "PMIX_RANK" && value != "1" {
        return Err(several_roots(value, launcher));
    }
    if world.rank() == 0 {
        let ranks = (1..world.size()).map(|rank| MpiLink::new(world, rank, false)).collect();
        Ok(Role::Root { library: sys::library_version(), ranks })
    } else {
        Ok(Role::Worker(MpiLink::new(world, 0, false)))
    }
}

fn several_roots(count: String, launcher: &'static str) -> StartError {
    let advice = if launcher == "srun" {
        "Start one in the batch script: `mpirun -n 1 harness …`, on a single node also plain `harness …`"
            .to_string()
    } else {
        format!(
            "Its mpirun belongs to another MPI than the one harness was built for ({}): use that one's, or \
             start one root with `mpirun -n 1 harness …`",
            sys::library_version()
        )
    };
    StartError::SeveralRoots { count, launcher, advice }
}
