//! What a panic does: it is a defect of harness, and whoever meets one is told where, with the documented exit code.
//!
//! The process ends at once. Going on after a defect could give wrong numbers, and nothing that was reported is
//! lost: it is in the journal, and keepers kill what a root or worker that is gone had started.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::time::Duration;

use crate::model::exit;
use crate::process;

/// So long a reader of standard error may take; then the process ends unheard.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// From now on a panic in any thread of this process, `role` for people, ends it with [`exit::INTERNAL`].
pub fn end_the_process(role: &'static str) {
    std::panic::set_hook(Box::new(move |panic| last_words(role, panic, io::stderr())));
}

/// The same where standard error is not what people see: it is said on `terminal`, below whatever is there.
pub(super) fn end_the_process_at(role: &'static str, terminal: File) {
    std::panic::set_hook(Box::new(move |panic| {
        last_words(&format!("\n{role}"), panic, &terminal);
    }));
}

fn last_words(role: &str, panic: &PanicHookInfo<'_>, mut to: impl Write) {
    process::end_if_memory_is_short(); // no defect
    process::exit_within(LAST_WORDS, i32::from(exit::INTERNAL));
    let mut words = format!("{role}: {}\n", text(panic));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        words += &format!("{backtrace}\n");
    }
    // There is nobody left to be told of a failure.
    let _ = to.write_all(words.as_bytes());
    process::exit_now(i32::from(exit::INTERNAL));
}

fn text(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let formatted = payload.downcast_ref::<String>().map(String::as_str);
    let what = formatted.or(payload.downcast_ref().copied()).unwrap_or("no message");
    let place = panic.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
    format!(
        "a defect of harness, please report it: {what} (at {place}; RUST_BACKTRACE=1 shows more). What was reported \
         is in the journal"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const VICTIM: &str = "HARNESS_TEST_PANICS";

    /// Only when it is started by a test below: behind bars if standard error is a terminal.
    #[test]
    fn panics_in_a_thread() {
        if std::env::var_os(VICTIM).is_none() {
            return;
        }
        end_the_process("harness");
        let _bars = super::super::bars::Bars::open();
        let _ = std::thread::spawn(|| panic!("boom")).join();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "starts itself, to end by a panic")]
    fn a_panic_anywhere_is_70_and_says_where() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cli::panics::tests::panics_in_a_thread", "--nocapture"]).env(VICTIM, "1");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(70));
        let stderr = String::from_utf8_lossy(&output.stderr);
        let beginning = "harness: a defect of harness, please report it: boom (at src/cli/panics.rs:";
        assert!(stderr.contains(beginning), "{stderr}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(command.stderr(full).output().unwrap().status.code(), Some(70));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "starts itself, to end by a panic")]
    fn bars_do_not_swallow_it() {
        use std::io::Read;
        let (ours, theirs) = super::super::relay::open_pair(io::stdin()).unwrap();
        let mut ours = File::from(ours);
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cli::panics::tests::panics_in_a_thread", "--nocapture"]).env(VICTIM, "1");
        command.stdout(std::process::Stdio::null()).stderr(theirs);
        let mut child = command.spawn().unwrap();
        drop(command); // it holds the other end
        let mut shown = Vec::new();
        let _ = ours.read_to_end(&mut shown); // a terminal that is gone is an error, after all it showed
        assert_eq!(child.wait().unwrap().code(), Some(70));
        let shown = String::from_utf8_lossy(&shown);
        assert!(shown.contains("report it: boom (at src/cli/panics.rs:"), "{shown}");
    }
}
