//! What `harness check` says of a script: what is wrong with it, a line each, and its plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::dry::Ran;
use super::lint::{Level, Remark};
use crate::model::human::{count, duration};
use crate::model::{Hash, Kind};
use crate::root::plan::{Cost, Plan, Planned};

/// Of what was left out, and the like, so many are named.
const MOST: usize = 5;

/// The text, and whether the script is good.
pub(super) fn report(script: &Path, mut remarks: Vec<Remark>, ran: Option<&Ran>) -> (String, bool) {
    remarks.sort();
    remarks.dedup();
    let folder = script.parent().unwrap_or(Path::new(""));
    let shown = script.display();
    let mut text = String::new();
    for Remark { file, line, level, text: said, .. } in &remarks {
        let word = if *level == Level::Error { "error" } else { "warning" };
        let place = match line {
            0 => shown.to_string(),
            line => format!("{}:{line}", folder.join(file).display()),
        };
        let _ = writeln!(text, "{place}: {word}: {said}");
    }
    let number = |level| remarks.iter().filter(|remark| remark.level == level).count();
    let (errors, warnings) = (number(Level::Error), number(Level::Warning));
    let _ = writeln!(text, "{shown}: {}, {}", count(errors, "error"), count(warnings, "warning"));
    if let Some(ran) = ran {
        for line in plan(ran) {
            let _ = writeln!(text, "  {line}");
        }
    }
    (text, errors == 0)
}

fn plan(ran: &Ran) -> Vec<String> {
    let mut lines = vec![tasks(&ran.plan)];
    lines.extend(costs(&ran.plan.tasks));
    if let Some(seconds) = ran.late {
        lines.push(format!("that is as far as it came in {} (--timeout): it may go on", duration(seconds)));
    }
    if ran.plan.is_endless {
        lines.push(format!(
            "there it was stopped: {} are enough (--max-tasks)",
            count(ran.plan.tasks.len(), "task")
        ));
    }
    if let Some((asked, then)) = &ran.parts {
        let task = count(*asked, "task");
        lines.push(format!(
            "what it does depends on figures: with others {then} after {task}, so this is one way of several"
        ));
    }
    if !ran.seen.taken_for_true.is_empty() {
        lines.push(format!(
            "taken for true, of made-up figures: the assert at {}",
            some(&ran.seen.taken_for_true)
        ));
    }
    if !ran.seen.left_out.is_empty() {
        lines.push(format!("left out: {}", some(&ran.seen.left_out)));
    }
    lines
}

/// The first of them, and how many more there are.
fn some(all: &[String]) -> String {
    let named = all.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    let more = all.len().saturating_sub(MOST);
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// `would run 12 tasks: 8 compile (6 different builds), 4 measure; 3 of them are recorded`.
fn tasks(plan: &Plan) -> String {
    let mut kinds = BTreeMap::<Kind, usize>::new();
    for task in &plan.tasks {
        *kinds.entry(task.kind).or_default() += 1;
    }
    let builds: BTreeSet<Hash> = plan.tasks.iter().filter_map(|task| task.build).collect();
    let kind = |(kind, number): (&Kind, &usize)| match kind {
        Kind::Compile => format!("{number} compile ({})", count(builds.len(), "different build")),
        kind => format!("{number} {}", kind.word()),
    };
    let kinds = kinds.iter().map(kind).collect::<Vec<_>>().join(", ");
    let recorded = plan.tasks.iter().filter(|task| task.cost == Cost::Nothing).count();
    let recorded = if recorded > 0 { format!("; the journal has {recorded} of them") } else { String::new() };
    match plan.tasks.len() {
        0 => "would run no task".into(),
        number => format!("would run {}: {kinds}{recorded}", count(number, "task")),
    }
}

/// What it would take, in time of one node, by what that is known from.
fn costs(tasks: &[Planned]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |of: fn(Cost) -> Option<f64>, text: fn(String, String) -> String| {
        let known = tasks.iter().filter_map(|task| Some(of(task.cost)? * f64::from(task.nodes)));
        let (time, number) = known.fold((0.0, 0), |(sum, number), cost| (sum + cost, number + 1));
        if number > 0 {
            lines.push(text(duration(time), count(number, "task")));
        }
    };
    tell(
        |cost| if let Cost::Took(seconds) = cost { Some(seconds) } else { None },
        |time, tasks| format!("about {time} of one node for {tasks}: so long took their like"),
    );
    tell(
        |cost| if let Cost::AtMost(seconds) = cost { Some(seconds) } else { None },
        |time, tasks| format!("a guess: at most {time} of one node for {tasks}, by `timeout`"),
    );
    tell(
        |cost| if let Cost::Sampling(seconds) = cost { Some(seconds) } else { None },
        |time, tasks| {
            format!(
                "a guess: {time} of one node for {tasks}, by `max_time`; more where 3 samples, or 3 rounds of a comparison, take \
                 longer, for it waits for those"
            )
        },
    );
    tell(
        |cost| (cost == Cost::Unknown).then_some(0.0),
        |_, tasks| {
            format!(
                "not known for {tasks}: the journal has none of that kind and name, and they have no `timeout`"
            )
        },
    );
    lines
}
