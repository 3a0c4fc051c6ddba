//! A thread that watches the few calls that may block for ever (MPI's spawn and disconnect, the end of the journal): when
//! one takes too long it prints the reason and ends the process. During a spawn, and before there is a driver, it hears the signals
//! too, which nobody else can then.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::progress::Display;
use super::stop::{ONE_SIGNAL, STOPPING};
use crate::model::exit;
use crate::process::{self, Signals};
use crate::say;

/// An exit code (`model::exit`).
type Code = i32;

/// So long a reader of standard error may take; then the process ends unheard.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Between two looks at the signals.
const LOOK: Duration = Duration::from_millis(100);

enum Word {
    Watch {
        /// How long it may take, and what is said and done then.
        limit: Option<Limit>,
        /// What is waited for, where a second signal ends it.
        stoppable: Option<&'static str>,
    },
    Done,
}

struct Limit {
    until: Instant,
    reason: String,
    code: Code,
}

impl Limit {
    /// From now on so long.
    fn after(limit: Duration, code: Code, reason: String) -> Self {
        Self { until: Instant::now() + limit, reason, code }
    }
}

/// The watcher; dropping it ends its thread.
pub struct Guard {
    words: Sender<Word>,
    heard: Heard,
}

/// A signal that stops the campaign and that the driver has not taken yet, and when it came: a second one is no copy of it.
type Heard = Arc<Mutex<Option<(Instant, i32)>>>;

/// What the thread works with.
struct Watcher {
    words: Receiver<Word>,
    signals: Option<Signals>,
    heard: Heard,
    display: Option<Arc<dyn Display>>,
}

impl Guard {
    /// Starts the thread. `signals` are those that the driver has too, `display` is closed before the last words, which would be
    /// lost behind it.
    pub fn start(signals: Option<Signals>, display: Option<Arc<dyn Display>>) -> std::io::Result<Self> {
        let (words, to_do) = channel();
        let heard = Heard::default();
        let mut watcher = Watcher { words: to_do, signals, heard: heard.clone(), display };
        thread::Builder::new().name("guard".into()).stack_size(256 * 1024).spawn(move || watcher.run())?;
        Ok(Self { words, heard })
    }

    /// Takes the signal that stops the campaign and came while nobody else could hear it.
    pub fn heard(&self) -> Option<i32> {
        lock(&self.heard).take().map(|(_, signal)| signal)
    }

    /// Is there one?
    pub fn has_heard(&self) -> bool {
        lock(&self.heard).is_some()
    }

    /// Runs `action`; if it takes longer than `limit` prints `reason` and ends the process with `code`.
    pub fn watch<T>(
        &self,
        limit: Duration,
        code: Code,
        reason: impl Into<String>,
        action: impl FnOnce() -> T,
    ) -> T {
        self.watched(Some(Limit::after(limit, code, reason.into())), None, action)
    }

    /// Runs `action`, in which the first signal is kept and the second ends the process; `what` that is, in a word.
    pub fn hear<T>(&self, what: &'static str, action: impl FnOnce() -> T) -> T {
        self.watched(None, Some(what), action)
    }

    /// The same for what the first signal waits for, and the second does not; `what` that is, in a word.
    #[cfg(feature = "mpi")]
    pub fn watch_stoppable<T>(
        &self,
        what: &'static str,
        limit: Duration,
        code: Code,
        reason: String,
        action: impl FnOnce() -> T,
    ) -> T {
        self.watched(Some(Limit::after(limit, code, reason)), Some(what), action)
    }

    fn watched<T>(
        &self,
        limit: Option<Limit>,
        stoppable: Option<&'static str>,
        action: impl FnOnce() -> T,
    ) -> T {
        // The thread lives as long as `self`: a send cannot fail while we are here.
        let _ = self.words.send(Word::Watch { limit, stoppable });
        let result = action();
        let _ = self.words.send(Word::Done);
        result
    }
}

impl Watcher {
    fn run(&mut self) {
        while let Ok(word) = self.words.recv() {
            let Word::Watch { limit, stoppable } = word else { continue };
            loop {
                let now = Instant::now();
                let next = [limit.as_ref().map(|limit| limit.until), stoppable.map(|_| now + LOOK)];
                let next = next.into_iter().flatten().min().unwrap_or(now + LOOK);
                match self.words.recv_timeout(next.saturating_duration_since(now)) {
                    Ok(_) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => match &limit {
                        // The main thread is stuck inside MPI, and MPI's exit handlers would be too.
                        Some(limit) if Instant::now() >= limit.until => {
                            end_at_once(limit.code, &limit.reason, self.display.as_deref())
                        }
                        _ => self.hear(stoppable.unwrap_or_default()),
                    },
                }
            }
        }
    }

    /// The first signal is handed on, and is heeded after the call; the second ends the process.
    fn hear(&mut self, what: &str) {
        while let Some(signal) = self.signals.as_mut().and_then(Signals::take) {
            if !STOPPING.contains(&signal) {
                continue;
            }
            let mut heard = lock(&self.heard);
            match *heard {
                None => {
                    *heard = Some((Instant::now(), signal));
                    let name = process::signal_name(signal);
                    say::post(format_args!(
                        "harness: {name}: stops once {what} has returned; a second one ends at once"
                    ));
                }
                Some((at, before)) if before != signal || at.elapsed() >= ONE_SIGNAL => {
                    let reason = format!(
                        "interrupted while it waited for {what}; what was reported is in the journal"
                    );
                    end_at_once(i32::from(exit::INTERRUPTED), &reason, self.display.as_deref())
                }
                Some(_) => {}
            }
        }
    }
}

fn lock(heard: &Heard) -> MutexGuard<'_, Option<(Instant, i32)>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
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
        let guard = Guard::start(None, None).unwrap();
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
