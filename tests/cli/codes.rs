//! Exit codes: each with a campaign that ends so.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::says;
use crate::support::{Folder, LIMIT};

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
            "harness: 1 task: 1 ok\nharness: stopped by {name} with 1 task unfinished. Nothing reported is lost: \
             DIR/c.lua.journal has it. Run the same command again to go on.\n"
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
