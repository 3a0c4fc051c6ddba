//! Several nodes: their GPUs, who may run where, and asking from one of them how far the campaign on another is.

use crate::{Cluster, HARNESS, has};

/// The ranks are shells: nothing of MPI is needed to see what a launcher hands on.
const GPUS: &str = r#"
local pool <close> = spawn { hosts = { "node1", "node2" }, slots = 4, gpus = 2 }
local function hold(host, file, began)
  return submit(exec { host = host, gpus = 1, shell = began .. "until [ -e " .. file .. " ]; do sleep 0.1; done", timeout = "50 s" })
end
-- Of node1 the first GPU is taken, of node2 the second.
local a = hold("node1", "end", "")
local b, c = hold("node2", "began", ""), hold("node2", "end", "touch began; ")
await(b)
local r = await(submit(exec { cmd = { "sh", "-c", "echo $(uname -n) sees $CUDA_VISIBLE_DEVICES" }, nodes = 2, ranks = 4,
  gpus = 1, exclusive = false, launcher = "mpiexec", timeout = "40 s" }))
print(r.status, r.reason)
for line in r.stdout:gmatch "[^\n]+" do print("rank on " .. line) end
await(submit(exec { cmd = { "touch", "end" } }))
wait { a, c }

for _ = 1, 3 do
  local on = await(submit(exec { cmd = { "uname", "-n" }, host = "node2" })).stdout
  local off = await(submit(exec { cmd = { "uname", "-n" }, not_on = "node2" })).stdout
  print("on and off", (on .. off):gsub("\n", " "))
end
"#;

#[test]
fn ranks_see_the_gpus_of_their_node_and_tasks_go_where_they_may() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("gpus.lua", GPUS);
    let output = cluster.job("sbatch -N 3 --exclusive", &format!("{HARNESS} --fresh gpus.lua"));
    has(&output, "ok\tnil", "the gang");
    for (line, what) in [("rank on node1 sees 1\n", "node1"), ("rank on node2 sees 0\n", "node2")] {
        assert_eq!(output.matches(line).count(), 2, "{what}: {output}");
    }
    assert_eq!(output.matches("on and off\tnode2 node1 ").count(), 3, "{output}");
}

#[test]
fn a_campaign_is_asked_on_its_host_and_elsewhere_it_is_said_where() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write(
        "app.lua",
        r#"
local pool <close> = spawn { slots = 4 }
local hold = submit(exec { name = "hold", host = "node3", shell = "touch began; until [ -e go ]; do sleep 0.1; done", timeout = "50 s" })
local m = submit(measure { name = "m", host = "node3", cmd = { "true" }, runs = 1 })
wait { hold, m }
"#,
    );
    let line = format!(
        "{HARNESS} -q --fresh app.lua &
until [ -e began ]; do sleep 0.1; done
for try in 1 2 3 4 5 6 7 8 9; do
  {HARNESS} status app.lua > said; grep -q 'hold (task 0), for' said && break
  sleep 0.1
done
cat said
srun --overlap --mpi=none -N1 -n1 -w node2 {HARNESS} status app.lua
touch go
wait"
    );
    let output = cluster.job("sbatch -N 3 --exclusive", &line);
    for expected in [
        "app.lua: running for ",
        " on node1 (pid ",
        ", Slurm job ",
        "worker 0 on node1 (4 slots): nothing runs",
        "on node3 (4 slots): 1 run\n  hold (task 0), for ",
        "1 task waiting for their node to be cleared: m (task 1)\n  node3 is being cleared for it; there runs hold (task 0)",
    ] {
        has(&output, expected, "on its host");
    }
    has(
        &output,
        "on node1 runs the campaign, and answers on its own host only: `srun --overlap --jobid=",
        "elsewhere",
    );
}

/// Programs that take as long as they say, and on one node twice as long for real.
const BLOCKS: &str = r#"
local pool <close> = spawn { slots = 1 }
local function takes(s) return { cmd = { "sh", "slow", s } } end
local options = { name = "naps", blocks = 3, max_rounds = 10, base = takes "0.20", double = takes "0.10", same = takes "0.20",
  crash = { shell = "test $(uname -n) = node1 || { echo no >&2; exit 3; }" }, timeout = "60 s" }
local ok, why = pcall(function() options.blocks = 4; submit(compare(options)) end)
print("four", why)
options.blocks = 3
local c = await(submit(compare(options)))
print(c)
print("slow nodes are", table.concat(c.slow_nodes, " "))
for _, host in ipairs { "node1", "node2", "node3" } do print(host, c.nodes[host].host, c.verdicts.double.nodes[host].verdict) end
"#;

const SLOW: &str = "case $(uname -n) in node3) sleep $1;; esac\nsleep $1\n";

#[test]
fn a_comparison_on_three_nodes_names_the_slow_one() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("blocks.lua", BLOCKS);
    cluster.write("slow", SLOW);
    let output = cluster.job("sbatch -N 3 --exclusive", &format!("{HARNESS} --fresh blocks.lua"));
    has(&output, "4 nodes are asked for, and pool 0 has 3 (", "too many");
    has(&output, "naps double: faster, ", "the verdict of all");
    has(&output, " rounds on 3 nodes", "all nodes");
    has(&output, "\n  naps: slow nodes: node3\n", "the slow node in the table");
    has(&output, "slow nodes are\tnode3\n", "the slow node in Lua");
    for node in ["node1", "node2", "node3"] {
        has(&output, &format!("{node}\t{node}\tfaster\n"), "each by itself");
    }
    has(&output, "rounds on 1 node; not on node2: nonzero_exit", "where a variant failed");
    // Run again, all come from the journal, and the same follows.
    let again = cluster.job("sbatch -N 3 --exclusive", &format!("{HARNESS} blocks.lua"));
    has(&again, "3 tasks (3 from the journal)", "nothing is done again");
    has(&again, "slow nodes are\tnode3\n", "the slow node again");
}
