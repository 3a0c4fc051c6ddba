//! Writes down what passes through the port. A script that looks often and finds nothing costs one line, not one each time.
//!
//! Knows the port's words, and nothing of who answers.

use super::{Answer, Prints, Said, Sink};
use crate::model::TaskId;
use crate::root::order::{Order, PoolError, PoolInfo};
use crate::root::port::Taken;

/// See the module.
pub(in crate::root) struct Scribe {
    sink: Sink,
    prints: Prints,
    /// So many times in a row nothing came.
    nothing: u64,
}

impl Scribe {
    pub(in crate::root) fn new(sink: Sink) -> Self {
        Self { sink, prints: Prints::default(), nothing: 0 }
    }

    pub(in crate::root) fn place(&mut self, class: u64, place: &str) {
        self.prints.place(class, place);
    }

    pub(in crate::root) fn submitted(&mut self, task: TaskId, order: &Order) {
        let asked = self.prints.add(task, order);
        self.said(Said::Submit(asked));
    }

    pub(in crate::root) fn took(&mut self, taken: &Taken) {
        match taken {
            Taken::Completion(end) => self.said(Said::Took { task: end.task, outcome: end.outcome.clone() }),
            Taken::Nothing => self.nothing += 1,
            // No campaign that is traced has any.
            Taken::Line(_) => {}
            Taken::Draining => self.said(Said::Draining),
            Taken::Interrupted => {} // no trace is written of what somebody types
        }
    }

    pub(in crate::root) fn said(&mut self, said: Said) {
        if self.nothing > 0 {
            self.sink.script(&Said::Nothing(std::mem::take(&mut self.nothing)));
        }
        self.sink.script(&said);
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.said(Said::End);
    }
}

impl From<&Result<PoolInfo, PoolError>> for Answer {
    fn from(answer: &Result<PoolInfo, PoolError>) -> Self {
        match answer {
            Ok(pool) => Answer::Pool(pool.clone()),
            Err(PoolError(why)) => Answer::Failed(why.clone()),
        }
    }
}

impl From<Answer> for Result<PoolInfo, PoolError> {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Pool(pool) => Ok(pool),
            Answer::Failed(why) => Err(PoolError(why)),
        }
    }
}
