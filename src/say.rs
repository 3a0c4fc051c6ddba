//! A line for people on standard error, from whichever process of ours.
//!
//! Standard error may be a full disk, a closed terminal or a pipe that nobody reads: none of that may end or
//! stop a campaign. A line that cannot be written is dropped. (`eprintln!` panics instead; the test `layers`
//! keeps it out.) What must never wait, the root's driver above all, posts its lines: a thread writes them. It
//! never touches standard output, which belongs to the campaign's script.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// What may wait to be written (bytes); a single text may be longer.
const MOST: usize = 1 << 20;

/// Writes `text` and a newline to standard error, in one piece: several processes share it. Waits for whoever
/// reads there.
pub fn say(text: impl Display) {
    // There is nobody left to be told of a failure.
    let _ = std::io::stderr().write_all(line(text).as_bytes());
}

/// The same without waiting, in the order of the posts. What nobody reads in time is dropped, and how much that
/// was is said when somebody reads again.
pub fn post(text: impl Display) {
    match queue() {
        Some(queue) => queue.put(line(text)),
        None => say(text), // no thread to be had
    }
}

/// Waits until everything posted is written; gives up when for `patience` nothing was. Did it get there?
pub fn flush(patience: Duration) -> bool {
    queue().is_none_or(|queue| queue.flush(patience))
}

fn line(text: impl Display) -> String {
    format!("{text}\n")
}

/// The one of this process, begun when it is first needed.
fn queue() -> Option<&'static Queue> {
    static QUEUE: OnceLock<Option<Queue>> = OnceLock::new();
    QUEUE.get_or_init(|| Queue::start(std::io::stderr()).ok()).as_ref()
}

/// Lines on their way to a thread that writes them.
struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    /// There is something to write.
    more: Condvar,
    /// Something was written.
    written: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<String>,
    /// Bytes of those.
    size: usize,
    /// Dropped since the last one that was taken.
    dropped: usize,
    /// Is one being written?
    busy: bool,
    /// Lines written so far.
    count: u64,
}

impl Queue {
    fn start(sink: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        std::thread::Builder::new().name("lines".into()).spawn(move || theirs.write(sink))?;
        Ok(Self(shared))
    }

    fn put(&self, line: String) {
        let mut lines = self.0.lock();
        if lines.size > 0 && lines.size + line.len() > MOST {
            lines.dropped += 1;
            return;
        }
        lines.size += line.len();
        lines.waiting.push_back(line);
        self.0.more.notify_one();
    }

    fn flush(&self, patience: Duration) -> bool {
        let mut lines = self.0.lock();
        while !lines.is_idle() {
            let before = lines.count;
            let stands = |lines: &mut Lines| lines.count == before;
            let waited = self.0.written.wait_timeout_while(lines, patience, stands);
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return false;
            }
            lines = now;
        }
        true
    }
}

impl Shared {
    /// Writes what comes, for as long as the process lives.
    fn write(&self, mut sink: impl Write) {
        let mut lines = self.lock();
        loop {
            let Some(line) = lines.take() else {
                lines = self.more.wait(lines).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            lines.busy = true;
            drop(lines);
            let _ = sink.write_all(line.as_bytes());
            lines = self.lock();
            lines.busy = false;
            lines.count += 1;
            self.written.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn is_idle(&self) -> bool {
        !self.busy && self.waiting.is_empty() && self.dropped == 0
    }

    /// The next line. How many were dropped is said after what was posted before them.
    fn take(&mut self) -> Option<String> {
        if let Some(line) = self.waiting.pop_front() {
            self.size -= line.len();
            return Some(line);
        }
        let dropped = std::mem::take(&mut self.dropped);
        let plural = if dropped == 1 { "line is" } else { "lines are" };
        (dropped > 0)
            .then(|| line(format_args!("harness: {dropped} {plural} missing here: nobody read them")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Longer than any wait that succeeds.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_come_in_order_and_a_flush_waits_for_them() {
        let (mut read, write) = std::io::pipe().unwrap();
        let queue = Queue::start(write).unwrap();
        queue.put(line("one"));
        queue.put(line("two"));
        assert!(queue.flush(LONG));
        let mut text = [0; 8];
        read.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"one\ntwo\n");
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_not_read_and_what_was_dropped_is_counted() {
        let (read, write) = std::io::pipe().unwrap();
        let queue = Queue::start(write).unwrap();
        let long = line("x".repeat(1023));
        let (fits, all) = (MOST / 1024, 2 * MOST / 1024);
        for _ in 0..all {
            queue.put(long.clone());
        }
        assert!(!queue.flush(Duration::from_millis(1)), "nobody has read");
        let reader = std::thread::spawn(move || {
            let lines = std::io::BufRead::lines(std::io::BufReader::new(read)).map(|line| line.unwrap());
            let mut whole = 0;
            for line in lines {
                let Some(rest) = line.strip_prefix("harness: ") else {
                    whole += 1;
                    continue;
                };
                return (whole, rest.split(' ').next().unwrap().parse::<usize>().unwrap());
            }
            panic!("the count of dropped lines never came");
        });
        assert!(queue.flush(LONG));
        let (whole, dropped) = reader.join().unwrap();
        assert!(whole >= fits && dropped > 0, "{whole} written, {dropped} dropped");
        assert_eq!(whole + dropped, all);
    }
}
