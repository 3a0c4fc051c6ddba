//! `harness batch`: writes the batch script of a campaign, prints it or submits it, and follows the job.
//!
//! What is in the script and how a batch system is talked to is `allocation`'s; here are files and commands.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::print::{print, printed, told};
use super::usage::whole;
use super::{CommonArgs, check};
use crate::allocation::queue::{State, find_batch};
use crate::allocation::script::{ALL, Batch, Chain, Job, WRITTEN_BY, batch_script, job_name, job_time};
use crate::model::exit;
use crate::model::human::{count, duration};
use crate::process;
use crate::say::say;
use crate::transport::wait::wait;

/// How long a batch system may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the output is looked at, and the queue is asked.
const LOOK: Duration = Duration::from_secs(1);
const ASK: Duration = Duration::from_secs(5);
/// A job that the queue does not know for so long has ended; and one of which it says nothing but that it failed.
const UNKNOWN: Duration = Duration::from_secs(15);
const REFUSED: Duration = Duration::from_secs(60);
/// Read at the most so much of its output at a time (B).
const PIECE_BYTES: usize = 64 * 1024;

#[derive(Args)]
pub(super) struct BatchArgs {
    /// The campaign script.
    #[arg(value_name = "FILE.lua")]
    script: PathBuf,
    /// What the script gets.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
    /// Whole nodes (default: 1).
    #[arg(long, value_name = "N", value_parser = whole::<1, { u32::MAX }>)]
    nodes: Option<u32>,
    /// How long: 2:00:00, 1-12:00:00 or "90 min" (default: the batch system's).
    #[arg(long, value_name = "H:MM:SS", value_parser = time)]
    time: Option<u64>,
    /// Partition, queue or resource group.
    #[arg(long, visible_alias = "partition", value_name = "NAME")]
    queue: Option<String>,
    /// Who pays.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// A line for the batch system, in the place of ours for the same option: '#SBATCH --constraint=rome'.
    #[arg(long, value_name = "LINE", allow_hyphen_values = true)]
    directive: Vec<String>,
    /// A shell script that is sourced first (module load …); its environment reaches workers and tasks.
    #[arg(long, value_name = "FILE")]
    prologue: Option<PathBuf>,
    /// Which batch system (default: the one whose commands are here).
    #[arg(long, value_name = "slurm|pbs|sge|lsf|pjm", value_parser = scheduler)]
    scheduler: Option<Batch>,
    /// How long before its end the job stops, to be run again (default: 30 s, or a tenth of its time).
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    margin: Option<f64>,
    /// Submit another job when the time was too short, up to so many in all.
    #[arg(long, value_name = "JOBS", value_parser = whole::<1, { u32::MAX }>, num_args = 0..=1, default_missing_value = "10", require_equals = true)]
    chain: Option<u32>,
    /// Submit it also where `harness check` finds errors in the script.
    #[arg(long)]
    no_check: bool,
    /// Print the batch script and submit nothing.
    #[arg(long, conflicts_with = "follow")]
    dry_run: bool,
    /// Show the job's state and output until it ends; Ctrl-C ends the showing, not the job.
    #[arg(long)]
    follow: bool,
}

/// Does it; the exit code.
pub(super) fn batch(arguments: &BatchArgs) -> ExitCode {
    match write_and_submit(arguments) {
        Ok(code) => code,
        Err((code, text)) => {
            say(format_args!("harness: {text}"));
            ExitCode::from(code)
        }
    }
}

fn write_and_submit(arguments: &BatchArgs) -> Result<ExitCode, (u8, String)> {
    let usage = |text: String| (exit::USAGE, text);
    let refused = |text: String| (exit::ALLOCATION, text);
    let batch = which(arguments).map_err(usage)?;
    let script = super::run::readable(&arguments.script).map_err(usage)?;
    let mut file = script.canonicalize().map_err(|error| usage(error.to_string()))?.into_os_string();
    file.push(".job");
    let file = PathBuf::from(file);
    fits(arguments).map_err(usage)?;
    if !arguments.no_check {
        checked(&script, arguments)?;
    }
    let job = job(arguments, &script, &file).map_err(usage)?;
    let text = batch_script(batch, &job).map_err(|error| usage(error.to_string()))?;
    if arguments.dry_run {
        return Ok(print("batch", &text, exit::OK));
    }
    if !process::is_on_path(batch.submit_program()) {
        return Err(refused(format!(
            "there is no `{}` on the PATH, so nothing was submitted: do it where the batch system's commands are, or \
             print the script with --dry-run",
            batch.submit_program()
        )));
    }
    write(&file, &text)?;
    let id = submit(batch, &file).map_err(refused)?;
    let output = Path::new(&job.folder).join(batch.output(&job.name, &id));
    let text = format!(
        "job {id} submitted: {} on {}\nscript: {}\noutput: {}\nlook:   {}\nstop:   {}\n",
        script.display(),
        count(job.nodes.unwrap_or(1) as usize, "node"),
        file.display(),
        output.display(),
        batch.look(&id).join(" "),
        batch.stop(&id).join(" "),
    );
    let told = printed("batch", &text, exit::OK);
    Ok(if arguments.follow && told == exit::OK { follow(batch, &id, &output) } else { ExitCode::from(told) })
}

fn which(arguments: &BatchArgs) -> Result<Batch, String> {
    arguments.scheduler.or_else(|| find_batch(&process::is_on_path)).ok_or_else(|| {
        "which batch system? None of sbatch, pjsub, bsub and qsub is on the PATH: name it, `--scheduler \
         slurm|pbs|sge|lsf|pjm`"
            .into()
    })
}

/// What is wrong shows now, and not when the job has waited in a queue.
fn checked(script: &Path, arguments: &BatchArgs) -> Result<(), (u8, String)> {
    let journal = arguments.common.journal.as_deref();
    let Some(errors) = check::errors(script, &arguments.args, journal) else { return Ok(()) };
    Err((
        exit::SCRIPT,
        format!(
            "batch: there are errors in the script, and nothing was submitted (--no-check submits it all the same):\n{}",
            errors.trim_end()
        ),
    ))
}

/// A job that stops before it has begun runs nothing.
fn fits(arguments: &BatchArgs) -> Result<(), String> {
    let (Some(margin), Some(time)) = (arguments.margin, arguments.time) else { return Ok(()) };
    if margin < time as f64 {
        return Ok(());
    }
    Err(format!(
        "batch: --margin is {} of the {} that --time asks for: the job would stop before it began anything; take a smaller \
         margin, or ask for more time",
        duration(margin),
        duration(time as f64)
    ))
}

fn job(arguments: &BatchArgs, script: &Path, file: &Path) -> Result<Job, String> {
    if arguments.chain.is_some() && arguments.common.trace.is_some() {
        return Err("batch: --trace with --chain: each further job would begin it anew, too: `harness export FILE.lua \
                    --format trace -o trace.json` makes one of all of them"
            .into());
    }
    let here = std::env::current_dir().map_err(|error| format!("which folder is this? {error}"))?;
    let program = std::env::current_exe().map_err(|error| format!("where is harness? {error}"))?;
    let prologue = match &arguments.prologue {
        Some(path) => {
            Some(path.canonicalize().map_err(|error| format!("--prologue {}: {error}", path.display()))?)
        }
        None => None,
    };
    arguments.common.retry()?;
    let stem = script.file_stem().unwrap_or_default().to_string_lossy();
    let mut words = arguments.common.words();
    words.push(script.display().to_string());
    if !arguments.args.is_empty() {
        // None of them is harness's, whatever it is called.
        words.push("--".into());
        words.extend(arguments.args.iter().cloned());
    }
    let journal = match &arguments.common.journal {
        Some(journal) => here.join(journal),
        None => file.with_extension("journal"),
    };
    Ok(Job {
        name: job_name(&stem),
        nodes: arguments.nodes,
        time_s: arguments.time,
        queue: arguments.queue.clone(),
        account: arguments.account.clone(),
        directives: arguments.directive.clone(),
        prologue: prologue.map(|path| path.display().to_string()),
        folder: here.display().to_string(),
        harness: program.display().to_string(),
        arguments: words,
        margin_s: arguments.margin,
        chain: arguments.chain.map(|links| Chain {
            links,
            script: file.display().to_string(),
            journal: journal.display().to_string(),
        }),
    })
}

/// Writes the script, but over nothing that is not of ours.
fn write(file: &Path, text: &str) -> Result<(), (u8, String)> {
    let old = fs::read_to_string(file);
    if old.is_ok_and(|old| !old.contains(WRITTEN_BY)) {
        let text = format!(
            "{} is there and not of harness, so it was not overwritten: move it away, or print the script with --dry-run",
            file.display()
        );
        return Err((exit::ALLOCATION, text));
    }
    let unwritten = |error| (exit::CANNOT_WRITE, format!("cannot write {}: {error}", file.display()));
    fs::write(file, text).map_err(unwritten)
}

/// Submits; the job's id.
fn submit(batch: Batch, file: &Path) -> Result<String, String> {
    let words = batch.submit(&file.display().to_string());
    let line = words.join(" ");
    // In the user's own environment, and what it says against it is the user's to read.
    #[allow(clippy::disallowed_methods)]
    let output = std::process::Command::new(&words[0]).args(&words[1..]).output();
    let output = output.map_err(|error| format!("cannot start `{line}`: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`{line}` refused the job:\n{}\nNothing was submitted. What it asked for is in {}: --nodes, --time, --queue, --account \
             and --directive say it otherwise",
            format!("{printed}{reason}").trim_end(),
            file.display()
        ));
    }
    batch.job_id(&printed).ok_or_else(|| format!("`{line}` printed no job id: {}", printed.trim_end()))
}

/// Shows what becomes of the job, until it ends.
fn follow(batch: Batch, id: &str, output: &Path) -> ExitCode {
    let (mut shown, mut last, mut unknown, mut refused) = (0, None, Duration::ZERO, Duration::ZERO);
    let mut ask_at = Instant::now();
    loop {
        if Instant::now() >= ask_at {
            let answer = process::ask(&batch.ask_state(id), PATIENCE);
            let state = answer.as_ref().ok().and_then(|answer| batch.state(id, answer));
            unknown = if answer.is_ok() && state.is_none() { unknown + ASK } else { Duration::ZERO };
            // A batch system that is started anew refuses, too; some refuse of a job that has ended.
            refused = if answer.is_err() { refused + ASK } else { Duration::ZERO };
            if unknown >= UNKNOWN || refused >= REFUSED {
                let why = answer.err().map(|error| format!(", or nobody says what becomes of it: {error}"));
                say(format_args!("harness: job {id} is no longer in the queue{}", why.unwrap_or_default()));
                return if last.is_some() { ExitCode::SUCCESS } else { ExitCode::from(exit::ALLOCATION) };
            }
            if let Some(state) = state.filter(|state| last.as_ref() != Some(state)) {
                // Before the state: it was written before.
                let _ = show(output, &mut shown); // whoever does not read it is asked again below
                say(format_args!("harness: {}", line(id, &state)));
                last = Some(state);
            }
            ask_at = Instant::now() + ASK;
        }
        if let Err(error) = show(output, &mut shown) {
            return ExitCode::from(told("batch", Err(error), exit::OK));
        }
        if let Some(state) = last.as_ref().filter(|state| state.over) {
            return if state.good { ExitCode::SUCCESS } else { ExitCode::from(exit::SCRIPT) };
        }
        let _ = wait(&mut [], Some(Instant::now() + LOOK));
    }
}

fn line(id: &str, state: &State) -> String {
    let why = state.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("job {id}: {}{why}", state.text)
}

/// Copies what is new in the output to ours. It may not be there yet; fails only where ours cannot be written.
fn show(output: &Path, shown: &mut u64) -> io::Result<()> {
    let Ok(mut file) = File::open(output) else { return Ok(()) };
    let mut piece = [0; PIECE_BYTES];
    loop {
        let read = file.seek(SeekFrom::Start(*shown)).and_then(|_| file.read(&mut piece));
        let Ok(count @ 1..) = read else { return Ok(()) };
        io::stdout().write_all(&piece[..count])?;
        *shown += count as u64;
    }
}

fn time(word: &str) -> Result<u64, String> {
    job_time(word).ok_or_else(|| {
        "hours, minutes and seconds, 2:00:00, 1-12:00:00 or \"90 min\"; what is shorter, batch systems read differently"
            .into()
    })
}

fn scheduler(word: &str) -> Result<Batch, String> {
    ALL.into_iter().find(|batch| batch.word() == word).ok_or_else(|| "slurm, pbs, sge, lsf or pjm".into())
}
