//! What the batch system gave us, until when, and which worker goes where.
//!
//! Pure functions over the environment, files and answers of commands, which the caller brings: each batch system
//! is tested on what it was seen to write, without being there.

pub mod ladder;
mod lists;
pub mod other;
mod plan;
pub mod queue;
pub mod remote;
pub mod script;
mod slurm;
mod walltime;

use std::fmt;
use std::io;

pub use plan::{Plan, PlannedWorker, PoolRequest, RootNode, Start, more, plan};
pub use walltime::{Question, Walltime, walltime};

/// A node of the allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its host name, as the batch system says it.
    pub host: String,
    /// Cores (or slots) given to the job there, where the batch system says it.
    pub cores: Option<u32>,
}

/// Where the nodes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// A Slurm job.
    Slurm,
    /// A job of PBS Pro, OpenPBS or Torque.
    Pbs,
    /// A job of Grid Engine.
    Sge,
    /// A job of LSF.
    Lsf,
    /// A job of Fujitsu's batch system.
    Pjm,
    /// A Flux instance.
    Flux,
    /// A Cobalt job.
    Cobalt,
    /// A list of hosts in a file (`--hostfile`).
    HostFile,
    /// No batch system: this machine alone.
    None,
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheduler::Slurm => "Slurm",
            Scheduler::Pbs => "PBS",
            Scheduler::Sge => "Grid Engine",
            Scheduler::Lsf => "LSF",
            Scheduler::Pjm => "PJM",
            Scheduler::Flux => "Flux",
            Scheduler::Cobalt => "Cobalt",
            Scheduler::HostFile => "host file",
            Scheduler::None => "none",
        })
    }
}

/// What the batch system gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Who gave it.
    pub scheduler: Scheduler,
    /// The job's id there.
    pub job: Option<String>,
    /// How often the batch system has started the job again, where it says so.
    pub restarts: u32,
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
    /// A list of hosts cannot be used.
    #[error("cannot take the hosts from {file}{}: {reason}", whose(variable))]
    File {
        /// The file.
        file: String,
        /// The variable that names it; none if the user did.
        variable: Option<&'static str>,
        /// What is wrong with it.
        reason: String,
    },
    /// The request does not fit.
    #[error("{0}")]
    Request(String),
}

fn whose(variable: &Option<&'static str>) -> String {
    variable.map_or(String::new(), |name| format!(" (named by {name})"))
}

/// What detection looks at; tests give recorded answers.
pub struct Surroundings<'a> {
    /// A variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// A file's text.
    pub read: &'a dyn Fn(&str) -> io::Result<String>,
    /// What a command prints; none if it cannot be run.
    pub ask: &'a dyn Fn(&[&str]) -> Option<String>,
    /// Is this a name or an address that every machine has for itself, or an address of this one?
    pub is_here: &'a dyn Fn(&str) -> bool,
}

impl Surroundings<'_> {
    fn number(&self, name: &str) -> Option<u32> {
        (self.env)(name)?.trim().parse().ok()
    }

    /// The hosts in the file that a variable names.
    fn file_of(
        &self,
        variable: &'static str,
        parse: fn(&str) -> Result<Vec<Node>, String>,
    ) -> Result<Option<Vec<Node>>, AllocationError> {
        let Some(file) = (self.env)(variable) else { return Ok(None) };
        self.file(file, Some(variable), parse).map(Some)
    }

    fn file(
        &self,
        file: String,
        variable: Option<&'static str>,
        parse: fn(&str) -> Result<Vec<Node>, String>,
    ) -> Result<Vec<Node>, AllocationError> {
        let nodes = (self.read)(&file).map_err(|error| error.to_string()).and_then(|text| parse(&text));
        let nodes = nodes.and_then(|nodes| match nodes.is_empty() {
            true => Err("there is no host in it".into()),
            false => Ok(nodes),
        });
        nodes.map_err(|reason| AllocationError::File { file, variable, reason })
    }

    /// The hosts in a variable.
    fn variable(
        &self,
        name: &'static str,
        parse: fn(&str) -> Result<Vec<Node>, String>,
    ) -> Result<Option<Vec<Node>>, AllocationError> {
        let Some(value) = (self.env)(name) else { return Ok(None) };
        parse(&value)
            .map(|nodes| (!nodes.is_empty()).then_some(nodes))
            .map_err(|reason| AllocationError::Variable { name: name.into(), value, reason })
    }
}

type Detector = fn(&Surroundings<'_>) -> Result<Option<Vec<Node>>, AllocationError>;

/// Every batch system: who it is, the variable with the job's id, and where it says which nodes it gave. The first
/// that says something counts. Flux comes first because it is often started inside a job of another.
const SCHEDULERS: [(Scheduler, &str, Detector); 7] = [
    (Scheduler::Flux, "FLUX_JOB_ID", flux),
    (Scheduler::Slurm, "SLURM_JOB_ID", |around| slurm::nodes(around.env)),
    (Scheduler::Lsf, "LSB_JOBID", lsf),
    (Scheduler::Sge, "JOB_ID", |around| around.file_of("PE_HOSTFILE", lists::columns)),
    (Scheduler::Pjm, "PJM_JOBID", |around| around.file_of("PJM_O_NODEINF", lists::lines)),
    (Scheduler::Cobalt, "COBALT_JOBID", |around| around.file_of("COBALT_NODEFILE", lists::lines)),
    (Scheduler::Pbs, "PBS_JOBID", pbs),
];

impl Allocation {
    /// That not all nodes of the job are used, and why.
    pub fn left_out(&self, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        (self.scheduler == Scheduler::Slurm).then(|| slurm::left_out(env)).flatten()
    }

    /// Finds out: from `host_file` if the user named one, else from the batch system, else this machine alone.
    pub fn detect(
        around: &Surroundings<'_>,
        host_file: Option<&str>,
        root_host: &str,
    ) -> Result<Self, AllocationError> {
        let restarts = around.number("SLURM_RESTART_COUNT").unwrap_or(0);
        let made = |scheduler, job, nodes| Self {
            scheduler,
            job,
            restarts,
            nodes: named(around, nodes, root_host),
            root_host: root_host.into(),
        };
        if let Some(file) = host_file {
            let nodes = around.file(file.to_string(), None, lists::host_file)?;
            return Ok(made(Scheduler::HostFile, None, nodes));
        }
        for (scheduler, id, nodes) in SCHEDULERS {
            if let Some(nodes) = nodes(around)? {
                return Ok(made(scheduler, (around.env)(id), nodes));
            }
        }
        Ok(made(Scheduler::None, None, vec![Node { host: root_host.into(), cores: None }]))
    }
}

/// One word for any shell that somebody may log in to or write a job's script for: what may mean something to one of them is quoted.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:,@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// With this node under its own name, by which its worker will report.
fn named(around: &Surroundings<'_>, nodes: Vec<Node>, root_host: &str) -> Vec<Node> {
    let mut named = lists::Hosts::default();
    for Node { host, cores } in nodes {
        let host = if (around.is_here)(&host) { root_host.to_string() } else { host };
        named.add(&host, cores);
    }
    named.nodes
}

/// Its variable of a job is not set in a batch script, the address of its broker is.
fn flux(around: &Surroundings<'_>) -> Result<Option<Vec<Node>>, AllocationError> {
    if (around.env)("FLUX_JOB_ID").or_else(|| (around.env)("FLUX_URI")).is_none() {
        return Ok(None);
    }
    let command = ["flux", "hostlist", "-e", "local"];
    let Some(said) = (around.ask)(&command) else { return Ok(None) };
    let nodes = lists::words(&said).map_err(|reason| AllocationError::File {
        file: format!("`{}`", command.join(" ")),
        variable: None,
        reason,
    })?;
    Ok((!nodes.is_empty()).then_some(nodes))
}

/// Where jobs start on a node in front of their own (jsrun's machines), that one is listed too and is no place to
/// measure on.
fn lsf(around: &Surroundings<'_>) -> Result<Option<Vec<Node>>, AllocationError> {
    let nodes = match around.variable("LSB_MCPU_HOSTS", lists::pairs)? {
        None => around.file_of("LSB_DJOB_HOSTFILE", lists::lines)?,
        nodes => nodes,
    };
    Ok(nodes.map(|mut nodes| {
        let in_front =
            |node: &Node| ["batch", "login", "launch"].iter().any(|name| node.host.starts_with(name));
        if nodes.len() > 1 && in_front(&nodes[0]) {
            nodes.remove(0);
        }
        nodes
    }))
}

/// A line for each process, of which there may be one for many cores: those of a node are said apart.
fn pbs(around: &Surroundings<'_>) -> Result<Option<Vec<Node>>, AllocationError> {
    let nodes = around.file_of("PBS_NODEFILE", lists::lines)?;
    let cores = around.number("NCPUS").or_else(|| around.number("PBS_NUM_PPN")).unwrap_or(0);
    Ok(nodes.map(|mut nodes| {
        for node in &mut nodes {
            node.cores = node.cores.map(|lines| lines.max(cores));
        }
        nodes
    }))
}

/// Do two names mean one host? Batch systems and `gethostname` differ in whether they name the domain.
pub fn same_host(a: &str, b: &str) -> bool {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    if a.contains('.') && b.contains('.') { a.eq_ignore_ascii_case(b) } else { short(a) == short(b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SCHEDULER JOB: HOST:CORES …` from recorded variables, files and answers.
    fn detected(variables: &[(&str, &str)], files: &[(&str, &str)], host_file: Option<&str>) -> String {
        let find = |list: &[(&str, &str)], name: &str| {
            list.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
        };
        let around = Surroundings {
            env: &|name| find(variables, name),
            read: &|name| find(files, name).ok_or_else(|| io::ErrorKind::NotFound.into()),
            ask: &|words| find(files, &words.join(" ")),
            is_here: &|host| ["localhost", "10.0.0.9", "::1"].contains(&host),
        };
        match Allocation::detect(&around, host_file, "here") {
            Err(error) => error.to_string(),
            Ok(found) => {
                let nodes = found.nodes.iter().map(|node| match node.cores {
                    Some(cores) => format!("{}:{cores}", node.host),
                    None => node.host.clone(),
                });
                let nodes = nodes.collect::<Vec<_>>().join(" ");
                format!("{} {}: {nodes}", found.scheduler, found.job.unwrap_or("-".into()))
            }
        }
    }

    #[test]
    fn each_batch_system_is_known_by_what_it_sets() {
        let slurm =
            [("SLURM_JOB_ID", "17"), ("SLURM_JOB_NODELIST", "n[1-2]"), ("SLURM_JOB_CPUS_PER_NODE", "4(x2)")];
        assert_eq!(detected(&slurm, &[], None), "Slurm 17: n1:4 n2:4");
        let nodefile = [("/var/spool/aux/9", "n1\nn1\nn2\nn2\n")];
        let pbs = [("PBS_JOBID", "9.head"), ("PBS_NODEFILE", "/var/spool/aux/9")];
        assert_eq!(detected(&pbs, &nodefile, None), "PBS 9.head: n1:2 n2:2");
        // select=2:ncpus=16:mpiprocs=2
        let chunks = [pbs[0], pbs[1], ("NCPUS", "16")];
        assert_eq!(detected(&chunks, &nodefile, None), "PBS 9.head: n1:16 n2:16");
        let sge = [("JOB_ID", "5"), ("PE_HOSTFILE", "pe")];
        assert_eq!(
            detected(&sge, &[("pe", "c1 8 all.q@c1 <NULL>\nc2 4 all.q@c2 <NULL>\n")], None),
            "Grid Engine 5: c1:8 c2:4"
        );
        let pjm = [("PJM_JOBID", "3"), ("PJM_O_NODEINF", "inf")];
        assert_eq!(detected(&pjm, &[("inf", "10.0.0.1\n10.0.0.2\n")], None), "PJM 3: 10.0.0.1:1 10.0.0.2:1");
        let cobalt = [("COBALT_JOBID", "2"), ("COBALT_NODEFILE", "cn")];
        assert_eq!(detected(&cobalt, &[("cn", "nid1\nnid2\n")], None), "Cobalt 2: nid1:1 nid2:1");
        assert_eq!(
            detected(&[("LSB_JOBID", "8"), ("LSB_MCPU_HOSTS", "h1 16 h2 16")], &[], None),
            "LSF 8: h1:16 h2:16"
        );
        assert_eq!(detected(&[], &[], None), "none -: here");
    }

    #[test]
    fn lsf_in_front_of_its_nodes() {
        let hosts = "batch5 1 h41n04 42 h41n05 42";
        assert_eq!(
            detected(&[("LSB_JOBID", "8"), ("LSB_MCPU_HOSTS", hosts)], &[], None),
            "LSF 8: h41n04:42 h41n05:42"
        );
        let file = [("LSB_JOBID", "8"), ("LSB_DJOB_HOSTFILE", "f")];
        assert_eq!(detected(&file, &[("f", "h1\nh1\nh2\n")], None), "LSF 8: h1:2 h2:1");
    }

    #[test]
    fn flux_is_asked_and_comes_before_the_job_it_runs_in() {
        let inside =
            [("FLUX_URI", "local:///run/flux"), ("SLURM_JOB_ID", "17"), ("SLURM_JOB_NODELIST", "n[1-4]")];
        let answer = [("flux hostlist -e local", "n1 n2\n")];
        assert_eq!(detected(&inside, &answer, None), "Flux -: n1 n2");
        assert_eq!(detected(&inside, &[], None), "Slurm 17: n1 n2 n3 n4");
    }

    #[test]
    fn a_host_file_named_by_the_user_counts_before_all() {
        let job = [("SLURM_JOB_ID", "17"), ("SLURM_JOB_NODELIST", "n[1-2]")];
        assert_eq!(detected(&job, &[("hosts", "a slots=2\nb:3\n")], Some("hosts")), "host file -: a:2 b:3");
        assert_eq!(
            detected(&[], &[("hosts", "# none\n")], Some("hosts")),
            "cannot take the hosts from hosts: there is no host in it"
        );
        // This node, whatever it is called there.
        let by_any_name = [("hosts", "localhost slots=2\nb\n10.0.0.9 slots=1\nhere slots=3\n")];
        assert_eq!(detected(&[], &by_any_name, Some("hosts")), "host file -: here:6 b");
        assert_eq!(detected(&[], &[("hosts", "::1\n")], Some("hosts")), "host file -: here");
        assert_eq!(
            detected(&[("PBS_NODEFILE", "/gone")], &[], None),
            "cannot take the hosts from /gone (named by PBS_NODEFILE): entity not found"
        );
    }
}
