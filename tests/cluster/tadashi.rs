//! State in somebody's shared library on every node of a job, found by nodes that share no cache; and a search over it that
//! is killed and goes on.

use std::collections::HashSet;
use std::thread;

use super::*;

/// The Python that has TADASHI; None where it is missing, or another MPI has its turn: one will do, all of it is above MPI.
fn python() -> Option<String> {
    if std::env::var("HARNESS_MPI_FLAVOUR").is_ok_and(|flavour| flavour != "openmpi") {
        return None;
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/tadashi");
    let asked = Command::new(tools).arg("--there").output().unwrap();
    if !asked.status.success() {
        assert!(std::env::var_os("HARNESS_CI").is_none(), "CI must have TADASHI (tools/tadashi)");
        println!("skipped: no TADASHI (tools/tadashi)");
        return None;
    }
    Some(text(&asked).trim().to_owned())
}

/// `harness OPTIONS campaigns/tadashi/SCRIPT --python=… ARGS` with a cache of its own on each node, and with the `compiler`.
fn line(cluster: &Cluster, python: &str, script: &str, args: &str) -> String {
    let folder = cluster.folder.path().display();
    let own_cache = format!(
        "#!/bin/sh\nexport HARNESS_CACHE={folder}/cache-$(hostname) PATH={folder}/bin:$PATH\nexec {HARNESS} \"$@\"\n"
    );
    let worker = cluster.write("worker", &own_cache).display().to_string();
    let campaigns = concat!(env!("CARGO_MANIFEST_DIR"), "/campaigns/tadashi");
    format!("{worker} --seed 7 --journal {folder}/journal {campaigns}/{script} --python={python} {args}")
}

#[test]
fn failures_have_their_names_on_three_nodes_with_a_cache_each() {
    let Some(python) = python() else { return };
    let Some(cluster) = Cluster::up("4") else { return };
    let worker = cluster.path("worker").display().to_string();
    let line = line(&cluster, &python, "failures.lua", "--size=96");
    let output =
        cluster.job("sbatch -N 3 --ntasks-per-node=1 -c 4", &format!("HARNESS_WORKER={worker} {line}"));
    for expected in [
        "swapped    ok             ",
        "refused    illegal        interchange 1.1",
        "forced     verify_failed  ",
        "crashing   signal         ",
        "hanging    timeout        ",
        "session    signal         ",
        "session    timeout        ",
        "session    error          ",
        &format!("{ENDED} 0"),
    ] {
        assert!(output.contains(expected), "no `{expected}` in {output}");
    }
    // Each node has a store of its own; what was built is in that of the root, and where it was measured, which is elsewhere.
    let kept = ["node1", "node2", "node3"].map(|node| cluster.path(&format!("cache-{node}/objects")));
    let kept = kept.map(|objects| fs::read_dir(objects).unwrap().count());
    assert!(kept[0] > 0 && kept[1] + kept[2] > 0, "{kept:?}: {output}");
}

/// The keys of what is recorded: of the same task in another run it is the same, of another task another.
fn recorded(cluster: &Cluster) -> Vec<String> {
    let journal = fs::read_to_string(cluster.path("journal")).unwrap_or_default();
    let whole = journal.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let tasks = whole.filter(|record| ["task", "measurement"].iter().any(|kind| record["type"] == *kind));
    tasks.map(|record| record["key"].as_str().unwrap().to_owned()).collect()
}

/// The process of the root on node1, which the journal names.
fn root(cluster: &Cluster) -> String {
    let journal = fs::read_to_string(cluster.path("journal")).unwrap();
    let session = journal.lines().find(|line| line.contains("\"type\":\"session\"")).unwrap();
    serde_json::from_str::<serde_json::Value>(session).unwrap()["pid"].to_string()
}

/// What stands before ` from the journal` in the last line of a run.
fn from_the_journal(output: &str) -> usize {
    let before = output.split(" from the journal").next().unwrap();
    before
        .rsplit('(')
        .next()
        .unwrap()
        .parse()
        .unwrap_or_else(|_| panic!("nothing from the journal: {output}"))
}

/// The compiler of the nodes: while there is a file `hold` it says `held` at the seventh kernel, and goes no further.
fn compiler(cluster: &Cluster) {
    let folder = cluster.folder.path().display();
    let real = finish(Command::new("sh").args(["-c", "command -v cc"]));
    let holds = format!(
        "#!/bin/sh\ncase \"$*\" in *kernel.c*)\n  echo >>{folder}/kernels\n  while [ -e {folder}/hold ] && \
         [ $(wc -l <{folder}/kernels) -gt 6 ]; do : >{folder}/held; sleep 0.05; done\nesac\nexec {} \"$@\"\n",
        text(&real).trim()
    );
    fs::create_dir(cluster.path("bin")).unwrap();
    cluster.write("bin/cc", &holds);
    cluster.write("hold", "");
}

#[test]
fn a_search_that_is_killed_goes_on_as_it_began_and_asks_nothing_twice() {
    let Some(python) = python() else { return };
    let Some(cluster) = Cluster::up("4") else { return };
    let worker = cluster.path("worker").display().to_string();
    let args =
        "--kernels=gemm,jacobi-2d,atax --strategy=mcts --budget=6 --depth=2 --size=48 --runs=2 --rounds=7";
    let line = line(&cluster, &python, "search.lua", args);
    let job = |launcher: &str| {
        cluster.job("sbatch -N 3 --exclusive", &format!("export HARNESS_WORKER={worker}; {launcher} {line}"))
    };
    compiler(&cluster);
    let killed = thread::scope(|scope| {
        let first = scope.spawn(|| job(""));
        let until = Instant::now() + LIMIT;
        while !cluster.path("held").exists() {
            assert!(Instant::now() < until && !first.is_finished(), "the search does not go on");
            thread::sleep(Duration::from_millis(20));
        }
        let kill = finish(&mut cluster.command(&["exec", "node1", "kill", "-9", &root(&cluster)]));
        assert!(kill.status.success(), "{}", text(&kill));
        first.join().unwrap()
    });
    assert!(!killed.contains("beside the baseline"), "it was over before it was killed: {killed}");
    fs::remove_file(cluster.path("hold")).unwrap();
    let kept = recorded(&cluster).len();
    let output = job(if cfg!(feature = "mpi") { "mpirun -n 1" } else { "" });
    for expected in
        ["search     ", "beside the baseline", "\ngemm ", "\njacobi-2d ", "\natax ", &format!("{ENDED} 0")]
    {
        has(&output, expected, "the second run");
    }
    assert_eq!(from_the_journal(&output), kept, "all of what was recorded, and in its order: {output}");
    let all = recorded(&cluster);
    let different: HashSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "nothing is asked twice");
    // The kernels were measured on a node each.
    let journal = fs::read_to_string(cluster.path("journal")).unwrap();
    let hosts: HashSet<String> = journal
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|record| record["type"] == "measurement")
        .map(|record| record["host"].to_string())
        .collect();
    assert!(hosts.len() > 1, "{hosts:?}");
    // Once more: all of it is there, and nothing else is done.
    let again = job("");
    let table = |said: &str| {
        said.split("search  ").nth(1).unwrap_or_default().split("harness: ").next().unwrap().to_owned()
    };
    assert_eq!(table(&again), table(&output));
    assert_eq!((from_the_journal(&again), recorded(&cluster).len()), (all.len(), all.len()), "{again}");
}
