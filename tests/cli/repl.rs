//! `harness repl`, on a terminal and from a pipe.

use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Folder, LIMIT, Ran, Running, await_that};
use crate::terminal::Terminal;

/// What it says to these lines from a pipe.
fn typed(folder: &Folder, lines: &str) -> Ran {
    folder.write("lines", lines);
    let mut command = folder.harness(&["repl", "--slots", "1"]);
    command.stdin(Stdio::from(std::fs::File::open(folder.path("lines")).unwrap()));
    folder.finish(command)
}

#[test]
fn what_is_typed_runs_and_what_it_gives_is_shown() {
    let ran = typed(
        &Folder::new(),
        r#"1 + 1, "a", nil
x = { 1, "b", { c = {} }, name = "n", [2.5] = false }
x

for i = 1, 2 do
  print("line", i)
end
f = submit(function(a) return { a, a * 2 } end, 21)
await(f)
_[2]
x.x = x
x
await(submit(exec { cmd = { "false" } })).status
harness.json.encode { 1 }
nosuch.field
x = = 1
await(submit(function() error "boom" end))
"#,
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let expected = [
        "2\ta\tnil",
        r#"{ 1, "b", { c = {} }, [2.5] = false, name = "n" }"#,
        "line\t1",
        "line\t2",
        "{ 21, 42 }",
        "42",
        r#"{ 1, "b", { c = {} }, [2.5] = false, name = "n", x = { ... itself } }"#,
        "nonzero_exit",
        "[1]",
    ];
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
    for text in [
        "repl:1: attempt to index a nil value (global 'nosuch')",
        "repl:1: unexpected symbol near '='",
        "repl:1: boom",
    ] {
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
}

#[test]
fn what_is_long_or_deep_is_cut_short() {
    let ran = typed(
        &Folder::new(),
        "x = {}
for i = 1, 40 do x[i] = i end
x
{ a = { b = { c = { d = { e = 1 } } } } }
exec { cmd = { 'true' } }
",
    );
    let shown: Vec<&str> = ran.stdout.lines().collect();
    assert!(ran.stdout.contains(" 30,") && ran.stdout.contains("... 10 more"), "{shown:#?}");
    assert!(shown.contains(&"{ a = { b = { c = { d = { ... } } } } }"), "{shown:#?}");
    // What is typed and not submitted is there to be looked at.
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_chunk_that_is_not_whole_at_the_end_is_an_error_that_says_so() {
    let ran = typed(&Folder::new(), "for i = 1, 2 do\nprint(i)\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert!(
        ran.stderr.contains("repl:3: 'end' expected (to close 'for' at line 1) near <eof>"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_the_end_of_what_is_typed() {
    let folder = Folder::new();
    let mut command = folder.harness(&["repl", "--slots", "1"]);
    command.stdin(Stdio::from(std::fs::File::open(folder.path("")).unwrap()));
    let ran = folder.finish(command);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(ran.stderr, "harness: cannot read what is typed: Is a directory (os error 21)\n");
}

#[test]
fn a_session_can_be_left_with_a_code_and_what_is_kept_is_there_the_next_time() {
    let folder = Folder::new();
    for times in 1..=2 {
        folder
            .write("lines", "await(submit(exec { shell = 'echo ran >> ran', key = 'once' }))\nos.exit(7)\n");
        let mut command = folder.harness(&["repl", "--slots", "1", "--journal", "kept"]);
        command.stdin(Stdio::from(std::fs::File::open(folder.path("lines")).unwrap()));
        assert_eq!(folder.finish(command).code, Some(7), "time {times}");
        assert_eq!(folder.lines("ran"), 1, "the second time the journal answers");
    }
}

/// At a terminal, with its history in the folder.
struct Session {
    terminal: Terminal,
    /// Prompts that were answered.
    answered: usize,
}

impl Session {
    fn begin(folder: &Folder) -> Self {
        Self { terminal: Terminal::with_keys(folder, &["repl", "--slots", "1"]), answered: 0 }
    }

    /// Types it at the next prompt: what is typed before may be lost, as the terminal changes its modes.
    #[track_caller]
    fn enter(&mut self, keys: &str) {
        let prompts = |rows: &[String]| rows.iter().filter(|row| row.starts_with('>')).count();
        let answered = self.answered;
        self.terminal.await_screen("a new prompt", |rows| {
            prompts(rows) > answered && rows.last().is_some_and(|row| row == ">")
        });
        self.answered = prompts(&self.terminal.rows());
        self.terminal.press(keys);
    }

    #[track_caller]
    fn leave(mut self) {
        self.enter("\x04");
        assert_eq!(self.terminal.await_end(), Some(0));
    }
}

#[test]
fn lines_are_edited_completed_and_remembered() {
    let folder = Folder::new();
    let mut first = Session::begin(&folder);
    first.enter("string.rever\t('abc')\r");
    first.terminal.await_text("cba");
    first.enter("for i = 1, 2 do\r");
    first.terminal.press("print(i + 40)\rend\r");
    first.terminal.await_text("42");
    first.enter("half a line\x03"); // Ctrl-C takes it back
    first.leave();
    let mut second = Session::begin(&folder);
    second.enter("\x1b[A\x1b[A\x1b[A\x1b[A\r"); // over the three lines of the last chunk
    second.terminal.await_text("cba");
    second.leave();
}

#[test]
fn flows_go_on_while_a_line_is_typed() {
    let folder = Folder::new();
    let mut session = Session::begin(&folder);
    session.enter(
        "go(function() await(submit(exec { cmd = { 'true' } })) io.open('went_on', 'w'):close() end)\r",
    );
    session.enter("6 *");
    session.terminal.await_text("6 *");
    await_that("the flow goes on", || folder.path("went_on").exists());
    session.terminal.press(" 7\r");
    session.terminal.await_text("42");
    session.leave();
}

#[test]
fn fields_and_methods_of_objects_are_completed_and_what_was_typed_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mut session = Session::begin(&folder);
    session.enter("pool = spawn { workers = 1 }\r");
    session.enter("pool.wor\t[1].slots + 40\r");
    session.terminal.await_text("41");
    session.enter("f = submit(math.abs, -5)\r");
    session.enter("f:wa\t()\r");
    session.terminal.await_text("true");
    session.enter("r = await(submit(exec { cmd = { 'echo', 'it is', 'there' } }))\r");
    session.enter("r.stdo\t\r");
    session.terminal.await_screen("what it printed", |rows| rows.iter().any(|row| row == "it is there"));
    session.leave();
    let history = folder.path(".local/state/harness/repl_history");
    assert_eq!(std::fs::metadata(history).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn ctrl_c_ends_what_is_waited_for_and_what_computes_and_the_session_goes_on() {
    let folder = Folder::new();
    let mut session = Session::begin(&folder);
    session.enter("f = submit(exec { shell = 'touch began; sleep 600', timeout = 900 })\r");
    session.enter("io.open('waits', 'w'):close() await(f)\r");
    await_that("it waits", || folder.path("waits").exists() && folder.path("began").exists());
    session.terminal.signal(Signal::INT);
    session.terminal.await_text("interrupted");
    session.enter("f\r");
    session.terminal.await_text("(pending)");
    session.enter("io.open('busy', 'w'):close() while true do end\r");
    await_that("it computes", || folder.path("busy").exists());
    session.terminal.signal(Signal::INT);
    session.terminal.await_screen("two interruptions", |rows| {
        rows.iter().filter(|row| row.contains("interrupted")).count() == 2
    });
    session.enter("f:cancel()\r");
    session.enter("await(f).status\r");
    session.terminal.await_text("cancelled");
    session.leave();
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn a_flow_that_computes_ends_with_the_line_and_is_told_once() {
    let folder = Folder::new();
    let mut session = Session::begin(&folder);
    let interruptions = |rows: &[String]| rows.iter().filter(|row| row.contains("interrupted")).count();
    session.enter("go(function() io.open('busy', 'w'):close() while true do end end) print(6 * 7)\r");
    await_that("it computes", || folder.path("busy").exists());
    session.terminal.signal(Signal::INT);
    session.terminal.await_screen("an interruption", |rows| interruptions(rows) == 1);
    let later = "f = go(function() await(submit(exec { cmd = { 'true' } })) io.open('again', 'w'):close() while true do end end)\r";
    session.enter(later);
    session.enter("await(go(function() await(f) end)) print(7 * 8)\r");
    await_that("it computes again", || folder.path("again").exists());
    session.terminal.signal(Signal::INT);
    session.terminal.await_screen("two interruptions", |rows| interruptions(rows) == 2);
    session.enter("'still ' .. 'here'\r");
    session.terminal.await_text("still here");
    assert!(!session.terminal.rows().iter().any(|row| row == "42" || row == "56"));
    session.enter("\x04");
    assert_eq!(session.terminal.await_end(), Some(0));
    assert_eq!(interruptions(&session.terminal.rows()), 2, "{:?}", session.terminal.rows());
}

#[test]
fn what_a_killed_session_left_goes_with_the_next_one() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("tmp")).unwrap();
    let left = || -> Vec<String> {
        let names = std::fs::read_dir(folder.path("tmp")).unwrap().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("+own-")).collect()
    };
    let session = |stdin: Stdio| {
        let mut command = folder.harness(&["repl", "--slots", "1"]);
        command.env("TMPDIR", folder.path("tmp")).stdin(stdin);
        command
    };
    // Nothing is typed, and there is no end of it.
    let (silent, _open) = std::io::pipe().unwrap();
    let begun = || Running::start(session(Stdio::from(silent.try_clone().unwrap())));
    let (killed, living) = (begun(), begun());
    await_that("both have a folder", || left().len() == 2);
    killed.signal(Signal::KILL);
    killed.end(LIMIT);
    assert_eq!(folder.finish(session(Stdio::null())).code, Some(0));
    assert_eq!(left().len(), 1, "that of the living one stays");
    living.signal(Signal::TERM);
    living.end(LIMIT);
    assert_eq!(left(), Vec::<String>::new());
}

#[test]
fn where_there_is_no_room_for_a_session_it_says_where_and_what_to_do() {
    let folder = Folder::new();
    let mut command = folder.harness(&["repl"]);
    command.env("TMPDIR", folder.path("none"));
    let ran = folder.finish(command);
    let text =
        "harness repl: cannot write to DIR/none: No such file or directory (os error 2) at path \"DIR/none";
    assert!(ran.code == Some(4) && folder.normal(&ran.stderr).starts_with(text), "{ran:#?}");
    assert!(ran.stderr.ends_with("name another folder: `export TMPDIR=FOLDER`\n"), "{ran:#?}");
}

#[test]
fn whatever_a_line_breaks_the_next_one_runs() {
    let folder = Folder::new();
    let mut lines = b"setmetatable({}, { __tostring = function() error 'x' end })
error(setmetatable({}, { __tostring = function() error 'z' end }))
error { kind = 'mine', message = 'text' }
table, string, io, pcall, load, rawset = nil
print, tostring = nil
'caf\xe9'
=6 * 7
exit
"
    .to_vec();
    lines.extend(b"harness.json.encode { 1 }"); // no line end
    folder.write("lines", lines);
    let mut command = folder.harness(&["repl", "--slots", "1"]);
    command.stdin(Stdio::from(std::fs::File::open(folder.path("lines")).unwrap()));
    let ran = folder.finish(command);
    let shown: Vec<&str> = ran.stdout.lines().collect();
    assert!(shown[0].starts_with("(a table that cannot be shown: "), "{shown:?}");
    assert_eq!(shown[2..], ["42", "Ctrl-D ends the session, or os.exit()", "[1]"], "{}", ran.stderr);
    assert!(ran.stderr.contains("mine: text") && ran.code == Some(0), "{}", ran.stderr);
}

#[test]
fn a_line_that_catches_its_interruptions_ends_with_the_session() {
    let folder = Folder::new();
    let mut session = Session::begin(&folder);
    session.enter("io.open('busy', 'w'):close() while true do pcall(function() while true do end end) end\r");
    await_that("it computes", || folder.path("busy").exists());
    // Each is heard before the next one is sent, or not: three are enough in any case.
    for _ in 0..3 {
        session.terminal.signal(Signal::INT);
        std::thread::yield_now();
    }
    let until = std::time::Instant::now() + LIMIT;
    while session.terminal.child.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < until, "it goes on");
        session.terminal.signal(Signal::INT);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn who_is_stopped_at_the_prompt_leaves_the_terminal_as_it_was() {
    let folder = Folder::new();
    let mut session = Session::begin(&folder);
    session.enter("1 + 1\r");
    session.enter("half a line");
    session.terminal.await_text("half a line");
    assert!(!session.terminal.is_cooked());
    session.terminal.signal(Signal::TERM);
    session.terminal.await_text("the session was stopped; nothing of it is kept");
    assert!(session.terminal.is_cooked());
    assert_eq!(session.terminal.await_end(), Some(75));
}
