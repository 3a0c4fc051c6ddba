//! Our statistics beside those of NumPy, SciPy and diptest: `tests/support/scipy_reference.txt`, written by the script of
//! the same name.

use std::collections::{BTreeMap, BTreeSet};

use super::dip::{critical, dip, is_bimodal};
use super::discoveries::adjusted;
use super::flags::trend;
use super::ranksum::shift;
use super::sessions::student;
use super::summary::{ranks, sorted, summary};
use crate::model::quantile;

const REFERENCE: &str = include_str!("../../tests/support/scipy_reference.txt");

/// The words of the lines on two samples, or many questions.
const OF_SEVERAL: [&str; 6] = ["before", "after", "shift", "student", "discoveries", "adjusted"];

fn lines(of_several: bool) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = REFERENCE.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| line.split(' ').collect::<Vec<&str>>());
    lines.filter(move |words| OF_SEVERAL.contains(&words[0]) == of_several)
}

fn figures(words: &[&str]) -> Vec<f64> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

fn same(ours: f64, theirs: f64, line: &str) {
    assert!((ours - theirs).abs() <= 1e-12 * theirs.abs().max(1e-3), "{ours}: {line}");
}

/// Kendall's τ of a series without ties, from his S.
fn tau(concordance: i64, n: usize) -> f64 {
    concordance as f64 / (n * (n - 1) / 2) as f64
}

#[test]
fn our_figures_are_those_of_scipy() {
    let mut series: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for words in lines(false) {
        let (line, figures) = (words.join(" "), figures(&words[2..]));
        let line = line.as_str();
        let values = series.get(words[1]).map_or(&[][..], Vec::as_slice);
        let (ascending, ours) = (sorted(values), summary(values));
        seen.insert(words[0]);
        match words[0] {
            "series" => {
                series.insert(words[1], figures);
            }
            "quantile" => {
                same(quantile(&ascending, figures[0]), figures[1], line);
                let stored = [
                    (0.05, ours.p05),
                    (0.25, ours.q1),
                    (0.5, ours.median),
                    (0.75, ours.q3),
                    (0.95, ours.p95),
                ];
                assert!(
                    stored.iter().any(|(p, value)| *p == figures[0] && (value - figures[1]).abs() < 1e-12)
                );
            }
            "mean" => same(ours.mean, figures[0], line),
            "sd" => same(ours.sd, figures[0], line),
            "mad" => same(ours.mad, figures[0], line),
            "trend" => {
                let (slope, concordance) = trend(values);
                same(slope, figures[0], line);
                same(tau(concordance, values.len()), figures[1], line);
            }
            "dip" => {
                same(dip(&ascending), figures[0], line);
                // Their p-value is on a straight line between columns of the same table.
                assert_eq!(is_bimodal(&ascending), values.len() >= 20 && figures[1] < 0.05, "{line}");
            }
            "critical" => {
                let n: f64 = words[1].parse().unwrap();
                assert!((critical(n) - n.sqrt() * figures[0]).abs() < 1e-6, "{}: {line}", critical(n));
            }
            "ranks" => {
                let n: usize = words[1].parse().unwrap();
                let (low, high, level) = ranks(n, figures[0]).unwrap();
                assert_eq!((low as f64, high as f64), (figures[1], figures[2]), "{line}");
                same(level, figures[3], line);
            }
            other => panic!("{other}?"),
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

#[test]
fn what_we_say_of_several_samples_is_what_scipy_says() {
    let (mut before, mut after, mut chances) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for words in lines(true) {
        let line = words.join(" ");
        seen.insert(words[0]);
        match words[0] {
            "before" => before = sorted(&figures(&words[2..])),
            "after" => after = sorted(&figures(&words[2..])),
            "shift" => {
                let (ours, theirs) = (shift(&before, &after).unwrap(), figures(&words[2..]));
                let ours = [ours.p, ours.by, ours.lo, ours.hi];
                ours.into_iter().zip(theirs).for_each(|(ours, theirs)| same(ours, theirs, &line));
            }
            "student" => {
                let [freedom, t, theirs] = figures(&words[1..])[..] else { panic!("{line}") };
                same(student(t, freedom as usize), theirs, &line);
            }
            "discoveries" => chances = figures(&words[1..]),
            "adjusted" => {
                let theirs = figures(&words[1..]);
                assert_eq!(theirs.len(), chances.len());
                adjusted(&chances).iter().zip(theirs).for_each(|(ours, theirs)| same(*ours, theirs, &line));
            }
            other => panic!("{other}?"),
        }
    }
    assert_eq!(seen.len(), OF_SEVERAL.len(), "{seen:?}");
}
