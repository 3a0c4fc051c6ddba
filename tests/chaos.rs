//! SIGKILL, SIGSTOP and Ctrl-C for every process of a running campaign, and tasks that misbehave: what was
//! reported stays reported, what failed says why, and nothing is left running.
//!
//! Moments and victims are drawn from seeds, so a failure names one that shows it again:
//! `HARNESS_CHAOS_ROUNDS=50 cargo test --test chaos` draws more of them.

#![allow(clippy::unwrap_used)]

#[path = "chaos/campaign.rs"]
mod campaign;
#[path = "../src/stats/random.rs"]
#[allow(dead_code, reason = "no target draws all of it")]
mod random;
#[path = "chaos/remains.rs"]
mod remains;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use random::Random;
use support::scan::Scan;
use support::{Folder, LIMIT, Process, Ran, Role, Running, await_that, signal};

/// After anything was killed, nothing of ours may outlive this.
const GONE: Duration = Duration::from_secs(10);

/// Measurements alone on the node and not, keyed programs and calls. Each that runs leaves its name in `ran`;
/// each that ended is printed: kind, name, status, reason.
const CAMPAIGN: &str = "
local pool <close> = spawn { workers = 1, slots = 2 }
local function nap(name) return { 'sh', '-c', 'echo ' .. name .. ' >> ran; sleep 0.04' } end
local tasks = {}
local function add(kind, name, future) tasks[#tasks + 1] = future; tasks[future] = { kind, name } end
for i = 1, 6 do
  local exclusive = i % 3 == 0 and 'node' or false
  add('call', 'c' .. i, submit(function() local t = os.clock() repeat until os.clock() - t > 0.04 end))
  add('measure', 'm' .. i, submit(measure { name = 'm' .. i, cmd = nap('m' .. i), runs = 2, warmup = 0, exclusive = exclusive }))
  add('exec', 'e' .. i, submit(exec { name = 'e' .. i, key = i, cmd = nap('e' .. i) }))
end
print 'begun'
for future, result, e in as_completed(tasks) do
  local kind, name = table.unpack(tasks[future])
  local ended = e or type(result) == 'table' and result or { status = 'ok' }
  print(kind, name, ended.status or ended.kind, (ended.reason or ended.message or ''):match '[^\\n]*')
  io.stdout:flush()
end
print 'over'
";
const TASKS: usize = 18;

/// How a task ended, as it was printed.
#[derive(Clone, Debug, PartialEq)]
struct End {
    kind: String,
    status: String,
    reason: String,
}

/// All ends that were printed, by name; a line that was cut short is none.
fn ends(stdout: &str) -> BTreeMap<String, End> {
    let whole = stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let fields = whole.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let end = |fields: Vec<&str>| match fields[..] {
        [kind, name, status, reason] => {
            Some((name.into(), End { kind: kind.into(), status: status.into(), reason: reason.into() }))
        }
        _ => None,
    };
    fields.filter_map(end).collect()
}

fn seeds() -> impl Iterator<Item = u64> {
    let rounds = std::env::var("HARNESS_CHAOS_ROUNDS").ok().and_then(|text| text.parse().ok());
    1..=rounds.unwrap_or(3)
}

/// A victim may just have ended, or have had nothing to do. One of all is hit, or nothing was tested: more are drawn then.
fn until_hit(mut failures_of: impl FnMut(u64) -> usize) {
    const MORE: u64 = 20;
    let hit: usize = seeds().map(&mut failures_of).sum();
    let drawn = seeds().count() as u64;
    assert!(hit > 0 || (drawn + 1..=drawn + MORE).any(|seed| failures_of(seed) > 0), "nobody was ever hit");
}

/// Kills a process of `role` after some printed lines; what the campaign came to, and whether somebody was
/// there to be killed.
fn kill_one(folder: &Folder, role: Role, seed: u64) -> Ran {
    let mut dice = Random(seed);
    let mut scan = Scan::new(folder);
    let mut running = scan.start(&["c.lua"]);
    running.await_lines(1 + dice.index(TASKS - 6));
    scan.look();
    await_that(&format!("there is a {role:?}"), || {
        !folder.of(role).is_empty() || folder.processes().is_empty()
    });
    let victims = folder.of(role);
    // A program that just ended is no victim; the campaign then simply goes on.
    if !victims.is_empty() {
        signal(&victims[dice.index(victims.len())], Signal::KILL);
    }
    let ran = running.end(LIMIT);
    scan.assert_nothing_left(GONE);
    ran
}

/// All that the first run printed as ended is in the journal, and the second run does none of it again.
fn nothing_was_lost(folder: &Folder, first: &Ran) {
    let printed = ends(&first.stdout);
    let durable =
        |end: &&End| end.kind != "call" && matches!(end.status.as_str(), "ok" | "signal" | "nonzero_exit");
    let reported: BTreeSet<&str> =
        printed.iter().filter(|(_, end)| durable(end)).map(|(name, _)| name.as_str()).collect();
    // Parsed leniently: the line that a killed root was writing may be torn.
    let journal = folder.read("c.lua.journal");
    let recorded: BTreeSet<String> = journal
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|record| Some(record["name"].as_str()?.to_owned()))
        .collect();
    let lost: Vec<_> = reported.iter().filter(|name| !recorded.contains(**name)).collect();
    assert!(lost.is_empty(), "printed and not recorded: {lost:?}\n{first:#?}");

    let runs = |name: &str| folder.read("ran").lines().filter(|line| *line == name).count();
    let before: BTreeMap<&str, usize> = reported.iter().map(|name| (*name, runs(name))).collect();
    let second = folder.run(&["c.lua"]);
    let again = ends(&second.stdout);
    assert_eq!(
        (second.code, again.len(), second.stdout.ends_with("over\n")),
        (Some(0), TASKS, true),
        "{second:#?}"
    );
    for (name, count) in before {
        assert_eq!(again[name], printed[name], "{name} is answered from the journal");
        assert_eq!(runs(name), count, "{name} ran again");
    }
    for (name, end) in again.iter().filter(|(name, _)| !reported.contains(name.as_str())) {
        assert_eq!(end.status, "ok", "{name}: {end:?}");
    }
}

/// Ends other than `ok`.
fn failures(ran: &Ran) -> Vec<(String, End)> {
    ends(&ran.stdout).into_iter().filter(|(_, end)| end.status != "ok").collect()
}

fn goes_on(folder: &Folder, ran: &Ran) {
    ends_with(folder, ran, 0);
}

fn ends_with(folder: &Folder, ran: &Ran, code: i32) {
    assert_eq!((ran.code, ran.stdout.ends_with("over\n")), (Some(code), true), "{ran:#?}");
    assert_eq!(ends(&ran.stdout).len(), TASKS, "{ran:#?}");
    nothing_was_lost(folder, ran);
}

#[test]
fn a_killed_program_is_one_failure_and_the_campaign_goes_on() {
    until_hit(|seed| {
        let folder = Folder::with(CAMPAIGN);
        let ran = kill_one(&folder, Role::Program, seed);
        let failed = failures(&ran);
        assert!(failed.len() <= 1, "seed {seed}: {failed:?}");
        for (name, end) in &failed {
            // `sh` reports the death of its `sleep` as exit code 137.
            let (status, reason) = (end.status.as_str(), end.reason.as_str());
            let expected = status == "signal" && reason.contains("killed by signal 9 (SIGKILL)")
                || status == "nonzero_exit" && reason.contains("exit code 137");
            assert!(expected, "seed {seed}: {name}: {end:?}");
        }
        goes_on(&folder, &ran);
        failed.len()
    });
}

#[test]
fn a_killed_slot_is_one_failed_call_and_the_campaign_goes_on() {
    until_hit(|seed| {
        let folder = Folder::with(CAMPAIGN);
        let ran = kill_one(&folder, Role::Slot, seed);
        let failed = failures(&ran);
        assert!(failed.len() <= 1, "seed {seed}: {failed:?}");
        for (name, end) in &failed {
            assert_eq!((end.kind.as_str(), end.status.as_str()), ("call", "signal"), "seed {seed}: {name}");
            assert!(
                end.reason.starts_with("its slot was killed by signal 9 (SIGKILL) while it ran"),
                "{end:?}"
            );
        }
        goes_on(&folder, &ran);
        failed.len()
    });
}

/// With its only worker a pool loses what it was to do: each task says so, and why.
fn worker_is_lost(role: Role, why: &str) {
    for seed in seeds() {
        let folder = Folder::with(CAMPAIGN);
        let ran = kill_one(&folder, role, seed);
        assert!(ran.elapsed < Duration::from_secs(15), "seed {seed}: {ran:#?}");
        let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        let loss = format!("worker 0 on {host} is lost: {why}");
        assert!(ran.stderr.contains(&format!("harness: {loss}\n")), "seed {seed}: {ran:#?}");
        let failed = failures(&ran);
        assert!(!failed.is_empty(), "seed {seed}: {ran:#?}");
        for (name, end) in failed {
            assert_eq!(end.status, "lost_worker", "seed {seed}: {name}: {end:?}");
            let beginnings = [
                "its worker was lost while it ran: ",
                "no worker is left that could run it (`pool:grow()` or `spawn{}` starts new ones): ",
            ];
            let named = beginnings.iter().any(|beginning| end.reason == format!("{beginning}{loss}"));
            assert!(named, "seed {seed}: {name}: {end:?}");
        }
        ends_with(&folder, &ran, 3);
    }
}

#[test]
fn a_killed_worker_is_named_in_every_task_it_takes_along() {
    worker_is_lost(Role::Worker, "its process ended");
}

#[test]
fn a_killed_keeper_is_named_in_every_task_it_takes_along() {
    worker_is_lost(Role::Keeper, "the keeper of this node ended: the other end closed the connection");
}

#[test]
fn a_killed_root_leaves_nothing_running_and_loses_nothing() {
    for seed in seeds() {
        let folder = Folder::with(CAMPAIGN);
        let ran = kill_one(&folder, Role::Root, seed);
        assert_eq!(ran.signal, Some(9), "seed {seed}: {ran:#?}");
        nothing_was_lost(&folder, &ran);
    }
}

#[test]
fn ctrl_c_at_any_moment_is_75_soon_and_the_next_run_completes() {
    for seed in seeds() {
        let mut dice = Random(seed);
        let folder = Folder::with(CAMPAIGN);
        let mut running = folder.start(&["c.lua"]);
        running.await_lines(1 + dice.index(TASKS - 6));
        let asked = Instant::now();
        running.signal([Signal::INT, Signal::TERM][dice.index(2)]);
        let ran = running.end(LIMIT);
        assert!(asked.elapsed() < Duration::from_secs(2), "seed {seed}: {:?}", asked.elapsed());
        folder.assert_nothing_left(GONE);
        assert_eq!(ran.code, Some(75), "seed {seed}: {ran:#?}");
        assert_eq!(failures(&ran), [], "seed {seed}");
        nothing_was_lost(&folder, &ran);
    }
}

/// The slow one: silence is noticed after 10 s.
#[test]
fn a_stopped_worker_is_noticed_and_named() {
    let folder = Folder::with(
        "local f = submit(exec { shell = 'echo > up; sleep 1000' })\nlocal r = await(f)\nprint(r.status, r.reason)\n",
    );
    let mut running = folder.start(&["c.lua"]);
    await_that("the program is up", || folder.path("up").exists());
    let workers = folder.of(Role::Worker);
    assert_eq!(workers.len(), 1, "{workers:?}");
    signal(&workers[0], Signal::STOP);
    let stopped = Instant::now();
    running.await_stderr("is lost");
    assert!(stopped.elapsed() < Duration::from_secs(15), "{:?}", stopped.elapsed());
    let ran = running.end(LIMIT);
    let loss =
        "worker 0 on HOST is lost: it has not been heard of for TIME (hung, stopped, or its node is lost)";
    let stdout = format!("lost_worker\tits worker was lost while it ran: {loss}\n");
    assert_eq!((ran.code, folder.normal(&ran.stdout)), (Some(3), stdout));
    assert!(folder.normal(&ran.stderr).contains(&format!("harness: {loss}\n")), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// What workers say while the root has much to do at once lies unread until it has done that: here one call fails on which
/// all others wait.
#[test]
fn a_root_that_is_busy_for_longer_than_a_silence_may_last_loses_nobody() {
    let folder = Folder::with(
        "local busy, idle = spawn { workers = 1, slots = 1 }, spawn { workers = 1, slots = 1 }\n\
         local function fails() while not io.open 'go' do end error('no luck', 0) end\n\
         local first, last = busy:submit(fails)\n\
         local function nothing() end\n\
         for _ = 1, 60000 do last = busy:submit(nothing, first) end\n\
         io.open('go', 'w'):close()\n\
         pcall(await, last)\n\
         local function alive(word) return word end\n\
         print(await(busy:submit(alive, 'busy')), await(idle:submit(alive, 'idle')))\n",
    );
    let mut command = folder.harness(&["--start", "local", "c.lua"]);
    command.env("HARNESS_LIMITS", "heartbeat=0.1,worker_silence=1");
    let ran = folder.finish(command);
    assert_eq!(&*ran.stdout, "busy\tidle\n", "{}", ran.stderr);
    assert!(!ran.stderr.contains("is lost"), "{}", ran.stderr);
    folder.assert_nothing_left(GONE);
}

const MEASURES: &str = r#"
spawn { workers = 2, slots = 1 }
local first = "[ -e up ] && exit; echo > up; sleep 1000"
print(await(submit(measure { shell = first, runs = 1, warmup = 0 })).status)
"#;

/// Beside a measurement a worker says something once a minute, and may be silent for longer.
#[test]
fn a_stopped_worker_is_noticed_beside_a_measurement_too() {
    let folder = Folder::with(MEASURES);
    let mut command = folder.harness(&["--start", "local", "c.lua"]);
    command.env("HARNESS_LIMITS", "quiet_heartbeat=0.2,quiet_silence=2");
    let mut running = Running::start(command);
    await_that("the program is up", || folder.path("up").exists());
    let starts = |parent: &Process, child: &Process| child.parent == parent.pid.as_raw_nonzero().get();
    let (programs, keepers, workers) =
        (folder.of(Role::Program), folder.of(Role::Keeper), folder.of(Role::Worker));
    let keeper =
        keepers.iter().find(|keeper| programs.iter().any(|program| starts(keeper, program))).unwrap();
    let worker = workers.iter().find(|worker| starts(worker, keeper)).unwrap();
    signal(worker, Signal::STOP);
    running.await_stderr("is lost: it has not been heard of for 2 s");
    signal(worker, Signal::CONT);
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "ok\n"), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// Whoever is left to notice ends what a stopped or killed one cannot: programs that ignore SIGTERM and have
/// children elsewhere, and the keeper itself.
#[test]
fn a_stopped_or_killed_keeper_leaves_nothing_whatever_dies_next() {
    for (how, then) in [
        (Signal::STOP, Some(Role::Root)),
        (Signal::STOP, Some(Role::Worker)),
        (Signal::KILL, None),
        (Signal::KILL, Some(Role::Root)),
    ] {
        let folder = Folder::with(
            "submit(function() while true do end end)\nawait(submit(exec { timeout = 2, shell = [[trap '' TERM; setsid \
             sh -c 'trap \"\" TERM; echo > up; while :; do sleep 1000; done' & while :; do sleep 1000; done]] }))\n",
        );
        let running = folder.start(&["-q", "c.lua"]);
        await_that("the program is up", || folder.path("up").exists());
        for (role, how) in [(Some(Role::Keeper), how), (then, Signal::KILL)] {
            let Some(role) = role else { continue };
            let found = folder.of(role);
            assert!(found.len() == 1 || how == Signal::KILL, "{role:?}: {found:?}");
            found.iter().for_each(|process| signal(process, how));
        }
        if then == Some(Role::Root) {
            running.end(LIMIT);
            folder.assert_nothing_left(GONE);
        } else {
            folder.assert_nothing_left(LIMIT);
            assert!(running.end(LIMIT).code.is_some());
        }
    }
}

/// Runs `tasks`, which print, then waits while the test looks at what is left, worker and all still there.
fn leaves_no_program(tasks: &str, stdout: &str) {
    let script = format!(
        "local pool <close> = spawn {{ workers = 1, slots = 1 }}\n{tasks}\nprint 'look'\nio.stdout:flush()\nrepeat \
         wait({{ submit(exec {{ cmd = {{ 'true' }} }}) }}) until io.open 'seen'\n"
    );
    let folder = Folder::with(&script);
    let mut running = folder.start(&["-q", "c.lua"]);
    running.await_line("look");
    await_that("no program is left", || {
        folder.of(Role::Program).iter().all(|program| !program.command.contains("sleep"))
    });
    assert_eq!(folder.of(Role::Worker).len(), 1);
    folder.write("seen", "");
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), format!("{stdout}look\n").as_str()), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

#[test]
fn a_program_that_ignores_sigterm_ends_by_its_timeout() {
    leaves_no_program(
        "local r = await(submit(exec { timeout = 0.2, shell = [[trap '' TERM; while :; do sleep 1000; done]] }))\n\
         print(r.status)\n",
        "timeout\n",
    );
}

#[test]
fn daemons_end_with_the_program_that_left_them() {
    leaves_no_program(
        "local r = await(submit(exec { shell = '(setsid sh -c \"sleep 1000 & sleep 1000\" >/dev/null 2>&1 &); exit 0' }))\n\
         print(r.status, r.leftovers >= 1)\n",
        "ok\ttrue\n",
    );
}

#[test]
fn a_storm_of_200_processes_ends_with_its_program() {
    leaves_no_program(
        "local r = await(submit(exec { shell = 'i=0; while [ $i -lt 200 ]; do setsid sleep 1000 >/dev/null 2>&1 & \
         i=$((i+1)); done' }))\nprint(r.status, r.leftovers)\n",
        "ok\t200\n",
    );
}

/// A call's daemon may live as long as its slot: the state it leaves behind is the slot's. It goes with it.
#[test]
fn daemons_of_a_call_end_with_the_campaign() {
    let folder = Folder::with(
        "print(await(submit(function() return os.execute '(setsid sleep 1000 >/dev/null 2>&1 &)' end)))\n",
    );
    let ran = folder.run(&["c.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "true\texit\t0\n"), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

#[test]
fn a_call_that_never_ends_ends_by_its_timeout_and_the_next_runs() {
    let folder = Folder::with(
        "spawn { workers = 1, slots = 1 }\nlocal ok, e = pcall(await, submit(call { timeout = 0.2, function() while \
         true do end end }))\nprint(ok, e.kind, e.message)\nprint(await(submit(function() return 'next' end)))\n",
    );
    let ran = folder.run(&["-q", "c.lua"]);
    let stdout = "false\ttimeout\tran into its timeout of 0.2 s at c.lua:2\nnext\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), stdout), "{ran:#?}");
}

/// The limit is of this campaign's processes alone, not of the machine. Whether the slot sees the error or
/// aborts depends on where memory ends; both are typed, and the worker lives on.
#[test]
fn a_call_that_takes_all_memory_is_typed_and_the_next_runs() {
    let folder = Folder::with(
        "spawn { workers = 1, slots = 1 }\nlocal ok, e = pcall(await, submit(function() local t = {} while true do t[#t \
         + 1] = ('x'):rep(1 << 20) .. #t end end))\nprint(ok, e.kind == 'error' or e.kind == 'signal', e.kind)\n\
         print(await(submit(function() return 'next' end)))\n",
    );
    let ran = folder.finish(folder.harness_after("ulimit -v 500000", &["-q", "c.lua"]));
    let mut lines = ran.stdout.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("false\ttrue\t"), "{ran:#?}");
    assert_eq!((ran.code, lines.next(), lines.next()), (Some(0), Some("next"), None), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// The signal to stop may come when the call it was for has ended, and the next one waits for its session.
#[test]
fn a_late_signal_to_stop_leaves_the_next_calls_session_alone() {
    let folder = Folder::with(
        "local harness = require 'harness'\nspawn { workers = 1, slots = 1 }\nprint(await(submit(function()\n  local \
         helper = harness.session { cmd = { 'sh', '-c', 'read l; echo > up; until [ -e go ]; do sleep 0.01; done; echo \
         [7]; read l' } }\n  return helper:request({ 1 })[1]\nend)))\n",
    );
    let running = folder.start(&["-q", "c.lua"]);
    await_that("the helper was asked", || folder.path("up").exists());
    let slots = folder.of(Role::Slot);
    assert_eq!(slots.len(), 1, "{slots:?}");
    signal(&slots[0], Signal::URG);
    folder.write("go", "");
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "7\n"), "{ran:#?}");
}

#[test]
fn a_stopped_idle_slot_is_replaced_and_its_call_runs() {
    let folder = Folder::with(
        "spawn { workers = 1, slots = 1 }\nprint(await(submit(function() return 'first' end)))\nio.stdout:flush()\n\
         repeat await(submit(exec { cmd = { 'sleep', '0.01' } })) until io.open 'go'\n\
         print(await(submit(function() return 'next' end)))\n",
    );
    let mut command = folder.harness(&["-q", "c.lua"]);
    command.env("HARNESS_LIMITS", "slot_silence=0.3");
    let mut running = crate::support::Running::start(command);
    running.await_line("first");
    let slots = folder.of(Role::Slot);
    assert_eq!(slots.len(), 1, "{slots:?}");
    signal(&slots[0], Signal::STOP);
    folder.write("go", "");
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "first\nnext\n"), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// One that ends with its slot counts by its time too: with none it would be asked again.
#[test]
fn a_call_that_timed_out_in_c_answers_from_the_journal() {
    let folder = Folder::with(
        "spawn { workers = 1, slots = 1 }\nlocal ok, e = pcall(await, submit(call { key = 'k', timeout = 0.2, function() \
         os.execute 'echo >> ran; exec sleep 1000' end }))\nprint(ok, e.kind)\n",
    );
    for _ in 0..2 {
        let ran = folder.run(&["-q", "c.lua"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "false\ttimeout\n"), "{ran:#?}");
        assert_eq!(folder.lines("ran"), 1);
    }
}
