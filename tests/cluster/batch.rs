//! `harness batch` on a real Slurm: what it prints can be submitted, what it submits runs, and a chain goes on.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

    /// Waits until a file says one or the other; all of it, and whether it is the one.
    fn await_either(&self, path: &Path, one: &str, other: &str) -> (String, bool) {
        let said = self.await_that(&format!("`{one}` or `{other}`"), || {
            let said = fs::read_to_string(path).unwrap_or_default();
            let found = said.contains(one) || said.contains(other) && said.ends_with('\n');
            (said, found)
        });
        let is_one = said.contains(one);
        (said, is_one)
    }

    /// Waits until no job is left.
    fn await_no_job(&self) {
        self.await_that("an empty queue", || {
            let said = text(&finish(&mut self.command(&["run", "squeue", "-h"])));
            let found = said.trim().is_empty();
            (said, found)
        });
    }

    /// What Slurm says of its jobs and nodes, and why they are not running.
    fn queue(&self) -> String {
        let of = |args: &[&str]| text(&finish(&mut self.command(args)));
        of(&["run", "squeue", "-o", "%i %T %r %S"]) + &of(&["run", "sinfo", "-R"])
    }

    fn await_that(&self, what: &str, look: impl Fn() -> (String, bool)) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let (said, found) = look();
            if found {
                return said;
            }
            assert!(Instant::now() < until, "no {what} within {LIMIT:?}: {said}\n{}", self.queue());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The second it is now, by the clock of all nodes.
fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
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
await(submit(exec { key = "kept", cmd = { "true" } }))
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

/// The walltime of each job is too short for what is left, until that of the third or a later one is not.
#[test]
fn a_campaign_of_several_short_jobs_is_done_and_nothing_is_done_twice() {
    let Some(cluster) = Cluster::up("4") else { return };
    let campaign = r#"
local pool <close> = spawn { workers = 1, slots = 1 }
local steps = {}
for n = 1, 9 do steps[n] = submit(exec { name = "step", key = n, shell = "sleep 3" }) end
for n = 1, 9 do assert(await(steps[n]).ok) end
print("all is done")
"#;
    cluster.write("chain.lua", campaign);
    // 60 s, of which the last 45 are kept: three or four steps each.
    let said = cluster.batch(&["chain.lua", "--time", "0:01:00", "--margin", "45 s", "--chain=8"]);
    let mut jobs = vec![after(&said, "job ").to_owned()];
    loop {
        let output = cluster.path(&format!("chain.{}.out", jobs[jobs.len() - 1]));
        let (said, done) = cluster.await_either(&output, "all is done", " goes on as job ");
        if done {
            break;
        }
        jobs.push(after(&said, " goes on as job ").to_owned());
    }
    cluster.await_no_job();
    assert!(jobs.len() >= 3, "{jobs:?}");
    let journal = fs::read_to_string(cluster.path("chain.lua.journal")).unwrap();
    assert_eq!(journal.matches("\"status\":\"ok\"").count(), 9, "{journal}");
    let ends = |how: &str| journal.matches(&format!("\"how\":\"{how}\"")).count();
    assert_eq!((ends("stopped"), ends("finished")), (jobs.len() - 1, 1), "{journal}");
}

#[test]
fn a_chain_without_progress_ends_and_says_so() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("stuck.lua", "os.exit(75)");
    let said = cluster.batch(&["stuck.lua", "--chain", "--no-check"]); // it ends with 75
    let output = cluster.path(&format!("stuck.{}.out", after(&said, "job ")));
    let said = cluster.await_text(&output, "so no other follows");
    cluster.await_no_job();
    assert!(!said.contains("goes on as job"), "{said}");
}

/// Slurm starts a job again (`scontrol requeue`, a lost node): it goes on from the journal, and says so. What ran on its nodes
/// died of the signal that Slurm sends to every process there, and has not failed by itself.
#[test]
fn a_requeued_job_goes_on_from_the_journal() {
    let Some(cluster) = Cluster::up("4") else { return };
    let campaign = r#"
local pool, held = spawn {}, {}
print(await(submit(exec { name = "kept", key = "k", shell = "echo >> ran" })).ok)
for i, worker in ipairs(pool.workers) do
  held[i] = submit(exec { key = "long", host = worker.host, shell = "test -e go || { echo waiting >> up; exec sleep 1000; }" })
end
for _, one in ipairs(held) do print("held", await(one).status) end
print("all is done")
"#;
    cluster.write("c.lua", campaign);
    let said = cluster.batch(&["c.lua", "--nodes", "3"]);
    let id = after(&said, "job ");
    let output = cluster.path(&format!("c.{id}.out"));
    cluster.await_text(&cluster.path("up"), "waiting\nwaiting\nwaiting\n");
    cluster.write("go", "");
    let requeued = text(&finish(&mut cluster.command(&["run", "scontrol", "requeue", id])));
    assert_eq!(requeued.trim(), "", "scontrol requeue");
    // Slurm lets it wait for two minutes, until what the node was told of its first run has expired. The node refuses a
    // job told to start in the second in which it was told to end it, and then nothing starts it again.
    cluster.await_that("an ended first run", || {
        let said = text(&finish(&mut cluster.command(&["run", "squeue", "-h", "-j", id, "-o", "%T"])));
        let found = said.trim() == "PENDING";
        (said, found)
    });
    let ended = second();
    cluster.await_that("a later second", || (ended.to_string(), second() > ended));
    let at_once = text(&finish(&mut cluster.command(&[
        "run",
        "scontrol",
        "update",
        &format!("jobid={id}"),
        "starttime=now",
    ])));
    assert_eq!(at_once.trim(), "", "scontrol update");
    cluster.await_text(&output, "all is done");
    let said = fs::read_to_string(&output).unwrap();
    has(
        &said,
        &format!("Slurm has started job {id} again (restart 1): it goes on from the journal"),
        "the second run",
    );
    assert_eq!(said.matches("held\tok").count(), 3, "{said}");
    let journal = fs::read_to_string(cluster.path("c.lua.journal")).unwrap();
    assert_eq!(journal.matches("\"name\":\"kept\"").count(), 1, "{journal}");
    assert_eq!(fs::read_to_string(cluster.path("ran")).unwrap().lines().count(), 1);
    cluster.await_no_job();
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
