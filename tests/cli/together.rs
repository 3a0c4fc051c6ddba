//! Items of `map` that travel together are the calls they would be alone: with their random numbers, in a replay, after a fault.

use serde_json::Value;

use crate::said;
use crate::support::Folder;

/// Prints what came of it with the same numbers, whatever travels together; the last line: what comes after it.
const RANDOM: &str = r#"
local list = {}
for i = 1, 3000 do list[i] = i end
local in_flight = tonumber(arg[1])
local drawn = map(function(x)
  local until_when = os.clock() + (x % 500 == 0 and 0.012 or 0)
  while os.clock() < until_when do end
  return math.random(1 << 30)
end, list, { in_flight = in_flight })
print(table.concat(drawn, " "))
print(await(submit(function() return math.random(1 << 30) end)))
"#;

fn calls(trace: &[Value]) -> usize {
    trace.iter().filter(|line| line["script"]["submit"].is_object()).count()
}

#[test]
fn random_numbers_are_those_of_items_that_go_alone() {
    let folder = Folder::with(RANDOM);
    let with =
        |in_flight, trace| folder.run(&["-q", "--start", "local", "--trace", trace, "c.lua", in_flight]);
    let (alone, together) = (with("1", "alone"), with("1000", "together"));
    assert_eq!(alone.code, Some(0), "{alone:#?}");
    assert_eq!(calls(&folder.journal("alone")), 3001);
    assert!(calls(&folder.journal("together")) < 3001, "none travelled together");
    said(&folder, together, 0, &alone.stdout, "");
    let again = folder.run(&["replay", "together"]);
    assert_eq!((again.code, &*again.stdout), (Some(0), &*alone.stdout), "{again:#?}");
}

/// Also those that are sent anew behind one that took long; where one fails nobody knows of those that travelled with it.
#[test]
fn each_item_is_counted_as_a_task() {
    let folder = Folder::with(RANDOM);
    let ran = folder.run(&["--start", "local", "c.lua"]);
    assert!(ran.code == Some(0) && ran.stderr.ends_with("harness: 3001 tasks: 3001 ok\n"), "{ran:#?}");
    folder.write(
        "f.lua",
        "local list = {}\nfor i = 1, 3000 do list[i] = i end\n\
         pcall(map, function(x) if x == 2000 then error('it', 0) end end, list)\n",
    );
    let ran = folder.run(&["--start", "local", "f.lua"]);
    let end = folder.journal("f.lua.journal").pop().unwrap();
    assert_eq!((&end["ended"]["error"], &end["unfinished"]), (&1.into(), &0.into()), "{end}");
    // The line of those that were cancelled says how many they are, as the first one does.
    let cancelled = end["ended"]["cancelled"].as_u64().unwrap_or(0);
    let told = |line: &str| line.trim_start().starts_with(&format!("{cancelled} x call"));
    assert!(cancelled < 2 || ran.stderr.lines().any(told), "{ran:#?}");
}

/// What is left of a part whose items take long goes out in parts as short as is known by then: here the last two wait for each other.
/// They may have been a part of their own to begin with, where neither can meet the other: then all is done again.
#[test]
fn slow_items_behind_each_other_run_side_by_side() {
    let folder = Folder::with(
        "local function meets(run)\n\
           local list = {}\n\
           for i = 1, 2000 do list[i] = i end\n\
           local met = map(function(x)\n\
             if x <= 1950 then return end\n\
             local began = os.clock()\n\
             if x < 1999 then\n\
               while os.clock() - began < 0.02 do end\n\
               return\n\
             end\n\
             local mine, other = run .. '.' .. x, run .. '.' .. 3999 - x\n\
             io.open(mine, 'w'):close()\n\
             while os.clock() - began < 1 do\n\
               if io.open(other) then return true end\n\
             end\n\
           end, list)\n\
           return met[1999] and met[2000]\n\
         end\n\
         local run = 1\n\
         while run <= 5 and not meets(run) do run = run + 1 end\n\
         print(run <= 5)\n",
    );
    let ran = folder.run(&["-q", "--start", "local", "--slots", "2", "c.lua"]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "true\n"), "{ran:#?}");
}

/// A `map` tells of its first error, at once: also while it waits for room to send more, and whatever else fails.
#[test]
fn the_first_error_is_raised_at_once_and_no_other_is_told() {
    let folder = Folder::with(
        "local list = {}\n\
         for i = 1, 400 do list[i] = i end\n\
         local ok, e = pcall(map, function(x)\n\
           if x == 1 then error('one', 0) end\n\
           while true do end\n\
         end, list)\n\
         print(ok, e.message)\n\
         ok, e = pcall(map, function(x) error('each', 0) end, list)\n\
         print(ok, e.message)\n",
    );
    let ran = folder.run(&["-q", "--start", "local", "--slots", "2", "--most-queued", "4", "c.lua"]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "false\tone\nfalse\teach\n"), "{ran:#?}");
    assert!(!ran.stderr.contains("nobody asked"), "{ran:#?}");
}

/// A dry run goes through the same code.
#[test]
fn check_runs_a_map_over_a_list() {
    let folder = Folder::with(
        "local squares = map(function(x) return x * x end, { 1, 2, 3 })\nassert(#squares == 3)\n",
    );
    let ran = folder.run(&["check", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
}
