//! Tests of what a page is told, and that nothing in it is taken for markup.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::model::{
    CompareResult, Compared, Comparison, Detail, Header, Interval, JOURNAL_SCHEMA, Kind, MeasureResult,
    MeasureSpec, Outcome, Phase, Record, Sample, Status, StopReason, Summary, TaskFacts, Usage, Verdict,
};

fn facts(id: &str, kind: Kind, params: Value) -> TaskFacts {
    TaskFacts {
        id: id.into(),
        kind,
        key: Hash::of(id.as_bytes()),
        name: Some("gemm".into()),
        params: Some(params),
        started_unix_s: Some(100.0),
        ended_unix_s: Some(104.0),
        ..TaskFacts::default()
    }
}

fn ended(status: Status, reason: Option<&str>, detail: Detail) -> Outcome {
    Outcome {
        status,
        reason: reason.map(Into::into),
        host: "node1".into(),
        detail,
        elapsed_s: 4.0,
        conditions: None,
    }
}

fn result(runs: u32) -> MeasureResult {
    let ci = (runs >= 7).then_some(Interval { lo: 0.9, hi: 1.1, level: 0.95, exact_level: 0.96 });
    let stats = Summary { n: runs, min: 0.8, median: 1.0, max: 1.3, ci, ..Summary::default() };
    let sample = |run: u32| Sample {
        phase: if run == 0 { Phase::Warmup } else { Phase::Sample },
        t_start_s: 0.0,
        usage: Usage { wall_s: f64::from(run) / 3.0, ..Usage::default() },
        metrics: Default::default(),
        output_hash: None,
        energy: Default::default(),
    };
    let result = MeasureResult::sample(stats, StopReason::Precise);
    MeasureResult {
        samples: (0..=runs).map(sample).collect(),
        flags: vec!["drift".into()],
        argv: vec!["./a".into(), "7".into()],
        ..result
    }
}

fn measured(facts: TaskFacts, outcome: &Outcome) -> Record {
    Record::of_task(
        facts,
        Some(&MeasureSpec { objective: "wall_s".into(), ..MeasureSpec::default() }),
        outcome,
    )
}

fn compared() -> Outcome {
    let side = |name: &str, comparison| Compared {
        params: None,
        name: name.into(),
        status: Status::Ok,
        reason: None,
        result: result(8),
        comparison,
    };
    let ci = Some(Interval { lo: 1.1, hi: 1.4, level: 0.95, exact_level: 0.99 });
    let faster = Comparison { verdict: Verdict::Faster, ratio: 1.25, ci, rounds: 8 };
    let variants = vec![side("base", None), side("tiled", Some(faster))];
    let result = CompareResult {
        variants,
        rounds: 8,
        order_seed: 1,
        min_effect: 0.01,
        stop_reason: StopReason::Settled,
    };
    ended(Status::Ok, None, Detail::Compare(Box::new(result)))
}

fn campaign() -> Campaign {
    let good = ended(Status::Ok, None, Detail::Measure(Box::new(result(8))));
    let again = TaskFacts { parent: Some("a".into()), ..facts("z", Kind::Measure, json!({"tile": 8})) };
    let broken = ended(Status::CompileFailed, Some("gemm.c:3: no `flaot`\nmore of it"), Detail::None);
    let header = Header {
        schema: JOURNAL_SCHEMA.into(),
        version: String::new(),
        protocol: 1,
        campaign: String::new(),
        script: "/home/me/</title>.lua".into(),
        script_hash: None,
        seed: 7,
        started_unix_s: 99.0,
    };
    Campaign {
        path: PathBuf::from("c.lua.journal"),
        header: Some(header),
        ended: vec![
            measured(facts("a", Kind::Measure, json!({"tile": 8})), &good),
            measured(
                facts("b", Kind::Measure, json!({"tile": "</script><script>alert(1)"})),
                &ended(Status::Timeout, Some("limit of 60 s"), Detail::None),
            ),
            Record::of_task(facts("c", Kind::Compile, json!({"tile": 0})), None, &broken),
            Record::of_task(facts("d", Kind::Compile, json!({"tile": -1})), None, &broken),
            Record::of_task(facts("e", Kind::Compare, Value::Null), None, &compared()),
        ],
        repeats: vec![measured(again, &good)],
        ..Campaign::default()
    }
}

fn told(campaigns: &[Campaign]) -> Told<'_> {
    Told { campaigns, running: false, written_unix_s: 200.0, state: None }
}

#[test]
fn a_page_is_told_what_was_recorded() {
    let campaigns = [campaign()];
    let data: Value = serde_json::from_str(&told(&campaigns).json().unwrap()).unwrap();
    assert_eq!(data["journals"][0]["ended"], json!({"ok": 2, "timeout": 1, "compile_failed": 2}));
    let row = &data["measurements"][0];
    assert_eq!(
        (&row["name"], &row["variant"], &row["unit"], &row["better"]),
        (&"gemm".into(), &"tile=8".into(), &"s".into(), &"less".into())
    );
    assert_eq!(row["stats"]["n"], 8);
    assert_eq!((&row["stats"]["lo"], &row["stats"]["hi"]), (&0.9.into(), &1.1.into()));
    assert_eq!(
        row["samples"].as_array().unwrap()[..2],
        [json!(0.333_333_3), json!(0.666_666_7)],
        "without the warm-up"
    );
    assert_eq!((&row["repeats"][0]["status"], &row["repeats"][0]["stats"]["n"]), (&"ok".into(), &8.into()));
    assert_eq!(row["compared"], json!([[0, 0], [0, 1]]), "the same command line");
    let failed = &data["measurements"][1];
    assert_eq!(
        (&failed["failure"], &failed["stats"], &failed["samples"]),
        (&"timeout: limit of 60 s".into(), &Value::Null, &json!([]))
    );
    assert_eq!(data["comparisons"][0]["variants"][1]["ratio"], 1.25);
    assert_eq!(data["comparisons"][0]["variants"][1]["verdict"], "faster");
    assert_eq!(data["slow_nodes"], json!([]));
    assert_eq!(data["tasks"].as_array().unwrap().len(), 3, "measurements are in their own list");
}

#[test]
fn slow_nodes_of_a_comparison_are_named() {
    let on = |host: &str, median: f64| {
        let mut outcome = Outcome { host: host.into(), ..compared() };
        let Detail::Compare(result) = &mut outcome.detail else { unreachable!() };
        let stats = result.variants[0].result.stats.as_mut().unwrap();
        let ci = Interval { lo: 0.99 * median, hi: 1.01 * median, level: 0.95, exact_level: 0.96 };
        *stats = Summary { median, ci: Some(ci), ..stats.clone() };
        let facts = facts(host, Kind::Compare, Value::Null);
        Record::of_task(
            TaskFacts { name: Some(format!("naps@{host}")), params: None, ..facts },
            None,
            &outcome,
        )
    };
    let campaigns = [Campaign { ended: vec![on("n1", 1.0), on("n2", 1.01), on("n3", 2.0)], ..campaign() }];
    let data: Value = serde_json::from_str(&told(&campaigns).json().unwrap()).unwrap();
    assert_eq!(data["slow_nodes"], json!(["naps: slow nodes: n3"]));
}

#[test]
fn below_seven_runs_a_page_is_told_no_interval() {
    let few = ended(Status::Ok, None, Detail::Measure(Box::new(result(6))));
    let campaigns =
        [Campaign { ended: vec![measured(facts("a", Kind::Measure, Value::Null), &few)], ..campaign() }];
    let data: Value = serde_json::from_str(&told(&campaigns).json().unwrap()).unwrap();
    assert_eq!(data["measurements"][0]["stats"].get("lo"), None);
}

#[test]
fn what_failed_alike_is_one_row_with_the_whole_reason() {
    let campaigns = [campaign()];
    let data: Value = serde_json::from_str(&told(&campaigns).json().unwrap()).unwrap();
    let [builds, late] = data["failures"].as_array().unwrap().as_slice() else {
        panic!("{}", data["failures"])
    };
    assert_eq!((&builds["count"], &builds["named"]), (&2.into(), &json!(["gemm tile=0", "gemm tile=-1"])));
    assert_eq!(
        (&builds["text"], &builds["hosts"]),
        (&"compile_failed: gemm.c:3: no `flaot`".into(), &json!(["node1"]))
    );
    assert_eq!(builds["reason"], "gemm.c:3: no `flaot`\nmore of it");
    assert_eq!(
        (&late["kind"], &late["status"], &late["count"]),
        (&"measure".into(), &"timeout".into(), &1.into())
    );
}

#[test]
fn nothing_of_a_journal_is_markup() {
    let campaigns = [campaign()];
    let page = told(&campaigns).page().unwrap();
    assert_eq!(page.matches("<script").count(), SCRIPTS.len() + 1);
    assert_eq!(page.matches("</script>").count(), SCRIPTS.len() + 1);
    assert!(
        page.contains("<title>&lt;/title&gt;.lua") || page.contains("<title>title&gt;.lua"),
        "the name is text"
    );
    let (_, rest) = page.split_once(r#"id="data">"#).unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(json).unwrap();
    assert_eq!(data["measurements"][1]["params"]["tile"], "</script><script>alert(1)");
}

#[test]
fn a_page_says_what_it_is_and_asks_nobody() {
    assert!(TEMPLATE.find(MARKER).is_some_and(|at| at < 200));
    for script in SCRIPTS {
        assert!(!script.contains("</script") && !script.contains("<!--"));
    }
    let campaigns = [campaign()];
    let page = told(&campaigns).page().unwrap();
    assert!(page.contains("connect-src 'none'") && !page.contains("{{"));
    assert_eq!(page, told(&campaigns).page().unwrap(), "the same from the same");
    let live = Told { state: Some("1"), ..told(&campaigns) }.page().unwrap();
    assert!(live.contains("connect-src 'self'"));
}
