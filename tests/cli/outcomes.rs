//! What a task that fails says: in the script's hands and in the last table.

use crate::support::{Folder, LIMIT, no_compiler};
use crate::{said, says};

/// Runs one task, prints its record.
fn one(task: &str) -> Folder {
    Folder::with(&format!("print(await(submit({task})))\n"))
}

/// The table's line for a failure is mostly what the record says, after what was run and where.
fn fails(task: &str, status: &str, subject: &str, reason: &str) {
    let folder = one(task);
    let kind = task.split_whitespace().next().unwrap();
    let stdout = format!("{kind}: {status}: {reason}\n");
    let line = reason.replace(":\n", ": ");
    let line = line.split(" (PATH is ").next().unwrap_or_default(); // long, and every line of the table would have it
    let stderr = format!("harness: 1 task: 1 {status}\n  {kind}{subject}: {status}: {line}\n");
    says(&folder, &["c.lua"], 0, &stdout, &stderr);
    folder.assert_nothing_left(std::time::Duration::from_secs(1));
}

#[test]
fn a_program_that_is_not_there() {
    let reason = "program `no-such-program` not found: load its module before harness is started, or give its full \
                  path (PATH is /usr/local/bin:/usr/bin:/bin)";
    fails("exec { cmd = { 'no-such-program' } }", "spawn_failed", " `no-such-program` on HOST", reason);
    fails(
        "exec { cmd = { './gone' } }",
        "spawn_failed",
        " `./gone` on HOST",
        "program `./gone` does not exist in DIR",
    );
}

#[test]
fn exit_code_3_quotes_the_end_of_standard_error() {
    let task = "exec { cmd = { 'sh', '-c', 'echo no licence >&2; exit 3' } }";
    let reason = "exit code 3; the end of its standard error: no licence";
    fails(task, "nonzero_exit", " `sh -c echo no licence >&2; exit 3` on HOST", reason);
}

/// The last lines, and of a long end at least the last one.
#[test]
fn several_lines_of_standard_error_are_quoted_on_one() {
    for (lines, quoted) in
        [("one two three four", "two | three | four"), (&format!("{} four", "x".repeat(150)), "four")]
    {
        let folder = one(&format!("exec {{ shell = 'printf \"%s\\\\n\" {lines} >&2; exit 3' }}"));
        let ran = folder.run(&["c.lua"]);
        let line = format!("exec: nonzero_exit: exit code 3; the end of its standard error: {quoted}\n");
        assert_eq!(ran.stdout, line, "{ran:#?}");
    }
}

#[test]
fn a_segmentation_fault_is_named() {
    if no_compiler() {
        return;
    }
    let folder = Folder::with(
        "print(await(submit(exec { name = 'seg', cmd = { submit(compile { sources = { 'seg.c' } }) } })))",
    );
    folder.write("seg.c", "int main(void) { volatile int *nowhere = 0; *nowhere = 1; return 0; }\n");
    let table =
        "harness: 2 tasks: 1 ok, 1 signal\n  exec seg on HOST: signal: killed by signal 11 (SIGSEGV)\n";
    says(&folder, &["c.lua"], 0, "seg: signal: killed by signal 11 (SIGSEGV)\n", table);
}

#[test]
fn a_timeout_kills_the_grandchildren_too() {
    let task = "exec { timeout = '0.3 s', name = 'deep', shell = 'sleep 1000 & setsid sleep 1000 & wait' }";
    let folder = one(task);
    let reason = "timeout: ran into its timeout of TIME; it and 2 processes it started were killed";
    let ran = folder.run(&["c.lua"]);
    folder.assert_nothing_left(std::time::Duration::from_secs(1));
    let table = format!("harness: 1 task: 1 timeout\n  exec deep on HOST: {reason}\n");
    said(&folder, ran, 0, &format!("deep: {reason}\n"), &table);
}

/// The whole process tree under a limit of address space that the output alone would break.
#[test]
fn output_of_1_gib_is_counted_and_not_kept() {
    let folder = Folder::with(
        "local r = await(submit(exec { shell = 'head -c 1073741824 /dev/zero; echo end' }))\n\
         print(r.ok, r.stdout_bytes, #r.stdout < 2 << 20, r.stdout:sub(-4) == 'end\\n')\n",
    );
    let ran = folder.finish(folder.harness_after("ulimit -v 700000", &["c.lua"]));
    said(&folder, ran, 0, "true\t1073741828\ttrue\ttrue\n", "harness: 1 task: 1 ok\n");
}

#[test]
fn output_that_is_no_utf_8_reaches_the_script_unharmed() {
    let folder = Folder::with(
        "local r = await(submit(exec { key = 'k', shell = [[printf 'a\\377\\376b\\0c']] }))\nprint(r.ok, #r.stdout, \
         r.stdout == 'a\\xff\\xfeb\\0c', utf8.len(r.stdout))\n",
    );
    let out = "true\t6\ttrue\tnil\t2\n";
    says(&folder, &["c.lua"], 0, out, "harness: 1 task: 1 ok\n");
    says(&folder, &["c.lua"], 0, out, "harness: 1 task (1 from the journal): 1 ok\n");
}

#[test]
fn a_compiler_that_is_not_there() {
    let folder = one("compile { sources = { 'a.c' }, compiler = 'no-such-cc' }");
    folder.write("a.c", "int main(void) { return 0; }\n");
    let reason = "spawn_failed: program `no-such-cc` not found: load its module before harness is started, or give \
                  its full path";
    let table =
        format!("harness: 1 task: 1 spawn_failed\n  compile `no-such-cc a.c -o a.out` on HOST: {reason}\n");
    let whole = format!("compile: {reason} (PATH is /usr/local/bin:/usr/bin:/bin)\n");
    says(&folder, &["c.lua"], 0, &whole, &table);
}

#[test]
fn a_source_that_is_missing_is_in_the_table_though_no_worker_was_asked() {
    let folder = one("compile { name = 'gemm', sources = { 'kernels/gemm.c' } }");
    let reason = "setup_failed: source `kernels/gemm.c` not found in DIR";
    let table = format!("harness: 1 task: 1 setup_failed\n  compile gemm: {reason}\n");
    says(&folder, &["c.lua"], 0, &format!("gemm: {reason}\n"), &table);
}

#[test]
fn what_is_no_file_is_no_input_and_nobody_waits_for_it() {
    let task = "exec { cmd = { 'true' }, cwd = 'scratch', inputs = { 'x' } }";
    let compile = "compile { sources = { 'x' } }";
    for (task, kind, role, make, what) in [
        (task, "exec", "input", "mkfifo", "a named pipe"),
        (task, "exec", "input", "mkdir", "a folder"),
        (compile, "compile", "source", "mkfifo", "a named pipe"),
    ] {
        let folder = one(task);
        assert!(std::process::Command::new(make).arg(folder.path("x")).status().unwrap().success());
        let reason = format!("setup_failed: {role} DIR/x is {what}, not a file");
        let table = format!("harness: 1 task: 1 setup_failed\n  {kind}: {reason}\n");
        says(&folder, &["c.lua"], 0, &format!("{kind}: {reason}\n"), &table);
    }
}

#[test]
fn a_compile_error_is_quoted_and_what_needed_it_is_skipped() {
    if no_compiler() {
        return;
    }
    let folder = Folder::with(
        "local build = submit(compile { name = 'bad', sources = { 'bad.c' } })\nlocal run = submit(measure { name = \
         'run', cmd = { build } })\nprint(await(build))\nprint(await(run))\nprint(await(run).cause == await(build))\n\
         print(await(submit(exec { name = 'late', cmd = { build } })))\n",
    );
    folder.write("bad.c", "int main(void) {\n#error no such kernel\n}\n");
    let bad = "compile_failed: CC: exit code 1: bad.c:2:2: error: #error no such kernel";
    let skipped = format!("skipped: task 0, which it depends on, ended {bad}");
    let ran = folder.run(&["c.lua"]);
    let stdout = format!("bad: {bad}\nrun: {skipped}\ntrue\nlate: {skipped}\n");
    let stderr = format!(
        "harness: 3 tasks: 1 compile_failed, 2 skipped\n  compile bad on HOST: {bad}\n  measure run: {skipped}\n  \
         exec late: {skipped}\n"
    );
    said(&folder, ran, 0, &stdout, &stderr);
}

/// A line for each build that failed would hide why; what the tasks' numbers are is no difference.
#[test]
fn what_failed_builds_take_along_is_one_line() {
    if no_compiler() {
        return;
    }
    let folder = Folder::with(
        "local runs = {}\nfor i = 1, 12 do\n  local build = submit(compile { sources = { 'bad.c' }, defines = { N = i }          })\n  runs[i] = submit(measure { name = 'run', cmd = { build } })\nend\nwait(runs)\n",
    );
    folder.write("bad.c", "int main(void) {\n#error no such kernel\n}\n");
    let bad = "ended compile_failed: CC: exit code 1: bad.c:2:2: error: #error no such kernel";
    let ran = folder.run(&["c.lua"]);
    let text = folder.normal(&ran.stderr);
    let last = format!("  12 x measure run: skipped: a task, which it depends on, {bad}");
    assert_eq!((text.lines().count(), text.lines().last()), (4, Some(last.as_str())), "{text}");
    assert!(
        text.starts_with(
            "harness: measurements of the same name and params differ (what it depends on): 'run'; "
        ),
        "{text}"
    );
}

/// What differs may be a figure that nobody declared: the time it took.
#[test]
fn figures_that_differ_from_the_reference_may_be_metrics() {
    let folder = Folder::with(
        r#"
local function run(right, text, metrics)
  print(await(submit(measure { shell = "echo " .. text, runs = 1, metrics = metrics, verify = { reference = { "echo", right } } })).reason)
end
run("sum 1 took 2 s", "sum 1 took 3 s")
run("sum 1 took 2 s", "error")
run("sum 1 took 2 s", "sum 1 took 3 s", { s = "took (%d)" })
run("sum 1 took 2 s", "sum 7 took 3 s", { s = "took (%d)" })
run("took 2 s", "took 3 s", { s = "took (%d)" })
"#,
    );
    let ran = folder.run(&["c.lua"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].contains(
        "got `sum 1 took 3 s` (if it is a time or a rate, declare it in `metrics`); the numbers are off"
    ));
    assert!(lines[1].ends_with("got `error`"), "{ran:#?}");
    assert_eq!(lines[2], "nil");
    assert!(lines[3].contains("expected `sum 1 took  s`, got `sum 7 took  s`"), "{ran:#?}");
    assert!(lines[4].ends_with("but the figures of metrics"), "{ran:#?}");
}

#[test]
fn a_metric_on_standard_error_is_found_there() {
    let task = "measure { shell = 'echo speed: 7 >&2; echo done', metrics = { rate = 'speed: (%d+)' } }";
    let reason = "warm-up run 1: metric `rate`: pattern 'speed: (%d+)' is not in the output; it is in standard error: \
                  redirect that, shell = \"… 2>&1\"";
    fails(task, "metric_missing", " `/bin/sh -c echo speed: 7 >&2; echo done` on HOST", reason);
}

#[test]
fn a_metric_that_is_missing_shows_the_pattern_and_the_output() {
    let task = "measure { cmd = { 'echo', 'hello' }, metrics = { rate = { 'GFLOPS: ([%d.]+)' } } }";
    let reason = "warm-up run 1: metric `rate`: pattern 'GFLOPS: ([%d.]+)' is not in the output; its standard output \
                  ends with: hello";
    fails(task, "metric_missing", " `echo hello` on HOST", reason);
}

#[test]
fn verify_says_what_was_expected_and_what_came() {
    let reason = "warm-up run 1: output differs in line 1: expected `bye`, got `hello`";
    let task = "measure { cmd = { 'echo', 'hello' }, verify = { stdout = 'bye\\n' } }";
    fails(task, "verify_failed", " `echo hello` on HOST", reason);
}

/// A campaign goes on after each of these; a call's slot is what it may take with it.
#[test]
fn a_call_that_ends_its_slot_is_an_error_and_the_next_goes_on() {
    let folder = Folder::with(
        "spawn { slots = 1 }\nlocal function try(name, fn)\n  local ok, e = pcall(await, submit(call { name = name, fn }))\n  \
         print(name, ok, ok or e.kind, ok or e.message)\nend\ntry('exit', function() os.exit(3) end)\ntry('kill', \
         function() os.execute 'kill -KILL $PPID' end)\ntry('abort', function() os.execute 'kill -ABRT $PPID' end)\n\
         try('error', function() error('boom', 0) end)\ntry('fine', function() return true end)\n",
    );
    let stdout = "exit\tfalse\tnonzero_exit\tits slot ended with exit code 3 while it ran (os.exit?)\n\
                  kill\tfalse\tsignal\tits slot was killed by signal 9 (SIGKILL) while it ran: memory may be why, if nobody sent that\n\
                  abort\tfalse\tsignal\tits slot was killed by signal 6 (SIGABRT) while it ran\n\
                  error\tfalse\terror\tboom\nfine\ttrue\ttrue\ttrue\n";
    let stderr = "harness: 5 tasks: 1 ok, 1 error, 1 nonzero_exit, 2 signal\n  \
                  call exit on HOST: nonzero_exit: its slot ended with exit code 3 while it ran (os.exit?)\n  \
                  call kill on HOST: signal: its slot was killed by signal 9 (SIGKILL) while it ran: memory may be why, if nobody sent that\n  \
                  call abort on HOST: signal: its slot was killed by signal 6 (SIGABRT) while it ran\n  \
                  call error on HOST: error: boom\n";
    says(&folder, &["c.lua"], 0, stdout, stderr);
}

/// A run of a reference is started as soon as a measurement may need it. What it was for is skipped meanwhile.
#[test]
fn a_reference_that_nobody_needs_after_all_is_no_task_of_the_table() {
    let folder = Folder::with(
        "local program = submit(compile { name = 'p', cmd = { 'sh', '-c', 'exit 1' }, output = 'p', inputs = { 'c.lua' } })
         submit(measure { name = 'm', runs = 1, cmd = { program }, verify = { reference = { 'sleep', '1000' } } })",
    );
    let ran = folder.run(&["c.lua"]);
    folder.assert_nothing_left(LIMIT);
    assert!(ran.stderr.starts_with("harness: 2 tasks: 1 compile_failed, 1 skipped\n"), "{ran:?}");
    assert!(!ran.stderr.contains("cancelled"), "{ran:?}");
}

#[test]
fn fortran_is_built_by_its_own_compiler() {
    if std::process::Command::new("gfortran").arg("--version").output().is_err() {
        return crate::support::skip("no gfortran");
    }
    let folder = Folder::with(
        "local build = await(submit(compile { sources = { 'add.f90', 'twice.c' } }))\n\
         assert(build.ok, tostring(build))\n\
         print(await(submit(exec { cmd = { submit(compile { sources = { 'add.f90', 'twice.c' } }) } })).stdout)\n",
    );
    folder.write(
        "add.f90",
        "program add\n  use iso_c_binding\n  interface\n    integer(c_int) function twice(n) bind(c)\n      import\n      \
         integer(c_int), value :: n\n    end function\n  end interface\n  print '(I0)', twice(21_c_int)\nend program\n",
    );
    folder.write("twice.c", "int twice(int n) { return 2 * n; }\n");
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "42\n\n"), "{ran:#?}");
}

#[test]
fn the_journal_says_what_the_node_was_like_and_of_what_version_all_is() {
    let folder = Folder::with(
        "local harness = require 'harness'\n\
         for i = 1, 2 do assert(await(submit(measure { name = 'm', params = { i = i }, cmd = { 'true' }, runs = 2, cores = 1 })).ok) end\n",
    );
    let ran = folder.run(&["c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let journal = folder.journal("c.lua.journal");
    let of_type = |kind: &str| journal.iter().filter(|record| record["type"] == kind).collect::<Vec<_>>();
    let (envs, measured) = (of_type("env"), of_type("measurement"));
    assert_eq!((envs.len(), measured.len()), (1, 2), "one node, one line");
    for name in ["kernel", "cmdline", "libc", "cores", "sockets", "load1"] {
        assert!(!envs[0][name].is_null(), "{name} of {}", envs[0]);
    }
    for record in measured {
        assert_eq!(record["env"], envs[0]["id"]);
        assert_eq!(record["load1"].as_array().map(Vec::len), Some(2), "{record}");
        assert!(record["others_cpu_s"].is_number() && record["harness"]["seed"].is_u64());
        assert_eq!(record["code"]["script_hash"].as_str().map(str::len), Some(32));
        assert!(record["code"]["git_commit"].is_null(), "a folder without git");
        assert_eq!(record["placement"]["smt"], "one-per-core");
        assert_eq!(record["placement"]["exclusive"], true);
    }
}

#[test]
fn the_journal_says_beside_whom_something_was_measured() {
    if harness::machine::cores() < 2 {
        return crate::support::skip("one core");
    }
    // Each waits until the other one is there, 20 s at the most.
    let source = |exclusive: &str, told: &str| {
        format!(
            "spawn {{ slots = 2 }}\n\
             local meet = 'touch $OWN; i=0; until [ -e $OTHER ] || [ $i = 2000 ]; do i=$((i + 1)); sleep 0.01; done'\n\
             local function one(own, other)\n\
               return submit(measure {{ name = own, shell = meet, env = {{ OWN = own, OTHER = other }}, runs = 1, warmup = 0,\n\
                 exclusive = {exclusive} }})\n\
             end\n\
             local a, b = one('a', 'b'), one('b', 'a')\n\
             print(await(a){told}, await(b){told})\n"
        )
    };
    let folder = Folder::with(&source("'cores'", ".conditions.neighbours[1]"));
    for tasks in ["2 tasks: 2 ok", "2 tasks (2 from the journal): 2 ok"] {
        let ran = folder.run(&["c.lua"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1\t0\n"), "{ran:#?}");
        assert!(ran.stderr.contains(tasks), "{ran:#?}");
    }
    let journal = folder.journal("c.lua.journal");
    let placements: Vec<_> = journal.iter().filter(|record| record["type"] == "measurement").collect();
    for record in &placements {
        let other = 1 - record["trial"].as_u64().unwrap();
        assert_eq!(record["placement"]["neighbours"], serde_json::json!([other]));
        assert_eq!(record["placement"]["exclusive"], false);
        assert!(record["flags"].as_array().unwrap().contains(&"side_by_side".into()), "{record}");
    }
    assert_eq!(placements.len(), 2);
    // Measured otherwise it is another measurement.
    folder.write("c.lua", source("'socket'", ".status"));
    let ran = folder.run(&["c.lua"]);
    assert!(ran.stdout == "ok\tok\n" && ran.stderr.contains("2 tasks: 2 ok"), "{ran:#?}");
}
