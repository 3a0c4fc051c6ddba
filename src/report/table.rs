//! A campaign as a table: what was measured and compared, each with its interval and against the first of its name, and
//! what failed. Pure: records in, text out; on a terminal flags and names are cut so that lines fit, figures never.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use regex::Regex;

use super::baselines::{baseline, trial_of};
use super::date::utc;
use super::natural::natural;
use super::runs::{Numbers, script_of};
use super::{Campaign, ONLY_WITH_KEY, columns};
use crate::model::human::{count, status_in_short, subject, tally, visible};
use crate::model::units::Unit;
use crate::model::{
    Better, CompareResult, Compared, Detail, Hash, Kind, MeasureResult, Outcome, Record, Row, Session,
    Status, Summary, TaskFacts, failures,
};

/// Of a key so many digits are shown.
const KEY_DIGITS: usize = 8;
/// Of so many names the base is told.
const BASES_TOLD: usize = 12;

/// What is shown, and in which order.
#[derive(Debug, Default)]
pub struct Choice {
    /// The order.
    pub sort: Sort,
    /// Names, or names with their search points, that match.
    pub name: Option<Glob>,
    /// Only what ended so; empty: all.
    pub status: Vec<Status>,
}

/// An order of measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// As they ended.
    #[default]
    Time,
    /// By name and search point, numbers in them by their size.
    Name,
    /// Within each name the best first.
    Median,
}

/// A pattern of names: `*` is any text, `?` any character.
#[derive(Clone, Debug)]
pub struct Glob(Regex);

impl Glob {
    /// Reads one.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        let escaped = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
        Regex::new(&format!("(?s)^{escaped}$")).map(Self)
    }

    fn is_of(&self, facts: &TaskFacts) -> bool {
        self.0.is_match(facts.name.as_deref().unwrap_or_default())
            || self.0.is_match(&subject(facts.name.as_deref(), facts.params.as_ref()))
    }
}

/// What of a campaign was chosen.
pub struct Listing {
    script: String,
    sessions: Vec<Session>,
    repeats: usize,
    /// All tasks of the campaign that are listed unless something else is chosen.
    all: usize,
    /// Those chosen, in their order.
    chosen: Vec<(TaskFacts, Outcome)>,
    /// Tasks that are left out.
    outdated: usize,
    /// Ids of those that are listed though they are outdated.
    old: BTreeSet<String>,
    bases: BTreeMap<(String, Option<Hash>), Base>,
    /// By the name of a search.
    baselines: BTreeMap<String, Base>,
    /// Which run recorded what.
    numbers: Numbers,
}

/// The first of a name under one script, with which the others are compared, or the baseline of a search.
struct Base {
    id: String,
    subject: String,
    objective: (String, Option<String>),
    better: Better,
    median: f64,
    /// Its median as it reads.
    shown: String,
    /// Others of its name.
    others: usize,
}

impl Base {
    fn of(facts: &TaskFacts, subject: String, result: &MeasureResult, stats: &Summary) -> Self {
        Self {
            id: facts.id.clone(),
            subject,
            objective: objective(result),
            better: result.better,
            median: stats.median,
            shown: Unit::of(result, stats.median).with_name(stats.median),
            others: 0,
        }
    }
}

/// One line of the table, a cell a column.
type Cells = [String; 8];

impl Listing {
    /// Chooses.
    pub fn of(campaign: Campaign, choice: &Choice) -> Self {
        let facts = campaign.ended.iter().filter_map(Record::facts);
        let old = facts.filter(|facts| !campaign.is_current(facts)).map(|facts| facts.id.clone()).collect();
        let outdated = campaign.outdated.len();
        let path = || campaign.path.display().to_string();
        let title = campaign.header.as_ref().map_or_else(path, |header| header.script.clone());
        let (all, repeats) = (campaign.ended.len(), campaign.repeats.len());
        let tasks: Vec<_> = campaign.ended.into_iter().filter_map(Record::into_task).collect();
        let bases = bases(&tasks, |facts| script_of(&campaign.sessions, &campaign.numbers, facts));
        let baselines = baselines(&tasks);
        let is_chosen = |(facts, outcome): &(TaskFacts, Outcome)| {
            choice.name.as_ref().is_none_or(|glob| glob.is_of(facts))
                && (choice.status.is_empty() || choice.status.contains(&outcome.status))
        };
        let mut chosen: Vec<_> = tasks.into_iter().filter(is_chosen).collect();
        sort(&mut chosen, choice.sort);
        let Campaign { sessions, numbers, .. } = campaign;
        Self { script: title, sessions, repeats, all, chosen, outdated, old, bases, baselines, numbers }
    }

    /// The records of these tasks, in their order: what was measured and compared, and what failed.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let is_shown = |(facts, outcome): &&(TaskFacts, Outcome)| {
            !outcome.ok() || matches!(facts.kind, Kind::Measure | Kind::Compare)
        };
        self.chosen.iter().filter(is_shown).map(|(facts, _)| facts.id.as_str())
    }

    /// For people, in lines of at most `width` characters if there is a width.
    pub fn text(&self, width: Option<usize>) -> String {
        let mut text = self.head();
        let lines: Vec<Cells> = self.chosen.iter().flat_map(|task| self.lines(task)).collect();
        if !lines.is_empty() {
            text.push('\n');
            text += &columns::aligned(&TITLES, &lines, width);
        }
        text += &self.notes();
        let rows: Vec<Row<'_>> = self.chosen.iter().map(|(facts, outcome)| Row::of(facts, outcome)).collect();
        let tasks = failures(&rows).into_iter().map(|(line, _)| line);
        let failed: Vec<String> = tasks.chain(self.failed_variants()).collect();
        if !failed.is_empty() {
            text += "\nfailed:\n";
        }
        for line in failed {
            let _ = writeln!(text, "  {line}");
        }
        text
    }

    /// Those of comparisons that have ended well all the same.
    fn failed_variants(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (facts, outcome) in self.chosen.iter().filter(|(_, outcome)| outcome.ok()) {
            let Detail::Compare(result) = &outcome.detail else { continue };
            let subject = subject(facts.name.as_deref(), facts.params.as_ref());
            for Compared { name, status, reason, .. } in
                result.variants.iter().filter(|it| it.status != Status::Ok)
            {
                let why = Outcome::failed(*status, reason.as_deref().unwrap_or_default());
                lines.push(format!(
                    "compare {subject}, {} on {}: {}",
                    visible(name),
                    visible(&outcome.host),
                    status_in_short(&why)
                ));
            }
        }
        lines
    }

    fn head(&self) -> String {
        let mut ended: BTreeMap<Status, usize> = BTreeMap::new();
        for (_, outcome) in &self.chosen {
            *ended.entry(outcome.status).or_default() += 1;
        }
        let tasks = match self.chosen.len() == self.all {
            true => count(self.all, "task"),
            false => format!("{} of {}", self.chosen.len(), count(self.all, "task")),
        };
        let ended = if ended.is_empty() { String::new() } else { format!(": {}", tally(&ended)) };
        let mut text = format!("{}: {tasks} recorded{ended}", self.script);
        if self.all == 0 {
            let _ = write!(text, " {ONLY_WITH_KEY}");
        }
        if let Some(last) = self.sessions.last() {
            let runs = count(self.sessions.len(), "run");
            let _ = write!(text, "; {runs}, the last of {} on {}", utc(last.started_unix_s), last.host);
        }
        if self.repeats > 0 {
            let _ = write!(text, "; {} by `harness rerun`", count(self.repeats, "repeat"));
        }
        if self.outdated > 0 {
            let _ = write!(text, "; {} left out (--all)", count(self.outdated, "outdated task"));
        }
        text + "\n"
    }

    /// Which base a speed-up has: nobody can judge it without.
    fn notes(&self) -> String {
        let shown: BTreeSet<_> = self
            .chosen
            .iter()
            .filter(|(_, outcome)| outcome.ok())
            .filter_map(|(facts, _)| self.which(facts).filter(|_| trial_of(facts).is_none()))
            .collect();
        let told: Vec<_> =
            self.bases.iter().filter(|(which, base)| base.others > 0 && shown.contains(which)).collect();
        let of_several = |name: &String| told.iter().filter(|((other, _), _)| other == name).count() > 1;
        let mut text = String::new();
        for ((name, _), base) in told.iter().take(BASES_TOLD) {
            let script = if of_several(name) { " under the script as it was then" } else { "" };
            let begin = if text.is_empty() { "\n" } else { "" };
            let _ = writeln!(
                text,
                "{begin}speed-up of {name}: over the first of this name{script}, {}, median {}",
                base.subject, base.shown
            );
        }
        let searched: BTreeSet<_> = self.chosen.iter().filter_map(|(facts, _)| trial_of(facts)).collect();
        let baselines = self.baselines.iter().filter(|(search, _)| searched.contains(search.as_str()));
        for (search, base) in baselines.take(BASES_TOLD) {
            let begin = if text.is_empty() { "\n" } else { "" };
            let _ = writeln!(
                text,
                "{begin}speed-up in the search {search}: over its baseline as measured at its end, {}, median {}",
                base.subject, base.shown
            );
        }
        if told.len() > BASES_TOLD {
            let _ = writeln!(text, "… and likewise of {}", count(told.len() - BASES_TOLD, "more name"));
        }
        text
    }

    fn lines(&self, (facts, outcome): &(TaskFacts, Outcome)) -> Vec<Cells> {
        let key = facts.key.to_string()[..KEY_DIGITS].to_string();
        let name = subject(Some(facts.name.as_deref().unwrap_or(facts.kind.word())), facts.params.as_ref());
        let mut lines = match &outcome.detail {
            _ if !outcome.ok() => Vec::new(),
            Detail::Measure(result) => {
                let speed_up = self.speed_up(facts, result);
                let line = result.stats.as_ref().map(|stats| cells(key, name, result, stats, speed_up));
                line.into_iter().collect()
            }
            Detail::Compare(result) => compared(&key, &name, result),
            _ => Vec::new(),
        };
        if self.old.contains(&facts.id) {
            for [.., flags] in &mut lines {
                let others = if flags.is_empty() { String::new() } else { format!(", {flags}") };
                *flags = format!("outdated{others}");
            }
        }
        lines
    }

    fn which(&self, facts: &TaskFacts) -> Option<(String, Option<Hash>)> {
        Some((facts.name.clone()?, script_of(&self.sessions, &self.numbers, facts)))
    }

    fn speed_up(&self, facts: &TaskFacts, result: &MeasureResult) -> String {
        let base = match trial_of(facts) {
            Some(search) => self.baselines.get(search),
            None => self.which(facts).and_then(|which| self.bases.get(&which)).filter(|base| base.others > 0),
        };
        let Some((base, stats)) = base.zip(result.stats.as_ref()) else { return String::new() };
        if base.id == facts.id {
            return "base".into();
        }
        let comparable = objective(result) == base.objective && stats.median > 0.0 && base.median > 0.0;
        if !comparable {
            return String::new();
        }
        let ratio = match base.better {
            Better::Less => base.median / stats.median,
            Better::More => stats.median / base.median,
        };
        format!("{ratio:.2}x")
    }
}

const TITLES: [&str; 8] = ["key", "name", "median", "", "95 % CI", "n", "speed-up", "flags"];

fn cells(key: String, name: String, result: &MeasureResult, stats: &Summary, speed_up: String) -> Cells {
    let unit = Unit::of(result, stats.median);
    let interval = match &stats.ci {
        Some(ci) => format!("[{}, {}]", unit.digits(ci.lo), unit.digits(ci.hi)),
        None => format!("min {}, max {}", unit.digits(stats.min), unit.digits(stats.max)),
    };
    let shared = result.same_as.as_ref().map(|same| format!("same program as {}", same.what));
    let flags: Vec<String> = shared.into_iter().chain(result.flags.iter().cloned()).collect();
    [
        key,
        name,
        unit.digits(stats.median),
        unit.name().into(),
        interval,
        stats.n.to_string(),
        speed_up,
        flags.join(", "),
    ]
}

/// The base first; the others with what the rounds say of them and it.
fn compared(key: &str, name: &str, result: &CompareResult) -> Vec<Cells> {
    let line = |variant: &Compared| {
        let name = format!("{name} {}", subject(Some(&variant.name), variant.params.as_ref()));
        let said = match &variant.comparison {
            Some(found) => {
                let interval = found.ci.as_ref().map(|ci| format!(" [{:.3}, {:.3}]", ci.lo, ci.hi));
                format!("{:.3}x{} {}", found.ratio, interval.unwrap_or_default(), found.verdict.word())
            }
            None if variant.status == Status::Ok => "base".into(),
            None => variant.status.word().into(),
        };
        match &variant.result.stats {
            Some(stats) => cells(key.into(), name, &variant.result, stats, said),
            None => {
                let none = String::new;
                [key.into(), name, "-".into(), none(), none(), none(), said, none()]
            }
        }
    };
    result.variants.iter().map(line).collect()
}

/// Of each search the baseline, as its last comparison at the end has it.
fn baselines(tasks: &[(TaskFacts, Outcome)]) -> BTreeMap<String, Base> {
    let of_search = |(facts, outcome): &(TaskFacts, Outcome)| {
        let (search, Compared { name, params, result, .. }) = baseline(facts, outcome)?;
        let name = [facts.name.as_deref().unwrap_or_default(), name].join(" ");
        let subject = subject(Some(name.trim_start()), params.as_ref());
        Some((search.to_owned(), Base::of(facts, subject, result, result.stats.as_ref()?)))
    };
    tasks.iter().filter_map(of_search).collect()
}

/// Of each name under each script the first measurement that has figures and is no trial of a search.
fn bases(
    tasks: &[(TaskFacts, Outcome)],
    script: impl Fn(&TaskFacts) -> Option<Hash>,
) -> BTreeMap<(String, Option<Hash>), Base> {
    let mut bases: BTreeMap<_, Base> = BTreeMap::new();
    for (facts, outcome) in tasks {
        let (Some(name), Detail::Measure(result)) = (&facts.name, &outcome.detail) else { continue };
        if trial_of(facts).is_some() {
            continue;
        }
        let Some(stats) = result.stats.as_ref().filter(|_| outcome.ok()) else { continue };
        let which = (name.clone(), script(facts));
        match bases.get_mut(&which) {
            Some(base) => base.others += 1,
            None => {
                let subject = subject(Some(name), facts.params.as_ref());
                bases.insert(which, Base::of(facts, subject, result, stats));
            }
        }
    }
    bases
}

/// What is optimised, and its unit.
fn objective(result: &MeasureResult) -> (String, Option<String>) {
    (result.objective.clone(), result.unit().map(str::to_owned))
}

fn sort(tasks: &mut [(TaskFacts, Outcome)], sort: Sort) {
    let named = |facts: &TaskFacts| subject(facts.name.as_deref(), facts.params.as_ref());
    match sort {
        Sort::Time => {}
        Sort::Name => tasks.sort_by(|(a, _), (b, _)| natural(&named(a), &named(b))),
        Sort::Median => {
            let mut order: BTreeMap<Option<String>, usize> = BTreeMap::new();
            for (facts, _) in tasks.iter() {
                let next = order.len();
                order.entry(facts.name.clone()).or_insert(next);
            }
            tasks.sort_by(|(a, one), (b, other)| {
                order.get(&a.name).cmp(&order.get(&b.name)).then_with(|| better_first(one, other))
            });
        }
    }
}

/// What has no median goes last.
fn better_first(one: &Outcome, other: &Outcome) -> Ordering {
    let of = |outcome: &Outcome| match &outcome.detail {
        Detail::Measure(result) if outcome.ok() => {
            let median = result.stats.as_ref()?.median;
            Some(if result.better == Better::More { -median } else { median })
        }
        _ => None,
    };
    match (of(one), of(other)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
