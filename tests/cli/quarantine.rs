//! What the cluster does to tasks: those that end one worker after the other, nodes that cannot run what others can, and
//! nodes whose workers are lost. The other node is this one by another host name.

use std::time::Duration;

use crate::places::{ELSEWHERE, finish_elsewhere, printed};
use crate::support::{Folder, Ran};

const GONE: Duration = Duration::from_secs(10);

/// In a program of a task: ends its worker, the keeper's parent.
const KILL: &str = "kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $$)); sleep 60";

/// One worker here and `others` elsewhere, a slot each.
fn on_two_nodes(others: u32, quarantine: &str, script: &str) -> Option<(Folder, Ran)> {
    let workers = 1 + others;
    let folder = Folder::with(&format!(
        "local harness = require 'harness'\n\
         local KILL, HARNESS = [[{KILL}]], '{}'\n\
         local pool = spawn {{ workers = {workers}, slots = 1, placement = 'warn', quarantine = {quarantine} }}\n\
         local here\n\
         for _, w in ipairs(pool.workers) do if w.host ~= 'elsewhere' then here = w.host end end\n{script}",
        env!("CARGO_BIN_EXE_harness")
    ));
    folder.write("bin/tool", "#!/bin/sh\necho done\n");
    assert!(
        std::process::Command::new("chmod")
            .arg("+x")
            .arg(folder.path("bin/tool"))
            .status()
            .unwrap()
            .success()
    );
    // The worker that starts first is called by this host's name and finds the program `tool`; all others are elsewhere,
    // where there is none.
    let worker =
        format!("mkdir first 2>/dev/null && PATH=\"$PWD/bin:$PATH\" exec \"$HARNESS\" \"$@\"\n{ELSEWHERE}");
    let ran = finish_elsewhere(&folder, &worker, &["c.lua"])?;
    Some((folder, ran))
}

/// Lines of standard error with this in them.
fn told<'a>(ran: &'a Ran, what: &str) -> Vec<&'a str> {
    ran.stderr.lines().filter(|line| line.contains(what)).collect()
}

/// Neither of them has them all, though the call is not heard of before it does it.
#[test]
fn a_task_that_ends_its_workers_takes_no_more_than_its_retries_allow() {
    let call =
        "function() os.execute 'kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $PPID))'; while true do end end";
    for (retries, task) in
        [(0, format!("exec {{ shell = [[{KILL}]], retries = 0 }}")), (1, format!("call {{ {call} }}"))]
    {
        let folder = Folder::with(&format!(
            "spawn {{ workers = 4, slots = 1 }}\n\
             local _, poison = pcall(await, submit({task}))\n\
             print(poison.status or poison.kind, poison.reason or poison.message)\n\
             print(await(submit(exec {{ cmd = {{ 'true' }} }})).status)\n"
        ));
        let ran = folder.run(&["c.lua"]);
        folder.assert_nothing_left(GONE);
        let mut lost = told(&ran, "is lost");
        lost.retain(|line| line.starts_with("harness: worker"));
        assert_eq!(lost.len(), retries + 1, "{ran:#?}");
        let (status, reason) = ran.stdout.lines().next().unwrap().split_once('\t').unwrap();
        assert_eq!((status, ran.stdout.lines().last()), ("lost_worker", Some("ok")), "{ran:#?}");
        let last = lost[retries].trim_start_matches("harness: ");
        if retries == 0 {
            assert_eq!(reason, format!("its worker was lost while it ran: {last}"));
        } else {
            let named: Vec<&str> = lost
                .iter()
                .map(|line| line.trim_start_matches("harness: ").split(" is lost").next().unwrap())
                .collect();
            let why = format!(
                "it has taken 2 workers with it ({}, {}) and is not tried again; the last: {last}",
                named[0], named[1]
            );
            assert_eq!(reason, why);
        }
    }
}

#[test]
fn what_a_node_cannot_run_rests_and_runs_elsewhere_and_the_node_is_left_alone() {
    let Some((folder, ran)) = on_two_nodes(
        1,
        "2",
        "local hold = submit(exec { shell = 'while [ ! -e go ]; do sleep 0.01; done', host = here })\n\
         local fs = {}\n\
         for i = 1, 4 do fs[i] = submit(exec { name = 'tool', cmd = { 'tool' }, params = { i = i } }) end\n\
         repeat local why = harness.explain(fs[4]) until why:find 'is tried again in'\n\
         print((harness.explain(fs[4]):gsub('in [%d.]+ m?s', 'in TIME')))\n\
         io.open('go', 'w'):close()\n\
         for i = 1, 4 do local r = await(fs[i]) print(r.status, r.host, r.stdout) end\n\
         local status = io.popen(HARNESS .. ' status c.lua'):read 'a'\n\
         print(status:match 'worker %d on elsewhere [^\\n]*')\n\
         print(await(submit(exec { cmd = { 'true' } })).host)\n\
         print(await(submit(exec { cmd = { 'no-such-tool' } })).status, await(submit(exec { cmd = { 'true' } })).host)\n",
    ) else {
        return;
    };
    let why = "spawn_failed: program `tool` not found";
    let lines: Vec<String> = folder.normal(&ran.stdout).lines().map(str::to_owned).collect();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(
        lines[0], "tool i=4 (task 4): it is tried again in TIME, because elsewhere could not run it",
        "{ran:#?}"
    );
    let done: Vec<&String> = lines.iter().filter(|line| *line == "ok\tHOST\tdone").collect();
    assert_eq!(done.len(), 4, "{ran:#?}");
    assert!(
        lines.iter().any(|line| line.contains("on elsewhere (1 slot): quarantined (spawn_failed: ")),
        "{ran:#?}"
    );
    assert_eq!(lines[lines.len() - 2..], ["HOST", "spawn_failed\tHOST"], "{ran:#?}");
    let said = told(&ran, "elsewhere is in quarantine: pool 0 starts nothing there any more");
    assert!(said.len() == 1 && said[0].contains(why), "{ran:#?}");
}

#[test]
fn a_node_whose_workers_are_lost_takes_no_more() {
    let Some((folder, ran)) = on_two_nodes(
        3,
        "2",
        "for i = 1, 2 do print(await(submit(exec { shell = KILL, host = 'elsewhere', retries = 0 })).status) end\n\
         local fs = {}\n\
         for i = 1, 6 do fs[i] = submit(exec { shell = 'sleep 0.05' }) end\n\
         for i = 1, 6 do io.write(await(fs[i]).host, ' ') end\n\
         local r = await(submit(exec { cmd = { 'true' }, host = 'elsewhere' }))\n\
         print(r.status, r.reason)\n",
    ) else {
        return;
    };
    let text = folder.normal(&ran.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["lost_worker", "lost_worker"], "{ran:#?}");
    let last = lines[2].strip_prefix("HOST HOST HOST HOST HOST HOST lost_worker\t").unwrap_or_default();
    assert!(
        last.starts_with("no worker is left that could run it")
            && last.contains("elsewhere is in quarantine ("),
        "{ran:#?}"
    );
    assert_eq!(told(&ran, "is in quarantine: pool 0").len(), 1, "{ran:#?}");
}

/// The node that cannot run everything is alive when the better one dies.
#[test]
fn the_node_in_quarantine_is_let_out_when_the_others_are_lost() {
    let Some((folder, ran)) = on_two_nodes(
        1,
        "1",
        "local hold = submit(exec { shell = 'while [ ! -e go ]; do sleep 0.01; done', host = here })\n\
         local f = submit(exec { cmd = { 'tool' } })\n\
         repeat local why = harness.explain(f) until why:find 'is tried again in'\n\
         io.open('go', 'w'):close()\n\
         print(await(f).host, await(submit(exec { cmd = { 'true' } })).host)\n\
         print(await(submit(exec { shell = KILL, host = here, retries = 0 })).status)\n\
         print(await(submit(exec { cmd = { 'true' } })).host)\n\
         local status = io.popen(HARNESS .. ' status c.lua'):read 'a'\n\
         print(status:match 'worker %d on elsewhere %([^)]*%): %a+')\n",
    ) else {
        return;
    };
    let lines: Vec<String> = folder.normal(&ran.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines[..3], ["HOST\tHOST", "lost_worker", "elsewhere"], "{ran:#?}");
    assert!(lines[3].contains("on elsewhere (1 slot): ") && !lines[3].contains("quarantine"), "{ran:#?}");
    assert_eq!(told(&ran, "elsewhere is in quarantine: pool 0").len(), 1, "{ran:#?}");
    let out = told(&ran, "elsewhere is let out of quarantine: pool 0 has no worker left on another node");
    assert!(out.len() == 1 && out[0].contains("spawn_failed: program `tool` not found"), "{ran:#?}");
}

/// A worker that does not come has its node by the name of the batch system, one that has come by the node's own.
#[test]
fn a_node_of_two_names_has_its_faults_together() {
    let folder = Folder::with(
        "local pool = spawn { workers = 2, slots = 1, placement = 'warn', quarantine = 1 }\n\
         print(pcall(pool.grow, pool, { workers = 1 }))\n\
         print(await(pool:submit(exec { cmd = { 'true' } })).host)\n",
    );
    let full = "exec unshare --uts sh -c 'hostname \"$(hostname).cluster\" && exec \"$0\" \"$@\"' \"$HARNESS\" \"$@\"";
    let worker = format!(
        "if mkdir first 2>/dev/null; then {full}; fi\nmkdir second 2>/dev/null || exit 1\n{ELSEWHERE}"
    );
    let Some(ran) = finish_elsewhere(&folder, &worker, &["c.lua"]) else { return };
    assert!(ran.stdout.starts_with("false\t") && ran.stdout.ends_with("\nelsewhere\n"), "{ran:#?}");
    assert_eq!(told(&ran, ".cluster is in quarantine: pool 0").len(), 1, "{ran:#?}");
}

#[test]
fn a_node_may_fail_as_often_as_the_pool_allows() {
    let Some((folder, ran)) = on_two_nodes(
        3,
        "false",
        "for i = 1, 2 do print(await(submit(exec { shell = KILL, host = 'elsewhere', retries = 0 })).status) end\n\
         print(await(submit(exec { cmd = { 'true' }, host = 'elsewhere' })).host)\n\
         for _, n in ipairs { 0, 2.5, true } do print(pcall(spawn, { quarantine = n })) end\n",
    ) else {
        return;
    };
    let wrong = |got: &str| {
        format!(
            "false\tc.lua:8: spawn: option 'quarantine': expected a whole number from 1 or false, got {got}\n"
        )
    };
    let problems: String = ["0", "2.5", "true"].map(wrong).concat();
    printed(&folder, &ran, &format!("lost_worker\nlost_worker\nelsewhere\n{problems}"));
    assert_eq!(told(&ran, "quarantine").len(), 0, "{ran:#?}");
}

/// All workers of one node: they are lost one after the other, and the last of them still works.
#[test]
fn the_last_node_is_left_to_its_tasks() {
    let folder = Folder::with(&format!(
        "spawn {{ workers = 4, slots = 1, quarantine = 1 }}\n\
         for i = 1, 3 do print(await(submit(exec {{ shell = [[{KILL}]], retries = 0 }})).status) end\n\
         print(await(submit(exec {{ cmd = {{ 'true' }} }})).status)\n"
    ));
    let ran = folder.run(&["c.lua"]);
    printed(&folder, &ran, "lost_worker\nlost_worker\nlost_worker\nok\n");
    assert_eq!(told(&ran, "quarantine").len(), 0, "{ran:#?}");
    folder.assert_nothing_left(GONE);
}
