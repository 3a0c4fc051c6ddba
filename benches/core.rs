//! What the scheduler costs: events per second with plain calls, with and without a long queue, and bytes per
//! queued task.
//!
//! `cargo bench --no-default-features --bench core`

use std::collections::VecDeque;
use std::time::Instant;

use harness::core::{Action, Core, Event, GpuSet, Request, Tick};
use harness::model::{Attempt, Exclusive, Kind, Placement, PoolId, TaskId, WorkerId};

/// A core, and workers that finish in the order of their starts.
struct Bench {
    core: Core,
    actions: Vec<Action>,
    flying: VecDeque<(WorkerId, TaskId, Attempt)>,
    events: u64,
    submitted: u64,
    /// Of its tasks (µs; an event is one).
    timeout_us: Option<u64>,
}

impl Bench {
    fn new(workers: u32, slots: u16) -> Self {
        let (core, actions) = (Core::new(), Vec::new());
        let mut bench =
            Self { core, actions, flying: VecDeque::new(), events: 0, submitted: 0, timeout_us: None };
        let pool = PoolId(0);
        bench.feed(Event::PoolOpened { pool });
        for n in 0..workers {
            bench.feed(Event::WorkerReady {
                worker: WorkerId(n),
                pool,
                host: format!("n{n}"),
                allocation: 0,
                slots,
                sockets: [slots].into(),
                gpus: GpuSet::default(),
                measures: n > 0, // the first is beside the root
            });
        }
        bench.feed(Event::PoolSettled { pool });
        bench
    }

    fn feed(&mut self, event: Event) {
        self.events += 1;
        self.core.handle(Tick(self.events), event, &mut self.actions);
        for action in self.actions.drain(..) {
            if let Action::Start { task, attempt, gang, .. } = action {
                self.flying.push_back((gang.leader(), task, attempt));
            }
        }
    }

    fn submit(&mut self, kind: Kind, placement: Placement) {
        self.submitted += 1;
        self.feed(Event::Submitted(Request {
            task: TaskId(self.submitted),
            kind,
            pool: PoolId(0),
            placement: placement.into(),
            timeout_us: self.timeout_us,
            retries: 1,
            deps: Vec::new(),
            accept_failed: false,
            inputs: Vec::new(),
            class: 1,
            like: None,
            recorded: false,
            tried: None,
        }));
    }

    /// The oldest attempt begins and ends. False: none is under way.
    fn finish_one(&mut self) -> bool {
        let Some((worker, task, attempt)) = self.flying.pop_front() else { return false };
        self.feed(Event::Started { worker, task, attempt });
        self.feed(Event::Finished {
            worker,
            task,
            attempt,
            ok: true,
            unfit: false,
            artefact: None,
            elapsed_us: 20,
        });
        true
    }
}

/// All submitted first, then all run.
fn queued(
    what: &str,
    workers: u32,
    slots: u16,
    tasks: u64,
    kind: Kind,
    placement: impl Fn(u64) -> Placement,
    timeout_us: Option<u64>,
) {
    let mut bench = Bench { timeout_us, ..Bench::new(workers, slots) };
    let before = bench.events;
    let begin = Instant::now();
    (0..tasks).for_each(|n| bench.submit(kind, placement(n)));
    let submitted = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    while bench.finish_one() {}
    let ran = begin.elapsed().as_secs_f64();
    assert_eq!(bench.core.unresolved(), 0);
    let total = (bench.events - before) as f64 / (submitted + ran) / 1e6;
    println!(
        "{what:<44} {total:>5.2} M events/s   submit {:>4.0} ns   start+finish {:>4.0} ns",
        submitted / tasks as f64 * 1e9,
        ran / tasks as f64 * 1e9
    );
}

/// What a queue takes, in a process that has freed nothing yet.
fn memory(tasks: u64) {
    let mut bench = Bench::new(2, 2);
    let before = resident_bytes();
    (0..tasks).for_each(|_| bench.submit(Kind::Call, Placement::default()));
    let bytes = resident_bytes().saturating_sub(before);
    println!("{:<44} {:>5.0} B/task", "1 M calls queued", bytes as f64 / tasks as f64);
}

/// A window of tasks in flight, as `map` keeps it.
fn windowed(what: &str, workers: u32, slots: u16, tasks: u64, window: u64) {
    let mut bench = Bench::new(workers, slots);
    let before = bench.events;
    let begin = Instant::now();
    for n in 0..tasks {
        bench.submit(Kind::Call, Placement::default());
        if n >= window {
            bench.finish_one();
        }
    }
    while bench.finish_one() {}
    let total = (bench.events - before) as f64 / begin.elapsed().as_secs_f64() / 1e6;
    println!("{what:<44} {total:>5.2} M events/s");
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * 4096)
}

fn main() {
    let plain = |_| Placement::default();
    // Who submits has the names.
    let names: Vec<String> = (0..1000).map(|n| format!("n{n}")).collect();
    let not_on = |n: u64| Placement {
        exclusive: n.is_multiple_of(4).then_some(Exclusive::Node),
        not_on: Some(names[n as usize % 50].clone()),
        ..Placement::default()
    };
    let applications = |n: u64| Placement {
        nodes: Some(1 + (n * 37 % 64) as u32),
        exclusive: Some(Exclusive::Node),
        ..Placement::default()
    };
    let grouped =
        |n: u64| Placement { group: Some(names[n as usize % 1000].clone()), ..Placement::default() };
    let limit = Some(3_600_000_000);
    // `count WHAT N`: so many of one thing, for benches/counts.
    if let [_, _, what, n] = &std::env::args().collect::<Vec<_>>()[..] {
        let n = n.parse().expect("a number");
        return match what.as_str() {
            "calls" => queued(what, 2, 2, n, Kind::Call, plain, None),
            "wide" => queued(what, 10_000, 4, n, Kind::Call, plain, None),
            "window" => windowed(what, 2, 2, n, 128),
            "groups" => queued(what, 100, 4, n, Kind::Exec, grouped, None),
            "kinds" => queued(what, 1000, 4, n, Kind::Measure, not_on, None),
            "gangs" => queued(what, 1000, 4, n, Kind::Measure, applications, None),
            "timed-gangs" => queued(what, 1000, 4, n, Kind::Measure, applications, limit),
            "wide-gangs" => queued(what, 100_000, 4, n, Kind::Measure, applications, None),
            "wide-timed-gangs" => queued(what, 100_000, 4, n, Kind::Measure, applications, limit),
            other => panic!("there is no {other} to count"),
        };
    }
    memory(1_000_000);
    queued("1 M calls queued, 2 workers x 2", 2, 2, 1_000_000, Kind::Call, plain, None);
    queued("1 M calls queued, 10 000 workers x 4", 10_000, 4, 1_000_000, Kind::Call, plain, None);
    queued("1 M execs queued, 10 000 workers x 4", 10_000, 4, 1_000_000, Kind::Exec, plain, None);
    queued("200 k execs in 1000 groups, 100 workers x 4", 100, 4, 200_000, Kind::Exec, grouped, None);
    queued("100 k, 50 shapes of not_on, 1/4 exclusive", 1000, 4, 100_000, Kind::Measure, not_on, None);
    for (what, workers, gangs, timeout_us) in [
        ("4 k gangs of 1-64 nodes, 100 workers", 100, 4000, None),
        ("4 k gangs of 1-64 nodes, 1000 workers", 1000, 4000, None),
        ("the same, each with a timeout", 1000, 4000, limit),
        ("40 k gangs of 1-64 nodes, 100 000 workers", 100_000, 40_000, None),
        ("the same, each with a timeout", 100_000, 40_000, limit),
    ] {
        queued(what, workers, 4, gangs, Kind::Measure, applications, timeout_us);
    }
    windowed("calls, 128 in flight, 2 workers x 2", 2, 2, 2_000_000, 128);
    windowed("calls, 20 000 in flight, 10 000 workers x 4", 10_000, 4, 2_000_000, 20_000);
    windowed("10 M calls, 100 in flight, 10 workers x 4", 10, 4, 10_000_000, 100);
    windowed("the same, 200 000 in flight, 100 000 workers", 100_000, 4, 10_000_000, 200_000);
}
