//! Journals of each version of the format, as they were written then, are read and answer (versions/README.md).

use std::fs;
use std::path::Path;

use harness::journal::{Mode, check, read};
use harness::model::{Detail, Status};

use crate::{answers, open};

/// How what it answers ended, in recorded order.
fn ends(name: &str, lines: usize) -> Vec<Status> {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/versions").join(name);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    fs::copy(frozen, &path).unwrap();
    let contents = read(&path).unwrap();
    assert_eq!((contents.records.len() + 1, contents.torn), (lines, 0), "{name}");
    assert_eq!(contents.length, fs::metadata(&path).unwrap().len());
    assert!(check(&path).unwrap().damaged.is_empty());
    let ends = answers(open(&path, Mode::Resume).unwrap().answers);
    for (facts, outcome) in &ends {
        let is_whole = match &outcome.detail {
            Detail::Measure(result) if outcome.ok() => result.stats.is_some() && !result.samples.is_empty(),
            Detail::Compile(build) => build.artefact.is_some() && !build.argv.is_empty(),
            Detail::Exec(run) => !run.argv.is_empty(),
            Detail::Compare(compared) => compared.variants.len() == 2,
            _ => true,
        };
        assert!(is_whole && !outcome.host.is_empty() && facts.ended_unix_s.is_some(), "{name}: {facts:?}");
    }
    ends.into_iter().map(|(_, outcome)| outcome.status).collect()
}

use Status::{Error, MetricMissing, NonzeroExit, Ok, Timeout, VerifyFailed};

#[test]
fn the_present_version_is_read_and_answers() {
    let expected = [Ok, Ok, Ok, Ok, NonzeroExit, Ok, Timeout, Ok, Error, Ok];
    assert_eq!(ends("1.jsonl", 18), expected);
    assert_eq!(ends("1-with-ends.jsonl", 16), [Ok, NonzeroExit]);
}

#[test]
fn so_is_what_was_written_before_it_had_all_its_fields() {
    let expected = [Ok, Ok, VerifyFailed, VerifyFailed, VerifyFailed, MetricMissing, Ok, Timeout, Timeout];
    assert_eq!(ends("1-before-hooks.jsonl", 13), expected);
    let expected = [Ok, Ok, Ok, NonzeroExit, Ok, Timeout, Ok, Error];
    assert_eq!(ends("1-first.jsonl", 15), expected);
}
