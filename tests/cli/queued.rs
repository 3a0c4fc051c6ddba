//! `--most-queued`: who submits more than may be on its way waits, the peak is never above it, and nothing decides
//! otherwise for it.

use serde_json::Value;

use crate::said;
use crate::support::{Folder, LIMIT, await_that};

/// The most tasks that were submitted and not ended for the script, by the trace; and how many there were.
fn peak(trace: &[Value]) -> (usize, usize) {
    let (mut now, mut most, mut all) = (0, 0, 0);
    for said in trace.iter().filter_map(|line| line["script"].as_object()) {
        if said.contains_key("submit") {
            (now, all) = (now + 1, all + 1);
            most = most.max(now);
        } else if said.contains_key("took") {
            now -= 1;
        }
    }
    (most, all)
}

const DROPPED: &str =
    "local function idle() end\nfor i = 1, 4000 do submit(idle) end\nprint 'all are submitted'\n";

#[test]
fn a_loop_that_drops_its_futures_has_no_more_queued_than_may_be() {
    let folder = Folder::with(DROPPED);
    let args =
        ["-q", "--start", "local", "--slots", "2", "--most-queued", "500", "--trace", "trace", "c.lua"];
    said(&folder, folder.run(&args), 0, "all are submitted\n", "");
    assert_eq!(peak(&folder.journal("trace")), (500, 4000));
    // A replay waits where the run did.
    let again = folder.run(&["replay", "trace"]);
    assert_eq!((again.code, &*again.stdout), (Some(0), "all are submitted\n"), "{again:#?}");
    // By default so few need not wait.
    let ran = folder.run(&["-q", "--start", "local", "--fresh", "--trace", "trace", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(peak(&folder.journal("trace")).0 > 500);
}

/// All places that submit: a chain, flows beside one another, `on_done`, `map`, a coroutine of the author's, where nothing can
/// be suspended, and what was cancelled or failed.
const EVERYWHERE: &str = r#"
local harness = require "harness"
local function add(x, y) return x + y end
local chain = submit(add, 0, 1)
for i = 1, 50 do chain = submit(add, chain, 1) end
local tree = {}
for i = 1, 32 do tree[i] = submit(add, i, 0) end
while #tree > 1 do
  local next = {}
  for i = 1, #tree, 2 do next[#next + 1] = submit(add, tree[i], tree[i + 1]) end
  tree = next
end
print("chain and tree", await(chain), await(tree[1]))

local order, flows = {}, {}
for name = 1, 3 do
  flows[name] = go(function()
    local sum = 0
    local futures = {}
    for i = 1, 10 do futures[i] = submit(add, name, i) end
    for _, f in ipairs(futures) do sum = sum + await(f) end
    return sum
  end)
end
print("flows", await(flows[1]), await(flows[2]), await(flows[3]))

local seen, all = 0, {}
for i = 1, 20 do
  all[i] = submit(add, i, 0)
  all[i]:on_done(function() submit(add, 1, 1):on_done(function() seen = seen + 1 end) end)
end
wait(all)
print("map", table.concat(map(function(x) return x + 10 end, { 1, 2, 3, 4, 5, 6, 7 }), " "))

local co = coroutine.wrap(function()
  for i = 1, 10 do coroutine.yield(submit(add, i, i)) end
end)
local sum = 0
for i = 1, 10 do sum = sum + await(co()) end
print("a coroutine", sum)

local list = { 5, 3, 1, 4, 2 }
table.sort(list, function(a, b) submit(add, a, b) return a < b end)
print("a comparator", table.concat(list, " "))

local bad, dependents = submit(function() error "no" end), {}
for i = 1, 10 do dependents[i] = submit(add, bad, i) end
local skipped = 0
for _, f in ipairs(dependents) do if not pcall(await, f) then skipped = skipped + 1 end end
print("skipped", skipped, pcall(await, bad) == false)
local gone = {}
for i = 1, 10 do gone[i] = submit(exec { cmd = { "sleep", "1000" } }) gone[i]:cancel() end
print("cancelled", await(gone[1]).status, await(gone[10]).status)
while seen < 20 do await(submit(add, 0, 0)) end
print("on_done", seen)
"#;

#[test]
fn every_place_that_submits_waits_for_room_and_none_waits_for_ever() {
    let folder = Folder::with(EVERYWHERE);
    let mut said = Vec::new();
    for most in ["1", "2", "7", "1000"] {
        let args =
            ["-q", "--start", "local", "--slots", "2", "--fresh", "--trace", "trace", "--most-queued", most];
        let ran = folder.run(&[&args[..], &["c.lua"]].concat());
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert!(
            peak(&folder.journal("trace")).0 <= most.parse().unwrap(),
            "{most}: {:?}",
            peak(&folder.journal("trace"))
        );
        let again = folder.run(&["replay", "trace"]);
        assert_eq!((again.code, &again.stdout), (Some(0), &ran.stdout), "{again:#?}");
        said.push(ran.stdout);
    }
    assert!(said.iter().all(|text| *text == said[0]), "{said:#?}");
    let dry = folder.run(&["check", "c.lua"]);
    assert_eq!(dry.code, Some(0), "{dry:#?}");
}

#[test]
fn what_the_journal_answers_needs_no_wait() {
    let folder = Folder::with(
        "local ended, all = {}, {}\nfor i = 1, 40 do\n  all[i] = submit(call { function(x) return x end, i, key = 'k' .. i })\n\
         all[i]:on_done(function(f) ended[#ended + 1] = await(f) end)\nend\nwait(all)\nprint(table.concat(ended, ' '))\n",
    );
    let args = ["-q", "--start", "local", "--slots", "2", "--most-queued", "3", "c.lua"];
    let first = folder.run(&args);
    assert_eq!(first.code, Some(0), "{first:#?}");
    let second = folder.run(&args);
    assert_eq!((second.code, &second.stdout), (Some(0), &first.stdout), "{second:#?}");
}

#[test]
fn why_the_script_waits_is_said_and_a_signal_ends_the_wait() {
    let folder = Folder::with(
        "for i = 1, 10 do submit(exec { shell = 'touch began; until [ -e go ]; do sleep 0.01; done' }) print(i) io.stdout:flush() \
         end\n",
    );
    let args = ["--start", "local", "--slots", "2", "--most-queued", "3", "c.lua"];
    let running = folder.start(&args);
    let told =
        "\n  the script waits with a submit: as many tasks as may be have not ended (--most-queued 3)\n";
    await_that("why it waits", || {
        folder.path("began").exists() && folder.run(&["status", "--now", "c.lua"]).stdout.contains(told)
    });
    let json = folder.run(&["status", "--now", "--json", "c.lua"]).stdout;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["full"], 3);
    running.signal(rustix::process::Signal::TERM);
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, &*ran.stdout), (Some(75), "1\n2\n3\n"), "{ran:#?}");
    assert!(ran.stderr.contains("stopped by SIGTERM with 3 tasks unfinished"), "{ran:#?}");

    // Let go, it goes on.
    let running = folder.start(&args);
    await_that("why it waits", || folder.run(&["status", "--now", "c.lua"]).stdout.contains(told));
    folder.write("go", "");
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 10), "{ran:#?}");
}

/// 60 arguments of 8 MiB are more than there is; a quarter of it may be on its way.
#[test]
fn large_arguments_count_for_more_tasks() {
    for submitted in [
        "submit(function(text) return #text end, text)",
        "submit(exec { cmd = { 'wc', '-c' }, stdin = text, stdout = 'null' })",
    ] {
        let folder = Folder::with(&format!(
            "for i = 1, 30 do\n local text = ('%08d'):format(i):rep(1 << 20)\n {submitted}\nend\nprint 'all are submitted'\n"
        ));
        let args = ["-q", "--start", "local", "--slots", "2", "--trace", "trace", "c.lua"];
        said(
            &folder,
            folder.finish(folder.harness_after("ulimit -d 400000", &args)),
            0,
            "all are submitted\n",
            "",
        );
        let (most, all) = peak(&folder.journal("trace"));
        assert!(all == 30 && (10..=13).contains(&most), "{submitted}: {most} of {all}");
        let again = folder.run(&["replay", "trace"]);
        assert_eq!((again.code, &*again.stdout), (Some(0), "all are submitted\n"), "{again:#?}");
    }
}

/// Who was just given room lets those go first who wait for some.
#[test]
fn flows_that_wait_for_room_take_turns() {
    let folder = Folder::with(
        "local flows, counts, first = {}, { 0, 0, 0, 0 }, nil\nlocal function nothing() end\nfor f = 1, 4 do\n  flows[f] = go(function()\n\
         for _ = 1, 100 do\n submit(nothing)\n counts[f] = counts[f] + 1\n end\n first = first or table.concat(counts, ' ')\n end)\nend\n\
         wait(flows)\nprint(first)\n",
    );
    let ran = folder.run(&["-q", "--start", "local", "--slots", "2", "--most-queued", "3", "c.lua"]);
    let counts: Vec<u32> = ran.stdout.split_whitespace().map(|count| count.parse().unwrap()).collect();
    assert!(counts.len() == 4 && counts.iter().all(|count| *count > 80), "{ran:#?}");
}
