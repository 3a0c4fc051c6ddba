//! From an allocation and a wish to a list: which worker on which host, started how.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Allocation, AllocationError, same_host};
use crate::model::human::count;

/// More workers on one node are a slip of the keyboard.
const MOST_PER_NODE: u32 = 1024;

/// How workers are started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// `local` on the root's node, `spawn` elsewhere, or what there is without MPI; `static` where mpirun started
    /// several processes.
    #[default]
    Auto,
    /// Children of the root.
    Local,
    /// MPI_Comm_spawn, on the root's node too.
    Spawn,
    /// The ranks mpirun started beside the root.
    Static,
    /// Slurm's srun; `local` on the root's node.
    Srun,
    /// ssh; `local` on the root's node.
    Ssh,
}

impl Start {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Start::Auto, Start::Local, Start::Spawn, Start::Static, Start::Srun, Start::Ssh];

    /// The word the script uses.
    pub fn word(self) -> &'static str {
        match self {
            Start::Auto => "auto",
            Start::Local => "local",
            Start::Spawn => "spawn",
            Start::Static => "static",
            Start::Srun => "srun",
            Start::Ssh => "ssh",
        }
    }

    /// What the script's word means.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|start| start.word() == word)
    }

    /// Does it say that no MPI is wanted?
    pub fn spares_mpi(self) -> bool {
        matches!(self, Start::Local | Start::Srun | Start::Ssh)
    }
}

/// What the root's own node does, which has the root to run besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootNode {
    /// A worker like any other, but measurements only where other nodes are not enough.
    #[default]
    Auto,
    /// A worker like any other.
    Measure,
    /// No worker.
    Spare,
}

/// What `spawn{…}` asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolRequest {
    /// Workers in all; as the allocation has if not said.
    pub workers: Option<u32>,
    /// Workers on each node; 1 if not said.
    pub per_node: Option<u32>,
    /// Only these hosts.
    pub hosts: Option<Vec<String>>,
    /// Not these, as long as there are others.
    pub shunned: Vec<String>,
    /// How.
    pub start: Start,
    /// What becomes of the root's own node.
    pub root_node: RootNode,
}

/// One worker to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedWorker {
    /// Where.
    pub host: String,
    /// `Local`, `Spawn`, `Srun` or `Ssh`.
    pub start: Start,
}

/// Which worker goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order of start.
    pub workers: Vec<PlannedWorker>,
}

/// Plans the workers of a pool. `Start::Static` is not planned here: mpirun has placed those already.
pub fn plan(allocation: &Allocation, request: &PoolRequest) -> Result<Plan, AllocationError> {
    more(allocation, request, &[])
}

/// Plans further workers for a pool that has some on the hosts `there`, each named once for each: first where there are
/// the fewest. What does not say how many, nor where, is about the nodes that have none.
pub fn more(
    allocation: &Allocation,
    request: &PoolRequest,
    there: &[String],
) -> Result<Plan, AllocationError> {
    let mut hosts = hosts_for(allocation, request)?;
    let barred = left_out(request, &hosts);
    let on = |host: &str| there.iter().filter(|other| same_host(other, host)).count() as u32;
    if request.workers.is_none() && request.per_node.is_none() && request.hosts.is_none() {
        let all = listing(&hosts);
        hosts.retain(|host| on(host) == 0);
        if hosts.is_empty() {
            return refuse(format!(
                "every node has a worker already ({all}{barred}): say how many more, `workers = N` or `per_node = N`"
            ));
        }
    }
    refuse_absurd(request, hosts.len())?;
    let per_node = match (request.per_node, request.workers) {
        (Some(per_node), _) => per_node.max(1),
        (None, Some(workers)) if there.is_empty() => workers.max(1).div_ceil(hosts.len() as u32),
        (None, Some(workers)) => workers.max(1),
        (None, None) => 1,
    };
    let places = (hosts.len() as u32).saturating_mul(per_node);
    let wanted = request.workers.unwrap_or(places);
    if wanted > places {
        return refuse(format!(
            "workers={wanted} with per_node={per_node} needs {} nodes, the allocation has {}: {}{barred}",
            wanted.div_ceil(per_node),
            hosts.len(),
            listing(&hosts)
        ));
    }
    // Round by round, so that fewer workers than places spread over all nodes.
    let mut next: BTreeSet<(u32, usize, u32)> =
        hosts.iter().enumerate().map(|(at, host)| (on(host), at, 0)).collect();
    let mut workers = Vec::with_capacity(wanted as usize);
    while workers.len() < wanted as usize
        && let Some((load, at, added)) = next.pop_first()
    {
        let local = same_host(hosts[at], &allocation.root_host) && request.start != Start::Spawn;
        let start = match request.start {
            _ if local => Start::Local,
            start @ (Start::Srun | Start::Ssh) => start,
            Start::Auto | Start::Local | Start::Spawn | Start::Static => Start::Spawn,
        };
        workers.push(PlannedWorker { host: hosts[at].to_string(), start });
        if added + 1 < per_node {
            next.insert((load + 1, at, added + 1));
        }
    }
    Ok(Plan { workers })
}

/// Nodes that are shunned, where they are.
fn left_out(request: &PoolRequest, hosts: &[&str]) -> String {
    let out = |bad: &&String| !hosts.iter().any(|host| same_host(host, bad));
    let names: Vec<&str> = request.shunned.iter().filter(out).map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; in quarantine: {}", names.join(", ")) }
}

/// The nodes a pool may have workers on.
fn hosts_for<'a>(allocation: &'a Allocation, request: &PoolRequest) -> Result<Vec<&'a str>, AllocationError> {
    let on_root = |host: &str| same_host(host, &allocation.root_host);
    let mut hosts: Vec<&str> = allocation.nodes.iter().map(|node| node.host.as_str()).collect();
    if let Some(wanted) = &request.hosts {
        if let Some(unknown) = wanted.iter().find(|w| !hosts.iter().any(|host| same_host(host, w))) {
            return refuse(format!(
                "host `{unknown}` is not in the allocation, which has {}",
                listing(&hosts)
            ));
        }
        hosts.retain(|host| wanted.iter().any(|w| same_host(host, w)));
    }
    if request.root_node == RootNode::Spare {
        hosts.retain(|host| !on_root(host));
        if hosts.is_empty() {
            return refuse(format!(
                "root_node=\"spare\" keeps workers off the root's own node {}, and there is no other node to have \
                 them: ask for more nodes, or leave it out",
                allocation.root_host
            ));
        }
    }
    if request.start == Start::Local {
        hosts.retain(|host| on_root(host));
    }
    let good = |host: &&str| !request.shunned.iter().any(|bad| same_host(bad, host));
    if hosts.iter().any(good) {
        hosts.retain(good);
    }
    if hosts.is_empty() {
        return refuse(format!(
            "start=\"local\" puts workers on the root's node {}, which is not among the nodes asked for",
            allocation.root_host
        ));
    }
    Ok(hosts)
}

/// Many more workers on a node than it can have are not tried.
fn refuse_absurd(request: &PoolRequest, hosts: usize) -> Result<(), AllocationError> {
    let (each, asked) = match (request.per_node, request.workers) {
        (Some(per_node), _) => (per_node, format!("per_node={per_node} is too many")),
        (None, Some(workers)) => {
            let each = workers.div_ceil(hosts as u32);
            (each, format!("workers={workers} on {} is {each} on a node", count(hosts, "node")))
        }
        (None, None) => return Ok(()),
    };
    if each <= MOST_PER_NODE {
        return Ok(());
    }
    refuse(format!("{asked}, and {MOST_PER_NODE} is the most: a worker has slots, one for each core"))
}

fn refuse<T>(text: String) -> Result<T, AllocationError> {
    Err(AllocationError::Request(text))
}

fn listing(hosts: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut text = hosts.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if hosts.len() > SHOWN {
        text.push_str(&format!(" and {} more", hosts.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::{Node, Scheduler};

    fn three_nodes() -> Allocation {
        let nodes = ["node1", "node2", "node3"].map(|host| Node { host: host.into(), cores: Some(4) });
        Allocation {
            scheduler: Scheduler::Slurm,
            job: None,
            restarts: 0,
            nodes: nodes.into(),
            root_host: "node1.cluster".into(),
        }
    }

    fn shown(request: PoolRequest) -> Result<String, String> {
        let plan = plan(&three_nodes(), &request).map_err(|error| error.to_string())?;
        let words = plan.workers.iter().map(|w| format!("{}:{}", w.host, w.start.word()));
        Ok(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_root_s_node_is_local_and_the_others_are_spawned() {
        assert_eq!(shown(PoolRequest::default()).unwrap(), "node1:local node2:spawn node3:spawn");
        let all = PoolRequest { start: Start::Spawn, ..Default::default() };
        assert_eq!(shown(all).unwrap(), "node1:spawn node2:spawn node3:spawn");
        let ssh = PoolRequest { start: Start::Ssh, ..Default::default() };
        assert_eq!(shown(ssh).unwrap(), "node1:local node2:ssh node3:ssh");
    }

    #[test]
    fn workers_spread_before_they_pile_up() {
        let four = PoolRequest { workers: Some(4), ..Default::default() };
        assert_eq!(shown(four).unwrap(), "node1:local node2:spawn node3:spawn node1:local");
        let chosen = PoolRequest { hosts: Some(vec!["node3".into()]), ..Default::default() };
        assert_eq!(shown(chosen).unwrap(), "node3:spawn");
    }

    #[test]
    fn nodes_in_quarantine_are_left_out_as_long_as_there_are_others() {
        let shunned = |hosts: &[&str]| hosts.iter().map(|host| host.to_string()).collect::<Vec<_>>();
        let one = PoolRequest { shunned: shunned(&["node2.cluster"]), ..Default::default() };
        assert_eq!(shown(one.clone()).unwrap(), "node1:local node3:spawn");
        let named = PoolRequest { hosts: Some(vec!["node2".into()]), ..one.clone() };
        assert_eq!(shown(named).unwrap(), "node2:spawn");
        let all = PoolRequest { shunned: shunned(&["node1", "node2", "node3"]), ..Default::default() };
        assert_eq!(shown(all).unwrap(), "node1:local node2:spawn node3:spawn");
        let three = PoolRequest { workers: Some(3), per_node: Some(1), ..one };
        let why = shown(three).unwrap_err();
        assert!(
            why.contains("the allocation has 2: ") && why.ends_with("; in quarantine: node2.cluster"),
            "{why}"
        );
    }

    #[test]
    fn the_root_s_node_is_spared_where_there_are_others() {
        let spare = PoolRequest { root_node: RootNode::Spare, ..Default::default() };
        assert_eq!(shown(spare.clone()).unwrap(), "node2:spawn node3:spawn");
        let here = PoolRequest { hosts: Some(vec!["node1".into()]), ..spare.clone() };
        assert_eq!(
            shown(here).unwrap_err(),
            "root_node=\"spare\" keeps workers off the root's own node node1.cluster, and there is no other node to \
             have them: ask for more nodes, or leave it out"
        );
        let local = PoolRequest { start: Start::Local, ..spare };
        assert!(shown(local).unwrap_err().contains("start=\"local\""));
    }

    #[test]
    fn a_pool_grows_where_it_has_the_fewest_workers() {
        let grown = |request: PoolRequest, there: &[&str]| {
            let there: Vec<String> = there.iter().map(|host| host.to_string()).collect();
            let plan = more(&three_nodes(), &request, &there).map_err(|error| error.to_string())?;
            let words = plan.workers.iter().map(|w| format!("{}:{}", w.host, w.start.word()));
            Ok::<_, String>(words.collect::<Vec<_>>().join(" "))
        };
        let any = PoolRequest::default;
        assert_eq!(grown(any(), &["node1.cluster", "node3"]).unwrap(), "node2:spawn");
        assert_eq!(grown(any(), &[]).unwrap(), "node1:local node2:spawn node3:spawn");
        assert_eq!(
            grown(any(), &["node1", "node2", "node3"]).unwrap_err(),
            "every node has a worker already (node1, node2, node3): say how many more, `workers = N` or \
             `per_node = N`"
        );
        let two = PoolRequest { workers: Some(3), ..any() };
        assert_eq!(grown(two, &["node1", "node1", "node3"]).unwrap(), "node2:spawn node2:spawn node3:spawn");
        let each = PoolRequest { per_node: Some(1), ..any() };
        assert_eq!(grown(each, &["node1"]).unwrap(), "node2:spawn node3:spawn node1:local");
        let there = PoolRequest { hosts: Some(vec!["node3".into()]), ..any() };
        assert_eq!(grown(there, &["node3"]).unwrap(), "node3:spawn");
    }

    #[test]
    fn what_does_not_fit_is_said_with_the_numbers() {
        let too_many = PoolRequest { workers: Some(7), per_node: Some(2), ..Default::default() };
        assert_eq!(
            shown(too_many).unwrap_err(),
            "workers=7 with per_node=2 needs 4 nodes, the allocation has 3: node1, node2, node3"
        );
        let unknown = PoolRequest { hosts: Some(vec!["node9".into()]), ..Default::default() };
        assert!(shown(unknown).unwrap_err().contains("host `node9` is not in the allocation"));
        let absurd =
            |workers, per_node| shown(PoolRequest { workers, per_node, ..Default::default() }).unwrap_err();
        let rest = "and 1024 is the most: a worker has slots, one for each core";
        assert_eq!(
            absurd(Some(1_000_000), None),
            format!("workers=1000000 on 3 nodes is 333334 on a node, {rest}")
        );
        assert_eq!(absurd(None, Some(u32::MAX)), format!("per_node={} is too many, {rest}", u32::MAX));
    }
}
