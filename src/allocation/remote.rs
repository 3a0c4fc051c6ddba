//! Workers on other nodes without MPI: who starts them there, and the line for it.
//!
//! Pure: nothing here starts a process or looks at a disk.

use std::path::Path;
use std::time::Duration;

use super::{Allocation, Scheduler, Start, quoted, same_host};

/// Names another program than ssh, with its arguments: the name of the host follows, and then the command.
const AGENT_VARIABLE: &str = "HARNESS_RSH";

/// Set for a worker over ssh, where they are set here: it needs them before it hears of the root's environment.
const NEEDED: [&str; 2] = ["HARNESS_CACHE", "LD_LIBRARY_PATH"];

/// The words before the name of a host.
fn agent(env: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let named = env(AGENT_VARIABLE).unwrap_or_default();
    let named: Vec<String> = named.split_whitespace().map(String::from).collect();
    if named.is_empty() { vec!["ssh".into()] } else { named }
}

/// How `auto` starts workers on other nodes where MPI does not; `None` if nobody can, or there are none.
pub fn without_mpi(
    allocation: &Allocation,
    env: &dyn Fn(&str) -> Option<String>,
    has: &dyn Fn(&str) -> bool,
) -> Option<Start> {
    let others = allocation.nodes.iter().any(|node| !same_host(&node.host, &allocation.root_host));
    match allocation.scheduler {
        Scheduler::None => None,
        _ if !others => None,
        Scheduler::Slurm if has("srun") => Some(Start::Srun),
        _ => has(&agent(env)[0]).then_some(Start::Ssh),
    }
}

/// A line that starts a worker on another node, and one for people that only looks whether that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteLine {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// To be typed.
    pub by_hand: String,
}

/// The line of `srun`; the worker reads on its standard input whom to call. `job`: whose nodes these are, if not our own job's.
pub fn srun_line(host: &str, program: &Path, job: Option<&str>) -> RemoteLine {
    // All of the job's cores and memory on that node, not a task's share of them. (--unbuffered and the standard
    // output would do as a link: but that is a terminal, and slow.)
    let words = "srun -N 1 -n 1 --mpi=none --cpu-bind=none --mem=0 --export=ALL --kill-on-bad-exit=0 -w";
    let program = program.display().to_string();
    let mut argv: Vec<String> = words.split(' ').map(String::from).collect();
    argv.extend([host.into(), program.clone(), "__worker".into(), "dial".into()]);
    let of_job = job.map(|job| format!("--jobid={job}"));
    let shown = of_job.as_ref().map_or(String::new(), |of_job| format!("{of_job} "));
    argv.splice(1..1, of_job);
    let by_hand = format!("SLURM_OVERLAP=1 srun {shown}-N 1 -n 1 -w {host} {} --version", quoted(&program));
    RemoteLine { argv, by_hand }
}

/// The line of `ssh`, or of what `HARNESS_RSH` names; the worker speaks on its standard input and output.
pub fn ssh_line(
    host: &str,
    program: &Path,
    patience: Duration,
    env: &dyn Fn(&str) -> Option<String>,
) -> RemoteLine {
    let mut argv = agent(env);
    if env(AGENT_VARIABLE).is_none_or(|agent| agent.trim().is_empty()) {
        // It is to say by itself that the node does not answer, before we lose patience.
        let seconds = (patience.as_secs_f64() * 2.0 / 3.0).ceil().max(1.0);
        // And beside a measurement, when the worker says nothing, that its node is gone: after two minutes.
        let options = format!(
            "-T -x -o BatchMode=yes -o ConnectTimeout={seconds} -o ServerAliveInterval=20 -o ServerAliveCountMax=6"
        );
        argv.extend(options.split(' ').map(String::from));
    }
    argv.push(host.into());
    let set = |name: &&str| Some(format!("{name}={} ", quoted(&env(name)?)));
    let set: String = NEEDED.iter().filter_map(set).collect();
    let set = if set.is_empty() { set } else { format!("env {set}") };
    let program = quoted(&program.display().to_string());
    let by_hand = format!("{} {}", argv.join(" "), quoted(&format!("{set}{program} --version")));
    // What a login shell would be beside the worker is of no use.
    argv.push(format!("exec {set}{program} __worker stdio"));
    RemoteLine { argv, by_hand }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::Node;

    const NOTHING: &dyn Fn(&str) -> Option<String> = &|_| None;

    fn allocation(scheduler: Scheduler, root: &str) -> Allocation {
        let nodes = ["node1", "node2"].map(|host| Node { host: host.into(), cores: Some(4) });
        Allocation { scheduler, job: None, restarts: 0, nodes: nodes.into(), root_host: root.into() }
    }

    #[test]
    fn srun_in_a_job_of_slurm_and_ssh_elsewhere() {
        let way = |scheduler, has: &[&str]| {
            without_mpi(&allocation(scheduler, "node1"), NOTHING, &|name| has.contains(&name))
        };
        assert_eq!(way(Scheduler::Slurm, &["srun", "ssh"]), Some(Start::Srun));
        assert_eq!(way(Scheduler::Slurm, &["ssh"]), Some(Start::Ssh));
        assert_eq!(way(Scheduler::Pbs, &["srun", "ssh"]), Some(Start::Ssh));
        assert_eq!(way(Scheduler::HostFile, &["srun"]), None);
        assert_eq!(way(Scheduler::None, &["srun", "ssh"]), None);
        let mut alone = allocation(Scheduler::HostFile, "node1");
        alone.nodes.truncate(1);
        assert_eq!(without_mpi(&alone, NOTHING, &|_| true), None);
    }

    #[test]
    fn lines_are_what_a_shell_there_takes() {
        let other = srun_line("node2", Path::new("/opt/harness"), Some("17"));
        assert!(other.argv.join(" ").starts_with("srun --jobid=17 -N 1 -n 1 --mpi=none "));
        assert_eq!(
            other.by_hand,
            "SLURM_OVERLAP=1 srun --jobid=17 -N 1 -n 1 -w node2 /opt/harness --version"
        );
        let srun = srun_line("node2", Path::new("/opt/harness"), None);
        assert_eq!(
            srun.argv.join(" "),
            "srun -N 1 -n 1 --mpi=none --cpu-bind=none --mem=0 --export=ALL --kill-on-bad-exit=0 -w node2 \
             /opt/harness __worker dial"
        );
        let ssh = ssh_line("node2", Path::new("/home/o'hara/my harness"), Duration::from_secs(30), NOTHING);
        assert_eq!(
            ssh.argv[..12].join(" "),
            "ssh -T -x -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=20 -o ServerAliveCountMax=6 node2"
        );
        assert_eq!(ssh.argv[12..], [r"exec '/home/o'\''hara/my harness' __worker stdio"]);
    }

    #[test]
    fn another_agent_has_its_own_options_and_the_worker_what_it_needs() {
        let env = |name: &str| match name {
            AGENT_VARIABLE => Some("oarsh -q".to_string()),
            "LD_LIBRARY_PATH" => Some("/opt/mpi/lib:/a b".to_string()),
            _ => None,
        };
        let line = ssh_line("node2", Path::new("/opt/harness"), Duration::from_secs(1), &env);
        let command = "exec env LD_LIBRARY_PATH='/opt/mpi/lib:/a b' /opt/harness __worker stdio";
        assert_eq!(line.argv, ["oarsh", "-q", "node2", command]);
        assert_eq!(
            line.by_hand,
            r"oarsh -q node2 'env LD_LIBRARY_PATH='\''/opt/mpi/lib:/a b'\'' /opt/harness --version'"
        );
    }
}
