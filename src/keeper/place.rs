//! The cores a task is kept on: what its lane starts runs there, and we do not.
//!
//! A program inherits where its lane stands when it starts it, so the lane stands there for that moment only; else it
//! stands aside, on the cores that are left, and so do the main threads of keeper and worker while a task has the node
//! alone (they may have to start slots otherwise, which would inherit it). Knows nothing of how cores are chosen.

use std::collections::BTreeSet;

use super::run::StartError;
use crate::machine::{self, Cores};
use crate::model::Placed;
use crate::process::{self, Pid};

/// See the module. Dropped, everybody is back.
pub struct Place {
    cores: Cores,
    /// Does its memory come from its NUMA node alone?
    has_memory: bool,
    /// Where the lane may run.
    home: BTreeSet<u32>,
    /// Where it runs while the task does.
    aside: BTreeSet<u32>,
    /// Who stands aside too.
    others: Vec<Pid>,
}

impl Place {
    /// Moves the lane aside; with `alone` keeper and worker too. What the system refuses in that is no harm.
    pub fn new(cores: Cores, alone: bool) -> Self {
        let home = machine::affinity();
        let rest: BTreeSet<u32> = home.difference(&cores.taken).copied().collect();
        let aside = if rest.is_empty() { home.clone() } else { rest };
        let others = match alone {
            true => [Some(process::own_pid()), process::parent_pid()].into_iter().flatten().collect(),
            false => Vec::new(),
        };
        // Where containers forbid it, memory is local as long as the program touches it first.
        let has_memory = cores.mem.is_some() && process::take_memory_of(cores.mem).is_ok();
        let _ = process::take_memory_of(None);
        let place = Self { cores, has_memory, home, aside, others };
        place.stand(&place.aside);
        place
    }

    /// For the record.
    pub fn placed(&self) -> Placed {
        let placed = self.cores.placed();
        Placed { mems: placed.mems.filter(|_| self.has_memory), ..placed }
    }

    /// What `start` starts runs on the task's cores.
    pub fn start<T>(&self, start: impl FnOnce() -> Result<T, StartError>) -> Result<T, StartError> {
        process::run_on(&self.cores.cpus, None)?;
        if self.has_memory {
            process::take_memory_of(self.cores.mem)?;
        }
        let started = start();
        if self.has_memory {
            let _ = process::take_memory_of(None);
        }
        let _ = process::run_on(&self.aside, None);
        started
    }

    fn stand(&self, cpus: &BTreeSet<u32>) {
        let _ = process::run_on(cpus, None);
        for process in &self.others {
            let _ = process::run_on(cpus, Some(*process));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stand(&self.home);
    }
}
