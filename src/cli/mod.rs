//! The command line: one file per subcommand, each a thin call into a room below.

mod bars;
mod batch;
mod bench;
mod check;
mod compare;
mod doctor;
mod export;
mod files;
mod find;
mod history;
mod journal;
mod journals;
#[cfg(feature = "mpi")]
mod launch;
mod new;
mod own;
pub mod panics;
mod print;
mod progress;
mod query;
mod relay;
mod repl;
mod replay;
mod report;
mod rerun;
pub mod roles;
mod run;
mod selftest;
mod serve;
mod show;
#[cfg(feature = "mpi")]
mod stand_in;
mod status;
mod test;
mod top;
mod types;
mod usage;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, getrlimit};

use self::usage::{duration, seed, start, whole};
use crate::model::{Retry, exit};
use crate::root::port::{MostQueued, Start};
use crate::say::say;

const AFTER_HELP: &str = "\
Exit codes: 0 the script ended · 1 the script raised an error · 2 wrong usage, or no such script · 3 workers
could not be started, or none was left · 4 the journal, the cache or a trace cannot be used · 5 what was
measured again does not agree (`harness rerun`) · 70 a defect of harness · 73 the answer cannot be written ·
75 stopped in an orderly way, run the same command again to go on · 130 interrupted at once. `os.exit(n)` in a
script ends with n. `harness compare` and `harness test` have their own.

In a batch job:  harness campaign.lua      To get one:  harness batch campaign.lua --nodes 4 --time 2:00:00";

/// Runs benchmark campaigns written in Lua on the nodes of an allocation.
#[derive(Parser)]
#[command(name = "harness", after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
#[command(disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
    /// Print the version, the MPI harness was built for and the one it runs on.
    #[arg(short = 'V', long)]
    version: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run a campaign (the default: `harness FILE.lua` is `harness run FILE.lua`).
    #[command(after_help = AFTER_HELP)]
    Run(RunArgs),
    /// Write the batch script of a campaign and submit it, or print it.
    Batch(batch::BatchArgs),
    /// Measure commands without a script: one of them, or several in turns, compared with the first.
    Bench(bench::BenchArgs),
    /// Say what is wrong with a script, and what it would do, without a cluster: it runs, its tasks do not.
    #[command(after_help = check::AFTER_HELP)]
    Check(check::CheckArgs),
    /// Say whether what a journal has is worse than in earlier journals of the campaign, for a pipeline to stop at.
    ///
    /// Rows are measurements of one name, search point and objective. They were made at different times: programs that are
    /// to be told apart by as little as possible are measured in turns, which is what the function `compare` of a script
    /// and `harness bench` do.
    #[command(after_help = compare::AFTER_HELP)]
    Compare(compare::CompareArgs),
    /// Look at this job and its nodes: what `spawn {}` would do, then does it and measures; says what is wrong.
    Doctor(doctor::DoctorArgs),
    /// Write journals as CSV, JSON Lines, SQLite, Parquet, Markdown, LaTeX, hyperfine's JSON or a trace.
    Export(export::ExportArgs),
    /// Ask journals in SQL, also while a campaign writes to them.
    Query(query::QueryArgs),
    /// Say what became of each measurement over time, from one or several journals, and where it stepped.
    History(history::HistoryArgs),
    /// Give a folder of campaigns what editors and git need; nothing that is there is changed.
    Init(new::InitArgs),
    /// Look whether a journal is whole, make it smaller, or make one of several.
    Journal(journal::JournalArgs),
    /// Make a folder with a campaign that runs, two kernels, a test and what an editor needs.
    New(new::NewArgs),
    /// Type a campaign line by line, with everything a script has; on this machine, or the nodes of the job.
    Repl(repl::ReplArgs),
    /// Run a script again without a cluster: what it waits for comes from a trace (`harness --trace FILE campaign.lua`).
    #[command(after_help = replay::AFTER_HELP)]
    Replay(replay::ReplayArgs),
    /// Write a page about campaigns, with tables and charts, that opens in any browser; or serve it while they run.
    Report(report::ReportArgs),
    /// Measure once more what a journal has, from its record alone, and say whether the two agree.
    #[command(
        after_help = "Exit codes: 0 they agree · 5 they do not · 6 too few runs to tell · others as of a campaign."
    )]
    Rerun(rerun::RerunArgs),
    /// Compare a program with itself on each node: how small an effect can be seen there, here and now.
    Selftest(selftest::SelftestArgs),
    /// Print the folder with harness_futures.py, which has `HarnessExecutor`: for PYTHONPATH, or to copy it from.
    PythonPath,
    /// Serve another program, which asks in JSON Lines: start workers, run tasks on them.
    #[command(after_help = serve::AFTER_HELP)]
    Serve(serve::ServeArgs),
    /// Show what a journal has: a table of its measurements, or one task whole.
    Show(show::ShowArgs),
    /// Say how far a campaign is, and why the rest of it is not running; from another shell, too, while it runs.
    Status(status::StatusArgs),
    /// Run files of tests in Lua, each in a process of its own, on this machine.
    #[command(after_help = test::AFTER_HELP)]
    Test(test::TestArgs),
    /// Watch a campaign at work: what runs where, what waits, what fails; a picture a second.
    Top(top::TopArgs),
    /// Write the types of all functions and options where an editor's language server finds them.
    Types {
        /// The folder of your campaigns.
        #[arg(value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
    },
}

#[derive(Args)]
struct RunArgs {
    /// The campaign script, and what it gets as `arg` and `harness.args`; options of harness go before it.
    #[arg(value_name = "FILE.lua [ARGS]", trailing_var_arg = true, allow_hyphen_values = true)]
    script: Vec<OsString>,
    #[command(flatten)]
    common: CommonArgs,
    /// The nodes to use, a host to a line as for mpirun (default: those of the batch job).
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// Set an old journal aside and begin anew.
    #[arg(long)]
    fresh: bool,
    /// When it has to be over: "90 min" from now, "17:30", or what `date -d` reads (default: the end of the batch job).
    #[arg(long, value_name = "DURATION|TIME")]
    deadline: Option<String>,
    /// How long before that it stops, to be run again (default: 30 s, or a tenth of its time).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    margin: Option<f64>,
}

/// What a campaign is told here as in a batch job.
#[derive(Args)]
struct CommonArgs {
    /// Workers, where the script does not say.
    #[arg(long, value_name = "N", value_parser = whole::<1, { u32::MAX }>)]
    workers: Option<u32>,
    /// Slots of each worker, where the script does not say (default: its cores).
    #[arg(long, value_name = "N", value_parser = whole::<1, 4096>)]
    slots: Option<u32>,
    /// How workers come, where the script does not say.
    #[arg(long, value_name = "auto|local|spawn|static|srun|ssh", value_parser = start)]
    start: Option<Start>,
    /// The journal (default: FILE.lua.journal).
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
    /// Try again what the journal would answer: `failed`, or statuses (timeout, oom, …); `lost` is tried again in any case.
    #[arg(long, value_name = "STATUS,…", value_delimiter = ',')]
    retry: Vec<String>,
    /// Write down every decision of the script and of the scheduler, for `harness replay`.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Seed of everything random (default: the journal's, or a new one).
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
    /// Tasks that may be on their way; who submits more waits for one to end (default: 1000000).
    #[arg(long, value_name = "N", value_parser = whole::<1, { u32::MAX }>)]
    most_queued: Option<u32>,
    /// Say more on stderr.
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Say errors only on stderr.
    #[arg(short, long)]
    quiet: bool,
}

impl CommonArgs {
    /// Which recorded ends are tried again.
    fn retry(&self) -> Result<Retry, String> {
        Retry::of_words(&self.retry).map_err(|error| error.to_string())
    }

    /// How many tasks the script may have on their way.
    fn most_queued(&self) -> MostQueued {
        let argument_bytes = run::memory() / 4;
        let default = MostQueued { argument_bytes, ..MostQueued::default() };
        self.most_queued.map_or(default, |most| MostQueued { tasks: most.into(), ..default })
    }

    /// The same as words of a line.
    fn words(&self) -> Vec<String> {
        let path = |path: &PathBuf| path.display().to_string();
        let values = [
            ("--workers", self.workers.map(|workers| workers.to_string())),
            ("--slots", self.slots.map(|slots| slots.to_string())),
            ("--start", self.start.map(|start| start.word().to_owned())),
            ("--journal", self.journal.as_ref().map(path)),
            ("--retry", (!self.retry.is_empty()).then(|| self.retry.join(","))),
            ("--trace", self.trace.as_ref().map(path)),
            ("--seed", self.seed.map(|seed| seed.to_string())),
            ("--most-queued", self.most_queued.map(|most| most.to_string())),
        ];
        let values = values.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        let flags = [("--verbose", self.verbose), ("--quiet", self.quiet)];
        let flags = flags.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name.to_owned());
        values.flatten().chain(flags).collect()
    }
}

/// What the main thread may need (B). Its end would be an abort without a reason.
const STACK: u64 = 512 << 10;

fn short_of_stack() -> Option<String> {
    let most = getrlimit(Resource::Stack).current.filter(|most| *most < STACK)?;
    Some(format!(
        "a limit of this shell is too low: its processes may have stacks of {} KiB, and harness needs {}; look at `ulimit -s`",
        most >> 10,
        STACK >> 10
    ))
}

/// Does what the command line says.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let command = arguments.iter().skip(1).find(|word| !word.to_string_lossy().starts_with('-'));
    let answers = command.is_some_and(|word| word == "compare" || word == "test");
    let wrong_usage = if answers { exit::compare::USAGE } else { exit::USAGE };
    if let Some(text) = short_of_stack() {
        say(format_args!("harness: {text}"));
        return ExitCode::from(if answers { wrong_usage } else { exit::ALLOCATION });
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage::complain(&error, command.and_then(|word| word.to_str()), wrong_usage),
    };
    if cli.version {
        return print::print_line("version", &run::version(), exit::OK);
    }
    let cli = match usage::in_order(cli, &arguments) {
        Ok(cli) => cli,
        Err(text) => {
            say(format_args!("harness: {text}"));
            return ExitCode::from(wrong_usage);
        }
    };
    let arguments = match cli.command {
        Some(Command::Run(arguments)) => arguments,
        Some(Command::Batch(arguments)) => return batch::batch(&arguments),
        Some(Command::Bench(arguments)) => return bench::bench(&arguments),
        Some(Command::Check(arguments)) => return check::check(&arguments),
        Some(Command::Compare(arguments)) => return compare::compare(&arguments),
        Some(Command::Doctor(arguments)) => return doctor::doctor(&arguments),
        Some(Command::Export(arguments)) => return export::export(&arguments),
        Some(Command::Query(arguments)) => return query::query(&arguments),
        Some(Command::History(arguments)) => return history::history(&arguments),
        Some(Command::Init(arguments)) => return new::init(&arguments),
        Some(Command::Journal(arguments)) => return journal::journal(&arguments),
        Some(Command::New(arguments)) => return new::new(&arguments),
        Some(Command::Repl(arguments)) => return repl::repl(arguments),
        Some(Command::Replay(arguments)) => return replay::replay(arguments),
        Some(Command::Report(arguments)) => return report::report(&arguments),
        Some(Command::Rerun(arguments)) => return rerun::rerun(&arguments),
        Some(Command::Selftest(arguments)) => return selftest::selftest(&arguments),
        Some(Command::PythonPath) => return serve::python_path(),
        Some(Command::Serve(arguments)) => return serve::serve(arguments),
        Some(Command::Show(arguments)) => return show::show(&arguments),
        Some(Command::Status(arguments)) => return status::status(&arguments),
        Some(Command::Test(arguments)) => return test::test(&arguments),
        Some(Command::Top(arguments)) => return top::top(&arguments),
        Some(Command::Types { folder }) => return types(&folder),
        None => cli.run,
    };
    run::run(arguments)
}

fn types(folder: &Path) -> ExitCode {
    match types::write(folder) {
        Ok(done) => print::print_line("types", &done.join("\n"), exit::OK),
        Err(error) => {
            say(format_args!("harness: {}", error.of("types")));
            ExitCode::from(error.code())
        }
    }
}
