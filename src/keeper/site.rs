//! Where tasks run: the node, the environment they get, the store, the scratch folders; and how a
//! specification becomes a command of this place.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::launching::Prefixed;
use super::scratch::{Scratch, ScratchRoot};
use crate::artefact::Store;
use crate::machine;
use crate::model::{
    Arg, CommandSpec, Cwd, Input, Launched, Limits, Outcome, SLOT_SCRATCH, Sink, SlotId, SlotInit, Status,
    Stdin, Ulimits, Welcome,
};
use crate::process::{Environment, MARK_VARIABLE};

/// Why a task cannot go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// In one word.
    pub status: Status,
    /// For people.
    pub reason: String,
}

impl Failure {
    /// The task's needs could not be met here.
    pub fn setup(reason: impl ToString) -> Self {
        Self { status: Status::SetupFailed, reason: reason.to_string() }
    }

    /// What is asked cannot be met anywhere.
    pub fn refused(reason: impl ToString) -> Self {
        Self { status: Status::Refused, reason: reason.to_string() }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Outcome::failed(failure.status, failure.reason)
    }
}

/// The place all tasks of this keeper run at.
pub struct Site {
    /// Slots the worker offers.
    pub slots: u32,
    /// How long waits may take.
    pub limits: Limits,
    /// What a slot that looks at a run begins with.
    slot: SlotInit,
    campaign_dir: PathBuf,
    environment: Environment,
    store: Result<Store, String>,
    scratch: ScratchRoot,
}

/// A program that can be started any number of times.
#[derive(Clone, Debug)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<CString>,
    /// All of it.
    pub environment: Environment,
    /// Absolute.
    pub cwd: PathBuf,
    /// What it reads.
    pub stdin: Stdin,
    /// Its standard output.
    pub stdout: Sink,
    /// Its standard error.
    pub stderr: Sink,
    /// What each of its processes may take.
    pub limits: Ulimits,
}

impl Command {
    /// The arguments for people and the journal.
    pub fn argv_text(&self) -> Vec<String> {
        self.argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    /// Puts a launcher before it.
    pub fn launch(&mut self, prefixed: Prefixed) -> Result<Launched, Failure> {
        let Prefixed { line, launched } = prefixed;
        let words = line.argv.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        self.argv.splice(0..0, words.map_err(Failure::refused)?);
        self.environment.retain(|name| line.slurm.keeps(name));
        for (name, value) in line.set {
            self.environment.set(name.as_bytes(), value.as_bytes()).map_err(Failure::refused)?;
        }
        Ok(launched)
    }

    /// The same place, other arguments, output captured.
    pub fn with_argv(&self, argv: Vec<CString>) -> Self {
        Self { argv, stdin: Stdin::Null, stdout: Sink::Capture, stderr: Sink::Capture, ..self.clone() }
    }
}

impl Site {
    /// The place the worker describes.
    pub fn new(welcome: &Welcome) -> Self {
        let mut environment = Environment::scrubbed(std::env::vars_os());
        for (name, value) in &welcome.env {
            // A variable with a NUL byte in it cannot come from an environment.
            let _ = environment.set(name.as_bytes(), value.as_bytes());
        }
        let store = Store::open(Store::default_folder()).map_err(|error| error.to_string());
        let slot = SlotInit {
            worker: welcome.worker,
            slot: SlotId(0),
            host: machine::hostname(),
            campaign_dir: String::new(),
            store_dir: Store::default_folder().display().to_string(),
            seed: welcome.seed,
            setup: welcome.setup.clone(),
            node_memory: machine::memory_bytes(),
        };
        Self {
            slots: welcome.slots.into(),
            limits: *welcome.limits,
            slot,
            campaign_dir: PathBuf::from(&welcome.campaign_dir),
            environment: environment.shared(),
            store,
            scratch: ScratchRoot::default(),
        }
    }

    /// What a slot begins with that looks at a run in `folder`: relative paths in its functions begin there.
    pub fn slot_init(&self, folder: &str) -> SlotInit {
        SlotInit { campaign_dir: folder.into(), ..self.slot.clone() }
    }

    /// The environment of a slot, and a folder for its own, which is named there: without room for one it goes on.
    pub fn slot_place(&self, mark: &str) -> Result<(Option<Scratch>, Environment), Failure> {
        let scratch = self.scratch(&[]).ok();
        let place = scratch.as_ref().map(|folder| (SLOT_SCRATCH, folder.path().to_string_lossy()));
        let environment = self.environment(place, mark)?;
        Ok((scratch, environment))
    }

    /// The artefacts of the node.
    pub fn store(&self) -> Result<&Store, Failure> {
        self.store.as_ref().map_err(Failure::setup)
    }

    /// A fresh folder with these files in it.
    pub fn scratch(&self, inputs: &[Input]) -> Result<Scratch, Failure> {
        let scratch = self.scratch.folder().map_err(Failure::setup)?;
        let mut folders = BTreeSet::new();
        for input in inputs {
            let path = scratch.path().join(inside(&input.path)?);
            if let Some(folder) = path.parent().filter(|folder| folders.insert(folder.to_path_buf())) {
                let made = fs::create_dir_all(folder);
                made.map_err(|e| Failure::setup(format!("cannot make {}: {e}", folder.display())))?;
            }
            self.store()?
                .copy_out(input.hash, &path, input.executable)
                .map_err(|e| Failure::setup(format!("input `{}`: {e}", input.path)))?;
        }
        Ok(scratch)
    }

    /// The environment of a task: the scrubbed one, the pool's, the task's own, its mark.
    pub fn environment(
        &self,
        own: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
        mark: &str,
    ) -> Result<Environment, Failure> {
        let mut environment = self.environment.clone();
        for (name, value) in own {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.is_empty() || name.contains('=') {
                return Err(Failure::refused(format!("env: `{name}` cannot be the name of a variable")));
            }
            environment
                .set(name.as_bytes(), value.as_bytes())
                .map_err(|_| Failure::refused(format!("env: `{name}` contains a NUL byte")))?;
        }
        environment.set(MARK_VARIABLE.as_bytes(), mark.as_bytes()).map_err(Failure::refused)?;
        Ok(environment)
    }

    /// The command a specification means here. A scratch folder is made if it asks for one.
    pub fn command(&self, spec: &CommandSpec, mark: &str) -> Result<(Command, Option<Scratch>), Failure> {
        let scratch = match &spec.cwd {
            Cwd::Scratch => Some(self.scratch(&spec.inputs)?),
            _ if !spec.inputs.is_empty() => {
                return Err(Failure::refused(
                    "inputs are put into the scratch folder: they need cwd=\"scratch\"",
                ));
            }
            _ => None,
        };
        let cwd = match (&spec.cwd, &scratch) {
            (Cwd::Path(path), _) => self.campaign_dir.join(path),
            (_, Some(scratch)) => scratch.path().to_path_buf(),
            _ => self.campaign_dir.clone(),
        };
        let command = Command {
            argv: self.argv(spec)?,
            environment: self.environment(&spec.env, mark)?,
            cwd,
            stdin: spec.stdin.clone(),
            stdout: spec.stdout.clone(),
            stderr: spec.stderr.clone(),
            limits: spec.limits.as_deref().copied().unwrap_or_default(),
        };
        Ok((command, scratch))
    }

    /// Program and arguments of a command; a shell line becomes those of the shell.
    pub fn argv(&self, spec: &CommandSpec) -> Result<Vec<CString>, Failure> {
        if let Some(line) = &spec.shell {
            let line = CString::new(line.as_str())
                .map_err(|_| Failure::refused("the shell line contains a NUL byte"))?;
            return Ok(vec![c"/bin/sh".to_owned(), c"-c".to_owned(), line]);
        }
        let argv = spec.argv.iter().enumerate().map(|(i, arg)| {
            CString::new(self.bytes_of(arg)?)
                .map_err(|_| Failure::refused(format!("argument {i} of the command contains a NUL byte")))
        });
        argv.collect()
    }

    /// The content an argument stands for: an artefact's, or the text itself.
    pub fn content_of(&self, arg: &Arg) -> Result<Vec<u8>, Failure> {
        match arg {
            Arg::Artefact(hash) => fs::read(self.store()?.path(*hash))
                .map_err(|_| Failure::setup(crate::artefact::StoreError::Missing(*hash))),
            _ => self.bytes_of(arg),
        }
    }

    fn bytes_of(&self, arg: &Arg) -> Result<Vec<u8>, Failure> {
        match arg {
            Arg::Text(text) => Ok(text.clone()),
            Arg::Task(task) => {
                Err(Failure::refused(format!("the result of task {task} was not put into the command")))
            }
            Arg::Artefact(hash) => {
                let store = self.store()?;
                if !store.contains(*hash) {
                    return Err(Failure::setup(crate::artefact::StoreError::Missing(*hash)));
                }
                Ok(store.path(*hash).into_os_string().into_vec())
            }
        }
    }
}

/// A path that stays inside the folder it is relative to.
pub fn inside(path: &str) -> Result<&Path, Failure> {
    let relative = Path::new(path);
    let stays = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if stays && !path.is_empty() {
        Ok(relative)
    } else {
        Err(Failure::refused(format!("`{path}` is not a path inside the scratch folder")))
    }
}

/// The path a C string names.
pub fn path_of(text: &std::ffi::CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}
