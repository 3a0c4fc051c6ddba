//! What the system does to a campaign: its clock jumps, its disk is slow, it grants too few processes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::support::{Folder, LIMIT, Running, await_that, no_compiler, skip};

const GONE: Duration = Duration::from_secs(10);
const DAY_S: f64 = 86_400.0;

/// `harness ARGS` with the clock and the disk of `shim.c`; none without a compiler.
fn shimmed(folder: &Folder, args: &[&str]) -> Option<Command> {
    if no_compiler() {
        return None;
    }
    folder.write("shim.c", include_str!("shim.c"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([folder.path("shim.so"), folder.path("shim.c")])
        .status();
    assert!(built.unwrap().success());
    let mut command = folder.harness(args);
    command.env("LD_PRELOAD", folder.path("shim.so"));
    Some(command)
}

/// Tasks under way keep their limits, the campaign its deadline; only the dates in the journal are those of the clock.
#[test]
fn a_clock_that_jumps_changes_nothing_but_dates() {
    for days in [30.0, -30.0] {
        let folder = Folder::with(
            "local pool <close> = spawn { slots = 3 }
            local waits = submit(exec { key = 'waits', shell = 'touch begun; until [ -e jumped ]; do sleep 0.01; done', timeout = 60 })
            local endless = submit(exec { key = 'endless', shell = 'until [ -e jumped ]; do sleep 0.01; done; exec sleep 1000', timeout = 2 })
            local later = submit(function() return 'called' end)
            print(await(waits).status, await(endless).status, await(later))",
        );
        let Some(mut command) =
            shimmed(&folder, &["-q", "--start", "local", "--deadline", "10 min", "c.lua"])
        else {
            return;
        };
        let seconds = days * DAY_S;
        command.env("JUMP_FILE", folder.path("jumped")).env("JUMP_S", format!("{seconds}"));
        let running = Running::start(command);
        await_that("the program has begun", || folder.path("begun").exists());
        folder.write("jumped", "");
        let ran = running.end(LIMIT);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "ok\ttimeout\tcalled\n"), "{ran:?}");
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let records = folder.journal("c.lua.journal").into_iter().filter(|line| line["type"] == "task");
        let ends: Vec<f64> = records.filter_map(|line| line["ended_unix_s"].as_f64()).collect();
        assert!(
            ends.len() == 2 && ends.iter().all(|end| (end - now - seconds).abs() < DAY_S),
            "{ends:?}, {now}"
        );
        let again = folder.run(&["--start", "local", "c.lua"]);
        assert!(again.stderr.contains("3 tasks (2 from the journal): 2 ok, 1 timeout"), "{again:?}");
        folder.assert_nothing_left(GONE);
    }
}

/// It holds up what is reported, and never is anything reported that is not written.
#[test]
fn a_slow_disk_of_the_journal_loses_nothing_that_was_reported() {
    let folder = Folder::with(
        "local pool <close> = spawn { slots = 2 }
        local all = {}
        for n = 1, 200 do
          all[n] = submit(exec { key = tostring(n), cmd = { 'true' } })
          all[n]:on_done(function() print('reported', n) io.stdout:flush() end)
        end
        for _, one in ipairs(all) do await(one) end",
    );
    let Some(mut command) = shimmed(&folder, &["-q", "--start", "local", "c.lua"]) else { return };
    command.env("SLOW_US", "100000");
    let mut running = Running::start(command);
    running.await_lines(5);
    running.signal(Signal::KILL);
    let ran = running.end(LIMIT);
    let reported = ran.stdout.lines().count();
    let recorded = |folder: &Folder| {
        folder.read("c.lua.journal").lines().filter(|line| line.contains("\"status\":\"ok\"")).count()
    };
    assert!(reported >= 5 && recorded(&folder) >= reported, "{} of {reported}", recorded(&folder));
    let again = folder.run(&["-q", "--start", "local", "c.lua"]);
    assert_eq!((again.code, recorded(&folder)), (Some(0), 200), "{again:?}");
    folder.assert_nothing_left(GONE);
}

/// Whoever is root may start as many processes as he likes: somebody else does it, who has no others.
#[test]
fn too_few_processes_are_named_with_the_remedy() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root becomes somebody else");
    }
    let folder = Folder::with(
        "print(await(submit(function() return 'called' end)))\nprint(await(submit(exec { cmd = { 'true' } })).status)",
    );
    fs::copy(env!("CARGO_BIN_EXE_harness"), folder.path("harness")).unwrap();
    fs::set_permissions(folder.path(""), Permissions::from_mode(0o777)).unwrap();
    let (mut refused, mut well) = (0, 0);
    for most in [1, 2, 4, 6, 8, 10, 12, 16, 40] {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nproc={most}"));
        command.args(["setpriv", "--reuid", "65521", "--regid", "65521", "--clear-groups"]);
        command.args(["./harness", "--fresh", "--start", "local", "--slots", "1", "c.lua"]);
        folder.at_home(&mut command);
        let ran = folder.finish(command);
        let text = format!("{}{}", ran.stdout, ran.stderr);
        match ran.code {
            Some(0) if ran.stdout == "called\nok\n" => well += 1,
            _ => {
                refused += 1;
                assert!(text.contains("ulimit -u"), "{most}: {ran:#?}");
            }
        }
        folder.assert_nothing_left(GONE);
    }
    assert!(refused > 0 && well > 0, "{refused} refused, {well} well");
}
