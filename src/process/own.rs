#![allow(unsafe_code)]
//! What every process of harness does when it starts, and how it starts another one of itself.
//!
//! Signals are blocked before any thread exists and read from a descriptor; programs get the default
//! mask back ([`super::spawn()`]). Descriptors that a launcher left open are not handed on.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, open};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use rustix::process::{Pid, Signal, getppid, kill_process, set_child_subreaper};

use super::{Child, Environment, Launch, SpawnError, spawn, with_advice};

/// Signals a process of ours does not die from but is told of.
const HANDLED: [i32; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPIPE];

/// The number under which a process of ours finds its first descriptor.
pub const FIRST_FD: RawFd = 3;

/// Descriptors given to a new process of ours are moved up here first, out of the way of their targets. A process has room for 64 at
/// first: where several threads share them Linux takes some 10 ms to make more.
const STAGING_FD: RawFd = 16;

/// Starts this executable again as `argv[0] = harness`, `argv[1] = role`, in a session of its own.
///
/// Each descriptor arrives under the number given with it (3 or more, below 64); standard input is
/// `/dev/null`, standard output and error are ours.
pub fn start_self(
    role: &str,
    fds: Vec<(OwnedFd, RawFd)>,
    environment: &Environment,
) -> Result<Child, SpawnError> {
    // Replaced by a rebuild it has no path any more, but the kernel still has it. (Before its exec the child
    // shares our memory, and so this link.)
    let executable = this_executable().unwrap_or_else(|| "/proc/self/exe".into());
    start_executable(executable, role, fds, environment)
}

/// The path of the file this process runs, while that file is there.
pub fn this_executable() -> Option<PathBuf> {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let path = std::env::current_exe().ok()?;
    (identity(&path)? == identity(Path::new("/proc/self/exe"))?).then_some(path)
}

/// The same with another executable, which is to be the same build or to become it.
pub fn start_executable(
    executable: PathBuf,
    role: &str,
    fds: Vec<(OwnedFd, RawFd)>,
    environment: &Environment,
) -> Result<Child, SpawnError> {
    let system = |error: io::Error| {
        // What a low limit on descriptors does to the numbers we ask for.
        let too_many = error.raw_os_error() == Some(libc::EINVAL);
        let error = if too_many { io::Error::from_raw_os_error(libc::EMFILE) } else { error };
        SpawnError::System { program: format!("harness {role}"), source: with_advice(error) }
    };
    let executable = CString::new(executable.into_os_string().into_vec())?;
    let moved: Vec<(OwnedFd, RawFd)> = fds
        .into_iter()
        .map(|(fd, number)| Ok((fcntl_dupfd_cloexec(&fd, STAGING_FD)?, number)))
        .collect::<io::Result<_>>()
        .map_err(system)?;
    let null = null_device().map_err(system)?;
    spawn(&Launch {
        program: Some(&executable),
        argv: &[c"harness".to_owned(), CString::new(role)?],
        environment,
        cwd: None,
        stdio: [null.as_fd(), io::stdout().as_fd(), io::stderr().as_fd()],
        fds: &moved.iter().map(|(fd, number)| (fd.as_fd(), *number)).collect::<Vec<_>>(),
    })
}

/// Becomes another program, in this process; returns only if that fails.
pub fn become_program(
    words: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> io::Error {
    use std::os::unix::process::CommandExt;
    let mut words = words.into_iter();
    let Some(program) = words.next() else { return io::ErrorKind::InvalidInput.into() };
    #[allow(clippy::disallowed_methods)] // no child: the one program this process starts by becoming it
    std::process::Command::new(program).args(words).envs(variables).exec()
}

/// A pipe on standard input is moved to a descriptor that the program has, too, which this process becomes, and standard input is
/// empty then. What [`take_input_back`] finds it by; none if it is something else, which cannot be opened again as it is.
pub fn set_input_aside() -> io::Result<Option<String>> {
    let what = fstat(io::stdin())?;
    if FileType::from_raw_mode(what.st_mode) != FileType::Fifo {
        return Ok(None);
    }
    let aside = fcntl_dupfd_cloexec(io::stdin(), STAGING_FD)?;
    fcntl_setfd(&aside, FdFlags::empty())?;
    rustix::stdio::dup2_stdin(null_device()?)?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), aside.into_raw_fd());
    Ok(Some(format!("{}:{}:{path}", what.st_dev, what.st_ino)))
}

/// Standard input is what another process has set aside from now on.
pub fn take_input_back(aside: &str) -> io::Result<()> {
    let mut words = aside.splitn(3, ':');
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let is = (number(), number());
    let path = words.next().unwrap_or_default();
    // A pipe with a name whose writer has gone already would be waited for.
    let input = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let there = fstat(&input)?;
    if is != (Some(there.st_dev), Some(there.st_ino)) {
        return Err(io::Error::other(format!("{path} is something else")));
    }
    fcntl_setfl(&input, OFlags::empty())?;
    Ok(rustix::stdio::dup2_stdin(input)?)
}

/// Everything this process writes to standard output goes to standard error from now on: standard output
/// belongs to the campaign's script.
pub fn stdout_to_stderr() {
    let _ = rustix::stdio::dup2_stdout(io::stderr());
}

/// Standard input and output as they are, moved out of the way: afterwards there is nothing to read, and what is written
/// goes to standard error.
pub fn take_stdio() -> io::Result<(OwnedFd, OwnedFd)> {
    let input = fcntl_dupfd_cloexec(io::stdin(), STAGING_FD)?;
    let output = fcntl_dupfd_cloexec(io::stdout(), STAGING_FD)?;
    rustix::stdio::dup2_stdin(null_device()?)?;
    stdout_to_stderr();
    Ok((input, output))
}

/// Widens the cores this process may use to those of its parent: mpirun binds what it starts (Open MPI a
/// lone process to one core), and runs itself wherever the batch system lets it.
pub fn take_affinity_of_parent() {
    if let Ok(mask) = rustix::thread::sched_getaffinity(getppid()) {
        let _ = rustix::thread::sched_setaffinity(None, &mask);
    }
}

/// This process.
pub fn own_pid() -> Pid {
    rustix::process::getpid()
}

/// The calling thread, as the kernel numbers threads among processes.
pub fn own_thread() -> Pid {
    rustix::thread::gettid()
}

/// Who started it, or looks after it since.
pub fn parent_pid() -> Option<Pid> {
    getppid()
}

/// From now on the end of the parent ends this process in order (SIGTERM), also where it becomes another program. False
/// if the parent has ended already: it was to be `parent`.
pub fn end_with_parent(parent: Pid) -> io::Result<bool> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    Ok(getppid() == Some(parent))
}

/// Ends this process at once, without destructors and exit handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: it does nothing but end the process.
    unsafe { libc::_exit(code) }
}

/// Ends this process with `code` in `limit`, whatever its threads wait for then: call it before the last thing it does,
/// which somebody may not let it do.
pub fn exit_within(limit: Duration, code: i32) {
    let until = Instant::now() + limit;
    let end = move || {
        // A thread may be woken for no reason.
        while Instant::now() < until {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
        exit_now(code)
    };
    if std::thread::Builder::new().name("end".into()).stack_size(64 * 1024).spawn(end).is_err() {
        exit_now(code);
    }
}

/// Takes over a descriptor that the parent put there with [`start_self`]; it is close-on-exec from now on.
pub fn take_fd(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is only looked at here; an invalid number is reported as an error.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and by the contract of `start_self` nobody else owns this number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `/dev/null`, for reading and writing.
pub fn null_device() -> io::Result<OwnedFd> {
    Ok(open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, rustix::fs::Mode::empty())?)
}

/// Makes every open descriptor from `first` on close-on-exec: a launcher may have left some open.
pub fn close_on_exec_from(first: RawFd) {
    // SAFETY: numbers only. The flag changes nothing for the owners of the descriptors in this process.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // A kernel before 5.11.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number >= first) {
        // SAFETY: the descriptor is used for these two calls only; a closed one is an error.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        if let Ok(flags) = fcntl_getfd(fd) {
            let _ = fcntl_setfd(fd, flags | FdFlags::CLOEXEC);
        }
    }
}

/// Those of them that are to be heard: not the end of the terminal where `nohup` has it ignored, which blocked would be
/// heard all the same. Ctrl-C is, also where a shell has put us into the background: to stop in order loses nothing.
fn heeded() -> Vec<i32> {
    let hangup = disposition(libc::SIGHUP);
    HANDLED.into_iter().filter(|signal| *signal != libc::SIGHUP || hangup != libc::SIG_IGN).collect()
}

/// What a signal does in this process.
pub(super) fn disposition(signal: i32) -> libc::sighandler_t {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: it only asks; where it is refused (the C library's own signals), the zeroed action is the default.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction
    }
}

/// Dispositions that no process of ours takes over from whoever started it, or from Rust's runtime: that nobody reads any more is an error
/// of the write, and who ends a program hears how.
pub fn begin_signals() {
    pass_over(libc::SIGPIPE);
    // SAFETY: it changes a disposition; no handler of ours is involved.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// How often this process was told to go on (SIGCONT).
static CONTINUED: AtomicU32 = AtomicU32::new(0);

/// From now on [`suspensions`] counts. Who suspends a job stops all its processes, and has them go on later. Slurm has them go on too
/// before it ends a job, where none may have stood still.
pub fn count_suspensions() {
    extern "C" fn one_more(_: i32) {
        CONTINUED.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler only adds to an atomic, which is async-signal-safe.
    unsafe { libc::signal(libc::SIGCONT, one_more as extern "C" fn(i32) as libc::sighandler_t) };
}

/// How often this process was told to go on since it began to count.
pub fn suspensions() -> u32 {
    CONTINUED.load(Ordering::Relaxed)
}

/// It does nothing. To be ignored it would be in the programs, too, that a script starts itself (`os.execute`); a handler is not.
fn pass_over(signal: i32) {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(signal, nothing as extern "C" fn(i32) as libc::sighandler_t) };
}

/// Blocks what is heeded in this thread and those it starts later. A file that would grow beyond `ulimit -f` is an
/// error of its write and not the end of the process; programs get the default back ([`super::spawn()`]).
pub fn block_signals() -> io::Result<()> {
    pass_over(libc::SIGXFSZ);
    change_mask(libc::SIG_BLOCK, &heeded())
}

/// Undoes that in this thread, where nobody looks for signals any more: one that waits is heard now, and ends the process.
pub fn unblock_signals() -> io::Result<()> {
    change_mask(libc::SIG_UNBLOCK, &HANDLED)
}

/// Was this process, which has it blocked, sent this signal, or is within this time?
pub fn is_sent(signal: i32, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigpending fills the set, which is looked at only then.
        let sent = unsafe {
            libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), signal) == 1
        };
        if sent || Instant::now() >= until {
            return sent;
        }
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
    }
}

/// Sends this process a signal that it has blocked: whoever looks for it next finds it.
#[cfg(feature = "mpi")]
pub fn signal_self(signal: i32) {
    let signal = Signal::from_named_raw(signal);
    signal.into_iter().for_each(|signal| _ = kill_process(own_pid(), signal));
}

/// Ends this process as the signal does where nobody has it blocked or ignored.
pub fn end_by(signal: Signal) {
    // SAFETY: the default disposition; no handler of ours is involved.
    unsafe { libc::signal(signal.as_raw(), libc::SIG_DFL) };
    let _ = unblock_signals().map(|()| kill_process(own_pid(), signal));
}

/// A fault ends this process as it does any other program, also one that a library or somebody else sends. Rust's handler, which tells of
/// stacks that are too small, takes the first signal for nothing and waits for the fault to come again.
pub fn end_by_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default disposition; no handler of ours is involved.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn change_mask(how: i32, signals: &[i32]) -> io::Result<()> {
    let set = signal_set(signals);
    // SAFETY: the set is initialised; no old mask is asked for.
    match unsafe { libc::pthread_sigmask(how, &set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Signals, one after another, from a descriptor that can be polled.
#[derive(Debug)]
pub struct Signals(File);

impl Signals {
    /// Blocks those of `HANDLED` that are heeded, and opens their descriptor. Call it before any thread is started.
    pub fn open() -> io::Result<Self> {
        block_signals()?;
        let set = signal_set(&heeded());
        // SAFETY: -1 asks for a new descriptor; the set is initialised.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, owned by nobody else.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// The same descriptor for another thread: each signal is taken by one of them.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The next signal that came, if one did.
    pub fn take(&mut self) -> Option<i32> {
        use std::io::Read;
        let mut record = [0; size_of::<libc::signalfd_siginfo>()];
        self.0.read_exact(&mut record).ok()?;
        // The number is the first field.
        Some(i32::from_ne_bytes([record[0], record[1], record[2], record[3]]))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set before signals are added.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Orphans among our descendants become our children instead of init's.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(rustix::process::getpid()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_a_launcher_are_not_handed_on() {
        let fd = rustix::io::fcntl_dupfd_cloexec(null_device().unwrap(), 200).unwrap();
        fcntl_setfd(&fd, FdFlags::empty()).unwrap();
        close_on_exec_from(fd.as_raw_fd());
        assert_eq!(fcntl_getfd(&fd).unwrap(), FdFlags::CLOEXEC);
    }

    #[test]
    fn a_number_that_is_not_open_is_an_error() {
        assert!(take_fd(9999).is_err());
    }
}
