#![allow(unsafe_code)]
//! How much memory this process has, because what it starts is shown with it.
//!
//! The kernel begins a program's `ru_maxrss` with the largest this process ever was by then. So who starts what is
//! measured keeps small, and forgets what it was before. Knows nothing of programs and what becomes of the figures.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Larger blocks go back to the system as soon as they are free (B).
const KEPT_BLOCK: i32 = 128 * 1024;
/// Said to `clear_refs`: the peak is as large as the process is now (proc(5)).
const FORGET_PEAK: &[u8] = b"5";

/// The memory of this process, looked at often.
#[derive(Debug)]
pub struct Footprint {
    clear_refs: Option<File>,
    statm: Option<File>,
}

impl Footprint {
    /// That of this process.
    pub fn open() -> Self {
        let clear_refs = File::options().write(true).open("/proc/self/clear_refs").ok();
        Self { clear_refs, statm: File::open("/proc/self/statm").ok() }
    }

    /// Forgets how large it was before. What it has now, B: what is started next is shown with at least this. The
    /// largest it ever was where the kernel forgets nothing, 0 where it says nothing.
    pub fn forget_peak(&self) -> u64 {
        let forgotten = self.clear_refs.as_ref().is_some_and(|file| file.write_at(FORGET_PEAK, 0).is_ok());
        if forgotten { self.resident().unwrap_or(0) } else { peak().unwrap_or(0) }
    }

    fn resident(&self) -> Option<u64> {
        let mut text = [0; 128];
        let got = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        let pages = std::str::from_utf8(&text[..got]).ok()?.split_whitespace().nth(1)?;
        // SAFETY: asks for a constant.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Some(pages.parse::<u64>().ok()? * u64::try_from(page_bytes).ok()?)
    }
}

fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// From now on memory that is free goes back to the system, whatever its threads do.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: both only set parameters of the allocator; one that it does not know it refuses.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BLOCK);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BLOCK);
    }
}

/// Gives back the memory of code that has run: what runs again is there again at once, from the kernel's cache.
pub fn give_code_back() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (begin, end) in maps.lines().filter_map(as_in_its_file) {
        // SAFETY: a private mapping of a file that is never written to has nothing but what is in the file, so
        // that its pages may go at any time and come back the same.
        unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED) };
    }
}

/// Where this line of `maps` has code, or the constants at the beginning of a file. What follows them may have been
/// filled in by the loader before it became read-only.
fn as_in_its_file(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_whitespace();
    let (range, access, offset) = (words.next()?, words.next()?, words.next()?);
    let path = words.nth(2)?;
    let (begin, end) = range.split_once('-')?;
    let range = (usize::from_str_radix(begin, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let unchanged = access == "r-xp" || access == "r--p" && offset.bytes().all(|digit| digit == b'0');
    (unchanged && path.starts_with('/')).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_in_its_file_is_given_back() {
        let code = "7f00a000-7f00c000 r-xp 00001000 fe:00 42                       /usr/lib/libc.so.6";
        assert_eq!(as_in_its_file(code), Some((0x7f00_a000, 0x7f00_c000)));
        let constants = code.replace("r-xp 00001000", "r--p 00000000");
        assert_eq!(as_in_its_file(&constants), Some((0x7f00_a000, 0x7f00_c000)));
        for other in [
            "7f00a000-7f00c000 r--p 00001000 fe:00 42                       /usr/lib/libc.so.6",
            "7f00a000-7f00c000 rwxp 00001000 fe:00 42                       /usr/lib/jit.so",
            "7ffd1000-7ffd3000 r-xp 00000000 00:00 0                          [vdso]",
            "7f00a000-7f00c000 r-xp 00000000 00:00 0 ",
            "",
        ] {
            assert_eq!(as_in_its_file(other), None, "{other}");
        }
        give_code_back(); // and all goes on
        assert!(Footprint::open().forget_peak() > 0);
    }
}
