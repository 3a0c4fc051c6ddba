//! The root's table of tasks: what was asked, what it waits for, how it ended.
//!
//! An ended task stays until the script has taken its completion: a submission under way may still refer
//! to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::gpus;
use super::moment::Moment;
use super::port::{Job, Submission};
use super::settle::{Unmet, settle, strike_off};
use crate::model::{
    Arg, Attempt, Blank, ByTask, CallTask, CommandSpec, CompactBytes, DepValue, Exclusive, Gang, Gpus, Hash,
    Kind, Outcome, Own, Pin, Placement, PoolId, Run, Sparse, Status, TaskId, ToWorker, Work, WorkerId, human,
};
use crate::wire::TooLarge;

/// A task that has not ended.
pub(super) struct Live {
    pub(super) submission: Submission,
    pub(super) pool: PoolId,
    /// The try under way, or the next.
    pub(super) attempt: Attempt,
    /// When the script asked for it.
    pub(super) submitted: Moment,
    /// What a task has none of that was not started and that nothing waits for.
    pub(super) rare: Sparse<Rare>,
}

/// See [`Live::rare`].
#[derive(Clone, PartialEq)]
pub(super) struct Rare {
    /// When the try under way was sent off; of what waited at its worker, when it began, once that is known.
    pub(super) started: Option<Moment>,
    /// Its worker said that it has begun.
    pub(super) has_begun: bool,
    /// Where it runs, once it was started.
    pub(super) worker: Option<WorkerId>,
    /// How the try under way ended, until the core has said what follows.
    pub(super) outcome: Option<Arc<Outcome>>,
    /// What else the try under way has.
    pub(super) granted: Sparse<Granted>,
    /// Why it cannot run although its dependencies ended.
    pub(super) unmet: Option<Box<Unmet>>,
    /// Tasks that wait for this one.
    dependents: Vec<TaskId>,
}

impl Blank for Rare {
    const BLANK: &'static Self = &Self {
        started: None,
        has_begun: false,
        worker: None,
        outcome: None,
        granted: Sparse::NOTHING,
        unmet: None,
        dependents: Vec::new(),
    };
}

/// What few tries have: several nodes, or GPUs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Granted {
    /// Its nodes, the leader's first, where it is to know them.
    pub(super) gang: Option<Gang>,
    /// The workers of those.
    pub(super) members: Vec<WorkerId>,
    /// By node, the GPUs that its programs are to see.
    pub(super) gpus: Vec<(String, Gpus)>,
    /// Workers that still end what it left on their nodes.
    pub(super) sweeping: BTreeSet<WorkerId>,
}

impl Blank for Granted {
    const BLANK: &'static Self =
        &Self { gang: None, members: Vec::new(), gpus: Vec::new(), sweeping: BTreeSet::new() };
}

/// Without a box for those that have not ended: each would be one more piece of memory to get and to give back.
#[allow(clippy::large_enum_variant)] // nearly all that are kept have not ended
enum Entry {
    Live(Live),
    Ended(Arc<Outcome>),
}

/// All tasks the script may still refer to.
#[derive(Default)]
pub(super) struct Tasks {
    entries: ByTask<Entry>,
    /// Ended tasks in the order they were handed to the script.
    handed: VecDeque<TaskId>,
    /// How many of those were dropped again.
    dropped: u64,
    live: usize,
    /// The same for each pool.
    live_in: BTreeMap<PoolId, usize>,
}

impl Tasks {
    /// Takes in a task that the script asked for at `now`. What it depends on and has ended is put into it, or makes it
    /// `unmet`; the others are noted and stay in its `deps`.
    pub(super) fn insert(&mut self, mut submission: Submission, pool: PoolId, now: Instant) {
        let task = submission.task;
        let mut unmet = None;
        for dep in submission.extra.deps.clone() {
            match self.entries.get_mut(dep) {
                Some(Entry::Live(live)) => live.rare.dependents.push(task),
                Some(Entry::Ended(outcome)) => {
                    let outcome = outcome.clone();
                    if let Err(why) = settle(&mut submission, dep, &outcome) {
                        unmet = Some(why);
                        strike_off(&mut submission, dep);
                    }
                }
                None => {
                    let reason = format!("task {dep}, which it depends on, is not known any more");
                    unmet = Some(Unmet::Unusable(reason));
                    strike_off(&mut submission, dep);
                }
            }
        }
        self.live += 1;
        *self.live_in.entry(pool).or_default() += 1;
        let attempt = Attempt(0);
        let mut live = Live { submission, pool, attempt, submitted: now.into(), rare: Sparse::NOTHING };
        if let Some(unmet) = unmet {
            live.rare.unmet = Some(Box::new(unmet));
        }
        self.entries.insert(task, Entry::Live(live));
    }

    /// A task that has not ended.
    pub(super) fn live(&mut self, task: TaskId) -> Option<&mut Live> {
        match self.entries.get_mut(task) {
            Some(Entry::Live(live)) => Some(live),
            _ => None,
        }
    }

    /// The same, to be looked at.
    pub(super) fn look(&self, task: TaskId) -> Option<&Live> {
        match self.entries.get(task) {
            Some(Entry::Live(live)) => Some(live),
            _ => None,
        }
    }

    /// Those that run on this worker, or left something there.
    pub(super) fn of_gangs_with(&self, worker: WorkerId) -> Vec<TaskId> {
        let live = self.entries.values().filter_map(|entry| match entry {
            Entry::Live(live)
                if live.rare.granted.gang.is_some() && live.rare.granted.members.contains(&worker) =>
            {
                Some(live.submission.task)
            }
            _ => None,
        });
        live.collect()
    }

    /// Those that have begun and not ended, as far as is known.
    pub(super) fn begun(&self) -> impl Iterator<Item = &Live> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::Live(live) if live.rare.has_begun => Some(live),
            _ => None,
        })
    }

    /// How many tasks have not ended.
    pub(super) fn live_count(&self) -> usize {
        self.live
    }

    /// Those of a pool that have not ended.
    pub(super) fn live_in(&self, pool: PoolId) -> usize {
        self.live_in.get(&pool).copied().unwrap_or(0)
    }

    /// A task ended: its result goes into the tasks that wait for it.
    pub(super) fn end(&mut self, task: TaskId, outcome: &Arc<Outcome>) -> Option<Live> {
        let Some(Entry::Live(ended)) = self.entries.insert(task, Entry::Ended(outcome.clone())) else {
            return None;
        };
        self.live -= 1;
        self.live_in.entry(ended.pool).and_modify(|count| *count -= 1);
        for dependent in ended.rare.dependents.iter() {
            if let Some(Entry::Live(live)) = self.entries.get_mut(*dependent)
                && let Err(unmet) = settle(&mut live.submission, task, outcome)
            {
                live.rare.unmet = Some(Box::new(unmet));
            }
        }
        Some(ended)
    }

    /// The script was handed this completion.
    pub(super) fn handed(&mut self, task: TaskId) {
        self.handed.push_back(task);
    }

    /// The script had taken so many completions before it made the requests that were read last: what it asks
    /// for from now on does not refer to those tasks.
    pub(super) fn forget(&mut self, taken: u64) {
        while self.dropped < taken
            && let Some(old) = self.handed.pop_front()
        {
            self.entries.remove(old);
            self.dropped += 1;
        }
    }
}

impl Live {
    /// Its worker says so: what waited there did not run before.
    pub(super) fn began(&mut self) {
        self.rare.has_begun = true;
        if matches!(self.submission.job.kind(), Kind::Call | Kind::Exec) && self.rare.started.is_some() {
            self.rare.started = Some(Instant::now().into());
        }
    }

    /// Why it cannot run, for whoever tells the script. Of nearly all there is nothing, and nothing is written.
    pub(super) fn take_unmet(&mut self) -> Option<Box<Unmet>> {
        self.rare.unmet.as_ref()?;
        self.rare.unmet.take()
    }

    /// Has `queue` see the message that starts it. What a call is called with is lent to that: the first copy of what
    /// is long would be one more piece of memory to get and to give back.
    pub(super) fn send<T>(&mut self, queue: impl FnOnce(&ToWorker) -> T) -> T {
        let mut message = self.message();
        self.lend(&mut message);
        let queued = queue(&message);
        self.lend(&mut message);
        queued
    }

    fn lend(&mut self, message: &mut ToWorker) {
        if let (Job::Call(job), ToWorker::Call(call)) = (&mut self.submission.job, message) {
            std::mem::swap(&mut job.payload, &mut call.payload);
        }
    }

    fn message(&self) -> ToWorker {
        let Submission { task, options, job, extra, .. } = &self.submission;
        let mut work = match job {
            Job::Call(call) => {
                return ToWorker::Call(CallTask {
                    task: *task,
                    attempt: self.attempt,
                    // What is recorded draws what it drew, whatever was submitted before it.
                    seed: extra.recipe.as_ref().map_or(task.0, |recipe| recipe.key.first_half()),
                    timeout: options.timeout,
                    fresh: options.fresh,
                    gpus: self.rare.granted.gpus.first().map(|(_, gpus)| gpus.clone()),
                    gang: self.rare.granted.gang.clone().map(Box::new),
                    many: call.baggage.many.is_some(),
                    payload: CompactBytes::EMPTY, // `send` lends it
                    deps: call.baggage.known.clone(),
                });
            }
            Job::Exec(spec) => Work::Exec((**spec).clone()),
            Job::Compile(spec) => Work::Compile((**spec).clone()),
            Job::Measure(spec) => Work::Measure(spec.clone()),
            Job::Compare(spec) => Work::Compare((**spec).clone()),
        };
        for command in work.commands_mut() {
            gpus::show(&self.rare.granted.gpus, command);
        }
        ToWorker::Run(Box::new(Run {
            task: *task,
            attempt: self.attempt,
            timeout: options.timeout,
            cores: if options.placement.exclusive == Some(Exclusive::Socket) {
                1
            } else {
                options.placement.cores.unwrap_or(1)
            },
            pin: self.pin(),
            alone: options.placement.exclusive.is_some_and(Exclusive::is_asked),
            gang: self.rare.granted.gang.clone(),
            work,
        }))
    }

    /// How it ends where that message is too large for any worker.
    pub(super) fn too_large(&self, TooLarge { bytes, limit }: TooLarge) -> Outcome {
        let (what, instead) = match &self.submission.job {
            Job::Call(_) => ("what its function is called with", "write it to a file and pass its name"),
            job if job.argument_bytes() > limit / 2 => ("`stdin`", "name a file in `inputs` and read that"),
            _ => ("what it asks for", "name files in `inputs`"),
        };
        let most = human::bytes(limit as u64);
        let reason = format!(
            "{what} is too large to be sent to a worker: the message has {bytes} B, and the limit is {limit} B ({most}): \
             {instead}"
        );
        Outcome::failed(Status::Refused, reason)
    }

    /// How a call ends whose slot could not hold what it is called with: read, it takes no less than on its way.
    pub(super) fn too_much_for(&self, memory: Option<u64>) -> Option<Outcome> {
        let (Job::Call(call), Some(memory)) = (&self.submission.job, memory) else { return None };
        let known = call.baggage.known.iter().map(|(_, value)| match value {
            DepValue::Values(values) => values.len(),
            DepValue::Artefact(_) | DepValue::Record(_) => 0,
        });
        let bytes = (self.submission.job.argument_bytes() + known.sum::<usize>()) as u64;
        let reason = || {
            format!(
                "what its function is called with takes {}, and `memory` leaves its slot {}: raise that (spawn{{ memory = … }}), \
                 or write it to a file and pass its name",
                human::bytes(bytes),
                human::bytes(memory)
            )
        };
        (bytes > memory).then(|| Outcome::failed(Status::Oom, reason()))
    }

    /// Which cores it is to be kept on: a measurement that says how many cores it has, and whatever asks for cores of a
    /// kind. The ranks of an MPI application are its launcher's business.
    fn pin(&self) -> Option<Pin> {
        let &Placement { cores, numa_local, smt, exclusive, .. } = &self.submission.options.placement;
        let is_timed = matches!(self.submission.job, Job::Measure(_) | Job::Compare(_));
        let own = match exclusive {
            Some(Exclusive::Cores) => Own::Cores,
            Some(Exclusive::Socket) => Own::Socket,
            Some(Exclusive::Node | Exclusive::No) | None => Own::Threads,
        };
        let asked = numa_local || smt.is_some() || is_timed && cores.is_some() || own != Own::Threads;
        let cores = cores.unwrap_or(if own == Own::Socket { 0 } else { 1 });
        let pin = Pin { cores, local: numa_local, smt, own };
        (asked && !self.is_of_gang()).then_some(pin)
    }

    /// Is it started by a launcher, or has it several nodes, or is it to know its one?
    pub(super) fn is_of_gang(&self) -> bool {
        let nodes = self.submission.options.placement.nodes;
        let job = &self.submission.job;
        let is_launched = |command: &&CommandSpec| command.launch.is_some();
        let least = if job.kind() == Kind::Call { 1 } else { 2 };
        nodes.is_some_and(|nodes| nodes >= least) || job.commands().iter().any(is_launched)
    }

    /// Artefacts its node must have.
    pub(super) fn artefacts(&self) -> Vec<Hash> {
        match &self.submission.job {
            Job::Call(call) => {
                let known = call.baggage.known.iter().filter_map(|(_, value)| match value {
                    DepValue::Artefact(hash) => Some(*hash),
                    _ => None,
                });
                call.baggage.artefacts.iter().copied().chain(known).collect()
            }
            job => {
                let timed = job.timed();
                let references = timed.iter().filter_map(|spec| spec.verify.reference.as_ref());
                let named = job.words().into_iter().chain(references).filter_map(|arg| match arg {
                    Arg::Artefact(hash) => Some(*hash),
                    _ => None,
                });
                let files =
                    timed.iter().flat_map(|spec| spec.verify.files.values().map(|file| file.reference));
                let commands = job.commands().into_iter();
                let inputs = commands.flat_map(|command| command.inputs.iter().map(|input| input.hash));
                let functions = timed.iter().flat_map(|spec| spec.functions());
                let captured = functions.flat_map(|function| function.artefacts.iter().copied());
                named.chain(files).chain(inputs).chain(captured).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CallReturn, Detail, ExecSpec, FileSpec, HookSpec, Input, MeasureSpec, Status};
    use crate::root::port::Extra;

    fn submission(task: u64, deps: &[u64]) -> Submission {
        let deps: VecDeque<TaskId> = deps.iter().copied().map(TaskId).collect();
        let argv = deps.iter().copied().map(Arg::Task).collect();
        let command = CommandSpec { argv, ..CommandSpec::default() };
        let job = Job::Exec(Box::new(ExecSpec { command, ..ExecSpec::default() }));
        Submission {
            task: TaskId(task),
            pool: None,
            options: Sparse::default(),
            job,
            extra: Extra { deps, ..Extra::default() }.into(),
        }
    }

    #[test]
    fn a_waiting_task_is_small() {
        assert_eq!(size_of::<Option<Entry>>(), 112);
        let mut tasks = Tasks::default();
        for (task, deps) in [(0, &[][..]), (1, &[0])] {
            tasks.insert(submission(task, deps), PoolId(0), Instant::now());
        }
        let has_no_box = |live: &Live| live.submission.extra.is_bare() && live.rare.is_bare();
        assert!(!has_no_box(tasks.look(TaskId(0)).unwrap()) && !has_no_box(tasks.look(TaskId(1)).unwrap()));
        let text = Some(b"5".to_vec().into());
        let detail = Detail::Call(CallReturn { text, ..CallReturn::default() });
        tasks.end(TaskId(0), &Arc::new(Outcome { detail, ..Outcome::failed(Status::Ok, "") }));
        tasks.insert(submission(2, &[]), PoolId(0), Instant::now());
        assert!(has_no_box(tasks.look(TaskId(1)).unwrap()) && has_no_box(tasks.look(TaskId(2)).unwrap()));
    }

    #[test]
    fn a_task_waits_only_for_what_has_not_ended() {
        let mut tasks = Tasks::default();
        for task in 0..3 {
            tasks.insert(submission(task, &[]), PoolId(0), Instant::now());
        }
        let text = |text| CallReturn { text, ..CallReturn::default() };
        let ended = |text| {
            let detail = Detail::Call(text);
            Arc::new(Outcome { status: Status::Ok, reason: None, detail, ..Outcome::failed(Status::Ok, "") })
        };
        tasks.end(TaskId(0), &ended(text(Some(b"5".to_vec().into()))));
        tasks.end(TaskId(1), &ended(text(None)));
        tasks.insert(submission(3, &[0, 2]), PoolId(0), Instant::now());
        let live = tasks.live(TaskId(3)).unwrap();
        assert_eq!((&live.submission.extra.deps, &live.rare.unmet), (&[TaskId(2)].into(), &None));
        // What it cannot use, or what is gone, is no reason to wait either.
        tasks.insert(submission(4, &[0, 1, 99]), PoolId(0), Instant::now());
        let live = tasks.live(TaskId(4)).unwrap();
        assert!(
            live.submission.extra.deps.is_empty()
                && matches!(live.rare.unmet.as_deref(), Some(Unmet::Unusable(_)))
        );
    }

    #[test]
    fn a_node_must_have_all_that_a_measurement_names() {
        let [program, reference, tool, file, input] =
            ["p", "r", "t", "f", "i"].map(|text| Hash::of(text.as_bytes()));
        let mut spec = MeasureSpec::default();
        spec.command.argv = vec![Arg::Artefact(program), Arg::Text(b"x".to_vec())];
        spec.command.inputs = vec![Input { path: "in".into(), hash: input, executable: false }];
        spec.verify.reference = Some(Arg::Artefact(reference));
        spec.verify.files.insert("out".into(), FileSpec { reference: file, rtol: 0.0, atol: 0.0 });
        spec.hooks.prepare = Some(HookSpec { argv: vec![Arg::Artefact(tool)], shell: None });
        let mut tasks = Tasks::default();
        let job = Job::Measure(Box::new(spec));
        tasks.insert(Submission { job, ..submission(0, &[]) }, PoolId(0), Instant::now());
        let found: std::collections::BTreeSet<Hash> =
            tasks.live(TaskId(0)).unwrap().artefacts().into_iter().collect();
        assert_eq!(found, [program, reference, tool, file, input].into());
    }

    #[test]
    fn what_is_around_the_runs_may_be_what_another_task_results_in() {
        let mut tasks = Tasks::default();
        tasks.insert(submission(0, &[]), PoolId(0), Instant::now());
        let mut spec = MeasureSpec::default();
        spec.hooks.setup = Some(HookSpec { argv: vec![Arg::Task(TaskId(0))], shell: None });
        let job = Job::Measure(Box::new(spec));
        let text = Some(b"5".to_vec().into());
        let detail = Detail::Call(CallReturn { text, ..CallReturn::default() });
        let ended = Outcome { status: Status::Ok, reason: None, detail, ..Outcome::failed(Status::Ok, "") };
        tasks.end(TaskId(0), &Arc::new(ended));
        tasks.insert(Submission { job, ..submission(1, &[0]) }, PoolId(0), Instant::now());
        let live = tasks.live(TaskId(1)).unwrap();
        assert!(live.submission.extra.deps.is_empty() && live.rare.unmet.is_none());
        assert_eq!(live.submission.job.words(), [&Arg::Text(b"5".to_vec())]);
    }

    #[test]
    fn what_the_script_has_taken_is_forgotten_when_its_requests_were_read() {
        let mut tasks = Tasks::default();
        for task in 0..2 {
            tasks.insert(submission(task, &[]), PoolId(0), Instant::now());
            tasks.end(TaskId(task), &Arc::new(Outcome::failed(Status::Cancelled, "")));
            tasks.handed(TaskId(task));
        }
        tasks.forget(1);
        for (task, reason) in [(0, "not known any more"), (1, "ended cancelled")] {
            tasks.insert(submission(9, &[task]), PoolId(0), Instant::now());
            let unmet = tasks.live(TaskId(9)).unwrap().rare.unmet.take().unwrap().to_string();
            assert!(unmet.contains(reason), "{unmet}");
        }
    }
}
