//! Every line as text, and what is said where there is none.

use super::*;
use crate::model::PoolId;

fn gang(hosts: &[&str], whole: bool) -> Gang {
    let hosts = hosts.iter().map(|host| host.to_string()).collect();
    Gang { hosts, pool: PoolId(2), mark: "C.7.1".into(), whole, variables: Vec::new() }
}

fn four(launcher: Launcher, per_node: u32) -> LaunchSpec {
    LaunchSpec { launcher, ranks: 4, ranks_per_node: per_node, ..LaunchSpec::default() }
}

const STEP: [(&str, &str); 6] = [
    ("SLURM_JOB_ID", "9"),
    ("SLURM_JOB_NODELIST", "node[1-3]"),
    ("SLURM_JOB_NUM_NODES", "3"),
    ("SLURM_JOB_CPUS_PER_NODE", "4(x3)"),
    ("SLURM_NODELIST", "node2"),
    ("SLURM_TASKS_PER_NODE", "1"),
];

fn composed(
    spec: &LaunchSpec,
    gang: &Gang,
    family: Option<Family>,
    env: &[(&str, &str)],
    programs: &[&str],
) -> Result<Line, LaunchError> {
    let mpiexec = family.map(|family| Mpiexec { path: "/m/mpiexec".into(), family: Some(family) });
    let around = Around {
        mpiexec: mpiexec.as_ref(),
        has: &|name| programs.contains(&name),
        env: &|name| env.iter().find(|(its, _)| *its == name).map(|(_, value)| value.to_string()),
        forward: &["OMP_NUM_THREADS".into()],
        hostfile: Path::new("/tmp/hosts"),
    };
    line(spec, gang, &around)
}

fn words(spec: &LaunchSpec, gang: &Gang, family: Option<Family>, env: &[(&str, &str)]) -> String {
    composed(spec, gang, family, env, &["srun"]).unwrap().argv.join(" ")
}

const FORWARDED: &str = "-x HARNESS_GANG -x HARNESS_NODELIST -x HARNESS_NUM_NODES -x HARNESS_NUM_RANKS \
                         -x HARNESS_POOL_ID -x HARNESS_RANKS_PER_NODE -x OMP_NUM_THREADS";

#[test]
fn mpiexec_names_exactly_the_nodes_of_the_gang() {
    let (two, spec) = (gang(&["node2", "node3"], true), four(Launcher::Auto, 2));
    assert_eq!(
        words(&spec, &two, Some(Family::Hydra), &STEP),
        "/m/mpiexec -genvall -n 4 -ppn 2 -hosts node2,node3"
    );
    assert_eq!(
        words(&spec, &two, Some(Family::OpenMpi), &STEP),
        format!("/m/mpiexec -np 4 --host node2:2,node3:2 {FORWARDED}")
    );
}

#[test]
fn who_shares_a_node_is_bound_to_no_core() {
    let (two, spec) = (gang(&["node2", "node3"], false), four(Launcher::Mpiexec, 2));
    assert_eq!(
        words(&spec, &two, Some(Family::OpenMpi), &[("PATH", "/bin")]),
        format!("/m/mpiexec -np 4 --host node2:2,node3:2 --bind-to none {FORWARDED} -x PATH")
    );
    let srun = words(&four(Launcher::Srun, 2), &two, Some(Family::OpenMpi), &STEP);
    assert!(srun.ends_with("--mpi=pmix --cpu-bind=none"), "{srun}");
}

#[test]
fn on_one_node_nothing_is_asked_of_the_batch_system() {
    let (one, spec) = (gang(&["node2"], true), four(Launcher::Auto, 4));
    let line = composed(&spec, &one, Some(Family::Hydra), &STEP, &[]).unwrap();
    assert_eq!(line.argv.join(" "), "/m/mpiexec -genvall -n 4 -ppn 4 -hosts localhost");
    assert_eq!(line.slurm, Slurm::Dropped);
    assert!(!line.set.iter().any(|(name, _)| name.starts_with("SLURM_")), "{:?}", line.set);
    assert!(!line.slurm.keeps(b"SLURM_JOB_ID") && line.slurm.keeps(b"PATH"));
    let ompi = words(&spec, &one, Some(Family::OpenMpi), &STEP);
    assert!(ompi.starts_with("/m/mpiexec -np 4 --host localhost:4 -x"), "{ompi}");
}

#[test]
fn the_launcher_sees_the_job_and_not_the_step_it_is_started_in() {
    let (two, spec) = (gang(&["node2", "node3"], true), four(Launcher::Auto, 2));
    let line = composed(&spec, &two, Some(Family::OpenMpi), &STEP, &[]).unwrap();
    let value = |name: &str| line.set.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str());
    assert_eq!(value("SLURM_OVERLAP"), Some("1"));
    assert_eq!(value("SLURM_NODELIST"), Some("node[1-3]"), "never fewer nodes than the job has");
    assert_eq!(value("SLURM_TASKS_PER_NODE"), Some("4(x3)"));
    assert_eq!(value("SLURM_NNODES"), Some("3"));
    assert_eq!(value(GANG_VARIABLE), Some("C.7.1"));
    let keeps = |name: &str| line.slurm.keeps(name.as_bytes());
    assert!(keeps("SLURM_JOB_NODELIST") && keeps("SLURM_JOBID") && keeps("SLURM_CONF"));
    assert!(!keeps("SLURM_STEP_ID") && !keeps("SLURM_NTASKS") && !keeps("SLURM_DISTRIBUTION"));
}

#[test]
fn srun_speaks_the_protocol_of_the_mpi_there_is() {
    let (two, mut spec) = (gang(&["node2", "node3"], true), four(Launcher::Srun, 2));
    let srun = |spec: &LaunchSpec, family| words(spec, &two, family, &STEP);
    let begin = "srun --overlap --export=ALL -N 2 -n 4 --ntasks-per-node 2 -m block -w node2,node3";
    assert_eq!(srun(&spec, Some(Family::Hydra)), format!("{begin} --mpi=pmi2 --exact"));
    assert_eq!(srun(&spec, Some(Family::OpenMpi)), format!("{begin} --mpi=pmix --exact"));
    spec.launcher = Launcher::Auto;
    (spec.cores_per_rank, spec.gpus_per_rank) = (Some(8), Some(1));
    spec.args = vec!["--hint=nomultithread".into()];
    let expected = format!("{begin} --exact --cpus-per-task=8 --gpus-per-task=1 --hint=nomultithread");
    assert_eq!(srun(&spec, None), expected, "without an mpiexec, and after all of ours");
}

#[test]
fn aprun_and_jsrun() {
    let two = gang(&["nid00012", "nid00100"], true);
    let line = |launcher| {
        let spec = LaunchSpec { cores_per_rank: Some(3), ..four(launcher, 2) };
        composed(&spec, &two, None, &[], &["aprun", "jsrun"]).unwrap().argv.join(" ")
    };
    assert_eq!(line(Launcher::Aprun), "aprun -n 4 -N 2 -L 12,100 -d 3");
    assert_eq!(line(Launcher::Jsrun), "jsrun -n 4 -r 2 -a 1 -c 3");
}

#[test]
fn a_template_has_its_names_filled_in() {
    let words = ["pjrun", "-np", "{ranks}", "--map={nodes}x{ranks_per_node}", "-w", "{hosts}", "{hostfile}"];
    let spec = four(Launcher::Template(words.map(String::from).into()), 2);
    let two = gang(&["a", "b"], true);
    assert_eq!(self::words(&spec, &two, None, &[]), "pjrun -np 4 --map=2x2 -w a,b /tmp/hosts");
    assert_eq!(hostfile(&spec, &two), "a\na\nb\nb\n");
}

#[test]
fn a_command_that_launches_itself_is_told_how() {
    let spec = LaunchSpec { args: vec!["-v".into()], ..four(Launcher::None, 2) };
    let two = gang(&["node2", "node3"], true);
    let line = composed(&spec, &two, Some(Family::Hydra), &STEP, &["srun"]).unwrap();
    assert!(line.argv.is_empty());
    let value = |name: &str| line.set.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str());
    let mpiexec = Some("/m/mpiexec -genvall -n 4 -ppn 2 -hosts node2,node3 -v");
    assert_eq!((value("HARNESS_MPI_PREFIX"), value("HARNESS_MPIEXEC_PREFIX")), (mpiexec, mpiexec));
    assert!(value("HARNESS_SRUN_PREFIX").is_some_and(|srun| srun.ends_with("--mpi=pmi2 --exact -v")));
    assert_eq!(value("HARNESS_APRUN_PREFIX"), None);
    assert_eq!((value("HARNESS_NODELIST"), value("HARNESS_NUM_RANKS")), (Some("node2,node3"), Some("4")));
    assert_eq!((value("HARNESS_HOSTFILE"), value("HARNESS_POOL_ID")), (Some("/tmp/hosts"), Some("2")));
}

#[test]
fn what_cannot_be_launched_says_what_to_do() {
    let two = gang(&["a", "b"], true);
    let said = |spec: &LaunchSpec, family| composed(spec, &two, family, &[], &[]).unwrap_err().to_string();
    assert!(said(&four(Launcher::Auto, 2), None).contains("load the MPI's module"));
    assert!(said(&four(Launcher::Srun, 2), None).contains("launcher = \"srun\": there is no such program"));
    let no_job = composed(&four(Launcher::Srun, 2), &two, None, &[], &["srun"]).unwrap_err();
    assert_eq!(no_job, LaunchError::NoJob);
    let odd = Mpiexec { path: "/x/mpiexec".into(), family: None };
    let around = Around {
        mpiexec: Some(&odd),
        has: &|_| false,
        env: &|_| None,
        forward: &[],
        hostfile: Path::new(""),
    };
    let unknown = line(&four(Launcher::Auto, 2), &two, &around).unwrap_err().to_string();
    assert!(unknown.contains("launcher = \"/x/mpiexec -n {ranks} … {hosts}\""), "{unknown}");
}

#[test]
fn launchers_say_whose_they_are() {
    assert_eq!(Family::of("mpirun (Open MPI) 4.1.4\n\nReport bugs to"), Some(Family::OpenMpi));
    assert_eq!(Family::of("HYDRA build details:\n    Version: 5.0.2"), Some(Family::Hydra));
    let intel = "Intel(R) MPI Library for Linux* OS, Version 2021.9";
    assert_eq!(Family::of(intel), Some(Family::Hydra));
    assert_eq!(Family::of("mpiexec version 1.3.4 (PALS)"), None);
}
