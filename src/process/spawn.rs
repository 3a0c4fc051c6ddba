//! Starts a program: own session, default signals, nothing inherited but what is given; and says why one could not be started.
//!
//! Descriptors of ours are all close-on-exec ([`super::own::close_on_exec_from`]), hence nothing has to be closed one by one
//! here. What the new process does until it is the program is [`super::birth`]'s.

use std::ffi::{CStr, CString, NulError, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{Timespec, poll};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Pid, PidfdFlags, Resource, Signal, getrlimit, kill_process, pidfd_open};

use super::limited::{Allowance, Setting};
use super::wait::{KILL_PATIENCE, try_wait};
use super::{Environment, birth};
use crate::model::Ulimit;

/// So often one is looked at that was killed, where there is no descriptor that says when it has ended.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// What to start.
pub struct Launch<'a> {
    /// The file to run, if it is not what `argv[0]` names.
    pub program: Option<&'a CStr>,
    /// Program and arguments. A program without `/` is looked up in the environment's `PATH`.
    pub argv: &'a [CString],
    /// The whole environment.
    pub environment: &'a Environment,
    /// Working folder, absolute; the present one if none.
    pub cwd: Option<&'a Path>,
    /// Standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Other descriptors and the numbers they get. A number must not be one of the descriptors given.
    pub fds: &'a [(BorrowedFd<'a>, RawFd)],
}

/// A process that was started and not yet waited for.
#[derive(Debug)]
pub struct Child {
    /// Its id, and that of its session and process group.
    pub pid: Pid,
    /// Becomes readable when it ends.
    pub pidfd: OwnedFd,
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No folder of PATH has it.
    #[error("program `{program}` not found: {advice} (PATH is {path})")]
    NotFound {
        /// As it was asked for.
        program: String,
        /// What to do about it.
        advice: &'static str,
        /// What was searched.
        path: String,
    },
    /// There is no such file.
    #[error("program `{program}` does not exist{place}{}", advice.map(|advice| format!(": {advice}")).unwrap_or_default())]
    NoSuchFile {
        /// As it was asked for.
        program: String,
        /// ` in FOLDER`, where that decides.
        place: String,
        /// What to do, where something seems to be forgotten.
        advice: Option<&'static str>,
    },
    /// It is there, but not its interpreter.
    #[error("`{0}` is there, but the interpreter its first line names, or its loader, is not")]
    NoInterpreter(String),
    /// A folder cannot be run.
    #[error("`{0}` is a folder, not a program")]
    Folder(String),
    /// No permission to run it.
    #[error("`{0}` is not executable (try: chmod +x)")]
    NotExecutable(String),
    /// Neither a binary of this machine nor a script.
    #[error(
        "`{0}` is neither a program for this machine nor a script: the first line of a script is `#!` and its interpreter"
    )]
    NoFormat(String),
    /// E2BIG.
    #[error("arguments and environment of `{program}` are too long for the system ({bytes} B)")]
    TooLong {
        /// As it was asked for.
        program: String,
        /// What was too long, B.
        bytes: usize,
    },
    /// The folder it should run in.
    #[error("working folder `{0}` does not exist on this node")]
    NoFolder(String),
    /// An argument or variable holds a NUL byte.
    #[error("an argument or variable contains a NUL byte: {0}")]
    Nul(#[from] NulError),
    /// No command at all.
    #[error("the command is empty")]
    Empty,
    /// A limit it was to run under.
    #[error("could not start `{program}` under limits.{limit}: {source}")]
    Limit {
        /// As it was asked for.
        program: String,
        /// As the script calls it.
        limit: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Anything else the system says.
    #[error("could not start `{program}`: {source}")]
    System {
        /// As it was asked for.
        program: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Child {
    /// A process somebody else started, to be watched and killed; who started it waits for it.
    pub fn of_another(pid: Pid) -> io::Result<Self> {
        Ok(Self { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Lets go of its descriptor. It is ours, and nobody has waited for it.
    pub fn unwatched(self) -> Unwatched {
        Unwatched(self.pid)
    }
}

/// A child of ours that nobody looks at now, without a descriptor: thousands may be such. Its number stays its own, for nobody
/// has waited for it.
#[derive(Debug)]
pub struct Unwatched(pub(super) Pid);

impl Unwatched {
    /// Its id.
    pub fn pid(&self) -> Pid {
        self.0
    }

    /// To wait for it, or to end it.
    pub fn watched(&self) -> io::Result<Child> {
        Child::of_another(self.0)
    }

    /// Ends it (SIGKILL), where there is no descriptor left to watch it. Where the kernel cannot end it now, it is left.
    pub fn kill(self) {
        let _ = kill_process(self.0, Signal::KILL);
        let until = Instant::now() + KILL_PATIENCE;
        while matches!(try_wait(self.0), Ok(None)) && Instant::now() < until {
            let _ = poll(&mut [], Some(&LOOK));
        }
    }
}

/// What the system says, with what to do where there is something to do.
pub fn with_advice(error: io::Error) -> io::Error {
    let (what, limit, who, remedy) = match error.raw_os_error() {
        Some(libc::EMFILE) => {
            ("too many open files", Resource::Nofile, "this process may open", "`ulimit -n`")
        }
        Some(libc::EAGAIN) => (
            "too many processes and threads",
            Resource::Nproc,
            "this user may have",
            "`ulimit -u`, or `pids.max` of its control group,",
        ),
        Some(libc::EFBIG) => {
            ("file too large", Resource::Fsize, "this process may write, in B:", "`ulimit -f`")
        }
        _ => return error,
    };
    let limit = getrlimit(limit).current;
    let limit = limit.map_or_else(String::new, |limit| format!(" ({who} {limit})"));
    io::Error::other(format!("{what}{limit}: raise the limit with {remedy} and start again"))
}

/// Starts a program as the leader of a new session.
pub fn spawn(launch: &Launch<'_>) -> Result<Child, SpawnError> {
    start(launch, &[])
}

/// The same for a program each of whose processes has these limits.
pub fn spawn_limited(launch: &Launch<'_>, allowance: &Allowance) -> Result<Child, SpawnError> {
    start(launch, allowance.settings())
}

/// What is to be started, in the form the system takes: between fork and exec nothing can be made any more.
pub(super) struct Ready<'a> {
    pub path: CString,
    /// Null-terminated, as `envp`.
    pub argv: Vec<*mut c_char>,
    pub envp: Vec<*mut c_char>,
    pub cwd: Option<CString>,
    /// Descriptors and the numbers they get.
    pub fds: Vec<(RawFd, RawFd)>,
    pub settings: &'a [Setting],
    /// What the pointers point to.
    _launch: &'a Launch<'a>,
}

/// Why the system did not start it.
pub(super) struct Refusal {
    pub errno: i32,
    /// Set if it was this limit that could not be had.
    pub limit: Option<Ulimit>,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(libc::EINVAL), limit: None }
    }
}

fn start(launch: &Launch<'_>, settings: &[Setting]) -> Result<Child, SpawnError> {
    let program = launch.program.or(launch.argv.first().map(CString::as_c_str)).ok_or(SpawnError::Empty)?;
    let stdio = launch.stdio.iter().copied().zip(0..);
    let arguments = launch.argv.iter().map(|arg| arg.as_ptr().cast_mut());
    let ready = Ready {
        path: locate(program, launch)?,
        argv: arguments.chain([std::ptr::null_mut()]).collect(),
        envp: launch.environment.pointers(),
        cwd: launch.cwd.map(|cwd| CString::new(cwd.as_os_str().as_bytes())).transpose()?,
        fds: stdio.chain(launch.fds.iter().copied()).map(|(fd, number)| (fd.as_raw_fd(), number)).collect(),
        settings,
        _launch: launch,
    };
    birth::begin(&ready).map_err(|refusal| match refusal.limit {
        Some(limit) => SpawnError::Limit {
            program: lossy(program),
            limit: limit.name(),
            source: io::Error::from_raw_os_error(refusal.errno),
        },
        None => explain(refusal.errno, &ready.path, launch),
    })
}

/// May this file be run by us?
pub fn is_program(file: &Path) -> bool {
    accessat(CWD, file, Access::EXEC_OK, AtFlags::empty()).is_ok() && !file.is_dir()
}

/// Is there a program of this name on our own search path?
pub fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(name)))
}

/// The file that `execvp` would take in this search path, as seen from `cwd`.
pub fn find_program(program: &str, search: &[u8], cwd: &Path) -> Result<PathBuf, SpawnError> {
    let mut refused = None;
    for folder in search.split(|byte| *byte == b':') {
        // An empty entry is the working folder, for historical reasons.
        let file = cwd.join(Path::new(std::ffi::OsStr::from_bytes(folder))).join(program);
        if is_program(&file) {
            return Ok(file);
        }
        if refused.is_none() && file.is_file() {
            refused = Some(SpawnError::NotExecutable(file.display().to_string()));
        }
    }
    Err(refused.unwrap_or_else(|| SpawnError::NotFound {
        program: program.into(),
        advice: advice(program, cwd),
        path: String::from_utf8_lossy(search).into_owned(),
    }))
}

/// Of a program whose name has one.
const BLANK: &str = "a program name with a blank: give arguments one by one, or use shell=";

/// What those who see the name of a program mostly forgot.
fn advice(program: &str, cwd: &Path) -> &'static str {
    if cwd.join(program).is_file() {
        "a file of this name is in the working folder: write ./ before it"
    } else if program.contains(char::is_whitespace) {
        BLANK
    } else {
        "load its module before harness is started, or give its full path"
    }
}

fn locate(program: &CStr, launch: &Launch<'_>) -> Result<CString, SpawnError> {
    if program.to_bytes().contains(&b'/') {
        return Ok(program.to_owned()); // relative to the new working folder: exec resolves it
    }
    let search = launch.environment.search_path();
    let file = find_program(&lossy(program), search, launch.cwd.unwrap_or(Path::new(".")))?;
    Ok(CString::new(file.into_os_string().into_vec())?)
}

/// An error number says little; look at what is there.
fn explain(error: i32, path: &CStr, launch: &Launch<'_>) -> SpawnError {
    let program = lossy(path);
    if let Some(cwd) = launch.cwd.filter(|cwd| !cwd.is_dir()) {
        return SpawnError::NoFolder(cwd.display().to_string());
    }
    let relative = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
    let file = launch.cwd.unwrap_or(Path::new(".")).join(relative);
    match error {
        libc::ENOENT | libc::ENOTDIR if file.exists() => SpawnError::NoInterpreter(program),
        libc::ENOENT | libc::ENOTDIR => {
            let folder = launch.cwd.filter(|_| !program.starts_with('/'));
            let place = folder.map(|folder| format!(" in {}", folder.display())).unwrap_or_default();
            let advice = program.contains(char::is_whitespace).then_some(BLANK);
            SpawnError::NoSuchFile { program, place, advice }
        }
        libc::EACCES if file.is_dir() => SpawnError::Folder(program),
        libc::EACCES => SpawnError::NotExecutable(program),
        libc::ENOEXEC => SpawnError::NoFormat(program),
        libc::E2BIG => {
            let argv: usize =
                launch.argv.iter().map(|a| a.as_bytes_with_nul().len() + size_of::<usize>()).sum();
            SpawnError::TooLong { program, bytes: argv + launch.environment.size() }
        }
        _ => SpawnError::System { program, source: with_advice(io::Error::from_raw_os_error(error)) },
    }
}

fn lossy(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}
