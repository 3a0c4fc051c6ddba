//! How a comparison of sessions reads: a line for each row in a terminal, a table in Markdown, annotations of GitHub.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::{Again, Gate, Row, Side, Told, Verdict};
use crate::model::human::{count, visible};
use crate::model::markdown::{cell, line};

/// Verdicts have this much room.
const VERDICT: usize = 12;

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", visible(&self.journals()))?;
        for note in &self.notes {
            writeln!(f, "note: {}", visible(note))?;
        }
        for row in &self.rows {
            writeln!(f, "{:VERDICT$} {}: {}", row.verdict.word(), row.name, row.line())?;
        }
        writeln!(f, "{}", self.summary())
    }
}

impl Gate {
    fn journals(&self) -> String {
        format!("{}, before it {}", self.new, self.before.join(", "))
    }

    /// `40 rows: 1 slower, 2 unresolved, 37 same: regression`.
    pub fn summary(&self) -> String {
        let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(row.verdict).or_default() += 1;
        }
        let counts: Vec<String> =
            counts.iter().map(|(verdict, n)| format!("{n} {}", verdict.word())).collect();
        format!("{}: {}: {}", count(self.rows.len(), "row"), counts.join(", "), self.conclusion.words())
    }

    /// For a pull request: what is the same is folded.
    pub fn markdown(&self) -> String {
        let mut text = format!("**{}**\n\n", cell(&self.summary()));
        let _ = writeln!(text, "{}\n", cell(&self.journals()));
        for note in &self.notes {
            let _ = writeln!(text, "> {}\n", cell(note));
        }
        let (same, others): (Vec<&Row>, Vec<&Row>) =
            self.rows.iter().partition(|row| row.verdict == Verdict::Same);
        table(&mut text, &others);
        if !same.is_empty() {
            let _ = writeln!(text, "<details><summary>{} the same</summary>\n", same.len());
            table(&mut text, &same);
            text.push_str("</details>\n");
        }
        text
    }

    /// A workflow command for each row that somebody should look at.
    pub fn annotations(&self) -> Vec<String> {
        let line = |row: &Row| {
            let level = match row.verdict {
                verdict if verdict.is_regression() => "error",
                verdict if verdict.is_open() => "warning",
                Verdict::Faster | Verdict::Fixed | Verdict::Unconfirmed => "notice",
                _ => return None,
            };
            let title = property(&format!("{} {}", row.verdict.word(), row.name));
            Some(format!("::{level} title={title}::{}", data(&format!("{}: {}", row.name, row.line()))))
        };
        self.rows.iter().filter_map(line).collect()
    }
}

/// So many flags of a side are named.
const FLAGS: usize = 4;

impl Row {
    /// What there is to say of it.
    pub(super) fn line(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.told.as_ref().map(|told| self.change(told)));
        parts.extend(self.told.as_ref().map(|_| self.medians()));
        if let Some(again) = &self.again {
            parts.push(format!("{}, {}, n = {}", self.once_more(again), again.side.shown, again.side.n));
        }
        parts.extend(self.reason.clone());
        parts.extend(self.flags());
        parts.join("; ")
    }

    fn once_more(&self, again: &Again) -> String {
        format!("measured once more {}", self.change(&again.told))
    }

    /// `flags drift, noisy_env:steal, before drift`: what to know before believing the figures. All of many are in the JSON.
    fn flags(&self) -> Option<String> {
        self.now.as_ref()?; // of what is missing there are no figures
        let listed = |sides: &mut dyn Iterator<Item = &Side>| {
            let flags: BTreeSet<&str> = sides.flat_map(|side| &side.flags).map(String::as_str).collect();
            let shown = flags.iter().take(FLAGS).copied().collect::<Vec<_>>().join(", ");
            let more = flags.len().saturating_sub(FLAGS);
            if more == 0 { shown } else { format!("{shown} and {more} more") }
        };
        let again = self.again.iter().map(|again| &again.side);
        let now = listed(&mut self.now.iter().chain(again));
        let before = listed(&mut self.before.iter());
        match (now.is_empty(), before.is_empty()) {
            (true, true) => None,
            (false, true) => Some(format!("flags {now}")),
            (true, false) => Some(format!("flags before {before}")),
            (false, false) if now == before => Some(format!("flags {now}, before the same")),
            (false, false) => Some(format!("flags {now}, before {before}")),
        }
    }

    /// `1.082x slower, 95 % CI [1.061, 1.104]`.
    fn change(&self, told: &Told) -> String {
        let is_time = self.found.as_ref().is_some_and(|found| found.is_time);
        let (word, ratio, lo, hi) = if told.ratio < 1.0 {
            (if is_time { "slower" } else { "worse" }, 1.0 / told.ratio, 1.0 / told.hi, 1.0 / told.lo)
        } else {
            (if is_time { "faster" } else { "better" }, told.ratio, told.lo, told.hi)
        };
        let ratio = format!("{ratio:.3}x");
        let word = if ratio == "1.000x" { String::new() } else { format!(" {word}") };
        format!("{ratio}{word}, 95 % CI [{lo:.3}, {hi:.3}]")
    }

    /// `1.234 s, before 1.141 s; n = 15, before 10 to 15 in each of 3 sessions`.
    fn medians(&self) -> String {
        let now = self.now.as_ref().map(|now| now.shown.as_str()).unwrap_or_default();
        let runs = self.now.as_ref().map_or(0, |now| now.n);
        format!("{now}, before {}; n = {runs}, before {}", self.before_shown, self.runs_before())
    }

    fn runs_before(&self) -> String {
        let least = self.before.iter().map(|side| side.n).min().unwrap_or(0);
        let most = self.before.iter().map(|side| side.n).max().unwrap_or(0);
        let runs = if least == most { least.to_string() } else { format!("{least} to {most}") };
        match self.before.len() {
            0 | 1 => runs,
            sessions => format!("{runs} in each of {}", count(sessions, "session")),
        }
    }
}

fn table(text: &mut String, rows: &[&Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str("| | row | change | now | before | n | |\n|---|---|---|---|---|---|---|\n");
    for row in rows {
        let change = row.told.as_ref().map(|told| row.change(told)).unwrap_or_default();
        let runs = row.now.as_ref().map_or(String::new(), |now| format!("{}, {}", now.n, row.runs_before()));
        let again = row.again.as_ref().map(|again| row.once_more(again));
        let more: Vec<String> = again.into_iter().chain(row.reason.clone()).chain(row.flags()).collect();
        let cells = [
            row.verdict.word(),
            &row.name,
            &change,
            row.now.as_ref().map_or("", |now| &now.shown),
            &row.before_shown,
            &runs,
            &more.join("; "),
        ];
        text.push_str(&line(&cells.map(cell)));
    }
    text.push('\n');
}

/// The text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of one.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
