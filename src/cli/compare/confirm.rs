//! What seems slower, measured once more: by `harness rerun`, one after another, as somebody would type it.
//!
//! Each is a process of its own: it takes the journal, its nodes and its MPI, and gives them back. It measures the program
//! of the record or none, and says under which id the journal has the new record. Who stops us stops it, it has a limit,
//! and it ends with us however we end: nothing is left behind.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::own::{End, Grace, end, start_harness, unwritten};
use crate::model::human::{count, duration};
use crate::model::{Measurement, Record, exit};
use crate::process::{Child, Exit, Signals, own_pid, temporary, unblock_signals};
use crate::report::{Campaign, Suspect};
use crate::say::say;

/// What starting workers, and building again what is gone, may take, s.
const AROUND_S: f64 = 600.0;
/// It may take so many times as long as before.
const SLOWER: f64 = 5.0;
/// No limit is longer, s.
const WEEK_S: f64 = 7.0 * 86_400.0;
/// How its last words begin.
const OF_RERUN: &str = "harness: rerun: ";
/// Who was asked to end is killed after this.
const GRACE: Grace = Grace { stopped: Duration::from_secs(30), late: Duration::from_secs(30) };

/// How suspects are measured once more.
pub(super) struct How<'a> {
    /// The journal that has them.
    pub(super) journal: &'a Path,
    /// Where nodes are listed, if somebody said.
    pub(super) hostfile: Option<&'a Path>,
    /// What each may take, likewise.
    pub(super) limit_s: Option<f64>,
}

/// Why no further suspect is measured once more.
pub(super) enum Halt {
    /// Somebody wants it to end.
    Stopped,
    /// The journal takes no record: as little of the next one as of this.
    NoRecord(String),
}

impl How<'_> {
    /// By the id of each suspect's record what it was when measured once more, or why it was not.
    pub(super) fn again(
        &self,
        suspects: &[Suspect],
    ) -> Result<BTreeMap<String, Result<Measurement, String>>, Halt> {
        say(format_args!("harness: compare: {} to be measured once more", count(suspects.len(), "suspect")));
        let mut signals = Signals::open();
        let one = |suspect: &Suspect| {
            let measured = match &mut signals {
                Ok(signals) => self.rerun(suspect, signals)?,
                Err(error) => Err(format!("cannot receive signals: {error}")),
            };
            Ok((suspect.id.clone(), measured))
        };
        let again = suspects.iter().map(one).collect();
        // What is written now may wait for a reader for ever.
        let _ = unblock_signals();
        again
    }

    /// Its new record, or why there is none.
    fn rerun(&self, suspect: &Suspect, signals: &mut Signals) -> Result<Result<Measurement, String>, Halt> {
        let limit_s = self.limit_s.unwrap_or(AROUND_S + SLOWER * suspect.took_s.max(0.0)).min(WEEK_S);
        let (ended, mut report, mut said) = match self.run(suspect, signals, limit_s) {
            Ok(ran) => ran,
            Err(why) => return Ok(Err(why)),
        };
        let measured = match ended {
            End::Stopped => return Err(Halt::Stopped),
            End::TooLate => {
                let limit = duration(limit_s);
                Err(format!("it had not ended after {limit} (--confirm-timeout gives it another limit)"))
            }
            End::Itself(Exit::Code(code))
                if [exit::OK, exit::DISAGREES, exit::TOO_FEW].map(i32::from).contains(&code) =>
            {
                self.record(&text(&mut report))
            }
            End::Itself(Exit::Code(code)) if code == i32::from(exit::JOURNAL) => {
                return Err(Halt::NoRecord(no_record(&text(&mut said))));
            }
            End::Itself(exit) => {
                let said = text(&mut said);
                let last = said.lines().rev().find(|line| !line.trim().is_empty());
                Err(last.map_or_else(
                    || format!("`harness rerun`: {exit}"),
                    |line| line.trim_start_matches("harness: ").into(),
                ))
            }
        };
        Ok(measured)
    }

    /// How it ended, and what it wrote; or why it could not be started.
    fn run(
        &self,
        suspect: &Suspect,
        signals: &mut Signals,
        limit_s: f64,
    ) -> Result<(End, File, File), String> {
        let folder = temporary();
        let file = || tempfile::tempfile_in(&folder).map_err(|error| unwritten(&folder, &error));
        let (report, said) = (file()?, file()?);
        let child = self.start(suspect, &report, &said)?;
        let limit = Duration::try_from_secs_f64(limit_s).unwrap_or_default();
        let ended = end(&child, signals, Instant::now().checked_add(limit), &GRACE);
        let ended = ended.map_err(|error| format!("cannot wait for it: {error}"))?;
        Ok((ended, report, said))
    }

    fn start(&self, suspect: &Suspect, report: &File, said: &File) -> Result<Child, String> {
        let (key, own) = (suspect.key.to_string(), own_pid().as_raw_nonzero().to_string());
        let mut words: Vec<&OsStr> =
            ["rerun", "--json", "--same-program", "--with-parent", &own].map(OsStr::new).into();
        if let Some(hostfile) = self.hostfile {
            words.extend([OsStr::new("--hostfile"), hostfile.as_os_str()]);
        }
        words.extend([OsStr::new(&key), self.journal.as_os_str()]);
        start_harness(&words, report, said)
    }

    /// The record that the report is about.
    fn record(&self, report: &str) -> Result<Measurement, String> {
        let report: Value = serde_json::from_str(report)
            .map_err(|error| format!("the report of `harness rerun` cannot be read: {error}"))?;
        let campaign = Campaign::read(self.journal).map_err(|error| error.to_reader())?;
        let found = campaign.repeats.into_iter().find_map(|record| match record {
            Record::Measurement(record) if report["now"]["id"] == *record.facts.id => Some(*record),
            _ => None,
        });
        found.ok_or_else(|| "`harness rerun` left no record of it".into())
    }
}

/// Why the journal takes no record. Its advice is for somebody who typed it.
fn no_record(said: &str) -> String {
    let why = said.find(OF_RERUN).map_or(said, |at| &said[at + OF_RERUN.len()..]);
    why.split(['\n', ';']).next().unwrap_or_default().trim().into()
}

fn text(file: &mut File) -> String {
    let mut text = Vec::new();
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}
