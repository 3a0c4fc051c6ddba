//! Lines that somebody outside has for the script, one after another (`harness serve`, `harness repl`): the script awaits each
//! as it awaits the end of a task, so that tasks go on meanwhile.
//!
//! They lie in the script's mailbox, where room for them is bounded: whoever reads them from outside waits, not the script
//! and not the driver. Knows nothing of where they come from or what they say.

use std::collections::VecDeque;
use std::sync::Arc;

use super::mailboxes::Mailboxes;

/// From so many bytes on no further line is taken in (B); a single one may be longer.
const ROOM: usize = 16 << 20;

/// Those the script has not taken.
#[derive(Default)]
pub(super) struct Lines {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    over: bool,
}

impl Lines {
    pub(super) fn has_room(&self) -> bool {
        self.bytes < ROOM
    }

    /// A line, or none: there will be no more.
    pub(super) fn put(&mut self, line: Option<Vec<u8>>) {
        match line {
            Some(line) => {
                self.bytes += line.len();
                self.waiting.push_back(line);
            }
            None => self.over = true,
        }
    }

    /// The next one; `Some(None)` after the last, none if it has not come yet.
    pub(super) fn take(&mut self) -> Option<Option<Vec<u8>>> {
        match self.waiting.pop_front() {
            Some(line) => {
                self.bytes -= line.len();
                Some(Some(line))
            }
            None => self.over.then_some(None),
        }
    }
}

/// The end for whoever has lines. Dropped, there are no more.
pub struct LineSender(pub(super) Arc<Mailboxes>);

impl LineSender {
    /// Hands over a line; waits while the script has not taken what was sent before. False: it will take none any more.
    pub fn send(&self, line: Vec<u8>) -> bool {
        self.0.put_line(Some(line))
    }
}

impl Drop for LineSender {
    fn drop(&mut self) {
        self.0.put_line(None);
    }
}
