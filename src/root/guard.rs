//! A thread that watches the few calls that may block for ever (MPI's spawn and disconnect, the end of the journal): when
//! one takes too long it prints the reason and ends the process.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::progress::Display;
use crate::process;
use crate::say;

/// Exit code when a start hangs (see `cli::exit`).
type Code = i32;

/// So long a reader of standard error may take; then the process ends unheard.
const LAST_WORDS: Duration = Duration::from_millis(500);

enum Word {
    Watch { until: Instant, reason: String, code: Code },
    Done,
}

/// The watcher; dropping it ends its thread.
pub struct Guard {
    words: Sender<Word>,
}

impl Guard {
    /// Starts the thread. `display` is closed before the last words, which would be lost behind it.
    pub fn start(display: Option<Arc<dyn Display>>) -> std::io::Result<Self> {
        let (words, heard) = channel();
        thread::Builder::new().name("guard".into()).stack_size(256 * 1024).spawn(move || {
            listen(&heard, display.as_deref());
        })?;
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

fn listen(heard: &Receiver<Word>, display: Option<&dyn Display>) {
    while let Ok(word) = heard.recv() {
        let Word::Watch { until, reason, code } = word else { continue };
        let left = until.saturating_duration_since(Instant::now());
        match heard.recv_timeout(left) {
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                // The main thread is stuck inside MPI, and MPI's exit handlers would be too.
                end_at_once(code, &reason, display);
            }
        }
    }
}

/// Says why and ends the process with `code`: at once, whatever disk, MPI or the reader of standard error do. Our
/// processes on all nodes notice that the root is gone, and end with all they started.
pub(super) fn end_at_once(code: Code, reason: &str, display: Option<&dyn Display>) -> ! {
    process::exit_within(LAST_WORDS, code);
    if let Some(display) = display {
        display.close();
    }
    say::post(format_args!("harness: {reason}"));
    say::flush(LAST_WORDS);
    process::exit_now(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VICTIM: &str = "HARNESS_TEST_GUARDED";

    /// Only when it is started by the test below: waits for ever under the guard, as one does for a dead file system.
    #[test]
    fn waits_for_ever() {
        if std::env::var_os(VICTIM).is_none() {
            return;
        }
        let guard = Guard::start(None).unwrap();
        guard.watch(Duration::from_millis(50), 4, "the journal does not answer", || {
            loop {
                thread::park();
            }
        })
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "starts itself, to be ended by the guard")]
    fn what_takes_too_long_ends_the_process_with_its_reason() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "root::guard::tests::waits_for_ever", "--nocapture"]).env(VICTIM, "1");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(4));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("harness: the journal does not answer\n"), "{stderr}");
        // Nobody to read the reason is no reason to go on waiting.
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(command.stderr(full).output().unwrap().status.code(), Some(4));
    }
}
