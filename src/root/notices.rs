//! What the author should hear of the journal's answers: records that nobody asks for any more because the script
//! changed what their name means, figures that were measured on another machine, failures that were not tried again.
//!
//! Judged when the script waits for something new, or at its end where one name stands for several things: until
//! then a record that nobody asked for may yet be. One line for each matter, however many tasks it is about; a name
//! is in one such line, and more of its records are counted at the end.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use super::port::{Index, Replay};
use crate::allocation::same_host;
use crate::model::human::{count, tally};
use crate::model::{Detail, Kind, Recipe, RecipeParts, Status, namesakes};

/// So many names or hosts are listed.
const LISTED: usize = 4;

/// This run's machines.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// The nodes of the allocation.
    pub hosts: Vec<String>,
    /// The processor of the root's node.
    pub cpu_model: Option<String>,
}

/// See the module.
#[derive(Default)]
pub struct Notices {
    here: Here,
    index: Index,
    /// Of each answer of the journal: somebody asked for it, or its end was told.
    settled: Vec<bool>,
    /// Tasks the journal does not have, under names it knows.
    missed: Vec<(u64, RecipeParts)>,
    /// Names the author has heard of, and how many of their records have followed.
    told: BTreeMap<String, usize>,
    /// It is another script than that of the run before.
    is_changed: bool,
    /// Names that tasks of this run have, among those of the journal.
    asked: FxHashSet<String>,
    /// Measurements by host and processor.
    elsewhere: BTreeMap<(String, Option<String>), usize>,
    /// Records that are not where they were.
    gone: usize,
    /// Answers that did not end well.
    failed: BTreeMap<Status, usize>,
    /// What was measured first under each name with its params.
    named: FxHashMap<u64, RecipeParts>,
    /// Names that stand for several things in this run, with what differs; the first of them are told at once.
    ambiguous: BTreeMap<String, BTreeSet<&'static str>>,
    told_ambiguous: bool,
}

impl Notices {
    /// For a run on these machines; the journal has these answers.
    pub fn new(here: Here, index: Index) -> Self {
        Self { here, settled: vec![false; index.len()], index, ..Self::default() }
    }

    /// The script is not that of the run before.
    pub(super) fn script_changed(&mut self) {
        self.is_changed = true;
    }

    /// A task was asked for. Of what is measured in several ways (a search's first runs are few) nothing is said.
    pub(super) fn asked(&mut self, recipe: &Recipe, parts: &RecipeParts) {
        let (Kind::Measure, None, Some(name)) = (recipe.kind, &recipe.key, &recipe.name) else { return };
        let group = namesakes(recipe.kind, name, recipe.params.as_ref());
        let first = *self.named.entry(group).or_insert(*parts);
        let RecipeParts { protocol, verify, place, .. } = first;
        let alike = RecipeParts { protocol, verify, place, ..*parts };
        let what: BTreeSet<_> = first.differences(&alike).collect();
        if !what.is_empty() {
            self.ambiguous.entry(name.clone()).or_default().extend(what);
        }
    }

    /// The journal answered with the record of this number; `is_retried`: that was tried again lately.
    pub(super) fn answered(&mut self, number: Option<usize>, replay: &Replay, is_retried: bool) {
        self.settle(number);
        if let Some(name) = number.filter(|_| self.is_changed).and_then(|number| self.index.name(number)) {
            let name = name.to_owned();
            self.ask(&name);
        }
        let outcome = &replay.outcome;
        if !outcome.ok() && !is_retried {
            *self.failed.entry(outcome.status).or_default() += 1;
        }
        if !matches!(outcome.detail, Detail::Measure(_) | Detail::Compare(_)) || outcome.host.is_empty() {
            return;
        }
        let cpu = replay.env.and_then(|env| self.index.envs().get(&env)?.cpu_model.clone());
        let other_cpu = cpu.is_some() && self.here.cpu_model.is_some() && cpu != self.here.cpu_model;
        if other_cpu || !self.here.hosts.iter().any(|host| same_host(host, &outcome.host)) {
            *self.elsewhere.entry((outcome.host.to_string(), cpu)).or_default() += 1;
        }
    }

    /// The journal did not have it, or not an answer that counts.
    pub(super) fn missed(&mut self, number: Option<usize>, recipe: &Recipe, parts: &RecipeParts) {
        recipe.name.iter().for_each(|name| self.ask(name));
        if self.settle(number) || recipe.key.is_some() {
            return; // what has a key of its own is told apart by it
        }
        let Some(name) = &recipe.name else { return };
        let group = namesakes(recipe.kind, name, recipe.params.as_ref());
        if current(&self.index, group).next().is_some() {
            self.missed.push((group, *parts));
        }
    }

    /// A record was to answer, and is not there any more.
    pub(super) fn gone(&mut self) {
        self.gone += 1;
    }

    /// What there is to say that was not said; `over`: nothing more will be asked for.
    pub(super) fn lines(&mut self, over: bool) -> Vec<String> {
        let stale = self.stale(over);
        let (more, failed) = if over { (self.more(), self.failed()) } else { (None, None) };
        let ambiguous = if over || !self.told_ambiguous { self.ambiguous() } else { None };
        [stale, more, self.far(), self.lost(), failed, ambiguous].into_iter().flatten().collect()
    }

    fn ambiguous(&mut self) -> Option<String> {
        let found = std::mem::take(&mut self.ambiguous);
        let what: BTreeSet<_> = found.values().flatten().copied().collect();
        (!found.is_empty()).then(|| {
            self.told_ambiguous = true;
            format!(
                "measurements of the same name and params differ ({}): {}; tables, history and compare take them for one: \
                 what tells them apart belongs into `params`",
                what.into_iter().collect::<Vec<_>>().join(", "),
                listing(found.keys().map(|name| format!("'{name}'")))
            )
        })
    }

    /// What a changed script did not ask for although it came to its end: under its name it asks for nothing any more.
    pub(super) fn forgotten(&self) -> Option<String> {
        let all = (0..self.index.len()).filter_map(|number| self.index.name(number));
        let mut names = BTreeMap::<&str, usize>::new();
        for name in all.filter(|name| self.is_changed && !self.asked.contains(*name)) {
            *names.entry(name).or_default() += 1;
        }
        let total: usize = names.values().sum();
        (total > 0).then(|| {
            format!(
                "since the script changed nothing asks for {} of {} in the journal (renamed or removed); what is asked for \
                 again is answered from there",
                count(total, "record"),
                listing(names.keys().map(|name| format!("'{name}'")))
            )
        })
    }

    /// A task has this name.
    fn ask(&mut self, name: &str) {
        if self.is_changed && !self.asked.contains(name) {
            self.asked.insert(name.into());
        }
    }

    fn settle(&mut self, number: Option<usize>) -> bool {
        let known = number.and_then(|number| self.settled.get_mut(number));
        known.map(|settled| *settled = true).is_some()
    }

    fn stale(&mut self, over: bool) -> Option<String> {
        let (mut names, mut changes, mut unknown) =
            (BTreeMap::<String, usize>::new(), BTreeSet::new(), false);
        let (now, later) = std::mem::take(&mut self.missed)
            .into_iter()
            .partition(|(group, _)| over || self.is_plain(*group));
        self.missed = later;
        for (group, parts) in now {
            for number in current(&self.index, group) {
                let then = self.index.parts(number);
                let differences: Vec<_> = then.map_or(Vec::new(), |old| old.differences(&parts).collect());
                if self.settled[number] || then.is_some() && differences.is_empty() {
                    continue;
                }
                self.settled[number] = true;
                unknown |= then.is_none();
                changes.extend(differences);
                *names.entry(self.index.name(number).unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        names.retain(|name, records| match self.told.get_mut(name) {
            Some(followed) => {
                *followed += *records;
                false
            }
            None => self.told.insert(name.clone(), 0).is_none(),
        });
        let total: usize = names.values().sum();
        let mut what: Vec<&str> = changes.into_iter().collect();
        if unknown {
            what.push("what, older records do not say");
        }
        (total > 0).then(|| {
            let listed = listing(names.keys().map(|name| format!("'{name}'")));
            format!(
                "{} of {listed} in the journal no longer answer{}, asked anew (changed: {}); undo the change and the \
                 old count again",
                count(total, "record"),
                if total == 1 { "s" } else { "" },
                what.join(", ")
            )
        })
    }

    /// What followed after a name was told.
    fn more(&mut self) -> Option<String> {
        let told = std::mem::take(&mut self.told);
        let followed: BTreeMap<String, usize> =
            told.into_iter().filter(|(_, records)| *records > 0).collect();
        let total: usize = followed.values().sum();
        (total > 0).then(|| {
            format!(
                "{} of {} in the journal no longer answered either",
                count(total, "more record"),
                listing(followed.keys().map(|name| format!("'{name}'")))
            )
        })
    }

    /// Do all records of this name and these params mean one thing? If not, the others may be asked for later.
    fn is_plain(&self, group: u64) -> bool {
        let mut parts = current(&self.index, group).map(|number| self.index.parts(number));
        let first = parts.next();
        parts.all(|other| Some(other) == first)
    }

    fn lost(&mut self) -> Option<String> {
        let gone = std::mem::take(&mut self.gone);
        (gone > 0).then(|| {
            format!(
                "{} of the journal {} damaged since it was written, asked anew; `harness journal check` says which \
                 lines they are",
                count(gone, "record"),
                if gone == 1 { "was" } else { "were" }
            )
        })
    }

    /// How old failures are tried again.
    fn failed(&mut self) -> Option<String> {
        let failed = std::mem::take(&mut self.failed);
        (!failed.is_empty()).then(|| {
            format!(
                "answered from the journal without being tried again: {}; `--retry failed` does that",
                tally(&failed)
            )
        })
    }

    fn far(&mut self) -> Option<String> {
        let elsewhere = std::mem::take(&mut self.elsewhere);
        let total: usize = elsewhere.values().sum();
        let here = self.here.cpu_model.as_deref();
        let place = |((host, cpu), _): (&(String, Option<String>), &usize)| match cpu.as_deref() {
            Some(cpu) if Some(cpu) == here => format!("{host} (the same processor model)"),
            Some(cpu) => format!("{host} ({cpu})"),
            None => host.clone(),
        };
        (total > 0).then(|| {
            format!(
                "{} answered from the journal {} taken on another machine: {}; here is {} ({}). Compare with care; \
                 --fresh measures everything anew",
                count(total, "measurement"),
                if total == 1 { "was" } else { "were" },
                listing(elsewhere.iter().map(place)),
                listing(self.here.hosts.iter().cloned()),
                here.unwrap_or("processor not known")
            )
        })
    }
}

fn listing(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let mut text = items.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > LISTED {
        text.push_str(&format!(" and {} more", items.len() - LISTED));
    }
    text
}

/// Records of this name and these params that nothing had taken the place of when this run began: of others it was said then.
fn current(index: &Index, group: u64) -> impl Iterator<Item = usize> {
    index.versions(group).filter(|number| !index.is_outdated(*number))
}
