//! What `harness top` knows of a campaign, and what keys change. Pure: what it hears and what time it is are arguments.

use std::collections::VecDeque;

use serde_json::Value;

use crate::model::human::{comparison_lines, measurement_line, subject};
use crate::model::{CampaignStatus, Detail, Kind, Outcome, Record, TaskFacts};

/// The rate is that of so many seconds.
const RATE_OVER_S: f64 = 60.0;
/// A rate of less time would jump about, s.
const RATE_FROM_S: f64 = 3.0;
/// So many of the last measurements are kept.
const MEASURED_KEPT: usize = 100;
/// A page of workers, in lines.
const PAGE: usize = 10;

/// See the module.
#[derive(Default)]
pub(super) struct State {
    /// The last answer.
    pub(super) status: Option<CampaignStatus>,
    /// When it came, s since the beginning.
    pub(super) heard_s: f64,
    /// How things stand between it and us.
    pub(super) word: Word,
    /// What was measured, the last one first: what, and its figures.
    pub(super) measured: VecDeque<(String, String)>,
    /// Lines of workers above the first that is shown.
    pub(super) scroll: usize,
    /// So many make sense, by the last picture.
    pub(super) scrollable: usize,
    /// Nothing is asked.
    pub(super) paused: bool,
    /// The keys are explained.
    pub(super) help: bool,
    /// When how many tasks had run to their end.
    pub(super) samples: VecDeque<(f64, usize)>,
}

/// Does it answer?
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Word {
    /// At once.
    #[default]
    Live,
    /// When a measurement on its node has ended.
    Late,
    /// Not now, and why.
    Unheard(String),
    /// It ended, and how.
    Over(String),
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Up,
    Down,
    PageUp,
    PageDown,
    Pause,
    Help,
}

impl State {
    /// An answer came.
    pub(super) fn answered(&mut self, now: f64, status: CampaignStatus) {
        let done: usize = status.kinds.values().map(|kind| kind.done).sum();
        let done = done.saturating_sub(status.replayed);
        if self.samples.back().is_some_and(|(_, before)| *before > done) {
            self.samples.clear(); // another run of the script
        }
        self.samples.push_back((now, done));
        while self.samples.get(1).is_some_and(|(at, _)| *at <= now - RATE_OVER_S) {
            self.samples.pop_front();
        }
        self.status = Some(status);
        self.heard_s = now;
        self.word = Word::Live;
    }

    /// Tasks that run to their end in a minute; none as long as that cannot be said.
    pub(super) fn rate(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.samples.front()?, self.samples.back()?);
        (to - from >= RATE_FROM_S).then(|| (after - before) as f64 / (to - from) * 60.0)
    }

    /// Records came to the journal. What `harness rerun` repeats is none of the campaign's.
    pub(super) fn recorded(&mut self, records: Vec<Record>) {
        let tasks = records.into_iter().filter_map(Record::into_task);
        for (facts, outcome) in tasks.filter(|(facts, outcome)| facts.parent.is_none() && outcome.ok()) {
            for line in figures(&facts, &outcome) {
                self.measured.push_front(line);
            }
        }
        self.measured.truncate(MEASURED_KEPT);
    }

    /// A key was pressed; false if it is over.
    pub(super) fn pressed(&mut self, key: Key) -> bool {
        let to = |lines: usize| lines.min(self.scrollable);
        match key {
            Key::Quit => return false,
            Key::Up => self.scroll = to(self.scroll).saturating_sub(1),
            Key::Down => self.scroll = to(self.scroll + 1),
            Key::PageUp => self.scroll = to(self.scroll).saturating_sub(PAGE),
            Key::PageDown => self.scroll = to(self.scroll + PAGE),
            Key::Pause => self.paused = !self.paused,
            Key::Help => self.help = !self.help,
        }
        true
    }

    /// Is there anything more to ask?
    pub(super) fn asks(&self) -> bool {
        !self.paused && !matches!(self.word, Word::Over(_))
    }
}

/// What was measured, and its figures; of a comparison one for each variant.
fn figures(facts: &TaskFacts, outcome: &Outcome) -> Vec<(String, String)> {
    let name = facts.name.as_deref().unwrap_or(facts.kind.word());
    let name = subject(Some(name), facts.params.as_ref());
    match (&outcome.detail, facts.kind) {
        (Detail::Measure(_), Kind::Measure) => {
            let line = measurement_line("", &Value::Null, outcome);
            vec![(name, line.trim_start_matches(": ").to_string())]
        }
        (Detail::Compare(result), _) => {
            comparison_lines("", result).into_iter().rev().map(|line| (name.clone(), line)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KindStatus, MeasureResult, MeasureSpec, Status, StopReason, Summary};

    fn status(done: usize, replayed: usize) -> CampaignStatus {
        let kind = KindStatus { submitted: 100, done, ..KindStatus::default() };
        CampaignStatus { kinds: [(Kind::Exec, kind)].into(), replayed, ..CampaignStatus::default() }
    }

    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let mut state = State::default();
        assert_eq!(state.rate(), None);
        state.answered(0.0, status(10, 10));
        state.answered(1.0, status(11, 10));
        assert_eq!(state.rate(), None, "too soon to say");
        state.answered(10.0, status(15, 10));
        assert_eq!(state.rate(), Some(30.0));
        for second in 11..=100 {
            state.answered(f64::from(second), status(15, 10));
        }
        assert_eq!(state.rate(), Some(0.0), "what was before the last minute does not count");
        state.answered(101.0, status(2, 0));
        assert_eq!(state.rate(), None, "the script was started anew");
    }

    #[test]
    fn keys_scroll_within_what_there_is() {
        let mut state = State { scrollable: 12, ..State::default() };
        for (key, scroll) in [
            (Key::Up, 0),
            (Key::Down, 1),
            (Key::PageDown, 11),
            (Key::PageDown, 12),
            (Key::Down, 12),
            (Key::Up, 11),
            (Key::PageUp, 1),
        ] {
            assert!(state.pressed(key));
            assert_eq!(state.scroll, scroll, "{key:?}");
        }
        state.scroll = 99; // the terminal became larger
        state.pressed(Key::Up);
        assert_eq!(state.scroll, 11);
        assert!(state.asks() && state.pressed(Key::Pause) && !state.asks());
        assert!(state.pressed(Key::Help) && state.help);
        assert!(!state.pressed(Key::Quit));
        state.paused = false;
        state.word = Word::Over(String::new());
        assert!(!state.asks());
    }

    #[test]
    fn what_was_measured_is_told_the_last_one_first() {
        let record = |name: &str, status, parent: Option<&str>| {
            let facts = TaskFacts {
                kind: Kind::Measure,
                name: Some(name.into()),
                parent: parent.map(str::to_string),
                ..TaskFacts::default()
            };
            let result = MeasureResult::sample(Summary { n: 1, ..Summary::default() }, StopReason::Fixed);
            let detail = Detail::Measure(Box::new(result));
            let outcome = Outcome { detail, ..Outcome::failed(status, "") };
            Record::of_task(facts, Some(&MeasureSpec::default()), &outcome)
        };
        let mut state = State::default();
        state.recorded(vec![record("a", Status::Ok, None), record("a", Status::Ok, Some("x"))]);
        state.recorded(vec![record("c", Status::Timeout, None), record("b", Status::Ok, None)]);
        let names: Vec<&str> = state.measured.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert!(state.measured[0].1.starts_with("median 0 s, "), "{:?}", state.measured[0]);
        state.recorded((0..2 * MEASURED_KEPT).map(|_| record("d", Status::Ok, None)).collect());
        assert_eq!(state.measured.len(), MEASURED_KEPT);
    }
}
