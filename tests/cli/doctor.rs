//! `harness doctor` where there is no batch system and no launcher.

use serde_json::Value;

use crate::support::{Folder, Ran};

fn doctor(folder: &Folder, args: &[&str]) -> Ran {
    let mut command = folder.harness(&[&["doctor"], args].concat());
    command.env("PATH", "/nowhere");
    folder.finish(command)
}

#[test]
fn on_one_machine_it_starts_a_worker_measures_and_finds_nothing_wrong() {
    let folder = Folder::new();
    let ran = doctor(&folder, &["--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
    assert_eq!((ran.code, &report["problems"]), (Some(0), &serde_json::json!([])), "{ran:#?}");
    let workers = report["workers"].as_array().unwrap();
    let [worker] = workers.as_slice() else { panic!("{report:#}") };
    assert_eq!((&worker["start"], &worker["same_folder"]), (&"local".into(), &true.into()));
    for figure in ["latency_s", "there_bytes_per_s", "back_bytes_per_s"] {
        assert!(worker[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {report:#}");
    }
    assert!(worker["node"]["store"]["free"].as_u64().is_some(), "{report:#}");
    let left: Vec<_> = std::fs::read_dir(folder.path("")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name() == "cache"), "left behind: {left:?}");
}

#[test]
fn the_screen_ends_with_the_verdict() {
    let folder = Folder::new();
    let ran = doctor(&folder, &[]);
    let text = folder.normal(&ran.stdout);
    assert!(text.starts_with(&format!("harness {}\njob       none", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(text.contains("spawn {}  HOST local\n") && text.contains("\nworker on "), "{text}");
    assert!(text.ends_with("\n\nok\n"), "{text}");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn no_spawn_starts_nothing() {
    let folder = Folder::new();
    let ran = doctor(&folder, &["--no-spawn"]);
    assert!(ran.code == Some(0) && !ran.stdout.contains("worker on"), "{ran:#?}");
    assert!(!folder.path("cache").exists(), "a store was made");
}

/// Where Open MPI is harness's own, and this is root.
#[test]
fn what_mpirun_will_not_start_for_root_is_noted() {
    let folder = Folder::new();
    let look = |allowed: bool| {
        let mut command = folder.harness(&["doctor", "--no-spawn"]);
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
            command.env_remove(name).env_remove(format!("{name}_CONFIRM"));
        }
        if allowed {
            command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        }
        folder.finish(command).stdout
    };
    let note = "\nnote      Open MPI's mpirun starts nothing for root: MPI applications (`ranks`, `nodes`) end spawn_failed until";
    let refused = look(false);
    let holds = refused.contains("\nMPI       Open MPI") && rustix::process::geteuid().is_root();
    assert_eq!(refused.contains(note), holds, "{refused}");
    assert!(!look(true).contains(note));
}

#[test]
fn what_is_wrong_is_numbered_and_the_exit_code_is_3() {
    let folder = Folder::new();
    let mut command = folder.harness(&["doctor", "--no-spawn"]);
    command.env("PATH", "/nowhere").env("SLURM_JOB_ID", "17").env("SLURM_JOB_NODELIST", "node[1-");
    let ran = folder.finish(command);
    assert!(
        ran.code == Some(3) && ran.stdout.contains("\n1. cannot read SLURM_JOB_NODELIST=node[1-"),
        "{ran:#?}"
    );
}

#[test]
fn a_worker_that_does_not_come_up_is_a_problem() {
    let folder = Folder::new();
    let mut command = folder.harness_with_worker("exit 1", &["doctor"]);
    command.env("PATH", "/nowhere");
    let ran = folder.finish(command);
    assert!(ran.code == Some(3) && ran.stdout.contains("\n1. "), "{ran:#?}");
    assert!(!ran.stdout.contains("doctor.lua"), "the doctor's own campaign is nobody's business: {ran:#?}");
}
