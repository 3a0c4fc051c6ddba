//! A worker that came up on another node than it was to: what is said of it.
//!
//! Words only: whether that is an error or a warning, the pool knows.

use std::net::IpAddr;

use super::spawn::{Launcher, Mpi};
use super::workers::Worker;
use crate::allocation::ladder::{Family, LAUNCHED, ranks};
use crate::allocation::{Scheduler, Start, same_host};

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
        let launched_by = std::env::var(LAUNCHED).ok();
        let launched_by = launched_by.as_deref();
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
        let anyhow = "To go on with workers wherever they are: spawn { placement = \"warn\" }";
        let advice = [Some(why), self.other_name(planned, came), Some(self.instead(family, launched_by))];
        WrongPlace { fact, advice: advice.into_iter().flatten().chain([anyhow.into()]).collect() }
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
