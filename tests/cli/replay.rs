//! `--trace` and `harness replay`: a search decides the same and prints the same without a worker, a program or a journal;
//! where it does not, it says where.

use std::fs;
use std::io::{BufRead, BufReader};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use serde_json::Value;

use crate::said;
use crate::support::{Folder, LIMIT, Ran};

/// All that a script may decide by: order of ends, values, failures, times, random numbers, what is left of a budget, kept
/// states, pools.
const SEARCH: &str = r#"
local harness = require "harness"
local pool <close> = spawn { workers = 2, slots = 2, start = "local" }
print(#pool.workers, pool.workers[1].host, pool.workers[1].slots, harness.walltime_left() > 0, ...)
local random, state = harness.random "search", harness.state("search", { runs = 0 })
state.runs = state.runs + 1
print("run", state.runs)

local tasks = {}
for i = 1, 6 do
  tasks[i] = submit(function(n) return { square = n * n, text = tostring(n) }, n / 3 end, random:integer(1, 1000))
end
for i, value, third in as_completed(tasks) do print(i, value.square, value.text, third) end

local function cost(x) return (x - 37) ^ 2 end
local function climb(name)
  local x = random:integer(0, 100)
  for step = 1, 3 do
    local left, right = submit(call { cost, x - 1, name = name }), submit(cost, x + 1)
    x = await(left) < await(right) and x - 1 or x + 1
    print(name, step, x, math.random(1000), string.format("%.17g", harness.now()))
    state[name] = x
  end
  return x
end
local a, b = go(climb, "a"), go(climb, "b")
print(await(a), await(b))

local budget = harness.budget { trials = 5 }
while not budget:done() do
  local r = await(submit(exec { cmd = { "./prog", random:integer(0, 1) } }))
  print(r.status, r.exit_code, r.stdout)
end
local slow = submit(exec { cmd = { "./prog", "wait" } })
print(slow:wait "50 ms")
slow:cancel()
print(await(slow).status)
print(select(2, pcall(await, submit(function() error { code = 7 } end))).code)
print(await(submit(measure { name = "prog", params = { n = 1 }, cmd = { "./prog", 0 }, runs = 3, warmup = 0, exclusive = false })))
local sum, unordered = 0, {}
for _, n in pairs { aa = 1, bb = 2, cc = 3, dd = 4, ee = 5, ff = 6 } do unordered[#unordered + 1] = submit(function(x) return x + 1 end, n) end
for _, n in as_completed(unordered) do sum = sum + n end
assert(sum == 27)
"#;

const PROG: &str = "#!/bin/sh\n[ \"$1\" = wait ] && exec sleep 60\necho \"got $1\"\nexit $1\n";

/// A folder with this campaign and what it runs.
fn folder(script: &str) -> Folder {
    let folder = Folder::with(script);
    folder.write("prog", PROG);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path("prog"), executable).unwrap();
    folder
}

/// The same, traced to its end.
fn traced(script: &str) -> (Folder, Ran) {
    let folder = folder(script);
    let ran = folder.run(&["-q", "--deadline", "1 h", "--trace", "trace", "c.lua", "x"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    (folder, ran)
}

/// A journal knows nothing of a run that could not begin, and `--fresh` has not cost the one that was there.
#[test]
fn a_run_that_cannot_be_traced_leaves_the_journal_as_it_was() {
    let folder = Folder::with("print(await(submit(exec { cmd = { 'true' }, key = 'a' })).status)");
    folder.write("other", "precious\n");
    let nothing_but = |there: &str| {
        for trace in ["other", "none/trace"] {
            for fresh in [false, true] {
                let mut args = vec!["--trace", trace];
                args.extend(fresh.then_some("--fresh"));
                args.push("c.lua");
                let ran = folder.run(&args);
                assert!(ran.code == Some(4) && ran.stderr.contains("--trace: "), "{args:?}: {ran:#?}");
                let journals = fs::read_dir(folder.path("")).unwrap().flatten();
                let names = journals.map(|entry| entry.file_name().into_string().unwrap());
                let mut names: Vec<_> = names.filter(|name| name.starts_with("c.lua.journal")).collect();
                names.sort();
                assert_eq!(names.join(" "), there, "{args:?}");
            }
        }
    };
    nothing_but("");
    // Of the journal itself, too, which is not there when the trace is asked for.
    let ran = folder.run(&["--trace", "c.lua.journal", "c.lua"]);
    assert!(ran.code == Some(4) && ran.stderr.contains("is there and is no trace"), "{ran:#?}");
    nothing_but("");
    assert_eq!(folder.run(&["c.lua"]).stdout, "ok\n");
    let was = folder.read("c.lua.journal");
    nothing_but("c.lua.journal");
    assert_eq!(folder.read("c.lua.journal"), was);
    assert_eq!(folder.read("other"), "precious\n");
}

/// A folder with a trace and a script, and nothing else.
fn laptop(trace: &str, script: &str) -> Folder {
    let folder = Folder::with(script);
    folder.write("trace", trace);
    folder
}

fn replay(folder: &Folder) -> Ran {
    folder.run(&["replay", "trace", "c.lua", "x"])
}

#[test]
fn a_search_decides_the_same_where_there_is_nothing() {
    let (cluster, ran) = traced(SEARCH);
    let trace = cluster.read("trace");
    let folder = laptop(&trace, SEARCH);
    for _ in 0..2 {
        let again = replay(&folder);
        assert_eq!(again.stdout, ran.stdout, "{again:#?}");
        assert_eq!(again.code, Some(0), "{again:#?}");
        let said = again.stderr.trim_end();
        assert!(
            said.starts_with("harness: replay: ") && said.ends_with(" decisions as in the trace"),
            "{said}"
        );
    }
    assert!(!folder.path("c.lua.journal").exists());
    assert_eq!(folder.read("trace"), trace);

    // The script and its arguments are in the trace.
    let there = cluster.run(&["replay", "trace"]);
    assert_eq!((there.code, &there.stdout), (Some(0), &ran.stdout), "{there:#?}");

    // A run that goes on from its journal is replayed from a trace of its own.
    let second = cluster.run(&["-q", "--deadline", "1 h", "--trace", "second", "c.lua", "x"]);
    assert!(second.stdout.contains("\nrun\t2\n"), "{second:#?}");
    let folder = laptop(&cluster.read("second"), SEARCH);
    assert_eq!(replay(&folder).stdout, second.stdout);
}

#[test]
fn every_event_of_the_scheduler_is_in_order() {
    let (cluster, _) = traced("print(await(submit(function() return 1 end)))");
    let lines = cluster.journal("trace");
    let header = &lines[0];
    assert_eq!((&header["schema"], &header["args"][0]), (&"harness.trace/1".into(), &"x".into()));
    let names = |line: &Value| {
        let (what, said) = line.as_object()?.iter().find(|(field, _)| *field != "t")?;
        let name = said.as_str().or_else(|| Some(said.as_object()?.keys().next()?.as_str()))?;
        Some(format!("{what} {name}"))
    };
    let names: Vec<String> = lines[1..].iter().filter_map(names).collect();
    let mut rest = names.iter();
    for wanted in [
        "script submit",
        "event pool_opened",
        "event submitted",
        "event worker_ready",
        "action start",
        "event finished",
        "action resolve",
        "script took",
        "script end",
    ] {
        assert!(rest.any(|name| name == wanted), "no `{wanted}`, in this order, in {names:#?}");
    }
    let times: Vec<f64> = lines[1..].iter().map(|line| line["t"].as_f64().unwrap()).collect();
    assert!(times.iter().all(|t| *t >= 0.0), "{times:?}");
}

/// A short search, and what becomes of its trace.
const SHORT: &str = "\
local best = 0
for i = 1, 3 do
  local n = await(submit(call { function(i) return i * i end, i, name = 'step', params = { i = i } }))
  print(i, n)
end
local r = await(submit(measure { name = 'm', cmd = { './prog', 0 }, runs = 2, warmup = 0, exclusive = false, env = { A = '1' } }))
print(r.status)
";

#[test]
fn a_script_that_asks_for_something_else_is_told_where() {
    let (cluster, ran) = traced(SHORT);
    let trace = cluster.read("trace");
    let changed =
        "harness: replay: c.lua is not as it was when the trace was written; it may decide otherwise\n";
    let told = |old: &str, new: &str, stdout: &str, text: &str| {
        assert!(SHORT.contains(old), "{old}");
        let folder = laptop(&trace, &SHORT.replace(old, new));
        let again = replay(&folder);
        let first = again.stderr.lines().skip(1).collect::<Vec<_>>().join("\n");
        assert!(again.stderr.starts_with(changed), "{again:#?}");
        assert!(first.contains(text), "expected {text}\nin {again:#?}");
        assert_eq!((again.code, again.stdout.as_str()), (Some(1), stdout), "{again:#?}");
    };
    // Another value in the middle of it, with the line of the script.
    told(
        "end, i, name",
        "end, i == 2 and 7 or i, name",
        "1\t1\n",
        "harness: c.lua:3: submit: decision 2 is not that of the trace: the script asks for call step i=2, where the trace has \
         call step i=2 with another command",
    );
    told(
        "A = '1'",
        "A = '2'",
        "1\t1\n2\t4\n3\t9\n",
        "decision 4 is not that of the trace: the script asks for measure m, where the trace has measure m with another env",
    );
    told("1, 3 do", "1, 4 do", "1\t1\n2\t4\n3\t9\n", "asks for call step i=4, where the trace has measure m");
    told("1, 3 do", "1, 0 do", "", "the script asks for measure m, where the trace has call step i=1");
    // One less, or one more, at the end.
    let shorter = &SHORT[SHORT.find("local r").unwrap()..];
    told(
        shorter,
        "",
        "1\t1\n2\t4\n3\t9\n",
        "after decision 3 (call step i=3) the script is over, where the trace has measure m",
    );
    told(
        "local best = 0",
        "local best = 0; submit(exec { cmd = { 'true' } })",
        "",
        "decision 1 is not that of the trace: the script asks for exec `true`, where the trace has call step i=1",
    );
    // What asks for nothing may change.
    let folder = laptop(&trace, &SHORT.replace("print(i, n)", "print(i, n, (require 'harness').now() >= 0)"));
    let again = replay(&folder);
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (Some(0), "1\t1\ttrue\n2\t4\ttrue\n3\t9\ttrue\nok\n"),
        "{ran:#?}"
    );
}

#[test]
fn a_trace_that_was_cut_off_answers_as_far_as_it_goes() {
    let (cluster, ran) = traced(SHORT);
    let trace = cluster.read("trace");
    // In the middle of the line with the third end.
    let (third, _) = trace.match_indices("\"took\"").nth(2).unwrap();
    let folder = laptop(&trace[..third + 20], SHORT);
    said(
        &folder,
        replay(&folder),
        75,
        "1\t1\n2\t4\n",
        "harness: replay: the trace ends here, after decision 3 (call step i=3): it was cut off, or its campaign killed; what the script waits for \
         is not in it\n",
    );
    // All but the last line: nothing is missing that the script waits for.
    let end = trace.trim_end().rfind('\n').unwrap();
    let again = replay(&laptop(&trace[..=end], SHORT));
    assert_eq!((again.code, again.stdout), (Some(0), ran.stdout), "{}", again.stderr);
    // A line in the middle that is none.
    let folder = laptop(&trace.replacen("\"took\"", "\"look\"", 1), SHORT);
    let again = replay(&folder);
    assert_eq!((again.code, again.stdout.as_str()), (Some(4), ""), "{again:#?}");
    assert!(
        again
            .stderr
            .contains(" of the trace is damaged: the replay ends here, after decision 1 (call step i=1)\n"),
        "{again:#?}"
    );
}

#[test]
fn the_stop_of_a_campaign_is_replayed_too() {
    let script = "print(await(submit(function() return 1 end)))\nprint 'waits'\nio.flush()\n\
                  local slow <close> = submit(exec { cmd = { './prog', 'wait' } })\nawait(slow)";
    let folder = folder(script);
    let mut running = folder.start(&["-q", "--trace", "trace", "c.lua"]);
    running.await_line("waits");
    running.signal(rustix::process::Signal::TERM);
    let ran = running.end(LIMIT);
    assert_eq!(ran.code, Some(75), "{ran:#?}");
    let laptop = laptop(&folder.read("trace"), script);
    let stderr = "harness: replay: 3 decisions as in the trace; then the campaign was stopped\n";
    said(&laptop, replay(&laptop), 75, "1\nwaits\n", stderr);
}

#[test]
fn what_cannot_be_a_trace_is_said() {
    let folder = Folder::with("print 'hello'\n");
    let trace_help = "is no trace: `harness --trace FILE campaign.lua` writes one\n";
    let no_trace = |args: &[&str], code, stderr: &str| said(&folder, folder.run(args), code, "", stderr);
    no_trace(&["replay", "c.lua"], 4, &format!("harness: replay: c.lua {trace_help}"));
    no_trace(
        &["replay", "none"],
        4,
        "harness: replay: cannot read none: No such file or directory (os error 2)\n",
    );
    folder.write("new", r#"{"schema":"harness.trace/9","version":"9.0","protocol":1,"script":"","script_hash":"00000000000000000000000000000000","args":[],"seed":1,"started_unix_s":0,"kept":{}}
"#);
    let version = "harness: replay: new was written by harness 9.0, which this one does not understand: replay it with that version\n";
    no_trace(&["replay", "new"], 4, version);
    let taken = "harness: --trace: c.lua is there and is no trace: name another file, or remove it\n";
    no_trace(&["--trace", "c.lua", "c.lua"], 4, taken);
    let nowhere = "harness: --trace: cannot write no/trace: No such file or directory (os error 2)\n";
    no_trace(&["--trace", "no/trace", "c.lua"], 4, nowhere);
    if std::path::Path::new("/dev/full").exists() {
        let full = "harness: --trace: cannot write /dev/full: No space left on device (os error 28)\n";
        no_trace(&["--trace", "/dev/full", "c.lua"], 4, full);
    }
}

#[test]
fn a_trace_that_cannot_be_written_any_more_costs_the_campaign_nothing() {
    let script = "print(await(submit(exec { cmd = { 'sh', '-c', 'until test -e closed; do sleep 0.01; done' } })).status)";
    let folder = Folder::with(script);
    let pipe = folder.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let unread =
        "harness: --trace: pipe is a pipe that nobody reads from: name a file, or start who reads first\n";
    said(&folder, folder.run(&["-q", "--trace", "pipe", "c.lua"]), 4, "", unread);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC; // it waits for nobody who writes
    let reader = fs::File::from(rustix::fs::open(&pipe, flags, rustix::fs::Mode::empty()).unwrap());
    let running = folder.start(&["-q", "--trace", "pipe", "c.lua"]);
    poll(&mut [PollFd::new(&reader, PollFlags::IN)], None).unwrap();
    let mut header = String::new();
    BufReader::new(reader).read_line(&mut header).unwrap();
    assert!(header.starts_with("{\"schema\":\"harness.trace/1\","), "{header}");
    // The reader is gone before the task ends, and its end is to be written.
    folder.write("closed", "");
    let stderr = "harness: the trace pipe is cut off: it cannot be written: Broken pipe (os error 32); the campaign goes on\n";
    said(&folder, running.end(LIMIT), 0, "ok\n", stderr);
}
