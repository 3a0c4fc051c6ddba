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
