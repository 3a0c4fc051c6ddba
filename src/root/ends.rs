//! How tasks end: from what a worker or the core says to the line in the journal, and only then to the script.
//!
//! Decides nothing about scheduling; it finds the words for an end, and keeps the order of fact and news.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::driver::Driver;
use super::intake::told;
use super::port::{Job, Submission};
use super::recipe;
use super::record::{self, AtEnd};
use super::stop::Ending;
use super::tasks::Live;
use super::workers::{Stage, Worker};
use crate::core::{End, Event};
use crate::journal::Lost;
use crate::machine;
use crate::model::human::duration;
use crate::model::{
    Attempt, Detail, HowEnded, Kind, MeasureResult, Outcome, Record, SessionEnd, Status, TaskId, WorkerId,
    exit,
};

impl Driver {
    pub(super) fn finished(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let Some(outcome) = self.tasks.look(task).and_then(|live| live.rare.outcome.as_deref()) else {
            return;
        };
        let unfit = outcome.blames_node();
        if unfit && let Some(worker) = self.workers.get(&worker) {
            self.faults.note_unfit(worker.host(), outcome);
        }
        let artefact = outcome.artefact();
        let elapsed_us = (outcome.elapsed_s * 1e6) as u64;
        let ok = outcome.ok();
        self.handle(Event::Finished { worker, task, attempt, ok, unfit, artefact, elapsed_us });
    }

    /// A task has ended for good: journal first, then the future.
    pub(super) fn resolve(&mut self, task: TaskId, end: End) {
        let Some(mut outcome) = self.outcome_of(task, end) else { return };
        self.flag_shared_root(task, &mut outcome);
        let Some(ended) = self.tasks.end(task, &outcome) else { return };
        self.stirred |= ended.submission.job.kind() == Kind::Call;
        if self.draining.is_some() && outcome.status == Status::Cancelled {
            // The script never hears of it.
            self.postponed.add(&ended);
            return;
        }
        let ran_on = ended.rare.worker.and_then(|id| self.workers.get(&id));
        let was_timed = matches!(ended.submission.job.kind(), Kind::Measure | Kind::Compare);
        if was_timed && ran_on.is_some_and(|worker| self.is_here(worker)) {
            self.progress.gap();
        }
        let env = ended
            .submission
            .extra
            .recipe
            .as_ref()
            .and(ended.rare.worker)
            .and_then(|worker| self.surroundings_of(worker));
        self.twins.built(&outcome);
        let program = self.program_at_end(&ended.submission);
        let pool = self.pools.pools.get(&ended.pool).map(|pool| &pool.spec);
        let content_key = pool.and_then(|pool| self.twins.content_key(&ended.submission, &pool.env));
        let content_key = content_key.filter(|_| program.is_none());
        match record::of(&self.campaign, &ended, AtEnd { env, content_key, program, pool }, &outcome) {
            Some(mut record) => {
                self.surroundings.provenance.stamp(&mut record);
                if let (Some(_), Some(facts)) = (content_key, record.facts()) {
                    self.twins.measured(&facts.id, &ended.submission, ended.pool, &outcome);
                }
                self.save_states();
                self.recording.insert(task, (ended, outcome));
                self.journal.append(task.0, record);
            }
            None => self.hand(&ended, outcome),
        }
    }

    /// What stands for the file of a program that is named by path, if it is not the one that was submitted: built anew
    /// since, it is what was measured.
    fn program_at_end(&mut self, submission: &Submission) -> Option<u32> {
        let Job::Measure(_) = submission.job else { return None };
        let program = self.programs.of(&submission.job, &self.dir);
        let part = recipe::of_program(program.map(|program| program.content));
        (part != submission.extra.recipe.as_ref()?.parts.program).then_some(part)
    }

    /// How it ended; none if it has already.
    fn outcome_of(&mut self, task: TaskId, end: End) -> Option<Arc<Outcome>> {
        let lost = match end {
            End::LostWorker { ref workers } => self.why_lost(task, workers),
            _ => String::new(),
        };
        let live = self.tasks.live(task)?;
        if end == End::Overdue
            && let Some(worker) = live.rare.worker
        {
            // Its cores stay occupied for the core until it is lost: nothing else could run there.
            self.lose(worker, "a task did not end long after its time limit, although it was to be killed");
        }
        let live = self.tasks.live(task)?;
        let worker = live.rare.worker;
        let answer = if end == End::Finished { live.rare.outcome.take() } else { None };
        let mut outcome = answer.unwrap_or_else(|| {
            Arc::new(match end {
                End::Finished => Outcome::failed(Status::LostWorker, "its outcome never arrived"),
                End::Skipped { cause } => match live.take_unmet() {
                    Some(unmet) => unmet.outcome(),
                    None => {
                        let reason = format!("task {cause}, which it depends on, failed");
                        Outcome::failed(Status::Skipped, reason)
                    }
                },
                End::Cancelled => match self.pools.failure(live.pool) {
                    Some(reason) => Outcome::failed(Status::Refused, reason),
                    None => Outcome::failed(Status::Cancelled, "cancelled before it ended"),
                },
                End::LostWorker { .. } => Outcome::failed(Status::LostWorker, lost),
                End::Overdue => Outcome::failed(
                    Status::LostWorker,
                    "no answer long after its time limit: its worker does not respond",
                ),
                End::CameBack => Outcome::failed(
                    Status::LostWorker,
                    "its worker gave it back long after its time limit, and nobody knows whether it ran",
                ),
                End::Refused { reason } => Outcome::failed(Status::Refused, reason),
            })
        });
        // No worker says it; a twin's is there already.
        if outcome.host.is_empty()
            && let Some(worker) = worker.and_then(|id| self.workers.get(&id))
        {
            Arc::make_mut(&mut outcome).host = worker.host().into();
        }
        Some(outcome)
    }

    /// A measurement beside the root, where the pool has other nodes, says so.
    fn flag_shared_root(&mut self, task: TaskId, outcome: &mut Arc<Outcome>) {
        if !matches!(outcome.detail, Detail::Measure(_) | Detail::Compare(_)) {
            return;
        }
        let Some((pool, worker, members)) = self
            .tasks
            .live(task)
            .map(|live| (live.pool, live.rare.worker, live.rare.granted.members.clone()))
        else {
            return;
        };
        let ran_on = if members.is_empty() { worker.into_iter().collect() } else { members };
        if !self.shares_root(pool, &ran_on) {
            return;
        }
        let flag = |result: &mut MeasureResult| result.flags.push("shares_root".into());
        match &mut Arc::make_mut(outcome).detail {
            Detail::Measure(result) => flag(result),
            Detail::Compare(result) => {
                result.variants.iter_mut().for_each(|variant| flag(&mut variant.result))
            }
            _ => {}
        }
    }

    /// Why a task is lost with its worker: the one it ran on, else the last of its pool.
    fn why_lost(&mut self, task: TaskId, taken_along: &[WorkerId]) -> String {
        let Some(live) = self.tasks.live(task) else { return String::new() };
        let (own, pool, count) = (live.rare.worker, live.pool, live.submission.job.count());
        let loss = |worker: &Worker| match &worker.stage {
            Stage::Gone(text) => Some(text.clone()),
            _ => None,
        };
        let wanted = live.submission.options.placement.host.clone();
        let is_wanted = |worker: &&Worker| wanted.as_deref().is_none_or(|host| host == worker.host());
        let of_pool = || self.workers.values().rev().filter(|worker| worker.pool == Some(pool));
        let own = own.and_then(|id| self.workers.get(&id)).and_then(loss);
        let of_host = || of_pool().filter(is_wanted).find_map(loss);
        let Some(loss) = own.or_else(of_host).or_else(|| of_pool().find_map(loss)) else {
            return match self.in_quarantine(pool) {
                Some(barred) => format!(
                    "no worker is left that could run it (`spawn {{ quarantine = N }}` lets a node fail more often): {barred}"
                ),
                None => "no worker is left that could run it: its pool was closed".into(),
            };
        };
        let lives = |worker: &Worker| worker.pool == Some(pool) && worker.takes_tasks();
        if !self.workers.values().any(lives) {
            self.forsaken += count;
        }
        match taken_along {
            [] => {
                let barred = self.in_quarantine(pool).map(|why| format!("; {why}")).unwrap_or_default();
                format!(
                    "no worker is left that could run it (`pool:grow()` or `spawn{{}}` starts new ones): {loss}{barred}"
                )
            }
            [_] => format!("its worker was lost while it ran: {loss}"),
            all => {
                let named = |id: &WorkerId| match self.workers.get(id) {
                    Some(worker) => format!("worker {id} on {}", worker.planned_host),
                    None => format!("worker {id}"),
                };
                let names: Vec<String> = all.iter().map(named).collect();
                format!(
                    "it has taken {} workers with it ({}) and is not tried again; the last: {loss}",
                    all.len(),
                    names.join(", ")
                )
            }
        }
    }

    /// Counts an end and hands it to the script: what is to be recorded is by now.
    fn hand(&mut self, ended: &Live, outcome: Arc<Outcome>) {
        let Submission { task, job, options, extra, .. } = &ended.submission;
        let (kind, count) = (job.kind(), job.ended(&outcome));
        self.unrecorded += if extra.recipe.is_none() && !extra.auxiliary { count } else { 0 };
        if extra.auxiliary && outcome.status == Status::Cancelled {
            self.progress.withdrawn(kind, job.count());
        } else {
            let what = || told(&self.places, job.what());
            let until = ended.rare.worker.map(|_| self.now);
            self.progress.ended(kind, count, options, until, what, &outcome);
            if count < job.count() {
                self.progress.withdrawn(kind, job.count() - count);
            }
        }
        self.port.complete(*task, outcome);
        self.tasks.handed(*task);
    }

    pub(super) fn read_journal(&mut self) {
        let news = self.journal.written();
        if let Some(lost) = self.recorded(news) {
            self.ending.get_or_insert(Ending::JournalFailed(lost));
        }
    }

    /// Brings the last records to the disk, or ends the process: a file system may never answer. What is lost, if
    /// something is.
    pub(super) fn close_journal(&mut self, path: &str) -> Option<Lost> {
        let limit = self.limits().journal;
        let reason = format!(
            "the last records have not reached {path} for {} (its file system does not answer); what was reported \
             before is there, run the same command again to go on",
            duration(limit.as_secs_f64())
        );
        self.close_journal_within(limit, exit::JOURNAL, reason)
    }

    /// The same within another limit, at which the process says this and ends with this code.
    pub(super) fn close_journal_within(&mut self, limit: Duration, code: u8, reason: String) -> Option<Lost> {
        let journal = &mut self.journal;
        let news = self.pools.launcher.guard.watch(limit, i32::from(code), reason, || journal.close());
        self.recorded(news)
    }

    /// Hands on what is recorded; why the rest is not.
    fn recorded(&mut self, news: Vec<Result<u64, Lost>>) -> Option<Lost> {
        let mut first: Option<Lost> = None;
        for written in news {
            match written {
                Ok(token) => {
                    if let Some((ended, outcome)) = self.recording.remove(&TaskId(token)) {
                        self.recorded += 1;
                        self.answers_next |= outcome.status.lasting();
                        self.hand(&ended, outcome);
                    }
                }
                Err(lost) => match &mut first {
                    Some(first) => first.place = lost.place, // where the records are now
                    None => first = Some(lost),
                },
            }
        }
        first
    }
}

impl Driver {
    /// The last line of this run; none if it was none.
    pub(super) fn record_end(&mut self, how: HowEnded, exit_code: u8, why: Option<String>) {
        let (ended, replayed) = self.progress.ends();
        let is_barren = how == HowEnded::Stopped && !self.has_recorded_for_good();
        // Who stops without being told to says that there is more to do: `os.exit(75)`.
        let goes_on = self.postponed.is_out_of_time() || self.draining.is_none();
        let end = SessionEnd {
            ended_unix_s: machine::unix_seconds(),
            how,
            exit_code,
            why,
            recorded: self.recorded + self.recording.len(),
            states: self.states.saved,
            gained: Some(
                self.states.saved > 0
                    || self.has_recorded_for_good()
                    || is_barren && self.postponed.gives_way(),
            ),
            ended: ended.clone(),
            replayed,
            unfinished: self.left_undone(),
            is_out_of_time: how == HowEnded::Stopped && goes_on,
            in_vain: if is_barren { self.postponed.in_vain() } else { Vec::new() },
        };
        if self.only_usage && end.is_empty() {
            return self.journal.was_no_run();
        }
        self.journal.append(record::NO_TASK, Record::End(end));
    }
}

/// Why the campaign cannot go on, where what it recorded is, and how to go on from there.
pub(super) fn not_recorded(lost: &Lost, journal: &Path) -> String {
    let (shown, reason) = (journal.display(), &lost.reason);
    let rest = match &lost.place {
        Some(place) if place == journal => format!(
            "What was reported before is in {shown}; once that is mended, the same command goes on from there"
        ),
        Some(place) => format!(
            "What was reported before is in {}; move it back to {shown}, and the same command goes on from there",
            place.display()
        ),
        None => format!(
            "What was reported before is in no file that harness could find; if it was moved, move it back to \
             {shown}, and the same command goes on from there"
        ),
    };
    format!("stopped, because records cannot be written: {reason}\n  {rest}")
}
