//! Every way a measurement can end, each with its whole text: a time is there only where all is well. (`oom` needs a
//! control group: `tests/keeper/endings.rs`. `pruned` is reserved and no measurement ends so.)

use crate::said;
use crate::support::{Folder, LIMIT, no_compiler};

const CAMPAIGN: &str = r#"
local pool <close> = spawn { workers = 1, slots = 2 }
local function says(name, m)
  print(("%-15s %s: %s"):format(name, m.status, ((m.reason or "-"):gsub("\n", " "))))
  assert((m.status == "ok") == (m.stats ~= nil) and m.ok == (m.status == "ok"))
end
local function ends(name, options)
  options.runs = 2
  says(name, await(pool:submit(measure(options))))
end
local function echo(text, metrics, verify) return { cmd = { "printf", "%s\n", text }, metrics = metrics, verify = verify } end
local t = { t = "t=(%S+)" }

ends("well", { cmd = { "true" } })
ends("code", { shell = "echo no licence >&2; exit 3" })
ends("later", { cwd = "scratch", shell = "echo >> n; [ $(wc -l < n) -lt 3 ]" })
ends("segfault", { shell = "kill -SEGV $$" })
ends("killed", { shell = "kill -KILL $$" })
ends("slow", { cmd = { "sleep", 60 }, timeout = "200 ms" })
ends("wrong output", echo("7", nil, { stdout = "8\n" }))
ends("wrong pattern", echo("7", nil, { pattern = "total" }))
ends("wrong code", { cmd = { "true" }, verify = { exit_code = 4 } })
ends("wrong result", echo("sum 7.1", nil, { reference = { "echo", "sum 7" }, atol = 0.05 }))
ends("wrong file", { cwd = "scratch", shell = "echo 1 > out", verify = { files = { out = "right.txt" } } })
ends("no file", { cwd = "scratch", cmd = { "true" }, verify = { files = { out = "right.txt" } } })
ends("false", { cmd = { "true" }, verify = { fn = function() return false, "too many iterations" end } })
ends("no figure", echo("nothing", t))
ends("no output", { cmd = { "true" }, metrics = t })
ends("not a number", echo("t=NaN", t))
ends("endless", echo("t=inf", t))
ends("two figures", echo("t=1\nt=2", t))
ends("no program", { cmd = { "no-such-program" } })
ends("no folder", { cmd = { "true" }, cwd = "/no/such/folder" })
ends("no setup", { cmd = { "true" }, setup = "exit 2" })
ends("no input", { cmd = { "true" }, cwd = "scratch", inputs = { "gone.dat" } })
ends("no reference", echo("7", nil, { reference = "gone.txt" }))
ends("bad reference", echo("7", nil, { reference = { "false" } }))
ends("no room", { cmd = { "true" }, cores = 99 })
local broken = pool:submit(compile { sources = { "broken.c" } })
local build = await(broken)
print(("%-15s %s"):format("broken", build.status))
ends("not built", { cmd = { broken } })
local endless = pool:submit(measure { cmd = { "sleep", 600 }, runs = 1 })
endless:cancel()
says("cancelled", await(endless))
ends("lost", { shell = "read -r _ _ _ worker _ < /proc/$PPID/stat; kill -KILL $worker; sleep 600", retries = 0 })
"#;

const ENDS: &str = r#"well            ok: -
code            nonzero_exit: warm-up run 1: exit code 3; the end of its standard error: no licence
later           nonzero_exit: sample 2: exit code 1
segfault        signal: warm-up run 1: killed by signal 11 (SIGSEGV)
killed          signal: warm-up run 1: killed by signal 9 (SIGKILL): harness did not send that; memory may be why, though the kernel counted no kill for it here
slow            timeout: warm-up run 1: ran into its timeout of TIME; it was killed
wrong output    verify_failed: warm-up run 1: output differs in line 1: expected `8`, got `7`
wrong pattern   verify_failed: warm-up run 1: pattern 'total' is not in the output, which ends with: 7
wrong code      nonzero_exit: warm-up run 1: exit code 0, and not 4
wrong result    verify_failed: warm-up run 1: output differs in line 1: expected `sum 7`, got `sum 7.1` (if it is a time or a rate, declare it in `metrics`)
wrong file      verify_failed: warm-up run 1: file `out` differs in line 1: expected `2`, got `1`; the numbers are off by up to 5.0e-1 of those expected, and there is no `rtol`
no file         verify_failed: warm-up run 1: file `out` was not written
false           verify_failed: warm-up run 1: too many iterations (says verify.fn at c.lua:26)
no figure       metric_missing: warm-up run 1: metric `t`: pattern 't=(%S+)' is not in the output; its standard output ends with: nothing
no output       metric_missing: warm-up run 1: metric `t`: pattern 't=(%S+)' is not in the output; its standard output is empty
not a number    metric_missing: warm-up run 1: metric `t`: pattern 't=(%S+)' gives 'NaN', which is not a finite number; its standard output ends with: t=NaN
endless         metric_missing: warm-up run 1: metric `t`: pattern 't=(%S+)' gives 'inf', which is not a finite number; its standard output ends with: t=inf
two figures     ok: -
no program      spawn_failed: warm-up run 1: program `no-such-program` not found: load its module before harness is started, or give its full path (PATH is /usr/local/bin:/usr/bin:/bin)
no folder       setup_failed: warm-up run 1: working folder `/no/such/folder` is not there on this node: use cwd="scratch", or a folder that all nodes share
no setup        setup_failed: setup: exit code 2
no input        setup_failed: input `gone.dat` not found in DIR
no reference    setup_failed: reference `gone.txt` not found in DIR
bad reference   skipped: its reference, task 22, ended nonzero_exit: exit code 1
no room         refused: it asks for 99 cores of one worker (each MPI rank takes some); pool 0 has 1 worker with at most 2 slots: ask for less, or for more slots than there are cores, spawn { slots = 99 }
broken          compile_failed
not built       skipped: task 25, which it depends on, ended compile_failed: CC: exit code 1: broken.c:2:2: error: #error no such kernel
cancelled       cancelled: cancelled before it ended
lost            lost_worker: its worker was lost while it ran: worker 0 on HOST is lost: its process ended
"#;

#[test]
fn every_way_a_measurement_ends_is_told_and_only_one_has_a_time() {
    if no_compiler() {
        return;
    }
    let folder = Folder::with(CAMPAIGN);
    folder.write("right.txt", "2\n");
    folder.write("broken.c", "int main(void) {\n#error no such kernel\n}\n");
    let ran = folder.run(&["-q", "c.lua"]);
    let lost = "harness: worker 0 on HOST is lost: its process ended\n";
    assert!(folder.normal(&ran.stderr).starts_with(lost), "{ran:#?}");
    let stderr = folder.normal(&ran.stderr);
    said(&folder, ran, 3, ENDS, &stderr);
    folder.assert_nothing_left(LIMIT);
}
