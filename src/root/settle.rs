//! What the end of one task means for a task that waits for it: its result takes the place of its number,
//! or the waiting task cannot run. Used by the port for what is known at submit, by the driver for the rest.

use super::port::{CallJob, Job, Submission};
use crate::model::{Arg, DepLabel, DepRecord, DepValue, Detail, Kind, Outcome, Status, TaskId};

/// Why a task will not run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Unmet {
    /// A task it depends on did not end well.
    #[error("{0}")]
    Failed(String),
    /// The result cannot stand where it was put.
    #[error("{0}")]
    Unusable(String),
}

impl Unmet {
    pub(super) fn failed(waiting: &Submission, dep: TaskId, status: Status, reason: Option<&str>) -> Self {
        let what = match is_reference(&waiting.job, dep) {
            true => format!("its reference, task {dep},"),
            false => format!("task {dep}, which it depends on,"),
        };
        // Of a chain the first that failed is named, and the last: not all between them.
        let why = reason.map(|reason| match reason.split_once(", ended skipped: ") {
            Some((_, first)) if status == Status::Skipped => first,
            _ => reason,
        });
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        Unmet::Failed(format!("{what} ended {}{why}", status.word()))
    }

    /// How the waiting task ends.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Unmet::Failed(reason) => Outcome::failed(Status::Skipped, reason),
            Unmet::Unusable(reason) => Outcome::failed(Status::SetupFailed, reason),
        }
    }
}

/// `dep` ended so: puts its result into `waiting` and strikes it off the list of what that waits for.
pub(super) fn settle(waiting: &mut Submission, dep: TaskId, outcome: &Outcome) -> Result<(), Unmet> {
    if !outcome.ok() && !waiting.options.accept_failed {
        return Err(Unmet::failed(waiting, dep, outcome.status, outcome.reason.as_deref()));
    }
    match &mut waiting.job {
        Job::Call(call) => {
            if let Detail::Call(values) = &outcome.detail {
                let codes = values.codes.iter().map(|(hash, code)| (*hash, code.as_slice().into()));
                if !values.codes.is_empty() {
                    call.baggage.codes.extend(codes);
                }
            }
            let value = dep_value(call, dep, outcome);
            call.baggage.known.push((dep, value));
            strike_off(waiting, dep);
        }
        job => {
            if is_reference(job, dep) {
                refer(job, dep, &reference(dep, outcome)?);
            }
            let mentioned = job.words().contains(&&Arg::Task(dep));
            if mentioned {
                put(waiting, dep, &argument(dep, outcome)?);
            } else {
                strike_off(waiting, dep);
            }
        }
    }
    Ok(())
}

/// Puts `value` where `dep` is referred to.
pub(super) fn put(waiting: &mut Submission, dep: TaskId, value: &Arg) {
    match &mut waiting.job {
        Job::Call(call) => {
            if let Arg::Artefact(hash) = value {
                call.baggage.known.push((dep, DepValue::Artefact(*hash)));
            }
        }
        job => {
            for word in job.words_mut().into_iter().filter(|word| **word == Arg::Task(dep)) {
                *word = value.clone();
            }
            refer(job, dep, value);
        }
    }
    strike_off(waiting, dep);
}

/// It does not wait for `dep` any more. Of many they end about in their order: the search is short.
pub(super) fn strike_off(waiting: &mut Submission, dep: TaskId) {
    if let Some(at) = waiting.extra.deps.iter().position(|waits_for| *waits_for == dep) {
        waiting.extra.deps.remove(at);
        waiting.extra.shed();
    }
}

/// Outputs are compared with `value` from now on, where it was with what `dep` results in.
fn refer(job: &mut Job, dep: TaskId, value: &Arg) {
    for spec in job.timed_mut() {
        if spec.verify.reference == Some(Arg::Task(dep)) {
            spec.verify.reference = Some(value.clone());
        }
    }
}

fn is_reference(job: &Job, dep: TaskId) -> bool {
    job.timed().iter().any(|spec| spec.verify.reference == Some(Arg::Task(dep)))
}

fn dep_value(call: &CallJob, dep: TaskId, outcome: &Outcome) -> DepValue {
    match &outcome.detail {
        Detail::Call(values) => return DepValue::Values(values.values.clone()),
        Detail::Compile(build) => {
            if let Some(hash) = build.artefact {
                return DepValue::Artefact(hash);
            }
        }
        _ => {}
    }
    let label = call.baggage.labels.iter().find(|(task, _)| *task == dep).map(|(_, label)| label.clone());
    let label = label.unwrap_or(DepLabel { kind: Kind::Call, name: None, params: None });
    DepValue::Record(Box::new(DepRecord { label, outcome: outcome.clone() }))
}

/// What a result is on a command line.
fn argument(dep: TaskId, outcome: &Outcome) -> Result<Arg, Unmet> {
    let text = match &outcome.detail {
        Detail::Compile(result) => result.artefact.map(Arg::Artefact),
        Detail::Call(values) => values.first_as_text().map(|text| Arg::Text(text.to_vec())),
        _ => None,
    };
    text.ok_or_else(|| {
        let why = match outcome.detail {
            Detail::Call(_) => "returned neither a string nor a number".to_string(),
            _ => format!("ended {}", outcome.status.word()),
        };
        Unmet::Unusable(format!("task {dep} cannot be an argument of the command: it {why}"))
    })
}

/// What a result is to `verify`.
fn reference(dep: TaskId, outcome: &Outcome) -> Result<Arg, Unmet> {
    match &outcome.detail {
        Detail::Exec(run) if run.stdout_bytes > run.stdout.len() as u64 => Err(Unmet::Unusable(format!(
            "task {dep} cannot be the reference: of its {} bytes of output only {} were kept",
            run.stdout_bytes,
            run.stdout.len()
        ))),
        Detail::Exec(run) => Ok(Arg::Text(run.stdout.clone())),
        _ => argument(dep, outcome),
    }
}
