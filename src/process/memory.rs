//! Where memory comes from: the system's allocator, and for what is large the kernel is asked for large pages.
//!
//! A message of 64 MiB is 16 000 pages of 4 KiB, and touching them for the first time costs five times what copying it
//! does. Nobody is given more than was asked for: a page is 2 MiB, and what is large is at least twice that.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

/// Less is left in small pages (B).
const LARGE: usize = 4 << 20;
/// A large page (B), on the machines there are; elsewhere the advice is about a part of it.
const PAGE: usize = 2 << 20;

/// See the module.
pub struct LargePages;

// SAFETY: all memory is the system allocator's, which is called with what the caller promised; advice changes neither
// what memory holds nor whose it is.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        advised(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        advised(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        advised(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The same memory, whole large pages of it advised to be such where it is large.
fn advised(memory: *mut u8, size: usize) -> *mut u8 {
    if size >= LARGE && !memory.is_null() {
        let begin = memory.addr().next_multiple_of(PAGE);
        let length = (memory.addr() + size - begin) / PAGE * PAGE;
        // SAFETY: the range lies within what was allocated. Where the kernel has no large pages it refuses.
        unsafe { libc::madvise(memory.with_addr(begin).cast(), length, libc::MADV_HUGEPAGE) };
    }
    memory
}
