//! Running the same command again: what was done is not done twice, and comes in the same order.

use crate::says;
use crate::support::{Folder, no_compiler};

/// A compile and measurements that leave a line for each time they really ran.
const COUNTED: &str = "
local build = submit(compile { cmd = { 'sh', '-c', 'echo >> \"$COUNT\"; { cat src.sh; echo \": built\"; } > prog; chmod +x prog' },
  inputs = { 'src.sh' }, output = 'prog', env = { COUNT = COMPILED }, cache = false })
local runs = {}
for _, nap in ipairs { 0.2, 0.0, 0.1 } do
  runs[#runs + 1] = submit(measure { name = 'm', params = { nap = nap }, runs = 2, warmup = 0, exclusive = false,
    cmd = { build, nap }, env = { COUNT = MEASURED } })
end
for _, r in as_completed(runs) do print(r.name, r.params.nap, r.status, #r.samples.wall_s) io.stdout:flush() end
";
const PROGRAM: &str = "#!/bin/sh\necho >> \"$COUNT\"\nsleep $1\n";

fn counted() -> Folder {
    let folder = Folder::new();
    let path = |name: &str| format!("{:?}", folder.path(name).display().to_string());
    let script = COUNTED.replace("COMPILED", &path("compiled")).replace("MEASURED", &path("measured"));
    folder.write("c.lua", script);
    folder.write("src.sh", PROGRAM);
    folder
}

fn counts(folder: &Folder) -> (usize, usize) {
    (folder.lines("compiled"), folder.lines("measured"))
}

#[test]
fn what_is_finished_is_answered_in_the_recorded_order_and_nothing_runs() {
    let folder = counted();
    let first = folder.run(&["-q", "c.lua"]);
    assert_eq!(
        (first.code, first.stdout.lines().count(), counts(&folder)),
        (Some(0), 3, (1, 6)),
        "{first:?}"
    );
    for _ in 0..2 {
        let again = folder.run(&["c.lua"]);
        assert_eq!((again.code, &again.stdout), (Some(0), &first.stdout));
        assert!(again.stderr.starts_with("harness: 4 tasks (4 from the journal): 4 ok\n"), "{again:?}");
        assert_eq!(counts(&folder), (1, 6));
    }
    let sessions =
        folder.journal("c.lua.journal").iter().filter(|record| record["type"] == "session").count();
    assert_eq!(sessions, 3);
}

#[test]
fn a_changed_source_is_built_and_measured_anew() {
    let folder = counted();
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    folder.write("src.sh", format!("{PROGRAM}# changed\n"));
    let ran = folder.run(&["c.lua"]);
    let note = "harness: 3 records of 'm' in the journal no longer answer, asked anew (changed: what it depends on); undo \
                the change and the old count again\nharness: 4 tasks: 4 ok\n";
    assert!(ran.stderr.starts_with(note), "{ran:?}");
    assert_eq!(counts(&folder), (2, 12));
    folder.write("src.sh", PROGRAM);
    let back = folder.run(&["c.lua"]);
    assert!(back.stderr.starts_with("harness: 4 tasks (4 from the journal): 4 ok\n"), "{back:?}");
    assert_eq!(counts(&folder), (2, 12));
}

/// The measurements stand; only the program is built again, and only because somebody may need it.
#[test]
fn an_artefact_that_is_gone_from_the_store_is_built_again() {
    let folder = counted();
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    std::fs::remove_dir_all(folder.path("cache")).unwrap();
    let ran = folder.run(&["c.lua"]);
    assert!(ran.stderr.starts_with("harness: 4 tasks (3 from the journal): 4 ok\n"), "{ran:?}");
    assert_eq!(counts(&folder), (2, 6));
}

/// What was spent counts in the next run too, and each record says what it took.
#[test]
fn what_was_spent_is_in_the_journal_and_counts_again() {
    let folder = Folder::with(
        "local budget = require 'harness'.budget { seconds = '1 h', node_hours = 1, trials = 10 }
        for i = 1, 3 do
          await(submit(measure { name = 'm', params = { i = i }, cmd = { 'sleep', '0.02' }, runs = 2, warmup = 1 }))
        end
        local spent = budget:spent()
        print(spent.trials, string.format('%.9f %.12f', spent.seconds, spent.node_hours))",
    );
    let first = folder.run(&["-q", "c.lua"]);
    let again = folder.run(&["-q", "c.lua"]);
    assert_eq!((first.code, &first.stdout), (Some(0), &again.stdout), "{first:#?}");
    let records = folder.journal("c.lua.journal");
    let measured: Vec<_> = records.iter().filter(|record| record["type"] == "measurement").collect();
    assert_eq!(measured.len(), 3);
    let mut seconds = 0.0;
    for record in measured {
        let cost = &record["cost"];
        let of = |name: &str| cost[name].as_f64().unwrap();
        assert_eq!(of("node_s"), record["elapsed_s"].as_f64().unwrap());
        assert!(
            cost.get("queue_s").is_none() && record["queue_s"].as_f64().is_some(),
            "once is enough: {record}"
        );
        assert!(of("measure_s") >= 0.06 && of("measure_s") <= of("node_s"), "{cost}");
        assert!(
            cost["ship_s"].is_null() && cost["compile_s"].is_null() && cost["setup_s"].is_null(),
            "{cost}"
        );
        seconds += of("node_s");
    }
    assert!(first.stdout.contains(&format!("3\t{seconds:.9} ")), "{} {seconds}", first.stdout);
}

/// Of its runs the record has fewer figures than of others.
#[test]
fn an_mpi_application_is_answered_too() {
    let folder = Folder::with(
        "local r = await(submit(measure { name = 'm', runs = 2, launcher = 'env R={ranks}', nodes = 1, ranks = 2,
          shell = 'echo >> ran' }))
        print(r.status, #r.samples.wall_s, r.ranks)",
    );
    for _ in 0..2 {
        let ran = folder.run(&["-q", "c.lua"]);
        assert_eq!(
            (ran.code, ran.stdout.as_str(), folder.lines("ran")),
            (Some(0), "ok\t2\t2\n", 2),
            "{ran:?}"
        );
    }
}

#[test]
fn fresh_sets_the_old_journal_aside_and_does_everything() {
    let folder = counted();
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    let old = folder.read("c.lua.journal");
    let ran = folder.run(&["--fresh", "c.lua"]);
    let note = "harness: journal DIR/c.lua.journal: the old one is now DIR/c.lua.journal.1\nharness: 4 tasks: 4 ok\n";
    assert!(folder.normal(&ran.stderr).starts_with(note), "{ran:?}");
    assert_eq!(counts(&folder), (2, 12));
    assert_eq!(folder.read("c.lua.journal.1"), old);
}

#[test]
fn journal_names_another_file() {
    let folder = Folder::with("print(await(submit(exec { key = 1, shell = 'echo >> ran' })).ok)\n");
    for (ran, note) in [(1, ""), (1, " (1 from the journal)")] {
        let stderr = format!("harness: 1 task{note}: 1 ok\n");
        says(&folder, &["--journal", "other", "c.lua"], 0, "true\n", &stderr);
        assert_eq!(folder.lines("ran"), ran);
    }
    assert!(!folder.path("c.lua.journal").exists());
    says(&folder, &["c.lua"], 0, "true\n", "harness: 1 task: 1 ok\n");
    assert_eq!(folder.lines("ran"), 2);
}

#[test]
fn the_seed_decides_what_random_draws_and_the_journal_keeps_it() {
    let folder = Folder::with("print(math.random(1 << 40), math.random())\n");
    let draw = |args: &[&str]| {
        let ran = folder.run(args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        (ran.stdout, ran.stderr)
    };
    let (seven, quiet) = draw(&["--seed", "7", "--journal", "a", "c.lua"]);
    assert_eq!(quiet, "");
    assert_eq!(draw(&["--seed", "7", "--journal", "b", "c.lua"]).0, seven);
    assert_eq!(draw(&["--journal", "a", "c.lua"]).0, seven);
    let (unseeded, _) = draw(&["--journal", "c", "c.lua"]);
    assert_ne!(unseeded, seven);
    assert_eq!(draw(&["--journal", "c", "c.lua"]).0, unseeded);
    let (eight, note) = draw(&["--seed", "8", "--journal", "a", "c.lua"]);
    assert_ne!(eight, seven);
    let text = "harness: seed 8 is not that of the journal (7): a script that draws numbers may ask for other tasks \
                than it recorded; leave --seed out to go on, or begin anew with --fresh\n";
    assert_eq!(note, text);
}

/// The line a kill left unfinished is cut off and said; what it would have held is done again.
#[test]
fn a_torn_last_line_is_cut_off() {
    let folder = Folder::with(
        "for i = 1, 2 do print(await(submit(exec { key = i, shell = 'echo >> ran' })).ok) end\n",
    );
    assert_eq!(folder.run(&["c.lua"]).code, Some(0));
    // As if it had been killed within the second record.
    let journal = folder.read("c.lua.journal");
    let whole = journal.split_once("{\"type\":\"end\"").unwrap().0;
    folder.write("c.lua.journal", &whole[..whole.len() - 10]);
    let torn = whole.lines().last().unwrap().len() - 9;
    let stderr = format!(
        "harness: journal DIR/c.lua.journal: cut off {torn} bytes of a last line that was not written completely\n\
         harness: 2 tasks (1 from the journal): 2 ok\n"
    );
    says(&folder, &["c.lua"], 0, "true\ntrue\n", &stderr);
    assert_eq!(folder.lines("ran"), 3);
}

#[test]
fn a_compile_error_is_not_tried_again_until_something_changes() {
    if no_compiler() {
        return;
    }
    let folder = Folder::with("print(await(submit(compile { sources = { 'a.c' } })).status)\n");
    folder.write("a.c", "#error not yet\n");
    assert_eq!(folder.run(&["c.lua"]).stdout, "compile_failed\n");
    let again = folder.run(&["c.lua"]);
    let text = "harness: answered from the journal without being tried again: 1 compile_failed; `--retry failed` does that\n\
                harness: 1 task (1 from the journal): 1 compile_failed\n";
    assert!(again.stderr.starts_with(text), "{again:?}");
    folder.write("a.c", "int main(void) { return 0; }\n");
    says(&folder, &["c.lua"], 0, "ok\n", "harness: 1 task: 1 ok\n");
}

/// The code of a function travels with the first call that has it. When that one is answered from the journal, or
/// never runs, the next one still has it.
#[test]
fn code_of_an_answered_call_is_there_for_later_ones() {
    let folder = Folder::with(
        "local function f(x) return x * 2 end
         local function g(x) return x + 1 end
         for i = 1, tonumber(arg[1]) do print(await(submit(call { f, i, key = 'k' .. i }))) end
         local never = submit(exec { cmd = { 'false' } })
         print((pcall(await, submit(g, never))), await(submit(g, 1)))",
    );
    for (calls, out) in [("1", "2\nfalse\t2\n"), ("2", "2\n4\nfalse\t2\n"), ("2", "2\n4\nfalse\t2\n")] {
        let ran = folder.run(&["-q", "--start", "local", "c.lua", calls]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), out), "{ran:?}");
    }
}

/// What a recorded call draws is its own: not that of its place among the tasks of this run.
#[test]
fn a_call_with_a_key_draws_the_same_numbers_whatever_comes_before_it() {
    let script = "print(await(submit(call { function() return math.random(1 << 40) end, key = 'x' })))\n";
    let folder = Folder::with(script);
    let first = folder.run(&["-q", "--seed", "7", "c.lua"]);
    folder.write("c.lua", format!("await(submit(function() end)) {script}"));
    let second = folder.run(&["-q", "--seed", "7", "--fresh", "c.lua"]);
    assert_eq!((first.code, &first.stdout), (Some(0), &second.stdout));
    let other = folder.run(&["-q", "--seed", "8", "--fresh", "c.lua"]);
    assert_ne!(first.stdout, other.stdout);
}
