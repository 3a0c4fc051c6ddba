//! Who stands beside the port: nobody, a scribe who writes down what passes (`--trace`), or a player who answers from such a
//! trace in the driver's place (`harness replay`). The port asks here and need not know which.

use super::order::Order;
use super::port::Taken;
use super::replay::Player;
use super::trace::{Said, Scribe};
use crate::model::TaskId;

/// See the module.
#[derive(Default)]
pub(super) enum Witness {
    #[default]
    Nobody,
    Scribe(Box<Scribe>),
    Player(Box<Player>),
}

impl Witness {
    /// The player, if the driver is none.
    pub(super) fn player(&mut self) -> Option<&mut Player> {
        match self {
            Witness::Player(player) => Some(player),
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

    /// A task was asked for; true if its end comes from the trace.
    pub(super) fn submitted(&mut self, task: TaskId, order: &Order) -> bool {
        match self {
            Witness::Nobody => return false,
            Witness::Scribe(scribe) => scribe.submitted(task, order),
            Witness::Player(player) => player.submitted(task, order),
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
