//! What the author should hear of the journal's answers: records that nobody asks for any more because the script
//! changed what their name means, and figures that were measured on another machine.
//!
//! Judged when the script waits for something new, or at its end where one name stands for several things: until
//! then a record that nobody asked for may yet be. One line for each matter, however many tasks it is about; a name
//! is in one such line, and more of its records are counted at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

use super::port::Replay;
use crate::allocation::same_host;
use crate::model::human::count;
use crate::model::{Detail, Env, Hash, Kind, Recipe, RecipeParts, TaskFacts};

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
    envs: BTreeMap<Hash, Env>,
    /// Finished tasks of the journal that have a name.
    named: Vec<Named>,
    by_key: FxHashMap<Hash, usize>,
    by_name: FxHashMap<u64, Vec<usize>>,
    /// Tasks the journal does not have, under names it knows.
    missed: Vec<(u64, RecipeParts)>,
    /// Names the author has heard of, and how many of their records have followed.
    told: BTreeMap<String, usize>,
    /// Measurements by host and processor.
    elsewhere: BTreeMap<(String, Option<String>), usize>,
}

struct Named {
    name: String,
    parts: Option<RecipeParts>,
    /// Somebody asked for it, or its end was told.
    settled: bool,
}

impl Notices {
    /// For a run on these machines; the journal has these surroundings.
    pub fn new(here: Here, envs: BTreeMap<Hash, Env>) -> Self {
        Self { here, envs, ..Self::default() }
    }

    /// The journal has this finished task.
    pub fn recorded(&mut self, facts: &TaskFacts) {
        let Some(name) = &facts.name else { return };
        let at = self.named.len();
        self.named.push(Named { name: name.clone(), parts: facts.parts, settled: false });
        self.by_key.insert(facts.key, at);
        let group = group(facts.kind, name, facts.params.as_ref());
        self.by_name.entry(group).or_default().push(at);
    }

    /// The journal answered.
    pub(super) fn answered(&mut self, key: Hash, replay: &Replay) {
        self.settle(&key);
        let outcome = &replay.outcome;
        if !matches!(outcome.detail, Detail::Measure(_) | Detail::Compare(_)) || outcome.host.is_empty() {
            return;
        }
        let cpu = replay.env.and_then(|env| self.envs.get(&env)?.cpu_model.clone());
        let other_cpu = cpu.is_some() && self.here.cpu_model.is_some() && cpu != self.here.cpu_model;
        if other_cpu || !self.here.hosts.iter().any(|host| same_host(host, &outcome.host)) {
            *self.elsewhere.entry((outcome.host.clone(), cpu)).or_default() += 1;
        }
    }

    /// The journal did not have it, or not an answer that counts.
    pub(super) fn missed(&mut self, key: Hash, recipe: &Recipe, parts: &RecipeParts) {
        if self.settle(&key) || recipe.key.is_some() {
            return; // what has a key of its own is told apart by it
        }
        let Some(name) = &recipe.name else { return };
        let group = group(recipe.kind, name, recipe.params.as_ref());
        if self.by_name.contains_key(&group) {
            self.missed.push((group, *parts));
        }
    }

    /// What there is to say that was not said; `over`: nothing more will be asked for.
    pub(super) fn lines(&mut self, over: bool) -> Vec<String> {
        let stale = self.stale(over);
        let more = if over { self.more() } else { None };
        [stale, more, self.far()].into_iter().flatten().collect()
    }

    fn settle(&mut self, key: &Hash) -> bool {
        let known = self.by_key.get(key).and_then(|at| self.named.get_mut(*at));
        known.map(|named| named.settled = true).is_some()
    }

    fn stale(&mut self, over: bool) -> Option<String> {
        let (mut names, mut changes, mut unknown) =
            (BTreeMap::<String, usize>::new(), BTreeSet::new(), false);
        let (now, later) = std::mem::take(&mut self.missed)
            .into_iter()
            .partition(|(group, _)| over || self.is_plain(*group));
        self.missed = later;
        for (group, parts) in now {
            for at in self.by_name.get(&group).into_iter().flatten() {
                let record = &mut self.named[*at];
                let differences: Vec<_> =
                    record.parts.map_or(Vec::new(), |old| old.differences(&parts).collect());
                if record.settled || record.parts.is_some() && differences.is_empty() {
                    continue;
                }
                record.settled = true;
                unknown |= record.parts.is_none();
                changes.extend(differences);
                *names.entry(record.name.clone()).or_default() += 1;
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
        let mut parts = self.by_name.get(&group).into_iter().flatten().map(|at| self.named[*at].parts);
        let first = parts.next();
        parts.all(|other| Some(other) == first)
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

fn group(kind: Kind, name: &str, params: Option<&serde_json::Value>) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(kind.word().as_bytes());
    hasher.write(name.as_bytes());
    hasher.write_u8(0);
    if let Some(params) = params {
        hasher.write(params.to_string().as_bytes());
    }
    hasher.finish()
}

fn listing(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let mut text = items.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > LISTED {
        text.push_str(&format!(" and {} more", items.len() - LISTED));
    }
    text
}
