//! Where memory comes from: the system's allocator, and for what is large the kernel is asked for large pages.
//!
//! A message of 64 MiB is 16 000 pages of 4 KiB, and touching them for the first time costs five times what copying it
//! does. Only whole pages of 2 MiB that lie within what was asked for are such; but the advice is about all of it, for the
//! system moves a mapping of one kind elsewhere when it grows, and copies one of two.
//!
//! Where the system refuses memory Rust aborts, and so does Lua below mlua; where a thread gets none to begin with, it panics or libc
//! aborts. The root says what to do then ([`end_without_memory`]).
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Less is left in small pages (B).
const LARGE: usize = 4 << 20;

/// With which exit code the process ends that aborts for want of memory; 0: it is not the root.
static CODE: AtomicI32 = AtomicI32::new(0);
/// Memory was refused: if the process aborts now it is for that.
static REFUSED: AtomicBool = AtomicBool::new(false);
/// With less left than this no thread can begin: what ends the process then ends it for want of memory (B).
const LEAST: usize = 256 << 10;
/// Its last words. Nothing can be made for them any more.
const LAST_WORDS: &str = "harness: the system refuses memory: raise `ulimit -d` and `ulimit -v`, or keep and queue less \
                          (--most-queued); what was reported is in the journal\n";

/// From now on this process says what to do, and ends with `code`, where it would abort for want of memory.
pub fn end_without_memory(code: u8) {
    CODE.store(code.into(), Ordering::Relaxed);
    let handler = on_abort as extern "C" fn(libc::c_int);
    // SAFETY: the handler does nothing that may not be done in one.
    unsafe { libc::signal(libc::SIGABRT, handler as libc::sighandler_t) };
}

/// The same for a panic, if that is why.
pub fn end_if_memory_is_short() {
    let code = CODE.load(Ordering::Relaxed);
    if code != 0 && is_short() {
        end(code);
    }
}

fn end(code: libc::c_int) -> ! {
    // SAFETY: a static text; the process ends here, without what runs at exit.
    unsafe {
        libc::write(libc::STDERR_FILENO, LAST_WORDS.as_ptr().cast(), LAST_WORDS.len());
        libc::_exit(code)
    }
}

/// Not all memory comes from the allocator: the kernel is asked.
fn is_short() -> bool {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a mapping of its own, which is gone before anybody knows of it.
    unsafe {
        let probe = libc::mmap(std::ptr::null_mut(), LEAST, access, kind, -1, 0);
        probe == libc::MAP_FAILED || libc::munmap(probe, LEAST) != 0
    }
}

/// All else that aborts ends as without this.
extern "C" fn on_abort(signal: libc::c_int) {
    if REFUSED.load(Ordering::Relaxed) || is_short() {
        end(CODE.load(Ordering::Relaxed));
    }
    // SAFETY: both may be called here; the signal is delivered once this returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// See the module.
pub struct LargePages;

// SAFETY: all memory is the system allocator's, which is called with what the caller promised; advice changes neither
// what memory holds nor whose it is.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        advised(given(|| unsafe { System.alloc(layout) }), layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        advised(given(|| unsafe { System.alloc_zeroed(layout) }), layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        advised(given(|| unsafe { System.realloc(memory, layout, size) }), size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Memory, if there is some: at the root also what was freed before, which counts as taken until it is given back.
fn given(take: impl Fn() -> *mut u8) -> *mut u8 {
    let memory = take();
    if !memory.is_null() || CODE.load(Ordering::Relaxed) == 0 {
        return memory;
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: gives free memory back, whoever else allocates meanwhile.
    unsafe {
        libc::malloc_trim(0)
    };
    let memory = take();
    REFUSED.store(memory.is_null(), Ordering::Relaxed);
    memory
}

/// The same memory, advised to be in large pages where it is large.
fn advised(memory: *mut u8, size: usize) -> *mut u8 {
    if size >= LARGE && !memory.is_null() {
        // SAFETY: it only answers.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let begin = memory.addr() / page * page;
        let length = (memory.addr() + size).next_multiple_of(page) - begin;
        // SAFETY: advice; the pages at both ends may be others' too, to whom it makes no difference.
        unsafe { libc::madvise(memory.with_addr(begin).cast(), length, libc::MADV_HUGEPAGE) };
    }
    memory
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    /// Pages this thread was given so far.
    fn faults() -> i64 {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: it is filled, and zeros are one.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
            usage.assume_init()
        };
        usage.ru_minflt
    }

    /// A copy would take as many pages again: 32 large ones, or 16 384.
    #[test]
    #[cfg(target_env = "gnu")]
    fn what_is_large_is_not_copied_to_become_larger_or_smaller() {
        let mut memory = vec![7_u8; 64 << 20];
        let before = faults();
        memory.reserve(1);
        memory.push(8);
        memory.shrink_to_fit();
        assert!(faults() - before < 8, "{}", faults() - before);
        assert_eq!((memory[0], memory.pop()), (7, Some(8)));
    }
}
