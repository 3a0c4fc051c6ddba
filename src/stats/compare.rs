//! Two programs side by side: in which order they run, and what may be said of their ratio.
//!
//! In every round each variant runs once, so what changes slowly on the node changes for all alike. What is looked at
//! are the logarithms of the ratios to the base, one a round: their median needs no distribution, and turning base and
//! variant round turns its sign. Knows figures and rounds; nothing of processes, names and units.

use crate::model::{Better, Comparison, Interval, Verdict, quantile};

use super::random::Random;
use super::summary::{LEVEL, ranks, sorted};

/// Rounds before the first look, and between two.
const FIRST_LOOK: usize = 10;
const LOOK_EVERY: usize = 10;

/// The order of `variants` in round number `round` (from 0). Each block of as many rounds as there are variants is a
/// cyclic Latin square whose rows and symbols are drawn from `seed`: within a block everybody has every place once, so
/// that a linear drift falls on all alike. For two variants: AB BA, or BA AB.
pub fn order(variants: usize, round: usize, seed: u64) -> Vec<usize> {
    if variants == 0 {
        return Vec::new();
    }
    let mut random = Random(seed ^ (round / variants) as u64);
    let symbols = random.permutation(variants);
    let rows = random.permutation(variants);
    let shift = rows[round % variants];
    (0..variants).map(|place| symbols[(place + shift) % variants]).collect()
}

/// How often, and for how many, a verdict may be reached: each is a chance to be wrong.
#[derive(Clone, Copy, Debug)]
pub struct Chances {
    /// Variants beside the base.
    pub variants: usize,
    /// Looks at each until the last round.
    pub looks: usize,
}

impl Chances {
    /// Those of `sides` programs, the base among them, in so many rounds at the most.
    pub fn of(sides: usize, max_rounds: usize) -> Self {
        let before_the_last = (0..max_rounds).filter(|rounds| look_due(*rounds, sides)).count();
        Self { variants: sides.saturating_sub(1).max(1), looks: before_the_last + 1 }
    }
}

/// What the rounds say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// There were none.
    NoRounds,
    /// A figure is not above 0, or two are so far apart that no number is their ratio.
    NoRatio,
    /// This.
    Ratio(Comparison),
}

/// What `base` and `variant`, the figures of the same rounds, say of their ratio. Above 1 the variant is better.
///
/// `min_effect` is the least relative difference that matters. The interval is that of the median between two order
/// statistics (\[LB10\] Thm 2.1), exact for any distribution. The verdict decides when to stop, so every look counts as
/// a comparison of its own: what may be wrong in all, 5 %, is divided among variants and looks (Bonferroni), and the
/// interval reported at the end holds in at least 95 % of the cases, for all variants together.
pub fn compare(base: &[f64], variant: &[f64], better: Better, chances: Chances, min_effect: f64) -> Found {
    let rounds = base.len().min(variant.len());
    if rounds == 0 {
        return Found::NoRounds;
    }
    if base.iter().chain(variant).any(|figure| *figure <= 0.0) {
        return Found::NoRatio;
    }
    let gain = |(base, variant): (&f64, &f64)| match better {
        Better::Less => base.ln() - variant.ln(),
        Better::More => variant.ln() - base.ln(),
    };
    let logs = sorted(&base.iter().zip(variant).map(gain).collect::<Vec<_>>());
    if logs.iter().any(|log| !log.exp().is_normal()) {
        return Found::NoRatio;
    }
    let level = 1.0 - (1.0 - LEVEL) / (chances.variants * chances.looks) as f64;
    let interval = ranks(rounds, level).map(|(low, high, exact_level)| Interval {
        lo: logs[low - 1].exp(),
        hi: logs[high - 1].exp(),
        level: LEVEL,
        exact_level,
    });
    Found::Ratio(Comparison {
        verdict: interval.as_ref().map_or(Verdict::Unresolved, |ci| verdict(ci, min_effect)),
        ratio: quantile(&logs, 0.5).exp(),
        ci: interval,
        rounds: rounds as u32,
    })
}

/// Is it time to look whether the verdicts are out? Only when a block of `variants` rounds is complete.
pub fn look_due(rounds: usize, variants: usize) -> bool {
    let looks = |rounds: usize| (rounds + LOOK_EVERY).saturating_sub(FIRST_LOOK) / LOOK_EVERY;
    let variants = variants.max(1);
    rounds.is_multiple_of(variants) && looks(rounds) > looks(rounds.saturating_sub(variants))
}

/// What the whole interval agrees on.
pub(super) fn verdict(ci: &Interval, min_effect: f64) -> Verdict {
    let (lo, hi, least) = (ci.lo.ln(), ci.hi.ln(), min_effect.ln_1p());
    if lo > least {
        Verdict::Faster
    } else if hi < -least {
        Verdict::Slower
    } else if lo < -least || hi > least {
        Verdict::Unresolved
    } else if lo > 0.0 || hi < 0.0 {
        Verdict::DifferentButSmall
    } else {
        Verdict::Equivalent
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(looks(1), [10, 20, 30]);
        assert_eq!(looks(3), [12, 21, 30]);
        assert_eq!(looks(7), [14, 21, 35]);
    }

    const ONE: Chances = Chances { variants: 1, looks: 1 };

    fn compared(base: &[f64], variant: &[f64], better: Better) -> Comparison {
        match compare(base, variant, better, ONE, 0.01) {
            Found::Ratio(comparison) => comparison,
            other => panic!("{other:?}"),
        }
    }

    fn of(ratio: f64, spread: f64, better: Better) -> Comparison {
        let base: Vec<f64> = (0..20).map(|i| 1.0 + spread * f64::from(i % 5)).collect();
        let variant: Vec<f64> = base.iter().map(|t| t * ratio).collect();
        compared(&base, &variant, better)
    }

    #[test]
    fn verdicts_follow_the_whole_interval() {
        assert_eq!(of(0.9, 0.1, Better::Less).verdict, Verdict::Faster, "drift of both is no noise");
        assert!((of(0.5, 0.1, Better::Less).ratio - 2.0).abs() < 1e-12);
        assert_eq!(of(1.1, 0.1, Better::Less).verdict, Verdict::Slower);
        assert_eq!(of(1.1, 0.1, Better::More).verdict, Verdict::Faster);
        assert_eq!(of(1.0, 0.1, Better::Less).verdict, Verdict::Equivalent);
        assert_eq!(of(0.995, 0.1, Better::Less).verdict, Verdict::DifferentButSmall);
        let of_interval =
            |lo: f64, hi: f64| verdict(&Interval { lo, hi, level: LEVEL, exact_level: 0.96 }, 0.01);
        assert_eq!(of_interval(1.006, 1.024), Verdict::Unresolved, "it may matter");
        assert_eq!(of_interval(0.995, 1.02), Verdict::Unresolved);
        let noisy: Vec<f64> = (0..20).map(|i| if i % 2 == 0 { 0.8 } else { 1.2 }).collect();
        assert_eq!(compared(&[1.0; 20], &noisy, Better::Less).verdict, Verdict::Unresolved);
    }

    #[test]
    fn few_rounds_have_no_interval_and_no_verdict() {
        let found = compared(&[1.0; 5], &[0.5; 5], Better::Less);
        assert_eq!((found.verdict, found.ci, found.rounds), (Verdict::Unresolved, None, 5));
        // Six are enough for one look at one variant, and not for ten.
        assert!(compared(&[1.0; 6], &[0.5; 6], Better::Less).ci.is_some());
        let many = Chances { variants: 2, looks: 5 };
        let Found::Ratio(found) = compare(&[1.0; 6], &[0.5; 6], Better::Less, many, 0.01) else { panic!() };
        assert!(found.ci.is_none());
        assert_eq!(compare(&[], &[1.0], Better::Less, ONE, 0.01), Found::NoRounds);
        assert_eq!(compare(&[0.0; 9], &[1.0; 9], Better::Less, ONE, 0.01), Found::NoRatio);
        assert_eq!(compare(&[1.0; 9], &[1e-320; 9], Better::Less, ONE, 0.01), Found::NoRatio);
        assert_eq!(compare(&[1.0; 9], &[1e-320; 9], Better::More, ONE, 0.01), Found::NoRatio);
    }

    #[test]
    fn chances_are_counted() {
        let of = |sides, max_rounds| {
            let Chances { variants, looks } = Chances::of(sides, max_rounds);
            (variants, looks)
        };
        assert_eq!((of(2, 5), of(2, 60), of(4, 60)), ((1, 1), (1, 6), (3, 6)));
    }

    /// Rounds until the verdict is out, at the most `max_rounds`, as `compare` runs them: the verdict, and whether the
    /// interval holds the truth.
    fn run(random: &mut Random, gain: f64, cv: f64, min_effect: f64, max_rounds: usize) -> (Verdict, bool) {
        let chances = Chances::of(2, max_rounds);
        let mut draw = |mean: f64| mean * (cv * random.gauss()).exp();
        let (mut base, mut variant) = (Vec::new(), Vec::new());
        loop {
            base.push(draw(1.0));
            variant.push(draw(1.0 / (1.0 + gain)));
            let n = base.len();
            if n == max_rounds || look_due(n, 2) {
                let Found::Ratio(found) = compare(&base, &variant, Better::Less, chances, min_effect) else {
                    panic!("there are rounds")
                };
                if n == max_rounds || found.verdict != Verdict::Unresolved {
                    let holds = found.ci.is_some_and(|ci| ci.lo <= 1.0 + gain && 1.0 + gain <= ci.hi);
                    return (found.verdict, holds);
                }
            }
        }
    }

    /// However the verdicts decide when to stop, with a true effect where it is easiest to be wrong.
    #[test]
    fn the_interval_holds_what_it_claims() {
        const TRIALS: usize = 500;
        for (gain, cv, min_effect, max_rounds) in [
            (0.0, 0.01, 0.01, 60),
            (0.01, 0.01, 0.01, 60),
            (0.01, 0.05, 0.01, 60),
            (0.0, 0.05, 0.001, 60),
            (0.001, 0.02, 0.001, 200),
            (0.0, 0.05, 0.001, 500),
        ] {
            let mut random = Random(7);
            let ends: Vec<_> =
                (0..TRIALS).map(|_| run(&mut random, gain, cv, min_effect, max_rounds)).collect();
            let covered = ends.iter().filter(|(_, holds)| *holds).count();
            let case = format!("gain {gain}, CV {cv}, least effect {min_effect}, {max_rounds} rounds");
            assert!(covered >= TRIALS * 94 / 100, "{case}: holds in {covered} of {TRIALS}");
            let told = |(verdict, _): &&(Verdict, bool)| matches!(verdict, Verdict::Faster | Verdict::Slower);
            let wrong = ends.iter().filter(told).count();
            assert!(
                wrong <= TRIALS * 5 / 100,
                "{case}: {wrong} of {TRIALS} told apart by more than there is"
            );
        }
    }

    #[test]
    fn three_per_cent_are_found() {
        let mut random = Random(12);
        let found = (0..400).filter(|_| run(&mut random, 0.03, 0.02, 0.01, 60).0 == Verdict::Faster).count();
        assert!(found >= 360, "a difference of 3 % at CV 2 % found in {found} of 400");
    }
}
