//! One comparison on several nodes: what holds of all of them, where they differ, and which of them are slow.
//!
//! A node is a block: ratios are taken within a round of one node, so how fast the node is cancels. As many rounds of
//! each count, so that none speaks louder. Where the effect is the same on all, a round is above it as often as below,
//! however noisy each node is, and the interval of the pooled median is exact. Where it differs, or may well (Kruskal &
//! Wallis, \[KW52\]), there is no such one effect, and only what holds on every node is said of them all. Knows figures and rounds,
//! no hosts and no clock.

use crate::model::{Better, Comparison, Interval};

use super::compare::{Chances, Found, compare, verdict};
use super::summary::sorted;

/// A node's base is slow if it is worse than that of the middle node by more than this part.
const SLOW: f64 = 0.05;

/// With a smaller chance that ratios of one effect differ so from node to node nobody relies on there being only one.
const DOUBT: f64 = 0.1;

/// What several nodes say of one variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Across {
    /// Of all nodes together.
    pub found: Found,
    /// The intervals of two nodes have nothing in common: `found` is what holds on each of them.
    pub differs: bool,
}

/// What the rounds of each node, `(base, variant)`, say of their ratio.
///
/// Each node stops by itself, so that its number of rounds depends on them. Of all the first so many count as the
/// shortest has: a number out of as many as there are looks, which `chances` pays for, as on one node. "Better on each"
/// errs only if the interval of a node where it is not errs: nodes need no chances of their own.
pub fn across(nodes: &[(&[f64], &[f64])], better: Better, chances: Chances, min_effect: f64) -> Across {
    let rounds = nodes.iter().map(|(base, variant)| base.len().min(variant.len())).min().unwrap_or(0);
    let base: Vec<f64> = nodes.iter().flat_map(|(base, _)| &base[..rounds]).copied().collect();
    let variant: Vec<f64> = nodes.iter().flat_map(|(_, variant)| &variant[..rounds]).copied().collect();
    let together = compare(&base, &variant, better, chances, min_effect);
    let Found::Ratio(pooled) = together else { return Across { found: together, differs: false } };
    let own: Option<Vec<Interval>> = nodes
        .iter()
        .map(|(base, variant)| match compare(base, variant, better, chances, min_effect) {
            Found::Ratio(Comparison { ci, .. }) => ci,
            Found::NoRounds | Found::NoRatio => None,
        })
        .collect();
    let Some(own) = own else { return Across { found: together, differs: false } };
    let differs = are_apart(&own);
    match hull(&own).filter(|_| differs || like_one_effect(nodes) < DOUBT) {
        Some(ci) => {
            let pooled = Comparison { verdict: verdict(&ci, min_effect), ci: Some(ci), ..pooled };
            Across { found: Found::Ratio(pooled), differs }
        }
        None => Across { found: together, differs },
    }
}

fn least(own: &[Interval], of: fn(&Interval) -> f64) -> f64 {
    own.iter().map(of).fold(f64::INFINITY, f64::min)
}

fn most(own: &[Interval], of: fn(&Interval) -> f64) -> f64 {
    own.iter().map(of).fold(f64::NEG_INFINITY, f64::max)
}

/// Have two of them nothing in common?
fn are_apart(own: &[Interval]) -> bool {
    most(own, |ci| ci.lo) > least(own, |ci| ci.hi)
}

/// What holds all of these intervals.
fn hull(own: &[Interval]) -> Option<Interval> {
    let first = own.first()?;
    Some(Interval {
        lo: least(own, |ci| ci.lo),
        hi: most(own, |ci| ci.hi),
        level: first.level,
        exact_level: least(own, |ci| ci.exact_level),
    })
}

/// Kruskal & Wallis' chance that the ratios of nodes with one effect differ so, or more, from node to node. Nodes that are done stop
/// early: it is a warning, and no level that anything is promised by.
fn like_one_effect(nodes: &[(&[f64], &[f64])]) -> f64 {
    let ratios = |(base, variant): &(&[f64], &[f64])| -> Vec<f64> {
        base.iter().zip(*variant).map(|(base, variant)| base / variant).collect()
    };
    let groups: Vec<Vec<f64>> = nodes.iter().map(ratios).collect();
    let all = sorted(&groups.concat());
    let n = all.len() as f64;
    // The rank of one among equals is the middle of theirs.
    let rank = |ratio: &f64| {
        let (below, up_to) = (all.partition_point(|x| x < ratio), all.partition_point(|x| x <= ratio));
        (below + up_to + 1) as f64 / 2.0
    };
    let apart = groups.iter().map(|group| {
        let mean = group.iter().map(rank).sum::<f64>() / group.len() as f64;
        group.len() as f64 * (mean - (n + 1.0) / 2.0).powi(2)
    });
    let equals = all.chunk_by(|a, b| a == b).map(|equal| equal.len() as f64);
    let ties: f64 = equals.map(|t| t.powi(3) - t).sum();
    let spread = n * (n + 1.0) / 12.0 - ties / (12.0 * (n - 1.0));
    if spread <= 0.0 || groups.len() < 2 {
        return 1.0; // all ratios are the same, or of one node
    }
    chi_square(apart.sum::<f64>() / spread, groups.len() - 1)
}

/// The chance that a sum of the squares of so many normal variates is at least `x` (\[AS64\] 26.4.4 and 26.4.5; of many its cube root is
/// as good as normal, 26.4.14).
fn chi_square(x: f64, freedom: usize) -> f64 {
    const MANY: usize = 200;
    if freedom > MANY {
        let part = 2.0 / (9.0 * freedom as f64);
        let z = ((x / freedom as f64).cbrt() - 1.0 + part) / part.sqrt();
        return libm::erfc(z / std::f64::consts::SQRT_2) / 2.0;
    }
    let half = x / 2.0;
    let (mut chance, mut term, first) = match freedom % 2 {
        0 => (0.0, (-half).exp(), 1),
        _ => (libm::erfc(half.sqrt()), (-half).exp() * (half / std::f64::consts::PI).sqrt() * 2.0, 2),
    };
    for at in 0..freedom / 2 {
        chance += term;
        term *= x / (2 * at + 1 + first) as f64;
    }
    chance
}

/// Which nodes are slow, by the median of the base on each and the ends of its interval. The middle node is the better one of two:
/// a node is slow if it is worse than that by more than 5 %, and its whole interval is beyond that of the middle node.
pub fn slow(bases: &[[f64; 3]], better: Better) -> Vec<usize> {
    let cost = |figure: f64| match better {
        Better::Less => figure.ln(),
        Better::More => -figure.ln(),
    };
    let ends = |[_, lo, hi]: &[f64; 3]| (cost(*lo).min(cost(*hi)), cost(*lo).max(cost(*hi)));
    let mut by_cost: Vec<&[f64; 3]> = bases.iter().collect();
    by_cost.sort_by(|a, b| cost(a[0]).total_cmp(&cost(b[0])));
    let Some(middle) = by_cost.get(by_cost.len().saturating_sub(1) / 2) else { return Vec::new() };
    let is_slow =
        |base: &[f64; 3]| cost(base[0]) > cost(middle[0]) + SLOW.ln_1p() && ends(base).0 > ends(middle).1;
    (0..bases.len()).filter(|at| is_slow(&bases[*at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;
    use crate::stats::{Random, look_due, summary};

    const MAX_ROUNDS: usize = 60;
    const MIN_EFFECT: f64 = 0.01;

    type Rounds = (Vec<f64>, Vec<f64>);

    /// The rounds of a node of this speed until its own verdict is out, as `compare` runs them.
    fn node(random: &mut Random, speed: f64, gain: f64, cv: f64) -> Rounds {
        let chances = Chances::of(2, MAX_ROUNDS);
        let (mut base, mut variant) = (Vec::new(), Vec::new());
        loop {
            base.push((cv * random.gauss()).exp() / speed);
            variant.push((cv * random.gauss()).exp() / speed / (1.0 + gain));
            let n = base.len();
            if n == MAX_ROUNDS {
                return (base, variant);
            }
            if look_due(n, 2) {
                let found = compare(&base, &variant, Better::Less, chances, MIN_EFFECT);
                if matches!(found, Found::Ratio(found) if found.verdict != Verdict::Unresolved) {
                    return (base, variant);
                }
            }
        }
    }

    fn of(nodes: &[Rounds]) -> (Comparison, bool) {
        let nodes: Vec<_> = nodes.iter().map(|(base, variant)| (&base[..], &variant[..])).collect();
        let found = across(&nodes, Better::Less, Chances::of(2, MAX_ROUNDS), MIN_EFFECT);
        let Found::Ratio(comparison) = found.found else { panic!("{found:?}") };
        (comparison, found.differs)
    }

    fn slow_of(nodes: &[Rounds]) -> Vec<usize> {
        let base = |(base, _): &Rounds| {
            let stats = summary(base);
            let ci = stats.ci.unwrap();
            [stats.median, ci.lo, ci.hi]
        };
        slow(&nodes.iter().map(base).collect::<Vec<_>>(), Better::Less)
    }

    #[derive(Default)]
    struct Shown {
        faster: usize,
        told: usize,
        covered: usize,
        differs: usize,
        /// The first node alone is called slow.
        first_slow: usize,
        /// Another node is.
        other_slow: usize,
    }

    const TRIALS: usize = 400;

    /// So many comparisons on nodes with these gains, the first of them slower by `slower`.
    fn shown(gains: &[f64], slower: f64, cv: f64) -> Shown {
        let mut random = Random(77);
        let mut shown = Shown::default();
        for _ in 0..TRIALS {
            let speed = |at: usize| if at == 0 { 1.0 / (1.0 + slower) } else { 1.0 };
            let nodes: Vec<Rounds> =
                gains.iter().enumerate().map(|(at, gain)| node(&mut random, speed(at), *gain, cv)).collect();
            let (found, differs) = of(&nodes);
            shown.faster += usize::from(found.verdict == Verdict::Faster);
            shown.told += usize::from(matches!(found.verdict, Verdict::Faster | Verdict::Slower));
            shown.covered +=
                usize::from(found.ci.is_some_and(|ci| ci.lo <= 1.0 + gains[0] && 1.0 + gains[0] <= ci.hi));
            shown.differs += usize::from(differs);
            let slow = slow_of(&nodes);
            shown.first_slow += usize::from(slow == [0]);
            shown.other_slow += usize::from(slow.iter().any(|at| *at != 0));
        }
        shown
    }

    #[test]
    fn equal_programs_are_rarely_told_apart_on_unequal_nodes() {
        for slower in [0.0, 0.05, 0.2] {
            for cv in [0.005, 0.02, 0.05] {
                let shown = shown(&[0.0; 3], slower, cv);
                let case = format!("nodes {slower}, CV {cv}");
                assert!(shown.told <= TRIALS * 5 / 100, "{case}: {} told apart", shown.told);
                assert!(shown.covered >= TRIALS * 95 / 100, "{case}: {} hold", shown.covered);
                assert!(shown.differs <= TRIALS * 5 / 100, "{case}: {} differ", shown.differs);
                assert!(shown.other_slow <= TRIALS * 5 / 100, "{case}: {} slow", shown.other_slow);
                if slower == 0.0 {
                    assert!(shown.first_slow <= TRIALS * 5 / 100, "{case}: {} slow", shown.first_slow);
                }
            }
        }
    }

    #[test]
    fn three_per_cent_are_found_on_unequal_nodes() {
        for slower in [0.0, 0.05, 0.2] {
            let shown = shown(&[0.03; 3], slower, 0.02);
            assert!(shown.faster >= TRIALS * 90 / 100, "nodes {slower}: {} found", shown.faster);
            assert!(shown.covered >= TRIALS * 95 / 100, "nodes {slower}: {} hold", shown.covered);
        }
    }

    #[test]
    fn a_slow_node_is_named_and_no_other() {
        let shown = shown(&[0.0; 3], 0.2, 0.02);
        assert!(shown.first_slow >= TRIALS * 99 / 100, "{}", shown.first_slow);
        assert_eq!(slow(&[[1.2, 1.1, 1.3], [1.0, 0.9, 1.05]], Better::Less), [0]);
        assert_eq!(slow(&[[1.2, 1.1, 1.3], [1.0, 0.9, 1.15]], Better::Less), [0; 0], "they overlap");
        assert_eq!(slow(&[[1.04, 1.04, 1.04], [1.0, 1.0, 1.0]], Better::Less), [0; 0], "by too little");
        assert_eq!(slow(&[[1.2, 1.1, 1.3], [1.0, 0.9, 1.05]], Better::More), [1]);
        assert_eq!(slow(&[], Better::Less), [0; 0]);
    }

    /// What is better on two nodes only is not called better on all.
    #[test]
    fn effects_that_differ_are_said_to_differ() {
        let shown = shown(&[0.0, 0.2, 0.2], 0.0, 0.02);
        assert!(shown.differs >= TRIALS * 99 / 100, "{}", shown.differs);
        assert!(shown.told <= TRIALS * 5 / 100, "{}", shown.told);
        // Nor where a node that is done early has seen too little to be told apart from the one without.
        for (gain, cv) in [(0.1, 0.05), (0.05, 0.03), (0.03, 0.02), (0.1, 0.02)] {
            let shown = self::shown(&[gain, gain, 0.0], 0.0, cv);
            assert!(shown.told <= TRIALS * 5 / 100, "{gain}, CV {cv}: {}", shown.told);
        }
        let everywhere = self::shown(&[0.1, 0.3, 0.3], 0.0, 0.02);
        assert!(everywhere.differs >= TRIALS * 99 / 100 && everywhere.faster >= TRIALS * 99 / 100);
    }

    #[test]
    fn chances_are_those_of_the_tables() {
        for (x, freedom) in [(3.841_459, 1), (5.991_465, 2), (7.814_728, 3), (9.487_729, 4), (23.684_791, 14)]
        {
            assert!((chi_square(x, freedom) - 0.05).abs() < 1e-6, "{freedom}: {}", chi_square(x, freedom));
        }
        for (x, freedom) in [(233.994, 200), (341.395, 300), (2105.15, 2000)] {
            assert!((chi_square(x, freedom) - 0.05).abs() < 1e-4, "{freedom}: {}", chi_square(x, freedom));
        }
        // The example of SciPy's `kruskal`.
        let nodes: [(&[f64], &[f64]); 2] =
            [(&[1., 3., 5., 7., 9.], &[1.; 5]), (&[2., 4., 6., 8., 10.], &[1.; 5])];
        assert!((like_one_effect(&nodes) - 0.6015).abs() < 1e-4, "{}", like_one_effect(&nodes));
        assert_eq!(like_one_effect(&[(&[1.; 9], &[1.; 9]), (&[1.; 9], &[1.; 9])]), 1.0);
    }

    #[test]
    fn nothing_is_said_without_rounds() {
        let none = across(&[], Better::Less, Chances::of(2, 9), MIN_EFFECT);
        assert_eq!(none, Across { found: Found::NoRounds, differs: false });
        let none = across(&[(&[1.0; 9], &[1.0; 9]), (&[], &[])], Better::Less, Chances::of(2, 9), MIN_EFFECT);
        assert_eq!(none.found, Found::NoRounds);
    }
}
