//! Slurm's variables, for a launcher started from inside a step.
//!
//! The workers are a step of the job, and a launcher would take that step's nodes and counts for its own. So it gets
//! the job's: never fewer nodes (Open MPI would then ask for any nodes, and get the wrong ones without a word).

/// What becomes of the variables that begin with `SLURM_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slurm {
    /// Nothing: there is no job.
    #[default]
    Untouched,
    /// Those of the step go, those of the job stay, and steps may overlap.
    OfTheJob,
    /// All go: the launcher starts processes on its own node and need not ask.
    Dropped,
}

/// A variable whose name begins so is the job's; all others a step changes.
const OF_THE_JOB: [&str; 5] = ["SLURM_JOB", "SLURM_CONF", "SLURM_CLUSTER_NAME", "SLURM_HET", "SLURM_SUBMIT"];

/// What launchers read, and what it is for the whole job. Open MPI counts `SLURM_TASKS_PER_NODE` as slots.
const READ: [(&str, &str); 3] = [
    ("SLURM_NODELIST", "SLURM_JOB_NODELIST"),
    ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
    ("SLURM_TASKS_PER_NODE", "SLURM_JOB_CPUS_PER_NODE"),
];

impl Slurm {
    /// Does the launcher get this variable?
    pub fn keeps(self, name: &[u8]) -> bool {
        let begins = |prefix: &str| name.starts_with(prefix.as_bytes());
        match self {
            Slurm::Untouched => true,
            Slurm::Dropped => !begins("SLURM_"),
            Slurm::OfTheJob => !begins("SLURM_") || OF_THE_JOB.into_iter().any(begins),
        }
    }

    /// Those to be set.
    pub(super) fn variables(self, env: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        if self != Slurm::OfTheJob {
            return Vec::new();
        }
        let read = READ.iter().filter_map(|(name, source)| Some((name.to_string(), env(source)?)));
        // Without it the launcher's step waits for the cores of the one harness runs in: for ever.
        read.chain([("SLURM_OVERLAP".into(), "1".into())]).collect()
    }
}
