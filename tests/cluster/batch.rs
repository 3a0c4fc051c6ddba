//! `harness batch` on a real Slurm: what it prints can be submitted, what it submits runs, and a chain goes on.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{ALL, Cluster, HARNESS, LIMIT, finish, has, text, where_script};

impl Cluster {
    /// `harness batch WORDS…` on the login node.
    fn batch(&self, words: &[&str]) -> String {
        let line = [&["run", HARNESS, "batch"], words].concat();
        let output = finish(&mut self.command(&line));
        let said = text(&output);
        assert!(output.status.success(), "{words:?}: {:?}\n{said}", output.status);
        said
    }

    /// Waits until a file says this; all of it.
    fn await_text(&self, path: &Path, expected: &str) -> String {
        self.await_that(expected, || {
            let said = fs::read_to_string(path).unwrap_or_default();
            let found = said.contains(expected);
            (said, found)
        })
    }

    /// Waits until no job is left.
    fn await_no_job(&self) {
        self.await_that("an empty queue", || {
            let said = text(&finish(&mut self.command(&["run", "squeue", "-h"])));
            let found = said.trim().is_empty();
            (said, found)
        });
    }

    fn await_that(&self, what: &str, look: impl Fn() -> (String, bool)) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let (said, found) = look();
            if found {
                return said;
            }
            assert!(Instant::now() < until, "no {what} within {LIMIT:?}: {said}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The word after `before` in `said`.
fn after<'a>(said: &'a str, before: &str) -> &'a str {
    let rest = said.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {said}")).1;
    rest.split_whitespace().next().unwrap_or_default()
}

#[test]
fn what_dry_run_prints_can_be_submitted() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("where.lua", &where_script());
    let printed = cluster.batch(&["where.lua", "--nodes", "3", "--time", "0:10:00", "--dry-run"]);
    assert!(!cluster.path("where.lua.job").exists(), "--dry-run left a file");
    let script = cluster.write("printed.sh", &printed).display().to_string();
    let id = text(&finish(&mut cluster.command(&["run", "sbatch", "--parsable", &script])));
    let output = cluster.path(&format!("where.{}.out", id.trim()));
    let said = cluster.await_text(&output, "calls ran");
    has(&said, ALL, &printed);
    cluster.await_no_job();
}

#[test]
fn a_submitted_job_is_followed_and_the_prologue_reaches_every_node() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("prologue.sh", "export GREETING='from the prologue'\n");
    let campaign = r#"
local pool <close> = spawn {}
print(pool, arg[1])
for _, worker in ipairs(pool.workers) do
  print(worker.host, await(pool:submit(exec { shell = "echo $GREETING", host = worker.host })).stdout)
  print(worker.host, await(pool:submit(call { function() return os.getenv "GREETING" end, host = worker.host })))
end
print(await(submit(exec { name = "kept", key = "k", cmd = { "true" } })).status)
"#;
    cluster.write("where.lua", campaign);
    let words = ["where.lua", "--nodes", "3", "--prologue", "prologue.sh", "--follow", "--", "an argument"];
    let said = cluster.batch(&words);
    has(&said, ALL, "batch --follow");
    has(&said, "an argument", "arguments of the script");
    for node in ["node1", "node2", "node3"] {
        let lines = said.matches(&format!("{node}\tfrom the prologue")).count();
        assert_eq!(lines, 2, "the environment on {node}: {said}");
    }
    has(&said, "COMPLETED", "the state at the end");
    let journal = fs::read_to_string(cluster.path("where.lua.journal")).unwrap();
    has(&journal, "\"kept\"", "the journal");
}

#[test]
fn a_chain_goes_on_in_a_second_job_until_the_campaign_is_done() {
    let Some(cluster) = Cluster::up("4") else { return };
    // Ends as a campaign does whose time was too short, once.
    let campaign = r#"
local first = io.open("ran-before") == nil
io.open("ran-before", "w"):close()
local pool <close> = spawn {}
print(pool)
if first then os.exit(75) end
print("calls ran")
"#;
    cluster.write("chain.lua", campaign);
    let said = cluster.batch(&["chain.lua", "--nodes", "3", "--chain"]);
    let first = after(&said, "job ");
    let output = cluster.path(&format!("chain.{first}.out"));
    let said = cluster.await_text(&output, " goes on as job ");
    let second = after(&said, " goes on as job ");
    let said = cluster.await_text(&cluster.path(&format!("chain.{second}.out")), "calls ran");
    has(&said, ALL, "the second job");
    cluster.await_no_job();
    let outputs = fs::read_dir(cluster.folder.path()).unwrap().flatten();
    let outputs = outputs.filter(|entry| entry.file_name().to_string_lossy().ends_with(".out")).count();
    assert_eq!(outputs, 2, "a campaign that is done needs no third job");
}

#[test]
fn a_chain_that_is_cancelled_has_no_second_job_and_loses_nothing() {
    let Some(cluster) = Cluster::up("4") else { return };
    let campaign = r#"
await(submit(exec { name = "kept", key = "k", cmd = { "true" } }))
local long = submit(exec { shell = "sleep 1000" })
print("waiting")
await(long)
"#;
    cluster.write("long.lua", campaign);
    let said = cluster.batch(&["long.lua", "--nodes", "3", "--chain=5"]);
    let id = after(&said, "job ");
    let output = cluster.path(&format!("long.{id}.out"));
    cluster.await_text(&output, "waiting");
    finish(&mut cluster.command(&["run", "scancel", id]));
    cluster.await_no_job();
    let said = fs::read_to_string(&output).unwrap();
    assert!(!said.contains("goes on as job"), "{said}");
    // What harness says last is lost where mpirun goes first (Open MPI); the journal is not.
    let journal = fs::read_to_string(cluster.path("long.lua.journal")).unwrap();
    has(&journal, "\"kept\"", "the journal");
}
