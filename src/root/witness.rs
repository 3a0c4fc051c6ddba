//! Who stands beside the port: nobody, a scribe who writes down what passes (`--trace`), or a player who answers in the
//! driver's place: from such a trace (`harness replay`), or with what he made up (`harness check`). The port asks here and need
//! not know which.

use serde_bytes::ByteBuf;

use super::order::{Order, PoolError, PoolInfo, Replay};
use super::port::Taken;
use super::trace::{Crew, Said, Scribe};
use crate::model::{Hash, Kind, Outcome, PoolId, TaskId};

/// Who answers in the driver's place.
pub(super) trait Player: Send {
    /// The functions of this class were written there.
    fn place(&mut self, class: u64, place: &str);
    /// A task was asked for; the journal has its end already, if there is one.
    fn submitted(&mut self, task: TaskId, order: &Order, known: Option<&Replay>);
    /// One was asked for that cannot run, which the script's end knew by itself.
    fn unrun(&mut self, kind: Kind, outcome: &Outcome);
    /// Why nothing that is asked for will be answered any more.
    fn objection(&self) -> Option<String>;
    /// A task was given up.
    fn cancel(&mut self, task: TaskId);
    /// Functions that each slot of a pool begins with travel, as bytecode.
    fn begins(&mut self, _codes: &[(Hash, ByteBuf)]) {}
    /// Workers were asked for: a pool, or more of one.
    fn workers(&mut self, of: Option<PoolId>, crew: &Crew) -> Result<PoolInfo, PoolError>;
    /// A pool was closed.
    fn close(&mut self, pool: PoolId);
    /// Why a task is not running.
    fn explain(&self, task: TaskId) -> String;
    /// What the script's clock shows (s).
    fn now(&mut self) -> f64;
    /// How much time is left (s).
    fn left(&mut self) -> Option<f64>;
    /// The next answer. `until`: when the script goes on without one (s).
    fn take(&mut self, until: Option<f64>) -> Taken;
}

/// See the module.
#[derive(Default)]
pub(super) enum Witness {
    #[default]
    Nobody,
    Scribe(Box<Scribe>),
    Player(Box<dyn Player>),
}

impl Witness {
    /// The player, if the driver is none.
    pub(super) fn player(&mut self) -> Option<&mut dyn Player> {
        match self {
            Witness::Player(player) => Some(&mut **player),
            Witness::Nobody | Witness::Scribe(_) => None,
        }
    }

    pub(super) fn place(&mut self, class: u64, place: &str) {
        match self {
            Witness::Nobody => {}
            Witness::Scribe(scribe) => scribe.place(class, place),
            Witness::Player(player) => player.place(class, place),
        }
    }

    /// A task was asked for; true if its end comes from the player.
    pub(super) fn submitted(&mut self, task: TaskId, order: &Order, known: Option<&Replay>) -> bool {
        match self {
            Witness::Nobody => return false,
            Witness::Scribe(scribe) => scribe.submitted(task, order),
            Witness::Player(player) => player.submitted(task, order, known),
        }
        self.player().is_some()
    }

    /// What the script was given, by whomever.
    pub(super) fn took(&mut self, taken: &Taken) {
        if let Witness::Scribe(scribe) = self {
            scribe.took(taken);
        }
    }

    /// Something was asked or answered that the scribe writes down.
    pub(super) fn said(&mut self, said: impl FnOnce() -> Said) {
        if let Witness::Scribe(scribe) = self {
            scribe.said(said());
        }
    }
}
