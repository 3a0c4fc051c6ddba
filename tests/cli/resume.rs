//! Stopped by anything, run again: the script takes the same decisions, keeps what it kept, and hears of records
//! that do not mean the same any more.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::says;
use crate::support::{Folder, LIMIT, Ran, Running, await_that, skip};

/// Draws, decides by what ended and in which order, stops by its budget. Every trial leaves a line in `ran`.
const SEARCH: &str = "
local harness = require 'harness'
local budget = harness.budget { trials = 24 }
local function trial(x)
  return submit(measure { name = 'f', params = { x = x }, runs = 1, warmup = 0, exclusive = false,
    cmd = { 'sh', '-c', 'echo >> ran; sleep 0.0' .. (x * 7 % 5) .. '; echo v ' .. (x - 37) * (x - 37) },
    metrics = { v = 'v (%d+)' }, objective = 'v' })
end
local list, best = {}, nil
for i = 1, 3 do list[i] = trial(math.random(0, 100)) end
for _, m in as_completed(list) do
  if not best or m.stats.median < best.stats.median then best = m end
  print('step', m.params.x, best.params.x, budget:left().trials, math.random(1 << 30))
  io.stdout:flush()
  if budget:left().trials >= 3 then list[#list + 1] = trial(best.params.x + math.random(-10, 10)) end
end
print('best', best.params.x)
";

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn ended_well(ran: Ran) -> Ran {
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    ran
}

#[test]
fn a_seeded_search_decides_the_same_when_run_again() {
    let folder = Folder::with(SEARCH);
    let first = ended_well(folder.run(&["--seed", "7", "c.lua"]));
    assert_eq!((first.stdout.lines().count(), folder.lines("ran")), (25, 24), "{first:?}");
    let again = ended_well(folder.run(&["c.lua"]));
    assert_eq!(again.stdout, first.stdout);
    assert!(again.stderr.starts_with("harness: 24 tasks (24 from the journal): 24 ok\n"), "{again:?}");
    assert_eq!(folder.lines("ran"), 24);
}

/// A limit that passed in one run and not in the other decides nothing else.
#[test]
fn a_mere_timeout_changes_no_order_of_flows() {
    let folder = Folder::with(
        "local log = {}
        local slow = submit(exec { shell = 'sleep 0.9', key = 's' })
        go(function()
          if not slow:wait(0.2) then io.stderr:write('still waiting\\n') end
          await(slow)
        end)
        await(submit(exec { shell = 'sleep 0.4', key = 'w' }))
        local y = submit(exec { shell = 'sleep 0.1', key = 'y' })
        local function follow(who)
          log[#log + 1] = who
          submit(exec { shell = 'true', key = 'next', params = { who = who, n = #log } })
        end
        go(function() await(y); follow 'B' end)
        for _ in as_completed { y } do follow 'main' end
        await(slow)
        print(table.concat(log, ' '))",
    );
    let first = ended_well(folder.run(&["--slots", "4", "c.lua"]));
    let again = ended_well(folder.run(&["--slots", "4", "c.lua"]));
    assert_eq!((first.stdout.as_str(), again.stdout.as_str()), ("B main\n", "B main\n"));
    assert!(again.stderr.starts_with("harness: 5 tasks (5 from the journal): 5 ok\n"), "{}", again.stderr);
}

/// What two builds of one program share is in the record of each.
#[test]
fn a_shared_measurement_is_answered_from_the_journal() {
    let folder = Folder::with(
        "local function flags(flag)
          local build = submit(compile { sources = { 'a.c' }, flags = { '-O1', flag } })
          return await(submit(measure { params = { flag = flag }, cmd = { build }, runs = 2 }))
        end
        local a, b = flags '-w', flags '-g'
        print(a.same_as, b.same_as.id, b.same_as.what, b)",
    );
    folder.write("a.c", "int main(void) { return 0; }");
    let first = ended_well(folder.run(&["c.lua"]));
    assert!(
        first.stdout.contains("\tmeasure flag=-w\tmeasure flag=-g: same program as measure flag=-w: "),
        "{first:?}"
    );
    let again = ended_well(folder.run(&["c.lua"]));
    assert_eq!(again.stdout, first.stdout);
    assert!(again.stderr.starts_with("harness: 4 tasks (4 from the journal): 4 ok\n"), "{again:?}");
}

/// A comparison is one record, and the second run has all of it from there.
#[test]
fn a_comparison_is_answered_from_the_journal() {
    let folder = Folder::with(
        "local function run(t) return { cmd = { 'sh', '-c', 'echo >> ran; echo t ' .. t }, warmup = 0 } end
        local c = await(submit(compare { base = run(2), a = run(1), broken = { cmd = { 'false' } },
          metrics = { t = 't (%d+)' }, objective = 't' }))
        print(c.status, c.verdicts.a.verdict, c.verdicts.a.hi, c.verdicts.broken.verdict, #c.variants.a.samples.t)
        print(c)",
    );
    let first = ended_well(folder.run(&["c.lua"]));
    assert!(first.stdout.starts_with("ok\tfaster\t2.0\tnonzero_exit\t12\n"), "{first:?}");
    assert_eq!(folder.lines("ran"), 24);
    let again = ended_well(folder.run(&["c.lua"]));
    assert_eq!((again.stdout, folder.lines("ran")), (first.stdout, 24));
    assert!(again.stderr.starts_with("harness: 1 task (1 from the journal): 1 ok\n"), "{}", again.stderr);
}

/// What it printed before the kill it prints again, whatever ended in which order then.
#[test]
fn a_seeded_search_goes_on_from_a_kill_with_the_same_decisions() {
    for (seed, steps, signal) in [("1", 4, Signal::KILL), ("2", 11, Signal::KILL), ("3", 7, Signal::TERM)] {
        let folder = Folder::with(SEARCH);
        let mut running = folder.start(&["--seed", seed, "c.lua"]);
        running.await_lines(steps);
        running.signal(signal);
        let killed = running.end(LIMIT);
        let (whole, _) = killed.stdout.rsplit_once('\n').unwrap();
        let resumed = ended_well(folder.run(&["c.lua"]));
        assert!(resumed.stdout.starts_with(whole), "before:\n{whole}\nafter:\n{}", resumed.stdout);
        assert_eq!(resumed.stdout.lines().count(), 25);
        let replays = resumed.stderr.split_once(" from the journal").expect("something was recorded").0;
        assert!(replays.rsplit_once('(').unwrap().1.parse::<usize>().unwrap() >= steps, "{resumed:?}");
        assert_eq!(ended_well(folder.run(&["c.lua"])).stdout, resumed.stdout);
    }
}

/// Results alone decide a search that waits for each: then the seed fixes it from the first run on.
#[test]
fn a_search_that_waits_for_each_trial_depends_on_the_seed_alone() {
    let script = SEARCH.replace("for i = 1, 3 do", "for i = 1, 1 do").replace(">= 3", ">= 1");
    let folder = Folder::with(&script);
    let run =
        |seed: &str, journal: &str| ended_well(folder.run(&["--seed", seed, "--journal", journal, "c.lua"]));
    let first = run("7", "a");
    assert_eq!(run("7", "b").stdout, first.stdout);
    assert_ne!(run("8", "c").stdout, first.stdout);
}

/// Every run counts itself. Before it is killed, a recorded task has followed the count.
#[test]
fn a_state_survives_every_way_to_end() {
    let folder = Folder::with(
        "local state = require 'harness'.state('s', { runs = 0, odd = { [7] = math.huge } })
         assert(state.odd[7] == math.huge)
         state.runs = state.runs + 1
         await(submit(exec { key = state.runs, shell = 'true' }))
         print('run', state.runs, state.last)
         io.stdout:flush()
         state.last = arg[1]
         if arg[1] == 'fails' then error 'as it should' end
         if arg[1] == 'exits' then os.exit(9) end
         local at_close <close> = setmetatable({}, { __close = function() state.last = 'closed' end })
         if arg[1] == 'hangs' then await(submit(exec { shell = 'sleep 1000' })) end",
    );
    let hold = |signal: Signal, line: &str| {
        let mut running = folder.start(&["c.lua", "hangs"]);
        running.await_line(line);
        running.signal(signal);
        let ran = running.end(LIMIT);
        folder.assert_nothing_left(LIMIT);
        ran
    };
    hold(Signal::KILL, "run\t1");
    let second = folder.run(&["-q", "c.lua", "fails"]);
    assert!(second.stdout.starts_with("run\t2\t") && second.code == Some(1), "{second:?}");
    let third = folder.run(&["-q", "c.lua", "exits"]);
    assert_eq!((third.stdout.as_str(), third.code), ("run\t3\tfails\n", Some(9)));
    assert_eq!(hold(Signal::TERM, "run\t4\texits").code, Some(75));
    says(&folder, &["-q", "c.lua"], 0, "run\t5\tclosed\n", "");
}

/// A line for each change that something recorded followed, not for each change.
#[test]
fn changes_of_a_state_are_gathered() {
    let folder = Folder::with(
        "local state = require 'harness'.state 's'
         for i = 1, 5 do
           for j = 1, 50 do
             state.n = i * 100 + j
             wait({}, { timeout = 0 })
           end
           await(submit(exec { key = i, shell = 'true' }))
         end",
    );
    ended_well(folder.run(&["c.lua"]));
    let journal = folder.journal("c.lua.journal");
    let mut states = journal.iter().filter(|record| record["type"] == "state").peekable();
    for i in 1..=5 {
        let last = journal.iter().position(|record| record["trial"] == i - 1).unwrap();
        let before = journal[..last].iter().rev().find(|record| record["type"] == "state").unwrap();
        assert_eq!(before["value"]["n"], i * 100 + 50);
    }
    assert!(states.peek().is_some() && states.count() < 250, "changes are gathered");
}

#[test]
fn a_deadline_stops_in_order_and_the_next_run_completes() {
    let script = "local left = require 'harness'.walltime_left()\nprint(left and left <= 20)\n\
                  print(await(submit(exec { key = 1, shell = 'test -e go || sleep 1000' })).ok)\n";
    let took = regex::Regex::new("(running for|than the|more than) [0-9.]+ m?s").unwrap();
    for (args, env, why) in [
        (&["--deadline", "3 s", "--margin", "1 s", "c.lua"][..], false, "1 s before --deadline 3 s"),
        (&["--margin", "2 s", "c.lua"], true, "2 s before the end of Slurm job 17"),
    ] {
        let folder = Folder::with(script);
        let mut command = folder.harness(args);
        if env {
            let ends = (seconds_since_1970() + 5).to_string();
            command.env("SLURM_JOB_ID", "17").env("SLURM_JOB_END_TIME", ends);
        }
        let ran = folder.finish(command);
        let text = format!(
            "harness: stopped {why} with 1 task unfinished: exec `test -e go || sleep 1000`, running for TIME \
             without a `timeout`. Nothing reported is lost: DIR/c.lua.journal has it. Nothing \
             that ran has ended, and the next run would be the same: what is left needs longer than the TIME that it had; \
             give it more than TIME (`--deadline`, or `--time` of the job).\n"
        );
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(75), "true\n"), "{ran:?}");
        let dir = folder.path("").canonicalize().unwrap();
        let said = took.replace_all(&ran.stderr, "$1 TIME");
        assert_eq!(said, text.replace("DIR", dir.to_str().unwrap()));
        folder.write("go", "");
        says(&folder, &["-q", "c.lua"], 0, "nil\ntrue\n", "");
    }
}

#[test]
fn a_deadline_that_cannot_be_is_said() {
    let folder = Folder::with("");
    let refused = |args: &[&str]| {
        let ran = folder.run(args);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        ran.stderr
    };
    assert!(
        refused(&["--deadline", "soonish", "c.lua"]).starts_with("harness: --deadline 'soonish' is neither")
    );
    assert_eq!(refused(&["--deadline", "2001-01-01", "c.lua"]), "harness: --deadline '2001-01-01' is past\n");
    for none in ["0", "0 s", "00"] {
        assert_eq!(
            refused(&["--deadline", none, "c.lua"]),
            format!("harness: --deadline '{none}' is past\n")
        );
    }
    let text = refused(&["--deadline", "5 s", "--margin", "1 min", "c.lua"]);
    assert!(
        text.starts_with("harness: --deadline 5 s is in 5 s, and --margin is 60 s: nothing would be run"),
        "{text}"
    );
    assert!(refused(&["--margin", "much", "c.lua"]).contains("a duration such as"));
}

/// The batch system is asked by its own command; one that does not answer is no error.
#[test]
fn the_walltime_of_a_batch_job_is_asked_for() {
    let folder = Folder::with("print(require 'harness'.walltime_left())\n");
    folder.write("qstat", "#!/bin/sh\necho \"    Resource_List.walltime = 10:00:00\"\n");
    rustix::fs::chmod(folder.path("qstat"), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path("").display(), std::env::var("PATH").unwrap());
    let ask = |job: &str| {
        let mut command = folder.harness(&["-v", "c.lua"]);
        command.env(job, "17").env("PATH", &path);
        ended_well(folder.finish(command))
    };
    let known = ask("PBS_JOBID");
    let left: f64 = known.stdout.trim().parse().unwrap();
    assert!(left > 30_000.0 && left <= 36_000.0, "{left}");
    assert!(
        known.stderr.contains("the end of PBS job 17 is in 10 h 0 min; tasks are stopped 30 s before"),
        "{known:?}"
    );
    let unknown = ask("LSB_JOBID");
    assert_eq!(unknown.stdout, "nil\n");
    assert!(
        unknown.stderr.contains("when LSF job 17 ends is not known (program `bjobs` not found"),
        "{unknown:?}"
    );
}

/// Who forgets a parameter would have two programs in one line of a history; another way to measure is none.
#[test]
fn one_name_for_two_measurements_is_told() {
    let folder = Folder::with(
        "for _, word in ipairs { 'one', 'two' } do
           for _, name in ipairs { 'same', 'key', 'params' } do
             submit(measure { name = name, params = name == 'params' and { word = word } or nil, key = name == 'key' and word or nil,
               runs = 1, warmup = 0, exclusive = false, cmd = { 'echo', word } })
           end
           local again = submit(compile { cmd = { 'cp', 'c.lua', 'out' }, inputs = { 'c.lua' }, output = 'out' })
           submit(measure { name = 'build', runs = 1, warmup = 0, exclusive = false, cmd = { 'cat', again } })
           submit(measure { name = 'way', runs = word == 'one' and 1 or 2, warmup = 0, exclusive = false, cmd = { 'true' } })
         end",
    );
    let told = "harness: measurements of the same name and params differ (command): 'same'; tables, history and compare take them for \
                one: what tells them apart belongs into `params`";
    for _ in 0..2 {
        let ran = ended_well(folder.run(&["c.lua"]));
        assert_eq!(
            ran.stderr.lines().filter(|line| line.contains("name and params")).collect::<Vec<_>>(),
            [told],
            "{ran:#?}"
        );
    }
}

const THREE: &str = "
for i = 1, 3 do
  submit(measure { name = 'm', params = { i = i }, runs = 1, warmup = 0, exclusive = false, cmd = { 'echo', 'WORD', i } })
end
";

#[test]
fn one_line_says_that_the_script_changed_what_a_name_means() {
    let folder = Folder::with(THREE);
    ended_well(folder.run(&["c.lua"]));
    let notes = |script: String| {
        folder.write("c.lua", script);
        let ran = ended_well(folder.run(&["c.lua"]));
        let lines = ran.stderr.lines().take_while(|line| !line.starts_with("harness: 3 tasks"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let text = |what: &str| {
        format!(
            "harness: 3 records of 'm' in the journal no longer answer, asked anew (changed: {what}); undo the change \
             and the old count again"
        )
    };
    let nothing: [&str; 0] = [];
    assert_eq!(notes(THREE.into()), nothing);
    assert_eq!(notes(THREE.replace("WORD", "other")), [text("command")]);
    assert_eq!(notes(THREE.into()), nothing, "it was changed back");
    let longer = THREE.replace("runs = 1", "runs = 2, env = { A = 1 }");
    let third = notes(longer);
    // Of the other one it was said when it went out of use.
    assert_eq!(third, [text("env, how it is measured")]);
    assert_eq!(notes(THREE.replace("{ i = i }", "{ i = i + 10 }")), nothing, "another search point");
}

#[test]
fn one_line_says_what_a_changed_script_asks_for_no_more() {
    let both = THREE.to_owned() + &THREE.replace("name = 'm'", "name = 'n'");
    let folder = Folder::with(&both);
    ended_well(folder.run(&["c.lua"]));
    let first = |script: String| {
        folder.write("c.lua", script);
        ended_well(folder.run(&["c.lua"])).stderr.lines().next().unwrap().to_owned()
    };
    let text = "harness: since the script changed nothing asks for 3 records of 'm' in the journal (renamed or removed); what \
                is asked for again is answered from there";
    assert_eq!(first(both.replace("name = 'm'", "name = 'renamed'")), text);
    assert_eq!(
        first(both.replace("name = 'm'", "name = 'renamed'")),
        "harness: 6 tasks (6 from the journal): 6 ok",
        "once"
    );
    // One that fails may not have come to them.
    folder.write("c.lua", "error 'early'");
    let ran = folder.run(&["-q", "c.lua"]);
    assert!(ran.code == Some(1) && !ran.stderr.contains("since the script changed"), "{ran:#?}");
}

/// Waited for one by one, each record is found out of use after the last was told.
#[test]
fn a_name_that_changed_is_told_once_and_counted_at_the_end() {
    let one_by_one = THREE.replace("submit(measure", "await(submit(measure").replace("})\n", "}))\n");
    let folder = Folder::with(&one_by_one);
    ended_well(folder.run(&["c.lua"]));
    folder.write("c.lua", one_by_one.replace("WORD", "other"));
    let ran = ended_well(folder.run(&["c.lua"]));
    let told = "harness: 1 record of 'm' in the journal no longer answers, asked anew (changed: command); undo the change \
                and the old count again\nharness: 2 more records of 'm' in the journal no longer answered either\n\
                harness: 3 tasks: 3 ok\n";
    assert!(ran.stderr.starts_with(told), "{ran:?}");
}

#[test]
fn what_was_cut_short_is_not_taken_for_a_change() {
    let folder = Folder::with(&THREE.replace("{ i = i }", "{}").replace("1, 3", "1, 2"));
    ended_well(folder.run(&["c.lua"]));
    folder.write("c.lua", THREE.replace("{ i = i }", "{}"));
    let ran = ended_well(folder.run(&["c.lua"]));
    assert!(ran.stderr.contains("harness: 3 tasks (2 from the journal): 3 ok\n"), "{ran:?}");
    assert!(!ran.stderr.contains("no longer"), "{ran:?}");
    // One name for several things, waited for one by one: what comes first now does not replace the others.
    let one_by_one = "await(submit(measure { name = 'm', params = {}, runs = 1, warmup = 0, exclusive = false, cmd = \
                      { 'echo', 'WORD', 0 } }))\n";
    folder.write("c.lua", one_by_one.to_owned() + &THREE.replace("{ i = i }", "{}"));
    let ran = ended_well(folder.run(&["c.lua"]));
    assert!(ran.stderr.contains("harness: 4 tasks (3 from the journal): 4 ok\n"), "{ran:?}");
    assert!(!ran.stderr.contains("no longer"), "{ran:?}");
}

#[test]
fn one_line_says_that_figures_are_of_another_machine() {
    let folder = Folder::with(THREE);
    ended_well(folder.run(&["c.lua"]));
    let moved: Vec<String> = folder
        .journal("c.lua.journal")
        .into_iter()
        .map(|mut record| {
            if record["type"] == "env" {
                record["cpu_model"] = "Z80".into();
            }
            if record["type"] == "measurement" {
                record["host"] = "node7".into();
            }
            format!("{record}\n")
        })
        .collect();
    // A header is known by its first bytes, so it stays as it was.
    let header = folder.read("c.lua.journal").lines().next().unwrap().to_owned() + "\n";
    folder.write("c.lua.journal", header + &moved[1..].concat());
    let ran = ended_well(folder.run(&["c.lua"]));
    let first = ran.stderr.lines().next().unwrap();
    let text = "harness: 3 measurements answered from the journal were taken on another machine: node7 (Z80); here is ";
    assert!(first.starts_with(text), "{ran:?}");
    assert!(first.ends_with(". Compare with care; --fresh measures everything anew"), "{ran:?}");
    assert!(
        ran.stderr.lines().nth(1).unwrap().starts_with("harness: 3 tasks (3 from the journal)"),
        "{ran:?}"
    );
}

/// The second worker calls its node by another name, as if it were one.
const TWO_NODES: &str = r#"
mkdir first 2>/dev/null && exec "$HARNESS" "$@"
exec unshare --uts sh -c 'hostname elsewhere && exec "$0" "$@"' "$HARNESS" "$@""#;

/// There it waits until it may go on, and is slower.
const PROGRAM: &str = "host=$(hostname)
echo >>ran.$host
case $host in elsewhere) until [ -e go ]; do sleep 0.01; done; set -- $(($1 * 2)) ;; esac
echo t $1
";

/// A block is recorded as soon as it has ended, so what was killed makes only those that are missing.
#[test]
fn of_a_comparison_on_several_nodes_the_missing_blocks_are_made() {
    if !Command::new("unshare").args(["--uts", "true"]).status().is_ok_and(|status| status.success()) {
        return skip("another host name needs root and unshare");
    }
    let folder = Folder::with(
        "local pool <close> = spawn { workers = 2, placement = 'warn' }
        local function prints(t) return { cmd = { 'sh', 'program', t } } end
        local c = await(submit(compare { name = 'rates', blocks = 2, base = prints(2), a = prints(1),
          metrics = { t = 't (%d+)' }, objective = 't' }))
        print(c.verdicts.a.verdict, c.verdicts.a.ratio, table.concat(c.slow_nodes, ' '))",
    );
    folder.write("program", PROGRAM);
    let start = || Running::start(folder.harness_with_worker(TWO_NODES, &["c.lua"]));
    let here = || {
        let files = std::fs::read_dir(folder.path(".")).unwrap().flatten();
        let names = files.map(|file| file.file_name().into_string().unwrap());
        let ran = names.filter(|name| name.starts_with("ran.") && name != "ran.elsewhere");
        ran.map(|name| folder.lines(&name)).sum::<usize>()
    };
    let recorded = || {
        let text = std::fs::read_to_string(folder.path("c.lua.journal")).unwrap_or_default();
        text.matches("\"kind\":\"compare\"").count()
    };
    let running = start();
    await_that("one block is recorded", || recorded() == 1);
    running.signal(Signal::KILL);
    running.end(LIMIT);
    folder.assert_nothing_left(LIMIT);
    assert_eq!((recorded(), here()), (1, 2 * 11));
    std::fs::remove_dir(folder.path("first")).unwrap();
    folder.write("go", "");
    let resumed = ended_well(start().end(LIMIT));
    assert_eq!(resumed.stdout, "faster\t2.0\telsewhere\n");
    assert!(resumed.stderr.contains("harness: 2 tasks (1 from the journal): 2 ok\n"), "{resumed:?}");
    assert!(resumed.stderr.contains("\n  rates: slow nodes: elsewhere\n"), "{resumed:?}");
    assert_eq!((recorded(), here()), (2, 2 * 11), "what was recorded is not made again");
}
