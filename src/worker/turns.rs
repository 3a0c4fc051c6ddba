//! Which slot has the next call: the least loaded one. Knows numbers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::SlotId;

/// How a slot competes: the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// Calls it has.
    pub load: usize,
    /// Of equally loaded ones the one that gave back least is likeliest to begin a call.
    pub taken_back: u32,
    pub id: SlotId,
}

/// Slots that may have calls.
pub(super) struct Turns(BinaryHeap<Reverse<Turn>>);

impl Turns {
    /// Of these, of which so many idle ones may join in.
    pub fn new(slots: impl Iterator<Item = Turn>, may_join: usize) -> Self {
        let (mut idle, busy): (Vec<Turn>, Vec<Turn>) = slots.partition(|slot| slot.load == 0);
        idle.sort_unstable();
        idle.truncate(may_join);
        Self(busy.into_iter().chain(idle).map(Reverse).collect())
    }

    /// Gives a call to the one whose turn it is.
    pub fn next(&mut self) -> Option<SlotId> {
        let mut first = self.0.peek_mut()?;
        first.0.load += 1;
        Some(first.0.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has the next calls, of slots that have so many and gave so many back.
    fn order(slots: &[(usize, u32)], may_join: usize, calls: usize) -> Vec<u16> {
        let slot = |(id, (load, taken_back)): (u16, &(usize, u32))| Turn {
            load: *load,
            taken_back: *taken_back,
            id: SlotId(id),
        };
        let mut turns = Turns::new((0..).zip(slots).map(slot), may_join);
        (0..calls).map_while(|_| turns.next()).map(|id| id.0).collect()
    }

    #[test]
    fn the_least_loaded_one_is_next_and_of_equal_ones_who_gave_back_least() {
        assert_eq!(order(&[(2, 0), (0, 0), (1, 0)], 1, 4), [1, 1, 2, 0]);
        assert_eq!(order(&[(1, 9), (1, 3), (1, 3)], 0, 4), [1, 2, 0, 1]);
    }

    #[test]
    fn no_more_idle_ones_join_in_than_may() {
        assert_eq!(order(&[(0, 0), (5, 0), (0, 0), (0, 0)], 2, 4), [0, 2, 0, 2]);
        assert_eq!(order(&[(0, 0), (5, 0)], 0, 2), [1, 1]);
        assert_eq!(order(&[(0, 0)], 0, 2), [0; 0]);
    }
}
