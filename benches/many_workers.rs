#![allow(missing_docs, clippy::disallowed_methods)] // it starts programs and waits as it likes: nothing of the product runs in it
//! A root with thousands of workers: the real program, messages and sockets, and behind these workers that answer at once.
//!
//! `cargo bench --no-default-features --bench many_workers`. The root starts each as it would by ssh (`HARNESS_RSH` names this program),
//! with two descriptors: of the most workers there are as many as `ulimit -n` allows. All of them are one process, on the machine
//! of the root.

use std::ffi::OsString;
use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::model::{CallReturn, Detail, FromWorker, Hello, Outcome, Status, ToWorker};
use harness::script::raw::{Shipper, new_state};
use harness::transport::stream::StreamLink;
use harness::transport::{LinkError, Peer};
use harness::wire::socket_pair;
use rustix::event::{Timespec, epoll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

type Failure = Box<dyn std::error::Error>;

const WORKERS: [usize; 3] = [10, 1_000, 10_000];
const ROUNDS: usize = 5;
const CALLS: usize = 500_000;
/// What a worker has.
const SLOTS: u32 = 4;
/// The root needs so many for each worker, and for itself.
const DESCRIPTORS: (usize, usize) = (2, 200);

/// Prints how long the start took (s), and of each round the calls a second and the median of one call at a time (s).
const SCRIPT: &str = r#"
local harness = require "harness"
local calls, rounds = tonumber(arg[1]), tonumber(arg[2])
local function nothing() end
local began = harness.now()
local pool <close> = spawn {}
print(harness.now() - began)
for _ = 1, rounds do
  local began, futures = harness.now(), {}
  for i = 1, calls do futures[i] = pool:submit(nothing) end
  for i = 1, calls do await(futures[i]) end
  print(calls / (harness.now() - began))
  local times = {}
  for i = 1, 1001 do
    began = harness.now()
    await(pool:submit(nothing))
    times[i] = harness.now() - began
  end
  table.sort(times)
  print(times[501])
end
"#;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, role, socket, host, ..] = &words[..]
        && role == "agent"
    {
        return hand_over(Path::new(socket), host);
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most =
        limit.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(DESCRIPTORS.1) / DESCRIPTORS.0);
    println!(
        "workers of {SLOTS} slots    started in   calls, {ROUNDS} rounds of {CALLS}           one at a time"
    );
    let mut counts = WORKERS.map(|workers| workers.min(most)).to_vec();
    counts.dedup();
    counts.into_iter().try_for_each(bench)
}

/// What the root starts instead of ssh: its descriptors go to the bench, which is the worker.
fn hand_over(socket: &Path, host: &str) -> Result<(), Failure> {
    let stream = UnixStream::connect(socket)?;
    let fds =
        [std::io::stdin().as_fd().try_clone_to_owned()?, std::io::stderr().as_fd().try_clone_to_owned()?];
    let fds = fds.each_ref().map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(
        &stream,
        &[IoSlice::new(format!("{host:<32}").as_bytes())],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}

fn bench(workers: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let mut hosts = std::fs::File::create(at("hosts"))?;
    (0..workers).try_for_each(|n| writeln!(hosts, "sim{n} slots={SLOTS}"))?;
    std::fs::write(at("bench.lua"), SCRIPT)?;
    let listener = UnixListener::bind(at("socket"))?;
    let answers = Answers::new()?;
    std::thread::spawn(move || {
        if let Err(error) = serve(&listener, workers, &answers) {
            eprintln!("many_workers: {error}");
            std::process::exit(1);
        }
    });
    let mut agent = OsString::from(std::env::current_exe()?);
    agent.push(format!(" agent {}", at("socket").display()));
    let output = Command::new(env!("CARGO_BIN_EXE_harness"))
        .env_remove("LD_LIBRARY_PATH")
        .env("HARNESS_RSH", agent)
        .env("HARNESS_LIMITS", "start=600,welcome=600")
        .args(["-q", "--start", "ssh", "--hostfile"])
        .arg(at("hosts"))
        .arg(at("bench.lua"))
        .args([CALLS.to_string(), ROUNDS.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let figures: Vec<f64> =
        String::from_utf8(output.stdout)?.lines().filter_map(|line| line.parse().ok()).collect();
    let (started, rounds) = figures.split_first().ok_or("it printed nothing")?;
    if rounds.len() != 2 * ROUNDS {
        return Err(format!("it printed {figures:?}").into());
    }
    let column = |n: usize| {
        let mut values: Vec<f64> = rounds.iter().skip(n).step_by(2).copied().collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (rates, times) = (column(0), column(1));
    println!(
        "{workers:>18} {started:>11.1} s {:>12.0} /s ({:.0} to {:.0}) {:>8.0} µs ({:.0} to {:.0})",
        rates[ROUNDS / 2],
        rates[0],
        rates[ROUNDS - 1],
        times[ROUNDS / 2] * 1e6,
        times[0] * 1e6,
        times[ROUNDS - 1] * 1e6,
    );
    Ok(())
}

/// What a worker says.
struct Answers {
    hello: Hello,
    returned: Arc<Outcome>,
}

impl Answers {
    fn new() -> Result<Self, Failure> {
        let lua = new_state();
        let values = Shipper::new(&lua)?.encode(&lua, mlua::MultiValue::new())?.bytes;
        let detail = Detail::Call(CallReturn { values, ..CallReturn::default() });
        let returned = Arc::new(Outcome { detail, reason: None, ..Outcome::failed(Status::Ok, "") });
        Ok(Self { hello: real_hello()?, returned })
    }
}

/// What a worker of this machine says first: all that stands for it in the root but its name.
fn real_hello() -> Result<Hello, Failure> {
    let (ours, theirs) = socket_pair()?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_harness"))
        .env_remove("LD_LIBRARY_PATH")
        .args(["__worker", "stdio"])
        .stdin(theirs.try_clone()?)
        .stdout(theirs)
        .spawn()?;
    let mut peer: Peer<ToWorker, FromWorker> = Peer::new(Box::new(StreamLink::new(ours)?.after_mark()));
    let hello = loop {
        std::thread::sleep(Duration::from_millis(1));
        peer.progress()?;
        if let Some(FromWorker::Hello(hello)) = peer.take()? {
            break hello;
        }
    };
    peer.queue(&ToWorker::Exit);
    peer.flush()?;
    child.wait()?;
    Ok(*hello)
}

struct Worker {
    peer: Peer<FromWorker, ToWorker>,
    /// Closed, once the root has heard of it: it would take that for the end of ssh.
    stderr: Option<OwnedFd>,
}

/// All workers, on one thread.
fn serve(listener: &UnixListener, count: usize, answers: &Answers) -> Result<(), Failure> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut workers: Vec<Option<Worker>> = Vec::new();
    while workers.len() < count {
        let (stream, _) = listener.accept()?;
        let (host, [stdin, stderr]) = taken_over(&stream)?;
        let event = epoll::EventData::new_u64(workers.len() as u64);
        epoll::add(&poll, &stdin, event, epoll::EventFlags::IN)?;
        let mut peer = Peer::new(Box::new(StreamLink::new(stdin)?.with_mark()));
        let cores = SLOTS;
        peer.queue(&FromWorker::Hello(Box::new(Hello {
            host,
            cores,
            sockets: vec![SLOTS as u16],
            ..answers.hello.clone()
        })));
        peer.flush()?;
        workers.push(Some(Worker { peer, stderr: Some(stderr) }));
    }
    let mut alive = Instant::now();
    let mut events = Vec::with_capacity(1024);
    loop {
        epoll::wait(
            &poll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }),
        )?;
        for event in events.drain(..) {
            let slot = &mut workers[event.data.u64() as usize];
            if let Some(worker) = slot
                && !answer(worker, answers)?
            {
                *slot = None;
            }
        }
        if workers.iter().all(Option::is_none) {
            return Ok(());
        }
        if alive.elapsed() >= Duration::from_secs(1) {
            alive = Instant::now();
            for worker in workers.iter_mut().flatten() {
                worker.peer.queue(&FromWorker::Alive);
                worker.peer.flush()?;
            }
        }
    }
}

/// Answers what came. False: the root needs it no more.
fn answer(worker: &mut Worker, answers: &Answers) -> Result<bool, LinkError> {
    if worker.peer.progress().is_err() {
        return Ok(false);
    }
    while let Some(message) = worker.peer.take()? {
        match message {
            ToWorker::Welcome(_) => {
                worker.stderr = None;
                worker.peer.queue(&FromWorker::Ready);
            }
            ToWorker::Call(call) => {
                worker.peer.queue(&FromWorker::Done(call.task, call.attempt, answers.returned.clone()));
            }
            // It has ended, and the answer is on its way.
            ToWorker::Recall(..) => {}
            ToWorker::Retire | ToWorker::Exit | ToWorker::Quit => {
                worker.peer.queue(&FromWorker::Bye);
                worker.peer.flush()?;
                return Ok(false);
            }
            _ => {}
        }
    }
    worker.peer.flush()?;
    Ok(true)
}

/// The name and the descriptors that came from an agent.
fn taken_over(stream: &UnixStream) -> Result<(String, [OwnedFd; 2]), Failure> {
    let mut name = [0; 32];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let came = rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let host = String::from_utf8_lossy(&name[..came.bytes]).trim_end().to_string();
    let fds: [OwnedFd; 2] = fds.try_into().map_err(|_| "an agent sent no descriptors")?;
    Ok((host, fds))
}
