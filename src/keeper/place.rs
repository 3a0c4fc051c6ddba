//! The cores a task is kept on: what its lane starts runs there, and we do not.
//!
//! A program inherits where its lane stands when it starts it, so the lane stands there for that moment only; else it
//! stands aside, where the desk knows that nobody was given cores: it alone gives them, and moves who stands aside
//! whenever it does. Knows nothing of how cores are chosen.

use std::io;
use std::sync::Arc;

use super::desk::TaskKey;
use super::lane::Common;
use super::run::StartError;
use crate::machine::Cores;
use crate::model::Placed;
use crate::process;

/// See the module. Dropped, the lane is back.
pub struct Place {
    key: TaskKey,
    cores: Cores,
    /// Does its memory come from its NUMA node alone?
    has_memory: bool,
    common: Arc<Common>,
}

impl Place {
    /// Moves the lane of this task aside.
    pub fn new(key: TaskKey, cores: Cores, common: Arc<Common>) -> Self {
        // Where containers forbid it, memory is local as long as the program touches it first.
        let has_memory = cores.mem.is_some() && process::take_memory_of(cores.mem).is_ok();
        let _ = process::take_memory_of(None);
        common.desk.stand_aside(key);
        Self { key, cores, has_memory, common }
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

    /// What `start` starts runs on the task's cores. The lane does not stay there, however that ends.
    pub fn start<T>(&self, start: impl FnOnce() -> Result<T, StartError>) -> Result<T, StartError> {
        self.common.desk.stand_still(self.key);
        let started = self.stand_there().map_err(StartError::from).and_then(|()| start());
        if self.has_memory {
            let _ = process::take_memory_of(None);
        }
        self.common.desk.stand_aside(self.key);
        started
    }

    fn stand_there(&self) -> io::Result<()> {
        process::run_on(&self.cores.cpus, None)?;
        if self.has_memory { process::take_memory_of(self.cores.mem) } else { Ok(()) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.common.desk.stand_still(self.key);
        self.common.desk.go_anywhere();
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
