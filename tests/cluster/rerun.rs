//! `harness rerun` in jobs: on the nodes of the record where the job has them, else on another, which is told.

use crate::{Cluster, HARNESS, has};

const MEASURED: &str = r#"
local function m(options)
  options.runs, options.objective, options.metrics = 7, "x", { x = "x: (%d)" }
  options.cmd, options.timeout = { "sh", "-c", "echo x: 4" }, "40 s"
  print(await(submit(measure(options))))
end
m { name = "single", host = "node3" }
m { name = "gang", nodes = 2, ranks = 2, launcher = "mpiexec" }
"#;

#[test]
fn what_is_measured_again_runs_where_it_ran_or_says_that_it_does_not() {
    let Some(cluster) = Cluster::up("4") else { return };
    cluster.write("m.lua", MEASURED);
    let again = |name: &str| format!("{HARNESS} rerun {name} m.lua; echo {name} said $?");
    let line = format!("{HARNESS} -q --fresh m.lua; {}; {}", again("single"), again("gang"));
    let output = cluster.job("sbatch -N 3 --exclusive", &line);
    for name in ["single", "gang"] {
        has(&output, &format!("{name} said 0"), name);
    }
    assert_eq!(output.matches("agrees: the intervals overlap").count(), 2, "{output}");
    assert_eq!(output.matches("  host: ").count(), 0, "{output}");
    let journal = std::fs::read_to_string(cluster.path("m.lua.journal")).unwrap();
    let records = journal.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let hosts: Vec<_> = records
        .filter(|record| record["type"] == "measurement")
        .map(|record| (record["name"].clone(), record["host"].clone(), record["hosts"].clone()))
        .collect();
    assert_eq!((&hosts[0], &hosts[1]), (&hosts[2], &hosts[3]), "{hosts:?}");

    let output = cluster.job("sbatch -N 2 -w node1,node2 --exclusive", &again("single"));
    has(&output, "single said 0", "another job");
    has(&output, "  host: node3, now node2\n", "another job");
}
