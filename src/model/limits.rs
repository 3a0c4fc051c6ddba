//! How long our own processes wait for each other, in one place, and how much they say at once. A wait without a limit
//! would be a hang.
//!
//! What a task may take is not among them: that is its `timeout`. [`VARIABLE`] changes them, for tests that
//! want to see one of them reached and for clusters slower than anything we met.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The environment variable the root reads them from: `start=60,keeper_silence=300`, in seconds.
pub const VARIABLE: &str = "HARNESS_LIMITS";

/// No wait takes longer (s): that would be none, and what is much longer no clock can count to.
const LONGEST: f64 = 365.0 * 24.0 * 3600.0;
/// Between two signs of life there is some time (s), or nothing else would be done.
const SHORTEST_HEARTBEAT: f64 = 0.001;

/// Not a wait: what [`Limits::message_bytes`] is called.
const MESSAGE_BYTES: &str = "message_bytes";
/// What it may be: room for a piece of an artefact, and what every receiver takes.
const MESSAGES: RangeInclusive<usize> = 1 << 20..=1 << 30;

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $ms:literal ms,)+) => {
        /// All limits. Workers learn them with their welcome.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: Duration,)+
            /// The largest message that root, worker and keeper send (B).
            pub message_bytes: usize,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: Duration::from_millis($ms),)+ message_bytes: *MESSAGES.end() }
            }
        }

        impl Limits {
            const NAMES: &[&str] = &[$(stringify!($name),)+ MESSAGE_BYTES];

            fn named(&mut self, name: &str) -> Option<&mut Duration> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }
        }
    };
}

limits! {
    /// Between two signs of life of a worker, and two questions to a keeper.
    heartbeat: 1_000 ms,
    /// A worker that says nothing for so long is lost.
    worker_silence: 10_000 ms,
    /// Between two signs of life of a worker whose node measures: a few microseconds each.
    quiet_heartbeat: 60_000 ms,
    /// A worker whose node measures, and that says nothing for so long, is lost.
    quiet_silence: 200_000 ms,
    /// A keeper that answers nothing for so long is lost. It may be starting a slot from a slow file system.
    keeper_silence: 30_000 ms,
    /// A task that is so far beyond its time limit makes its worker ask the keeper, measurement or not.
    overdue: 10_000 ms,
    /// Workers, from their start to their first word.
    start: 30_000 ms,
    /// The root's answer to a worker's first word.
    welcome: 60_000 ms,
    /// A slot, from its start to its first call.
    slot_start: 60_000 ms,
    /// A slot that has calls and begins none: it is replaced.
    slot_silence: 60_000 ms,
    /// One function that looks at a run, its process and its modules included.
    inspection: 60_000 ms,
    /// The next piece of an artefact that is on its way to the root.
    transfer: 60_000 ms,
    /// MPI_Init, to which all processes of a job have to come.
    init: 120_000 ms,
    /// One MPI_Comm_spawn.
    spawn: 20_000 ms,
    /// One disconnect of MPI.
    disconnect: 15_000 ms,
    /// MPI_Finalize.
    finalize: 5_000 ms,
    /// A worker that was told to end, while the campaign goes on.
    retire: 10_000 ms,
    /// All workers, when the campaign is over.
    dismiss: 12_000 ms,
    /// All workers, when the campaign is stopped: the batch system kills soon.
    stop: 1_500 ms,
    /// Workers' answers when the campaign is stopped.
    drain: 900 ms,
    /// The script's end when the campaign is stopped.
    unwind: 300 ms,
    /// The script's end otherwise (`<close>` variables, `__gc`): then people are told what is waited for.
    leave: 10_000 ms,
    /// The last records on their way to the disk.
    journal: 60_000 ms,
    /// A keeper that kills everything it started.
    keeper_end: 8_000 ms,
    /// The end of a lost worker and of all below it.
    sweep: 2_000 ms,
    /// A worker's last word to the root.
    goodbye: 5_000 ms,
}

impl FromStr for Limits {
    type Err = String;

    /// The defaults, changed by `name=seconds` between commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let wrong = |what: &str| format!("{VARIABLE}: `{entry}`: {what}");
            let (name, value) = entry.split_once('=').ok_or_else(|| wrong("write name=seconds"))?;
            if name == MESSAGE_BYTES {
                let bytes = value.parse().ok().filter(|bytes| MESSAGES.contains(bytes));
                let range =
                    format!("that is no number of bytes from {} to {}", MESSAGES.start(), MESSAGES.end());
                limits.message_bytes = bytes.ok_or_else(|| wrong(&range))?;
                continue;
            }
            let limit = limits.named(name).ok_or_else(|| {
                wrong(&format!("there is no such limit, there are {}", Self::NAMES.join(", ")))
            })?;
            let seconds = value.parse().ok().filter(|seconds: &f64| !seconds.is_nan());
            let seconds = seconds.ok_or_else(|| wrong("that is no number of seconds"))?;
            let least = if name == "heartbeat" { SHORTEST_HEARTBEAT } else { 0.0 };
            if !(least..=LONGEST).contains(&seconds) {
                return Err(wrong(&format!("from {least} s to a year ({LONGEST} s) it may be")));
            }
            *limit = Duration::from_secs_f64(seconds);
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_keeps_its_default() {
        let limits: Limits = "start=0.5, keeper_silence=3".parse().unwrap();
        let expected = Limits {
            start: Duration::from_millis(500),
            keeper_silence: Duration::from_secs(3),
            ..Limits::default()
        };
        assert_eq!(limits, expected);
        assert_eq!("".parse(), Ok(Limits::default()));
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        let error = |text: &str| text.parse::<Limits>().unwrap_err();
        assert_eq!(error("start"), "HARNESS_LIMITS: `start`: write name=seconds");
        assert_eq!(error("start=soon"), "HARNESS_LIMITS: `start=soon`: that is no number of seconds");
        assert_eq!(error("start=NaN"), "HARNESS_LIMITS: `start=NaN`: that is no number of seconds");
        assert!(error("begin=1").contains("there is no such limit, there are heartbeat, worker_silence, "));
    }

    #[test]
    fn what_no_clock_counts_to_is_refused_with_what_may_be() {
        for text in ["start=1e19", "start=inf", "spawn=31536001", "start=-1"] {
            let range = format!("HARNESS_LIMITS: `{text}`: from 0 s to a year (31536000 s) it may be");
            assert_eq!(text.parse::<Limits>(), Err(range));
        }
        let range = "HARNESS_LIMITS: `heartbeat=0`: from 0.001 s to a year (31536000 s) it may be";
        assert_eq!("heartbeat=0".parse::<Limits>(), Err(range.into()));
        assert_eq!("start=31536000".parse::<Limits>().map(|limits| limits.start.as_secs()), Ok(31_536_000));
        let range = "that is no number of bytes from 1048576 to 1073741824";
        for text in ["message_bytes=1e9", "message_bytes=0", "message_bytes=1073741825"] {
            assert_eq!(text.parse::<Limits>(), Err(format!("HARNESS_LIMITS: `{text}`: {range}")));
        }
        let lower = "message_bytes=1048576".parse::<Limits>().map(|limits| limits.message_bytes);
        assert_eq!(lower, Ok(1 << 20));
    }
}
