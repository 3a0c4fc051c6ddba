//! `harness check`: what is wrong with a script, as far as that shows without a cluster, and what it would do.
//!
//! First the text is looked at (`lint`), then the script runs dry (`dry`): its tasks end at once with figures that are made up.
//! `report` says both.

mod dry;
mod lint;
mod report;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use self::dry::Ran;
use self::lint::{Level, Remark};
use super::print::{self, print};
use super::run::readable;
use super::usage::{duration, whole};
use crate::journal::{Answers, JournalError};
use crate::model::{Status, exit};
use crate::root::default_journal;
use crate::say::say;
use crate::script::modules::Modules;

pub(super) const AFTER_HELP: &str = "\
The script itself runs! Its tasks do not: they end at once, well, with figures that are made up. What it prints is thrown away;
files it would write, and programs it would run by itself, are left out and named. What modules in C do is not prevented.

Exit codes: 0 nothing is wrong (there may be warnings) · 1 something is · 2 wrong usage, or no such script · 4 the journal
cannot be used.";

/// How long a dry run may take, and how many tasks are enough, unless said.
const TIMEOUT: &str = "10 s";
const MOST_TASKS: u32 = 10_000;

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The scripts.
    #[arg(value_name = "FILE", required = true)]
    scripts: Vec<PathBuf>,
    /// What each of them gets as `arg` and `harness.args`.
    #[arg(value_name = "ARGS", last = true)]
    args: Vec<OsString>,
    /// What is recorded already, and how long the like took (default: FILE.lua.journal, if it is there).
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
    /// How long a dry run may take.
    #[arg(long, value_name = "DURATION", default_value = TIMEOUT, value_parser = duration)]
    timeout: f64,
    /// So many tasks are enough.
    #[arg(long, value_name = "N", default_value_t = MOST_TASKS, value_parser = whole::<1, { u32::MAX }>)]
    max_tasks: u32,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0}")]
    Script(String),
    #[error("check: {}", .0.to_reader())]
    Journal(#[from] JournalError),
    #[error("check: {0}")]
    System(String),
}

impl CheckError {
    fn code(&self) -> u8 {
        match self {
            CheckError::Script(_) => exit::USAGE,
            CheckError::Journal(_) => exit::JOURNAL,
            CheckError::System(_) => exit::INTERNAL,
        }
    }
}

/// Checks them; the exit code.
pub(super) fn check(arguments: &CheckArgs) -> ExitCode {
    let (mut all, mut is_good) = (String::new(), true);
    for script in &arguments.scripts {
        match one(script, arguments) {
            Ok((text, good)) => {
                all += &text;
                is_good = is_good && good;
            }
            Err(error) => {
                let _ = print::write(&all); // the exit code is that of the error in any case
                say(format_args!("harness: {error}"));
                return ExitCode::from(error.code());
            }
        }
    }
    print("check", &all, if is_good { exit::OK } else { exit::SCRIPT })
}

/// What is wrong with a script, for who is about to do something with it; none if it is good, or if that cannot be told.
pub(super) fn errors(script: &Path, args: &[String], journal: Option<&Path>) -> Option<String> {
    let args = args.iter().map(Into::into).collect();
    let journal = journal.filter(|journal| journal.is_file()).map(Path::to_path_buf);
    let timeout = duration(TIMEOUT).ok()?;
    let arguments = CheckArgs { scripts: Vec::new(), args, journal, timeout, max_tasks: MOST_TASKS };
    one(script, &arguments).ok().and_then(|(text, is_good)| (!is_good).then_some(text))
}

/// What is to be said of a script, and whether it is good.
fn one(script: &Path, arguments: &CheckArgs) -> Result<(String, bool), CheckError> {
    let unread = |error| CheckError::Script(format!("cannot read the script {}: {error}", script.display()));
    let script = readable(script).map_err(CheckError::Script)?;
    let path = script.canonicalize().map_err(unread)?;
    let text = std::fs::read(&path).map_err(unread)?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let modules = Arc::new(Modules::of_campaign(dir, true));
    let main = match lint::file(&text, dir, &path) {
        Ok(main) => main,
        Err(remark) => return Ok(report::report(&script, vec![remark], None)),
    };
    let journal = arguments.journal.clone().unwrap_or_else(|| default_journal(&path));
    let index = match arguments.journal.is_some() || journal.is_file() {
        true => Answers::of(&journal)?,
        false => Answers::default(),
    };
    let args = arguments.args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let ran =
        dry::run(&script, dir, args, Arc::new(index), arguments, &modules).map_err(CheckError::System)?;
    let mut remarks = lint::whole(main, &ran, &modules);
    remarks.extend(ran.remarks(&remarks));
    Ok(report::report(&script, remarks, Some(&ran)))
}

impl Ran {
    /// What the dry run shows, but for what was found in the text already.
    fn remarks(&self, found: &[Remark]) -> Vec<Remark> {
        let mut remarks = Vec::new();
        if let Some(problem) = &self.problem {
            let remark = Remark::at_its_line(&problem.text);
            let is_known = found.iter().any(|known| known.level == Level::Error && known.is_at(&remark))
                || remark.text.contains("error loading module '")
                    && found.iter().any(|known| known.is_syntax);
            if !is_known {
                remarks.push(match problem.is_certain {
                    true => remark,
                    false => Remark {
                        level: Level::Warning,
                        text: format!(
                            "the dry run ended here: {}; what it was given was made up, so that may be no mistake",
                            remark.text
                        ),
                        ..remark
                    },
                });
            }
        }
        let failures = self.plan.failures.iter().map(|(kind, why)| {
            Remark::of_text(&format!("a {} would end {}: {why}", kind.word(), Status::SetupFailed.word()))
        });
        remarks.extend(failures);
        let said = self.seen.said.iter().map(|text| Remark {
            level: Level::Warning,
            ..Remark::at_its_line(text.strip_prefix("harness: ").unwrap_or(text))
        });
        remarks.extend(said);
        remarks
    }
}
