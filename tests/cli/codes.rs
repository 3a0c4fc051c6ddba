//! Exit codes: each with a campaign that ends so.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::says;
use crate::support::{Folder, LIMIT, Running, await_that};

#[test]
fn an_empty_script_is_a_campaign_that_did_what_it_should() {
    says(&Folder::with(""), &["c.lua"], 0, "", "");
}

#[test]
fn help_names_every_exit_code() {
    let ran = Folder::new().run(&["--help"]);
    assert_eq!(ran.code, Some(0));
    let codes = ran.stdout.split_once("Exit codes:").expect("a section on exit codes").1;
    for code in ["0 the", "1 the", "2 wrong", "3 workers", "4 the", "70 a", "75 stopped", "130 interrupted"] {
        assert!(codes.contains(code), "{code} in {codes}");
    }
    assert_eq!(ran.stderr, "");
}

#[test]
fn version_names_the_mpi() {
    let ran = Folder::new().run(&["--version"]);
    let first = format!("harness {}\nMPI: built ", env!("CARGO_PKG_VERSION"));
    assert!(ran.stdout.starts_with(&first), "{ran:?}");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_error_in_the_script_is_1_with_its_lines() {
    let folder = Folder::with(
        "local function inner() local x = nil + 1 end\nlocal function outer() inner() end\n\nouter()\n",
    );
    let text = "harness: c.lua:1: attempt to perform arithmetic on a nil value\nstack traceback:\n\tc.lua:1: in upvalue \
                'inner'\n\tc.lua:2: in local 'outer'\n\tc.lua:4: in main chunk\n";
    says(&folder, &["c.lua"], 1, "", text);
}

#[test]
fn os_exit_ends_with_its_code_and_closes_what_is_open() {
    let folder = Folder::with(
        "local x <close> = setmetatable({}, { __close = function() print 'closed' end })\nos.exit(7)\n",
    );
    says(&folder, &["c.lua"], 7, "closed\n", "");
    for (given, code) in [(255, 255), (256, 255), (-1, 255), (1 << 30, 255)] {
        folder.write("c.lua", format!("os.exit({given})\n"));
        says(&folder, &["c.lua"], code, "", "");
    }
}

/// Both sleep far longer than the test may take: they are ended with the script.
#[test]
fn tasks_of_a_script_that_fails_or_exits_are_ended_with_it() {
    for (ending, code, last) in [
        ("error('stop here', 0)", 1, "harness: stop here\nstack traceback:\n\tc.lua:5: in main chunk\n"),
        ("os.exit(9)", 9, ""),
    ] {
        let script = format!(
            "submit(exec {{ name = 'long', shell = 'echo > started; sleep 1000' }})\nsubmit(call {{ name = 'loop', \
             function() local f = io.open('looping', 'w') f:close() while true do end end }})\nlocal there = \
             function(name) local f = io.open(name) if f then f:close() end return f end\nrepeat wait({{}}, {{ timeout \
             = 0.01 }}) until there 'started' and there 'looping'\n{ending}\n"
        );
        let folder = Folder::with(&script);
        let ran = folder.start(&["c.lua"]).end(Duration::from_secs(20));
        folder.assert_nothing_left(Duration::from_secs(1));
        let text = folder.normal(&ran.stderr);
        let mut lines: Vec<_> = text.lines().take(3).collect();
        lines[1..].sort_unstable();
        assert_eq!(
            lines,
            [
                "harness: 2 tasks: 2 cancelled",
                "  call loop on HOST: cancelled: cancelled before it ended",
                "  exec long on HOST: cancelled: cancelled before it ended",
            ],
        );
        assert_eq!(
            (ran.code, text.lines().skip(3).map(|line| format!("{line}\n")).collect::<String>()),
            (Some(code), last.into())
        );
    }
}

#[test]
fn ctrl_c_is_75_within_two_seconds_and_a_second_run_completes() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::with(
            "print('first', await(submit(exec { key = 'a', shell = 'echo >> a' })).ok)\nio.stdout:flush()\n\
             print('second', await(submit(exec { key = 'b', shell = 'echo >> b; test -e go || sleep 1000' })).ok)\n",
        );
        let mut running = folder.start(&["c.lua"]);
        running.await_line("first\ttrue");
        crate::support::await_that("the second program runs", || folder.lines("b") == 1);
        let began = std::time::Instant::now();
        running.signal(signal);
        let ran = running.end(LIMIT);
        let elapsed = began.elapsed();
        folder.assert_nothing_left(Duration::from_secs(2));
        let name = if signal == Signal::INT { "SIGINT" } else { "SIGTERM" };
        let text = format!(
            "harness: 1 task: 1 ok\nharness: stopped by {name} with 1 task unfinished: exec `echo >> b; test -e go \
             || sleep 1000`, running for TIME without a `timeout`. Nothing reported is lost: DIR/c.lua.journal has it. \
             Run the same command again to go on.\n"
        );
        assert_eq!((ran.code, folder.normal(&ran.stderr)), (Some(75), text));
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
        folder.write("go", "");
        says(
            &folder,
            &["c.lua"],
            0,
            "first\ttrue\nsecond\ttrue\n",
            "harness: 2 tasks (1 from the journal): 2 ok\n",
        );
        assert_eq!((folder.lines("a"), folder.lines("b")), (1, 2));
    }
}

/// Those that ran longest by name, the rest counted: one of them may never end.
#[test]
fn what_ran_when_it_was_stopped_is_named() {
    let folder = Folder::with(
        "submit(measure { name = 'hanger', params = { n = 3 }, shell = 'echo >> up; sleep 1000', timeout = '1 h' })\n         for i = 1, 5 do submit(measure { name = 'next', params = { n = i }, cmd = { 'true' } }) end\n",
    );
    let running = folder.start(&["c.lua"]);
    crate::support::await_that("the first program runs", || folder.lines("up") == 1);
    running.signal(Signal::INT);
    let ran = running.end(LIMIT);
    let text = folder.normal(&ran.stderr);
    let said = "harness: stopped by SIGINT with 6 tasks unfinished: measure hanger n=3, running for TIME; 5 more. Nothing";
    assert!(text.starts_with(said), "{text}");
}

/// Also of who does not end when it is told to: nobody waits for that.
#[test]
fn what_does_not_heed_a_stop_is_named() {
    for (kind, as_told) in [("measure", "measure stubborn"), ("exec", "exec stubborn")] {
        let program = "trap '' INT TERM; while :; do echo >> up; sleep 1; done";
        let folder =
            Folder::with(&format!("await(submit({kind} {{ name = 'stubborn', shell = \"{program}\" }}))\n"));
        let running = folder.start(&["c.lua"]);
        // So long after its start it is none that may be over before anybody needs to know that it began.
        crate::support::await_that("it runs", || folder.lines("up") == 3);
        running.signal(Signal::INT);
        let text = folder.normal(&running.end(LIMIT).stderr);
        let said = format!(
            "harness: stopped by SIGINT with 1 task unfinished: {as_told}, running for TIME without a `timeout`. Nothing"
        );
        assert!(text.starts_with(&said), "{text}");
    }
}

/// Tasks without a worker are no results: the script may be content, its caller is told.
#[test]
fn a_campaign_without_a_worker_at_its_end_is_3() {
    let lost = "local pool = spawn {}\nawait(submit(exec { shell = 'kill -9 $PPID', retries = 0 }))\n                print(await(submit(exec { cmd = { 'true' } })).reason)\n";
    let folder = Folder::with(lost);
    let ran = folder.run(&["c.lua"]);
    let text = folder.normal(&ran.stderr);
    let last = "harness: 2 tasks had no worker left to run on, and none came again (`pool:grow()` or `spawn{}` starts \
                some). Run the same command again to go on.\n";
    assert!(text.ends_with(last), "{text}");
    let reason =
        "no worker is left that could run it (`pool:grow()` or `spawn{}` starts new ones): worker 0 on ";
    assert!(ran.stdout.starts_with(reason), "{ran:#?}");
    assert_eq!(ran.code, Some(3));
    folder.write(
        "c.lua",
        format!(
            "{lost}pool:grow {{ workers = 1 }}\nassert(await(submit(exec {{ cmd = {{ 'true' }} }})).ok)\n"
        ),
    );
    assert_eq!(folder.run(&["c.lua"]).code, Some(0));
}

#[test]
fn ctrl_c_ends_a_script_that_never_waits() {
    let folder = Folder::with("print 'busy'\nio.stdout:flush()\nwhile true do end\n");
    let mut running = folder.start(&["c.lua"]);
    running.await_line("busy");
    let began = std::time::Instant::now();
    running.signal(Signal::INT);
    let ran = running.end(LIMIT);
    assert_eq!(ran.code, Some(75), "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// What is left when a script has ended may take for ever: what it is comes on the screen, and Ctrl-C ends it.
#[test]
fn a_script_that_never_gets_done_with_its_end_says_what_it_waits_for() {
    let never =
        "setmetatable({}, { FIELD = function() print 'looping' io.stdout:flush() while true do end end })";
    let (close, collect) = (never.replace("FIELD", "__close"), never.replace("FIELD", "__gc"));
    let flow = format!(
        "go(function()\n  local x <close> = {close}\n  await(submit(exec {{ cmd = {{ 'sleep', '1000' }} }}))\nend)\n"
    );
    let place = "a <close> variable of the flow at c.lua:3";
    for (script, what) in [
        (format!("{flow}os.exit(3)\n"), place),
        (format!("{flow}error 'no'\n"), place),
        (format!("local x <close> = {close}\nerror 'no'\n"), "a <close> variable of the flow at c.lua:2"),
        (format!("x = {collect}\n"), "a `__gc` metamethod"),
    ] {
        let folder = Folder::with(&script);
        let mut command = folder.harness(&["c.lua"]);
        command.env("HARNESS_LIMITS", "leave=0.2");
        let mut running = Running::start(command);
        running.await_line("looping");
        running.await_stderr("Ctrl-C ends it\n");
        running.signal(Signal::INT);
        let ran = running.end(LIMIT);
        let said =
            format!("harness: the script has ended, but {what} has been running for TIME; Ctrl-C ends it\n");
        let text = folder.normal(&ran.stderr);
        assert!(text.contains(&said), "{what}: {text}");
        assert!(text.ends_with("The script itself was still busy and was cut off.\n"), "{what}: {text}");
        assert_eq!(ran.code, Some(75));
        folder.assert_nothing_left(Duration::from_secs(10));
    }
}

/// Here a batch system that does not answer; a file system that does not would be the same without an end.
#[test]
fn a_second_signal_ends_what_has_not_begun() {
    let folder = Folder::with("print 'begun'\n");
    for asked in ["slow/squeue", "slow/scontrol"] {
        folder.write(asked, "#!/bin/sh\ntouch asked\nexec sleep 1000\n");
        fs::set_permissions(folder.path(asked), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut command = folder.harness(&["--start", "local", "c.lua"]);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.path("slow").display());
    command.env("PATH", path).env("SLURM_JOB_ID", "17").env("SLURM_JOB_NODELIST", host.trim());
    let mut running = Running::start(command);
    await_that("it asks", || folder.path("asked").exists());
    running.signal(Signal::INT);
    running.await_stderr("harness: SIGINT: stops once its start has returned; a second one ends at once\n");
    running.signal(Signal::TERM);
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(130), ""), "{ran:#?}");
    assert!(ran.stderr.contains("harness: interrupted while it waited for its start"), "{ran:#?}");
}

/// What harness says last of its journal is true whatever became of the file meanwhile.
#[test]
fn a_journal_that_is_removed_or_replaced_is_where_the_last_line_says() {
    let script = "print(await(submit(exec { key = 'a', cmd = { 'true' } })).ok)\nio.stdout:flush()\nawait(submit(exec { \
                  cmd = { 'sleep', '1000' } }))\n";
    let recorded = |folder: &Folder, name: &str| {
        folder.journal(name).iter().filter(|record| record["type"] == "task").count()
    };
    for twice in [false, true] {
        let folder = Folder::with(script);
        let mut running = folder.start(&["c.lua"]);
        running.await_line("true");
        fs::rename(folder.path("c.lua.journal"), folder.path("old")).unwrap();
        folder.write("c.lua.journal", "other");
        running.signal(Signal::INT);
        if twice {
            running.signal(Signal::TERM);
        }
        let ran = running.end(LIMIT);
        let text = "stopped, because records cannot be written: journal DIR/c.lua.journal: something else was put in its \
                    place while harness wrote to it; that was left alone, and all the journal holds was written to \
                    DIR/c.lua.journal.1\n  What was reported before is in DIR/c.lua.journal.1; move it back to \
                    DIR/c.lua.journal, and the same command goes on from there\n";
        assert!(folder.normal(&ran.stderr).ends_with(text), "{twice}: {ran:#?}");
        assert_eq!(
            (folder.read("c.lua.journal").as_str(), recorded(&folder, "c.lua.journal.1")),
            ("other", 1)
        );
    }
    let folder = Folder::with(script);
    let mut running = folder.start(&["c.lua"]);
    running.await_line("true");
    fs::remove_file(folder.path("c.lua.journal")).unwrap();
    let ran = running.end(LIMIT);
    let text = "harness: stopped, because records cannot be written: journal DIR/c.lua.journal: it was removed or moved \
                while harness wrote to it; all it holds was written back there\n  What was reported before is in \
                DIR/c.lua.journal; once that is mended, the same command goes on from there\n";
    assert!(folder.normal(&ran.stderr).ends_with(text), "{ran:#?}");
    assert_eq!((ran.code, recorded(&folder, "c.lua.journal")), (Some(4), 1));
}

/// A slot that ignores everything holds up the orderly end for its moment of grace: time for a second signal.
#[test]
fn a_second_ctrl_c_is_130_at_once_and_leaves_nothing() {
    let folder = Folder::with(
        "local f = submit(exec { shell = 'trap \"\" TERM INT; echo > up; while :; do sleep 1; done' })\nlocal \
         x <close> = setmetatable({}, { __close = function() while true do end end })\nawait(f)\n",
    );
    let running = folder.start(&["c.lua"]);
    crate::support::await_that("the program is up", || folder.path("up").exists());
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    let ran = running.end(LIMIT);
    let text = "harness: interrupted; what was reported is in DIR/c.lua.journal\n";
    assert_eq!((ran.code, folder.normal(&ran.stderr).as_str()), (Some(130), text));
    folder.assert_nothing_left(Duration::from_secs(10));
}

#[test]
fn a_pipe_that_nobody_reads_holds_nothing_up() {
    let folder = Folder::with(
        "submit(exec { shell = 'trap \"\" TERM INT; echo > up; while :; do sleep 1; done' })\nawait(submit(exec { shell \
         = 'sleep 1000' }))\n",
    );
    let (_unread, mut full) = std::io::pipe().unwrap();
    let size = rustix::pipe::fcntl_setpipe_size(&full, 4096).unwrap();
    full.write_all(&vec![b'x'; size]).unwrap();
    let mut command = folder.harness(&["-v", "--slots", "2", "c.lua"]);
    let mut child = command.stdout(Stdio::null()).stderr(full).spawn().unwrap();
    crate::support::await_that("the program is up", || folder.path("up").exists());
    for signal in [Signal::INT, Signal::TERM] {
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
    }
    crate::support::await_that("its end", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    folder.assert_nothing_left(Duration::from_secs(10));
}
