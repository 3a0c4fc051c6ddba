//! Measurements of one program under several names: builds whose flags made no difference are measured once.
//!
//! Judged when a measurement is about to begin, on the node it would run on: has the same program (by its code and
//! data, `artefact::text_hash`) been measured there in this run, in exactly the same way, for another build? Then its
//! figures are the answer, and say so. Whoever measures one build twice gets two measurements: each serves another
//! build once. A measurement with a `key` of its own is never shared, and neither is a failure. Knows nothing of
//! scheduling and of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::port::{Job, Submission};
use crate::model::human::subject;
use crate::model::{Arg, Detail, Hash, Outcome, PoolId, SameAs, VerifySpec};

/// See the module.
#[derive(Default)]
pub(super) struct Twins {
    /// The code and data of artefacts that have such.
    code: FxHashMap<Hash, Hash>,
    /// By what must be the same for figures to be shared.
    measured: FxHashMap<Shared, Vec<Measured>>,
}

/// Where, of what, and how it is checked and limited.
type Shared = (PoolId, Hash, Hash);

/// A measurement that others may share.
struct Measured {
    same_as: SameAs,
    host: String,
    /// Stands for the builds it was asked for with, and those it was given to.
    depends: u32,
    given: BTreeSet<u32>,
    outcome: Arc<Outcome>,
}

impl Twins {
    /// A task ended: if it is a build, what it made is known from now on.
    pub(super) fn built(&mut self, outcome: &Outcome) {
        if let Detail::Compile(build) = &outcome.detail
            && let (Some(artefact), Some(code)) = (build.artefact, build.text_hash)
        {
            self.code.insert(artefact, code);
        }
    }

    /// What a measurement comes to: program, arguments, environment and protocol by content, the same in each run of a script. None if
    /// it is neither of a build nor of machine code that is named by path, or if more than that decides (other nodes, GPUs; what its
    /// setup makes of a file that is named by path). `env` is what its pool adds to the environment. That the file is still the one that
    /// was submitted is the caller's to know.
    pub(super) fn content_key(
        &self,
        submission: &Submission,
        env: &BTreeMap<String, String>,
    ) -> Option<Hash> {
        let Job::Measure(spec) = &submission.job else { return None };
        let place = &submission.options.placement;
        if place.gpus.is_some() || place.nodes.is_some() || spec.command.launch.is_some() {
            return None;
        }
        let code = match spec.command.argv.first()? {
            Arg::Artefact(program) => *self.code.get(program).unwrap_or(program),
            Arg::Text(_) if spec.hooks.setup.is_some() || spec.hooks.prepare.is_some() => return None,
            Arg::Text(_) => submission.extra.recipe.as_ref()?.code?,
            Arg::Task(_) => return None,
        };
        let mut spec = spec.clone();
        spec.command.argv[0] = Arg::Text(code.0.to_vec());
        // Of no influence on what is timed, and what a reference printed, its own time for one, differs from run to run.
        spec.verify = VerifySpec::default();
        let kept = (place.cores, place.numa_local, place.smt, place.exclusive);
        Some(Hash::of(&postcard::to_allocvec(&(spec, kept, env)).ok()?))
    }

    fn shared(&self, submission: &Submission, pool: PoolId) -> Option<Shared> {
        let Job::Measure(spec) = &submission.job else { return None };
        let how = postcard::to_allocvec(&(&spec.verify, submission.options.timeout)).ok()?;
        Some((pool, self.content_key(submission, &BTreeMap::new())?, Hash::of(&how)))
    }

    /// The end of a measurement that is about to begin on `host`, if one of the same program has it already.
    pub(super) fn answer(&mut self, submission: &Submission, pool: PoolId, host: &str) -> Option<Outcome> {
        let depends = submission.extra.recipe.as_ref()?.parts.depends;
        if submission.options.key.is_some() || !is_of_build(submission) {
            return None;
        }
        let shared = self.shared(submission, pool)?;
        let usable = |measured: &&mut Measured| {
            measured.host == host && measured.depends != depends && !measured.given.contains(&depends)
        };
        let twin = self.measured.get_mut(&shared)?.iter_mut().find(usable)?;
        let Detail::Measure(result) = &twin.outcome.detail else { return None };
        twin.given.insert(depends);
        let mut result = result.clone();
        result.same_as = Some(twin.same_as.clone());
        Some(Outcome { detail: Detail::Measure(result), elapsed_s: 0.0, ..(*twin.outcome).clone() })
    }

    /// A measurement ended, and its record is `id`.
    pub(super) fn measured(
        &mut self,
        id: &str,
        submission: &Submission,
        pool: PoolId,
        outcome: &Arc<Outcome>,
    ) {
        let Detail::Measure(result) = &outcome.detail else { return };
        let Some(recipe) =
            submission.extra.recipe.as_ref().filter(|_| outcome.ok() && result.same_as.is_none())
        else {
            return;
        };
        if submission.options.key.is_some() || !is_of_build(submission) {
            return;
        }
        let Some(shared) = self.shared(submission, pool) else { return };
        let options = &submission.options;
        let what = subject(Some(options.name.as_deref().unwrap_or("measure")), options.params.as_ref());
        self.measured.entry(shared).or_default().push(Measured {
            same_as: SameAs { id: id.into(), what },
            host: outcome.host.to_string(),
            depends: recipe.parts.depends,
            given: BTreeSet::new(),
            outcome: outcome.clone(),
        });
    }
}

/// Builds alone share figures: whoever names two files measures two.
fn is_of_build(submission: &Submission) -> bool {
    let Job::Measure(spec) = &submission.job else { return false };
    matches!(spec.command.argv.first(), Some(Arg::Artefact(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        CommandSpec, CompileResult, Exclusive, Function, HookSpec, MeasureResult, MeasureSpec, RecipeParts,
        Status, StopReason, Summary, TaskId, TaskOptions,
    };
    use crate::root::port::Extra;
    use crate::root::recipe::RecipeId;

    const POOL: PoolId = PoolId(0);

    fn asked(program: &[u8], depends: u32) -> Submission {
        let argv = vec![Arg::Artefact(Hash::of(program)), Arg::Text(b"64".to_vec())];
        let command = CommandSpec { argv, ..CommandSpec::default() };
        let parts = RecipeParts { depends, ..RecipeParts::default() };
        let key = Hash::of(&depends.to_le_bytes());
        let recipe = RecipeId { key, parts, code: None, tried: None, had_its_turn: false };
        Submission {
            task: TaskId(0),
            pool: None,
            options: TaskOptions { name: Some("gemm".into()), ..TaskOptions::default() }.into(),
            job: Job::Measure(Box::new(MeasureSpec { command, ..MeasureSpec::default() })),
            extra: Extra { recipe: Some(Box::new(recipe)), ..Extra::default() }.into(),
        }
    }

    fn took(median: f64, status: Status) -> Arc<Outcome> {
        let stats = Summary { median, ..Summary::default() };
        let detail = Detail::Measure(Box::new(MeasureResult::sample(stats, StopReason::Fixed)));
        Arc::new(Outcome {
            status,
            reason: None,
            host: "node1".into(),
            detail,
            elapsed_s: 1.0,
            conditions: None,
        })
    }

    /// Two builds of the same code; what was measured of the first, `id` being its record.
    fn twins(outcomes: &[(&str, Submission, Arc<Outcome>)]) -> Twins {
        let mut twins = Twins::default();
        for artefact in [b"one".as_slice(), b"two"] {
            let (artefact, text_hash) = (Some(Hash::of(artefact)), Some(Hash::of(b"code")));
            let build = CompileResult { artefact, text_hash, ..CompileResult::default() };
            twins.built(&Outcome {
                detail: Detail::Compile(Box::new(build)),
                ..Outcome::failed(Status::Ok, "")
            });
        }
        for (id, submission, outcome) in outcomes {
            twins.measured(id, submission, POOL, outcome);
        }
        twins
    }

    fn key(twins: &Twins, submission: &Submission) -> Option<Hash> {
        twins.content_key(submission, &BTreeMap::new())
    }

    fn same_as(outcome: Option<Outcome>) -> Option<String> {
        let Detail::Measure(result) = outcome?.detail else { return None };
        Some(result.same_as.unwrap().id)
    }

    #[test]
    fn another_build_of_the_same_code_shares_the_figures_on_the_same_node() {
        let mut twins = twins(&[("a", asked(b"one", 1), took(0.5, Status::Ok))]);
        assert_eq!(twins.answer(&asked(b"two", 2), POOL, "node2"), None);
        assert_eq!(twins.answer(&asked(b"three", 2), POOL, "node1"), None);
        let answer = twins.answer(&asked(b"two", 2), POOL, "node1").unwrap();
        assert_eq!((answer.elapsed_s, answer.ok()), (0.0, true));
        assert_eq!(same_as(Some(answer)), Some("a".into()));
    }

    #[test]
    fn what_is_measured_in_another_way_is_another_measurement() {
        let mut twins = twins(&[("a", asked(b"one", 1), took(0.5, Status::Ok))]);
        let changes: [fn(&mut Submission); 10] = [
            |asked| asked.options.key = Some("again".into()),
            |asked| asked.options.timeout = Some(9.0),
            |asked| asked.options.placement.cores = Some(2),
            |asked| asked.options.placement.smt = Some(false),
            |asked| asked.options.placement.exclusive = Some(Exclusive::Cores),
            |asked| asked.options.placement.gpus = Some(1),
            |asked| asked.job.timed_mut()[0].runs = Some(3),
            |asked| asked.job.timed_mut()[0].hooks.prepare = Some(HookSpec::default()),
            |asked| asked.job.timed_mut()[0].verify.function = Some(Function::default()),
            |asked| *asked.job.words_mut()[1] = Arg::Text(b"65".to_vec()),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut changed = asked(b"two", 2);
            change(&mut changed);
            assert_eq!(twins.answer(&changed, POOL, "node1"), None, "{at}");
        }
        assert_eq!(twins.answer(&asked(b"two", 2), PoolId(1), "node1"), None);
    }

    /// What is measured is the same in each run, though a reference prints its own time, a limit is another, or pools open in
    /// another order; figures are shared all the same only where everything is.
    #[test]
    fn how_it_is_checked_is_no_part_of_what_is_measured() {
        let changes: [fn(&mut Submission); 2] = [
            |asked| asked.job.timed_mut()[0].verify.reference = Some(Arg::Text(b"7 in 0.1 s".to_vec())),
            |asked| asked.options.timeout = Some(9.0),
        ];
        let mut twins = twins(&[("a", asked(b"one", 1), took(0.5, Status::Ok))]);
        for change in changes {
            let mut changed = asked(b"two", 2);
            change(&mut changed);
            assert_eq!(key(&twins, &changed), key(&twins, &asked(b"one", 1)));
            assert_eq!(twins.answer(&changed, POOL, "node1"), None);
        }
        let of_pool = BTreeMap::from([("OMP_PROC_BIND".into(), "close".into())]);
        assert_ne!(twins.content_key(&asked(b"one", 1), &of_pool), key(&twins, &asked(b"one", 1)));
    }

    #[test]
    fn machine_code_that_is_named_by_path_is_known_by_its_code_and_shares_nothing() {
        let mut named = asked(b"one", 0);
        *named.job.words_mut()[0] = Arg::Text(b"./prog".to_vec());
        let mut twins = twins(&[]);
        assert_eq!(key(&twins, &named), None);
        named.extra.recipe.as_mut().unwrap().code = Some(Hash::of(b"code"));
        assert_eq!(key(&twins, &named).unwrap(), key(&twins, &asked(b"two", 1)).unwrap());
        let mut made = named.clone();
        made.job.timed_mut()[0].hooks.setup = Some(HookSpec::default());
        assert_eq!(key(&twins, &made), None, "its setup may make it");
        twins.measured("a", &named, POOL, &took(0.5, Status::Ok));
        assert_eq!(twins.answer(&asked(b"one", 1), POOL, "node1"), None);
        twins.measured("b", &asked(b"one", 1), POOL, &took(0.5, Status::Ok));
        assert_eq!(twins.answer(&named, POOL, "node1"), None);
    }

    #[test]
    fn a_build_never_gets_the_same_figures_twice() {
        let one = |id| (id, asked(b"one", 1), took(0.5, Status::Ok));
        let mut twins = twins(&[one("a"), one("b")]);
        assert_eq!(twins.answer(&asked(b"one", 1), POOL, "node1"), None);
        let mut next = || same_as(twins.answer(&asked(b"two", 2), POOL, "node1"));
        assert_eq!([next(), next(), next()], [Some("a".into()), Some("b".into()), None]);
    }

    #[test]
    fn a_failure_is_nobodys_figure_and_what_was_shared_is_not_shared_again() {
        let mut twins = twins(&[("a", asked(b"one", 1), took(0.5, Status::VerifyFailed))]);
        assert_eq!(twins.answer(&asked(b"two", 2), POOL, "node1"), None);
        twins.measured("b", &asked(b"one", 1), POOL, &took(0.5, Status::Ok));
        let shared = Arc::new(twins.answer(&asked(b"two", 2), POOL, "node1").unwrap());
        twins.measured("c", &asked(b"two", 2), POOL, &shared);
        assert_eq!(twins.answer(&asked(b"one", 1), POOL, "node1"), None);
    }
}
