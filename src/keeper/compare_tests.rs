//! Comparisons of runs that never happened; all that `compare` may decide by is told to it. Knows no processes.

use super::*;
use crate::keeper::fake;
use crate::keeper::hooks::Hook;
use crate::keeper::run::{Forced, StartError};
use crate::keeper::site::Command;
use crate::machine::counters::Count;
use crate::model::{MeasureSpec, Verdict};
use crate::process::Exit;

fn side(name: &str) -> Side {
    side_with(name, &[])
}

fn side_with(name: &str, hooks: &[Hook]) -> Side {
    Side::of(name, fake::subject(name, MeasureSpec::default(), hooks))
}

fn compare(names: &[&str], max_rounds: usize) -> Compare {
    Compare::of(names.iter().map(|name| side(name)).collect(), max_rounds, Some(60.0), 0.01, 5).unwrap()
}

fn took(wall_s: f64) -> Finished {
    Ok(fake::took(wall_s))
}

/// Drives a comparison with runs that never happened: `run(name, i)` is the i-th run of that variant. Gives also who ran.
fn drive(
    mut compare: Compare,
    mut run: impl FnMut(&str, usize) -> Finished,
) -> (Outcome, CompareResult, Vec<String>) {
    let (mut now_s, mut last, mut ran) = (0.0, None, Vec::<String>::new());
    let learned = Learned::default();
    loop {
        let finished = match compare.next(last.take(), now_s, &learned) {
            Step::Done(outcome) => {
                let Detail::Compare(result) = outcome.detail.clone() else { panic!("{outcome:?}") };
                return (*outcome, *result, ran);
            }
            Step::Run(command, _) if command.argv[0].as_c_str() == c"true" => took(0.001),
            Step::Inspect(_) => panic!("no function looks at these runs"),
            step @ (Step::Run(..) | Step::Count(..) | Step::RunLast(..)) => {
                let name = name_of(&step);
                let before = ran.iter().filter(|other| **other == name).count();
                let finished = run(&name, before);
                ran.push(name);
                finished
            }
        };
        if let Ok(ended) = &finished {
            now_s += ended.usage.wall_s;
        }
        last = Some(finished);
    }
}

/// Of what runs; if events are counted with a `#`.
fn name_of(step: &Step) -> String {
    let name = |command: &Command| command.argv_text().remove(0);
    match step {
        Step::Run(command, _) | Step::RunLast(command, _) => name(command),
        Step::Count(command, ..) => format!("#{}", name(command)),
        Step::Inspect(_) | Step::Done(_) => panic!("no program"),
    }
}

fn verdict(result: &CompareResult, at: usize) -> Option<Verdict> {
    result.variants[at].comparison.map(|found| found.verdict)
}

#[test]
fn rounds_go_on_until_the_verdicts_are_out() {
    // The machine gets slower all the time, for all alike.
    let (outcome, result, ran) = drive(compare(&["base", "quick", "same"], 60), |name, i| {
        took((1.0 + 0.03 * i as f64) * if name == "quick" { 0.8 } else { 1.0 })
    });
    assert!(outcome.ok());
    assert_eq!(
        (verdict(&result, 1), verdict(&result, 2)),
        (Some(Verdict::Faster), Some(Verdict::Equivalent))
    );
    assert_eq!((result.stop_reason, result.rounds), (StopReason::Settled, 12));
    let quick = result.variants[1].comparison.unwrap();
    assert!((quick.ratio - 1.25).abs() < 1e-9 && quick.rounds == 12, "{quick:?}");
    assert_eq!(&ran[..3], ["base", "quick", "same"], "each warms up");
    for round in ran[3..].chunks(3) {
        let mut names = round.to_vec();
        names.sort();
        assert_eq!(names, ["base", "quick", "same"], "each runs once in a round");
    }
}

fn counting(names: &[&str]) -> Compare {
    let counters = vec!["cycles".to_owned()];
    let side = |name: &&str| {
        let spec = MeasureSpec { counters: counters.clone(), ..MeasureSpec::default() };
        Side::of(name, fake::subject(name, spec, &[]))
    };
    Compare::of(names.iter().map(side).collect(), 10, None, 0.01, 5).unwrap()
}

#[test]
fn events_are_counted_in_turns_after_the_last_round() {
    let run = |name: &str, i: usize| {
        let count = Count { value: Some(i as f64), ..Count::default() };
        let counts = if name.starts_with('#') { vec![("cycles".to_owned(), count)] } else { Vec::new() };
        Ok(Ended { counts, ..fake::took(if name == "#quick" { 99.0 } else { 1.0 }) })
    };
    let (outcome, result, ran) = drive(counting(&["base", "quick"]), run);
    assert!(outcome.ok());
    assert_eq!(
        (verdict(&result, 1), result.rounds),
        (Some(Verdict::Equivalent), 10),
        "no sample is slowed down"
    );
    let (timed, counted) = ran.split_at(2 * 11);
    assert!(timed.iter().all(|name| !name.starts_with('#')), "{ran:?}");
    for pair in counted.chunks(2) {
        let mut names = pair.to_vec();
        names.sort();
        assert_eq!(names, ["#base", "#quick"]);
    }
    for variant in &result.variants {
        let counters = variant.result.counters.as_ref().unwrap();
        assert_eq!(counters.events["cycles"].value, [Some(0.0), Some(1.0), Some(2.0)]);
        assert_eq!(variant.result.samples.len(), 11);
    }

    // Who fails then has failed.
    let (outcome, result, ran) = drive(counting(&["base", "quick", "third"]), |name, i| match (name, i) {
        ("#quick", 1) => Ok(fake::ended(Exit::Code(3), "")),
        _ => took(1.0),
    });
    assert!(outcome.ok());
    let quick = &result.variants[1];
    assert_eq!(
        (quick.status, quick.comparison, quick.result.counters.is_none()),
        (Status::NonzeroExit, None, true)
    );
    assert_eq!(quick.reason.as_deref(), Some("run 2 for counters: exit code 3"));
    assert_eq!(ran.iter().filter(|name| name.starts_with('#')).count(), 3 + 2 + 3);
    assert_eq!(verdict(&result, 2), Some(Verdict::Equivalent));
}

#[test]
fn what_fails_leaves_and_the_others_go_on() {
    let (outcome, result, ran) = drive(compare(&["base", "broken", "slow"], 10), |name, i| match name {
        "broken" if i == 3 => Ok(fake::ended(Exit::Signal(11), "")),
        "slow" => took(2.0),
        _ => took(1.0),
    });
    assert!(outcome.ok());
    let broken = &result.variants[1];
    assert_eq!((broken.status, broken.comparison), (Status::Signal, None));
    assert!(broken.reason.as_deref().unwrap().starts_with("sample 3: killed by signal 11"));
    assert_eq!((verdict(&result, 2), result.rounds), (Some(Verdict::Slower), 10), "as many as asked");
    assert_eq!(ran.iter().filter(|name| *name == "broken").count(), 4);
}

#[test]
fn without_the_base_or_anybody_beside_it_there_is_no_comparison() {
    let crash = |who: &'static str| {
        move |name: &str, _: usize| if name == who { Ok(fake::ended(Exit::Code(3), "")) } else { took(1.0) }
    };
    let (outcome, result, _) = drive(compare(&["base", "other"], 10), crash("base"));
    assert_eq!((outcome.status, result.stop_reason), (Status::NonzeroExit, StopReason::Failed));
    assert_eq!(outcome.reason.as_deref(), Some("base: warm-up run 1: exit code 3"));
    // What never ran, or ran beside nothing, is no figure.
    let other = &result.variants[1];
    assert_eq!((other.status, &other.result.stats, other.comparison), (Status::Skipped, &None, None));
    assert_eq!(other.reason.as_deref(), Some("base ended nonzero_exit"));
    let late = |name: &str, i: usize| {
        if name == "base" && i == 1 { Ok(fake::ended(Exit::Code(3), "")) } else { took(1.0) }
    };
    let (_, result, _) = drive(compare(&["base", "other"], 10), late);
    assert_eq!((result.variants[1].status, &result.variants[1].result.stats), (Status::Skipped, &None));
    let (outcome, _, _) = drive(compare(&["base", "other"], 10), crash("other"));
    assert_eq!(outcome.reason.as_deref(), Some("other: warm-up run 1: exit code 3"));
    assert_eq!(Compare::of(vec![side("base")], 9, None, 0.01, 0).err().unwrap().status, Status::Refused);
}

#[test]
fn a_forced_end_is_that_of_all_and_limits_hold() {
    let (outcome, result, _) = drive(compare(&["base", "other"], 10), |name, i| {
        let mut ended = took(1.0)?;
        ended.forced = (name == "other" && i == 4).then_some(Forced::Timeout(9.0));
        Ok(ended)
    });
    assert_eq!((outcome.status, result.rounds), (Status::Timeout, 3));
    // Before there was anything that counts, nothing is well.
    let (_, result, _) = drive(compare(&["base", "other", "third"], 10), |name, i| {
        let mut ended = took(1.0)?;
        ended.forced = (name == "other" && i == 0).then_some(Forced::Timeout(9.0));
        Ok(ended)
    });
    let statuses = result.variants.iter().map(|variant| variant.status);
    assert!(statuses.eq([Status::Skipped, Status::Timeout, Status::Skipped]), "{result:?}");
    let why = result.variants[2].reason.as_deref();
    assert_eq!(why, Some("it had no run that counts when other ended timeout"));
    let noisy = |_: &str, i: usize| took(if i.is_multiple_of(3) { 9.0 } else { 1.0 });
    let (outcome, result, _) = drive(compare(&["base", "other"], 100), noisy);
    assert!(outcome.ok());
    assert_eq!((result.stop_reason, result.rounds < 20), (StopReason::MaxTime, true));
}

#[test]
fn what_runs_around_a_variant_is_its_own_affair() {
    let sides = || {
        let hooks = [Hook::Setup, Hook::Prepare, Hook::Cleanup];
        vec![side("base"), side_with("other", &hooks), side("third")]
    };
    let of = |sides| Compare::of(sides, 10, None, 0.01, 5).unwrap();
    let (outcome, result, ran) =
        drive(of(sides()), |name, _| took(if name == "prepare" { 9.0 } else { 1.0 }));
    assert!(outcome.ok());
    assert_eq!((ran[0].as_str(), ran[ran.len() - 1].as_str()), ("setup", "cleanup"));
    for (at, name) in ran.iter().enumerate() {
        assert_eq!(name == "prepare", ran.get(at + 1).is_some_and(|next| next == "other"));
    }
    assert_eq!(verdict(&result, 1), Some(Verdict::Equivalent));
    let hooks = result.variants[1].result.hooks.clone().unwrap();
    assert_eq!(hooks.prepare_s.len(), 1 + result.rounds as usize);
    assert_eq!(result.variants[0].result.hooks, None);

    // One whose setup fails leaves, and is cleaned up after all the same.
    let failing = |who: &'static str| {
        move |name: &str, _: usize| if name == who { Ok(fake::ended(Exit::Code(1), "")) } else { took(1.0) }
    };
    let (outcome, result, ran) = drive(of(sides()), failing("setup"));
    assert!(outcome.ok() && !ran.contains(&"other".into()));
    let variant = &result.variants[1];
    assert_eq!(
        (variant.status, variant.reason.as_deref()),
        (Status::SetupFailed, Some("setup: exit code 1"))
    );
    assert_eq!(ran.last().map(String::as_str), Some("cleanup"));
    let (outcome, result, _) = drive(of(sides()), failing("cleanup"));
    assert!(outcome.ok() && result.variants[1].result.flags.contains(&"cleanup_failed".into()));

    // Also where the whole comparison is told to end.
    let (outcome, _, ran) = drive(of(sides()), |name, i| match (name, i) {
        ("third", 3) => Err(StartError::Forced(Forced::Cancelled)),
        _ => took(1.0),
    });
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(ran.last().map(String::as_str), Some("cleanup"));
}

/// Nothing is kept for runs that are to come.
#[test]
fn each_warms_up_as_often_as_it_is_to() {
    let of = |warmups: [u32; 2]| {
        let sides = ["base", "other"].into_iter().zip(warmups).map(|(name, warmup)| {
            Side::of(name, fake::subject(name, MeasureSpec { warmup, ..MeasureSpec::default() }, &[]))
        });
        Compare::of(sides.collect(), 7, Some(60.0), 0.01, 5).unwrap()
    };
    let (outcome, _, ran) = drive(of([3, 2]), |_, _| took(1.0));
    assert!(outcome.ok());
    assert_eq!(ran[..5], ["base", "base", "base", "other", "other"]);
    let (_, _, ran) = drive(of([u32::MAX, u32::MAX]), |_, i| match i {
        3 => Err(StartError::Forced(Forced::Cancelled)),
        _ => took(1.0),
    });
    assert_eq!(ran, ["base"; 4]);
}
