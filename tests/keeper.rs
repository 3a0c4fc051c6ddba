//! The keeper with real processes: how each kind of end is told, and that nothing is ever left behind.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::artefact::Store;
use harness::model::*;
use harness::process::{self, Child, Environment, Launch, own};
use harness::wire::{Stream, WireError, socket_pair};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

/// Nothing here takes so long; it only keeps a failing test from hanging.
const PATIENCE: Duration = Duration::from_secs(60);
/// Within this time nothing may be left after a death.
const LEFT_LIMIT: Duration = Duration::from_secs(10);
/// In the environment of every process of one test.
const TEST_MARK: &str = "HARNESS_TEST_MARK";

/// A keeper of its own for each test, and the worker's end of its socket.
struct Keeper {
    child: Child,
    worker: Option<Stream>,
    mark: String,
    folder: TempDir,
    tasks: u64,
}

impl Keeper {
    fn start() -> Self {
        Self::start_in(None)
    }

    /// In this control group from its first moment on.
    fn start_in(group: Option<&Path>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = socket_pair().unwrap();
        let theirs = fcntl_dupfd_cloexec(&theirs, 64).unwrap();
        let mut environment = Environment::scrubbed(std::env::vars_os());
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path.into_os_string().into_encoded_bytes()
        };
        environment.set(b"HARNESS_CACHE", &path("store")).unwrap();
        environment.set(b"TMPDIR", &path("tmp")).unwrap();
        environment.set(b"OMPI_COMM_WORLD_RANK", b"0").unwrap();
        environment.set(TEST_MARK.as_bytes(), mark.as_bytes()).unwrap();
        let null = own::null_device().unwrap();
        let stderr = std::io::stderr();
        let executable = CString::new(env!("CARGO_BIN_EXE_harness")).unwrap();
        let enter = match group {
            Some(group) => format!("echo $$ > {}/cgroup.procs && exec \"$0\" __keeper", group.display()),
            None => "exec \"$0\" __keeper".into(),
        };
        let shell = [c"sh".to_owned(), c"-c".to_owned(), CString::new(enter).unwrap(), executable];
        let child = process::spawn(&Launch {
            program: None,
            argv: &shell,
            environment: &environment,
            cwd: None,
            stdio: [null.as_fd(), null.as_fd(), stderr.as_fd()],
            fds: &[(theirs.as_fd(), 3)],
        })
        .unwrap();
        let campaign_dir = String::from_utf8(path("campaign")).unwrap();
        let mut keeper = Self { child, worker: Some(Stream::new(ours).unwrap()), mark, folder, tasks: 0 };
        keeper.send(&ToKeeper::Setup(Welcome {
            worker: WorkerId(1),
            slots: 2,
            campaign_dir,
            limits: Limits::default(),
            seed: 1,
            env: vec![("POOL_VARIABLE".into(), "pool".into())],
        }));
        assert_eq!(keeper.receive(), FromKeeper::Ready);
        keeper
    }

    fn campaign(&self) -> PathBuf {
        self.folder.path().join("campaign")
    }

    fn store(&self) -> Store {
        Store::open(self.folder.path().join("store")).unwrap()
    }

    fn send(&mut self, message: &ToKeeper) {
        let worker = self.worker.as_mut().unwrap();
        worker.queue(message);
        while worker.wants_write() {
            worker.flush().unwrap();
            let _ = poll(&mut [PollFd::new(&*worker, PollFlags::OUT)], None);
        }
    }

    fn receive(&mut self) -> FromKeeper {
        let worker = self.worker.as_mut().unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = worker.take().unwrap() {
                return message;
            }
            let left = Timespec::try_from(until - Instant::now()).unwrap();
            let mut fds = [PollFd::new(&*worker, PollFlags::IN)];
            assert_ne!(poll(&mut fds, Some(&left)).unwrap(), 0, "the keeper says nothing");
            match worker.fill() {
                Ok(()) | Err(WireError::Closed) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Begins a task and waits until the keeper has.
    fn begin(&mut self, work: Work, timeout: Option<f64>) -> TaskId {
        self.tasks += 1;
        let task = TaskId(self.tasks);
        let run = Run { task, attempt: Attempt(0), timeout, cores: 1, work };
        self.send(&ToKeeper::Run(Box::new(run)));
        assert_eq!(self.receive(), FromKeeper::Started(task, Attempt(0)));
        task
    }

    fn outcome(&mut self, task: TaskId) -> Outcome {
        match self.receive() {
            FromKeeper::Done(id, Attempt(0), outcome) if id == task => *outcome,
            other => panic!("expected the end of task {task}, got {other:?}"),
        }
    }

    fn run(&mut self, work: Work, timeout: Option<f64>) -> Outcome {
        let task = self.begin(work, timeout);
        let outcome = self.outcome(task);
        assert!(!outcome.host.is_empty() && outcome.elapsed_s > 0.0);
        assert_eq!(outcome.reason.is_none(), outcome.ok());
        outcome
    }

    fn exec(&mut self, argv: &[&str]) -> Outcome {
        self.run(exec(argv), None)
    }

    fn sh(&mut self, line: &str) -> Outcome {
        self.exec(&["/bin/sh", "-c", line])
    }

    fn kill(&mut self, task: TaskId) {
        self.send(&ToKeeper::Kill(task, Attempt(0)));
    }

    /// Processes of this test that are not the keeper.
    fn living(&self) -> Vec<(i32, String)> {
        let wanted = format!("{TEST_MARK}={}", self.mark);
        let keeper = self.child.pid.as_raw_nonzero().get();
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| *pid != keeper)
            .filter_map(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
                let marked = environment.split(|byte| *byte == 0).any(|line| line == wanted.as_bytes());
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                marked.then(|| (pid, name.trim().to_string()))
            })
            .collect()
    }

    fn until_living(&self, what: &str, limit: Duration, wanted: impl Fn(&[(i32, String)]) -> bool) {
        let until = Instant::now() + limit;
        loop {
            let living = self.living();
            if wanted(&living) {
                return;
            }
            assert!(Instant::now() < until, "{what}: {living:?}");
            let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 5_000_000 }));
        }
    }

    fn until_sleeping(&self, n: usize) {
        self.until_living("programs do not start", PATIENCE, |living| {
            living.iter().filter(|(_, name)| name == "sleep").count() == n
        });
    }

    /// Largest memory of the keeper so far, B.
    fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.worker = None; // it ends by itself
        let _ = process::wait(self.child.pid);
        if !std::thread::panicking() {
            assert_eq!(self.living(), []);
            assert_eq!(
                fs::read_dir(self.folder.path().join("tmp")).unwrap().count(),
                0,
                "scratch folders are left"
            );
        }
    }
}

fn command(argv: &[&str]) -> CommandSpec {
    let argv = argv.iter().map(|arg| Arg::Text(arg.as_bytes().to_vec())).collect();
    CommandSpec { argv, ..CommandSpec::default() }
}

fn exec(argv: &[&str]) -> Work {
    Work::Exec(ExecSpec { command: command(argv), ..ExecSpec::default() })
}

fn ran(outcome: &Outcome) -> &RunResult {
    match &outcome.detail {
        Detail::Exec(result) => result,
        other => panic!("not a run: {other:?}"),
    }
}

fn reason(outcome: &Outcome) -> &str {
    outcome.reason.as_deref().unwrap()
}

#[test]
fn a_program_that_succeeds() {
    let mut keeper = Keeper::start();
    let outcome = keeper.exec(&["/bin/true"]);
    assert!(outcome.ok());
    let result = ran(&outcome);
    assert_eq!((result.exit_code, result.signal, result.leftovers), (Some(0), None, 0));
    assert!(result.usage.wall_s > 0.0 && result.usage.wall_s <= outcome.elapsed_s);
    assert!(result.usage.maxrss_bytes > 0);
    assert_eq!(result.argv, ["/bin/true"]);
}

#[test]
fn its_surroundings() {
    let mut keeper = Keeper::start();
    let mut spec = command(&[
        "sh",
        "-c",
        "pwd; cat; echo $HARNESS_TASK_ID $POOL_VARIABLE $OWN; env | grep -c ^OMPI_COMM_WORLD; ls /proc/self/fd | wc -l; ps -o sid= -p $$; echo $$",
    ]);
    spec.stdin = Stdin::Bytes(b"input\n".to_vec());
    spec.env = BTreeMap::from([("OWN".into(), "own".into())]);
    let outcome = keeper.run(Work::Exec(ExecSpec { command: spec, ..ExecSpec::default() }), None);
    let output = String::from_utf8(ran(&outcome).stdout.clone()).unwrap();
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(lines[..2], [keeper.campaign().to_str().unwrap(), "input"]);
    assert_eq!(lines[2], "1.0 pool own");
    assert_eq!(lines[3], "0", "the launcher's variables");
    assert_eq!(lines[4], "4", "0, 1, 2 and the folder that `ls` reads");
    assert_eq!(lines[5], lines[6], "a session of its own");
}

#[test]
fn exit_code_and_standard_error_are_told() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("echo out; echo 'bad luck' >&2; exit 3");
    assert_eq!(outcome.status, Status::NonzeroExit);
    assert_eq!(reason(&outcome), "exit code 3; the end of its standard error:\nbad luck");
    assert_eq!((ran(&outcome).exit_code, &*ran(&outcome).stdout), (Some(3), &b"out\n"[..]));
    let spec =
        ExecSpec { command: command(&["sh", "-c", "exit 3"]), ok_codes: vec![3], ..ExecSpec::default() };
    assert!(keeper.run(Work::Exec(spec), None).ok());
}

#[test]
fn signals_are_named_and_a_kill_is_not_taken_for_out_of_memory() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("kill -SEGV $$");
    assert_eq!(outcome.status, Status::Signal);
    assert_eq!(reason(&outcome), "killed by signal 11 (SIGSEGV)");
    assert_eq!((ran(&outcome).exit_code, ran(&outcome).signal), (None, Some(11)));
    let outcome = keeper.sh("kill -KILL $$");
    assert_eq!((outcome.status, reason(&outcome)), (Status::Signal, "killed by signal 9 (SIGKILL)"));
}

/// A control group of 64 MiB, if we may make one; removed when dropped.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new() -> Option<Self> {
        let name = format!("harness-test-{}", std::process::id());
        let kinds = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        kinds.iter().find_map(|(root, limit)| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).ok()?;
            let group = Self(group);
            fs::write(group.0.join(limit), "67108864").ok().map(|()| group)
        })
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn out_of_memory_is_told_when_the_kernel_says_so() {
    let Some(group) = MemoryGroup::new() else {
        println!("skipped: may not make a memory control group");
        return;
    };
    let mut keeper = Keeper::start_in(Some(&group.0));
    let outcome = keeper.exec(&["tail", "/dev/zero"]); // one endless line
    assert_eq!(outcome.status, Status::Oom);
    assert!(reason(&outcome).starts_with("the kernel killed it: out of memory"), "{}", reason(&outcome));
    assert_eq!(ran(&outcome).signal, Some(9));
    let outcome = keeper.sh("kill -KILL $$");
    assert_eq!(outcome.status, Status::Signal);
}

#[test]
fn programs_that_cannot_be_started() {
    let mut keeper = Keeper::start();
    let file = keeper.campaign().join("file");
    let mut said = |argv: &[&str]| {
        let outcome = keeper.exec(argv);
        assert_eq!((outcome.status, &outcome.detail), (Status::SpawnFailed, &Detail::None));
        reason(&outcome).to_string()
    };
    assert!(said(&["no-such-program"]).starts_with("program `no-such-program` not found: load its module"));
    assert_eq!(said(&["./none"]), "program `./none` does not exist");
    assert_eq!(said(&["/tmp"]), "`/tmp` is a folder, not a program");
    assert_eq!(said(&[]), "the command is empty");
    fs::write(&file, "echo no interpreter line\n").unwrap();
    assert_eq!(said(&["./file"]), "`./file` is not executable (try: chmod +x)");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(said(&["./file"]).starts_with("`./file` is neither a program for this machine nor a script"));
    fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    assert!(said(&["./file"]).starts_with("`./file` is there, but the interpreter"));
    let long = "x".repeat(3 << 20);
    assert!(said(&["/bin/true", &long]).contains("too long for the system (31"));
}

#[test]
fn a_folder_that_is_not_there() {
    let mut keeper = Keeper::start();
    let command = CommandSpec { cwd: Cwd::Path("none".into()), ..command(&["true"]) };
    let outcome = keeper.run(Work::Exec(ExecSpec { command, ..ExecSpec::default() }), None);
    assert_eq!(outcome.status, Status::SetupFailed);
    assert!(reason(&outcome).contains("/campaign/none` is not there on this node"), "{}", reason(&outcome));
}

#[test]
fn output_that_is_not_text_arrives_as_it_is() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh(r"printf 'a\377\000b'; printf '\376' >&2; exit 1");
    assert_eq!(ran(&outcome).stdout, b"a\xff\0b");
    assert_eq!(reason(&outcome), "exit code 1; the end of its standard error:\n\u{fffd}");
}

#[test]
fn a_gigabyte_of_output_costs_neither_memory_nor_the_end() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("echo first; head -c 1073741824 /dev/zero; echo last");
    assert!(outcome.ok());
    let result = ran(&outcome);
    assert_eq!(result.stdout_bytes, (1 << 30) + 11);
    assert!(result.stdout.starts_with(b"first\n") && result.stdout.ends_with(b"last\n"));
    assert!(result.stdout.len() < (1 << 20) + 100);
    assert!(keeper.peak_memory() < 40 << 20, "{} B", keeper.peak_memory());
}

#[test]
fn output_goes_where_it_was_sent() {
    let mut keeper = Keeper::start();
    let command = CommandSpec {
        stdout: Sink::File("out.txt".into()),
        stderr: Sink::Null,
        ..command(&["sh", "-c", "echo out; echo err >&2"])
    };
    let outcome = keeper.run(Work::Exec(ExecSpec { command, ..ExecSpec::default() }), None);
    assert!(outcome.ok() && ran(&outcome).stdout.is_empty() && ran(&outcome).stderr.is_empty());
    assert_eq!(fs::read(keeper.campaign().join("out.txt")).unwrap(), b"out\n");
}

/// Opening a named pipe waits for its reader: not in the keeper, which has others to look after.
#[test]
fn a_named_pipe_as_output_needs_its_reader_first() {
    let mut keeper = Keeper::start();
    let fifo = keeper.campaign().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let to_fifo = |stderr: bool| {
        let sink = Sink::File("fifo".into());
        let mut command = command(&["sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"]);
        *(if stderr { &mut command.stderr } else { &mut command.stdout }) = sink;
        Work::Exec(ExecSpec { command, ..ExecSpec::default() })
    };
    for stderr in [false, true] {
        let outcome = keeper.run(to_fifo(stderr), None);
        assert_eq!(outcome.status, Status::SetupFailed);
        let text = "cannot write its output to `fifo`: a named pipe that nobody on this node reads; start its reader first";
        assert_eq!(reason(&outcome), text);
        // More than a pipe holds: the program waits for its reader, as it would with any pipe.
        let path = fifo.clone();
        let reader = std::thread::spawn(move || fs::read(path).unwrap().len());
        // The reader may not have opened its end yet.
        let outcome = loop {
            let outcome = keeper.run(to_fifo(stderr), None);
            if outcome.status != Status::SetupFailed {
                break outcome;
            }
        };
        assert_eq!((outcome.status, reader.join().unwrap()), (Status::Ok, 1_000_000));
    }
}

#[test]
fn what_is_no_file_is_not_taken_for_an_output() {
    let mut keeper = Keeper::start();
    for (line, what) in [("mkfifo x", "a named pipe"), ("mkdir x", "a folder")] {
        let command = CommandSpec { cwd: Cwd::Scratch, ..command(&["sh", "-c", line]) };
        let spec = ExecSpec { command, outputs: vec!["x".into()], ..ExecSpec::default() };
        let outcome = keeper.run(Work::Exec(spec), None);
        assert_eq!(outcome.status, Status::VerifyFailed);
        assert_eq!(reason(&outcome), format!("it ended well, but `x` is {what}, not a file"));
    }
}

#[test]
fn a_keeper_answers_that_it_lives() {
    let mut keeper = Keeper::start();
    keeper.send(&ToKeeper::Ping);
    assert_eq!(keeper.receive(), FromKeeper::Alive);
}

#[test]
fn a_timeout_takes_grandchildren_along() {
    let mut keeper = Keeper::start();
    // Children of its group, of another session, and orphans of another session.
    let line = "sleep 600 & setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600 & wait' &) ; wait";
    let outcome = keeper.run(exec(&["/bin/sh", "-c", line]), Some(1.0));
    assert_eq!(outcome.status, Status::Timeout);
    assert!(reason(&outcome).starts_with("ran into its timeout of 1 s; it "), "{}", reason(&outcome));
    assert!(outcome.elapsed_s >= 1.0);
    assert_eq!(keeper.living(), []);
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_and_all_are_counted() {
    let mut keeper = Keeper::start();
    let line = "trap '' TERM; sleep 600 & (setsid sleep 600 &) ; sleep 600; sleep 600";
    let task = keeper.begin(exec(&["/bin/sh", "-c", line]), None);
    keeper.until_sleeping(3);
    keeper.kill(task);
    let outcome = keeper.outcome(task);
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(reason(&outcome), "cancelled while it ran; it and 3 processes it started were killed");
    assert_eq!(keeper.living(), []);
}

#[test]
fn a_daemon_left_behind_is_killed_and_counted() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("(setsid sleep 600 &) ; sleep 600 & exit 0");
    assert!(outcome.ok());
    assert_eq!(ran(&outcome).leftovers, 2);
    assert_eq!(keeper.living(), []);
    // It holds the pipe open, and hides what it is: still no reason to wait.
    let outcome = keeper.sh("(env -i setsid sleep 601 &) ; echo said");
    assert_eq!((ran(&outcome).leftovers, &*ran(&outcome).stdout), (1, &b"said\n"[..]));
}

#[test]
fn a_daemon_of_another_task_is_left_alone() {
    let mut keeper = Keeper::start();
    let long =
        keeper.begin(exec(&["/bin/sh", "-c", "mkfifo fifo; (setsid sleep 600 &) ; read line < fifo"]), None);
    keeper.until_sleeping(1);
    let short = keeper.sh("exit 0");
    assert_eq!(ran(&short).leftovers, 0);
    keeper.until_sleeping(1);
    keeper.kill(long);
    let outcome = keeper.outcome(long);
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(reason(&outcome), "cancelled while it ran; it and a process it started were killed");
    assert_eq!(keeper.living(), []);
}

#[test]
fn when_the_worker_is_gone_nothing_is_left() {
    let mut keeper = Keeper::start();
    let line =
        "trap '' TERM HUP; (env -i PATH=$PATH setsid sleep 602 &) ; (setsid sleep 600 &) ; sleep 600 & wait";
    keeper.begin(exec(&["/bin/sh", "-c", line]), None);
    keeper.begin(exec(&["sleep", "600"]), None);
    keeper.until_sleeping(3);
    keeper.worker = None;
    keeper.until_living("left behind", LEFT_LIMIT, |living| living.is_empty());
    let (exit, _) = process::wait(keeper.child.pid).unwrap();
    assert_eq!(exit, process::Exit::Code(0));
}

#[test]
fn many_programs_at_once_and_signals_of_a_batch_system_do_no_harm() {
    let mut keeper = Keeper::start();
    for _ in 0..40 {
        keeper.tasks += 1;
        let run = Run {
            task: TaskId(keeper.tasks),
            attempt: Attempt(0),
            timeout: None,
            cores: 1,
            work: exec(&["/bin/sh", "-c", "echo $HARNESS_TASK_ID"]),
        };
        keeper.send(&ToKeeper::Run(Box::new(run)));
    }
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1] {
        kill_process(keeper.child.pid, signal).unwrap();
    }
    let mut outputs = BTreeMap::new();
    while outputs.len() < 40 {
        if let FromKeeper::Done(task, _, outcome) = keeper.receive() {
            assert_eq!(ran(&outcome).leftovers, 0);
            outputs.insert(task, String::from_utf8(ran(&outcome).stdout.clone()).unwrap());
        }
    }
    assert!(outputs.iter().all(|(task, output)| *output == format!("{task}.0\n")), "{outputs:?}");
}

#[test]
fn work_waits_for_free_slots_and_can_be_taken_back() {
    let mut keeper = Keeper::start(); // two slots
    let long = [0, 1].map(|_| keeper.begin(exec(&["sleep", "600"]), None));
    let order = |task| {
        let work = exec(&["true"]);
        ToKeeper::Run(Box::new(Run { task, attempt: Attempt(0), timeout: None, cores: 1, work }))
    };
    let (third, fourth) = (TaskId(3), TaskId(4));
    keeper.send(&order(third));
    keeper.send(&order(fourth));
    keeper.kill(third);
    let outcome = keeper.outcome(third);
    assert_eq!((outcome.status, reason(&outcome)), (Status::Cancelled, "cancelled before it began"));
    keeper.kill(long[0]);
    // It begins with the end of the first, which may be told before or after.
    let mut told = [keeper.receive(), keeper.receive(), keeper.receive()];
    told.sort_by_key(|message| matches!(message, FromKeeper::Done(task, ..) if *task == long[0]));
    let [started, done, _] = told;
    assert_eq!(started, FromKeeper::Started(fourth, Attempt(0)));
    assert!(matches!(done, FromKeeper::Done(task, _, outcome) if task == fourth && outcome.ok()));
    keeper.kill(long[1]);
    assert_eq!(keeper.outcome(long[1]).status, Status::Cancelled);
}

#[test]
fn a_slot_is_started_with_its_descriptors_and_its_end_is_told() {
    let mut keeper = Keeper::start();
    let (socket, theirs) = socket_pair().unwrap();
    let (gate, their_gate) = socket_pair().unwrap();
    let worker = keeper.worker.as_mut().unwrap();
    worker.queue_with_fds(&ToKeeper::StartSlot(SlotId(1)), vec![theirs, their_gate]);
    worker.flush().unwrap();
    // A slot ends when nobody is at the other end.
    drop((socket, gate));
    let FromKeeper::SlotEnded(slot, code, signal) = keeper.receive() else { panic!("not the end of a slot") };
    assert_eq!((slot, code.is_some() != signal.is_some()), (SlotId(1), true));
    // A slot that has ended cannot be killed, and nothing is said of it.
    keeper.send(&ToKeeper::KillSlot(SlotId(1)));
    assert!(keeper.exec(&["/bin/true"]).ok());
}

#[test]
fn files_travel_by_content_into_a_fresh_folder_and_back() {
    let mut keeper = Keeper::start();
    let input = Input { path: "data/in.txt".into(), hash: keeper.store().put_bytes(b"7\n", false).unwrap() };
    let mut spec = ExecSpec {
        command: CommandSpec {
            cwd: Cwd::Scratch,
            inputs: vec![input],
            ..command(&["sh", "-c", "cat data/in.txt data/in.txt > out.txt"])
        },
        outputs: vec!["out.txt".into()],
        ..ExecSpec::default()
    };
    let outcome = keeper.run(Work::Exec(spec.clone()), None);
    let hash = ran(&outcome).outputs["out.txt"];
    assert_eq!(fs::read(keeper.store().path(hash)).unwrap(), b"7\n7\n");
    spec.outputs = vec!["other.txt".into()];
    let outcome = keeper.run(Work::Exec(spec.clone()), None);
    assert_eq!(outcome.status, Status::VerifyFailed);
    assert_eq!(reason(&outcome), "it ended well but left no file `other.txt`");
    spec.command.inputs[0].hash = Hash::of(b"never stored");
    let outcome = keeper.run(Work::Exec(spec.clone()), None);
    assert_eq!(outcome.status, Status::SetupFailed);
    assert!(reason(&outcome).starts_with("input `data/in.txt`: artefact "), "{}", reason(&outcome));
    spec.command.inputs[0].path = "../out".into();
    assert_eq!(keeper.run(Work::Exec(spec), None).status, Status::Refused);
}

/// Sources of a small C program, in the store and in the campaign's folder.
struct Sources {
    main: Input,
    root: PathBuf,
}

impl Sources {
    fn new(keeper: &Keeper, main: &str) -> Self {
        let root = keeper.campaign();
        fs::create_dir_all(root.join("k")).unwrap();
        let main = Input {
            path: "k/main.c".into(),
            hash: keeper.store().put_bytes(main.as_bytes(), false).unwrap(),
        };
        Self { main, root }
    }

    fn header(&self, text: &str) {
        fs::write(self.root.join("k/value.h"), text).unwrap();
    }

    fn build(&self, argv: &[&str]) -> Work {
        let command = CommandSpec { inputs: vec![self.main.clone()], ..command(argv) };
        Work::Compile(CompileSpec {
            command,
            output: "prog".into(),
            include_root: self.root.to_str().unwrap().into(),
            depfile: true,
            cache: true,
        })
    }
}

fn built(outcome: &Outcome) -> &CompileResult {
    match &outcome.detail {
        Detail::Compile(result) => result,
        other => panic!("not a build: {other:?}"),
    }
}

const MAIN_C: &str =
    "#include <stdio.h>\n#include \"value.h\"\nint main(void) { printf(\"%d\\n\", VALUE); }\n";
const CC: &[&str] = &["cc", "-O1", "k/main.c", "-o", "prog"];

#[test]
fn a_build_gives_a_program_and_is_not_repeated_until_a_header_changes() {
    let mut keeper = Keeper::start();
    let sources = Sources::new(&keeper, MAIN_C);
    sources.header("#define VALUE 1\n");
    let first = keeper.run(sources.build(CC), None);
    assert!(first.ok(), "{first:?}");
    let (result, hash) = (built(&first), built(&first).artefact.unwrap());
    assert_eq!(result.cache, CacheUse::Miss);
    assert!(result.compiler.contains("/cc (") && result.content_key.is_some(), "{}", result.compiler);
    assert!(result.artefact_bytes > 1000 && result.wall_s > 0.0);
    let mut run = command(&[]);
    run.argv = vec![Arg::Artefact(hash)];
    let outcome = keeper.run(Work::Exec(ExecSpec { command: run, ..ExecSpec::default() }), None);
    assert_eq!(ran(&outcome).stdout, b"1\n");

    let again = keeper.run(sources.build(CC), None);
    assert_eq!((built(&again).cache, built(&again).artefact), (CacheUse::Hit, Some(hash)));
    assert_eq!(built(&again).content_key, result.content_key);
    sources.header("#define VALUE 2\n");
    let changed = keeper.run(sources.build(CC), None);
    assert_eq!(built(&changed).cache, CacheUse::Miss);
    assert_ne!(built(&changed).artefact, Some(hash));
    assert_ne!(built(&changed).content_key, result.content_key);
    sources.header("#define VALUE 1\n");
    let back = keeper.run(sources.build(CC), None);
    assert_eq!((built(&back).cache, built(&back).artefact), (CacheUse::Hit, Some(hash)));
}

#[test]
fn a_refusal_is_remembered_until_the_header_that_caused_it_changes() {
    let mut keeper = Keeper::start();
    let sources = Sources::new(&keeper, MAIN_C);
    sources.header("#define VALUE oops\n");
    for cache in [CacheUse::Miss, CacheUse::Negative] {
        let outcome = keeper.run(sources.build(CC), None);
        assert_eq!(outcome.status, Status::CompileFailed);
        assert!(
            reason(&outcome).contains("exit code 1: ") && reason(&outcome).contains("oops"),
            "{}",
            reason(&outcome)
        );
        let result = built(&outcome);
        assert_eq!((result.cache, result.exit_code, result.artefact), (cache, Some(1), None));
        assert!(result.diagnostics.contains("value.h:1"), "{}", result.diagnostics);
    }
    sources.header("#define VALUE 1\n");
    assert!(keeper.run(sources.build(CC), None).ok());
    // What a header that is missing would say, nobody knows: it is asked again.
    fs::remove_file(sources.root.join("k/value.h")).unwrap();
    for _ in 0..2 {
        let outcome = keeper.run(sources.build(CC), None);
        assert_eq!((outcome.status, built(&outcome).cache), (Status::CompileFailed, CacheUse::Miss));
    }
}

#[test]
fn headers_of_every_source_count() {
    let mut keeper = Keeper::start();
    let mut sources = Sources::new(&keeper, MAIN_C);
    sources.header("#define VALUE 1\n");
    let other = keeper.store().put_bytes(b"int other;\n", false).unwrap();
    let build = |sources: &Sources| {
        let Work::Compile(mut spec) = sources.build(&["cc", "k/main.c", "other.c", "-o", "prog"]) else {
            panic!()
        };
        spec.command.inputs.push(Input { path: "other.c".into(), hash: other });
        Work::Compile(spec)
    };
    let mut cache = |sources: &Sources| built(&keeper.run(build(sources), None)).cache;
    assert_eq!([cache(&sources), cache(&sources)], [CacheUse::Miss, CacheUse::Hit]);
    sources.header("#define VALUE 2\n");
    assert_eq!(cache(&sources), CacheUse::Miss);
    sources.main.hash = other;
    assert_eq!(cache(&sources), CacheUse::Miss);
}

#[test]
fn builds_that_end_in_other_ways() {
    let mut keeper = Keeper::start();
    let sources = Sources::new(&keeper, "int main(void) { return 0; }\n");
    let outcome = keeper.run(sources.build(&["gcc-99", "k/main.c"]), None);
    assert_eq!(outcome.status, Status::SpawnFailed);
    assert!(
        reason(&outcome).starts_with("compiler `gcc-99` not found: load its module"),
        "{}",
        reason(&outcome)
    );
    let outcome = keeper.run(sources.build(&["cc", "k/main.c", "-o", "elsewhere"]), None);
    assert_eq!(outcome.status, Status::CompileFailed);
    assert_eq!(reason(&outcome), "compiler exited 0 but left no file `prog`");
    let command = CommandSpec { shell: Some("sleep 600".into()), ..CommandSpec::default() };
    let slow = CompileSpec { command, output: "prog".into(), cache: true, ..CompileSpec::default() };
    let outcome = keeper.run(Work::Compile(slow), Some(0.2));
    assert_eq!((outcome.status, built(&outcome).cache), (Status::Timeout, CacheUse::Miss));
    let command = CommandSpec { shell: Some("echo made > prog; echo note".into()), ..CommandSpec::default() };
    let any = CompileSpec { command, output: "prog".into(), cache: true, ..CompileSpec::default() };
    for cache in [CacheUse::Miss, CacheUse::Hit] {
        let outcome = keeper.run(Work::Compile(any.clone()), None);
        assert_eq!((outcome.status, built(&outcome).cache), (Status::Ok, cache));
        assert_eq!(built(&outcome).diagnostics, "note\n");
    }
}

fn measured(outcome: &Outcome) -> &MeasureResult {
    match &outcome.detail {
        Detail::Measure(result) => result,
        other => panic!("not a measurement: {other:?}"),
    }
}

fn rate() -> BTreeMap<String, MetricSpec> {
    let spec = MetricSpec {
        regex: "rate: ([0-9.]+)".into(),
        pattern: "rate: ([%d.]+)".into(),
        ..MetricSpec::default()
    };
    BTreeMap::from([("rate".into(), spec)])
}

#[test]
fn a_measurement_of_a_fixed_number_of_runs() {
    let mut keeper = Keeper::start();
    let spec = MeasureSpec {
        command: command(&["sh", "-c", "echo x >> count; echo rate: $(wc -l < count)"]),
        runs: Some(5),
        metrics: rate(),
        objective: "rate".into(),
        better: Better::More,
        ..MeasureSpec::default()
    };
    let outcome = keeper.run(Work::Measure(spec), None);
    assert!(outcome.ok(), "{outcome:?}");
    let result = measured(&outcome);
    assert_eq!(result.stop_reason, StopReason::Fixed);
    let phases: Vec<Phase> = result.samples.iter().map(|sample| sample.phase).collect();
    assert_eq!(phases[..2], [Phase::Warmup, Phase::Sample]);
    assert_eq!(result.metrics["rate"].value, [2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(result.stats.as_ref().map(|stats| (stats.n, stats.median)), Some((5, 4.0)));
    assert!(result.floor_s.unwrap() > 0.0 && result.maxrss_floor_bytes.unwrap() > 0);
    assert!(result.samples.windows(2).all(|pair| pair[0].t_start_s < pair[1].t_start_s));
}

#[test]
fn a_measurement_that_fails_keeps_its_samples_and_has_no_figure() {
    let mut keeper = Keeper::start();
    let mut spec = MeasureSpec {
        command: command(&[
            "sh",
            "-c",
            "echo x >> count; n=$(wc -l < count); echo rate: $n; echo dying >&2; test $n -lt 3",
        ]),
        runs: Some(5),
        ..MeasureSpec::default()
    };
    let outcome = keeper.run(Work::Measure(spec.clone()), None);
    assert_eq!(outcome.status, Status::NonzeroExit);
    assert_eq!(reason(&outcome), "sample 2: exit code 1; the end of its standard error:\ndying");
    let result = measured(&outcome);
    assert_eq!((result.samples.len(), result.stop_reason, &result.stats), (2, StopReason::Failed, &None));
    assert_eq!((result.exit_code, result.stderr_tail.as_str()), (Some(1), "dying"));

    spec.command = command(&["echo", "speed: 7"]);
    spec.metrics = rate();
    let outcome = keeper.run(Work::Measure(spec.clone()), None);
    assert_eq!(outcome.status, Status::MetricMissing);
    let expected = "warm-up run 1: metric `rate`: pattern 'rate: ([%d.]+)' is not in the output; its standard output ends with:\nspeed: 7";
    assert_eq!(reason(&outcome), expected);

    spec.metrics = BTreeMap::new();
    spec.verify.reference = Some(Arg::Text(b"speed: 8\n".to_vec()));
    let outcome = keeper.run(Work::Measure(spec.clone()), None);
    assert_eq!(outcome.status, Status::VerifyFailed);
    assert_eq!(
        reason(&outcome),
        "warm-up run 1: output differs in line 1: expected `speed: 8`, got `speed: 7`"
    );
    assert_eq!(measured(&outcome).verify.max_abs_err, Some(1.0));
    spec.verify.atol = 1.0;
    let outcome = keeper.run(Work::Measure(spec.clone()), None);
    assert!(outcome.ok() && measured(&outcome).verify.status == "ok");

    spec.command = command(&["sleep", "600"]);
    let outcome = keeper.run(Work::Measure(spec), Some(0.5));
    assert_eq!(outcome.status, Status::Timeout);
    assert_eq!(reason(&outcome), "warm-up run 1: ran into its timeout of 0.5 s; it was killed");
}

#[test]
fn work_before_the_set_up_is_refused_in_words() {
    let (ours, theirs) = socket_pair().unwrap();
    let theirs = fcntl_dupfd_cloexec(&theirs, 64).unwrap();
    let null = own::null_device().unwrap();
    let child = process::spawn(&Launch {
        program: Some(&CString::new(env!("CARGO_BIN_EXE_harness")).unwrap()),
        argv: &[c"harness".to_owned(), c"__keeper".to_owned()],
        environment: &Environment::default(),
        cwd: Some(Path::new("/")),
        stdio: [null.as_fd(), null.as_fd(), null.as_fd()],
        fds: &[(theirs.as_fd(), 3)],
    })
    .unwrap();
    drop(theirs);
    let worker = Stream::new(ours).unwrap();
    let mut keeper = Keeper {
        child,
        worker: Some(worker),
        mark: "none".into(),
        folder: tempfile::tempdir().unwrap(),
        tasks: 0,
    };
    fs::create_dir(keeper.folder.path().join("tmp")).unwrap();
    let outcome = keeper.run(exec(&["true"]), None);
    assert_eq!(outcome.status, Status::SetupFailed);
    keeper.send(&ToKeeper::StartSlot(SlotId(0)));
    assert_eq!(keeper.receive(), FromKeeper::SlotEnded(SlotId(0), None, None));
}
