//! Who writes where: stdout is the script's alone, the rest goes to stderr and can be turned down.

use crate::says;
use crate::support::Folder;

const CAMPAIGN: &str = "local pool <close> = spawn { workers = 1, slots = 2 }\n\
                        submit(function() print 'from a call' end)\n\
                        print(await(submit(exec { shell = 'echo captured' })).stdout)\n";

#[test]
fn stdout_belongs_to_the_script() {
    let folder = Folder::with(CAMPAIGN);
    says(&folder, &["c.lua"], 0, "captured\n\n", "from a call\nharness: 2 tasks: 2 ok\n");
}

#[test]
fn quiet_says_nothing_but_what_is_wrong() {
    let folder = Folder::with(CAMPAIGN);
    says(&folder, &["-q", "c.lua"], 0, "captured\n\n", "from a call\n");
    says(&folder, &["-q", "--fresh", "c.lua"], 0, "captured\n\n", "from a call\n");
    folder.write("c.lua", "submit(exec { cmd = { 'false' } }) error('wrong', 0)\n");
    says(
        &folder,
        &["--quiet", "c.lua"],
        1,
        "",
        "harness: 1 task of 1 did not end well\nharness: wrong\nstack traceback:\n\tc.lua:1: in main chunk\n",
    );
}

/// Where among the lines is open: what calls print their slots write themselves, and the root's lines wait for nobody.
#[test]
fn verbose_shows_pools() {
    let folder = Folder::with(CAMPAIGN);
    let ran = folder.run(&["-v", "c.lua"]);
    let said = folder.normal(&ran.stderr);
    let pools: Vec<&str> = said.lines().filter(|line| line.starts_with("harness: pool ")).collect();
    let (start, end) = ("harness: pool 0: worker 0 on HOST (2 slots, ", ", local)");
    assert!(matches!(pools[..], [one] if one.starts_with(start) && one.ends_with(end)), "{ran:?}");
    assert_eq!(ran.stdout, "captured\n\n");
}

/// What cannot be said is not said; the campaign is done all the same, and its exit code is the same.
#[test]
fn a_full_standard_error_changes_nothing() {
    let folder = Folder::with(CAMPAIGN);
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = folder.harness(&["-v", "c.lua"]);
    let output = command.stderr(full()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"captured\n\n"[..]));
    let mut command = folder.harness(&["gone.lua"]);
    assert_eq!(command.stderr(full()).output().unwrap().status.code(), Some(2));
    // Nobody can be shown what was asked for: that is no success, and no panic either.
    for (words, who) in [
        (&["--version"][..], "version"),
        (&["--help"], "help"),
        (&["bench", "--help"], "help"),
        (&["python-path"], "python-path"),
        (&["doctor", "--no-spawn"], "doctor"),
        (&["doctor", "--no-spawn", "--json"], "doctor"),
        (&["types"], "types"),
        (&["batch", "c.lua", "--nodes", "1", "--scheduler", "slurm", "--dry-run"], "batch"),
    ] {
        let ran = folder.harness(words).stdout(full()).output().unwrap();
        let said = format!(
            "harness: {who}: cannot write to standard output: No space left on device (os error 28)\n"
        );
        assert_eq!(
            (ran.status.code(), String::from_utf8_lossy(&ran.stderr).as_ref()),
            (Some(73), said.as_str())
        );
    }
    folder.assert_nothing_left(std::time::Duration::from_secs(5));
}

/// As of `harness c.lua | head -1`: who went away wants no more, and the rest of the script runs.
#[test]
fn a_reader_that_is_gone_changes_nothing() {
    let folder = Folder::with(
        "for i = 1, 20000 do print(i) end\nprint(await(submit(exec { shell = 'echo > ran' })).ok)\nio.stderr:write \
         'after\\n'\n",
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = folder.harness(&["-q", "c.lua"]).stdout(writer).output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(0), "after\n")
    );
    assert!(folder.path("ran").exists());
    folder.assert_nothing_left(std::time::Duration::from_secs(5));
}

/// What the script printed and nobody has: an error of the campaign, said in one line.
#[test]
fn a_full_standard_output_is_an_error() {
    let folder = Folder::with("print 'lost'\n");
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let lost =
        "harness: what the script printed is not all written: standard output: No space left on device\n";
    for (script, code) in
        [("print 'lost'", 1), ("print 'lost' os.exit(0)", 1), ("print 'lost' os.exit(7)", 7)]
    {
        folder.write("c.lua", script);
        let output = folder.harness(&["c.lua"]).stdout(full()).output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(code), lost)
        );
    }
    // Who closed it wants no more.
    for script in ["io.stdout:close()", "print 'lost' io.stdout:close()"] {
        folder.write("c.lua", script);
        assert_eq!(folder.run(&["c.lua"]).code, Some(0));
    }
}

#[test]
fn a_huge_error_message_is_cut_and_says_by_how_much() {
    let folder = Folder::with(
        "local ok, e = pcall(await, submit(function() error(('x'):rep(10 << 20)) end))\nprint(ok, #e.message < 10000, \
         e.message:match '%(.-cut%)')\nerror(('y'):rep(10 << 20))\n",
    );
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "false\ttrue\t(10 MiB cut)\n"));
    assert!(ran.stderr.len() < 10_000, "{} B", ran.stderr.len());
    assert!(ran.stderr.contains("(10 MiB cut)") && ran.stderr.ends_with("c.lua:3: in main chunk\n"));
}

#[test]
fn what_follows_the_script_is_the_scripts() {
    let folder = Folder::with("print(arg[0], table.concat(arg, '|'))\n");
    says(&folder, &["run", "c.lua", "-q", "--seed", "a b"], 0, "c.lua\t-q|--seed|a b\n", "");
}

#[test]
fn a_failed_call_nobody_awaited_is_shown_with_its_traceback() {
    let folder = Folder::with("local function f() error 'boom' end\nsubmit(function() f() end)\n");
    let stderr = "harness: a call failed and nobody asked: c.lua:1: boom\nstack traceback on the worker, HOST:\n\tc.lua:1: in upvalue \
                  'f'\n\tc.lua:2: in function <c.lua:2>\nharness: 1 task: 1 error\n  call `c.lua:2` on HOST: error: c.lua:1: \
                  boom\n";
    says(&folder, &["c.lua"], 0, "", stderr);
}

#[test]
fn what_was_submitted_and_never_awaited_is_done_all_the_same() {
    let folder = Folder::with("for i = 1, 5 do submit(exec { shell = 'echo >> done' }) end\nprint 'over'\n");
    says(&folder, &["c.lua"], 0, "over\n", "harness: 5 tasks: 5 ok\n");
    assert_eq!(folder.lines("done"), 5);
}

/// Stdout is the script's: what it prints comes out byte for byte, and what is between does not disturb it.
#[test]
fn a_script_that_prints_binary_prints_it() {
    let folder = Folder::with(
        "local all = {}\nfor byte = 0, 255 do all[#all + 1] = string.char(byte) end\nlocal text = \
         table.concat(all)\nio.write(text)\nprint(await(submit(exec { cmd = { 'cat' }, stdin = text })).stdout)\n",
    );
    let output = folder.harness(&["--start", "local", "c.lua"]).output().unwrap();
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(output.stdout, [&all[..], &all[..], b"\n"].concat());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "harness: 1 task: 1 ok\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_deadlock_names_the_lines_that_wait() {
    let folder = Folder::with(
        "local a\nlocal b = go(function() await(submit(exec { cmd = { 'true' } })) return await(a) end)\na = go(function()\n  local x = await(b)\nend)\nawait(a)\n",
    );
    let stderr = "harness: deadlock: nothing is running and everybody waits:\n  the main script waits at c.lua:6 \
                  for the flow of c.lua:3\n  the flow of c.lua:2 waits at its end for the flow of c.lua:3\n  \
                  the flow of c.lua:3 waits at c.lua:4 for the flow of c.lua:2\n";
    let stderr = format!("harness: 1 task: 1 ok\n{stderr}");
    says(&folder, &["c.lua"], 1, "", &stderr);
}

/// What a script writes arrives byte by byte, whatever it is.
#[test]
fn a_script_may_print_any_bytes() {
    let folder = Folder::with(
        "local all = {}\nfor byte = 0, 255 do all[#all + 1] = string.char(byte) end\n\
         all = table.concat(all)\nio.write(all)\nprint(await(submit(function(s) return s end, all)))\n",
    );
    let output = folder.harness(&["-q", "c.lua"]).output().unwrap();
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(output.stdout, [&all[..], &all, b"\n"].concat());
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

/// As below `nohup`: the terminal may go. To stop it otherwise is heeded, whatever a shell has ignored before.
#[test]
fn the_end_of_the_terminal_stops_nothing_where_it_is_ignored() {
    let script = "local function run(text) print(await(submit(exec { shell = text, cwd = '.' })).ok) end
        run 'kill -HUP $(cat pid)' run 'true' run 'kill -INT $(cat pid); sleep 60'";
    let folder = Folder::with(script);
    let ran = folder.finish(folder.harness_after("trap '' HUP INT && echo $$ > pid", &["-q", "c.lua"]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(75), "true\ntrue\n"), "{}", ran.stderr);
}

/// An answer that nobody has is not the exit code of one.
#[test]
fn an_answer_that_is_not_written_has_its_exit_code() {
    let folder = Folder::with("submit(measure { name = 'm', runs = 3, cmd = { 'true' } })\n");
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    for (args, who) in [
        (vec!["rerun", "m", "c.lua"], "rerun"),
        (vec!["history", "c.lua.journal"], "history"),
        (vec!["compare", "c.lua.journal", "c.lua.journal"], "compare"),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = folder.harness(&args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let text = format!("harness: {who}: cannot write to standard output: No space left on device");
        assert!(output.status.code() == Some(73) && said.contains(&text), "{args:?}: {said}");
    }
}
