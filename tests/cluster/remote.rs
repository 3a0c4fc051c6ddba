//! Workers on other nodes without MPI: srun in a job, sshd on the nodes. With an MPI where the script or the command
//! line says so, without one by themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::{ALL, Cluster, HARNESS, JOBS, LIMIT, finish, has, text, where_script};

/// Options that leave MPI out of it, where it is there.
pub(crate) const SRUN: &str = if cfg!(feature = "mpi") { "--start srun" } else { "" };
pub(crate) const SSH: &str =
    if cfg!(feature = "mpi") { "--start ssh --hostfile hosts" } else { "--hostfile hosts" };

const NODES: [&str; 3] = ["node1", "node2", "node3"];

impl Cluster {
    /// Starts sshd on all nodes, and gives the folder with the `ssh` that may enter them.
    pub(crate) fn with_sshd(&self) -> Option<PathBuf> {
        if !["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"]
            .iter()
            .all(|path| Path::new(path).exists())
        {
            assert!(std::env::var_os("HARNESS_CI").is_none(), "CI must have sshd (tools/setup ci)");
            println!("skipped: no sshd (tools/setup ci)");
            return None;
        }
        let key = self.path("key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        fs::create_dir_all("/run/sshd").unwrap(); // where sshd locks itself in
        let (key, folder) = (key.display(), self.folder.path().display());
        let config = self.write(
            "sshd_config",
            &format!(
                "HostKey {key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\nPermitRootLogin prohibit-password\n\
                 UsePAM no\nPidFile none\nMaxStartups 100\n"
            ),
        );
        self.write(
            "ssh_config",
            &format!(
                "Host *\nIdentityFile {key}\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\nLogLevel ERROR\n"
            ),
        );
        fs::set_permissions(self.path("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::create_dir(self.path("bin")).unwrap();
        self.write("bin/ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config \"$@\"\n"));
        for node in NODES {
            let config = config.display().to_string();
            let started = finish(&mut self.command(&["exec", node, "/usr/sbin/sshd", "-f", &config]));
            assert!(started.status.success(), "{}", text(&started));
        }
        Some(self.path("bin"))
    }

    /// Runs a line on node1, outside of any job.
    pub(crate) fn on_node1(&self, bin: &Path, line: &str) -> String {
        let (bin, folder) = (bin.display(), self.folder.path().display());
        let mpirun = PathBuf::from(std::env::var_os("HARNESS_MPIRUN").unwrap_or("mpirun".into()));
        let mpi = mpirun.parent().unwrap_or(Path::new("")).display();
        let script = format!(
            "cd {folder} && export PATH={bin}:{mpi}:$PATH EXPORTED=yes; {line}; echo job ended with $?"
        );
        text(&finish(&mut self.command(&["exec", "node1", "bash", "-c", &script])))
    }

    /// Processes of a campaign on a node.
    fn processes(&self, node: &str) -> Vec<String> {
        let output = finish(&mut self.command(&["exec", node, "ps", "-eo", "args"]));
        let ours = |line: &&str| {
            ["__worker", "__keeper", "__slot", "sleep 4321"].iter().any(|part| line.contains(part))
        };
        String::from_utf8_lossy(&output.stdout).lines().filter(ours).map(String::from).collect()
    }

    pub(crate) fn await_file(&self, name: &str) {
        let until = Instant::now() + LIMIT;
        while !self.path(name).exists() {
            assert!(Instant::now() < until, "no {name} within {LIMIT:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn await_nothing_on(&self, node: &str, what: &str) {
        let until = Instant::now() + LIMIT;
        loop {
            let left = self.processes(node);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "{what}: left on {node}: {left:#?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Each node has a cache of its own here, so that what is built travels.
const EVERYTHING: &str = r#"
local pool <close> = spawn {}
print(pool)
for _, worker in ipairs(pool.workers) do
  local host = worker.host
  print(host, worker.start, await(pool:submit(call { function(a, b) return a + b end, 40, 2, host = host })))
  print("exec", await(submit(exec { shell = "echo $(hostname) $EXPORTED", host = host })).stdout)
  print("measure", await(submit(measure { cmd = { "true" }, runs = 2, host = host })).status)
end
await(submit(call { function() io.stderr:write("said on node3\n") end, host = "node3" }))
local big = ("\0\n\r\xff\x04\x1a\x11~"):rep(1 << 21)
print("value", await(submit(call { function(s) return s end, big, host = "node2" })) == big)
local build = submit(compile { cmd = { "sh", "-c", "head -c 16777216 /dev/urandom > big; sha256sum < big" }, outputs = { "big" }, host = "node2" })
print("built", await(build).status)
print("at home", io.popen('find "$HARNESS_CACHE/objects" -type f -size 16777216c | wc -l'):read "n") -- once it is said to be built
local sums = {}
for i, host in ipairs { "node1", "node2", "node3" } do
  sums[i] = await(submit(exec { cmd = { "sh", "-c", "sha256sum < $0", build }, host = host })).stdout
end
print("artefact", #sums[1] > 64, sums[1] == sums[2], sums[2] == sums[3])
print("raised", pcall(await, submit(call { function() error "on purpose" end, host = "node2" })))
"#;

fn everything(cluster: &Cluster, how: &str, output: &str) {
    has(output, ALL, how);
    has(output, "node1\tlocal\t42", how);
    for node in ["node2", "node3"] {
        has(output, &format!("{node}\t{how}\t42"), how);
        has(output, &format!("exec\t{node} yes"), "the environment");
    }
    assert_eq!(output.matches("measure\tok").count(), 3, "{output}");
    has(output, "said on node3\n", "standard error of a slot");
    has(output, "value\ttrue", "16 MiB there and back");
    has(output, "built\tok", how);
    has(output, "at home\t1", "16 MiB from node2, before the build is told to have ended");
    has(output, "artefact\ttrue\ttrue\ttrue", "16 MiB to the root and to another node");
    has(output, "raised\tfalse", how);
    has(output, "job ended with 0", how);
    for node in NODES {
        cluster.await_nothing_on(node, how);
    }
}

fn set_up(cluster: &Cluster) {
    let folder = cluster.folder.path().display();
    cluster.write(
        "worker",
        &format!("#!/bin/sh\nexport HARNESS_CACHE={folder}/cache.$(hostname)\nexec {HARNESS} \"$@\"\n"),
    );
    cluster.write("hosts", "node1 slots=4\nnode2 slots=4\nnode3 slots=4\n");
    cluster.write("everything.lua", EVERYTHING);
}

#[test]
fn all_there_is_to_do_goes_over_srun() {
    let Some(cluster) = Cluster::up("4") else { return };
    set_up(&cluster);
    let line =
        format!("export EXPORTED=yes HARNESS_WORKER=$PWD/worker; {HARNESS} {SRUN} --fresh everything.lua");
    everything(&cluster, "srun", &cluster.job("sbatch -N 3 --exclusive", &line));
}

#[test]
fn all_there_is_to_do_goes_over_ssh() {
    let Some(cluster) = Cluster::up("4") else { return };
    let Some(bin) = cluster.with_sshd() else { return };
    set_up(&cluster);
    // What a login prints may come first.
    cluster.write("agent", "#!/bin/sh\necho Welcome, last login: never\nexec ssh \"$@\"\n");
    let line =
        format!("HARNESS_RSH=$PWD/agent HARNESS_WORKER=$PWD/worker {HARNESS} {SSH} --fresh everything.lua");
    everything(&cluster, "ssh", &cluster.on_node1(&bin, &line));
}

#[test]
fn srun_comes_out_right_in_every_kind_of_job() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("where.lua", &where_script());
    for asked in JOBS.iter().chain(&["srun -N 3 --exclusive --pty"]) {
        let output = cluster.job(asked, &format!("{HARNESS} {SRUN} --fresh where.lua"));
        has(&output, ALL, asked);
        has(&output, "calls ran", asked);
    }
}

/// Something on each node: a program and a slot.
const HOLD: &str = r#"
local pool <close> = spawn {}
local tasks = {}
for _, worker in ipairs(pool.workers) do
  tasks[#tasks + 1] = submit(exec { shell = "touch began." .. worker.host .. "; sleep 4321", host = worker.host, retries = 0 })
  tasks[#tasks + 1] = submit(call { function() while true do end end, host = worker.host, retries = 0 })
end
for _, task in as_completed(tasks) do
  if task.status == "lost_worker" then print("lost", task.host) os.exit(7) end
end
"#;

/// Runs HOLD by `start`, does `kill` on node1 once all nodes have work, and looks at the nodes before the shell ends.
fn killed(cluster: &Cluster, kill: &str, options: &str, run: impl Fn(&str) -> String + Sync) -> String {
    for node in NODES {
        let _ = fs::remove_file(cluster.path(&format!("began.{node}")));
    }
    let _ = fs::remove_file(cluster.path("looked"));
    let line = format!(
        "{HARNESS} {options} --fresh hold.lua & root=$!
for node in node1 node2 node3; do until [ -e began.$node ]; do sleep 0.05; done; done
touch all_began; until [ -e seen ]; do sleep 0.05; done
{kill}
wait $root; echo root ended with $?; touch killed; until [ -e looked ]; do sleep 0.05; done"
    );
    thread::scope(|scope| {
        let job = scope.spawn(|| run(&line));
        cluster.await_file("all_began");
        for node in NODES {
            assert!(cluster.processes(node).len() >= 3, "{node}: {:?}", cluster.processes(node));
        }
        cluster.write("seen", "");
        cluster.await_file("killed");
        for node in NODES {
            cluster.await_nothing_on(node, kill);
        }
        cluster.write("looked", "");
        for name in ["all_began", "seen", "killed"] {
            fs::remove_file(cluster.path(name)).unwrap();
        }
        job.join().unwrap()
    })
}

#[test]
fn kill_9_of_anything_leaves_nothing_on_any_node() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("hold.lua", HOLD);
    cluster.write("hosts", "node1\nnode2\nnode3\n");
    let in_job = |line: &str| cluster.job("sbatch -N 3 --exclusive", line);
    has(&killed(&cluster, "kill -9 $root", SRUN, in_job), "root ended with 137", "the root, srun");
    let Some(bin) = cluster.with_sshd() else { return };
    let on_node1 = |line: &str| cluster.on_node1(&bin, line);
    has(&killed(&cluster, "kill -9 $root", SSH, on_node1), "root ended with 137", "the root, ssh");
    let output = killed(&cluster, "pkill -9 -x ssh", SSH, on_node1);
    has(&output, "root ended with 7", "ssh");
    let there = "ssh node2 'pkill -9 -f \"[_]_worker\"'";
    let output = killed(&cluster, there, SSH, on_node1);
    has(&output, "lost\tnode2", "the worker");
    has(&output, "root ended with 7", "the worker");
    let there = "SLURM_OVERLAP=1 srun -N 1 -n 1 -w node2 pkill -9 -f '[_]_worker'";
    let output = killed(&cluster, there, SRUN, in_job);
    has(&output, "lost\tnode2", "the worker");
}

#[test]
fn a_node_that_cannot_be_reached_is_an_error_with_what_ssh_said() {
    let Some(cluster) = Cluster::up("4") else { return };
    let Some(bin) = cluster.with_sshd() else { return };
    cluster.write("where.lua", &where_script());
    let run = |hosts: &str, with: &str| {
        cluster.write("hosts", hosts);
        cluster.on_node1(&bin, &format!("{with} {HARNESS} {SSH} --fresh where.lua"))
    };
    let output = run("node1\nnowhere\n", "");
    for part in [
        "spawn: worker 1 on nowhere is lost: ssh ended with exit code 255 before the worker spoke\n    ssh: Could not \
         resolve hostname nowhere:",
        "\n  To see for yourself: ssh -T -x -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=20 -o ServerAliveCountMax=6 nowhere '",
        "job ended with 3",
    ] {
        has(&output, part, "no such host");
    }
    let output = run("node1\n10.99.0.12\n", "");
    has(
        &output,
        "wrong placement: worker 1 was to start on 10.99.0.12 and came up on node2\n  ssh was given",
        "another name",
    );
    has(&output, "write its own name, node2, into the list of hosts.", "another name");
    let output = run("node2\n", "HARNESS_WORKER=/nowhere/harness");
    has(&output, "ssh ended with exit code 127 before the worker spoke\n", "no harness there");
    has(&output, "/nowhere/harness", "no harness there");
    let gone = finish(&mut cluster.command(&["unplug", "node3"]));
    assert!(gone.status.success(), "{}", text(&gone));
    let output = run("node1\nnode3\n", "HARNESS_LIMITS=start=4.5");
    has(
        &output,
        "ssh ended with exit code 255 before the worker spoke\n    ssh: connect to host node3 port 22:",
        "no cable",
    );
    has(&output, "job ended with 3", "no cable");
    // An agent that says nothing and never ends.
    let silent = cluster.write("agent", "#!/bin/sh\necho dialling >&2\nexec sleep 4321\n");
    let with = format!("HARNESS_LIMITS=start=1 HARNESS_RSH={}", silent.display());
    let output = run("node1\nnode2\n", &with);
    has(
        &output,
        "no word within 1 s from worker 1 on node2\n    dialling\n  To see for yourself: ",
        "a silent agent",
    );
    cluster.await_nothing_on("node1", "a silent agent");
}

/// A worker of srun is a step with one node; what it launches is to have those of the job.
#[test]
fn ranks_start_from_a_worker_of_srun() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write(
        "ranks.lua",
        r#"
local pool <close> = spawn {}
for launcher in arg[1]:gmatch "%a+" do
  local r = await(submit(exec { cmd = { "uname", "-n" }, nodes = 2, ranks = 4, host = "node2", launcher = launcher, timeout = "40 s" }))
  local seen = {}
  for node in (r.stdout or ""):gmatch "node%d" do seen[#seen + 1] = node end
  table.sort(seen)
  local hosts = { r.hosts[1], r.hosts[1], r.hosts[2], r.hosts[2] }
  table.sort(hosts)
  print(launcher, r.status, r.reason, #r.hosts, table.concat(seen, " ") == table.concat(hosts, " "))
end
"#,
    );
    let launchers = if cfg!(feature = "mpi") { "srun mpiexec" } else { "srun" };
    let line = format!("{HARNESS} {SRUN} --fresh ranks.lua '{launchers}'");
    let output = cluster.job("sbatch -N 3 --exclusive", &line);
    for launcher in launchers.split(' ') {
        has(&output, &format!("{launcher}\tok\tnil\t2\ttrue"), launcher);
    }
}

#[test]
fn what_is_typed_in_a_job_runs_on_all_its_nodes() {
    let Some(cluster) = Cluster::up("4") else { return };
    let typed = where_script().replace("local pool <close>", "pool").replace("local seen", "seen");
    cluster.write("typed.lua", &typed);
    for asked in ["salloc -N 3 --exclusive", "srun -N 3 --exclusive --pty"] {
        let output = cluster.job(asked, &format!("{HARNESS} repl < typed.lua"));
        has(&output, ALL, asked);
        has(&output, "calls ran", asked);
    }
}
