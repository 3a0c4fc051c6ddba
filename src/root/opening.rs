//! The journal a campaign begins with: its header if it is new, what it already answers, and what is to be noticed of that.
//!
//! Knows neither workers nor tasks that run.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::again::Retrying;
use super::forecast::Forecast;
use super::notices::{Here, Notices};
use super::progress::Progress;
use super::{Options, port, record};
use crate::allocation::Allocation;
use crate::journal::{Journal, JournalError, Mode, Opened, Started};
use crate::machine;
use crate::model::human::tally;
use crate::model::{BatchJob, Hash, Header, JOURNAL_SCHEMA, PROTOCOL, Session, Status};

/// Opens the journal and says what is to be said of it.
pub(super) fn open_journal(
    path: &Path,
    header: Header,
    job: Option<BatchJob>,
    options: &Options,
    progress: &Progress,
) -> Result<Opened, JournalError> {
    // A damaged journal is set aside for a fresh one; a script that was named in its place is not.
    if is_same_file(path, Path::new(&header.script)) {
        return Err(JournalError::NotAJournal { path: path.to_owned() });
    }
    let mode = match options {
        Options { fresh: true, .. } => Mode::Fresh,
        Options { repeats: true, .. } => Mode::Repeat,
        _ => Mode::Resume,
    };
    let script = (!options.repeats).then(|| header.script.clone());
    let started = Started { job, script, args: options.args.clone(), retry: options.retry.clone() };
    let opened = Journal::create_or_open(path, header, started, mode)?;
    for note in &opened.notes {
        progress.note(note);
    }
    if let Some(seed) = options.seed.filter(|seed| *seed != opened.header.seed) {
        progress.note(&format!(
            "seed {seed} is not that of the journal ({}): a script that draws numbers may ask for other tasks \
             than it recorded; leave --seed out to go on, or begin anew with --fresh",
            opened.header.seed
        ));
    }
    Ok(opened)
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

pub(super) fn header(script: &Path, text: &[u8], seed: Option<u64>) -> Header {
    let now = machine::unix_seconds();
    Header {
        schema: JOURNAL_SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        campaign: record::new_id(now),
        script: script.display().to_string(),
        script_hash: Some(Hash::of(text)),
        seed: seed.unwrap_or_else(fresh_seed),
        started_unix_s: now,
    }
}

/// What is to be noticed of the journal's answers in a run on these nodes.
pub(super) fn notices(index: &port::Index, allocation: &Allocation) -> Notices {
    let hosts = allocation.nodes.iter().map(|node| node.host.clone()).collect();
    Notices::new(Here { hosts, cpu_model: machine::cpu_name() }, index.clone())
}

/// How long the journal's tasks took. Matters only where the time has an end.
pub(super) fn forecast(index: &port::Index) -> Forecast {
    let mut forecast = Forecast::default();
    for number in 0..index.len() {
        let (kind, elapsed_s) = index.took(number);
        forecast.saw(kind, index.name(number), index.place(number), elapsed_s);
    }
    forecast
}

/// Which ends of earlier runs are tried again, and why, and which were already. What was cancelled or skipped may be so
/// again: that is the script's affair.
pub(super) fn tried_again(index: &port::Index, retrying: &Retrying) -> Vec<String> {
    let of = |is_meant: &dyn Fn(usize) -> bool| {
        let mut asked = BTreeMap::<Status, usize>::new();
        for status in (0..index.len()).filter(|number| is_meant(*number)).map(|number| index.status(number)) {
            *asked.entry(status).or_default() += 1;
        }
        asked
    };
    let asked = of(&|number| retrying.covers(index, number));
    let was = of(&|number| retrying.was(index, number));
    let mut always = index.unanswered().clone();
    always.retain(|status, _| !matches!(status, Status::Cancelled | Status::Skipped));
    let ends = |ends: &BTreeMap<Status, usize>, why: &str| {
        (!ends.is_empty()).then(|| format!("{} ({why})", tally(ends)))
    };
    let said: Vec<String> =
        [ends(&always, "as ever"), ends(&asked, "--retry")].into_iter().flatten().collect();
    let now = (!said.is_empty())
        .then(|| format!("run again where the script asks for it, though recorded: {}", said.join(", ")));
    let before = (!was.is_empty()).then(|| {
        format!(
            "tried again by the runs that this one goes on from, and not once more: {} (--retry); a run without it in between \
             begins anew",
            tally(&was)
        )
    });
    now.into_iter().chain(before).collect()
}

/// What is to be said where a batch system has started the job again.
pub(super) fn restarted(job: Option<&BatchJob>, restarts: u32, before: Option<&Session>) -> Option<String> {
    let job = job.filter(|_| restarts > 0)?;
    let was_here = before.is_some_and(|before| before.job.as_ref() == Some(job));
    was_here.then(|| {
        format!(
            "{} has started job {} again (restart {restarts}): it goes on from the journal",
            job.scheduler, job.id
        )
    })
}

/// The journal of a script that names no other.
pub fn default_journal(script: &Path) -> PathBuf {
    let mut name = script.as_os_str().to_os_string();
    name.push(".journal");
    name.into()
}

fn fresh_seed() -> u64 {
    // Any number will do: it is written to the journal and kept from then on.
    u64::from_le_bytes(record::entropy())
}
