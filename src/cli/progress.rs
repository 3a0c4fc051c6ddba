//! How far a campaign is, for people: bars on a terminal, a line now and then elsewhere.
//!
//! Says it; does not know when (`root::progress` does) nor what a task is.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use super::bars::Bars;
use crate::model::human::{count, duration};
use crate::root::progress::{Display, Standing, Verbosity};
use crate::say::post;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What suits where stderr leads; none with `-q`.
pub(super) fn display(verbosity: Verbosity) -> Option<Arc<dyn Display>> {
    if verbosity == Verbosity::Quiet {
        return None;
    }
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let terminal = std::io::stderr().is_terminal() && !dumb;
    match terminal.then(Bars::open) {
        Some(Ok(bars)) => Some(Arc::new(bars)),
        // Lines do where there is no second terminal to be had (a container without /dev/pts).
        Some(Err(_)) | None => Some(Arc::new(Lines)),
    }
}

/// A line now and then.
struct Lines;

impl Display for Lines {
    fn every(&self) -> Duration {
        LINE_EVERY
    }

    fn show(&self, standing: &Standing) {
        post(format_args!("harness: {}", line(standing)));
    }

    fn close(&self) {}
}

/// `35 done (3 failed), 1 running, 19 waiting; 1 worker; about 40 s left`
fn line(standing: &Standing) -> String {
    let total = standing.total();
    let left = left(standing).map(|left| format!("; {left}")).unwrap_or_default();
    let full = full(standing.full).map(|full| format!("; {full}")).unwrap_or_default();
    format!(
        "{} done ({} failed), {} running, {} waiting; {}{left}{full}",
        total.done,
        total.failed,
        total.running,
        total.waiting(),
        count(standing.workers, "worker")
    )
}

/// Why the script does not go on, if it waits with a submit.
pub(super) fn full(most: Option<u64>) -> Option<String> {
    Some(format!(
        "the script waits with a submit: as many tasks as may be have not ended (--most-queued {})",
        most?
    ))
}

/// `about 40 s left`; none where it is not known, or nothing is.
pub(super) fn left(standing: &Standing) -> Option<String> {
    let seconds = standing.left?.as_secs_f64().round();
    (seconds >= 1.0).then(|| format!("about {} left", duration(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;
    use crate::root::progress::Count;

    #[test]
    fn a_line_has_all_of_it() {
        let builds = Count { submitted: 20, running: 0, done: 20, failed: 2 };
        let runs = Count { submitted: 35, running: 1, done: 15, failed: 1 };
        let kinds = [(Kind::Compile, builds), (Kind::Measure, runs)].into();
        let left = Some(Duration::from_millis(39_700));
        let standing = Standing { kinds, workers: 1, left, full: None };
        assert_eq!(line(&standing), "35 done (3 failed), 1 running, 19 waiting; 1 worker; about 40 s left");
        let standing = Standing { left: None, workers: 2, full: Some(100), ..standing };
        assert_eq!(
            line(&standing),
            "35 done (3 failed), 1 running, 19 waiting; 2 workers; the script waits with a submit: as many tasks as may be have not ended (--most-queued 100)"
        );
    }
}
