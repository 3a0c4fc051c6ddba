//! A slot from outside: a socket, a gate, and the calls a worker would send.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // starts itself anew, to be killed

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use harness::model::{
    Attempt, CallError, CallReturn, CallTask, DepLabel, DepRecord, DepValue, Detail, FromSlot, Hash, Kind,
    Module, Outcome, RunResult, SlotId, SlotInit, Status, TaskId, ToSlot, WorkerId,
};
use harness::process::Gate;
use harness::root::port::{Campaign, Index, Job, Request, Setup, port};
use harness::script::ScriptState;
use harness::script::modules::Modules;
use harness::script::raw::{Shipper, new_state};
use harness::slot::{SlotError, serve};
use harness::wire::{Stream, socket_pair};
use mlua::{Lua, MultiValue, Value};

struct Slot {
    lua: Lua,
    shipper: Shipper,
    stream: Stream,
    gate: Gate,
    thread: Option<JoinHandle<Result<(), SlotError>>>,
    calls: u64,
}

impl Slot {
    /// A slot in a thread of this process.
    fn start() -> Self {
        let (mut slot, socket, gate) = Self::unconnected();
        slot.thread = Some(std::thread::spawn(move || serve(socket, gate)));
        slot
    }

    /// The worker's side of a slot, with the socket and the gate for the slot.
    fn unconnected() -> (Self, OwnedFd, OwnedFd) {
        let lua = new_state();
        lua.load("Future = {} function future(id) return setmetatable({ id = id }, Future) end")
            .exec()
            .unwrap();
        // What the script's library looks like from here.
        lua.load("package.loaded.harness = { submit = coroutine.wrap(print) } submit = package.loaded.harness.submit")
            .exec()
            .unwrap();
        let mut shipper = Shipper::new(&lua).unwrap();
        shipper.set_future_metatable(&lua, &lua.globals().get("Future").unwrap()).unwrap();
        let (mine, its) = socket_pair().unwrap();
        let (gate, its_gate) = Gate::create().unwrap();
        let mut stream = Stream::new(mine).unwrap();
        stream.queue(&ToSlot::Init(Box::new(SlotInit {
            worker: WorkerId(3),
            slot: SlotId(2),
            host: "n17".into(),
            campaign_dir: String::new(),
            store_dir: "/store".into(),
            seed: 42,
            setup: Default::default(),
            node_memory: 1 << 30,
        })));
        (Self { lua, shipper, stream, gate, thread: None, calls: 0 }, its, its_gate)
    }

    /// Sends what `source` returns, a function and its arguments, as a call.
    fn submit(&mut self, source: &str) -> TaskId {
        self.submit_with(source, Vec::new())
    }

    fn submit_with(&mut self, source: &str, deps: Vec<(TaskId, DepValue)>) -> TaskId {
        let values: MultiValue = self.lua.load(source).set_name("@campaign.lua").eval().unwrap();
        let shipped = self.shipper.encode(&self.lua, values).unwrap();
        for hash in shipped.codes {
            self.stream.queue(&ToSlot::Code(hash, self.shipper.bytecode(hash).unwrap().to_vec()));
        }
        let task = TaskId(self.calls);
        self.calls += 1;
        let payload = shipped.bytes;
        self.stream.queue(&ToSlot::Call(CallTask {
            task,
            attempt: Attempt(0),
            seed: task.0,
            timeout: None,
            fresh: false,
            gpus: None,
            gang: None,
            many: false,
            payload,
            deps,
        }));
        task
    }

    fn message(&mut self) -> FromSlot {
        loop {
            self.stream.flush().unwrap();
            match self.stream.take().unwrap() {
                Some(FromSlot::Ready) => continue,
                Some(message) => return message,
                None => {}
            }
            rustix::event::poll(
                &mut [rustix::event::PollFd::new(&self.stream, rustix::event::PollFlags::IN)],
                None,
            )
            .unwrap();
            self.stream.fill().unwrap();
        }
    }

    fn outcome(&mut self) -> (TaskId, Outcome) {
        match self.message() {
            FromSlot::Done(task, _, outcome) => (task, Arc::unwrap_or_clone(outcome)),
            other => panic!("{other:?}"),
        }
    }

    fn decode(&mut self, values: &CallReturn) -> MultiValue {
        for (hash, code) in &values.codes {
            self.shipper.learn(*hash, code.to_vec()).unwrap();
        }
        self.shipper.decode(&self.lua, &values.values, &mut |_| Err("none".into())).unwrap()
    }

    /// What a call of `source` returns, checked by `check` on this side.
    fn check(&mut self, source: &str, check: &str) {
        self.check_with(source, Vec::new(), check);
    }

    fn check_with(&mut self, source: &str, deps: Vec<(TaskId, DepValue)>, check: &str) {
        let task = self.submit_with(source, deps);
        let (done, outcome) = self.outcome();
        assert_eq!((done, outcome.status), (task, Status::Ok), "{outcome:?}");
        let Detail::Call(values) = outcome.detail else { panic!("{outcome:?}") };
        let values = self.decode(&values);
        let good: Value = self.lua.load(check).call(values).unwrap();
        assert_eq!(good, Value::Boolean(true), "{source}: {check}");
    }

    fn error(&mut self, source: &str) -> CallError {
        self.submit(source);
        let (_, outcome) = self.outcome();
        assert_eq!((outcome.status, outcome.host.as_str()), (Status::Error, ""));
        let Detail::CallError(error) = outcome.detail else { panic!("{outcome:?}") };
        assert_eq!(outcome.reason.as_deref(), Some(error.message.as_str()));
        *error
    }

    fn end(self) {
        drop(self.stream);
        self.thread.unwrap().join().unwrap().unwrap();
    }
}

#[test]
fn calls_return_their_values_and_the_slot_ends_with_its_socket() {
    let mut slot = Slot::start();
    slot.check(
        "local k = 2 return function(a, b) return a * k, b, nil end, 21, { 'x' }",
        "local n, t = ... return n == 42 and t[1] == 'x' and select('#', ...) == 3",
    );
    slot.check(
        "local n = 0 return function() n = n + 1 return function() return n, 'own code' end end",
        "local f = ... local n, s = f() return n == 1 and s == 'own code'",
    );
    slot.end();
}

#[test]
fn the_first_value_is_also_text() {
    let mut slot = Slot::start();
    for (value, text) in [
        ("'a b'", Some("a b")),
        ("7", Some("7")),
        ("2.0", Some("2")),
        ("1e100", Some("1e+100")),
        ("{}", None),
        ("", None),
    ] {
        slot.submit(&format!("return function() return {value} end"));
        let Detail::Call(values) = slot.outcome().1.detail else { panic!("{value}") };
        assert_eq!(values.first_as_text(), text.map(str::as_bytes), "{value}");
        assert_eq!(values.text_at.is_some(), value == "'a b'", "{value}: a string is not sent twice");
    }
    slot.end();
}

#[test]
fn errors_keep_their_value_and_name_file_and_line() {
    let mut slot = Slot::start();
    let error = slot.error("local function inner(x)\n  error('broken ' .. x)\nend\nreturn function()\n  inner('gear')\n  return 1\nend");
    assert_eq!(error.message, "campaign.lua:2: broken gear");
    assert_eq!(
        error.traceback,
        "stack traceback:\n\tcampaign.lua:2: in upvalue 'inner'\n\tcampaign.lua:5: in function <campaign.lua:4>"
    );
    let error =
        slot.error("return function() error({ message = 'no device', code = 7, frames = { 1 } }) end");
    assert_eq!(error.message, "no device");
    let value = slot.decode(&error.value.unwrap());
    let good: bool =
        slot.lua.load("local e = ... return e.code == 7 and e.frames[1] == 1").call(value).unwrap();
    assert!(good);
    let error = slot.error(
        "return function() error(setmetatable({}, { __tostring = function() return 'told' end })) end",
    );
    assert_eq!(error.message, "told");
    let error = slot.error("return function() error(coroutine.create(print)) end");
    assert!(error.message.starts_with("error value thread: ") && error.value.is_none());
    assert_eq!(slot.error("return 5").message, "attempt to call a number value");
    let error = slot.error("return function() return { handle = { io.tmpfile() } } end");
    assert_eq!(error.message, "cannot ship a userdata; path: result 1.handle[1]");
    slot.check("return function() return 'alive' end", "return ... == 'alive'");
    slot.end();
}

#[test]
fn runaway_recursion_is_an_error() {
    let mut slot = Slot::start();
    let error = slot.error("local function f() return 1 + f() end return f");
    assert!(error.message.contains("stack overflow"), "{}", error.message);
    let error =
        slot.error("return function() local function f(s) return s:gsub('.', f) end return f('x') end");
    assert!(error.message.contains("stack overflow"), "{}", error.message);
    slot.end();
}

#[test]
fn globals_of_one_task_are_not_those_of_the_next() {
    let mut slot = Slot::start();
    slot.check(
        "return function() leak = 1 _G.leak2 = 2 load('leak3 = 3')() return leak + leak2 + leak3 end",
        "return ... == 6",
    );
    slot.check("return function() return leak == nil and leak2 == nil and _G.leak3 == nil and load('return leak3')() == nil end", "return ...");
    let error = slot.error("return function() setmetatable(_G, {}) end");
    assert!(error.message.contains("protected metatable"), "{}", error.message);
    slot.check("limit = 4 return function() return limit and load('return limit')() end", "return ... == 4");
    slot.end();
}

#[test]
fn the_worker_table_keeps_state_between_calls() {
    let mut slot = Slot::start();
    slot.check(
        "return function() local w = require 'harness'.worker w.state.n = (w.state.n or 0) + 1 return w.id, w.slot, w.host end",
        "local id, slot, host = ... return id == 3 and slot == 2 and host == 'n17'",
    );
    slot.check(
        "return function() local h = require 'harness' return h.worker.state.n, h.now() end",
        "local n, now = ... return n == 1 and now >= 0",
    );
    slot.end();
}

#[test]
fn tasks_cannot_submit_nor_load_bytecode() {
    let mut slot = Slot::start();
    let refusal = "tasks cannot submit tasks: return a value and submit from the script";
    assert_eq!(
        slot.error("return function() submit(print) end").message,
        format!("campaign.lua:1: {refusal}")
    );
    assert_eq!(
        slot.error("return function() require 'harness'.await() end").message,
        format!("campaign.lua:1: {refusal}")
    );
    let error = slot.error("return function() return require 'harness'.results end");
    assert_eq!(error.message, "campaign.lua:1: harness.results is for the script, a task cannot use it");
    slot.check(
        "return function() return load(string.dump(function() end), 'x', 'b') end",
        "local f, why = ... return f == nil and why:find('attempt to load a binary chunk', 1, true) ~= nil",
    );
    slot.end();
}

#[test]
fn random_numbers_follow_seed_and_task() {
    let draw = "return function() return math.random(1 << 40), math.random() end";
    let numbers = || {
        let mut slot = Slot::start();
        let drawn: Vec<_> = (0..3)
            .map(|_| {
                slot.submit(draw);
                let Detail::Call(values) = slot.outcome().1.detail else { panic!("no values") };
                values.values
            })
            .collect();
        slot.end();
        drawn
    };
    let first = numbers();
    assert_eq!(first, numbers());
    assert!(first[0] != first[1] && first[1] != first[2]);
}

#[test]
fn modules_come_from_the_worker_while_other_calls_wait_in_order() {
    let mut slot = Slot::start();
    let first = slot.submit("return function() return require 'tool'.answer() end");
    let second = slot.submit("return function() return package.loaded.tool ~= nil end");
    let third = slot.submit("return function() return require 'missing' end");
    let FromSlot::NeedModule(name) = slot.message() else { panic!("no question") };
    assert_eq!(name, "tool");
    let source = b"local M = {} function M.answer() return 42 end return M".to_vec();
    slot.stream.queue(&ToSlot::Module(name, Module::Lua("@lua/tool.lua".into(), source.into())));
    let ends: Vec<_> =
        [slot.outcome(), slot.outcome()].into_iter().map(|(task, outcome)| (task, outcome.status)).collect();
    assert_eq!(ends, [(first, Status::Ok), (second, Status::Ok)]);
    let FromSlot::NeedModule(name) = slot.message() else { panic!("no question") };
    slot.stream.queue(&ToSlot::Module(name, Module::Missing("no file './missing.lua'".into())));
    let (task, outcome) = slot.outcome();
    assert_eq!((task, outcome.status), (third, Status::Error));
    let reason = outcome.reason.unwrap();
    assert!(
        reason.contains("module 'missing' not found:") && reason.contains("no file './missing.lua'"),
        "{reason}"
    );
    slot.submit("return function() return require 'broken' end");
    let FromSlot::NeedModule(name) = slot.message() else { panic!("no question") };
    slot.stream.queue(&ToSlot::Module(name, Module::Lua("@lua/broken.lua".into(), b"x =".to_vec().into())));
    let reason = slot.outcome().1.reason.unwrap();
    assert!(reason.contains("lua/broken.lua:1: unexpected symbol near <eof>"), "{reason}");
    slot.end();
}

#[test]
fn results_of_other_tasks_are_put_in() {
    let mut slot = Slot::start();
    let values: MultiValue = slot.lua.load("return { 1, 2 }, 'second value'").eval().unwrap();
    let values = slot.shipper.encode(&slot.lua, values).unwrap().bytes;
    let run = RunResult { stdout: b"GFLOPS: 3".to_vec(), ..RunResult::default() };
    let record = Outcome {
        detail: Detail::Exec(Box::new(run)),
        ..Outcome::failed(Status::NonzeroExit, "exit code 3")
    };
    let label = DepLabel { kind: Kind::Exec, name: Some("p".into()), params: Some(r#"{"x":[1,2]}"#.into()) };
    let program = Hash::of(b"program");
    slot.check_with(
        "local build = future(12) return function(t, r) return t[2], build, r.status, r.stdout, r.reason, tostring(r), r.params.x[2] end, future(10), future(11)",
        vec![
            (TaskId(10), DepValue::Values(values)),
            (TaskId(11), DepValue::Record(Box::new(DepRecord { label, outcome: record }))),
            (TaskId(12), DepValue::Artefact(program)),
        ],
        &format!(
            "local two, path, status, out, reason, text, x = ...
             return two == 2 and path == '/store/{}' and status == 'nonzero_exit' and out == 'GFLOPS: 3' and reason == 'exit code 3' and x == 2
               and text == 'p x=[1,2]: nonzero_exit: exit code 3'",
            program.object_path()
        ),
    );
    assert_eq!(slot.error("return function() end, future(99)").message, "the result of task 99 did not come");
    slot.end();
}

#[test]
fn a_call_whose_bytecode_did_not_come_is_an_error() {
    let mut slot = Slot::start();
    let values: MultiValue = slot.lua.load("return function() end").eval().unwrap();
    let payload = slot.shipper.encode(&slot.lua, values).unwrap().bytes;
    slot.stream.queue(&ToSlot::Call(CallTask {
        task: TaskId(0),
        attempt: Attempt(0),
        seed: 0,
        timeout: None,
        fresh: false,
        gpus: None,
        gang: None,
        many: false,
        payload,
        deps: Vec::new(),
    }));
    let reason = slot.outcome().1.reason.unwrap();
    assert!(reason.ends_with("did not come before the message that needs it"), "{reason}");
    slot.end();
}

#[test]
fn a_module_in_c_that_is_not_on_this_node_is_named_with_host_and_path() {
    let mut slot = Slot::start();
    slot.submit("return function() return require 'far' end");
    let FromSlot::NeedModule(name) = slot.message() else { panic!("no question") };
    slot.stream.queue(&ToSlot::Module(name, Module::C("/nowhere/far.so".into())));
    let reason = slot.outcome().1.reason.unwrap();
    let text = "module 'far' not found:\n\tno field package.preload['far']\
        \n\ton n17: cannot load '/nowhere/far.so', which is where the root has it: /nowhere/far.so: cannot open";
    assert!(reason.contains(text), "{reason}");
    assert!(reason.contains("on n17:\n\tno file '"), "its own paths, too: {reason}");
    slot.end();
}

/// What the script hands to the driver, with a driver that answers every call at once.
fn sent_by(script: &str) -> (usize, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.lua");
    std::fs::write(&file, script).unwrap();
    let campaign = Campaign { script: file, dir: dir.path().to_owned(), ..Campaign::default() };
    let (port, mut driver) = port(Setup {
        campaign,
        index: Index::default(),
        retrying: Default::default(),
        notices: Default::default(),
        kept: Default::default(),
        artefact_present: Box::new(|_| true),
        wake: Box::new(|| {}),
    });
    let modules = Modules::new(dir.path(), "", false).into();
    let script = std::thread::spawn(move || {
        let state = ScriptState::new(port, Box::new(|_| Err("no inputs".into())), modules).unwrap();
        state.run().map_err(|error| error.to_string())
    });
    let (mut calls, mut payload, mut code) = (0, 0, 0);
    'script: loop {
        std::thread::yield_now();
        for request in driver.requests() {
            match request {
                Request::Submit(submission) => {
                    let Job::Call(call) = submission.job else { panic!("not a call") };
                    calls += 1;
                    payload += call.payload.len();
                    code += call.baggage.codes.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
                    let cancelled = Outcome::failed(Status::Cancelled, "not run");
                    driver.complete(submission.task, Arc::new(cancelled));
                    driver.flush();
                }
                Request::End => break 'script,
                _ => {}
            }
        }
        if script.is_finished() {
            break;
        }
    }
    script.join().unwrap().unwrap();
    (calls, payload, code)
}

#[test]
fn code_leaves_the_script_once_and_each_call_is_a_few_bytes() {
    let text = "x".repeat(10_000);
    let script = |calls: u32| {
        format!(
            "local function work(i) return i .. '{text}' end
             for i = 1, {calls} do
               pcall(await, submit(work, i))
               pcall(await, submit(function() return i, work end))
             end"
        )
    };
    let (calls, payload, code) = sent_by(&script(100));
    assert_eq!(calls, 200);
    assert!((10_000..12_000).contains(&code), "{code} bytes of code");
    assert!(payload < 200 * 70, "{payload} bytes in {calls} calls");
    assert_eq!(sent_by(&script(1)).2, code, "as much as for one call each");
}

/// A call that runs until the file is there.
fn wait_for(path: &std::path::Path) -> String {
    format!("local path = {path:?} return function() repeat local f = io.open(path) until f f:close() end")
}

#[test]
fn calls_taken_back_do_not_run() {
    let mut slot = Slot::start();
    let folder = tempfile::tempdir().unwrap();
    let (go, mark) = (folder.path().join("go"), folder.path().join("mark"));
    let running = slot.submit(&wait_for(&go));
    slot.submit(&format!("local path = {mark:?} return function() io.open(path, 'w'):close() end"));
    slot.submit(&format!("local path = {mark:?} return function() io.open(path, 'w'):close() end"));
    slot.stream.flush().unwrap();
    while slot.gate.begun() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(slot.gate.recall(3), 1, "calls 1 and 2 are taken back");
    let last = slot.submit("return function() return 'last' end");
    std::fs::write(&go, "").unwrap();
    assert_eq!((slot.outcome().0, slot.outcome().0), (running, last));
    assert!(!mark.exists());
    slot.end();
}

#[test]
fn a_result_does_not_wait_for_the_next_call_to_end() {
    let mut slot = Slot::start();
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let quick = slot.submit("return function() return 1 end");
    let long = slot.submit(&wait_for(&go));
    assert_eq!(slot.outcome().0, quick, "while the long one runs");
    std::fs::write(&go, "").unwrap();
    assert_eq!(slot.outcome().0, long);
    slot.end();
}

#[test]
fn many_calls_in_one_burst_come_back_in_order() {
    let mut slot = Slot::start();
    let tasks: Vec<_> = (0..2000)
        .map(|i| slot.submit(&format!("return function(s) return s:rep(100) end, 'call {i}'")))
        .collect();
    for task in tasks {
        let (done, outcome) = slot.outcome();
        assert_eq!((done, outcome.status), (task, Status::Ok));
    }
    assert_eq!(slot.gate.begun(), 2000);
    slot.end();
}

#[test]
fn a_worker_that_does_not_begin_with_init_is_refused() {
    let (mine, its) = socket_pair().unwrap();
    let (_gate, gate) = Gate::create().unwrap();
    let mut stream = Stream::new(mine).unwrap();
    stream.queue(&ToSlot::Module("x".into(), Module::Missing("y".into())));
    stream.flush().unwrap();
    assert!(matches!(serve(its, gate), Err(SlotError::NoInit)));
}

const GATE: &str = "HARNESS_TEST_GATE";

/// Not a test but the slot process of the tests below: this executable, started again with the socket as
/// its standard input.
#[test]
fn slot_process() {
    let Some(gate) = std::env::var_os(GATE) else { return };
    let gate = std::fs::File::options().read(true).write(true).open(gate).unwrap();
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let code = harness::slot::main(socket, gate.into());
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
}

/// Runs one call in a slot process and lets it end; its outcome, if one came, and how the process ended.
fn in_a_process(source: &str) -> (Option<Outcome>, Output) {
    let (mut slot, socket, gate) = Slot::unconnected();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "slot_process", "--nocapture"])
        .env(GATE, format!("/proc/{}/fd/{}", std::process::id(), gate.as_raw_fd()))
        .stdin(socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    slot.submit(source);
    let mut outcome = None;
    while outcome.is_none() {
        slot.stream.flush().unwrap();
        rustix::event::poll(
            &mut [rustix::event::PollFd::new(&slot.stream, rustix::event::PollFlags::IN)],
            None,
        )
        .unwrap();
        if slot.stream.fill().is_err() {
            break; // it ended first
        }
        while let Some(message) = slot.stream.take().unwrap() {
            if let FromSlot::Done(_, _, done) = message {
                outcome = Some(Arc::unwrap_or_clone(done));
            }
        }
    }
    drop(slot);
    (outcome, child.wait_with_output().unwrap())
}

#[test]
fn what_a_task_prints_leaves_standard_output_alone() {
    let (outcome, output) = in_a_process(
        "return function() print('printed', 1) io.write('written\\n') io.stdout:write('stdout\\n') io.stdout:flush()
           os.execute('echo shell') end",
    );
    assert_eq!(outcome.unwrap().status, Status::Ok);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for text in ["printed\t1\n", "written\n", "stdout\n", "shell\n"] {
        assert!(err.contains(text) && !out.contains(text), "{text}: {output:?}");
    }
}

#[test]
fn a_task_may_end_its_process_and_nothing_is_reported() {
    let (outcome, output) = in_a_process("return function() os.exit(7) end");
    assert_eq!((outcome, output.status.code()), (None, Some(7)));
    let (outcome, output) = in_a_process("return function() os.execute('kill -ABRT $PPID') end");
    assert_eq!((outcome, output.status.signal()), (None, Some(6)));
}
