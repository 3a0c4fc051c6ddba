//! Nodes of a second job join a pool: workers start there by srun, gangs stay inside one job, and the end of that job takes
//! nothing along but its own workers.

use crate::remote::SRUN;
use crate::{Cluster, HARNESS, finish, has, text};

/// `arg`: the second job, one that pends, one of another user.
const JOINS: &str = r#"
local pool <close> = spawn {}
print("before", pool)
for _, job in ipairs { "4711", arg[2], arg[3], "abc", os.getenv "SLURM_JOB_ID" } do
  print("refused", select(2, pcall(pool.grow, pool, { job = job })))
end
local new = pool:grow { job = math.tointeger(arg[1]) }
print("joined", #new, new[1].host, new[1].start, pool)
print("again", select(2, pcall(pool.grow, pool, { job = arg[1] })))
print("its job", await(submit(call { function() return os.getenv "SLURM_JOB_ID" end, host = "node3" })) == arg[1])
print("its nodes", await(submit(exec { shell = "echo $SLURM_JOB_NODELIST", host = "node3" })).stdout)

local gangs, seen = {}, {}
for i = 1, 6 do gangs[i] = submit(exec { cmd = { "true" }, nodes = 2 }) end
for _, gang in ipairs(gangs) do
  for _, host in ipairs(await(gang).hosts) do seen[host] = true end
end
print("gangs on", seen.node1, seen.node2, seen.node3)
print("three", await(submit(exec { cmd = { "true" }, nodes = 3 })).reason)

local held = {}
for i = 1, 3 do
  held[i] = submit(exec { shell = "touch began.$(hostname); until [ -e go ]; do sleep 0.05; done", exclusive = "node" })
end
for _, task in ipairs(held) do
  local r = await(task)
  print("held", r.status, r.host ~= "node3")
end
print("gone on", await(submit(exec { cmd = { "true" }, nodes = 2 })).status)
"#;

#[test]
fn the_nodes_of_a_second_job_join_and_go_with_it() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("joins.lua", JOINS);
    let line = format!(
        "sleeps() {{ sbatch --parsable --exclusive -o /dev/null \"$@\" --wrap 'sleep 1000'; }}
second=$(sleeps -N 1 --time=10)
until [ \"$(squeue -h -j $second -o %T)\" = RUNNING ]; do sleep 0.05; done
pends=$(sleeps -N 3); other=$(sleeps -N 3 --uid=nobody)
{HARNESS} {SRUN} --fresh joins.lua $second $pends $other & root=$!
until [ -e began.node3 ]; do kill -0 $root || break; sleep 0.05; done
scancel $second
until grep -q 'worker 2 on node3 is lost' output; do kill -0 $root || break; sleep 0.05; done
touch go
wait $root"
    );
    let output = cluster.job("sbatch -N 2 --exclusive", &line);
    for part in [
        "before\tpool 0: 2 workers on 2 nodes (node1, node2), ",
        "pool:grow: Slurm knows no job 4711 (any more), or does not answer: `squeue --me` lists yours",
        "does not run yet (PENDING, ",
        "is another user's: workers start in jobs of your own",
        "pool:grow: `abc` is no job of Slurm: jobs have a number, job = \"1234\"",
        "pool:grow: every node has a worker already (node1, node2): say how many more",
        "joined\t1\tnode3\tsrun\tpool 0: 3 workers on 3 nodes (node1, node2, node3), ",
        "harness: Slurm job 2 ends in ", // ten minutes or a little less
        ": what runs on its nodes then is tried again on others",
        "again\tjoins.lua:9: pool:grow: every node has a worker already (node3): say how many more",
        "its job\ttrue",
        "its nodes\tnode3\n",
        "gangs on\ttrue\ttrue\tnil",
        "three\tit asks for nodes = 3 with 1 core on each; pool 0 has 2 of that kind in one job, inside which a task stays, \
         and 3 workers in all: ask for fewer, or spawn workers on more nodes",
        "worker 2 on node3 is lost: ", // that its job ends, or that its keeper has heard so and left
        "gone on\tok",
        "job ended with 0",
    ] {
        has(&output, part, "a second job");
    }
    assert_eq!(output.matches("held\tok\ttrue").count(), 3, "{output}");
    for node in ["node1", "node2", "node3"] {
        cluster.await_nothing_on(node, "a second job");
    }
}

/// `arg`: a job, launchers.
const RANKS: &str = r#"
local pool <close> = spawn { start = "local", slots = 2 }
local new = pool:grow { job = arg[1] }
print("joined", #new, new[1].host, new[2].host)
for launcher in arg[2]:gmatch "%a+" do
  local r = await(submit(exec { cmd = { "uname", "-n" }, nodes = 2, ranks = 4, launcher = launcher, timeout = "40 s" }))
  local seen = {}
  for node in (r.stdout or ""):gmatch "node%d" do seen[#seen + 1] = node end
  table.sort(seen)
  print(launcher, r.status, r.reason, table.concat(seen, " "))
end
"#;

/// A root outside of any job, where jobs are asked for.
#[test]
fn an_application_runs_inside_the_job_that_joined() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("ranks.lua", RANKS);
    let launchers = if cfg!(feature = "mpi") { "srun mpiexec" } else { "srun" };
    let script = cluster.write(
        "login.sh",
        &format!(
            "#!/bin/bash\njob=$(sbatch --parsable --exclusive -N 2 -o /dev/null --wrap 'sleep 1000')\n\
             until [ \"$(squeue -h -j $job -o %T)\" = RUNNING ]; do sleep 0.05; done\n\
             {HARNESS} --fresh ranks.lua $job '{launchers}'; echo ended with $?; scancel $job\n"
        ),
    );
    let output = text(&finish(&mut cluster.command(&["run", &script.display().to_string()])));
    has(&output, "joined\t2\tnode1\tnode2", "two nodes of a job");
    for launcher in launchers.split(' ') {
        has(&output, &format!("{launcher}\tok\tnil\tnode1 node1 node2 node2"), launcher);
    }
    has(&output, "ended with 0", "from the login node");
}
