//! `harness test`: which tests there are, what became of each, and why.

use rustix::process::Signal;

use crate::support::{Folder, LIMIT, Ran, Role, Running};

const TESTS: &str = r#"
local ready
function setUp() ready = true end
function tearDown() ready = false end
function test_good() assert(ready) print "not shown" end
function test_bad()
  print "printed before"
  io.stderr:write("on stderr\n")
  assert(1 == 2)
end
function test_await() assert(await(submit(function(x) return 2 * x end, 4)) == 9, "not 9") end
function test_task() await(submit(function() error "in the task" end)) end
TestClass = { setUp = function(self) self.n = 1 end }
function TestClass:test_self() assert(self.n == 1) end
function TestClass:test_two() assert(self.n == 2, "n is " .. self.n) end
function helper() error "no test" end
"#;

/// What was said, without times.
fn said(folder: &Folder, ran: &Ran) -> String {
    folder.normal(&ran.stdout)
}

#[track_caller]
fn expect(folder: &Folder, args: &[&str], code: i32, stdout: &str) -> Ran {
    let ran = folder.run(args);
    assert_eq!(said(folder, &ran), stdout, "{ran:#?}");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{ran:#?}");
    ran
}

#[test]
fn a_failing_test_says_where_why_and_what_it_printed() {
    let folder = Folder::new();
    folder.write("a_test.lua", TESTS);
    expect(
        &folder,
        &["test"],
        1,
        "\
FAIL  a_test.lua: test_bad, TIME
      a_test.lua:9: assertion failed!
      stack traceback:
      \ta_test.lua:9: in function 'test_bad'
      printed:
        printed before
        on stderr
FAIL  a_test.lua: test_await, TIME
      a_test.lua:11: not 9
      stack traceback:
      \ta_test.lua:11: in function 'test_await'
FAIL  a_test.lua: test_task, TIME
      a_test.lua:12: in the task
      stack traceback on the worker, HOST:
      \ta_test.lua:12: in function <a_test.lua:12>
      stack traceback in the script:
      \ta_test.lua:12: in function 'test_task'
FAIL  a_test.lua: TestClass.test_two, TIME
      a_test.lua:15: n is 1
      stack traceback:
      \ta_test.lua:15: in function <a_test.lua:15>
ok    a_test.lua: 2 tests, TIME
6 tests in 1 file: 2 passed, 4 failed; TIME
",
    );
    expect(
        &folder,
        &["test", "--filter", "good"],
        0,
        "ok    a_test.lua: 1 test, TIME\n1 test in 1 file: 1 passed, 0 failed; TIME\n",
    );
}

#[test]
fn plain_files_are_tests_too_and_are_found_below() {
    let folder = Folder::new();
    folder.write("plain_test.lua", "print 'quiet' assert(require 'helper' == 7)");
    folder.write("lua/helper.lua", "return 7");
    folder.write("sub/test_raises.lua", "print 'loud'\nerror 'plain fails'");
    folder.write("sub/test_syntax.lua", "local x = 1 +");
    folder.write("sub/.hidden/x_test.lua", "error 'never run'");
    folder.write("sub/other.lua", "error 'never run'");
    folder.write(
        "sub/lost_test.lua",
        "go(function() await(submit(function() end)) error 'lost' end)\nreturn { test = function() end }",
    );
    folder.write("sub/exit_test.lua", "function test_exit() os.exit(3) end");
    folder.write("sub/exit0_test.lua", "os.exit(0)");
    folder.write(
        "sub/exits_test.lua",
        "function test_exit() os.exit(0) end\nfunction test_more() error 'never run' end",
    );
    expect(
        &folder,
        &["test"],
        1,
        "\
ok    plain_test.lua, TIME
ok    sub/exit0_test.lua, TIME
FAIL  sub/exit_test.lua: test_exit, TIME
      exit_test.lua:1: it ended with exit code 3
FAIL  sub/exits_test.lua: test_exit, TIME
      exits_test.lua:1: `os.exit` ended the file in it: the tests behind it did not run
FAIL  sub/lost_test.lua, TIME
      in a flow that nobody awaited: lost_test.lua:1: lost
      stack traceback:
      \tlost_test.lua:1: in function <lost_test.lua:1>
ok    sub/lost_test.lua: 1 test, TIME
FAIL  sub/test_raises.lua, TIME
      test_raises.lua:2: plain fails
      stack traceback:
      \ttest_raises.lua:2: in main chunk
      printed:
        loud
FAIL  sub/test_syntax.lua, TIME
      test_syntax.lua:1: unexpected symbol near <eof>
8 tests in 7 files: 3 passed, 5 failed; TIME
",
    );
}

#[test]
fn what_does_not_end_is_killed_with_all_it_started_and_named() {
    let folder = Folder::new();
    folder.write(
        "hang_test.lua",
        "function test_first() end\nfunction test_hangs()\n print 'so far'\n await(submit(exec { cmd = { 'sleep', '1000' } }))\nend",
    );
    expect(
        &folder,
        &["test", "--timeout", "2 s", "hang_test.lua"],
        1,
        "\
FAIL  hang_test.lua: test_hangs, TIME
      hang_test.lua:2: it did not end within TIME (--timeout) and was killed
      printed:
        so far
ok    hang_test.lua: 1 test, TIME
2 tests in 1 file: 1 passed, 1 failed; TIME
",
    );
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn a_test_has_as_many_slots_as_were_said() {
    let folder = Folder::new();
    folder.write("slots_test.lua", "local pool = spawn() print(pool) assert(pool.workers[1].slots == 3)");
    let ran = folder.run(&["test", "--slots", "3"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(folder.run(&["test", "--slots", "0"]).code, Some(64));
}

#[test]
fn an_interrupt_stops_the_file_that_runs() {
    let folder = Folder::new();
    folder.write(
        "a_test.lua",
        "io.open('begun', 'w'):close()\nawait(submit(exec { cmd = { 'sleep', '1000' } }))",
    );
    folder.write("b_test.lua", "error 'never run'");
    let running = Running::start(folder.harness(&["test"]));
    crate::support::await_that("the first file runs a program", || {
        folder
            .processes()
            .iter()
            .any(|process| process.role == Role::Program && process.command.starts_with("sleep"))
    });
    running.signal(Signal::INT);
    let ran = running.end(LIMIT);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(130), "stop  a_test.lua\n", ""));
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn junit_has_them_all() {
    let folder = Folder::new();
    folder.write("a_test.lua", TESTS);
    folder.write(
        "b_test.lua",
        "return { test_skip = function() error 'x:1: LuaUnit test SKIP:    no <GPU> & more' end }",
    );
    let ran = folder.run(&["test", "--junit", "out.xml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("skip  b_test.lua: test_skip: no <GPU> & more\n"), "{ran:?}");
    assert!(ran.stdout.contains("7 tests in 2 files: 2 passed, 4 failed, 1 skipped;"), "{ran:?}");
    let text = folder.read("out.xml");
    for line in [
        "<testsuites name=\"harness test\" tests=\"7\" failures=\"4\" errors=\"0\">",
        "  <testsuite name=\"a_test.lua\" tests=\"6\" failures=\"4\" errors=\"0\" skipped=\"0\">",
        "  <testsuite name=\"b_test.lua\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\">",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} in {text}");
    }
    assert!(text.contains("<failure type=\"failed\" message=\"a_test.lua:9: assertion failed!\">"), "{text}");
    assert!(text.contains("<skipped message=\"no &lt;GPU&gt; &amp; more\"/>"), "{text}");
    // As everywhere: a journal is not written over.
    folder.write("c.lua", "");
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    let journal = folder.read("c.lua.journal");
    let ran = folder.run(&["test", "--junit", "c.lua.journal", "b_test.lua"]);
    assert!(ran.code == Some(73) && ran.stderr.contains("it is a journal, and would be lost"), "{ran:#?}");
    assert_eq!(folder.read("c.lua.journal"), journal);
    let ran = folder.run(&["test", "--junit", "none/out.xml", "b_test.lua"]);
    assert_eq!(ran.code, Some(73), "{ran:?}");
    assert!(ran.stderr.starts_with("harness: test: cannot write none/out.xml: "), "{ran:?}");
}

/// What cannot be read as text is told all the same, and the next test runs.
#[test]
fn an_error_may_have_any_bytes() {
    let folder = Folder::new();
    folder.write(
        "a_test.lua",
        "function test_a() error('got \\xff') end function test_b() error('second') end",
    );
    let ran = folder.run(&["test"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.stdout.contains("got \u{fffd}") && ran.stdout.contains("0 passed, 2 failed"), "{ran:#?}");
}

#[test]
fn no_tests_are_no_success() {
    let folder = Folder::new();
    folder.write("campaign.lua", "");
    folder.write("a_test.lua", "function test_a() end");
    for (args, code, said) in [
        (
            &["test", "empty"][..],
            66,
            "harness: test: there are no tests in empty: they are in files called …_test.lua or test_….lua; `harness new NAME` \
             makes a folder with one\n",
        ),
        (&["test", "none"], 66, "harness: test: there is no none\n"),
        (
            &["test", "/dev/null"],
            66,
            "harness: test: /dev/null is no file: the process that runs its tests reads it by its name; write them to one\n",
        ),
        (&["test", "--filter", "zzz"], 66, "harness: test: no test has 'zzz' in its name\n"),
    ] {
        std::fs::create_dir_all(folder.path("empty")).unwrap();
        let ran = folder.run(args);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(code), "", said), "{ran:?}");
    }
    assert_eq!(folder.run(&["test", "--timeout", "long"]).code, Some(64));
    assert_eq!(folder.run(&["test", "--tmeout", "3 s"]).code, Some(64));
}
