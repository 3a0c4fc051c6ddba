//! Nodes that can be reached by ssh, and a list of them: no batch system at all.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::applications::PLACES;
use crate::{Cluster, HARNESS, finish, has, text};

impl Cluster {
    /// Starts sshd on all nodes, and gives the folder with the `ssh` that may enter them.
    fn with_sshd(&self) -> Option<PathBuf> {
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
        std::fs::create_dir_all("/run/sshd").unwrap(); // where sshd locks itself in
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
        std::fs::set_permissions(self.path("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        std::fs::create_dir(self.path("bin")).unwrap();
        self.write("bin/ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config \"$@\"\n"));
        for node in ["node1", "node2", "node3"] {
            let config = config.display().to_string();
            let started = finish(&mut self.command(&["exec", node, "/usr/sbin/sshd", "-f", &config]));
            assert!(started.status.success(), "{}", text(&started));
        }
        Some(self.path("bin"))
    }

    /// Runs a line on node1, outside of any job.
    fn on_node1(&self, bin: &Path, line: &str) -> String {
        let (bin, folder) = (bin.display(), self.folder.path().display());
        let mpirun = PathBuf::from(std::env::var_os("HARNESS_MPIRUN").unwrap_or("mpirun".into()));
        let mpi = mpirun.parent().unwrap_or(Path::new("")).display();
        let script =
            format!("cd {folder} && PATH={bin}:{mpi}:$PATH EXPORTED=yes {line}; echo job ended with $?");
        text(&finish(&mut self.command(&["exec", "node1", "bash", "-c", &script])))
    }
}

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
