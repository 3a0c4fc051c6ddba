//! What became of a file of tests: for people, and as a suite of JUnit's.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::child::News;
use crate::cli::own::End;
use crate::model::human::count;
use crate::process::Exit;
use crate::report::junit::{Became, Case, Suite};
use crate::script::testing::Step;

/// Lines that a failing test printed and are shown; the first of them are left out.
const MOST_LINES: usize = 20;

/// A file of tests.
pub(super) struct Tested {
    file: String,
    seconds: f64,
    pub(super) cases: Vec<Ended>,
    stopped: bool,
}

/// One of its tests.
pub(super) struct Ended {
    /// None: the file itself.
    name: Option<String>,
    seconds: f64,
    /// How, and why.
    how: Step,
    text: String,
    printed: String,
}

/// A test that has begun.
struct Open {
    name: String,
    place: String,
    at_s: f64,
    from: u64,
}

impl Tested {
    /// By what the file told until its end, and what it printed.
    pub(super) fn new(
        file: &Path,
        filter: &str,
        end: End,
        timeout: f64,
        took: Duration,
        news: Vec<News>,
        printed: &[u8],
    ) -> Self {
        let mut tested = Self {
            file: file.display().to_string(),
            seconds: took.as_secs_f64(),
            cases: Vec::new(),
            stopped: matches!(end, End::Stopped),
        };
        let (mut open, mut over, mut left) = (None::<Open>, None, 0);
        for piece in news {
            match piece {
                News::Test { step: Step::Began, name, text, at_s, printed } => {
                    open = Some(Open { name, place: text, at_s, from: printed });
                }
                News::Test { step: Step::Left, .. } => left += 1,
                News::Test { step, name, text, at_s, printed: to } => {
                    let (began, from) = open.take().map_or((at_s, to), |open| (open.at_s, open.from));
                    let printed = between(printed, from, to);
                    tested.cases.push(Ended {
                        name: Some(name),
                        seconds: at_s - began,
                        how: step,
                        text,
                        printed,
                    });
                }
                News::Over { code, message } => over = Some((code, message)),
            }
        }
        let problem = match (&end, over) {
            (End::Stopped, _) => None,
            (End::TooLate, _) => {
                Some(format!("it did not end within {timeout} s (--timeout) and was killed"))
            }
            (_, Some((0, _))) => open
                .is_some()
                .then(|| "`os.exit` ended the file in it: the tests behind it did not run".into()),
            (_, Some((code, message))) => {
                Some(message.unwrap_or_else(|| format!("it ended with exit code {code}")))
            }
            (End::Itself(exit), None) => Some(ended_early(*exit)),
        };
        tested.close(open, problem, left == 0 || tested.file.contains(filter), printed);
        tested
    }

    /// What is to be said of the file itself: why it failed, or that it passed, if it has no tests.
    fn close(&mut self, open: Option<Open>, problem: Option<String>, is_meant: bool, printed: &[u8]) {
        let whole = printed.len() as u64;
        let seconds = self.seconds;
        let (how, name, text, from) = match (problem, open) {
            (Some(problem), Some(Open { name, place, from, .. })) => {
                (Step::Failed, Some(name), format!("{place}: {problem}"), from)
            }
            (Some(problem), None) => (Step::Failed, None, problem, 0),
            (None, _) if self.cases.is_empty() && is_meant && !self.stopped => {
                (Step::Passed, None, String::new(), whole)
            }
            (None, _) => return,
        };
        self.cases.push(Ended { name, seconds, how, text, printed: between(printed, from, whole) });
    }

    /// Was it ended because we were to end?
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn number(&self, how: Step) -> usize {
        self.cases.iter().filter(|case| case.how == how).count()
    }

    /// For JUnit.
    pub(super) fn suite(&self) -> Suite {
        let case = |ended: &Ended| Case {
            name: ended.name.clone().unwrap_or_else(|| self.file.clone()),
            class: self.file.clone(),
            seconds: Some(ended.seconds),
            became: match ended.how {
                Step::Failed => Became::Failed {
                    kind: "failed".into(),
                    message: ended.text.lines().next().unwrap_or_default().into(),
                    text: format!("{}\n{}", ended.text, ended.printed),
                },
                Step::Skipped => Became::Skipped(ended.text.clone()),
                _ => Became::Good(String::new()),
            },
        };
        Suite { name: self.file.clone(), cases: self.cases.iter().map(case).collect(), said: String::new() }
    }
}

fn ended_early(exit: Exit) -> String {
    format!("it ended before its tests did: {exit}")
}

fn between(printed: &[u8], from: u64, to: u64) -> String {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(printed.len());
    String::from_utf8_lossy(&printed[at(from)..at(to).max(at(from))]).into_owned()
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in self.cases.iter().filter(|case| case.how == Step::Skipped) {
            writeln!(f, "skip  {}: {}", called(&self.file, case), case.text.trim_end())?;
        }
        let failed: Vec<&Ended> = self.cases.iter().filter(|case| case.how == Step::Failed).collect();
        for case in &failed {
            writeln!(f, "FAIL  {}, {:.1} s", called(&self.file, case), case.seconds)?;
            case.text.trim_end().lines().try_for_each(|line| writeln!(f, "      {line}"))?;
            let printed: Vec<&str> = case.printed.trim_end().lines().collect();
            if !printed.is_empty() {
                writeln!(f, "      printed:")?;
            }
            if printed.len() > MOST_LINES {
                writeln!(f, "        ({} before)", count(printed.len() - MOST_LINES, "line"))?;
            }
            let last = printed.iter().skip(printed.len().saturating_sub(MOST_LINES));
            last.into_iter().try_for_each(|line| writeln!(f, "        {line}"))?;
        }
        let stopped = if self.stopped { " (stopped)" } else { "" };
        match self.number(Step::Passed) {
            0 if self.stopped => writeln!(f, "stop  {}", self.file),
            0 => Ok(()),
            passed if self.cases.len() == 1 && self.cases[0].name.is_none() => {
                debug_assert_eq!(passed, 1);
                writeln!(f, "ok    {}, {:.1} s", self.file, self.seconds)
            }
            passed => {
                writeln!(f, "ok    {}: {}, {:.1} s{stopped}", self.file, count(passed, "test"), self.seconds)
            }
        }
    }
}

fn called(file: &str, case: &Ended) -> String {
    case.name.as_ref().map_or_else(|| file.to_owned(), |name| format!("{file}: {name}"))
}

/// All files in a line, and whether nothing failed.
pub(super) fn summary(all: &[Tested]) -> (String, bool) {
    let number = |how| all.iter().map(|tested| tested.number(how)).sum::<usize>();
    let (passed, failed, skipped) = (number(Step::Passed), number(Step::Failed), number(Step::Skipped));
    let seconds: f64 = all.iter().map(|tested| tested.seconds).sum();
    let skips = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    let tests = count(passed + failed + skipped, "test");
    let files = count(all.len(), "file");
    (format!("{tests} in {files}: {passed} passed, {failed} failed{skips}; {seconds:.1} s\n"), failed == 0)
}
