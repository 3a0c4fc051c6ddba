//! What the gate says, of sessions drawn from a seed and of records that do not fit each other.

#[path = "../../../tests/support/measured.rs"]
pub(super) mod records;

use super::*;
use crate::model::{Env, MeasureResult, Metric, Record};
use crate::stats::{Random, summary};

const TERMS: Terms = Terms { min_effect: 0.01, tolerance: 0.05, same_host: false };

/// A journal with these records.
pub(in crate::report) fn campaign(path: &str, records: Vec<Measurement>) -> Campaign {
    Campaign {
        path: path.into(),
        ended: records.into_iter().map(|record| Record::Measurement(Box::new(record))).collect(),
        ..Campaign::default()
    }
}

/// A measurement of these wall times, begun then.
pub(in crate::report) fn measured(name: &str, unix_s: f64, wall_s: &[f64]) -> Measurement {
    of_result(name, unix_s, records::timed(wall_s))
}

fn of_result(name: &str, unix_s: f64, result: MeasureResult) -> Measurement {
    records::record(name, None, unix_s, &records::well(result))
}

/// One whose objective is a rate that the program prints, in this unit.
pub(in crate::report) fn rated(name: &str, unix_s: f64, rate: f64, unit: &str) -> Measurement {
    let mut result = records::timed(&[1.0; 9]);
    for sample in &mut result.samples {
        sample.metrics.insert("rate".into(), rate);
    }
    let (value, stats) = (vec![rate; 9], summary(&[rate; 9]));
    let metric = Metric { unit: Some(unit.into()), better: Better::More, value, stats: Some(stats.clone()) };
    result.metrics.insert("rate".into(), metric);
    (result.objective, result.better, result.stats) = ("rate".into(), Better::More, Some(stats));
    of_result(name, unix_s, result)
}

/// One that ended otherwise.
pub(in crate::report) fn ended(name: &str, unix_s: f64, status: Status) -> Measurement {
    records::record(name, None, unix_s, &records::ill(status, "because"))
}

pub(super) fn failed(unix_s: f64, status: Status) -> Measurement {
    ended("gemm", unix_s, status)
}

/// A session of rows `r0`, `r1`, … with these medians.
fn session(random: &mut Random, day: usize, medians: &[f64], runs: usize, cv: f64) -> Campaign {
    let row = |(at, median): (usize, &f64)| {
        let wall_s: Vec<f64> = (0..runs).map(|_| median * (cv * random.gauss()).exp()).collect();
        measured(&format!("r{at}"), day as f64, &wall_s)
    };
    let records = medians.iter().enumerate().map(row).collect();
    campaign(&format!("{day}.journal"), records)
}

pub(super) fn gate(before: &[Campaign], new: &Campaign) -> Gate {
    Gate::of(before, new, TERMS)
}

fn of(verdict: Verdict, gate: &Gate) -> usize {
    gate.rows.iter().filter(|row| row.verdict == verdict).count()
}

/// One row, of which there is one earlier record.
pub(super) fn one(before: Measurement, new: Measurement) -> (Verdict, String, Conclusion) {
    let gate = gate(&[campaign("a", vec![before])], &campaign("b", vec![new]));
    let [row] = &gate.rows[..] else { panic!("{gate}") };
    (row.verdict, row.line(), gate.conclusion())
}

#[test]
fn of_400_rows_that_did_not_change_hardly_one_is_told() {
    const ROWS: usize = 400;
    let mut random = Random(31);
    let medians: Vec<f64> = (0..ROWS).map(|_| (3.0 * random.gauss()).exp()).collect();
    for (sessions, runs, cv) in [(1, 10, 0.02), (1, 10, 0.1), (2, 15, 0.02), (5, 10, 0.02)] {
        let mut draw = |day| session(&mut random, day, &medians, runs, cv);
        let before: Vec<Campaign> = (0..sessions).map(&mut draw).collect();
        let gate = gate(&before, &draw(9));
        let case = format!("{sessions} sessions of {runs} runs at CV {cv}: {}", gate.summary());
        assert!(of(Verdict::Slower, &gate) <= ROWS * 5 / 1000, "{case}");
        if cv < 0.05 {
            assert!(of(Verdict::Same, &gate) >= ROWS * 95 / 100, "{case}");
        } else {
            assert_eq!(gate.conclusion(), Conclusion::Inconclusive, "so few runs say nothing: {case}");
        }
    }
}

/// The node is another one every day, and each program takes it in another way.
#[test]
fn of_rows_that_scatter_from_day_to_day_hardly_one_is_told_once_there_are_three_days() {
    const ROWS: usize = 400;
    let mut random = Random(32);
    for sessions in [3, 5, 10] {
        let mut draw = |day| {
            let medians: Vec<f64> = (0..ROWS).map(|_| (0.03 * random.gauss()).exp()).collect();
            session(&mut random, day, &medians, 10, 0.005)
        };
        let before: Vec<Campaign> = (0..sessions).map(&mut draw).collect();
        let gate = gate(&before, &draw(99));
        assert!(of(Verdict::Slower, &gate) <= ROWS * 5 / 1000, "{sessions}: {}", gate.summary());
    }
}

#[test]
fn five_per_cent_are_found() {
    const ROWS: usize = 20;
    const CHANGED: usize = 2;
    for (sessions, runs) in [(1, 15), (2, 15), (10, 15)] {
        let mut random = Random(33);
        let (mut found, mut wrong) = (0, 0);
        for _ in 0..20 {
            let same = [1.0; ROWS];
            let before: Vec<Campaign> =
                (0..sessions).map(|day| session(&mut random, day, &same, runs, 0.02)).collect();
            let mut medians = same;
            medians[..CHANGED].fill(1.05);
            let gate = gate(&before, &session(&mut random, 99, &medians, runs, 0.02));
            let slower = gate.rows.iter().filter(|row| row.verdict == Verdict::Slower);
            let (right, others): (Vec<_>, Vec<_>) =
                slower.partition(|row| ["r0", "r1"].contains(&row.name.as_str()));
            found += right.len();
            wrong += others.len();
        }
        assert!(found >= 20 * CHANGED * 90 / 100, "{sessions} sessions of {runs} runs: {found} found");
        assert!(wrong <= 2, "{sessions} sessions of {runs} runs: {wrong} wrong");
    }
}

#[test]
fn a_row_says_how_much_and_of_how_many() {
    let runs = |median: f64| -> Vec<f64> { (0..10).map(|at| median + 0.001 * f64::from(at)).collect() };
    let (verdict, line, conclusion) =
        one(measured("gemm", 1.0, &runs(1.0)), measured("gemm", 2.0, &runs(1.1)));
    assert_eq!((verdict, conclusion), (Verdict::Slower, Conclusion::Regression));
    assert_eq!(line, "1.100x slower, 95 % CI [1.096, 1.103]; 1.105 s, before 1.004 s; n = 10, before 10");
    let (verdict, line, conclusion) =
        one(measured("gemm", 1.0, &runs(1.1)), measured("gemm", 2.0, &runs(1.0)));
    assert_eq!((verdict, conclusion), (Verdict::Faster, Conclusion::NoRegression));
    assert!(line.starts_with("1.100x faster, 95 % CI [1.096, 1.103]; "), "{line}");
    let (verdict, line, conclusion) =
        one(measured("gemm", 1.0, &runs(1.0)), measured("gemm", 2.0, &runs(1.0)));
    assert_eq!((verdict, conclusion), (Verdict::Same, Conclusion::NoRegression));
    assert!(line.starts_with("1.000x, 95 % CI [0.99"), "{line}");
}

#[test]
fn what_is_worse_and_not_proven_is_open_however_little_it_is() {
    let runs = |median: f64| -> Vec<f64> { (0..10).map(|at| median + 0.0001 * f64::from(at)).collect() };
    let day = |day: f64, median: f64| campaign(&format!("{day}"), vec![measured("gemm", day, &runs(median))]);
    let before = [day(1.0, 1.0), day(2.0, 1.007), day(3.0, 0.993)];
    let gate = gate(&before, &day(4.0, 1.035));
    assert_eq!((gate.rows[0].verdict, gate.conclusion()), (Verdict::Unresolved, Conclusion::Inconclusive));
    assert!(
        gate.to_string().contains("it lies beyond each session before it, which is no proof yet"),
        "{gate}"
    );
    assert!(!gate.to_string().contains("is older"), "{gate}");
}

#[test]
fn journals_in_another_order_than_that_of_time_are_told() {
    let day = |unix_s| campaign("a", vec![measured("gemm", unix_s, &[1.0; 9])]);
    assert!(gate(&[day(1.0), day(3.0)], &day(2.0)).to_string().contains("what it measured is older"));
    assert!(!gate(&[day(3.0), day(1.0)], &day(4.0)).to_string().contains("is older"));
}

#[test]
fn too_few_runs_say_how_many_are_needed() {
    let says = "n = 3: with fewer than 7 runs there is no interval (`runs = 7`, better more)";
    let (verdict, line, conclusion) = one(measured("gemm", 1.0, &[1.0; 9]), measured("gemm", 2.0, &[1.0; 3]));
    assert_eq!((verdict, line.as_str(), conclusion), (Verdict::Unresolved, says, Conclusion::Inconclusive));
    let (verdict, line, _) = one(measured("gemm", 1.0, &[1.0; 3]), measured("gemm", 2.0, &[1.0; 9]));
    assert_eq!((verdict, line), (Verdict::Unresolved, format!("before, {says}")));
    let (verdict, line, _) = one(measured("gemm", 1.0, &[0.0; 9]), measured("gemm", 2.0, &[1.0; 9]));
    assert!(
        verdict == Verdict::Unresolved && line.starts_with("a figure of `wall_s` is not above 0"),
        "{line}"
    );
}

#[test]
fn what_failed_is_no_figure() {
    use Status::{Cancelled, LostWorker, Pruned, Timeout, VerifyFailed};
    let good = |unix_s| measured("gemm", unix_s, &[1.0; 9]);
    for (before, new, verdict, says, conclusion) in [
        (
            good(1.0),
            failed(2.0, VerifyFailed),
            Verdict::Failed,
            "now verify_failed: because",
            Conclusion::Regression,
        ),
        (
            good(1.0),
            failed(2.0, LostWorker),
            Verdict::Unresolved,
            "it was not measured: lost_worker: because",
            Conclusion::Inconclusive,
        ),
        (
            failed(1.0, Timeout),
            good(2.0),
            Verdict::Fixed,
            "it was timeout: because",
            Conclusion::NoRegression,
        ),
        (
            failed(1.0, Timeout),
            failed(2.0, VerifyFailed),
            Verdict::Failing,
            "verify_failed: because; before timeout: because",
            Conclusion::NoRegression,
        ),
        (
            good(1.0),
            failed(2.0, Pruned),
            Verdict::Unresolved,
            "it was not measured: pruned: because",
            Conclusion::Inconclusive,
        ),
        (
            failed(1.0, Timeout),
            failed(2.0, Pruned),
            Verdict::Unresolved,
            "it was not measured: pruned: because",
            Conclusion::Inconclusive,
        ),
        (
            failed(1.0, Pruned),
            good(2.0),
            Verdict::New,
            "it was not measured before (it was pruned: because)",
            Conclusion::Inconclusive,
        ),
        (
            failed(1.0, Cancelled),
            failed(2.0, Timeout),
            Verdict::New,
            "it was not measured before (it was cancelled: because); it ended timeout: because",
            Conclusion::Inconclusive,
        ),
    ] {
        assert_eq!(one(before, new), (verdict, says.to_string(), conclusion));
    }
}

#[test]
fn a_program_that_does_not_compile_is_a_failure_of_its_measurement() {
    let good = || measured("gemm", 1.0, &[1.0; 9]);
    let skipped = |reason: &str| {
        let mut record = failed(2.0, Status::Skipped);
        record.reason = Some(reason.into());
        record
    };
    for (reason, verdict, conclusion) in [
        ("task 3, which it depends on, ended compile_failed: a.c:1", Verdict::Failed, Conclusion::Regression),
        (
            "task 3, which it depends on, ended skipped: task 2, which it depends on, ended nonzero_exit: 1",
            Verdict::Failed,
            Conclusion::Regression,
        ),
        (
            "task 3, which it depends on, ended lost_worker: gone",
            Verdict::Unresolved,
            Conclusion::Inconclusive,
        ),
    ] {
        let (told, line, concluded) = one(good(), skipped(reason));
        assert_eq!((told, concluded), (verdict, conclusion), "{line}");
    }
}

#[test]
fn the_latest_session_says_whether_it_failed_before_however_they_are_listed() {
    use Status::{Cancelled, Timeout};
    let good = |unix_s| campaign("good", vec![measured("gemm", unix_s, &[1.0; 9])]);
    let bad = |unix_s, status| campaign("bad", vec![failed(unix_s, status)]);
    for (before, verdict) in [
        ([good(1.0), bad(2.0, Timeout)], Verdict::Failing),
        ([bad(2.0, Timeout), good(1.0)], Verdict::Failing),
        ([good(2.0), bad(1.0, Timeout)], Verdict::Failed),
        ([good(1.0), bad(2.0, Cancelled)], Verdict::Failed),
    ] {
        let gate = gate(&before, &bad(9.0, Timeout));
        assert_eq!(gate.rows[0].verdict, verdict, "{gate}");
    }
}

#[test]
fn only_what_was_compared_is_counted_as_a_session() {
    let day = |unix_s: f64, runs: usize| {
        let record = |name| measured(name, unix_s, &vec![1.0; if name == "few" { runs } else { 9 }]);
        campaign(&format!("{unix_s}"), vec![record("few"), record("many")])
    };
    let gate = gate(&[day(1.0, 9), day(2.0, 3), day(3.0, 3)], &day(4.0, 9));
    let text = gate.to_string();
    assert!(
        text.contains("few: 1.000x, 95 % CI [1.000, 1.000]; 1.000 s, before 1.000 s; n = 9, before 9\n"),
        "{text}"
    );
    assert!(text.contains("before 9 in each of 3 sessions\n"), "{text}");
    assert!(text.contains("note: 1 row with only 1 session before it: "), "{text}");
}

#[test]
fn rows_that_are_not_in_both_are_told() {
    let (one, other) = (measured("one", 1.0, &[1.0; 9]), measured("other", 2.0, &[1.0; 9]));
    let gone = gate(
        &[campaign("a", vec![one.clone(), other.clone()])],
        &campaign("b", vec![measured("one", 3.0, &[1.0; 9])]),
    );
    assert_eq!((of(Verdict::Missing, &gone), gone.conclusion()), (1, Conclusion::Inconclusive));
    let more = gate(
        &[campaign("a", vec![one])],
        &campaign("b", vec![measured("one", 3.0, &[1.0; 9]), other.clone()]),
    );
    assert_eq!((of(Verdict::New, &more), more.conclusion()), (1, Conclusion::NoRegression));
    let nothing = gate(&[campaign("a", vec![])], &campaign("b", vec![other]));
    assert_eq!(nothing.conclusion(), Conclusion::Inconclusive);
    assert!(nothing.to_string().contains("nothing was compared"), "{nothing}");
}

#[test]
fn a_record_is_not_compared_with_itself_and_a_copied_journal_is_one_session() {
    let record = measured("gemm", 1.0, &[1.0; 9]);
    let (verdict, line, conclusion) = one(record.clone(), record.clone());
    assert_eq!((verdict, conclusion), (Verdict::Unresolved, Conclusion::Inconclusive));
    assert!(line.contains("--fresh"), "{line}");
    let copies = [campaign("a", vec![record.clone()]), campaign("copy", vec![record])];
    let gate = gate(&copies, &campaign("b", vec![measured("gemm", 2.0, &[1.0; 9])]));
    assert_eq!(gate.rows[0].before.len(), 1);
    assert!(gate.to_string().contains("note: 1 session before it: "), "{gate}");
}

#[test]
fn a_program_that_is_the_same_has_not_become_slower() {
    let runs = |median: f64| -> Vec<f64> { (0..10).map(|at| median + 0.001 * f64::from(at)).collect() };
    let with = |unix_s: f64, median: f64, program: Option<&[u8]>| {
        let mut record = measured("gemm", unix_s, &runs(median));
        record.facts.content_key = program.map(Hash::of);
        record
    };
    let why = "; its code and data are those of an earlier session, and it was measured in the same way: what differs is the \
               machine or its state, or what the program reads and loads";
    let (verdict, line, conclusion) = one(with(1.0, 1.0, Some(b"a")), with(2.0, 1.1, Some(b"a")));
    assert_eq!((verdict, conclusion), (Verdict::SameProgram, Conclusion::Inconclusive));
    assert!(line.starts_with("1.100x slower, ") && line.ends_with(why), "{line}");
    let (verdict, line, _) = one(with(1.0, 1.1, Some(b"a")), with(2.0, 1.0, Some(b"a")));
    assert!(verdict == Verdict::Faster && line.ends_with(why), "{line}");
    for (before, now) in [(Some(&b"a"[..]), Some(&b"b"[..])), (None, Some(b"a")), (None, None)] {
        let (verdict, line, _) = one(with(1.0, 1.0, before), with(2.0, 1.1, now));
        assert_eq!((verdict, line.contains("code and data")), (Verdict::Slower, false), "{line}");
    }
    // One of several earlier sessions is enough, and nothing of it is measured once more.
    let before = [campaign("a", vec![with(1.0, 1.0, Some(b"a"))]), campaign("b", vec![with(2.0, 1.0, None)])];
    let gate = gate(&before, &campaign("c", vec![with(3.0, 1.1, Some(b"a"))]));
    assert_eq!((gate.rows[0].verdict, gate.suspects()), (Verdict::SameProgram, vec![]));
    assert!(gate.annotations()[0].starts_with("::warning title=same_program gemm::"));
    assert!(gate.junit().contains("<skipped message=\"same_program: 1.100x slower"), "{}", gate.junit());
}

#[test]
fn of_several_recipes_of_one_row_the_last_counts() {
    let changed = vec![measured("gemm", 2.0, &[3.0; 9]), measured("gemm", 3.0, &[1.0; 9])];
    let gate = gate(&[campaign("a", vec![measured("gemm", 1.0, &[1.0; 9])])], &campaign("b", changed));
    assert_eq!((gate.rows.len(), of(Verdict::Same, &gate)), (1, 1), "{gate}");
}

#[test]
fn what_is_no_longer_the_same_quantity_or_host_is_not_compared() {
    let with = |unit: &str, unix_s: f64, host: &str| {
        let rate = if unix_s < 2.0 { 5.0 } else { 4.0 };
        Measurement { host: host.into(), ..rated("gemm", unix_s, rate, unit) }
    };
    let (verdict, line, conclusion) = one(with("GFLOP/s", 1.0, "a"), with("MFLOP/s", 2.0, "a"));
    assert_eq!((verdict, conclusion), (Verdict::Incomparable, Conclusion::Inconclusive));
    assert_eq!(line, "its unit is MFLOP/s (more is better), and was GFLOP/s (more is better)");
    let before = [campaign("a", vec![with("GFLOP/s", 1.0, "node1")])];
    let new = campaign("b", vec![with("GFLOP/s", 2.0, "node2")]);
    let told = gate(&before, &new).to_string();
    assert!(
        told.contains("note: other hosts than before, which may be all that changed: node2, before node1\n"),
        "{told}"
    );
    assert!(told.contains("1.250x worse"), "a rate is no time: {told}");
    let strict = Gate::of(&before, &new, Terms { same_host: true, ..TERMS });
    assert!(strict.to_string().contains("incomparable gemm: measured on node2, before on node1"), "{strict}");
}

#[test]
fn other_processors_are_told() {
    let of = |unix_s: f64, model: &str| {
        let env = Env { cpu_model: Some(model.into()), ..Env::default() }.named();
        let mut record = measured("gemm", unix_s, &[1.0; 9]);
        record.facts.env = env.id;
        Campaign { envs: env.id.map(|id| (id, env)).into_iter().collect(), ..campaign(model, vec![record]) }
    };
    let told = gate(&[of(1.0, "old")], &of(2.0, "new")).to_string();
    assert!(
        told.contains("note: other processors than before, which may be all that changed: new, before old\n"),
        "{told}"
    );
}

#[test]
fn a_suspect_counts_only_if_it_is_slower_once_more() {
    let runs = |median: f64| -> Vec<f64> { (0..10).map(|at| median + 0.001 * f64::from(at)).collect() };
    let judged = |again: Result<Measurement, String>| {
        let before = [campaign("a", vec![measured("gemm", 1.0, &runs(1.0))])];
        let mut gate = gate(&before, &campaign("b", vec![measured("gemm", 2.0, &runs(1.1))]));
        let [suspect] = &gate.suspects()[..] else { panic!("{gate}") };
        gate.confirm(&[(suspect.id.clone(), again)].into());
        (gate.rows[0].verdict, gate.conclusion(), gate.rows[0].line())
    };
    let (verdict, conclusion, line) = judged(Ok(measured("gemm", 3.0, &runs(1.09))));
    assert_eq!((verdict, conclusion), (Verdict::Slower, Conclusion::Regression));
    assert!(
        line.ends_with("; measured once more 1.090x slower, 95 % CI [1.086, 1.093], 1.095 s, n = 10"),
        "{line}"
    );
    let (verdict, conclusion, line) = judged(Ok(measured("gemm", 3.0, &runs(1.0))));
    assert_eq!((verdict, conclusion), (Verdict::Unconfirmed, Conclusion::NoRegression));
    assert!(line.ends_with("; measured once more it is not slower"), "{line}");
    for (again, says) in [
        (Err("no pool".to_string()), "it was not measured once more: no pool"),
        (Ok(failed(3.0, Status::Timeout)), "it was not measured once more: it ended timeout: because"),
        (Ok(measured("gemm", 3.0, &[1.1; 3])), "it was not measured once more: it has 3 runs only"),
    ] {
        let (verdict, conclusion, line) = judged(again);
        assert_eq!((verdict, conclusion), (Verdict::Slower, Conclusion::Regression));
        assert!(line.ends_with(says), "{line}");
    }
    let wide: Vec<f64> = (0..10).map(|at| 0.78 + 0.05 * f64::from(at)).collect();
    let (verdict, conclusion, line) = judged(Ok(measured("gemm", 3.0, &wide)));
    assert_eq!((verdict, conclusion), (Verdict::Unresolved, Conclusion::Inconclusive), "{line}");
}

/// An edit took one of two builds of a name away, under which the bad figure was measured; and the other was recorded first.
#[test]
fn what_is_outdated_is_not_judged() {
    use crate::model::{Hash, RecipeParts, Session};
    use crate::report::{runs::Runs, versions::Outdated};
    let of = |command, unix_s, wall_s: &[f64]| {
        let mut record = measured("gemm", unix_s, wall_s);
        record.facts.parts = Some(RecipeParts { command, ..RecipeParts::default() });
        Record::Measurement(Box::new(record))
    };
    let session = |script: &str| {
        let line = serde_json::json!({
            "version": "", "protocol": 1, "script_hash": Hash::of(script.as_bytes()), "started_unix_s": 1.0, "pid": 1, "host": "n",
        });
        Record::Session(serde_json::from_value::<Session>(line).unwrap())
    };
    let records =
        [session("v1"), of(1, 1.0, &[1.0; 20]), session("v2"), of(2, 2.0, &[2.0; 20]), session("v1")];
    let new = Campaign {
        ended: records.iter().filter(|record| record.facts().is_some()).cloned().collect(),
        versions: Outdated::of(&records, &Runs::of(&records)),
        ..campaign("b", vec![])
    };
    let before = [campaign("a", vec![measured("gemm", 0.0, &[1.0; 20])])];
    assert_eq!(of_verdict(&before, &new), [Verdict::Same]);
    let kept = Campaign { versions: Outdated::default(), ..new };
    assert_eq!(of_verdict(&before, &kept), [Verdict::Slower]);
}

fn of_verdict(before: &[Campaign], new: &Campaign) -> Vec<Verdict> {
    gate(before, new).rows.iter().map(|row| row.verdict).collect()
}
