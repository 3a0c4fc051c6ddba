//! `harness serve --stdio`: requests and answers, as a program in any language sends and reads them; `harness python-path`.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Folder, LIMIT, Role, await_that, signal};

struct Served {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Served {
    fn start(folder: &Folder) -> Self {
        let mut command = folder.harness(&["serve", "--stdio"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn say_with(&mut self, line: &str, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(&[line.as_bytes(), b"\n", bytes, b"\n"].concat()).unwrap();
    }

    /// An answer, and the bytes behind it.
    fn hear_with(&mut self) -> (Value, Vec<u8>) {
        let answer = self.hear();
        let mut bytes = vec![0; answer["bytes"].as_u64().unwrap() as usize + 1];
        self.output.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(b'\n'));
        (answer, bytes)
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The answer, which has to be the next.
    fn ask(&mut self, request: Value) -> Value {
        self.say(&request.to_string());
        let answer = self.hear();
        assert_eq!(answer["id"], request["id"], "{answer}");
        answer
    }

    /// No more requests; its exit code.
    fn close(mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().unwrap().code()
    }
}

#[test]
fn tasks_are_started_awaited_and_cancelled() {
    let folder = Folder::new();
    let mut served = Served::start(&folder);
    assert_eq!(served.hear(), json!({ "harness": env!("CARGO_PKG_VERSION"), "protocol": 1, "nodes": 1 }));
    let there = served.ask(json!({ "id": 1, "do": "spawn", "options": { "slots": 2 } }));
    assert_eq!((&there["status"], &there["workers"][0]["slots"]), (&json!("ok"), &json!(2)), "{there}");
    let ended = served
        .ask(json!({ "id": "a", "do": "submit", "exec": { "shell": "pwd; printf '\\377' >&2; exit 3" } }));
    let here = folder.path("").canonicalize().unwrap();
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("nonzero_exit"), &json!(3)), "{ended}");
    assert_eq!(ended["stdout"], format!("{}\n", here.display()));
    assert_eq!(ended["stderr"], json!({ "base64": "/w==" }));
    // Answers come when there is something to say, whatever was asked first.
    served.say(&json!({ "id": "long", "do": "submit", "exec": { "cmd": ["sleep", "1000"] } }).to_string());
    assert_eq!(served.ask(json!({ "id": "b", "do": "submit", "exec": { "cmd": ["true"] } }))["ok"], true);
    let waited = json!({ "id": 4, "do": "await", "tasks": ["a", "b", "long"], "count": 2 });
    assert_eq!(served.ask(waited), json!({ "id": 4, "status": "ok", "pending": ["long"] }));
    assert_eq!(
        served.ask(json!({ "id": 5, "do": "cancel", "tasks": ["long"] })),
        json!({ "id": 5, "status": "ok" })
    );
    assert_eq!(served.hear()["status"], "cancelled");
    assert_eq!(served.close(), Some(0));
    let left: Vec<_> = std::fs::read_dir(folder.path("")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name() == "cache"), "left behind: {left:?}");
}

#[test]
fn a_build_is_an_argument_by_its_id() {
    if crate::support::no_compiler() {
        return;
    }
    let folder = Folder::new();
    folder.write("src/hello.c", "#include <stdio.h>\nint main(void) { puts(\"hello\"); }\n");
    let mut served = Served::start(&folder);
    served.hear();
    served.say(&json!({ "id": 1, "do": "submit", "compile": { "sources": ["src/hello.c"] } }).to_string());
    served.say(&json!({ "id": 2, "do": "submit", "exec": { "cmd": [{ "task": 1 }] } }).to_string());
    let (one, other) = (served.hear(), served.hear());
    let (built, ran) = if one["id"] == 1 { (one, other) } else { (other, one) };
    assert_eq!((&built["id"], &built["status"]), (&json!(1), &json!("ok")), "{built}");
    assert_eq!((&ran["id"], &ran["stdout"]), (&json!(2), &json!("hello\n")), "{ran}");
    assert_eq!(served.close(), Some(0));
}

#[test]
fn a_session_is_asked_and_its_end_is_that_of_a_task() {
    let folder = Folder::new();
    let helper = r#"n=0
while read -r line; do
  n=$((n+1))
  case "$line" in
    *die*) echo "no such luck" >&2; exit 3;;
    *setup*) echo '{}';;
    *) echo "{\"n\":$n,\"got\":$line}";;
  esac
done"#;
    let mut served = Served::start(&folder);
    served.hear();
    let session = json!({ "cmd": ["sh", "-c", helper], "setup": { "setup": 1 } });
    served.ask(json!({ "id": 0, "do": "spawn", "options": { "slots": 1 }, "session": session }));
    let answer = served.ask(json!({ "id": 1, "do": "submit", "ask": { "x": [1, 2.5, "y"] } }));
    assert_eq!(answer["answer"], json!({ "n": 2, "got": { "x": [1, 2.5, "y"] } }), "{answer}");
    // The helper's answer is passed on as it was written, as far as JSON can say.
    let exact = json!({ "none": null, "list": [], "object": {}, "deep": [[], {}, null, { "x": [] }] });
    let answer = served.ask(json!({ "id": 5, "do": "submit", "ask": exact }));
    assert_eq!(answer["answer"]["got"], exact, "{answer}");
    let died =
        served.ask(json!({ "id": 3, "do": "submit", "ask": { "die": 1 }, "options": { "name": "x" } }));
    let why = "it ended with exit code 3; the end of its standard error: no such luck";
    assert_eq!((&died["status"], &died["reason"]), (&json!("nonzero_exit"), &json!(why)), "{died}");
    assert_eq!(served.ask(json!({ "id": 4, "do": "submit", "ask": {} }))["answer"]["n"], 2); // a new one, after its setup
    assert_eq!(served.close(), Some(0));
}

/// Bytes of every kind, more than a pipe holds.
#[test]
fn bytes_follow_questions_and_answers() {
    let folder = Folder::new();
    // Reads a line and as many bytes as it says, and turns them around.
    let helper = r#"import json, sys
for line in sys.stdin.buffer:
    question = json.loads(line)
    count = question.pop("bytes", None)
    data = b"" if count is None else sys.stdin.buffer.read(count + 1)[:-1]
    if "crash" in question:
        sys.stdout.buffer.write(b'{"bytes":10}\nfour')
        sys.exit(3)
    if "odd" in question:
        sys.stdout.buffer.write(b'{"bytes":2}\nthree\n')
    elif "none" in question:
        sys.stdout.buffer.write(b'{"got":%d}\n' % len(data))
    else:
        sys.stdout.buffer.write(b'{"bytes":%d,"got":true}\n%s\n' % (len(data), data[::-1]))
    sys.stdout.buffer.flush()
"#;
    let mut served = Served::start(&folder);
    served.hear();
    let session = json!({ "cmd": ["python3", "-c", helper] });
    served.ask(json!({ "id": 0, "do": "spawn", "options": { "slots": 1 }, "session": session }));
    for data in
        [vec![], vec![10], b"\0\n\xff\"}\n".to_vec(), (0..3_000_000u32).map(|n| (n % 251) as u8).collect()]
    {
        let line = format!(r#"{{"bytes": {}, "id": 1, "do": "submit", "ask": {{}}}}"#, data.len());
        served.say_with(&line, &data);
        let (answer, back) = served.hear_with();
        assert_eq!((&answer["status"], &answer["answer"]["got"]), (&json!("ok"), &json!(true)), "{answer}");
        assert!(back.iter().eq(data.iter().rev()), "{} bytes came back", back.len());
    }
    served.say_with(r#"{"bytes":3,"id":2,"do":"submit","ask":{"none":1}}"#, b"abc");
    assert_eq!(served.hear()["answer"], json!({ "got": 3 }));
    let answer = served.ask(json!({ "id": 3, "do": "submit", "ask": { "none": 1 } }));
    assert_eq!(answer["answer"], json!({ "got": 0 }), "no bytes, no announcement: {answer}");
    for (line, reason) in [
        (r#"{"bytes":3,"id":4,"do":"submit","exec":{"cmd":["true"]}}"#, "'bytes' go with 'ask'"),
        (
            r#"{"bytes":3,"id":4,"do":"submit","ask":{"bytes":3}}"#,
            "'ask' cannot have a field 'bytes', which says how many follow the question: put them behind the request",
        ),
        (r#"{"bytes":3,"id":4,"do":"cancel","tasks":[]}"#, "'cancel' has no field 'bytes'"),
    ] {
        served.say_with(line, b"abc");
        let answer = served.hear();
        assert_eq!((&answer["status"], &answer["reason"]), (&json!("bad_request"), &json!(reason)));
    }
    for line in [
        r#"{"id":5,"do":"submit","ask":{},"bytes":3}"#,
        r#"{"bytes":1.5,"id":5,"do":"submit","ask":{}}"#,
        r#"{"bytes":"3","id":5,"do":"submit","ask":{}}"#,
    ] {
        served.say(line);
        let answer = served.hear();
        assert!(
            answer["reason"].as_str().unwrap().starts_with("'bytes' has to be the first field"),
            "{answer}"
        );
    }
    for (what, status, why) in [
        ("odd", "error", "no end of a line follows its 2 bytes; it was ended"),
        ("crash", "nonzero_exit", "it ended with exit code 3"),
    ] {
        let answer = served.ask(json!({ "id": what, "do": "submit", "ask": { what: 1 } }));
        assert_eq!((&answer["status"], &answer["reason"]), (&json!(status), &json!(why)), "{answer}");
    }
    // An input that ends too early is its end, and no good one.
    served.say_with(r#"{"bytes":300,"id":6,"do":"submit","ask":{}}"#, b"abc");
    assert_eq!(served.close(), Some(2));
}

#[test]
fn what_cannot_be_understood_is_answered_and_harms_nothing() {
    let folder = Folder::new();
    let mut served = Served::start(&folder);
    served.hear();
    for (line, id, reason) in [
        ("x", Value::Null, "expected value at line 1 column 1"),
        (r#"{"id":1,"do":"spawn"#, Value::Null, "EOF while parsing a string"),
        (r#"{"do":"spawn","options":{"slots":1e999},"id":7}"#, json!(7), "number out of range"),
        (r#"{"id":"a\u0020b","do":"submit","exec":{"cmd":["\ud800"]}}"#, json!("a b"), ""),
        (r#"{"id":"\ud800","do":"submit"}"#, Value::Null, ""),
        ("[1]", Value::Null, "'id': expected a string or a whole number"),
        (r#"{"do":"spawn"}"#, Value::Null, "'id': expected a string or a whole number"),
        (r#"{"id":1}"#, json!(1), "'do': expected spawn, submit, await or cancel"),
        (r#"{"id":1,"do":"sumbit"}"#, json!(1), "'do': expected spawn, submit, await or cancel"),
        (r#"{"id":1,"do":"cancel","task":1}"#, json!(1), "'cancel' has no field 'task'"),
        (r#"{"id":1,"do":"await","count":-1}"#, json!(1), "wait: option 'count': expected"),
        (
            r#"{"id":1,"do":"submit"}"#,
            json!(1),
            "what is to be done is missing: one of ask, exec, compile, measure, compare",
        ),
        (
            r#"{"id":1,"do":"submit","exec":{"cdm":["a"]}}"#,
            json!(1),
            "exec: unknown option 'cdm' (did you mean 'cmd'?)",
        ),
        (
            r#"{"id":1,"do":"submit","exec":{"cmd":[{"task":9}]}}"#,
            json!(1),
            "there is no task of the request 9",
        ),
        (r#"{"id":1,"do":"submit","exec":{"cmd":["echo",null]}}"#, json!(1), "null is at place 2 of a list"),
        (
            r#"{"id":1,"do":"submit","ask":{}}"#,
            json!(1),
            "nobody can be asked: `spawn` a pool with a `session` first",
        ),
        (r#"{"id":1,"do":"spawn","options":{"slots":-1}}"#, json!(1), "spawn: option 'slots': "),
    ] {
        served.say(line);
        let answer = served.hear();
        assert_eq!((&answer["id"], &answer["status"]), (&id, &json!("bad_request")), "{line}: {answer}");
        assert!(answer["reason"].as_str().unwrap().starts_with(reason), "{line}: {answer}");
    }
    assert_eq!(served.ask(json!({ "id": 1, "do": "submit", "exec": { "cmd": ["true"] } }))["ok"], true);
    // Of requests with an id in use one answer is the task's, and the others say that they are not.
    served.say(&json!({ "id": 2, "do": "submit", "exec": { "cmd": ["sleep", "1000"] } }).to_string());
    let reason = "this id is that of another request, whose answer is another one: give each its own";
    let refused = |id| json!({ "id": id, "status": "bad_request", "duplicate": true, "reason": reason });
    for (id, what) in [
        (1, json!({ "id": 1, "do": "submit", "exec": { "cmd": ["true"] } })),
        (2, json!({ "id": 2, "do": "submit", "exec": { "cmd": ["true"] } })),
        (2, json!({ "id": 2, "do": "cancel", "tasks": [2] })),
    ] {
        assert_eq!(served.ask(what), refused(id));
    }
    assert_eq!(served.ask(json!({ "id": 3, "do": "cancel", "tasks": [2] }))["status"], "ok");
    let ended = served.hear();
    assert_eq!(
        (&ended["id"], &ended["status"], &ended["duplicate"]),
        (&json!(2), &json!("cancelled"), &Value::Null)
    );
    assert_eq!(served.close(), Some(0));
}

#[test]
fn the_end_of_the_input_ends_what_runs() {
    let folder = Folder::new();
    let mut served = Served::start(&folder);
    served.hear();
    served
        .say(&json!({ "id": 1, "do": "submit", "exec": { "shell": "touch begun; sleep 1000" } }).to_string());
    await_that("it runs", || folder.path("begun").exists());
    assert_eq!(folder.of(Role::Root).len(), 1);
    assert_eq!(served.close(), Some(0));
    folder.assert_nothing_left(LIMIT);
}

/// Whoever asked is there and reads nothing: the script stands in an answer, and cannot hear of the end.
#[test]
fn the_end_of_the_input_ends_what_nobody_reads() {
    let folder = Folder::new();
    let mut command = folder.harness(&["serve", "--stdio"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for id in 0..4 {
        let exec = json!({ "shell": "head -c 3000000 /dev/zero | tr '\\0' x" });
        writeln!(input, "{}", json!({ "id": id, "do": "submit", "exec": exec })).unwrap();
    }
    await_that("the pipe is full", || rustix::io::ioctl_fionread(&output).unwrap() >= 60_000);
    drop(input);
    let ended = child.wait_with_output().unwrap();
    drop(output);
    let said = "harness serve: the input has ended, and nobody has read answers for 5 s: ends without the rest of them; read \
                while you write\n";
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(73), said));
    folder.assert_nothing_left(LIMIT);
}

/// Its records go with it, and nobody goes on from them.
#[test]
fn a_signal_stops_it_and_it_does_not_speak_of_records() {
    let folder = Folder::new();
    let mut command = folder.harness(&["serve", "--stdio"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let request =
        json!({ "id": 1, "do": "submit", "exec": { "shell": "touch begun; sleep 1000", "timeout": 2000 } });
    writeln!(child.stdin.as_mut().unwrap(), "{request}").unwrap();
    await_that("it runs", || folder.path("begun").exists());
    signal(&folder.of(Role::Root)[0], Signal::INT);
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.starts_with("harness serve: stopped by SIGINT with 1 task unfinished: exec"), "{told}");
    assert!(!told.contains("journal") && !told.contains("again"), "{told}");
    assert_eq!(ended.status.code(), Some(75));
    folder.assert_nothing_left(LIMIT);
}

#[test]
fn it_says_how_it_is_to_be_asked() {
    let folder = Folder::new();
    let ran = folder.run(&["serve"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("--stdio"), "{ran:#?}");
    let ran = folder.run(&["python-path"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
    let module = std::path::Path::new(ran.stdout.trim()).join("harness_futures.py");
    assert!(std::fs::read_to_string(module).unwrap().contains("class HarnessExecutor(Executor)"));
    folder.write("file", "");
    let mut command = folder.harness(&["python-path"]);
    command.env("HARNESS_CACHE", folder.path("file"));
    let ran = folder.finish(command);
    assert!(
        ran.code == Some(4) && ran.stderr.starts_with("harness python-path: cannot write to "),
        "{ran:#?}"
    );
}

/// Of what the page shows, all but what is this machine's own.
fn agrees(shown: &Value, said: &Value) -> bool {
    match (shown, said) {
        (Value::Object(shown), Value::Object(said)) => shown.iter().all(|(key, value)| {
            ["host", "cores", "harness"].contains(&key.as_str())
                || said.get(key).is_some_and(|said| agrees(value, said))
        }),
        (Value::Array(shown), Value::Array(said)) => {
            shown.len() == said.len() && shown.iter().zip(said).all(|(shown, said)| agrees(shown, said))
        }
        _ => shown == said,
    }
}

#[test]
fn the_session_on_the_page_is_one() {
    if crate::support::no_compiler() {
        return;
    }
    let page = include_str!("../../docs/python.md");
    let session = page.split("```text session\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = Folder::new();
    let program =
        "#include <stdio.h>\nint main(int n, char **words) { printf(\"hello %s\\n\", words[n - 1]); }\n";
    folder.write("hello.c", program);
    let mut served = Served::start(&folder);
    let mut expected: Vec<Value> = Vec::new();
    for line in session.lines() {
        let (way, text) = line.split_once(' ').unwrap();
        match way {
            ">" => served.say(text),
            _ => expected.push(serde_json::from_str(text).unwrap()),
        }
    }
    let count = expected.len();
    for _ in 0..count {
        let said = served.hear();
        let Some(at) = expected.iter().position(|shown| agrees(shown, &said)) else {
            panic!("{said} is none of {expected:#?}");
        };
        expected.remove(at);
    }
    assert!(count > 5);
    assert_eq!(served.close(), Some(0));
}
