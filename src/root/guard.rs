//! A thread that watches the few calls that may block for ever (MPI's spawn, disconnect and finalize): when
//! one takes too long it prints the reason and ends the process.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::process;

/// Exit code when a start hangs (see `cli::exit`).
type Code = i32;

enum Word {
    Watch { until: Instant, reason: String, code: Code },
    Done,
}

/// The watcher; dropping it ends its thread.
pub struct Guard {
    words: Sender<Word>,
}

impl Guard {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Self> {
        let (words, heard) = channel();
        thread::Builder::new().name("guard".into()).stack_size(64 * 1024).spawn(move || listen(&heard))?;
        Ok(Self { words })
    }

    /// Runs `action`; if it takes longer than `limit` prints `reason` and ends the process with `code`.
    pub fn watch<T>(
        &self,
        limit: Duration,
        code: Code,
        reason: impl Into<String>,
        action: impl FnOnce() -> T,
    ) -> T {
        let until = Instant::now() + limit;
        // The thread lives as long as `self`: a send cannot fail while we are here.
        let _ = self.words.send(Word::Watch { until, reason: reason.into(), code });
        let result = action();
        let _ = self.words.send(Word::Done);
        result
    }
}

fn listen(heard: &Receiver<Word>) {
    while let Ok(word) = heard.recv() {
        let Word::Watch { until, reason, code } = word else { continue };
        let left = until.saturating_duration_since(Instant::now());
        match heard.recv_timeout(left) {
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("harness: {reason}");
                // The main thread is stuck inside MPI, and MPI's exit handlers would be too. Our processes on
                // all nodes notice that the root is gone and end.
                process::exit_now(code);
            }
        }
    }
}
