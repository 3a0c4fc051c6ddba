//! How what the gate found reads, in each output.

use serde_json::json;

use super::super::tests::{campaign, failed, gate, measured, one, records};
use crate::model::Status;
use crate::report::Campaign;

#[test]
fn outputs_escape_what_they_must() {
    let mut hostile = measured("a|b<&>\"%\u{1},:", 1.0, &[1.0; 9]);
    hostile.facts.params = Some(json!({"x": "y\nz"}));
    let before = [campaign("a", vec![hostile.clone()])];
    let mut failed = failed(2.0, Status::VerifyFailed);
    (failed.facts.name, failed.facts.params) = (hostile.facts.name.clone(), hostile.facts.params.clone());
    let gate = gate(&before, &campaign("b", vec![failed]));
    let [line] = &gate.annotations()[..] else { panic!("{gate}") };
    assert!(
        line.starts_with("::error title=failed a|b<&>\"%25\\x01%2C%3A x=\"y\\nz\"::a|b<&>\"%25"),
        "{line}"
    );
    let markdown = gate.markdown();
    assert!(markdown.contains("| failed | a\\|b&lt;&amp;>\"%\\\\x01,: x=\"y\\\\nz\" |"), "{markdown}");
    let xml = gate.junit();
    let tree = roxmltree::Document::parse(&xml).unwrap();
    let test = tree.descendants().find(|node| node.has_tag_name("testcase")).unwrap();
    assert_eq!(test.attribute("name"), Some("a|b<&>\"%\\x01,: x=\"y\\nz\""));
    let failure = test.first_element_child().unwrap();
    assert_eq!(
        (failure.attribute("type"), failure.text()),
        (Some("failed"), Some("now verify_failed: because"))
    );
    assert_eq!(tree.root_element().attribute("failures"), Some("1"));
}

#[test]
fn flags_are_told_with_the_figures_they_are_of() {
    let with = |unix_s: f64, flags: &[&str]| {
        let mut record = measured("gemm", unix_s, &[1.0; 9]);
        record.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        record
    };
    let before =
        [campaign("a", vec![with(1.0, &["drift"])]), campaign("b", vec![with(2.0, &["bimodal", "drift"])])];
    let flagged = gate(&before, &campaign("c", vec![with(3.0, &["near_floor", "noisy_env:steal"])]));
    let says = "flags near_floor, noisy_env:steal, before bimodal, drift";
    for text in [flagged.to_string(), flagged.junit()] {
        assert!(text.contains(&format!("; {says}")), "{text}");
    }
    let markdown = flagged.markdown();
    assert!(
        markdown.contains("| flags near\\_floor, noisy\\_env:steal, before bimodal, drift |"),
        "{markdown}"
    );
    let json = serde_json::to_value(&flagged).unwrap();
    assert_eq!(json["rows"][0]["now"]["flags"], json!(["near_floor", "noisy_env:steal"]));
    assert_eq!(json["rows"][0]["before"][0]["flags"], json!(["drift"]));
    let line = |before: &[&str], now: &[&str]| one(with(1.0, before), with(2.0, now)).1;
    assert!(line(&[], &["drift"]).ends_with("; flags drift"));
    assert!(line(&[], &["a", "b", "c", "d", "e", "f"]).ends_with("; flags a, b, c, d and 2 more"));
    assert!(line(&["drift"], &[]).ends_with("; flags before drift"));
    assert!(!line(&[], &[]).contains("flags"));
}

#[test]
fn what_was_before_is_the_median_of_all_earlier_sessions() {
    let day = |unix_s: f64, s: f64| campaign("a", vec![measured("gemm", unix_s, &[s; 9])]);
    let gate = gate(&[day(1.0, 1.0), day(2.0, 1.02)], &day(3.0, 1.01));
    assert!(gate.to_string().contains("; 1.010 s, before 1.010 s; n = 9"), "{gate}");
}

#[test]
fn journals_of_other_scripts_are_told() {
    let of = |unix_s: f64, script: &str| {
        let header = Some(records::header(script, unix_s));
        Campaign { header, ..campaign("a", vec![measured("gemm", unix_s, &[1.0; 9])]) }
    };
    let told = gate(&[of(1.0, "/build/7/old.lua")], &of(2.0, "/build/8/new.lua")).to_string();
    let note =
        "note: these are journals of different scripts: new.lua, old.lua; that of the last one is new.lua\n";
    assert!(told.contains(note), "{told}");
    let told = gate(&[of(1.0, "old.lua"), of(2.0, "new.lua")], &of(3.0, "new.lua")).to_string();
    assert!(told.contains(note), "{told}");
    let told = gate(&[of(1.0, "/build/7/c.lua")], &of(2.0, "/build/8/c.lua")).to_string();
    assert!(!told.contains("scripts"), "{told}");
}
