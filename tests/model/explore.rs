//! All that can happen from a beginning: each state once, depth first.
//!
//! Two states are one if they look the same. A run that never ends would come back to a state of its own, or go deeper
//! than any that is small; both are violations, and so is a panic. So where none is found every run ends, and the
//! world has judged every step and every state of rest.

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::world::{Step, World};

/// No run of these sizes is longer.
const DEEPEST: usize = 250;

/// What there was.
#[derive(Debug, Default)]
pub struct Explored {
    pub states: usize,
    pub steps: usize,
    pub deepest: usize,
    /// States in which nothing moves any more.
    pub rests: usize,
}

/// What does not hold, and how it comes to that.
pub struct Violation {
    pub what: String,
    pub path: Vec<Step>,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, after:", self.what)?;
        self.path.iter().try_for_each(|step| writeln!(f, "  {step:?}"))
    }
}

/// Goes everywhere.
pub fn explore(begin: World) -> Result<Explored, Violation> {
    let mut explorer =
        Explorer { found: Explored::default(), seen: HashSet::new(), path: Vec::new(), views: Vec::new() };
    let view = begin.view();
    explorer.seen.insert(view);
    explorer.views.push(view);
    explorer.visit(&begin)?;
    explorer.found.states = explorer.seen.len();
    Ok(explorer.found)
}

struct Explorer {
    found: Explored,
    seen: HashSet<u64>,
    /// How the present state was reached, and what was passed.
    path: Vec<Step>,
    views: Vec<u64>,
}

impl Explorer {
    fn visit(&mut self, world: &World) -> Result<(), Violation> {
        self.found.deepest = self.found.deepest.max(self.path.len());
        let steps = world.steps();
        if world.rests() {
            self.found.rests += 1;
            world.judge_rest().map_err(|what| self.violation(what))?;
        }
        for step in steps {
            self.found.steps += 1;
            self.path.push(step);
            let mut next = world.clone();
            match catch_unwind(AssertUnwindSafe(|| next.take(step))) {
                Ok(result) => result.map_err(|what| self.violation(what))?,
                Err(_) => return Err(self.violation("a panic".into())),
            }
            let view = next.view();
            if self.views.contains(&view) {
                return Err(self.violation("it can go round for ever".into()));
            }
            if self.path.len() > DEEPEST {
                return Err(self.violation("it goes on for ever".into()));
            }
            if self.seen.insert(view) {
                self.views.push(view);
                self.visit(&next)?;
                self.views.pop();
            }
            self.path.pop();
        }
        Ok(())
    }

    fn violation(&self, what: String) -> Violation {
        Violation { what, path: self.path.clone() }
    }
}
