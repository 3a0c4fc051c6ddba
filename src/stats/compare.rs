//! Two programs side by side: in which order they run, and what may be said of their ratio.
//!
//! In every round each variant runs once, so what changes slowly on the node changes for all alike. What is looked at
//! are the logarithms of the ratios to the base, one a round: their median needs no distribution, and turning base and
//! variant round turns its sign. Knows figures and rounds; nothing of processes, names and units.

use crate::model::{Better, Comparison, Interval, Verdict};

use super::summary::{LEVEL, RANK_LEVEL, quantile, ranks, sorted};

/// Rounds before the first look, and between two.
const FIRST_LOOK: usize = 10;
const LOOK_EVERY: usize = 5;

/// The order of `variants` in round number `round` (from 0). Each block of as many rounds as there are variants is a
/// cyclic Latin square whose rows and symbols are drawn from `seed`: within a block everybody has every place once, so
/// that a linear drift falls on all alike. For two variants: AB BA, or BA AB.
pub fn order(variants: usize, round: usize, seed: u64) -> Vec<usize> {
    if variants == 0 {
        return Vec::new();
    }
    let mut draw = Draw(seed ^ (round / variants) as u64);
    let symbols = draw.permutation(variants);
    let rows = draw.permutation(variants);
    let shift = rows[round % variants];
    (0..variants).map(|place| symbols[(place + shift) % variants]).collect()
}

/// What `base` and `variant`, the figures of the same rounds, say of their ratio. Above 1 the variant is better.
///
/// `comparisons` is how many variants are compared with this base: the level is divided among them (Bonferroni).
/// `min_effect` is the least relative difference that matters. The interval is that of the median between two order
/// statistics (\[LB10\] Thm 2.1) at the level that holds although the data decide when to stop ([`RANK_LEVEL`]).
/// None without figures, or where one is not above 0: a ratio would mean nothing.
pub fn compare(
    base: &[f64],
    variant: &[f64],
    better: Better,
    comparisons: usize,
    min_effect: f64,
) -> Option<Comparison> {
    let rounds = base.len().min(variant.len());
    if rounds == 0 || base.iter().chain(variant).any(|figure| *figure <= 0.0) {
        return None;
    }
    let gain = |(base, variant): (&f64, &f64)| match better {
        Better::Less => (base / variant).ln(),
        Better::More => (variant / base).ln(),
    };
    let logs = sorted(&base.iter().zip(variant).map(gain).collect::<Vec<_>>());
    let level = 1.0 - (1.0 - RANK_LEVEL) / comparisons.max(1) as f64;
    let interval = ranks(rounds, level).map(|(low, high, exact_level)| Interval {
        lo: logs[low - 1].exp(),
        hi: logs[high - 1].exp(),
        level: LEVEL,
        exact_level,
    });
    Some(Comparison {
        verdict: interval.as_ref().map_or(Verdict::Unresolved, |ci| verdict(ci, min_effect)),
        ratio: quantile(&logs, 0.5).exp(),
        ci: interval,
        rounds: rounds as u32,
    })
}

/// May the rounds end for this variant, after `rounds` of them? When its verdict is out, or its interval so narrow that
/// more rounds would say nothing that matters. Looked at now and then only: every look is a chance to be wrong.
pub fn settled(comparison: &Comparison, min_effect: f64) -> bool {
    let narrow = |ci: &Interval| (ci.hi / ci.lo).ln() / 2.0 <= min_effect.ln_1p();
    comparison.verdict != Verdict::Unresolved || comparison.ci.as_ref().is_some_and(narrow)
}

/// Is it time to ask [`settled`]? Only when a block of `variants` rounds is complete.
pub fn look_due(rounds: usize, variants: usize) -> bool {
    let looks = |rounds: usize| (rounds + LOOK_EVERY).saturating_sub(FIRST_LOOK) / LOOK_EVERY;
    let variants = variants.max(1);
    rounds.is_multiple_of(variants) && looks(rounds) > looks(rounds.saturating_sub(variants))
}

/// What the whole interval agrees on. Different but small: there is a difference, and that it reaches `min_effect` was
/// not shown by an interval narrow enough to show it.
fn verdict(ci: &Interval, min_effect: f64) -> Verdict {
    let (lo, hi, least) = (ci.lo.ln(), ci.hi.ln(), min_effect.ln_1p());
    let narrow = (hi - lo) / 2.0 <= least;
    if lo > least {
        Verdict::Faster
    } else if hi < -least {
        Verdict::Slower
    } else if (lo > 0.0 || hi < 0.0) && narrow {
        Verdict::DifferentButSmall
    } else if lo >= -least && hi <= least {
        Verdict::Equivalent
    } else {
        Verdict::Unresolved
    }
}

/// SplitMix64 (Steele, Lea & Flood, OOPSLA'14): the same order for the same seed, on every machine.
struct Draw(u64);

impl Draw {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fisher & Yates.
    fn permutation(&mut self, of: usize) -> Vec<usize> {
        let mut items: Vec<usize> = (0..of).collect();
        for last in (1..of).rev() {
            items.swap(last, (self.bits() % (last as u64 + 1)) as usize);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::Random;
    use super::*;

    #[test]
    fn everybody_has_every_place_once_in_a_block() {
        for variants in 1..7 {
            for seed in 0..20 {
                for block in 0..3 {
                    let rounds: Vec<Vec<usize>> =
                        (0..variants).map(|r| order(variants, block * variants + r, seed)).collect();
                    for place in 0..variants {
                        let mut seen: Vec<usize> = rounds.iter().map(|round| round[place]).collect();
                        seen.sort_unstable();
                        assert_eq!(seen, (0..variants).collect::<Vec<_>>());
                    }
                }
            }
        }
        let firsts: Vec<usize> = (0..40).map(|block| order(2, 2 * block, 7)[0]).collect();
        assert!(firsts.contains(&0) && firsts.contains(&1), "blocks are drawn: {firsts:?}");
        assert_eq!(order(5, 12, 3), order(5, 12, 3));
    }

    #[test]
    fn looks_are_few_and_never_inside_a_block() {
        let looks = |variants| (0..40).filter(|rounds| look_due(*rounds, variants)).collect::<Vec<_>>();
        assert_eq!(looks(1), [10, 15, 20, 25, 30, 35]);
        assert_eq!(looks(2), [10, 16, 20, 26, 30, 36]);
        assert_eq!(looks(7), [14, 21, 28, 35]);
    }

    fn of(ratio: f64, spread: f64, better: Better) -> Comparison {
        let base: Vec<f64> = (0..20).map(|i| 1.0 + spread * f64::from(i % 5)).collect();
        let variant: Vec<f64> = base.iter().map(|t| t * ratio).collect();
        compare(&base, &variant, better, 1, 0.01).unwrap()
    }

    #[test]
    fn verdicts_follow_the_whole_interval() {
        assert_eq!(of(0.9, 0.1, Better::Less).verdict, Verdict::Faster, "drift of both is no noise");
        assert!((of(0.5, 0.1, Better::Less).ratio - 2.0).abs() < 1e-12);
        assert_eq!(of(1.1, 0.1, Better::Less).verdict, Verdict::Slower);
        assert_eq!(of(1.1, 0.1, Better::More).verdict, Verdict::Faster);
        assert_eq!(of(1.0, 0.1, Better::Less).verdict, Verdict::Equivalent);
        assert_eq!(of(0.995, 0.1, Better::Less).verdict, Verdict::DifferentButSmall);
        let noisy: Vec<f64> = (0..20).map(|i| if i % 2 == 0 { 0.8 } else { 1.2 }).collect();
        let found = compare(&[1.0; 20], &noisy, Better::Less, 1, 0.01).unwrap();
        assert_eq!(found.verdict, Verdict::Unresolved);
        assert!(!settled(&found, 0.01));
    }

    #[test]
    fn few_rounds_have_no_interval_and_no_verdict() {
        let found = compare(&[1.0; 6], &[0.5; 6], Better::Less, 1, 0.01).unwrap();
        assert_eq!((found.verdict, found.ci, found.rounds), (Verdict::Unresolved, None, 6));
        // Seven are enough for one comparison and not for ten.
        assert!(compare(&[1.0; 7], &[0.5; 7], Better::Less, 1, 0.01).unwrap().ci.is_some());
        assert!(compare(&[1.0; 7], &[0.5; 7], Better::Less, 10, 0.01).unwrap().ci.is_none());
        assert_eq!(compare(&[], &[], Better::Less, 1, 0.01), None);
        assert_eq!(compare(&[0.0; 9], &[1.0; 9], Better::Less, 1, 0.01), None);
    }

    /// Rounds until the verdict is out, at the most 60, as `compare` runs them.
    fn run(random: &mut Random, effect: f64, cv: f64) -> Verdict {
        let mut draw = |mean: f64| mean * (cv * random.gauss()).exp();
        let (mut base, mut variant) = (Vec::new(), Vec::new());
        loop {
            base.push(draw(1.0));
            variant.push(draw(1.0 - effect));
            let n = base.len();
            if n == 60 || look_due(n, 2) {
                let found = compare(&base, &variant, Better::Less, 1, 0.01).unwrap();
                if n == 60 || settled(&found, 0.01) {
                    return found.verdict;
                }
            }
        }
    }

    #[test]
    fn equal_programs_are_rarely_called_different_and_three_per_cent_are_found() {
        for cv in [0.005, 0.02, 0.05] {
            let mut random = Random(11);
            let wrong = (0..400)
                .filter(|_| matches!(run(&mut random, 0.0, cv), Verdict::Faster | Verdict::Slower))
                .count();
            assert!(wrong <= 20, "CV {cv}: {wrong} of 400 equal pairs told apart");
        }
        let mut random = Random(12);
        let found = (0..400).filter(|_| run(&mut random, 0.03, 0.02) == Verdict::Faster).count();
        assert!(found >= 360, "a difference of 3 % at CV 2 % found in {found} of 400");
    }
}
