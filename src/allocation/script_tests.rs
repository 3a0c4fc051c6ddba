//! Batch scripts, whole: somebody has read each line of them.

use super::*;

fn job() -> Job {
    Job {
        name: "tune".into(),
        nodes: Some(4),
        time_s: Some(7200),
        queue: Some("main".into()),
        account: Some("p1".into()),
        directives: vec!["--constraint=rome".into()],
        prologue: Some("/home/me/modules.sh".into()),
        folder: "/home/me/it's here".into(),
        harness: "/opt/harness".into(),
        arguments: vec!["tune.lua".into(), "--size=10 20".into()],
        margin_s: None,
        chain: None,
    }
}

#[test]
fn slurm() {
    let expected = "\
#!/bin/bash -l
#SBATCH --job-name=tune
#SBATCH --nodes=4
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=tune.%j.out
#SBATCH --time=2:00:00
#SBATCH --partition=main
#SBATCH --account=p1
#SBATCH --constraint=rome
# Written by `harness batch`: run that again rather than change this.
cd '/home/me/it'\\''s here' || exit
source /home/me/modules.sh
exec /opt/harness tune.lua '--size=10 20'
";
    assert_eq!(batch_script(Batch::Slurm, &job()).unwrap(), expected);
}

#[test]
fn pbs() {
    let job = Job { directives: vec!["#PBS -l select=4:ncpus=64".into()], prologue: None, ..job() };
    let expected = "\
#!/bin/bash
#PBS -N tune
#PBS -l place=scatter:excl
#PBS -r y
#PBS -j oe
#PBS -l walltime=2:00:00
#PBS -q main
#PBS -A p1
#PBS -l select=4:ncpus=64
# Written by `harness batch`: run that again rather than change this.
cd '/home/me/it'\\''s here' || exit
exec /opt/harness --deadline \"$((7200 - SECONDS)) s\" tune.lua '--size=10 20'
";
    assert_eq!(batch_script(Batch::Pbs, &job).unwrap(), expected);
    let torque = Job { directives: vec!["-l nodes=4:ppn=64".into()], ..job };
    let script = batch_script(Batch::Pbs, &torque).unwrap();
    assert!(!script.contains("select") && !script.contains("place"), "{script}");
}

#[test]
fn grid_engine_knows_slots() {
    assert_eq!(batch_script(Batch::Sge, &job()), Err(ScriptError::NeedsEnvironment));
    let foreign = Job { directives: vec!["#SBATCH -C rome".into()], ..job() };
    let said = "--directive '#SBATCH -C rome' is no line for sge, whose lines begin with #$";
    assert_eq!(batch_script(Batch::Sge, &foreign).unwrap_err().to_string(), said);
    let job = Job { nodes: None, prologue: None, directives: vec!["#$ -pe mpi 64".into()], ..job() };
    let expected = "\
#!/bin/bash
#$ -S /bin/bash
#$ -cwd
#$ -j y
#$ -r y
#$ -N tune
#$ -l h_rt=2:00:00
#$ -q main
#$ -A p1
#$ -pe mpi 64
# Written by `harness batch`: run that again rather than change this.
cd '/home/me/it'\\''s here' || exit
exec /opt/harness --deadline \"$((7200 - SECONDS)) s\" tune.lua '--size=10 20'
";
    assert_eq!(batch_script(Batch::Sge, &job).unwrap(), expected);
}

#[test]
fn lsf() {
    let job = Job { prologue: None, directives: Vec::new(), time_s: Some(5401), ..job() };
    let expected = "\
#!/bin/bash
#BSUB -J tune
#BSUB -n 4
#BSUB -R \"span[ptile=1]\"
#BSUB -x
#BSUB -r
#BSUB -o tune.%J.out
#BSUB -W 1:31
#BSUB -q main
#BSUB -P p1
# Written by `harness batch`: run that again rather than change this.
cd '/home/me/it'\\''s here' || exit
exec /opt/harness --deadline \"$((5401 - SECONDS)) s\" tune.lua '--size=10 20'
";
    assert_eq!(batch_script(Batch::Lsf, &job).unwrap(), expected);
}

#[test]
fn pjm() {
    let job = Job { prologue: None, directives: Vec::new(), ..job() };
    let expected = "\
#!/bin/bash
#PJM -N tune
#PJM -L node=4
#PJM --restart
#PJM -j
#PJM -o tune.%j.out
#PJM -L elapse=2:00:00
#PJM -L rscgrp=main
#PJM -g p1
# Written by `harness batch`: run that again rather than change this.
cd '/home/me/it'\\''s here' || exit
exec /opt/harness --deadline \"$((7200 - SECONDS)) s\" tune.lua '--size=10 20'
";
    assert_eq!(batch_script(Batch::Pjm, &job).unwrap(), expected);
}

/// What follows the line that runs harness; the same but for two lines everywhere.
#[test]
fn a_chain_goes_on_after_75_and_no_longer_than_asked() {
    let chain = Some(Chain {
        links: 3,
        script: "/home/me/tune.lua.job".into(),
        journal: "/home/me/tune.lua.journal".into(),
    });
    let job =
        Job { prologue: None, directives: Vec::new(), nodes: None, margin_s: Some(90.0), chain, ..job() };
    let script = batch_script(Batch::Slurm, &job).unwrap();
    let tail = script.split_once("|| exit\n").unwrap().1;
    let expected = r#"left=${1:-3}   # jobs of this chain, with this one
stopped=
trap 'stopped=yes' TERM
/opt/harness --margin "90 s" tune.lua '--size=10 20'
code=$?
[ "$code" = 75 ] && [ -z "$stopped" ] || exit "$code"
if [ "$left" -le 1 ]; then
  echo "harness batch: not done, and this was the last of 3 jobs: run harness batch again to go on" >&2
  exit 75
fi
if tail -n 1 /home/me/tune.lua.journal | grep -q '^{"type":"end",.*"gained":false,'; then
  echo "harness batch: not done, and this job recorded nothing that spares the next one anything, so no other follows: ask for more --time" >&2
  exit 75
fi
left=$((left - 1))
next=$(sbatch --parsable /home/me/tune.lua.job "$left") || {
  echo "harness batch: not done, and no job could be submitted from $(hostname): run harness batch again to go on" >&2
  exit 75
}
echo "harness batch: job $SLURM_JOB_ID goes on as job $next" >&2
"#;
    assert_eq!(tail, expected);
    for (batch, left, again) in [
        (Batch::Pbs, "${HARNESS_CHAIN:-3}", "qsub -v HARNESS_CHAIN=\"$left\" /home/me/tune.lua.job"),
        (Batch::Sge, "${1:-3}", "qsub -terse /home/me/tune.lua.job \"$left\""),
        (Batch::Lsf, "${HARNESS_CHAIN:-3}", "HARNESS_CHAIN=$left bsub < /home/me/tune.lua.job"),
        (Batch::Pjm, "${HARNESS_CHAIN:-3}", "pjsub -x HARNESS_CHAIN=\"$left\" /home/me/tune.lua.job"),
    ] {
        let script = batch_script(batch, &job).unwrap();
        assert!(script.contains(&format!("\nleft={left}   #")), "{script}");
        assert!(script.contains(&format!("\nnext=$({again}) || {{")), "{script}");
    }
}

#[test]
fn a_line_break_cannot_hide_in_a_line() {
    let hidden = Job { directives: vec!["--exclusive\nrm -rf".into()], ..job() };
    assert_eq!(batch_script(Batch::Slurm, &hidden), Err(ScriptError::LineBreak("--directive")));
}

#[test]
fn times_that_batch_systems_read_differently_are_refused() {
    for (text, seconds) in [
        ("2:00:00", Some(7200)),
        ("1-12:00:00", Some(129_600)),
        ("90 min", Some(5400)),
        ("36h", Some(129_600)),
        ("90", None),
        ("2:00", None),
        ("0:00:00", None),
        ("1:99:00", None),
        ("soon", None),
        ("99999999999999999999-0:00:00", None),
        ("0:18446744073709551615:00", None),
    ] {
        assert_eq!(job_time(text), seconds, "{text}");
    }
}

#[test]
fn every_batch_system_can_say_the_name() {
    for (stem, name) in [
        ("gemm_tune", "gemm_tune"),
        ("2 fast", "h2_fast"),
        ("größe", "gr__e"),
        ("a-name-longer-than-most", "a-name-longer-t"),
    ] {
        assert_eq!(job_name(stem), name);
    }
}
