//! What the keeper was given and whether it still answers.
//!
//! A keeper may be stopped or hang in the kernel, and then its socket stays open. Silence is counted in the
//! worker's own heartbeats, not by the clock: a batch system that suspends the whole job stops both, and no
//! keeper must be lost for that. Knows nothing of sockets; the worker asks and reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::model::{Attempt, Run, TaskId};

/// See the module.
#[derive(Default)]
pub(super) struct Watch {
    running: BTreeMap<(TaskId, Attempt), Given>,
    /// Cores of all of it. Thousands of short programs may be there, and are not counted for each message.
    cores: u32,
    /// When those are overdue that have a time limit.
    overdue: BTreeSet<(Instant, TaskId, Attempt)>,
    /// Has it said anything at all?
    up: bool,
    /// Since it was asked, if it has not answered; the worker's time.
    silence: Option<Duration>,
}

struct Given {
    cores: u32,
    /// When its end is overdue, if it has a time limit.
    overdue: Option<Instant>,
}

impl Watch {
    /// It was given this, `now`; the end is overdue `grace` after the time limit.
    pub(super) fn sent(&mut self, run: &Run, now: Instant, grace: Duration) {
        self.ended(run.task, run.attempt); // should it be sent twice
        let limit = run.timeout.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        let overdue = limit.and_then(|limit| now.checked_add(limit)?.checked_add(grace));
        self.overdue.extend(overdue.map(|at| (at, run.task, run.attempt)));
        self.running.insert((run.task, run.attempt), Given { cores: run.cores, overdue });
        self.cores += run.cores;
    }

    /// This ended, or will not begin.
    pub(super) fn ended(&mut self, task: TaskId, attempt: Attempt) {
        let Some(Given { cores, overdue }) = self.running.remove(&(task, attempt)) else { return };
        self.cores -= cores;
        overdue.into_iter().for_each(|at| _ = self.overdue.remove(&(at, task, attempt)));
    }

    /// Was it given this attempt, and has not said how it ended?
    pub(super) fn runs(&self, task: TaskId, attempt: Attempt) -> bool {
        self.running.contains_key(&(task, attempt))
    }

    /// Cores held by what it runs.
    pub(super) fn cores(&self) -> u32 {
        self.cores
    }

    /// Is an answer of it needed for anything?
    pub(super) fn waits(&self) -> bool {
        !self.up || !self.running.is_empty()
    }

    /// When the first of its tasks is overdue.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        self.overdue.first().map(|(at, ..)| *at)
    }

    /// It said something.
    pub(super) fn heard(&mut self) {
        self.up = true;
        self.silence = None;
    }

    /// Nothing is asked of it now.
    pub(super) fn rest(&mut self) {
        self.silence = None;
    }

    /// For how long it owes an answer, a heartbeat after the last look: zero if it is to be asked now.
    pub(super) fn look(&mut self, heartbeat: Duration) -> Duration {
        let silence = self.silence.map_or(Duration::ZERO, |silence| silence + heartbeat);
        self.silence = Some(silence);
        silence
    }
}

/// Who is woken so late was not only busy: the job was stopped as a whole (Ctrl-Z, `scontrol suspend`), or the node was.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// For how long the job stood still, if whoever slept from `now` on was woken that late. Somewhere in its sleep that began: all of it
/// counts, a heartbeat too much at the most.
pub(super) fn stood_still(now: Instant, deadline: Option<Instant>, woken: Instant) -> Option<Duration> {
    let due = deadline?.max(now);
    (woken.saturating_duration_since(due) >= STOOD_STILL).then(|| woken.saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExecSpec, Work};

    #[test]
    fn who_sleeps_too_long_stood_still_and_who_was_busy_did_not() {
        let now = Instant::now();
        let at = |s: u64| now + Duration::from_secs(s);
        assert_eq!(stood_still(at(10), Some(at(11)), at(15)), Some(Duration::from_secs(5)));
        assert_eq!(stood_still(at(10), Some(at(11)), at(11)), None);
        assert_eq!(stood_still(at(10), Some(at(2)), at(10)), None, "it was due before it slept");
        assert_eq!(stood_still(at(10), None, at(99)), None);
    }

    const BEAT: Duration = Duration::from_secs(1);

    #[test]
    fn silence_grows_with_each_look_and_ends_with_any_word() {
        let mut watch = Watch::default();
        assert!(watch.waits(), "its first word is waited for");
        assert_eq!([(); 3].map(|()| watch.look(BEAT)), [Duration::ZERO, BEAT, 2 * BEAT]);
        watch.heard();
        assert!(!watch.waits());
        assert_eq!(watch.look(BEAT), Duration::ZERO);
        watch.rest();
        assert_eq!(watch.look(BEAT), Duration::ZERO);
    }

    #[test]
    fn a_task_is_overdue_some_time_after_its_limit() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let run = |task, timeout| Run {
            task: TaskId(task),
            attempt: Attempt(0),
            timeout,
            cores: 2,
            pin: None,
            alone: false,
            gang: None,
            work: Work::Exec(ExecSpec::default()),
        };
        for (task, timeout) in [(1, None), (2, Some(f64::INFINITY)), (3, Some(5.0)), (4, Some(9.0))] {
            watch.sent(&run(task, timeout), now, BEAT);
        }
        assert_eq!((watch.cores(), watch.next_overdue()), (8, Some(now + 6 * BEAT)));
        watch.ended(TaskId(3), Attempt(0));
        assert_eq!((watch.cores(), watch.next_overdue()), (6, Some(now + 10 * BEAT)));
        assert!(watch.runs(TaskId(4), Attempt(0)) && !watch.runs(TaskId(3), Attempt(0)));
    }
}
