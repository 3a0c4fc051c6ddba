//! The real binary under a real MPI: mpirun with one process and spawned workers, with several (static), and
//! what is said where an MPI cannot. `tools/with-mpi FLAVOUR` names the MPI; without it the one on the search
//! path is used, and where there is none the tests say `skipped`.
#![cfg(feature = "mpi")]
#![allow(clippy::disallowed_methods)] // starts mpirun, which is no task

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::connect_unspec;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// The MPI these tests run under.
struct Mpi {
    flavour: String,
    mpirun: PathBuf,
    /// Two cores are not enough for several jobs at once: one after another.
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

impl Mpi {
    /// The MPI, or `None` and a word on why not.
    fn find() -> Option<Self> {
        let named = std::env::var("HARNESS_MPIRUN").map(PathBuf::from).ok();
        let mpirun = named.unwrap_or_else(|| "mpirun".into());
        let Ok(said) = Command::new(&mpirun).arg("--version").output() else {
            support::skip("no mpirun");
            return None;
        };
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let flavour = std::env::var("HARNESS_MPI_FLAVOUR")
            .unwrap_or_else(|_| if said.contains("Open MPI") { "openmpi".into() } else { "mpich".into() });
        Some(Self { flavour, mpirun, _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) })
    }

    /// The MPI, if it can spawn, or `None` and a word on why not.
    fn that_spawns() -> Option<Self> {
        let mpi = Self::find()?;
        if !mpi.can_spawn() {
            println!("skipped: this MPI cannot spawn, see the test of its error");
            return None;
        }
        Some(mpi)
    }

    fn can_spawn(&self) -> bool {
        // Debian's MPICH 4.0.2 cannot, in C either.
        self.flavour != "mpich"
    }

    /// `mpirun -n N program`, with the campaign's own cache.
    fn start(&self, processes: u32, program: &Path, campaign: &Campaign) -> Command {
        let mut command = Command::new(&self.mpirun);
        if self.flavour == "openmpi" {
            command.arg("--oversubscribe");
            command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        }
        command.args(["-n", &processes.to_string()]).arg(program);
        command.env("HARNESS_CACHE", campaign.folder.path().join("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn command(&self, processes: u32, campaign: &Campaign) -> Command {
        self.start(processes, Path::new(env!("CARGO_BIN_EXE_harness")), campaign)
    }

    fn run(&self, processes: u32, options: &[&str], campaign: &Campaign) -> Output {
        let mut command = self.command(processes, campaign);
        let child = command.args(options).arg(&campaign.script).spawn().expect("mpirun starts");
        finish(child)
    }
}

/// A script in a folder of its own.
struct Campaign {
    folder: tempfile::TempDir,
    script: PathBuf,
}

impl Campaign {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = folder.path().join("campaign.lua");
        std::fs::write(&script, text).expect("the script is written");
        Self { folder, script }
    }
}

/// Waits for the end; a job that hangs is a failure with its output.
fn finish(child: Child) -> Output {
    let pid = child.id();
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if finished.recv_timeout(Duration::from_secs(90)).is_err() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    });
    let output = child.wait_with_output().expect("mpirun is waited for");
    let _ = done.send(());
    let _ = watch.join();
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Does one of everything and says how the workers came.
const EVERYTHING: &str = r#"
local pool <close> = spawn {}
for _, worker in ipairs(pool.workers) do print("worker", worker.start, worker.slots > 0) end
print("call", await(submit(function(a, b) return a + b end, 40, 2)))
print("exec", await(submit(exec { cmd = { "echo", "hello" } })).stdout)
local build = submit(compile { sources = { "answer.c" } })
local m = await(submit(measure { cmd = { build, 42 }, runs = 7, metrics = { answer = "answer: (%d+)" } }))
print("measure", m.status, m.metrics.answer.stats.median, #m.samples.wall_s)
print("failed", await(submit(exec { cmd = { "sh", "-c", "kill -SEGV $$" } })).status)
local big = string.rep("0123456789abcdef", 1 << 16)
print("big", await(submit(function(s) return s .. s end, big)) == big .. big)
"#;

const ANSWER: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) { usleep(100000); printf("answer: %s\n", argv[1]); return argc - 2; }
"#;

fn everything() -> Campaign {
    let campaign = Campaign::new(EVERYTHING);
    std::fs::write(campaign.folder.path().join("answer.c"), ANSWER).expect("the source is written");
    campaign
}

fn expected(workers: &[&str]) -> String {
    let workers: String = workers.iter().map(|start| format!("worker\t{start}\ttrue\n")).collect();
    workers + "call\t42\nexec\thello\n\nmeasure\tok\t42.0\t7\nfailed\tsignal\nbig\ttrue\n"
}

#[test]
fn doctor_says_what_this_mpi_is_and_that_all_is_well() {
    let Some(mpi) = Mpi::find() else { return };
    let campaign = Campaign::new("");
    let mut command = mpi.command(1, &campaign);
    let child = command.args(["doctor", "--json"]).current_dir(campaign.folder.path()).spawn().unwrap();
    let output = finish(child);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report:#}");
    let facts = &report["surroundings"]["mpi"];
    assert!(facts["library"].as_str().is_some_and(|name| name.contains("MPI")), "{report:#}");
    assert_eq!(facts["thread_level"], "funneled", "{report:#}");
    assert_eq!(facts["can_spawn"] == false, !mpi.can_spawn(), "{report:#}");
    assert!(
        report["surroundings"]["launcher"].as_str().is_some_and(|path| path.contains("mpirun")),
        "{report:#}"
    );
}

#[test]
fn one_process_has_a_local_worker() {
    let Some(mpi) = Mpi::find() else { return };
    let output = mpi.run(1, &[], &everything());
    assert_eq!(succeeded(&output), expected(&["local"]));
}

#[test]
fn spawned_workers_do_everything() {
    let Some(mpi) = Mpi::that_spawns() else { return };
    let output = mpi.run(1, &["--start", "spawn", "--workers", "2"], &everything());
    assert_eq!(succeeded(&output), expected(&["spawn", "spawn"]));
}

/// A worker that never calls MPI_Init keeps MPI_Comm_spawn waiting for ever.
#[test]
fn a_spawn_that_never_returns_ends_with_its_reason() {
    let Some(mpi) = Mpi::that_spawns() else { return };
    let of_mpich = mpi.flavour != "openmpi";
    let campaign = worker_is("#!/bin/sh\nexec sleep 80\n");
    let worker = campaign.folder.path().join("worker");
    let ends = || {
        let mut command = mpi.command(1, &campaign);
        command.env("HARNESS_WORKER", &worker).env("HARNESS_LIMITS", "spawn=1.5");
        let child = command.args(["--start", "spawn"]).arg(&campaign.script).spawn().expect("mpirun starts");
        let began = Instant::now();
        (finish(child), began.elapsed())
    };
    let soon = Duration::from_secs(60);
    let (mut output, mut took) = ends();
    // MPICH's mpirun was seen, rarely, to wait for the worker where it should have killed it. Twice in a row is no chance.
    if took >= soon && of_mpich {
        println!("once more: mpirun waited for the worker: {}", text(&output.stderr));
        (output, took) = ends();
    }
    let said = text(&output.stderr);
    // That mpirun makes one code of those of all processes: 3, or the number of the signal by which it killed the worker.
    let codes: &[i32] = if of_mpich { &[3, 9, 15] } else { &[3] };
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{}: {said}", output.status);
    assert!(took < soon, "{took:?}: the worker ended by itself");
    let reason = "has not returned for 1.5 s: the launcher cannot start processes there";
    assert!(said.contains("harness: MPI_Comm_spawn of a worker on ") && said.contains(reason), "{said}");
}

/// Of two ranks the other never calls it.
#[test]
fn an_mpi_init_that_never_returns_ends_with_its_reason() {
    let Some(mpi) = Mpi::find() else { return };
    let campaign = worker_is(&format!(
        "#!/bin/sh\n[ \"${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}\" = 0 ] || exec sleep 80\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_harness")
    ));
    let mut command = mpi.start(2, &campaign.folder.path().join("worker"), &campaign);
    command.env("HARNESS_LIMITS", "init=1.5");
    let began = Instant::now();
    let output = finish(command.arg(&campaign.script).spawn().expect("mpirun starts"));
    let said = text(&output.stderr);
    assert!(
        !output.status.success() && said.contains("harness: MPI_Init did not return within 1.5 s: "),
        "{said}"
    );
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}: it was waited for", began.elapsed());
    until("no process is left", || processes_of(campaign.folder.path()).is_empty());
}

/// A campaign that only asks for a worker, which is this shell script.
fn worker_is(script: &str) -> Campaign {
    let campaign = Campaign::new("spawn {}");
    let worker = campaign.folder.path().join("worker");
    std::fs::write(&worker, script).expect("the worker is written");
    std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    campaign
}

/// No MPI tells the root, which is inside of MPI_Comm_spawn, and none takes another process for the one that has begun.
#[test]
fn a_worker_killed_while_it_starts_ends_the_job_with_its_reason() {
    let Some(mpi) = Mpi::that_spawns() else { return };
    // The shell becomes who stands in; the worker is its child.
    let campaign = worker_is(&format!(
        "#!/bin/sh\n(until kill -9 $(pgrep -P $$ -x harness) 2>/dev/null; do :; done) &\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_harness")
    ));
    let mut command = mpi.command(1, &campaign);
    command.env("HARNESS_WORKER", campaign.folder.path().join("worker")).env("HARNESS_LIMITS", "spawn=80");
    let began = Instant::now();
    let output =
        finish(command.args(["--start", "spawn"]).arg(&campaign.script).spawn().expect("mpirun starts"));
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(": killed by SIGKILL while it started"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}: it was waited for", began.elapsed());
    until("no process is left", || processes_of(campaign.folder.path()).is_empty());
}

#[test]
fn signals_are_heard_while_a_worker_is_spawned() {
    let Some(mpi) = Mpi::that_spawns() else { return };
    let campaign = worker_is("#!/bin/sh\ntouch \"$(dirname \"$0\")/begun\"\nexec sleep 80\n");
    let folder = campaign.folder.path();
    let mut command = mpi.command(1, &campaign);
    command.env("HARNESS_WORKER", folder.join("worker")).env("HARNESS_LIMITS", "spawn=80");
    let began = Instant::now();
    let child = command.args(["--start", "spawn"]).arg(&campaign.script).spawn().expect("mpirun starts");
    until("the worker is being started", || folder.join("begun").exists());
    let root = || {
        let all = processes_of(folder).into_iter();
        all.filter(|(_, command)| command.contains("--start spawn")).map(|process| process.0).next_back()
    };
    let root = root().expect("the root runs").to_string();
    for signal in ["-INT", "-TERM"] {
        assert!(Command::new("kill").args([signal, &root]).status().expect("kill runs").success());
    }
    let output = finish(child);
    let said = text(&output.stderr);
    let told = "stops once MPI_Comm_spawn has returned; a second one ends at once";
    assert!(said.contains(told) && said.contains("interrupted while it waited for MPI_Comm_spawn"), "{said}");
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}: it was waited for", began.elapsed());
}

#[test]
fn an_mpi_that_cannot_spawn_says_so_and_what_works() {
    let Some(mpi) = Mpi::find() else { return };
    if mpi.can_spawn() {
        return println!("skipped: this MPI can spawn");
    }
    let campaign = Campaign::new("spawn {}");
    let output = mpi.run(1, &["--start", "spawn"], &campaign);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let script = campaign.script.display();
    for line in [
        "harness: campaign.lua:1: spawn: MPICH Version: 4.0.2 could not start a worker on",
        "Some builds of MPICH cannot spawn at all (Debian's 4.0.2 is one).",
        &format!("mpirun -n 3 harness {script}    (rank 0 is the root, the others are workers)"),
        &format!("harness --start local {script}    (workers on this node alone, no MPI)"),
    ] {
        assert!(said.contains(line), "`{line}` is not in:\n{said}");
    }
}

#[test]
fn ranks_of_mpirun_are_workers() {
    let Some(mpi) = Mpi::find() else { return };
    let output = mpi.run(3, &[], &everything());
    assert_eq!(succeeded(&output), expected(&["static", "static"]));
}

#[test]
fn ranks_serve_one_pool_after_another() {
    let Some(mpi) = Mpi::find() else { return };
    let campaign = Campaign::new(
        r#"
        for i = 1, 3 do
          local pool <close> = spawn {}
          print(i, #pool.workers, await(pool:submit(function() return 6 * i end)))
        end"#,
    );
    let output = mpi.run(3, &[], &campaign);
    assert_eq!(succeeded(&output), "1\t2\t6\n2\t2\t12\n3\t2\t18\n");
}

#[test]
fn a_pool_larger_than_mpirun_started_is_refused_with_the_line_that_works() {
    let Some(mpi) = Mpi::find() else { return };
    let output = mpi.run(2, &[], &Campaign::new("spawn { workers = 5 }"));
    let said = text(&output.stderr);
    assert!(said.contains("5 static workers wanted and 1 is free"), "{said}");
    assert!(said.contains("mpirun -n 6 harness"), "{said}");
}

#[test]
fn a_pool_grows_by_ranks_as_long_as_there_are_some() {
    let Some(mpi) = Mpi::find() else { return };
    let campaign = Campaign::new(
        r#"
        local pool <close> = spawn { workers = 1 }
        local host = pool.workers[1].host
        print(#pool:grow { workers = 1, hosts = { host } }, #pool:grow(), #pool.workers)
        print(pcall(pool.grow, pool))
        print(pcall(spawn, { hosts = { "elsewhere" } }))
        for _, worker in ipairs(pool.workers) do print(worker.start) end
        print(await(pool:submit(function() return 6 end)))"#,
    );
    let output = mpi.run(4, &[], &campaign);
    let said = succeeded(&output);
    let script = campaign.script.display();
    for line in [
        "1\t1\t3\n".to_string(),
        format!(
            "pool:grow: 1 static worker wanted and none is free: start the campaign with `mpirun -n 5 harness {script}` \
             (rank 0 is the root, every further rank a worker)"
        ),
        "static\nstatic\nstatic\n6\n".into(),
    ] {
        assert!(said.contains(&line), "`{line}` is not in:\n{said}");
    }
}

#[test]
fn a_pool_that_lost_a_rank_asks_for_one_more_than_there_were() {
    let Some(mpi) = Mpi::find() else { return };
    let campaign = Campaign::new(
        r#"
        local pool <close> = spawn {}
        print(#pool.workers, await(submit(exec { shell = "kill -9 $PPID; sleep 60", retries = 0 })).status)
        print(pcall(pool.grow, pool))"#,
    );
    let output = mpi.run(4, &["--fresh"], &campaign);
    let said = text(&output.stdout);
    assert!(said.starts_with("3\tlost_worker\nfalse\t"), "{said}{}", text(&output.stderr));
    assert!(said.contains("(1 rank lost): start the campaign with `mpirun -n 5 harness"), "{said}");
}

/// Starts a campaign on three ranks of which each has a store of its own, as nodes without a shared file system do.
fn with_stores(mpi: &Mpi, campaign: &Campaign, script: &str) -> Output {
    let wrapper = campaign.folder.path().join("rank.sh");
    let harness = env!("CARGO_BIN_EXE_harness");
    let line = format!(
        "#!/bin/sh\nexport HARNESS_CACHE=\"$HARNESS_CACHE.${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}\"\nexec {harness} \"$@\"\n"
    );
    std::fs::write(&wrapper, line).expect("the wrapper is written");
    std::fs::write(&campaign.script, script).expect("the script is written");
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    finish(mpi.start(3, &wrapper, campaign).arg(&campaign.script).spawn().expect("mpirun starts"))
}

#[test]
fn an_artefact_travels_between_nodes_without_a_common_store() {
    let Some(mpi) = Mpi::find() else { return };
    let campaign = everything();
    let script = r#"
        local pool = spawn { slots = 1 }
        local build = submit(compile { sources = { "answer.c" } })
        -- One slot each: two at once need both workers, of which one has the artefact.
        local runs = {}
        for i = 1, 2 do runs[i] = submit(exec { cmd = { build, i } }) end
        local ok = 0
        for _, run in as_completed(runs) do if run.ok then ok = ok + 1 else print(run) end end
        print(build:status(), ok)"#;
    assert_eq!(succeeded(&with_stores(&mpi, &campaign, script)), "ok\t2\n");
    let stores = (0..3).filter(|rank| {
        let objects = campaign.folder.path().join(format!("cache.{rank}/objects"));
        std::fs::read_dir(objects).is_ok_and(|objects| objects.count() > 0)
    });
    assert_eq!(stores.count(), 3, "root and both workers hold the artefact");
}

#[test]
fn a_build_whose_artefact_cannot_come_home_has_failed_and_says_why() {
    let Some(mpi) = Mpi::find() else { return };
    let script = r#"
        local pool = spawn { slots = 1 }
        os.execute 'cd "$HARNESS_CACHE" && rm -r incoming && touch incoming'
        local build = submit(compile { cmd = { "sh", "-c", "echo made > o" }, output = "o" })
        print(await(submit(exec { cmd = { build } })).status, await(build))"#;
    let output = succeeded(&with_stores(&mpi, &everything(), script));
    let said = "skipped\tcompile: setup_failed: built on ";
    assert!(output.starts_with(said) && output.contains("did not reach the root"), "{output}");
    assert!(output.contains("cache.0"), "where: {output}");
}

#[test]
fn a_stopped_campaign_says_run_me_again_and_goes_on() {
    let Some(mpi) = Mpi::find() else { return };
    let campaign = Campaign::new(
        r#"
        print(await(submit(measure { name = "one", cmd = { "true" }, runs = 3 })).status)
        print(await(submit(exec { cmd = { "sh", "-c", "touch began; [ -e released ] || sleep 600" } })).status)"#,
    );
    let folder = campaign.folder.path();
    let first = mpi.command(1, &campaign).arg(&campaign.script).spawn().expect("mpirun starts");
    until("the second task runs", || folder.join("began").exists());
    let root = processes_of(folder).into_iter().find(|(_, command)| command.contains("campaign.lua"));
    let root = root.expect("there is a root").0;
    assert!(Command::new("kill").args(["-TERM", &root.to_string()]).status().expect("kill runs").success());
    let first = finish(first);
    assert_eq!(first.status.code(), Some(75), "{}", text(&first.stderr));
    std::fs::write(folder.join("released"), "").expect("the task is released");
    let second = mpi.run(1, &[], &campaign);
    assert_eq!(succeeded(&second), "ok\nok\n");
    assert!(text(&second.stderr).contains("2 tasks (1 from the journal): 2 ok"), "{}", text(&second.stderr));
}

/// Kills what `victim` finds and checks that nothing of the campaign is left 10 s later, also not in its folder for
/// temporary files. What the launcher made there for itself, its session, is the launcher's to remove.
fn nothing_is_left_after(kill: &str, victim: impl Fn(&Path) -> Option<u32>) {
    let Some(mpi) = Mpi::that_spawns() else { return };
    let campaign = Campaign::new(
        r#"
        local fs = require("harness").fs
        assert(fs.write(assert(fs.tempdir()) .. "/file", "x"))
        local line = "touch file ../../began; setsid sleep 600 & sleep 600"
        await(submit(exec { cwd = "scratch", cmd = { "sh", "-c", line } }))"#,
    );
    let temporary = campaign.folder.path().join("tmp");
    std::fs::create_dir(&temporary).expect("a folder for temporary files");
    // Of Open MPI it is "ompi.…", "prte.…" and "pmix…", of MPICH none.
    let folders = || -> Vec<String> {
        let names = std::fs::read_dir(&temporary).expect("it is there").flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("harness-")).collect()
    };
    let began = temporary.join("began");
    let mut child = mpi
        .command(1, &campaign)
        .env("TMPDIR", &temporary)
        .args(["--start", "spawn"])
        .arg(&campaign.script)
        .spawn()
        .expect("mpirun starts");
    until("the task runs", || began.exists());
    assert_eq!(folders().len(), 2, "one of the script and one of the keeper: {:?}", folders());
    let pid = if kill == "mpirun" { Some(child.id()) } else { victim(campaign.folder.path()) };
    let pid = pid.expect("there is something to kill");
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs").success());
    until("no process is left", || processes_of(campaign.folder.path()).is_empty());
    until("no folder is left", || folders().is_empty());
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits for an event; one that does not come within 10 s is a failure.
#[track_caller]
fn until(what: &str, happened: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !happened() {
        assert!(Instant::now() < limit, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes (but mpirun and its daemons) that have the campaign's cache in their environment: all of ours
/// inherit it, and so do tasks.
fn processes_of(folder: &Path) -> Vec<(u32, String)> {
    let mark = format!("HARNESS_CACHE={}", folder.join("cache").display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if !environment.split(|byte| *byte == 0).any(|line| line == mark.as_bytes()) {
            continue;
        }
        let command =
            text(&std::fs::read(entry.path().join("cmdline")).unwrap_or_default()).replace('\0', " ");
        let launcher = ["mpirun", "mpiexec", "orted", "hydra"].iter().any(|name| command.contains(name));
        if !command.is_empty() && !launcher {
            found.push((pid, command));
        }
    }
    found
}

#[test]
fn killing_mpirun_leaves_nothing_behind() {
    nothing_is_left_after("mpirun", |_| None);
}

/// The worker, and before it the process that stands in for it towards the launcher.
fn worker_of(folder: &Path, at: usize) -> Option<u32> {
    let mut workers: Vec<u32> = processes_of(folder)
        .into_iter()
        .filter(|(_, command)| command.contains("__worker"))
        .map(|w| w.0)
        .collect();
    workers.sort_unstable();
    workers.get(at).copied()
}

#[test]
fn killing_a_spawned_worker_leaves_nothing_behind() {
    nothing_is_left_after("worker", |folder| worker_of(folder, 1));
}

#[test]
fn killing_what_stands_in_for_a_spawned_worker_leaves_nothing_behind() {
    nothing_is_left_after("stand-in", |folder| worker_of(folder, 0));
}

/// What `line` kills is noticed by its end, not by its silence, whatever mpirun was told about such ends; then another
/// task runs, for longer than who stood in would wait at the end, and mpirun ends as the script does.
fn goes_on_after(line: &str, processes: u32, pool: &str) {
    let Some(mpi) = Mpi::find() else { return };
    if processes == 1 && !mpi.can_spawn() {
        return println!("skipped: this MPI cannot spawn");
    }
    let campaign = Campaign::new(&format!(
        "local pool <close> = spawn {pool}\nprint(await(submit(exec {{ shell = '{line}; sleep 60', retries = 0 \
         }})).status)\nprint(await(submit(exec {{ cmd = {{ 'sleep', '3' }} }})).status)\nos.exit(7)\n"
    ));
    let mut command = mpi.command(processes, &campaign);
    command.env("HARNESS_LIMITS", "worker_silence=300").arg("--fresh").arg(&campaign.script);
    let output = finish(command.spawn().expect("mpirun starts"));
    let said = text(&output.stderr);
    assert!(text(&output.stdout).starts_with("lost_worker\nok\n"), "{}{said}", text(&output.stdout));
    // Where a rank of MPICH is lost the others cannot leave MPI, which its mpirun may complain of.
    if mpi.flavour == "openmpi" || processes == 1 {
        assert_eq!(output.status.code(), Some(7), "{said}");
    }
}

const KILL_WORKER: &str = "kill -9 $(ps -o ppid= -p $PPID)";

/// A worker without a keeper cannot go on, and says so.
#[test]
fn a_worker_that_gives_up_does_not_end_the_job() {
    goes_on_after("kill -9 $PPID", 1, "{ workers = 2, start = 'spawn' }");
}

#[test]
fn a_killed_worker_does_not_end_the_job() {
    goes_on_after(KILL_WORKER, 1, "{ workers = 2, start = 'spawn' }");
}

/// Of a message whose sender is stopped in its middle the rest does not come: the root must not wait for that. (Whether it
/// is in the middle then is chance; the script goes on whatever it is in.)
#[test]
fn a_worker_that_is_stopped_while_a_large_result_comes_from_it_holds_up_nobody_else() {
    let Some(mpi) = Mpi::that_spawns() else { return };
    let campaign = Campaign::new(
        r#"
        local one <close> = spawn { workers = 1, slots = 1, start = "spawn" }
        local other <close> = spawn { workers = 1, slots = 1, start = "spawn" }
        local worker = tonumber(await(one:submit(exec { shell = "ps -o ppid= -p $PPID" })).stdout)
        local function large(mark, after)
          os.execute(string.format("(sleep %g; kill -STOP %d; touch %s) >/dev/null 2>&1 &", after, worker, mark))
          return string.rep("z", 128 << 20)
        end
        local function there(line) assert(await(other:submit(exec { shell = line })).ok) end
        for i = 1, 5 do
          local mark = "stopped." .. i
          local future = one:submit(large, mark, 0.1 * i)
          there(string.format("until [ -e %s ]; do sleep 0.05; done", mark))
          there(string.format("kill -CONT %d", worker)) -- only who is not held up himself says this
          print(#await(future) >> 20)
        end"#,
    );
    let child = mpi.command(1, &campaign).arg(&campaign.script).spawn().expect("mpirun starts");
    let output = finish(child);
    assert_eq!(text(&output.stdout), "128\n".repeat(5), "{}", text(&output.stderr));
}

/// The connections of a process over TCP: this one's copies of their descriptors.
fn connections_of(pid: u32) -> Vec<TcpStream> {
    let Some(pid) = Pid::from_raw(pid as i32) else { return Vec::new() };
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
    let numbers = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it has descriptors").flatten();
    let sockets = numbers.filter(|entry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    });
    let numbers: Vec<i32> = sockets.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let copy = |number: i32| pidfd_getfd(&process, number, PidfdGetfdFlags::empty());
    let copies =
        numbers.into_iter().map(|number| TcpStream::from(copy(number).expect("it may be looked at")));
    copies.filter(|socket| socket.peer_addr().is_ok()).collect()
}

/// The other end is sent a reset, and this one has no connection: what a firewall does.
#[test]
fn a_lifeline_that_is_reset_costs_nobody_the_worker() {
    let Some(mpi) = Mpi::that_spawns() else { return };
    // The second task takes longer than a worker may after the root's end.
    let campaign = Campaign::new(
        r#"
        local pool <close> = spawn { workers = 1, start = "spawn" }
        local line = "touch began; until [ -e reset ]; do sleep 0.1; done"
        print(await(submit(exec { shell = line, retries = 0 })).status)
        print(await(submit(exec { cmd = { "sleep", "12" }, retries = 0 })).status)"#,
    );
    let file = |name: &str| campaign.folder.path().join(name);
    let child = mpi.command(1, &campaign).arg(&campaign.script).spawn().expect("mpirun starts");
    until("the task runs", || file("began").exists());
    let stand_in = worker_of(campaign.folder.path(), 0).expect("somebody stands in");
    until("the root is called", || !connections_of(stand_in).is_empty());
    for connection in connections_of(stand_in) {
        connect_unspec(&connection).expect("it is reset");
    }
    std::fs::write(file("reset"), "").expect("the task is told");
    let output = finish(child);
    assert_eq!(succeeded(&output), "ok\nok\n", "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("is lost"), "{}", text(&output.stderr));
}

#[test]
fn a_rank_that_gives_up_does_not_end_the_job() {
    goes_on_after("kill -9 $PPID", 3, "{}");
}

#[test]
fn a_killed_rank_does_not_end_the_job() {
    goes_on_after(KILL_WORKER, 3, "{}");
}

#[test]
fn killing_the_root_leaves_nothing_behind() {
    nothing_is_left_after("root", |folder| {
        let root = |(_, command): &(u32, String)| command.contains("campaign.lua");
        processes_of(folder).into_iter().find(root).map(|found| found.0)
    });
}

/// MPICH's mpirun does not hold back what is sent to what it starts, and ends where that lies unread.
#[test]
fn requests_reach_serve_through_mpirun_however_many_lie_there() {
    let Some(mpi) = Mpi::find() else { return };
    let campaign = Campaign::new("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command.args(["serve", "--stdio", "--mpirun"]).arg(format!("{} -n 1", mpi.mpirun.display()));
    command.current_dir(campaign.folder.path()).env("HARNESS_CACHE", campaign.folder.path().join("cache"));
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut requests = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let write = move || {
        let long = "x".repeat(60_000);
        for id in 0..20 {
            writeln!(requests, r#"{{"id": {id}, "do": "submit", "exec": {{"cmd": ["true", "{long}"]}}}}"#)
                .ok()?;
        }
        Some(requests)
    };
    let speak = std::thread::spawn(move || {
        let written = std::thread::spawn(write);
        // The first line says who speaks.
        let told: Vec<String> = answers.by_ref().take(21).map(Result::unwrap).collect();
        drop(written.join());
        told
    });
    let output = finish(child);
    let told = speak.join().unwrap();
    let done = told.iter().filter(|line| line.contains(r#""status":"ok""#)).count();
    assert_eq!((output.status.code(), done), (Some(0), 20), "{told:?}\n{}", text(&output.stderr));
}

/// How often the root looks at its links while something is measured beside it, by a worker that is no child of it.
const LOOKS: &str = r#"
local harness = require "harness"
local root = harness.fs.read("/proc/self/stat"):match "%d+"
local program = [[sleeps() { while read -r name count; do case $name in voluntary_ctxt_switches:) echo $count ;; esac; done < /proc/$0/status; }
  seconds() { read -r now _ < /proc/uptime; echo "${now%.*}${now#*.}"; }
  begun=$(seconds); before=$(sleeps); sleep 0.5; after=$(sleeps); ended=$(seconds)
  echo "rate $(((after - before) * 100 / (ended - begun)))"]]
local pool <close> = spawn {}
local m = await(pool:submit(measure { cmd = { "sh", "-c", program, root }, runs = 2, metrics = { rate = "rate (%d+)" } }))
print(m.ok and m.metrics.rate.stats.max or m.reason)
"#;

#[test]
fn the_root_looks_rarely_while_something_is_measured_beside_it() {
    let Some(mpi) = Mpi::find() else { return };
    let told = succeeded(&mpi.run(2, &["-q"], &Campaign::new(LOOKS)));
    let rate: f64 = told.trim().parse().unwrap_or_else(|_| panic!("{told}"));
    // 20 a second, and 500 when it is not told that it should be quiet.
    assert!(rate < 100.0, "{rate} times a second");
}
