//! `harness check`: what is wrong with a script, where, and what it would do; and nothing happens.

use std::fs;

use crate::said;
use crate::support::{Folder, Ran};

#[track_caller]
fn check(script: &str, args: &[&str], code: i32, stdout: &str) -> (Folder, Ran) {
    let folder = Folder::with(script);
    let ran = folder.run(&[&["check", "c.lua"], args].concat());
    let ran = said(&folder, ran, code, stdout, "");
    let left: Vec<_> =
        fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["c.lua"], "{ran:#?}");
    (folder, ran)
}

/// A task has a copy of what it captures.
#[test]
fn what_a_task_does_to_what_it_captured_is_told() {
    let script = "local n, found, own = 0, {}, {}\nawait(submit(function(x)\n  n = n + 1\n  found[#found + 1] = x\n  \
                  table.insert(found, x)\n  local own = { own[1] }\n  own[2] = x\n  return own\nend, 1))\n";
    let stdout = "\
c.lua:3: warning: a function that runs on a worker sets the captured local 'n': it is gone when the task ends, and the script does \
not see it; return it
c.lua:4: warning: a function that runs on a worker changes the captured table 'found': it is gone when the task ends, and the \
script does not see it; return what it found
c.lua:5: warning: a function that runs on a worker changes the captured table 'found': it is gone when the task ends, and the \
script does not see it; return what it found
c.lua: 0 errors, 3 warnings
  would run 1 task: 1 call
";
    check(script, &[], 0, &(stdout.to_owned() + &unknown("1 task")));
}

/// Of tasks of which nothing is known.
fn unknown(tasks: &str) -> String {
    format!(
        "  not known for {tasks}: the journal has none of that kind and name, and they have no `timeout`\n"
    )
}

#[test]
fn what_the_text_shows_is_said_with_its_line() {
    let folder = Folder::with(
        "local helper = require 'helper'\n\
         local function never() prnt('x') return require 'gone', require 'harness.sweeps', require 'harness.args', unpack, helper end\n\
         local pool <close> = spawn { init = function() begun = 1 end } submit(function(x) count = x end, 1)\n\
         submit(exec { cmd = { 'true' } })\n\
         exec { cmd = { 'true' } }\n\
         known = 1; _G.field = 2; rawset(_G, 'late', 3)\n\
         local function later() return known, field, late, never end\n",
    );
    folder.write("lua/helper.lua", "local M = {}\nfunction M.f() lokal() end\nreturn M\n");
    let ran = folder.run(&["check", "c.lua"]);
    let expected = "\
c.lua: warning: 1 task was described and never submitted (c.lua:5): submit(exec{...})
c.lua:2: error: there is no global 'prnt' (did you mean 'print'?)
c.lua:2: error: there is no module 'gone': neither gone.lua nor gone/init.lua is in the folder of the script, in its lua/, or \
where HARNESS_PATH and LUA_PATH say
c.lua:2: error: there is no module 'harness.args': neither harness/args.lua nor harness/args/init.lua is in the folder of the \
script, in its lua/, or where HARNESS_PATH and LUA_PATH say
c.lua:2: error: there is no module 'harness.sweeps' (did you mean 'harness.sweep'?): neither harness/sweeps.lua nor \
harness/sweeps/init.lua is in the folder of the script, in its lua/, or where HARNESS_PATH and LUA_PATH say
c.lua:2: warning: there is no global 'unpack': Lua 5.4 has table.unpack
c.lua:3: warning: a function that runs on a worker sets the global 'begun': it is gone when the task ends, and the script does \
not see it; make it `local`, or return it
c.lua:3: warning: a function that runs on a worker sets the global 'count': it is gone when the task ends, and the script does \
not see it; make it `local`, or return it
lua/helper.lua:2: error: there is no global 'lokal'
c.lua: 5 errors, 4 warnings
  would run 2 tasks: 1 call, 1 exec
";
    said(&folder, ran, 1, &(expected.to_owned() + &unknown("2 tasks")), "");
    // Of several scripts each is said for itself, below its folder.
    folder.write("sub/d.lua", "local x = 1 +\n");
    let ran = folder.run(&["check", "lua/helper.lua", "sub/d.lua"]);
    let expected = "\
lua/helper.lua:2: error: there is no global 'lokal'
lua/helper.lua: 1 error, 0 warnings
  would run no task
sub/d.lua:2: error: unexpected symbol near <eof>
sub/d.lua: 1 error, 0 warnings
";
    said(&folder, ran, 1, expected, "");
}

#[test]
fn a_mistake_is_said_once() {
    check(
        "print 'x'\nprnt 'y'\n",
        &[],
        1,
        "c.lua:2: error: there is no global 'prnt' (did you mean 'print'?)\nc.lua: 1 error, 0 warnings\n  would run no task\n",
    );
    let folder = Folder::with("require 'broken'\n");
    folder.write("broken.lua", "return return\n");
    let ran = folder.run(&["check", "c.lua"]);
    let expected = "broken.lua:1: error: unexpected symbol near 'return'\nc.lua: 1 error, 0 warnings\n  would run no task\n";
    said(&folder, ran, 1, expected, "");
}

#[test]
fn wrong_options_are_errors_whatever_was_measured_before() {
    check(
        "local r = await(submit(exec { cmd = { 'x' } }))\nmeasure { cmd = { 'x' }, warmpu = 1 }\n",
        &[],
        1,
        &("c.lua:2: error: measure: unknown option 'warmpu' (did you mean 'warmup'?)\nc.lua: 1 error, 0 warnings\n  would run 1 task: 1 exec\n"
            .to_owned()
            + &unknown("1 task")),
    );
    check(
        "local co = coroutine.create(print)\nsubmit(function() return co end)\n",
        &[],
        1,
        "c.lua:2: error: submit: cannot ship upvalue `co` (coroutine) of function at c.lua:2; path: arg 1; pass the values it needs as arguments, or make it in \
         the task itself (an object of your own can say how by `__ship` in its metatable)\nc.lua: 1 error, 0 warnings\n  would run no task\n",
    );
    check(
        "submit(exec)\n",
        &[],
        1,
        "c.lua:1: error: submit: exec is the constructor of a task: did you mean submit(exec { ... })?\nc.lua: 1 error, 0 warnings\n  \
         would run no task\n",
    );
}

#[test]
fn what_figures_may_be_the_reason_for_is_a_warning() {
    check(
        "local r = await(submit(exec { cmd = { 'x' } }))\nprint(r.stdout:match 'size (%d+)' + 1)\nprint 'never'\n",
        &[],
        0,
        &("c.lua:2: warning: the dry run ended here: attempt to perform arithmetic on a nil value; what it was given was made up, so \
           that may be no mistake\nc.lua: 0 errors, 1 warning\n  would run 1 task: 1 exec\n"
            .to_owned()
            + &unknown("1 task")),
    );
}

#[test]
fn what_is_made_up_is_a_number_in_marked_lists_too() {
    check(
        "local n = await(submit(function() return 5 end))\n\
         local function marked(list) return setmetatable(list, { __jsontype = 'array' }) end\n\
         submit(exec(marked { name = table.concat(marked { 'n', n }), cmd = marked { 'echo', n }, timeout = n }))\n",
        &[],
        0,
        "c.lua: 0 errors, 0 warnings\n  would run 2 tasks: 1 call, 1 exec\n  a guess: at most TIME of one node for 1 task, by \
         `timeout`\n  not known for 1 task: the journal has none of that kind and name, and they have no `timeout`\n",
    );
}

#[test]
fn what_a_run_would_be_told_is_a_warning_at_its_line() {
    check(
        "local sweep = require('harness').sweep\nprint(#sweep.cross { tile = { 8 } }:exclude { { tile = 16 } })\n\
         for n = 1, 3 do print(#sweep.cross { n = { n } }:where(function() return false end)) end -- once\n",
        &[],
        0,
        "c.lua:2: warning: sweep.exclude: { tile = 16 } leaves out nothing: no point has tile = 16; there are 8\n\
         c.lua:3: warning: sweep.where: of 1 point none is left; the first was { n = 1 }\nc.lua: 0 errors, 2 warnings\n  would run no task\n",
    );
}

/// The best of some goes on: which that is nobody knows.
const SEARCH: &str = "
local harness = require 'harness'
local runs = {}
for tile = 1, 4 do
  runs[tile] = submit(measure { name = 'm', params = { tile = tile }, cmd = { 'm', tile }, max_time = '5 s' })
end
wait(runs)
local best = harness.results { name = 'm' }:min 'wall_s'
submit(exec { name = 'check', params = best.params, cmd = { 'm' }, timeout = '1 min' })
";

#[test]
fn it_is_said_where_figures_decide_and_what_it_may_take() {
    check(
        SEARCH,
        &[],
        0,
        "c.lua: 0 errors, 0 warnings\n  would run 5 tasks: 1 exec, 4 measure\n  a guess: at most TIME of one node for 1 task, by `timeout`\n  \
         a guess: TIME of one node for 4 tasks, by `max_time`; more where 3 samples, or 3 rounds of a comparison, take \
         longer, for it waits for those\n  what it does depends on figures: with others it asks for exec check tile=4 after 4 tasks, so this is one way of several\n",
    );
    // What functions return stands for anything.
    check(
        "local n = await(submit(function() return 3 end))
local sum = n * 2 + n.size
for _, v in ipairs(n) do sum = sum + v end
for _, v in pairs(n.list) do sum = sum + v:method() end
print(('%d %s'):format(n, n), math.floor(n), #n, n .. 'x', tonumber(n) + 1, table.concat({ n, 'a' }))
if n > 3 then submit(exec { cmd = { 'p', n }, timeout = 1 }) else submit(exec { cmd = { 'q', sum }, timeout = 1 }) end
",
        &[],
        0,
        &("c.lua: 0 errors, 0 warnings\n  would run 2 tasks: 1 call, 1 exec\n  a guess: at most TIME of one node for 1 task, by `timeout`\n"
            .to_owned()
            + &unknown("1 task")
            + "  what it does depends on figures: with others it asks for exec `p 1` after 1 task, so this is one way of several\n"),
    );
}

#[test]
fn a_call_gives_as_many_values_as_its_function_returns() {
    check(
        "local function both(x) if x then return x, { x } end return nil end
local a, b, c = await(submit(both, 1))
submit(exec { cmd = { 'x', b[1] }, timeout = 1 })
local ok, problem = pcall(await, submit(function() error { kind = 'odd' } end))
while problem.cause do problem = problem.cause end
if c == nil and problem then submit(exec { cmd = { 'y' }, timeout = 1 }) end
",
        &[],
        0,
        &("c.lua: 0 errors, 0 warnings\n  would run 4 tasks: 2 call, 2 exec\n  a guess: at most TIME of one node for 2 tasks, by \
           `timeout`\n"
            .to_owned()
            + &unknown("2 tasks")),
    );
}

#[test]
fn what_a_script_makes_sure_of_is_taken_for_true_of_made_up_figures() {
    check(
        "local r = await(submit(exec { cmd = { 'x' }, timeout = 1 }))
local n = assert(r.stdout:match 'n = (%d+)', 'no n')
assert(tonumber(n) > 1000)
submit(exec { cmd = { 'y' }, timeout = n })
",
        &[],
        0,
        "c.lua: 0 errors, 0 warnings\n  would run 2 tasks: 2 exec\n  a guess: at most TIME of one node for 2 tasks, by `timeout`\n  \
         taken for true, of made-up figures: the assert at c.lua:2, c.lua:3\n",
    );
    // Before anything was made up it is an error.
    check(
        "assert(1 == 2)\nsubmit(exec { cmd = { 'x' } })\n",
        &[],
        1,
        "c.lua:1: error: assertion failed!\nc.lua: 1 error, 0 warnings\n  would run no task\n",
    );
}

#[test]
fn what_a_script_would_have_written_is_there_for_it() {
    check(
        "local harness = require 'harness'
harness.fs.write('k.c', 'int main;')
harness.fs.mkdir 'tree/src'
io.open('log.txt', 'w'):close()
for _ in io.lines 'log.txt' do end
assert(io.open 'log.txt'):close()
assert(harness.fs.read 'k.c' == 'int main;' and harness.fs.exists 'tree')
submit(compile { sources = { 'k.c' }, timeout = 1 })
harness.fs.write('k.c', 'int main(void);')
submit(compile { sources = { 'k.c' }, timeout = 1 })
submit(harness.recipes.make { dir = 'tree', output = 'x', timeout = 1 })
",
        &[],
        0,
        "c.lua: 0 errors, 0 warnings\n  would run 3 tasks: 3 compile (3 different builds)\n  a guess: at most TIME of one node for 3 tasks, \
         by `timeout`\n  left out: writing k.c, making tree/src, writing log.txt\n",
    );
}

#[test]
fn what_it_would_have_moved_or_removed_is_where_it_would_be() {
    let folder = Folder::with(
        "local fs = require('harness').fs
io.open('x.c.tmp', 'w'):close()
os.rename('x.c.tmp', 'x.c')
assert(fs.exists 'x.c' and not fs.exists 'x.c.tmp' and not io.open 'x.c.tmp')
submit(compile { sources = { 'x.c' }, timeout = 1 })
-- One that is there keeps its text, wherever it goes, and whatever is added to it.
io.open('real', 'a'):close()
io.open('real', 'r+'):close()
assert(fs.read 'real' == 'text')
os.rename('real', 'moved')
assert(fs.read 'moved' == 'text' and not fs.exists 'real')
io.open('log', 'a'):close()
assert(fs.read 'log' == '')
-- So do folders.
fs.write('new/src/y.c', 'int y;')
os.rename('new', 'old')
assert(fs.read 'old/src/y.c' == 'int y;' and fs.exists 'old/src' and not fs.exists 'new' and not fs.exists 'new/src/y.c')
os.remove 'moved'
assert(not fs.exists 'moved')
io.output 'out'
submit(compile { sources = { 'old/src/y.c' }, inputs = { 'out' }, timeout = 1 })
",
    );
    folder.write("real", "text");
    let ran = folder.run(&["check", "c.lua"]);
    let expected = "\
c.lua: 0 errors, 0 warnings
  would run 2 tasks: 2 compile (2 different builds)
  a guess: at most TIME of one node for 2 tasks, by `timeout`
  left out: writing x.c.tmp, renaming x.c.tmp, writing real, renaming real, writing log and 4 more
";
    said(&folder, ran, 0, expected, "");
    assert_eq!(folder.read("real"), "text");
}

#[test]
fn what_does_not_end_is_cut_off() {
    check(
        "while true do await(submit(exec { cmd = { 'x' }, timeout = 1 })) end",
        &["--max-tasks", "5"],
        0,
        "c.lua: 0 errors, 0 warnings\n  would run 5 tasks: 5 exec\n  a guess: at most TIME of one node for 5 tasks, by `timeout`\n  \
         there it was stopped: 5 tasks are enough (--max-tasks)\n",
    );
    check(
        "submit(exec { cmd = { 'x' }, timeout = 1 })\nwhile true do end",
        &["--timeout", "200 ms"],
        0,
        "c.lua: 0 errors, 0 warnings\n  would run 1 task: 1 exec\n  a guess: at most TIME of one node for 1 task, by `timeout`\n  \
         that is as far as it came in TIME (--timeout): it may go on\n",
    );
    // A budget of time is spent, and whoever looks at the clock sees it go on.
    check(
        "local harness = require 'harness'
local budget = harness.budget { seconds = '30 s' }
while not budget:done() do await(submit(exec { cmd = { 'x' }, timeout = 10 })) end
local began = harness.now()
while harness.now() < began + 1 do end
submit(function() end):wait '1 s'",
        &[],
        0,
        &("c.lua: 0 errors, 0 warnings\n  would run 4 tasks: 1 call, 3 exec\n  a guess: at most TIME of one node for 3 tasks, by `timeout`\n"
            .to_owned()
            + &unknown("1 task")),
    );
}

#[test]
fn nothing_is_written_started_or_removed() {
    check(
        "local harness = require 'harness'
print 'not shown' io.write 'not shown' io.stdout:write 'not shown'
os.execute 'touch touched'
io.popen('touch popped'):close()
local f = io.open('opened', 'w') f:write 'x' f:close()
os.remove 'c.lua' os.rename('c.lua', 'd.lua')
harness.fs.write('written', 'x') harness.fs.mkdir 'made'
await(submit(measure { cmd = { 'sh', '-c', 'touch measured' }, runs = 3, timeout = 1 }))
harness.results():csv 'results.csv'
local pool <close> = spawn { workers = 3, slots = 2 }
assert(#pool.workers == 3 and pool.workers[3].slots == 2)
harness.state('s', {}).x = 1
",
        &[],
        0,
        "c.lua: 0 errors, 0 warnings\n  would run 1 task: 1 measure\n  a guess: at most TIME of one node for 1 task, by `timeout`\n  \
         left out: running touch touched, running touch popped, writing opened, removing c.lua, renaming c.lua and 3 more\n",
    );
}

#[test]
fn what_the_journal_has_costs_nothing_and_says_what_the_like_takes() {
    let script = "local args = require 'harness'.args { n = { 2, 'how many' } }
for i = 1, args.n do
  submit(measure { name = 'm', params = { i = i }, cmd = { 'true' }, runs = 3, warmup = 0, exclusive = false })
end
";
    let folder = Folder::with(script);
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let journal = folder.read("c.lua.journal");
    for args in [
        &["check", "c.lua", "--", "--n=3"][..],
        &["check", "--journal", "c.lua.journal", "c.lua", "--", "--n=3"],
    ] {
        let ran = folder.run(args);
        let expected = "c.lua: 0 errors, 0 warnings\n  would run 3 tasks: 3 measure; the journal has 2 of them\n  about TIME of one node for 1 \
                        task: so long took their like\n";
        said(&folder, ran, 0, expected, "");
    }
    assert_eq!(folder.read("c.lua.journal"), journal, "it is only read");
    let ran = folder.run(&["check", "--journal", "none", "c.lua"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let ran = folder.run(&["check", "d.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert_eq!(folder.run(&["check"]).code, Some(2));
}

#[test]
fn what_a_build_needs_has_to_be_there() {
    let folder = Folder::with("submit(compile { sources = { 'gone.c' } })");
    let ran = folder.run(&["check", "c.lua"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout
            .starts_with("c.lua: error: a compile would end setup_failed: source `gone.c` not found in "),
        "{ran:?}"
    );
}
