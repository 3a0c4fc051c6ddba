//! Limits of waits, reached: each says what it waited for, and leaves nothing behind. `HARNESS_LIMITS` makes them
//! short, `HARNESS_WORKER` makes a worker that does what a broken one would.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::said;
use crate::support::memory_group::MemoryGroup;
use crate::support::{Folder, LIMIT, Role, await_that, signal};

const GONE: Duration = Duration::from_secs(10);
const AWAIT_SPAWN: &str = "print(pcall(spawn, { workers = 1 }))\n";

/// A campaign that only asks for a worker, which is this shell script.
fn worker_is(script: &str, limits: &str, code: i32, stdout: &str, stderr: &str) {
    let folder = Folder::with(AWAIT_SPAWN);
    let mut command = folder.harness_with_worker(script, &["c.lua"]);
    command.env("HARNESS_LIMITS", limits);
    said(&folder, folder.finish(command), code, stdout, stderr);
    folder.assert_nothing_left(GONE);
}

#[test]
fn a_worker_that_says_nothing_is_given_up() {
    let stdout = "false\tc.lua:1: spawn: no word within TIME from worker 0 on HOST\n";
    let stderr = "harness: worker 0 on HOST is lost: it did not end within TIME of being told to\n";
    worker_is("exec sleep 1000", "start=0.3,dismiss=0.2", 0, stdout, stderr);
}

#[test]
fn a_worker_that_ends_at_once_is_named() {
    let loss = "worker 0 on HOST is lost: its process ended";
    worker_is("exit 3", "", 0, &format!("false\tc.lua:1: spawn: {loss}\n"), "");
}

#[test]
fn a_worker_of_another_build_is_refused() {
    let folder = Folder::with(AWAIT_SPAWN);
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_harness")).unwrap();
    bytes.push(0);
    folder.write("other", bytes);
    fs::set_permissions(folder.path("other"), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = folder.finish(folder.harness_with_worker("exec ./other \"$@\"", &["c.lua"]));
    let (code, out) = (ran.code, folder.normal(&ran.stdout));
    let beginning =
        "false\tc.lua:1: spawn: worker 0 on HOST is lost: the worker on HOST runs another build of harness (";
    assert!(code == Some(0) && out.starts_with(beginning), "{ran:#?}");
    assert!(out.ends_with("): install one build on all nodes\n"), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// What the root fetches from a node whose store is another one comes whole or not at all.
#[test]
fn a_pool_closed_while_an_artefact_travels_still_delivers_it() {
    let folder = Folder::with(
        "local pool = spawn { workers = 1 }\nlocal build = submit(compile { cmd = { 'sh', '-c', 'head -c 50000000 \
         /dev/zero > prog' }, output = 'prog', inputs = { 'c.lua' } })\nprint(await(build).status)\npool:close()\nspawn \
         { workers = 1 }\nprint(await(submit(exec { cmd = { 'wc', '-c', build } })).stdout:match '%d+')\n",
    );
    let own_cache = "HARNESS_CACHE=\"$PWD/cache.$$\" exec \"$HARNESS\" \"$@\"";
    let ran = folder.finish(folder.harness_with_worker(own_cache, &["c.lua"]));
    // On a busy machine a line of progress may come before.
    assert!(ran.code == Some(0) && ran.stderr.ends_with("harness: 2 tasks: 2 ok\n"), "{ran:#?}");
    assert_eq!(ran.stdout, "ok\n50000000\n");
    folder.assert_nothing_left(GONE);
}

/// What is damaged in the root's store is no fault of the worker that finds it so.
#[test]
fn a_damaged_artefact_costs_its_task_and_no_worker_and_is_built_again() {
    let folder = Folder::with(
        "local pool = spawn { workers = 1 }\nlocal build = submit(compile { cmd = { 'sh', '-c', 'echo whole > prog' }, output \
         = 'prog', inputs = { 'c.lua' } })\nprint(await(build).status)\npool:close()\nif not io.open 'once' then\n\
         os.execute 'touch once; find cache/objects -type f -exec chmod u+w {} + -exec truncate -s 3 {} +' end\nspawn { workers = \
         1 }\nlocal read = await(submit(exec { cmd = { 'cat', build } }))\nprint(read.status, read.reason or \
         read.stdout)\nprint(await(submit(exec { cmd = { 'true' } })).status)\n",
    );
    let own_cache = "HARNESS_CACHE=\"$PWD/cache.$$\" exec \"$HARNESS\" \"$@\"";
    let run = || folder.finish(folder.harness_with_worker(own_cache, &["c.lua"]));
    let ran = run();
    assert!(ran.code == Some(0) && !ran.stderr.contains("lost"), "{ran:#?}");
    assert!(ran.stdout.starts_with("ok\nrefused\tartefact ") && ran.stdout.ends_with("\nok\n"), "{ran:#?}");
    assert!(ran.stderr.contains(" was damaged in the store "), "{ran:#?}");
    let again = run();
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "ok\nok\twhole\n\nok\n"), "{again:#?}");
    folder.assert_nothing_left(GONE);
}

#[test]
fn a_limit_that_is_none_is_named() {
    let folder = Folder::with("print 'no'");
    let mut command = folder.harness(&["c.lua"]);
    command.env("HARNESS_LIMITS", "start=soon");
    let text = "harness: HARNESS_LIMITS: `start=soon`: that is no number of seconds\n";
    said(&folder, folder.finish(command), 2, "", text);
}

/// A rebuild replaces the executable; the kernel keeps the old one for those who run it.
#[test]
fn a_replaced_executable_does_not_stop_a_campaign() {
    let folder = Folder::with(
        "print 'ready'\nio.stdout:flush()\nrepeat local there = io.open 'go' until there\nspawn { workers = 1, slots = 1 \
         }\nprint(await(submit(exec { shell = 'echo program' })).stdout)\nprint(await(submit(function() return 'call' \
         end)))\n",
    );
    fs::copy(env!("CARGO_BIN_EXE_harness"), folder.path("harness")).unwrap();
    let mut command = std::process::Command::new(folder.path("harness"));
    folder.at_home(command.arg("c.lua"));
    let mut running = crate::support::Running::start(command);
    running.await_line("ready");
    fs::remove_file(folder.path("harness")).unwrap();
    folder.write("harness", "another build");
    folder.write("go", "");
    said(&folder, running.end(LIMIT), 0, "ready\nprogram\n\ncall\n", "harness: 2 tasks: 2 ok\n");
    folder.assert_nothing_left(GONE);
}

#[test]
fn a_stack_that_is_too_small_is_said() {
    let folder = Folder::with("print 'x'\n");
    let ran = folder.finish(folder.harness_after("ulimit -s 64", &["c.lua"]));
    let said = "harness: a limit of this shell is too low: its processes may have stacks of 64 KiB, and harness needs 512; look at \
                `ulimit -s`\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(3), "", said));
    let ran = folder.finish(folder.harness_after("ulimit -s 512", &["-q", "c.lua"]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "x\n"), "{ran:#?}");
}

#[test]
fn too_few_descriptors_are_named_with_the_remedy() {
    let folder = Folder::with(AWAIT_SPAWN);
    for limit in [14, 16] {
        let ran = folder.finish(folder.harness_after(&format!("ulimit -n {limit}"), &["c.lua"]));
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert!(text.contains("too many open files") && text.contains("ulimit -n"), "{limit}: {ran:#?}");
        folder.assert_nothing_left(GONE);
    }
}

/// Root may start as many processes as it likes: memory is short for everybody.
#[test]
fn too_little_memory_to_begin_is_named_with_the_remedy() {
    let folder = Folder::with("print 'begun'");
    let mut refused = 0;
    for kib in (2..40).map(|step| step * 1024) {
        let ran = folder.finish(folder.harness_after(&format!("ulimit -d {kib}"), &["--fresh", "c.lua"]));
        if ran.stderr.contains("cannot set up the root process") {
            refused += 1;
            assert_eq!(ran.code, Some(3), "{ran:#?}");
            assert!(ran.stderr.contains("ulimit -u") && ran.stderr.contains("ulimit -d"), "{ran:#?}");
        } else if ran.stdout.contains("begun") {
            break;
        }
        // 127: the loader had none for the libraries; SIGSEGV: the kernel had none for what the program begins with.
        let never_began = refused == 0 && ran.signal == Some(Signal::SEGV.as_raw());
        let is_told =
            ran.stderr.contains("the script's Lua gets no memory from the system: raise `ulimit -d`");
        assert!(never_began || is_told || matches!(ran.code, Some(3 | 127)), "{kib}: {ran:#?}");
    }
    assert!(refused > 0, "no such limit was met");
}

/// What Lua's own limit does not count: memory that was freed in small pieces, and other threads'.
#[test]
fn memory_that_is_refused_later_is_said_with_the_remedy() {
    let folder = Folder::with(
        "local kept = ('x'):rep(100 << 20)\nprint 'kept'\nio.stdout:flush()\nfor i = 1, 100 do submit(exec { cmd = { 'true' }, \
         stdin = kept .. i }) end\n",
    );
    let ran = folder.finish(folder.harness_after("ulimit -d 400000", &["-q", "--start", "local", "c.lua"]));
    let told = "harness: the system refuses memory: raise `ulimit -d` and `ulimit -v`, or keep and queue less (--most-queued)";
    assert!(ran.code == Some(3) && ran.stdout == "kept\n" && ran.stderr.contains(told), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// What the script keeps in variables is bounded, so that it fails in order; what it has caught it can go on after.
#[test]
fn a_script_that_takes_all_memory_is_an_error_that_says_so() {
    let folder = Folder::with(
        "local function grow() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100000) .. i end end
print(pcall(grow))
collectgarbage()
spawn { workers = 1, slots = 1 }
print(await(submit(exec { cmd = { 'echo', 'on' } })).stdout)
grow()
",
    );
    let ran = folder.finish(folder.harness_after("ulimit -d 400000", &["-q", "c.lua"]));
    assert_eq!((ran.code, &*ran.stdout), (Some(1), "false\tnot enough memory\non\n\n"), "{ran:#?}");
    // Three quarters of 390 MiB, but for what the process has besides.
    let told = ran.stderr.split_once("harness: the script's Lua ran out of memory: its values may take ");
    let told = told.and_then(|(_, told)| told.split_once(" MiB, three quarters of what"));
    let mib = told.and_then(|(mib, _)| mib.parse::<f64>().ok()).unwrap_or_default();
    assert!((100.0..293.0).contains(&mib), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// The task has ended, and whoever asks for what it came to is told why there is nothing; the others have theirs.
#[test]
fn a_record_for_which_there_is_no_memory_is_an_error_of_its_future() {
    let folder = Folder::with(
        "local all, kept, count = {}, nil, 0
        for i = 1, 40 do all[i] = submit(exec { shell = 'sleep 0.1; head -c 900000 /dev/zero' }) end
        local x = ('x'):rep(50000) -- Lua's buffers fail without a look at what could be freed; what is joined does not
        pcall(function() while true do kept, count = { kept, x .. count }, count + 1 end end)
        local at, well, why = 0, true, nil
        while well do
          at = at + 1
          well, why = pcall(await, all[at])
        end
        kept = nil
        collectgarbage()
        print(well, why)
        print(pcall(await, all[at]))
        print(all[at]:done(), all[at]:status(), await(all[40]).status)",
    );
    let ran = folder.finish(folder.harness_after("ulimit -d 600000", &["-q", "--start", "local", "c.lua"]));
    let why = "false\twhat it came to could not be taken up: memory error: not enough memory";
    assert_eq!((ran.code, ran.stdout.lines().filter(|line| *line == why).count()), (Some(0), 2), "{ran:#?}");
    assert!(ran.stdout.ends_with("\ntrue\terror\tok\n"), "{ran:#?}");
}

#[test]
fn a_call_that_the_kernel_ends_for_memory_is_oom_and_the_next_runs() {
    let Some(group) = MemoryGroup::of(400 << 20) else {
        println!("skipped: may not make a memory control group");
        return;
    };
    let folder = Folder::with(
        "local function grow() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100000) .. i end end
local ok, e = pcall(await, submit(grow))
print(ok, e.kind, e.message)
print(await(submit(function() return 'on' end)))
print(await(submit(function()
  local helper <close> = require('harness').session { cmd = { 'awk', 'BEGIN { while (1) s = s \"xxxxxxxx\" s }' } }
  local ok, e = pcall(helper.request, helper, {}, 60)
  return e.kind, e.message
end)))
",
    );
    let begin = format!("echo $$ > {}/cgroup.procs", group.0.display());
    let ran =
        folder.finish(folder.harness_after(&begin, &["-q", "--start", "local", "--slots", "1", "c.lua"]));
    let told =
        "false\toom\tthe kernel killed its slot while it ran: out of memory (the count of such kills in ";
    assert!(
        ran.code == Some(0)
            && ran.stdout.starts_with(told)
            && ran.stdout.contains(" rose)\non\noom\tc.lua:7: session `awk ")
            && ran.stdout.contains("`: the kernel killed it: out of memory (")
            && ran.stdout.ends_with(" rose)\n"),
        "{ran:#?}"
    );
    folder.assert_nothing_left(GONE);
}

/// A stopped keeper answers nothing and could end nothing: its worker notices, and ends all of it.
#[test]
fn a_stopped_keeper_is_noticed_and_its_tasks_are_lost() {
    for quiet in [false, true] {
        let task = if quiet {
            "measure { cmd = { 'sh', '-c', LINE }, timeout = 0.2 }"
        } else {
            "exec { shell = LINE }"
        };
        let script = format!(
            "local LINE = 'echo > up; trap \"\" TERM; while :; do sleep 1000; done'\nlocal pool = spawn {{ workers = 1, \
             slots = 1 }}\nlocal r = await(pool:submit({task}))\nprint(r.status, r.reason)\n"
        );
        let folder = Folder::with(&script);
        let mut command = folder.harness(&["-q", "c.lua"]);
        command.env("HARNESS_LIMITS", "heartbeat=0.05,keeper_silence=0.3,overdue=0.3");
        let running = crate::support::Running::start(command);
        await_that("the program is up", || folder.path("up").exists());
        let keepers = folder.of(Role::Keeper);
        assert_eq!(keepers.len(), 1, "{keepers:?}");
        signal(&keepers[0], Signal::STOP);
        let ran = running.end(LIMIT);
        let loss =
            "worker 0 on HOST is lost: the keeper of this node has not answered for TIME (hung or stopped)";
        let stdout = format!("lost_worker\tits worker was lost while it ran: {loss}\n");
        assert_eq!((ran.code, folder.normal(&ran.stdout)), (Some(3), stdout), "{ran:#?}");
        assert!(folder.normal(&ran.stderr).contains(&format!("harness: {loss}\n")), "{ran:#?}");
        folder.assert_nothing_left(GONE);
    }
}

/// What is larger than a message ends its own task: the worker, and what runs there, live on.
#[test]
fn what_is_too_large_to_be_sent_is_refused_and_its_worker_lives() {
    let script = "spawn { workers = 1 }\n\
         local function told(...)\n  local _, o = pcall(await, submit(...))\n  print(o.status or o.kind, o.host, o.reason or o.message)\nend\n\
         local beside = submit(exec { cmd = { 'sleep', '1' } })\n\
         told(exec { cmd = { 'wc', '-c' }, stdin = ('x'):rep(1 << 20), retries = 2 })\n\
         told(function(text) return #text end, ('x'):rep(1 << 20))\n\
         told(function() return ('x'):rep(1 << 20) end)\n\
         told(exec { cmd = { 'head', '-c', '1048576', '/dev/zero' } })\n\
         io.write(await(beside).status, '\\t', await(submit(exec { cmd = { 'echo', 'on' } })).stdout)\n";
    let folder = Folder::with(script);
    let mut command = folder.harness(&["c.lua"]);
    command.env("HARNESS_LIMITS", "message_bytes=1048576");
    let ran = folder.finish(command);
    let out = folder.normal(&ran.stdout);
    let limit = " B, and the limit is 1048576 B (1 MiB): ";
    let (asked, result) = (" is too large to be sent to a worker", "its result is too large to be sent");
    let expected = [
        (format!("`stdin`{asked}"), "name a file in `inputs` and read that"),
        (format!("what its function is called with{asked}"), "write it to a file and pass its name"),
        (result.into(), "let it write to files, and return or print less"),
        (result.into(), "let it write to files, and return or print less"),
    ];
    let lines: Vec<&str> = out.lines().collect();
    for (line, (what, instead)) in lines.iter().zip(&expected) {
        let beginning = format!("refused\tHOST\t{what}: the message has ");
        assert!(line.starts_with(&beginning) && line.ends_with(&format!("{limit}{instead}")), "{ran:#?}");
    }
    assert_eq!(lines[expected.len()..], ["ok\ton"], "{ran:#?}");
    assert!(!ran.stderr.contains("is lost"), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}
