//! `harness rerun`: one measurement of a journal once more, and whether the two agree.
//!
//! Everything is taken from the record: no script runs. The port is spoken to by what is here, as a script would: builds
//! whose artefact is gone (`plan`), then the measurement, each with the id of the record that it repeats. The new records
//! go to the same journal, under keys of their own, so that the old ones still answer the campaign.

mod plan;
mod report;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::SystemTime;

use clap::Args;

use self::plan::{Build, Place, Plan, State, content, contents};
use self::report::{Rebuilt, Report};
use super::find::{find, has_figures, named};
use super::journals::{is_file, journal_of};
use super::print::{printed, text};
use super::run::{Begun, Joined};
use super::{own, run};
use crate::allocation::ladder::LAUNCHED;
use crate::artefact::Store;
use crate::journal::{self, Contents};
use crate::machine;
use crate::model::human::{duration, status_in_short, subject};
use crate::model::{
    CompileResult, Detail, Hash, Limits, Measurement, Outcome, Placement, PoolId, Record, Retry, Status,
    TaskId, TaskOptions, exit,
};
use crate::process::{Pid, Signals, end_with_parent};
use crate::root::port::{Job, MostQueued, Order, PoolSpec, Port, Taken, Wait};
use crate::root::progress::Verbosity;
use crate::root::{self, Options, ScriptEnd, Started, Timing};
use crate::say::say;
use crate::script::modules::Modules;

#[derive(Args)]
pub(super) struct RerunArgs {
    /// The measurement: its name, or the beginning of its key.
    #[arg(value_name = "KEY")]
    key: String,
    /// The campaign, by its script or its journal (default: the journal in this folder).
    #[arg(value_name = "FILE.lua|JOURNAL")]
    campaign: Option<PathBuf>,
    /// Of intervals that do not overlap the least relative difference that matters.
    #[arg(long, value_name = "PART", default_value_t = 0.01, value_parser = super::usage::part)]
    min_effect: f64,
    /// The nodes, in a file such as MPI's launchers read (default: those of the batch system).
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// Measure the program of the record or none: not one that was changed since, nor one that a build makes anew and
    /// another.
    #[arg(long)]
    same_program: bool,
    /// One object of JSON on stdout.
    #[arg(long)]
    json: bool,
    /// The process that started it, and with which it ends.
    #[arg(long, value_name = "PID", hide = true)]
    with_parent: Option<i32>,
}

/// Exit code, and why.
type Failure = (u8, String);

fn usage(error: impl ToString) -> Failure {
    (exit::USAGE, error.to_string())
}

/// Does it; the exit code.
pub(super) fn rerun(arguments: &RerunArgs) -> ExitCode {
    repeat(arguments).unwrap_or_else(|(code, text)| {
        say(format_args!("harness: {text}"));
        ExitCode::from(code)
    })
}

fn repeat(arguments: &RerunArgs) -> Result<ExitCode, Failure> {
    ends_with_parent(arguments)?;
    let campaign = arguments.campaign.as_deref();
    let journal = journal_of(campaign, "rerun", "harness rerun KEY").map_err(|error| {
        let turned = campaign.filter(|key| !key.exists() && Path::new(&arguments.key).is_file());
        usage(match turned {
            Some(key) => format!(
                "rerun: the measurement comes before its campaign: `harness rerun {} {}`",
                key.display(),
                arguments.key
            ),
            None => error.to_string(),
        })
    })?;
    let before = read(&journal)?;
    let of_rerun = |error: &dyn std::fmt::Display| usage(format!("rerun: {error}"));
    let then = find(&before.records, &arguments.key).map_err(|error| of_rerun(&error))?;
    let store = Store::open(Store::default_folder()).map_err(|error| (exit::JOURNAL, error.to_string()))?;
    let recorded = before.header.as_ref().map_or("its script", |header| header.script.as_str());
    let (script, no_script) = match script(&journal, recorded) {
        Ok(script) => (Some(script), String::new()),
        Err(why) => (None, why),
    };
    let place = Place {
        store: &store,
        folder: script.as_deref().and_then(Path::parent),
        no_folder: &no_script,
        records: &before.records,
    };
    writable(&journal)?;
    let plan = Plan::of(then, &place);
    let plan =
        plan.and_then(|plan| if arguments.same_program { plan.of_same_file(then, &place) } else { Ok(plan) });
    let plan = plan.map_err(|error| of_rerun(&format!("{}: {error}", named(then))))?;

    let Begun { limits, signals, started } =
        match run::begin(None, arguments.hostfile.as_deref(), Verbosity::Normal, false)? {
            Joined::Root(begun) => begun,
            Joined::Served(code) => return Ok(code),
        };
    let mpi = matches!(started.mpi, root::Mpi::Ready(_));
    let again = Again { arguments, journal: &journal, script, then, plan, store: &store };
    let mut lost_rank = false;
    let report = again
        .play(started, signals, limits, &mut lost_rank)
        .and_then(|rebuilt| reported(arguments, &journal, &before, then, &rebuilt));
    let code = match &report {
        Ok(report) => {
            let code = match report.agrees {
                Some(true) => exit::OK,
                Some(false) => exit::DISAGREES,
                None => exit::TOO_FEW,
            };
            printed("rerun", &text(report, arguments.json), code)
        }
        Err((code, _)) => *code,
    };
    run::leave_mpi(mpi && !lost_rank, code, limits.finalize);
    report.map(|_| ExitCode::from(code))
}

/// Whoever started it may be killed at any time. The launcher of an MPI, which this process becomes for other nodes, goes on
/// being who hears of that.
fn ends_with_parent(arguments: &RerunArgs) -> Result<(), Failure> {
    let Some(parent) = arguments.with_parent else { return Ok(()) };
    if std::env::var_os(LAUNCHED).is_some() {
        return Ok(());
    }
    let parent = Pid::from_raw(parent).ok_or_else(|| usage("--with-parent: a process"))?;
    match end_with_parent(parent) {
        Ok(true) => Ok(()),
        Ok(false) => Err((exit::RUN_AGAIN, "rerun: who started it has ended".into())),
        Err(error) => Err((exit::INTERNAL, format!("rerun: cannot hear of its parent's end: {error}"))),
    }
}

/// What is about to be measured, for people.
fn announce(then: &Measurement) {
    let now = machine::unix_seconds();
    let ended = then.facts.ended_unix_s.map(|ended| duration((now - ended).max(0.0)));
    let ended = ended.map(|ago| format!(", measured {ago} ago")).unwrap_or_default();
    let place = if then.host.is_empty() { String::new() } else { format!(" on {}", then.host) };
    say(format_args!("harness: again: {}{ended}{place}", named(then)));
}

fn read(journal: &Path) -> Result<Contents, Failure> {
    journal::read(journal).map_err(|error| (exit::JOURNAL, format!("rerun: {}", error.to_reader())))
}

/// What is measured is to be recorded: better told before.
fn writable(journal: &Path) -> Result<(), Failure> {
    let opened = File::options().append(true).open(journal).map(drop);
    opened.map_err(|error| (exit::JOURNAL, unwritable(journal, &error)))
}

fn unwritable(journal: &Path, error: &io::Error) -> String {
    let name = journal.file_name().unwrap_or_default().display();
    format!(
        "rerun: cannot write to {}, where the new record belongs: {error}; copy it to a folder of your own, and name the copy: \
         `harness rerun KEY {name}`",
        journal.display()
    )
}

/// The campaign's script where it was, else beside the journal; or why there is none.
fn script(journal: &Path, recorded: &str) -> Result<PathBuf, String> {
    let real =
        journal.canonicalize().map_err(|error| format!("cannot read {}: {error}", journal.display()))?;
    let recorded = Path::new(recorded);
    let beside = real.parent().zip(recorded.file_name()).map(|(folder, name)| folder.join(name));
    for script in
        [Some(recorded.to_path_buf()), beside].into_iter().flatten().filter(|path| path.is_absolute())
    {
        if is_file(&script)? {
            return Ok(script);
        }
    }
    Err(format!("{} is gone, and not beside the journal either", recorded.display()))
}

/// What the journal says of it now.
fn reported(
    arguments: &RerunArgs,
    journal: &Path,
    before: &Contents,
    then: &Measurement,
    rebuilt: &[Rebuilt],
) -> Result<Report, Failure> {
    let after = read(journal)?;
    let repeats =
        |record: &&Record| record.facts().is_some_and(|facts| facts.parent.as_ref() == Some(&then.facts.id));
    let new = after.records.iter().skip(before.records.len()).rfind(repeats);
    let Some(Record::Measurement(now)) = new else {
        return Err((exit::INTERNAL, format!("rerun: {} has no new record", named(then))));
    };
    if !now.status.lasting() {
        let why = now.outcome().map(|outcome| status_in_short(&outcome)).unwrap_or_default();
        return Err((exit::SCRIPT, format!("rerun: {} could not be measured again: {why}", named(then))));
    }
    if now.status == Status::Ok && !has_figures(now) {
        return Err((exit::INTERNAL, format!("rerun: {} has no figures in its new record", named(then))));
    }
    let envs = journal::envs(&after.records);
    Ok(Report::of(then, now, &envs, rebuilt, arguments.min_effect))
}

/// One that can be repeated.
struct Again<'a> {
    arguments: &'a RerunArgs,
    journal: &'a Path,
    script: Option<PathBuf>,
    then: &'a Measurement,
    plan: Plan,
    store: &'a Store,
}

impl Again<'_> {
    /// A build that makes the same would be found there already.
    fn clear_damaged(&self) -> Result<(), Failure> {
        let damaged = self.plan.builds.iter().filter(|build| build.state == State::Damaged);
        for hash in damaged.filter_map(|build| build.was.artefact) {
            self.store.remove(hash).map_err(|error| (exit::JOURNAL, format!("rerun: {error}")))?;
            say(format_args!(
                "harness: {} is damaged: it had another content than its name says; it is built again",
                self.store.path(hash).display()
            ));
        }
        Ok(())
    }

    /// Measures it; the builds that were done for it.
    fn play(
        self,
        started: Started,
        signals: Signals,
        limits: Limits,
        lost_rank: &mut bool,
    ) -> Result<Vec<Rebuilt>, Failure> {
        // Further ranks wait for a word, which the root has for them.
        if started.ranks.is_empty() && journal::is_held(self.journal).unwrap_or(false) {
            let (who, journal) = (journal::holder(self.journal), self.journal.display());
            return Err((exit::JOURNAL, format!("rerun: {who} is writing to {journal}: wait until it ends")));
        }
        announce(self.then);
        self.clear_damaged()?;
        let allocation = root::find_allocation(self.arguments.hostfile.as_deref())
            .map_err(|error| (exit::ALLOCATION, error.to_string()))?;
        let pool = self.plan.pool(&allocation, self.then);
        // What needs no folder of its campaign is in one that is empty.
        let folder = own::folder("rerun").map_err(|text| (exit::JOURNAL, text))?;
        let stand_in = folder.path().join("rerun");
        std::fs::write(&stand_in, "").map_err(|error| (exit::JOURNAL, own::unwritten(&stand_in, &error)))?;
        let options = Options {
            script: self.script.unwrap_or(stand_in),
            folder: None,
            args: Vec::new(),
            pool: PoolSpec::default(),
            journal: Some(self.journal.to_path_buf()),
            fresh: false,
            fleeting: false,
            retry: Retry::default(),
            repeats: true,
            interactive: false,
            trace: None,
            timing: Timing::default(),
            host_file: self.arguments.hostfile.clone(),
            seed: None,
            most_queued: MostQueued::default(),
            verbosity: Verbosity::Quiet,
            limits,
            display: None,
        };
        let modules = Modules::of_campaign(folder.path(), false);
        let sources = Box::new(move |name: &str| modules.find(name));
        let (told, heard) = channel();
        let task = TaskOptions {
            name: self.then.facts.name.clone(),
            params: self.then.facts.params.clone(),
            timeout: self.then.facts.limit_s,
            ..repeating(&self.then.facts.id, self.plan.placement.clone())
        };
        let plan = self.plan;
        let only = self.then.facts.artefact.filter(|_| self.arguments.same_program);
        let script = Box::new(move |port| measured(port, plan, pool, task, only, &told));
        let ended = root::run(options, started, signals, sources, script);
        *lost_rank = ended.lost_rank;
        match (ended.message, heard.recv()) {
            (None, Ok(rebuilt)) if ended.code == exit::OK => Ok(rebuilt),
            (message, _) => {
                let text = message.unwrap_or_else(|| "it ended before it had measured".into());
                let code = if ended.code == exit::OK { exit::INTERNAL } else { ended.code };
                Err((code, format!("rerun: {text}")))
            }
        }
    }
}

/// The options of a task that repeats this record: no record answers it.
fn repeating(id: &str, placement: Placement) -> TaskOptions {
    // The record has the time in its own id; whoever repeats it again has another.
    let key = Some(format!("rerun of {id} by {} at {:?}", std::process::id(), SystemTime::now()));
    TaskOptions { key, placement, repeats: Some(id.into()), ..TaskOptions::default() }
}

/// What stands where a script would; `only`: the program that is to be measured, or one with the same code.
fn measured(
    mut port: Port,
    plan: Plan,
    pool: PoolSpec,
    task: TaskOptions,
    only: Option<Hash>,
    told: &Sender<Vec<Rebuilt>>,
) -> ScriptEnd {
    let pool = match port.spawn(pool) {
        Ok(pool) => pool.id,
        Err(error) => return ScriptEnd::Failed(error.to_string()),
    };
    let Plan { builds, mut measure, .. } = plan;
    let (mut anew, mut rebuilt) = (BTreeMap::new(), Vec::new());
    for mut build in builds {
        replace(&anew, build.spec.command.argv.iter_mut().filter_map(content));
        let (was, state) = (build.was.clone(), build.state);
        let what = subject(build.name.as_deref(), build.params.as_ref());
        match built(&mut port, pool, build) {
            Ok(is) => {
                anew.extend(was.artefact.zip(is.artefact));
                let built = Rebuilt { was, is, state };
                if only.is_some() && built.was.artefact == only && built.has_same_code() != Some(true) {
                    return ScriptEnd::Failed(format!(
                        "its program {state}, and built again ({what}) it is another one"
                    ));
                }
                rebuilt.push(built);
            }
            Err(None) => return ScriptEnd::Stopped,
            Err(Some(why)) => {
                return ScriptEnd::Failed(format!(
                    "the artefact {state}, and its build {what} failed: {why}"
                ));
            }
        }
    }
    replace(&anew, contents(&mut measure));
    match done(&mut port, pool, task, Job::Measure(Box::new(measure))) {
        Some(_) => {
            // Who asked waits for it.
            let _ = told.send(rebuilt);
            ScriptEnd::Finished
        }
        None => ScriptEnd::Stopped,
    }
}

/// What was built again stands for what is gone.
fn replace<'a>(anew: &BTreeMap<Hash, Hash>, contents: impl Iterator<Item = &'a mut Hash>) {
    for content in contents {
        *content = *anew.get(content).unwrap_or(content);
    }
}

/// Builds it; why not, or nothing if it was stopped.
fn built(port: &mut Port, pool: PoolId, build: Build) -> Result<CompileResult, Option<String>> {
    let Build { id, name, params, timeout, spec, placement, .. } = build;
    let options = TaskOptions { name, params, timeout, ..repeating(&id, placement) };
    let outcome = done(port, pool, options, Job::Compile(Box::new(spec))).ok_or(None)?;
    match &outcome.detail {
        Detail::Compile(result) if outcome.ok() => Ok((**result).clone()),
        _ => Err(Some(status_in_short(&outcome))),
    }
}

/// Does it and waits for its end; none if everything is being stopped.
fn done(port: &mut Port, pool: PoolId, options: TaskOptions, job: Job) -> Option<Arc<Outcome>> {
    let order = Order {
        pool: Some(pool),
        options: options.into(),
        job,
        deps: Vec::new(),
        known: Vec::new(),
        deferred: false,
    };
    let task: TaskId = port.submit(order);
    loop {
        match port.take(Wait::Forever) {
            Taken::Completion(end) if end.task == task => return Some(end.outcome),
            Taken::Completion(_) => {}
            Taken::Nothing | Taken::Line(_) | Taken::Draining | Taken::Interrupted => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_of_somebody_else_is_to_be_copied() {
        let text = unwritable(Path::new("/theirs/c.lua.journal"), &io::ErrorKind::PermissionDenied.into());
        assert_eq!(
            text,
            "rerun: cannot write to /theirs/c.lua.journal, where the new record belongs: permission denied; copy it to a folder \
             of your own, and name the copy: `harness rerun KEY c.lua.journal`"
        );
    }
}
