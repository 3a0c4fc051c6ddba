//! What batch systems say: lists of hosts, ends of jobs, answers of their commands.

use std::io;

use harness::allocation::script::{ALL, job_name, job_time};
use harness::allocation::{Allocation, Surroundings, Walltime, same_host, walltime};
use harness::model::human;

/// What each is known by, and where it says its hosts; `X` is what came. A file and an answer are always what came.
const JOBS: [&[(&str, &str)]; 8] = [
    &[("FLUX_JOB_ID", "1")],
    &[("SLURM_JOB_ID", "1"), ("SLURM_JOB_NODELIST", "X"), ("SLURM_JOB_CPUS_PER_NODE", "X")],
    &[("SLURM_JOB_ID", "X"), ("SLURM_HET_SIZE", "X"), ("SLURM_JOB_NODELIST_HET_GROUP_0", "X")],
    &[("LSB_JOBID", "1"), ("LSB_MCPU_HOSTS", "X")],
    &[("LSB_JOBID", "1"), ("LSB_DJOB_HOSTFILE", "X")],
    &[("JOB_ID", "1"), ("PE_HOSTFILE", "X")],
    &[("PBS_JOBID", "X"), ("PBS_NODEFILE", "X"), ("NCPUS", "X"), ("PBS_WALLTIME", "X")],
    &[("SLURM_JOB_ID", "X"), ("SLURM_JOB_END_TIME", "X"), ("SLURM_JOB_NODELIST", "n[1-2]")],
];

fn within(job: &[(&str, &str)], text: &str) {
    let env = |name: &str| {
        let value = job.iter().find(|(known, _)| *known == name)?.1;
        Some(if value == "X" { text.to_owned() } else { value.to_owned() })
    };
    let around = Surroundings {
        env: &env,
        read: &|_| Ok::<_, io::Error>(text.to_owned()),
        ask: &|_| Some(text.to_owned()),
        is_here: &|host| host == "localhost",
    };
    if let Ok(found) = Allocation::detect(&around, None, "here") {
        assert!(!found.nodes.is_empty());
    }
    match walltime(&env) {
        Walltime::Unknown => {}
        Walltime::Ends { unix_s, .. } => assert!(unix_s.is_finite()),
        Walltime::Ask(question) => {
            assert!(question.left(text).is_none_or(|left| left.is_finite() && left >= 0.0));
        }
    }
    let _ = Allocation::detect(&around, Some("hosts"), "here");
}

pub fn target(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    within(JOBS[usize::from(*first) % JOBS.len()], &text);
    for batch in ALL {
        let _ = batch.state("17", &text);
        if let Some(id) = batch.job_id(&text) {
            batch.output("name", &id);
        }
    }
    let _ = job_time(&text);
    assert!(job_name(&text).len() <= 15);
    assert!(human::seconds(&text).is_none_or(f64::is_finite));
    same_host(&text, "n1");
}
