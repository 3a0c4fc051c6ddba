//! When the batch system ends the job: from the environment where it is said there, else from what a command of
//! the batch system prints.
//!
//! Pure: the caller runs the command and brings its output. What cannot be read is not known, and no error: a
//! campaign without a known end runs until it is told to stop.

/// What the environment says of the end of the job.
#[derive(Clone, Debug, PartialEq)]
pub enum Walltime {
    /// No job, or none that is known here.
    Unknown,
    /// It ends then.
    Ends {
        /// Seconds since 1970.
        unix_s: f64,
        /// Whose it is, for people: `Slurm job 17`.
        job: String,
    },
    /// The batch system has to be asked.
    Ask(Question),
}

/// A command that prints how much time is left.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whose time it is, for people.
    pub job: String,
    /// Seconds the whole job was given, where the environment says it: counts from now if nothing better is known.
    pub whole_s: Option<f64>,
    system: System,
}

/// Whose words these are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum System {
    Slurm,
    Pbs,
    Lsf,
}

impl Question {
    /// Seconds left, from what the command printed; none if it does not say.
    pub fn left(&self, output: &str) -> Option<f64> {
        let left = match self.system {
            System::Slurm => time_left(output),
            System::Pbs => qstat(output),
            System::Lsf => bjobs(output),
        };
        left.or(self.whole_s)
    }
}

/// Looks at the environment.
pub fn walltime(env: &dyn Fn(&str) -> Option<String>) -> Walltime {
    let words = |line: &[&str]| line.iter().map(|word| word.to_string()).collect();
    if let Some(id) = env("SLURM_JOB_ID") {
        let job = format!("Slurm job {id}");
        // Since Slurm 22.05.
        return match env("SLURM_JOB_END_TIME").and_then(|end| finite(&end)) {
            Some(unix_s) => Walltime::Ends { unix_s, job },
            None => Walltime::Ask(Question {
                argv: words(&["squeue", "-h", "-j", &id, "-o", "%L"]),
                job,
                whole_s: None,
                system: System::Slurm,
            }),
        };
    }
    if let Some(id) = env("PBS_JOBID") {
        return Walltime::Ask(Question {
            argv: words(&["qstat", "-f", &id]),
            job: format!("PBS job {id}"),
            whole_s: env("PBS_WALLTIME").and_then(|seconds| finite(&seconds)),
            system: System::Pbs,
        });
    }
    if let Some(id) = env("LSB_JOBID") {
        return Walltime::Ask(Question {
            argv: words(&["bjobs", "-noheader", "-o", "time_left", &id]),
            job: format!("LSF job {id}"),
            whole_s: None,
            system: System::Lsf,
        });
    }
    Walltime::Unknown
}

/// No job ends in NaN seconds, or before 1970.
fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
}

/// `1-02:03:04`, `2:03:04` or `3:04`; `UNLIMITED`, `INVALID` and the like are no time.
pub(super) fn time_left(output: &str) -> Option<f64> {
    let text = output.trim();
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    clock.contains(':').then_some(())?;
    Some(days.parse::<u32>().ok()? as f64 * 86400.0 + sixties(clock)?)
}

/// `Walltime.Remaining = 3590` (Torque), else what was given less what was used (PBS Pro, OpenPBS).
fn qstat(output: &str) -> Option<f64> {
    let field = |name: &str| {
        output.lines().find_map(|line| {
            let (key, value) = line.split_once(" = ")?;
            (key.trim() == name).then(|| sixties(value.trim()))?
        })
    };
    let used = field("resources_used.walltime").unwrap_or(0.0);
    field("Walltime.Remaining").or_else(|| Some((field("Resource_List.walltime")? - used).max(0.0)))
}

/// Hours and minutes, then where they come from: `1:45 L`.
fn bjobs(output: &str) -> Option<f64> {
    let clock = output.split_whitespace().next().filter(|word| word.contains(':'))?;
    Some(sixties(clock)? * 60.0)
}

/// `2:03:04` → 7384: each part is worth 60 of the next.
fn sixties(clock: &str) -> Option<f64> {
    clock.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + f64::from(part.parse::<u32>().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(variables: &[(&str, &str)]) -> Walltime {
        walltime(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string()))
    }

    fn left(variables: &[(&str, &str)], output: &str) -> Option<f64> {
        match within(variables) {
            Walltime::Ask(question) => question.left(output),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_time_is_not_known() {
        for text in ["NaN", "inf", "1e999", "-1", ""] {
            let job = [("SLURM_JOB_ID", "17"), ("SLURM_JOB_END_TIME", text)];
            assert!(matches!(within(&job), Walltime::Ask(_)), "{text}");
            assert_eq!(left(&[("PBS_JOBID", "9"), ("PBS_WALLTIME", text)], ""), None);
        }
    }

    #[test]
    fn slurm_says_it_in_the_environment_or_when_asked() {
        let job = [("SLURM_JOB_ID", "17"), ("SLURM_JOB_END_TIME", "1700000000")];
        let ends = Walltime::Ends { unix_s: 1.7e9, job: "Slurm job 17".into() };
        assert_eq!((within(&job), within(&[])), (ends, Walltime::Unknown));
        let Walltime::Ask(question) = within(&job[..1]) else { panic!() };
        assert_eq!(question.argv.join(" "), "squeue -h -j 17 -o %L");
        for (output, seconds) in [
            ("29:51\n", Some(1791.0)),
            ("3:59:07\n", Some(14347.0)),
            ("1-23:59:59\n", Some(172_799.0)),
            ("0:00\n", Some(0.0)),
            ("UNLIMITED\n", None),
            ("INVALID\n", None),
            ("NOT_SET\n", None),
            ("slurm_load_jobs error: Invalid job id specified\n", None),
            ("", None),
        ] {
            assert_eq!(question.left(output), seconds, "{output:?}");
        }
    }

    /// Abridged from `qstat -f` of OpenPBS 23 and of Torque 6.
    #[test]
    fn pbs_says_what_was_given_and_used_or_what_remains() {
        let job = [("PBS_JOBID", "1234.pbs01"), ("PBS_WALLTIME", "3600")];
        let open = "Job Id: 1234.pbs01\n    Job_Name = tune\n    resources_used.cput = 00:20:11\n    \
                    resources_used.walltime = 00:10:02\n    Resource_List.nodect = 2\n    \
                    Resource_List.walltime = 01:00:00\n    Variable_List = PBS_O_HOME=/home/u,\n\tPBS_O_LANG=C\n";
        assert_eq!(left(&job, open), Some(2998.0));
        let torque = "Job Id: 1234.pbs01\n    resources_used.walltime = 00:00:10\n    Resource_List.walltime = 02:00:00\n    \
                      Walltime.Remaining = 7189\n";
        assert_eq!(left(&job, torque), Some(7189.0));
        assert_eq!(left(&job, "    Resource_List.walltime = 00:30:00\n"), Some(1800.0), "it has just begun");
        assert_eq!(left(&job, "qstat: Unknown Job Id\n"), Some(3600.0), "the environment's word");
        assert_eq!(left(&job[..1], ""), None);
    }

    #[test]
    fn lsf_says_hours_and_minutes() {
        let job = [("LSB_JOBID", "55")];
        let Walltime::Ask(question) = within(&job) else { panic!() };
        assert_eq!(question.argv.join(" "), "bjobs -noheader -o time_left 55");
        for (output, seconds) in [("1:45 L\n", Some(6300.0)), ("0:3 E\n", Some(180.0)), ("- \n", None)] {
            assert_eq!(question.left(output), seconds, "{output:?}");
        }
    }
}
