//! A worker dies on one of the nodes: the campaign goes on with the others, and gets another one there if it asks.

use crate::{Cluster, HARNESS, has};

const LOSS: &str = r#"
local pool <close> = spawn {}
print("netmod", await(submit(exec { shell = "echo $MPIR_CVAR_CH4_NETMOD.$UCX_LOG_LEVEL", host = "node2" })).stdout)
-- The worker is the parent of the keeper, which starts the shell.
local kill = "kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $$)); sleep 60"
local r = await(submit(exec { shell = "[ -e tried ] && exit; touch tried; " .. kill, not_on = "node1" }))
print("tried again", r.status)
print("killed", await(submit(exec { shell = kill, host = r.host, retries = 0 })).status)
for _, worker in ipairs(pool.workers) do
  local there = submit(exec { cmd = { "hostname" }, host = worker.host, retries = 0 })
  print("then", worker.host, await(there).status)
end
local new = pool:grow()
print("new", #new, #pool.workers)
for _, worker in ipairs(pool.workers) do
  print("again", await(pool:submit(call { function() return require("harness").worker.host end, host = worker.host })))
end
os.exit(7)
"#;

#[test]
fn a_campaign_outlives_workers_that_are_killed() {
    let Some(cluster) = Cluster::up("4") else { return };
    if cluster.flavour == "mpich" {
        return println!("skipped: this MPI cannot spawn");
    }
    cluster.write("loss.lua", LOSS);
    // Over UCX, MPICH 5.0.2 crashes when the other side is gone: harness keeps its own off it, and nobody else's.
    let line = format!("{HARNESS} --fresh loss.lua");
    let output = cluster.job("sbatch -N 3 --exclusive", &line);
    has(&output, "netmod\t.\n", "what harness sets for its own MPI");
    has(&output, "tried again\tok", "a task with a retry");
    has(&output, "killed\tlost_worker", "a task without one");
    has(&output, "then\tnode1\tok", "the root's own node");
    has(&output, "new\t2\t3", "the workers that replace them");
    for node in ["node1", "node2", "node3"] {
        has(&output, &format!("again\t{node}"), "calls on all nodes");
    }
    has(&output, "job ended with 7", "the script's exit code");
}
