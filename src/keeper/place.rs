//! The cores a task is kept on: what its lane starts runs there, and we do not.
//!
//! A program inherits where its lane stands when it starts it, so the lane stands there for that moment only; else it
//! stands aside, on cores that nobody was given, and so do the main threads of keeper and worker while measurements have
//! the node (they may have to start slots otherwise, which would inherit it). Where none is left a lane stays on those of
//! its own task and leaves its neighbours alone. Knows nothing of how cores are chosen.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lane::Common;
use super::run::StartError;
use crate::machine::Cores;
use crate::model::Placed;
use crate::process::{self, Pid};

/// See the module. Dropped, everybody is back.
pub struct Place {
    cores: Cores,
    /// Does its memory come from its NUMA node alone?
    has_memory: bool,
    /// Who stands aside too.
    others: Vec<Pid>,
    common: Arc<Common>,
}

impl Place {
    /// Moves the lane aside; with `alone` keeper and worker too. What the system refuses in that is no harm.
    pub fn new(cores: Cores, alone: bool, common: Arc<Common>) -> Self {
        let others = match alone {
            true => [Some(process::own_pid()), process::parent_pid()].into_iter().flatten().collect(),
            false => Vec::new(),
        };
        // Where containers forbid it, memory is local as long as the program touches it first.
        let has_memory = cores.mem.is_some() && process::take_memory_of(cores.mem).is_ok();
        let _ = process::take_memory_of(None);
        let place = Self { cores, has_memory, others, common };
        place.stand_aside();
        place.others_stand(&BTreeSet::new());
        place
    }

    /// For the record.
    pub fn placed(&self) -> Placed {
        let placed = self.cores.placed();
        Placed { mems: placed.mems.filter(|_| self.has_memory), ..placed }
    }

    /// What it was given.
    pub fn cores(&self) -> &Cores {
        &self.cores
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
        self.stand_aside();
        started
    }

    fn stand_aside(&self) {
        let _ = self.common.desk.aside(|free| {
            let room = if free.is_empty() { &self.cores.taken } else { &free };
            process::run_on(room, None)
        });
    }

    /// Keeper and worker stand where nobody measures, and on `besides`.
    fn others_stand(&self, besides: &BTreeSet<u32>) {
        let all = self.common.desk.cpus().unwrap_or_default();
        self.common.desk.aside(|free| {
            let room: BTreeSet<u32> = free.union(besides).copied().collect();
            for process in &self.others {
                let _ = process::run_on(if room.is_empty() { &all } else { &room }, Some(*process));
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.others_stand(&self.cores.taken); // which the desk gives to nobody before the task has ended
        self.common.desk.go_anywhere();
    }
}
