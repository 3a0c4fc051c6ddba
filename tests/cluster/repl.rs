//! `harness repl` inside of a job: what is typed runs on all its nodes.

use crate::{Cluster, HARNESS, has};

#[test]
fn what_is_typed_runs_on_the_nodes_of_the_job() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write(
        "lines",
        "pool = spawn { per_node = 1 }\n\
         tasks = {}\n\
         for i, worker in ipairs(pool.workers) do tasks[i] = submit(exec { cmd = { 'hostname' }, host = worker.host }) end\n\
         for i, f in ipairs(tasks) do print('ran on ' .. await(f).stdout) end\n",
    );
    let output = cluster.job("sbatch -N 3 --exclusive", &format!("{HARNESS} repl < lines"));
    for node in ["node1", "node2", "node3"] {
        has(&output, &format!("ran on {node}\n"), node);
    }
    has(&output, "job ended with 0", "the session");
}
