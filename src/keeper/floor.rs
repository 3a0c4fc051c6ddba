//! What it costs to start a command that does nothing: found once by each keeper, for each launcher.

use std::rc::Rc;

use super::job::{Learned, Step};
use super::run::{Finished, Keep, StartError};
use super::site::{Command, Failure};
use super::subject::Subject;
use super::verdict::{Failed, judge};
use crate::model::Usage;
use crate::stats;

/// Null commands that make the floor.
const RUNS: usize = 20;
/// The same for null commands that a launcher starts: each may take a second.
const LAUNCHED_RUNS: usize = 3;

/// What a command costs that does nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// Median wall time, s.
    pub wall_s: f64,
    /// Largest resident set, B.
    pub maxrss_bytes: u64,
}

/// The null commands of a job.
pub struct FloorRuns {
    command: Rc<Command>,
    launched: bool,
    usages: Vec<Usage>,
}

/// What comes next.
pub enum Next {
    /// Another null command.
    Run(Step),
    /// The floor, if there is one.
    Known(Option<Floor>),
    /// The job was told to end meanwhile.
    Forced(Failed),
}

impl FloorRuns {
    /// Those of a program.
    pub fn of(subject: &Subject) -> Self {
        let command = Rc::new(subject.null_command());
        Self { command, launched: subject.is_launched(), usages: Vec::new() }
    }

    /// After `last`.
    pub fn next(&mut self, last: Option<Finished>, learned: &Learned) -> Next {
        let found = match last {
            Some(Ok(ended)) if ended.forced.is_some() => {
                let failure = judge(&ended, &[]).err();
                let failure =
                    failure.unwrap_or_else(|| Failure::setup("a null command ended in no known way"));
                return Next::Forced(Failed { failure, ended: Some(Box::new(ended)) });
            }
            // A launcher that fails will say why when it starts the command.
            Some(Ok(ended)) if self.launched && judge(&ended, &[]).is_err() => {
                self.usages.clear();
                true
            }
            Some(Ok(ended)) => {
                self.usages.push(ended.usage);
                self.usages.len() >= if self.launched { LAUNCHED_RUNS } else { RUNS }
            }
            Some(Err(why @ StartError::Forced(_))) => return Next::Forced(Failed::to_start(&why)),
            // A system without `true`: measured all the same, without a floor.
            Some(Err(_)) => true,
            None => learned.floors.get(&self.command.argv).is_some(),
        };
        if !found {
            return Next::Run(Step::Run(self.command.clone(), Keep { stdout: 0, stderr: 0 }));
        }
        if let Some(floor) = floor_of(&self.usages) {
            learned.floors.insert(self.command.argv.clone(), floor);
        }
        Next::Known(learned.floors.get(&self.command.argv))
    }
}

fn floor_of(usages: &[Usage]) -> Option<Floor> {
    let wall: Vec<f64> = usages.iter().map(|usage| usage.wall_s).collect();
    let maxrss_bytes = usages.iter().map(|usage| usage.maxrss_bytes).max()?;
    Some(Floor { wall_s: stats::summary(&wall).median, maxrss_bytes })
}
