//! What a node was like while something was measured on it: looked at before the first run and after the last one.
//!
//! Knows figures of the node and how the measurement ended, and decides what is said of the two together; what is
//! read where is `machine`'s. On a node that is noisy nothing that was asked for as `strict` begins.

use std::collections::BTreeSet;
use std::time::Instant;

use super::site::Failure;
use crate::machine::busy::Busy;
use crate::machine::environment::{Moment, Noise};
use crate::machine::{Kernel, Topology, show_list};
use crate::model::{Conditions, Detail, MeasureResult, Moving, Outcome, Placed, Work};
use crate::process::own;

/// Less of one CPU, in others' hands, does not matter.
const OTHERS_SHARE: f64 = 0.10;
/// Less stolen time, and less pressure, does not matter.
const STEAL_SHARE: f64 = 0.01;
const PRESSURE_SHARE: f64 = 0.05;
/// Of those who compute, the busiest are named.
const MOST_NAMED: usize = 4;
/// The kernel counts in ticks: so much is no sign of anything, s.
const SLACK_S: f64 = 0.05;

/// Is it timed?
pub fn is_timed(work: &Work) -> bool {
    matches!(work, Work::Measure(_) | Work::Compare(_))
}

/// May it only be measured on a node that is quiet?
pub fn is_strict(work: &Work) -> bool {
    match work {
        Work::Measure(spec) => spec.strict,
        Work::Compare(spec) => spec.strict,
        Work::Exec(_) | Work::Compile(_) => false,
    }
}

/// Is it to be told what each run consumes?
pub fn wants_energy(work: &Work) -> bool {
    match work {
        Work::Measure(spec) => spec.energy,
        Work::Compare(spec) => spec.variants.iter().any(|variant| variant.spec.energy),
        Work::Exec(_) | Work::Compile(_) => false,
    }
}

/// Packages count whoever computes on them: only who has them all, or the one that is counted, to himself may ask.
pub fn may_count_energy(
    kernel: &Kernel,
    own: &BTreeSet<u32>,
    alone: bool,
    package: Option<u32>,
) -> Result<(), Failure> {
    if !alone {
        let reason = "energy = true: packages count whatever runs on them, and this measurement shares its node or \
             socket: leave out `exclusive = false` or `exclusive = \"cores\"`, or take `exclusive = \"socket\"`";
        return Err(Failure::refused(reason));
    }
    let online = kernel.list("sys/devices/system/cpu/online").unwrap_or_default();
    let counted = match package {
        Some(package) => Topology::read(kernel, &online).cpus_of(package),
        None => online,
    };
    if counted.is_subset(own) {
        return Ok(());
    }
    let what = if package.is_some() { "socket" } else { "node" };
    Err(Failure::refused(format!(
        "energy = true: packages count whatever runs on them, and of this {what}'s CPUs {} harness may use {} only: ask \
         the batch system for whole nodes (`sbatch --exclusive`)",
        show_list(&counted),
        show_list(own)
    )))
}

/// Refuses a node that is noisy, with all that is wrong and what mends it.
pub fn admit(noise: &[Noise], busy: &[Busy]) -> Result<(), Failure> {
    let computing: Vec<String> = busy.iter().take(MOST_NAMED).map(named).collect();
    let computing = (!busy.is_empty()).then(|| {
        format!(
            "others compute here ({}): end them, take another node (`not_on`), or a job that has its nodes alone",
            computing.join(", ")
        )
    });
    let reasons: Vec<String> = noise.iter().map(|noise| noise.text.clone()).chain(computing).collect();
    if reasons.is_empty() {
        return Ok(());
    }
    let reasons = reasons.iter().map(|reason| format!("\n  * {reason}")).collect::<String>();
    Err(Failure::refused(format!("strict = true, and the node is noisy:{reasons}")))
}

fn named(Busy { pid, name, uid, share }: &Busy) -> String {
    let owner = uid.map_or_else(String::new, |uid| format!(", uid {uid}"));
    format!("`{name}`, process {pid}{owner}, {:.0} % of a CPU", share * 100.0)
}

/// A measurement under way, as seen from its node.
pub struct Watch {
    before: Moment,
    began: Instant,
    noise: Vec<Noise>,
    /// How often we had stood still.
    suspensions: u32,
    /// Why there is no energy.
    energy_note: Option<String>,
}

impl Watch {
    /// Begins it.
    pub fn new(before: Moment, noise: Vec<Noise>, energy_note: Option<String>) -> Self {
        Self { before, began: Instant::now(), noise, suspensions: own::suspensions(), energy_note }
    }

    /// It ended so: adds what the node was like. A launcher's processes, here and elsewhere, are not all ours, and those
    /// of neighbours count as ours only when they have ended.
    pub fn ended(self, outcome: Outcome, after: &Moment, placed: Option<Placed>) -> Outcome {
        let elapsed_s = self.began.elapsed().as_secs_f64();
        let mut outcome = outcome;
        let beside = placed.as_ref().is_some_and(|placed| !placed.neighbours.is_empty());
        let is_launched = results(&mut outcome.detail).iter().any(|result| result.launched.is_some());
        let mut moving = moving(&self.before, after);
        moving.energy_note = self.energy_note;
        if is_launched || beside {
            moving.others_cpu_s = None;
        }
        let mut flags = flags(&self.noise, &moving, elapsed_s);
        flags.extend(beside.then(|| "side_by_side".into()));
        flags.extend((own::suspensions() != self.suspensions).then(|| "suspended".into()));
        for result in results(&mut outcome.detail) {
            if !result.samples.is_empty() {
                result.flags.extend(flags.iter().cloned());
            }
        }
        outcome.conditions = Conditions { moving, placed }.told();
        outcome
    }
}

fn results(detail: &mut Detail) -> Vec<&mut MeasureResult> {
    match detail {
        Detail::Measure(result) => vec![result],
        Detail::Compare(result) => result.variants.iter_mut().map(|variant| &mut variant.result).collect(),
        _ => Vec::new(),
    }
}

fn moving(before: &Moment, after: &Moment) -> Moving {
    let added = |of: fn(&Moment) -> Option<f64>| Some((of(after)? - of(before)?).max(0.0));
    let pair = |of: fn(&Moment) -> Option<f64>| Some([of(before)?, of(after)?]);
    Moving {
        freq_hz: pair(|moment| moment.freq_hz),
        temp_c: pair(|moment| moment.temp_c),
        load1: pair(|moment| moment.load1),
        throttle_count: after
            .throttles
            .zip(before.throttles)
            .map(|(after, before)| after.saturating_sub(before)),
        psi_cpu_some_s: added(|moment| moment.pressure_s[0]),
        psi_mem_some_s: added(|moment| moment.pressure_s[1]),
        psi_io_some_s: added(|moment| moment.pressure_s[2]),
        others_cpu_s: added(|moment| Some(moment.busy_s? - moment.ours_s?)),
        steal_s: added(|moment| moment.steal_s),
        energy_note: None,
    }
}

fn flags(noise: &[Noise], moving: &Moving, elapsed_s: f64) -> Vec<String> {
    let exceeds = |figure: Option<f64>, share: f64| figure.is_some_and(|s| s > share * elapsed_s + SLACK_S);
    let moved = [
        ("load", exceeds(moving.others_cpu_s, OTHERS_SHARE)),
        ("steal", exceeds(moving.steal_s, STEAL_SHARE)),
        ("psi_cpu", exceeds(moving.psi_cpu_some_s, PRESSURE_SHARE)),
        ("psi_mem", exceeds(moving.psi_mem_some_s, PRESSURE_SHARE)),
        ("psi_io", exceeds(moving.psi_io_some_s, PRESSURE_SHARE)),
    ];
    let moved = moved.into_iter().filter(|(_, is_so)| *is_so).map(|(what, _)| what);
    let mut flags: Vec<String> =
        noise.iter().map(|noise| noise.what).chain(moved).map(|what| format!("noisy_env:{what}")).collect();
    if moving.throttle_count.is_some_and(|count| count > 0) {
        flags.push("throttled".into());
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Status, StopReason, Summary};

    fn moment(at_s: f64) -> Moment {
        Moment {
            throttles: Some(7),
            busy_s: Some(100.0 + at_s),
            ours_s: Some(3.0 + at_s),
            pressure_s: [Some(1.0), None, Some(2.0)],
            steal_s: Some(0.0),
            ..Moment::default()
        }
    }

    fn flags_after(after: Moment) -> Vec<String> {
        flags(&[], &moving(&moment(0.0), &after), 10.0)
    }

    #[test]
    fn a_quiet_node_has_no_flags_however_much_we_computed_ourselves() {
        assert_eq!(flags_after(moment(10.0)), [""; 0]);
    }

    #[test]
    fn what_others_did_meanwhile_is_flagged() {
        let others = Moment { busy_s: Some(112.0), ..moment(10.0) };
        assert_eq!(flags_after(others), ["noisy_env:load"]);
        let throttled = Moment { throttles: Some(9), steal_s: Some(0.2), ..moment(10.0) };
        assert_eq!(flags_after(throttled), ["noisy_env:steal", "throttled"]);
        let pressed = Moment { pressure_s: [Some(2.0), Some(99.0), Some(2.1)], ..moment(10.0) };
        assert_eq!(flags_after(pressed), ["noisy_env:psi_cpu"], "memory was not known before");
    }

    #[test]
    fn a_reading_that_is_missing_on_one_side_is_none() {
        let moving = moving(&Moment::default(), &moment(1.0));
        assert_eq!(moving, Moving::default());
    }

    fn one_sample() -> MeasureResult {
        let mut result = MeasureResult::sample(Summary::default(), StopReason::Fixed);
        result.samples.push(crate::model::Sample {
            phase: crate::model::Phase::Sample,
            t_start_s: 0.0,
            usage: Default::default(),
            metrics: Default::default(),
            output_hash: None,
            energy: Default::default(),
        });
        result
    }

    #[test]
    fn the_flags_stand_with_the_samples_and_the_figures_beside_them() {
        let noise = Noise { what: "governor", text: "slow".into() };
        let result = one_sample();
        let outcome =
            Outcome { detail: Detail::Measure(Box::new(result)), ..Outcome::failed(Status::Ok, "") };
        let outcome = Watch::new(moment(0.0), vec![noise], None).ended(outcome, &moment(0.0), None);
        let Detail::Measure(result) = &outcome.detail else { panic!() };
        assert_eq!(result.flags, ["noisy_env:governor"]);
        assert_eq!(outcome.conditions.unwrap().moving.throttle_count, Some(0));
    }

    #[test]
    fn energy_is_only_for_who_has_the_packages_alone() {
        let (_folder, kernel) = crate::machine::recorded(&[("sys/devices/system/cpu/online", "0-3\n")]);
        assert_eq!(may_count_energy(&kernel, &(0..4).collect(), true, None), Ok(()));
        let shared = may_count_energy(&kernel, &(0..4).collect(), false, None).unwrap_err();
        assert!(shared.reason.contains("leave out `exclusive = false`"));
        let part = may_count_energy(&kernel, &(0..2).collect(), true, None).unwrap_err();
        assert!(part.reason.contains("CPUs 0-3 harness may use 0-1 only"), "{}", part.reason);
        assert_eq!(part.status, Status::Refused);
    }

    #[test]
    fn who_has_a_socket_must_have_all_of_it() {
        let mut files = vec![("sys/devices/system/cpu/online".to_owned(), "0-3\n")];
        for cpu in 0..4 {
            let package = if cpu < 2 { "0\n" } else { "1\n" };
            files.push((format!("sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"), package));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let (_folder, kernel) = crate::machine::recorded(&files);
        assert_eq!(may_count_energy(&kernel, &[2, 3].into(), true, Some(1)), Ok(()));
        let part = may_count_energy(&kernel, &[0, 2, 3].into(), true, Some(0)).unwrap_err();
        assert!(
            part.reason.contains("of this socket's CPUs 0-1 harness may use 0,2-3 only"),
            "{}",
            part.reason
        );
    }

    #[test]
    fn a_figure_that_was_not_alone_says_so() {
        let result = one_sample();
        let detail = Detail::Measure(Box::new(result));
        let others = Moment { busy_s: Some(900.0), ..moment(10.0) };
        let ended = |neighbours: &[u64]| {
            let neighbours = neighbours.iter().map(|task| crate::model::TaskId(*task)).collect();
            let outcome = Outcome { detail: detail.clone(), ..Outcome::failed(Status::Ok, "") };
            let placed = Some(Placed { neighbours, ..Placed::default() });
            let outcome = Watch::new(moment(0.0), Vec::new(), None).ended(outcome, &others, placed);
            let Detail::Measure(result) = &outcome.detail else { panic!() };
            (result.flags.clone(), outcome.conditions.unwrap().moving.others_cpu_s.is_some())
        };
        assert_eq!(ended(&[]), (vec!["noisy_env:load".to_owned()], true));
        assert_eq!(
            ended(&[7]),
            (vec!["side_by_side".to_owned()], false),
            "its neighbours' time is not others'"
        );
    }

    #[test]
    fn strict_names_every_reason_and_its_remedy() {
        assert_eq!(admit(&[], &[]), Ok(()));
        let noise = Noise { what: "governor", text: "the governor: mend it so".into() };
        let busy = Busy { pid: 12, name: "stress".into(), uid: Some(1001), share: 0.98 };
        let failure = admit(&[noise], &[busy]).unwrap_err();
        assert_eq!(failure.status, Status::Refused);
        let lines: Vec<&str> = failure.reason.lines().collect();
        assert_eq!(lines[1], "  * the governor: mend it so");
        let others = "  * others compute here (`stress`, process 12, uid 1001, 98 % of a CPU): end them";
        assert!(lines[2].starts_with(others), "{}", lines[2]);
    }
}
