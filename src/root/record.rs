//! The journal's line for a task that ended, from what the root knows of it.

use super::port::{Job, PoolSpec, Submission};
use super::recipe::RecipeId;
use super::tasks::Live;
use crate::machine;
use crate::model::{
    Arg, Asked, CacheUse, CommandSpec, Cost, Detail, Exclusive, Gpus, Granted, Hash, MeasureResult, Outcome,
    Record, TaskFacts, TaskOptions, ulid,
};

/// Stands for the task in the journal's answer to a line that is no task's.
pub(super) const NO_TASK: u64 = u64::MAX;

/// What is known of a task at its end.
pub(super) struct AtEnd<'a> {
    /// The surroundings it ran in.
    pub(super) env: Option<Hash>,
    /// What a measurement came to.
    pub(super) content_key: Option<Hash>,
    /// See `TaskFacts::program_at_end`.
    pub(super) program: Option<u32>,
    /// As it was asked for.
    pub(super) pool: Option<&'a PoolSpec>,
}

/// The line; none for what is not kept.
pub(super) fn of(
    campaign: &str,
    ended: &Live,
    AtEnd { env, content_key, program: program_at_end, pool }: AtEnd<'_>,
    outcome: &Outcome,
) -> Option<Record> {
    let Submission { task, options, job, extra, .. } = &ended.submission;
    let RecipeId { key, parts, .. } = **extra.recipe.as_ref()?;
    let now = machine::unix_seconds();
    let (spec, artefact, content_key) = match (job, &outcome.detail) {
        (Job::Measure(spec), _) => (Some(&**spec), program(&spec.command), content_key),
        (Job::Exec(spec), _) => (None, program(&spec.command), None),
        (_, Detail::Compile(result)) => (None, result.artefact, result.content_key),
        _ => (None, None, None),
    };
    // Of a short program start and end are told together, later. How long it took is known.
    let ran_s = ended.rare.started.map(|at| at.ago_s().max(outcome.elapsed_s));
    let facts = TaskFacts {
        id: new_id(now),
        campaign: campaign.into(),
        trial: task.0,
        parent: options.repeats.clone(),
        kind: job.kind(),
        key,
        parts: Some(parts),
        program_at_end,
        content_key,
        name: options.name.clone(),
        params: options.params.clone(),
        search: options.search.clone(),
        limit_s: options.timeout,
        worker: ended.rare.worker,
        slot: None,
        env,
        artefact,
        placement: granted(&ended.rare.granted.gpus, options, outcome),
        queue_s: ran_s.map(|ran_s| (ended.submitted.ago_s() - ran_s).max(0.0)),
        cost: Some(cost(ended, outcome)),
        started_unix_s: ran_s.map(|ran_s| now - ran_s),
        ended_unix_s: Some(now),
        asked: asked(job, options, pool).and_then(|asked| asked.written()),
    };
    Some(Record::of_task(facts, spec, outcome))
}

/// What is known of what it took.
fn cost(ended: &Live, outcome: &Outcome) -> Cost {
    let nodes = ended.submission.options.placement.nodes.unwrap_or(1).max(1);
    let (compile_s, setup_s, measure_s) = match &outcome.detail {
        Detail::Compile(result) => {
            let is_old = matches!(result.cache, CacheUse::Hit | CacheUse::Negative);
            (Some(if is_old { 0.0 } else { result.wall_s }), None, None)
        }
        Detail::Measure(result) => (None, around(result), Some(runs(result))),
        Detail::Compare(result) => {
            let variants = || result.variants.iter().map(|variant| &variant.result);
            (None, variants().filter_map(around).reduce(|sum, s| sum + s), Some(variants().map(runs).sum()))
        }
        Detail::Exec(result) => (None, None, Some(result.usage.wall_s)),
        Detail::None | Detail::Call(_) | Detail::Calls(_) | Detail::CallError(_) => (None, None, None),
    };
    Cost {
        ship_s: None,
        compile_s,
        setup_s,
        measure_s,
        node_s: ended.rare.started.map(|_| outcome.elapsed_s * f64::from(nodes)),
    }
}

/// Seconds of the runs of a measurement; none of one that has another's figures.
fn runs(result: &MeasureResult) -> f64 {
    if result.same_as.is_some() { 0.0 } else { result.samples.iter().map(|sample| sample.usage.wall_s).sum() }
}

/// Seconds of what ran around them.
fn around(result: &MeasureResult) -> Option<f64> {
    let times = result.hooks.as_ref()?;
    let lists = times.prepare_s.iter().chain(&times.conclude_s).sum::<f64>();
    Some(lists + times.setup_s.unwrap_or(0.0) + times.cleanup_s.unwrap_or(0.0))
}

/// What can be asked for again.
fn asked(job: &Job, options: &TaskOptions, pool: Option<&PoolSpec>) -> Option<Asked> {
    let asked = match job {
        Job::Measure(spec) => Asked::to_measure(spec, &options.placement),
        Job::Compile(spec) => Asked::to_compile(spec, &options.placement),
        Job::Call(_) | Job::Exec(_) | Job::Compare(_) => return None,
    };
    let Some(pool) = pool else { return Some(asked) };
    Some(Asked { pool_env: pool.env.clone(), pool_gpus: pool.gpus, pool_slots: pool.slots, ..asked })
}

/// None if it asked for nothing.
fn granted(gpus: &[(String, Gpus)], options: &TaskOptions, outcome: &Outcome) -> Option<Granted> {
    let placed = outcome.conditions.as_ref().and_then(|conditions| conditions.placed.clone());
    if gpus.is_empty() && placed.is_none() {
        return None;
    }
    let gpus = gpus.iter().map(|(host, gpus)| (host.clone(), gpus.ids.clone())).collect();
    let met_nobody = placed.as_ref().is_none_or(|placed| placed.neighbours.is_empty());
    let exclusive = options.placement.exclusive.is_some_and(Exclusive::is_asked) && met_nobody;
    Some(Granted { gpus, placed, exclusive })
}

/// The artefact a command runs, if its program is one.
fn program(command: &CommandSpec) -> Option<Hash> {
    match command.argv.first() {
        Some(Arg::Artefact(hash)) => Some(*hash),
        _ => None,
    }
}

/// An id that sorts by time.
pub(super) fn new_id(unix_s: f64) -> String {
    ulid((unix_s * 1e3) as u64, entropy())
}

/// Random bytes from the kernel.
pub(super) fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Up to 256 bytes this neither fails nor is cut short once the machine has booted.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes
}
