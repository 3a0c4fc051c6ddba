//! `harness selftest` where there is no batch system: what it says of this machine, and that it leaves nothing.

use serde_json::Value;

use crate::support::Folder;

#[test]
fn a_program_is_compared_with_itself_until_the_time_is_over() {
    let folder = Folder::new();
    let ran = folder.run(&["selftest", "--time", "500 ms", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
    assert_eq!((ran.code, &report["seconds"]), (Some(0), &0.5.into()), "{ran:#?}");
    let [node] = report["nodes"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    let comparisons = node["comparisons"].as_u64().unwrap();
    assert!(comparisons >= 1 && node["false_positives"].as_u64().unwrap() <= comparisons, "{report:#}");
    assert!(node["floor_s"].as_f64().unwrap() > 0.0, "{report:#}");
    let [resolved] = node["resolves"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert!(
        resolved["seconds"] == 0.5 && resolved["effect"].as_f64().is_none_or(|effect| effect > 0.0),
        "{report:#}"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path("")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name() == "cache"), "left behind: {left:?}");
}

#[test]
fn people_read_a_paragraph_for_each_node() {
    let folder = Folder::new();
    let ran = folder.run(&["selftest", "--time", "200 ms"]);
    let text = &ran.stdout;
    assert!(text.contains(" core") && text.contains("\n  in 200 ms "), "{ran:#?}");
    assert!(text.contains("\n  false positives: ") && text.contains("\n  floor: "), "{ran:#?}");
    let ran = folder.run(&["selftest", "--time", "soon"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("a duration such as"), "{ran:#?}");
}
