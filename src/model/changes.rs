//! What counters say of two programs: how much more or less of each event one makes than the other, on one line.
//!
//! Only a few runs are counted, too few for an interval: an event counts as changed where the runs of the two are farther
//! apart than they scatter. With three runs of each (and no fewer say it), chance does that to 0.3 % of events (normal, simulated).
//! Pure text, as `human`.

use std::collections::BTreeMap;

use super::{CounterValues, Counters, quantile};

/// `counted in 3 runs: instructions -61.2 %, page-faults +2.0 %; no clear change: task-clock; not counted: cycles (why)`:
/// the largest change first.
pub(super) fn line(base: &Counters, variant: &Counters) -> String {
    let (mut changed, mut alike) = (Vec::new(), Vec::new());
    let (mut uncounted, mut runs): (BTreeMap<&str, Vec<&str>>, usize) = (BTreeMap::new(), 0);
    for (name, own) in &variant.events {
        let Some((from, to)) = base.events.get(name).and_then(|base| Some((of(base)?, of(own)?))) else {
            uncounted.entry(why(own, base.events.get(name))).or_default().push(name);
            continue;
        };
        runs = runs.max(own.value.len());
        match from.is_apart(&to) {
            true => changed.push((name, from.median, to.median)),
            false => alike.push(name.as_str()),
        }
    }
    let size = |from: f64, to: f64| (to / from).ln().abs();
    changed.sort_by(|(_, from, to), (_, was, is)| size(*was, *is).total_cmp(&size(*from, *to)));
    let changed: Vec<String> = changed.into_iter().map(|(name, from, to)| change(name, from, to)).collect();
    let uncounted: Vec<String> =
        uncounted.into_iter().map(|(why, names)| format!("{} ({why})", names.join(", "))).collect();
    let parts = [
        ("", changed.join(", ")),
        ("no clear change: ", alike.join(", ")),
        ("not counted: ", uncounted.join(", ")),
    ];
    let said = parts.iter().filter(|(_, list)| !list.is_empty());
    let said: Vec<String> = said.map(|(what, list)| format!("{what}{list}")).collect();
    match runs {
        0 => said.join("; "),
        runs => format!("counted in {}: {}", super::human::count(runs, "run"), said.join("; ")),
    }
}

/// Fewer runs say of no event that it changed.
const LEAST_RUNS: usize = 3;

struct Range {
    runs: usize,
    low: f64,
    median: f64,
    high: f64,
}

impl Range {
    /// Is the gap between the two wider than both together?
    fn is_apart(&self, other: &Self) -> bool {
        let gap = (other.low - self.high).max(self.low - other.high);
        let scatter = (self.high - self.low) + (other.high - other.low);
        self.runs.min(other.runs) >= LEAST_RUNS && gap > scatter
    }
}

/// Of an event that was counted in every run.
fn of(event: &CounterValues) -> Option<Range> {
    let mut values = event.value.iter().copied().collect::<Option<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    let (low, high) = (*values.first()?, *values.last()?);
    Some(Range { runs: values.len(), low, median: quantile(&values, 0.5), high })
}

fn why<'a>(own: &'a CounterValues, base: Option<&'a CounterValues>) -> &'a str {
    let note = [Some(own), base].into_iter().flatten().find_map(|event| event.note.as_deref());
    note.unwrap_or("not in every run")
}

fn change(name: &str, from: f64, to: f64) -> String {
    let percent = 100.0 * (to / from - 1.0);
    match percent.is_finite() {
        true => format!("{name} {percent:+.1} %"),
        false => format!("{name} from {from} to {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(events: &[(&str, &[f64])]) -> Counters {
        let event = |(name, values): &(&str, &[f64])| {
            let note = values.is_empty().then(|| "it hides that".to_owned());
            let value =
                if values.is_empty() { vec![None; 3] } else { values.iter().copied().map(Some).collect() };
            ((*name).to_owned(), CounterValues { value, note, ..CounterValues::default() })
        };
        Counters { pass: "separate".into(), events: events.iter().map(event).collect() }
    }

    #[test]
    fn the_largest_change_comes_first_and_only_what_is_apart_is_one() {
        let base = counters(&[
            ("a", &[100.0, 102.0, 101.0]),
            ("b", &[1000.0, 1001.0, 1002.0]),
            ("c", &[5.0, 7.0, 6.0]), // apart from the other's, and less than they scatter
            ("d", &[0.0, 0.0, 0.0]),
            ("e", &[]),
            ("f", &[]),
        ]);
        let other = counters(&[
            ("a", &[110.0, 111.1, 112.0]),
            ("b", &[400.0, 401.0, 400.4]),
            ("c", &[8.0, 9.0, 8.5]),
            ("d", &[3.0, 2.5, 3.5]),
            ("e", &[]),
            ("f", &[]),
        ]);
        assert_eq!(
            line(&base, &other),
            "counted in 3 runs: d from 0 to 3, b -60.0 %, a +10.0 %; no clear change: c; not counted: e, f (it hides that)"
        );
    }

    #[test]
    fn what_was_not_counted_in_every_run_has_no_change() {
        let mut base = counters(&[("a", &[1.0, 1.0, 1.0])]);
        let other = counters(&[("a", &[9.0, 9.0, 9.0])]);
        base.events.get_mut("a").unwrap().value[1] = None;
        assert_eq!(line(&base, &other), "not counted: a (not in every run)");
        assert_eq!(line(&other, &other), "counted in 3 runs: no clear change: a");
    }
}
