#![allow(unsafe_code)]
//! A signal that makes one thread of a process look up from its work: how a slot is told that what it runs is
//! to stop. It costs nothing until it comes.
//!
//! SIGURG, because nobody dies of it: where no handler is set, in a program just started or in a library that
//! resets signals, it is ignored. Knows nothing of what the thread does then.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use rustix::process::{Signal, pidfd_send_signal};

/// The thread that is meant and what it does. Set once, before the signal can come.
static LISTENER: OnceLock<(libc::pthread_t, fn())> = OnceLock::new();

/// From now on the signal calls `look` on the calling thread, whichever thread the kernel picks for it. `look`
/// does only what a signal handler may.
pub fn listen_for_stop(look: fn()) -> io::Result<()> {
    // SAFETY: it only names the calling thread.
    let this = unsafe { libc::pthread_self() };
    LISTENER.get_or_init(|| (this, look));
    // SAFETY: an all-zero action is a valid one: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_signal as extern "C" fn(c_int) as usize;
    // What a C library waits for in the kernel goes on: it may not expect to be interrupted.
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the action is valid and the handler does only what it may.
    match unsafe { libc::sigaction(libc::SIGURG, &action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_signal(signal: c_int) {
    let Some((thread, look)) = LISTENER.get() else { return };
    // SAFETY: both may be called in a handler; the thread is the one that runs all of the process's life.
    unsafe {
        if libc::pthread_equal(libc::pthread_self(), *thread) != 0 {
            look();
        } else {
            libc::pthread_kill(*thread, signal);
        }
    }
}

/// Sends the signal to the process behind this descriptor.
pub fn tell_to_stop(pidfd: impl AsFd) {
    // It fails only if the process has ended, and then nothing is left to stop.
    let _ = pidfd_send_signal(pidfd, Signal::URG);
}
