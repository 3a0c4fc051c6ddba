//! Two measurements of one thing: do they agree, and what was not the same? Pure: records in, words out.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::super::find::{named, short};
use super::plan::State;
use crate::model::human::{duration, measurement_line};
use crate::model::{Better, CompileResult, Env, Hash, Measurement, Status};

/// What of the surroundings changes in every run, or is told elsewhere.
const NOT_COMPARED: [&str; 6] = ["id", "load1", "swap_used_bytes", "loaded_env_hash", "slurm", "host"];
/// Loads that differ by less are the same.
const LOAD: f64 = 0.5;

/// See the module.
#[derive(Serialize)]
pub(super) struct Report {
    key: String,
    name: String,
    then: Side,
    now: Side,
    /// As `compare` says it, with then as the base: above 1 it is better now.
    ratio: Option<Ratio>,
    /// None: that cannot be told.
    pub(super) agrees: Option<bool>,
    verdict: String,
    binary: Option<Binary>,
    differs: Vec<Difference>,
}

/// One of the two.
#[derive(Serialize)]
struct Side {
    id: String,
    started_unix_s: Option<f64>,
    host: String,
    status: Status,
    reason: Option<String>,
    figures: Option<Figures>,
    #[serde(skip)]
    line: String,
}

#[derive(Clone, Copy, Serialize)]
struct Figures {
    n: u32,
    median: f64,
    /// The interval of the median; of too few runs all of them.
    lo: f64,
    hi: f64,
    is_interval: bool,
}

#[derive(Serialize)]
struct Ratio {
    median: f64,
    lo: f64,
    hi: f64,
}

/// The program.
#[derive(Serialize)]
struct Binary {
    then: String,
    now: String,
    /// It was gone, or damaged.
    rebuilt: bool,
    /// It was in the store, with another content than its name says.
    damaged: bool,
    /// Code and data are the same; none if that is not known.
    same_code: Option<bool>,
}

#[derive(Serialize)]
struct Difference {
    what: String,
    then: String,
    now: String,
}

/// A build that was done again.
pub(super) struct Rebuilt {
    pub(super) was: CompileResult,
    pub(super) is: CompileResult,
    pub(super) state: State,
}

impl Rebuilt {
    /// Are code and data the same? None if that is not known.
    pub(super) fn has_same_code(&self) -> Option<bool> {
        let Self { was, is, .. } = self;
        if was.artefact == is.artefact { Some(true) } else { Some(was.text_hash? == is.text_hash?) }
    }
}

impl Report {
    pub(super) fn of(
        then: &Measurement,
        now: &Measurement,
        envs: &BTreeMap<Hash, Env>,
        rebuilt: &[Rebuilt],
        min_effect: f64,
    ) -> Self {
        let sides = (side(then), side(now));
        let better = then.objective.better;
        let (agrees, verdict) = judge(&sides.0, &sides.1, better, min_effect);
        Self {
            key: then.facts.key.to_string(),
            name: named(then),
            ratio: sides.0.figures.zip(sides.1.figures).and_then(|(then, now)| ratio(then, now, better)),
            agrees,
            verdict,
            binary: binary(then, now, rebuilt),
            differs: differences(then, now, envs),
            then: sides.0,
            now: sides.1,
        }
    }
}

fn side(record: &Measurement) -> Side {
    let stats = record.stats.as_ref().filter(|_| record.status == Status::Ok);
    let figures = stats.map(|stats| {
        let (lo, hi) = stats.ci.as_ref().map_or((stats.min, stats.max), |ci| (ci.lo, ci.hi));
        Figures { n: stats.n, median: stats.median, lo, hi, is_interval: stats.ci.is_some() }
    });
    let line =
        record.outcome().map(|outcome| measurement_line("", &Value::Null, &outcome)).unwrap_or_default();
    Side {
        id: record.facts.id.clone(),
        started_unix_s: record.facts.started_unix_s,
        host: record.host.clone(),
        status: record.status,
        reason: record.reason.clone(),
        figures,
        line: line.trim_start_matches(": ").into(),
    }
}

impl Side {
    fn place(&self) -> &str {
        if self.host.is_empty() { "no node" } else { &self.host }
    }
}

/// Do they agree, if that can be told? And in words.
fn judge(then: &Side, now: &Side, better: Better, min_effect: f64) -> (Option<bool>, String) {
    let (Some(was), Some(is)) = (then.figures, now.figures) else {
        let (was, is) = (then.status.word(), now.status.word());
        return match then.status == now.status {
            true => (Some(true), format!("agrees: {is} again")),
            false => (Some(false), format!("does not agree: it ended {is}, and {was} then")),
        };
    };
    let both = was.is_interval && is.is_interval;
    let ratio = ratio(was, is, better);
    let is_small = |ratio: &Ratio| ratio.hi <= 1.0 + min_effect && ratio.lo >= 1.0 / (1.0 + min_effect);
    let is_same = (was.lo, was.hi) == (is.lo, is.hi) && was.lo == was.hi;
    let is_near = is_same || ratio.as_ref().is_some_and(is_small);
    if both && was.lo <= is.hi && is.lo <= was.hi {
        return (Some(true), "agrees: the intervals overlap".into());
    }
    if is_near {
        let near = percent(min_effect);
        let why = match both {
            true => format!("the intervals do not overlap, but are less than {near} apart"),
            false => format!("no two runs are {near} apart"),
        };
        return (Some(true), format!("agrees: {why}"));
    }
    let change = ratio.map(|_| format!("{} ", percent((is.median / was.median - 1.0).abs())));
    let change = change.unwrap_or_default();
    let higher = is.median > was.median;
    let direction = match is.median == was.median {
        true => "the same",
        false if higher => "higher",
        false => "lower",
    };
    if !both {
        // Two runs of one program each have ranges apart in one case of three.
        let few = "too few runs to tell: with 7 of each, better more, it is known";
        return (None, format!("{few} (n = {} then, {} now; now {change}{direction})", was.n, is.n));
    }
    let judged = if higher == (better == Better::More) { "better" } else { "worse" };
    (
        Some(false),
        format!("does not agree: the intervals do not overlap; now {change}{direction}, which is {judged}"),
    )
}

fn percent(part: f64) -> String {
    let digits = if part < 0.1 { 2 } else { 0 };
    let text = format!("{:.digits$}", part * 100.0);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// The interval is a cautious one: from the least to the largest that the two intervals allow.
fn ratio(then: Figures, now: Figures, better: Better) -> Option<Ratio> {
    let (above, below) = match better {
        Better::Less => (then, now),
        Better::More => (now, then),
    };
    let is_positive = above.lo > 0.0 && below.lo > 0.0;
    is_positive.then(|| Ratio {
        median: above.median / below.median,
        lo: above.lo / below.hi,
        hi: above.hi / below.lo,
    })
}

fn binary(then: &Measurement, now: &Measurement, rebuilt: &[Rebuilt]) -> Option<Binary> {
    let (was, is) = (then.facts.artefact?, now.facts.artefact?);
    let built = rebuilt.iter().find(|built| built.was.artefact == Some(was));
    Some(Binary {
        then: was.to_string(),
        now: is.to_string(),
        rebuilt: built.is_some(),
        damaged: built.is_some_and(|built| built.state == State::Damaged),
        same_code: if was == is { Some(true) } else { built.and_then(Rebuilt::has_same_code) },
    })
}

fn differences(then: &Measurement, now: &Measurement, envs: &BTreeMap<Hash, Env>) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |what: &str, then: Option<String>, now: Option<String>| {
        if then != now {
            let shown = |value: Option<String>| value.unwrap_or_else(|| "not known".into());
            found.push(Difference { what: what.into(), then: shown(then), now: shown(now) });
        }
    };
    compare("host", Some(then.host.clone()), Some(now.host.clone()));
    let of = |m: &Measurement| m.facts.env.and_then(|id| serde_json::to_value(envs.get(&id)?).ok());
    if let (Some(Value::Object(was)), Some(Value::Object(is))) = (of(then), of(now)) {
        for (name, value) in is.iter().filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str())) {
            compare(name, was.get(name).and_then(text), text(value));
        }
    }
    let placed = |m: &Measurement| Some(m.facts.placement.as_ref()?.placed.as_ref()?.cpus.clone());
    compare("cores", placed(then), placed(now));
    let program = |m: &Measurement| m.facts.program();
    let file = |m: &Measurement| program(m).map(|content| format!("{content:08x}"));
    compare("the program file", file(then), file(now));
    let load = |m: &Measurement| m.moving.load1.map(|[before, _]| before);
    if let (Some(was), Some(is)) = (load(then), load(now))
        && (was - is).abs() > LOAD
    {
        compare("load before it", Some(format!("{was:.2}")), Some(format!("{is:.2}")));
    }
    let version = |m: &Measurement| text(m.reserved.harness.as_ref()?.get("version")?);
    compare("harness", version(then), version(now));
    compare("flags", Some(listed(&then.flags)), Some(listed(&now.flags)));
    found
}

/// In which order flags were raised says nothing.
fn listed(flags: &[String]) -> String {
    let mut flags = flags.to_vec();
    flags.sort();
    if flags.is_empty() { "none".into() } else { flags.join(" ") }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.trim().into()),
        other => Some(other.to_string()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.name, &self.key[..short(Hash::default()).len()])?;
        let ago = self.then.started_unix_s.zip(self.now.started_unix_s).map(|(then, now)| now - then);
        let ago = ago.map(|ago| format!(", {} before", duration(ago.max(0.0)))).unwrap_or_default();
        writeln!(f, "  then:   {} (on {}{ago})", self.then.line, self.then.place())?;
        writeln!(f, "  now:    {} (on {})", self.now.line, self.now.place())?;
        if let Some(Ratio { median, lo, hi }) = &self.ratio {
            writeln!(f, "  ratio:  {median:.3}, between {lo:.3} and {hi:.3}; above 1 is better now")?;
        }
        if let Some(binary) = &self.binary {
            writeln!(f, "  binary: {binary}")?;
        }
        for Difference { what, then, now } in &self.differs {
            writeln!(f, "  {what}: {then}, now {now}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { then, now, rebuilt, damaged, same_code } = self;
        let was = if *damaged { "was damaged in the store" } else { "was gone" };
        match (rebuilt, then == now) {
            (false, _) => write!(f, "the same, from the store"),
            (true, true) => write!(f, "{was}, built again, the same"),
            (true, false) => {
                let code = match same_code {
                    Some(true) => "; its code and data are the same",
                    Some(false) => "; its code or data differ",
                    None => "",
                };
                write!(f, "{was}, built again, another one{code}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Interval, MeasureResult, MeasureSpec, Outcome, StopReason, Summary, TaskFacts};

    fn measured(lo: f64, median: f64, hi: f64, n: u32) -> Measurement {
        let ci = (n >= 7).then_some(Interval { lo, hi, level: 0.95, exact_level: 0.97 });
        let stats = Summary { n, min: lo, median, max: hi, ci, ..Summary::default() };
        let detail = crate::model::Detail::Measure(Box::new(MeasureResult::sample(stats, StopReason::Fixed)));
        let outcome =
            Outcome { reason: None, host: "node1".into(), detail, ..Outcome::failed(Status::Ok, "") };
        Measurement::from(TaskFacts::default(), &MeasureSpec::default(), &outcome)
    }

    fn report(then: &Measurement, now: &Measurement) -> Report {
        Report::of(then, now, &BTreeMap::new(), &[], 0.01)
    }

    #[test]
    fn intervals_that_overlap_agree_and_others_do_unless_they_are_near() {
        let then = measured(0.99, 1.0, 1.01, 10);
        for (now, agrees, verdict) in [
            (measured(1.0, 1.02, 1.04, 10), Some(true), "agrees: the intervals overlap"),
            (
                measured(1.2, 1.25, 1.3, 10),
                Some(false),
                "does not agree: the intervals do not overlap; now 25 % higher, which is worse",
            ),
            (
                measured(0.97, 0.975, 0.98, 10),
                Some(false),
                "does not agree: the intervals do not overlap; now 2.5 % lower, which is better",
            ),
            (
                measured(1.0, 1.1, 1.2, 3),
                None,
                "too few runs to tell: with 7 of each, better more, it is known (n = 10 then, 3 now; now 10 % higher)",
            ),
            (
                measured(1.0, 1.0, 1.3, 3),
                None,
                "too few runs to tell: with 7 of each, better more, it is known (n = 10 then, 3 now; now 0 % the same)",
            ),
            (
                measured(1.2, 1.25, 1.3, 3),
                None,
                "too few runs to tell: with 7 of each, better more, it is known (n = 10 then, 3 now; now 25 % higher)",
            ),
        ] {
            let report = report(&then, &now);
            assert_eq!((report.agrees, report.verdict.as_str()), (agrees, verdict));
        }
        let zero = report(&measured(0.0, 0.0, 0.0, 3), &measured(0.0, 0.0, 0.0, 3));
        assert_eq!(zero.agrees, Some(true));
        let near = report(&measured(0.9999, 1.0, 1.0001, 10), &measured(1.002, 1.003, 1.004, 10));
        let says = "agrees: the intervals do not overlap, but are less than 1 % apart";
        assert_eq!((near.agrees, near.verdict.as_str()), (Some(true), says));
    }

    #[test]
    fn the_ratio_is_above_1_where_it_is_better_now() {
        let (fast, slow) = (measured(0.9, 1.0, 1.1, 10), measured(1.8, 2.0, 2.2, 10));
        let ratio = |then: &Measurement, now: &Measurement| {
            let Ratio { median, lo, hi } = report(then, now).ratio.unwrap();
            [lo, median, hi].map(|figure| (figure * 1000.0).round() / 1000.0)
        };
        assert_eq!(ratio(&slow, &fast), [1.636, 2.0, 2.444]);
        assert_eq!(ratio(&fast, &slow), [0.409, 0.5, 0.611]);
        let (mut low, high) = (fast, slow);
        low.objective.better = Better::More;
        assert_eq!(ratio(&low, &high), [1.636, 2.0, 2.444]);
        let verdict = report(&low, &high).verdict;
        assert!(verdict.ends_with("now 100 % higher, which is better"), "{verdict}");
    }

    #[test]
    fn a_failure_agrees_with_the_same_failure() {
        let failed = |status| {
            let outcome = Outcome::failed(status, "because");
            Measurement::from(TaskFacts::default(), &MeasureSpec::default(), &outcome)
        };
        let (ok, timeout) = (measured(1.0, 1.0, 1.0, 10), failed(Status::Timeout));
        for (then, now, agrees, verdict) in [
            (&timeout, &timeout, Some(true), "agrees: timeout again"),
            (&ok, &timeout, Some(false), "does not agree: it ended timeout, and ok then"),
            (&timeout, &ok, Some(false), "does not agree: it ended ok, and timeout then"),
        ] {
            let report = report(then, now);
            assert_eq!((report.agrees, report.verdict.as_str()), (agrees, verdict));
        }
    }

    #[test]
    fn what_was_not_the_same_is_told() {
        let (mut then, mut now) = (measured(1.0, 1.0, 1.0, 10), measured(1.0, 1.0, 1.0, 10));
        let env = |governor: &str, kernel: &str| {
            let env = Env { governor: Some(governor.into()), kernel: Some(kernel.into()), ..Env::default() };
            env.named()
        };
        let (was, is) = (env("performance", "6.1"), env("powersave", "6.1"));
        (then.facts.env, now.facts.env) = (was.id, is.id);
        (then.moving.load1, now.moving.load1) = (Some([0.1, 0.2]), Some([3.0, 0.2]));
        now.flags = vec!["drift".into()];
        let envs = [was, is].into_iter().map(|env| (env.id.unwrap(), env)).collect();
        let text = Report::of(&then, &now, &envs, &[], 0.01).to_string();
        assert_eq!(
            text,
            "measure (00000000)\n  then:   median 1.000 s, 95 % CI [1.000, 1.000], n = 10, fixed (on node1)\n  now:    \
             median 1.000 s, 95 % CI [1.000, 1.000], n = 10, fixed; drift (on node1)\n  ratio:  1.000, between 1.000 \
             and 1.000; above 1 is better now\n  governor: performance, now powersave\n  load before it: 0.10, now 3.00\n  flags: none, now \
             drift\nagrees: the intervals overlap\n"
        );
    }

    #[test]
    fn a_program_that_was_built_again_says_whether_it_is_the_same() {
        let of = |artefact: &[u8], code: &[u8]| CompileResult {
            artefact: Some(Hash::of(artefact)),
            text_hash: Some(Hash::of(code)),
            ..CompileResult::default()
        };
        let said = |was: CompileResult, is: CompileResult| {
            let (mut then, mut now) = (measured(1.0, 1.0, 1.0, 10), measured(1.0, 1.0, 1.0, 10));
            (then.facts.artefact, now.facts.artefact) = (was.artefact, is.artefact);
            binary(&then, &now, &[Rebuilt { was, is, state: State::Gone }]).unwrap().to_string()
        };
        assert_eq!(said(of(b"a", b"c"), of(b"a", b"c")), "was gone, built again, the same");
        let other = said(of(b"a", b"c"), of(b"b", b"c"));
        assert_eq!(other, "was gone, built again, another one; its code and data are the same");
        assert!(said(of(b"a", b"c"), of(b"b", b"d")).ends_with("; its code or data differ"));
    }
}
