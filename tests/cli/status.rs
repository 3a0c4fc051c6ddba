//! `harness status`, beside a campaign and after it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use harness::root::status::{ASK, address};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::support::{Folder, LIMIT, Running, await_that};
use crate::{said, says};

/// What runs ends when the file `go` is there.
const HOLD: &str = "touch began; while [ ! -e go ]; do sleep 0.01; done";

fn begun(script: &str) -> (Folder, Running) {
    let folder = Folder::with(&script.replace("HOLD", HOLD));
    let running = folder.start(&["-q", "--start", "local", "c.lua"]);
    await_that("the first task runs", || folder.path("began").exists());
    (folder, running)
}

/// Word of a start may come a little later than the start.
fn await_told(folder: &Folder, text: &str) {
    await_that(text, || folder.run(&["status", "--now", "c.lua"]).stdout.contains(text));
}

#[test]
fn a_campaign_at_work_says_what_runs_and_why_the_rest_waits() {
    let (folder, mut running) = begun(
        "local pool <close> = spawn { slots = 2, gpus = 1, resources = { license = 1 } }
        local a = submit(exec { name = 'blocker', params = { n = 1 }, shell = 'HOLD', timeout = 60, needs = { license = 1 } })
        repeat until io.open 'began'
        local m = {}
        for tile = 1, 6 do m[tile] = submit(measure { name = 'gemm', params = { tile = tile }, cmd = { 'true' }, runs = 1 }) end
        local b = submit(exec { cmd = { 'true' }, needs = { license = 1 } })
        local c = submit(call { function(x) return x end, m[1], name = 'late', accept_failed = true })
        print 'all is submitted'
        io.stdout:flush()
        wait { a, b, c, table.unpack(m) }",
    );
    running.await_line("all is submitted");
    await_told(&folder, "  blocker n=1 (task 0), for ");
    let status = "\
c.lua: running for TIME on HOST (pid N)
  call: 1 submitted, 0 done (0 failed), 0 running, 1 waiting
  exec: 2 submitted, 0 done (0 failed), 1 running, 1 waiting
  measure: 6 submitted, 0 done (0 failed), 1 running, 5 waiting
worker 0 on HOST (2 slots, 1 GPU): 1 run
  blocker n=1 (task 0), for TIME
5 tasks waiting for room: gemm tile=2 (task 2), gemm tile=3 (task 3), gemm tile=4 (task 4), gemm tile=5 (task 5) and 1 more
  the first: it needs a whole node with 1 core; 1 node would do, and 0 of them have the room now; there run \
blocker n=1 (task 0); HOST is for gemm tile=1 (task 1) alone
1 task waiting for what they depend on: late (task 8)
  it waits for what it depends on: gemm tile=1 (task 1)
1 task waiting for their node to be cleared: gemm tile=1 (task 1)
  HOST is being cleared for it; there runs blocker n=1 (task 0)
1 task waiting for resources: exec `true` (task 7)
  it needs license = 1, and 0 of 1 are free; used, or waited for before it, by blocker n=1 (task 0)
";
    says(&folder, &["status", "c.lua"], 0, status, "");
    // By the journal, and without a name where there is one only.
    for args in [&["status", "c.lua.journal"][..], &["status"]] {
        assert_eq!(folder.run(args).stdout.lines().count(), 14, "{args:?}");
    }
    let json = folder.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["schema"], &json["state"]), (&"harness.status/1".into(), &"running".into()));
    assert_eq!(json["kinds"]["measure"]["submitted"], 6);
    assert_eq!(json["workers"][0]["tasks"][0]["name"], "blocker n=1 (task 0)");
    assert_eq!((&json["waiting"][0]["reason"], &json["waiting"][0]["count"]), (&"room".into(), &5.into()));

    folder.write("go", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
    let after = "\
DIR/c.lua: not running; 1 run in DIR/c.lua.journal
  recorded: 6 ok (6 measures)
  last written TIME ago, by pid N on HOST
  the script came to its end (exit code 0)
";
    says(&folder, &["status", "c.lua"], 0, after, "");
    let json: serde_json::Value =
        serde_json::from_str(&folder.run(&["status", "--json", "c.lua"]).stdout).unwrap();
    assert_eq!((&json["state"], &json["ended"]["ok"]), (&"not_running".into(), &6.into()));
}

#[test]
fn failures_are_told_by_reason_and_how_many_tasks_end_in_a_minute() {
    let (folder, mut running) = begun(
        "local list = {}
        for i = 1, 3 do list[i] = submit(exec { name = 'bad', key = i, shell = 'exit 3' }) end
        list[4] = submit(exec { key = 'good', shell = 'true' })
        wait(list)
        print 'these have ended'
        io.stdout:flush()
        await(submit(exec { shell = 'HOLD', timeout = 60 }))",
    );
    running.await_line("these have ended");
    let why = "  3 x exec bad on HOST: nonzero_exit: exit code 3\n";
    let text = folder.normal(&folder.run(&["status", "c.lua"]).stdout);
    assert!(text.contains(why), "{text}");
    let rate = regex::Regex::new(r"(?m)^  [0-9.]+ tasks a minute so far$").unwrap();
    assert!(rate.is_match(&text), "{text}");
    let json = folder.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["failures"][0]["count"], 3);
    assert!(json["per_minute"].as_f64().unwrap() > 0.0);

    running.signal(Signal::TERM);
    assert_eq!(running.end(LIMIT).code, Some(75));
    let after = folder.normal(&folder.run(&["status", "c.lua"]).stdout);
    let ended =
        "  the script did not come to its end: stopped by SIGTERM with 1 task unfinished (exit code 75)\n";
    assert!(after.contains(why) && after.contains(ended), "{after}");
}

#[test]
fn how_a_script_ended_is_told_afterwards() {
    let folder = Folder::with("if arg[1] then error 'as it should' end\nprint 'over'\n");
    let ended = |text: &str| {
        let said = folder.normal(&folder.run(&["status", "c.lua"]).stdout);
        assert!(said.contains(&format!("\n  {text}")), "{said}");
    };
    folder.run(&["-q", "c.lua", "fail"]);
    ended("the script did not come to its end (exit code 1): c.lua:1: as it should\n");
    folder.run(&["-q", "c.lua"]);
    ended("the script came to its end (exit code 0)\n");
    // A `harness rerun` that was killed, or is at work, is no run of the script.
    let journal = folder.read("c.lua.journal");
    let session = journal.lines().rfind(|line| line.starts_with("{\"type\":\"session\"")).unwrap();
    folder.write(
        "c.lua.journal",
        format!("{journal}{}\n", session.replace("\"repeats\":false", "\"repeats\":true")),
    );
    ended("the script came to its end (exit code 0)\n");
    let checked = folder.run(&["journal", "check"]);
    assert!(checked.stdout.contains("0 records of 2 runs, "), "{checked:?}");
    folder.write("d.lua", "await(submit(exec { shell = 'echo > up; sleep 1000' }))");
    let running = folder.start(&["-q", "--journal", "c.lua.journal", "d.lua"]);
    await_that("it runs", || folder.path("up").exists());
    running.signal(Signal::KILL);
    running.end(LIMIT);
    ended("the script did not come to its end: its last run was killed, its node lost or its disk full");
    folder.assert_nothing_left(LIMIT);
}

/// Quoted for a shell, and in a copy of the folder with the script that is there.
#[test]
fn what_goes_on_is_told_with_its_arguments() {
    let folder = Folder::with("error 'not yet'\n");
    folder.run(&["-q", "c.lua", "--", "a b", "--size=3"]);
    let told = |journal: &str| {
        let said = folder.normal(&folder.run(&["status", journal]).stdout);
        said.lines().last().unwrap_or_default().replace("DIR/", "")
    };
    assert_eq!(told("c.lua"), "  `harness c.lua -- 'a b' '--size=3'` begins again");
    let copy = |name: &str| {
        folder.write(&format!("copy/{name}"), "os.exit(75)\n");
        folder.write(&format!("copy/{name}.journal"), folder.read("c.lua.journal"));
    };
    copy("c.lua");
    assert_eq!(told("copy/c.lua.journal"), "  `harness copy/c.lua -- 'a b' '--size=3'` begins again");
    // Of an earlier version.
    let old = folder.read("c.lua.journal").replace("\"args\":[\"a b\",\"--size=3\"],", "");
    folder.write("c.lua.journal", old);
    assert_eq!(told("c.lua"), "  `harness c.lua` begins again (with its arguments, if it had any)");
}

#[test]
fn beside_a_measurement_the_answer_waits_unless_somebody_insists() {
    let (folder, mut running) = begun(
        "local m = submit(measure { name = 'm', shell = 'HOLD', runs = 1, warmup = 0 })
        await(m)
        print 'measured'
        io.stdout:flush()
        await(submit(exec { shell = 'while [ ! -e end ]; do sleep 0.01; done', timeout = 60 }))",
    );
    let mut patient = folder.start(&["status", "c.lua"]);
    patient.await_stderr(
        "harness: a measurement has this node, and nothing of ours runs beside it: the answer comes",
    );
    await_told(&folder, "  m (task 0), for ");
    let now = folder.run(&["status", "--now", "c.lua"]);
    let worker = "worker 0 on HOST (TIME): a measurement has the node\n  m (task 0), for TIME\n";
    let slots = regex::Regex::new(r"\(\d+ slots?\)").unwrap();
    let text = folder.normal(&now.stdout);
    assert!(slots.replace(&text, "(TIME)").ends_with(worker), "{text}");
    assert!(!patient.is_over());

    folder.write("go", "");
    running.await_line("measured");
    let patient = patient.end(LIMIT);
    assert!(patient.stdout.contains("measure: 1 submitted, "), "{patient:?}");
    folder.write("end", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
}

#[test]
fn who_asks_and_does_not_read_holds_nobody_up() {
    let (folder, running) = begun("await(submit(exec { shell = 'HOLD', timeout = 60 }))");
    let address = address(&folder.path("c.lua.journal")).unwrap();
    let connect = || UnixStream::connect_addr(&address).unwrap();
    let silent = connect();
    let deaf = connect();
    (&deaf).write_all(ASK.as_bytes()).unwrap();
    let mut wrong = connect();
    wrong.write_all(b"hello\n").unwrap();
    assert_eq!(wrong.read(&mut [0; 9]).unwrap(), 0, "no answer to what is no question");
    assert!(folder.run(&["status", "c.lua"]).stdout.contains("c.lua: running for "));
    folder.write("go", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
    drop((silent, deaf));
}

#[test]
fn one_that_is_stopped_is_not_waited_for() {
    let (folder, running) = begun("await(submit(exec { shell = 'HOLD', timeout = 60 }))");
    running.signal(Signal::STOP);
    let mute = "harness: status: harness with pid N on HOST runs the campaign and has said nothing for TIME: is it stopped \
                (`kill -CONT PID` lets it go on), or its node too busy?\n";
    said(&folder, folder.run(&["status", "c.lua"]), 1, "", mute);
    running.signal(Signal::CONT);
    await_told(&folder, "c.lua: running for ");
    folder.write("go", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
}

#[test]
fn one_that_runs_elsewhere_is_asked_there() {
    let folder = Folder::with("await(submit(measure { cmd = { 'true' }, runs = 1 }))");
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    let mut journal = File::options().append(true).open(folder.path("c.lua.journal")).unwrap();
    let mut session = |host: &str, job: &str| {
        let line = format!(
            r#"{{"type":"session","version":"0","protocol":1,"script_hash":null,"started_unix_s":1.0,"pid":7,"host":"{host}","job":{job}}}"#
        );
        writeln!(journal, "{line}").unwrap();
    };
    session("node7", r#"{"scheduler":"Slurm","id":"17"}"#);
    let locked = File::open(folder.path("c.lua.journal")).unwrap();
    flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
    let text = |line: &str| {
        format!(
            "harness: status: harness with pid N on node7 runs the campaign, and answers on its own host only: {line}\n"
        )
    };
    let srun = text("`srun --overlap --jobid=17 -N1 -n1 -w node7 harness status DIR/c.lua.journal`");
    said(&folder, folder.run(&["status", "c.lua"]), 1, "", &srun);
    session("node7", "null");
    let ssh = text("`ssh node7 harness status DIR/c.lua.journal`");
    said(&folder, folder.run(&["status", "c.lua"]), 1, "", &ssh);
    session(rustix::system::uname().nodename().to_str().unwrap(), "null");
    let silent = "harness: status: harness with pid N on HOST runs the campaign and does not answer: it may just be starting \
                  or ending, or be in a container; try again\n";
    said(&folder, folder.run(&["status", "c.lua"]), 1, "", silent);
}

#[test]
fn a_journal_that_names_no_script_has_its_own_name() {
    let folder = Folder::with("");
    for torn in ["", "{\"type\":\"head"] {
        folder.write("c.lua.journal", torn);
        let ran = folder.run(&["status", "c.lua"]);
        assert!(
            folder.normal(&ran.stdout).starts_with("DIR/c.lua.journal: not running; 0 runs in "),
            "{ran:#?}"
        );
    }
}

#[test]
fn what_is_not_there_is_said() {
    let folder = Folder::with("");
    let none = "harness: status: there is no campaign in DIR: name one, `harness status campaign.lua`\n";
    says(&folder, &["status"], 2, "", none);
    let no_journal =
        "harness: status: there is no DIR/c.lua.journal; a campaign has a journal once it was started\n";
    says(&folder, &["status", "c.lua"], 2, "", no_journal);
    folder.write("a.journal", "");
    folder.write("b.journal", "");
    let several = "harness: status: which campaign? `harness status a.journal`, `harness status b.journal`\n";
    says(&folder, &["status"], 2, "", several);
}

/// With a list of 1000, and two slots for it.
fn begun_to_map(script: &str) -> (Folder, Running) {
    let before = "local list = {}
        for i = 1, 1000 do list[i] = i end
        local slots <close> = spawn { slots = 2 }
        ";
    begun(&[before, script].concat())
}

/// A call or two may be on their way when the stop comes.
#[test]
fn what_a_map_has_yet_to_send_is_unfinished_at_a_stop() {
    let (_folder, running) = begun_to_map("map(function(i) os.execute 'HOLD' end, list, { in_flight = 2 })");
    running.signal(Signal::INT);
    let ran = running.end(LIMIT);
    let told = ran
        .stderr
        .split_once("stopped by SIGINT with ")
        .and_then(|(_, rest)| rest.split_once(" tasks unfinished"));
    let unfinished: u32 = told.and_then(|(number, _)| number.parse().ok()).unwrap_or_default();
    assert!((998..=1002).contains(&unfinished), "{ran:?}");
}

#[test]
fn what_a_map_has_yet_to_send_waits_until_it_is_left() {
    let (folder, running) = begun_to_map(
        "print(pcall(map, function(i) os.execute 'HOLD' error 'enough' end, list, { in_flight = 2 }))
        await(submit(exec { shell = 'touch left; while [ ! -e stop ]; do sleep 0.01; done' }))",
    );
    let submitted = || {
        let json = folder.run(&["status", "--json", "--now", "c.lua"]).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["kinds"]["call"]["submitted"].as_u64().unwrap()
    };
    assert_eq!(submitted(), 1000);
    folder.write("go", "");
    await_that("the map is left", || folder.path("left").exists());
    assert!(submitted() < 10, "{}", submitted());
    folder.write("stop", "");
    let ran = running.end(LIMIT);
    assert!(ran.stdout.starts_with("false\t") && ran.stdout.contains("enough"), "{ran:?}");
}

/// What was submitted says nothing of how long a search takes.
#[test]
fn no_time_left_is_said_while_a_search_is_at_work() {
    let (folder, running) = begun(
        "local search = require('harness').search
        local function step(x) return submit(exec { shell = x < 4 and 'sleep 0.2' or 'HOLD' }) end
        search.run { space = { x = { 1, 2, 3, 4 } }, strategy = 'grid', in_flight = 1, evaluate = function(p) return await(step(p.x)).ok and p.x end }
        pcall(search.run, { space = { x = { 1 } }, strategy = 'grid', evaluate = function() error 'no' end })
        local all = {}
        for i = 1, 9 do all[i] = submit(exec { shell = 'touch late; while [ ! -e stop ]; do sleep 0.01; done' }) end
        wait(all)",
    );
    await_told(&folder, "3 done");
    let searching = folder.run(&["status", "--now", "c.lua"]).stdout;
    assert!(!searching.contains(" left"), "{searching}");
    folder.write("go", "");
    await_that("the search is over", || folder.path("late").exists());
    await_told(&folder, "s left");
    folder.write("stop", "");
    assert_eq!(running.end(LIMIT).code, Some(0));
}
