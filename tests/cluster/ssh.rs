//! Nodes that can be reached by ssh, and a list of them: no batch system at all.

use crate::applications::PLACES;
use crate::{Cluster, HARNESS, has};

const SCRIPT: &str = r#"
local pool <close> = spawn {}
print(pool)
for _, worker in ipairs(pool.workers) do
  local r = await(submit(exec { shell = "echo $(hostname) $EXPORTED", host = worker.host }))
  print("ran on", r.stdout)
end
local r = await(submit(exec { cmd = { "./places" }, nodes = 2, ranks = 4, host = "node2", timeout = "40 s" }))
print("gang", r.status, r.reason)
for rank, host in (r.stdout or ""):gmatch "rank (%d) of 4 on (node%d)" do print("rank", rank, host == r.hosts[1 + rank // 2]) end
"#;

#[test]
fn a_list_of_hosts_and_ssh_are_enough() {
    let Some(cluster) = Cluster::up("4") else { return };
    let Some(bin) = cluster.with_sshd() else { return };
    cluster.compile("places", PLACES);
    cluster.write("ssh.lua", SCRIPT);
    cluster.write("hosts", "node1 slots=4\nnode2 slots=4\nnode3 slots=4\n");
    let output = cluster.on_node1(&bin, &format!("{HARNESS} --fresh --hostfile hosts ssh.lua"));
    has(&output, "3 workers on 3 nodes (node1, node2, node3)", "workers");
    for node in ["node1", "node2", "node3"] {
        has(&output, &format!("ran on\t{node} yes"), "a program on each, with the environment of the first");
    }
    if cluster.finalizes() {
        has(&output, "gang\tok\tnil", "an MPI application");
        for rank in 0..4 {
            has(&output, &format!("rank\t{rank}\ttrue"), "its ranks");
        }
        has(&output, "job ended with 0", "the exit code");
    }
}

/// The names in the list are not those by which the nodes call themselves.
#[test]
fn another_name_of_a_host_is_explained_or_told() {
    let Some(cluster) = Cluster::up("4") else { return };
    let Some(bin) = cluster.with_sshd() else { return };
    if cluster.flavour == "mpich" {
        return println!("skipped: this MPI cannot spawn, and nobody plans where ranks are");
    }
    cluster.write("hosts", "10.99.0.11\n10.99.0.12\n");
    cluster.write("strict.lua", "spawn {}\n");
    let run = |script| cluster.on_node1(&bin, &format!("{HARNESS} --fresh --hostfile hosts {script}"));
    let output = run("strict.lua");
    for part in [
        "harness: strict.lua:1: spawn: worker 1 on 10.99.0.12 is lost: wrong placement: worker 1 was to start on \
         10.99.0.12 and came up on node2\n",
        " was given that node's name, and did not go by it (launcher: ",
        ", through which harness started itself).\n  If the two are one host, write its own name, node2, into the list \
         of hosts.\n  Start the workers as ranks, each on its node: `",
        " harness strict.lua`\n  To go on with workers wherever they are: spawn { placement = \"warn\" }\n",
        "job ended with 3",
    ] {
        has(&output, part, "refused");
    }
    cluster.write("warn.lua", "local pool <close> = spawn { placement = 'warn' }\nprint(pool)\n");
    let output = run("warn.lua");
    has(&output, "2 workers on 2 nodes (node1, node2)", "told");
    has(
        &output,
        "harness: wrong placement: worker 1 was to start on 10.99.0.12 and came up on node2\n",
        "told",
    );
    has(&output, "job ended with 0", "told");
}
