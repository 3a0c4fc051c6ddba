//! Campaigns as they are asked: every record with what readers want to know of it, whatever kind of task it is of.
//!
//! What was tried again before, and what `harness rerun` repeated, is told apart, so that nobody counts it by accident.

use std::path::{Path, PathBuf};

use crate::journal::JournalError;
use crate::model::{Detail, Env, Header, Kind, Measurement, Record, Session, Status, TaskFacts, TaskRecord};
use crate::report::Campaign;

/// One journal.
#[derive(Debug)]
pub(super) struct Journal {
    /// What it is called where there are several.
    pub(super) name: String,
    pub(super) header: Option<Header>,
    pub(super) sessions: Vec<Session>,
    pub(super) envs: Vec<Env>,
    /// Everything that ended; what counts is in recorded order.
    pub(super) ended: Vec<Ended>,
}

/// A task that ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Number of the run of the script that recorded it, from 1.
    pub(super) session: usize,
    /// No later version of the script or its sources recorded another in its place.
    pub(super) current: bool,
    pub(super) standing: Standing,
    pub(super) what: What,
}

/// Its record.
#[derive(Debug)]
pub(super) enum What {
    Measurement(Box<Measurement>),
    Task(Box<TaskRecord>),
}

/// Does it count?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Counts,
    /// It was tried again, and that counts.
    TriedAgain,
    /// `harness rerun` repeated what another one is.
    Repeat,
}

impl Journal {
    pub(super) fn read(path: &Path, name: String) -> Result<Self, JournalError> {
        let mut campaign = Campaign::read(path)?;
        let mut ended = Vec::new();
        for (records, standing) in [
            (std::mem::take(&mut campaign.ended), Standing::Counts),
            (std::mem::take(&mut campaign.earlier), Standing::TriedAgain),
            (std::mem::take(&mut campaign.repeats), Standing::Repeat),
        ] {
            for record in records {
                let Some(facts) = record.facts() else { continue };
                let (session, current) = (campaign.session_of(facts), campaign.is_current(facts));
                let what = match record {
                    Record::Measurement(it) => What::Measurement(it),
                    Record::Task(it) => What::Task(it),
                    _ => continue,
                };
                ended.push(Ended { session, current, standing, what });
            }
        }
        let Campaign { header, sessions, envs, .. } = campaign;
        Ok(Self { name, header, sessions, envs: envs.into_values().collect(), ended })
    }

    /// Leaves out what is outdated.
    pub(super) fn keep_current(&mut self) {
        self.ended.retain(|ended| ended.current);
    }

    /// How many measurements it has that count.
    pub(super) fn measured(&self) -> usize {
        self.counted().filter(|ended| matches!(ended.what, What::Measurement(_))).count()
    }

    /// The same with comparisons.
    pub(super) fn timed(&self) -> usize {
        let kinds = [Kind::Measure, Kind::Compare];
        self.counted().filter(|ended| kinds.contains(&ended.facts().kind)).count()
    }

    /// What counts.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter().filter(|ended| ended.standing == Standing::Counts)
    }
}

impl Ended {
    /// What is known of it beside how it ended.
    pub(super) fn facts(&self) -> &TaskFacts {
        match &self.what {
            What::Measurement(measurement) => &measurement.facts,
            What::Task(task) => &task.facts,
        }
    }

    pub(super) fn status(&self) -> Status {
        match &self.what {
            What::Measurement(measurement) => measurement.status,
            What::Task(task) => task.outcome.status,
        }
    }

    pub(super) fn reason(&self) -> Option<&String> {
        match &self.what {
            What::Measurement(measurement) => measurement.reason.as_ref(),
            What::Task(task) => task.outcome.reason.as_ref(),
        }
    }

    /// The node; none if it never ran.
    pub(super) fn host(&self) -> Option<&str> {
        let host = match &self.what {
            What::Measurement(measurement) => measurement.host.as_str(),
            What::Task(task) => task.outcome.host.as_str(),
        };
        (!host.is_empty()).then_some(host)
    }

    pub(super) fn elapsed_s(&self) -> f64 {
        match &self.what {
            What::Measurement(measurement) => measurement.elapsed_s,
            What::Task(task) => task.outcome.elapsed_s,
        }
    }

    /// What was run; empty if that is not known.
    pub(super) fn argv(&self) -> &[String] {
        match &self.what {
            What::Measurement(measurement) => &measurement.argv,
            What::Task(task) => match &task.outcome.detail {
                Detail::Exec(run) => &run.argv,
                Detail::Compile(build) => &build.argv,
                _ => &[],
            },
        }
    }

    /// The nodes it had, its own first.
    pub(super) fn hosts(&self) -> Vec<&str> {
        let more = match &self.what {
            What::Measurement(measurement) => measurement.hosts.as_ref(),
            What::Task(task) => match &task.outcome.detail {
                Detail::Exec(run) => run.launched.as_ref().map(|launched| &launched.hosts),
                _ => None,
            },
        };
        match more {
            Some(hosts) => hosts.iter().map(String::as_str).collect(),
            None => self.host().into_iter().collect(),
        }
    }
}

/// What journals are called: by their files, and where those are alike by their paths.
pub(super) fn names(paths: &[PathBuf]) -> Vec<String> {
    let file = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let files: Vec<String> = paths.iter().map(file).collect();
    let alike = |name: &String| files.iter().filter(|other| *other == name).count() > 1;
    let names = files.iter().zip(paths);
    names.map(|(name, path)| if alike(name) { path.display().to_string() } else { name.clone() }).collect()
}
