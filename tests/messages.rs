//! Damaged messages between our processes: an error or a value, never a panic, and never a value larger than the
//! bytes that came. The values of calls have a test of their own, in `script::raw`.

#![allow(clippy::unwrap_used)]

#[path = "../src/stats/random.rs"]
#[allow(dead_code, reason = "no target draws all of it")]
mod random;

use std::fmt::Debug;
use std::sync::Arc;

use harness::model::{
    Attempt, CallTask, Found, FromKeeper, FromSlot, FromWorker, Function, Gpus, Hash, Inspection, Module,
    Outcome, Phase, Seen, SlotId, Sought, Status, TaskId, ToKeeper, ToSlot, ToWorker, Usage, Vendor,
};
use random::Random;
use serde::Serialize;
use serde::de::DeserializeOwned;

const ROUNDS: usize = 20_000;

/// Random bytes behind each tag, and these messages with some bytes changed, cut or added.
fn survives<T: Serialize + DeserializeOwned + Debug + PartialEq>(seed: u64, samples: &[T]) {
    let mut random = Random(seed);
    let whole: Vec<Vec<u8>> = samples.iter().map(|message| postcard::to_stdvec(message).unwrap()).collect();
    for (bytes, message) in whole.iter().zip(samples) {
        assert_eq!(&postcard::from_bytes::<T>(bytes).unwrap(), message);
    }
    let (mut good, mut bad) = (0, 0);
    for round in 0..ROUNDS {
        let mut bytes = if round % 2 == 0 {
            let length = 1 + random.index(64);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
            bytes[0] = random.below(24) as u8;
            bytes
        } else {
            whole[random.index(whole.len())].clone()
        };
        for _ in 0..random.index(4) {
            let at = random.index(bytes.len());
            match random.below(4) {
                0 => bytes.truncate(at + 1),
                // A length of many gigabytes.
                1 => drop(bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
                _ => bytes[at] = random.bits() as u8,
            }
        }
        match postcard::from_bytes::<T>(&bytes) {
            Ok(message) => {
                let again = postcard::to_stdvec(&message).unwrap();
                assert!(again.len() <= bytes.len(), "round {round}: {bytes:?} became {} B", again.len());
                good += 1;
            }
            Err(_) => bad += 1,
        }
    }
    assert!(good > ROUNDS / 20 && bad > ROUNDS / 20, "one-sided: {good} good, {bad} bad");
}

fn call() -> CallTask {
    CallTask {
        task: TaskId(7),
        attempt: Attempt(1),
        seed: 0,
        timeout: Some(2.5),
        fresh: false,
        gpus: Some(Gpus { vendor: Some(Vendor::Amd), ids: vec!["0".into(), "1".into()] }),
        gang: None,
        many: true,
        payload: b"payload of a call".to_vec().into(),
        deps: Vec::new(),
    }
}

fn inspection() -> Inspection {
    let seen = Seen {
        phase: Phase::Sample,
        dir: "/tmp".into(),
        exit_code: Some(0),
        usage: Usage::default(),
        launched: false,
        stdout_bytes: 5,
        stderr_bytes: 0,
        metrics: [("x".to_owned(), 1.5)].into(),
    };
    let function = Function { payload: b"payload".to_vec(), place: "c.lua:3".into(), ..Function::default() };
    Inspection { seen, functions: vec![(Sought::Verdict, function)], limit_s: 60.0 }
}

fn failed() -> Arc<Outcome> {
    Arc::new(Outcome::failed(Status::SpawnFailed, "no such file"))
}

#[test]
fn between_root_and_worker() {
    let hash = Hash::of(b"x");
    let to = [
        ToWorker::Call(call()),
        ToWorker::Code(hash, vec![1; 40]),
        ToWorker::Sweep(TaskId(1), Attempt(0), "mark".into()),
        ToWorker::Chunk(hash, 1 << 20, vec![7; 60], true),
        ToWorker::Module("m".into(), Module::Lua("@m.lua".into(), serde_bytes::ByteBuf::from("return 1"))),
        ToWorker::Quiet(true),
    ];
    survives(1, &to);
    let from = [
        FromWorker::Done(TaskId(3), Attempt(2), failed()),
        FromWorker::Gone(hash, "gone".into()),
        FromWorker::Unkept(hash, "no space left".into()),
        FromWorker::Damaged(hash, "something else".into()),
        FromWorker::Chunk(hash, 0, vec![9; 50], false),
        FromWorker::NeedModule("a.b".into()),
        FromWorker::Alive,
    ];
    survives(2, &from);
}

#[test]
fn between_worker_and_keeper() {
    let to = [
        ToKeeper::Sweep(TaskId(1), Attempt(0), "mark".into()),
        ToKeeper::StartSlot(SlotId(3)),
        ToKeeper::Module("m".into(), Module::Missing("tried".into())),
        ToKeeper::Ping,
    ];
    survives(3, &to);
    let from = [
        FromKeeper::Done(TaskId(3), Attempt(2), failed()),
        FromKeeper::SlotEnded(SlotId(1), harness::model::SlotEnd::KilledForMemory("/proc/vmstat".into())),
        FromKeeper::NeedModule("a.b".into()),
        FromKeeper::Recalled(TaskId(4), Attempt(1)),
        FromKeeper::Alive,
    ];
    survives(4, &from);
}

#[test]
fn between_worker_and_slot() {
    let to = [
        ToSlot::Call(call()),
        ToSlot::Code(Hash::of(b"y"), vec![2; 30]),
        ToSlot::Module("m".into(), Module::Missing("tried".into())),
        ToSlot::Inspect(Box::new(inspection())),
    ];
    survives(5, &to);
    let from = [
        FromSlot::Done(TaskId(3), Attempt(2), failed()),
        FromSlot::InitFailed(Box::new(Arc::unwrap_or_clone(failed()))),
        FromSlot::Ready,
        FromSlot::Found(Found::Refused(Some("why".into()))),
    ];
    survives(6, &from);
}
