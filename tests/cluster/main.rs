//! The real binary on a real Slurm of three nodes: namespaces of this machine, made by `tests/cluster/cluster`.
//!
//! However a job was asked for and harness was started in it, there is one worker on each node, or the documented
//! error. Needs root and Slurm (`tools/setup ci`); what is missing is said, and is an error under HARNESS_CI.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // starts the cluster and its jobs, which are no tasks

#[cfg(feature = "mpi")]
mod applications;
mod batch;
mod doctor;
mod joined;
mod loss;
mod python;
mod remote;
mod repl;
#[cfg(feature = "mpi")]
mod rerun;
#[cfg(feature = "mpi")]
mod resources;
#[cfg(feature = "mpi")]
mod ssh;
mod tadashi;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/cluster");
/// What no job here should ever need.
const LIMIT: Duration = Duration::from_secs(60);
/// The last line of a job, before its exit code.
const ENDED: &str = "job ended with";
const HARNESS: &str = env!("CARGO_BIN_EXE_harness");
const ALL: &str = "3 workers on 3 nodes (node1, node2, node3)";

static TURN: Mutex<()> = Mutex::new(());

/// A Slurm with three nodes, and a folder all of them see.
struct Cluster {
    folder: tempfile::TempDir,
    flavour: String,
    /// Two cores are not enough for several clusters at once.
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// The cluster with so many CPUs on its three nodes, or a word on why there is none.
    fn up(cpus: &str) -> Option<Self> {
        Self::up_with(3, cpus)
    }

    fn up_with(nodes: u32, cpus: &str) -> Option<Self> {
        if let Some(missing) = missing() {
            assert!(std::env::var_os("HARNESS_CI").is_none(), "CI must be able to: {missing}");
            println!("skipped: {missing}");
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new().prefix("harness-cluster-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let flavour = std::env::var("HARNESS_MPI_FLAVOUR").unwrap_or("openmpi".into());
        let cluster = Self { folder, flavour, _turn: turn };
        let output = finish(cluster.command(&["up", &nodes.to_string()]).env("CLUSTER_CPUS", cpus));
        assert!(output.status.success(), "{}", text(&output));
        Some(cluster)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// `cluster WORDS…`.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(SCRIPT);
        command.args(words).stdin(Stdio::null());
        self.set_up(&mut command);
        command
    }

    fn set_up(&self, command: &mut Command) {
        command.current_dir(self.folder.path());
        command.env("CLUSTER_STATE", self.path("state")).env("CLUSTER_USER", "root");
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        command.env("HARNESS_CACHE", self.path("cache"));
        if cfg!(not(feature = "mpi")) {
            return;
        }
        // The launcher's folder first on the search path, as a module would have it.
        let mpirun = PathBuf::from(std::env::var_os("HARNESS_MPIRUN").unwrap_or("mpirun".into()));
        let wheel = mpirun
            .parent()
            .and_then(Path::parent)
            .filter(|prefix| prefix.starts_with(env!("CARGO_MANIFEST_DIR")));
        match wheel {
            Some(prefix) => command.env("FLAVOUR", prefix),
            None => command.env("FLAVOUR", &self.flavour),
        };
    }

    /// A job: `asked` is how it asks for nodes (`sbatch -N 3`, `salloc …`, `srun …`), `line` what it runs.
    fn job(&self, asked: &str, line: &str) -> String {
        let folder = self.folder.path().display();
        let script = self.write("job.sh", &format!("#!/bin/bash\ncd {folder}\n{line}\necho {ENDED} $?\n"));
        let script = script.display().to_string();
        let mut words: Vec<&str> = vec!["run"];
        words.extend(asked.split_whitespace());
        let output = self.path("output").display().to_string();
        let _ = fs::remove_file(&output);
        match words[1] {
            "sbatch" => words.extend(["-o", &output, &script]),
            _ => words.push(&script),
        }
        let mut command = match asked.contains("--pty") {
            true => self.in_a_terminal(&words),
            false => self.command(&words),
        };
        let mut said = text(&finish(&mut command));
        if words[1] == "sbatch" {
            said += &self.await_end_of(Path::new(&output));
        }
        let _ = finish(&mut self.command(&["run", "scancel", "-u", "root"]));
        said
    }

    /// `cluster WORDS…` below a terminal of its own.
    fn in_a_terminal(&self, words: &[&str]) -> Command {
        let line: Vec<_> = [SCRIPT].iter().chain(words).map(|word| format!("'{word}'")).collect();
        let mut command = Command::new("script");
        command.args(["-qec", &line.join(" "), "/dev/null"]).stdin(Stdio::null());
        self.set_up(&mut command);
        command
    }

    /// What a batch job wrote, once it has ended. (`sbatch -W` looks every ten seconds.)
    fn await_end_of(&self, output: &Path) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let said = fs::read_to_string(output).unwrap_or_default();
            if said.contains(ENDED) {
                return said;
            }
            assert!(Instant::now() < until, "no end within {LIMIT:?}: {said}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = finish(&mut self.command(&["down"]));
    }
}

/// What is needed and not here.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a cluster of namespaces needs root".into());
    }
    let search = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let has = |name: &&str| search.split(':').any(|folder| Path::new(folder).join(name).exists());
    let needed = ["slurmctld", "slurmd", "munged", "sinfo", "ip", "unshare", "nsenter", "setpriv", "script"];
    let absent: Vec<&str> = needed.into_iter().filter(|name| !has(name)).collect();
    (!absent.is_empty()).then(|| format!("not installed: {} (tools/setup ci)", absent.join(", ")))
}

/// Runs to the end; what hangs is a failure.
fn finish(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        let late = finished.recv_timeout(LIMIT).is_err();
        if late {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    assert!(!watch.join().unwrap(), "no end within {LIMIT:?}: {}", text(&output));
    output
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Where the workers are, and that calls run on all of them.
const WHERE: &str = r#"
local pool <close> = spawn {}
print(pool)
local seen = {}
for _, worker in ipairs(pool.workers) do
  seen[await(pool:submit(call { function() return harness_host end, host = worker.host }))] = true
end
"#;

fn where_script() -> String {
    WHERE.replace("harness_host", "require('harness').worker.host") + "print('calls ran')\n"
}

/// Ways to ask for three nodes.
const JOBS: [&str; 7] = [
    "sbatch -N 3",
    "sbatch -N 3 --exclusive",
    "sbatch -N 3 -n 3 --exclusive",
    "sbatch -N 3 --ntasks-per-node=2 --exclusive",
    "sbatch -N 3 -c 4",
    "salloc -N 3 --exclusive",
    "salloc -N 3 -n 3 --exclusive",
];

#[track_caller]
fn has(output: &str, expected: &str, what: &str) {
    assert!(output.contains(expected), "{what}: `{expected}` is not in\n{output}");
}

#[test]
fn plain_harness_comes_out_right_in_every_kind_of_job() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("where.lua", &where_script());
    let line = format!("{} --fresh where.lua", HARNESS);
    let shells = ["srun -N 3 --pty", "srun -N 3 --exclusive --pty"];
    for asked in JOBS.iter().chain(&shells) {
        let began = Instant::now();
        let output = cluster.job(asked, &line);
        has(&output, ALL, asked);
        has(&output, "calls ran", asked);
        println!("{asked}: {:.1} s", began.elapsed().as_secs_f64());
    }
}

#[cfg(feature = "mpi")]
#[test]
fn mpirun_with_one_process_comes_out_right_in_every_kind_of_job() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("where.lua", &where_script());
    let line = format!("mpirun -n 1 {} --fresh where.lua", HARNESS);
    for asked in JOBS {
        let output = cluster.job(asked, &line);
        has(&output, ALL, asked);
        has(&output, "calls ran", asked);
    }
}

#[test]
fn nodes_of_different_size_and_one_after_another() {
    let Some(cluster) = Cluster::up("4,8,2") else { return };
    cluster.write(
        "pools.lua",
        r#"
do
  local one <close> = spawn { hosts = { "node2" } }
  local two <close> = spawn { hosts = { "node1", "node3" } }
  print(one) print(two)
  -- The first of them ends only when the second has begun, and the other way round.
  local function meet(pool, mine, theirs)
    return pool:submit(exec { shell = ("touch %s; until [ -e %s ]; do sleep 0.05; done"):format(mine, theirs), timeout = "30 s" })
  end
  local first, second = meet(one, "one.here", "two.here"), meet(two, "two.here", "one.here")
  print("side by side", await(first).status, await(second).status)
end
do
  local others <close> = spawn { root_node = "spare" }
  print("spare: " .. tostring(others))
end
local all <close> = spawn {}
print(all)
for _, worker in ipairs(all.workers) do print(worker.host, "measures", worker.measures) end
for i = 1, 4 do
  local m = await(submit(measure { cmd = { "true" }, runs = 1, key = i }))
  print("measured", m.status, m.host ~= "node1", (table.concat(m.flags, " "):match "shares_root"))
end
local m = await(submit(measure { shell = "true", nodes = 3, launcher = "none", runs = 1, timeout = "30 s" }))
print("gang", m.status, #m.hosts, (table.concat(m.flags, " "):match "shares_root"))
local nodes, ranks = await(submit(call {
  function() return os.getenv "HARNESS_NODELIST", io.popen("sort $HARNESS_HOSTFILE"):read "a" end, nodes = 2, host = "node2", timeout = "30 s" }))
print("call", nodes:sub(1, 6), #nodes, #ranks)
"#,
    );
    let output = cluster.job("sbatch -N 3 --exclusive", &format!("{} --fresh pools.lua", HARNESS));
    for expected in ["1 worker on 1 node (node2)", "2 workers on 2 nodes (node1, node3)", ALL] {
        has(&output, expected, "pools");
    }
    has(&output, "side by side\tok\tok", "two pools at a time");
    has(&output, "spare: pool 2: 2 workers on 2 nodes (node2, node3)", "no worker beside the root");
    has(&output, "node1\tmeasures\tfalse", "the root's own node");
    assert_eq!(output.matches("measured\tok\ttrue\tnil").count(), 4, "not beside the root: {output}");
    has(&output, "gang\tok\t3\tshares_root", "a gang of all nodes");
    has(&output, "call\tnode2,\t11\t12", "a call with two nodes");
    has(&output, &format!("{ENDED} 0"), "the end");
}

#[cfg(feature = "mpi")]
#[test]
fn several_roots_in_one_step_are_explained() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("where.lua", &where_script());
    let plain = format!("{} --fresh where.lua", HARNESS);
    let output = cluster.job("srun -N 3 -n 3 --mpi=none", &plain);
    has(&output, "this is one of 3 separate harness roots that srun started", "srun -n 3");
    assert!(!output.contains("calls ran"), "{output}");
    if cluster.flavour != "openmpi" {
        return; // Hydra's own steps wait for each other's cores
    }
    // Three mpiruns, of which each takes itself for the only one: the journal goes to one of their roots.
    let each = format!("export SLURM_OVERLAP=1; srun -N 3 -n 3 bash -c 'mpirun -n 1 {plain}'");
    let output = cluster.job("salloc -N 3 --exclusive", &each);
    assert_eq!(output.matches("is writing to it; wait until it ends").count(), 2, "{output}");
    assert_eq!(output.matches("calls ran").count(), 1, "{output}");
}

#[test]
fn tasks_spread_evenly_over_the_nodes() {
    let Some(cluster) = Cluster::up("4") else { return };
    // Every task waits until all have begun: where they land is the scheduler's choice, not a race.
    cluster.write(
        "spread.lua",
        r#"
local pool <close> = spawn { slots = 22 }
local tasks = {}
for i = 1, 64 do
  tasks[i] = submit(exec { shell = "echo >> begun; until [ $(wc -l < begun) -ge 64 ]; do sleep 0.1; done; hostname", timeout = "50 s" })
end
local count = {}
for _, f in ipairs(tasks) do
  local host = await(f).stdout
  count[host] = (count[host] or 0) + 1
end
local least, most = math.huge, 0
for _, n in pairs(count) do least, most = math.min(least, n), math.max(most, n) end
print("spread", least, most)
"#,
    );
    let output = cluster.job("sbatch -N 3 --exclusive", &format!("{} --fresh spread.lua", HARNESS));
    has(&output, "spread\t21\t22", "64 tasks on 3 nodes");
}
