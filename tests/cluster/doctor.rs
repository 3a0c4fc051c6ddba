//! `harness doctor` in a job of three nodes, and on the login node.

use serde_json::Value;

use super::{Cluster, HARNESS, finish, has, text};

#[test]
fn in_a_job_every_node_is_looked_at() {
    let Some(cluster) = Cluster::up("4") else { return };
    let line = format!("{HARNESS} doctor --json > doctor.json; echo doctor said $?");
    let output = cluster.job("sbatch -N 3 --exclusive", &line);
    has(&output, "doctor said 0", "doctor");
    let report = std::fs::read_to_string(cluster.path("doctor.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let workers = report["workers"].as_array().unwrap();
    let hosts: Vec<_> = workers.iter().filter_map(|worker| worker["node"]["host"].as_str()).collect();
    assert_eq!(hosts, ["node1", "node2", "node3"], "{report:#}");
    assert!(workers.iter().all(|worker| worker["same_folder"] == true), "{report:#}");
    assert_eq!(report["surroundings"]["plan"].as_array().map(Vec::len), Some(3), "{report:#}");
}

#[test]
fn a_folder_that_only_one_node_has_is_found() {
    let Some(cluster) = Cluster::up("4") else { return };
    if cluster.flavour != "openmpi" {
        return; // Hydra itself ends by a failed assertion when a node has no such folder
    }
    // Each node has a /dev/shm of its own.
    let line = format!("mkdir -p /dev/shm/mine && cd /dev/shm/mine && {HARNESS} doctor; echo doctor said $?");
    let output = cluster.job("sbatch -N 3 --exclusive", &line);
    has(&output, "1. /dev/shm/mine is another folder, or none, on node2, node3:", "doctor");
    has(&output, "doctor said 3", "doctor");
}

#[test]
fn on_a_login_node_it_says_how_to_get_a_job() {
    let Some(cluster) = Cluster::up("4") else { return };
    let output = finish(&mut cluster.command(&["run", HARNESS, "doctor"]));
    let said = text(&output);
    has(&said, "note      sbatch is here, and this is no job of it", "doctor");
    assert!(output.status.success(), "{said}");
}
