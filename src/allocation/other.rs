//! Another job of the same user, whose nodes may join a pool: what Slurm is asked about it, what its answer says, and what a
//! worker there has to know of it.
//!
//! Pure: the caller runs the command and brings what it printed.

use super::slurm::expand;
use super::walltime::time_left;
use super::{Allocation, Node, Scheduler};

/// What the answer has, in this order.
const ASKED: &str = "%i|%T|%U|%N|%C|%L|%r";

/// A job that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherJob {
    /// Its number, as it was asked for.
    pub id: String,
    /// How much of its time is left (s); none if it has no end.
    pub left_s: Option<f64>,
    hosts: Vec<String>,
    /// The same as Slurm writes it.
    list: String,
    /// Of all its nodes.
    cpus: u32,
}

/// Asks about a job: `1234`, or `1234_5` of an array.
pub fn question(id: &str) -> Result<Vec<String>, String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (job, part) = id.split_once('_').unwrap_or((id, "0"));
    if !is_number(job) || !is_number(part) {
        return Err(format!("`{id}` is no job of Slurm: jobs have a number, job = \"1234\""));
    }
    Ok(["squeue", "-h", "-t", "all", "-j", id, "-o", ASKED].map(String::from).into())
}

/// The job, from the answer to [`question`]; or why its nodes cannot join. `user`: whose jobs count.
pub fn answer(id: &str, user: u32, printed: &str) -> Result<OtherJob, String> {
    let mut lines = printed.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().ok_or_else(|| unknown(id))?;
    if line.split('|').next().is_some_and(|part| part.contains('+')) {
        return Err(format!(
            "job {id} is a heterogeneous one, and those cannot join: ask for one of nodes alike"
        ));
    }
    if lines.next().is_some() {
        return Err(format!("job {id} has several parts: name one of them (`squeue -r -j {id}` lists them)"));
    }
    let fields: Vec<&str> = line.splitn(7, '|').collect();
    let [_, state, owner, list, cpus, left, reason] = fields[..] else {
        return Err(format!("squeue says of job {id} what cannot be read: {line}"));
    };
    if owner != user.to_string() {
        return Err(format!("job {id} is another user's: workers start in jobs of your own"));
    }
    match state {
        "RUNNING" => {}
        "PENDING" | "CONFIGURING" | "SUSPENDED" | "REQUEUED" | "REQUEUE_HOLD" | "STOPPED" => {
            let why = if ["", "None"].contains(&reason) { String::new() } else { format!(", {reason}") };
            return Err(format!(
                "job {id} does not run yet ({state}{why}): grow once `squeue -j {id}` says RUNNING"
            ));
        }
        _ => return Err(format!("job {id} is over ({state}): ask for another one")),
    }
    let hosts = expand(list).ok().filter(|hosts| !hosts.is_empty());
    let (Some(hosts), Ok(cpus)) = (hosts, cpus.parse()) else {
        return Err(format!("squeue says of job {id} what cannot be read: {line}"));
    };
    Ok(OtherJob { id: id.into(), left_s: time_left(left), hosts, list: list.into(), cpus })
}

/// Of a job that Slurm has never heard of, or has forgotten; it says no more where it cannot be reached.
pub fn unknown(id: &str) -> String {
    format!("Slurm knows no job {id} (any more), or does not answer: `squeue --me` lists yours")
}

impl OtherJob {
    /// Its nodes, for a root on `root_host`.
    pub fn allocation(&self, root_host: &str) -> Allocation {
        let nodes = self.hosts.iter().map(|host| Node { host: host.clone(), cores: None }).collect();
        let (job, root_host) = (Some(self.id.clone()), root_host.into());
        Allocation { scheduler: Scheduler::Slurm, job, restarts: 0, nodes, root_host }
    }

    /// Does srun, and through it a worker there, get this variable of ours? Those of our own job would be taken for that one's.
    pub fn keeps(name: &[u8]) -> bool {
        !name.starts_with(b"SLURM_") || [&b"SLURM_CONF"[..], b"SLURM_CLUSTERS"].contains(&name)
    }

    /// What Slurm sets in a job and not in a step that comes from elsewhere; launchers of MPI read it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let nodes = self.hosts.len() as u32;
        let mut variables =
            vec![("SLURM_JOB_NODELIST", self.list.clone()), ("SLURM_JOB_NUM_NODES", nodes.to_string())];
        // Of nodes that differ nobody has said which has how many.
        if self.cpus.is_multiple_of(nodes) {
            let each = self.cpus / nodes;
            let cpus = if nodes > 1 { format!("{each}(x{nodes})") } else { each.to_string() };
            variables.push(("SLURM_JOB_CPUS_PER_NODE", cpus));
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_runs_has_nodes_and_an_end() {
        // As Slurm 22.05 writes it.
        let job = answer("17", 1000, "17|RUNNING|1000|node[3-4]|8|9:59|None\n").unwrap();
        assert_eq!((job.id.as_str(), job.left_s), ("17", Some(599.0)));
        let hosts: Vec<String> = job.allocation("node1").nodes.into_iter().map(|node| node.host).collect();
        assert_eq!(hosts, ["node3", "node4"]);
        let variables = job.variables().into_iter().map(|(name, value)| format!("{name}={value}"));
        assert_eq!(
            variables.collect::<Vec<_>>().join(" "),
            "SLURM_JOB_NODELIST=node[3-4] SLURM_JOB_NUM_NODES=2 SLURM_JOB_CPUS_PER_NODE=4(x2)"
        );
        let uneven = answer("2", 0, "2|RUNNING|0|node[3-4]|9|9:59|None").unwrap().variables();
        assert!(uneven.iter().all(|(name, _)| *name != "SLURM_JOB_CPUS_PER_NODE"), "{uneven:?}");
        let endless = answer("2", 0, "2|RUNNING|0|node3|4|UNLIMITED|None").unwrap();
        assert_eq!((endless.left_s, &endless.variables()[2].1), (None, &"4".to_string()));
        assert!(OtherJob::keeps(b"PATH") && OtherJob::keeps(b"SLURM_CONF"));
        assert!(!OtherJob::keeps(b"SLURM_JOB_ID") && !OtherJob::keeps(b"SLURM_NODELIST"));
    }

    #[test]
    fn what_cannot_join_is_said_with_what_to_do() {
        let why = |printed| answer("3", 1000, printed).unwrap_err();
        assert_eq!(
            why("3|PENDING|1000||12|UNLIMITED|Resources"),
            "job 3 does not run yet (PENDING, Resources): grow once `squeue -j 3` says RUNNING"
        );
        assert_eq!(
            why("3|CANCELLED|1000||4|UNLIMITED|None"),
            "job 3 is over (CANCELLED): ask for another one"
        );
        assert_eq!(
            why("3|RUNNING|0|node3|4|9:59|None"),
            "job 3 is another user's: workers start in jobs of your own"
        );
        assert_eq!(why("\n"), unknown("3"));
        let parts = why("3_2|RUNNING|1000|n2|4|1:00|None\n3_1|RUNNING|1000|n1|4|1:00|None\n");
        assert_eq!(parts, "job 3 has several parts: name one of them (`squeue -r -j 3` lists them)");
        let mixed = why("3+0|RUNNING|1000|n1|4|1:00|None\n3+1|RUNNING|1000|n2|4|1:00|None\n");
        assert_eq!(mixed, "job 3 is a heterogeneous one, and those cannot join: ask for one of nodes alike");
        for strange in ["3|RUNNING", "3|RUNNING|1000|n[|4|1:00|None", "3|RUNNING|1000||4|1:00|None"] {
            assert_eq!(why(strange), format!("squeue says of job 3 what cannot be read: {strange}"));
        }
    }

    #[test]
    fn jobs_have_numbers() {
        assert_eq!(question("17_2").unwrap().join(" "), format!("squeue -h -t all -j 17_2 -o {ASKED}"));
        for id in ["", "abc", "17;rm", "-1", "17_", "_1", "17_[1-2]"] {
            assert!(question(id).unwrap_err().starts_with(&format!("`{id}` is no job of Slurm")), "{id}");
        }
    }
}
