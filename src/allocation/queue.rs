//! Talking to a batch system: the commands that submit and watch a job, and what their answers say.
//!
//! Pure: argument lists out, printed text in. The caller runs the commands. Answers of batch systems other than
//! Slurm's are read as their manuals show them.

use super::script::{ALL, Batch};

/// The batch system whose commands are here, by asking which programs there are.
pub fn find_batch(has: &dyn Fn(&str) -> bool) -> Option<Batch> {
    // PBS and Grid Engine both submit with qsub; qconf is Grid Engine's alone.
    ALL.into_iter().find(|batch| match batch {
        Batch::Pbs => has("qsub") && !has("qconf"),
        _ => has(batch.submit_program()),
    })
}

impl Batch {
    /// The program that submits.
    pub fn submit_program(self) -> &'static str {
        match self {
            Batch::Slurm => "sbatch",
            Batch::Pbs | Batch::Sge => "qsub",
            Batch::Lsf => "bsub",
            Batch::Pjm => "pjsub",
        }
    }

    /// Submits a script.
    pub fn submit(self, script: &str) -> Vec<String> {
        match self {
            Batch::Slurm => words(&["sbatch", "--parsable", script]),
            Batch::Sge => words(&["qsub", "-terse", script]),
            // It reads the script, and the lines in it, from stdin.
            Batch::Lsf => words(&["sh", "-c", "exec bsub < \"$0\"", script]),
            Batch::Pbs | Batch::Pjm => words(&[self.submit_program(), script]),
        }
    }

    /// The job's id, from what submitting printed.
    pub fn job_id(self, printed: &str) -> Option<String> {
        let line = printed.trim();
        let number = |text: &str| {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            (!digits.is_empty()).then_some(digits)
        };
        match self {
            // `17`, or `17;cluster`
            Batch::Slurm | Batch::Sge => number(line),
            // `17.server`
            Batch::Pbs => number(line).map(|_| line.to_owned()),
            // `Job <17> is submitted to queue <normal>.`
            Batch::Lsf => number(line.split_once("Job <")?.1),
            // `[INFO] PJM 0000 pjsub Job 17 submitted.`
            Batch::Pjm => number(line.split_once("Job ")?.1),
        }
    }

    /// Where the job's output goes, in the folder it was submitted in.
    pub fn output(self, name: &str, id: &str) -> String {
        let number = id.split('.').next().unwrap_or(id);
        match self {
            Batch::Pbs | Batch::Sge => format!("{name}.o{number}"),
            Batch::Slurm | Batch::Lsf | Batch::Pjm => format!("{name}.{id}.out"),
        }
    }

    /// Asks how the job is.
    pub fn look(self, id: &str) -> Vec<String> {
        match self {
            Batch::Slurm => words(&["squeue", "-j", id]),
            Batch::Pbs => words(&["qstat", id]),
            Batch::Sge => words(&["qstat"]),
            Batch::Lsf => words(&["bjobs", id]),
            Batch::Pjm => words(&["pjstat", id]),
        }
    }

    /// Ends the job.
    pub fn stop(self, id: &str) -> Vec<String> {
        let program = match self {
            Batch::Slurm => "scancel",
            Batch::Pbs | Batch::Sge => "qdel",
            Batch::Lsf => "bkill",
            Batch::Pjm => "pjdel",
        };
        words(&[program, id])
    }

    /// Asks how the job is, in words for [`Batch::state`].
    pub fn ask_state(self, id: &str) -> Vec<String> {
        match self {
            Batch::Slurm => words(&["squeue", "-h", "-t", "all", "-j", id, "-o", "%T %r"]),
            Batch::Lsf => words(&["bjobs", "-noheader", "-o", "stat", id]),
            _ => self.look(id),
        }
    }

    /// How the job is, from what [`Batch::ask_state`] printed; none where it is not known there any more.
    pub fn state(self, id: &str, printed: &str) -> Option<State> {
        let first = printed.lines().map(str::trim).find(|line| !line.is_empty());
        // Tables: the job's line, the state in this column.
        let column = |at: usize| {
            let number = id.split('.').next().unwrap_or(id);
            let is_it = |line: &&str| {
                line.split_whitespace().next().is_some_and(|first| first.split('.').next() == Some(number))
            };
            printed.lines().find(is_it)?.split_whitespace().nth(at)
        };
        let (word, why) = match self {
            Batch::Slurm => {
                let (word, why) = first?.split_once(' ').unwrap_or((first?, ""));
                (word, (!["None", ""].contains(&why)).then(|| why.to_owned()))
            }
            Batch::Lsf => (first.filter(|line| !line.contains(' '))?, None),
            Batch::Pbs | Batch::Sge => (column(4)?, None),
            Batch::Pjm => (column(3)?, None),
        };
        let good = match self {
            Batch::Slurm => word == "COMPLETED",
            Batch::Lsf => word == "DONE",
            _ => true,
        };
        let over = match self {
            Batch::Slurm => ![
                "PENDING",
                "CONFIGURING",
                "RUNNING",
                "COMPLETING",
                "SUSPENDED",
                "RESIZING",
                "REQUEUED",
                "REQUEUE_HOLD",
                "REQUEUE_FED",
                "SPECIAL_EXIT",
                "SIGNALING",
                "STAGE_OUT",
                "STOPPED",
            ]
            .contains(&word),
            Batch::Pbs => ["F", "X", "C"].contains(&word),
            Batch::Lsf => ["DONE", "EXIT"].contains(&word),
            Batch::Sge => false,
            Batch::Pjm => ["EXT", "CCL", "RJT", "ERR"].contains(&word),
        };
        Some(State { text: word.to_owned(), why, over, good })
    }
}

/// How a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The batch system's word.
    pub text: String,
    /// Why it waits, where that is said.
    pub why: Option<String>,
    /// It has ended.
    pub over: bool,
    /// As far as the word says, nothing went wrong.
    pub good: bool,
}

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| word.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_system_is_known_by_its_commands() {
        let found = |programs: &[&str]| find_batch(&|name| programs.contains(&name)).map(Batch::word);
        assert_eq!(found(&["sbatch"]), Some("slurm"));
        assert_eq!(found(&["qsub"]), Some("pbs"));
        assert_eq!(found(&["qsub", "qconf"]), Some("sge"));
        assert_eq!(found(&["bsub"]), Some("lsf"));
        assert_eq!(found(&["pjsub"]), Some("pjm"));
        // Slurm's wrappers for users of Torque.
        assert_eq!(found(&["sbatch", "qsub"]), Some("slurm"));
        assert_eq!(found(&["ls"]), None);
    }

    #[test]
    fn ids_are_read_from_what_submitting_prints() {
        for (batch, printed, id) in [
            (Batch::Slurm, "17\n", Some("17")),
            (Batch::Slurm, "17;cluster\n", Some("17")),
            (Batch::Pbs, "17.pbs01.example.org\n", Some("17.pbs01.example.org")),
            (Batch::Sge, "17\n", Some("17")),
            (Batch::Lsf, "Job <17> is submitted to default queue <normal>.\n", Some("17")),
            (Batch::Pjm, "[INFO] PJM 0000 pjsub Job 17 submitted.\n", Some("17")),
            (Batch::Lsf, "Bad queue\n", None),
            (Batch::Pbs, "", None),
        ] {
            assert_eq!(batch.job_id(printed).as_deref(), id, "{batch:?}: {printed}");
        }
    }

    #[test]
    fn output_lies_where_the_batch_system_puts_it() {
        assert_eq!(Batch::Slurm.output("tune", "17"), "tune.17.out");
        assert_eq!(Batch::Pbs.output("tune", "17.pbs01.example.org"), "tune.o17");
    }

    #[test]
    fn states_are_read_and_an_end_is_an_end() {
        let said = |batch: Batch, printed: &str| {
            let id = if batch == Batch::Pbs { "17.pbs01" } else { "17" };
            let show =
                |state: State| format!("{} {} {}", state.text, state.why.unwrap_or_default(), state.over);
            batch.state(id, printed).map(show)
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(said(Batch::Slurm, "PENDING Resources\n"), is("PENDING Resources false"));
        assert_eq!(said(Batch::Slurm, "RUNNING None\n"), is("RUNNING  false"));
        assert_eq!(said(Batch::Slurm, "COMPLETED None\n"), is("COMPLETED  true"));
        assert_eq!(said(Batch::Slurm, "CANCELLED None\n"), is("CANCELLED  true"));
        assert_eq!(said(Batch::Slurm, ""), None);
        let pbs = "Job id            Name             User              Time Use S Queue\n\
                   ----------------  ---------------- ----------------  -------- - -----\n\
                   17.pbs01          tune             me                00:00:01 R workq\n";
        assert_eq!(said(Batch::Pbs, pbs), is("R  false"));
        let sge = "job-ID  prior   name       user         state submit/start at     queue\n\
                   -----------------------------------------------------------------------\n\
                   \u{20}    17 0.55500 tune       me           r     11/21/2026 12:00:00 all.q@n1\n";
        assert_eq!((said(Batch::Sge, sge), said(Batch::Sge, "")), (is("r  false"), None));
        assert_eq!(said(Batch::Lsf, "PEND\n"), is("PEND  false"));
        assert_eq!(said(Batch::Lsf, "EXIT\n"), is("EXIT  true"));
        assert_eq!(said(Batch::Lsf, "Job <17> is not found\n"), None);
        let pjm = "JOB_ID     JOB_NAME   MD ST  USER     START_DATE      ELAPSE_LIM NODE_REQUIRE\n\
                   17         tune       NM RUN me       11/21 12:00:00  0002:00:00 4\n";
        assert_eq!(said(Batch::Pjm, pjm), is("RUN  false"));
    }
}
