//! What the script's end remembers of the tasks it numbered: what each was asked to do, how it ended, and
//! whether the journal has the answer already.
//!
//! A task that the journal holds is answered from it once; a second one like it is its own task. Knows
//! recipes and outcomes; nothing of mailboxes, threads and scheduling.

use std::hash::Hasher;
use std::path::PathBuf;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use super::again::{Answering, Retrying};
use super::notices::Notices;
use super::port::{Campaign, Index, Job, Many, Order, Replay};
use super::programs::Programs;
use super::recipe::{self, RecipeId};
use crate::model::{
    DepLabel, Detail, Hash, Kind, Outcome, Status, TaskId, TaskOptions, recipe_key, versions,
};

/// Is this artefact still in the store?
pub(super) type ArtefactPresent = Box<dyn Fn(Hash) -> bool + Send>;

/// What tasks came to, for budgets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Tasks that ended for reasons of their own, without builds and runs of references.
    pub trials: u64,
    /// Those among them that are measurements.
    pub measurements: u64,
    /// Seconds tasks occupied their slots.
    pub seconds: f64,
    /// The same, times the nodes of each.
    pub node_seconds: f64,
}

/// See the module.
pub(super) struct Ledger {
    index: Index,
    /// What the index would answer, but is to be tried again.
    retrying: Retrying,
    answering: Answering,
    /// The campaign's folder.
    dir: PathBuf,
    artefact_present: ArtefactPresent,
    notes: FxHashMap<TaskId, Note>,
    /// Fingerprint of the payload of every call, by task number: all that a dependent's recipe needs.
    prints: Vec<u64>,
    ordinals: FxHashMap<Hash, u32>,
    programs: Programs,
    notices: Notices,
    spent: Spent,
    /// Runs the author did not ask for: no trials.
    auxiliary: FxHashSet<TaskId>,
    /// Tasks that have several nodes.
    nodes: FxHashMap<TaskId, u32>,
}

impl Ledger {
    pub(super) fn new(
        index: Index,
        retrying: Retrying,
        notices: Notices,
        campaign: &Campaign,
        artefact_present: ArtefactPresent,
    ) -> Self {
        Self {
            retrying,
            answering: Answering::of(index.clone(), campaign.script_hash),
            index,
            dir: campaign.dir.clone(),
            artefact_present,
            notes: FxHashMap::default(),
            prints: Vec::new(),
            ordinals: FxHashMap::default(),
            programs: Programs::default(),
            notices,
            spent: Spent::default(),
            auxiliary: FxHashSet::default(),
            nodes: FxHashMap::default(),
        }
    }

    /// Numbers a task. What goes to the journal has a recipe key, and perhaps an answer there.
    pub(super) fn enter(&mut self, order: &Order) -> (TaskId, Option<Box<RecipeId>>, Option<Replay>) {
        let many = order.job.many();
        if let Some(Many { first: Some(first), .. }) = many {
            return (first, None, None);
        }
        let task = TaskId(self.prints.len() as u64);
        if order.deferred {
            self.auxiliary.insert(task);
        }
        if let Some(nodes) = order.options.placement.nodes.filter(|nodes| *nodes > 1) {
            self.nodes.insert(task, nodes);
        }
        let (recipe, replay) = self.identify(task, order);
        let others = many.map_or(0, |many| many.calls.saturating_sub(1));
        self.prints.resize(self.prints.len() + others as usize, 0);
        (task, recipe, replay)
    }

    /// The recipe key of a keyed task, and the journal's answer to it.
    fn identify(&mut self, task: TaskId, order: &Order) -> (Option<Box<RecipeId>>, Option<Replay>) {
        self.prints.push(fingerprint(&order.job));
        if matches!(order.job, Job::Call(_)) && order.options.key.is_none() {
            return (None, None);
        }
        let recipe_of = |dep: TaskId| match self.notes.get(&dep) {
            Some(note) => note.recipe,
            None => Hash::of(&self.prints.get(dep.0 as usize).copied().unwrap_or_default().to_le_bytes()),
        };
        let first_of = |dep: TaskId| self.notes.get(&dep).map_or_else(|| recipe_of(dep), Note::first);
        // Of what depends on the second of its like the first is the one that depends on the first.
        let first = |program| {
            let is_other = order.deps.iter().any(|dep| first_of(*dep) != recipe_of(*dep));
            is_other.then(|| recipe_key(&recipe::of(order, program, first_of, first_of).0))
        };
        let durable = match order.job {
            Job::Compile(_) | Job::Measure(_) | Job::Compare(_) => true,
            Job::Call(_) | Job::Exec(_) => order.options.key.is_some(),
        };
        if !durable {
            let recipe = recipe::fingerprint(order)
                .unwrap_or_else(|| recipe_key(&recipe::of(order, None, recipe_of, first_of).0));
            let note = Note::new(recipe, first(None), order);
            self.notes.insert(task, note);
            return (None, None);
        }
        let program = self.programs.of(&order.job, &self.dir);
        let content = program.map(|program| program.content);
        let (mut recipe, parts) = recipe::of(order, content, recipe_of, first_of);
        let mut key = recipe_key(&recipe);
        let first = first(content).unwrap_or(key);
        let like_it = self.ordinals.entry(key).or_default();
        recipe.ordinal = *like_it;
        *like_it += 1;
        if recipe.ordinal > 0 {
            key = recipe_key(&recipe);
        }
        self.notes.insert(task, Note::new(key, Some(first), order));
        self.notices.asked(&recipe, &parts);
        let number = self.index.find(&key);
        let counts = number.filter(|number| !self.retrying.covers(&self.index, *number));
        let recalled = counts.and_then(|number| self.recall(number));
        let replay = recalled.filter(|replay| {
            answers(&replay.outcome, &order.options)
                && replay.outcome.artefact().is_none_or(|hash| (self.artefact_present)(hash))
        });
        match &replay {
            Some(replay) => {
                let is_retried = number.is_some_and(|number| self.retrying.was(&self.index, number));
                number.into_iter().for_each(|number| self.answering.gave(number));
                self.notices.answered(number, replay, is_retried);
            }
            None => {
                let which =
                    versions(recipe.kind, recipe.name.as_deref(), recipe.params.as_ref(), Some(&parts));
                which.into_iter().for_each(|which| self.answering.mix(which));
                self.notices.missed(number, &recipe, &parts);
            }
        }
        let code = program.and_then(|program| program.code);
        let (tried, had_its_turn) = (self.index.tried(&key), self.index.had_its_turn(&key));
        (Some(Box::new(RecipeId { key, parts, code, tried, had_its_turn })), replay)
    }

    /// Reads an answer of the journal.
    fn recall(&mut self, number: usize) -> Option<Replay> {
        let replay = self.index.read(number).and_then(|(seq, record)| {
            let (facts, outcome) = record.into_task()?;
            Some(Replay { seq, env: facts.env, outcome: Arc::new(outcome) })
        });
        if replay.is_none() {
            self.notices.gone();
        }
        replay
    }

    /// Has it a record that is not to answer? Then no earlier build does either.
    pub(super) fn is_tried_again(&self, recipe: Option<&RecipeId>) -> bool {
        let number = recipe.and_then(|recipe| self.index.find(&recipe.key));
        number.is_some_and(|number| self.retrying.covers(&self.index, number))
    }

    /// Keys of answers that the journal is to say, each once.
    pub(super) fn unsaid(&mut self) -> Vec<Hash> {
        self.answering.take()
    }

    /// What the script's author should hear of the journal's answers, each once; `over`: nothing more will be asked for.
    pub(super) fn notices(&mut self, over: bool) -> Vec<String> {
        self.notices.lines(over)
    }

    /// What a script that came to its end did not ask for, if that is worth a word.
    pub(super) fn forgotten(&self) -> Option<String> {
        self.notices.forgotten()
    }

    /// The script has seen this end.
    pub(super) fn ended(&mut self, task: TaskId, outcome: &Outcome) {
        let nodes = self.nodes.remove(&task).unwrap_or(1);
        self.spent.seconds += outcome.elapsed_s;
        self.spent.node_seconds += outcome.elapsed_s * f64::from(nodes);
        let is_trial = outcome.status.lasting() && !matches!(outcome.detail, Detail::Compile(_));
        let is_trial = is_trial && !self.auxiliary.remove(&task);
        self.spent.trials += if is_trial { outcome.count() as u64 } else { 0 };
        let is_measured = matches!(outcome.detail, Detail::Measure(_) | Detail::Compare(_));
        self.spent.measurements += u64::from(is_trial && is_measured);
        if matches!(outcome.detail, Detail::Call(_) | Detail::Calls(_)) {
            return;
        }
        if let Some(note) = self.notes.get_mut(&task) {
            note.ended = Some(Ended { status: outcome.status, artefact: outcome.artefact() });
        }
    }

    /// How an exec, a compile or a measure ended, if the script has seen it.
    pub(super) fn end_of(&self, task: TaskId) -> Option<Ended> {
        self.notes.get(&task)?.ended
    }

    pub(super) fn spent(&self) -> Spent {
        self.spent
    }

    /// What an exec, a compile or a measure is called.
    pub(super) fn label(&self, task: TaskId) -> Option<DepLabel> {
        Some(self.notes.get(&task)?.label())
    }
}

/// What later tasks may ask about an exec, a compile or a measure.
struct Note {
    recipe: Hash,
    /// That of the first one like it, if this is another.
    first: Option<Box<Hash>>,
    kind: Kind,
    /// `name` and `params` where it has any.
    named: Option<Box<(Option<String>, Option<String>)>>,
    /// Set once the script has seen its end.
    ended: Option<Ended>,
}

impl Note {
    fn new(recipe: Hash, first: Option<Hash>, order: &Order) -> Self {
        let first = first.filter(|first| *first != recipe).map(Box::new);
        let params = || order.options.params.as_ref().map(ToString::to_string);
        let is_named = order.options.name.is_some() || order.options.params.is_some();
        let named = is_named.then(|| Box::new((order.options.name.clone(), params())));
        Self { recipe, first, kind: order.job.kind(), named, ended: None }
    }

    /// The recipe of the first one like it.
    fn first(&self) -> Hash {
        self.first.as_deref().copied().unwrap_or(self.recipe)
    }

    fn label(&self) -> DepLabel {
        let (name, params) = self.named.as_deref().cloned().unwrap_or_default();
        DepLabel { kind: self.kind, name, params }
    }
}

/// How a task ended, in short.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub(super) status: Status,
    pub(super) artefact: Option<Hash>,
}

/// Of what a call hands over; nothing of other jobs.
fn fingerprint(job: &Job) -> u64 {
    let Job::Call(call) = job else { return 0 };
    let mut print = FxHasher::default();
    match &call.baggage.identity {
        Some(identity) => print.write(&identity.0),
        None => print.write(&call.payload),
    }
    print.finish()
}

/// Does this record answer the request? What failed for reasons outside the program is asked again, and so
/// is what ran into a tighter limit than the one it has now.
pub(super) fn answers(outcome: &Outcome, options: &TaskOptions) -> bool {
    match outcome.status {
        Status::Timeout => options.timeout.is_some_and(|limit| limit <= outcome.elapsed_s),
        status => status.lasting(),
    }
}
