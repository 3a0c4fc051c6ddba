//! One comparison on several nodes (`compare{ blocks = … }`): which of them are slow.
//!
//! In a journal each node's is a comparison of its own. Its name says of what: that of them all, then `@` and the node
//! (`lua/harness/blocks.lua`). Which node is slow `stats` says.

use crate::model::human::subject;
use crate::model::{Better, Detail, Row};
use crate::stats;

/// The same thing on several nodes.
struct Blocks<'a> {
    what: String,
    better: Better,
    hosts: Vec<&'a str>,
    /// Median and interval of the base on each.
    bases: Vec<[f64; 3]>,
}

/// A line for each comparison that has slow nodes: `naps: slow nodes: node3`.
pub(super) fn slow_nodes(rows: &[Row<'_>]) -> Vec<String> {
    let mut all: Vec<Blocks<'_>> = Vec::new();
    for row in rows {
        let Some(block) = block(row) else { continue };
        match all.iter_mut().find(|blocks| blocks.what == block.what && blocks.better == block.better) {
            Some(blocks) => {
                blocks.hosts.extend(block.hosts);
                blocks.bases.extend(block.bases);
            }
            None => all.push(block),
        }
    }
    let line = |Blocks { what, better, hosts, bases }: Blocks<'_>| {
        let mut slow: Vec<&str> = stats::slow(&bases, better).into_iter().map(|at| hosts[at]).collect();
        slow.dedup();
        (!slow.is_empty()).then(|| format!("{what}: slow nodes: {}", slow.join(", ")))
    };
    all.into_iter().filter_map(line).collect()
}

fn block<'a>(row: &Row<'a>) -> Option<Blocks<'a>> {
    let Detail::Compare(result) = &row.outcome.detail else { return None };
    let host = row.outcome.host.as_str();
    let name = row.name?.strip_suffix(host)?.strip_suffix('@').filter(|_| !host.is_empty())?;
    let base = &result.variants.first()?.result;
    let stats = base.stats.as_ref()?;
    let ci = stats.ci.as_ref()?;
    Some(Blocks {
        what: subject(Some(name), row.params),
        better: base.better,
        hosts: vec![host],
        bases: vec![[stats.median, ci.lo, ci.hi]],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        CompareResult, Compared, Interval, Kind, MeasureResult, Outcome, Status, StopReason, Summary,
    };

    fn compared(host: &str, median: f64) -> Outcome {
        let ci = Interval { lo: 0.99 * median, hi: 1.01 * median, level: 0.95, exact_level: 0.97 };
        let stats = Summary { n: 10, median, ci: Some(ci), ..Summary::default() };
        let base = Compared {
            name: "base".into(),
            params: None,
            status: Status::Ok,
            reason: None,
            result: MeasureResult::sample(stats, StopReason::Settled),
            comparison: None,
        };
        let result = CompareResult {
            variants: vec![base],
            rounds: 10,
            order_seed: 0,
            min_effect: 0.01,
            stop_reason: StopReason::Settled,
        };
        let detail = Detail::Compare(Box::new(result));
        Outcome { host: host.into(), detail, ..Outcome::failed(Status::Ok, "") }
    }

    #[test]
    fn a_node_is_slow_among_those_of_its_comparison() {
        let ended: Vec<(&str, Outcome)> = [
            ("a@n1", "n1", 1.0),
            ("a@n2", "n2", 1.02),
            ("b@n1", "n1", 9.0),
            ("a@n3", "n3", 2.0),
            ("b@n2", "n2", 3.0),
            ("c@n9", "n1", 99.0),
            ("alone", "n1", 99.0),
        ]
        .map(|(name, host, median)| (name, compared(host, median)))
        .into();
        let rows: Vec<Row<'_>> = ended
            .iter()
            .map(|(name, outcome)| Row {
                kind: Kind::Compare,
                name: Some(name),
                params: None,
                what: None,
                outcome,
            })
            .collect();
        assert_eq!(slow_nodes(&rows), ["a: slow nodes: n3", "b: slow nodes: n1"]);
        assert!(slow_nodes(&rows[..3]).is_empty());
    }
}
