//! A worker dies on one of the nodes, or what carries its link, or the node's cable is pulled: the campaign goes on with
//! the others, and gets another one there if it asks.

use std::fs;
use std::path::Path;
use std::thread;

use crate::remote::{SRUN, SSH};
use crate::{Cluster, ENDED, HARNESS, finish, has, text};

/// Only what tells of an end at once can be what ends the wait for it.
const PATIENT: &str = "HARNESS_LIMITS=worker_silence=300";
/// A node that cannot be reached says nothing.
const IMPATIENT: &str = "HARNESS_LIMITS=worker_silence=3";

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
    let line = format!("{PATIENT} {HARNESS} --fresh loss.lua");
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

/// The first try is lost with its worker on another node than the root's, of which the file `lost` has the name.
const GOES_ON: &str = r#"
local pool <close> = spawn {}
print(pool)
local first = "hostname > there; mv there lost; sleep 4321"
local r = await(submit(exec { shell = "[ -e lost ] && exit; " .. first, not_on = "node1" }))
local lost = io.open("lost"):read "l"
print("tried again", r.status, r.host ~= lost)
for _, worker in ipairs(pool.workers) do
  if worker.host ~= lost then
    print("then", await(submit(exec { cmd = { "sleep", "1.5" }, host = worker.host, retries = 0 })).status)
  end
end
os.exit(tonumber(arg[1]))
"#;

/// Runs GOES_ON; once it is at work does `harm` to that node. What was said, and which node it was.
fn harmed(cluster: &Cluster, run: impl Fn() -> String + Sync, harm: impl Fn(&str)) -> (String, String) {
    let _ = fs::remove_file(cluster.path("lost"));
    thread::scope(|scope| {
        let job = scope.spawn(&run);
        cluster.await_file("lost");
        let node = fs::read_to_string(cluster.path("lost")).unwrap().trim().to_string();
        harm(&node);
        (job.join().unwrap(), node)
    })
}

#[track_caller]
fn went_on(output: &str, reason: &str, code: Option<u8>, what: &str) {
    has(output, reason, what);
    has(output, "tried again\tok\ttrue", what);
    assert_eq!(output.matches("then\tok").count(), 2, "{what}: {output}");
    has(output, &code.map_or(ENDED.into(), |code| format!("{ENDED} {code}")), what);
}

fn do_to(cluster: &Cluster, words: &[&str]) {
    let done = finish(&mut cluster.command(words));
    assert!(done.status.success(), "{words:?}: {}", text(&done));
}

#[test]
fn a_campaign_outlives_the_srun_of_a_worker_and_the_cable_of_its_node() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("goes_on.lua", GOES_ON);
    let run = |with: &str, asked: &str| {
        cluster.job(asked, &format!("{with} {HARNESS} {SRUN} --fresh goes_on.lua 7"))
    };
    // srun has a child that ends what it started.
    let kill_srun = |which: &str, node: &str| {
        let line = format!("kill -9 $(pgrep -f '^srun .* {node} ' | {which})");
        do_to(&cluster, &["exec", "node1", "bash", "-c", &line]);
    };
    let job = || run(PATIENT, "sbatch -N 3 --exclusive");
    let (output, _) = harmed(&cluster, job, |node| kill_srun("head -1", node));
    // Slurm ends the worker and its keeper, and either may be heard of first.
    went_on(&output, "is lost: ", Some(7), "kill -9 of srun");
    // Without that as well the worker goes on, until something happens to itself.
    let (output, _) = harmed(&cluster, job, |node| {
        kill_srun("tac", node);
        kill_worker(&cluster, node);
    });
    went_on(&output, "is lost: its process ended", Some(7), "kill -9 of both");
    // Without --no-kill Slurm ends the job when it has noticed.
    let (output, node) = harmed(
        &cluster,
        || run(IMPATIENT, "sbatch -N 3 --exclusive --no-kill"),
        |node| {
            do_to(&cluster, &["unplug", node]);
        },
    );
    went_on(&output, "is lost: it has not been heard of for 3 s", Some(7), "the cable");
    // What was cut off there has ended by itself, while nobody could reach it.
    cluster.await_nothing_on(&node, "the cable");
    do_to(&cluster, &["plug", &node]);
}

#[test]
fn a_campaign_outlives_the_ssh_of_a_worker_and_the_cable_of_its_node() {
    let Some(cluster) = Cluster::up("4") else { return };
    let Some(bin) = cluster.with_sshd() else { return };
    cluster.write("goes_on.lua", GOES_ON);
    cluster.write("hosts", "node1\nnode2\nnode3\n");
    let run = |with: &str, bin: &Path| {
        cluster.on_node1(bin, &format!("{with} {HARNESS} {SSH} --fresh goes_on.lua 7"))
    };
    let (output, _) = harmed(
        &cluster,
        || run(PATIENT, &bin),
        |node| {
            do_to(&cluster, &["exec", "node1", "pkill", "-9", "-f", &format!("^/usr/bin/ssh .* {node} ")]);
        },
    );
    went_on(&output, "is lost: its process ended", Some(7), "kill -9 of ssh");
    let (output, node) = harmed(
        &cluster,
        || run(IMPATIENT, &bin),
        |node| {
            do_to(&cluster, &["unplug", node]);
        },
    );
    went_on(&output, "is lost: it has not been heard of for 3 s", Some(7), "the cable");
    do_to(&cluster, &["plug", &node]);
    cluster.await_nothing_on(&node, "the cable");
}

/// Ends the worker of a node and nothing else: it is the parent of the keeper.
fn kill_worker(cluster: &Cluster, node: &str) {
    let line = "kill -9 $(ps -o ppid= -p $(pgrep -f 'harness _[_]keeper'))";
    do_to(cluster, &["exec", node, "bash", "-c", line]);
}

#[cfg(feature = "mpi")]
#[test]
fn a_campaign_outlives_a_worker_of_mpi_that_is_killed() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("goes_on.lua", GOES_ON);
    // Plain harness: spawned, or ranks of srun where the MPI cannot.
    let line = format!("{PATIENT} {HARNESS} --fresh goes_on.lua 0");
    let run = || cluster.job("sbatch -N 3 --exclusive", &line);
    let (output, _) = harmed(&cluster, run, |node| kill_worker(&cluster, node));
    went_on(&output, "is lost: its process ended", Some(0), "plain harness");
    if cluster.flavour == "mpich" {
        return println!("skipped: Debian's MPICH may hang in MPI_Finalize");
    }
    let ranks = match cluster.flavour.as_str() {
        "openmpi" => "mpirun --oversubscribe --map-by node -n 4",
        _ => "mpirun -ppn 1 -n 4",
    };
    let line = format!("export MPIR_CVAR_CH4_NETMOD=ofi {PATIENT}; {ranks} {HARNESS} --fresh goes_on.lua 7");
    let run = || cluster.job("sbatch -N 3 --exclusive -n 3", &line);
    let (output, _) = harmed(&cluster, run, |node| kill_worker(&cluster, node));
    // The exit code may be mpirun's own then (docs/clusters.md).
    went_on(&output, "is lost: its process ended", None, "ranks of mpirun");
}

/// Nothing closes the connections, and Open MPI waits for the node until Slurm takes it for down.
#[cfg(feature = "mpi")]
#[test]
fn a_campaign_with_spawned_workers_outlives_the_cable_of_a_node() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("goes_on.lua", GOES_ON);
    let line = format!(
        "{IMPATIENT} {HARNESS} --fresh goes_on.lua 0 > said 2>&1 &
until grep -q 'harness: 3 tasks: 3 ok' said; do sleep 0.1; done; cat said"
    );
    let run = || cluster.job("sbatch -N 3 --exclusive", &line);
    let (output, _) = harmed(&cluster, run, |node| do_to(&cluster, &["unplug", node]));
    went_on(&output, "is lost: it has not been heard of for 3 s", Some(0), "the cable");
}
