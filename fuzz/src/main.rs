//! All targets in one program, which is compiled and linked once: `HARNESS_FUZZ` names the one that is given the bytes.
#![no_main]

mod allocation;
mod decode;
mod index;
mod journal;
mod metric;
mod options;
mod pattern;
mod query;
mod sealed;
mod wire;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 10] = [
    ("allocation", allocation::target),
    ("decode", decode::target),
    ("index", index::target),
    ("journal", journal::target),
    ("metric", metric::target),
    ("options", options::target),
    ("pattern", pattern::target),
    ("query", query::target),
    ("sealed", sealed::target),
    ("wire", wire::target),
];

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("HARNESS_FUZZ").unwrap_or_default();
    let chosen = TARGETS.iter().find(|(known, _)| *known == name);
    chosen
        .unwrap_or_else(|| panic!("HARNESS_FUZZ={name}: not one of {:?}", TARGETS.map(|(known, _)| known)))
        .1
});

fuzz_target!(|data: &[u8]| CHOSEN(data));
