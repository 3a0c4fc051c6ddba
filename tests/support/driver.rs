//! A stand-in for the driver at the port: it runs programs, builds and measurements on this machine, in the
//! simplest way that keeps their contract, and calls in the Lua state of a slot. It proves the script's side of
//! the port; it says nothing about workers, limits or statistics.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::model::*;
use harness::root::port::{DriverEnd, Job, PoolInfo, Request, Submission, WorkerInfo};
use harness::root::{Unmet, settle};
use harness::script::modules::{SearchPath, module_source};
use harness::script::task::TaskState;

pub struct Driver {
    end: DriverEnd,
    dir: PathBuf,
    store: PathBuf,
    slot: TaskState,
    keys: HashMap<TaskId, Hash>,
    ready: VecDeque<Submission>,
    waiting: Vec<Submission>,
    finished: HashMap<TaskId, Box<Outcome>>,
    running: HashMap<TaskId, mpsc::Sender<()>>,
    ends: mpsc::Receiver<(TaskId, Outcome)>,
    ended: mpsc::Sender<(TaskId, Outcome)>,
    pools: u32,
    over: bool,
}

impl Driver {
    pub fn new(end: DriverEnd, dir: &Path, store: &Path) -> Self {
        let (ended, ends) = mpsc::channel();
        Self {
            end,
            dir: dir.to_owned(),
            store: store.to_owned(),
            slot: slot(dir, store),
            keys: HashMap::new(),
            ready: VecDeque::new(),
            waiting: Vec::new(),
            finished: HashMap::new(),
            running: HashMap::new(),
            ends,
            ended,
            pools: 0,
            over: false,
        }
    }

    /// Serves the script until it is over. With `drain_after`, stops it once that many tasks have ended.
    pub fn serve(mut self, drain_after: Option<usize>) -> Vec<(Hash, Outcome)> {
        let mut journal = Vec::new();
        let mut ends = 0;
        while !self.over {
            for request in self.end.requests() {
                self.handle(request);
            }
            let ended = match self.ready.pop_front() {
                Some(submission) => self.begin(submission),
                None => self.ends.recv_timeout(Duration::from_millis(1)).ok(),
            };
            if let Some((task, outcome)) = ended {
                self.complete(task, outcome, &mut journal);
                ends += 1;
                if drain_after == Some(ends) {
                    self.end.flush();
                    self.end.drain();
                }
            }
        }
        self.running.clear(); // kills what still runs
        journal
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Submit(mut submission) => {
                if let Job::Call(call) = &submission.job {
                    for (hash, code) in &call.codes {
                        self.slot.learn(*hash, code.to_vec()).unwrap();
                    }
                }
                for dep in submission.deps.clone() {
                    if let Some(outcome) = self.finished.get(&dep)
                        && let Err(unmet) = settle(&mut submission, dep, outcome)
                    {
                        return self.refuse(submission.task, unmet);
                    }
                }
                if submission.deps.is_empty() {
                    self.ready.push_back(submission);
                } else {
                    self.waiting.push(submission);
                }
            }
            Request::Cancel(task) => {
                let queued = self.ready.len() + self.waiting.len();
                self.ready.retain(|submission| submission.task != task);
                self.waiting.retain(|submission| submission.task != task);
                self.running.remove(&task);
                if self.ready.len() + self.waiting.len() < queued {
                    let outcome = Outcome::failed(Status::Cancelled, "cancelled by the script");
                    self.ended.send((task, outcome)).unwrap();
                }
            }
            Request::Spawn(spec) => {
                self.pools += 1;
                let count = spec.workers.unwrap_or(1);
                let worker = |id| WorkerInfo {
                    id,
                    host: "node1".into(),
                    slots: spec.slots.unwrap_or(2),
                    cores: 2,
                    start: "local".into(),
                };
                let info = PoolInfo { id: PoolId(self.pools), workers: (0..count).map(worker).collect() };
                let refused = spec.hosts.first().map(|host| {
                    harness::root::port::PoolError(format!("host '{host}' is not in the allocation (node1)"))
                });
                self.end.spawned(refused.map_or(Ok(info), Err));
            }
            Request::Close(_) => {}
            Request::End => self.over = true,
        }
    }

    fn refuse(&mut self, task: TaskId, unmet: Unmet) {
        self.ended.send((task, unmet.outcome())).unwrap();
    }

    fn complete(&mut self, task: TaskId, outcome: Outcome, journal: &mut Vec<(Hash, Outcome)>) {
        self.running.remove(&task);
        let (for_it, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.deps.contains(&task));
        self.waiting = others;
        for mut submission in for_it {
            match settle(&mut submission, task, &outcome) {
                Err(unmet) => self.refuse(submission.task, unmet),
                Ok(()) if submission.deps.is_empty() => self.ready.push_back(submission),
                Ok(()) => self.waiting.push(submission),
            }
        }
        if let Some(key) = self.keys.remove(&task) {
            journal.push((key, outcome.clone()));
        }
        self.finished.insert(task, Box::new(outcome.clone()));
        self.end.complete(task, Box::new(outcome));
    }

    fn begin(&mut self, submission: Submission) -> Option<(TaskId, Outcome)> {
        let task = submission.task;
        if let Some(key) = submission.key {
            self.keys.insert(task, key);
        }
        let job = match submission.job {
            Job::Call(call) => {
                for (hash, code) in &call.codes {
                    self.slot.learn(*hash, code.to_vec()).unwrap(); // also what came with a dependency
                }
                let payload = CallTask {
                    task,
                    attempt: Attempt(1),
                    timeout: None,
                    payload: call.payload,
                    deps: call.known,
                };
                return Some((task, self.slot.run(&payload)));
            }
            job => job,
        };
        let (kill, killed) = mpsc::channel();
        self.running.insert(task, kill);
        let (ended, dir, store) = (self.ended.clone(), self.dir.clone(), self.store.clone());
        let limit = submission.options.timeout;
        std::thread::spawn(move || {
            let node = Node { dir, store, killed, limit };
            let run = AssertUnwindSafe(|| match job {
                Job::Exec(spec) => node.exec(&spec),
                Job::Compile(spec) => node.compile(&spec),
                Job::Measure(spec) => node.measure(&spec),
                Job::Call(_) => unreachable!(),
            });
            // A script must not wait for ever for a stand-in that fell over.
            let outcome = catch_unwind(run)
                .unwrap_or_else(|_| Outcome::failed(Status::LostWorker, "the stand-in panicked"));
            let _ = ended.send((task, outcome));
        });
        None
    }
}

fn slot(dir: &Path, store: &Path) -> TaskState {
    let init = SlotInit {
        worker: WorkerId(0),
        slot: SlotId(0),
        host: "node1".into(),
        campaign_dir: dir.display().to_string(),
        store_dir: store.display().to_string(),
        seed: 7,
    };
    let path = SearchPath::of_campaign(dir);
    TaskState::new(&init, Box::new(move |name| module_source(&path, name))).unwrap()
}

fn ended(detail: Detail) -> Outcome {
    Outcome { status: Status::Ok, reason: None, host: "node1".into(), detail, elapsed_s: 0.001 }
}

/// Runs programs.
struct Node {
    dir: PathBuf,
    store: PathBuf,
    /// Disconnected when the task is cancelled.
    killed: mpsc::Receiver<()>,
    limit: Option<f64>,
}

impl Node {
    /// Runs once; the folder is the campaign's unless one is given.
    fn run(&self, command: &CommandSpec, folder: &Path) -> Result<(Option<Status>, RunResult), Box<Outcome>> {
        let argv: Vec<OsString> = match &command.shell {
            Some(line) => vec!["/bin/sh".into(), "-c".into(), line.clone().into()],
            None => command.argv.iter().map(|arg| self.text(arg)).collect(),
        };
        let sink = |sink: &Sink| match sink {
            Sink::Capture => Stdio::piped(),
            Sink::Null => Stdio::null(),
            Sink::File(path) => std::fs::File::create(folder.join(path)).unwrap().into(),
        };
        let began = Instant::now();
        let child = Command::new(&argv[0])
            .args(&argv[1..])
            .current_dir(folder)
            .envs(&command.env)
            .stdin(Stdio::piped())
            .stdout(sink(&command.stdout))
            .stderr(sink(&command.stderr))
            .spawn();
        let mut child = child.map_err(|error| {
            Box::new(Outcome::failed(
                Status::SpawnFailed,
                format!("cannot start `{}`: {error}", argv[0].display()),
            ))
        })?;
        if let (Stdin::Bytes(bytes), Some(stdin)) = (&command.stdin, &mut child.stdin) {
            std::io::Write::write_all(stdin, bytes).unwrap();
        }
        drop(child.stdin.take());
        let mut forced = None;
        while child.try_wait().unwrap().is_none() {
            if self.limit.is_some_and(|limit| began.elapsed().as_secs_f64() > limit) {
                forced = Some(Status::Timeout);
            }
            if self.killed.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                forced = Some(Status::Cancelled);
            }
            if forced.is_some() {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let output = child.wait_with_output().unwrap();
        let usage = Usage { wall_s: began.elapsed().as_secs_f64(), user_s: 0.001, ..Default::default() };
        Ok((
            forced,
            RunResult {
                exit_code: output.status.code(),
                signal: output.status.signal(),
                stdout_bytes: output.stdout.len() as u64,
                stderr_bytes: output.stderr.len() as u64,
                stdout: output.stdout,
                stderr: output.stderr,
                usage,
                argv: argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
                ..Default::default()
            },
        ))
    }

    fn text(&self, arg: &Arg) -> OsString {
        match arg {
            Arg::Text(bytes) => OsString::from_vec(bytes.clone()),
            Arg::Artefact(hash) => self.store.join(hash.object_path()).into_os_string(),
            Arg::Task(task) => panic!("task {task} was not settled"),
        }
    }

    fn scratch(&self, command: &CommandSpec) -> tempfile::TempDir {
        let scratch = tempfile::tempdir().unwrap();
        for input in &command.inputs {
            let path = scratch.path().join(&input.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(self.store.join(input.hash.object_path()), path).unwrap();
        }
        scratch
    }

    fn keep(&self, file: &Path) -> Option<Hash> {
        let content = std::fs::read(file).ok()?;
        let hash = Hash::of(&content);
        let object = self.store.join(hash.object_path());
        std::fs::create_dir_all(object.parent().unwrap()).unwrap();
        std::fs::copy(file, object).unwrap();
        Some(hash)
    }

    fn exec(&self, spec: &ExecSpec) -> Outcome {
        let scratch = self.scratch(&spec.command);
        let folder = match &spec.command.cwd {
            Cwd::Campaign => self.dir.clone(),
            Cwd::Scratch => scratch.path().to_owned(),
            Cwd::Path(path) => self.dir.join(path),
        };
        match self.run(&spec.command, &folder) {
            Err(outcome) => *outcome,
            Ok((forced, mut result)) => {
                for path in &spec.outputs {
                    let hash = self.keep(&folder.join(path));
                    result.outputs.extend(hash.map(|hash| (path.clone(), hash)));
                }
                let (status, reason) = verdict(forced, &result, &spec.ok_codes);
                Outcome { status, reason, ..ended(Detail::Exec(Box::new(result))) }
            }
        }
    }

    fn compile(&self, spec: &CompileSpec) -> Outcome {
        let scratch = self.scratch(&spec.command);
        let (forced, result) = match self.run(&spec.command, scratch.path()) {
            Err(outcome) => return *outcome,
            Ok(ended) => ended,
        };
        let artefact = self.keep(&scratch.path().join(&spec.output));
        let failed = result.exit_code != Some(0) || artefact.is_none();
        let build = CompileResult {
            artefact,
            artefact_bytes: 1,
            diagnostics: String::from_utf8_lossy(&result.stderr).into_owned(),
            cache: CacheUse::Miss,
            wall_s: result.usage.wall_s,
            argv: result.argv,
            exit_code: result.exit_code,
            ..Default::default()
        };
        let status = forced.unwrap_or(if failed { Status::CompileFailed } else { Status::Ok });
        let reason = failed.then(|| build.diagnostics.lines().next().unwrap_or_default().to_owned());
        Outcome { status, reason, ..ended(Detail::Compile(Box::new(build))) }
    }

    fn measure(&self, spec: &MeasureSpec) -> Outcome {
        let runs = spec.runs.unwrap_or(spec.min_runs);
        let mut measured = Measured::new(spec);
        for i in 0..spec.warmup + runs {
            let (forced, result) = match self.run(&spec.command, &self.dir) {
                Err(outcome) => return *outcome,
                Ok(ended) => ended,
            };
            let phase = if i < spec.warmup { Phase::Warmup } else { Phase::Sample };
            if let Err((status, reason)) = measured.add(phase, forced, &result) {
                measured.result.stop_reason = StopReason::Failed;
                let detail = Detail::Measure(Box::new(measured.result));
                return Outcome { status, reason: Some(reason), ..ended(detail) };
            }
        }
        measured.finish()
    }
}

fn verdict(forced: Option<Status>, result: &RunResult, ok_codes: &[i32]) -> (Status, Option<String>) {
    match (forced, result.exit_code, result.signal) {
        (Some(Status::Timeout), ..) => (Status::Timeout, Some("ran into its time limit".into())),
        (Some(status), ..) => (status, Some("cancelled by the script".into())),
        (_, Some(0), _) if ok_codes.is_empty() => (Status::Ok, None),
        (_, Some(code), _) if ok_codes.contains(&code) => (Status::Ok, None),
        (_, Some(code), _) => (Status::NonzeroExit, Some(format!("exit code {code}"))),
        (_, _, signal) => (Status::Signal, Some(format!("signal {}", signal.unwrap_or_default()))),
    }
}

struct Measured<'a> {
    spec: &'a MeasureSpec,
    result: MeasureResult,
}

impl<'a> Measured<'a> {
    fn new(spec: &'a MeasureSpec) -> Self {
        let result = MeasureResult {
            samples: Vec::new(),
            stats: None,
            metrics: BTreeMap::new(),
            objective: spec.objective.clone(),
            better: spec.better,
            stop_reason: if spec.runs.is_some() { StopReason::Fixed } else { StopReason::MaxRuns },
            flags: Vec::new(),
            verify: VerifyResult { status: "none".into(), ..Default::default() },
            floor_s: None,
            maxrss_floor_bytes: None,
            exit_code: None,
            signal: None,
            stderr_tail: String::new(),
            argv: Vec::new(),
        };
        Self { spec, result }
    }

    fn add(&mut self, phase: Phase, forced: Option<Status>, run: &RunResult) -> Result<(), (Status, String)> {
        let (spec, verify) = (self.spec, &self.spec.verify);
        self.result.exit_code = run.exit_code;
        let codes: Vec<i32> = verify.exit_code.into_iter().chain(spec.ok_codes.clone()).collect();
        if let (status, Some(reason)) = verdict(forced, run, &codes) {
            return Err((status, reason));
        }
        let matches = |regex: &String| regex::bytes::Regex::new(regex).unwrap().is_match(&run.stdout);
        let wanted = [
            verify.stdout.as_ref().map(|want| ("stdout", want[..] == run.stdout[..])),
            verify.regex.as_ref().map(|regex| ("pattern", matches(regex))),
            verify.hash.map(|hash| ("hash", hash == Hash::of(&run.stdout))),
            verify.reference.as_ref().map(|reference| match reference {
                Arg::Text(text) => ("reference", *text == run.stdout),
                other => panic!("a reference that is not settled: {other:?}"),
            }),
        ];
        for (method, good) in wanted.into_iter().flatten() {
            self.result.verify.method = method.into();
            self.result.verify.status = if good { "ok" } else { "failed" }.into();
            if !good {
                return Err((
                    Status::VerifyFailed,
                    format!("the output is not what verify.{method} demands"),
                ));
            }
        }
        let mut metrics = BTreeMap::new();
        for (name, metric) in &spec.metrics {
            let found = regex::bytes::Regex::new(&metric.regex).unwrap();
            let number =
                found.captures(&run.stdout).and_then(|c| std::str::from_utf8(&c[1]).ok()?.parse().ok());
            let Some(number) = number else {
                return Err((Status::MetricMissing, format!("metric '{name}' is not in the output")));
            };
            metrics.insert(name.clone(), number);
        }
        let usage = run.usage;
        self.result.samples.push(Sample { phase, t_start_s: 0.0, usage, metrics, output_hash: None });
        Ok(())
    }

    fn finish(mut self) -> Outcome {
        let counted: Vec<&Sample> = self.result.samples.iter().filter(|s| s.phase == Phase::Sample).collect();
        let of = |name: &str| match name {
            "wall_s" => counted.iter().map(|s| s.usage.wall_s).collect(),
            "user_s" => counted.iter().map(|s| s.usage.user_s).collect(),
            _ => counted.iter().map(|s| s.metrics[name]).collect::<Vec<f64>>(),
        };
        for (name, metric) in &self.spec.metrics {
            let (unit, better, value) = (metric.unit.clone(), metric.better, of(name));
            let stats = summary(&value);
            self.result.metrics.insert(name.clone(), Metric { unit, better, value, stats });
        }
        self.result.stats = Some(summary(&of(&self.spec.objective)));
        ended(Detail::Measure(Box::new(self.result)))
    }
}

fn summary(values: &[f64]) -> Summary {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (n, median) = (sorted.len(), sorted[sorted.len() / 2]);
    let ci = Interval { lo: sorted[0], hi: sorted[n - 1], level: 0.95, exact_level: 0.97 };
    Summary {
        n: n as u32,
        min: sorted[0],
        median,
        max: sorted[n - 1],
        mean: sorted.iter().sum::<f64>() / n as f64,
        ci: (n >= 7).then_some(ci),
        ..Default::default()
    }
}
