//! The batch script that runs a campaign, in the words of each batch system.
//!
//! Pure: from what the user asked for to text. It asks for whole nodes and says nothing of tasks or ranks: plain
//! harness finds its nodes by itself. It must never know what a queue answers (`queue.rs`) or touch a file.

use std::fmt::Write;

use super::quoted;

/// A batch system we know how to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Slurm.
    Slurm,
    /// PBS Pro, OpenPBS.
    Pbs,
    /// Grid Engine.
    Sge,
    /// IBM Spectrum LSF.
    Lsf,
    /// Fujitsu's job manager.
    Pjm,
}

/// In the order in which their commands are looked for.
pub const ALL: [Batch; 5] = [Batch::Slurm, Batch::Pjm, Batch::Lsf, Batch::Pbs, Batch::Sge];

impl Batch {
    /// What the user calls it.
    pub fn word(self) -> &'static str {
        match self {
            Batch::Slurm => "slurm",
            Batch::Pbs => "pbs",
            Batch::Sge => "sge",
            Batch::Lsf => "lsf",
            Batch::Pjm => "pjm",
        }
    }

    /// How its lines in a script begin.
    fn mark(self) -> &'static str {
        match self {
            Batch::Slurm => "#SBATCH",
            Batch::Pbs => "#PBS",
            Batch::Sge => "#$",
            Batch::Lsf => "#BSUB",
            Batch::Pjm => "#PJM",
        }
    }
}

/// What a job is to be. Paths are absolute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    /// What the queue shows.
    pub name: String,
    /// Whole nodes; one if not said.
    pub nodes: Option<u32>,
    /// How long, s.
    pub time_s: Option<u64>,
    /// Partition, queue or resource group.
    pub queue: Option<String>,
    /// Who pays.
    pub account: Option<String>,
    /// Further lines, as they are or without the mark they begin with.
    pub directives: Vec<String>,
    /// Sourced before harness starts.
    pub prologue: Option<String>,
    /// Where it runs.
    pub folder: String,
    /// The executable of harness.
    pub harness: String,
    /// What harness gets: options, the script and its arguments.
    pub arguments: Vec<String>,
    /// How long before its end harness stops, s; harness's own idea if not said.
    pub margin_s: Option<f64>,
    /// This script itself, where jobs may follow jobs.
    pub chain: Option<Chain>,
}

/// A job that is followed by another while the campaign is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Jobs in all, at most.
    pub links: u32,
    /// Where this script lies.
    pub script: String,
    /// Where the campaign's journal lies.
    pub journal: String,
}

/// The first words of a script of ours, by which the next one knows that it may be overwritten.
pub const WRITTEN_BY: &str = "# Written by `harness batch`";

/// The name of the variable with the jobs that may follow, where a script takes no arguments.
const LINKS: &str = "HARNESS_CHAIN";

/// Why a job cannot be asked for so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Grid Engine gives slots of an environment, the name of which is the site's own.
    #[error(
        "Grid Engine knows slots of a parallel environment, not nodes: instead of --nodes say --directive \
         '#$ -pe NAME SLOTS' (`qconf -spl` lists the names)"
    )]
    NeedsEnvironment,
    /// A line of another batch system.
    #[error("--directive '{line}' is no line for {word}, whose lines begin with {mark}")]
    Foreign {
        /// The line.
        line: String,
        /// The batch system.
        word: &'static str,
        /// How its lines begin.
        mark: &'static str,
    },
    /// A text that would end its line early.
    #[error("{0} has a line break in it, and a line of a batch script ends there")]
    LineBreak(&'static str),
}

/// The script.
pub fn batch_script(batch: Batch, job: &Job) -> Result<String, ScriptError> {
    let one_line = [("--queue", &job.queue), ("--account", &job.account)];
    for (option, value) in one_line {
        if value.as_ref().is_some_and(|value| value.contains('\n')) {
            return Err(ScriptError::LineBreak(option));
        }
    }
    if job.directives.iter().any(|line| line.contains('\n')) {
        return Err(ScriptError::LineBreak("--directive"));
    }
    let (word, mark) = (batch.word(), batch.mark());
    if let Some(line) = job.directives.iter().find(|line| line.starts_with('#') && !line.starts_with(mark)) {
        return Err(ScriptError::Foreign { line: line.clone(), word, mark });
    }
    let theirs: Vec<&str> =
        job.directives.iter().map(|line| line.strip_prefix(mark).unwrap_or(line).trim()).collect();
    let said = |key: &str| theirs.iter().any(|line| option_of(line) == key);
    if batch == Batch::Sge && job.nodes.is_some() && !said("-pe") {
        return Err(ScriptError::NeedsEnvironment);
    }
    // Modules are functions of a login shell.
    let mut text = String::from(if job.prologue.is_some() { "#!/bin/bash -l\n" } else { "#!/bin/bash\n" });
    // What the user says in their own words takes the place of ours. (`-l nodes=` is how Torque says both.)
    let ours = header(batch, job);
    let replaced = |line: &str| match option_of(line) {
        "-l select" | "-l place" if said("-l nodes") => true,
        option => said(option),
    };
    for line in ours.iter().map(String::as_str).filter(|line| !replaced(line)).chain(theirs.iter().copied()) {
        let _ = writeln!(text, "{mark} {line}");
    }
    // After the directives: the first command ends them.
    let _ = writeln!(text, "{WRITTEN_BY}: run that again rather than change this.");
    let _ = writeln!(text, "cd {} || exit", quoted(&job.folder));
    if let Some(prologue) = &job.prologue {
        let _ = writeln!(text, "source {}", quoted(prologue));
    }
    let command = command(batch, job);
    match &job.chain {
        None => {
            let _ = writeln!(text, "exec {command}");
        }
        Some(chain) => text.push_str(&chained(batch, chain, &command)),
    }
    Ok(text)
}

/// What it asks for.
fn header(batch: Batch, job: &Job) -> Vec<String> {
    let nodes = job.nodes.unwrap_or(1);
    let name = &job.name;
    let time = job.time_s.map(|seconds| match batch {
        Batch::Lsf => minutes(seconds),
        _ => clock(seconds),
    });
    let with = |option: &str, value: &Option<String>| value.as_ref().map(|value| format!("{option}{value}"));
    let mut lines = match batch {
        // Requeued after the loss of a node, it goes on from the journal, and its output below what is there.
        Batch::Slurm => vec![
            format!("--job-name={name}"),
            format!("--nodes={nodes}"),
            "--exclusive".into(),
            "--requeue".into(),
            "--open-mode=append".into(),
            format!("--output={name}.%j.out"),
        ],
        Batch::Pbs => vec![
            format!("-N {name}"),
            format!("-l select={nodes}"),
            "-l place=scatter:excl".into(),
            "-r y".into(),
            "-j oe".into(),
        ],
        Batch::Sge => ["-S /bin/bash", "-cwd", "-j y", "-r y"]
            .map(String::from)
            .into_iter()
            .chain([format!("-N {name}")])
            .collect(),
        Batch::Lsf => vec![
            format!("-J {name}"),
            format!("-n {nodes}"),
            "-R \"span[ptile=1]\"".into(),
            "-x".into(),
            "-r".into(),
            format!("-o {name}.%J.out"),
        ],
        Batch::Pjm => vec![
            format!("-N {name}"),
            format!("-L node={nodes}"),
            "--restart".into(),
            "-j".into(),
            format!("-o {name}.%j.out"),
        ],
    };
    let (of_time, of_queue, of_account) = match batch {
        Batch::Slurm => ("--time=", "--partition=", "--account="),
        Batch::Pbs => ("-l walltime=", "-q ", "-A "),
        Batch::Sge => ("-l h_rt=", "-q ", "-A "),
        Batch::Lsf => ("-W ", "-q ", "-P "),
        Batch::Pjm => ("-L elapse=", "-L rscgrp=", "-g "),
    };
    lines.extend(with(of_time, &time));
    lines.extend(with(of_queue, &job.queue));
    lines.extend(with(of_account, &job.account));
    lines
}

/// What a line of the header sets: `--nodes` of `--nodes=4`, `-n` of `-n 4`, `-l select` of `-l select=4`.
fn option_of(line: &str) -> &str {
    let name = line.split([' ', '=']).next().unwrap_or(line);
    if !["-l", "-L"].contains(&name) {
        return name;
    }
    let resource = line[name.len()..].trim_start().split('=').next().unwrap_or_default();
    &line[..line.len() - line[name.len()..].trim_start().len() + resource.len()]
}

/// The line that runs harness. Slurm says when the job ends; elsewhere the script does, which has asked for it:
/// TERM comes late or, from Grid Engine, not at all.
fn command(batch: Batch, job: &Job) -> String {
    let mut line = quoted(&job.harness);
    if let Some(seconds) = job.time_s.filter(|_| batch != Batch::Slurm) {
        let _ = write!(line, " --deadline \"$(({seconds} - SECONDS)) s\"");
    }
    if let Some(margin) = job.margin_s {
        let _ = write!(line, " --margin \"{margin} s\"");
    }
    for word in &job.arguments {
        let _ = write!(line, " {}", quoted(word));
    }
    line
}

/// Exit code 75 asks to be run again. No dependency is needed: harness has ended, so the journal is free. A job that
/// recorded nothing for the next one (no end that answers it, no state) would be followed by one that does the same: its
/// last line in the journal says so. Whoever ends the job by hand (TERM) wants no other; the trap also keeps the shell alive
/// until harness has saved.
fn chained(batch: Batch, chain: &Chain, command: &str) -> String {
    let again = again(batch, &chain.script);
    let id = id_variable(batch);
    let left = match batch {
        Batch::Slurm | Batch::Sge => format!("${{1:-{}}}", chain.links),
        _ => format!("${{{LINKS}:-{}}}", chain.links),
    };
    format!(
        r#"left={left}   # jobs of this chain, with this one
stopped=
trap 'stopped=yes' TERM
{command}
code=$?
[ "$code" = 75 ] && [ -z "$stopped" ] || exit "$code"
if [ "$left" -le 1 ]; then
  echo "harness batch: not done, and this was the last of {links} jobs: run harness batch again to go on" >&2
  exit 75
fi
if tail -n 1 {journal} | grep -q '^{{"type":"end",.*"gained":false,'; then
  echo "harness batch: not done, and this job recorded nothing that spares the next one anything, so no other follows: ask for more --time" >&2
  exit 75
fi
left=$((left - 1))
next=$({again}) || {{
  echo "harness batch: not done, and no job could be submitted from $(hostname): run harness batch again to go on" >&2
  exit 75
}}
echo "harness batch: job ${id} goes on as job $next" >&2
"#,
        links = chain.links,
        journal = quoted(&chain.journal)
    )
}

/// Submits the script once more, with `$left` jobs to go; prints the id, or the sentence with it.
fn again(batch: Batch, script: &str) -> String {
    let script = quoted(script);
    match batch {
        Batch::Slurm => format!("sbatch --parsable {script} \"$left\""),
        Batch::Pbs => format!("qsub -v {LINKS}=\"$left\" {script}"),
        Batch::Sge => format!("qsub -terse {script} \"$left\""),
        Batch::Lsf => format!("{LINKS}=$left bsub < {script}"),
        Batch::Pjm => format!("pjsub -x {LINKS}=\"$left\" {script}"),
    }
}

fn id_variable(batch: Batch) -> &'static str {
    match batch {
        Batch::Slurm => "SLURM_JOB_ID",
        Batch::Pbs => "PBS_JOBID",
        Batch::Sge => "JOB_ID",
        Batch::Lsf => "LSB_JOBID",
        Batch::Pjm => "PJM_JOBID",
    }
}

/// `2:00:00`.
fn clock(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `2:00`, as LSF writes it.
fn minutes(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

/// How long a job may take, s: `2:00:00`, `1-12:00:00`, `90 min`; none for what batch systems read differently.
pub fn job_time(text: &str) -> Option<u64> {
    if !text.contains(':') {
        // A figure alone is minutes to Slurm, seconds to PBS.
        let unit = text.trim().ends_with(|c: char| c.is_ascii_alphabetic());
        return crate::model::human::seconds(text).filter(|_| unit).map(|seconds| seconds.ceil() as u64);
    }
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let parts: Vec<u64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let &[hours, minutes, seconds] = parts.as_slice() else { return None };
    let days: u64 = days.parse().ok()?;
    (minutes < 60 && seconds < 60).then_some(())?;
    let hours = days.checked_mul(24)?.checked_add(hours)?;
    hours.checked_mul(3600)?.checked_add(minutes * 60 + seconds).filter(|whole| *whole > 0)
}

/// What a job is called, from the campaign's file: no batch system minds letters, digits and `_` after a letter.
pub fn job_name(stem: &str) -> String {
    /// PBS takes no more.
    const LONGEST: usize = 15;
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = stem.chars().map(plain).take(LONGEST).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name
    } else {
        format!("h{name}").chars().take(LONGEST).collect()
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
