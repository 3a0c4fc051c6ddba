//! A journal as a table, from records made here.

use super::super::runs::Runs;
use super::*;
use crate::model::{
    CompareResult, Comparison, Header, Interval, MeasureSpec, Metric, Record, StopReason, Verdict,
};
use serde_json::json;

fn facts(kind: Kind, key: &str, name: &str, tile: u32) -> TaskFacts {
    TaskFacts {
        id: format!("01ARZ{}", key.to_uppercase()),
        kind,
        key: format!("{key:0<32}").parse().unwrap(),
        name: Some(name.into()),
        params: (tile > 0).then(|| json!({ "tile": tile })),
        ..TaskFacts::default()
    }
}

fn rate(median: f64, n: u32) -> MeasureResult {
    let ci =
        (n >= 7).then_some(Interval { lo: median - 0.5, hi: median + 0.5, level: 0.95, exact_level: 0.97 });
    let stats = Summary { n, min: median - 1.0, median, max: median + 1.0, ci, ..Summary::default() };
    let mut result = MeasureResult::sample(stats, StopReason::Fixed);
    result.objective = "gflops".into();
    result.better = Better::More;
    let metric = Metric { unit: Some("GFLOP/s".into()), better: Better::More, value: vec![], stats: None };
    result.metrics.insert("gflops".into(), metric);
    result
}

fn ok(detail: Detail) -> Outcome {
    Outcome { reason: None, host: "node1".into(), detail, ..Outcome::failed(Status::Ok, "") }
}

fn measured(facts: TaskFacts, result: MeasureResult) -> Record {
    Record::of_task(facts, Some(&MeasureSpec::default()), &ok(Detail::Measure(Box::new(result))))
}

fn compared() -> Record {
    let variant = |name: &str, median: f64, comparison| Compared {
        name: name.into(),
        params: None,
        status: Status::Ok,
        reason: None,
        result: rate(median, 20),
        comparison,
    };
    let ci = Some(Interval { lo: 1.2, hi: 1.3, level: 0.95, exact_level: 0.97 });
    let found = Comparison { verdict: Verdict::Faster, ratio: 1.25, ci, rounds: 20 };
    let result = CompareResult {
        variants: vec![variant("plain", 8.0, None), variant("tiled", 10.0, Some(found))],
        rounds: 20,
        order_seed: 1,
        min_effect: 0.01,
        stop_reason: StopReason::Settled,
    };
    Record::of_task(facts(Kind::Compare, "c0", "both", 0), None, &ok(Detail::Compare(Box::new(result))))
}

fn campaign() -> Campaign {
    let mut flagged = rate(12.49, 20);
    flagged.flags = vec!["drift".into()];
    let slow =
        Outcome { host: "node1".into(), ..Outcome::failed(Status::Timeout, "ran into its limit of 60 s") };
    let ended = vec![
        Record::of_task(facts(Kind::Compile, "b0", "build", 0), None, &ok(Detail::Compile(Box::default()))),
        measured(facts(Kind::Measure, "a8", "gemm", 8), rate(7.486, 10)),
        measured(facts(Kind::Measure, "a16", "gemm", 16), flagged),
        measured(facts(Kind::Measure, "a4", "gemm", 4), rate(3.0, 3)),
        Record::of_task(facts(Kind::Measure, "a64", "gemm", 64), Some(&MeasureSpec::default()), &slow),
        Record::of_task(facts(Kind::Measure, "a65", "gemm", 65), Some(&MeasureSpec::default()), &slow),
        compared(),
    ];
    let header = Header {
        schema: String::new(),
        version: String::new(),
        protocol: 1,
        campaign: String::new(),
        script: "c.lua".into(),
        script_hash: None,
        seed: 1,
        started_unix_s: 0.0,
    };
    let session = Session {
        repeats: false,
        script: None,
        args: None,
        retry: Default::default(),
        version: String::new(),
        protocol: 1,
        script_hash: None,
        started_unix_s: 1_798_761_599.0,
        pid: 7,
        host: "node1".into(),
        job: None,
    };
    Campaign {
        path: "c.lua.journal".into(),
        header: Some(header),
        sessions: vec![session],
        ends: vec![None],
        ended,
        ..Campaign::default()
    }
}

fn text(choice: &Choice, width: Option<usize>) -> String {
    Listing::of(campaign(), choice).text(width)
}

fn keys(text: &str) -> Vec<&str> {
    let is_key = |word: &&str| word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    text.lines()
        .filter_map(|line| line.split(' ').next().filter(is_key))
        .map(|key| key.trim_end_matches('0'))
        .collect()
}

#[test]
fn where_nothing_is_recorded_it_says_what_would_be() {
    let nothing = Campaign { ended: Default::default(), ..campaign() };
    let text = Listing::of(nothing, &Choice::default()).text(None);
    let head =
        "c.lua: 0 tasks recorded (of `exec` and calls only those with a `key` are); 1 run, the last of";
    assert!(text.starts_with(head), "{text}");
}

#[test]
fn a_campaign_as_a_table() {
    let all = "\
c.lua: 7 tasks recorded: 5 ok, 2 timeout; 1 run, the last of 2026-12-31 23:59:59 UTC on node1

key       name          median           95 % CI                n  speed-up                      flags
a8000000  gemm tile=8    7.486  GFLOP/s  [6.986, 7.986]        10  base
a1600000  gemm tile=16   12.49  GFLOP/s  [11.99, 12.99]        20  1.67x                         drift
a4000000  gemm tile=4    3.000  GFLOP/s  min 2.000, max 4.000   3  0.40x
c0000000  both plain     8.000  GFLOP/s  [7.500, 8.500]        20  base
c0000000  both tiled     10.00  GFLOP/s  [9.50, 10.50]         20  1.250x [1.200, 1.300] faster

speed-up of gemm: over the first of this name, gemm tile=8, median 7.486 GFLOP/s

failed:
  2 x measure gemm tile=64, gemm tile=65 on node1: timeout: ran into its limit of 60 s
";
    assert_eq!(text(&Choice::default(), None), all);
}

/// Where one of several failed the comparison has ended well, and says of the others what there is to say.
#[test]
fn why_a_variant_failed_is_said() {
    let mut campaign = campaign();
    let Some(Record::Task(task)) = campaign.ended.last_mut() else { panic!("the last is a task") };
    let Detail::Compare(result) = &mut task.outcome.detail else { panic!("and a comparison") };
    let tiled = &mut result.variants[1];
    (tiled.status, tiled.reason) = (Status::VerifyFailed, Some("sample 3: output differs\nand more".into()));
    let text = Listing::of(campaign, &Choice::default()).text(None);
    let line = "  compare both, tiled on node1: verify_failed: sample 3: output differs";
    assert_eq!(text.lines().last(), Some(line), "{text}");
}

#[test]
fn it_is_sorted_and_filtered_as_asked() {
    let sorted = |sort| Choice { sort, ..Choice::default() };
    assert_eq!(keys(&text(&sorted(Sort::Name), None)), ["c", "c", "a4", "a8", "a16"]);
    assert_eq!(keys(&text(&sorted(Sort::Median), None)), ["a16", "a8", "a4", "c", "c"]);
    let of = |pattern: &str| Choice { name: Glob::new(pattern).ok(), ..Choice::default() };
    assert_eq!(keys(&text(&of("bo*"), None)), ["c", "c"]);
    assert_eq!(keys(&text(&of("gemm"), None)), ["a8", "a16", "a4"]);
    let one = text(&of("* tile=1?"), None);
    assert_eq!(keys(&one), ["a16"]);
    assert!(one.starts_with("c.lua: 1 of 7 tasks recorded: 1 ok; "), "{one}");
    assert!(
        one.contains("1.67x") && one.contains("gemm tile=8, median 7.486 GFLOP/s"),
        "the base stays: {one}"
    );
    let failed = Choice { status: vec![Status::Timeout], ..Choice::default() };
    let failed = text(&failed, None);
    assert!(failed.contains("\nfailed:\n  2 x measure") && keys(&failed).is_empty(), "{failed}");
    let none = text(&of("x"), None);
    assert_eq!(none.lines().count(), 1, "{none}");
    let ids = Listing::of(campaign(), &of("gemm*"));
    assert_eq!(ids.ids().collect::<Vec<_>>(), ["01ARZA8", "01ARZA16", "01ARZA4", "01ARZA64", "01ARZA65"]);
}

/// What the edited script does not ask for any more is no base of what it does ask for.
#[test]
fn no_speed_up_reaches_across_an_edit_of_the_script() {
    let mut campaign = campaign();
    let session = |script: &str| {
        let first = campaign.sessions[0].clone();
        Record::Session(Session { script_hash: Some(Hash::of(script.as_bytes())), ..first })
    };
    let [old, new] = ["v1", "v2"].map(session);
    let of = |key, tile, median| measured(facts(Kind::Measure, key, "gemm", tile), rate(median, 20));
    let records = [old, of("a8", 8, 2.0), of("a9", 9, 4.0), new, of("a16", 16, 8.0), of("a32", 32, 16.0)];
    let runs = Runs::of(&records);
    campaign.ended = records.into_iter().filter(|record| record.facts().is_some()).collect();
    (campaign.sessions, campaign.numbers) = (runs.sessions, runs.numbers);
    let text = Listing::of(campaign, &Choice::default()).text(None);
    let last = |line: &str| line.split_whitespace().last().unwrap_or_default().to_owned();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with('a')).map(last).collect();
    assert_eq!(lines, ["base", "2.00x", "base", "2.00x"], "{text}");
    let told = "\
speed-up of gemm: over the first of this name under the script as it was then, gemm tile=8, median 2.000 GFLOP/s
speed-up of gemm: over the first of this name under the script as it was then, gemm tile=16, median 8.000 GFLOP/s
";
    // In the order of the scripts' hashes.
    assert!(told.lines().all(|line| text.contains(line)), "{text}");
}
