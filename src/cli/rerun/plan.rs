//! What has to be done to repeat a measurement: builds whose artefact is gone, then the measurement itself.
//!
//! Content that a task names by its hash is in the store; an input that is not may still lie in the campaign's folder,
//! unchanged. Nothing is started here: what is missing is told before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::allocation::{Allocation, Scheduler, Start, same_host};
use crate::artefact::{Store, StoreError, Stored};
use crate::cli::journals::is_file;
use crate::model::{
    Arg, Asked, CompileResult, CompileSpec, Cwd, Detail, Hash, Input, MeasureSpec, Measurement, Placement,
    Record, TaskRecord,
};

use crate::root::port::PoolSpec;
use crate::root::program_part;

/// Why it cannot be repeated.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error(
        "its record does not say all that was asked (it is of an earlier version of harness): measure it anew with its \
         campaign, `harness --fresh`, and new records will"
    )]
    TooOld,
    #[error("what was asked cannot be read ({0}): its record is of another version of harness")]
    Unreadable(serde_json::Error),
    #[error("the journal does not keep {0}: run its campaign")]
    LeftOut(String),
    #[error("it never ran: what it depends on did not end well; run its campaign")]
    NeverRan,
    #[error(
        "its program file was changed since, or removed: what is there now is not what was measured (--same-program)"
    )]
    OtherProgram,
    #[error("it ran in the folder of its script, and {0}")]
    NoFolder(String),
    #[error("its input `{path}` {state}, and {why}")]
    InputGone { path: String, state: State, why: String },
    #[error("{what} {state} ({hash}), and no build of this journal made it: run its campaign")]
    ContentGone { what: &'static str, state: State, hash: Hash },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why content has to be had anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Gone,
    Damaged,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Gone => "is not in the store any more",
            State::Damaged => "is damaged in the store",
        })
    }
}

/// See the module.
pub(super) struct Plan {
    /// In the order in which they can be done.
    pub(super) builds: Vec<Build>,
    pub(super) measure: MeasureSpec,
    pub(super) placement: Placement,
    pub(super) pool_env: BTreeMap<String, String>,
    pub(super) pool_gpus: Option<u32>,
    pub(super) pool_slots: Option<u32>,
}

/// A build to be done again.
pub(super) struct Build {
    /// Its record.
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) params: Option<serde_json::Value>,
    pub(super) timeout: Option<f64>,
    /// What it made.
    pub(super) was: CompileResult,
    /// What became of that.
    pub(super) state: State,
    pub(super) spec: CompileSpec,
    pub(super) placement: Placement,
}

/// Where content is looked for.
pub(super) struct Place<'a> {
    pub(super) store: &'a Store,
    /// The campaign's folder.
    pub(super) folder: Option<&'a Path>,
    /// Why there is none.
    pub(super) no_folder: &'a str,
    pub(super) records: &'a [Record],
}

impl Plan {
    pub(super) fn of(record: &Measurement, place: &Place<'_>) -> Result<Self, PlanError> {
        let asked = asked(record.facts.asked.as_ref())?;
        if let Some(what) = &asked.left_out {
            return Err(PlanError::LeftOut(what.clone()));
        }
        let mut measure = asked.measure(record).ok_or(PlanError::TooOld)?;
        if place.folder.is_none() && needs_folder(&measure.command.cwd) {
            return Err(PlanError::NoFolder(place.no_folder.into()));
        }
        let mut builds = Builds { place, list: Vec::new(), seen: BTreeSet::new() };
        builds.inputs(&measure.command.inputs)?;
        for word in words(&mut measure) {
            builds.word(word, "what it runs, or is compared with,")?;
        }
        for file in measure.verify.files.values() {
            builds.content(file.reference, "a file it is compared with")?;
        }
        Ok(Self {
            builds: builds.list,
            measure,
            placement: anywhere(asked.placement),
            pool_env: asked.pool_env,
            pool_gpus: asked.pool_gpus,
            pool_slots: asked.pool_slots,
        })
    }

    /// The same, if the program it names by path is still that of the record.
    pub(super) fn of_same_file(self, then: &Measurement, place: &Place<'_>) -> Result<Self, PlanError> {
        let is = || program_part(&self.measure, place.folder.unwrap_or(Path::new("/")));
        let is_other = then.facts.program().is_some_and(|was| was != is());
        if is_other { Err(PlanError::OtherProgram) } else { Ok(self) }
    }

    /// Workers where it ran then; where those nodes are not to be had, on others: without a batch system here, in a job
    /// rather beside the root than on its node.
    pub(super) fn pool(&self, allocation: &Allocation, then: &Measurement) -> PoolSpec {
        let spec = PoolSpec {
            env: self.pool_env.clone(),
            gpus: self.pool_gpus,
            slots: self.pool_slots,
            per_node: Some(1),
            ..PoolSpec::default()
        };
        if allocation.scheduler == Scheduler::None {
            return PoolSpec { start: Some(Start::Local), ..spec };
        }
        let hosts = then.hosts.clone().unwrap_or_else(|| vec![then.host.clone()]);
        let is_there = |host: &String| allocation.nodes.iter().any(|node| same_host(&node.host, host));
        if hosts.iter().all(is_there) {
            return PoolSpec { hosts, ..spec };
        }
        if self.placement.nodes.is_some_and(|nodes| nodes > 1) {
            return spec;
        }
        let spare = allocation.nodes.iter().find(|node| !same_host(&node.host, &allocation.root_host));
        let host = spare.or(allocation.nodes.first()).map(|node| node.host.clone());
        PoolSpec { hosts: host.into_iter().collect(), ..spec }
    }
}

/// Everything of a measurement that may stand for another task's result.
fn words(spec: &mut MeasureSpec) -> impl Iterator<Item = &mut Arg> {
    spec.command.argv.iter_mut().chain(&mut spec.verify.reference).chain(spec.hooks.args_mut())
}

/// Everything of a measurement that is named by its content, and may have been built.
pub(super) fn contents(spec: &mut MeasureSpec) -> impl Iterator<Item = &mut Hash> {
    let MeasureSpec { command, verify, hooks, .. } = spec;
    let words = command.argv.iter_mut().chain(&mut verify.reference).chain(hooks.args_mut());
    words.filter_map(content).chain(verify.files.values_mut().map(|file| &mut file.reference))
}

/// What stands for a word.
pub(super) fn content(word: &mut Arg) -> Option<&mut Hash> {
    match word {
        Arg::Artefact(hash) => Some(hash),
        Arg::Text(_) | Arg::Task(_) => None,
    }
}

/// Which node it is, and what else is to run there, is this run's to say.
fn anywhere(placement: Placement) -> Placement {
    Placement { host: None, not_on: None, group: None, priority: None, needs: BTreeMap::new(), ..placement }
}

fn needs_folder(cwd: &Cwd) -> bool {
    match cwd {
        Cwd::Campaign => true,
        Cwd::Scratch => false,
        Cwd::Path(path) => Path::new(path).is_relative(),
    }
}

fn asked(unread: Option<&crate::model::Unread>) -> Result<Asked, PlanError> {
    unread.ok_or(PlanError::TooOld)?.read().map_err(PlanError::Unreadable)
}

struct Builds<'a> {
    place: &'a Place<'a>,
    list: Vec<Build>,
    seen: BTreeSet<Hash>,
}

impl Builds<'_> {
    fn word(&mut self, word: &Arg, what: &'static str) -> Result<(), PlanError> {
        match word {
            Arg::Text(_) => Ok(()),
            Arg::Task(_) => Err(PlanError::NeverRan),
            Arg::Artefact(hash) => self.content(*hash, what),
        }
    }

    /// It is in the store, or is to be built: after what its own build needs.
    fn content(&mut self, hash: Hash, what: &'static str) -> Result<(), PlanError> {
        if !self.seen.insert(hash) {
            return Ok(());
        }
        let Some(state) = self.to_be_had(hash)? else { return Ok(()) };
        let made = self.place.records.iter().rev().find_map(|record| made(record, hash));
        let (record, was) = made.ok_or(PlanError::ContentGone { what, state, hash })?;
        let asked = asked(record.facts.asked.as_ref())?;
        let mut spec = asked.compile.ok_or(PlanError::TooOld)?;
        spec.cache = false; // the answer would be the artefact that is gone
        if let Some(folder) = self.place.folder {
            spec.include_root = folder.display().to_string();
        }
        for (name, value) in asked.pool_env {
            spec.command.env.entry(name).or_insert(value); // that of the measurement's pool may be another
        }
        self.inputs(&spec.command.inputs)?;
        for word in &spec.command.argv {
            self.word(word, "what its build runs")?;
        }
        self.list.push(Build {
            id: record.facts.id.clone(),
            name: record.facts.name.clone(),
            params: record.facts.params.clone(),
            timeout: record.facts.limit_s,
            was: was.clone(),
            state,
            spec,
            placement: anywhere(asked.placement),
        });
        Ok(())
    }

    fn inputs(&self, inputs: &[Input]) -> Result<(), PlanError> {
        inputs.iter().try_for_each(|input| self.input(input))
    }

    fn input(&self, Input { path, hash, .. }: &Input) -> Result<(), PlanError> {
        let Place { store, folder, .. } = self.place;
        let Some(state) = self.to_be_had(*hash)? else { return Ok(()) };
        let gone = |why: String| PlanError::InputGone { path: path.clone(), state, why };
        let file = folder.map_or(Ok(None), |folder| there(folder, path)).map_err(gone)?;
        let file = file.ok_or_else(|| gone("there is no such file in the campaign's folder".into()))?;
        if state == State::Damaged {
            store.remove(*hash)?;
        }
        match store.put_file(&file) {
            Ok(content) if content == *hash => Ok(()),
            Ok(_) => Err(gone(format!("{} has another content now", file.display()))),
            Err(error) => Err(gone(error.to_string())),
        }
    }

    /// Why it has to be had anew; none if it is in the store, which is looked at: its name alone says nothing.
    fn to_be_had(&self, hash: Hash) -> Result<Option<State>, PlanError> {
        Ok(match self.place.store.check(hash)? {
            Stored::Whole => None,
            Stored::Missing => Some(State::Gone),
            Stored::Damaged => Some(State::Damaged),
        })
    }
}

/// The file that has this name in a scratch folder: there `..` is `__`, and the `/` at the beginning is gone. Or why
/// nobody can tell.
fn there(folder: &Path, path: &str) -> Result<Option<PathBuf>, String> {
    let above: PathBuf = path.split('/').map(|part| if part == "__" { ".." } else { part }).collect();
    for file in [folder.join(path), folder.join(above), Path::new("/").join(path)] {
        if is_file(&file)? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

fn made(record: &Record, hash: Hash) -> Option<(&TaskRecord, &CompileResult)> {
    let Record::Task(task) = record else { return None };
    match &task.outcome.detail {
        Detail::Compile(result) if result.artefact == Some(hash) => Some((task, result)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::Node;
    use crate::model::{Outcome, Status, TaskFacts};

    fn pool(scheduler: Scheduler, then: &[&str], nodes: Option<u32>) -> PoolSpec {
        let node = |host: &str| Node { host: host.into(), cores: None };
        let allocation = Allocation {
            scheduler,
            job: None,
            restarts: 0,
            nodes: ["n1", "n2", "n3"].map(node).into(),
            root_host: "n1.cluster".into(),
        };
        let ended = Outcome { host: then[0].into(), ..Outcome::failed(Status::Ok, "") };
        let mut record = Measurement::from(TaskFacts::default(), &MeasureSpec::default(), &ended);
        record.hosts = nodes.map(|_| then.iter().map(|host| (*host).to_owned()).collect());
        let plan = Plan {
            builds: Vec::new(),
            measure: MeasureSpec::default(),
            placement: Placement { nodes, ..Placement::default() },
            pool_env: BTreeMap::new(),
            pool_gpus: None,
            pool_slots: None,
        };
        plan.pool(&allocation, &record)
    }

    #[test]
    fn it_runs_where_it_ran_if_that_is_to_be_had() {
        let hosts = |then: &[&str], nodes| pool(Scheduler::Slurm, then, nodes).hosts;
        assert_eq!(hosts(&["n3"], None), ["n3"]);
        assert_eq!(hosts(&["n1.cluster"], None), ["n1.cluster"]);
        assert_eq!(hosts(&["other"], None), ["n2"], "not the root's");
        assert_eq!(hosts(&["n2", "n3"], Some(2)), ["n2", "n3"]);
        assert!(hosts(&["n2", "other"], Some(2)).is_empty(), "any two");
        let here = pool(Scheduler::None, &["n3"], None);
        assert_eq!((here.start, here.hosts.is_empty()), (Some(Start::Local), true));
    }

    #[test]
    fn an_input_is_found_where_it_came_from() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("campaign");
        std::fs::create_dir_all(folder.join("k")).unwrap();
        for file in ["campaign/k/a.c", "b.c"] {
            std::fs::write(top.path().join(file), "").unwrap();
        }
        assert_eq!(there(&folder, "k/a.c"), Ok(Some(folder.join("k/a.c"))));
        assert_eq!(there(&folder, "__/b.c"), Ok(Some(folder.join("../b.c"))));
        let absolute = top.path().join("b.c");
        let name = absolute.display().to_string();
        assert_eq!(there(&folder, name.trim_start_matches('/')), Ok(Some(absolute)));
        assert_eq!(there(&folder, "none.c"), Ok(None));
        std::os::unix::fs::symlink("loop.c", folder.join("loop.c")).unwrap();
        let why = there(&folder, "loop.c").unwrap_err();
        assert!(why.starts_with("cannot read ") && why.contains("loop.c: "), "{why}");
    }
}
