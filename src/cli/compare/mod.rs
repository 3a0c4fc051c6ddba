//! `harness compare`: is a campaign worse than it was? An answer in words, in files, and in an exit code.
//!
//! What is said is found in `report`; here are journals, files and the exit codes, which are of this subcommand alone
//! (`model::exit::compare`). Suspects are measured once more by `confirm`.

mod confirm;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::confirm::Halt;
use super::files;
use super::journals::{NoCampaign, campaign_of, journals_of};
use super::print::{self, print};
use crate::journal::JournalError;
use crate::model::exit::compare as code;
use crate::report::{Campaign, Conclusion, Gate, Terms};
use crate::say::say;

pub(super) const AFTER_HELP: &str = "\
Exit codes: 0 no regression · 1 a regression: a row is slower, or fails now · 2 inconclusive: a row is unresolved, missing,
not comparable, or slower though its program is the same · 64 wrong usage · 65 a journal is damaged or none · 66 a journal is
not there · 73 the answer cannot be written, or no record of what is measured once more · 75 stopped by Ctrl-C or TERM while
it measured once more.

Each BASE is one earlier session, and counts as one: five to ten of them tell a change of the program from one of the day.
docs/regressions.md says what each verdict means, and how to put this into GitHub Actions and GitLab.";

#[derive(Args)]
pub(super) struct CompareArgs {
    /// Journals of earlier sessions, each by itself or by its script.
    #[arg(value_name = "BASE", required = true)]
    before: Vec<PathBuf>,
    /// The journal to judge, likewise.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The least relative difference that matters.
    #[arg(long, value_name = "PART", default_value_t = 0.01, value_parser = super::usage::part)]
    min_effect: f64,
    /// A row is the same if it is known not to be worse by more than this.
    #[arg(long, value_name = "PART", default_value_t = 0.05, value_parser = super::usage::part)]
    tolerance: f64,
    /// Compare only what was measured on the same host.
    #[arg(long)]
    same_host: bool,
    /// Measure what seems slower once more (`harness rerun`, here or in this job): it counts if it is slower then, too.
    #[arg(long)]
    confirm: bool,
    /// The nodes for that, in a file such as MPI's launchers read (default: those of the batch system).
    #[arg(long, value_name = "FILE", requires = "confirm")]
    hostfile: Option<PathBuf>,
    /// How long measuring one of them once more may take (default: 10 min, and five times what it took before).
    #[arg(long, value_name = "DURATION", requires = "confirm", value_parser = super::usage::duration)]
    confirm_timeout: Option<f64>,
    /// One object of JSON on stdout.
    #[arg(long)]
    json: bool,
    /// Annotations of GitHub Actions on stdout, too.
    #[arg(long, conflicts_with = "json")]
    github: bool,
    /// Write JUnit's XML, a test for each row.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write tables for a pull request.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    NoCampaign(#[from] NoCampaign),
    #[error("compare: stopped while it measured once more; the same line again does")]
    Stopped,
    #[error(
        "compare: what seems slower cannot be measured once more: {0}; once that is mended, the same line again does"
    )]
    NoRecord(String),
    #[error("compare: cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "compare: {} is {what}, and would be lost: --junit and --markdown are followed by the file to write",
        path.display()
    )]
    Lost { path: PathBuf, what: &'static str },
    #[error("compare: {0}")]
    Twice(String),
}

impl From<Halt> for CompareError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stopped => CompareError::Stopped,
            Halt::NoRecord(why) => CompareError::NoRecord(why),
        }
    }
}

impl CompareError {
    fn code(&self) -> u8 {
        match self {
            CompareError::Lost { .. } | CompareError::Twice(_) => code::USAGE,
            CompareError::NoCampaign(no) => match no {
                NoCampaign::Which(_) | NoCampaign::Journal { error: JournalError::Io { .. }, .. } => {
                    code::NO_INPUT
                }
                NoCampaign::Journal { .. } | NoCampaign::Empty { .. } | NoCampaign::NoMeasurement(_) => {
                    code::DATA
                }
            },
            CompareError::Write { .. } | CompareError::NoRecord(_) => code::CANNOT_WRITE,
            CompareError::Stopped => code::RUN_AGAIN,
        }
    }
}

/// Answers; the exit code.
pub(super) fn compare(arguments: &CompareArgs) -> ExitCode {
    let (text, conclusion) = match answer(arguments) {
        Ok(answer) => answer,
        Err(error) => {
            say(format_args!("harness: {error}"));
            return ExitCode::from(error.code());
        }
    };
    let code = match conclusion {
        Conclusion::NoRegression => code::NO_REGRESSION,
        Conclusion::Regression => code::REGRESSION,
        Conclusion::Inconclusive => code::INCONCLUSIVE,
    };
    print("compare", &text, code)
}

fn answer(arguments: &CompareArgs) -> Result<(String, Conclusion), CompareError> {
    for path in [&arguments.junit, &arguments.markdown].into_iter().flatten() {
        if let Some(what) = files::precious(path) {
            return Err(CompareError::Lost { path: path.clone(), what });
        }
    }
    let junit = ("--junit", arguments.junit.as_deref());
    if let Some(text) = files::named_twice(junit, ("--markdown", arguments.markdown.as_deref())) {
        return Err(CompareError::Twice(text));
    }
    let line = "harness compare BASE NEW";
    let read = |path: &PathBuf| campaign_of(path, "compare", line);
    // One session is one, however often it is named.
    let before = journals_of(&arguments.before, "compare", line).map_err(NoCampaign::from)?;
    let before = before.iter().map(read).collect::<Result<Vec<Campaign>, _>>()?;
    let new = read(&arguments.new)?;
    let CompareArgs { min_effect, tolerance, same_host, .. } = *arguments;
    let mut gate = Gate::of(&before, &new, Terms { min_effect, tolerance, same_host });
    if gate.is_empty() {
        return Err(NoCampaign::NoMeasurement("compare").into());
    }
    let suspects = gate.suspects();
    if arguments.confirm && !suspects.is_empty() {
        let how = confirm::How {
            journal: &new.path,
            hostfile: arguments.hostfile.as_deref(),
            limit_s: arguments.confirm_timeout,
        };
        gate.confirm(&how.again(&suspects)?);
    }
    for (path, text) in
        [(&arguments.junit, Gate::junit as fn(&Gate) -> String), (&arguments.markdown, Gate::markdown)]
    {
        if let Some(path) = path {
            write(path, &text(&gate))?;
        }
    }
    let mut text = print::text(&gate, arguments.json);
    if arguments.github {
        text.extend(gate.annotations().iter().map(|line| format!("{line}\n")));
    }
    Ok((text, gate.conclusion()))
}

fn write(path: &Path, text: &str) -> Result<(), CompareError> {
    files::write(path, text.as_bytes()).map_err(|source| CompareError::Write { path: path.into(), source })
}
