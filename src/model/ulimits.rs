//! What each process of a program may take of its node, as the kernel keeps it (`setrlimit`).
//!
//! Output, wall time and the waits of our own processes are limited elsewhere ([`super::Limits`] are those waits). Says
//! what was asked for and how it is called; how a process gets it is `process`'s, what meeting it looks like `keeper`'s.

use serde::{Deserialize, Serialize};

use super::human;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ulimit {
    /// Memory it can write to, B.
    Memory,
    /// Time on processors, s.
    CpuTime,
    /// Processes and threads.
    Processes,
    /// The size of a file it writes, B.
    FileSize,
    /// Descriptors.
    OpenFiles,
}

impl Ulimit {
    /// As the script calls it.
    pub fn name(self) -> &'static str {
        match self {
            Ulimit::Memory => "memory",
            Ulimit::CpuTime => "cpu_time",
            Ulimit::Processes => "processes",
            Ulimit::FileSize => "file_size",
            Ulimit::OpenFiles => "open_files",
        }
    }

    /// A value of it, for people.
    pub fn shown(self, value: u64) -> String {
        match self {
            Ulimit::Memory | Ulimit::FileSize => human::bytes(value),
            Ulimit::CpuTime => human::duration(value as f64),
            Ulimit::Processes | Ulimit::OpenFiles => value.to_string(),
        }
    }
}

/// All of a program; what is none is as harness itself has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ulimits {
    /// [`Ulimit::Memory`].
    pub memory: Option<u64>,
    /// [`Ulimit::CpuTime`].
    pub cpu_time: Option<u64>,
    /// [`Ulimit::Processes`], beside those its user has when it starts.
    pub processes: Option<u64>,
    /// [`Ulimit::FileSize`].
    pub file_size: Option<u64>,
    /// [`Ulimit::OpenFiles`].
    pub open_files: Option<u64>,
}

impl Ulimits {
    /// Is nothing limited?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that are set.
    pub fn iter(&self) -> impl Iterator<Item = (Ulimit, u64)> + use<> {
        let all = [
            (Ulimit::Memory, self.memory),
            (Ulimit::CpuTime, self.cpu_time),
            (Ulimit::Processes, self.processes),
            (Ulimit::FileSize, self.file_size),
            (Ulimit::OpenFiles, self.open_files),
        ];
        all.into_iter().filter_map(|(limit, value)| Some((limit, value?)))
    }
}
