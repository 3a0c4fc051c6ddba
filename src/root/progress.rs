//! What the root says on stderr while a campaign runs, and what it remembers for the last table.
//!
//! The driver produces events; this is one of their consumers: it counts, and it says when the counts are to be
//! shown. How they are drawn is a [`Display`]'s affair. While a measurement has the root's own node nothing is
//! shown, except between two of them. Stdout belongs to the script.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::port::WorkerInfo;
use crate::model::human::count;
use crate::model::{Failures, Kind, Outcome, PoolId, Row, Status, TaskOptions};
use crate::say::post;

/// With nothing to say, look again so often.
const REST: Duration = Duration::from_secs(3600);

/// After so long with the root's node a measurement may be one that hangs, and is told if it has no limit; later ones after twice as
/// long each time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Notes, progress, the last table.
    Normal,
    /// Pools and their workers too.
    Verbose,
}

/// Shows people how far the campaign is.
pub trait Display: Send + Sync {
    /// How long a picture stays.
    fn every(&self) -> Duration;
    /// Shows the counts in the place of the last ones.
    fn show(&self, standing: &Standing);
    /// Leaves the terminal as it was found; what is written from now on is not disturbed.
    fn close(&self);
}

/// How far the campaign is.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The kinds that occurred.
    pub kinds: BTreeMap<Kind, Count>,
    /// Workers at hand.
    pub workers: usize,
    /// How long the rest will take; none until every kind that is left has been seen to end.
    pub left: Option<Duration>,
    /// So many tasks are on their way, as many as may be, and the script waits for one to end.
    pub full: Option<u64>,
}

/// Tasks of one kind, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All there are, and those that are known to come.
    pub submitted: usize,
    /// On a worker, and not in a queue there; or ended just now, and not yet recorded.
    pub running: usize,
    /// Ended, in whatever way.
    pub done: usize,
    /// Of those, the ones that did not end well.
    pub failed: usize,
}

impl Standing {
    /// All kinds together.
    pub fn total(&self) -> Count {
        self.kinds.values().fold(Count::default(), |sum, of| Count {
            submitted: sum.submitted + of.submitted,
            running: sum.running + of.running,
            done: sum.done + of.done,
            failed: sum.failed + of.failed,
        })
    }
}

impl Count {
    /// Neither ended nor sent off.
    pub fn waiting(&self) -> usize {
        self.submitted.saturating_sub(self.done + self.running)
    }
}

/// A measurement or comparison that ended, as far as the last table needs it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Kind of task.
    pub kind: Kind,
    /// `name` of the task.
    pub name: Option<String>,
    /// `params` of the task.
    pub params: Option<serde_json::Value>,
    /// What it did, if it has neither and that is known.
    pub what: Option<String>,
    /// How it ended.
    pub outcome: Arc<Outcome>,
}

impl Line {
    /// For a table.
    pub fn row(&self) -> Row<'_> {
        Row {
            kind: self.kind,
            name: self.name.as_deref(),
            params: self.params.as_ref(),
            what: self.what.as_deref(),
            outcome: &self.outcome,
        }
    }
}

/// What the last table needs.
#[derive(Default)]
pub struct Tally {
    /// Ended tasks by status.
    pub ended: BTreeMap<Status, usize>,
    /// Of those, how many the journal answered.
    pub replays: usize,
    /// Measurements and comparisons, in the order they ended.
    pub lines: Vec<Line>,
    /// Why tasks failed, and for how many each stands.
    pub failures: Vec<(String, usize)>,
}

/// What is so at this moment, and counted elsewhere.
pub(super) struct Present {
    /// Tasks that run now, or ran and are being recorded, by kind.
    pub(super) running: [(Kind, u64); 5],
    /// Workers at hand.
    pub(super) workers: usize,
    /// See [`Standing::full`].
    pub(super) full: Option<u64>,
    /// See [`Port::add_to_come`](super::port::Port::add_to_come).
    pub(super) to_come: u64,
    /// See [`Port::add_searches`](super::port::Port::add_searches).
    pub(super) searches: bool,
}

/// Counts and lines.
pub struct Progress {
    verbosity: Verbosity,
    /// None with `-q`.
    display: Option<Arc<dyn Display>>,
    kinds: BTreeMap<Kind, Count>,
    learned: Learned,
    pace: Pace,
    /// Of the ended ones, those the journal answered.
    replays: usize,
    /// Ended tasks by status.
    ended: BTreeMap<Status, usize>,
    lines: Vec<Line>,
    failures: Failures,
    next_show: Option<Instant>,
    /// A measurement has the root's own node, and until when nobody is to look whether it hangs.
    quiet: Option<Instant>,
    patience: Duration,
    /// One has just ended there, and what follows was not sent off yet.
    gap: bool,
}

/// What tasks that ran took: the rest will take as long.
#[derive(Default)]
struct Learned {
    /// When the first was sent off.
    since: Option<Instant>,
    /// Tasks that ended, and seconds they occupied a slot, by kind.
    spent: BTreeMap<Kind, (usize, f64)>,
}

impl Learned {
    /// Work is done at the pace it was done so far, whatever runs side by side.
    fn left(&self, kinds: &BTreeMap<Kind, Count>, now: Instant) -> Option<Duration> {
        let wall = now.saturating_duration_since(self.since?).as_secs_f64();
        let pace = self.spent.values().map(|(_, seconds)| seconds).sum::<f64>() / wall;
        let mut work = 0.0;
        for (kind, count) in kinds.iter().filter(|(_, count)| count.done < count.submitted) {
            let (ended, seconds) = self.spent.get(kind)?;
            work += seconds / *ended as f64 * (count.submitted - count.done) as f64;
        }
        Duration::try_from_secs_f64(work / pace).ok()
    }
}

impl Progress {
    /// Nothing has happened yet.
    pub fn new(verbosity: Verbosity, display: Option<Arc<dyn Display>>) -> Self {
        Self {
            verbosity,
            display,
            kinds: BTreeMap::new(),
            learned: Learned::default(),
            pace: Pace::default(),
            replays: 0,
            ended: BTreeMap::new(),
            lines: Vec::new(),
            failures: Failures::default(),
            next_show: None,
            quiet: None,
            patience: PATIENCE,
            gap: false,
        }
    }

    /// Something is wrong.
    pub fn problem(&self, text: &str) {
        post(format_args!("harness: {text}"));
    }

    /// Something people should know (not with `-q`).
    pub fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.problem(text);
        }
    }

    /// Something people may want to know (`-v`).
    pub fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.problem(text);
        }
    }

    pub(super) fn pool_open(&self, id: PoolId, workers: &[&WorkerInfo]) {
        for worker in workers {
            let gpus = worker.gpus as usize;
            let gpus = if gpus > 0 { count(gpus, "GPU") + ", " } else { String::new() };
            self.detail(&format!(
                "pool {id}: worker {} on {} ({}, {}, {gpus}{}{})",
                worker.id,
                worker.host,
                count(worker.slots as usize, "slot"),
                count(worker.cores as usize, "core"),
                worker.start,
                if worker.measures { "" } else { ", measures only what others cannot" }
            ));
        }
    }

    /// So many tasks were submitted.
    pub(super) fn submitted(&mut self, kind: Kind, count: usize, now: Instant) {
        self.kinds.entry(kind).or_default().submitted += count;
        if self.next_show.is_none() {
            self.next_show = self.display.as_ref().map(|display| now + display.every());
        }
    }

    /// So many tasks are not under way any more, and have not ended: nobody wants them, or they are submitted anew.
    pub(super) fn withdrawn(&mut self, kind: Kind, count: usize) {
        let of_kind = self.kinds.entry(kind).or_default();
        of_kind.submitted = of_kind.submitted.saturating_sub(count);
    }

    /// A task was sent off.
    pub(super) fn started(&mut self, now: Instant) {
        self.learned.since.get_or_insert(now);
        self.pace.began(now);
    }

    /// So many tasks ended like this: when, if they were sent off.
    pub(super) fn ended(
        &mut self,
        kind: Kind,
        count: usize,
        options: &TaskOptions,
        ran_until: Option<Instant>,
        what: impl FnOnce() -> Option<String>,
        outcome: &Arc<Outcome>,
    ) {
        let of_kind = self.kinds.entry(kind).or_default();
        of_kind.done += count;
        of_kind.failed += if outcome.ok() { 0 } else { count };
        // What was cancelled did not come to its end, and says nothing of how long the others take.
        if let Some(now) = ran_until.filter(|_| outcome.status != Status::Cancelled) {
            let (tasks, seconds) = self.learned.spent.entry(kind).or_default();
            *tasks += count;
            *seconds += outcome.elapsed_s;
            self.pace.ended(now, count);
        }
        *self.ended.entry(outcome.status).or_default() += count;
        // A million other tasks need no line each, however they ended.
        let is_listed = matches!(kind, Kind::Measure | Kind::Compare);
        if is_listed || !outcome.ok() {
            let TaskOptions { name, params, .. } = options;
            let what = if name.is_none() && params.is_none() { what() } else { None };
            let row =
                Row { kind, name: name.as_deref(), params: params.as_ref(), what: what.as_deref(), outcome };
            self.failures.add(&row, count);
            if is_listed {
                let (name, params, outcome) = (name.clone(), params.clone(), outcome.clone());
                self.lines.push(Line { kind, name, params, what, outcome });
            }
        }
    }

    /// Does a measurement have the root's own node? Then nothing of ours stirs there, but to see after minutes whether it hangs.
    pub(super) fn quiet(&mut self, quiet: bool, now: Instant) {
        let so_far = self.quiet.filter(|_| quiet);
        self.quiet = so_far.or_else(|| quiet.then(|| now + self.patience));
    }

    /// A measurement on the root's own node is over; if another follows, it was not sent off yet.
    pub(super) fn gap(&mut self) {
        self.gap = true;
    }

    /// A task was answered from the journal.
    pub(super) fn replayed(&mut self, kind: Kind, options: &TaskOptions, outcome: &Arc<Outcome>) {
        self.kinds.entry(kind).or_default().submitted += 1;
        self.replays += 1;
        self.ended(kind, 1, options, None, || None, outcome);
    }

    /// A task ended before any worker could be given it.
    pub(super) fn unrun(
        &mut self,
        kind: Kind,
        options: &TaskOptions,
        what: Option<String>,
        outcome: &Arc<Outcome>,
    ) {
        self.kinds.entry(kind).or_default().submitted += 1;
        self.ended(kind, 1, options, None, || what, outcome);
    }

    /// When `tick` has something to do.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.next_show.map_or(now + REST, |at| self.quiet.unwrap_or(at))
    }

    /// May something of ours run on the root's node at this moment?
    pub(super) fn may_stir(&self) -> bool {
        self.quiet.is_none() || self.gap
    }

    /// Ended tasks by status, and how many of them the journal answered.
    pub(super) fn ends(&self) -> (&BTreeMap<Status, usize>, usize) {
        (&self.ended, self.replays)
    }

    /// Tasks that ran to their end in a minute, over the last minutes.
    pub(super) fn per_minute(&self, now: Instant) -> Option<f64> {
        self.pace.per_minute(now)
    }

    /// Why tasks failed, a line for each way to fail, and for how many it stands.
    pub(super) fn failures(&self) -> impl Iterator<Item = (String, usize)> {
        self.failures.lines()
    }

    /// How far the campaign is.
    pub(super) fn standing(&self, now: Instant, present: Present) -> Standing {
        let mut kinds = self.kinds.clone();
        if present.to_come > 0 {
            kinds.entry(Kind::Call).or_default().submitted += present.to_come as usize;
        }
        // What a script that waits with a submit, or searches, still has for us nobody knows.
        let is_all = present.full.is_none() && !present.searches;
        let left = self.learned.left(&kinds, now).filter(|_| is_all);
        for (kind, number) in present.running {
            if let Some(count) = kinds.get_mut(&kind) {
                count.running = number as usize;
            }
        }
        Standing { kinds, workers: present.workers, left, full: present.full }
    }

    /// Shows how far the campaign is, if it is time.
    pub(super) fn tick(&mut self, now: Instant, look: impl FnOnce() -> Present) {
        let gap = std::mem::take(&mut self.gap);
        if gap {
            self.quiet = self.quiet.map(|_| now + self.patience); // of the one that follows
        }
        if self.next_show.is_none_or(|at| at > now) || self.quiet.is_some() && !gap {
            return;
        }
        let Some(display) = &self.display else { return };
        display.show(&self.standing(now, look()));
        self.next_show = (self.unfinished() > 0).then(|| now + display.every());
    }

    /// Has one measurement had the root's node for so long that it may hang? Once, then not before it had it for twice as long.
    pub(super) fn may_hang(&mut self, now: Instant) -> bool {
        let is_long = self.display.is_some() && self.quiet.is_some_and(|until| until <= now);
        if is_long {
            self.quiet = Some(now + self.patience);
            self.patience *= 2;
        }
        is_long
    }

    /// How many tasks had not ended.
    pub fn unfinished(&self) -> usize {
        self.kinds.values().map(|count| count.submitted.saturating_sub(count.done)).sum()
    }

    /// What the last table needs. Why there are no workers was said when it was found, and `message`, the last words, may say it
    /// again: enough.
    pub fn into_tally(self, message: Option<&str>) -> Tally {
        let failures = self.failures.unsaid(message.unwrap_or_default()).collect();
        Tally { ended: self.ended, replays: self.replays, lines: self.lines, failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Keeps what it is shown.
    #[derive(Default)]
    struct Album(Mutex<Vec<Standing>>);

    impl Display for Album {
        fn every(&self) -> Duration {
            Duration::from_secs(10)
        }
        fn show(&self, standing: &Standing) {
            self.0.lock().unwrap().push(standing.clone());
        }
        fn close(&self) {}
    }

    impl Album {
        fn pictures(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    fn present(running: u64, workers: usize) -> Present {
        Present {
            running: [Kind::Call, Kind::Exec, Kind::Compile, Kind::Measure, Kind::Compare]
                .map(|kind| (kind, running)),
            workers,
            full: None,
            to_come: 0,
            searches: false,
        }
    }

    fn at(began: Instant, seconds: u64) -> Instant {
        began + Duration::from_secs(seconds)
    }

    fn end(progress: &mut Progress, kind: Kind, status: Status, seconds: f64) {
        let outcome = Outcome { elapsed_s: seconds, ..Outcome::failed(status, "") };
        progress.ended(kind, 1, &TaskOptions::default(), Some(Instant::now()), || None, &Arc::new(outcome));
    }

    #[test]
    fn a_picture_every_ten_seconds_with_what_is_left() {
        let (album, t0) = (Arc::new(Album::default()), Instant::now());
        let mut progress = Progress::new(Verbosity::Normal, Some(album.clone()));
        assert!(progress.next(t0) > at(t0, 60), "nothing is asked for: nobody wakes the driver");
        for _ in 0..4 {
            progress.submitted(Kind::Exec, 1, t0);
        }
        for _ in 0..2 {
            progress.started(t0);
        }
        assert_eq!(progress.next(t0), at(t0, 10));
        progress.tick(at(t0, 9), || present(0, 1));
        assert_eq!(album.pictures(), 0);
        progress.tick(at(t0, 10), || present(0, 1));
        assert_eq!(album.0.lock().unwrap()[0].left, None, "nothing has ended that one could learn from");
        end(&mut progress, Kind::Exec, Status::Ok, 20.0);
        end(&mut progress, Kind::Exec, Status::Timeout, 20.0);
        progress.tick(at(t0, 20), || present(1, 3));
        let second = album.0.lock().unwrap()[1].clone();
        let count = Count { submitted: 4, running: 1, done: 2, failed: 1 };
        assert_eq!((second.total(), second.total().waiting(), second.workers), (count, 1, 3));
        // Two at a time, 20 s each: the other two take as long as these did.
        assert_eq!(second.left, Some(Duration::from_secs(20)));
        let standing = progress.standing(at(t0, 20), Present { searches: true, ..present(1, 3) });
        assert_eq!(standing.left, None, "a search submits more as it goes");
        // Calls are known to come, and nobody knows how long those take.
        let standing = progress.standing(at(t0, 20), Present { to_come: 7, ..present(1, 3) });
        let count = Count { submitted: 7, running: 1, ..Count::default() };
        assert_eq!((standing.kinds[&Kind::Call], standing.left), (count, None));
        end(&mut progress, Kind::Exec, Status::Ok, 20.0);
        end(&mut progress, Kind::Exec, Status::Ok, 20.0);
        progress.tick(at(t0, 40), || present(0, 3));
        assert_eq!(album.pictures(), 3);
        assert!(progress.next(at(t0, 40)) > at(t0, 60), "all is done: nothing more to show");
    }

    #[test]
    fn nothing_stirs_while_a_measurement_has_the_node() {
        let (album, t0) = (Arc::new(Album::default()), Instant::now());
        let mut progress = Progress::new(Verbosity::Normal, Some(album.clone()));
        progress.submitted(Kind::Measure, 1, t0);
        progress.submitted(Kind::Measure, 1, t0);
        progress.started(t0);
        progress.quiet(true, t0);
        assert_eq!(progress.next(t0), t0 + PATIENCE, "the driver is not woken for it");
        progress.tick(at(t0, 30), || present(0, 1));
        assert_eq!(album.pictures(), 0);
        // Between two measurements there is time, although the node stays quiet for the next.
        end(&mut progress, Kind::Measure, Status::Ok, 30.0);
        progress.gap();
        progress.tick(at(t0, 31), || present(0, 1));
        assert_eq!(album.pictures(), 1);
        progress.quiet(true, at(t0, 32));
        progress.tick(at(t0, 60), || present(0, 1));
        assert_eq!((album.pictures(), progress.next(at(t0, 60))), (1, at(t0, 31 + 60)));
        // One that does not end is looked at, ever more rarely, and nothing is drawn.
        assert!(
            !progress.may_hang(at(t0, 90)) && progress.may_hang(at(t0, 91)) && !progress.may_hang(at(t0, 92))
        );
        assert_eq!((album.pictures(), progress.next(at(t0, 92))), (1, at(t0, 91 + 60)));
        assert!(progress.may_hang(at(t0, 151)));
        assert_eq!(progress.next(at(t0, 152)), at(t0, 151 + 120));
        progress.quiet(false, at(t0, 160));
        assert!(!progress.may_hang(at(t0, 999)));
        progress.tick(at(t0, 160), || present(0, 1));
        assert_eq!(album.pictures(), 2);
    }

    #[test]
    fn without_a_display_nobody_is_woken() {
        let t0 = Instant::now();
        let mut progress = Progress::new(Verbosity::Quiet, None);
        progress.submitted(Kind::Call, 1, t0);
        assert!(progress.next(t0) > at(t0, 60));
        assert_eq!(progress.unfinished(), 1);
    }
}
