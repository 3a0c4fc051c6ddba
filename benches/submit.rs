#![allow(clippy::unwrap_used, missing_docs)]
//! What a call costs the root: `submit` and the end of it taken by `await`, with a driver that answers at
//! once from another thread, and the port alone. Run with `cargo bench --bench submit`.

use std::time::Instant;

use harness::model::{CallReturn, Detail, Outcome, RunResult, Status, TaskOptions, Usage};
use harness::root::port::{
    self, CallJob, Campaign, DriverEnd, Index, Job, Order, Port, Request, Setup, Taken, Wait,
};
use harness::script::ScriptState;
use harness::script::modules::Modules;
use harness::script::raw::{Shipper, new_state};

const CALLS: u32 = 1_000_000;

fn ends(campaign: Campaign) -> (Port, DriverEnd) {
    port::port(Setup {
        campaign,
        index: Index::default(),
        retrying: Default::default(),
        notices: Default::default(),
        kept: Default::default(),
        artefact_present: Box::new(|_| true),
        wake: Box::new(|| {}),
    })
}

/// Answers every call with the same values, and every program with the same end, until the script is over.
fn answer(mut end: DriverEnd, values: Vec<u8>) {
    loop {
        let requests = end.requests();
        if requests.is_empty() {
            std::thread::yield_now();
        }
        for request in requests {
            match request {
                Request::Submit(submission) => {
                    let outcome = match submission.job {
                        Job::Exec(_) => ended(),
                        _ => returned(&values),
                    };
                    end.complete(submission.task, outcome.into());
                }
                Request::End => return,
                _ => {}
            }
        }
    }
}

fn returned(values: &[u8]) -> Box<Outcome> {
    well(Detail::Call(CallReturn { values: values.to_vec().into(), ..CallReturn::default() }))
}

fn ended() -> Box<Outcome> {
    let usage =
        Usage { wall_s: 0.001, user_s: 0.0005, maxrss_bytes: 1 << 20, minflt: 100, ..Usage::default() };
    well(Detail::Exec(Box::new(RunResult {
        exit_code: Some(0),
        argv: vec!["/bin/true".into()],
        usage,
        ..RunResult::default()
    })))
}

fn well(detail: Detail) -> Box<Outcome> {
    Box::new(Outcome {
        status: Status::Ok,
        reason: None,
        host: "".into(),
        detail,
        elapsed_s: 0.0,
        conditions: None,
    })
}

/// CPU time of this thread: what the driver and the wait for it take does not count.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The port alone, both ends on one thread; `calls` are thousands.
fn port_alone(calls: u32) {
    let (mut port, mut end) = ends(Campaign::default());
    let (mut submits, mut takes) = (0.0, 0.0);
    for _ in 0..calls / 1000 {
        let began = Instant::now();
        for _ in 0..1000 {
            let job = CallJob { payload: vec![1; 26].into(), ..Default::default() };
            port.submit(Order {
                pool: None,
                options: TaskOptions::default().into(),
                job: Job::Call(job),
                deps: Vec::new(),
                known: Vec::new(),
                deferred: false,
            });
        }
        submits += began.elapsed().as_secs_f64();
        for request in end.requests() {
            if let Request::Submit(submission) = request {
                end.complete(submission.task, returned(&[1; 10]).into());
            }
        }
        end.flush();
        let began = Instant::now();
        while let Taken::Completion(completion) = port.take(Wait::No) {
            std::hint::black_box(completion);
        }
        takes += began.elapsed().as_secs_f64();
    }
    println!("{:50} {:7.3} µs each", "port: submit", submits * 1e6 / f64::from(calls));
    println!("{:50} {:7.3} µs each", "port: take", takes * 1e6 / f64::from(calls));
}

/// A script that submits and awaits; the driver on another thread, or asked only between the two halves.
fn from_lua(what: &str, source: &str) {
    let lua = new_state();
    let values = Shipper::new(&lua).unwrap().encode(&lua, mlua::MultiValue::new()).unwrap().bytes;
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("bench.lua");
    std::fs::write(&script, source).unwrap();
    let campaign = Campaign { script, dir: dir.path().to_owned(), ..Default::default() };
    let (port, end) = ends(campaign);
    let modules = Modules::new(dir.path(), "", false).into();
    let state = ScriptState::new(port, Box::new(|_| Err("no inputs".into())), modules).unwrap();
    let driver = std::thread::spawn(move || answer(end, values.into()));
    let began = cpu_seconds();
    state.run().unwrap();
    println!("{what:50} {:7.3} µs of CPU each", (cpu_seconds() - began) * 1e6 / f64::from(CALLS));
    drop(state);
    driver.join().unwrap();
}

fn main() {
    // `count port N`: so many calls through the port, for benches/counts.
    if let [_, _, _, n] = &std::env::args().collect::<Vec<_>>()[..] {
        return port_alone(n.parse().unwrap());
    }
    port_alone(CALLS);
    from_lua(
        "lua: submit and await, by 1000",
        "local function work() end
         for _ = 1, 1000 do
           local list = {}
           for i = 1, 1000 do list[i] = submit(work) end
           for i = 1, 1000 do await(list[i]) end
         end",
    );
    from_lua(
        "lua: the same, a new closure each",
        "for _ = 1, 1000 do
           local list = {}
           for i = 1, 1000 do list[i] = submit(function() return i end) end
           for i = 1, 1000 do await(list[i]) end
         end",
    );
    from_lua(
        "lua: the same, by 10",
        "local function work() end
         for _ = 1, 100000 do
           local list = {}
           for i = 1, 10 do list[i] = submit(work) end
           for i = 1, 10 do await(list[i]) end
         end",
    );
    from_lua(
        "lua: the same, submit(call { work, timeout = 9 })",
        "local function work() end
         for _ = 1, 1000 do
           local list = {}
           for i = 1, 1000 do list[i] = submit(call { work, timeout = 9 }) end
           for i = 1, 1000 do await(list[i]) end
         end",
    );
    from_lua(
        "lua: the same, submit(exec { cmd = ... })",
        "for _ = 1, 1000 do
           local list = {}
           for i = 1, 1000 do list[i] = submit(exec { cmd = { '/bin/true' } }) end
           for i = 1, 1000 do await(list[i]) end
         end",
    );
    from_lua(
        "lua: the same with an argument, as_completed",
        "local function work(x) return x end
         for _ = 1, 1000 do
           local list = {}
           for i = 1, 1000 do list[i] = submit(work, i) end
           for _ in as_completed(list) do end
         end",
    );
}
