//! The end of a job's time: what would not end before it is not started, and a job that is started again goes on.

use rustix::process::Signal;

use crate::support::{Folder, LIMIT, Running, await_that};

/// What is held back, and what is said of it: it fits into a whole run (of 20 s, less the start) and not after the 2 s of the
/// first task. The deadline is far enough not to come first.
fn held(folder: &Folder, takes: &str) {
    let ran = folder.run(&["--deadline", "21 s", "--margin", "1 s", "c.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(75), "ok\n"), "{ran:#?}");
    let said = folder.normal(&ran.stderr.replace(takes, "NEEDED"));
    let first = "harness: long (task 1): it is not started, because it would not end in time: it may take NEEDED, and TIME \
                 are left; tasks like that are left to the next run (`harness status` counts them while this one works)\n";
    let last = "harness: stopped for want of time (it would be stopped TIME before --deadline TIME anyhow) with 1 task \
                unfinished (1 of them not started, because they would not have ended in time). Nothing reported is lost: \
                DIR/c.lua.journal has it. Run the same command again to go on.\n";
    assert!(said.starts_with(first) && said.ends_with(last), "{said}");
    let end = folder.journal("c.lua.journal").pop().unwrap();
    assert_eq!(
        (&end["type"], &end["how"], &end["unfinished"]),
        (&"end".into(), &"stopped".into(), &1.into())
    );
}

#[test]
fn what_may_take_longer_than_is_left_is_left_to_the_next_run() {
    let folder = Folder::with(
        "print(await(submit(exec { key = 'first', shell = 'sleep 2' })).status)
        io.stdout:flush()
        print(await(submit(exec { name = 'long', cmd = { 'true' }, timeout = 18.3 })).status)",
    );
    held(&folder, "18.3 s");
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "ok\nok\n"), "{ran:#?}");
}

/// A script that does not wait for it does not end without it either.
#[test]
fn what_nobody_waits_for_is_left_to_the_next_run_too() {
    let folder = Folder::with(
        "print(await(submit(exec { key = 'first', shell = 'sleep 2' })).status)
        submit(exec { name = 'long', cmd = { 'true' }, timeout = 18.3 })",
    );
    held(&folder, "18.3 s");
}

#[test]
fn what_is_held_back_can_be_asked_for_while_others_run() {
    let folder = Folder::with(
        "local other = submit(exec { shell = 'until [ -e go ]; do sleep 0.01; done' })
        await(submit(exec { key = 'first', shell = 'sleep 2' }))
        local late = submit(exec { name = 'long', cmd = { 'true' }, timeout = 18.3 })
        print(require 'harness'.explain(late))
        io.stdout:flush()
        wait { other, late }",
    );
    let args = ["-q", "--slots", "2", "--deadline", "21 s", "--margin", "1 s", "c.lua"];
    let mut running = folder.start(&args);
    let why = "it is not started, because it would not end in time: it may take 18.3 s, and ";
    assert!(running.await_line("long").starts_with(&format!("long (task 2): {why}")));
    let said = folder.run(&["status", "c.lua"]).stdout;
    let waits = format!("\n1 task waiting for the next run: long (task 2)\n  {why}");
    assert!(said.contains(&waits), "{said}");
    folder.write("go", "");
    let ran = running.end(LIMIT);
    assert!(ran.code == Some(75) && ran.stderr.contains("stopped for want of time ("), "{ran:#?}");
}

#[test]
fn tasks_take_as_long_as_those_of_their_name_took() {
    let folder = Folder::with(
        "print(await(submit(exec { key = arg[1] or 'new', shell = 'sleep 2' })).status)
        io.stdout:flush()
        print(await(submit(exec { name = 'long', key = arg[1] or 'new', cmd = { 'true' } })).status)",
    );
    assert_eq!(folder.run(&["-q", "c.lua", "old"]).code, Some(0));
    // As if it had taken 15.25 s: with a fifth more, 18.3 s.
    let journal = folder.read("c.lua.journal");
    let took = regex::Regex::new(r#""elapsed_s":[0-9.e-]+"#).unwrap();
    folder.write("c.lua.journal", took.replace_all(&journal, "\"elapsed_s\":15.25").as_bytes());
    held(&folder, "18.3 s");
    // One that is done needs no time.
    let ran = folder.run(&["-q", "--deadline", "21 s", "--margin", "1 s", "c.lua", "old"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "ok\nok\n"), "{ran:#?}");
}

/// What always runs first would make each run too short for the rest.
#[test]
fn what_each_run_would_hold_back_is_tried_where_nothing_else_was_recorded() {
    let folder = Folder::with(
        "print(await(submit(exec { shell = 'sleep 2' })).status)
        io.stdout:flush()
        print(await(submit(exec { name = 'long', key = 1, cmd = { 'true' }, timeout = 18.3 })).status)",
    );
    let ran = folder.run(&["--deadline", "21 s", "--margin", "1 s", "c.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "ok\nok\n"), "{ran:#?}");
    let text = "harness: nothing that is left would end in time, and this run has recorded no end that spares the next one \
                anything and no changed state: so that it is not the same again, what was held back starts all the same\n";
    assert!(ran.stderr.contains(text), "{ran:#?}");
}

/// They go one after the other, and nobody hears of it a hundred times.
#[test]
fn what_leaves_no_record_is_let_go_once() {
    let folder = Folder::with(
        "await(submit(exec { shell = 'sleep 2' }))
        local all = {}
        for i = 1, 50 do all[i] = submit(exec { cmd = { 'true' }, timeout = 18.3 }) end
        for _, task in ipairs(all) do assert(await(task).status == 'ok') end",
    );
    let ran = folder.run(&["--slots", "2", "--deadline", "21 s", "--margin", "1 s", "c.lua"]);
    let times = |text: &str| ran.stderr.matches(text).count();
    let told = (times("it is not started"), times("what was held back starts all the same"));
    assert_eq!((ran.code, told), (Some(0), (1, 1)), "{ran:#?}");
}

/// As for a chain of jobs: the next run begins otherwise.
#[test]
fn a_changed_state_is_a_gain() {
    let folder = Folder::with(
        "local state = require 'harness'.state 'n'
        state.runs = (state.runs or 0) + 1
        await(submit(exec { shell = 'sleep 2' }))
        await(submit(exec { name = 'long', key = 1, cmd = { 'true' }, timeout = 18.3 }))",
    );
    let ran = folder.run(&["--deadline", "21 s", "--margin", "1 s", "c.lua"]);
    assert!(ran.code == Some(75) && ran.stderr.contains("stopped for want of time ("), "{ran:#?}");
    assert_eq!(folder.journal("c.lua.journal").pop().unwrap()["gained"], true);
}

/// What would fit into no run as long as this one starts all the same: else nobody would ever do it.
#[test]
fn what_is_longer_than_any_run_starts() {
    let folder = Folder::with("print(await(submit(exec { cmd = { 'true' }, timeout = '1 h' })).status)\n");
    let ran = folder.run(&["-q", "--deadline", "5 min", "c.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "ok\n"), "{ran:#?}");
}

#[test]
fn a_job_that_the_batch_system_starts_again_goes_on() {
    let folder = Folder::with(
        "print(await(submit(exec { key = 1, shell = 'echo >> ran' })).status)
        io.stdout:flush()
        await(submit(exec { shell = 'echo > up; test -e go || sleep 1000' }))",
    );
    let in_job = |restarts: Option<&str>| {
        let mut command = folder.harness(&["--start", "local", "c.lua"]);
        command.env("SLURM_JOB_ID", "17").env("SLURM_JOB_END_TIME", "99999999999");
        let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        command.env("SLURM_JOB_NODELIST", host).env("SLURM_NNODES", "1");
        if let Some(restarts) = restarts {
            command.env("SLURM_RESTART_COUNT", restarts);
        }
        command
    };
    let first = Running::start(in_job(None));
    await_that("the long one is up", || folder.path("up").exists());
    first.signal(Signal::KILL);
    assert_eq!(first.end(LIMIT).signal, Some(9));
    folder.assert_nothing_left(LIMIT);
    folder.write("go", "");
    let again = folder.finish(in_job(Some("1")));
    let text = "harness: Slurm has started job 17 again (restart 1): it goes on from the journal\n";
    assert!(again.code == Some(0) && again.stderr.contains(text), "{again:#?}");
    assert_eq!((again.stdout.as_str(), folder.lines("ran")), ("ok\n", 1));
}

/// It means "a process died" to some launchers, and the end is known otherwise.
#[test]
fn usr1_far_from_the_end_stops_nothing() {
    let folder =
        Folder::with("await(submit(exec { shell = 'echo > up; until [ -e go ]; do sleep 0.01; done' }))\n");
    let running = folder.start(&["-q", "--deadline", "1 h", "c.lua"]);
    await_that("it runs", || folder.path("up").exists());
    running.signal(Signal::USR1);
    folder.write("go", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
}
