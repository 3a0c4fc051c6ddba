//! `harness replay`: runs a script whose port is answered by the trace of an earlier run. No driver, worker, journal or cluster.
//!
//! The player matches what the script asks for with what the trace has there, and gives it the answers of then, in their order:
//! ends of tasks, times, pools. Between two answers the order of what is asked does not matter. Where the script asks
//! for something else nothing is made up: the player stops, and says what was asked and what the trace has. Knows
//! nothing of the script's language.

mod read;
#[cfg(test)]
mod tests;

use std::sync::mpsc::{Sender, channel};

use rustc_hash::FxHashMap;

use self::read::{Piece, Then};
pub use self::read::{Reader, ReplayError};
use super::order::{Campaign, Order, PoolError, PoolInfo, Replay};
use super::port::{Completion, Port, Taken};
use super::setup::start_script;
use super::trace::{Asked, Crew, Prints, Said};
use super::witness::Player;
use super::{ScriptEnd, ScriptMain};
use crate::model::human::count;
use crate::model::{Kind, Outcome, PoolId, TaskId, exit};

/// How it went.
pub struct Replayed {
    /// The exit code.
    pub code: u8,
    /// What is to be said last.
    pub message: String,
}

/// Runs the script to its end, or to where the trace does not go on as it does.
pub fn run(trace: Reader, campaign: Campaign, script: ScriptMain) -> Result<Replayed, ReplayError> {
    let (told, verdict) = channel();
    let kept = trace.header.kept.clone();
    let port = Port::played(campaign, Default::default(), kept, Box::new(Replayer::new(trace, told)));
    let ended = start_script(script, port)?.recv();
    // The player went with the port; where the thread panicked, that was said.
    let Some((decisions, stop)) = verdict.recv().ok() else {
        return Ok(Replayed {
            code: exit::INTERNAL,
            message: "replay: the script's thread ended in a panic".into(),
        });
    };
    Ok(Replayed::of(ended.unwrap_or(ScriptEnd::Stopped), decisions, stop))
}

impl Replayed {
    fn of(ended: ScriptEnd, decisions: u64, stop: Option<Stop>) -> Self {
        let (code, message) = match (ended, stop) {
            // What is left of the trace when a script failed has nobody asked for.
            (ScriptEnd::Failed(text), None | Some(Stop::Over { .. })) => (exit::SCRIPT, text),
            (ScriptEnd::Failed(text), Some(stop)) if text.contains(&stop.to_string()) => (stop.code(), text),
            (_, Some(stop)) => (stop.code(), format!("replay: {stop}")),
            (ended, None) => {
                let decisions = count(decisions as usize, "decision");
                let (code, how) = match ended {
                    ScriptEnd::Exit(code) => (code, ""),
                    ScriptEnd::Stopped => (exit::RUN_AGAIN, "; then the campaign was stopped"),
                    ScriptEnd::Finished | ScriptEnd::Failed(_) => (exit::OK, ""),
                };
                (code, format!("replay: {decisions} as in the trace{how}"))
            }
        };
        Self { code, message }
    }
}

/// Why a script and its trace part. `after`: the last decision that is that of the trace.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Stop {
    #[error(
        "decision {decision} is not that of the trace: the script asks for {asked}, where the trace has {has}"
    )]
    Other { decision: u64, asked: String, has: String },
    #[error("after {after} the script waits, where it asked for {has} when the trace was written")]
    Waits { after: String, has: String },
    #[error("after {after} the script is over, where the trace has {has}")]
    Over { after: String, has: String },
    #[error("after {after} the script goes on, where it was over when the trace was written")]
    Further { after: String },
    #[error(
        "the trace ends here, after {after}: it was cut off, or its campaign killed; what the script waits for is not in it"
    )]
    Torn { after: String },
    #[error(
        "{task} gave a function that was made on a worker, and such code is not loaded from a file: the replay ends here, after {after}"
    )]
    Bytecode { task: String, after: String },
    #[error("line {line} of the trace is damaged: the replay ends here, after {after}")]
    Damaged { line: u64, after: String },
}

impl Stop {
    fn code(&self) -> u8 {
        match self {
            Stop::Torn { .. } => exit::RUN_AGAIN,
            Stop::Damaged { .. } => exit::JOURNAL,
            _ => exit::SCRIPT,
        }
    }
}

/// See the module.
pub(super) struct Replayer {
    trace: Reader,
    piece: Piece,
    prints: Prints,
    /// Tasks of the trace, by their numbers there: their numbers here, and what they are.
    tasks: FxHashMap<TaskId, (TaskId, String)>,
    /// How much the script asked for so far, and what last.
    decisions: u64,
    last: String,
    /// So many times more nothing comes.
    nothing: u64,
    /// What the script's clock shows (s).
    clock: f64,
    /// How much time is left until the campaign has to be over (s).
    left: Option<f64>,
    stop: Option<Stop>,
    verdict: Sender<(u64, Option<Stop>)>,
}

impl Player for Replayer {
    fn place(&mut self, class: u64, place: &str) {
        self.prints.place(class, place);
    }

    fn submitted(&mut self, task: TaskId, order: &Order, _: Option<&Replay>) {
        let asked = self.prints.add(task, order);
        let is_it = |said: &Said| matches!(said, Said::Submit(then) if then.print == asked.print);
        if let Some(Said::Submit(then)) = self.matched(is_it, |piece| (asked.title(), nearest(piece, &asked)))
        {
            self.tasks.insert(then.task, (task, self.last.clone()));
        }
    }

    /// It cannot run again, for the same reason.
    fn unrun(&mut self, _: Kind, _: &Outcome) {}

    fn objection(&self) -> Option<String> {
        self.stop.as_ref().map(Stop::to_string)
    }

    fn cancel(&mut self, task: TaskId) {
        let here = |then: &TaskId| self.tasks.get(then).is_some_and(|(here, _)| *here == task);
        let at = self.piece.asked.iter().position(|said| matches!(said, Said::Cancel { task } if here(task)));
        let titles = self.tasks.values();
        let title = titles.into_iter().find(|(here, _)| *here == task).map_or("a task", |(_, title)| title);
        let asked = format!("the end of {title}");
        self.taken(at, |piece| (asked, next_title(piece)));
    }

    fn close(&mut self, pool: PoolId) {
        let close = Said::Close { pool };
        self.matched(|said| *said == close, |piece| (title(&close), next_title(piece)));
    }

    fn workers(&mut self, of: Option<PoolId>, crew: &Crew) -> Result<PoolInfo, PoolError> {
        let is_it = |said: &Said| match said {
            Said::Spawn { asked, .. } => of.is_none() && asked == crew,
            Said::Grow { pool, asked, .. } => of == Some(*pool) && asked == crew,
            _ => false,
        };
        match self.matched(is_it, |piece| ("workers".into(), next_title(piece))) {
            Some(Said::Spawn { answer, .. } | Said::Grow { answer, .. }) => answer.into(),
            _ => Err(PoolError(self.objection().unwrap_or_default())),
        }
    }

    fn explain(&self, task: TaskId) -> String {
        let here = |then: &TaskId| self.tasks.get(then).is_some_and(|(here, _)| *here == task);
        let explained = self.piece.explained.iter().find(|(then, _)| here(then));
        explained
            .map_or_else(|| "the trace does not say: it is replayed".into(), |(_, answer)| answer.clone())
    }

    /// What it showed, where the trace has that.
    fn now(&mut self) -> f64 {
        if let Some(then) = self.piece.now.pop_front() {
            self.clock = then;
        }
        self.clock
    }

    fn left(&mut self) -> Option<f64> {
        if let Some(then) = self.piece.left.pop_front() {
            self.left = then;
        }
        self.left
    }

    fn take(&mut self, until: Option<f64>) -> Taken {
        if self.stop.is_some() {
            return Taken::Draining;
        }
        if self.nothing > 0 {
            self.nothing -= 1;
            return self.nothing_until(until);
        }
        if let Some(said) = self.piece.asked.front() {
            return self.end(Stop::Waits { after: self.after(), has: title(said) });
        }
        let after = self.after();
        match self.piece.then {
            Then::Took { .. } | Then::Nothing(_) | Then::Draining => {}
            Then::End => return self.end(Stop::Further { after }),
            Then::Torn => return self.end(Stop::Torn { after }),
            Then::Damaged(line) => return self.end(Stop::Damaged { line, after }),
        }
        let next = self.trace.next();
        let piece = std::mem::replace(&mut self.piece, next);
        match piece.then {
            Then::Took { task, outcome } => {
                self.clock = self.clock.max(piece.t);
                let Some((task, title)) = self.tasks.remove(&task) else {
                    return self.end(Stop::Damaged { line: piece.line, after });
                };
                if outcome.holds_bytecode() {
                    return self.end(Stop::Bytecode { task: title, after });
                }
                Taken::Completion(Completion { task, outcome })
            }
            Then::Nothing(times) => {
                self.nothing = times.saturating_sub(1);
                self.nothing_until(until)
            }
            Then::Draining | Then::End | Then::Torn | Then::Damaged(_) => Taken::Draining,
        }
    }
}

impl Replayer {
    fn new(mut trace: Reader, verdict: Sender<(u64, Option<Stop>)>) -> Self {
        let piece = trace.next();
        let tasks = FxHashMap::default();
        Self {
            trace,
            piece,
            prints: Prints::default(),
            tasks,
            decisions: 0,
            last: String::new(),
            nothing: 0,
            clock: 0.0,
            left: None,
            stop: None,
            verdict,
        }
    }

    /// Whoever waited until then has waited.
    fn nothing_until(&mut self, until: Option<f64>) -> Taken {
        self.clock = self.clock.max(until.unwrap_or_default());
        Taken::Nothing
    }

    /// The last decision, for people.
    fn after(&self) -> String {
        match (self.decisions, self.last.as_str()) {
            (0, _) => "its beginning".into(),
            (number, "") => format!("decision {number}"),
            (number, last) => format!("decision {number} ({last})"),
        }
    }

    fn end(&mut self, stop: Stop) -> Taken {
        self.stop = Some(stop);
        Taken::Draining
    }

    /// Takes what the trace has and `is_it`; if it has none the player stops. `what`: was asked, and stands there instead.
    fn matched(
        &mut self,
        is_it: impl Fn(&Said) -> bool,
        what: impl FnOnce(&Piece) -> (String, String),
    ) -> Option<Said> {
        let at = self.piece.asked.iter().position(is_it);
        self.taken(at, what)
    }

    fn taken(&mut self, at: Option<usize>, what: impl FnOnce(&Piece) -> (String, String)) -> Option<Said> {
        if self.stop.is_some() {
            return None;
        }
        let found = at.and_then(|at| self.piece.asked.remove(at));
        if let Some(said) = &found {
            self.decisions += 1;
            self.last = title(said);
            return found;
        }
        self.stop = Some(match (self.piece.asked.is_empty(), &self.piece.then) {
            (true, Then::Torn) => Stop::Torn { after: self.after() },
            (true, Then::Damaged(line)) => Stop::Damaged { line: *line, after: self.after() },
            _ => {
                let (asked, has) = what(&self.piece);
                Stop::Other { decision: self.decisions + 1, asked, has }
            }
        });
        None
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        let is_left = !self.piece.asked.is_empty() || matches!(self.piece.then, Then::Took { .. });
        if self.stop.is_none() && is_left {
            self.stop = Some(Stop::Over { after: self.after(), has: next_title(&self.piece) });
        }
        // Who asked waits for it.
        let _ = self.verdict.send((self.decisions, self.stop.take()));
    }
}

/// What the trace has in the place of this task: the one of its name, if there is one.
fn nearest(piece: &Piece, asked: &Asked) -> String {
    let submits = piece.asked.iter().filter_map(|said| match said {
        Said::Submit(then) => Some(then),
        _ => None,
    });
    let same =
        |then: &&Asked| then.kind == asked.kind && then.name == asked.name && then.params == asked.params;
    let Some(then) = submits.clone().find(same) else { return next_title(piece) };
    let differences: Vec<&str> = then.parts.differences(&asked.parts).collect();
    match differences.is_empty() {
        true => title(&Said::Submit(then.clone())),
        false => format!("{} with another {}", then.title(), differences.join(" and ")),
    }
}

fn next_title(piece: &Piece) -> String {
    match (piece.asked.front(), &piece.then) {
        (Some(said), _) => title(said),
        (None, Then::Took { .. }) => "the end of a task that it waited for".into(),
        (None, Then::Nothing(_)) => "a look at what has ended".into(),
        (None, Then::Draining) => "the stop of the campaign".into(),
        (None, _) => "the end of the script".into(),
    }
}

fn title(said: &Said) -> String {
    match said {
        Said::Submit(asked) => asked.title(),
        Said::Cancel { task } => format!("the end of task {task}"),
        Said::Spawn { .. } | Said::Grow { .. } => "workers".into(),
        Said::Close { pool } => format!("the end of pool {pool}"),
        _ => "something else".into(),
    }
}
