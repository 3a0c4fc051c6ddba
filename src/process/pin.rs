#![allow(unsafe_code)]
//! On which CPUs a thread runs and where its memory comes from: what it starts inherits both.
//!
//! So a program is pinned without a step between fork and exec: who starts it stands on the program's CPUs for that
//! moment. Raw system calls, because the library's sets end at 1024 CPUs.

use std::collections::BTreeSet;
use std::io;

use rustix::process::Pid;

const WORD: usize = u64::BITS as usize;
/// Not a preference: memory from elsewhere is an error, not a surprise.
const MPOL_BIND: libc::c_int = 2;
const MPOL_DEFAULT: libc::c_int = 0;

/// Keeps the calling thread, or the first thread of another process, on these CPUs.
pub fn run_on(cpus: &BTreeSet<u32>, process: Option<Pid>) -> io::Result<()> {
    let mask = mask(cpus);
    let pid = process.map_or(0, Pid::as_raw_pid);
    // SAFETY: the mask outlives the call, which reads as many bytes of it as it has.
    let done =
        unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(&mask[..]), mask.as_ptr()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// New memory of the calling thread, and of what it starts, comes from this NUMA node; from anywhere if none.
pub fn take_memory_of(node: Option<u32>) -> io::Result<()> {
    let mask = mask(&node.into_iter().collect());
    let (mode, bits) = match node {
        // The kernel takes one bit less than it is told.
        Some(_) => (MPOL_BIND, mask.len() * WORD + 1),
        None => (MPOL_DEFAULT, 0),
    };
    // SAFETY: the mask outlives the call, which reads as many bits of it as there are.
    let done = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask.as_ptr(), bits) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn mask(set: &BTreeSet<u32>) -> Vec<u64> {
    let words = set.last().map_or(1, |last| *last as usize / WORD + 1);
    let mut mask = vec![0; words];
    for &at in set {
        mask[at as usize / WORD] |= 1 << (at as usize % WORD);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_bits_of_its_set() {
        assert_eq!(mask(&[0, 3, 64, 2000].into())[..2], [0b1001, 1]);
        assert_eq!(mask(&[2000].into()).len(), 2000 / 64 + 1);
        assert_eq!(mask(&BTreeSet::new()), [0]);
    }

    #[test]
    fn a_thread_stays_where_it_was_told_and_cpus_that_are_not_there_are_an_error() {
        let own = || rustix::thread::sched_getaffinity(None).unwrap();
        let before = own();
        let first = (0..1024).find(|cpu| before.is_set(*cpu)).unwrap();
        run_on(&[first as u32].into(), None).unwrap();
        assert_eq!(own().count(), 1);
        assert!(run_on(&[1 << 20].into(), None).is_err());
        let all: BTreeSet<u32> = (0..1024).filter(|cpu| before.is_set(*cpu)).map(|cpu| cpu as u32).collect();
        run_on(&all, None).unwrap();
        assert_eq!(own(), before);
    }
}
