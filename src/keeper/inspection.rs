//! Functions of the script that look at a run: which are asked, and what follows from what they say.
//!
//! They are asked when the program has ended, before anything else of its measurement begins: whether the run is as it
//! should be first, then figures by name. Whatever one says beside what is needed, and whatever becomes of it, is no
//! figure and no sample. Pure: the process they run in is the affair of `talk`.

use std::collections::BTreeMap;

use super::job::Step;
use super::metric::figure;
use super::run::{Ended, Finished, StartError};
use super::site::Failure;
use super::verdict::{judge, not_started};
use crate::model::{Found, Function, Inspection, MeasureSpec, MetricSource, Seen, Sought, Status};

/// What lane and process need to have it done.
pub struct Task {
    /// What is asked.
    pub inspection: Inspection,
    /// What the program wrote: standard output, standard error.
    pub wrote: [Vec<u8>; 2],
}

/// Who is asked about one run, in order.
pub struct Asked(Vec<Asking>);

struct Asking {
    /// The metric; none if it verifies.
    metric: Option<String>,
    /// Where the function was written.
    place: String,
}

/// Is a function to look at a run, one that is verified or not?
pub fn is_due(spec: &MeasureSpec, verifies: bool) -> bool {
    functions(spec, verifies).next().is_some()
}

fn functions(spec: &MeasureSpec, verifies: bool) -> impl Iterator<Item = (Option<&String>, &Function)> {
    let check = spec.verify.function.as_ref().filter(|_| verifies).map(|function| (None, function));
    let metrics = spec.metrics.iter().filter_map(|(name, metric)| match &metric.source {
        MetricSource::Function(function) => Some((Some(name), function)),
        _ => None,
    });
    check.into_iter().chain(metrics)
}

/// Asks those that are due about a run that is seen so; it wrote this.
pub fn ask(spec: &MeasureSpec, verifies: bool, seen: Seen, wrote: [Vec<u8>; 2]) -> (Asked, Step) {
    let (mut asked, mut given) = (Vec::new(), Vec::new());
    for (metric, function) in functions(spec, verifies) {
        let sought = if metric.is_some() { Sought::Figure } else { Sought::Verdict };
        asked.push(Asking { metric: metric.cloned(), place: function.place.clone() });
        given.push((sought, function.clone()));
    }
    // How long they may take is known where they run.
    let inspection = Inspection { seen, functions: given, limit_s: f64::INFINITY };
    (Asked(asked), Step::Inspect(Box::new(Task { inspection, wrote })))
}

impl Asked {
    /// The figures, from how the process ended that the functions ran in.
    pub fn figures(&self, last: Finished) -> Result<BTreeMap<String, f64>, Failure> {
        let ended = match last {
            Ok(ended) => ended,
            Err(error @ StartError::Forced(_)) => return Err(not_started(&error)),
            Err(error) => {
                let reason = format!("the process of its functions did not start: {error}");
                return Err(Failure::setup(reason));
            }
        };
        // Told to end, its process may still have said something: why it was told counts.
        let mut found = ended.found.iter().filter(|found| ended.forced.is_none() || found.goes_on());
        let mut figures = BTreeMap::new();
        for asking in &self.0 {
            match found.next() {
                Some(found) => figures.extend(asking.figure(found)?),
                None => return Err(asking.unanswered(&ended)),
            }
        }
        Ok(figures)
    }
}

impl Asking {
    /// What it says is a figure, or nothing against the run.
    fn figure(&self, found: &Found) -> Result<Option<(String, f64)>, Failure> {
        match (found, &self.metric) {
            (Found::Figure(number), Some(name)) => {
                let number = figure(*number).map_err(|what| self.fails(&format!("returned {what}")))?;
                Ok(Some((name.clone(), number)))
            }
            (Found::Passed, None) => Ok(None),
            (Found::Refused(Some(why)), None) => Err(self.verdict(format!("{why} (says {})", self.who()))),
            (Found::Refused(None), None) => Err(self.fails("returned false, without a reason")),
            (Found::Other(what), Some(_)) => Err(self.fails(&format!("returned {what}, not a number"))),
            (Found::Other(what), None) => {
                Err(self.fails(&format!("returned {what}, not true, or false and a reason")))
            }
            (Found::Raised(error), _) => Err(self.fails(&format!("raised an error: {error}"))),
            (Found::Lost(why), _) => Err(self.fails(why)),
            (Found::Figure(_) | Found::Passed | Found::Refused(_), _) => {
                Err(self.fails("was asked for one thing and said another"))
            }
        }
    }

    /// It was not heard of before its process ended.
    fn unanswered(&self, ended: &Ended) -> Failure {
        match judge(ended, &[]) {
            Err(Failure { status: status @ (Status::Timeout | Status::Cancelled), reason }) => {
                Failure { status, reason: format!("{}: {reason}", self.who()) }
            }
            Err(Failure { status: Status::Signal | Status::Oom, reason }) => {
                self.fails(&format!("ended its process: {reason}"))
            }
            _ => self.fails(&format!("ended its process: {} (os.exit?)", ended.exit)),
        }
    }

    fn fails(&self, what: &str) -> Failure {
        self.verdict(format!("{} {what}", self.who()))
    }

    fn verdict(&self, reason: String) -> Failure {
        match self.metric {
            Some(_) => Failure { status: Status::MetricMissing, reason },
            None => Failure { status: Status::VerifyFailed, reason },
        }
    }

    fn who(&self) -> String {
        match &self.metric {
            Some(name) => format!("metric `{name}`: its function at {}", self.place),
            None => format!("verify.fn at {}", self.place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::fake;
    use crate::keeper::run::Forced;
    use crate::model::{MetricSpec, Usage, VerifySpec};
    use crate::process::Exit;

    fn function(place: &str) -> Function {
        Function { place: place.into(), ..Function::default() }
    }

    /// A check, and functions for `a` and `b`; `c` is read.
    fn spec() -> MeasureSpec {
        let metric = |source| MetricSpec { source, ..MetricSpec::default() };
        MeasureSpec {
            verify: VerifySpec { function: Some(function("c.lua:1")), ..VerifySpec::default() },
            metrics: BTreeMap::from([
                ("a".into(), metric(MetricSource::Function(function("c.lua:2")))),
                ("b".into(), metric(MetricSource::Function(function("c.lua:3")))),
                ("c".into(), metric(MetricSource::Csv("c".into()))),
            ]),
            ..MeasureSpec::default()
        }
    }

    fn asked(spec: &MeasureSpec, verifies: bool) -> (Asked, Box<Task>) {
        let seen = Seen {
            phase: crate::model::Phase::Sample,
            dir: "/".into(),
            exit_code: Some(0),
            usage: Usage::default(),
            launched: false,
            stdout_bytes: 3,
            stderr_bytes: 0,
            metrics: BTreeMap::new(),
        };
        let (asked, step) = ask(spec, verifies, seen, [b"out".to_vec(), Vec::new()]);
        let Step::Inspect(task) = step else { panic!("nothing is asked") };
        (asked, task)
    }

    fn found(found: &[Found]) -> Ended {
        Ended { found: found.to_vec(), ..fake::ended(Exit::Code(0), "") }
    }

    #[test]
    fn the_check_comes_first_and_only_where_it_is_due() {
        let spec = spec();
        let places = |verifies| {
            let (_, task) = asked(&spec, verifies);
            let places = task.inspection.functions.iter().map(|(_, function)| function.place.clone());
            places.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            (places(true).as_str(), places(false).as_str()),
            ("c.lua:1 c.lua:2 c.lua:3", "c.lua:2 c.lua:3")
        );
        let only_check = MeasureSpec { metrics: BTreeMap::new(), ..spec };
        assert!(is_due(&only_check, true) && !is_due(&only_check, false));
        assert!(!is_due(&MeasureSpec::default(), true));
    }

    #[test]
    fn figures_come_by_name() {
        let (asked, task) = asked(&spec(), true);
        assert_eq!(task.wrote, [b"out".to_vec(), Vec::new()]);
        let figures =
            asked.figures(Ok(found(&[Found::Passed, Found::Figure(1.0), Found::Figure(2.0)]))).unwrap();
        assert_eq!(figures, BTreeMap::from([("a".into(), 1.0), ("b".into(), 2.0)]));
    }

    #[test]
    fn whatever_else_is_said_is_the_status_of_who_says_it() {
        let (asked, _) = asked(&spec(), true);
        let failure = |said: &[Found]| asked.figures(Ok(found(said))).unwrap_err();
        let refused = failure(&[Found::Refused(Some("off".into()))]);
        assert_eq!(
            (refused.status, refused.reason.as_str()),
            (Status::VerifyFailed, "off (says verify.fn at c.lua:1)")
        );
        let missing = failure(&[Found::Passed, Found::Figure(1.0), Found::Figure(f64::NAN)]);
        let reason = "metric `b`: its function at c.lua:3 returned nan, which is not a finite number";
        assert_eq!((missing.status, missing.reason.as_str()), (Status::MetricMissing, reason));
        for (said, status) in [
            (vec![Found::Other("nil".into())], Status::VerifyFailed),
            (vec![Found::Raised("x".into())], Status::VerifyFailed),
            (vec![Found::Figure(1.0)], Status::VerifyFailed),
            (vec![], Status::VerifyFailed),
            (vec![Found::Passed], Status::MetricMissing),
            (vec![Found::Passed, Found::Passed], Status::MetricMissing),
            (vec![Found::Passed, Found::Refused(None)], Status::MetricMissing),
            (vec![Found::Passed, Found::Figure(1.0), Found::Lost("was lost".into())], Status::MetricMissing),
        ] {
            assert_eq!(failure(&said).status, status, "{said:?}");
        }
    }

    #[test]
    fn who_ends_the_task_decides_how_it_ends() {
        let (asked, _) = asked(&spec(), false);
        let stopped = Ended {
            forced: Some(Forced::Timeout(2.0)),
            ..found(&[Found::Figure(1.0), Found::Lost("x".into())])
        };
        let failure = asked.figures(Ok(stopped)).unwrap_err();
        let reason = "metric `b`: its function at c.lua:3: ran into its timeout of 2 s; it was killed";
        assert_eq!((failure.status, failure.reason.as_str()), (Status::Timeout, reason));
        let failure = asked.figures(Err(StartError::Forced(Forced::Cancelled))).unwrap_err();
        assert_eq!(failure.status, Status::Cancelled);
        let failure = asked.figures(Err(StartError::System(std::io::Error::other("full")))).unwrap_err();
        assert_eq!(failure.status, Status::SetupFailed, "{}", failure.reason);
    }
}
