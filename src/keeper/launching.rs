//! An MPI application on its way: finds the launcher of the task's search path, asks it once whose it is, and hands
//! the composed command to the job that runs it; of a comparison that of each variant.
//!
//! What the line is, `launch` knows; what becomes of the runs, `exec`, `measure` and `compare`. Sees no processes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use super::compare::Compare;
use super::exec::Exec;
use super::job::{Job, Learned, Step, Table};
use super::measure::Measure;
use super::run::{Finished, Keep, StartError};
use super::scratch::Scratch;
use super::site::{Command, Failure, Site};
use super::verdict::{judge, not_started};
use crate::launch::{
    Around, Family, LaunchError, Line, MPIEXECS, Mpiexec, hostfile, line, wants_family, wants_hostfile,
};
use crate::model::{CommandSpec, CompareSpec, Cwd, Gang, LaunchSpec, Launched, Status, Work};
use crate::process::{Environment, MARK_VARIABLE, find_program};

/// Kept of what `mpiexec --version` says (B).
const VERSION_BYTES: usize = 4096;

/// Launchers this keeper has asked, by path and time of change.
pub type Launchers = Table<(PathBuf, Option<SystemTime>), Option<Family>>;

/// A command with the launcher before it.
#[derive(Clone, Debug)]
pub struct Prefixed {
    /// What to put before the command, and around it.
    pub line: Line,
    /// What its record says of it.
    pub launched: Launched,
}

/// See the module.
pub struct Launching {
    stage: Stage,
    mark: String,
    /// By the ranks of a node. Removed when the job is dropped.
    hostfiles: BTreeMap<u32, Scratch>,
}

enum Stage {
    /// Not all launchers are known yet.
    Begun(Box<Order>),
    /// The rest is the job's.
    Runs(Box<Job>),
}

struct Order {
    work: Work,
    gang: Gang,
    /// Those of its commands, in their order, as far as is known.
    prefixed: Vec<Prefixed>,
    /// The one at this path was asked whose it is.
    asked: Option<(PathBuf, Option<SystemTime>)>,
}

impl Launching {
    /// Nothing is looked for yet.
    pub fn new(work: Work, gang: Gang, mark: &str) -> Self {
        let order = Order { work, gang, prefixed: Vec::new(), asked: None };
        Self { stage: Stage::Begun(Box::new(order)), mark: mark.into(), hostfiles: BTreeMap::new() }
    }

    /// The questions, then whatever the job wants.
    pub fn next(&mut self, last: Option<Finished>, now_s: f64, site: &Site, learned: &Learned) -> Step {
        if let Stage::Runs(job) = &mut self.stage {
            return job.next(last, now_s, site, learned);
        }
        match self.compose(last, site, learned) {
            Ok(Some(question)) => question,
            Ok(None) => self.next(None, now_s, site, learned),
            Err(failure) => Step::failed(failure),
        }
    }

    /// A question, or the job with its whole commands.
    fn compose(
        &mut self,
        last: Option<Finished>,
        site: &Site,
        learned: &Learned,
    ) -> Result<Option<Step>, Failure> {
        let Self { stage: Stage::Begun(order), mark, hostfiles } = self else { return Ok(None) };
        if let Some(asked) = order.asked.take() {
            learned.launchers.insert(asked, answer(last)?);
        }
        let Order { work, gang, prefixed, asked } = &mut **order;
        for command in work.commands().into_iter().skip(prefixed.len()) {
            let found = Seeker { command, gang, mark, site, learned }.find(hostfiles);
            match found.map_err(|failure| of_variant(work, prefixed.len(), failure))? {
                Found::Prefixed(found) => prefixed.push(found),
                Found::Unknown(mpiexec, question) => {
                    *asked = Some(mpiexec);
                    return Ok(Some(question));
                }
            }
        }
        let job = job(work.clone(), std::mem::take(prefixed), mark, site)?;
        self.stage = Stage::Runs(Box::new(job));
        Ok(None)
    }
}

/// Of a comparison it says whose it is.
fn of_variant(work: &Work, at: usize, failure: Failure) -> Failure {
    let Work::Compare(CompareSpec { variants, .. }) = work else { return failure };
    let name = variants.get(at).map_or("", |variant| &variant.name);
    Failure { reason: format!("{name}: {}", failure.reason), ..failure }
}

/// Looks for what starts one command.
struct Seeker<'a> {
    command: &'a CommandSpec,
    gang: &'a Gang,
    mark: &'a str,
    site: &'a Site,
    learned: &'a Learned,
}

enum Found {
    Prefixed(Prefixed),
    /// Nobody has asked this one yet; the question.
    Unknown((PathBuf, Option<SystemTime>), Step),
}

impl Seeker<'_> {
    fn find(&self, hostfiles: &mut BTreeMap<u32, Scratch>) -> Result<Found, Failure> {
        let Some(launch) = &self.command.launch else {
            return Err(Failure::refused("no launcher starts it, and one starts what it is compared with"));
        };
        let environment = self.site.environment(&self.command.env, self.mark)?;
        let found = wants_family(&launch.launcher).then(|| mpiexec_of(&environment)).flatten();
        let mpiexec = match found.map(dated) {
            None => None,
            Some(found) => match self.learned.launchers.get(&found) {
                Some(family) => Some(Mpiexec { path: found.0.display().to_string(), family }),
                None => {
                    let question = self.question(&found.0, environment)?;
                    return Ok(Found::Unknown(found, question));
                }
            },
        };
        let hostfile = match wants_hostfile(&launch.launcher) {
            true => self.hostfile(launch, hostfiles)?,
            false => PathBuf::new(),
        };
        self.prefix(launch, mpiexec.as_ref(), &environment, &hostfile).map(Found::Prefixed)
    }

    /// Whose it is. Asked in any folder: the campaign's may not be on this node. What it says of Slurm's variables is of
    /// no interest.
    fn question(&self, mpiexec: &Path, environment: Environment) -> Result<Step, Failure> {
        let anywhere = CommandSpec { cwd: Cwd::Path("/".into()), ..CommandSpec::default() };
        let program = CString::new(mpiexec.as_os_str().as_encoded_bytes()).map_err(Failure::setup)?;
        let (place, _) = self.site.command(&anywhere, self.mark)?;
        let question = Command { environment, ..place }.with_argv(vec![program, c"--version".to_owned()]);
        Ok(Step::Run(Rc::new(question), Keep { stdout: VERSION_BYTES, stderr: VERSION_BYTES }))
    }

    /// The path of the file with a line for each rank.
    fn hostfile(
        &self,
        launch: &LaunchSpec,
        written: &mut BTreeMap<u32, Scratch>,
    ) -> Result<PathBuf, Failure> {
        let folder = match written.entry(launch.ranks_per_node) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let folder = self.site.scratch(&[])?;
                let lines = hostfile(launch, self.gang);
                fs::write(folder.path().join("hosts"), lines).map_err(Failure::setup)?;
                entry.insert(folder)
            }
        };
        Ok(folder.path().join("hosts"))
    }

    fn prefix(
        &self,
        launch: &LaunchSpec,
        mpiexec: Option<&Mpiexec>,
        environment: &Environment,
        hostfile: &Path,
    ) -> Result<Prefixed, Failure> {
        let Self { command, gang, .. } = self;
        let own = command.env.keys().chain(&gang.variables).cloned();
        let forward: Vec<String> = own.chain([MARK_VARIABLE.into()]).collect();
        let around = Around {
            mpiexec,
            has: &|name| program_of(environment, name).is_some(),
            env: &|name| environment.get(name).map(|value| String::from_utf8_lossy(value).into_owned()),
            forward: &forward,
            hostfile,
        };
        let line = line(launch, gang, &around).map_err(cannot)?;
        let launched = Launched { hosts: gang.hosts.clone(), ranks: launch.ranks, argv: line.argv.clone() };
        Ok(Prefixed { line, launched })
    }
}

fn job(work: Work, prefixed: Vec<Prefixed>, mark: &str, site: &Site) -> Result<Job, Failure> {
    let mut prefixed = prefixed.into_iter();
    Ok(match work {
        Work::Exec(spec) => Job::Exec(Exec::new(spec, mark, site, prefixed.next())?),
        Work::Measure(spec) => Job::Measure(Box::new(Measure::new(*spec, mark, site, prefixed.next())?)),
        Work::Compare(spec) => Job::Compare(Box::new(Compare::new(spec, mark, site, prefixed)?)),
        Work::Compile(_) => return Err(Failure::refused("a build is not started by a launcher")),
    })
}

fn dated(path: PathBuf) -> (PathBuf, Option<SystemTime>) {
    let changed = fs::metadata(&path).and_then(|data| data.modified()).ok();
    (path, changed)
}

fn answer(last: Option<Finished>) -> Result<Option<Family>, Failure> {
    match last {
        Some(Ok(ended)) => {
            if ended.forced.is_some() {
                judge(&ended, &[])?;
            }
            let said = [ended.stdout.bytes, ended.stderr.bytes].concat();
            Ok(Family::of(&String::from_utf8_lossy(&said)))
        }
        Some(Err(error @ StartError::Forced(_))) => Err(not_started(&error)),
        _ => Ok(None),
    }
}

fn cannot(error: LaunchError) -> Failure {
    let status = match error {
        LaunchError::NoJob => Status::Refused,
        LaunchError::Nothing | LaunchError::Absent(_) | LaunchError::Unknown(_) => Status::SpawnFailed,
    };
    Failure { status, reason: error.to_string() }
}

fn mpiexec_of(environment: &Environment) -> Option<PathBuf> {
    MPIEXECS.into_iter().find_map(|name| program_of(environment, name))
}

fn program_of(environment: &Environment, name: &str) -> Option<PathBuf> {
    find_program(name, environment.search_path(), Path::new("/")).ok()
}
