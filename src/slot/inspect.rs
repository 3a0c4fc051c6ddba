//! A slot that was started to look at one run: its functions, one after another, until one does not say what is
//! needed. Knows messages and descriptors; what a function sees and says is Lua's affair.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};

use super::SlotError;
use super::line::Line;
use crate::model::{FromSlot, Inspection};
use crate::process::Gate;
use crate::script::task::{TaskState, Wrote};

/// The position in the gate is that of the function, so that the keeper can stop the one that runs.
pub fn inspect(
    line: &Line,
    gate: &Gate,
    current: &Cell<Option<u32>>,
    state: &mut TaskState,
    inspection: &Inspection,
) -> Result<(), SlotError> {
    let wrote = Wrote { stdout: read(line)?, stderr: read(line)? };
    for (position, (sought, function)) in (0u32..).zip(&inspection.functions) {
        gate.begin(position);
        current.set(Some(position));
        let found = state.inspect((*sought, function), &inspection.seen, &wrote, inspection.limit_s);
        let goes_on = found.goes_on();
        line.send(FromSlot::Found(found))?;
        line.flush()?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// The next file that came along.
fn read(line: &Line) -> Result<Vec<u8>, SlotError> {
    let file = line.take_fd().ok_or_else(|| io::Error::other("what the program wrote did not come along"))?;
    let mut bytes = Vec::new();
    File::from(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}
