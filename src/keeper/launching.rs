//! An MPI application on its way: finds the launcher of the task's search path, asks it once whose it is, and hands
//! the composed command to the job that runs it.
//!
//! What the line is, `launch` knows; what becomes of the runs, `exec` and `measure`. Sees no processes.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use super::exec::Exec;
use super::job::{Job, Learned, Step, Table};
use super::measure::Measure;
use super::run::{Finished, Keep, StartError};
use super::scratch::Scratch;
use super::site::{Command, Failure, Site};
use super::verdict::{judge, not_started};
use crate::launch::{
    Around, Family, LaunchError, Line, Mpiexec, hostfile, line, wants_family, wants_hostfile,
};
use crate::model::{CommandSpec, Cwd, Gang, LaunchSpec, Launched, Status, Work};
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
    /// Removed when the job is dropped.
    hostfile: Option<Scratch>,
}

enum Stage {
    /// The launcher is not known yet.
    Begun(Box<(Work, LaunchSpec, Gang)>),
    /// The one at this path was asked.
    Asked(Box<(Work, LaunchSpec, Gang)>, (PathBuf, Option<SystemTime>)),
    /// The rest is the job's.
    Runs(Box<Job>),
}

impl Launching {
    /// Nothing is looked for yet.
    pub fn new(work: Work, launch: LaunchSpec, gang: Gang, mark: &str) -> Self {
        Self { stage: Stage::Begun(Box::new((work, launch, gang))), mark: mark.into(), hostfile: None }
    }

    /// The question, then whatever the job wants.
    pub fn next(&mut self, last: Option<Finished>, now_s: f64, site: &Site, learned: &Learned) -> Step {
        let step = match &mut self.stage {
            Stage::Runs(job) => return job.next(last, now_s, site, learned),
            Stage::Begun(_) => self.begin(site, learned),
            Stage::Asked(..) => self.answered(last, site, learned),
        };
        match step {
            Ok(Some(question)) => question,
            Ok(None) => self.next(None, now_s, site, learned),
            Err(failure) => Step::failed(failure),
        }
    }

    /// A question, if there is one.
    fn begin(&mut self, site: &Site, learned: &Learned) -> Result<Option<Step>, Failure> {
        let Stage::Begun(order) = &self.stage else { return Ok(None) };
        let environment = site.environment(&variables_of(&order.0), &self.mark)?;
        let found = wants_family(&order.1.launcher).then(|| mpiexec_of(&environment)).flatten();
        let Some(path) = found else { return self.compose(None, site).map(|()| None) };
        let changed = fs::metadata(&path).and_then(|data| data.modified()).ok();
        let asked = (path, changed);
        if let Some(family) = learned.launchers.get(&asked) {
            let mpiexec = Mpiexec { path: asked.0.display().to_string(), family };
            return self.compose(Some(mpiexec), site).map(|()| None);
        }
        // In any folder: the campaign's may not be on this node. What it says of Slurm's variables is of no interest.
        let anywhere = CommandSpec { cwd: Cwd::Path("/".into()), ..CommandSpec::default() };
        let program = CString::new(asked.0.as_os_str().as_encoded_bytes()).map_err(Failure::setup)?;
        let (place, _) = site.command(&anywhere, &self.mark)?;
        let question = Command { environment, ..place }.with_argv(vec![program, c"--version".to_owned()]);
        self.stage = Stage::Asked(order.clone(), asked);
        Ok(Some(Step::Run(Rc::new(question), Keep { stdout: VERSION_BYTES, stderr: VERSION_BYTES })))
    }

    fn answered(
        &mut self,
        last: Option<Finished>,
        site: &Site,
        learned: &Learned,
    ) -> Result<Option<Step>, Failure> {
        let Stage::Asked(_, asked) = &self.stage else { return Ok(None) };
        let family = match last {
            Some(Ok(ended)) => {
                if ended.forced.is_some() {
                    judge(&ended, &[])?;
                }
                let said = [ended.stdout.bytes, ended.stderr.bytes].concat();
                Family::of(&String::from_utf8_lossy(&said))
            }
            Some(Err(error @ StartError::Forced(_))) => return Err(not_started(&error)),
            _ => None,
        };
        learned.launchers.insert(asked.clone(), family);
        let mpiexec = Mpiexec { path: asked.0.display().to_string(), family };
        self.compose(Some(mpiexec), site).map(|()| None)
    }

    /// The job with its whole command.
    fn compose(&mut self, mpiexec: Option<Mpiexec>, site: &Site) -> Result<(), Failure> {
        let (Stage::Begun(order) | Stage::Asked(order, _)) = &self.stage else { return Ok(()) };
        let (work, launch, gang) = &**order;
        if wants_hostfile(&launch.launcher) {
            let folder = site.scratch(&[])?;
            fs::write(folder.path().join("hosts"), hostfile(launch, gang)).map_err(Failure::setup)?;
            self.hostfile = Some(folder);
        }
        let own = &variables_of(work);
        let environment = site.environment(own, &self.mark)?;
        let path = self.hostfile.as_ref().map(|folder| folder.path().join("hosts")).unwrap_or_default();
        let forward: Vec<String> =
            own.keys().chain(&gang.variables).cloned().chain([MARK_VARIABLE.into()]).collect();
        let around = Around {
            mpiexec: mpiexec.as_ref(),
            has: &|name| program_of(&environment, name).is_some(),
            env: &|name| environment.get(name).map(|value| String::from_utf8_lossy(value).into_owned()),
            forward: &forward,
            hostfile: &path,
        };
        let line = line(launch, gang, &around).map_err(cannot)?;
        let launched = Launched { hosts: gang.hosts.clone(), ranks: launch.ranks, argv: line.argv.clone() };
        let prefixed = Some(Prefixed { line, launched });
        let job = match work.clone() {
            Work::Exec(spec) => Job::Exec(Exec::new(spec, &self.mark, site, prefixed)?),
            Work::Measure(spec) => Job::Measure(Box::new(Measure::new(*spec, &self.mark, site, prefixed)?)),
            Work::Compile(_) => return Err(Failure::refused("a build is not started by a launcher")),
            Work::Compare(_) => return Err(Failure::refused("a comparison is not started by a launcher")),
        };
        self.stage = Stage::Runs(Box::new(job));
        Ok(())
    }
}

fn cannot(error: LaunchError) -> Failure {
    let status = match error {
        LaunchError::NoJob => Status::Refused,
        LaunchError::Nothing | LaunchError::Absent(_) | LaunchError::Unknown(_) => Status::SpawnFailed,
    };
    Failure { status, reason: error.to_string() }
}

fn variables_of(work: &Work) -> BTreeMap<String, String> {
    work.commands().into_iter().flat_map(|command| command.env.clone()).collect()
}

fn mpiexec_of(environment: &Environment) -> Option<PathBuf> {
    ["mpiexec", "mpirun"].into_iter().find_map(|name| program_of(environment, name))
}

fn program_of(environment: &Environment, name: &str) -> Option<PathBuf> {
    find_program(name, environment.get("PATH").unwrap_or(b"/bin:/usr/bin"), Path::new("/")).ok()
}
