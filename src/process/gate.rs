//! Decides which calls in a slot's pipe may still be taken back, and which is to stop: memory that worker and slot share. Some of it
//! is there for when the slot has ended.
//!
//! A worker puts several calls into a slot's pipe ahead of time. To take back those that have not begun it must not ask the slot,
//! which is busy in the user's code. So they share some words:
//!
//! * how far the slot has begun, and below which position calls are void. Each side changes it in one atomic step, so a call is
//!   either begun or taken back, never both;
//! * what is to stop. A signal only makes the slot look there, so one that comes late cannot hit the next call;
//! * may the slot stay awake for the next call?
//! * the note, text: in which foreign code the slot is, which may end the process;
//! * which of several calls that travel together runs, which may do so too;
//! * how much the slot has said: results of short calls leave together, and what was not sent when the process ended is sent then.
//!
//! Knows nothing of what a call is.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Words of the shared memory, in the order above; the first is `begun` (high half) and `void_below` (low half).
const WORDS: usize = 21;
/// The note: text, filled up with zero bytes.
const NOTE: std::ops::Range<usize> = 3..PLACE;
/// One more than the place of the call that runs among those that travel together; 0 where none of such does.
const PLACE: usize = SAID - 1;
/// The last word.
const SAID: usize = WORDS - 1;
/// So much of what a slot says outlives it (B).
pub const KEPT_BYTES: usize = 64 << 10;
/// Where that lies: behind the page of the words.
const KEPT: usize = 4 << 10;
/// Bytes of the shared memory.
const BYTES: usize = KEPT + KEPT_BYTES;
/// In the second word: the call whose position is the low half is to stop.
const STOP_CALL: u64 = 1 << 32;
/// In the second word: what comes before the first call is to stop.
const STOP_START: u64 = 2 << 32;

/// One side's view of the shared memory. Positions count the calls put into the pipe, from 0, and wrap.
#[derive(Debug)]
pub struct Gate {
    words: NonNull<[AtomicU64; WORDS]>,
}

// SAFETY: the memory is shared between processes to begin with and only touched atomically.
unsafe impl Send for Gate {}
// SAFETY: as above.
unsafe impl Sync for Gate {}

impl Gate {
    /// A new gate, and the descriptor to hand to the slot.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = memfd_create(c"harness-gate", MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, BYTES as u64)?;
        Ok((Self::map(&fd)?, fd))
    }

    /// The other side's view.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        if rustix::fs::fstat(&fd)?.st_size != BYTES as i64 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the descriptor is not a gate"));
        }
        Self::map(&fd)
    }

    fn map(fd: impl AsFd) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours.
        let start = unsafe {
            mmap(std::ptr::null_mut(), BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)?
        };
        NonNull::new(start.cast())
            .map(|words| Self { words })
            .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: mapped in `map`, page-aligned, unmapped only in `drop`; zero bytes are a valid value.
        unsafe { self.words.as_ref() }
    }

    fn word(&self) -> &AtomicU64 {
        &self.words()[0]
    }

    /// Worker: the call at this position is to stop, or with `None` what the slot does before its first call.
    pub fn stop(&self, position: Option<u32>) {
        self.words()[1].store(stop_word(position), Ordering::Release);
    }

    /// Slot: is it to stop?
    pub fn to_stop(&self, position: Option<u32>) -> bool {
        self.words()[1].load(Ordering::Acquire) == stop_word(position)
    }

    /// Worker: do calls come one by one, and is nothing measured, so that the slot may stay awake between them?
    pub fn set_awake(&self, awake: bool) {
        self.words()[2].store(awake.into(), Ordering::Relaxed);
    }

    /// Slot: may it?
    pub fn is_awake(&self) -> bool {
        self.words()[2].load(Ordering::Relaxed) != 0
    }

    /// Slot: it is in this foreign code now, or in none. What is too long is cut.
    pub fn set_note(&self, text: Option<&str>) {
        let mut bytes = text.unwrap_or_default().bytes();
        for word in &self.words()[NOTE] {
            let next = std::array::from_fn(|_| bytes.next().unwrap_or_default());
            word.store(u64::from_ne_bytes(next), Ordering::Release);
            if next == [0; 8] {
                break;
            }
        }
    }

    /// Worker: which foreign code the slot is in, or was in at its end.
    pub fn note(&self) -> Option<String> {
        let words = self.words()[NOTE].iter().flat_map(|word| word.load(Ordering::Acquire).to_ne_bytes());
        let bytes: Vec<u8> = words.take_while(|byte| *byte != 0).collect();
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Slot: of calls that travel together the one at this place runs now, from 0; or none of such.
    pub fn set_place(&self, place: Option<u32>) {
        self.words()[PLACE].store(place.map_or(0, |place| u64::from(place) + 1), Ordering::Release);
    }

    /// Worker: which of them runs, or ran at the slot's end.
    pub fn place(&self) -> Option<u32> {
        u32::try_from(self.words()[PLACE].load(Ordering::Acquire).checked_sub(1)?).ok()
    }

    /// Slot: says these bytes next, of which the first has number `at` of all that it ever says. The last [`KEPT_BYTES`] are kept.
    pub fn keep(&self, at: u64, bytes: &[u8]) {
        for (place, byte) in self.places(at).zip(bytes) {
            place.store(*byte, Ordering::Relaxed);
        }
        self.words()[SAID].store(at + bytes.len() as u64, Ordering::Release);
    }

    /// Worker: what it said from byte number `from` on. Whole if none of that is sent meanwhile; who wrote there may have been anybody.
    pub fn said_since(&self, from: u64) -> Vec<u8> {
        let end = self.words()[SAID].load(Ordering::Acquire);
        // What is more has been sent before it was said.
        let count = end.checked_sub(from).filter(|count| *count <= KEPT_BYTES as u64).unwrap_or_default();
        self.places(from).take(count as usize).map(|place| place.load(Ordering::Relaxed)).collect()
    }

    /// Where the bytes from this number on are kept.
    fn places(&self, at: u64) -> impl Iterator<Item = &AtomicU8> {
        let begin = (at % KEPT_BYTES as u64) as usize;
        self.kept()[begin..].iter().chain(&self.kept()[..begin])
    }

    fn kept(&self) -> &[AtomicU8; KEPT_BYTES] {
        // SAFETY: as `words`, and within the mapping behind them.
        unsafe { self.words.cast::<u8>().add(KEPT).cast().as_ref() }
    }

    /// Slot: may the call at `position` begin? From then on it cannot be taken back.
    pub fn begin(&self, position: u32) -> bool {
        self.change(
            |_, void_below| !before(position, void_below),
            |_, void_below| (position.wrapping_add(1), void_below),
        )
        .is_ok()
    }

    /// Worker: takes back all calls before position `sent` that have not begun, and returns the first of
    /// them: the calls at `returned..sent` will not run. Those taken back earlier are not named again.
    pub fn recall(&self, sent: u32) -> u32 {
        let (begun, void_below) = match self.change(|_, _| true, |begun, _| (begun, sent)) {
            Ok(old) | Err(old) => old,
        };
        if before(begun, void_below) { void_below } else { begun }
    }

    /// How many calls have begun: one more than the position of the last one that did.
    pub fn begun(&self) -> u32 {
        unpack(self.word().load(Ordering::Acquire)).0
    }

    /// Replaces both numbers in one step if `allowed`; gives the old ones either way.
    fn change(
        &self,
        allowed: impl Fn(u32, u32) -> bool,
        new: impl Fn(u32, u32) -> (u32, u32),
    ) -> Result<(u32, u32), (u32, u32)> {
        self.word()
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                let (begun, void_below) = unpack(word);
                allowed(begun, void_below).then(|| pack(new(begun, void_below)))
            })
            .map(unpack)
            .map_err(unpack)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length; `self` was the only way to it. A failure leaks the mapping.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), BYTES) };
    }
}

/// Is `a` before `b`, when both wrap? Holds as long as fewer than 2^31 calls wait.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

fn stop_word(position: Option<u32>) -> u64 {
    position.map_or(STOP_START, |position| STOP_CALL | u64::from(position))
}

fn pack((begun, void_below): (u32, u32)) -> u64 {
    u64::from(begun) << 32 | u64::from(void_below)
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_stays_and_the_rest_is_taken_back() {
        let (worker, fd) = Gate::create().unwrap();
        let slot = Gate::open(fd).unwrap();
        assert!(slot.begin(0) && slot.begin(1));
        assert_eq!((worker.begun(), worker.recall(5)), (2, 2));
        assert!(!slot.begin(2) && !slot.begin(4));
        assert_eq!(worker.begun(), 2);
        assert_eq!(worker.recall(7), 5, "2..5 were taken back before");
        assert!(slot.begin(7));
        assert_eq!(worker.begun(), 8);
    }

    #[test]
    fn a_slot_is_awake_as_long_as_its_worker_says_so() {
        let (worker, fd) = Gate::create().unwrap();
        let slot = Gate::open(fd).unwrap();
        assert!(!slot.is_awake());
        worker.set_awake(true);
        slot.set_note(Some("libm.so: cos"));
        assert!(slot.is_awake() && slot.begin(0));
        worker.set_awake(false);
        assert!(!slot.is_awake());
        assert_eq!(worker.note().as_deref(), Some("libm.so: cos"));
    }

    #[test]
    fn positions_wrap() {
        let (gate, _fd) = Gate::create().unwrap();
        let start = u32::MAX - 1;
        gate.word().store(pack((start, start)), Ordering::Release);
        assert!(gate.begin(start));
        assert_eq!(gate.recall(start.wrapping_add(4)), u32::MAX);
        assert!(!gate.begin(u32::MAX) && !gate.begin(1));
        assert!(gate.begin(2));
    }

    #[test]
    fn each_call_is_begun_or_taken_back_never_both() {
        let (worker, fd) = Gate::create().unwrap();
        let slot = Gate::open(fd).unwrap();
        const CALLS: u32 = 20_000;
        let ran = std::thread::spawn(move || (0..CALLS).filter(|&at| slot.begin(at)).collect::<Vec<_>>());
        let mut void = vec![false; CALLS as usize];
        for sent in 1..CALLS {
            for position in worker.recall(sent)..sent {
                assert!(!std::mem::replace(&mut void[position as usize], true), "{position} named twice");
            }
        }
        for position in ran.join().unwrap() {
            assert!(
                !std::mem::replace(&mut void[position as usize], true),
                "{position} ran and was taken back"
            );
        }
        assert!(void.iter().all(|done| *done));
    }

    #[test]
    fn only_what_is_named_is_to_stop() {
        let (worker, fd) = Gate::create().unwrap();
        let slot = Gate::open(fd).unwrap();
        assert!(!slot.to_stop(None) && !slot.to_stop(Some(0)));
        worker.stop(None);
        assert!(slot.to_stop(None) && !slot.to_stop(Some(0)));
        worker.stop(Some(0));
        assert!(slot.to_stop(Some(0)) && !slot.to_stop(Some(1)) && !slot.to_stop(None));
    }

    #[test]
    fn the_note_is_what_was_said_last() {
        let (worker, fd) = Gate::create().unwrap();
        let slot = Gate::open(fd).unwrap();
        assert_eq!(worker.note(), None);
        let long = "x".repeat(1000);
        for text in ["dot of libx.so", "f", "eight of", &long[..NOTE.len() * 8]] {
            slot.set_note(Some(text));
            assert_eq!(worker.note().as_deref(), Some(text));
        }
        slot.set_note(Some(&long));
        assert_eq!(worker.note().unwrap().len(), NOTE.len() * 8);
        slot.set_note(None);
        assert_eq!(worker.note(), None);
    }

    #[test]
    fn the_place_of_the_call_that_runs_is_known() {
        let (worker, fd) = Gate::create().unwrap();
        let slot = Gate::open(fd).unwrap();
        for place in [None, Some(0), Some(u32::MAX), None] {
            slot.set_place(place);
            assert_eq!(worker.place(), place);
        }
    }

    #[test]
    fn what_was_said_last_is_there_when_the_slot_has_ended() {
        let (worker, fd) = Gate::create().unwrap();
        let slot = Gate::open(fd).unwrap();
        let text: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let mut at = 0;
        for length in [0, 1, 5000, KEPT_BYTES, 60_000, 7, 60_000] {
            slot.keep(at as u64, &text[at..at + length]);
            at += length;
            for received in [at.saturating_sub(KEPT_BYTES), at.saturating_sub(1000), at] {
                assert_eq!(worker.said_since(received as u64), text[received..at], "{received} of {at}");
            }
        }
        assert_eq!(worker.said_since(at as u64 + 1), [0; 0], "it was sent and not kept");
        assert_eq!(worker.said_since(0), [0; 0], "never so much at once");
        slot.keep(at as u64 + 70_000, b"more");
        assert_eq!(worker.said_since(at as u64 + 70_000), b"more");
    }

    #[test]
    fn a_descriptor_that_is_no_gate_is_refused() {
        assert!(Gate::open(memfd_create(c"x", MemfdFlags::CLOEXEC).unwrap()).is_err());
    }
}
