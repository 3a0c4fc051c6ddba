//! A worker that came up on another node than it was to, or not at all: what is said of it.
//!
//! Words only: whether that is an error or a warning, the pool knows.

use std::net::IpAddr;

use super::driver::Driver;
use super::spawn::{Launcher, Mpi};
use super::workers::{Stage, Worker};
use crate::allocation::ladder::{Family, LAUNCHED, ranks};
use crate::allocation::{Scheduler, Start, same_host};
use crate::model::WorkerId;
use crate::model::human::duration;

const ANYHOW: &str = "To go on with workers wherever they are: spawn { placement = \"warn\" }";

/// What is to be said of it.
pub(super) struct WrongPlace {
    /// Planned and come.
    pub(super) fact: String,
    /// A line each: why, and what to type instead.
    advice: Vec<String>,
}

impl std::fmt::Display for WrongPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.fact)?;
        self.advice.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Launcher {
    /// What was planned, what came, why, and what to type instead.
    pub(super) fn wrong_place(&self, worker: &Worker, came: &str) -> WrongPlace {
        let planned = &worker.planned_host;
        let fact =
            format!("wrong placement: worker {} was to start on {planned} and came up on {came}", worker.id);
        if worker.start == Start::Local {
            let why = "It is a child of the root: the name of this host has changed since the root started. Run the \
                       same command again";
            return WrongPlace { fact, advice: vec![why.into()] };
        }
        if let Start::Srun | Start::Ssh = worker.start {
            let how = worker.start.word();
            let why = format!("{how} was given that name, and the node calls itself {came}.");
            let anyhow = ANYHOW.to_string();
            return WrongPlace {
                fact,
                advice: [Some(why), self.other_name(planned, came), Some(anyhow)]
                    .into_iter()
                    .flatten()
                    .collect(),
            };
        }
        let launched_by = std::env::var(LAUNCHED).ok();
        WrongPlace { fact, advice: self.advice(planned, came, launched_by.as_deref()) }
    }

    /// `launched_by`: the launcher through which harness started itself.
    fn advice(&self, planned: &str, came: &str, launched_by: Option<&str>) -> Vec<String> {
        let (library, family) = match &self.mpi {
            Mpi::Ready(library) => (library.as_str(), Family::of(library)),
            Mpi::Absent | Mpi::Idle => ("MPI", None),
        };
        let library = library.split(',').next().unwrap_or_default();
        let launcher = match launched_by {
            Some(path) => format!("{path}, through which harness started itself"),
            None => "the mpirun that harness was started with".into(),
        };
        let why =
            format!("{library} was given that node's name, and did not go by it (launcher: {launcher}).");
        let lines = [Some(why), self.other_name(planned, came), Some(self.instead(family, launched_by))];
        lines.into_iter().flatten().chain([ANYHOW.into()]).collect()
    }

    /// An address, or what somebody wrote into a list of hosts, may be another name of the node it came up on.
    fn other_name(&self, planned: &str, came: &str) -> Option<String> {
        let written = self.allocation.scheduler == Scheduler::HostFile || planned.parse::<IpAddr>().is_ok();
        written
            .then(|| format!("If the two are one host, write its own name, {came}, into the list of hosts."))
    }

    /// Ranks, whose nodes the launcher is told itself.
    fn instead(&self, family: Option<Family>, launched_by: Option<&str>) -> String {
        let script = &self.script;
        let plain = match launched_by.is_none() && self.allocation.scheduler != Scheduler::None {
            true => {
                format!("Leave mpirun out, plain `harness {script}` tells it all nodes by name; or start")
            }
            false => "Start".into(),
        };
        let here = |host: &&str| same_host(host, &self.allocation.root_host);
        let mut hosts: Vec<&str> = self.allocation.nodes.iter().map(|node| &*node.host).collect();
        hosts.sort_by_key(|host| !here(host));
        let line = match family {
            Some(family) => {
                ranks(family, self.allocation.scheduler, &hosts, launched_by.unwrap_or("mpirun")).join(" ")
            }
            None => format!("mpirun -n {}", hosts.len() + 1),
        };
        format!("{plain} the workers as ranks, each on its node: `{line} harness {script}`")
    }
}

impl Driver {
    /// Those that had their time and are not ready; what is known of the first.
    pub(super) fn no_word_from(&self, arriving: &[WorkerId]) -> String {
        let silent = |worker: &&Worker| !matches!(worker.stage, Stage::Ready(_));
        let mut missing: Vec<&Worker> =
            arriving.iter().filter_map(|id| self.workers.get(id)).filter(silent).collect();
        // Those that spoke may only wait for the others.
        if missing.iter().any(|worker| worker.hello().is_none()) {
            missing.retain(|worker| worker.hello().is_none());
        }
        let names: Vec<String> =
            missing.iter().map(|worker| format!("worker {} on {}", worker.id, worker.host())).collect();
        let limit = duration(self.limits().start.as_secs_f64());
        let advice = missing.iter().find_map(|worker| Some(worker.said.as_ref()?.advice()));
        format!("no word within {limit} from {}{}", names.join(", "), advice.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::{Allocation, Node};
    use crate::model::Limits;
    use crate::root::guard::Guard;

    fn advice(scheduler: Scheduler, mpi: &str, launched_by: Option<&str>) -> String {
        let nodes = ["node1", "node2"].map(|host| Node { host: host.into(), cores: Some(4) });
        let root_host = "node2".into();
        let launcher = Launcher {
            allocation: Allocation { scheduler, job: None, restarts: 0, nodes: nodes.into(), root_host },
            mpi: Mpi::Ready(mpi.into()),
            guard: Guard::start(None, None).unwrap().into(),
            limits: Limits::default(),
            program: None,
            script: "c.lua".into(),
        };
        launcher.advice("node1", "node2", launched_by).join("\n")
    }

    #[test]
    fn it_says_what_to_type_for_the_way_harness_was_started() {
        let plain = advice(Scheduler::Slurm, "MPICH Version: 5.0.2", Some("/x/mpirun"));
        assert_eq!(
            plain,
            "MPICH Version: 5.0.2 was given that node's name, and did not go by it (launcher: /x/mpirun, through which \
             harness started itself).\n\
             Start the workers as ranks, each on its node: `srun --overlap --overcommit --mpi=pmi2 -m arbitrary -n 3 -w \
             node2,node2,node1 harness c.lua`\n\
             To go on with workers wherever they are: spawn { placement = \"warn\" }"
        );
        let by_hand = advice(Scheduler::Slurm, "Open MPI v4.1.4, package: Debian", None);
        assert!(by_hand.starts_with("Open MPI v4.1.4 was given that node's name, and did not go by it (launcher: the mpirun that harness was started with).\n"), "{by_hand}");
        let line = "Leave mpirun out, plain `harness c.lua` tells it all nodes by name; or start the workers as ranks, each \
                    on its node: `mpirun --oversubscribe -n 3 --host node2:2,node1:1 harness c.lua`\n";
        assert!(by_hand.contains(line), "{by_hand}");
        let listed = advice(Scheduler::HostFile, "MPICH Version: 5.0.2", Some("/x/mpirun"));
        assert!(
            listed
                .contains("\nIf the two are one host, write its own name, node2, into the list of hosts.\n"),
            "{listed}"
        );
        assert!(listed.contains("`/x/mpirun -n 3 -hosts node2:2,node1:1 harness c.lua`"), "{listed}");
    }
}
