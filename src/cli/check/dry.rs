//! The dry runs of a script: one for the plan, and one with other figures, which says whether the plan depends on them.
//!
//! Of what functions return nobody knows the kind. At first it is something that stands for anything; where that does not do, the
//! script runs once more, with numbers.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::CheckArgs;
use crate::model::{CallReturn, Hash};
use crate::root::ScriptEnd;
use crate::root::plan::{Plan, Terms, run as run_dry};
use crate::root::port::{Campaign, Index};
use crate::script::check::{made_up, returned};
use crate::script::modules::Modules;
use crate::script::{Content, Dry, Ended, ScriptError, ScriptState, Seen};

/// No figure of the script's depends on it, unless it draws numbers.
const SEED: u64 = 1;
/// More values hardly any function returns.
const MOST_VALUES: usize = 8;
/// Errors that no figure can be the reason for.
const CERTAIN: [&str; 4] = ["unknown option '", "unknown field '", "unknown name '", "cannot ship "];

/// What a dry run showed.
pub(super) struct Ran {
    pub(super) plan: Plan,
    /// It did not end in time (s).
    pub(super) late: Option<f64>,
    /// Why it failed.
    pub(super) problem: Option<Problem>,
    pub(super) seen: Seen,
    /// After so many tasks it depends on figures, and what it does then that it did not do before.
    pub(super) parts: Option<(usize, String)>,
}

/// Why a script failed.
pub(super) struct Problem {
    pub(super) text: String,
    /// It would fail with measured figures, too.
    pub(super) is_certain: bool,
}

/// What all runs of a script have in common.
struct Script<'a> {
    campaign: Campaign,
    index: Index,
    arguments: &'a CheckArgs,
    modules: &'a Arc<Modules>,
    calls: Vec<CallReturn>,
}

/// One run.
struct Run {
    plan: Plan,
    end: Option<ScriptEnd>,
    seen: Seen,
}

/// Runs it as often as needed.
pub(super) fn run(
    script: &Path,
    dir: &Path,
    args: Vec<String>,
    index: Index,
    arguments: &CheckArgs,
    modules: &Arc<Modules>,
) -> Result<Ran, String> {
    let (script, dir) = (script.to_owned(), dir.to_owned());
    let campaign = Campaign { script, dir, args, seed: SEED, verbosity: -1, ..Campaign::default() };
    let calls =
        (0..=MOST_VALUES).map(made_up).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let script = Script { campaign, index, arguments, modules, calls };
    let mut how = Dry::default();
    let mut first = script.run(how, Vec::new())?;
    if first.is_in_doubt() {
        let numbers = Dry { numbers: true, ..how };
        let second = script.run(numbers, Vec::new())?;
        if second.problem().is_none() {
            (first, how) = (second, numbers);
        }
    }
    let may_part = first.plan.made_up > 0 && first.end.is_some() && !first.plan.is_endless;
    let parts = match may_part {
        true => script.run(Dry { other: true, ..how }, first.plan.prints.clone())?.parts(&first),
        false => None,
    };
    let late = first.end.is_none().then_some(arguments.timeout);
    let problem = first.problem();
    Ok(Ran { plan: first.plan, late, problem, seen: first.seen, parts })
}

impl Script<'_> {
    fn run(&self, how: Dry, first: Vec<Hash>) -> Result<Run, String> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (modules, shown) = (self.modules.clone(), seen.clone());
        let look = move |state: &ScriptState| {
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = state.seen()?;
            Ok::<(), ScriptError>(())
        };
        let play = move |port| -> Result<Ended, ScriptError> {
            let state = ScriptState::dry(port, Box::new(name_only), modules, how)?;
            look(&state)?; // it may not come to its end
            let ended = state.run();
            look(&state)?;
            ended
        };
        let terms = Terms {
            campaign: self.campaign.clone(),
            index: self.index.clone(),
            most: self.arguments.max_tasks as usize,
            time: Duration::try_from_secs_f64(self.arguments.timeout).unwrap_or(Duration::MAX),
            calls: self.calls.clone(),
            returned,
            other: how.other,
            first,
        };
        let script = move |port| match play(port) {
            Ok(Ended::Finished) => ScriptEnd::Finished,
            Ok(Ended::Exit(code)) => ScriptEnd::Exit(code),
            Ok(Ended::Drained) => ScriptEnd::Stopped,
            Err(error) => ScriptEnd::Failed(error.to_string()),
        };
        let (plan, end) = run_dry(terms, Box::new(script)).map_err(|error| error.to_string())?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Run { plan, end, seen })
    }
}

impl Run {
    fn problem(&self) -> Option<Problem> {
        let text = match &self.end {
            Some(ScriptEnd::Failed(text)) if !self.plan.is_endless => text.clone(),
            Some(ScriptEnd::Exit(code)) if *code != 0 => format!("it ends with exit code {code}"),
            _ => return None,
        };
        let knew = self.plan.made_up == 0 && self.seen.left_out.is_empty();
        let is_certain = knew || CERTAIN.iter().any(|word| text.contains(word));
        Some(Problem { text, is_certain })
    }

    /// Did it fail, and might that be for what calls gave it?
    fn is_in_doubt(&self) -> bool {
        self.problem().is_some_and(|problem| !problem.is_certain)
    }

    /// Where this run, which had other figures, goes another way than the first.
    fn parts(self, first: &Self) -> Option<(usize, String)> {
        let asked = self.plan.prints.len();
        if let Some((asked, task)) = self.plan.parts {
            return Some((asked, format!("it asks for {task}")));
        }
        let is_less = asked < first.plan.prints.len();
        is_less.then(|| match &self.end {
            Some(ScriptEnd::Failed(text)) => {
                (asked, format!("it fails: {}", text.lines().next().unwrap_or_default()))
            }
            _ => (asked, "it asks for nothing more".into()),
        })
    }
}

/// What would go into the store is only named.
fn name_only(content: Content<'_>) -> Result<Hash, String> {
    match content {
        Content::File(path) => {
            let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Hash::of(&text))
        }
        Content::Bytes(bytes) => Ok(Hash::of(bytes)),
    }
}
