//! The keeper with real processes: how each kind of end is told, and that nothing is ever left behind.
#![allow(clippy::unwrap_used)]

mod builds;
mod endings;
mod measurements;
mod programs;

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

    /// In this control group from its first moment on. Whoever started it ignores a signal, as `nohup` and some batch systems do.
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
            Some(group) => format!("echo $$ > {}/cgroup.procs && ", group.display()),
            None => String::new(),
        };
        let enter = format!("{enter}trap '' HUP USR2; exec \"$0\" __keeper");
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
        keeper.send(&ToKeeper::Setup(Box::new(Welcome {
            worker: WorkerId(1),
            slots: 2,
            joined: false,
            campaign_dir,
            limits: Box::default(),
            seed: 1,
            env: vec![("POOL_VARIABLE".into(), "pool".into())],
            setup: Default::default(),
        })));
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

    /// Begins a task; what the keeper says of it is not read yet.
    fn begin_unheard(&mut self, work: Work, timeout: Option<f64>) -> TaskId {
        self.tasks += 1;
        let task = TaskId(self.tasks);
        let run =
            Run { task, attempt: Attempt(0), timeout, cores: 1, pin: None, alone: false, gang: None, work };
        self.send(&ToKeeper::Run(Box::new(run)));
        task
    }

    /// Begins a task and waits until the keeper has.
    fn begin(&mut self, work: Work, timeout: Option<f64>) -> TaskId {
        let task = self.begin_unheard(work, timeout);
        assert_eq!(self.receive(), FromKeeper::Started(task, Attempt(0)));
        task
    }

    fn outcome(&mut self, task: TaskId) -> Outcome {
        match self.receive() {
            FromKeeper::Done(id, Attempt(0), outcome) if id == task => {
                std::sync::Arc::unwrap_or_clone(outcome)
            }
            other => panic!("expected the end of task {task}, got {other:?}"),
        }
    }

    fn run(&mut self, work: Work, timeout: Option<f64>) -> Outcome {
        let task = self.begin(work, timeout);
        let outcome = self.outcome(task);
        assert!(outcome.host.is_empty() && outcome.elapsed_s > 0.0, "the root knows the host");
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
