//! What the batch system gave us, until when, and which worker goes where.
//!
//! Pure functions over the environment and names: nothing here starts a process or asks a daemon.

pub mod ladder;
mod plan;
mod slurm;
mod walltime;

pub use plan::{Plan, PlannedWorker, PoolRequest, Start, plan};
pub use walltime::{Question, Walltime, walltime};

/// A node of the allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its host name, as the batch system says it.
    pub host: String,
    /// Cores given to the job there, where the batch system says it.
    pub cores: Option<u32>,
}

/// Where the nodes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// A Slurm job.
    Slurm,
    /// A list of hosts in a file.
    HostFile,
    /// No batch system: this machine alone.
    None,
}

/// What the batch system gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Who gave it.
    pub scheduler: Scheduler,
    /// The nodes, in the batch system's order.
    pub nodes: Vec<Node>,
    /// The host the root runs on.
    pub root_host: String,
}

/// Why there is no allocation, or no place for a pool in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// The batch system's word cannot be understood.
    #[error("cannot read {name}={value}: {reason}")]
    Variable {
        /// The environment variable.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request does not fit.
    #[error("{0}")]
    Request(String),
}

impl Allocation {
    /// Finds out from the environment.
    pub fn detect(env: &dyn Fn(&str) -> Option<String>, root_host: &str) -> Result<Self, AllocationError> {
        let root_host = root_host.to_string();
        Ok(match slurm::nodes(env)? {
            Some(nodes) => Self { scheduler: Scheduler::Slurm, nodes, root_host },
            None => {
                let nodes = vec![Node { host: root_host.clone(), cores: None }];
                Self { scheduler: Scheduler::None, nodes, root_host }
            }
        })
    }
}

/// Do two names mean one host? Batch systems and `gethostname` differ in whether they name the domain.
pub fn same_host(a: &str, b: &str) -> bool {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    if a.contains('.') && b.contains('.') { a.eq_ignore_ascii_case(b) } else { short(a) == short(b) }
}
