//! When the campaign has to be over: `--deadline`, or the end of the batch job, whichever is first.
//!
//! Some time before (`--margin`) the campaign drains as after a signal, so that it ends in order and not by
//! SIGKILL. Found out once, at the start; clock, environment and commands are arguments.

use std::time::{Duration, Instant};

use crate::allocation::{Walltime, walltime};
use crate::model::human::{duration, seconds};

/// The margin where none is given is so much, or a tenth of what is left if that is less (s).
const MARGIN_S: f64 = 30.0;
/// A time of day this far off (s) may be another one than was meant.
const FAR_S: f64 = 12.0 * 3600.0;
/// A campaign this long has no end (s): some 30 years.
const LONGEST_S: f64 = 1e9;

/// What the command line says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// `90 min`, `17:30`, `2027-01-31 17:30`.
    pub deadline: Option<String>,
    /// How long before the end to stop, s.
    pub margin: Option<f64>,
}

/// The end of a campaign's time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Deadline {
    /// From when on it was known.
    pub(super) began: Instant,
    /// From then on nothing is left of us.
    pub(super) ends: Instant,
    /// From then on it drains.
    pub(super) drains: Instant,
    /// Why, for people: `30 s before the end of Slurm job 17`.
    pub(super) why: String,
}

/// Wrong use of `--deadline` or `--margin`.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum DeadlineError {
    #[error(
        "--deadline '{0}' is neither a duration (\"90 min\", \"2 h\") nor a time that `date -d` reads (\"17:30\", \
         \"2027-01-31 17:30\")"
    )]
    Unreadable(String),
    #[error("--deadline '{0}' is past")]
    Past(String),
    #[error(
        "{what} is in {left}, and --margin is {margin}: nothing would be run; take a smaller margin or ask for \
         more time"
    )]
    NoTime { what: String, left: String, margin: String },
}

/// What the world outside says.
pub(super) struct Outside<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// Runs a command; what it printed, or why not.
    pub(super) ask: &'a dyn Fn(&[String]) -> Result<String, String>,
    /// Now, on both clocks.
    pub(super) now: (Instant, f64),
}

/// What is known of the end.
pub(super) struct Found {
    /// It, if there is one.
    pub(super) deadline: Option<Deadline>,
    /// What everybody should hear: it may not be what was meant.
    pub(super) beware: Option<String>,
    /// For those who want to know more (`-v`).
    pub(super) note: Option<String>,
}

/// Finds out.
pub(super) fn find(timing: &Timing, outside: &Outside<'_>) -> Result<Found, DeadlineError> {
    let asked = match &timing.deadline {
        Some(text) => Some((until(text, outside)?, called(text))),
        None => None,
    };
    let (job, mut note) = end_of_job(outside);
    let first = match (asked, job) {
        (Some(asked), Some(job)) => Some(if job.0 < asked.0 { job } else { asked }),
        (asked, job) => asked.or(job),
    };
    let Some((left, what)) = first.filter(|(left, _)| *left < LONGEST_S) else {
        let unused =
            "--margin does nothing here: when the campaign has to be over is not known; --deadline says it";
        return Ok(Found { deadline: None, beware: timing.margin.map(|_| unused.into()), note });
    };
    let margin = timing.margin.unwrap_or(MARGIN_S.min(left / 10.0));
    if margin >= left {
        let (left, margin) = (duration(left), duration(margin));
        return Err(DeadlineError::NoTime { what, left, margin });
    }
    let from_now = |seconds: f64| outside.now.0 + Duration::from_secs_f64(seconds);
    let why = format!("{} before {what}", duration(margin));
    note.get_or_insert_with(|| format!("{what} is in {}; tasks are stopped {why}", duration(left)));
    let is_unclear =
        |text: &String| (is_no_unit(text) || is_clock(text) && left > FAR_S) && what == called(text);
    let beware = timing
        .deadline
        .as_ref()
        .is_some_and(is_unclear)
        .then(|| format!("{what} is in {}; \"2 h\" would be a duration", duration(left)));
    let deadline =
        Deadline { began: outside.now.0, ends: from_now(left), drains: from_now(left - margin), why };
    Ok(Found { deadline: Some(deadline), beware, note })
}

fn called(text: &str) -> String {
    format!("--deadline {text}")
}

/// A number with letters behind it that are no unit of ours: `date` takes them for a time zone.
fn is_no_unit(text: &str) -> bool {
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_word = !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_half_of_day = ["am", "pm"].iter().any(|half| letters.eq_ignore_ascii_case(half));
    letters.len() < text.len() && is_word && !is_half_of_day && seconds(text).is_none()
}

/// Is it a time of some day, and not of one that is named?
fn is_clock(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
}

/// Seconds until then.
fn until(text: &str, outside: &Outside<'_>) -> Result<f64, DeadlineError> {
    if let Some(left) = seconds(text) {
        return Ok(left);
    }
    let left = |text: &str| {
        let printed = (outside.ask)(&["date", "-d", text, "+%s"].map(String::from)).ok()?;
        Some(printed.trim().parse::<f64>().ok()? - outside.now.1)
    };
    // No time at all; `date` would read it as midnight, and `0 s` as midnight in the time zone S.
    let unit = text.trim_start_matches('0');
    if unit.len() < text.len() && seconds(&format!("1{unit}")).is_some() {
        return Err(DeadlineError::Past(text.into()));
    }
    // It reads no text as midnight.
    if text.trim().is_empty() {
        return Err(DeadlineError::Unreadable(text.into()));
    }
    match left(text) {
        None => Err(DeadlineError::Unreadable(text.into())),
        Some(left) if left > 0.0 => Ok(left),
        Some(_) if is_clock(text) => {
            left(&format!("tomorrow {text}")).ok_or(DeadlineError::Past(text.into()))
        }
        Some(_) => Err(DeadlineError::Past(text.into())),
    }
}

/// Seconds the batch job has left and what ends then; or why that is not known.
fn end_of_job(outside: &Outside<'_>) -> (Option<(f64, String)>, Option<String>) {
    match walltime(outside.env) {
        Walltime::Unknown => (None, None),
        Walltime::Ends { unix_s, job } => {
            (Some(((unix_s - outside.now.1).max(0.0), format!("the end of {job}"))), None)
        }
        Walltime::Ask(question) => {
            let answer = (outside.ask)(&question.argv);
            let left = question.left(answer.as_deref().unwrap_or_default());
            let unknown = || {
                let why = answer.err().unwrap_or_else(|| format!("`{}` does not say", question.argv[0]));
                format!("when {} ends is not known ({why}); --deadline says it", question.job)
            };
            match left {
                Some(left) => (Some((left, format!("the end of {}", question.job))), None),
                None => (None, Some(unknown())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: f64 = 1.7e9;

    /// What `find` makes of it: seconds until the end, seconds until the drain, the note and what everybody hears.
    fn found(
        timing: &Timing,
        env: &[(&str, &str)],
        answers: &[(&str, &str)],
    ) -> Result<(Option<(f64, f64)>, String), String> {
        let now = (Instant::now(), NOON);
        let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string());
        let ask = |argv: &[String]| {
            let line = argv.join(" ");
            let answer = answers.iter().find(|(asked, _)| *asked == line);
            answer.map(|(_, text)| text.to_string()).ok_or_else(|| format!("cannot run {line}"))
        };
        let Found { deadline, beware, note } =
            find(timing, &Outside { env: &lookup, ask: &ask, now }).map_err(|error| error.to_string())?;
        let note = beware.or(note);
        let since = |at: Instant| (at - now.0).as_secs_f64();
        Ok((deadline.map(|d| (since(d.ends), since(d.drains))), note.unwrap_or_default()))
    }

    fn timing(deadline: &str, margin: Option<f64>) -> Timing {
        Timing { deadline: (!deadline.is_empty()).then(|| deadline.into()), margin }
    }

    #[test]
    fn a_deadline_is_a_duration_or_a_time() {
        let times = [
            ("date -d 17:30 +%s", "1700001000\n"),
            ("date -d 11:00 +%s", "1699996400\n"),
            ("date -d tomorrow 11:00 +%s", "1700082800\n"),
            ("date -d 2020-01-01 +%s", "1577836800\n"),
            ("date -d 0 s +%s", "1700030000\n"),
        ];
        let at = |text: &str| found(&timing(text, None), &[], &times).map(|(ends, _)| ends.unwrap());
        assert_eq!(at("2 h").unwrap(), (7200.0, 7170.0));
        assert_eq!(at("100 s").unwrap(), (100.0, 90.0), "a tenth");
        assert_eq!(at("17:30").unwrap(), (1000.0, 970.0));
        assert_eq!(at("11:00").unwrap(), (82800.0, 82770.0), "tomorrow");
        assert_eq!(at("2020-01-01").unwrap_err(), "--deadline '2020-01-01' is past");
        for nothing in ["0", "00", "0 s", "0min"] {
            assert_eq!(at(nothing).unwrap_err(), format!("--deadline '{nothing}' is past"));
        }
        let none = Timing { deadline: Some(" ".into()), margin: None };
        let midnight = [("date -d   +%s", "1700030000\n")];
        assert!(
            found(&none, &[], &midnight).unwrap_err().starts_with("--deadline ' ' is neither a duration")
        );
        assert!(at("soon").unwrap_err().starts_with("--deadline 'soon' is neither a duration (\"90 min\""));
    }

    #[test]
    fn what_may_be_another_end_than_was_meant_is_said() {
        let times = [
            ("date -d 11:00 +%s", "1699996400\n"),
            ("date -d tomorrow 11:00 +%s", "1700082800\n"),
            ("date -d 2023-11-15 21:00 +%s", "1700082800\n"),
            ("date -d 5x +%s", "1700035000\n"),
            ("date -d 9pm +%s", "1700035000\n"),
        ];
        let said = |timing: Timing| found(&timing, &[], &times).unwrap().1;
        assert_eq!(
            said(timing("11:00", None)),
            "--deadline 11:00 is in 23 h 0 min; \"2 h\" would be a duration"
        );
        assert!(said(timing("5x", None)).ends_with("; \"2 h\" would be a duration"));
        for clear in ["2023-11-15 21:00", "23 h", "2h", "90min", "9pm"] {
            assert!(said(timing(clear, None)).contains("; tasks are stopped "), "{clear}");
        }
        let unused =
            "--margin does nothing here: when the campaign has to be over is not known; --deadline says it";
        assert_eq!(said(timing("", Some(60.0))), unused);
        let job = [("SLURM_JOB_ID", "17"), ("SLURM_JOB_END_TIME", "1700000600")];
        let (_, note) = found(&timing("11:00", None), &job, &times).unwrap();
        assert!(note.starts_with("the end of Slurm job 17 is in "), "{note}");
    }

    #[test]
    fn the_first_of_deadline_and_job_counts() {
        let job = [("SLURM_JOB_ID", "17"), ("SLURM_JOB_END_TIME", "1700000600")];
        let ends =
            |deadline: &str, env: &[(&str, &str)]| found(&timing(deadline, Some(60.0)), env, &[]).unwrap();
        assert_eq!(ends("", &job).0, Some((600.0, 540.0)));
        assert_eq!(ends("5 min", &job).0, Some((300.0, 240.0)));
        assert_eq!(ends("1 h", &job).0, Some((600.0, 540.0)));
        assert_eq!(ends("", &[]).0, None);
        let note =
            "the end of Slurm job 17 is in 10 min 0 s; tasks are stopped 60 s before the end of Slurm job 17";
        assert_eq!(ends("", &job).1, note);
    }

    #[test]
    fn a_batch_system_that_does_not_answer_is_no_error() {
        let job = [("SLURM_JOB_ID", "17")];
        let (ends, note) = found(&timing("", None), &job, &[]).unwrap();
        assert_eq!(ends, None);
        let text =
            "when Slurm job 17 ends is not known (cannot run squeue -h -j 17 -o %L); --deadline says it";
        assert_eq!(note, text);
        let answers = [("squeue -h -j 17 -o %L", "10:00\n")];
        assert_eq!(found(&timing("", None), &job, &answers).unwrap().0, Some((600.0, 570.0)));
    }

    #[test]
    fn no_time_to_do_anything_is_said_at_once() {
        let text = found(&timing("10 s", Some(20.0)), &[], &[]).unwrap_err();
        let said = "--deadline 10 s is in 10 s, and --margin is 20 s: nothing would be run; take a smaller margin or \
                    ask for more time";
        assert_eq!(text, said);
    }
}
