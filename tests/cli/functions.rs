//! Functions that look at runs: how long they may take, what they print, and what a second run of the script makes of
//! them. What they find and how they fail is in `tests/lua/measure/functions.lua`.

use std::time::Duration;

use crate::support::{Folder, Ran};

const GONE: Duration = Duration::from_secs(10);

/// A measurement with this function for its figure.
fn campaign(function: &str) -> String {
    format!(
        "local m = await(submit(measure {{ cmd = {{ 'sh', '-c', 'echo >> ran; echo 5' }}, runs = 1, warmup = 0,
           metrics = {{ x = {{ fn = function(run)\n{function}\nend }} }} }}))
         print(m.status, m.reason or m.metrics.x.stats.median)"
    )
}

fn limited(function: &str) -> (Folder, Ran) {
    let folder = Folder::with(&campaign(function));
    let mut command = folder.harness(&["-q", "c.lua"]);
    command.env("HARNESS_LIMITS", "inspection=0.4");
    let ran = folder.finish(command);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    folder.assert_nothing_left(GONE);
    (folder, ran)
}

#[test]
fn a_function_that_comes_to_no_end_is_stopped_where_it_is() {
    let (_, ran) = limited("local n = 0\nwhile true do\nn = n + 1\nend");
    let expected = "metric_missing\tsample 1: metric `x`: its function at c.lua:2 did not end within 400 ms; it was at c.lua:";
    assert!(ran.stdout.starts_with(expected), "{ran:#?}");
    // One that catches what stops it is stopped all the same.
    let (_, ran) = limited("while true do pcall(function() while true do end end) end");
    assert!(ran.stdout.starts_with(expected), "{ran:#?}");
}

#[test]
fn what_is_not_lua_is_killed_with_what_it_started() {
    for function in ["os.execute 'sleep 1000'", "return ('a'):rep(99):find(('a-'):rep(99) .. 'b')"] {
        let (_, ran) = limited(function);
        let expected = "metric_missing\tsample 1: metric `x`: its function at c.lua:2 did not end within 400 ms, in \
                        code that is not Lua, and was killed\n";
        assert_eq!(ran.stdout, expected, "{ran:#?}");
    }
}

#[test]
fn what_it_said_counts_whatever_its_process_does_after() {
    let lingers =
        "kept = setmetatable({}, { __gc = function() while true do end end })\nreturn run.stdout + 0";
    let (_, ran) = limited(lingers);
    assert_eq!(ran.stdout, "ok\t5.0\n", "{ran:#?}");
}

#[test]
fn what_it_prints_is_for_people() {
    let folder = Folder::with(&campaign("print('looking at', run.stdout)\nreturn 1"));
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("ok\t1.0\n", "looking at\t5\n\n"), "{ran:#?}");
}

/// Bytecode and what it captures are part of what was asked for.
#[test]
fn a_second_run_asks_no_function_unless_it_is_another_one() {
    let script = |factor: u32, body: &str, reason: &str| {
        format!(
            "local factor = {factor}
             local m = await(submit(measure {{ cmd = {{ 'sh', '-c', 'echo >> ran; echo 5' }}, runs = 1, warmup = 0,
               verify = {{ fn = function(run) return run.exit_code == 0, '{reason}' end }},
               metrics = {{ x = {{ fn = function(run) print 'asked' return {body} * factor end }} }} }}))
             print(m.metrics.x.stats.median)"
        )
    };
    let folder = Folder::with(&script(2, "run.stdout", "a"));
    let runs = |text: String, median: &str, ran: usize| {
        folder.write("c.lua", text);
        let again = folder.run(&["-q", "c.lua"]);
        assert_eq!(
            (again.code, again.stdout.as_str(), folder.lines("ran")),
            (Some(0), median, ran),
            "{again:#?}"
        );
        again.stderr
    };
    assert_eq!(runs(script(2, "run.stdout", "a"), "10.0\n", 1), "asked\n");
    assert_eq!(runs(script(2, "run.stdout", "a"), "10.0\n", 1), "", "answered from the journal");
    assert!(runs(script(3, "run.stdout", "a"), "15.0\n", 2).contains("asked\n"), "another variable");
    assert!(runs(script(3, "#run.stdout", "a"), "6.0\n", 3).contains("asked\n"), "another body");
    assert!(runs(script(3, "#run.stdout", "b"), "6.0\n", 4).contains("asked\n"), "another check");
    assert_eq!(runs(script(2, "run.stdout", "a"), "10.0\n", 4), "", "the first is still there");
}

/// Their functions go by name, so it is their files that tell what is asked for: also those of modules below them.
#[test]
fn an_edited_module_is_another_function() {
    let folder = Folder::with(
        "local deep = require 'deep'
         local m = await(submit(measure { cmd = { 'sh', '-c', 'echo >> ran; echo 5' }, runs = 1, warmup = 0,
           metrics = { x = { fn = function(run) return deep.figure(run) end } } }))
         print(m.metrics.x.stats.median)",
    );
    let deep = |factor: u32| {
        format!(
            "local flat = require 'flat'
             return {{ figure = function(run) return flat.figure(run) * {factor} end }}"
        )
    };
    let flat =
        |add: u32| format!("return {{ figure = function(run) return tonumber(run.stdout) + {add} end }}");
    folder.write("deep.lua", deep(2));
    folder.write("flat.lua", flat(1));
    folder.write("other.lua", "return 1");
    let runs = |median: &str, ran: usize| {
        let again = folder.run(&["-q", "c.lua"]);
        let seen = (again.code, again.stdout.as_str(), folder.lines("ran"));
        assert_eq!(seen, (Some(0), median, ran), "{again:#?}");
    };
    runs("12.0\n", 1);
    runs("12.0\n", 1);
    folder.write("other.lua", "return 2");
    runs("12.0\n", 1);
    folder.write("deep.lua", deep(3));
    runs("18.0\n", 2);
    folder.write("flat.lua", flat(2));
    runs("21.0\n", 3);
    folder.write("flat.lua", flat(1));
    runs("18.0\n", 3);
}
