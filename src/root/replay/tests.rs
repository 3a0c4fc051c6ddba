//! What a scribe wrote beside a port, a player answers: the same asked in another order, in other runs, cut off anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::model::{Hash, Outcome, PROTOCOL, Status};
use crate::root::order::{Baggage, CallJob, Job};
use crate::root::port::{DriverEnd, Setup, Wait, port};
use crate::root::trace::{Header, TRACE_SCHEMA, Trace};

fn header() -> Header {
    Header {
        schema: TRACE_SCHEMA.into(),
        version: "0".into(),
        protocol: PROTOCOL,
        script: "/c.lua".into(),
        script_hash: Hash::of(b""),
        args: Vec::new(),
        seed: 7,
        most_queued: Default::default(),
        cores: 1,
        started_unix_s: 0.0,
        kept: Default::default(),
    }
}

fn call(payload: &str, deps: &[TaskId]) -> Order {
    let identity = (!deps.is_empty()).then(|| Hash::of(payload.as_bytes()));
    let baggage = Baggage { identity, ..Baggage::default() }.into();
    let job = Job::Call(CallJob { payload: payload.as_bytes().into(), baggage, ..CallJob::default() });
    Order {
        pool: None,
        options: Default::default(),
        job,
        deps: deps.to_vec(),
        known: vec![],
        deferred: false,
    }
}

fn live() -> (Port, DriverEnd) {
    let (index, retrying, notices, kept) = Default::default();
    let (artefact_present, wake) = (Box::new(|_| true), Box::new(|| ()));
    port(Setup { campaign: Campaign::default(), index, retrying, notices, kept, artefact_present, wake })
}

fn outcome(reason: &str) -> Arc<Outcome> {
    Arc::new(Outcome::failed(Status::Error, reason))
}

fn reason(taken: Taken) -> (u64, String) {
    let Taken::Completion(Completion { task, outcome }) = taken else { panic!("{taken:?}") };
    (task.0, outcome.reason.clone().unwrap())
}

/// Two calls, a poll in vain, the second end, a call that needs the first, both ends. The clock's figures.
fn written(path: &Path) -> [f64; 2] {
    let trace = Trace::create(path, &header()).unwrap();
    let (port, mut driver) = live();
    let mut port = port.traced(trace.sink());
    let (a, b) = (port.submit(call("a", &[])), port.submit(call("b", &[])));
    let early = port.now();
    for _ in 0..3 {
        assert!(matches!(port.take(Wait::No), Taken::Nothing));
    }
    driver.complete(b, outcome("b"));
    driver.flush();
    assert_eq!(reason(port.take(Wait::Forever)), (1, "b".into()));
    let c = port.submit(call("c", &[a]));
    port.cancel(c);
    driver.complete(a, outcome("a"));
    driver.complete(c, outcome("c"));
    driver.flush();
    assert_eq!(reason(port.take(Wait::Forever)), (0, "a".into()));
    let late = port.now();
    assert_eq!(reason(port.take(Wait::Until(Instant::now()))), (2, "c".into()));
    drop(port);
    trace.close();
    [early, late]
}

struct Played {
    port: Port,
    verdict: std::sync::mpsc::Receiver<(u64, Option<Stop>)>,
}

fn played(path: &Path) -> Played {
    let (told, verdict) = channel();
    let player = Box::new(Replayer::new(Reader::open(path).unwrap(), told));
    Played {
        port: Port::played(Campaign::default(), Default::default(), Default::default(), player),
        verdict,
    }
}

impl Played {
    /// Ends the script; what was decided, and why it stopped.
    fn over(self) -> (u64, Option<String>) {
        drop(self.port);
        let (decisions, stop) = self.verdict.recv().unwrap();
        (decisions, stop.map(|stop| stop.to_string()))
    }
}

fn folder() -> (tempfile::TempDir, PathBuf, [f64; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let clock = written(&path);
    (folder, path, clock)
}

#[test]
fn what_was_answered_is_answered_again_whatever_the_order_of_the_questions() {
    let (_folder, path, [early, late]) = folder();
    for swapped in [false, true] {
        let mut replay = played(&path);
        let port = &mut replay.port;
        let names = if swapped { ["b", "a"] } else { ["a", "b"] };
        let [first, second] = names.map(|name| port.submit(call(name, &[])));
        let (a, b) = if swapped { (second, first) } else { (first, second) };
        assert_eq!(port.now(), early);
        assert_eq!(port.now(), early, "further looks at the clock take nothing from later ones");
        for _ in 0..3 {
            assert!(matches!(port.take(Wait::No), Taken::Nothing));
        }
        assert_eq!(reason(port.take(Wait::Forever)), (b.0, "b".into()));
        let c = port.submit(call("c", &[a]));
        port.cancel(c);
        assert_eq!(reason(port.take(Wait::Forever)), (a.0, "a".into()));
        assert_eq!(port.now(), late);
        assert_eq!(reason(port.take(Wait::Forever)), (c.0, "c".into()));
        assert_eq!(port.objection(), None);
        assert_eq!(replay.over(), (4, None));
    }
}

#[test]
fn a_wait_in_vain_takes_the_time_it_takes() {
    let (_folder, path, _) = folder();
    let mut port = played(&path).port;
    let (a, _) = (port.submit(call("a", &[])), port.submit(call("b", &[])));
    assert_eq!(a, TaskId(0));
    port.now();
    let wait = port.moment(1000.0);
    assert!(matches!(port.take(wait), Taken::Nothing));
    assert_eq!(port.now(), 1000.0);
}

#[test]
fn what_it_does_not_have_is_not_made_up() {
    let (_folder, path, _) = folder();
    let stopped = |ask: &dyn Fn(&mut Port)| {
        let mut replay = played(&path);
        ask(&mut replay.port);
        assert!(matches!(replay.port.take(Wait::Forever), Taken::Draining));
        replay.over().1.unwrap()
    };
    assert_eq!(
        stopped(&|port| assert_eq!(port.submit(call("x", &[])), TaskId(0))),
        "decision 1 is not that of the trace: the script asks for call, where the trace has call with another command"
    );
    assert_eq!(
        stopped(&|port| assert_eq!(port.submit(call("a", &[])), TaskId(0))),
        "after decision 1 (call) the script waits, where it asked for call when the trace was written"
    );
    let spawned = stopped(&|port| assert!(port.spawn(Default::default()).is_err()));
    assert_eq!(
        spawned,
        "decision 1 is not that of the trace: the script asks for workers, where the trace has call"
    );
    let closed = stopped(&|port| port.close(PoolId(3)));
    assert!(closed.contains("the script asks for the end of pool 3, where"), "{closed}");
    // Over too early.
    let mut replay = played(&path);
    for name in ["a", "b"] {
        replay.port.submit(call(name, &[]));
    }
    let (decisions, stop) = replay.over();
    // What nobody waited for cost nothing: only an end that was taken is missed.
    assert_eq!((decisions, stop), (2, None));
}

#[test]
fn cut_off_anywhere_it_answers_up_to_there() {
    let (_folder, path, _) = folder();
    let text = fs::read(&path).unwrap();
    let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let (mut ends, mut most) = (0, 0);
    for length in header..=text.len() {
        fs::write(&path, &text[..length]).unwrap();
        let mut replay = played(&path);
        let port = &mut replay.port;
        let (a, _) = (port.submit(call("a", &[])), port.submit(call("b", &[])));
        let mut taken = 0;
        while !matches!(port.take(Wait::No), Taken::Draining) {
            taken += 1;
            if taken == 4 {
                let c = port.submit(call("c", &[a]));
                port.cancel(c);
            }
        }
        assert!(taken >= most, "{taken} of {length} bytes");
        most = taken;
        let stop = replay.over().1.unwrap();
        let whole =
            stop.starts_with("after decision 4 (the end of task 2) the script goes on, where it was over");
        assert!(whole || stop.starts_with("the trace ends here, after "), "{length}: {stop}");
        ends += u32::from(whole);
    }
    assert_eq!((most, ends), (6, 1));
}

#[test]
fn what_is_no_line_of_a_trace_is_found() {
    let (_folder, path, _) = folder();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"took\"", "\"lost\"", 1)).unwrap();
    let mut replay = played(&path);
    for name in ["a", "b"] {
        replay.port.submit(call(name, &[]));
    }
    while !matches!(replay.port.take(Wait::No), Taken::Draining) {}
    let line = 1 + text[..text.find("\"took\"").unwrap()].lines().count();
    let stop =
        format!("line {} of the trace is damaged: the replay ends here, after decision 2 (call)", line - 1);
    assert_eq!(replay.over(), (2, Some(stop)));

    for (first, says) in [
        ("print 'hello'", "is no trace"),
        ("{\"type\":\"header\",\"schema\":\"harness.journal/1\"}", "is no trace"),
        (
            &serde_json::to_string(&Header { protocol: PROTOCOL + 1, ..header() }).unwrap(),
            "by harness 0, which",
        ),
        (
            &serde_json::to_string(&Header { schema: "harness.trace/2".into(), ..header() }).unwrap(),
            "by harness 0",
        ),
    ] {
        fs::write(&path, format!("{first}\n")).unwrap();
        let error = Reader::open(&path).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
}
