//! Which recorded ends are tried again: by default, and with `--retry`.

use std::fs;

use crate::support::{Folder, no_compiler};

/// Fails until the file `go` is there; every run leaves a line in `ran`.
const FAILS: &str = "
local r = await(submit(exec { name = 'e', key = 1, shell = 'echo >> ran; test -e go' }))
local m = await(submit(measure { name = 'm', shell = 'echo >> ran', runs = 1, warmup = 0, exclusive = false }))
print(r.status, m.status)
";

#[test]
fn what_failed_is_tried_again_on_demand_and_the_last_end_counts() {
    let folder = Folder::with(FAILS);
    let run = |args: &[&str], code: i32, stdout: &str, ran: usize| {
        let said = folder.run(&[args, &["c.lua"]].concat());
        assert_eq!(
            (said.code, said.stdout.as_str(), folder.lines("ran")),
            (Some(code), stdout, ran),
            "{args:?}: {said:#?}"
        );
        said.stderr
    };
    run(&[], 0, "nonzero_exit\tok\n", 2);
    let said = run(&[], 0, "nonzero_exit\tok\n", 2);
    let text = "harness: answered from the journal without being tried again: 1 nonzero_exit; `--retry failed` does that\n\
                harness: 2 tasks (2 from the journal): 1 ok, 1 nonzero_exit\n";
    assert!(said.starts_with(text), "{said}");
    run(&["--retry", "timeout,signal"], 0, "nonzero_exit\tok\n", 2);
    folder.write("go", "");
    let said = run(&["--retry", "failed"], 0, "ok\tok\n", 3);
    let text = "harness: run again where the script asks for it, though recorded: 1 nonzero_exit (--retry)\n\
                harness: 2 tasks (1 from the journal): 2 ok\n";
    assert!(said.starts_with(text), "{said}");
    // The old record stays, and the new one answers.
    run(&[], 0, "ok\tok\n", 3);
    let records = folder.journal("c.lua.journal");
    let ends: Vec<&str> = records
        .iter()
        .filter(|record| record["name"] == "e")
        .map(|record| record["outcome"]["status"].as_str().unwrap())
        .collect();
    assert_eq!(ends, ["nonzero_exit", "ok"]);
    run(&["--retry", "nonzero_exit", "--retry", "ok"], 0, "ok\tok\n", 5);
}

/// A job that is too short for all of them does not begin with the same ones each time.
#[test]
fn what_is_tried_again_goes_behind_what_was_never_tried_and_the_oldest_try_first() {
    // Nothing begins before all are asked for.
    let folder = Folder::with(
        "local pool <close> = spawn { slots = 1 }
        local list = { submit(exec { shell = 'until [ -e go ]; do sleep 0.01; done' }) }
        for n = 1, tonumber(arg[1]) do
          list[#list + 1] = submit(exec { name = 'e', key = n, shell = 'echo ' .. n .. ' >> ran; exit 3' })
        end
        io.open('go', 'w'):close()
        wait(list)",
    );
    let order = |args: &[&str]| {
        let _ = (fs::remove_file(folder.path("ran")), fs::remove_file(folder.path("go")));
        assert_eq!(folder.run(&[&["-q", "--start", "local"], args].concat()).code, Some(0));
        folder.read("ran").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order(&["c.lua", "2"]), "1 2");
    // As if the second had been tried before the first.
    let journal = folder.read("c.lua.journal");
    let mut lines: Vec<&str> = journal.split_inclusive('\n').collect();
    let tasks: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains("\"type\":\"task\"")).collect();
    lines.swap(tasks[0], tasks[1]);
    folder.write("c.lua.journal", lines.concat());
    assert_eq!(order(&["--retry", "failed", "c.lua", "4"]), "3 4 2 1");
}

/// No answer of an earlier build stands in for the record either.
#[test]
fn a_build_that_failed_is_built_again_on_demand() {
    if no_compiler() {
        return;
    }
    let folder = Folder::with("print(await(submit(compile { sources = { 'a.c' } })).cache)\n");
    folder.write("a.c", "int main(void) { return nothing; }");
    let cache = |args: &[&str]| folder.run(&[args, &["c.lua"]].concat()).stdout;
    assert_eq!(cache(&[]), "miss\n");
    assert_eq!(cache(&["--journal", "other"]), "negative\n");
    assert_eq!(cache(&["--retry", "compile_failed"]), "off\n");
}

#[test]
fn what_the_surroundings_did_is_tried_again_in_any_case() {
    let folder = Folder::with("print(await(submit(exec { key = 1, cmd = { './prog' } })).status)\n");
    assert_eq!(folder.run(&["-q", "c.lua"]).stdout, "spawn_failed\n");
    let said = folder.run(&["c.lua"]);
    let text = "harness: run again where the script asks for it, though recorded: 1 spawn_failed (as ever)\n";
    assert!(said.stdout == "spawn_failed\n" && said.stderr.starts_with(text), "{said:#?}");
}

#[test]
fn an_unknown_word_is_an_error_with_the_list() {
    let folder = Folder::with("");
    let said = folder.run(&["--retry", "timeuot", "c.lua"]);
    let text = "harness: --retry 'timeuot' (did you mean 'timeout'?): say failed, lost, or statuses: ok, error, nonzero_exit, \
                signal, timeout, oom, verify_failed, metric_missing, spawn_failed, compile_failed, setup_failed, refused, \
                pruned, lost_worker, cancelled, skipped\n";
    assert_eq!((said.code, said.stderr.as_str()), (Some(2), text));
}
