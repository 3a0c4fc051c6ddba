//! What comparisons of a program with itself say of a node. Pure: figures in, words out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::human::{bytes, count, duration};
use crate::model::{Better, Comparison as Ratio};
use crate::stats::{self, Chances, Found};

/// Times people ask about, s.
const WINDOWS: [f64; 2] = [10.0, 30.0];
/// What counts as no difference in the comparisons, as scripts have it unless they say otherwise.
const MIN_EFFECT: f64 = 0.01;
/// An effect below which one would like to see.
const WISHED: f64 = 0.02;
/// Starting a process takes no longer on a node that is well.
const WELL_FLOOR_S: f64 = 0.005;

/// What the campaign found.
#[derive(Deserialize)]
pub(super) struct Figures {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    host: String,
    cores: u32,
    comparisons: Vec<Comparison>,
    floor_s: Option<f64>,
    maxrss_floor_bytes: Option<u64>,
    #[serde(default)]
    surroundings: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Comparison {
    verdict: String,
    elapsed_s: f64,
    base: Vec<f64>,
    same: Vec<f64>,
}

/// What follows.
#[derive(Serialize)]
pub(super) struct Report {
    version: &'static str,
    seconds: f64,
    nodes: Vec<Judged>,
}

#[derive(Serialize)]
struct Judged {
    host: String,
    cores: u32,
    /// By time, the shorter first.
    resolves: Vec<Resolved>,
    /// How often the program was compared with itself, and how often it was said to be faster or slower.
    comparisons: usize,
    false_positives: usize,
    floor_s: Option<f64>,
    maxrss_floor_bytes: Option<u64>,
    /// What to mend, for people.
    advice: Vec<String>,
}

#[derive(Serialize)]
struct Resolved {
    seconds: f64,
    /// The smallest relative effect that shows in this time, in four of five cases; none with too few rounds.
    effect: Option<f64>,
}

impl Report {
    pub(super) fn of(found: Figures, seconds: f64) -> Self {
        let nodes = found.nodes.into_iter().map(|node| judge(node, seconds)).collect();
        Self { version: env!("CARGO_PKG_VERSION"), seconds, nodes }
    }
}

fn judge(node: Node, seconds: f64) -> Judged {
    let mut windows: Vec<f64> = WINDOWS.into_iter().filter(|window| *window < seconds).collect();
    windows.push(seconds);
    let resolves: Vec<Resolved> = windows
        .into_iter()
        .map(|seconds| Resolved { seconds, effect: effect(&node.comparisons, seconds) })
        .collect();
    let is_wrong = |comparison: &&Comparison| ["faster", "slower"].contains(&comparison.verdict.as_str());
    let false_positives = node.comparisons.iter().filter(is_wrong).count();
    let mut advice = advice(&node);
    if false_positives * 20 > node.comparisons.len().max(20) {
        advice.push("it took noise for a difference more often than once in 20: what else runs here?".into());
    }
    if let Some(last) = resolves.last().and_then(|last| last.effect).filter(|effect| *effect > WISHED) {
        advice.push(format!("smaller effects than {:.1} % need more time, or a quieter node", last * 100.0));
    }
    Judged {
        host: node.host,
        cores: node.cores,
        resolves,
        comparisons: node.comparisons.len(),
        false_positives,
        floor_s: node.floor_s,
        maxrss_floor_bytes: node.maxrss_floor_bytes,
        advice,
    }
}

/// What is as large as half of an interval shows in half of the cases, what is larger by so much in four of five (simulated).
const IN_FOUR_OF_FIVE: f64 = 1.3;

/// The smallest effect whose interval does not hold 1 in four of five cases: half the width of that of the program against itself,
/// in the median of all stretches of so many seconds, and a bit more.
fn effect(comparisons: &[Comparison], seconds: f64) -> Option<f64> {
    let mut effects = Vec::new();
    let (mut base, mut same, mut elapsed) = (Vec::new(), Vec::new(), 0.0);
    for (at, comparison) in comparisons.iter().enumerate() {
        base.extend(&comparison.base);
        same.extend(&comparison.same);
        elapsed += comparison.elapsed_s;
        // What is left at the end is a stretch only if there is no whole one.
        let is_last = at + 1 == comparisons.len() && effects.is_empty();
        if elapsed >= seconds || is_last {
            let rounds = base.len().min(same.len());
            let chances = Chances::of(2, rounds);
            let found = stats::compare(&base[..rounds], &same[..rounds], Better::Less, chances, MIN_EFFECT);
            if let Found::Ratio(Ratio { ci: Some(ci), .. }) = found {
                effects.push(((ci.hi / ci.lo).sqrt() - 1.0) * IN_FOUR_OF_FIVE);
            }
            (base, same, elapsed) = (Vec::new(), Vec::new(), 0.0);
        }
    }
    let summary = stats::summary(&effects);
    (!effects.is_empty()).then_some(summary.median)
}

/// What of its surroundings a node's owner can change.
fn advice(node: &Node) -> Vec<String> {
    let is = |name: &str, value: &str| node.surroundings.get(name).is_some_and(|text| text.trim() == value);
    let mut advice = Vec::new();
    if let Some(governor) = node.surroundings.get("governor").filter(|name| name.trim() != "performance") {
        let governor = governor.trim();
        advice.push(format!(
            "the clock follows the load (governor `{governor}`): cpupower frequency-set -g performance"
        ));
    }
    if is("boost", "1") || is("no_turbo", "0") {
        advice.push("turbo is on: the clock depends on neighbours and temperature; switch it off to compare small effects".into());
    }
    if is("smt", "1") {
        advice.push("two threads share a core (SMT): a neighbour there slows a program down; leave every second one free".into());
    }
    if is("numa_balancing", "1") {
        advice.push("the kernel moves pages between memories: sysctl kernel.numa_balancing=0".into());
    }
    let load = node.surroundings.get("loadavg").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    if let Some(load) = load.filter(|load| *load > 0.5) {
        advice.push(format!("its load was {load:.1} before the test: something else runs there"));
    }
    if let Some(floor) = node.floor_s.filter(|floor| *floor > WELL_FLOOR_S) {
        advice.push(format!(
            "starting a process takes {}: measure nothing shorter than 20 times that",
            duration(floor)
        ));
    }
    advice
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            writeln!(f, "{} ({})", node.host, count(node.cores as usize, "core"))?;
            for Resolved { seconds, effect } in &node.resolves {
                let seconds = duration(*seconds);
                match effect {
                    Some(effect) => writeln!(f, "  in {seconds} effects from {:.2} % show", effect * 100.0)?,
                    None => writeln!(f, "  in {seconds} nothing shows: too few rounds")?,
                }
            }
            writeln!(
                f,
                "  false positives: {} of {}",
                node.false_positives,
                count(node.comparisons, "comparison")
            )?;
            if let Some(floor) = node.floor_s {
                let memory =
                    node.maxrss_floor_bytes.map(|floor| format!(", {}", bytes(floor))).unwrap_or_default();
                writeln!(f, "  floor: {}{memory}", duration(floor))?;
            }
            for line in &node.advice {
                writeln!(f, "  * {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of a second each, in which the ratio goes round `spread`.
    fn comparison(verdict: &str, rounds: usize, spread: f64) -> Comparison {
        let same = (0..rounds).map(|round| 1.0 + spread * ((round % 5) as f64 - 2.0) / 2.0).collect();
        Comparison { verdict: verdict.into(), elapsed_s: rounds as f64, base: vec![1.0; rounds], same }
    }

    fn node(comparisons: Vec<Comparison>) -> Node {
        Node {
            host: "node1".into(),
            cores: 2,
            comparisons,
            floor_s: Some(0.0007),
            maxrss_floor_bytes: Some(3 << 20),
            surroundings: BTreeMap::new(),
        }
    }

    #[test]
    fn more_time_resolves_less_and_noise_resolves_more() {
        let of = |spread, seconds| effect(&vec![comparison("equivalent", 10, spread); 6], seconds).unwrap();
        assert!(of(0.02, 10.0) > of(0.02, 60.0) && of(0.02, 60.0) > 0.0);
        assert!(of(0.04, 10.0) > of(0.02, 10.0));
        assert!((of(0.02, 10.0) - 0.02).abs() < 0.011);
        assert_eq!(effect(&[comparison("unresolved", 3, 0.01)], 10.0), None);
        assert!(effect(&[comparison("equivalent", 9, 0.01)], 10.0).is_some(), "all there is");
    }

    #[test]
    fn a_node_that_is_well_needs_no_advice() {
        let report =
            Report::of(Figures { nodes: vec![node(vec![comparison("equivalent", 15, 0.004); 4])] }, 30.0);
        let text = report.to_string();
        assert!(text.starts_with("node1 (2 cores)\n  in 10 s effects from 0."), "{text}");
        assert!(text.ends_with("  false positives: 0 of 4 comparisons\n  floor: 700 µs, 3 MiB\n"), "{text}");
    }

    #[test]
    fn what_can_be_mended_is_said() {
        let mut noisy = node(vec![comparison("slower", 15, 0.2), comparison("faster", 15, 0.2)]);
        noisy.floor_s = Some(0.02);
        let around = [
            ("governor", "powersave\n"),
            ("no_turbo", "0"),
            ("smt", "1"),
            ("loadavg", "3.25 1 1 2/3 4"),
            ("numa_balancing", "1"),
        ];
        noisy.surroundings = around.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let judged = judge(noisy, 10.0);
        assert_eq!((judged.comparisons, judged.false_positives, judged.resolves.len()), (2, 2, 1));
        for words in [
            "governor `powersave`",
            "turbo",
            "SMT",
            "numa_balancing",
            "load was 3.2",
            "20 ms",
            "once in 20",
            "need more time",
        ] {
            assert!(judged.advice.iter().any(|line| line.contains(words)), "{words}: {:#?}", judged.advice);
        }
        assert_eq!(judged.advice.len(), 8);
    }
}
