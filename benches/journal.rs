//! How long a campaign takes to go on from a long journal, with the index beside it and without, every record answered
//! once, what is kept in memory of a record, and how fast records are written. Beside what only reading the bytes takes.
//! `tools/with-mpi none cargo bench --no-default-features --bench journal [RECORDS]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // starts itself anew, to measure its memory

use std::path::Path;
use std::time::Instant;

use harness::journal::{Journal, JournalWriter, Mode, Opened};
use harness::model::{
    Asked, CallReturn, CompileResult, CompileSpec, Detail, Hash, Header, JOURNAL_SCHEMA, Kind, MeasureResult,
    MeasureSpec, Outcome, Phase, Placement, Record, Sample, Status, StopReason, TaskFacts, Usage,
};

/// Runs of each measurement, warm-up included.
const RUNS: usize = 16;
/// So many records come at once.
const BURST: usize = 50_000;

/// What a journal has, how many of them, and the kind of each.
type Case = (&'static str, u64, fn(u64) -> Kind);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [Some("open"), Some(path)] = [0, 1].map(|at| words.get(at).map(String::as_str)) {
        return open_alone(Path::new(path));
    }
    // `cargo bench` adds options of its own.
    let records = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let journals: [Case; 3] = [
        ("calls with a key", records, |_| Kind::Call),
        ("builds, measurements and calls", records / 10, |number| match number % 8 {
            0 => Kind::Compile,
            1..4 => Kind::Measure,
            _ => Kind::Call,
        }),
        ("measurements of 16 runs", records / 10, |_| Kind::Measure),
    ];
    for (name, count, kind) in journals {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        write(name, &path, (0..count).map(|number| record(number, kind(number))));
        println!("  read as bytes                {:>8.2} s", timed(|| std::fs::read(&path).unwrap()).1);
        std::fs::remove_file(index_of(&path)).unwrap();
        for what in ["opened, its index made anew", "opened by its index"] {
            let itself = std::env::current_exe().unwrap();
            let output = std::process::Command::new(itself).arg("open").arg(&path).output().unwrap();
            print!("  {what:<28} {}", String::from_utf8(output.stdout).unwrap());
        }
        let answers = open(&path).answers;
        let (answered, took) = timed(|| {
            let records = (0..answers.len()).map(|number| answers.read(number).unwrap().1);
            records.filter_map(Record::into_task).count()
        });
        assert_eq!(answered as u64, count);
        println!("  answered                     {:>8.2} µs each", took / count as f64 * 1e6);
    }
}

/// Says how long opening takes, and how much memory: in a process that did nothing before.
fn open_alone(path: &Path) {
    let before = resident();
    let (opened, took) = timed(|| open(path));
    let each = (resident() - before) as f64 / opened.answers.len() as f64;
    println!("{took:>8.2} s, {each:.0} B of memory for each record");
}

/// Writes them as a campaign does, and says how fast that is where many come at once.
fn write(name: &str, path: &Path, mut records: impl Iterator<Item = Record>) {
    let (mut count, mut written) = (0, 0);
    let mut writer = open(path).writer;
    let burst: Vec<Record> = records.by_ref().take(BURST).collect();
    let began = Instant::now();
    let ((), handed) = timed(|| hand_over(&mut writer, burst, &mut count));
    written += there(writer.close());
    let took = began.elapsed().as_secs_f64();
    let rate = [count as f64 / took, handed / count as f64 * 1e6];
    let mut writer = open(path).writer;
    loop {
        let some: Vec<Record> = records.by_ref().take(1 << 14).collect();
        if some.is_empty() {
            break;
        }
        written += there(writer.written());
        hand_over(&mut writer, some, &mut count);
    }
    written += there(writer.close());
    assert_eq!(written, count);
    let (bytes, index) = (length(path), length(&index_of(path)));
    println!("{count} {name}, {} MiB, an index of {} MiB", bytes >> 20, index >> 20);
    println!("  written                      {:>8.0} /s (handed over in {:.2} µs each)", rate[0], rate[1]);
}

fn hand_over(writer: &mut JournalWriter, records: Vec<Record>, count: &mut u64) {
    for record in records {
        writer.append(*count, record);
        *count += 1;
    }
}

fn there(news: Vec<Result<u64, harness::journal::Lost>>) -> u64 {
    news.into_iter().filter(Result::is_ok).count() as u64
}

fn timed<T>(what: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let result = what();
    (result, began.elapsed().as_secs_f64())
}

fn index_of(path: &Path) -> std::path::PathBuf {
    path.with_file_name("journal.index")
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |data| data.len())
}

/// What this process has in memory, B.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn open(path: &Path) -> Opened {
    let header = Header {
        schema: JOURNAL_SCHEMA.into(),
        version: "0.1.0".into(),
        protocol: 1,
        campaign: "01ARYZ6S400000000000000000".into(),
        script: "tiles.lua".into(),
        script_hash: None,
        seed: 7,
        started_unix_s: 1.7e9,
    };
    Journal::create_or_open(path, header, Default::default(), Mode::Resume).unwrap()
}

fn record(number: u64, kind: Kind) -> Record {
    let asked = match kind {
        Kind::Measure => Some(Asked::to_measure(&MeasureSpec::default(), &Placement::default())),
        Kind::Compile => Some(Asked::to_compile(&CompileSpec::default(), &Placement::default())),
        _ => None,
    };
    let facts = TaskFacts {
        id: format!("{number:026}"),
        campaign: "01ARYZ6S400000000000000000".into(),
        trial: number,
        parent: None,
        kind,
        key: Hash::of(&number.to_le_bytes()),
        parts: Some(Default::default()),
        content_key: None,
        cost: None,
        name: Some("gemm".into()),
        params: Some(serde_json::json!({ "tile": number, "flags": "-O3 -march=native" })),
        search: None,
        limit_s: None,
        worker: None,
        slot: None,
        env: None,
        artefact: None,
        placement: None,
        queue_s: Some(0.001),
        started_unix_s: Some(1.7e9),
        ended_unix_s: Some(1.7e9),
        asked: asked.and_then(|asked| asked.written()),
        program_at_end: None,
    };
    let detail = match kind {
        Kind::Measure => Detail::Measure(Box::new(measured(number))),
        Kind::Compile => Detail::Compile(Box::new(CompileResult {
            artefact: Some(Hash::of(&number.to_be_bytes())),
            argv: vec!["cc".into(), "-O3".into(), "-march=native".into(), "gemm.c".into()],
            ..CompileResult::default()
        })),
        _ => {
            Detail::Call(CallReturn { values: vec![1, 2, 3, 4, 5, 6, 7, 8].into(), ..CallReturn::default() })
        }
    };
    let outcome = Outcome {
        status: Status::Ok,
        reason: None,
        host: "node1".into(),
        detail,
        elapsed_s: 1.25,
        conditions: None,
    };
    Record::of_task(facts, Some(&MeasureSpec::default()), &outcome)
}
fn measured(number: u64) -> MeasureResult {
    let sample = |run: usize| Sample {
        phase: if run == 0 { Phase::Warmup } else { Phase::Sample },
        t_start_s: run as f64 * 0.1,
        usage: Usage {
            wall_s: 0.1 + (number as f64 + run as f64).sin() * 1e-3,
            user_s: 0.09,
            maxrss_bytes: 1 << 24,
            minflt: 1234,
            ..Usage::default()
        },
        metrics: [("gflops".to_owned(), 12.5 + run as f64 * 0.01)].into(),
        output_hash: None,
        energy: Default::default(),
    };
    MeasureResult {
        samples: (0..RUNS).map(sample).collect(),
        stats: Some(Default::default()),
        metrics: Default::default(),
        objective: "wall_s".into(),
        better: Default::default(),
        stop_reason: StopReason::Precise,
        flags: Vec::new(),
        counters: None,
        verify: Default::default(),
        floor_s: Some(0.001),
        maxrss_floor_bytes: Some(1 << 20),
        exit_code: Some(0),
        signal: None,
        stderr_tail: String::new(),
        argv: vec!["./gemm".into(), "1024".into()],
        launched: None,
        same_as: None,
        hooks: None,
    }
}
