//! How long our own processes wait for each other, in one place. A wait without a limit would be a hang.
//!
//! What a task may take is not among them: that is its `timeout`. [`VARIABLE`] changes them, for tests that
//! want to see one of them reached and for clusters slower than anything we met.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The environment variable the root reads them from: `start=60,keeper_silence=300`, in seconds.
pub const VARIABLE: &str = "HARNESS_LIMITS";

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $ms:literal ms,)+) => {
        /// All limits. Workers learn them with their welcome.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: Duration,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: Duration::from_millis($ms),)+ }
            }
        }

        impl Limits {
            const NAMES: &[&str] = &[$(stringify!($name)),+];

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
            let seconds = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let seconds = seconds.ok_or_else(|| wrong("that is no number of seconds"))?;
            let limit = limits.named(name).ok_or_else(|| {
                wrong(&format!("there is no such limit, there are {}", Self::NAMES.join(", ")))
            })?;
            *limit = seconds;
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
        assert_eq!(error("start=-1"), "HARNESS_LIMITS: `start=-1`: that is no number of seconds");
        assert!(error("begin=1").contains("there is no such limit, there are heartbeat, worker_silence, "));
    }
}
