//! State in somebody's shared library on every node of a job, found by nodes that share no cache.

use super::*;

#[test]
fn tadashi_searches_on_three_nodes_with_a_cache_each() {
    // One MPI will do: all of it is above MPI.
    if std::env::var("HARNESS_MPI_FLAVOUR").is_ok_and(|flavour| flavour != "openmpi") {
        return;
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/tadashi");
    let asked = Command::new(tools).arg("--there").output().unwrap();
    if !asked.status.success() {
        assert!(std::env::var_os("HARNESS_CI").is_none(), "CI must have TADASHI (tools/tadashi)");
        println!("skipped: no TADASHI (tools/tadashi)");
        return;
    }
    let python = text(&asked).trim().to_owned();
    let Some(cluster) = Cluster::up("4") else { return };
    let folder = cluster.folder.path().display();
    let own_cache =
        format!("#!/bin/sh\nexport HARNESS_CACHE={folder}/cache-$(hostname)\nexec {HARNESS} \"$@\"\n");
    let worker = cluster.write("worker", &own_cache).display().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/campaigns/tadashi/search.lua");
    let line = format!(
        "HARNESS_WORKER={worker} {worker} --seed 7 --journal {folder}/journal {script} --python={python} --variants=6 --size=96 --runs=2"
    );
    let output = cluster.job("sbatch -N 3 --ntasks-per-node=1 -c 4", &line);
    for expected in [
        "6 of 6 walks have a figure; the best is walk ",
        "swapped    illegal        ",
        "forced     verify_failed  ",
        "crashing   signal         ",
        "hanging    timeout        ",
        "session    signal         ",
        "session    timeout        ",
        "session    error          ",
        &format!("{ENDED} 0"),
    ] {
        assert!(output.contains(expected), "no `{expected}` in {output}");
    }
    // What Python imports was put there by each node itself.
    let nodes: Vec<String> =
        ["node1", "node2", "node3"].into_iter().map(|node| format!("cache-{node}")).collect();
    let found = nodes.iter().filter(|cache| cluster.path(cache).join("python").is_dir()).count();
    assert_eq!(found, 3, "{output}");
}
