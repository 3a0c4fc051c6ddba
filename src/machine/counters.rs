#![allow(unsafe_code)]
//! Counts events of a program and all it starts, from its exec to its end (`perf_event_open`).
//!
//! The counters are opened on the thread that starts the program, switched off; what it starts inherits them and
//! switches them on at its exec. So there is no step between fork and exec, and we ourselves are not counted. What
//! cannot be counted is none, with the reason and what mends it; nothing here ever fails.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};

use super::kernel::Kernel;
use crate::model::{EVENTS, PerfEvent};

/// What one event came to in one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    /// Scaled to the whole run.
    pub value: Option<f64>,
    /// Part of the run in which it was counted, %.
    pub pcnt_running: Option<f64>,
    /// Why there is none, or what is not in it.
    pub note: Option<String>,
}

/// Counters that are open.
pub struct Counting(Vec<(String, Counter)>);

struct Counter {
    file: Option<File>,
    note: Option<String>,
}

impl Counting {
    /// Opens them for what the calling thread starts from now on.
    pub fn begin(names: &[String]) -> Self {
        Self::with(names, &Kernel::here(), open)
    }

    fn with(
        names: &[String],
        kernel: &Kernel,
        mut open: impl FnMut(u32, u64, bool) -> io::Result<OwnedFd>,
    ) -> Self {
        let mut counter = |name: &String| {
            let Some(event) = EVENTS.iter().find(|event| event.name == name.as_str()) else {
                return Counter { file: None, note: Some(format!("there is no event `{name}`")) };
            };
            let (file, note) = match open(event.kind, event.config, false) {
                Ok(fd) => (Some(fd), None),
                Err(error) if is_forbidden(&error) && happens_in_user_mode(event) => {
                    match open(event.kind, event.config, true) {
                        Ok(fd) => (Some(fd), Some(format!("in user mode only: {}", paranoid(kernel, 1)))),
                        Err(error) => (None, Some(why(&error, event, kernel))),
                    }
                }
                Err(error) => (None, Some(why(&error, event, kernel))),
            };
            Counter { file: file.map(File::from), note }
        };
        Self(names.iter().map(|name| (name.clone(), counter(name))).collect())
    }

    /// What was counted, now that nothing runs any more.
    pub fn end(self) -> Vec<(String, Count)> {
        let counts = self.0.into_iter().map(|(name, Counter { file, note })| {
            let count = match file.map(read) {
                None => Count { note, ..Count::default() },
                Some(Ok([value, enabled, running])) => scaled(value, enabled, running, note),
                Some(Err(error)) => {
                    Count { note: Some(format!("it could not be read: {error}")), ..Count::default() }
                }
            };
            (name, count)
        });
        counts.collect()
    }
}

fn read(mut file: File) -> io::Result<[u64; 3]> {
    let mut bytes = [0; 24];
    file.read_exact(&mut bytes)?;
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at * 8..][..8]);
        u64::from_ne_bytes(word)
    };
    Ok([word(0), word(1), word(2)])
}

/// The processor has fewer counters than were asked for: they take turns, and each is told for the whole time.
fn scaled(value: u64, enabled: u64, running: u64, note: Option<String>) -> Count {
    if running == 0 {
        let never = match enabled {
            0 => "it never began: the program was not started by exec",
            _ => "the processor had no counter free for it: ask for fewer events at a time",
        };
        return Count { value: None, pcnt_running: Some(0.0), note: Some(never.into()) };
    }
    let part = running as f64 / enabled.max(running) as f64;
    Count { value: Some(value as f64 / part), pcnt_running: Some(100.0 * part), note }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

/// Switches and migrations are the kernel's doing: in user mode there are none.
fn happens_in_user_mode(event: &PerfEvent) -> bool {
    !["context-switches", "cpu-migrations"].contains(&event.name)
}

fn paranoid(kernel: &Kernel, allowed: i32) -> String {
    match kernel.value::<i32>("proc/sys/kernel/perf_event_paranoid") {
        Some(level) if level > allowed => format!(
            "kernel.perf_event_paranoid is {level}: `sysctl kernel.perf_event_paranoid={allowed}` (root)"
        ),
        Some(level) => {
            format!("the system forbids it although kernel.perf_event_paranoid is {level} (a container?)")
        }
        None => "this kernel was built without performance events".into(),
    }
}

fn why(error: &io::Error, event: &PerfEvent, kernel: &Kernel) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => paranoid(kernel, if happens_in_user_mode(event) { 2 } else { 1 }),
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => {
            "this processor does not count it, or the virtual machine hides that".into()
        }
        Some(libc::ENOSYS) => "this kernel, or the container, has no performance events".into(),
        _ => error.to_string(),
    }
}

/// `struct perf_event_attr` in its first form, which every kernel knows.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    address: u64,
}

const DISABLED: u64 = 1;
const INHERIT: u64 = 1 << 1;
const EXCLUDE_KERNEL: u64 = 1 << 5;
const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
const ENABLE_ON_EXEC: u64 = 1 << 12;
/// With the value come the times it was wanted and had.
const TIMES: u64 = 1 | 1 << 1;
const CLOSE_ON_EXEC: libc::c_ulong = 8;

fn open(kind: u32, config: u64, user_only: bool) -> io::Result<OwnedFd> {
    let mut flags = DISABLED | INHERIT | ENABLE_ON_EXEC;
    if user_only {
        flags |= EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR;
    }
    let size = size_of::<Attributes>() as u32;
    let attributes = Attributes { kind, size, config, read_format: TIMES, flags, ..Attributes::default() };
    // This thread, on whichever CPU, in no group.
    let (pid, cpu, group): (libc::pid_t, libc::c_int, libc::c_int) = (0, -1, -1);
    // SAFETY: the attributes outlive the call, which reads as many bytes of them as they say.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attributes, pid, cpu, group, CLOSE_ON_EXEC)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::kernel::recorded;
    use super::*;

    fn answer(words: [u64; 3]) -> OwnedFd {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        File::from(theirs).write_all(&words.map(u64::to_ne_bytes).concat()).unwrap();
        ours
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn counted(level: &str, name: &str, open: impl FnMut(u32, u64, bool) -> io::Result<OwnedFd>) -> Count {
        let (_folder, kernel) = recorded(&[("proc/sys/kernel/perf_event_paranoid", level)]);
        Counting::with(&names(&[name]), &kernel, open).end().remove(0).1
    }

    fn os(code: i32) -> io::Result<OwnedFd> {
        Err(io::Error::from_raw_os_error(code))
    }

    #[test]
    fn attributes_are_as_long_as_the_first_kernel_had_them() {
        assert_eq!(size_of::<Attributes>(), 64);
    }

    #[test]
    fn hardware_that_takes_turns_is_scaled_and_says_so() {
        let count = counted("1", "instructions", |kind, config, user_only| {
            assert_eq!((kind, config, user_only), (0, 1, false));
            Ok(answer([500, 1000, 250]))
        });
        assert_eq!(count, Count { value: Some(2000.0), pcnt_running: Some(25.0), note: None });
        let never = counted("1", "cycles", |_, _, _| Ok(answer([0, 1000, 0])));
        assert_eq!((never.value, never.pcnt_running), (None, Some(0.0)));
        assert!(never.note.unwrap().contains("no counter free"));
    }

    #[test]
    fn what_is_forbidden_in_the_kernel_is_counted_in_user_mode_with_a_note() {
        let only_user = |_, _, user_only| if user_only { Ok(answer([7, 9, 9])) } else { os(libc::EACCES) };
        let count = counted("2", "cycles", only_user);
        assert_eq!(count.value, Some(7.0));
        assert!(count.note.unwrap().ends_with("`sysctl kernel.perf_event_paranoid=1` (root)"));
        // In user mode there is no switch: that would be a 0 that says nothing.
        let count = counted("2", "context-switches", only_user);
        assert!(count.value.is_none() && count.note.unwrap().contains("kernel.perf_event_paranoid is 2"));
    }

    #[test]
    fn what_is_absent_is_none_and_says_why() {
        for (code, text) in [
            (libc::EPERM, "kernel.perf_event_paranoid is 3: `sysctl kernel.perf_event_paranoid=2` (root)"),
            (libc::ENOENT, "this processor does not count it, or the virtual machine hides that"),
            (libc::ENOSYS, "this kernel, or the container, has no performance events"),
        ] {
            let count = counted("3", "cycles", |_, _, _| os(code));
            assert_eq!((count.value, count.note.as_deref()), (None, Some(text)));
        }
        assert!(counted("1", "cicles", |_, _, _| os(1)).note.unwrap().contains("no event `cicles`"));
    }
}
