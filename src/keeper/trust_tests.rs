//! What may be believed: whole measurements and comparisons of programs that never ran, whose true figures are known.
//!
//! Everything is as in a campaign, warm-up, stop rule, intervals, flags and verdicts, but for processes and clock. The
//! runs are drawn from a seed: what passes once passes always. What they print `make trust` puts into `docs/trust.md`.

use super::compare::{Compare, Side};
use super::fake;
use super::floor::Floor;
use super::job::{Learned, Step};
use super::measure::Measure;
use super::run::{Ended, Finished};
use super::site::Command;
use super::subject::Subject;
use crate::model::{CompareResult, Detail, MeasureResult, MeasureSpec, StopReason, Verdict};
use crate::stats::{self, Chances, Found, Random};

/// A run takes about so long, s.
const TYPICAL_S: f64 = 0.1;

fn subject(name: &str) -> Subject {
    fake::subject(name, MeasureSpec::default(), &[])
}

/// Found once, as in a keeper.
fn learned() -> Learned {
    let learned = Learned::default();
    learned.floors.insert(vec![c"true".to_owned()], Floor { wall_s: 1e-3, maxrss_bytes: 1 << 20 });
    learned
}

/// Drives a job to its end; `wall_s` says what the next run of a program takes.
fn drive(
    mut next: impl FnMut(Option<Finished>, f64) -> Step,
    mut wall_s: impl FnMut(&Command) -> f64,
) -> Detail {
    let (mut now_s, mut last) = (0.0, None);
    loop {
        match next(last.take(), now_s) {
            Step::Done(outcome) => return outcome.detail,
            Step::Inspect(_) => panic!("no function looks at these runs"),
            Step::Run(command, _) | Step::Count(command, ..) | Step::RunLast(command, _) => {
                let wall_s = wall_s(&command);
                let ended = Ended { t_start_s: now_s, ..fake::took(wall_s) };
                now_s += wall_s;
                last = Some(Ok(ended));
            }
        }
    }
}

/// A measurement of a program whose i-th run takes `TYPICAL_S` times `draw(i)`.
fn measured(learned: &Learned, mut draw: impl FnMut(usize) -> f64) -> MeasureResult {
    let mut measure = Measure::of(subject("prog"));
    let mut runs = 0..;
    let next = |last, now_s| measure.next(last, now_s, learned);
    match drive(next, |_| TYPICAL_S * draw(runs.next().unwrap())) {
        Detail::Measure(result) => *result,
        other => panic!("{other:?}"),
    }
}

struct Shown {
    /// Of the intervals, those that hold the true median, %.
    covered: f64,
    /// Of the measurements, those with this flag, %.
    flagged: f64,
}

/// So many measurements of one kind; prints a line of them.
fn show(name: &str, flag: &str, median: Option<f64>, draw: impl Fn(&mut Random, usize) -> f64) -> Shown {
    const TRIALS: usize = 2000;
    let learned = learned();
    let (mut covered, mut flagged, mut precise, mut runs) = (0, 0, 0, Vec::new());
    for trial in 0..TRIALS {
        let mut random = Random(trial as u64);
        let result = measured(&learned, |i| draw(&mut random, i));
        let stats = result.stats.unwrap();
        let holds = |ci: crate::model::Interval, median: f64| ci.lo <= median && median <= ci.hi;
        covered += usize::from(median.is_some_and(|m| holds(stats.ci.unwrap(), TYPICAL_S * m)));
        flagged += usize::from(result.flags.iter().any(|found| found == flag));
        precise += usize::from(result.stop_reason == StopReason::Precise);
        runs.push(stats.n);
    }
    runs.sort_unstable();
    let percent = |count: usize| 100.0 * count as f64 / TRIALS as f64;
    let told = median.map_or("     -".into(), |_| format!("{:5.1} %", percent(covered)));
    println!(
        "trust coverage: {name:<23} {told:>8} {:>8.1} % {:>7} {:>7.1} % {flag}",
        percent(precise),
        runs[TRIALS / 2],
        percent(flagged)
    );
    Shown { covered: percent(covered), flagged: percent(flagged) }
}

fn log_normal(cv: f64) -> impl Fn(&mut Random, usize) -> f64 {
    move |random, _| (cv * random.gauss()).exp()
}

/// Four fifths tight, one fifth with a tail.
fn bursty(random: &mut Random) -> f64 {
    if random.uniform() < 0.8 { 1.0 + 0.01 * random.gauss() } else { 1.0 - 0.2 * random.uniform().ln() }
}

#[test]
fn intervals_of_quiet_runs_hold_the_median() {
    let shown = show("CV 1 %", "drift", Some(1.0), log_normal(0.01));
    assert!(shown.covered >= 94.0 && shown.covered < 100.0 && shown.flagged <= 6.5);
}

#[test]
fn intervals_of_noisy_runs_hold_the_median() {
    let shown = show("CV 5 %", "drift", Some(1.0), log_normal(0.05));
    assert!(shown.covered >= 94.0 && shown.covered < 100.0 && shown.flagged <= 6.5);
}

#[test]
fn intervals_of_very_noisy_runs_hold_the_median() {
    let shown = show("CV 10 %", "drift", Some(1.0), log_normal(0.10));
    assert!(shown.covered >= 94.0 && shown.covered < 100.0 && shown.flagged <= 6.5);
}

#[test]
fn intervals_of_bursty_runs_hold_the_median() {
    let mut random = Random(9);
    let mut many: Vec<f64> = (0..400_001).map(|_| bursty(&mut random)).collect();
    many.sort_by(f64::total_cmp);
    let shown = show("four fifths quiet", "drift", Some(many[200_000]), |random, _| bursty(random));
    assert!(shown.covered >= 94.0 && shown.covered < 100.0 && shown.flagged <= 6.5);
}

#[test]
fn runs_that_drift_are_flagged() {
    let draw = |random: &mut Random, i: usize| (0.01 * random.gauss()).exp() * (1.0 + 0.005 * i as f64);
    let shown = show("CV 1 %, +0.5 % a run", "drift", None, draw);
    assert!(shown.flagged >= 95.0, "{}", shown.flagged);
}

#[test]
fn runs_of_two_kinds_are_flagged() {
    let draw = |random: &mut Random, _: usize| {
        let kind = if random.uniform() < 0.6 { 1.0 } else { 1.2 };
        kind * (0.01 * random.gauss()).exp()
    };
    let shown = show("40 % slower by a fifth", "bimodal", None, draw);
    assert!(shown.flagged >= 90.0, "{}", shown.flagged);
    let shown = show("CV 5 %", "bimodal", Some(1.0), log_normal(0.05));
    assert!(shown.flagged <= 5.0, "{}", shown.flagged);
}

/// A comparison of two programs, the second of which takes `ratio` times as long; run number i takes `draw(i)`.
fn compared(learned: &Learned, seed: u64, ratio: f64, mut draw: impl FnMut(usize) -> f64) -> CompareResult {
    let sides = ["base", "other"].map(|name| Side::of(name, subject(name)));
    let mut compare = Compare::of(sides.into(), 60, None, 0.01, seed).unwrap();
    let mut runs = 0..;
    let next = |last, now_s| compare.next(last, now_s, learned);
    let wall_s = |command: &Command| {
        let factor = if command.argv[0].as_c_str() == c"other" { ratio } else { 1.0 };
        TYPICAL_S * factor * draw(runs.next().unwrap())
    };
    match drive(next, wall_s) {
        Detail::Compare(result) => *result,
        other => panic!("{other:?}"),
    }
}

struct Verdicts {
    faster: f64,
    slower: f64,
    /// Of those with an interval, those whose interval holds the true ratio, %.
    covered: f64,
}

fn show_compared(name: &str, ratio: f64, draw: impl Fn(&mut Random, usize) -> f64) -> Verdicts {
    const TRIALS: usize = 400;
    let learned = learned();
    let (mut count, mut covered, mut rounds) = ([0; 5], 0, Vec::new());
    for trial in 0..TRIALS {
        let mut random = Random(1000 + trial as u64);
        let result = compared(&learned, trial as u64, ratio, |i| draw(&mut random, i));
        let found = result.variants[1].comparison.unwrap();
        let at = match found.verdict {
            Verdict::Faster => 0,
            Verdict::Slower => 1,
            Verdict::Equivalent => 2,
            Verdict::DifferentButSmall => 3,
            Verdict::Unresolved => 4,
        };
        count[at] += 1;
        covered += usize::from(found.ci.is_some_and(|ci| ci.lo <= 1.0 / ratio && 1.0 / ratio <= ci.hi));
        rounds.push(result.rounds);
    }
    rounds.sort_unstable();
    let percent = |count: usize| 100.0 * count as f64 / TRIALS as f64;
    let [faster, slower, equivalent, small, unresolved] = count.map(percent);
    println!(
        "trust verdicts: {name:<23} {faster:>5.1} %  {slower:>5.1} %  {equivalent:>7.1} %  {small:>5.1} %  {unresolved:>7.1} %  {:>6.1} %  {:>5}",
        percent(covered),
        rounds[TRIALS / 2]
    );
    Verdicts { faster, slower, covered: percent(covered) }
}

#[test]
fn equal_programs_are_rarely_told_apart() {
    for cv in [0.005, 0.02, 0.05] {
        let found = show_compared(&format!("the same, CV {} %", 100.0 * cv), 1.0, log_normal(cv));
        assert!(found.faster + found.slower <= 5.0 && found.covered >= 94.0);
    }
    let drifting = |random: &mut Random, i: usize| (0.02 * random.gauss()).exp() * (1.0 + 0.005 * i as f64);
    let found = show_compared("the same, +0.5 % a run", 1.0, drifting);
    assert!(found.faster + found.slower <= 5.0 && found.covered >= 94.0);
}

#[test]
fn three_per_cent_are_found() {
    let found = show_compared("3 % faster, CV 2 %", 0.97, log_normal(0.02));
    assert!(found.faster >= 90.0 && found.slower == 0.0);
    let found = show_compared("3 % slower, CV 2 %", 1.03, log_normal(0.02));
    assert!(found.slower >= 90.0 && found.faster == 0.0);
}

/// Three nodes, each with rounds of its own; what is said of the second program on all of them.
struct Across {
    told: f64,
    faster: f64,
    /// Of the intervals, those that hold the true ratio, %.
    covered: f64,
    differs: f64,
    /// The comparisons in which exactly the nodes that are slow are called so, %.
    slow_found: f64,
}

/// So many comparisons on nodes that take `slow` times as long, the second program `ratios` times as long on each.
fn show_blocks(name: &str, ratios: [f64; 3], slow: [f64; 3], cv: f64) -> Across {
    const TRIALS: usize = 400;
    let learned = learned();
    let (mut faster, mut slower, mut covered, mut differs, mut slow_found) = (0, 0, 0, 0, 0);
    let is_slow: Vec<usize> = (0..3).filter(|node| slow[*node] > 1.0).collect();
    for trial in 0..TRIALS {
        let nodes: Vec<CompareResult> = (0..3)
            .map(|node| {
                let seed = (3 * trial + node) as u64;
                let mut random = Random(5000 + seed);
                compared(&learned, seed, ratios[node], |_| slow[node] * (cv * random.gauss()).exp())
            })
            .collect();
        let found = across(&nodes);
        let Found::Ratio(comparison) = found.found else { panic!("{found:?}") };
        faster += usize::from(comparison.verdict == Verdict::Faster);
        slower += usize::from(comparison.verdict == Verdict::Slower);
        // Where the effect is not the same everywhere, the interval is to hold that of each node.
        let holds = |ci: crate::model::Interval| {
            ratios.iter().all(|ratio| ci.lo <= 1.0 / ratio && 1.0 / ratio <= ci.hi)
        };
        covered += usize::from(comparison.ci.is_some_and(holds));
        differs += usize::from(found.differs);
        slow_found += usize::from(slow_nodes(&nodes) == is_slow);
    }
    let percent = |count: usize| 100.0 * count as f64 / TRIALS as f64;
    println!(
        "trust blocks: {name:<38} {:>5.1} %  {:>5.1} %  {:>6.1} %  {:>6.1} %  {:>6.1} %",
        percent(faster),
        percent(slower),
        percent(covered),
        percent(differs),
        percent(slow_found)
    );
    Across {
        told: percent(faster + slower),
        faster: percent(faster),
        covered: percent(covered),
        differs: percent(differs),
        slow_found: percent(slow_found),
    }
}

/// The figures of a side.
fn figures(node: &CompareResult, side: usize) -> Vec<f64> {
    let samples = node.variants[side].result.samples.iter();
    let counted = samples.filter(|sample| sample.phase == crate::model::Phase::Sample);
    counted.map(|sample| sample.usage.wall_s).collect()
}

fn across(nodes: &[CompareResult]) -> stats::Across {
    let rounds: Vec<_> = nodes.iter().map(|node| (figures(node, 0), figures(node, 1))).collect();
    let rounds: Vec<_> = rounds.iter().map(|(base, other)| (&base[..], &other[..])).collect();
    stats::across(&rounds, crate::model::Better::Less, Chances::of(2, 60), 0.01)
}

fn slow_nodes(nodes: &[CompareResult]) -> Vec<usize> {
    let base = |node: &CompareResult| {
        let stats = node.variants[0].result.stats.clone().unwrap();
        let ci = stats.ci.unwrap();
        [stats.median, ci.lo, ci.hi]
    };
    stats::slow(&nodes.iter().map(base).collect::<Vec<_>>(), crate::model::Better::Less)
}

const ALIKE: [f64; 3] = [1.0; 3];
const ONE_SLOW: [f64; 3] = [1.2, 1.0, 1.0];

#[test]
fn equal_programs_are_rarely_told_apart_on_several_nodes() {
    for (name, slow, cv) in [
        ("the same, CV 0.5 %", ALIKE, 0.005),
        ("the same, CV 2 %", ALIKE, 0.02),
        ("the same, CV 5 %", ALIKE, 0.05),
        ("the same, CV 2 %, a node 20 % slower", ONE_SLOW, 0.02),
    ] {
        let shown = show_blocks(name, ALIKE, slow, cv);
        assert!(shown.told <= 5.0 && shown.covered >= 95.0 && shown.differs <= 5.0);
        assert!(shown.slow_found >= 95.0, "{}", shown.slow_found);
    }
}

#[test]
fn three_per_cent_are_found_on_several_nodes() {
    let shown = show_blocks("3 % faster, CV 2 %", [0.97; 3], ALIKE, 0.02);
    assert!(shown.faster >= 90.0 && shown.covered >= 95.0);
    let shown = show_blocks("3 % faster, CV 2 %, a node 20 % slower", [0.97; 3], ONE_SLOW, 0.02);
    assert!(shown.faster >= 90.0 && shown.covered >= 95.0 && shown.slow_found >= 95.0);
    // What holds on two nodes only is not said of all.
    let shown = show_blocks("10 % faster on two of three, CV 2 %", [1.0, 0.9, 0.9], ALIKE, 0.02);
    assert!(shown.faster <= 5.0 && shown.differs >= 95.0 && shown.covered >= 95.0);
}
