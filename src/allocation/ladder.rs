//! How harness starts itself through the launcher of its own MPI, when it was started without one in an
//! allocation of several nodes: plain `harness campaign.lua` in a batch script then just works.
//!
//! Pure: which launcher, which arguments, which variables. Nothing here starts a process or looks at a disk.

use std::path::{Path, PathBuf};

use super::{Allocation, Node, Scheduler, same_host};
use crate::model::{LAUNCHED_WITH, PATH_BEFORE};

/// Set for what the ladder started, so that it never climbs twice.
pub const LAUNCHED: &str = "HARNESS_LAUNCHED_BY";

/// The MPIs whose launchers we know how to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Open MPI: `mpirun` of ORTE or PRRTE.
    OpenMpi,
    /// MPICH and its children: Hydra.
    Mpich,
}

impl Family {
    /// From what the library calls itself.
    pub fn of(library: &str) -> Option<Self> {
        let is = |name| library.contains(name);
        if is("Open MPI") {
            Some(Family::OpenMpi)
        } else if is("MPICH") || is("MVAPICH") || is("Intel(R) MPI") {
            Some(Family::Mpich)
        } else {
            None
        }
    }

    /// Names on the search path that mean this family and no other, then those that may.
    fn names(self) -> ([&'static str; 2], [&'static str; 2]) {
        let sure = match self {
            Family::OpenMpi => ["mpirun.openmpi", "orterun"],
            Family::Mpich => ["mpirun.mpich", "mpiexec.hydra"],
        };
        (sure, ["mpirun", "mpiexec"])
    }
}

/// The launcher that belongs to the MPI library in `library`: beside it, else by a name that says so, else
/// the first `mpirun` or `mpiexec` on the search path.
pub fn find_launcher(
    family: Family,
    library: Option<&Path>,
    search: &str,
    is_program: &dyn Fn(&Path) -> bool,
) -> Option<PathBuf> {
    let (sure, perhaps) = family.names();
    let beside = library.and_then(Path::parent).and_then(Path::parent).map(|prefix| prefix.join("bin"));
    let beside = beside.iter().flat_map(|bin| perhaps.iter().map(move |name| bin.join(name)));
    let folders = || search.split(':').filter(|folder| !folder.is_empty()).map(Path::new);
    let named = sure.iter().chain(&perhaps).flat_map(|name| folders().map(move |folder| folder.join(name)));
    beside.chain(named).find(|path| is_program(path))
}

/// What to become: a command line up to the program, and variables on top of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartLine {
    /// The launcher and its arguments.
    pub argv: Vec<String>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
}

/// The line that starts the root here and lets it spawn on every node of the allocation; `None` where this
/// machine is all there is.
pub fn start_line(
    family: Family,
    library: &str,
    allocation: &Allocation,
    launcher: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<StartLine> {
    let elsewhere = |host: &str| !same_host(host, &allocation.root_host);
    if allocation.scheduler == Scheduler::None || !allocation.nodes.iter().any(|node| elsewhere(&node.host)) {
        return None;
    }
    // The root's own node first: that is where the launcher puts it.
    let mut nodes: Vec<_> = allocation.nodes.iter().collect();
    nodes.sort_by_key(|node| elsewhere(&node.host));
    let mut line = StartLine { argv: vec![launcher.display().to_string()], env: Vec::new() };
    line.env.push((LAUNCHED.into(), launcher.display().to_string()));
    line.env.extend(env("PATH").map(|path| (PATH_BEFORE.into(), path)));
    if allocation.scheduler == Scheduler::Slurm {
        slurm_variables(&mut line, env);
    }
    if family == Family::Mpich {
        for_mpich(&mut line, library, env);
    }
    launcher_arguments(&mut line, family, library, allocation.scheduler, &nodes);
    Some(line)
}

/// What MPICH does better with, unless the user has said otherwise. Only for what harness itself does with it.
fn for_mpich(line: &mut StartLine, library: &str, env: &dyn Fn(&str) -> Option<String>) {
    // Over UCX, any program that spawns ends with a warning of a request that MPICH itself left behind, and crashes
    // when it sends to a process on another node that was killed.
    let quiet = Some(("UCX_LOG_LEVEL", "error"));
    let off_ucx = has_both(library).then_some(("MPIR_CVAR_CH4_NETMOD", "ofi"));
    let ours = [quiet, off_ucx].into_iter().flatten().filter(|(name, _)| env(name).is_none());
    let ours: Vec<(&str, &str)> = ours.collect();
    let names: Vec<&str> = ours.iter().map(|(name, _)| *name).collect();
    line.env.push((LAUNCHED_WITH.into(), names.join(" ")));
    line.env.extend(ours.into_iter().map(|(name, value)| (name.into(), value.into())));
}

/// Was this MPICH built for UCX and for libfabric?
fn has_both(library: &str) -> bool {
    let device = library.lines().find_map(|line| line.strip_prefix("MPICH Device:")).unwrap_or_default();
    device.contains("ucx") && device.contains("ofi")
}

/// Where the launcher is to start what.
fn launcher_arguments(
    line: &mut StartLine,
    family: Family,
    library: &str,
    scheduler: Scheduler,
    nodes: &[&Node],
) {
    let mut say = |words: &[&str]| line.argv.extend(words.iter().map(|word| word.to_string()));
    match family {
        Family::Mpich if cannot_spawn(library) => {
            let hosts: Vec<&str> = nodes.iter().map(|node| node.host.as_str()).collect();
            line.argv = ranks(family, scheduler, &hosts, &line.argv[0]);
        }
        Family::Mpich => {
            let hosts: Vec<&str> = nodes.iter().map(|node| node.host.as_str()).collect();
            say(&["-n", "1", "-hosts", &hosts.join(",")]);
        }
        // Who stands in for a worker that was killed ends without MPI_Finalize, after the root: nothing to end with 1 for.
        Family::OpenMpi => {
            say(&["--mca", "orte_allowed_exit_without_sync", "1", "-n", "1"]);
            // Slurm is asked by mpirun itself; a list would only be a filter. Elsewhere not every build can ask.
            if scheduler != Scheduler::Slurm {
                let hosts: Vec<String> = nodes
                    .iter()
                    .map(|node| format!("{}:{}", node.host, node.cores.unwrap_or(1) + 1))
                    .collect();
                say(&["--host", &hosts.join(",")]);
            }
        }
    }
}

/// Ranks instead of spawned workers, up to the program: the root on the first of `hosts`, and a worker on each.
pub fn ranks(family: Family, scheduler: Scheduler, hosts: &[&str], launcher: &str) -> Vec<String> {
    let count = (hosts.len() + 1).to_string();
    let slots = hosts.iter().enumerate().map(|(at, host)| format!("{host}:{}", if at == 0 { 2 } else { 1 }));
    let slots = slots.collect::<Vec<_>>().join(",");
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    match (family, scheduler) {
        // srun starts them as well as Hydra does, and Debian's MPICH hangs in MPI_Finalize below Hydra when it spans
        // nodes.
        (Family::Mpich, Scheduler::Slurm) => {
            let each: Vec<&str> = hosts.iter().take(1).chain(hosts).copied().collect();
            let srun = ["srun", "--overlap", "--overcommit", "--mpi=pmi2", "-m", "arbitrary"];
            words(&[&srun[..], &["-n", &count, "-w", &each.join(",")]].concat())
        }
        (Family::Mpich, _) => words(&[launcher, "-n", &count, "-hosts", &slots]),
        (Family::OpenMpi, _) => words(&[launcher, "--oversubscribe", "-n", &count, "--host", &slots]),
    }
}

/// MPICH 4.0 over UCX answers every spawn with an error.
pub fn cannot_spawn(library: &str) -> bool {
    let words: Vec<&str> = library.split_whitespace().collect();
    let follows = |name: &str, start: &str| {
        words.windows(3).any(|three| three[0] == "MPICH" && three[1] == name && three[2].starts_with(start))
    };
    follows("Version:", "4.0") && follows("Device:", "ch4:ucx")
}

/// What a launcher asks Slurm by is narrowed inside a step (`srun --pty bash`), and counts tasks, not cores:
/// it gets the job's own. Without SLURM_OVERLAP its step waits for the cores of the one it is started in.
fn slurm_variables(line: &mut StartLine, env: &dyn Fn(&str) -> Option<String>) {
    line.env.push(("SLURM_OVERLAP".into(), "1".into()));
    let of_the_job = [
        ("SLURM_NODELIST", "SLURM_JOB_NODELIST"),
        ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
        ("SLURM_TASKS_PER_NODE", "SLURM_JOB_CPUS_PER_NODE"),
    ];
    for (variable, source) in of_the_job {
        line.env.extend(env(source).map(|value| (variable.to_string(), value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocation(root: &str) -> Allocation {
        let nodes = ["node1", "node2", "node3"].map(|host| Node { host: host.into(), cores: Some(4) });
        Allocation {
            scheduler: Scheduler::Slurm,
            job: None,
            restarts: 0,
            nodes: nodes.into(),
            root_host: root.into(),
        }
    }

    fn words(family: Family, library: &str, allocation: &Allocation) -> String {
        let line = start_line(family, library, allocation, Path::new("/x/mpirun"), &|_| None);
        line.map_or("nothing".into(), |line| line.argv.join(" "))
    }

    #[test]
    fn the_root_s_node_comes_first() {
        assert_eq!(
            words(Family::Mpich, "MPICH Version: 5.0.2", &allocation("node2.cluster")),
            "/x/mpirun -n 1 -hosts node2,node1,node3"
        );
        assert_eq!(
            words(Family::OpenMpi, "Open MPI v4.1.4", &allocation("node1")),
            "/x/mpirun --mca orte_allowed_exit_without_sync 1 -n 1"
        );
        let mut pbs = allocation("node1");
        pbs.nodes.truncate(2);
        pbs.scheduler = Scheduler::HostFile;
        assert_eq!(
            words(Family::OpenMpi, "Open MPI v4.1.4", &pbs),
            "/x/mpirun --mca orte_allowed_exit_without_sync 1 -n 1 --host node1:5,node2:5"
        );
        let hosts = ["node1", "node2"];
        assert_eq!(
            ranks(Family::OpenMpi, Scheduler::Slurm, &hosts, "mpirun").join(" "),
            "mpirun --oversubscribe -n 3 --host node1:2,node2:1"
        );
    }

    #[test]
    fn an_mpi_that_cannot_spawn_gets_ranks() {
        let library = "MPICH Version:\t4.0.2\nMPICH Device:\tch4:ucx\n";
        let mut nodes = allocation("node1");
        assert_eq!(
            words(Family::Mpich, library, &nodes),
            "srun --overlap --overcommit --mpi=pmi2 -m arbitrary -n 4 -w node1,node1,node2,node3"
        );
        nodes.scheduler = Scheduler::HostFile;
        assert_eq!(words(Family::Mpich, library, &nodes), "/x/mpirun -n 4 -hosts node1:2,node2:1,node3:1");
    }

    #[test]
    fn mpich_is_kept_off_ucx_where_it_has_something_else_and_nobody_said_otherwise() {
        let set = |library: &str, theirs: &'static str| {
            let env = |name: &str| (name == theirs).then(|| "theirs".to_string());
            let line =
                start_line(Family::Mpich, library, &allocation("node1"), Path::new("/m"), &env).unwrap();
            let wanted = ["HARNESS_LAUNCHED_WITH", "MPIR_CVAR_CH4_NETMOD", "UCX_LOG_LEVEL"];
            let of = |name| line.env.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
            wanted.map(|name| of(name).unwrap_or_default()).join(",")
        };
        let both = "MPICH Version:      5.0.2\nMPICH Device:       ch4:ofi,ucx\n";
        assert_eq!(set(both, ""), "UCX_LOG_LEVEL MPIR_CVAR_CH4_NETMOD,ofi,error");
        assert_eq!(set(both, "MPIR_CVAR_CH4_NETMOD"), "UCX_LOG_LEVEL,,error");
        assert_eq!(set(both, "UCX_LOG_LEVEL"), "MPIR_CVAR_CH4_NETMOD,ofi,");
        assert_eq!(set("MPICH Version: 5.0.2\nMPICH Device: ch4:ucx\n", ""), "UCX_LOG_LEVEL,,error");
    }

    #[test]
    fn one_node_needs_no_launcher() {
        let mut alone = allocation("node1");
        alone.nodes.truncate(1);
        assert_eq!(words(Family::OpenMpi, "Open MPI v4.1.4", &alone), "nothing");
        // A login node in front of a job of one node does.
        alone.root_host = "login".into();
        assert_eq!(
            words(Family::OpenMpi, "Open MPI v4.1.4", &alone),
            "/x/mpirun --mca orte_allowed_exit_without_sync 1 -n 1"
        );
    }

    #[test]
    fn the_job_s_own_variables_replace_those_of_a_step() {
        let job = |name: &str| match name {
            "SLURM_JOB_CPUS_PER_NODE" => Some("4(x3)".to_string()),
            "PATH" => Some("/mine:/usr/bin".to_string()),
            _ => None,
        };
        let line =
            start_line(Family::OpenMpi, "Open MPI v4.1.4", &allocation("node1"), Path::new("/m"), &job)
                .unwrap();
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert!(line.env.contains(&pair("SLURM_TASKS_PER_NODE", "4(x3)")), "{:?}", line.env);
        assert!(line.env.contains(&pair("SLURM_OVERLAP", "1")));
        assert!(line.env.contains(&pair("HARNESS_PATH_BEFORE", "/mine:/usr/bin")));
        assert!(!line.env.iter().any(|(name, _)| name == "SLURM_NODELIST"));
    }

    #[test]
    fn the_launcher_beside_the_library_wins() {
        let there = ["/opt/mpi/bin/mpirun", "/usr/bin/mpirun", "/usr/bin/mpirun.mpich", "/home/bin/mpiexec"];
        let is_program = |path: &Path| there.iter().any(|known| Path::new(known) == path);
        let find = |family, library: Option<&str>, search| {
            find_launcher(family, library.map(Path::new), search, &is_program)
                .map(|path| path.display().to_string())
        };
        let library = Some("/opt/mpi/lib/libmpi.so.40");
        assert_eq!(find(Family::OpenMpi, library, "/usr/bin").as_deref(), Some("/opt/mpi/bin/mpirun"));
        let debian = Some("/usr/lib/x86_64-linux-gnu/libmpich.so.12");
        assert_eq!(find(Family::Mpich, debian, "/usr/bin").as_deref(), Some("/usr/bin/mpirun.mpich"));
        assert_eq!(find(Family::OpenMpi, None, "/home/bin:/usr/bin").as_deref(), Some("/usr/bin/mpirun"));
        assert_eq!(find(Family::OpenMpi, None, "/nowhere"), None);
    }
}
