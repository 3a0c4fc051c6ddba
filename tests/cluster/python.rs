//! `HarnessExecutor` on three nodes: where callables land, and what becomes of them when a node is lost.

use std::path::Path;
use std::process::Command;

use super::{Cluster, ENDED, HARNESS, has};

const SCRIPT: &str = include_str!("../python/scripts/on_nodes.py");

/// Runs the script with workers that start so.
fn on_nodes(cluster: &Cluster, start: &str) {
    cluster.write("on_nodes.py", SCRIPT);
    let bin = Path::new(HARNESS).parent().unwrap().display();
    let line = format!(
        "export PATH={bin}:$PATH HARNESS_LIMITS=worker_silence=300; \
         export PYTHONPATH=$(harness python-path); python3 on_nodes.py {start}"
    );
    let output = cluster.job("sbatch -N 3 --exclusive", &line);
    for expected in [
        "workers [('node1', 2), ('node2', 2), ('node3', 2)]",
        "hosts ['node1', 'node1', 'node2', 'node2', 'node3', 'node3']",
        "words {'ready'}",
        "the same processes True",
        "raised ValueError('no such luck') True True",
        "map 5050",
        "tried again 1 True",
        "lost [('lost_worker', True)] 2",
        "others {True}",
        "then True",
        "done",
        &format!("{ENDED} 0"),
    ] {
        has(&output, expected, start);
    }
    for node in ["node1", "node2", "node3"] {
        cluster.await_nothing_on(node, start);
    }
}

#[test]
fn an_executor_has_all_nodes_and_outlives_one() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("HARNESS_CI").is_none(), "CI must have python3");
        return println!("skipped: there is no python3");
    }
    let Some(cluster) = Cluster::up("4") else { return };
    // Spawned by MPI, or through srun where that cannot spawn and in builds without MPI.
    on_nodes(&cluster, "auto");
    on_nodes(&cluster, "srun");
}
