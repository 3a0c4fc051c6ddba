//! Slots: processes of ours that run calls. The keeper starts and ends them and passes their sockets on;
//! what they do is between them and the worker.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use super::leader::{Departed, Leader};
use super::scratch::Scratch;
use super::site::{Failure, Site};
use crate::machine::OomWatch;
use crate::model::{FromKeeper, SlotEnd, SlotId};
use crate::process::{Exit, Family, own};
use crate::say::say;
use crate::wire::Stream;

/// Where a slot finds its socket.
pub const SOCKET_FD: i32 = 3;
/// Where a slot finds its gate.
pub const GATE_FD: i32 = 4;

/// The slots that run.
pub struct Slots {
    running: BTreeMap<SlotId, Slot>,
    /// Processes the kernel killed for memory since it was looked last and none of the slots could be among them.
    oom: OomWatch,
}

struct Slot {
    leader: Leader,
    /// Where `fs.tempdir` makes folders in it: nobody else removes them, for slots are killed.
    _scratch: Option<Scratch>,
}

impl Slots {
    /// None yet.
    pub fn new() -> Self {
        Self { running: BTreeMap::new(), oom: OomWatch::open() }
    }

    /// Starts a slot with its socket and its gate. That it could not be is told as its end.
    pub fn start(
        &mut self,
        slot: SlotId,
        fds: (Option<OwnedFd>, Option<OwnedFd>),
        site: Option<&Site>,
        family: &Family,
        worker: &mut Stream,
    ) {
        match self.try_start(slot, fds, site, family) {
            Ok(started) => {
                if self.running.is_empty() {
                    self.oom.note();
                }
                self.running.insert(slot, started);
            }
            Err(failure) => {
                say(format_args!("harness keeper: slot {slot} could not be started: {}", failure.reason));
                worker.queue(&FromKeeper::SlotEnded(slot, SlotEnd::NotStarted(failure.reason)));
            }
        }
    }

    fn try_start(
        &self,
        slot: SlotId,
        fds: (Option<OwnedFd>, Option<OwnedFd>),
        site: Option<&Site>,
        family: &Family,
    ) -> Result<Slot, Failure> {
        let (Some(socket), Some(gate)) = fds else {
            return Err(Failure::setup("its socket and its gate did not come with the message"));
        };
        let site = site.ok_or_else(|| Failure::setup("the keeper was not set up"))?;
        if self.running.contains_key(&slot) {
            return Err(Failure::refused("it runs already"));
        }
        let mark = format!("slot-{slot}");
        let (scratch, environment) = site.slot_place(&mark)?;
        let fds = vec![(socket, SOCKET_FD), (gate, GATE_FD)];
        let started = Leader::start(&mark, family, || own::start_self("__slot", fds, &environment));
        Ok(Slot { leader: started.map_err(Failure::setup)?, _scratch: scratch })
    }

    /// Whatever else the kernel has killed for memory is no evidence for the slots that run. To be called now and then.
    pub fn settle_memory(&mut self) {
        let running = &self.running;
        self.oom.settle(|| running.values().all(|slot| !slot.leader.ends()));
    }

    /// Names every descriptor that tells of the end of a slot.
    pub fn watch<'a>(&'a self, mut add: impl FnMut(BorrowedFd<'a>, SlotId)) {
        for (slot, Slot { leader, .. }) in &self.running {
            leader.watch(|fd| add(fd, *slot));
        }
    }

    /// The earliest of their timers.
    pub fn timer(&self) -> Option<Instant> {
        self.running.values().filter_map(|slot| slot.leader.timer()).min()
    }

    /// Their timers may have come: word of those that are gone. Nothing of them is kept.
    pub fn tick(&mut self, now: Instant, family: &Family) -> Vec<FromKeeper> {
        let mut gone = Vec::new();
        self.running.retain(|slot, running| match running.leader.tick(now, family) {
            Some(departed) => {
                gone.push((*slot, departed));
                false
            }
            None => true,
        });
        gone.into_iter().map(|(slot, departed)| self.word_of(slot, &departed)).collect()
    }

    /// A descriptor of this slot is ready: word of it, if it is gone.
    pub fn ready(&mut self, slot: SlotId, now: Instant, family: &Family) -> Option<FromKeeper> {
        let departed = self.running.get_mut(&slot)?.leader.ready(now, family)?;
        self.running.remove(&slot);
        Some(self.word_of(slot, &departed))
    }

    /// Tells a slot to look whether what it runs is to stop.
    pub fn stop(&self, slot: SlotId) {
        if let Some(Slot { leader, .. }) = self.running.get(&slot) {
            leader.tell_to_stop();
        }
    }

    /// Ends a slot and all it started, now.
    pub fn kill(&mut self, slot: SlotId, now: Instant, family: &Family) {
        if let Some(Slot { leader, .. }) = self.running.get_mut(&slot) {
            leader.kill(now, family);
        }
    }

    fn word_of(&mut self, slot: SlotId, departed: &Departed) -> FromKeeper {
        let end = match departed.exit {
            Exit::Code(code) => SlotEnd::Exited(code),
            Exit::Signal(libc::SIGKILL) => {
                // One kill is evidence for one slot.
                self.oom.take_one().map_or(SlotEnd::Killed(libc::SIGKILL), SlotEnd::KilledForMemory)
            }
            Exit::Signal(signal) => SlotEnd::Killed(signal),
        };
        FromKeeper::SlotEnded(slot, end)
    }
}
